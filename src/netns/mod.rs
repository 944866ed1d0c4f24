//! Network namespaces and TUN devices for the engines in which a kernel speaks TCP. squall makes them itself, by system calls, and
//! nothing of them outlives it: they have no names, and live by descriptors.
//!
//! ```text
//! smoltcp-kernel   load loop: smoltcp <-> channels <-> TUN | namespace of the broker
//! kernel           namespace of the sensors | TUN <-> forwarder: channels <-> TUN | namespace of the broker
//! ```

mod forward;
mod namespace;
mod tun;

pub use forward::{Carried, Forwarder, Lane};
pub use namespace::Namespace;
pub use tun::Tun;

use crate::link::Engine;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The broker's address in its namespace.
pub const BROKER: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
/// The sensors' network: 10.64.0.0/12.
const SENSORS: u32 = 0x0A40_0000;
const SENSORS_PREFIX: u32 = 12;
/// Each load loop of the half engine has a part of it of its own, a /16.
const PART_PREFIX: u32 = 16;
/// The TUN device's own address at the broker's end, which nobody uses.
const TUN_AT_BROKER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// Load loops that the half engine can have.
pub const MAX_LOOPS: usize = 1 << (PART_PREFIX - SENSORS_PREFIX);
/// Clients that one load loop of the half engine can have.
pub const MAX_CLIENTS_A_LOOP: usize = (1 << (32 - PART_PREFIX)) - 2;
/// Clients that the kernel engine can have.
pub const MAX_CLIENTS: usize = (1 << (32 - SENSORS_PREFIX)) - 2;

/// The address of a client: its number within its load loop's part.
#[must_use]
pub fn address_in_loop(number: usize, index: u32) -> Ipv4Addr {
    let part = u32::try_from(number).expect("checked: fewer than 16 loops") << (32 - PART_PREFIX);
    Ipv4Addr::from(SENSORS + part + 1 + index)
}

/// The address of a client, by its number in the run.
#[must_use]
pub fn address(lane: u32) -> Ipv4Addr {
    Ipv4Addr::from(SENSORS + 1 + lane)
}

/// A client's number by its address.
fn lane_of(address: u32) -> Option<usize> {
    usize::try_from(address.checked_sub(SENSORS + 1)?).ok().filter(|l| *l < MAX_CLIENTS)
}

/// Which client of a load loop a packet is for, by its destination; none if it is no IPv4 packet for one.
#[must_use]
pub fn index_in_loop(packet: &[u8]) -> Option<usize> {
    let (_, to) = endpoints(packet)?;
    Some(lane_of(to)? & ((1 << (32 - PART_PREFIX)) - 1))
}

/// Source and destination of an IPv4 packet.
fn endpoints(packet: &[u8]) -> Option<(u32, u32)> {
    let header = packet.get(..20).filter(|h| h[0] >> 4 == 4)?;
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    Some((number(12), number(16)))
}

/// Why there are no namespaces, in words for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub mend: String,
}

/// The networks of a run. Dropping them ends what is still in them, and takes them away.
#[derive(Debug)]
pub struct Networks {
    /// Who speaks TCP.
    pub engine: Engine,
    /// Where the broker is.
    pub broker: Arc<Namespace>,
    /// Where the sensors are, if a kernel speaks for them.
    pub sensors: Option<Arc<Namespace>>,
    /// TCP's congestion control in there.
    pub congestion: String,
    tuns: Vec<Tun>,
    /// What the broker's kernel had sent again before the first client: by its loopback, when it was asked whether it is ready.
    before: u64,
}

impl Networks {
    /// Makes what `engine` needs, for packets of at most `mtu` bytes.
    ///
    /// # Errors
    /// Without the rights, or without TUN devices on this machine.
    ///
    /// # Panics
    /// For the engine that needs none.
    pub fn make(engine: Engine, loops: usize, mtu: u16) -> Result<Self, Denied> {
        assert!(engine.needs_namespaces(), "the caller asks only for engines that live in namespaces");
        Self::try_make(engine, loops, mtu).map_err(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let what = "makes network namespaces and TUN devices";
            Denied {
                message: format!("engine \"{}\" {what}, and this was refused: {error}", engine.name()),
                mend: if missing {
                    "load the kernel's tun module, or give the container /dev/net/tun; or use engine = \"smoltcp\""
                        .into()
                } else {
                    "it takes root, or CAP_SYS_ADMIN and CAP_NET_ADMIN; engine = \"smoltcp\" needs no rights".into()
                },
            }
        })
    }

    fn try_make(engine: Engine, loops: usize, mtu: u16) -> io::Result<Self> {
        let broker = Arc::new(Namespace::create()?);
        let congestion = broker.run(|| tun::prepare((BROKER, 32)))??;
        let mut tuns = Vec::new();
        if engine == Engine::SmoltcpKernel {
            for number in 0..loops {
                let part = Ipv4Addr::from(u32::from(address_in_loop(number, 0)) - 1);
                tuns.push(
                    broker.run(|| Tun::open(&format!("sq{number}"), TUN_AT_BROKER, mtu, &[(part, PART_PREFIX)]))??,
                );
            }
            return Ok(Self { engine, broker, sensors: None, congestion, tuns, before: 0 });
        }
        let all = (Ipv4Addr::from(SENSORS), SENSORS_PREFIX);
        let sensors = Arc::new(Namespace::create()?);
        // The first is the address of a client that binds to none.
        sensors.run(|| tun::prepare((address(0), SENSORS_PREFIX)))??;
        tuns.push(sensors.run(|| Tun::open("sq0", address(0), mtu, &[(BROKER, 32)]))??);
        tuns.push(broker.run(|| Tun::open("sq0", TUN_AT_BROKER, mtu, &[all]))??);
        Ok(Self { engine, broker, sensors: Some(sensors), congestion, tuns, before: 0 })
    }

    /// The TUN devices: one for each load loop, or the sensors' and the broker's. They can be taken once; the kernels' counts
    /// begin now.
    #[must_use]
    pub fn take_tuns(&mut self) -> Vec<Tun> {
        self.before = self.broker.retransmitted().unwrap_or(0);
        std::mem::take(&mut self.tuns)
    }

    /// What the kernels themselves counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let dropped = [Some(&self.broker), self.sensors.as_ref()].into_iter().flatten().map(|n| n.dropped());
        Counts {
            retransmitted_by_broker: self.broker.retransmitted().map(|n| n.saturating_sub(self.before)),
            retransmitted_by_sensors: self.sensors.as_ref().and_then(|n| n.retransmitted()),
            dropped: dropped.sum(),
        }
    }
}

/// What the kernels themselves counted; none where they do not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counts {
    /// TCP segments that the broker's kernel sent again. Those of its loopback are among them, if it sent any again there.
    pub retransmitted_by_broker: Option<u64>,
    /// TCP segments that the sensors' kernel sent again; none if their TCP is smoltcp's.
    pub retransmitted_by_sensors: Option<u64>,
    /// Packets lost before they reached a link, because a TUN's queue was full.
    pub dropped: Option<u64>,
}
