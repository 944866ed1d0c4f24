//! A run: from a scenario and a target to verdicts and measurements.

mod actor;
pub mod captures;
mod cleanup;
mod coordinator;
pub mod cores;
mod deeds;
mod engine;
mod features;
mod foreign;
mod gateway;
mod judging;
mod load_loop;
mod local;
mod pipe;
pub mod plan;
pub mod relay;
mod secure;
mod socket;
mod unattended;

pub(crate) use coordinator::load_loops;
pub use coordinator::{Outcome, Progress, Settings, run};
pub(crate) use deeds::{Deed, deeds, idle_in_turns};
