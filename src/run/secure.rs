//! TLS and WebSocket of a client: between the device's bytes and its way to the broker, so that a handshake meets the
//! link's losses as everything else does.

use super::load_loop::Shared;
use super::pipe::{Pipe, Slot};
use crate::device::{Closed, Want};
use crate::seed::Stream;
use crate::target::stream::Endpoint;
use crate::time::Instant;
use crate::trace::{Event, What};
use crate::transport::{Failure, Layer};
use std::net::SocketAddr;
use std::sync::Arc;

/// Where a client connects, and the layer of its present connection.
pub(super) struct Secure {
    endpoint: Arc<Endpoint>,
    layer: Option<Box<Layer>>,
    /// Connections so far: each has masks of its own.
    connections: u32,
}

impl Secure {
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, layer: None, connections: 0 }
    }

    pub fn addr(&self) -> SocketAddr {
        self.endpoint.addr
    }

    /// A new connection's layer, if its transport has one.
    fn begin(&mut self, index: u32) -> bool {
        self.connections = self.connections.wrapping_add(1);
        let connection = self.connections;
        let random = || Stream::named(u64::from(index), &["websocket", &connection.to_string()]);
        self.layer = self.endpoint.transport.as_ref().and_then(|t| t.begin(random)).map(Box::new);
        self.layer.is_some()
    }
}

impl Slot {
    /// TCP is open: the layers' handshakes begin, and the device learns of it when they are over.
    pub(super) fn opened(&mut self, room: usize, now: Instant, s: &mut Shared<'_>) {
        if !self.secure.begin(self.index) {
            s.with_io(room, now, |io| self.device.handle_open(now, now, io));
            return self.settle(now, s);
        }
        let mut wire = std::mem::take(&mut s.wire);
        if let Some(layer) = &mut self.secure.layer {
            layer.start(&mut wire);
        }
        let client = self.device.id();
        s.with_io(0, now, |io| io.sink.event(Event { seen: io.seen, at: now, client, what: What::TcpOpen }));
        self.write_wire(&wire, now, s);
        wire.clear();
        s.wire = wire;
    }

    /// Bytes came over TCP, and had arrived at `at`.
    pub(super) fn arrived(&mut self, bytes: &[u8], room: usize, now: Instant, at: Instant, s: &mut Shared<'_>) {
        let Some(layer) = &mut self.secure.layer else {
            s.with_io(room, now, |io| self.device.handle_bytes(bytes, now, at, io));
            return self.settle(now, s);
        };
        let (mut app, mut wire) = (std::mem::take(&mut s.app), std::mem::take(&mut s.wire));
        let before = layer.is_established();
        let result = layer.wire_in(bytes, &mut app, &mut wire);
        let (established, finished) = (layer.is_established(), layer.is_peer_closed());
        self.write_wire(&wire, now, s);
        if !before && established {
            s.with_io(room, now, |io| self.device.handle_open(now, at, io));
            self.settle(now, s);
        }
        if !app.is_empty() {
            s.with_io(room, now, |io| self.device.handle_bytes(&app, now, at, io));
            self.settle(now, s);
        }
        // The device may have left by itself meanwhile.
        if self.secure.layer.is_some() && (result.is_err() || finished) {
            match result.is_err() {
                true => self.secure.layer = None,
                false => self.layer_ended(s),
            }
            self.leave_pipe(now, s);
            let how = if result.is_err() { Closed::Reset } else { Closed::Finished };
            s.with_io(0, now, |io| self.device.handle_closed(how, now, now, io));
            self.settle(now, s);
        }
        if let Err(why) = result {
            s.failed(why);
        }
        app.clear();
        wire.clear();
        (s.app, s.wire) = (app, wire);
    }

    /// TCP ended, not by this client: a handshake that was under way has failed.
    pub(super) fn layer_ended(&mut self, s: &mut Shared<'_>) {
        if let Some(why) = self.secure.layer.take().and_then(|l| l.ended_early()) {
            s.failed(why);
        }
    }

    /// What the device wrote goes through the layer, if there is one.
    pub(super) fn write(&mut self, now: Instant, s: &mut Shared<'_>) {
        let mut out = std::mem::take(&mut s.tx);
        if let Some(layer) = &mut self.secure.layer {
            let mut sealed = Vec::with_capacity(out.len() + 64);
            layer.app_out(&out, &mut sealed);
            self.write_wire(&sealed, now, s);
        } else {
            self.write_wire(&out, now, s);
        }
        out.clear();
        s.tx = out;
    }

    /// The device leaves: in order, its layer says so first; else the layer is gone with the connection.
    pub(super) fn layer_leaves(&mut self, want: Want, now: Instant, s: &mut Shared<'_>) {
        let Some(mut layer) = self.secure.layer.take() else { return };
        if want == Want::Close {
            let mut last = Vec::new();
            layer.close(&mut last);
            self.write_wire(&last, now, s);
        } else if want == Want::Reset && !layer.is_established() {
            s.failed(Failure::timed_out());
        }
    }

    /// The layer has ended the connection: TCP is closed in order, so that what it said last arrives.
    fn leave_pipe(&mut self, now: Instant, s: &mut Shared<'_>) {
        self.hurry(s);
        match &mut self.pipe {
            Pipe::Direct(d) => d.leave(Want::Close, s),
            Pipe::Linked(l) => l.wish(Want::Close, now),
        }
    }
}
