//! What a broker that is killed may forget: everything, or what is younger than it declares.

use super::evidence::Case;
use super::runs::Runs;
use super::{Judge, Publisher, index};
use crate::promise::Durability;
use crate::time::{Duration, Instant};
use crate::trace::{ClientId, Event, FaultKind, FaultMark, What};
use std::collections::{BTreeMap, VecDeque};

/// How long after a kill was noted messages may still have been sent to, and answered by, what was killed. *Assumed.*
const KILL_TAKES: Duration = Duration::from_millis(250);

/// Kills so far, and what was young when they came.
#[derive(Debug, Default)]
pub(super) struct Kills {
    /// Kills that may have taken something.
    pub at: Vec<Instant>,
    /// Those among them that are still to be booked.
    unbooked: Vec<Instant>,
    /// For a broker that keeps all but the youngest: messages that something happened to, by time, and whether that was an
    /// acknowledgement.
    young: VecDeque<(Instant, ClientId, u32, bool)>,
}

impl Publisher {
    /// How often a message may have been handed to brokers that did not know it: by the publisher, and by kills.
    pub(super) fn attempts(&self, number: u32) -> u64 {
        let published = self.attempts.get(&number).copied().unwrap_or(1);
        u64::from(published) + self.may_return.iter().filter(|next| number < **next).count() as u64
    }
}

impl Judge {
    /// Takes note of something that was done to the run.
    ///
    /// Undeclared durability counts as "nothing survives" for what a kill may take [MQTT 4.1, not normative], and is named;
    /// an orderly stop is excused only where the broker declares that it keeps nothing at all.
    pub fn fault(&mut self, fault: &FaultMark) {
        self.faults.push(fault.clone());
        let durability = self.promises.broker.durability;
        let forgets = match fault.kind {
            FaultKind::BrokerKill => durability != Durability::Always,
            FaultKind::BrokerRestart => durability == Durability::None,
            _ => false,
        };
        match fault.kind {
            FaultKind::BrokerKill => {
                self.tally.kills += 1;
                self.tally.kills_owing += u64::from(self.owed() > 0);
                for pair in self.receivers.iter_mut().flat_map(|r| r.pairs.iter_mut().map(|(_, pair)| pair)) {
                    pair.at_kill.insert_part(&pair.owing, 0, u32::MAX);
                }
            }
            FaultKind::BrokerRestart => self.tally.restarts += 1,
            FaultKind::BrokerPause => self.tally.pauses += 1,
            FaultKind::BrokerStarted
            | FaultKind::LinkOutage
            | FaultKind::SlowCpu
            | FaultKind::SlowDisk
            | FaultKind::Reboot
            | FaultKind::ConnectionsDropped
            | FaultKind::BrokerDied => {}
        }
        if forgets && self.takes(self.kill_excuse()) {
            self.kills.at.push(fault.at);
            self.kills.unbooked.push(fault.at);
        }
    }

    /// Remembers what a broker that keeps all but the youngest might forget.
    pub(super) fn note_young(&mut self, event: &Event) {
        let Durability::Within(young) = self.promises.broker.durability else { return };
        if self.promises.strict {
            return;
        }
        let (publisher, number, acked) = match event.what {
            What::Sent(sent) => (event.client, sent.number, false),
            What::Acked { number, .. } => (event.client, number, true),
            What::Delivered(d) => (d.publisher, d.number, false),
            _ => return,
        };
        let too_old = event.seen - (young + KILL_TAKES);
        while self.kills.unbooked.is_empty() && self.kills.young.front().is_some_and(|(at, ..)| *at < too_old) {
            self.kills.young.pop_front();
        }
        self.kills.young.push_back((event.seen, publisher, number, acked));
    }

    /// Excuses what a kill took, once everything that was sent before it has been shown: with `event`, or at the end.
    pub(super) fn book_kills(&mut self, event: Option<&Event>) {
        if self.kills.unbooked.is_empty() {
            return;
        }
        let (mut due, mut later) = (Vec::new(), Vec::new());
        for at in self.kills.unbooked.drain(..) {
            let over = event.is_none_or(|e| {
                let back = matches!(e.what, What::Connected { reason: 0, .. });
                e.seen > at + KILL_TAKES || (back && e.seen > at)
            });
            if over { due.push(at) } else { later.push(at) }
        }
        self.kills.unbooked = later;
        for at in due {
            match self.promises.broker.durability {
                Durability::Within(young) => self.take_the_young(at - young),
                durability => {
                    (0..self.receivers.len()).for_each(|r| self.excuse_all(r, self.kill_excuse()));
                    // It may have come back with what it knew some time before: nobody said how long before.
                    if durability == Durability::Unknown {
                        self.publishers.iter_mut().for_each(|p| p.may_return.push(p.next));
                    }
                }
            }
        }
    }

    /// What happened since `since` may be forgotten: acknowledged messages are lost, and others are handed on once more, since the
    /// broker no longer knows that it had received them, or delivered them.
    fn take_the_young(&mut self, since: Instant) {
        let mut acked: BTreeMap<u32, Runs> = BTreeMap::new();
        let mut touched: BTreeMap<u32, Runs> = BTreeMap::new();
        for (_, publisher, number, is_ack) in self.kills.young.iter().filter(|(at, ..)| *at >= since) {
            touched.entry(publisher.0).or_default().insert(*number);
            if *is_ack {
                acked.entry(publisher.0).or_default().insert(*number);
            }
        }
        for (publisher, numbers) in &touched {
            if let Some(publisher) = self.publishers.get_mut(*publisher as usize) {
                numbers.iter().for_each(|n| *publisher.attempts.entry(n).or_insert(1) += 1);
            }
        }
        for r in 0..self.receivers.len() {
            self.excuse_some(r, &acked, self.kill_excuse());
        }
    }

    /// So many deliveries that were counted as excused by a kill need no excuse: it has not taken them.
    pub(super) fn not_taken(&mut self, count: u64) {
        let excuse = self.kill_excuse();
        if let Some(counted) = self.tally.excuses.get_mut(&excuse) {
            *counted -= count;
        }
    }

    /// True if a kill may have taken a session that was made at `made`, and confirmed last by a CONNECT sent at `since`.
    pub(super) fn kill_took_session(&self, made: Instant, since: Instant) -> bool {
        let reaches = |at: Instant| match self.promises.broker.durability {
            Durability::Within(young) => made + young + KILL_TAKES >= at,
            _ => true,
        };
        self.kills.at.iter().any(|at| *at >= since && reaches(*at))
    }

    /// The session was in doubt, and is present: it may be another one, which knows nothing of what is sent again.
    pub(super) fn resume_in_doubt(&mut self, client: usize) {
        let excuse = self.kill_excuse();
        self.excused(excuse, 1);
        self.end_windows(client, excuse);
        let publisher = &mut self.publishers[client];
        for n in publisher.open.iter() {
            *publisher.attempts.entry(n).or_insert(1) += 1;
        }
    }

    /// A session that should have been there was not.
    pub(super) fn session_missing(&mut self, client: usize, made: Instant, since: Instant) {
        if self.kill_took_session(made, since) {
            let excuse = self.kill_excuse();
            self.excused(excuse, 1);
            return self.close_windows(client, Some(excuse));
        }
        let case = Case { subscriber: Some(ClientId(index(client))), ..Case::default() };
        self.breach(super::rules::Breach::SessionForgotten, case);
        self.close_windows(client, None);
    }
}
