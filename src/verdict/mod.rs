//! verdict (written by its owner)
pub mod outcome;
