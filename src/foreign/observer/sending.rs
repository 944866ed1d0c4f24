//! The client as a sender: identifiers, DUP, what is sent again and when, PUBREL.

use super::{Observer, Out, PATIENCE};
use crate::device::identity::Reading;
use crate::mqtt::packet::Publish;
use crate::mqtt::properties::Property;
use crate::mqtt::{PacketId, QoS, Version};
use crate::time::Instant;
use crate::trace::{Ack, Breach, ClientFault, Sent, What};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How far an exchange has come, as the wire shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// PUBLISH went out.
    Published,
    /// QoS 2: PUBREC was handed to the client.
    Received,
    /// QoS 2: PUBREL went out.
    Released,
}

/// One message in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// Its number within the run; none if it carries no identity of this run.
    number: Option<u32>,
    /// Of its payload, to tell messages without identity apart.
    digest: u32,
    qos: QoS,
    stage: Stage,
    /// The connection on which the client last did something for it.
    connection: u32,
    /// When it came to its stage.
    since: Instant,
    /// Its place among all that were sent for the first time.
    place: u64,
}

/// All that the client has sent.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// By packet identifier.
    pub open: BTreeMap<u16, Exchange>,
    /// Exchanges that ended by an acknowledgement that the client may not have read, since its connection ended later.
    ended: BTreeMap<u16, Exchange>,
    /// By number: how often it was published under a new identifier or in a new session.
    pub attempts: BTreeMap<u32, u16>,
    /// PUBRECs of this connection that PUBREL has not followed, in order.
    to_release: VecDeque<u16>,
    /// PUBLISHes of this connection that use the broker's quota.
    quota: BTreeSet<u16>,
    /// Identifiers that the client has misused in this session: what the broker says of them is not judged.
    misused: BTreeSet<u16>,
    places: u64,
    /// The broker said that the session goes on.
    pub resumed: bool,
}

impl Sending {
    /// A new connection begins.
    pub fn begin(&mut self) {
        self.to_release.clear();
        self.quota.clear();
        self.resumed = false;
    }

    /// The session is gone.
    pub fn forget(&mut self) {
        self.open.clear();
        self.ended.clear();
        self.misused.clear();
    }

    /// What should have been done on this connection, which is up for longer than [`PATIENCE`].
    pub fn overdue(&self, connection: u32, now: Instant) -> Vec<(ClientFault, Option<u32>, u16)> {
        let old = |e: &Exchange| now.since(e.since) >= PATIENCE;
        let late = self.open.iter().filter_map(|(id, e)| match e.stage {
            // An acknowledgement of another connection may not have been read: then PUBLISH comes again, and that is as good.
            _ if e.connection != connection && self.resumed => Some((ClientFault::NotResent, e.number, *id)),
            Stage::Received if e.connection == connection && old(e) => Some((ClientFault::NotReleased, e.number, *id)),
            _ => None,
        });
        late.collect()
    }

    fn end(&mut self, id: u16) -> Option<Exchange> {
        self.quota.remove(&id);
        self.to_release.retain(|other| *other != id);
        let exchange = self.open.remove(&id)?;
        self.ended.insert(id, exchange);
        Some(exchange)
    }
}

impl Observer {
    pub(super) fn publishes(&mut self, p: &Publish<'_>, length: usize, out: &mut Out<'_>) {
        let reading = self.read(p, true);
        let number = match reading {
            Reading::Message { publisher, number, .. } if publisher == self.subject.id => Some(number),
            _ => None,
        };
        let id = p.packet_id.map_or(0, PacketId::get);
        self.check_limits(p, number, out);
        let (resend, attempt) = match p.qos {
            QoS::AtMostOnce => {
                if p.dup {
                    self.fault(ClientFault::DupAtQos0, number, 0, out);
                }
                (false, self.attempt(number))
            }
            _ => self.begins_or_repeats(p, id, number, out),
        };
        if let Some(number) = number {
            let bytes = u32::try_from(length).unwrap_or(u32::MAX);
            let intended = out.ledger.intended(number).unwrap_or(out.now);
            let sent = Sent { number, intended, attempt, packet_id: id, resend, bytes };
            self.event(What::Sent(sent), out);
        } else {
            self.event(What::Unmarked { qos: p.qos as u8, packet_id: id, resend }, out);
        }
    }

    /// A PUBLISH above QoS 0: whether it is sent again within its session, and the how-manieth attempt it is.
    fn begins_or_repeats(&mut self, p: &Publish<'_>, id: u16, number: Option<u32>, out: &mut Out<'_>) -> (bool, u16) {
        let digest = crc32fast::hash(p.payload);
        let here = self.number;
        let v5 = self.connection.as_ref().and_then(|c| c.greeting).is_some_and(|g| g.version == Version::V5);
        let same = |e: &Exchange| e.qos == p.qos && e.number == number && e.digest == digest;
        let place = self.sending.places;
        let mut fresh =
            Exchange { number, digest, qos: p.qos, stage: Stage::Published, connection: here, since: out.now, place };
        let mut faults = Vec::new();
        let resend = match self.sending.open.get(&id).copied() {
            Some(e) if same(&e) => {
                faults.extend((e.stage == Stage::Released).then_some(ClientFault::PublishAfterRelease));
                faults.extend((!p.dup).then_some(ClientFault::ResentWithoutDup));
                faults.extend((v5 && e.connection == here).then_some(ClientFault::ResentUnasked));
                let waits = |o: &Exchange| o.place < e.place && o.connection != here && o.stage == Stage::Published;
                faults.extend(self.sending.open.values().any(waits).then_some(ClientFault::ResendOrder));
                fresh.place = e.place;
                true
            }
            Some(old) => {
                self.fault(ClientFault::Abandoned, old.number, id, out);
                faults.push(ClientFault::IdReused);
                false
            }
            // Acknowledged by a packet that died with its connection, perhaps.
            None if self.sending.ended.get(&id).is_some_and(|e| same(e) && e.connection != here) => true,
            None => {
                let opened = self.connection.as_ref().map_or(out.now, |c| c.opened);
                // Part of it may have gone out on an earlier connection, unless it was not even meant to be sent then.
                let first = number.and_then(|n| out.ledger.intended(n)).is_some_and(|at| at > opened);
                faults.extend((p.dup && first).then_some(ClientFault::DupOnFirst));
                false
            }
        };
        for fault in &faults {
            self.fault(*fault, number, id, out);
        }
        let misuses = |f: &ClientFault| matches!(f, ClientFault::IdReused | ClientFault::PublishAfterRelease);
        if faults.iter().any(misuses) {
            self.sending.misused.insert(id);
        }
        self.sending.places += 1;
        self.sending.ended.remove(&id);
        self.sending.open.insert(id, fresh);
        self.sending.quota.insert(id);
        let quota = self.connection.as_ref().map_or(u16::MAX, |c| c.limits.receive_maximum);
        if self.sending.quota.len() > usize::from(quota) {
            self.fault(ClientFault::ReceiveMaximum, number, id, out);
        }
        let attempt = match number.filter(|_| resend) {
            Some(n) => self.sending.attempts.get(&n).copied().unwrap_or(1),
            None => self.attempt(number),
        };
        (resend, attempt)
    }

    /// Counts that a message is published anew.
    fn attempt(&mut self, number: Option<u32>) -> u16 {
        let Some(number) = number else { return 1 };
        let attempts = self.sending.attempts.entry(number).or_insert(0);
        *attempts = attempts.saturating_add(1);
        *attempts
    }

    fn check_limits(&self, p: &Publish<'_>, number: Option<u32>, out: &mut Out<'_>) {
        let Some(c) = self.connection.as_ref().filter(|c| c.connected.is_some()) else { return };
        let limits = c.limits;
        let id = p.packet_id.map_or(0, PacketId::get);
        let alias = p.properties.find(|p| match p {
            Property::TopicAlias(n) => Some(n),
            _ => None,
        });
        if alias.is_some_and(|a| a > limits.aliases) {
            self.fault(ClientFault::TopicAlias, number, id, out);
        }
        if p.qos as u8 > limits.qos {
            self.fault(ClientFault::QosTooHigh, number, id, out);
        }
        if p.retain && !limits.retain {
            self.fault(ClientFault::RetainUnavailable, number, id, out);
        }
    }

    pub(super) fn releases(&mut self, id: u16, out: &mut Out<'_>) {
        let here = self.number;
        let Some(e) = self.sending.open.get_mut(&id) else {
            // PUBCOMP may have died with its connection.
            if !self.sending.ended.get(&id).is_some_and(|e| e.qos == QoS::ExactlyOnce && e.connection != here) {
                self.sending.misused.insert(id);
                self.fault(ClientFault::ReleasedUnasked, None, id, out);
            }
            return;
        };
        let (number, stage, again) = (e.number, e.stage, e.connection != here);
        (e.stage, e.connection, e.since) = (Stage::Released, here, out.now);
        match stage {
            Stage::Published => {
                self.sending.misused.insert(id);
                self.fault(ClientFault::ReleasedUnasked, number, id, out);
            }
            Stage::Received => {
                let place = self.sending.to_release.iter().position(|other| *other == id);
                if place.is_some_and(|p| p > 0) {
                    self.fault(ClientFault::ReleaseOrder, number, id, out);
                }
                self.sending.to_release.retain(|other| *other != id);
            }
            Stage::Released if again => self.event(What::ReleasedAgain { packet_id: id }, out),
            Stage::Released => {}
        }
    }

    /// PUBACK or PUBREC was handed to the client.
    pub(super) fn acked(&mut self, qos: QoS, id: u16, reason: u8, out: &mut Out<'_>) {
        let here = self.number;
        let ack = if qos == QoS::AtLeastOnce { Ack::PubAck } else { Ack::PubRec };
        let Some(e) = self.sending.open.get_mut(&id).filter(|e| e.qos == qos) else {
            if !self.sending.ended.contains_key(&id) && !self.sending.misused.contains(&id) {
                self.event(What::Protocol(Breach::Unexpected), out);
            }
            return;
        };
        let number = e.number;
        if ack == Ack::PubAck || reason >= 0x80 {
            self.sending.end(id);
        } else if e.stage == Stage::Published {
            (e.stage, e.connection, e.since) = (Stage::Received, here, out.now);
            self.sending.to_release.push_back(id);
        } else {
            return; // it has come before
        }
        if let Some(number) = number {
            self.event(What::Acked { number, ack, reason }, out);
        }
    }

    /// PUBCOMP was handed to the client.
    pub(super) fn completed(&mut self, id: u16, reason: u8, out: &mut Out<'_>) {
        match self.sending.open.get(&id).map(|e| e.stage) {
            Some(Stage::Released) => {
                if let Some(number) = self.sending.end(id).and_then(|e| e.number) {
                    self.event(What::Acked { number, ack: Ack::PubComp, reason }, out);
                }
            }
            None if self.sending.ended.contains_key(&id) => {}
            _ if self.sending.misused.contains(&id) => {}
            _ => self.event(What::Protocol(Breach::Unexpected), out),
        }
    }
}
