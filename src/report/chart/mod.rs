//! The page's charts, each drawn twice: for a wide window and for a phone.

mod axis;
mod broker;
mod frame;

use super::model::{FaultInfo, LatencyPoint, LatencySeries, Report};
use super::{format, story};
use axis::Axis;
pub use broker::broker;
pub use frame::Ink;
use frame::{Frame, Size, svg};
use plotters::style::text_anchor::HPos;

/// A chart with what stands around it.
#[derive(Clone, PartialEq, Debug)]
pub struct Chart {
    /// Its place in the page (`chart-percentiles-end_to_end`).
    pub id: String,
    /// Its title.
    pub title: String,
    /// How to read it, in a sentence.
    pub about: String,
    /// Its series.
    pub legend: Vec<Key>,
    /// For a wide window.
    pub wide: String,
    /// For a phone.
    pub narrow: String,
}

/// A series in the legend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Class of its stroke.
    pub class: String,
    /// Its name.
    pub label: String,
}

const NARROW: Size = Size { width: 350, height: 250 };
const WIDE: i32 = 1000;
/// More fleets than this share one chart over time.
const MANY: usize = 6;

pub(super) fn key(ink: Ink, label: &str) -> Key {
    Key { class: ink.stroke_class(), label: label.to_owned() }
}

/// Draws for both widths.
fn chart(id: &str, title: &str, about: &str, legend: Vec<Key>, height: i32, draw: impl Fn(Size) -> String) -> Chart {
    let wide = draw(Size { width: WIDE, height });
    let narrow = draw(Size { height: NARROW.height.min(height), ..NARROW });
    Chart { id: format!("chart-{id}"), title: title.to_owned(), about: about.to_owned(), legend, wide, narrow }
}

/// Latency by percentile, a line a fleet; one chart for each latency that messages have.
#[must_use]
pub fn percentiles(report: &Report) -> Vec<Chart> {
    ["end_to_end", "publish_ack"].into_iter().filter_map(|latency| percentile(report, latency)).collect()
}

fn percentile(report: &Report, latency: &str) -> Option<Chart> {
    let of = |g: &'_ super::model::GroupInfo| g.latencies.iter().position(|l| l.key == latency);
    let lines: Vec<Percentiles<'_>> = report
        .groups
        .iter()
        .filter(|g| g.publishes.is_some())
        .zip(inks())
        .filter_map(|(g, ink)| of(g).map(|place| (g, &g.latencies[place], ink)))
        .map(|(g, l, ink)| {
            let qos = g.publishes.map_or_else(|| "-".to_owned(), |q| q.to_string());
            let label = format!("{} (QoS {qos}, {} messages)", g.name, format::count(l.intended.count));
            Percentiles { ink, label, points: &l.curve }
        })
        .collect();
    let title = report.groups.iter().find_map(|g| of(g).map(|place| g.latencies[place].title.as_str()))?;
    by_percentile(latency, title, "for each fleet", &lines)
}

/// Inks for as many series as there are.
pub(super) fn inks() -> impl Iterator<Item = Ink> {
    (0..6).map(Ink::Series).chain((0..6).map(Ink::Dotted)).cycle()
}

/// A line of a percentile chart.
pub(super) struct Percentiles<'a> {
    pub ink: Ink,
    pub label: String,
    pub points: &'a [super::model::CurvePoint],
}

/// Latency by percentile, both axes logarithmic; none without a value.
pub(super) fn by_percentile(latency: &str, title: &str, of: &str, lines: &[Percentiles<'_>]) -> Option<Chart> {
    let lines: Vec<&Percentiles<'_>> = lines.iter().filter(|l| !l.points.is_empty()).collect();
    let points = || lines.iter().flat_map(|l| l.points);
    points().next()?;
    let least = points().map(|p| p.seconds).fold(f64::INFINITY, f64::min).max(1e-6);
    let largest = points().map(|p| p.seconds).fold(1e-6, f64::max);
    let tail = |percentile: f64| -libm::log10((1.0 - percentile / 100.0).max(1e-12));
    let last = points().map(|p| tail(p.percentile)).fold(0.0, f64::max);
    let legend = lines.iter().map(|l| key(l.ink, &l.label)).collect();
    let about = "From the intended time. Each step to the right is a rarer message; both axes are logarithmic.";
    let label = format!("Chart: latency {title} by percentile {of}. The latency table has the figures.");
    let id = format!("percentiles-{latency}");
    Some(chart(&id, &format!("{}, by percentile", capital(title)), about, legend, 320, |size| {
        svg(size, &axis::percentiles(last, size.narrow()), &axis::log_seconds(least, largest), &label, |frame| {
            for line in &lines {
                let points: Vec<_> =
                    line.points.iter().map(|p| (tail(p.percentile), libm::log10(p.seconds.max(1e-6)))).collect();
                frame.line(&points, line.ink, 20);
            }
        })
    }))
}

/// One line of a chart of ratios.
pub(super) struct Factor {
    pub label: String,
    pub ink: Ink,
    pub low: f64,
    pub middle: f64,
    pub high: f64,
}

/// Ratios with their intervals, one below the other, on a logarithmic axis about 1; none without a ratio.
pub(super) fn factors(title: &str, about: &str, legend: Vec<Key>, lines: &[Factor]) -> Option<Chart> {
    let low = lines.iter().map(|l| l.low).fold(0.8, f64::min);
    let high = lines.iter().map(|l| l.high).fold(1.25, f64::max);
    let rows = super::metric::float(lines.len() as u64);
    let height = 60 + 20 * i32::try_from(lines.len()).unwrap_or(60);
    let label = "Chart: ratios to the first broker, with their intervals. The table has the figures.";
    let y = |n: u32| rows - f64::from(n) - 0.5;
    (!lines.is_empty()).then(|| {
        let draw = |size: Size| {
            let tick = |(n, l): (u32, &Factor)| axis::Tick { at: y(n), label: l.label.clone() };
            let down = Axis { range: (0.0, rows), ticks: (0..).zip(lines).map(tick).collect() };
            svg(size, &axis::factors(low, high), &down, label, |frame| {
                frame.line(&[(0.0, 0.0), (0.0, rows)], Ink::Text, 12);
                for (n, line) in (0..).zip(lines) {
                    let at = |x: f64| libm::log10(x.max(1e-9));
                    frame.line(&[(at(line.low), y(n)), (at(line.high), y(n))], line.ink, 40);
                    frame.line(&[(at(line.middle), y(n))], line.ink, 20);
                }
            })
        };
        let mut chart = chart("factors", title, about, legend, height, draw);
        // As many lines on a phone as in a window.
        chart.narrow = draw(Size { height, ..NARROW });
        chart
    })
}

/// Latency over time: p50, p99 and the largest, a chart a fleet, with the faults.
#[must_use]
pub fn latency_over_time(report: &Report) -> Vec<Chart> {
    let mut charts = Vec::new();
    for group in report.groups.iter().filter(|g| g.publishes.is_some()) {
        let mine = |latency: &str| {
            report
                .timeline
                .latencies
                .iter()
                .find(|s| s.group == group.name && s.latency == latency && !s.points.is_empty())
        };
        if let Some(series) = mine("end_to_end").or_else(|| mine("publish_ack")) {
            charts.push(over_time(report, series));
        }
        if charts.len() == MANY {
            break;
        }
    }
    charts
}

/// Ink, name, tenths of a pixel, and which figure.
type Line = (Ink, &'static str, u32, fn(&LatencyPoint) -> f64);

fn over_time(report: &Report, series: &LatencySeries) -> Chart {
    let width = report.timeline.width;
    let what = if series.latency == "end_to_end" { "end to end" } else { "publish to acknowledgement" };
    let least = series.points.iter().map(|p| p.p50).fold(f64::INFINITY, f64::min).max(1e-6);
    let largest = series.points.iter().map(|p| p.max).fold(1e-6, f64::max);
    let lines: [Line; 3] = [
        (Ink::Series(0), "p50", 20, |p| p.p50),
        (Ink::Series(1), "p99", 18, |p| p.p99),
        (Ink::Dotted(3), "largest", 12, |p| p.max),
    ];
    let legend = lines.iter().map(|(ink, name, ..)| key(*ink, name)).collect();
    let about = format!(
        "Messages by the time at which they were due, {} each; from the intended time. The latency axis is logarithmic.",
        format::seconds(width)
    );
    let label = format!(
        "Chart: latency {what} of {} over the run, with faults marked. timeline.csv has the figures.",
        series.group
    );
    let title = format!("{}: {what}, over time", series.group);
    chart(&format!("time-{}", super::write::file_name(&series.group)), &title, &about, legend, 250, |size| {
        svg(size, &time_axis(report, size), &axis::log_seconds(least, largest), &label, |frame| {
            marks(frame, report);
            for (ink, _, tenths, value) in &lines {
                for run in runs(&series.points) {
                    let line: Vec<_> = run
                        .iter()
                        .map(|p| ((f64::from(p.interval) + 0.5) * width, libm::log10(value(p).max(1e-6))))
                        .collect();
                    frame.line(&line, *ink, *tenths);
                }
            }
        })
    })
}

/// Points that follow each other closely enough to be joined: at most two intervals without a value between them.
fn runs(points: &[LatencyPoint]) -> impl Iterator<Item = &[LatencyPoint]> {
    points.chunk_by(|a, b| b.interval - a.interval <= 3)
}

/// Messages offered, acknowledged and delivered over time, with the faults.
#[must_use]
pub fn messages(report: &Report) -> Option<Chart> {
    let lines: Vec<(Ink, &str, Vec<f64>)> = vec![
        (Ink::Series(4), "offered (due by the schedule)", rates(report, |i| i.offered)?),
        (Ink::Series(0), "delivered (first copies)", rates(report, |i| i.delivered)?),
        (Ink::Series(2), "acknowledged", rates(report, |i| i.acked)?),
    ];
    Some(counts(report, "messages", "Messages a second", "All fleets together.", &lines, 280))
}

/// Connected clients and lost connections over time.
#[must_use]
pub fn connections(report: &Report) -> Option<Chart> {
    let each = |f: fn(&super::model::IntervalInfo) -> u64| {
        report.timeline.intervals.iter().map(|i| super::metric::float(f(i))).collect::<Vec<_>>()
    };
    if report.timeline.intervals.iter().all(|i| i.connected == 0 && i.disconnects == 0) {
        return None;
    }
    let lines = [
        (Ink::Series(0), "connected at the interval's end", each(|i| i.connected)),
        (Ink::Series(1), "connections lost in the interval", each(|i| i.disconnects)),
    ];
    Some(counts(report, "connections", "Connections", "All clients together.", &lines, 220))
}

fn rates(report: &Report, f: fn(&super::model::IntervalInfo) -> u64) -> Option<Vec<f64>> {
    let line = &report.timeline;
    (line.width > 0.0 && !line.intervals.is_empty())
        .then(|| line.intervals.iter().map(|i| super::metric::float(f(i)) / line.width).collect())
}

fn counts(report: &Report, id: &str, title: &str, about: &str, lines: &[(Ink, &str, Vec<f64>)], height: i32) -> Chart {
    let largest = lines.iter().flat_map(|l| &l.2).copied().fold(1.0, f64::max);
    let legend = lines.iter().map(|(ink, name, _)| key(*ink, name)).collect();
    let label =
        format!("Chart: {} over the run, with faults marked. timeline.csv has the figures.", title.to_lowercase());
    let y = axis::linear(largest, 5, axis::plain);
    chart(id, title, about, legend, height, |size| {
        svg(size, &time_axis(report, size), &y, &label, |frame| {
            marks(frame, report);
            for (ink, _, values) in lines {
                let line: Vec<_> =
                    (0_u32..).zip(values).map(|(i, v)| ((f64::from(i) + 0.5) * report.timeline.width, *v)).collect();
                frame.line(&line, *ink, 18);
            }
        })
    })
}

/// Bytes a message by QoS: what MQTT itself needs, and what went over the link.
#[must_use]
pub fn wire(report: &Report) -> Option<Chart> {
    let rows: Vec<_> = report.cost.iter().filter(|c| c.ip_bytes.is_some()).collect();
    let largest = rows.iter().flat_map(|c| [c.ip_bytes, c.mqtt_bytes]).flatten().fold(0.0, f64::max);
    if rows.is_empty() || largest <= 0.0 {
        return None;
    }
    let bars = super::metric::float(rows.len() as u64);
    let height = 60 + 56 * i32::try_from(rows.len()).unwrap_or(3);
    let legend = vec![key(Ink::Series(0), "IP bytes, both ways"), key(Ink::Series(2), "of these, MQTT bytes")];
    let label = "Chart: IP and MQTT bytes a message by QoS. The table has the figures.";
    Some(chart("wire", "Bytes a message, by QoS", story::COST_NOTE, legend, height, |size| {
        let most = if size.narrow() { 3 } else { 8 };
        let mut x = axis::linear(largest * 1.02, most, axis::plain);
        x.range.1 *= if size.narrow() { 1.25 } else { 1.08 };
        let tick = |(n, c): (u32, &&super::model::QosCost)| axis::Tick {
            at: bars - f64::from(n) - 0.5,
            label: format!("QoS {}", c.qos),
        };
        let y = Axis { range: (0.0, bars), ticks: (0..).zip(&rows).map(tick).collect() };
        svg(size, &x, &y, label, |frame| {
            for (n, cost) in (0_u32..).zip(&rows) {
                let middle = bars - f64::from(n) - 0.5;
                for (value, half, ink) in
                    [(cost.ip_bytes, 0.34, Ink::Series(0)), (cost.mqtt_bytes, 0.16, Ink::Series(2))]
                {
                    if let Some(value) = value {
                        frame.block((0.0, middle - half), (value, middle + half), ink);
                    }
                }
                let words = cost.ip_bytes.map_or_else(String::new, format::three_digits);
                frame.words(&words, (cost.ip_bytes.unwrap_or(0.0), middle), (6, 0), HPos::Left, Ink::Text);
            }
        })
    }))
}

fn time_axis(report: &Report, size: Size) -> Axis {
    let last = super::metric::float(report.timeline.intervals.len() as u64) * report.timeline.width;
    axis::time(last.max(report.phases.ended), if size.narrow() { 5 } else { 12 })
}

/// Marks the drain and the faults; a fault's words stand above it where there is room, else its number.
fn marks(frame: &mut Frame<'_>, report: &Report) {
    let (low, high) = (frame.bottom(), frame.top());
    let phases = report.phases;
    if phases.drain_from > 0.0 && phases.ended > phases.drain_from {
        frame.block((phases.drain_from, low), (phases.ended, high), Ink::Drain);
        frame.words("drain", (phases.ended, high), (-4, 10), HPos::Right, Ink::Text);
    }
    for fault in &report.faults {
        frame.block((fault.at, low), (fault.at + fault.lasted.unwrap_or(0.0), high), Ink::Fault);
    }
    let mut free = 0.0;
    for (n, fault) in (1..).zip(&report.faults) {
        let next = report.faults.iter().map(|f: &FaultInfo| f.at).find(|at| *at > fault.at).unwrap_or(phases.ended);
        let room = frame.pixels(fault.at, next.max(fault.at));
        let short = n.to_string();
        let words = if !frame.size().narrow() && Frame::fits(&fault.what, room) { &fault.what } else { &short };
        if fault.at >= free {
            frame.words(words, (fault.at, high), (0, -9), HPos::Left, Ink::FaultText);
            free = if Frame::fits(words, room) { fault.at } else { next };
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().collect::<String>() + chars.as_str())
}
