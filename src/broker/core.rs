//! The broker's core: connections and their bytes, timers, output.

use super::Config;
use super::connection::{Connection, Will};
use super::defects::Defect;
use super::message::Message;
use super::router::{Match, Router};
use super::session::Session;
use crate::mqtt::codec::{self, Sender};
use crate::mqtt::packet::{Packet, Reason};
use crate::mqtt::properties::Properties;
use crate::mqtt::{QoS, Version};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A network connection, numbered by its owner; numbers may be used again after [`Broker::handle_closed`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub u32);

/// What the owner of the connections must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Take [`Broker::take_output`] and write it.
    Write(ConnId),
    /// Write what is left, then close; [`Broker::handle_closed`] is not to be called for it.
    Close(ConnId),
}

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// A connection may have been silent for too long.
    Silence(ConnId),
    /// A session that is away may have ended.
    SessionEnd(u32),
    /// A delayed will may be due.
    Will(u32),
}

/// The broker.
///
/// Calling order: `handle_*`, then [`Broker::poll_output`] until none; [`Broker::handle_deadline`] when
/// [`Broker::next_deadline`] has come.
#[derive(Debug)]
pub struct Broker {
    pub(super) config: Config,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    pub(super) sessions: Vec<Option<Session>>,
    free_sessions: Vec<u32>,
    pub(super) by_client: BTreeMap<Box<str>, u32>,
    pub(super) router: Router,
    pub(super) retained: BTreeMap<Box<str>, Arc<Message>>,
    pub(super) delayed_wills: BTreeMap<u32, (Instant, Will)>,
    timers: BTreeSet<(Instant, Timer)>,
    dirty: VecDeque<ConnId>,
    closes: VecDeque<ConnId>,
    pub(super) assigned_ids: u64,
    /// Reused while routing.
    pub(super) matches: Vec<Match>,
    /// A defect: a message held back, by session.
    pub(super) held_back: BTreeMap<u32, super::message::Delivery>,
    pub(super) last_topic: Box<str>,
}

impl Broker {
    /// A broker that nobody has connected to.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            connections: BTreeMap::new(),
            sessions: Vec::new(),
            free_sessions: Vec::new(),
            by_client: BTreeMap::new(),
            router: Router::default(),
            retained: BTreeMap::new(),
            delayed_wills: BTreeMap::new(),
            timers: BTreeSet::new(),
            dirty: VecDeque::new(),
            closes: VecDeque::new(),
            assigned_ids: 0,
            matches: Vec::new(),
            held_back: BTreeMap::new(),
            last_topic: "".into(),
        }
    }

    // ---- what the owner calls ----

    /// A connection was accepted.
    pub fn handle_open(&mut self, conn: ConnId, now: Instant) {
        let connection = Connection::new(now, self.config.window);
        self.arm(connection.deadline(), Timer::Silence(conn));
        self.connections.insert(conn, connection);
    }

    /// Bytes came.
    pub fn handle_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.last_heard = now;
        if connection.partial.is_empty() {
            let used = self.packets(conn, bytes, now);
            self.keep_rest(conn, &bytes[used..]);
        } else {
            let mut whole = std::mem::take(&mut connection.partial);
            whole.extend_from_slice(bytes);
            let used = self.packets(conn, &whole, now);
            self.keep_rest(conn, &whole[used..]);
        }
    }

    fn keep_rest(&mut self, conn: ConnId, rest: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && !connection.closing
        {
            connection.partial = rest.to_vec();
        }
    }

    /// The connection ended without the broker's doing.
    pub fn handle_closed(&mut self, conn: ConnId, now: Instant) {
        self.drop_connection(conn, true, now);
    }

    /// Does what is due up to `now`.
    pub fn handle_deadline(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Silence(conn) => self.check_silence(conn, now),
                Timer::SessionEnd(session) => {
                    let over = self.session(session).is_some_and(|s| s.ends_at.is_some_and(|end| end <= now));
                    if over {
                        self.end_session(session, now);
                    }
                }
                Timer::Will(session) => {
                    if self.delayed_wills.get(&session).is_some_and(|(due, _)| *due <= now) {
                        self.fire_delayed_will(session, now);
                    }
                }
            }
        }
    }

    /// When [`Self::handle_deadline`] must be called next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What the owner must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(conn) = self.dirty.pop_front() {
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.dirty = false;
            }
            return Some(Output::Write(conn));
        }
        self.closes.pop_front().map(Output::Close)
    }

    /// Moves a connection's output to the end of `into`, and gives its buffer back to it.
    pub fn take_output(&mut self, conn: ConnId, into: &mut Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            into.append(&mut connection.out);
            if connection.out.capacity() > 4096 {
                connection.out = Vec::new();
            }
        }
    }

    /// The owner has closed a connection that it was told to close.
    pub fn forget_connection(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
    }

    /// How many connections there are, and how many sessions.
    #[must_use]
    pub fn population(&self) -> (usize, usize) {
        (self.connections.len(), self.by_client.len())
    }

    // ---- packets ----

    fn packets(&mut self, conn: ConnId, bytes: &[u8], now: Instant) -> usize {
        let mut used = 0;
        while let Some(connection) = self.connections.get(&conn) {
            if connection.closing {
                return bytes.len();
            }
            let version = connection.version;
            match codec::decode(&bytes[used..], version, Sender::Client, self.config.max_packet) {
                Ok(Some((packet, length))) => {
                    used += length;
                    self.packet(conn, &packet, now);
                }
                Ok(None) => return used,
                Err(error) => {
                    self.malformed(conn, error, now);
                    return bytes.len();
                }
            }
        }
        bytes.len()
    }

    /// [MQTT-4.13.1-1] close; [MQTT-3.1.4-1] before CONNECT without a word, but for an unknown level [MQTT-3.1.2-2].
    fn malformed(&mut self, conn: ConnId, error: crate::mqtt::error::DecodeError, now: Instant) {
        use crate::mqtt::error::DecodeError;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.session.is_some() {
            return self.end(conn, error.reason_code(), now);
        }
        if error == DecodeError::ProtocolLevel {
            connection.out.extend_from_slice(&[0x20, 2, 0, 1]); // 3.1.1: unacceptable protocol version
            self.touch(conn);
        }
        self.close(conn, false, now);
    }

    fn packet(&mut self, conn: ConnId, packet: &Packet<'_>, now: Instant) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let Some(session) = connection.session else {
            // [MQTT-3.1.0-1] the first packet is CONNECT.
            return if let Packet::Connect(connect) = packet {
                self.connect(conn, connect, now);
            } else {
                self.close(conn, false, now);
            };
        };
        match packet {
            Packet::Publish(publish) => self.publish(conn, session, publish, now),
            Packet::PubAck(ack) => self.puback(session, ack, now),
            Packet::PubRec(ack) => self.pubrec(session, ack, now),
            Packet::PubRel(ack) => self.pubrel(conn, session, ack),
            Packet::PubComp(ack) => self.pubcomp(session, ack, now),
            Packet::Subscribe(subscribe) => self.subscribe(conn, session, subscribe, now),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(conn, session, unsubscribe),
            Packet::PingReq => self.send(conn, &Packet::PingResp), // [MQTT-3.12.4-1]
            Packet::Disconnect(reason) => self.disconnect(conn, session, reason, now),
            // A second CONNECT [MQTT-3.1.0-2]; AUTH without an authentication begun.
            _ => self.end(conn, 0x82, now),
        }
    }

    // ---- output ----

    /// Encodes a packet to a connection.
    pub(super) fn send(&mut self, conn: ConnId, packet: &Packet<'_>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if !connection.frozen {
            codec::encode(packet, connection.version, &mut connection.out);
            self.touch(conn);
        }
    }

    pub(super) fn touch(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push_back(conn);
        }
    }

    /// Ends a connection with a reason: DISCONNECT in 5.0, without a word before.
    pub(super) fn end(&mut self, conn: ConnId, reason: u8, now: Instant) {
        if self.connections.get(&conn).is_some_and(|c| c.version == Version::V5) {
            self.send(conn, &Packet::Disconnect(Reason { reason, properties: Properties::EMPTY }));
        }
        self.close(conn, true, now);
    }

    /// Closes a connection after its output.
    pub(super) fn close(&mut self, conn: ConnId, with_will: bool, now: Instant) {
        self.leave_session(conn, with_will, now);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.closing = true;
            self.closes.push_back(conn);
        }
    }

    fn drop_connection(&mut self, conn: ConnId, with_will: bool, now: Instant) {
        self.leave_session(conn, with_will, now);
        self.connections.remove(&conn);
    }

    // ---- sessions ----

    pub(super) fn session(&self, index: u32) -> Option<&Session> {
        self.sessions.get(index as usize)?.as_ref()
    }

    pub(super) fn session_mut(&mut self, index: u32) -> Option<&mut Session> {
        self.sessions.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn new_session(&mut self, client_id: &str) -> u32 {
        let index = self.free_sessions.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            u32::try_from(self.sessions.len() - 1).expect("fewer than 2^32 sessions")
        });
        self.sessions[index as usize] = Some(Session::new(client_id));
        self.by_client.insert(client_id.into(), index);
        index
    }

    /// Takes a session away with all that belongs to it; its delayed will is due now [MQTT-3.1.2-8].
    pub(super) fn end_session(&mut self, index: u32, now: Instant) {
        self.fire_delayed_will(index, now);
        let Some(session) = self.sessions.get_mut(index as usize).and_then(Option::take) else { return };
        for filter in session.subscriptions.keys() {
            let (share, proper) = super::subscribe::parts(filter);
            self.router.unsubscribe(proper, share, index);
        }
        self.held_back.remove(&index);
        self.by_client.remove(&session.client_id);
        self.free_sessions.push(index);
    }

    /// The connection leaves its session: the will, the expiry, what the defects forget.
    fn leave_session(&mut self, conn: ConnId, with_will: bool, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Some(index) = connection.session.take() else { return };
        let will = connection.will.take();
        let (forget_ids, forget_flight) =
            (self.config.defects.strikes(Defect::ForgetQos2Ids), self.config.defects.strikes(Defect::ForgetInFlight));
        let Some(session) = self.session_mut(index) else { return };
        session.connection = None;
        if forget_ids {
            session.received.clear();
        }
        if forget_flight {
            session.in_flight.clear();
        }
        let expiry = session.expiry;
        if let Some(will) = will.filter(|_| with_will) {
            let delay = will.delay.min(expiry);
            if delay == 0 {
                self.publish_message(will.message, now);
            } else {
                let due = now + Duration::from_secs(delay.into());
                self.delayed_wills.insert(index, (due, will));
                self.arm(Some(due), Timer::Will(index));
            }
        }
        match expiry {
            0 => self.end_session(index, now),
            u32::MAX => {}
            seconds => {
                let end = now + Duration::from_secs(seconds.into());
                if let Some(session) = self.session_mut(index) {
                    session.ends_at = Some(end);
                }
                self.arm(Some(end), Timer::SessionEnd(index));
            }
        }
    }

    fn fire_delayed_will(&mut self, session: u32, now: Instant) {
        if let Some((_, will)) = self.delayed_wills.remove(&session) {
            self.publish_message(will.message, now);
        }
    }

    /// [MQTT-3.14.4-3] the will is discarded (5.0: with reason 0x00 alone); 5.0 may set a new expiry, not from zero.
    fn disconnect(&mut self, conn: ConnId, session: u32, reason: &Reason<'_>, now: Instant) {
        use crate::mqtt::properties::Property;
        let expiry =
            reason.properties.find(|p| if let Property::SessionExpiryInterval(s) = p { Some(s) } else { None });
        if let (Some(expiry), Some(state)) = (expiry, self.session_mut(session)) {
            if state.expiry == 0 && expiry != 0 {
                return self.end(conn, 0x82, now);
            }
            state.expiry = expiry;
        }
        let lie = self.config.defects.strikes(Defect::WillOnDisconnect);
        self.close(conn, reason.reason != 0 || lie, now);
    }

    // ---- timers ----

    pub(super) fn arm(&mut self, at: Option<Instant>, timer: Timer) {
        if let Some(at) = at {
            self.timers.insert((at, timer));
        }
    }

    /// [MQTT-3.1.2-22] (3.1.1: -24): silent for one and a half times the keep alive.
    fn check_silence(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get(&conn).filter(|c| !c.closing) else { return };
        match connection.deadline() {
            Some(at) if at <= now => self.end(conn, 0x8D, now),
            at => self.arm(at, Timer::Silence(conn)),
        }
    }

    /// The QoS that this broker grants.
    pub(super) fn granted(&self, qos: QoS) -> QoS {
        qos.min(QoS::from_u8(self.config.max_qos).unwrap_or(QoS::ExactlyOnce))
    }
}
