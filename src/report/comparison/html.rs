//! `comparison.html`: one self-contained page for several brokers, in the style of a run's own.

use super::{Column, Comparison, Ratio, tables};
use crate::report::chart::{self, Factor, Percentiles, inks};
use crate::report::format;
use crate::report::html::figures::{figures, number, table};
use crate::report::html::{Section, escape, page, put};

/// The page.
#[must_use]
pub fn render(c: &Comparison) -> String {
    let section = |id, title, body| Section { id, title, body };
    let sections = [
        section("findings", "What differs", findings(c)),
        section("guarantees", "Guarantees", guarantees(c)),
        section("latency", "Latency", latency(c)),
        section("figures", "Figures", rows(c)),
        section("notes", "What else is to be said", notes(c)),
        section("again", "Run it again", again(c)),
    ];
    let title = format!("{} on {} brokers: squall", c.conditions.scenario.name, c.columns.len());
    page(&title, &top(c), &banner(c), &sections, c.format_version)
}

fn names(c: &Comparison) -> String {
    c.columns.iter().map(|column| column.label.as_str()).collect::<Vec<_>>().join(", ")
}

fn top(c: &Comparison) -> String {
    let conditions = &c.conditions;
    let mut html = format!(
        "<header class=\"top\">\n<div class=\"mark\">squall comparison</div>\n<h1>{} <span>on</span> {}</h1>\n<p class=\"soft\">{} · seed {}, {} repeats in changing order, warm-up {}, one broker alive at a time · {}{}</p>\n",
        escape(&conditions.scenario.name),
        escape(&names(c)),
        format::date(conditions.started),
        conditions.scenario.seed,
        conditions.repeats,
        format::seconds(conditions.warm_up),
        escape(&conditions.machine),
        conditions
            .cores
            .as_ref()
            .map_or_else(|| "; harness and broker shared its cores".to_owned(), |x| format!("; {}", escape(x))),
    );
    for paragraph in conditions.scenario.about.split("\n\n").filter(|p| !p.trim().is_empty()) {
        put(&mut html, format_args!("<p>{}</p>\n", escape(paragraph.trim())));
    }
    html.push_str("</header>\n");
    html
}

fn banner(c: &Comparison) -> String {
    let (class, words) = match c.exit.code {
        0 => ("good", "Every broker kept every promise"),
        1 => ("bad", "A promise was broken"),
        2 => ("warn", "Every promise held, but a threshold was missed"),
        4 => ("bad", "A broker could not be had, or died"),
        _ => ("warn", "Inconclusive"),
    };
    format!(
        "<div class=\"banner {class}\" role=\"status\"><strong>{words}</strong><p>Exit code {}: {}.</p></div>\n",
        c.exit.code,
        escape(&c.exit.reason)
    )
}

fn findings(c: &Comparison) -> String {
    let findings = c.findings();
    let mut html = String::from("<div class=\"card\">");
    if findings.is_empty() {
        let words = if c.ranges_only() {
            "No difference is claimed: fewer pairs of runs than an interval needs could be trusted. The ranges seen are below."
        } else {
            "No difference beyond the noise was seen."
        };
        put(&mut html, format_args!("<p>{words}</p>"));
    } else {
        let items: String = findings.iter().map(|f| format!("<li>{}</li>", escape(f))).collect();
        put(&mut html, format_args!("<ul>{items}</ul>"));
    }
    put(&mut html, format_args!("<p class=\"note\">{}</p></div>\n", escape(&tables::legend(c))));
    let base = c.columns.first().map_or("", |column| &column.label);
    let mut lines = Vec::new();
    for row in c.rows.iter().filter(|r| r.unit != crate::report::model::Unit::Count) {
        for ((column, ratio), ink) in c.columns.iter().zip(&row.ratios).zip(inks()) {
            if let Some(Ratio { low, middle, high, .. }) = *ratio {
                let label = if c.columns.len() == 2 { row.title.clone() } else { short(column, &row.title) };
                lines.push(Factor { label, ink, low, middle, high });
            }
        }
    }
    let legend = c.columns.iter().zip(inks()).skip(1).map(|(column, ink)| chart::key(ink, &column.label)).collect();
    let about = "Right of 1 is more than the first broker. The dot is the mean, the bar its interval (or the range).";
    html.push_str(&figures(chart::factors(&format!("Ratios to {base}"), about, legend, &lines).iter()));
    html
}

fn short(column: &Column, title: &str) -> String {
    format!("{title}: {}", column.label.split(' ').next().unwrap_or_default())
}

fn heads(c: &Comparison) -> Vec<String> {
    std::iter::once(String::new()).chain(c.columns.iter().map(|column| escape(&column.label))).collect()
}

fn guarantees(c: &Comparison) -> String {
    let mut body = String::new();
    for (title, cells) in tables::guarantees(c) {
        put(&mut body, format_args!("<tr><th scope=\"row\">{}</th>", escape(&title)));
        for (cell, column) in cells.iter().zip(&c.columns) {
            let Some(words) = cell else {
                body.push_str(&number(format::MISSING));
                continue;
            };
            let class = match words {
                w if w.starts_with("BROKEN") => "bad",
                w if w.contains("unclear") => "warn",
                _ => "good",
            };
            put(&mut body, format_args!("<td><span class=\"chip {class}\">{words}</span>"));
            if let Some(tally) = column.guarantees.iter().find(|t| t.title == title) {
                let breaches: Vec<String> =
                    tally.breaches.iter().map(|b| format!("{} {}", format::count(b.count), b.name)).collect();
                let mut more =
                    format!("{} of {} cases failed", format::count(tally.failures), format::count(tally.cases));
                if !breaches.is_empty() {
                    more = format!("{more}: {} [{}]", breaches.join(", "), tally.statements.join(", "));
                }
                put(&mut body, format_args!("<div class=\"note\">{}</div>", escape(&more)));
            }
            body.push_str("</td>");
        }
        body.push_str("</tr>\n");
    }
    let heads = heads(c);
    table(&heads.iter().map(String::as_str).collect::<Vec<_>>(), heads.len(), &body)
}

/// One chart a latency, a line a broker, on shared axes.
fn latency(c: &Comparison) -> String {
    let mut html = String::new();
    for key in ["end_to_end", "publish_ack", "connack"] {
        let of = |column: &'_ Column| column.curves.iter().position(|curve| curve.key == key);
        let lines: Vec<Percentiles<'_>> = c
            .columns
            .iter()
            .zip(inks())
            .filter_map(|(column, ink)| {
                let curve = &column.curves[of(column)?];
                let label = format!("{} ({} values)", column.label, format::count(curve.count));
                Some(Percentiles { ink, label, points: &curve.points })
            })
            .collect();
        let title = c.columns.iter().find_map(|column| of(column).map(|place| column.curves[place].title.as_str()));
        let drawn =
            title.and_then(|title| chart::by_percentile(key, title, "for each broker, all repeats together", &lines));
        html.push_str(&figures(drawn.iter()));
    }
    html
}

fn rows(c: &Comparison) -> String {
    let mut body = String::new();
    for row in &c.rows {
        put(&mut body, format_args!("<tr><th scope=\"row\">{}</th>", escape(&row.title)));
        for (target, ratio) in row.ratios.iter().enumerate() {
            let cell = number(&tables::value(row, target));
            let cell = cell.trim_end_matches("</td>");
            let says = ratio.as_ref().map(|r| format!("<div class=\"note\">{}</div>", escape(&tables::says(r))));
            put(&mut body, format_args!("{cell}{}</td>", says.unwrap_or_default()));
        }
        body.push_str("</tr>\n");
    }
    let heads = heads(c);
    table(&heads.iter().map(String::as_str).collect::<Vec<_>>(), 1, &body)
}

fn notes(c: &Comparison) -> String {
    let mut html = String::new();
    for column in &c.columns {
        let mut items: String = column.notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
        if column.tainted > 0 {
            let (n, all) = (column.tainted, column.trials);
            put(
                &mut items,
                format_args!("<li>{n} of {all} repeats are left out of the figures: the harness was too slow.</li>"),
            );
        }
        for (n, folder) in (1..).zip(&column.folders) {
            let folder = escape(folder);
            put(&mut items, format_args!("<li><a href=\"{folder}/report.html\">repeat {n}: its own report</a></li>"));
        }
        put(&mut html, format_args!("<div class=\"card\"><h3>{}</h3><ul>{items}</ul></div>\n", escape(&column.label)));
    }
    html
}

fn again(c: &Comparison) -> String {
    format!(
        "<div class=\"card\"><p>Under the same conditions:</p><pre tabindex=\"0\"><code>{}</code></pre><p class=\"soft\">Beside this page: \
         <a href=\"comparison.json\">comparison.json</a> (everything here, for programs), <a href=\"trials.csv\">trials.csv</a> (each figure of \
         each run), <a href=\"summary.md\">summary.md</a>.</p></div>\n",
        escape(&c.conditions.again)
    )
}
