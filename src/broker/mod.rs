//! The reference broker: MQTT 3.1, 3.1.1 and 5.0 without input, output or clock; [`server`] puts it on sockets.
//!
//! It emits no trace: it is judged from outside, as any broker. [`defects`] are deliberate bugs that the judges must
//! catch by name; the calls that let them strike are in `sabotage` and few other places.

pub mod access;
mod config;
mod connect;
mod connection;
mod core;
pub mod defects;
mod deliver;
mod disk;
mod journal;
mod life;
mod message;
mod notes;
mod publish;
mod restore;
mod retained;
mod router;
mod sabotage;
pub mod server;
mod session;
mod subscribe;
mod sys;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use core::{Broker, ConnId, Output, Work};
pub use disk::Sync;
pub use journal::{Changes, Records};
