//! A link, as plain data: both directions, outages, MTU. Presets are in [`super::profile`].

use crate::time::{Duration, Instant};

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
        }
    }
}
