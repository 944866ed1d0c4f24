//! The gateway at a link's far end: its sockets to the broker, and the bytes between them and the link.

use super::load_loop::Shared;
use super::socket::{Read, Socket};
use crate::link::{GatewayEvent, Path, SensorSide};
use crate::time::Instant;
use std::net::SocketAddr;

/// Bytes from the broker that the gateway holds for the link before it stops reading.
const HOLDS: usize = 4 * 1024;

/// One of the gateway's sockets.
pub(super) struct Upstream {
    conn: u32,
    socket: Socket,
    open: bool,
    to_broker: Vec<u8>,
    from_broker: Vec<u8>,
    /// The broker has finished; the link is told when all was handed over.
    broker_finished: bool,
    /// The sensor has finished; the broker is told when all was handed over.
    sensor_finished: bool,
    reading: bool,
}

impl Upstream {
    fn new(conn: u32, socket: Socket) -> Self {
        Self {
            conn,
            socket,
            open: false,
            to_broker: Vec::new(),
            from_broker: Vec::new(),
            broker_finished: false,
            sensor_finished: false,
            reading: true,
        }
    }

    /// The broker gets the sensor's FIN after its last byte.
    fn pass_on_the_end(&self) {
        if self.sensor_finished && self.to_broker.is_empty() {
            self.socket.finish();
        }
    }
}

/// Does what the link asks of the gateway of client `index`, whose broker is at `addr`.
pub(super) fn serve(
    path: &mut Path,
    upstreams: &mut Vec<Upstream>,
    (index, addr, at): (u32, SocketAddr, Instant),
    s: &mut Shared,
) {
    while let Some(event) = path.poll_gateway() {
        obey(event, path, upstreams, (index, addr, at), s);
    }
    carry(path, upstreams, at, index, s);
}

/// Resets every connection, to the broker and to the sensor.
pub(super) fn reset_all(path: &mut Path, upstreams: &mut Vec<Upstream>, now: Instant) {
    for upstream in upstreams.drain(..) {
        upstream.socket.reset_on_close();
        if upstream.open {
            path.gateway_reset(upstream.conn, now);
        } else {
            path.refuse(upstream.conn, now);
        }
    }
}

/// A socket is ready to be read or written, or has connected; false if there is none of that number.
pub(super) fn ready(
    path: &mut Path,
    upstreams: &mut Vec<Upstream>,
    (conn, readable, writable): (u32, bool, bool),
    (index, now): (u32, Instant),
    s: &mut Shared,
) -> bool {
    path.poll(now);
    let Some(place) = upstreams.iter().position(|u| u.conn == conn) else { return false };
    let upstream = &mut upstreams[place];
    if !upstream.open {
        if upstream.socket.connected() {
            upstream.open = true;
            s.register(&upstream.socket, index, conn, false, false);
            path.accept(conn, now);
        } else {
            upstreams.remove(place);
            path.refuse(conn, now);
        }
    } else {
        if writable {
            let taken = upstream.socket.write(&upstream.to_broker);
            upstream.to_broker.drain(..taken);
            upstream.pass_on_the_end();
            s.register(&upstream.socket, index, conn, !upstream.to_broker.is_empty(), false);
        }
        if readable {
            read_upstream(path, upstreams, place, now, s);
        }
    }
    carry(path, upstreams, now, index, s);
    true
}

/// One thing that the link asks.
fn obey(
    event: GatewayEvent,
    path: &mut Path,
    upstreams: &mut Vec<Upstream>,
    (index, addr, at): (u32, SocketAddr, Instant),
    s: &mut Shared,
) {
    match event {
        GatewayEvent::Open(conn) => match Socket::connect(addr, None) {
            Ok(socket) => {
                s.register(&socket, index, conn, true, true);
                upstreams.push(Upstream::new(conn, socket));
            }
            Err(error) => {
                s.trouble(&error);
                path.refuse(conn, at);
            }
        },
        GatewayEvent::Finished(conn) => {
            if let Some(upstream) = upstreams.iter_mut().find(|u| u.conn == conn) {
                upstream.sensor_finished = true;
                upstream.pass_on_the_end();
            }
        }
        GatewayEvent::Reset(conn) => {
            if let Some(place) = upstreams.iter().position(|u| u.conn == conn) {
                upstreams.remove(place).socket.reset_on_close();
            }
        }
    }
}

/// Moves bytes between the link's gateway end and the sockets, as far as each side takes them.
fn carry(path: &mut Path, upstreams: &mut Vec<Upstream>, at: Instant, index: u32, s: &mut Shared) {
    upstreams.retain_mut(|u| {
        if !u.open {
            return true;
        }
        if u.to_broker.is_empty() && path.gateway_unread(u.conn) > 0 {
            path.gateway_read(u.conn, &mut u.to_broker, usize::MAX, at);
            let taken = u.socket.write(&u.to_broker);
            u.to_broker.drain(..taken);
            if !u.to_broker.is_empty() {
                s.register(&u.socket, index, u.conn, true, false);
            }
        }
        if !u.from_broker.is_empty() {
            let taken = path.gateway_write(u.conn, &u.from_broker, at);
            u.from_broker.drain(..taken);
        }
        if !u.reading && u.from_broker.len() < HOLDS && !u.broker_finished {
            u.reading = true;
            s.register(&u.socket, index, u.conn, !u.to_broker.is_empty(), false);
        }
        if u.broker_finished && u.from_broker.is_empty() {
            path.gateway_finish(u.conn, at);
            return false;
        }
        true
    });
}

fn read_upstream(path: &mut Path, upstreams: &mut Vec<Upstream>, place: usize, now: Instant, s: &mut Shared) {
    let u = &mut upstreams[place];
    match u.socket.read(&mut s.buffer) {
        Read::Bytes(n, _) => {
            u.from_broker.extend_from_slice(&s.buffer[..n]);
            if u.from_broker.len() >= HOLDS {
                u.reading = false;
                s.pause_reading(&u.socket);
            }
        }
        Read::Nothing => {}
        Read::Finished => {
            u.broker_finished = true;
            s.pause_reading(&u.socket);
        }
        Read::Reset => {
            let conn = u.conn;
            upstreams.remove(place);
            path.gateway_reset(conn, now);
        }
    }
}
