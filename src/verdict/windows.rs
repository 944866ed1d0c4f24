//! Connections, sessions and subscriptions: from when on, and until when, messages are due to a receiver.

use super::evidence::Case;
use super::rules::Breach;
use super::runs::Runs;
use super::{Bounds, Excuse, Judge, SessionState, bit, effective_qos, index};
use crate::trace::{ClientId, EndedBy};

impl Judge {
    pub(super) fn disconnected(&mut self, c: usize, by: EndedBy, in_flight: u32) {
        self.receivers[c].connected = false;
        if in_flight > 0 && by != EndedBy::Harness {
            self.tally.cut_in_flight[usize::from(self.publishers[c].qos.min(2))] += 1;
        }
        let state = &mut self.sessions[c];
        // CONNECT went out, and nobody knows what became of it.
        let unanswered = std::mem::take(&mut state.greeting);
        if unanswered && self.is_persistent(c) {
            let killed = self.kills.iter().any(|at| *at >= self.sessions[c].since);
            self.sessions[c].may_exist = true;
            self.sessions[c].doubtful |= killed;
        }
        self.leave_groups(c, !self.is_persistent(c), by != EndedBy::Client);
        if !self.is_persistent(c) {
            self.close_windows(c, Some(Excuse::SessionEnded));
        }
    }

    pub(super) fn connected(&mut self, client: ClientId, present: bool, expected: bool) {
        let c = client.index();
        self.tally.connections += 1;
        self.receivers[c].connected = true;
        if expected {
            self.tally.sessions_checked += 1;
            self.tally.sessions_resumed += u64::from(present);
        }
        let case = Case { subscriber: Some(client), ..Case::default() };
        let state = self.sessions[c];
        if present && !state.may_exist {
            self.breach(Breach::SessionInvented, case);
        }
        if !present {
            self.receivers[c].memory_lost = false; // there is nothing left to be repeated
            self.publishers[c].received = Runs::new();
        }
        if present && state.doubtful {
            self.excused(Excuse::Killed, 1);
            self.end_windows(c, Excuse::Killed);
            // If it is a new one, it knows none of the identifiers that are sent again, and hands the messages on once more.
            let publisher = &mut self.publishers[c];
            for n in publisher.open.iter() {
                *publisher.attempts.entry(n).or_insert(1) += 1;
            }
        } else if !present && expected {
            if self.kills.iter().any(|at| *at >= state.since) {
                self.excused(Excuse::Killed, 1);
                self.close_windows(c, Some(Excuse::Killed));
            } else {
                self.breach(Breach::SessionForgotten, case);
                self.close_windows(c, None);
            }
        } else if !present {
            self.close_windows(c, Some(Excuse::SessionEnded));
        }
        self.return_to_groups(c, present);
        let may_exist = self.is_persistent(c);
        let murky = present && (state.doubtful || state.murky);
        self.sessions[c] = SessionState {
            may_exist,
            greeting: false,
            greeted: state.greeted,
            since: state.greeted,
            doubtful: false,
            murky,
        };
    }

    /// The receiver and the place of a filter in it: the client's own, or its share group's only one.
    pub(super) fn place(&self, c: usize, filter: u16) -> (usize, usize) {
        match self.groups.get(&(index(c), filter)) {
            Some(group) => (*group as usize, 0),
            None => (c, usize::from(filter)),
        }
    }

    pub(super) fn subscribing(&mut self, c: usize, filter: u16) {
        let Some(requested) = self.promises.clients[c].subscriptions.get(usize::from(filter)).map(|s| s.qos) else {
            return;
        };
        let (r, slot) = self.place(c, filter);
        let receiver = &mut self.receivers[r];
        receiver.asked |= bit(slot);
        let bounds = receiver.bounds[slot].get_or_insert(Bounds { low: 0, high: requested, pending: true });
        bounds.high = bounds.high.max(requested);
    }

    pub(super) fn subscribed(&mut self, c: usize, filter: u16, granted: u8) {
        let (r, slot) = self.place(c, filter);
        let receiver = &mut self.receivers[r];
        let Some(place) = receiver.granted.get_mut(slot) else { return };
        if granted >= 0x80 {
            return;
        }
        *place = Some(granted);
        receiver.asked |= bit(slot);
        receiver.bounds[slot] = Some(match receiver.bounds[slot] {
            Some(b) if !b.pending => Bounds { low: b.low.min(granted), high: b.high.max(granted), pending: false },
            _ => Bounds { low: granted, high: granted, pending: false },
        });
        if receiver.shared {
            receiver.share.members.insert(index(c));
        } else if self.sessions[c].murky {
            return;
        }
        for (p, pair) in &mut receiver.pairs {
            if pair.filters & bit(slot) != 0 {
                pair.open(self.publishers[*p as usize].next);
            }
        }
    }

    pub(super) fn unsubscribed(&mut self, c: usize, filter: u16) {
        if let Some(group) = self.groups.get(&(index(c), filter)).copied() {
            return self.leave_group(group as usize, index(c), true, false);
        }
        let receiver = &mut self.receivers[c];
        if let Some(place) = receiver.granted.get_mut(usize::from(filter)) {
            *place = None;
        }
        let left =
            (0..receiver.granted.len()).filter(|f| receiver.granted[*f].is_some()).fold(0, |all, f| all | bit(f));
        let hit = bit(usize::from(filter));
        let mut excused = 0;
        for (p, pair) in &mut receiver.pairs {
            if pair.filters & hit != 0 && pair.filters & left == 0 {
                let publisher = &self.publishers[*p as usize];
                let missing = pair.excuse(publisher.next);
                excused += missing.and(&publisher.acked).len();
                let settled = std::mem::take(&mut pair.owing).len();
                self.owed -= settled;
                receiver.owing -= settled;
                pair.close(publisher.next);
            }
        }
        if excused > 0 {
            self.excused(Excuse::Unsubscribed, excused);
        }
    }

    /// The session is over: nothing more is due by it. What was due and did not come is excused, or not.
    pub(super) fn close_windows(&mut self, r: usize, excuse: Option<Excuse>) {
        if let Some(excuse) = excuse {
            self.excuse_all(r, excuse);
        }
        let receiver = &mut self.receivers[r];
        for (p, pair) in &mut receiver.pairs {
            let publisher = &self.publishers[*p as usize];
            if publisher.qos > 0 && effective_qos(publisher.qos, pair, &receiver.granted) == 0 {
                pair.excuse(publisher.next); // the grant is forgotten below; at QoS 0 nothing of it was owed
            }
            pair.close(publisher.next);
            pair.order.end_session();
            self.owed -= std::mem::take(&mut pair.owing).len(); // it cannot come any more
        }
        receiver.owing = 0;
        receiver.granted.fill(None);
        receiver.bounds.fill(None);
    }

    /// Nothing more is due, but what comes may come: the session may or may not be there.
    fn end_windows(&mut self, r: usize, excuse: Excuse) {
        self.excuse_all(r, excuse);
        for (p, pair) in &mut self.receivers[r].pairs {
            pair.close(self.publishers[*p as usize].next);
            pair.order.end_session();
        }
    }

    pub(super) fn excuse_all(&mut self, r: usize, excuse: Excuse) {
        let mut count = 0;
        let receiver = &mut self.receivers[r];
        for (p, pair) in &mut receiver.pairs {
            let publisher = &self.publishers[*p as usize];
            let effective = effective_qos(publisher.qos, pair, &receiver.granted);
            let missing = pair.excuse(publisher.next);
            if excuse == Excuse::Killed {
                pair.note_killed(&missing);
            }
            if effective > 0 && !missing.is_empty() {
                count += missing.and(&publisher.acked).len();
            }
            let settled = std::mem::take(&mut pair.owing).len();
            self.owed -= settled;
            receiver.owing -= settled;
        }
        if count > 0 {
            self.excused(excuse, count);
        }
    }
}
