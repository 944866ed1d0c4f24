//! The client's side of a session.

use crate::draw::Draw;
use crate::{inputs, stream};
use squall::mqtt::codec::{MAX_PACKET, Sender, decode, encode};
use squall::mqtt::packet::{Ack, Codes, Connect, Packet, SubscribeOptions};
use squall::mqtt::properties::Properties;
use squall::mqtt::session::{Resend, Session, SessionConfig};
use squall::mqtt::{PacketId, QoS, Version};
use squall::time::{Duration, Instant};

fn config(d: &mut Draw) -> SessionConfig {
    SessionConfig {
        version: d.version(),
        session_expiry: d.one(&[0, 60]),
        keep_alive: d.one(&[0, 1, 10]),
        window: d.one(&[1, 4]),
        receive_maximum: d.one(&[1, 3, u16::MAX]),
        maximum_packet_size: d.one(&[None, Some(60)]),
        topic_alias_maximum: d.one(&[0, 2]),
    }
}

/// The last connection, if there was one, is over.
fn connects(session: &mut Session, version: Version, now: Instant, out: &mut Vec<u8>) {
    session.handle_closed();
    let properties = session.connect_properties();
    let connect = Connect {
        version,
        clean_start: false,
        keep_alive: 10,
        client_id: "x",
        will: None,
        user_name: None,
        password: None,
        properties: properties.as_properties(),
    };
    encode(&Packet::Connect(connect), version, out);
    session.handle_connect_sent(now);
}

/// A client does what clients do; returns the identifier that it gave away.
fn act(d: &mut Draw, session: &mut Session, version: Version, now: Instant, out: &mut Vec<u8>) -> Option<PacketId> {
    let filters = [("a/#", SubscribeOptions::default())];
    match d.below(10) {
        0..=4 => session.begin_publish(d.one(&[QoS::AtLeastOnce, QoS::ExactlyOnce]), 7),
        5 => session.subscribe(&filters, d.one(&[None, Some(3)]).filter(|_| version == Version::V5), out),
        6 => session.unsubscribe(&["a/#"], out),
        7 => {
            if d.0.chance(0.3) {
                session.disconnect(0, out);
            }
            connects(session, version, now, out);
            None
        }
        _ => None,
    }
}

/// Answers to what the client began: a server that keeps the rules says them, in any order.
fn answers(d: &mut Draw, version: Version, ids: &[PacketId]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..d.below(4) {
        let packet_id = d.one(ids);
        let codes =
            Codes { packet_id, properties: Properties::EMPTY, codes: if version == Version::V5 { &[0] } else { &[] } };
        let packet = match d.below(5) {
            0 => Packet::PubAck(Ack::plain(packet_id)),
            1 => Packet::PubRec(Ack::plain(packet_id)),
            2 => Packet::PubComp(Ack::plain(packet_id)),
            3 => Packet::SubAck(Codes { codes: &[0], ..codes }),
            _ => Packet::UnsubAck(codes),
        };
        encode(&packet, version, &mut bytes);
    }
    bytes
}

/// The client's session stays within its window, and says nothing that is no packet of a client.
#[test]
fn the_session_takes_any_packets_of_a_server() {
    let mut d = Draw(stream("session"));
    for _ in 0..inputs(20_000) / 8 {
        let config = config(&mut d);
        let version = config.version;
        let mut session = Session::new(config);
        let (mut now, mut out, mut ids) = (Instant::ZERO, Vec::new(), vec![PacketId::MIN]);
        connects(&mut session, version, now, &mut out);
        for _ in 0..12 {
            now += Duration::from_millis(d.below(1_000));
            ids.extend(act(&mut d, &mut session, version, now, &mut out));
            let mut bytes = answers(&mut d, version, &ids);
            bytes.extend(d.input(version, Sender::Server));
            let mut rest = &bytes[..];
            while let Ok(Some((packet, used))) = decode(rest, version, Sender::Server, MAX_PACKET) {
                let _ = session.handle(&packet, now, &mut out);
                rest = &rest[used..];
            }
            while let Some(resend) = session.poll_resend() {
                if let Resend::PubRel { id } = resend {
                    session.write_pubrel(id, &mut out);
                }
            }
            if session.handle_deadline(now, &mut out).is_err() {
                connects(&mut session, version, now, &mut out);
            }
            assert!(session.in_flight() <= usize::from(config.window), "{} of {}", session.in_flight(), config.window);
            assert!(session.next_deadline().is_none_or(|at| at > now), "it is never late: {now:?}");
        }
        packets_of_a_client(&out, version);
    }
}

fn packets_of_a_client(mut bytes: &[u8], version: Version) {
    while !bytes.is_empty() {
        let (packet, used) = decode(bytes, version, Sender::Client, MAX_PACKET).expect("a client's").expect("whole");
        assert!(!matches!(packet, Packet::Auth(_)), "its CONNECT names no method [MQTT-4.12.0-7]");
        bytes = &bytes[used..];
    }
}
