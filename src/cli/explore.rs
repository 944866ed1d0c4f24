//! `squall explore`.

use super::{colour, exit, signals};
use crate::broker::defects::Strike;
use crate::clock::Clock;
use crate::scenario::{self, model::Scenario, write};
use crate::simulate::explore::{Failure, Found, explore};
use crate::simulate::grammar;
use crate::simulate::shrink::shrink;
use crate::simulate::{Durable, Settings};
use crate::time::Instant;
use std::borrow::Cow;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};

/// Arguments of `squall explore`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Scenario file
    #[arg(required_unless_present = "generate", conflicts_with = "generate")]
    file: Option<PathBuf>,
    /// Random scenarios instead of a file: one a seed
    #[arg(long)]
    generate: bool,
    /// How many seeds
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed; by default the file's
    #[arg(long, value_name = "SEED")]
    first: Option<u64>,
    /// Go on after a failure, and list them all
    #[arg(long, alias = "keep-going")]
    all: bool,
    /// Leave the failure as large as it is
    #[arg(long)]
    no_shrink: bool,
    /// Where the shrunk scenario is written; by default NAME-shrunk.toml here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Take no excuse for a loss
    #[arg(long)]
    strict: bool,
    /// A deliberate bug of the reference broker (`squall broker --defect list`)
    #[arg(long, value_name = "NAME[:EVERY]")]
    defect: Vec<Strike>,
    /// The broker keeps what it knew: over an orderly restart alone, or always (over a kill too)
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "always", value_parser = super::simulate::durable)]
    durable: Option<Durable>,
}

pub(super) fn run(args: &Args) -> u8 {
    let scenario = match args.file.as_ref().map(|f| scenario::load(f)).transpose() {
        Ok(scenario) => scenario,
        Err(errors) => {
            eprint!("{}", errors.render(colour(&std::io::stderr())));
            return exit::USAGE;
        }
    };
    if let Some(Err(code)) = scenario.as_ref().map(super::run::only_in_real_time) {
        return code;
    }
    let of_seed = |seed: u64| scenario.as_ref().map_or_else(|| Cow::Owned(generated(seed)), Cow::Borrowed);
    let first = args.first.unwrap_or_else(|| scenario.as_ref().map_or(1, |s| s.seed));
    let settings = Settings {
        seed: first,
        strict: args.strict,
        defects: args.defect.clone(),
        durable: args.durable.unwrap_or_default(),
        ..Settings::default()
    };
    let stop = signals::watch();
    let clock = Clock::start();
    let mut line = Line { terminal: std::io::stderr().is_terminal(), shown: 0 };
    let found = explore(of_seed, &settings, first..first.saturating_add(args.seeds), args.all, |done, failure| {
        if let Some(f) = failure {
            line.clear();
            eprintln!("seed {}: {}", f.seed, f.title);
        }
        let now = clock.now();
        line.show(now, || {
            let pace = done as f64 / now.as_secs_f64();
            let left = args.seeds.saturating_sub(done) as f64 / pace;
            format!("{done} of {} seeds, {pace:.0} a second, at most {left:.0} s more", args.seeds)
        });
        stop.asked() == 0
    });
    line.clear();
    let name = scenario.as_ref().map_or("random scenarios", |s| s.name.as_str());
    tell(name, &found, clock.now().as_secs_f64());
    let Some(failure) = found.failures.first() else {
        return if found.seeds < args.seeds { exit::INCONCLUSIVE } else { exit::OK };
    };
    if args.no_shrink {
        match &args.file {
            Some(file) => {
                println!("again: squall simulate {} --seed {}{}", file.display(), failure.seed, options(args))
            }
            None => println!("again: squall explore --generate --first {} --seeds 1{}", failure.seed, options(args)),
        }
        return exit::BROKEN;
    }
    let settings = Settings { seed: failure.seed, ..settings };
    make_small(args, &of_seed(failure.seed), &settings, failure, || stop.asked() == 0);
    exit::BROKEN
}

/// A line that says how far things are: kept up to date on a terminal, and a new one now and then elsewhere.
struct Line {
    terminal: bool,
    /// The step of the last one.
    shown: u64,
}

impl Line {
    fn show(&mut self, now: Instant, text: impl FnOnce() -> String) {
        let step = now.as_nanos() / if self.terminal { 200_000_000 } else { 5_000_000_000 };
        if step > self.shown {
            self.shown = step;
            let (before, after) = if self.terminal { ("\r\x1b[2K", "") } else { ("", "\n") };
            let mut out = std::io::stderr();
            let _ = write!(out, "{before}{}{after}", text());
            let _ = out.flush();
        }
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}

fn tell(name: &str, found: &Found, seconds: f64) {
    let (seeds, failures) = (found.seeds, found.failures.len());
    println!("{}: {seeds} seeds in {seconds:.1} s, {:.0} a second; {failures} failed", name, seeds as f64 / seconds);
    if failures == 0 && seeds > 0 {
        println!("  at most {:.2} % of seeds fail (95 %)", 300.0 / seeds as f64);
    }
    println!("  hard paths walked:");
    let wide = found.hard_paths.iter().map(|(_, n)| n.to_string().len()).max().unwrap_or(0);
    for (name, count) in &found.hard_paths {
        println!("    {count:>wide$}  {name}");
    }
    for f in found.failures.iter().take(20) {
        let names: Vec<&str> = f.broken.iter().map(|g| g.title()).collect();
        println!("  seed {:<8} {}: {}", f.seed, names.join(", "), f.title);
    }
    if failures > 20 {
        println!("  and {} more", failures - 20);
    }
}

/// The random scenario of a seed.
fn generated(seed: u64) -> Scenario {
    let text = grammar::generate(seed);
    scenario::parse("random.toml", &text)
        .unwrap_or_else(|e| panic!("the grammar makes legal files: {}", e.render(false)))
}

/// Where the scenario came from.
fn origin(args: &Args) -> String {
    args.file.as_ref().map_or_else(|| "a random scenario".to_owned(), |f| f.display().to_string())
}

fn options(args: &Args) -> String {
    let strict = if args.strict { " --strict" } else { "" };
    let defects = args.defect.iter().map(|s| format!(" --defect {}:{}", s.defect, s.every));
    let durable = match args.durable {
        Some(Durable::Always) => " --durable",
        Some(Durable::Restart) => " --durable=restart",
        Some(Durable::No) | None => "",
    };
    format!("{strict}{durable}{}", defects.collect::<String>())
}

fn make_small(args: &Args, scenario: &Scenario, settings: &Settings, failure: &Failure, go_on: impl Fn() -> bool) {
    let guarantee = failure.broken[0];
    let mut line = Line { terminal: std::io::stderr().is_terminal(), shown: 0 };
    let clock = Clock::start();
    let mut small = shrink(scenario, settings, guarantee, |tries| {
        line.show(clock.now(), || format!("making it small: {tries} simulations"));
        go_on()
    });
    line.clear();
    let default = PathBuf::from(format!("{}-shrunk.toml", scenario.name));
    let out: &Path = args.out.as_deref().unwrap_or(&default);
    let again = format!("squall simulate {}{}", out.display(), options(args));
    small.scenario.about = format!(
        "Shrunk from {} (seed {}). It must show that {} breaks:\n{again}",
        origin(args),
        failure.seed,
        guarantee.title()
    );
    let sensors: u32 = small.scenario.fleets.iter().map(|f| f.sensors).sum();
    match std::fs::write(out, write::write(&small.scenario)) {
        Ok(()) => println!(
            "shrunk in {} simulations to {sensors} sensors, {}, {} faults: {}\nagain: {again}",
            small.tries,
            scenario::units::show(small.scenario.duration),
            small.scenario.faults.len(),
            out.display()
        ),
        Err(error) => eprintln!("squall: {} cannot be written: {error}", out.display()),
    }
}
