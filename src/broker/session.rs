//! The broker's half of a session: subscriptions, what is in flight to the client, what waits, and the QoS 2
//! identifiers received from it.

use super::core::ConnId;
use super::message::Delivery;
use crate::mqtt::packet::SubscribeOptions;
use crate::mqtt::{PacketId, QoS};
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How far an exchange with the client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// PUBLISH sent; PUBACK (QoS 1) or PUBREC (QoS 2) is awaited.
    Published,
    /// PUBREL sent; PUBCOMP is awaited.
    Released,
}

/// A message in flight to the client.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub id: PacketId,
    pub stage: Stage,
    pub delivery: Delivery,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub client_id: Arc<str>,
    /// Whose it is, if users prove who they are: nobody else's client gets it.
    pub user: Option<Box<str>>,
    pub connection: Option<ConnId>,
    /// Seconds it outlives its connection; `u32::MAX` for ever; 0 ends with it.
    pub expiry: u32,
    /// When it ends, while it is not connected.
    pub ends_at: Option<Instant>,
    pub subscriptions: BTreeMap<Box<str>, (SubscribeOptions, u32)>,
    /// In the order of their first sending; at most a window, so that a search from the front, where the next
    /// acknowledgement usually is, beats any table.
    pub in_flight: VecDeque<InFlight>,
    /// How many of them, from the front, were sent on this connection; the rest is still to be sent again.
    pub sent_here: usize,
    pub waiting: VecDeque<Delivery>,
    /// QoS 2 identifiers that the client has not released, and whether their PUBLISH came on this connection.
    pub received: BTreeMap<PacketId, bool>,
    /// How many of those came on this connection, less those of earlier ones that it released here.
    unreleased: i32,
    /// The journal has a record of it.
    pub stored: bool,
    last_id: u16,
}

impl Session {
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.into(),
            user: None,
            connection: None,
            expiry: 0,
            ends_at: None,
            subscriptions: BTreeMap::new(),
            in_flight: VecDeque::new(),
            sent_here: 0,
            waiting: VecDeque::new(),
            received: BTreeMap::new(),
            unreleased: 0,
            stored: false,
            last_id: 0,
        }
    }

    /// An identifier that is not in use [MQTT-2.2.1-4]; none if all are.
    pub fn free_id(&mut self) -> Option<PacketId> {
        for _ in 0..=u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && !self.in_flight.iter().any(|f| f.id == id)
            {
                return Some(id);
            }
        }
        None
    }

    /// A connection begins. Send quota and Receive Maximum are no part of a session (section 4.9): both count anew.
    pub fn begin_connection(&mut self) {
        self.sent_here = 0;
        self.unreleased = 0;
        self.received.values_mut().for_each(|here| *here = false);
    }

    /// The client sent a QoS 2 message: whether its identifier is new.
    pub fn receive(&mut self, id: PacketId) -> bool {
        let known = self.received.insert(id, true);
        self.unreleased += i32::from(known != Some(true));
        known.is_none()
    }

    /// The client released an identifier: whether it was known.
    pub fn release(&mut self, id: PacketId) -> bool {
        let known = self.received.remove(&id).is_some();
        self.unreleased -= i32::from(known);
        known
    }

    /// Messages of this connection that wait for PUBCOMP. Each PUBCOMP for an earlier connection's message adds to the quota of who
    /// counts as section 4.9 says: that many more are not held against a client.
    pub fn unreleased(&self) -> usize {
        usize::try_from(self.unreleased).unwrap_or(0)
    }

    /// Where the exchange of that identifier stands, if it is of that kind.
    pub fn position(&self, id: PacketId, qos: QoS) -> Option<usize> {
        self.in_flight.iter().position(|f| f.id == id && f.delivery.qos == qos)
    }
}
