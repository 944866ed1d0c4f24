//! The event heap: clients, the broker, its faults, the phases.

use super::ahead::{self, Crew, Future, Lane, Turn};
use super::client::{Client, Linked, Way};
use super::judges::{Figures, Judges};
use super::net::Net;
use super::{Durable, Settings};
use crate::broker::defects::Defects;
use crate::broker::{Broker, Config, Output, Records, Work};
use crate::device::{Closed, Device};
use crate::link::SensorSide as _;
use crate::measure::summary::WireCost;
use crate::run::plan::{self, Planned, RunPlan};
use crate::run::{Deed, Progress, deeds, idle_in_turns};
use crate::scenario::model::{FaultAction, Scenario};
use crate::time::{Duration, Instant};
use crate::trace::{Event, FaultKind, FaultMark};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Width of the series' intervals.
const WIDTH: Duration = Duration::from_secs(1);
/// How often in the drain it is asked whether anything is still owed.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long after the heal a connection must have made progress, or is reset (assumed; as in a run).
const STALL: Duration = Duration::from_secs(8);
/// Events that wait for the judges at most; and as many as are worth showing them (it may wake another thread).
const BATCH: usize = 4096;
const ENOUGH: usize = 1024;

/// What a simulation leaves.
pub(super) struct End {
    pub judges: Box<Judges>,
    pub faults: Vec<FaultMark>,
    /// By group.
    pub wire: Vec<Option<WireCost>>,
    pub zombies: u64,
    pub drain_from: Instant,
    pub ended: Instant,
}

pub(super) struct World {
    /// All at home, but while a window ends.
    clients: Vec<Option<Box<Client>>>,
    lanes: Vec<Lane>,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    net: Net,
    broker: Broker,
    config: Config,
    paused: bool,
    durable: Durable,
    /// What survives the broker's end; none if nothing does.
    records: Option<Records>,
    service: Duration,
    /// While the disk is slow: what a packet costs that changes what is kept.
    write: Duration,
    /// When the broker is done with what it read, and reads on; `busy` until then.
    free_at: Instant,
    busy: bool,
    /// None while a helper has them.
    judges: Option<Box<Judges>>,
    figures: Figures,
    crew: Option<Crew>,
    /// Whether sensors may run ahead; who is ready to, when this window ends; what those who did have seen.
    may_run_ahead: bool,
    ready: Vec<u32>,
    window_end: Instant,
    width: Duration,
    widest: Duration,
    future: Future,
    scratch: Net,
    faults: Vec<FaultMark>,
    to_do: std::vec::IntoIter<(Instant, Deed)>,
    next_deed: Option<(Instant, Deed)>,
    groups: usize,
    drain_from: Instant,
    drain: Duration,
    quiet: Duration,
    healed_at: Option<Instant>,
    stall_checked: bool,
    next_ask: Instant,
    next_watch: Instant,
    now: Instant,
    touched: Vec<u32>,
}

impl World {
    pub fn new(scenario: &Scenario, settings: &Settings, planned: RunPlan) -> Self {
        let RunPlan { promises, clients, drain_from, .. } = planned;
        let config = Config { defects: Defects::new(&settings.defects), ..Config::default() };
        let lane = |c: &Planned| Lane {
            armed: Instant::FAR,
            is_leaf: c.link.is_some() && c.plan.filters.is_empty(),
            least_up: c.link.as_ref().map_or(Duration::ZERO, |l| l.spec.up.least_delay()),
            more_at: Instant::FAR,
            ..Lane::default()
        };
        let lanes = clients.iter().map(lane).collect();
        let clients = clients.into_iter().zip(0..).map(|(c, index)| {
            let device = Device::new(c.plan);
            Some(Box::new(Client {
                device_due: device.next_deadline().unwrap_or(Instant::FAR),
                device,
                group: c.group,
                drops: c.drops,
                way: c.link.map_or(Way::Direct(None), |l| Way::Linked(Box::new(Linked::new(l.path())))),
                index,
            }))
        });
        let mut to_do = deeds(&scenario.faults).into_iter();
        let round_trip = plan::longest_round_trip(scenario);
        let records = (settings.durable != Durable::No).then(Records::new);
        let mut world = Self {
            clients: clients.collect(),
            lanes,
            timers: BinaryHeap::new(),
            net: Net::listening(),
            broker: begin(&config, records.as_ref(), Instant::ZERO),
            config,
            paused: false,
            durable: settings.durable,
            records,
            service: settings.service,
            write: Duration::ZERO,
            free_at: Instant::ZERO,
            busy: false,
            judges: Some(Box::new(Judges::new(&promises, WIDTH))),
            figures: Figures::default(),
            crew: (settings.threads > 1).then(|| Crew::new(settings.threads - 1)),
            // A broker that takes time, or does what it should not, may speak to a sensor at any time.
            may_run_ahead: settings.service.is_zero()
                && settings.defects.is_empty()
                && !scenario.faults.iter().any(|f| matches!(f.action, FaultAction::SlowDisk { .. })),
            ready: Vec::new(),
            window_end: Instant::ZERO,
            width: ahead::NARROW,
            widest: (round_trip / 2).max(ahead::NARROW),
            future: Future::default(),
            scratch: Net::ahead(),
            faults: promises.faults.clone(),
            next_deed: to_do.next(),
            to_do,
            groups: promises.groups.len(),
            drain_from,
            drain: scenario.drain,
            quiet: WIDTH.max(round_trip * 2),
            healed_at: None,
            stall_checked: false,
            next_ask: Instant::FAR,
            next_watch: Instant::ZERO,
            now: Instant::ZERO,
            touched: Vec::new(),
        };
        (0..u32::try_from(world.clients.len()).expect("clients have numbers of 32 bits")).for_each(|i| world.arm(i));
        world
    }

    /// To the end of the drain; true if `watch` ended it.
    pub fn run(&mut self, watch: &mut dyn FnMut(Progress) -> bool, tap: &mut dyn FnMut(&Event)) -> bool {
        loop {
            let mut next = self.next_time().max(self.now);
            if next >= self.window_end {
                next = self.end_window(tap);
            }
            self.now = next;
            if self.now >= self.next_watch {
                self.next_watch = self.now + WIDTH;
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
                self.handle_timer(at, index);
            }
            self.serve();
            if self.net.events.len() >= BATCH {
                self.window_end = self.now;
            }
        }
    }

    fn handle_timer(&mut self, at: Instant, index: u32) {
        let lane = &mut self.lanes[index as usize];
        if lane.armed != at || lane.ready.is_some() || lane.spoke_at.is_some() {
            return; // it was set anew
        }
        lane.armed = Instant::FAR;
        if lane.speaks() && self.healed_at.is_none() && !self.paused {
            lane.spoke_at = Some(at);
            self.net.give(&mut lane.held);
        } else {
            home(&mut self.clients, index).handle_deadline(lane, self.now, &mut self.net);
        }
        self.touched.push(index);
        self.serve();
    }

    /// Ends the window: who is ready runs ahead, and what is past goes to the judges, if it is much. Gives the time of what comes next.
    fn end_window(&mut self, tap: &mut dyn FnMut(&Event)) -> Instant {
        if !self.ready.is_empty() {
            self.width = ahead::next_width(self.width, self.ready.len(), self.widest);
            self.run_ready();
        }
        let next = self.next_time().max(self.now);
        if self.net.events.len() >= ENOUGH {
            self.show_judges(next, tap);
        }
        let phase = if self.healed_at.is_none() { self.drain_from } else { Instant::FAR };
        let end = (next + self.width).min(self.next_deed_at()).min(phase);
        self.window_end = end.max(next + Duration::from_nanos(1));
        next
    }

    fn run_ready(&mut self) {
        let Self { clients, lanes, .. } = self;
        let mut turns: Vec<Turn> = Vec::with_capacity(self.ready.len());
        for index in self.ready.drain(..) {
            let lane = &mut lanes[index as usize];
            if lane.ready.is_some()
                && let Some(client) = clients[index as usize].take()
            {
                turns.push(Turn { index, client, lane: std::mem::take(lane) });
            }
        }
        match &self.crew {
            Some(crew) if turns.len() > 1 => crew.run_ahead(&mut turns, &mut self.scratch),
            _ => turns.iter_mut().for_each(|turn| turn.run(&mut self.scratch)),
        }
        self.future.keep(&mut self.scratch.events);
        for Turn { index, client, lane } in turns {
            self.timers.push(Reverse((lane.armed, index)));
            self.lanes[index as usize] = lane;
            self.clients[index as usize] = Some(client);
        }
    }

    /// Runs one client ahead now, up to (not with) `bound`.
    fn run_one(&mut self, index: u32, bound: Instant) {
        let lane = &mut self.lanes[index as usize];
        lane.ready = None;
        home(&mut self.clients, index).run_ahead(lane, bound, &mut self.scratch);
        self.timers.push(Reverse((lane.armed, index)));
        self.future.keep(&mut self.scratch.events);
    }

    /// Lets a client live through everything before now.
    fn present(&mut self, index: u32) {
        if self.lanes[index as usize].spoke_at.is_some() {
            self.run_one(index, self.now);
        }
    }

    fn next_deed_at(&self) -> Instant {
        self.next_deed.map_or(Instant::FAR, |(at, _)| at)
    }

    fn next_time(&self) -> Instant {
        let client = self.timers.peek().map_or(Instant::FAR, |Reverse((at, _))| *at);
        let broker = match (self.paused, self.broker.next_deadline()) {
            (false, Some(at)) => at,
            _ => Instant::FAR,
        };
        let reads = if self.busy || (!self.paused && self.net.has_input()) { self.free_at } else { Instant::FAR };
        let deed = self.next_deed_at();
        let phase = if self.healed_at.is_none() { self.drain_from } else { self.next_ask };
        client.min(broker).min(reads).min(deed).min(phase)
    }

    /// Sets a client's timer; or lets it run ahead, now or when the window ends.
    fn arm(&mut self, index: u32) {
        let i = index as usize;
        if self.lanes[i].is_waiting() {
            return; // it is ahead, and armed there
        }
        let may = self.lanes[i].is_leaf && self.may_run_ahead && self.healed_at.is_none() && !self.net.has_input();
        if self.lanes[i].spoke_at.is_some() && !may {
            self.present(index);
            return self.arm(index);
        }
        let deed = self.next_deed_at();
        let lane = &mut self.lanes[i];
        let at = match lane.spoke_at {
            Some(spoke_at) => lane.may_speak_at(spoke_at),
            None => {
                let client = home(&mut self.clients, index);
                if may {
                    client.tell(lane);
                }
                client.next_deadline()
            }
        };
        if may {
            let bound = lane.broker_may_act_at(&self.broker).min(deed).min(self.drain_from);
            if at < bound || lane.spoke_at.is_some() {
                if at < self.window_end {
                    return self.run_one(index, bound);
                }
                if lane.ready.replace(bound).is_none() {
                    self.ready.push(index);
                }
                return;
            }
        }
        lane.ready = None;
        if at < lane.armed {
            lane.armed = at;
            self.timers.push(Reverse((at, index)));
        }
    }

    // ---- the broker ----

    /// The broker reads what there is, as fast as it may, and its answers go out, until nothing moves at this instant.
    fn serve(&mut self) {
        while self.free_at <= self.now {
            self.busy = false;
            self.deliver();
            let before = self.broker.work();
            if self.paused || !self.net.feed(&mut self.broker, self.now) {
                break;
            }
            // Its answers are out when it is done.
            self.busy = true;
            self.free_at = self.now + self.takes(before);
        }
        while let Some(client) = self.touched.pop() {
            self.arm(client);
        }
    }

    /// How long it takes for what it has read since.
    fn takes(&self, since: Work) -> Duration {
        let work = self.broker.work();
        let times = |each: Duration, n: u64| each.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX));
        times(self.service, work.packets - since.packets) + times(self.write, work.kept - since.kept)
    }

    fn deliver(&mut self) {
        let now = self.now;
        self.store();
        while let Some(output) = self.broker.poll_output() {
            let (Output::Write(conn) | Output::Close(conn)) = output;
            let mut bytes = self.net.buffer();
            self.broker.take_output(conn, &mut bytes);
            if let Some((client, number)) = self.net.owner(conn) {
                self.touched.push(client);
                let lane = &mut self.lanes[client as usize];
                if lane.spoke_at == Some(now) && !bytes.is_empty() {
                    lane.answers.push((number, std::mem::take(&mut bytes)));
                } else if !bytes.is_empty() {
                    self.present(client);
                    home(&mut self.clients, client).take_from_broker(number, &bytes, now, &mut self.net);
                }
            }
            self.net.recycle(bytes);
            if output == Output::Close(conn) {
                self.broker.forget_connection(conn);
                if let Some((client, number)) = self.net.forget(conn) {
                    self.present(client);
                    home(&mut self.clients, client).broker_left(number, Closed::Finished, now, &mut self.net);
                    self.touched.push(client);
                }
            }
        }
    }

    /// What must survive is stored before anybody is told.
    fn store(&mut self) {
        if let (Some(records), Some(changes)) = (&mut self.records, self.broker.take_changes()) {
            for (key, value) in changes {
                match value {
                    Some(value) => drop(records.insert(key, value)),
                    None => drop(records.remove(&key)),
                }
            }
        }
    }

    fn do_deeds(&mut self, tap: &mut dyn FnMut(&Event)) {
        while let Some((at, deed)) = self.next_deed.filter(|(at, _)| *at <= self.now) {
            self.next_deed = self.to_do.next();
            let mark = |kind, what: &str, lasted| Some(FaultMark { at, lasted, what: what.into(), kind });
            let fault = match deed {
                Deed::Kill => {
                    self.lose_broker(Closed::Reset, self.durable == Durable::Always);
                    mark(FaultKind::BrokerKill, "broker killed", None)
                }
                Deed::Stop => {
                    self.lose_broker(Closed::Finished, self.durable != Durable::No);
                    mark(FaultKind::BrokerRestart, "broker stopped", None)
                }
                Deed::Start => {
                    self.net.listening = true;
                    mark(FaultKind::BrokerStarted, crate::trace::STARTED_AGAIN, None)
                }
                Deed::Pause(lasts) => {
                    self.paused = true;
                    mark(FaultKind::BrokerPause, "broker paused", Some(lasts))
                }
                Deed::Resume => {
                    self.paused = false;
                    None
                }
                Deed::SlowCpu { lasts, runs } => mark(FaultKind::SlowCpu, &idle_in_turns(runs), Some(lasts)),
                Deed::Hold => {
                    self.paused = true;
                    None
                }
                Deed::SlowDisk { lasts, write } => {
                    self.write = write;
                    mark(FaultKind::SlowDisk, "broker's disk slow", Some(lasts))
                }
                Deed::DiskIsWell => {
                    self.write = Duration::ZERO;
                    None
                }
            };
            if let Some(fault) = fault {
                self.show_judges(self.now, tap);
                self.judges().judge.fault(&fault);
                self.faults.push(fault);
            }
        }
    }

    /// The broker's process ends, and all that was in memory with it; what it had not read and not sent is lost in any case.
    fn lose_broker(&mut self, how: Closed, keeps: bool) {
        self.net.listening = false;
        self.paused = false;
        if how == Closed::Finished {
            self.store();
        }
        if let (false, Some(records)) = (keeps, &mut self.records) {
            records.clear();
        }
        self.broker = begin(&self.config, self.records.as_ref(), self.now);
        for (conn, (client, number)) in self.net.clear() {
            self.broker.handle_closed(conn, self.now);
            self.present(client);
            home(&mut self.clients, client).broker_left(number, how, self.now, &mut self.net);
            self.arm(client);
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
        for index in 0..u32::try_from(self.clients.len()).expect("clients have numbers of 32 bits") {
            self.present(index);
            f(home(&mut self.clients, index), &mut self.net);
            self.touched.push(index);
            self.serve();
        }
    }

    /// Nothing is owed, nobody has anything left to do, and what is not owed (QoS 0) has had time to arrive.
    fn is_settled(&mut self, tap: &mut dyn FnMut(&Event)) -> bool {
        self.show_judges(self.now, tap);
        let judges = self.judges();
        judges.judge.owed() == 0
            && self.now.since(self.judges().last_activity) > self.quiet
            && self.next_deed.is_none()
            && self.clients.iter().flatten().all(|c| c.device.backlog() == 0 && c.device.is_settled())
    }

    /// Shows the judges everything that was seen before `until`, and all that the broker's side has seen.
    fn show_judges(&mut self, until: Instant, tap: &mut dyn FnMut(&Event)) {
        self.future.mix_into(&mut self.net.events, until);
        if self.net.events.is_empty() {
            return;
        }
        self.net.events.iter().for_each(tap);
        self.judges();
        match (&self.crew, self.judges.take()) {
            (Some(crew), Some(judges)) => crew.judge(judges, std::mem::take(&mut self.net.events)),
            (_, judges) => {
                self.judges = judges;
                self.judges.as_mut().expect(HOME).look_at(&self.net.events);
                self.net.events.clear();
            }
        }
    }

    /// The judges, when they have seen all that they were shown.
    fn judges(&mut self) -> &mut Judges {
        if let (None, Some(crew)) = (&self.judges, &self.crew) {
            let (judges, mut empty) = crew.judged();
            if self.net.events.is_empty() {
                std::mem::swap(&mut self.net.events, &mut empty);
            }
            self.judges = Some(judges);
        }
        let judges = self.judges.as_mut().expect(HOME);
        self.figures = judges.figures();
        judges
    }

    fn progress(&self) -> Progress {
        let Figures { connected, sent, acked, delivered, owed, breaches } = self.figures;
        Progress {
            now: self.now,
            drain_from: self.drain_from,
            end: self.healed_at.unwrap_or(self.drain_from) + self.drain,
            draining: self.healed_at.is_some(),
            connected,
            clients: self.clients.len() as u64,
            sent,
            acked,
            delivered,
            owed,
            breaches,
        }
    }

    /// Ends every client, and gives what was gathered.
    pub fn end(mut self, tap: &mut dyn FnMut(&Event)) -> End {
        let now = self.now;
        for index in std::mem::take(&mut self.ready) {
            self.present(index); // a user ended it within a window
        }
        self.show_judges(now, tap);
        let judges = self.judges();
        judges.judge.drained();
        judges.recorder.drained();
        for client in self.clients.iter_mut().flatten() {
            client.with_io(now, &mut self.net, |device, io| device.handle_end(now, io));
        }
        self.show_judges(now, tap);
        self.judges();
        let mut wire: Vec<Option<WireCost>> = vec![None; self.groups];
        let mut zombies = 0;
        for client in self.clients.iter().flatten() {
            if let Way::Linked(l) = &client.way {
                let cost = l.path.wire();
                let sum = wire[usize::from(client.group)].get_or_insert_default();
                sum.up.add(&cost.up);
                sum.down.add(&cost.down);
                zombies += l.path.zombies_dropped();
            }
        }
        self.faults.sort_by_key(|f| f.at);
        let judges = self.judges.take().expect(HOME);
        let Self { faults, drain_from, .. } = self;
        End { judges, faults, wire, zombies, drain_from, ended: now }
    }
}

/// Clients are away only while they run ahead, and the judges only while nobody asks for them.
const HOME: &str = "it is at home between the windows";

fn home(clients: &mut [Option<Box<Client>>], index: u32) -> &mut Client {
    clients[index as usize].as_mut().expect(HOME)
}

/// A broker at its start: with a new store, that of an earlier one, or none.
fn begin(config: &Config, records: Option<&Records>, now: Instant) -> Broker {
    let restored = |r| Broker::restore(config.clone(), r, 0, now).unwrap_or_else(|e| panic!("its own records: {e}"));
    records.map_or_else(|| Broker::new(config.clone()), restored)
}
