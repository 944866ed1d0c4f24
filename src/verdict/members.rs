//! A message for a shared subscription goes to one member [MQTT-4.8.2-5].
//!
//! Judged in 5.0, where the message was sent once, after the group's last change, and by who has no other subscription for it.
//! A connection that breaks later may have been broken for the broker before: then what was on its way may have moved.

use super::evidence::Case;
use super::oracle::{Findings, Oracle, Scene, Strength};
use super::rules::Breach;
use super::runs::Runs;
use crate::promise::{Guarantee, Phases, Promises};
use crate::trace::{ClientId, Delivered, EndedBy, Event, Sent, What};
use std::collections::{BTreeMap, VecDeque};

/// Messages of one publisher that are remembered with who got them.
const KEPT: usize = 64;

/// One share group.
#[derive(Debug, Default)]
struct Group {
    /// By publisher: the number that was next when a member came, left or subscribed last.
    stable_from: BTreeMap<ClientId, u32>,
    /// By publisher: who got its last messages.
    got: BTreeMap<ClientId, VecDeque<(u32, ClientId)>>,
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Members {
    groups: Vec<Group>,
    /// By member: its group, and the index of its subscription.
    of: BTreeMap<ClientId, Vec<(usize, usize)>>,
    next: BTreeMap<ClientId, u32>,
    /// Sent more than once.
    again: BTreeMap<ClientId, Runs>,
    suspects: Vec<(Case, ClientId)>,
    shared: u64,
    stable: u64,
}

impl Members {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        let mut names: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut oracle = Self::default();
        for (client, id) in promises.clients.iter().zip(0..) {
            for (place, s) in client.subscriptions.iter().enumerate() {
                let Some(share) = &s.share else { continue };
                let next = names.len();
                let group = *names.entry((share, &s.filter)).or_insert(next);
                oracle.of.entry(ClientId(id)).or_default().push((group, place));
            }
        }
        oracle.groups.resize_with(names.len(), Group::default);
        (!names.is_empty()).then(|| Box::new(oracle) as Box<dyn Oracle>)
    }

    fn sent(&mut self, publisher: ClientId, sent: Sent) {
        let next = self.next.entry(publisher).or_default();
        if sent.number < *next {
            self.again.entry(publisher).or_default().insert(sent.number);
        }
        *next = (*next).max(sent.number.saturating_add(1));
    }

    /// A member came, left or subscribed.
    fn changed(&mut self, member: ClientId) {
        for (group, _) in self.of.get(&member).into_iter().flatten() {
            self.groups[*group].stable_from.clone_from(&self.next);
        }
    }

    fn delivered(&mut self, member: ClientId, d: Delivered, scene: &Scene<'_>) {
        let Some(own) = self.of.get(&member) else { return };
        let promise = &scene.promises.clients[member.index()];
        let Some(p) = &scene.promises.clients[d.publisher.index()].publishes else { return };
        let mut matching = promise.subscriptions.iter().enumerate().filter(|(_, s)| s.matches(&p.topic));
        let (Some((place, _)), None) = (matching.next(), matching.next()) else { return };
        let Some((group, _)) = own.iter().find(|(_, at)| *at == place) else { return };
        let group = &mut self.groups[*group];
        self.shared += 1;
        let is_stable = d.number >= group.stable_from.get(&d.publisher).copied().unwrap_or(0);
        let sent_once = !self.again.get(&d.publisher).is_some_and(|again| again.contains(d.number));
        self.stable += u64::from(is_stable);
        let got = group.got.entry(d.publisher).or_default();
        if let Some((_, first)) = got.iter().find(|(number, _)| *number == d.number) {
            if *first != member && is_stable && sent_once && promise.mqtt_level == 5 {
                let case = Case { publisher: Some(d.publisher), number: Some(d.number), subscriber: Some(member) };
                self.suspects.push((case, *first));
            }
            return;
        }
        if got.len() == KEPT {
            got.pop_front();
        }
        got.push_back((d.number, member));
    }
}

impl Oracle for Members {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Subscriptions
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn observe(&mut self, event: &Event, scene: &Scene<'_>, _: &mut Findings) {
        let client = event.client;
        match event.what {
            What::Sent(sent) => self.sent(client, sent),
            What::Delivered(d) => self.delivered(client, d, scene),
            What::Disconnected { by, .. } => {
                if by != EndedBy::Client {
                    self.suspects.retain(|(case, first)| case.subscriber != Some(client) && *first != client);
                }
                self.changed(client);
            }
            What::Connected { .. } | What::Subscribed { .. } | What::UnsubscribeSent { .. } => self.changed(client),
            _ => {}
        }
    }

    fn finish(&mut self, _: &Scene<'_>, _: Phases, findings: &mut Findings) {
        for (case, _) in self.suspects.drain(..) {
            findings.add(Breach::SharedTwice, case);
        }
    }

    fn strength(&self) -> Strength {
        Strength {
            cases: self.shared,
            sentence: format!("{} messages to share groups, {} while nobody came or left", self.shared, self.stable),
            hard_paths: Vec::new(),
        }
    }
}
