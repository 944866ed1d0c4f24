//! What the broker's process tree used, over time: a small chart each, so that a fault can be followed down the page.

use super::axis::{self, Axis};
use super::frame::{Ink, svg};
use super::{Chart, chart, marks, time_axis};
use crate::report::metric::float;
use crate::report::model::{BrokerSample, Report};

/// Samples further apart than this are not joined: the broker was not there (*assumed*; it is looked at each second).
const GAP: f64 = 2.5;

/// Room above the largest value, for the words of the drain.
const ROOM: f64 = 1.1;

/// A chart's place and title, its height, its axis for the largest value with some room above it, its ink, and the value of a sample.
struct Part {
    id: &'static str,
    title: &'static str,
    height: i32,
    axis: fn(f64) -> Axis,
    ink: Ink,
    value: fn(&BrokerSample) -> Option<f64>,
}

const PARTS: [Part; 5] = [
    Part {
        id: "broker-cpu",
        title: "Broker: CPU, share of one core",
        height: 180,
        axis: |largest| axis::linear(largest.max(0.1), 4, |x| format!("{} %", axis::plain(x))),
        ink: Ink::Series(1),
        value: |s| s.cores.map(|c| c * 100.0),
    },
    Part {
        id: "broker-memory",
        title: "Broker: resident memory",
        height: 180,
        axis: |largest| axis::memory(largest, 5),
        ink: Ink::Series(0),
        value: |s| Some(float(s.rss)),
    },
    Part {
        id: "broker-written",
        title: "Broker: written to storage, a second",
        height: 150,
        axis: |largest| axis::memory(largest.max(1.0), 4),
        ink: Ink::Series(2),
        value: |s| s.written_per_second,
    },
    Part {
        id: "broker-descriptors",
        title: "Broker: open descriptors",
        height: 130,
        axis: whole,
        ink: Ink::Series(3),
        value: |s| s.descriptors.map(f64::from),
    },
    Part {
        id: "broker-threads",
        title: "Broker: threads",
        height: 130,
        axis: whole,
        ink: Ink::Series(5),
        value: |s| s.threads.map(f64::from),
    },
];

/// No label between whole numbers.
fn whole(largest: f64) -> Axis {
    axis::linear(largest.max(3.0), 3, axis::plain)
}

/// The broker's resources over time, a chart for each that could be seen; empty where its process cannot be.
#[must_use]
pub fn broker(report: &Report) -> Vec<Chart> {
    let samples = &report.broker.samples;
    if samples.len() < 2 {
        return Vec::new();
    }
    PARTS.iter().filter_map(|part| draw(report, part, samples)).collect()
}

fn draw(report: &Report, part: &Part, samples: &[BrokerSample]) -> Option<Chart> {
    let line: Vec<(f64, f64)> = samples.iter().filter_map(|s| Some((s.at, (part.value)(s)?))).collect();
    let largest = line.iter().map(|p| p.1).reduce(f64::max)?;
    let label = format!("Chart: {}, over the run, with faults marked. broker.csv has the figures.", part.title);
    let about = "All processes of the broker's tree.";
    let axis = (part.axis)(largest * ROOM);
    Some(chart(part.id, part.title, about, Vec::new(), part.height, |size| {
        svg(size, &time_axis(report, size), &axis, &label, |frame| {
            marks(frame, report);
            for piece in line.chunk_by(|a, b| b.0 - a.0 <= GAP) {
                frame.line(piece, part.ink, 18);
            }
        })
    }))
}
