//! The page's tables and charts.

use super::{escape, put};
use crate::promise::Count;
use crate::report::chart::{self, Chart};
use crate::report::format;
use crate::report::metric::float;
use crate::report::model::{Counts, Figures, GroupInfo, LatencyInfo, Report};
use crate::report::story::{self, Trust};

/// A chart in the page, both widths; the style sheet shows one of them.
fn figure(chart: &Chart) -> String {
    let mut html = format!("<figure id=\"{}\"><h3>{}</h3>\n<ul class=\"legend\">", chart.id, escape(&chart.title));
    for key in &chart.legend {
        put(
            &mut html,
            format_args!(
                "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"{}\" x1=\"2\" y1=\"5\" x2=\"24\" y2=\"5\" stroke-width=\"3\"/></svg>{}</li>",
                key.class,
                escape(&key.label)
            ),
        );
    }
    let shown = |svg: &str, class: &str| svg.replacen("<svg ", &format!("<svg class=\"{class}\" "), 1);
    put(
        &mut html,
        format_args!(
            "</ul>\n{}{}<figcaption>{}</figcaption></figure>\n",
            shown(&chart.wide, "wide"),
            shown(&chart.narrow, "narrow"),
            escape(&chart.about)
        ),
    );
    html
}

pub(in crate::report) fn figures<'a>(charts: impl IntoIterator<Item = &'a Chart>) -> String {
    charts.into_iter().map(figure).collect()
}

/// A table cell with a number, or a dash that says so to a screen reader too.
pub(in crate::report) fn number(text: &str) -> String {
    if text == format::MISSING {
        "<td class=\"n missing\"><span aria-label=\"not measured\">-</span></td>".to_owned()
    } else {
        format!("<td class=\"n\">{}</td>", escape(text))
    }
}

pub(in crate::report) fn table(heads: &[&str], left: usize, body: &str) -> String {
    let mut html = String::from("<div class=\"card scroll\" tabindex=\"0\"><table><thead><tr>");
    for (index, head) in heads.iter().enumerate() {
        let class = if index < left { "" } else { " class=\"n\"" };
        put(&mut html, format_args!("<th scope=\"col\"{class}>{head}</th>"));
    }
    put(&mut html, format_args!("</tr></thead><tbody>\n{body}</tbody></table></div>\n"));
    html
}

/// The latency table, curves, and latency over time.
pub(super) fn latency(report: &Report) -> String {
    let mut body = String::new();
    for group in &report.groups {
        for latency in &group.latencies {
            body.push_str(&latency_rows(&group.name, latency));
        }
    }
    if body.is_empty() {
        return "<p>Not measured: nothing was acknowledged or delivered.</p>\n".to_owned();
    }
    let heads = ["Fleet", "From the intended time", "n", "p50", "p90", "p95", "p99", "p99.9", "max"];
    let mut html = String::from(
        "<p class=\"soft\">Each latency counts from the time at which the schedule wanted the message, so that a broker which stalls \
         pays for those that had to wait; the grey line below counts from the actual send.</p>\n",
    );
    html.push_str(&figures(&chart::percentiles(report)));
    html.push_str(&table(&heads, 2, &body));
    let over_time = chart::latency_over_time(report);
    if !over_time.is_empty() {
        html.push_str(&faults(report));
    }
    html.push_str(&figures(&over_time));
    html
}

fn latency_rows(group: &str, latency: &LatencyInfo) -> String {
    let cells = |f: &Figures| -> String {
        [
            format::count(f.count),
            format::seconds(f.p50),
            format::seconds(f.p90),
            format::seconds(f.p95),
            format::seconds(f.p99),
            format::seconds_or(f.p999),
            format::seconds(f.max),
        ]
        .iter()
        .map(|text| number(text))
        .collect()
    };
    let pair = if latency.sent.is_some() { " class=\"pair\"" } else { "" };
    let mut html = format!(
        "<tr{pair}><th scope=\"row\">{}</th><td>{}</td>{}</tr>\n",
        escape(group),
        escape(&latency.title),
        cells(&latency.intended)
    );
    if let Some(sent) = &latency.sent {
        put(&mut html, format_args!("<tr class=\"also\"><td></td><td>from the actual send</td>{}</tr>\n", cells(sent)));
    }
    html
}

/// The faults, numbered as in the charts.
fn faults(report: &Report) -> String {
    if report.faults.is_empty() {
        return String::new();
    }
    let mut html = String::from("<div class=\"card\"><h3>Faults, as marked in the charts</h3><ol>");
    for fault in &report.faults {
        let lasted = fault.lasted.map_or_else(String::new, |s| format!(", for {}", format::seconds(s)));
        put(&mut html, format_args!("<li>{} at {}{lasted}</li>", escape(&fault.what), format::seconds(fault.at)));
    }
    html.push_str("</ol></div>\n");
    html
}

/// Counts by group and messages over time.
pub(super) fn messages(report: &Report) -> String {
    let heads = [
        "Fleet or group",
        "Clients",
        "Link",
        "QoS",
        "Offered",
        "Sent",
        "Never sent",
        "Acked",
        "Delivered",
        "Copies",
        "Lost",
        "Disconnects",
    ];
    let mut body = String::new();
    for group in &report.groups {
        let qos = group.publishes.map_or_else(|| "listens".to_owned(), |q| q.to_string());
        put(
            &mut body,
            format_args!(
                "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td>{}</td><td>{qos}</td>{}</tr>\n",
                escape(&group.name),
                format::count(u64::from(group.clients)),
                escape(if group.link == "none" { "direct socket" } else { &group.link }),
                counts(&group.counts)
            ),
        );
    }
    put(
        &mut body,
        format_args!(
            "<tr><th scope=\"row\">all</th><td></td><td></td><td></td>{}</tr>\n",
            counts(&report.total.counts)
        ),
    );
    let mut html = figures(&chart::messages(report));
    html.push_str(&figures(&chart::connections(report)));
    // The second head stands over numbers, the two after it over words.
    html.push_str(&table(&heads, 4, &body).replacen(
        "<th scope=\"col\">Clients",
        "<th scope=\"col\" class=\"n\">Clients",
        1,
    ));
    html.push_str("<p class=\"note\">Delivered, copies and lost count by the publisher's fleet, one for each subscriber to whom a message was due.</p>\n");
    html
}

fn counts(counts: &Counts) -> String {
    Count::ALL.into_iter().map(|count| number(&format::count_or(counts.get(count)))).collect()
}

/// Wire cost by QoS and by fleet.
pub(super) fn wire(report: &Report) -> String {
    if report.cost.is_empty() {
        return String::new();
    }
    let mut html = figures(&chart::wire(report));
    let mut body = String::new();
    for cost in &report.cost {
        let cells: String = story::cost(cost).iter().map(|text| number(text)).collect();
        put(
            &mut body,
            format_args!(
                "<tr><th scope=\"row\">QoS {}</th>{}{cells}</tr>\n",
                cost.qos,
                number(&format::count_or(cost.messages))
            ),
        );
    }
    let heads = ["A message", "Messages", "MQTT bytes", "IP bytes", "IP packets", "Retransmissions", "Air time"];
    html.push_str(&table(&heads, 1, &body));
    let links: String = report.groups.iter().map(link_rows).collect();
    if !links.is_empty() {
        let heads = [
            "Fleet",
            "Link",
            "Way",
            "Packets",
            "Bytes",
            "Sent again",
            "Lost",
            "Queue full",
            "Outages",
            "Corrupted",
            "Twice",
            "Air time",
        ];
        html.push_str(&table(&heads, 3, &links));
    }
    if let Some(text) = story::kernels(report) {
        put(&mut html, format_args!("<p>{}</p>\n", escape(&text)));
    }
    html
}

fn link_rows(group: &GroupInfo) -> String {
    let Some(wire) = &group.wire else { return String::new() };
    let row = |(way, d): (&str, &crate::report::model::WireDirection)| {
        let cells: String = [
            format::count(d.packets),
            format::bytes(float(d.bytes)),
            format::count(d.retransmissions),
            format::count(d.lost),
            format::count(d.queue_drops),
            format::count(d.outage_drops),
            format::count_or(d.corrupted),
            format::count_or(d.duplicated),
            format::seconds(d.airtime),
        ]
        .iter()
        .map(|text| number(text))
        .collect();
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{way}</td>{cells}</tr>\n",
            escape(&group.name),
            escape(&group.link)
        )
    };
    [("up", &wire.up), ("down", &wire.down)].map(row).concat()
}

/// The broker's resources.
pub(super) fn broker(report: &Report) -> String {
    let broker = &report.broker;
    if broker.cpu.is_none() && broker.rss_max.is_none() {
        return "<p>Not measured: the broker's process cannot be seen from here.</p>\n".to_owned();
    }
    let mut html = format!("<p>{}.</p>\n", escape(&capital(&story::broker(report))));
    html.push_str(&figures(&chart::broker(report)));
    let text = |s: Option<String>| s.unwrap_or_else(|| format::MISSING.to_owned());
    let whole = |n: Option<u32>| text(n.map(|n| format::count(u64::from(n))));
    let size = |b: Option<f64>| text(b.map(format::bytes));
    let each = broker.per_client;
    let rows = [
        ("CPU in the run", format::seconds_or(broker.cpu)),
        ("CPU a message delivered", format::seconds_or(broker.cpu_per_message)),
        ("Written to storage", size(broker.written.map(float))),
        ("Written a message delivered", size(broker.written_per_message)),
        ("Resident memory, most", size(broker.rss_max.map(float))),
        ("Memory growth a client", size(each.and_then(|c| c.rss))),
        ("Open descriptors, most", whole(broker.descriptors_max)),
        ("Descriptors a client", text(each.and_then(|c| c.descriptors).map(story::few))),
        ("Threads, most", whole(broker.threads_max)),
        ("Threads a client", text(each.and_then(|c| c.threads).map(story::few))),
        ("Clients connected at once, most", text(each.map(|c| format::count(c.clients)))),
    ];
    html.push_str(&pairs(&rows));
    put(&mut html, format_args!("<p class=\"note\">{}</p>\n", escape(story::SHARES_NOTE)));
    html
}

/// Harness health.
pub(super) fn harness(report: &Report) -> String {
    let harness = &report.harness;
    let mut html = String::from("<div class=\"card\">");
    match story::trust(report) {
        Trust::Virtual => html.push_str("<p><span class=\"chip good\">virtual time</span> There is no clock to be late by.</p>"),
        Trust::Trusted => html.push_str("<p><span class=\"chip good\">trusted</span> The harness kept up with its own schedule.</p>"),
        Trust::Unwatched => html.push_str(
            "<p><span class=\"chip warn\">not measured</span> Whether the harness kept up with its own schedule is not known.</p>",
        ),
        Trust::Tainted => {
            html.push_str("<p><span class=\"chip warn\">tainted</span> These figures may be the harness's rather than the broker's:</p><ul>");
            for why in &harness.tainted {
                put(&mut html, format_args!("<li>{}</li>", escape(why)));
            }
            html.push_str("</ul>");
        }
    }
    put(&mut html, format_args!("<p class=\"soft\">{}.</p></div>\n", escape(&capital(&story::stamps(report)))));
    let p99_max = |f: Option<Figures>| {
        f.map_or_else(
            || format::MISSING.to_owned(),
            |f| format!("{} / {}", format::seconds(f.p99), format::seconds(f.max)),
        )
    };
    let cores =
        harness.cores.map_or_else(|| format::MISSING.to_owned(), |c| format!("{} of one core", format::per_cent(c)));
    let rows = [
        ("Schedule slip, p99 / max", p99_max(harness.slip)),
        ("Load loop lag, p99 / max", p99_max(harness.loop_lag)),
        ("Own CPU", cores),
        ("Load loops", if harness.loops == 0 { format::MISSING.to_owned() } else { harness.loops.to_string() }),
    ];
    html.push_str(&pairs(&rows));
    html
}

fn pairs(rows: &[(&str, String)]) -> String {
    let body: String =
        rows.iter().map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th>{}</tr>\n", number(value))).collect();
    format!("<div class=\"card scroll\" tabindex=\"0\"><table><tbody>\n{body}</tbody></table></div>\n")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().collect::<String>() + chars.as_str())
}
