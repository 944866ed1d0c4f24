//! The command line: arguments as plain data, one file a command.

mod behind;
mod broker;
mod capacity;
mod compare;
mod conform;
mod end;
mod explore;
mod link;
mod links;
mod mind;
mod probe;
mod run;
mod scenario;
mod selftest;
mod signals;
mod simulate;
mod targets;
mod trial;
mod way;

use clap::{Parser, Subcommand};

/// Exit codes; several at once: a proved breach, then 4, 5, 2.
pub mod exit {
    /// Everything held.
    pub const OK: u8 = 0;
    /// A guarantee was broken.
    pub const BROKEN: u8 = 1;
    /// A threshold was missed.
    pub const THRESHOLD: u8 = 2;
    /// The scenario or the arguments are wrong; nothing was started.
    pub const USAGE: u8 = 3;
    /// The target is not to be had, or it died unasked.
    pub const TARGET: u8 = 4;
    /// Inconclusive: the harness was the bottleneck, or there was too little evidence.
    pub const INCONCLUSIVE: u8 = 5;
    /// Something inside squall is broken.
    pub const INTERNAL: u8 = 70;
    /// Nobody reads our output any more: what shells give for SIGPIPE.
    pub const READER_GONE: u8 = 141;
}

#[derive(Parser)]
#[command(name = "squall", version, about = "Fleets of simulated sensors behind lossy links, against an MQTT broker")]
#[command(
    after_help = "Exit codes: 0 all held, 1 a guarantee broken, 2 a threshold missed, 3 scenario or arguments wrong,\n\
    4 target not to be had or died, 5 inconclusive, 70 internal"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a scenario in real time and judge the broker
    Run(run::Args),
    /// Run a scenario on several brokers, one after the other, and put them side by side
    Compare(compare::Args),
    /// Find the highest rate at which a scenario's guarantees and thresholds still hold
    Capacity(capacity::Args),
    /// The same in virtual time, on the built-in broker: the same seed gives the same history, byte by byte
    Simulate(simulate::Args),
    /// Simulate many seeds of a scenario, and make a failure small
    Explore(explore::Args),
    /// Show that each deliberate defect trips its own oracle, and the healthy broker none
    Selftest(selftest::Args),
    /// The conformance suite: statement by statement, against any broker
    Conform(conform::Args),
    /// What brokers can do, measured: a table for one or many, with the exchange behind each cell
    Probe(probe::Args),
    /// The reference broker, for any client
    Broker(broker::Args),
    /// Check, describe or explain scenario files
    Scenario(scenario::Args),
    /// Somebody's own client or firmware behind a lossy link
    Link(link::Args),
    /// The presets of links, and where their numbers come from
    Links(links::Args),
    /// The brokers that squall knows
    Targets(targets::Args),
    #[command(hide = true)]
    Mind(mind::Args),
    #[command(hide = true)]
    End(end::Args),
}

/// Parses the arguments and acts; the exit code.
#[must_use]
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // clap's own code for mistakes is 2, which means something else here.
            return if error.use_stderr() { exit::USAGE } else { exit::OK };
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Capacity(args) => capacity::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Explore(args) => explore::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Conform(args) => conform::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Broker(args) => broker::run(&args),
        Command::Scenario(args) => scenario::run(&args),
        Command::Link(args) => link::run(&args),
        Command::Links(args) => links::run(&args),
        Command::Targets(args) => targets::run(&args),
        Command::Mind(args) => mind::run(&args),
        Command::End(args) => end::run(&args),
    }
}

/// True if a stream is a terminal that wants colour.
fn colour(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Says why a target cannot be had; the exit code.
fn target_error(error: &crate::target::TargetError) -> u8 {
    eprintln!("squall: {}", error.message);
    if !error.mend.is_empty() {
        eprintln!("  {}", error.mend);
    }
    if error.usage { exit::USAGE } else { exit::TARGET }
}
