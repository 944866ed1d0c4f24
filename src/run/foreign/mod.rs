//! Clients under test in real time: who drives them, and where they connect.

mod command;
mod rumqttc;

use super::plan::{Planned, PlannedTest};
use crate::clock::Clock;
use crate::foreign::ledger::Ledger;
use crate::foreign::observer::{Observer, Subject};
use crate::foreign::provoke::Provoker;
use crate::foreign::proxy::Proxy;
use crate::scenario::under_test::ForeignClient;
use crate::target::TargetError;
use crate::time::{Duration, Instant};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

/// How long programs have to end when they are asked to (assumed).
const PATIENCE: Duration = Duration::from_secs(5);

/// A planned client; and, if it is under test, who stands in for it, and where it connects.
pub(super) struct Manned {
    pub planned: Planned,
    pub foreign: Option<(Box<Proxy>, TcpListener)>,
}

/// Everybody who drives clients under test.
#[derive(Default)]
pub(super) struct Drivers {
    driven: Vec<rumqttc::Driven>,
    phase: Option<Arc<AtomicU8>>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
    /// Programs that are still to be started, by time.
    waiting: Vec<(Instant, command::Wish, Arc<Mutex<Ledger>>)>,
    programs: Vec<command::Program>,
    ledgers: Vec<Arc<Mutex<Ledger>>>,
}

impl Drivers {
    /// Gives each client under test a listener and a stand-in.
    ///
    /// # Errors
    /// If there are no ports left.
    pub fn man(&mut self, clients: Vec<Planned>) -> Result<Vec<Manned>, TargetError> {
        let man = |mut planned: Planned| match planned.under_test.take() {
            None => Ok(Manned { planned, foreign: None }),
            Some(under_test) => self.stand_in(planned, *under_test),
        };
        clients.into_iter().map(man).collect::<std::io::Result<_>>().map_err(|error| {
            TargetError::usage(format!("a client under test has no port to connect to: {error}"), "fewer of them")
        })
    }

    fn stand_in(&mut self, planned: Planned, under_test: PlannedTest) -> std::io::Result<Manned> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        self.ledgers.push(Arc::clone(&ledger));
        let plan = &planned.plan;
        let subject = Subject {
            id: plan.id,
            version: plan.kind.version,
            directory: Arc::clone(&plan.kind.directory),
            filters: plan.filters.clone(),
        };
        let PlannedTest { spec, fleet, sensor } = under_test;
        match spec.client {
            ForeignClient::Rumqttc => {
                self.driven.push(rumqttc::Driven { plan: plan.clone(), addr, ledger: Arc::clone(&ledger) });
            }
            ForeignClient::Command(words) => {
                let wish = command::Wish { words, fleet, sensor, client_id: plan.client_id.to_string(), addr };
                self.waiting.push((plan.start, wish, Arc::clone(&ledger)));
            }
        }
        let provoker = Provoker::new(spec.cuts, spec.every);
        let proxy = Box::new(Proxy::new(plan.id, Observer::new(subject), provoker, ledger));
        Ok(Manned { planned, foreign: Some((proxy, listener)) })
    }

    /// The run begins.
    pub fn begin(&mut self, clock: Clock, phase: &Arc<AtomicU8>) {
        let driven = std::mem::take(&mut self.driven);
        self.phase = Some(Arc::clone(phase));
        if !driven.is_empty() {
            let phase = Arc::clone(phase);
            self.thread = Some(std::thread::spawn(move || rumqttc::drive(driven, clock, &phase)));
        }
    }

    /// Starts the programs that are due, and notices those that have ended.
    pub fn look(&mut self, now: Instant, folder: Option<&Path>) {
        for (_, wish, ledger) in self.waiting.extract_if(.., |(at, ..)| *at <= now) {
            match command::Program::start(&wish, folder, Arc::clone(&ledger)) {
                Ok(program) => self.programs.push(program),
                Err(error) => {
                    let note = format!("{}: its program cannot be started: {error}", wish.name());
                    ledger.lock().expect("nobody panics while holding it").notes.push(note);
                }
            }
        }
        for program in &mut self.programs {
            program.look();
        }
    }

    /// Ends all of them, once the load loops have ended; what there is to tell.
    pub fn end(mut self) -> Vec<String> {
        if let Some(phase) = &self.phase {
            phase.store(super::load_loop::GONE, Ordering::Relaxed);
        }
        for program in &self.programs {
            program.ask_to_end();
        }
        let clock = Clock::start();
        while !self.programs.iter_mut().all(command::Program::is_gone) && clock.now() < Instant::ZERO + PATIENCE {
            crate::target::ready::pause(Duration::from_millis(20));
        }
        self.programs.clear();
        let mut notes = Vec::new();
        match self.thread.take().map(std::thread::JoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => notes.push(format!("rumqttc could not be driven: {error}")),
            Some(Err(_)) => notes.push("rumqttc panicked: what its clients did after that is missing".to_owned()),
        }
        for ledger in &self.ledgers {
            notes.append(&mut ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner).notes);
        }
        notes
    }
}
