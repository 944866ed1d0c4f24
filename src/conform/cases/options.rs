//! Subscription options and identifiers of 5.0.

use super::super::bench::Bench;
use super::super::case::{Case, Done, broken, ensure};
use super::{Q0, Q1, at};
use crate::mqtt::packet::{Packet, SubscribeOptions};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::peer::message::Message;
use crate::peer::{Got, Peer};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("no-local", "With No Local a client's own messages do not come back.", no_local).v5("3.8.3-3"),
        Case::new(
            "no-local-other-connection",
            "No Local goes by client identifier, over reconnects too.",
            over_reconnect,
        )
        .v5("3.8.3-3"),
        Case::new("options-replaced", "A subscription made again has its new options.", replaced).v5("3.8.4-3"),
        Case::new("options-kept", "Options and identifiers outlast the connection.", kept).v5("3.1.2-5 3.1.2-23"),
        Case::new("identifier-sent", "A message has the identifier of the subscription that brings it.", identifier)
            .v5("3.3.4-3 3.3.4-4"),
        Case::new(
            "identifiers-of-overlap",
            "Copies have the identifiers of all subscriptions, or each copy its own.",
            overlap,
        )
        .v5("3.3.4-3 3.3.4-4 3.3.4-5"),
        Case::new("identifier-largest", "The largest subscription identifier is sent back whole.", largest)
            .v5("3.3.4-3"),
        Case::new("identifier-dropped", "A subscription made again without an identifier has none.", dropped)
            .v5("3.8.4-3"),
    ]
}

fn with_identifier(id: u32) -> PropertiesBuf {
    let mut p = PropertiesBuf::default();
    p.push(Property::SubscriptionIdentifier(id));
    p
}

fn own(qos: crate::mqtt::QoS) -> SubscribeOptions {
    SubscribeOptions { no_local: true, ..at(qos) }
}

fn no_local(b: &Bench) -> Done {
    let mut own_ = b.subscriber("self", &b.topic("t"), own(Q1))?;
    let mut other = b.subscriber("other", &b.topic("t"), own(Q1))?;
    for qos in super::ALL_QOS.into_iter().filter(|q| *q <= b.can.maximum_qos) {
        b.publish_by(&mut own_, &Message::new(&b.topic("t"), qos, "x"))?;
        other.message()?;
    }
    b.calm(&mut own_)?;
    b.publish_by(&mut other, &Message::new(&b.topic("t"), Q0, "y"))?;
    ensure!(own_.message()?.text() == "y", "another message came");
    Ok(())
}

fn over_reconnect(b: &Bench) -> Done {
    let hello = b.hello("self").lasting(60);
    let (mut peer, _) = b.enter("self", &hello)?;
    peer.subscribe(&b.topic("t"), own(Q1))?;
    peer.disconnect();
    let (mut peer, _) = b.enter("self", &hello)?;
    b.publish_by(&mut peer, &Message::new(&b.topic("t"), Q1.min(b.can.maximum_qos), "x"))?;
    b.calm(&mut peer)
}

fn replaced(b: &Bench) -> Done {
    let mut peer = b.subscriber("self", &b.topic("t"), own(Q0))?;
    peer.subscribe(&b.topic("t"), at(Q0))?;
    b.publish_by(&mut peer, &Message::new(&b.topic("t"), Q0, "x"))?;
    peer.message()?;
    peer.subscribe(&b.topic("t"), own(Q0))?;
    b.publish_by(&mut peer, &Message::new(&b.topic("t"), Q0, "y"))?;
    b.calm(&mut peer)
}

fn kept(b: &Bench) -> Done {
    b.needs(b.can.retain && b.can.subscription_ids, "retained messages or subscription identifiers")?;
    let hello = b.hello("back").lasting(60);
    let (mut peer, _) = b.enter("back", &hello)?;
    let options = SubscribeOptions { retain_as_published: true, ..at(Q1) };
    peer.subscribe_with(&b.topic("t"), options, &with_identifier(7))?;
    peer.disconnect();
    b.publish(&Message::new(&b.topic("t"), Q1.min(b.can.maximum_qos), "away").retained())?;
    let (mut peer, _) = b.enter("back", &hello)?;
    let queued = if b.can.maximum_qos == Q0 { Vec::new() } else { vec![peer.message()?] };
    b.publish(&Message::new(&b.topic("t"), Q0, "back").retained())?;
    for m in queued.into_iter().chain([peer.message()?]) {
        ensure!(m.retain, "RETAIN is 0, with Retain As Published");
        ensure!(m.subscription_ids() == [7], "the identifiers are {:?}", m.subscription_ids());
    }
    Ok(())
}

fn identifier(b: &Bench) -> Done {
    b.needs(b.can.subscription_ids, "subscription identifiers")?;
    let mut peer = b.client("sub")?;
    peer.subscribe_with(&b.topic("one"), at(Q0), &with_identifier(1))?;
    peer.subscribe_with(&b.topic("two"), at(Q1), &with_identifier(300))?;
    peer.subscribe(&b.topic("none"), at(Q0))?;
    for (leaf, wanted) in [("one", vec![1]), ("two", vec![300]), ("none", Vec::new())] {
        b.publish(&Message::new(&b.topic(leaf), Q1.min(b.can.maximum_qos), "x"))?;
        let ids = peer.message()?.subscription_ids();
        ensure!(ids == wanted, "the identifiers are {ids:?}, and should be {wanted:?}");
    }
    Ok(())
}

fn overlap(b: &Bench) -> Done {
    b.needs(b.can.subscription_ids && b.can.wildcards, "subscription identifiers or wildcards")?;
    let mut peer = b.client("sub")?;
    peer.subscribe_with(&b.topic("#"), at(Q0), &with_identifier(1))?;
    peer.subscribe_with(&b.topic("t"), at(Q1), &with_identifier(2))?;
    peer.subscribe(&b.topic("+"), at(Q0))?;
    b.publish(&Message::new(&b.topic("t"), Q1.min(b.can.maximum_qos), "x"))?;
    let copies = copies(b, &mut peer)?;
    match copies.as_slice() {
        [all] => ensure!(*all == [1, 2], "the one copy has identifiers {all:?}, and should have 1 and 2"),
        several => {
            let mut each: Vec<u32> = several.iter().flatten().copied().collect();
            each.sort_unstable();
            ensure!(each == [1, 2], "{} copies have identifiers {several:?}", several.len());
        }
    }
    Ok(())
}

/// The identifiers of each copy that comes.
fn copies(b: &Bench, peer: &mut Peer) -> Result<Vec<Vec<u32>>, super::super::case::Stop> {
    let mut all = vec![peer.message()?.subscription_ids()];
    peer.ping()?;
    loop {
        match peer.next(b.site.quiet) {
            Got::Silence => return Ok(all),
            Got::Packet(r) => {
                let Packet::Publish(p) = r.packet() else { return broken(format!("there came {r:?}")) };
                let m = Message::of(&p);
                peer.acknowledge(&m)?;
                all.push(m.subscription_ids());
            }
            got => return broken(format!("there came {got}")),
        }
    }
}

fn largest(b: &Bench) -> Done {
    b.needs(b.can.subscription_ids, "subscription identifiers")?;
    let mut peer = b.client("sub")?;
    peer.subscribe_with(&b.topic("t"), at(Q0), &with_identifier(268_435_455))?;
    b.publish(&Message::new(&b.topic("t"), Q0, "x"))?;
    let ids = peer.message()?.subscription_ids();
    ensure!(ids == [268_435_455], "the identifiers are {ids:?}");
    Ok(())
}

fn dropped(b: &Bench) -> Done {
    b.needs(b.can.subscription_ids, "subscription identifiers")?;
    let mut peer = b.client("sub")?;
    peer.subscribe_with(&b.topic("t"), at(Q0), &with_identifier(5))?;
    peer.subscribe(&b.topic("t"), at(Q0))?;
    b.publish(&Message::new(&b.topic("t"), Q0, "x"))?;
    let ids = peer.message()?.subscription_ids();
    ensure!(ids.is_empty(), "the identifiers are {ids:?}");
    Ok(())
}
