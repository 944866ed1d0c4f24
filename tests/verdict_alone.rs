//! The judges compile with `trace`, `promise`, `time` and a kind of map (`table`) alone: no other module of squall is in this crate, so that no
//! shared misreading can hide.

#![allow(dead_code, missing_docs, unused_imports)]
#![allow(clippy::enum_variant_names, reason = "a library's public names look like private ones here")]

#[path = "../src/promise.rs"]
mod promise;
#[path = "../src/table.rs"]
mod table;
#[path = "../src/time.rs"]
mod time;
#[path = "../src/trace.rs"]
mod trace;
#[path = "../src/verdict/mod.rs"]
mod verdict;

use std::sync::Arc;

#[test]
fn a_judge_can_be_made() {
    let judge = verdict::Judge::new(Arc::new(promise::Promises::default()));
    assert_eq!(judge.owed(), 0);
}
