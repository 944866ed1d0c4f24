//! TLS and WebSocket from outside: runs over each transport, also behind a lossy link, and what goes wrong said clearly.

mod support;

use squall::transport::certificates::{SelfSigned, self_signed};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use support::{Scratch, run, squall};

/// Direct sockets and a lossy link; QoS 1 and 2; a subscriber that leaves and returns.
const SCENARIO: &str = r##"
ramp = "200 ms"
duration = "3 s"
drain = "40 s"
[link.bad]
loss = "10 %"
delay = "20 ms"
[fleet.one]
sensors = 10
session = "persistent"
publish = { topic = "o/{sensor}", qos = 1, every = "100 ms" }
[fleet.two]
sensors = 10
mqtt = "5.0"
link = "bad"
session = "persistent"
reconnect = { first = "100 ms", longest = "1 s" }
publish = { topic = "t/{sensor}", qos = 2, every = "400 ms" }
power = { cut_every = "3 s", off = "200 ms", keeps = "flash" }
[subscriber.all]
session = "persistent"
filters = [{ filter = "o/#", qos = 1 }, { filter = "t/#", qos = 2 }]
offline = [{ at = "1 s", for = "700 ms" }]
"##;

#[test]
fn every_transport_carries_a_run_over_lossy_links() {
    for kind in ["tls", "ws", "wss"] {
        let r = run(SCENARIO, &["--transport", kind]);
        assert!(matches!(r.code, 0 | 5), "{kind}: {}\n{}", r.stdout, r.stderr);
        assert_eq!(r.broken(), Vec::<String>::new(), "{kind}: {}", r.stdout);
        for key in ["qos1", "qos2", "session", "protocol", "liveness"] {
            assert!(r.standing(key).starts_with("held"), "{kind}, {key}: {}", r.stdout);
        }
        assert!(r.stdout.contains(&format!("MQTT over {kind}")), "{}", r.stdout);
        assert!(r.stdout.contains(&format!("--transport {kind}")), "how to run it again: {}", r.stdout);
        assert!(!r.folder.join("broker-data").exists(), "the certificates are taken away");
        // A round trip of the link is 40 ms: TCP takes one, TLS 1.3 one, the upgrade to WebSocket one.
        let (tcp, _) = least(&r, "two", "tcp_connect").expect("measured");
        let (handshake, count) = least(&r, "two", "handshake").expect("measured");
        let trips = if kind == "wss" { 2.0 } else { 1.0 };
        assert!(tcp >= 0.04 && handshake >= 0.04 * trips && count >= 10, "{kind}: {tcp} {handshake} {count}");
    }
}

/// The least of a fleet's latencies in seconds, and how many there were.
fn least(r: &support::Run, fleet: &str, key: &str) -> Option<(f64, u64)> {
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let group = list(&r.report()["groups"]).into_iter().find(|g| g["name"] == fleet).expect("a fleet");
    let found = list(&group["latencies"]).into_iter().find(|l| l["key"] == key)?;
    Some((found["sent"]["min"].as_f64().expect("seconds"), found["sent"]["count"].as_u64().expect("a count")))
}

/// The oracles see through TLS: a defect is caught as on plain TCP.
#[test]
fn a_defect_is_caught_through_tls() {
    let r = run(SCENARIO, &["--transport", "wss", "--defect", "lose-acked:50"]);
    assert_eq!(r.code, 1, "{}\n{}", r.stdout, r.stderr);
    assert!(r.breaches("qos1").contains(&"lost".to_owned()), "{}", r.stdout);
}

#[test]
fn fleets_choose_their_transports() {
    let scenario = r##"
ramp = "200 ms"
duration = "1 s"
[fleet.a]
sensors = 3
transport = "tls"
link = "ble"
publish = { topic = "a/{sensor}", qos = 1, every = "200 ms" }
[fleet.b]
sensors = 3
transport = "wss"
publish = { topic = "b/{sensor}", qos = 1, every = "200 ms" }
[fleet.c]
sensors = 3
link = "ble"
publish = { topic = "c/{sensor}", qos = 1, every = "200 ms" }
[subscriber.all]
filters = [{ filter = "#", qos = 1 }]
"##;
    let r = run(scenario, &[]);
    assert!(matches!(r.code, 0 | 5), "{}\n{}", r.stdout, r.stderr);
    assert!(r.standing("qos1").starts_with("held") && r.stdout.contains("MQTT over tcp, tls, wss"), "{}", r.stdout);
    for (fleet, shakes) in [("a", true), ("b", true), ("c", false)] {
        assert!(least(&r, fleet, "tcp_connect").is_some(), "{fleet}");
        assert_eq!(least(&r, fleet, "handshake").is_some(), shakes, "{fleet}");
    }
    let wrong = run(&scenario.replace("\"wss\"", "\"quic\""), &[]);
    assert!(wrong.code == 3 && wrong.stderr.contains("there are: tcp, tls, ws, wss"), "{}", wrong.stderr);
}

/// The reference broker with listeners, as a child of the test.
struct Broker {
    child: Child,
    /// Where it listens, as its lines say.
    listening: Vec<String>,
}

impl Broker {
    fn start(arguments: &[&str]) -> Self {
        let mut child = squall().arg("broker").args(arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let count = arguments.iter().filter(|a| **a == "--listen").count();
        let listening = lines.take(count).map(|l| l.expect("text").replace("listening on ", "")).collect();
        Self { child, listening }
    }

    /// The port of the listener of that scheme; "" is plain MQTT.
    fn port(&self, scheme: &str) -> &str {
        let found = self.listening.iter().find(|l| match scheme {
            "" => !l.contains("://"),
            scheme => l.starts_with(&format!("{scheme}://")),
        });
        found.and_then(|l| l.rsplit_once(':')).expect("it listens").1
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SHORT: &str = r##"
ramp = "100 ms"
duration = "1 s"
[fleet.a]
sensors = 3
publish = { topic = "a/{sensor}", qos = 1, every = "200 ms" }
[subscriber.all]
filters = [{ filter = "#", qos = 1 }]
"##;

struct Files {
    scratch: Scratch,
    made: SelfSigned,
}

impl Files {
    fn new(name: &str, until: i32) -> Self {
        let (scratch, made) = (Scratch::new(), self_signed(&[name], until).expect("a name"));
        for (file, text) in [
            ("ca.pem", &made.ca),
            ("server.pem", &made.server.0),
            ("server-key.pem", &made.server.1),
            ("client.pem", &made.client.0),
            ("client-key.pem", &made.client.1),
        ] {
            scratch.file(file, text);
        }
        Self { scratch, made }
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.scratch.0.join(name);
        path.display().to_string()
    }
}

/// A broker on TLS with those certificates, and what a run against it says.
fn against(files: &Files, more: &[&str], arguments: &[&str]) -> support::Run {
    let (cert, key) = (files.path("server.pem"), files.path("server-key.pem"));
    let mut all = vec!["--listen", "mqtts://127.0.0.1:0", "--cert", &cert, "--key", &key];
    all.extend(more);
    let broker = Broker::start(&all);
    let url = format!("mqtts://localhost:{}", broker.port("mqtts"));
    run(SHORT, &[&["--target", &url], arguments].concat())
}

#[test]
fn what_is_wrong_with_certificates_is_said() {
    let good = Files::new("localhost", 2099);
    let (ca, other) = (good.path("ca.pem"), Files::new("localhost", 2099));
    let r = against(&good, &[], &["--ca", &ca]);
    assert!(matches!(r.code, 0 | 5), "{}\n{}", r.stdout, r.stderr);

    let wrong = against(&good, &[], &["--ca", &other.path("ca.pem")]);
    assert!(wrong.code == 4 && wrong.stderr.contains("signed by no CA that is trusted"), "{}", wrong.stderr);

    let elsewhere = Files::new("elsewhere.example", 2099);
    let name = against(&elsewhere, &[], &["--ca", &elsewhere.path("ca.pem")]);
    assert!(name.code == 4 && name.stderr.contains("another host name"), "{}", name.stderr);
    let asked = against(&elsewhere, &[], &["--ca", &elsewhere.path("ca.pem"), "--server-name", "elsewhere.example"]);
    assert!(matches!(asked.code, 0 | 5), "{}\n{}", asked.stdout, asked.stderr);

    let expired = Files::new("localhost", 2021);
    let late = against(&expired, &[], &["--ca", &expired.path("ca.pem")]);
    assert!(late.code == 4 && late.stderr.contains("has expired"), "{}", late.stderr);
    let insecure = against(&expired, &[], &["--insecure"]);
    assert!(matches!(insecure.code, 0 | 5), "{}\n{}", insecure.stdout, insecure.stderr);
    assert!(insecure.stderr.contains("WARNING: --insecure") && insecure.stdout.contains("--insecure"));

    let missing = run(SHORT, &["--target", "mqtts://localhost:1", "--ca", "/nowhere.pem"]);
    assert!(missing.code == 3 && missing.stderr.contains("/nowhere.pem cannot be read"), "{}", missing.stderr);
}

#[test]
fn clients_are_known_by_their_certificates() {
    let files = Files::new("localhost", 2099);
    let ca = files.path("ca.pem");
    let stranger = against(&files, &["--client-ca", &ca], &["--ca", &ca]);
    assert!(stranger.code == 4 && stranger.stderr.contains("client certificate"), "{}", stranger.stderr);
    let (cert, key) = (files.path("client.pem"), files.path("client-key.pem"));
    let identity = ["--ca", &ca, "--client-cert", &cert, "--client-key", &key];
    let known = against(&files, &["--client-ca", &ca], &identity);
    assert!(matches!(known.code, 0 | 5), "{}\n{}", known.stdout, known.stderr);
    assert!(files.made.client.1.contains("PRIVATE KEY"));
}

/// Each kind of client on each other kind of port: an error in words, soon, and the broker serves on.
#[test]
fn the_wrong_port_is_an_error_in_words() {
    let scratch = Scratch::new();
    let folder = scratch.0.display().to_string();
    let listen = ["127.0.0.1:0", "mqtts://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0"];
    let mut arguments = vec!["--self-signed", &folder];
    arguments.extend(listen.iter().flat_map(|l| ["--listen", *l]));
    let broker = Broker::start(&arguments);
    let ca = format!("{folder}/ca.pem");
    for (url, port) in [("mqtt", "mqtts"), ("mqtt", "ws"), ("mqtts", ""), ("mqtts", "ws"), ("ws", ""), ("wss", "mqtts")]
    {
        let target = format!("{url}://localhost:{}", broker.port(port));
        let r = run(SHORT, &["--target", &target, "--ca", &ca]);
        assert!(r.code == 4 && r.stderr.contains("does not answer"), "{url} to {port}: {} {}", r.code, r.stderr);
        assert!(!r.stderr.contains("panicked"), "{}", r.stderr);
    }
    // Garbage into each port, and half a handshake.
    for scheme in ["", "mqtts", "ws", "wss"] {
        let at = format!("127.0.0.1:{}", broker.port(scheme));
        let half = TcpStream::connect(&at).expect("it listens");
        (&half).write_all(b"GET /mqtt HT").expect("it takes it");
        let mut garbage = TcpStream::connect(&at).expect("it listens");
        garbage.write_all(&[0xFF; 2000]).expect("it takes it");
        let mut answer = Vec::new();
        let _ = garbage.read_to_end(&mut answer); // it closes
    }
    for scheme in ["mqtt", "mqtts", "ws", "wss"] {
        let port = broker.port(if scheme == "mqtt" { "" } else { scheme });
        let r = run(SHORT, &["--target", &format!("{scheme}://127.0.0.1:{port}"), "--ca", &ca]);
        assert!(matches!(r.code, 0 | 5), "{scheme}: {}\n{}", r.stdout, r.stderr);
    }
}
