//! The sensor's end of a link: its TCP/IP stack by smoltcp, and the one connection that its device uses.

use super::channels::Channels;
use super::stack::Stack;
use crate::seed::Stream;
use crate::time::Instant;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use std::net::SocketAddrV4;

/// What the sensor sees of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SensorState {
    /// There is none.
    Closed,
    /// SYN was sent.
    Connecting,
    /// Bytes flow.
    Open,
    /// The other side has finished, and all of it was read.
    PeerFinished,
    /// It was refused or reset.
    Reset,
}

/// A sensor's stack. What it sends goes into the [`Channels`] that each call is given.
#[derive(Debug)]
pub(super) struct SensorEnd {
    pub stack: Stack,
    /// Where it connects.
    peer: SocketAddrV4,
    ports: Stream,
    socket: Option<(SocketHandle, bool)>,
    /// Connections that end, each with what is still to be sent before its FIN.
    closing: Vec<(SocketHandle, Vec<u8>)>,
    powered: bool,
}

impl SensorEnd {
    pub fn new(stack: Stack, peer: SocketAddrV4, ports: Stream) -> Self {
        Self { stack, peer, ports, socket: None, closing: Vec::new(), powered: false }
    }

    /// A packet has come out of the link.
    pub fn receive(&mut self, packet: Vec<u8>, at: Instant, channels: &mut Channels) {
        if self.powered {
            self.stack.receive(packet, at);
            self.flush(at, channels);
        }
    }

    /// Does what is due at `at`.
    pub fn step(&mut self, at: Instant, channels: &mut Channels) {
        if self.stack.due <= at {
            self.run(at, channels);
        }
        if self.send_rests() {
            self.run(at, channels);
        }
        let stack = &mut self.stack;
        self.closing.retain(|(handle, _)| {
            let over = matches!(stack.socket(*handle).state(), State::Closed | State::TimeWait);
            if over {
                stack.sockets.remove(*handle);
            }
            !over
        });
    }

    /// Hands connections that end what they now have room for, and their FIN after the last of it; true if there was any.
    fn send_rests(&mut self) -> bool {
        let mut sent = false;
        for (handle, rest) in self.closing.iter_mut().filter(|(_, rest)| !rest.is_empty()) {
            let socket = self.stack.socket(*handle);
            match socket.send_slice(rest) {
                Ok(0) => continue,
                Ok(taken) => drop(rest.drain(..taken)),
                Err(_) => rest.clear(), // reset meanwhile
            }
            if rest.is_empty() {
                socket.close();
            }
            sent = true;
        }
        sent
    }

    fn run(&mut self, now: Instant, channels: &mut Channels) {
        self.stack.run(now);
        self.flush(now, channels);
    }

    fn flush(&mut self, now: Instant, channels: &mut Channels) {
        while let Some(packet) = self.stack.next_outgoing() {
            if let Some(lost) = channels.offer_up(packet, now) {
                self.stack.recycle(lost);
            }
        }
    }

    /// True if bytes were sent and not acknowledged.
    pub fn is_busy(&mut self) -> bool {
        self.socket.is_some_and(|(handle, _)| self.stack.socket(handle).send_queue() > 0)
    }

    /// Opens a new connection, from a random port that `taken` does not know.
    pub fn connect(&mut self, now: Instant, channels: &mut Channels, taken: impl Fn(u16) -> bool) {
        self.leave_socket();
        self.powered = true;
        let handle = self.stack.add_socket();
        self.socket = Some((handle, false));
        let port = loop {
            let port = 49_152 + u16::try_from(self.ports.below(16_384)).expect("below 16,384");
            if !taken(port) {
                break port;
            }
        };
        self.stack.run(now);
        self.stack.connect(handle, self.peer, port);
        self.run(now, channels);
    }

    pub fn state(&mut self) -> SensorState {
        let Some((handle, was_open)) = self.socket else { return SensorState::Closed };
        let socket = self.stack.socket(handle);
        let unread = socket.recv_queue();
        match socket.state() {
            State::SynSent | State::SynReceived => SensorState::Connecting,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait if unread == 0 => {
                SensorState::PeerFinished
            }
            State::Closed | State::Listen if unread == 0 || !was_open => SensorState::Reset,
            _ => {
                self.socket = Some((handle, true));
                SensorState::Open
            }
        }
    }

    pub fn room(&mut self) -> usize {
        let Some((handle, _)) = self.socket else { return 0 };
        let socket = self.stack.socket(handle);
        if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
    }

    pub fn write(&mut self, bytes: &[u8], now: Instant, channels: &mut Channels) -> usize {
        let Some((handle, _)) = self.socket else { return 0 };
        let taken = self.stack.socket(handle).send_slice(bytes).unwrap_or(0);
        if taken > 0 {
            self.run(now, channels);
        }
        taken
    }

    pub fn read(&mut self, into: &mut Vec<u8>, now: Instant, channels: &mut Channels) -> usize {
        let Some((handle, _)) = self.socket else { return 0 };
        let count = super::stack::receive(self.stack.socket(handle), into, usize::MAX);
        if self.stack.has_read(count) {
            self.run(now, channels);
        }
        count
    }

    /// Closes the connection in order, after what was written and `rest`, for which there may be no room yet.
    pub fn finish(&mut self, rest: Vec<u8>, now: Instant, channels: &mut Channels) {
        if let Some((handle, _)) = self.socket.take() {
            if rest.is_empty() {
                self.stack.socket(handle).close();
            }
            self.closing.push((handle, rest));
            self.send_rests();
            self.run(now, channels);
        }
    }

    /// True once the connection stands and its sending half is not finished.
    pub fn may_send(&mut self) -> bool {
        self.socket.is_some_and(|(handle, _)| self.stack.socket(handle).may_send())
    }

    /// Finishes the sending half, after what was written; what comes can still be read.
    pub fn shutdown(&mut self, now: Instant, channels: &mut Channels) {
        if let Some((handle, _)) = self.socket {
            self.stack.socket(handle).close();
            self.run(now, channels);
        }
    }

    pub fn abort(&mut self, now: Instant, channels: &mut Channels) {
        if let Some((handle, _)) = self.socket.take() {
            self.stack.socket(handle).abort();
            self.run(now, channels);
            self.stack.sockets.remove(handle);
        }
    }

    pub fn power_cut(&mut self) {
        self.leave_socket();
        for (handle, _) in std::mem::take(&mut self.closing) {
            self.stack.sockets.remove(handle);
        }
        self.powered = false;
    }

    fn leave_socket(&mut self) {
        if let Some((handle, _)) = self.socket.take() {
            self.stack.sockets.remove(handle);
        }
    }
}
