//! Messages a CPU second of the reference broker, beside mosquitto in the same run: 100 publishers to one subscriber, and one to
//! 100, at QoS 0, 1 and 2, saturated by a bare loop; and the memory of an idle connection.
//!
//! A message is what a publisher sent and was done with; in the second shape each costs 100 deliveries. Medians of three rounds;
//! the ratio is the median of the rounds' ratios.
//! `cargo bench --bench broker -- qos1 memory` runs parts of it: qos0, qos1, qos2, memory.

use rustix::event::epoll;
use squall::mqtt::codec::{self, MAX_PACKET, Sender};
use squall::mqtt::packet::{Ack, Connect, Packet, Publish, SubscribeOptions};
use squall::mqtt::properties::Properties;
use squall::mqtt::{PacketId, QoS, Version};
use squall::target::resources;
use squall::time::Instant;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// CPU seconds of the broker that a measurement lasts.
const CPU: f64 = 1.5;
/// Deliveries under way at most, so that nothing is dropped.
const UNDER_WAY: u64 = 4000;
/// QoS 1 and 2 messages of one publisher under way.
const WINDOW: u16 = 20;
/// Bytes of payload.
const PAYLOAD: usize = 64;
const IDLE: usize = 5000;

fn main() {
    // `cargo test` runs benches too.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    println!("messages a CPU second of the broker, in thousands");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for (from, to) in [(100, 1), (1, 100)].into_iter().filter(|_| wanted(&format!("qos{}", qos as u8))) {
            // In turn, so that what else the machine does meets both alike.
            let rounds =
                [(); 3].map(|()| (rate(&Broker::squall(), qos, from, to), rate(&Broker::mosquitto(), qos, from, to)));
            let (own, other) = (median(rounds.map(|r| r.0)), median(rounds.map(|r| r.1)));
            let times = median(rounds.map(|(own, other)| own / other));
            println!(
                "QoS {}, {from} to {to}: squall {:.1}, mosquitto {:.1}: {times:.1} times",
                qos as u8,
                own / 1e3,
                other / 1e3
            );
        }
    }
    if wanted("memory") {
        println!(
            "bytes of an idle connection: squall {:.0}, mosquitto {:.0}",
            idle(&Broker::squall()),
            idle(&Broker::mosquitto())
        );
    }
}

fn median(mut three: [f64; 3]) -> f64 {
    three.sort_by(f64::total_cmp);
    three[1]
}

struct Broker {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    fn squall() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(["broker", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the broker starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let addr = line.trim().strip_prefix("listening on ").expect("it says where").parse().expect("an address");
        Self { child, addr }
    }

    fn mosquitto() -> Self {
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let config = std::env::temp_dir().join(format!("squall-bench-{}.conf", addr.port()));
        let text = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 64\nset_tcp_nodelay true\nlog_type error\n";
        std::fs::write(&config, format!("listener {} 127.0.0.1\n{text}", addr.port())).expect("writable");
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&config).env("PATH", "/usr/sbin:/usr/bin:/usr/local/sbin").stderr(Stdio::null());
        let child = command.spawn().expect("mosquitto is installed: squall targets install mosquitto");
        while TcpStream::connect(addr).is_err() {
            squall::target::ready::pause(Duration::from_millis(20));
        }
        let _ = std::fs::remove_file(config);
        Self { child, addr }
    }

    fn sample(&self) -> (f64, u64) {
        let sample = resources::sample(&[self.child.id()], Instant::ZERO).expect("it lives");
        (sample.cpu.as_secs_f64(), sample.rss)
    }
}

/// One connection of the loader.
struct Client {
    stream: TcpStream,
    pending: Vec<u8>,
    out: Vec<u8>,
    under_way: u16,
    next: u16,
}

impl Client {
    fn open(addr: SocketAddr, name: &str) -> Self {
        let mut client = Self {
            stream: TcpStream::connect(addr).expect("connected"),
            pending: vec![],
            out: vec![],
            under_way: 0,
            next: 0,
        };
        client.stream.set_nodelay(true).expect("set");
        let connect = Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive: 600,
            client_id: name,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::EMPTY,
        };
        codec::encode(&Packet::Connect(connect), Version::V311, &mut client.out);
        client.stream.write_all(&client.out).expect("written");
        client.out.clear();
        client.stream.read_exact(&mut [0; 4]).expect("CONNACK");
        client
    }

    fn subscribe(&mut self, qos: QoS) {
        let (mut out, options) = (Vec::new(), SubscribeOptions { qos, ..SubscribeOptions::default() });
        let id = PacketId::MIN;
        codec::encode_subscribe(Version::V311, id, Properties::EMPTY, &[("b/#", options)], &mut out);
        self.stream.write_all(&out).expect("written");
        self.stream.read_exact(&mut [0; 5]).expect("SUBACK");
    }

    fn flush(&mut self) {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(n) => drop(self.out.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => panic!("{e}"),
            }
        }
    }
}

/// Messages a CPU second.
fn rate(broker: &Broker, qos: QoS, publishers: usize, subscribers: usize) -> f64 {
    let mut clients: Vec<Client> =
        (0..publishers + subscribers).map(|n| Client::open(broker.addr, &format!("c{n}"))).collect();
    clients[publishers..].iter_mut().for_each(|c| c.subscribe(qos));
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    for (n, client) in clients.iter().enumerate() {
        client.stream.set_nonblocking(true).expect("set");
        epoll::add(&epoll, &client.stream, epoll::EventData::new_u64(n as u64), epoll::EventFlags::IN).expect("added");
    }
    let mut load = Load { qos, subscribers: subscribers as u64, sent: 0, delivered: 0 };
    let (mut events, mut buffer) = (Vec::with_capacity(256), vec![0; 256 * 1024]);
    let (mut start, mut turns) = (None, 0u32);
    loop {
        for (n, publisher) in clients[..publishers].iter_mut().enumerate() {
            load.publish(publisher, n);
        }
        events.clear();
        let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)).expect("waited");
        for event in &events {
            let client = &mut clients[usize::try_from(event.data.u64()).expect("small")];
            if let Ok(n) = client.stream.read(&mut buffer) {
                assert!(n > 0, "the broker closed a connection");
                client.pending.extend_from_slice(&buffer[..n]);
                load.take_in(client);
            }
        }
        clients.iter_mut().for_each(Client::flush);
        turns += 1;
        if turns % 64 == 0 {
            let (now, messages) = (broker.sample().0, load.delivered / load.subscribers);
            let (cpu, before) = *start.get_or_insert((now + 0.2, None));
            match before {
                None if now >= cpu => start = Some((now, Some(messages))),
                Some(before) if now - cpu > CPU => return (messages - before) as f64 / (now - cpu),
                _ => {}
            }
        }
    }
}

struct Load {
    qos: QoS,
    subscribers: u64,
    sent: u64,
    delivered: u64,
}

impl Load {
    /// As many messages as may be under way.
    fn publish(&mut self, client: &mut Client, n: usize) {
        let topic = format!("b/{n}");
        while client.out.len() < 65_536 && self.sent * self.subscribers < self.delivered + UNDER_WAY {
            if self.qos > QoS::AtMostOnce {
                if client.under_way == WINDOW {
                    return;
                }
                client.under_way += 1;
            }
            client.next = client.next % 60_000 + 1;
            let publish = Publish {
                dup: false,
                qos: self.qos,
                retain: false,
                topic: &topic,
                packet_id: PacketId::new(client.next).filter(|_| self.qos > QoS::AtMostOnce),
                properties: Properties::EMPTY,
                payload: &[b'.'; PAYLOAD],
            };
            codec::encode(&Packet::Publish(publish), Version::V311, &mut client.out);
            self.sent += 1;
            if client.out.len() > 2000 && self.qos == QoS::AtMostOnce {
                return; // so that all publishers take part
            }
        }
    }

    fn take_in(&mut self, client: &mut Client) {
        let pending = std::mem::take(&mut client.pending);
        let mut rest = &pending[..];
        while let Some((packet, used)) = codec::decode(rest, Version::V311, Sender::Server, MAX_PACKET).expect("legal")
        {
            rest = &rest[used..];
            let answer = match packet {
                Packet::Publish(p) => {
                    self.delivered += 1;
                    p.packet_id.map(|id| {
                        let ack = Ack::plain(id);
                        if p.qos == QoS::AtLeastOnce { Packet::PubAck(ack) } else { Packet::PubRec(ack) }
                    })
                }
                Packet::PubRec(ack) => Some(Packet::PubRel(ack)),
                Packet::PubRel(ack) => Some(Packet::PubComp(ack)),
                Packet::PubAck(_) | Packet::PubComp(_) => {
                    client.under_way -= 1;
                    None
                }
                other => panic!("{other:?}"),
            };
            if let Some(answer) = answer {
                codec::encode(&answer, Version::V311, &mut client.out);
            }
        }
        client.pending = rest.to_vec();
    }
}

/// Resident bytes of an idle connection.
fn idle(broker: &Broker) -> f64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("allowed");
    let before = broker.sample().1;
    let clients: Vec<Client> = (0..IDLE).map(|n| Client::open(broker.addr, &format!("idle-{n}"))).collect();
    let grown = broker.sample().1 - before;
    drop(clients);
    grown as f64 / IDLE as f64
}
