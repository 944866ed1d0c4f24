//! The reference broker, and an honest client beside many others.

use crate::draw::Draw;
use crate::{inputs, stream};
use squall::broker::{Broker, Config, ConnId, Output};
use squall::mqtt::codec::{self, MAX_PACKET, Sender, decode, encode};
use squall::mqtt::packet::{Ack, Connect, Packet, Publish, SubscribeOptions};
use squall::mqtt::{PacketId, QoS, Version};
use squall::time::{Duration, Instant};
use std::collections::BTreeMap;

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
