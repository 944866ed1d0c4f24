//! `junit.xml`: a test case for each guarantee and each threshold, and one for the harness, as CI systems read them.

use super::model::{EvidenceInfo, GuaranteeInfo, Standing, ThresholdInfo, ThresholdStanding};
use super::{Report, format, story};
use std::fmt::Write;

/// How a test case ends.
enum End {
    Passed,
    /// Kind, message, text.
    Failed(&'static str, String, String),
    /// Kind, message.
    Inconclusive(&'static str, String),
    Skipped(String),
}

struct Case {
    name: String,
    end: End,
    /// What it has to say when it passed.
    said: String,
}

/// The report as JUnit XML.
#[must_use]
pub fn render(report: &Report) -> String {
    let suites = [
        ("guarantees", report.guarantees.iter().map(|g| guarantee(g, report)).collect::<Vec<_>>()),
        ("thresholds", report.thresholds.iter().map(threshold).collect()),
        ("run", vec![harness(report), target(report), whole(report)]),
    ];
    let all = || suites.iter().flat_map(|(_, cases)| cases);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut line = |text: String| writeln!(xml, "{text}").expect("a string takes every write");
    let time = format!("{:.3}", report.phases.ended);
    line(format!("<testsuites name=\"squall\" {} time=\"{time}\">", tally(all())));
    for (suite, cases) in &suites {
        let name = escape(&format!("{} on {}: {suite}", report.scenario.name, report.target.label()));
        line(format!("  <testsuite name=\"{name}\" {} time=\"{time}\">", tally(cases.iter())));
        line("    <properties>".to_owned());
        for (key, value) in [
            ("scenario", report.scenario.name.clone()),
            ("seed", report.scenario.seed.to_string()),
            ("target", report.target.label()),
            ("engine", report.engine.clone()),
            ("again", report.again.clone()),
        ] {
            line(format!("      <property name=\"{key}\" value=\"{}\"/>", escape(&value)));
        }
        line("    </properties>".to_owned());
        let class = escape(&format!("squall.{}.{suite}", report.scenario.name));
        for case in cases {
            line(format!("    <testcase classname=\"{class}\" name=\"{}\" time=\"0\">", escape(&case.name)));
            line(format!("      {}", end(case)));
            line("    </testcase>".to_owned());
        }
        line("  </testsuite>".to_owned());
    }
    line("</testsuites>".to_owned());
    xml
}

fn tally<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    for case in cases {
        tests += 1;
        match case.end {
            End::Passed => {}
            End::Failed(..) => failures += 1,
            End::Inconclusive(..) => errors += 1,
            End::Skipped(_) => skipped += 1,
        }
    }
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
}

fn end(case: &Case) -> String {
    match &case.end {
        End::Passed => format!("<system-out>{}</system-out>", content(&case.said)),
        End::Failed(kind, message, text) => {
            format!("<failure type=\"{kind}\" message=\"{}\">{}</failure>", escape(message), content(text))
        }
        End::Inconclusive(kind, message) => format!("<error type=\"{kind}\" message=\"{}\"/>", escape(message)),
        End::Skipped(message) => format!("<skipped message=\"{}\"/>", escape(message)),
    }
}

fn guarantee(guarantee: &GuaranteeInfo, report: &Report) -> Case {
    let end = match guarantee.standing {
        Standing::Held | Standing::HeldUntested => End::Passed,
        Standing::Broken => {
            let mine = |e: &&EvidenceInfo| e.guarantee == guarantee.key;
            let stories: Vec<String> = report.evidence.iter().filter(mine).map(story::text).collect();
            End::Failed("broken", guarantee.sentence.clone(), stories.join("\n"))
        }
        Standing::NotEnoughEvidence if guarantee.asked => {
            let why = guarantee.reason.as_deref().unwrap_or(&guarantee.sentence);
            End::Inconclusive("not-enough-evidence", format!("not enough evidence: {why}"))
        }
        Standing::NotEnoughEvidence | Standing::NotAsked => End::Skipped("not asked for".to_owned()),
    };
    let mut said = guarantee.sentence.clone();
    if !guarantee.untested.is_empty() {
        said = format!("{said}; untested: {}", guarantee.untested.join(", "));
    }
    Case { name: guarantee.title.clone(), end, said }
}

fn threshold(threshold: &ThresholdInfo) -> Case {
    let said = story::measured(threshold);
    let end = match threshold.standing {
        ThresholdStanding::Met => End::Passed,
        ThresholdStanding::Missed => {
            let message = format!("measured {said}, limit {}", format::in_unit(threshold.limit, threshold.unit));
            End::Failed("missed", message.clone(), message)
        }
        ThresholdStanding::Unknown => End::Inconclusive("not-measured", said.clone()),
    };
    Case { name: threshold.text.clone(), end, said }
}

fn harness(report: &Report) -> Case {
    let tainted = &report.harness.tainted;
    let end = if tainted.is_empty() { End::Passed } else { End::Inconclusive("harness", tainted.join("; ")) };
    Case { name: "the harness kept up".to_owned(), end, said: story::harness(report) }
}

fn target(report: &Report) -> Case {
    let end = match &report.target_died {
        None => End::Passed,
        Some(how) => End::Inconclusive("target-died", how.clone()),
    };
    Case { name: "the broker stayed alive".to_owned(), end, said: report.target.label() }
}

fn whole(report: &Report) -> Case {
    let end = match &report.partial {
        None => End::Passed,
        Some(why) => End::Inconclusive("partial", why.clone()),
    };
    Case { name: "the run is whole".to_owned(), end, said: format::circumstances(report) }
}

/// Text for XML content: line ends and tabs stay as they are.
pub(crate) fn content(text: &str) -> String {
    escape(text).replace("&#10;", "\n").replace("&#9;", "\t")
}

/// Text for XML attributes. Control characters that XML 1.0 cannot hold become U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            c if c < ' ' || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(super::escape("a<b>&\"\u{1}\n"), "a&lt;b&gt;&amp;&quot;\u{FFFD}&#10;");
    }
}
