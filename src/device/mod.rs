//! One simulated client: a sensor or a subscriber, as a state machine without input, output or clock.

pub mod backoff;
pub mod identity;
pub mod schedule;
