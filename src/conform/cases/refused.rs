//! CONNECT that must be refused, or may be: what must follow then.

use super::super::bench::Bench;
use super::super::case::{Case, Done, broken, ensure, not_applicable};
use super::raw::RawConnect;
use super::{Q0, Q1, Q2, at};
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::Property;
use crate::mqtt::{PacketId, QoS};
use crate::peer::hello::Hello;
use crate::peer::message::Message;
use crate::peer::{Got, Received};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("unknown-level", "An unknown protocol level is refused, and the connection closed.", unknown_level)
            .both("3.1.2-2"),
        Case::new("unknown-protocol", "A CONNECT of another protocol is not accepted as MQTT.", unknown_protocol)
            .both("3.1.2-1"),
        Case::new(
            "empty-id-lasting",
            "A client without an identifier that wants a lasting session is refused with code 2, and cut off.",
            empty_id_lasting,
        )
        .v311("3.1.3-7 3.1.3-8 3.1.3-9 3.2.2-4 3.2.2-5"),
        Case::new(
            "refusal-closes",
            "After a CONNACK that refuses comes the end of the connection, and it never says Session Present.",
            refusal_closes,
        )
        .v5("3.2.2-6 3.2.2-7 3.1.4-2 4.13.2-1"),
        Case::new(
            "unknown-authentication",
            "An authentication method that the broker does not know is refused, and the connection closed.",
            unknown_method,
        )
        .v5("4.12.0-1"),
        Case::new("refused-is-not-served", "What a client sends after a refused CONNECT is ignored.", not_served)
            .v311("3.1.4-5")
            .v5("3.1.4-6"),
        Case::new("no-disconnect-before-connack", "There is no DISCONNECT before an accepting CONNACK.", no_disconnect)
            .v5("3.14.0-1"),
        Case::new("rejected-identifier", "A client whose identifier is rejected is cut off.", rejected_id)
            .v5("3.1.3-8"),
        Case::new("wrong-password", "A client that fails authentication is cut off.", wrong_password).v5("3.1.4-2"),
        Case::new("no-auth-unasked", "A client that names no authentication method hears none.", no_auth)
            .v5("4.12.0-6"),
        Case::new("auth-without-method", "AUTH from a client that named no method ends the connection.", stray_auth)
            .v5("4.12.0-7 4.13.1-1"),
        Case::new(
            "maximum-qos-said",
            "A broker without QoS 1 or 2 says so, and still takes subscriptions.",
            maximum_qos,
        )
        .v5("3.2.2-9 3.2.2-10"),
        Case::new(
            "maximum-qos-exceeded",
            "A message above the broker's highest QoS ends the connection.",
            above_maximum,
        )
        .v5("3.2.2-11"),
        Case::new("will-qos-too-high", "A will above the broker's highest QoS is refused.", will_qos).v5("3.2.2-12"),
        Case::new("will-retain-refused", "A retained will is refused where nothing is retained.", will_retain)
            .v5("3.2.2-13"),
        Case::new(
            "retain-refused",
            "A retained message ends the connection where nothing is retained.",
            retain_refused,
        )
        .v5("3.2.2-14"),
    ]
}

fn unknown_level(b: &Bench) -> Done {
    let mut peer = b.raw("future")?;
    peer.send_raw(&RawConnect { level: 99, ..RawConnect::new(b, "future") }.bytes(), "CONNECT, protocol level 99");
    // The answer may be in the format of any version that the broker speaks.
    let first = peer.next(b.site.patience);
    let code = match &first {
        Got::Packet(r) => r.bytes.get(3).copied(),
        Got::Malformed(_, bytes) if bytes.first() == Some(&0x20) => bytes.get(3).copied(),
        Got::Closed => None,
        got => return broken(format!("a CONNECT of protocol level 99 was answered by {got}")),
    };
    if b.v5() {
        ensure!(code != Some(0), "protocol level 99 was accepted");
    } else {
        ensure!(matches!(code, Some(1 | 0x84)), "no CONNACK with code 1 (or 0x84) to protocol level 99, but {first}");
    }
    if first != Got::Closed && !matches!(first, Got::Malformed(..)) {
        peer.closed()?;
    }
    Ok(())
}

fn unknown_protocol(b: &Bench) -> Done {
    let mut peer = b.raw("other")?;
    peer.send_raw(&RawConnect { name: "MQTX", ..RawConnect::new(b, "other") }.bytes(), "CONNECT, protocol name MQTX");
    match peer.next(b.site.patience) {
        Got::Closed => Ok(()),
        Got::Packet(r) if matches!(r.packet(), Packet::ConnAck(a) if a.reason != 0) => {
            peer.closed()?;
            Ok(())
        }
        // A refusal in the words of another version.
        Got::Malformed(_, bytes) if bytes.first() == Some(&0x20) && bytes.get(3).is_some_and(|code| *code != 0) => {
            Ok(())
        }
        got => broken(format!("a CONNECT of protocol MQTX was answered by {got}")),
    }
}

fn empty_id_lasting(b: &Bench) -> Done {
    let mut hello = b.hello("nameless").clean(false);
    hello.client_id = String::new();
    let (mut peer, answer) = b.ask("nameless", &hello)?;
    let Packet::ConnAck(ack) = answer.packet() else { unreachable!("it was expected") };
    ensure!(ack.reason == 2, "the return code is {}", ack.reason);
    ensure!(answer.bytes[2] == 0, "Session Present in a refusal");
    let rest = peer.closed()?;
    ensure!(rest.is_empty(), "after the refusal came {rest:?}");
    Ok(())
}

/// A CONNECT with an authentication method that nobody has.
fn with_method(b: &Bench, name: &str) -> Hello {
    b.hello(name).with(Property::AuthenticationMethod("squall-has-no-such-method"))
}

fn refusal_closes(b: &Bench) -> Done {
    // A session that could be present.
    b.enter("refused", &b.hello("refused").lasting(60))?.0.disconnect();
    let (mut peer, answer) = b.ask("refused", &with_method(b, "refused").lasting(60))?;
    let Packet::ConnAck(ack) = answer.packet() else { unreachable!("it was expected") };
    if ack.reason == 0 {
        return not_applicable("it accepts the authentication method that was to be refused");
    }
    ensure!(!ack.session_present && answer.bytes[2] == 0, "Session Present in a refusal");
    peer.closed()?;
    Ok(())
}

fn unknown_method(b: &Bench) -> Done {
    let mut peer = b.raw("method")?;
    peer.send(&with_method(b, "method").packet());
    match peer.next(b.site.patience) {
        Got::Closed => Ok(()),
        Got::Packet(r) if matches!(r.packet(), Packet::ConnAck(a) if a.reason >= 0x80) => {
            peer.closed()?;
            Ok(())
        }
        got => broken(format!("an unknown authentication method was answered by {got}")),
    }
}

fn not_served(b: &Bench) -> Done {
    let topic = b.topic("t");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let hello = if b.v5() {
        with_method(b, "refused")
    } else {
        let mut hello = b.hello("refused").clean(false);
        hello.client_id = String::new();
        hello
    };
    let mut peer = b.raw("refused")?;
    let mut bytes = hello.bytes();
    crate::mqtt::codec::encode(&Message::new(&topic, Q0, "x").packet(), b.version, &mut bytes);
    peer.send_raw(&bytes, "CONNECT that must be refused, and a PUBLISH right behind it");
    let answers = peer.closed()?;
    let accepted = |r: &Received| matches!(r.packet(), Packet::ConnAck(a) if a.reason == 0);
    ensure!(!answers.iter().any(accepted), "the CONNECT was accepted");
    b.calm(&mut watcher)
}

fn no_disconnect(b: &Bench) -> Done {
    let shapes = [
        RawConnect { flags: 0x03, ..RawConnect::new(b, "a") },
        RawConnect { properties: Some(vec![0x21, 0, 0]), ..RawConnect::new(b, "b") },
        RawConnect { payload: Vec::new(), ..RawConnect::new(b, "c") },
    ];
    for shape in shapes {
        let mut peer = b.raw("wrong")?;
        peer.send_raw(&shape.bytes(), "a CONNECT that must be refused");
        let answers = peer.closed()?;
        let disconnect = answers.iter().any(|a| matches!(a.packet(), Packet::Disconnect(_)));
        ensure!(!disconnect, "DISCONNECT without an accepting CONNACK: {answers:?}");
    }
    Ok(())
}

fn rejected_id(b: &Bench) -> Done {
    for id in [String::new(), "x".repeat(65_535), "$squall/#/+".to_owned()] {
        let mut hello = b.hello("rejected");
        hello.client_id = id;
        let mut peer = b.raw("rejected")?;
        peer.send(&hello.packet());
        match peer.next(b.site.patience) {
            Got::Closed => return Ok(()),
            Got::Packet(r) if matches!(r.packet(), Packet::ConnAck(a) if a.reason >= 0x80) => {
                peer.closed()?;
                return Ok(());
            }
            Got::Packet(r) if matches!(r.packet(), Packet::ConnAck(_)) => peer.disconnect(),
            got => return broken(format!("CONNECT was answered by {got}")),
        }
    }
    not_applicable("it accepts every identifier that was tried: none, 65,535 characters, wildcards")
}

fn wrong_password(b: &Bench) -> Done {
    let mut hello = b.hello("intruder");
    hello.user = Some(hello.user.unwrap_or_else(|| "nobody".into()));
    hello.password = Some(b"squall-wrong-password".to_vec());
    let (mut peer, answer) = b.ask("intruder", &hello)?;
    if matches!(answer.packet(), Packet::ConnAck(a) if a.reason == 0) {
        return not_applicable("it takes any user and password");
    }
    peer.closed()?;
    Ok(())
}

fn no_auth(b: &Bench) -> Done {
    let (mut peer, answer) = b.enter("plain", &b.hello("plain"))?;
    let Packet::ConnAck(ack) = answer.packet() else { unreachable!("it was expected") };
    ensure!(
        ack.properties.authentication_method().is_none(),
        "CONNACK names an authentication method that the client did not"
    );
    // An AUTH would surprise here.
    b.calm(&mut peer)
}

fn stray_auth(b: &Bench) -> Done {
    let mut peer = b.client("stray")?;
    peer.send_raw(&[0xF0, 2, 0x19, 0], "AUTH, re-authenticate");
    super::connect::only_a_disconnect(&peer.closed()?)
}

fn maximum_qos(b: &Bench) -> Done {
    if b.can.maximum_qos == Q2 {
        return not_applicable("it has QoS 1 and 2");
    }
    let mut peer = b.client("asker")?;
    for qos in [Q0, Q1, Q2] {
        let granted = peer.subscribe(&b.topic("t"), at(qos))?;
        ensure!(granted <= b.can.maximum_qos, "QoS {} granted, above its maximum", granted as u8);
    }
    // What it says must be true: a message at its maximum is taken.
    b.publish_by(&mut peer, &Message::new(&b.topic("t"), b.can.maximum_qos, "x"))?;
    peer.message()?;
    Ok(())
}

/// The QoS above the broker's maximum.
fn too_high(b: &Bench) -> Result<QoS, super::super::case::Stop> {
    match QoS::from_u8(b.can.maximum_qos as u8 + 1) {
        Some(qos) => Ok(qos),
        None => not_applicable("it has QoS 2, and there is nothing above"),
    }
}

fn above_maximum(b: &Bench) -> Done {
    let qos = too_high(b)?;
    let mut peer = b.client("high")?;
    peer.send(&Message::new(&b.topic("t"), qos, "x").id(PacketId::MIN).packet());
    super::connect::only_a_disconnect(&peer.closed()?)
}

fn must_refuse(b: &Bench, hello: &Hello) -> Done {
    let mut peer = b.raw("refused")?;
    peer.send(&hello.packet());
    let answers = peer.closed()?;
    let accepted = answers.iter().any(|a| matches!(a.packet(), Packet::ConnAck(a) if a.reason == 0));
    ensure!(!accepted, "the CONNECT was accepted");
    Ok(())
}

fn will_qos(b: &Bench) -> Done {
    let qos = too_high(b)?;
    must_refuse(b, &b.hello("will").will(&b.topic("w"), "x", qos, false))
}

fn will_retain(b: &Bench) -> Done {
    if b.can.retain {
        return not_applicable("it retains messages");
    }
    must_refuse(b, &b.hello("will").will(&b.topic("w"), "x", Q0, true))
}

fn retain_refused(b: &Bench) -> Done {
    if b.can.retain {
        return not_applicable("it retains messages");
    }
    let mut peer = b.client("retain")?;
    peer.send(&Message::new(&b.topic("t"), Q0, "x").retained().packet());
    super::connect::only_a_disconnect(&peer.closed()?)
}
