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
    /// The sensor's clock was right then, and gains this many parts per billion. Beats and duty cycles are by that clock.
    right_at: Instant,
    gains: i64,
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
            right_at: from,
            gains: 0,
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

    /// The same by a clock that was right at the schedule's beginning and gains so many parts per billion (below zero: loses), at
    /// most a tenth. To be called before anything else.
    #[must_use]
    pub fn with_clock(mut self, gains: i64) -> Self {
        self.gains = gains;
        self
    }

    /// The time at which the sensor's clock shows `local`.
    fn really(&self, local: Instant) -> Instant {
        // Rounded up, so that then the clock shows it, and not a nanosecond less.
        scaled(self.right_at, local, BILLION, BILLION.saturating_add_signed(self.gains), u128::div_ceil)
    }

    /// What the sensor's clock shows at `now`.
    fn by_its_clock(&self, now: Instant) -> Instant {
        scaled(self.right_at, now, BILLION.saturating_add_signed(self.gains), BILLION, u128::div_euclid)
    }

    /// When the next message is due; none when there are no more.
    #[must_use]
    pub fn peek(&self) -> Option<Instant> {
        // On the grid, rounded up, so that a load loop's tick finds it exactly then.
        let beat = self.really(self.beat);
        let on_grid = Instant::from_nanos(beat.as_nanos().div_ceil(self.tick).saturating_mul(self.tick));
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
        let (off, change) = self.duty_by_its_clock(self.by_its_clock(now))?;
        Some((off, self.really(change)))
    }

    fn duty_by_its_clock(&self, local: Instant) -> Option<(bool, Instant)> {
        let duty = self.duty?;
        let cycle = nanos(duty.on + duty.off);
        let into = nanos(local.since(self.duty_phase)) % cycle;
        let off = into >= nanos(duty.on);
        let rest = if off { cycle - into } else { nanos(duty.on) - into };
        Some((off, local + Duration::from_nanos(rest)))
    }

    fn next_beat(&mut self) {
        self.beat += match self.rhythm {
            Rhythm::Every(period) => period,
            Rhythm::Poisson(mean) => self.stream.exponential(mean),
        };
    }

    fn skip_off_times(&mut self) {
        while self.really(self.beat) < self.until && self.duty_by_its_clock(self.beat).is_some_and(|(off, _)| off) {
            self.next_beat();
        }
    }
}

const BILLION: u64 = 1_000_000_000;

/// `from`, and the time from there to `at` times `by / over`, rounded as `divide` does; unchanged before it.
fn scaled(from: Instant, at: Instant, by: u64, over: u64, divide: impl Fn(u128, u128) -> u128) -> Instant {
    if by == over || at <= from {
        return at;
    }
    let span = divide(u128::from(nanos(at.since(from))) * u128::from(by), u128::from(over));
    from + Duration::from_nanos(u64::try_from(span).unwrap_or(u64::MAX))
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
        let t = times(&Spec { rhythm: Rhythm::Every(every), burst: 1, duty: None, drift: 0 }, 10_000);
        assert_eq!(t.len(), 100);
        assert!(t.windows(2).all(|w| w[1].since(w[0]) == every));
    }

    #[test]
    fn a_fast_clock_brings_more_messages() {
        let spec = |duty| Spec { rhythm: Rhythm::Every(Duration::from_secs(1)), burst: 1, duty, drift: 0 };
        let first_and_count = |gains: i64| {
            let stream = Stream::named(3, &["s"]);
            let (from, until) = (Instant::from_millis(5_000), Instant::from_millis(105_000));
            let mut s = Schedule::new(&spec(None), stream, from, until, TICK).with_clock(gains);
            let (mut count, mut last) = (0, Instant::ZERO);
            while let Some(t) = s.peek() {
                (count, last) = (count + 1, t);
                s.advance();
            }
            (count, last)
        };
        let (right, last) = first_and_count(0);
        assert_eq!(right, 100);
        assert_eq!([first_and_count(100_000_000).0, first_and_count(-100_000_000).0], [110, 90]);
        // 50 ppm over the 99 s and something that have passed.
        let gained = last.since(first_and_count(50_000).1);
        assert!((4..=6).contains(&gained.as_millis()), "{gained:?}");
        let duty = Duty { on: Duration::from_secs(1), off: Duration::from_secs(3), disconnect: false };
        let stream = Stream::named(3, &["s"]);
        let s = Schedule::new(&spec(Some(duty)), stream, Instant::ZERO, Instant::FAR, TICK).with_clock(100_000_000);
        let (_, first) = s.duty_at(Instant::ZERO).expect("a duty cycle");
        let (off, second) = s.duty_at(first).expect("a duty cycle");
        let expected = if off { 3.0 } else { 1.0 } / 1.1;
        assert!((second.since(first).as_secs_f64() - expected).abs() < 1e-6);
    }

    #[test]
    fn poisson_has_its_mean_and_sits_on_the_grid() {
        let mean = Duration::from_millis(100);
        let t = times(&Spec { rhythm: Rhythm::Poisson(mean), burst: 1, duty: None, drift: 0 }, 1_000_000);
        assert!((9_700..10_300).contains(&t.len()), "{}", t.len()); // three standard deviations
        assert!(t.iter().all(|t| t.as_nanos() % 1_000_000 == 0));
    }

    #[test]
    fn bursts_come_together_and_off_times_are_silent() {
        let duty = Duty { on: Duration::from_secs(1), off: Duration::from_secs(3), disconnect: false };
        let spec = Spec { rhythm: Rhythm::Every(Duration::from_millis(100)), burst: 3, duty: Some(duty), drift: 0 };
        let t = times(&spec, 40_000);
        assert!((290..=310).contains(&t.len()), "a quarter of 400 beats, three each: {}", t.len());
        assert!(t.chunks(3).all(|c| c[0] == c[2]));
        let s = Schedule::new(&spec, Stream::named(3, &["s"]), Instant::ZERO, Instant::from_millis(40_000), TICK);
        assert!(t.iter().all(|&t| !s.duty_at(t - TICK).is_some_and(|(off, until)| off && until > t)));
    }
}
