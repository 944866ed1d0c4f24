//! Both directions of one sensor's link, without the stacks at its ends.

use super::capture::Tap;
use super::channel::Channel;
use super::spec::LinkSpec;
use crate::measure::summary::WireCost;
use crate::seed::Stream;
use crate::time::Instant;
use crate::trace::What;
use std::sync::Arc;

/// What carries one sensor's IP packets, up and down.
///
/// Packets are offered at the time they are sent; [`Channels::next_arrival`] says when the next one comes out.
#[derive(Debug)]
pub struct Channels {
    spec: Arc<LinkSpec>,
    up: Channel,
    down: Channel,
    /// When the shared radio is free (half duplex).
    air: Instant,
    tap: Option<Tap>,
    /// When the next packet arrives at either end: asked for far more often than it changes.
    next_arrival: Instant,
}

impl Channels {
    /// Channels that nobody has used yet. Each stream is the direction's own.
    #[must_use]
    pub fn new(spec: Arc<LinkSpec>, up: Stream, down: Stream) -> Self {
        Self {
            up: Channel::new(spec.up.clone(), up),
            down: Channel::new(spec.down.clone(), down).sleeping(spec.sleep),
            air: Instant::ZERO,
            tap: None,
            next_arrival: Instant::FAR,
            spec,
        }
    }

    /// Writes down from here on what passes at the sensor's end.
    pub fn capture(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// When the next packet arrives at either end; `FAR` if none is on its way.
    #[must_use]
    pub fn next_arrival(&self) -> Instant {
        self.next_arrival
    }

    /// When the next packet from the sensor arrives; `FAR` if none is on its way.
    #[must_use]
    pub fn next_up(&self) -> Instant {
        self.up.next_arrival()
    }

    /// Called by whatever may change it.
    fn note_next_arrival(&mut self) {
        self.next_arrival = self.up.next_arrival().min(self.down.next_arrival());
    }

    /// Takes a packet from the sensor; gives its buffer back if it was lost.
    pub fn offer_up(&mut self, packet: Vec<u8>, now: Instant) -> Option<Vec<u8>> {
        if let Some(tap) = &self.tap {
            tap.record(&packet, now);
        }
        let air = self.spec.half_duplex.then_some(&mut self.air);
        let lost = self.up.offer(packet, &self.spec.outages, air, now);
        self.down.receiver_spoke(now);
        self.release(now);
        self.note_next_arrival();
        lost
    }

    /// Takes a packet for the sensor; gives its buffer back if it was lost.
    pub fn offer_down(&mut self, packet: Vec<u8>, now: Instant) -> Option<Vec<u8>> {
        let air = self.spec.half_duplex.then_some(&mut self.air);
        let lost = self.down.offer(packet, &self.spec.outages, air, now);
        self.note_next_arrival();
        lost
    }

    /// A packet of the sensor's that has arrived by `now`.
    pub fn arrived_up(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next_arrival > now {
            return None;
        }
        let packet = self.up.arrived(now);
        self.note_next_arrival();
        packet
    }

    /// What waited for the sensor's radio is sent, once that listens.
    fn release(&mut self, now: Instant) {
        let air = self.spec.half_duplex.then_some(&mut self.air);
        self.down.release(&self.spec.outages, air, now);
    }

    /// A packet for the sensor that has arrived by `now`.
    pub fn arrived_down(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next_arrival > now {
            return None;
        }
        self.release(now);
        let packet = self.down.arrived(now);
        self.note_next_arrival();
        let packet = packet?;
        if let Some(tap) = &self.tap {
            tap.record(&packet, now);
        }
        Some(packet)
    }

    /// From here on nothing is lost and there is no outage; rate and delay stay.
    pub fn heal(&mut self) {
        self.up.healed = true;
        self.down.healed = true;
        self.note_next_arrival();
    }

    /// The packets lost since this was called last, as events: those that carried more than an acknowledgement of TCP's.
    pub fn take_losses(&mut self, tell: &mut dyn FnMut(Instant, What)) {
        for (up, channel) in [(true, &mut self.up), (false, &mut self.down)] {
            for (at, why, bytes) in channel.losses.drain(..) {
                tell(at, What::LinkLost { up, why, bytes });
            }
        }
    }

    /// What was carried so far.
    #[must_use]
    pub fn wire(&self) -> WireCost {
        WireCost { up: self.up.wire, down: self.down.wire }
    }

    /// True if nothing is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.up.is_idle() && self.down.is_idle()
    }
}
