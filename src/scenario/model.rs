//! A checked scenario: everything in base units, every name resolved, every value in range.

use super::under_test::{ForeignClient, UnderTest};
use crate::link::Engine;
use crate::link::spec::LinkSpec;
use crate::promise::{Guarantee, Threshold};
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// A whole scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name; part of the report folder's name.
    pub name: String,
    /// The comment that opens the file: why it exists and what it must show. Empty if there is none.
    pub about: String,
    /// Same seed: same losses, phases, power cuts.
    pub seed: u64,
    /// Over how long the clients are started, each at a time of its own, even over it.
    pub ramp: Duration,
    /// How long messages are published, from the end of the ramp.
    pub duration: Duration,
    /// How long what is still owed has to arrive after that.
    pub drain: Duration,
    /// The load loops' tick.
    pub tick: Duration,
    /// Who speaks TCP at the ends of links.
    pub engine: Engine,
    /// Fleets of sensors, in the file's order.
    pub fleets: Vec<Fleet>,
    /// Groups of subscribers, in the file's order.
    pub subscribers: Vec<SubscriberGroup>,
    /// What is done to the broker.
    pub faults: Vec<Fault>,
    /// What must hold.
    pub expect: Expect,
}

impl Scenario {
    /// What its fleets' and subscribers' clients are.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceSpec> {
        self.fleets.iter().map(|f| &f.device).chain(self.subscribers.iter().map(|s| &s.device))
    }

    /// The links of its fleets and subscribers.
    pub fn links(&self) -> impl Iterator<Item = &NamedLink> {
        self.devices().filter_map(|d| d.link.as_ref())
    }

    /// True if it has clients that are not squall's own.
    #[must_use]
    pub fn tests_clients(&self) -> bool {
        self.devices().any(|d| d.under_test.is_some())
    }
}

/// A fleet of sensors that publish.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Its name.
    pub name: String,
    /// How many sensors, at least 1.
    pub sensors: u32,
    /// What each of them is.
    pub device: DeviceSpec,
    /// What each of them publishes; none for a fleet that only listens.
    pub publish: Option<PublishSpec>,
    /// Power cuts, if any.
    pub power: Option<Power>,
    /// Reboot storms, by run time, sorted.
    pub reboots: Vec<Reboot>,
}

/// A group of subscribers.
#[derive(Clone, Debug)]
pub struct SubscriberGroup {
    /// Its name.
    pub name: String,
    /// How many, at least 1.
    pub count: u32,
    /// What each of them is; its subscriptions are not empty.
    pub device: DeviceSpec,
}

/// What fleets and subscribers have in common.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    /// 3, 4 or 5: the protocol level.
    pub mqtt_level: u8,
    /// Clean or persistent.
    pub session: SessionSpec,
    /// Keep alive, whole seconds; zero switches it off.
    pub keep_alive: Duration,
    /// How long to wait for the transport, and again for CONNACK.
    pub connect_timeout: Duration,
    /// User name and password templates.
    pub credentials: Option<Credentials>,
    /// The link's name in the file and what it is; none for a direct socket.
    pub link: Option<NamedLink>,
    /// What lies between MQTT and TCP; none: what the command line says.
    pub transport: Option<crate::transport::Kind>,
    /// When to connect again.
    pub reconnect: Reconnect,
    /// The will, if any.
    pub will: Option<WillSpec>,
    /// Subscriptions.
    pub subscriptions: Vec<SubscriptionSpec>,
    /// Unacknowledged QoS 1 and 2 messages in flight at most, 1 to 65,535.
    pub window: u16,
    /// Receive Maximum told to a 5.0 broker, 1 to 65,535.
    pub receive_maximum: u16,
    /// Messages that wait while there is no connection or no window.
    pub outbox: Outbox,
    /// Times at which the client disconnects and stays away, by run time, sorted.
    pub offline: Vec<Offline>,
    /// What else it does.
    pub features: Features,
    /// None: squall's own client.
    pub under_test: Option<UnderTest>,
}

impl DeviceSpec {
    /// True if it is a program, which decides for itself what it asks of the broker.
    #[must_use]
    pub fn decides_for_itself(&self) -> bool {
        self.under_test.as_ref().is_some_and(|u| matches!(u.client, ForeignClient::Command(_)))
    }
}

/// What a client does beyond publishing, subscribing and leaving.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// When it connects first; none: with its group.
    pub start: Option<Instant>,
    /// Times at which it sends nothing, with its connection open.
    pub silent: Vec<Span>,
    /// Times for which it unsubscribes.
    pub unsubscribed: Vec<Span>,
    /// When it connects a second time while it is connected.
    pub take_over: Vec<Instant>,
    /// How often it sends its SUBSCRIBE again.
    pub resubscribe: Option<Duration>,
    /// 5.0: topic aliases that it takes.
    pub topic_alias_maximum: u16,
    /// 5.0: the largest packet that it takes, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// 5.0: the identifier of its subscriptions.
    pub subscription_identifier: Option<u32>,
}

/// A stretch of run time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// When it begins.
    pub at: Instant,
    /// How long it lasts.
    pub lasts: Duration,
}

/// What messages have beyond topic, QoS and payload.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PublishFeatures {
    /// 5.0: Message Expiry Interval, whole seconds.
    pub expiry: Option<Duration>,
    /// How often the retained message is cleared with an empty one.
    pub clear_every: Option<Duration>,
    /// 5.0: properties that are to be passed on.
    pub properties: Option<PropertiesSpec>,
    /// 5.0: the topic travels as an alias after the first message of a connection.
    pub topic_alias: bool,
}

/// Properties of 5.0 that a broker passes on as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PropertiesSpec {
    /// Payload Format Indicator 1.
    pub utf8: bool,
    /// Content Type.
    pub content_type: Option<String>,
    /// Response Topic.
    pub response_topic: Option<String>,
    /// Correlation Data.
    pub correlation: Option<String>,
    /// User properties, in order.
    pub user: Vec<(String, String)>,
}

/// A link with its name.
#[derive(Clone, Debug)]
pub struct NamedLink {
    /// Preset or own name.
    pub name: String,
    /// What it is.
    pub spec: Arc<LinkSpec>,
}

/// Clean or persistent session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionSpec {
    /// Ends with the connection.
    Clean,
    /// Outlives the connection, for this long (5.0; none: for ever; 3.1.1 always none).
    Persistent(Option<Duration>),
}

/// User name and password, as templates.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: Template,
    /// Password; never shown.
    pub password: Option<Template>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Text with places for a client's own values: `{sensor}` its index within its group from 0, `{fleet}` its group's name,
/// `{anything:N}` its index modulo N.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    /// As written.
    pub text: String,
    /// In parts.
    pub parts: Vec<Part>,
}

/// A part of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// As it is.
    Text(String),
    /// The client's index within its group, from 0.
    Sensor,
    /// The group's name.
    Fleet,
    /// The client's index modulo this, at least 1.
    Modulo(u32),
    /// The message's identity, 32 hexadecimal digits (payload templates only).
    Id,
}

/// Reconnect policy: waits `first`, then twice as long each time up to `longest`, each time plus or minus `jitter`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reconnect {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// 0 to 1: each wait is multiplied by a number drawn evenly from `1 - jitter ..= 1 + jitter`.
    pub jitter: f64,
}

/// A will.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WillSpec {
    /// Topic.
    pub topic: Template,
    /// Payload; with `{id}` in it, which becomes 32 hexadecimal digits, the will can be judged.
    pub payload: String,
    /// QoS.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// 5.0: how long after the connection's end.
    pub delay: Duration,
}

/// A subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionSpec {
    /// Topic filter, without any `$share/group/`.
    pub filter: Template,
    /// Share group.
    pub share: Option<String>,
    /// Requested QoS.
    pub qos: u8,
    /// 5.0: no local.
    pub no_local: bool,
    /// 5.0: RETAIN as published.
    pub retain_as_published: bool,
    /// 5.0: retain handling, 0 to 2.
    pub retain_handling: u8,
}

/// The outbox: what waits to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outbox {
    /// How many messages, at least 1.
    pub limit: u32,
    /// Which goes when it is full.
    pub drop: DropPolicy,
}

/// Which message goes when the outbox is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropPolicy {
    /// The one that has waited longest.
    Oldest,
    /// The one that comes in.
    Newest,
}

/// A time away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offline {
    /// When it begins.
    pub at: Instant,
    /// How long it lasts.
    pub lasts: Duration,
    /// True: leaves with DISCONNECT; false: without a word.
    pub clean: bool,
}

/// What a sensor publishes.
#[derive(Clone, Debug)]
pub struct PublishSpec {
    /// Topic; no wildcards.
    pub topic: Template,
    /// QoS.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// Payload.
    pub payload: Payload,
    /// When.
    pub schedule: Schedule,
    /// What else they have.
    pub features: PublishFeatures,
}

/// What a message carries. The identity is 16 bytes (binary) or 32 hexadecimal digits (`{id}` in a template).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// This many bytes, at least 16: identity first, then filler.
    Size(u32),
    /// A text with `{id}` in it.
    Template(Template),
}

/// When messages are due, in an open loop.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    /// The rhythm.
    pub rhythm: Rhythm,
    /// Messages at each beat, at least 1 (a burst).
    pub burst: u32,
    /// On and off times; none: always on.
    pub duty: Option<Duty>,
    /// How wrong the sensors' clocks go, in parts per billion: each at a rate of its own, drawn evenly from minus to plus this.
    pub drift: u32,
}

/// The rhythm of a schedule.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rhythm {
    /// At a fixed period, from a random phase within it.
    Every(Duration),
    /// With exponential gaps of this mean.
    Poisson(Duration),
}

/// A duty cycle: on for `on`, off for `off`, from a random phase. Beats that fall into an off time do not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duty {
    /// Time on.
    pub on: Duration,
    /// Time off.
    pub off: Duration,
    /// Whether the sensor disconnects during off times.
    pub disconnect: bool,
}

/// Power cuts at random, exponentially distributed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Power {
    /// Mean time between cuts.
    pub cut_every: Duration,
    /// How long the power is off.
    pub off: Duration,
    /// What survives.
    pub keeps: Keeps,
}

/// A reboot storm: a share of a fleet reboots at one instant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reboot {
    /// When.
    pub at: Instant,
    /// The probability with which each sensor is hit, 0 to 1.
    pub share: f64,
    /// How long a sensor takes until it connects again.
    pub off: Duration,
    /// What survives.
    pub keeps: Keeps,
}

/// What survives a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    /// Session and outbox are in flash.
    Flash,
    /// Nothing: the outbox is lost, and what was in flight is published anew if it is still known (it is not).
    Nothing,
}

/// The period of a CPU limit: the default of Linux's control groups (cpu.max).
pub const CPU_PERIOD: Duration = Duration::from_millis(100);

/// Something done to the broker, or to the connections to it, at a time.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// When.
    pub at: Instant,
    /// What.
    pub action: FaultAction,
}

/// What is done to the broker, or to the connections to it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum FaultAction {
    /// kill -9, and start again with the same data after this long; none: never.
    Kill {
        /// Time until it is started again.
        back_after: Option<Duration>,
    },
    /// Stop with its own signal, and start again.
    Restart {
        /// Time until it is started again.
        back_after: Duration,
    },
    /// SIGSTOP for this long.
    Pause {
        /// How long.
        lasts: Duration,
    },
    /// Its processes run for a part of each [`CPU_PERIOD`] only, and are stopped for the rest.
    SlowCpu {
        /// How long.
        lasts: Duration,
        /// How much of each period it runs: above zero, below the period.
        runs: Duration,
    },
    /// Its disk is slow for this long; in virtual time only.
    SlowDisk {
        /// How long.
        lasts: Duration,
        /// What each packet costs that changes what the broker keeps, on top of its service time.
        write: Duration,
    },
    /// Connections are reset between client and broker: at the gateway of a link, or at the socket of a client without one.
    DropConnections {
        /// The probability with which each client is hit, 0 to 1.
        share: f64,
    },
}

impl FaultAction {
    /// True if it is done to the broker's process or disk, which squall must have launched.
    #[must_use]
    pub const fn needs_the_process(&self) -> bool {
        !matches!(self, Self::DropConnections { .. })
    }
}

/// What must hold.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// These guarantees; empty means none asked.
    pub guarantees: Vec<Guarantee>,
    /// `guarantees = "all"`: a hard path that the scenario names and nobody walked is "not enough evidence".
    pub all: bool,
    /// These limits.
    pub thresholds: Vec<Threshold>,
}

/// Bytes of a message's identity in a binary payload: run nonce, publisher, number, check.
pub const BINARY_LEN: usize = 16;
/// Bytes of a message's identity in a template, in hexadecimal digits.
pub const HEX_LEN: usize = 32;
