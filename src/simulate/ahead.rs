//! Clients that run ahead of the broker, on as many threads as there are.
//!
//! A sensor that subscribes to nothing hears from the broker only in answer to what it said, when it has been silent for too long,
//! or when something is done to the broker. So, from one answer on, its life up to its next word to the broker is
//! its own affair: its device and its link may live through it at once (while they are in the processor's cache), and beside
//! other sensors. What they have for the broker is kept until the broker is there in time.
//!
//! Time goes in windows. In a window the broker reads and answers, in order of (time, client), on one thread, which need not look
//! at the client: its [`Lane`] says all. Who was answered, and cannot have more for the broker before the window's end, takes the
//! answer and runs ahead when it is over. How long windows are and how many threads there are changes nothing of what happens,
//! only how fast.

use super::client::Client;
use super::judges::Judges;
use super::net::{Input, Net};
use crate::broker::{Broker, ConnId};
use crate::time::{Duration, Instant, nanos};
use crate::trace::Event;
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Clients that a thread takes at a time.
const HANDFUL: usize = 8;
/// Clients that a window should have ready at its end, so that threads are worth waking (measured on 2 cores).
const WORTH_WAKING: usize = 64;
/// Windows begin with this width, and may have it whatever the links.
pub(super) const NARROW: Duration = Duration::from_millis(10);
/// Windows are never shorter.
const SHORTEST: Duration = Duration::from_millis(1);
/// Events that are sorted where they are (below, the standard library takes no memory for it: insertion sort).
const FEW: usize = 20;
/// What clients that run ahead have seen is kept in heaps of this much time.
const HEAP: Duration = Duration::from_millis(250);

/// What clients that ran ahead have seen, by the time at which it is to be shown to the judges.
#[derive(Default)]
pub(super) struct Future(BTreeMap<u64, Vec<Event>>);

impl Future {
    /// Puts events away.
    pub fn keep(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            self.0.entry(event.seen.as_nanos() / nanos(HEAP)).or_default().push(event);
        }
    }

    /// Mixes what was seen before `until` into `events`, which are in order. At one instant, what clients saw ahead comes first: it
    /// may be the cause of what the others saw, and never its effect.
    pub fn mix_into(&mut self, events: &mut Vec<Event>, until: Instant) {
        let mut ahead: Vec<Event> = Vec::new();
        while let Some(heap) = self.0.first_entry()
            && *heap.key() <= until.as_nanos() / nanos(HEAP)
        {
            let mut heap = heap.remove_entry();
            // One client's are in order already, and stay so.
            if heap.1.len() < FEW {
                heap.1.sort_by_key(|e| (e.seen, e.client));
            } else {
                heap.1.sort_by_cached_key(|e| (e.seen, e.client)); // events are large: each is moved once
            }
            let later = heap.1.split_off(heap.1.partition_point(|e| e.seen < until));
            ahead.append(&mut heap.1);
            if !later.is_empty() {
                self.0.insert(heap.0, later);
                break;
            }
        }
        if !ahead.is_empty() {
            ahead.append(events);
            ahead.sort_by_key(|e| e.seen); // stable
            *events = ahead;
        }
    }
}

/// The next window's width: wide enough that threads are worth waking, never over `widest`.
pub(super) fn next_width(width: Duration, ready: usize, widest: Duration) -> Duration {
    let width = match ready {
        0..WORTH_WAKING => width * 2,
        r if r > 4 * WORTH_WAKING => width / 2,
        _ => width,
    };
    width.min(widest).max(SHORTEST)
}

/// What the world knows of a client without looking at it: between two messages of one, all others have had the caches.
#[derive(Default)]
pub(super) struct Lane {
    /// The time at which its timer is set.
    pub armed: Instant,
    /// It publishes over a link and subscribes to nothing: it may run ahead of the broker.
    pub is_leaf: bool,
    /// A packet to the broker takes at least as long.
    pub least_up: Duration,
    /// It is to run ahead when the window is over, up to (not with) this time.
    pub ready: Option<Instant>,
    /// What it has for the broker, at the time at which it is armed.
    pub held: VecDeque<Input>,
    /// It waits, at the time at which it is armed, for a connection to the broker.
    pub halted: bool,
    /// It is at this time, and has not taken the answers to what it said then: each with the gateway's number of its connection.
    pub spoke_at: Option<Instant>,
    pub answers: Vec<(u32, Vec<u8>)>,
    /// Its gateway's connections to the broker.
    pub conns: SmallVec<[ConnId; 2]>,
    /// When something that is on its way to the broker now comes there next.
    pub more_at: Instant,
}

impl Lane {
    /// It ran ahead, and waits for the broker.
    pub fn is_waiting(&self) -> bool {
        self.halted || !self.held.is_empty()
    }

    /// It said something, and nothing but that.
    pub fn speaks(&self) -> bool {
        !self.halted && !self.held.is_empty() && self.held.iter().all(|input| matches!(input, Input::Bytes(..)))
    }

    /// The earliest time at which the broker may do something to it unasked.
    pub fn broker_may_act_at(&self, broker: &Broker) -> Instant {
        self.conns.iter().filter_map(|conn| broker.silence_deadline(*conn)).min().unwrap_or(Instant::FAR)
    }

    /// The earliest time at which it may have more for the broker than it said: from then on, what it does is up to it.
    pub fn may_speak_at(&self, spoke_at: Instant) -> Instant {
        self.more_at.min(spoke_at + self.least_up)
    }
}

/// A client that runs ahead, with its lane.
pub(super) struct Turn {
    pub index: u32,
    pub client: Box<Client>,
    pub lane: Lane,
}

impl Turn {
    /// Runs ahead, if it is ready to.
    pub fn run(&mut self, net: &mut Net) {
        if let Some(bound) = self.lane.ready.take() {
            self.client.run_ahead(&mut self.lane, bound, net);
        }
    }
}

/// The clients that run ahead now, shared by the threads.
#[derive(Default)]
struct Pile {
    to_do: Vec<Turn>,
    /// Taken, and not yet done.
    taken: usize,
    done: Vec<Turn>,
    seen: Vec<Event>,
}

#[derive(Default)]
struct Shared {
    pile: Mutex<Pile>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().expect("nobody panics while holding it")
    }

    /// Runs clients ahead until none is left.
    fn work(&self, net: &mut Net) {
        let mut handful: Vec<Turn> = Vec::with_capacity(HANDFUL);
        loop {
            let mut pile = self.lock();
            pile.taken -= handful.len();
            pile.done.append(&mut handful);
            pile.seen.append(&mut net.events);
            let rest = pile.to_do.len().saturating_sub(HANDFUL);
            handful.extend(pile.to_do.drain(rest..));
            pile.taken += handful.len();
            if handful.is_empty() {
                drop(pile);
                self.changed.notify_all();
                return;
            }
            drop(pile);
            handful.iter_mut().for_each(|turn| turn.run(net));
        }
    }
}

enum Job {
    RunAhead,
    Judge(Box<Judges>, Vec<Event>),
}

/// Threads that help: they run clients ahead, and one judges what is past meanwhile.
pub(super) struct Crew {
    shared: Arc<Shared>,
    jobs: Vec<Sender<Job>>,
    judged: Receiver<(Box<Judges>, Vec<Event>)>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// So many helpers, at least one.
    pub fn new(helpers: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let (back, judged) = channel();
        let (mut jobs, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..helpers.max(1) {
            let (job, todo) = channel();
            let (shared, back) = (Arc::clone(&shared), back.clone());
            jobs.push(job);
            threads.push(std::thread::spawn(move || help(&todo, &shared, &back)));
        }
        Self { shared, jobs, judged, threads }
    }

    /// Lets the judges look at events, beside everything else; they come back by [`Self::judged`].
    pub fn judge(&self, judges: Box<Judges>, events: Vec<Event>) {
        self.jobs[0].send(Job::Judge(judges, events)).expect("helpers last as long as the crew");
    }

    /// The judges, when they have seen all; and the empty list of events.
    pub fn judged(&self) -> (Box<Judges>, Vec<Event>) {
        self.judged.recv().expect("helpers last as long as the crew")
    }

    /// Runs all these clients ahead: they come back in no particular order, and what they saw goes into `net`.
    pub fn run_ahead(&self, turns: &mut Vec<Turn>, net: &mut Net) {
        std::mem::swap(&mut self.shared.lock().to_do, turns);
        for job in &self.jobs {
            job.send(Job::RunAhead).expect("helpers last as long as the crew");
        }
        self.shared.work(net);
        let mut pile = self.shared.lock();
        while pile.taken > 0 {
            let patience = Duration::from_secs(1);
            pile = self.shared.changed.wait_timeout(pile, patience).expect("nobody panics while holding it").0;
            assert!(!self.threads.iter().any(JoinHandle::is_finished), "a helper has panicked");
        }
        std::mem::swap(&mut pile.done, turns);
        std::mem::swap(&mut pile.seen, &mut net.events);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.jobs.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn help(jobs: &Receiver<Job>, shared: &Shared, judged: &Sender<(Box<Judges>, Vec<Event>)>) {
    let mut net = Net::ahead();
    while let Ok(job) = jobs.recv() {
        match job {
            Job::RunAhead => shared.work(&mut net),
            Job::Judge(mut judges, mut events) => {
                judges.look_at(&events);
                events.clear();
                if judged.send((judges, events)).is_err() {
                    return;
                }
            }
        }
    }
}
