//! `squall compare`.

use super::trial::{Common, TrialArgs, Unmeasured, conduct, machine};
use super::{colour, exit, signals, target_error};
use crate::clock::Clock;
use crate::report::comparison::{Comparison, Conditions, Trial, html, tables};
use crate::report::{self, ScenarioInfo};
use crate::scenario::{self, model::Scenario};
use crate::target::{Target, TargetError};
use std::path::Path;

/// Arguments of `squall compare`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Brokers, each a name or an address; all ratios are to the first
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME|URL,...")]
    targets: Vec<String>,
    /// How often each of them; from 6 on, ratios have a 95 % interval
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeat: u16,
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
    let mistakes = mistakes(args);
    if !mistakes.is_empty() {
        return mistakes.iter().map(target_error).max().unwrap_or(exit::USAGE);
    }
    let folder = match report::create_folder(&args.trial.out, &format!("{}-compared", scenario.name)) {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("squall: {error}");
            return exit::USAGE;
        }
    };
    match compare(args, &scenario, &folder) {
        Ok(comparison) => write(&comparison, &folder),
        Err(error) => {
            let _ = std::fs::remove_dir(&folder);
            target_error(&error)
        }
    }
}

/// What is wrong with the targets, before any of them is started.
fn mistakes(args: &Args) -> Vec<TargetError> {
    let mut all: Vec<TargetError> =
        args.targets.iter().filter_map(|t| Target::check(t, args.trial.remote).err()).collect();
    for (n, target) in args.targets.iter().enumerate() {
        if args.targets[..n].contains(target) {
            all.push(TargetError::usage(format!("\"{target}\" is named twice"), "name each broker once"));
        }
    }
    all
}

fn compare(args: &Args, scenario: &Scenario, folder: &Path) -> Result<Comparison, TargetError> {
    let stop = signals::watch();
    let common = Common { args: &args.trial, cores: args.trial.keep_to_cores()?, stop: &stop };
    let seed = args.trial.seed.unwrap_or(scenario.seed);
    let (targets, repeats) = (args.targets.len(), usize::from(args.repeat));
    let started = Clock::wall_nanos() / 1_000_000_000;
    let mut trials = Vec::new();
    for repeat in 0..repeats {
        for place in 0..targets {
            if stop.asked() > 0 {
                break;
            }
            let target = turn(repeat, place, targets);
            let name = &args.targets[target];
            let done = trials.len() + 1;
            eprintln!("{} on {name}, repeat {} ({done} of {})", scenario.name, repeat + 1, targets * repeats);
            let own = format!("{}-{}", report::file_name(&report::without_passwords(name)), repeat + 1);
            let path = folder.join(&own);
            let result = std::fs::create_dir(&path)
                .map_err(|error| Unmeasured::no_folder(&path, &error))
                // Another seed each time: what is common to all repeats is the broker, not one draw of the losses.
                .and_then(|()| conduct(&common, scenario, name, seed + repeat as u64, &path));
            if matches!(result, Err(Unmeasured::Stopped)) {
                let _ = std::fs::remove_dir_all(&path);
                break;
            }
            let result = result.map_err(|unmeasured| (unmeasured.why(), unmeasured.code()));
            if let Err((why, _)) = &result {
                eprintln!("squall: {why}");
            }
            trials.push(Trial { target, repeat, result, folder: own });
        }
    }
    let conditions = Conditions {
        scenario: ScenarioInfo {
            name: scenario.name.clone(),
            about: scenario.about.clone(),
            seed,
            file: Some(args.trial.file.display().to_string()),
        },
        targets: args.targets.iter().map(|t| report::without_passwords(t)).collect(),
        repeats,
        warm_up: args.trial.warm_up.as_secs_f64(),
        cores: common.cores.map(|split| split.to_string()),
        machine: machine(),
        started,
        again: again(args, seed),
    };
    let mut comparison = Comparison::build(conditions, &trials);
    if stop.asked() > 0 && matches!(comparison.exit.code, 0 | 2) {
        comparison.exit.code = exit::INCONCLUSIVE;
        comparison.exit.reason = "inconclusive: stopped by the user".to_owned();
    }
    Ok(comparison)
}

/// Whose turn it is: each second repeat goes through the brokers backwards, and each pair of repeats begins one further on, so that no
/// broker is always the first, or always after the same one.
fn turn(repeat: usize, place: usize, targets: usize) -> usize {
    let place = if repeat % 2 == 1 { targets - 1 - place } else { place };
    (place + repeat / 2) % targets
}

fn again(args: &Args, seed: u64) -> String {
    let targets: Vec<String> = args.targets.iter().map(|t| report::without_passwords(t)).collect();
    format!(
        "squall compare {} --targets {} --repeat {} --seed {seed} --warm-up \"{}\"{}{}{}{}",
        args.trial.file.display(),
        targets.join(","),
        args.repeat,
        crate::scenario::units::show(args.trial.warm_up),
        if args.trial.strict { " --strict" } else { "" },
        if args.trial.remote { " --remote" } else { "" },
        args.trial.cores.as_ref().map(|c| format!(" --cores {}:{}", c.harness, c.broker)).unwrap_or_default(),
        args.trial.way.again(),
    )
}

fn write(comparison: &Comparison, folder: &Path) -> u8 {
    let page = folder.join("comparison.html");
    let mut json =
        serde_json::to_string_pretty(comparison).expect("a comparison holds only strings, numbers and lists");
    json.push('\n');
    let files = vec![
        ("comparison.json".to_owned(), json.into_bytes()),
        ("trials.csv".to_owned(), tables::csv(comparison).into_bytes()),
        ("summary.md".to_owned(), tables::markdown(comparison).into_bytes()),
        ("comparison.html".to_owned(), html::render(comparison).into_bytes()),
    ];
    let written = report::write_files(files, folder);
    print!("{}", tables::terminal(comparison, page.is_file().then_some(&page)));
    let Err(errors) = written else { return comparison.exit.code };
    eprintln!("squall: {errors}");
    if matches!(comparison.exit.code, exit::OK | exit::THRESHOLD) { exit::INCONCLUSIVE } else { comparison.exit.code }
}

#[cfg(test)]
mod tests {
    use super::turn;

    #[test]
    fn no_broker_is_always_the_first_or_always_after_the_same_one() {
        for targets in [2, 3, 4, 5] {
            let order = |repeat| (0..targets).map(|place| turn(repeat, place, targets)).collect();
            let orders: Vec<Vec<usize>> = (0..2 * targets).map(order).collect();
            for broker in 0..targets {
                let first = orders.iter().filter(|order| order[0] == broker).count();
                assert_eq!(first, 2, "{broker} of {targets}");
                let after = orders.iter().flat_map(|order| order.windows(2)).filter(|pair| pair[1] == broker);
                let mut before: Vec<usize> = after.map(|pair| pair[0]).collect();
                before.sort_unstable();
                before.dedup();
                assert!(targets == 2 || before.len() > 1, "{broker} of {targets}: {before:?}");
            }
        }
    }
}
