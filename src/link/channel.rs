//! One direction of a link: what happens to each IP packet, and when it arrives.

use super::loss::Losses;
use super::spec::{Direction, Jitter, Outage, Sleep};
use super::trace::{Cursor, Step};
use crate::measure::summary::Wire;
use crate::seed::Stream;
use crate::time::{Duration, Instant, nanos};
use crate::trace::LinkLoss;
use std::collections::VecDeque;

/// Connections of a direction whose retransmissions are counted at once; the oldest is forgotten beyond that. A sensor has
/// one; a client of another house may have many.
const CONNECTIONS: usize = 1024;

/// One direction of one link.
#[derive(Debug)]
pub(super) struct Channel {
    spec: Direction,
    stream: Stream,
    /// When the transmitter is free again.
    busy_until: Instant,
    /// Packets not wholly serialised: when they will be, and their length.
    waiting: VecDeque<(Instant, u32)>,
    /// Packets on their way, by time of arrival, then order of sending.
    flying: VecDeque<(Instant, Vec<u8>)>,
    last_arrival: Instant,
    loss: Losses,
    cursor: Cursor,
    dozing: Option<Box<Dozing>>,
    /// By connection (both ports), oldest first: the highest sequence number sent.
    highest: Vec<(u32, u32)>,
    pub wire: Wire,
    pub healed: bool,
    /// Packets lost that carried more than an acknowledgement, for whoever tells the story: when, how, and bytes of data.
    pub losses: Vec<(Instant, LinkLoss, u32)>,
}

/// A receiver whose radio sleeps, and what waits for it to listen.
#[derive(Debug)]
struct Dozing {
    sleep: Sleep,
    /// When its paging windows begin, modulo their distance.
    phase: Duration,
    listens_until: Instant,
    held: VecDeque<Vec<u8>>,
    /// The time of the last thing that was done: what is due at once is due then.
    now: Instant,
}

impl Dozing {
    /// When it listens next, from `at` on; `FAR` if only after it spoke.
    fn listens_at(&self, at: Instant) -> Instant {
        let Some(every) = self.sleep.every.filter(|_| at >= self.listens_until) else {
            return if at < self.listens_until { at } else { Instant::FAR };
        };
        let (every, window, phase) = (nanos(every).max(1), nanos(self.sleep.window), nanos(self.phase));
        let within = (at.as_nanos() + every - phase) % every;
        if within < window { at } else { at + Duration::from_nanos(every - within) }
    }
}

impl Channel {
    pub fn new(spec: Direction, mut stream: Stream) -> Self {
        Self {
            loss: Losses::new(spec.loss, &mut stream),
            spec,
            stream,
            busy_until: Instant::ZERO,
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            last_arrival: Instant::ZERO,
            cursor: Cursor::default(),
            dozing: None,
            highest: Vec::new(),
            wire: Wire::default(),
            healed: false,
            losses: Vec::new(),
        }
    }

    /// The same, towards a receiver whose radio sleeps.
    pub fn sleeping(mut self, sleep: Option<Sleep>) -> Self {
        self.dozing = sleep.map(|sleep| {
            let phase = self.stream.duration_below(sleep.every.unwrap_or(Duration::ZERO));
            let listens_until = Instant::ZERO + sleep.awake;
            Box::new(Dozing { sleep, phase, listens_until, held: VecDeque::new(), now: Instant::ZERO })
        });
        self
    }

    /// The receiver sent something itself at `now`: it listens for a while.
    pub fn receiver_spoke(&mut self, now: Instant) {
        if let Some(d) = &mut self.dozing {
            d.now = now;
            d.listens_until = d.listens_until.max(now + d.sleep.awake);
        }
    }

    /// When what waits for the receiver's radio can be sent; `FAR` if nothing waits, or nobody knows when.
    fn release_at(&self) -> Instant {
        match &self.dozing {
            Some(d) if !d.held.is_empty() => {
                if self.healed {
                    d.now
                } else {
                    d.listens_at(d.now)
                }
            }
            _ => Instant::FAR,
        }
    }

    /// Sends what waited for the receiver's radio, if that listens by `now`.
    pub fn release(&mut self, outages: &[Outage], mut air: Option<&mut Instant>, now: Instant) {
        while self.release_at() <= now {
            let Some(packet) = self.dozing.as_mut().and_then(|d| {
                d.now = now;
                d.held.pop_front()
            }) else {
                return;
            };
            self.transmit(packet, outages, air.as_deref_mut(), now);
        }
    }

    /// When something is due: a packet arrives, or what waits for the receiver's radio can be sent; `FAR` if never.
    pub fn next_arrival(&self) -> Instant {
        self.flying.front().map_or(Instant::FAR, |(at, _)| *at).min(self.release_at())
    }

    /// The packet that has arrived by `now`.
    pub fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.flying.front()?.0 > now {
            return None;
        }
        self.receiver_spoke(now); // hearing keeps its radio awake as speaking does
        self.flying.pop_front().map(|(_, packet)| packet)
    }

    /// True if nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.flying.is_empty() && self.dozing.as_ref().is_none_or(|d| d.held.is_empty())
    }

    /// Takes a packet from the sender at `now`. `air` is when the radio that both directions share is free (half duplex).
    /// Gives the packet's buffer back if it was lost.
    pub fn offer(
        &mut self,
        packet: Vec<u8>,
        outages: &[Outage],
        air: Option<&mut Instant>,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let length = length(&packet);
        self.wire.packets += 1;
        self.wire.bytes += u64::from(length);
        self.count_retransmission(&packet);
        if !self.fits_queue(length, now) {
            self.wire.queue_drops += 1;
            self.note_loss(&packet, LinkLoss::Queue, now);
            return Some(packet);
        }
        if let Some(d) = self.dozing.as_mut().filter(|_| !self.healed) {
            d.now = now;
            if !d.held.is_empty() || d.listens_at(now) > now {
                d.held.push_back(packet);
                return None;
            }
        }
        self.transmit(packet, outages, air, now)
    }

    /// Puts a packet on the air; gives its buffer back if it was lost.
    fn transmit(
        &mut self,
        mut packet: Vec<u8>,
        outages: &[Outage],
        air: Option<&mut Instant>,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let length = length(&packet);
        let start = now.max(self.busy_until).max(air.as_ref().map_or(Instant::ZERO, |a| **a));
        let serialised = self.serialised(length, start);
        self.busy_until = self.rested(start, serialised);
        if let Some(air) = air {
            *air = serialised;
        }
        self.wire.airtime += nanos(serialised.since(start));
        if serialised > now {
            self.waiting.push_back((serialised, length));
        }
        // Drawn for each packet, whatever else befalls it.
        let step = self.spec.trace.as_ref().and_then(|t| t.step(start));
        let lost = self.draw_loss(step, start);
        let delay = self.draw_delay(step);
        let twice = self.spec.duplicate > 0.0 && self.stream.chance(self.spec.duplicate);
        let corrupt = self.spec.corrupt > 0.0 && self.stream.chance(self.spec.corrupt);
        if !self.healed && outages.iter().any(|o| o.at <= serialised && start < o.at + o.lasts) {
            self.wire.outage_drops += 1;
            self.note_loss(&packet, LinkLoss::Outage, now);
            return Some(packet);
        }
        if lost && !self.healed {
            self.wire.lost += 1;
            self.note_loss(&packet, LinkLoss::Random, now);
            return Some(packet);
        }
        if corrupt && !self.healed {
            self.wire.corrupted += 1;
            self.note_loss(&packet, LinkLoss::Random, now); // its receiver's checksum drops it
            self.flip(&mut packet);
        }
        let mut arrival = serialised + delay;
        if !self.spec.reorder {
            arrival = arrival.max(self.last_arrival);
        }
        self.last_arrival = self.last_arrival.max(arrival);
        let place = self.flying.iter().rposition(|(at, _)| *at <= arrival).map_or(0, |p| p + 1);
        if twice && !self.healed {
            self.wire.duplicated += 1;
            self.flying.insert(place, (arrival, packet.clone()));
        }
        self.flying.insert(place, (arrival, packet));
        None
    }

    fn note_loss(&mut self, packet: &[u8], how: LinkLoss, now: Instant) {
        if let Some((data, tcp)) = segment(packet)
            && (data > 0 || tcp[13] & 0b11 != 0)
        {
            self.losses.push((now, how, data));
        }
    }

    /// When a packet of `length` bytes that begins at `start` is wholly on the air.
    fn serialised(&mut self, length: u32, start: Instant) -> Instant {
        let bytes = u64::from(length + u32::from(self.spec.overhead));
        if let Some(trace) = &self.spec.trace {
            return trace.sent(bytes, start, self.spec.rate, &mut self.cursor);
        }
        let nanos = |rate: u64| (bytes * 8 * 1_000_000_000).div_ceil(rate.max(1));
        start + self.spec.rate.map_or(Duration::ZERO, |rate| Duration::from_nanos(nanos(rate)))
    }

    /// When a transmitter that was on the air until then may be so again.
    fn rested(&self, start: Instant, serialised: Instant) -> Instant {
        if self.spec.duty_cycle >= 1.0 {
            return serialised;
        }
        serialised + serialised.since(start).mul_f64(1.0 / self.spec.duty_cycle - 1.0)
    }

    fn fits_queue(&mut self, length: u32, now: Instant) -> bool {
        while self.waiting.front().is_some_and(|(until, _)| *until <= now) {
            self.waiting.pop_front();
        }
        if self.spec.queue.is_none() && self.spec.queue_packets.is_none() {
            return true;
        }
        let held = self.dozing.iter().flat_map(|d| d.held.iter().map(|p| self::length(p)));
        let lengths = self.waiting.iter().map(|(_, length)| *length).chain(held);
        let (packets, bytes) = lengths.fold((0, 0), |(n, sum), length| (n + 1, sum + length));
        self.spec.queue.is_none_or(|most| bytes + length <= most)
            && self.spec.queue_packets.is_none_or(|most| packets < most)
    }

    fn draw_loss(&mut self, step: Option<Step>, at: Instant) -> bool {
        match step.and_then(|s| s.loss) {
            Some(share) => self.stream.chance(share),
            None => self.loss.draw(at, &mut self.stream),
        }
    }

    /// Flips one bit: every bit of an IPv4 packet with TCP is under a checksum.
    fn flip(&mut self, packet: &mut [u8]) {
        let bit = self.stream.below(packet.len() as u64 * 8);
        let at = usize::try_from(bit / 8).expect("within the packet");
        packet[at] ^= 1 << (bit % 8);
    }

    /// Propagation and jitter; never below zero.
    fn draw_delay(&mut self, step: Option<Step>) -> Duration {
        let delay = step.and_then(|s| s.delay).unwrap_or(self.spec.delay);
        match self.spec.jitter {
            Jitter::None => delay,
            Jitter::Uniform(max) => delay + self.stream.duration_below(max + Duration::from_nanos(1)),
            Jitter::Normal(deviation) => {
                let normal = self.stream.normal();
                let shift = deviation.mul_f64(normal.abs());
                if normal < 0.0 { delay.saturating_sub(shift) } else { delay + shift }
            }
            Jitter::Pareto(mean) => {
                // Shape 3: the scale is 2/3 of the mean; inverse transform x = scale / u^(1/3).
                let u = 1.0 - self.stream.unit();
                let x = (2.0 / 3.0) / libm::cbrt(u);
                delay + mean.mul_f64(x.min(20.0))
            }
        }
    }

    /// A TCP segment that takes sequence space and brings nothing above what was sent before is a retransmission.
    fn count_retransmission(&mut self, packet: &[u8]) {
        let Some((data, tcp)) = segment(packet) else { return };
        let (ports, flags) = (u32::from_be_bytes([tcp[0], tcp[1], tcp[2], tcp[3]]), tcp[13]);
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let takes = data + u32::from(flags & 2 != 0) + u32::from(flags & 1 != 0);
        if takes == 0 || flags & 4 != 0 {
            return;
        }
        let end = sequence.wrapping_add(takes);
        let is_syn = flags & 2 != 0;
        // From the newest on: it is nearly always the one.
        match self.highest.iter_mut().rev().find(|(p, _)| *p == ports) {
            // A new connection from a port used before starts at a number of its own.
            Some((_, highest)) if is_syn && end != *highest => *highest = end,
            Some((_, highest)) if end.wrapping_sub(*highest).cast_signed() <= 0 => self.wire.retransmissions += 1,
            Some((_, highest)) => *highest = end,
            None => {
                if self.highest.len() == CONNECTIONS {
                    self.highest.remove(0); // the oldest connection's
                }
                self.highest.push((ports, end));
            }
        }
    }
}

/// The TCP segment in an IPv4 packet: its bytes of data, and its header without options. None of anything else.
fn segment(packet: &[u8]) -> Option<(u32, &[u8; 20])> {
    // Version 4, and a header of 20 bytes at least.
    let header = packet.first_chunk::<20>().filter(|h| (0x45..0x50).contains(&h[0]) && h[9] == 6)?;
    let ip = usize::from(header[0] & 15) * 4;
    let tcp = packet.get(ip..)?.first_chunk::<20>()?;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let data = total.saturating_sub(ip + usize::from(tcp[12] >> 4) * 4);
    Some((u32::try_from(data).unwrap_or(0), tcp))
}

fn length(packet: &[u8]) -> u32 {
    u32::try_from(packet.len()).expect("IP packets have 65,535 bytes at most")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten bytes of data to port 1883, after a header with `options` bytes of options.
    fn packet(protocol: u8, port: u16, sequence: u32, options: u8) -> Vec<u8> {
        let ip = 20 + usize::from(options);
        let mut packet = vec![0; ip + 30];
        packet[0] = 0x45 + options / 4;
        packet[3] = 50 + options; // all of it
        packet[9] = protocol;
        packet[ip..ip + 2].copy_from_slice(&port.to_be_bytes());
        packet[ip + 2..ip + 4].copy_from_slice(&1883_u16.to_be_bytes());
        packet[ip + 4..ip + 8].copy_from_slice(&sequence.to_be_bytes());
        packet[ip + 12] = 5 << 4;
        packet
    }

    fn counted(packets: impl IntoIterator<Item = Vec<u8>>) -> u64 {
        let mut channel = Channel::new(Direction::PERFECT, Stream::named(1, &["test"]));
        for packet in packets {
            channel.offer(packet, &[], None, Instant::ZERO);
        }
        channel.wire.retransmissions
    }

    #[test]
    fn what_is_sent_again_on_many_connections_at_once_is_counted() {
        let round = |sequence| (1..=6).map(move |port| packet(6, port, sequence, 0));
        assert_eq!(counted(round(100).chain(round(110))), 0);
        assert_eq!(counted(round(100).chain(round(110)).chain(round(110))), 6);
    }

    #[test]
    fn options_of_the_ip_header_are_no_data() {
        assert_eq!(segment(&packet(6, 1, 100, 8)).map(|(data, _)| data), Some(10));
        assert_eq!(counted([packet(6, 1, 100, 0), packet(6, 1, 110, 8), packet(6, 1, 110, 0)]), 1);
    }

    #[test]
    fn what_is_not_tcp_is_not_taken_for_a_segment() {
        assert_eq!(counted([17, 17].map(|udp| packet(udp, 1, 100, 0))), 0);
        assert!(segment(&packet(17, 1, 100, 0)).is_none());
        assert!(segment(&[0x65; 60]).is_none() && segment(&packet(6, 1, 100, 0)[..39]).is_none());
    }

    /// The oldest is forgotten in the end: memory has a bound.
    #[test]
    fn only_so_many_connections_are_remembered() {
        let all = || (1..=1025).map(|port| packet(6, port, 100, 0));
        assert_eq!(counted(all().chain([packet(6, 1, 100, 0)])), 0);
        assert_eq!(counted(all().chain([packet(6, 2, 100, 0)])), 1);
    }
}
