//! Long histories of many sensors and one subscriber, shown to a judge as they are made.

use squall::promise::{Client, Group, Guarantee, Phases, Promises, Publishes, SessionPromise, Subscription};
use squall::time::Instant;
use squall::trace::{Ack, ClientId, Delivered, Event, Sent, What};
use squall::verdict::Judge;
use squall::verdict::outcome::Verdicts;
use std::sync::Arc;

/// Sensors that take turns, message by message: the acknowledgement and the delivery of each come when the next sensor has sent.
pub struct History {
    judge: Judge,
    sensors: u32,
    qos: u8,
    /// Every so many messages of each sensor one is acknowledged and never delivered.
    losing: Option<u32>,
    now: u64,
    next: u32,
}

impl History {
    pub fn new(sensors: u32, qos: u8, losing: Option<u32>) -> Self {
        let client = |name: String| Client { name, mqtt_level: 5, window: 20, ..Client::default() };
        let sensor = |i: u32| {
            let publishes = Publishes { topic: format!("site/{i}"), qos, length: 16, ..Publishes::default() };
            Client { publishes: Some(publishes), ..client(format!("s-{i}")) }
        };
        let subscriber = Client {
            group: 1,
            subscriptions: vec![Subscription { filter: "#".into(), qos: 2, ..Subscription::default() }],
            session: SessionPromise::Persistent(None),
            ..client("all".into())
        };
        let clients = (0..sensors).map(sensor).chain([subscriber]).collect();
        let group = |name: &str, clients, publishes, subscribes| Group {
            name: name.into(),
            link: "none".into(),
            clients,
            publishes,
            subscribes,
        };
        let groups = vec![group("s", sensors, Some(qos), false), group("all", 1, None, true)];
        let promises = Promises { groups, clients, guarantees: Guarantee::ALL.into(), ..Promises::default() };
        let mut history = Self { judge: Judge::new(Arc::new(promises)), sensors, qos, losing, now: 0, next: 0 };
        for c in 0..=sensors {
            history.tell(c, What::TransportOpen);
            history.tell(c, What::Connected { reason: 0, session_present: false, expected_session: false });
        }
        history.tell(sensors, What::SubscribeSent { filter: 0 });
        history.tell(sensors, What::Subscribed { filter: 0, granted: 2 });
        history
    }

    fn tell(&mut self, client: u32, what: What) {
        self.now += 1;
        let now = Instant::from_nanos(self.now * 1_000);
        self.judge.observe(&Event { seen: now, at: now, client: ClientId(client), what });
    }

    fn send(&mut self, sensor: u32, number: u32) {
        let intended = Instant::from_nanos(self.now * 1_000);
        let packet_id = u16::try_from(number % 65_535 + 1).expect("within range");
        self.tell(sensor, What::Sent(Sent { number, intended, attempt: 1, packet_id, resend: false, bytes: 40 }));
    }

    fn settle(&mut self, sensor: u32, number: u32) {
        if self.qos == 2 {
            self.tell(sensor, What::Acked { number, ack: Ack::PubRec, reason: 0 });
        }
        if self.qos > 0 {
            let ack = if self.qos == 2 { Ack::PubComp } else { Ack::PubAck };
            self.tell(sensor, What::Acked { number, ack, reason: 0 });
        }
        if self.losing.is_some_and(|every| number % every == every - 1) {
            return;
        }
        let (publisher, packet_id) = (ClientId(sensor), u16::try_from(number % 65_535 + 1).expect("within range"));
        let delivered = Delivered {
            publisher,
            number,
            topic_of: Some(publisher),
            qos: self.qos,
            dup: false,
            retain: false,
            packet_id: if self.qos > 0 { packet_id } else { 0 },
            bytes: 40,
        };
        self.tell(self.sensors, What::Delivered(delivered));
    }

    /// So many more messages of each sensor.
    pub fn go_on(&mut self, each: u32) {
        for number in self.next..self.next + each {
            for sensor in 0..self.sensors {
                self.send(sensor, number);
                if sensor > 0 {
                    self.settle(sensor - 1, number);
                }
            }
            self.settle(self.sensors - 1, number);
        }
        self.next += each;
    }

    pub fn finish(self) -> Verdicts {
        let ended = Instant::from_nanos((self.now + 100_000_000) * 1_000);
        let phases = Phases { steady_from: Instant::ZERO, drain_from: Instant::from_nanos(self.now * 1_000), ended };
        self.judge.finish(phases, true)
    }
}
