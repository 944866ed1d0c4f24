//! The end of a run on the terminal: did it hold, how fast, can I trust it.

use super::model::{LatencyInfo, Standing, ThresholdStanding};
use super::{Report, format, story};
use std::fmt::Write;
use std::path::Path;

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Colours (ANSI sequences). Whoever calls knows whether a terminal reads it, and heeds `NO_COLOR`.
    pub colour: bool,
    /// Columns; sentences wrap there. At least 60 are used.
    pub width: usize,
    /// The report's page, if one was written.
    pub page: Option<&'a Path>,
}

impl Default for Options<'_> {
    /// Plain text, 100 columns.
    fn default() -> Self {
        Self { colour: false, width: 100, page: None }
    }
}

const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "1;31";
const YELLOW: &str = "33";

struct Screen<'a> {
    out: String,
    options: Options<'a>,
}

impl Screen<'_> {
    fn line(&mut self, text: &str) {
        writeln!(self.out, "{}", text.trim_end()).expect("a string takes every write");
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.options.colour && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn heading(&mut self, text: &str) {
        let painted = self.paint(BOLD, text);
        self.out.push('\n');
        self.line(&painted);
    }

    /// Wraps `text` after a lead of `indent` columns, whose first line begins with `lead` (already that wide).
    fn wrapped(&mut self, lead: &str, indent: usize, text: &str) {
        let room = self.options.width.max(60).saturating_sub(indent).max(20);
        let mut lead = lead.to_owned();
        let mut current = String::new();
        for word in text.split_whitespace() {
            let wide = current.chars().count() + 1 + word.chars().count();
            if !current.is_empty() && wide > room {
                self.line(&format!("{lead}{current}"));
                lead = " ".repeat(indent);
                current.clear();
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        self.line(&format!("{lead}{current}"));
    }
}

/// The report for a terminal.
#[must_use]
pub fn render(report: &Report, options: Options<'_>) -> String {
    let mut screen = Screen { out: String::new(), options };
    header(&mut screen, report);
    guarantees(&mut screen, report);
    evidence(&mut screen, report);
    thresholds(&mut screen, report);
    latencies(&mut screen, report);
    cost(&mut screen, report);
    trust(&mut screen, report);
    end(&mut screen, report);
    screen.out
}

fn header(screen: &mut Screen<'_>, report: &Report) {
    let name = format!("{} on {}", report.scenario.name, report.target.label());
    let rest = format::circumstances(report);
    let painted = screen.paint(BOLD, &name);
    if name.chars().count() + 4 + rest.chars().count() <= screen.options.width {
        let lead = format!("{painted}{}", " ".repeat(42_usize.saturating_sub(name.chars().count()).max(4)));
        if lead.chars().count() + rest.chars().count() <= screen.options.width {
            return screen.line(&format!("{lead}{rest}"));
        }
        return screen.line(&format!("{painted}    {rest}"));
    }
    screen.line(&painted);
    screen.wrapped("  ", 2, &rest);
}

fn guarantees(screen: &mut Screen<'_>, report: &Report) {
    screen.heading("Guarantees");
    for guarantee in report.guarantees.iter().filter(|g| g.standing != Standing::NotAsked) {
        let colour = match guarantee.standing {
            Standing::Held | Standing::HeldUntested => GREEN,
            Standing::Broken => RED,
            Standing::NotEnoughEvidence | Standing::NotAsked => YELLOW,
        };
        let word = screen.paint(colour, &format!("{:<7}", guarantee.standing.word()));
        let mut sentence = story::sentence(guarantee);
        if !guarantee.statements.is_empty() {
            sentence = format!("{sentence} [{}]", guarantee.statements.join(", "));
        }
        screen.wrapped(&format!("  {:<9} {word}  ", guarantee.title), 21, &sentence);
        for evidence in story::evidence_of(report, guarantee).take(3) {
            screen.wrapped(&" ".repeat(21), 23, &format!("evidence {}: {}", evidence.number, evidence.title));
        }
        let more = story::evidence_of(report, guarantee).count().saturating_sub(3);
        if more > 0 {
            screen.line(&format!("{}and {more} more in the report", " ".repeat(21)));
        }
    }
    let unasked: Vec<&str> =
        report.guarantees.iter().filter(|g| g.standing == Standing::NotAsked).map(|g| g.title.as_str()).collect();
    if !unasked.is_empty() {
        screen.wrapped("  ", 2, &format!("not asked: {}", unasked.join(", ")));
    }
    let excuses: Vec<String> = report
        .excuses
        .iter()
        .filter(|e| e.count > 0)
        .map(|e| format!("{} because {}", format::count(e.count), e.reason))
        .collect();
    if !excuses.is_empty() {
        screen.wrapped("  excused   ", 12, &excuses.join("; "));
    }
    let unused: Vec<&str> = report.excuses.iter().filter(|e| e.count == 0).map(|e| e.name.as_str()).collect();
    if !unused.is_empty() {
        screen.wrapped("  ", 2, &format!("excuses not needed: {}", unused.join(", ")));
    }
}

/// The first story of each broken guarantee; the page has them all.
fn evidence(screen: &mut Screen<'_>, report: &Report) {
    for guarantee in &report.guarantees {
        if let Some(first) = story::evidence_of(report, guarantee).next() {
            screen.out.push('\n');
            for line in story::text(first).lines() {
                match line.strip_prefix("  ").filter(|l| l.starts_with("rule:") || l.starts_with("promised:")) {
                    Some(sentence) => screen.wrapped("  ", 2, sentence),
                    None => screen.line(line),
                }
            }
        }
    }
}

fn thresholds(screen: &mut Screen<'_>, report: &Report) {
    if report.thresholds.is_empty() {
        return;
    }
    screen.heading("Thresholds");
    let wide = report.thresholds.iter().map(|t| t.text.chars().count()).max().unwrap_or(0).min(60);
    for threshold in &report.thresholds {
        let (word, colour) = match threshold.standing {
            ThresholdStanding::Met => ("met", GREEN),
            ThresholdStanding::Missed => ("MISSED", RED),
            ThresholdStanding::Unknown => ("unknown", YELLOW),
        };
        let word = screen.paint(colour, &format!("{word:<7}"));
        screen.line(&format!("  {word}  {:<wide$}  {}", threshold.text, story::measured(threshold)));
    }
}

fn latencies(screen: &mut Screen<'_>, report: &Report) {
    let main = |l: &&LatencyInfo| l.key == "publish_ack" || l.key == "end_to_end";
    let rows: Vec<(&str, &LatencyInfo, String)> = report
        .groups
        .iter()
        .filter(|g| g.publishes.is_some())
        .flat_map(|g| g.latencies.iter().filter(main).map(move |l| (g.name.as_str(), l, title(l, g.publishes))))
        .collect();
    if rows.is_empty() {
        screen.heading("Latency from the intended time");
        return screen.line("  not measured: nothing was acknowledged or delivered");
    }
    let names = rows.iter().map(|r| r.0.chars().count()).max().unwrap_or(0).max(8);
    let titles = rows.iter().map(|r| r.2.chars().count()).max().unwrap_or(0).max(19);
    let lead = names + titles + 4;
    let heads = format!("{:>9}{:>9}{:>9}{:>9}", "p50", "p90", "p99", "max");
    screen.heading(&format!("{:<lead$}{heads}", "Latency from the intended time"));
    let mut before = "";
    for (name, latency, title) in rows {
        let f = latency.intended;
        let [p50, p90, p99, max] = [f.p50, f.p90, f.p99, f.max].map(short);
        let shown = if name == before { "" } else { name };
        screen.line(&format!("  {shown:<names$}  {title:<titles$}{p50:>9}{p90:>9}{p99:>9}{max:>9}"));
        before = name;
    }
}

/// Table cells have nine columns: minutes stay seconds there.
fn short(seconds: f64) -> String {
    if seconds >= 119.95 { format!("{seconds:.0} s") } else { format::seconds(seconds) }
}

/// The latency's title with the acknowledgement's own name where the QoS tells it.
fn title(latency: &LatencyInfo, qos: Option<u8>) -> String {
    match (latency.key.as_str(), qos) {
        ("publish_ack", Some(1)) => "publish to PUBACK".to_owned(),
        ("publish_ack", Some(2)) => "publish to PUBCOMP".to_owned(),
        _ => latency.title.clone(),
    }
}

fn cost(screen: &mut Screen<'_>, report: &Report) {
    if report.cost.is_empty() {
        return;
    }
    let heads =
        format!("{:>12}{:>12}{:>12}{:>12}{:>12}", "MQTT bytes", "IP bytes", "packets", "sent again", "air time");
    screen.heading(&format!("{:<18}{heads}", "Cost a message"));
    for row in &report.cost {
        let cells: String = story::cost(row).iter().map(|text| format!("{text:>12}")).collect();
        screen.line(&format!("  {:<16}{cells}", format!("QoS {}", row.qos)));
    }
    if let Some(text) = story::kernels(report) {
        screen.wrapped("  ", 2, &text);
    }
}

fn trust(screen: &mut Screen<'_>, report: &Report) {
    screen.out.push('\n');
    let text = story::harness(report);
    let painted = screen.paint(
        if matches!(story::trust(report), story::Trust::Trusted | story::Trust::Virtual) { GREEN } else { YELLOW },
        "Harness    ",
    );
    screen.wrapped(&painted, 11, &text);
    screen.wrapped("Broker     ", 11, &story::broker(report));
    if let Some(text) = story::redirects(report) {
        let lead = screen.paint(YELLOW, "Redirected ");
        screen.wrapped(&lead, 11, &text);
    }
    for sentence in &report.unseen {
        screen.wrapped("Not seen   ", 11, sentence);
    }
    if let Some(why) = &report.partial {
        let lead = screen.paint(YELLOW, "Partial    ");
        screen.wrapped(&lead, 11, why);
    }
}

fn end(screen: &mut Screen<'_>, report: &Report) {
    screen.out.push('\n');
    let colour = match report.exit.code {
        0 => GREEN,
        1 | 4 => RED,
        _ => YELLOW,
    };
    let word = screen.paint(colour, &format!("exit {}: {}", report.exit.code, report.exit.reason));
    screen.line(&word);
    if let Some(page) = screen.options.page {
        screen.line(&format!("report: {}", page.display()));
    }
    screen.line(&format!("again, under the same conditions: {}", report.again));
}
