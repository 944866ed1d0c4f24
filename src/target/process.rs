//! A broker's process: started, watched, stopped, and never left behind.

use super::manifest::Manifest;
use super::ready::{self, pause};
use super::{TargetError, resources};
use crate::clock::Clock;
use crate::netns::{self, Namespace};
use crate::time::{Duration, Instant};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// A broker that squall started. Dropping it stops it.
#[derive(Debug)]
pub struct Launched {
    child: Option<Child>,
    /// It was stopped or killed on purpose.
    expected_end: bool,
    manifest: Manifest,
    extra: Vec<String>,
    folder: PathBuf,
    port: u16,
    /// Where it runs, if not where we do. Held until the process is gone: a namespace that nobody holds ends what is in it.
    namespace: Option<Arc<Namespace>>,
}

impl Launched {
    /// Starts the broker on a free port of the loopback and waits until it answers.
    ///
    /// # Errors
    /// If it is not installed, dies, or does not answer in time (with the last lines of its log).
    pub fn start(
        manifest: &Manifest,
        extra: &[String],
        folder: &Path,
        namespace: Option<Arc<Namespace>>,
    ) -> Result<Self, TargetError> {
        let mut last = TargetError::unavailable("never started", "");
        // Another process may take the port between our choice and the broker's bind: then another is tried.
        for _ in 0..3 {
            let mut launched = Self {
                child: None,
                expected_end: false,
                manifest: manifest.clone(),
                extra: extra.to_vec(),
                folder: folder.to_owned(),
                port: free_port()?,
                namespace: namespace.clone(),
            };
            match launched.spawn_and_wait() {
                Ok(()) => return Ok(launched),
                Err(error) => {
                    let taken = launched.log_tail().to_lowercase().contains("address already in use");
                    last = error;
                    if !taken {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (host(self.namespace.as_deref()), self.port).into()
    }

    /// Its process, while it lives.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn spawn_and_wait(&mut self) -> Result<(), TargetError> {
        self.spawn()?;
        let (patience, _) = self.manifest.patience();
        let (addr, namespace) = (self.addr(), self.namespace.clone());
        let waited = within(namespace.as_deref(), || ready::wait(addr, patience, None, || self.died()));
        if let Err(why) = waited {
            let tail = self.log_tail();
            self.kill();
            let name = &self.manifest.name;
            let mend = if tail.is_empty() { String::new() } else { format!("the end of its log:\n{tail}") };
            return Err(TargetError::unavailable(format!("{name} does not answer on port {}: {why}", self.port), mend));
        }
        // Whoever answers must be the one we started.
        let pid = self.pid().unwrap_or(0);
        let port = self.port;
        if within(namespace.as_deref(), || Ok(resources::listener_is_of(pid, port))) == Ok(Some(false)) {
            self.kill();
            return Err(TargetError::unavailable(format!("address already in use: port {}", self.port), ""));
        }
        Ok(())
    }

    fn spawn(&mut self) -> Result<(), TargetError> {
        let program = self.manifest.program()?;
        let trouble = |what: &str, e: std::io::Error| TargetError::unavailable(format!("{what}: {e}"), "");
        let data = self.folder.join("broker-data");
        fs::create_dir_all(&data).map_err(|e| trouble("the broker's data folder cannot be made", e))?;
        let config = self.folder.join("broker.conf");
        let fill = |text: &str| {
            text.replace("{port}", &self.port.to_string())
                .replace("{host}", &self.addr().ip().to_string())
                .replace("{data}", &data.display().to_string())
                .replace("{config}", &config.display().to_string())
                .replace("{user}", &user())
        };
        if let Some(template) = self.manifest.config_template()? {
            fs::write(&config, fill(&template))
                .map_err(|e| trouble("the broker's configuration cannot be written", e))?;
        }
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(|e| trouble("the broker's log cannot be opened", e))?;
        let second = log.try_clone().map_err(|e| trouble("the broker's log cannot be opened", e))?;
        let mut command = Command::new(&program);
        command
            .args(self.manifest.launch.args.iter().map(|a| fill(a)))
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(second)
            .process_group(0);
        // SAFETY: prctl is async-signal-safe and touches nothing of ours.
        unsafe {
            command.pre_exec(|| {
                // If squall dies, however it does, the broker goes too.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        if let Some(namespace) = &self.namespace {
            namespace.confine(&mut command);
        }
        let name = &self.manifest.name;
        let child = command.spawn().map_err(|e| trouble(&format!("{name} cannot be started"), e))?;
        self.child = Some(child);
        self.expected_end = false;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn log_tail(&self) -> String {
        let text = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().map(|l| format!("    {l}")).collect::<Vec<_>>().join("\n")
    }

    /// How it ended, if it ended unasked.
    pub fn died(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        if self.expected_end {
            return None;
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with code {code}"),
            (_, Some(signal)) => format!("it was ended by signal {signal}"),
            _ => "it ended".to_owned(),
        };
        let tail = self.log_tail();
        Some(if tail.is_empty() { how } else { format!("{how}; the end of its log:\n{tail}") })
    }

    /// Sends a signal to every process of the tree.
    pub fn signal_tree(&mut self, signal: i32) {
        let Some(pid) = self.pid() else { return };
        for member in resources::tree(pid) {
            // SAFETY: kill takes numbers only; the tree was just read and our child is not reaped.
            unsafe {
                libc::kill(i32::try_from(member).unwrap_or(i32::MAX), signal);
            }
        }
    }

    /// kill -9 of the whole tree.
    pub fn kill(&mut self) {
        self.expected_end = true;
        self.signal_tree(libc::SIGKILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Starts it again with the same data, on the same port.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn start_again(&mut self) -> Result<(), TargetError> {
        self.spawn_and_wait()
    }

    /// Stops it by its own signal, and kills it if it does not go; says so then.
    pub fn stop(&mut self) -> Option<String> {
        let pid = self.pid()?;
        self.expected_end = true;
        let tree = resources::tree(pid);
        let signal = self.manifest.signal().unwrap_or(libc::SIGTERM);
        // SAFETY: our child is not reaped yet, so that the number is its own.
        unsafe {
            libc::kill(i32::try_from(pid).unwrap_or(i32::MAX), libc::SIGCONT);
            libc::kill(i32::try_from(pid).unwrap_or(i32::MAX), signal);
        }
        let (_, patience) = self.manifest.patience();
        let clock = Clock::start();
        let mut said = None;
        while self.child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None))) {
            if clock.now() > Instant::ZERO + patience {
                said = Some(format!(
                    "{} did not stop within {patience:?} of SIG{}, and was killed",
                    self.manifest.name, self.manifest.launch.stop_signal
                ));
                break;
            }
            pause(Duration::from_millis(10));
        }
        self.kill();
        // Children that outlived their parent; their numbers may only be used if they are still what they were.
        for member in tree.into_iter().filter(|m| *m != pid && resources::group_of(*m) == Some(pid)) {
            // SAFETY: as above.
            unsafe {
                libc::kill(i32::try_from(member).unwrap_or(i32::MAX), libc::SIGKILL);
            }
        }
        said
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
    }
}

/// Where a broker listens that squall starts.
pub(super) fn host(namespace: Option<&Namespace>) -> Ipv4Addr {
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

/// A port of the loopback that nobody has now.
pub(super) fn free_port() -> Result<u16, TargetError> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    bound.map(|a| a.port()).map_err(|e| TargetError::unavailable(format!("no free port: {e}"), ""))
}

/// The user's name, for configurations that want one.
fn user() -> String {
    if rustix::process::geteuid().is_root() { "root".into() } else { std::env::var("USER").unwrap_or_default() }
}
