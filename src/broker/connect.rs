//! CONNECT: sessions, take-over, wills, and what the broker says of itself.

use super::connection::Will;
use super::core::{Broker, ConnId, Timer};
use super::defects::Defect;
use super::message::Message;
use crate::mqtt::packet::{ConnAck, Connect, Packet};
use crate::mqtt::properties::{Properties, PropertiesBuf, Property};
use crate::mqtt::{QoS, Version};
use crate::time::{Duration, Instant};

impl Broker {
    pub(super) fn connect(&mut self, conn: ConnId, c: &Connect<'_>, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.version = c.version;
        }
        if let Some(reason) = self.refusal(c) {
            let refused = ConnAck { session_present: false, reason, properties: Properties::EMPTY };
            self.send(conn, &Packet::ConnAck(refused)); // [MQTT-3.1.4-5]
            return self.close(conn, false, now);
        }
        let (client_id, assigned) = self.client_id(c.client_id);
        let (index, present) = self.find_session(&client_id, c.clean_start, now);
        let expiry = session_expiry(c);
        let session = self.session_mut(index).expect("it was just found");
        session.connection = Some(conn);
        session.expiry = expiry;
        session.ends_at = None;
        self.set_up_connection(conn, c, index);
        self.write_connack(conn, present, assigned.then_some(&*client_id));
        self.resume(index, now);
    }

    /// A reason to refuse. 3.1.1: [MQTT-3.1.3-8] no identifier without a clean session.
    fn refusal(&self, c: &Connect<'_>) -> Option<u8> {
        if c.client_id.is_empty() && (c.version == Version::V31 || (c.version == Version::V311 && !c.clean_start)) {
            return Some(2);
        }
        let method = c.properties.find(|p| matches!(p, Property::AuthenticationMethod(_)).then_some(()));
        if method.is_some() {
            return Some(0x8C); // [MQTT-4.12.0-1]
        }
        let will_qos = c.will.map_or(QoS::AtMostOnce, |w| w.qos);
        (c.version == Version::V5 && will_qos as u8 > self.config.max_qos).then_some(0x9B) // [MQTT-3.2.2-12]
    }

    /// [MQTT-3.1.3-6] an empty identifier gets a unique one.
    fn client_id(&mut self, given: &str) -> (Box<str>, bool) {
        if !given.is_empty() {
            return (given.into(), false);
        }
        loop {
            self.assigned_ids += 1;
            let id = format!("auto-{}", self.assigned_ids);
            if !self.by_client.contains_key(id.as_str()) {
                return (id.into(), true);
            }
        }
    }

    /// The client's session, and whether it was there. [MQTT-3.1.4-3] the old connection is closed with 0x8E;
    /// [MQTT-3.1.2-4] a clean start ends the old session; [MQTT-3.1.2-5] else it goes on.
    fn find_session(&mut self, client_id: &str, clean: bool, now: Instant) -> (u32, bool) {
        if let Some(index) = self.by_client.get(client_id).copied()
            && let Some(old) = self.session(index).and_then(|s| s.connection)
        {
            self.end(old, 0x8E, now);
        }
        let existing = self.by_client.get(client_id).copied();
        let forget = existing.is_some() && !clean && self.config.defects.strikes(Defect::ForgetSession);
        match existing {
            Some(index) if !clean && !forget => {
                self.delayed_wills.remove(&index); // it came back in time [MQTT-3.1.3-9]
                (index, true)
            }
            Some(index) => {
                self.end_session(index, now);
                (self.new_session(client_id), false)
            }
            None => (self.new_session(client_id), false),
        }
    }

    fn set_up_connection(&mut self, conn: ConnId, c: &Connect<'_>, session: u32) {
        let will = c.will.map(|w| will(&w, session));
        let default_window = self.config.window;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.session = Some(session);
        connection.will = will;
        connection.patience = Duration::from_millis(u64::from(c.keep_alive) * 1500);
        connection.window = usize::from(default_window);
        for property in c.properties.iter() {
            match property {
                Property::ReceiveMaximum(n) => connection.window = usize::from(n.min(default_window)),
                Property::MaximumPacketSize(n) => connection.max_packet = n as usize,
                _ => {}
            }
        }
        let at = connection.deadline();
        self.arm(at, Timer::Silence(conn));
    }

    fn write_connack(&mut self, conn: ConnId, present: bool, assigned: Option<&str>) {
        let mut p = PropertiesBuf::default();
        p.push(Property::ReceiveMaximum(self.config.receive_maximum));
        p.push(Property::TopicAliasMaximum(self.config.topic_alias_maximum));
        p.push(Property::MaximumPacketSize(self.config.max_packet));
        if self.config.max_qos < 2 {
            p.push(Property::MaximumQoS(self.config.max_qos));
        }
        if let Some(id) = assigned {
            p.push(Property::AssignedClientIdentifier(id)); // [MQTT-3.2.2-16]
        }
        let session_present = present || self.config.defects.strikes(Defect::InventSession);
        // 3.1 has no such flag.
        let v31 = self.connections.get(&conn).is_some_and(|c| c.version == Version::V31);
        let ack = ConnAck { session_present: session_present && !v31, reason: 0, properties: p.as_properties() };
        self.send(conn, &Packet::ConnAck(ack));
    }
}

/// 3.1.1: a session that is not clean lasts for ever.
fn session_expiry(c: &Connect<'_>) -> u32 {
    match c.version {
        Version::V5 => {
            c.properties.find(|p| if let Property::SessionExpiryInterval(s) = p { Some(s) } else { None }).unwrap_or(0)
        }
        _ if c.clean_start => 0,
        _ => u32::MAX,
    }
}

fn will(w: &crate::mqtt::packet::Will<'_>, session: u32) -> Will {
    let mut properties = PropertiesBuf::default();
    let mut delay = 0;
    for property in w.properties.iter() {
        match property {
            Property::WillDelayInterval(seconds) => delay = seconds,
            other => {
                properties.push(other);
            }
        }
    }
    let message = Message {
        topic: w.topic.into(),
        payload: w.payload.into(),
        qos: w.qos,
        retain: w.retain,
        properties: properties.as_properties().as_bytes().into(),
        expires: None,
        from: session,
    };
    Will { message, delay }
}
