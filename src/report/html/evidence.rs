//! Evidence as a drawn sequence: publisher, broker and subscriber as life lines, packets as arrows between them.

use super::{escape, put};
use crate::report::format;
use crate::report::model::{EvidenceInfo, MomentInfo, Report, Way};

/// Every story, or nothing.
pub(super) fn render(report: &Report) -> String {
    report.evidence.iter().map(story).collect()
}

/// Which life lines there are.
struct Lanes<'a> {
    publisher: Option<&'a str>,
    subscriber: Option<&'a str>,
}

impl Lanes<'_> {
    /// Two gaps if publisher and subscriber are two.
    fn both(&self) -> bool {
        self.publisher.is_some() && self.subscriber.is_some() && self.publisher != self.subscriber
    }
}

fn story(evidence: &EvidenceInfo) -> String {
    let lanes = Lanes { publisher: evidence.publisher.as_deref(), subscriber: evidence.subscriber.as_deref() };
    let mut html = format!(
        "<article class=\"card\" id=\"evidence-{0}\"><h3>{0}. {1}</h3>\n",
        evidence.number,
        escape(&evidence.title)
    );
    if evidence.partial {
        html.push_str("<p class=\"note\">The beginning of this time line was no longer kept.</p>\n");
    }
    if evidence.time_line.is_empty() {
        html.push_str("<p class=\"note\">No time line was kept.</p>\n");
    } else {
        html.push_str(&sequence(evidence, &lanes));
    }
    put(&mut html, format_args!("<p class=\"rule\"><b>Rule:</b> {}</p></article>\n", escape(&evidence.rule)));
    html
}

fn sequence(evidence: &EvidenceInfo, lanes: &Lanes<'_>) -> String {
    let mut html = format!(
        "<div class=\"seq{}\" role=\"group\" aria-label=\"Time line\">",
        if lanes.both() { "" } else { " one" }
    );
    let first = lanes.publisher.or(lanes.subscriber).unwrap_or("client");
    put(
        &mut html,
        format_args!(
            "<span class=\"who at\">s</span><span class=\"heads who\"><span>{}</span><span>broker</span>",
            escape(first)
        ),
    );
    if lanes.both() {
        put(&mut html, format_args!("<span>{}</span>", escape(lanes.subscriber.unwrap_or("subscriber"))));
    }
    html.push_str("</span><span class=\"remark head\"></span>\n");
    for moment in &evidence.time_line {
        html.push_str(&line(moment, lanes));
    }
    html.push_str("</div>\n");
    html
}

/// One moment: time, the gaps between the life lines, a remark.
fn line(moment: &MomentInfo, lanes: &Lanes<'_>) -> String {
    let mut html = format!("<span class=\"at\">{}</span>", format::moment(moment.at));
    let at_subscriber = lanes.both() && lanes.subscriber == Some(moment.who.as_str());
    let known =
        at_subscriber || lanes.publisher == Some(moment.who.as_str()) || lanes.subscriber == Some(moment.who.as_str());
    if known {
        let cell = cell(moment, at_subscriber);
        let (a, b) = if at_subscriber { ("", cell.as_str()) } else { (cell.as_str(), "") };
        put(&mut html, format_args!("<span class=\"a\">{a}</span>"));
        if lanes.both() {
            put(&mut html, format_args!("<span class=\"b\">{b}</span>"));
        }
    } else {
        let arrow = match moment.direction {
            Way::Out => " → broker",
            Way::In => " ← broker",
            Way::None => "",
        };
        let words =
            if moment.who == "run" { moment.what.clone() } else { format!("{}{arrow}: {}", moment.who, moment.what) };
        put(
            &mut html,
            format_args!("<span class=\"wide-state\"><span class=\"state\">{}</span></span>", escape(&words)),
        );
    }
    let strong = moment.note.contains("second copy") || moment.note.contains("never");
    put(
        &mut html,
        format_args!("<span class=\"remark{}\">{}</span>\n", if strong { " strong" } else { "" }, escape(&moment.note)),
    );
    html
}

/// An arrow towards or from the client, or a state beside its life line. A packet that its note says the link lost is
/// drawn so.
fn cell(moment: &MomentInfo, at_subscriber: bool) -> String {
    let what = escape(&moment.what);
    let lost = if moment.note.starts_with("link: lost") { " lost" } else { "" };
    match (moment.direction, at_subscriber) {
        (Way::Out, false) | (Way::In, true) => format!("<span class=\"arrow right{lost}\">{what}</span>"),
        (Way::In, false) | (Way::Out, true) => format!("<span class=\"arrow left{lost}\">{what}</span>"),
        (Way::None, false) => format!("<span class=\"state\">{what}</span>"),
        (Way::None, true) => format!("<span class=\"state end\">{what}</span>"),
    }
}
