//! What a driver and the observer of its client tell each other.

use crate::time::Instant;
use crate::trace::{ClientId, Discard};
use std::collections::BTreeMap;

/// One client's ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    /// When each message should have been sent, by its number.
    pub intended: Vec<Instant>,
    /// Messages that the client did not take, and why.
    pub refused: Vec<(u32, Discard)>,
    /// QoS 2 messages that the client has handed to its application, and how often.
    pub handed: BTreeMap<(ClientId, u32), u32>,
    /// What the driver has to tell people: the client gave up, its program ended.
    pub notes: Vec<String>,
}

impl Ledger {
    /// When message `number` should have been sent; none if the driver knows no such message.
    #[must_use]
    pub fn intended(&self, number: u32) -> Option<Instant> {
        self.intended.get(number as usize).copied()
    }
}
