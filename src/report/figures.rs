//! Figures and percentile curves of histograms.

use super::metric::{float, seconds, to_nanos};
use super::model::{CurvePoint, Figures};
use hdrhistogram::Histogram;

/// Points of a percentile curve for each factor of ten of `1 / (1 - p)`.
const POINTS_A_DECADE: u32 = 12;

/// The figures of a histogram of nanoseconds; none if it is empty.
#[must_use]
pub fn figures(histogram: &Histogram<u64>) -> Option<Figures> {
    if histogram.is_empty() {
        return None;
    }
    let at = |percentile: f64| seconds(histogram.value_at_percentile(percentile));
    let count = histogram.len();
    Some(Figures {
        count,
        min: seconds(histogram.min()),
        mean: to_nanos(histogram.mean() / 1e9),
        p50: at(50.0),
        p75: at(75.0),
        p90: at(90.0),
        p95: at(95.0),
        p99: at(99.0),
        p999: (count >= 1_000).then(|| at(99.9)),
        p9999: (count >= 10_000).then(|| at(99.99)),
        max: seconds(histogram.max()),
    })
}

/// Latency by percentile, evenly spaced in `log10(1 / (1 - p))`, up to the percentile which one single value of the
/// histogram stands for; the last point is the largest value.
#[must_use]
pub fn curve(histogram: &Histogram<u64>) -> Vec<CurvePoint> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let mut points = Vec::new();
    for step in 0.. {
        let tail = libm::pow(10.0, -f64::from(step) / f64::from(POINTS_A_DECADE));
        if tail * float(histogram.len()) <= 1.0 {
            break;
        }
        let percentile = 100.0 * (1.0 - tail);
        points.push(CurvePoint { percentile, seconds: seconds(histogram.value_at_percentile(percentile)) });
    }
    let percentile = 100.0 * (1.0 - 1.0 / float(histogram.len()));
    points.push(CurvePoint { percentile, seconds: seconds(histogram.max()) });
    points
}
