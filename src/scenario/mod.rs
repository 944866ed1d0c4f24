//! scenario (written by its owner)
pub mod model;
