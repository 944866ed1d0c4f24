//! What a broker is made with: what it offers, and where its patience ends.

use super::access::Access;
use super::defects::Defects;
use crate::mqtt::Version;
use crate::time::Duration;

/// What a broker is made with. Every queue and table has its limit here.
#[derive(Clone, Debug)]
pub struct Config {
    /// Highest QoS granted and accepted, 0 to 2.
    pub max_qos: u8,
    /// Retained messages are kept; if not, 5.0 clients are told, and 3.1.1's are handed on and not kept.
    pub retain: bool,
    /// A client without an identifier gets one; if not, it is refused.
    pub assigned_ids: bool,
    /// Messages kept for a session beyond its window; the newest goes when it is full.
    pub queue_limit: usize,
    /// Largest packet accepted, bytes.
    pub max_packet: u32,
    /// QoS 1 and 2 messages in flight to one client, whatever its Receive Maximum; found by linear search.
    pub window: u16,
    /// Bytes waiting for a slow reader beyond which nothing more is sent to it: QoS 0 is dropped, QoS 1 and 2 wait in its
    /// queue, and its own packets are not read.
    pub backlog: usize,
    /// Bytes of all messages, unfinished packets and unsent output together, beyond which new ones are refused.
    pub memory: usize,
    /// Connections at a time; further ones are closed at once.
    pub max_connections: usize,
    /// Sessions at a time, connected or away; further ones are refused.
    pub max_sessions: usize,
    /// Subscriptions of one session.
    pub max_subscriptions: usize,
    /// 5.0: topic aliases accepted from a client.
    pub topic_alias_maximum: u16,
    /// 5.0: topic aliases used towards a client, within its own Topic Alias Maximum.
    pub topic_aliases_used: u16,
    /// 5.0: Receive Maximum told to clients.
    pub receive_maximum: u16,
    /// Longest keep alive, seconds; 0 leaves it to the clients. 5.0 clients are told, earlier ones cannot be.
    pub keep_alive_maximum: u16,
    /// Longest life of a session without its client, seconds; `u32::MAX` leaves it to the clients.
    pub session_expiry_maximum: u32,
    /// How long a connection may take to send its CONNECT (section 3.1.4 leaves the time to the server; *assumed*).
    pub connect_timeout: Duration,
    /// MQTT versions served.
    pub versions: Vec<Version>,
    /// Who may do what.
    pub access: Access,
    /// Deliberate bugs.
    pub defects: Defects,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_qos: 2,
            retain: true,
            assigned_ids: true,
            queue_limit: 100_000,
            max_packet: 16 << 20,
            window: 64,
            backlog: 1 << 20,
            memory: 1 << 30,
            max_connections: 1_000_000,
            max_sessions: 1_000_000,
            max_subscriptions: 1000,
            topic_alias_maximum: 32,
            topic_aliases_used: 32,
            receive_maximum: 1024,
            keep_alive_maximum: 0,
            session_expiry_maximum: u32::MAX,
            connect_timeout: Duration::from_secs(30),
            versions: vec![Version::V31, Version::V311, Version::V5],
            access: Access::default(),
            defects: Defects::default(),
        }
    }
}
