//! A failure made small: fewer sensors, shorter, fewer faults, simpler links, as long as the same guarantee breaks.

use super::Settings;
use super::explore::examine;
use crate::link::spec::{Jitter, LinkSpec, Loss};
use crate::promise::Guarantee;
use crate::scenario::model::{DeviceSpec, NamedLink, Scenario, SessionSpec};
use crate::scenario::{self, write};
use crate::time::Duration;
use std::sync::Arc;

/// Simulations that one shrinking may cost.
const MOST_TRIES: u32 = 600;
/// A smaller scenario draws other fates: it may fail at one of this many seeds from the first one on.
const SEEDS: u64 = 3;

/// A smaller scenario, with the seed at which it fails, and what it cost.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario; its seed is the one at which it fails.
    pub scenario: Scenario,
    /// Simulations made.
    pub tries: u32,
}

/// Makes smaller what breaks `guarantee` at `settings.seed`. `watch` is called before each simulation; false ends it with
/// the smallest found so far.
#[must_use]
pub fn shrink(
    scenario: &Scenario,
    settings: &Settings,
    guarantee: Guarantee,
    mut watch: impl FnMut(u32) -> bool,
) -> Shrunk {
    let mut best = scenario.clone();
    best.seed = settings.seed;
    best.name = format!("{}-shrunk", scenario.name);
    if !is_legal(&best) {
        // What a file is called need not do as a scenario's name, or is too long by now.
        best.name = "shrunk".to_owned();
    }
    best.expect.guarantees = vec![guarantee];
    best.expect.all = false;
    best.expect.thresholds.clear();
    let mut tries = 0;
    let mut fails = |candidate: &mut Scenario, tries: &mut u32| -> Option<bool> {
        if !is_legal(candidate) {
            return Some(false);
        }
        for seed in candidate.seed..candidate.seed.saturating_add(SEEDS) {
            if *tries >= MOST_TRIES || !watch(*tries) {
                return None;
            }
            *tries += 1;
            if examine(candidate, &Settings { seed, ..settings.clone() }).0.is_some() {
                candidate.seed = seed;
                return Some(true);
            }
        }
        Some(false)
    };
    loop {
        let mut smaller = false;
        let mut at = 0;
        // The candidates are made anew after each success, since they begin from what is left.
        while let Some(mut candidate) = candidates(&best).into_iter().nth(at) {
            match fails(&mut candidate, &mut tries) {
                None => return Shrunk { scenario: best, tries },
                Some(true) => {
                    best = candidate;
                    smaller = true;
                }
                Some(false) => at += 1,
            }
        }
        if !smaller {
            return Shrunk { scenario: best, tries };
        }
    }
}

/// Whether its file can be read again: what happens after the load has ended, say, cannot be written down.
fn is_legal(scenario: &Scenario) -> bool {
    scenario::parse("shrunk.toml", &write::write(scenario)).is_ok()
}

/// Everything that is one step smaller, legal or not, the biggest steps first.
fn candidates(s: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Scenario)| {
        let mut smaller = s.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    let groups = s.fleets.len() + s.subscribers.len();
    for i in (0..s.fleets.len()).filter(|_| groups > 1) {
        offer(&|c| drop(c.fleets.remove(i)));
    }
    for i in (0..s.subscribers.len()).filter(|_| groups > 1) {
        offer(&|c| drop(c.subscribers.remove(i)));
    }
    for i in 0..s.faults.len() {
        offer(&|c| {
            c.faults.remove(i);
        });
    }
    for (i, fleet) in s.fleets.iter().enumerate() {
        for sensors in fewer(fleet.sensors) {
            offer(&|c| c.fleets[i].sensors = sensors);
        }
        if fleet.power.is_some() {
            offer(&|c| c.fleets[i].power = None);
        }
        for r in 0..fleet.reboots.len() {
            offer(&|c| {
                c.fleets[i].reboots.remove(r);
            });
        }
        if let Some(p) = &fleet.publish {
            if p.schedule.drift > 0 {
                offer(&|c| c.fleets[i].publish.as_mut().expect("it was there").schedule.drift = 0);
            }
            if p.schedule.duty.is_some() {
                offer(&|c| c.fleets[i].publish.as_mut().expect("it was there").schedule.duty = None);
            }
            if p.schedule.burst > 1 {
                offer(&|c| c.fleets[i].publish.as_mut().expect("it was there").schedule.burst = 1);
            }
        }
    }
    for (i, group) in s.subscribers.iter().enumerate() {
        for count in fewer(group.count) {
            offer(&|c| c.subscribers[i].count = count);
        }
    }
    for seconds in [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600] {
        let shorter = Duration::from_secs(seconds);
        if shorter < s.duration {
            offer(&|c| c.duration = shorter);
        }
    }
    if s.ramp > Duration::from_millis(10) {
        offer(&|c| c.ramp = Duration::ZERO);
    }
    for d in 0..groups {
        simpler_device(s, d, &mut offer);
    }
    all
}

fn fewer(count: u32) -> Vec<u32> {
    let mut all = vec![1, 2, 3, count / 4, count / 2, count.saturating_sub(1)];
    all.retain(|n| (1..count).contains(n));
    all.sort_unstable();
    all.dedup();
    all
}

fn device(s: &Scenario, d: usize) -> &DeviceSpec {
    let fleets = s.fleets.len();
    if d < fleets { &s.fleets[d].device } else { &s.subscribers[d - fleets].device }
}

fn device_mut(s: &mut Scenario, d: usize) -> &mut DeviceSpec {
    let fleets = s.fleets.len();
    if d < fleets { &mut s.fleets[d].device } else { &mut s.subscribers[d - fleets].device }
}

type Offer<'a> = dyn FnMut(&dyn Fn(&mut Scenario)) + 'a;

fn simpler_device(s: &Scenario, d: usize, offer: &mut Offer<'_>) {
    let spec = device(s, d);
    if let Some(link) = &spec.link {
        offer(&|c| device_mut(c, d).link = None);
        for simpler in simpler_links(&link.spec) {
            let name = format!("{}-simpler", link.name.trim_end_matches("-simpler"));
            // Whoever is on the same link stays on it.
            offer(&|c| {
                for other in 0..c.fleets.len() + c.subscribers.len() {
                    let device = device_mut(c, other);
                    if device.link.as_ref().is_some_and(|l| l.name == link.name) {
                        device.link = Some(NamedLink { name: name.clone(), spec: Arc::new(simpler.clone()) });
                    }
                }
            });
        }
    }
    for i in 0..spec.offline.len() {
        offer(&|c| {
            device_mut(c, d).offline.remove(i);
        });
    }
    fewer_deeds(spec, d, offer);
    let least = usize::from(d >= s.fleets.len());
    for i in (0..spec.subscriptions.len()).filter(|_| spec.subscriptions.len() > least) {
        // A fleet that neither publishes nor subscribes is none.
        if d >= s.fleets.len() || s.fleets[d].publish.is_some() || spec.subscriptions.len() > 1 {
            offer(&|c| drop(device_mut(c, d).subscriptions.remove(i)));
        }
    }
    if spec.will.is_some() {
        offer(&|c| device_mut(c, d).will = None);
    }
    if spec.credentials.is_some() {
        offer(&|c| device_mut(c, d).credentials = None);
    }
    if spec.session != SessionSpec::Clean {
        offer(&|c| device_mut(c, d).session = SessionSpec::Clean);
    }
    if spec.keep_alive != Duration::from_secs(60) {
        offer(&|c| device_mut(c, d).keep_alive = Duration::from_secs(60));
    }
}

/// What it does beyond publishing, subscribing and leaving. The latest goes first: what is left of a kind is early, and
/// the load may become short.
fn fewer_deeds(spec: &DeviceSpec, d: usize, offer: &mut Offer<'_>) {
    let features = &spec.features;
    for i in (0..features.take_over.len()).rev() {
        offer(&|c| {
            device_mut(c, d).features.take_over.remove(i);
        });
    }
    for i in (0..features.silent.len()).rev() {
        offer(&|c| {
            device_mut(c, d).features.silent.remove(i);
        });
    }
    for i in (0..features.unsubscribed.len()).rev() {
        offer(&|c| {
            device_mut(c, d).features.unsubscribed.remove(i);
        });
    }
    if features.start.is_some() {
        offer(&|c| device_mut(c, d).features.start = None);
    }
}

fn simpler_links(spec: &LinkSpec) -> Vec<LinkSpec> {
    let mut all = Vec::new();
    let mut offer = |change: &dyn Fn(&mut LinkSpec)| {
        let mut simpler = spec.clone();
        change(&mut simpler);
        if simpler != *spec {
            all.push(simpler);
        }
    };
    for i in 0..spec.outages.len() {
        offer(&|l| {
            l.outages.remove(i);
        });
    }
    offer(&|l| (l.up.loss, l.down.loss) = (Loss::None, Loss::None));
    offer(&|l| (l.up.jitter, l.down.jitter) = (Jitter::None, Jitter::None));
    offer(&|l| {
        for d in [&mut l.up, &mut l.down] {
            (d.overhead, d.queue, d.queue_packets, d.reorder) = (0, None, None, false);
            (d.duplicate, d.corrupt, d.duty_cycle) = (0.0, 0.0, 1.0);
        }
        l.half_duplex = false;
        l.sleep = None;
    });
    offer(&|l| (l.up.trace, l.down.trace) = (None, None));
    offer(&|l| (l.up.rate, l.down.rate) = (None, None));
    all
}
