//! A broker's log: its end, for people, and what it says of a port that somebody else has.

use super::TargetError;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// As much of a start's log is searched (assumed to be enough for what a broker says before it listens).
const SEARCHED: u64 = 1 << 20;

/// What is said of a port that somebody has, in lower case: by the C library and whoever asks it (mosquitto, Go, Java, podman), by musl,
/// by Node and Erlang, by docker.
const TAKEN: [&str; 4] = ["address already in use", "address in use", "eaddrinuse", "port is already allocated"];
/// Java's exception for any trouble with a port, with words in the user's language; and what is no port that is taken.
const BIND: &str = "bindexception";
const NO_SUCH: [&str; 3] = ["cannot assign requested address", "permission denied", "eacces"];

/// The log of one broker, over all its starts.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// Where the words of its newest start begin.
    from: u64,
}

impl Log {
    pub(super) fn new(folder: &Path) -> Self {
        let path = folder.join("broker.log");
        let from = fs::metadata(&path).map_or(0, |m| m.len());
        Self { path, from }
    }

    /// For one who writes into it, twice.
    pub(super) fn open(&self) -> Result<(File, File), TargetError> {
        let opened = OpenOptions::new().create(true).append(true).open(&self.path);
        opened
            .and_then(|log| Ok((log.try_clone()?, log)))
            .map_err(|e| TargetError::unavailable(format!("the broker's log cannot be opened: {e}"), ""))
    }

    /// Its last lines, for people.
    pub(super) fn end(&self) -> String {
        let text = fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        let tail = lines.into_iter().rev().map(|l| format!("    {l}")).collect::<Vec<_>>().join("\n");
        if tail.is_empty() { "its log is empty".into() } else { format!("the end of its log:\n{tail}") }
    }

    /// What it says of a port that somebody else has, since [`Self::new`].
    pub(super) fn port_taken(&self) -> Option<String> {
        let mut text = Vec::new();
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.from)).ok()?;
        file.take(SEARCHED).read_to_end(&mut text).ok()?;
        String::from_utf8_lossy(&text).lines().find(|l| says_taken(l)).map(|l| l.trim().to_owned())
    }
}

/// Whether a line says that a port is taken.
fn says_taken(line: &str) -> bool {
    let line = line.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| line.contains(w));
    says(&TAKEN) || (line.contains(BIND) && !says(&NO_SUCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that brokers, and docker, podman and musl, were seen to write.
    #[test]
    fn a_taken_port_is_told_from_other_trouble() {
        for line in [
            "1796043953: Error: Address already in use",
            "1674571200: Error: Address in use",
            "Error: listen EADDRINUSE: address already in use 127.0.0.1:18831",
            "panic: listen tcp 127.0.0.1:18831: bind: address already in use",
            "java.net.BindException: Address already in use (Bind failed)",
            "java.net.BindException: Die Adresse wird bereits verwendet (Bind failed)",
            "Caused by: io.netty.channel.unix.Errors$NativeIoException: bind(..) failed with error(-98): Address already in use",
            "Failed to start Ranch listener {acceptor,{127,0,0,1},1883} in ranch_tcp:listen: eaddrinuse (address already in use)",
            "docker: Error response from daemon: driver failed programming external connectivity on endpoint squall-1-1883 \
             (08bb0bd9684c): Bind for 127.0.0.1:1883 failed: port is already allocated.",
            "Error: cannot listen on the TCP port: listen tcp4 127.0.0.1:1883: bind: address already in use",
        ] {
            assert!(says_taken(line), "{line}");
        }
        for line in [
            "java.net.BindException: Cannot assign requested address (Bind failed)",
            "java.net.BindException: Permission denied (Bind failed)",
            "docker: Error response from daemon: Conflict. The container name \"/it\" is already in use by container \"4f\".",
            "Client sensor-1 already in use, closing old connection.",
            "java.lang.NullPointerException",
        ] {
            assert!(!says_taken(line), "{line}");
        }
    }

    #[test]
    fn what_an_earlier_start_said_is_not_said_again() {
        let folder = std::env::temp_dir().join(format!("squall-log-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("writable");
        fs::write(folder.join("broker.log"), "Error: Address already in use\n").expect("writable");
        let log = Log::new(&folder);
        assert_eq!(log.port_taken(), None);
        fs::write(folder.join("broker.log"), "Error: Address already in use\n  Error: eaddrinuse\nbye\n")
            .expect("ours");
        assert_eq!(log.port_taken().as_deref(), Some("Error: eaddrinuse"));
        fs::remove_dir_all(&folder).expect("ours");
    }
}
