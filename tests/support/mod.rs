//! What the outside-in tests share: scratch folders, and runs of the real command.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod brokers;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of the test's own, removed in the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    pub fn below(parent: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("squall-test-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a scratch folder");
        Self(path)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("writable");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The command under test; by what cargo runs the tests with, if that is an emulator (`SQUALL_EMULATOR`: a command with its options).
pub fn squall() -> Command {
    let squall = env!("CARGO_BIN_EXE_squall");
    let emulator = std::env::var("SQUALL_EMULATOR").unwrap_or_default();
    let mut words = emulator.split_whitespace().chain([squall]);
    let mut command = Command::new(words.next().expect("the command itself"));
    command.args(words);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1");
    command
}

/// What a run left.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub report: Option<serde_json::Value>,
    pub folder: PathBuf,
    _scratch: Scratch,
}

impl Run {
    /// How a guarantee came out: "held", "broken", ...
    pub fn standing(&self, key: &str) -> String {
        let all = self.report()["guarantees"].as_array().expect("a list").clone();
        let found = all.iter().find(|g| g["key"] == key).unwrap_or_else(|| panic!("no {key}"));
        found["standing"].as_str().expect("a word").to_owned()
    }

    /// The names of the breaches of a guarantee.
    pub fn breaches(&self, key: &str) -> Vec<String> {
        let all = self.report()["guarantees"].as_array().expect("a list").clone();
        let found = all.iter().find(|g| g["key"] == key).unwrap_or_else(|| panic!("no {key}"));
        let named = found["breaches"].as_array().expect("a list");
        named.iter().map(|b| b["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Every guarantee that was broken.
    pub fn broken(&self) -> Vec<String> {
        let all = self.report()["guarantees"].as_array().expect("a list").clone();
        let broken = all.iter().filter(|g| g["standing"] == "broken");
        broken.map(|g| g["key"].as_str().expect("a key").to_owned()).collect()
    }

    pub fn report(&self) -> &serde_json::Value {
        self.report
            .as_ref()
            .unwrap_or_else(|| panic!("no report; exit {}\n{}\n{}", self.code, self.stdout, self.stderr))
    }

    /// The largest end-to-end latency from the intended time, in seconds, and the 99th percentile.
    pub fn end_to_end(&self) -> (f64, f64) {
        let all = self.report()["total"]["latencies"].as_array().expect("a list").clone();
        let found = all.iter().find(|l| l["key"] == "end_to_end").expect("measured");
        let figure = |name: &str| found["intended"][name].as_f64().expect("a number");
        (figure("max"), figure("p99"))
    }
}

/// Runs a scenario given as text.
pub fn run(scenario: &str, arguments: &[&str]) -> Run {
    run_below(&std::env::temp_dir(), scenario, arguments)
}

/// The same, with the folder for all files below another.
pub fn run_below(parent: &Path, scenario: &str, arguments: &[&str]) -> Run {
    let scratch = Scratch::below(parent);
    let file = scratch.file("test.toml", scenario);
    let out = scratch.0.join("reports");
    let output = squall().arg("run").arg(&file).arg("--out").arg(&out).args(arguments).output().expect("it starts");
    gather(output, &out, scratch)
}

fn gather(output: Output, out: &Path, scratch: Scratch) -> Run {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let folders = std::fs::read_dir(out).ok();
    let folder = folders.and_then(|mut f| f.next()).and_then(Result::ok).map(|e| e.path()).unwrap_or_default();
    let report = std::fs::read_to_string(folder.join("report.json")).ok();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        report: report.map(|r| serde_json::from_str(&r).expect("JSON")),
        folder,
        _scratch: scratch,
    }
}

/// A small run on direct sockets: three QoS levels, a wildcard subscriber, and one that leaves and returns.
pub const SMALL: &str = r#"
ramp = "200 ms"
duration = "3 s"
drain = "8 s"

[fleet.zero]
sensors = 10
publish = { topic = "z/{sensor}", qos = 0, every = "100 ms" }
[fleet.one]
sensors = 10
session = "persistent"
publish = { topic = "o/{sensor}", qos = 1, every = "100 ms" }
[fleet.two]
sensors = 10
session = "persistent"
mqtt = "5.0"
publish = { topic = "t/{sensor}", qos = 2, every = "100 ms" }
[subscriber.all]
filters = [{ filter = "z/#", qos = 0 }, { filter = "o/#", qos = 1 }, { filter = "t/#", qos = 2 }]
[subscriber.back]
session = "persistent"
filters = [{ filter = "o/#", qos = 1 }, { filter = "t/#", qos = 2 }]
offline = [{ at = "1 s", for = "700 ms" }]
[subscriber.other]
filters = [{ filter = "elsewhere", qos = 0 }]
"#;

/// The reference broker as a child of the test, on a free port.
pub struct Broker {
    child: std::process::Child,
    pub addr: std::net::SocketAddr,
}

impl Broker {
    pub fn start(arguments: &[&str]) -> Self {
        use std::io::{BufRead, BufReader};
        let mut command = squall();
        command.args(["broker", "--listen", "127.0.0.1:0"]).args(arguments).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stdout = child.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let addr = line.trim().trim_start_matches("listening on ").parse().expect("an address");
        Self { child, addr }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
