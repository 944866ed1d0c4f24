//! Reads a threshold's metric off what was measured.

use super::model::{Counts, Unit};
use super::resources;
use crate::measure::summary::{GroupSummary, Summary};
use crate::promise::{BrokerFigure, Count, Figure, Latency, Metric, Promises};
use crate::verdict::outcome::Verdicts;
use hdrhistogram::Histogram;

/// Nanoseconds as seconds.
#[allow(clippy::cast_precision_loss)]
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Rounded to whole nanoseconds: what a mean or a quotient says beyond that is noise.
pub(super) fn to_nanos(seconds: f64) -> f64 {
    libm::round(seconds * 1e9) / 1e9
}

/// A count as a number to divide by or with.
#[allow(clippy::cast_precision_loss)]
pub(super) fn float(n: u64) -> f64 {
    n as f64
}

/// The metric's base unit.
#[must_use]
pub const fn unit(metric: &Metric) -> Unit {
    match metric {
        Metric::Latency { .. } | Metric::HarnessSlipP99 => Unit::Seconds,
        Metric::Count { .. } | Metric::Broker(BrokerFigure::DescriptorsMax | BrokerFigure::ThreadsMax) => Unit::Count,
        Metric::Broker(BrokerFigure::CpuSeconds | BrokerFigure::CpuPerMessage) => Unit::Seconds,
        Metric::Broker(BrokerFigure::RssMax | BrokerFigure::WrittenPerMessage) => Unit::Bytes,
    }
}

/// The metric's value in its base unit; none if it could not be measured.
#[must_use]
pub fn evaluate(metric: &Metric, promises: &Promises, verdicts: &Verdicts, summary: &Summary) -> Option<f64> {
    match metric {
        Metric::Latency { figure, latency, group } => {
            let merged = merge(chosen(promises, summary, group.as_deref()).map(|(_, g)| g), *latency)?;
            let value = match figure {
                Figure::Percentile(p) => seconds(merged.value_at_percentile(*p)),
                Figure::Mean => merged.mean() / 1e9,
                Figure::Max => seconds(merged.max()),
                Figure::Min => seconds(merged.min()),
            };
            Some(value)
        }
        Metric::Count { count, group } => chosen(promises, summary, group.as_deref())
            .filter_map(|(index, g)| counts(index, g, verdicts).get(*count))
            .reduce(|a, b| a.saturating_add(b))
            .map(float),
        Metric::Broker(BrokerFigure::CpuSeconds) => summary.broker_cpu.map(|cpu| cpu.as_secs_f64()),
        Metric::Broker(BrokerFigure::CpuPerMessage) => cpu_per_message(verdicts, summary),
        Metric::Broker(BrokerFigure::RssMax) => summary.resources.iter().map(|s| s.rss).max().map(float),
        Metric::Broker(BrokerFigure::DescriptorsMax) => resources::descriptors_max(&summary.resources).map(f64::from),
        Metric::Broker(BrokerFigure::ThreadsMax) => resources::threads_max(&summary.resources).map(f64::from),
        Metric::Broker(BrokerFigure::WrittenPerMessage) => written_per_message(verdicts, summary),
        Metric::HarnessSlipP99 => {
            summary.harness.slip.as_ref().filter(|h| !h.is_empty()).map(|h| seconds(h.value_at_percentile(99.0)))
        }
    }
}

/// Broker CPU seconds by message delivered; none if either is unknown or nothing was delivered.
pub(super) fn cpu_per_message(verdicts: &Verdicts, summary: &Summary) -> Option<f64> {
    Some(to_nanos(summary.broker_cpu?.as_secs_f64() / delivered(verdicts, summary)?))
}

/// Bytes that the broker wrote to storage by message delivered, to a thousandth; none if either is unknown or nothing was delivered.
pub(super) fn written_per_message(verdicts: &Verdicts, summary: &Summary) -> Option<f64> {
    let written = float(resources::written(&summary.resources)?);
    Some(resources::thousandths(written / delivered(verdicts, summary)?))
}

fn delivered(verdicts: &Verdicts, summary: &Summary) -> Option<f64> {
    total_counts(summary, verdicts).delivered.filter(|n| *n > 0).map(float)
}

/// The group of that name with its index, or all of them.
fn chosen<'a>(
    promises: &'a Promises,
    summary: &'a Summary,
    name: Option<&'a str>,
) -> impl Iterator<Item = (usize, &'a GroupSummary)> {
    let named = move |index: usize| promises.groups.get(index).is_some_and(|g| name.is_none_or(|name| g.name == name));
    summary.groups.iter().enumerate().filter(move |(index, _)| named(*index))
}

/// One latency's histograms from the intended time, merged; none if there are no values.
pub(super) fn merge<'a>(groups: impl Iterator<Item = &'a GroupSummary>, latency: Latency) -> Option<Histogram<u64>> {
    merge_histograms(groups.flat_map(|g| &g.latencies).filter(|l| l.latency == latency).map(|l| &l.intended))
}

/// Histograms merged; none if there are no values.
pub(super) fn merge_histograms<'a>(all: impl Iterator<Item = &'a Histogram<u64>>) -> Option<Histogram<u64>> {
    let mut merged = Histogram::<u64>::new(3).expect("3 significant digits are in range");
    merged.auto(true);
    for histogram in all {
        merged.add(histogram).expect("a histogram that resizes takes every value");
    }
    (!merged.is_empty()).then_some(merged)
}

/// A group's counts: the summary's, and where it cannot know, the judge's.
pub(super) fn counts(index: usize, group: &GroupSummary, verdicts: &Verdicts) -> Counts {
    let mut counts = Counts::default();
    for (count, value) in &group.counts {
        *counts.get_mut(*count) = *value;
    }
    counts.lost = counts.lost.or_else(|| verdicts.lost_by_group.get(index).copied());
    counts.duplicated = counts.duplicated.or_else(|| verdicts.duplicated_by_group.get(index).copied());
    counts
}

/// All groups' counts added up; none where no group's is known.
pub(super) fn total_counts(summary: &Summary, verdicts: &Verdicts) -> Counts {
    let mut total = Counts::default();
    for (index, group) in summary.groups.iter().enumerate() {
        let part = counts(index, group, verdicts);
        for count in Count::ALL {
            let sum = match (total.get(count), part.get(count)) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                (a, b) => a.or(b),
            };
            *total.get_mut(count) = sum;
        }
    }
    total
}
