//! Connections, sessions and subscriptions: from when on, and until when, messages are due to a receiver.

use super::evidence::Case;
use super::rules::Breach;
use super::runs::Runs;
use super::{Bounds, Excuse, Judge, SessionState, bit, effective_qos, index};
use crate::promise::SessionPromise;
use crate::time::Instant;
use crate::trace::{ClientId, EndedBy};
use std::collections::BTreeMap;

impl Judge {
    pub(super) fn disconnected(&mut self, c: usize, by: EndedBy, in_flight: u32) {
        self.receivers[c].connected = false;
        self.publishers[c].received_here = Runs::new();
        self.tally.power_cuts += u64::from(by == EndedBy::PowerCut);
        self.tally.connections_lost += u64::from(by != EndedBy::Client && by != EndedBy::Harness);
        if in_flight > 0 && by != EndedBy::Harness {
            self.tally.cut_in_flight[usize::from(self.publishers[c].qos.min(2))] += 1;
        }
        let state = &mut self.sessions[c];
        // CONNECT went out, and nobody knows what became of it.
        let unanswered = std::mem::take(&mut state.greeting);
        if unanswered && self.is_persistent(c) {
            let state = self.sessions[c];
            let killed = self.kill_took_session(state.made, state.since);
            self.sessions[c].may_exist = true;
            self.sessions[c].doubtful |= killed;
        }
        self.leave_groups(c, !self.is_persistent(c), by != EndedBy::Client);
        if !self.is_persistent(c) {
            self.close_windows(c, Some(Excuse::SessionEnded));
        }
    }

    pub(super) fn connected(&mut self, client: ClientId, present: bool, expected: bool, seen: Instant) {
        let c = client.index();
        self.tally.connections += 1;
        self.receivers[c].connected = true;
        for (p, pair) in self.receivers[c].pairs.iter_mut() {
            pair.here_from = self.publishers[p as usize].next;
        }
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
        // The broker was there when the last CONNECT that it answered had been sent; how long after that, a late arrival does not tell.
        let expired = match self.promises.clients[c].session {
            SessionPromise::Persistent(Some(lasts)) => state.may_exist && seen.since(state.since) >= lasts,
            _ => false,
        };
        if present && state.doubtful {
            self.resume_in_doubt(c);
        } else if !present && expired {
            self.close_windows(c, Some(Excuse::SessionExpired));
        } else if !present && expected {
            self.session_missing(c, state.made, state.since);
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
            made: if present && !state.doubtful { state.made } else { state.greeted },
            heard: seen,
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
        for (p, pair) in receiver.pairs.iter_mut() {
            if pair.filters & bit(slot) != 0 {
                let next = self.publishers[p as usize].next;
                pair.open(next);
                let granted = (0..receiver.granted.len()).filter(|f| receiver.granted[*f].is_some());
                let all = granted.fold(0, |all, f| all | bit(f));
                if pair.filters.count_ones() > 1 && pair.filters & !all == 0 {
                    pair.overlap_from.get_or_insert(next);
                }
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
        for (p, pair) in receiver.pairs.iter_mut() {
            if pair.filters & hit != 0 && pair.filters & left == 0 {
                let publisher = &self.publishers[p as usize];
                let missing = pair.excuse(publisher.next, None);
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
        for (p, pair) in receiver.pairs.iter_mut() {
            let publisher = &self.publishers[p as usize];
            if publisher.qos > 0 && effective_qos(publisher.qos, pair, &receiver.granted) == 0 {
                pair.excuse(publisher.next, None); // the grant is forgotten below; at QoS 0 nothing of it was owed
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
    pub(super) fn end_windows(&mut self, r: usize, excuse: Excuse) {
        self.excuse_all(r, excuse);
        for (p, pair) in self.receivers[r].pairs.iter_mut() {
            pair.close(self.publishers[p as usize].next);
            pair.order.end_session();
        }
    }

    pub(super) fn excuse_all(&mut self, r: usize, excuse: Excuse) {
        let all = self.receivers[r].pairs.keys().collect::<Vec<_>>();
        let count = all.into_iter().map(|p| self.excuse_pair(r, p, excuse, None)).sum();
        self.excused(excuse, count);
    }

    /// Excuses these messages, by publisher, and no others.
    pub(super) fn excuse_some(&mut self, r: usize, numbers: &BTreeMap<u32, Runs>, excuse: Excuse) {
        let count = numbers.iter().map(|(p, only)| self.excuse_pair(r, *p, excuse, Some(only))).sum();
        self.excused(excuse, count);
    }

    /// How many deliveries were excused that were owed.
    fn excuse_pair(&mut self, r: usize, p: u32, excuse: Excuse, only: Option<&Runs>) -> u64 {
        let is_kill = excuse == self.kill_excuse();
        let receiver = &mut self.receivers[r];
        let Some(pair) = receiver.pairs.get_mut(p) else { return 0 };
        let publisher = &self.publishers[p as usize];
        let effective = effective_qos(publisher.qos, pair, &receiver.granted);
        let missing = pair.excuse(publisher.next, only);
        let owed = if effective > 0 { missing.and(&publisher.acked) } else { Runs::new() };
        if is_kill {
            pair.note_killed(&missing, &owed);
        }
        let settled = match only {
            None => std::mem::take(&mut pair.owing).len(),
            Some(_) => missing.iter().filter(|n| pair.owing.remove(*n)).count() as u64,
        };
        self.owed -= settled;
        receiver.owing -= settled;
        owed.len()
    }
}
