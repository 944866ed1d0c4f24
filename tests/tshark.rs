//! Captures as Wireshark's own decoder reads them. `tests/all.sh` installs tshark and mosquitto; a missing one fails its test. The
//! engine in which kernels speak TCP needs root, as in `kernel_engines.rs`.
#![cfg(feature = "real-brokers")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Run, Scratch, run, squall};

/// tshark's fields of a capture, one line a packet; it knows MQTT by its usual port alone.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]);
    command.args(["-o", "tcp.reassemble_out_of_order:TRUE", "-T", "fields"]);
    if !filter.is_empty() {
        command.args(["-Y", filter]);
    }
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// How many MQTT packets of each type (1 CONNECT ... 14 DISCONNECT) a capture holds, each once however often it was sent.
fn mqtt_types(file: &Path) -> [u64; 16] {
    let mut counts = [0; 16];
    for line in tshark(file, "mqtt", &["mqtt.msgtype"]) {
        for kind in line.split(',') {
            counts[kind.parse::<usize>().expect("a type")] += 1;
        }
    }
    counts
}

fn is_well_formed(file: &Path) {
    let wrong = "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0";
    assert_eq!(tshark(file, wrong, &["frame.number"]), Vec::<String>::new(), "malformed frames");
}

fn count(report: &serde_json::Value, fleet: &str, what: &str) -> u64 {
    let groups = report["groups"].as_array().expect("a list");
    let fleet = groups.iter().find(|g| g["name"] == fleet).expect("it is there");
    fleet["counts"][what].as_u64().expect("counted")
}

const SCENARIO: &str = r##"
ramp = "500 ms"
duration = "6 s"
drain = "40 s"
[fleet.s]
sensors = 3
link = "l"
publish = { topic = "t/{sensor}", qos = 2, every = "500 ms" }
[subscriber.all]
filters = [{ filter = "#", qos = 2 }]
[link.l]
loss = "5 %"
delay = "20 ms"
rate = "50 kbit/s"
"##;

/// Every PUBLISH that the report counts is there, with its PUBREC, PUBREL and PUBCOMP.
fn counts_agree(file: &Path, report: &serde_json::Value) {
    is_well_formed(file);
    let (types, sent) = (mqtt_types(file), count(report, "s", "sent"));
    assert!(sent >= 30, "{sent}");
    assert_eq!((types[1], types[2]), (3, 3), "CONNECT and CONNACK");
    assert_eq!((types[3], types[5], types[6], types[7]), (sent, sent, sent, sent), "PUBLISH, PUBREC, PUBREL, PUBCOMP");
}

/// Simulates a scenario, and looks at the packets of `whose` and at the report.
fn simulated(scenario: &str, whose: &str, look: fn(&Path, &serde_json::Value)) {
    let scratch = Scratch::new();
    let (file, out) = (scratch.file("test.toml", scenario), scratch.0.join("out"));
    let output =
        squall().arg("simulate").arg(file).args(["--pcap", whose, "--out"]).arg(&out).output().expect("it starts");
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = std::fs::read_dir(&out).expect("there").next().expect("one").expect("readable").path();
    let report = std::fs::read(folder.join("report.json")).expect("written");
    look(&folder.join("packets.pcapng"), &serde_json::from_slice(&report).expect("JSON"));
}

#[test]
fn a_simulated_capture_is_decoded() {
    simulated(SCENARIO, "s", counts_agree);
}

#[test]
fn a_capture_of_a_run_against_mosquitto_is_decoded() {
    let r: Run = run(SCENARIO, &["--target", "mosquitto", "--pcap", "s"]);
    counts_agree(&r.folder.join("packets.pcapng"), r.report());
}

#[test]
fn a_capture_between_two_kernels_is_decoded() {
    let r: Run = run(SCENARIO, &["--engine", "kernel", "--target", "mosquitto", "--pcap", "s"]);
    counts_agree(&r.folder.join("packets.pcapng"), r.report());
}

/// A subscriber behind a link, to publishers without one, at each QoS.
const MIXED: &str = r##"
ramp = "500 ms"
duration = "6 s"
drain = "40 s"
[fleet.zero]
sensors = 2
publish = { topic = "0/{sensor}", qos = 0, every = "300 ms" }
[fleet.one]
sensors = 2
publish = { topic = "1/{sensor}", qos = 1, every = "400 ms" }
[fleet.two]
sensors = 2
publish = { topic = "2/{sensor}", qos = 2, every = "500 ms" }
[subscriber.all]
link = "l"
filters = [{ filter = "#", qos = 2 }]
[link.l]
loss = "5 %"
delay = "20 ms"
rate = "50 kbit/s"
"##;

/// Every message that the report counts as delivered came down with its QoS, and was answered as that asks for.
fn deliveries_agree(file: &Path, report: &serde_json::Value) {
    is_well_formed(file);
    // A frame may have several packets: a PUBLISH has a QoS, and those of other types have none.
    let mut came = [0; 3];
    let down = "mqtt.msgtype == 3 && tcp.srcport == 1883";
    for line in tshark(file, down, &["mqtt.qos"]) {
        line.split(',').for_each(|qos| came[qos.parse::<usize>().expect("a QoS")] += 1);
    }
    let delivered = ["zero", "one", "two"].map(|fleet| count(report, fleet, "delivered"));
    assert!(delivered.iter().all(|n| *n >= 20), "{delivered:?}");
    assert_eq!(came, delivered, "PUBLISH by QoS");
    let types = mqtt_types(file);
    assert_eq!((types[3], types[4]), (delivered.iter().sum(), delivered[1]), "PUBLISH, PUBACK");
    assert_eq!((types[5], types[6], types[7]), (delivered[2], delivered[2], delivered[2]), "PUBREC, PUBREL, PUBCOMP");
    assert_eq!((types[1], types[2], types[8], types[9]), (1, 1, 1, 1), "CONNECT, CONNACK, SUBSCRIBE, SUBACK");
}

#[test]
fn a_subscribers_capture_has_what_was_delivered() {
    simulated(MIXED, "all", deliveries_agree);
    for engine in ["smoltcp", "kernel"] {
        let r: Run = run(MIXED, &["--engine", engine, "--target", "mosquitto", "--pcap", "all"]);
        deliveries_agree(&r.folder.join("packets.pcapng"), r.report());
    }
}

/// mosquitto's own client behind `squall link`: what it said is what the capture holds.
#[test]
fn mosquitto_pub_behind_a_link_is_captured() {
    let broker = support::Broker::start(&[]);
    let scratch = Scratch::new();
    let pcap = scratch.0.join("link.pcapng");
    let mut command = squall();
    command.args(["link", "--listen", "127.0.0.1:0", "--profile", "lte-m", "--for", "8 s", "--to"]);
    command.arg(broker.addr.to_string()).arg("--pcap").arg(&pcap).stdout(Stdio::piped());
    let mut link = command.spawn().expect("it starts");
    let mut line = String::new();
    let mut out = BufReader::new(link.stdout.take().expect("piped")); // kept: it tells more at its end
    out.read_line(&mut line).expect("a line");
    let port = line.split([':', ',']).nth(1).expect("an address").to_owned();
    for qos in ["0", "1", "2"] {
        let publish = Command::new("mosquitto_pub").args(["-p", &port, "-t", "t", "-m", "hello", "-q", qos]).status();
        assert!(publish.expect("mosquitto_pub is installed").success());
    }
    assert!(link.wait().expect("it ends").success());
    is_well_formed(&pcap);
    let types = mqtt_types(&pcap);
    assert_eq!((types[1], types[3], types[4], types[7], types[14]), (3, 3, 1, 1, 3));
}
