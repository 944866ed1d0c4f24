//! SUBSCRIBE and UNSUBSCRIBE.

use super::super::bench::Bench;
use super::super::case::{Case, Done, broken, ensure};
use super::{ALL_QOS, Q0, Q1, Q2, at};
use crate::mqtt::PacketId;
use crate::mqtt::codec;
use crate::mqtt::packet::{Ack, Packet};
use crate::mqtt::properties::{Properties, PropertiesBuf};
use crate::peer::message::Message;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("suback-identifier", "SUBSCRIBE is answered by SUBACK with its identifier.", suback_id)
            .v311("3.8.4-1 3.8.4-2 2.3.1-7")
            .v5("3.8.4-1 3.8.4-2 2.2.1-6"),
        Case::new(
            "suback-codes",
            "SUBACK has a code for each filter, in their order, that says the QoS granted.",
            codes,
        )
        .v311("3.8.4-5 3.9.3-1 3.9.3-2")
        .v5("3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2"),
        Case::new(
            "subscribe-several",
            "Filters in one SUBSCRIBE are like as many SUBSCRIBEs, with one SUBACK.",
            several,
        )
        .v311("3.8.4-4")
        .v5("3.8.4-5"),
        Case::new("qos-lower-of-both", "A message comes at the lower of its QoS and the granted one.", lower)
            .v311("3.8.4-6")
            .v5("3.8.4-8"),
        Case::new(
            "subscription-replaced",
            "The same filter again replaces the subscription: one copy, at the new QoS.",
            replaced,
        )
        .both("3.8.4-3"),
        Case::new("subscription-replaced-live", "While a subscription is replaced, no message is lost.", replaced_live)
            .v311("3.8.4-3")
            .v5("3.8.4-4"),
        Case::new(
            "unsubscribe-answered",
            "UNSUBSCRIBE is answered by UNSUBACK with its identifier, also if it deletes nothing.",
            unsuback,
        )
        .v311("3.10.4-4 3.10.4-5 2.3.1-7")
        .v5("3.10.4-4 3.10.4-5 2.2.1-6 3.11.3-2"),
        Case::new(
            "unsubscribe-several",
            "Filters in one UNSUBSCRIBE are like as many UNSUBSCRIBEs, with one UNSUBACK.",
            unsubscribe_several,
        )
        .v311("3.10.4-6")
        .v5("3.10.4-6 3.11.3-1 3.11.3-2"),
        Case::new("unsubscribe-exact", "UNSUBSCRIBE deletes the subscription of exactly its filter.", exact)
            .both("3.10.4-1"),
        Case::new("unsubscribe-stops", "After UNSUBSCRIBE no new message comes.", stops).both("3.10.4-2"),
        Case::new("unsubscribe-completes", "UNSUBSCRIBE does not end a delivery that has begun.", completes)
            .both("3.10.4-3"),
        Case::new("matching-topic", "What comes matches a filter of its client.", matching)
            .v311("3.3.2-3 3.3.2-1")
            .v5("3.3.2-3 3.3.2-1"),
        Case::new("every-subscriber", "A message comes to every client with a matching subscription.", every)
            .both("4.5.0-1"),
        Case::new(
            "overlap-qos",
            "With overlapping subscriptions a message comes at the highest QoS among them.",
            overlap,
        )
        .v311("3.3.5-1")
        .v5("3.3.4-2"),
        Case::new("wildcards-or-refusal", "A filter with wildcards works, or is refused.", wildcards_or_refusal)
            .v311("3.8.3-2"),
    ]
}

fn suback_id(b: &Bench) -> Done {
    let mut peer = b.client("sub")?;
    for id in [1u16, 255, 256, 65_535, 1] {
        let id = PacketId::new(id).expect("not zero");
        let mut bytes = Vec::new();
        codec::encode_subscribe(b.version, id, Properties::EMPTY, &[(&b.topic("t"), at(Q0))], &mut bytes);
        peer.send_raw(&bytes, &format!("SUBSCRIBE id {id}"));
        peer.expect(&format!("SUBACK id {id}"), |p| matches!(p, Packet::SubAck(a) if a.packet_id == id))?;
    }
    Ok(())
}

fn codes(b: &Bench) -> Done {
    let mut peer = b.client("sub")?;
    let wanted = [Q2, Q0, Q1, Q1, Q0];
    let filters: Vec<String> = (0..wanted.len()).map(|n| b.topic(&n.to_string())).collect();
    let pairs: Vec<_> = filters.iter().zip(wanted).map(|(f, q)| (f.as_str(), at(q))).collect();
    let codes = peer.subscribe_all(&pairs, &PropertiesBuf::default())?;
    let right: Vec<u8> = wanted.iter().map(|q| (*q).min(b.can.maximum_qos) as u8).collect();
    ensure!(codes == right, "for QoS 2, 0, 1, 1, 0 SUBACK says {codes:?}");
    Ok(())
}

fn several(b: &Bench) -> Done {
    let mut peer = b.client("sub")?;
    let topics = ["a", "b", "c"].map(|t| b.topic(t));
    let pairs: Vec<_> = topics.iter().map(|t| (t.as_str(), at(Q1))).collect();
    let codes = peer.subscribe_all(&pairs, &PropertiesBuf::default())?;
    ensure!(codes.len() == 3, "for three filters SUBACK has {} codes", codes.len());
    for topic in &topics {
        b.publish(&Message::new(topic, Q0, "x"))?;
        ensure!(peer.message()?.topic == *topic, "a message of another topic came");
    }
    b.calm(&mut peer)
}

fn lower(b: &Bench) -> Done {
    let mut subs = Vec::new();
    for granted in ALL_QOS {
        let mut peer = b.client(&format!("sub{}", granted as u8))?;
        let granted = peer.subscribe(&b.topic("t"), at(granted))?;
        subs.push((peer, granted));
    }
    for published in ALL_QOS.into_iter().filter(|q| *q <= b.can.maximum_qos) {
        b.publish(&Message::new(&b.topic("t"), published, "x"))?;
        for (peer, granted) in &mut subs {
            let came = peer.message()?.qos;
            let wanted = published.min(*granted);
            ensure!(
                came == wanted,
                "published at {}, granted {}, and it came at {}",
                published as u8,
                *granted as u8,
                came as u8
            );
        }
    }
    Ok(())
}

fn replaced(b: &Bench) -> Done {
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q2))?;
    for qos in [Q0, Q1, Q0] {
        let granted = sub.subscribe(&b.topic("t"), at(qos))?;
        b.publish(&Message::new(&b.topic("t"), b.can.maximum_qos, "x"))?;
        let came = sub.message()?.qos;
        ensure!(came == granted, "granted {} last, and it came at {}", granted as u8, came as u8);
        b.calm(&mut sub)?;
    }
    Ok(())
}

fn replaced_live(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let mut sub = b.subscriber("sub", &b.topic("t"), at(Q1))?;
    let mut pub_ = b.client("pub")?;
    let n = 10;
    for i in 0..n {
        b.publish_by(&mut pub_, &Message::new(&b.topic("t"), Q1, i.to_string()))?;
        sub.subscribe(&b.topic("t"), at(Q1))?;
    }
    for i in 0..n {
        let text = sub.message()?.text();
        ensure!(text == i.to_string(), "message {i} is missing: {text} came");
    }
    b.calm(&mut sub)
}

fn unsuback(b: &Bench) -> Done {
    let mut peer = b.subscriber("sub", &b.topic("t"), at(Q0))?;
    for id in [9u16, 10, 65_535] {
        let id = PacketId::new(id).expect("not zero");
        let mut bytes = Vec::new();
        codec::encode_unsubscribe(b.version, id, &[&b.topic("t")], &mut bytes);
        peer.send_raw(&bytes, &format!("UNSUBSCRIBE id {id}"));
        peer.expect(&format!("UNSUBACK id {id}"), |p| matches!(p, Packet::UnsubAck(a) if a.packet_id == id))?;
    }
    Ok(())
}

fn unsubscribe_several(b: &Bench) -> Done {
    let mut peer = b.client("sub")?;
    let topics = ["a", "b", "c", "d"].map(|t| b.topic(t));
    for topic in [&topics[0], &topics[2], &topics[3]] {
        peer.subscribe(topic, at(Q0))?;
    }
    let codes = peer.unsubscribe(&[&topics[0], &topics[1], &topics[2]])?;
    if b.v5() {
        ensure!(codes == [0, 0x11, 0], "for a filter there, one not there, and one there UNSUBACK says {codes:?}");
    }
    for topic in &topics {
        b.publish(&Message::new(topic, Q0, "x"))?;
    }
    let m = peer.message()?;
    ensure!(m.topic == topics[3], "a message of {:?} came after UNSUBSCRIBE", m.topic);
    b.calm(&mut peer)
}

fn exact(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    let mut sub = b.client("sub")?;
    let (plus, topic) = (b.topic("+/x"), b.topic("a/x"));
    sub.subscribe(&plus, at(Q0))?;
    // These match the same topics, or look alike, and are not the filter.
    sub.unsubscribe(&[&topic, &b.topic("#"), &b.topic("+/X"), &b.topic("+/x/")])?;
    b.publish(&Message::new(&topic, Q0, "one"))?;
    sub.message()?;
    sub.unsubscribe(&[&plus])?;
    b.publish(&Message::new(&topic, Q0, "two"))?;
    b.calm(&mut sub)
}

fn stops(b: &Bench) -> Done {
    for qos in ALL_QOS.into_iter().filter(|q| *q <= b.can.maximum_qos) {
        let mut sub = b.subscriber("sub", &b.topic("t"), at(qos))?;
        b.publish(&Message::new(&b.topic("t"), qos, "before"))?;
        sub.message()?;
        sub.unsubscribe(&[&b.topic("t")])?;
        b.publish(&Message::new(&b.topic("t"), qos, "after"))?;
        b.calm(&mut sub)?;
    }
    Ok(())
}

fn completes(b: &Bench) -> Done {
    b.needs_qos(Q2)?;
    let (mut sub, _) = b.enter("sub", &b.hello("sub").lasting(60))?;
    sub.subscribe(&b.topic("t"), at(Q2))?;
    b.publish(&Message::new(&b.topic("t"), Q2, "x"))?;
    let m = sub.incoming()?;
    let id = m.packet_id.expect("it has QoS 2");
    sub.unsubscribe(&[&b.topic("t")])?;
    sub.send(&Packet::PubRec(Ack::plain(id)));
    sub.pubrel(id)?;
    sub.cut();
    let (mut sub, _) = b.enter("sub", &b.hello("sub").lasting(60))?;
    sub.pubrel(id)?;
    sub.send(&Packet::PubComp(Ack::plain(id)));
    b.calm(&mut sub)
}

fn matching(b: &Bench) -> Done {
    let mut sub = b.subscriber("sub", &b.topic("a/b"), at(Q0))?;
    for leaf in ["a", "a/b/c", "b", "a/bb", "A/b", "a/b"] {
        b.publish(&Message::new(&b.topic(leaf), Q0, leaf))?;
    }
    let m = sub.message()?;
    ensure!(m.topic == b.topic("a/b"), "a message of {:?} came", m.topic);
    b.calm(&mut sub)
}

fn every(b: &Bench) -> Done {
    let mut subs = Vec::new();
    for (n, leaf) in ["t", "t", "+", "#", "other"].iter().enumerate() {
        if b.can.wildcards || !matches!(*leaf, "+" | "#") {
            subs.push((b.subscriber(&format!("sub{n}"), &b.topic(leaf), at(Q1))?, *leaf));
        }
    }
    b.publish(&Message::new(&b.topic("t"), Q1.min(b.can.maximum_qos), "x"))?;
    for (sub, leaf) in &mut subs {
        if *leaf == "other" {
            b.calm(sub)?;
        } else {
            sub.message()?;
        }
    }
    Ok(())
}

fn overlap(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    b.needs_qos(Q2)?;
    // The order in which they are made must not matter.
    for (name, qos) in [("up", [Q0, Q1, Q2]), ("down", [Q2, Q1, Q0])] {
        let mut sub = b.client(name)?;
        let topic = b.topic(&format!("{name}/x"));
        let filters = [b.topic(&format!("{name}/#")), b.topic(&format!("{name}/+")), topic.clone()];
        for (filter, qos) in filters.iter().zip(qos) {
            sub.subscribe(filter, at(qos))?;
        }
        b.publish(&Message::new(&topic, Q2, "x"))?;
        // One copy, or one for each subscription; the highest QoS must be among them.
        let mut came = vec![sub.message()?.qos];
        sub.ping()?;
        while let crate::peer::Got::Packet(r) = sub.next(b.site.quiet) {
            let Packet::Publish(p) = r.packet() else { return broken(format!("there came {r:?}")) };
            let m = Message::of(&p);
            sub.acknowledge(&m)?;
            came.push(m.qos);
        }
        ensure!(came.contains(&Q2), "granted 0, 1 and 2, published at 2, and it came at {came:?}");
        ensure!(came.len() <= 3, "three subscriptions brought {} copies", came.len());
    }
    Ok(())
}

fn wildcards_or_refusal(b: &Bench) -> Done {
    let mut sub = b.client("sub")?;
    let codes = sub.subscribe_all(&[(&b.topic("+"), at(Q0)), (&b.topic("#"), at(Q0))], &PropertiesBuf::default())?;
    if codes.iter().all(|c| *c == 0x80) {
        return Ok(());
    }
    ensure!(!codes.contains(&0x80), "of two filters with wildcards it refuses one: {codes:?}");
    b.publish(&Message::new(&b.topic("t"), Q0, "x"))?;
    sub.message()?;
    Ok(())
}
