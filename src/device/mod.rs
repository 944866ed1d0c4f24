//! One simulated client: a sensor or a subscriber, as a state machine without input, output or clock.

pub mod backoff;
mod deeds;
pub mod facts;
mod hello;
pub mod identity;
mod io;
mod machine;
pub mod outbox;
pub mod plan;
mod reading;
pub mod schedule;
mod unanswered;

pub use deeds::Deed;
pub use io::{Closed, Io, Want};
pub use machine::Device;
