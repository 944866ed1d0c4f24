//! The reference broker as a process: what it says to clients of narrow means, and to the people who run it.

#[path = "support/raw.rs"]
mod raw;
mod support;

use raw::{Process, Raw, ack};
use squall::mqtt::packet::{Connect, Packet, Publish};
use squall::mqtt::properties::{Properties, PropertiesBuf, Property};
use squall::mqtt::{QoS, Version, codec};
use std::io::Read;
use std::process::Stdio;
use support::squall;

fn properties(all: &[Property<'_>]) -> PropertiesBuf {
    let mut p = PropertiesBuf::default();
    for property in all {
        p.push(*property);
    }
    p
}

/// CONNECT of 5.0 from "narrow"; the CONNACK's size, reason and reason string, or none if it is closed without a word.
fn connack(broker: &Process, all: &[Property<'_>]) -> (Raw, Option<(usize, u8, Option<String>)>) {
    let p = properties(all);
    let mut client = Raw::open(broker.addr, Version::V5);
    client.send(&Packet::Connect(Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 0,
        client_id: "narrow",
        will: None,
        user_name: None,
        password: None,
        properties: p.as_properties(),
    }));
    let answer = client.next(|packet| {
        let mut bytes = Vec::new();
        codec::encode(&packet, Version::V5, &mut bytes);
        let Packet::ConnAck(c) = packet else { panic!("{packet:?}") };
        let why = c.properties.find(|p| if let Property::ReasonString(why) = p { Some(why.to_owned()) } else { None });
        (bytes.len(), c.reason, why)
    });
    (client, answer)
}

/// [MQTT-3.1.2-24] no packet is larger than the client accepts, CONNACK neither: who cannot be answered is not left waiting,
/// and does not take over a session that somebody else uses.
#[test]
fn a_connack_that_is_too_large_ends_the_connection() {
    let broker = Process::start(&[]);
    let (mut first, answer) = connack(&broker, &[]);
    let (size, ..) = answer.expect("it is accepted");
    let largest = u32::try_from(size).expect("small");
    for too_small in 1..largest {
        let (_, answer) = connack(&broker, &[Property::MaximumPacketSize(too_small)]);
        assert_eq!(answer, None, "a CONNACK of {size} bytes to a client that takes {too_small}");
    }
    first.ping();
    let (mut second, answer) = connack(&broker, &[Property::MaximumPacketSize(largest)]);
    assert_eq!(answer, Some((size, 0, None)));
    second.ping();
}

/// [MQTT-3.2.2-19] the reason in words is left out before the CONNACK is.
#[test]
fn a_refusal_is_as_long_as_the_client_takes() {
    let broker = Process::start(&[]);
    let refused = |size| {
        let (mut client, answer) =
            connack(&broker, &[Property::AuthenticationMethod("none"), Property::MaximumPacketSize(size)]);
        assert!(answer.is_none() || client.is_closed()); // [MQTT-3.2.2-7]
        answer
    };
    let (whole, reason, why) = refused(1000).expect("it is told");
    assert!(reason == 0x8C && why.is_some());
    let whole = u32::try_from(whole).expect("small");
    assert_eq!(refused(whole).expect("it just fits").2, why);
    assert_eq!(refused(whole - 1), Some((5, 0x8C, None)));
    assert_eq!(refused(5), Some((5, 0x8C, None)));
    assert_eq!(refused(4), None);
}

/// The next message: its topic as it came, its alias, and its payload's length.
fn message(client: &mut Raw) -> (String, Option<u16>, usize) {
    client.receive(|packet| match packet {
        Packet::Publish(p) => {
            let alias = p.properties.find(|p| if let Property::TopicAlias(a) = p { Some(a) } else { None });
            (p.topic.to_owned(), alias, p.payload.len())
        }
        other => panic!("{other:?}"),
    })
}

/// [MQTT-3.1.2-26] as many aliases as the client has room for; [MQTT-3.3.2-7] they end with the connection.
#[test]
fn topic_aliases_to_a_client() {
    let broker = Process::start(&["--topic-aliases", "10"]);
    let mut publisher = Raw::v5(broker.addr, "publisher");
    for (maximum, wanted) in [
        (0, [("a", None), ("b", None), ("c", None), ("a", None), ("b", None), ("c", None)]),
        (2, [("a", Some(1)), ("b", Some(2)), ("c", None), ("", Some(1)), ("", Some(2)), ("c", None)]),
    ] {
        let lasting = properties(&[Property::TopicAliasMaximum(maximum), Property::SessionExpiryInterval(60)]);
        let id = format!("subscriber of {maximum}");
        for returns in [false, true] {
            let p = lasting.as_properties();
            let mut subscriber = Raw::connect(broker.addr, Version::V5, &id, !returns, p);
            assert_eq!(subscriber.session_present, returns);
            if !returns {
                subscriber.subscribe("+", QoS::AtMostOnce);
            }
            for topic in ["a", "b", "c", "a", "b", "c"] {
                publisher.publish(topic, QoS::AtMostOnce, 0, b"x");
            }
            for (topic, alias) in wanted {
                assert_eq!(message(&mut subscriber), (topic.to_owned(), alias, 1));
            }
        }
    }
}

/// Section 3.3.4: 0x94 for an alias of 0 or above the maximum, 0x82 for one that was never set and comes without a topic.
#[test]
fn illegal_topic_aliases_are_told_apart() {
    let broker = Process::start(&["--topic-aliases", "10"]);
    for (topic, alias, reason) in [("t", 0, 0x94), ("t", 11, 0x94), ("", 11, 0x94), ("", 10, 0x82)] {
        let mut client = Raw::v5(broker.addr, "publisher");
        let p = properties(&[Property::TopicAlias(alias)]);
        client.send(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_id: None,
            properties: p.as_properties(),
            payload: b"x",
        }));
        let told = client.receive(|packet| match packet {
            Packet::Disconnect(d) => d.reason,
            other => panic!("{other:?}"),
        });
        assert_eq!(told, reason, "topic {topic:?}, alias {alias}");
    }
}

/// [MQTT-4.13.1-1], 3.1.1 [MQTT-4.8.0-1]: an acknowledgement of the wrong kind, or before its turn, ends the connection; one
/// that comes twice does not.
#[test]
fn acknowledgements_out_of_turn_end_the_connection() {
    use QoS::{AtLeastOnce, ExactlyOnce};
    let broker = Process::start(&[]);
    let (puback, pubrec, pubcomp) = (Packet::PubAck(ack(1)), Packet::PubRec(ack(1)), Packet::PubComp(ack(1)));
    for version in [Version::V311, Version::V5] {
        for (qos, legal, answer, closes) in [
            (AtLeastOnce, None, &puback, false),
            (AtLeastOnce, Some(&puback), &puback, false),
            (AtLeastOnce, None, &pubrec, true),
            (AtLeastOnce, None, &pubcomp, true),
            (ExactlyOnce, None, &puback, true),
            (ExactlyOnce, None, &pubcomp, true),
            (ExactlyOnce, Some(&pubrec), &pubrec, false),
            (ExactlyOnce, Some(&pubrec), &pubcomp, false),
            (ExactlyOnce, Some(&pubrec), &puback, true),
        ] {
            let mut client = Raw::connect(broker.addr, version, "subscriber", true, Properties::EMPTY);
            client.subscribe("t", qos);
            Raw::v5(broker.addr, "publisher").publish("t", QoS::ExactlyOnce, 1, b"x");
            client.receive(|p| assert!(matches!(p, Packet::Publish(m) if m.packet_id == Some(raw::id(1))), "{p:?}"));
            legal.into_iter().chain([answer]).for_each(|packet| client.send(packet));
            client.send(&Packet::PingReq);
            let mut served = false;
            while let Some(end) = client.next(|packet| match packet {
                Packet::PubRel(_) => false,
                Packet::PingResp => {
                    served = true;
                    true
                }
                Packet::Disconnect(d) => {
                    assert_eq!(d.reason, 0x82);
                    false
                }
                other => panic!("{other:?}"),
            }) && !end
            {}
            assert_eq!(served, !closes, "{version:?}, QoS {qos:?}, after {legal:?}: {answer:?}");
        }
    }
}

/// As deep as mosquitto takes them, and no deeper: the tree of subscriptions is walked level by level.
#[test]
fn filters_have_at_most_201_levels() {
    let broker = Process::start(&[]);
    let mut client = Raw::v311(broker.addr, "deep", true);
    let deepest = "/".repeat(200);
    assert_eq!(client.subscribe(&deepest, QoS::AtMostOnce), [0]);
    client.publish(&deepest, QoS::AtMostOnce, 0, b"x");
    assert_eq!(message(&mut client), (deepest, None, 1));
    assert_eq!(client.subscribe(&"/".repeat(201), QoS::AtMostOnce), [0x80]);
}

/// A message that the client takes without an alias is not lost for the three bytes that set one [MQTT-3.1.2-25].
#[test]
fn an_alias_makes_no_message_too_large() {
    let broker = Process::start(&[]);
    let mut publisher = Raw::v5(broker.addr, "publisher");
    let p = properties(&[Property::TopicAliasMaximum(5), Property::MaximumPacketSize(100)]);
    let mut subscriber = Raw::connect(broker.addr, Version::V5, "subscriber", true, p.as_properties());
    subscriber.subscribe("t", QoS::AtLeastOnce);
    // Two bytes of header, three of topic, one for no properties; at QoS 1 two more for the identifier.
    for (qos, largest) in [(QoS::AtMostOnce, 94), (QoS::AtLeastOnce, 92)] {
        for length in [largest + 1, largest] {
            publisher.publish("t", qos, 9, &vec![b'x'; length]);
            if qos == QoS::AtLeastOnce {
                publisher.receive(|p| assert_eq!(p, Packet::PubAck(ack(9))));
            }
        }
        assert_eq!(message(&mut subscriber), ("t".to_owned(), None, largest));
    }
    publisher.publish("t", QoS::AtMostOnce, 0, b"x");
    assert_eq!(message(&mut subscriber), ("t".to_owned(), Some(1), 1));
}

/// What cannot be kept is refused: 0x97 to 5.0, the end to 3.1.1, which has no words for it; and nothing that was
/// acknowledged is dropped. What is owed no more makes room.
#[test]
fn memory_has_a_limit_that_is_told() {
    let broker = Process::start(&["--memory", "100000"]);
    let away = Raw::connect(broker.addr, Version::V311, "away", false, Properties::EMPTY);
    let subscribed = { away }.subscribe("t", QoS::AtLeastOnce);
    assert_eq!(subscribed, [1]);
    let mut publisher = Raw::v5(broker.addr, "publisher");
    let mut kept = 0;
    let refusal = loop {
        publisher.publish("t", QoS::AtLeastOnce, 1, &[b'x'; 1000]);
        match publisher.receive(|p| if let Packet::PubAck(a) = p { a.reason } else { panic!("{p:?}") }) {
            0 => kept += 1,
            other => break other,
        }
    };
    // A message weighs what it holds, and some 200 bytes for itself.
    assert!(refusal == 0x97 && (70..=100).contains(&kept), "{refusal:#04x} after {kept}");
    let mut old = Raw::v311(broker.addr, "old", true);
    old.publish("t", QoS::AtLeastOnce, 1, &[b'x'; 1000]);
    assert!(old.is_closed());
    publisher.publish("t", QoS::AtMostOnce, 0, &[b'x'; 1000]);
    publisher.ping();
    let mut back = Raw::v311(broker.addr, "away", false);
    for _ in 0..kept {
        let id = back.receive(|p| match p {
            Packet::Publish(Publish { packet_id: Some(id), payload, .. }) if payload.len() == 1000 => id,
            other => panic!("{other:?}"),
        });
        back.send(&Packet::PubAck(ack(id.get())));
    }
    back.ping();
    publisher.publish("t", QoS::AtLeastOnce, 2, &[b'x'; 1000]);
    publisher.receive(|p| assert_eq!(p, Packet::PubAck(ack(2))));
    back.receive(|p| assert!(matches!(p, Packet::Publish(p) if p.payload.len() == 1000), "{p:?}"));
}

/// What the broker tells of a client that connects, publishes, and leaves.
fn told(detail: &[&str]) -> String {
    let mut command = squall();
    command.args(["broker", "--listen", "127.0.0.1:0", "--sys", "0"]).args(detail).stderr(Stdio::piped());
    let mut broker = Process::spawn(command);
    let mut stderr = broker.child.stderr.take().expect("piped");
    let mut client = Raw::open(broker.addr, Version::V5);
    client.send(&Packet::Connect(Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 0,
        client_id: "talker",
        will: None,
        user_name: Some("alice"),
        password: Some(b"open sesame"),
        properties: Properties::EMPTY,
    }));
    client.receive(|p| assert!(matches!(p, Packet::ConnAck(c) if c.reason == 0), "{p:?}"));
    client.publish("a/b", QoS::AtLeastOnce, 7, b"hello");
    client.receive(|p| assert_eq!(p, Packet::PubAck(ack(7))));
    client.send(&Packet::Disconnect(Default::default()));
    assert!(client.is_closed());
    assert_eq!(broker.terminate(), Some(0));
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn what_it_tells_people() {
    let connection = ["\"talker\" connected, MQTT level 5, a new session", "its client left with 0x00"];
    let packets =
        ["< CONNECT level 5 \"talker\"", "> CONNACK 0x00", "< PUBLISH QoS 1 id 7 \"a/b\", 5 bytes", "> PUBACK id 7"];
    for (detail, of_connections, of_packets) in
        [(&[][..], false, false), (&["-v"], true, false), (&["-vv"], true, true)]
    {
        let text = told(detail);
        for (lines, wanted) in [(&connection[..], of_connections), (&packets[..], of_packets)] {
            for line in lines {
                assert_eq!(text.matches(line).count(), usize::from(wanted), "{detail:?}: {line}\n{text}");
            }
        }
        assert!(!text.contains("sesame"), "a password is nobody's business\n{text}");
    }
}
