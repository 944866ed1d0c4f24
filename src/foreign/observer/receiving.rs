//! The client as a receiver: what it acknowledges, in which order, and how often it takes a QoS 2 message.

use super::{Observer, Out, PATIENCE};
use crate::device::identity::Reading;
use crate::mqtt::packet::Publish;
use crate::mqtt::{PacketId, QoS, mark};
use crate::time::Instant;
use crate::trace::{Breach, ClientFault, ClientId, Delivered, Strange, What, WillArrived};
use std::collections::{BTreeMap, VecDeque};

/// All that was handed to the client.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// PUBLISHes of this connection that wait for PUBACK, and for PUBREC, in order.
    due: [VecDeque<(u16, Instant)>; 2],
    /// QoS 2 identifiers that the broker has not released, over connections, each with a mark of its message's payload.
    held: BTreeMap<u16, u32>,
    /// PUBRELs of this connection that wait for PUBCOMP.
    released: BTreeMap<u16, Instant>,
    /// QoS 2 messages, and how often each came as a new one.
    pub fresh: BTreeMap<(ClientId, u32), u32>,
}

impl Receiving {
    pub fn begin(&mut self) {
        self.due = Default::default();
        self.released.clear();
    }

    pub fn forget(&mut self) {
        self.held.clear();
    }

    /// The broker has sent PUBREL.
    pub fn release(&mut self, id: u16, now: Instant) {
        self.held.remove(&id);
        self.released.insert(id, now);
    }

    /// What should have been answered on this connection.
    pub fn overdue(&self, now: Instant) -> Vec<(ClientFault, u16)> {
        let due = self.due.iter().flatten().copied().chain(self.released.iter().map(|(id, at)| (*id, *at)));
        due.filter(|(_, at)| now.since(*at) >= PATIENCE).map(|(id, _)| (ClientFault::NotAcknowledged, id)).collect()
    }
}

impl Observer {
    pub(super) fn receives(&mut self, p: &Publish<'_>, length: usize, out: &mut Out<'_>) {
        let reading = self.read(p, false);
        let packet_id = p.packet_id.map_or(0, PacketId::get);
        if p.qos != QoS::AtMostOnce {
            let due = &mut self.receiving.due[usize::from(p.qos == QoS::ExactlyOnce)];
            // A repeat on the same connection (before 5.0) asks for one more answer.
            due.push_back((packet_id, out.now));
            let taken = self.connection.as_ref().and_then(|c| c.greeting).map_or(u16::MAX, |g| g.receive_maximum);
            let waiting = self.receiving.due.iter().map(VecDeque::len).sum::<usize>();
            if waiting > usize::from(taken) {
                self.event(What::Protocol(Breach::ReceiveMaximum), out);
            }
        }
        if p.qos == QoS::ExactlyOnce && self.is_held(p, packet_id, reading, out) {
            return;
        }
        let (qos, retain) = (p.qos as u8, p.retain);
        let (bytes, payload) = (u32::try_from(length).unwrap_or(u32::MAX), p.payload.len());
        let what = match reading {
            Reading::Message { publisher, number, topic_of } => {
                if p.qos == QoS::ExactlyOnce {
                    *self.receiving.fresh.entry((publisher, number)).or_default() += 1;
                }
                What::Delivered(Delivered { publisher, number, topic_of, qos, dup: p.dup, retain, packet_id, bytes })
            }
            Reading::Will { of, connection } => What::Will(WillArrived { of, connection, qos, retain }),
            Reading::Strange(what) => {
                let what = if payload == 0 { Strange::Foreign } else { what };
                What::Strange { what, qos, retain, length: u32::try_from(payload).unwrap_or(u32::MAX) }
            }
        };
        self.event(what, out);
    }

    /// True if the identifier is in use: what comes under it is taken for a repeat, also where it is another message
    /// [MQTT-2.2.1-4].
    fn is_held(&mut self, p: &Publish<'_>, packet_id: u16, reading: Reading, out: &mut Out<'_>) -> bool {
        let mark = mark(p.payload);
        let Some(known) = self.receiving.held.get(&packet_id) else {
            self.receiving.held.insert(packet_id, mark);
            return false;
        };
        if *known != mark {
            self.event(What::Protocol(Breach::IdInUse), out);
            if let Reading::Message { publisher, number, .. } = reading {
                self.event(What::Masked { publisher, number }, out);
            }
        }
        self.event(What::RepeatSuppressed { packet_id }, out);
        true
    }

    /// PUBACK or PUBREC from the client.
    pub(super) fn acknowledges(&mut self, qos: QoS, id: u16, reason: u8, out: &mut Out<'_>) {
        let due = &mut self.receiving.due[usize::from(qos == QoS::ExactlyOnce)];
        let place = due.iter().position(|(other, _)| *other == id);
        if let Some(place) = place {
            due.remove(place);
        }
        if reason >= 0x80 && qos == QoS::ExactlyOnce {
            self.receiving.held.remove(&id);
        }
        match place {
            Some(0) => {}
            Some(_) => self.fault(ClientFault::AckOrder, None, id, out),
            // The answer to a PUBREC that was asked for twice may come once; an answer to nothing may not come at all.
            None => self.fault(ClientFault::AckUnasked, None, id, out),
        }
    }

    /// PUBCOMP from the client.
    pub(super) fn completes(&mut self, id: u16, out: &mut Out<'_>) {
        if self.receiving.released.remove(&id).is_none() {
            self.fault(ClientFault::AckUnasked, None, id, out);
        }
    }
}
