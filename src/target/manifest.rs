//! A broker's manifest, `broker-under-test/NAME/broker.toml`: how to install, launch and stop it, and what it declares.

use super::TargetError;
use crate::promise::{BrokerPromises, Durability};
use crate::scenario::diagnostics::nearest;
use crate::scenario::units;
use crate::time::Duration;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub about: String,
    /// How to install it.
    #[serde(default)]
    pub install: Install,
    /// How to find its version.
    pub version: Option<Version>,
    /// How to launch it.
    pub launch: Launch,
    /// What it declares.
    #[serde(default)]
    pub declares: Declares,
    /// Where it is known to deviate from the standard.
    #[serde(default)]
    pub deviates: Vec<Deviation>,
    /// The folder it was read from; none if it is built in.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// How to install a broker.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Debian packages.
    #[serde(default)]
    pub debian: Vec<String>,
}

/// How to find a broker's version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Arguments that make it print its version.
    pub args: Vec<String>,
    /// What stands before the version, at the beginning of a line.
    pub starts_with: String,
}

/// How to launch a broker. `{host}`, `{port}`, `{data}`, `{config}`, `{user}` and `{squall}` are
/// filled in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Program, by name or path.
    pub program: String,
    /// Folders to look in beside PATH.
    #[serde(default)]
    pub search: Vec<String>,
    /// Arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// A configuration template beside the manifest.
    pub config: Option<String>,
    /// The signal that stops it: TERM, INT or QUIT.
    pub stop_signal: String,
    /// How long it may take until it answers.
    pub ready_within: String,
    /// How long it may take to stop.
    pub stop_within: String,
}

/// What a broker declares.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declares {
    /// Highest QoS.
    pub max_qos: Option<u8>,
    /// Messages kept for an offline session.
    pub offline_queue: Option<u64>,
    /// "none", "always", or a time.
    pub durability: Option<String>,
    /// Filters of topics on which it lets nobody publish.
    #[serde(default)]
    pub denies: Vec<String>,
}

/// A statement of the standard that a broker is known not to keep.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// The version: "3.1.1" or "5.0".
    pub mqtt: String,
    /// The statement's number, without "MQTT-".
    pub statement: String,
    /// The one case of `squall conform` that shows it; none: any that tests the statement.
    pub case: Option<String>,
    /// What it does instead, and why that is known.
    pub reason: String,
}

/// Manifests that are built in, so that they work without the folder: (name, manifest, configuration template).
const BUILT_IN: &[(&str, &str, &str)] = &[
    ("reference", include_str!("../../broker-under-test/reference/broker.toml"), ""),
    (
        "mosquitto",
        include_str!("../../broker-under-test/mosquitto/broker.toml"),
        include_str!("../../broker-under-test/mosquitto/mosquitto.conf"),
    ),
];

/// Where manifests are: `SQUALL_BROKERS`, or `broker-under-test` here.
fn folder() -> PathBuf {
    std::env::var_os("SQUALL_BROKERS").map_or_else(|| PathBuf::from("broker-under-test"), PathBuf::from)
}

impl Manifest {
    /// All manifests there are, by name.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn all() -> Result<Vec<Self>, TargetError> {
        let mut names: Vec<String> = BUILT_IN.iter().map(|(name, ..)| (*name).to_owned()).collect();
        if let Ok(entries) = std::fs::read_dir(folder()) {
            let found = entries.filter_map(Result::ok).filter(|e| e.path().join("broker.toml").is_file());
            names.extend(found.map(|e| e.file_name().to_string_lossy().into_owned()));
        }
        names.sort();
        names.dedup();
        names.iter().map(|name| Self::find(name)).collect()
    }

    /// The manifest of that name.
    ///
    /// # Errors
    /// If there is none, or it is wrong.
    pub fn find(name: &str) -> Result<Self, TargetError> {
        let path = folder().join(name).join("broker.toml");
        if !name.contains(['/', '\\']) && path.is_file() {
            let text = std::fs::read_to_string(&path)
                .map_err(|e| TargetError::usage(format!("{} cannot be read: {e}", path.display()), ""))?;
            let mut manifest = Self::parse(&path.display().to_string(), &text)?;
            manifest.folder = path.parent().map(Path::to_owned);
            return Ok(manifest);
        }
        if let Some((_, text, _)) = BUILT_IN.iter().find(|(known, ..)| *known == name) {
            return Self::parse(name, text);
        }
        let known: Vec<String> = Self::all()?.into_iter().map(|m| m.name).collect();
        let near = nearest(name, known.iter().map(String::as_str))
            .map_or(String::new(), |n| format!("did you mean \"{n}\"? "));
        Err(TargetError::usage(
            format!("no target is called \"{name}\""),
            format!("{near}known: {}; or an address, mqtt://host:port", known.join(", ")),
        ))
    }

    fn parse(place: &str, text: &str) -> Result<Self, TargetError> {
        let manifest: Self = toml::from_str(text).map_err(|e| TargetError::usage(format!("{place}: {e}"), ""))?;
        for (key, value) in
            [("ready_within", &manifest.launch.ready_within), ("stop_within", &manifest.launch.stop_within)]
        {
            units::duration(value)
                .map_err(|expected| TargetError::usage(format!("{place}: {key}: expected {expected}"), ""))?;
        }
        if manifest.signal().is_none() {
            return Err(TargetError::usage(format!("{place}: stop_signal: TERM, INT or QUIT"), ""));
        }
        Ok(manifest)
    }

    /// The signal that stops it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self.launch.stop_signal.as_str() {
            "TERM" => Some(libc::SIGTERM),
            "INT" => Some(libc::SIGINT),
            "QUIT" => Some(libc::SIGQUIT),
            _ => None,
        }
    }

    /// How long it may take until it answers, and to stop.
    #[must_use]
    pub fn patience(&self) -> (Duration, Duration) {
        let read = |text: &str| units::duration(text).expect("checked when the manifest was read");
        (read(&self.launch.ready_within), read(&self.launch.stop_within))
    }

    /// The configuration template, if it has one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn config_template(&self) -> Result<Option<String>, TargetError> {
        let Some(name) = &self.launch.config else { return Ok(None) };
        let Some(folder) = &self.folder else {
            let built_in = BUILT_IN.iter().find(|(known, ..)| *known == self.name);
            return Ok(built_in.map(|(_, _, config)| (*config).to_owned()));
        };
        let path = folder.join(name);
        std::fs::read_to_string(&path)
            .map(Some)
            .map_err(|e| TargetError::usage(format!("{} cannot be read: {e}", path.display()), ""))
    }

    /// The program's path.
    ///
    /// # Errors
    /// If it is not installed; how to install it.
    pub fn program(&self) -> Result<PathBuf, TargetError> {
        if self.launch.program == "{squall}" {
            return std::env::current_exe().map_err(|e| TargetError::unavailable(e.to_string(), ""));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(self.launch.search.iter().map(PathBuf::from));
        let found = folders.map(|f| f.join(&self.launch.program)).find(|p| p.is_file());
        found.ok_or_else(|| {
            let mend = if self.install.debian.is_empty() {
                String::new()
            } else {
                format!(
                    "squall targets install {}   (Debian: apt-get install {})",
                    self.name,
                    self.install.debian.join(" ")
                )
            };
            TargetError::unavailable(format!("{} is not installed", self.name), mend)
        })
    }

    /// Its version; none if it does not tell.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        if self.name == "reference" {
            return Some(env!("CARGO_PKG_VERSION").to_owned());
        }
        let version = self.version.as_ref()?;
        let output = Command::new(self.program().ok()?).args(&version.args).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let line = text.lines().find_map(|l| l.strip_prefix(&version.starts_with))?;
        Some(line.split_whitespace().next()?.to_owned())
    }

    /// What it declares, for the judges.
    #[must_use]
    pub fn promises(&self, name: &str) -> BrokerPromises {
        let durability = match self.declares.durability.as_deref() {
            None => Durability::Unknown,
            Some("none") => Durability::None,
            Some("always") => Durability::Always,
            Some(time) => units::duration(time).map_or(Durability::Unknown, Durability::Within),
        };
        BrokerPromises {
            name: name.to_owned(),
            max_qos: self.declares.max_qos,
            offline_queue: self.declares.offline_queue,
            durability,
            denies: self.declares.denies.clone(),
        }
    }
}
