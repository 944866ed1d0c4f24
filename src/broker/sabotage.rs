//! Where most deliberate defects strike: on the way from a publisher to the sessions. Without defects, the honest way.

use super::core::Broker;
use super::defects::Defect;
use super::journal::Journal;
use super::message::{Charge, Delivery, Message};
use super::router::{Entry, Match};
use super::session::Session;
use crate::mqtt::QoS;
use crate::mqtt::packet::SubscribeOptions;
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::promise::filter_matches;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What defects remember.
#[derive(Debug, Default)]
pub(super) struct Sabotage {
    /// A message held back, by session.
    held_back: BTreeMap<u32, Delivery>,
    last_topic: Box<str>,
    /// Nobody is answered any more.
    pub frozen: bool,
    /// Messages that came with DUP, by number.
    dups: BTreeSet<u64>,
    /// Quota that was not renewed, by session.
    leaked: BTreeMap<u32, usize>,
    /// The last QoS 2 message, by session.
    last: BTreeMap<u32, Delivery>,
}

impl Sabotage {
    pub fn forget_session(&mut self, session: u32) {
        self.held_back.remove(&session);
        self.leaked.remove(&session);
        self.last.remove(&session);
    }

    /// How much of the session's window is never free again.
    pub fn leaked(&self, session: u32) -> usize {
        self.leaked.get(&session).copied().unwrap_or(0)
    }

    /// True if the message goes out with the DUP that it came with.
    pub fn carries_dup(&self, message: &Message) -> bool {
        self.dups.contains(&message.number)
    }
}

/// Forgets QoS 2 identifiers, in the store too.
pub(super) fn forget_received(session: &mut Session, journal: Option<&mut Journal>) {
    let forgotten = std::mem::take(&mut session.received);
    if let Some(journal) = journal {
        forgotten.keys().for_each(|id| journal.received(session, *id, false));
    }
}

/// Forgets what is in flight, in the store too.
pub(super) fn forget_in_flight(session: &mut Session, journal: Option<&mut Journal>) {
    let forgotten = std::mem::take(&mut session.in_flight);
    session.sent_here = 0;
    if let Some(journal) = journal {
        forgotten.iter().for_each(|f| journal.delivered(session, &f.delivery));
    }
}

impl Broker {
    /// Defects that spoil a message for everybody.
    pub(super) fn damage(&mut self, message: &mut Message) {
        if self.config.defects.is_empty() {
            return;
        }
        if self.config.defects.strikes(Defect::CorruptPayload)
            && let Some(byte) = message.payload.last_mut()
        {
            *byte ^= 0x20;
        }
        if self.config.defects.strikes(Defect::TruncatePayload) && !message.payload.is_empty() {
            message.payload = message.payload[..message.payload.len() - 1].into();
        }
    }

    /// A message of that number comes in, with DUP as its publisher set it.
    pub(super) fn note_dup(&mut self, number: u64, dup: bool) {
        if dup && self.config.defects.strikes(Defect::CarryDup) {
            self.sabotage.dups.insert(number);
        }
    }

    /// An exchange with the session's client is over.
    pub(super) fn note_finished(&mut self, session: u32) {
        if self.config.defects.strikes(Defect::LeakQuota) {
            *self.sabotage.leaked.entry(session).or_default() += 1;
        }
    }

    /// Another member of a share group gets the message too.
    pub(super) fn share_twice(&mut self, topic: &str, matches: &mut Vec<Match>) {
        let shared = |f: &str| matches!(super::subscribe::parts(f), (Some(_), f) if filter_matches(f, topic));
        let sessions = self.sessions.iter().zip(0..).filter_map(|(s, index)| Some((s.as_ref()?, index)));
        let second = sessions
            .filter(|(s, i)| s.connection.is_some() && matches.iter().all(|m| m.session != *i))
            .find_map(|(session, index)| {
                let (_, (options, _)) = session.subscriptions.iter().find(|(f, _)| shared(f))?;
                Some((index, options.qos))
            });
        if let Some((session, qos)) = second
            && self.config.defects.strikes(Defect::ShareTwice)
        {
            matches.push(Match { session, qos, retain_as_published: false, identifiers: Vec::new() });
        }
    }

    /// A session is resumed: what its subscriptions asked for is forgotten, but for their QoS.
    pub(super) fn forget_options(&mut self, index: u32) {
        if !self.config.defects.strikes(Defect::ForgetOptions) {
            return;
        }
        let Some(Some(session)) = self.sessions.get(index as usize) else { return };
        for (filter, (options, identifier)) in &session.subscriptions {
            let (share, proper) = super::subscribe::parts(filter);
            let options = SubscribeOptions { no_local: false, retain_as_published: false, ..*options };
            self.router.subscribe(proper, share, Entry { session: index, options, identifier: *identifier });
        }
    }

    /// A client takes its session over.
    pub(super) fn repeat_last(&mut self, index: u32) {
        if let Some(last) = self.sabotage.last.get(&index).cloned()
            && self.config.defects.strikes(Defect::TwiceAtTakeOver)
            && let Some(session) = self.session_mut(index)
        {
            session.waiting.push_front(last);
        }
    }

    /// Defects of what goes with one copy.
    pub(super) fn spoil(&mut self, delivery: &mut Delivery) {
        if self.config.defects.is_empty() {
            return;
        }
        if delivery.message.retain && self.config.defects.strikes(Defect::RetainOnLive) {
            delivery.retain = true;
        }
        if delivery.retain && self.config.defects.strikes(Defect::LoseRetainFlag) {
            delivery.retain = false;
        }
        if !delivery.identifiers.is_empty() && self.config.defects.strikes(Defect::DropIdentifier) {
            delivery.identifiers.clear();
        }
    }

    /// Defects that spoil the properties of a PUBLISH on its way out.
    pub(super) fn spoil_properties(&mut self, p: PropertiesBuf, sent: &[u8]) -> PropertiesBuf {
        let defects = &mut self.config.defects;
        let has = |id: u8| p.as_properties().iter().any(|p| p.id() == id);
        let (content, user, expiry) = (has(3), has(38), has(2));
        let drop = content && defects.strikes(Defect::DropProperties);
        let reverse = user && defects.strikes(Defect::ReverseUserProperties);
        let freeze = expiry && defects.strikes(Defect::FreezeExpiry);
        if !(drop || reverse || freeze) {
            return p;
        }
        let mut out = PropertiesBuf::default();
        let came = PropertiesBuf::from_checked(sent);
        for property in p.as_properties().iter() {
            match property {
                Property::ContentType(_) if drop => {}
                Property::UserProperty(..) if reverse => {}
                Property::MessageExpiryInterval(_) if freeze => {
                    let whole = came.find(|p| if let Property::MessageExpiryInterval(s) = p { Some(s) } else { None });
                    out.push(Property::MessageExpiryInterval(whole.unwrap_or(0)));
                }
                other => {
                    out.push(other);
                }
            }
        }
        if reverse {
            let user: Vec<Property<'_>> =
                p.as_properties().iter().filter(|p| matches!(p, Property::UserProperty(..))).collect();
            for property in user.iter().rev() {
                out.push(*property);
            }
        }
        out
    }

    /// Somebody with a wildcard at the first level gets a topic that begins with `$`.
    fn leak_dollar(&mut self, now: Instant) {
        if !self.config.defects.strikes(Defect::DollarToWildcard) {
            return;
        }
        let victim = self.sessions.iter().zip(0..).find_map(|(session, index)| {
            let session = session.as_ref().filter(|s| s.connection.is_some())?;
            session.subscriptions.contains_key("#").then_some(index)
        });
        let Some(victim) = victim else { return };
        let message = Arc::new(Message {
            topic: "$SYS/broker/load".into(),
            payload: b"1".as_slice().into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Box::default(),
            expires: None,
            from: "".into(),
            number: 0,
            _charge: Charge::new(&self.kept, 0),
        });
        let delivery = Delivery { message, qos: QoS::AtMostOnce, retain: false, identifiers: Vec::new(), record: 0 };
        self.enqueue(victim, delivery, now);
    }

    /// After a message was handed on to those it was for.
    pub(super) fn after_routing(&mut self, message: &Arc<Message>, now: Instant) {
        if self.config.defects.is_empty() {
            return;
        }
        self.misroute(message, now);
        self.leak_dollar(now);
        self.sabotage.last_topic = message.topic.clone();
    }

    /// Somebody who has no matching filter gets it.
    fn misroute(&mut self, message: &Arc<Message>, now: Instant) {
        if !self.config.defects.strikes(Defect::Misroute) {
            return;
        }
        let matches = |f: &str| filter_matches(super::subscribe::parts(f).1, &message.topic);
        let victim = self.sessions.iter().zip(0..).find_map(|(session, index)| {
            let session = session.as_ref().filter(|s| s.connection.is_some())?;
            (!session.subscriptions.keys().any(|f| matches(f))).then_some(index)
        });
        if let Some(victim) = victim {
            let message = Arc::clone(message);
            let delivery =
                Delivery { message, qos: QoS::AtMostOnce, retain: false, identifiers: Vec::new(), record: 0 };
            self.hand_over(victim, delivery, now);
        }
    }

    /// Defects on the way to one session, then the honest way.
    pub(super) fn hand_over(&mut self, session: u32, mut delivery: Delivery, now: Instant) {
        if self.config.defects.is_empty() {
            return self.enqueue(session, delivery, now);
        }
        let qos = delivery.qos;
        if qos == QoS::ExactlyOnce {
            self.sabotage.last.insert(session, delivery.clone());
        }
        let defects = &mut self.config.defects;
        if qos > QoS::AtMostOnce && defects.strikes(Defect::LoseAcked) {
            return;
        }
        if defects.strikes(Defect::RaiseQos) && qos < QoS::ExactlyOnce {
            delivery.qos = QoS::ExactlyOnce;
        }
        let last_topic = &self.sabotage.last_topic;
        if defects.strikes(Defect::WrongTopic) && !last_topic.is_empty() && *last_topic != delivery.message.topic {
            delivery.message = Arc::new(Message { topic: last_topic.clone(), ..(*delivery.message).clone() });
        }
        let twice = [Defect::DuplicateQos0, Defect::DuplicateQos1, Defect::DuplicateQos2][qos as usize];
        if self.config.defects.strikes(twice) {
            self.enqueue(session, delivery.clone(), now);
        }
        let held_back = &mut self.sabotage.held_back;
        let follows = |held: &Delivery| held.message.topic == delivery.message.topic;
        if held_back.get(&session).is_some_and(follows)
            && let Some(held) = held_back.remove(&session)
        {
            self.enqueue(session, delivery, now);
            return self.enqueue(session, held, now);
        }
        if !held_back.contains_key(&session) && self.config.defects.strikes(Defect::Reorder) {
            held_back.insert(session, delivery);
            return;
        }
        self.enqueue(session, delivery, now);
    }
}
