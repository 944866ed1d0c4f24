//! Brokers that squall launches, by manifests of the test's own.

use super::{Scratch, squall};
use std::fs;
use std::process::{Command, Output};

/// A folder of manifests with one in it, whose processes carry a mark in their environment.
pub struct Brokers {
    pub scratch: Scratch,
    mark: String,
}

impl Brokers {
    /// `launch` is the content of the manifest's [launch]; the reference broker is `{squall} broker --listen 127.0.0.1:{port}`.
    pub fn with(launch: &str) -> Self {
        let scratch = Scratch::new();
        let mark = scratch.0.file_name().expect("a name").to_string_lossy().into_owned();
        let this = Self { scratch, mark };
        let env = format!("env = {{ SQUALL_MARK = \"{}\" }}\n", this.mark);
        this.write(&format!("name = \"it\"\nabout = \"a broker with a bad day\"\n[launch]\n{env}{launch}\n"));
        this
    }

    pub fn write(&self, manifest: &str) {
        fs::create_dir_all(self.scratch.0.join("it")).expect("a folder");
        fs::write(self.scratch.0.join("it/broker.toml"), manifest).expect("writable");
    }

    pub fn command(&self) -> Command {
        let mut command = squall();
        command.env("SQUALL_BROKERS", &self.scratch.0).env("TMPDIR", &self.scratch.0);
        command
    }

    /// A command all of whose processes have the mark, whatever they are.
    pub fn marked(&self) -> Command {
        let mut command = self.command();
        command.env("SQUALL_MARK", &self.mark);
        command
    }

    pub fn check(&self) -> (i32, String) {
        said(&self.command().args(["targets", "check", "it"]).output().expect("it starts"))
    }

    /// How many processes have the mark, minders included.
    pub fn processes(&self) -> usize {
        let mark = format!("SQUALL_MARK={}\0", self.mark);
        let entries = fs::read_dir("/proc").expect("readable").filter_map(Result::ok);
        let environments = entries.filter_map(|e| fs::read(e.path().join("environ")).ok());
        environments.filter(|e| String::from_utf8_lossy(e).contains(&mark)).count()
    }
}

/// The exit code, and all that was said.
pub fn said(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

/// A shell script as a broker, with times for the impatient.
pub fn script(text: &str) -> String {
    format!(
        "program = \"sh\"\nargs = [\"-c\", \"\"\"{text}\"\"\"]\nready_within = \"10 s\"\nstop_within = \"400 ms\"\nstop_signal = \"TERM\""
    )
}

/// The reference broker, in a script.
pub const BROKER: &str = "{squall} broker --listen 127.0.0.1:{port}";

/// Until `is_so`, within 30 s.
#[allow(clippy::disallowed_methods, reason = "polling processes that start or end; bounded")]
pub fn wait(what: &str, is_so: &dyn Fn() -> bool) {
    for _ in 0..1500 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{what}");
}
