//! CONNECT: sessions, take-over, wills, and what the broker says of itself.

use super::access::Right;
use super::connection::Will;
use super::core::{Broker, ConnId, Timer};
use super::defects::Defect;
use super::message::{Charge, Message};
use crate::mqtt::packet::{ConnAck, Connect, Packet};
use crate::mqtt::properties::{Properties, PropertiesBuf, Property};
use crate::mqtt::{QoS, Version, codec};
use crate::time::{Duration, Instant};

/// Why a CONNECT is refused: 5.0's reason code, the return code before it, and in words.
struct Refusal(u8, u8, &'static str);

impl Broker {
    pub(super) fn connect(&mut self, conn: ConnId, c: &Connect<'_>, now: Instant) {
        if let Some(connection) = self.connections.get_mut(conn.0) {
            connection.version = c.version;
            let size = c.properties.find(|p| if let Property::MaximumPacketSize(n) = p { Some(n) } else { None });
            connection.max_packet = size.map_or(usize::MAX, |n| n as usize);
        }
        if let Some(Refusal(new, old, why)) = self.refusal(c) {
            let reason = if c.version == Version::V5 { new } else { old };
            self.note(conn, 1, || format!("refused with {reason:#04x}: {why}; {:?}", c.client_id));
            // [MQTT-3.1.4-5]
            let refused = ConnAck { session_present: false, reason, properties: Properties::EMPTY };
            self.send_with_reason(conn, why, &Packet::ConnAck(refused));
            return self.close(conn, false, now);
        }
        let (client_id, assigned) = self.client_id(c.client_id);
        let greeting = self.greeting(c, assigned.then_some(&*client_id));
        if !self.takes(conn, greeting.as_properties()) {
            self.note(conn, 1, || format!("refused: its Maximum Packet Size is below CONNACK's size; {client_id:?}"));
            return self.close(conn, false, now);
        }
        let (index, present) = self.find_session(&client_id, c.clean_start, now);
        let expiry = session_expiry(c).min(self.config.session_expiry_maximum);
        let user = self.user(c);
        let session = self.session_mut(index).expect("it was just found");
        session.user = user;
        session.connection = Some(conn);
        session.expiry = expiry;
        session.ends_at = None;
        session.begin_connection();
        self.store_session(index);
        self.set_up_connection(conn, c, index);
        self.note(conn, 1, || {
            let session = if present { "its session was there" } else { "a new session" };
            format!("{client_id:?} connected, MQTT level {}, {session}", c.version.level())
        });
        let present = present || self.config.defects.strikes(Defect::InventSession);
        // 3.1 has no such flag.
        let session_present = present && c.version != Version::V31;
        let properties = greeting.as_properties();
        self.send(conn, &Packet::ConnAck(ConnAck { session_present, reason: 0, properties }));
        self.resume(index, now);
    }

    /// Whether a client takes the CONNACK with these properties, none of which may be left out [MQTT-3.1.2-24]. It is
    /// asked before anything changes: who cannot be answered takes over no session.
    fn takes(&self, conn: ConnId, properties: Properties<'_>) -> bool {
        let Some(connection) = self.connections.get(conn.0).filter(|c| c.max_packet < usize::MAX) else { return true };
        let mut bytes = Vec::new();
        let ack = ConnAck { session_present: false, reason: 0, properties };
        codec::encode(&Packet::ConnAck(ack), connection.version, &mut bytes);
        bytes.len() <= connection.max_packet
    }

    /// Who the client is, if users prove it by a password.
    fn user(&self, c: &Connect<'_>) -> Option<Box<str>> {
        c.user_name.filter(|_| self.config.access.has_users()).map(Into::into)
    }

    /// Section 5.4.2: a session gives access to what its user may read, so that its identifier is not for others.
    fn is_anothers(&self, c: &Connect<'_>) -> bool {
        let session = self.by_client.get(c.client_id).and_then(|index| self.session(*index));
        let owner = session.and_then(|s| s.user.as_deref()).filter(|_| self.config.access.has_users());
        owner.is_some() && owner != c.user_name
    }

    fn refusal(&mut self, c: &Connect<'_>) -> Option<Refusal> {
        if !self.config.versions.contains(&c.version) {
            return Some(Refusal(0x84, 1, "MQTT version not served [MQTT-3.1.2-2]"));
        }
        let lasting = c.version == Version::V311 && !c.clean_start;
        if c.client_id.is_empty() && (c.version == Version::V31 || lasting || !self.config.assigned_ids) {
            return Some(Refusal(0x85, 2, "a client identifier is needed [MQTT-3.1.3-8]"));
        }
        if c.properties.authentication_method().is_some() {
            return Some(Refusal(0x8C, 5, "no such authentication method [MQTT-4.12.0-1]"));
        }
        if !self.config.access.admits(c.user_name, c.password) {
            // 3.1.1's 4 is for malformed ones (table 3.1), and 5.0's 0x86 for those that the client named (table 3-1).
            let reason = if c.user_name.is_some() { 0x86 } else { 0x87 };
            return Some(Refusal(reason, 5, "wrong user name or password, or none"));
        }
        if self.is_anothers(c) {
            return Some(Refusal(0x85, 2, "another user's session has this client identifier [MQTT-3.1.3-8]"));
        }
        if let Some(will) = c.will
            && !self.config.access.allows(Right::Write, c.user_name, c.client_id, will.topic)
        {
            return Some(Refusal(0x87, 5, "not allowed to publish its will"));
        }
        let will_qos = c.will.map_or(QoS::AtMostOnce, |w| w.qos);
        if c.version == Version::V5 && will_qos as u8 > self.config.max_qos {
            return Some(Refusal(0x9B, 3, "will QoS above Maximum QoS [MQTT-3.2.2-12]"));
        }
        if c.version == Version::V5 && !self.config.retain && c.will.is_some_and(|w| w.retain) {
            return Some(Refusal(0x9A, 3, "a retained will where none is kept [MQTT-3.2.2-13]"));
        }
        if self.by_client.len() >= self.config.max_sessions && !self.by_client.contains_key(c.client_id) {
            return Some(Refusal(0x97, 3, "too many sessions"));
        }
        None
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
            if self.config.defects.strikes(Defect::KeepOldConnection) {
                self.leave_session(old, true, now);
            } else {
                self.end(old, 0x8E, "another connection with this client identifier", now);
            }
            self.repeat_last(index);
        }
        let existing = self.by_client.get(client_id).copied();
        let forget = existing.is_some() && !clean && self.config.defects.strikes(Defect::ForgetSession);
        match existing {
            Some(index) if !clean && !forget => {
                let forgets = !self.config.defects.strikes(Defect::WillDespiteReturn);
                if forgets && self.delayed_wills.remove(&index).is_some() {
                    self.forget_will(client_id); // it came back in time [MQTT-3.1.3-9]
                }
                self.forget_options(index);
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
        let will = c.will.map(|w| self.will(&w, session));
        if let (Some(journal), Some(will)) = (&mut self.journal, &will) {
            journal.will(&will.message.from, Some(will), None);
        }
        let (keep_alive, user) = (self.keep_alive(c), self.user(c));
        let config = &self.config;
        let Some(connection) = self.connections.get_mut(conn.0) else { return };
        connection.session = Some(session);
        connection.will = will;
        connection.user = user;
        connection.patience = Duration::from_millis(u64::from(keep_alive) * 1500);
        connection.window = usize::from(config.window);
        for property in c.properties.iter() {
            match property {
                Property::ReceiveMaximum(n) => connection.window = usize::from(n.min(config.window)),
                Property::TopicAliasMaximum(n) => connection.alias_maximum = n.min(config.topic_aliases_used),
                Property::RequestProblemInformation(n) => connection.wants_reasons = n == 1,
                _ => {}
            }
        }
        let at = connection.deadline();
        self.arm(at, Timer::Silence(conn));
    }

    /// The keep alive that holds: the client's, or in 5.0 the broker's if that is shorter [MQTT-3.1.2-21].
    fn keep_alive(&self, c: &Connect<'_>) -> u16 {
        let most = self.config.keep_alive_maximum;
        let too_long = c.keep_alive == 0 || c.keep_alive > most;
        if c.version == Version::V5 && most > 0 && too_long { most } else { c.keep_alive }
    }

    fn will(&mut self, w: &crate::mqtt::packet::Will<'_>, session: u32) -> Will {
        let mut properties = PropertiesBuf::default();
        let (mut delay, mut expiry) = (0, None);
        for property in w.properties.iter() {
            if let Property::MessageExpiryInterval(seconds) = property {
                expiry = Some(seconds);
            }
            match property {
                Property::WillDelayInterval(seconds) => delay = seconds,
                other => {
                    properties.push(other);
                }
            }
        }
        let properties: Box<[u8]> = properties.as_properties().as_bytes().into();
        self.numbers += 1;
        let message = Message {
            number: self.numbers,
            topic: w.topic.into(),
            payload: w.payload.into(),
            qos: w.qos,
            retain: w.retain,
            expires: None,
            from: self.session(session).map_or_else(|| "".into(), |s| s.client_id.clone()),
            _charge: Charge::new(&self.kept, w.topic.len() + w.payload.len() + properties.len()),
            properties,
        };
        Will { message, delay, expiry }
    }

    /// What an accepting CONNACK tells the client.
    fn greeting(&self, c: &Connect<'_>, assigned: Option<&str>) -> PropertiesBuf {
        let config = &self.config;
        let mut p = PropertiesBuf::default();
        p.push(Property::ReceiveMaximum(config.receive_maximum));
        p.push(Property::TopicAliasMaximum(config.topic_alias_maximum));
        p.push(Property::MaximumPacketSize(config.max_packet));
        if config.max_qos < 2 {
            p.push(Property::MaximumQoS(config.max_qos)); // [MQTT-3.2.2-9]
        }
        if !config.retain {
            p.push(Property::RetainAvailable(0));
        }
        let keep_alive = self.keep_alive(c);
        if keep_alive != c.keep_alive {
            p.push(Property::ServerKeepAlive(keep_alive)); // [MQTT-3.1.2-21]
        }
        if session_expiry(c) > config.session_expiry_maximum {
            p.push(Property::SessionExpiryInterval(config.session_expiry_maximum));
        }
        if let Some(id) = assigned {
            p.push(Property::AssignedClientIdentifier(id)); // [MQTT-3.2.2-16]
        }
        p
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
