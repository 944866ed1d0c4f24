//! Scenario files: from text to a checked model, with every mistake at once.

mod check;
pub mod diagnostics;
pub mod explain;
mod links;
pub mod model;
mod reader;
pub mod schema;
pub mod settings;
mod template;
mod threshold;
pub mod units;
pub mod write;

use diagnostics::{Diagnostics, Problem, WHOLE_FILE, nearest};
use model::Scenario;
use std::path::Path;
use toml::de::DeTable;

/// Reads and checks a scenario file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Scenario, Diagnostics> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&name, &text),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            let mend = "a scenario is a TOML file in UTF-8".to_owned();
            Err(Diagnostics::of_file(&name, "this is no text".to_owned(), mend))
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Diagnostics::of_file(&name, format!("cannot be read: {error}"), String::new()))
        }
        Err(error) => Err(Diagnostics::of_file(&name, format!("cannot be read: {error}"), siblings(path))),
    }
}

/// The scenario files that stand near a file that is not there.
fn siblings(path: &Path) -> String {
    let folders =
        [path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")), Path::new("scenarios")];
    let mut found: Vec<String> = folders
        .iter()
        .filter_map(|f| std::fs::read_dir(f).ok())
        .flat_map(|entries| entries.filter_map(Result::ok).map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "toml") && p.file_name().is_some_and(|n| n != "Cargo.toml"))
        .map(|p| p.display().to_string())
        .collect();
    found.sort();
    found.dedup();
    let wanted = path.display().to_string();
    match nearest(&wanted, found.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None if found.is_empty() => "there are no scenario files here; `squall scenario schema` describes them".into(),
        None => format!("there are: {}", found.join(", ")),
    }
}

/// Checks a scenario's text. `file` is its name for messages, and names the scenario if it does not do so itself.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &str, text: &str) -> Result<Scenario, Diagnostics> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = syntax
        .iter()
        .map(|e| Problem { span: e.span().unwrap_or(0..0), message: e.message().to_owned(), mend: String::new() })
        .collect();
    problems.sort_by_key(|p| (p.span.start, p.span.end));
    problems.dedup_by_key(|p| p.span.start);
    let stem = Path::new(file).file_stem().map_or_else(|| "scenario".into(), |s| s.to_string_lossy().into_owned());
    let (mut scenario, found) = check::check(table.get_ref(), WHOLE_FILE, &stem);
    // After a syntax error the rest is guesswork: its mistakes would be noise.
    if problems.is_empty() {
        problems = found;
    }
    if !problems.is_empty() {
        return Err(Diagnostics { file: file.into(), text: text.into(), problems });
    }
    scenario.about = about(text);
    Ok(scenario)
}

/// The comment that opens the file.
fn about(text: &str) -> String {
    let lines = text.lines().take_while(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#').trim());
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}
