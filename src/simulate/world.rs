//! The event heap: clients, the broker, its faults, the phases.

use super::Settings;
use super::client::{Client, Linked, Way};
use super::net::Net;
use crate::broker::defects::Defects;
use crate::broker::{Broker, Config, Output};
use crate::device::{Closed, Device};
use crate::measure::Recorder;
use crate::measure::summary::WireCost;
use crate::promise::Count;
use crate::run::plan::{self, RunPlan};
use crate::run::{Deed, Progress, deeds};
use crate::scenario::model::Scenario;
use crate::time::{Duration, Instant};
use crate::trace::{Event, FaultKind, FaultMark, What};
use crate::verdict::Judge;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Width of the series' intervals.
const WIDTH: Duration = Duration::from_secs(1);
/// How often in the drain it is asked whether anything is still owed.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long after the heal a connection must have made progress, or is reset (assumed; as in a run).
const STALL: Duration = Duration::from_secs(8);
/// Events that wait for the judges at most.
const BATCH: usize = 4096;

/// What a simulation leaves.
pub(super) struct End {
    pub judge: Judge,
    pub recorder: Recorder,
    pub faults: Vec<FaultMark>,
    /// By group.
    pub wire: Vec<Option<WireCost>>,
    pub zombies: u64,
    pub drain_from: Instant,
    pub ended: Instant,
}

pub(super) struct World {
    clients: Vec<Client>,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    net: Net,
    broker: Broker,
    config: Config,
    paused: bool,
    durable: bool,
    service: Duration,
    /// When the broker is done with what it read, and reads on; `busy` until then.
    free_at: Instant,
    busy: bool,
    judge: Judge,
    recorder: Recorder,
    faults: Vec<FaultMark>,
    to_do: std::vec::IntoIter<(Instant, Deed)>,
    next_deed: Option<(Instant, Deed)>,
    groups: usize,
    drain_from: Instant,
    drain: Duration,
    quiet: Duration,
    healed_at: Option<Instant>,
    stall_checked: bool,
    last_activity: Instant,
    next_ask: Instant,
    next_watch: Instant,
    now: Instant,
    touched: Vec<u32>,
}

impl World {
    pub fn new(scenario: &Scenario, settings: &Settings, planned: RunPlan) -> Self {
        let RunPlan { promises, clients, drain_from, .. } = planned;
        let config = Config { defects: Defects::new(&settings.defects), ..Config::default() };
        let clients = clients.into_iter().zip(0..).map(|(c, index)| Client {
            device: Device::new(c.plan),
            group: c.group,
            way: c.path.map_or(Way::Direct(None), |p| Way::Linked(Box::new(Linked::new(p)))),
            armed: Instant::FAR,
            index,
        });
        let mut to_do = deeds(&scenario.faults).into_iter();
        let mut world = Self {
            clients: clients.collect(),
            timers: BinaryHeap::new(),
            net: Net::listening(),
            broker: Broker::new(config.clone()),
            config,
            paused: false,
            durable: settings.durable,
            service: settings.service,
            free_at: Instant::ZERO,
            busy: false,
            judge: Judge::new(std::sync::Arc::clone(&promises)),
            recorder: Recorder::new(&promises, WIDTH),
            faults: promises.faults.clone(),
            next_deed: to_do.next(),
            to_do,
            groups: promises.groups.len(),
            drain_from,
            drain: scenario.drain,
            quiet: WIDTH.max(plan::longest_round_trip(scenario) * 2),
            healed_at: None,
            stall_checked: false,
            last_activity: Instant::ZERO,
            next_ask: Instant::FAR,
            next_watch: Instant::ZERO,
            now: Instant::ZERO,
            touched: Vec::new(),
        };
        for i in 0..world.clients.len() {
            world.arm(i);
        }
        world
    }

    /// To the end of the drain; true if `watch` ended it.
    pub fn run(&mut self, watch: &mut dyn FnMut(Progress) -> bool, tap: &mut dyn FnMut(&Event)) -> bool {
        loop {
            self.now = self.next_time().max(self.now);
            if self.now >= self.next_watch {
                self.next_watch = self.now + WIDTH;
                self.judge_events(tap);
                if !watch(self.progress()) {
                    return true;
                }
            }
            if self.phases(tap) {
                return false;
            }
            self.do_deeds(tap);
            if !self.paused {
                self.broker.handle_deadline(self.now);
            }
            while let Some(Reverse((at, index))) = self.timers.peek().copied()
                && at <= self.now
            {
                self.timers.pop();
                let i = index as usize;
                if self.clients[i].armed == at {
                    self.clients[i].armed = Instant::FAR;
                    self.clients[i].handle_deadline(self.now, &mut self.net);
                    self.serve();
                    self.arm(i);
                }
            }
            self.serve();
            if self.net.events.len() >= BATCH {
                self.judge_events(tap);
            }
        }
    }

    fn next_time(&self) -> Instant {
        let client = self.timers.peek().map_or(Instant::FAR, |Reverse((at, _))| *at);
        let broker = match (self.paused, self.broker.next_deadline()) {
            (false, Some(at)) => at,
            _ => Instant::FAR,
        };
        let reads = if self.busy || (!self.paused && self.net.has_input()) { self.free_at } else { Instant::FAR };
        let deed = self.next_deed.map_or(Instant::FAR, |(at, _)| at);
        let phase = if self.healed_at.is_none() { self.drain_from } else { self.next_ask };
        client.min(broker).min(reads).min(deed).min(phase)
    }

    fn arm(&mut self, i: usize) {
        let client = &mut self.clients[i];
        let at = client.next_deadline();
        if at < client.armed {
            client.armed = at;
            self.timers.push(Reverse((at, client.index)));
        }
    }

    // ---- the broker ----

    /// The broker reads what there is, as fast as it may, and its answers go out, until nothing moves at this instant.
    fn serve(&mut self) {
        while self.free_at <= self.now {
            self.busy = false;
            self.deliver();
            if self.paused || !self.net.feed(&mut self.broker, self.now) {
                return;
            }
            // Its answers are out when it is done.
            self.busy = true;
            self.free_at = self.now + self.service;
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        while let Some(output) = self.broker.poll_output() {
            let (Output::Write(conn) | Output::Close(conn)) = output;
            let mut bytes = self.net.buffer();
            self.broker.take_output(conn, &mut bytes);
            if let Some((client, number)) = self.net.owner(conn) {
                if !bytes.is_empty() {
                    self.clients[client as usize].take_from_broker(number, &bytes, now, &mut self.net);
                }
                self.touched.push(client);
            }
            self.net.recycle(bytes);
            if output == Output::Close(conn) {
                self.broker.forget_connection(conn);
                if let Some((client, number)) = self.net.forget(conn) {
                    self.clients[client as usize].broker_left(number, Closed::Finished, now, &mut self.net);
                    self.touched.push(client);
                }
            }
        }
        while let Some(client) = self.touched.pop() {
            self.arm(client as usize);
        }
    }

    fn do_deeds(&mut self, tap: &mut dyn FnMut(&Event)) {
        while let Some((at, deed)) = self.next_deed.filter(|(at, _)| *at <= self.now) {
            self.next_deed = self.to_do.next();
            let mark = |kind, what: &str, lasted| Some(FaultMark { at, lasted, what: what.into(), kind });
            let fault = match deed {
                Deed::Kill => {
                    self.lose_broker(Closed::Reset);
                    mark(FaultKind::BrokerKill, "broker killed", None)
                }
                Deed::Stop => {
                    self.lose_broker(Closed::Finished);
                    mark(FaultKind::BrokerRestart, "broker stopped", None)
                }
                Deed::Start => {
                    self.net.listening = true;
                    mark(FaultKind::BrokerRestart, "broker started again", None)
                }
                Deed::Pause(lasts) => {
                    self.paused = true;
                    mark(FaultKind::BrokerPause, "broker paused", Some(lasts))
                }
                Deed::Resume => {
                    self.paused = false;
                    None
                }
            };
            if let Some(fault) = fault {
                self.judge_events(tap);
                self.judge.fault(&fault);
                self.faults.push(fault);
            }
        }
    }

    /// The broker's process ends, and all that was in memory with it; what it had not read and not sent is lost in any case.
    fn lose_broker(&mut self, how: Closed) {
        self.net.listening = false;
        self.paused = false;
        if !self.durable {
            self.broker = Broker::new(self.config.clone());
        }
        for (conn, (client, number)) in self.net.clear() {
            self.broker.handle_closed(conn, self.now);
            self.clients[client as usize].broker_left(number, how, self.now, &mut self.net);
            self.arm(client as usize);
        }
    }

    // ---- phases ----

    /// Heals, looks for stalls, and ends; true at the end.
    fn phases(&mut self, tap: &mut dyn FnMut(&Event)) -> bool {
        let now = self.now;
        let Some(healed) = self.healed_at else {
            if now >= self.drain_from {
                self.healed_at = Some(now);
                self.next_ask = now + ASK_EVERY;
                self.each(|client, net| client.heal(now, net));
            }
            return false;
        };
        if now < self.next_ask {
            return false;
        }
        self.next_ask = now + ASK_EVERY;
        if !self.stall_checked && now >= healed + STALL {
            self.stall_checked = true;
            self.each(|client, net| client.reset_if_stalled(now, net));
        }
        now >= healed + self.drain || self.is_settled(tap)
    }

    fn each(&mut self, mut f: impl FnMut(&mut Client, &mut Net)) {
        for i in 0..self.clients.len() {
            f(&mut self.clients[i], &mut self.net);
            self.serve();
            self.arm(i);
        }
    }

    /// Nothing is owed, nobody has anything left to do, and what is not owed (QoS 0) has had time to arrive.
    fn is_settled(&mut self, tap: &mut dyn FnMut(&Event)) -> bool {
        self.judge_events(tap);
        self.next_deed.is_none()
            && self.judge.owed() == 0
            && self.now.since(self.last_activity) > self.quiet
            && self.clients.iter().all(|c| c.device.backlog() == 0 && c.device.is_settled())
    }

    fn judge_events(&mut self, tap: &mut dyn FnMut(&Event)) {
        for event in self.net.events.drain(..) {
            tap(&event);
            self.judge.observe(&event);
            self.recorder.observe(&event);
            if matches!(event.what, What::Sent(_) | What::Acked { .. } | What::Delivered(_) | What::Connected { .. }) {
                self.last_activity = event.seen;
            }
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            now: self.now,
            drain_from: self.drain_from,
            end: self.healed_at.unwrap_or(self.drain_from) + self.drain,
            draining: self.healed_at.is_some(),
            connected: self.recorder.connected(),
            clients: self.clients.len() as u64,
            sent: self.recorder.total(Count::Sent),
            acked: self.recorder.total(Count::Acked),
            delivered: self.recorder.total(Count::Delivered),
            owed: self.judge.owed(),
            breaches: self.judge.breaches(),
        }
    }

    /// Ends every client, and gives what was gathered.
    pub fn end(mut self, tap: &mut dyn FnMut(&Event)) -> End {
        let now = self.now;
        self.judge_events(tap);
        self.judge.drained();
        self.recorder.drained();
        for client in &mut self.clients {
            client.with_io(now, &mut self.net, |device, io| device.handle_end(now, io));
        }
        self.judge_events(tap);
        let mut wire: Vec<Option<WireCost>> = vec![None; self.groups];
        let mut zombies = 0;
        for client in &self.clients {
            if let Way::Linked(l) = &client.way {
                let cost = l.path.wire();
                let sum = wire[usize::from(client.group)].get_or_insert_default();
                sum.up.add(&cost.up);
                sum.down.add(&cost.down);
                zombies += l.path.zombies_dropped();
            }
        }
        self.faults.sort_by_key(|f| f.at);
        let Self { judge, recorder, faults, drain_from, .. } = self;
        End { judge, recorder, faults, wire, zombies, drain_from, ended: now }
    }
}
