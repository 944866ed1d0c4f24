//! The reference broker, with any limits and any rules, through restarts, and an honest client beside many others.

use crate::draw::Draw;
use crate::{inputs, stream};
use squall::broker::access::Access;
use squall::broker::{Broker, Config, ConnId, Output, Records};
use squall::mqtt::codec::{self, MAX_PACKET, Sender, decode, encode};
use squall::mqtt::packet::{Ack, Connect, Packet, Publish, SubscribeOptions};
use squall::mqtt::properties::Properties;
use squall::mqtt::{PacketId, QoS, Version};
use squall::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Bytes that the broker may keep, where they are enough, and where they are not.
const MEMORY: [usize; 2] = [1 << 20, 2_000];
/// Wills, the `$SYS` tree and what an owner could not send are kept whatever the limit: those of six clients.
const BESIDE: usize = 2_500;
const HONEST: ConnId = ConnId(1_000);

/// The grammar's user and password, one round of PBKDF2.
const USERS: &str =
    "user:$7$1$c2FsdA==$4jWKWLuUCS/NZA0IgNevW97FVsxeerUd/GIC07nG7omqoLl7eS9+P72WiGaa9AFVPmS5rjC6Sh85V9kLRB9Wpw==";
const RULES: &str = "
topic read a/#
topic write +/b
topic only/honest
user user
topic readwrite #
topic read $SYS/#
topic deny a/b/c
pattern readwrite %c/%u/#
";

/// What comes from the broker for each connection, decoded as its client would.
struct Wire {
    version: Version,
    bytes: Vec<u8>,
    open: bool,
}

impl Wire {
    fn open(version: Version) -> Self {
        Self { version, bytes: vec![], open: true }
    }
}

/// A broker with its store, and everybody who is connected to it.
struct Round {
    config: Config,
    broker: Broker,
    records: Records,
    wires: BTreeMap<ConnId, Wire>,
    now: Instant,
}

/// Half of them are as they come; the others have less of everything.
fn config(d: &mut Draw) -> Config {
    let config = Config { memory: MEMORY[usize::from(d.0.chance(0.2))], ..Config::default() };
    if d.0.chance(0.5) {
        return config;
    }
    let users = d.0.chance(0.3).then_some(USERS);
    let rules = d.0.chance(0.5).then_some(RULES);
    Config {
        max_qos: d.one(&[1, 2, 2]),
        retain: d.0.chance(0.8),
        assigned_ids: d.0.chance(0.8),
        queue_limit: d.one(&[1, 3, 100_000]),
        max_packet: d.one(&[100, 16 << 20]),
        window: d.one(&[1, 3, 64]),
        backlog: d.one(&[64, 1 << 20]),
        max_connections: d.one(&[4, 1_000]),
        max_sessions: d.one(&[3, 1_000]),
        max_subscriptions: d.one(&[1, 1_000]),
        topic_alias_maximum: d.one(&[0, 2, 32]),
        topic_aliases_used: d.one(&[0, 1, 32]),
        receive_maximum: d.one(&[1, 3, 1_024]),
        keep_alive_maximum: d.one(&[0, 1]),
        session_expiry_maximum: d.one(&[0, 3, u32::MAX]),
        connect_timeout: Duration::from_secs(d.one(&[1, 30])),
        versions: d.one(&[&[Version::V311][..], &[Version::V31, Version::V311, Version::V5]]).to_vec(),
        access: Access::parse(users, rules).expect("legal"),
        ..config
    }
}

impl Round {
    fn start(d: &mut Draw) -> Self {
        let config = config(d);
        let broker = Broker::restore(config.clone(), &Records::new(), 0, Instant::ZERO).expect("no records");
        let mut round = Self { config, broker, records: Records::new(), wires: BTreeMap::new(), now: Instant::ZERO };
        round.welcome(d);
        round
    }

    /// The honest client is the first.
    fn welcome(&mut self, d: &mut Draw) {
        if d.0.chance(0.5) {
            self.broker.report_every(Duration::from_secs(2), self.now);
        }
        self.broker.tell(d.one(&[0, 1, 2]));
        self.wires.insert(HONEST, Wire::open(Version::V311));
        self.broker.handle_open(HONEST, self.now);
        self.say(connect("honest", Version::V311, true));
        let mut bytes = Vec::new();
        let filters = [("only/honest", SubscribeOptions { qos: QoS::AtLeastOnce, ..SubscribeOptions::default() })];
        codec::encode_subscribe(Version::V311, PacketId::MIN, Properties::EMPTY, &filters, &mut bytes);
        self.broker.handle_bytes(HONEST, &bytes, self.now);
        self.drain();
    }

    fn say(&mut self, packet: Packet<'_>) {
        let mut bytes = Vec::new();
        encode(&packet, Version::V311, &mut bytes);
        self.broker.handle_bytes(HONEST, &bytes, self.now);
    }

    /// Stores what must survive, and takes what the broker says to everybody; returns what it says to the honest client.
    fn drain(&mut self) -> Vec<u8> {
        for (key, value) in self.broker.take_changes().unwrap_or_default() {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
        }
        self.broker.take_notes();
        let mut honest = Vec::new();
        while let Some(output) = self.broker.poll_output() {
            let (Output::Write(conn) | Output::Close(conn)) = output;
            let wire = self.wires.get_mut(&conn).expect("it was opened");
            self.broker.take_output(conn, &mut wire.bytes);
            if let Output::Close(_) = output {
                assert_ne!(conn, HONEST, "the honest client is closed");
                self.broker.forget_connection(conn);
                wire.open = false;
            }
            let used = packets(&wire.bytes, wire.version);
            let said = wire.bytes.drain(..used);
            if conn == HONEST {
                honest.extend(said);
            }
        }
        honest
    }

    /// What one of six clients does next.
    fn step(&mut self, d: &mut Draw) {
        self.now += Duration::from_millis(d.below(400));
        let conn = ConnId(u32::try_from(d.below(6)).expect("small"));
        let open = self.wires.get_mut(&conn).filter(|w| w.open);
        let Some(wire) = open else {
            return self.enter(conn, d);
        };
        if d.0.chance(0.05) {
            wire.open = false;
            self.broker.handle_closed(conn, self.now);
        } else {
            let version = wire.version;
            if d.0.chance(0.1) {
                let unsent = d.one(&[0, 100]);
                self.broker.handle_unsent(conn, unsent, self.now);
            }
            if !self.broker.is_choked(conn) {
                self.broker.handle_bytes(conn, &d.input(version, Sender::Client), self.now);
            }
        }
    }

    /// Most of them are let in first.
    fn enter(&mut self, conn: ConnId, d: &mut Draw) {
        let version = d.version();
        self.wires.insert(conn, Wire::open(version));
        self.broker.handle_open(conn, self.now);
        if d.0.chance(0.7) {
            let mut hello = Vec::new();
            encode(&connect(d.one(&["x", "y", "z"]), version, d.0.chance(0.5)), version, &mut hello);
            self.broker.handle_bytes(conn, &hello, self.now);
        }
    }

    /// The broker is killed, and comes back with what it stored; twice, which must be the same; and from a damaged store, which must not
    /// be worse than an error.
    fn restart(&mut self, d: &mut Draw) {
        let restore = |records: &Records| Broker::restore(self.config.clone(), records, 0, self.now);
        let again = restore(&self.records).expect("its own records").population();
        let mut damaged = self.records.clone();
        let mut keys: Vec<_> = damaged.keys().cloned().collect();
        if !keys.is_empty() {
            let mut key = keys.swap_remove(usize::try_from(d.below(keys.len() as u64)).expect("small"));
            let mut value = damaged.remove(&key).expect("it is there");
            let spoiled = if d.0.chance(0.3) { &mut key } else { &mut value };
            d.spoil(spoiled, 0);
            damaged.insert(key, value);
            let _ = restore(&damaged);
        }
        self.broker = restore(&self.records).expect("its own records");
        assert_eq!(self.broker.population(), again);
        self.wires.clear();
        self.welcome(d);
    }

    /// The honest client is answered, and gets its message back.
    fn serves(&mut self) {
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: "only/honest",
            packet_id: Some(PacketId::MIN),
            properties: Properties::EMPTY,
            payload: b"still here",
        };
        let mut expected = vec![Packet::PingResp];
        self.say(Packet::PingReq);
        if self.config.memory == MEMORY[0] {
            self.say(Packet::Publish(publish));
            expected.extend([Packet::PubAck(Ack::plain(PacketId::MIN)), Packet::Publish(publish)]);
        }
        let came = self.drain();
        let mut kinds = Vec::new();
        let mut rest = &came[..];
        while let Ok(Some((packet, used))) = decode(rest, Version::V311, Sender::Server, MAX_PACKET) {
            kinds.push(std::mem::discriminant(&packet));
            rest = &rest[used..];
        }
        for packet in expected {
            assert!(kinds.contains(&std::mem::discriminant(&packet)), "no {packet:?} for the honest client");
        }
    }
}

/// The length of the whole packets there.
fn packets(bytes: &[u8], version: Version) -> usize {
    let mut used = 0;
    loop {
        // A CONNECT may have been spoiled into one of another version, which the broker then speaks.
        let rest = &bytes[used..];
        let read = |v: Version| decode(rest, v, Sender::Server, MAX_PACKET);
        match read(version).or_else(|_| read(Version::V311)).or_else(|_| read(Version::V5)) {
            Ok(Some((_, n))) => used += n,
            Ok(None) => return used,
            Err(why) => panic!("the broker sends what is no packet: {why:?} in {rest:02x?}"),
        }
    }
}

/// Connections that send anything, at once; the broker holds what it holds within its limit, speaks MQTT to everybody, comes back from
/// its store, and serves an honest client as if nobody else were there.
#[test]
fn the_broker_takes_any_bytes_from_many_connections() {
    let mut d = Draw(stream("broker"));
    for _ in 0..inputs(20_000).div_ceil(64) {
        let mut round = Round::start(&mut d);
        for _ in 0..64 {
            round.step(&mut d);
            round.broker.handle_deadline(round.now);
            round.drain();
            let (memory, limit) = (round.broker.memory(), round.config.memory);
            assert!(memory <= limit + BESIDE, "{memory} B, where the limit is {limit}");
            if d.0.chance(0.02) {
                round.restart(&mut d);
            }
        }
        round.serves();
    }
}

fn connect(client_id: &str, version: Version, clean_start: bool) -> Packet<'_> {
    Packet::Connect(Connect {
        version,
        clean_start,
        keep_alive: 0,
        client_id,
        will: None,
        user_name: Some("user"),
        password: Some(b"\xFFsecret"),
        properties: Properties::EMPTY,
    })
}
