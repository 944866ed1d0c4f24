//! Who may receive from whom, worked out once before the run.

use super::{Judge, Publisher, Receiver, bit, index};
use crate::promise::{Client, Promises, Subscription, filter_matches};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

impl Judge {
    /// Makes publishers, receivers (clients, then share groups) and their pairs.
    pub(super) fn prepare(&mut self) {
        let promises = Arc::clone(&self.promises);
        for client in &promises.clients {
            let qos = client.publishes.as_ref().map_or(0, |p| p.qos);
            let is_denied = |topic: &str| promises.broker.denies.iter().any(|f| filter_matches(f, topic));
            let denied = client.mqtt_level < 5 && client.publishes.as_ref().is_some_and(|p| is_denied(&p.topic));
            self.publishers.push(Publisher { qos, denied, ..Publisher::default() });
            self.receivers.push(receiver(client.subscriptions.len()));
        }
        let mut topics = Topics::new(&promises);
        let mut by_share: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for (c, client) in promises.clients.iter().enumerate() {
            for (f, subscription) in client.subscriptions.iter().enumerate() {
                let (mut r, mut slot) = (index(c), f);
                if let Some(share) = &subscription.share {
                    r = *by_share.entry((share, &subscription.filter)).or_insert_with(|| {
                        self.receivers.push(Receiver { shared: true, ..receiver(1) });
                        index(self.receivers.len() - 1)
                    });
                    self.groups.insert((index(c), u16::try_from(f).unwrap_or(u16::MAX)), r);
                    slot = 0;
                }
                for p in topics.matching(subscription).iter() {
                    if subscription.no_local && *p == index(c) {
                        continue;
                    }
                    let pair = self.receivers[r as usize].pairs.or_default(*p);
                    if pair.filters == 0 {
                        self.publishers[*p as usize].receivers.push(r);
                    }
                    pair.filters |= bit(slot);
                    // Too large for one member, a share group's message may be discarded (5.0, section 3.1.2.11.4).
                    pair.too_large |= is_too_large(client, subscription, &promises.clients[*p as usize]);
                }
            }
        }
    }
}

/// True if a publisher's messages may exceed the receiver's Maximum Packet Size [MQTT-3.1.2-25], as long as they may legally be: with an
/// identifier for each of its subscriptions that match. What a topic alias adds is the broker's choice, and not counted.
fn is_too_large(client: &Client, subscription: &Subscription, publisher: &Client) -> bool {
    let (Some(limit), Some(p)) = (client.maximum_packet_size, &publisher.publishes) else { return false };
    let has_id = p.qos.min(subscription.qos) > 0;
    let matching = client.subscriptions.iter().filter(|s| s.matches(&p.topic)).count() as u64;
    let identifiers = client.subscription_identifier.map_or(0, |id| matching * (1 + variable_length(id.into())));
    let properties = u64::from(p.properties) + if p.expiry.is_some() { 5 } else { 0 } + identifiers;
    let header = 2 + p.topic.len() as u64 + if has_id { 2 } else { 0 } + variable_length(properties) + properties;
    let rest = header + u64::from(p.length);
    1 + variable_length(rest) + rest > u64::from(limit)
}

/// Bytes of a Variable Byte Integer (5.0, section 1.5.5).
const fn variable_length(value: u64) -> u64 {
    match value {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

fn receiver(filters: usize) -> Receiver {
    Receiver { granted: vec![None; filters], bounds: vec![None; filters], ..Receiver::default() }
}

/// Publishers by topic. A filter without wildcards is a look-up, and one with is tried once, however many use it: a fleet of
/// 10,000 sensors that listen for their own commands costs 10,000 look-ups, not 10^8 comparisons.
struct Topics<'a> {
    by_topic: BTreeMap<&'a str, Rc<Vec<u32>>>,
    by_wildcard: BTreeMap<&'a str, Rc<Vec<u32>>>,
}

impl<'a> Topics<'a> {
    fn new(promises: &'a Promises) -> Self {
        let mut by_topic: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (p, client) in promises.clients.iter().enumerate() {
            if let Some(publishes) = &client.publishes {
                by_topic.entry(&publishes.topic).or_default().push(index(p));
            }
        }
        let by_topic = by_topic.into_iter().map(|(topic, publishers)| (topic, Rc::new(publishers))).collect();
        Self { by_topic, by_wildcard: BTreeMap::new() }
    }

    fn matching(&mut self, subscription: &'a Subscription) -> Rc<Vec<u32>> {
        let filter = subscription.filter.as_str();
        if !filter.contains(['+', '#']) {
            return self.by_topic.get(filter).cloned().unwrap_or_default();
        }
        let by_topic = &self.by_topic;
        let all = self.by_wildcard.entry(filter).or_insert_with(|| {
            let hits = by_topic.iter().filter(|(topic, _)| subscription.matches(topic));
            Rc::new(hits.flat_map(|(_, publishers)| publishers.iter().copied()).collect())
        });
        Rc::clone(all)
    }
}
