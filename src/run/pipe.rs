//! A device with its way to the broker: a direct socket, or a link whose gateway has one.

use super::actor::Actor;
use super::engine::Uplink;
use super::gateway::{self, Upstream};
use super::load_loop::Shared;
use super::local::{LOCAL, Local};
use super::secure::Secure;
use super::socket::{Origin, Read, Socket};
use crate::device::{Closed, Want};
use crate::link::{OpenPath, Path, SensorSide, SensorState};
use crate::measure::summary::WireCost;
use crate::time::Instant;
use crate::trace::Event;
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// Bytes that may wait for a kernel socket before a device is told to wait.
const DIRECT_ROOM: usize = 64 * 1024;

/// One client in a load loop.
pub(super) struct Slot {
    pub device: Actor,
    /// The socket of a client under test.
    pub local: Option<Local>,
    /// When its connection is dropped on its way, latest first.
    pub drops: Vec<Instant>,
    pub group: u16,
    pub pipe: Pipe,
    /// Where it connects, with TLS and WebSocket if its transport has them.
    pub secure: Secure,
    /// The time at which its timer is set.
    pub armed: Instant,
    pub index: u32,
}

/// Its way to the broker.
pub(super) enum Pipe {
    Direct(Direct),
    Linked(Box<Linked>),
}

/// A kernel socket.
#[derive(Default)]
pub(super) struct Direct {
    /// The link that its packets go through, if they do.
    pub uplink: Option<Uplink>,
    socket: Option<Socket>,
    open: bool,
    /// Tells this connection's events from those of earlier ones.
    generation: u32,
    unsent: Vec<u8>,
    /// Packets that its link had carried when the links were healed.
    pub packets_at_heal: Option<u64>,
    /// A connection that was left unattended, with its generation.
    pub(super) old: Option<(u32, Socket)>,
}

/// A link whose sensor speaks TCP by smoltcp.
pub(super) struct Linked {
    pub far: Far,
    state: SensorState,
    unsent: Vec<u8>,
    /// Reused for what comes out of the link.
    received: Vec<u8>,
    /// Packets carried when the links were healed, to see who makes no progress.
    pub packets_at_heal: Option<u64>,
}

/// The link, and who answers at its far end.
pub(super) enum Far {
    /// A gateway with sockets to the broker.
    Gateway(Box<Path>, Vec<Upstream>),
    /// The broker's kernel.
    Kernel(Box<OpenPath>),
}

impl Linked {
    pub fn to_gateway(path: Path) -> Self {
        Self::new(Far::Gateway(Box::new(path), Vec::with_capacity(1)))
    }

    pub fn to_kernel(path: OpenPath) -> Self {
        Self::new(Far::Kernel(Box::new(path)))
    }

    fn new(far: Far) -> Self {
        Self { far, state: SensorState::Closed, unsent: Vec::new(), received: Vec::new(), packets_at_heal: None }
    }

    /// The sensor's side, whoever is at the far end.
    pub fn side(&mut self) -> &mut dyn SensorSide {
        match &mut self.far {
            Far::Gateway(path, _) => &mut **path,
            Far::Kernel(path) => &mut **path,
        }
    }

    pub fn wire(&self) -> WireCost {
        match &self.far {
            Far::Gateway(path, _) => path.wire(),
            Far::Kernel(path) => path.wire(),
        }
    }

    fn next_deadline(&self) -> Instant {
        let at = match &self.far {
            Far::Gateway(path, _) => path.next_deadline(),
            Far::Kernel(path) => path.next_deadline(),
        };
        at.unwrap_or(Instant::FAR)
    }

    pub fn packets(&self) -> u64 {
        let wire = self.wire();
        wire.up.packets + wire.down.packets
    }
}

impl Slot {
    /// When something is due by itself.
    pub fn next_deadline(&self) -> Instant {
        let device = self.device.next_deadline().unwrap_or(Instant::FAR);
        let own = device.min(self.drops.last().copied().unwrap_or(Instant::FAR));
        match &self.pipe {
            Pipe::Direct(_) => own,
            Pipe::Linked(l) => own.min(l.next_deadline()),
        }
    }

    /// Does what is due up to `now`, each thing at its own time.
    pub fn handle_deadline(&mut self, now: Instant, s: &mut Shared) {
        if let Some(due) = self.device.next_message().filter(|t| *t <= now) {
            s.slip.record(crate::time::nanos(now.since(due)).max(1)).expect("histograms that grow take any value");
        }
        match &mut self.pipe {
            Pipe::Direct(_) => {
                self.drop_connections(now, s);
                let Pipe::Direct(d) = &self.pipe else { return };
                let room = d.room();
                s.with_io(room, now, |io| self.device.handle_deadline(now, io));
                self.settle(now, s);
            }
            Pipe::Linked(_) => self.run_link(now, s),
        }
    }

    fn run_link(&mut self, now: Instant, s: &mut Shared) {
        loop {
            let at = self.next_deadline();
            if at > now {
                return;
            }
            self.at(at, s);
        }
    }

    /// One step of a linked client at time `at`.
    fn at(&mut self, at: Instant, s: &mut Shared) {
        let Pipe::Linked(l) = &mut self.pipe else { return };
        l.side().poll(at);
        self.drop_connections(at, s);
        let Pipe::Linked(l) = &mut self.pipe else { return };
        if self.device.next_deadline().is_some_and(|t| t <= at) {
            let room = l.room();
            s.with_io(room, at, |io| self.device.handle_deadline(at, io));
            self.settle(at, s);
        }
        self.far(at, s);
        self.sensor(at, s);
    }

    /// Resets what lies between it and the broker, to both, if that is due. Of an engine without a gateway nobody may ask that.
    fn drop_connections(&mut self, now: Instant, s: &mut Shared) {
        if self.drops.last().is_none_or(|at| *at > now) {
            return;
        }
        self.drops.pop();
        self.hurry(s);
        match &mut self.pipe {
            Pipe::Direct(d) if d.socket.is_some() => {
                d.leave(Want::Reset, s);
                self.layer_ended(s);
                s.with_io(0, now, |io| self.device.handle_closed(Closed::Reset, now, now, io));
                self.settle(now, s);
            }
            Pipe::Linked(l) => {
                if let Far::Gateway(path, upstreams) = &mut l.far {
                    gateway::reset_all(path, upstreams, now);
                }
            }
            Pipe::Direct(_) => {}
        }
    }

    /// A packet for the sensor from the broker's kernel, and who is due next.
    pub fn deliver(&mut self, packet: Vec<u8>, now: Instant) {
        if let Pipe::Linked(l) = &mut self.pipe
            && let Far::Kernel(path) = &mut l.far
        {
            path.deliver(packet, now);
        }
    }

    // ---- the device's wishes ----

    /// Does what the device wants, and hands on what it wrote.
    pub fn settle(&mut self, now: Instant, s: &mut Shared) {
        loop {
            let want = self.device.poll_want();
            // Bytes written before a reset are void, those before a close are not.
            if !matches!(want, Some(Want::Reset | Want::Vanish | Want::Supplant)) && !s.tx.is_empty() {
                self.write(now, s);
            }
            s.tx.clear();
            let Some(want) = want else { return self.serve(s) };
            self.layer_leaves(want, now, s);
            self.hurry(s);
            match (&mut self.pipe, want) {
                (Pipe::Direct(d), Want::Open) => {
                    if !d.connect(self.secure.addr(), self.index, s) {
                        s.with_io(0, now, |io| self.device.handle_closed(Closed::Harness, now, now, io));
                    }
                }
                (Pipe::Direct(d), want) => d.leave(want, s),
                (Pipe::Linked(l), want) => l.wish(want, now),
            }
        }
    }

    /// Hands bytes to the way to the broker.
    pub(super) fn write_wire(&mut self, bytes: &[u8], now: Instant, s: &mut Shared) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.pipe {
            Pipe::Direct(_) => {
                let start = s.outgoing.len();
                s.outgoing.extend_from_slice(bytes);
                s.writes.push((self.index, start..s.outgoing.len()));
            }
            Pipe::Linked(l) => {
                if l.unsent.is_empty() {
                    let taken = l.side().write(bytes, now);
                    l.unsent.extend_from_slice(&bytes[taken..]);
                } else {
                    l.unsent.extend_from_slice(bytes);
                }
            }
        }
    }

    /// Sends what waits for the end of the turn now, since the socket is about to be left.
    pub(super) fn hurry(&mut self, s: &mut Shared) {
        let Pipe::Direct(d) = &mut self.pipe else { return };
        for (index, range) in &mut s.writes {
            if *index == self.index {
                d.write(&s.outgoing[std::mem::take(range)], *index, s.epoll);
            }
        }
    }

    // ---- a direct socket's events ----

    /// The part of that number is ready: the client's own socket, the gateway's, or the direct one of that generation.
    pub fn ready(&mut self, part: u32, readable: bool, writable: bool, now: Instant, s: &mut Shared) {
        if part & LOCAL != 0 {
            return self.local_ready(part, readable, now, s);
        }
        if matches!(self.pipe, Pipe::Linked(_)) {
            return self.upstream_ready(part, readable, writable, now, s);
        }
        let Pipe::Direct(d) = &mut self.pipe else { return };
        if d.old.as_ref().is_some_and(|(old, _)| *old == part) {
            return self.old_ready(now, s);
        }
        if d.generation != part || d.socket.is_none() {
            return;
        }
        if !d.open {
            return self.direct_opened(now, s);
        }
        if writable {
            d.flush(self.index, s.epoll);
            let room = d.room();
            s.with_io(room, now, |io| self.device.handle_room(now, io));
            self.settle(now, s);
        }
        if readable {
            self.direct_read(now, s);
        }
    }

    fn direct_opened(&mut self, now: Instant, s: &mut Shared) {
        let Pipe::Direct(d) = &mut self.pipe else { return };
        let Some(socket) = &d.socket else { return };
        if socket.connected() {
            d.open = true;
            s.register(socket, self.index, d.generation, false, false);
            self.opened(DIRECT_ROOM, now, s);
        } else {
            d.socket = None;
            s.with_io(0, now, |io| self.device.handle_closed(Closed::Reset, now, now, io));
            self.settle(now, s);
        }
    }

    fn direct_read(&mut self, now: Instant, s: &mut Shared) {
        let Pipe::Direct(d) = &mut self.pipe else { return };
        let Some(socket) = &d.socket else { return };
        let mut buffer = std::mem::take(&mut s.buffer);
        let read = socket.read(&mut buffer);
        match read {
            Read::Bytes(n, stamp) => {
                let seen = s.now();
                let at = s.arrival(stamp, seen);
                let room = d.room();
                self.arrived(&buffer[..n], room, now, at, s);
            }
            Read::Nothing => {}
            Read::Finished | Read::Reset => {
                d.socket = None;
                let how = if read == Read::Finished { Closed::Finished } else { Closed::Reset };
                self.layer_ended(s);
                s.with_io(0, now, |io| self.device.handle_closed(how, now, now, io));
                self.settle(now, s);
            }
        }
        s.buffer = buffer;
    }

    // ---- a link's two ends ----

    fn sensor(&mut self, at: Instant, s: &mut Shared) {
        let Pipe::Linked(l) = &mut self.pipe else { return };
        if !l.unsent.is_empty() {
            let mut unsent = std::mem::take(&mut l.unsent);
            let taken = l.side().write(&unsent, at);
            unsent.drain(..taken);
            l.unsent = unsent;
        }
        let client = self.device.id();
        s.with_io(0, at, |io| {
            let seen = io.seen;
            l.side().take_losses(&mut |lost, what| io.sink.event(Event { seen, at: lost, client, what }));
        });
        let before = l.state;
        let mut received = std::mem::take(&mut l.received);
        received.clear();
        l.side().read(&mut received, at);
        l.received = received;
        l.state = l.side().sensor_state();
        let after = l.state;
        if before != after && after == SensorState::Open {
            let room = l.room();
            self.opened(room, at, s);
        }
        let Pipe::Linked(l) = &mut self.pipe else { return };
        if !l.received.is_empty() {
            let received = std::mem::take(&mut l.received);
            let room = l.room();
            self.arrived(&received, room, at, at, s);
            if let Pipe::Linked(l) = &mut self.pipe {
                l.received = received;
            }
        }
        if before != after && matches!(after, SensorState::PeerFinished | SensorState::Reset) {
            let how = if after == SensorState::Reset { Closed::Reset } else { Closed::Finished };
            self.layer_ended(s);
            if let Pipe::Linked(l) = &mut self.pipe {
                l.unsent.clear();
                l.side().finish(Vec::new(), at);
                l.state = SensorState::Closed;
            }
            s.with_io(0, at, |io| self.device.handle_closed(how, at, at, io));
            self.settle(at, s);
        } else if let Pipe::Linked(l) = &mut self.pipe
            && l.state == SensorState::Open
            && self.device.backlog() > 0
        {
            let room = l.room();
            if room > 0 {
                s.with_io(room, at, |io| self.device.handle_room(at, io));
                self.settle(at, s);
            }
        }
    }

    /// The far end of the link.
    fn far(&mut self, at: Instant, s: &mut Shared) {
        let (index, addr) = (self.index, self.secure.addr());
        let Pipe::Linked(l) = &mut self.pipe else { return };
        match &mut l.far {
            Far::Gateway(path, upstreams) => {
                gateway::serve(path, upstreams, (index, addr, at), s);
            }
            Far::Kernel(path) => {
                while let Some(packet) = path.next_outgoing() {
                    s.hand_to_kernel(&packet);
                }
            }
        }
    }

    fn upstream_ready(&mut self, conn: u32, readable: bool, writable: bool, now: Instant, s: &mut Shared) {
        let index = self.index;
        let Pipe::Linked(l) = &mut self.pipe else { return };
        let Far::Gateway(path, upstreams) = &mut l.far else { return };
        if !gateway::ready(path, upstreams, (conn, readable, writable), (index, now), s) {
            return;
        }
        self.sensor(now, s);
        self.run_link(now, s);
    }
}

impl Direct {
    /// A socket whose packets go through a link.
    pub fn behind(uplink: Uplink) -> Self {
        Self { uplink: Some(uplink), ..Self::default() }
    }

    /// Packets that its link has carried; none without one.
    pub fn packets(&self) -> Option<u64> {
        self.uplink.as_ref().map(|u| u.lane.packets())
    }

    pub(super) fn room(&self) -> usize {
        if self.open && self.unsent.is_empty() { DIRECT_ROOM } else { 0 }
    }

    fn connect(&mut self, addr: SocketAddr, index: u32, s: &mut Shared) -> bool {
        self.generation = self.generation.wrapping_add(1);
        self.unsent.clear();
        self.open = false;
        let socket = match &self.uplink {
            None => Socket::connect(addr, None),
            Some(uplink) => {
                uplink.lane.power(true);
                let from = |address| Some(Origin { address, segment: uplink.segment });
                uplink.on_the_sensors_side(|address| Socket::connect(addr, from(address)))
            }
        };
        match socket {
            Ok(socket) => {
                s.register(&socket, index, self.generation, true, true);
                self.socket = Some(socket);
                true
            }
            Err(error) => {
                s.trouble(&error);
                false
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8], index: u32, epoll: &rustix::fd::OwnedFd) {
        let Some(socket) = self.socket.as_ref().filter(|_| !bytes.is_empty()) else { return };
        if !self.unsent.is_empty() {
            return self.unsent.extend_from_slice(bytes);
        }
        let taken = socket.write(bytes);
        if taken < bytes.len() {
            self.unsent.extend_from_slice(&bytes[taken..]);
            super::load_loop::register(epoll, socket, index, self.generation, true, false);
        }
    }

    fn flush(&mut self, index: u32, epoll: &rustix::fd::OwnedFd) {
        let Some(socket) = &self.socket else { return };
        let taken = socket.write(&self.unsent);
        self.unsent.drain(..taken);
        if self.unsent.is_empty() {
            super::load_loop::register(epoll, socket, index, self.generation, false, false);
        }
    }

    pub(super) fn leave(&mut self, want: Want, s: &mut Shared) {
        let Some(socket) = self.socket.take() else { return };
        self.open = false;
        match want {
            Want::Close => {
                s.linger(socket, std::mem::take(&mut self.unsent));
            }
            Want::Vanish => match &self.uplink {
                // The sensor's kernel forgets the connection, and what comes for it is lost.
                Some(uplink) => {
                    uplink.lane.power(false);
                    socket.forget();
                }
                // Silent: the descriptor stays open, so that the broker sees nothing.
                None => s.keep_silent(socket),
            },
            // The same, but read: it is registered with its generation, and the device is told what becomes of it.
            Want::Supplant => {
                if let Some(older) = self.old.replace((self.generation, socket)) {
                    s.keep_silent(older.1);
                }
            }
            Want::Reset | Want::Open => socket.reset_on_close(),
        }
    }
}

impl Linked {
    pub(super) fn room(&mut self) -> usize {
        if self.unsent.is_empty() { self.side().room() } else { 0 }
    }

    pub(super) fn wish(&mut self, want: Want, now: Instant) {
        let rest = std::mem::take(&mut self.unsent);
        self.state = SensorState::Closed;
        match want {
            Want::Open => {
                self.side().connect(now);
                self.state = SensorState::Connecting;
            }
            Want::Close => self.side().finish(rest, now),
            Want::Reset => self.side().abort(now),
            Want::Vanish | Want::Supplant => self.side().power_cut(),
        }
    }
}

/// The socket's descriptor, for epoll.
pub(super) fn descriptor(socket: &Socket) -> rustix::fd::BorrowedFd<'_> {
    socket.as_fd()
}
