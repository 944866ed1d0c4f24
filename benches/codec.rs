//! Nanoseconds and allocations a packet of squall's codec, beside rumqttc's in the same process: 3.1.1 and 5.0, decoding and encoding.
//!
//! Rounds of the two alternate; the figures are medians over the rounds, the ratio is the median of the rounds' ratios. Buffers are there
//! before the time counts, and rumqttc's packets too. What is decoded is looked at in full: each property, each filter.
//! `cargo bench --bench codec`; docs/codec.md has a table.

use bytes::BytesMut;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use squall::clock::Clock;
use squall::mqtt::codec::{self, MAX_PACKET, Sender, decode, encode};
use squall::mqtt::packet::{Ack, Connect, Packet, Publish, SubscribeOptions};
use squall::mqtt::properties::{Properties, PropertiesBuf, Property};
use squall::mqtt::{PacketId, QoS, Version};
use std::hint::black_box;

#[path = "../tests/support/allocations.rs"]
mod allocations;
use allocations::allocations;

/// Packets that are timed together.
const BATCH: usize = 256;
/// Rounds of each codec.
const ROUNDS: usize = 101;

fn main() {
    // `cargo test` runs benches too.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    println!(
        "| packet | decode: squall | rumqttc | ratio | allocations | encode: squall | rumqttc | ratio | allocations |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for version in [Version::V311, Version::V5] {
        let mut user = PropertiesBuf::default();
        user.push(Property::UserProperty("unit", "litres"));
        row(version, "CONNECT", &connect(version, session(version).as_properties()));
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let n = qos as u8;
            for length in [32, 1024] {
                row(
                    version,
                    &format!("PUBLISH QoS {n}, {length} B"),
                    &publish(qos, &[7; 1024][..length], Properties::EMPTY),
                );
            }
            if version == Version::V5 {
                row(
                    version,
                    &format!("PUBLISH QoS {n}, 32 B, user property"),
                    &publish(qos, &[7; 32], user.as_properties()),
                );
            }
        }
        row(version, "PUBACK", &Packet::PubAck(Ack::plain(PacketId::MIN)));
        let wire = subscribe(version);
        let (packet, _) = decode(&wire, version, Sender::Client, MAX_PACKET).expect("legal").expect("whole");
        row(version, "SUBSCRIBE, two filters", &packet);
    }
}

fn session(version: Version) -> PropertiesBuf {
    let mut p = PropertiesBuf::default();
    if version == Version::V5 {
        p.push(Property::SessionExpiryInterval(3600)).push(Property::ReceiveMaximum(20));
    }
    p
}

fn connect(version: Version, properties: Properties<'_>) -> Packet<'_> {
    Packet::Connect(Connect {
        version,
        clean_start: false,
        keep_alive: 60,
        client_id: "meter-4711",
        will: None,
        user_name: Some("meter"),
        password: Some(b"secret"),
        properties,
    })
}

fn publish<'a>(qos: QoS, payload: &'a [u8], properties: Properties<'a>) -> Packet<'a> {
    let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: "water/7/meter-12/reading",
        packet_id,
        properties,
        payload,
    })
}

fn subscribe(version: Version) -> Vec<u8> {
    let options = SubscribeOptions { qos: QoS::AtLeastOnce, ..SubscribeOptions::default() };
    let filters = [("water/7/+/command", options), ("water/all/#", options)];
    let mut wire = Vec::new();
    codec::encode_subscribe(version, PacketId::MIN, Properties::EMPTY, &filters, &mut wire);
    wire
}

/// Measures and prints both codecs on one packet.
fn row(version: Version, name: &str, packet: &Packet<'_>) {
    let mut wire = Vec::new();
    encode(packet, version, &mut wire);
    let stream = wire.repeat(BATCH);
    let theirs = Theirs::read(version, &mut BytesMut::from(&wire[..]));
    let reading = compare(|| read_ours(version, &stream), || read_theirs(version, &stream));
    let writing = compare(|| write_ours(version, packet, stream.len()), || write_theirs(&theirs, stream.len()));
    let v = if version == Version::V5 { "5.0" } else { "3.1.1" };
    println!("| {v} {name} | {reading} | {writing} |");
}

/// One way of one codec over a batch: nanoseconds and allocations a packet.
type Cost = (f64, f64);

/// Runs both in turn and gives the cells of the table.
fn compare(ours: impl Fn() -> Cost, theirs: impl Fn() -> Cost) -> String {
    let rounds: Vec<(Cost, Cost)> = (0..ROUNDS).map(|_| (ours(), theirs())).collect();
    let median = |pick: fn(&(Cost, Cost)) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(pick).collect();
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    };
    let (own, other) = (median(|r| r.0.0), median(|r| r.1.0));
    let ratio = median(|r| r.0.0 / r.1.0);
    format!("{own:.1} ns | {other:.1} ns | {ratio:.2} | {:.1} / {:.1}", median(|r| r.0.1), median(|r| r.1.1))
}

fn timed(work: impl FnOnce()) -> Cost {
    let clock = Clock::start();
    let mut nanos = 0.0;
    let count = allocations(|| {
        let before = clock.now();
        work();
        nanos = clock.now().since(before).as_secs_f64() * 1e9;
    });
    (nanos / BATCH as f64, count as f64 / BATCH as f64)
}

fn read_ours(version: Version, stream: &[u8]) -> Cost {
    timed(|| {
        let mut rest = stream;
        while let Ok(Some((packet, used))) = &decode(rest, version, Sender::Client, MAX_PACKET) {
            match packet {
                Packet::Connect(p) => look_at(p.properties),
                Packet::Publish(p) => look_at(p.properties),
                Packet::Subscribe(p) => p.filters().for_each(|f| _ = black_box(f)),
                _ => {}
            }
            black_box(packet);
            rest = &rest[*used..];
        }
        assert!(rest.is_empty(), "all are legal");
    })
}

fn look_at(properties: Properties<'_>) {
    for property in properties.iter() {
        black_box(property);
    }
}

fn read_theirs(version: Version, stream: &[u8]) -> Cost {
    let mut stream = BytesMut::from(stream);
    timed(|| {
        if version == Version::V5 {
            while let Ok(packet) = &v5::Packet::read(&mut stream, Some(MAX_PACKET)) {
                black_box(packet);
            }
        } else {
            while let Ok(packet) = &v4::Packet::read(&mut stream, MAX_PACKET as usize) {
                black_box(packet);
            }
        }
        assert!(stream.is_empty(), "all are legal");
    })
}

fn write_ours(version: Version, packet: &Packet<'_>, room: usize) -> Cost {
    let mut out = Vec::with_capacity(room);
    timed(|| {
        for _ in 0..BATCH {
            encode(black_box(packet), version, &mut out);
        }
        black_box(&out);
    })
}

fn write_theirs(packet: &Theirs, room: usize) -> Cost {
    let mut out = BytesMut::with_capacity(room);
    timed(|| {
        let written = match packet {
            Theirs::V4(p) => (0..BATCH).all(|_| black_box(p).write(&mut out, MAX_PACKET as usize).is_ok()),
            Theirs::V5(p) => (0..BATCH).all(|_| black_box(p).write(&mut out, Some(MAX_PACKET)).is_ok()),
        };
        assert!(written, "it was read before");
        black_box(&out);
    })
}

/// A packet of rumqttc's.
enum Theirs {
    V4(v4::Packet),
    V5(Box<v5::Packet>),
}

impl Theirs {
    fn read(version: Version, stream: &mut BytesMut) -> Self {
        if version == Version::V5 {
            Self::V5(Box::new(v5::Packet::read(stream, Some(MAX_PACKET)).expect("legal")))
        } else {
            Self::V4(v4::Packet::read(stream, MAX_PACKET as usize).expect("legal"))
        }
    }
}
