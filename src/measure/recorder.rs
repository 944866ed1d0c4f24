//! Turns the trace into histograms, counts and series as it happens.

use super::histogram;
use super::receivers::{Seen, receivers_by_topic};
use super::summary::{GroupSummary, Interval, LatencySummary, MOST_REDIRECTS, Series, Summary};
use crate::promise::{Count, Latency, Phases, Promises};
use crate::table::Table;
use crate::time::{Duration, Instant, nanos};
use crate::trace::{Ack, Delivered, EndedBy, Event, Sent, What};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Intervals of a series at most; beyond, their width doubles.
const MAX_INTERVALS: usize = 2_000;
/// Messages of one publisher whose times are kept while somebody may still receive them.
const MAX_PENDING: usize = 65_536;
/// The same for all publishers together (24 bytes each), shared out evenly, but never fewer than 256 each.
const MAX_PENDING_ALL: usize = 4 << 20;

/// One latency of one group.
#[derive(Debug)]
struct Track {
    intended: Histogram<u64>,
    sent: Histogram<u64>,
    over_time: BTreeMap<u32, Histogram<u64>>,
}

/// Times of one message on its way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    intended: Instant,
    sent: Instant,
    /// First copies still to come, and one for the acknowledgement of QoS 1 and 2.
    awaited: u32,
}

#[derive(Debug, Default)]
struct Publisher {
    group: usize,
    /// Receivers and the acknowledgement.
    awaited: u32,
    /// From number `base` on; none for messages never sent.
    pending: VecDeque<Option<Pending>>,
    base: u32,
}

impl Publisher {
    /// Keeps the times of a message until all that is awaited has come, or `most` newer ones are kept.
    fn keep(&mut self, sent: Sent, at: Instant, most: usize) {
        if self.pending.is_empty() {
            self.base = sent.number;
        }
        let Some(place) = sent.number.checked_sub(self.base) else { return };
        if place as usize > self.pending.len() + most {
            // A gap (messages never sent) wider than what is kept: everything before it is given up.
            self.pending.clear();
            self.base = sent.number;
        }
        let place = (sent.number - self.base) as usize;
        self.pending.resize(self.pending.len().max(place), None);
        let pending = Pending { intended: sent.intended, sent: at, awaited: self.awaited };
        match self.pending.get_mut(place) {
            Some(slot) => *slot = Some(pending), // sent after a later one
            None => self.pending.push_back(Some(pending)),
        }
        while self.pending.len() > most {
            self.pending.pop_front();
            self.base += 1;
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    intended: Instant,
    began: Instant,
    /// When TCP stood, if handshakes followed.
    tcp_open: Option<Instant>,
    open: Instant,
    subscribed_at: Instant,
    subscribe_intended: Instant,
}

/// Records one run: [`Recorder::observe`] each event, then [`Recorder::finish`].
#[derive(Debug)]
pub struct Recorder {
    tracks: Vec<BTreeMap<Latency, Track>>,
    counts: Vec<[u64; Count::ALL.len()]>,
    mqtt_bytes: Vec<u64>,
    publishers: Vec<Publisher>,
    max_pending: usize,
    connections: Vec<Connection>,
    groups: Vec<usize>,
    /// By group: whether its clients publish.
    publishing: Vec<bool>,
    /// By receiver and publisher, the first copies seen: a copy is a first one while its message is pending at this receiver.
    seen: Table<Table<Seen>>,
    width: Duration,
    intervals: Vec<Interval>,
    connected: u64,
    redirects: BTreeMap<(u8, Option<String>), u64>,
    drained: bool,
}

impl Recorder {
    /// A recorder whose series begins with intervals of this width.
    #[must_use]
    pub fn new(promises: &Arc<Promises>, width: Duration) -> Self {
        let mut publishers: Vec<Publisher> = Vec::with_capacity(promises.clients.len());
        let receivers = receivers_by_topic(promises);
        for client in &promises.clients {
            let group = usize::from(client.group);
            let awaited = client
                .publishes
                .as_ref()
                .map_or(0, |p| receivers.get(p.topic.as_str()).copied().unwrap_or(0) + u32::from(p.qos > 0));
            publishers.push(Publisher { group, awaited, ..Publisher::default() });
        }
        let publishing = publishers.iter().filter(|p| p.awaited > 0).count().max(1);
        Self {
            tracks: promises.groups.iter().map(|_| BTreeMap::new()).collect(),
            counts: vec![[0; Count::ALL.len()]; promises.groups.len()],
            mqtt_bytes: vec![0; promises.groups.len()],
            connections: vec![Connection::default(); promises.clients.len()],
            publishing: promises.groups.iter().map(|g| g.publishes.is_some()).collect(),
            groups: promises.clients.iter().map(|c| usize::from(c.group)).collect(),
            publishers,
            max_pending: (MAX_PENDING_ALL / publishing).clamp(256, MAX_PENDING),
            seen: Table::default(),
            width,
            intervals: Vec::new(),
            connected: 0,
            redirects: BTreeMap::new(),
            drained: false,
        }
    }

    /// The drain is over: connections that end from here on, end because the run does.
    pub fn drained(&mut self) {
        self.drained = true;
    }

    /// Counts so far, all groups together, for a live display.
    #[must_use]
    pub fn total(&self, count: Count) -> u64 {
        self.counts.iter().map(|c| c[count as usize]).sum()
    }

    /// Clients connected now.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.connected
    }

    /// Takes one event.
    pub fn observe(&mut self, event: &Event) {
        let c = event.client.index();
        let group = self.groups[c];
        match event.what {
            What::Sent(sent) => self.sent(c, sent, event.at),
            What::Discarded { intended, .. } => {
                self.count(group, Count::Offered);
                self.count(group, Count::Discarded);
                self.interval(intended).offered += 1;
            }
            What::Acked { number, ack, reason } => self.acked(c, number, ack, reason, event.at),
            What::Delivered(d) => self.delivered(c, d, event.at),
            What::Connecting { intended, .. } => {
                self.connections[c].intended = intended;
                self.connections[c].began = event.at;
                self.connections[c].tcp_open = None;
            }
            What::TcpOpen => {
                let Connection { intended, began, .. } = self.connections[c];
                self.connections[c].tcp_open = Some(event.at);
                self.latency(group, Latency::TcpConnect, intended, began, event.at);
            }
            What::TransportOpen => {
                let Connection { intended, began, tcp_open, .. } = self.connections[c];
                self.connections[c].open = event.at;
                match tcp_open {
                    Some(begun) => self.latency(group, Latency::Handshake, begun, begun, event.at),
                    None => self.latency(group, Latency::TcpConnect, intended, began, event.at),
                }
            }
            What::Connected { reason: 0, .. } => {
                let Connection { intended, open, .. } = self.connections[c];
                self.latency(group, Latency::ConnAck, intended, open, event.at);
                self.connected += 1;
            }
            What::Redirected { reason, to } => {
                let known = (reason, to.map(|name| name.text().to_owned()));
                let room = self.redirects.len() < MOST_REDIRECTS || self.redirects.contains_key(&known);
                *self.redirects.entry(if room { known } else { (reason, None) }).or_insert(0) += 1;
            }
            What::SubscribeSent { filter: 0 } => {
                let connection = &mut self.connections[c];
                // The first on a connection is part of connecting; a later one is wanted when it is sent.
                let again = connection.subscribed_at > connection.open;
                connection.subscribe_intended = if again { event.at } else { connection.intended };
                connection.subscribed_at = event.at;
            }
            What::Subscribed { filter: 0, .. } => {
                let Connection { subscribed_at, subscribe_intended, .. } = self.connections[c];
                self.latency(group, Latency::SubAck, subscribe_intended, subscribed_at, event.at);
            }
            What::Disconnected { by, was_connected, .. } => self.disconnected(group, by, was_connected, event.at),
            _ => {}
        }
    }

    fn disconnected(&mut self, group: usize, by: EndedBy, was_connected: bool, at: Instant) {
        self.connected -= u64::from(was_connected && self.connected > 0);
        let connected = self.connected;
        if was_connected && !self.drained && !matches!(by, EndedBy::Client | EndedBy::Vanished) {
            self.count(group, Count::Disconnects);
            self.interval(at).disconnects += 1;
        }
        self.interval(at).connected = connected;
    }

    fn sent(&mut self, c: usize, sent: Sent, at: Instant) {
        let publisher = &mut self.publishers[c];
        let group = publisher.group;
        self.mqtt_bytes[group] += u64::from(sent.bytes);
        if sent.resend || sent.attempt > 1 {
            return;
        }
        if publisher.awaited > 0 {
            publisher.keep(sent, at, self.max_pending);
        }
        self.count(group, Count::Offered);
        self.count(group, Count::Sent);
        self.interval(sent.intended).offered += 1;
        self.interval(at).sent += 1;
    }

    /// One of the things awaited for a message has come: its times.
    fn settle(&mut self, p: usize, number: u32) -> Option<Pending> {
        let publisher = self.publishers.get_mut(p)?;
        let place = number.checked_sub(publisher.base)? as usize;
        let slot = publisher.pending.get_mut(place)?;
        let pending = slot.as_mut()?;
        let times = *pending;
        pending.awaited = pending.awaited.saturating_sub(1);
        if pending.awaited == 0 {
            *slot = None;
        }
        while publisher.pending.front().is_some_and(Option::is_none) {
            publisher.pending.pop_front();
            publisher.base += 1;
        }
        Some(times)
    }

    fn acked(&mut self, c: usize, number: u32, ack: Ack, reason: u8, at: Instant) {
        let group = self.publishers[c].group;
        self.mqtt_bytes[group] += if ack == Ack::PubRec { 8 } else { 4 };
        if ack == Ack::PubRec || reason >= 0x80 {
            return;
        }
        self.count(group, Count::Acked);
        self.interval(at).acked += 1;
        if let Some(p) = self.settle(c, number) {
            self.latency(group, Latency::PublishAck, p.intended, p.sent, at);
        }
    }

    fn delivered(&mut self, c: usize, d: Delivered, at: Instant) {
        let p = d.publisher.index();
        if d.retain || p >= self.publishers.len() {
            return;
        }
        let group = self.publishers[p].group;
        let receiver = u32::try_from(c).unwrap_or(u32::MAX);
        if !self.seen.or_default(receiver).or_default(d.publisher.0).first(d.number) {
            self.count(group, Count::Duplicated);
            self.interval(at).duplicated += 1;
            return;
        }
        self.count(group, Count::Delivered);
        self.interval(at).delivered += 1;
        if let Some(times) = self.settle(p, d.number) {
            self.latency(group, Latency::EndToEnd, times.intended, times.sent, at);
        }
    }

    fn count(&mut self, group: usize, count: Count) {
        self.counts[group][count as usize] += 1;
    }

    fn latency(&mut self, group: usize, latency: Latency, intended: Instant, sent: Instant, at: Instant) {
        let value = nanos(at.since(intended)).max(1);
        self.interval(at); // widens the series if need be
        let interval = self.index(at);
        let track = self.tracks[group].entry(latency).or_insert_with(|| Track {
            intended: histogram(),
            sent: histogram(),
            over_time: BTreeMap::new(),
        });
        track.intended.record(value).expect("histograms that grow take any value");
        track.sent.record(nanos(at.since(sent)).max(1)).expect("histograms that grow take any value");
        if matches!(latency, Latency::PublishAck | Latency::EndToEnd) {
            track
                .over_time
                .entry(interval)
                .or_insert_with(super::coarse_histogram)
                .record(value)
                .expect("histograms that grow take any value");
        }
    }

    fn index(&self, at: Instant) -> u32 {
        u32::try_from(at.as_nanos() / nanos(self.width).max(1)).unwrap_or(u32::MAX)
    }

    fn interval(&mut self, at: Instant) -> &mut Interval {
        while self.index(at) as usize >= MAX_INTERVALS {
            self.widen();
        }
        let index = self.index(at) as usize;
        let connected = self.connected;
        if index >= self.intervals.len() {
            self.intervals.resize(index + 1, Interval { connected, ..Interval::default() });
        }
        let interval = &mut self.intervals[index];
        interval.connected = connected;
        interval
    }

    /// Doubles the width: two intervals become one.
    fn widen(&mut self) {
        self.width *= 2;
        let pairs = self.intervals.chunks(2).map(|pair| {
            let mut sum = pair[0];
            if let Some(next) = pair.get(1) {
                sum.offered += next.offered;
                sum.sent += next.sent;
                sum.acked += next.acked;
                sum.delivered += next.delivered;
                sum.duplicated += next.duplicated;
                sum.disconnects += next.disconnects;
                sum.connected = next.connected;
            }
            sum
        });
        self.intervals = pairs.collect();
        for track in self.tracks.iter_mut().flat_map(BTreeMap::values_mut) {
            for (index, h) in std::mem::take(&mut track.over_time) {
                match track.over_time.entry(index / 2) {
                    std::collections::btree_map::Entry::Vacant(v) => drop(v.insert(h)),
                    std::collections::btree_map::Entry::Occupied(mut o) => {
                        o.get_mut().add(h).expect("histograms that grow take any value");
                    }
                }
            }
        }
    }

    /// The summary; wire, harness and resources are the run's to fill in.
    #[must_use]
    pub fn finish(self, phases: Phases, lost_by_group: &[u64]) -> Summary {
        let groups = self.tracks.into_iter().enumerate().map(|(g, tracks)| GroupSummary {
            latencies: tracks
                .into_iter()
                .map(|(latency, t)| LatencySummary {
                    latency,
                    intended: t.intended,
                    sent: t.sent,
                    over_time: t.over_time.into_iter().collect(),
                })
                .collect(),
            counts: Count::ALL
                .iter()
                .map(|c| {
                    let counted = if !self.publishing[g] && *c != Count::Disconnects {
                        None
                    } else if *c == Count::Lost {
                        lost_by_group.get(g).copied()
                    } else {
                        Some(self.counts[g][*c as usize])
                    };
                    (*c, counted)
                })
                .collect(),
            wire: None,
            mqtt_bytes: self.mqtt_bytes[g],
        });
        Summary {
            groups: groups.collect(),
            phases,
            redirects: self.redirects,
            series: Series { width: self.width, intervals: self.intervals },
            ..Summary::default()
        }
    }
}
