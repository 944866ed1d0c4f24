//! Bytes that nobody would send on purpose: into the codec, beside another codec, into the client's session, and into the broker from
//! many connections. Half of the inputs begin with at least two legal packets, so that what lies behind the first check is reached too.
//!
//! A fixed seed and some seconds by default; `SQUALL_FUZZ=N` is how many inputs each target gets, `SQUALL_FUZZ_SEED` where it begins.
//! docs/fuzzing.md tells of long runs.

mod broker;
mod codec;
mod differential;
mod draw;
mod session;

use squall::seed::Stream;

fn inputs(default: u64) -> u64 {
    std::env::var("SQUALL_FUZZ").ok().map_or(default, |n| n.parse().expect("SQUALL_FUZZ is a number"))
}

fn stream(target: &str) -> Stream {
    let seed = std::env::var("SQUALL_FUZZ_SEED").ok().map_or(1, |n| n.parse().expect("a number"));
    Stream::named(seed, &["fuzz", target])
}
