//! SUBSCRIBE, UNSUBSCRIBE, and the retained messages that a subscription brings.

use super::core::{Broker, ConnId};
use super::message::{Delivery, Message};
use super::router::Entry;
use crate::mqtt::packet::{Codes, Packet, Subscribe, SubscribeOptions, Unsubscribe};
use crate::mqtt::properties::{Properties, Property};
use crate::mqtt::topic::split_share;
use crate::promise::filter_matches;
use crate::time::Instant;
use std::sync::Arc;

/// Share group and filter proper.
pub(super) fn parts(filter: &str) -> (Option<&str>, &str) {
    match split_share(filter) {
        Ok(Some((group, proper))) => (Some(group), proper),
        _ => (None, filter),
    }
}

impl Broker {
    pub(super) fn subscribe(&mut self, conn: ConnId, session: u32, s: &Subscribe<'_>, now: Instant) {
        let identifier =
            s.properties.find(|p| if let Property::SubscriptionIdentifier(id) = p { Some(id) } else { None });
        let identifier = identifier.unwrap_or(0);
        let mut codes = Vec::new();
        let mut retained: Vec<(String, SubscribeOptions)> = Vec::new();
        for (filter, mut options) in s.filters() {
            options.qos = self.granted(options.qos);
            codes.push(options.qos as u8); // [MQTT-3.8.4-5]
            let (share, proper) = parts(filter);
            let is_new = self.router.subscribe(proper, share, Entry { session, options, identifier });
            if let Some(state) = self.session_mut(session) {
                state.subscriptions.insert(filter.into(), (options, identifier));
            }
            // [MQTT-3.3.1-9..11]: 0 always, 1 for a new subscription, 2 never; none for shared ones.
            let wanted = options.retain_handling == 0 || (options.retain_handling == 1 && is_new);
            if share.is_none() && wanted {
                retained.push((proper.to_owned(), options));
            }
        }
        let ack = Codes { packet_id: s.packet_id, properties: Properties::EMPTY, codes: &codes };
        self.send(conn, &Packet::SubAck(ack)); // [MQTT-3.8.4-1]
        for (filter, options) in retained {
            self.send_retained(session, &filter, options, identifier, now);
        }
    }

    /// [MQTT-3.3.1-8] the RETAIN flag is 1 on them.
    fn send_retained(&mut self, session: u32, filter: &str, options: SubscribeOptions, identifier: u32, now: Instant) {
        let found: Vec<Arc<Message>> =
            self.retained.values().filter(|m| filter_matches(filter, &m.topic)).cloned().collect();
        for message in found {
            if message.expires.is_some_and(|at| at <= now) {
                self.retained.remove(&message.topic);
                continue;
            }
            let qos = options.qos.min(message.qos);
            let identifiers = if identifier == 0 { Vec::new() } else { vec![identifier] };
            self.enqueue(session, Delivery { message, qos, retain: true, identifiers }, now);
        }
    }

    pub(super) fn unsubscribe(&mut self, conn: ConnId, session: u32, u: &Unsubscribe<'_>) {
        let mut codes = Vec::new();
        for filter in u.filters() {
            let (share, proper) = parts(filter);
            self.router.unsubscribe(proper, share, session);
            let existed = self.session_mut(session).is_some_and(|s| s.subscriptions.remove(filter).is_some());
            codes.push(if existed { 0 } else { 0x11 });
        }
        let v5 = self.connections.get(&conn).is_some_and(|c| c.version == crate::mqtt::Version::V5);
        let codes: &[u8] = if v5 { &codes } else { &[] };
        let ack = Codes { packet_id: u.packet_id, properties: Properties::EMPTY, codes };
        // 3.1.1's UNSUBACK has neither properties nor codes [MQTT-3.10.4-4].
        self.send(conn, &Packet::UnsubAck(ack));
    }
}
