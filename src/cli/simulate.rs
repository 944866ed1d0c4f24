//! `squall simulate`.

use super::run::{Display, Story, engine, tell};
use super::{colour, exit, signals};
use crate::broker::defects::Strike;
use crate::report::{self, TargetInfo, TargetKind};
use crate::run::captures::Captures;
use crate::scenario::{self, units};
use crate::simulate::{self, Durable, Settings};
use crate::time::Duration;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Arguments of `squall simulate`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Scenario file
    file: PathBuf,
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
    defect: Vec<Strike>,
    /// How long the broker takes for each packet that it reads, like "50 us"
    #[arg(long, value_name = "TIME", default_value = "0 s", value_parser = service)]
    service: Duration,
    /// The broker keeps what it knew: over an orderly restart alone, or always (over a kill too)
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "always", value_parser = durable)]
    durable: Option<Durable>,
    /// Write the packets of this sensor's link, or of a whole fleet's, to packets.pcapng (Wireshark opens it)
    #[arg(long, value_name = "SENSOR")]
    pcap: Vec<String>,
}

pub(super) fn durable(text: &str) -> Result<Durable, String> {
    match text {
        "restart" => Ok(Durable::Restart),
        "always" => Ok(Durable::Always),
        _ => Err("expected restart or always".to_owned()),
    }
}

fn service(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|expected| format!("expected {expected}"))
}

pub(super) fn run(args: &Args) -> u8 {
    let scenario = match scenario::load(&args.file) {
        Ok(scenario) => scenario,
        Err(errors) => {
            eprint!("{}", errors.render(colour(&std::io::stderr())));
            return exit::USAGE;
        }
    };
    if let Err(code) = super::run::only_in_real_time(&scenario) {
        return code;
    }
    let captures = match Captures::of(&args.pcap, &scenario) {
        Ok(captures) => captures,
        Err(why) => {
            eprintln!("squall: --pcap: {why}");
            return exit::USAGE;
        }
    };
    let folder = match report::create_folder(&args.out, &scenario.name) {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("squall: {error}");
            return exit::USAGE;
        }
    };
    let seed = args.seed.unwrap_or(scenario.seed);
    let settings = Settings {
        seed,
        strict: args.strict,
        defects: args.defect.clone(),
        service: args.service,
        durable: args.durable.unwrap_or_default(),
        threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        captures: captures.clone(),
    };
    let stop = signals::watch();
    let mut display = Display::by_wall_clock();
    let mut outcome = simulate::simulate(&scenario, &settings, |p| {
        display.show(p);
        stop.asked() == 0
    });
    display.clear();
    outcome.notes.extend(captures.write(&folder.join("packets.pcapng"), 0));
    let story = Story {
        file: &args.file,
        scenario: &scenario,
        seed,
        started: None,
        target: TargetInfo { name: outcome.promises.broker.name.clone(), version: None, kind: TargetKind::Simulated },
        engine: format!(
            "virtual time; {}; the broker takes {} for each packet it reads",
            engine(&scenario, "").replace("TCP by the kernel, on direct sockets", "no TCP, connections without delay"),
            units::show(args.service)
        ),
        again: again(args, seed),
        folder: &folder,
    };
    tell(&story, &outcome)
}

/// The command that gives the same history again.
fn again(args: &Args, seed: u64) -> String {
    let mut command = format!("squall simulate {} --seed {seed}", args.file.display());
    if args.strict {
        command.push_str(" --strict");
    }
    for strike in &args.defect {
        command.push_str(&format!(" --defect {}:{}", strike.defect, strike.every));
    }
    match args.durable {
        Some(Durable::Always) => command.push_str(" --durable"),
        Some(Durable::Restart) => command.push_str(" --durable=restart"),
        _ => {}
    }
    for name in &args.pcap {
        command.push_str(&format!(" --pcap {name}"));
    }
    if !args.service.is_zero() {
        command.push_str(&format!(" --service \"{}\"", units::show(args.service)));
    }
    command
}
