//! Scenario files: from text to a checked model, with every mistake at once.

mod check;
pub mod deliveries;
mod device;
pub mod diagnostics;
pub mod explain;
mod features;
mod links;
pub mod load;
pub mod memory;
pub mod model;
mod publish;
mod reader;
pub mod schema;
pub mod settings;
mod suggest;
mod template;
mod threshold;
pub mod under_test;
pub mod units;
pub(crate) mod words;
pub mod write;

use diagnostics::{Diagnostics, Problem, nearest};
use model::Scenario;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Reads and checks a scenario file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Scenario, Diagnostics> {
    let (name, text) = read(path)?;
    parse(&name, &text)
}

/// The same for real time, where not everything can be done to a broker that virtual time can.
///
/// # Errors
/// Everything that is wrong with it, or that real time cannot do.
pub fn load_for_real_time(path: &Path) -> Result<Scenario, Diagnostics> {
    let (file, text) = read(path)?;
    let scenario = parse(&file, &text)?;
    let problems = in_virtual_time_only(&text);
    if problems.is_empty() { Ok(scenario) } else { Err(Diagnostics { file, text, problems }) }
}

/// What a text that is fine otherwise asks of real time in vain: nobody's disk can be slowed from outside.
fn in_virtual_time_only(text: &str) -> Vec<Problem> {
    let (table, _) = DeTable::parse_recoverable(text);
    let faults = table.get_ref().get("fault").and_then(|v| v.get_ref().as_array());
    let brokers = faults.into_iter().flat_map(|list| list.iter()).filter_map(|f| f.get_ref().get("broker"));
    brokers
        .filter(|word| word.get_ref().as_str() == Some("slow-disk"))
        .map(|word| Problem {
            span: word.span(),
            message: "a slow disk exists in virtual time only".into(),
            mend: "use squall simulate, or \"slow-cpu\" or \"pause\" here: what the kernel can limit (io.max) are bytes and requests a second \
                   of a whole block device, and this fault is a time for each write (ARCHITECTURE.md says what was weighed)"
                .into(),
        })
        .collect()
}

/// A file's name for messages, and its text.
fn read(path: &Path) -> Result<(String, String), Diagnostics> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        let mend = if error.kind() == std::io::ErrorKind::NotFound { siblings(path) } else { String::new() };
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or(&reason).to_owned();
        Diagnostics::of_file(&name, format!("cannot be read: {reason}"), mend)
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
            let message = format!("is not UTF-8 text: its byte {}, in line {line}, is part of no character", good + 1);
            Err(Diagnostics::of_file(&name, message, "save it as UTF-8".into()))
        }
    }
}

/// The scenario files that stand near a file that is not there.
fn siblings(path: &Path) -> String {
    let folders =
        [path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")), Path::new("scenarios")];
    let found: Vec<PathBuf> = folders
        .iter()
        .filter_map(|f| std::fs::read_dir(f).ok())
        .flat_map(|entries| entries.filter_map(Result::ok).map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "toml") && p.file_name().is_some_and(|n| n != "Cargo.toml"))
        .collect();
    suggest_file(path, &found)
}

/// The files that were found, the nearest by name first; each once, however its path is written.
fn suggest_file(wanted: &Path, found: &[PathBuf]) -> String {
    let plain = |p: &Path| p.strip_prefix(".").unwrap_or(p).display().to_string();
    let stem = |p: &Path| p.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for file in found {
        all.entry(plain(file)).or_insert_with(|| stem(file));
    }
    let near = nearest(&stem(wanted), all.values().map(String::as_str));
    match near.and_then(|near| all.iter().find(|(_, stem)| *stem == near)) {
        Some((path, _)) => format!("did you mean {path}?"),
        None if all.is_empty() => "there are no scenario files here; `squall scenario schema` describes them".into(),
        None => format!("there are: {}", all.into_keys().collect::<Vec<_>>().join(", ")),
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
    let stem = Path::new(file).file_stem().map_or_else(|| "scenario".into(), |s| s.to_string_lossy().into_owned());
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let (mut scenario, found) = check::check(table.get_ref(), 0..text.len(), &stem, folder);
    diagnostics::sort(&mut problems);
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
