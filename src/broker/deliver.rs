//! What clients receive: queues, windows, and the broker's side of the hand-shakes.

use super::core::{Broker, ConnId};
use super::defects::Defect;
use super::message::Delivery;
use super::session::{InFlight, Stage};
use crate::mqtt::packet::{Ack, Packet, Publish};
use crate::mqtt::properties::{Properties, PropertiesBuf};
use crate::mqtt::{PacketId, QoS, Version};
use crate::time::Instant;

impl Broker {
    /// Sends a message to a session, or queues it, or (QoS 0) drops it where nobody is or takes it.
    pub(super) fn enqueue(&mut self, index: u32, mut delivery: Delivery, now: Instant) {
        let unsent = self.all_unsent();
        let Some(session) = self.sessions.get_mut(index as usize).and_then(Option::as_mut) else { return };
        let connection = session.connection.and_then(|c| self.connections.get(c.0));
        if delivery.qos == QoS::AtMostOnce {
            let Some((conn, connection)) = session.connection.zip(connection) else { return };
            if Self::has_room(&self.config, connection, unsent) {
                self.write_publish(conn, &delivery, None, false, now);
            }
            return;
        }
        if connection.is_none() && self.config.defects.strikes(Defect::DropOffline) {
            return;
        }
        let away = connection.is_none();
        if away && session.waiting.len() >= 3 && self.config.defects.strikes(Defect::ForgetOldest) {
            let oldest = session.waiting.pop_front();
            if let (Some(journal), Some(oldest)) = (&mut self.journal, oldest) {
                journal.delivered(session, &oldest);
            }
        }
        if session.waiting.len() < self.config.queue_limit {
            if let Some(journal) = &mut self.journal
                && !self.config.defects.strikes(Defect::AckUnstored)
            {
                journal.owed(session, &mut delivery, None);
            }
            session.waiting.push_back(delivery);
        }
        self.pump(index, now);
    }

    /// Sends what waits while the window is open [MQTT-3.3.4-9] and the connection takes it.
    pub(super) fn pump(&mut self, index: u32, now: Instant) {
        loop {
            let ignore = self.config.defects.strikes(Defect::IgnoreReceiveMaximum);
            let unsent = self.all_unsent();
            let Some(session) = self.sessions.get_mut(index as usize).and_then(Option::as_mut) else { return };
            let Some(conn) = session.connection else { return };
            let Some(connection) = self.connections.get(conn.0) else { return };
            let used = session.in_flight.len() + self.sabotage.leaked(index);
            let open = used < connection.window || ignore;
            if !open || session.waiting.is_empty() || !Self::has_room(&self.config, connection, unsent) {
                return;
            }
            let Some(mut delivery) = session.waiting.pop_front() else { return };
            if delivery.is_expired(now) && !self.config.defects.strikes(Defect::IgnoreExpiry) {
                self.over(index, &delivery);
                continue;
            }
            let in_use = session.in_flight.back().map(|f| f.id);
            let in_use = in_use.filter(|_| self.config.defects.strikes(Defect::ReuseIds));
            let Some(id) = in_use.or_else(|| session.free_id()) else { return session.waiting.push_front(delivery) };
            let stage = Stage::Published;
            if let Some(journal) = &mut self.journal {
                journal.owed(session, &mut delivery, Some((id, stage)));
            }
            session.in_flight.push_back(InFlight { id, stage, delivery: delivery.clone() });
            session.sent_here += 1;
            if !self.write_publish(conn, &delivery, Some(id), false, now) {
                // Too large for this client: as if it had been sent and acknowledged [MQTT-3.1.2-25].
                let stall = self.config.defects.strikes(Defect::StallOnLarge);
                if let Some(session) = self.session_mut(index) {
                    session.in_flight.pop_back();
                    session.sent_here -= 1;
                    if stall {
                        return session.waiting.push_front(delivery);
                    }
                }
                self.over(index, &delivery);
            }
        }
    }

    /// A message is owed no more.
    fn over(&mut self, index: u32, delivery: &Delivery) {
        if let (Some(journal), Some(Some(session))) = (&mut self.journal, self.sessions.get(index as usize)) {
            journal.delivered(session, delivery);
        }
    }

    /// False if the packet is larger than the client accepts [MQTT-3.1.2-24].
    fn write_publish(&mut self, conn: ConnId, d: &Delivery, id: Option<PacketId>, dup: bool, now: Instant) -> bool {
        let dup = dup || (d.qos == QoS::AtMostOnce && self.config.defects.strikes(Defect::DupAtQos0));
        let dup = dup || self.sabotage.carries_dup(&d.message);
        let Some(connection) = self.connections.get(conn.0) else { return true };
        let mut alias = if connection.version == Version::V5 { connection.alias_for(&d.message.topic) } else { None };
        if let Some((number, true)) = &mut alias
            && self.config.defects.strikes(Defect::AliasOutOfRange)
        {
            *number = connection.alias_maximum.saturating_add(1);
        }
        let mut sent = self.write_aliased(conn, d, id, dup, alias, now);
        if let (false, Some((_, true))) = (sent, alias) {
            alias = None; // setting one takes three bytes, which may be three too many
            sent = self.write_aliased(conn, d, id, dup, alias, now);
        }
        self.counts.delivered += u64::from(sent);
        if let (true, Some((number, true)), Some(connection)) = (sent, alias, self.connections.get_mut(conn.0)) {
            connection.aliases_used.insert(d.message.topic.clone(), number);
        }
        sent
    }

    /// Writes it with an alias, set by it or set before, or with none; false if it is too large.
    fn write_aliased(
        &mut self,
        conn: ConnId,
        d: &Delivery,
        id: Option<PacketId>,
        dup: bool,
        alias: Option<(u16, bool)>,
        now: Instant,
    ) -> bool {
        let properties = if self.is_v5(conn) {
            let own = d.properties(alias.map(|(number, _)| number), now);
            if self.config.defects.is_empty() { own } else { self.spoil_properties(own, &d.message.properties) }
        } else {
            PropertiesBuf::default()
        };
        let publish = Publish {
            dup,
            qos: d.qos,
            retain: d.retain,
            topic: if let Some((_, false)) = alias { "" } else { &d.message.topic },
            packet_id: id,
            properties: properties.as_properties(),
            payload: &d.message.payload,
        };
        self.send(conn, &Packet::Publish(publish))
    }

    /// [MQTT-4.4.0-1] after a resume: PUBLISH again with DUP, or PUBREL, with the original identifiers, in order.
    pub(super) fn resume(&mut self, index: u32, now: Instant) {
        let reverse = self.config.defects.strikes(Defect::ReverseResume);
        let Some(session) = self.session_mut(index) else { return };
        let Some(conn) = session.connection else { return };
        if reverse {
            session.waiting.make_contiguous().reverse();
        }
        self.send_again(index, conn, now);
        self.pump(index, now);
    }

    /// Goes on with what is still to be sent again, as far as the client's Receive Maximum, which may have shrunk, lets it
    /// [MQTT-3.3.4-9].
    fn send_again(&mut self, index: u32, conn: ConnId, now: Instant) {
        loop {
            let Some(window) = self.connections.get(conn.0).map(|c| c.window) else { return };
            let Some(Some(session)) = self.sessions.get_mut(index as usize) else { return };
            let Some(item) = session.in_flight.get(session.sent_here).cloned() else { return };
            let full = item.stage == Stage::Published && session.sent_here >= window;
            if full && !self.config.defects.strikes(Defect::IgnoreReceiveMaximum) {
                return;
            }
            session.sent_here += 1;
            if item.stage == Stage::Released {
                self.send(conn, &Packet::PubRel(Ack::plain(item.id)));
            } else if !self.write_publish(conn, &item.delivery, Some(item.id), true, now) {
                // Its client takes less than before: as if it had been sent and acknowledged [MQTT-3.1.2-25].
                if let Some(session) = self.session_mut(index) {
                    session.sent_here -= 1;
                    session.in_flight.remove(session.sent_here);
                }
                self.over(index, &item.delivery);
            }
        }
    }

    /// Whether it acknowledges a message in flight otherwise than its QoS and stage ask for: a protocol violation
    /// (3.1.1: [MQTT-4.8.0-1]). Identifiers that are not in flight are none: an answer may come again after a return.
    pub(super) fn is_out_of_turn(&self, session: u32, packet: &Packet<'_>) -> bool {
        let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack)) = packet else { return false };
        let Some(session) = self.session(session) else { return false };
        let wrong = |f: &InFlight| match packet {
            Packet::PubAck(_) => f.delivery.qos != QoS::AtLeastOnce,
            Packet::PubRec(_) => f.delivery.qos != QoS::ExactlyOnce,
            _ => f.stage != Stage::Released,
        };
        // One has that identifier, unless a defect gave it twice.
        let mut of_it = session.in_flight.iter().filter(|f| f.id == ack.packet_id);
        of_it.next().is_some_and(wrong) && of_it.all(wrong)
    }

    pub(super) fn puback(&mut self, index: u32, ack: &Ack<'_>, now: Instant) {
        self.finish(index, ack.packet_id, QoS::AtLeastOnce, Stage::Published, now);
    }

    /// A refusal ends the exchange; the message goes to nobody else [MQTT-4.8.2-6].
    pub(super) fn pubrec(&mut self, index: u32, ack: &Ack<'_>, now: Instant) {
        if ack.reason >= 0x80 {
            return self.finish(index, ack.packet_id, QoS::ExactlyOnce, Stage::Published, now);
        }
        let Some(Some(session)) = self.sessions.get_mut(index as usize) else { return };
        let Some(conn) = session.connection else { return };
        let known = session.position(ack.packet_id, QoS::ExactlyOnce);
        if let Some(at) = known {
            session.in_flight[at].stage = Stage::Released;
            if let Some(journal) = &mut self.journal {
                let mut delivery = session.in_flight[at].delivery.clone();
                journal.owed(session, &mut delivery, Some((ack.packet_id, Stage::Released)));
            }
        }
        let reason = if known.is_some() || !self.is_v5(conn) { 0 } else { 0x92 };
        let answer = Ack { packet_id: ack.packet_id, reason, properties: Properties::EMPTY };
        self.send(conn, &Packet::PubRel(answer)); // [MQTT-4.3.3-4]
    }

    pub(super) fn pubcomp(&mut self, index: u32, ack: &Ack<'_>, now: Instant) {
        self.finish(index, ack.packet_id, QoS::ExactlyOnce, Stage::Released, now);
    }

    /// An exchange is over, if there is one that has come that far; the next in the queue may go.
    fn finish(&mut self, index: u32, id: PacketId, qos: QoS, stage: Stage, now: Instant) {
        if let Some(session) = self.session_mut(index)
            && let Some(at) = session.position(id, qos)
            && session.in_flight[at].stage == stage
        {
            let (done, conn) = (session.in_flight.remove(at), session.connection);
            session.sent_here -= usize::from(at < session.sent_here);
            if let Some(done) = done {
                self.over(index, &done.delivery);
            }
            if let Some(conn) = conn {
                self.send_again(index, conn, now);
            }
            self.note_finished(index);
            self.pump(index, now);
        }
    }
}
