//! How much larger one broker's figure is than another's, from repeats that were run in pairs.

use super::tables::factor;
use serde::{Deserialize, Serialize};

/// Pairs from which an interval is given; with fewer, the plain range stands.
pub const ENOUGH: usize = 6;

/// A ratio, new to base, over pairs of runs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ratio {
    /// Pairs with a figure above 0 on both sides.
    pub pairs: usize,
    /// Geometric mean of the pairs' ratios.
    pub middle: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// True: the 95 % confidence interval of the mean; false: the least and the largest ratio seen.
    pub interval: bool,
}

impl Ratio {
    /// From pairs (base, new). Ratios are compared by their logarithms, whose mean has an interval by Student's t:
    /// a figure twice and one half as large are equally far from "no difference". None without a pair to compare.
    #[must_use]
    pub fn of(pairs: impl IntoIterator<Item = (Option<f64>, Option<f64>)>) -> Option<Self> {
        let logs: Vec<f64> = pairs
            .into_iter()
            .filter_map(|(base, new)| Some((base.filter(|x| *x > 0.0)?, new.filter(|x| *x > 0.0)?)))
            .map(|(base, new)| libm::log(new / base))
            .collect();
        if logs.is_empty() {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "a few repeats")]
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        let interval = logs.len() >= ENOUGH;
        let (low, high) = if interval {
            let variance = logs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
            let half = student_t(logs.len() - 1) * libm::sqrt(variance / n);
            (mean - half, mean + half)
        } else {
            (logs.iter().copied().fold(f64::INFINITY, f64::min), logs.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        };
        Some(Self { pairs: logs.len(), middle: libm::exp(mean), low: libm::exp(low), high: libm::exp(high), interval })
    }

    /// True if 1 lies outside, also as the ends are printed ("1.00 to 1.02 times" is no difference to a reader): the sides differ by more
    /// than their noise. A plain range of few repeats proves nothing.
    #[must_use]
    pub fn differs(&self) -> bool {
        let is_beside_one = |end: f64| factor(end) != factor(1.0);
        self.interval && (self.low > 1.0 && is_beside_one(self.low) || self.high < 1.0 && is_beside_one(self.high))
    }
}

/// The 97.5 % quantile of Student's t: table to 30 degrees of freedom (Abramowitz and Stegun, table 26.10), beyond it the
/// first term of the expansion about the normal quantile (26.7.5).
fn student_t(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    let z = 1.959_964;
    #[allow(clippy::cast_precision_loss, reason = "a count of repeats")]
    TABLE.get(degrees.saturating_sub(1)).copied().unwrap_or_else(|| z + (z * z * z + z) / (4.0 * degrees as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(ratios: &[f64]) -> Option<Ratio> {
        Ratio::of(ratios.iter().map(|r| (Some(2.0), Some(2.0 * r))))
    }

    #[test]
    fn six_pairs_have_an_interval_and_five_a_range() {
        let r = pairs(&[2.0, 2.2, 2.4, 2.1, 2.3, 2.5]).expect("six pairs");
        // By hand: logs have mean 0.80788 and standard deviation 0.08349; t = 2.571; half width 0.08763.
        assert!(r.interval && r.differs());
        assert!((r.middle - 2.2431).abs() < 1e-3, "{r:?}");
        assert!((r.low - 2.0549).abs() < 1e-3 && (r.high - 2.4486).abs() < 1e-3, "{r:?}");
        let r = pairs(&[2.0, 2.2, 2.4, 2.1, 2.5]).expect("five pairs");
        assert!(!r.interval && !r.differs());
        assert!((r.low - 2.0).abs() < 1e-9 && (r.high - 2.5).abs() < 1e-9);
    }

    #[test]
    fn no_winner_where_the_interval_spans_one() {
        let r = pairs(&[0.8, 1.3, 0.9, 1.2, 1.0, 1.1]).expect("six pairs");
        assert!(r.interval && r.low < 1.0 && r.high > 1.0 && !r.differs(), "{r:?}");
    }

    /// An interval whose end reads 1.00 is none beside 1, on either side of it.
    #[test]
    fn no_winner_where_the_interval_as_printed_reaches_one() {
        for (all, differs) in [(1.001, false), (1.0049, false), (0.9951, false), (1.0051, true), (0.9949, true)] {
            let r = pairs(&[all; 6]).expect("six pairs");
            assert!(r.interval && (r.low > 1.0 || r.high < 1.0), "1 lies outside: {r:?}");
            assert_eq!(r.differs(), differs, "{r:?}");
        }
        let r = Ratio { pairs: 6, middle: 1.02, low: 1.004, high: 1.04, interval: true };
        assert!(!r.differs());
        assert_eq!(super::super::tables::says(&r), "no difference seen (1.00 to 1.04)");
        let r = Ratio { low: 0.97, high: 0.996, ..r };
        assert!(!r.differs());
        let r = Ratio { low: 1.006, ..r };
        assert!(r.differs(), "printed as 1.01");
    }

    #[test]
    fn what_was_not_measured_makes_no_pair() {
        assert_eq!(Ratio::of([(None, Some(1.0)), (Some(1.0), None), (Some(0.0), Some(1.0))]), None);
        assert_eq!(Ratio::of([(None, Some(1.0)), (Some(1.0), Some(3.0))]).map(|r| r.pairs), Some(1));
    }

    /// The interval covers the truth about 95 times in 100, for ratios whose logarithms are normal.
    #[test]
    fn the_interval_covers_what_it_says() {
        let mut stream = crate::seed::Stream::named(1, &["ratio"]);
        let mut uniform = || (stream.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let rounds = 4_000;
        let covered = (0..rounds).filter(|_| {
            let r = Ratio::of((0..6).map(|_| (Some(1.0), Some(libm::exp(0.3 + 0.2 * normal()))))).expect("six");
            (r.low..=r.high).contains(&libm::exp(0.3))
        });
        let share = covered.count() as f64 / f64::from(rounds);
        assert!((0.935..=0.965).contains(&share), "{share}");
    }
}
