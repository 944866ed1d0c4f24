//! `summary.md`: what fits a CI step summary.

use super::model::{LatencyInfo, Standing, ThresholdStanding};
use super::{Report, format, story};
use std::fmt::Write;

/// Stories beyond this many are left to the page: a step summary is read in a glance.
const STORIES: usize = 3;

/// The report as GitHub-flavoured Markdown.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut md = String::new();
    let mark = match report.exit.code {
        0 => "✅",
        5 => "❔",
        2 => "⚠️",
        _ => "❌",
    };
    line(&mut md, format_args!("## {mark} {} on {}", cell(&report.scenario.name), cell(&report.target.label())));
    line(&mut md, format_args!("\n**exit {}: {}**", report.exit.code, cell(&report.exit.reason)));
    line(&mut md, format_args!("\n{}", cell(&format::circumstances(report))));
    if let Some(why) = &report.partial {
        line(&mut md, format_args!("\n> The run is partial: {}", cell(why)));
    }
    guarantees(&mut md, report);
    thresholds(&mut md, report);
    latencies(&mut md, report);
    cost(&mut md, report);
    line(
        &mut md,
        format_args!("\nHarness {}. Broker: {}.", cell(&story::harness(report)), cell(&story::broker(report))),
    );
    if let Some(text) = story::redirects(report) {
        line(&mut md, format_args!("\n> Redirected: {}.", cell(&text)));
    }
    evidence(&mut md, report);
    line(
        &mut md,
        format_args!("\nAgain, under the same conditions:\n\n```\n{}\n```", report.again.replace("```", "'''")),
    );
    md
}

fn line(md: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(md, "{text}").expect("a string takes every write");
}

fn guarantees(md: &mut String, report: &Report) {
    line(md, format_args!("\n| guarantee | | |\n|---|---|---|"));
    for guarantee in report.guarantees.iter().filter(|g| g.standing != Standing::NotAsked) {
        let word = match guarantee.standing {
            Standing::Broken => "**BROKEN**",
            other => other.word(),
        };
        line(md, format_args!("| {} | {word} | {} |", cell(&guarantee.title), cell(&story::sentence(guarantee))));
    }
    let unasked: Vec<&str> =
        report.guarantees.iter().filter(|g| g.standing == Standing::NotAsked).map(|g| g.title.as_str()).collect();
    if !unasked.is_empty() {
        line(md, format_args!("\nNot asked: {}.", unasked.join(", ")));
    }
    let used = report.excuses.iter().filter(|e| e.count > 0);
    let used: Vec<String> = used.map(|e| format!("{} because {}", format::count(e.count), cell(&e.reason))).collect();
    if !used.is_empty() {
        line(md, format_args!("\nExcused: {}.", used.join("; ")));
    }
}

fn thresholds(md: &mut String, report: &Report) {
    if report.thresholds.is_empty() {
        return;
    }
    line(md, format_args!("\n| threshold | measured | |\n|---|--:|---|"));
    for threshold in &report.thresholds {
        let word = match threshold.standing {
            ThresholdStanding::Met => "met",
            ThresholdStanding::Missed => "**MISSED**",
            ThresholdStanding::Unknown => "unknown",
        };
        line(md, format_args!("| `{}` | {} | {word} |", code(&threshold.text), story::measured(threshold)));
    }
}

fn latencies(md: &mut String, report: &Report) {
    let publishers = report.groups.iter().filter(|g| g.publishes.is_some());
    let rows: Vec<(&str, &LatencyInfo)> = publishers
        .flat_map(|g| {
            g.latencies.iter().filter(|l| l.key == "publish_ack" || l.key == "end_to_end").map(|l| (g.name.as_str(), l))
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    line(md, format_args!("\n| latency from the intended time | | p50 | p90 | p99 | max |\n|---|---|--:|--:|--:|--:|"));
    for (group, latency) in rows {
        let f = latency.intended;
        let [p50, p90, p99, max] = [f.p50, f.p90, f.p99, f.max].map(format::seconds);
        line(md, format_args!("| {} | {} | {p50} | {p90} | {p99} | {max} |", cell(group), latency.title));
    }
}

fn cost(md: &mut String, report: &Report) {
    if report.cost.is_empty() {
        return;
    }
    line(
        md,
        format_args!(
            "\n| cost a message | MQTT bytes | IP bytes | packets | retransmissions | air time |\n|---|--:|--:|--:|--:|--:|"
        ),
    );
    for row in &report.cost {
        line(md, format_args!("| QoS {} | {} |", row.qos, story::cost(row).join(" | ")));
    }
}

fn evidence(md: &mut String, report: &Report) {
    for evidence in report.evidence.iter().take(STORIES) {
        let text = story::text(evidence).replace("```", "'''");
        line(
            md,
            format_args!(
                "\n<details><summary>evidence {}: {}</summary>\n\n```\n{text}```\n</details>",
                evidence.number,
                cell(&evidence.title)
            ),
        );
    }
    if report.evidence.len() > STORIES {
        line(md, format_args!("\n{} more stories are in report.html.", report.evidence.len() - STORIES));
    }
}

/// Text for a table cell or a line: no markup of its own, no line ends.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '`' | '_' | '\\' | '[' | ']' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text for a code span in a table cell, where only the cell's end and the span's end have a meaning.
fn code(text: &str) -> String {
    text.replace('`', "'").replace('|', "\\|").replace(['\n', '\r'], " ")
}
