//! MQTT over WebSocket (RFC 6455; MQTT section 6), both sides.

pub mod frame;
mod handshake;

use crate::seed::Stream;
use frame::{Control, Reader};

/// What the other side did wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The status code to close with (RFC 6455, section 7.4.1).
    pub code: u16,
    /// What it was, in words.
    pub what: &'static str,
}

impl Violation {
    /// A protocol error, 1002.
    #[must_use]
    pub fn protocol(what: &'static str) -> Self {
        Self { code: 1002, what }
    }
}

/// Where a handshake stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Waits for the other side's half of the handshake.
    Opening,
    Open,
    /// A close frame was sent; nothing more goes out.
    Closed,
}

/// One side of a connection. A client first calls [`WebSocket::write_request`].
#[derive(Debug)]
pub struct WebSocket {
    state: State,
    /// A client's masks and keys; none for a server.
    random: Option<Stream>,
    key: [u8; 16],
    /// The other side's half of the handshake, as far as it has come.
    head: Vec<u8>,
    reader: Reader,
    controls: Vec<Control>,
    peer_closed: bool,
}

impl WebSocket {
    /// A client. `random` gives masks and the handshake's key: a load harness needs no unpredictable ones.
    #[must_use]
    pub fn client(random: Stream) -> Self {
        Self { random: Some(random), ..Self::server_with(Reader::new(false)) }
    }

    /// A server.
    #[must_use]
    pub fn server() -> Self {
        Self::server_with(Reader::new(true))
    }

    fn server_with(reader: Reader) -> Self {
        Self {
            state: State::Opening,
            random: None,
            key: [0; 16],
            head: Vec::new(),
            reader,
            controls: Vec::new(),
            peer_closed: false,
        }
    }

    /// Whether data may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the other side has sent its close frame.
    #[must_use]
    pub fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Writes the client's half of the handshake.
    pub fn write_request(&mut self, host: &str, path: &str, wire: &mut Vec<u8>) {
        let random = self.random.as_mut().expect("a client asks");
        self.key[..8].copy_from_slice(&random.bits().to_le_bytes());
        self.key[8..].copy_from_slice(&random.bits().to_le_bytes());
        handshake::write_request(host, path, self.key, wire);
    }

    /// Takes bytes from the wire: data goes to `app`, answers to `wire`.
    ///
    /// # Errors
    /// What the other side did wrong; `wire` tells it so, and the connection is to be ended.
    pub fn read(&mut self, bytes: &[u8], app: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Violation> {
        if self.state != State::Opening {
            return self.read_frames(bytes, app, wire);
        }
        let old = self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(handshake::MAX_HEAD + 4 - old)]);
        let from = old.saturating_sub(3);
        let Some(end) = self.head[from..].windows(4).position(|w| w == b"\r\n\r\n").map(|at| from + at + 4) else {
            // What is not HTTP is told at once: waiting for its end would be for ever.
            let begins = self.head.len().min(3);
            let expected: &[u8] = if self.random.is_some() { b"HTT" } else { b"GET" };
            if self.random.is_some() && self.head[..begins] != expected[..begins] {
                return Err(Violation::protocol("the broker does not speak HTTP there: is that its WebSocket port?"));
            }
            if self.head.len() > handshake::MAX_HEAD || self.head.iter().any(|b| !matches!(b, 9 | 10 | 13 | 32..=126)) {
                return Err(self.refuse("400 Bad Request", Violation::protocol("no HTTP request"), wire));
            }
            return Ok(());
        };
        let head = std::mem::take(&mut self.head);
        let text = String::from_utf8_lossy(&head[..end]);
        if self.random.is_some() {
            handshake::check_answer(&text, self.key)?;
        } else {
            match handshake::answer(&text) {
                Ok(answer) => wire.extend_from_slice(answer.as_bytes()),
                Err((status, violation)) => return Err(self.refuse(status, violation, wire)),
            }
        }
        self.state = State::Open;
        self.read_frames(&bytes[end - old..], app, wire)
    }

    fn refuse(&mut self, status: &str, violation: Violation, wire: &mut Vec<u8>) -> Violation {
        self.state = State::Closed;
        if self.random.is_none() {
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}\n",
                violation.what.len() + 1,
                violation.what
            );
            wire.extend_from_slice(answer.as_bytes());
        }
        violation
    }

    fn read_frames(&mut self, bytes: &[u8], app: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Violation> {
        let mut controls = std::mem::take(&mut self.controls);
        let result = self.reader.read(bytes, app, &mut controls);
        for control in controls.drain(..) {
            match control {
                Control::Ping(content) if self.state == State::Open => {
                    let mask = self.mask();
                    frame::write_pong(&content, mask, wire);
                }
                Control::Ping(_) | Control::Pong => {}
                Control::Close(code) => {
                    self.peer_closed = true;
                    self.close(code, wire);
                }
            }
        }
        self.controls = controls;
        result.inspect_err(|violation| self.close(violation.code, wire))
    }

    /// Sends data, as one frame.
    pub fn write(&mut self, app: &[u8], wire: &mut Vec<u8>) {
        if self.state == State::Open && !app.is_empty() {
            let mask = self.mask();
            frame::write_binary(app, mask, wire);
        }
    }

    /// Sends the close frame, once.
    pub fn close(&mut self, code: u16, wire: &mut Vec<u8>) {
        if self.state == State::Open {
            let mask = self.mask();
            frame::write_close(code, mask, wire);
        }
        self.state = State::Closed;
    }

    #[allow(clippy::cast_possible_truncation, reason = "the low half of 64 random bits")]
    fn mask(&mut self) -> Option<[u8; 4]> {
        self.random.as_mut().map(|r| (r.bits() as u32).to_le_bytes())
    }
}
