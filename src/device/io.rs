//! What a device and the owner of its transport say to each other.

use crate::time::Instant;
use crate::trace::Sink;

/// Where a device's output goes while it handles something.
pub struct Io<'a> {
    /// Bytes for the transport.
    pub tx: &'a mut Vec<u8>,
    /// Events for the judges.
    pub sink: &'a mut dyn Sink,
    /// How many bytes the transport takes now: acknowledgements are always written, a new message is begun only while
    /// `tx` holds fewer.
    pub room: usize,
    /// What to tell the judges of when something was noticed ([`Event::seen`]).
    pub seen: Instant,
}

/// What the device wants of its transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// Open a connection.
    Open,
    /// Send what is in `tx`, then close in order.
    Close,
    /// Reset the connection.
    Reset,
    /// Let the connection go without a word: the sensor has no power.
    Vanish,
    /// The same, and tell [`super::Device::handle_old_bytes`] and [`super::Device::handle_old_closed`] what becomes of it. Over a
    /// link nobody can know: there it is as `Vanish`.
    Supplant,
}

/// How a connection ended, as the transport saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// In order, by the other side.
    Finished,
    /// By a reset, or refused.
    Reset,
    /// The harness could not open it (descriptors, local ports).
    Harness,
}
