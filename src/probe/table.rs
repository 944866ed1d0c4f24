//! What was found, for people and for files.

use super::{Probed, Value, questions};
use std::fmt::Write as _;

/// A short cell: what an answer is in one or two words. Where it is more, the list below the table says the rest.
fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::Yes) => "yes".into(),
        Some(Value::No(_)) => "no".into(),
        Some(Value::Is(what)) => what.clone(),
        Some(Value::Unknown(_)) | None => "?".into(),
    }
}

/// For a terminal: one broker with its reasons.
#[must_use]
pub fn text(p: &Probed) -> String {
    let mut out = format!("{}\n", p.name);
    let width = questions::ALL.iter().map(|q| q.title.len()).max().unwrap_or(0);
    for f in &p.findings {
        let tries =
            f.not_at_once.as_ref().map_or_else(String::new, |why| format!(" (at the second try; at the first: {why})"));
        let _ = writeln!(out, "  {:<width$}  {}{tries}", f.title, f.value);
    }
    if let Some(note) = &p.note {
        let _ = writeln!(out, "  {note}");
    }
    for warning in &p.warnings {
        let _ = writeln!(out, "  warning: {warning}");
    }
    out
}

/// A Markdown table, a row a question, a column a broker; then why, where an answer is no or was not seen.
#[must_use]
pub fn markdown(all: &[Probed]) -> String {
    let escape = |s: &str| s.replace('|', "\\|").replace('\n', " ");
    let names: Vec<String> = all.iter().map(|p| escape(&p.name)).collect();
    let mut out = format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(all.len()));
    for q in questions::ALL {
        let cells: Vec<String> = all.iter().map(|p| escape(&cell(p.value(q.key)))).collect();
        let _ = writeln!(out, "| {} | {} |", q.title, cells.join(" | "));
    }
    out.push('\n');
    for p in all {
        if let Some(note) = &p.note {
            let _ = writeln!(out, "- {}: {}", p.name, escape(note));
        }
        for f in &p.findings {
            if let Value::No(_) | Value::Unknown(_) = f.value {
                let _ = writeln!(out, "- {}, {}: {}", p.name, f.title, escape(&f.value.to_string()));
            }
            if let Some(why) = &f.not_at_once {
                let _ = writeln!(out, "- {}, {}: at the second try; at the first: {}", p.name, f.title, escape(why));
            }
        }
        for warning in &p.warnings {
            let _ = writeln!(out, "- {}: **{warning}**", p.name);
        }
    }
    out
}

/// Everything, with each exchange.
#[must_use]
pub fn json(all: &[Probed]) -> String {
    let brokers: Vec<serde_json::Value> = all
        .iter()
        .map(|p| {
            let findings: Vec<serde_json::Value> = p
                .findings
                .iter()
                .map(|f| {
                    let (answer, words) = match &f.value {
                        Value::Yes => ("yes", None),
                        Value::No(why) => ("no", Some(why)),
                        Value::Is(what) => ("is", Some(what)),
                        Value::Unknown(why) => ("unknown", Some(why)),
                    };
                    serde_json::json!({
                        "key": f.key, "title": f.title, "answer": answer, "words": words, "not_at_once": f.not_at_once,
                        "exchange": f.exchange.lines().collect::<Vec<_>>(),
                    })
                })
                .collect();
            serde_json::json!({ "name": p.name, "note": p.note, "findings": findings, "warnings": p.warnings })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&brokers).expect("texts and lists only");
    text.push('\n');
    text
}

/// The capability part of a manifest, as it was measured.
#[must_use]
pub fn manifest(p: &Probed) -> String {
    let yes = |key: &str| p.value(key) == Some(&Value::Yes);
    let versions = [("mqtt_3.1", "3.1"), ("mqtt_3.1.1", "3.1.1"), ("mqtt_5.0", "5.0")];
    let speaks: Vec<String> =
        versions.iter().filter(|(key, _)| yes(key)).map(|(_, name)| format!("\"{name}\"")).collect();
    let max_qos = ["qos_2", "qos_1"].iter().position(|key| yes(key)).map_or(0, |n| 2 - n);
    let mut out = format!("[declares]\nmqtt = [{}]\nmax_qos = {max_qos}\n", speaks.join(", "));
    match queue(p) {
        Some(n) => {
            let _ = writeln!(out, "offline_queue = {n}");
        }
        None => out.push_str("# offline_queue: more than was tried, or not seen\n"),
    }
    out.push_str("# durability: squall targets check NAME --kill shows what a kill leaves\n");
    out
}

/// The offline queue's length, where its end was met.
pub(crate) fn queue(p: &Probed) -> Option<u64> {
    queued(p).and_then(|(n, is_all)| is_all.then_some(n))
}

/// How many messages the offline queue held, and whether that is all that it holds.
pub(crate) fn queued(p: &Probed) -> Option<(u64, bool)> {
    let Some(Value::Is(words)) = p.value("offline_queue") else { return None };
    let (number, is_all) = words.strip_prefix("at least ").map_or((words.as_str(), true), |rest| (rest, false));
    let number = number.split([' ', ';']).next()?.trim_end_matches(',').replace(',', "");
    Some((number.parse().ok()?, is_all))
}
