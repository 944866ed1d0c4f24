//! Evidence: each story as a drawn sequence, with the promise, the rule, and the command that shows it again.

use super::{escape, put, sequence};
use crate::report::model::{EvidenceInfo, Report};

/// Every story, or nothing.
pub(super) fn render(report: &Report) -> String {
    report.evidence.iter().map(|e| story(e, &report.again)).collect()
}

fn story(evidence: &EvidenceInfo, again: &str) -> String {
    let mut html = format!(
        "<article class=\"card\" id=\"evidence-{0}\"><h3>{0}. {1}</h3>\n",
        evidence.number,
        escape(&evidence.title)
    );
    if !evidence.promise.is_empty() {
        put(&mut html, format_args!("<p><b>Promised:</b> {}.</p>\n", escape(&evidence.promise)));
    }
    if evidence.partial {
        html.push_str("<p class=\"note\">The beginning of this time line was no longer kept.</p>\n");
    }
    if evidence.time_line.is_empty() {
        html.push_str("<p class=\"note\">No time line was kept.</p>\n");
    } else {
        html.push_str(&sequence::draw(evidence));
    }
    let statements: String = evidence.statements.iter().map(|s| format!(" <code>{}</code>", escape(s))).collect();
    put(&mut html, format_args!("<p class=\"rule\"><b>Rule:</b> {}{statements}</p>\n", escape(&evidence.rule)));
    put(&mut html, format_args!("<p class=\"small\">Again: <code>{}</code></p></article>\n", escape(again)));
    html
}
