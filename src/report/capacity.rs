//! The highest rate at which a scenario's guarantees and thresholds hold: the search, and what it found.

use super::format;
use super::model::Exit;
use crate::scenario::model::Scenario;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Below this share of the scenario's own rate the search gives up.
const LEAST: f64 = 1.0 / 64.0;

/// What a run at one rate said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Everything that was asked for held.
    Yes,
    /// A guarantee was broken, a threshold missed, or the broker died.
    No,
    /// The harness was the bottleneck, there was too little evidence, or the broker could not be had: it says nothing of the broker.
    Unclear,
    /// A period shorter than the load loops' tick.
    TooFast,
}

/// A search over factors of the scenario's own rate: doubling while it holds, halving while it does not, then bisecting
/// (geometrically) until the two sides are near enough, and once more at the answer, for luck shows only once.
///
/// Calling order: [`Search::next`], a run, [`Search::tell`]; until there is no next.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    precision: f64,
    /// The highest rate that held, and the lowest that did not.
    holds: Option<f64>,
    gives: Option<f64>,
    /// Why what lies above is no use.
    ceiling: Option<Held>,
    confirmed: bool,
}

impl Search {
    /// A search that ends when the rate that gives is within `precision` (0.1 for 10 %) of the one that holds.
    #[must_use]
    pub fn new(precision: f64) -> Self {
        Self { precision, holds: None, gives: None, ceiling: None, confirmed: false }
    }

    /// The factor to try next; none when the answer is known.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        match (self.holds, self.gives) {
            (None, None) => Some(1.0),
            (Some(holds), None) => Some(holds * 2.0),
            (None, Some(gives)) => Some(gives / 2.0).filter(|f| *f >= LEAST),
            (Some(holds), Some(gives)) if gives / holds > 1.0 + self.precision => Some(libm::sqrt(holds * gives)),
            (Some(holds), Some(_)) => (!self.confirmed).then_some(holds),
        }
    }

    /// What a run at that factor said.
    pub fn tell(&mut self, factor: f64, held: Held) {
        if held == Held::Yes {
            self.confirmed = self.holds == Some(factor);
            self.holds = Some(factor);
        } else {
            // Held once and not twice: the answer lies below.
            if self.holds == Some(factor) {
                self.holds = None;
            }
            self.gives = Some(factor);
            self.ceiling = Some(held);
            self.confirmed = false;
        }
    }
}

/// One run of the search.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Times the scenario's own rate.
    pub factor: f64,
    /// Messages a second offered.
    pub rate: f64,
    /// What came of it.
    pub held: Held,
    /// Why.
    pub why: String,
    /// p99 end to end (or publish to acknowledgement), seconds from the intended time; none if not measured.
    pub p99: Option<f64>,
    /// The broker's CPU, 1 is one core; none if not measured.
    pub broker_cores: Option<f64>,
    /// Folder of its report.
    pub folder: String,
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Capacity {
    /// [`super::model::FORMAT_VERSION`].
    pub format_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The broker, as it was named.
    pub target: String,
    /// The first run's seed; each later run has the next.
    pub seed: u64,
    /// The machine, in general terms.
    pub machine: String,
    /// The highest rate that held, messages a second; none if none did.
    pub holds: Option<f64>,
    /// It held twice.
    pub confirmed: bool,
    /// The lowest rate that did not; none if none was tried.
    pub gives: Option<f64>,
    /// One sentence.
    pub sentence: String,
    /// The runs.
    pub steps: Vec<Step>,
    /// 0 if a rate was found, 2 if nothing held at any rate, 5 if the harness or the user set the limit.
    pub exit: Exit,
}

impl Capacity {
    /// From a search that is over.
    #[must_use]
    pub fn build(
        scenario: &Scenario,
        target: &str,
        seed: u64,
        machine: String,
        steps: Vec<Step>,
        search: &Search,
    ) -> Self {
        let own = steps.first().map_or(0.0, |s| s.rate / s.factor);
        let (holds, gives) = (search.holds.map(|f| f * own), search.gives.map(|f| f * own));
        let rate = |r: f64| format!("{} messages a second", format::three_digits(r));
        let (code, sentence) = match (holds, gives, search.ceiling) {
            (Some(h), _, _) if !search.confirmed => {
                (5, format!("at least {} held, and the search was not finished", rate(h)))
            }
            (Some(h), _, Some(Held::Unclear)) => {
                (5, format!("{} hold; above that the harness was the limit, or no broker could be had", rate(h)))
            }
            (Some(h), _, Some(Held::TooFast)) => {
                (5, format!("{} hold; faster than the scenario's tick allows was not tried", rate(h)))
            }
            (Some(h), Some(g), _) => (0, format!("{} hold, {} do not", rate(h), format::three_digits(g))),
            (Some(h), None, _) => (5, format!("at least {} hold", rate(h))),
            (None, Some(_), Some(Held::Unclear)) => (5, "no run was clear".to_owned()),
            (None, Some(g), _) => (2, format!("not even {} hold", rate(g))),
            (None, None, _) => (5, "no run was finished".to_owned()),
        };
        Self {
            format_version: super::model::FORMAT_VERSION,
            scenario: scenario.name.clone(),
            target: target.to_owned(),
            seed,
            machine,
            holds,
            confirmed: search.confirmed,
            gives,
            exit: Exit { code, reason: sentence.clone() },
            sentence,
            steps,
        }
    }

    fn lines(&self) -> Vec<[String; 6]> {
        let line = |s: &Step| {
            let held = match s.held {
                Held::Yes => "held",
                Held::No => "gave",
                Held::Unclear | Held::TooFast => "unclear",
            };
            let cores = s.broker_cores.map_or_else(|| format::MISSING.to_owned(), format::per_cent);
            let rate = format::three_digits(s.rate);
            [rate, held.to_owned(), format::seconds_or(s.p99), cores, s.folder.clone(), s.why.clone()]
        };
        self.steps.iter().map(line).collect()
    }

    /// For the terminal.
    #[must_use]
    pub fn terminal(&self) -> String {
        let mut out = format!(
            "{} on {}: the highest rate that holds          seed {}, {}\n\n{:>12}  {:<8} {:>10} {:>12}  why\n",
            self.scenario, self.target, self.seed, self.machine, "messages/s", "", "p99", "broker CPU"
        );
        for [rate, held, p99, cores, _, why] in self.lines() {
            writeln!(out, "{rate:>12}  {held:<8} {p99:>10} {cores:>12}  {why}").expect("a string takes every write");
        }
        writeln!(out, "\nexit {}: {}", self.exit.code, self.sentence).expect("a string takes every write");
        out
    }

    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut md = format!(
            "## {} on {}: {}\n\n| messages/s | | p99 | broker CPU | run | why |\n|--:|---|--:|--:|---|---|\n",
            self.scenario, self.target, self.sentence
        );
        for cells in self.lines() {
            let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
            writeln!(md, "| {} |", cells.join(" | ")).expect("a string takes every write");
        }
        md
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a search against a broker that holds up to `limit`; the factors that were tried, and the search.
    fn searched(precision: f64, held: impl Fn(f64, usize) -> Held) -> (Vec<f64>, Search) {
        let mut search = Search::new(precision);
        let mut tried = Vec::new();
        while let Some(factor) = search.next() {
            search.tell(factor, held(factor, tried.len()));
            tried.push(factor);
            assert!(tried.len() < 50, "{tried:?}");
        }
        (tried, search)
    }

    #[test]
    fn the_answer_is_within_the_precision_and_was_seen_twice() {
        for limit in [0.03, 0.4, 1.0, 3.3, 17.0] {
            let (tried, search) = searched(0.1, |f, _| if f <= limit { Held::Yes } else { Held::No });
            let (holds, gives) = (search.holds.expect("found"), search.gives.expect("found"));
            assert!(holds <= limit && limit < gives && gives / holds <= 1.1, "{limit}: {holds} {gives}");
            assert!(search.confirmed && tried.iter().filter(|f| **f == holds).count() == 2);
        }
    }

    #[test]
    fn luck_that_does_not_come_twice_is_no_answer() {
        // Held once at 2, by luck; what it can do is 1.5.
        let (_, search) = searched(0.1, |f, n| if f <= 1.5 || (f == 2.0 && n == 1) { Held::Yes } else { Held::No });
        assert!(search.holds.is_some_and(|h| h <= 1.5) && search.confirmed);
    }

    #[test]
    fn a_broker_that_holds_nothing_ends_the_search() {
        let (tried, search) = searched(0.1, |_, _| Held::No);
        assert!(search.holds.is_none() && tried.len() == 7, "{tried:?}");
    }
}
