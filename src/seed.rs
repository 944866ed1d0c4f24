//! One seed, many named random streams.
//!
//! A stream is named after the entity that draws from it (`["meter", "17", "up"]`), so that taking one
//! sensor away leaves every other sensor's draws as they were. The generator's output is pinned
//! (PCG XSL 128/64 MCG), and sampling is our own integer arithmetic, so that the same seed gives the same
//! run on any machine and with any later version of `rand`.

use crate::time::Duration;
use rand_core::Rng as _;
use rand_pcg::Pcg64Mcg;

/// A named stream of random numbers; 16 bytes.
#[derive(Clone, Debug)]
pub struct Stream(Pcg64Mcg);

impl Stream {
    /// The stream called `name` under `seed`. Equal arguments give equal streams.
    #[must_use]
    pub fn named(seed: u64, name: &[&str]) -> Self {
        let mut low = mix(seed ^ 0x9E37_79B9_7F4A_7C15);
        let mut high = mix(seed.wrapping_add(0xD1B5_4A32_D192_ED03));
        for part in name {
            for byte in part.bytes().chain([0xFF]) {
                low = mix(low ^ u64::from(byte));
                high = mix(high.wrapping_add(low));
            }
        }
        Self(Pcg64Mcg::new((u128::from(high) << 64) | u128::from(low)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An integer in `0..bound`, without bias (Lemire's method). `bound` 0 gives 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let threshold = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            #[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number in `0.0..1.0`, on a grid of 2^-53.
    #[allow(clippy::cast_precision_loss)]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with probability `p` (0 to 1). Draws even where the answer is certain, so that streams stay aligned.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A duration in `0..bound`.
    pub fn duration_below(&mut self, bound: Duration) -> Duration {
        Duration::from_nanos(self.below(crate::time::nanos(bound)))
    }

    /// An exponentially distributed duration of the given mean (inverse transform, `libm::log`).
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        let u = 1.0 - self.unit(); // in (0, 1], so that the logarithm is finite
        mean.mul_f64(-libm::log(u))
    }

    /// A standard normal number (Box-Muller with `libm`; one of the pair is thrown away, so that streams stay aligned).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.unit())
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): every input bit moves every output bit.
const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of a stream are part of the contract: a recorded seed must replay for ever.
    #[test]
    fn output_is_pinned() {
        let mut s = Stream::named(7, &["meter", "17", "up"]);
        let first: Vec<u64> = (0..3).map(|_| s.below(1000)).collect();
        assert_eq!(first, PINNED);
    }
    const PINNED: [u64; 3] = [816, 614, 815];

    #[test]
    fn names_do_not_run_together() {
        let draw = |name: &[&str]| Stream::named(1, name).bits();
        assert_ne!(draw(&["ab", "c"]), draw(&["a", "bc"]));
        assert_ne!(draw(&["a"]), draw(&["a", ""]));
    }

    #[test]
    fn below_stays_below() {
        let mut s = Stream::named(1, &["x"]);
        assert!((0..10_000).all(|_| s.below(3) < 3));
        assert_eq!(s.below(0), 0);
    }
}
