//! A time line as a drawn sequence (SVG): publisher, broker and subscriber as life lines, a packet as an arrow, a lost packet as
//! an arrow that ends in a cross, a state as a box on its line, a fault as a bar across all.
//!
//! Drawn twice, for a desk and for a phone; the style sheet shows one of them. Colours are the style sheet's.

use super::{escape, put};
use crate::report::format;
use crate::report::model::{EvidenceInfo, MomentInfo, Way};

/// Height of one moment: a line of words, and under it the arrow.
const ROW: u32 = 34;
/// Height of the life lines' names.
const HEAD: u32 = 30;

/// Where things stand, in units of the drawing.
struct Layout {
    class: &'static str,
    width: u32,
    /// Of the text; a character of the words is assumed to be this wide at most.
    font: u32,
    glyph: u32,
    /// The life lines: publisher, broker, subscriber.
    lanes: [u32; 3],
    /// Where the words of a moment begin and end.
    text: (u32, u32),
}

const WIDE: Layout = Layout { class: "wide", width: 900, font: 13, glyph: 7, lanes: [110, 455, 800], text: (116, 890) };
const NARROW: Layout =
    Layout { class: "narrow", width: 360, font: 11, glyph: 6, lanes: [62, 200, 338], text: (66, 356) };

/// The time line, drawn.
pub(super) fn draw(evidence: &EvidenceInfo) -> String {
    let names = names(evidence);
    format!("<div class=\"seq\">{}{}</div>\n", svg(evidence, &names, &WIDE), svg(evidence, &names, &NARROW))
}

/// Who stands left and who right of the broker; one of them may be nobody.
fn names(evidence: &EvidenceInfo) -> [Option<&str>; 2] {
    let (publisher, subscriber) = (evidence.publisher.as_deref(), evidence.subscriber.as_deref());
    match publisher {
        Some(_) => [publisher, subscriber.filter(|s| publisher != Some(*s))],
        None => [None, subscriber],
    }
}

fn svg(evidence: &EvidenceInfo, names: &[Option<&str>; 2], l: &Layout) -> String {
    let count = u32::try_from(evidence.time_line.len()).unwrap_or(u32::MAX).min(500);
    let height = HEAD + count * ROW + 12;
    let mut out = format!(
        "<svg class=\"{}\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{}\" font-size=\"{}\">\n",
        l.class,
        l.width,
        escape(&spoken(evidence)),
        l.font
    );
    for (x, name) in [(l.lanes[0], names[0]), (l.lanes[1], Some("broker")), (l.lanes[2], names[1])] {
        let Some(name) = name else { continue };
        // A long name at the right edge would leave the drawing.
        let half = u32::try_from(name.chars().count()).unwrap_or(u32::MAX).saturating_mul(l.glyph + 1) / 2;
        let inside = x.saturating_add(half) <= l.width;
        let (at, anchor) = if inside { (x, "middle") } else { (l.width - 2, "end") };
        let name = escape(&shortened(name, (l.lanes[1] - l.lanes[0]) / l.glyph));
        put(&mut out, format_args!("<text class=\"who\" x=\"{at}\" y=\"18\" text-anchor=\"{anchor}\">{name}</text>\n"));
        put(&mut out, format_args!("<line class=\"life\" x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{height}\"/>\n"));
    }
    for (moment, row) in evidence.time_line.iter().zip(0..count) {
        out.push_str(&draw_moment(moment, names, l, HEAD + row * ROW));
    }
    out.push_str("</svg>");
    out
}

/// For those who cannot see it: how many moments; the words themselves are in report.json and summary.md.
fn spoken(evidence: &EvidenceInfo) -> String {
    format!("Sequence of {} moments: {}", evidence.time_line.len(), evidence.title)
}

fn draw_moment(moment: &MomentInfo, names: &[Option<&str>; 2], l: &Layout, top: u32) -> String {
    let who = Some(moment.who.as_str());
    let lane = if who == names[0] {
        Some(0)
    } else if who == names[1] {
        Some(2)
    } else {
        None
    };
    let (words, line) = (top + 15, top + 23);
    let time = format::moment(moment.at);
    let mut out = format!("<text class=\"time\" x=\"2\" y=\"{words}\">{time}</text>");
    let is_lost = moment.note.starts_with("link: lost");
    match (lane, moment.direction) {
        (Some(lane), Way::Out | Way::In) => {
            let (from, to) = if moment.direction == Way::Out { (lane, 1) } else { (1, lane) };
            out.push_str(&label(moment, l, words, lane == 2));
            out.push_str(&arrow(l.lanes[from], l.lanes[to], line, is_lost));
        }
        (Some(lane), Way::None) => {
            let x = l.lanes[lane];
            out.push_str(&label(moment, l, words, lane == 2));
            put(&mut out, format_args!("<circle class=\"state\" cx=\"{x}\" cy=\"{line}\" r=\"4\"/>"));
        }
        (None, _) => {
            let (from, to) = (l.lanes[0], l.lanes[2]);
            out.push_str(&label(moment, l, words, false));
            put(
                &mut out,
                format_args!("<line class=\"fault\" x1=\"{from}\" y1=\"{line}\" x2=\"{to}\" y2=\"{line}\"/>"),
            );
        }
    }
    out.push('\n');
    out
}

/// The words of a moment, and its remark. They stand at the end where the moment belongs.
fn label(moment: &MomentInfo, l: &Layout, y: u32, at_end: bool) -> String {
    let room = (l.text.1 - l.text.0) / l.glyph;
    let note = moment.note.chars().count();
    let note_room = if note == 0 { 0 } else { u32::try_from(note).unwrap_or(room).min(room / 2) + 2 };
    let what = escape(&shortened(&moment.what, room.saturating_sub(note_room)));
    let note = escape(&shortened(&moment.note, room / 2));
    let strong =
        moment.note.contains("copy") && !moment.note.starts_with("first") || moment.note.starts_with("link: lost");
    let class = if strong { "aside strong" } else { "aside" };
    let gap = if note.is_empty() { "" } else { " " };
    let (x, anchor) =
        if at_end { (l.text.1 - if l.width < 500 { 22 } else { 96 }, "end") } else { (l.text.0, "start") };
    format!(
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{what}{gap}<tspan class=\"{class}\">{note}</tspan></text>"
    )
}

/// An arrow; one that is lost ends in a cross on its way.
fn arrow(from: u32, to: u32, y: u32, lost: bool) -> String {
    let right = to > from;
    let along = |part: u32| if right { from + (to - from) * part / 100 } else { from - (from - to) * part / 100 };
    if lost {
        let x = along(60);
        return format!(
            "<path class=\"lost\" d=\"M{from} {y}H{x}M{} {}l10 10m0-10l-10 10\"/>",
            x.saturating_sub(5),
            y.saturating_sub(5)
        );
    }
    let back = if right { to.saturating_sub(8) } else { to + 8 };
    format!(
        "<path class=\"packet\" d=\"M{from} {y}H{to}\"/><path class=\"head\" d=\"M{to} {y}L{back} {}V{}z\"/>",
        y.saturating_sub(4),
        y + 4
    )
}

/// At most `room` characters, with an ellipsis if it had more.
fn shortened(text: &str, room: u32) -> String {
    let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}
