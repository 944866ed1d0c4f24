//! The conformance suite: one case for each rule of the standard that a client can see a server keep or break.
//!
//! A [`case::Case`] names the statements it tests, says its rule in plain words, and runs alone with a [`bench::Bench`]:
//! client identifiers and topics of its own, a tape of what was exchanged. [`suite`] runs many at once and compares with
//! the deviations that a manifest admits; [`statements`] is the table of all statements of both versions, and says of
//! each where it is tested, or why it cannot be seen from outside.

pub mod bench;
pub mod case;
mod cases;
pub mod output;
pub mod statements;
pub mod suite;

pub use cases::all;
