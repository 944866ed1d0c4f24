//! Runs a scenario in real time: starts the loops and the judges, keeps the phases, does the faults, ends the run.

use super::captures::Captures;
use super::cores::Cores;
use super::deeds::{Deed, deeds, stopped_in_turns};
use super::engine::{self, Engine};
use super::foreign::{Drivers, Manned};
use super::judging::{self, Live, Message};
use super::load_loop::{self, HEALED, Leavings, OVER, RUNNING, Setup};
use super::plan::{Planned, RunPlan};
use super::{cleanup, plan};
use crate::clock::Clock;
use crate::measure::histogram;
use crate::measure::summary::{Harness, ResourceSample, Summary};
use crate::promise::{Phases, Promises};
use crate::scenario::model::Scenario;
use crate::target::{Target, TargetError, resources};
use crate::time::{Duration, Instant};
use crate::trace::{FaultKind, FaultMark, STARTED_AGAIN};
use crate::verdict::outcome::Verdicts;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Sender, channel};

/// A stall of a load loop from which on its figures are not trusted (assumed; a tick is 1 ms).
const STALL: Duration = Duration::from_millis(150);
/// How often the run is looked after (assumed).
const LOOK: Duration = Duration::from_millis(50);
/// How often the broker's process tree is looked at.
const SAMPLING: Duration = Duration::from_secs(1);
/// How often a broker that was started again is asked whether it answers (assumed): as finely is that time known.
const ASK: Duration = Duration::from_millis(5);
/// How late messages may be sent at the 99th percentile (assumed).
const SLIP: Duration = Duration::from_millis(20);

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Same seed: same schedule and same losses.
    pub seed: u64,
    /// Load loops; 0: as many as fit the machine and the load.
    pub loops: usize,
    /// Take no excuse.
    pub strict: bool,
    /// Take away the run's sessions and retained messages although squall started the broker: more runs come on it.
    pub clean: bool,
    /// Where programs under test write what they print; none: nowhere.
    pub folder: Option<std::path::PathBuf>,
    /// The cores that load loops and judges keep to; none: any.
    pub cores: Option<Cores>,
    /// Whose packets are written down.
    pub captures: Captures,
}

/// What a run has come to.
#[derive(Debug)]
pub struct Outcome {
    /// What was promised.
    pub promises: Arc<Promises>,
    /// The verdicts.
    pub verdicts: Verdicts,
    /// The measurements.
    pub summary: Summary,
    /// What was done to the run.
    pub faults: Vec<FaultMark>,
    /// Why the run was cut short, if it was.
    pub partial: Option<String>,
    /// How the target died, if it did unasked.
    pub died: Option<String>,
    /// Things to tell: leftovers, troubles.
    pub notes: Vec<String>,
}

/// Where a run is, for people who watch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Time of the run.
    pub now: Instant,
    /// When the drain begins.
    pub drain_from: Instant,
    /// The latest end.
    pub end: Instant,
    /// In the drain.
    pub draining: bool,
    /// Clients connected, and all.
    pub connected: u64,
    /// All clients.
    pub clients: u64,
    /// Messages.
    pub sent: u64,
    /// Messages.
    pub acked: u64,
    /// First copies.
    pub delivered: u64,
    /// What the broker still owes.
    pub owed: u64,
    /// Breaches so far.
    pub breaches: u64,
}

/// Runs `scenario` against `target`. `watch` is called a few times a second; `stop` is asked as often: 1 asks to end the
/// run early, 2 to leave at once.
///
/// # Errors
/// If the run cannot begin: too few descriptors, faults on a target that is only an address.
pub fn run(
    scenario: &Scenario,
    target: &mut Target,
    settings: Settings,
    mut watch: impl FnMut(Progress),
    stop: impl Fn() -> u8,
) -> Result<Outcome, TargetError> {
    if scenario.faults.iter().any(|f| f.action.needs_the_process()) && !target.is_launched() {
        return target.pause().map(|()| unreachable!("an address has no process"));
    }
    let nonce = nonce();
    let mut planned = plan::plan(scenario, settings.seed, nonce, target.promises.clone(), target.credentials.as_ref());
    settings.captures.attach(&mut planned);
    if settings.strict {
        let mut promises = (*planned.promises).clone();
        promises.strict = true;
        planned.promises = Arc::new(promises);
    }
    descriptors(planned.clients.len())?;
    let leftovers = if target.is_launched() && !settings.clean { Vec::new() } else { leftovers(&planned) };
    let cpu_before = resources::own_cpu();
    let mut conduct = Conduct::begin(scenario, target, settings, planned)?;
    conduct.watch_over(&mut watch, &stop);
    let mut outcome = conduct.finish(cpu_before);
    let left = cleanup::clean(target.endpoints.usual(), &leftovers, Duration::from_secs(20));
    if left > 0 {
        let all = leftovers.len();
        outcome.notes.push(format!(
            "{left} of {all} sessions or retained messages could not be taken away from {}",
            target.name
        ));
    }
    Ok(outcome)
}

/// A mark for this run's messages that no other run is likely to have.
fn nonce() -> u32 {
    let mixed = Clock::wall_nanos() ^ (u64::from(std::process::id()) << 32);
    crate::seed::Stream::named(mixed, &["nonce"]).bits() as u32 | 1
}

/// Raises the limit of open descriptors as far as it goes, and says if that is not enough.
fn descriptors(clients: usize) -> Result<(), TargetError> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let needed = clients as u64 + 64;
    match getrlimit(Resource::Nofile).current {
        Some(have) if have < needed => Err(TargetError::usage(
            format!("{clients} clients need {needed} open descriptors, and {have} are allowed"),
            format!("ulimit -n {needed}, or fewer sensors"),
        )),
        _ => Ok(()),
    }
}

fn leftovers(planned: &RunPlan) -> Vec<cleanup::Leftover> {
    let mut all = Vec::new();
    for Planned { plan, .. } in &planned.clients {
        let leftover = |retained| cleanup::Leftover {
            version: plan.kind.version,
            client_id: plan.client_id.clone(),
            credentials: plan.credentials.clone(),
            retained,
        };
        if plan.kind.persistent {
            all.push(leftover(None));
        }
        if let Some(publishes) = plan.publishes.as_ref().filter(|_| plan.kind.retain) {
            all.push(leftover(Some(publishes.topic.to_string())));
        }
        if let Some(will) = plan.will.as_ref().filter(|w| w.retain) {
            all.push(leftover(Some(will.topic.to_string())));
        }
    }
    all
}

/// A run under way.
struct Conduct<'a> {
    scenario: &'a Scenario,
    target: &'a mut Target,
    engine: Arc<dyn Engine>,
    groups_of_clients: Vec<u16>,
    promises: Arc<Promises>,
    clock: Clock,
    phase: Arc<AtomicU8>,
    live: Arc<Live>,
    messages: Sender<Message>,
    loops: Vec<std::thread::JoinHandle<std::io::Result<Leavings>>>,
    judges: std::thread::JoinHandle<(crate::verdict::Judge, crate::measure::Recorder)>,
    steady_from: Instant,
    drain_from: Instant,
    ended: Instant,
    /// What is still to be done to the broker, by time.
    to_do: Vec<(Instant, Deed)>,
    faults: Vec<FaultMark>,
    samples: Vec<ResourceSample>,
    /// CPU time of processes that are gone, and what they wrote.
    cpu_of_the_gone: Duration,
    written_by_the_gone: u64,
    next_sample: Instant,
    partial: Option<String>,
    died: Option<String>,
    notes: Vec<String>,
    /// Since when the broker, started again, is waited for.
    starting: Option<Instant>,
    /// What it owed when it was last killed or stopped: afterwards the judge may take some of it for lost.
    owed: u64,
    /// The most of that, over all starts.
    owed_at_restart: Option<u64>,
    drivers: Drivers,
    folder: Option<std::path::PathBuf>,
}

impl<'a> Conduct<'a> {
    fn begin(
        scenario: &'a Scenario,
        target: &'a mut Target,
        settings: Settings,
        planned: RunPlan,
    ) -> Result<Self, TargetError> {
        let RunPlan { promises, mut clients, steady_from, drain_from } = planned;
        let mut drivers = Drivers::default();
        let loops = load_loops(settings.loops, scenario);
        let groups_of_clients = clients.iter().map(|c| c.group).collect();
        let at_rest = target.sample(Instant::ZERO);
        let clock = Clock::start();
        let engine: Arc<dyn Engine> = engine::begin(target.networks.take(), &mut clients, clock)?.into();
        let (messages, inbox) = channel();
        let phase = Arc::new(AtomicU8::new(RUNNING));
        let live = Arc::new(Live::default());
        *live.pending.lock().expect("nobody panics while holding it") = vec![None; loops];
        let clients = drivers.man(clients)?;
        let mut shares: Vec<Vec<Manned>> = (0..loops).map(|_| Vec::new()).collect();
        for (i, client) in clients.into_iter().enumerate() {
            shares[i % loops].push(client);
        }
        let (returns, empties): (Vec<_>, Vec<_>) = (0..loops).map(|_| channel()).unzip();
        let judges = {
            let (promises, live) = (Arc::clone(&promises), Arc::clone(&live));
            let cores = settings.cores.clone();
            std::thread::spawn(move || {
                keep_to(cores.as_ref());
                judging::run(&promises, Duration::from_secs(1), &inbox, &returns, &live)
            })
        };
        let setups = shares.into_iter().zip(empties).enumerate().map(|(number, (clients, empties))| Setup {
            number,
            clients,
            groups: promises.groups.len(),
            endpoints: target.endpoints.clone(),
            clock,
            tick: scenario.tick,
            phase: Arc::clone(&phase),
            batches: messages.clone(),
            empties,
            engine: Arc::clone(&engine),
        });
        let spawn = |setup: Setup| {
            let cores = settings.cores.clone();
            std::thread::spawn(move || {
                keep_to(cores.as_ref());
                load_loop::run(setup)
            })
        };
        let loops = setups.map(spawn).collect();
        drivers.begin(clock, &phase);
        Ok(Self {
            scenario,
            target,
            engine,
            groups_of_clients,
            clock,
            phase,
            live,
            messages,
            loops,
            judges,
            steady_from,
            drain_from,
            ended: drain_from,
            to_do: deeds(&scenario.faults),
            faults: promises.faults.clone(),
            promises,
            samples: at_rest.into_iter().collect(),
            cpu_of_the_gone: Duration::ZERO,
            written_by_the_gone: 0,
            next_sample: Instant::ZERO + SAMPLING,
            partial: None,
            died: None,
            notes: Vec::new(),
            starting: None,
            owed: 0,
            owed_at_restart: None,
            drivers,
            folder: settings.folder,
        })
    }

    /// Until the run is over.
    fn watch_over(&mut self, watch: &mut impl FnMut(Progress), stop: &impl Fn() -> u8) {
        let quiet = Duration::from_secs(1).max(plan::longest_round_trip(self.scenario) * 2);
        let mut healed_at = None;
        loop {
            self.wait_a_little();
            let now = self.clock.now();
            self.do_deeds(now);
            self.await_start(now);
            self.drivers.look(now, self.folder.as_deref());
            self.sample(now);
            self.notice_death(now);
            watch(self.progress(now, healed_at));
            match stop() {
                0 => {}
                1 if healed_at.is_none() => {
                    self.partial.get_or_insert_with(|| "stopped by the user".into());
                    self.drain_from = self.drain_from.min(now);
                }
                1 => {}
                _ => break,
            }
            if self.died.is_some() || self.loops.iter().any(std::thread::JoinHandle::is_finished) {
                break;
            }
            let Some(healed) = healed_at else {
                if now >= self.drain_from {
                    healed_at = Some(now);
                    self.phase.store(HEALED, Ordering::Relaxed);
                    self.engine.heal();
                }
                continue;
            };
            if now >= healed + self.scenario.drain || (self.is_settled() && self.is_quiet(now, quiet)) {
                break;
            }
        }
        self.ended = self.clock.now();
        self.notice_silence();
        let _ = self.messages.send(Message::Drained);
        self.phase.store(OVER, Ordering::Relaxed);
    }

    /// Until the next look, or the next deed if that comes before; a broker that is starting is looked at often.
    fn wait_a_little(&self) {
        let longest = if self.starting.is_some() { ASK } else { LOOK };
        let next = self.to_do.first().map_or(LOOK, |(at, _)| at.since(self.clock.now()));
        crate::target::ready::pause(next.clamp(Duration::from_millis(1), longest));
    }

    /// Nothing is owed, and no client has anything left to do.
    fn is_settled(&self) -> bool {
        let pending = self.live.pending.lock().expect("nobody panics while holding it");
        self.to_do.is_empty()
            && self.starting.is_none()
            && self.live.owed.load(Ordering::Relaxed) == 0
            && pending.iter().all(|p| *p == Some(0))
    }

    /// What is not owed (QoS 0) may still be on its way.
    fn is_quiet(&self, now: Instant, quiet: Duration) -> bool {
        now.since(Instant::from_nanos(self.live.last_activity.load(Ordering::Relaxed))) > quiet
    }

    fn progress(&self, now: Instant, healed_at: Option<Instant>) -> Progress {
        let read = |a: &std::sync::atomic::AtomicU64| a.load(Ordering::Relaxed);
        Progress {
            now,
            drain_from: self.drain_from,
            end: healed_at.unwrap_or(self.drain_from) + self.scenario.drain,
            draining: healed_at.is_some(),
            connected: read(&self.live.connected),
            clients: self.promises.clients.len() as u64,
            sent: read(&self.live.sent),
            acked: read(&self.live.acked),
            delivered: read(&self.live.delivered),
            owed: read(&self.live.owed),
            breaches: read(&self.live.breaches),
        }
    }

    fn do_deeds(&mut self, now: Instant) {
        while let Some((at, deed)) = self.to_do.first().copied()
            && at <= now
        {
            self.to_do.remove(0);
            if matches!(deed, Deed::Kill | Deed::Stop) {
                self.owed = self.live.owed.load(Ordering::Relaxed);
                self.take_leave(now);
            }
            let (result, kind, what, lasted) = match deed {
                Deed::Kill => (self.target.kill(), FaultKind::BrokerKill, "broker killed".to_owned(), None),
                Deed::Stop => (self.target.stop(), FaultKind::BrokerRestart, "broker stopped".to_owned(), None),
                Deed::Start => {
                    self.starting = Some(now);
                    self.owed_at_restart = self.owed_at_restart.max(Some(self.owed));
                    (self.target.start_again(), FaultKind::BrokerStarted, STARTED_AGAIN.to_owned(), None)
                }
                Deed::Pause(t) => (self.target.pause(), FaultKind::BrokerPause, "broker paused".to_owned(), Some(t)),
                Deed::SlowCpu { lasts, runs } => (Ok(()), FaultKind::SlowCpu, stopped_in_turns(runs), Some(lasts)),
                Deed::Hold | Deed::Resume => {
                    let done = if deed == Deed::Hold { self.target.pause() } else { self.target.resume() };
                    if let Err(error) = done {
                        self.give_up(now, error.message);
                    }
                    continue;
                }
                // Refused before the run: nobody's disk can be slowed from here.
                Deed::SlowDisk { .. } | Deed::DiskIsWell => continue,
            };
            match result {
                Err(error) if deed == Deed::Start => self.died = Some(error.message),
                Err(error) => return self.give_up(now, error.message),
                Ok(()) => {}
            }
            let fault = FaultMark { at: now, lasted, what, kind };
            let _ = self.messages.send(Message::Fault(fault.clone()));
            self.faults.push(fault);
        }
    }

    /// What was to be done to the broker could not be: from here on this is not the run that was asked for.
    fn give_up(&mut self, now: Instant, why: String) {
        let _ = self.target.resume(); // some of its processes may have been stopped
        self.to_do.clear();
        self.partial.get_or_insert(why);
        self.drain_from = self.drain_from.min(now);
    }

    /// Notices that a broker that was started again answers, or does not in time.
    fn await_start(&mut self, now: Instant) {
        let Some(since) = self.starting else { return };
        match self.target.answers() {
            Ok(true) => {
                self.starting = None;
                let took = self.clock.now().since(since);
                if let Some(fault) = self.faults.iter_mut().rfind(|f| f.kind == FaultKind::BrokerStarted) {
                    fault.lasted = Some(took);
                }
                let took = took.as_secs_f64();
                self.notes.push(format!(
                    "the broker answered again {took:.2} s after it was started again; it had gone with {} deliveries owed",
                    self.owed
                ));
            }
            Ok(false) if now.since(since) > self.target.patience() => {
                let why = format!("it did not answer within {:?} of being started again", self.target.patience());
                self.died.get_or_insert(why);
            }
            Ok(false) => {}
            Err(error) => self.died = Some(error.message),
        }
    }

    /// The last look at processes that are about to go: what they used counts on. What they use to end is not seen.
    fn take_leave(&mut self, now: Instant) {
        self.next_sample = Instant::ZERO;
        self.sample(now);
        if let Some(last) = self.samples.last() {
            self.cpu_of_the_gone = last.cpu;
            self.written_by_the_gone = last.written.unwrap_or(self.written_by_the_gone);
        }
    }

    fn sample(&mut self, now: Instant) {
        if now < self.next_sample {
            return;
        }
        self.next_sample = now + SAMPLING;
        if let Some(mut sample) = self.target.sample(now) {
            sample.cpu += self.cpu_of_the_gone;
            sample.written = sample.written.map(|bytes| bytes + self.written_by_the_gone);
            self.samples.push(sample);
        }
    }

    fn notice_death(&mut self, now: Instant) {
        if let Some(how) = self.target.died() {
            let what = "the broker died".to_owned();
            let fault = FaultMark { at: now, lasted: None, what, kind: FaultKind::BrokerDied };
            self.faults.push(fault);
            self.died = Some(how);
        }
    }

    /// A broker at an address may go and come back, and clients return to it; one that answers nobody at the end is gone.
    fn notice_silence(&mut self) {
        if self.died.is_some() || self.live.connected.load(Ordering::Relaxed) > 0 {
            return;
        }
        if let Some(why) = self.target.silent() {
            let at = Instant::from_nanos(self.live.last_activity.load(Ordering::Relaxed));
            let what = "last sign of life of the broker".to_owned();
            self.faults.push(FaultMark { at, lasted: None, what, kind: FaultKind::BrokerDied });
            let at = at.since(Instant::ZERO).as_secs_f64();
            self.died = Some(format!("nothing came from it after {at:.1} s, and at the end it does not answer: {why}"));
        }
    }

    fn finish(mut self, cpu_before: Duration) -> Outcome {
        let cpu = resources::own_cpu().saturating_sub(cpu_before);
        self.next_sample = Instant::ZERO;
        self.sample(self.ended);
        drop(self.messages);
        let mut leavings = Vec::new();
        for handle in self.loops {
            match handle.join() {
                Ok(Ok(left)) => leavings.push(left),
                Ok(Err(error)) => self.partial = Some(format!("a load loop failed: {error}")),
                Err(_) => self.partial = Some("a load loop panicked: this is a bug in squall".into()),
            }
        }
        self.notes.extend(std::mem::take(&mut self.drivers).end());
        let (judge, recorder) = self.judges.join().expect("the judges do not panic");
        let phases = Phases { steady_from: self.steady_from, drain_from: self.drain_from, ended: self.ended };
        if let Some(how) = &self.died {
            self.partial.get_or_insert_with(|| format!("the broker died: {how}"));
        }
        let verdicts = judge.finish(phases, self.partial.is_none());
        let mut summary = recorder.finish(phases, &verdicts.lost_by_group);
        for (g, group) in summary.groups.iter_mut().enumerate() {
            for wire in leavings.iter().filter_map(|l| l.wire[g]) {
                let sum = group.wire.get_or_insert_default();
                sum.up.add(&wire.up);
                sum.down.add(&wire.down);
            }
        }
        let known = self.engine.finish();
        for (group, wire) in self.groups_of_clients.iter().zip(&known.wire) {
            if let Some(wire) = wire {
                let sum = summary.groups[usize::from(*group)].wire.get_or_insert_default();
                sum.up.add(&wire.up);
                sum.down.add(&wire.down);
            }
        }
        summary.retransmitted = known.retransmitted;
        summary.harness = harness(&leavings, cpu, self.ended.since(Instant::ZERO), &mut self.notes);
        let astray = known.astray + leavings.iter().map(|l| l.refused).sum::<u64>();
        if astray > 0 {
            let what = "packets were lost outside the links: a TUN device's queue was full, or a kernel took none";
            summary.harness.tainted.push(format!("{astray} {what}"));
        }
        summary.broker_cpu = match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) if self.samples.len() > 1 => Some(last.cpu.saturating_sub(first.cpu)),
            _ => None,
        };
        summary.at_rest = self.samples.first().copied().filter(|s| s.at == Instant::ZERO);
        summary.resources = self.samples;
        summary.owed_at_restart = self.owed_at_restart;
        self.faults.sort_by_key(|f| f.at);
        Outcome {
            promises: self.promises,
            verdicts,
            summary,
            faults: self.faults,
            partial: self.partial,
            died: self.died,
            notes: self.notes,
        }
    }
}

/// Cores were checked before the run: a thread that cannot keep to them now is better anywhere than nowhere.
fn keep_to(cores: Option<&Cores>) {
    if let Some(cores) = cores {
        let _ = cores.keep_to();
    }
}

/// One loop carries tens of thousands of messages a second; the broker and the judges want cores too.
pub(crate) fn load_loops(wanted: usize, scenario: &Scenario) -> usize {
    if wanted > 0 {
        return wanted;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = crate::scenario::explain::load(scenario);
    let useful = (load.rate / 20_000.0).max(load.clients as f64 / 10_000.0).ceil().max(1.0);
    (useful as usize).clamp(1, (cores / 2).max(1))
}

fn harness(leavings: &[Leavings], cpu: Duration, wall: Duration, notes: &mut Vec<String>) -> Harness {
    let (mut slip, mut lag) = (histogram(), histogram());
    let (mut stamped, mut unstamped) = (0, 0);
    for l in leavings {
        slip.add(&l.slip).expect("histograms that grow take any value");
        lag.add(&l.lag).expect("histograms that grow take any value");
        stamped += l.stamped;
        unstamped += l.unstamped;
    }
    let mut tainted = Vec::new();
    let stall = Duration::from_nanos(lag.max());
    if stall > STALL {
        tainted.push(format!("a load loop stood still for {} ms", stall.as_millis()));
    }
    let late = Duration::from_nanos(slip.value_at_quantile(0.99));
    if late > SLIP {
        tainted.push(format!("1 % of the messages were noticed more than {} ms late", late.as_millis()));
    }
    for (what, count) in leavings.iter().filter_map(|l| l.trouble.clone()) {
        tainted.push(format!("{count} connections could not be opened here: {what} (descriptors: ulimit -n; local ports: ip_local_port_range)"));
    }
    let zombies: u64 = leavings.iter().map(|l| l.zombies_dropped).sum();
    if zombies > 0 {
        notes.push(format!(
            "{zombies} connections that sensors had left behind were dropped at a gateway: more than 8 on one link"
        ));
    }
    let mut failures = std::collections::BTreeMap::new();
    for (why, count) in leavings.iter().flat_map(|l| &l.failures) {
        *failures.entry(why).or_insert(0) += count;
    }
    notes.extend(failures.iter().map(|(why, count)| format!("{count} connections failed: {why}")));
    Harness {
        slip: (!slip.is_empty()).then_some(slip),
        loop_lag: (!lag.is_empty()).then_some(lag),
        cpu: Some(cpu),
        wall,
        loops: u32::try_from(leavings.len()).unwrap_or(u32::MAX),
        kernel_stamps: stamped > 0,
        stamped: (stamped + unstamped > 0).then(|| stamped as f64 / (stamped + unstamped) as f64),
        tainted,
    }
}
