//! The stories behind breaches: a short ring of events for each client, searched when something is suspicious.

use super::outcome::{Direction, Evidence, Moment};
use super::rules::Breach;
use crate::promise::Promises;
use crate::time::Instant;
use crate::trace::{Ack, ClientId, EndedBy, Event, Timeout, What};
use std::collections::{BTreeMap, VecDeque};

/// Events kept for each client.
const RING: usize = 32;
/// Clients in a run up to which rings are kept for all; beyond, shorter ones.
const MANY: usize = 2_000;
/// Stories of one kind of breach that are told; all are counted.
const STORIES: usize = 5;

/// Keeps what is needed to tell a story, and the stories told.
#[derive(Debug)]
pub(super) struct Archive {
    rings: Vec<VecDeque<Event>>,
    size: usize,
    told: BTreeMap<Breach, usize>,
    pub stories: Vec<Evidence>,
}

/// Whom and what a breach concerns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Case {
    pub publisher: Option<ClientId>,
    pub number: Option<u32>,
    pub subscriber: Option<ClientId>,
}

impl Archive {
    pub fn new(clients: usize) -> Self {
        let size = if clients > MANY { 8 } else { RING };
        Self { rings: vec![VecDeque::new(); clients], size, told: BTreeMap::new(), stories: Vec::new() }
    }

    pub fn keep(&mut self, event: &Event) {
        if let Some(ring) = self.rings.get_mut(event.client.index()) {
            if ring.len() == self.size {
                ring.pop_front();
            }
            ring.push_back(*event);
        }
    }

    /// Tells a breach's story, unless enough of its kind were told.
    pub fn tell(&mut self, breach: Breach, case: Case, promises: &Promises) {
        let told = self.told.entry(breach).or_default();
        if *told >= STORIES {
            return;
        }
        *told += 1;
        let (time_line, partial) = self.time_line(case, promises);
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

    fn time_line(&self, case: Case, promises: &Promises) -> (Vec<Moment>, bool) {
        let mut events: Vec<&Event> = Vec::new();
        for client in [case.publisher, case.subscriber].into_iter().flatten() {
            if let Some(ring) = self.rings.get(client.index()) {
                events.extend(ring.iter().filter(|e| concerns(e, case)));
            }
        }
        events.sort_by_key(|e| (e.at, e.client));
        events.dedup();
        let has_first_send = case.number.is_none()
            || events.iter().any(|e| matches!(e.what, What::Sent(s) if Some(s.number) == case.number));
        let mut copies = 0;
        let mut moments: Vec<Moment> = Vec::new();
        for event in events {
            let mut moment = moment(event, promises);
            if let What::Delivered(d) = event.what
                && Some(d.number) == case.number
                && Some(d.publisher) == case.publisher
            {
                copies += 1;
                moment.note = match copies {
                    1 => "first copy".into(),
                    2 => "second copy".into(),
                    n => format!("copy {n}"),
                };
            }
            moments.push(moment);
        }
        let (from, to) = match (moments.first(), moments.last()) {
            (Some(first), Some(last)) => (first.at, last.at),
            _ => (Instant::ZERO, Instant::ZERO),
        };
        for fault in promises.faults.iter().filter(|f| f.at >= from && f.at <= to) {
            let (who, what) = ("run".to_owned(), fault.what.clone());
            moments.push(Moment { at: fault.at, who, direction: Direction::None, what, note: String::new() });
        }
        moments.sort_by_key(|m| m.at);
        (moments, !has_first_send)
    }
}

/// An event belongs into a story if it is about the message, or about the state of a connection.
fn concerns(event: &Event, case: Case) -> bool {
    match event.what {
        What::Sent(s) => Some(event.client) == case.publisher && near(s.number, case),
        What::Acked { number, .. } | What::Discarded { number, .. } => {
            Some(event.client) == case.publisher && near(number, case)
        }
        What::Delivered(d) => Some(d.publisher) == case.publisher && near(d.number, case),
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
    let receiver = case.subscriber.map(|s| format!("seen by {}", promises.name(s)));
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
        What::Strange { what, qos, length, .. } => (In, format!("PUBLISH, QoS {qos}, {length} bytes: {what:?}")),
        What::Connecting { attempt, .. } => (State, format!("opens a connection, attempt {attempt}")),
        What::TransportOpen => (Out, "CONNECT".into()),
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
        What::Protocol(breach) => (State, format!("the broker broke the protocol: {breach:?}")),
    };
    Moment { at: event.at, who: promises.name(event.client).to_owned(), direction, what, note: String::new() }
}

fn ended(by: EndedBy) -> String {
    match by {
        EndedBy::Client => "leaves".into(),
        EndedBy::ClientTimeout(Timeout::Heal) => "connection reset at the heal".into(),
        EndedBy::ClientTimeout(t) => format!("gives up waiting: {t:?}"),
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
