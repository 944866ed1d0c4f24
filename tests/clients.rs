//! Clients that others wrote, against the reference broker: TCP, TLS and WebSocket, QoS 0, 1 and 2, both versions.
//! `tests/all.sh` installs them; one that is missing fails its test.
#![cfg(feature = "real-brokers")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Scratch, squall};

/// The reference broker on all four transports, with certificates of its own.
struct Broker {
    child: Child,
    /// mqtt, mqtts, ws, wss.
    ports: Vec<String>,
    folder: Scratch,
}

impl Broker {
    fn start() -> Self {
        let folder = Scratch::new();
        let mut command = squall();
        command.arg("broker").arg("--self-signed").arg(&folder.0);
        for scheme in ["mqtt", "mqtts", "ws", "wss"] {
            command.args(["--listen", &format!("{scheme}://127.0.0.1:0")]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().take(4);
        let ports = lines.map(|l| l.expect("text").rsplit_once(':').expect("an address").1.to_owned()).collect();
        Self { child, ports, folder }
    }

    fn ca(&self) -> String {
        self.folder.0.join("ca.pem").display().to_string()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it and returns what it printed.
fn output(command: &mut Command, what: &str) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{what} is not installed: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{what}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn mosquittos_clients_over_tcp_and_tls() {
    let broker = Broker::start();
    let ca = broker.ca();
    for (tls, port) in [(false, &broker.ports[0]), (true, &broker.ports[1])] {
        let client = |program: &str| {
            let mut c = Command::new(program);
            c.args(["-h", "localhost", "-p", port]);
            if tls {
                c.args(["--cafile", &ca]);
            }
            c
        };
        for version in ["mqttv311", "mqttv5"] {
            for qos in ["0", "1", "2"] {
                let topic = format!("{tls}/{version}/{qos}");
                let common = ["-V", version, "-q", qos, "-t", &topic];
                output(client("mosquitto_pub").args(common).args(["-r", "-m", "kept"]), "mosquitto_pub");
                let mut sub = client("mosquitto_sub");
                sub.args(common).args(["-C", "1", "-W", "10", "-F", "%r %q %p"]);
                assert_eq!(output(&mut sub, "mosquitto_sub"), format!("1 {qos} kept"), "{topic}");
            }
        }
        // A request, and the answer that waits for it as a retained message on the response topic.
        let mut answer = client("mosquitto_pub");
        output(answer.args(["-V", "mqttv5", "-r", "-t", "answer", "-m", "42"]), "mosquitto_pub");
        let mut rr = client("mosquitto_rr");
        rr.args(["-V", "mqttv5", "-t", "question", "-e", "answer", "-m", "?", "-W", "10"]);
        assert_eq!(output(&mut rr, "mosquitto_rr"), "42");
    }
}

const PAHO: &str = r#"
import sys, threading
import paho.mqtt.client as mqtt
kind, port, ca = sys.argv[1:]
for version in (mqtt.MQTTv311, mqtt.MQTTv5):
    done, got = threading.Event(), []
    c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version,
                    transport="websockets" if kind.startswith("ws") else "tcp")
    if kind.startswith("ws"):
        c.ws_set_options(path="/mqtt")
    if kind in ("tls", "wss"):
        c.tls_set(ca_certs=ca)
    c.on_connect = lambda c, u, f, reason, p: c.subscribe([(f"paho/{kind}/{q}", q) for q in range(3)])
    def publish(c, *_):
        for q in range(3):
            c.publish(f"paho/{kind}/{q}", b"x" * 5000, qos=q)
    c.on_subscribe = publish
    def arrived(c, u, m):
        got.append((m.topic, m.qos, len(m.payload)))
        if len(got) == 3: done.set()
    c.on_message = arrived
    c.connect("localhost", int(port), 30)
    c.loop_start()
    assert done.wait(15), got
    c.disconnect()
    c.loop_stop()
    assert sorted(got) == [(f"paho/{kind}/{q}", q, 5000) for q in range(3)], got
print("ok")
"#;

#[test]
fn paho_over_every_transport() {
    let broker = Broker::start();
    let script = broker.folder.file("client.py", PAHO);
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/python/bin/python");
    for (kind, port) in ["tcp", "tls", "ws", "wss"].iter().zip(&broker.ports) {
        let mut c = Command::new(&python);
        assert_eq!(output(c.arg(&script).args([kind, port.as_str(), &broker.ca()]), "paho-mqtt"), "ok", "{kind}");
    }
}

const MQTT_JS: &str = r#"
const mqtt = require("mqtt"), fs = require("fs");
const [url, ca] = process.argv.slice(2);
async function once(protocolVersion) {
  const c = await mqtt.connectAsync(url, { protocolVersion, ca: fs.readFileSync(ca), reconnectPeriod: 0 });
  const got = [];
  const all = new Promise((done) => c.on("message", (topic, payload, packet) => {
    got.push(`${topic} ${packet.qos} ${payload.length}`);
    if (got.length === 3) done();
  }));
  for (const qos of [0, 1, 2]) await c.subscribeAsync(`js/${qos}`, { qos });
  for (const qos of [0, 1, 2]) await c.publishAsync(`js/${qos}`, "x".repeat(5000), { qos });
  await all;
  await c.endAsync();
  const expected = [0, 1, 2].map((q) => `js/${q} ${q} 5000`).join();
  if (got.sort().join() !== expected) throw new Error(got.join());
}
once(4).then(() => once(5)).then(() => { console.log("ok"); process.exit(0); },
  (e) => { console.error(e); process.exit(1); });
setTimeout(() => { console.error("too late"); process.exit(1); }, 15000);
"#;

#[test]
fn mqtt_js_over_every_transport() {
    let broker = Broker::start();
    let script = broker.folder.file("client.cjs", MQTT_JS);
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/node_modules");
    for (scheme, port) in ["mqtt", "mqtts", "ws", "wss"].iter().zip(&broker.ports) {
        let url = format!("{scheme}://localhost:{port}/mqtt");
        let mut c = Command::new("node");
        c.env("NODE_PATH", &modules).arg(&script).args([url, broker.ca()]);
        assert_eq!(output(&mut c, "MQTT.js"), "ok", "{scheme}");
    }
}

/// A message of each QoS there and back, with rumqttc's client of one version: they are alike, and share no type.
macro_rules! exchange_by_rumqttc {
    ($name:ident, $($client:ident)::+) => {
        fn $name(address: &str, port: u16, transport: rumqttc::Transport) {
            use $($client)::+::{Client, Event, Incoming, MqttOptions, mqttbytes::QoS};
            let mut options = MqttOptions::new(stringify!($name), address, port);
            options.set_keep_alive(Duration::from_secs(10)).set_transport(transport);
            let (client, mut connection) = Client::new(options, 20);
            let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
            for qos in levels {
                client.subscribe(format!("r/{}", qos as u8), qos).expect("room");
            }
            for qos in levels {
                client.publish(format!("r/{}", qos as u8), qos, false, vec![b'x'; 5000]).expect("room");
            }
            let mut got = Vec::new();
            while got.len() < 3 {
                let event = connection.recv_timeout(Duration::from_secs(15)).expect("in time");
                if let Event::Incoming(Incoming::Publish(p)) = event.unwrap_or_else(|e| panic!("{address}: {e}")) {
                    let topic: &[u8] = p.topic.as_ref();
                    got.push((String::from_utf8_lossy(topic).into_owned(), p.qos as u8, p.payload.len()));
                }
            }
            got.sort();
            let expected: Vec<_> = (0..3).map(|q| (format!("r/{q}"), q, 5000)).collect();
            assert_eq!(got, expected, "{address}");
        }
    };
}

exchange_by_rumqttc!(with_3_1_1, rumqttc);
exchange_by_rumqttc!(with_5_0, rumqttc::v5);

#[test]
fn rumqttc_over_every_transport() {
    use rumqttc::Transport;
    let broker = Broker::start();
    let ca = std::fs::read(broker.ca()).expect("written");
    let transports =
        [Transport::tcp(), Transport::tls(ca.clone(), None, None), Transport::ws(), Transport::wss(ca, None, None)];
    for ((scheme, transport), port) in ["mqtt", "mqtts", "ws", "wss"].iter().zip(transports).zip(&broker.ports) {
        // Where it speaks WebSocket it wants a URL, elsewhere a host.
        let web = format!("{scheme}://localhost:{port}/mqtt");
        let address = if scheme.starts_with("ws") { &web } else { "localhost" };
        let port = port.parse().expect("a port");
        with_3_1_1(address, port, transport.clone());
        with_5_0(address, port, transport);
    }
}
