//! The client's side of a session.

use crate::draw::Draw;
use crate::{inputs, stream};
use squall::mqtt::QoS;
use squall::mqtt::codec::{MAX_PACKET, Sender, decode};
use squall::mqtt::packet::Packet;
use squall::mqtt::session::{Session, SessionConfig};
use squall::time::{Duration, Instant};

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
            let (packet, used) =
                decode(rest, version, Sender::Client, MAX_PACKET).expect("a packet of a client").expect("whole");
            assert!(!matches!(packet, Packet::Auth(_)), "its CONNECT names no method [MQTT-4.12.0-7]");
            rest = &rest[used..];
        }
    }
}
