//! One direction of a link: what happens to each IP packet, and when it arrives.

use super::spec::{Direction, Jitter, Loss, Outage};
use crate::measure::summary::Wire;
use crate::seed::Stream;
use crate::time::{Duration, Instant};
use crate::trace::LinkLoss;
use std::collections::VecDeque;

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
    bad: bool,
    /// Gilbert-Elliott in time: when the present sojourn ends.
    sojourn_until: Instant,
    /// By sensor port: the highest sequence number sent.
    highest: Vec<(u16, u32)>,
    pub wire: Wire,
    pub healed: bool,
    /// Packets lost that carried more than an acknowledgement, for whoever tells the story: when, how, and bytes of data.
    pub losses: Vec<(Instant, LinkLoss, u32)>,
}

impl Channel {
    pub fn new(spec: Direction, mut stream: Stream) -> Self {
        let (bad, sojourn_until) = match spec.loss {
            Loss::GilbertElliottTime { good, bad, .. } => {
                let share = bad.as_secs_f64() / (good + bad).as_secs_f64();
                let is_bad = stream.chance(share);
                let length = stream.exponential(if is_bad { bad } else { good });
                (is_bad, Instant::ZERO + length)
            }
            Loss::GilbertElliott { into_bad, out_of_bad, .. } => {
                (stream.chance(into_bad / (into_bad + out_of_bad).max(f64::MIN_POSITIVE)), Instant::FAR)
            }
            _ => (false, Instant::FAR),
        };
        Self {
            spec,
            stream,
            busy_until: Instant::ZERO,
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            last_arrival: Instant::ZERO,
            bad,
            sojourn_until,
            highest: Vec::new(),
            wire: Wire::default(),
            healed: false,
            losses: Vec::new(),
        }
    }

    /// When the next packet arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.front().map(|(at, _)| *at)
    }

    /// The packet that has arrived by `now`.
    pub fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next_arrival()? <= now { self.flying.pop_front().map(|(_, packet)| packet) } else { None }
    }

    /// True if nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.flying.is_empty()
    }

    /// Takes a packet from the sender at `now`. `air` is when the radio that both directions share is free (half duplex).
    /// Gives the packet's buffer back if it was lost.
    pub fn offer(
        &mut self,
        packet: Vec<u8>,
        sensor_port_at: usize,
        outages: &[Outage],
        air: Option<&mut Instant>,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let length = u32::try_from(packet.len()).expect("IP packets have 65,535 bytes at most");
        self.wire.packets += 1;
        self.wire.bytes += u64::from(length);
        self.count_retransmission(&packet, sensor_port_at);
        if !self.fits_queue(length, now) {
            self.wire.queue_drops += 1;
            self.note_loss(&packet, LinkLoss::Queue, now);
            return Some(packet);
        }
        let start = now.max(self.busy_until).max(air.as_ref().map_or(Instant::ZERO, |a| **a));
        let serialised = start + self.serialisation(length);
        self.busy_until = serialised;
        if let Some(air) = air {
            *air = serialised;
        }
        self.wire.airtime += crate::time::nanos(serialised.since(start));
        if serialised > now {
            self.waiting.push_back((serialised, length));
        }
        let lost = self.draw_loss(start); // drawn for each packet, whatever else befalls it
        let delay = self.draw_delay();
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
        let mut arrival = serialised + delay;
        if !self.spec.reorder {
            arrival = arrival.max(self.last_arrival);
        }
        self.last_arrival = self.last_arrival.max(arrival);
        let place = self.flying.iter().rposition(|(at, _)| *at <= arrival).map_or(0, |p| p + 1);
        self.flying.insert(place, (arrival, packet));
        None
    }

    fn note_loss(&mut self, packet: &[u8], how: LinkLoss, now: Instant) {
        if let Some((data, flags)) = segment(packet)
            && (data > 0 || flags & 0b11 != 0)
        {
            self.losses.push((now, how, data));
        }
    }

    /// Time on the air of a packet of `length` bytes.
    fn serialisation(&self, length: u32) -> Duration {
        let bits = u64::from(length + u32::from(self.spec.overhead)) * 8;
        self.spec.rate.map_or(Duration::ZERO, |rate| Duration::from_nanos((bits * 1_000_000_000).div_ceil(rate.max(1))))
    }

    fn fits_queue(&mut self, length: u32, now: Instant) -> bool {
        while self.waiting.front().is_some_and(|(until, _)| *until <= now) {
            self.waiting.pop_front();
        }
        let Some(limit) = self.spec.queue else { return true };
        let used: u32 = self.waiting.iter().map(|(_, length)| length).sum();
        used + length <= limit
    }

    fn draw_loss(&mut self, at: Instant) -> bool {
        match self.spec.loss {
            Loss::None => false,
            Loss::Bernoulli(p) => self.stream.chance(p),
            Loss::GilbertElliott { into_bad, out_of_bad, loss_in_good, loss_in_bad } => {
                // The loss is drawn from the state before the transition, as netem does.
                let lost = self.stream.chance(if self.bad { loss_in_bad } else { loss_in_good });
                if self.stream.chance(if self.bad { out_of_bad } else { into_bad }) {
                    self.bad = !self.bad;
                }
                lost
            }
            Loss::GilbertElliottTime { good, bad, loss_in_good, loss_in_bad } => {
                while self.sojourn_until <= at {
                    self.bad = !self.bad;
                    let length = self.stream.exponential(if self.bad { bad } else { good });
                    self.sojourn_until += length.max(Duration::from_nanos(1));
                }
                self.stream.chance(if self.bad { loss_in_bad } else { loss_in_good })
            }
        }
    }

    /// Propagation and jitter; never below zero.
    fn draw_delay(&mut self) -> Duration {
        let delay = self.spec.delay;
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
    fn count_retransmission(&mut self, packet: &[u8], sensor_port_at: usize) {
        let (Some((data, flags)), Some(tcp)) = (segment(packet), packet.get(20..40)) else { return };
        let port = u16::from_be_bytes([tcp[sensor_port_at], tcp[sensor_port_at + 1]]);
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let takes = data + u32::from(flags & 2 != 0) + u32::from(flags & 1 != 0);
        if takes == 0 || flags & 4 != 0 {
            return;
        }
        let end = sequence.wrapping_add(takes);
        let is_syn = flags & 2 != 0;
        match self.highest.iter_mut().find(|(p, _)| *p == port) {
            // A new connection from a port used before starts at a number of its own.
            Some((_, highest)) if is_syn && end != *highest => *highest = end,
            Some((_, highest)) if end.wrapping_sub(*highest).cast_signed() <= 0 => self.wire.retransmissions += 1,
            Some((_, highest)) => *highest = end,
            None => {
                if self.highest.len() == 4 {
                    self.highest.remove(0); // the oldest connection's
                }
                self.highest.push((port, end));
            }
        }
    }
}

/// Bytes of data, and the flags, of the TCP segment in an IPv4 packet without options.
fn segment(packet: &[u8]) -> Option<(u32, u8)> {
    let (header, rest) = packet.split_at_checked(20)?;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let tcp = rest.get(..20)?;
    let data = total.saturating_sub(20 + usize::from(tcp[12] >> 4) * 4);
    Some((u32::try_from(data).unwrap_or(0), tcp[13]))
}
