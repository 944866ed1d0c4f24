//! HdrHistogram's own files, for its tools: `latency.hlog` (interval log, V2 compressed histograms, tagged) and one
//! `.hgrm` percentile text for each group and latency. Values are nanoseconds in the log, milliseconds in the text.

use super::Report;
use super::write::file_name;
use crate::measure::summary::{LatencySummary, Summary};
use crate::time::Duration;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::fmt::Write;
use std::time::UNIX_EPOCH;

/// The interval log. Tags: `GROUP:LATENCY`, from the intended time, by interval; `GROUP:LATENCY:sent`, from the actual
/// send, the whole run in one. The most value column is in seconds.
#[must_use]
pub fn log(report: &Report, summary: &Summary) -> Vec<u8> {
    let start = UNIX_EPOCH + Duration::from_secs(report.started.unwrap_or(0));
    let whole = summary.phases.ended.since(crate::time::Instant::ZERO);
    let mut lines: Vec<(Duration, Duration, String, &Histogram<u64>)> = Vec::new();
    for (group, latency) in each(report, summary) {
        let tag = format!("{}:{}", tag_name(group), latency.latency.key());
        if latency.over_time.is_empty() {
            lines.push((Duration::ZERO, whole, tag.clone(), &latency.intended));
        }
        for (interval, histogram) in latency.over_time.iter().filter(|(_, h)| !h.is_empty()) {
            let width = summary.series.width;
            lines.push((width.saturating_mul(*interval), width, tag.clone(), histogram));
        }
        if !latency.sent.is_empty() {
            lines.push((Duration::ZERO, whole, format!("{tag}:sent"), &latency.sent));
        }
    }
    // Readers expect lines by time; the sort keeps the groups' order within an interval.
    lines.sort_by_key(|line| line.0);
    let (mut bytes, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment(&format!(
            "[Histogram log format version 1.3]\n[squall: {}, nanoseconds]",
            one_line(&report.scenario.name)
        ))
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(1e9)
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("memory takes every write");
    for (from, width, tag, histogram) in lines {
        writer.write_histogram(histogram, from, width, Tag::new(&tag)).expect("memory takes every histogram");
    }
    bytes
}

/// The percentile texts with their file names, `GROUP.LATENCY.hgrm`, from the intended time.
#[must_use]
pub fn percentiles(report: &Report, summary: &Summary) -> Vec<(String, String)> {
    let text = |(group, latency): (&str, &LatencySummary)| {
        (format!("{}.{}.hgrm", file_name(group), latency.latency.key()), hgrm(&latency.intended))
    };
    each(report, summary).map(text).collect()
}

/// Groups' latencies with values, in the report's order.
fn each<'a>(report: &'a Report, summary: &'a Summary) -> impl Iterator<Item = (&'a str, &'a LatencySummary)> {
    let groups = report.groups.iter().zip(&summary.groups);
    groups.flat_map(|(info, group)| {
        group.latencies.iter().filter(|l| !l.intended.is_empty()).map(|latency| (info.name.as_str(), latency))
    })
}

/// A tag may hold no comma, blank or line end.
fn tag_name(name: &str) -> String {
    name.chars().map(|c| if c == ',' || c.is_whitespace() || c.is_control() { '-' } else { c }).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The layout of HdrHistogram's `outputPercentileDistribution`, five steps a halving, in milliseconds.
fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes every write");
    line(format_args!("{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)"));
    let mut total = 0;
    for step in histogram.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (millis(step.value_iterated_to()), step.quantile_iterated_to());
        if quantile < 1.0 {
            line(format_args!("{value:>12.6} {quantile:>14.12} {total:>10} {:>14.2}", 1.0 / (1.0 - quantile)));
        } else {
            line(format_args!("{value:>12.6} {quantile:>14.12} {total:>10}"));
        }
    }
    line(format_args!(
        "#[Mean    = {:>12.6}, StdDeviation   = {:>12.6}]",
        histogram.mean() / 1e6,
        histogram.stdev() / 1e6
    ));
    line(format_args!("#[Max     = {:>12.6}, Total count    = {:>12}]", millis(histogram.max()), histogram.len()));
    line(format_args!("#[Buckets = {:>12}, SubBuckets     = {:>12}]", buckets(histogram), 2048));
    out
}

#[allow(clippy::cast_precision_loss)]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// How many doublings of 2,048 sub-buckets (3 significant digits) reach the largest trackable value.
fn buckets(histogram: &Histogram<u64>) -> u32 {
    (64 - histogram.high().leading_zeros()).saturating_sub(11) + 1
}
