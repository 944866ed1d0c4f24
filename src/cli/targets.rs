//! `squall targets`.

use super::{exit, signals, target_error, way::WayArgs};
use crate::target::ending::Scratch;
use crate::target::manifest::Manifest;
use crate::target::stop::Stop;
use crate::target::{Target, TargetError, Wish, exchange, install, way::Way};

/// Arguments of `squall targets`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Install brokers: Debian packages (as root, or with sudo), and what their manifests build, in a cache
    Install {
        /// Names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Start brokers, exchange a message at each QoS, stop them
    Check {
        /// Names, or container:IMAGE
        #[arg(required = true)]
        names: Vec<String>,
        /// Also kill -9 with 100 messages owed to an offline session, start again, and hold what comes back against what
        /// the manifest declares
        #[arg(long)]
        kill: bool,
        #[command(flatten)]
        way: WayArgs,
    },
}

pub(super) fn run(args: &Args) -> u8 {
    if args.command.is_some() {
        signals::end_at_once();
    }
    match &args.command {
        None => list(),
        Some(Command::Install { names }) => worst(names.iter().map(|n| install(n))),
        Some(Command::Check { names, kill, way }) => {
            let way = way.way(Vec::new());
            worst(names.iter().map(|n| check(n, *kill, &way)))
        }
    }
}

/// All are tried; the code of the first that failed.
fn worst(results: impl Iterator<Item = Result<u8, TargetError>>) -> u8 {
    let codes = results.map(|result| result.unwrap_or_else(|error| target_error(&error)));
    codes.fold(exit::OK, |first, code| if first == exit::OK { code } else { first })
}

fn list() -> u8 {
    let mut code = exit::OK;
    for (name, manifest) in Manifest::all() {
        match manifest {
            Ok(manifest) => {
                let state = match manifest.missing() {
                    None => manifest.version().unwrap_or_else(|| "installed".into()),
                    Some(missing) => format!("missing: {missing}   ({})", manifest.how_to_install()),
                };
                println!("{name:<18} {state}\n{:<18} {}", "", manifest.about);
            }
            Err(error) => {
                println!("{name:<18} its manifest is wrong");
                code = target_error(&error);
            }
        }
    }
    println!("{:<18} any image of docker or podman, on this machine or to be fetched", "container:IMAGE");
    println!("{:<18} any broker at an address", "mqtt://...");
    code
}

fn install(name: &str) -> Result<u8, TargetError> {
    let manifest = Manifest::find(name)?;
    install::install(&manifest)?;
    println!("{name} is installed{}", manifest.version().map_or(String::new(), |v| format!(": {v}")));
    Ok(exit::OK)
}

fn check(name: &str, kill: bool, way: &Way) -> Result<u8, TargetError> {
    let (scratch, stop) = (Scratch::new("check")?, Stop::default());
    let folder = scratch.path();
    let wish = Wish { target: name, remote: false, load: "some messages", defects: &[], folder, way, stop: &stop };
    let mut target = Target::prepare(&wish)?;
    println!("{} answers on {}", target.name, target.endpoints.usual().addr);
    if let Some(note) = &target.note {
        println!("  {note}");
    }
    let mut held = true;
    for qos in 0..=2 {
        let result = exchange::exchange(&target, qos);
        let highest = target.promises.max_qos;
        held &= match &result {
            Ok(exchanged) => exchanged.keeps_its_word(qos, highest),
            Err(_) => highest.is_some_and(|highest| qos > highest),
        };
        println!("  QoS {qos}: {}", result.map_or_else(|why| format!("failed: {why}"), |exchanged| exchanged.words));
    }
    if kill {
        let owed = exchange::kill_with_owed(&mut target, 100)?;
        held &= owed.keeps_its_word();
        println!("  {owed}");
    }
    for note in target.end() {
        println!("  {note}");
    }
    Ok(if held { exit::OK } else { exit::BROKEN })
}
