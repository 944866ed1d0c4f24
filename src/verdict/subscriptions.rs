//! Subscriptions mean what they say: nothing new after UNSUBSCRIBE, and each copy names the identifier it came by. (What comes
//! against No Local, or on a topic that begins with `$`, is found where messages are booked.)

use super::evidence::Case;
use super::oracle::{Findings, Oracle, Scene, Strength};
use super::rules::Breach;
use crate::promise::{Guarantee, Promises, Subscription};
use crate::trace::{Altered, ClientId, Event, What};
use std::collections::BTreeMap;

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// By publisher: the next number.
    next: BTreeMap<ClientId, u32>,
    /// Who has unsubscribed from everything, and had it confirmed: the numbers that were next then.
    away: BTreeMap<ClientId, BTreeMap<ClientId, u32>>,
    unsubscribed: u64,
    identified: u64,
    own: u64,
}

impl Subscriptions {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        let special = |s: &Subscription| s.no_local;
        let called = promises.clients.iter().any(|c| {
            c.deeds.unsubscribes || c.subscription_identifier.is_some() || c.subscriptions.iter().any(special)
        });
        called.then(|| Box::new(Self::default()) as Box<dyn Oracle>)
    }
}

impl Oracle for Subscriptions {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Subscriptions
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn observe(&mut self, event: &Event, scene: &Scene<'_>, findings: &mut Findings) {
        let client = event.client;
        let promise = &scene.promises.clients[client.index()];
        match event.what {
            What::Sent(sent) => {
                let next = self.next.entry(client).or_default();
                *next = (*next).max(sent.number.saturating_add(1));
                self.own += u64::from(promise.subscriptions.iter().any(|s| s.no_local));
            }
            // All are taken back by one packet.
            What::Unsubscribed { .. } => {
                let next = &self.next;
                self.away.entry(client).or_insert_with(|| next.clone());
                self.unsubscribed += 1;
            }
            What::SubscribeSent { .. } => {
                self.away.remove(&client);
            }
            What::Delivered(d) => {
                self.identified += u64::from(promise.subscription_identifier.is_some());
                let Some(next) = self.away.get(&client).filter(|_| !d.retain) else { return };
                if d.number >= next.get(&d.publisher).copied().unwrap_or(0) {
                    let (publisher, number) = (Some(d.publisher), Some(d.number));
                    findings.add(Breach::AfterUnsubscribe, Case { publisher, number, subscriber: Some(client) });
                }
            }
            What::Altered { publisher, what: Altered::SubscriptionIdentifier } => {
                let case = Case { publisher: Some(publisher), subscriber: Some(client), number: None };
                findings.add(Breach::SubscriptionIdentifier, case);
            }
            _ => {}
        }
    }

    fn strength(&self) -> Strength {
        let Self { unsubscribed, identified, own, .. } = self;
        Strength {
            cases: unsubscribed + identified + own,
            sentence: format!(
                "{unsubscribed} filters taken back, {identified} copies with an identifier, {own} own messages not wanted back"
            ),
            hard_paths: Vec::new(),
        }
    }
}
