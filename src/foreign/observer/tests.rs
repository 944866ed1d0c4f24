//! Each fault by a client that commits it, and the same conversation without it.

use super::*;
use crate::device::identity::{Layout, stamp};
use crate::mqtt::packet::{Ack, Reason};
use crate::mqtt::properties::{Properties, PropertiesBuf};
use crate::mqtt::{PacketId, QoS};
use crate::trace::ClientFault as F;

const NONCE: u32 = 7;
const LAYOUT: Layout = Layout { offset: 0, hex: false, length: 16 };

/// A client under observation, spoken for by the test.
struct Talk {
    observer: Observer,
    version: Version,
    now: Instant,
    ledger: Ledger,
    events: Vec<Event>,
}

impl Talk {
    fn new(version: Version) -> Self {
        let mut directory = Directory::new(NONCE);
        directory.push(Some(("mine", LAYOUT)));
        directory.push(Some(("theirs", LAYOUT)));
        let subject =
            Subject { id: ClientId(0), version, directory: Arc::new(directory), filters: Box::new(["theirs".into()]) };
        Self {
            observer: Observer::new(subject),
            version,
            now: Instant::ZERO,
            ledger: Ledger::default(),
            events: vec![],
        }
    }

    fn with(&mut self, f: impl FnOnce(&mut Observer, &mut Out<'_>)) -> &mut Self {
        self.now += Duration::from_millis(1);
        let mut out = Out { now: self.now, at: self.now, seen: self.now, ledger: &self.ledger, sink: &mut self.events };
        f(&mut self.observer, &mut out);
        self
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn up(&mut self, packet: Packet<'_>) -> &mut Self {
        let mut bytes = Vec::new();
        codec::encode(&packet, self.version, &mut bytes);
        // A byte at a time: how the bytes are cut must not matter.
        for byte in bytes {
            self.with(|o, out| assert_eq!(o.up(&[byte], out, |_, _| Gate::Pass), None));
        }
        self
    }

    fn down(&mut self, packet: Packet<'_>) -> &mut Self {
        let mut bytes = Vec::new();
        codec::encode(&packet, self.version, &mut bytes);
        self.with(|o, out| assert_eq!(o.down(&bytes, out, |_, _| Gate::Pass), None))
    }

    fn greet(&mut self, properties: Properties<'_>) -> &mut Self {
        let connect = Connect {
            version: self.version,
            clean_start: false,
            keep_alive: 60,
            client_id: "c",
            will: None,
            user_name: None,
            password: None,
            properties,
        };
        self.with(|o, out| o.opened(out)).with(|o, out| o.transport_open(out)).up(Packet::Connect(connect))
    }

    fn connect_with(&mut self, session_present: bool, properties: Properties<'_>) -> &mut Self {
        let expiry = &mut PropertiesBuf::default();
        if self.version == Version::V5 {
            expiry.push(Property::SessionExpiryInterval(u32::MAX));
        }
        self.greet(expiry.as_properties());
        self.down(Packet::ConnAck(ConnAck { session_present, reason: 0, properties }))
    }

    fn connect(&mut self, session_present: bool) -> &mut Self {
        self.connect_with(session_present, Properties::EMPTY)
    }

    fn cut(&mut self) -> &mut Self {
        self.with(|o, out| o.closed(Ended::Cut, out))
    }

    fn publish(&mut self, number: u32, qos: u8, id: u16, dup: bool) -> &mut Self {
        while self.ledger.intended.len() <= number as usize {
            self.ledger.intended.push(self.now);
        }
        let mut payload = [0; 16];
        stamp(&mut payload, LAYOUT, NONCE, ClientId(0), number);
        self.up(Packet::Publish(publish("mine", qos, id, dup, &payload)))
    }

    fn deliver(&mut self, number: u32, qos: u8, id: u16, dup: bool) -> &mut Self {
        let mut payload = [0; 16];
        stamp(&mut payload, LAYOUT, NONCE, ClientId(1), number);
        self.down(Packet::Publish(publish("theirs", qos, id, dup, &payload)))
    }

    fn end(&mut self) -> Vec<ClientFault> {
        self.with(|o, out| o.drained(out));
        let faults = self.events.iter().filter_map(|e| match e.what {
            What::Faulty { fault, .. } => Some(fault),
            _ => None,
        });
        faults.collect()
    }

    fn breaches(&self) -> usize {
        self.events.iter().filter(|e| matches!(e.what, What::Protocol(_))).count()
    }
}

fn publish<'a>(topic: &'a str, qos: u8, id: u16, dup: bool, payload: &'a [u8]) -> Publish<'a> {
    let qos = QoS::from_u8(qos).expect("0 to 2");
    Publish { dup, qos, retain: false, topic, packet_id: PacketId::new(id), properties: Properties::EMPTY, payload }
}

fn ack(id: u16) -> Ack<'static> {
    Ack::plain(PacketId::new(id).expect("not zero"))
}

const BOTH: [Version; 2] = [Version::V311, Version::V5];

#[test]
fn a_client_that_keeps_the_rules_is_not_blamed() {
    for version in BOTH {
        let mut t = Talk::new(version);
        t.connect(false).publish(0, 1, 1, false).publish(1, 2, 2, false).publish(2, 0, 0, false);
        t.down(Packet::PubAck(ack(1))).down(Packet::PubRec(ack(2))).up(Packet::PubRel(ack(2)));
        t.down(Packet::PubComp(ack(2))).publish(3, 1, 1, false).publish(4, 2, 2, false).publish(5, 2, 3, false);
        t.down(Packet::PubRec(ack(3))).up(Packet::PubRel(ack(3)));
        t.deliver(0, 2, 9, false).up(Packet::PubRec(ack(9))).deliver(1, 1, 10, false).up(Packet::PubAck(ack(10)));
        // [MQTT-4.4.0-1]: what was not acknowledged comes again, with its identifier and DUP.
        t.cut().wait(1).connect(true).publish(3, 1, 1, true).publish(4, 2, 2, true).up(Packet::PubRel(ack(3)));
        t.deliver(0, 2, 9, true).up(Packet::PubRec(ack(9))).down(Packet::PubRel(ack(9))).up(Packet::PubComp(ack(9)));
        t.down(Packet::PubAck(ack(1))).down(Packet::PubRec(ack(2))).down(Packet::PubComp(ack(3)));
        t.up(Packet::PubRel(ack(2))).down(Packet::PubComp(ack(2))).wait(9);
        assert_eq!(t.end(), [], "{version:?}");
        assert_eq!(t.breaches(), 0, "nor is the broker");
        let acked = t.events.iter().filter(|e| matches!(e.what, What::Acked { .. })).count();
        assert_eq!(acked, 2 + 2 + 3 + 2 - 1);
        let resent = t.events.iter().filter(|e| matches!(e.what, What::Sent(s) if s.resend)).count();
        assert_eq!(resent, 2);
        assert_eq!(t.events.iter().filter(|e| matches!(e.what, What::RepeatSuppressed { .. })).count(), 1);
    }
}

#[test]
fn each_fault_of_a_sender_is_named() {
    type Script = for<'a> fn(&'a mut Talk) -> &'a mut Talk;
    let scripts: [(&[F], Script); 14] = [
        (&[F::ResendOrder], |t| {
            t.connect(false).publish(0, 1, 1, false).publish(1, 1, 2, false).cut().connect(true);
            t.publish(1, 1, 2, true).publish(0, 1, 1, true)
        }),
        (&[F::Abandoned, F::IdReused], |t| t.connect(false).publish(0, 1, 1, false).publish(1, 1, 1, false)),
        (&[F::ResentWithoutDup], |t| {
            t.connect(false).publish(0, 1, 1, false).cut().connect(true).publish(0, 1, 1, false)
        }),
        (&[F::DupOnFirst], |t| t.connect(false).wait(1).publish(0, 1, 1, true)),
        (&[F::DupAtQos0], |t| {
            // The codec takes no such packet from a client; byte by byte it is one all the same.
            t.connect(false).with(|o, out| {
                o.up(&[0x38, 5, 0, 1, b'm', 0, 0], out, |_, _| Gate::Pass);
            })
        }),
        (&[F::NotResent], |t| t.connect(false).publish(0, 1, 1, false).cut().connect(true).wait(6)),
        (&[F::PublishAfterRelease], |t| {
            t.connect(false).publish(0, 2, 1, false).down(Packet::PubRec(ack(1))).up(Packet::PubRel(ack(1)));
            t.cut().connect(true).publish(0, 2, 1, true)
        }),
        (&[F::ReleasedUnasked], |t| t.connect(false).publish(0, 2, 1, false).up(Packet::PubRel(ack(1)))),
        (&[F::ReleasedUnasked], |t| t.connect(false).up(Packet::PubRel(ack(5)))),
        (&[F::ReleaseOrder], |t| {
            t.connect(false).publish(0, 2, 1, false).publish(1, 2, 2, false);
            t.down(Packet::PubRec(ack(1))).down(Packet::PubRec(ack(2))).up(Packet::PubRel(ack(2)))
        }),
        (&[F::NotReleased], |t| t.connect(false).publish(0, 2, 1, false).down(Packet::PubRec(ack(1))).wait(6)),
        (&[F::ConnectNotFirst], |t| t.with(|o, out| o.opened(out)).up(Packet::PingReq)),
        (&[F::AfterDisconnect], |t| t.connect(false).up(Packet::Disconnect(Reason::default())).up(Packet::PingReq)),
        (&[F::KeepAlive], |t| t.connect(false).wait(62).up(Packet::PingReq)),
    ];
    for (n, (expected, script)) in scripts.into_iter().enumerate() {
        let mut t = Talk::new(Version::V311);
        script(&mut t);
        let found = t.end();
        // 3.1.1's strict decoder says of a DUP at QoS 0 that it is malformed.
        let same = found == expected || (expected == [F::DupAtQos0] && found == [F::Malformed]);
        assert!(same, "script {n}: {found:?} for {expected:?}");
        assert_eq!(t.breaches(), 0, "script {n}");
    }
}

#[test]
fn each_fault_of_a_receiver_is_named() {
    type Script = for<'a> fn(&'a mut Talk) -> &'a mut Talk;
    let scripts: [(&[F], Script); 5] = [
        (&[F::NotAcknowledged], |t| t.connect(false).deliver(0, 1, 4, false).wait(6)),
        (&[F::NotAcknowledged], |t| {
            t.connect(false).deliver(0, 2, 4, false).up(Packet::PubRec(ack(4))).down(Packet::PubRel(ack(4))).wait(6)
        }),
        (&[F::AckUnasked], |t| t.connect(false).up(Packet::PubAck(ack(4)))),
        (&[F::AckOrder], |t| {
            t.connect(false).deliver(0, 1, 4, false).deliver(1, 1, 5, false);
            t.up(Packet::PubAck(ack(5))).up(Packet::PubAck(ack(4)))
        }),
        (&[F::HandedOverTwice], |t| {
            t.connect(false).deliver(0, 2, 4, false).up(Packet::PubRec(ack(4))).cut().connect(true);
            t.deliver(0, 2, 4, true).up(Packet::PubRec(ack(4))).ledger.handed.insert((ClientId(1), 0), 2);
            t
        }),
    ];
    for (n, (expected, script)) in scripts.into_iter().enumerate() {
        let mut t = Talk::new(Version::V311);
        script(&mut t);
        assert_eq!(t.end(), expected, "script {n}");
        assert_eq!(t.breaches(), 0, "script {n}");
    }
}

#[test]
fn the_limits_of_a_5_0_server_bind_its_client() {
    let allow = |property| {
        let mut p = PropertiesBuf::default();
        p.push(property);
        let mut t = Talk::new(Version::V5);
        t.connect_with(false, p.as_properties());
        t
    };
    assert_eq!(
        allow(Property::ReceiveMaximum(1)).publish(0, 1, 1, false).publish(1, 1, 2, false).end(),
        [F::ReceiveMaximum]
    );
    assert_eq!(allow(Property::ReceiveMaximum(2)).publish(0, 1, 1, false).publish(1, 1, 2, false).end(), []);
    assert_eq!(allow(Property::MaximumQoS(1)).publish(0, 2, 1, false).end(), [F::QosTooHigh]);
    assert_eq!(allow(Property::MaximumPacketSize(20)).publish(0, 1, 1, false).end(), [F::PacketTooLarge]);
    let mut t = Talk::new(Version::V5);
    t.connect(false).publish(0, 1, 1, false).publish(0, 1, 1, true);
    assert_eq!(t.end(), [F::ResentUnasked], "[MQTT-4.4.0-1] of 5.0: at no other time");
}

/// [MQTT-4.12.0-6]: a client that names a method may be asked, one that names none may not; section 4.11: both may be sent away.
#[test]
fn a_broker_that_asks_for_authentication_or_sends_its_client_away_is_told() {
    let mut p = PropertiesBuf::default();
    p.push(Property::AuthenticationMethod("SCRAM-SHA-1"));
    let method = p.as_properties();
    for (properties, breaches) in [(Properties::EMPTY, 2), (method, 0)] {
        let mut t = Talk::new(Version::V5);
        t.greet(properties);
        t.down(Packet::Auth(Reason { reason: 0x18, properties: method }));
        t.down(Packet::ConnAck(ConnAck { session_present: false, reason: 0, properties: method }));
        assert_eq!(t.end(), []);
        let unasked = t.events.iter().filter(|e| e.what == What::Protocol(Breach::Authentication)).count();
        assert_eq!((unasked, t.breaches()), (breaches, breaches));
    }
    let mut p = PropertiesBuf::default();
    p.push(Property::ServerReference("b.example"));
    let mut t = Talk::new(Version::V5);
    t.greet(Properties::EMPTY);
    t.down(Packet::ConnAck(ConnAck { session_present: false, reason: 0x9D, properties: p.as_properties() }));
    t.cut().connect(false).down(Packet::Disconnect(Reason { reason: 0x9C, properties: Properties::EMPTY })).cut();
    assert_eq!(t.end(), []);
    let redirects = t.events.iter().filter_map(|e| match e.what {
        What::Redirected { reason, to } => Some((reason, to.map(|name| name.text().to_owned()))),
        _ => None,
    });
    assert_eq!(redirects.collect::<Vec<_>>(), [(0x9D, Some("b.example".to_owned())), (0x9C, None)]);
}

#[test]
fn what_the_client_may_not_have_read_is_not_held_against_it() {
    for version in BOTH {
        let mut t = Talk::new(version);
        t.connect(false).publish(0, 1, 1, false).publish(1, 2, 2, false);
        // These acknowledgements reach its socket, and die there.
        t.down(Packet::PubAck(ack(1))).down(Packet::PubRec(ack(2))).cut();
        t.connect(true).publish(0, 1, 1, true).publish(1, 2, 2, true);
        t.down(Packet::PubAck(ack(1))).down(Packet::PubRec(ack(2))).up(Packet::PubRel(ack(2)));
        t.down(Packet::PubComp(ack(2))).cut().connect(true).up(Packet::PubRel(ack(2))).down(Packet::PubComp(ack(2)));
        assert_eq!(t.wait(9).end(), [], "{version:?}");
        assert_eq!(t.breaches(), 0);
    }
}

/// As squall's own client tells it: another message under an identifier that is held goes no further.
#[test]
fn another_message_under_an_identifier_in_use_is_masked() {
    for version in BOTH {
        let mut t = Talk::new(version);
        t.connect(false).deliver(0, 2, 4, false).up(Packet::PubRec(ack(4))).cut().connect(true);
        t.deliver(1, 2, 4, false).up(Packet::PubRec(ack(4))).deliver(0, 2, 4, true).up(Packet::PubRec(ack(4)));
        let told: Vec<What> = t.events.iter().map(|e| e.what).filter(|what| is_about_identifiers(*what)).collect();
        let masked = What::Masked { publisher: ClientId(1), number: 1 };
        let repeat = What::RepeatSuppressed { packet_id: 4 };
        assert_eq!(told, [What::Protocol(Breach::IdInUse), masked, repeat, repeat], "{version:?}");
        // Once it is released, the identifier is free.
        t.down(Packet::PubRel(ack(4))).up(Packet::PubComp(ack(4))).deliver(1, 2, 4, false).up(Packet::PubRec(ack(4)));
        assert_eq!(t.breaches(), 1, "{version:?}");
        assert_eq!(t.events.iter().filter(|e| matches!(e.what, What::Delivered(d) if d.number == 1)).count(), 1);
        assert_eq!(t.end(), [], "{version:?}");
    }
}

fn is_about_identifiers(what: What) -> bool {
    matches!(what, What::Protocol(_) | What::Masked { .. } | What::RepeatSuppressed { .. })
}

#[test]
fn a_client_that_leaves_again_and_again_is_wedged() {
    let mut t = Talk::new(Version::V311);
    t.connect(false).deliver(0, 2, 4, false).up(Packet::PubRec(ack(4))).cut();
    for _ in 0..3 {
        t.wait(1).connect(true).down(Packet::PubRel(ack(4))).with(|o, out| o.closed(Ended::ByClient, out));
    }
    assert_eq!(t.end(), [F::Wedged]);
}
