//! squall: a simulation and load-test harness for MQTT brokers.
//!
//! This file is the map. The modules stand in dependency order: each may import those above it, and none below
//! (`tests/architecture.rs` keeps that).
//!
//! Invariants:
//! - State machines do no input or output and read no clock: time is an argument ([`time`], [`clock`]).
//! - Randomness comes from streams named after the entity that draws ([`seed`]).
//! - [`verdict`] and [`measure`] know [`trace`], [`promise`] and [`time`] alone (and [`table`], a kind of map): they judge what was
//!   seen on the wire, and share no code with the machines they judge.
//! - The reference broker emits no trace: it is judged from outside, as any broker.
//!
//! To read it, begin with [`trace`] and [`promise`], then [`scenario::model`], then [`run`].

pub mod clock;
pub mod seed;
pub mod table;
pub mod time;

pub mod promise;
pub mod trace;

pub mod measure;
pub mod verdict;

pub mod link;
pub mod mqtt;
pub mod transport;

pub mod broker;
pub mod scenario;

pub mod device;
pub mod foreign;
pub mod netns;
pub mod target;

pub mod peer;

pub mod run;
pub mod simulate;

pub mod report;

pub mod conform;
pub mod probe;

pub mod cli;
