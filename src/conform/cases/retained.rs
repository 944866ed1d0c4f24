//! Retained messages.

use super::super::bench::Bench;
use super::super::case::{Case, Done, ensure};
use super::{Q0, Q1, Q2, at};
use crate::mqtt::packet::SubscribeOptions;
use crate::peer::message::Message;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("retained-kept", "A retained message comes, with RETAIN, to each later subscription.", kept)
            .v311("3.3.1-5 3.3.1-6 3.3.1-8")
            .v5("3.3.1-5 3.3.1-9"),
        Case::new(
            "retained-replaced",
            "A later retained message replaces the earlier one, whatever its QoS.",
            replaced,
        )
        .v311("3.3.1-5 3.3.1-6 3.3.1-7")
        .v5("3.3.1-5"),
        Case::new("retained-cleared", "An empty retained message is handed on, and clears what was retained.", cleared)
            .v311("3.3.1-10 3.3.1-11")
            .v5("3.3.1-6 3.3.1-7"),
        Case::new("retained-untouched", "A message without RETAIN leaves what is retained as it is.", untouched)
            .v311("3.3.1-12")
            .v5("3.3.1-8"),
        Case::new("not-retained", "A message without RETAIN is not retained.", not_kept).v311("3.3.1-12").v5("3.3.1-8"),
        Case::new("retain-flag-live", "RETAIN is 0 towards a subscription that was there before.", live)
            .v311("3.3.1-9")
            .v5("3.3.1-12"),
        Case::new("retain-as-published", "With Retain As Published the flag comes as it was published.", as_published)
            .v5("3.3.1-13"),
        Case::new("retain-handling-0", "Retain Handling 0: retained messages at each SUBSCRIBE.", |b| handling(b, 0))
            .v5("3.3.1-9 3.8.4-4"),
        Case::new("retain-handling-1", "Retain Handling 1: only where the subscription is new.", |b| handling(b, 1))
            .v5("3.3.1-10"),
        Case::new("retain-handling-2", "Retain Handling 2: no retained messages at SUBSCRIBE.", |b| handling(b, 2))
            .v5("3.3.1-11"),
        Case::new("retained-again", "A subscription made again brings what is retained again.", again)
            .v311("3.8.4-3")
            .v5("3.8.4-3 3.8.4-4"),
        Case::new(
            "retained-by-wildcard",
            "A wildcard subscription brings the retained message of each matching topic.",
            wildcard,
        )
        .v311("3.3.1-6")
        .v5("3.3.1-9"),
        Case::new("retained-qos", "A retained message comes at the lower of its QoS and the granted one.", qos)
            .v311("3.3.1-5 3.8.4-6")
            .v5("3.3.1-5 3.8.4-8"),
    ]
}

fn retain(b: &Bench, payload: &str) -> Done {
    b.needs(b.can.retain, "retained messages")?;
    b.publish(&Message::new(&b.topic("r"), Q1.min(b.can.maximum_qos), payload).retained())
}

/// What a new subscriber is given: the retained message's text, or none.
fn found(b: &Bench) -> Result<Option<String>, super::super::case::Stop> {
    let mut sub = b.subscriber("finder", &b.topic("r"), at(Q1))?;
    // A mark, not retained, ends the wait: what is retained comes before it or not at all.
    sub.ping()?;
    match sub.next(b.site.quiet) {
        crate::peer::Got::Silence => Ok(None),
        crate::peer::Got::Packet(r) => match r.packet() {
            crate::mqtt::packet::Packet::Publish(p) => {
                ensure!(p.retain, "RETAIN is 0 on a retained message");
                let message = Message::of(&p);
                sub.acknowledge(&message)?;
                Ok(Some(message.text()))
            }
            _ => super::super::case::broken(format!("a new subscriber got {r:?}")),
        },
        got => super::super::case::broken(format!("a new subscriber got {got}")),
    }
}

fn wants(b: &Bench, text: Option<&str>) -> Done {
    let found = found(b)?;
    ensure!(found.as_deref() == text, "retained should be {text:?}, and a new subscriber got {found:?}");
    Ok(())
}

fn kept(b: &Bench) -> Done {
    retain(b, "one")?;
    wants(b, Some("one"))?;
    wants(b, Some("one"))
}

fn replaced(b: &Bench) -> Done {
    retain(b, "one")?;
    retain(b, "two")?;
    wants(b, Some("two"))?;
    // A retained QoS 0 message replaces it too; it may be dropped at any time, but the old one must be gone.
    b.publish(&Message::new(&b.topic("r"), Q0, "three").retained())?;
    let found = found(b)?;
    ensure!(matches!(found.as_deref(), Some("three") | None), "after a retained QoS 0 message, {found:?} is retained");
    Ok(())
}

fn cleared(b: &Bench) -> Done {
    retain(b, "one")?;
    let mut sub = b.subscriber("sub", &b.topic("r"), at(Q1))?;
    ensure!(sub.message()?.text() == "one", "another message was retained");
    retain(b, "")?;
    let m = sub.message()?;
    ensure!(m.payload.is_empty() && !m.retain, "the empty message came as {m:?}");
    wants(b, None)?;
    // An empty one is not retained itself, also where nothing was.
    retain(b, "")?;
    sub.message()?;
    wants(b, None)
}

fn untouched(b: &Bench) -> Done {
    retain(b, "one")?;
    b.publish(&Message::new(&b.topic("r"), Q1.min(b.can.maximum_qos), "two"))?;
    wants(b, Some("one"))?;
    // Empty, but without RETAIN: nothing is cleared.
    b.publish(&Message::new(&b.topic("r"), Q1.min(b.can.maximum_qos), ""))?;
    wants(b, Some("one"))
}

fn not_kept(b: &Bench) -> Done {
    b.publish(&Message::new(&b.topic("r"), Q1.min(b.can.maximum_qos), "one"))?;
    wants(b, None)
}

fn live(b: &Bench) -> Done {
    let mut sub = b.subscriber("sub", &b.topic("r"), at(Q1))?;
    retain(b, "one")?;
    ensure!(!sub.message()?.retain, "RETAIN is 1 on a message to a subscription that was there before");
    Ok(())
}

fn as_published(b: &Bench) -> Done {
    let options = SubscribeOptions { retain_as_published: true, ..at(Q1) };
    let mut sub = b.subscriber("sub", &b.topic("r"), options)?;
    retain(b, "one")?;
    ensure!(sub.message()?.retain, "RETAIN is 0, and was published as 1");
    b.publish(&Message::new(&b.topic("r"), Q0, "two"))?;
    ensure!(!sub.message()?.retain, "RETAIN is 1, and was published as 0");
    Ok(())
}

fn handling(b: &Bench, retain_handling: u8) -> Done {
    retain(b, "one")?;
    let options = SubscribeOptions { retain_handling, ..at(Q1) };
    let mut sub = b.subscriber("sub", &b.topic("r"), options)?;
    if retain_handling < 2 {
        sub.message()?;
    }
    b.calm(&mut sub)?;
    sub.subscribe(&b.topic("r"), options)?;
    if retain_handling == 0 {
        sub.message()?;
    }
    b.calm(&mut sub)?;
    if retain_handling == 1 {
        // After UNSUBSCRIBE it is new again.
        sub.unsubscribe(&[&b.topic("r")])?;
        sub.subscribe(&b.topic("r"), options)?;
        sub.message()?;
    }
    Ok(())
}

fn again(b: &Bench) -> Done {
    retain(b, "one")?;
    let mut sub = b.subscriber("sub", &b.topic("r"), at(Q1))?;
    sub.message()?;
    sub.subscribe(&b.topic("r"), at(Q0))?;
    let m = sub.message()?;
    ensure!(m.retain && m.text() == "one", "it came as {m:?}");
    Ok(())
}

fn wildcard(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    b.needs(b.can.retain, "retained messages")?;
    let topics = ["a", "a/b", "c"].map(|t| b.topic(t));
    for topic in &topics {
        b.publish(&Message::new(topic, Q1.min(b.can.maximum_qos), topic).retained())?;
    }
    let mut sub = b.subscriber("sub", &b.topic("#"), at(Q1))?;
    let mut came = Vec::new();
    for _ in &topics {
        let m = sub.message()?;
        ensure!(m.retain && m.text() == m.topic, "it came as {m:?}");
        came.push(m.topic);
    }
    came.sort();
    ensure!(came == topics, "retained messages came of {came:?}");
    b.calm(&mut sub)
}

fn qos(b: &Bench) -> Done {
    b.needs(b.can.retain, "retained messages")?;
    b.needs_qos(Q2)?;
    b.publish(&Message::new(&b.topic("r"), Q2, "one").retained())?;
    for granted in [Q0, Q1, Q2] {
        let mut sub = b.subscriber("sub", &b.topic("r"), at(granted))?;
        let m = sub.message()?;
        ensure!(m.qos == granted, "granted {}, and it came at {}", granted as u8, m.qos as u8);
    }
    Ok(())
}
