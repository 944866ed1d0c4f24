//! Shared subscriptions: what is due is due to the group, whoever in it is chosen.
//!
//! Accepted both ways: an offline member chosen or skipped; its unsent messages moved to another member or kept for it.

use super::{Excuse, Judge, index};
use std::collections::BTreeSet;

/// Who is in a share group.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Clients whose sessions hold the subscription.
    pub members: BTreeSet<u32>,
    /// Clients whose connection broke: until they return, the broker may choose them, and lose what it sends them.
    pub ghosts: BTreeSet<u32>,
}

impl Judge {
    /// The share groups of a client.
    pub(super) fn groups_of(&self, c: usize) -> impl Iterator<Item = usize> + '_ {
        self.groups.range((index(c), 0)..=(index(c), u16::MAX)).map(|(_, r)| *r as usize)
    }

    /// A member's connection ended: `for_good` if its session did, `broken` if the broker may not know it yet.
    pub(super) fn leave_groups(&mut self, c: usize, for_good: bool, broken: bool) {
        for group in self.groups_of(c).collect::<Vec<_>>() {
            self.leave_group(group, index(c), for_good, broken);
        }
    }

    /// What was on its way to a member that leaves may be discarded, or sent to another [MQTT-4.8.2-5, -6].
    pub(super) fn leave_group(&mut self, group: usize, member: u32, for_good: bool, broken: bool) {
        let share = &mut self.receivers[group].share;
        if !share.members.contains(&member) {
            return;
        }
        if broken {
            share.ghosts.insert(member);
        }
        if for_good {
            share.members.remove(&member);
        }
        let nobody_left = share.members.is_empty();
        self.excuse_all(group, Excuse::ShareMemberLeft);
        if nobody_left {
            self.close_windows(group, None);
        }
    }

    /// A client is back: now the broker knows that its old connection is gone.
    pub(super) fn return_to_groups(&mut self, c: usize, session_present: bool) {
        for group in self.groups_of(c).collect::<Vec<_>>() {
            if !session_present {
                self.leave_group(group, index(c), true, false);
            }
            if self.receivers[group].share.ghosts.remove(&index(c)) && !session_present {
                self.excuse_all(group, Excuse::ShareMemberLeft);
            }
        }
    }

    /// True if something may have been given to a member that never came back for it.
    pub(super) fn has_absent_member(&self, group: usize) -> bool {
        let share = &self.receivers[group].share;
        !share.ghosts.is_empty() || share.members.iter().any(|m| !self.receivers[*m as usize].connected)
    }
}
