//! Who may receive from whom, worked out once before the run.

use super::{Judge, Publisher, Receiver, bit, index};
use crate::promise::{Promises, Subscription};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

impl Judge {
    /// Makes publishers, receivers (clients, then share groups) and their pairs.
    pub(super) fn prepare(&mut self) {
        let promises = Arc::clone(&self.promises);
        for client in &promises.clients {
            let qos = client.publishes.as_ref().map_or(0, |p| p.qos);
            self.publishers.push(Publisher { qos, ..Publisher::default() });
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
                    let pair = self.receivers[r as usize].pairs.entry(*p).or_default();
                    if pair.filters == 0 {
                        self.publishers[*p as usize].receivers.push(r);
                    }
                    pair.filters |= bit(slot);
                }
            }
        }
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
