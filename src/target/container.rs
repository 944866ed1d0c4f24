//! Containers, by docker or podman, whichever is there.

use super::{TargetError, resources};
use crate::transport::Kind;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where the configuration files are in a container.
pub const CONFIG: &str = "/squall";

/// The most tasks of a container's user (assumed to be enough for any broker: some machines refuse limits near their own).
const TASKS: u64 = 16_384;

/// A container runtime that answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Runtime(Vec<String>);

impl Runtime {
    /// The runtime: what `SQUALL_CONTAINER` says (a command with its options), else docker, else podman.
    ///
    /// # Errors
    /// If none answers; what was tried.
    pub fn find() -> Result<Self, TargetError> {
        // One that is not there may be installed meanwhile.
        static FOUND: OnceLock<Runtime> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(found.clone());
        }
        Self::look().map(|found| FOUND.get_or_init(|| found).clone())
    }

    fn look() -> Result<Self, TargetError> {
        let set = std::env::var("SQUALL_CONTAINER").unwrap_or_default();
        let tries: Vec<&str> = if set.trim().is_empty() { vec!["docker", "podman"] } else { vec![&set] };
        let mut said = Vec::new();
        for words in tries {
            let runtime = Self(words.split_whitespace().map(str::to_owned).collect());
            // `info` asks docker's daemon too.
            match runtime.ask(&["info"]) {
                Ok(_) => return Ok(runtime),
                Err(why) => said.push(format!("{words}: {why}")),
            }
        }
        Err(TargetError::unavailable(
            format!("no container runtime answers ({})", said.join("; ")),
            "install docker or podman, start its daemon, or set SQUALL_CONTAINER to its command with options",
        ))
    }

    /// The command and its options.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// The command with further arguments, as words.
    #[must_use]
    pub fn with(&self, arguments: &[&str]) -> Vec<String> {
        self.0.iter().cloned().chain(arguments.iter().map(|a| (*a).to_owned())).collect()
    }

    /// What it answers; the last line of what it complains otherwise.
    fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.0[0]);
        let output = command.args(&self.0[1..]).args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(complaint.lines().last().unwrap_or("it failed without a word").to_owned())
    }

    /// Whether an image is on this machine.
    #[must_use]
    pub fn has_image(&self, image: &str) -> bool {
        self.ask(&["image", "inspect", "--format", "{{.Id}}", image]).is_ok()
    }

    /// Fetches an image that the user asked for by name.
    ///
    /// # Errors
    /// If it is not to be had.
    pub fn pull(&self, image: &str) -> Result<(), TargetError> {
        eprintln!("{image} is not on this machine: {} pull {image}", self.0[0]);
        self.ask(&["pull", image])
            .map(drop)
            .map_err(|why| TargetError::unavailable(format!("{image} is not to be had: {why}"), "check its name"))
    }

    /// The port that the broker has in a container of this image: 1883 if it says so or says nothing, else its only one.
    ///
    /// # Errors
    /// If it names several others.
    pub fn port_of(&self, image: &str) -> Result<u16, TargetError> {
        let exposed = self.ask(&[
            "image",
            "inspect",
            "--format",
            "{{range $p, $x := .Config.ExposedPorts}}{{$p}} {{end}}",
            image,
        ]);
        let exposed = exposed.unwrap_or_default();
        let ports: Vec<u16> = exposed.split_whitespace().filter_map(|p| p.strip_suffix("/tcp")?.parse().ok()).collect();
        match ports.as_slice() {
            [] => Ok(Kind::Tcp.port()),
            [only] => Ok(*only),
            all if all.contains(&Kind::Tcp.port()) => Ok(Kind::Tcp.port()),
            all => Err(TargetError::usage(
                format!("{image} has several ports, {all:?}, and 1883 is none of them"),
                "write a manifest for it: [launch] image = \"...\", image_port = N",
            )),
        }
    }

    /// The first process of a running container; none if it does not run.
    #[must_use]
    pub fn pid_of(&self, container: &str) -> Option<u32> {
        let pid = self.ask(&["inspect", "--format", "{{.State.Pid}}", container]).ok()?.parse().ok()?;
        (pid > 0).then_some(pid)
    }

    /// Signals a container whose processes this user may not signal. `kill` reaches its first process alone, with which all end;
    /// what is to stop and go on again is frozen, all of it.
    ///
    /// # Errors
    /// If the runtime refuses too: its words.
    pub fn signal(&self, container: &str, signal: i32) -> Result<(), String> {
        let name = resources::signal_name(signal);
        let words = match signal {
            libc::SIGSTOP => vec!["pause", container],
            libc::SIGCONT => vec!["unpause", container],
            _ => vec!["kill", "--signal", name.as_str(), container],
        };
        self.ask(&words).map(drop)
    }

    /// Removes a container, whatever it does; one that is gone already is removed.
    ///
    /// # Errors
    /// If it is still there, or the runtime does not answer: in words, with how to remove it by hand.
    pub fn remove(&self, container: &str) -> Result<(), String> {
        let words = ["rm", "--force", "--volumes", container];
        let Err(why) = self.ask(&words) else { return Ok(()) };
        let gone = ["no such container", "no container with"].iter().any(|w| why.to_lowercase().contains(w));
        let by_hand = self.with(&words).join(" ");
        if gone {
            Ok(())
        } else {
            Err(format!("container {container} could not be removed: {why}; by hand: {by_hand}"))
        }
    }

    /// The words of `run`, for a new container; `further` are more ports to publish, here and in the container.
    #[must_use]
    pub fn run(
        &self,
        name: &str,
        network: Network,
        further: &[(u16, u16)],
        config: Option<&Path>,
        env: &[(String, String)],
    ) -> Vec<String> {
        let mut words = self.with(&["run", "--name", name, "--pull", "never"]);
        match network {
            Network::Published { port, inside } => {
                for (port, inside) in [(port, inside)].iter().chain(further) {
                    words.extend(["--publish".to_owned(), format!("127.0.0.1:{port}:{inside}")]);
                }
            }
            Network::Host(_) => words.extend(["--network".to_owned(), "host".to_owned()]),
        }
        // A runtime's own defaults may be above what this machine allows.
        for (limit, which, most) in [("nofile", Resource::Nofile, u64::MAX), ("nproc", Resource::Nproc, TASKS)] {
            if let Some(most) = getrlimit(which).maximum.map(|allowed| allowed.min(most)) {
                words.extend(["--ulimit".to_owned(), format!("{limit}={most}:{most}")]);
            }
        }
        if let Some(folder) = config {
            words.extend(["--volume".to_owned(), format!("{}:{CONFIG}:ro", folder.display())]);
        }
        for (key, value) in env {
            words.extend(["--env".to_owned(), format!("{key}={value}")]);
        }
        words
    }
}

/// How a container's broker is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// Through a port of this machine's loopback.
    Published {
        /// The port here.
        port: u16,
        /// The port in the container.
        inside: u16,
    },
    /// The container uses this machine's network, with this port: for brokers that listen on the loopback alone.
    Host(u16),
}

impl Network {
    /// The port of this machine.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Published { port, .. } | Self::Host(port) => port,
        }
    }
}

/// Whether a process in a network namespace of its own listens on that port of the loopback and nowhere else.
#[must_use]
pub fn listens_on_loopback_alone(pid: u32, port: u16) -> bool {
    let mut addresses = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let lines = text.lines().skip(1).map(|l| l.split_whitespace().collect::<Vec<_>>());
        let listening = lines.filter(|f| f.len() > 3 && f[3] == "0A" && f[1].ends_with(&format!(":{port:04X}")));
        addresses.extend(listening.map(|f| f[1].split(':').next().unwrap_or("").to_owned()));
    }
    // 127.0.0.1 and ::1, as the kernel writes them.
    let loopback = |a: &String| a == "0100007F" || a == "00000000000000000000000001000000";
    !addresses.is_empty() && addresses.iter().all(loopback)
}

/// The processes of a container whose first process is `root`; a container ends with it.
#[must_use]
pub fn processes(root: u32) -> Vec<u32> {
    if !resources::runs(root) {
        return Vec::new();
    }
    let mut all = vec![root];
    all.extend(resources::below(root));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_freezes_a_container_and_other_signals_go_to_its_first_process() {
        let signals = [
            (libc::SIGSTOP, "pause it"),
            (libc::SIGCONT, "unpause it"),
            (libc::SIGKILL, "kill --signal KILL it"),
            (libc::SIGTERM, "kill --signal TERM it"),
        ];
        for (signal, words) in signals {
            let test = format!("test \"$*\" = '{words}'");
            let runtime = Runtime(["sh", "-c", test.as_str(), "sh"].map(str::to_owned).to_vec());
            assert_eq!(runtime.signal("it", signal), Ok(()), "{words}");
        }
    }
}
