//! Captures as Wireshark's own decoder reads them. `tests/all.sh` installs tshark and mosquitto; a missing one fails its test.
#![cfg(feature = "real-brokers")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Run, Scratch, run, squall};

/// tshark's fields of a capture, one line a packet.
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

fn sent(report: &serde_json::Value) -> u64 {
    let groups = report["groups"].as_array().expect("a list");
    let fleet = groups.iter().find(|g| g["name"] == "s").expect("it is there");
    fleet["counts"]["sent"].as_u64().expect("counted")
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
    let (types, sent) = (mqtt_types(file), sent(report));
    assert!(sent >= 30, "{sent}");
    assert_eq!((types[1], types[2]), (3, 3), "CONNECT and CONNACK");
    assert_eq!((types[3], types[5], types[6], types[7]), (sent, sent, sent, sent), "PUBLISH, PUBREC, PUBREL, PUBCOMP");
}

#[test]
fn a_simulated_capture_is_decoded() {
    let scratch = Scratch::new();
    let (file, out) = (scratch.file("test.toml", SCENARIO), scratch.0.join("out"));
    let output =
        squall().arg("simulate").arg(file).args(["--pcap", "s", "--out"]).arg(&out).output().expect("it starts");
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = std::fs::read_dir(&out).expect("there").next().expect("one").expect("readable").path();
    let report = std::fs::read(folder.join("report.json")).expect("written");
    counts_agree(&folder.join("packets.pcapng"), &serde_json::from_slice(&report).expect("JSON"));
}

#[test]
fn a_capture_of_a_run_against_mosquitto_is_decoded() {
    let r: Run = run(SCENARIO, &["--target", "mosquitto", "--pcap", "s"]);
    counts_agree(&r.folder.join("packets.pcapng"), r.report());
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
