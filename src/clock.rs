//! The only reader of the operating system's clocks.

use crate::time::{Duration, Instant, nanos};

/// The run's clock: monotonic time, counted from the moment it was made.
///
/// It also carries the offset to the wall clock, since the kernel stamps received data with
/// wall-clock time; [`Clock::resync`] measures it anew and tells of a step.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
    /// Wall-clock nanoseconds since 1970 at `origin`.
    wall_at_origin: u64,
}

#[allow(clippy::disallowed_methods, reason = "this module is the one reader of the OS clock")]
impl Clock {
    /// A clock whose time zero is now.
    #[must_use]
    pub fn start() -> Self {
        let mut clock = Self { origin: std::time::Instant::now(), wall_at_origin: 0 };
        clock.wall_at_origin = clock.measure_offset();
        clock
    }

    /// Now, in time of the run.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(nanos(self.origin.elapsed()))
    }

    /// Nanoseconds since 1970, by the wall clock.
    #[must_use]
    pub fn wall_nanos() -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, nanos)
    }

    /// A wall-clock stamp (nanoseconds since 1970) as time of the run.
    #[must_use]
    pub fn from_wall(&self, stamp: u64) -> Instant {
        Instant::from_nanos(stamp.saturating_sub(self.wall_at_origin))
    }

    /// Nanoseconds since 1970 at the run's time zero.
    #[must_use]
    pub fn wall_origin(&self) -> u64 {
        self.wall_at_origin
    }

    /// Measures the offset to the wall clock again and returns by how much it had moved.
    pub fn resync(&mut self) -> Duration {
        let offset = self.measure_offset();
        let moved = offset.abs_diff(self.wall_at_origin);
        self.wall_at_origin = offset;
        Duration::from_nanos(moved)
    }

    /// The least disturbed of five readings: wall time minus run time.
    fn measure_offset(&self) -> u64 {
        let mut best = (u64::MAX, 0);
        for _ in 0..5 {
            let before = self.now().as_nanos();
            let wall = Self::wall_nanos();
            let after = self.now().as_nanos();
            let width = after - before;
            if width < best.0 {
                best = (width, wall.saturating_sub(before + width / 2));
            }
        }
        best.1
    }
}
