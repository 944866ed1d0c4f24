//! Everything that reads bytes, given mutated and random ones: nothing panics, nothing grows without bound. (What each
//! malformed packet is called: `src/mqtt/tests/malformed.rs`.)

use proptest::prelude::*;
use squall::broker::{Broker, Config, ConnId, Output};
use squall::mqtt::codec::{self, MAX_PACKET, Sender};
use squall::mqtt::packet::{Ack, Codes, ConnAck, Connect, Packet, Publish, Reason, Will};
use squall::mqtt::properties::{Properties, PropertiesBuf, Property};
use squall::mqtt::{PacketId, QoS, Version};
use squall::time::{Duration, Instant};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn id(n: u16) -> PacketId {
    PacketId::new(n).expect("above 0")
}

/// One of each packet, as each side may send it.
fn samples(version: Version) -> Vec<(Sender, Vec<u8>)> {
    let v5 = version == Version::V5;
    let mut p = PropertiesBuf::default();
    if v5 {
        p.push(Property::UserProperty("a", "b")).push(Property::MessageExpiryInterval(9));
    }
    let publish = Publish {
        dup: true,
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "a/b",
        packet_id: Some(id(7)),
        properties: p.as_properties(),
        payload: b"payload",
    };
    let will = Will { topic: "w", payload: b"x", qos: QoS::AtLeastOnce, retain: true, properties: Properties::EMPTY };
    let connect = Connect {
        version,
        clean_start: true,
        keep_alive: 30,
        client_id: "client",
        will: Some(will),
        user_name: Some("u"),
        password: Some(b"p"),
        properties: Properties::EMPTY,
    };
    let encode = |packet: &Packet<'_>| {
        let mut out = Vec::new();
        codec::encode(packet, version, &mut out);
        out
    };
    let codes: &[u8] = if v5 { &[0] } else { &[] };
    let mut subscribe = Vec::new();
    codec::encode_subscribe(version, id(3), Properties::EMPTY, &[("a/#", Default::default())], &mut subscribe);
    let mut unsubscribe = Vec::new();
    codec::encode_unsubscribe(version, id(4), &["a/#"], &mut unsubscribe);
    let ack = Ack::plain(id(9));
    let mut all = vec![
        (Sender::Client, encode(&Packet::Connect(connect))),
        (
            Sender::Server,
            encode(&Packet::ConnAck(ConnAck { session_present: true, reason: 0, properties: Properties::EMPTY })),
        ),
        (Sender::Client, subscribe),
        (Sender::Client, unsubscribe),
        (
            Sender::Server,
            encode(&Packet::SubAck(Codes { packet_id: id(3), properties: Properties::EMPTY, codes: &[1] })),
        ),
        (Sender::Server, encode(&Packet::UnsubAck(Codes { packet_id: id(4), properties: Properties::EMPTY, codes }))),
        (Sender::Client, encode(&Packet::PingReq)),
        (Sender::Server, encode(&Packet::PingResp)),
        (Sender::Client, encode(&Packet::Disconnect(Reason::default()))),
    ];
    for sender in [Sender::Client, Sender::Server] {
        all.push((sender, encode(&Packet::Publish(publish))));
        for packet in [Packet::PubAck(ack), Packet::PubRec(ack), Packet::PubRel(ack), Packet::PubComp(ack)] {
            all.push((sender, encode(&packet)));
        }
    }
    all
}

/// A broker with one connection that has said CONNECT; what it answers.
fn feed(broker: &mut Broker, conn: ConnId, bytes: &[u8], now: Instant) -> (Vec<u8>, bool) {
    broker.handle_bytes(conn, bytes, now);
    let (mut out, mut closed) = (Vec::new(), false);
    while let Some(output) = broker.poll_output() {
        match output {
            Output::Write(c) if c == conn => broker.take_output(c, &mut out),
            Output::Write(c) => broker.take_output(c, &mut Vec::new()),
            Output::Close(c) => {
                if c == conn {
                    broker.take_output(c, &mut out);
                    closed = true;
                }
                broker.forget_connection(c);
            }
        }
    }
    (out, closed)
}

fn sequence() -> impl Strategy<Value = (usize, Vec<u8>, Vec<(usize, u8)>)> {
    (
        0..3usize,
        proptest::collection::vec(any::<u8>(), 0..64),
        proptest::collection::vec((0..400usize, any::<u8>()), 0..6),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Random and mutated bytes, after at least two legal packets: no panic, and another client is served.
    #[test]
    fn the_broker_survives_anything((v, junk, flips) in sequence()) {
        let version = VERSIONS[v];
        let mut broker = Broker::new(Config::default());
        let (bad, good) = (ConnId(1), ConnId(2));
        let now = Instant::ZERO;
        broker.handle_open(bad, now);
        broker.handle_open(good, now);
        let packets = samples(version).into_iter().filter(|(s, _)| *s == Sender::Client).map(|(_, b)| b);
        let mut bytes: Vec<u8> = packets.take(3).flatten().collect();
        let legal = bytes.len();
        bytes.extend(samples(version).into_iter().filter(|(s, _)| *s == Sender::Client).skip(5).flat_map(|(_, b)| b));
        for (at, value) in flips {
            let at = legal + at % (bytes.len() - legal);
            bytes[at] ^= value;
        }
        bytes.extend(junk);
        feed(&mut broker, bad, &bytes, now);
        let mut connect = Vec::new();
        let hello = Connect {
            version, clean_start: true, keep_alive: 0, client_id: "good", will: None, user_name: None, password: None,
            properties: Properties::EMPTY,
        };
        codec::encode(&Packet::Connect(hello), version, &mut connect);
        codec::encode(&Packet::PingReq, version, &mut connect);
        let (answer, closed) = feed(&mut broker, good, &connect, now);
        prop_assert!(!closed && answer.ends_with(&[0xD0, 0]), "{answer:02x?}");
        broker.handle_deadline(now + Duration::from_secs(1000));
    }

    /// Decoding never panics, and what it takes it writes back to the same meaning.
    #[test]
    fn the_codec_survives_anything(bytes in proptest::collection::vec(any::<u8>(), 0..80), v in 0..3usize, client in any::<bool>()) {
        let sender = if client { Sender::Client } else { Sender::Server };
        if let Ok(Some((packet, used))) = codec::decode(&bytes, VERSIONS[v], sender, MAX_PACKET) {
            prop_assert!(used <= bytes.len());
            let own = if let Packet::Connect(c) = packet { c.version } else { VERSIONS[v] };
            let mut again = Vec::new();
            codec::encode(&packet, own, &mut again);
            let (second, _) = codec::decode(&again, own, sender, MAX_PACKET).expect("legal").expect("whole");
            prop_assert_eq!(packet, second);
        }
    }

    /// Damaged scenario files give errors with places, never a panic.
    #[test]
    fn the_scenario_parser_survives_anything(at in 0..3000usize, cut in 0..40usize, text in "[ -~]{0,12}") {
        let whole = include_str!("../scenarios/quickstart.toml");
        let at = at.min(whole.len());
        let end = (at + cut).min(whole.len());
        if whole.is_char_boundary(at) && whole.is_char_boundary(end) {
            let damaged = format!("{}{text}{}", &whole[..at], &whole[end..]);
            if let Err(errors) = squall::scenario::parse("damaged.toml", &damaged) {
                prop_assert!(!errors.problems.is_empty() && errors.render(false).contains("nothing was started"));
            }
        }
    }
}

/// Small talk with the broker's core, in virtual time.
struct Talk(Broker, u32);

impl Talk {
    fn client(&mut self, version: Version, id: &str, clean: bool, expiry: u32) -> (ConnId, Vec<u8>) {
        self.1 += 1;
        let conn = ConnId(self.1);
        self.0.handle_open(conn, Instant::ZERO);
        let mut p = PropertiesBuf::default();
        if version == Version::V5 && expiry > 0 {
            p.push(Property::SessionExpiryInterval(expiry));
        }
        let mut out = Vec::new();
        let connect = Connect {
            version,
            clean_start: clean,
            keep_alive: 10,
            client_id: id,
            will: Some(Will {
                topic: "will",
                payload: b"gone",
                qos: QoS::AtMostOnce,
                retain: false,
                properties: Properties::EMPTY,
            }),
            user_name: None,
            password: None,
            properties: p.as_properties(),
        };
        codec::encode(&Packet::Connect(connect), version, &mut out);
        let (answer, _) = feed(&mut self.0, conn, &out, Instant::ZERO);
        (conn, answer)
    }
}

#[test]
fn sessions_are_told_truly_and_taken_over() {
    let mut t = Talk(Broker::new(Config::default()), 0);
    let (first, answer) = t.client(Version::V311, "c", false, 0);
    assert_eq!(answer, [0x20, 2, 0, 0]); // [MQTT-3.2.2-3]
    let (second, answer) = t.client(Version::V311, "c", false, 0);
    assert_eq!(answer, [0x20, 2, 1, 0]); // [MQTT-3.2.2-2]
    let (_, closed) = feed(&mut t.0, first, &[0xC0, 0], Instant::ZERO);
    assert!(!closed && t.0.population().1 == 1, "the old connection is gone [MQTT-3.1.4-2]");
    t.0.handle_closed(second, Instant::ZERO);
    let (_, answer) = t.client(Version::V311, "c", true, 0);
    assert_eq!(answer, [0x20, 2, 0, 0]); // [MQTT-3.1.2-6]
}

/// Until PUBREL each repeat of a QoS 2 PUBLISH gets PUBREC and goes no further, over reconnects too [MQTT-4.3.3-2].
#[test]
fn qos_2_is_handed_on_once_over_a_reconnect() {
    let mut t = Talk(Broker::new(Config::default()), 0);
    let (listener, _) = t.client(Version::V311, "l", true, 0);
    feed(&mut t.0, listener, &[0x82, 6, 0, 1, 0, 1, b't', 2], Instant::ZERO);
    let (sender, _) = t.client(Version::V311, "s", false, 0);
    let publish = [0x34, 7, 0, 1, b't', 0, 5, b'h', b'i'];
    t.0.handle_bytes(sender, &publish, Instant::ZERO);
    let mut to_sender = Vec::new();
    t.0.take_output(sender, &mut to_sender);
    assert_eq!(to_sender, [0x50, 2, 0, 5]);
    let mut to_listener = Vec::new();
    t.0.take_output(listener, &mut to_listener);
    assert!(to_listener.starts_with(&[0x34, 7, 0, 1, b't']), "{to_listener:02x?}");
    t.0.handle_closed(sender, Instant::ZERO);
    let (sender, _) = t.client(Version::V311, "s", false, 0);
    let mut again = publish;
    again[0] |= 8;
    t.0.handle_bytes(sender, &again, Instant::ZERO);
    let mut to_listener = Vec::new();
    t.0.take_output(listener, &mut to_listener);
    assert!(to_listener.is_empty(), "no second copy");
    let (answer, _) = feed(&mut t.0, sender, &[0x62, 2, 0, 5], Instant::ZERO);
    assert!(answer.ends_with(&[0x70, 2, 0, 5]), "{answer:02x?}");
}

/// Silent for one and a half times the keep alive: closed, and the will is sent [MQTT-3.1.2-24].
#[test]
fn silence_ends_a_connection_and_sends_its_will() {
    let mut t = Talk(Broker::new(Config::default()), 0);
    let (listener, _) = t.client(Version::V311, "l", true, 0);
    feed(&mut t.0, listener, &[0x82, 9, 0, 1, 0, 4, b'w', b'i', b'l', b'l', 0], Instant::ZERO);
    t.client(Version::V311, "silent", true, 0);
    let later = Instant::ZERO + Duration::from_secs(14);
    t.0.handle_bytes(listener, &[0xC0, 0], later);
    t.0.handle_deadline(later);
    assert_eq!(t.0.population().1, 2);
    t.0.handle_deadline(Instant::ZERO + Duration::from_millis(15_001));
    let mut out = Vec::new();
    t.0.take_output(listener, &mut out);
    assert!(out.ends_with(b"gone"), "{out:02x?}");
    assert_eq!(t.0.population().1, 1);
}
