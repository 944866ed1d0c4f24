//! What every further oracle is: it takes events, knows what was promised, and yields findings and its strength.
//!
//! A judge has only the oracles that its promises call for, and shows them messages only if they ask: clients that use none of
//! these features cost one look at an empty list an event.

use super::evidence::Case;
use super::roster::Roster;
use super::rules::Breach;
use super::{Judge, client, keep_alive, members, properties, retained, subscriptions, take_over, wills};
use crate::promise::{Guarantee, Phases, Promises};
use crate::time::{Duration, Instant};
use crate::trace::{Event, FaultKind, FaultMark, What};

/// What an oracle can look things up in.
pub(super) struct Scene<'a> {
    pub promises: &'a Promises,
    pub roster: &'a Roster,
    pub faults: &'a [FaultMark],
}

/// How long before its mark an ordered fault may already have taken effect, and how long after. *Assumed.*
const ABOUT: Duration = Duration::from_millis(500);

impl Scene<'_> {
    /// True if the broker was killed, stopped, started or died between the two instants: what it then knew is uncertain.
    /// Only the end of a run knows all faults.
    pub fn broker_ended(&self, from: Instant, to: Instant) -> bool {
        use FaultKind::{BrokerDied, BrokerKill, BrokerRestart, BrokerStarted};
        let ends = |k| matches!(k, BrokerKill | BrokerRestart | BrokerStarted | BrokerDied);
        self.faults.iter().any(|f| ends(f.kind) && f.at + ABOUT >= from && f.at <= to + ABOUT)
    }

    /// True if the broker was ended, paused or short of CPU between the two instants: its timing then proves nothing.
    pub fn broker_disturbed(&self, from: Instant, to: Instant) -> bool {
        let over = |f: &FaultMark| f.at + f.lasted.unwrap_or(Duration::ZERO) + ABOUT;
        let stopped = |k| matches!(k, FaultKind::BrokerPause | FaultKind::SlowCpu);
        let paused = self.faults.iter().any(|f| stopped(f.kind) && over(f) >= from && f.at <= to + ABOUT);
        paused || self.broker_ended(from, to)
    }
}

/// Where findings go.
#[derive(Debug, Default)]
pub(super) struct Findings(pub Vec<(Breach, Case)>);

impl Findings {
    pub fn add(&mut self, breach: Breach, case: Case) {
        self.0.push((breach, case));
    }
}

/// How much an oracle has seen.
pub(super) struct Strength {
    /// Cases judged.
    pub cases: u64,
    /// One sentence for people, with the numbers.
    pub sentence: String,
    /// How often each hard path was walked.
    pub hard_paths: Vec<(&'static str, u64)>,
}

/// An oracle of one guarantee, made only where a promise calls for it.
pub(super) trait Oracle: std::fmt::Debug + Send {
    fn guarantee(&self) -> Guarantee;

    /// Whether it is shown `Sent`, `Acked` and `Delivered` too.
    fn wants_messages(&self) -> bool {
        false
    }

    /// Takes an event; the roster has taken it already.
    fn observe(&mut self, event: &Event, scene: &Scene<'_>, findings: &mut Findings);

    /// What the broker still owes: a run may end when there is nothing.
    fn owed(&self) -> u64 {
        0
    }

    /// The run is over, and all faults are known. Not called for a run that was cut short.
    fn finish(&mut self, _scene: &Scene<'_>, _phases: Phases, _findings: &mut Findings) {}

    fn strength(&self) -> Strength;
}

impl Judge {
    /// The oracles that these promises call for.
    pub(super) fn oracles_for(promises: &Promises) -> Vec<Box<dyn Oracle>> {
        let all = [
            retained::Retained::called_for(promises),
            wills::Wills::called_for(promises),
            keep_alive::KeepAlive::called_for(promises),
            take_over::TakeOver::called_for(promises),
            subscriptions::Subscriptions::called_for(promises),
            members::Members::called_for(promises),
            properties::Properties::called_for(promises),
            properties::Expiry::called_for(promises),
            client::Client::called_for(promises),
        ];
        all.into_iter().flatten().collect()
    }

    /// Shows an event to the oracles.
    pub(super) fn consult(&mut self, event: &Event) {
        let message = matches!(event.what, What::Sent(_) | What::Acked { .. } | What::Delivered(_));
        if !message {
            self.roster.observe(event);
        }
        let scene = Scene { promises: &self.promises, roster: &self.roster, faults: &self.faults };
        for oracle in self.oracles.iter_mut().filter(|o| !message || o.wants_messages()) {
            oracle.observe(event, &scene, &mut self.findings);
        }
        self.book_findings();
    }

    pub(super) fn finish_oracles(&mut self, phases: Phases) {
        let scene = Scene { promises: &self.promises, roster: &self.roster, faults: &self.faults };
        for oracle in &mut self.oracles {
            oracle.finish(&scene, phases, &mut self.findings);
        }
        self.book_findings();
    }

    fn book_findings(&mut self) {
        for (breach, case) in std::mem::take(&mut self.findings.0) {
            self.breach(breach, case);
        }
    }

    /// The strength of all oracles of a guarantee together; none if no promise calls for one.
    pub(super) fn strength(&self, guarantee: Guarantee) -> Option<Strength> {
        let of = self.oracles.iter().filter(|o| o.guarantee() == guarantee).map(|o| o.strength());
        of.reduce(|mut all, next| {
            all.cases += next.cases;
            all.sentence = format!("{}; {}", all.sentence, next.sentence);
            all.hard_paths.extend(next.hard_paths);
            all
        })
    }
}
