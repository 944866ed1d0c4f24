//! Who is expected to receive what, and what has come, as compactly as measuring needs it.

use crate::promise::{Promises, filter_matches};
use std::collections::{BTreeMap, BTreeSet};

/// Runs of numbers kept for one receiver and publisher; with more gaps than that, the oldest gap is taken as filled.
const MAX_RUNS: usize = 64;

/// How many receivers (clients, and share groups as one each) have a filter that matches, by topic.
///
/// Filters without wildcards are looked up, not compared: a fleet in which each sensor listens for its own commands would
/// cost the square of its size.
pub(super) fn receivers_by_topic(promises: &Promises) -> BTreeMap<&str, u32> {
    let mut by_filter: BTreeMap<&str, BTreeSet<(&str, usize)>> = BTreeMap::new();
    for (c, client) in promises.clients.iter().enumerate() {
        for s in &client.subscriptions {
            let receiver = s.share.as_deref().map_or(("", c), |share| (share, usize::MAX));
            by_filter.entry(&s.filter).or_default().insert(receiver);
        }
    }
    let wildcards: Vec<_> = by_filter.iter().filter(|(filter, _)| filter.contains(['+', '#'])).collect();
    let topics: BTreeSet<&str> =
        promises.clients.iter().filter_map(|c| c.publishes.as_ref()).map(|p| p.topic.as_str()).collect();
    let count = |topic: &str| {
        let exact = by_filter.get(topic);
        let mut wild = wildcards.iter().filter(|(filter, _)| filter_matches(filter, topic)).map(|(_, r)| *r);
        let (first, second) = match exact {
            Some(exact) => (Some(exact), wild.next()),
            None => (wild.next(), wild.next()),
        };
        let (Some(first), Some(second)) = (first, second) else { return first.map_or(0, BTreeSet::len) };
        // Several filters: nobody counts twice.
        let mut all: BTreeSet<_> = first.union(second).collect();
        wild.for_each(|more| all.extend(more));
        all.len()
    };
    topics.into_iter().map(|topic| (topic, u32::try_from(count(topic)).unwrap_or(u32::MAX))).collect()
}

/// Which numbers of one publisher one receiver has had, as sorted runs.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<(u32, u32)>);

impl Seen {
    /// True if the number is new.
    pub fn first(&mut self, number: u32) -> bool {
        if let Some((_, last)) = self.0.last_mut()
            && last.checked_add(1) == Some(number)
        {
            *last = number; // the usual case
            return true;
        }
        let at = self.0.partition_point(|(_, last)| *last < number);
        if self.0.get(at).is_some_and(|(first, _)| *first <= number) {
            return false;
        }
        let before = at > 0 && self.0[at - 1].1 + 1 == number;
        let after = self.0.get(at).is_some_and(|(first, _)| number + 1 == *first);
        match (before, after) {
            (true, true) => self.0[at - 1].1 = self.0.remove(at).1,
            (true, false) => self.0[at - 1].1 = number,
            (false, true) => self.0[at].0 = number,
            (false, false) => self.0.insert(at, (number, number)),
        }
        if self.0.len() > MAX_RUNS {
            self.0[1].0 = self.0[0].0;
            self.0.remove(0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn a_number_is_new_once() {
        let mut seen = Seen::default();
        let new: Vec<bool> = [0, 1, 1, 5, 3, 4, 3, 2, 2, 6].into_iter().map(|n| seen.first(n)).collect();
        assert_eq!(new, [true, true, false, true, true, true, false, true, false, true]);
        assert_eq!(seen.0, [(0, 6)]);
    }

    #[test]
    fn many_gaps_cost_no_more_than_a_few_runs() {
        let mut seen = Seen::default();
        assert!((0..10_000).all(|n| seen.first(n * 2)));
        assert!(seen.0.len() <= super::MAX_RUNS);
        assert!(!seen.first(19_998), "the newest are exact");
    }
}
