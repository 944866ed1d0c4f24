//! When to connect again: exponential back-off with jitter.

use crate::scenario::model::Reconnect;
use crate::seed::Stream;
use crate::time::Duration;

/// One client's back-off: `first`, then twice as long each time up to `longest`, each multiplied by a number drawn
/// evenly from `1 - jitter ..= 1 + jitter`.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: Reconnect,
    failures: u32,
    /// Failures before the last connection was made.
    before: u32,
    stream: Stream,
}

impl Backoff {
    /// A back-off that has not failed yet.
    #[must_use]
    pub fn new(policy: Reconnect, stream: Stream) -> Self {
        Self { policy, failures: 0, before: 0, stream }
    }

    /// A connection was made: the next wait is the first one again.
    pub fn reset(&mut self) {
        self.before = std::mem::take(&mut self.failures);
    }

    /// The connection was made only to be sent away: it is one more failure after those before it.
    pub fn sent_away(&mut self) {
        self.failures = self.failures.max(self.before);
    }

    /// How long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let doublings = self.failures.min(31);
        self.failures += 1;
        let plain = self.policy.first.saturating_mul(1 << doublings).min(self.policy.longest);
        let factor = 1.0 + self.policy.jitter * (2.0 * self.stream.unit() - 1.0);
        plain.mul_f64(factor.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again() {
        let policy = Reconnect { first: Duration::from_secs(1), longest: Duration::from_secs(5), jitter: 0.0 };
        let mut b = Backoff::new(policy, Stream::named(1, &["b"]));
        let secs: Vec<u64> = (0..5).map(|_| b.next_wait().as_secs()).collect();
        assert_eq!(secs, [1, 2, 4, 5, 5]);
        b.reset();
        assert_eq!(b.next_wait().as_secs(), 1);
    }

    #[test]
    fn a_connection_that_is_sent_away_is_a_failure() {
        let policy = Reconnect { first: Duration::from_secs(1), longest: Duration::from_secs(5), jitter: 0.0 };
        let mut b = Backoff::new(policy, Stream::named(1, &["b"]));
        let mut sent_away = || {
            b.reset();
            b.sent_away();
            b.next_wait().as_secs()
        };
        assert_eq!([sent_away(), sent_away(), sent_away(), sent_away(), sent_away()], [1, 2, 4, 5, 5]);
        b.reset();
        assert_eq!(b.next_wait().as_secs(), 1, "one that lasted ends the row");
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let policy = Reconnect { first: Duration::from_secs(10), longest: Duration::from_secs(10), jitter: 0.5 };
        let mut b = Backoff::new(policy, Stream::named(1, &["b"]));
        let waits: Vec<f64> = (0..1000).map(|_| b.next_wait().as_secs_f64()).collect();
        assert!(waits.iter().all(|w| (5.0..=15.0).contains(w)));
        assert!(waits.iter().any(|w| *w < 6.0) && waits.iter().any(|w| *w > 14.0));
    }
}
