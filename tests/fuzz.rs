//! Bytes that nobody would send on purpose: into the codec, beside another codec, into the client's session, and into the broker from
//! many connections. Half of the inputs begin with at least two legal packets, so that what lies behind the first check is reached too.
//!
//! A fixed seed and some seconds by default; `SQUALL_FUZZ=N` is how many inputs each target gets, `SQUALL_FUZZ_SEED` where it begins.
//! docs/fuzzing.md tells of long runs.

use bytes::BytesMut;
use squall::broker::{Broker, Config, ConnId, Output};
use squall::mqtt::codec::{self, MAX_PACKET, Sender, decode, encode};
use squall::mqtt::packet::{Ack, Codes, ConnAck, Connect, Packet, Publish, Reason, SubscribeOptions, Will};
use squall::mqtt::properties::{PropertiesBuf, Property};
use squall::mqtt::session::{Session, SessionConfig};
use squall::mqtt::{PacketId, QoS, Version};
use squall::seed::Stream;
use squall::time::{Duration, Instant};
use std::collections::BTreeMap;

fn inputs(default: u64) -> u64 {
    std::env::var("SQUALL_FUZZ").ok().map_or(default, |n| n.parse().expect("SQUALL_FUZZ is a number"))
}

fn stream(target: &str) -> Stream {
    let seed = std::env::var("SQUALL_FUZZ_SEED").ok().map_or(1, |n| n.parse().expect("a number"));
    Stream::named(seed, &["fuzz", target])
}

/// Draws packets and bytes.
struct Draw(Stream);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("small")]
    }

    fn id(&mut self) -> PacketId {
        let most = if self.0.chance(0.9) { 6 } else { 65_535 };
        let id = self.below(most) + 1;
        PacketId::new(u16::try_from(id).expect("16 bits")).expect("from 1")
    }

    fn qos(&mut self) -> QoS {
        self.one(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    fn topic(&mut self) -> &'static str {
        self.one(&["a", "a/b", "a/b/c", "$x/y", "/", "é/✓", "long/topic/of/many/levels/that/goes/on"])
    }

    fn filter(&mut self) -> &'static str {
        self.one(&["a", "#", "a/+", "+/b", "$share/g/a/#", "$x/#", "+", "a/b/#", "$share/h/+"])
    }

    fn properties(&mut self, version: Version, all: &[Property<'static>]) -> PropertiesBuf {
        let mut p = PropertiesBuf::default();
        if version == Version::V5 {
            for property in all {
                if self.0.chance(0.25) {
                    p.push(*property);
                }
            }
        }
        p
    }

    /// A legal packet from a client.
    fn clients_packet(&mut self, version: Version, out: &mut Vec<u8>) {
        let (id, qos) = (self.id(), self.qos());
        match self.below(14) {
            0 => {
                let p = self.properties(
                    version,
                    &[
                        Property::SessionExpiryInterval(5),
                        Property::ReceiveMaximum(2),
                        Property::MaximumPacketSize(60),
                        Property::TopicAliasMaximum(3),
                        Property::RequestProblemInformation(0),
                        Property::UserProperty("k", "v"),
                    ],
                );
                let will = self.0.chance(0.3).then(|| Will {
                    topic: "will",
                    payload: b"gone",
                    qos,
                    retain: id.get() % 2 == 0,
                    properties: squall::mqtt::properties::Properties::EMPTY,
                });
                let connect = Connect {
                    version,
                    clean_start: self.0.chance(0.5),
                    keep_alive: self.one(&[0, 1, 60]),
                    client_id: self.one(&["x", "y", "z"]),
                    will,
                    user_name: None,
                    password: None,
                    properties: p.as_properties(),
                };
                encode(&Packet::Connect(connect), version, out);
            }
            1..=4 => {
                let p = self.properties(
                    version,
                    &[
                        Property::MessageExpiryInterval(3),
                        Property::TopicAlias(1),
                        Property::ResponseTopic("r"),
                        Property::CorrelationData(b"c"),
                        Property::UserProperty("k", "v"),
                        Property::PayloadFormatIndicator(1),
                    ],
                );
                let payload = [b'x'; 40];
                let publish = Publish {
                    dup: qos != QoS::AtMostOnce && self.0.chance(0.2),
                    qos,
                    retain: self.0.chance(0.3),
                    topic: self.topic(),
                    packet_id: (qos != QoS::AtMostOnce).then_some(id),
                    properties: p.as_properties(),
                    payload: &payload[..usize::try_from(self.below(41)).expect("small")],
                };
                encode(&Packet::Publish(publish), version, out);
            }
            5 => encode(&Packet::PubAck(Ack::plain(id)), version, out),
            6 => encode(&Packet::PubRec(Ack::plain(id)), version, out),
            7 | 8 => encode(&Packet::PubRel(Ack::plain(id)), version, out),
            9 => encode(&Packet::PubComp(Ack::plain(id)), version, out),
            10 | 11 => {
                let options = SubscribeOptions {
                    qos,
                    no_local: version == Version::V5 && self.0.chance(0.2),
                    retain_as_published: version == Version::V5 && self.0.chance(0.2),
                    retain_handling: if version == Version::V5 { u8::try_from(self.below(3)).expect("2") } else { 0 },
                };
                let p = self.properties(version, &[Property::SubscriptionIdentifier(9)]);
                let filters = [(self.filter(), options), (self.filter(), options)];
                codec::encode_subscribe(version, id, p.as_properties(), &filters, out);
            }
            12 => codec::encode_unsubscribe(version, id, &[self.filter()], out),
            _ => encode(&self.one(&[Packet::PingReq, Packet::Disconnect(Reason::default())]), version, out),
        }
    }

    /// A legal packet from a server.
    fn servers_packet(&mut self, version: Version, out: &mut Vec<u8>) {
        let (id, qos) = (self.id(), self.qos());
        let reason = if version == Version::V5 { self.one(&[0, 0, 0x10, 0x80, 0x97]) } else { 0 };
        let ack = Ack { packet_id: id, reason, properties: squall::mqtt::properties::Properties::EMPTY };
        match self.below(10) {
            0 => {
                let p = self.properties(version, &[Property::ReceiveMaximum(3), Property::ServerKeepAlive(9)]);
                let session_present = self.0.chance(0.5);
                encode(
                    &Packet::ConnAck(ConnAck { session_present, reason: 0, properties: p.as_properties() }),
                    version,
                    out,
                );
            }
            1..=3 => {
                let publish = Publish {
                    dup: qos != QoS::AtMostOnce && self.0.chance(0.3),
                    qos,
                    retain: false,
                    topic: self.topic(),
                    packet_id: (qos != QoS::AtMostOnce).then_some(id),
                    properties: squall::mqtt::properties::Properties::EMPTY,
                    payload: b"payload",
                };
                encode(&Packet::Publish(publish), version, out);
            }
            4 => encode(&Packet::PubAck(ack), version, out),
            5 => encode(&Packet::PubRec(ack), version, out),
            6 => encode(&Packet::PubRel(Ack::plain(id)), version, out),
            7 => encode(&Packet::PubComp(Ack::plain(id)), version, out),
            8 => encode(
                &Packet::SubAck(Codes { packet_id: id, properties: ack.properties, codes: &[qos as u8] }),
                version,
                out,
            ),
            _ => encode(&Packet::PingResp, version, out),
        }
    }

    /// What goes wrong with bytes: nothing, a bit, a byte, a cut, a length, a repeat, or all of it.
    fn spoil(&mut self, bytes: &mut Vec<u8>, from: usize) {
        let place = |d: &mut Self, n: usize| from + usize::try_from(d.below((n - from).max(1) as u64)).expect("small");
        for _ in 0..self.below(4) {
            if bytes.len() <= from {
                return;
            }
            let at = place(self, bytes.len());
            match self.below(7) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.one(&[0, 1, 0x7F, 0x80, 0xFF, b'+', b'#']),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.one(&[0, 0x80, 0xFF])),
                4 => {
                    let copy = bytes[at..].to_vec();
                    bytes.extend(copy);
                }
                5 => drop(bytes.remove(at)),
                _ => bytes[at] = u8::try_from(self.below(256)).expect("a byte"),
            }
        }
    }

    /// Some packets, of which half the time the first two are legal and whole.
    fn input(&mut self, version: Version, sender: Sender) -> Vec<u8> {
        let mut bytes = Vec::new();
        let whole = self.0.chance(0.5);
        let packets = if whole { 2 + self.below(4) } else { 1 + self.below(3) };
        let mut from = 0;
        for n in 0..packets {
            match sender {
                Sender::Client => self.clients_packet(version, &mut bytes),
                Sender::Server => self.servers_packet(version, &mut bytes),
            }
            if whole && n == 1 {
                from = bytes.len();
            }
        }
        self.spoil(&mut bytes, from);
        bytes
    }

    fn version(&mut self) -> Version {
        self.one(&[Version::V31, Version::V311, Version::V5, Version::V5])
    }
}

/// All at once and a byte at a time give the same; what is decoded is encoded to what decodes to the same; nothing is read beyond the
/// input or kept beyond the limit.
#[test]
fn the_codec_takes_any_bytes() {
    let mut d = Draw(stream("codec"));
    for n in 0..inputs(20_000) {
        let (version, sender) = (d.version(), d.one(&[Sender::Client, Sender::Server]));
        let bytes = d.input(version, sender);
        let mut rest = &bytes[..];
        loop {
            let whole = decode(rest, version, sender, 4_096);
            if n % 16 == 0 {
                let first = (0..=rest.len())
                    .map(|k| decode(&rest[..k], version, sender, 4_096))
                    .find(|r| !matches!(r, Ok(None)));
                match (&whole, first) {
                    (Ok(None), None) => {}
                    (Ok(Some(a)), Some(Ok(Some(b)))) => assert_eq!(*a, b, "{rest:02x?}"),
                    (Err(a), Some(Err(b))) => assert_eq!(*a, b, "{rest:02x?}"),
                    (a, b) => panic!("at once {a:?}, byte by byte {b:?}: {rest:02x?}"),
                }
            }
            let Ok(Some((packet, used))) = whole else { break };
            assert!(used <= rest.len() && used > 1);
            let spoken = if let Packet::Connect(c) = packet { c.version } else { version };
            let mut again = Vec::new();
            encode(&packet, spoken, &mut again);
            let (second, length) = decode(&again, version, sender, MAX_PACKET).expect("ours").expect("whole");
            assert_eq!((second, length), (packet, again.len()), "{rest:02x?}");
            rest = &rest[used..];
        }
    }
}

/// What rumqttc's codec takes and ours does not, and the other way round, by packet type: only the kinds that the standard decides, which
/// docs/fuzzing.md lists.
#[test]
fn differences_from_rumqttc_are_those_that_the_standard_decides() {
    let mut d = Draw(stream("rumqttc"));
    let mut ours_alone: BTreeMap<String, (u64, Vec<u8>)> = BTreeMap::new();
    let mut theirs_alone: BTreeMap<String, (u64, Vec<u8>)> = BTreeMap::new();
    for _ in 0..inputs(20_000) {
        let version = d.one(&[Version::V311, Version::V5]);
        let sender = d.one(&[Sender::Client, Sender::Server]);
        let bytes = d.input(version, sender);
        let Some(&first) = bytes.first() else { continue };
        let ours = decode(&bytes, version, sender, 1 << 20);
        let mut theirs = BytesMut::from(&bytes[..]);
        let taken = match version {
            Version::V5 => match std::panic::catch_unwind(move || {
                rumqttc::v5::mqttbytes::v5::Packet::read(&mut theirs, Some(1 << 20))
                    .map(|_| ())
                    .map_err(|e| format!("{e:?}"))
            }) {
                Ok(result) => result,
                Err(_) => Err("panic".into()),
            },
            _ => match std::panic::catch_unwind(move || {
                rumqttc::mqttbytes::v4::Packet::read(&mut theirs, 1 << 20).map(|_| ()).map_err(|e| format!("{e:?}"))
            }) {
                Ok(result) => result,
                Err(_) => Err("panic".into()),
            },
        };
        let v = if version == Version::V5 { 5 } else { 4 };
        match (ours, taken) {
            (Ok(Some(_)), Err(why)) if !why.contains("Insufficient") => {
                let why = why.split(['(', ' ', '{']).next().unwrap_or("").to_owned();
                let entry = ours_alone.entry(format!("{v} type {:2}: {why}", first >> 4)).or_insert((0, bytes));
                entry.0 += 1;
            }
            (Err(why), Ok(())) => {
                let entry = theirs_alone.entry(format!("{v} type {:2}: {why:?}", first >> 4)).or_insert((0, bytes));
                entry.0 += 1;
            }
            _ => {}
        }
    }
    if std::env::var("SQUALL_FUZZ_SHOW").is_ok() {
        for (title, all) in [("ours alone", &ours_alone), ("rumqttc alone", &theirs_alone)] {
            for (what, (count, example)) in all {
                eprintln!("{title}: {what}: {count}, say {example:02x?}");
            }
        }
    }
    for (what, (_, example)) in &ours_alone {
        assert!(KNOWN.iter().any(|k| what.starts_with(k)), "we take what rumqttc refuses: {what}: {example:02x?}");
    }
}

/// Where rumqttc refuses what the standard allows (docs/fuzzing.md).
const KNOWN: &[&str] = &[
    // DISCONNECT of 5.0 without reason code and properties: "Normal disconnection" (section 3.14.2.1).
    "5 type 14: PayloadRequired",
    // AUTH, packet type 15 (section 3.15); without reason code and properties it is "Success" (3.15.2.1).
    "5 type 15: InvalidPacketType",
];

/// The client's session stays within its window, and says nothing that is no packet of a client.
#[test]
fn the_session_takes_any_packets_of_a_server() {
    let mut d = Draw(stream("session"));
    for _ in 0..inputs(20_000) / 8 {
        let version = d.version();
        let config = SessionConfig {
            version,
            session_expiry: 60,
            keep_alive: 10,
            window: 4,
            receive_maximum: 3,
            maximum_packet_size: None,
            topic_alias_maximum: 2,
        };
        let mut session = Session::new(config);
        let (mut now, mut out) = (Instant::ZERO, Vec::new());
        session.handle_connect_sent(now);
        for token in 0..12 {
            now += Duration::from_millis(100);
            if d.0.chance(0.5) {
                let qos = d.one(&[QoS::AtLeastOnce, QoS::ExactlyOnce]);
                let _ = session.begin_publish(qos, token);
            }
            if d.0.chance(0.1) {
                session.handle_closed();
                session.handle_connect_sent(now);
            }
            let bytes = d.input(version, Sender::Server);
            let mut rest = &bytes[..];
            while let Ok(Some((packet, used))) = decode(rest, version, Sender::Server, MAX_PACKET) {
                let _ = session.handle(&packet, now, &mut out);
                rest = &rest[used..];
            }
            while session.poll_resend().is_some() {}
            let _ = session.handle_deadline(now, &mut out);
            assert!(session.in_flight() <= 4, "its window is 4");
        }
        let mut rest = &out[..];
        while !rest.is_empty() {
            let (_, used) =
                decode(rest, version, Sender::Client, MAX_PACKET).expect("a packet of a client").expect("whole");
            rest = &rest[used..];
        }
    }
}

/// What comes from the broker for each connection, decoded as its client would.
#[derive(Default)]
struct Wire {
    version: Option<Version>,
    bytes: Vec<u8>,
    open: bool,
}

fn drain(broker: &mut Broker, wires: &mut BTreeMap<ConnId, Wire>) {
    while let Some(output) = broker.poll_output() {
        let (Output::Write(conn) | Output::Close(conn)) = output;
        let wire = wires.entry(conn).or_default();
        broker.take_output(conn, &mut wire.bytes);
        if let Output::Close(_) = output {
            broker.forget_connection(conn);
            wire.open = false;
        }
        let version = wire.version.unwrap_or(Version::V311);
        let mut used = 0;
        loop {
            // A CONNECT may have been spoiled into one of another version, which the broker then speaks.
            let rest = &wire.bytes[used..];
            let read = |v: Version| decode(rest, v, Sender::Server, MAX_PACKET);
            let own = read(version);
            match own.or_else(|_| read(Version::V311)).or_else(|_| read(Version::V5)) {
                Ok(Some((_, n))) => used += n,
                Ok(None) => break,
                Err(why) => panic!("the broker sends what is no packet: {why:?} in {rest:02x?}"),
            }
        }
        wire.bytes.drain(..used);
    }
}

/// Connections that send anything, at once; the broker holds what it holds within its limit, speaks MQTT to everybody, and serves an
/// honest client as if nobody else were there.
#[test]
fn the_broker_takes_any_bytes_from_many_connections() {
    let mut d = Draw(stream("broker"));
    for round in 0..inputs(20_000).div_ceil(64) {
        let config = Config { memory: 1 << 20, ..Config::default() };
        let mut broker = Broker::new(config);
        let mut wires: BTreeMap<ConnId, Wire> = BTreeMap::new();
        let mut now = Instant::ZERO;
        let honest = ConnId(1_000);
        wires.insert(honest, Wire { version: Some(Version::V311), open: true, ..Wire::default() });
        let say = |broker: &mut Broker, packet: Packet<'_>, now: Instant| {
            let mut bytes = Vec::new();
            encode(&packet, Version::V311, &mut bytes);
            broker.handle_bytes(honest, &bytes, now);
        };
        broker.handle_open(honest, now);
        say(&mut broker, connect("honest"), now);
        let mut bytes = Vec::new();
        let options = SubscribeOptions { qos: QoS::AtLeastOnce, ..SubscribeOptions::default() };
        codec::encode_subscribe(
            Version::V311,
            PacketId::MIN,
            squall::mqtt::properties::Properties::EMPTY,
            &[("only/honest", options)],
            &mut bytes,
        );
        broker.handle_bytes(honest, &bytes, now);
        drain(&mut broker, &mut wires);
        for _ in 0..64 {
            now += Duration::from_millis(d.below(400));
            let conn = ConnId(u32::try_from(d.below(6)).expect("small"));
            let wire = wires.entry(conn).or_default();
            if !wire.open {
                let version = d.version();
                *wire = Wire { version: Some(version), open: true, ..Wire::default() };
                broker.handle_open(conn, now);
                // Half of them are let in first.
                if d.0.chance(0.7) {
                    let mut hello = Vec::new();
                    let Packet::Connect(c) = connect(d.one(&["x", "y", "z"])) else { unreachable!() };
                    encode(
                        &Packet::Connect(Connect { version, clean_start: d.0.chance(0.5), ..c }),
                        version,
                        &mut hello,
                    );
                    broker.handle_bytes(conn, &hello, now);
                    drain(&mut broker, &mut wires);
                }
                continue;
            }
            let version = wire.version.expect("it has one");
            if d.0.chance(0.05) {
                wire.open = false;
                broker.handle_closed(conn, now);
                drain(&mut broker, &mut wires);
                continue;
            }
            let input = d.input(version, Sender::Client);
            broker.handle_bytes(conn, &input, now);
            broker.handle_deadline(now);
            drain(&mut broker, &mut wires);
            assert!(broker.memory() <= (1 << 20) + (1 << 16), "round {round}: {} B", broker.memory());
        }
        say(&mut broker, Packet::PingReq, now);
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: "only/honest",
            packet_id: Some(PacketId::MIN),
            properties: squall::mqtt::properties::Properties::EMPTY,
            payload: b"still here",
        };
        say(&mut broker, Packet::Publish(publish), now);
        let mut came = Vec::new();
        while let Some(output) = broker.poll_output() {
            let (Output::Write(conn) | Output::Close(conn)) = output;
            assert!(!matches!(output, Output::Close(c) if c == honest), "round {round}: the honest client is closed");
            let mut bytes = Vec::new();
            broker.take_output(conn, &mut bytes);
            if conn == honest {
                came.extend(bytes);
            }
        }
        let mut kinds = Vec::new();
        let mut rest = &came[..];
        while let Ok(Some((packet, used))) = decode(rest, Version::V311, Sender::Server, MAX_PACKET) {
            kinds.push(std::mem::discriminant(&packet));
            rest = &rest[used..];
        }
        let expected = [
            Packet::PingResp,
            Packet::PubAck(Ack::plain(PacketId::MIN)),
            Packet::Publish(Publish { packet_id: None, qos: QoS::AtMostOnce, ..publish }),
        ];
        for packet in expected {
            assert!(
                kinds.contains(&std::mem::discriminant(&packet)),
                "round {round}: no {packet:?} for the honest client"
            );
        }
    }
}

fn connect(client_id: &str) -> Packet<'_> {
    Packet::Connect(Connect {
        version: Version::V311,
        clean_start: true,
        keep_alive: 0,
        client_id,
        will: None,
        user_name: None,
        password: None,
        properties: squall::mqtt::properties::Properties::EMPTY,
    })
}
