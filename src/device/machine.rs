//! The life of one client, as a state machine.
//!
//! Calling order. Whatever the owner does (`handle_*`), it then takes [`Device::poll_want`] until none, writes what was
//! put into [`Io::tx`], and arms its timer at [`Device::next_deadline`]. Bytes in `tx` are always for the connection
//! that is open now; after `Want::Reset` or `Want::Vanish` they are void.

use super::deeds::{CLEARS, Extra};
use super::identity;
use super::io::{Closed, Io, Want};
use super::outbox::{Message, Outbox};
use super::plan::{Plan, Publishes};
use super::unanswered::Unanswered;
use crate::mqtt::codec::{self, Sender};
use crate::mqtt::properties::Property;
use crate::mqtt::session::{Happening, Resend, Session};
use crate::mqtt::{PacketId, QoS, Version};
use crate::scenario::model::Keeps;
use crate::time::{Duration, Instant};
use crate::trace::{Ack, Breach, Discard, EndedBy, Event, Sent, Timeout, What};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Not connected; connects again at this time (never, if `FAR`).
    Away(Instant),
    /// The transport is being opened, until this deadline.
    Opening(Instant),
    /// CONNECT is sent; CONNACK is awaited until this deadline. `purge`: only to end an old session.
    Greeting { until: Instant, purge: bool },
    /// Connected.
    Up,
    /// The run is over for this client.
    Done,
}

/// One simulated client.
#[derive(Debug)]
pub struct Device {
    pub(super) plan: Box<Plan>,
    pub(super) state: State,
    pub(super) session: Session,
    outbox: Outbox,
    next_number: u32,
    /// Bytes of a packet that has not come whole.
    partial: Vec<u8>,
    wants: [Option<Want>; 2],
    attempts: u32,
    /// A session should exist at the broker.
    has_session: bool,
    /// Memory was lost: the broker's session must go too.
    must_purge: bool,
    /// Which subscriptions were acknowledged in the present session.
    pub(super) subscribed: bool,
    pub(super) subscribe_id: Option<PacketId>,
    next_offline: usize,
    next_cut: Instant,
    next_reboot: usize,
    /// The duty cycle's next change, if it disconnects.
    next_duty: Instant,
    breached: bool,
    pub(super) extra: Extra,
}

impl Device {
    /// A client that has not begun yet.
    #[must_use]
    pub fn new(mut plan: Box<Plan>) -> Self {
        let kind = &plan.kind;
        let session = Session::new(kind.session_config());
        let next_cut = kind.power.map_or(Instant::FAR, |(mean, ..)| plan.start + plan.power.exponential(mean));
        let next_duty = if kind.duty_disconnects { plan.start } else { Instant::FAR };
        Self {
            state: State::Away(plan.start),
            session,
            outbox: Outbox::new(kind.outbox_limit, kind.drop),
            next_number: 0,
            partial: Vec::new(),
            wants: [None; 2],
            attempts: 0,
            has_session: false,
            must_purge: false,
            subscribed: false,
            subscribe_id: None,
            next_offline: 0,
            next_cut,
            next_reboot: 0,
            next_duty,
            breached: false,
            extra: Extra::default(),
            plan,
        }
    }

    /// When [`Self::handle_deadline`] must be called next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let state = match self.state {
            State::Away(at) | State::Opening(at) | State::Greeting { until: at, .. } => at,
            State::Up if self.extra.is_silent() => Instant::FAR,
            State::Up => self.session.next_deadline().unwrap_or(Instant::FAR),
            State::Done => return None,
        };
        let message = self.next_message().unwrap_or(Instant::FAR);
        let life = self.next_cut.min(self.next_duty).min(self.offline_at()).min(self.reboot_at()).min(self.deed_at());
        let at = state.min(message).min(life);
        (at < Instant::FAR).then_some(at)
    }

    /// What the device wants of its transport next.
    pub fn poll_want(&mut self) -> Option<Want> {
        let want = self.wants[0].take();
        self.wants.swap(0, 1);
        want
    }

    /// Which client of the run it is.
    #[must_use]
    pub fn id(&self) -> crate::trace::ClientId {
        self.plan.id
    }

    /// True while the device has something of its own that is not wholly delivered, or is not where it wants to be.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.outbox.waiting() > 0 || self.outbox.in_flight() > 0
    }

    /// True if the device is connected and its subscriptions are acknowledged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self.state {
            State::Up => self.subscribed || self.extra.unsubscribed || self.plan.filters.is_empty(),
            State::Done => true,
            _ => false,
        }
    }

    /// When the next message is due.
    #[must_use]
    pub fn next_message(&self) -> Option<Instant> {
        self.plan.publishes.as_ref().and_then(|p| p.schedule.peek())
    }

    /// Messages that wait to be sent, or are in flight.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.outbox.waiting() as u64 + u64::from(self.outbox.in_flight())
    }

    /// True if the device is connected.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Does everything that is due up to `now`.
    pub fn handle_deadline(&mut self, now: Instant, io: &mut Io<'_>) {
        self.collect_due_messages(now, io);
        self.follow_life(now, io);
        match self.state {
            State::Away(at) if at <= now => self.open(at, now, io),
            State::Opening(until) if until <= now => self.give_up(Timeout::Transport, now, io),
            State::Greeting { until, .. } if until <= now => self.give_up(Timeout::ConnAck, now, io),
            State::Up if !self.extra.is_silent() => match self.session.handle_deadline(now, io.tx) {
                Err(_) => self.give_up(Timeout::PingResp, now, io),
                Ok(pinged) => {
                    if pinged {
                        self.event(What::Pinged, now, io);
                    }
                    self.send_waiting(now, io);
                }
            },
            _ => {}
        }
    }

    /// The transport is open.
    pub fn handle_open(&mut self, now: Instant, at: Instant, io: &mut Io<'_>) {
        if !matches!(self.state, State::Opening(_)) {
            return;
        }
        self.event(What::TransportOpen, at, io);
        let purge = self.must_purge && self.plan.kind.version != Version::V5;
        self.state = State::Greeting { until: now + self.plan.kind.connect_timeout, purge };
        self.extra.connects += 1;
        self.write_connect(purge, io.tx);
        self.session.handle_connect_sent(now);
    }

    /// The transport takes more.
    pub fn handle_room(&mut self, now: Instant, io: &mut Io<'_>) {
        if self.state == State::Up && !self.extra.is_silent() {
            self.send_waiting(now, io);
        }
    }

    /// Bytes came; they had arrived at `at`.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant, at: Instant, io: &mut Io<'_>) {
        if self.leaves_unread(bytes) {
            return;
        }
        if self.partial.is_empty() {
            let used = self.take_packets(bytes, now, at, io);
            if used < bytes.len() {
                self.partial.extend_from_slice(&bytes[used..]);
            }
            return;
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        let used = self.take_packets(&whole, now, at, io);
        if used < whole.len() {
            whole.drain(..used);
            self.partial = whole;
        }
    }

    /// The transport's connection ended, not by this device.
    pub fn handle_closed(&mut self, how: Closed, now: Instant, at: Instant, io: &mut Io<'_>) {
        let by = match how {
            Closed::Finished => EndedBy::Broker(None),
            Closed::Reset => EndedBy::Reset,
            Closed::Harness => EndedBy::Harness,
        };
        if matches!(self.state, State::Opening(_) | State::Greeting { .. } | State::Up) {
            self.ended(by, now, at, io);
        }
    }

    /// The links were healed. Whoever waits connects at once; `stalled` says that the connection makes no progress, and
    /// resets it, which walks the resume path.
    pub fn handle_heal(&mut self, stalled: bool, now: Instant, io: &mut Io<'_>) {
        // A run that was cut short heals early: its load ends here, and so do the sensor's own troubles.
        if let Some(publishes) = &mut self.plan.publishes {
            publishes.schedule.end_at(now);
        }
        (self.next_cut, self.next_duty) = (Instant::FAR, Instant::FAR);
        (self.next_offline, self.next_reboot) = (usize::MAX, usize::MAX);
        self.extra.end();
        self.speak_again(now, io);
        match self.state {
            State::Away(at) if at < Instant::FAR => {
                self.plan.backoff.reset();
                self.state = State::Away(now);
            }
            State::Opening(_) | State::Greeting { .. } | State::Up if stalled => {
                self.give_up(Timeout::Heal, now, io);
                self.plan.backoff.reset();
                self.state = State::Away(now);
            }
            _ => {}
        }
    }

    /// The run is over: what was never sent never will be; the connection is closed in order.
    pub fn handle_end(&mut self, now: Instant, io: &mut Io<'_>) {
        self.discard_waiting(Discard::RunEnded, now, io);
        if self.state == State::Up {
            self.leave(now, io);
        } else if matches!(self.state, State::Opening(_) | State::Greeting { .. }) {
            self.want(Want::Reset);
        }
        self.state = State::Done;
    }

    // ---- the schedule ----

    fn collect_due_messages(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(publishes) = &mut self.plan.publishes {
            let Some(intended) = publishes.schedule.peek().filter(|t| *t <= now) else { break };
            publishes.schedule.advance();
            let message = Message { number: self.next_number, intended, attempt: 1 };
            self.next_number += 1;
            if let Some(dropped) = self.outbox.push(message) {
                self.discarded(dropped, Discard::OutboxFull, now, io);
            }
        }
    }

    fn send_waiting(&mut self, now: Instant, io: &mut Io<'_>) {
        self.resend(now, io);
        while io.tx.len() < io.room && self.plan.publishes.is_some() {
            let Some(message) = self.outbox.front() else { break };
            let qos = self.plan.kind.qos;
            let packet_id = match qos {
                QoS::AtMostOnce => None,
                _ => match self.session.begin_publish(qos, u64::from(message.number)) {
                    Some(id) => Some(id),
                    None => break,
                },
            };
            self.outbox.sent(packet_id.is_some());
            self.write_publish(message, packet_id, false, now, io);
        }
    }

    fn write_publish(&mut self, m: Message, id: Option<PacketId>, resend: bool, now: Instant, io: &mut Io<'_>) {
        let Some(publishes) = &mut self.plan.publishes else { return };
        let Publishes { topic, payload, layout, .. } = publishes;
        let kind = &self.plan.kind;
        identity::stamp(payload, *layout, kind.nonce, self.plan.id, m.number);
        let before = io.tx.len();
        let aliases = kind.topic_alias && self.session.server_limits().topic_alias_maximum > 0;
        let topic = if aliases && self.extra.alias_sent { "" } else { topic };
        let header = codec::PublishHeader { dup: resend, qos: kind.qos, retain: kind.retain, topic, packet_id: id };
        if aliases {
            self.extra.alias_sent = true;
            let mut properties = kind.properties.clone();
            properties.push(Property::TopicAlias(1));
            codec::encode_publish_with(kind.version, header, properties.as_properties(), payload, io.tx);
        } else {
            codec::encode_publish_with(kind.version, header, kind.properties.as_properties(), payload, io.tx);
        }
        self.session.note_sent(now);
        let bytes = u32::try_from(io.tx.len() - before).unwrap_or(u32::MAX);
        let packet_id = id.map_or(0, PacketId::get);
        let Message { number, intended, attempt } = m;
        self.event(What::Sent(Sent { number, intended, attempt, packet_id, resend, bytes }), now, io);
    }

    fn discarded(&self, m: Message, why: Discard, now: Instant, io: &mut Io<'_>) {
        self.event(What::Discarded { number: m.number, intended: m.intended, why }, now, io);
    }

    fn discard_waiting(&mut self, why: Discard, now: Instant, io: &mut Io<'_>) {
        let dropped: Vec<Message> = self.outbox.clear().collect();
        for m in dropped {
            self.discarded(m, why, now, io);
        }
    }

    // ---- life: power cuts, times away, duty cycles ----

    fn offline_at(&self) -> Instant {
        self.plan.kind.offline.get(self.next_offline).map_or(Instant::FAR, |o| o.at)
    }

    fn reboot_at(&self) -> Instant {
        self.plan.reboots.get(self.next_reboot).map_or(Instant::FAR, |(at, ..)| *at)
    }

    fn follow_life(&mut self, now: Instant, io: &mut Io<'_>) {
        if self.next_cut <= now {
            self.cut_power(now, io);
        }
        if self.reboot_at() <= now {
            let (_, off, keeps) = self.plan.reboots[self.next_reboot];
            self.next_reboot += 1;
            self.lose_power(off, keeps, now, io);
        }
        if self.offline_at() <= now {
            let offline = self.plan.kind.offline[self.next_offline];
            self.next_offline += 1;
            self.go_away(offline.clean, offline.at + offline.lasts, now, io);
        }
        if self.next_duty <= now {
            self.follow_duty(now, io);
        }
        if self.deed_at() <= now {
            self.do_deeds(now, io);
        }
    }

    fn follow_duty(&mut self, now: Instant, io: &mut Io<'_>) {
        let schedule = self.plan.publishes.as_ref().map(|p| &p.schedule);
        match schedule.and_then(|s| s.duty_at(now)) {
            Some((off, until)) if now < self.plan.kind.drain_from => {
                self.next_duty = until;
                if off {
                    self.go_away(true, until, now, io);
                }
            }
            _ => self.next_duty = Instant::FAR,
        }
    }

    fn go_away(&mut self, clean: bool, until: Instant, now: Instant, io: &mut Io<'_>) {
        match self.state {
            State::Up if clean => self.leave(now, io),
            State::Up | State::Opening(_) | State::Greeting { .. } => {
                self.want(Want::Vanish);
                self.ended(EndedBy::Vanished, now, now, io);
            }
            State::Away(_) | State::Done => {}
        }
        if self.state != State::Done {
            self.state = State::Away(until);
        }
    }

    fn cut_power(&mut self, now: Instant, io: &mut Io<'_>) {
        let Some((mean, off, keeps)) = self.plan.kind.power else { return };
        let next = now + off + self.plan.power.exponential(mean);
        self.next_cut = if next < self.plan.kind.drain_from { next } else { Instant::FAR };
        if now < self.plan.kind.drain_from {
            self.lose_power(off, keeps, now, io);
        }
    }

    fn lose_power(&mut self, off: Duration, keeps: Keeps, now: Instant, io: &mut Io<'_>) {
        if self.state == State::Done {
            return;
        }
        if !matches!(self.state, State::Away(_)) {
            self.want(Want::Vanish);
            self.ended(EndedBy::PowerCut, now, now, io);
        }
        if keeps == Keeps::Nothing {
            self.event(What::MemoryLost, now, io);
            self.discard_waiting(Discard::PowerCut, now, io);
            self.session.forget();
            self.must_purge = self.has_session;
        }
        self.state = State::Away(now + off);
    }

    // ---- connecting and leaving ----

    fn open(&mut self, intended: Instant, now: Instant, io: &mut Io<'_>) {
        self.attempts += 1;
        self.event(What::Connecting { attempt: self.attempts, intended }, now, io);
        self.state = State::Opening(now + self.plan.kind.connect_timeout);
        self.want(Want::Open);
    }

    fn write_connect(&self, purge: bool, tx: &mut Vec<u8>) {
        let plan = &self.plan;
        let clean = purge || self.must_purge || !plan.kind.persistent;
        super::hello::write_connect(plan, &self.session, clean, self.extra.connects, tx);
    }

    fn leave(&mut self, now: Instant, io: &mut Io<'_>) {
        self.session.disconnect(0, io.tx);
        self.want(Want::Close);
        self.ended(EndedBy::Client, now, now, io);
    }

    fn give_up(&mut self, why: Timeout, now: Instant, io: &mut Io<'_>) {
        self.want(Want::Reset);
        self.ended(EndedBy::ClientTimeout(why), now, now, io);
    }

    /// The connection, or the attempt at one, is over, whoever ended it.
    pub(super) fn ended(&mut self, by: EndedBy, now: Instant, at: Instant, io: &mut Io<'_>) {
        let was_connected = self.state == State::Up;
        let in_flight = self.outbox.in_flight();
        self.event(What::Disconnected { by, was_connected, in_flight }, at, io);
        self.session.handle_closed();
        self.partial = Vec::new();
        self.subscribe_id = None;
        self.extra.connection_over();
        if !self.plan.kind.persistent {
            self.session_gone(now, io);
        }
        self.state = State::Away(now + self.plan.backoff.next_wait());
    }

    /// Our half and the broker's half of the session are gone: what was in flight is published anew.
    fn session_gone(&mut self, now: Instant, io: &mut Io<'_>) {
        if self.has_session || self.subscribed {
            self.event(What::SessionEnded, now, io);
        }
        self.forget_session();
    }

    fn forget_session(&mut self) {
        self.session.forget();
        self.outbox.retry_in_flight();
        self.has_session = false;
        self.subscribed = false;
    }

    // ---- what comes in ----

    fn take_packets(&mut self, bytes: &[u8], now: Instant, at: Instant, io: &mut Io<'_>) -> usize {
        let (mut used, mut unanswered) = (0, Unanswered::default());
        while matches!(self.state, State::Greeting { .. } | State::Up) {
            match codec::decode(&bytes[used..], self.plan.kind.version, Sender::Server, codec::MAX_PACKET) {
                Ok(Some((packet, length))) => {
                    used += length;
                    let bytes = u32::try_from(length).unwrap_or(u32::MAX);
                    if unanswered.is_in_use(&packet) {
                        self.event(What::Protocol(Breach::IdInUse), at, io);
                    }
                    match self.session.handle(&packet, now, io.tx) {
                        Ok(happening) => self.happened(happening, bytes, now, at, io),
                        Err(error) => self.breach(super::hello::breach_of(error), now, at, io),
                    }
                }
                Ok(None) => return used,
                Err(_) => self.breach(Breach::Malformed, now, at, io),
            }
        }
        bytes.len() // the connection is over: the rest is void
    }

    pub(super) fn breach(&mut self, breach: Breach, now: Instant, at: Instant, io: &mut Io<'_>) {
        self.breached = true;
        self.event(What::Protocol(breach), at, io);
        self.want(Want::Reset);
        self.ended(EndedBy::Vanished, now, at, io);
    }

    fn happened(&mut self, happening: Happening<'_>, bytes: u32, now: Instant, at: Instant, io: &mut Io<'_>) {
        match happening {
            Happening::Connected { session_present, .. } => self.connected(session_present, now, at, io),
            Happening::Refused { reason, reference } => {
                if let Some(away) = super::hello::redirected(reason, reference) {
                    self.event(away, at, io);
                }
                let expected_session = self.has_session;
                self.event(What::Connected { reason, session_present: false, expected_session }, at, io);
                self.want(Want::Reset);
                self.ended(EndedBy::Broker(Some(reason)), now, at, io);
            }
            Happening::PubAck { token, reason } => self.acked(token, Ack::PubAck, reason, now, at, io),
            Happening::PubRec { token, reason } => self.acked(token, Ack::PubRec, reason, now, at, io),
            Happening::PubComp { token, reason } => self.acked(token, Ack::PubComp, reason, now, at, io),
            Happening::Message(publish) => self.message(&publish, bytes, now, at, io),
            Happening::Repeat { id, other } => {
                if let Some(other) = other {
                    self.event(What::Protocol(Breach::IdInUse), at, io);
                    self.masked(&other, at, io);
                }
                self.event(What::RepeatSuppressed { packet_id: id.get() }, at, io);
            }
            Happening::SubAck { id, codes } => self.suback(id, codes, at, io),
            Happening::UnsubAck { id } => self.unsuback(id, at, io),
            Happening::Disconnect { reason, reference } => {
                if let Some(away) = super::hello::redirected(reason, reference) {
                    self.event(away, at, io);
                    self.plan.backoff.sent_away();
                }
                self.want(Want::Reset);
                self.ended(EndedBy::Broker(Some(reason)), now, at, io);
            }
            _ => {}
        }
    }

    fn connected(&mut self, session_present: bool, now: Instant, at: Instant, io: &mut Io<'_>) {
        let purge = matches!(self.state, State::Greeting { purge: true, .. });
        let clean = self.must_purge || !self.plan.kind.persistent;
        let expected_session = self.has_session && !clean;
        if self.must_purge && !purge {
            // 5.0: the clean start ended the old session; CONNACK speaks of the new one.
            self.must_purge = false;
            self.session_gone(now, io);
        }
        self.event(What::Connected { reason: 0, session_present, expected_session }, at, io);
        self.attempts = 0;
        self.plan.backoff.reset();
        self.state = State::Up;
        if purge {
            // 3.1.1: a clean session lasts as long as its connection, so that a second CONNECT makes the lasting one.
            self.must_purge = false;
            self.session_gone(now, io);
            self.leave(now, io);
            self.state = State::Away(now);
            return;
        }
        if !session_present {
            // The judges know from CONNACK that nothing is left of an old session, and what to say to it.
            self.forget_session();
        }
        // A 5.0 server may keep sessions for less long than it was asked to: not at all, with 0.
        self.has_session =
            self.plan.kind.persistent && (self.plan.kind.version != Version::V5 || self.session.session_expiry() > 0);
        if !self.subscribed && !self.plan.filters.is_empty() && !self.extra.unsubscribed {
            self.subscribe(now, io);
        }
        self.send_waiting(now, io);
    }

    /// [MQTT-4.4.0-1]: what was not acknowledged is sent again, in order, before anything new.
    fn resend(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(resend) = self.session.poll_resend() {
            match resend {
                Resend::Publish { id, token } => {
                    let Ok(number) = u32::try_from(token) else {
                        self.write_clear(Some(id), true, now, io);
                        continue;
                    };
                    if let Some(message) = self.outbox.find(number) {
                        self.write_publish(message, Some(id), true, now, io);
                    }
                }
                Resend::PubRel { id } => {
                    self.session.write_pubrel(id, io.tx);
                    self.event(What::ReleasedAgain { packet_id: id.get() }, now, io);
                }
            }
        }
    }

    pub(super) fn subscribe(&mut self, now: Instant, io: &mut Io<'_>) {
        let kind = &self.plan.kind;
        let filters: Vec<_> =
            self.plan.filters.iter().zip(&kind.subscriptions).map(|(filter, options)| (&**filter, *options)).collect();
        self.subscribe_id = self.session.subscribe(&filters, kind.subscription_identifier, io.tx);
        self.session.note_sent(now);
        for filter in 0..self.plan.filters.len() {
            self.event(What::SubscribeSent { filter: u16::try_from(filter).unwrap_or(u16::MAX) }, now, io);
        }
    }

    fn suback(&mut self, id: PacketId, codes: &[u8], at: Instant, io: &mut Io<'_>) {
        if self.subscribe_id != Some(id) {
            return;
        }
        self.subscribe_id = None;
        self.subscribed = true;
        for (filter, granted) in codes.iter().enumerate() {
            let filter = u16::try_from(filter).unwrap_or(u16::MAX);
            self.event(What::Subscribed { filter, granted: *granted }, at, io);
        }
    }

    fn acked(&mut self, token: u64, ack: Ack, reason: u8, now: Instant, at: Instant, io: &mut Io<'_>) {
        let Ok(number) = u32::try_from(token) else {
            debug_assert!(token >= CLEARS);
            self.clear_acked(ack, reason, at, io);
            return self.send_waiting(now, io);
        };
        self.event(What::Acked { number, ack, reason }, at, io);
        // A negative PUBREC ends the exchange as well [MQTT-4.3.3-4].
        if ack != Ack::PubRec || reason >= 0x80 {
            self.outbox.settle(number);
            self.send_waiting(now, io);
        }
    }

    pub(super) fn want(&mut self, want: Want) {
        let place = usize::from(self.wants[0].is_some());
        self.wants[place] = Some(want);
    }

    pub(super) fn event(&self, what: What, at: Instant, io: &mut Io<'_>) {
        io.sink.event(Event { seen: io.seen, at, client: self.plan.id, what });
    }
}
