//! What a client does at set times beyond publishing and leaving: silence, a second connection, UNSUBSCRIBE, clearing.

use super::io::{Io, Want};
use super::machine::{Device, State};
use crate::mqtt::codec::{self, Sender};
use crate::mqtt::packet::Packet;
use crate::mqtt::{PacketId, QoS};
use crate::time::Instant;
use crate::trace::{Ack, EndedBy, What};
use std::collections::BTreeMap;

/// Something that a client does at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Sends nothing until then, with its connection open.
    Silence(Instant),
    /// Leaves its connection open and unattended, and connects anew.
    TakeOver,
    /// Takes its subscriptions back.
    Unsubscribe,
    /// Subscribes after that.
    Subscribe,
    /// Sends its SUBSCRIBE once more.
    SubscribeAgain,
    /// Clears its retained message.
    Clear,
}

/// Tokens from here on are of messages that clear a retained one; below are message numbers.
pub(super) const CLEARS: u64 = 1 << 32;

/// What only few clients need.
#[derive(Debug, Default)]
pub(super) struct Extra {
    next_deed: usize,
    /// CONNECTs written; tells wills apart.
    pub connects: u32,
    /// Silent until then.
    silent: Option<Instant>,
    /// What came in the meantime, unread.
    unread: Vec<u8>,
    /// It has unsubscribed, and is to stay so for now.
    pub unsubscribed: bool,
    unsubscribe_id: Option<PacketId>,
    /// The connection that was left unattended, and what came on it.
    old: Option<Vec<u8>>,
    /// The topic was sent with its alias on this connection.
    pub alias_sent: bool,
    /// 5.0: topic aliases that the broker has set on this connection.
    pub aliases: BTreeMap<u16, Box<str>>,
    clears: u32,
}

impl Extra {
    /// The connection is over.
    pub fn connection_over(&mut self) {
        self.silent = None;
        self.unread = Vec::new();
        self.alias_sent = false;
        self.aliases = BTreeMap::new();
        self.unsubscribe_id = None;
    }

    pub fn is_silent(&self) -> bool {
        self.silent.is_some()
    }

    /// No deed begins any more.
    pub fn end(&mut self) {
        self.next_deed = usize::MAX;
    }
}

impl Device {
    /// When the next deed, or the end of one, is due.
    pub(super) fn deed_at(&self) -> Instant {
        let next = self.plan.kind.deeds.get(self.extra.next_deed).map_or(Instant::FAR, |(at, _)| *at);
        next.min(self.extra.silent.unwrap_or(Instant::FAR))
    }

    pub(super) fn do_deeds(&mut self, now: Instant, io: &mut Io<'_>) {
        if self.extra.silent.is_some_and(|until| until <= now) {
            self.speak_again(now, io);
        }
        while let Some((_, deed)) = self.plan.kind.deeds.get(self.extra.next_deed).copied().filter(|(at, _)| *at <= now)
        {
            self.extra.next_deed += 1;
            if deed == Deed::Subscribe {
                self.extra.unsubscribed = false;
            }
            if self.state == State::Up && !self.extra.is_silent() {
                self.do_deed(deed, now, io);
            }
        }
    }

    fn do_deed(&mut self, deed: Deed, now: Instant, io: &mut Io<'_>) {
        match deed {
            Deed::Silence(until) => {
                self.extra.silent = Some(until);
                let (since, keep_alive) = self.session.silence();
                self.event(What::Silent { since, keep_alive }, now, io);
            }
            Deed::TakeOver => {
                self.event(What::TakesOver, now, io);
                self.extra.old = Some(Vec::new());
                self.want(Want::Supplant);
                self.ended(EndedBy::Vanished, now, now, io);
                self.state = State::Away(now);
            }
            Deed::Unsubscribe => self.unsubscribe(now, io),
            Deed::Subscribe if !self.subscribed => self.subscribe(now, io),
            Deed::SubscribeAgain if self.subscribed => self.subscribe(now, io),
            Deed::Subscribe | Deed::SubscribeAgain => {}
            Deed::Clear => self.clear_retained(now, io),
        }
    }

    /// Reads on, if the connection is still there.
    pub(super) fn speak_again(&mut self, now: Instant, io: &mut Io<'_>) {
        self.extra.silent = None;
        let unread = std::mem::take(&mut self.extra.unread);
        if !unread.is_empty() {
            self.handle_bytes(&unread, now, now, io);
        }
    }

    /// Leaves bytes unread while silent; true if it did.
    pub(super) fn leaves_unread(&mut self, bytes: &[u8]) -> bool {
        if self.extra.is_silent() {
            self.extra.unread.extend_from_slice(bytes);
        }
        self.extra.is_silent()
    }

    // ---- the connection that was left ----

    /// Bytes came on the connection that was left unattended ([`Want::Supplant`]).
    pub fn handle_old_bytes(&mut self, bytes: &[u8]) {
        if let Some(old) = &mut self.extra.old {
            old.extend_from_slice(bytes);
        }
    }

    /// The broker closed that connection.
    pub fn handle_old_closed(&mut self, at: Instant, io: &mut Io<'_>) {
        let Some(bytes) = self.extra.old.take() else { return };
        let (mut rest, mut reason) = (&bytes[..], None);
        while let Ok(Some((packet, length))) =
            codec::decode(rest, self.plan.kind.version, Sender::Server, codec::MAX_PACKET)
        {
            if let Packet::Disconnect(disconnect) = packet {
                reason = Some(disconnect.reason);
            }
            rest = &rest[length..];
        }
        self.event(What::OldConnectionClosed { reason }, at, io);
    }

    // ---- UNSUBSCRIBE ----

    /// Only with all subscriptions acknowledged: a SUBACK that came later would mean nothing.
    fn unsubscribe(&mut self, now: Instant, io: &mut Io<'_>) {
        if !self.subscribed || self.subscribe_id.is_some() || self.plan.filters.is_empty() {
            return;
        }
        let filters: Vec<&str> = self.plan.filters.iter().map(|f| &**f).collect();
        self.extra.unsubscribe_id = self.session.unsubscribe(&filters, io.tx);
        self.extra.unsubscribed = true;
        self.subscribed = false;
        self.session.note_sent(now);
        for filter in 0..self.plan.filters.len() {
            self.event(What::UnsubscribeSent { filter: u16::try_from(filter).unwrap_or(u16::MAX) }, now, io);
        }
    }

    pub(super) fn unsuback(&mut self, id: PacketId, at: Instant, io: &mut Io<'_>) {
        if self.extra.unsubscribe_id.take_if(|asked| *asked == id).is_some() {
            for filter in 0..self.plan.filters.len() {
                self.event(What::Unsubscribed { filter: u16::try_from(filter).unwrap_or(u16::MAX) }, at, io);
            }
        }
    }

    // ---- clearing a retained message ----

    fn clear_retained(&mut self, now: Instant, io: &mut Io<'_>) {
        let packet_id = match self.plan.kind.qos {
            QoS::AtMostOnce => None,
            // What waits to be sent again goes first; then the next one will do.
            qos => match self.session.begin_publish(qos, CLEARS + u64::from(self.extra.clears)) {
                Some(id) => Some(id),
                None => return,
            },
        };
        self.extra.clears += 1;
        self.write_clear(packet_id, false, now, io);
    }

    /// [MQTT-3.3.1-6]: an empty payload with RETAIN takes the retained message away.
    pub(super) fn write_clear(&mut self, packet_id: Option<PacketId>, dup: bool, now: Instant, io: &mut Io<'_>) {
        let (Some(publishes), kind) = (&self.plan.publishes, &self.plan.kind) else { return };
        let header = codec::PublishHeader { dup, qos: kind.qos, retain: true, topic: &publishes.topic, packet_id };
        codec::encode_publish(kind.version, header, &[], io.tx);
        self.session.note_sent(now);
        self.event(What::ClearSent, now, io);
    }

    pub(super) fn clear_acked(&mut self, ack: Ack, reason: u8, at: Instant, io: &mut Io<'_>) {
        if ack != Ack::PubRec && reason < 0x80 {
            self.event(What::ClearAcked, at, io);
        }
    }
}
