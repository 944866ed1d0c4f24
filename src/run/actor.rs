//! Who sits at a client's end of its way to the broker: squall's own device, or a stand-in for a client under test.

use crate::device::{Closed, Device, Io, Want};
use crate::foreign::proxy::Proxy;
use crate::time::Instant;
use crate::trace::ClientId;

/// Either, seen alike.
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large kind")]
pub(super) enum Actor {
    Own(Device),
    Foreign(Box<Proxy>),
}

/// Calls the same of both.
macro_rules! both {
    ($self:ident, $call:ident($($argument:expr),*)) => {
        match $self {
            Self::Own(device) => device.$call($($argument),*),
            Self::Foreign(proxy) => proxy.$call($($argument),*),
        }
    };
}

impl Actor {
    pub fn id(&self) -> ClientId {
        both!(self, id())
    }

    pub fn poll_want(&mut self) -> Option<Want> {
        both!(self, poll_want())
    }

    pub fn is_busy(&self) -> bool {
        both!(self, is_busy())
    }

    pub fn is_settled(&self) -> bool {
        both!(self, is_settled())
    }

    pub fn backlog(&self) -> u64 {
        both!(self, backlog())
    }

    pub fn handle_open(&mut self, now: Instant, at: Instant, io: &mut Io<'_>) {
        both!(self, handle_open(now, at, io));
    }

    pub fn handle_room(&mut self, now: Instant, io: &mut Io<'_>) {
        both!(self, handle_room(now, io));
    }

    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant, at: Instant, io: &mut Io<'_>) {
        both!(self, handle_bytes(bytes, now, at, io));
    }

    pub fn handle_closed(&mut self, how: Closed, now: Instant, at: Instant, io: &mut Io<'_>) {
        both!(self, handle_closed(how, now, at, io));
    }

    pub fn handle_heal(&mut self, stalled: bool, now: Instant, io: &mut Io<'_>) {
        both!(self, handle_heal(stalled, now, io));
    }

    pub fn handle_end(&mut self, now: Instant, io: &mut Io<'_>) {
        both!(self, handle_end(now, io));
    }

    /// A client under test has a clock of its own.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Own(device) => device.next_deadline(),
            Self::Foreign(_) => None,
        }
    }

    pub fn next_message(&self) -> Option<Instant> {
        match self {
            Self::Own(device) => device.next_message(),
            Self::Foreign(_) => None,
        }
    }

    pub fn handle_deadline(&mut self, now: Instant, io: &mut Io<'_>) {
        if let Self::Own(device) = self {
            device.handle_deadline(now, io);
        }
    }

    /// Only squall's own devices leave connections unattended.
    pub fn handle_old_bytes(&mut self, bytes: &[u8]) {
        if let Self::Own(device) = self {
            device.handle_old_bytes(bytes);
        }
    }

    pub fn handle_old_closed(&mut self, now: Instant, io: &mut Io<'_>) {
        if let Self::Own(device) = self {
            device.handle_old_closed(now, io);
        }
    }
}
