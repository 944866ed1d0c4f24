//! `report.html`: one self-contained page. No script, no network (its own content policy forbids both), readable on a
//! phone and in the dark.

mod evidence;
pub(super) mod figures;
mod sequence;

use super::model::{Excuse, GuaranteeInfo, Report, Standing, ThresholdInfo, ThresholdStanding};
use super::{format, story};
use std::fmt::Write;

/// The style sheet, with the colours of all charts in light and in dark.
const STYLE: &str = include_str!("page.css");

/// A section of the page: its anchor, its title, its body; an empty body leaves it out.
pub(super) struct Section {
    pub id: &'static str,
    pub title: &'static str,
    pub body: String,
}

/// The page.
#[must_use]
pub fn render(report: &Report) -> String {
    let section = |id, title, body| Section { id, title, body };
    let sections = [
        section("guarantees", "Guarantees", guarantees(report)),
        section("evidence", "Evidence", evidence::render(report)),
        section("thresholds", "Thresholds", thresholds(report)),
        section("latency", "Latency", figures::latency(report)),
        section("messages", "Messages", figures::messages(report)),
        section("wire", "Wire cost", figures::wire(report)),
        section("broker", "Broker", figures::broker(report)),
        section("harness", "Harness", figures::harness(report)),
        section("limits", "What could not be seen", limits(report)),
        section("again", "Run it again", again(report)),
    ];
    let title = format!("{} on {}: squall", report.scenario.name, report.target.label());
    let main = format!("{}{}", banner(report), tiles(report));
    page(&title, &top(report), &main, &sections, report.format_version)
}

/// A whole page: what stands above, what comes first, and the sections that have a body.
pub(super) fn page(title: &str, top: &str, first: &str, sections: &[Section], version: u32) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{top}<main>\n{first}<nav aria-label=\"Sections\">",
        escape(title)
    );
    for section in sections.iter().filter(|s| !s.body.is_empty()) {
        put(&mut page, format_args!("<a href=\"#{}\">{}</a>", section.id, section.title));
    }
    page.push_str("</nav>\n");
    for Section { id, title, body } in sections.iter().filter(|s| !s.body.is_empty()) {
        put(
            &mut page,
            format_args!(
                "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
            ),
        );
    }
    let squall = env!("CARGO_PKG_VERSION");
    put(
        &mut page,
        format_args!("<footer>squall {squall} · report format {version}</footer>\n</main>\n</body>\n</html>\n"),
    );
    page
}

fn top(report: &Report) -> String {
    let mut html = format!(
        "<header class=\"top\">\n<div class=\"mark\">squall report</div>\n<h1>{} <span>on</span> {}</h1>\n",
        escape(&report.scenario.name),
        escape(&report.target.label())
    );
    put(
        &mut html,
        format_args!(
            "<p class=\"soft\">{} · {}</p>\n",
            report.started.map_or_else(|| "virtual time".to_owned(), format::date),
            escape(&format::circumstances(report))
        ),
    );
    for paragraph in report.scenario.about.split("\n\n").filter(|p| !p.trim().is_empty()) {
        put(&mut html, format_args!("<p>{}</p>\n", escape(paragraph.trim())));
    }
    html.push_str("</header>\n");
    html
}

fn banner(report: &Report) -> String {
    let (class, words) = match report.exit.code {
        0 => ("good", "Every promise held"),
        1 => ("bad", "A promise was broken"),
        2 => ("warn", "Every promise held, but a threshold was missed"),
        4 => ("bad", "The broker died"),
        _ => ("warn", "Inconclusive"),
    };
    let mut html = format!(
        "<div class=\"banner {class}\" role=\"status\"><strong>{words}</strong><p>Exit code {}: {}.</p>",
        report.exit.code,
        escape(report.exit.reason.trim_start_matches("inconclusive: "))
    );
    let mut also = Vec::new();
    let missed = report.thresholds.iter().filter(|t| t.standing == ThresholdStanding::Missed).count();
    if missed > 0 && report.exit.code != 2 {
        also.push(format!("{missed} of {} thresholds missed", report.thresholds.len()));
    }
    if report.exit.code != 5 {
        also.extend(report.partial.iter().map(|why| format!("the run is partial: {why}")));
        also.extend(report.harness.tainted.first().map(|why| format!("the harness is tainted: {why}")));
    }
    also.extend(story::redirects(report));
    if report.exit.code != 4 {
        also.extend(report.target_died.iter().map(|how| format!("the broker died: {how}")));
    }
    if !also.is_empty() {
        put(&mut html, format_args!("<p>Also: {}.</p>", escape(&also.join("; "))));
    }
    html.push_str("</div>\n");
    html
}

fn tiles(report: &Report) -> String {
    let counts = &report.total.counts;
    let slowest = report.total.latencies.iter().find(|l| l.key == "end_to_end").map(|l| l.intended.p99);
    let bad = |n: Option<u64>| if n.is_some_and(|n| n > 0) { "bad" } else { "" };
    let trust = match story::trust(report) {
        story::Trust::Trusted => ("", Some("trusted".to_owned())),
        story::Trust::Unwatched => ("", None),
        story::Trust::Virtual => ("", Some("virtual time".to_owned())),
        story::Trust::Tainted => ("warn", Some("tainted".to_owned())),
    };
    let tiles = [
        ("", "messages offered", counts.offered.map(format::count)),
        ("", "delivered", counts.delivered.map(format::count)),
        (bad(counts.lost), "lost", counts.lost.map(format::count)),
        ("", "further copies", counts.duplicated.map(format::count)),
        ("", "p99 end to end", slowest.map(format::seconds)),
        (trust.0, "harness", trust.1),
    ];
    let mut html = String::from("<div class=\"tiles\">");
    for (class, label, value) in tiles {
        let value = value.unwrap_or_else(|| NOT_MEASURED.to_owned());
        put(&mut html, format_args!("<div class=\"tile {class}\"><b>{value}</b><span>{label}</span></div>"));
    }
    html.push_str("</div>\n");
    html
}

fn guarantees(report: &Report) -> String {
    let mut html = String::from("<div class=\"card\"><ul class=\"rows\">\n");
    for guarantee in &report.guarantees {
        html.push_str(&row(guarantee, report));
    }
    html.push_str("</ul></div>\n");
    html.push_str(&excuses(report));
    html
}

/// Every reason that excuses a loss: those that were taken, with their counts, and those that nobody needed.
fn excuses(report: &Report) -> String {
    let (used, unused): (Vec<&Excuse>, Vec<&Excuse>) = report.excuses.iter().partition(|e| e.count > 0);
    let mut html = String::from("<div class=\"card\"><h3>Losses that were excused</h3>");
    if report.strict {
        html.push_str("<p>What the broker declares of itself is no excuse here (<code>--strict</code>).</p>");
    }
    if used.is_empty() {
        html.push_str("<p>None.</p>");
    } else {
        html.push_str("<ul>");
    }
    for excuse in &used {
        put(
            &mut html,
            format_args!(
                "<li><span class=\"num\">{}</span> because {}</li>",
                format::count(excuse.count),
                escape(&excuse.reason)
            ),
        );
    }
    if !used.is_empty() {
        html.push_str("</ul>");
    }
    if !unused.is_empty() {
        let names: Vec<&str> = unused.iter().map(|e| e.name.as_str()).collect();
        put(&mut html, format_args!("<p class=\"small\">Not needed: {}.</p>", escape(&names.join(", "))));
    }
    html.push_str("</div>\n");
    html
}

fn row(guarantee: &GuaranteeInfo, report: &Report) -> String {
    let class = match guarantee.standing {
        Standing::Held => "good",
        Standing::Broken => "bad",
        Standing::HeldUntested | Standing::NotEnoughEvidence => "warn",
        Standing::NotAsked => "none",
    };
    let word = match guarantee.standing {
        Standing::HeldUntested => "held, untested",
        standing => standing.word(),
    };
    let mut html = format!(
        "<li><b>{}</b><span><span class=\"chip {class}\">{word}</span></span><div>{}",
        escape(&guarantee.title),
        escape(&story::sentence(guarantee))
    );
    if !guarantee.statements.is_empty() {
        let statements: Vec<String> =
            guarantee.statements.iter().map(|s| format!("<code>{}</code>", escape(s))).collect();
        put(&mut html, format_args!(" {}", statements.join(" ")));
    }
    for evidence in story::evidence_of(report, guarantee) {
        put(
            &mut html,
            format_args!(
                "<p class=\"small\"><a href=\"#evidence-{}\">{}</a></p>",
                evidence.number,
                escape(&evidence.title)
            ),
        );
    }
    if let Some(strength) = story::strength(guarantee) {
        put(&mut html, format_args!("<p class=\"small\">{}</p>", escape(&strength)));
    }
    let walked: Vec<String> =
        guarantee.hard_paths.iter().map(|p| format!("{} ({})", p.name, format::count(p.count))).collect();
    if !walked.is_empty() && guarantee.standing != Standing::NotAsked {
        put(&mut html, format_args!("<p class=\"small\">Hard paths walked: {}</p>", escape(&walked.join(", "))));
    }
    html.push_str("</div></li>\n");
    html
}

fn thresholds(report: &Report) -> String {
    if report.thresholds.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<div class=\"card scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">Threshold</th>\
         <th scope=\"col\" class=\"n\">Measured</th><th scope=\"col\"></th></tr></thead><tbody>\n",
    );
    for threshold in &report.thresholds {
        let ThresholdInfo { text, standing, .. } = threshold;
        let (class, word) = match standing {
            ThresholdStanding::Met => ("good", "met"),
            ThresholdStanding::Missed => ("bad", "missed"),
            ThresholdStanding::Unknown => ("warn", "unknown"),
        };
        put(
            &mut html,
            format_args!(
                "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td><span class=\"chip {class}\">{word}</span></td></tr>\n",
                escape(text),
                story::measured(threshold)
            ),
        );
    }
    html.push_str("</tbody></table></div>\n");
    html
}

fn limits(report: &Report) -> String {
    let mut sentences = report.unseen.clone();
    let mut missing = Vec::new();
    let is_real = story::trust(report) != story::Trust::Virtual;
    if is_real && let Some(what) = story::unseen_of_the_broker(&report.broker) {
        missing.push(format!("the broker's {what}"));
    }
    if is_real && report.harness.slip.is_none() {
        missing.push("the schedule's slip".to_owned());
    }
    if report.groups.iter().any(|g| g.publishes.is_some() && g.wire.is_none()) {
        missing.push("packets of direct sockets".to_owned());
    }
    if !missing.is_empty() {
        sentences.push(format!("Not measured in this run: {}.", missing.join(", ")));
    }
    if sentences.is_empty() {
        return String::new();
    }
    let items: String = sentences.iter().map(|s| format!("<li>{}</li>", escape(s))).collect();
    format!("<div class=\"card\"><ul>{items}</ul></div>\n")
}

fn again(report: &Report) -> String {
    let mut html = format!(
        "<div class=\"card\"><p>Under the same conditions (same schedule, same losses):</p><pre tabindex=\"0\"><code>{}</code></pre>\
         <p class=\"soft\">Beside this page: ",
        escape(&report.again)
    );
    for (file, what) in [
        ("report.json", "everything here, for programs"),
        ("latency.csv", "percentiles"),
        ("timeline.csv", "over time"),
        ("broker.csv", "its resources over time"),
        ("latency.hlog", "whole histograms for HdrHistogram's tools"),
        ("junit.xml", "for CI"),
        ("summary.md", "for a step summary"),
    ] {
        let comma = if file == "summary.md" { "." } else { ", " };
        put(&mut html, format_args!("<a href=\"{file}\">{file}</a> ({what}){comma}"));
    }
    html.push_str("</p></div>\n");
    html
}

/// What stands in place of a figure that could not be measured.
const NOT_MEASURED: &str = "<span class=\"none\">not measured</span>";

pub(super) fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("a string takes every write");
}

/// Text for HTML content and quoted attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}
