//! The reference broker: MQTT 3.1, 3.1.1 and 5.0 without input, output or clock; [`server`] puts it on sockets.
//!
//! It emits no trace: it is judged from outside, as any broker. [`defects`] are deliberate bugs that the judges must
//! catch by name.

mod connect;
mod connection;
mod core;
pub mod defects;
mod message;
mod publish;
mod router;
pub mod server;
mod session;
mod subscribe;

pub use core::{Broker, ConnId, Output};

use defects::Defects;

/// What a broker is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Highest QoS granted and accepted, 0 to 2.
    pub max_qos: u8,
    /// Messages kept for a session beyond its window; the newest goes when it is full.
    pub queue_limit: usize,
    /// Largest packet accepted, bytes.
    pub max_packet: u32,
    /// QoS 1 and 2 messages in flight to a client that names no Receive Maximum.
    pub window: u16,
    /// Bytes waiting for a slow reader beyond which QoS 0 messages to it are dropped.
    pub backlog: usize,
    /// 5.0: topic aliases accepted from a client.
    pub topic_alias_maximum: u16,
    /// 5.0: Receive Maximum told to clients.
    pub receive_maximum: u16,
    /// Deliberate bugs.
    pub defects: Defects,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_qos: 2,
            queue_limit: 100_000,
            max_packet: 16 << 20,
            window: 64,
            backlog: 1 << 20,
            topic_alias_maximum: 32,
            receive_maximum: 1024,
            defects: Defects::default(),
        }
    }
}
