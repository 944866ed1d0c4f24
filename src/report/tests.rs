//! The exporters, on one run.

use super::fixture::{Fixture, broken, held};
use super::*;
use std::path::PathBuf;

/// Writes the fixtures' reports for a look: `cargo test --lib report::tests::look -- --ignored`.
#[test]
#[ignore = "writes files to look at"]
fn look() {
    let parent = std::env::temp_dir().join("squall-look");
    for (name, fixture) in [("broken", broken()), ("held", held()), ("blind", Fixture::blind())] {
        let folder: PathBuf = parent.join(name);
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        let report = fixture.report();
        write_all(&report, &fixture.summary, &folder).expect("every file");
        let options = terminal::Options { colour: false, width: 110, page: Some(&folder.join("report.html")) };
        println!("{}", terminal::render(&report, options));
    }
}

#[test]
fn a_report_survives_its_own_file() {
    let report = broken().report();
    assert!(json::parse(&json::render(&report)) == Ok(report), "what was read differs from what was written");
}
