//! When messages are due: an open loop that no answer of the broker can slow down.

use crate::scenario::model::{Duty, Rhythm, Schedule as Spec};
use crate::seed::Stream;
use crate::time::{Duration, Instant, nanos};

/// The instants at which one sensor's messages are due, in order. Computed from its stream alone, so that the same
/// seed gives the same instants, whatever happens to the sensor.
#[derive(Clone, Debug)]
pub struct Schedule {
    rhythm: Rhythm,
    burst: u32,
    duty: Option<Duty>,
    duty_phase: Instant,
    tick: u64,
    until: Instant,
    stream: Stream,
    /// The current beat, and how many of its burst are still to come.
    beat: Instant,
    left: u32,
}

impl Schedule {
    /// A schedule from `from` (excluded times before it) to `until` (excluded), on a grid of `tick`.
    #[must_use]
    pub fn new(spec: &Spec, mut stream: Stream, from: Instant, until: Instant, tick: Duration) -> Self {
        let (Rhythm::Every(length) | Rhythm::Poisson(length)) = spec.rhythm;
        let phase = stream.duration_below(length);
        let duty_phase = spec.duty.map_or(Duration::ZERO, |d| stream.duration_below(d.on + d.off));
        let mut schedule = Self {
            rhythm: spec.rhythm,
            burst: spec.burst,
            duty: spec.duty,
            duty_phase: from - duty_phase,
            tick: nanos(tick).max(1),
            until,
            beat: from,
            left: spec.burst,
            stream,
        };
        schedule.beat = match spec.rhythm {
            Rhythm::Every(_) => from + phase,
            Rhythm::Poisson(mean) => from + schedule.stream.exponential(mean),
        };
        schedule.skip_off_times();
        schedule
    }

    /// When the next message is due; none when there are no more.
    #[must_use]
    pub fn peek(&self) -> Option<Instant> {
        // On the grid, rounded up, so that a load loop's tick finds it exactly then.
        let on_grid = Instant::from_nanos(self.beat.as_nanos().div_ceil(self.tick).saturating_mul(self.tick));
        (on_grid < self.until).then_some(on_grid)
    }

    /// Nothing is due from `at` on.
    pub fn end_at(&mut self, at: Instant) {
        self.until = self.until.min(at);
    }

    /// Takes the next message off the schedule.
    pub fn advance(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.left = self.burst;
            self.next_beat();
            self.skip_off_times();
        }
    }

    /// True while the duty cycle is off; with the instant at which that changes.
    #[must_use]
    pub fn duty_at(&self, now: Instant) -> Option<(bool, Instant)> {
        let duty = self.duty?;
        let cycle = nanos(duty.on + duty.off);
        let into = nanos(now.since(self.duty_phase)) % cycle;
        let off = into >= nanos(duty.on);
        let rest = if off { cycle - into } else { nanos(duty.on) - into };
        Some((off, now + Duration::from_nanos(rest)))
    }

    fn next_beat(&mut self) {
        self.beat += match self.rhythm {
            Rhythm::Every(period) => period,
            Rhythm::Poisson(mean) => self.stream.exponential(mean),
        };
    }

    fn skip_off_times(&mut self) {
        while self.beat < self.until && self.duty_at(self.beat).is_some_and(|(off, _)| off) {
            self.next_beat();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn times(spec: &Spec, until: u64) -> Vec<Instant> {
        let mut s = Schedule::new(spec, Stream::named(3, &["s"]), Instant::ZERO, Instant::from_millis(until), TICK);
        let mut out = vec![];
        while let Some(t) = s.peek() {
            out.push(t);
            s.advance();
        }
        out
    }

    #[test]
    fn a_fixed_period_keeps_its_phase_and_never_drifts() {
        let every = Duration::from_millis(100);
        let t = times(&Spec { rhythm: Rhythm::Every(every), burst: 1, duty: None }, 10_000);
        assert_eq!(t.len(), 100);
        assert!(t.windows(2).all(|w| w[1].since(w[0]) == every));
    }

    #[test]
    fn poisson_has_its_mean_and_sits_on_the_grid() {
        let mean = Duration::from_millis(100);
        let t = times(&Spec { rhythm: Rhythm::Poisson(mean), burst: 1, duty: None }, 1_000_000);
        assert!((9_700..10_300).contains(&t.len()), "{}", t.len()); // three standard deviations
        assert!(t.iter().all(|t| t.as_nanos() % 1_000_000 == 0));
    }

    #[test]
    fn bursts_come_together_and_off_times_are_silent() {
        let duty = Duty { on: Duration::from_secs(1), off: Duration::from_secs(3), disconnect: false };
        let spec = Spec { rhythm: Rhythm::Every(Duration::from_millis(100)), burst: 3, duty: Some(duty) };
        let t = times(&spec, 40_000);
        assert!((290..=310).contains(&t.len()), "a quarter of 400 beats, three each: {}", t.len());
        assert!(t.chunks(3).all(|c| c[0] == c[2]));
        let s = Schedule::new(&spec, Stream::named(3, &["s"]), Instant::ZERO, Instant::from_millis(40_000), TICK);
        assert!(t.iter().all(|&t| !s.duty_at(t - TICK).is_some_and(|(off, until)| off && until > t)));
    }
}
