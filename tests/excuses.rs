//! Every named reason that excuses a loss, both ways: taken where it applies, and not taken where it does not.

#![allow(dead_code, missing_docs, unused_imports, clippy::unwrap_used)]
#![allow(clippy::enum_variant_names, reason = "a library's public names look like private ones here")]

#[path = "../src/promise.rs"]
mod promise;
#[path = "support/story.rs"]
mod story;
#[path = "../src/table.rs"]
mod table;
#[path = "../src/time.rs"]
mod time;
#[path = "../src/trace.rs"]
mod trace;
#[path = "../src/verdict/mod.rs"]
mod verdict;

use promise::{BrokerPromises, Client, Durability, Guarantee, HardPath, SessionPromise};
use std::collections::BTreeMap;
use story::*;
use time::{Duration, Instant};
use trace::{Ack, ClientId, Delivered, EndedBy, FaultKind, Sent, What};
use verdict::outcome::{Outcome, Verdicts};

/// The excuses that were taken, by name.
fn taken(v: &Verdicts) -> BTreeMap<&'static str, u64> {
    v.excuses.iter().filter(|e| e.count > 0).map(|e| (e.name, e.count)).collect()
}

#[track_caller]
fn excused_by(s: &mut Story, name: &'static str, count: u64) {
    let v = s.take().verdicts();
    assert_eq!(breaches(&v), BTreeMap::new());
    assert_eq!(taken(&v), [(name, count)].into());
}

/// A publisher and a connected subscriber, with what the broker declares.
fn with_broker(qos: u8, granted: u8, strict: bool, broker: BrokerPromises) -> Story {
    let mut s = Story::with(vec![publisher("t", qos), subscriber(PERSISTENT, &[("t", qos)])], |p| {
        p.broker = broker;
        p.strict = strict;
    });
    s.up(0, false, false).up(1, false, false).subscribe(1, 0, granted);
    s
}

#[test]
fn every_excuse_is_listed_whether_it_was_needed_or_not() {
    let v = pair(1, 1).flow(0..1).get(1, 0, 1).take().verdicts();
    assert_eq!((v.excuses.len(), taken(&v).len()), (12, 0));
    let names: std::collections::BTreeSet<_> = v.excuses.iter().map(|e| e.name).collect();
    assert_eq!(names.len(), 12, "each has a name of its own");
}

#[test]
fn a_session_that_expired() {
    let lasting = |away: u64, present: bool| {
        let session = SessionPromise::Persistent(Some(Duration::from_secs(5)));
        let mut s = Story::new(vec![publisher("t", 1), subscriber(session, &[("t", 1)])]);
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).down(1).flow(0..2).wait(away);
        s.up(1, present, true);
        s
    };
    excused_by(&mut lasting(6_000, false), "session expired", 2);
    lasting(4_000, false).breaks(&[("lost", 2), ("session forgotten", 1)]); // [MQTT-3.1.2-23]
    // CONNACK was 10 s on its way, and the broker had long ended that connection: its clock began then.
    let session = SessionPromise::Persistent(Some(Duration::from_secs(5)));
    let mut s = Story::new(vec![subscriber(session, &[("t", 1)])]);
    s.at(0, What::TransportOpen).wait(10_000);
    s.at(0, What::Connected { reason: 0, session_present: false, expected_session: false });
    s.down(0).wait(1_000).up(0, false, true).holds();
    // A server may be late in deleting it; then what it owes is owed.
    lasting(6_000, true).get(1, 0, 1).get(1, 1, 1).holds();
    lasting(6_000, true).breaks(&[("lost", 2)]);
}

#[test]
fn a_session_that_the_client_ended() {
    let mut s = Story::new(vec![publisher("t", 1), subscriber(SessionPromise::Clean, &[("t", 1)])]);
    s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).flow(0..2).down(1).up(1, false, false);
    excused_by(&mut s, "session ended", 2);
    pair(1, 1).flow(0..2).down(1).up(1, true, true).breaks(&[("lost", 2)]); // a lasting one is owed it
}

#[test]
fn an_unsubscribe_before_sending_began() {
    let before = |then: u32| {
        let mut s = pair(1, 1);
        s.flow(0..then).at(1, What::UnsubscribeSent { filter: 0 }).flow(then..3);
        s
    };
    excused_by(&mut before(2), "unsubscribed", 2); // the two may not have been begun
    before(0).holds(); // sent after it: not due at all
    pair(1, 1).flow(0..3).breaks(&[("lost", 3)]);
}

#[test]
fn a_message_that_expired_while_it_waited() {
    let waits = |away: bool, expiry: u64| {
        let mut sender = publisher("t", 1);
        sender.publishes.as_mut().unwrap().expiry = Some(Duration::from_secs(expiry));
        let mut s = Story::new(vec![sender, subscriber(PERSISTENT, &[("t", 1)])]);
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1);
        if away {
            s.down(1);
        }
        s.flow(0..2).wait(20_000);
        if away {
            s.up(1, true, true);
        }
        s
    };
    excused_by(&mut waits(true, 10), "message expired", 2); // [MQTT-3.3.2-5]
    waits(true, 10_000).breaks(&[("lost", 2)]); // its time was not over
    waits(true, 10).get(1, 0, 1).get(1, 1, 1).holds(); // whether it may still come is another oracle's
    // Nobody was away: the first had nothing to wait for.
    let v = waits(false, 10).verdicts();
    assert_eq!((breaches(&v), taken(&v)), ([("lost", 1)].into(), [("message expired", 1)].into()));
}

#[test]
fn a_message_larger_than_the_subscriber_accepts() {
    // Fixed header 2, topic 2 + 1, identifier 2, no properties 1, payload 16: 24 bytes.
    let limited = |limit: u32| {
        let mut receiver = subscriber(PERSISTENT, &[("t", 1)]);
        receiver.maximum_packet_size = Some(limit);
        let mut s = Story::new(vec![publisher("t", 1), receiver]);
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).flow(0..2);
        assert_eq!(s.judge.owed(), if limit < 24 { 0 } else { 2 }, "nobody waits for what cannot come");
        s
    };
    excused_by(&mut limited(23), "packet too large", 2); // [MQTT-3.1.2-25]
    limited(24).breaks(&[("lost", 2)]);
    // 100 bytes of properties, 5 of expiry, and for each of two matching filters an identifier of 1 + 2: 135 bytes, and one more for the
    // length of what is longer than 127.
    let laden = |limit: u32| {
        let (mut sender, mut receiver) = (publisher("t", 1), subscriber(PERSISTENT, &[("t", 1), ("#", 1)]));
        let publishes = sender.publishes.as_mut().unwrap();
        (publishes.properties, publishes.expiry) = (100, Some(Duration::from_secs(1_000)));
        (receiver.maximum_packet_size, receiver.subscription_identifier) = (Some(limit), Some(300));
        let mut s = Story::new(vec![sender, receiver]);
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).subscribe(1, 1, 1).flow(0..2);
        s
    };
    excused_by(&mut laden(135), "packet too large", 2);
    laden(136).breaks(&[("lost", 2)]);
    // A group whose member does not take it may get it by another, or not at all.
    let mut small = member(PERSISTENT);
    small.maximum_packet_size = Some(23);
    let mut s = Story::new(vec![publisher("t", 1), small, member(PERSISTENT)]);
    s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).up(2, false, false).subscribe(2, 0, 1);
    excused_by(s.flow(0..2).get(2, 0, 1), "packet too large", 1);
}

#[test]
fn a_publish_that_a_3_1_1_broker_denies_and_acknowledges() {
    let denied = |level: u8, filter: &str, strict: bool| {
        let mut sender = publisher("a/b", 1);
        sender.mqtt_level = level;
        let mut s = Story::with(vec![sender, subscriber(PERSISTENT, &[("#", 1)])], |p| {
            p.broker.denies = vec![filter.into()];
            p.strict = strict;
        });
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).flow(0..2);
        s
    };
    excused_by(&mut denied(4, "a/#", false), "publishing denied", 2); // [MQTT-3.3.5-2]
    denied(5, "a/#", false).breaks(&[("lost", 2)]); // 5.0 has a reason code for it
    denied(4, "b/#", false).breaks(&[("lost", 2)]);
    denied(4, "a/#", true).breaks(&[("lost", 2)]);
}

#[test]
fn a_message_that_the_subscriber_itself_declined() {
    let mut s = pair(2, 2);
    s.flow(0..2).at(1, What::Declined { publisher: ClientId(0), number: 0 }).get(1, 1, 2);
    assert_eq!(s.judge.owed(), 0);
    excused_by(&mut s, "declined", 1);
    pair(2, 2).flow(0..2).get(1, 1, 2).breaks(&[("lost", 1)]);
}

#[test]
fn a_qos_lower_than_was_asked_for() {
    let granted = |granted: u8, strict: bool| {
        let mut s = with_broker(2, granted, strict, BrokerPromises { max_qos: Some(1), ..BrokerPromises::default() });
        s.flow(0..2).get(1, 0, granted).get(1, 1, granted);
        s
    };
    excused_by(&mut granted(1, false), "QoS downgrade", 2); // [MQTT-3.8.4-6]
    granted(2, true).holds();
    granted(1, true).breaks(&[("QoS downgraded", 1)]);
}

#[test]
fn a_member_of_a_share_group_that_left() {
    let group = |leaves: bool| {
        let clients = vec![publisher("t", 1), member(SessionPromise::Clean), member(SessionPromise::Clean)];
        let mut s = Story::new(clients);
        s.up(0, false, false).up(1, false, false).up(2, false, false).subscribe(1, 0, 1).subscribe(2, 0, 1).flow(0..2);
        s.get(2, 0, 1);
        if leaves {
            s.down(1);
        }
        s
    };
    excused_by(&mut group(true), "share member left", 1); // [MQTT-4.8.2-5, -6]
    group(false).breaks(&[("lost", 1)]);
}

#[test]
fn more_than_the_declared_queue_holds() {
    let queue = |limit: Option<u64>, strict: bool| {
        let mut s = with_broker(1, 1, strict, BrokerPromises { offline_queue: limit, ..BrokerPromises::default() });
        s.down(1).flow(0..10).up(1, true, true);
        for n in 0..8 {
            s.get(1, n, 1);
        }
        s
    };
    excused_by(&mut queue(Some(8), false), "offline queue", 2);
    queue(Some(10), false).breaks(&[("lost", 2)]);
    queue(None, false).breaks(&[("lost", 2)]);
    queue(Some(8), true).breaks(&[("lost", 2)]);
}

/// Two messages, 4 s, a third; then a kill, and both come back to their sessions.
fn killed(durability: Durability, strict: bool) -> Story {
    let mut s = with_broker(2, 2, strict, BrokerPromises { durability, ..BrokerPromises::default() });
    s.wait(10_000).down(1).flow(0..2).wait(4_000).flow(2..3).fault(FaultKind::BrokerKill);
    s.down(0).wait(1_000).up(0, true, true).up(1, true, true);
    s
}

#[test]
fn a_kill_takes_what_the_broker_does_not_declare_to_keep() {
    excused_by(&mut killed(Durability::None, false), "declared durability", 3);
    excused_by(&mut killed(Durability::Unknown, false), "undeclared durability", 3);
    killed(Durability::Always, false).breaks(&[("gone after a kill", 3)]);
    killed(Durability::None, true).breaks(&[("gone after a kill", 3)]);
    // What was acknowledged after it is lost like any other.
    let v = killed(Durability::Always, false).flow(3..4).take().verdicts();
    assert_eq!(breaches(&v), [("gone after a kill", 3), ("lost", 1)].into());
    let qos2 = v.guarantees.iter().find(|j| j.guarantee == Guarantee::Qos2).unwrap();
    assert_eq!(qos2.statements, ["MQTT-4.3.3-1", "MQTT-4.5.0-1"], "both offend the same ones, which are named once");
}

/// What a broker forgets, it forgets at its end: its new start excuses nothing that it acknowledged since, and is no restart of its own.
#[test]
fn a_new_start_takes_nothing() {
    let broker = BrokerPromises { durability: Durability::None, ..BrokerPromises::default() };
    let mut s = with_broker(2, 2, false, broker);
    s.flow(0..1).get(1, 0, 2).fault(FaultKind::BrokerKill).down(0).down(1).wait(1_000).fault(FaultKind::BrokerStarted);
    s.wait(1).up(0, true, true).up(1, true, true).flow(1..2).wait(1_000);
    s.breaks(&[("lost", 1)]);
}

/// Back with what it knew some time before, it hands on once more what it had handed on since; nobody declared how long before.
#[test]
fn after_a_kill_a_broker_that_declares_nothing_may_hand_on_again_what_came_before_it() {
    let again = |durability: Durability, strict: bool| {
        let mut s = with_broker(2, 2, strict, BrokerPromises { durability, ..BrokerPromises::default() });
        s.flow(0..2).get(1, 0, 2).get(1, 1, 2).fault(FaultKind::BrokerKill);
        s.down(0).down(1).wait(1_000).up(0, true, true).up(1, true, true).get(1, 0, 2).flow(2..3).get(1, 2, 2);
        s
    };
    again(Durability::Unknown, false).holds();
    again(Durability::Unknown, true).breaks(&[("duplicated", 1)]);
    again(Durability::Always, false).breaks(&[("duplicated", 1)]);
    // Once for each kill, and not what was published after it.
    again(Durability::Unknown, false).get(1, 0, 2).breaks(&[("duplicated", 1)]);
    again(Durability::Unknown, false).get(1, 2, 2).breaks(&[("duplicated", 1)]);
}

/// Its identifiers begin anew, and the subscriber still holds one of them for a message from before the kill: it cannot but take
/// the new message for the old one.
#[test]
fn a_kill_takes_what_comes_under_an_identifier_from_before_it() {
    let masked = |durability: Durability, strict: bool| {
        let mut s = with_broker(2, 2, strict, BrokerPromises { durability, ..BrokerPromises::default() });
        s.flow(0..2).get(1, 0, 2).get(1, 1, 2).fault(FaultKind::BrokerKill);
        s.down(0).down(1).wait(1_000).up(0, true, true).up(1, true, true).flow(2..4);
        s.at(1, What::Masked { publisher: ClientId(0), number: 2 }).get(1, 3, 2);
        s
    };
    excused_by(&mut masked(Durability::Unknown, false), "undeclared durability", 1);
    excused_by(&mut masked(Durability::Within(Duration::from_secs(9)), false), "declared durability", 1);
    masked(Durability::Unknown, true).breaks(&[("lost", 1)]);
    masked(Durability::Always, false).breaks(&[("lost", 1)]);
    // What was excused before is excused once.
    let v =
        killed(Durability::Unknown, false).at(1, What::Masked { publisher: ClientId(0), number: 1 }).take().verdicts();
    assert_eq!((breaches(&v), taken(&v)), (BTreeMap::new(), [("undeclared durability", 3)].into()));
}

#[test]
fn a_kill_takes_what_is_younger_than_declared_and_nothing_else() {
    let within = |secs: u64| killed(Durability::Within(Duration::from_secs(secs)), false);
    let v = within(1).verdicts();
    assert_eq!((breaches(&v), taken(&v)), ([("gone after a kill", 2)].into(), [("declared durability", 1)].into()));
    excused_by(&mut within(1).get(1, 0, 2).get(1, 1, 2).take(), "declared durability", 1);
    excused_by(&mut within(60), "declared durability", 3);
    // What comes after all needs no excuse, and neither does what is sent again, which is due again.
    excused_by(&mut within(60).get(1, 1, 2).take(), "declared durability", 2);
    let all = within(60).get(1, 0, 2).get(1, 1, 2).get(1, 2, 2).take().verdicts();
    assert_eq!((breaches(&all), taken(&all)), (BTreeMap::new(), BTreeMap::new()));
    let v = within(60).resend(2).take().verdicts();
    assert_eq!((breaches(&v), taken(&v)), ([("gone after a kill", 1)].into(), [("declared durability", 2)].into()));
    // It may also have forgotten that it had handed on a young one: then it does so again. An old one it may not.
    let again = |number: u32| {
        let mut s = within(1);
        s.get(1, 0, 2).get(1, 1, 2).get(1, 2, 2).get(1, number, 2);
        s
    };
    again(2).holds();
    again(0).breaks(&[("duplicated", 1)]);
}

#[test]
fn a_kill_takes_a_session_only_if_it_is_younger_than_declared() {
    let returns = |age: u64| {
        let durability = Durability::Within(Duration::from_secs(2));
        let mut s = Story::with(vec![publisher("t", 1), subscriber(PERSISTENT, &[("t", 1)])], |p| {
            p.broker = BrokerPromises { durability, ..BrokerPromises::default() };
        });
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).wait(age).fault(FaultKind::BrokerKill);
        s.down(1).wait(1_000).up(1, false, true);
        s
    };
    excused_by(&mut returns(1_000), "declared durability", 1);
    returns(10_000).breaks(&[("session forgotten", 1)]);
    // Resumed in between: it is as old as when it was made.
    let mut s = Story::with(vec![publisher("t", 1), subscriber(PERSISTENT, &[("t", 1)])], |p| {
        p.broker.durability = Durability::Within(Duration::from_secs(2));
    });
    s.up(0, false, false).up(1, false, false).wait(10_000).down(1).up(1, true, true).fault(FaultKind::BrokerKill);
    s.down(1).wait(1_000).up(1, false, true).breaks(&[("session forgotten", 1)]);
}

// ---- strength ----

fn outcome(v: &Verdicts, g: Guarantee) -> Outcome {
    v.guarantees.iter().find(|j| j.guarantee == g).map(|j| j.outcome.clone()).unwrap()
}

#[test]
fn what_the_scenario_names_must_be_walked() {
    let run = |kill: bool| {
        let mut s = Story::with(vec![publisher("t", 1), subscriber(PERSISTENT, &[("t", 1)])], |p| {
            p.must_walk = vec![HardPath::Kill];
            p.broker.durability = Durability::Always;
        });
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).flow(0..4);
        if kill {
            s.fault(FaultKind::BrokerKill);
        }
        for n in 0..4 {
            s.get(1, n, 1);
        }
        s.verdicts()
    };
    let why = Outcome::NotEnoughEvidence("the scenario names broker kills, and there were none".into());
    assert_eq!(outcome(&run(false), Guarantee::Qos1), why);
    assert!(matches!(outcome(&run(true), Guarantee::Qos1), Outcome::HeldUntested(_)));
    assert!(matches!(outcome(&run(false), Guarantee::Order), Outcome::HeldUntested(_)), "a kill is no test of order");
}

#[test]
fn a_hard_path_counts_when_it_is_walked() {
    let untested = |s: &mut Story, g| match outcome(&s.take().verdicts(), g) {
        Outcome::HeldUntested(paths) => paths,
        _ => Vec::new(),
    };
    let all =
        ["reconnects with messages in flight", "PUBLISH sent again", "PUBREL sent again", "kills with messages owed"];
    let plain = untested(pair(2, 2).flow(0..1).get(1, 0, 2), Guarantee::Qos2);
    assert!(all.iter().all(|p| plain.contains(p)), "{plain:?}");
    let mut s = pair(2, 2);
    s.send(0).fault(FaultKind::BrokerKill).down(0).up(0, true, true).resend(0);
    s.at(0, What::ReleasedAgain { packet_id: 1 }).at(1, What::RepeatSuppressed { packet_id: 1 }).ack(0).get(1, 0, 2);
    let walked = untested(&mut s, Guarantee::Qos2);
    assert!(!all.iter().any(|p| walked.contains(p)), "{walked:?}");
    assert!(!walked.contains(&"duplicates suppressed by the subscriber"), "{walked:?}");
}

// ---- evidence ----

#[test]
fn a_loss_is_told_from_its_beginning_though_it_is_proved_only_at_the_end() {
    let mut s = pair(1, 1);
    s.at(0, What::LinkLost { up: true, why: trace::LinkLoss::Random, bytes: 24 });
    s.send(0).ack(0).send(1).ack(1).get(1, 1, 1);
    for n in 2..500 {
        s.send(n).ack(n).get(1, n, 1);
    }
    s.down(1).up(1, true, true);
    let v = s.verdicts();
    let story = v.evidence.first().expect("a story");
    let told: Vec<&str> = story.time_line.iter().map(|m| m.what.as_str()).collect();
    assert!(!story.partial && told.contains(&"PUBLISH #0 id 1") && told.contains(&"PUBACK for #0"), "{told:?}");
    assert!(story.time_line.iter().any(|m| m.note == "link: lost" && m.what == "24 B of MQTT"), "{told:?}");
    assert!(!told.iter().any(|w| w.contains("power cut")), "what came long after is no part of it: {told:?}");
    assert_eq!(story.statements, ["MQTT-4.3.2-2", "MQTT-4.5.0-1"]);
}

#[test]
fn a_story_has_the_subscribers_answers_and_the_faults_in_it() {
    let mut s = pair(2, 2);
    s.send(0).get(1, 0, 2).fault(FaultKind::BrokerPause).get(1, 0, 2);
    let v = s.verdicts();
    let told: Vec<(&str, &str)> = v.evidence[0].time_line.iter().map(|m| (m.what.as_str(), m.note.as_str())).collect();
    for line in [("PUBREC id 1", ""), ("fault", ""), ("PUBLISH client-0 #0, QoS 2 id 1", "second copy")] {
        assert!(told.contains(&line), "{line:?} in {told:?}");
    }
}
