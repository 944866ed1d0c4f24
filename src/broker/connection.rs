//! One network connection, as the broker's core sees it.

use super::Config;
use super::message::Message;
use crate::mqtt::Version;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// The largest CONNECT: five fields of 64 KiB, and room for properties (*assumed*). Nobody has said who he is before.
pub(super) const MAX_CONNECT: u32 = 6 << 16;

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
    /// Bytes that its owner took and could not send yet.
    pub unsent: usize,
    /// It is in the list of those with output.
    pub dirty: bool,
    /// It is to be closed when its output is written; nothing more is read from it.
    pub closing: bool,
    /// A defect: it is read from, and never answered.
    pub frozen: bool,
    /// How long it may go without a whole packet; zero: for ever.
    pub patience: Duration,
    /// When its last whole packet came: half a packet is no sign of life.
    pub last_packet: Instant,
    /// QoS 1 and 2 messages that may be in flight to it.
    pub window: usize,
    /// The largest packet it accepts.
    pub max_packet: usize,
    /// It wants to be told why [MQTT-3.1.2-29].
    pub wants_reasons: bool,
    /// Topic aliases it has set.
    pub aliases: BTreeMap<u16, Box<str>>,
    /// Topic aliases set towards it, and how many it takes.
    pub aliases_used: BTreeMap<Box<str>, u16>,
    pub alias_maximum: u16,
    pub will: Option<Will>,
    /// Who its client says he is, if somebody asked.
    pub user: Option<Box<str>>,
}

/// A will that waits.
#[derive(Clone, Debug)]
pub(super) struct Will {
    pub message: Message,
    /// Seconds from the connection's end to its publication.
    pub delay: u32,
    /// Seconds from its publication to its expiry.
    pub expiry: Option<u32>,
}

impl Connection {
    pub fn new(now: Instant, config: &Config) -> Self {
        Self {
            session: None,
            version: Version::V311,
            partial: Vec::new(),
            out: Vec::new(),
            unsent: 0,
            dirty: false,
            closing: false,
            frozen: false,
            patience: config.connect_timeout,
            last_packet: now,
            window: usize::from(config.window),
            max_packet: usize::MAX,
            wants_reasons: true,
            aliases: BTreeMap::new(),
            aliases_used: BTreeMap::new(),
            alias_maximum: 0,
            will: None,
            user: None,
        }
    }

    /// When it has been silent for too long.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.patience.is_zero()).then(|| self.last_packet + self.patience)
    }

    /// Bytes that wait to be sent, here and at the owner's.
    pub fn pending(&self) -> usize {
        self.out.len() + self.unsent
    }

    /// The alias that stands for `topic` towards it, and whether it is new; none if there is no room for one.
    pub fn alias_for(&self, topic: &str) -> Option<(u16, bool)> {
        if self.alias_maximum == 0 {
            return None;
        }
        if let Some(alias) = self.aliases_used.get(topic) {
            return Some((*alias, false));
        }
        let next = u16::try_from(self.aliases_used.len()).ok()? + 1;
        (next <= self.alias_maximum).then_some((next, true))
    }
}
