//! Several runs by one command: brokers side by side, and the highest rate that holds.

mod support;

use squall::target::resources;
use std::collections::BTreeSet;
use support::{Broker, Scratch, squall};

const SHORT: &str = r#"
# Must show: what a comparison looks like.
ramp = "100 ms"
duration = "1 s"
drain = "5 s"
[fleet.s]
sensors = 5
session = "persistent"
mqtt = "5.0"
publish = { topic = "c/{sensor}", qos = 1, every = "50 ms" }
[subscriber.all]
filters = [{ filter = "c/#", qos = 1 }]
[expect]
guarantees = ["qos1"]
"#;

#[test]
fn two_brokers_stand_side_by_side() {
    let (scratch, broker) = (Scratch::new(), Broker::start(&["--defect", "lose-acked:20"]));
    let file = scratch.file("s.toml", SHORT);
    let targets = format!("reference,mqtt://{}", broker.addr);
    let out = squall()
        .args(["compare", "--repeat", "2", "--warm-up", "300 ms", "--targets", &targets, "--cores", "0:0"])
        .arg(&file)
        .arg("--out")
        .arg(&scratch.0)
        .output()
        .expect("it starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(1), "the second loses messages\n{stdout}\n{stderr}");
    let order: Vec<&str> = stderr.lines().filter(|l| l.starts_with("s on ")).collect();
    assert_eq!(order.len(), 4, "{stderr}");
    assert!(order[0].contains("reference") && order[2].contains("mqtt://"), "the second goes backwards: {order:?}");
    let folder = scratch.0.join("s-compared-1");
    for name in ["comparison.html", "trials.csv", "summary.md", "reference-1/report.html", "reference-2/report.json"] {
        assert!(folder.join(name).is_file(), "{name}\n{stderr}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("comparison.json")).expect("written")).expect("JSON");
    let tally = |n: usize| {
        json["columns"][n]["guarantees"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|g| g["key"] == "qos1")
            .expect("asked")
            .clone()
    };
    assert_eq!(tally(0)["broken"], 0, "{stdout}");
    assert_eq!(tally(1)["broken"], 2, "{stdout}");
    // Sessions of the warm-up would get, and queue, what the run itself publishes.
    assert_eq!(
        json["rows"].as_array().expect("a list").iter().find(|r| r["key"] == "duplicated").expect("counted")["values"]
            [0][0],
        0.0
    );
    // What the run on an address cannot see is no number.
    let rows = json["rows"].as_array().expect("a list");
    for key in ["broker.rss.max", "broker.descriptors.max", "broker.threads.max", "broker.written_per_message"] {
        let row = rows.iter().find(|r| r["key"] == key).unwrap_or_else(|| panic!("no {key}"));
        let (seen, unseen) = (&row["values"][0][0], &row["values"][1][0]);
        // The first has no store: that it wrote nothing was read.
        assert!(seen.as_f64().is_some_and(|n| n > 0.0 || key.contains("written")) && unseen.is_null(), "{row}");
        assert!(row["ratios"][1].is_null(), "{row}");
    }
    assert!(json["conditions"]["cores"].as_str().is_some_and(|c| c.contains("broker on cores 0")));
}

/// The `Cpus_allowed_list` of each thread of a process; empty if it is gone.
fn allowed(pid: u32) -> BTreeSet<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    status
        .filter_map(|s| Some(s.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?.trim().to_owned()))
        .collect()
}

/// Which cores harness and broker have is what the kernel says, not only the report. It takes a machine with two.
#[test]
fn the_kernel_keeps_both_to_their_cores() {
    let scratch = Scratch::new();
    let file = scratch.file("s.toml", SHORT);
    let mut child = squall()
        .args(["compare", "--repeat", "1", "--warm-up", "0 s", "--targets", "reference", "--cores", "0:1"])
        .arg(&file)
        .arg("--out")
        .arg(&scratch.0)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let is_broker = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|words| words.split(|b| *b == 0).nth(1) == Some(b"broker".as_slice()))
    };
    let (mut harness, mut broker) = (BTreeSet::new(), BTreeSet::new());
    while child.try_wait().expect("it is ours").is_none() {
        harness.append(&mut allowed(child.id()));
        let brokers = resources::below(child.id());
        brokers.iter().filter(|pid| is_broker(pid)).for_each(|pid| broker.append(&mut allowed(*pid)));
        std::thread::yield_now();
    }
    // Threads begin where their parent is; the load loop and the judges then move to the harness's core.
    assert!(harness.contains("0"), "{harness:?}");
    assert_eq!(broker, BTreeSet::from(["1".to_owned()]));
}

/// A folder of manifests with one in it, of a broker that dies two seconds after its start.
fn short_lived(scratch: &Scratch) {
    std::fs::create_dir(scratch.0.join("it")).expect("a folder");
    let script = "{squall} broker --listen 127.0.0.1:{port} & sleep 2; kill $!; exit 3";
    let manifest = format!(
        "name = \"it\"\nabout = \"a broker that does not last\"\n[launch]\nprogram = \"sh\"\n\
         args = [\"-c\", \"{script}\"]\nready_within = \"10 s\"\nstop_within = \"1 s\"\n"
    );
    scratch.file("it/broker.toml", &manifest);
}

/// A broker that does not survive its warm-up is no broker whose figures count: nothing of it is measured, and it is said how it died.
#[test]
fn a_broker_that_dies_in_its_warm_up_is_not_measured() {
    let scratch = Scratch::new();
    let file = scratch.file("s.toml", SHORT);
    short_lived(&scratch);
    let out = squall()
        .env("SQUALL_BROKERS", &scratch.0)
        .args(["compare", "--repeat", "1", "--warm-up", "20 s", "--targets", "it"])
        .arg(&file)
        .arg("--out")
        .arg(&scratch.0)
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("the broker died in the warm-up: it ended with code 3"), "{stderr}");
    let own = scratch.0.join("s-compared-1/it-1");
    assert!(own.is_dir() && !own.join("broker-data").exists(), "{stderr}");
}

/// To the search for a rate it says something: at that load the broker gave. One that cannot be had says nothing.
#[test]
fn a_rate_whose_warm_up_kills_the_broker_does_not_hold() {
    let scratch = Scratch::new();
    let file = scratch.file("s.toml", SHORT);
    short_lived(&scratch);
    let capacity = |target: &str| {
        let mut command = squall();
        command.env("SQUALL_BROKERS", &scratch.0).args(["capacity", "--runs", "1", "--warm-up", "20 s", "--target"]);
        command.arg(target).arg(&file).arg("--out").arg(&scratch.0).output().expect("it starts")
    };
    let out = capacity("it");
    let stdout = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(2), "{stdout}");
    let json = std::fs::read_to_string(scratch.0.join("s-capacity-1/capacity.json")).expect("written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["steps"][0]["held"], "no", "{stdout}");
    assert!(json["steps"][0]["why"].as_str().is_some_and(|w| w.contains("died in the warm-up")), "{stdout}");
    assert_eq!(capacity("mqtt://127.0.0.1:1").status.code(), Some(4));
}

#[test]
fn mistakes_are_told_all_at_once_and_nothing_is_started() {
    let scratch = Scratch::new();
    let file = scratch.file("s.toml", SHORT);
    let out = squall()
        .args(["compare", "--targets", "reference,nosuch,reference,mqtt://10.0.0.1:1883"])
        .arg(&file)
        .arg("--out")
        .arg(scratch.0.join("reports"))
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{stderr}");
    for part in ["\"nosuch\"", "named twice", "10.0.0.1:1883 is not on this machine"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert!(!scratch.0.join("reports").exists());
}

/// A threshold that gives at a known rate: more than 20 messages a run fall in the load, whatever the machine.
#[test]
fn the_capacity_is_found_between_two_rates() {
    let scratch = Scratch::new();
    let text =
        SHORT.replace("guarantees = [\"qos1\"]", "guarantees = [\"qos1\"]\nthresholds = [\"count(offered) < 190\"]");
    let file = scratch.file("s.toml", &text);
    let out = squall()
        .args(["capacity", "--warm-up", "0 s", "--precision", "60"])
        .arg(&file)
        .arg("--out")
        .arg(&scratch.0)
        .output()
        .expect("it starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let json: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(scratch.0.join("s-capacity-1").join("capacity.json")).expect("written"),
    )
    .expect("JSON");
    if out.status.code() == Some(5) {
        return assert!(stdout.contains("harness"), "a machine too busy to say: {stdout}\n{stderr}");
    }
    assert_eq!(out.status.code(), Some(0), "{stdout}\n{stderr}");
    // 5 sensors at 20/s for 1 s: 100 messages hold, 200 do not.
    let (holds, gives) = (json["holds"].as_f64().expect("found"), json["gives"].as_f64().expect("found"));
    assert!((99.0..195.0).contains(&holds) && (185.0..201.0).contains(&gives), "{stdout}");
    assert_eq!(json["confirmed"], true);
}

/// The shipped scenario, smaller: what a broker owed when it was killed, how long it took until it was ready again, and what it kept.
fn owed_sessions(target: &str) -> (serde_json::Value, serde_json::Value) {
    let scratch = Scratch::new();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/owed-sessions.toml");
    let mut text = std::fs::read_to_string(path).expect("shipped");
    for (from, to) in [
        ("count = 100", "count = 20"),
        ("every = \"1 s\"", "every = \"500 ms\""),
        ("ramp = \"2 s\"", "ramp = \"500 ms\""),
        ("duration = \"20 s\"", "duration = \"6 s\""),
        ("at = \"4 s\", for = \"15 s\"", "at = \"1 s\", for = \"5 s\""),
        ("at = \"14 s\"", "at = \"4 s\""),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let file = scratch.file("s.toml", &text);
    let out = squall()
        .args(["compare", "--repeat", "1", "--warm-up", "0 s", "--targets", target])
        .arg(&file)
        .arg("--out")
        .arg(&scratch.0)
        .output()
        .expect("it starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    // 5: on a busy machine a harness may say that its figures are not to be trusted.
    assert!(matches!(out.status.code(), Some(0 | 5)), "{stdout}\n{stderr}");
    assert!(stdout.contains("s after it was started again; it had gone with "), "{stdout}");
    let json = |name: &str| {
        let folder = scratch.0.join("owed-sessions-compared-1");
        serde_json::from_str(&std::fs::read_to_string(folder.join(name)).expect("written")).expect("JSON")
    };
    (json("comparison.json"), json(&format!("{target}-1/report.json")))
}

/// What is held of that against a broker that keeps what it acknowledged.
fn comes_back_with_all(target: &str) {
    let (comparison, report) = owed_sessions(target);
    // 20 sessions, each away from 1 s on and owed 40 messages a second until 4 s: a tenth of that, on the busiest machine.
    let owed = report["broker"]["owed_at_restart"].as_u64().expect("it was started again");
    assert!(owed > 20 * 12, "{owed}");
    let faults = report["faults"].as_array().expect("a list");
    let back = faults.iter().find(|f| f["what"] == "broker started again").expect("it was");
    let took = back["lasted"].as_f64().expect("it answered");
    assert!(took > 0.0, "{took}");
    let broken: Vec<&serde_json::Value> =
        report["guarantees"].as_array().expect("a list").iter().filter(|g| g["standing"] == "broken").collect();
    assert!(broken.is_empty(), "{broken:#?}");
    if comparison["columns"][0]["tainted"] == 0 {
        let row = |key: &str| {
            let rows = comparison["rows"].as_array().expect("a list");
            rows.iter().find(|r| r["key"] == key).unwrap_or_else(|| panic!("no {key}"))["values"][0][0].clone()
        };
        assert_eq!(row("broker.ready_again"), back["lasted"]);
        assert_eq!(row("broker.owed_at_restart").as_f64(), report["broker"]["owed_at_restart"].as_f64());
    }
}

#[test]
fn a_broker_with_a_store_is_ready_again_with_all_that_it_owes() {
    comes_back_with_all("reference-durable");
}

#[cfg(feature = "real-brokers")]
#[test]
fn mosquitto_is_ready_again_with_all_that_it_owes() {
    comes_back_with_all("mosquitto");
}

/// The same broker without a store forgets its sessions, which its manifest says: every loss has that excuse, and none is silent.
#[test]
fn a_broker_without_a_store_comes_back_with_nothing() {
    let (_, report) = owed_sessions("reference");
    assert!(report["broker"]["owed_at_restart"].as_u64().is_some_and(|owed| owed > 20 * 12), "{report:#}");
    let excused: u64 = report["excuses"].as_array().expect("a list").iter().filter_map(|e| e["count"].as_u64()).sum();
    assert!(excused > 20 * 12, "{:#}", report["excuses"]);
}
