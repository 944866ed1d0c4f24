//! The reference broker on sockets: one thread, level-triggered epoll, everything that is there read at once, each
//! connection answered in one write a turn.

use super::disk::{Disk, Sync};
use super::{Broker, Config, ConnId, Output};
use crate::clock::Clock;
use crate::time::{Duration, Instant, nanos};
use crate::transport::{self, Kind, Layer};
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Token of the first listener; the others count down from it.
const LISTENER: u64 = u64::MAX;
/// How long a connection that the broker has ended may take to accept the broker's last words (*assumed*).
const LINGER: Duration = Duration::from_secs(5);

/// Set by SIGTERM and SIGINT.
static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

struct Client {
    stream: TcpStream,
    /// What the socket did not take.
    unsent: Vec<u8>,
    closing: bool,
    /// TLS, WebSocket or both.
    layer: Option<Box<Layer>>,
}

/// A broker that listens.
pub struct Server {
    listeners: Vec<(TcpListener, transport::Server)>,
    /// Reused: bytes from and for a layer.
    app: Vec<u8>,
    wire: Vec<u8>,
    epoll: OwnedFd,
    broker: Broker,
    clients: BTreeMap<u32, Client>,
    next: u32,
    clock: Clock,
    buffer: Vec<u8>,
    out: Vec<u8>,
    /// Ended by the broker, with something unsent; and when their time is over.
    lingering: VecDeque<(Instant, u32)>,
    /// None: nothing survives.
    disk: Option<Disk>,
}

impl Server {
    /// Listens on `address`, for plain MQTT.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind(address: SocketAddr, config: Config) -> io::Result<Self> {
        let mut server = Self::new(config)?;
        server.listen(address, transport::Server::new(Kind::Tcp, None).map_err(io::Error::other)?)?;
        Ok(server)
    }

    /// A broker that does not listen yet.
    ///
    /// # Errors
    /// If the system gives no epoll.
    pub fn new(config: Config) -> io::Result<Self> {
        // A broker is asked for more connections than the usual soft limit of 1,024 descriptors.
        let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current = limit.maximum;
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            listeners: Vec::new(),
            app: Vec::new(),
            wire: Vec::new(),
            epoll,
            broker: Broker::new(config),
            clients: BTreeMap::new(),
            next: 0,
            clock: Clock::start(),
            buffer: vec![0; 256 * 1024],
            out: Vec::new(),
            lingering: VecDeque::new(),
            disk: None,
        })
    }

    /// Keeps sessions, what is owed to them, and retained messages in a folder; what is there already is taken up. To be
    /// called before anybody connects.
    ///
    /// # Errors
    /// If the store cannot be opened or read.
    pub fn keep(&mut self, folder: &Path, sync: Sync, config: Config) -> io::Result<()> {
        let (disk, records) = Disk::open(folder, sync)?;
        let restored = Broker::restore(config, &records, self.clock.wall_origin(), self.clock.now());
        self.broker = restored.map_err(io::Error::other)?;
        self.disk = Some(disk);
        self.store()
    }

    /// What has changed goes to the store before anything more is said.
    fn store(&mut self) -> io::Result<()> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        let now = self.clock.now();
        if let Some(changes) = self.broker.take_changes() {
            disk.store(changes, now)?;
        }
        if disk.due().is_some_and(|at| at <= now) { disk.flush() } else { Ok(()) }
    }

    /// Publishes the `$SYS` tree so often.
    pub fn report_every(&mut self, every: Duration) {
        self.broker.report_every(every, self.clock.now());
    }

    /// How much to tell on standard error: 0 nothing, 1 each connection's beginning and end, 2 each packet too.
    pub fn tell(&mut self, detail: u8) {
        self.broker.tell(detail);
    }

    /// Listens on one more address; where it listens then, which tells the port that was asked for as 0.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn listen(&mut self, address: SocketAddr, transport: transport::Server) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        // std asks for a backlog of 128 only; a reconnect storm needs more.
        rustix::net::listen(&listener, 4096)?;
        let data = epoll::EventData::new_u64(LISTENER - self.listeners.len() as u64);
        epoll::add(&self.epoll, &listener, data, epoll::EventFlags::IN)?;
        let address = listener.local_addr()?;
        self.listeners.push((listener, transport));
        Ok(address)
    }

    /// Where its first listener is.
    ///
    /// # Errors
    /// If it has none, or the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listeners.first().ok_or(io::ErrorKind::NotConnected)?.0.local_addr()
    }

    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// If epoll or the store fails; errors of single connections end those alone.
    pub fn run(&mut self) -> io::Result<()> {
        // SAFETY: the handler only stores to an atomic.
        unsafe {
            libc::signal(libc::SIGTERM, on_signal as *const () as libc::sighandler_t);
            libc::signal(libc::SIGINT, on_signal as *const () as libc::sighandler_t);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
        let mut events = Vec::with_capacity(1024);
        while !STOP.load(Ordering::Relaxed) {
            events.clear();
            let wait = self.wait();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if let Some(listener) = usize::try_from(LISTENER - token).ok().filter(|n| *n < self.listeners.len()) {
                    self.accept(listener);
                } else if let Ok(id) = u32::try_from(token) {
                    if flags.contains(epoll::EventFlags::OUT) {
                        self.flush(id, &[]);
                    }
                    if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                        self.read(id);
                    }
                }
            }
            let now = self.clock.now();
            self.broker.handle_deadline(now);
            self.write_all()?;
            self.end_lingering(now);
            for (conn, line) in self.broker.take_notes() {
                eprintln!("{:?} connection {}: {line}", self.clock.now(), conn.0);
            }
        }
        self.store()?;
        self.disk.as_mut().map_or(Ok(()), Disk::flush)
    }

    fn end_lingering(&mut self, now: Instant) {
        while let Some((_, id)) = self.lingering.front().copied().filter(|(until, _)| *until <= now) {
            self.lingering.pop_front();
            if self.clients.get(&id).is_some_and(|c| c.closing) {
                self.remove(id);
            }
        }
    }

    /// Until the next timer, or a second, so that a signal between two waits is noticed.
    fn wait(&self) -> rustix::time::Timespec {
        let now = self.clock.now();
        let lingering = self.lingering.front().map(|(until, _)| *until);
        let next = self
            .broker
            .next_deadline()
            .into_iter()
            .chain(lingering)
            .chain(self.disk.as_ref().and_then(Disk::due))
            .min();
        let until = next.map_or(Duration::from_secs(1), |at| at.since(now));
        let wait = nanos(until.min(Duration::from_secs(1)));
        rustix::time::Timespec {
            tv_sec: i64::try_from(wait / 1_000_000_000).unwrap_or(1),
            tv_nsec: i64::try_from(wait % 1_000_000_000).unwrap_or(0),
        }
    }

    fn accept(&mut self, listener: usize) {
        // Bounded, so that a flood of connections does not starve those that are there.
        for _ in 0..1024 {
            let (stream, from) = match self.listeners[listener].0.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    eprintln!("cannot accept a connection: {error}");
                    return;
                }
            };
            let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
            let id = self.next;
            let data = epoll::EventData::new_u64(u64::from(id));
            if ready.is_err() || epoll::add(&self.epoll, stream.as_fd(), data, epoll::EventFlags::IN).is_err() {
                continue;
            }
            self.next = self.next.wrapping_add(1);
            let layer = self.listeners[listener].1.begin().map(Box::new);
            self.clients.insert(id, Client { stream, unsent: Vec::new(), closing: false, layer });
            self.broker.note(ConnId(id), 1, || format!("from {from}"));
            self.broker.handle_open(ConnId(id), self.clock.now());
        }
    }

    fn read(&mut self, id: u32) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.closing {
            return self.drain(id);
        }
        match client.stream.read(&mut self.buffer) {
            Ok(0) => {
                self.lose(id, "closed by its client");
            }
            Ok(n) if client.layer.is_some() => self.unwrap(id, n),
            Ok(n) => {
                let now = self.clock.now();
                self.broker.handle_bytes(ConnId(id), &self.buffer[..n], now);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => self.lose(id, &error.to_string()),
        }
    }

    /// A connection ended without the broker's doing.
    fn lose(&mut self, id: u32, why: &str) {
        self.broker.note(ConnId(id), 1, || why.to_owned());
        self.broker.handle_closed(ConnId(id), self.clock.now());
        self.remove(id);
    }

    /// What a client still says to a connection that the broker has ended is read and dropped, so that the kernel does not
    /// reset it before the broker's last words have arrived.
    fn drain(&mut self, id: u32) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match client.stream.read(&mut self.buffer) {
            Ok(n) if n > 0 => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            _ => self.remove(id),
        }
    }

    /// The first `n` bytes of the buffer came for a layer.
    fn unwrap(&mut self, id: u32, n: usize) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(layer) = &mut client.layer else { return };
        let (mut app, mut wire) = (std::mem::take(&mut self.app), std::mem::take(&mut self.wire));
        let result = layer.wire_in(&self.buffer[..n], &mut app, &mut wire);
        let ended = result.is_err() || layer.is_peer_closed();
        self.flush(id, &wire);
        let now = self.clock.now();
        if !app.is_empty() {
            self.broker.handle_bytes(ConnId(id), &app, now);
        }
        if ended {
            self.lose(id, &result.map_or_else(|why| why.to_string(), |()| "closed by its client".into()));
        }
        app.clear();
        wire.clear();
        (self.app, self.wire) = (app, wire);
    }

    /// Sends what the broker wrote, through the layer if there is one; `last` says that nothing follows.
    fn send(&mut self, id: u32, bytes: &[u8], last: bool) {
        let Some(layer) = self.clients.get_mut(&id).and_then(|c| c.layer.as_mut()) else {
            return self.flush(id, bytes);
        };
        let mut wire = std::mem::take(&mut self.wire);
        layer.app_out(bytes, &mut wire);
        if last {
            layer.close(&mut wire);
        }
        self.flush(id, &wire);
        wire.clear();
        self.wire = wire;
    }

    fn write_all(&mut self) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.out);
        let mut closed: BTreeSet<u32> = BTreeSet::new();
        loop {
            self.store()?;
            let Some(output) = self.broker.poll_output() else { break };
            let (Output::Write(conn) | Output::Close(conn)) = output;
            let last = output == Output::Close(conn);
            out.clear();
            self.broker.take_output(conn, &mut out);
            self.send(conn.0, &out, last);
            if last {
                closed.insert(conn.0);
            }
        }
        out.clear();
        self.out = out;
        for id in closed {
            self.broker.forget_connection(ConnId(id));
            if let Some(client) = self.clients.get_mut(&id) {
                client.closing = true;
                if client.unsent.is_empty() {
                    self.remove(id);
                } else {
                    self.lingering.push_back((self.clock.now() + LINGER, id));
                    self.watch(id);
                }
            }
        }
        Ok(())
    }

    /// Writes what is unsent and then `more`; what the socket does not take waits for it.
    fn flush(&mut self, id: u32, more: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let before = client.unsent.len();
        let direct = before == 0;
        if !direct {
            client.unsent.extend_from_slice(more);
        }
        let bytes: &[u8] = if direct { more } else { &client.unsent };
        let mut written = 0;
        while written < bytes.len() {
            match client.stream.write(&bytes[written..]) {
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return, // the read side will tell
            }
        }
        if direct {
            client.unsent = bytes[written..].to_vec();
        } else {
            client.unsent.drain(..written);
        }
        let after = client.unsent.len();
        if after == 0 && !direct {
            client.unsent = Vec::new();
        }
        if after == 0 && client.closing {
            return self.remove(id);
        }
        if before != after {
            self.broker.handle_unsent(ConnId(id), after, self.clock.now());
            self.watch(id);
        }
    }

    /// Tells the system what to wake for: output while some is unsent, input unless the client does not read its own.
    fn watch(&self, id: u32) {
        let Some(client) = self.clients.get(&id) else { return };
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, !self.broker.is_choked(ConnId(id)));
        flags.set(epoll::EventFlags::OUT, !client.unsent.is_empty());
        let _ = epoll::modify(&self.epoll, client.stream.as_fd(), epoll::EventData::new_u64(u64::from(id)), flags);
    }

    fn remove(&mut self, id: u32) {
        if let Some(client) = self.clients.remove(&id) {
            let _ = epoll::delete(&self.epoll, client.stream.as_fd());
        }
    }
}
