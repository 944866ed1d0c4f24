//! Several brokers under the same scenario, side by side: one [`Comparison`] value, and one exporter a format.
//!
//! A trial is one run on one broker; its own report stands in a folder of its own. Here nothing is measured anew.

pub mod html;
mod ratio;
mod rows;
pub mod tables;
#[cfg(test)]
mod tests;

use super::figures;
use super::metric::merge_histograms;
use super::model::{CurvePoint, Exit, Named, Report, ScenarioInfo, Standing, Unit};
use crate::measure::summary::Summary;
use crate::promise::Latency;
use hdrhistogram::Histogram;
pub use ratio::{ENOUGH, Ratio};
use serde::{Deserialize, Serialize};

/// One run on one broker.
#[derive(Debug)]
pub struct Trial {
    /// Index of the target, in the order in which they were named.
    pub target: usize,
    /// Which repeat, from 0.
    pub repeat: usize,
    /// What was measured; or why the broker could not be had, and the exit code that says so.
    pub result: Result<(Report, Summary), (String, u8)>,
    /// The folder of its report, beside the comparison's files.
    pub folder: String,
}

/// What is known before any trial.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Conditions {
    /// The scenario.
    pub scenario: ScenarioInfo,
    /// The targets, as they were named; the first is the base of all ratios.
    pub targets: Vec<String>,
    /// Repeats asked for.
    pub repeats: usize,
    /// Seconds of load before each trial, whose figures are thrown away; 0 for none.
    pub warm_up: f64,
    /// Which cores harness and broker had; none: they shared all.
    pub cores: Option<String>,
    /// The machine, in general terms.
    pub machine: String,
    /// Start, seconds since 1970.
    pub started: u64,
    /// The command that does it again.
    pub again: String,
}

/// Everything that is said about the comparison.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// [`super::model::FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of squall.
    pub squall_version: String,
    /// What was known before.
    pub conditions: Conditions,
    /// One a target, in the same order.
    pub columns: Vec<Column>,
    /// Figures by target and repeat.
    pub rows: Vec<Row>,
    /// The exit code and why.
    pub exit: Exit,
}

/// One broker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Column {
    /// Name and version where a trial told them, else as it was named.
    pub label: String,
    /// Trials with figures.
    pub trials: usize,
    /// Of these: in how many the harness itself was too slow to be trusted. Their figures are left out.
    pub tainted: usize,
    /// How the guarantees came out.
    pub guarantees: Vec<Tally>,
    /// Why trials failed, what was excused, what could not be seen; each said once.
    pub notes: Vec<String>,
    /// Latency by percentile, all repeats together.
    pub curves: Vec<Curve>,
    /// Folders of the trials' own reports, by repeat.
    pub folders: Vec<String>,
}

/// One guarantee over the repeats.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Tally {
    pub key: String,
    pub title: String,
    pub held: usize,
    pub broken: usize,
    pub unclear: usize,
    /// Cases judged, and failed, in all trials.
    pub cases: u64,
    pub failures: u64,
    /// Breaches by name, all trials together.
    pub breaches: Vec<Named>,
    /// The statements that were offended.
    pub statements: Vec<String>,
}

impl Tally {
    /// `held`, `BROKEN in 2 of 6`, `unclear`; none if nobody asked.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let all = self.held + self.broken + self.unclear;
        match (self.broken, self.unclear) {
            _ if all == 0 => None,
            (0, 0) => Some("held".to_owned()),
            (0, n) if n == all => Some("unclear".to_owned()),
            (0, n) => Some(format!("held, unclear in {n} of {all}")),
            (n, _) if n == all => Some("BROKEN".to_owned()),
            (n, _) => Some(format!("BROKEN in {n} of {all}")),
        }
    }
}

/// Latency by percentile of one broker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Curve {
    pub key: String,
    pub title: String,
    pub count: u64,
    pub points: Vec<CurvePoint>,
}

/// One figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// `p99 end_to_end`.
    pub key: String,
    /// `p99 end to end`.
    pub title: String,
    /// The values' unit.
    pub unit: Unit,
    /// By target, by repeat; none where a trial has no such figure, or cannot be trusted.
    pub values: Vec<Vec<Option<f64>>>,
    /// By target: to the first one; none for the first itself, and where there is nothing to compare.
    pub ratios: Vec<Option<Ratio>>,
}

impl Row {
    /// The median of a target's repeats.
    #[must_use]
    pub fn median(&self, target: usize) -> Option<f64> {
        let mut values: Vec<f64> = self.values.get(target)?.iter().flatten().copied().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            n if n % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    }

    /// The least and the largest of a target's repeats.
    #[must_use]
    pub fn range(&self, target: usize) -> Option<(f64, f64)> {
        let values = || self.values.get(target).into_iter().flatten().flatten().copied();
        values().next()?;
        Some((values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)))
    }
}

impl Comparison {
    /// Puts trials side by side.
    #[must_use]
    pub fn build(conditions: Conditions, trials: &[Trial]) -> Self {
        let columns: Vec<Column> = (0..conditions.targets.len()).map(|t| column(&conditions, trials, t)).collect();
        let rows = rows::rows(&conditions, trials);
        let exit = exit(trials, &conditions.targets);
        Self {
            format_version: super::model::FORMAT_VERSION,
            squall_version: env!("CARGO_PKG_VERSION").to_owned(),
            conditions,
            columns,
            rows,
            exit,
        }
    }

    /// True if some target has fewer pairs with the first than an interval needs: too few repeats, or some were not trusted.
    #[must_use]
    pub fn ranges_only(&self) -> bool {
        (1..self.columns.len()).any(|target| self.trusted_pairs(target) < ENOUGH)
    }

    /// In how many repeats both this target and the first have figures, whatever these are.
    fn trusted_pairs(&self, target: usize) -> usize {
        let both = |r: &Row, n: usize| r.values[0][n].is_some() && r.values[target][n].is_some();
        (0..self.conditions.repeats).filter(|n| self.rows.iter().any(|r| both(r, *n))).count()
    }

    /// What differs, in sentences: `hivemq's p99 end to end is 2.1 to 2.6 times mosquitto's`. Only where an interval
    /// lies wholly on one side of 1.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut all = Vec::new();
        let base = self.columns.first().map_or("", |c| &c.label);
        for row in &self.rows {
            for (column, ratio) in self.columns.iter().zip(&row.ratios) {
                if let Some(r) = ratio.filter(Ratio::differs) {
                    let (low, high) = (tables::factor(r.low), tables::factor(r.high));
                    all.push(format!("{}'s {} is {low} to {high} times {base}'s", column.label, row.title));
                }
            }
        }
        all
    }
}

fn of_target(trials: &[Trial], target: usize) -> impl Iterator<Item = &Trial> {
    trials.iter().filter(move |t| t.target == target)
}

fn column(conditions: &Conditions, trials: &[Trial], target: usize) -> Column {
    let reports: Vec<(&Report, &Summary)> =
        of_target(trials, target).filter_map(|t| t.result.as_ref().ok()).map(|(r, s)| (r, s)).collect();
    let mut notes: Vec<String> = Vec::new();
    for trial in of_target(trials, target) {
        let said: Vec<String> = match &trial.result {
            Err((why, _)) => vec![format!("repeat {}: {why}", trial.repeat + 1)],
            Ok((report, _)) => {
                // Those that nobody needed stand in the trial's own report.
                let needed = report.excuses.iter().filter(|e| e.count > 0);
                let excuses = needed.map(|e| format!("losses excused: {}", e.reason));
                let died = report.target_died.iter().map(|how| format!("the broker died: {how}"));
                let tainted = report.harness.tainted.iter().map(|why| format!("not trusted: {why}"));
                excuses.chain(died).chain(tainted).chain(report.unseen.iter().cloned()).collect()
            }
        };
        notes.extend(said);
    }
    let mut seen = std::collections::BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    Column {
        label: reports.first().map_or_else(|| conditions.targets[target].clone(), |(r, _)| r.target.label()),
        trials: reports.len(),
        tainted: reports.iter().filter(|(r, _)| !r.harness.trusted).count(),
        guarantees: tallies(&reports),
        notes,
        curves: curves(&reports),
        folders: of_target(trials, target).filter(|t| t.result.is_ok()).map(|t| t.folder.clone()).collect(),
    }
}

fn tallies(reports: &[(&Report, &Summary)]) -> Vec<Tally> {
    let mut all: Vec<Tally> = Vec::new();
    for guarantee in reports.iter().flat_map(|(r, _)| &r.guarantees) {
        let place = all.iter().position(|t| t.key == guarantee.key).unwrap_or_else(|| {
            let (key, title) = (guarantee.key.clone(), guarantee.title.clone());
            let (breaches, statements) = (Vec::new(), Vec::new());
            all.push(Tally { key, title, held: 0, broken: 0, unclear: 0, cases: 0, failures: 0, breaches, statements });
            all.len() - 1
        });
        let tally = &mut all[place];
        match guarantee.standing {
            Standing::Held | Standing::HeldUntested => tally.held += 1,
            Standing::Broken => tally.broken += 1,
            Standing::NotEnoughEvidence => tally.unclear += 1,
            Standing::NotAsked => continue,
        }
        tally.cases += guarantee.cases;
        tally.failures += guarantee.failures;
        for breach in &guarantee.breaches {
            match tally.breaches.iter_mut().find(|b| b.name == breach.name) {
                Some(known) => known.count += breach.count,
                None => tally.breaches.push(breach.clone()),
            }
        }
        for statement in &guarantee.statements {
            if !tally.statements.contains(statement) {
                tally.statements.push(statement.clone());
            }
        }
    }
    all
}

/// Histograms of all trusted repeats, merged without loss.
fn curves(reports: &[(&Report, &Summary)]) -> Vec<Curve> {
    let trusted = || reports.iter().filter(|(r, _)| r.harness.trusted).flat_map(|(_, s)| &s.groups);
    let of = |latency: Latency| {
        let all = trusted().flat_map(|g| &g.latencies).filter(|l| l.latency == latency).map(|l| &l.intended);
        let merged: Histogram<u64> = merge_histograms(all)?;
        Some(Curve {
            key: latency.key().to_owned(),
            title: latency.title().to_owned(),
            count: merged.len(),
            points: figures::curve(&merged),
        })
    };
    [Latency::EndToEnd, Latency::PublishAck, Latency::ConnAck].into_iter().filter_map(of).collect()
}

/// The worst that any trial says, in the order of a run's own exit codes: 1, 4, 5, 2.
fn exit(trials: &[Trial], targets: &[String]) -> Exit {
    let worst = [1, 3, 4, 5, 2].into_iter().find_map(|code| {
        trials.iter().find_map(|t| match &t.result {
            Ok((report, _)) if report.exit.code == code => Some((code, t, report.exit.reason.clone())),
            Err((why, c)) if *c == code => Some((code, t, why.clone())),
            _ => None,
        })
    });
    match worst {
        Some((code, trial, why)) => {
            Exit { code, reason: format!("{}, repeat {}: {why}", targets[trial.target], trial.repeat + 1) }
        }
        None => Exit { code: 0, reason: "everything that was asked for held on every broker".to_owned() },
    }
}
