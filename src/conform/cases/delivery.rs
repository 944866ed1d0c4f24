//! Messages to a client: the broker as sender, over reconnects too.

use super::super::bench::Bench;
use super::super::case::{Case, Done, broken, ensure};
use super::{Q1, Q2, at};
use crate::mqtt::packet::{Ack, Packet};
use crate::mqtt::properties::Properties;
use crate::mqtt::{PacketId, QoS};
use crate::peer::message::Message;
use crate::peer::{Got, Peer};
use crate::time::Duration;
use std::collections::BTreeSet;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("delivery-qos1", "A first delivery at QoS 1 has an identifier and no DUP.", |b| first(b, Q1))
            .v311("4.3.2-1 2.3.1-1 2.3.1-4 3.3.1-1")
            .v5("4.3.2-1 4.3.2-2 2.2.1-4 3.3.1-1"),
        Case::new(
            "delivery-qos2",
            "A first delivery at QoS 2 has an identifier, no DUP, and PUBREL after PUBREC.",
            |b| first(b, Q2),
        )
        .v311("4.3.3-1 2.3.1-1 2.3.1-4 2.3.1-6 3.6.1-1")
        .v5("4.3.3-1 4.3.3-2 4.3.3-4 2.2.1-4 2.2.1-5 3.6.1-1 3.6.2-1"),
        Case::new("delivery-identifiers", "Messages in flight have identifiers of their own.", identifiers)
            .v311("2.3.1-4 4.3.2-1")
            .v5("2.2.1-4 4.3.2-1"),
        Case::new(
            "resend-qos1",
            "An unacknowledged QoS 1 message is sent again after a reconnect: same identifier, DUP.",
            |b| resend(b, Q1),
        )
        .v311("4.4.0-1 4.3.2-1 3.3.1-1 2.3.1-4")
        .v5("4.4.0-1 4.3.2-3 3.3.1-1"),
        Case::new(
            "resend-qos2",
            "An unacknowledged QoS 2 message is sent again after a reconnect: same identifier, DUP.",
            |b| resend(b, Q2),
        )
        .v311("4.4.0-1 4.3.3-1 3.3.1-1 2.3.1-4")
        .v5("4.4.0-1 4.3.3-3 3.3.1-1"),
        Case::new(
            "resend-pubrel",
            "An unanswered PUBREL is sent again after a reconnect, and never the PUBLISH.",
            pubrel,
        )
        .v311("4.4.0-1 4.3.3-1")
        .v5("4.4.0-1 4.3.3-5 4.3.3-6"),
        Case::new("resend-order", "What is sent again comes in its original order.", resend_order)
            .v311("4.6.0-1 4.6.0-6"),
        Case::new("pubrel-order", "PUBRELs come in the order of the PUBRECs that they answer.", pubrel_order)
            .v311("4.6.0-4 4.6.0-6"),
        Case::new(
            "acknowledged-not-resent",
            "What was acknowledged is not sent again after a reconnect.",
            acknowledged,
        )
        .v311("4.3.2-1 4.3.3-1")
        .v5("4.3.2-3 4.3.3-5"),
        Case::new("no-resend-within-connection", "Nothing is sent again while the connection lasts.", no_resend)
            .v5("4.4.0-1"),
        Case::new("refused-not-resent", "A message that the client refused is not sent again.", refused).v5("4.4.0-2"),
        Case::new(
            "unknown-pubrec",
            "PUBREC of an unknown identifier is answered by PUBREL, or the connection ends.",
            unknown,
        )
        .v5("3.6.2-1"),
        Case::new("delivery-once", "A QoS 2 message comes once, also when its client leaves in the middle.", once)
            .v311("4.3.3-1 4.3.3-2")
            .v5("4.3.3-4 4.3.3-10"),
    ]
}

fn send_one(b: &Bench, qos: QoS, payload: &str) -> Done {
    b.publish(&Message::new(&b.topic("t"), qos, payload))
}

fn first(b: &Bench, qos: QoS) -> Done {
    b.needs_qos(qos)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(qos))?;
    send_one(b, qos, "x")?;
    let m = sub.incoming()?;
    ensure!(!m.dup && m.qos == qos && m.packet_id.is_some(), "it came as {m:?}");
    // The codec checks that PUBREL has the flags and a reason code that it must have.
    sub.acknowledge(&m)?;
    b.calm(&mut sub)
}

fn identifiers(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(b.can.maximum_qos))?;
    let mut pub_ = b.client("pub")?;
    let mut used = BTreeSet::new();
    let mut messages = Vec::new();
    // Two QoS 1 and two QoS 2, none of them acknowledged.
    for qos in [Q1, Q1, b.can.maximum_qos, b.can.maximum_qos] {
        b.publish_by(&mut pub_, &Message::new(&b.topic("t"), qos, "x"))?;
        let m = sub.incoming()?;
        ensure!(used.insert(m.packet_id), "identifier {:?} is given to two messages in flight", m.packet_id);
        messages.push(m);
    }
    for m in &messages {
        sub.acknowledge(m)?;
    }
    Ok(())
}

/// A lasting subscriber that a message has reached, not acknowledged.
fn reached(b: &Bench, qos: QoS) -> Result<(Peer, Message), super::super::case::Stop> {
    b.needs_qos(qos)?;
    let (mut sub, _) = b.enter("sub", &b.hello("sub").lasting(60))?;
    sub.subscribe(&b.topic("t"), at(qos))?;
    send_one(b, qos, "x")?;
    let m = sub.incoming()?;
    Ok((sub, m))
}

/// The subscriber's next connection.
fn again(b: &Bench) -> Result<Peer, super::super::case::Stop> {
    let (sub, present) = b.enter_session("sub", &b.hello("sub").lasting(60))?;
    ensure!(present, "no Session Present, and there is a lasting session");
    Ok(sub)
}

fn resend(b: &Bench, qos: QoS) -> Done {
    let (sub, before) = reached(b, qos)?;
    sub.cut();
    for _ in 0..2 {
        let mut sub = again(b)?;
        let m = sub.incoming()?;
        ensure!(m.packet_id == before.packet_id, "the identifier was {:?}, and is {:?}", before.packet_id, m.packet_id);
        ensure!(m.dup, "DUP is 0 on a message that is sent again");
        ensure!(m.text() == "x" && m.qos == qos && m.topic == b.topic("t"), "it came as {m:?}");
        sub.cut();
    }
    let mut sub = again(b)?;
    sub.message()?;
    b.calm(&mut sub)
}

fn pubrel(b: &Bench) -> Done {
    let (mut sub, m) = reached(b, Q2)?;
    let id = m.packet_id.expect("it has QoS 2");
    sub.send(&Packet::PubRec(Ack::plain(id)));
    sub.pubrel(id)?;
    sub.cut();
    let mut sub = again(b)?;
    match sub.next(b.site.patience) {
        Got::Packet(r) if matches!(r.packet(), Packet::PubRel(a) if a.packet_id == id) => {}
        got => return broken(format!("the next connection brought {got}, and not the PUBREL of id {id}")),
    }
    sub.send(&Packet::PubComp(Ack::plain(id)));
    b.calm(&mut sub)
}

fn resend_order(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let (mut sub, _) = b.enter("sub", &b.hello("sub").lasting(60))?;
    sub.subscribe(&b.topic("t"), at(Q2))?;
    let all: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    for (n, text) in all.iter().enumerate() {
        send_one(b, if n % 2 == 0 { Q1 } else { b.can.maximum_qos }, text)?;
        sub.incoming()?;
    }
    sub.cut();
    let mut sub = again(b)?;
    let mut came = Vec::new();
    for _ in &all {
        came.push(sub.message()?.text());
    }
    ensure!(came == all, "they came again as {came:?}");
    Ok(())
}

fn pubrel_order(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    let mut ids = Vec::new();
    for n in 0..3 {
        send_one(b, Q2, &n.to_string())?;
        ids.push(sub.incoming()?.packet_id.expect("it has QoS 2"));
    }
    ids.rotate_left(1);
    for id in &ids {
        sub.send(&Packet::PubRec(Ack::plain(*id)));
    }
    for id in &ids {
        let received = sub.expect("PUBREL", |p| matches!(p, Packet::PubRel(_)))?;
        let right = matches!(received.packet(), Packet::PubRel(a) if a.packet_id == *id);
        ensure!(right, "after PUBRECs of {ids:?} came {received:?}, and not that of {id}");
    }
    for id in &ids {
        sub.send(&Packet::PubComp(Ack::plain(*id)));
    }
    b.calm(&mut sub)
}

fn acknowledged(b: &Bench) -> Done {
    let (mut sub, m) = reached(b, b.can.maximum_qos.max(Q1))?;
    sub.acknowledge(&m)?;
    sub.ping()?;
    sub.cut();
    let mut sub = again(b)?;
    b.calm(&mut sub)
}

fn no_resend(b: &Bench) -> Done {
    let (mut sub, m) = reached(b, Q1)?;
    sub.quiet = Duration::from_secs(3);
    sub.silence()?;
    Ok(sub.acknowledge(&m)?)
}

fn refused(b: &Bench) -> Done {
    for qos in [Q1, Q2].into_iter().filter(|q| *q <= b.can.maximum_qos) {
        let (mut sub, m) = reached(b, qos)?;
        let packet_id = m.packet_id.expect("it is above QoS 0");
        let no = Ack { packet_id, reason: 0x83, properties: Properties::EMPTY };
        sub.send(&if qos == Q1 { Packet::PubAck(no) } else { Packet::PubRec(no) });
        b.calm(&mut sub)?;
        sub.cut();
        let mut sub = again(b)?;
        b.calm(&mut sub)?;
        sub.disconnect();
    }
    Ok(())
}

fn unknown(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut peer = b.client("sub")?;
    let id = PacketId::new(99).expect("not zero");
    peer.send(&Packet::PubRec(Ack::plain(id)));
    match peer.next(b.site.patience) {
        Got::Packet(r) if matches!(r.packet(), Packet::PubRel(a) if a.packet_id == id && a.reason == 0x92) => Ok(()),
        Got::Packet(r) if matches!(r.packet(), Packet::PubRel(a) if a.packet_id == id) => Ok(()),
        Got::Packet(r) if matches!(r.packet(), Packet::Disconnect(d) if d.reason >= 0x80) => Ok(()),
        Got::Closed => Ok(()),
        got => broken(format!("PUBREC of an unknown identifier was answered by {got}")),
    }
}

fn once(b: &Bench) -> Done {
    let (mut sub, m) = reached(b, Q2)?;
    let id = m.packet_id.expect("it has QoS 2");
    // The connection breaks right after PUBREC: nobody knows whether it arrived.
    sub.send(&Packet::PubRec(Ack::plain(id)));
    sub.cut();
    let mut sub = again(b)?;
    match sub.next(b.site.patience) {
        Got::Packet(r) if matches!(r.packet(), Packet::PubRel(a) if a.packet_id == id) => {
            sub.send(&Packet::PubComp(Ack::plain(id)));
        }
        Got::Packet(r) if matches!(r.packet(), Packet::Publish(p) if p.packet_id == Some(id) && p.dup) => {
            sub.send(&Packet::PubRec(Ack::plain(id)));
            sub.pubrel(id)?;
            sub.send(&Packet::PubComp(Ack::plain(id)));
        }
        got => return broken(format!("the next connection brought {got}, and neither PUBREL nor the PUBLISH again")),
    }
    b.calm(&mut sub)
}
