//! The broker's core in virtual time: what a client gets, and when it is sent away.

use super::defects::{Defect, Defects, Strike};
use super::{Broker, Config, ConnId, Output};
use crate::mqtt::codec::{self, MAX_PACKET, Sender};
use crate::mqtt::packet::{Ack, Connect, Packet, Publish, SubscribeOptions};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::mqtt::{PacketId, QoS, Version};
use crate::time::{Duration, Instant};
use Version::{V5, V311};

/// A broker, the time, and the clients by number: each is one connection.
struct Talk {
    broker: Broker,
    now: Instant,
    clients: u32,
}

fn id(n: u16) -> PacketId {
    PacketId::new(n).expect("above 0")
}

fn ack(n: u16) -> Ack<'static> {
    Ack::plain(id(n))
}

fn properties(all: &[Property<'_>]) -> PropertiesBuf {
    let mut p = PropertiesBuf::default();
    for property in all {
        p.push(*property);
    }
    p
}

impl Talk {
    fn new(config: Config) -> Self {
        Self { broker: Broker::new(config), now: Instant::ZERO, clients: 0 }
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.broker.handle_deadline(self.now);
    }

    /// Connects to a lasting session; the connection, and what came after CONNACK.
    fn enter(&mut self, version: Version, client_id: &str, more: &[Property<'_>]) -> (ConnId, Vec<String>) {
        self.clients += 1;
        let conn = ConnId(self.clients);
        self.broker.handle_open(conn, self.now);
        let lasting = Property::SessionExpiryInterval(600);
        let all: Vec<_> = more.iter().copied().chain([lasting]).collect();
        let p = properties(if version == V5 { &all } else { &[] });
        let connect = Connect {
            version,
            clean_start: false,
            keep_alive: 0,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: p.as_properties(),
        };
        let mut heard = self.say(version, conn, &Packet::Connect(connect));
        assert_eq!(heard.remove(0), "CONNACK");
        (conn, heard)
    }

    /// Says something; what this connection hears then.
    fn say(&mut self, version: Version, conn: ConnId, packet: &Packet<'_>) -> Vec<String> {
        let mut bytes = Vec::new();
        codec::encode(packet, version, &mut bytes);
        self.broker.handle_bytes(conn, &bytes, self.now);
        self.hear(version, conn)
    }

    /// What a connection was sent since it was asked last, in short. The others' output is left where it is.
    fn hear(&mut self, version: Version, conn: ConnId) -> Vec<String> {
        while let Some(output) = self.broker.poll_output() {
            if let Output::Close(c) = output {
                let mut rest = Vec::new();
                self.broker.take_output(c, &mut rest);
                self.broker.forget_connection(c);
                if c == conn {
                    return read(&rest, version);
                }
            }
        }
        let mut bytes = Vec::new();
        self.broker.take_output(conn, &mut bytes);
        read(&bytes, version)
    }

    fn subscribe(&mut self, version: Version, conn: ConnId, qos: QoS) {
        let mut bytes = Vec::new();
        let filters = [("t", SubscribeOptions { qos, ..SubscribeOptions::default() })];
        codec::encode_subscribe(version, id(1), PropertiesBuf::default().as_properties(), &filters, &mut bytes);
        self.broker.handle_bytes(conn, &bytes, self.now);
        assert_eq!(self.hear(version, conn), ["SUBACK"]);
    }

    fn publish(&mut self, version: Version, conn: ConnId, qos: QoS, n: u16, more: &[Property<'_>]) -> Vec<String> {
        let p = properties(more);
        let packet_id = PacketId::new(n).filter(|_| qos != QoS::AtMostOnce);
        let payload = b"0123456789";
        let properties = p.as_properties();
        let publish = Publish { dup: false, qos, retain: false, topic: "t", packet_id, properties, payload };
        self.say(version, conn, &Packet::Publish(publish))
    }
}

fn read(mut bytes: &[u8], version: Version) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((packet, used)) = codec::decode(bytes, version, Sender::Server, MAX_PACKET).expect("legal") {
        all.push(match packet {
            Packet::ConnAck(c) if c.reason == 0 => "CONNACK".into(),
            Packet::SubAck(_) => "SUBACK".into(),
            Packet::Publish(p) => {
                let left =
                    p.properties.find(|p| if let Property::MessageExpiryInterval(s) = p { Some(s) } else { None });
                let again = if p.dup { " again" } else { "" };
                let left = left.map_or(String::new(), |s| format!(", {s} s left"));
                format!("PUBLISH {}{again}{left}", p.packet_id.map_or(0, PacketId::get))
            }
            Packet::PubAck(a) => format!("PUBACK {}", a.packet_id),
            Packet::PubRec(a) => format!("PUBREC {}", a.packet_id),
            Packet::PubRel(a) => format!("PUBREL {}", a.packet_id),
            Packet::PubComp(a) => format!("PUBCOMP {}", a.packet_id),
            Packet::Disconnect(d) => format!("DISCONNECT {:#04x}", d.reason),
            other => format!("{other:?}"),
        });
        bytes = &bytes[used..];
    }
    all
}

/// What a subscriber gets of a message with that expiry if it comes back so much later; `None`: it was there.
fn with_expiry(qos: QoS, expiry: u32, back_after: Option<u64>) -> Vec<String> {
    let mut t = Talk::new(Config::default());
    let (publisher, _) = t.enter(V5, "publisher", &[]);
    let (subscriber, _) = t.enter(V5, "subscriber", &[]);
    t.subscribe(V5, subscriber, QoS::AtLeastOnce);
    if back_after.is_some() {
        t.broker.handle_closed(subscriber, t.now);
    }
    t.publish(V5, publisher, qos, 1, &[Property::MessageExpiryInterval(expiry)]);
    let Some(millis) = back_after else { return t.hear(V5, subscriber) };
    t.wait(millis);
    t.enter(V5, "subscriber", &[]).1
}

/// [MQTT-3.3.2-5], [MQTT-3.3.2-6]: less the time it waited, in whole seconds; 0 stands for nothing that is alive.
#[test]
fn what_is_left_of_an_expiry_is_never_0_while_there_is_some() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let came = format!("PUBLISH {}", qos as u8);
        assert_eq!(with_expiry(qos, 5, None), [format!("{came}, 5 s left")]);
        assert_eq!(
            with_expiry(qos, 0, None),
            [format!("{came}, 0 s left")],
            "published with 0, it goes at once or never"
        );
    }
    let back_after = |millis| with_expiry(QoS::AtLeastOnce, 5, Some(millis));
    for (millis, left) in [(0, 5), (300, 5), (1000, 4), (1001, 4), (4000, 1), (4999, 1)] {
        assert_eq!(back_after(millis), [format!("PUBLISH 1, {left} s left")], "after {millis} ms");
    }
    assert_eq!(back_after(5000), [""; 0]);
    assert_eq!(with_expiry(QoS::AtLeastOnce, 0, Some(1)), [""; 0]);
}

/// A delivery that has begun goes on, also where nothing is left.
#[test]
fn what_is_sent_again_after_its_expiry_says_0() {
    let mut t = Talk::new(Config::default());
    let (publisher, _) = t.enter(V5, "publisher", &[]);
    let (subscriber, _) = t.enter(V5, "subscriber", &[]);
    t.subscribe(V5, subscriber, QoS::AtLeastOnce);
    t.publish(V5, publisher, QoS::AtLeastOnce, 1, &[Property::MessageExpiryInterval(5)]);
    assert_eq!(t.hear(V5, subscriber), ["PUBLISH 1, 5 s left"]);
    t.broker.handle_closed(subscriber, t.now);
    t.wait(9000);
    assert_eq!(t.enter(V5, "subscriber", &[]).1, ["PUBLISH 1 again, 0 s left"]);
}

/// Section 4.9 of 5.0: Receive Maximum is of a connection. What an earlier one left unreleased takes nothing of it, unless its
/// PUBLISH comes again; and each PUBCOMP for such an exchange adds to a client's quota.
#[test]
fn a_clients_quota_is_anew_for_each_connection() {
    let config = || Config { receive_maximum: 3, ..Config::default() };
    let two = QoS::ExactlyOnce;
    let mut t = Talk::new(config());
    let send = |t: &mut Talk, conn, ids: &[u16]| {
        ids.iter().flat_map(|n| t.publish(V5, conn, two, *n, &[])).collect::<Vec<_>>()
    };
    let (first, _) = t.enter(V5, "c", &[]);
    assert_eq!(send(&mut t, first, &[1, 2, 3]), ["PUBREC 1", "PUBREC 2", "PUBREC 3"]);
    let (second, _) = t.enter(V5, "c", &[]);
    assert_eq!(send(&mut t, second, &[11, 12, 13]), ["PUBREC 11", "PUBREC 12", "PUBREC 13"]);
    for n in [1, 2] {
        assert_eq!(t.say(V5, second, &Packet::PubRel(ack(n))), [format!("PUBCOMP {n}")]);
    }
    assert_eq!(send(&mut t, second, &[14, 15, 16]), ["PUBREC 14", "PUBREC 15", "DISCONNECT 0x93"]);
    let (third, _) = t.enter(V5, "c", &[]);
    assert_eq!(send(&mut t, third, &[3, 11, 12, 99]), ["PUBREC 3", "PUBREC 11", "PUBREC 12", "DISCONNECT 0x93"]);
    let (fourth, _) = t.enter(V5, "c", &[]);
    assert_eq!(send(&mut t, fourth, &[3, 3, 3, 3]), ["PUBREC 3"; 4], "a repeat waits for one PUBCOMP");
    let mut old = Talk::new(config());
    let (conn, _) = old.enter(V311, "c", &[]);
    let heard: Vec<_> = (1..=9).flat_map(|n| old.publish(V311, conn, two, n, &[])).collect();
    assert_eq!(heard.len(), 9, "3.1.1 has no such limit");
}

/// A subscriber with five messages in flight that comes back with these properties; the talk, its connection, and what came.
fn back_with(config: Config, qos: QoS, more: &[Property<'_>]) -> (Talk, ConnId, Vec<String>) {
    let mut t = Talk::new(config);
    let (publisher, _) = t.enter(V5, "publisher", &[]);
    let (subscriber, _) = t.enter(V5, "subscriber", &[]);
    t.subscribe(V5, subscriber, qos);
    for n in 1..=5 {
        t.publish(V5, publisher, qos, n, &[]);
    }
    assert_eq!(t.hear(V5, subscriber).len(), 5);
    let (conn, heard) = t.enter(V5, "subscriber", more);
    t.publish(V5, publisher, qos, 6, &[]);
    (t, conn, heard)
}

/// [MQTT-3.3.4-9] holds for what is sent again too, in its order, and before anything new.
#[test]
fn what_is_sent_again_keeps_to_a_receive_maximum_that_shrank() {
    let two = [Property::ReceiveMaximum(2)];
    let (mut t, conn, heard) = back_with(Config::default(), QoS::AtLeastOnce, &two);
    assert_eq!(heard, ["PUBLISH 1 again", "PUBLISH 2 again"]);
    for (n, next) in [(1, "PUBLISH 3 again"), (2, "PUBLISH 4 again"), (3, "PUBLISH 5 again"), (4, "PUBLISH 6")] {
        assert_eq!(t.say(V5, conn, &Packet::PubAck(ack(n))), [next]);
    }
    let (mut t, conn, heard) = back_with(Config::default(), QoS::ExactlyOnce, &two);
    assert_eq!(heard, ["PUBLISH 1 again", "PUBLISH 2 again"]);
    assert_eq!(t.say(V5, conn, &Packet::PubRec(ack(1))), ["PUBREL 1"]);
    assert_eq!(t.say(V5, conn, &Packet::PubComp(ack(1))), ["PUBLISH 3 again"]);
    let ignore = Strike { defect: Defect::IgnoreReceiveMaximum, every: 1 };
    let spoilt = Config { defects: Defects::new(&[ignore]), ..Config::default() };
    assert_eq!(back_with(spoilt, QoS::AtLeastOnce, &two).2.len(), 5, "the defect has no such limit");
}

/// [MQTT-3.1.2-25]: what a client that came back takes no more counts as sent and acknowledged; what comes later is not held up.
#[test]
fn what_is_too_large_to_be_sent_again_is_owed_no_more() {
    let small = [Property::MaximumPacketSize(17)];
    let (mut t, conn, heard) = back_with(Config::default(), QoS::AtLeastOnce, &small);
    assert_eq!((heard, t.hear(V5, conn)), (vec![], vec![]));
    assert_eq!(t.enter(V5, "subscriber", &[]).1, [""; 0]);
}
