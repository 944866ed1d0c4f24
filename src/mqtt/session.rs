//! The client's side of a session: both halves of the QoS 1 and 2 hand-shakes over reconnects, packet identifiers,
//! the window, and keep alive.
//!
//! It keeps no payloads: each message going out is a `token` of its owner's, who encodes it, and encodes it again when
//! [`Session::poll_resend`] says so.
//!
//! Calling order for each connection: write CONNECT (by [`Session::connect_properties`]) and tell
//! [`Session::handle_connect_sent`]; feed packets to [`Session::handle`]; after `Connected`, and after each
//! acknowledgement, drain [`Session::poll_resend`] before anything new; [`Session::handle_closed`] at the end.

use super::codec;
use super::inflight::{Outgoing, Received, Sending, Stage, mark};
pub use super::limits::ServerLimits;
use super::packet::{Ack, Codes, ConnAck, Packet, Publish, Reason, SubscribeOptions};
use super::properties::{Properties, PropertiesBuf, Property};
use super::{PacketId, QoS, Version};
use crate::time::{Duration, Instant};

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
    /// 5.0: Topic Alias Maximum told to the server; the owner resolves aliases.
    pub topic_alias_maximum: u16,
}

/// What a packet meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Happening<'a> {
    Nothing,
    Connected {
        session_present: bool,
        /// 5.0: the name that the server gave to a client without one.
        assigned_client_id: Option<&'a str>,
    },
    Refused {
        reason: u8,
        /// 5.0: another server, which may come with the reasons 0x9C and 0x9D (section 4.11).
        reference: Option<&'a str>,
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
        /// The message, if it is another one, under an identifier that is in use [MQTT-2.2.1-4].
        other: Option<Publish<'a>>,
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
        /// 5.0: another server, which may come with the reasons 0x9C and 0x9D (section 4.11).
        reference: Option<&'a str>,
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
    /// AUTH, or an authentication method in CONNACK: CONNECT names no method, here [MQTT-4.12.0-6]. It is not answered by AUTH
    /// [MQTT-4.12.0-7].
    Authentication,
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

/// The client's side of one session.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    sending: Sending,
    received: Received,
    last_id: u16,
    connected: bool,
    server: ServerLimits,
    /// Ours, or the server's if it named one.
    keep_alive: Duration,
    last_sent: Instant,
    ping_due: Option<Instant>,
    /// SUBSCRIBE and UNSUBSCRIBE identifiers awaiting their answer.
    pending: Vec<PacketId>,
}

impl Session {
    /// A session that has never been connected.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self {
            config,
            sending: Sending::default(),
            received: Received::default(),
            last_id: 0,
            connected: false,
            server: ServerLimits::default(),
            keep_alive: Duration::from_secs(config.keep_alive.into()),
            last_sent: Instant::ZERO,
            ping_due: None,
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
            if self.config.topic_alias_maximum > 0 {
                p.push(Property::TopicAliasMaximum(self.config.topic_alias_maximum));
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

    /// Begins a QoS 1 or 2 exchange: its packet identifier. None while the window (ours, or the server's Receive Maximum)
    /// is full, or something is still to be sent again: that goes first [MQTT-4.6.0-1].
    ///
    /// Exchanges of an earlier connection count against Receive Maximum too, wherever they stand. The standard would
    /// let us send more, but servers differ in what they count, and close on one too many (mosquitto counts them).
    pub fn begin_publish(&mut self, qos: QoS, token: u64) -> Option<PacketId> {
        if self.window_left() == 0 {
            return None;
        }
        let id = self.free_id()?;
        let stage = if qos == QoS::ExactlyOnce { Stage::AwaitsPubRec } else { Stage::AwaitsPubAck };
        self.sending.push(Outgoing { id, stage, token });
        Some(id)
    }

    /// How many QoS 1 and 2 messages may be begun now.
    #[must_use]
    pub fn window_left(&self) -> usize {
        if !self.connected || self.sending.owes_resend() {
            return 0;
        }
        let limit = self.config.window.min(self.server.receive_maximum);
        usize::from(limit).saturating_sub(self.sending.len())
    }

    /// The next identifier that is not in use [MQTT-2.2.1-3], over wrap-around too.
    fn free_id(&mut self) -> Option<PacketId> {
        for _ in 0..=u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && !self.sending.contains(id)
                && !self.pending.contains(&id)
            {
                return Some(id);
            }
        }
        None
    }

    /// Writes a SUBSCRIBE, with a subscription identifier (5.0) if there is one, and returns its packet identifier; none if
    /// every one is in use.
    pub fn subscribe(
        &mut self,
        filters: &[(&str, SubscribeOptions)],
        identifier: Option<u32>,
        out: &mut Vec<u8>,
    ) -> Option<PacketId> {
        let id = self.free_id()?;
        self.pending.push(id);
        let mut properties = PropertiesBuf::default();
        if let Some(identifier) = identifier {
            properties.push(Property::SubscriptionIdentifier(identifier));
        }
        codec::encode_subscribe(self.config.version, id, properties.as_properties(), filters, out);
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
        self.write(&packet, out);
        self.connected = false;
    }

    /// Writes the PUBREL of an exchange.
    pub fn write_pubrel(&self, id: PacketId, out: &mut Vec<u8>) {
        self.write(&Packet::PubRel(Ack::plain(id)), out);
    }

    /// The next thing that must be sent again, in the original order [MQTT-4.4.0-1] [MQTT-4.6.0-1]. None if there is
    /// nothing, or if Receive Maximum lets no more through now [MQTT-3.3.4-7]: ask again after each acknowledgement.
    pub fn poll_resend(&mut self) -> Option<Resend> {
        if !self.connected {
            return None;
        }
        let Outgoing { id, stage, token } = self.sending.next_resend(self.server.receive_maximum)?;
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
        match packet {
            Packet::Auth(_) => Err(ProtocolError::Authentication),
            Packet::ConnAck(ack) if !self.connected => self.connack(ack),
            _ if !self.connected => Err(ProtocolError::Unexpected),
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
            Packet::Disconnect(Reason { reason, properties }) => {
                Ok(Happening::Disconnect { reason: *reason, reference: properties.server_reference() })
            }
            _ => Err(ProtocolError::Unexpected),
        }
    }

    fn connack<'a>(&mut self, ack: &ConnAck<'a>) -> Result<Happening<'a>, ProtocolError> {
        if ack.properties.authentication_method().is_some() {
            return Err(ProtocolError::Authentication);
        }
        if ack.reason != 0 {
            return Ok(Happening::Refused { reason: ack.reason, reference: ack.properties.server_reference() });
        }
        self.connected = true;
        self.pending.clear();
        self.server = ServerLimits::read(ack.properties);
        let keep_alive = self.server.keep_alive.unwrap_or(self.config.keep_alive); // [MQTT-3.2.2-21]
        self.keep_alive = Duration::from_secs(keep_alive.into());
        let assigned_client_id = ack.properties.find(|p| match p {
            Property::AssignedClientIdentifier(id) => Some(id),
            _ => None,
        });
        if !ack.session_present {
            self.forget(); // [MQTT-3.2.2-5]: a client's state without the server's is of no use
        }
        self.sending.start_over();
        self.received.start_over();
        Ok(Happening::Connected { session_present: ack.session_present, assigned_client_id })
    }

    fn publish<'a>(
        &mut self,
        publish: &Publish<'a>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Happening<'a>, ProtocolError> {
        // [MQTT-3.1.2-26] within the maximum, and [MQTT-3.1.2-27] none where it is 0.
        let alias = publish.properties.find(alias);
        if alias.map_or(publish.topic.is_empty(), |alias| alias > self.config.topic_alias_maximum) {
            return Err(ProtocolError::TopicAlias);
        }
        let Some(id) = publish.packet_id else { return Ok(Happening::Message(*publish)) };
        let mark = if publish.qos == QoS::ExactlyOnce { mark(publish.payload) } else { 0 };
        let known = self.received.mark_of(id).filter(|_| publish.qos == QoS::ExactlyOnce);
        let repeats = known.is_some();
        let full = self.received.unreleased() >= u32::from(self.config.receive_maximum);
        if full && !repeats && self.config.version == Version::V5 {
            return Err(ProtocolError::ReceiveMaximum); // [MQTT-3.3.4-9]
        }
        self.note_sent(now);
        if publish.qos == QoS::AtLeastOnce {
            self.write(&Packet::PubAck(Ack::plain(id)), out); // [MQTT-4.3.2-4]
            return Ok(Happening::Message(*publish));
        }
        self.write(&Packet::PubRec(Ack::plain(id)), out); // [MQTT-4.3.3-8]
        if let Some(known) = known {
            let other = (known != mark).then_some(*publish);
            return Ok(Happening::Repeat { id, other }); // the receiver's rule [MQTT-4.3.3-10], here for us
        }
        self.received.insert(id, mark);
        Ok(Happening::Message(*publish))
    }

    fn write(&self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        codec::encode(packet, self.config.version, out);
    }

    fn position(&self, id: PacketId, stages: &[Stage]) -> Result<usize, ProtocolError> {
        self.sending.position(id, stages).ok_or(ProtocolError::Unexpected)
    }

    fn puback(&mut self, ack: &Ack<'_>) -> Result<Happening<'static>, ProtocolError> {
        let at = self.position(ack.packet_id, &[Stage::AwaitsPubAck])?;
        Ok(Happening::PubAck { token: self.sending.finish(at), reason: ack.reason })
    }

    fn pubrec(&mut self, ack: &Ack<'_>, now: Instant, out: &mut Vec<u8>) -> Result<Happening<'static>, ProtocolError> {
        // A second PUBREC is legal: the server answers our first PUBLISH and the one sent again after a resumption.
        let at = self.position(ack.packet_id, &[Stage::AwaitsPubRec, Stage::Released])?;
        if ack.reason >= 0x80 {
            // The exchange ends, and the identifier is free [MQTT-4.3.3-4].
            return Ok(Happening::PubRec { token: self.sending.finish(at), reason: ack.reason });
        }
        let (token, write_now) = self.sending.release(at).ok_or(ProtocolError::Unexpected)?;
        if write_now {
            self.write_pubrel(ack.packet_id, out);
            self.note_sent(now);
        }
        Ok(Happening::PubRec { token, reason: ack.reason })
    }

    fn pubrel(&mut self, ack: &Ack<'_>, now: Instant, out: &mut Vec<u8>) -> Happening<'static> {
        let known = self.received.release(ack.packet_id);
        // 0x92: packet identifier not found, which is no error on recovery (5.0, section 3.7.2.1).
        let reason = if !known && self.config.version == Version::V5 { 0x92 } else { 0 };
        self.write(&Packet::PubComp(Ack { reason, ..Ack::plain(ack.packet_id) }), out); // [MQTT-4.3.3-11]
        self.note_sent(now);
        Happening::Nothing
    }

    fn pubcomp(&mut self, ack: &Ack<'_>) -> Result<Happening<'static>, ProtocolError> {
        match self.sending.position(ack.packet_id, &[Stage::Released]) {
            Some(at) => Ok(Happening::PubComp { token: self.sending.finish(at), reason: ack.reason }),
            None if self.sending.take_surplus(ack.packet_id) => Ok(Happening::Nothing),
            None => Err(ProtocolError::Unexpected),
        }
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
        self.pending = Vec::new();
        self.sending.start_over();
    }

    /// The session is gone, here or there: nothing is in flight any more. The owner, who has the messages, publishes
    /// anew what was. Identifiers go on where they were, so that a late acknowledgement meets nobody.
    pub fn forget(&mut self) {
        self.sending = Sending::default();
        self.received = Received::default();
    }

    /// How many of our own messages are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.sending.len()
    }

    /// What the server said of itself in the last CONNACK.
    #[must_use]
    pub fn server_limits(&self) -> &ServerLimits {
        &self.server
    }

    /// 5.0: how long the server keeps the session after the connection's end, in seconds; `u32::MAX` for ever. The server's
    /// word goes before ours (section 3.2.2.3.2).
    #[must_use]
    pub fn session_expiry(&self) -> u32 {
        self.server.session_expiry.unwrap_or(self.config.session_expiry)
    }

    /// When something was last sent, and the keep alive that holds now, in seconds.
    #[must_use]
    pub fn silence(&self) -> (Instant, u16) {
        (self.last_sent, u16::try_from(self.keep_alive.as_secs()).unwrap_or(u16::MAX))
    }

    /// When [`Self::handle_deadline`] must be called next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.connected || self.keep_alive.is_zero() {
            return None;
        }
        Some(self.ping_due.unwrap_or(self.last_sent + self.keep_alive))
    }

    /// Writes PINGREQ where nothing was sent for the keep alive [MQTT-3.1.2-20] (3.1.1: -23); true if it did.
    ///
    /// # Errors
    /// If PINGRESP has not come within another keep alive (the standard leaves the time to the client; *assumed*).
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<bool, PingTimeout> {
        match self.next_deadline() {
            Some(at) if at <= now => {}
            _ => return Ok(false),
        }
        if self.ping_due.is_some() {
            return Err(PingTimeout);
        }
        self.write(&Packet::PingReq, out);
        self.note_sent(now);
        self.ping_due = Some(now + self.keep_alive);
        Ok(true)
    }
}

/// The topic alias, if it is one.
fn alias(property: Property<'_>) -> Option<u16> {
    match property {
        Property::TopicAlias(alias) => Some(alias),
        _ => None,
    }
}
