//! The reference broker on sockets: one thread, level-triggered epoll, everything that is there read at once, each
//! connection answered in one write a turn.

use super::{Broker, Config, ConnId, Output};
use crate::clock::Clock;
use crate::time::{Duration, nanos};
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

/// Token of the listener.
const LISTENER: u64 = u64::MAX;

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
}

/// A broker that listens.
pub struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    broker: Broker,
    clients: BTreeMap<u32, Client>,
    next: u32,
    clock: Clock,
    verbose: bool,
    buffer: Vec<u8>,
}

impl Server {
    /// Listens on `address`.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind(address: SocketAddr, config: Config, verbose: bool) -> io::Result<Self> {
        // A broker is asked for more connections than the usual soft limit of 1,024 descriptors.
        let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current = limit.maximum;
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        // std asks for a backlog of 128 only; a reconnect storm needs more.
        rustix::net::listen(&listener, 4096)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self {
            listener,
            epoll,
            broker: Broker::new(config),
            clients: BTreeMap::new(),
            next: 0,
            clock: Clock::start(),
            verbose,
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// If epoll fails; errors of single connections end those alone.
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
                if token == LISTENER {
                    self.accept();
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
            self.write_all();
        }
        Ok(())
    }

    /// Until the next timer, or a second, so that a signal between two waits is noticed.
    fn wait(&self) -> rustix::time::Timespec {
        let now = self.clock.now();
        let until = self.broker.next_deadline().map_or(Duration::from_secs(1), |at| at.since(now));
        let wait = nanos(until.min(Duration::from_secs(1)));
        rustix::time::Timespec {
            tv_sec: i64::try_from(wait / 1_000_000_000).unwrap_or(1),
            tv_nsec: i64::try_from(wait % 1_000_000_000).unwrap_or(0),
        }
    }

    fn accept(&mut self) {
        // Bounded, so that a flood of connections does not starve those that are there.
        for _ in 0..1024 {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
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
            self.clients.insert(id, Client { stream, unsent: Vec::new(), closing: false });
            self.broker.handle_open(ConnId(id), self.clock.now());
            self.log(id, "open");
        }
    }

    fn read(&mut self, id: u32) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.closing {
            return self.remove(id, "closed");
        }
        match client.stream.read(&mut self.buffer) {
            Ok(0) => {
                self.broker.handle_closed(ConnId(id), self.clock.now());
                self.remove(id, "closed by the client");
            }
            Ok(n) => {
                let now = self.clock.now();
                self.broker.handle_bytes(ConnId(id), &self.buffer[..n], now);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => {
                self.broker.handle_closed(ConnId(id), self.clock.now());
                self.remove(id, "reset");
            }
        }
    }

    fn write_all(&mut self) {
        let mut out = Vec::new();
        let mut closed: BTreeSet<u32> = BTreeSet::new();
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Write(conn) => {
                    out.clear();
                    self.broker.take_output(conn, &mut out);
                    self.flush(conn.0, &out);
                }
                Output::Close(conn) => {
                    out.clear();
                    self.broker.take_output(conn, &mut out);
                    self.flush(conn.0, &out);
                    closed.insert(conn.0);
                }
            }
        }
        for id in closed {
            self.broker.forget_connection(ConnId(id));
            if let Some(client) = self.clients.get_mut(&id) {
                client.closing = true;
                if client.unsent.is_empty() {
                    self.remove(id, "closed by the broker");
                }
            }
        }
    }

    /// Writes what is unsent and then `more`; what the socket does not take waits for it.
    fn flush(&mut self, id: u32, more: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let had_unsent = !client.unsent.is_empty();
        let direct = if had_unsent {
            client.unsent.extend_from_slice(more);
            false
        } else {
            true
        };
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
        let has_unsent = !client.unsent.is_empty();
        if has_unsent != had_unsent {
            let flags = if has_unsent { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
            let _ = epoll::modify(&self.epoll, client.stream.as_fd(), epoll::EventData::new_u64(u64::from(id)), flags);
        }
        if client.closing && !has_unsent {
            self.remove(id, "closed by the broker");
        }
    }

    fn remove(&mut self, id: u32, why: &str) {
        if let Some(client) = self.clients.remove(&id) {
            let _ = epoll::delete(&self.epoll, client.stream.as_fd());
            self.log(id, why);
        }
    }

    fn log(&self, id: u32, what: &str) {
        if self.verbose {
            eprintln!("{:?} connection {id}: {what}; {} connected", self.clock.now(), self.clients.len());
        }
    }
}
