//! PUBLISH in, PUBLISH out, and the hand-shakes of both halves.

use super::core::{Broker, ConnId};
use super::defects::Defect;
use super::message::{Delivery, Message};
use super::session::{InFlight, Stage};
use crate::mqtt::packet::{Ack, Packet, Publish};
use crate::mqtt::properties::{Properties, PropertiesBuf, Property};
use crate::mqtt::{PacketId, QoS, Version, codec};
use crate::time::{Duration, Instant};
use std::sync::Arc;

impl Broker {
    // ---- from clients ----

    pub(super) fn publish(&mut self, conn: ConnId, session: u32, p: &Publish<'_>, now: Instant) {
        if p.qos as u8 > self.config.max_qos && self.connections.get(&conn).is_some_and(|c| c.version == Version::V5) {
            return self.end(conn, 0x9B, now); // [MQTT-3.2.2-11]
        }
        let Some(topic) = self.resolve_alias(conn, p) else { return self.end(conn, 0x94, now) };
        let repeated = match p.packet_id {
            Some(id) if p.qos == QoS::ExactlyOnce => {
                // Until PUBREL each repeat gets PUBREC and goes no further [MQTT-4.3.3-10], over reconnects too.
                let limit = usize::from(self.config.receive_maximum);
                let Some(state) = self.session_mut(session) else { return };
                let repeated = !state.received.insert(id);
                if state.received.len() > limit {
                    return self.end(conn, 0x93, now); // [MQTT-3.3.4-8]
                }
                repeated
            }
            _ => false,
        };
        if !repeated {
            self.publish_message(incoming(p, &topic, session, now), now);
        }
        self.acknowledge(conn, p);
    }

    fn acknowledge(&mut self, conn: ConnId, p: &Publish<'_>) {
        let Some(id) = p.packet_id else { return };
        if self.config.defects.strikes(Defect::SwallowAck) {
            return;
        }
        match p.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.send(conn, &Packet::PubAck(Ack::plain(id))), // [MQTT-4.3.2-4]
            QoS::ExactlyOnce => self.send(conn, &Packet::PubRec(Ack::plain(id))),
        }
        if self.config.defects.strikes(Defect::StrayAck) {
            self.send(conn, &Packet::PubAck(Ack::plain(PacketId::MAX)));
        }
        if self.config.defects.strikes(Defect::Malformed)
            && let Some(connection) = self.connections.get_mut(&conn)
        {
            connection.out.extend_from_slice(&[0x4F, 2, 0, 1]);
        }
        if self.config.defects.strikes(Defect::Freeze)
            && let Some(connection) = self.connections.get_mut(&conn)
        {
            connection.frozen = true;
        }
    }

    /// The topic, by its alias if need be [MQTT-3.3.2-7..11]; none if the alias is illegal.
    fn resolve_alias(&mut self, conn: ConnId, p: &Publish<'_>) -> Option<Box<str>> {
        let alias = p.properties.find(|p| if let Property::TopicAlias(a) = p { Some(a) } else { None });
        let Some(alias) = alias else { return Some(p.topic.into()) };
        if alias > self.config.topic_alias_maximum {
            return None;
        }
        let connection = self.connections.get_mut(&conn)?;
        if p.topic.is_empty() {
            return connection.aliases.get(&alias).cloned();
        }
        connection.aliases.insert(alias, p.topic.into());
        Some(p.topic.into())
    }

    pub(super) fn pubrel(&mut self, conn: ConnId, session: u32, ack: &Ack<'_>) {
        let known = self.session_mut(session).is_some_and(|s| s.received.remove(&ack.packet_id));
        let v5 = self.connections.get(&conn).is_some_and(|c| c.version == Version::V5);
        let reason = if known || !v5 { 0 } else { 0x92 };
        let answer = Ack { packet_id: ack.packet_id, reason, properties: Properties::EMPTY };
        self.send(conn, &Packet::PubComp(answer)); // [MQTT-4.3.3-11]
    }

    // ---- routing ----

    /// Hands a message to every session it matches [MQTT-4.5.0-1], and keeps it if it is to be retained.
    pub(super) fn publish_message(&mut self, mut message: Message, now: Instant) {
        self.damage(&mut message);
        let message = Arc::new(message);
        if message.retain {
            self.retain(&message);
        }
        let mut matches = std::mem::take(&mut self.matches);
        matches.clear();
        let (router, sessions) = (&mut self.router, &self.sessions);
        let online = |s: u32| sessions.get(s as usize).and_then(Option::as_ref).is_some_and(|s| s.connection.is_some());
        router.matches(&message.topic, message.from, online, &mut matches);
        for m in matches.drain(..) {
            let delivery = Delivery {
                message: Arc::clone(&message),
                qos: m.qos.min(message.qos), // [MQTT-3.8.4-6], 5.0: [MQTT-3.8.4-8]
                retain: m.retain_as_published && message.retain, // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
                identifiers: m.identifiers,
            };
            self.hand_over(m.session, delivery, now);
        }
        self.matches = matches;
        self.misroute(&message, now);
        if !self.config.defects.is_empty() {
            self.last_topic = message.topic.clone();
        }
    }

    /// [MQTT-3.3.1-5] the last one is kept, [MQTT-3.3.1-6] an empty one clears.
    fn retain(&mut self, message: &Arc<Message>) {
        if !message.payload.is_empty() {
            self.retained.insert(message.topic.clone(), Arc::clone(message));
        } else if !self.config.defects.strikes(Defect::KeepRetained) {
            self.retained.remove(&message.topic);
        }
    }

    /// Defects that spoil a message for everybody.
    fn damage(&mut self, message: &mut Message) {
        if self.config.defects.is_empty() {
            return;
        }
        if self.config.defects.strikes(Defect::CorruptPayload)
            && let Some(byte) = message.payload.last_mut()
        {
            *byte ^= 0x20;
        }
        if self.config.defects.strikes(Defect::TruncatePayload) && !message.payload.is_empty() {
            message.payload = message.payload[..message.payload.len() - 1].into();
        }
    }

    /// A defect: somebody who has no matching filter gets it.
    fn misroute(&mut self, message: &Arc<Message>, now: Instant) {
        if self.config.defects.is_empty() || !self.config.defects.strikes(Defect::Misroute) {
            return;
        }
        let victim = (0..self.sessions.len()).find(|i| {
            let session = self.sessions[*i].as_ref();
            session.is_some_and(|s| {
                s.connection.is_some()
                    && !s
                        .subscriptions
                        .keys()
                        .any(|f| crate::promise::filter_matches(super::subscribe::parts(f).1, &message.topic))
            })
        });
        if let Some(victim) = victim.and_then(|v| u32::try_from(v).ok()) {
            let message = Arc::clone(message);
            let delivery = Delivery { message, qos: QoS::AtMostOnce, retain: false, identifiers: Vec::new() };
            self.hand_over(victim, delivery, now);
        }
    }

    /// Defects on the way to one session, then the honest way.
    fn hand_over(&mut self, session: u32, mut delivery: Delivery, now: Instant) {
        if self.config.defects.is_empty() {
            return self.enqueue(session, delivery, now);
        }
        let qos = delivery.qos;
        let defects = &mut self.config.defects;
        if qos > QoS::AtMostOnce && defects.strikes(Defect::LoseAcked) {
            return;
        }
        if defects.strikes(Defect::RaiseQos) && qos < QoS::ExactlyOnce {
            delivery.qos = QoS::ExactlyOnce;
        }
        if defects.strikes(Defect::WrongTopic)
            && !self.last_topic.is_empty()
            && self.last_topic != delivery.message.topic
        {
            delivery.message = Arc::new(Message { topic: self.last_topic.clone(), ..(*delivery.message).clone() });
        }
        let twice = [Defect::DuplicateQos0, Defect::DuplicateQos1, Defect::DuplicateQos2][qos as usize];
        if self.config.defects.strikes(twice) {
            self.enqueue(session, delivery.clone(), now);
        }
        let follows = |held: &Delivery| held.message.topic == delivery.message.topic;
        if self.held_back.get(&session).is_some_and(follows)
            && let Some(held) = self.held_back.remove(&session)
        {
            self.enqueue(session, delivery, now);
            return self.enqueue(session, held, now);
        }
        if !self.held_back.contains_key(&session) && self.config.defects.strikes(Defect::Reorder) {
            self.held_back.insert(session, delivery);
            return;
        }
        self.enqueue(session, delivery, now);
    }

    // ---- to clients ----

    /// Sends a message to a session, or queues it, or (QoS 0) drops it where nobody is.
    pub(super) fn enqueue(&mut self, index: u32, delivery: Delivery, now: Instant) {
        let (limit, backlog) = (self.config.queue_limit, self.config.backlog);
        let Some(session) = self.sessions.get_mut(index as usize).and_then(Option::as_mut) else { return };
        let connection = session.connection.and_then(|c| self.connections.get(&c));
        if delivery.qos == QoS::AtMostOnce {
            let Some((conn, connection)) = session.connection.zip(connection) else { return };
            if connection.out.len() < backlog {
                self.write_publish(conn, &delivery, None, false, now);
            }
            return;
        }
        if connection.is_none() && self.config.defects.strikes(Defect::DropOffline) {
            return;
        }
        if session.waiting.len() < limit {
            session.waiting.push_back(delivery);
        }
        self.pump(index, now);
    }

    /// Sends what waits while the window is open [MQTT-3.3.4-9].
    pub(super) fn pump(&mut self, index: u32, now: Instant) {
        loop {
            let ignore = !self.config.defects.is_empty() && self.config.defects.strikes(Defect::IgnoreReceiveMaximum);
            let backlog = self.config.backlog;
            let Some(session) = self.sessions.get_mut(index as usize).and_then(Option::as_mut) else { return };
            let Some(conn) = session.connection else { return };
            let Some(connection) = self.connections.get(&conn) else { return };
            let open = session.in_flight.len() < connection.window || ignore;
            if !open || connection.out.len() >= backlog {
                return;
            }
            let Some(delivery) = session.waiting.pop_front() else { return };
            if delivery.is_expired(now) {
                continue;
            }
            let Some(id) = session.free_id() else { return session.waiting.push_front(delivery) };
            session.in_flight.push_back(InFlight { id, stage: Stage::Published, delivery: delivery.clone() });
            if !self.write_publish(conn, &delivery, Some(id), false, now) {
                // Too large for this client: as if it had been sent and acknowledged [MQTT-3.1.2-25].
                if let Some(session) = self.session_mut(index) {
                    session.in_flight.retain(|f| f.id != id);
                }
            }
        }
    }

    /// False if the packet is larger than the client accepts [MQTT-3.1.2-24].
    fn write_publish(&mut self, conn: ConnId, d: &Delivery, id: Option<PacketId>, dup: bool, now: Instant) -> bool {
        let dup = dup || (d.qos == QoS::AtMostOnce && self.config.defects.strikes(Defect::DupAtQos0));
        let Some(connection) = self.connections.get_mut(&conn) else { return true };
        if connection.frozen {
            return true;
        }
        let properties = if connection.version == Version::V5 { d.properties(now) } else { PropertiesBuf::default() };
        let publish = Publish {
            dup,
            qos: d.qos,
            retain: d.retain,
            topic: &d.message.topic,
            packet_id: id,
            properties: properties.as_properties(),
            payload: &d.message.payload,
        };
        let before = connection.out.len();
        codec::encode(&Packet::Publish(publish), connection.version, &mut connection.out);
        if connection.out.len() - before > connection.max_packet {
            connection.out.truncate(before);
            return false;
        }
        self.touch(conn);
        true
    }

    /// [MQTT-4.4.0-1] after a resume: PUBLISH again with DUP, or PUBREL, with the original identifiers, in order.
    pub(super) fn resume(&mut self, index: u32, now: Instant) {
        let reverse = self.config.defects.strikes(Defect::ReverseResume);
        let Some(session) = self.session_mut(index) else { return };
        let Some(conn) = session.connection else { return };
        if reverse {
            session.waiting.make_contiguous().reverse();
        }
        let again: Vec<InFlight> = session.in_flight.iter().cloned().collect();
        for item in again {
            match item.stage {
                Stage::Published => {
                    self.write_publish(conn, &item.delivery, Some(item.id), true, now);
                }
                Stage::Released => self.send(conn, &Packet::PubRel(Ack::plain(item.id))),
            }
        }
        self.pump(index, now);
    }

    pub(super) fn puback(&mut self, index: u32, ack: &Ack<'_>, now: Instant) {
        self.finish(index, ack.packet_id, QoS::AtLeastOnce, now);
    }

    pub(super) fn pubrec(&mut self, index: u32, ack: &Ack<'_>, now: Instant) {
        if ack.reason >= 0x80 {
            return self.finish(index, ack.packet_id, QoS::ExactlyOnce, now);
        }
        let Some(session) = self.session_mut(index) else { return };
        let conn = session.connection;
        let known = session.position(ack.packet_id, QoS::ExactlyOnce);
        if let Some(at) = known {
            session.in_flight[at].stage = Stage::Released;
        }
        if let Some(conn) = conn {
            let v5 = self.connections.get(&conn).is_some_and(|c| c.version == Version::V5);
            let reason = if known.is_some() || !v5 { 0 } else { 0x92 };
            let answer = Ack { packet_id: ack.packet_id, reason, properties: Properties::EMPTY };
            self.send(conn, &Packet::PubRel(answer)); // [MQTT-4.3.3-4]
        }
    }

    pub(super) fn pubcomp(&mut self, index: u32, ack: &Ack<'_>, now: Instant) {
        self.finish(index, ack.packet_id, QoS::ExactlyOnce, now);
    }

    fn finish(&mut self, index: u32, id: PacketId, qos: QoS, now: Instant) {
        if let Some(session) = self.session_mut(index)
            && let Some(at) = session.position(id, qos)
        {
            session.in_flight.remove(at);
            self.pump(index, now);
        }
    }
}

fn incoming(p: &Publish<'_>, topic: &str, session: u32, now: Instant) -> Message {
    let expiry = p.properties.find(|p| if let Property::MessageExpiryInterval(s) = p { Some(s) } else { None });
    Message {
        topic: topic.into(),
        payload: p.payload.into(),
        qos: p.qos,
        retain: p.retain,
        properties: p.properties.as_bytes().into(),
        expires: expiry.map(|s| now + Duration::from_secs(s.into())),
        from: session,
    }
}
