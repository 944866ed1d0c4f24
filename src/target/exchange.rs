//! A few messages exchanged with a broker by a small blocking client: whether it works, and what a kill leaves.

use super::stream::{Endpoint, Stream};
use super::{Target, TargetError, ready};
use crate::clock::Clock;
use crate::mqtt::codec::{self, PublishHeader, Sender};
use crate::mqtt::packet::{Ack, Connect, Packet, SubscribeOptions};
use crate::mqtt::properties::Properties;
use crate::mqtt::{PacketId, QoS, Version};
use crate::promise::Durability;
use crate::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read, Write};

/// How long an answer may take (assumed: the slowest broker that was seen needs well under a second).
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing must come until a backlog counts as delivered (assumed).
const QUIET: Duration = Duration::from_secs(2);
/// The longest wait until what may be lost is out of play (assumed: nobody wants to wait longer for one broker).
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// What makes this process's clients and topics its own.
fn mark() -> u32 {
    std::process::id() % 100_000
}

/// A client that waits for each answer.
struct Client {
    stream: Stream,
    unread: Vec<u8>,
    /// Session Present in the CONNACK.
    session_present: bool,
    /// Why it was not let in at once; none: it was.
    tried_again: Option<String>,
}

/// What a broker sent, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Publish { qos: u8, id: Option<PacketId>, payload: Vec<u8> },
    Ack(&'static str, PacketId),
    SubAck(Vec<u8>),
    Other,
}

impl Client {
    /// Connects; as any client does, more than once if a broker that just started is not quite there.
    fn connect(endpoint: &Endpoint, id: &str, clean: bool) -> Result<Self, String> {
        let (mut client, before) = patiently(|| Self::connect_once(endpoint, id, clean))?;
        client.tried_again = before;
        Ok(client)
    }

    fn connect_once(endpoint: &Endpoint, id: &str, clean: bool) -> Result<Self, String> {
        let stream = Stream::connect(endpoint, PATIENCE).map_err(|e| e.to_string())?;
        let mut this = Self { stream, unread: Vec::new(), session_present: false, tried_again: None };
        let connect = Connect {
            version: Version::V311,
            clean_start: clean,
            keep_alive: 60,
            client_id: id,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::EMPTY,
        };
        this.send(&Packet::Connect(connect))?;
        while this.unread.len() < 4 {
            this.fill()?;
        }
        let answer: Vec<u8> = this.unread.drain(..4).collect();
        if answer[0] != 0x20 || answer[3] != 0 {
            return Err(format!("CONNECT was answered with {answer:02x?}"));
        }
        this.session_present = answer[2] == 1;
        Ok(this)
    }

    fn send(&mut self, packet: &Packet<'_>) -> Result<(), String> {
        let mut out = Vec::new();
        codec::encode(packet, Version::V311, &mut out);
        self.stream.write_all(&out).map_err(|e| e.to_string())
    }

    fn fill(&mut self) -> Result<(), String> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err("the broker closed the connection".into()),
            Ok(n) => {
                self.unread.extend_from_slice(&buffer[..n]);
                Ok(())
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                Err("no answer".into())
            }
            Err(e) => Err(e.to_string()),
        }
    }

    /// The next packet.
    fn next(&mut self) -> Result<Told, String> {
        loop {
            let decoded = codec::decode(&self.unread, Version::V311, Sender::Server, codec::MAX_PACKET);
            if let Some((packet, used)) = decoded.map_err(|e| e.to_string())? {
                let told = match packet {
                    Packet::Publish(p) => {
                        Told::Publish { qos: p.qos as u8, id: p.packet_id, payload: p.payload.to_vec() }
                    }
                    Packet::PubAck(a) => Told::Ack("PUBACK", a.packet_id),
                    Packet::PubRec(a) => Told::Ack("PUBREC", a.packet_id),
                    Packet::PubRel(a) => Told::Ack("PUBREL", a.packet_id),
                    Packet::PubComp(a) => Told::Ack("PUBCOMP", a.packet_id),
                    Packet::SubAck(c) => Told::SubAck(c.codes.to_vec()),
                    _ => Told::Other,
                };
                self.unread.drain(..used);
                return Ok(told);
            }
            self.fill()?;
        }
    }

    fn expect(&mut self, name: &'static str, id: PacketId) -> Result<(), String> {
        match self.next()? {
            Told::Ack(is, its) if is == name && its == id => Ok(()),
            other => Err(format!("{name} was due, and {other:?} came")),
        }
    }

    /// Subscribes; the QoS that was granted.
    fn subscribe(&mut self, filter: &str, qos: u8) -> Result<u8, String> {
        let options = SubscribeOptions { qos: level(qos), ..SubscribeOptions::default() };
        let mut out = Vec::new();
        codec::encode_subscribe(Version::V311, id(1), Properties::EMPTY, &[(filter, options)], &mut out);
        self.stream.write_all(&out).map_err(|e| e.to_string())?;
        match self.next()? {
            Told::SubAck(codes) if codes.len() == 1 && codes[0] <= 2 => Ok(codes[0]),
            other => Err(format!("SUBACK was due, and {other:?} came")),
        }
    }

    /// Publishes, and waits until the exchange is complete.
    fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, number: u16) -> Result<(), String> {
        let packet_id = (qos > 0).then(|| id(number));
        let header = PublishHeader { dup: false, qos: level(qos), retain: false, topic, packet_id };
        let mut out = Vec::new();
        codec::encode_publish(Version::V311, header, payload, &mut out);
        self.stream.write_all(&out).map_err(|e| e.to_string())?;
        match qos {
            0 => Ok(()),
            1 => self.expect("PUBACK", id(number)),
            _ => {
                self.expect("PUBREC", id(number))?;
                self.send(&Packet::PubRel(Ack::plain(id(number))))?;
                self.expect("PUBCOMP", id(number))
            }
        }
    }

    /// The next message, acknowledged as far as it can be now: its QoS and payload.
    fn receive(&mut self) -> Result<(u8, Vec<u8>), String> {
        loop {
            match self.next()? {
                Told::Publish { qos, id, payload } => {
                    match id {
                        Some(id) if qos == 1 => self.send(&Packet::PubAck(Ack::plain(id)))?,
                        Some(id) => self.send(&Packet::PubRec(Ack::plain(id)))?,
                        None => {}
                    }
                    return Ok((qos, payload));
                }
                Told::Ack("PUBREL", id) => self.send(&Packet::PubComp(Ack::plain(id)))?,
                _ => {}
            }
        }
    }

    fn leave(mut self) {
        let _ = self.stream.write_all(&[0xE0, 0]).and_then(|()| self.stream.finish());
        // The broker closes when it has read all of it.
        while matches!(self.stream.read(&mut [0; 256]), Ok(n) if n > 0) {}
    }
}

fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("numbers from 1")
}

/// What came of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchanged {
    /// The QoS that the subscription was granted.
    pub granted: u8,
    /// The QoS that the message was delivered at.
    pub delivered: u8,
    /// What came, in words.
    pub words: String,
}

impl Exchanged {
    /// Whether a subscription and a message of this QoS got it, or the highest that is declared; where none is, what was granted counts.
    #[must_use]
    pub fn keeps_its_word(&self, qos: u8, highest: Option<u8>) -> bool {
        let due = highest.map_or(self.granted, |highest| qos.min(highest));
        self.granted == due && self.delivered == due
    }
}

/// Sends one message through the broker; what came. A broker that closes a connection may have a second and a third try, as
/// it has from any client; the words tell.
///
/// # Errors
/// What went wrong, in words.
pub fn exchange(target: &Target, qos: u8) -> Result<Exchanged, String> {
    let (mut exchanged, before) = patiently(|| exchange_once(target, qos))?;
    if let Some(why) = before {
        exchanged.words.push_str(&format!(", not at once: {why}"));
    }
    Ok(exchanged)
}

/// Tries up to three times; what came of it, and why it did not come at once.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, String>) -> Result<(T, Option<String>), String> {
    let mut before = None;
    for _ in 0..2 {
        match attempt() {
            Ok(done) => return Ok((done, before)),
            Err(why) => before = Some(why),
        }
        ready::pause(Duration::from_millis(500));
    }
    attempt().map(|done| (done, before))
}

fn exchange_once(target: &Target, qos: u8) -> Result<Exchanged, String> {
    let endpoint = target.endpoints.usual();
    let topic = format!("squall/check/{}/{qos}", mark());
    let mut subscriber = Client::connect(endpoint, &format!("squall-check-s{}", mark()), true)?;
    let granted = subscriber.subscribe(&topic, qos)?;
    let mut publisher = Client::connect(endpoint, &format!("squall-check-p{}", mark()), true)?;
    publisher.publish(&topic, b"a message", qos, 7)?;
    let (delivered, payload) = subscriber.receive()?;
    if payload != b"a message" {
        return Err("another payload came".into());
    }
    let said = if granted == qos { String::new() } else { format!("granted {granted}, ") };
    let late = [subscriber.tried_again.take(), publisher.tried_again.take()].into_iter().flatten();
    let late: String = late.map(|why| format!(", not let in at once: {why}")).collect();
    publisher.leave();
    subscriber.leave();
    Ok(Exchanged { granted, delivered, words: format!("{said}delivered at {delivered}{late}") })
}

/// What a broker still had after it was killed with messages owed to an offline session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owed {
    /// The QoS of the messages.
    pub qos: u8,
    /// How many were acknowledged before the kill.
    pub owed: usize,
    /// How many of them came back.
    pub came_back: usize,
    /// How many copies came beyond the first.
    pub copies: usize,
    /// Session Present when the subscriber returned.
    pub session_present: bool,
    /// What the broker declares.
    pub declared: Durability,
    /// All of it was younger at the kill than what is declared to survive.
    pub all_younger: bool,
    /// What did not come about at once, and why: `the subscriber: ...`.
    pub tried_again: Vec<String>,
}

impl Owed {
    /// Whether as much came back as it declares, and at QoS 2 nothing twice.
    #[must_use]
    pub fn keeps_its_word(&self) -> bool {
        let kept = match self.declared {
            Durability::Within(_) if self.all_younger => true,
            Durability::Always | Durability::Within(_) => self.came_back == self.owed && self.session_present,
            Durability::None | Durability::Unknown => true,
        };
        kept && (self.qos < 2 || self.copies == 0)
    }
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { qos, owed, came_back, copies, session_present, declared, all_younger, tried_again } = self;
        let younger = if *all_younger { ", and all of these are younger" } else { "" };
        let declared = match declared {
            Durability::Unknown => "nothing is declared".to_owned(),
            Durability::None => "declared: nothing survives".to_owned(),
            Durability::Within(time) => format!("declared: all but the last {time:?} survives{younger}"),
            Durability::Always => "declared: whatever was acknowledged survives".to_owned(),
        };
        let session = u8::from(*session_present);
        write!(
            f,
            "kill -9 with {owed} messages of QoS {qos} owed to an offline session: {came_back} came back, {copies} more than once, Session Present {session}; {declared}"
        )?;
        tried_again.iter().try_for_each(|why| write!(f, "; not at once: {why}"))
    }
}

/// Subscribes, leaves, publishes `count` messages, kills the broker, starts it again, returns, and counts.
///
/// # Errors
/// If squall did not start the broker, or an exchange fails.
pub fn kill_with_owed(target: &mut Target, count: u16) -> Result<Owed, TargetError> {
    let name = target.name.clone();
    let at = |step: &'static str| {
        let name = name.clone();
        move |why: String| TargetError::unavailable(format!("{name}, {step}: {why}"), "")
    };
    let topic = format!("squall/owed/{}", mark());
    let subscriber = format!("squall-owed-s{}", mark());
    let wanted = target.promises.max_qos.unwrap_or(2);
    let endpoint = target.endpoints.usual().clone();
    let mut tried_again = Vec::new();
    let mut tell = |who: &str, why: Option<String>| tried_again.extend(why.map(|why| format!("{who}: {why}")));
    let subscribe = || {
        let mut client = Client::connect(&endpoint, &subscriber, false)?;
        let qos = client.subscribe(&topic, wanted)?;
        let before = client.tried_again.take();
        client.leave();
        Ok((qos, before))
    };
    let ((qos, let_in), subscribed) = patiently(subscribe).map_err(at("the subscriber"))?;
    tell("the subscriber", subscribed.or(let_in));
    let publisher = format!("squall-owed-p{}", mark());
    let mut publisher = Client::connect(&endpoint, &publisher, true).map_err(at("the publisher"))?;
    tell("the publisher", publisher.tried_again.take());
    for number in 1..=count {
        publisher
            .publish(&topic, &number.to_be_bytes(), qos, number)
            .map_err(at("a message for the offline session"))?;
    }
    publisher.leave();
    let declared = target.promises.durability;
    let wait = out_of_play(declared);
    ready::pause(wait.unwrap_or_default());
    target.kill()?;
    target.start_again()?;
    wait_until_it_answers(target)?;
    let mut client = Client::connect(&endpoint, &subscriber, false).map_err(at("the subscriber's return"))?;
    tell("the subscriber's return", client.tried_again.take());
    let session_present = client.session_present;
    let (first, copies) = collect(&mut client, usize::from(count));
    client.leave();
    let (owed, all_younger) = (usize::from(count), wait.is_none());
    Ok(Owed { qos, owed, came_back: first, copies, session_present, declared, all_younger, tried_again })
}

/// How long to wait until what may be lost is not in play any more; none: longer than anybody wants to.
fn out_of_play(declared: Durability) -> Option<Duration> {
    match declared {
        Durability::Within(time) => time.checked_mul(2).filter(|wait| *wait <= LONGEST_WAIT),
        Durability::Unknown | Durability::None | Durability::Always => Some(Duration::ZERO),
    }
}

fn wait_until_it_answers(target: &mut Target) -> Result<(), TargetError> {
    let clock = Clock::start();
    loop {
        if let Some(how) = target.died() {
            return Err(TargetError::unavailable(format!("{} did not come back: {how}", target.name), ""));
        }
        if target.answers()? {
            return Ok(());
        }
        if clock.now() > Instant::ZERO + target.patience() {
            let message = format!("{} did not answer again within {:?}", target.name, target.patience());
            return Err(TargetError::unavailable(message, ""));
        }
        ready::pause(Duration::from_millis(20));
    }
}

/// Receives until nothing comes any more: how many different messages, and how many copies beyond.
fn collect(client: &mut Client, most: usize) -> (usize, usize) {
    // A connection that is gone tells by its next read.
    let _ = client.stream.set_read_timeout(QUIET);
    let (mut seen, mut copies) = (BTreeSet::new(), 0);
    // More copies than that, and something is endless.
    while copies <= most {
        match client.receive() {
            Ok((_, payload)) => copies += usize::from(!seen.insert(payload)),
            Err(_) => break,
        }
    }
    (seen.len(), copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_owed_tells_why_it_was_tried_again() {
        let mut owed = Owed {
            qos: 2,
            owed: 100,
            came_back: 100,
            copies: 0,
            session_present: true,
            declared: Durability::Always,
            all_younger: false,
            tried_again: Vec::new(),
        };
        assert!(owed.to_string().ends_with("whatever was acknowledged survives"), "{owed}");
        owed.tried_again = vec!["the subscriber: it closed".into(), "the subscriber's return: no answer".into()];
        let told = "; not at once: the subscriber: it closed; not at once: the subscriber's return: no answer";
        assert!(owed.to_string().ends_with(told), "{owed}");
    }

    #[test]
    fn what_is_too_young_to_be_kept_is_not_waited_for_and_not_blamed() {
        assert_eq!(out_of_play(Durability::Within(Duration::from_secs(10))), Some(Duration::from_secs(20)));
        assert_eq!(out_of_play(Durability::Within(Duration::from_secs(11))), None);
        assert_eq!(out_of_play(Durability::Within(Duration::MAX)), None);
        let mut owed = Owed {
            qos: 1,
            owed: 100,
            came_back: 0,
            copies: 0,
            session_present: false,
            declared: Durability::Within(Duration::from_secs(1800)),
            all_younger: true,
            tried_again: Vec::new(),
        };
        assert!(owed.keeps_its_word() && owed.to_string().ends_with("and all of these are younger"), "{owed}");
        owed.all_younger = false;
        assert!(!owed.keeps_its_word() && !owed.to_string().contains("younger"), "{owed}");
    }
}
