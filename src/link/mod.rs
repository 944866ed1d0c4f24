//! A link between one sensor and its gateway: IP packets between two TCP stacks, through a channel that has a rate, a
//! delay, jitter, loss, a finite queue and outages.
//!
//! [`Path`] is the whole of it, without input, output or clock: the runner joins its gateway end to a kernel socket,
//! virtual time to the broker's core.

mod channel;
mod path;
pub mod profile;
pub mod spec;
mod stack;

pub use path::{GatewayEvent, Path, SensorState};
