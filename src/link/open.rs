//! A link with an open end: smoltcp at the sensor, and beyond the link whoever answers IP packets.

use super::SensorSide;
use super::channels::Channels;
use super::sensor::{SensorEnd, SensorState};
use super::spec::LinkSpec;
use super::stack::Stack;
use crate::measure::summary::WireCost;
use crate::seed::Stream;
use crate::time::Instant;
use crate::trace::What;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// One sensor's link to another machine's kernel.
///
/// Calling order: as [`super::Path`]; after each call, what [`OpenPath::next_outgoing`] gives goes to that kernel, and what the
/// kernel sends to the sensor's address comes by [`OpenPath::deliver`].
#[derive(Debug)]
pub struct OpenPath {
    sensor: SensorEnd,
    channels: Channels,
    outgoing: VecDeque<Vec<u8>>,
    time: Instant,
}

impl OpenPath {
    /// A link that nobody has used yet, from the sensor at `address` to `peer`. Each stream is the link's own.
    #[must_use]
    pub fn new(
        spec: Arc<LinkSpec>,
        (up, down, mut ports): (Stream, Stream, Stream),
        address: Ipv4Addr,
        peer: SocketAddrV4,
    ) -> Self {
        let stack = Stack::new(address, spec.mtu, ports.bits());
        Self {
            sensor: SensorEnd::new(stack, peer, ports),
            channels: Channels::new(spec, up, down),
            outgoing: VecDeque::new(),
            time: Instant::ZERO,
        }
    }

    /// A packet that has left the link at its far end.
    pub fn next_outgoing(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// The far end sends a packet to the sensor.
    pub fn deliver(&mut self, packet: Vec<u8>, now: Instant) {
        self.poll(now);
        self.channels.offer_down(packet, now);
    }
}

impl OpenPath {
    /// Writes down from here on what passes at the sensor's end.
    pub fn capture(&mut self, tap: super::capture::Tap) {
        self.channels.capture(tap);
    }
}

impl SensorSide for OpenPath {
    fn next_deadline(&self) -> Option<Instant> {
        let at = self.channels.next_arrival().min(self.sensor.stack.due);
        (at < Instant::FAR).then_some(at)
    }

    fn poll(&mut self, now: Instant) {
        while let Some(at) = self.next_deadline()
            && at <= now
        {
            self.time = self.time.max(at);
            let at = self.time;
            while let Some(packet) = self.channels.arrived_up(at) {
                self.outgoing.push_back(packet);
            }
            while let Some(packet) = self.channels.arrived_down(at) {
                self.sensor.receive(packet, at, &mut self.channels);
            }
            self.sensor.step(at, &mut self.channels);
        }
    }

    fn heal(&mut self) {
        self.channels.heal();
    }

    fn wire(&self) -> WireCost {
        self.channels.wire()
    }

    fn take_losses(&mut self, tell: &mut dyn FnMut(Instant, What)) {
        self.channels.take_losses(tell);
    }

    fn is_busy(&mut self) -> bool {
        self.sensor.is_busy() || !self.channels.is_idle()
    }

    fn connect(&mut self, now: Instant) {
        self.sensor.connect(now, &mut self.channels, |_| false);
    }

    fn sensor_state(&mut self) -> SensorState {
        self.sensor.state()
    }

    fn room(&mut self) -> usize {
        self.sensor.room()
    }

    fn write(&mut self, bytes: &[u8], now: Instant) -> usize {
        self.sensor.write(bytes, now, &mut self.channels)
    }

    fn read(&mut self, into: &mut Vec<u8>, now: Instant) -> usize {
        self.sensor.read(into, now, &mut self.channels)
    }

    fn finish(&mut self, rest: Vec<u8>, now: Instant) {
        self.sensor.finish(rest, now, &mut self.channels);
    }

    fn abort(&mut self, now: Instant) {
        self.sensor.abort(now, &mut self.channels);
    }

    fn power_cut(&mut self) {
        self.sensor.power_cut();
    }
}
