//! What the reference broker's store keeps over its end: a real process, a real kill -9, the same folder again.

#[path = "support/raw.rs"]
mod raw;
mod support;

use raw::{Process, Raw, ack, id};
use squall::mqtt::packet::{Packet, Publish, Will};
use squall::mqtt::properties::Properties;
use squall::mqtt::{QoS, Version};
use support::Scratch;

/// Publishes QoS 2 messages to the end of each exchange.
fn publish_all(broker: &Process, range: std::ops::Range<u16>) {
    let mut publisher = Raw::v311(broker.addr, "publisher", true);
    for n in range {
        publisher.publish("owed", QoS::ExactlyOnce, n, &n.to_be_bytes());
        publisher.receive(|p| assert_eq!(p, Packet::PubRec(ack(n))));
        publisher.send(&Packet::PubRel(ack(n)));
        publisher.receive(|p| assert_eq!(p, Packet::PubComp(ack(n))));
    }
}

/// The next message: its identifier, whether it is a repeat, and its number.
fn message(client: &mut Raw) -> (u16, bool, u16) {
    client.receive(|packet| match packet {
        Packet::Publish(p) => {
            let number = u16::from_be_bytes(p.payload.try_into().expect("two bytes"));
            (p.packet_id.expect("QoS 2").get(), p.dup, number)
        }
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_hundred_qos_2_messages_survive_a_kill() {
    let folder = Scratch::new();
    let store = folder.0.join("store").display().to_string();
    let start = || Process::start(&["--store", &store, "--sync", "always"]);
    let broker = start();
    let mut away = Raw::v311(broker.addr, "away", false);
    assert_eq!(away.subscribe("owed", QoS::ExactlyOnce), [2]);
    away.leave();
    publish_all(&broker, 1..101);
    broker.kill();

    // What was owed is still owed, in order, once: some of it is begun before the next kill.
    let broker = start();
    let mut back = Raw::v311(broker.addr, "away", false);
    assert!(back.session_present);
    let begun: Vec<(u16, bool, u16)> = (0..64).map(|_| message(&mut back)).collect();
    assert!(begun.iter().zip(1..).all(|((_, dup, number), n)| !dup && *number == n), "{begun:?}");
    for (id, ..) in &begun[..10] {
        back.send(&Packet::PubRec(ack(*id)));
        back.receive(|p| assert_eq!(p, Packet::PubRel(ack(*id))));
    }
    for (id, ..) in &begun[..5] {
        back.send(&Packet::PubComp(ack(*id)));
    }
    // Each end makes room in the window for one more.
    let more: Vec<u16> = (0..5).map(|_| message(&mut back).2).collect();
    assert_eq!(more, [65, 66, 67, 68, 69]);
    broker.kill();

    // [MQTT-4.4.0-1] PUBREL for those received, PUBLISH with DUP for those begun, under the same identifiers.
    let broker = start();
    let mut back = Raw::v311(broker.addr, "away", false);
    assert!(back.session_present);
    for (id, ..) in &begun[5..10] {
        back.receive(|p| assert_eq!(p, Packet::PubRel(ack(*id))));
        back.send(&Packet::PubComp(ack(*id)));
    }
    for expected in &begun[10..] {
        let again = message(&mut back);
        assert_eq!(again, (expected.0, true, expected.2));
    }
    let (mut rest, mut done) = (Vec::new(), 0);
    while done < 36 {
        let answer = back.receive(|packet| match packet {
            Packet::Publish(p) => {
                rest.push((u16::from_be_bytes(p.payload.try_into().expect("two bytes")), p.dup));
                Packet::PubRec(ack(p.packet_id.expect("QoS 2").get()))
            }
            Packet::PubRel(a) => {
                done += 1;
                Packet::PubComp(ack(a.packet_id.get()))
            }
            other => panic!("{other:?}"),
        });
        back.send(&answer);
    }
    // The first five had been begun before the kill.
    let expected: Vec<(u16, bool)> = (65..=100).map(|n| (n, n < 70)).collect();
    assert_eq!(rest, expected);
    back.ping();
}

/// QoS 2 identifiers received, retained messages, subscriptions and wills.
#[test]
fn the_rest_of_a_session_survives_too() {
    let folder = Scratch::new();
    let store = folder.0.join("store").display().to_string();
    let start = || Process::start(&["--store", &store]);
    let broker = start();
    let mut listener = Raw::v311(broker.addr, "listener", false);
    listener.subscribe("#", QoS::AtLeastOnce);
    let mut sender = Raw::open(broker.addr, Version::V311);
    let will =
        Will { topic: "will", payload: b"gone", qos: QoS::AtLeastOnce, retain: false, properties: Properties::EMPTY };
    sender.send(&Packet::Connect(squall::mqtt::packet::Connect {
        version: Version::V311,
        clean_start: false,
        keep_alive: 0,
        client_id: "sender",
        will: Some(will),
        user_name: None,
        password: None,
        properties: Properties::EMPTY,
    }));
    sender.receive(|p| assert!(matches!(p, Packet::ConnAck(_))));
    let retained = Publish {
        dup: false,
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "kept",
        packet_id: Some(id(9)),
        properties: Properties::EMPTY,
        payload: b"k",
    };
    sender.send(&Packet::Publish(retained));
    sender.receive(|p| assert_eq!(p, Packet::PubRec(ack(9))));
    let first = listener.receive(|p| if let Packet::Publish(p) = p { p.packet_id } else { None }).expect("QoS 1");
    listener.send(&Packet::PubAck(ack(first.get())));
    listener.ping();
    broker.kill();

    let broker = start();
    // The will of a connection that ended with the broker (section 3.1.2.5), to a subscription that survived.
    let mut listener = Raw::v311(broker.addr, "listener", false);
    assert!(listener.session_present);
    listener
        .receive(|p| assert!(matches!(p, Packet::Publish(p) if p.topic == "will" && p.payload == b"gone"), "{p:?}"));
    // [MQTT-4.3.3-2] the repeat is no new message.
    let mut sender = Raw::v311(broker.addr, "sender", false);
    assert!(sender.session_present);
    sender.send(&Packet::Publish(Publish { dup: true, ..retained }));
    sender.receive(|p| assert_eq!(p, Packet::PubRec(ack(9))));
    listener.ping();
    let mut late = Raw::v311(broker.addr, "late", true);
    late.subscribe("kept", QoS::AtMostOnce);
    late.receive(|p| assert!(matches!(p, Packet::Publish(p) if p.retain && p.payload == b"k"), "{p:?}"));
}

/// With a long interval nothing is on the disk when it is killed, and all of it when it is stopped.
#[test]
fn an_interval_loses_what_it_says_it_may() {
    for (stop, kept) in [(true, true), (false, false)] {
        let folder = Scratch::new();
        let store = folder.0.join("store").display().to_string();
        let start = || Process::start(&["--store", &store, "--sync", "600000 ms"]);
        let broker = start();
        Raw::v311(broker.addr, "away", false).leave();
        if stop {
            assert_eq!(broker.terminate(), Some(0));
        } else {
            broker.kill();
        }
        let broker = start();
        assert_eq!(Raw::v311(broker.addr, "away", false).session_present, kept);
    }
}

#[test]
fn without_a_store_nothing_survives() {
    let broker = Process::start(&[]);
    Raw::v311(broker.addr, "away", false).leave();
    assert!(Raw::v311(broker.addr, "away", false).session_present);
    broker.kill();
    let broker = Process::start(&[]);
    assert!(!Raw::v311(broker.addr, "away", false).session_present);
}
