//! Where manifests come from: a folder beside the user's work, or the ones that are built in.

use include_dir::{Dir, include_dir};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// `broker-under-test` as it was when squall was built, so that a lone binary knows the same brokers.
static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/broker-under-test");

/// A manifest's folder, with the files beside it.
#[derive(Clone, PartialEq, Debug)]
pub struct Folder {
    name: String,
    place: Place,
}

#[derive(Clone, PartialEq, Debug)]
enum Place {
    Disk(PathBuf),
    BuiltIn(Dir<'static>),
    Nowhere,
}

/// Where manifests are: `SQUALL_BROKERS`, or `broker-under-test` here.
fn on_disk() -> PathBuf {
    std::env::var_os("SQUALL_BROKERS").map_or_else(|| PathBuf::from("broker-under-test"), PathBuf::from)
}

impl Folder {
    /// The names of all that have a manifest, sorted.
    pub(super) fn names() -> Vec<String> {
        let built_in = BUILT_IN.dirs().filter_map(|d| Some(d.path().file_name()?.to_string_lossy().into_owned()));
        let mut names: Vec<String> = built_in.collect();
        let entries = fs::read_dir(on_disk()).into_iter().flatten().filter_map(Result::ok);
        let with_manifest = entries.filter(|e| e.path().join("broker.toml").is_file());
        names.extend(with_manifest.map(|e| e.file_name().to_string_lossy().into_owned()));
        names.sort();
        names.dedup();
        names
    }

    /// The folder of that name: on disk first.
    pub(super) fn find(name: &str) -> Option<Self> {
        let disk = on_disk().join(name);
        let place = if !name.contains(['/', '\\']) && disk.join("broker.toml").is_file() {
            Place::Disk(disk)
        } else {
            Place::BuiltIn(BUILT_IN.get_dir(name)?.clone())
        };
        Some(Self { name: name.to_owned(), place })
    }

    /// For what has no manifest.
    pub(super) fn none() -> Self {
        Self { name: String::new(), place: Place::Nowhere }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of a file for messages.
    #[must_use]
    pub fn path_of(&self, file: &str) -> String {
        match &self.place {
            Place::Disk(path) => path.join(file).display().to_string(),
            _ => format!("{}/{file} (built in)", self.name),
        }
    }

    /// A text file.
    ///
    /// # Errors
    /// If it is not there; in words.
    pub fn read(&self, file: &str) -> Result<String, String> {
        let wrong = |why: String| format!("{} cannot be read: {why}", self.path_of(file));
        match &self.place {
            Place::Disk(path) => fs::read_to_string(path.join(file)).map_err(|e| wrong(e.to_string())),
            Place::BuiltIn(dir) => {
                let found = dir.get_file(dir.path().join(file)).and_then(|f| f.contents_utf8());
                found.map(str::to_owned).ok_or_else(|| wrong("there is no such file".into()))
            }
            Place::Nowhere => Err(wrong("there is no folder".into())),
        }
    }

    /// Every file: its path within the folder, and its content; by path.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn files(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut all = Vec::new();
        match &self.place {
            Place::Disk(path) => walk(path, path, &mut all)?,
            Place::BuiltIn(dir) => walk_built_in(dir, dir.path(), &mut all),
            Place::Nowhere => {}
        }
        all.sort();
        Ok(all)
    }
}

fn walk(root: &Path, folder: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, all)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            all.push((name, fs::read(&path)?));
        }
    }
    Ok(())
}

fn walk_built_in(dir: &Dir<'static>, root: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
    for file in dir.files() {
        let name = file.path().strip_prefix(root).unwrap_or(file.path()).to_owned();
        all.push((name, file.contents().to_vec()));
    }
    for inner in dir.dirs() {
        walk_built_in(inner, root, all);
    }
}
