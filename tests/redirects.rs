//! A broker that sends its clients to another server, and one that asks for an authentication that nobody named: told in the report as
//! why the connections ended, with a back-off that grows, and nobody follows.

mod support;

use squall::mqtt::Version;
use squall::mqtt::codec::{MAX_PACKET, Sender, decode, encode};
use squall::mqtt::packet::{ConnAck, Packet, Reason};
use squall::mqtt::properties::{Properties, PropertiesBuf, Property};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Run, run};

const SCENARIO: &str = r#"
ramp = "10 ms"
duration = "3 s"
drain = "500 ms"

[fleet.one]
sensors = 1
mqtt = "5.0"
reconnect = { first = "100 ms", longest = "10 s", jitter = "0 %" }
publish = { topic = "o/{sensor}", qos = 1, every = "100 ms" }
"#;

/// A broker that says a few words to each 5.0 client and hangs up; others (squall looks whether it answers) are welcome.
struct Scripted {
    address: String,
    clients: Arc<AtomicU64>,
}

impl Scripted {
    fn start(words: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("mqtt://{}", listener.local_addr().expect("bound"));
        let clients = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&clients);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (words, count) = (words.clone(), Arc::clone(&count));
                std::thread::spawn(move || serve(stream, &words, &count));
            }
        });
        Self { address, clients }
    }

    /// A run against it, and how many connections it took.
    fn meets_a_sensor(words: Vec<u8>) -> (Run, u64) {
        let broker = Self::start(words);
        let r = run(SCENARIO, &["--target", &broker.address]);
        (r, broker.clients.load(Ordering::Relaxed))
    }
}

fn serve(mut stream: TcpStream, words: &[u8], count: &AtomicU64) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 1024]);
    let version = loop {
        match decode(&bytes, Version::V5, Sender::Client, MAX_PACKET) {
            Ok(Some((Packet::Connect(c), _))) => break c.version,
            Ok(None) => {}
            other => panic!("no CONNECT: {other:?}"),
        }
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    };
    let mut welcome = Vec::new();
    encode(&connack(0, Properties::EMPTY), version, &mut welcome);
    count.fetch_add(u64::from(version == Version::V5), Ordering::Relaxed);
    let _ = stream.write_all(if version == Version::V5 { words } else { &welcome });
    let _ = stream.shutdown(std::net::Shutdown::Write);
    while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
}

fn connack(reason: u8, properties: Properties<'_>) -> Packet<'_> {
    Packet::ConnAck(ConnAck { session_present: false, reason, properties })
}

fn words(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    packets.iter().for_each(|p| encode(p, Version::V5, &mut out));
    out
}

/// What the terminal shows, without its line ends.
fn shown(r: &Run) -> String {
    r.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn redirects(r: &Run) -> &serde_json::Value {
    &r.report()["broker"]["redirects"]
}

/// In 3.5 s there is room for waits of 0.1, 0.2, 0.4, 0.8 and 1.6 s, and the heal lets everybody try once more, and begin again. A client
/// that always came back after 0.1 s would make some 30 connections.
const AT_MOST: u64 = 12;

#[test]
fn a_refusal_that_names_another_server_is_told() {
    let mut p = PropertiesBuf::default();
    p.push(Property::ServerReference("node-b.example:1883"));
    let (r, connections) = Scripted::meets_a_sensor(words(&[connack(0x9C, p.as_properties())]));
    let first = &redirects(&r)[0];
    assert_eq!((&first["reason"], &first["to"]), (&0x9C.into(), &"node-b.example:1883".into()), "{}", r.stdout);
    assert_eq!(first["count"], connections);
    assert!((2..=AT_MOST).contains(&connections), "{connections}");
    assert!(shown(&r).contains("to \"node-b.example:1883\" (0x9C, use another server)"), "{}", r.stdout);
    assert_eq!(r.broken(), Vec::<String>::new(), "a redirect breaks no promise");
    assert_eq!(r.code, 5, "nor does it show that any was kept");
    let page = std::fs::read_to_string(r.folder.join("report.html")).expect("written");
    assert!(page.contains("node-b.example:1883"));
}

/// Each connection is made, and taken back at once: that counts as a failure of the one before.
#[test]
fn a_farewell_that_says_the_server_moved_is_told_and_waited_for() {
    let moved = Packet::Disconnect(Reason { reason: 0x9D, properties: Properties::EMPTY });
    let (r, connections) = Scripted::meets_a_sensor(words(&[connack(0, Properties::EMPTY), moved]));
    let first = &redirects(&r)[0];
    assert_eq!((&first["reason"], &first["to"]), (&0x9D.into(), &serde_json::Value::Null), "{}", r.stdout);
    assert_eq!(first["count"], connections);
    assert!((2..=AT_MOST).contains(&connections), "{connections}");
    assert!(shown(&r).contains("to an unnamed server (0x9D, the server moved)"), "{}", r.stdout);
}

/// [MQTT-4.12.0-6]: squall's clients name no authentication method.
#[test]
fn a_challenge_that_nobody_asked_for_is_a_breach() {
    let mut p = PropertiesBuf::default();
    p.push(Property::AuthenticationMethod("SCRAM-SHA-1")).push(Property::AuthenticationData(b"n,,"));
    let challenge = Packet::Auth(Reason { reason: 0x18, properties: p.as_properties() });
    let (r, _) = Scripted::meets_a_sensor(words(&[challenge]));
    assert_eq!(r.breaches("protocol"), ["authentication unasked"], "{}", r.stdout);
    assert_eq!(r.code, 1);
    assert!(shown(&r).contains("MQTT-4.12.0-6") && redirects(&r).as_array().is_some_and(Vec::is_empty), "{}", r.stdout);
}
