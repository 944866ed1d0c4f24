//! `squall targets`.

use super::{exit, target_error};
use crate::target::manifest::Manifest;
use crate::target::{Target, TargetError, Wish};
use std::process::Command as Process;

/// Arguments of `squall targets`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Install brokers (Debian packages; needs root)
    Install {
        /// Names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Start a broker, wait until it answers, stop it
    Check {
        /// Name
        name: String,
    },
}

pub(super) fn run(args: &Args) -> u8 {
    let result = match &args.command {
        None => list(),
        Some(Command::Install { names }) => names.iter().try_for_each(|n| install(n)),
        Some(Command::Check { name }) => check(name),
    };
    match result {
        Ok(()) => exit::OK,
        Err(error) => target_error(&error),
    }
}

fn list() -> Result<(), TargetError> {
    for manifest in Manifest::all()? {
        let state = match manifest.program() {
            Ok(_) => manifest.version().unwrap_or_else(|| "installed".into()),
            Err(error) => format!("missing: {}", error.mend),
        };
        println!("{:<14} {state}\n{:<14} {}", manifest.name, "", manifest.about);
    }
    println!("{:<14} any broker at an address", "mqtt://...");
    Ok(())
}

fn install(name: &str) -> Result<(), TargetError> {
    let manifest = Manifest::find(name)?;
    if manifest.program().is_ok() {
        println!("{name} is installed");
        return Ok(());
    }
    let packages = &manifest.install.debian;
    if packages.is_empty() {
        return Err(TargetError::unavailable(format!("the manifest of {name} does not say how to install it"), ""));
    }
    let apt = |arguments: &[&str]| {
        let status = Process::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        status.is_ok_and(|s| s.success())
    };
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages.iter().map(String::as_str));
    // The list of packages may be old: it is fetched anew only then.
    if apt(&arguments) || (apt(&["update"]) && apt(&arguments)) {
        return manifest.program().map(|_| println!("{name} is installed"));
    }
    Err(TargetError::unavailable(format!("apt-get could not install {}", packages.join(" ")), "see its messages above"))
}

fn check(name: &str) -> Result<(), TargetError> {
    let folder = std::env::temp_dir().join(format!("squall-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| TargetError::unavailable(e.to_string(), ""))?;
    let way = crate::target::way::Way::default();
    let wish = Wish { target: name, remote: false, load: "one CONNECT", defects: &[], folder: &folder, way: &way };
    let result = Target::prepare(&wish).map(|mut target| {
        println!("{} answers on {}", target.name, target.addr);
        if let Some(said) = target.stop() {
            println!("{said}");
        }
    });
    let _ = std::fs::remove_dir_all(&folder);
    result
}
