//! Somebody's own client behind a lossy link: a local listener, of which each connection gets a link of its own to the broker.
//!
//! Client bytes go into the sensor's end, come out at the gateway's end, and go on over a socket; and back. An end (FIN), a reset
//! and silence cross the link as packets do, in both directions.

use super::socket::{Read, Socket};
use crate::clock::Clock;
use crate::link::capture::Tap;
use crate::link::spec::LinkSpec;
use crate::link::{GatewayEvent, Path, SensorSide, SensorState};
use crate::measure::summary::WireCost;
use crate::seed::Stream;
use crate::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;

/// Bytes from the broker that the gateway holds before it stops reading.
const HOLDS: usize = 4 * 1024;
/// How often it is asked whether to stop, at the least.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How to relay.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the broker listens.
    pub to: SocketAddr,
    /// The link that each connection gets.
    pub spec: Arc<LinkSpec>,
    /// Same seed: same losses for the n-th connection's n-th packet.
    pub seed: u64,
    /// Bytes of packets that the capture keeps at most, all connections together; 0: none is made.
    pub capture: usize,
}

/// What was carried so far, all connections together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Connections that clients made.
    pub connections: u64,
    /// Those that the broker refused.
    pub refused: u64,
    /// Those that ended by a reset, on either side.
    pub reset: u64,
    /// Bytes that clients sent and the broker got.
    pub up: u64,
    /// Bytes that the broker sent and clients got.
    pub down: u64,
    /// What it took in packets.
    pub wire: WireCost,
}

/// A listener with its connections.
#[derive(Debug)]
pub struct Relay {
    settings: Settings,
    listener: TcpListener,
    clock: Clock,
    connections: Vec<Connection>,
    /// Of connections that are over.
    stats: Stats,
    taps: Vec<Tap>,
}

impl Relay {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn bind(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen)?;
        listener.set_nonblocking(true)?;
        let (connections, taps) = (Vec::new(), Vec::new());
        Ok(Self { settings, listener, clock: Clock::start(), connections, stats: Stats::default(), taps })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What was captured, a tap for each connection.
    #[must_use]
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// When it began, in nanoseconds since 1970.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.clock.wall_origin()
    }

    /// What was carried so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.connections.iter().fold(self.stats, |sum, c| sum.plus(c))
    }

    /// Relays until `stop` says so; it is told the time since the start, and asked at least every 100 ms.
    ///
    /// # Errors
    /// If the system refuses to wait for its sockets.
    pub fn run(&mut self, stop: impl Fn(Instant) -> bool) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let now = self.clock.now();
            if stop(now) {
                return Ok(());
            }
            for c in &mut self.connections {
                c.pump(now, self.settings.to);
            }
            let stats = &mut self.stats;
            self.connections.retain(|c| {
                if c.is_over() {
                    *stats = stats.plus(c);
                }
                !c.is_over()
            });
            self.wait(&mut buffer)?;
        }
    }

    /// Waits for sockets or for the next deadline of a link, and reads what there is.
    fn wait(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let now = self.clock.now();
        let due = self.connections.iter().filter_map(|c| c.path.next_deadline()).min().unwrap_or(Instant::FAR);
        let wait = due.since(now).min(ASK_EVERY);
        let mut files = vec![PollFd::new(&self.listener, PollFlags::IN)];
        let mut owners = Vec::new();
        for (index, c) in self.connections.iter().enumerate() {
            for (side, socket, flags) in c.interests() {
                files.push(PollFd::from_borrowed_fd(socket.as_fd(), flags));
                owners.push((index, side));
            }
        }
        let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut files, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<PollFlags> = files.iter().map(PollFd::revents).collect();
        let now = self.clock.now();
        for ((index, side), flags) in owners.into_iter().zip(&ready[1..]).filter(|(_, flags)| !flags.is_empty()) {
            let c = &mut self.connections[index];
            c.path.poll(now);
            match side {
                Side::Client => c.read_client(*flags, buffer, now),
                Side::Broker => c.read_broker(*flags, buffer, now),
            }
        }
        if ready[0].contains(PollFlags::IN) {
            self.accept(now);
        }
        Ok(())
    }

    fn accept(&mut self, now: Instant) {
        while let Ok((stream, _)) = self.listener.accept() {
            let Ok(client) = Socket::accepted(stream) else { continue };
            let number = self.stats.connections + self.connections.len() as u64;
            let stream = |what| Stream::named(self.settings.seed, &["link", &number.to_string(), what]);
            let mut path = Path::new(Arc::clone(&self.settings.spec), stream("up"), stream("down"), stream("ports"));
            if self.settings.capture > 0 {
                let number = u32::try_from(number).unwrap_or(0) % (1 << 24);
                let name = format!("connection-{number}");
                let tap = match self.taps.first() {
                    Some(first) => first.beside(&name, number),
                    None => Tap::new(&name, number, self.settings.capture),
                };
                path.capture(tap.clone());
                self.taps.push(tap);
            }
            path.poll(now);
            path.connect(now);
            self.connections.push(Connection::new(path, client));
        }
    }
}

impl Stats {
    fn plus(mut self, c: &Connection) -> Self {
        let wire = c.path.wire();
        self.connections += 1;
        self.refused += u64::from(c.refused);
        self.reset += u64::from(c.reset);
        self.up += c.up;
        self.down += c.down;
        self.wire.up.add(&wire.up);
        self.wire.down.add(&wire.down);
        self
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Client,
    Broker,
}

/// One connection: the client's socket, its link, and the gateway's socket.
#[derive(Debug)]
struct Connection {
    path: Path,
    client: Option<Socket>,
    to_link: Vec<u8>,
    to_client: Vec<u8>,
    /// The client finished its half; and the link was told.
    client_finished: (bool, bool),
    /// The client was told that the broker finished.
    client_told: bool,
    /// The gateway's number of the connection.
    number: Option<u32>,
    broker: Option<Socket>,
    broker_open: bool,
    to_broker: Vec<u8>,
    from_broker: Vec<u8>,
    /// The broker finished its half; and the link was told.
    broker_finished: (bool, bool),
    /// The sensor's end finished, and the broker was told.
    broker_told: bool,
    /// The gateway has no more to do.
    gateway_over: bool,
    refused: bool,
    reset: bool,
    up: u64,
    down: u64,
}

impl Connection {
    fn new(path: Path, client: Socket) -> Self {
        Self {
            path,
            client: Some(client),
            to_link: Vec::new(),
            to_client: Vec::new(),
            client_finished: (false, false),
            client_told: false,
            number: None,
            broker: None,
            broker_open: false,
            to_broker: Vec::new(),
            from_broker: Vec::new(),
            broker_finished: (false, false),
            broker_told: false,
            gateway_over: false,
            refused: false,
            reset: false,
            up: 0,
            down: 0,
        }
    }

    /// A client that left while its SYN was on its way, or whose reset got lost, leaves a gateway that may still have to speak.
    fn is_over(&self) -> bool {
        self.client.is_none() && (self.gateway_over || (self.number.is_none() && self.path.next_deadline().is_none()))
    }

    /// The sockets, and what is waited for on each.
    fn interests(&self) -> impl Iterator<Item = (Side, &Socket, PollFlags)> {
        let client = self.client.as_ref().map(|socket| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.to_link.is_empty() && !self.client_finished.0);
            flags.set(PollFlags::OUT, !self.to_client.is_empty());
            (Side::Client, socket, flags)
        });
        let broker = self.broker.as_ref().map(|socket| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.broker_open && self.from_broker.len() < HOLDS && !self.broker_finished.0);
            flags.set(PollFlags::OUT, !self.broker_open || !self.to_broker.is_empty());
            (Side::Broker, socket, flags)
        });
        client.into_iter().chain(broker)
    }

    fn read_client(&mut self, flags: PollFlags, buffer: &mut [u8], now: Instant) {
        let Some(socket) = self.client.as_ref().filter(|_| flags != PollFlags::OUT) else { return };
        match socket.read(buffer) {
            Read::Bytes(n, _) => self.to_link.extend_from_slice(&buffer[..n]),
            Read::Nothing => {}
            Read::Finished => self.client_finished.0 = true,
            Read::Reset => {
                self.path.abort(now);
                self.client = None;
                self.reset = true;
            }
        }
    }

    fn read_broker(&mut self, flags: PollFlags, buffer: &mut [u8], now: Instant) {
        let (Some(socket), Some(number)) = (&self.broker, self.number) else { return };
        if !self.broker_open {
            if socket.connected() {
                self.broker_open = true;
                self.path.accept(number, now);
            } else {
                self.refuse(number, now);
            }
            return;
        }
        if flags == PollFlags::OUT {
            return;
        }
        match socket.read(buffer) {
            Read::Bytes(n, _) => self.from_broker.extend_from_slice(&buffer[..n]),
            Read::Nothing => {}
            Read::Finished => self.broker_finished.0 = true,
            Read::Reset => {
                self.path.gateway_reset(number, now);
                (self.broker, self.gateway_over, self.reset) = (None, true, true);
            }
        }
    }

    fn refuse(&mut self, number: u32, now: Instant) {
        self.path.refuse(number, now);
        (self.broker, self.gateway_over, self.refused) = (None, true, true);
    }

    /// Lets the link do what is due, and moves what there is as far as each side takes it.
    fn pump(&mut self, now: Instant, to: SocketAddr) {
        self.path.poll(now);
        self.events(now, to);
        self.carry_up(now);
        self.carry_down(now);
        self.events(now, to);
        self.path.take_losses(&mut |_, _| {}); // counted; nobody tells a story of them
    }

    fn events(&mut self, now: Instant, to: SocketAddr) {
        while let Some(event) = self.path.poll_gateway() {
            match event {
                GatewayEvent::Open(number) => {
                    self.number = Some(number);
                    match Socket::connect(to, None) {
                        Ok(socket) => self.broker = Some(socket),
                        Err(_) => self.refuse(number, now),
                    }
                }
                GatewayEvent::Finished(_) => self.broker_told = true,
                // Both sides had finished: the end of the connection, and no reset.
                GatewayEvent::Reset(_) if self.broker_finished.1 => self.gateway_over = true,
                GatewayEvent::Reset(_) => {
                    if let Some(socket) = self.broker.take() {
                        socket.reset_on_close();
                    }
                    (self.gateway_over, self.reset) = (true, true);
                }
            }
        }
    }

    /// Client, sensor's end, gateway's end, broker.
    fn carry_up(&mut self, now: Instant) {
        if !self.to_link.is_empty() {
            let taken = self.path.write(&self.to_link, now);
            self.to_link.drain(..taken);
        }
        if self.client_finished == (true, false) && self.to_link.is_empty() && self.path.may_send() {
            self.path.shutdown(now);
            self.client_finished.1 = true;
        }
        let (Some(socket), Some(number), true) = (&self.broker, self.number, self.broker_open) else { return };
        if self.to_broker.is_empty() {
            self.up += self.path.gateway_read(number, &mut self.to_broker, usize::MAX, now) as u64;
        }
        let taken = socket.write(&self.to_broker);
        self.to_broker.drain(..taken);
        if self.broker_told && self.to_broker.is_empty() {
            socket.finish();
        }
    }

    /// Broker, gateway's end, sensor's end, client.
    fn carry_down(&mut self, now: Instant) {
        if let Some(number) = self.number.filter(|_| self.broker_open && !self.gateway_over) {
            if !self.from_broker.is_empty() {
                let taken = self.path.gateway_write(number, &self.from_broker, now);
                self.from_broker.drain(..taken);
            }
            if self.broker_finished == (true, false) && self.from_broker.is_empty() {
                self.path.gateway_finish(number, now);
                self.broker_finished.1 = true;
            }
            if self.broker_finished.1 && self.broker_told && self.to_broker.is_empty() {
                self.gateway_over = true;
                self.broker = None;
            }
        }
        let Some(socket) = &self.client else { return };
        if self.to_client.is_empty() {
            self.down += self.path.read(&mut self.to_client, now) as u64;
        }
        let taken = socket.write(&self.to_client);
        self.to_client.drain(..taken);
        match self.path.sensor_state() {
            SensorState::PeerFinished if self.to_client.is_empty() && !self.client_told => {
                socket.finish();
                self.client_told = true;
            }
            SensorState::Reset if !(self.client_told && self.client_finished.1) => {
                socket.reset_on_close();
                self.client = None;
                self.reset = !self.refused;
                return;
            }
            _ => {}
        }
        if self.client_told && self.client_finished.1 {
            self.client = None;
        }
    }
}
