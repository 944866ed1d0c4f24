//! One end's TCP/IP stack: smoltcp over a pair of packet queues.

use crate::time::{Duration, Instant};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration as SmolDuration, Instant as SmolInstant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Packet, TcpPacket};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The sensor's address inside its link.
pub(super) const SENSOR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The gateway's address inside a link.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The port on which the gateway stands for the broker.
pub(super) const PORT: u16 = 1883;
/// Bytes of a socket's buffer, each way.
const BUFFER: usize = 1536;
/// Packet buffers kept for re-use by each stack.
const POOL: usize = 2;

/// smoltcp counts microseconds.
fn to_smol(t: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(t.as_nanos() / 1000).unwrap_or(i64::MAX))
}

fn from_smol(t: SmolInstant) -> Instant {
    Instant::from_nanos(u64::try_from(t.total_micros()).unwrap_or(0).saturating_mul(1000))
}

/// True if both checksums of a TCP packet are right.
pub(super) fn is_intact(packet: &[u8]) -> bool {
    let Ok(ip) = Ipv4Packet::new_checked(packet) else { return false };
    let (from, to) = (IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()));
    ip.verify_checksum() && TcpPacket::new_checked(ip.payload()).is_ok_and(|tcp| tcp.verify_checksum(&from, &to))
}

/// Packets between the stack and its channel.
struct Port {
    /// A packet that came, until the stack has looked at it; then its buffer.
    incoming: Option<Vec<u8>>,
    is_new: bool,
    outgoing: VecDeque<Vec<u8>>,
    pool: Vec<Vec<u8>>,
    mtu: usize,
    /// Bytes that were read since a packet went out last: the peer does not know yet that there is room for as many more.
    untold: usize,
}

pub(super) struct Stack {
    interface: Interface,
    pub sockets: SocketSet<'static>,
    port: Port,
    /// When the stack has something to do; `FAR` if never.
    pub due: Instant,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("due", &self.due).finish_non_exhaustive()
    }
}

impl Stack {
    pub fn new(address: Ipv4Addr, mtu: u16, random: u64) -> Self {
        let mut port = Port {
            incoming: None,
            is_new: false,
            outgoing: VecDeque::new(),
            pool: Vec::new(),
            mtu: usize::from(mtu),
            untold: 0,
        };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = random; // initial sequence numbers
        let mut interface = Interface::new(config, &mut port, SmolInstant::ZERO);
        interface.update_ip_addrs(|all| {
            all.push(IpCidr::new(IpAddress::Ipv4(address), 8)).expect("a new interface has room for one address");
        });
        Self { interface, sockets: SocketSet::new(Vec::with_capacity(1)), port, due: Instant::FAR }
    }

    pub fn add_socket(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(SmolDuration::from_millis(10)));
        socket.set_congestion_control(tcp::CongestionControl::Reno);
        self.sockets.add(socket)
    }

    pub fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn connect(&mut self, handle: SocketHandle, peer: SocketAddrV4, port: u16) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        let peer = (IpAddress::Ipv4(*peer.ip()), peer.port());
        socket.connect(self.interface.context(), peer, port).expect("a fresh socket and a port above 0");
    }

    /// Takes a packet in at `now`.
    pub fn receive(&mut self, packet: Vec<u8>, now: Instant) {
        self.port.incoming = Some(packet);
        self.port.is_new = true;
        self.run(now);
    }

    /// Lets the stack do what is due at `now`. It must be called before its sockets are touched at `now`, and after.
    pub fn run(&mut self, now: Instant) {
        let smol = to_smol(now);
        self.interface.poll(smol, &mut self.port, &mut self.sockets);
        self.port.is_new = false;
        if let Some(packet) = self.port.incoming.take() {
            self.recycle(packet);
        }
        self.due = match self.interface.poll_at(smol, &self.sockets) {
            // What is due within this very microsecond was done; what is left waits for the next.
            Some(at) => from_smol(at).max(from_smol(smol) + Duration::from_micros(1)),
            None => Instant::FAR,
        };
    }

    /// Takes note of bytes read from a socket; true if the stack must run now, since it may have to tell of its window. smoltcp does so
    /// when that has at least doubled since it told last.
    pub fn has_read(&mut self, count: usize) -> bool {
        self.port.untold += count;
        self.port.untold >= BUFFER / 2 || (count > 0 && self.sockets.iter().count() > 1)
    }

    pub fn next_outgoing(&mut self) -> Option<Vec<u8>> {
        self.port.outgoing.pop_front()
    }

    /// Gives a packet's buffer back.
    pub fn recycle(&mut self, packet: Vec<u8>) {
        if self.port.pool.len() < POOL {
            self.port.pool.push(packet);
        }
    }
}

impl Device for Port {
    type RxToken<'a> = Incoming<'a>;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: SmolInstant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        if !std::mem::take(&mut self.is_new) {
            return None;
        }
        let Self { incoming, outgoing, pool, untold, .. } = self;
        Some((Incoming(incoming.as_deref()?), Outgoing { outgoing, pool, untold }))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Outgoing<'_>> {
        let Self { outgoing, pool, untold, .. } = self;
        Some(Outgoing { outgoing, pool, untold })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ip;
        c.max_transmission_unit = self.mtu;
        c
    }
}

struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Outgoing<'a> {
    outgoing: &'a mut VecDeque<Vec<u8>>,
    pool: &'a mut Vec<Vec<u8>>,
    untold: &'a mut usize,
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut packet = self.pool.pop().unwrap_or_default();
        packet.clear();
        packet.resize(length, 0);
        let result = f(&mut packet);
        self.outgoing.push_back(packet);
        *self.untold = 0;
        result
    }
}

/// Appends at most `max` bytes that a socket has received to `into`; how many.
pub(super) fn receive(socket: &mut tcp::Socket<'_>, into: &mut Vec<u8>, max: usize) -> usize {
    let mut count = 0;
    while socket.can_recv() && count < max {
        let took = socket.recv(|bytes| {
            let n = bytes.len().min(max - count);
            into.extend_from_slice(&bytes[..n]);
            (n, n)
        });
        match took {
            Ok(n) if n > 0 => count += n,
            _ => break,
        }
    }
    count
}
