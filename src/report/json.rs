//! `report.json`: the whole value, for programs.

use super::Report;

/// The report as JSON, indented, with a line feed at the end.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report holds only strings, numbers and lists");
    text.push('\n');
    text
}

/// Reads what [`render`] wrote.
///
/// # Errors
/// If it is no report of this format version.
pub fn parse(text: &str) -> Result<Report, String> {
    let report: Report = serde_json::from_str(text).map_err(|error| format!("not a report of squall: {error}"))?;
    if report.format_version == super::model::FORMAT_VERSION {
        Ok(report)
    } else {
        Err(format!("report format {} is not known; this squall reads 1", report.format_version))
    }
}
