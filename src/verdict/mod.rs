//! The judge: what was promised against what was seen, message by message.
//!
//! It knows [`crate::trace`], [`crate::promise`] and [`crate::time`] alone (and [`crate::table`], a kind of map), and shares no code with what it judges.
//! It consumes the trace as it happens; a history without incident costs a run or two per (publisher, receiver).

mod arrivals;
mod client;
mod evidence;
mod excuses;
mod judgement;
mod keep_alive;
mod kills;
mod members;
mod oracle;
pub mod outcome;
mod pair;
mod prepare;
mod properties;
mod retained;
mod roster;
pub mod rules;
pub mod runs;
mod share;
mod strength;
mod subscriptions;
mod take_over;
mod wills;
mod windows;

use crate::promise::{Promises, SessionPromise};
use crate::table::Table;
use crate::time::Instant;
use crate::trace::{Ack, ClientId, EndedBy, Event, FaultMark, Sent, What};
use evidence::{Archive, Case};
use excuses::Excuse;
use kills::Kills;
use oracle::{Findings, Oracle};
use pair::Pair;
use roster::Roster;
use rules::Breach;
use runs::Runs;
use std::collections::BTreeMap;
use std::sync::Arc;
use strength::Tally;

/// What one client has published.
#[derive(Debug, Default)]
struct Publisher {
    qos: u8,
    sent: Runs,
    /// Finally and positively acknowledged.
    acked: Runs,
    /// The next number that was never sent.
    next: u32,
    /// Sent at QoS 1 or 2 and not answered for good, as far as somebody still waits for the answer.
    open: Runs,
    /// When the oldest of them was sent, or became the oldest.
    waits_since: Instant,
    answered: Runs,
    /// When the broker last answered it.
    last_answer: Instant,
    /// QoS 2: a good PUBREC came in this session, and PUBCOMP has not.
    received: Runs,
    /// The part of it whose PUBREC came on the present connection.
    received_here: Runs,
    /// Sent again within the session; and the part of it that was sent again although a later message had been answered: there the
    /// publisher itself may have changed their order.
    resent: Runs,
    overtaken: Runs,
    /// The highest number that was sent on the present connection.
    highest_here: Option<u32>,
    /// Messages of a client under test that it did not send by the rules: what becomes of them says nothing about the broker.
    blamed: Runs,
    /// Attempts of messages published more than once.
    attempts: BTreeMap<u32, u16>,
    /// At each kill of a broker that declares nothing: the number of the next message. What is below may come once more.
    may_return: Vec<u32>,
    /// The broker declares that nobody may publish on its topic, in a version in which it cannot say so.
    denied: bool,
    /// When what is not acknowledged yet was sent first; kept only where messages expire.
    sent_at: BTreeMap<u32, Instant>,
    /// Receivers (clients, then share groups) with a matching filter.
    receivers: Vec<u32>,
}

/// One client as a receiver, or one share group.
#[derive(Debug, Default)]
struct Receiver {
    /// By filter: the QoS granted, while subscribed.
    granted: Vec<Option<u8>>,
    /// By filter: the QoS that copies may come with in this session; they may come before SUBACK and after UNSUBSCRIBE.
    bounds: Vec<Option<Bounds>>,
    /// Filters that were ever asked for, as bits like [`Pair::filters`].
    asked: u64,
    pairs: Table<Pair>,
    shared: bool,
    connected: bool,
    memory_lost: bool,
    /// A client under test that does not let the broker hand it what is due.
    to_blame: bool,
    /// Messages acknowledged, due and not delivered; and the most there ever were while it was away.
    owing: u64,
    most_queued: u64,
    last_delivery: Instant,
    share: share::Share,
}

/// The lowest and the highest QoS that copies for one filter may come with, before the message's own QoS is looked at.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: u8,
    high: u8,
    /// No SUBACK yet.
    pending: bool,
}

/// What is known of one client's session.
#[derive(Clone, Copy, Debug, Default)]
struct SessionState {
    /// The broker may hold one: it was confirmed, or a CONNECT whose CONNACK was never seen may have made it.
    may_exist: bool,
    /// A transport is open, and CONNACK has not come.
    greeting: bool,
    /// When the last CONNECT went out, and the last one that was answered: what the broker did for it, it did later. (CONNACK may
    /// be long on its way, and be seen after the broker that sent it is gone.)
    greeted: Instant,
    since: Instant,
    /// When the CONNECT that made it went out, and when the broker was heard last.
    made: Instant,
    heard: Instant,
    /// A kill may have taken the session, and a CONNECT after it whose CONNACK was never seen may have made another, without
    /// subscriptions: nobody can tell which of them is present at the next return.
    doubtful: bool,
    /// It was present when it was in doubt: the client may hold QoS 2 identifiers of the old one, by which it takes messages of
    /// the new one for repeats. Nothing is due until a session begins that both sides know to be new.
    murky: bool,
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
    /// The sum of [`Pair::owing`], and of [`Publisher::open`].
    owed: u64,
    open: u64,
    drained: bool,
    /// At the end: nobody hears of the broker any more.
    frozen: bool,
    faults: Vec<FaultMark>,
    kills: Kills,
    /// Those that the promises call for.
    oracles: Vec<Box<dyn Oracle>>,
    roster: Roster,
    findings: Findings,
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
            open: 0,
            drained: false,
            frozen: false,
            faults: promises.faults.clone(),
            kills: Kills::default(),
            oracles: Self::oracles_for(&promises),
            roster: Roster::default(),
            findings: Findings::default(),
            promises,
        };
        if !judge.oracles.is_empty() {
            judge.roster = Roster::new(&judge.promises);
        }
        judge.prepare();
        judge
    }

    /// Deliveries still owed by the broker, and messages it has not answered: a run may end when there are none.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.owed + self.open + self.oracles.iter().map(|o| o.owed()).sum::<u64>()
    }

    /// Copies beyond what is allowed, messages lost, and so on, so far: for a live display.
    #[must_use]
    pub fn breaches(&self) -> u64 {
        self.tally.breaches.values().sum()
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
        self.book_kills(Some(event));
        self.note_young(event);
        self.archive.keep(event);
        let client = event.client;
        let c = client.index();
        match event.what {
            What::Sent(sent) => self.sent(c, sent, event.seen),
            What::Acked { number, ack, reason } => {
                self.publishers[c].last_answer = event.seen;
                self.acked(c, number, ack, reason, event.seen);
            }
            What::Delivered(delivered) => self.delivered(client, delivered, event.seen),
            What::Declined { publisher, number } => self.declined(client, publisher, number, Excuse::Declined),
            What::Masked { publisher, number } => self.masked(client, publisher, number),
            What::Strange { what, retain, .. } => self.strange(client, what, retain),
            What::TransportOpen => {
                self.sessions[c].greeting = true;
                self.sessions[c].greeted = event.seen;
            }
            What::Connected { reason: 0, session_present, expected_session } => {
                self.publishers[c].highest_here = None;
                self.connected(client, session_present, expected_session, event.seen);
            }
            What::SubscribeSent { filter } => self.subscribing(c, filter),
            What::Subscribed { filter, granted } => self.subscribed(c, filter, granted),
            What::UnsubscribeSent { filter } => self.unsubscribed(c, filter),
            What::Disconnected { by, in_flight, .. } => self.disconnected(c, by, in_flight),
            What::SessionEnded => {
                self.close_windows(c, Some(Excuse::SessionEnded));
                self.leave_groups(c, true, false);
                self.sessions[c].may_exist = false;
                self.publishers[c].received = Runs::new();
            }
            What::MemoryLost => {
                self.receivers[c].memory_lost = true;
                // Nobody will ask for these acknowledgements again, unless the messages are published anew.
                self.open -= std::mem::take(&mut self.publishers[c].open).len();
                self.publishers[c].received = Runs::new();
            }
            What::RepeatSuppressed { .. } => self.tally.suppressed += 1,
            What::ReleasedAgain { .. } => self.tally.released_again += 1,
            What::Protocol(breach) => self.protocol(client, breach),
            What::Faulty { fault, number, .. } => self.faulty(client, fault, number),
            // The rest is for the further oracles.
            _ => {}
        }
        if comes_from_the_broker(&event.what) {
            self.sessions[c].heard = event.seen;
        }
        if !self.oracles.is_empty() {
            self.consult(event);
        }
    }

    fn is_persistent(&self, c: usize) -> bool {
        matches!(self.promises.clients[c].session, SessionPromise::Persistent(_))
    }

    fn breach(&mut self, breach: Breach, case: Case) {
        *self.tally.breaches.entry(breach).or_default() += 1;
        self.archive.tell(breach, case, &self.promises, &self.faults);
    }

    fn sent(&mut self, c: usize, sent: Sent, seen: Instant) {
        let publisher = &mut self.publishers[c];
        let qos = usize::from(publisher.qos.min(2));
        if publisher.highest_here.is_some_and(|highest| highest > sent.number) {
            publisher.overtaken.insert(sent.number); // by its own publisher
        }
        publisher.highest_here = publisher.highest_here.max(Some(sent.number));
        if qos > 0 && !publisher.answered.contains(sent.number) && publisher.open.insert(sent.number) {
            if publisher.open.len() == 1 {
                publisher.waits_since = seen;
            }
            self.open += 1;
        }
        if publisher.sent.insert(sent.number) {
            if self.promises.clients[c].publishes.as_ref().is_some_and(|p| p.expiry.is_some()) {
                publisher.sent_at.insert(sent.number, seen);
            }
            publisher.next = publisher.next.max(sent.number.saturating_add(1));
            return;
        }
        if sent.resend {
            self.tally.resends[qos] += 1;
            publisher.resent.insert(sent.number);
        } else {
            *publisher.attempts.entry(sent.number).or_insert(1) += 1;
        }
        if publisher.answered.max().is_some_and(|highest| highest > sent.number) {
            publisher.overtaken.insert(sent.number);
        }
        if !self.kills.at.is_empty() {
            // It goes to the broker that came after the kill, which answers for it as for any other.
            let mut back = 0;
            for r in &publisher.receivers {
                if let Some(pair) = self.receivers[*r as usize].pairs.get_mut(index(c)) {
                    back += u64::from(pair.send_again(sent.number));
                }
            }
            self.not_taken(back);
        }
    }

    /// *ok* is PUBACK or PUBCOMP below 0x80. A refusal says nothing about who got the message: *unknown*. PUBCOMP 0x92
    /// is recovery and no error: after a good PUBREC of this session the message is the broker's.
    fn acked(&mut self, c: usize, number: u32, ack: Ack, reason: u8, seen: Instant) {
        let publisher = &mut self.publishers[c];
        let recovered = ack == Ack::PubComp && reason == 0x92 && publisher.received.contains(number);
        let good = reason < 0x80 || recovered;
        if ack == Ack::PubRec && good {
            publisher.received.insert(number);
            publisher.received_here.insert(number);
            return;
        }
        let was_here = publisher.received_here.remove(number);
        publisher.received.remove(number);
        publisher.answered.insert(number);
        if publisher.open.iter().next() == Some(number) {
            publisher.waits_since = seen;
        }
        self.open -= u64::from(publisher.open.remove(number));
        if was_here && ack == Ack::PubComp && reason == 0x92 {
            self.breach(
                Breach::ReleaseUnknown,
                Case { publisher: Some(ClientId(index(c))), number: Some(number), subscriber: None },
            );
        }
        let publisher = &mut self.publishers[c];
        if !good || !publisher.acked.insert(number) {
            return;
        }
        let expiry = self.promises.clients[c].publishes.as_ref().and_then(|p| p.expiry);
        let expires = publisher.sent_at.remove(&number).zip(expiry).map(|(at, lasts)| at + lasts);
        let publisher = &self.publishers[c];
        let denied = publisher.denied && self.takes(Excuse::Denied);
        for r in &publisher.receivers {
            let receiver = &mut self.receivers[*r as usize];
            let away = !receiver.connected && !receiver.shared;
            let waits = away || receiver.owing > 0;
            let Some(pair) = receiver.pairs.get_mut(index(c)).filter(|p| !denied && !p.too_large) else { continue };
            if pair.is_due(number)
                && !pair.has(number)
                && effective_qos(publisher.qos, pair, &receiver.granted) > 0
                && pair.owing.insert(number)
            {
                self.owed += 1;
                receiver.owing += 1;
                pair.expires.extend(expires.filter(|_| waits).map(|at| (number, at)));
                if away {
                    receiver.most_queued = receiver.most_queued.max(receiver.owing);
                }
            }
        }
    }
}

fn comes_from_the_broker(what: &What) -> bool {
    use What::{Acked, Connected, Declined, Delivered, Disconnected, RepeatSuppressed, Subscribed};
    matches!(
        what,
        Acked { .. }
            | Connected { .. }
            | Declined { .. }
            | Delivered(_)
            | RepeatSuppressed { .. }
            | Subscribed { .. }
            | Disconnected { by: EndedBy::Broker(Some(_)), .. }
    )
}

fn is_about_connections(what: &What) -> bool {
    matches!(what, What::Disconnected { .. } | What::SessionEnded | What::MemoryLost | What::Connected { .. })
}

/// [MQTT-3.8.4-6] (5.0: -8) and [MQTT-3.3.5-1]: the lower of published and the highest granted among matching filters.
fn effective_qos(published: u8, pair: &Pair, granted: &[Option<u8>]) -> u8 {
    let best = granted.iter().enumerate().filter(|(f, _)| pair.filters & bit(*f) != 0).filter_map(|(_, g)| *g);
    published.min(best.max().unwrap_or(published))
}

/// A filter's bit in [`Pair::filters`]; filters from 63 on share one.
const fn bit(filter: usize) -> u64 {
    1 << if filter < 63 { filter } else { 63 }
}

fn index(i: usize) -> u32 {
    u32::try_from(i).expect("fewer than 2^32 clients")
}
