//! `squall run`.

use super::{colour, exit, signals, target_error};
use crate::clock::Clock;
use crate::link::Engine;
use crate::netns::{self, Networks};
use crate::report::{self, Report, ScenarioInfo, TargetInfo, TargetKind};
use crate::run::captures::Captures;
use crate::run::{Outcome, Progress, Settings, load_loops};
use crate::scenario::model::{FaultAction, Scenario};
use crate::scenario::{self, explain};
use crate::target::stop::Stop;
use crate::target::stream::Endpoint;
use crate::target::{Target, TargetError, Wish};
use crate::transport::Kind;
use std::collections::BTreeSet;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Arguments of `squall run`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Scenario file
    file: PathBuf,
    /// A broker that squall knows (`squall targets`), or container:IMAGE, or an address, mqtt://[user[:password]@]host:port
    /// (or mqtts://, ws://, wss://)
    #[arg(long, default_value = "reference", value_name = "NAME|URL")]
    target: String,
    /// Allow an address that is not on this machine
    #[arg(long)]
    remote: bool,
    /// Another seed than the file's
    #[arg(long)]
    seed: Option<u64>,
    /// Where the report's folder is made
    #[arg(long, default_value = "reports", value_name = "DIR")]
    out: PathBuf,
    /// Take no excuse for a loss
    #[arg(long)]
    strict: bool,
    /// A deliberate bug of the reference broker (`squall broker --defect list`)
    #[arg(long, value_name = "NAME[:EVERY]")]
    defect: Vec<String>,
    /// Load loops (threads); 0: as many as fit
    #[arg(long, default_value_t = 0, value_name = "N")]
    loops: usize,
    /// Who speaks TCP on links, instead of the file's engine
    #[arg(long, value_name = "NAME", value_parser = engine_named)]
    engine: Option<Engine>,
    /// Write the packets of this sensor's link, or of a whole fleet's, to packets.pcapng (Wireshark opens it)
    #[arg(long, value_name = "SENSOR")]
    pcap: Vec<String>,
    #[command(flatten)]
    way: super::way::WayArgs,
}

pub(super) fn run(args: &Args) -> u8 {
    let mut scenario = match scenario::load_for_real_time(&args.file) {
        Ok(scenario) => scenario,
        Err(errors) => {
            eprint!("{}", errors.render(colour(&std::io::stderr())));
            return exit::USAGE;
        }
    };
    scenario.engine = args.engine.unwrap_or(scenario.engine);
    let captures = match Captures::of(&args.pcap, &scenario) {
        Ok(captures) => captures,
        Err(why) => {
            eprintln!("squall: --pcap: {why}");
            return exit::USAGE;
        }
    };
    // The folder first: a run whose report cannot be written is not worth its load.
    let folder = match report::create_folder(&args.out, &scenario.name) {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("squall: {error}");
            return exit::USAGE;
        }
    };
    let stop = signals::watch();
    match conduct(args, &scenario, &captures, &folder, &stop) {
        Ok(code) => code,
        Err(_) if stop.asked() > 0 => {
            eprintln!("squall: stopped by the user before {} answered; nothing was measured", args.target);
            let _ = fs::remove_dir_all(&folder);
            exit::INCONCLUSIVE
        }
        Err(error) => {
            let code = target_error(&error);
            // Nothing was measured: only a broker's log is worth keeping.
            Target::tidy(&folder);
            let _ = fs::remove_dir(&folder);
            code
        }
    }
}

fn conduct(
    args: &Args,
    scenario: &Scenario,
    captures: &Captures,
    folder: &Path,
    stop: &Stop,
) -> Result<u8, TargetError> {
    let seed = args.seed.unwrap_or(scenario.seed);
    let load = explain::load(scenario);
    let load = format!("about {:.0} messages, {:.0} a second, from {} clients", load.messages, load.rate, load.clients);
    let way = args.way.way(transports(scenario));
    let wish =
        Wish { target: &args.target, remote: args.remote, load: &load, defects: &args.defect, folder, way: &way, stop };
    let mut target = Target::prepare_in(&wish, networks(scenario, args.loops)?)?;
    let congestion = target.networks.as_ref().map_or_else(String::new, |n| n.congestion.clone());
    eprintln!("{} on {}: {load}", scenario.name, target.name);
    if let Some(note) = &target.note {
        eprintln!("note: {note}");
    }
    let epoch = Clock::wall_nanos();
    let started = epoch / 1_000_000_000;
    let settings = Settings {
        seed,
        loops: args.loops,
        strict: args.strict,
        folder: Some(folder.to_owned()),
        captures: captures.clone(),
        ..Settings::default()
    };
    let mut display = Display::new();
    let mut outcome = crate::run::run(scenario, &mut target, settings, |p| display.show(p), || stop.asked())?;
    display.clear();
    outcome.notes.extend(captures.write(&folder.join("packets.pcapng"), epoch));
    outcome.notes.extend(args.way.notes());
    outcome.notes.extend(target.note.clone());
    outcome.notes.extend(target.end());
    for note in &outcome.notes {
        eprintln!("note: {note}");
    }
    Target::tidy(folder);
    let kind = kind(&target, &args.target);
    let story = Story {
        file: &args.file,
        scenario,
        seed,
        started: Some(started),
        target: TargetInfo { name: target.name.clone(), version: None, kind },
        engine: whole_engine(scenario, &congestion, target.endpoints.usual()),
        again: again(args, seed),
        folder,
    };
    Ok(tell(&story, &outcome))
}

/// Where a broker came from.
pub(super) fn kind(target: &Target, named: &str) -> TargetKind {
    match (target.is_launched(), named == "reference") {
        (true, true) => TargetKind::Reference,
        (true, false) => TargetKind::Launched,
        (false, _) => TargetKind::Address,
    }
}

/// What is told of a run, beside its outcome.
pub(super) struct Story<'a> {
    pub file: &'a Path,
    pub scenario: &'a Scenario,
    pub seed: u64,
    /// Seconds since 1970; none in virtual time.
    pub started: Option<u64>,
    pub target: TargetInfo,
    pub engine: String,
    pub again: String,
    pub folder: &'a Path,
}

/// Why virtual time cannot run a scenario: a kernel has its own clock, and the bytes of TLS are never the same twice.
pub(super) fn only_in_real_time(scenario: &Scenario) -> Result<(), u8> {
    if scenario.tests_clients() {
        eprintln!("squall: a client under test exists in real time only: squall run");
        return Err(exit::USAGE);
    }
    if scenario.engine.needs_namespaces() {
        eprintln!("squall: engine = \"{}\" exists in real time only: squall run", scenario.engine.name());
        eprintln!("  or say engine = \"smoltcp\", whose time can be virtual");
        return Err(exit::USAGE);
    }
    match transports(scenario).into_iter().find(|k| *k != Kind::Tcp) {
        None => Ok(()),
        Some(kind) => {
            eprintln!("squall: a fleet says transport = \"{kind}\", which exists in real time only: squall run");
            Err(exit::USAGE)
        }
    }
}

/// The transports that single fleets and subscribers name.
pub(super) fn transports(scenario: &Scenario) -> Vec<Kind> {
    scenario.devices().filter_map(|d| d.transport).collect()
}

/// The report of a run.
pub(super) fn report_of(story: &Story<'_>, outcome: &Outcome) -> Report {
    let mut verdicts = outcome.verdicts.clone();
    verdicts.unseen.extend(outcome.notes.iter().cloned());
    Report::build(report::Inputs {
        scenario: ScenarioInfo {
            name: story.scenario.name.clone(),
            about: story.scenario.about.clone(),
            seed: story.seed,
            file: Some(story.file.display().to_string()),
        },
        target: story.target.clone(),
        engine: story.engine.clone(),
        again: story.again.clone(),
        promises: &outcome.promises,
        verdicts: &verdicts,
        summary: &outcome.summary,
        faults: &outcome.faults,
        started: story.started,
        partial: outcome.partial.clone(),
        target_died: outcome.died.clone(),
    })
}

/// Writes the report and shows its summary; the exit code.
pub(super) fn tell(story: &Story<'_>, outcome: &Outcome) -> u8 {
    let folder = story.folder;
    let report = report_of(story, outcome);
    let written = report::write_all(&report, &outcome.summary, folder);
    let page = folder.join("report.html");
    let options = report::terminal::Options {
        colour: colour(&std::io::stdout()),
        width: 100,
        page: page.is_file().then_some(&page),
    };
    print!("{}", report::terminal::render(&report, options));
    let Err(errors) = written else { return report.exit.code };
    eprintln!("squall: {errors}");
    // Whoever reads the files must not take their absence for success; what was proved stays proved.
    if matches!(report.exit.code, exit::OK | exit::THRESHOLD) { exit::INCONCLUSIVE } else { report.exit.code }
}

/// The network namespaces that the scenario's engine lives in, if it does.
pub(super) fn networks(scenario: &Scenario, loops: usize) -> Result<Option<Networks>, TargetError> {
    let engine = scenario.engine;
    if !engine.needs_namespaces() {
        return Ok(None);
    }
    if scenario.faults.iter().any(|f| matches!(f.action, FaultAction::DropConnections { .. })) {
        let message = format!("engine \"{}\" has no gateway that could drop connections", engine.name());
        return Err(TargetError::usage(message, "take that fault out, or say engine = \"smoltcp\""));
    }
    let Some(mtu) = scenario.links().map(|l| l.spec.mtu).max() else {
        let message = format!("engine \"{}\" speaks TCP on links, and this scenario has none", engine.name());
        return Err(TargetError::usage(message, "give a fleet or a subscriber a link, or leave --engine out"));
    };
    let loops = load_loops(loops, scenario);
    let clients = explain::load(scenario).clients.div_ceil(loops as u64);
    if loops > netns::MAX_LOOPS || clients > netns::MAX_CLIENTS_A_LOOP as u64 {
        let message =
            format!("engine \"{}\" has no addresses for {clients} clients in each of {loops} loops", engine.name());
        let mend = format!("{} loops of {} clients at most (--loops)", netns::MAX_LOOPS, netns::MAX_CLIENTS_A_LOOP);
        return Err(TargetError::usage(message, mend));
    }
    Networks::make(engine, loops, mtu).map(Some).map_err(|denied| TargetError::usage(denied.message, denied.mend))
}

fn engine_named(name: &str) -> Result<Engine, String> {
    Engine::named(name).ok_or_else(|| format!("engines: {}", Engine::NAMES.join(", ")))
}

/// Who speaks TCP, and what lies above it, in a sentence.
pub(super) fn whole_engine(scenario: &Scenario, congestion: &str, usual: &Endpoint) -> String {
    let usual = usual.transport.as_ref().map_or(Kind::Tcp, |t| t.kind());
    let kinds: BTreeSet<Kind> = scenario.devices().map(|d| d.transport.unwrap_or(usual)).collect();
    let plain = kinds.iter().all(|k| *k == Kind::Tcp);
    let names: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
    let over = if plain { String::new() } else { format!("; MQTT over {}", names.join(", ")) };
    engine(scenario, congestion) + &over
}

/// Who speaks TCP, in a sentence; `congestion` is the kernels' congestion control.
pub(super) fn engine(scenario: &Scenario, congestion: &str) -> String {
    let fleets = scenario.fleets.iter().filter(|f| f.device.link.is_some()).map(|f| f.sensors);
    let subscribers = scenario.subscribers.iter().filter(|s| s.device.link.is_some()).map(|s| s.count);
    let links = fleets.chain(subscribers).sum::<u32>();
    let of = if links == 1 { "1 link".to_owned() } else { format!("{links} links") };
    match scenario.engine {
        _ if links == 0 => "TCP by the kernel, on direct sockets".into(),
        Engine::Smoltcp if links == 1 => {
            "TCP by smoltcp on both ends of 1 link; its gateway ends TCP, so the broker itself sees a clean connection"
                .into()
        }
        Engine::Smoltcp => format!(
            "TCP by smoltcp on both ends of {of}; their gateways end TCP, so the broker itself sees clean connections"
        ),
        Engine::SmoltcpKernel => format!(
            "TCP by smoltcp at the sensors' end of {of}, by the broker's own kernel ({congestion}) at the other: it meets the losses"
        ),
        Engine::Kernel => {
            format!("TCP by the kernel ({congestion}) on both ends of {of}: the broker's own meets the losses")
        }
    }
}

/// The command that runs it again; never with a password.
fn again(args: &Args, seed: u64) -> String {
    let target = report::without_passwords(&args.target);
    let mut command = format!("squall run {} --target {target} --seed {seed}", args.file.display());
    if args.strict {
        command.push_str(" --strict");
    }
    if let Some(engine) = args.engine {
        command.push_str(" --engine ");
        command.push_str(engine.name());
    }
    for name in &args.pcap {
        command.push_str(&format!(" --pcap {name}"));
    }
    if args.remote {
        command.push_str(" --remote");
    }
    command.push_str(&args.way.again());
    for defect in &args.defect {
        command.push_str(" --defect ");
        command.push_str(defect);
    }
    command
}

/// Shows where the run is: one line that changes on a terminal, a plain line every five seconds elsewhere.
pub(super) struct Display {
    terminal: bool,
    /// Step of the last line shown.
    last: u64,
    /// In virtual time, steps are of the wall clock, not of the run.
    wall: Option<Clock>,
}

impl Display {
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: u64::MAX, wall: None }
    }

    /// For runs in virtual time: the lines come by the wall clock.
    pub(super) fn by_wall_clock() -> Self {
        Self { wall: Some(Clock::start()), last: 0, ..Self::new() }
    }

    pub(super) fn show(&mut self, p: Progress) {
        let tenths = self.wall.as_ref().map_or(p.now, Clock::now).as_nanos() / 100_000_000;
        let step = if self.terminal { tenths / 2 } else { tenths / 50 };
        if step == self.last {
            return;
        }
        self.last = step;
        let until = if p.draining { p.end } else { p.drain_from };
        let breaches = if p.breaches > 0 { format!(", {} BREACHES", p.breaches) } else { String::new() };
        let line = format!(
            "{:>4.0} s  {} (at most {:.0} s more)  {}/{} connected  {} sent, {} acknowledged, {} delivered, {} owed{breaches}",
            p.now.as_secs_f64(),
            if p.draining { "drain" } else { "load" },
            until.since(p.now).as_secs_f64(),
            p.connected,
            p.clients,
            p.sent,
            p.acked,
            p.delivered,
            p.owed,
        );
        let mut out = std::io::stderr();
        let _ = if self.terminal { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    pub(super) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}
