//! Many seeds of one scenario, on all cores; and a failure made small.

use super::{Settings, simulate};
use crate::promise::Guarantee;
use crate::scenario::model::Scenario;
use crate::verdict::outcome::{Judgement, Outcome};
use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A seed at which a guarantee broke.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What broke, in [`Guarantee::ALL`]'s order.
    pub broken: Vec<Guarantee>,
    /// The first story's title, or the first broken guarantee's sentence.
    pub title: String,
}

/// What a search came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Seeds simulated.
    pub seeds: u64,
    /// The failures, by seed.
    pub failures: Vec<Failure>,
    /// How often each hard path was walked, over all seeds.
    pub hard_paths: Vec<(String, u64)>,
}

/// What broke at one seed, and the hard paths that were walked.
#[must_use]
pub fn examine(scenario: &Scenario, settings: &Settings) -> (Option<Failure>, Vec<(String, u64)>) {
    let verdicts = simulate(scenario, settings, |_| true).verdicts;
    let asked = |g: &Guarantee| scenario.expect.guarantees.contains(g);
    let broken: Vec<_> =
        verdicts.guarantees.iter().filter(|j| j.outcome == Outcome::Broken && asked(&j.guarantee)).collect();
    let of = |j: &Judgement| -> Vec<(String, u64)> {
        j.hard_paths.iter().map(|(name, n)| (format!("{}: {name}", j.guarantee.title()), *n)).collect()
    };
    let paths = verdicts.guarantees.iter().flat_map(of).collect();
    let failure = broken.first().map(|first| Failure {
        seed: settings.seed,
        broken: broken.iter().map(|j| j.guarantee).collect(),
        title: verdicts.evidence.first().map_or_else(|| first.sentence.clone(), |e| e.title.clone()),
    });
    (failure, paths)
}

/// Simulates the scenario of each seed of `seeds` (the same for all, or one made for it), on every core; ends at the first failure unless it is to `keep_going`.
/// `watch` is told how many seeds are done and each failure as it comes, in no particular order; false ends the search.
pub fn explore<'a>(
    scenario: impl Fn(u64) -> Cow<'a, Scenario> + Sync,
    settings: &Settings,
    seeds: Range<u64>,
    keep_going: bool,
    watch: impl FnMut(u64, Option<&Failure>) -> bool + Send,
) -> Found {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let state = Mutex::new((Found::default(), watch));
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (failure, paths) = examine(&scenario(seed), &Settings { seed, ..settings.clone() });
                    let mut state = state.lock().expect("nobody panics while holding it");
                    let (found, watch) = &mut *state;
                    found.seeds += 1;
                    add(&mut found.hard_paths, &paths);
                    let go_on = watch(found.seeds, failure.as_ref());
                    if !go_on || (failure.is_some() && !keep_going) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    found.failures.extend(failure);
                }
            });
        }
    });
    let mut found = state.into_inner().expect("nobody panicked").0;
    found.failures.sort_by_key(|f| f.seed);
    found
}

fn add(sum: &mut Vec<(String, u64)>, paths: &[(String, u64)]) {
    for (name, count) in paths {
        match sum.iter_mut().find(|(n, _)| n == name) {
            Some((_, total)) => *total += count,
            None => sum.push((name.clone(), *count)),
        }
    }
}
