//! Verdict and measure, side by side.

use crate::measure::Recorder;
use crate::promise::{Count, Promises};
use crate::time::{Duration, Instant};
use crate::trace::{Event, What};
use crate::verdict::Judge;
use std::sync::Arc;

/// Those who look at events.
pub(super) struct Judges {
    pub judge: Judge,
    pub recorder: Recorder,
    /// The last event that was about a message.
    pub last_activity: Instant,
}

/// What they have seen so far, for a display.
#[derive(Clone, Copy, Default)]
pub(super) struct Figures {
    pub connected: u64,
    pub sent: u64,
    pub acked: u64,
    pub delivered: u64,
    pub owed: u64,
    pub breaches: u64,
}

impl Judges {
    pub fn new(promises: &Arc<Promises>, width: Duration) -> Self {
        Self {
            judge: Judge::new(Arc::clone(promises)),
            recorder: Recorder::new(promises, width),
            last_activity: Instant::ZERO,
        }
    }

    pub fn look_at(&mut self, events: &[Event]) {
        for event in events {
            self.judge.observe(event);
            self.recorder.observe(event);
            if matches!(event.what, What::Sent(_) | What::Acked { .. } | What::Delivered(_) | What::Connected { .. }) {
                self.last_activity = event.seen;
            }
        }
    }

    pub fn figures(&self) -> Figures {
        Figures {
            connected: self.recorder.connected(),
            sent: self.recorder.total(Count::Sent),
            acked: self.recorder.total(Count::Acked),
            delivered: self.recorder.total(Count::Delivered),
            owed: self.judge.owed(),
            breaches: self.judge.breaches(),
        }
    }
}
