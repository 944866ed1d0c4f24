//! What a run of the suite is told as: text for people, JUnit and JSON for machines.

use super::statements::{Share, table};
use super::suite::{Outcome, Verdict, mended, name};
use crate::mqtt::Version;
use crate::report::junit::{content, escape};
use crate::target::manifest::Deviation;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many cases came out how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of the outcomes")]
pub struct Tally {
    pub held: usize,
    pub broken: usize,
    pub deviates: usize,
    pub not_applicable: usize,
    pub unreachable: usize,
}

impl Tally {
    /// Counts.
    pub fn of<'v, 'a: 'v>(verdicts: impl IntoIterator<Item = &'v Verdict<'a>>) -> Self {
        let mut tally = Self::default();
        for verdict in verdicts {
            *match verdict.outcome {
                Outcome::Held => &mut tally.held,
                Outcome::Broken(_) => &mut tally.broken,
                Outcome::Deviates(..) => &mut tally.deviates,
                Outcome::NotApplicable(_) => &mut tally.not_applicable,
                Outcome::Unreachable(_) => &mut tally.unreachable,
            } += 1;
        }
        tally
    }
}

/// The statements that a case tests, as people cite them.
fn cited(v: &Verdict<'_>) -> String {
    v.case.statements(v.version).iter().map(|s| format!("[MQTT-{s}]")).collect::<Vec<_>>().join(" ")
}

/// The whole run for people.
#[must_use]
pub fn text(target: &str, verdicts: &[Verdict<'_>], deviations: &[Deviation]) -> String {
    let mut out = String::new();
    for v in verdicts {
        match &v.outcome {
            Outcome::Held => {}
            Outcome::Broken(why) => told(&mut out, v, why),
            Outcome::Unreachable(why) => {
                let _ = writeln!(out, "NOBODY     {} (MQTT {}): {why}", v.case.name, name(v.version));
            }
            Outcome::Deviates(why, reason) => {
                let line = format!("deviates   {} (MQTT {}) {}: {why}\n", v.case.name, name(v.version), cited(v));
                let _ = write!(out, "{line}           known: {reason}\n\n");
            }
            Outcome::NotApplicable(why) => {
                let _ = writeln!(out, "no subject {} (MQTT {}): {why}", v.case.name, name(v.version));
            }
        }
    }
    for deviation in mended(deviations, verdicts) {
        let _ = writeln!(
            out,
            "mended     MQTT {} [MQTT-{}] is listed as a known deviation, and was kept: take it off the list",
            deviation.mqtt, deviation.statement
        );
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for version in [Version::V311, Version::V5] {
        let mine: Vec<&Verdict<'_>> = verdicts.iter().filter(|v| v.version == version).collect();
        if !mine.is_empty() {
            let _ = writeln!(out, "{target}, MQTT {}: {}", name(version), line(Tally::of(mine.iter().copied())));
        }
    }
    out
}

fn line(t: Tally) -> String {
    let mut parts = vec![format!("{} held", t.held)];
    for (n, what) in [
        (t.broken, "BROKEN"),
        (t.deviates, "known deviations"),
        (t.not_applicable, "without a subject there"),
        (t.unreachable, "could not reach it"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    parts.join(", ")
}

fn told(out: &mut String, v: &Verdict<'_>, why: &str) {
    let _ = writeln!(out, "BROKEN     {} (MQTT {}) {}", v.case.name, name(v.version), cited(v));
    let _ = writeln!(out, "  rule   {}", v.case.says);
    let _ = writeln!(out, "  seen   {why}");
    for line in v.tape.lines() {
        let _ = writeln!(out, "  {line}");
    }
    out.push('\n');
}

/// The run as JUnit: a suite a version, a case a case.
#[must_use]
pub fn junit(target: &str, verdicts: &[Verdict<'_>]) -> String {
    let all = Tally::of(verdicts);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"squall conform\" {}>", counts(all, verdicts.len()));
    for version in [Version::V311, Version::V5] {
        let mine: Vec<&Verdict<'_>> = verdicts.iter().filter(|v| v.version == version).collect();
        if mine.is_empty() {
            continue;
        }
        let title = escape(&format!("MQTT {} on {target}", name(version)));
        let tally = Tally::of(mine.iter().copied());
        let _ = writeln!(xml, "  <testsuite name=\"{title}\" {}>", counts(tally, mine.len()));
        for v in mine {
            let class = format!("squall.conform.mqtt-{}", name(version).replace('.', "-"));
            let time = v.took.as_secs_f64();
            let _ = writeln!(xml, "    <testcase classname=\"{class}\" name=\"{}\" time=\"{time:.3}\">", v.case.name);
            let _ = writeln!(xml, "      {}", end(v));
            let _ = writeln!(xml, "    </testcase>");
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts(t: Tally, all: usize) -> String {
    let skipped = t.not_applicable + t.deviates;
    format!("tests=\"{all}\" failures=\"{}\" errors=\"{}\" skipped=\"{skipped}\"", t.broken, t.unreachable)
}

fn end(v: &Verdict<'_>) -> String {
    let about = format!("{} {}", v.case.says, cited(v));
    match &v.outcome {
        Outcome::Held => format!("<system-out>{}</system-out>", content(&about)),
        Outcome::Broken(why) => {
            let body = content(&format!("{about}\n{}", v.tape));
            format!("<failure type=\"broken\" message=\"{}\">{body}</failure>", escape(why))
        }
        Outcome::Unreachable(why) => format!("<error type=\"unreachable\" message=\"{}\"/>", escape(why)),
        Outcome::Deviates(why, reason) => {
            format!("<skipped message=\"{}\"/>", escape(&format!("known deviation: {reason} ({why})")))
        }
        Outcome::NotApplicable(why) => format!("<skipped message=\"{}\"/>", escape(why)),
    }
}

/// The run as JSON: all cases, and of each statement how it came out.
#[must_use]
pub fn json(target: &str, verdicts: &[Verdict<'_>], deviations: &[Deviation]) -> String {
    let cases: Vec<serde_json::Value> = verdicts.iter().map(case).collect();
    let mended: Vec<serde_json::Value> =
        mended(deviations, verdicts).iter().map(|d| json!({ "mqtt": d.mqtt, "statement": d.statement })).collect();
    let mut statements = serde_json::Map::new();
    for version in [Version::V311, Version::V5] {
        statements.insert(name(version).into(), json!(by_statement(version, verdicts)));
    }
    let value = json!({ "schema": 1, "target": target, "cases": cases, "mended": mended, "statements": statements });
    format!("{value:#}\n")
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Held => "held",
        Outcome::Broken(_) => "broken",
        Outcome::Deviates(..) => "deviates",
        Outcome::NotApplicable(_) => "not-applicable",
        Outcome::Unreachable(_) => "unreachable",
    }
}

fn case(v: &Verdict<'_>) -> serde_json::Value {
    let (why, reason) = match &v.outcome {
        Outcome::Held => (None, None),
        Outcome::Broken(why) | Outcome::NotApplicable(why) | Outcome::Unreachable(why) => (Some(why), None),
        Outcome::Deviates(why, reason) => (Some(why), Some(reason)),
    };
    let exchange: Vec<&str> = match v.outcome {
        Outcome::Held | Outcome::NotApplicable(_) => Vec::new(),
        _ => v.tape.lines().collect(),
    };
    json!({
        "name": v.case.name,
        "mqtt": name(v.version),
        "says": v.case.says,
        "statements": v.case.statements(v.version),
        "outcome": word(&v.outcome),
        "why": why,
        "known": reason,
        "seconds": v.took.as_secs_f64(),
        "exchange": exchange,
    })
}

/// The worst outcome of the cases of each statement.
fn by_statement<'v>(version: Version, verdicts: &'v [Verdict<'_>]) -> BTreeMap<&'v str, &'static str> {
    const WORST_LAST: [&str; 5] = ["not-applicable", "held", "unreachable", "deviates", "broken"];
    let rank = |w: &str| WORST_LAST.iter().position(|x| *x == w);
    let mut all: BTreeMap<&str, &'static str> = BTreeMap::new();
    for v in verdicts.iter().filter(|v| v.version == version) {
        for statement in v.case.statements(version) {
            let now = word(&v.outcome);
            let entry = all.entry(statement).or_insert(now);
            if rank(now) > rank(entry) {
                *entry = now;
            }
        }
    }
    all
}

/// The shares of both versions, and what is not tested and why.
#[must_use]
pub fn coverage() -> String {
    let mut out = String::new();
    for version in [Version::V311, Version::V5] {
        let share = Share::of(version);
        let _ = writeln!(
            out,
            "MQTT {}: {} statements, {} tested; {} bind clients alone; {} bind servers and cannot be tested from outside:",
            name(version),
            share.all,
            share.tested,
            share.client,
            share.untested
        );
        for s in table(version).iter().filter(|s| s.cases.is_empty() && s.binds != "client") {
            let _ = writeln!(out, "  [MQTT-{}] {}\n      {}", s.number, s.says, s.why_not);
        }
    }
    out
}
