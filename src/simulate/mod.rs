//! Virtual time: the same scenario, devices, links, reference broker and judges as in a run, on an event heap.
//!
//! The same seed gives the same history, event by event, on any machine and with any number of threads. The broker
//! reads and answers on one of them, in the heap's order of time and client, and nothing reads a clock; the others
//! have what cannot change its course: sensors between an answer and their next word (`ahead`), and the judges, who
//! look at what is past. Direct connections and the way from a gateway to the broker take no time; the broker takes
//! none either, but for the service time that [`Settings`] state.

mod ahead;
mod client;
pub mod explore;
pub mod grammar;
mod judges;
mod net;
pub mod selftest;
pub mod shrink;
mod world;

use crate::broker::defects::Strike;
use crate::measure::summary::Harness;
use crate::promise::{BrokerPromises, Durability, Phases};
use crate::run::captures::Captures;
use crate::run::{Outcome, Progress, plan};
use crate::scenario::model::Scenario;
use crate::seed::Stream;
use crate::time::{Duration, Instant};
use crate::trace::Event;
use judges::Judges;
use std::sync::Arc;
use world::World;

/// How to simulate.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Same seed: same history.
    pub seed: u64,
    /// Take no excuse.
    pub strict: bool,
    /// Deliberate bugs of the broker.
    pub defects: Vec<Strike>,
    /// How long the broker takes for each packet that it reads.
    pub service: Duration,
    /// What of its knowledge the broker keeps, and declares to.
    pub durable: Durable,
    /// Threads to use; 0 is 1. Any number gives the same history.
    pub threads: usize,
    /// Whose packets are written down.
    pub captures: Captures,
}

/// What survives the broker's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durable {
    /// Nothing.
    #[default]
    No,
    /// All that it knew, over an orderly restart; nothing over a kill.
    Restart,
    /// All that it knew, over a kill too.
    Always,
}

/// What the reference broker in memory declares; `broker-under-test/reference/broker.toml` says the same.
fn declared(durable: Durable) -> BrokerPromises {
    BrokerPromises {
        name: concat!("reference ", env!("CARGO_PKG_VERSION")).into(),
        max_qos: Some(2),
        offline_queue: Some(100_000),
        durability: match durable {
            Durable::No => Durability::None,
            // Nothing is promised for a kill; an orderly restart is no excuse.
            Durable::Restart => Durability::Unknown,
            Durable::Always => Durability::Always,
        },
        denies: Vec::new(),
    }
}

/// Simulates `scenario`. `watch` is called once a virtual second; when it answers false, the history ends there, marked
/// partial.
#[must_use]
pub fn simulate(scenario: &Scenario, settings: &Settings, mut watch: impl FnMut(Progress) -> bool) -> Outcome {
    simulate_tapped(scenario, settings, &mut watch, &mut |_| {})
}

/// The same, and `tap` is shown every event, in order.
#[must_use]
pub fn simulate_tapped(
    scenario: &Scenario,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> bool,
    tap: &mut dyn FnMut(&Event),
) -> Outcome {
    #[allow(clippy::cast_possible_truncation, reason = "32 of 64 random bits")]
    let nonce = Stream::named(settings.seed, &["nonce"]).bits() as u32 | 1;
    let mut planned = plan::plan(scenario, settings.seed, nonce, declared(settings.durable), None);
    settings.captures.attach(&mut planned);
    if settings.strict {
        Arc::make_mut(&mut planned.promises).strict = true;
    }
    let (promises, steady_from) = (Arc::clone(&planned.promises), planned.steady_from);
    let mut world = World::new(scenario, settings, planned);
    let partial = world.run(watch, tap).then(|| "stopped by the user".to_owned());
    let world::End { judges, faults, wire, zombies, drain_from, ended } = world.end(tap);
    let Judges { judge, recorder, .. } = *judges;
    let phases = Phases { steady_from, drain_from, ended };
    let verdicts = judge.finish(phases, partial.is_none());
    let mut summary = recorder.finish(phases, &verdicts.lost_by_group);
    for (group, wire) in summary.groups.iter_mut().zip(wire) {
        group.wire = wire;
    }
    summary.harness = Harness {
        slip: None,
        loop_lag: None,
        cpu: None,
        wall: ended.since(Instant::ZERO),
        loops: 1,
        kernel_stamps: false,
        stamped: None,
        tainted: Vec::new(),
    };
    let mut notes =
        vec!["virtual time: the broker's own speed, the machine and the kernel's TCP play no part".to_owned()];
    if zombies > 0 {
        notes.push(format!(
            "{zombies} connections that sensors had left behind were dropped at a gateway: more than 8 on one link"
        ));
    }
    Outcome { promises, verdicts, summary, faults, partial, died: None, notes }
}
