//! Users, rules and the `$SYS` tree of the reference broker, as a process.

#[path = "support/raw.rs"]
mod raw;
mod support;

use raw::{Process, Raw, ack};
use squall::mqtt::packet::{Connect, Packet};
use squall::mqtt::properties::{PropertiesBuf, Property};
use squall::mqtt::{QoS, Version};
use std::io::Write;
use std::process::Stdio;
use support::{Scratch, squall};

/// A client with a name and a password, and what CONNACK says.
fn client(broker: &Process, version: Version, user: Option<(&str, &str)>) -> (Raw, u8) {
    connect(broker, version, user, true)
}

/// The same, with a session that lasts unless it is a clean start.
fn connect(broker: &Process, version: Version, user: Option<(&str, &str)>, clean: bool) -> (Raw, u8) {
    let mut lasting = PropertiesBuf::default();
    if version == Version::V5 && !clean {
        lasting.push(Property::SessionExpiryInterval(600));
    }
    let mut client = Raw::open(broker.addr, version);
    client.send(&Packet::Connect(Connect {
        version,
        clean_start: clean,
        keep_alive: 0,
        client_id: "c",
        will: None,
        user_name: user.map(|u| u.0),
        password: user.map(|u| u.1.as_bytes()),
        properties: lasting.as_properties(),
    }));
    let (code, present) = client.receive(|p| match p {
        Packet::ConnAck(c) => (c.reason, c.session_present),
        other => panic!("{other:?}"),
    });
    client.session_present = present;
    (client, code)
}

/// A user's line for the file of users.
fn hashed(name: &str, password: &str) -> String {
    let mut hash = squall();
    hash.args(["broker", "--hash-password", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut hash = hash.spawn().expect("it starts");
    hash.stdin.take().expect("piped").write_all(format!("{password}\n").as_bytes()).expect("written");
    String::from_utf8(hash.wait_with_output().expect("ours").stdout).expect("text")
}

#[test]
fn users_and_rules() {
    let folder = Scratch::new();
    let users = folder.file("users", &hashed("alice", "right")).display().to_string();
    let rules = folder.file("rules", "user alice\ntopic read in/#\ntopic write out/#\n").display().to_string();
    let broker = Process::start(&["--users", &users, "--rules", &rules]);
    // 3.1.1's return code 4 is for names and passwords that are malformed; 5.0's 0x86 for those that were given.
    for (version, nobody, refused) in [(Version::V311, 5, 5), (Version::V5, 0x87, 0x86)] {
        assert_eq!(client(&broker, version, None).1, nobody);
        assert_eq!(client(&broker, version, Some(("alice", "wrong"))).1, refused);
        assert_eq!(client(&broker, version, Some(("bob", "right"))).1, refused);
        let (mut alice, code) = client(&broker, version, Some(("alice", "right")));
        assert_eq!(code, 0);
        let denied = if version == Version::V5 { 0x87 } else { 0x80 };
        assert_eq!(alice.subscribe("in/+", QoS::AtMostOnce), [0]);
        assert_eq!(alice.subscribe("#", QoS::AtMostOnce), [denied]);
        // [MQTT-3.3.5-2]: 3.1.1 cannot be told.
        alice.publish("out/a", QoS::AtLeastOnce, 1, b"x");
        alice.receive(|p| assert_eq!(p, Packet::PubAck(ack(1))));
        for (qos, n) in [(QoS::AtLeastOnce, 2), (QoS::ExactlyOnce, 3)] {
            alice.publish("in/a", qos, n, b"x");
            let reason = alice.receive(|p| match p {
                Packet::PubAck(a) | Packet::PubRec(a) if a.packet_id.get() == n => a.reason,
                other => panic!("{other:?}"),
            });
            assert_eq!(reason, if version == Version::V5 { 0x87 } else { 0 });
        }
        alice.ping(); // and nothing came to in/+
    }
}

/// A session is its user's: nobody else takes it over, reads on in it, or ends it by a clean start (5.0, section 5.4.2), also
/// after the broker's end.
#[test]
fn a_session_is_its_users_alone() {
    let (alice, bob) = (Some(("alice", "a")), Some(("bob", "b")));
    for (version, refused) in [(Version::V311, 2), (Version::V5, 0x85)] {
        let folder = Scratch::new();
        let users = folder.file("users", &(hashed("alice", "a") + &hashed("bob", "b"))).display().to_string();
        let store = folder.0.join("store").display().to_string();
        let start = || Process::start(&["--users", &users, "--store", &store]);
        let broker = start();
        let (mut hers, code) = connect(&broker, version, alice, false);
        assert_eq!(code, 0);
        assert_eq!(hers.subscribe("t", QoS::AtLeastOnce), [1]);
        for clean in [false, true] {
            let (mut his, code) = connect(&broker, version, bob, clean);
            assert!(code == refused && his.is_closed(), "{code:#04x}"); // [MQTT-3.1.3-8]
            hers.ping();
        }
        drop(hers);
        broker.kill();
        let broker = start();
        assert_eq!(connect(&broker, version, bob, true).1, refused);
        let (hers, code) = connect(&broker, version, alice, false);
        assert!(code == 0 && hers.session_present, "{code:#04x}");
        // Once it has ended, the identifier is anybody's.
        let (mut hers, _) = connect(&broker, version, alice, true);
        hers.send(&Packet::Disconnect(Default::default()));
        assert!(hers.is_closed());
        let (his, code) = connect(&broker, version, bob, false);
        assert!(code == 0 && !his.session_present, "{code:#04x}");
    }
}

#[test]
fn mistakes_in_files_are_all_told() {
    let folder = Scratch::new();
    let users = folder.file("users", "alice\n\nbob").display().to_string();
    let rules = folder.file("rules", "topic read a/#/b").display().to_string();
    let out = squall().args(["broker", "--users", &users, "--rules", &rules]).output().expect("it runs");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3), "{text}");
    for place in ["users, line 1", "users, line 3", "rules, line 1"] {
        assert!(text.contains(place), "{text}");
    }
}

#[test]
fn the_sys_tree_is_told_and_nobody_elses() {
    let broker = Process::start(&["--sys", "600"]);
    let mut all = Raw::v311(broker.addr, "all", true);
    all.subscribe("#", QoS::AtMostOnce);
    let mut sys = Raw::v5(broker.addr, "sys");
    sys.subscribe("$SYS/#", QoS::AtMostOnce);
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < 13 {
        let (topic, value) = sys.receive(|p| match p {
            Packet::Publish(p) => (p.topic.to_owned(), String::from_utf8_lossy(p.payload).into_owned()),
            other => panic!("{other:?}"),
        });
        seen.insert(topic, value);
    }
    assert!(seen["$SYS/broker/uptime"].ends_with(" seconds") && seen["$SYS/broker/version"].starts_with("squall "));
    assert!(seen["$SYS/broker/bytes/received"].parse::<u64>().is_ok());
    sys.publish("$SYS/broker/uptime", QoS::AtLeastOnce, 1, b"for ever");
    sys.receive(|p| assert!(matches!(p, Packet::PubAck(a) if a.reason == 0x87), "{p:?}"));
    all.ping(); // [MQTT-4.7.2-1]
}
