//! Numbers as the explanation writes them.

use super::units::show;
use crate::time::Instant;
use std::fmt::Write as _;

/// The longest line of prose, in characters.
const WIDTH: usize = 100;

/// Prose in lines, each after `indent`.
pub(super) fn wrap(text: &str, indent: &str, out: &mut String) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{indent}{line}");
    }
}

pub(super) fn at(t: Instant) -> String {
    show(t.since(Instant::ZERO))
}

/// A time of three digits: `1.25 s`, `830 ms`.
pub(super) fn seconds(s: f64) -> String {
    if s >= 1.0 { format!("{} s", three(s)) } else { format!("{} ms", three(s * 1e3)) }
}

/// A number of three digits or more, without zeros at its end.
pub(super) fn three(x: f64) -> String {
    let text = match x.abs() {
        x if x >= 99.95 => return count(x),
        x if x >= 9.995 => format!("{x:.1}"),
        x if x >= 0.9995 => format!("{x:.2}"),
        x => format!("{x:.3}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A whole number with commas.
pub(super) fn count(x: f64) -> String {
    let digits = format!("{x:.0}");
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap_or("")).collect();
    groups.join(",")
}

pub(crate) fn percent(share: f64) -> String {
    format!("{} %", three(share * 100.0))
}

pub(super) fn bits(rate: u64) -> String {
    match rate as f64 {
        r if r >= 1e9 => format!("{} Gbit/s", three(r / 1e9)),
        r if r >= 1e6 => format!("{} Mbit/s", three(r / 1e6)),
        r if r >= 1e3 => format!("{} kbit/s", three(r / 1e3)),
        r => format!("{} bit/s", three(r)),
    }
}

pub(super) fn bytes(b: f64) -> String {
    match b {
        b if b >= 1024.0 * 1024.0 * 1024.0 => format!("{} GiB", three(b / (1024.0 * 1024.0 * 1024.0))),
        b if b >= 1024.0 * 1024.0 => format!("{} MiB", three(b / (1024.0 * 1024.0))),
        b if b >= 10_240.0 => format!("{} KiB", three(b / 1024.0)),
        b => format!("{} B", count(b)),
    }
}
