//! Histories written by hand, in the words of the trace, and judged. For tests that have the judge and its vocabulary as modules.

use crate::promise::{Client, Group, Guarantee, Phases, Promises, Publishes, SessionPromise, Subscription};
use crate::time::Instant;
use crate::trace::{Ack, ClientId, Delivered, EndedBy, Event, FaultKind, FaultMark, Sent, What};
use crate::verdict::Judge;
use crate::verdict::outcome::Verdicts;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const PERSISTENT: SessionPromise = SessionPromise::Persistent(None);

pub fn publisher(topic: &str, qos: u8) -> Client {
    let publishes = Some(Publishes { topic: topic.into(), qos, length: 16, ..Publishes::default() });
    Client { publishes, ..subscriber(PERSISTENT, &[]) }
}

pub fn subscriber(session: SessionPromise, filters: &[(&str, u8)]) -> Client {
    let subscription =
        |(filter, qos): &(&str, u8)| Subscription { filter: (*filter).into(), qos: *qos, ..Subscription::default() };
    Client {
        name: "client".into(),
        group: 0,
        mqtt_level: 5,
        publishes: None,
        subscriptions: filters.iter().map(subscription).collect(),
        session,
        window: 16,
        ..Client::default()
    }
}

pub fn member(session: SessionPromise) -> Client {
    let mut client = subscriber(session, &[("t", 1)]);
    client.subscriptions[0].share = Some("g".into());
    client
}

/// A run being written down; one step is one millisecond. Client 0 publishes unless said otherwise.
pub struct Story {
    pub judge: Judge,
    pub now: u64,
    qos: Vec<u8>,
}

impl Story {
    pub fn new(clients: Vec<Client>) -> Self {
        Self::with(clients, |_| {})
    }

    pub fn with(mut clients: Vec<Client>, change: impl FnOnce(&mut Promises)) -> Self {
        for (i, client) in clients.iter_mut().enumerate() {
            client.name = format!("client-{i}");
        }
        let qos: Vec<u8> = clients.iter().map(|c| c.publishes.as_ref().map_or(0, |p| p.qos)).collect();
        let group = Group {
            name: "all".into(),
            link: "none".into(),
            clients: 1,
            publishes: qos.first().copied(),
            subscribes: true,
        };
        let mut promises =
            Promises { groups: vec![group], clients, guarantees: Guarantee::ALL.into(), ..Promises::default() };
        change(&mut promises);
        Self { judge: Judge::new(Arc::new(promises)), now: 0, qos }
    }

    pub fn at(&mut self, client: u32, what: What) -> &mut Self {
        self.now += 1;
        let now = Instant::from_millis(self.now);
        self.judge.observe(&Event { seen: now, at: now, client: ClientId(client), what });
        self
    }

    pub fn wait(&mut self, millis: u64) -> &mut Self {
        self.now += millis;
        self
    }

    pub fn up(&mut self, c: u32, session_present: bool, expected_session: bool) -> &mut Self {
        self.at(c, What::TransportOpen).at(c, What::Connected { reason: 0, session_present, expected_session })
    }

    pub fn down(&mut self, c: u32) -> &mut Self {
        self.at(c, What::Disconnected { by: EndedBy::PowerCut, was_connected: true, in_flight: 1 })
    }

    pub fn subscribe(&mut self, c: u32, filter: u16, granted: u8) -> &mut Self {
        self.at(c, What::SubscribeSent { filter }).at(c, What::Subscribed { filter, granted })
    }

    pub fn publish(&mut self, p: u32, number: u32, attempt: u16, resend: bool) -> &mut Self {
        let intended = Instant::from_millis(self.now);
        self.at(p, What::Sent(Sent { number, intended, attempt, packet_id: 1, resend, bytes: 20 }))
    }

    pub fn send(&mut self, number: u32) -> &mut Self {
        self.publish(0, number, 1, false)
    }

    pub fn resend(&mut self, number: u32) -> &mut Self {
        self.publish(0, number, 1, true)
    }

    pub fn ack(&mut self, number: u32) -> &mut Self {
        let ack = if self.qos[0] == 2 { Ack::PubComp } else { Ack::PubAck };
        self.at(0, What::Acked { number, ack, reason: 0 })
    }

    pub fn get(&mut self, c: u32, number: u32, qos: u8) -> &mut Self {
        self.copy(c, Delivered { number, qos, ..message(0) })
    }

    pub fn copy(&mut self, c: u32, delivered: Delivered) -> &mut Self {
        self.at(c, What::Delivered(delivered))
    }

    /// Numbers sent and acknowledged.
    pub fn flow(&mut self, numbers: std::ops::Range<u32>) -> &mut Self {
        numbers.into_iter().fold(self, |s, n| s.send(n).ack(n))
    }

    pub fn fault(&mut self, kind: FaultKind) -> &mut Self {
        self.now += 1;
        let at = Instant::from_millis(self.now);
        self.judge.fault(&FaultMark { at, lasted: None, what: "fault".into(), kind });
        self
    }

    /// The drain lasts 100 s, and ends long after the last event.
    pub fn verdicts(self) -> Verdicts {
        self.end(100_000, true)
    }

    pub fn end(self, after: u64, complete: bool) -> Verdicts {
        let phases = Phases {
            steady_from: Instant::ZERO,
            drain_from: Instant::from_millis(self.now),
            ended: Instant::from_millis(self.now + after),
        };
        self.judge.finish(phases, complete)
    }

    #[track_caller]
    pub fn holds(&mut self) {
        assert_eq!(breaches(&self.take().verdicts()), BTreeMap::new());
    }

    #[track_caller]
    pub fn breaks(&mut self, expected: &[(&'static str, u64)]) {
        assert_eq!(breaches(&self.take().verdicts()), expected.iter().copied().collect());
    }

    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(Vec::new()))
    }
}

pub fn message(publisher: u32) -> Delivered {
    Delivered {
        publisher: ClientId(publisher),
        number: 0,
        topic_of: Some(ClientId(publisher)),
        qos: 1,
        dup: false,
        retain: false,
        packet_id: 1,
        bytes: 20,
    }
}

pub fn breaches(verdicts: &Verdicts) -> BTreeMap<&'static str, u64> {
    verdicts.guarantees.iter().flat_map(|g| g.breaches.iter().copied()).collect()
}

pub fn excused(verdicts: &Verdicts, words: &str) -> u64 {
    verdicts.excuses.iter().filter(|e| e.reason.contains(words)).map(|e| e.count).sum()
}

/// A publisher, and a subscriber with a lasting session that is connected and granted `granted`.
pub fn pair(qos: u8, granted: u8) -> Story {
    let mut s = Story::new(vec![publisher("t", qos), subscriber(PERSISTENT, &[("t", 2)])]);
    s.up(0, false, false).up(1, false, false).subscribe(1, 0, granted);
    s
}
