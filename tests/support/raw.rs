//! A reference broker as a process, and clients that speak to it byte by byte.

#![allow(dead_code, reason = "each test file uses its own part")]

use squall::mqtt::codec::{self, MAX_PACKET, Sender};
use squall::mqtt::packet::{Ack, Connect, Packet, Publish, SubscribeOptions};
use squall::mqtt::properties::Properties;
use squall::mqtt::{PacketId, QoS, Version};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A broker on a free port, killed in the end.
pub struct Process {
    pub child: Child,
    pub addr: SocketAddr,
}

impl Process {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = super::support::squall();
        command.args(["broker", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command)
    }

    /// The broker that this command starts; it listens once.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let addr = line.trim().strip_prefix("listening on ").expect("it says where").parse().expect("an address");
        Self { child, addr }
    }

    /// SIGKILL, and gone.
    pub fn kill(mut self) {
        self.child.kill().expect("ours");
        self.child.wait().expect("ours");
    }

    /// SIGTERM; its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("ours");
        self.child.wait().expect("ours").code()
    }

    /// Resident bytes now, from /proc.
    pub fn rss(&self) -> u64 {
        let now = squall::time::Instant::ZERO;
        squall::target::resources::sample(&[self.child.id()], now).expect("it lives").rss
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn id(n: u16) -> PacketId {
    PacketId::new(n).expect("above 0")
}

/// A client on a blocking socket, which waits 20 s at most.
pub struct Raw {
    pub stream: TcpStream,
    pub version: Version,
    pending: Vec<u8>,
    pub session_present: bool,
}

impl Raw {
    pub fn open(addr: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(addr).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream, version, pending: Vec::new(), session_present: false }
    }

    /// CONNECT, keep alive off, and its CONNACK.
    pub fn connect(addr: SocketAddr, version: Version, client_id: &str, clean: bool, p: Properties<'_>) -> Self {
        let mut client = Self::open(addr, version);
        client.send(&Packet::Connect(Connect {
            version,
            clean_start: clean,
            keep_alive: 0,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: p,
        }));
        client.session_present = client.receive(|packet| match packet {
            Packet::ConnAck(c) if c.reason == 0 => c.session_present,
            other => panic!("{other:?}"),
        });
        client
    }

    pub fn v311(addr: SocketAddr, client_id: &str, clean: bool) -> Self {
        Self::connect(addr, Version::V311, client_id, clean, Properties::EMPTY)
    }

    pub fn v5(addr: SocketAddr, client_id: &str) -> Self {
        Self::connect(addr, Version::V5, client_id, true, Properties::EMPTY)
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(packet, self.version, &mut bytes);
        self.stream.write_all(&bytes).expect("written");
    }

    pub fn publish(&mut self, topic: &str, qos: QoS, packet_id: u16, payload: &[u8]) {
        self.send(&publish(topic, qos, packet_id, payload));
    }

    /// SUBSCRIBE, and its SUBACK's codes.
    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> Vec<u8> {
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        let mut bytes = Vec::new();
        codec::encode_subscribe(self.version, id(1), Properties::EMPTY, &[(filter, options)], &mut bytes);
        self.stream.write_all(&bytes).expect("written");
        self.receive(|packet| match packet {
            Packet::SubAck(c) => c.codes.to_vec(),
            other => panic!("{other:?}"),
        })
    }

    /// The next packet.
    pub fn receive<T>(&mut self, read: impl FnOnce(Packet<'_>) -> T) -> T {
        self.next(read).expect("a packet before the end")
    }

    /// The next packet; none if the broker closes instead.
    pub fn next<T>(&mut self, read: impl FnOnce(Packet<'_>) -> T) -> Option<T> {
        let mut buffer = [0; 65_536];
        loop {
            let decoded = codec::decode(&self.pending, self.version, Sender::Server, MAX_PACKET).expect("legal");
            if let Some((packet, used)) = decoded {
                let result = read(packet);
                self.pending.drain(..used);
                return Some(result);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Ok(n) => self.pending.extend_from_slice(&buffer[..n]),
                Err(e) => panic!("nothing within 20 s: {e}"),
            }
        }
    }

    /// The broker closes it, and says nothing before.
    pub fn is_closed(&mut self) -> bool {
        self.next(|_| ()).is_none()
    }

    /// Goes away without DISCONNECT; when this returns, the broker knows.
    pub fn leave(mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("open");
        while self.next(|_| ()).is_some() {}
    }

    /// Proof that the broker serves this client: PINGRESP comes next.
    pub fn ping(&mut self) {
        self.send(&Packet::PingReq);
        self.receive(|packet| assert_eq!(packet, Packet::PingResp));
    }
}

pub fn publish<'a>(topic: &'a str, qos: QoS, packet_id: u16, payload: &'a [u8]) -> Packet<'a> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id: (qos > QoS::AtMostOnce).then(|| id(packet_id)),
        properties: Properties::EMPTY,
        payload,
    })
}

pub fn ack(n: u16) -> Ack<'static> {
    Ack::plain(id(n))
}
