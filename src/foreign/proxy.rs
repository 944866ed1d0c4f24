//! Stands between a client under test and its way to the broker, where squall's own device would stand: the client's bytes go into
//! the link, the link's bytes to the client, and both are observed on the way.
//!
//! Calling order. The way to the broker is served as for [`crate::device::Device`]; the client's socket by the `client_*` calls.
//! Whatever the owner does, it then takes [`Proxy::poll_want`] until none, writes what was put into [`Io::tx`], writes
//! [`Proxy::to_client`] to the client's socket as far as that takes it, and, when that is empty, takes [`Proxy::poll_farewell`].

use super::ledger::Ledger;
use super::observer::{Ended, Gate, Observer, Out};
use super::provoke::Provoker;
use crate::device::{Closed, Io, Want};
use crate::time::Instant;
use crate::trace::{ClientId, Discard, Event, What};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes of the client's that wait for the link before no more are read.
const HOLDS: usize = 4 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The client has no connection.
    Idle,
    /// Its way to the broker is being opened.
    Opening,
    /// Open.
    Open,
}

/// How the client's socket is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Farewell {
    /// In order.
    Finish,
    /// By a reset.
    Reset,
}

/// One client's stand-in.
#[derive(Debug)]
pub struct Proxy {
    id: ClientId,
    observer: Observer,
    provoker: Provoker,
    ledger: Arc<Mutex<Ledger>>,
    state: State,
    from_client: Vec<u8>,
    to_client: Vec<u8>,
    wants: VecDeque<Want>,
    farewell: Option<Farewell>,
    /// The load is over: nothing is provoked any more.
    healed: bool,
}

impl Proxy {
    /// A stand-in for a client that has not connected yet.
    #[must_use]
    pub fn new(id: ClientId, observer: Observer, provoker: Provoker, ledger: Arc<Mutex<Ledger>>) -> Self {
        Self {
            id,
            observer,
            provoker,
            ledger,
            state: State::Idle,
            from_client: Vec::new(),
            to_client: Vec::new(),
            wants: VecDeque::new(),
            farewell: None,
            healed: false,
        }
    }

    /// Which client of the run it is.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// What is wanted of the way to the broker next.
    pub fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    /// Bytes for the client's socket; whoever writes them takes them away.
    pub fn to_client(&mut self) -> &mut Vec<u8> {
        &mut self.to_client
    }

    /// How to close the client's socket, once [`Self::to_client`] is empty.
    pub fn poll_farewell(&mut self) -> Option<Farewell> {
        if self.to_client.is_empty() { self.farewell.take() } else { None }
    }

    /// True if more of the client's bytes are wanted.
    #[must_use]
    pub fn takes_bytes(&self) -> bool {
        self.from_client.len() < HOLDS
    }

    /// True while the client has something in flight.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state != State::Idle && self.observer.in_flight() > 0
    }

    /// True if it is connected and has its subscriptions.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.observer.is_settled()
    }

    /// Bytes and messages that wait to be sent, and messages in flight.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        let waiting = self.observer.waiting(&self.ledger());
        waiting + self.observer.in_flight() + u64::from(!self.from_client.is_empty())
    }

    // ---- the client's socket ----

    /// The client has connected.
    pub fn client_opened(&mut self, now: Instant, io: &mut Io<'_>) {
        if self.state != State::Idle {
            self.client_closed(true, now, io);
        }
        (self.farewell, self.state) = (None, State::Opening);
        self.from_client.clear();
        self.to_client.clear();
        self.observe(now, now, io, |o, out| o.opened(out));
        self.wants.push_back(Want::Open);
    }

    /// Bytes from the client.
    pub fn client_bytes(&mut self, bytes: &[u8], now: Instant, io: &mut Io<'_>) {
        if self.state == State::Idle {
            return;
        }
        let (provoker, healed) = (&mut self.provoker, self.healed);
        let cut = observe(&mut self.observer, &self.ledger, (now, now), io, |o, out| {
            o.up(bytes, out, |packet, o| if healed || !o.is_up() { Gate::Pass } else { provoker.at(packet, true) })
        });
        self.from_client.extend_from_slice(&bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())]);
        if cut.is_some() {
            return self.cut(now, io);
        }
        if self.state == State::Open {
            self.flush(io);
        }
        if !self.takes_bytes() {
            self.observer.held_up(now);
        }
    }

    /// The client has closed its socket, in order or by a reset.
    pub fn client_closed(&mut self, reset: bool, now: Instant, io: &mut Io<'_>) {
        if self.state == State::Idle {
            return;
        }
        self.observe(now, now, io, |o, out| o.closed(Ended::ByClient, out));
        self.leave(reset, io);
    }

    // ---- the way to the broker ----

    /// The transport is open.
    pub fn handle_open(&mut self, now: Instant, at: Instant, io: &mut Io<'_>) {
        if self.state == State::Opening {
            self.state = State::Open;
            self.observe(now, at, io, |o, out| o.transport_open(out));
            self.flush(io);
        }
    }

    /// The transport takes more.
    pub fn handle_room(&mut self, now: Instant, io: &mut Io<'_>) {
        if self.state == State::Open && !self.from_client.is_empty() {
            self.flush(io);
            self.observer.held_up(now);
        }
    }

    /// Bytes came from the broker; they had arrived at `at`.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant, at: Instant, io: &mut Io<'_>) {
        if self.state != State::Open {
            return;
        }
        let (provoker, healed) = (&mut self.provoker, self.healed);
        let cut = observe(&mut self.observer, &self.ledger, (now, at), io, |o, out| {
            o.down(bytes, out, |packet, _| if healed { Gate::Pass } else { provoker.at(packet, false) })
        });
        self.to_client.extend_from_slice(&bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())]);
        if cut.is_some() {
            self.cut(now, io);
        }
    }

    /// The connection ended, not by the client.
    pub fn handle_closed(&mut self, how: Closed, now: Instant, at: Instant, io: &mut Io<'_>) {
        if self.state == State::Idle {
            return;
        }
        let (ended, farewell) = match how {
            Closed::Finished => (Ended::ByBroker, Farewell::Finish),
            Closed::Reset | Closed::Harness => (Ended::Cut, Farewell::Reset),
        };
        self.observe(now, at, io, |o, out| o.closed(ended, out));
        self.state = State::Idle;
        self.from_client.clear();
        self.farewell = Some(farewell);
    }

    /// The links were healed; `stalled` says that the connection makes no progress, and resets it.
    pub fn handle_heal(&mut self, stalled: bool, now: Instant, io: &mut Io<'_>) {
        self.healed = true;
        if stalled && self.state != State::Idle {
            self.observe(now, now, io, |o, out| o.closed(Ended::Cut, out));
            self.leave(true, io);
            self.farewell = Some(Farewell::Reset);
        }
    }

    /// The run is over: what the client should have done, and has not, is told; and what it never sent.
    pub fn handle_end(&mut self, now: Instant, io: &mut Io<'_>) {
        self.observe(now, now, io, |o, out| o.drained(out));
        let never = {
            let ledger = self.ledger();
            let refused = ledger.refused.iter().copied();
            let unsent = self.observer.never_sent(&ledger).into_iter().map(|n| (n, Discard::RunEnded));
            let all = refused.chain(unsent).filter_map(|(n, why)| Some((n, ledger.intended(n)?, why)));
            let mut all: Vec<_> = all.collect();
            all.sort_by_key(|(n, ..)| *n);
            all
        };
        for (number, intended, why) in never {
            let what = What::Discarded { number, intended, why };
            io.sink.event(Event { seen: io.seen, at: now, client: self.id, what });
        }
        if self.state != State::Idle {
            self.leave(false, io);
            self.farewell = Some(Farewell::Finish);
        }
    }

    fn cut(&mut self, now: Instant, io: &mut Io<'_>) {
        self.observe(now, now, io, |o, out| o.closed(Ended::Cut, out));
        self.leave(false, io);
        self.farewell = Some(Farewell::Finish);
    }

    /// What the client has sent goes on, unless it is reset; then the way to the broker is closed.
    fn leave(&mut self, reset: bool, io: &mut Io<'_>) {
        if self.state == State::Open && !reset {
            io.tx.append(&mut self.from_client);
            self.wants.push_back(Want::Close);
        } else {
            self.wants.push_back(Want::Reset);
        }
        self.from_client.clear();
        self.state = State::Idle;
    }

    fn flush(&mut self, io: &mut Io<'_>) {
        let room = io.room.saturating_sub(io.tx.len()).min(self.from_client.len());
        io.tx.extend(self.from_client.drain(..room));
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while holding it")
    }

    fn observe(&mut self, now: Instant, at: Instant, io: &mut Io<'_>, f: impl FnOnce(&mut Observer, &mut Out<'_>)) {
        observe(&mut self.observer, &self.ledger, (now, at), io, f);
    }
}

fn observe<T>(
    observer: &mut Observer,
    ledger: &Mutex<Ledger>,
    (now, at): (Instant, Instant),
    io: &mut Io<'_>,
    f: impl FnOnce(&mut Observer, &mut Out<'_>) -> T,
) -> T {
    let ledger = ledger.lock().expect("nobody panics while holding it");
    f(observer, &mut Out { now, at, seen: io.seen, ledger: &ledger, sink: io.sink })
}
