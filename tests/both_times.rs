//! The same scenario in real time and in virtual time: the same verdicts, and the same quantiles, with losses and without.

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Broker, SMALL, Scratch, squall};

/// The same scenario in real time and in virtual time: the same verdicts.
#[test]
fn real_and_virtual_time_judge_alike() {
    let scratch = Scratch::new();
    let file = scratch.0.join("small.toml");
    std::fs::write(&file, SMALL).expect("writable");
    let judged = |command: &str| {
        let out = scratch.0.join(command);
        squall().arg(command).arg(&file).arg("--out").arg(&out).output().expect("it starts");
        standings(&report_in(&out.join("small-1")))
    };
    assert_eq!(judged("run"), judged("simulate"));
}

/// How each guarantee came out; which hard paths a run walked is not among it.
fn standings(report: &Value) -> Vec<String> {
    let all = report["guarantees"].as_array().expect("a list").iter();
    all.map(|g| format!("{} {}", g["key"], g["standing"].to_string().replace("_untested", ""))).collect()
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

fn report_in(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).expect("written")).expect("JSON")
}

/// A real run of a scenario and a simulated one, neither of which may break anything. The real one is trusted: a busy machine, on
/// which a harness says that its figures are not (exit 5), has two more tries.
fn both(name: &str, scenario: &str) -> (Value, Value) {
    let scratch = Scratch::new();
    let file = scratch.file("test.toml", scenario);
    let report = |command: &str, out: &str| {
        let out = scratch.0.join(out);
        let ended = squall().arg(command).arg(&file).arg("--out").arg(&out).output().expect("it starts");
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        (ended.status.code(), report_in(&out.join(format!("{name}-1"))), said)
    };
    let (code, simulated, said) = report("simulate", "simulated");
    assert_eq!(code, Some(0), "{said}");
    let mut tainted = Vec::new();
    for number in 1..=3 {
        let (code, real, said) = report("run", &format!("real-{number}"));
        if code == Some(0) && real["harness"]["trusted"] == true {
            return (real, simulated);
        }
        assert!(code == Some(5) && real["harness"]["trusted"] == false, "exit {code:?}\n{said}");
        tainted.push(real["harness"]["tainted"].to_string());
    }
    panic!("none of three runs is trusted: {tainted:#?}");
}

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    list.as_array().and_then(|l| l.iter().find(|x| x[key] == name)).expect("it is there")
}

fn latency<'a>(report: &'a Value, fleet: &str, latency: &str) -> &'a Value {
    named(&named(&report["groups"], "name", fleet)["latencies"], "key", latency)
}

fn figure(value: &Value) -> f64 {
    value.as_f64().expect("measured")
}

/// How much later than in virtual time something may be that has to wait `turns` times for a load loop's turn, which comes with the tick,
/// late; and the three digits of the histograms.
fn late(real: &Value, turns: f64) -> f64 {
    let harness = &real["harness"];
    let (tick, digits) = (0.001, 0.001);
    digits + figure(&harness["slip"]["p99"]) + turns * (tick + figure(&harness["loop_lag"]["p99"]))
}

/// What is measured, and how often it goes over the link.
const WAYS: [(&str, &str, f64); 4] =
    [("one", "publish_ack", 2.0), ("one", "end_to_end", 1.0), ("two", "publish_ack", 4.0), ("two", "end_to_end", 1.0)];

/// The same scenario in both times: the quantiles agree. In real time each turn of a load loop waits for its tick, and each is as
/// late as the run measured; nothing else may be between them, but for the luck of the draw.
#[test]
fn real_and_virtual_time_measure_alike() {
    let (real, simulated) = both("timed", TIMED);
    // Four standard deviations of a quantile of the sum of two or more uniform delays of 40 ms, of 1,600 messages (rounded up).
    let luck = 0.002;
    for (fleet, what, ways) in WAYS {
        for q in ["p50", "p75", "p90"] {
            let [r, s] = [&real, &simulated].map(|report| figure(&latency(report, fleet, what)["intended"][q]));
            // At each end of each way a loop may have to wait for its turn.
            let allowed = luck + late(&real, (ways + 1.0) * 2.0);
            assert!((r - s).abs() <= allowed, "{fleet} {what} {q}: {r} s really, {s} s virtually, {allowed} s allowed");
        }
    }
}

const LOSSY: &str = r##"
name = "lossy"
ramp = "1 s"
duration = "12 s"
drain = "60 s"
[fleet.one]
sensors = 60
link = "lossy"
publish = { topic = "o/{sensor}", qos = 1, every = "2 s" }
[fleet.two]
sensors = 60
link = "lossy"
publish = { topic = "t/{sensor}", qos = 2, every = "2 s" }
[subscriber.all]
filters = [{ filter = "#", qos = 2 }]
[link.lossy]
rate = "50 kbit/s"
delay = "60 ms"
jitter = { uniform = "40 ms" }
loss = "5 %"
[expect]
guarantees = "all"
"##;

/// The share of a fleet's sensors whose links may come to draw otherwise in the two times: 3 of 60.
///
/// Each direction of each link draws from a stream of its own, named after its sensor, once a packet. As long as a sensor's packets
/// are the same, so are its losses and its jitter, in both times. A load loop that is late can make TCP acknowledge once more or once
/// less by a packet of its own; from then on that sensor, and no other, draws otherwise. At worst each of its messages then moves from
/// one end of the distribution to the other: by that share of its ranks, whatever the distribution is.
const ASTRAY: f64 = 5.0;

/// Virtual time's latency at a percentile: the bounds that its curve, which has fewer points than there are messages, gives.
fn between(latency: &Value, from: f64, to: f64) -> (f64, f64) {
    let curve = latency["curve"].as_array().expect("a list").iter();
    let points: Vec<(f64, f64)> = curve.map(|p| (figure(&p["percentile"]), figure(&p["seconds"]))).collect();
    let least = points.iter().rev().find(|p| p.0 <= from).map_or(0.0, |p| p.1);
    let most = points.iter().find(|p| p.0 >= to).map_or_else(|| figure(&latency["intended"]["max"]), |p| p.1);
    (least, most)
}

/// With losses both ways the verdicts are the same, the links lose as many packets, and the quantiles agree, those of messages that were
/// sent again among them.
#[test]
fn real_and_virtual_time_measure_losses_alike() {
    let (real, simulated) = both("lossy", LOSSY);
    assert_eq!(standings(&real), standings(&simulated));
    for fleet in ["one", "two"] {
        for way in ["up", "down"] {
            let [r, s] = [&real, &simulated].map(|r| figure(&named(&r["groups"], "name", fleet)["wire"][way]["lost"]));
            // Those of the sensors that went astray, of which each loses as many as the others, give or take one.
            let allowed = s * ASTRAY / 100.0 + 3.0;
            assert!(s >= 20.0 && (r - s).abs() <= allowed, "{fleet} {way}: {r} packets lost really, {s} virtually");
        }
    }
    for (fleet, what, ways) in WAYS {
        let virtually = latency(&simulated, fleet, what);
        for (q, percentile) in [("p50", 50.0), ("p75", 75.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0)] {
            let r = figure(&latency(&real, fleet, what)["intended"][q]);
            let (least, most) = between(virtually, percentile - ASTRAY, percentile + ASTRAY);
            // As without losses, and two more ways for what was sent again.
            let late = late(&real, (ways + 3.0) * 2.0);
            let (least, most) = (least - late, most + late);
            assert!((least..=most).contains(&r), "{fleet} {what} {q}: {r} s really, {least} to {most} s virtually");
        }
        // Some of both kinds are among them: TCP's first timeout is 1 s.
        let [median, p99] = ["p50", "p99"].map(|q| figure(&virtually["intended"][q]));
        assert!(median < 0.5 && p99 > 1.0, "{fleet} {what}: {median} s, {p99} s");
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
    let report = |command: &str, more: &[&str]| -> Value {
        let out = scratch.0.join(command);
        let ended = squall().arg(command).arg(&file).args(more).arg("--out").arg(&out).output().expect("it starts");
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(matches!(ended.status.code(), Some(0 | 5)), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
        report_in(&out.join("drops-1"))
    };
    let (real, simulated) = (report("run", &["--target", &target]), report("simulate", &[]));
    let disconnects = |report: &Value| -> Vec<u64> {
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
