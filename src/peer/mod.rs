//! A raw MQTT peer: blocking, over any transport, with a deadline on every read, and with a record of all it exchanged.
//!
//! It is for questions to a broker that a well-behaved client would never ask: it sends any packet, legal or not, or any
//! bytes, and says what came back: a packet, the end of the connection, or silence. [`Peer`] connects and exchanges
//! packets; [`hello::Hello`] and [`message::Message`] build what it sends; what comes is a [`Received`], bytes and all;
//! a [`tape::Tape`] keeps the exchange as text, shared by all peers that take part in it.

pub mod hello;
pub mod message;
mod steps;
pub mod tape;
pub mod text;

pub use steps::at;

use crate::clock::Clock;
use crate::mqtt::Version;
use crate::mqtt::codec::{self, Sender};
use crate::mqtt::error::DecodeError;
use crate::mqtt::packet::Packet;
use crate::target::stream::{Endpoint, Stream};
use crate::time::Duration;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use tape::{Direction, Tape};

/// Where a broker is, and how patient one is with it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its address and transport.
    pub endpoint: Arc<Endpoint>,
    /// User and password for each CONNECT.
    pub credentials: Option<(String, String)>,
    /// How long an answer may take.
    pub patience: Duration,
    /// How long silence must last to count as such.
    pub quiet: Duration,
}

impl Site {
    /// A site with the usual patience: 5 s for an answer, 150 ms for silence (both *assumed*).
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, credentials: Option<(String, String)>) -> Self {
        Self { endpoint, credentials, patience: Duration::from_secs(5), quiet: Duration::from_millis(150) }
    }
}

/// A packet that came, with its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    /// The packet's bytes, fixed header and all.
    pub bytes: Vec<u8>,
    version: Version,
}

impl Received {
    /// The packet, decoded.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        let decoded = codec::decode(&self.bytes, self.version, Sender::Server, codec::MAX_PACKET);
        decoded.ok().flatten().expect("it was decoded when it came").0
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::describe(&self.packet()))
    }
}

/// What came within a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Got {
    /// A legal packet.
    Packet(Received),
    /// Bytes that are no legal packet from a server.
    Malformed(DecodeError, Vec<u8>),
    /// The end of the connection, by FIN or RST.
    Closed,
    /// Nothing.
    Silence,
    /// The transport broke (TLS, WebSocket), in words.
    Broken(String),
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(received) => f.write_str(&text::describe(&received.packet())),
            Self::Malformed(error, bytes) => write!(f, "a malformed packet ({error}): {}", text::hex(bytes)),
            Self::Closed => f.write_str("the connection closed"),
            Self::Silence => f.write_str("silence"),
            Self::Broken(why) => write!(f, "a broken transport ({why})"),
        }
    }
}

/// Something else came than was wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Surprise {
    /// Who was surprised.
    pub peer: String,
    /// What was wanted.
    pub wanted: String,
    /// What came instead.
    pub got: Got,
}

impl fmt::Display for Surprise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wanted {}, and got {}", self.peer, self.wanted, self.got)
    }
}

impl std::error::Error for Surprise {}

/// A raw MQTT peer on one connection.
///
/// [`Self::send`] and [`Self::send_raw`] write; [`Self::next`] waits for what comes next. The steps of a well-behaved
/// client (`connect`, `subscribe`, `publish`, `message`, ...) are built on those; while one of them waits for its answer,
/// packets that a server may send at any time (PUBLISH, PUBREL) are kept for later, in order.
#[derive(Debug)]
pub struct Peer {
    /// Its name on the tape.
    pub name: String,
    /// The version in which packets are written and read.
    pub version: Version,
    /// How long an answer may take.
    pub patience: Duration,
    /// How long silence must last.
    pub quiet: Duration,
    stream: Stream,
    unread: Vec<u8>,
    kept: VecDeque<Received>,
    ended: Option<Got>,
    last_id: u16,
    tape: Tape,
    clock: Clock,
}

impl Peer {
    /// Opens a connection; nothing of MQTT is sent yet.
    ///
    /// # Errors
    /// If there is nobody, or a handshake of the transport fails.
    pub fn open(site: &Site, name: &str, version: Version, tape: &Tape) -> io::Result<Self> {
        let stream = Stream::connect(&site.endpoint, site.patience)?;
        tape.note(name, "opens a connection");
        Ok(Self {
            name: name.to_owned(),
            version,
            patience: site.patience,
            quiet: site.quiet,
            stream,
            unread: Vec::new(),
            kept: VecDeque::new(),
            ended: None,
            last_id: 0,
            tape: tape.clone(),
            clock: Clock::start(),
        })
    }

    /// Sends a packet. If the other side has closed already, the next read says so.
    pub fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(packet, self.version, &mut bytes);
        self.send_raw(&bytes, &text::describe(packet));
    }

    /// Sends bytes as they are; `about` is what the tape says of them. If the other side has closed already, the next
    /// read says so.
    pub fn send_raw(&mut self, bytes: &[u8], about: &str) {
        self.tape.packet(&self.name, Direction::Out, about, bytes);
        if self.stream.write_all(bytes).is_err() {
            self.tape.note(&self.name, "could not write all of it");
        }
    }

    /// What comes next, within that time. Packets that were kept come first.
    pub fn next(&mut self, within: Duration) -> Got {
        match self.kept.pop_front() {
            Some(received) => Got::Packet(received),
            None => self.fresh(within),
        }
    }

    /// What comes next from the wire, within that time.
    pub fn fresh(&mut self, within: Duration) -> Got {
        let deadline = self.clock.now() + within;
        loop {
            if let Some(got) = self.decode() {
                return self.heard(got);
            }
            if let Some(ended) = &self.ended {
                return ended.clone();
            }
            let left = deadline.since(self.clock.now());
            if left.is_zero() {
                return Got::Silence;
            }
            match self.read(left) {
                Ok(()) => {}
                Err(None) => return Got::Silence,
                Err(Some(ended)) => {
                    self.ended = Some(ended.clone());
                    return self.heard(ended);
                }
            }
        }
    }

    /// A whole packet from what was read, or that there can be none.
    fn decode(&mut self) -> Option<Got> {
        match codec::decode(&self.unread, self.version, Sender::Server, codec::MAX_PACKET) {
            Ok(None) => None,
            Ok(Some((_, length))) => {
                let bytes = self.unread.drain(..length).collect();
                Some(Got::Packet(Received { bytes, version: self.version }))
            }
            Err(error) => {
                let malformed = Got::Malformed(error, std::mem::take(&mut self.unread));
                self.ended = Some(malformed.clone());
                Some(malformed)
            }
        }
    }

    /// Reads once; an error of none is a time-out.
    fn read(&mut self, within: Duration) -> Result<(), Option<Got>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
        let mut buffer = [0; 16384];
        let result = self.stream.set_read_timeout(within).and_then(|()| self.stream.read(&mut buffer));
        match result {
            Ok(0) => Err(Some(Got::Closed)),
            Ok(n) => {
                self.unread.extend_from_slice(&buffer[..n]);
                Ok(())
            }
            Err(error) => match error.kind() {
                TimedOut | WouldBlock => Err(None),
                BrokenPipe | ConnectionReset | ConnectionAborted | UnexpectedEof => Err(Some(Got::Closed)),
                _ => Err(Some(Got::Broken(error.to_string()))),
            },
        }
    }

    /// Writes down what came.
    fn heard(&self, got: Got) -> Got {
        match &got {
            Got::Packet(received) => {
                self.tape.packet(&self.name, Direction::In, &text::describe(&received.packet()), &received.bytes);
            }
            Got::Malformed(error, bytes) => {
                self.tape.packet(&self.name, Direction::In, &format!("MALFORMED: {error}"), bytes);
            }
            Got::Closed => self.tape.note(&self.name, "the broker closed the connection"),
            Got::Broken(why) => self.tape.note(&self.name, why),
            Got::Silence => {}
        }
        got
    }

    /// Ends the connection without a word of MQTT, as if the network had failed. Dropping a peer does the same.
    pub fn cut(self) {
        self.tape.note(&self.name, "cuts the connection");
    }

    /// A packet identifier that this connection has not used yet.
    pub fn new_id(&mut self) -> crate::mqtt::PacketId {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        crate::mqtt::PacketId::new(self.last_id).expect("it was made at least 1")
    }

    fn surprise(&self, wanted: &str, got: Got) -> Surprise {
        Surprise { peer: self.name.clone(), wanted: wanted.to_owned(), got }
    }
}
