//! `latency.csv` (percentiles by group), `timeline.csv` (counts and latencies by interval) and `broker.csv` (the broker's resources by
//! second), for spreadsheets. Times are seconds, sizes bytes; a figure that could not be measured is an empty field.

use super::model::Report;
use super::model::{Figures, LatencyInfo};

/// One row a group, latency and starting point; `all` is every group together.
#[must_use]
pub fn latency(report: &Report) -> String {
    let header = [
        "group", "latency", "from", "count", "min", "mean", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "max",
    ];
    let mut table = Table::new(&header);
    for group in &report.groups {
        rows(&mut table, &group.name, &group.latencies);
    }
    rows(&mut table, "all", &report.total.latencies);
    table.finish()
}

fn rows(table: &mut Table, group: &str, latencies: &[LatencyInfo]) {
    for latency in latencies {
        for (from, figures) in [("intended", Some(latency.intended)), ("sent", latency.sent)] {
            if let Some(f) = figures {
                let mut row = vec![group.to_owned(), latency.key.clone(), from.to_owned(), f.count.to_string()];
                row.extend(times(&f));
                table.row(&row);
            }
        }
    }
}

fn times(f: &Figures) -> [String; 10] {
    [
        Some(f.min),
        Some(f.mean),
        Some(f.p50),
        Some(f.p75),
        Some(f.p90),
        Some(f.p95),
        Some(f.p99),
        f.p999,
        f.p9999,
        Some(f.max),
    ]
    .map(time)
}

/// Nanosecond digits, so that equal values are equal texts.
fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(String::new, |s| format!("{s:.9}"))
}

/// One row an interval: counts of all groups together, then p50, p99 and max of each latency of each group.
#[must_use]
pub fn timeline(report: &Report) -> String {
    let line = &report.timeline;
    let mut header: Vec<String> =
        ["from", "to", "offered", "sent", "acked", "delivered", "duplicated", "disconnects", "connected", "faults"]
            .map(str::to_owned)
            .into();
    for series in &line.latencies {
        for figure in ["p50", "p99", "max"] {
            header.push(format!("{}.{}.{figure}", series.group, series.latency));
        }
    }
    let mut table = Table::new(&header);
    let mut cursors: Vec<_> = line.latencies.iter().map(|series| series.points.iter().peekable()).collect();
    for (index, interval) in (0_u32..).zip(&line.intervals) {
        let (from, to) = (f64::from(index) * line.width, f64::from(index + 1) * line.width);
        let faults = report.faults.iter().filter(|f| f.at < to && f.at + f.lasted.unwrap_or(0.0) >= from);
        let faults: Vec<&str> = faults.map(|f| f.what.as_str()).collect();
        let mut row = vec![format!("{from:.3}"), format!("{to:.3}")];
        row.extend(
            [
                interval.offered,
                interval.sent,
                interval.acked,
                interval.delivered,
                interval.duplicated,
                interval.disconnects,
                interval.connected,
            ]
            .map(|n| n.to_string()),
        );
        row.push(faults.join("; "));
        for cursor in &mut cursors {
            while cursor.next_if(|p| p.interval < index).is_some() {}
            let point = cursor.next_if(|p| p.interval == index);
            row.extend([point.map(|p| p.p50), point.map(|p| p.p99), point.map(|p| p.max)].map(time));
        }
        table.row(&row);
    }
    table.finish()
}

/// One row a look at the broker's process tree; none where it cannot be seen. `cores` and `written_per_second` are since the row before.
#[must_use]
pub fn broker(report: &Report) -> String {
    let mut table = Table::new(&["at", "cores", "rss", "descriptors", "threads", "written_per_second"]);
    let whole = |n: Option<u32>| n.map_or_else(String::new, |n| n.to_string());
    for sample in &report.broker.samples {
        table.row(&[
            format!("{:.3}", sample.at),
            sample.cores.map_or_else(String::new, |c| format!("{c:.4}")),
            sample.rss.to_string(),
            whole(sample.descriptors),
            whole(sample.threads),
            sample.written_per_second.map_or_else(String::new, |b| format!("{b:.0}")),
        ]);
    }
    table.finish()
}

/// A CSV table in memory, RFC 4180 quoting, lines ended by a line feed.
struct Table(csv::Writer<Vec<u8>>);

impl Table {
    fn new<S: AsRef<[u8]>>(header: &[S]) -> Self {
        let mut table = Self(csv::WriterBuilder::new().from_writer(Vec::new()));
        table.row(header);
        table
    }

    fn row<S: AsRef<[u8]>>(&mut self, cells: &[S]) {
        self.0.write_record(cells).expect("rows are as wide as the header, and memory takes every write");
    }

    fn finish(self) -> String {
        let bytes = self.0.into_inner().expect("memory takes every write");
        String::from_utf8(bytes).expect("every cell was text")
    }
}
