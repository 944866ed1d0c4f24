//! A link of one sensor: IP packets between two TCP stacks, through a channel that has a rate, a delay, jitter, loss, a
//! finite queue and outages.
//!
//! Without input, output or clock. Who speaks TCP at its ends is an [`Engine`]: [`Path`] is the whole of a link between two
//! smoltcp stacks (the runner joins its gateway end to a kernel socket, virtual time to the broker's core); [`OpenPath`] ends in
//! packets, for a kernel to answer; [`Channels`] are the link alone, between two kernels.

pub mod capture;
mod channel;
mod channels;
mod engine;
mod loss;
mod open;
mod path;
pub mod profile;
mod sensor;
pub mod spec;
mod stack;
pub mod trace;

pub use channels::Channels;
pub use engine::{Engine, SensorSide};
pub use open::OpenPath;
pub use path::{GatewayEvent, Path};
pub use sensor::SensorState;
