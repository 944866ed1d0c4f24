//! A run: from a scenario and a target to verdicts and measurements.

mod cleanup;
mod coordinator;
mod judging;
mod load_loop;
mod pipe;
pub mod plan;
mod secure;
mod socket;

pub(crate) use coordinator::{Deed, deeds};
pub use coordinator::{Outcome, Progress, Settings, run};
