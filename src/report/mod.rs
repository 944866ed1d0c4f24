//! The report: one [`Report`] value, made once by [`Report::build`], and one exporter a format.
//!
//! Exporters compute nothing: a figure that stands in two files is the same figure. A figure that could not be
//! measured is said to be so, and never shown as 0. Output depends on the report alone (no clock, no hash order).

mod build;
pub mod capacity;
pub mod chart;
pub mod comparison;
pub mod csv;
mod exit;
mod figures;
#[cfg(test)]
mod fixture;
pub mod format;
pub mod hdr;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod measured;
mod metric;
pub mod model;
mod redact;
mod resources;
mod story;
pub mod terminal;
#[cfg(test)]
mod tests;
mod write;

pub use build::Inputs;
pub use metric::evaluate;
pub use model::{Report, ScenarioInfo, TargetInfo, TargetKind};
pub use redact::passwords as without_passwords;
pub use write::{WriteError, WriteErrors, create_folder, file_name, write_all, write_files};
