//! A lying middle-man between squall and an honest mosquitto: a program of its own, in another language, that shares no code with squall and
//! of which squall is told nothing but an address. Each kind of lie breaks the guarantee that it concerns, by its name, as often as it was
//! told, and no other; what is legal breaks nothing.
#![cfg(feature = "real-brokers")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Run, Scratch, run};

/// A child that is killed and reaped in the end.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An honest mosquitto on a free port.
struct Mosquitto {
    port: u16,
    _process: Process,
    _scratch: Scratch,
}

impl Mosquitto {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let scratch = Scratch::new();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nset_tcp_nodelay true\nlog_type none\n"
        );
        let file = scratch.file("mosquitto.conf", &config);
        let child = Command::new("mosquitto").arg("-c").arg(file).spawn().expect("mosquitto is installed");
        let mut process = Process(child);
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
            assert!(process.0.try_wait().expect("ours").is_none(), "mosquitto does not listen");
            std::thread::yield_now();
        }
        Self { port, _process: process, _scratch: scratch }
    }
}

/// The middle-man, before a broker of its own.
struct MiddleMan {
    url: String,
    process: Process,
    told: BufReader<std::process::ChildStdout>,
    _broker: Mosquitto,
}

impl MiddleMan {
    /// `lie`: its name, and what else the program takes.
    fn start(lie: &str) -> Self {
        let broker = Mosquitto::start();
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/middle_man/middle_man.py"));
        command.arg("--to").arg(broker.port.to_string()).arg("--lie").args(lie.split(' '));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let child = command.stdout(Stdio::piped()).spawn().expect("Python 3 is installed");
        let mut process = Process(child);
        let mut told = BufReader::new(process.0.stdout.take().expect("piped"));
        let mut line = String::new();
        told.read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{lie}: {line}"));
        Self { url: format!("mqtt://{address}"), process, told, _broker: broker }
    }

    /// How many lies it told.
    fn told(mut self) -> u64 {
        drop(self.process);
        let mut text = String::new();
        self.told.read_to_string(&mut text).expect("text");
        text.lines().count() as u64
    }
}

/// How many breaches a lie makes.
#[derive(Clone, Copy)]
enum Times {
    /// So many for each time that it is told.
    Each(u64),
    /// At least one.
    Any,
}
use Times::{Any, Each};

/// A lie, and what it breaks: nothing, or a guarantee by name (two where it offends two rules of it).
type Lie = (&'static str, Option<(&'static str, &'static str, Times)>);

fn tell(scenario: &str, (lie, expected): Lie) -> Result<(), String> {
    let middle_man = MiddleMan::start(lie);
    let r = run(scenario, &["--target", &middle_man.url]);
    let told = middle_man.told();
    let wrong = |what: &str| Err(format!("{lie} (told {told} times): {what}\n{}\n{}", r.stdout, r.stderr));
    if (told == 0) != lie.starts_with("none") {
        return wrong("not told");
    }
    let Some((guarantee, name, times)) = expected else {
        // 5: on a busy machine a harness may say that its figures are not to be trusted.
        return if r.broken().is_empty() && matches!(r.code, 0 | 5) { Ok(()) } else { wrong("broken") };
    };
    if r.code != 1 || r.broken() != [guarantee] || r.breaches(guarantee).join(", ") != name {
        return wrong(&format!("{:?}", r.broken()));
    }
    let count = count(&r, guarantee);
    match times {
        Each(n) if count != n * told => wrong(&format!("{count} breaches")),
        _ => Ok(()),
    }
}

/// How many breaches of a guarantee were counted.
fn count(r: &Run, key: &str) -> u64 {
    let all = r.report()["guarantees"].as_array().expect("a list");
    all.iter().find(|g| g["key"] == key).expect("judged")["failures"].as_u64().expect("a number")
}

/// Several at once: they mostly wait.
fn all(scenario: &str, lies: &[Lie]) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(lie) = lies.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(tell(scenario, *lie).err());
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|s| {
        let workers: Vec<_> = (0..4).map(|_| s.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{} of {} lies:\n{}", wrong.len(), lies.len(), wrong.join("\n\n"));
}

/// All three QoS, a subscriber that hears all, one that leaves and returns, and one that asks for something else.
const DELIVERY: &str = r#"
ramp = "200 ms"
duration = "4 s"
drain = "10 s"
[fleet.zero]
sensors = 2
publish = { topic = "z/{sensor}", qos = 0, every = "50 ms" }
[fleet.one]
sensors = 2
session = "persistent"
publish = { topic = "o/{sensor}", qos = 1, every = "50 ms" }
[fleet.two]
sensors = 2
mqtt = "5.0"
session = "persistent"
publish = { topic = "t/{sensor}", qos = 2, every = "50 ms" }
[fleet.slow]
sensors = 1
publish = { topic = "b/{sensor}", qos = 2, every = "100 ms" }
[subscriber.all]
filters = [{ filter = "z/#", qos = 0 }, { filter = "o/#", qos = 1 }, { filter = "t/#", qos = 2 }]
[subscriber.back]
mqtt = "5.0"
session = "persistent"
filters = [{ filter = "o/#", qos = 1 }, { filter = "t/#", qos = 2 }]
offline = [{ at = "1 s", for = "700 ms" }]
[subscriber.narrow]
mqtt = "5.0"
receive_maximum = 10
filters = [{ filter = "b/#", qos = 2 }]
[subscriber.other]
filters = [{ filter = "elsewhere", qos = 0 }]
"#;

#[test]
fn lies_about_delivery() {
    all(
        DELIVERY,
        &[
            ("none", None),
            ("drop --topic o/ --every 20", Some(("qos1", "lost", Each(1)))),
            ("drop --topic t/ --every 20", Some(("qos2", "lost", Each(1)))),
            ("drop --topic z/ --every 20", None), // QoS 0 may be lost
            ("forget --topic o/ --every 20", Some(("qos1", "lost", Each(2)))),
            ("forget --topic t/ --every 20", Some(("qos2", "lost", Each(2)))),
            ("duplicate --topic z/ --every 10", Some(("qos0", "duplicated", Each(1)))),
            ("duplicate --topic o/ --every 10", None), // QoS 1 may come twice, under another identifier too
            ("duplicate --topic t/ --every 10", Some(("qos2", "duplicated", Each(1)))),
            ("flip --topic o/ --every 10", Some(("payload", "corrupt", Each(1)))),
            ("truncate --topic t/ --every 10", Some(("payload", "corrupt", Each(1)))),
            ("swap --topic z/ --every 9 --times 4", Some(("order", "out of order", Each(1)))),
            ("swap --topic o/ --every 9 --times 4", Some(("order", "out of order", Each(1)))),
            ("swap --topic t/ --every 9 --times 4", Some(("order", "out of order", Each(1)))),
            ("rename --topic o/ --every 10", Some(("routing", "wrong topic", Each(1)))),
            ("misroute --topic o/ --every 10", Some(("routing", "wrong subscription", Each(1)))),
            ("lower --topic t/ --every 10", Some(("qos1", "wrong QoS", Each(1)))),
            ("mark-dup --topic o/ --every 10 --times 3", Some(("protocol", "DUP carried over", Each(1)))),
            ("mark-dup --topic z/ --every 10", Some(("protocol", "malformed packet", Each(1)))),
            ("malform --topic o/ --every 50 --times 1", Some(("protocol", "malformed packet", Each(1)))),
            ("burst --topic b/ --times 12", Some(("protocol", "receive maximum exceeded", Any))),
            ("stray-ack --every 20", Some(("protocol", "unexpected packet", Each(1)))),
            ("unknown-release --every 20", Some(("protocol", "PUBREL taken for unknown", Each(1)))),
            ("invent-session --times 1", Some(("session", "session invented", Each(1)))),
            ("forget-session --times 1", Some(("session", "session forgotten", Each(1)))),
        ],
    );
}

/// What MQTT promises beyond delivery, as in `scenarios/features.toml`, in less time.
const FEATURES: &str = r##"
ramp = "200 ms"
duration = "13 s"
drain = "10 s"
[fleet.meter]
sensors = 1
publish = { topic = "r/{sensor}", qos = 1, retain = true, every = "3 s", clear_every = "1 s" }
[fleet.mortal]
sensors = 1
session = "persistent"
keep_alive = "1 s"
publish = { topic = "n/{sensor}", qos = 1, every = "500 ms" }
will = { topic = "w/{sensor}", payload = "gone {id}", qos = 2 }
offline = [{ at = "1500 ms", for = "1 s" }, { at = "3 s", for = "8 s", clean = false }]
[fleet.slow-to-die]
sensors = 1
mqtt = "5.0"
session = "persistent"
keep_alive = "1 s"
publish = { topic = "n5/{sensor}", qos = 1, every = "500 ms" }
will = { topic = "w5/{sensor}", payload = "gone {id}", qos = 2, delay = "12 s" }
offline = [{ at = "3 s", for = "9 s", clean = false }]
[fleet.steady]
sensors = 2
publish = { topic = "s/{sensor}", qos = 1, retain = true, every = "500 ms" }
[fleet.mirrored]
sensors = 1
publish = { topic = "m/{sensor}", qos = 1, retain = true, every = "500 ms" }
[fleet.tracker]
sensors = 1
mqtt = "5.0"
session = "persistent"
publish = { topic = "d/{sensor}", qos = 2, every = "200 ms", properties = { content_type = "text/plain", user = ["a=1", "b=2", "a=3"] } }
[fleet.quiet]
sensors = 1
keep_alive = "1 s"
publish = { topic = "q/{sensor}", qos = 1, every = "30 s" }
silent = [{ at = "2 s", for = "11 s" }]
[fleet.chat]
sensors = 1
mqtt = "5.0"
publish = { topic = "l/{sensor}", qos = 1, every = "500 ms" }
subscribe = [{ filter = "l/{sensor}", qos = 1, no_local = true }]
[fleet.news]
sensors = 1
mqtt = "5.0"
publish = { topic = "e/{sensor}", qos = 1, every = "250 ms", expiry = "20 s" }
[fleet.camera]
sensors = 1
publish = { topic = "x/{sensor}", qos = 1, payload = "500 B", every = "500 ms" }
[fleet.plain]
sensors = 1
publish = { topic = "z/{sensor}", qos = 0, every = "500 ms" }
[subscriber.all]
filters = [{ filter = "#", qos = 2 }]
[subscriber.late]
mqtt = "5.0"
start = "4 s"
filters = [{ filter = "r/+", qos = 1 }, { filter = "s/+", qos = 1 }]
resubscribe = "2 s"
[subscriber.mirror]
mqtt = "5.0"
filters = [{ filter = "m/+", qos = 1, retain_as_published = true }]
[subscriber.visitor]
filters = [{ filter = "e/+", qos = 1 }]
unsubscribed = [{ at = "4 s", for = "2 s" }]
[subscriber.narrow]
mqtt = "5.0"
session = "persistent"
filters = [{ filter = "d/+", qos = 1 }, { filter = "x/+", qos = 1 }]
topic_alias_maximum = 1
subscription_identifier = 7
maximum_packet_size = "300 B"
[subscriber.restless]
mqtt = "5.0"
session = "persistent"
filters = [{ filter = "d/+", qos = 2 }]
take_over = [{ at = "2 s" }]
[subscriber.sleeper]
mqtt = "5.0"
session = "persistent"
filters = [{ filter = "e/+", qos = 1 }]
offline = [{ at = "3 s", for = "4 s" }]
[subscriber.team]
count = 2
mqtt = "5.0"
filters = [{ filter = "e/#", qos = 1, share = "team" }]
"##;

#[test]
fn lies_about_what_goes_beyond_delivery() {
    all(
        FEATURES,
        &[
            ("none", None),
            ("hide-retained --topic s/ --every 2", Some(("retained", "missing", Any))),
            ("replay-older --topic s/ --every 2", Some(("retained", "older value", Any))),
            ("keep-retained --topic r/", Some(("retained", "not cleared", Any))),
            ("mark-retain --topic z/ --every 5", Some(("retained", "RETAIN set or not asked for", Each(1)))),
            ("unmark-retain --topic m/ --every 5", Some(("retained", "RETAIN lost", Each(1)))),
            ("drop --topic w/", Some(("wills", "missing", Each(1)))),
            ("duplicate --topic w/", Some(("wills", "twice", Each(1)))),
            ("swallow-disconnect --times 1", Some(("wills", "after DISCONNECT", Each(1)))),
            ("hasten-will", Some(("wills", "too early, despite return", Any))),
            ("stop-countdown --topic e/ --every 3", Some(("expiry", "not counted down", Any))),
            ("drop-expiry --topic e/ --every 10", Some(("expiry", "expiry gone", Each(1)))),
            ("alter-property --topic d/ --every 10", Some(("properties", "altered", Each(1)))),
            ("reverse-user-properties --topic d/ --every 10", Some(("properties", "reordered", Each(1)))),
            ("wrong-identifier --every 5", Some(("subscriptions", "wrong subscription identifier", Each(1)))),
            ("keep-subscription", Some(("subscriptions", "after UNSUBSCRIBE", Any))),
            ("ignore-no-local", Some(("subscriptions", "echoed", Any))),
            ("share-twice --topic e/ --every 10", Some(("subscriptions", "to two members", Each(1)))),
            ("dollar --every 20", Some(("subscriptions", "$ topic for a wildcard", Each(1)))),
            ("ping-for-the-silent", Some(("keep_alive", "never closed", Any))),
            ("close-at-ping --times 1", Some(("keep_alive", "closed early", Each(1)))),
            ("keep-old-connection --times 1", Some(("take_over", "old connection kept", Each(1)))),
            ("forget-packet-size --times 1", Some(("protocol", "packet too large", Any))),
            ("alias-out-of-range --topic d/ --every 20 --times 1", Some(("protocol", "illegal topic alias", Each(1)))),
        ],
    );
}

/// Nobody is answered any more; one connection is not; all are, and a message is forgotten: told apart by name, in real time.
#[test]
fn a_broker_that_freezes_falls_silent_or_forgets() {
    let scenarios = [
        (include_str!("../scenarios/frozen-broker.toml"), "freeze --every 50 --times 1", "liveness", "frozen", Any),
        (
            include_str!("../scenarios/silent-connection.toml"),
            "silence --every 30 --times 1",
            "liveness",
            "silent connection",
            Each(1),
        ),
        (include_str!("../scenarios/forgetful-broker.toml"), "forget --every 25", "qos1", "lost", Each(1)),
    ];
    let wrong: Vec<String> = std::thread::scope(|s| {
        let tales = scenarios.map(|(scenario, lie, guarantee, name, times)| {
            s.spawn(move || {
                let lies = [("none", None), (lie, Some((guarantee, name, times)))];
                lies.into_iter().filter_map(|lie| tell(scenario, lie).err()).collect::<Vec<_>>()
            })
        });
        tales.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
