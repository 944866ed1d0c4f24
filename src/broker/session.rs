//! The broker's half of a session: subscriptions, what is in flight to the client, what waits, and the QoS 2
//! identifiers received from it.

use super::core::ConnId;
use super::message::Delivery;
use crate::mqtt::packet::SubscribeOptions;
use crate::mqtt::{PacketId, QoS};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    pub waiting: VecDeque<Delivery>,
    /// QoS 2 identifiers that the client has not released.
    pub received: BTreeSet<PacketId>,
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
            waiting: VecDeque::new(),
            received: BTreeSet::new(),
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

    /// Where the exchange of that identifier stands, if it is of that kind.
    pub fn position(&self, id: PacketId, qos: QoS) -> Option<usize> {
        self.in_flight.iter().position(|f| f.id == id && f.delivery.qos == qos)
    }
}
