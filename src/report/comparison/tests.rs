//! Trials in, tables and page out.

use super::*;
use crate::promise::Count;
use crate::report::fixture::{Fixture, broken, held};
use crate::report::tests::well_formed;

/// Six repeats on two brokers: the second is twice as slow, and breaks QoS 2 each time.
fn trials(repeats: usize) -> Vec<Trial> {
    let mut all = Vec::new();
    for repeat in 0..repeats {
        for target in 0..2 {
            let fixture: Fixture = if target == 0 { held() } else { broken() };
            let mut report = fixture.report();
            report.target.name = ["one", "two"][target].to_owned();
            report.exit = if target == 0 { Exit { code: 0, reason: String::new() } } else { report.exit };
            // A noise of 2 %, the same machine for both of a pair.
            let noise = 1.0 + 0.02 * [0.3, -0.8, 1.0, -0.2, 0.5, -0.9][repeat % 6] * [1.0, -1.0][target];
            for latency in &mut report.total.latencies {
                latency.intended.p99 = [1.0, 2.0][target] * noise;
                latency.intended.p50 = noise;
            }
            report.broker.cpu_per_message = None;
            all.push(Trial {
                target,
                repeat,
                result: Ok((report, fixture.summary)),
                folder: format!("t{target}-{repeat}"),
            });
        }
    }
    all
}

fn conditions(repeats: usize) -> Conditions {
    Conditions {
        scenario: ScenarioInfo { name: "s".to_owned(), seed: 7, ..ScenarioInfo::default() },
        targets: vec!["one".to_owned(), "two".to_owned()],
        repeats,
        warm_up: 5.0,
        cores: None,
        machine: "2 cores".to_owned(),
        started: 0,
        again: "squall compare <s>".to_owned(),
    }
}

fn row<'a>(c: &'a Comparison, key: &str) -> &'a Row {
    c.rows.iter().find(|r| r.key == key).unwrap_or_else(|| panic!("no row {key}"))
}

#[test]
fn a_difference_beyond_the_noise_is_a_finding_and_no_other() {
    let c = Comparison::build(conditions(6), &trials(6));
    let findings = c.findings();
    assert!(
        findings
            .iter()
            .any(|f| f == "two 2.0.11's p99 end to end is 2.0 to 2.1 times one 2.0.11's" || f.contains("1.9")),
        "{findings:?}"
    );
    assert!(!findings.iter().any(|f| f.contains("p50")), "{findings:?}");
    let ratio = row(&c, "p50 end_to_end").ratios[1].expect("compared");
    assert!(tables::says(&ratio).starts_with("no difference seen"), "{ratio:?}");
    assert_eq!(row(&c, "p99 end_to_end").ratios[0], None, "the first is the base");
}

#[test]
fn few_repeats_give_a_range_and_no_finding() {
    let c = Comparison::build(conditions(3), &trials(3));
    assert!(c.findings().is_empty());
    let ratio = row(&c, "p99 end_to_end").ratios[1].expect("compared");
    assert!(!ratio.interval && tables::says(&ratio).ends_with("3 repeats"));
}

#[test]
fn verdicts_stand_side_by_side_and_the_worst_is_the_exit_code() {
    let c = Comparison::build(conditions(2), &trials(2));
    let table = tables::guarantees(&c);
    let (_, cells) = table.iter().find(|(title, _)| title == "QoS 2").expect("asked for");
    assert_eq!(cells[..], [Some("held".to_owned()), Some("BROKEN".to_owned())]);
    assert_eq!(c.exit.code, 1);
    assert!(c.exit.reason.starts_with("two, repeat 1"), "{}", c.exit.reason);
}

#[test]
fn what_was_not_measured_is_no_number() {
    let mut all = trials(2);
    all[3].result = Err(("it is not installed".to_owned(), 4));
    let c = Comparison::build(conditions(2), &all);
    assert!(c.rows.iter().all(|r| r.key != "broker.cpu_per_message"), "a row nobody has a value for");
    assert_eq!(row(&c, "p99 end_to_end").values[1][1], None);
    assert!(c.columns[1].notes.iter().any(|n| n == "repeat 2: it is not installed"), "{:?}", c.columns[1].notes);
    let csv = tables::csv(&c);
    assert!(csv.contains("p99 end_to_end,seconds,two,2,\n"), "{csv}");
}

#[test]
fn a_tainted_trial_keeps_its_verdict_and_loses_its_figures() {
    let mut all = trials(2);
    if let Ok((report, _)) = &mut all[0].result {
        report.harness.trusted = false;
        report.harness.tainted = vec!["a load loop stood still for 300 ms".to_owned()];
    }
    let c = Comparison::build(conditions(2), &all);
    assert_eq!(row(&c, "p99 end_to_end").values[0][0], None);
    assert_eq!((c.columns[0].trials, c.columns[0].tainted), (2, 1));
    assert_eq!(c.columns[0].guarantees[1].held, 2);
}

#[test]
fn the_page_and_the_tables_are_whole() {
    for repeats in [1, 6] {
        let c = Comparison::build(conditions(repeats), &trials(repeats));
        let page = html::render(&c);
        well_formed(&page);
        assert!(page.contains("chart-factors") && page.contains("chart-percentiles-end_to_end"));
        assert!(page.contains("squall compare &lt;s&gt;") && page.contains("t1-0/report.html"));
        let text = tables::terminal(&c, None);
        assert!(text.contains("BROKEN") && text.contains("exit 1: two"), "{text}");
        assert!(tables::markdown(&c).contains("**BROKEN**"));
        let read: Comparison = serde_json::from_str(&serde_json::to_string(&c).expect("JSON")).expect("the same");
        assert!(read == c);
    }
}

#[test]
fn of_excuses_the_notes_have_those_that_were_needed() {
    let notes = Comparison::build(conditions(2), &trials(2)).columns.remove(1).notes;
    assert!(notes.iter().any(|n| n.ends_with("declares no durability")), "{notes:?}");
    assert!(!notes.iter().any(|n| n.ends_with("session had ended")), "{notes:?}");
}

/// In one repeat nothing was lost: all are trusted, and what was lost in the others is no ratio of the brokers.
#[test]
fn a_count_of_nothing_has_no_ratio_and_takes_no_trust_away() {
    let mut all = trials(6);
    for trial in &mut all {
        if let Ok((report, _)) = &mut trial.result {
            *report.total.counts.get_mut(Count::Lost) = Some(if trial.repeat == 3 { 0 } else { 7 });
            *report.total.counts.get_mut(Count::Disconnects) = Some(5);
        }
    }
    let c = Comparison::build(conditions(6), &all);
    assert!(!c.ranges_only());
    assert_eq!(row(&c, "lost").ratios[1], None);
    assert!(row(&c, "disconnects").ratios[1].is_some_and(|r| r.interval));
    if let Ok((report, _)) = &mut all[4].result {
        report.harness.trusted = false;
    }
    assert!(Comparison::build(conditions(6), &all).ranges_only());
}

/// Bytes written a message are compared as CPU is; of a broker that writes nothing there is no ratio, and what was not seen is no row.
#[test]
fn bytes_written_are_compared_where_both_write() {
    let with = |written: [Option<f64>; 2]| {
        let mut all = trials(6);
        for trial in &mut all {
            if let Ok((report, _)) = &mut trial.result {
                let noise = 1.0 + f64::from(u32::try_from(trial.repeat).expect("six")) / 100.0;
                report.broker.written_per_message = written[trial.target].map(|bytes| bytes * noise);
            }
        }
        Comparison::build(conditions(6), &all)
    };
    let c = with([Some(100.0), Some(300.0)]);
    let told = "two 2.0.11's broker bytes written a delivered message is 3.0 to 3.0 times one 2.0.11's";
    assert!(c.findings().iter().any(|f| f == told), "{:?}", c.findings());
    let c = with([Some(0.0), Some(300.0)]);
    assert_eq!(row(&c, "broker.written_per_message").ratios[1], None);
    assert_eq!(tables::value(row(&c, "broker.written_per_message"), 0), "0 B", "that was read");
    let c = with([None, None]);
    assert!(c.rows.iter().all(|r| r.key != "broker.written_per_message"));
}
