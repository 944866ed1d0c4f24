//! A link, as plain data: both directions, outages, MTU. Presets are in [`super::profile`].

use super::trace::Trace;
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// A link between one sensor and the gateway.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkSpec {
    /// Sensor to gateway.
    pub up: Direction,
    /// Gateway to sensor.
    pub down: Direction,
    /// Both directions share one radio: one packet on the air at a time.
    pub half_duplex: bool,
    /// Largest IP packet in bytes, 128 to 1600 (smoltcp's buffers; see ARCHITECTURE.md).
    pub mtu: u16,
    /// Times at which nothing passes, by run time, sorted, not overlapping.
    pub outages: Vec<Outage>,
    /// When the sensor's radio sleeps; none: it always listens.
    pub sleep: Option<Sleep>,
}

/// A radio that sleeps: the sensor may speak at any time, but is reached only while it listens. What comes for it meanwhile
/// waits in the network, as far as the downlink's queue holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sleep {
    /// How long the radio listens after each packet that it sent or got (inactivity and active timer).
    pub awake: Duration,
    /// How often it listens by itself (eDRX), each sensor at a phase of its own; none: only after it spoke (PSM).
    pub every: Option<Duration>,
    /// How long it listens then (the paging time window).
    pub window: Duration,
}

/// One direction of a link.
#[derive(Clone, PartialEq, Debug)]
pub struct Direction {
    /// Bits a second; none: no serialisation time.
    pub rate: Option<u64>,
    /// Bytes added to each IP packet by the layers below (only for serialisation time).
    pub overhead: u16,
    /// Propagation delay after serialisation.
    pub delay: Duration,
    /// Random addition to the delay.
    pub jitter: Jitter,
    /// Whether jitter may let a packet overtake an earlier one.
    pub reorder: bool,
    /// Random loss.
    pub loss: Loss,
    /// How many bytes may wait for the transmitter (headers included); a packet that does not fit is dropped. None: no limit.
    pub queue: Option<u32>,
    /// How many packets may wait for the transmitter. None: no limit.
    pub queue_packets: Option<u32>,
    /// Probability that a packet arrives twice, the copy right after it.
    pub duplicate: f64,
    /// Probability that one bit of a packet is flipped: a checksum of the receiver's drops it.
    pub corrupt: f64,
    /// The share of time for which the transmitter may be on the air, above 0 to 1: after each packet it is silent for as
    /// long as that takes.
    pub duty_cycle: f64,
    /// A recorded link; what it says at a time goes before `rate`, `delay` and `loss`.
    pub trace: Option<Arc<Trace>>,
}

impl Direction {
    /// A direction that delays, loses and limits nothing.
    pub const PERFECT: Self = Self {
        rate: None,
        overhead: 0,
        delay: Duration::ZERO,
        jitter: Jitter::None,
        reorder: false,
        loss: Loss::None,
        queue: None,
        queue_packets: None,
        duplicate: 0.0,
        corrupt: 0.0,
        duty_cycle: 1.0,
        trace: None,
    };

    /// A packet takes at least as long.
    #[must_use]
    pub fn least_delay(&self) -> Duration {
        match self.jitter {
            _ if self.trace.is_some() => Duration::ZERO,
            Jitter::Normal(_) => Duration::ZERO,
            Jitter::None | Jitter::Uniform(_) | Jitter::Pareto(_) => self.delay,
        }
    }
}

impl LinkSpec {
    /// A link that delays, loses and limits nothing.
    pub const PERFECT: Self = Self {
        up: Direction::PERFECT,
        down: Direction::PERFECT,
        half_duplex: false,
        mtu: 1500,
        outages: Vec::new(),
        sleep: None,
    };
}

/// Random addition to the delay; never below zero.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Jitter {
    /// No jitter.
    None,
    /// Uniform in `0..=max`.
    Uniform(Duration),
    /// Normal with this standard deviation, cut at minus the delay.
    Normal(Duration),
    /// Pareto, of this mean, shape 3 (assumed), cut at 20 times the mean.
    Pareto(Duration),
}

/// Random loss.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Loss {
    /// Nothing is lost.
    None,
    /// Each packet alike, with this probability.
    Bernoulli(f64),
    /// Gilbert-Elliott, a step at each packet. The loss is drawn from the state *before* the transition, as netem does.
    GilbertElliott {
        /// Probability good to bad, a packet.
        into_bad: f64,
        /// Probability bad to good, a packet.
        out_of_bad: f64,
        /// Loss probability in the good state.
        loss_in_good: f64,
        /// Loss probability in the bad state.
        loss_in_bad: f64,
    },
    /// Gilbert-Elliott in time: exponential sojourns, so that a sensor that speaks once a minute can leave a burst.
    GilbertElliottTime {
        /// Mean time in the good state.
        good: Duration,
        /// Mean time in the bad state.
        bad: Duration,
        /// Loss probability in the good state.
        loss_in_good: f64,
        /// Loss probability in the bad state.
        loss_in_bad: f64,
    },
    /// The four states of netem's `loss state`: gap (1 delivered, 4 lost alone), burst (3 lost, 2 delivered within); a step at
    /// each packet, whose fate is the state *after* it.
    FourState {
        /// Gap to burst, a packet.
        p13: f64,
        /// Burst to gap, a packet.
        p31: f64,
        /// From lost to delivered within a burst.
        p32: f64,
        /// From delivered to lost within a burst.
        p23: f64,
        /// An isolated loss in a gap.
        p14: f64,
    },
}

/// A time in which nothing passes, either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// When it begins.
    pub at: Instant,
    /// How long it lasts.
    pub lasts: Duration,
}

impl Loss {
    /// The long-run share of packets lost.
    #[must_use]
    pub fn stationary(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Bernoulli(p) => p,
            Self::GilbertElliott { into_bad, out_of_bad, loss_in_good, loss_in_bad } => {
                let bad = if into_bad + out_of_bad > 0.0 { into_bad / (into_bad + out_of_bad) } else { 0.0 };
                loss_in_good * (1.0 - bad) + loss_in_bad * bad
            }
            Self::GilbertElliottTime { good, bad, loss_in_good, loss_in_bad } => {
                let share = bad.as_secs_f64() / (good + bad).as_secs_f64();
                loss_in_good * (1.0 - share) + loss_in_bad * share
            }
            Self::FourState { .. } => {
                let [gap, delivered, lost, alone] = self.four_states();
                (lost + alone) / (gap + delivered + lost + alone)
            }
        }
    }

    /// The weights of the four states in the long run, from the balance of what flows between them; zero for other models.
    #[must_use]
    pub fn four_states(&self) -> [f64; 4] {
        let Self::FourState { p13, p31, p32, p23, p14 } = *self else { return [0.0; 4] };
        let lost = if p31 > 0.0 { p13 / p31 } else { 0.0 };
        let delivered = if p23 > 0.0 { lost * p32 / p23 } else { 0.0 };
        [1.0, delivered, lost, p14]
    }
}
