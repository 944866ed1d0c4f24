//! Puts the files of a report into a folder: each under a temporary name first, so that no reader meets half a file.

use super::{Report, csv, hdr, html, json, junit, markdown};
use crate::measure::summary::Summary;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What kept files from being written. The others of the same report have been written all the same.
#[derive(Debug)]
pub struct WriteErrors {
    /// The files that are there.
    pub written: Vec<PathBuf>,
    /// The files that are not, at least one.
    pub failed: Vec<WriteError>,
}

impl fmt::Display for WriteErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.failed.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for WriteErrors {}

/// A file or folder that could not be written.
#[derive(Debug)]
pub struct WriteError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub cause: io::Error,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mend = match self.cause.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on that disk, or choose another with --out",
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "make the folder writable, or choose another with --out"
            }
            ErrorKind::NotFound => "create the folder above it, or choose another with --out",
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                "something that is no folder is in its place; choose another with --out"
            }
            _ => "choose another folder with --out",
        };
        write!(f, "{} could not be written: {}; {mend}", self.path.display(), self.cause)
    }
}

impl std::error::Error for WriteError {}

/// Creates `PARENT/SCENARIO-n` with the lowest `n` from 1 that is free, and `parent` where it is missing. Two runs at
/// the same time get two folders.
///
/// # Errors
/// If `parent` or the folder cannot be created.
pub fn create_folder(parent: &Path, scenario: &str) -> Result<PathBuf, WriteError> {
    let fail = |path: &Path, cause| WriteError { path: path.to_owned(), cause };
    fs::create_dir_all(parent).map_err(|cause| fail(parent, cause))?;
    let stem = file_name(scenario);
    for n in 1_u32.. {
        let folder = parent.join(format!("{stem}-{n}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(fail(&folder, cause)),
        }
    }
    unreachable!("four thousand million reports fit no disk")
}

/// A name that is safe as a part of a file name everywhere: letters, digits, `-`, `_` and inner dots.
#[must_use]
pub fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().map(safe).collect();
    let name = name.trim_matches('.');
    if name.is_empty() { "run".to_owned() } else { name.to_owned() }
}

/// Writes every file of the report into `folder`, which exists, and returns their paths. `summary` is that of the
/// report's inputs: the HdrHistogram files hold whole histograms, which the report does not.
///
/// # Errors
/// If any file could not be written; the others are written all the same.
pub fn write_all(report: &Report, summary: &Summary, folder: &Path) -> Result<Vec<PathBuf>, WriteErrors> {
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("report.json".to_owned(), json::render(report).into_bytes()),
        ("junit.xml".to_owned(), junit::render(report).into_bytes()),
        ("summary.md".to_owned(), markdown::render(report).into_bytes()),
        ("latency.csv".to_owned(), csv::latency(report).into_bytes()),
        ("timeline.csv".to_owned(), csv::timeline(report).into_bytes()),
        ("broker.csv".to_owned(), csv::broker(report).into_bytes()),
        ("latency.hlog".to_owned(), hdr::log(report, summary)),
    ];
    files.extend(hdr::percentiles(report, summary).into_iter().map(|(name, text)| (name, text.into_bytes())));
    files.push(("report.html".to_owned(), html::render(report).into_bytes()));
    write_files(files, folder)
}

/// Writes files, by name and content, into `folder`, which exists, and returns their paths.
///
/// # Errors
/// If any file could not be written; the others are written all the same.
pub fn write_files(files: Vec<(String, Vec<u8>)>, folder: &Path) -> Result<Vec<PathBuf>, WriteErrors> {
    let (mut written, mut failed) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let path = folder.join(name);
        match write_one(&path, &bytes) {
            Ok(()) => written.push(path),
            Err(cause) => failed.push(WriteError { path, cause }),
        }
    }
    if failed.is_empty() { Ok(written) } else { Err(WriteErrors { written, failed }) }
}

/// Writes a file under a temporary name beside its own, then renames it. What is left of a failure is removed.
fn write_one(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().expect("every file of a report has a name").to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = path.with_file_name(name);
    let result = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The first error is the one to tell; a left-over that cannot be removed either changes nothing.
        let _ = fs::remove_file(&temporary);
    }
    result
}
