//! A broker's manifest, `broker-under-test/NAME/broker.toml`: how to install, launch and stop it, and what it declares.
//!
//! Adding a broker is adding a folder: nothing about any broker is in the code.

mod check;
pub mod fill;
mod read;
mod source;

pub use source::Folder;

use super::container::Runtime;
use super::{TargetError, install};
use crate::promise::{BrokerPromises, Durability};
use crate::scenario::diagnostics::nearest;
use crate::time::Duration;
use crate::transport::Kind;
use fill::Values;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A manifest, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    /// Its name, which is its folder's.
    pub name: String,
    /// What it is, in a line.
    pub about: String,
    /// What must be said wherever its results are shown.
    pub note: Option<String>,
    /// How to install it.
    pub install: Install,
    /// How to find its version.
    pub version: Version,
    /// How to launch it.
    pub launch: Launch,
    /// Where it listens beside plain MQTT, once it is launched.
    pub listen: BTreeMap<Kind, Listen>,
    /// What it declares.
    pub declares: Declares,
    /// Where it is known to deviate from the standard.
    pub deviates: Vec<Deviation>,
    /// The manifest and the files beside it.
    pub folder: Folder,
}

/// How to install a broker.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Install {
    /// Programs that are needed, and the Debian package that has each.
    pub debian: BTreeMap<String, String>,
    /// Commands, run one after the other in a folder of the cache that holds a copy of the manifest's folder.
    pub build: Vec<Vec<String>>,
    /// Files that are there once the commands have run, within that folder.
    pub creates: Vec<String>,
    /// What a person must do first, where a command cannot.
    pub by_hand: Option<String>,
}

/// How to find a broker's version.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Version {
    /// The version itself.
    pub is: Option<String>,
    /// A command that prints it.
    pub command: Vec<String>,
    /// What stands before it, at the beginning of a line.
    pub after: String,
}

/// How to launch a broker. [`fill`] says what stands for what in its texts.
#[derive(Clone, PartialEq, Debug)]
pub struct Launch {
    /// What is started.
    pub what: What,
    /// The program's arguments, or those of the image's command; none: the image's own.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Configuration templates beside the manifest.
    pub config: Vec<String>,
    /// Commands to run before the first start.
    pub prepare: Vec<Vec<String>>,
    /// The port it must have; none: any free one.
    pub port: Option<u16>,
    /// Names of further free ports that it needs.
    pub ports: Vec<String>,
    /// The signal that stops it.
    pub stop_signal: Signal,
    /// How long it may take until it answers.
    pub ready_within: Duration,
    /// How long it may take to stop.
    pub stop_within: Duration,
}

/// What is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A program, by name or path.
    Program(String),
    /// A container of this image.
    Image {
        /// The image's name.
        name: String,
        /// The port that the broker has in the container; none: what the image says, or 1883.
        port: Option<u16>,
    },
    /// Nothing: somebody else runs it, and squall is given its address.
    AddressOnly,
}

/// A further listener. Its port is `{port:tls}`, `{port:ws}` or `{port:wss}`; for TLS there are certificates in `{config}/tls`, as
/// [`super::tls::self_signed`] makes them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// WebSocket's path.
    pub path: String,
    /// The port that it has in a container.
    pub image_port: Option<u16>,
}

/// A signal that stops a broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal(&'static str, i32);

impl Signal {
    /// The signals that may be named.
    pub const ALL: [Self; 4] = [
        Self("TERM", libc::SIGTERM),
        Self("INT", libc::SIGINT),
        Self("QUIT", libc::SIGQUIT),
        Self("HUP", libc::SIGHUP),
    ];

    /// Its name without SIG.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.1
    }
}

/// What a broker declares.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Declares {
    /// MQTT versions, "3.1", "3.1.1", "5.0"; empty: not declared.
    pub mqtt: Vec<String>,
    /// Highest QoS; none: not declared.
    pub max_qos: Option<u8>,
    /// Messages kept for an offline session; none: not declared.
    pub offline_queue: Option<u64>,
    /// What survives kill -9.
    pub durability: Durability,
    /// Filters of topics on which it lets nobody publish.
    pub denies: Vec<String>,
}

/// A statement of the standard that a broker is known not to keep.
#[derive(Clone, PartialEq, Eq, Debug)]
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

impl Manifest {
    /// The manifests there are, by name; where one is wrong, why.
    #[must_use]
    pub fn all() -> Vec<(String, Result<Self, TargetError>)> {
        Folder::names().into_iter().map(|name| (name.clone(), Self::find(&name))).collect()
    }

    /// The manifest of that name.
    ///
    /// # Errors
    /// If there is none, or everything that is wrong with it.
    pub fn find(name: &str) -> Result<Self, TargetError> {
        if let Some(folder) = Folder::find(name) {
            let text = folder.read("broker.toml").map_err(|why| TargetError::usage(why, ""))?;
            return check::parse(folder, &text).map_err(|d| TargetError::usage(d.render(false), ""));
        }
        let known = Folder::names();
        let near = nearest(name, known.iter().map(String::as_str))
            .map_or(String::new(), |n| format!("did you mean \"{n}\"? "));
        Err(TargetError::usage(
            format!("no target is called \"{name}\""),
            format!("{near}known: {}; or mqtt://host:port, or container:IMAGE", known.join(", ")),
        ))
    }

    /// A manifest for an image that somebody names on the command line.
    #[must_use]
    pub fn of_image(image: &str) -> Self {
        Self {
            name: image.to_owned(),
            about: format!("a container of {image}"),
            note: None,
            install: Install::default(),
            version: Version::default(),
            launch: Launch {
                what: What::Image { name: image.to_owned(), port: None },
                args: Vec::new(),
                env: BTreeMap::new(),
                config: Vec::new(),
                prepare: Vec::new(),
                port: None,
                ports: Vec::new(),
                stop_signal: Signal::ALL[0],
                ready_within: Duration::from_secs(60),
                stop_within: Duration::from_secs(20),
            },
            listen: BTreeMap::new(),
            declares: Declares::default(),
            deviates: Vec::new(),
            folder: Folder::none(),
        }
    }

    /// What is missing until it can be launched: nothing if it can.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let programs = self.install.debian.keys().filter(|p| install::program(p).is_none());
        let mut missing: Vec<String> = programs.cloned().collect();
        let cache = install::cache(self);
        missing.extend(self.install.creates.iter().filter(|f| !cache.join(f).exists()).map(|f| format!("its {f}")));
        if install::is_half_built(self) {
            missing.push("the rest of its build, which came to no end".into());
        }
        match &self.launch.what {
            What::Image { name, .. } => match Runtime::find() {
                Ok(runtime) if !runtime.has_image(name) => missing.push(format!("the image {name}")),
                Ok(_) => {}
                Err(error) => missing.push(error.message),
            },
            What::AddressOnly => missing.push("squall does not start it: give its address".into()),
            What::Program(_) => {}
        }
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    /// What this manifest's texts are filled with, as far as the installation goes.
    #[must_use]
    pub fn values(&self) -> Values {
        Values { cache: install::cache(self), ..Values::default() }
    }

    /// The program's path; none if it launches none.
    ///
    /// # Errors
    /// If it is not installed; how to install it.
    pub fn program(&self) -> Result<PathBuf, TargetError> {
        let What::Program(program) = &self.launch.what else {
            return Err(TargetError::usage(format!("{} is no program", self.name), ""));
        };
        if program == "{squall}" {
            return std::env::current_exe().map_err(|e| TargetError::unavailable(e.to_string(), ""));
        }
        let missing = || TargetError::unavailable(format!("{} is not installed", self.name), self.how_to_install());
        if self.missing().is_some() {
            return Err(missing());
        }
        install::program(&self.values().fill(program)).ok_or_else(missing)
    }

    /// How a person installs it, in a line.
    #[must_use]
    pub fn how_to_install(&self) -> String {
        match &self.install.by_hand {
            Some(text) => text.clone(),
            None => format!("squall targets install {}", self.name),
        }
    }

    /// True if it wants certificates.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.listen.keys().any(|k| k.is_tls())
    }

    /// True for squall's own broker, whose command line is known.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(&self.launch.what, What::Program(program) if program == "{squall}")
    }

    /// Its version; none if it does not tell.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        let Version { is, command, after } = &self.version;
        if let Some(version) = is {
            return Some(version.replace("{squall}", env!("CARGO_PKG_VERSION")));
        }
        let (program, arguments) = command.split_first()?;
        let mut run = Command::new(install::program(&self.values().fill(program))?);
        let output = run.args(arguments).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let line = text.lines().find_map(|l| l.strip_prefix(after))?;
        Some(line.split_whitespace().next()?.to_owned())
    }

    /// What it declares, for the judges.
    #[must_use]
    pub fn promises(&self, name: &str) -> BrokerPromises {
        let Declares { max_qos, offline_queue, durability, denies, .. } = &self.declares;
        BrokerPromises {
            name: name.to_owned(),
            max_qos: *max_qos,
            offline_queue: *offline_queue,
            durability: *durability,
            denies: denies.clone(),
        }
    }
}
