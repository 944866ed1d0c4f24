//! What arrives at subscribers: each copy is booked with its receiver, and judged at once as far as it can be.

use super::evidence::Case;
use super::pair::Pair;
use super::rules::Breach;
use super::{Bounds, Excuse, Judge, bit, effective_qos, index};
use crate::time::Instant;
use crate::trace::{Breach as WireBreach, ClientId, Delivered, Strange};

/// What is to be said of one copy.
#[derive(Clone, Copy, Debug)]
struct Copy {
    wrong_qos: bool,
    out_of_order: bool,
    too_many: bool,
}

impl Judge {
    pub(super) fn delivered(&mut self, client: ClientId, d: Delivered, seen: Instant) {
        let case = Case { publisher: Some(d.publisher), number: Some(d.number), subscriber: Some(client) };
        let (c, p) = (client.index(), d.publisher.index());
        if self.publishers.get(p).is_none_or(|publisher| !publisher.sent.contains(d.number)) {
            return self.breach(Breach::Phantom, case);
        }
        if d.dup && d.qos == 0 {
            self.breach(Breach::Flags, case);
        }
        let astray = d.topic_of != Some(d.publisher);
        if astray {
            self.breach(Breach::WrongTopic, case);
        }
        let Some(r) = self.receiver_of(c, p, d.number) else {
            if !astray {
                let echo = p == c && self.promises.clients[c].subscriptions.iter().any(|s| s.no_local);
                self.breach(if echo { Breach::NoLocal } else { Breach::WrongSubscription }, case);
            }
            return;
        };
        // With Retain As Published, a live copy has RETAIN too; what has come already is taken for a replay.
        let came = || self.receivers[r].pairs.get(index(p)).is_some_and(|pair| pair.has(d.number));
        if d.retain && (!self.keeps_retain(c, p) || came()) {
            self.tally.retained += 1;
            return;
        }
        self.tally.deliveries += 1;
        self.tally.redelivered[usize::from(d.qos.min(2))] += u64::from(d.dup);
        if d.dup && d.qos > 0 && self.is_first_sending(r, p, d.number) {
            self.breach(Breach::DupCarried, case);
        }
        let copy = self.count_copy(r, p, &d, seen);
        self.archive.acquit(case);
        if let Some(number) = self.overtaken_at(r, p, d.number) {
            self.archive.suspect(Case { number: Some(number), ..case });
        }
        if copy.wrong_qos {
            self.breach(Breach::WrongQos, case);
        }
        if astray {
            return; // it has come, if on the wrong topic: it is not lost as well
        }
        self.tally.order_checked += 1;
        if copy.out_of_order {
            self.breach(Breach::OutOfOrder, case);
        }
        if copy.too_many {
            let (published, memory_lost) = (self.publishers[p].qos, self.receivers[r].memory_lost);
            self.count_duplicate(case, published.min(2), d.qos, memory_lost);
        }
    }

    /// The oldest message that is owed although a later one has come.
    fn overtaken_at(&self, r: usize, p: usize, number: u32) -> Option<u32> {
        let receiver = &self.receivers[r];
        let pair = receiver.pairs.get(index(p)).filter(|_| !receiver.shared)?;
        pair.owing.iter().next().filter(|n| *n < number)
    }

    /// True if the broker cannot have sent it to this receiver before: it was published when the connection was there, and nothing
    /// that was sent on a connection fails to come before what is sent later.
    fn is_first_sending(&self, r: usize, p: usize, number: u32) -> bool {
        let receiver = &self.receivers[r];
        let pair = receiver.pairs.get(index(p)).filter(|_| !receiver.shared);
        pair.is_some_and(|pair| number >= pair.here_from && !pair.has(number) && !pair.declined.contains(number))
    }

    /// True if the receiver wants RETAIN as the publisher sets it.
    fn keeps_retain(&self, c: usize, p: usize) -> bool {
        let clients = &self.promises.clients;
        clients[p].publishes.as_ref().is_some_and(|publishes| {
            publishes.retain
                && clients[c].subscriptions.iter().any(|s| s.retain_as_published && s.matches(&publishes.topic))
        })
    }

    /// Books one copy with the receiver `r`.
    fn count_copy(&mut self, r: usize, p: usize, d: &Delivered, seen: Instant) -> Copy {
        let publisher = &self.publishers[p];
        let receiver = &mut self.receivers[r];
        receiver.last_delivery = seen;
        let pair = receiver.pairs.get_mut(index(p)).expect("receiver_of found it");
        let (low, high) = allowed_qos(publisher.qos, pair, &receiver.bounds);
        let first = !pair.has(d.number);
        let attempts = publisher.attempts(d.number);
        // A message published anew, or sent again after a later one was answered, was put behind others by its publisher. Published 1
        // and granted 0, each sending is handed on, and any copy may be lost: 2, (1, 2) is the second copy of 1 and the first of 2.
        let twice_at_0 = d.qos == 0 && publisher.qos == 1 && publisher.resent.contains(d.number);
        let excusable = attempts > 1
            || publisher.overtaken.contains(d.number)
            || publisher.blamed.contains(d.number)
            || twice_at_0
            || receiver.shared
            || receiver.memory_lost;
        let mut out_of_order = false;
        // Order holds among deliveries of one QoS: copies for a filter with a lower grant are a stream of their own.
        if d.qos == high && !excusable {
            if d.qos == 1 {
                pair.arrived(d.number, first, seen);
            } else {
                out_of_order = first && !pair.order.first_copy(d.number);
            }
        } else if d.qos == 1 {
            pair.order.delivered_again(d.number);
        }
        if pair.filters.count_ones() > 1 && d.qos >= effective_qos(publisher.qos, pair, &receiver.granted) {
            pair.at_best.insert(d.number);
        }
        let copy = pair.count_copy(d.number) as u64;
        let survived = pair.survived(d.number);
        if pair.owing.remove(d.number) {
            self.owed -= 1;
            receiver.owing -= 1;
        }
        let paths = u64::from((pair.filters & receiver.asked).count_ones()).max(1);
        let too_many = copy > paths * attempts && !publisher.blamed.contains(d.number);
        if survived {
            self.not_taken(1);
        }
        Copy { wrong_qos: d.qos < low || d.qos > high, out_of_order, too_many }
    }

    /// It came, and the receiver itself sent it away [MQTT-4.3.3-4]: the broker owes it no longer, and may not send it again.
    pub(super) fn declined(&mut self, client: ClientId, publisher: ClientId, number: u32, excuse: Excuse) {
        let receiver = &mut self.receivers[client.index()];
        let Some(pair) = receiver.pairs.get_mut(publisher.0) else { return };
        if !pair.has(number) && pair.declined.insert(number) {
            *self.tally.excuses.entry(excuse).or_default() += 1;
        }
        if pair.owing.remove(number) {
            self.owed -= 1;
            receiver.owing -= 1;
        }
    }

    /// It came under an identifier that the receiver holds for another message, and was taken for that one. A broker that a kill
    /// made forget what it had in flight cannot know; any other gave the identifier twice, and has lost this message by it.
    pub(super) fn masked(&mut self, client: ClientId, publisher: ClientId, number: u32) {
        if !self.may_have_forgotten(client) {
            return;
        }
        let pair = self.receivers[client.index()].pairs.get_mut(publisher.0);
        let Some(pair) = pair.filter(|pair| pair.is_due(number) || pair.excused.contains(number)) else { return };
        if pair.survived(number) {
            self.not_taken(1); // it is counted here
        }
        self.declined(client, publisher, number, self.kill_excuse());
    }

    /// A broker that was killed may have forgotten what is in flight, or the session: its identifiers then begin anew.
    fn may_have_forgotten(&self, client: ClientId) -> bool {
        !self.kills.at.is_empty() || self.sessions[client.index()].murky
    }

    /// Published 1 and granted 0, copies are allowed [MQTT-3.8.4-6]; at QoS 1 they are legal, and counted.
    fn count_duplicate(&mut self, case: Case, published: u8, qos: u8, memory_lost: bool) {
        self.tally.duplicates[usize::from(qos.min(2))] += 1;
        let group = case.publisher.map(|p| usize::from(self.promises.clients[p.index()].group));
        if let Some(count) = group.and_then(|g| self.tally.duplicated_by_group.get_mut(g)) {
            *count += 1;
        }
        match qos {
            0 if published == 0 => self.breach(Breach::Qos0Duplicated, case),
            2 if !memory_lost => self.breach(Breach::Qos2Duplicated, case),
            _ => {}
        }
    }

    /// Which receiver a copy counts for: the client itself, or a share group it is in.
    fn receiver_of(&self, c: usize, p: usize, number: u32) -> Option<usize> {
        let own = self.receivers[c].pairs.get(index(p)).map(|pair| (c, pair.has(number)));
        if self.groups.is_empty() {
            return own.map(|(r, _)| r);
        }
        let shares = self.groups_of(c);
        let mut all: Vec<(usize, bool)> = own.into_iter().collect();
        all.extend(shares.filter_map(|r| self.receivers[r].pairs.get(index(p)).map(|pair| (r, pair.has(number)))));
        all.iter().find(|(_, has)| !has).or(all.first()).map(|(r, _)| *r)
    }

    pub(super) fn strange(&mut self, client: ClientId, what: Strange, retain: bool) {
        let case = Case { subscriber: Some(client), ..Case::default() };
        match what {
            Strange::Foreign => self.tally.foreign += 1,
            Strange::Corrupt { .. } if retain => self.tally.foreign += 1,
            Strange::Corrupt { topic_of } => {
                if let Some(publisher) = topic_of
                    && let Some(pair) = self.receivers[client.index()].pairs.get_mut(publisher.0)
                {
                    pair.corrupt += 1;
                }
                self.breach(Breach::Corrupt, Case { publisher: topic_of, ..case });
            }
            Strange::Phantom => self.breach(Breach::Phantom, case),
            Strange::Dollar => self.breach(Breach::DollarTopic, case),
        }
    }

    pub(super) fn protocol(&mut self, client: ClientId, breach: WireBreach) {
        if breach == WireBreach::IdInUse && self.may_have_forgotten(client) {
            return;
        }
        let breach = match breach {
            WireBreach::IdInUse => Breach::IdInUse,
            WireBreach::Malformed => Breach::Malformed,
            WireBreach::Unexpected => Breach::Unexpected,
            WireBreach::ReceiveMaximum => Breach::ReceiveMaximum,
            WireBreach::Flags => Breach::Flags,
            WireBreach::TopicAlias => Breach::TopicAlias,
            WireBreach::Authentication => Breach::Authentication,
            WireBreach::PacketTooLarge => Breach::PacketTooLarge,
        };
        self.breach(breach, Case { subscriber: Some(client), ..Case::default() });
    }
}

/// The lowest and the highest QoS a copy may come with: with overlapping filters, a copy may be for any of them.
fn allowed_qos(published: u8, pair: &Pair, bounds: &[Option<Bounds>]) -> (u8, u8) {
    let matching = || bounds.iter().enumerate().filter(|(f, _)| pair.filters & bit(*f) != 0).filter_map(|(_, b)| *b);
    let low = matching().map(|b| b.low).min().unwrap_or(0);
    let high = matching().map(|b| b.high).max().unwrap_or(published);
    (published.min(low), published.min(high))
}
