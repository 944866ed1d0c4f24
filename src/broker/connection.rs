//! One network connection, as the broker's core sees it.

use super::message::Message;
use crate::mqtt::Version;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// How long a connection may take to send its CONNECT ([MQTT-3.1.4] leaves the time to the server; *assumed*).
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Its session; none before CONNECT.
    pub session: Option<u32>,
    pub version: Version,
    /// Bytes of a packet that has not come whole.
    pub partial: Vec<u8>,
    /// Bytes to be sent.
    pub out: Vec<u8>,
    /// It is in the list of those with output.
    pub dirty: bool,
    /// It is to be closed when its output is written; nothing more is read from it.
    pub closing: bool,
    /// A defect: it is read from, and never answered.
    pub frozen: bool,
    /// One and a half times its keep alive; zero: none.
    pub patience: Duration,
    pub last_heard: Instant,
    /// QoS 1 and 2 messages that may be in flight to it.
    pub window: usize,
    /// The largest packet it accepts.
    pub max_packet: usize,
    /// Topic aliases it has set.
    pub aliases: BTreeMap<u16, Box<str>>,
    pub will: Option<Will>,
}

/// A will that waits.
#[derive(Clone, Debug)]
pub(super) struct Will {
    pub message: Message,
    pub delay: u32,
}

impl Connection {
    pub fn new(now: Instant, window: u16) -> Self {
        Self {
            session: None,
            version: Version::V311,
            partial: Vec::new(),
            out: Vec::new(),
            dirty: false,
            closing: false,
            frozen: false,
            patience: CONNECT_TIMEOUT,
            last_heard: now,
            window: usize::from(window),
            max_packet: usize::MAX,
            aliases: BTreeMap::new(),
            will: None,
        }
    }

    /// When it has been silent for too long.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.patience.is_zero()).then(|| self.last_heard + self.patience)
    }
}
