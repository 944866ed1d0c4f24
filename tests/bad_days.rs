//! Bad days: the harness is stopped or interrupted, the broker goes away, descriptors or the disk run out.

mod support;

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use support::{Broker, SMALL, Scratch, squall};

/// A run that is under way: its first line of progress has been read.
struct UnderWay {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    report: PathBuf,
    _scratch: Scratch,
}

impl UnderWay {
    fn begin(scenario: &str, arguments: &[&str]) -> Self {
        let scratch = Scratch::new();
        let file = scratch.file("s.toml", scenario);
        let out = scratch.0.join("reports");
        let mut command = squall();
        command.arg("run").arg(&file).arg("--out").arg(&out).args(arguments);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped")).lines();
        assert!(stderr.any(|l| l.expect("text").contains("connected")));
        Self { child, stderr, report: out.join("s-1").join("report.json"), _scratch: scratch }
    }

    /// Reads on until progress shows messages that were acknowledged.
    fn until_acknowledged(&mut self) {
        assert!(self.stderr.any(|l| {
            let line = l.expect("text");
            line.contains(" acknowledged") && !line.contains(" 0 acknowledged")
        }));
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: the child is ours and not reaped.
        unsafe { libc::kill(pid, signal) };
    }

    /// To its end: the exit code and the report.
    fn end(mut self) -> (Option<i32>, String) {
        self.stderr.by_ref().for_each(drop);
        let code = self.child.wait().expect("ours").code();
        (code, std::fs::read_to_string(&self.report).expect("written"))
    }
}

fn endless() -> String {
    SMALL.replace("duration = \"3 s\"", "duration = \"5 min\"")
}

/// The command, under a limit of the shell's (`ulimit`).
fn limited(limit: &str, scratch: &Scratch) -> Command {
    let file = scratch.file("s.toml", SMALL);
    let squall = squall();
    let mut command = Command::new("sh");
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.arg("-c").arg(format!("{limit}; exec \"$0\" \"$@\"")).arg(squall.get_program());
    command.arg("run").arg(file).arg("--out").arg(scratch.0.join("reports"));
    command
}

#[test]
fn an_unwritable_report_folder_is_told_before_the_load() {
    let scratch = Scratch::new();
    let blocked = scratch.file("blocked", "");
    let file = scratch.file("s.toml", SMALL);
    let out = squall().arg("run").arg(&file).arg("--out").arg(&blocked).output().expect("it starts");
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&out.stderr).contains("--out"), "{:?}", out);
}

/// Ctrl-C once: drain, write, marked partial.
#[test]
fn an_interrupted_run_writes_what_is_there() {
    let run = UnderWay::begin(&endless(), &[]);
    run.signal(libc::SIGINT);
    let (code, report) = run.end();
    assert_eq!(code, Some(5), "inconclusive: partial");
    assert!(report.contains("stopped by the user"));
}

/// Ctrl-C twice: out at once, although clients owe and are owed (the broker answers nobody).
#[test]
fn a_run_interrupted_twice_leaves() {
    let scenario = endless().replace("drain = \"8 s\"", "drain = \"5 min\"")
        + "[[fault]]\nat = \"300 ms\"\nbroker = \"pause\"\nfor = \"4 min\"\n";
    let run = UnderWay::begin(&scenario, &[]);
    run.signal(libc::SIGINT);
    squall::target::ready::pause(std::time::Duration::from_millis(300));
    run.signal(libc::SIGINT);
    let (code, report) = run.end();
    assert!(matches!(code, Some(1 | 5)), "{code:?}");
    assert!(report.contains("stopped by the user"));
}

/// The harness itself stood still: the run says so, and its figures are not trusted.
#[test]
fn a_harness_that_stood_still_taints_its_run() {
    let run = UnderWay::begin(SMALL, &[]);
    run.signal(libc::SIGSTOP);
    squall::target::ready::pause(std::time::Duration::from_millis(400));
    run.signal(libc::SIGCONT);
    let (code, report) = run.end();
    assert_eq!(code, Some(5));
    assert!(report.contains("a load loop stood still for"));
}

/// Nobody ordered it, and squall cannot see the process: that it answers nobody at the end is what can be said.
#[test]
fn a_broker_at_an_address_that_goes_away_is_reported() {
    let broker = Broker::start(&[]);
    let url = format!("mqtt://{}", broker.addr);
    let scenario =
        SMALL.replace("duration = \"3 s\"", "duration = \"8 s\"").replace("drain = \"8 s\"", "drain = \"2 s\"");
    let mut run = UnderWay::begin(&scenario, &["--target", &url]);
    run.until_acknowledged();
    drop(broker);
    let (code, report) = run.end();
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let died = report["target_died"].as_str().expect("it says that the broker is gone");
    assert!(died.contains("does not answer"), "{died}");
    assert!(
        report["faults"].as_array().expect("a list").iter().any(|f| f["what"] == "last sign of life of the broker")
    );
    assert_eq!(code, Some(4), "{report:#}");
}

#[test]
fn too_few_descriptors_are_told_before_the_load() {
    let out = limited("ulimit -n 64", &Scratch::new()).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("need 97 open descriptors, and 64 are allowed") && stderr.contains("ulimit -n 97"),
        "{stderr}"
    );
}

/// Files that cannot be written whole: each is named, the summary is there all the same, and the exit code is no success.
#[test]
fn a_full_disk_loses_no_verdict() {
    let scratch = Scratch::new();
    // A file of more than 8 KiB is refused, as a full disk would refuse it.
    let out = limited("trap '' XFSZ; ulimit -f 16", &scratch).output().expect("it starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(stderr.contains("report.html could not be written") && stderr.contains("--out"), "{stderr}");
    assert!(stdout.contains("Guarantees"), "{stdout}");
    assert_eq!(out.status.code(), Some(5), "{stdout}");
}

/// A broker whose disk is full: its manifest gives it 2 MiB a file, and a session that is away is owed more. It ends, and says why.
#[test]
fn a_broker_that_fills_its_disk_is_reported_with_its_own_words() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.0.join("full")).expect("writable");
    let manifest = r##"name = "full"
about = "a broker whose disk is full soon"
[version]
is = "{squall}"
[launch]
program = "sh"
args = ["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" broker --listen \"$1\" --store \"$2\"", "{squall}", "{host}:{port}", "{data}/store"]
stop_signal = "TERM"
ready_within = "10 s"
stop_within = "5 s"
"##;
    std::fs::write(scratch.0.join("full/broker.toml"), manifest).expect("writable");
    let scenario = r##"ramp = "100 ms"
duration = "10 s"
drain = "1 s"
[fleet.s]
sensors = 10
publish = { topic = "o/{sensor}", qos = 1, every = "20 ms", payload = "16 KiB" }
[subscriber.all]
session = "persistent"
filters = [{ filter = "#", qos = 1 }]
offline = [{ at = "500 ms", for = "8 s" }]
"##;
    let file = scratch.file("s.toml", scenario);
    let mut command = squall();
    command.env("SQUALL_BROKERS", &scratch.0).arg("run").arg(&file).args(["--target", "full"]);
    let out = command.arg("--out").arg(scratch.0.join("reports")).output().expect("it starts");
    let stdout = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(4), "{stdout}");
    assert!(stdout.contains("the broker died: it ended with code 4"), "{stdout}");
    assert!(stdout.contains("the store cannot be written") && stdout.contains("File too large"), "{stdout}");
}

/// Two runs of the same scenario on the same target, into the same folder, at the same time: each has its own port and its own report.
#[test]
fn two_runs_at_once_have_nothing_in_common() {
    let scratch = Scratch::new();
    let file = scratch.file("s.toml", SMALL);
    let begin = || {
        let mut command = squall();
        command.arg("run").arg(&file).arg("--out").arg(scratch.0.join("reports"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let both = [begin(), begin()];
    for run in both {
        let out = run.wait_with_output().expect("ours");
        // 5: on a busy machine a harness may say that its figures are not to be trusted.
        assert!(matches!(out.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&out.stdout));
    }
    for number in 1..=2 {
        let path = scratch.0.join(format!("reports/s-{number}/report.json"));
        let report: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).expect("each has a folder")).expect("JSON");
        let counts = &report["total"]["counts"];
        assert!(counts["acked"].as_u64().is_some_and(|n| n > 0), "{counts}");
    }
}
