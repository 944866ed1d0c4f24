//! The raw peer against the reference broker: packets, bytes, closing and silence, each told apart and written down.

mod support;

use squall::mqtt::packet::Packet;
use squall::mqtt::{QoS, Version};
use squall::peer::hello::Hello;
use squall::peer::message::Message;
use squall::peer::tape::{Direction, Tape};
use squall::peer::{Got, Peer, Site, at};
use squall::target::stream::Endpoint;
use std::sync::Arc;
use std::time::Duration;
use support::Broker;

fn site(broker: &Broker) -> Site {
    let mut site = Site::new(Arc::new(Endpoint::plain(broker.addr)), None);
    site.quiet = Duration::from_millis(50);
    site
}

#[test]
fn packets_both_ways_in_both_versions() {
    let broker = Broker::start(&[]);
    let site = site(&broker);
    for version in [Version::V311, Version::V5] {
        let tape = Tape::default();
        let hello = Hello::new(&site, version, "peer");
        let (mut peer, connack) = Peer::connect(&site, "both", &hello, &tape).expect("it answers");
        assert!(matches!(connack.packet(), Packet::ConnAck(a) if a.reason == 0));
        assert_eq!(peer.subscribe("t", at(QoS::ExactlyOnce)), Ok(QoS::ExactlyOnce));
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            peer.publish(&Message::new("t", qos, "x")).expect("acknowledged");
            let message = peer.message().expect("it comes back");
            assert_eq!((message.qos, message.text()), (qos, "x".to_owned()));
        }
        peer.silence().expect("nothing more");
        peer.disconnect();
        let written = tape.render();
        for wanted in ["-> CONNECT", "<- CONNACK", "-> PUBLISH QoS 2 id", "<- PUBCOMP", "<- PUBREL", "-> DISCONNECT"] {
            assert!(written.contains(wanted), "{wanted} in\n{written}");
        }
        assert!(tape.entries().iter().filter(|e| e.direction == Some(Direction::In)).all(|e| !e.bytes.is_empty()));
    }
}

#[test]
fn closing_silence_and_nobody_are_told_apart() {
    let broker = Broker::start(&[]);
    let site = site(&broker);
    let tape = Tape::default();
    let mut peer = Peer::open(&site, "p", Version::V311, &tape).expect("open");
    assert_eq!(peer.next(Duration::from_millis(30)), Got::Silence);
    peer.send_raw(&[0, 0], "no packet at all");
    assert_eq!(peer.closed(), Ok(Vec::new()));
    assert_eq!(peer.next(Duration::from_millis(30)), Got::Closed, "and it stays so");
    drop(broker);
    let hello = Hello::new(&site, Version::V5, "peer");
    let error = Peer::connect(&site, "p", &hello, &tape).expect_err("nobody is there");
    assert!(matches!(error.got, Got::Broken(_)), "{error}");
}

#[test]
fn what_is_malformed_is_shown_with_its_bytes() {
    let broker = Broker::start(&["--defect", "malformed:1"]);
    let tape = Tape::default();
    let site = site(&broker);
    let hello = Hello::new(&site, Version::V311, "peer");
    let (mut peer, _) = Peer::connect(&site, "p", &hello, &tape).expect("it answers");
    peer.publish(&Message::new("t", QoS::AtLeastOnce, "x")).expect("acknowledged");
    assert!(matches!(peer.next(Duration::from_secs(5)), Got::Malformed(_, bytes) if bytes[..] == [0x4F, 2, 0, 1]));
    assert!(tape.render().contains("MALFORMED"), "{}", tape.render());
}
