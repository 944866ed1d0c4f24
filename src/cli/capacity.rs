//! `squall capacity`: the highest rate at which a scenario's guarantees and thresholds still hold.

use super::trial::{Common, TrialArgs, Unmeasured, at_rate, conduct, machine};
use super::{colour, exit, signals, target_error};
use crate::report::capacity::{Capacity, Held, Search, Step};
use crate::report::{self, Report};
use crate::scenario::{self, explain, model::Scenario};
use crate::target::{Target, TargetError};
use std::path::Path;

/// Arguments of `squall capacity`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A broker that squall knows, or an address
    #[arg(long, default_value = "reference", value_name = "NAME|URL")]
    target: String,
    /// How near the answer must be to the rate at which something gives, in per cent
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    precision: u8,
    /// Runs at most
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    #[command(flatten)]
    trial: TrialArgs,
}

pub(super) fn run(args: &Args) -> u8 {
    let scenario = match scenario::load_for_real_time(&args.trial.file) {
        Ok(scenario) => scenario,
        Err(errors) => {
            eprint!("{}", errors.render(colour(&std::io::stderr())));
            return exit::USAGE;
        }
    };
    if scenario.fleets.iter().all(|f| f.publish.is_none()) {
        eprintln!("squall: {}: nothing is published, so there is no rate to raise", args.trial.file.display());
        return exit::USAGE;
    }
    if let Err(error) = Target::check(&args.target, args.trial.remote) {
        return target_error(&error);
    }
    let folder = match report::create_folder(&args.trial.out, &format!("{}-capacity", scenario.name)) {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("squall: {error}");
            return exit::USAGE;
        }
    };
    match search(args, &scenario, &folder) {
        Ok(capacity) => write(&capacity, &folder),
        Err(error) => {
            let _ = std::fs::remove_dir(&folder);
            target_error(&error)
        }
    }
}

fn search(args: &Args, scenario: &Scenario, folder: &Path) -> Result<Capacity, TargetError> {
    let stop = signals::watch();
    let common = Common { args: &args.trial, cores: args.trial.keep_to_cores()?, stop: &stop };
    let seed = args.trial.seed.unwrap_or(scenario.seed);
    let mut search = Search::new(f64::from(args.precision) / 100.0);
    let mut steps: Vec<Step> = Vec::new();
    while steps.len() < usize::from(args.runs) && stop.asked() == 0 {
        let Some(factor) = search.next() else { break };
        let Some(faster) = at_rate(scenario, factor) else {
            search.tell(factor, Held::TooFast);
            continue;
        };
        let rate = explain::load(&faster).rate;
        let number = steps.len() + 1;
        eprintln!("{} on {}, run {number}: {rate:.0} messages a second", scenario.name, args.target);
        let own = format!("run-{number}");
        let path = folder.join(&own);
        let result = std::fs::create_dir(&path)
            .map_err(|error| Unmeasured::no_folder(&path, &error))
            .and_then(|()| conduct(&common, &faster, &args.target, seed + number as u64 - 1, &path));
        let step = match result {
            Ok((report, _)) => step(factor, rate, &report, own),
            Err(Unmeasured::NotHad(message, code)) if steps.is_empty() => {
                return Err(TargetError { message, mend: String::new(), usage: code == exit::USAGE });
            }
            Err(Unmeasured::Stopped) => {
                let _ = std::fs::remove_dir_all(&path);
                break;
            }
            Err(unmeasured) => {
                let died = matches!(unmeasured, Unmeasured::DiedInWarmUp(_));
                let held = if died { Held::No } else { Held::Unclear };
                Step { factor, rate, held, why: unmeasured.why(), p99: None, broker_cores: None, folder: own }
            }
        };
        if stop.asked() > 0 {
            break; // what was cut short says nothing
        }
        search.tell(factor, step.held);
        steps.push(step);
    }
    Ok(Capacity::build(scenario, &report::without_passwords(&args.target), seed, machine(), steps, &search))
}

fn step(factor: f64, rate: f64, report: &Report, folder: String) -> Step {
    let held = match report.exit.code {
        exit::OK => Held::Yes,
        exit::INCONCLUSIVE => Held::Unclear,
        _ => Held::No,
    };
    let latency = |key: &str| report.total.latencies.iter().find(|l| l.key == key).map(|l| l.intended.p99);
    Step {
        factor,
        rate,
        held,
        why: report.exit.reason.clone(),
        p99: latency("end_to_end").or_else(|| latency("publish_ack")),
        broker_cores: report.broker.cpu.filter(|_| report.phases.ended > 0.0).map(|cpu| cpu / report.phases.ended),
        folder,
    }
}

fn write(capacity: &Capacity, folder: &Path) -> u8 {
    let mut json = serde_json::to_string_pretty(capacity).expect("it holds only strings, numbers and lists");
    json.push('\n');
    let files = vec![
        ("capacity.json".to_owned(), json.into_bytes()),
        ("summary.md".to_owned(), capacity.markdown().into_bytes()),
    ];
    let written = report::write_files(files, folder);
    print!("{}", capacity.terminal());
    println!("files: {}", folder.display());
    if let Err(errors) = written {
        eprintln!("squall: {errors}");
        return exit::INCONCLUSIVE;
    }
    capacity.exit.code
}
