//! Who speaks TCP for the clients that have links: three engines behind one trait.

use super::pipe::{Direct, Linked, Pipe};
use super::plan::Planned;
use crate::clock::Clock;
use crate::link;
use crate::measure::summary::{Retransmitted, WireCost};
use crate::netns::{self, Carried, Counts, Forwarder, Lane, Namespace, Networks, Tun};
use crate::target::TargetError;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};

/// Header bytes of IPv4 and TCP, without options: what a segment's size is without them.
const HEADERS: u16 = 40;

/// How the clients of a run reach the broker.
pub(super) trait Engine: Send + Sync {
    /// The calling thread becomes load loop `number`: its sockets will be opened on the broker's side of the links. Gives the TUN
    /// device that this loop serves, if it serves one.
    fn enter(&self, number: usize) -> io::Result<Option<Tun>>;

    /// A client's way to the broker, which listens at `peer`. `place` is the loop's number, and the client's within it.
    fn pipe(&self, client: &mut Planned, peer: SocketAddr, place: (usize, u32)) -> Pipe;

    /// All links heal: those that the load loops do not hold.
    fn heal(&self) {}

    /// A load loop has read all that its TUN device had: what the kernel counted up to now, it has seen.
    fn has_read_all(&self) {}

    /// The run is over; what this engine knows beside the loops. It is asked once.
    fn finish(&self) -> Knowledge {
        Knowledge::default()
    }
}

/// What an engine knows when a run is over.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    /// What links carried that were not in a load loop, by client.
    pub wire: Vec<Option<WireCost>>,
    /// The kernels' own count.
    pub retransmitted: Option<Retransmitted>,
    /// Packets that were lost outside the links; the figures are not to be trusted if there are any.
    pub astray: u64,
}

/// The engine of a run, and what it takes from the clients' links.
pub(super) fn begin(
    networks: Option<Networks>,
    clients: &mut [Planned],
    clock: Clock,
) -> Result<Box<dyn Engine>, TargetError> {
    let Some(mut networks) = networks else { return Ok(Box::new(Smoltcp)) };
    let mut tuns = networks.take_tuns();
    if networks.engine == link::Engine::SmoltcpKernel {
        let tuns = tuns.into_iter().map(Some).collect();
        return Ok(Box::new(SmoltcpKernel { networks, tuns: Mutex::new(tuns), counts: Mutex::new(None) }));
    }
    if clients.len() > netns::MAX_CLIENTS {
        let message = format!("{} clients need more addresses than this engine has", clients.len());
        return Err(TargetError::usage(message, format!("{} at most", netns::MAX_CLIENTS)));
    }
    let (Some(broker), Some(sensors)) = (tuns.pop(), tuns.pop()) else {
        unreachable!("this engine's networks have a TUN device on each side")
    };
    let segments = clients.iter().map(|c| c.link.as_ref().map(|l| l.spec.mtu - HEADERS)).collect();
    let links = clients.iter_mut().map(|c| c.link.take().map(|l| l.channels())).collect();
    let forwarder = Forwarder::start(sensors, broker, links, clock)
        .map_err(|e| TargetError::unavailable(format!("the forwarder cannot be started: {e}"), ""))?;
    Ok(Box::new(Kernel { networks, segments, forwarder: Mutex::new(Some(forwarder)) }))
}

/// smoltcp on both ends; a gateway ends TCP.
struct Smoltcp;

impl Engine for Smoltcp {
    fn enter(&self, _: usize) -> io::Result<Option<Tun>> {
        Ok(None)
    }

    fn pipe(&self, client: &mut Planned, _: SocketAddr, _: (usize, u32)) -> Pipe {
        match client.link.take() {
            Some(link) => Pipe::Linked(Box::new(Linked::to_gateway(link.path()))),
            None => Pipe::Direct(Direct::default()),
        }
    }
}

/// smoltcp at the sensors; the broker's kernel answers their packets.
struct SmoltcpKernel {
    networks: Networks,
    tuns: Mutex<Vec<Option<Tun>>>,
    counts: Mutex<Option<Counts>>,
}

impl Engine for SmoltcpKernel {
    fn enter(&self, number: usize) -> io::Result<Option<Tun>> {
        self.networks.broker.enter()?;
        Ok(self.tuns.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number).and_then(Option::take))
    }

    fn pipe(&self, client: &mut Planned, peer: SocketAddr, (number, index): (usize, u32)) -> Pipe {
        match client.link.take() {
            Some(link) => {
                let path = link.open_path(netns::address_in_loop(number, index), v4(peer));
                Pipe::Linked(Box::new(Linked::to_kernel(path)))
            }
            None => Pipe::Direct(Direct::default()),
        }
    }

    fn has_read_all(&self) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.networks.counts());
    }

    fn finish(&self) -> Knowledge {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).take();
        counts.map_or_else(Knowledge::default, |counts| knowledge(Carried::default(), counts))
    }
}

/// The kernel on both ends; a forwarder carries the packets between.
struct Kernel {
    networks: Networks,
    /// The largest segment of each client's link, by client.
    segments: Vec<Option<u16>>,
    forwarder: Mutex<Option<Forwarder>>,
}

impl Engine for Kernel {
    fn enter(&self, _: usize) -> io::Result<Option<Tun>> {
        self.networks.broker.enter()?;
        Ok(None)
    }

    fn pipe(&self, client: &mut Planned, _: SocketAddr, _: (usize, u32)) -> Pipe {
        let id = client.plan.id.0;
        let forwarder = self.forwarder.lock().unwrap_or_else(PoisonError::into_inner);
        let sides = self.networks.sensors.as_ref().zip(forwarder.as_ref());
        match (self.segments[id as usize], sides) {
            (Some(segment), Some((sensors, forwarder))) => Pipe::Direct(Direct::behind(Uplink {
                sensors: Arc::clone(sensors),
                broker: Arc::clone(&self.networks.broker),
                lane: forwarder.lane(id),
                segment,
            })),
            _ => Pipe::Direct(Direct::default()),
        }
    }

    fn heal(&self) {
        if let Some(forwarder) = &*self.forwarder.lock().unwrap_or_else(PoisonError::into_inner) {
            forwarder.heal();
        }
    }

    fn finish(&self) -> Knowledge {
        let forwarder = self.forwarder.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stopped = forwarder.map(|f| f.stop(|| self.networks.counts()));
        stopped.map_or_else(Knowledge::default, |(carried, counts)| knowledge(carried, counts))
    }
}

/// A kernel socket's way through the forwarder.
pub(super) struct Uplink {
    sensors: Arc<Namespace>,
    broker: Arc<Namespace>,
    pub lane: Lane,
    /// The largest segment, in bytes.
    pub segment: u16,
}

impl Uplink {
    /// Opens something on the sensors' side: a socket belongs to the namespace in which its thread was.
    pub fn on_the_sensors_side<T>(&self, open: impl FnOnce(Ipv4Addr) -> io::Result<T>) -> io::Result<T> {
        self.sensors.enter()?;
        let opened = open(self.lane.address());
        self.broker.enter()?;
        opened
    }
}

fn knowledge(carried: Carried, counts: Counts) -> Knowledge {
    Knowledge {
        wire: carried.wire,
        retransmitted: Some(Retransmitted {
            up: counts.retransmitted_by_sensors,
            down: counts.retransmitted_by_broker,
        }),
        astray: carried.refused + counts.dropped.unwrap_or(0),
    }
}

fn v4(addr: SocketAddr) -> SocketAddrV4 {
    match addr {
        SocketAddr::V4(addr) => addr,
        SocketAddr::V6(_) => unreachable!("a broker in a namespace of ours has the address that we gave it"),
    }
}
