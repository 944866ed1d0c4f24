//! What a device is told at birth, as plain data. What a whole group shares is behind one `Arc`.

use super::backoff::Backoff;
use super::deeds::Deed;
use super::identity::{Directory, Layout};
use super::schedule::Schedule;
use crate::mqtt::packet::SubscribeOptions;
use crate::mqtt::properties::PropertiesBuf;
use crate::mqtt::session::SessionConfig;
use crate::mqtt::{QoS, Version};
use crate::scenario::model::{DropPolicy, Keeps, Offline};
use crate::seed::Stream;
use crate::time::{Duration, Instant};
use crate::trace::ClientId;
use std::sync::Arc;

/// What all clients of a group have in common.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Protocol version.
    pub version: Version,
    /// The session outlives a connection.
    pub persistent: bool,
    /// Session expiry in seconds for 5.0; `u32::MAX` never expires.
    pub session_expiry: u32,
    /// Keep alive in seconds; 0 switches it off.
    pub keep_alive: u16,
    /// How long to wait for the transport, and again for CONNACK.
    pub connect_timeout: Duration,
    /// Unacknowledged QoS 1 and 2 messages in flight at most.
    pub window: u16,
    /// Receive Maximum told to a 5.0 broker.
    pub receive_maximum: u16,
    /// Outbox limit and what goes when it is full.
    pub outbox_limit: u32,
    /// Which message goes when the outbox is full.
    pub drop: DropPolicy,
    /// Times away, by run time, sorted.
    pub offline: Vec<Offline>,
    /// QoS of its messages.
    pub qos: QoS,
    /// RETAIN flag of its messages.
    pub retain: bool,
    /// The options of each subscription.
    pub subscriptions: Vec<SubscribeOptions>,
    /// What its clients do at set times, in order.
    pub deeds: Vec<(Instant, Deed)>,
    /// 5.0: the properties of its messages, expiry included.
    pub properties: PropertiesBuf,
    /// 5.0: its topic travels as an alias.
    pub topic_alias: bool,
    /// 5.0: topic aliases taken from the broker.
    pub topic_alias_maximum: u16,
    /// 5.0: the largest packet taken from the broker, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// 5.0: the identifier of its subscriptions.
    pub subscription_identifier: Option<u32>,
    /// Whether the client disconnects in its duty cycle's off times.
    pub duty_disconnects: bool,
    /// Power cuts: mean time between, how long off, what survives.
    pub power: Option<(Duration, Duration, Keeps)>,
    /// How receivers read payloads; the same for the whole run.
    pub directory: Arc<Directory>,
    /// The run's mark.
    pub nonce: u32,
    /// When the load ends and the drain begins: no power cuts and no times away begin after it.
    pub drain_from: Instant,
}

impl Kind {
    /// How its half of a session is set up.
    pub(super) fn session_config(&self) -> SessionConfig {
        SessionConfig {
            version: self.version,
            session_expiry: if self.persistent { self.session_expiry } else { 0 },
            keep_alive: self.keep_alive,
            window: self.window,
            receive_maximum: self.receive_maximum,
            maximum_packet_size: self.maximum_packet_size,
            topic_alias_maximum: self.topic_alias_maximum,
        }
    }
}

/// What one client is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its id.
    pub id: ClientId,
    /// What it shares with its group.
    pub kind: Arc<Kind>,
    /// Its MQTT client identifier.
    pub client_id: Box<str>,
    /// User name and password.
    pub credentials: Option<(Box<str>, Option<Box<str>>)>,
    /// Its will.
    pub will: Option<Box<Will>>,
    /// Its topic filters, in the order of [`Kind::subscriptions`], with any `$share/group/`.
    pub filters: Box<[Box<str>]>,
    /// What it publishes.
    pub publishes: Option<Publishes>,
    /// When it begins to connect.
    pub start: Instant,
    /// Its reconnect policy.
    pub backoff: Backoff,
    /// Draws its power cuts.
    pub power: Stream,
    /// When it reboots, how long that takes, and what survives; sorted.
    pub reboots: Box<[(Instant, Duration, Keeps)]>,
}

/// A will, ready to be sent.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Will {
    pub topic: Box<str>,
    pub payload: Box<[u8]>,
    /// Where in the payload its identity goes, if it has one.
    pub layout: Option<Layout>,
    pub qos: QoS,
    pub retain: bool,
    /// 5.0: seconds.
    pub delay: u32,
}

/// What a sensor publishes, ready to be sent.
#[derive(Clone, Debug)]
pub struct Publishes {
    /// Topic name.
    pub topic: Box<str>,
    /// The payload with room for the identity.
    pub payload: Box<[u8]>,
    /// Where the identity goes.
    pub layout: Layout,
    /// When.
    pub schedule: Schedule,
}
