//! The broker's core: connections and their bytes, timers, output.

use super::Config;
use super::connection::{Connection, MAX_CONNECT, Will};
use super::defects::Defect;
use super::journal::Journal;
use super::notes::{self, Notes};
use super::retained::Retained;
use super::router::{Match, Router};
use super::sabotage::Sabotage;
use super::session::Session;
use super::sys::{Counts, Schedule};
use crate::mqtt::codec::{self, Sender};
use crate::mqtt::error::DecodeError;
use crate::mqtt::packet::{Ack, Codes, ConnAck, Packet, Reason};
use crate::mqtt::properties::{Properties, PropertiesBuf, Property};
use crate::mqtt::{QoS, Version};
use crate::table::Unordered;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// What the broker has had to do, in packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Packets read.
    pub packets: u64,
    /// Those among them that change what a broker keeps: sessions, subscriptions, messages of QoS 1 and 2 and their hand-shakes.
    pub kept: u64,
}

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// When a connection may have been silent for too long.
    Silence(ConnId),
    /// When a session that is away may have ended.
    SessionEnd(u32),
    /// When a delayed will may be due.
    Will(u32),
    /// When the `$SYS` tree is due.
    Report,
}

/// The broker.
///
/// Calling order: `handle_*`, then [`Broker::poll_output`] until none; [`Broker::handle_deadline`] when
/// [`Broker::next_deadline`] has come. If anything is to survive, [`Broker::take_changes`] before each `poll_output`.
#[derive(Debug)]
pub struct Broker {
    pub(super) config: Config,
    /// Each by itself: a table that grows moves what it holds, and with many connections everybody would wait for that.
    pub(super) connections: Unordered<Box<Connection>>,
    pub(super) sessions: Vec<Option<Session>>,
    pub(super) free_sessions: Vec<u32>,
    pub(super) by_client: BTreeMap<Arc<str>, u32>,
    pub(super) router: Router,
    pub(super) retained: Retained,
    pub(super) delayed_wills: BTreeMap<u32, (Instant, Will)>,
    timers: BTreeSet<(Instant, Timer)>,
    dirty: VecDeque<ConnId>,
    closes: VecDeque<ConnId>,
    pub(super) assigned_ids: u64,
    /// Messages so far.
    pub(super) numbers: u64,
    /// What must survive the broker's end; none if nothing must.
    pub(super) journal: Option<Journal>,
    /// Bytes of all messages that are kept anywhere.
    pub(super) kept: Arc<AtomicUsize>,
    /// Bytes of all unfinished packets, and of all output that owners could not send.
    partial: usize,
    unsent: usize,
    work: Work,
    /// Reused while routing.
    pub(super) matches: Vec<Match>,
    pub(super) sabotage: Sabotage,
    pub(super) notes: Notes,
    pub(super) counts: Counts,
    /// None: there is no `$SYS` tree.
    pub(super) sys: Option<Schedule>,
}

impl Broker {
    /// A broker that nobody has connected to.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            connections: Unordered::default(),
            sessions: Vec::new(),
            free_sessions: Vec::new(),
            by_client: BTreeMap::new(),
            router: Router::default(),
            retained: Retained::default(),
            delayed_wills: BTreeMap::new(),
            timers: BTreeSet::new(),
            dirty: VecDeque::new(),
            closes: VecDeque::new(),
            assigned_ids: 0,
            numbers: 0,
            journal: None,
            kept: Arc::default(),
            partial: 0,
            unsent: 0,
            work: Work::default(),
            matches: Vec::new(),
            sabotage: Sabotage::default(),
            notes: Notes::default(),
            counts: Counts::default(),
            sys: None,
        }
    }

    // ---- what the owner calls ----

    /// A connection was accepted.
    pub fn handle_open(&mut self, conn: ConnId, now: Instant) {
        let connection = Connection { frozen: self.sabotage.frozen, ..Connection::new(now, &self.config) };
        let full = self.connections.len() >= self.config.max_connections;
        let deadline = connection.deadline();
        self.connections.insert(conn.0, Box::new(connection));
        if full {
            self.note(conn, 1, || "refused: too many connections".to_owned());
            return self.close(conn, false, now);
        }
        self.arm(deadline, Timer::Silence(conn));
    }

    /// Bytes came.
    pub fn handle_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        self.counts.bytes_received += bytes.len() as u64;
        let Some(connection) = self.connections.get_mut(conn.0) else { return };
        if connection.partial.is_empty() {
            let used = self.packets(conn, bytes, now);
            if used < bytes.len() {
                self.keep_partial(conn, bytes[used..].to_vec(), now);
            }
        } else {
            let mut whole = std::mem::take(&mut connection.partial);
            self.partial -= whole.len();
            whole.extend_from_slice(bytes);
            let used = self.packets(conn, &whole, now);
            whole.drain(..used);
            if !whole.is_empty() {
                self.keep_partial(conn, whole, now);
            }
        }
    }

    fn keep_partial(&mut self, conn: ConnId, rest: Vec<u8>, now: Instant) {
        let full = self.memory() + rest.len() > self.config.memory;
        let Some(connection) = self.connections.get_mut(conn.0).filter(|c| !c.closing) else { return };
        if full {
            return self.end(conn, 0x97, "no memory for an unfinished packet", now);
        }
        self.partial += rest.len();
        connection.partial = rest;
    }

    /// How many bytes of a connection's output its owner holds because the network did not take them. Until it is told, none.
    pub fn handle_unsent(&mut self, conn: ConnId, bytes: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn.0) else { return };
        self.unsent = self.unsent - connection.unsent + bytes;
        let was = std::mem::replace(&mut connection.unsent, bytes);
        if bytes < was
            && let Some(session) = connection.session
        {
            self.pump(session, now);
        }
    }

    /// True while a connection's packets are not to be read, since it does not take what it is owed.
    #[must_use]
    pub fn is_choked(&self, conn: ConnId) -> bool {
        self.connections.get(conn.0).is_some_and(|c| c.unsent > self.config.backlog)
    }

    /// The connection ended without the broker's doing.
    pub fn handle_closed(&mut self, conn: ConnId, now: Instant) {
        self.leave_session(conn, true, now);
        self.forget_connection(conn);
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
                    if self.session(session).is_some_and(|s| s.ends_at.is_some_and(|end| end <= now)) {
                        self.end_session(session, now);
                    }
                }
                Timer::Report => self.report(now),
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

    /// What the broker has had to do so far.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work
    }

    /// When a connection that stays silent will be closed; none if never.
    #[must_use]
    pub fn silence_deadline(&self, conn: ConnId) -> Option<Instant> {
        self.connections.get(conn.0)?.deadline()
    }

    /// What the owner must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(conn) = self.dirty.pop_front() {
            if let Some(connection) = self.connections.get_mut(conn.0) {
                connection.dirty = false;
            }
            return Some(Output::Write(conn));
        }
        self.closes.pop_front().map(Output::Close)
    }

    /// Moves a connection's output to the end of `into`, and gives its buffer back to it.
    pub fn take_output(&mut self, conn: ConnId, into: &mut Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(conn.0) {
            self.counts.bytes_sent += connection.out.len() as u64;
            into.append(&mut connection.out);
            if connection.out.capacity() > 4096 {
                connection.out = Vec::new();
            }
        }
    }

    /// The owner has closed a connection that it was told to close.
    pub fn forget_connection(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.remove(conn.0) {
            self.partial -= connection.partial.len();
            self.unsent -= connection.unsent;
        }
    }

    /// How many connections there are, and how many sessions.
    #[must_use]
    pub fn population(&self) -> (usize, usize) {
        (self.connections.len(), self.by_client.len())
    }

    /// Bytes of all messages, unfinished packets and unsent output.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.kept.load(Ordering::Relaxed) + self.partial + self.unsent
    }

    // ---- packets ----

    fn packets(&mut self, conn: ConnId, bytes: &[u8], now: Instant) -> usize {
        let mut used = 0;
        while let Some(connection) = self.connections.get_mut(conn.0) {
            if connection.closing {
                return bytes.len();
            }
            let known = connection.session.is_some();
            let most = if known { self.config.max_packet } else { self.config.max_packet.min(MAX_CONNECT) };
            match codec::decode(&bytes[used..], connection.version, Sender::Client, most) {
                Ok(Some((packet, length))) => {
                    used += length;
                    if packet != Packet::PingReq || !self.config.defects.strikes(Defect::PingsDoNotCount) {
                        connection.last_packet = now;
                    }
                    self.counts.received += 1;
                    self.work.packets += 1;
                    self.work.kept += u64::from(changes_what_is_kept(&packet));
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
    fn malformed(&mut self, conn: ConnId, error: DecodeError, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn.0) else { return };
        if connection.session.is_some() {
            // 0x84 is for CONNACK alone: here it is a second CONNECT, whatever else is wrong with it [MQTT-3.1.0-2].
            let reason = if error.reason_code() == 0x84 { 0x82 } else { error.reason_code() };
            return self.end(conn, reason, &error.to_string(), now);
        }
        if error == DecodeError::ProtocolLevel {
            connection.out.extend_from_slice(&[0x20, 2, 0, 1]); // 3.1.1: unacceptable protocol version
            self.touch(conn);
        }
        self.note(conn, 1, || format!("refused: {error}"));
        self.close(conn, false, now);
    }

    fn packet(&mut self, conn: ConnId, packet: &Packet<'_>, now: Instant) {
        self.note(conn, 2, || notes::describe("<", packet));
        let Some(connection) = self.connections.get(conn.0) else { return };
        let Some(session) = connection.session else {
            // [MQTT-3.1.0-1] the first packet is CONNECT.
            if let Packet::Connect(connect) = packet {
                return self.connect(conn, connect, now);
            }
            self.note(conn, 1, || "refused: its first packet is no CONNECT [MQTT-3.1.0-1]".to_owned());
            return self.close(conn, false, now);
        };
        match packet {
            p if self.is_out_of_turn(session, p) => {
                self.end(conn, 0x82, "an acknowledgement that is not its message's turn [MQTT-4.13.1-1]", now);
            }
            Packet::Publish(publish) => self.publish(conn, session, publish, now),
            Packet::PubAck(ack) => self.puback(session, ack, now),
            Packet::PubRec(ack) => self.pubrec(session, ack, now),
            Packet::PubRel(ack) => self.pubrel(conn, session, ack),
            Packet::PubComp(ack) => self.pubcomp(session, ack, now),
            Packet::Subscribe(subscribe) => self.subscribe(conn, session, subscribe, now),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(conn, session, unsubscribe),
            Packet::PingReq => drop(self.send(conn, &Packet::PingResp)), // [MQTT-3.12.4-1]
            Packet::Disconnect(reason) => self.disconnect(conn, session, reason, now),
            Packet::Connect(_) => self.end(conn, 0x82, "a second CONNECT [MQTT-3.1.0-2]", now),
            _ => self.end(conn, 0x82, "AUTH without an authentication begun", now),
        }
    }

    // ---- output ----

    /// Encodes a packet to a connection, if it is not larger than that accepts [MQTT-3.1.2-24]; whether it was.
    pub(super) fn send(&mut self, conn: ConnId, packet: &Packet<'_>) -> bool {
        self.note(conn, 2, || notes::describe(">", packet));
        let Some(connection) = self.connections.get_mut(conn.0) else { return true };
        if connection.frozen {
            return true;
        }
        let before = connection.out.len();
        codec::encode(packet, connection.version, &mut connection.out);
        let fits = connection.out.len() - before <= connection.max_packet
            || self.config.defects.strikes(Defect::IgnorePacketSize);
        self.counts.sent += u64::from(fits);
        if !fits {
            connection.out.truncate(before);
        }
        self.touch(conn);
        fits
    }

    /// Sends a packet with its reason in words, and without if that would be too large for the client [MQTT-3.2.2-19]
    /// [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.14.2-3].
    pub(super) fn send_with_reason(&mut self, conn: ConnId, why: &str, packet: &Packet<'_>) {
        let mut p = PropertiesBuf::default();
        p.push(Property::ReasonString(why));
        let told = self.is_v5(conn) && !why.is_empty() && self.send(conn, &with(packet, p.as_properties()));
        if !told {
            self.send(conn, packet);
        }
    }

    pub(super) fn touch(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn.0)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push_back(conn);
        }
    }

    /// True if a connection takes more messages: not too much waits for it, nor for all together.
    pub(super) fn has_room(config: &Config, connection: &Connection, unsent: usize) -> bool {
        let pending = connection.pending();
        pending == 0 || (pending < config.backlog && unsent < config.memory)
    }

    /// Output that waits at the owner, of all connections.
    pub(super) fn all_unsent(&self) -> usize {
        self.unsent
    }

    /// Ends a connection with a reason: DISCONNECT in 5.0, without a word before.
    pub(super) fn end(&mut self, conn: ConnId, reason: u8, why: &str, now: Instant) {
        self.note(conn, 1, || format!("ended with {reason:#04x}: {why}"));
        if self.connections.get(conn.0).is_some_and(|c| c.version == Version::V5) {
            let properties = Properties::EMPTY;
            self.send_with_reason(conn, why, &Packet::Disconnect(Reason { reason, properties }));
        }
        self.close(conn, true, now);
    }

    /// Closes a connection after its output.
    pub(super) fn close(&mut self, conn: ConnId, with_will: bool, now: Instant) {
        self.leave_session(conn, with_will, now);
        if let Some(connection) = self.connections.get_mut(conn.0) {
            connection.closing = true;
            self.partial -= std::mem::take(&mut connection.partial).len();
            self.closes.push_back(conn);
        }
    }

    // ---- sessions and timers ----

    pub(super) fn session(&self, index: u32) -> Option<&Session> {
        self.sessions.get(index as usize)?.as_ref()
    }

    pub(super) fn session_mut(&mut self, index: u32) -> Option<&mut Session> {
        self.sessions.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn is_v5(&self, conn: ConnId) -> bool {
        self.connections.get(conn.0).is_some_and(|c| c.version == Version::V5)
    }

    /// What the messages kept anywhere weigh, and `more`, is within the limit.
    pub(super) fn has_memory_for(&self, more: usize) -> bool {
        self.memory() + more <= self.config.memory
    }

    pub(super) fn arm(&mut self, at: Option<Instant>, timer: Timer) {
        if let Some(at) = at {
            self.timers.insert((at, timer));
        }
    }

    /// [MQTT-3.1.2-22] (3.1.1: -24): no packet for one and a half times the keep alive, or no CONNECT in time.
    fn check_silence(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get(conn.0).filter(|c| !c.closing) else { return };
        match connection.deadline() {
            Some(at) if at > now => self.arm(Some(at), Timer::Silence(conn)),
            Some(_) if connection.session.is_none() => {
                self.note(conn, 1, || "refused: no CONNECT in time".to_owned());
                self.close(conn, false, now);
            }
            Some(_) if self.config.defects.strikes(Defect::NeverCloseSilent) => {}
            Some(_) => self.end(conn, 0x8D, "nothing came for one and a half times the keep alive", now),
            None => {}
        }
    }

    /// The QoS that this broker grants.
    pub(super) fn granted(&self, qos: QoS) -> QoS {
        qos.min(QoS::from_u8(self.config.max_qos).unwrap_or(QoS::ExactlyOnce))
    }
}

/// The same packet with properties, if it may have some.
fn with<'a>(packet: &Packet<'a>, properties: Properties<'a>) -> Packet<'a> {
    match *packet {
        Packet::ConnAck(p) => Packet::ConnAck(ConnAck { properties, ..p }),
        Packet::PubAck(p) => Packet::PubAck(Ack { properties, ..p }),
        Packet::PubRec(p) => Packet::PubRec(Ack { properties, ..p }),
        Packet::SubAck(p) => Packet::SubAck(Codes { properties, ..p }),
        Packet::Disconnect(p) => Packet::Disconnect(Reason { properties, ..p }),
        other => other,
    }
}

fn changes_what_is_kept(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Publish(publish) => publish.packet_id.is_some() || publish.retain,
        Packet::PingReq | Packet::PingResp => false,
        _ => true,
    }
}
