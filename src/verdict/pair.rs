//! What one subscriber (or one share group) has from one publisher: what was due to it, what came, and in which order.

use super::runs::Runs;
use crate::time::{Duration, Instant};

/// One publisher's messages at one receiver.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    /// Which of the receiver's filters match the publisher's topic (bit i: filter i; filters from 63 on share bit 63).
    pub filters: u64,
    /// Numbers that came at least once, at least twice, and so on.
    pub copies: Vec<Runs>,
    /// Due by windows that were closed without an excuse.
    due: Runs,
    /// Due and undelivered when their window was closed for a named reason.
    pub excused: Runs,
    /// The window that is open now: due from this number on.
    open_from: Option<u32>,
    /// Acknowledged, due and not here yet: kept as it happens, for [`super::Judge::owed`].
    pub owing: Runs,
    /// What a kill took, if one did.
    killed: Option<Box<Killed>>,
    /// Several filters match: from this number on all of them are granted, and these came at the best of their QoS.
    pub overlap_from: Option<u32>,
    pub at_best: Runs,
    /// Messages that had to wait and may expire meanwhile, with when.
    pub expires: Vec<(u32, Instant)>,
    /// What the receiver sent away itself: declined, or taken for another message.
    pub declined: Runs,
    /// Messages from this number on were first sent when the receiver's present connection was there.
    pub here_from: u32,
    /// Acknowledged and owed when the broker was killed.
    pub at_kill: Runs,
    /// Every message of this publisher is larger than what the receiver accepts.
    pub too_large: bool,
    /// Copies that came with a corrupt payload: whose numbers they had, nobody can say.
    pub corrupt: u64,
    pub order: Order,
}

/// The part of a pair's excused messages that a kill took.
#[derive(Clone, Debug, Default)]
struct Killed {
    all: Runs,
    /// Those that were owed: they are counted as excused, until they come after all or are sent again.
    counted: Runs,
}

impl Pair {
    /// A copy came: which one it is (1: the first).
    pub fn count_copy(&mut self, number: u32) -> usize {
        for (i, layer) in self.copies.iter_mut().enumerate() {
            if layer.insert(number) {
                return i + 1;
            }
        }
        // A tenth copy is counted as the ninth: what matters is that there are too many.
        if self.copies.len() < 9 {
            let mut layer = Runs::default();
            layer.insert(number);
            self.copies.push(layer);
        }
        self.copies.len()
    }

    /// A copy came at QoS 1; call it before [`Self::count_copy`].
    pub fn arrived(&mut self, number: u32, first: bool, seen: Instant) {
        static NONE: Runs = Runs::new();
        self.order.arrived(number, first, self.copies.first().unwrap_or(&NONE), seen);
    }

    /// Remembers that a kill is what excused these, of which some were `owed`.
    pub fn note_killed(&mut self, missing: &Runs, owed: &Runs) {
        if missing.is_empty() {
            return;
        }
        let killed = self.killed.get_or_insert_default();
        killed.all.insert_part(missing, 0, u32::MAX);
        killed.counted.insert_part(owed, 0, u32::MAX);
    }

    /// A message that a kill had taken was sent again: it is due again, if the window it was sent in is still open. True if it was
    /// counted as excused, and is no longer.
    pub fn send_again(&mut self, number: u32) -> bool {
        let Some(killed) = &mut self.killed else { return false };
        if killed.all.remove(number) {
            self.excused.remove(number);
        }
        killed.counted.remove(number)
    }

    /// A message came. True if it was counted as excused by a kill, which has not taken it then.
    pub fn survived(&mut self, number: u32) -> bool {
        self.killed.as_mut().is_some_and(|killed| killed.counted.remove(number))
    }

    /// The numbers that came at all.
    pub fn delivered(&self) -> Runs {
        self.copies.first().cloned().unwrap_or_default()
    }

    pub fn has(&self, number: u32) -> bool {
        self.copies.first().is_some_and(|c| c.contains(number))
    }

    /// True if the message is due to this receiver.
    pub fn is_due(&self, number: u32) -> bool {
        self.due.contains(number)
            || (self.open_from.is_some_and(|from| number >= from) && !self.excused.contains(number))
    }

    /// From the publisher's `next` number on, messages are due.
    pub fn open(&mut self, next: u32) {
        self.open_from.get_or_insert(next);
    }

    /// Of these, what came for overlapping filters, and never at the best QoS granted.
    pub fn lowered(&self, promised: &Runs) -> Runs {
        let Some(from) = self.overlap_from else { return Runs::new() };
        let mut checked = Runs::new();
        checked.insert_part(&promised.and(&self.delivered()), from, u32::MAX);
        checked.without(&self.at_best)
    }

    /// Nothing sent from now on is due; what was sent in the window stays due.
    pub fn close(&mut self, next: u32) {
        self.overlap_from = None;
        if let Some(from) = self.open_from.take()
            && next > from
        {
            let mut window = Runs::default();
            window.insert_range(from, next - 1);
            for (first, last) in window.without(&self.excused).runs() {
                self.due.insert_range(first, last);
            }
        }
    }

    /// Whatever is due and has not come is excused, or `only` these; returns those numbers that were not excused before.
    pub fn excuse(&mut self, next: u32, only: Option<&Runs>) -> Runs {
        let mut missing = self.all_due(next).without(&self.delivered());
        if let Some(only) = only {
            missing = missing.and(only);
        }
        for (first, last) in missing.runs() {
            self.excused.insert_range(first, last);
        }
        self.due = self.due.without(&missing);
        missing
    }

    /// Everything that is due, `next` being the publisher's next number.
    pub fn all_due(&self, next: u32) -> Runs {
        let mut all = self.due.clone();
        if let Some(from) = self.open_from
            && next > from
        {
            all.insert_range(from, next - 1);
        }
        all.without(&self.excused)
    }
}

/// The order of arrivals at the QoS that is due.
///
/// At QoS 1 only *final* copies are ordered: 1, 2, 3, 2, 3, 4 is legal. When `m` arrives below the highest number that
/// came, everything delivered above it owes another delivery; what still owes one at the end came out of order.
///
/// A session that ends cuts re-deliveries short. Then only what a *first* copy put out of order still counts: nothing
/// that is sent in order, and sent again in order after a cut, can bring a first copy late.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    highest: Option<u32>,
    owed: Runs,
    /// The part of `owed` that a late first copy caused.
    proved: Runs,
    /// When `owed` grew last.
    since: Instant,
}

/// How long further copies may be on their way when a run ends, since nobody waits for what has come already (*assumed*).
const ON_THEIR_WAY: Duration = Duration::from_secs(10);

impl Order {
    /// A copy arrived at QoS 1; `delivered` are the numbers that came before, and `first` says that this one had not.
    pub fn arrived(&mut self, number: u32, first: bool, delivered: &Runs, seen: Instant) {
        self.delivered_again(number);
        match self.highest {
            Some(highest) if number < highest => {
                self.since = seen;
                self.owed.insert_part(delivered, number + 1, highest);
                if first {
                    self.proved.insert_part(delivered, number + 1, highest);
                }
            }
            Some(highest) if number == highest => {}
            _ => self.highest = Some(number),
        }
    }

    /// A copy that proves nothing about others, but pays its own debt.
    pub fn delivered_again(&mut self, number: u32) {
        self.owed.remove(number);
        self.proved.remove(number);
    }

    /// A first copy arrived at QoS 0 or 2: true if it is in order.
    pub fn first_copy(&mut self, number: u32) -> bool {
        let in_order = self.highest.is_none_or(|h| number > h);
        if in_order {
            self.highest = Some(number);
        }
        in_order
    }

    /// The session has ended: no re-delivery will come.
    pub fn end_session(&mut self) {
        self.owed = self.proved.clone();
    }

    /// What came out of order in a run that ended at `ended`, which cuts re-deliveries short too.
    pub fn broken(&self, ended: Instant) -> &Runs {
        if ended.since(self.since) < ON_THEIR_WAY { &self.proved } else { &self.owed }
    }
}
