//! The client's session in virtual time: what it says to which packets.

use crate::mqtt::codec::{MAX_PACKET, Sender, decode};
use crate::mqtt::packet::{Ack, Codes, ConnAck, Packet, Publish, Reason, SubscribeOptions};
use crate::mqtt::properties::{Properties, PropertiesBuf, Property};
use crate::mqtt::session::{Happening, PingTimeout, ProtocolError, Resend, Session, SessionConfig};
use crate::mqtt::{PacketId, QoS, Version};
use crate::time::Instant;

use QoS::{AtLeastOnce, ExactlyOnce};
use Version::{V5, V311};

const CONFIG: SessionConfig = SessionConfig {
    version: V311,
    session_expiry: 600,
    keep_alive: 60,
    window: 10,
    receive_maximum: 20,
    maximum_packet_size: None,
    topic_alias_maximum: 0,
};

fn id(n: u16) -> PacketId {
    PacketId::new(n).expect("not zero")
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

/// One of the four acknowledgements.
type MakeAck = fn(Ack<'static>) -> Packet<'static>;

/// A session and what it wrote.
struct Client {
    session: Session,
    out: Vec<u8>,
}

impl Client {
    fn new(version: Version) -> Self {
        Self::with(SessionConfig { version, ..CONFIG })
    }

    fn with(config: SessionConfig) -> Self {
        Self { session: Session::new(config), out: Vec::new() }
    }

    fn connected(version: Version) -> Self {
        let mut client = Self::new(version);
        client.connect(false);
        client
    }

    fn handle<'a>(&mut self, packet: Packet<'a>) -> Result<Happening<'a>, ProtocolError> {
        self.session.handle(&packet, at(0), &mut self.out)
    }

    fn connect(&mut self, session_present: bool) {
        self.connect_with(session_present, Properties::EMPTY);
    }

    fn connect_with(&mut self, session_present: bool, properties: Properties<'_>) {
        self.session.handle_connect_sent(at(0));
        let happening = self.handle(Packet::ConnAck(ConnAck { session_present, reason: 0, properties }));
        assert!(matches!(happening, Ok(Happening::Connected { session_present: p, .. }) if p == session_present));
    }

    fn reconnect(&mut self, session_present: bool) {
        self.session.handle_closed();
        self.connect(session_present);
    }

    fn publish(&mut self, qos: QoS, token: u64) -> PacketId {
        self.session.begin_publish(qos, token).expect("there is room")
    }

    fn ack(&mut self, packet: MakeAck, n: PacketId) -> Result<Happening<'static>, ProtocolError> {
        self.handle(packet(Ack::plain(n)))
    }

    fn resends(&mut self) -> Vec<Resend> {
        std::iter::from_fn(|| self.session.poll_resend()).collect()
    }

    /// What was written since the last call.
    fn written(&mut self, version: Version) -> Vec<String> {
        let out = std::mem::take(&mut self.out);
        let (mut rest, mut all) = (&out[..], Vec::new());
        while let Some((packet, used)) = decode(rest, version, Sender::Client, MAX_PACKET).expect("legal") {
            all.push(match packet {
                Packet::PubAck(a) => format!("PUBACK {} {:02x}", a.packet_id, a.reason),
                Packet::PubRec(a) => format!("PUBREC {} {:02x}", a.packet_id, a.reason),
                Packet::PubRel(a) => format!("PUBREL {} {:02x}", a.packet_id, a.reason),
                Packet::PubComp(a) => format!("PUBCOMP {} {:02x}", a.packet_id, a.reason),
                other => format!("{other:?}"),
            });
            rest = &rest[used..];
        }
        assert!(rest.is_empty(), "whole packets only");
        all
    }
}

fn message(qos: QoS, n: u16, dup: bool) -> Packet<'static> {
    let packet_id = PacketId::new(n);
    Packet::Publish(Publish {
        dup,
        qos,
        retain: false,
        topic: "t",
        packet_id,
        properties: Properties::EMPTY,
        payload: b"x",
    })
}

// ---- sending ----

#[test]
fn qos_1_and_2_run_their_exchanges() {
    for version in [Version::V31, V311, V5] {
        let mut c = Client::connected(version);
        let (one, two) = (c.publish(AtLeastOnce, 11), c.publish(ExactlyOnce, 12));
        assert_eq!(c.session.in_flight(), 2);
        assert_eq!(c.ack(Packet::PubAck, one), Ok(Happening::PubAck { token: 11, reason: 0 }));
        assert_eq!(c.ack(Packet::PubRec, two), Ok(Happening::PubRec { token: 12, reason: 0 }));
        assert_eq!(c.written(version), ["PUBREL 2 00"]);
        assert_eq!(c.ack(Packet::PubComp, two), Ok(Happening::PubComp { token: 12, reason: 0 }));
        assert_eq!((c.session.in_flight(), c.written(version).len()), (0, 0));
    }
}

#[test]
fn an_acknowledgement_of_nothing_is_a_breach() {
    let mut c = Client::connected(V5);
    let (one, two) = (c.publish(AtLeastOnce, 1), c.publish(ExactlyOnce, 2));
    let wrong: &[(MakeAck, PacketId)] = &[
        (Packet::PubAck, id(9)),
        (Packet::PubAck, two),
        (Packet::PubRec, one),
        (Packet::PubRec, id(9)),
        (Packet::PubComp, two), // before PUBREC
    ];
    for (packet, n) in wrong {
        assert_eq!(c.ack(*packet, *n), Err(ProtocolError::Unexpected), "{:?}", packet(Ack::plain(*n)));
    }
    assert_eq!(c.session.in_flight(), 2, "nothing was taken for finished");
}

#[test]
fn negative_pubrec_ends_the_exchange() {
    // [MQTT-4.3.3-4]: no PUBREL, and the identifier is free.
    let mut c = Client::connected(V5);
    let two = c.publish(ExactlyOnce, 5);
    let refusal = Packet::PubRec(Ack { reason: 0x97, ..Ack::plain(two) });
    assert_eq!(c.handle(refusal), Ok(Happening::PubRec { token: 5, reason: 0x97 }));
    assert_eq!((c.session.in_flight(), c.written(V5).len()), (0, 0));
    c.reconnect(true);
    assert_eq!(c.resends(), []);
}

#[test]
fn no_matching_subscribers_is_no_refusal() {
    let mut c = Client::connected(V5);
    let two = c.publish(ExactlyOnce, 5);
    assert!(c.handle(Packet::PubRec(Ack { reason: 0x10, ..Ack::plain(two) })).is_ok());
    assert_eq!(c.written(V5), ["PUBREL 1 00"]);
}

#[test]
fn resumption_resends_in_order_and_each_from_where_it_stood() {
    // [MQTT-4.4.0-1] [MQTT-4.6.0-1]: PUBLISH where no PUBREC came, PUBREL where one did, original identifiers.
    for version in [V311, V5] {
        let mut c = Client::connected(version);
        let ids: Vec<_> = [ExactlyOnce, AtLeastOnce, ExactlyOnce, AtLeastOnce, ExactlyOnce]
            .into_iter()
            .zip(100..)
            .map(|(qos, token)| c.publish(qos, token))
            .collect();
        c.ack(Packet::PubRec, ids[0]).expect("in flight");
        c.ack(Packet::PubAck, ids[3]).expect("in flight");
        for _ in 0..3 {
            c.reconnect(true);
            assert_eq!(c.session.begin_publish(AtLeastOnce, 7), None, "what is new waits");
            assert_eq!(
                c.resends(),
                [
                    Resend::PubRel { id: ids[0] },
                    Resend::Publish { id: ids[1], token: 101 },
                    Resend::Publish { id: ids[2], token: 102 },
                    Resend::Publish { id: ids[4], token: 104 },
                ]
            );
            assert_eq!(c.resends(), [], "once for each connection");
        }
        assert_eq!(c.ack(Packet::PubComp, ids[0]), Ok(Happening::PubComp { token: 100, reason: 0 }));
        assert!(c.session.begin_publish(AtLeastOnce, 7).is_some());
        assert_eq!(c.resends(), [], "a new message is never taken for one to be sent again");
    }
}

#[test]
fn a_new_message_after_an_empty_resumption_is_not_sent_twice() {
    let mut c = Client::connected(V5);
    c.reconnect(true);
    c.publish(AtLeastOnce, 1);
    assert_eq!(c.resends(), [], "5.0 forbids re-sending at any other time [MQTT-4.4.0-1]");
}

#[test]
fn an_owed_pubrel_that_is_answered_not_found_is_over() {
    // 5.0, 3.7.2.1: PUBCOMP 0x92 is no error on recovery.
    let mut c = Client::connected(V5);
    let two = c.publish(ExactlyOnce, 5);
    c.ack(Packet::PubRec, two).expect("in flight");
    c.reconnect(true);
    assert_eq!(c.resends(), [Resend::PubRel { id: two }]);
    let not_found = Packet::PubComp(Ack { reason: 0x92, ..Ack::plain(two) });
    assert_eq!(c.handle(not_found), Ok(Happening::PubComp { token: 5, reason: 0x92 }));
    assert_eq!(c.session.in_flight(), 0);
}

#[test]
fn two_pubrecs_are_answered_and_both_pubcomps_are_welcome() {
    // The server had stored our PUBLISH and answers it on resumption, and answers the re-sent one too.
    for version in [V311, V5] {
        let mut c = Client::connected(version);
        let two = c.publish(ExactlyOnce, 5);
        c.reconnect(true);
        assert_eq!(c.resends(), [Resend::Publish { id: two, token: 5 }]);
        c.ack(Packet::PubRec, two).expect("the first");
        c.ack(Packet::PubRec, two).expect("the second");
        assert_eq!(c.written(version), ["PUBREL 1 00", "PUBREL 1 00"]);
        assert_eq!(c.ack(Packet::PubComp, two), Ok(Happening::PubComp { token: 5, reason: 0 }));
        assert_eq!(c.ack(Packet::PubComp, two), Ok(Happening::Nothing));
        assert_eq!(c.ack(Packet::PubComp, two), Err(ProtocolError::Unexpected), "a third is one too many");
    }
}

#[test]
fn a_server_that_sends_pubrec_for_ever_is_stopped() {
    let mut c = Client::connected(V5);
    let two = c.publish(ExactlyOnce, 5);
    let accepted = (0..10_000).take_while(|_| c.ack(Packet::PubRec, two).is_ok()).count();
    assert!((2..1000).contains(&accepted), "bounded memory: {accepted}");
}

#[test]
fn session_lost_by_the_server_empties_ours() {
    // [MQTT-3.2.2-5]; the owner publishes anew, under new identifiers.
    let mut c = Client::connected(V311);
    let old = c.publish(AtLeastOnce, 1);
    c.handle(message(ExactlyOnce, 77, false)).expect("a message");
    c.reconnect(false);
    assert_eq!((c.resends(), c.session.in_flight()), (Vec::new(), 0));
    assert_ne!(c.publish(AtLeastOnce, 1), old, "a late acknowledgement must not meet a new message");
    let again = c.handle(message(ExactlyOnce, 77, false));
    assert!(matches!(again, Ok(Happening::Message(_))), "in a new session the same identifier is a new message");
}

#[test]
fn memory_lost_by_us_forgets_both_halves() {
    let mut c = Client::connected(V5);
    c.publish(AtLeastOnce, 1);
    c.handle(message(ExactlyOnce, 77, false)).expect("a message");
    c.session.handle_closed();
    c.session.forget();
    c.connect(true);
    assert_eq!((c.resends(), c.session.in_flight()), (Vec::new(), 0));
    c.written(V5);
    assert_eq!(c.ack(Packet::PubRel, id(77)), Ok(Happening::Nothing));
    assert_eq!(c.written(V5), ["PUBCOMP 77 92"]);
}

#[test]
fn identifiers_wrap_around_and_skip_those_in_use() {
    // [MQTT-2.2.1-3]: unused; never zero.
    let mut c = Client::connected(V311);
    let stays = c.publish(ExactlyOnce, 0);
    let asked = c.session.subscribe(&[("t", SubscribeOptions::default())], None, &mut c.out).expect("an identifier");
    let mut last = asked.get();
    for token in 1..140_000 {
        let next = c.publish(AtLeastOnce, token);
        assert!(next != stays && next != asked);
        let expected = if last == u16::MAX { 3 } else { last + 1 };
        assert_eq!(next.get(), expected);
        last = next.get();
        c.ack(Packet::PubAck, next).expect("in flight");
    }
}

// ---- windows ----

#[test]
fn the_window_is_the_least_of_ours_and_the_servers() {
    for (theirs, expected) in [(None, 10), (Some(3), 3), (Some(1000), 10)] {
        let mut c = Client::new(V5);
        let mut p = PropertiesBuf::default();
        if let Some(n) = theirs {
            p.push(Property::ReceiveMaximum(n));
        }
        c.connect_with(false, p.as_properties());
        let begun: Vec<_> = std::iter::from_fn(|| c.session.begin_publish(AtLeastOnce, 1)).collect();
        assert_eq!((begun.len(), c.session.window_left()), (expected, 0));
        c.ack(Packet::PubAck, begun[0]).expect("in flight");
        assert_eq!(c.session.window_left(), 1);
    }
}

#[test]
fn a_pubrel_that_is_out_still_counts_and_pubcomp_gives_room() {
    // [MQTT-3.3.4-7]: until PUBCOMP.
    let mut c = Client::with(SessionConfig { window: 1, ..CONFIG });
    c.connect(false);
    let two = c.publish(ExactlyOnce, 1);
    c.ack(Packet::PubRec, two).expect("in flight");
    assert_eq!(c.session.window_left(), 0);
    c.ack(Packet::PubComp, two).expect("in flight");
    assert_eq!(c.session.window_left(), 1);
}

#[test]
fn resumption_keeps_to_a_receive_maximum_that_shrank() {
    // [MQTT-3.3.4-7] holds for what is sent again too.
    let mut c = Client::connected(V5);
    let ids: Vec<_> = (0..5).map(|token| c.publish(AtLeastOnce, token)).collect();
    c.session.handle_closed();
    let mut p = PropertiesBuf::default();
    p.push(Property::ReceiveMaximum(2));
    c.connect_with(true, p.as_properties());
    let mut sent = Vec::new();
    while sent.len() < 5 {
        let next = c.resends();
        assert!(!next.is_empty(), "no stall");
        sent.extend(next);
        assert!(sent.len() - (5 - c.session.in_flight()) <= 2, "two unacknowledged at most");
        let done = 5 - c.session.in_flight();
        assert_eq!(c.session.begin_publish(AtLeastOnce, 99), None);
        c.ack(Packet::PubAck, ids[done]).expect("in flight");
    }
    let expected: Vec<_> = ids.iter().zip(0..).map(|(id, token)| Resend::Publish { id: *id, token }).collect();
    assert_eq!(sent, expected);
}

#[test]
fn nothing_is_begun_without_a_connection() {
    let mut c = Client::new(V311);
    assert_eq!(c.session.begin_publish(AtLeastOnce, 1), None);
    c.connect(false);
    c.publish(AtLeastOnce, 1);
    c.session.handle_closed();
    assert_eq!((c.session.begin_publish(AtLeastOnce, 2), c.session.poll_resend()), (None, None));
}

// ---- receiving ----

#[test]
fn messages_are_answered_by_their_qos() {
    for version in [Version::V31, V311, V5] {
        let mut c = Client::connected(version);
        for (qos, n) in [(QoS::AtMostOnce, 0), (AtLeastOnce, 8), (ExactlyOnce, 9)] {
            assert!(matches!(c.handle(message(qos, n, false)), Ok(Happening::Message(p)) if p.qos == qos));
        }
        assert_eq!(c.written(version), ["PUBACK 8 00", "PUBREC 9 00"]);
        c.ack(Packet::PubRel, id(9)).expect("a release");
        assert_eq!(c.written(version), ["PUBCOMP 9 00"]);
    }
}

#[test]
fn a_qos_2_message_is_new_once_until_its_release_over_reconnects() {
    // [MQTT-4.3.3-10] (3.1.1: -2), the receiver's half; whatever DUP says.
    for version in [V311, V5] {
        let mut c = Client::connected(version);
        assert!(matches!(c.handle(message(ExactlyOnce, 5, false)), Ok(Happening::Message(_))));
        for dup in [true, false] {
            c.reconnect(true);
            assert_eq!(c.handle(message(ExactlyOnce, 5, dup)), Ok(Happening::Repeat { id: id(5), other: None }));
        }
        assert_eq!(c.written(version), ["PUBREC 5 00"; 3], "each is answered");
        c.reconnect(true);
        c.ack(Packet::PubRel, id(5)).expect("a release");
        c.ack(Packet::PubRel, id(5)).expect("our PUBCOMP was lost");
        let second = if version == V5 { "PUBCOMP 5 92" } else { "PUBCOMP 5 00" };
        assert_eq!(c.written(version), ["PUBCOMP 5 00", second]);
        let next = c.handle(message(ExactlyOnce, 5, true));
        assert!(matches!(next, Ok(Happening::Message(_))), "after the release the identifier is a new message's");
    }
}

#[test]
fn another_message_under_an_identifier_in_use_is_shown() {
    let mut c = Client::connected(V5);
    c.handle(message(ExactlyOnce, 5, false)).expect("a message");
    let Packet::Publish(first) = message(ExactlyOnce, 5, false) else { unreachable!("it is one") };
    let other = Publish { payload: b"y", ..first };
    assert_eq!(c.handle(Packet::Publish(other)), Ok(Happening::Repeat { id: id(5), other: Some(other) }));
}

#[test]
fn qos_1_repeats_are_all_messages() {
    // [MQTT-4.3.2-5]: after our PUBACK the same identifier is a new message, whatever DUP says.
    let mut c = Client::connected(V311);
    for dup in [false, true] {
        assert!(matches!(c.handle(message(AtLeastOnce, 5, dup)), Ok(Happening::Message(p)) if p.dup == dup));
    }
}

#[test]
fn more_than_receive_maximum_is_a_breach() {
    // [MQTT-3.3.4-9]; 3.1.1 has no such limit.
    for (version, limit) in [(V5, 20), (V311, 1000)] {
        let mut c = Client::connected(version);
        let taken = (1..=1000).take_while(|n| c.handle(message(ExactlyOnce, *n, false)).is_ok()).count();
        assert_eq!(taken, limit, "{version:?}");
    }
    let mut c = Client::connected(V5);
    for n in 1..=20 {
        c.handle(message(ExactlyOnce, n, false)).expect("within the limit");
    }
    assert_eq!(
        c.handle(message(ExactlyOnce, 3, true)),
        Ok(Happening::Repeat { id: id(3), other: None }),
        "counted before"
    );
    assert!(matches!(c.handle(message(QoS::AtMostOnce, 0, false)), Ok(Happening::Message(_))), "QoS 0 has no limit");
    assert_eq!(c.handle(message(AtLeastOnce, 30, false)), Err(ProtocolError::ReceiveMaximum));
    c.ack(Packet::PubRel, id(1)).expect("a release");
    assert!(c.handle(message(AtLeastOnce, 30, false)).is_ok());
}

#[test]
fn the_receive_quota_is_anew_for_each_connection() {
    // 5.0, 4.9: PUBRELs that the server owes from before take nothing of its quota, whenever it sends them.
    let mut c = Client::connected(V5);
    for n in 1..=20 {
        c.handle(message(ExactlyOnce, n, false)).expect("within the limit");
    }
    c.reconnect(true);
    for n in 101..=120 {
        assert!(matches!(c.handle(message(ExactlyOnce, n, false)), Ok(Happening::Message(_))), "{n}");
    }
    assert_eq!(c.handle(message(ExactlyOnce, 121, false)), Err(ProtocolError::ReceiveMaximum));
    assert_eq!(
        c.handle(message(ExactlyOnce, 1, true)),
        Ok(Happening::Repeat { id: id(1), other: None }),
        "still known"
    );
    // Section 4.9: a PUBCOMP for one of before adds to the server's quota, should it come when that is used up.
    c.reconnect(true);
    for n in 1..=3 {
        c.ack(Packet::PubRel, id(n)).expect("a release");
    }
    for n in 201..=223 {
        assert!(matches!(c.handle(message(ExactlyOnce, n, false)), Ok(Happening::Message(_))), "{n}");
    }
    assert_eq!(c.handle(message(ExactlyOnce, 224, false)), Err(ProtocolError::ReceiveMaximum));
}

#[test]
fn a_topic_alias_that_was_not_offered_is_a_breach() {
    // [MQTT-3.1.2-27]
    let mut p = PropertiesBuf::default();
    p.push(Property::TopicAlias(1));
    for topic in ["", "t"] {
        let mut c = Client::connected(V5);
        let Packet::Publish(plain) = message(QoS::AtMostOnce, 0, false) else { unreachable!() };
        let aliased = Packet::Publish(Publish { topic, properties: p.as_properties(), ..plain });
        assert_eq!(c.handle(aliased), Err(ProtocolError::TopicAlias));
    }
}

// ---- subscribing, and packets out of place ----

#[test]
fn subscribe_and_unsubscribe_are_answered_once() {
    let mut c = Client::connected(V5);
    let first = c.session.subscribe(&[("a/#", SubscribeOptions::default())], None, &mut c.out).expect("an identifier");
    let second = c.session.unsubscribe(&["a/#"], &mut c.out).expect("an identifier");
    assert_ne!(first, second);
    let answer = |packet_id| Codes { packet_id, properties: Properties::EMPTY, codes: &[0] };
    assert_eq!(c.handle(Packet::SubAck(answer(first))), Ok(Happening::SubAck { id: first, codes: &[0] }));
    assert_eq!(c.handle(Packet::SubAck(answer(first))), Err(ProtocolError::Unexpected));
    assert_eq!(c.handle(Packet::UnsubAck(answer(second))), Ok(Happening::UnsubAck { id: second }));
}

#[test]
fn only_connack_opens_a_connection_and_only_once() {
    let connack = Packet::ConnAck(ConnAck { session_present: false, reason: 0, properties: Properties::EMPTY });
    let mut c = Client::new(V311);
    assert_eq!(c.handle(message(QoS::AtMostOnce, 0, false)), Err(ProtocolError::Unexpected)); // [MQTT-3.2.0-1]
    assert!(c.handle(connack).is_ok());
    assert_eq!(c.handle(connack), Err(ProtocolError::Unexpected)); // [MQTT-3.2.0-2]
    assert_eq!(c.handle(Packet::PingReq), Err(ProtocolError::Unexpected));
}

/// [MQTT-4.12.0-6]: before CONNACK, in it, and after it; and nothing is said to it [MQTT-4.12.0-7].
#[test]
fn a_client_that_names_no_method_takes_no_authentication() {
    let mut p = PropertiesBuf::default();
    p.push(Property::AuthenticationMethod("SCRAM-SHA-1"));
    let challenge = Packet::Auth(Reason { reason: 0x18, properties: p.as_properties() });
    let with_method = |reason| ConnAck { session_present: false, reason, properties: p.as_properties() };
    let mut c = Client::new(V5);
    assert_eq!(c.session.connect_properties().as_properties().authentication_method(), None);
    assert_eq!(c.handle(challenge), Err(ProtocolError::Authentication));
    assert_eq!(c.handle(Packet::ConnAck(with_method(0))), Err(ProtocolError::Authentication));
    assert_eq!(c.handle(Packet::ConnAck(with_method(0x8C))), Err(ProtocolError::Authentication));
    c.connect(false);
    assert_eq!(c.handle(challenge), Err(ProtocolError::Authentication));
    assert_eq!(c.written(V5), Vec::<String>::new());
}

/// Section 4.11: in CONNACK and in DISCONNECT, with the other server's name or without.
#[test]
fn a_server_may_send_its_client_to_another() {
    for (name, reason) in [(Some("b.example:1883"), 0x9C), (None, 0x9D)] {
        let mut p = PropertiesBuf::default();
        if let Some(name) = name {
            p.push(Property::ReasonString("full")).push(Property::ServerReference(name));
        }
        let properties = p.as_properties();
        let mut c = Client::new(V5);
        let refusal = Packet::ConnAck(ConnAck { session_present: false, reason, properties });
        assert_eq!(c.handle(refusal), Ok(Happening::Refused { reason, reference: name }));
        c.connect(false);
        let farewell = Packet::Disconnect(Reason { reason, properties });
        assert_eq!(c.handle(farewell), Ok(Happening::Disconnect { reason, reference: name }));
    }
}

#[test]
fn a_refusal_keeps_the_session() {
    let mut c = Client::connected(V311);
    c.publish(AtLeastOnce, 1);
    c.session.handle_closed();
    let refusal = ConnAck { session_present: false, reason: 3, properties: Properties::EMPTY };
    assert_eq!(c.handle(Packet::ConnAck(refusal)), Ok(Happening::Refused { reason: 3, reference: None }));
    assert_eq!(c.session.in_flight(), 1);
    c.reconnect(true);
    assert_eq!(c.resends().len(), 1);
}

#[test]
fn the_servers_word_is_kept() {
    let mut p = PropertiesBuf::default();
    p.push(Property::MaximumQoS(1)).push(Property::MaximumPacketSize(100)).push(Property::RetainAvailable(0));
    p.push(Property::SessionExpiryInterval(0)).push(Property::AssignedClientIdentifier("auto-7"));
    let mut c = Client::new(V5);
    let connack = ConnAck { session_present: false, reason: 0, properties: p.as_properties() };
    let happening = c.handle(Packet::ConnAck(connack));
    assert_eq!(happening, Ok(Happening::Connected { session_present: false, assigned_client_id: Some("auto-7") }));
    let limits = c.session.server_limits();
    assert_eq!((limits.maximum_qos, limits.maximum_packet_size, limits.retain_available), (AtLeastOnce, 100, false));
    assert_eq!(c.session.session_expiry(), 0, "the server's word goes before ours");
    c.reconnect(false);
    assert_eq!(c.session.session_expiry(), 600, "it holds for one connection");
}

// ---- keep alive ----

#[test]
fn ping_counts_from_what_was_sent() {
    // [MQTT-3.1.2-20] (3.1.1: -23): what comes in is no reason to be silent.
    let mut c = Client::new(V311);
    c.session.handle_connect_sent(at(0));
    let connack = Packet::ConnAck(ConnAck { session_present: false, reason: 0, properties: Properties::EMPTY });
    c.session.handle(&connack, at(20), &mut c.out).expect("a CONNACK");
    assert_eq!(c.session.next_deadline(), Some(at(60)), "from CONNECT, not from CONNACK");
    c.session.handle(&message(QoS::AtMostOnce, 0, false), at(30), &mut c.out).expect("a message");
    assert_eq!(c.session.next_deadline(), Some(at(60)));
    c.session.handle(&message(AtLeastOnce, 1, false), at(40), &mut c.out).expect("a message");
    assert_eq!(c.session.next_deadline(), Some(at(100)), "our PUBACK was sent");
    c.session.note_sent(at(50));
    assert_eq!(c.session.next_deadline(), Some(at(110)));
    c.out.clear();
    assert_eq!(c.session.handle_deadline(at(109), &mut c.out), Ok(false));
    assert_eq!(c.written(V311).len(), 0, "not before it is due");
    assert_eq!(c.session.handle_deadline(at(110), &mut c.out), Ok(true));
    assert_eq!(c.out, [0xC0, 0]);
}

#[test]
fn a_ping_without_an_answer_times_out() {
    let mut c = Client::connected(V311);
    assert_eq!(c.session.handle_deadline(at(60), &mut c.out), Ok(true));
    c.session.note_sent(at(100)); // our sending is no sign of the server's life
    assert_eq!(c.session.next_deadline(), Some(at(120)));
    assert_eq!(c.session.handle_deadline(at(120), &mut c.out), Err(PingTimeout));

    let mut c = Client::connected(V311);
    assert_eq!(c.session.handle_deadline(at(60), &mut c.out), Ok(true));
    c.session.handle(&Packet::PingResp, at(61), &mut c.out).expect("an answer");
    assert_eq!(c.session.next_deadline(), Some(at(120)));
    assert_eq!(c.session.handle_deadline(at(120), &mut c.out), Ok(true));
    assert_eq!(c.out, [0xC0, 0, 0xC0, 0], "the next ping");
}

#[test]
fn the_servers_keep_alive_goes_before_ours() {
    // [MQTT-3.2.2-21]; 0 switches it off.
    for (seconds, deadline) in [(5, Some(at(5))), (0, None)] {
        let mut p = PropertiesBuf::default();
        p.push(Property::ServerKeepAlive(seconds));
        let mut c = Client::new(V5);
        c.connect_with(false, p.as_properties());
        assert_eq!(c.session.next_deadline(), deadline);
        c.session.handle_closed();
        assert_eq!(c.session.next_deadline(), None, "no connection, no ping");
        c.connect(false);
        assert_eq!(c.session.next_deadline(), Some(at(60)), "it holds for one connection");
    }
}

// ---- cost ----

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 256, "{} bytes", size_of::<Session>());
}

#[test]
fn connect_says_what_was_configured() {
    let properties = Client::new(V5).session.connect_properties();
    let all: Vec<_> = properties.as_properties().iter().collect();
    assert_eq!(all, [Property::SessionExpiryInterval(600), Property::ReceiveMaximum(20)]);
    assert!(Client::new(V311).session.connect_properties().as_properties().is_empty());
}
