//! The same runs against real brokers, and real clients against the reference broker. A broker or tool that is not
//! there fails its test.
#![cfg(feature = "real-brokers")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use support::{SMALL, run, squall};

#[test]
fn mosquitto_holds_over_a_return_of_its_subscriber() {
    let r = run(SMALL, &["--target", "mosquitto"]);
    assert!(matches!(r.code, 0 | 5), "{}\n{}", r.stdout, r.stderr);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}", r.stdout);
    assert!(r.standing("qos2").starts_with("held") && r.standing("session").starts_with("held"), "{}", r.stdout);
    assert!(r.report()["target"]["name"].as_str().expect("a name").starts_with("mosquitto 2."));
    assert!(r.report()["broker"]["rss_max"].as_u64().expect("it can be seen") > 1 << 20);
}

#[test]
fn mosquitto_keeps_what_it_stored_over_a_kill() {
    let scenario = format!("{SMALL}\n[[fault]]\nat = \"1500 ms\"\nbroker = \"kill\"\nback_after = \"300 ms\"\n");
    let r = run(&scenario, &["--target", "mosquitto"]);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
}

/// An orderly restart: mosquitto-debian saves at an orderly stop what it would lose by a kill, and so nobody is excused.
#[test]
fn mosquitto_stopped_in_order_has_it_all_when_it_is_back() {
    let scenario = format!("{SMALL}\n[[fault]]\nat = \"1500 ms\"\nbroker = \"restart\"\nback_after = \"300 ms\"\n");
    let r = run(&scenario, &["--target", "mosquitto-debian"]);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
    let faults = r.report()["faults"].as_array().expect("a list").clone();
    let what: Vec<&str> = faults.iter().map(|f| f["what"].as_str().expect("words")).collect();
    assert_eq!(what, ["broker stopped", "broker started again"]);
    assert!(!r.stdout.contains("declares that this may not survive"), "{}", r.stdout);
    assert!(!r.stdout.contains("broker restarts"), "the hard path was walked: {}", r.stdout);
}

/// The small broker of ours on vertx-mqtt does what 5.0 adds, as far as `features.toml` asks: whoever compares brokers by it compares that.
#[test]
fn vertx_does_all_that_features_asks_for() {
    let r = run(include_str!("../scenarios/features.toml"), &["--target", "vertx"]);
    assert_eq!((r.code, r.broken()), (0, Vec::new()), "{}\n{}", r.stdout, r.stderr);
}

#[test]
fn mosquitto_frozen_for_three_seconds_shows_it() {
    let scenario = r##"
ramp = "500 ms"
duration = "20 s"
drain = "10 s"
[fleet.s]
sensors = 10
publish = { topic = "f/{sensor}", qos = 1, every = "100 ms" }
[subscriber.all]
filters = [{ filter = "#", qos = 1 }]
[[fault]]
at = "8 s"
broker = "pause"
for = "3 s"
"##;
    let r = run(scenario, &["--target", "mosquitto"]);
    let (max, p99) = r.end_to_end();
    assert!(p99 >= 2.7 && max >= 2.9, "p99 {p99}, max {max}");
}

/// A CPU limit takes CPU away: mosquitto, which writes down a growing queue at each change, gets 10 ms of each 100 ms, and has its share
/// back afterwards.
#[test]
fn mosquitto_under_a_cpu_limit_uses_less_of_a_core() {
    let scenario = r##"
ramp = "100 ms"
duration = "8 s"
drain = "20 s"
[fleet.s]
sensors = 20
publish = { topic = "f/{sensor}", qos = 1, every = "20 ms" }
[subscriber.away]
session = "persistent"
filters = [{ filter = "f/#", qos = 1 }]
offline = [{ at = "200 ms", for = "7500 ms" }]
[[fault]]
at = "3 s"
broker = "slow-cpu"
for = "3 s"
runs = "10 ms"
"##;
    let r = run(scenario, &["--target", "mosquitto"]);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
    let samples = r.report()["broker"]["samples"].as_array().expect("a list").clone();
    // Each sample tells of the second before it.
    let share = |from: f64, to: f64| {
        let within = samples.iter().filter(|s| s["at"].as_f64().is_some_and(|at| (from + 1.0..=to).contains(&at)));
        let cores: Vec<f64> = within.filter_map(|s| s["cores"].as_f64()).collect();
        assert!(!cores.is_empty(), "{samples:?}");
        cores.iter().sum::<f64>() / cores.len() as f64
    };
    let (before, limited, after) = (share(0.5, 3.0), share(3.0, 6.0), share(6.0, 8.0));
    assert!(limited < before / 2.0 && limited < after / 2.0, "{before}, {limited}, {after} of a core");
}

/// The reference broker as a child of the test.
struct Broker(Child, String);

impl Broker {
    fn start() -> Self {
        let mut command = squall();
        command.args(["broker", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let port = line.trim().rsplit_once(':').expect("an address").1.to_owned();
        Self(child, port)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// mosquitto's own clients, each version and QoS, a retained message and a session that waits.
#[test]
fn mosquittos_clients_are_served() {
    let broker = Broker::start();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let topic = format!("{version}/{qos}");
            let publish = |retain: bool, text: &str| {
                let mut c = Command::new("mosquitto_pub");
                c.args(["-p", &broker.1, "-V", version, "-q", qos, "-t", &topic, "-m", text]);
                if retain {
                    c.arg("-r");
                }
                assert!(c.status().expect("mosquitto_pub is installed").success(), "{topic}");
            };
            publish(true, "kept");
            let got = Command::new("mosquitto_sub")
                .args([
                    "-p", &broker.1, "-V", version, "-q", qos, "-t", &topic, "-C", "1", "-W", "10", "-F", "%r %q %p",
                ])
                .output()
                .expect("mosquitto_sub is installed");
            assert_eq!(String::from_utf8_lossy(&got.stdout).trim(), format!("1 {qos} kept"), "{topic}");
            publish(true, "");
        }
    }
    // A session that waits: subscribe, leave, publish, return.
    let subscribe = |arguments: &[&str]| {
        let mut c = Command::new("mosquitto_sub");
        c.args(["-p", &broker.1, "-i", "waits", "-c", "-q", "1", "-t", "w/#"]).args(arguments);
        c.output().expect("mosquitto_sub is installed")
    };
    subscribe(&["-E"]);
    let status = Command::new("mosquitto_pub").args(["-p", &broker.1, "-q", "1", "-t", "w/1", "-m", "late"]).status();
    assert!(status.expect("mosquitto_pub is installed").success());
    assert_eq!(String::from_utf8_lossy(&subscribe(&["-C", "1", "-W", "10"]).stdout).trim(), "late");
}

/// The report opens in a browser: nothing on its console, every chart there.
#[test]
fn the_page_opens_in_a_browser() {
    let r = run(SMALL, &[]);
    let page = r.folder.join("report.html");
    let profile = r.folder.join("profile");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium is installed");
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!log.contains("CONSOLE"), "{log}");
    for title in ["End to end, by percentile", "Guarantees", "Wire cost", "Broker", "Harness"] {
        assert!(dom.contains(title), "{title}");
    }
    assert!(dom.matches("<svg").count() >= 4, "{} charts", dom.matches("<svg").count());
}
