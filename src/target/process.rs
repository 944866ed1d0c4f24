//! A broker that squall started, as a program or a container: watched, stopped, and never left behind.

use super::container::{self, Network, Runtime};
use super::log::Log;
use super::manifest::fill::Values;
use super::manifest::{Manifest, What};
use super::minder::{Charge, Life, Minder};
use super::ready::{self, pause};
use super::stop::Stop;
use super::{TargetError, ending, port, resources, tls};
use crate::clock::Clock;
use crate::netns::{self, Namespace};
use crate::time::{Duration, Instant};
use crate::transport::Kind;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

/// How long processes that a broker leaves may take to end by themselves (assumed).
const LEAVING: Duration = Duration::from_secs(2);

/// How long a container runtime may take to note a container's end (assumed).
const RUNTIME: Duration = Duration::from_secs(10);

/// A broker that squall started. Dropping it stops it.
#[derive(Debug)]
pub struct Launched {
    minder: Option<Minder>,
    /// It was stopped or killed on purpose.
    expected_end: bool,
    /// The started process has ended, and what it started is the broker.
    in_background: bool,
    manifest: Manifest,
    extra: Vec<String>,
    folder: PathBuf,
    log: Log,
    values: Values,
    container: Option<Container>,
    /// Where it runs, if not where we do. Held until it is gone: a namespace that nobody holds ends what is in it.
    namespace: Option<Arc<Namespace>>,
    /// What happened that people should know.
    notes: Vec<String>,
}

#[derive(Debug)]
struct Container {
    runtime: Runtime,
    image: String,
    name: String,
    network: Network,
    /// It was made by an earlier start.
    exists: bool,
    /// Its first process, as this machine numbers it.
    root: Option<u32>,
}

/// Where what only the broker needs is kept below a run's folder: its data, its configuration.
#[must_use]
pub fn scratch(folder: &Path) -> PathBuf {
    folder.join("broker-data")
}

/// Where the certificates are, of a folder of configuration files.
fn certificates(config: &Path) -> PathBuf {
    config.join("tls")
}

impl Launched {
    /// Starts the broker on a free port of the loopback and waits until it answers.
    ///
    /// # Errors
    /// If it is not installed, dies, or does not answer in time (with the last lines of its log), or `stop` was asked.
    pub fn start(
        manifest: &Manifest,
        extra: &[String],
        folder: &Path,
        namespace: Option<Arc<Namespace>>,
        stop: &Stop,
    ) -> Result<Self, TargetError> {
        if let (Some(_), What::Image { .. }) = (&namespace, &manifest.launch.what) {
            let message =
                format!("{} is a container, and this engine needs a program in its own namespace", manifest.name);
            return Err(TargetError::usage(message, "use engine = \"smoltcp\", or a target that is a program"));
        }
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let mut last = TargetError::unavailable("never started", "");
        if let Some(port) = manifest.launch.port.filter(|port| resources::listeners(*port).is_some()) {
            let message = format!("port {port}, which {} must have, is {}", manifest.name, resources::holder(port));
            return Err(TargetError::unavailable(message, "end that, or take port out of the manifest"));
        }
        // Another process may take the port between our choice and the broker's bind: then another is tried.
        for _ in 0..3 {
            let mut launched = Self {
                minder: None,
                expected_end: false,
                in_background: false,
                manifest: manifest.clone(),
                extra: extra.to_vec(),
                folder: folder.clone(),
                log: Log::new(&folder),
                values: values(manifest, &folder, namespace.as_deref())?,
                container: container(manifest)?,
                namespace: namespace.clone(),
                notes: Vec::new(),
            };
            match launched.first_start(stop) {
                Ok(()) => return Ok(launched),
                Err(error) if stop.asked() > 0 => return Err(error),
                Err(error) => {
                    let taken = launched.port_taken();
                    last = match (manifest.launch.port, &taken) {
                        (Some(port), Some(taken)) => {
                            let message = format!("{} must have port {port}, and {taken}", manifest.name);
                            let more = format!("{}\n  {}", error.message, error.mend);
                            TargetError::unavailable(message, more.trim_end())
                        }
                        _ => error,
                    };
                    if taken.is_none() || manifest.launch.port.is_some() {
                        break;
                    }
                    drop(launched);
                    let _ = fs::remove_dir_all(scratch(&folder));
                }
            }
        }
        Err(last)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (host(self.namespace.as_deref()), self.container.as_ref().map_or(self.values.port, |c| c.network.port())).into()
    }

    /// Where it listens for that kind, as its manifest says, and WebSocket's path; none: it does not.
    #[must_use]
    pub fn listener(&self, kind: Kind) -> Option<(SocketAddr, &str)> {
        let listen = self.manifest.listen.get(&kind)?;
        let port = match self.container.as_ref().map(|c| c.network) {
            Some(Network::Host(_)) => listen.image_port?,
            _ => *self.values.ports.get(kind.name())?,
        };
        Some(((host(self.namespace.as_deref()), port).into(), &listen.path))
    }

    /// The CA that its certificates are signed by, PEM.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        certificates(&self.values.config).join("ca.pem")
    }

    /// The network namespace that it is in; none: ours.
    pub(super) fn namespace(&self) -> Option<Arc<Namespace>> {
        self.namespace.clone()
    }

    /// Its processes, while it lives.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        match (&self.container, &self.minder) {
            (Some(container), Some(_)) => container.root.map(container::processes).unwrap_or_default(),
            (None, Some(minder)) => minder.below(),
            (_, None) => Vec::new(),
        }
    }

    /// What happened that people should know; each is told once.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn first_start(&mut self, stop: &Stop) -> Result<(), TargetError> {
        self.lay_out()?;
        self.spawn_and_wait(stop)
    }

    /// Why it could not have its ports, if somebody has one of them; asked when it did not come up, and nothing is left of it.
    fn port_taken(&self) -> Option<String> {
        let host = host(self.namespace.as_deref());
        // A container's runtime may hold its ports for a moment more.
        let ours = self.container.is_none().then(|| [&self.values.port].into_iter().chain(self.values.ports.values()));
        let ports: Vec<u16> = ours.into_iter().flatten().copied().collect();
        let look = || Ok(ports.iter().find_map(|port| port::taken(host, *port)));
        let seen = within(self.namespace.as_deref(), look).unwrap_or_default();
        seen.or_else(|| self.log.port_taken().map(|line| format!("its log says: {line}")))
    }

    /// Makes the folders and the configuration, and runs what must run before the first start.
    fn lay_out(&mut self) -> Result<(), TargetError> {
        let trouble =
            |e: std::io::Error| TargetError::unavailable(format!("the broker's folder cannot be made: {e}"), "");
        for folder in [&self.values.data, &self.values.config] {
            fs::create_dir_all(folder).map_err(trouble)?;
        }
        if self.manifest.has_tls() {
            tls::self_signed(&certificates(&self.values.config)).map_err(|why| TargetError::unavailable(why, ""))?;
        }
        for file in &self.manifest.launch.config {
            let text = self.manifest.folder.read(file).map_err(|why| TargetError::usage(why, ""))?;
            let path = self.values.config.join(file);
            fs::create_dir_all(path.parent().unwrap_or(&self.values.config)).map_err(trouble)?;
            fs::write(path, self.values.fill(&text)).map_err(trouble)?;
        }
        for words in &self.manifest.launch.prepare {
            let words: Vec<String> = words.iter().map(|w| self.values.fill(w)).collect();
            let (log, second) = self.log.open()?;
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).envs(self.environment()).stdin(Stdio::null()).stdout(log).stderr(second);
            if !command.status().is_ok_and(|s| s.success()) {
                let message = format!("{}: {} failed", self.manifest.name, words.join(" "));
                return Err(TargetError::unavailable(message, self.log.end()));
            }
        }
        Ok(())
    }

    fn spawn_and_wait(&mut self, stop: &Stop) -> Result<(), TargetError> {
        self.spawn()?;
        let limit = self.manifest.launch.ready_within;
        let (addr, namespace) = (self.addr(), self.namespace.clone());
        let died = || stop.words().or_else(|| self.died()).or_else(|| self.hidden());
        let waited = within(namespace.as_deref(), || ready::wait(addr, limit, None, died));
        if let Err(why) = waited {
            if stop.asked() == 0 && self.move_to_host()? {
                return self.spawn_and_wait(stop);
            }
            let port = self.addr().port();
            self.kill_or_note();
            // How it died was told with the end of its log.
            let end = self.log.end();
            let mend = if why.contains(&end) { String::new() } else { end };
            let name = &self.manifest.name;
            let within = format!("{name} does not answer on port {port} within {limit:?}: {why}");
            return Err(TargetError::unavailable(within, mend));
        }
        self.check_ownership()
    }

    /// Whoever answers must be the one that was started.
    fn check_ownership(&mut self) -> Result<(), TargetError> {
        let port = self.addr().port();
        let processes = self.processes();
        let look = || Ok(resources::listener_is_of(&processes, port));
        if self.container.is_none() && within(self.namespace.as_deref(), look) == Ok(Some(false)) {
            let holder = resources::holder(port);
            self.kill_or_note();
            return Err(TargetError::unavailable(format!("another process answers: port {port} is {holder}"), ""));
        }
        Ok(())
    }

    fn spawn(&mut self) -> Result<(), TargetError> {
        let charge = self.charge()?;
        let (log, _) = self.log.open()?;
        let minder = Minder::start(&charge, &self.environment(), log, self.namespace.as_deref())
            .map_err(|why| TargetError::unavailable(format!("{} cannot be started: {why}", self.manifest.name), ""))?;
        self.minder = Some(minder);
        self.expected_end = false;
        self.in_background = false;
        if let Some(container) = &mut self.container {
            ending::container_made(&container.name);
            container.exists = true;
            container.root = None;
        }
        Ok(())
    }

    /// What the minder is to start.
    fn charge(&mut self) -> Result<Charge, TargetError> {
        let arguments = self.manifest.launch.args.iter().map(|a| self.values.fill(a)).chain(self.extra.iter().cloned());
        let remove = Some(scratch(&self.folder));
        let Some(container) = &self.container else {
            let program = self.manifest.program()?.display().to_string();
            let command = std::iter::once(program).chain(arguments).collect();
            return Ok(Charge { remove, finally: Vec::new(), command });
        };
        let Container { runtime, image, name, network, exists, .. } = container;
        let command = if *exists {
            runtime.with(&["start", "--attach", name])
        } else {
            let has_files = !self.manifest.launch.config.is_empty() || self.manifest.has_tls();
            let config = has_files.then_some(&*self.values.config);
            let listen = self.manifest.listen.iter();
            let further: Vec<(u16, u16)> =
                listen.filter_map(|(k, l)| Some((*self.values.ports.get(k.name())?, l.image_port?))).collect();
            let mut words = runtime.run(name, *network, &further, config, &self.environment());
            words.push(image.clone());
            words.extend(arguments);
            words
        };
        Ok(Charge { remove, finally: runtime.with(&["rm", "--force", "--volumes", name]), command })
    }

    fn environment(&self) -> Vec<(String, String)> {
        self.manifest.launch.env.iter().map(|(k, v)| (k.clone(), self.values.fill(v))).collect()
    }

    /// Why a container's broker will never be reached by its published port, if so.
    fn hidden(&mut self) -> Option<String> {
        let container = self.container.as_mut()?;
        if container.root.is_none() {
            container.root = container.runtime.pid_of(&container.name);
        }
        let Network::Published { inside, .. } = container.network else { return None };
        let root = container.root?;
        let hidden = container::listens_on_loopback_alone(root, inside);
        hidden.then(|| "it listens on the loopback of its container alone".to_owned())
    }

    /// Gives a container whose broker listens on the loopback alone this machine's network; true if that was done.
    fn move_to_host(&mut self) -> Result<bool, TargetError> {
        if self.hidden().is_none() {
            return Ok(false);
        }
        self.kill_or_note();
        let Some(container) = &mut self.container else { return Ok(false) };
        if let Err(why) = container.runtime.remove(&container.name) {
            return Err(TargetError::unavailable(why, ""));
        }
        let Network::Published { inside, .. } = container.network else { return Ok(false) };
        if resources::listeners(inside).is_some() {
            let message = format!(
                "{} listens on the loopback of its container alone, and port {inside} here is {}",
                container.image,
                resources::holder(inside)
            );
            return Err(TargetError::unavailable(message, "free that port, or make the broker listen on 0.0.0.0"));
        }
        container.network = Network::Host(inside);
        container.exists = false;
        self.notes.push(format!(
            "{} listens on the loopback of its container alone, and was given this machine's network",
            self.manifest.name
        ));
        Ok(true)
    }

    /// How it ended, if it ended unasked.
    pub fn died(&mut self) -> Option<String> {
        let life = self.minder.as_mut()?.life();
        let status = match life {
            Life::Running => return None,
            Life::Ended(_) if self.in_background => return None,
            Life::Ended(status) if status.success() && self.container.is_none() && !self.processes().is_empty() => {
                self.in_background = true;
                let name = &self.manifest.name;
                self.notes.push(format!("{name} went to the background, and is minded there"));
                return None;
            }
            Life::Ended(status) => Some(status),
            Life::Gone(status) => status,
        };
        if self.expected_end {
            return None;
        }
        self.kill_or_note();
        let how = status.map_or_else(|| "it ended".to_owned(), ending);
        Some(format!("{how}; {}", self.log.end()))
    }

    /// Whether its process has ended.
    fn has_ended(&mut self) -> bool {
        let Some(minder) = &mut self.minder else { return true };
        match minder.life() {
            Life::Running => false,
            Life::Ended(_) => !self.in_background,
            Life::Gone(_) => true,
        }
    }

    /// Sends a signal to every process of the broker.
    ///
    /// # Errors
    /// If some may not be signalled, by their container's runtime neither.
    pub fn signal_tree(&mut self, signal: i32) -> Result<(), TargetError> {
        let processes = self.processes();
        self.signal(&processes, signal)
    }

    fn signal(&mut self, processes: &[u32], signal: i32) -> Result<(), TargetError> {
        let sent = processes.iter().map(|pid| resources::signal(*pid, signal));
        // All are signalled, whatever came of the first.
        let refused: Vec<std::io::Error> = sent.filter_map(Result::err).collect();
        let Some(refused) = refused.first() else { return Ok(()) };
        let (name, signal_name) = (&self.manifest.name, resources::signal_name(signal));
        let mut why = format!("{name} could not be sent SIG{signal_name}: {refused}");
        if let Some(container) = &self.container {
            match container.runtime.signal(&container.name, signal) {
                Ok(()) => {
                    let note = format!("{name}'s processes are another user's: its container's runtime signals them");
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                    return Ok(());
                }
                Err(words) => why = format!("{why}; {}: {words}", container.runtime.words().join(" ")),
            }
        }
        // What has ended meanwhile needs no signal.
        if !processes.iter().any(|pid| resources::runs(*pid)) {
            return Ok(());
        }
        Err(TargetError::unavailable(why, "its processes are another user's: run squall as that user, or as root"))
    }

    /// kill -9 of every process of the broker; its data stay.
    ///
    /// # Errors
    /// If it may live on: whoever answers later was not killed.
    pub fn kill(&mut self) -> Result<(), TargetError> {
        self.expected_end = true;
        // A container ends with its first process, and the others may be another user's.
        let processes = if self.container.is_some() { self.heads() } else { self.processes() };
        let mut killed = self.signal(&processes, libc::SIGKILL);
        if self.container.is_some() && killed.is_ok() {
            // The runtime notes the container's end before it can be started again.
            let ended = self.wait_until(RUNTIME, |this| this.minder.as_ref().is_none_or(|m| m.below().is_empty()));
            let runs = |c: &Container| c.runtime.pid_of(&c.name).is_some();
            if !ended && self.container.as_ref().is_some_and(runs) {
                let message = format!("{} did not end within {RUNTIME:?} of SIGKILL", self.manifest.name);
                killed = Err(TargetError::unavailable(message, ""));
            }
        }
        if let Some(minder) = self.minder.take() {
            minder.end();
        }
        if let Err(error) = &mut killed {
            // Nobody minds them any more.
            for pid in processes.into_iter().filter(|pid| resources::runs(*pid)) {
                error.message.push_str(&format!("; {} (process {pid}) still runs", resources::name(pid)));
            }
        }
        killed
    }

    fn kill_or_note(&mut self) {
        if let Err(error) = self.kill() {
            self.notes.push(error.message);
        }
    }

    /// Starts it again with the same data, on the same port; does not wait until it answers.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_again(&mut self) -> Result<(), TargetError> {
        self.spawn()
    }

    /// Whether it answers, after [`Self::start_again`].
    ///
    /// # Errors
    /// If another process answers in its place.
    pub fn answers(&mut self) -> Result<bool, TargetError> {
        let addr = self.addr();
        if within(self.namespace.as_deref(), || ready::answers(addr)).is_err() {
            return Ok(false);
        }
        if let Some(container) = &mut self.container {
            container.root = container.runtime.pid_of(&container.name);
        }
        self.check_ownership().map(|()| true)
    }

    /// How long it may take until it answers.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.manifest.launch.ready_within
    }

    /// Stops it by its own signal, and kills it if it does not go.
    ///
    /// # Errors
    /// As [`Self::kill`].
    pub fn stop(&mut self) -> Result<(), TargetError> {
        self.expected_end = true;
        // A runtime refuses this to a container that is not paused.
        let _ = self.signal_tree(libc::SIGCONT);
        let (name, signal) = (self.manifest.name.clone(), self.manifest.launch.stop_signal);
        let heads = self.heads();
        let patience = self.manifest.launch.stop_within;
        if let Err(error) = self.signal(&heads, signal.number()) {
            self.notes.push(format!("{}; it was killed", error.message));
        } else if !self.wait_until(patience, Self::has_ended) {
            self.notes.push(format!("{name} did not stop within {patience:?} of SIG{}, and was killed", signal.name()));
        } else if !self.wait_until(LEAVING, |this| this.processes().is_empty()) {
            let left: Vec<String> = self.processes().into_iter().map(resources::name).collect();
            self.notes.push(format!("{name} left {} running, which was killed", left.join(", ")));
        }
        self.kill()
    }

    /// Stops it for good: its container, if it has one, is removed.
    pub fn end(&mut self) {
        if self.minder.is_some()
            && let Err(error) = self.stop()
        {
            self.notes.push(error.message);
        }
        if let Some(container) = self.container.as_mut().filter(|c| c.exists) {
            container.exists = false;
            self.notes.extend(container.runtime.remove(&container.name).err());
            ending::container_gone(&container.name);
        }
    }

    /// The processes that the stop signal goes to.
    fn heads(&self) -> Vec<u32> {
        match (&self.container, &self.minder) {
            (Some(container), Some(_)) => container.root.into_iter().collect(),
            (None, Some(minder)) if self.in_background => minder.below(),
            (None, Some(minder)) => vec![minder.main],
            (_, None) => Vec::new(),
        }
    }

    fn wait_until(&mut self, limit: Duration, is_so: impl Fn(&mut Self) -> bool) -> bool {
        let clock = Clock::start();
        while !is_so(self) {
            if clock.now() > Instant::ZERO + limit {
                return false;
            }
            pause(Duration::from_millis(10));
        }
        true
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.end();
        // Whoever ended it has told them; of what failed at its start nobody else would.
        for note in self.take_notes() {
            eprintln!("note: {note}");
        }
    }
}

/// How a process ended, in words.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with code {code}"),
        (_, Some(signal)) => format!("it was ended by signal {signal}"),
        _ => "it ended".to_owned(),
    }
}

fn values(manifest: &Manifest, folder: &Path, namespace: Option<&Namespace>) -> Result<Values, TargetError> {
    let mut values = manifest.values();
    values.host = Some(host(namespace));
    // In a namespace of its own every port is free, and a capture is read as MQTT by whoever knows the usual one.
    let usual = manifest.launch.port.or(namespace.map(|_| Kind::Tcp.port()));
    values.port = usual.map_or_else(port::free, Ok)?;
    let further = manifest.listen.keys().map(|k| k.name());
    for name in manifest.launch.ports.iter().map(String::as_str).chain(further) {
        values.ports.insert(name.to_owned(), port::free()?);
    }
    values.data = scratch(folder).join("data");
    values.config = scratch(folder).join("config");
    Ok(values)
}

fn container(manifest: &Manifest) -> Result<Option<Container>, TargetError> {
    let What::Image { name: image, port } = &manifest.launch.what else { return Ok(None) };
    let runtime = Runtime::find()?;
    if !runtime.has_image(image) {
        if manifest.folder.name().is_empty() {
            runtime.pull(image)?;
        } else {
            let message = format!("the image {image} is not on this machine");
            return Err(TargetError::unavailable(message, manifest.how_to_install()));
        }
    }
    let inside = port.map_or_else(|| runtime.port_of(image), Ok)?;
    let port = manifest.launch.port.map_or_else(port::free, Ok)?;
    let name = format!("squall-{}-{port}", std::process::id());
    let network = Network::Published { port, inside };
    Ok(Some(Container { runtime, image: image.clone(), name, network, exists: false, root: None }))
}

/// Where a broker listens that squall starts.
fn host(namespace: Option<&Namespace>) -> Ipv4Addr {
    if namespace.is_some() { netns::BROKER } else { Ipv4Addr::LOCALHOST }
}

/// Does something where the broker is.
pub(super) fn within<T: Send>(
    namespace: Option<&Namespace>,
    f: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    match namespace {
        None => f(),
        Some(namespace) => namespace.run(f).map_err(|e| e.to_string())?,
    }
}
