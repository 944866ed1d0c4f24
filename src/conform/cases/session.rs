//! Sessions: begun, taken up, ended.

use super::super::bench::Bench;
use super::super::case::{Case, Done, ensure};
use super::{Q0, Q1, Q2, at};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::peer::message::Message;
use crate::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("session-new", "Session Present is 0 where there was no session.", new)
            .v311("3.2.2-3 3.1.2-4")
            .v5("3.2.2-3 3.1.2-6"),
        Case::new(
            "session-resumed",
            "A lasting session is found again: Session Present, and its subscriptions.",
            resumed,
        )
        .v311("3.1.2-4 3.2.2-2 4.1.0-1 3.1.3-2")
        .v5("3.1.2-5 3.2.2-3 3.1.2-23 3.1.3-2"),
        Case::new("session-queue", "QoS 1 and 2 messages wait for the client of a lasting session.", queue)
            .v311("3.1.2-5 4.5.0-1")
            .v5("3.1.2-23 4.5.0-1"),
        Case::new("session-clean", "A clean start ends the old session, with all that belongs to it.", clean)
            .v311("3.1.2-6 3.1.4-3 3.2.2-1")
            .v5("3.1.2-4 3.1.4-4 3.2.2-2"),
        Case::new("session-clean-live", "A clean start ends a session whose connection is open.", clean_live)
            .v311("3.1.2-6 3.1.4-2 3.1.4-3 3.2.2-1")
            .v5("3.1.2-4 3.1.4-3 3.1.4-4 3.2.2-2"),
        Case::new(
            "session-not-reused",
            "A session that lasts as long as its connection is not found again.",
            not_reused,
        )
        .v311("3.1.2-6 3.2.2-3")
        .v5("4.1.0-2 3.2.2-3"),
        Case::new("session-of-its-client", "Sessions belong to client identifiers, letter by letter.", own_id)
            .both("3.1.3-2"),
        Case::new("session-kept-while-connected", "A session lasts at least as long as its connection.", connected)
            .v311("4.1.0-1 4.1.0-2")
            .v5("4.1.0-1"),
        Case::new(
            "session-expires",
            "A session ends when its expiry interval has passed since the connection's end.",
            expires,
        )
        .v5("4.1.0-2"),
        Case::new("session-expiry-changed", "DISCONNECT may set another expiry interval.", changed)
            .v5("4.1.0-2 3.1.2-23"),
        Case::new("session-for-ever", "A session with the longest interval does not end.", for_ever).v5("3.1.2-23"),
        Case::new("retained-outlive-sessions", "Retained messages stay when their publisher's session ends.", retained)
            .v311("3.1.2-7"),
    ]
}

fn new(b: &Bench) -> Done {
    let (peer, present) = b.enter_session("fresh", &b.hello("fresh").lasting(60))?;
    ensure!(!present, "Session Present, and there was none");
    peer.disconnect();
    Ok(())
}

fn resumed(b: &Bench) -> Done {
    let hello = b.hello("back").lasting(60);
    let (mut peer, _) = b.enter_session("back", &hello)?;
    peer.subscribe(&b.topic("t"), at(Q0))?;
    peer.disconnect();
    let (mut peer, present) = b.enter_session("back", &hello)?;
    ensure!(present, "no Session Present, and there is one");
    b.publish(&Message::new(&b.topic("t"), Q0, "x"))?;
    peer.message()?;
    // And once more, after a connection that just broke.
    peer.cut();
    let (_, present) = b.enter_session("back", &hello)?;
    ensure!(present, "no Session Present after a connection that broke");
    Ok(())
}

fn queue(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let hello = b.hello("away").lasting(60);
    let (mut peer, _) = b.enter("away", &hello)?;
    peer.subscribe(&b.topic("#"), at(Q2))?;
    peer.disconnect();
    let highest = [Q1, b.can.maximum_qos];
    for (i, qos) in highest.into_iter().enumerate() {
        b.publish(&Message::new(&b.topic("t"), qos, format!("{i}")))?;
    }
    let (mut peer, _) = b.enter("away", &hello)?;
    let mut got: Vec<String> = Vec::new();
    for _ in highest {
        got.push(peer.message()?.text());
    }
    got.sort();
    ensure!(got == ["0", "1"], "of two messages that waited came {got:?}");
    b.calm(&mut peer)
}

fn clean(b: &Bench) -> Done {
    let hello = b.hello("again").lasting(60);
    let (mut peer, _) = b.enter("again", &hello)?;
    peer.subscribe(&b.topic("t"), at(Q1))?;
    peer.disconnect();
    b.publish(&Message::new(&b.topic("t"), Q1, "queued"))?;
    let (mut peer, present) = b.enter_session("again", &hello.clean(true))?;
    ensure!(!present, "Session Present after a clean start");
    b.publish(&Message::new(&b.topic("t"), Q1, "later"))?;
    b.calm(&mut peer)
}

fn clean_live(b: &Bench) -> Done {
    let hello = b.hello("again").lasting(60);
    let (mut old, _) = b.enter("old", &hello)?;
    old.subscribe(&b.topic("t"), at(Q1))?;
    let (mut new, present) = b.enter_session("new", &hello.clean(true))?;
    ensure!(!present, "Session Present after a clean start");
    old.closed()?;
    b.publish(&Message::new(&b.topic("t"), Q1, "later"))?;
    b.calm(&mut new)
}

fn not_reused(b: &Bench) -> Done {
    let (mut peer, _) = b.enter("once", &b.hello("once"))?;
    peer.subscribe(&b.topic("t"), at(Q1))?;
    peer.disconnect();
    let (mut peer, present) = b.enter_session("once", &b.hello("once").clean(false))?;
    ensure!(!present, "Session Present, and the session had ended with its connection");
    b.publish(&Message::new(&b.topic("t"), Q1, "later"))?;
    b.calm(&mut peer)
}

fn own_id(b: &Bench) -> Done {
    let (peer, _) = b.enter("a", &b.hello("a").lasting(60))?;
    peer.disconnect();
    for other in ["A", "aa", "b"] {
        let (peer, present) = b.enter_session(other, &b.hello(other).lasting(60))?;
        ensure!(!present, "Session Present for {:?}, whose session is that of {:?}", b.id(other), b.id("a"));
        peer.disconnect();
    }
    let (_, present) = b.enter_session("a", &b.hello("a").lasting(60))?;
    ensure!(present, "no Session Present for {:?}", b.id("a"));
    Ok(())
}

fn connected(b: &Bench) -> Done {
    let hello = if b.v5() { b.hello("stays").lasting(1) } else { b.hello("stays") };
    let (mut peer, _) = b.enter("stays", &hello)?;
    peer.subscribe(&b.topic("t"), at(Q1))?;
    // Longer than the expiry interval, which counts from the connection's end alone.
    peer.quiet = Duration::from_millis(2500);
    peer.silence()?;
    b.publish(&Message::new(&b.topic("t"), Q1, "x"))?;
    peer.message()?;
    Ok(())
}

/// Longer than an expiry of 1 s, with a second for coarse timers: *assumed*.
const PAST_ONE_SECOND: Duration = Duration::from_millis(2200);

fn wait(b: &Bench, long: Duration) -> Done {
    let mut idle = b.client("idle")?;
    idle.quiet = long;
    Ok(idle.silence()?)
}

fn expires(b: &Bench) -> Done {
    let hello = b.hello("brief").lasting(1);
    b.enter("brief", &hello)?.0.disconnect();
    wait(b, PAST_ONE_SECOND)?;
    let (_, present) = b.enter_session("brief", &hello)?;
    ensure!(!present, "Session Present 2.2 s after the end of a session that was to last 1 s");
    Ok(())
}

fn changed(b: &Bench) -> Done {
    let expiry = |seconds| {
        let mut p = PropertiesBuf::default();
        p.push(Property::SessionExpiryInterval(seconds));
        p
    };
    let (peer, _) = b.enter("shorter", &b.hello("shorter").lasting(60))?;
    peer.disconnect_with(0, expiry(0).as_properties());
    let (_, present) = b.enter_session("shorter", &b.hello("shorter").lasting(60))?;
    ensure!(!present, "Session Present, and DISCONNECT had set the expiry to 0");
    let (peer, _) = b.enter("longer", &b.hello("longer").lasting(1))?;
    peer.disconnect_with(0, expiry(60).as_properties());
    wait(b, PAST_ONE_SECOND)?;
    let (_, present) = b.enter_session("longer", &b.hello("longer").lasting(60))?;
    ensure!(present, "no Session Present, and DISCONNECT had set the expiry to 60 s");
    Ok(())
}

fn for_ever(b: &Bench) -> Done {
    let hello = b.hello("eternal").lasting(u32::MAX);
    b.enter("eternal", &hello)?.0.disconnect();
    wait(b, Duration::from_millis(1200))?;
    let (peer, present) = b.enter_session("eternal", &hello)?;
    ensure!(present, "no Session Present, and the session has no end");
    peer.disconnect();
    Ok(())
}

fn retained(b: &Bench) -> Done {
    b.publish(&Message::new(&b.topic("t"), Q1, "kept").retained())?;
    let mut peer = b.subscriber("later", &b.topic("t"), at(Q1))?;
    ensure!(peer.message()?.retain, "RETAIN is 0 on a retained message");
    Ok(())
}
