//! Clients that mean harm, against the reference broker as a process: what it keeps for them is bounded by the limits it was
//! given, and another client is served the while.

#[path = "support/raw.rs"]
mod raw;
mod support;

use raw::{Process, Raw, ack};
use squall::broker::{Broker, Config, ConnId, Output};
use squall::mqtt::packet::Packet;
use squall::mqtt::properties::Properties;
use squall::mqtt::{QoS, Version, codec};
use squall::time::{Duration, Instant};
use std::io::Write;

const MIB: u64 = 1 << 20;

/// What a process may hold beside what the limits count: allocator's slack, buffers (*assumed*, twice what was seen).
const SLACK: u64 = 24 * MIB;

/// The reason of the DISCONNECT that comes next, 5.0.
fn disconnect_reason(client: &mut Raw) -> u8 {
    client.receive(|p| if let Packet::Disconnect(r) = p { r.reason } else { panic!("{p:?}") })
}

#[test]
fn a_slow_reader_costs_its_backlog_and_its_queue() {
    let broker = Process::start(&["--backlog", "1000000", "--offline-queue", "100"]);
    let mut slow = Raw::v311(broker.addr, "slow", true);
    slow.subscribe("flood", QoS::AtLeastOnce);
    let mut good = Raw::v311(broker.addr, "good", true);
    good.subscribe("flood", QoS::AtMostOnce);
    let before = broker.rss();
    // 60 MB at QoS 0 and at QoS 1, of which the slow one reads nothing.
    let payload = vec![b'x'; 30_000];
    for n in 1..=1000u16 {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            good.publish("flood", qos, n, &payload);
        }
        let mut seen = 0;
        while seen < 3 {
            good.receive(|p| match p {
                Packet::Publish(p) => assert_eq!(p.payload.len(), payload.len()),
                Packet::PubAck(a) => assert_eq!(a, ack(n)),
                other => panic!("{other:?}"),
            });
            seen += 1;
        }
    }
    // The queue of 100, the window of 64, the backlog; the kernel's buffers are not the process's.
    let bound = (100 + 64) * 30_000 + 1_000_000;
    let grown = broker.rss().saturating_sub(before);
    assert!(grown < bound + SLACK, "{} MiB", grown / MIB);
    // What was begun is whole: the slow one may still read it.
    slow.receive(|p| assert!(matches!(p, Packet::Publish(p) if p.payload.len() == 30_000)));
}

/// Its own PINGRESPs wait unread: it is not read either, so that it can fill no more than the backlog.
#[test]
fn who_does_not_read_is_not_read() {
    let broker = Process::start(&["--backlog", "100000"]);
    let mut flood = Raw::v311(broker.addr, "flood", true);
    flood.stream.set_nonblocking(true).expect("set");
    let before = broker.rss();
    let pings = [0xC0, 0].repeat(32_768);
    let (mut written, mut refused) = (0u64, 0);
    let mut other = Raw::v311(broker.addr, "other", true);
    // Until the kernel has been full for long: a broker that went on reading would have made room.
    while refused < 200 && written < 256 * MIB {
        // From where the last write ended: within a packet, perhaps.
        match flood.stream.write(&pings[usize::from(written % 2 == 1)..]) {
            Ok(n) => (written, refused) = (written + n as u64, 0),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => refused += 1,
            Err(e) => panic!("{e}"),
        }
        other.ping();
    }
    assert!(written < 256 * MIB, "the broker read it all");
    assert!(broker.rss().saturating_sub(before) < SLACK);
}

#[test]
fn half_packets_cost_what_the_memory_limit_says() {
    let broker = Process::start(&["--memory", "16000000"]);
    let mut good = Raw::v311(broker.addr, "good", true);
    let before = broker.rss();
    let mut half: Vec<Raw> = (0..40).map(|n| Raw::v5(broker.addr, &format!("half-{n}"))).collect();
    for client in &mut half {
        // 900,000 bytes of a PUBLISH of a million.
        let _ = client.stream.write_all(&[0x30, 0xC0, 0x84, 0x3D]);
        let _ = client.stream.write_all(&vec![0; 900_000]);
        // The broker takes at most 256 KiB from each at a turn, and each ping is a turn.
        (0..6).for_each(|_| good.ping());
    }
    let grown = broker.rss().saturating_sub(before);
    assert!(grown < 16 * MIB + SLACK, "{} MiB", grown / MIB);
    // 17 of them fit; the others were told that the quota is exceeded.
    let refused = half.split_off(17).into_iter().map(|mut c| disconnect_reason(&mut c));
    assert!(refused.into_iter().all(|reason| reason == 0x97));
    good.ping();
}

/// 268 MB announced: refused by its header, and nothing is set aside for it.
#[test]
fn a_remaining_length_of_268_mb_is_refused_at_once() {
    let broker = Process::start(&[]);
    let before = broker.rss();
    let mut early = Raw::open(broker.addr, Version::V5);
    early.stream.write_all(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F]).expect("written");
    assert!(early.is_closed(), "closed before CONNECT");
    let mut late = Raw::v5(broker.addr, "late");
    late.stream.write_all(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).expect("written");
    assert_eq!(disconnect_reason(&mut late), 0x95);
    assert!(broker.rss().saturating_sub(before) < SLACK);
}

#[test]
fn a_connect_flood_meets_the_limit() {
    let broker = Process::start(&["--max-connections", "200", "--max-sessions", "150"]);
    let mut good = Raw::v311(broker.addr, "good", true);
    let mut all: Vec<Raw> = Vec::new();
    let (mut served, mut refused, mut closed) = (0, 0, 0);
    for n in 0..300 {
        let mut client = Raw::open(broker.addr, Version::V311);
        let connect = squall::mqtt::packet::Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive: 0,
            client_id: &format!("flood-{n}"),
            will: None,
            user_name: None,
            password: None,
            properties: Properties::EMPTY,
        };
        let mut bytes = Vec::new();
        codec::encode(&Packet::Connect(connect), Version::V311, &mut bytes);
        let _ = client.stream.write_all(&bytes);
        match client.next(|p| if let Packet::ConnAck(c) = p { c.reason } else { 255 }) {
            Some(0) => served += 1,
            Some(3) => refused += 1, // server unavailable
            Some(other) => panic!("{other}"),
            None => closed += 1,
        }
        all.push(client);
        good.ping();
    }
    // 149 sessions beside the good one; those refused are closed, and take no place.
    assert_eq!((served, refused, closed), (149, 151, 0));
    // Those that say nothing take places, until there are none.
    let silent: Vec<Raw> = (0..100).map(|_| Raw::open(broker.addr, Version::V311)).collect();
    let mut one_more = Raw::open(broker.addr, Version::V311);
    assert!(one_more.is_closed(), "closed at once");
    good.ping();
    drop(silent);
}

#[test]
fn a_subscription_bomb_meets_the_limit() {
    let broker = Process::start(&["--max-subscriptions", "100"]);
    let mut good = Raw::v311(broker.addr, "good", true);
    let mut bomb = Raw::v311(broker.addr, "bomb", true);
    let codes: Vec<u8> = (0..1000).map(|n| bomb.subscribe(&format!("a/+/{n}/#"), QoS::AtMostOnce)[0]).collect();
    assert!(codes[..100].iter().all(|c| *c == 0) && codes[100..].iter().all(|c| *c == 0x80));
    // Too deep a tree would be a stack overflow, here or in its walk.
    let deep = "/".repeat(60_000);
    let mut digger = Raw::v5(broker.addr, "digger");
    assert_eq!(digger.subscribe(&deep, QoS::AtMostOnce), [0x97]);
    digger.publish(&deep, QoS::AtLeastOnce, 7, b"x");
    digger.receive(|p| assert!(matches!(p, Packet::PubAck(a) if a.packet_id.get() == 7), "{p:?}"));
    good.ping();
}

#[test]
fn qos_2_identifiers_never_released() {
    let broker = Process::start(&[]);
    let mut good = Raw::v311(broker.addr, "good", true);
    let before = broker.rss();
    // 5.0 is told a Receive Maximum [MQTT-3.3.4-9]; 3.1.1 has only the identifiers there are.
    let mut told = Raw::v5(broker.addr, "told");
    for n in 1..=1024 {
        told.publish("t", QoS::ExactlyOnce, n, b"x");
        told.receive(|p| assert_eq!(p, Packet::PubRec(ack(n))));
    }
    told.publish("t", QoS::ExactlyOnce, 1025, b"x");
    assert_eq!(disconnect_reason(&mut told), 0x93);
    let mut untold = Raw::v311(broker.addr, "untold", true);
    for n in 1..=u16::MAX {
        untold.publish("t", QoS::ExactlyOnce, n, b"x");
        if n % 1000 == 0 {
            (n - 999..=n).for_each(|n| untold.receive(|p| assert_eq!(p, Packet::PubRec(ack(n)))));
        }
    }
    good.ping();
    assert!(broker.rss().saturating_sub(before) < SLACK);
}

#[test]
fn a_take_over_storm_leaves_one() {
    let broker = Process::start(&[]);
    let mut good = Raw::v311(broker.addr, "good", true);
    let mut last = Raw::v5(broker.addr, "one");
    for _ in 0..300 {
        let next = Raw::v5(broker.addr, "one");
        assert_eq!(disconnect_reason(&mut last), 0x8E); // [MQTT-3.1.4-3]
        assert!(last.is_closed());
        last = next;
    }
    last.ping();
    good.ping();
}

/// Bytes that drip in are no sign of life: neither before CONNECT nor within a packet [MQTT-3.1.2-22].
#[test]
fn half_a_packet_for_ever_is_ended() {
    let mut broker = Broker::new(Config::default());
    let (early, late) = (ConnId(1), ConnId(2));
    broker.handle_open(early, Instant::ZERO);
    broker.handle_open(late, Instant::ZERO);
    // Keep alive 20 s.
    broker.handle_bytes(late, b"\x10\x0d\0\x04MQTT\x04\x02\0\x14\0\x01c", Instant::ZERO);
    broker.handle_bytes(late, &[0x30, 0x80, 0x01], Instant::ZERO);
    broker.handle_bytes(early, &[0x10, 0x80, 0x01], Instant::ZERO);
    let mut closed = Vec::new();
    for second in 1..=40 {
        let now = Instant::ZERO + Duration::from_secs(second);
        broker.handle_deadline(now);
        broker.handle_bytes(early, &[0], now);
        broker.handle_bytes(late, &[0], now);
        while let Some(output) = broker.poll_output() {
            if let Output::Close(conn) = output {
                closed.push((conn, second));
                broker.forget_connection(conn);
            }
        }
    }
    // A CONNECT within 30 s, and a packet within 1.5 times 20 s.
    closed.sort();
    assert_eq!(closed, [(early, 30), (late, 30)]);
}
