//! Reads both directions of a client's connections, at the client's own socket.
//!
//! What it cannot know, it does not hold against the client: a packet that was handed to the client's socket before the connection was
//! cut may or may not have been read.

mod receiving;
mod sending;
#[cfg(test)]
mod tests;

use super::ledger::Ledger;
use crate::device::identity::{Directory, Reading};
use crate::mqtt::codec::{self, Sender};
use crate::mqtt::packet::{ConnAck, Connect, Packet, Publish, sends_away};
use crate::mqtt::properties::{Properties, Property};
use crate::mqtt::{QoS, Version};
use crate::time::{Duration, Instant};
use crate::trace::{Breach, ClientFault, ClientId, EndedBy, Event, ServerName, Sink, What};
use receiving::Receiving;
use sending::Sending;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a client may take to do what it must, before it is said that it does not (assumed; the standard names no time).
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How much later than its keep alive a packet may come: a scheduler's delay and no more (assumed).
const KEEP_ALIVE_SLACK: Duration = Duration::from_secs(1);
/// Connections that a client ends by itself, one after the other, until it counts as wedged (assumed).
const WEDGED: u32 = 3;

/// Whom to observe.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Which client of the run it is.
    pub id: ClientId,
    /// The version that it is expected to speak.
    pub version: Version,
    /// How payloads of this run are read.
    pub directory: Arc<Directory>,
    /// The filters it is promised to subscribe to, by index, with any `$share/group/`.
    pub filters: Box<[Box<str>]>,
}

/// How a connection ended, as the wire shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The client closed or reset its socket.
    ByClient,
    /// The broker, or the gateway in its place, closed in order.
    ByBroker,
    /// A reset from the broker's side, or the connection was cut on purpose.
    Cut,
}

/// Observes one client through all of its connections.
#[derive(Debug)]
pub struct Observer {
    subject: Subject,
    connection: Option<Connection>,
    /// How many connections there were; the present one's number.
    number: u32,
    attempts: u32,
    sending: Sending,
    receiving: Receiving,
    /// A session should exist at the broker.
    has_session: bool,
    subscribed: bool,
    /// Connections in a row that were accepted, and that the client then ended without a word and without a reason that was seen.
    walked_out: u32,
    /// The last connection was up at least for [`PATIENCE`].
    steady: bool,
}

/// The present connection.
#[derive(Debug)]
struct Connection {
    opened: Instant,
    up: Half,
    down: Half,
    /// The link is open.
    transport: bool,
    greeting: Option<Greeting>,
    told_open: bool,
    connected: Option<Instant>,
    /// The client has said DISCONNECT.
    left: bool,
    /// The broker has, with this reason.
    dismissed: Option<u8>,
    last_heard: Instant,
    limits: Limits,
    aliases: (BTreeMap<u16, Box<str>>, BTreeMap<u16, Box<str>>),
    subscribes: BTreeMap<u16, Vec<u16>>,
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    /// Bytes of a packet that has not come whole.
    partial: Vec<u8>,
    /// What came was no MQTT.
    garbled: bool,
}

impl Connection {
    fn half(&mut self, sender: Sender) -> &mut Half {
        match sender {
            Sender::Client => &mut self.up,
            Sender::Server => &mut self.down,
        }
    }
}

/// What CONNECT said.
#[derive(Clone, Copy, Debug)]
struct Greeting {
    version: Version,
    clean: bool,
    keep_alive: Duration,
    /// It names an authentication method (5.0).
    method: bool,
    /// The session outlives the connection.
    persistent: bool,
    /// Unacknowledged messages that the client takes at most.
    receive_maximum: u16,
}

/// What CONNACK allowed.
#[derive(Clone, Copy, Debug)]
struct Limits {
    receive_maximum: u16,
    packet: u32,
    aliases: u16,
    qos: u8,
    retain: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { receive_maximum: u16::MAX, packet: u32::MAX, aliases: 0, qos: 2, retain: true }
    }
}

/// What to do with a packet before it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// It goes on.
    Pass,
    /// It is lost, and the connection is cut there.
    CutBefore,
    /// It goes on, and the connection is cut after it.
    CutAfter,
}

/// Where an observer's findings go.
pub struct Out<'a> {
    /// The time.
    pub now: Instant,
    /// When what is told now had happened, by the kernel's stamp.
    pub at: Instant,
    /// What to tell the judges of when it was noticed.
    pub seen: Instant,
    /// The driver's ledger.
    pub ledger: &'a Ledger,
    /// Takes the events.
    pub sink: &'a mut dyn Sink,
}

impl Observer {
    /// An observer of a client that has not connected yet.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            connection: None,
            number: 0,
            attempts: 0,
            sending: Sending::default(),
            receiving: Receiving::default(),
            has_session: false,
            subscribed: false,
            walked_out: 0,
            steady: false,
        }
    }

    /// True if the client has a connection that was accepted.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.connection.as_ref().is_some_and(|c| c.connected.is_some())
    }

    /// True if the client is connected, and has its subscriptions.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_up() && (self.subscribed || self.subject.filters.is_empty())
    }

    /// Messages of the client's that were sent and not wholly acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.sending.open.len() as u64
    }

    /// The client opened a connection to the link.
    pub fn opened(&mut self, out: &mut Out<'_>) {
        let now = out.now;
        self.number += 1;
        self.attempts += 1;
        self.connection = Some(Connection {
            opened: now,
            up: Half::default(),
            down: Half::default(),
            transport: false,
            greeting: None,
            told_open: false,
            connected: None,
            left: false,
            dismissed: None,
            last_heard: now,
            limits: Limits::default(),
            aliases: (BTreeMap::new(), BTreeMap::new()),
            subscribes: BTreeMap::new(),
        });
        self.sending.begin();
        self.receiving.begin();
        self.event(What::Connecting { attempt: self.attempts, intended: now }, out);
    }

    /// The link's transport is open all the way.
    pub fn transport_open(&mut self, out: &mut Out<'_>) {
        if let Some(c) = &mut self.connection {
            c.transport = true;
        }
        self.tell_open(out);
    }

    /// The client's bytes could not be taken for a while: it is not to blame for a silence.
    pub fn held_up(&mut self, now: Instant) {
        if let Some(c) = &mut self.connection {
            c.last_heard = now;
        }
    }

    /// Bytes from the client. Each packet that is whole now is shown to `gate` first. How many of the bytes go on, if the connection
    /// is cut; none if it is not, and all do.
    pub fn up(
        &mut self,
        bytes: &[u8],
        out: &mut Out<'_>,
        gate: impl FnMut(&Packet<'_>, &Observer) -> Gate,
    ) -> Option<usize> {
        self.take(Sender::Client, bytes, out, gate)
    }

    /// Bytes for the client; as [`Self::up`].
    pub fn down(
        &mut self,
        bytes: &[u8],
        out: &mut Out<'_>,
        gate: impl FnMut(&Packet<'_>, &Observer) -> Gate,
    ) -> Option<usize> {
        self.take(Sender::Server, bytes, out, gate)
    }

    fn take(
        &mut self,
        sender: Sender,
        bytes: &[u8],
        out: &mut Out<'_>,
        mut gate: impl FnMut(&Packet<'_>, &Observer) -> Gate,
    ) -> Option<usize> {
        let c = self.connection.as_mut()?;
        let mut buffer = std::mem::take(&mut c.half(sender).partial);
        let before = buffer.len();
        buffer.extend_from_slice(bytes);
        let mut used = 0;
        let mut cut = None;
        while let (Some(c), None) = (&mut self.connection, cut) {
            if c.half(sender).garbled {
                break;
            }
            let version = c.greeting.map_or(self.subject.version, |g| g.version);
            match codec::decode(&buffer[used..], version, sender, codec::MAX_PACKET) {
                Ok(Some((packet, length))) => {
                    let gate = gate(&packet, self);
                    let goes_on = used + if gate == Gate::CutBefore { 0 } else { length };
                    cut = (gate != Gate::Pass).then(|| goes_on.saturating_sub(before));
                    if gate != Gate::CutBefore {
                        match sender {
                            Sender::Client => self.client_said(&packet, length, out),
                            Sender::Server => self.broker_said(&packet, length, out),
                        }
                    }
                    used += length;
                }
                Ok(None) => break,
                Err(_) => {
                    c.half(sender).garbled = true;
                    match sender {
                        Sender::Client => self.fault(ClientFault::Malformed, None, 0, out),
                        Sender::Server => self.event(What::Protocol(Breach::Malformed), out),
                    }
                }
            }
        }
        if let Some(c) = &mut self.connection {
            buffer.drain(..used);
            c.half(sender).partial = buffer;
        }
        cut
    }

    /// The connection is over.
    pub fn closed(&mut self, how: Ended, out: &mut Out<'_>) {
        let Some(c) = self.connection.take() else { return };
        let up_for = c.connected.map(|at| out.now.since(at));
        self.steady = up_for.is_some_and(|d| d >= PATIENCE);
        let walked = how == Ended::ByClient && up_for.is_some() && !c.left && c.dismissed.is_none() && !c.down.garbled;
        self.walked_out = if walked && !self.steady { self.walked_out + 1 } else { 0 };
        let by = match how {
            Ended::ByClient => EndedBy::Client,
            Ended::ByBroker => EndedBy::Broker(c.dismissed),
            Ended::Cut => EndedBy::Reset,
        };
        let in_flight = u32::try_from(self.sending.open.len()).unwrap_or(u32::MAX);
        self.event(What::Disconnected { by, was_connected: up_for.is_some(), in_flight }, out);
        if c.greeting.is_some_and(|g| !g.persistent) && up_for.is_some() {
            self.session_gone(out);
        }
    }

    /// The drain is over, and the connection, if there is one, has not been closed yet: what the client should have done long since.
    pub fn drained(&mut self, out: &mut Out<'_>) {
        let connected = self.connection.as_ref().and_then(|c| c.connected);
        if connected.is_some_and(|at| out.now.since(at) >= PATIENCE) {
            for (fault, number, id) in self.sending.overdue(self.number, out.now) {
                self.fault(fault, number, id, out);
            }
            for (fault, id) in self.receiving.overdue(out.now) {
                self.fault(fault, None, id, out);
            }
        } else if self.walked_out >= WEDGED {
            self.fault(ClientFault::Wedged, None, 0, out);
        }
        let mut twice = Vec::new();
        for ((publisher, number), times) in &out.ledger.handed {
            let came = self.receiving.fresh.get(&(*publisher, *number)).copied().unwrap_or(0);
            twice.extend((*times > came.max(1)).then_some((*publisher, *number)));
        }
        for (publisher, number) in twice {
            self.event(
                What::Faulty {
                    fault: ClientFault::HandedOverTwice,
                    of: Some(publisher),
                    number: Some(number),
                    packet_id: 0,
                },
                out,
            );
        }
    }

    /// How many messages the driver has given to the client that have not been seen on the wire.
    #[must_use]
    pub fn waiting(&self, ledger: &Ledger) -> u64 {
        let known = self.sending.attempts.len() + ledger.refused.len();
        ledger.intended.len().saturating_sub(known) as u64
    }

    /// Messages that the driver gave to the client, and that were never seen on the wire.
    #[must_use]
    pub fn never_sent(&self, ledger: &Ledger) -> Vec<u32> {
        let refused: std::collections::BTreeSet<u32> = ledger.refused.iter().map(|(n, _)| *n).collect();
        let all = 0..u32::try_from(ledger.intended.len()).unwrap_or(u32::MAX);
        all.filter(|n| !self.sending.attempts.contains_key(n) && !refused.contains(n)).collect()
    }

    fn client_said(&mut self, packet: &Packet<'_>, length: usize, out: &mut Out<'_>) {
        let Some(c) = &mut self.connection else { return };
        let silent = out.now.since(c.last_heard);
        c.last_heard = out.now;
        if c.left {
            self.fault(ClientFault::AfterDisconnect, None, 0, out);
            return;
        }
        let Some(greeting) = c.greeting else {
            match packet {
                Packet::Connect(connect) => self.greets(connect, out),
                _ => self.fault(ClientFault::ConnectNotFirst, None, 0, out),
            }
            return;
        };
        let (limit, connected) = (c.limits.packet as usize, c.connected.is_some());
        if connected && greeting.keep_alive > Duration::ZERO && silent > greeting.keep_alive + KEEP_ALIVE_SLACK {
            self.fault(ClientFault::KeepAlive, None, 0, out);
        }
        if length > limit {
            self.fault(ClientFault::PacketTooLarge, None, 0, out);
        }
        match packet {
            Packet::Connect(_) => self.fault(ClientFault::SecondConnect, None, 0, out),
            Packet::Publish(publish) => self.publishes(publish, length, out),
            Packet::PubRel(ack) => self.releases(ack.packet_id.get(), out),
            Packet::PubAck(ack) => self.acknowledges(QoS::AtLeastOnce, ack.packet_id.get(), ack.reason, out),
            Packet::PubRec(ack) => self.acknowledges(QoS::ExactlyOnce, ack.packet_id.get(), ack.reason, out),
            Packet::PubComp(ack) => self.completes(ack.packet_id.get(), out),
            Packet::Subscribe(subscribe) => {
                let asked: Vec<u16> = subscribe.filters().filter_map(|(f, _)| self.filter(f)).collect();
                self.subscribes(subscribe.packet_id.get(), asked, out);
            }
            Packet::Unsubscribe(unsubscribe) => {
                let gone: Vec<u16> = unsubscribe.filters().filter_map(|f| self.filter(f)).collect();
                for filter in gone {
                    self.event(What::UnsubscribeSent { filter }, out);
                }
            }
            Packet::Disconnect(_) => {
                if let Some(c) = &mut self.connection {
                    c.left = true;
                }
            }
            _ => {}
        }
    }

    fn broker_said(&mut self, packet: &Packet<'_>, length: usize, out: &mut Out<'_>) {
        match packet {
            Packet::ConnAck(connack) => self.accepted(connack, out),
            Packet::Publish(publish) => self.receives(publish, length, out),
            Packet::PubAck(ack) => self.acked(QoS::AtLeastOnce, ack.packet_id.get(), ack.reason, out),
            Packet::PubRec(ack) => self.acked(QoS::ExactlyOnce, ack.packet_id.get(), ack.reason, out),
            Packet::PubRel(ack) => self.receiving.release(ack.packet_id.get(), out.now),
            Packet::PubComp(ack) => self.completed(ack.packet_id.get(), ack.reason, out),
            Packet::SubAck(codes) => {
                let asked = self.connection.as_mut().and_then(|c| c.subscribes.remove(&codes.packet_id.get()));
                for (filter, granted) in asked.unwrap_or_default().into_iter().zip(codes.codes) {
                    self.subscribed = true;
                    self.event(What::Subscribed { filter, granted: *granted }, out);
                }
            }
            Packet::Disconnect(reason) => {
                if let Some(c) = &mut self.connection {
                    c.dismissed = Some(reason.reason);
                }
                self.sent_away(reason.reason, reason.properties, out);
            }
            Packet::Auth(_) => self.authenticates(out),
            _ => {}
        }
    }

    /// The broker speaks of authentication: only to a client that named a method [MQTT-4.12.0-6].
    fn authenticates(&mut self, out: &mut Out<'_>) {
        if self.connection.as_ref().and_then(|c| c.greeting).is_none_or(|greeting| !greeting.method) {
            self.event(What::Protocol(Breach::Authentication), out);
        }
    }

    fn greets(&mut self, connect: &Connect<'_>, out: &mut Out<'_>) {
        let expiry = connect.properties.find(|p| match p {
            Property::SessionExpiryInterval(s) => Some(s),
            _ => None,
        });
        let receive_maximum = connect.properties.find(|p| match p {
            Property::ReceiveMaximum(n) => Some(n),
            _ => None,
        });
        let persistent = match connect.version {
            Version::V5 => expiry.unwrap_or(0) > 0,
            _ => !connect.clean_start,
        };
        if let Some(c) = &mut self.connection {
            c.greeting = Some(Greeting {
                version: connect.version,
                clean: connect.clean_start,
                keep_alive: Duration::from_secs(connect.keep_alive.into()),
                method: connect.properties.authentication_method().is_some(),
                persistent,
                receive_maximum: receive_maximum.unwrap_or(u16::MAX),
            });
        }
        self.tell_open(out);
    }

    /// Both the transport is open and CONNECT is on its way.
    fn tell_open(&mut self, out: &mut Out<'_>) {
        if let Some(c) = self.connection.as_mut().filter(|c| c.transport && c.greeting.is_some() && !c.told_open) {
            c.told_open = true;
            self.event(What::TransportOpen, out);
        }
    }

    fn sent_away(&mut self, reason: u8, properties: Properties<'_>, out: &mut Out<'_>) {
        if sends_away(reason) {
            self.event(What::Redirected { reason, to: properties.server_reference().map(ServerName::new) }, out);
        }
    }

    fn accepted(&mut self, connack: &ConnAck<'_>, out: &mut Out<'_>) {
        if connack.properties.authentication_method().is_some() {
            self.authenticates(out);
        }
        let Some(c) = &mut self.connection else { return };
        let (Some(greeting), None) = (c.greeting, c.connected) else {
            self.event(What::Protocol(Breach::Unexpected), out);
            return;
        };
        let ConnAck { session_present, reason, .. } = *connack;
        let expected_session = self.has_session && !greeting.clean;
        if reason != 0 {
            self.sent_away(reason, connack.properties, out);
            self.event(What::Connected { reason, session_present: false, expected_session }, out);
            return;
        }
        let mut persistent = greeting.persistent;
        for property in connack.properties.iter() {
            match property {
                Property::ReceiveMaximum(n) => c.limits.receive_maximum = n,
                Property::MaximumPacketSize(n) => c.limits.packet = n,
                Property::TopicAliasMaximum(n) => c.limits.aliases = n,
                Property::MaximumQoS(n) => c.limits.qos = n,
                Property::RetainAvailable(n) => c.limits.retain = n != 0,
                Property::SessionExpiryInterval(n) => persistent = n > 0,
                Property::ServerKeepAlive(n) => {
                    if let Some(greeting) = &mut c.greeting {
                        greeting.keep_alive = Duration::from_secs(n.into());
                    }
                }
                _ => {}
            }
        }
        c.connected = Some(out.now);
        if greeting.clean {
            self.session_gone(out);
        }
        self.attempts = 0;
        self.event(What::Connected { reason, session_present, expected_session }, out);
        if !session_present {
            self.forget();
        }
        self.sending.resumed = session_present;
        self.has_session = persistent;
    }

    fn session_gone(&mut self, out: &mut Out<'_>) {
        if self.has_session || self.subscribed {
            self.event(What::SessionEnded, out);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.sending.forget();
        self.receiving.forget();
        (self.has_session, self.subscribed) = (false, false);
    }

    fn subscribes(&mut self, id: u16, asked: Vec<u16>, out: &mut Out<'_>) {
        for filter in &asked {
            self.event(What::SubscribeSent { filter: *filter }, out);
        }
        if let Some(c) = &mut self.connection {
            c.subscribes.insert(id, asked);
        }
    }

    fn filter(&self, filter: &str) -> Option<u16> {
        self.subject.filters.iter().position(|f| **f == *filter).and_then(|i| u16::try_from(i).ok())
    }

    /// Whose message it is; topic aliases are looked up.
    fn read(&mut self, publish: &Publish<'_>, up: bool) -> Reading {
        let alias = publish.properties.find(|p| match p {
            Property::TopicAlias(n) => Some(n),
            _ => None,
        });
        let Some(c) = &mut self.connection else { return self.subject.directory.read(publish.topic, publish.payload) };
        let aliases = if up { &mut c.aliases.0 } else { &mut c.aliases.1 };
        if let Some(alias) = alias.filter(|_| !publish.topic.is_empty()) {
            aliases.insert(alias, publish.topic.into());
        }
        let topic =
            alias.filter(|_| publish.topic.is_empty()).and_then(|a| aliases.get(&a)).map_or(publish.topic, |t| t);
        self.subject.directory.read(topic, publish.payload)
    }

    fn fault(&self, fault: ClientFault, number: Option<u32>, packet_id: u16, out: &mut Out<'_>) {
        self.event(What::Faulty { fault, of: None, number, packet_id }, out);
    }

    fn event(&self, what: What, out: &mut Out<'_>) {
        out.sink.event(Event { seen: out.seen, at: out.at, client: self.subject.id, what });
    }
}
