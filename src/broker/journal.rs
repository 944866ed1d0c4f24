//! What must survive the broker's end: records by key, told as changes, for whoever stores them.
//!
//! The owner stores [`Broker::take_changes`] before it writes what [`Broker::poll_output`] gives, so that no client is told
//! what a crash could undo. Keys begin with the record's kind; a client identifier has no U+0000 in it [MQTT-1.5.4-2],
//! which ends it in keys. Times are by the wall clock, since a run's clock ends with its process.

use super::message::{Delivery, Message};
use super::session::{Session, Stage};
use crate::mqtt::packet::{Packet, Publish, SubscribeOptions};
use crate::mqtt::properties::PropertiesBuf;
use crate::mqtt::{PacketId, QoS, Version, codec};
use crate::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records by key.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Records that have changed: with a value, or none if they are gone.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A time that has not come and is not known: the connection lives.
pub(super) const NEVER: u64 = u64::MAX;

/// The changes since they were last taken.
#[derive(Debug)]
pub(super) struct Journal {
    pub changes: Changes,
    /// How many records name a message, by its number.
    holders: BTreeMap<u64, u32>,
    /// Numbers the deliveries of all sessions, so that each session's stay in order.
    pub next: u64,
    /// Nanoseconds since 1970 at [`Instant::ZERO`].
    pub wall_origin: u64,
}

/// The key of a record of a client's, or of one of several.
pub(super) fn key(kind: u8, name: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(name.as_bytes());
    if !rest.is_empty() {
        key.push(0);
        key.extend_from_slice(rest);
    }
    key
}

impl Journal {
    pub fn new(wall_origin: u64) -> Self {
        Self { changes: Changes::new(), holders: BTreeMap::new(), next: 0, wall_origin }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    pub fn wall(&self, at: Option<Instant>) -> u64 {
        at.map_or(NEVER, |at| self.wall_origin.saturating_add(at.as_nanos()))
    }

    /// One more record names this message.
    pub fn hold(&mut self, message: &Message) {
        let holders = self.holders.entry(message.number).or_default();
        *holders += 1;
        if *holders == 1 {
            let value = self.message(message);
            self.put(key(b'm', "", &message.number.to_be_bytes()), value);
        }
    }

    /// One record less names it; it goes with the last.
    pub fn release(&mut self, message: &Message) {
        if let Some(holders) = self.holders.get_mut(&message.number) {
            *holders -= 1;
            if *holders == 0 {
                self.holders.remove(&message.number);
                self.delete(key(b'm', "", &message.number.to_be_bytes()));
            }
        }
    }

    /// A message that was read back, which one more record names.
    pub fn held_already(&mut self, message: &Message) {
        *self.holders.entry(message.number).or_default() += 1;
    }

    /// Expiry, publisher, and the message as a PUBLISH of 5.0.
    fn message(&self, m: &Message) -> Vec<u8> {
        let mut value = self.wall(m.expires).to_be_bytes().to_vec();
        value.extend_from_slice(&u16::try_from(m.from.len()).unwrap_or(u16::MAX).to_be_bytes());
        value.extend_from_slice(m.from.as_bytes());
        let publish = Publish {
            dup: false,
            qos: m.qos,
            retain: m.retain,
            topic: &m.topic,
            packet_id: (m.qos > QoS::AtMostOnce).then_some(PacketId::MIN),
            properties: PropertiesBuf::from_checked(&m.properties),
            payload: &m.payload,
        };
        codec::encode(&Packet::Publish(publish), Version::V5, &mut value);
        value
    }

    /// A session that outlives its connection, or did until now.
    pub fn session(&mut self, session: &mut Session) {
        session.stored |= session.expiry > 0;
        if session.stored {
            let mut value = session.expiry.to_be_bytes().to_vec();
            value.extend_from_slice(&self.wall(session.ends_at).to_be_bytes());
            value.extend_from_slice(session.user.as_deref().unwrap_or_default().as_bytes());
            self.put(key(b's', &session.client_id, &[]), value);
        }
    }

    /// A session with all that belongs to it is gone.
    pub fn session_gone(&mut self, session: &Session) {
        if !session.stored {
            return;
        }
        self.delete(key(b's', &session.client_id, &[]));
        for filter in session.subscriptions.keys() {
            self.subscription(session, filter, None);
        }
        for delivery in session.in_flight.iter().map(|f| &f.delivery).chain(&session.waiting) {
            self.delivered(session, delivery);
        }
        for id in session.received.keys() {
            self.received(session, *id, false);
        }
    }

    pub fn subscription(&mut self, session: &Session, filter: &str, value: Option<(SubscribeOptions, u32)>) {
        if !session.stored {
            return;
        }
        let key = key(b'f', &session.client_id, filter.as_bytes());
        let value = value.map(|(options, identifier)| {
            let mut value = vec![options.to_byte()];
            value.extend_from_slice(&identifier.to_be_bytes());
            value
        });
        self.changes.insert(key, value);
    }

    /// A message is owed to a session: it waits, or is in flight.
    pub fn owed(&mut self, session: &Session, d: &mut Delivery, flight: Option<(PacketId, Stage)>) {
        if !session.stored {
            return;
        }
        if d.record == 0 {
            self.next += 1;
            d.record = self.next;
            self.hold(&d.message);
        }
        let mut value = d.message.number.to_be_bytes().to_vec();
        let (id, stage) = flight.map_or((0, 0), |(id, stage)| (id.get(), 1 + stage as u8));
        value.extend_from_slice(&[d.qos as u8, u8::from(d.retain), stage]);
        value.extend_from_slice(&id.to_be_bytes());
        for identifier in &d.identifiers {
            value.extend_from_slice(&identifier.to_be_bytes());
        }
        self.put(key(b'd', &session.client_id, &d.record.to_be_bytes()), value);
    }

    /// It is owed no more.
    pub fn delivered(&mut self, session: &Session, d: &Delivery) {
        if d.record != 0 {
            self.delete(key(b'd', &session.client_id, &d.record.to_be_bytes()));
            self.release(&d.message);
        }
    }

    /// A QoS 2 identifier was received, or released.
    pub fn received(&mut self, session: &Session, id: PacketId, is_there: bool) {
        if session.stored {
            let key = key(b'r', &session.client_id, &id.get().to_be_bytes());
            self.changes.insert(key, is_there.then(Vec::new));
        }
    }

    /// A topic's retained message, before and now.
    pub fn retained(&mut self, topic: &str, old: Option<&Arc<Message>>, new: Option<&Arc<Message>>) {
        if let Some(new) = new {
            self.hold(new);
        }
        if let Some(old) = old {
            self.release(old);
        }
        let value = new.map(|m| m.number.to_be_bytes().to_vec());
        self.changes.insert(key(b't', topic, &[]), value);
    }

    /// A client's will, and when it is due; never while its connection lives.
    pub fn will(&mut self, client_id: &str, will: Option<&super::connection::Will>, due: Option<Instant>) {
        let key = key(b'w', client_id, &[]);
        let Some(will) = will else { return self.delete(key) };
        let mut value = self.wall(due).to_be_bytes().to_vec();
        value.extend_from_slice(&will.delay.to_be_bytes());
        value.extend_from_slice(&will.expiry.map_or(NEVER, u64::from).to_be_bytes());
        value.extend_from_slice(&self.message(&will.message));
        self.put(key, value);
    }
}
