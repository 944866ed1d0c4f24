//! A connection that its device left open and unattended ([`crate::device::Want::Supplant`]): read, until the broker closes it.

use super::load_loop::Shared;
use super::pipe::{Pipe, Slot};
use super::socket::Read;
use crate::time::Instant;

impl Slot {
    /// The connection that was left unattended has something to read.
    pub(super) fn old_ready(&mut self, now: Instant, s: &mut Shared) {
        let Pipe::Direct(d) = &mut self.pipe else { return };
        let Some((_, socket)) = &d.old else { return };
        let mut buffer = std::mem::take(&mut s.buffer);
        match socket.read(&mut buffer) {
            Read::Bytes(n, _) => self.device.handle_old_bytes(&buffer[..n]),
            Read::Nothing => {}
            Read::Finished | Read::Reset => {
                d.old = None;
                s.with_io(0, now, |io| self.device.handle_old_closed(now, io));
            }
        }
        s.buffer = buffer;
    }
}
