//! Golden runs: what a seed gives is the same in debug and release, with any C library, on any processor
//! (`tests/all.sh` runs this with glibc and musl, and on an emulated aarch64).
//!
//! `tests/golden.txt` has a hash of each file of figures that `squall simulate` writes (report.json among them), of the packets of one
//! sensor's link, and of the whole history. After a change on purpose, `SQUALL_BLESS=1 cargo test --test golden` writes it anew; which lines
//! changed tells how far the change went.

mod support;

use squall::scenario::{self, model::Scenario};
use squall::simulate::{Settings, simulate_tapped};
use squall::trace::Event;
use std::fmt::Write as _;
use std::path::Path;
use support::{Scratch, squall};

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
fn lines(name: &str, seed: u64, out: &mut String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = format!("scenarios/{name}.toml");
    let scenario = scenario::load(&root.join(&file)).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let _ = writeln!(out, "{name} {seed} history {:016x}", history(&scenario, seed));
    let linked = scenario.fleets.iter().find(|f| f.device.link.is_some()).expect("one with a link");
    let scratch = Scratch::new();
    let mut command = squall();
    command.current_dir(root).arg("simulate").arg(&file).arg("--seed").arg(seed.to_string());
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
