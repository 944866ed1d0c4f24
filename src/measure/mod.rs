//! What was measured: latency histograms, counts, time series.
//!
//! It knows [`crate::trace`], [`crate::promise`] and [`crate::time`] alone.

mod receivers;
mod recorder;
pub mod summary;

#[cfg(test)]
mod tests;

pub use recorder::Recorder;

/// The percentiles that reports show; 100 is the largest value.
pub const PERCENTILES: [f64; 8] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];

/// An empty latency histogram: nanoseconds, 3 digits, growing as needed.
#[must_use]
pub fn histogram() -> hdrhistogram::Histogram<u64> {
    hdrhistogram::Histogram::new(3).expect("three digits are legal")
}

/// A histogram for one interval of a series: 2 digits from 1 us on, so that thousands of them fit (about 20 KiB each).
#[must_use]
pub fn coarse_histogram() -> hdrhistogram::Histogram<u64> {
    let mut h = hdrhistogram::Histogram::new_with_bounds(1_000, 4_000, 2).expect("legal bounds");
    h.auto(true);
    h
}
