//! Golden runs: what a seed gives is the same in debug and release, with any C library, on any processor
//! (`tests/all.sh` runs this with glibc and musl, and on an emulated aarch64).
//!
//! `tests/golden.txt` has a hash of each file of figures that `squall simulate` writes (report.json among them), of the packets of one
//! sensor's link, and of the whole history. After a change on purpose, `SQUALL_BLESS=1 cargo test --test golden` writes it anew; which lines
//! changed tells how far the change went.

mod support;

use squall::link::spec::{Direction, Jitter, LinkSpec, Loss, Sleep};
use squall::link::trace::Form;
use squall::scenario::{self, model::Scenario};
use squall::simulate::{Settings, simulate_tapped};
use squall::trace::Event;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use support::{Scratch, squall};

/// Files, and seeds.
const RUNS: [(&str, u64); 4] = [
    ("scenarios/quickstart.toml", 7),
    ("scenarios/bad-day.toml", 13),
    ("scenarios/brutal.toml", 1),
    ("tests/golden/channels.toml", 5),
];

fn load(file: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    scenario::load(&path).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

/// FNV-1a.
fn hash(bytes: impl IntoIterator<Item = u8>, from: u64) -> u64 {
    bytes.into_iter().fold(from, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
const EMPTY: u64 = 0xCBF2_9CE4_8422_2325;

/// Of every event, in order.
fn history(scenario: &Scenario, seed: u64) -> u64 {
    let mut history = EMPTY;
    let mut tap = |event: &Event| history = hash(format!("{event:?}").bytes(), history);
    let _ = simulate_tapped(scenario, &Settings { seed, threads: 2, ..Settings::default() }, &mut |_| true, &mut tap);
    history
}

/// A line for the history, and one for each file that the command writes.
fn lines(file: &str, seed: u64, out: &mut String) {
    let scenario = load(file);
    let name = &scenario.name;
    let _ = writeln!(out, "{name} {seed} history {:016x}", history(&scenario, seed));
    let linked = scenario.fleets.iter().find(|f| f.device.link.is_some()).expect("one with a link");
    let scratch = Scratch::new();
    let mut command = squall();
    command.arg("simulate").arg(file).arg("--seed").arg(seed.to_string());
    command.arg("--pcap").arg(format!("{}-0", linked.name)).arg("--out").arg(&scratch.0);
    let ended = command.output().expect("it starts");
    assert!(matches!(ended.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&ended.stderr));
    let folder = scratch.0.join(format!("{name}-1"));
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("written").map(|f| f.expect("a file").path()).collect();
    files.sort();
    for path in files {
        let name_of_file = path.file_name().expect("a file").to_string_lossy().into_owned();
        // Not those whose look is changed more often than what they say.
        if ["json", "csv", "hlog", "pcapng"].iter().any(|kind| name_of_file.ends_with(kind)) {
            let _ = writeln!(
                out,
                "{name} {seed} {name_of_file} {:016x}",
                hash(std::fs::read(&path).expect("written"), EMPTY)
            );
        }
    }
}

#[test]
fn golden_runs() {
    let mut now = String::new();
    for (file, seed) in RUNS {
        lines(file, seed, &mut now);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    if std::env::var_os("SQUALL_BLESS").is_some() {
        std::fs::write(&path, &now).expect("writable");
    }
    let golden = std::fs::read_to_string(&path).expect("it is in the tree");
    let changed: Vec<&str> = now.lines().filter(|line| !golden.lines().any(|l| l == *line)).collect();
    assert!(changed.is_empty() && golden.lines().count() == now.lines().count(), "changed: {changed:#?}");
}

/// All that a channel can do. What is new does not compile below until it has a name there, and belongs here and into a golden run then.
const FEATURES: [&str; 27] = [
    "rate",
    "overhead",
    "delay",
    "reorder",
    "queue",
    "queue_packets",
    "duplicate",
    "corrupt",
    "duty_cycle",
    "no jitter",
    "uniform jitter",
    "normal jitter",
    "Pareto jitter",
    "no loss",
    "Bernoulli",
    "Gilbert-Elliott",
    "Gilbert-Elliott in time",
    "four states",
    "recorded rate",
    "recorded delay",
    "recorded loss",
    "recorded opportunities",
    "half duplex",
    "small MTU",
    "outages",
    "eDRX",
    "PSM",
];

fn of_direction(d: &Direction, used: &mut BTreeSet<&'static str>) {
    let Direction {
        rate,
        overhead,
        delay,
        jitter,
        reorder,
        loss,
        queue,
        queue_packets,
        duplicate,
        corrupt,
        duty_cycle,
        trace,
    } = d;
    let jitter = match jitter {
        Jitter::None => "no jitter",
        Jitter::Uniform(_) => "uniform jitter",
        Jitter::Normal(_) => "normal jitter",
        Jitter::Pareto(_) => "Pareto jitter",
    };
    let loss = match loss {
        Loss::None => "no loss",
        Loss::Bernoulli(_) => "Bernoulli",
        Loss::GilbertElliott { .. } => "Gilbert-Elliott",
        Loss::GilbertElliottTime { .. } => "Gilbert-Elliott in time",
        Loss::FourState { .. } => "four states",
    };
    let (steps, opportunities) = match trace.as_ref().map(|t| &t.form) {
        None => (&[][..], false),
        Some(Form::Steps { steps, .. }) => (&steps[..], false),
        Some(Form::Opportunities(_)) => (&[][..], true),
    };
    let flags = [
        ("rate", rate.is_some()),
        ("overhead", *overhead > 0),
        ("delay", !delay.is_zero()),
        (jitter, true),
        ("reorder", *reorder),
        (loss, true),
        ("queue", queue.is_some()),
        ("queue_packets", queue_packets.is_some()),
        ("duplicate", *duplicate > 0.0),
        ("corrupt", *corrupt > 0.0),
        ("duty_cycle", *duty_cycle < 1.0),
        ("recorded rate", steps.iter().any(|s| s.rate.is_some())),
        ("recorded delay", steps.iter().any(|s| s.delay.is_some())),
        ("recorded loss", steps.iter().any(|s| s.loss.is_some())),
        ("recorded opportunities", opportunities),
    ];
    used.extend(flags.into_iter().filter(|(_, is)| *is).map(|(name, _)| name));
}

fn of_link(link: &LinkSpec, used: &mut BTreeSet<&'static str>) {
    let LinkSpec { up, down, half_duplex, mtu, outages, sleep } = link;
    of_direction(up, used);
    of_direction(down, used);
    let sleep = match sleep {
        None => "",
        Some(Sleep { every: Some(_), .. }) => "eDRX",
        Some(Sleep { every: None, .. }) => "PSM",
    };
    let flags = [
        ("half duplex", *half_duplex),
        ("small MTU", *mtu < 1280),
        ("outages", !outages.is_empty()),
        (sleep, !sleep.is_empty()),
    ];
    used.extend(flags.into_iter().filter(|(_, is)| *is).map(|(name, _)| name));
}

#[test]
fn golden_runs_use_every_feature_of_a_channel() {
    let mut used = BTreeSet::new();
    for (file, _) in RUNS {
        load(file).links().for_each(|link| of_link(&link.spec, &mut used));
    }
    assert_eq!(used, BTreeSet::from(FEATURES));
}
