//! The traps in which a naive oracle accuses a good broker, one test each: first what the naive oracle would say, then what the
//! judge says, then the same history with a fault in it, which the judge must not miss. After them, what may come either way.

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
use promise::{Durability, Guarantee, SessionPromise};
use std::collections::{BTreeMap, BTreeSet};
use story::*;
use time::Duration;
use trace::{Ack, ClientId, Delivered, EndedBy, FaultKind, Strange, Timeout, What};
use verdict::outcome::Outcome;

/// What a naive oracle sees: the numbers that arrived, and whether one of them came twice, or late.
fn naive(arrived: &[u32]) -> (bool, bool) {
    let twice = arrived.iter().collect::<BTreeSet<_>>().len() < arrived.len();
    (twice, arrived.windows(2).any(|w| w[1] < w[0]))
}

fn arrive(s: &mut Story, numbers: &[u32], qos: u8) -> Story {
    for n in numbers {
        s.get(1, *n, qos);
    }
    s.take()
}

#[test]
fn trap_1_a_subscriber_that_forgot_its_qos_2_ids_makes_duplicates_of_its_own() {
    assert_eq!(naive(&[0, 0]), (true, false));
    let forgot = |memory_lost: bool| {
        let mut s = pair(2, 2);
        s.flow(0..1).get(1, 0, 2).down(1);
        if memory_lost {
            s.at(1, What::MemoryLost);
        }
        s.up(1, true, true).get(1, 0, 2);
        s
    };
    forgot(true).holds(); // its own doing
    forgot(false).breaks(&[("duplicated", 1)]); // it kept them, so it is the broker's
}

#[test]
fn trap_2_a_qos_1_duplicate_may_come_with_dup_0_and_a_new_identifier() {
    let copy = |packet_id: u16| Delivered { packet_id, dup: false, ..message(0) };
    pair(1, 1).flow(0..1).copy(1, copy(1)).copy(1, copy(2)).holds();
    pair(0, 0)
        .send(0)
        .copy(1, Delivered { qos: 0, ..copy(0) })
        .copy(1, Delivered { qos: 0, ..copy(0) })
        .breaks(&[("duplicated", 1)]);
}

#[test]
fn trap_3_published_1_and_granted_0_may_come_twice() {
    assert_eq!(naive(&[0, 0]), (true, false));
    arrive(pair(1, 0).flow(0..1), &[0, 0], 0).holds(); // [MQTT-3.8.4-6]
    arrive(pair(0, 1).send(0), &[0, 0], 0).breaks(&[("duplicated", 1)]);
}

#[test]
fn trap_4_only_final_copies_are_ordered() {
    assert_eq!(naive(&[0, 1, 2, 1, 2, 3]), (true, true));
    arrive(pair(1, 1).flow(0..4), &[0, 1, 2, 1, 2, 3], 1).holds();
    arrive(pair(1, 1).flow(0..4), &[0, 1, 2, 1, 3], 1).breaks(&[("out of order", 1)]); // 2 was not repeated
}

#[test]
fn trap_5_pubrec_is_no_end_and_pubcomp_0x92_no_error() {
    let rec = What::Acked { number: 0, ack: Ack::PubRec, reason: 0 };
    // A Method A broker hands on at PUBREL: PUBREC alone makes nothing due.
    let v = pair(2, 2).send(0).at(0, rec).take().verdicts();
    assert_eq!(breaches(&v), [("stuck", 1)].into(), "unanswered, and not lost");
    let recovered = |present: bool| {
        let mut s = pair(2, 2);
        s.send(0).at(0, rec).down(0).up(0, present, present);
        s.at(0, What::Acked { number: 0, ack: Ack::PubComp, reason: 0x92 });
        s
    };
    recovered(true).breaks(&[("lost", 1)]);
    recovered(true).get(1, 0, 2).holds();
    recovered(false).holds();
    recovered(false).get(1, 0, 2).holds();
}

#[test]
fn trap_6_a_message_may_come_before_suback_and_after_unsubscribe() {
    let asked = || {
        let mut s = Story::new(vec![publisher("t", 1), subscriber(PERSISTENT, &[("t", 1)])]);
        s.up(0, false, false).up(1, false, false).at(1, What::SubscribeSent { filter: 0 });
        s
    };
    asked().flow(0..1).get(1, 0, 1).at(1, What::Subscribed { filter: 0, granted: 1 }).holds();
    pair(1, 1).flow(0..1).at(1, What::UnsubscribeSent { filter: 0 }).get(1, 0, 1).holds();
    // For a filter that nobody ever asked for there is no such excuse.
    let clients = vec![publisher("t", 1), subscriber(PERSISTENT, &[("u", 1)])];
    let mut s = Story::new(clients);
    s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).flow(0..1).get(1, 0, 1);
    s.breaks(&[("wrong subscription", 1)]);
}

#[test]
fn trap_7_a_retained_copy_is_no_second_delivery_and_its_absence_no_loss() {
    let retained = Delivered { retain: true, qos: 2, ..message(0) };
    pair(2, 2).flow(0..1).get(1, 0, 2).copy(1, retained).holds();
    pair(2, 2).flow(0..1).get(1, 0, 2).holds();
    pair(2, 2).flow(0..1).get(1, 0, 2).get(1, 0, 2).copy(1, retained).breaks(&[("duplicated", 1)]);
}

#[test]
fn trap_8_loss_through_failure_depends_on_what_was_declared() {
    let kill = |durability: Durability| {
        let clients = vec![publisher("t", 1), subscriber(PERSISTENT, &[("t", 1)])];
        let mut s = Story::with(clients, |p| p.broker.durability = durability);
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).flow(0..1).fault(FaultKind::BrokerKill);
        s.down(1).wait(500).up(1, true, true);
        s
    };
    kill(Durability::Unknown).holds();
    kill(Durability::Always).breaks(&[("gone after a kill", 1)]);
}

#[test]
fn trap_9_duplicates_fail_at_qos_2_alone() {
    for (qos, broken) in [(1, &[][..]), (2, &[("duplicated", 1)][..])] {
        arrive(pair(qos, 2).flow(0..2), &[0, 0, 1], qos).breaks(broken);
    }
}

#[test]
fn trap_10_a_refusal_does_not_say_that_nobody_got_it() {
    for (qos, ack) in [(1, Ack::PubAck), (2, Ack::PubRec)] {
        let refused = || {
            let mut s = pair(qos, 2);
            s.send(0).at(0, What::Acked { number: 0, ack, reason: 0x97 });
            s
        };
        refused().holds();
        refused().get(1, 0, qos).holds(); // no phantom
    }
    pair(1, 1).get(1, 0, 1).breaks(&[("phantom", 1)]);
}

#[test]
fn trap_11_which_reason_code_a_broken_connection_carries_is_no_matter() {
    let closed = |by: EndedBy| {
        let mut s = pair(1, 1);
        s.flow(0..1).at(1, What::Disconnected { by, was_connected: true, in_flight: 0 }).up(1, true, true).get(1, 0, 1);
        s
    };
    for by in [EndedBy::Broker(None), EndedBy::Broker(Some(0x81)), EndedBy::Broker(Some(0x82)), EndedBy::Reset] {
        closed(by).holds();
    }
}

// ---- accepted both ways ----

#[test]
fn either_way_a_repeat_of_a_publish_is_answered_or_the_connection_closed() {
    let repeat = || {
        let mut s = pair(2, 2);
        s.send(0).down(0).up(0, true, true).resend(0);
        s
    };
    repeat().ack(0).get(1, 0, 2).holds();
    let mut s = repeat();
    s.at(0, What::Disconnected { by: EndedBy::Broker(Some(0x82)), was_connected: true, in_flight: 1 })
        .up(0, true, true);
    s.resend(0).ack(0).get(1, 0, 2).holds();
}

#[test]
fn either_way_a_shared_member_that_is_away_is_chosen_or_skipped_and_its_messages_moved_or_kept() {
    let group = || {
        let mut s = Story::new(vec![publisher("t", 1), member(PERSISTENT), member(PERSISTENT)]);
        s.up(0, false, false).up(1, false, false).up(2, false, false).subscribe(1, 0, 1).subscribe(2, 0, 1);
        s.down(1).flow(0..2);
        s
    };
    group().get(2, 0, 1).get(2, 1, 1).up(1, true, true).holds(); // skipped
    group().get(2, 0, 1).up(1, true, true).get(1, 1, 1).holds(); // chosen, and kept for it
    group().get(2, 0, 1).up(1, true, true).get(2, 1, 1).holds(); // chosen, and moved
    group().up(1, true, true).get(2, 0, 1).get(1, 0, 1).get(2, 1, 1).holds(); // at QoS 1 two may get it
}

#[test]
fn either_way_overlapping_filters_bring_one_copy_or_one_each() {
    let overlap = || {
        let mut s = Story::new(vec![publisher("t", 2), subscriber(PERSISTENT, &[("t", 2), ("+", 2)])]);
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 2).subscribe(1, 1, 2).flow(0..1);
        s
    };
    overlap().get(1, 0, 2).holds(); // [MQTT-3.3.4-2]
    overlap().get(1, 0, 2).get(1, 0, 2).holds();
    overlap().get(1, 0, 2).get(1, 0, 2).get(1, 0, 2).breaks(&[("duplicated", 1)]);
    overlap().breaks(&[("lost", 1)]);
}

#[test]
fn either_way_a_merged_copy_has_the_retain_flag_of_one_or_the_other() {
    for retain in [false, true] {
        let mut s = pair(1, 1);
        s.flow(0..1).get(1, 0, 1).copy(1, Delivered { retain, ..message(0) }).holds();
    }
}

#[test]
fn either_way_retained_copies_stand_before_or_behind_the_live_flow() {
    let retained = Delivered { retain: true, ..message(0) };
    pair(1, 1).flow(0..2).copy(1, retained).get(1, 0, 1).get(1, 1, 1).holds();
    pair(1, 1).flow(0..2).get(1, 0, 1).get(1, 1, 1).copy(1, retained).holds();
}

#[test]
fn either_way_an_expired_session_is_found_again_or_gone() {
    for present in [false, true] {
        let session = SessionPromise::Persistent(Some(Duration::from_secs(1)));
        let mut s = Story::new(vec![subscriber(session, &[("t", 1)])]);
        s.up(0, false, false).down(0).wait(2_000).up(0, present, true).holds();
    }
}
