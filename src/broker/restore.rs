//! A broker from the records of one that ended, however it ended.

use super::Config;
use super::connection::Will;
use super::core::{Broker, Timer};
use super::journal::{Changes, Journal, NEVER, Records};
use super::message::{Charge, Delivery, Message};
use super::router::Entry;
use super::session::{InFlight, Session, Stage};
use crate::mqtt::codec::{self, Sender};
use crate::mqtt::packet::{Packet, SubscribeOptions};
use crate::mqtt::{PacketId, QoS, Version};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A record that cannot be read.
struct Damaged;

/// A record of one kind: what stands before and after the zero in its key, and its value.
struct Record<'a> {
    name: &'a str,
    rest: &'a [u8],
    value: &'a [u8],
}

/// The messages that were read, by number.
type Messages = BTreeMap<u64, Arc<Message>>;

impl Broker {
    /// A broker that tells what must survive its end ([`Self::take_changes`]), and knows what an earlier one told.
    /// `wall_origin`: nanoseconds since 1970 at [`Instant::ZERO`].
    ///
    /// # Errors
    /// If a record cannot be read; it says which.
    pub fn restore(config: Config, records: &Records, wall_origin: u64, now: Instant) -> Result<Self, String> {
        let mut broker = Self::new(config);
        broker.journal = Some(Journal::new(wall_origin));
        let mut messages = Messages::new();
        for kind in *b"msfdrtw" {
            for (key, value) in records.range(vec![kind]..vec![kind + 1]) {
                let record = Record::new(key, value);
                let read = record.and_then(|r| broker.read(kind, &r, &mut messages, now));
                read.map_err(|Damaged| format!("the store is damaged: record {:?}", String::from_utf8_lossy(key)))?;
            }
        }
        // Sessions that ended with their connection.
        for index in 0..u32::try_from(broker.sessions.len()).expect("fewer than 2^32 sessions") {
            if broker.session(index).is_some_and(|s| s.expiry == 0) {
                broker.end_session(index, now);
            }
        }
        Ok(broker)
    }

    /// What has changed, since the last call, of what must survive; to be stored before any further output is written.
    pub fn take_changes(&mut self) -> Option<Changes> {
        let journal = self.journal.as_mut().filter(|j| !j.changes.is_empty())?;
        Some(std::mem::take(&mut journal.changes))
    }

    fn read(&mut self, kind: u8, r: &Record<'_>, messages: &mut Messages, now: Instant) -> Result<(), Damaged> {
        let mut value = r.value;
        match kind {
            b'm' => {
                let number = u64::from_be_bytes(r.rest.try_into().map_err(|_| Damaged)?);
                self.numbers = self.numbers.max(number);
                messages.insert(number, Arc::new(self.message_of(number, &mut value)?));
            }
            b's' => self.read_session(r, now)?,
            b'f' => self.read_subscription(r)?,
            b'd' => self.read_delivery(r, messages)?,
            b'r' => {
                let id = u16::from_be_bytes(r.rest.try_into().map_err(|_| Damaged)?);
                self.named(r.name)?.1.received.insert(PacketId::new(id).ok_or(Damaged)?, false);
            }
            b't' => {
                let message = messages.get(&u64::from_be_bytes(take(&mut value)?)).ok_or(Damaged)?;
                self.retained.insert(message);
                self.journal().held_already(message);
            }
            _ => self.read_will(r, now)?,
        }
        Ok(())
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().expect("a broker that is restored has a journal")
    }

    fn instant(&self, wall: u64) -> Option<Instant> {
        let origin = self.journal.as_ref().map_or(0, |j| j.wall_origin);
        (wall != NEVER).then(|| Instant::from_nanos(wall.saturating_sub(origin)))
    }

    fn named(&mut self, client_id: &str) -> Result<(u32, &mut Session), Damaged> {
        let index = *self.by_client.get(client_id).ok_or(Damaged)?;
        Ok((index, self.session_mut(index).ok_or(Damaged)?))
    }

    fn message_of(&self, number: u64, value: &mut &[u8]) -> Result<Message, Damaged> {
        let expires = self.instant(u64::from_be_bytes(take(value)?));
        let length = usize::from(u16::from_be_bytes(take(value)?));
        let (from, packet) = value.split_at_checked(length).ok_or(Damaged)?;
        let decoded = codec::decode(packet, Version::V5, Sender::Server, codec::MAX_PACKET);
        let Ok(Some((Packet::Publish(p), _))) = decoded else { return Err(Damaged) };
        let properties = p.properties.as_bytes();
        Ok(Message {
            number,
            topic: p.topic.into(),
            payload: p.payload.into(),
            qos: p.qos,
            retain: p.retain,
            properties: properties.into(),
            expires,
            from: std::str::from_utf8(from).map_err(|_| Damaged)?.into(),
            _charge: Charge::new(&self.kept, p.topic.len() + p.payload.len() + properties.len()),
        })
    }

    /// A session whose connection lived until the end has been left now.
    fn read_session(&mut self, r: &Record<'_>, now: Instant) -> Result<(), Damaged> {
        let mut value = r.value;
        let expiry = u32::from_be_bytes(take(&mut value)?);
        let ends_at = self.instant(u64::from_be_bytes(take(&mut value)?));
        let user = std::str::from_utf8(value).map_err(|_| Damaged)?;
        let index = self.new_session(r.name);
        let session = self.session_mut(index).ok_or(Damaged)?;
        session.stored = true;
        session.user = (!user.is_empty()).then(|| user.into());
        session.expiry = expiry;
        if expiry != u32::MAX {
            let end = ends_at.unwrap_or(now + Duration::from_secs(expiry.into()));
            session.ends_at = Some(end);
            self.arm(Some(end), Timer::SessionEnd(index));
        }
        Ok(())
    }

    fn read_subscription(&mut self, r: &Record<'_>) -> Result<(), Damaged> {
        let mut value = r.value;
        let [options] = take(&mut value)?;
        let options = SubscribeOptions::from_byte(options).ok_or(Damaged)?;
        let identifier = u32::from_be_bytes(take(&mut value)?);
        let filter = std::str::from_utf8(r.rest).map_err(|_| Damaged)?;
        let (index, session) = self.named(r.name)?;
        session.subscriptions.insert(filter.into(), (options, identifier));
        let (share, proper) = super::subscribe::parts(filter);
        self.router.subscribe(proper, share, Entry { session: index, options, identifier });
        Ok(())
    }

    fn read_delivery(&mut self, r: &Record<'_>, messages: &Messages) -> Result<(), Damaged> {
        let mut value = r.value;
        let message = messages.get(&u64::from_be_bytes(take(&mut value)?)).ok_or(Damaged)?;
        let [qos, retain, stage] = take(&mut value)?;
        let id = u16::from_be_bytes(take(&mut value)?);
        let delivery = Delivery {
            message: Arc::clone(message),
            qos: QoS::from_u8(qos).ok_or(Damaged)?,
            retain: retain != 0,
            identifiers: value.as_chunks().0.iter().map(|n| u32::from_be_bytes(*n)).collect(),
            record: u64::from_be_bytes(r.rest.try_into().map_err(|_| Damaged)?),
        };
        let journal = self.journal();
        journal.next = journal.next.max(delivery.record);
        journal.held_already(message);
        let (_, session) = self.named(r.name)?;
        match (stage, PacketId::new(id)) {
            (0, _) => session.waiting.push_back(delivery),
            (stage, Some(id)) => {
                let stage = if stage == 1 { Stage::Published } else { Stage::Released };
                session.in_flight.push_back(InFlight { id, stage, delivery });
            }
            _ => return Err(Damaged),
        }
        Ok(())
    }

    /// The broker's end was the connection's: its will is due after its delay (section 3.1.2.5 allows the wait for a restart).
    fn read_will(&mut self, r: &Record<'_>, now: Instant) -> Result<(), Damaged> {
        let mut value = r.value;
        let due = self.instant(u64::from_be_bytes(take(&mut value)?));
        let delay = u32::from_be_bytes(take(&mut value)?);
        let expiry = u32::try_from(u64::from_be_bytes(take(&mut value)?)).ok();
        self.numbers += 1;
        let message = self.message_of(self.numbers, &mut value)?;
        let will = Will { message, delay, expiry };
        if let Ok((index, session)) = self.named(r.name) {
            let delay = delay.min(session.expiry);
            let due = due.unwrap_or(now + Duration::from_secs(delay.into()));
            self.delayed_wills.insert(index, (due, will));
            self.arm(Some(due), Timer::Will(index));
        } else {
            self.publish_will(will, u32::MAX, now);
        }
        Ok(())
    }
}

impl<'a> Record<'a> {
    fn new(key: &'a [u8], value: &'a [u8]) -> Result<Self, Damaged> {
        let zero = key.iter().position(|b| *b == 0);
        // A message's key has no name.
        let (name, rest) = zero.map_or((&key[1..], &[][..]), |at| (&key[1..at], &key[at + 1..]));
        Ok(Self { name: std::str::from_utf8(name).map_err(|_| Damaged)?, rest, value })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (head, tail) = bytes.split_first_chunk().ok_or(Damaged)?;
    *bytes = tail;
    Ok(*head)
}
