//! The stories behind breaches: a short ring of events for each client, searched when something is suspicious.

use super::outcome::{Direction, Evidence, Moment};
use super::rules::Breach;
use crate::promise::Promises;
use crate::time::Duration;
use crate::trace::{Ack, ClientId, EndedBy, Event, FaultMark, LinkLoss, Sent, Timeout, What};
use std::collections::{BTreeMap, VecDeque};

/// Events kept for each client.
const RING: usize = 32;
/// Clients in a run up to which rings are kept for all; beyond, shorter ones.
const MANY: usize = 2_000;
/// Packets that a client's link lost, kept for each client.
const LOSSES: usize = 24;
/// Stories of one kind of breach that are told; all are counted.
const STORIES: usize = 5;
/// Suspects whose beginning is kept at a time.
const SUSPECTS: usize = 64;
/// How much of what a client did before the message is part of its story.
const BEFORE: Duration = Duration::from_secs(2);

/// Keeps what is needed to tell a story, and the stories told.
#[derive(Debug)]
pub(super) struct Archive {
    rings: Vec<VecDeque<Event>>,
    losses: BTreeMap<u32, VecDeque<Event>>,
    size: usize,
    /// Owed messages that later ones have overtaken: what the rings knew then. A loss is proved only at the end of a run, when the
    /// rings have long turned over.
    suspects: BTreeMap<Case, Vec<Event>>,
    told: BTreeMap<Breach, usize>,
    pub stories: Vec<Evidence>,
}

/// Whom and what a breach concerns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Case {
    pub publisher: Option<ClientId>,
    pub number: Option<u32>,
    pub subscriber: Option<ClientId>,
}

impl Archive {
    pub fn new(clients: usize) -> Self {
        let size = if clients > MANY { 8 } else { RING };
        Self {
            rings: vec![VecDeque::new(); clients],
            losses: BTreeMap::new(),
            size,
            suspects: BTreeMap::new(),
            told: BTreeMap::new(),
            stories: Vec::new(),
        }
    }

    pub fn keep(&mut self, event: &Event) {
        let (ring, size) = match event.what {
            What::LinkLost { .. } => (self.losses.entry(event.client.0).or_default(), LOSSES.min(self.size)),
            _ => match self.rings.get_mut(event.client.index()) {
                Some(ring) => (ring, self.size),
                None => return,
            },
        };
        if ring.len() == size {
            ring.pop_front();
        }
        ring.push_back(*event);
    }

    /// A later message came before one that is owed: if that one is lost, its story begins here.
    pub fn suspect(&mut self, case: Case) {
        if self.suspects.len() < SUSPECTS && !self.suspects.contains_key(&case) {
            let events = self.events(case);
            self.suspects.insert(case, events);
        }
    }

    /// It has come after all.
    pub fn acquit(&mut self, case: Case) {
        if !self.suspects.is_empty() {
            self.suspects.remove(&case);
        }
    }

    /// What the rings know of it now.
    fn events(&self, case: Case) -> Vec<Event> {
        let mut events = Vec::new();
        for client in [case.publisher, case.subscriber].into_iter().flatten() {
            events.extend(self.rings.get(client.index()).into_iter().flatten().filter(|e| concerns(e, case)));
            events.extend(self.losses.get(&client.0).into_iter().flatten());
        }
        events
    }

    /// Tells a breach's story, unless enough of its kind were told.
    pub fn tell(&mut self, breach: Breach, case: Case, promises: &Promises, faults: &[FaultMark]) {
        let told = self.told.entry(breach).or_default();
        if *told >= STORIES {
            return;
        }
        *told += 1;
        let (time_line, partial) = self.time_line(case, promises, faults);
        let rule = breach.rule();
        self.stories.push(Evidence {
            guarantee: rule.guarantee,
            breach: rule.name,
            title: title(rule.name, case, promises),
            rule: rule.sentence,
            statements: rule.statements,
            publisher: case.publisher,
            number: case.number,
            subscriber: case.subscriber,
            time_line,
            partial,
        });
    }

    fn time_line(&self, case: Case, promises: &Promises, faults: &[FaultMark]) -> (Vec<Moment>, bool) {
        let mut events = match self.suspects.get(&case) {
            // Of what came later, only what happened to the message itself.
            Some(kept) => {
                let later = self.events(case).into_iter().filter(|e| is_the_message(e, case));
                kept.iter().copied().chain(later).collect()
            }
            None => self.events(case),
        };
        events.sort_by_key(|e| (e.at, e.seen, e.client));
        events.dedup();
        let whole = case.number.is_none() || events.iter().any(|e| is_its_first_sending(e, case));
        if let Some(first) = events.iter().find(|e| about_a_message(e)).map(|e| e.at) {
            events.retain(|e| e.at + BEFORE >= first);
        }
        let mut moments = moments(&events, case, promises);
        if let (Some(from), Some(to)) = (moments.first().map(|m| m.at), moments.last().map(|m| m.at)) {
            let during = faults.iter().filter(|f| f.at <= to && f.at + f.lasted.unwrap_or_default() >= from);
            moments.extend(during.map(fault));
        }
        moments.sort_by_key(|m| m.at);
        (moments, !whole)
    }
}

/// A fault as a line of its own.
fn fault(f: &FaultMark) -> Moment {
    let note = f.lasted.map_or_else(String::new, |d| format!("for {:.1} s", d.as_secs_f64()));
    Moment { at: f.at, who: "run".into(), direction: Direction::None, what: f.what.clone(), note }
}

/// The events in words: copies numbered, a client's answers beside what they answer, losses in a row as one.
fn moments(events: &[Event], case: Case, promises: &Promises) -> Vec<Moment> {
    let mut copies = 0;
    let mut moments: Vec<Moment> = Vec::new();
    let mut losses = (None, 0, 0);
    for event in events {
        if let What::LinkLost { up, why, bytes } = event.what {
            let same = losses.0 == Some((event.client, up, why));
            losses = (
                Some((event.client, up, why)),
                if same { losses.1 + 1 } else { 1 },
                if same { losses.2 + bytes } else { bytes },
            );
            let moment = lost(event, up, why, losses.1, losses.2, promises);
            match moments.last_mut().filter(|_| same) {
                Some(last) => *last = Moment { at: last.at, ..moment },
                None => moments.push(moment),
            }
            continue;
        }
        losses.0 = None;
        let mut moment = moment(event, promises);
        let answer = if let What::Delivered(d) = event.what {
            if Some(d.number) == case.number && Some(d.publisher) == case.publisher {
                copies += 1;
                moment.note = match copies {
                    1 => "first copy".into(),
                    2 => "second copy".into(),
                    n => format!("copy {n}"),
                };
            }
            answer(d.qos, d.packet_id)
        } else {
            None
        };
        let answer =
            answer.map(|what| Moment { direction: Direction::Out, what, note: String::new(), ..moment.clone() });
        moments.push(moment);
        moments.extend(answer);
    }
    moments
}

/// What squall's client answers to a message, in the same turn.
fn answer(qos: u8, packet_id: u16) -> Option<String> {
    match qos {
        1 => Some(format!("PUBACK id {packet_id}")),
        2 => Some(format!("PUBREC id {packet_id}")),
        _ => None,
    }
}

fn lost(event: &Event, up: bool, why: LinkLoss, packets: u32, bytes: u32, promises: &Promises) -> Moment {
    let what = match (packets, bytes) {
        (1, 0) => "TCP hand-shake".to_owned(),
        (n, 0) => format!("TCP hand-shake, {n} packets"),
        (1, bytes) => format!("{bytes} B of MQTT"),
        (n, bytes) => format!("{bytes} B of MQTT in {n} packets"),
    };
    let note = match why {
        LinkLoss::Random => "link: lost",
        LinkLoss::Queue => "link: lost, queue full",
        LinkLoss::Outage => "link: lost, outage",
    };
    let direction = if up { Direction::Out } else { Direction::In };
    Moment { at: event.at, who: promises.name(event.client).to_owned(), direction, what, note: note.into() }
}

fn is_the_message(event: &Event, case: Case) -> bool {
    match event.what {
        What::Sent(Sent { number, .. }) | What::Acked { number, .. } | What::Discarded { number, .. } => {
            Some(event.client) == case.publisher && Some(number) == case.number
        }
        What::Delivered(d) => Some(d.publisher) == case.publisher && Some(d.number) == case.number,
        _ => false,
    }
}

fn is_its_first_sending(event: &Event, case: Case) -> bool {
    matches!(event.what, What::Sent(s) if !s.resend && s.attempt == 1) && is_the_message(event, case)
}

fn about_a_message(event: &Event) -> bool {
    matches!(event.what, What::Sent(_) | What::Acked { .. } | What::Delivered(_) | What::Declined { .. })
}

/// An event belongs into a story if it is about the message, or about the state of a connection.
fn concerns(event: &Event, case: Case) -> bool {
    match event.what {
        What::Sent(s) => Some(event.client) == case.publisher && near(s.number, case),
        What::Acked { number, .. } | What::Discarded { number, .. } => {
            Some(event.client) == case.publisher && near(number, case)
        }
        What::Delivered(d) => Some(d.publisher) == case.publisher && near(d.number, case),
        What::Declined { publisher, number } => Some(publisher) == case.publisher && near(number, case),
        What::LinkLost { .. } => false, // kept apart
        _ => true,
    }
}

/// The message itself and its neighbours, which show order.
fn near(number: u32, case: Case) -> bool {
    case.number.is_none_or(|n| number.abs_diff(n) <= 1)
}

fn title(name: &str, case: Case, promises: &Promises) -> String {
    let message = case.publisher.map(|p| match case.number {
        Some(n) => format!("message {} #{n}", promises.name(p)),
        None => format!("client {}", promises.name(p)),
    });
    let by = if ["lost", "stuck", "frozen"].contains(&name) { "owed to" } else { "seen by" };
    let receiver = case.subscriber.map(|s| format!("{by} {}", promises.name(s)));
    let parts: Vec<String> = [message, Some(name.to_owned()), receiver].into_iter().flatten().collect();
    parts.join(", ")
}

fn moment(event: &Event, promises: &Promises) -> Moment {
    use Direction::{In, None as State, Out};
    let (direction, what) = match event.what {
        What::Sent(s) => {
            let id = if s.packet_id == 0 { String::new() } else { format!(" id {}", s.packet_id) };
            let dup = if s.resend { " DUP" } else { "" };
            let anew = if s.attempt > 1 && !s.resend { format!(", attempt {}", s.attempt) } else { String::new() };
            (Out, format!("PUBLISH #{}{id}{dup}{anew}", s.number))
        }
        What::Discarded { number, why, .. } => (State, format!("message #{number} never sent: {why:?}")),
        What::Acked { number, ack, reason } => {
            let name = match ack {
                Ack::PubAck => "PUBACK",
                Ack::PubRec => "PUBREC",
                Ack::PubComp => "PUBCOMP",
            };
            let code = if reason == 0 { String::new() } else { format!(", reason 0x{reason:02X}") };
            (In, format!("{name} for #{number}{code}"))
        }
        What::Delivered(d) => {
            let id = if d.packet_id == 0 { String::new() } else { format!(" id {}", d.packet_id) };
            let flags =
                [(d.dup, " DUP"), (d.retain, " RETAIN")].iter().filter(|f| f.0).map(|f| f.1).collect::<String>();
            (In, format!("PUBLISH {} #{}, QoS {}{id}{flags}", promises.name(d.publisher), d.number, d.qos))
        }
        What::Declined { publisher, number } => {
            (In, format!("PUBLISH {} #{number}: declined", promises.name(publisher)))
        }
        What::Strange { what, qos, length, .. } => (In, format!("PUBLISH, QoS {qos}, {length} bytes: {what:?}")),
        What::Connecting { attempt, .. } => (State, format!("opens a connection, attempt {attempt}")),
        What::TcpOpen => (Out, "TLS or WebSocket handshake".into()),
        What::TransportOpen => (Out, "CONNECT".into()),
        What::Redirected { reason, to } => {
            let to = to.map_or_else(|| "it does not say which".to_owned(), |name| format!("{name:?}"));
            (In, format!("sent to another server, reason 0x{reason:02X}: {to}"))
        }
        What::Connected { reason: 0, session_present, .. } => {
            (In, format!("CONNACK, session {}", if session_present { "present" } else { "new" }))
        }
        What::Connected { reason, .. } => (In, format!("CONNACK, refused 0x{reason:02X}")),
        What::SubscribeSent { filter } => (Out, format!("SUBSCRIBE {}", filter_name(event.client, filter, promises))),
        What::Subscribed { filter, granted } => {
            (In, format!("SUBACK {}, granted {granted}", filter_name(event.client, filter, promises)))
        }
        What::UnsubscribeSent { filter } => {
            (Out, format!("UNSUBSCRIBE {}", filter_name(event.client, filter, promises)))
        }
        What::Disconnected { by, in_flight, .. } => (State, format!("{}; {in_flight} in flight", ended(by))),
        What::SessionEnded => (State, "its session has ended".into()),
        What::MemoryLost => (State, "lost its memory".into()),
        What::RepeatSuppressed { packet_id } => (In, format!("PUBLISH id {packet_id} again: suppressed")),
        What::Masked { publisher, number } => {
            (In, format!("that was {} #{number}, under an identifier in use", promises.name(publisher)))
        }
        What::ReleasedAgain { packet_id } => (Out, format!("PUBREL id {packet_id} again")),
        What::LinkLost { up: true, .. } => (Out, "lost".into()),
        What::LinkLost { up: false, .. } => (In, "lost".into()),
        What::Protocol(breach) => (State, format!("the broker broke the protocol: {breach:?}")),
        What::Unmarked { qos, packet_id, resend } => {
            let id = if packet_id == 0 { String::new() } else { format!(" id {packet_id}") };
            (Out, format!("PUBLISH of its own, QoS {qos}{id}{}", if resend { ", again" } else { "" }))
        }
        What::Faulty { fault, packet_id, .. } => {
            let id = if packet_id == 0 { String::new() } else { format!(", id {packet_id}") };
            (State, format!("the client broke the protocol: {}{id}", Breach::Client(fault).rule().name))
        }
        What::Unsubscribed { filter } => (In, format!("UNSUBACK {}", filter_name(event.client, filter, promises))),
        What::Pinged => (Out, "PINGREQ".into()),
        What::Silent { keep_alive, .. } => (State, format!("goes silent; its keep alive is {keep_alive} s")),
        What::TakesOver => (State, "leaves its connection open, and connects anew".into()),
        What::OldConnectionClosed { reason: None } => (In, "the old connection is closed".into()),
        What::OldConnectionClosed { reason: Some(reason) } => {
            (In, format!("the old connection is closed, reason 0x{reason:02X}"))
        }
        What::Will(w) => {
            let retain = if w.retain { " RETAIN" } else { "" };
            (In, format!("the will of {}, connection {}, QoS {}{retain}", promises.name(w.of), w.connection, w.qos))
        }
        What::ClearSent => (Out, "PUBLISH RETAIN, empty".into()),
        What::ClearAcked => (In, "acknowledged: the empty message".into()),
        What::ExpiryLeft { left: Some(left) } => (In, format!("expiry of the next: {left} s left")),
        What::ExpiryLeft { left: None } => (In, "expiry of the next: gone".into()),
        What::Altered { what, .. } => (In, format!("the next was altered: {what:?}")),
    };
    Moment { at: event.at, who: promises.name(event.client).to_owned(), direction, what, note: String::new() }
}

fn ended(by: EndedBy) -> String {
    match by {
        EndedBy::Client => "leaves".into(),
        EndedBy::ClientTimeout(Timeout::Heal) => "connection reset at the heal".into(),
        EndedBy::ClientTimeout(t) => format!("gives up waiting: {t:?}"),
        EndedBy::Vanished => "leaves without a word".into(),
        EndedBy::PowerCut => "power cut".into(),
        EndedBy::Broker(Some(reason)) => format!("the broker ends the connection, reason 0x{reason:02X}"),
        EndedBy::Broker(None) => "the broker ends the connection".into(),
        EndedBy::Reset => "connection reset".into(),
        EndedBy::Harness => "the harness could not open a connection".into(),
    }
}

fn filter_name(client: ClientId, filter: u16, promises: &Promises) -> String {
    let subscription = promises.clients.get(client.index()).and_then(|c| c.subscriptions.get(usize::from(filter)));
    subscription.map_or_else(|| "?".into(), |s| s.filter.clone())
}
