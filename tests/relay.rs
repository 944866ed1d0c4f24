//! Somebody's own client behind a lossy link: what crosses it, and how it ends. No tools from outside.

mod support;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use squall::link::spec::{Direction, LinkSpec, Loss};
use squall::run::relay::{Relay, Settings, Stats};
use squall::time::Duration;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A relay in a thread of its own.
struct Running {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Stats>,
}

impl Running {
    fn start(to: SocketAddr, loss: f64) -> Self {
        let loss = if loss > 0.0 { Loss::Bernoulli(loss) } else { Loss::None };
        let direction = Direction { delay: Duration::from_millis(2), loss, ..Direction::PERFECT };
        let spec = Arc::new(LinkSpec { up: direction.clone(), down: direction, ..LinkSpec::PERFECT });
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut relay = Relay::bind(Settings { listen, to, spec, seed: 3, capture: 0 }).expect("a free port");
        let (addr, stop) = (relay.local_addr().expect("bound"), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            relay.run(|_| told.load(Ordering::Relaxed)).expect("it polls");
            relay.stats()
        });
        Self { addr, stop, thread }
    }

    fn end(self) -> Stats {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time above zero");
    stream
}

/// All that comes until the end.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an end in order");
    bytes
}

fn pattern(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

/// The client finishes its half first; the answer still comes, then the other half ends. Every byte arrives, over loss.
#[test]
fn a_half_that_is_finished_leaves_the_other_open() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let relay = Running::start(server.local_addr().expect("bound"), 0.05);
    let answers = std::thread::spawn(move || {
        let mut stream = server.accept().expect("a client").0;
        let got = rest(&mut stream);
        stream.write_all(&pattern(30_000)).expect("it is open");
        got
    });
    let mut client = connect(relay.addr);
    client.write_all(&pattern(20_000)).expect("it is open");
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(&mut client), pattern(30_000));
    assert_eq!(answers.join().expect("no panic"), pattern(20_000));
    let stats = relay.end();
    assert_eq!((stats.connections, stats.reset, stats.up, stats.down), (1, 0, 20_000, 30_000));
    assert!(stats.wire.up.lost + stats.wire.down.lost > 0 && stats.wire.up.retransmissions > 0, "{stats:?}");
}

/// The broker finishes first; the client's last words still go through.
#[test]
fn last_words_after_the_brokers_end_arrive() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let relay = Running::start(server.local_addr().expect("bound"), 0.0);
    let mut client = connect(relay.addr);
    let mut broker = server.accept().expect("a client").0;
    broker.write_all(b"bye").expect("it is open");
    broker.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(&mut client), b"bye");
    client.write_all(b"last words").expect("its half is open");
    drop(client);
    assert_eq!(rest(&mut broker), b"last words");
    assert_eq!(relay.end().reset, 0);
}

/// A reset stays a reset, from either side; and a broker that is not there resets too.
#[test]
fn resets_cross_the_link() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let to = server.local_addr().expect("bound");
    let relay = Running::start(to, 0.0);
    let is_reset = |stream: &mut TcpStream| stream.read(&mut [0; 8]).map_err(|e| e.kind());
    let reset = |stream: TcpStream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    };
    // A byte first: a broker that resets before the gateway saw it open would count as one that refused.
    let open = || {
        let (mut client, mut broker) = (connect(relay.addr), server.accept().expect("a client").0);
        client.write_all(b"x").expect("it is open");
        broker.read_exact(&mut [0]).expect("it comes");
        (client, broker)
    };
    let (mut client, broker) = open();
    reset(broker);
    assert_eq!(is_reset(&mut client), Err(ErrorKind::ConnectionReset));
    let (client, mut broker) = open();
    reset(client);
    assert_eq!(is_reset(&mut broker), Err(ErrorKind::ConnectionReset));
    drop(server);
    assert_eq!(is_reset(&mut connect(relay.addr)), Err(ErrorKind::ConnectionReset));
    let stats = relay.end();
    assert_eq!((stats.connections, stats.reset, stats.refused), (3, 2, 1));
}

/// `squall link` as a child.
struct Link(Child, BufReader<std::process::ChildStdout>);

impl Link {
    fn start(to: SocketAddr, arguments: &[&str]) -> (Self, u16) {
        let mut command = support::squall();
        command.args(["link", "--listen", "127.0.0.1:0", "--to", &to.to_string()]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let port = line.split([':', ',']).nth(1).and_then(|p| p.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
        (Self(child, out), port)
    }

    /// SIGTERM; what it said.
    fn end(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let mut said = String::new();
        self.1.read_to_string(&mut said).expect("text");
        assert!(self.0.wait().expect("it ends").success());
        said
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A foreign client over a scenario's own link: subscribes, publishes at QoS 2, gets its own message; then the wire cost.
#[test]
fn a_foreign_client_behind_a_lossy_link_is_served() {
    let broker = support::Broker::start(&[]);
    let scratch = support::Scratch::new();
    let file = scratch.file(
        "own.toml",
        "duration = \"1 s\"\n[fleet.a]\nsensors = 1\nlink = \"own\"\nsubscribe = { filter = \"x\" }\n[link.own]\nup = { loss = \"15 %\" }\ndelay = \"5 ms\"\n",
    );
    let pcap = scratch.0.join("out.pcapng");
    let (file, pcap_name) = (file.display().to_string(), pcap.display().to_string());
    let arguments = ["--scenario", &file, "--profile", "own", "--seed", "5", "--pcap", &pcap_name];
    let (link, port) = Link::start(broker.addr, &arguments);
    let (client, mut connection) = Client::new(MqttOptions::new("foreign", "127.0.0.1", port), 10);
    client.subscribe("t/#", QoS::ExactlyOnce).expect("room");
    let mut got = Vec::new();
    for event in connection.iter() {
        match event.expect("the connection holds") {
            Event::Incoming(Packet::SubAck(_)) => {}
            Event::Incoming(Packet::Publish(p)) => got.push(p.topic),
            _ => continue,
        }
        if got.len() == 5 {
            break;
        }
        client.publish(format!("t/{}", got.len()), QoS::ExactlyOnce, false, "reading").expect("room");
    }
    assert_eq!(got, (0..5).map(|i| format!("t/{i}")).collect::<Vec<_>>());
    let said = link.end();
    let figure = |name: &str, column: usize| -> u64 {
        let line = said.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{said}"));
        line[name.len()..].split_whitespace().nth(column).and_then(|f| f.parse().ok()).expect("a number")
    };
    assert!(said.starts_with("connections: 1, refused by the broker: 0, reset: 0"), "{said}");
    assert!(figure("lost", 0) > 0 && figure("lost", 1) == 0 && figure("sent again", 0) > 0, "{said}");
    assert!(figure("bytes of the application", 0) > 5 * (7 + 7), "{said}");
    assert!(std::fs::metadata(&pcap).expect("written").len() > figure("IP bytes", 0));
}

#[test]
fn wrong_arguments_start_nothing() {
    for (arguments, word) in [
        ("--to 127.0.0.1:1 --profile nb-iott", "did you mean \"nb-iot\"?"),
        ("--to 192.0.2.1:1883 --profile geo", "--remote"),
        ("--to nonsense --profile geo", "host:port"),
        ("--to 127.0.0.1:1 --profile geo --target reference", "take --to out and add -- COMMAND"),
        ("--profile geo --target reference", "--to <ADDR>"),
        ("--profile geo --for 1s -- true", "cannot be used with"),
        ("--profile geo --listen 127.0.0.1:0 -- true", "cannot be used with"),
        ("--profile geo --remote -- true", "cannot be used with"),
    ] {
        let output = support::squall().arg("link").args(arguments.split_whitespace()).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(3) && text.contains(word), "{text}");
    }
}
