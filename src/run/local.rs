//! The socket of a client under test: it connects to a listener of its own, and its bytes go to the stand-in that sits in its slot.

use super::actor::Actor;
use super::load_loop::Shared;
use super::pipe::{Pipe, Slot};
use super::socket::{Read, Socket};
use crate::device::Io;
use crate::foreign::proxy::{Farewell, Proxy};
use crate::time::Instant;
use std::net::TcpListener;

/// Marks a part of a slot that is the client's own socket; the rest of the number is its generation.
pub(super) const LOCAL: u32 = 1 << 31;
/// The listener.
const LISTENER: u32 = u32::MAX;

/// A client's listener and its present connection.
pub(super) struct Local {
    listener: TcpListener,
    socket: Option<Socket>,
    generation: u32,
    /// Its bytes are not read for now: the link cannot take them.
    paused: bool,
    /// More is to be written than the socket took.
    blocked: bool,
}

impl Local {
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, socket: None, generation: 0, paused: false, blocked: false }
    }

    /// Begins to wait for the client.
    pub fn listen(&self, index: u32, s: &mut Shared<'_>) {
        s.register(&self.listener, index, LISTENER, false, false);
    }
}

impl Pipe {
    /// How many bytes it takes now.
    pub fn room(&mut self) -> usize {
        match self {
            Self::Direct(d) => d.room(),
            Self::Linked(l) => l.room(),
        }
    }
}

impl Slot {
    /// The listener or the client's socket is ready.
    pub(super) fn local_ready(&mut self, part: u32, readable: bool, now: Instant, s: &mut Shared<'_>) {
        if part == LISTENER {
            return self.accept(now, s);
        }
        let Some(local) = self.local.as_mut().filter(|l| l.generation == part & !LOCAL) else { return };
        let Some(socket) = local.socket.as_ref().filter(|_| readable && !local.paused) else {
            return self.serve(s);
        };
        let mut buffer = std::mem::take(&mut s.buffer);
        match socket.read(&mut buffer) {
            Read::Bytes(n, _) => self.with_proxy(now, s, |proxy, io| proxy.client_bytes(&buffer[..n], now, io)),
            Read::Nothing => {}
            end @ (Read::Finished | Read::Reset) => {
                local.socket = None;
                self.with_proxy(now, s, |proxy, io| proxy.client_closed(end == Read::Reset, now, io));
            }
        }
        s.buffer = buffer;
    }

    fn accept(&mut self, now: Instant, s: &mut Shared<'_>) {
        loop {
            let Some(local) = &mut self.local else { return };
            let Ok((stream, _)) = local.listener.accept() else { return };
            let Ok(socket) = Socket::accepted(stream) else { continue };
            local.generation = (local.generation + 1) % (LOCAL - 1);
            (local.paused, local.blocked) = (false, false);
            s.register(&socket, self.index, LOCAL | local.generation, false, false);
            local.socket = Some(socket);
            self.with_proxy(now, s, |proxy, io| proxy.client_opened(now, io));
        }
    }

    fn with_proxy(&mut self, now: Instant, s: &mut Shared<'_>, f: impl FnOnce(&mut Proxy, &mut Io<'_>)) {
        let room = self.pipe.room();
        if let Actor::Foreign(proxy) = &mut self.device {
            s.with_io(room, now, |io| f(proxy, io));
        }
        self.settle(now, s);
    }

    /// Gives the client what has come for it, closes its socket if that is due, and reads on if there is room again.
    pub(super) fn serve(&mut self, s: &mut Shared<'_>) {
        let (Actor::Foreign(proxy), Some(local)) = (&mut self.device, &mut self.local) else { return };
        let part = LOCAL | local.generation;
        let Some(socket) = &local.socket else {
            proxy.to_client().clear();
            proxy.poll_farewell();
            return;
        };
        let taken = socket.write(proxy.to_client());
        proxy.to_client().drain(..taken);
        let blocked = !proxy.to_client().is_empty();
        let paused = !proxy.takes_bytes();
        if paused && !local.paused {
            s.pause_reading(socket);
        } else if blocked != local.blocked || (local.paused && !paused) {
            s.register(socket, self.index, part, blocked, false);
        }
        (local.blocked, local.paused) = (blocked, paused);
        let farewell = proxy.poll_farewell();
        let Some(socket) = local.socket.take_if(|_| farewell.is_some()) else { return };
        if farewell == Some(Farewell::Finish) {
            s.linger(socket, Vec::new());
        } else {
            socket.reset_on_close();
        }
    }
}
