//! The named reasons that excuse a loss. There are no others.
//!
//! Those that rest on what the *broker* declares or lacks are not taken under `strict`; those that rest on what the client
//! itself asked for are its own doing, and always are.

use super::{Judge, Receiver};
use crate::promise::Durability;

/// A named reason that excuses a loss.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Excuse {
    SessionEnded,
    SessionExpired,
    Unsubscribed,
    MessageExpired,
    PacketTooLarge,
    Declined,
    ShareMemberLeft,
    KillDeclared,
    KillUndeclared,
    OfflineQueue,
    Downgraded,
    Denied,
}

impl Excuse {
    pub const ALL: [Self; 12] = [
        Self::SessionEnded,
        Self::SessionExpired,
        Self::Unsubscribed,
        Self::MessageExpired,
        Self::PacketTooLarge,
        Self::Declined,
        Self::ShareMemberLeft,
        Self::KillDeclared,
        Self::KillUndeclared,
        Self::OfflineQueue,
        Self::Downgraded,
        Self::Denied,
    ];

    /// In one or two words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionEnded => "session ended",
            Self::SessionExpired => "session expired",
            Self::Unsubscribed => "unsubscribed",
            Self::MessageExpired => "message expired",
            Self::PacketTooLarge => "packet too large",
            Self::Declined => "declined",
            Self::ShareMemberLeft => "share member left",
            Self::KillDeclared => "declared durability",
            Self::KillUndeclared => "undeclared durability",
            Self::OfflineQueue => "offline queue",
            Self::Downgraded => "QoS downgrade",
            Self::Denied => "publishing denied",
        }
    }

    /// For people; it follows "because".
    pub const fn reason(self) -> &'static str {
        match self {
            Self::SessionEnded => "the subscriber's session had ended",
            Self::SessionExpired => "the subscriber was away for longer than its session lasts",
            Self::Unsubscribed => "the subscriber had unsubscribed",
            Self::MessageExpired => "the message expired while it waited",
            Self::PacketTooLarge => "the message is larger than the subscriber's Maximum Packet Size",
            Self::Declined => "the subscriber itself declined it with a negative acknowledgement",
            Self::ShareMemberLeft => "a member of the share group had left",
            Self::KillDeclared => "the broker was killed, and declares that this may not survive",
            Self::KillUndeclared => "the broker was killed, and declares nothing about what survives",
            Self::OfflineQueue => "more waited than the broker's declared offline queue holds",
            Self::Downgraded => "the broker granted a lower QoS than was asked for",
            Self::Denied => "the broker declares that nobody may publish there, and cannot say so in 3.1.1",
        }
    }

    /// True if it rests on what the broker declares, or fails to declare.
    pub const fn is_the_brokers(self) -> bool {
        matches!(self, Self::KillDeclared | Self::KillUndeclared | Self::OfflineQueue | Self::Downgraded | Self::Denied)
    }
}

impl Judge {
    /// True if this excuse may be taken in this run.
    pub(super) fn takes(&self, excuse: Excuse) -> bool {
        !(self.promises.strict && excuse.is_the_brokers())
    }

    pub(super) fn excused(&mut self, excuse: Excuse, count: u64) {
        *self.tally.excuses.entry(excuse).or_default() += count;
    }

    /// What a kill is called as an excuse.
    pub(super) fn kill_excuse(&self) -> Excuse {
        match self.promises.broker.durability {
            Durability::Unknown => Excuse::KillUndeclared,
            _ => Excuse::KillDeclared,
        }
    }

    /// True if nothing of this publisher is ever due to this receiver, and why.
    pub(super) fn standing_excuse(&self, r: usize, p: u32) -> Option<Excuse> {
        let publisher = &self.publishers[p as usize];
        if publisher.denied && self.takes(Excuse::Denied) {
            return Some(Excuse::Denied);
        }
        self.receivers[r].pairs.get(p).is_some_and(|pair| pair.too_large).then_some(Excuse::PacketTooLarge)
    }

    /// A named reason why this receiver may miss messages in the end.
    pub(super) fn excuse_at_the_end(&self, r: usize, p: u32) -> Option<Excuse> {
        let standing = self.standing_excuse(r, p);
        let receiver = &self.receivers[r];
        if standing.is_some() {
            return standing;
        }
        if receiver.shared {
            return self.has_absent_member(r).then_some(Excuse::ShareMemberLeft);
        }
        (self.overflowed(receiver) && self.takes(Excuse::OfflineQueue)).then_some(Excuse::OfflineQueue)
    }

    /// True if more once waited for this receiver than the broker's declared queue holds.
    pub(super) fn overflowed(&self, receiver: &Receiver) -> bool {
        self.promises.broker.offline_queue.is_some_and(|limit| receiver.most_queued > limit)
    }
}
