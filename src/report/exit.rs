//! The exit code: the worst that can be said of the run.

use super::model::{Exit, Report, Standing, ThresholdStanding};

/// Decides the exit code. A proved breach comes first, for it stays true whatever else went wrong; then a target that
/// died unasked, then what makes the run inconclusive, then a missed threshold.
#[must_use]
pub fn decide(report: &Report) -> Exit {
    let exit = |code, reason: String| Exit { code, reason };
    let titles = |standing: Standing| -> Vec<&str> {
        let chosen = report.guarantees.iter().filter(|g| g.standing == standing);
        chosen.filter(|g| g.asked || standing == Standing::Broken).map(|g| g.title.as_str()).collect()
    };
    let broken = titles(Standing::Broken);
    if !broken.is_empty() {
        let what = if broken.len() == 1 { "a guarantee was broken" } else { "guarantees were broken" };
        return exit(1, format!("{what}: {}", broken.join(", ")));
    }
    if let Some(how) = &report.target_died {
        return exit(4, format!("the broker died unasked: {how}"));
    }
    if let Some(why) = report.harness.tainted.first() {
        return exit(5, format!("inconclusive: {why}"));
    }
    if let Some(why) = &report.partial {
        return exit(5, format!("inconclusive: the run is partial: {why}"));
    }
    let unclear = titles(Standing::NotEnoughEvidence);
    if !unclear.is_empty() {
        return exit(5, format!("inconclusive: not enough evidence for {}", unclear.join(", ")));
    }
    let thresholds = |standing: ThresholdStanding| {
        report.thresholds.iter().filter(move |t| t.standing == standing).map(|t| t.text.as_str()).collect::<Vec<_>>()
    };
    let unknown = thresholds(ThresholdStanding::Unknown);
    if !unknown.is_empty() {
        return exit(5, format!("inconclusive: could not be measured: {}", unknown.join("; ")));
    }
    let missed = thresholds(ThresholdStanding::Missed);
    if !missed.is_empty() {
        let what = if missed.len() == 1 { "a threshold was missed" } else { "thresholds were missed" };
        return exit(2, format!("{what}: {}", missed.join("; ")));
    }
    exit(0, "everything that was asked for held".to_owned())
}
