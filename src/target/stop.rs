//! Whether somebody wants an early end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// How often an early end was asked for. Clones count as one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// Asks once more; how often it was asked before.
    pub fn ask(&self) -> u8 {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_add(1))).unwrap_or(u8::MAX)
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// The same in words, for whoever waits for something else: none as long as nobody asked.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        (self.asked() > 0).then(|| "stopped by the user".to_owned())
    }
}
