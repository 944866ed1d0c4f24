//! Ctrl-C and SIGTERM in the middle of whatever a command does: once it has ended, nothing of it is left. No broker but the reference one is
//! needed.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use support::brokers::{BROKER, Brokers, script, wait};

/// Commands that start a broker and ask it something.
const QUESTIONS: [&str; 3] = ["targets check it", "probe it", "conform it"];
/// Commands that put a load on it.
const LOADS: [&str; 3] = ["run --target it", "compare --targets it", "capacity --target it"];
const LONG: &str = "ramp = \"100 ms\"\nduration = \"60 s\"\ndrain = \"60 s\"\n[fleet.s]\nsensors = 1\npublish = { topic = \"t\", qos = 1, every = \"1 s\" }\n";

/// A broker that is started, and answers nobody for as long as anybody waits.
fn silent() -> Brokers {
    Brokers::with(&script("touch \\\"$TMPDIR/started\\\"; sleep 600 & exec sleep 600").replace("10 s", "10 min"))
}

/// A command that is under way.
struct UnderWay {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl UnderWay {
    /// Loads get a long scenario, and a folder for their reports.
    fn begin(brokers: &Brokers, arguments: &str) -> Self {
        Self::begin_with(brokers, &mut brokers.command(), arguments)
    }

    fn begin_with(brokers: &Brokers, command: &mut Command, arguments: &str) -> Self {
        command.args(arguments.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
        if LOADS.contains(&arguments) {
            let file = brokers.scratch.file("long.toml", LONG);
            command.arg(file).arg("--out").arg(brokers.scratch.0.join("reports"));
        }
        let mut child = command.spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let err = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, out, err }
    }

    /// Signals it, and waits for its end: its exit code, and what it said that nobody has read yet, on standard output and error.
    fn stopped(mut self, signal: i32) -> (Option<i32>, String, String) {
        // SAFETY: the child is ours and not reaped.
        unsafe { libc::kill(i32::try_from(self.child.id()).expect("a pid"), signal) };
        let (mut out, mut err) = (String::new(), String::new());
        self.err.read_to_string(&mut err).expect("text");
        self.out.read_to_string(&mut out).expect("text");
        (self.child.wait().expect("ours").code(), out, err)
    }
}

/// Reads on until a line has that in it.
fn until(from: &mut impl BufRead, part: &str) {
    let found = from.by_ref().lines().any(|l| l.expect("text").contains(part));
    assert!(found, "{part}");
}

/// What is left in the folder for temporary files.
fn scratch_folders(brokers: &Brokers) -> Vec<String> {
    let entries = fs::read_dir(&brokers.scratch.0).expect("there").filter_map(Result::ok);
    let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("squall-")).collect()
}

fn nothing_is_left(brokers: &Brokers, what: &str) {
    assert_eq!((brokers.processes(), scratch_folders(brokers)), (0, Vec::new()), "{what}");
}

#[test]
fn nothing_is_left_of_a_broker_that_is_still_waited_for() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        for arguments in QUESTIONS.into_iter().chain(LOADS) {
            let brokers = silent();
            let command = UnderWay::begin(&brokers, arguments);
            wait("the broker starts", &|| brokers.scratch.0.join("started").exists());
            let (code, _, said) = command.stopped(signal);
            assert!(code == Some(5) && said.contains("stopping: "), "{arguments}: {code:?} {said}");
            nothing_is_left(&brokers, arguments);
            let report = brokers.scratch.0.join("reports/long-1");
            assert!(!report.exists(), "{arguments}: a run of which nothing was measured leaves no report");
        }
    }
}

/// In the middle of its questions. Nothing is said of the broker: what a dying one answers is no finding.
#[test]
fn questions_that_are_cut_short_have_no_answer() {
    let text = script(&format!("exec {BROKER} -v"));
    let durability = "\n[declares]\ndurability = \"10 s\"\n";
    for signal in [libc::SIGINT, libc::SIGTERM] {
        for arguments in ["targets check it --kill", "probe it", "conform it"] {
            let brokers = Brokers::with(&format!("{text}{durability}"));
            let mut command = UnderWay::begin(&brokers, arguments);
            match arguments {
                // With messages owed, and twenty seconds to wait until they are not too young.
                "targets check it --kill" => until(&mut command.out, "QoS 2: "),
                "probe it" => until(&mut command.err, "it: "),
                _ => wait("the broker is asked", &|| connections(&brokers) > 2),
            }
            let (code, out, err) = command.stopped(signal);
            assert!(code == Some(5) && out.is_empty(), "{arguments}: {code:?} {out}");
            let ours = |l: &str| l.is_empty() || l.starts_with("stopping: ") || l.starts_with("it: ");
            assert!(err.lines().all(ours) && err.contains("stopping: "), "{arguments}: {err}");
            nothing_is_left(&brokers, arguments);
        }
    }
}

/// Lines in the log of a broker that is asked.
fn connections(brokers: &Brokers) -> usize {
    let logs = scratch_folders(brokers).into_iter().map(|name| brokers.scratch.0.join(name).join("broker.log"));
    logs.filter_map(|log| fs::read_to_string(log).ok()).map(|text| text.lines().count()).sum()
}

/// In the middle of the load: what is there is written, and says that it is not all.
#[test]
fn a_comparison_and_a_search_that_are_cut_short_write_what_is_there() {
    for (signal, arguments, file) in [
        (libc::SIGINT, LOADS[1], "long-compared-1/comparison.json"),
        (libc::SIGTERM, LOADS[1], "long-compared-1/comparison.json"),
        (libc::SIGINT, LOADS[2], "long-capacity-1/capacity.json"),
        (libc::SIGTERM, LOADS[2], "long-capacity-1/capacity.json"),
    ] {
        let brokers = Brokers::with(&script(&format!("exec {BROKER}")));
        let mut command = UnderWay::begin(&brokers, arguments);
        until(&mut command.err, "connected");
        let (code, _, said) = command.stopped(signal);
        assert_eq!(code, Some(5), "{arguments}: {said}");
        nothing_is_left(&brokers, arguments);
        let reports = brokers.scratch.0.join("reports");
        assert!(reports.join(file).is_file(), "{arguments}: {said}");
        let runs = fs::read_dir(reports.join(file).parent().expect("a folder")).expect("there");
        assert!(runs.filter_map(Result::ok).all(|e| !e.path().join("broker-data").exists()), "{arguments}");
    }
}

/// A container goes too, before the command has ended.
#[test]
fn no_container_is_left() {
    let brokers = Brokers::with("");
    brokers.write("name = \"it\"\nabout = \"a container\"\n[launch]\nimage = \"localhost/it\"\nready_within = \"10 min\"\nstop_within = \"1 s\"\n");
    let container = brokers.scratch.0.join("container");
    let runtime = brokers.scratch.file(
        "runtime",
        &format!(
            "case \"$1\" in run) touch {0}; exec sleep 600;; rm) rm -f {0};; inspect) echo 0;; esac\n",
            container.display()
        ),
    );
    for (signal, arguments) in [(libc::SIGINT, QUESTIONS[0]), (libc::SIGTERM, QUESTIONS[1]), (libc::SIGTERM, LOADS[1])]
    {
        let mut command = brokers.command();
        command.env("SQUALL_CONTAINER", format!("sh {}", runtime.display()));
        let command = UnderWay::begin_with(&brokers, &mut command, arguments);
        wait("the container starts", &|| container.exists());
        let (code, _, said) = command.stopped(signal);
        assert_eq!(code, Some(5), "{said}");
        assert!(!container.exists() && scratch_folders(&brokers).is_empty(), "{said}");
    }
}

/// A build and all that it started are ended, and what it made counts for nothing.
#[test]
fn a_build_that_is_cut_short_is_ended() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let brokers = Brokers::with("");
        brokers.write(
            "name = \"it\"\nabout = \"built\"\n[install]\nbuild = [[\"sh\", \"-c\", \"touch made; sleep 600 & sleep 600\"]]\n\
             creates = [\"made\"]\n[launch]\nprogram = \"sh\"\nready_within = \"1 s\"\nstop_within = \"1 s\"\n",
        );
        let cache = brokers.scratch.0.join("cache");
        let made = || {
            let folders = fs::read_dir(cache.join("brokers")).into_iter().flatten().filter_map(Result::ok);
            folders.filter(|f| f.path().join("made").exists()).count() > 0
        };
        let mut command = brokers.marked();
        let command = UnderWay::begin_with(&brokers, command.env("SQUALL_CACHE", &cache), "targets install it");
        wait("it is built", &|| made());
        let (code, _, said) = command.stopped(signal);
        assert_eq!((code, brokers.processes()), (Some(5), 0), "{said}");
        let listed = brokers.command().env("SQUALL_CACHE", &cache).arg("targets").output().expect("it starts");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("the rest of its build, which came to no end"), "{listed}");
    }
}

/// In a network namespace (root).
#[cfg(feature = "real-brokers")]
#[test]
fn nothing_is_left_of_a_link_whose_broker_is_still_waited_for() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let brokers = silent();
        let command = UnderWay::begin(&brokers, "link --profile geo --target it -- true");
        wait("the broker starts", &|| brokers.scratch.0.join("started").exists());
        let (code, _, said) = command.stopped(signal);
        assert_eq!(code, Some(5), "{said}");
        nothing_is_left(&brokers, "link");
    }
}
