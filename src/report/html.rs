//! `report.html`.
use super::Report;
/// The page.
#[must_use]
pub fn render(report: &Report) -> String {
    report.scenario.name.clone()
}
