//! A message costs no allocation: not to decode, not to encode, not in the session, at any QoS.

use squall::mqtt::codec::{MAX_PACKET, PublishHeader, Sender, decode, encode_publish};
use squall::mqtt::packet::{Ack, ConnAck, Packet};
use squall::mqtt::properties::Properties;
use squall::mqtt::session::{Happening, Session, SessionConfig};
use squall::mqtt::{PacketId, QoS, Version};
use squall::time::Instant;

#[path = "support/allocations.rs"]
mod allocations;
use allocations::allocations;

/// Buffers and session of one connection.
struct Fixture {
    version: Version,
    session: Session,
    wire: Vec<u8>,
    answers: Vec<u8>,
}

impl Fixture {
    fn new(version: Version) -> Self {
        let config = SessionConfig {
            version,
            session_expiry: 0,
            keep_alive: 60,
            window: 16,
            receive_maximum: 16,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
        };
        let mut session = Session::new(config);
        session.handle_connect_sent(Instant::ZERO);
        let mut answers = Vec::new();
        let connack = ConnAck { session_present: false, reason: 0, properties: Properties::EMPTY };
        session.handle(&Packet::ConnAck(connack), Instant::ZERO, &mut answers).expect("a CONNACK");
        Self { version, session, wire: Vec::new(), answers }
    }

    fn write(&mut self, qos: QoS, packet_id: Option<PacketId>) {
        self.wire.clear();
        let header = PublishHeader { dup: false, qos, retain: false, topic: "water/7/meter-12/reading", packet_id };
        encode_publish(self.version, header, &[7; 200], &mut self.wire);
    }

    fn ack(&mut self, packet: Packet<'_>) {
        self.session.handle(&packet, Instant::ZERO, &mut self.answers).expect("in flight");
    }

    /// A window of messages out with their hand-shakes, and as many in.
    fn round(&mut self, qos: QoS) {
        self.answers.clear();
        if qos != QoS::AtMostOnce {
            let mut ids = [None; 16];
            for (token, id) in (0..).zip(&mut ids) {
                *id = self.session.begin_publish(qos, token);
                self.write(qos, Some(id.expect("within the window")));
            }
            for id in ids.into_iter().flatten() {
                let ack = Ack::plain(id);
                if qos == QoS::AtLeastOnce {
                    self.ack(Packet::PubAck(ack));
                } else {
                    self.ack(Packet::PubRec(ack));
                    self.ack(Packet::PubComp(ack));
                }
            }
        }
        for n in 1..=16 {
            let id = PacketId::new(n).expect("not zero");
            self.write(qos, (qos != QoS::AtMostOnce).then_some(id));
            let (packet, _) =
                decode(&self.wire, self.version, Sender::Server, MAX_PACKET).expect("legal").expect("whole");
            let happening = self.session.handle(&packet, Instant::ZERO, &mut self.answers).expect("legal");
            assert!(matches!(happening, Happening::Message(_)));
        }
        if qos == QoS::ExactlyOnce {
            for n in 1..=16 {
                self.ack(Packet::PubRel(Ack::plain(PacketId::new(n).expect("not zero"))));
            }
        }
    }
}

#[test]
fn a_message_costs_no_allocation() {
    for version in [Version::V31, Version::V311, Version::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut fixture = Fixture::new(version);
            let first = allocations(|| fixture.round(qos));
            assert!(first > 0, "the counter counts: buffers grow in the first round");
            let rest = allocations(|| (0..100).for_each(|_| fixture.round(qos)));
            assert_eq!(rest, 0, "{version:?} {qos:?}: 1,600 messages each way");
        }
    }
}
