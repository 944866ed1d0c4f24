//! Where the broker under test comes from: a program or container that squall launches, or an address.

pub mod address;
pub mod container;
pub mod ending;
pub mod exchange;
pub mod install;
mod log;
pub mod manifest;
pub mod minder;
mod port;
pub mod process;
pub mod ready;
pub mod resources;
pub mod stop;
pub mod stream;
pub mod tls;
pub mod way;

use crate::measure::summary::ResourceSample;
use crate::netns::Networks;
use crate::promise::BrokerPromises;
use crate::time::{Duration, Instant};
use crate::transport::Kind;
use address::Address;
use manifest::{Manifest, What};
use process::Launched;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use stop::Stop;
use stream::Endpoint;
use way::{Endpoints, Way};

/// Why a target cannot be had, in words for people: what is wrong, and how to mend it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetError {
    /// What is wrong.
    pub message: String,
    /// How to mend it; may be empty.
    pub mend: String,
    /// True if the user asked for something that does not exist (exit 3); false if it could not be had (exit 4).
    pub usage: bool,
}

impl TargetError {
    /// The target cannot be had.
    #[must_use]
    pub fn unavailable(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { message: message.into(), mend: mend.into(), usage: false }
    }

    /// The user asked for something that does not exist.
    #[must_use]
    pub fn usage(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { message: message.into(), mend: mend.into(), usage: true }
    }
}

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// A manifest's name, a URL, or `container:IMAGE`.
    pub target: &'a str,
    /// Addresses that are not on this machine are allowed.
    pub remote: bool,
    /// What load is about to be sent, in words.
    pub load: &'a str,
    /// Deliberate defects of the reference broker, as on its command line.
    pub defects: &'a [String],
    /// Where the broker's log and data go.
    pub folder: &'a Path,
    /// How to speak to it.
    pub way: &'a Way,
    /// Asked while it is waited for.
    pub stop: &'a Stop,
}

/// A broker that answers.
#[derive(Debug)]
pub struct Target {
    /// Where it listens; squall's own, for plain MQTT.
    pub addr: SocketAddr,
    /// Where clients connect, and how.
    pub endpoints: Endpoints,
    /// Name and version.
    pub name: String,
    /// "launched" or "address".
    pub kind: &'static str,
    /// User and password from the URL.
    pub credentials: Option<(String, String)>,
    /// What it declares.
    pub promises: BrokerPromises,
    /// The namespaces around it, if the engine has any; a run takes them.
    pub networks: Option<Networks>,
    /// What must be said wherever its results are shown.
    pub note: Option<String>,
    launched: Option<Launched>,
}

impl Target {
    /// Whether there is such a target, as far as that can be said without starting or reaching it. What was built for it stays from
    /// here on.
    ///
    /// # Errors
    /// If there is none, or it is not on this machine and `remote` does not allow that.
    pub fn check(target: &str, remote: bool) -> Result<(), TargetError> {
        if !target.contains("://") {
            return if target.starts_with("container:") {
                Ok(())
            } else {
                Manifest::find(target).map(|m| install::hold(&m))
            };
        }
        let address = Address::parse(target)?;
        if remote || address.resolve()?.ip().is_loopback() {
            return Ok(());
        }
        let mend = "add --remote if that broker is yours to load";
        Err(TargetError::usage(format!("{address} is not on this machine"), mend))
    }

    /// Starts or reaches the broker, and waits until it answers a CONNECT.
    ///
    /// # Errors
    /// If there is no such target, or it cannot be had, or an early end was asked for.
    pub fn prepare(wish: &Wish<'_>) -> Result<Self, TargetError> {
        Self::prepare_in(wish, None)
    }

    /// The same in the network of an engine that lives in namespaces.
    ///
    /// # Errors
    /// As [`Self::prepare`]; and an address cannot be put into a namespace.
    pub fn prepare_in(wish: &Wish<'_>, networks: Option<Networks>) -> Result<Self, TargetError> {
        match &networks {
            Some(networks) if wish.target.contains("://") => {
                let engine = networks.engine.name();
                let message = format!("engine \"{engine}\" needs the broker in a network namespace of its own");
                let mend =
                    "name a target that squall starts (squall targets), or use engine = \"smoltcp\" for an address";
                return Err(TargetError::usage(message, mend));
            }
            None if wish.target.contains("://") => return Self::at_address(wish),
            _ => {}
        }
        let namespace = networks.as_ref().map(|n| Arc::clone(&n.broker));
        let manifest = match wish.target.strip_prefix("container:") {
            Some(image) => Manifest::of_image(image),
            None => Manifest::find(wish.target)?,
        };
        if manifest.launch.what == What::AddressOnly {
            let message = format!("squall does not start {}", manifest.name);
            return Err(TargetError::unavailable(message, manifest.how_to_install()));
        }
        if !wish.defects.is_empty() && !manifest.is_own() {
            return Err(TargetError::usage("only the reference broker has defects", "leave --defect out"));
        }
        check_listeners(wish.way, &manifest)?;
        let extra: Vec<String> = wish.defects.iter().flat_map(|d| ["--defect".to_owned(), d.clone()]).collect();
        install::hold(&manifest);
        let version = manifest.version();
        let mut launched = Launched::start(&manifest, &extra, wish.folder, namespace, wish.stop)?;
        let endpoints = endpoints(wish, &mut launched)?;
        let name = version.map_or_else(|| manifest.name.clone(), |v| format!("{} {v}", manifest.name));
        let promises = manifest.promises(&name);
        Ok(Self {
            addr: launched.addr(),
            endpoints,
            name,
            kind: "launched",
            credentials: None,
            promises,
            networks,
            note: manifest.note,
            launched: Some(launched),
        })
    }

    fn at_address(wish: &Wish<'_>) -> Result<Self, TargetError> {
        let address = Address::parse(wish.target)?;
        let addr = address.resolve()?;
        if !addr.ip().is_loopback() && !wish.remote {
            return Err(TargetError::usage(
                format!("{address} is not on this machine; this run would send it {}", wish.load),
                "add --remote if that broker is yours to load",
            ));
        }
        let kind = address.kind;
        if let Some(other) = wish.way.transport.iter().chain(&wish.way.others).find(|k| **k != kind) {
            let message = format!("{address} says {kind}, and {other} is asked for");
            return Err(TargetError::usage(message, "a URL has one transport: choose it by its scheme"));
        }
        let endpoint = wish.way.endpoint(kind, addr, (&address.host, &address.path), None)?;
        let credentials = address.user.clone().map(|u| (u, address.password.clone().unwrap_or_default()));
        ready::wait_at(&endpoint, Duration::from_secs(5), credentials.as_ref(), || wish.stop.words()).map_err(
            |why| TargetError::unavailable(format!("{address} does not answer: {why}"), "is a broker listening there?"),
        )?;
        let name = address.to_string();
        let promises = BrokerPromises { name: name.clone(), ..BrokerPromises::default() };
        let endpoints = Endpoints::one(endpoint);
        let networks = None;
        Ok(Self { addr, endpoints, name, kind: "address", credentials, promises, networks, note: None, launched: None })
    }

    /// Its listeners beside plain MQTT, if squall started it; whether they answer is another question.
    ///
    /// # Errors
    /// If what TLS needs cannot be read.
    pub fn further(&self, way: &Way) -> Result<Vec<(Kind, Endpoint)>, TargetError> {
        let Some(launched) = &self.launched else { return Ok(Vec::new()) };
        let one = |kind| Some(endpoint(way, launched, kind)?.map(|endpoint| (kind, endpoint)));
        Kind::ALL.into_iter().filter_map(one).collect()
    }

    /// Whether squall started it.
    #[must_use]
    pub fn is_launched(&self) -> bool {
        self.launched.is_some()
    }

    /// Its process tree now; none where it cannot be seen.
    #[must_use]
    pub fn sample(&self, now: Instant) -> Option<ResourceSample> {
        resources::sample(&self.launched.as_ref()?.processes(), now)
    }

    /// How it ended, if it ended unasked.
    pub fn died(&mut self) -> Option<String> {
        self.launched.as_mut()?.died()
    }

    /// Why a broker at an address no longer answers a CONNECT; none if it does, or if squall started it (see [`Self::died`]).
    #[must_use]
    pub fn silent(&self) -> Option<String> {
        if self.is_launched() {
            return None;
        }
        let limit = Duration::from_secs(2);
        ready::wait_at(self.endpoints.usual(), limit, self.credentials.as_ref(), || None).err()
    }

    /// Stops its process tree for a while (SIGSTOP).
    ///
    /// # Errors
    /// If squall did not start it, or may not signal it.
    pub fn pause(&mut self) -> Result<(), TargetError> {
        self.process()?.signal_tree(libc::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// If squall did not start it, or may not signal it.
    pub fn resume(&mut self) -> Result<(), TargetError> {
        self.process()?.signal_tree(libc::SIGCONT)
    }

    /// kill -9.
    ///
    /// # Errors
    /// If squall did not start it, or it may live on.
    pub fn kill(&mut self) -> Result<(), TargetError> {
        self.process()?.kill()
    }

    /// Starts it again, with the same data, on the same port; [`Self::answers`] tells when it is ready.
    ///
    /// # Errors
    /// If squall did not start it, or it cannot be started.
    pub fn start_again(&mut self) -> Result<(), TargetError> {
        self.process()?.start_again()
    }

    /// Whether it answers a CONNECT, after it was started again.
    ///
    /// # Errors
    /// If another process answers in its place.
    pub fn answers(&mut self) -> Result<bool, TargetError> {
        self.process()?.answers()
    }

    /// How long it may take until it answers.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.launched.as_ref().map_or(Duration::ZERO, Launched::patience)
    }

    /// Stops it by its own signal, and kills it if it does not go; it can be started again.
    ///
    /// # Errors
    /// If it may live on.
    pub fn stop(&mut self) -> Result<(), TargetError> {
        self.launched.as_mut().map_or(Ok(()), Launched::stop)
    }

    /// Stops it for good. What happened to its process that people should know, such as that it had to be killed, or that its
    /// container is still there; each is told once.
    pub fn end(&mut self) -> Vec<String> {
        let Some(launched) = &mut self.launched else { return Vec::new() };
        launched.end();
        launched.take_notes()
    }

    /// Takes away what only a launched broker's process needed, once it is stopped.
    pub fn tidy(folder: &Path) {
        let _ = std::fs::remove_dir_all(process::scratch(folder));
        let log = folder.join("broker.log");
        if std::fs::metadata(&log).is_ok_and(|m| m.len() == 0) {
            let _ = std::fs::remove_file(log);
        }
    }

    fn process(&mut self) -> Result<&mut Launched, TargetError> {
        let message = "this scenario does something to the broker's process, which squall did not start";
        self.launched
            .as_mut()
            .ok_or_else(|| TargetError::usage(message, "use a target by name, or leave [[fault]] out"))
    }
}

/// Whether the manifest has a listener for all that is asked for.
fn check_listeners(way: &Way, manifest: &Manifest) -> Result<(), TargetError> {
    let mut asked = way.transport.iter().chain(&way.others).filter(|k| **k != Kind::Tcp);
    let Some(kind) = asked.find(|k| !manifest.listen.contains_key(*k)) else { return Ok(()) };
    let url = "start it yourself, and give its URL: mqtts://, ws:// or wss://";
    let mend = match manifest.folder.name() {
        "" => url.to_owned(),
        _ => format!("add {kind} to [listen] of {}, or {url}", manifest.folder.path_of("broker.toml")),
    };
    Err(TargetError::usage(format!("squall does not start {} with {kind}", manifest.name), mend))
}

/// The endpoint of one further listener of a broker that squall started.
fn endpoint(way: &Way, launched: &Launched, kind: Kind) -> Option<Result<Endpoint, TargetError>> {
    let (addr, path) = launched.listener(kind)?;
    Some(way.endpoint(kind, addr, ("localhost", path), Some(launched.ca())))
}

/// The endpoints that are asked for of a broker that squall started, each of which answers.
fn endpoints(wish: &Wish<'_>, launched: &mut Launched) -> Result<Endpoints, TargetError> {
    let way = wish.way;
    let mut all = BTreeMap::from([(Kind::Tcp, Arc::new(Endpoint::plain(launched.addr())))]);
    for kind in way.transport.iter().chain(&way.others) {
        let Some(endpoint) = endpoint(way, launched, *kind).transpose()? else { continue };
        // A further listener may open a moment after the first.
        let (namespace, limit) = (launched.namespace(), launched.patience());
        process::within(namespace.as_deref(), || {
            ready::wait_at(&endpoint, limit, None, || wish.stop.words().or_else(|| launched.died()))
        })
        .map_err(|why| TargetError::unavailable(format!("the broker does not answer over {kind}: {why}"), ""))?;
        all.insert(*kind, Arc::new(endpoint));
    }
    let usual = (*all[&way.transport.unwrap_or_default()]).clone();
    Ok(Endpoints::new(usual, all))
}
