//! One client in virtual time: a device with its way to the broker.

use super::ahead::Lane;
use super::net::Net;
use crate::broker::ConnId;
use crate::device::{Closed, Device, Io, Want};
use crate::link::{GatewayEvent, Path, SensorSide, SensorState};
use crate::time::Instant;
use crate::trace::Event;

/// Bytes that a direct connection takes at once.
const DIRECT_ROOM: usize = 64 * 1024;

/// The gateway's number of a direct connection that was left unattended.
const OLD: u32 = 1;

/// One client.
pub(super) struct Client {
    pub device: Device,
    /// When the device has something to do by itself: asked for only after it was given something.
    pub device_due: Instant,
    pub group: u16,
    pub way: Way,
    /// When its connection is dropped on its way, latest first.
    pub drops: Vec<Instant>,
    pub index: u32,
}

/// Its way to the broker.
pub(super) enum Way {
    /// A connection without delay, or none.
    Direct(Option<ConnId>),
    Linked(Box<Linked>),
}

/// A link, and the gateway's connections to the broker.
pub(super) struct Linked {
    pub path: Path,
    state: SensorState,
    unsent: Vec<u8>,
    upstreams: Vec<Upstream>,
    received: Vec<u8>,
    /// Packets carried when the links were healed, to see who makes no progress.
    packets_at_heal: Option<u64>,
}

/// One of the gateway's connections.
struct Upstream {
    /// The gateway's number for it.
    number: u32,
    conn: ConnId,
    from_broker: Vec<u8>,
    broker_finished: bool,
}

impl Linked {
    pub fn new(path: Path) -> Self {
        Self {
            path,
            state: SensorState::Closed,
            unsent: Vec::new(),
            upstreams: Vec::with_capacity(1),
            received: Vec::new(),
            packets_at_heal: None,
        }
    }

    fn packets(&self) -> u64 {
        let wire = self.path.wire();
        wire.up.packets + wire.down.packets
    }

    fn room(&mut self) -> usize {
        if self.unsent.is_empty() { self.path.room() } else { 0 }
    }

    fn wish(&mut self, want: Want, now: Instant) {
        let rest = std::mem::take(&mut self.unsent);
        self.state = SensorState::Closed;
        match want {
            Want::Open => {
                self.path.connect(now);
                self.state = SensorState::Connecting;
            }
            Want::Close => self.path.finish(rest, now),
            Want::Reset => self.path.abort(now),
            Want::Vanish | Want::Supplant => self.path.power_cut(),
        }
    }

    /// Moves bytes between the link's gateway end and the broker.
    fn carry(&mut self, at: Instant, net: &mut Net) {
        let Self { path, upstreams, .. } = self;
        upstreams.retain_mut(|u| {
            if path.gateway_unread(u.number) > 0 {
                let mut bytes = net.buffer();
                path.gateway_read(u.number, &mut bytes, usize::MAX, at);
                net.bytes(u.conn, bytes);
            }
            if !u.from_broker.is_empty() {
                let taken = path.gateway_write(u.number, &u.from_broker, at);
                u.from_broker.drain(..taken);
            }
            let done = u.broker_finished && u.from_broker.is_empty();
            if done {
                path.gateway_finish(u.number, at);
            }
            !done
        });
    }
}

impl Client {
    /// When something is due by itself.
    pub fn next_deadline(&self) -> Instant {
        let own = self.device_due.min(self.drops.last().copied().unwrap_or(Instant::FAR));
        match &self.way {
            Way::Direct(_) => own,
            Way::Linked(l) => own.min(l.path.next_deadline().unwrap_or(Instant::FAR)),
        }
    }

    /// Does what is due at `now`; first what it had to wait for when it ran ahead.
    pub fn handle_deadline(&mut self, lane: &mut Lane, now: Instant, net: &mut Net) {
        net.give(&mut lane.held);
        if std::mem::take(&mut lane.halted) {
            self.gateway(now, net);
            self.sensor(now, net);
        }
        match &self.way {
            Way::Direct(_) => {
                self.drop_connections(now, net);
                self.with_io(now, net, |device, io| device.handle_deadline(now, io));
            }
            Way::Linked(_) => drop(self.run_link(now, net)),
        }
    }

    /// Takes the answers to what it said, then runs ahead up to `bound` (excluded), or until the broker is needed; then it is armed there.
    pub fn run_ahead(&mut self, lane: &mut Lane, bound: Instant, net: &mut Net) {
        let mut stopped = None;
        if let Some(at) = lane.spoke_at.take() {
            for (number, bytes) in lane.answers.drain(..) {
                lane.halted |= self.take_from_broker(number, &bytes, at, net);
                net.recycle(bytes);
            }
            net.take_inputs(&mut lane.held);
            stopped = lane.is_waiting().then_some(at);
        }
        lane.armed = stopped.unwrap_or_else(|| {
            loop {
                let at = self.next_deadline();
                if at >= bound {
                    break at;
                }
                lane.halted = self.run_link(at, net);
                net.take_inputs(&mut lane.held);
                if lane.is_waiting() {
                    break at;
                }
            }
        });
        self.tell(lane);
    }

    /// Tells what the world needs to know without looking.
    pub fn tell(&self, lane: &mut Lane) {
        let Way::Linked(l) = &self.way else { return };
        lane.conns.clear();
        lane.conns.extend(l.upstreams.iter().map(|u| u.conn));
        lane.more_at = l.path.next_at_gateway().min(self.drops.last().copied().unwrap_or(Instant::FAR));
    }

    /// Lives up to `now`; true if it stopped before, since it runs ahead and waits for a connection to the broker.
    fn run_link(&mut self, now: Instant, net: &mut Net) -> bool {
        while self.next_deadline() <= now {
            let Way::Linked(l) = &mut self.way else { return false };
            l.path.poll(now);
            self.drop_connections(now, net);
            if self.device_due <= now {
                self.with_io(now, net, |device, io| device.handle_deadline(now, io));
            }
            let Way::Linked(l) = &self.way else { return false };
            if net.ahead && l.path.is_knocking() {
                return true;
            }
            self.gateway(now, net);
            self.sensor(now, net);
        }
        false
    }

    /// Resets what lies between it and the broker, to both, if that is due.
    fn drop_connections(&mut self, now: Instant, net: &mut Net) {
        if self.drops.last().is_none_or(|at| *at > now) {
            return;
        }
        self.drops.pop();
        match &mut self.way {
            Way::Direct(conn) => {
                if let Some(conn) = conn.take() {
                    net.leave(conn, true);
                    self.with_io(now, net, |device, io| device.handle_closed(Closed::Reset, now, now, io));
                }
            }
            Way::Linked(l) => {
                for upstream in l.upstreams.drain(..) {
                    if !upstream.broker_finished {
                        net.leave(upstream.conn, true);
                    }
                    l.path.gateway_reset(upstream.number, now);
                }
            }
        }
    }

    /// Lets the device handle something, then does what it wants and hands on what it wrote.
    pub fn with_io(&mut self, now: Instant, net: &mut Net, f: impl FnOnce(&mut Device, &mut Io<'_>)) {
        let room = match &mut self.way {
            Way::Direct(conn) => conn.map_or(0, |_| DIRECT_ROOM),
            Way::Linked(l) => l.room(),
        };
        let mut tx = std::mem::take(&mut net.tx);
        f(&mut self.device, &mut Io { tx: &mut tx, sink: &mut net.events, room, seen: now });
        loop {
            let want = self.device.poll_want();
            // Bytes written before a reset are void, those before a close are not.
            if !matches!(want, Some(Want::Reset | Want::Vanish | Want::Supplant)) && !tx.is_empty() {
                self.write(&tx, now, net);
            }
            tx.clear();
            let Some(want) = want else { break };
            match &mut self.way {
                Way::Linked(l) => l.wish(want, now),
                Way::Direct(conn) => {
                    match conn.take() {
                        Some(conn) if want == Want::Supplant => net.set_aside(conn, self.index, OLD),
                        Some(conn) => net.leave(conn, want != Want::Vanish),
                        None => {}
                    }
                    if want == Want::Open {
                        *conn = net.open(self.index, 0);
                        let open = conn.is_some();
                        let room = if open { DIRECT_ROOM } else { 0 };
                        let io = &mut Io { tx: &mut tx, sink: &mut net.events, room, seen: now };
                        if open {
                            self.device.handle_open(now, now, io);
                        } else {
                            self.device.handle_closed(Closed::Reset, now, now, io);
                        }
                    }
                }
            }
        }
        net.tx = tx;
        self.device_due = self.device.next_deadline().unwrap_or(Instant::FAR);
    }

    fn write(&mut self, bytes: &[u8], now: Instant, net: &mut Net) {
        match &mut self.way {
            Way::Direct(Some(conn)) => {
                let mut buffer = net.buffer();
                buffer.extend_from_slice(bytes);
                net.bytes(*conn, buffer);
            }
            Way::Direct(None) => {}
            Way::Linked(l) => {
                let taken = if l.unsent.is_empty() { l.path.write(bytes, now) } else { 0 };
                l.unsent.extend_from_slice(&bytes[taken..]);
            }
        }
    }

    // ---- a link's two ends ----

    fn sensor(&mut self, at: Instant, net: &mut Net) {
        let Way::Linked(l) = &mut self.way else { return };
        if !l.unsent.is_empty() {
            let taken = l.path.write(&l.unsent, at);
            l.unsent.drain(..taken);
        }
        let client = self.device.id();
        l.path.take_losses(&mut |lost, what| net.events.push(Event { seen: at, at: lost, client, what }));
        let before = l.state;
        l.received.clear();
        l.path.read(&mut l.received, at);
        l.state = l.path.sensor_state();
        let after = l.state;
        let received = std::mem::take(&mut l.received);
        if before != after && after == SensorState::Open {
            self.with_io(at, net, |device, io| device.handle_open(at, at, io));
        }
        if !received.is_empty() {
            self.with_io(at, net, |device, io| device.handle_bytes(&received, at, at, io));
        }
        let Way::Linked(l) = &mut self.way else { return };
        l.received = received;
        if before != after && matches!(after, SensorState::PeerFinished | SensorState::Reset) {
            let how = if after == SensorState::Reset { Closed::Reset } else { Closed::Finished };
            l.unsent.clear();
            l.path.finish(Vec::new(), at);
            l.state = SensorState::Closed;
            self.with_io(at, net, |device, io| device.handle_closed(how, at, at, io));
        } else if l.state == SensorState::Open && self.device.backlog() > 0 && l.room() > 0 {
            self.with_io(at, net, |device, io| device.handle_room(at, io));
        }
    }

    fn gateway(&mut self, at: Instant, net: &mut Net) {
        let Way::Linked(l) = &mut self.way else { return };
        while let Some(event) = l.path.poll_gateway() {
            match event {
                GatewayEvent::Open(number) => match net.open(self.index, number) {
                    Some(conn) => {
                        l.upstreams.push(Upstream { number, conn, from_broker: Vec::new(), broker_finished: false });
                        l.path.accept(number, at);
                    }
                    None => l.path.refuse(number, at),
                },
                // The broker answers an end with its own.
                GatewayEvent::Finished(number) => {
                    l.carry(at, net);
                    if let Some(u) = l.upstreams.iter_mut().find(|u| u.number == number && !u.broker_finished) {
                        net.leave(u.conn, true);
                        u.broker_finished = true;
                    }
                }
                GatewayEvent::Reset(number) => {
                    if let Some(place) = l.upstreams.iter().position(|u| u.number == number) {
                        let gone = l.upstreams.remove(place);
                        if !gone.broker_finished {
                            net.leave(gone.conn, true);
                        }
                    }
                }
            }
        }
        l.carry(at, net);
    }

    // ---- what the broker does ----

    /// Bytes from the broker, on the connection of that gateway number; true if it waits for a connection to the broker, as
    /// [`Self::run_link`] has it.
    pub fn take_from_broker(&mut self, number: u32, bytes: &[u8], now: Instant, net: &mut Net) -> bool {
        match &mut self.way {
            Way::Direct(_) if number == OLD => self.device.handle_old_bytes(bytes),
            Way::Direct(_) => self.with_io(now, net, |device, io| device.handle_bytes(bytes, now, now, io)),
            Way::Linked(l) => {
                l.path.poll(now);
                if let Some(u) = l.upstreams.iter_mut().find(|u| u.number == number) {
                    u.from_broker.extend_from_slice(bytes);
                }
                return self.after_gateway(now, net);
            }
        }
        false
    }

    /// The broker ended the connection, in order or by a reset.
    pub fn broker_left(&mut self, number: u32, how: Closed, now: Instant, net: &mut Net) {
        match &mut self.way {
            Way::Direct(_) if number == OLD => self.with_io(now, net, |device, io| device.handle_old_closed(now, io)),
            Way::Direct(conn) => {
                *conn = None;
                self.with_io(now, net, |device, io| device.handle_closed(how, now, now, io));
            }
            Way::Linked(l) => {
                l.path.poll(now);
                if let Some(place) = l.upstreams.iter().position(|u| u.number == number) {
                    if how == Closed::Finished {
                        l.upstreams[place].broker_finished = true;
                    } else {
                        l.upstreams.remove(place);
                        l.path.gateway_reset(number, now);
                    }
                }
                self.after_gateway(now, net);
            }
        }
    }

    fn after_gateway(&mut self, now: Instant, net: &mut Net) -> bool {
        self.gateway(now, net);
        self.sensor(now, net);
        self.run_link(now, net)
    }

    // ---- the end of the load ----

    /// The link is healed, and who waits connects at once.
    pub fn heal(&mut self, now: Instant, net: &mut Net) {
        self.drops.clear();
        if let Way::Linked(l) = &mut self.way {
            l.path.poll(now);
            l.path.heal();
            l.packets_at_heal = Some(l.packets());
        }
        self.with_io(now, net, |device, io| device.handle_heal(false, now, io));
    }

    /// A while after the heal: who makes no progress is reset.
    pub fn reset_if_stalled(&mut self, now: Instant, net: &mut Net) {
        let Way::Linked(l) = &mut self.way else { return };
        let moved = l.packets_at_heal != Some(l.packets());
        if !moved && (l.path.is_busy() || self.device.is_busy() || !self.device.is_settled()) {
            self.with_io(now, net, |device, io| device.handle_heal(true, now, io));
        }
    }
}
