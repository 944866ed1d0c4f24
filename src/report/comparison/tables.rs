//! A comparison as text: for the terminal, as Markdown, and `trials.csv`.

use super::{Comparison, Ratio, Row};
use crate::report::format;
use std::fmt::Write;

/// A ratio's end, with two or three digits: `0.93`, `2.1`, `14`.
#[must_use]
pub fn factor(x: f64) -> String {
    match x {
        x if x < 1.95 => format!("{x:.2}"),
        x if x < 9.95 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

/// What a ratio says, in a few words.
#[must_use]
pub fn says(ratio: &Ratio) -> String {
    let (low, high) = (factor(ratio.low), factor(ratio.high));
    match (ratio.interval, ratio.differs()) {
        (true, true) => format!("{low} to {high} times"),
        (true, false) => format!("no difference seen ({low} to {high})"),
        (false, _) if ratio.pairs == 1 => format!("{} times, once", factor(ratio.middle)),
        (false, _) => format!("{low} to {high} times, {} repeats", ratio.pairs),
    }
}

/// The median of a target's repeats, with their range in brackets; or that there is none.
#[must_use]
pub fn value(row: &Row, target: usize) -> String {
    let (Some(median), Some((low, high))) = (row.median(target), row.range(target)) else {
        return format::MISSING.to_owned();
    };
    let text = |x: f64| format::in_unit(x, row.unit);
    if text(low) == text(high) { text(median) } else { format!("{} [{}, {}]", text(median), text(low), text(high)) }
}

/// What stands under both tables.
#[must_use]
pub fn legend(c: &Comparison) -> String {
    let repeats = c.conditions.repeats;
    let median = if repeats > 1 { format!("Median of {repeats} repeats [least, largest]. ") } else { String::new() };
    let ratios = if repeats >= super::ENOUGH {
        let few = if c.ranges_only() {
            format!(
                " Where fewer than {} pairs could be trusted, the plain range, which proves no difference.",
                super::ENOUGH
            )
        } else {
            String::new()
        };
        format!(
            "Ratios: 95 % interval of the mean over {repeats} pairs of runs; no difference is claimed where it spans 1, or reads 1.00 at an end.{few}"
        )
    } else {
        format!(
            "Ratios: the plain range seen, which proves no difference (an interval needs {} repeats).",
            super::ENOUGH
        )
    };
    format!(
        "{median}{ratios} Links gave every broker equal conditions (seed {}), not equal victims: their packets differ.",
        c.conditions.scenario.seed
    )
}

/// For the terminal: `width` columns at most, names of brokers above their columns.
#[must_use]
pub fn terminal(c: &Comparison, page: Option<&std::path::Path>) -> String {
    let mut out = format!(
        "{} on {} brokers          seed {}, {} repeats, warm-up {}, {}\n",
        c.conditions.scenario.name,
        c.columns.len(),
        c.conditions.scenario.seed,
        c.conditions.repeats,
        format::seconds(c.conditions.warm_up),
        c.conditions.machine,
    );
    let mut heads = vec!["Guarantees".to_owned()];
    heads.extend(c.columns.iter().map(|column| column.label.clone()));
    let mut table = vec![heads];
    for (title, cells) in guarantees(c) {
        let mut line = vec![format!("  {title}")];
        line.extend(cells.into_iter().map(|cell| cell.unwrap_or_else(|| format::MISSING.to_owned())));
        table.push(line);
    }
    out.push_str(&aligned(&table));
    let mut table = vec![vec!["Figures, from the intended time".to_owned()]];
    table[0].extend(c.columns.iter().map(|column| column.label.clone()));
    for row in &c.rows {
        let mut line = vec![format!("  {}", row.title)];
        line.extend((0..c.columns.len()).map(|t| value(row, t)));
        table.push(line);
        if row.ratios.iter().any(Option::is_some) {
            let mut line = vec!["    to the first".to_owned()];
            line.extend(row.ratios.iter().map(|r| r.as_ref().map_or_else(String::new, says)));
            table.push(line);
        }
    }
    out.push_str(&aligned(&table));
    writeln!(out, "\n{}", legend(c)).expect("a string takes every write");
    for column in &c.columns {
        for note in &column.notes {
            writeln!(out, "{}: {note}", column.label).expect("a string takes every write");
        }
    }
    writeln!(out, "\nexit {}: {}", c.exit.code, c.exit.reason).expect("a string takes every write");
    if let Some(page) = page {
        writeln!(out, "report: {}", page.display()).expect("a string takes every write");
    }
    writeln!(out, "again: {}", c.conditions.again).expect("a string takes every write");
    out
}

/// Guarantees that were asked for, with each broker's words.
#[must_use]
pub fn guarantees(c: &Comparison) -> Vec<(String, Vec<Option<String>>)> {
    let mut titles: Vec<(&str, &str)> = Vec::new();
    for tally in c.columns.iter().flat_map(|column| &column.guarantees) {
        if tally.words().is_some() && !titles.iter().any(|(key, _)| *key == tally.key) {
            titles.push((&tally.key, &tally.title));
        }
    }
    let of = |key: &str| {
        let words =
            |column: &super::Column| column.guarantees.iter().find(|t| t.key == key).and_then(super::Tally::words);
        c.columns.iter().map(words).collect()
    };
    titles.into_iter().map(|(key, title)| (title.to_owned(), of(key))).collect()
}

fn aligned(table: &[Vec<String>]) -> String {
    let width =
        |i: usize| table.iter().filter_map(|line| line.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table.first().map_or(0, Vec::len)).map(width).collect();
    let mut out = String::from("\n");
    for line in table {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            write!(text, "{cell:<width$}   ").expect("a string takes every write");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// As Markdown, for a step summary.
#[must_use]
pub fn markdown(c: &Comparison) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let names: Vec<String> = c.columns.iter().map(|column| cell(&column.label)).collect();
    let mut md = format!("## {} on {}\n\n", cell(&c.conditions.scenario.name), names.join(", "));
    let head = |md: &mut String, first: &str| {
        let line = names.iter().map(|_| "---|").collect::<String>();
        writeln!(md, "| {first} | {} |\n|---|{line}", names.join(" | ")).expect("a string takes every write");
    };
    head(&mut md, "guarantee");
    for (title, cells) in guarantees(c) {
        let bold = |words: &Option<String>| match words {
            Some(words) if words.starts_with("BROKEN") => format!("**{words}**"),
            Some(words) => words.clone(),
            None => format::MISSING.to_owned(),
        };
        let cells: Vec<String> = cells.iter().map(bold).collect();
        writeln!(md, "| {} | {} |", cell(&title), cells.join(" | ")).expect("a string takes every write");
    }
    md.push('\n');
    head(&mut md, "from the intended time");
    for row in &c.rows {
        let text = |t: usize| {
            let ratio = row.ratios[t].as_ref().map(|r| format!("<br>{}", says(r))).unwrap_or_default();
            format!("{}{ratio}", value(row, t))
        };
        let cells: Vec<String> = (0..c.columns.len()).map(text).collect();
        writeln!(md, "| {} | {} |", cell(&row.title), cells.join(" | ")).expect("a string takes every write");
    }
    for column in &c.columns {
        for note in &column.notes {
            write!(md, "\n- {}: {}", cell(&column.label), cell(note)).expect("a string takes every write");
        }
    }
    writeln!(md, "\n\n{}\n\nexit {}: {}", legend(c), c.exit.code, cell(&c.exit.reason))
        .expect("a string takes every write");
    writeln!(md, "\n```\n{}\n```", c.conditions.again).expect("a string takes every write");
    md
}

/// Every figure of every trial: `figure,unit,target,repeat,value`; an empty value was not measured.
#[must_use]
pub fn csv(c: &Comparison) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["figure", "unit", "target", "repeat", "value"]).expect("memory takes every write");
    for row in &c.rows {
        for (target, values) in c.conditions.targets.iter().zip(&row.values) {
            for (repeat, value) in values.iter().enumerate() {
                let unit = serde_json::to_string(&row.unit).expect("a word");
                let value = value.map(|v| v.to_string()).unwrap_or_default();
                let record = [&row.key, unit.trim_matches('"'), target, &(repeat + 1).to_string(), &value];
                writer.write_record(record).expect("memory takes every write");
            }
        }
    }
    String::from_utf8(writer.into_inner().expect("memory takes every write")).expect("written as text")
}
