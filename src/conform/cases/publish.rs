//! Messages from a client: the broker's half of the hand-shakes.

use super::super::bench::Bench;
use super::super::case::{Case, Done, ensure, not_applicable};
use super::{ALL_QOS, Q0, Q1, Q2, at};
use crate::mqtt::PacketId;
use crate::mqtt::packet::{Ack, Packet};
use crate::peer::message::Message;
use crate::peer::{Got, Peer};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("qos0-through", "A QoS 0 message comes once, without DUP and without an answer.", qos0)
            .v311("4.3.1-1 3.3.1-2 2.3.1-5 3.3.4-1")
            .v5("4.3.1-1 3.3.1-2 2.2.1-2 3.3.4-1"),
        Case::new("qos1-answered", "A QoS 1 message is answered by PUBACK with its identifier, and delivered.", qos1)
            .v311("4.3.2-2 2.3.1-6 3.3.4-1 4.5.0-1")
            .v5("4.3.2-4 2.2.1-5 3.3.4-1 3.4.2-1 4.5.0-1"),
        Case::new(
            "qos1-identifier-again",
            "After PUBACK the same identifier is a new message, whatever DUP says.",
            qos1_again,
        )
        .v311("4.3.2-2")
        .v5("4.3.2-5"),
        Case::new(
            "qos2-answered",
            "A QoS 2 message is answered by PUBREC, its PUBREL by PUBCOMP, with its identifier.",
            qos2,
        )
        .v311("4.3.3-2 2.3.1-6 3.3.4-1 4.5.0-1")
        .v5("4.3.3-8 4.3.3-11 2.2.1-5 3.3.4-1 3.5.2-1 3.7.2-1 4.5.0-1"),
        Case::new(
            "qos2-repeated",
            "Until PUBREL, a repeated QoS 2 message gets PUBREC and is not delivered again.",
            qos2_repeated,
        )
        .v311("4.3.3-2")
        .v5("4.3.3-10"),
        Case::new(
            "qos2-repeated-after-reconnect",
            "A QoS 2 message repeated on the next connection of its session gets PUBREC and is not delivered again.",
            qos2_over_reconnect,
        )
        .v311("4.3.3-2 3.1.2-4")
        .v5("4.3.3-10 3.1.2-5"),
        Case::new("qos2-identifier-again", "After PUBCOMP the same identifier is a new message.", qos2_again)
            .v311("4.3.3-2")
            .v5("4.3.3-12"),
        Case::new(
            "qos2-unknown-release",
            "PUBREL of an unknown identifier is answered by PUBCOMP all the same.",
            unknown_release,
        )
        .v311("4.3.3-2")
        .v5("4.3.3-11 3.7.2-1"),
        Case::new(
            "qos2-release-after-reconnect",
            "PUBREL on the next connection of its session completes.",
            late_release,
        )
        .v311("4.3.3-2 4.1.0-1")
        .v5("4.3.3-11"),
        Case::new(
            "qos2-refused-identifier",
            "After a PUBREC that refuses, the same identifier is a new message.",
            refused_qos2,
        )
        .v5("4.3.3-9"),
        Case::new("dup-not-handed-on", "DUP of a publisher is not handed on.", dup).both("3.3.1-3"),
        Case::new("order", "Messages of a topic and QoS come in the order in which they were published.", order)
            .both("4.6.0-5 4.6.0-6"),
        Case::new(
            "order-with-filters",
            "Order holds for wildcard subscriptions, across topics of one publisher.",
            order_wild,
        )
        .both("4.6.0-5"),
        Case::new("many-identifiers", "Each acknowledgement has the identifier of its own message.", many)
            .v311("2.3.1-6 4.3.2-2")
            .v5("2.2.1-5 4.3.2-4"),
        Case::new(
            "not-authorised",
            "A message that a client may not publish is acknowledged, or ends the connection.",
            denied,
        )
        .v311("3.3.5-2"),
        Case::new("empty-payload", "A message may be empty.", empty).both("4.5.0-1"),
    ]
}

fn qos0(b: &Bench) -> Done {
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q0))?;
    let mut pub_ = b.client("pub")?;
    pub_.send(&Message::new(&b.topic("t"), Q0, "x").packet());
    let m = sub.message()?;
    ensure!(!m.dup && m.qos == Q0 && m.packet_id.is_none() && m.text() == "x", "it came as {m:?}");
    b.calm(&mut sub)?;
    b.calm(&mut pub_)
}

fn qos1(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q1))?;
    let mut pub_ = b.client("pub")?;
    let id = PacketId::new(4711).expect("not zero");
    b.publish_by(&mut pub_, &Message::new(&b.topic("t"), Q1, "x").id(id))?;
    ensure!(sub.message()?.text() == "x", "another payload came");
    b.calm(&mut pub_)?;
    b.calm(&mut sub)
}

fn qos1_again(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q1))?;
    let mut pub_ = b.client("pub")?;
    let message = Message::new(&b.topic("t"), Q1, "x").id(PacketId::MIN);
    b.publish_by(&mut pub_, &message)?;
    b.publish_by(&mut pub_, &message.clone().dup())?;
    sub.message()?;
    sub.message()?;
    Ok(())
}

fn qos2(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    let mut pub_ = b.client("pub")?;
    let id = PacketId::new(65_535).expect("not zero");
    b.publish_by(&mut pub_, &Message::new(&b.topic("t"), Q2, "x").id(id))?;
    ensure!(sub.message()?.text() == "x", "another payload came");
    b.calm(&mut pub_)?;
    b.calm(&mut sub)
}

/// Sends PUBREL and wants PUBCOMP.
fn release(peer: &mut Peer, id: PacketId) -> Result<u8, super::super::case::Stop> {
    peer.send(&Packet::PubRel(Ack::plain(id)));
    Ok(peer.pubcomp(id)?)
}

/// A QoS 2 PUBLISH, and its PUBREC.
fn begin(peer: &mut Peer, message: &Message) -> Done {
    peer.send(&message.packet());
    let code = peer.pubrec(message.packet_id.expect("it was given one"))?;
    if code >= 0x80 { not_applicable(format!("the broker refuses the message ({code:#04x})")) } else { Ok(()) }
}

fn qos2_repeated(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    let mut pub_ = b.client("pub")?;
    let message = Message::new(&b.topic("t"), Q2, "x").id(PacketId::MIN);
    begin(&mut pub_, &message)?;
    pub_.send(&message.clone().dup().packet());
    match pub_.next(b.site.patience) {
        Got::Packet(r) if matches!(r.packet(), Packet::PubRec(a) if a.packet_id == PacketId::MIN) => {}
        // 5.0 forbids a client to repeat within a connection [MQTT-4.4.0-1], and a broker may end it for that.
        Got::Packet(r) if b.v5() && matches!(r.packet(), Packet::Disconnect(d) if d.reason == 0x82) => {
            return not_applicable("it takes a repeat within a connection for an error, as it may");
        }
        Got::Closed if b.v5() => return not_applicable("it ends the connection for a repeat, as it may"),
        got => return super::super::case::broken(format!("the repeated PUBLISH was answered by {got}")),
    }
    release(&mut pub_, PacketId::MIN)?;
    sub.message()?;
    b.calm(&mut sub)
}

fn qos2_over_reconnect(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    let hello = b.hello("pub").lasting(60);
    let (mut pub_, _) = b.enter("pub", &hello)?;
    let message = Message::new(&b.topic("t"), Q2, "x").id(PacketId::MIN);
    begin(&mut pub_, &message)?;
    pub_.cut();
    let (mut pub_, present) = b.enter_session("pub", &hello)?;
    ensure!(present, "no Session Present, and there is a lasting session");
    begin(&mut pub_, &message.dup())?;
    release(&mut pub_, PacketId::MIN)?;
    sub.message()?;
    b.calm(&mut sub)
}

fn qos2_again(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    let mut pub_ = b.client("pub")?;
    let message = Message::new(&b.topic("t"), Q2, "x").id(PacketId::MIN);
    for _ in 0..2 {
        begin(&mut pub_, &message)?;
        release(&mut pub_, PacketId::MIN)?;
    }
    sub.message()?;
    sub.message()?;
    Ok(())
}

fn unknown_release(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut peer = b.client("pub")?;
    let code = release(&mut peer, PacketId::new(77).expect("not zero"))?;
    ensure!(matches!(code, 0 | 0x92), "PUBCOMP says {code:#04x}");
    Ok(peer.ping()?)
}

fn late_release(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    let hello = b.hello("pub").lasting(60);
    let (mut pub_, _) = b.enter("pub", &hello)?;
    begin(&mut pub_, &Message::new(&b.topic("t"), Q2, "x").id(PacketId::MIN))?;
    pub_.cut();
    let (mut pub_, _) = b.enter("pub", &hello)?;
    release(&mut pub_, PacketId::MIN)?;
    sub.message()?;
    b.calm(&mut sub)
}

/// A topic that brokers keep for themselves.
const RESERVED: &str = "$SYS/squall/conform";

fn refused_qos2(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    let mut pub_ = b.client("pub")?;
    let refused = Message::new(RESERVED, Q2, "x").id(PacketId::MIN);
    pub_.send(&refused.packet());
    match pub_.pubrec(PacketId::MIN) {
        Ok(code) if code >= 0x80 => {}
        _ => return not_applicable(format!("it does not refuse a message to {RESERVED:?} by PUBREC")),
    }
    let message = Message::new(&b.topic("t"), Q2, "new").id(PacketId::MIN);
    begin(&mut pub_, &message)?;
    release(&mut pub_, PacketId::MIN)?;
    ensure!(sub.message()?.text() == "new", "another payload came");
    Ok(())
}

fn dup(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    let mut pub_ = b.client("pub")?;
    for qos in [Q1, b.can.maximum_qos] {
        b.publish_by(&mut pub_, &Message::new(&b.topic("t"), qos, "x").dup())?;
        ensure!(!sub.message()?.dup, "the publisher's DUP was handed on at QoS {}", qos as u8);
    }
    Ok(())
}

/// Messages that are published one after the other without waiting, and all answers after them.
const MANY: usize = 20;

/// How many go unanswered at a time: the broker's Receive Maximum, and never more than all.
fn window(b: &Bench) -> usize {
    MANY.min(usize::from(b.can.receive_maximum))
}

fn order(b: &Bench) -> Done {
    for qos in ALL_QOS.into_iter().filter(|q| *q <= b.can.maximum_qos) {
        let topic = b.topic(&format!("t{}", qos as u8));
        let mut sub = b.subscriber("sub", &topic, at(qos))?;
        let mut pub_ = b.client("pub")?;
        let all: Vec<String> = (0..window(b)).map(|n| n.to_string()).collect();
        let topics: Vec<&str> = all.iter().map(|_| topic.as_str()).collect();
        burst(&mut pub_, qos, &topics)?;
        let mut came = Vec::new();
        for _ in &all {
            came.push(sub.message()?.text());
        }
        ensure!(came == all, "QoS {}: they came as {came:?}", qos as u8);
    }
    Ok(())
}

/// Publishes a message to each of the topics, numbered, without waiting; then completes the hand-shakes.
fn burst(peer: &mut Peer, qos: crate::mqtt::QoS, topics: &[&str]) -> Done {
    let mut ids = Vec::new();
    for (n, topic) in topics.iter().enumerate() {
        let id = peer.new_id();
        peer.send(&Message::new(topic, qos, n.to_string()).id(id).packet());
        ids.push(id);
    }
    for id in &ids {
        match qos {
            Q0 => {}
            Q1 => {
                peer.puback(*id)?;
            }
            Q2 => {
                peer.pubrec(*id)?;
            }
        }
    }
    for id in ids.into_iter().filter(|_| qos == Q2) {
        release(peer, id)?;
    }
    Ok(())
}

fn order_wild(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    b.needs_qos(Q1)?;
    let mut sub = b.subscriber("sub", &b.topic("+"), at(Q1))?;
    let mut pub_ = b.client("pub")?;
    let (one, two) = (b.topic("one"), b.topic("two"));
    let topics: Vec<&str> = (0..window(b)).map(|n| if n % 2 == 0 { &*one } else { &*two }).collect();
    burst(&mut pub_, Q1, &topics)?;
    let mut last = [None, None];
    for _ in &topics {
        let m = sub.message()?;
        let n: usize = m.text().parse().unwrap_or(usize::MAX);
        let of = usize::from(m.topic == two);
        ensure!(last[of].is_none_or(|before| before < n), "on {:?}, {n} came after {:?}", m.topic, last[of]);
        last[of] = Some(n);
    }
    Ok(())
}

fn many(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut peer = b.client("pub")?;
    let mut wanted: Vec<u16> = [1000, 7, 65_535, 1, 256].into_iter().take(window(b)).collect();
    for id in &wanted {
        let id = PacketId::new(*id).expect("not zero");
        peer.send(&Message::new(&b.topic("t"), Q1, "x").id(id).packet());
    }
    let mut came = Vec::new();
    for _ in &wanted {
        let received = peer.expect("PUBACK", |p| matches!(p, Packet::PubAck(_)))?;
        if let Packet::PubAck(ack) = received.packet() {
            came.push(ack.packet_id.get());
        }
    }
    came.sort_unstable();
    wanted.sort_unstable();
    ensure!(came == wanted, "the identifiers acknowledged are {came:?}");
    b.calm(&mut peer)
}

fn denied(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut sub = b.client("sub")?;
    // Whether it is delivered tells whether it was allowed; a refusal to subscribe says nothing.
    let granted = sub.subscribe_all(&[(RESERVED, at(Q1))], &Default::default())?;
    let mut pub_ = b.client("pub")?;
    pub_.send(&Message::new(RESERVED, Q1, "x").id(PacketId::MIN).packet());
    match pub_.next(b.site.patience) {
        Got::Closed => return Ok(()),
        Got::Packet(r) if matches!(r.packet(), Packet::PubAck(a) if a.packet_id == PacketId::MIN) => {}
        got => return super::super::case::broken(format!("a message to {RESERVED:?} was answered by {got}")),
    }
    sub.ping()?;
    if granted == [0x80] || sub.next(b.site.quiet) != Got::Silence {
        return not_applicable(format!("nothing shows that it does not allow messages to {RESERVED:?}"));
    }
    Ok(())
}

fn empty(b: &Bench) -> Done {
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q1))?;
    b.publish(&Message::new(&b.topic("t"), Q1.min(b.can.maximum_qos), ""))?;
    ensure!(sub.message()?.payload.is_empty(), "a payload came");
    Ok(())
}
