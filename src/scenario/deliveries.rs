//! How many copies of its messages a scenario's subscribers are to get.

use super::load::mean_rate;
use super::model::{DeviceSpec, Scenario};
use crate::promise::filter_matches;
use std::collections::BTreeSet;

/// More pairs of publisher and filter than this are not counted: it would take seconds.
const MOST_PAIRS: u64 = 4_000_000;

/// Copies that are due if every subscriber gets its own.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Deliveries {
    /// Copies in all, on average.
    pub messages: f64,
    /// Copies a second, on average over the load.
    pub rate: f64,
}

/// One filter, and who it stands for: a client of its own, or a share group.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Receiver {
    Client(usize, u32),
    Share(String, String),
}

/// What subscribers are to get: a client once for all of its filters that match (some brokers send a copy for each), a
/// share group once for each shared filter. None if there are too many pairs to count.
#[must_use]
pub fn deliveries(scenario: &Scenario) -> Option<Deliveries> {
    let groups: Vec<(&str, u32, &DeviceSpec)> = scenario
        .fleets
        .iter()
        .map(|f| (f.name.as_str(), f.sensors, &f.device))
        .chain(scenario.subscribers.iter().map(|s| (s.name.as_str(), s.count, &s.device)))
        .collect();
    let filters: u64 = groups.iter().map(|(_, n, d)| u64::from(*n) * d.subscriptions.len() as u64).sum();
    let publishers: u64 = scenario.fleets.iter().filter(|f| f.publish.is_some()).map(|f| u64::from(f.sensors)).sum();
    if filters.saturating_mul(publishers) > MOST_PAIRS {
        return None;
    }
    let mut all: Vec<(Receiver, String, bool)> = Vec::new();
    for (g, (name, count, device)) in groups.iter().enumerate() {
        for index in 0..*count {
            for s in &device.subscriptions {
                let filter = s.filter.fill(name, index);
                let receiver = match &s.share {
                    Some(share) => Receiver::Share(share.clone(), filter.clone()),
                    None => Receiver::Client(g, index),
                };
                all.push((receiver, filter, s.no_local));
            }
        }
    }
    let mut rate = 0.0;
    for (g, fleet) in scenario.fleets.iter().enumerate() {
        let Some(publish) = &fleet.publish else { continue };
        for index in 0..fleet.sensors {
            let own = Receiver::Client(g, index);
            let name = publish.topic.fill(&fleet.name, index);
            let matching = all.iter().filter(|(r, f, no_local)| filter_matches(f, &name) && !(*no_local && *r == own));
            let receivers: BTreeSet<&Receiver> = matching.map(|(r, ..)| r).collect();
            rate += receivers.len() as f64 * mean_rate(&publish.schedule);
        }
    }
    Some(Deliveries { messages: rate * scenario.duration.as_secs_f64(), rate })
}
