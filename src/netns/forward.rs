//! The forwarder: a thread that carries the packets between the sensors' kernel and the broker's, each through its sensor's link.

use super::tun::Tun;
use super::{endpoints, lane_of};
use crate::clock::Clock;
use crate::link::Channels;
use crate::measure::summary::WireCost;
use crate::time::{Duration, Instant, nanos};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Bytes of the largest packet: links have an MTU of at most 1600.
const LARGEST: usize = 2048;
/// Packets read from one side before the other has its turn.
const TURN: usize = 64;
/// How long the thread sleeps at most before it looks at what it is told.
const LOOK: Duration = Duration::from_millis(20);
/// Packet buffers kept for re-use.
const POOL: usize = 1024;

/// What the load loops and the forwarder tell each other of one sensor.
#[derive(Debug, Default)]
struct Told {
    /// What comes for a sensor without power is lost.
    off: AtomicBool,
    packets: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    healed: AtomicBool,
    lanes: Vec<Told>,
}

/// One sensor's link, as its socket's owner sees it.
#[derive(Clone, Debug)]
pub struct Lane {
    shared: Arc<Shared>,
    number: u32,
}

impl Lane {
    /// The sensor's address.
    #[must_use]
    pub fn address(&self) -> std::net::Ipv4Addr {
        super::address(self.number)
    }

    /// Switches the sensor's radio on or off: off, what comes for it is lost.
    pub fn power(&self, on: bool) {
        self.told().off.store(!on, Ordering::Relaxed);
    }

    /// Packets that were offered to the link so far, both ways.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.told().packets.load(Ordering::Relaxed)
    }

    fn told(&self) -> &Told {
        &self.shared.lanes[self.number as usize]
    }
}

/// What was carried.
#[derive(Debug, Default)]
pub struct Carried {
    /// By client; none for those without a link.
    pub wire: Vec<Option<WireCost>>,
    /// Packets that a kernel did not take.
    pub refused: u64,
}

/// A running forwarder. Dropping it ends its thread.
#[derive(Debug)]
pub struct Forwarder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Carrier>>,
}

impl Forwarder {
    /// Starts to carry; `links` by client number, none for clients whose packets pass as they are.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(sensors: Tun, broker: Tun, links: Vec<Option<Channels>>, clock: Clock) -> io::Result<Self> {
        let lanes = links.iter().map(|_| Told::default()).collect();
        let shared = Arc::new(Shared { lanes, ..Shared::default() });
        let carrier = Carrier {
            tuns: [sensors, broker],
            armed: vec![Instant::FAR; links.len()],
            links,
            due: BinaryHeap::new(),
            pool: Vec::new(),
            refused: 0,
            clock,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new().name("forwarder".into()).spawn(move || carrier.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A client's link.
    #[must_use]
    pub fn lane(&self, number: u32) -> Lane {
        Lane { shared: Arc::clone(&self.shared), number }
    }

    /// From here on nothing is lost and there is no outage; rate and delay stay.
    pub fn heal(&self) {
        self.shared.healed.store(true, Ordering::Relaxed);
    }

    /// Ends it; what was carried, and what `count` found when nothing was under way between the kernels and here: both tell of the
    /// same moment.
    ///
    /// # Panics
    /// If its thread did.
    pub fn stop<T>(mut self, mut count: impl FnMut() -> T) -> (Carried, T) {
        let mut carrier = self.end().expect("it was running").unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        carrier.drain();
        let mut found = count();
        while carrier.drain() {
            found = count();
        }
        let wire = carrier.links.iter().map(|l| l.as_ref().map(Channels::wire)).collect();
        (Carried { wire, refused: carrier.refused }, found)
    }

    fn end(&mut self) -> Option<std::thread::Result<Carrier>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug)]
struct Carrier {
    /// The sensors', then the broker's.
    tuns: [Tun; 2],
    links: Vec<Option<Channels>>,
    armed: Vec<Instant>,
    due: BinaryHeap<Reverse<(Instant, u32)>>,
    pool: Vec<Vec<u8>>,
    refused: u64,
    clock: Clock,
    shared: Arc<Shared>,
}

impl Carrier {
    fn run(mut self) -> Self {
        // SAFETY: prctl takes numbers: this thread's timers are to be exact to the nanosecond, not to 50 us.
        unsafe {
            libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        }
        let mut healed = false;
        while !self.shared.stop.load(Ordering::Relaxed) {
            if !healed && self.shared.healed.load(Ordering::Relaxed) {
                healed = true;
                self.heal();
            }
            self.hand_over();
            self.wait();
            for side in 0..2 {
                for _ in 0..TURN {
                    if !self.take_in(side) {
                        break;
                    }
                }
            }
        }
        self
    }

    /// What waits for a radio that sleeps is due at once: each link is armed anew.
    fn heal(&mut self) {
        self.links.iter_mut().flatten().for_each(Channels::heal);
        for number in 0..self.links.len() {
            self.arm(number);
        }
    }

    /// Takes in all that the kernels have sent; false if there was nothing.
    fn drain(&mut self) -> bool {
        let mut any = false;
        for side in 0..2 {
            while self.take_in(side) {
                any = true;
            }
        }
        any
    }

    /// Sleeps until a packet comes in, or one is due to come out.
    fn wait(&self) {
        let until = self.due.peek().map_or(LOOK, |Reverse((at, _))| at.since(self.clock.now()).min(LOOK));
        let until = nanos(until).cast_signed();
        let timeout = Timespec { tv_sec: until / 1_000_000_000, tv_nsec: until % 1_000_000_000 };
        let [sensors, broker] = &self.tuns;
        let wanted = |tun| PollFd::from_borrowed_fd(AsFd::as_fd(tun), PollFlags::IN);
        let _ = poll(&mut [wanted(sensors), wanted(broker)], Some(&timeout));
    }

    /// One packet from a side into its link; false if there was none.
    fn take_in(&mut self, side: usize) -> bool {
        let mut packet = self.pool.pop().unwrap_or_else(|| Vec::with_capacity(LARGEST));
        packet.resize(LARGEST, 0);
        let Some(length) = self.tuns[side].read(&mut packet) else {
            self.recycle(packet);
            return false;
        };
        packet.truncate(length);
        let Some((from, to)) = endpoints(&packet) else {
            self.recycle(packet);
            return true;
        };
        let lane = lane_of(if side == 0 { from } else { to });
        let Some((number, link)) = lane.and_then(|l| Some((l, self.links.get_mut(l)?.as_mut()?))) else {
            self.pass(1 - side, &packet);
            self.recycle(packet);
            return true;
        };
        self.shared.lanes[number].packets.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let lost = if side == 0 { link.offer_up(packet, now) } else { link.offer_down(packet, now) };
        link.take_losses(&mut |_, _| {}); // counted; the judges' stories do not have them on this engine
        if let Some(lost) = lost {
            self.recycle(lost);
        }
        self.arm(number);
        true
    }

    fn arm(&mut self, number: usize) {
        let at = self.links[number].as_ref().map_or(Instant::FAR, Channels::next_arrival);
        if at < self.armed[number] {
            self.armed[number] = at;
            self.due.push(Reverse((at, u32::try_from(number).expect("fewer than 2^20 clients"))));
        }
    }

    /// What has come out of the links goes to the kernel there.
    fn hand_over(&mut self) {
        let now = self.clock.now();
        while let Some(Reverse((at, number))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            let number = number as usize;
            if self.armed[number] != at {
                continue; // armed anew since
            }
            self.armed[number] = Instant::FAR;
            let Some(link) = &mut self.links[number] else { continue };
            let (up, down) = (link.arrived_up(now), link.arrived_down(now));
            if let Some(packet) = up {
                self.pass(1, &packet);
                self.recycle(packet);
            }
            if let Some(packet) = down {
                if !self.shared.lanes[number].off.load(Ordering::Relaxed) {
                    self.pass(0, &packet);
                }
                self.recycle(packet);
            }
            self.arm(number);
        }
    }

    fn pass(&mut self, side: usize, packet: &[u8]) {
        self.refused += u64::from(!self.tuns[side].write(packet));
    }

    fn recycle(&mut self, packet: Vec<u8>) {
        if self.pool.len() < POOL {
            self.pool.push(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BROKER, address};
    use super::*;
    use crate::link::spec::{LinkSpec, Sleep};
    use crate::seed::Stream;
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    /// A device's stand-in, and the kernel's end of it: a datagram is a packet.
    fn device() -> (Tun, UnixDatagram) {
        let (ours, kernels) = UnixDatagram::pair().expect("sockets are to be had");
        ours.set_nonblocking(true).expect("ours");
        kernels.set_read_timeout(Some(Duration::from_secs(20))).expect("ours");
        (Tun::of(File::from(OwnedFd::from(ours))), kernels)
    }

    fn packet(from: std::net::Ipv4Addr, to: std::net::Ipv4Addr) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x45;
        packet[12..16].copy_from_slice(&from.octets());
        packet[16..20].copy_from_slice(&to.octets());
        packet
    }

    /// What waits for a radio that sleeps has no time at which it is due, so that nobody would look at its link again.
    #[test]
    fn a_heal_wakes_what_waits_for_a_sleeping_radio() {
        let never = Sleep { awake: Duration::ZERO, every: None, window: Duration::ZERO };
        let spec = Arc::new(LinkSpec { sleep: Some(never), ..LinkSpec::PERFECT });
        let link = Channels::new(spec, Stream::named(1, &["up"]), Stream::named(1, &["down"]));
        let ((sensors, at_sensors), (broker, at_broker)) = (device(), device());
        // One without a link, whose packets pass as they are.
        let links = vec![Some(link), None];
        let forwarder = Forwarder::start(sensors, broker, links, Clock::start()).expect("there are threads");
        let (sleeps, passes) = (packet(BROKER, address(0)), packet(BROKER, address(1)));
        at_broker.send(&sleeps).expect("taken");
        at_broker.send(&passes).expect("taken");
        let mut came = [0; 100];
        let length = at_sensors.recv(&mut came).expect("a packet");
        assert_eq!(came[..length], passes, "the first one waits");
        assert_eq!(forwarder.lane(0).packets(), 1);
        forwarder.heal();
        let length = at_sensors.recv(&mut came).expect("what waited");
        assert_eq!(came[..length], sleeps);
        let (carried, ()) = forwarder.stop(|| ());
        assert_eq!((carried.refused, carried.wire[0].map(|w| w.down.packets)), (0, Some(1)));
    }
}
