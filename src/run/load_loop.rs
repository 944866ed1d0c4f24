//! A load loop: a thread of its own that wakes on a tick, sends what is due, reads all that came, and sleeps.
//!
//! Why a tick: a loop that wakes for each acknowledgement costs nearly twice the CPU a message. Arrival times do not
//! suffer, since the kernel stamps what it receives.

use super::actor::Actor;
use super::engine::Engine;
use super::foreign::Manned;
use super::judging::Batch;
use super::local::Local;
use super::pipe::{Far, Pipe, Slot, descriptor};
use super::secure::Secure;
use super::socket::Socket;
use crate::clock::Clock;
use crate::device::{Device, Io};
use crate::measure::histogram;
use crate::measure::summary::WireCost;
use crate::netns::{self, Tun};
use crate::target::way::Endpoints;
use crate::time::{Duration, Instant, nanos};
use crate::trace::Event;
use crate::transport::Failure;
use hdrhistogram::Histogram;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender};

/// What the coordinator tells the loops.
pub(super) const RUNNING: u8 = 0;
/// Links are healed: the drain has begun.
pub(super) const HEALED: u8 = 1;
/// The run is over.
pub(super) const OVER: u8 = 2;
/// The loops have ended.
pub(super) const GONE: u8 = 3;

/// How long after the heal a connection must have made progress, or is reset (assumed).
const STALL: Duration = Duration::from_secs(8);
/// Events after which the judges are woken, and how long they are let sleep at most.
const BATCH: usize = 2048;
const BATCH_EVERY: Duration = Duration::from_millis(20);
/// Sockets that were vanished from, kept open and silent at most; the oldest close beyond that.
const MAX_SILENT: usize = 2_000;

/// What a loop needs to begin.
pub(super) struct Setup {
    pub number: usize,
    pub clients: Vec<Manned>,
    pub groups: usize,
    pub endpoints: Endpoints,
    pub clock: Clock,
    pub tick: Duration,
    pub phase: Arc<AtomicU8>,
    pub batches: Sender<super::judging::Message>,
    pub empties: Receiver<Vec<Event>>,
    pub engine: Arc<dyn Engine>,
}

/// What a loop leaves behind.
pub(super) struct Leavings {
    /// By group; none for groups without links here.
    pub wire: Vec<Option<WireCost>>,
    pub slip: Histogram<u64>,
    pub lag: Histogram<u64>,
    pub stamped: u64,
    pub unstamped: u64,
    /// What the harness could not do (descriptors, ports), first occurrence and count.
    pub trouble: Option<(String, u64)>,
    pub zombies_dropped: u64,
    /// Why TLS or WebSocket gave up, and how often.
    pub failures: BTreeMap<Failure, u64>,
    /// Packets that a kernel did not take.
    pub refused: u64,
}

/// A socket whose client has left it in order.
struct Leaving {
    /// When it is closed.
    until: Instant,
    socket: Socket,
    /// What it has not taken yet.
    rest: Vec<u8>,
}

impl Leaving {
    /// Writes what the socket takes, and its FIN after the last byte; true if something moved.
    fn go_on(&mut self) -> bool {
        let taken = self.socket.write(&self.rest);
        self.rest.drain(..taken);
        if self.rest.is_empty() {
            self.socket.finish();
        }
        taken > 0
    }
}

/// What the clients of a loop share.
pub(super) struct Shared<'a> {
    pub epoll: &'a OwnedFd,
    pub tx: Vec<u8>,
    pub buffer: Vec<u8>,
    pub slip: Histogram<u64>,
    /// What direct sockets are to send at the end of the turn, one after the other, and whose it is (slot, range).
    pub outgoing: Vec<u8>,
    pub writes: Vec<(u32, std::ops::Range<usize>)>,
    events: Vec<Event>,
    clock: Clock,
    /// The latest time any event was seen at: they never go back.
    seen: Instant,
    lingering: VecDeque<Leaving>,
    silent: VecDeque<Socket>,
    /// Where the links of this loop end, if a kernel is there.
    tun: Option<Tun>,
    refused: u64,
    stamped: u64,
    unstamped: u64,
    trouble: Option<(String, u64)>,
    /// Why TLS or WebSocket gave up, and how often.
    failures: BTreeMap<Failure, u64>,
    /// Reused: what a layer gives.
    pub app: Vec<u8>,
    pub wire: Vec<u8>,
}

impl Shared<'_> {
    /// Now, never going back.
    pub fn now(&mut self) -> Instant {
        self.seen = self.seen.max(self.clock.now());
        self.seen
    }

    /// Lets a device handle something: it writes into `tx` and tells the judges.
    pub fn with_io(&mut self, room: usize, now: Instant, f: impl FnOnce(&mut Io<'_>)) {
        self.seen = self.seen.max(now);
        let mut io = Io { tx: &mut self.tx, sink: &mut self.events, room, seen: self.seen };
        f(&mut io);
    }

    /// When bytes arrived: the kernel's stamp, where it has one that is not in the future.
    pub fn arrival(&mut self, stamp: Option<u64>, seen: Instant) -> Instant {
        match stamp.map(|s| self.clock.from_wall(s)) {
            Some(at) if at > Instant::ZERO && at <= seen => {
                self.stamped += 1;
                at
            }
            _ => {
                self.unstamped += 1;
                seen
            }
        }
    }

    pub fn register(&mut self, socket: &impl AsFd, index: u32, part: u32, write: bool, new: bool) {
        register(self.epoll, socket, index, part, write, new);
    }

    pub fn pause_reading(&mut self, socket: &Socket) {
        let _ = epoll::delete(self.epoll, descriptor(socket));
    }

    /// Something of the harness' own failed.
    pub fn trouble(&mut self, error: &std::io::Error) {
        match &mut self.trouble {
            Some((_, count)) => *count += 1,
            None => self.trouble = Some((error.to_string(), 1)),
        }
    }

    /// TLS or WebSocket gave up on a connection.
    pub fn failed(&mut self, why: Failure) {
        // Words may hold a time: only so many are told apart.
        if self.failures.len() < 8 || self.failures.contains_key(&why) {
            *self.failures.entry(why).or_default() += 1;
        }
    }

    /// Finishes a socket after `rest`, which it may not take at once, and keeps it until its FIN is surely out: closing it
    /// with unread bytes would reset it.
    pub fn linger(&mut self, socket: Socket, rest: Vec<u8>) {
        let _ = epoll::delete(self.epoll, descriptor(&socket));
        let until = self.now() + Duration::from_secs(1);
        let mut leaving = Leaving { until, socket, rest };
        leaving.go_on();
        self.lingering.push_back(leaving);
    }

    pub fn keep_silent(&mut self, socket: Socket) {
        let _ = epoll::delete(self.epoll, descriptor(&socket));
        self.silent.push_back(socket);
        if self.silent.len() > MAX_SILENT {
            self.silent.pop_front();
        }
    }

    /// A packet has come out of a link at its far end.
    pub fn hand_to_kernel(&mut self, packet: &[u8]) {
        self.refused += u64::from(!self.tun.as_ref().is_some_and(|t| t.write(packet)));
    }

    fn bury(&mut self, now: Instant) {
        self.lingering.retain_mut(|l| {
            if !l.rest.is_empty() && l.go_on() {
                l.until = now + Duration::from_secs(1);
            }
            now < l.until
        });
    }
}

/// Sets what is waited for on a socket; level-triggered.
pub(super) fn register(epoll: &OwnedFd, socket: &impl AsFd, index: u32, part: u32, write: bool, new: bool) {
    let data = EventData::new_u64((u64::from(index) << 32) | u64::from(part));
    // A socket that is connecting is waited for by its writability alone.
    let flags = match (new, write) {
        (true, _) => EventFlags::OUT,
        (false, true) => EventFlags::IN | EventFlags::OUT,
        (false, false) => EventFlags::IN,
    };
    let descriptor = socket.as_fd();
    if new || epoll::modify(epoll, descriptor, data, flags).is_err() {
        let _ = epoll::add(epoll, descriptor, data, flags);
    }
}

/// Runs a loop to the end of the run.
///
/// # Errors
/// If the system gives no epoll.
pub(super) fn run(setup: Setup) -> std::io::Result<Leavings> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let Setup { number, clients, groups, endpoints, clock, tick, phase, batches, empties, engine } = setup;
    let tun = engine.enter(number)?;
    let mut shared = Shared {
        epoll: &epoll,
        tx: Vec::with_capacity(4096),
        buffer: vec![0; 64 * 1024],
        slip: histogram(),
        outgoing: Vec::with_capacity(4096),
        writes: Vec::with_capacity(64),
        events: Vec::with_capacity(1024),
        clock,
        seen: Instant::ZERO,
        lingering: VecDeque::new(),
        silent: VecDeque::new(),
        tun,
        refused: 0,
        stamped: 0,
        unstamped: 0,
        trouble: None,
        failures: BTreeMap::new(),
        app: Vec::new(),
        wire: Vec::new(),
    };
    let slots = clients.into_iter().zip(0..).map(|(Manned { planned: mut client, foreign }, index)| {
        let secure = Secure::new(endpoints.of(client.transport));
        let pipe = engine.pipe(&mut client, secure.addr(), (number, index));
        let (device, local) = match foreign {
            Some((proxy, listener)) => (Actor::Foreign(proxy), Some(Local::new(listener))),
            None => (Actor::Own(Device::new(client.plan)), None),
        };
        if let Some(local) = &local {
            local.listen(index, &mut shared);
        }
        Slot { pipe, device, local, drops: client.drops, group: client.group, secure, armed: Instant::FAR, index }
    });
    let mut this = Loop {
        slots: slots.collect(),
        timers: BinaryHeap::new(),
        clock,
        tick,
        due: Instant::FAR,
        lag: histogram(),
        ready: Vec::with_capacity(1024),
        healed_at: None,
        stall_checked: false,
    };
    for i in 0..this.slots.len() {
        this.arm(i);
    }
    let mut next_batch = Instant::ZERO;
    loop {
        let told = phase.load(Ordering::Relaxed);
        let now = this.sleep_to_tick(&mut shared);
        if told >= HEALED {
            this.heal(now, &mut shared);
        }
        this.turn(now, &mut shared)?;
        if told >= OVER {
            this.end(&mut shared);
        }
        // The judges are woken now and then, not at every tick: waking a thread costs as much as judging ten messages.
        let due = now >= next_batch || shared.events.len() >= BATCH;
        if !due && told < OVER {
            continue;
        }
        next_batch = now + BATCH_EVERY;
        let events = std::mem::replace(&mut shared.events, empties.try_recv().unwrap_or_default());
        let pending = this.pending(told);
        let until = shared.now();
        let batch = Batch { source: number, events, until, pending, last: told >= OVER };
        if batches.send(super::judging::Message::Batch(batch)).is_err() || told >= OVER {
            break;
        }
    }
    let end = shared.now();
    this.take_packets(end, &mut shared);
    engine.has_read_all();
    while this.take_packets(end, &mut shared) {
        engine.has_read_all();
    }
    Ok(this.leave(shared, groups))
}

struct Loop {
    slots: Vec<Slot>,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    clock: Clock,
    tick: Duration,
    /// When the next turn is due.
    due: Instant,
    lag: Histogram<u64>,
    ready: Vec<epoll::Event>,
    healed_at: Option<Instant>,
    stall_checked: bool,
}

impl Loop {
    fn arm(&mut self, i: usize) {
        let slot = &mut self.slots[i];
        let at = slot.next_deadline();
        if at < slot.armed {
            slot.armed = at;
            self.timers.push(Reverse((at, slot.index)));
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the loop's one place to wait")]
    fn sleep_to_tick(&mut self, s: &mut Shared<'_>) -> Instant {
        let tick = nanos(self.tick).max(1);
        let before = self.clock.now();
        let next = Instant::from_nanos((before.as_nanos() / tick + 1) * tick);
        std::thread::sleep(next.since(before));
        let now = s.now();
        // Late against the tick that was due after the last one: a turn that took long, or stood still, counts too.
        let late = now.since(self.due.min(next));
        self.lag.record(nanos(late).max(1)).expect("histograms that grow take any value");
        self.due = next + self.tick;
        now
    }

    fn turn(&mut self, now: Instant, s: &mut Shared<'_>) -> std::io::Result<()> {
        let no_wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        self.ready.clear();
        match epoll::wait(s.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&no_wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for i in 0..self.ready.len() {
            let (token, flags) = (self.ready[i].data.u64(), self.ready[i].flags);
            #[allow(clippy::cast_possible_truncation, reason = "the two halves of the token")]
            let (index, part) = ((token >> 32) as usize, token as u32);
            let readable = flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
            let at = s.now();
            self.slots[index].ready(part, readable, flags.contains(EventFlags::OUT), at, s);
            self.arm(index);
        }
        // A full buffer: more is ready than one call tells; it comes at the next tick.
        if self.ready.len() == self.ready.capacity() {
            self.ready.reserve(self.ready.capacity() * 2);
        }
        self.take_packets(now, s);
        while let Some(Reverse((at, index))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            let slot = &mut self.slots[index as usize];
            if slot.armed != at {
                continue; // armed anew since
            }
            slot.armed = Instant::FAR;
            slot.handle_deadline(now, s);
            self.arm(index as usize);
        }
        self.flush(s);
        s.bury(now);
        Ok(())
    }

    /// What the broker's kernel has sent to the sensors goes into their links.
    /// False if there was nothing.
    fn take_packets(&mut self, now: Instant, s: &mut Shared<'_>) -> bool {
        let Some(tun) = &s.tun else { return false };
        let mut any = false;
        while let Some(length) = tun.read(&mut s.buffer) {
            any = true;
            let packet = &s.buffer[..length];
            let Some(index) = netns::index_in_loop(packet).filter(|i| *i < self.slots.len()) else { continue };
            self.slots[index].deliver(packet.to_vec(), now);
            self.arm(index);
        }
        any
    }

    /// Sends what the turn produced, in one go: each send may wake the broker, which costs more than the send itself
    /// where it had fallen asleep since the one before.
    fn flush(&mut self, s: &mut Shared<'_>) {
        for (index, range) in s.writes.drain(..) {
            if let Pipe::Direct(d) = &mut self.slots[index as usize].pipe {
                d.write(&s.outgoing[range], index, s.epoll);
            }
        }
        s.outgoing.clear();
    }

    /// All links are healed at once; a while later, who makes no progress is reset.
    fn heal(&mut self, now: Instant, s: &mut Shared<'_>) {
        let Some(at) = self.healed_at else {
            self.healed_at = Some(now);
            for i in 0..self.slots.len() {
                let slot = &mut self.slots[i];
                slot.drops.clear();
                match &mut slot.pipe {
                    Pipe::Linked(l) => {
                        l.side().heal();
                        l.packets_at_heal = Some(l.packets());
                    }
                    Pipe::Direct(d) => d.packets_at_heal = d.packets(),
                }
                s.with_io(0, now, |io| slot.device.handle_heal(false, now, io));
                slot.settle(now, s);
                self.arm(i);
            }
            return;
        };
        if self.stall_checked || now.since(at) < STALL {
            return;
        }
        self.stall_checked = true;
        for i in 0..self.slots.len() {
            let slot = &mut self.slots[i];
            let stalled = match &mut slot.pipe {
                Pipe::Linked(l) => {
                    let moved = l.packets_at_heal != Some(l.packets());
                    !moved && (l.side().is_busy() || slot.device.is_busy() || !slot.device.is_settled())
                }
                Pipe::Direct(d) => {
                    let moved = d.packets_at_heal != d.packets() || d.uplink.is_none();
                    !moved && (slot.device.is_busy() || !slot.device.is_settled())
                }
            };
            if stalled {
                s.with_io(0, now, |io| slot.device.handle_heal(true, now, io));
                slot.settle(now, s);
                self.arm(i);
            }
        }
    }

    fn end(&mut self, s: &mut Shared<'_>) {
        let now = s.now();
        for slot in &mut self.slots {
            s.with_io(usize::MAX, now, |io| slot.device.handle_end(now, io));
            slot.settle(now, s);
        }
        self.flush(s);
    }

    /// How much is still to be done, for the coordinator: counted in the drain alone.
    fn pending(&self, told: u8) -> Option<u64> {
        if told < HEALED {
            return None;
        }
        Some(self.slots.iter().map(|s| s.device.backlog() + u64::from(!s.device.is_settled())).sum())
    }

    fn leave(self, s: Shared<'_>, groups: usize) -> Leavings {
        let mut wire: Vec<Option<WireCost>> = vec![None; groups];
        let mut zombies_dropped = 0;
        for slot in &self.slots {
            if let Pipe::Linked(l) = &slot.pipe {
                let cost = l.wire();
                let sum = wire[usize::from(slot.group)].get_or_insert_default();
                sum.up.add(&cost.up);
                sum.down.add(&cost.down);
                if let Far::Gateway(path, _) = &l.far {
                    zombies_dropped += path.zombies_dropped();
                }
            }
        }
        let Shared { slip, stamped, unstamped, trouble, failures, refused, .. } = s;
        Leavings { refused, wire, slip, lag: self.lag, stamped, unstamped, trouble, zombies_dropped, failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_socket_that_is_left_sends_what_it_had_no_room_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let socket = Socket::connect(listener.local_addr().expect("bound"), None).expect("a socket");
        let (mut broker, _) = listener.accept().expect("a connection");
        let mut all = vec![7; 32 << 20];
        all.extend_from_slice(b"DISCONNECT");
        let mut leaving = Leaving { until: Instant::ZERO, socket, rest: all.clone() };
        leaving.go_on();
        assert!(!leaving.rest.is_empty(), "more than the kernel takes while nobody reads");
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            broker.read_to_end(&mut got).map(|_| got)
        });
        while !leaving.rest.is_empty() {
            leaving.go_on();
            std::thread::yield_now();
        }
        assert!(reader.join().expect("it reads").expect("until the FIN") == all);
    }
}
