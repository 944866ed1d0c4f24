//! What clients publish: taken in, acknowledged, and routed to the sessions that it is for.

use super::access::Right;
use super::core::{Broker, ConnId};
use super::defects::Defect;
use super::message::{Charge, Delivery, Message};
use crate::mqtt::packet::{Ack, Packet, Publish};
use crate::mqtt::properties::{Properties, Property};
use crate::mqtt::{PacketId, QoS};
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// Why a PUBLISH is not handed on, and the reason code that says so.
pub(super) type Refusal = (u8, &'static str);

impl Broker {
    pub(super) fn publish(&mut self, conn: ConnId, session: u32, p: &Publish<'_>, now: Instant) {
        let v5 = self.is_v5(conn);
        if v5 && p.qos as u8 > self.config.max_qos {
            return self.end(conn, 0x9B, "QoS above Maximum QoS [MQTT-3.2.2-11]", now);
        }
        if v5 && p.retain && !self.config.retain {
            return self.end(conn, 0x9A, "a retained message where none is kept [MQTT-3.2.2-14]", now);
        }
        let topic = match self.resolve_alias(conn, p) {
            Ok(topic) => topic,
            Err((reason, why)) => return self.end(conn, reason, why, now),
        };
        let fresh = match p.packet_id {
            Some(id) if p.qos == QoS::ExactlyOnce => {
                // Until PUBREL each repeat gets PUBREC and goes no further [MQTT-4.3.3-10], over reconnects too.
                let limit = usize::from(if v5 { self.config.receive_maximum } else { u16::MAX });
                let Some(Some(state)) = self.sessions.get_mut(session as usize) else { return };
                let fresh = state.receive(id);
                if let (true, Some(journal)) = (fresh, &mut self.journal) {
                    journal.received(state, id, true);
                }
                if state.unreleased() > limit {
                    return self.end(conn, 0x93, "more than Receive Maximum at a time [MQTT-3.3.4-9]", now);
                }
                fresh
            }
            _ => true,
        };
        let refusal = if fresh { self.take_in(session, p, topic, now) } else { None };
        match refusal {
            // 3.1.1 [MQTT-3.3.5-2]: acknowledged as if it were allowed; closed if there is no memory for it.
            Some((0x97, why)) if !v5 => self.end(conn, 0x97, why, now),
            Some(_) if !v5 => self.acknowledge(conn, session, p, None),
            refusal => self.acknowledge(conn, session, p, refusal),
        }
    }

    /// Why this session's client may not publish to that topic. Nobody but the broker speaks under `$SYS` (section 4.7.2).
    fn refuses_publication(&self, session: u32, topic: &str) -> Option<Refusal> {
        let state = self.session(session)?;
        let user = state.connection.and_then(|c| self.connections.get(c.0)).and_then(|c| c.user.as_deref());
        let allowed = self.config.access.allows(Right::Write, user, &state.client_id, topic);
        (!allowed || topic.starts_with("$SYS/")).then_some((0x87, "not allowed to publish to this topic"))
    }

    /// Routes a message, or says why not.
    fn take_in(&mut self, session: u32, p: &Publish<'_>, topic: Box<str>, now: Instant) -> Option<Refusal> {
        self.counts.published += 1;
        if let Some(refusal) = self.refuses_publication(session, &topic) {
            return Some(refusal);
        }
        let variable = topic.len() + p.payload.len() + p.properties.as_bytes().len();
        if !self.has_memory_for(variable) {
            return Some((0x97, "the broker's memory is full"));
        }
        let from = Arc::clone(&self.session(session)?.client_id);
        let expiry = p.properties.find(|p| if let Property::MessageExpiryInterval(s) = p { Some(s) } else { None });
        self.numbers += 1;
        let message = Message {
            number: self.numbers,
            topic,
            payload: p.payload.into(),
            qos: p.qos,
            retain: p.retain,
            properties: p.properties.as_bytes().into(),
            expires: expiry.map(|s| now + Duration::from_secs(s.into())),
            from,
            _charge: Charge::new(&self.kept, variable),
        };
        self.note_dup(message.number, p.dup);
        self.publish_message(message, session, now);
        None
    }

    fn acknowledge(&mut self, conn: ConnId, session: u32, p: &Publish<'_>, refusal: Option<Refusal>) {
        let Some(packet_id) = p.packet_id else { return };
        if self.config.defects.strikes(Defect::SwallowAck) {
            return;
        }
        let (reason, why) = refusal.unwrap_or((0, ""));
        let ack = Ack { packet_id, reason, properties: Properties::EMPTY };
        if p.qos == QoS::ExactlyOnce {
            if reason >= 0x80 {
                self.release(session, packet_id); // a refused identifier is free again
            }
            self.send_ack(conn, why, &Packet::PubRec(ack));
        } else {
            self.send_ack(conn, why, &Packet::PubAck(ack)); // [MQTT-4.3.2-4]
        }
        if self.config.defects.strikes(Defect::StrayAck) {
            self.send(conn, &Packet::PubAck(Ack::plain(PacketId::MAX)));
        }
        if self.config.defects.strikes(Defect::Malformed)
            && let Some(connection) = self.connections.get_mut(conn.0)
        {
            connection.out.extend_from_slice(&[0x4F, 2, 0, 1]);
        }
        if self.config.defects.strikes(Defect::FreezeAll) {
            self.sabotage.frozen = true;
            self.connections.each(|c| c.frozen = true);
        }
        if self.config.defects.strikes(Defect::Freeze)
            && let Some(connection) = self.connections.get_mut(conn.0)
        {
            connection.frozen = true;
        }
    }

    /// An acknowledgement, with its reason in words unless the client does not want to know [MQTT-3.1.2-29].
    pub(super) fn send_ack(&mut self, conn: ConnId, why: &str, packet: &Packet<'_>) {
        let silent = why.is_empty() || self.connections.get(conn.0).is_some_and(|c| !c.wants_reasons);
        if silent {
            self.send(conn, packet);
        } else {
            self.send_with_reason(conn, why, packet);
        }
    }

    /// The topic, by its alias if need be [MQTT-3.3.2-7..11]; the reason codes for illegal aliases are those of section 3.3.4.
    fn resolve_alias(&mut self, conn: ConnId, p: &Publish<'_>) -> Result<Box<str>, Refusal> {
        let alias = p.properties.find(|p| if let Property::TopicAlias(a) = p { Some(a) } else { None });
        let Some(alias) = alias else { return Ok(p.topic.into()) };
        if alias > self.config.topic_alias_maximum {
            return Err((0x94, "topic alias above the maximum [MQTT-3.3.2-9]"));
        }
        const UNKNOWN: Refusal = (0x82, "topic alias that was never set");
        let connection = self.connections.get_mut(conn.0).ok_or(UNKNOWN)?;
        if p.topic.is_empty() {
            return connection.aliases.get(&alias).cloned().ok_or(UNKNOWN);
        }
        connection.aliases.insert(alias, p.topic.into());
        Ok(p.topic.into())
    }

    pub(super) fn pubrel(&mut self, conn: ConnId, session: u32, ack: &Ack<'_>) {
        let known = self.release(session, ack.packet_id);
        let known = known && !self.config.defects.strikes(Defect::UnknownPubrel);
        let reason = if known || !self.is_v5(conn) { 0 } else { 0x92 };
        let answer = Ack { packet_id: ack.packet_id, reason, properties: Properties::EMPTY };
        self.send(conn, &Packet::PubComp(answer)); // [MQTT-4.3.3-11]
    }

    /// A QoS 2 identifier is over; whether it was known.
    fn release(&mut self, session: u32, id: PacketId) -> bool {
        let Some(Some(state)) = self.sessions.get_mut(session as usize) else { return false };
        let known = state.release(id);
        if let (true, Some(journal)) = (known, &mut self.journal) {
            journal.received(state, id, false);
        }
        known
    }

    /// Hands a message to every session it matches [MQTT-4.5.0-1], and keeps it if it is to be retained.
    pub(super) fn publish_message(&mut self, mut message: Message, from: u32, now: Instant) {
        self.damage(&mut message);
        let message = Arc::new(message);
        if message.retain && self.config.retain {
            self.retain(&message);
        }
        let mut matches = std::mem::take(&mut self.matches);
        matches.clear();
        let (router, sessions) = (&mut self.router, &self.sessions);
        let online = |s: u32| sessions.get(s as usize).and_then(Option::as_ref).is_some_and(|s| s.connection.is_some());
        // Nobody has this number: No Local then holds for nobody.
        let from = if self.config.defects.strikes(Defect::EchoNoLocal) { u32::MAX } else { from };
        router.matches(&message.topic, from, online, &mut matches);
        if !self.config.defects.is_empty() {
            self.share_twice(&message.topic, &mut matches);
        }
        for m in matches.drain(..) {
            let mut delivery = Delivery {
                message: Arc::clone(&message),
                qos: m.qos.min(message.qos), // [MQTT-3.8.4-6], 5.0: [MQTT-3.8.4-8]
                retain: m.retain_as_published && message.retain, // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
                identifiers: m.identifiers,
                record: 0,
            };
            self.spoil(&mut delivery);
            self.hand_over(m.session, delivery, now);
        }
        self.matches = matches;
        self.after_routing(&message, now);
    }
}
