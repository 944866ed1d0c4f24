//! Wills.

use super::super::bench::Bench;
use super::super::case::{Case, Done, ensure, not_applicable};
use super::{ALL_QOS, Q0, Q1, at};
use crate::mqtt::properties::{Properties, Property};
use crate::peer::Got;
use crate::peer::message::Message;
use crate::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("will-after-cut", "A will is published when its connection breaks, at its own QoS.", cut)
            .v311("3.1.2-8 3.1.2-14 3.1.2-9")
            .v5("3.1.2-7 3.1.2-8 3.1.2-12 3.1.2-9"),
        Case::new("will-after-error", "A will is published when the broker closes for a malformed packet.", |b| {
            error(b, &[0, 0])
        })
        .both("3.1.2-8"),
        Case::new(
            "will-after-second-connect",
            "A will is published when the broker closes for a second CONNECT.",
            |b| error(b, &b.hello("wrong").bytes()),
        )
        .both("3.1.2-8"),
        Case::new("will-not-after-disconnect", "DISCONNECT discards the will.", disconnect)
            .v311("3.1.2-10 3.14.4-3")
            .v5("3.1.2-10 3.14.4-3"),
        Case::new("will-once", "A will is published once, and forgotten then.", once)
            .v311("3.1.2-10 3.1.2-12")
            .v5("3.1.2-10"),
        Case::new("will-not-retained", "A will without Will Retain is not retained.", not_retained)
            .v311("3.1.2-16")
            .v5("3.1.2-14"),
        Case::new("will-retained", "A will with Will Retain is retained.", retained).v311("3.1.2-17").v5("3.1.2-15"),
        Case::new(
            "will-at-take-over",
            "A client whose place is taken without DISCONNECT has its will published.",
            take_over,
        )
        .v311("3.1.2-8"),
        Case::new("will-wanted-at-disconnect", "DISCONNECT with reason 0x04 has the will published.", with_will)
            .v5("3.1.2-8"),
        Case::new("will-delayed", "A will waits for its delay.", delayed).v5("3.1.2-8"),
        Case::new("will-delay-return", "A client that returns within the will's delay suppresses it.", came_back)
            .v5("3.1.3-9 3.1.2-8"),
        Case::new(
            "will-delay-session-end",
            "A delayed will is published when its session ends before the delay.",
            session_end,
        )
        .v5("3.1.2-8"),
        Case::new("will-properties", "A will carries its properties, user properties in their order.", properties)
            .v5("3.1.3-10 3.3.2-17 3.3.2-18"),
    ]
}

fn cut(b: &Bench) -> Done {
    for qos in ALL_QOS.into_iter().filter(|q| *q <= b.can.maximum_qos) {
        let topic = b.topic(&format!("will{}", qos as u8));
        let mut watcher = b.subscriber("watcher", &topic, at(qos))?;
        let (peer, _) = b.enter("dying", &b.hello("dying").will(&topic, "gone", qos, false))?;
        peer.cut();
        let message = watcher.message()?;
        ensure!(message.text() == "gone" && message.qos == qos, "the will came as {message:?}");
    }
    Ok(())
}

fn error(b: &Bench, bytes: &[u8]) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let (mut peer, _) = b.enter("wrong", &b.hello("wrong").will(&topic, "gone", Q0, false))?;
    peer.send_raw(bytes, "what must end the connection");
    peer.closed()?;
    watcher.message()?;
    Ok(())
}

fn disconnect(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let (peer, _) = b.enter("leaving", &b.hello("leaving").will(&topic, "gone", Q0, false))?;
    peer.disconnect();
    b.calm(&mut watcher)
}

fn once(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let (peer, _) = b.enter("dying", &b.hello("dying").will(&topic, "gone", Q0, false))?;
    peer.cut();
    watcher.message()?;
    // The same client without a will: nothing is left of the old one.
    b.client("dying")?.cut();
    b.publish(&Message::new(&topic, Q0, "mark"))?;
    let next = watcher.message()?;
    ensure!(next.text() == "mark", "the will was published again");
    b.calm(&mut watcher)
}

fn leave_a_will(b: &Bench, retain: bool) -> Result<String, super::super::case::Stop> {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let (peer, _) = b.enter("dying", &b.hello("dying").will(&topic, "gone", Q0, retain))?;
    peer.cut();
    let live = watcher.message()?;
    ensure!(!live.retain, "RETAIN is 1 on a message to a subscription that was there before");
    Ok(topic)
}

fn not_retained(b: &Bench) -> Done {
    let topic = leave_a_will(b, false)?;
    let mut later = b.subscriber("later", &topic, at(Q0))?;
    b.calm(&mut later)
}

fn retained(b: &Bench) -> Done {
    b.needs(b.can.retain, "retained messages")?;
    let topic = leave_a_will(b, true)?;
    let mut later = b.subscriber("later", &topic, at(Q0))?;
    let message = later.message()?;
    ensure!(message.retain && message.text() == "gone", "a later subscriber got {message:?}");
    Ok(())
}

fn take_over(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let hello = b.hello("same");
    let (mut old, _) = b.enter("old", &hello.clone().will(&topic, "gone", Q0, false))?;
    let (_new, _) = b.enter("new", &hello)?;
    old.closed()?;
    watcher.message()?;
    Ok(())
}

fn with_will(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let (peer, _) = b.enter("leaving", &b.hello("leaving").will(&topic, "gone", Q0, false))?;
    peer.disconnect_with(4, Properties::EMPTY);
    watcher.message()?;
    Ok(())
}

fn delayed(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let hello = b.hello("dying").lasting(60).will(&topic, "gone", Q0, false).will_with(Property::WillDelayInterval(2));
    b.enter("dying", &hello)?.0.cut();
    // Well before the delay: a clock that counts whole seconds may be almost one early.
    match watcher.next(Duration::from_millis(900)) {
        Got::Silence => {}
        got => return super::super::case::broken(format!("0.9 s after the end, before the delay of 2 s, came {got}")),
    }
    watcher.message()?;
    Ok(())
}

fn came_back(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let hello = b.hello("dying").lasting(60).will(&topic, "gone", Q0, false).will_with(Property::WillDelayInterval(1));
    b.enter("dying", &hello)?.0.cut();
    let (peer, present) = b.enter_session("dying", &b.hello("dying").lasting(60))?;
    if !present {
        return not_applicable("it did not find the session again: see session-resumed");
    }
    watcher.quiet = Duration::from_millis(2500);
    watcher.silence()?;
    peer.disconnect();
    Ok(())
}

fn session_end(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q0))?;
    let hello = b.hello("dying").lasting(1).will(&topic, "gone", Q0, false).will_with(Property::WillDelayInterval(60));
    b.enter("dying", &hello)?.0.cut();
    watcher.message()?;
    Ok(())
}

fn properties(b: &Bench) -> Done {
    let topic = b.topic("will");
    let mut watcher = b.subscriber("watcher", &topic, at(Q1))?;
    let carried = [
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("answer/here"),
        Property::CorrelationData(b"7"),
        Property::UserProperty("b", "1"),
        Property::UserProperty("a", "2"),
        Property::UserProperty("b", "0"),
    ];
    let mut hello = b.hello("dying").will(&topic, "gone", Q1.min(b.can.maximum_qos), false);
    for property in carried {
        hello = hello.will_with(property);
    }
    b.enter("dying", &hello)?.0.cut();
    let message = watcher.message()?;
    super::properties::carries(&message, &carried)
}
