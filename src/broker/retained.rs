//! Retained messages, by topic.

use super::core::Broker;
use super::defects::Defect;
use super::message::{Delivery, Message};
use crate::mqtt::packet::SubscribeOptions;
use crate::promise::filter_matches;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Retained messages in the order of their topics, so that those below a filter's fixed levels stand together.
#[derive(Debug, Default)]
pub(super) struct Retained(BTreeMap<Box<str>, Arc<Message>>);

impl Retained {
    pub fn insert(&mut self, message: &Arc<Message>) -> Option<Arc<Message>> {
        self.0.insert(message.topic.clone(), Arc::clone(message))
    }

    pub fn has(&self, topic: &str) -> bool {
        self.0.contains_key(topic)
    }

    pub fn remove(&mut self, topic: &str) -> Option<Arc<Message>> {
        self.0.remove(topic)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that match a filter: only topics that begin as it does are looked at.
    pub fn matching(&self, filter: &str) -> Vec<Arc<Message>> {
        let wild = filter.find(['+', '#']);
        let Some(wild) = wild else { return self.0.get(filter).cloned().into_iter().collect() };
        // "a/#" matches "a" too [MQTT-4.7.1-2].
        let parent = filter.strip_suffix("/#").filter(|p| p.len() + 1 == wild).and_then(|p| self.0.get(p));
        let prefix = &filter[..wild];
        let from = self.0.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let below = from.take_while(|(topic, _)| topic.starts_with(prefix)).map(|(_, m)| m);
        parent.into_iter().chain(below.filter(|m| filter_matches(filter, &m.topic))).cloned().collect()
    }
}

impl Broker {
    /// [MQTT-3.3.1-5] the last one is kept, [MQTT-3.3.1-6] an empty one clears.
    pub(super) fn retain(&mut self, message: &Arc<Message>) {
        if !message.payload.is_empty() {
            if self.retained.has(&message.topic) && self.config.defects.strikes(Defect::RetainOlder) {
                return;
            }
            let old = self.retained.insert(message);
            // What the broker says of itself is of this broker alone.
            if let Some(journal) = self.journal.as_mut().filter(|_| !message.topic.starts_with("$SYS/")) {
                journal.retained(&message.topic, old.as_ref(), Some(message));
            }
        } else if !self.config.defects.strikes(Defect::KeepRetained) {
            self.forget_retained(&message.topic);
        }
    }

    fn forget_retained(&mut self, topic: &str) {
        let old = self.retained.remove(topic);
        if let (Some(journal), Some(_)) = (&mut self.journal, &old) {
            journal.retained(topic, old.as_ref(), None);
        }
    }

    /// [MQTT-3.3.1-8] the RETAIN flag is 1 on them; a client's own do not come back where it asked for that [MQTT-3.8.3-3].
    pub(super) fn send_retained(
        &mut self,
        session: u32,
        filter: &str,
        options: SubscribeOptions,
        identifier: u32,
        now: Instant,
    ) {
        let Some(me) = self.session(session).map(|s| Arc::clone(&s.client_id)) else { return };
        for message in self.retained.matching(filter) {
            if message.expires.is_some_and(|at| at <= now) {
                self.forget_retained(&message.topic);
                continue;
            }
            if options.no_local && message.from == me {
                continue;
            }
            if self.config.defects.strikes(Defect::ForgetRetained) {
                continue;
            }
            let qos = options.qos.min(message.qos);
            let identifiers = if identifier == 0 { Vec::new() } else { vec![identifier] };
            self.enqueue(session, Delivery { message, qos, retain: true, identifiers, record: 0 }, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::message::Charge;
    use crate::mqtt::QoS;

    #[test]
    fn a_filter_finds_what_it_matches_and_nothing_else() {
        let topics = ["a", "a/b", "a/b/c", "a/c", "a-b", "ab", "b", "$SYS/a", "a/", "/a"];
        let mut retained = Retained::default();
        for topic in topics {
            retained.insert(&Arc::new(Message {
                number: 0,
                topic: topic.into(),
                payload: b"x".as_slice().into(),
                qos: QoS::AtMostOnce,
                retain: true,
                properties: Box::default(),
                expires: None,
                from: "".into(),
                _charge: Charge::new(&Arc::default(), 0),
            }));
        }
        for filter in ["a", "a/#", "#", "+", "+/b", "a/+", "a/b/#", "/+", "$SYS/#", "a/+/c", "x/#"] {
            let mut found: Vec<String> = retained.matching(filter).iter().map(|m| m.topic.to_string()).collect();
            found.sort();
            let mut expected: Vec<String> =
                topics.iter().filter(|t| filter_matches(filter, t)).map(|t| (*t).to_owned()).collect();
            expected.sort();
            assert_eq!(found, expected, "{filter}");
        }
    }
}
