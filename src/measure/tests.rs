//! What the recorder makes of short histories.

use super::Recorder;
use super::summary::Summary;
use crate::promise::{Client, Count, Group, Latency, Phases, Promises, Publishes, SessionPromise, Subscription};
use crate::time::{Duration, Instant};
use crate::trace::{Ack, ClientId, Delivered, Event, Sent, What};
use std::sync::Arc;

fn client(topic: Option<&str>, filters: &[(&str, Option<&str>)]) -> Client {
    Client {
        name: "client".into(),
        group: 0,
        mqtt_level: 4,
        publishes: topic.map(|t| Publishes { topic: t.into(), qos: 1, length: 16, ..Publishes::default() }),
        subscriptions: filters
            .iter()
            .map(|(filter, share)| Subscription {
                filter: (*filter).into(),
                share: share.map(Into::into),
                qos: 1,
                ..Subscription::default()
            })
            .collect(),
        session: SessionPromise::Clean,
        window: 16,
        ..Client::default()
    }
}

fn promises(clients: Vec<Client>) -> Arc<Promises> {
    let group = Group { name: "all".into(), link: "none".into(), clients: 1, publishes: Some(1), subscribes: true };
    Arc::new(Promises { groups: vec![group], clients, ..Promises::default() })
}

fn event(millis: u64, client: u32, what: What) -> Event {
    let at = Instant::from_millis(millis);
    Event { seen: at, at, client: ClientId(client), what }
}

fn sent(number: u32, intended: u64) -> What {
    let intended = Instant::from_millis(intended);
    What::Sent(Sent { number, intended, attempt: 1, packet_id: 1, resend: false, bytes: 20 })
}

fn got(number: u32) -> What {
    let publisher = ClientId(0);
    What::Delivered(Delivered {
        publisher,
        number,
        topic_of: Some(publisher),
        qos: 1,
        dup: false,
        retain: false,
        packet_id: 1,
        bytes: 20,
    })
}

fn record(clients: Vec<Client>, events: impl IntoIterator<Item = Event>) -> Summary {
    let mut recorder = Recorder::new(&promises(clients), Duration::from_secs(1));
    events.into_iter().for_each(|e| recorder.observe(&e));
    recorder.finish(Phases::default(), &[0])
}

fn count(summary: &Summary, count: Count) -> Option<u64> {
    summary.groups[0].counts.iter().find(|(c, _)| *c == count).and_then(|(_, n)| *n)
}

/// Values of a latency in whole milliseconds: how many, the largest from the intended time, the largest from the send.
fn latency(summary: &Summary, latency: Latency) -> Option<(u64, u64, u64)> {
    let l = summary.groups[0].latencies.iter().find(|l| l.latency == latency)?;
    let millis = |ns: u64| (ns + 500_000) / 1_000_000;
    Some((l.intended.len(), millis(l.intended.max()), millis(l.sent.max())))
}

#[test]
fn latencies_count_from_the_intended_time_and_beside_it_from_the_send() {
    let clients = vec![client(Some("t"), &[]), client(None, &[("t", None)])];
    let ack = What::Acked { number: 0, ack: Ack::PubAck, reason: 0 };
    let summary = record(clients, [event(1_500, 0, sent(0, 1_000)), event(1_600, 0, ack), event(1_700, 1, got(0))]);
    assert_eq!(latency(&summary, Latency::PublishAck), Some((1, 600, 100)));
    assert_eq!(latency(&summary, Latency::EndToEnd), Some((1, 700, 200)));
    assert_eq!(latency(&summary, Latency::SubAck), None, "what was not measured is not there");
}

#[test]
fn only_first_copies_have_a_latency_and_every_receiver_has_one() {
    let clients = vec![client(Some("t"), &[]), client(None, &[("t", None), ("#", None)]), client(None, &[("+", None)])];
    let copies = [event(10, 0, sent(0, 0)), event(20, 1, got(0)), event(30, 1, got(0)), event(90, 2, got(0))];
    let summary = record(clients, copies);
    assert_eq!(latency(&summary, Latency::EndToEnd), Some((2, 90, 80)));
    assert_eq!((count(&summary, Count::Delivered), count(&summary, Count::Duplicated)), (Some(2), Some(1)));
}

#[test]
fn receivers_are_counted_once_and_a_share_group_is_one() {
    let clients = vec![
        client(Some("a/b"), &[("a/b", None), ("a/+", None)]),
        client(None, &[("a/b", Some("g"))]),
        client(None, &[("a/b", Some("g")), ("#", None), ("x", None)]),
        client(Some("lonely"), &[]),
    ];
    let promises = promises(clients);
    let by_topic = super::receivers::receivers_by_topic(&promises);
    assert_eq!(by_topic.into_iter().collect::<Vec<_>>(), [("a/b", 3), ("lonely", 1)]);
}

#[test]
fn numbers_out_of_order_and_wide_gaps_keep_their_times() {
    let clients = vec![client(Some("t"), &[]), client(None, &[("t", None)])];
    let sends = [(1, 100), (0, 200), (4_000_000_000, 300)].map(|(n, t)| event(t, 0, sent(n, t)));
    let summary = record(clients, sends.into_iter().chain([event(350, 1, got(1)), event(360, 1, got(4_000_000_000))]));
    // #0 was sent after #1 had begun the table, and #1 was given up for the gap: no latency is better than a wrong one.
    assert_eq!(latency(&summary, Latency::EndToEnd), Some((1, 60, 60)));
}

#[test]
fn a_series_keeps_its_sums_while_it_widens() {
    let clients = vec![client(Some("t"), &[]), client(None, &[("t", None)])];
    let day = (0..86_400u32).flat_map(|n| {
        let at = u64::from(n) * 1_000;
        [event(at, 0, sent(n, at)), event(at + 50, 1, got(n))]
    });
    let summary = record(clients, day);
    let series = &summary.series;
    assert!(series.intervals.len() <= 2_000);
    assert_eq!(series.intervals.iter().map(|i| i.sent).sum::<u64>(), 86_400);
    let over_time = &summary.groups[0].latencies[0].over_time;
    assert_eq!(over_time.iter().map(|(_, h)| h.len()).sum::<u64>(), 86_400);
    assert!(over_time.iter().all(|(i, _)| (*i as usize) < series.intervals.len()));
}
