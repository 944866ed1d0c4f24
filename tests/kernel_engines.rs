//! The engines in which a kernel speaks TCP, with the reference broker and mosquitto. They need root (CAP_SYS_ADMIN and
//! CAP_NET_ADMIN) and /dev/net/tun; a test without them fails.
#![cfg(feature = "real-brokers")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use support::{Run, Scratch, run, squall};

/// Sensors behind a link that loses a tenth each way, one of them power-cut, and a subscriber on a direct socket.
const LOSSY: &str = r##"
ramp = "200 ms"
duration = "6 s"
drain = "60 s"
[fleet.meter]
sensors = 20
link = "lossy"
session = "persistent"
publish = { topic = "m/{sensor}", qos = 1, every = "300 ms" }
[fleet.alarm]
sensors = 5
link = "lossy"
session = "persistent"
publish = { topic = "a/{sensor}", qos = 2, every = "500 ms" }
power = { cut_every = "2 s", off = "300 ms", keeps = "flash" }
[subscriber.all]
filters = [{ filter = "#", qos = 2 }]
[link.lossy]
up = { delay = "10 ms", loss = "10 %" }
down = { delay = "10 ms", loss = "10 %" }
"##;

/// The network namespace of each process of this machine whose command line has `part` in it.
fn namespaces_of(part: &str) -> BTreeSet<PathBuf> {
    let all = std::fs::read_dir("/proc").expect("readable").filter_map(Result::ok).map(|e| e.path());
    let theirs =
        all.filter(|p| std::fs::read(p.join("cmdline")).is_ok_and(|c| String::from_utf8_lossy(&c).contains(part)));
    theirs.filter_map(|p| std::fs::read_link(p.join("ns/net")).ok()).collect()
}

/// TUN devices of ours that can be seen from here: none may ever be, since they are made in namespaces.
fn devices() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/net/dev").expect("readable");
    let names = text.lines().filter_map(|l| l.split_once(':')).map(|(name, _)| name.trim().to_owned());
    names.filter(|n| n.starts_with("sq")).collect()
}

/// Runs it, and sees to it that nothing is left behind.
fn leaving_nothing(scenario: &str, arguments: &[&str]) -> Run {
    let r = run(scenario, arguments);
    assert_eq!(devices(), Vec::<String>::new());
    let own = std::fs::read_to_string(r.folder.join("report.json")).is_ok();
    assert!(own, "exit {}\n{}\n{}", r.code, r.stdout, r.stderr);
    r
}

/// Retransmissions that the links counted, up and down, all fleets together.
fn counted(report: &Value) -> (u64, u64) {
    let groups = report["groups"].as_array().expect("a list");
    let sum = |way: &str| groups.iter().filter_map(|g| g["wire"][way]["retransmissions"].as_u64()).sum();
    (sum("up"), sum("down"))
}

/// The broker's kernel also counts its loopback, over which squall asks whether the broker is ready (and clients without a link
/// connect): on a busy machine a segment is sent again there now and then.
fn same_but_for_the_loopback(links: u64, kernel: Option<u64>) {
    let kernel = kernel.expect("it tells");
    assert!((links..=links + 1).contains(&kernel), "the links saw {links}, the kernel says {kernel}");
}

fn holds(r: &Run) {
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
    for key in ["qos1", "qos2"] {
        assert!(r.standing(key).starts_with("held"), "{key}: {}", r.stdout);
    }
    assert!(
        r.report()["groups"].as_array().expect("a list").iter().any(|g| g["wire"]["up"]["lost"].as_u64() > Some(0))
    );
}

#[test]
fn two_kernels_and_the_links_count_the_same_retransmissions() {
    for target in ["reference", "mosquitto"] {
        let r = leaving_nothing(LOSSY, &["--engine", "kernel", "--target", target]);
        holds(&r);
        assert!(r.report()["engine"].as_str().expect("a sentence").contains("on both ends of 25 links"));
        let (up, down) = counted(r.report());
        let kernels = &r.report()["kernels"];
        assert!(up > 20 && down > 20, "{up} up, {down} down");
        assert_eq!(kernels["retransmitted_up"].as_u64(), Some(up), "{target}");
        same_but_for_the_loopback(down, kernels["retransmitted_down"].as_u64());
    }
}

#[test]
fn the_brokers_kernel_and_the_links_count_the_same_retransmissions() {
    for target in ["reference", "mosquitto"] {
        let r = leaving_nothing(LOSSY, &["--engine", "smoltcp-kernel", "--target", target]);
        holds(&r);
        assert!(r.report()["engine"].as_str().expect("a sentence").contains("by the broker's own kernel"));
        let (up, down) = counted(r.report());
        assert!(up > 20 && down > 20, "{up} up, {down} down");
        same_but_for_the_loopback(down, r.report()["kernels"]["retransmitted_down"].as_u64());
        assert!(r.report()["kernels"]["retransmitted_up"].is_null(), "smoltcp is no kernel");
    }
}

/// Packets that come twice, late, or with a wrong bit (in the IP header too): the kernels cope, and none counts as lost outside
/// of the links.
#[test]
fn packets_that_come_twice_late_or_corrupt_harm_no_engine() {
    let rough = r#"loss = "1 %", corrupt = "15 %", duplicate = "5 %", reorder = true, jitter = { uniform = "5 ms" }"#;
    let scenario = LOSSY.replace("loss = \"10 %\"", rough);
    for engine in ["kernel", "smoltcp-kernel"] {
        let r = leaving_nothing(&scenario, &["--engine", engine]);
        holds(&r);
        let said = format!("{}\n{}\n{}", r.report(), r.stdout, r.stderr);
        assert!(!said.contains("lost outside the links"), "{engine}: {}\n{}", r.stdout, r.stderr);
        let groups = r.report()["groups"].as_array().expect("a list");
        let meter = groups.iter().find(|g| g["name"] == "meter").expect("it is in the scenario");
        for way in ["up", "down"] {
            let wire = &meter["wire"][way];
            let count = |name: &str| wire[name].as_u64().unwrap_or_else(|| panic!("no {name} in {wire}"));
            assert!(count("corrupted") > count("duplicated") && count("duplicated") > 0, "15 % and 5 %: {wire}");
        }
    }
}

/// Without loss, latency is delay: the packets really go through the link, and the handshakes of TLS too.
#[test]
fn a_link_without_loss_costs_its_delay_on_every_engine() {
    let scenario = LOSSY.replace("10 %", "0 %").replace("10 ms", "100 ms").replace("power =", "# power =");
    for engine in ["kernel", "smoltcp-kernel"] {
        let r = leaving_nothing(&scenario, &["--engine", engine, "--transport", "tls"]);
        assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
        let all = r.report()["total"]["latencies"].as_array().expect("a list");
        let least = |key: &str| {
            let found = all.iter().find(|l| l["key"] == key).expect("measured");
            found["intended"]["min"].as_f64().expect("a number")
        };
        let (there, and_back) = (least("end_to_end"), least("publish_ack"));
        assert!((0.1..0.2).contains(&there) && (0.2..0.4).contains(&and_back), "{engine}: {there}, {and_back}");
    }
}

/// A broker killed and started again stays in its namespace.
#[test]
fn a_broker_comes_back_in_its_namespace() {
    let fault = "\n[[fault]]\nat = \"3 s\"\nbroker = \"kill\"\nback_after = \"500 ms\"\n";
    let r = leaving_nothing(&format!("{LOSSY}{fault}"), &["--engine", "kernel", "--target", "mosquitto"]);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
}

#[test]
fn ctrl_c_and_kill_leave_no_namespace_and_no_device() {
    for signal in ["INT", "KILL"] {
        let scratch = Scratch::new();
        let file = scratch.file("test.toml", &LOSSY.replace("6 s", "60 s"));
        let mut child = squall()
            .arg("run")
            .arg(&file)
            .args(["--engine", "kernel", "--target", "mosquitto", "--out"])
            .arg(scratch.0.join("out"))
            .spawn()
            .expect("it starts");
        // The broker's command line names its configuration, in a folder of this test's alone.
        let broker = format!("{}/out/test-1/broker", scratch.0.display());
        let own = std::fs::read_link("/proc/self/ns/net").expect("readable");
        let apart = || namespaces_of(&broker).into_iter().find(|n| *n != own);
        until(|| apart().is_some(), "the broker runs in a namespace of its own");
        let namespace = apart().expect("just seen");
        let send = || {
            let sent = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
            assert!(sent.expect("kill is there").success());
        };
        send();
        if signal == "INT" {
            send(); // the second leaves at once
        }
        child.wait().expect("it ends");
        until(|| !namespaces_of("").contains(&namespace), "no process is left in the namespace");
        assert_eq!(devices(), Vec::<String>::new());
    }
}

/// Somebody's own client, unchanged, over real Linux TCP behind a lossy link: its messages arrive, the wire's cost is told, and
/// its packets are written down.
#[test]
fn a_client_of_another_house_runs_behind_the_link() {
    let script = "mosquitto_sub -h {host} -p {port} -q 1 -t t -C 20 & sleep 2; \
        for i in $(seq 20); do echo message $i; sleep 0.05; done | mosquitto_pub -h {host} -p {port} -q 1 -t t -l; wait";
    let scratch = Scratch::new();
    let pcap = scratch.0.join("out.pcapng");
    let output = squall()
        .args(["link", "--target", "mosquitto", "--profile", "wifi-congested", "--pcap"])
        .arg(&pcap)
        .args(["--", "sh", "-c", script])
        .output()
        .expect("it starts");
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    let messages: BTreeSet<&str> = out.lines().collect();
    assert_eq!(messages.len(), 20, "{out}\n{said}");
    let figures = |name: &str| -> Vec<u64> {
        let line = said.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in\n{said}"));
        line.split_whitespace().map(|f| f.parse().expect("a number")).collect()
    };
    assert!(figures("packets ").iter().all(|n| *n > 30), "{said}");
    let (ours, theirs) = (figures("sent again  "), figures("sent again, the kernels say"));
    assert_eq!(ours[0], theirs[0], "{said}");
    same_but_for_the_loopback(ours[1], Some(theirs[1]));
    assert!(figures("duplicated").iter().chain(&figures("corrupted")).all(|n| *n == 0), "{said}");
    // All that the client sent is in it, and most of what came to it.
    assert!(std::fs::metadata(&pcap).expect("written").len() > figures("IP bytes")[0]);
}

#[test]
fn the_commands_own_exit_code_is_handed_on() {
    let code = |command: &[&str]| {
        let output = squall().args(["link", "--profile", "lte-m", "--"]).args(command).output().expect("it starts");
        output.status.code()
    };
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&["no-such-program-anywhere"]), Some(3));
}

/// Without the right: a clear answer, and nothing is started.
#[test]
fn without_the_right_it_says_so() {
    let scratch = Scratch::new();
    let file = scratch.file("test.toml", LOSSY);
    let squall = env!("CARGO_BIN_EXE_squall");
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-all", "--inh-caps", "-all", "--clear-groups", "--reuid", "0", squall, "run"])
        .arg(&file)
        .args(["--engine", "kernel", "--out"])
        .arg(scratch.0.join("out"))
        .output()
        .expect("setpriv is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("CAP_NET_ADMIN") && said.contains("engine = \"smoltcp\" needs no rights"), "{said}");
    let left = std::fs::read_dir(scratch.0.join("out")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "no report's folder is left");
}

/// Waits for something that has no event to wait for.
#[allow(clippy::disallowed_methods, reason = "looking at another process; bounded")]
fn until(mut done: impl FnMut() -> bool, what: &str) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("in 20 s: {what}");
}
