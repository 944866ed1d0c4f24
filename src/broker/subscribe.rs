//! SUBSCRIBE and UNSUBSCRIBE.

use super::access::Right;
use super::core::{Broker, ConnId};
use super::defects::Defect;
use super::router::Entry;
use crate::mqtt::packet::{Codes, Packet, Subscribe, SubscribeOptions, Unsubscribe};
use crate::mqtt::properties::{Properties, Property};
use crate::mqtt::topic::split_share;
use crate::time::Instant;

/// Most level separators in a filter, as mosquitto has it: the tree is walked level by level.
const MOST_SEPARATORS: usize = 200;

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
        let v5 = self.is_v5(conn);
        let (mut codes, mut why) = (Vec::new(), "");
        let mut retained: Vec<(String, SubscribeOptions)> = Vec::new();
        for (filter, mut options) in s.filters() {
            if let Some((reason, text)) = self.refuses_subscription(session, filter) {
                codes.push(if v5 { reason } else { 0x80 });
                why = text;
                continue;
            }
            options.qos = self.granted(options.qos);
            codes.push(options.qos as u8); // [MQTT-3.8.4-5]
            let (share, proper) = parts(filter);
            let is_new = self.router.subscribe(proper, share, Entry { session, options, identifier });
            if let Some(Some(state)) = self.sessions.get_mut(session as usize) {
                state.subscriptions.insert(filter.into(), (options, identifier));
                if let Some(journal) = &mut self.journal {
                    journal.subscription(state, filter, Some((options, identifier)));
                }
            }
            // [MQTT-3.3.1-9..11]: 0 always, 1 for a new subscription, 2 never; none for shared ones.
            let wanted = options.retain_handling == 0
                || (options.retain_handling == 1 && is_new)
                || self.config.defects.strikes(Defect::IgnoreRetainHandling);
            if share.is_none() && wanted {
                retained.push((proper.to_owned(), options));
            }
        }
        let ack = Codes { packet_id: s.packet_id, properties: Properties::EMPTY, codes: &codes };
        self.send_ack(conn, why, &Packet::SubAck(ack)); // [MQTT-3.8.4-1]
        for (filter, options) in retained {
            self.send_retained(session, &filter, options, identifier, now);
        }
    }

    /// Why this session may not have this subscription, with the reason code of 5.0.
    fn refuses_subscription(&self, session: u32, filter: &str) -> Option<(u8, &'static str)> {
        let state = self.session(session)?;
        let own = &state.subscriptions;
        let user = state.connection.and_then(|c| self.connections.get(c.0)).and_then(|c| c.user.as_deref());
        if !self.config.access.allows(Right::Read, user, &state.client_id, parts(filter).1) {
            return Some((0x87, "not allowed to subscribe to this filter"));
        }
        if filter.bytes().filter(|b| *b == b'/').count() > MOST_SEPARATORS {
            return Some((0x97, "a filter of more than 201 levels"));
        }
        let full = own.len() >= self.config.max_subscriptions && !own.contains_key(filter);
        full.then_some((0x97, "too many subscriptions"))
    }

    pub(super) fn unsubscribe(&mut self, conn: ConnId, session: u32, u: &Unsubscribe<'_>) {
        let mut codes = Vec::new();
        for filter in u.filters() {
            let (share, proper) = parts(filter);
            if !self.config.defects.strikes(Defect::KeepSubscription) {
                self.router.unsubscribe(proper, share, session);
            }
            let Some(Some(state)) = self.sessions.get_mut(session as usize) else { return };
            let existed = state.subscriptions.remove(filter).is_some();
            if let Some(journal) = &mut self.journal {
                journal.subscription(state, filter, None);
            }
            codes.push(if existed { 0 } else { 0x11 });
        }
        // 3.1.1's UNSUBACK has neither properties nor codes [MQTT-3.10.4-4].
        let codes: &[u8] = if self.is_v5(conn) { &codes } else { &[] };
        self.send(conn, &Packet::UnsubAck(Codes { packet_id: u.packet_id, properties: Properties::EMPTY, codes }));
    }
}
