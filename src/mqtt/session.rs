//! The client's side of a session: both halves of the QoS 1 and 2 hand-shakes over reconnects, packet identifiers,
//! the window, and keep alive.
//!
//! It keeps no payloads: each message going out is a `token` of its owner's, who encodes it, and encodes it again when
//! [`Session::poll_resend`] says so.
//!
//! Calling order for each connection: write CONNECT (by [`Session::connect_properties`]) and tell
//! [`Session::handle_connect_sent`]; feed packets to [`Session::handle`]; after `Connected`, drain
//! [`Session::poll_resend`] before anything new; [`Session::handle_closed`] at the end.

use super::codec;
use super::packet::{Ack, Codes, ConnAck, Packet, Publish, Reason, SubscribeOptions};
use super::properties::{Properties, PropertiesBuf, Property};
use super::{PacketId, QoS, Version};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// What a session is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionConfig {
    /// Protocol version.
    pub version: Version,
    /// 5.0: session expiry in seconds; `u32::MAX` never.
    pub session_expiry: u32,
    /// Keep alive in seconds; 0 switches it off.
    pub keep_alive: u16,
    /// Own limit on QoS 1 and 2 messages in flight.
    pub window: u16,
    /// 5.0: Receive Maximum told to the server.
    pub receive_maximum: u16,
    /// 5.0: Maximum Packet Size told to the server.
    pub maximum_packet_size: Option<u32>,
}

/// What a packet meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Happening<'a> {
    Nothing,
    Connected {
        session_present: bool,
    },
    Refused {
        reason: u8,
    },
    PubAck {
        token: u64,
        reason: u8,
    },
    PubRec {
        token: u64,
        reason: u8,
    },
    PubComp {
        token: u64,
        reason: u8,
    },
    /// A message, for the first time within its exchange.
    Message(Publish<'a>),
    /// A QoS 2 message again, for which PUBREC was sent already: to be ignored.
    Repeat {
        id: PacketId,
    },
    SubAck {
        id: PacketId,
        codes: &'a [u8],
    },
    UnsubAck {
        id: PacketId,
    },
    Disconnect {
        reason: u8,
    },
}

/// A packet that the server must not have sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// It has no business here: before CONNACK, a second CONNACK, an acknowledgement of nothing.
    Unexpected,
    /// More QoS 2 messages unreleased than Receive Maximum [MQTT-3.3.4-9].
    ReceiveMaximum,
    /// Topic alias beyond the maximum (0: none was offered) [MQTT-3.1.2-27].
    TopicAlias,
}

/// The server did not answer PINGREQ in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PingTimeout;

/// What must be sent again after a resumed session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Resend {
    /// Encode the message of that token with DUP set.
    Publish { id: PacketId, token: u64 },
    /// [`Session::write_pubrel`].
    PubRel { id: PacketId },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// QoS 1: PUBACK is awaited.
    AwaitsPubAck,
    /// QoS 2: PUBREC is awaited.
    AwaitsPubRec,
    /// QoS 2: PUBREL was sent, PUBCOMP is awaited.
    Released,
}

#[derive(Clone, Copy, Debug)]
struct Outgoing {
    id: PacketId,
    stage: Stage,
    token: u64,
}

/// The client's side of one session.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    /// In the order of first sending.
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 identifiers for which PUBREC was sent and PUBREL has not come; sorted.
    received: Vec<PacketId>,
    last_id: u16,
    connected: bool,
    /// The least of our window and the server's Receive Maximum.
    limit: u16,
    keep_alive: Duration,
    last_sent: Instant,
    ping_due: Option<Instant>,
    /// How many of `outgoing` were looked at for re-sending; above the number: none are left.
    resent: usize,
    /// QoS 2 messages of this connection that are not released.
    unreleased: u32,
    /// SUBSCRIBE and UNSUBSCRIBE identifiers awaiting their answer.
    pending: Vec<PacketId>,
}

impl Session {
    /// A session that has never been connected.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self {
            config,
            outgoing: VecDeque::new(),
            received: Vec::new(),
            last_id: 0,
            connected: false,
            limit: config.window,
            keep_alive: Duration::from_secs(config.keep_alive.into()),
            last_sent: Instant::ZERO,
            ping_due: None,
            resent: usize::MAX,
            unreleased: 0,
            pending: Vec::new(),
        }
    }

    /// The properties that CONNECT must carry (5.0).
    #[must_use]
    pub fn connect_properties(&self) -> PropertiesBuf {
        let mut p = PropertiesBuf::default();
        if self.config.version == Version::V5 {
            if self.config.session_expiry > 0 {
                p.push(Property::SessionExpiryInterval(self.config.session_expiry));
            }
            if self.config.receive_maximum < u16::MAX {
                p.push(Property::ReceiveMaximum(self.config.receive_maximum));
            }
            if let Some(size) = self.config.maximum_packet_size {
                p.push(Property::MaximumPacketSize(size));
            }
        }
        p
    }

    /// CONNECT was written.
    pub fn handle_connect_sent(&mut self, now: Instant) {
        self.note_sent(now);
        self.ping_due = None;
    }

    /// Something was written: keep alive counts from here.
    pub fn note_sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// Begins a QoS 1 or 2 exchange: its packet identifier; none while the window is full.
    pub fn begin_publish(&mut self, qos: QoS, token: u64) -> Option<PacketId> {
        if self.outgoing.len() >= usize::from(self.limit) || !self.connected {
            return None;
        }
        let id = self.free_id()?;
        let stage = if qos == QoS::ExactlyOnce { Stage::AwaitsPubRec } else { Stage::AwaitsPubAck };
        self.outgoing.push_back(Outgoing { id, stage, token });
        Some(id)
    }

    /// The next identifier that is not in use [MQTT-2.2.1-3], over wrap-around too.
    fn free_id(&mut self) -> Option<PacketId> {
        for _ in 0..=u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && !self.outgoing.iter().any(|o| o.id == id)
                && !self.pending.contains(&id)
            {
                return Some(id);
            }
        }
        None
    }

    /// Writes a SUBSCRIBE and returns its identifier; none if every identifier is in use.
    pub fn subscribe(&mut self, filters: &[(&str, SubscribeOptions)], out: &mut Vec<u8>) -> Option<PacketId> {
        let id = self.free_id()?;
        self.pending.push(id);
        codec::encode_subscribe(self.config.version, id, Properties::EMPTY, filters, out);
        Some(id)
    }

    /// Writes an UNSUBSCRIBE and returns its identifier; none if every identifier is in use.
    pub fn unsubscribe(&mut self, filters: &[&str], out: &mut Vec<u8>) -> Option<PacketId> {
        let id = self.free_id()?;
        self.pending.push(id);
        codec::encode_unsubscribe(self.config.version, id, filters, out);
        Some(id)
    }

    /// Writes a DISCONNECT.
    pub fn disconnect(&mut self, reason: u8, out: &mut Vec<u8>) {
        let packet = Packet::Disconnect(Reason { reason, properties: Properties::EMPTY });
        codec::encode(&packet, self.config.version, out);
        self.connected = false;
    }

    /// Writes the PUBREL of an exchange.
    pub fn write_pubrel(&self, id: PacketId, out: &mut Vec<u8>) {
        codec::encode(&Packet::PubRel(Ack::plain(id)), self.config.version, out);
    }

    /// The next thing that must be sent again, in the original order [MQTT-4.4.0-1] [MQTT-4.6.0-1].
    pub fn poll_resend(&mut self) -> Option<Resend> {
        let Outgoing { id, stage, token } = *self.outgoing.get(self.resent)?;
        self.resent += 1;
        Some(if stage == Stage::Released { Resend::PubRel { id } } else { Resend::Publish { id, token } })
    }

    /// Takes a packet of the server's; answers go to `out`.
    ///
    /// # Errors
    /// If the server must not have sent it; the connection must be closed.
    pub fn handle<'a>(
        &mut self,
        packet: &Packet<'a>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Happening<'a>, ProtocolError> {
        if !self.connected {
            return match packet {
                Packet::ConnAck(ack) => Ok(self.connack(ack, now)),
                // 5.0 lets a server send AUTH before CONNACK, but only to a client that asked [MQTT-4.12.0-6].
                _ => Err(ProtocolError::Unexpected),
            };
        }
        match packet {
            Packet::Publish(publish) => self.publish(publish, now, out),
            Packet::PubAck(ack) => self.puback(ack),
            Packet::PubRec(ack) => self.pubrec(ack, now, out),
            Packet::PubRel(ack) => Ok(self.pubrel(ack, now, out)),
            Packet::PubComp(ack) => self.pubcomp(ack),
            Packet::SubAck(Codes { packet_id, codes, .. }) => {
                self.answered(*packet_id)?;
                Ok(Happening::SubAck { id: *packet_id, codes })
            }
            Packet::UnsubAck(Codes { packet_id, .. }) => {
                self.answered(*packet_id)?;
                Ok(Happening::UnsubAck { id: *packet_id })
            }
            Packet::PingResp => {
                self.ping_due = None;
                Ok(Happening::Nothing)
            }
            Packet::Disconnect(Reason { reason, .. }) => Ok(Happening::Disconnect { reason: *reason }),
            _ => Err(ProtocolError::Unexpected),
        }
    }

    fn connack(&mut self, ack: &ConnAck<'_>, now: Instant) -> Happening<'static> {
        if ack.reason != 0 {
            return Happening::Refused { reason: ack.reason };
        }
        self.connected = true;
        self.unreleased = 0;
        self.pending.clear();
        self.last_sent = self.last_sent.max(now);
        self.limit = self.config.window;
        self.keep_alive = Duration::from_secs(self.config.keep_alive.into());
        for property in ack.properties.iter() {
            match property {
                Property::ReceiveMaximum(maximum) => self.limit = self.limit.min(maximum), // [MQTT-3.3.4-7]
                Property::ServerKeepAlive(seconds) => self.keep_alive = Duration::from_secs(seconds.into()), // [MQTT-3.2.2-21]
                _ => {}
            }
        }
        if !ack.session_present {
            self.forget();
        }
        self.resent = 0;
        Happening::Connected { session_present: ack.session_present }
    }

    fn publish<'a>(
        &mut self,
        publish: &Publish<'a>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Happening<'a>, ProtocolError> {
        if publish.topic.is_empty() {
            return Err(ProtocolError::TopicAlias); // no alias was offered
        }
        let Some(id) = publish.packet_id else { return Ok(Happening::Message(*publish)) };
        self.note_sent(now);
        if publish.qos == QoS::AtLeastOnce {
            codec::encode(&Packet::PubAck(Ack::plain(id)), self.config.version, out);
            return Ok(Happening::Message(*publish));
        }
        codec::encode(&Packet::PubRec(Ack::plain(id)), self.config.version, out);
        match self.received.binary_search(&id) {
            Ok(_) => Ok(Happening::Repeat { id }), // [MQTT-4.3.3-10]: the receiver's rule, here for us
            Err(place) => {
                self.received.insert(place, id);
                self.unreleased += 1;
                if self.config.version == Version::V5 && self.unreleased > u32::from(self.config.receive_maximum) {
                    return Err(ProtocolError::ReceiveMaximum);
                }
                Ok(Happening::Message(*publish))
            }
        }
    }

    fn position(&self, id: PacketId, stages: &[Stage]) -> Result<usize, ProtocolError> {
        let found = self.outgoing.iter().position(|o| o.id == id && stages.contains(&o.stage));
        found.ok_or(ProtocolError::Unexpected)
    }

    fn finish(&mut self, at: usize) -> u64 {
        if self.resent != usize::MAX && at < self.resent {
            self.resent -= 1;
        }
        self.outgoing.remove(at).expect("the position was just found").token
    }

    fn puback(&mut self, ack: &Ack<'_>) -> Result<Happening<'static>, ProtocolError> {
        let at = self.position(ack.packet_id, &[Stage::AwaitsPubAck])?;
        Ok(Happening::PubAck { token: self.finish(at), reason: ack.reason })
    }

    fn pubrec(&mut self, ack: &Ack<'_>, now: Instant, out: &mut Vec<u8>) -> Result<Happening<'static>, ProtocolError> {
        // A second PUBREC is legal: ours was in flight when the first came [MQTT-4.3.3-4].
        let at = self.position(ack.packet_id, &[Stage::AwaitsPubRec, Stage::Released])?;
        let token = self.outgoing[at].token;
        if ack.reason >= 0x80 {
            self.finish(at); // the exchange ends, and the identifier is free [MQTT-4.3.3-4]
        } else {
            self.outgoing[at].stage = Stage::Released;
            self.write_pubrel(ack.packet_id, out);
            self.note_sent(now);
        }
        Ok(Happening::PubRec { token, reason: ack.reason })
    }

    fn pubrel(&mut self, ack: &Ack<'_>, now: Instant, out: &mut Vec<u8>) -> Happening<'static> {
        let known = self.received.binary_search(&ack.packet_id);
        if let Ok(at) = known {
            self.received.remove(at);
        }
        self.unreleased = self.unreleased.saturating_sub(1);
        // 0x92: packet identifier not found, which is no error on recovery (5.0, section 3.7.2.1).
        let reason = if known.is_err() && self.config.version == Version::V5 { 0x92 } else { 0 };
        let answer = Ack { packet_id: ack.packet_id, reason, properties: Properties::EMPTY };
        codec::encode(&Packet::PubComp(answer), self.config.version, out);
        self.note_sent(now);
        Happening::Nothing
    }

    fn pubcomp(&mut self, ack: &Ack<'_>) -> Result<Happening<'static>, ProtocolError> {
        let at = self.position(ack.packet_id, &[Stage::Released])?;
        Ok(Happening::PubComp { token: self.finish(at), reason: ack.reason })
    }

    fn answered(&mut self, id: PacketId) -> Result<(), ProtocolError> {
        let at = self.pending.iter().position(|p| *p == id).ok_or(ProtocolError::Unexpected)?;
        self.pending.swap_remove(at);
        Ok(())
    }

    /// The connection ended; the session lives on until it is told to [`Self::forget`].
    pub fn handle_closed(&mut self) {
        self.connected = false;
        self.ping_due = None;
        self.pending.clear();
        self.resent = usize::MAX;
    }

    /// The session is gone, here or there: nothing is in flight any more.
    pub fn forget(&mut self) {
        self.outgoing = VecDeque::new();
        self.received = Vec::new();
        self.unreleased = 0;
    }

    /// How many of our own messages are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.outgoing.len()
    }

    /// When [`Self::handle_deadline`] must be called next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.connected || self.keep_alive.is_zero() {
            return None;
        }
        Some(self.ping_due.unwrap_or(self.last_sent + self.keep_alive))
    }

    /// Writes PINGREQ where nothing was sent for the keep alive [MQTT-3.1.2-20] (3.1.1: -23).
    ///
    /// # Errors
    /// If PINGRESP has not come within another keep alive (the standard leaves the time to the client; *assumed*).
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), PingTimeout> {
        match self.next_deadline() {
            Some(at) if at <= now => {}
            _ => return Ok(()),
        }
        if self.ping_due.is_some() {
            return Err(PingTimeout);
        }
        codec::encode(&Packet::PingReq, self.config.version, out);
        self.note_sent(now);
        self.ping_due = Some(now + self.keep_alive);
        Ok(())
    }
}
