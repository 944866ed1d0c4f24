//! One sensor's link, end to end: sensor-side stack, two channels, gateway-side stack.

use super::SensorSide;
use super::capture::Tap;
use super::channels::Channels;
use super::sensor::{SensorEnd, SensorState};
use super::spec::LinkSpec;
use super::stack::{GATEWAY, PORT, SENSOR, Stack, is_intact, receive};
use crate::measure::summary::WireCost;
use crate::seed::Stream;
use crate::time::Instant;
use crate::trace::What;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// How many connections that the sensor has left behind the gateway keeps; the oldest goes without a word beyond that.
const MAX_ZOMBIES: usize = 8;

/// What the gateway must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GatewayEvent {
    /// A SYN came: connect to the broker, then [`Path::accept`] or [`Path::refuse`].
    Open(u32),
    /// The sensor finished its half, and all of it was read.
    Finished(u32),
    /// The sensor reset the connection, or the gateway gave it up.
    Reset(u32),
}

#[derive(Debug)]
struct GatewayConn {
    id: u32,
    /// None until the broker has accepted.
    handle: Option<SocketHandle>,
    /// The SYN, kept back until the broker has accepted: the hand-shake must not be finished before.
    syn: Vec<u8>,
    sensor_port: u16,
    finished: bool,
    /// The broker finished before the hand-shake was over: the FIN waits for that.
    to_finish: bool,
}

/// One sensor's link.
///
/// Calling order: [`SensorSide::poll`] up to now; then touch either end; what was touched takes effect at once. After it,
/// [`SensorSide::next_deadline`] says when to poll again.
#[derive(Debug)]
pub struct Path {
    sensor: SensorEnd,
    channels: Channels,
    gateway: Stack,
    conns: Vec<GatewayConn>,
    events: VecDeque<GatewayEvent>,
    next_conn: u32,
    zombies_dropped: u64,
    /// The time of the last step: a thing due at once is due then.
    time: Instant,
}

impl Path {
    /// A link that nobody has used yet. Each stream is the link's own.
    #[must_use]
    pub fn new(spec: Arc<LinkSpec>, up: Stream, down: Stream, mut ports: Stream) -> Self {
        let stack = Stack::new(SENSOR, spec.mtu, ports.bits());
        let gateway = Stack::new(GATEWAY, spec.mtu, ports.bits());
        Self {
            sensor: SensorEnd::new(stack, SocketAddrV4::new(GATEWAY, PORT), ports),
            channels: Channels::new(spec, up, down),
            gateway,
            conns: Vec::with_capacity(1),
            events: VecDeque::new(),
            next_conn: 0,
            zombies_dropped: 0,
            time: Instant::ZERO,
        }
    }

    fn step(&mut self, at: Instant) {
        while let Some(packet) = self.channels.arrived_up(at) {
            self.at_gateway(packet, at);
        }
        while let Some(packet) = self.channels.arrived_down(at) {
            self.sensor.receive(packet, at, &mut self.channels);
        }
        self.sensor.step(at, &mut self.channels);
        if self.gateway.due <= at {
            self.gateway.run(at);
            self.flush_gateway(at);
        }
        self.watch_gateway();
    }

    fn at_gateway(&mut self, packet: Vec<u8>, at: Instant) {
        if let Some(tcp) = packet.get(20..40) {
            let port = u16::from_be_bytes([tcp[0], tcp[1]]);
            let is_syn = tcp[13] & 0b1_0010 == 0b10;
            match self.conns.iter().find(|c| c.sensor_port == port) {
                None if is_syn && is_intact(&packet) => return self.knock(port, packet),
                // A repeated SYN while the broker has not answered changes nothing.
                Some(conn) if conn.handle.is_none() => return,
                _ => {}
            }
        }
        self.gateway.receive(packet, at);
        self.flush_gateway(at);
        self.watch_gateway();
    }

    /// A SYN came. Its socket is made when the broker has accepted: an idle listener would cost memory in every link.
    fn knock(&mut self, sensor_port: u16, syn: Vec<u8>) {
        if self.conns.len() > MAX_ZOMBIES {
            let oldest = self.conns.remove(0);
            if let Some(handle) = oldest.handle {
                self.gateway.sockets.remove(handle);
            }
            self.events.push_back(GatewayEvent::Reset(oldest.id));
            self.zombies_dropped += 1;
        }
        let id = self.next_conn;
        self.next_conn += 1;
        self.conns.push(GatewayConn { id, handle: None, syn, sensor_port, finished: false, to_finish: false });
        self.events.push_back(GatewayEvent::Open(id));
    }

    fn flush_gateway(&mut self, now: Instant) {
        while let Some(packet) = self.gateway.next_outgoing() {
            if let Some(lost) = self.channels.offer_down(packet, now) {
                self.gateway.recycle(lost);
            }
        }
    }

    fn watch_gateway(&mut self) {
        let Self { gateway, events, conns, .. } = self;
        conns.retain_mut(|conn| {
            let Some(handle) = conn.handle else { return true };
            let socket = gateway.socket(handle);
            let (state, unread) = (socket.state(), socket.recv_queue());
            if conn.to_finish && state == State::Established {
                conn.to_finish = false;
                socket.close();
                gateway.due = Instant::ZERO;
            }
            match state {
                State::CloseWait | State::Closing | State::LastAck | State::TimeWait
                    if !conn.finished && unread == 0 =>
                {
                    conn.finished = true;
                    events.push_back(GatewayEvent::Finished(conn.id));
                }
                // A listener whose hand-shake was reset goes back to Listen.
                State::Closed | State::Listen => events.push_back(GatewayEvent::Reset(conn.id)),
                _ => {}
            }
            // Both sides finished: what the sensor sent before its FIN is still to be read.
            let over = match state {
                State::TimeWait => unread == 0,
                _ => matches!(state, State::Closed | State::Listen),
            };
            if over {
                gateway.sockets.remove(handle);
            }
            !over
        });
    }

    /// Connections left behind that the gateway had to drop because there were too many.
    #[must_use]
    pub fn zombies_dropped(&self) -> u64 {
        self.zombies_dropped
    }

    /// Writes down from here on what passes at the sensor's end.
    pub fn capture(&mut self, tap: Tap) {
        self.channels.capture(tap);
    }

    /// True once the connection stands and the sensor's sending half is not finished.
    pub fn may_send(&mut self) -> bool {
        self.sensor.may_send()
    }

    /// Finishes the sensor's sending half, after what was written; what comes can still be read.
    pub fn shutdown(&mut self, now: Instant) {
        self.sensor.shutdown(now, &mut self.channels);
    }

    // ---- the gateway's end ----

    /// When the next packet that is on its way up comes to the gateway; `FAR` if none is.
    #[must_use]
    pub fn next_at_gateway(&self) -> Instant {
        self.channels.next_up()
    }

    /// True if a SYN waits for [`GatewayEvent::Open`] to be taken.
    #[must_use]
    pub fn is_knocking(&self) -> bool {
        self.events.iter().any(|e| matches!(e, GatewayEvent::Open(_)))
    }

    /// What the gateway must do next.
    pub fn poll_gateway(&mut self) -> Option<GatewayEvent> {
        self.events.pop_front()
    }

    fn conn(&mut self, id: u32) -> Option<SocketHandle> {
        self.conns.iter().find(|c| c.id == id).and_then(|c| c.handle)
    }

    /// The broker accepted: the hand-shake with the sensor is finished now.
    pub fn accept(&mut self, id: u32, now: Instant) {
        let Some(conn) = self.conns.iter_mut().find(|c| c.id == id && c.handle.is_none()) else { return };
        let handle = self.gateway.add_socket();
        conn.handle = Some(handle);
        let syn = std::mem::take(&mut conn.syn);
        self.gateway.socket(handle).listen(PORT).expect("a fresh socket and a port above 0");
        self.gateway.receive(syn, now);
        self.flush_gateway(now);
    }

    /// The broker refused, or there is none: the sensor gets a reset, since no socket stands where its SYN goes.
    pub fn refuse(&mut self, id: u32, now: Instant) {
        if let Some(at) = self.conns.iter().position(|c| c.id == id && c.handle.is_none()) {
            let conn = self.conns.remove(at);
            self.gateway.receive(conn.syn, now);
            self.flush_gateway(now);
        }
    }

    /// Appends at most `max` bytes that came from the sensor to `into`; returns how many.
    pub fn gateway_read(&mut self, id: u32, into: &mut Vec<u8>, max: usize, now: Instant) -> usize {
        let Some(handle) = self.conn(id) else { return 0 };
        let count = receive(self.gateway.socket(handle), into, max);
        if self.gateway.has_read(count) {
            self.run_gateway(now);
        }
        if count > 0 {
            self.watch_gateway();
        }
        count
    }

    /// How many bytes from the sensor wait to be read.
    pub fn gateway_unread(&mut self, id: u32) -> usize {
        self.conn(id).map_or(0, |handle| self.gateway.socket(handle).recv_queue())
    }

    /// How many bytes to the sensor the gateway takes now.
    pub fn gateway_room(&mut self, id: u32) -> usize {
        let Some(handle) = self.conn(id) else { return 0 };
        let socket = self.gateway.socket(handle);
        if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
    }

    /// Hands bytes from the broker to the link; returns how many it took.
    pub fn gateway_write(&mut self, id: u32, bytes: &[u8], now: Instant) -> usize {
        let Some(handle) = self.conn(id) else { return 0 };
        let taken = self.gateway.socket(handle).send_slice(bytes).unwrap_or(0);
        if taken > 0 {
            self.run_gateway(now);
        }
        taken
    }

    /// The broker finished its half: the sensor gets a FIN after what was written.
    pub fn gateway_finish(&mut self, id: u32, now: Instant) {
        if let Some(conn) = self.conns.iter_mut().find(|c| c.id == id)
            && let Some(handle) = conn.handle
        {
            if self.gateway.socket(handle).state() == State::SynReceived {
                conn.to_finish = true;
                return;
            }
            self.gateway.socket(handle).close();
            self.run_gateway(now);
            self.watch_gateway();
        }
    }

    /// The broker reset its connection: the sensor gets a reset.
    pub fn gateway_reset(&mut self, id: u32, now: Instant) {
        if let Some(at) = self.conns.iter().position(|c| c.id == id)
            && let Some(handle) = self.conns[at].handle
        {
            self.conns.remove(at);
            self.gateway.socket(handle).abort();
            self.run_gateway(now);
            self.gateway.sockets.remove(handle);
        }
    }

    fn run_gateway(&mut self, now: Instant) {
        self.gateway.run(now);
        self.flush_gateway(now);
    }
}

impl SensorSide for Path {
    fn next_deadline(&self) -> Option<Instant> {
        let at = self.channels.next_arrival().min(self.sensor.stack.due).min(self.gateway.due);
        (at < Instant::FAR).then_some(at)
    }

    fn poll(&mut self, now: Instant) {
        while let Some(at) = self.next_deadline()
            && at <= now
        {
            self.time = self.time.max(at);
            self.step(self.time);
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
        let gateway = self.conns.iter().filter_map(|c| c.handle).any(|h| self.gateway.socket(h).send_queue() > 0);
        gateway || self.sensor.is_busy() || !self.channels.is_idle()
    }

    fn connect(&mut self, now: Instant) {
        // A SYN on a live pair of ports would be ignored.
        self.sensor.connect(now, &mut self.channels, |port| self.conns.iter().any(|c| c.sensor_port == port));
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
