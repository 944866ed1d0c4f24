//! The `$SYS` tree: what the broker tells its clients of itself, under the names that mosquitto made usual.

use super::core::{Broker, Timer};
use super::message::{Charge, Message};
use crate::mqtt::QoS;
use crate::time::{Duration, Instant};

/// What was counted since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Packets.
    pub received: u64,
    pub sent: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// PUBLISH packets.
    pub published: u64,
    pub delivered: u64,
}

/// How often, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    every: Duration,
    since: Instant,
}

impl Broker {
    /// Publishes the `$SYS` tree now and then `every` so often, retained.
    pub fn report_every(&mut self, every: Duration, now: Instant) {
        self.sys = Some(Schedule { every, since: now });
        self.report(now);
    }

    pub(super) fn report(&mut self, now: Instant) {
        let Some(Schedule { every, since }) = self.sys else { return };
        let connected = self.by_client.values().filter(|s| self.session(**s).is_some_and(|s| s.connection.is_some()));
        let connected = connected.count() as u64;
        let total = self.by_client.len() as u64;
        let c = &self.counts;
        let figures = [
            ("uptime", now.since(since).as_secs()),
            ("clients/connected", connected),
            ("clients/disconnected", total - connected),
            ("clients/total", total),
            ("messages/received", c.received),
            ("messages/sent", c.sent),
            ("publish/messages/received", c.published),
            ("publish/messages/sent", c.delivered),
            ("bytes/received", c.bytes_received),
            ("bytes/sent", c.bytes_sent),
            ("retained messages/count", self.retained.len() as u64),
            ("store/messages/bytes", self.memory() as u64),
        ];
        self.tell_all("version", concat!("squall ", env!("CARGO_PKG_VERSION")), now);
        for (name, value) in figures {
            let value = if name == "uptime" { format!("{value} seconds") } else { value.to_string() };
            self.tell_all(name, &value, now);
        }
        self.arm(Some(now + every), Timer::Report);
    }

    fn tell_all(&mut self, name: &str, value: &str, now: Instant) {
        let topic: Box<str> = format!("$SYS/broker/{name}").into();
        self.numbers += 1;
        let message = Message {
            number: self.numbers,
            payload: value.as_bytes().into(),
            qos: QoS::AtMostOnce,
            retain: true,
            properties: Box::default(),
            expires: None,
            from: "".into(),
            _charge: Charge::new(&self.kept, topic.len() + value.len()),
            topic,
        };
        self.publish_message(message, u32::MAX, now);
    }
}
