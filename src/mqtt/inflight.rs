//! What is in flight, both halves: our own QoS 1 and 2 messages in the order of their first sending, and the
//! identifiers of QoS 2 messages that we received and that the server has not released.
//!
//! Nothing here allocates for a message once the tables have grown to the window.

use super::PacketId;
use std::collections::VecDeque;

/// How far the exchange of one of our messages has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// QoS 1: PUBACK is awaited.
    AwaitsPubAck,
    /// QoS 2: PUBREC is awaited.
    AwaitsPubRec,
    /// QoS 2: PUBREC came; PUBREL was or must be sent, PUBCOMP is awaited.
    Released,
}

/// One of our messages in flight; 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outgoing {
    pub id: PacketId,
    pub stage: Stage,
    pub token: u64,
}

/// How many PUBRELs beyond the first we remember; a server that makes us send more has lost its way (*assumed*).
const MOST_SURPLUS: usize = 256;

/// Our own messages in flight.
#[derive(Debug, Default)]
pub(super) struct Sending {
    queue: VecDeque<Outgoing>,
    /// How many, from the front, were sent on this connection. What stands behind them comes from an earlier connection and
    /// is still to be sent again; nothing new is added before that is done, so these are always the first.
    sent_here: usize,
    /// Identifiers whose PUBREL went out once more on this connection, because a second PUBREC came: each is owed one more
    /// PUBCOMP, which may come when the exchange is long over.
    surplus: Vec<PacketId>,
}

impl Sending {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn contains(&self, id: PacketId) -> bool {
        self.queue.iter().any(|o| o.id == id)
    }

    /// True while something of an earlier connection has not been sent again.
    pub fn owes_resend(&self) -> bool {
        self.sent_here < self.queue.len()
    }

    /// A new message, sent now.
    pub fn push(&mut self, message: Outgoing) {
        debug_assert!(!self.owes_resend(), "what is sent again goes before what is new");
        self.queue.push_back(message);
        self.sent_here += 1;
    }

    /// The next message to be sent again, in the original order; none if all are, or if `quota` messages of this connection
    /// are unfinished and the next would be one more PUBLISH.
    pub fn next_resend(&mut self, quota: u16) -> Option<Outgoing> {
        let next = *self.queue.get(self.sent_here)?;
        if next.stage != Stage::Released && self.sent_here >= usize::from(quota) {
            return None;
        }
        self.sent_here += 1;
        Some(next)
    }

    /// Where the message of that identifier stands, if it is in one of these stages.
    pub fn position(&self, id: PacketId, stages: &[Stage]) -> Option<usize> {
        self.queue.iter().position(|o| o.id == id && stages.contains(&o.stage))
    }

    /// PUBREC came for the message at `at`: its token, and whether PUBREL must be written now. It is not where the message
    /// still waits to be sent again: its turn will say PUBREL. None if too many came.
    pub fn release(&mut self, at: usize) -> Option<(u64, bool)> {
        let here = at < self.sent_here;
        let message = &mut self.queue[at];
        if here && message.stage == Stage::Released {
            if self.surplus.len() == MOST_SURPLUS {
                return None;
            }
            self.surplus.push(message.id);
        }
        message.stage = Stage::Released;
        Some((message.token, here))
    }

    /// The exchange of the message at `at` is over: its token.
    pub fn finish(&mut self, at: usize) -> u64 {
        if at < self.sent_here {
            self.sent_here -= 1;
        }
        self.queue.remove(at).expect("the position was just found").token
    }

    /// True, once, for each PUBCOMP that answers a surplus PUBREL.
    pub fn take_surplus(&mut self, id: PacketId) -> bool {
        let found = self.surplus.iter().position(|s| *s == id);
        found.map(|at| self.surplus.swap_remove(at)).is_some()
    }

    /// A connection begins or has ended: nothing was sent on it.
    pub fn start_over(&mut self) {
        self.sent_here = 0;
        self.surplus = Vec::new();
    }
}

/// QoS 2 messages received: PUBREC was sent, PUBREL has not come.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Sorted; each with a mark of the message's payload.
    ids: Vec<(PacketId, u32)>,
    /// How many of them began on this connection, less the PUBRELs for others.
    here: i32,
}

impl Received {
    /// The mark of the message that the identifier is in use for.
    pub fn mark_of(&self, id: PacketId) -> Option<u32> {
        self.place(id).ok().map(|at| self.ids[at].1)
    }

    fn place(&self, id: PacketId) -> Result<usize, usize> {
        self.ids.binary_search_by_key(&id, |(id, _)| *id)
    }

    /// How many messages begun on this connection are not released. Each PUBCOMP for an earlier connection's message adds to the
    /// quota of who counts as section 4.9 of 5.0 says: that many more are not held against a server.
    pub fn unreleased(&self) -> u32 {
        u32::try_from(self.here).unwrap_or(0)
    }

    pub fn insert(&mut self, id: PacketId, mark: u32) {
        if let Err(place) = self.place(id) {
            self.ids.insert(place, (id, mark));
            self.here += 1;
        }
    }

    /// PUBREL came: whether the identifier was known.
    pub fn release(&mut self, id: PacketId) -> bool {
        self.here = self.here.saturating_sub(1);
        match self.place(id) {
            Ok(at) => {
                self.ids.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// A connection begins: none was received on it.
    pub fn start_over(&mut self) {
        self.here = 0;
    }
}

/// Tells one payload from another (FNV-1a, by words), so that a repeat is told from another message under its identifier.
pub(crate) fn mark(payload: &[u8]) -> u32 {
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x100_0000_01b3);
    let words = payload.chunks_exact(8);
    let rest = words.remainder().iter().fold(payload.len() as u64, |rest, byte| (rest << 8) | u64::from(*byte));
    let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().expect("chunks of 8 bytes"));
    let hash = words.map(word).fold(0xcbf2_9ce4_8422_2325, step);
    let hash = step(hash, rest);
    u32::try_from((hash ^ (hash >> 32)) & u64::from(u32::MAX)).expect("32 bits")
}
