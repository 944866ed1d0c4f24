//! What lies between the clients and the broker: connections, and what waits to be read by the broker.

use crate::broker::{Broker, ConnId};
use crate::table::Unordered;
use crate::time::Instant;
use crate::trace::Event;
use std::collections::VecDeque;

/// Buffers kept for re-use.
const POOL: usize = 256;

/// Something that the broker will read.
pub(super) enum Input {
    Open(ConnId),
    Bytes(ConnId, Vec<u8>),
    Closed(ConnId),
}

/// Connections by number, with their owner (client, and its gateway's number) while somebody listens at the other end.
#[derive(Default)]
pub(super) struct Net {
    pub tx: Vec<u8>,
    pub events: Vec<Event>,
    pub listening: bool,
    /// Here a client runs ahead of the broker (see [`super::ahead`]): what it has for the broker is kept, and it opens nothing.
    pub ahead: bool,
    owners: Unordered<(u32, u32)>,
    inbox: VecDeque<Input>,
    next: u32,
    pool: Vec<Vec<u8>>,
}

impl Net {
    /// No connection, and a broker that listens.
    pub fn listening() -> Self {
        Self { listening: true, ..Self::default() }
    }

    /// The same for clients that run ahead.
    pub fn ahead() -> Self {
        Self { ahead: true, ..Self::default() }
    }

    /// What a client that ran ahead has for the broker.
    pub fn take_inputs(&mut self, into: &mut VecDeque<Input>) {
        into.append(&mut self.inbox);
    }

    /// Now the broker may read what a client kept for it.
    pub fn give(&mut self, inputs: &mut VecDeque<Input>) {
        for input in inputs.iter() {
            if let Input::Closed(conn) = input {
                self.owners.remove(conn.0);
            }
        }
        self.inbox.append(inputs);
    }

    /// Opens a connection for a client; none if nobody listens.
    pub fn open(&mut self, client: u32, number: u32) -> Option<ConnId> {
        self.listening.then(|| {
            let conn = ConnId(self.next);
            self.next = self.next.wrapping_add(1);
            self.owners.insert(conn.0, (client, number));
            self.inbox.push_back(Input::Open(conn));
            conn
        })
    }

    /// A client leaves its connection; `seen` says that the broker will notice.
    pub fn leave(&mut self, conn: ConnId, seen: bool) {
        self.owners.remove(conn.0);
        if seen {
            self.inbox.push_back(Input::Closed(conn));
        }
    }

    /// A client leaves its connection open, and goes on to hear of it under another number.
    pub fn set_aside(&mut self, conn: ConnId, client: u32, number: u32) {
        self.owners.insert(conn.0, (client, number));
    }

    /// Bytes for the broker, in a buffer from [`Self::buffer`].
    pub fn bytes(&mut self, conn: ConnId, bytes: Vec<u8>) {
        self.inbox.push_back(Input::Bytes(conn, bytes));
    }

    /// An empty buffer.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.pool.len() < POOL {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    /// Who owns a connection.
    pub fn owner(&self, conn: ConnId) -> Option<(u32, u32)> {
        self.owners.get(conn.0).copied()
    }

    /// The broker has ended a connection; who owned it.
    pub fn forget(&mut self, conn: ConnId) -> Option<(u32, u32)> {
        self.owners.remove(conn.0)
    }

    /// The broker is gone: all connections, by number; what it had not read is lost.
    pub fn clear(&mut self) -> impl Iterator<Item = (ConnId, (u32, u32))> + use<> {
        self.inbox.clear();
        std::mem::take(&mut self.owners).into_sorted().into_iter().map(|(conn, owner)| (ConnId(conn), owner))
    }

    /// True if the broker has something to read.
    pub fn has_input(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Lets the broker take in one thing; false if there is none.
    pub fn feed(&mut self, broker: &mut Broker, now: Instant) -> bool {
        match self.inbox.pop_front() {
            Some(Input::Open(conn)) => broker.handle_open(conn, now),
            Some(Input::Closed(conn)) => broker.handle_closed(conn, now),
            Some(Input::Bytes(conn, bytes)) => {
                broker.handle_bytes(conn, &bytes, now);
                self.recycle(bytes);
            }
            None => return false,
        }
        true
    }
}
