//! Golden runs: what a seed gives is the same in debug and release, with any C library and on any architecture
//! (`tests/all.sh` runs this with glibc and musl, and on emulated ARM).
//!
//! `tests/golden.txt` has a hash of each file of figures in a report, and one of the whole history. After a change on purpose,
//! `SQUALL_BLESS=1 cargo test --test golden` writes it anew; which lines changed tells how far the change went.

mod support;

use squall::report::{Inputs, Report, ScenarioInfo, TargetInfo, TargetKind, write_all};
use squall::scenario;
use squall::simulate::{Settings, simulate_tapped};
use squall::trace::Event;
use std::fmt::Write as _;
use std::path::Path;
use support::Scratch;

/// FNV-1a.
fn hash(bytes: impl IntoIterator<Item = u8>, from: u64) -> u64 {
    bytes.into_iter().fold(from, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
const EMPTY: u64 = 0xCBF2_9CE4_8422_2325;

/// A line for the history, and one for each file of the report.
fn lines(name: &str, seed: u64, out: &mut String) {
    let file = format!("scenarios/{name}.toml");
    let scenario = scenario::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
    let scenario = scenario.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let mut history = EMPTY;
    let mut tap = |event: &Event| history = hash(format!("{event:?}").bytes(), history);
    let settings = Settings { seed, threads: 2, ..Settings::default() };
    let outcome = simulate_tapped(&scenario, &settings, &mut |_| true, &mut tap);
    let _ = writeln!(out, "{name} {seed} history {history:016x}");
    let report = Report::build(Inputs {
        scenario: ScenarioInfo {
            name: scenario.name.clone(),
            about: scenario.about.clone(),
            seed,
            file: Some(file.clone()),
        },
        target: TargetInfo { name: "reference".into(), version: None, kind: TargetKind::Simulated },
        engine: "virtual time".into(),
        again: format!("squall simulate {file} --seed {seed}"),
        promises: &outcome.promises,
        verdicts: &outcome.verdicts,
        summary: &outcome.summary,
        faults: &outcome.faults,
        started: None,
        partial: outcome.partial.clone(),
        target_died: outcome.died.clone(),
    });
    let scratch = Scratch::new();
    let mut files = write_all(&report, &outcome.summary, &scratch.0).expect("written");
    files.sort();
    for path in files {
        let bytes = std::fs::read(&path).expect("written");
        let name_of_file = path.file_name().expect("a file").to_string_lossy();
        // Not those whose look is changed more often than what they say.
        if !["csv", "hlog"].iter().any(|kind| name_of_file.ends_with(kind)) {
            continue;
        }
        let _ = writeln!(out, "{name} {seed} {name_of_file} {:016x}", hash(bytes, EMPTY));
    }
}

#[test]
fn golden_runs() {
    let mut now = String::new();
    for (name, seed) in [("quickstart", 7), ("bad-day", 13), ("brutal", 1)] {
        lines(name, seed, &mut now);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    if std::env::var_os("SQUALL_BLESS").is_some() {
        std::fs::write(&path, &now).expect("writable");
    }
    let golden = std::fs::read_to_string(&path).expect("it is in the tree");
    let changed: Vec<&str> = now.lines().filter(|line| !golden.lines().any(|l| l == *line)).collect();
    assert!(changed.is_empty() && golden.lines().count() == now.lines().count(), "changed: {changed:#?}");
}
