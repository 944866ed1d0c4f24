//! A message inside the broker, shared by all who receive it.

use crate::mqtt::QoS;
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::time::{Instant, nanos};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One application message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Its own, within this broker.
    pub number: u64,
    pub topic: Box<str>,
    pub payload: Box<[u8]>,
    pub qos: QoS,
    pub retain: bool,
    /// Properties that are passed on unchanged [MQTT-3.3.2-4] [MQTT-3.3.2-15..20], as they came.
    pub properties: Box<[u8]>,
    /// When it expires (5.0).
    pub expires: Option<Instant>,
    /// Identifier of the client that published it, for No Local.
    pub from: Arc<str>,
    /// Its share of the broker's memory.
    pub _charge: Charge,
}

/// Bytes of a count that all messages share, given back when the message goes.
#[derive(Debug)]
pub(super) struct Charge {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Charge {
    /// What a message weighs beside its topic, payload and properties: itself, its share of a table, its allocations.
    const OVERHEAD: usize = size_of::<Message>() + 64;

    pub fn new(total: &Arc<AtomicUsize>, variable: usize) -> Self {
        let bytes = variable + Self::OVERHEAD;
        total.fetch_add(bytes, Ordering::Relaxed);
        Self { total: Arc::clone(total), bytes }
    }
}

impl Clone for Charge {
    fn clone(&self) -> Self {
        Self::new(&self.total, self.bytes - Self::OVERHEAD)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A message on its way to one session.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub message: Arc<Message>,
    /// The lower of published and granted.
    pub qos: QoS,
    /// RETAIN as the subscriber gets it.
    pub retain: bool,
    /// Subscription identifiers of all matching subscriptions [MQTT-3.3.4-3..5].
    pub identifiers: Vec<u32>,
    /// Number of its record in the journal; 0: none.
    pub record: u64,
}

impl Delivery {
    /// The properties of the PUBLISH that goes out, with what is left of the expiry [MQTT-3.3.2-6]: less the whole seconds that it
    /// waited, so that 0 is said of nothing that is still alive. 0 means published with 0, or sent again after its expiry.
    pub fn properties(&self, alias: Option<u16>, now: Instant) -> PropertiesBuf {
        let mut out = PropertiesBuf::default();
        for property in PropertiesBuf::from_checked(&self.message.properties).iter() {
            match property {
                Property::MessageExpiryInterval(_) => {
                    let left = self.message.expires.map_or(0, |at| nanos(at.since(now)).div_ceil(1_000_000_000));
                    out.push(Property::MessageExpiryInterval(u32::try_from(left).unwrap_or(u32::MAX)));
                }
                // Of the connection it came on, not of the message.
                Property::TopicAlias(_) | Property::SubscriptionIdentifier(_) => {}
                other => {
                    out.push(other);
                }
            }
        }
        if let Some(alias) = alias {
            out.push(Property::TopicAlias(alias));
        }
        for id in &self.identifiers {
            out.push(Property::SubscriptionIdentifier(*id));
        }
        out
    }

    /// True if it must not be sent for the first time any more [MQTT-3.3.2-5]. Published with 0, it may go in that instant.
    pub fn is_expired(&self, now: Instant) -> bool {
        let zero = || {
            PropertiesBuf::from_checked(&self.message.properties)
                .iter()
                .any(|p| p == Property::MessageExpiryInterval(0))
        };
        self.message.expires.is_some_and(|at| at < now || (at == now && !zero()))
    }
}
