//! Messages of a sensor's own: those that wait to be sent, and those sent and not yet wholly acknowledged.

use crate::scenario::model::DropPolicy;
use crate::time::Instant;
use std::collections::VecDeque;

/// One message of a sensor's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its number.
    pub number: u32,
    /// When it should have been sent.
    pub intended: Instant,
    /// 1 for the first sending; one more each time it is published anew.
    pub attempt: u16,
}

/// What waits, bounded; and what is in flight, bounded by the session's window.
#[derive(Debug)]
pub struct Outbox {
    waiting: VecDeque<Message>,
    in_flight: VecDeque<Message>,
    limit: usize,
    policy: DropPolicy,
}

impl Outbox {
    /// An empty outbox that holds `limit` waiting messages at most.
    #[must_use]
    pub fn new(limit: u32, policy: DropPolicy) -> Self {
        Self { waiting: VecDeque::new(), in_flight: VecDeque::new(), limit: limit.max(1) as usize, policy }
    }

    /// Puts a new message at the end; returns the one that had to go, if any. A message that was in flight before
    /// (attempt above 1) is never dropped for a newer one: it may have been delivered already.
    pub fn push(&mut self, message: Message) -> Option<Message> {
        if self.waiting.len() < self.limit {
            self.waiting.push_back(message);
            return None;
        }
        let oldest_new = self.waiting.iter().position(|m| m.attempt == 1);
        match (self.policy, oldest_new) {
            (DropPolicy::Oldest, Some(at)) => {
                let dropped = self.waiting.remove(at);
                self.waiting.push_back(message);
                dropped
            }
            _ => Some(message),
        }
    }

    /// The message whose turn it is.
    #[must_use]
    pub fn front(&self) -> Option<Message> {
        self.waiting.front().copied()
    }

    /// The front message was sent; it is in flight now if `tracked` (QoS 1 and 2).
    pub fn sent(&mut self, tracked: bool) {
        if let Some(message) = self.waiting.pop_front()
            && tracked
        {
            self.in_flight.push_back(message);
        }
    }

    /// The message of that number in flight.
    #[must_use]
    pub fn find(&self, number: u32) -> Option<Message> {
        self.in_flight.iter().find(|m| m.number == number).copied()
    }

    /// A message's hand-shake is over.
    pub fn settle(&mut self, number: u32) {
        if let Some(at) = self.in_flight.iter().position(|m| m.number == number) {
            self.in_flight.remove(at);
        }
    }

    /// The session that carried what was in flight is gone: it all goes back to the front, in order, as new attempts.
    pub fn retry_in_flight(&mut self) {
        while let Some(mut message) = self.in_flight.pop_back() {
            message.attempt = message.attempt.saturating_add(1);
            self.waiting.push_front(message);
        }
    }

    /// Takes everything that was never sent out of the outbox, and forgets the rest.
    pub fn clear(&mut self) -> impl Iterator<Item = Message> {
        self.in_flight.clear();
        std::mem::take(&mut self.waiting).into_iter().filter(|m| m.attempt == 1)
    }

    /// How many messages wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many messages are in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u32) -> Message {
        Message { number, intended: Instant::ZERO, attempt: 1 }
    }

    #[test]
    fn a_full_outbox_drops_as_told() {
        for (policy, dropped, front) in [(DropPolicy::Oldest, 0, 1), (DropPolicy::Newest, 2, 0)] {
            let mut o = Outbox::new(2, policy);
            assert_eq!((o.push(message(0)), o.push(message(1))), (None, None));
            assert_eq!(o.push(message(2)).map(|m| m.number), Some(dropped));
            assert_eq!(o.front().map(|m| m.number), Some(front));
        }
    }

    #[test]
    fn what_was_in_flight_goes_first_again_and_is_never_dropped() {
        let mut o = Outbox::new(2, DropPolicy::Oldest);
        for n in 0..2 {
            o.push(message(n));
            o.sent(true);
        }
        o.retry_in_flight();
        assert_eq!(o.front(), Some(Message { attempt: 2, ..message(0) }));
        assert_eq!(o.push(message(2)), Some(message(2)), "the new one goes, not the old ones");
        assert_eq!(o.clear().count(), 0, "they may have been delivered: not one of them was never sent");
    }
}
