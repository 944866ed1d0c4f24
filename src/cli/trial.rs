//! One run among several: what `compare` and `capacity` do many times.

use super::run::{Display, Story, kind, networks, report_of, transports, whole_engine};
use super::{exit, way::WayArgs};
use crate::clock::Clock;
use crate::measure::summary::Summary;
use crate::report::{self, Report, TargetInfo};
use crate::run::cores::Split;
use crate::run::{Outcome, Settings};
use crate::scenario::explain;
use crate::scenario::model::Scenario;
use crate::target::stop::Stop;
use crate::target::{Target, TargetError, Wish};
use crate::time::{Duration, Instant, nanos};
use std::path::{Path, PathBuf};

/// The flags that commands of several runs share.
#[derive(clap::Args)]
pub(super) struct TrialArgs {
    /// Scenario file
    pub file: PathBuf,
    /// Allow addresses that are not on this machine
    #[arg(long)]
    pub remote: bool,
    /// Another seed than the file's
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where the report's folder is made
    #[arg(long, default_value = "reports", value_name = "DIR")]
    pub out: PathBuf,
    /// Take no excuse for a loss
    #[arg(long)]
    pub strict: bool,
    /// Load before each run whose figures are thrown away; "0 s" for none
    #[arg(long, default_value = "5 s", value_name = "TIME", value_parser = duration)]
    pub warm_up: Duration,
    /// Cores of harness and broker, like 0-1:2-7; left out: halves where there are at least four, else shared
    #[arg(long, value_name = "HARNESS:BROKER")]
    pub cores: Option<Split>,
    #[command(flatten)]
    pub way: WayArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::scenario::units::duration(text).map_err(|expected| format!("expected {expected}"))
}

impl TrialArgs {
    /// The cores to use. The calling thread, and so every broker it starts, keeps to the broker's.
    ///
    /// # Errors
    /// If the machine has no such cores.
    pub fn keep_to_cores(&self) -> Result<Option<Split>, TargetError> {
        let split = self.cores.clone().or_else(Split::of_this_machine);
        if let Some(split) = &split {
            // The harness' cores are tried first, so that a mistake in them is found now and not in a thread.
            for cores in [&split.harness, &split.broker] {
                cores.keep_to().map_err(|error| {
                    TargetError::usage(
                        format!("cores {cores} cannot be kept to: {error}"),
                        "name cores of this machine",
                    )
                })?;
            }
        }
        Ok(split)
    }
}

/// What is the same for all runs.
pub(super) struct Common<'a> {
    pub args: &'a TrialArgs,
    pub cores: Option<Split>,
    /// Counts Ctrl-C.
    pub stop: &'a Stop,
}

/// Why a trial has no figures.
#[derive(Debug)]
pub(super) enum Unmeasured {
    /// The broker could not be had, or what the trial needs; that says nothing of any rate. With the exit code that says so.
    NotHad(String, u8),
    /// The broker did not survive its warm-up: at that load it gave. How it died.
    DiedInWarmUp(String),
    /// The user wanted an end before anything was measured: that says nothing of anybody.
    Stopped,
}

impl Unmeasured {
    /// In words.
    pub fn why(&self) -> String {
        match self {
            Self::NotHad(why, _) => why.clone(),
            Self::DiedInWarmUp(how) => format!("the broker died in the warm-up: {how}"),
            Self::Stopped => "stopped by the user".to_owned(),
        }
    }

    /// The exit code that says so.
    pub fn code(&self) -> u8 {
        match self {
            Self::NotHad(_, code) => *code,
            Self::DiedInWarmUp(_) => exit::TARGET,
            Self::Stopped => exit::INCONCLUSIVE,
        }
    }

    /// A trial's own folder could not be made.
    pub fn no_folder(path: &Path, error: &std::io::Error) -> Self {
        Self::NotHad(format!("{} could not be made: {error}", path.display()), exit::INCONCLUSIVE)
    }
}

impl From<TargetError> for Unmeasured {
    fn from(error: TargetError) -> Self {
        let mend = if error.mend.is_empty() { String::new() } else { format!(" ({})", error.mend) };
        Self::NotHad(format!("{}{mend}", error.message), if error.usage { exit::USAGE } else { exit::TARGET })
    }
}

/// Takes away what only the broker needed, however a trial ends.
struct Tidy<'a>(&'a Path);

impl Drop for Tidy<'_> {
    fn drop(&mut self) {
        Target::tidy(self.0);
    }
}

/// One run: on a broker that is started for it alone (or at its address), warmed up, measured, stopped; its own report is
/// written to `folder`.
///
/// # Errors
/// Why the broker could not be had, or that its warm-up killed it, or that the user wanted no more.
pub(super) fn conduct(
    common: &Common<'_>,
    scenario: &Scenario,
    named: &str,
    seed: u64,
    folder: &Path,
) -> Result<(Report, Summary), Unmeasured> {
    let Common { args, cores, stop } = common;
    if scenario.engine.needs_namespaces() && !args.warm_up.is_zero() {
        // Its networks serve one run only.
        let message = format!("engine \"{}\" cannot be warmed up", scenario.engine.name());
        return Err(TargetError::usage(message, "add --warm-up \"0 s\"").into());
    }
    let load = explain::load(scenario);
    let load = format!("about {:.0} messages, {:.0} a second, from {} clients", load.messages, load.rate, load.clients);
    let way = args.way.way(transports(scenario));
    let wish = Wish { target: named, remote: args.remote, load: &load, defects: &[], folder, way: &way, stop };
    let tidy = Tidy(folder); // when the target is dropped
    let prepared = Target::prepare_in(&wish, networks(scenario, 0)?);
    let mut target = prepared.map_err(|error| if stop.asked() > 0 { Unmeasured::Stopped } else { error.into() })?;
    let congestion = target.networks.as_ref().map_or_else(String::new, |n| n.congestion.clone());
    let cores = cores.as_ref().map(|split| split.harness.clone());
    let at_rest = target.sample(Instant::ZERO);
    let mut run = |scenario: &Scenario, clean: bool| -> Result<Outcome, TargetError> {
        let mut display = Display::new();
        let settings = Settings { seed, strict: args.strict, clean, cores: cores.clone(), ..Settings::default() };
        let outcome = crate::run::run(scenario, &mut target, settings, |p| display.show(p), || stop.asked());
        display.clear();
        outcome
    };
    let mut before = Vec::new();
    if !args.warm_up.is_zero() {
        let warmed = run(&warming(scenario, args.warm_up), true)?;
        if let Some(how) = warmed.died {
            return Err(Unmeasured::DiedInWarmUp(how));
        }
        if stop.asked() > 0 {
            return Err(Unmeasured::Stopped);
        }
        before.extend(warmed.notes.iter().map(|note| format!("in the warm-up: {note}")));
    }
    let started = Clock::wall_nanos() / 1_000_000_000;
    let mut outcome = run(scenario, false)?;
    outcome.summary.at_rest = at_rest;
    outcome.notes.splice(..0, before);
    outcome.notes.extend(args.way.notes());
    outcome.notes.extend(target.note.clone());
    outcome.notes.extend(target.end());
    drop(tidy);
    let story = Story {
        file: &args.file,
        scenario,
        seed,
        started: Some(started),
        target: TargetInfo { name: target.name.clone(), version: None, kind: kind(&target, named) },
        engine: whole_engine(scenario, &congestion, target.endpoints.usual()),
        again: format!(
            "squall run {} --target {} --seed {seed}{}",
            args.file.display(),
            report::without_passwords(named),
            args.way.again()
        ),
        folder,
    };
    let report = report_of(&story, &outcome);
    if let Err(errors) = report::write_all(&report, &outcome.summary, folder) {
        eprintln!("squall: {errors}");
    }
    Ok((report, outcome.summary))
}

/// The same load for a short time, and nothing done to the broker.
fn warming(scenario: &Scenario, duration: Duration) -> Scenario {
    let drain = scenario.drain.min(Duration::from_secs(10));
    Scenario { duration, drain, faults: Vec::new(), ..scenario.clone() }
}

/// The machine in general terms: `2 cores, 23 GiB, linux`.
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kib: u64 = text.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
        Some(format!(", {} GiB", kib / 1024 / 1024))
    });
    format!("{cores} cores{}, {}", memory.unwrap_or_default(), std::env::consts::OS)
}

/// The same scenario at another rate: every schedule's gaps divided by `factor`. None if a period would be shorter than
/// the load loops' tick.
pub(super) fn at_rate(scenario: &Scenario, factor: f64) -> Option<Scenario> {
    use crate::scenario::model::Rhythm;
    let mut scenario = scenario.clone();
    let tick = scenario.tick;
    for schedule in scenario.fleets.iter_mut().filter_map(|f| f.publish.as_mut()).map(|p| &mut p.schedule) {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let faster = |gap: Duration| Duration::from_nanos(libm::round(nanos(gap) as f64 / factor) as u64);
        schedule.rhythm = match schedule.rhythm {
            Rhythm::Every(gap) => Rhythm::Every(Some(faster(gap)).filter(|gap| *gap >= tick)?),
            Rhythm::Poisson(gap) => Rhythm::Poisson(Some(faster(gap)).filter(|gap| *gap >= tick)?),
        };
    }
    Some(scenario)
}
