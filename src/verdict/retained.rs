//! Retained messages: who subscribes gets the last one, with RETAIN set, until it is cleared; live copies have RETAIN as the
//! subscription asks. A retained message of QoS 0 may be dropped at any time.
//!
//! Judged where one publisher alone uses a topic.

use super::evidence::Case;
use super::oracle::{Findings, Oracle, Scene, Strength};
use super::rules::Breach;
use super::runs::Runs;
use crate::promise::{Guarantee, Phases, Promises, Subscription};
use crate::time::{Duration, Instant};
use crate::trace::{Ack, ClientId, Delivered, Event, Sent, What};
use std::collections::BTreeMap;

/// How long after SUBACK a replay may need to arrive. *Assumed.*
const GRACE: Duration = Duration::from_secs(5);

/// What the broker may hold for one publisher's topic.
#[derive(Clone, Debug, Default)]
struct Topic {
    /// No replay may be older than this number.
    floor: u32,
    /// A value must be there.
    must: bool,
    /// The next number to be sent.
    next: u32,
    /// Numbers from here on were sent after the last clearing.
    cleared: u32,
    /// Numbers below `cleared` that were sent once more after it.
    revived: Runs,
    /// Numbers that were sent again, after those below `again_before` had been sent.
    again: Runs,
    again_before: u32,
}

/// What one subscriber may and must get from one topic.
#[derive(Clone, Debug, Default)]
struct Replay {
    /// SUBSCRIBEs that may bring a replay, and those of them that have not brought it yet.
    asked: u64,
    open: u64,
    /// Numbers that came with RETAIN.
    came: Runs,
    /// The oldest number that may come.
    floor: u32,
    /// A replay is due: since when.
    due: Option<Instant>,
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Retained {
    topics: BTreeMap<ClientId, Topic>,
    /// By subscriber and publisher.
    replays: BTreeMap<(ClientId, ClientId), Replay>,
    owed: u64,
    live: u64,
    replayed: u64,
    clears: u64,
    late: u64,
}

impl Retained {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        let mut by_topic: BTreeMap<&str, Vec<(ClientId, bool)>> = BTreeMap::new();
        for (client, id) in promises.clients.iter().zip(0..) {
            if let Some(p) = &client.publishes {
                by_topic.entry(&p.topic).or_default().push((ClientId(id), p.retain));
            }
            // A retained will is another message for its topic.
            if let Some(w) = client.will.as_ref().filter(|w| w.retain) {
                by_topic.entry(&w.topic).or_default().push((ClientId(id), false));
            }
        }
        let alone = by_topic.into_values().filter(|all| all.len() == 1 && all[0].1);
        let topics: BTreeMap<ClientId, Topic> = alone.map(|all| (all[0].0, Topic::default())).collect();
        (!topics.is_empty()).then(|| Box::new(Self { topics, ..Self::default() }) as Box<dyn Oracle>)
    }

    fn sent(&mut self, publisher: ClientId, sent: Sent) {
        let Some(topic) = self.topics.get_mut(&publisher) else { return };
        if sent.number < topic.next {
            // Sent again, it may be the broker's last one once more.
            topic.floor = topic.floor.min(sent.number);
            topic.again.insert(sent.number);
            topic.again_before = topic.next;
            if sent.number < topic.cleared {
                topic.revived.insert(sent.number);
            }
        }
        topic.next = topic.next.max(sent.number.saturating_add(1));
    }

    fn acked(&mut self, publisher: ClientId, number: u32) {
        let Some(topic) = self.topics.get_mut(&publisher) else { return };
        if number >= topic.again_before {
            topic.again = Runs::new();
        }
        // What was sent before something older was sent again need not be the last.
        let last = if topic.again.contains(number) { None } else { topic.again.iter().next() };
        topic.floor = topic.floor.max(last.map_or(number, |low| low.min(number)));
        topic.must |= number >= topic.cleared && topic.revived.is_empty();
    }

    fn clear_sent(&mut self, publisher: ClientId) {
        if let Some(topic) = self.topics.get_mut(&publisher) {
            topic.must = false;
            topic.cleared = topic.next;
            topic.revived = Runs::new();
        }
    }

    fn cleared(&mut self, publisher: ClientId) {
        self.clears += 1;
        if let Some(topic) = self.topics.get_mut(&publisher) {
            let oldest = topic.revived.iter().next().unwrap_or(topic.cleared);
            topic.floor = topic.floor.max(oldest);
        }
    }

    fn subscribing(&mut self, event: &Event, filter: u16, scene: &Scene<'_>) {
        let client = event.client;
        let Some(s) = scene.promises.clients[client.index()].subscriptions.get(usize::from(filter)) else { return };
        if s.share.is_some() || s.retain_handling == 2 {
            return;
        }
        let held = scene.roster.of(client).held[usize::from(filter)];
        // The roster has it already: it is new if it is as old as this event.
        let is_new = held.is_none_or(|h| h.asked == event.at && h.granted.is_none());
        let surely_old = held.is_some_and(|h| h.granted.is_some());
        if s.retain_handling == 1 && surely_old {
            return;
        }
        let promises = scene.promises;
        for (publisher, topic) in &self.topics {
            let Some(p) = &promises.clients[publisher.index()].publishes else { continue };
            if !s.matches(&p.topic) || (s.no_local && *publisher == client) {
                continue;
            }
            let replay = self.replays.entry((client, *publisher)).or_default();
            replay.asked += 1;
            // An earlier replay may still be on its way.
            replay.floor = if replay.open == 0 { topic.floor } else { replay.floor.min(topic.floor) };
            replay.open += 1;
            let surely = s.retain_handling == 0 || is_new;
            if topic.must
                && surely
                && p.qos.min(s.qos) > 0
                && alone(s, &promises.clients[client.index()].subscriptions, &p.topic)
            {
                self.owed += u64::from(replay.due.is_none());
                replay.due.get_or_insert(event.at);
                self.late += 1;
            }
        }
    }

    /// Nothing that was asked for comes any more.
    fn session_over(&mut self, client: ClientId) {
        for (_, replay) in self.replays.range_mut((client, ClientId(0))..=(client, ClientId(u32::MAX))) {
            self.owed -= u64::from(replay.due.take().is_some());
            replay.open = 0;
        }
    }

    fn delivered(&mut self, client: ClientId, d: Delivered, at: Instant, scene: &Scene<'_>, findings: &mut Findings) {
        let case = Case { publisher: Some(d.publisher), number: Some(d.number), subscriber: Some(client) };
        let Some(p) = &scene.promises.clients[d.publisher.index()].publishes else { return };
        let mut as_published = false;
        let mut as_delivered = false;
        let subscriptions = &scene.promises.clients[client.index()].subscriptions;
        for s in subscriptions.iter().filter(|s| s.matches(&p.topic)) {
            as_published |= s.retain_as_published;
            as_delivered |= !s.retain_as_published;
        }
        if !d.retain {
            self.live += 1;
            // [MQTT-3.3.1-13]; a merged copy for several filters may have either flag.
            if as_published && !as_delivered && p.retain {
                findings.add(Breach::RetainFlagLost, case);
            }
            return;
        }
        if as_published && p.retain {
            return; // live or replayed, nobody can tell
        }
        if !p.retain {
            return findings.add(Breach::RetainFlagSet, case);
        }
        if !self.topics.contains_key(&d.publisher) {
            return;
        }
        let replay = self.replays.entry((client, d.publisher)).or_default();
        self.owed -= u64::from(replay.due.take().is_some());
        let first = replay.came.insert(d.number);
        self.replayed += u64::from(first);
        replay.open = replay.open.saturating_sub(u64::from(first));
        if first && replay.came.len() > replay.asked {
            return findings.add(Breach::RetainFlagSet, case);
        }
        if first && d.number < replay.floor && !scene.broker_ended(Instant::ZERO, at) {
            let topic = &self.topics[&d.publisher];
            let is_cleared = d.number < topic.cleared && replay.floor >= topic.cleared;
            findings.add(if is_cleared { Breach::RetainedNotCleared } else { Breach::RetainedOlder }, case);
        }
    }
}

/// True if no other subscription of the client matches: with several, a broker may answer for another one.
fn alone(this: &Subscription, all: &[Subscription], topic: &str) -> bool {
    all.iter().filter(|s| s.matches(topic)).all(|s| s == this)
}

impl Oracle for Retained {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Retained
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn observe(&mut self, event: &Event, scene: &Scene<'_>, findings: &mut Findings) {
        let client = event.client;
        match event.what {
            What::Sent(sent) => self.sent(client, sent),
            What::Acked { number, ack: Ack::PubAck | Ack::PubComp, reason } if reason < 0x80 => {
                self.acked(client, number);
            }
            What::ClearSent => self.clear_sent(client),
            What::ClearAcked => self.cleared(client),
            What::SubscribeSent { filter } => self.subscribing(event, filter, scene),
            What::Delivered(d) => self.delivered(client, d, event.at, scene, findings),
            What::UnsubscribeSent { .. } | What::SessionEnded | What::Connected { session_present: false, .. } => {
                self.session_over(client);
            }
            // What was sent and cut short is sent again only within a session.
            What::Disconnected { .. }
                if scene.promises.clients[client.index()].session == crate::promise::SessionPromise::Clean =>
            {
                self.session_over(client);
            }
            _ => {}
        }
    }

    fn owed(&self) -> u64 {
        self.owed
    }

    fn finish(&mut self, scene: &Scene<'_>, phases: Phases, findings: &mut Findings) {
        let due = self.replays.iter().filter_map(|(key, replay)| replay.due.map(|since| (*key, since)));
        for ((client, publisher), since) in due {
            let entry = scene.roster.of(client);
            let granted = entry.held.iter().flatten().all(|h| h.granted.is_some_and(|(_, qos)| qos > 0));
            let up = entry.up.is_some_and(|up| up + GRACE < phases.ended);
            // A broker that keeps nothing over its end has no retained messages after it.
            let sure = !scene.broker_ended(Instant::ZERO, phases.ended);
            if granted && up && sure && since + GRACE < phases.ended {
                findings.add(
                    Breach::RetainedMissing,
                    Case { publisher: Some(publisher), subscriber: Some(client), number: None },
                );
            }
        }
    }

    fn strength(&self) -> Strength {
        let Self { live, replayed, clears, late, .. } = self;
        Strength {
            cases: replayed + late,
            sentence: format!("{late} replays due, {replayed} came; {clears} clearings; {live} live copies"),
            hard_paths: vec![("subscribers that came later", *late)],
        }
    }
}
