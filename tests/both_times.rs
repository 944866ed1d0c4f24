//! The same scenario in real time and in virtual time: the same verdicts, and the same quantiles.

mod support;

use support::{Broker, SMALL, Scratch, squall};

/// The same scenario in real time and in virtual time: the same verdicts.
#[test]
fn real_and_virtual_time_judge_alike() {
    let scratch = Scratch::new();
    let file = scratch.0.join("small.toml");
    std::fs::write(&file, SMALL).expect("writable");
    let standings = |command: &str| {
        let out = scratch.0.join(command);
        squall().arg(command).arg(&file).arg("--out").arg(&out).output().expect("it starts");
        let json = std::fs::read_to_string(out.join("small-1/report.json")).expect("written");
        let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let all = report["guarantees"].as_array().expect("a list").iter();
        all.map(|g| format!("{} {}", g["key"], g["standing"].to_string().replace("_untested", ""))).collect::<Vec<_>>()
    };
    assert_eq!(standings("run"), standings("simulate"));
}

const TIMED: &str = r##"
name = "timed"
ramp = "1 s"
duration = "8 s"
[fleet.one]
sensors = 20
link = "far"
publish = { topic = "o/{sensor}", qos = 1, every = "100 ms" }
[fleet.two]
sensors = 20
link = "far"
publish = { topic = "t/{sensor}", qos = 2, every = "100 ms" }
[subscriber.all]
filters = [{ filter = "#", qos = 2 }]
[link.far]
rate = "1 Mbit/s"
delay = "60 ms"
jitter = { uniform = "40 ms" }
"##;

/// The same scenario in both times: the quantiles agree. In real time each turn of a load loop waits for its tick, and each is as
/// late as the run measured; nothing else may be between them, but for the luck of the draw.
#[test]
fn real_and_virtual_time_measure_alike() {
    let scratch = Scratch::new();
    let file = scratch.file("timed.toml", TIMED);
    let report = |command: &str| -> serde_json::Value {
        let out = scratch.0.join(command);
        squall().arg(command).arg(&file).arg("--out").arg(&out).output().expect("it starts");
        serde_json::from_slice(&std::fs::read(out.join("timed-1/report.json")).expect("written")).expect("JSON")
    };
    let (real, simulated) = (report("run"), report("simulate"));
    let quantile = |report: &serde_json::Value, fleet: &str, latency: &str, q: &str| {
        let named = |list: &serde_json::Value, key: &str, name: &str| {
            list.as_array().and_then(|l| l.iter().find(|x| x[key] == name)).cloned().expect("it is there")
        };
        let group = named(&report["groups"], "name", fleet);
        named(&group["latencies"], "key", latency)["intended"][q].as_f64().expect("measured")
    };
    let harness = &real["harness"];
    let late = |of: &str| harness[of]["p99"].as_f64().expect("measured in real time");
    let (tick, slip, lag) = (0.001, late("slip"), late("loop_lag"));
    // Four standard deviations of a quantile of the sum of two or more uniform delays of 40 ms, of 1,600 messages (rounded up);
    // and the three digits of the histograms.
    let luck = 0.003;
    for (fleet, latency, ways) in [
        ("one", "publish_ack", 2.0),
        ("one", "end_to_end", 1.0),
        ("two", "publish_ack", 4.0),
        ("two", "end_to_end", 1.0),
    ] {
        for q in ["p50", "p75", "p90"] {
            let (r, s) = (quantile(&real, fleet, latency, q), quantile(&simulated, fleet, latency, q));
            // At each end of each way a loop may have to wait for its turn, which comes with the tick, late.
            let allowed = luck + slip + (ways + 1.0) * 2.0 * (tick + lag);
            assert!(
                (r - s).abs() <= allowed,
                "{fleet} {latency} {q}: {r} s really, {s} s virtually, {allowed} s allowed"
            );
        }
    }
}

/// All connections are dropped, and later a share of them: whom it hits is drawn from the seed, in both times alike, with links and
/// without; and it needs no process of the broker's.
#[test]
fn connections_are_dropped_alike() {
    let scenario = r##"
name = "drops"
ramp = "200 ms"
duration = "3 s"
[fleet.linked]
sensors = 10
link = "ble"
session = "persistent"
reconnect = { first = "100 ms", longest = "100 ms" }
publish = { topic = "l/{sensor}", qos = 2, every = "100 ms" }
[fleet.direct]
sensors = 10
session = "persistent"
reconnect = { first = "100 ms", longest = "100 ms" }
publish = { topic = "d/{sensor}", qos = 1, every = "100 ms" }
[subscriber.all]
session = "persistent"
reconnect = { first = "100 ms", longest = "100 ms" }
filters = [{ filter = "#", qos = 2 }]
[[fault]]
at = "1 s"
broker = "drop-connections"
[[fault]]
at = "2 s"
broker = "drop-connections"
share = "50 %"
"##;
    let scratch = Scratch::new();
    let file = scratch.file("drops.toml", scenario);
    let broker = Broker::start(&[]);
    let target = format!("mqtt://{}", broker.addr);
    let report = |command: &str, more: &[&str]| -> serde_json::Value {
        let out = scratch.0.join(command);
        let ended = squall().arg(command).arg(&file).args(more).arg("--out").arg(&out).output().expect("it starts");
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(matches!(ended.status.code(), Some(0 | 5)), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
        serde_json::from_slice(&std::fs::read(out.join("drops-1/report.json")).expect("written")).expect("JSON")
    };
    let (real, simulated) = (report("run", &["--target", &target]), report("simulate", &[]));
    let disconnects = |report: &serde_json::Value| -> Vec<u64> {
        let groups = report["groups"].as_array().expect("a list").iter();
        groups.map(|g| g["counts"]["disconnects"].as_u64().expect("counted")).collect()
    };
    let counts = disconnects(&real);
    assert_eq!(counts, disconnects(&simulated));
    // The subscriber, then ten of each fleet: each at the first, some at the second.
    assert!(matches!(counts[0], 1 | 2) && counts[1..].iter().all(|n| (11..20).contains(n)), "{counts:?}");
    for report in [&real, &simulated] {
        let held = report["guarantees"].as_array().expect("a list").iter().all(|g| g["standing"] != "broken");
        let faults: Vec<&str> =
            report["faults"].as_array().expect("a list").iter().filter_map(|f| f["what"].as_str()).collect();
        assert!(
            held && faults.starts_with(&["all connections dropped", "50 % of the connections dropped"]),
            "{faults:?}"
        );
    }
}
