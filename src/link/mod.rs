//! link (written by its owner)
pub mod spec;
