//! Bugs that real brokers had, as a black box sees them: each must be named. (Which broker, and where it is told, stands beside each.)

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
use promise::{Durability, SessionPromise};
use story::*;
use time::Duration;
use trace::{Ack, Breach, ClientId, Delivered, EndedBy, FaultKind, Timeout, What};

#[test]
fn publish_pubrec_cut_resume_publish_again_is_handed_on_twice() {
    // VerneMQ #2552, rmqtt #456; EMQX #18526: the identifier forgotten by a timer. [MQTT-4.3.3-10]
    let history = |copies: u32| {
        let mut s = pair(2, 2);
        s.send(0).get(1, 0, 2).down(0).up(0, true, true).resend(0).ack(0);
        for _ in 1..copies {
            s.get(1, 0, 2);
        }
        s
    };
    history(1).holds();
    history(2).breaks(&[("duplicated", 1)]);
}

#[test]
fn a_first_publish_cut_in_the_middle_and_its_repeat_dropped_for_its_dup_flag() {
    // EMQX #18441: acknowledged, and never handed on.
    pair(2, 2).send(0).down(0).up(0, true, true).resend(0).ack(0).breaks(&[("lost", 1)]);
    pair(2, 2).send(0).down(0).up(0, true, true).resend(0).ack(0).get(1, 0, 2).holds();
}

#[test]
fn an_owed_pubrel_answered_0x92_and_the_message_gone() {
    // BifroMQ #281, amqtt #401.
    let mut s = pair(2, 2);
    s.send(0).at(0, What::Acked { number: 0, ack: Ack::PubRec, reason: 0 }).down(0).up(0, true, true);
    s.at(0, What::ReleasedAgain { packet_id: 1 }).at(0, What::Acked { number: 0, ack: Ack::PubComp, reason: 0x92 });
    s.breaks(&[("lost", 1)]);
}

#[test]
fn messages_between_a_links_death_and_its_detection_are_lost() {
    // VerneMQ #768: the broker wrote them into a dead socket and called that delivered.
    let cut = |n: u32| {
        let mut s = pair(1, 1);
        s.flow(0..3).at(
            1,
            What::Disconnected { by: EndedBy::ClientTimeout(Timeout::PingResp), was_connected: true, in_flight: 0 },
        );
        s.flow(3..5).up(1, true, true);
        for n in n..5 {
            s.get(1, n, 1);
        }
        s
    };
    cut(0).holds();
    cut(3).breaks(&[("lost", 3)]);
}

#[test]
fn session_present_1_with_an_empty_queue() {
    // NanoMQ #2412.
    pair(1, 1).down(1).flow(0..3).up(1, true, true).breaks(&[("lost", 3)]);
}

#[test]
fn a_session_forgotten_and_one_invented() {
    pair(1, 1).down(1).up(1, false, true).breaks(&[("session forgotten", 1)]);
    let mut s = Story::new(vec![subscriber(SessionPromise::Clean, &[])]);
    s.up(0, false, false).down(0).up(0, true, false).breaks(&[("session invented", 1)]);
}

#[test]
fn a_backlog_beyond_the_window_out_of_order() {
    // vmq_server #28: what waited was overtaken by what was new.
    let backlog = |order: [u32; 4]| {
        let mut s = pair(1, 1);
        s.down(1).flow(0..3).up(1, true, true).flow(3..4);
        for n in order {
            s.get(1, n, 1);
        }
        s
    };
    backlog([0, 1, 2, 3]).holds();
    backlog([0, 1, 3, 2]).breaks(&[("out of order", 1)]);
}

#[test]
fn identifiers_reused_while_they_are_in_flight() {
    // EMQX #16296, VerneMQ #1078, mosquitto #3598: the client takes a new message for a repeat, and the message is lost.
    let mut s = pair(2, 2);
    s.flow(0..2).get(1, 0, 2).at(1, What::RepeatSuppressed { packet_id: 1 });
    s.breaks(&[("lost", 1)]);
}

#[test]
fn a_quota_that_is_not_renewed_stalls() {
    // ARTEMIS-5469, mosquitto #898, HiveMQ CE #558: after a reconnect nothing comes any more.
    let mut s = pair(2, 2);
    s.flow(0..2).get(1, 0, 2).get(1, 1, 2).down(1).flow(2..6).up(1, true, true).breaks(&[("lost", 4)]);
    pair(1, 1).flow(0..2).get(1, 0, 1).get(1, 1, 1).send(2).breaks(&[("silent connection", 1)]);
}

#[test]
fn more_in_flight_than_receive_maximum() {
    pair(2, 2).at(1, What::Protocol(Breach::ReceiveMaximum)).breaks(&[("receive maximum exceeded", 1)]);
}

#[test]
fn subscription_options_lost_on_a_resume() {
    // VerneMQ #2551: No Local forgotten, and the granted QoS.
    let mut client = subscriber(PERSISTENT, &[("t", 1)]);
    client.publishes = publisher("t", 1).publishes;
    client.subscriptions[0].no_local = true;
    let mut s = Story::new(vec![client]);
    s.up(0, false, false).subscribe(0, 0, 1).down(0).up(0, true, true).flow(0..1).get(0, 0, 1);
    s.breaks(&[("echoed", 1)]);
    pair(2, 1).down(1).up(1, true, true).flow(0..1).get(1, 0, 2).breaks(&[("wrong QoS", 1)]);
}

#[test]
fn a_single_copy_at_the_lower_qos_of_overlapping_filters() {
    // mosquitto 2.0.11: granted 2 and 1, published 2, one copy at QoS 1 [MQTT-3.3.5-1].
    let overlap = || {
        let mut s = Story::new(vec![publisher("t", 2), subscriber(PERSISTENT, &[("t", 2), ("+", 1)])]);
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 2).subscribe(1, 1, 1).flow(0..1);
        s
    };
    overlap().get(1, 0, 1).breaks(&[("lowered by an overlap", 1)]);
    overlap().get(1, 0, 1).get(1, 0, 2).holds(); // one each
    overlap().get(1, 0, 2).holds(); // merged
    // Sent before the better filter was granted, the lower QoS is all that was promised.
    let mut s = Story::new(vec![publisher("t", 2), subscriber(PERSISTENT, &[("t", 2), ("+", 1)])]);
    s.up(0, false, false).up(1, false, false).subscribe(1, 1, 1).flow(0..1).subscribe(1, 0, 2).get(1, 0, 1).holds();
}

#[test]
fn a_silent_drop_past_the_queue_limit() {
    // mosquitto 2.0.11: 1,500 acknowledged for an absent session, the first 1,000 delivered.
    let drops = |declared: Option<u64>, strict: bool| {
        let mut s = Story::with(vec![publisher("t", 1), subscriber(PERSISTENT, &[("t", 1)])], |p| {
            p.broker.offline_queue = declared;
            p.strict = strict;
        });
        s.up(0, false, false).up(1, false, false).subscribe(1, 0, 1).down(1).flow(0..1_500).up(1, true, true);
        for n in 0..1_000 {
            s.get(1, n, 1);
        }
        s
    };
    drops(Some(1_000), false).holds();
    drops(Some(1_000), true).breaks(&[("lost", 500)]);
    drops(None, false).breaks(&[("lost", 500)]);
}

#[test]
fn an_expiry_in_connack_goes_before_the_clients_and_the_session_is_kept_that_long() {
    // FluxMQ #624 is about DISCONNECT's override; seen from here, a session that goes too soon.
    let away = |millis: u64| {
        let session = SessionPromise::Persistent(Some(Duration::from_secs(60)));
        let mut s = Story::new(vec![subscriber(session, &[("t", 1)])]);
        s.up(0, false, false).down(0).wait(millis).up(0, false, true);
        s
    };
    away(30_000).breaks(&[("session forgotten", 1)]);
    away(61_000).holds();
}
