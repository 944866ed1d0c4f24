//! `squall conform`.

use super::{exit, signals, target_error};
use crate::conform::case::Case;
use crate::conform::output::{self, Tally};
use crate::conform::suite::{self, Verdict};
use crate::mqtt::Version;
use crate::peer::Site;
use crate::target::ending::Scratch;
use crate::target::manifest::{Deviation, Manifest};
use crate::target::stop::Stop;
use crate::target::{Target, TargetError, Wish};
use std::path::{Path, PathBuf};

/// Arguments of `squall conform`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A broker that squall knows (`squall targets`), or an address, mqtt://[user[:password]@]host:port
    /// (or mqtts://, ws://, wss://)
    #[arg(default_value = "reference", value_name = "TARGET")]
    target: String,
    /// One version alone: 3.1.1 or 5.0
    #[arg(long, value_name = "VERSION", value_parser = version)]
    mqtt: Option<Version>,
    /// Only cases whose name or whose statements' numbers contain PATTERN; several if need be
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Say what there is to test, and test nothing
    #[arg(long)]
    list: bool,
    /// Say how many of the standard's statements are tested, and why the others are not
    #[arg(long)]
    coverage: bool,
    /// Write the results as JUnit
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Allow an address that is not on this machine
    #[arg(long)]
    remote: bool,
    /// A deliberate bug of the reference broker (`squall broker --defect list`)
    #[arg(long, value_name = "NAME[:EVERY]")]
    defect: Vec<String>,
    #[command(flatten)]
    way: super::way::WayArgs,
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "3.1.1" => Ok(Version::V311),
        "5.0" | "5" => Ok(Version::V5),
        _ => Err("known: 3.1.1 and 5.0".into()),
    }
}

pub(super) fn run(args: &Args) -> u8 {
    if args.coverage {
        print!("{}", output::coverage());
        return exit::OK;
    }
    let all = crate::conform::all();
    let versions = args.mqtt.map_or(vec![Version::V311, Version::V5], |v| vec![v]);
    let pairs = versions.iter().flat_map(|v| all.iter().map(|c| (c, *v)));
    let cases: Vec<(&Case, Version)> = pairs.filter(|(c, v)| wanted(c, *v, &args.only)).collect();
    if cases.is_empty() {
        eprintln!("squall: no case is called so: squall conform --list");
        return exit::USAGE;
    }
    if args.list {
        list(&cases);
        return exit::OK;
    }
    match conduct(args, &cases) {
        Ok(code) => code,
        Err(error) => target_error(&error),
    }
}

fn wanted(case: &Case, version: Version, only: &[String]) -> bool {
    let statements = case.statements(version);
    let fits = |p: &String| case.name.contains(p.as_str()) || statements.iter().any(|s| s.contains(p.as_str()));
    !statements.is_empty() && (only.is_empty() || only.iter().any(fits))
}

fn list(cases: &[(&Case, Version)]) {
    for (case, version) in cases {
        println!("{:<5} {:<32} {}", suite::name(*version), case.name, case.says);
        println!("{:<5} {:<32} [MQTT-{}]", "", "", case.statements(*version).join("] [MQTT-"));
    }
}

fn conduct(args: &Args, cases: &[(&Case, Version)]) -> Result<u8, TargetError> {
    signals::end_at_once();
    let (scratch, stop) = (Scratch::new("conform")?, Stop::default());
    let way = args.way.way(Vec::new());
    let load = format!("some thousand packets, many of them malformed, in {} cases", cases.len());
    let wish = Wish {
        target: &args.target,
        remote: args.remote,
        load: &load,
        defects: &args.defect,
        folder: scratch.path(),
        way: &way,
        stop: &stop,
    };
    let mut target = Target::prepare(&wish)?;
    if let Some(note) = &target.note {
        println!("{}: {note}", target.name);
    }
    let site = Site::new(target.endpoints.usual().clone(), target.credentials.clone());
    let tag = format!("q{:03x}", std::process::id() & 0xFFF);
    let mut able = Vec::new();
    for version in [Version::V311, Version::V5].into_iter().filter(|v| cases.iter().any(|c| c.1 == *v)) {
        match suite::abilities(&site, version, &tag) {
            Ok(can) => able.push((version, can)),
            Err(why) => println!("MQTT {} is not tested on {}: {why}", suite::name(version), target.name),
        }
    }
    let deviations = deviations(&args.target)?;
    let verdicts = suite::run(&site, &able, cases, &deviations, &tag);
    let died = target.died();
    let code = tell(args, &target.name, &verdicts, &deviations)?;
    for note in target.end() {
        eprintln!("note: {note}");
    }
    if let Some(how) = died {
        eprintln!("squall: the broker did not live to the end: {how}");
        return Ok(if code == exit::BROKEN { code } else { exit::TARGET });
    }
    Ok(code)
}

/// The deviations that a target's manifest admits; an address has no manifest.
fn deviations(target: &str) -> Result<Vec<Deviation>, TargetError> {
    if target.contains("://") || target.starts_with("container:") {
        Ok(Vec::new())
    } else {
        Ok(Manifest::find(target)?.deviates)
    }
}

fn tell(args: &Args, target: &str, verdicts: &[Verdict<'_>], deviations: &[Deviation]) -> Result<u8, TargetError> {
    print!("{}", output::text(target, verdicts, deviations));
    let write = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|e| TargetError::usage(format!("{} cannot be written: {e}", path.display()), ""))
    };
    if let Some(path) = &args.junit {
        write(path, output::junit(target, verdicts))?;
    }
    if let Some(path) = &args.json {
        write(path, output::json(target, verdicts, deviations))?;
    }
    let tally = Tally::of(verdicts);
    Ok(match tally {
        t if t.broken > 0 => exit::BROKEN,
        t if t.unreachable > 0 => exit::TARGET,
        t if t.held + t.deviates == 0 => exit::INCONCLUSIVE,
        _ => exit::OK,
    })
}
