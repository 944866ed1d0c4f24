//! The judge: what was promised against what was seen, message by message.
//!
//! It knows [`crate::trace`], [`crate::promise`] and [`crate::time`] alone, and shares no code with what it judges.
//! It consumes the trace as it happens; a history without incident costs a run or two per (publisher, receiver).

mod evidence;
mod judgement;
pub mod outcome;
mod pair;
pub mod rules;
pub mod runs;

use crate::promise::{Durability, Promises, SessionPromise};
use crate::trace::{
    Ack, Breach as WireBreach, ClientId, Delivered, EndedBy, Event, FaultKind, FaultMark, Sent, Strange, What,
};
use evidence::{Archive, Case};
use pair::Pair;
use rules::Breach;
use runs::Runs;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A named reason that excuses a loss.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Excuse {
    SessionEnded,
    Unsubscribed,
    Killed,
    OfflineQueue,
    ShareMemberLeft,
}

impl Excuse {
    const ALL: [Self; 5] =
        [Self::SessionEnded, Self::Unsubscribed, Self::Killed, Self::OfflineQueue, Self::ShareMemberLeft];

    const fn reason(self) -> &'static str {
        match self {
            Self::SessionEnded => "the subscriber's session had ended",
            Self::Unsubscribed => "the subscriber had unsubscribed",
            Self::Killed => "the broker was killed, and does not declare that this survives",
            Self::OfflineQueue => "more waited than the broker's declared offline queue holds",
            Self::ShareMemberLeft => "a member of the share group had left",
        }
    }
}

/// What one client has published.
#[derive(Debug, Default)]
struct Publisher {
    qos: u8,
    sent: Runs,
    /// Finally and positively acknowledged.
    acked: Runs,
    /// The next number that was never sent.
    next: u32,
    /// Sent at QoS 1 or 2 and not answered for good.
    open: u64,
    answered: Runs,
    /// Attempts of messages published more than once.
    attempts: BTreeMap<u32, u16>,
    /// Receivers (clients, then share groups) with a matching filter.
    receivers: Vec<u32>,
}

/// One client as a receiver, or one share group.
#[derive(Debug, Default)]
struct Receiver {
    /// By filter: the QoS granted, while subscribed.
    granted: Vec<Option<u8>>,
    pairs: BTreeMap<u32, Pair>,
    shared: bool,
    connected: bool,
    memory_lost: bool,
    /// Messages acknowledged and due while it was away; and the most there ever were.
    queued: u64,
    most_queued: u64,
    /// Members of a share group that are subscribed.
    members: u32,
}

/// What is known of one client's session.
#[derive(Clone, Copy, Debug, Default)]
struct SessionState {
    may_exist: bool,
    amnesty: bool,
}

/// Counts behind the sentences.
#[derive(Debug, Default)]
struct Tally {
    deliveries: u64,
    duplicates: [u64; 3],
    retained: u64,
    foreign: u64,
    resends: [u64; 3],
    cut_in_flight: [u64; 3],
    suppressed: u64,
    sessions_checked: u64,
    sessions_resumed: u64,
    connections: u64,
    order_checked: u64,
    breaches: BTreeMap<Breach, u64>,
    excuses: BTreeMap<Excuse, u64>,
    lost_by_group: Vec<u64>,
    duplicated_by_group: Vec<u64>,
}

/// Judges one run.
///
/// Calling order: [`Judge::observe`] for each event in the order of [`Event::seen`], [`Judge::fault`] when one was done,
/// [`Judge::drained`] when the drain is over, [`Judge::finish`].
#[derive(Debug)]
pub struct Judge {
    promises: Arc<Promises>,
    publishers: Vec<Publisher>,
    receivers: Vec<Receiver>,
    /// By client and filter: the share group's index among the receivers.
    groups: BTreeMap<(u32, u16), u32>,
    sessions: Vec<SessionState>,
    tally: Tally,
    archive: Archive,
    owed: u64,
    drained: bool,
    faults: Vec<FaultMark>,
}

impl Judge {
    /// A judge of a run with these promises.
    #[must_use]
    pub fn new(promises: Arc<Promises>) -> Self {
        let clients = promises.clients.len();
        let mut judge = Self {
            publishers: Vec::with_capacity(clients),
            receivers: Vec::with_capacity(clients),
            groups: BTreeMap::new(),
            sessions: vec![SessionState::default(); clients],
            tally: Tally {
                lost_by_group: vec![0; promises.groups.len()],
                duplicated_by_group: vec![0; promises.groups.len()],
                ..Tally::default()
            },
            archive: Archive::new(clients),
            owed: 0,
            drained: false,
            faults: promises.faults.clone(),
            promises,
        };
        judge.prepare();
        judge
    }

    fn prepare(&mut self) {
        let promises = Arc::clone(&self.promises);
        for client in &promises.clients {
            let qos = client.publishes.as_ref().map_or(0, |p| p.qos);
            self.publishers.push(Publisher { qos, ..Publisher::default() });
            self.receivers.push(Receiver { granted: vec![None; client.subscriptions.len()], ..Receiver::default() });
        }
        let mut by_share: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for (c, client) in promises.clients.iter().enumerate() {
            for (f, subscription) in client.subscriptions.iter().enumerate() {
                let mut receiver = index(c);
                let mut bit = 1 << f.min(63);
                if let Some(share) = &subscription.share {
                    receiver = *by_share.entry((share, &subscription.filter)).or_insert_with(|| {
                        self.receivers.push(Receiver { granted: vec![None], shared: true, ..Receiver::default() });
                        index(self.receivers.len() - 1)
                    });
                    self.groups.insert((index(c), index16(f)), receiver);
                    bit = 1;
                }
                for (p, publisher) in promises.clients.iter().enumerate() {
                    let Some(publishes) = &publisher.publishes else { continue };
                    if !subscription.matches(&publishes.topic) || (subscription.no_local && p == c) {
                        continue;
                    }
                    let pair = self.receivers[receiver as usize].pairs.entry(index(p)).or_default();
                    if pair.filters == 0 {
                        self.publishers[p].receivers.push(receiver);
                    }
                    pair.filters |= bit;
                }
            }
        }
    }

    /// Deliveries still owed by the broker, and messages it has not answered: a run may end when there are none.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.owed + self.publishers.iter().map(|p| p.open).sum::<u64>()
    }

    /// Copies beyond what is allowed, messages lost, and so on, so far: for a live display.
    #[must_use]
    pub fn breaches(&self) -> u64 {
        self.tally.breaches.values().sum()
    }

    /// Takes note of something that was done to the run.
    pub fn fault(&mut self, fault: &FaultMark) {
        self.faults.push(fault.clone());
        if fault.kind == FaultKind::BrokerKill && self.promises.broker.durability != Durability::Always {
            // Undeclared counts as "nothing survives" for what a kill may take [MQTT 4.1, not normative], and is named.
            for session in &mut self.sessions {
                session.amnesty = true;
            }
            for receiver in 0..self.receivers.len() {
                self.excuse_all(receiver, Excuse::Killed);
            }
        }
    }

    /// The drain is over: connections that end from here on, end because the run does.
    pub fn drained(&mut self) {
        self.drained = true;
    }

    /// Takes one event.
    pub fn observe(&mut self, event: &Event) {
        if self.drained && is_about_connections(&event.what) {
            return;
        }
        self.archive.keep(event);
        let client = event.client;
        let c = client.index();
        match event.what {
            What::Sent(sent) => self.sent(c, sent),
            What::Acked { number, ack, reason } => self.acked(c, number, ack, reason),
            What::Delivered(delivered) => self.delivered(client, delivered),
            What::Strange { what, retain, .. } => self.strange(client, what, retain),
            What::TransportOpen => self.sessions[c].may_exist |= self.is_persistent(c),
            What::Connected { reason: 0, session_present, expected_session } => {
                self.connected(client, session_present, expected_session);
            }
            What::Subscribed { filter, granted } => self.subscribed(c, filter, granted),
            What::UnsubscribeSent { filter } => self.unsubscribed(c, filter),
            What::Disconnected { by, in_flight, .. } => self.disconnected(c, by, in_flight),
            What::SessionEnded => {
                self.close_windows(c, Some(Excuse::SessionEnded));
                self.sessions[c].may_exist = false;
            }
            What::MemoryLost => {
                self.receivers[c].memory_lost = true;
                self.publishers[c].open = 0; // nobody will ask for their acknowledgements again
            }
            What::RepeatSuppressed { .. } => self.tally.suppressed += 1,
            What::Protocol(breach) => self.protocol(client, breach),
            What::Discarded { .. } | What::Connecting { .. } | What::Connected { .. } | What::SubscribeSent { .. } => {}
        }
    }

    fn is_persistent(&self, c: usize) -> bool {
        matches!(self.promises.clients[c].session, SessionPromise::Persistent(_))
    }

    fn breach(&mut self, breach: Breach, case: Case) {
        *self.tally.breaches.entry(breach).or_default() += 1;
        self.archive.tell(breach, case, &self.promises);
    }

    fn excused(&mut self, excuse: Excuse, count: u64) {
        *self.tally.excuses.entry(excuse).or_default() += count;
    }

    // ---- the publisher's side ----

    fn sent(&mut self, c: usize, sent: Sent) {
        let publisher = &mut self.publishers[c];
        let qos = usize::from(publisher.qos.min(2));
        if sent.resend {
            self.tally.resends[qos] += 1;
            return;
        }
        if publisher.sent.insert(sent.number) {
            publisher.next = publisher.next.max(sent.number + 1);
            publisher.open += u64::from(publisher.qos > 0);
        } else {
            publisher.attempts.insert(sent.number, sent.attempt);
            let receivers = publisher.receivers.clone();
            for r in receivers {
                if let Some(pair) = self.receivers[r as usize].pairs.get_mut(&index(c)) {
                    pair.order.forgive();
                }
            }
        }
    }

    /// *ok* is PUBACK or PUBCOMP below 0x80. A refusal says nothing about who got the message: *unknown*. PUBCOMP 0x92
    /// after a good PUBREC is recovery and no error.
    fn acked(&mut self, c: usize, number: u32, ack: Ack, reason: u8) {
        let refused = reason >= 0x80 && !(ack == Ack::PubComp && reason == 0x92);
        if ack == Ack::PubRec && !refused {
            return;
        }
        let publisher = &mut self.publishers[c];
        if publisher.answered.insert(number) {
            publisher.open = publisher.open.saturating_sub(1);
        }
        if refused || reason == 0x92 || !publisher.acked.insert(number) {
            return;
        }
        for r in self.publishers[c].receivers.clone() {
            let receiver = &mut self.receivers[r as usize];
            let away = !receiver.connected && !receiver.shared;
            if let Some(pair) = receiver.pairs.get(&index(c))
                && pair.is_due(number)
                && !pair.has(number)
                && effective_qos(self.publishers[c].qos, pair, &receiver.granted) > 0
            {
                self.owed += 1;
                receiver.queued += u64::from(away);
                receiver.most_queued = receiver.most_queued.max(receiver.queued);
            }
        }
    }

    fn disconnected(&mut self, c: usize, by: EndedBy, in_flight: u32) {
        self.receivers[c].connected = false;
        if in_flight > 0 && by != EndedBy::Harness {
            self.tally.cut_in_flight[usize::from(self.publishers[c].qos.min(2))] += 1;
        }
        let shares: Vec<u32> = self.groups.range((index(c), 0)..=(index(c), u16::MAX)).map(|(_, r)| *r).collect();
        for receiver in shares {
            self.excuse_all(receiver as usize, Excuse::ShareMemberLeft);
        }
        if !self.is_persistent(c) {
            self.close_windows(c, Some(Excuse::SessionEnded));
        }
    }

    // ---- the subscriber's side ----

    fn connected(&mut self, client: ClientId, present: bool, expected: bool) {
        let c = client.index();
        self.tally.connections += 1;
        self.receivers[c].connected = true;
        self.receivers[c].queued = 0;
        if expected {
            self.tally.sessions_checked += 1;
            self.tally.sessions_resumed += u64::from(present);
        }
        let case = Case { subscriber: Some(client), ..Case::default() };
        if present && !self.sessions[c].may_exist {
            self.breach(Breach::SessionInvented, case);
        }
        if !present && expected {
            if std::mem::take(&mut self.sessions[c].amnesty) {
                self.excused(Excuse::Killed, 1);
                self.close_windows(c, Some(Excuse::Killed));
            } else {
                self.breach(Breach::SessionForgotten, case);
                self.close_windows(c, None);
            }
        } else if !present {
            self.close_windows(c, Some(Excuse::SessionEnded));
        }
        self.sessions[c] = SessionState { may_exist: self.is_persistent(c), amnesty: false };
    }

    fn subscribed(&mut self, c: usize, filter: u16, granted: u8) {
        let group = self.groups.get(&(index(c), filter)).copied();
        let r = group.map_or(c, |g| g as usize);
        let slot = if group.is_some() { 0 } else { usize::from(filter) };
        let receiver = &mut self.receivers[r];
        let Some(place) = receiver.granted.get_mut(slot) else { return };
        if granted >= 0x80 {
            return;
        }
        *place = Some(granted);
        receiver.members += u32::from(group.is_some());
        let bit = 1 << slot.min(63);
        for (p, pair) in &mut receiver.pairs {
            if pair.filters & bit != 0 {
                pair.open(self.publishers[*p as usize].next);
            }
        }
    }

    fn unsubscribed(&mut self, c: usize, filter: u16) {
        if self.groups.contains_key(&(index(c), filter)) {
            return;
        }
        let bit = 1 << usize::from(filter).min(63);
        let receiver = &mut self.receivers[c];
        if let Some(place) = receiver.granted.get_mut(usize::from(filter)) {
            *place = None;
        }
        let granted = receiver.granted.clone();
        let mut excused = 0;
        for (p, pair) in &mut receiver.pairs {
            let still = (0..granted.len()).any(|f| granted[f].is_some() && pair.filters & (1 << f.min(63)) != 0);
            if pair.filters & bit != 0 && !still {
                let publisher = &self.publishers[*p as usize];
                let missing = pair.excuse(publisher.next);
                excused += missing.len();
                self.owed -= missing.and(&publisher.acked).len().min(self.owed);
                pair.close(publisher.next);
            }
        }
        self.excused(Excuse::Unsubscribed, excused);
    }

    /// The session is over: nothing more is due by it. What was due and did not come is excused, or not.
    fn close_windows(&mut self, c: usize, excuse: Option<Excuse>) {
        if let Some(excuse) = excuse {
            self.excuse_all(c, excuse);
        }
        let receiver = &mut self.receivers[c];
        receiver.granted.fill(None);
        for (p, pair) in &mut receiver.pairs {
            pair.close(self.publishers[*p as usize].next);
        }
    }

    fn excuse_all(&mut self, r: usize, excuse: Excuse) {
        let mut count = 0;
        let receiver = &mut self.receivers[r];
        for (p, pair) in &mut receiver.pairs {
            let publisher = &self.publishers[*p as usize];
            let missing = pair.excuse(publisher.next);
            if !missing.is_empty() && effective_qos(publisher.qos, pair, &receiver.granted) > 0 {
                let owed = missing.and(&publisher.acked).len();
                count += owed;
                self.owed -= owed.min(self.owed);
            }
        }
        if count > 0 {
            self.excused(excuse, count);
        }
    }

    fn delivered(&mut self, client: ClientId, d: Delivered) {
        let case = Case { publisher: Some(d.publisher), number: Some(d.number), subscriber: Some(client) };
        let (c, p) = (client.index(), d.publisher.index());
        if self.publishers.get(p).is_none_or(|publisher| !publisher.sent.contains(d.number)) {
            return self.breach(Breach::Phantom, case);
        }
        if d.topic_of != Some(d.publisher) {
            return self.breach(Breach::WrongTopic, case);
        }
        if d.dup && d.qos == 0 {
            self.breach(Breach::Flags, case);
        }
        let Some(r) = self.receiver_of(c, p, d.number) else {
            let echo = p == c && self.promises.clients[c].subscriptions.iter().any(|s| s.no_local);
            return self.breach(if echo { Breach::NoLocal } else { Breach::WrongSubscription }, case);
        };
        if d.retain {
            self.tally.retained += 1;
            return;
        }
        self.tally.deliveries += 1;
        let publisher = &self.publishers[p];
        let receiver = &mut self.receivers[r];
        let pair = receiver.pairs.get_mut(&index(p)).expect("receiver_of found it");
        let effective = effective_qos(publisher.qos, pair, &receiver.granted);
        if d.qos > publisher.qos || (d.qos > effective && receiver.granted.iter().any(Option::is_some)) {
            *self.tally.breaches.entry(Breach::WrongQos).or_default() += 1;
            self.archive.tell(Breach::WrongQos, case, &self.promises);
        }
        let first = !pair.has(d.number);
        let in_order = if d.qos == 1 {
            pair.arrived(d.number);
            true
        } else {
            !first || pair.order.first_copy(d.number)
        };
        let copy = pair.count_copy(d.number);
        if first && pair.is_due(d.number) && publisher.acked.contains(d.number) && effective > 0 {
            self.owed = self.owed.saturating_sub(1);
        }
        let filters = u64::from(pair.filters.count_ones());
        let attempts = u64::from(publisher.attempts.get(&d.number).copied().unwrap_or(1));
        let too_many = copy as u64 > filters * attempts;
        let (memory_lost, shared, published) = (receiver.memory_lost, receiver.shared, publisher.qos);
        self.tally.order_checked += 1;
        if !in_order && attempts == 1 && !shared && !memory_lost {
            self.breach(Breach::OutOfOrder, case);
        }
        if too_many {
            self.count_duplicate(case, published.min(2), d.qos, memory_lost);
        }
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
        let own = self.receivers[c].pairs.get(&index(p)).map(|pair| (c, pair.has(number)));
        if self.groups.is_empty() {
            return own.map(|(r, _)| r);
        }
        let shares = self.groups.range((index(c), 0)..=(index(c), u16::MAX)).map(|(_, r)| *r as usize);
        let mut all: Vec<(usize, bool)> = own.into_iter().collect();
        all.extend(shares.filter_map(|r| self.receivers[r].pairs.get(&index(p)).map(|pair| (r, pair.has(number)))));
        all.iter().find(|(_, has)| !has).or(all.first()).map(|(r, _)| *r)
    }

    fn strange(&mut self, client: ClientId, what: Strange, retain: bool) {
        let case = Case { subscriber: Some(client), ..Case::default() };
        match what {
            Strange::Foreign => self.tally.foreign += 1,
            Strange::Corrupt { .. } if retain => self.tally.foreign += 1,
            Strange::Corrupt { topic_of } => self.breach(Breach::Corrupt, Case { publisher: topic_of, ..case }),
            Strange::Phantom => self.breach(Breach::Phantom, case),
        }
    }

    fn protocol(&mut self, client: ClientId, breach: WireBreach) {
        let breach = match breach {
            WireBreach::Malformed => Breach::Malformed,
            WireBreach::Unexpected => Breach::Unexpected,
            WireBreach::ReceiveMaximum => Breach::ReceiveMaximum,
            WireBreach::Flags => Breach::Flags,
        };
        self.breach(breach, Case { subscriber: Some(client), ..Case::default() });
    }
}

fn is_about_connections(what: &What) -> bool {
    matches!(what, What::Disconnected { .. } | What::SessionEnded | What::MemoryLost | What::Connected { .. })
}

/// [MQTT-3.8.4-6] (5.0: -8) and [MQTT-3.3.5-1]: the lower of published and the highest granted among matching filters.
fn effective_qos(published: u8, pair: &Pair, granted: &[Option<u8>]) -> u8 {
    let best =
        granted.iter().enumerate().filter(|(f, _)| pair.filters & (1 << (*f).min(63)) != 0).filter_map(|(_, g)| *g);
    published.min(best.max().unwrap_or(published))
}

fn index(i: usize) -> u32 {
    u32::try_from(i).expect("fewer than 2^32 clients")
}

fn index16(i: usize) -> u16 {
    u16::try_from(i).unwrap_or(u16::MAX)
}
