//! Limits of 5.0 that either side names: Receive Maximum, Maximum Packet Size, topic aliases; and message expiry.

use super::super::bench::Bench;
use super::super::case::{Case, Done, Stop, broken, ensure, not_applicable};
use super::{Q0, Q1, Q2, at};
use crate::mqtt::packet::{Ack, Packet};
use crate::mqtt::properties::{Properties, Property};
use crate::mqtt::{PacketId, QoS};
use crate::peer::message::Message;
use crate::peer::{Got, Peer};
use crate::time::Duration;
use std::collections::BTreeMap;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "receive-maximum",
            "No more than Receive Maximum messages are in flight to a client.",
            receive_maximum,
        )
        .v5("3.3.4-9 4.9.0-1 4.9.0-2"),
        Case::new(
            "receive-maximum-qos2",
            "A QoS 2 message counts until its PUBCOMP, or a refusing PUBREC.",
            until_pubcomp,
        )
        .v5("3.3.4-9 4.9.0-2"),
        Case::new("quota-at-zero", "With no quota left, all but PUBLISH goes on, in both directions.", others_go_on)
            .v5("3.3.4-10 4.9.0-3"),
        Case::new("quota-anew", "Each connection begins with the whole quota.", anew).v5("4.9.0-1"),
        Case::new(
            "receive-maximum-exceeded",
            "A client that exceeds the broker's Receive Maximum is cut off.",
            exceeded,
        )
        .v5("3.3.4-7"),
        Case::new(
            "maximum-packet-size",
            "A message too large for a client is dropped, and later ones still come.",
            too_large,
        )
        .v5("3.1.2-24 3.1.2-25"),
        Case::new("maximum-packet-size-exact", "A message just as large as a client accepts comes.", just_right)
            .v5("3.1.2-24"),
        Case::new(
            "maximum-packet-exceeded",
            "A packet above the broker's Maximum Packet Size ends the connection.",
            above,
        )
        .v5("3.2.2-15"),
        Case::new("alias-none", "A client that allows no topic alias is sent none.", no_alias).v5("3.1.2-27 3.1.2-26"),
        Case::new(
            "alias-to-client",
            "Topic aliases to a client are within its maximum, and mean what was set.",
            alias_to_client,
        )
        .v5("3.1.2-26 3.3.2-11 3.3.2-8"),
        Case::new("alias-from-client", "Every topic alias up to the broker's maximum is accepted.", alias_from_client)
            .v5("3.3.2-12"),
        Case::new("alias-not-carried", "Topic aliases end with their connection.", not_carried).v5("3.3.2-7"),
        Case::new("alias-too-high", "A topic alias above the broker's maximum ends the connection.", alias_too_high)
            .v5("3.3.2-9 3.2.2-17"),
        Case::new(
            "alias-not-allowed",
            "A topic alias to a broker that named no maximum ends the connection.",
            unallowed,
        )
        .v5("3.2.2-18"),
        Case::new(
            "expiry-passed",
            "A message whose expiry has passed before its delivery began does not come.",
            expired,
        )
        .v5("3.3.2-5"),
        Case::new("expiry-counted-down", "A message that waited comes with what is left of its expiry.", counted)
            .v5("3.3.2-6"),
        Case::new(
            "expiry-and-begun-qos2",
            "A QoS 2 delivery that has begun goes on after the message's expiry.",
            begun,
        )
        .v5("4.3.3-7 4.3.3-13"),
    ]
}

/// A client with a property in its CONNECT, subscribed.
fn limited(b: &Bench, property: Property<'_>, qos: QoS) -> Result<Peer, Stop> {
    let (mut sub, _) = b.enter("sub", &b.hello("sub").with(property))?;
    sub.subscribe(&b.topic("t"), at(qos))?;
    Ok(sub)
}

fn publish_many(b: &Bench, qos: QoS, n: usize) -> Done {
    let mut pub_ = b.client("pub")?;
    for i in 0..n {
        b.publish_by(&mut pub_, &Message::new(&b.topic("t"), qos, i.to_string()))?;
    }
    pub_.disconnect();
    Ok(())
}

fn receive_maximum(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut sub = limited(b, Property::ReceiveMaximum(2), Q1)?;
    publish_many(b, Q1, 5)?;
    let mut flight = vec![sub.incoming()?, sub.incoming()?];
    b.calm(&mut sub)?;
    // Each acknowledgement makes room for one.
    for _ in 2..5 {
        sub.acknowledge(&flight.remove(0))?;
        flight.push(sub.incoming()?);
        b.calm(&mut sub)?;
    }
    for m in &flight {
        sub.acknowledge(m)?;
    }
    b.calm(&mut sub)
}

fn until_pubcomp(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let mut sub = limited(b, Property::ReceiveMaximum(1), Q2)?;
    publish_many(b, Q2, 3)?;
    let id = sub.incoming()?.packet_id.expect("it has QoS 2");
    sub.send(&Packet::PubRec(Ack::plain(id)));
    sub.pubrel(id)?;
    b.calm(&mut sub)?;
    sub.send(&Packet::PubComp(Ack::plain(id)));
    let id = sub.incoming()?.packet_id.expect("it has QoS 2");
    sub.send(&Packet::PubRec(Ack { packet_id: id, reason: 0x80, properties: Properties::EMPTY }));
    sub.message()?;
    b.calm(&mut sub)
}

fn others_go_on(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut sub = limited(b, Property::ReceiveMaximum(1), Q1)?;
    publish_many(b, Q1, 2)?;
    let m = sub.incoming()?;
    sub.ping()?;
    sub.subscribe(&b.topic("other"), at(Q0))?;
    b.publish_by(&mut sub, &Message::new(&b.topic("elsewhere"), Q1, "x"))?;
    sub.unsubscribe(&[&b.topic("other")])?;
    sub.acknowledge(&m)?;
    sub.message()?;
    Ok(())
}

fn anew(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let hello = b.hello("sub").lasting(60).with(Property::ReceiveMaximum(2));
    let (mut sub, _) = b.enter("sub", &hello)?;
    sub.subscribe(&b.topic("t"), at(Q1))?;
    publish_many(b, Q1, 4)?;
    sub.incoming()?;
    sub.incoming()?;
    sub.cut();
    let (mut sub, _) = b.enter("sub", &hello)?;
    for _ in 0..4 {
        sub.message()?;
    }
    b.calm(&mut sub)
}

fn exceeded(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let maximum = b.can.receive_maximum;
    if maximum > 5000 {
        return not_applicable(format!("its Receive Maximum is {maximum}, too many to try"));
    }
    let mut peer = b.client("eager")?;
    let mut bytes = Vec::new();
    for id in 1..=maximum + 1 {
        let message = Message::new(&b.topic("t"), Q2, "x").id(PacketId::new(id).expect("it begins at 1"));
        crate::mqtt::codec::encode(&message.packet(), b.version, &mut bytes);
    }
    peer.send_raw(&bytes, &format!("{} PUBLISH of QoS 2, none of them released", u32::from(maximum) + 1));
    let answers = peer.closed()?;
    let legal = |p: &Packet<'_>| match p {
        Packet::PubRec(_) => true,
        Packet::Disconnect(r) => r.reason >= 0x80,
        _ => false,
    };
    ensure!(answers.iter().all(|a| legal(&a.packet())), "before it closed, the broker sent {:?}", answers.last());
    Ok(())
}

fn too_large(b: &Bench) -> Done {
    let mut sub = limited(b, Property::MaximumPacketSize(200), Q2)?;
    let mut pub_ = b.client("pub")?;
    for qos in [Q0, Q1.min(b.can.maximum_qos), b.can.maximum_qos] {
        b.publish_by(&mut pub_, &Message::new(&b.topic("t"), qos, "x".repeat(200)))?;
        b.publish_by(&mut pub_, &Message::new(&b.topic("t"), qos, "small"))?;
        let m = sub.message()?;
        ensure!(m.text() == "small", "a message of {} B came", m.payload.len());
    }
    b.calm(&mut sub)
}

fn just_right(b: &Bench) -> Done {
    // Header of 2 or 3 bytes, topic and its length, no properties.
    let largest: usize = 120;
    let topic = b.topic("t");
    let payload = largest - 2 - 2 - topic.len() - 1;
    let mut sub = limited(b, Property::MaximumPacketSize(120), Q0)?;
    let mut pub_ = b.client("pub")?;
    b.publish_by(&mut pub_, &Message::new(&topic, Q0, "x".repeat(payload + 1)))?;
    b.publish_by(&mut pub_, &Message::new(&topic, Q0, "x".repeat(payload)))?;
    let m = sub.message()?;
    ensure!(m.payload.len() == payload, "a packet of {} B came", largest - payload + m.payload.len());
    b.calm(&mut sub)
}

fn above(b: &Bench) -> Done {
    let Some(maximum) = b.can.maximum_packet else { return not_applicable("it names no Maximum Packet Size") };
    if maximum > 32 << 20 {
        return not_applicable(format!("its Maximum Packet Size is {maximum} B, too large to try"));
    }
    let mut peer = b.client("large")?;
    let message = Message::new(&b.topic("t"), Q0, vec![b'x'; maximum as usize]);
    let mut bytes = Vec::new();
    crate::mqtt::codec::encode(&message.packet(), b.version, &mut bytes);
    // The tape needs no 16 MiB: the header shows what it is.
    peer.send_raw(&bytes, "PUBLISH above the broker's Maximum Packet Size");
    super::connect::only_a_disconnect(&peer.closed()?)
}

/// Reads `n` QoS 0 messages; the alias of each.
fn aliases(b: &Bench, sub: &mut Peer, n: usize, maximum: u16) -> Done {
    let mut set: BTreeMap<u16, String> = BTreeMap::new();
    for i in 0..n {
        let m = sub.message()?;
        let alias = m.properties.as_properties().find(|p| if let Property::TopicAlias(a) = p { Some(a) } else { None });
        let topic = match alias {
            None => m.topic,
            Some(a) if a > maximum => return broken(format!("topic alias {a} to a client whose maximum is {maximum}")),
            Some(a) if m.topic.is_empty() => match set.get(&a) {
                Some(topic) => topic.clone(),
                None => return broken(format!("topic alias {a} was never set")),
            },
            Some(a) => {
                set.insert(a, m.topic.clone());
                m.topic
            }
        };
        let wanted = b.topic(&format!("alias/{}", i % 4));
        ensure!(topic == wanted, "the topic is {topic:?}, and {wanted:?} was published");
    }
    Ok(())
}

/// Publishes eight messages to four topics.
fn to_four_topics(b: &Bench) -> Done {
    let mut pub_ = b.client("pub")?;
    for i in 0..8 {
        b.publish_by(&mut pub_, &Message::new(&b.topic(&format!("alias/{}", i % 4)), Q0, "x"))?;
    }
    Ok(())
}

fn no_alias(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    for hello in [b.hello("absent"), b.hello("zero").with(Property::TopicAliasMaximum(0))] {
        let (mut sub, _) = b.enter("sub", &hello)?;
        sub.subscribe(&b.topic("alias/#"), at(Q0))?;
        to_four_topics(b)?;
        aliases(b, &mut sub, 8, 0)?;
    }
    Ok(())
}

fn alias_to_client(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    let (mut sub, _) = b.enter("sub", &b.hello("sub").with(Property::TopicAliasMaximum(2)))?;
    sub.subscribe(&b.topic("alias/#"), at(Q0))?;
    to_four_topics(b)?;
    aliases(b, &mut sub, 8, 2)
}

/// The highest alias that the broker takes.
fn highest_alias(b: &Bench) -> Result<u16, Stop> {
    match b.can.topic_alias_maximum {
        0 => not_applicable("it takes no topic aliases"),
        n => Ok(n),
    }
}

fn alias_from_client(b: &Bench) -> Done {
    let highest = highest_alias(b)?;
    b.needs(b.can.wildcards, "wildcards")?;
    let mut sub = b.subscriber("sub", &b.topic("#"), at(Q0))?;
    let mut pub_ = b.client("pub")?;
    for alias in [1, highest.div_ceil(2), highest] {
        let topic = b.topic(&format!("t{alias}"));
        for (name, text) in [(&*topic, "set"), ("", "used")] {
            let message = Message::new(name, Q0, text).with(Property::TopicAlias(alias));
            b.publish_by(&mut pub_, &message)?;
            let m = sub.message()?;
            ensure!(m.topic == topic && m.text() == text, "alias {alias}: it came as {m:?}");
        }
    }
    // Set anew, it means the new topic.
    let topic = b.topic("anew");
    b.publish_by(&mut pub_, &Message::new(&topic, Q0, "set").with(Property::TopicAlias(1)))?;
    b.publish_by(&mut pub_, &Message::new("", Q0, "used").with(Property::TopicAlias(1)))?;
    sub.message()?;
    ensure!(sub.message()?.topic == topic, "alias 1 still means its first topic");
    Ok(())
}

fn not_carried(b: &Bench) -> Done {
    highest_alias(b)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q0))?;
    let hello = b.hello("pub").lasting(60);
    let (mut pub_, _) = b.enter("pub", &hello)?;
    b.publish_by(&mut pub_, &Message::new(&b.topic("t"), Q0, "set").with(Property::TopicAlias(1)))?;
    sub.message()?;
    pub_.disconnect();
    let (mut pub_, _) = b.enter("pub", &hello)?;
    pub_.send(&Message::new("", Q0, "used").with(Property::TopicAlias(1)).packet());
    super::connect::only_a_disconnect(&pub_.closed()?)?;
    b.calm(&mut sub)
}

fn send_alias(b: &Bench, alias: u16) -> Done {
    let mut peer = b.client("pub")?;
    peer.send(&Message::new(&b.topic("t"), Q0, "x").with(Property::TopicAlias(alias)).packet());
    super::connect::only_a_disconnect(&peer.closed()?)
}

fn alias_too_high(b: &Bench) -> Done {
    match highest_alias(b)?.checked_add(1) {
        Some(alias) => send_alias(b, alias),
        None => not_applicable("it takes every alias there is"),
    }
}

fn unallowed(b: &Bench) -> Done {
    if b.can.topic_alias_maximum > 0 {
        return not_applicable("it takes topic aliases");
    }
    send_alias(b, 1)
}

/// A lasting subscriber that is away.
fn away(b: &Bench) -> Result<crate::peer::hello::Hello, Stop> {
    b.needs_qos(Q1)?;
    let hello = b.hello("away").lasting(60);
    let (mut sub, _) = b.enter("away", &hello)?;
    sub.subscribe(&b.topic("t"), at(Q2))?;
    sub.disconnect();
    Ok(hello)
}

fn wait(b: &Bench, millis: u64) -> Done {
    let mut idle = b.client("idle")?;
    idle.quiet = Duration::from_millis(millis);
    Ok(idle.silence()?)
}

fn expired(b: &Bench) -> Done {
    let hello = away(b)?;
    b.publish(&Message::new(&b.topic("t"), Q1, "short").with(Property::MessageExpiryInterval(1)))?;
    b.publish(&Message::new(&b.topic("t"), Q1, "long").with(Property::MessageExpiryInterval(60)))?;
    b.publish(&Message::new(&b.topic("t"), Q1, "unlimited"))?;
    wait(b, 2200)?;
    let (mut sub, _) = b.enter("away", &hello)?;
    let came = [sub.message()?.text(), sub.message()?.text()];
    ensure!(came == ["long", "unlimited"], "what came after 2.2 s, expiries of 1 s, 60 s and none: {came:?}");
    b.calm(&mut sub)
}

fn counted(b: &Bench) -> Done {
    let hello = away(b)?;
    b.publish(&Message::new(&b.topic("t"), Q1, "x").with(Property::MessageExpiryInterval(60)))?;
    wait(b, 2200)?;
    let (mut sub, _) = b.enter("away", &hello)?;
    let m = sub.message()?;
    let left = |p| if let Property::MessageExpiryInterval(s) = p { Some(s) } else { None };
    match m.properties.as_properties().find(left) {
        // 2.2 s at least, and what this machine and coarse timers add.
        Some(50..=58) => Ok(()),
        left => broken(format!("after at least 2.2 s of 60 s, the message comes with an expiry of {left:?}")),
    }
}

fn begun(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let (mut sub, _) = b.enter("sub", &b.hello("sub").lasting(60))?;
    sub.subscribe(&b.topic("t"), at(Q2))?;
    b.publish(&Message::new(&b.topic("t"), Q2, "x").with(Property::MessageExpiryInterval(1)))?;
    let m = sub.incoming()?;
    let id = m.packet_id.expect("it has QoS 2");
    wait(b, 2200)?;
    sub.send(&Packet::PubRec(Ack::plain(id)));
    let code = sub.pubrel(id)?;
    ensure!(code == 0, "PUBREL says {code:#04x}");
    sub.send(&Packet::PubComp(Ack::plain(id)));
    match sub.next(b.site.quiet) {
        Got::Silence => Ok(()),
        got => broken(format!("after PUBCOMP came {got}")),
    }
}
