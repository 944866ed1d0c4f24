//! CONNECT that is accepted, and what CONNACK must say.

use super::super::bench::Bench;
use super::super::case::{Case, Done, broken, ensure, not_applicable};
use super::{Q0, Q1, at};
use crate::mqtt::Version;
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::Property;
use crate::peer::message::Message;
use crate::peer::{Got, Received};
use crate::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("connect-comes-first", "A connection whose first packet is not CONNECT is closed.", not_first)
            .both("3.1.0-1"),
        Case::new("connect-twice", "A second CONNECT on a connection ends it.", twice).both("3.1.0-2"),
        Case::new(
            "connack-comes-first",
            "An accepted CONNECT is answered by one CONNACK with code 0 and clean flags, before anything else.",
            accepted,
        )
        .v311("3.1.4-4 3.2.0-1")
        .v5("3.1.4-5 3.2.0-1 3.2.0-2 3.2.2-1 3.2.2-8 2.2.2-1"),
        Case::new(
            "connack-before-queued",
            "What waits for a returning client comes after its CONNACK.",
            connack_before_queued,
        )
        .both("3.2.0-1"),
        Case::new("client-id-characters", "Client identifiers of 1 to 23 letters and digits are accepted.", letters)
            .both("3.1.3-5"),
        Case::new("client-id-assigned", "A client that names no identifier gets one that is its own.", assigned)
            .v311("3.1.3-6")
            .v5("3.1.3-6 3.1.3-7 3.2.2-16"),
        Case::new(
            "connect-all-fields",
            "Identifier, will, user name and password are read in their order.",
            all_fields,
        )
        .v311("3.1.3-1 3.1.2-19 3.1.2-21 3.1.2-9")
        .v5("3.1.3-1 3.1.2-17 3.1.2-19 3.1.2-9"),
        Case::new("take-over", "A second connection of the same client ends the first.", take_over)
            .v311("3.1.4-2")
            .v5("3.1.4-3"),
        Case::new("keep-alive-ends", "A client silent for one and a half times its keep alive is cut off.", keep_alive)
            .v311("3.1.2-24")
            .v5("3.1.2-22 3.2.2-22"),
        Case::new("keep-alive-will", "A client cut off for its silence has its will published.", keep_alive_will)
            .v311("3.1.2-24 3.1.2-8")
            .v5("3.1.2-22 3.1.2-8"),
        Case::new("keep-alive-pings", "A client that pings within its keep alive stays.", keep_alive_pings)
            .v311("3.12.4-1 3.1.2-24")
            .v5("3.12.4-1 3.1.2-22"),
        Case::new("ping", "PINGREQ is answered by PINGRESP.", ping).both("3.12.4-1"),
        Case::new("plain-service", "A client is served without any extension, over an ordered stream of bytes.", plain)
            .v311("7.0.0-2 7.1.1-1")
            .v5("4.2-1"),
        Case::new("byte-by-byte", "Packets may come in any pieces of the stream.", byte_by_byte)
            .v311("7.1.1-1")
            .v5("4.2-1"),
        Case::new(
            "response-information",
            "Response information is only given to who asked for it.",
            response_information,
        )
        .v5("3.1.2-28"),
    ]
}

fn not_first(b: &Bench) -> Done {
    let topic = b.topic("t");
    let packets: [(&[u8], &str); 3] =
        [(&[0xC0, 0], "PINGREQ"), (&[0xE0, 0], "DISCONNECT"), (&[0x40, 2, 0, 1], "PUBACK id 1")];
    for (bytes, about) in packets {
        let mut peer = b.raw("stranger")?;
        peer.send_raw(bytes, about);
        let answers = peer.closed()?;
        ensure!(answers.is_empty(), "a connection without CONNECT was answered: {answers:?}");
    }
    let mut peer = b.raw("stranger")?;
    peer.send(&Message::new(&topic, Q0, "x").packet());
    peer.closed()?;
    Ok(())
}

fn twice(b: &Bench) -> Done {
    let hello = b.hello("twice");
    let (mut peer, _) = b.enter("twice", &hello)?;
    peer.send(&hello.packet());
    let answers = peer.closed()?;
    only_a_disconnect(&answers)
}

/// Before the end, 5.0 may have sent one DISCONNECT that says an error, and nothing else.
pub(super) fn only_a_disconnect(answers: &[Received]) -> Done {
    match answers.iter().map(Received::packet).collect::<Vec<_>>()[..] {
        [] => Ok(()),
        [Packet::Disconnect(r)] if r.reason >= 0x80 => Ok(()),
        _ => broken(format!("before it closed, the broker sent {answers:?}")),
    }
}

fn accepted(b: &Bench) -> Done {
    let (mut peer, connack) = b.enter("accepted", &b.hello("accepted"))?;
    let flags_at = 2;
    ensure!(connack.bytes[flags_at] & 0xFE == 0, "reserved flags of CONNACK are set: {:#04x}", connack.bytes[flags_at]);
    peer.subscribe(&b.topic("t"), at(Q0))?;
    b.publish_by(&mut peer, &Message::new(&b.topic("t"), Q0, "x"))?;
    peer.message()?;
    // A second CONNACK would surprise here.
    b.calm(&mut peer)
}

fn connack_before_queued(b: &Bench) -> Done {
    let hello = b.hello("away").lasting(60);
    let (mut peer, _) = b.enter("away", &hello)?;
    peer.subscribe(&b.topic("t"), at(Q1))?;
    peer.disconnect();
    for n in 0..3 {
        b.publish(&Message::new(&b.topic("t"), Q1, format!("{n}")))?;
    }
    let mut peer = b.raw("away")?;
    peer.send(&hello.packet());
    match peer.next(b.site.patience) {
        Got::Packet(r) if matches!(r.packet(), Packet::ConnAck(a) if a.reason == 0) => Ok(()),
        got => broken(format!("the first answer to CONNECT is {got}")),
    }
}

fn letters(b: &Bench) -> Done {
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut ids: Vec<String> = [&all[..23], &all[23..46], &all[39..]].iter().map(|s| (*s).to_owned()).collect();
    // One character each, not the same in both versions, since they run at once.
    ids.push(if b.v5() { "v" } else { "u" }.to_owned());
    for id in ids {
        let mut hello = b.hello("letters");
        hello.client_id = if b.v5() { id.chars().rev().collect() } else { id };
        b.enter("letters", &hello)?.0.disconnect();
    }
    Ok(())
}

fn assigned(b: &Bench) -> Done {
    let mut hello = b.hello("nameless");
    hello.client_id = String::new();
    let (mut one, first) = b.ask("one", &hello)?;
    if let Packet::ConnAck(ack) = first.packet()
        && ack.reason != 0
    {
        one.closed()?;
        return not_applicable(format!(
            "it takes no client without an identifier (code {:#04x}), as it may",
            ack.reason
        ));
    }
    let (mut two, second) = b.enter("two", &hello)?;
    if b.v5() {
        let name = |r: &Received| match r.packet() {
            Packet::ConnAck(a) => a.properties.find(|p| match p {
                Property::AssignedClientIdentifier(id) => Some(id.to_owned()),
                _ => None,
            }),
            _ => None,
        };
        let (a, b) = (name(&first), name(&second));
        ensure!(a.is_some() && b.is_some(), "no Assigned Client Identifier in CONNACK");
        ensure!(a != b, "two clients were given the same identifier, {a:?}");
    }
    // The second did not take the first one's place, and both are served.
    one.ping()?;
    two.subscribe(&b.topic("t"), at(Q0))?;
    b.publish_by(&mut one, &Message::new(&b.topic("t"), Q0, "x"))?;
    two.message()?;
    Ok(())
}

fn all_fields(b: &Bench) -> Done {
    let will = b.topic("will");
    let mut watcher = b.subscriber("watcher", &will, at(Q0))?;
    let mut hello = b.hello("full").will(&will, "the will", Q0, false);
    if hello.user.is_none() {
        hello.user = Some("anyone".into());
        hello.password = Some(b"anything".to_vec());
    }
    let (mut peer, answer) = b.ask("full", &hello)?;
    if let Packet::ConnAck(ack) = answer.packet()
        && ack.reason != 0
    {
        peer.closed()?;
        return not_applicable(format!("it knows no such user (code {:#04x})", ack.reason));
    }
    peer.cut();
    let message = watcher.message()?;
    ensure!(message.text() == "the will", "the will's payload is {:?}", message.text());
    Ok(())
}

fn take_over(b: &Bench) -> Done {
    let hello = b.hello("same");
    let (mut old, _) = b.enter("old", &hello)?;
    let (mut new, _) = b.enter("new", &hello)?;
    let answers = old.closed()?;
    for answer in &answers {
        let legal = matches!(answer.packet(), Packet::Disconnect(r) if r.reason == 0x8E);
        ensure!(legal, "to the client whose place was taken, the broker said {answer:?}");
    }
    Ok(new.ping()?)
}

/// What coarse timers may add to a keep alive (mosquitto 2.0 looks every five seconds), and this machine: *assumed*.
const TOLERANCE: Duration = Duration::from_secs(7);

fn keep_alive(b: &Bench) -> Done {
    let (mut peer, connack) = b.enter("silent", &b.hello("silent").keep_alive(2))?;
    let own = match connack.packet() {
        Packet::ConnAck(a) => a.properties.find(|p| if let Property::ServerKeepAlive(s) = p { Some(s) } else { None }),
        _ => None,
    };
    if let Some(seconds) = own.filter(|s| *s > 10) {
        return not_applicable(format!("it wants a keep alive of {seconds} s, too long to wait for"));
    }
    let limit = Duration::from_millis(u64::from(own.unwrap_or(2)) * 1500);
    let answers = peer.closed_within(limit + TOLERANCE)?;
    let codes_fit = answers.iter().all(|a| matches!(a.packet(), Packet::Disconnect(r) if r.reason == 0x8D));
    ensure!(codes_fit, "before it closed, the broker sent {answers:?}");
    Ok(())
}

fn keep_alive_will(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    watcher.patience = Duration::from_millis(1500) + TOLERANCE;
    let hello = b.hello("silent").keep_alive(1).will(&topic, "gone", Q0, false);
    let (_peer, _) = b.enter("silent", &hello)?;
    watcher.message()?;
    Ok(())
}

fn keep_alive_pings(b: &Bench) -> Done {
    let (mut peer, _) = b.enter("alive", &b.hello("alive").keep_alive(1))?;
    for _ in 0..6 {
        match peer.next(Duration::from_millis(500)) {
            Got::Silence => peer.ping()?,
            got => return broken(format!("although the client pings, there came {got}")),
        }
    }
    Ok(())
}

fn ping(b: &Bench) -> Done {
    let mut peer = b.client("ping")?;
    for _ in 0..3 {
        peer.ping()?;
    }
    Ok(())
}

fn plain(b: &Bench) -> Done {
    let mut hello = b.hello("plain");
    hello.properties = Default::default();
    let (mut peer, _) = b.enter("plain", &hello)?;
    peer.subscribe(&b.topic("t"), at(Q0))?;
    b.publish_by(&mut peer, &Message::new(&b.topic("t"), Q0, "x"))?;
    peer.message()?;
    Ok(())
}

fn byte_by_byte(b: &Bench) -> Done {
    let mut peer = b.raw("slow")?;
    let mut bytes = b.hello("slow").bytes();
    bytes.extend_from_slice(&[0xC0, 0, 0xC0, 0]);
    let (last, first) = bytes.split_last().expect("it is long");
    for byte in first {
        peer.send_raw(&[*byte], "a byte of CONNECT and two PINGREQ");
    }
    peer.expect("CONNACK", |p| matches!(p, Packet::ConnAck(a) if a.reason == 0))?;
    peer.expect("PINGRESP", |p| matches!(p, Packet::PingResp))?;
    peer.send_raw(&[*last], "the last byte");
    peer.expect("PINGRESP", |p| matches!(p, Packet::PingResp))?;
    Ok(())
}

fn response_information(b: &Bench) -> Done {
    debug_assert_eq!(b.version, Version::V5);
    for hello in [b.hello("quiet"), b.hello("quiet").with(Property::RequestResponseInformation(0))] {
        let (peer, connack) = b.enter("quiet", &hello)?;
        let Packet::ConnAck(ack) = connack.packet() else { unreachable!("it was expected") };
        let given = ack.properties.find(|p| matches!(p, Property::ResponseInformation(_)).then_some(()));
        ensure!(given.is_none(), "it gives response information to a client that did not ask for it");
        peer.disconnect();
    }
    Ok(())
}
