//! A broker whose processes are another user's: what squall does to it and may not is told, and never taken for done. It needs root, or sudo
//! without a password; a test without them fails.
#![cfg(feature = "real-brokers")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use support::brokers::{Brokers, said, wait};

/// A program, run as root whoever this is.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "this test needs root, or sudo without a password: {command:?}: {text}");
}

/// A folder of manifests whose broker becomes root's, by a copy of setpriv with the set-user-ID bit. It is ended with this.
struct OfRoot(Brokers);

impl OfRoot {
    fn new() -> Self {
        let brokers = Brokers::with("");
        let folder = &brokers.scratch.0;
        let path = |name: &str| folder.join(name).display().to_string();
        // Everybody's, so that another user than root can run squall in it.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("ours");
        fs::copy(env!("CARGO_BIN_EXE_squall"), folder.join("squall")).expect("writable");
        fs::copy("/usr/bin/setpriv", folder.join("become-root")).expect("util-linux has it");
        succeeds(as_root("chown").args(["root:root", &path("become-root")]));
        succeeds(as_root("chmod").args(["4755", &path("become-root")]));
        let script = format!("echo $$ > {}; exec {{squall}} broker --listen 127.0.0.1:{{port}}", path("pid"));
        let setpriv = "\"--reuid\", \"0\", \"--regid\", \"0\", \"--clear-groups\", \"sh\", \"-c\"";
        brokers.write(&format!(
            "name = \"it\"\nabout = \"a broker of another user's\"\n[launch]\nprogram = \"{}\"\nargs = [{setpriv}, \"{script}\"]\n\
             ready_within = \"10 s\"\nstop_within = \"400 ms\"\n",
            path("become-root")
        ));
        Self(brokers)
    }

    /// Squall, as an ordinary user.
    fn command(&self) -> Command {
        let squall = self.0.scratch.0.join("squall");
        let mut command = Command::new("setpriv");
        if rustix::process::geteuid().is_root() {
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        }
        command.arg(squall).current_dir(&self.0.scratch.0);
        command.env("SQUALL_BROKERS", &self.0.scratch.0).env("TMPDIR", &self.0.scratch.0).env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }

    fn pid(&self) -> Option<String> {
        Some(fs::read_to_string(self.0.scratch.0.join("pid")).ok()?.trim().to_owned())
    }

    fn runs(&self) -> bool {
        self.pid().is_some_and(|pid| Path::new("/proc").join(pid).exists())
    }
}

impl Drop for OfRoot {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = as_root("kill").args(["-KILL", &pid]).status();
            wait("it ends", &|| !self.runs());
        }
    }
}

#[test]
fn a_kill_that_is_refused_is_no_test_of_durability() {
    let brokers = OfRoot::new();
    let (code, text) = said(&brokers.command().args(["targets", "check", "it", "--kill"]).output().expect("it starts"));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("it could not be sent SIGKILL: Operation not permitted"), "{text}");
    assert!(text.contains("another user's: run squall as that user, or as root"), "{text}");
    assert!(!text.contains("came back"), "{text}");
    // It lives on, and that is said too.
    assert!(brokers.runs() && text.contains("still runs"), "{text}");
}

#[test]
fn a_run_whose_fault_is_refused_is_partial_and_says_why() {
    for (fault, signal) in
        [("broker = \"kill\"\nback_after = \"1 s\"", "KILL"), ("broker = \"pause\"\nfor = \"1 s\"", "STOP")]
    {
        let brokers = OfRoot::new();
        let scenario = format!(
            "ramp = \"100 ms\"\nduration = \"20 s\"\ndrain = \"5 s\"\n[fleet.s]\nsensors = 2\n\
             publish = {{ topic = \"t/{{sensor}}\", qos = 1, every = \"100 ms\" }}\n[[fault]]\nat = \"500 ms\"\n{fault}\n"
        );
        let file = brokers.0.scratch.file("s.toml", &scenario);
        let mut command = brokers.command();
        command.arg("run").arg(file).args(["--target", "it", "--out", "reports"]);
        let (code, text) = said(&command.output().expect("it starts"));
        assert_eq!(code, 5, "{text}");
        let refused = format!("it could not be sent SIG{signal}: Operation not permitted");
        assert!(text.contains(&format!("the run is partial: {refused}")), "{text}");
        let report = fs::read_to_string(brokers.0.scratch.0.join("reports/s-1/report.json")).expect("written");
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let faults = report["faults"].as_array().expect("a list");
        let done = |f: &&serde_json::Value| f["what"].as_str().is_some_and(|w| w.starts_with("broker "));
        assert_eq!(faults.iter().filter(done).count(), 0, "what was refused was not done: {faults:?}");
        assert!(brokers.runs() && text.contains("still runs"), "{text}");
    }
}
