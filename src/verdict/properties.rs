//! Properties of 5.0 arrive as they were sent, and an expiry is counted down [MQTT-3.3.2-6] and kept [MQTT-3.3.2-5].
//!
//! How long a message waited in the broker is bounded by what was seen: it had it when it acknowledged, at the latest, and not
//! before it was first sent. Over links nothing of that is known. What has begun may be finished after the expiry, so that a late
//! first sending is proved only where the receiver was away from before the message was sent until it had expired.

use super::evidence::Case;
use super::oracle::{Findings, Oracle, Scene, Strength};
use super::rules::Breach;
use crate::promise::{Guarantee, Promises};
use crate::time::{Duration, Instant};
use crate::trace::{Ack, Altered, ClientId, Delivered, Event, What};
use std::collections::BTreeMap;

/// Expiry travels in whole seconds, rounded as the broker likes.
const ROUNDED: u64 = 1;
/// Messages whose times are kept, at most; older ones are not judged.
const KEPT: usize = 100_000;

/// The oracle of properties.
#[derive(Debug, Default)]
pub(super) struct Properties {
    checked: u64,
}

impl Properties {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        let given = promises.clients.iter().any(|c| c.publishes.as_ref().is_some_and(|p| p.properties > 0));
        given.then(|| Box::new(Self::default()) as Box<dyn Oracle>)
    }
}

impl Oracle for Properties {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Properties
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn observe(&mut self, event: &Event, scene: &Scene<'_>, findings: &mut Findings) {
        let clients = &scene.promises.clients;
        match event.what {
            What::Delivered(d) if clients[event.client.index()].mqtt_level == 5 => {
                let with = clients[d.publisher.index()].publishes.as_ref().is_some_and(|p| p.properties > 0);
                self.checked += u64::from(with);
            }
            What::Altered { publisher, what } if what != Altered::SubscriptionIdentifier => {
                let breach =
                    if what == Altered::Order { Breach::PropertiesReordered } else { Breach::PropertiesAltered };
                findings.add(breach, Case { publisher: Some(publisher), subscriber: Some(event.client), number: None });
            }
            _ => {}
        }
    }

    fn strength(&self) -> Strength {
        let sentence = format!("{} messages with properties came", self.checked);
        Strength { cases: self.checked, sentence, hard_paths: Vec::new() }
    }
}

/// The oracle of expiry.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// When a message was first sent, and when it was acknowledged.
    times: BTreeMap<(ClientId, u32), (Instant, Option<Instant>)>,
    /// What the message that arrives next at a client has left.
    left: BTreeMap<ClientId, Option<u32>>,
    checked: u64,
    waited: u64,
}

impl Expiry {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        let given = promises.clients.iter().any(|c| c.publishes.as_ref().is_some_and(|p| p.expiry.is_some()));
        given.then(|| Box::new(Self::default()) as Box<dyn Oracle>)
    }

    fn expires(client: ClientId, scene: &Scene<'_>) -> bool {
        scene.promises.clients[client.index()].publishes.as_ref().is_some_and(|p| p.expiry.is_some())
    }

    fn delivered(&mut self, event: &Event, d: Delivered, scene: &Scene<'_>, findings: &mut Findings) {
        let Some(left) = self.left.remove(&event.client) else { return };
        let expiry = scene.promises.clients[d.publisher.index()].publishes.as_ref().and_then(|p| p.expiry);
        let Some(expiry) = expiry else { return };
        let case = Case { publisher: Some(d.publisher), number: Some(d.number), subscriber: Some(event.client) };
        self.checked += 1;
        let Some(left) = left else { return findings.add(Breach::ExpiryGone, case) };
        let (left, whole) = (u64::from(left), expiry.as_secs());
        if left > whole {
            return findings.add(Breach::ExpiryNotCounted, case);
        }
        let (receiver, publisher) = (scene.roster.of(event.client), scene.roster.of(d.publisher));
        if d.dup || d.retain || receiver.linked || publisher.linked {
            return;
        }
        let Some((sent, acked)) = self.times.get(&(d.publisher, d.number)).copied() else { return };
        // It was away from before it was sent, until now.
        let was_away = receiver.down <= sent && receiver.opened > sent;
        let waited = acked.filter(|_| was_away).map_or(Duration::ZERO, |acked| receiver.opened.since(acked));
        self.waited += u64::from(waited > Duration::from_secs(1));
        if waited > expiry + Duration::from_secs(ROUNDED) {
            return findings.add(Breach::Expired, case);
        }
        let at_most = whole.saturating_sub(waited.as_secs()) + ROUNDED;
        let at_least = whole.saturating_sub(event.at.since(sent).as_secs() + 1 + ROUNDED);
        if left > at_most || left < at_least {
            findings.add(Breach::ExpiryNotCounted, case);
        }
    }
}

impl Oracle for Expiry {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Expiry
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn observe(&mut self, event: &Event, scene: &Scene<'_>, findings: &mut Findings) {
        let client = event.client;
        match event.what {
            What::Sent(sent) if Self::expires(client, scene) => {
                self.times.entry((client, sent.number)).or_insert((event.at, None));
                if self.times.len() > KEPT {
                    self.times.pop_first();
                }
            }
            What::Acked { number, ack: Ack::PubAck | Ack::PubComp, reason } if reason < 0x80 => {
                if let Some((_, acked)) = self.times.get_mut(&(client, number)) {
                    acked.get_or_insert(event.at);
                }
            }
            What::ExpiryLeft { left } => {
                self.left.insert(client, left);
            }
            What::Delivered(d) => self.delivered(event, d, scene, findings),
            _ => {}
        }
    }

    fn strength(&self) -> Strength {
        Strength {
            cases: self.checked,
            sentence: format!("{} messages came with what was left of their expiry", self.checked),
            hard_paths: vec![("messages that waited for their receiver", self.waited)],
        }
    }
}
