//! What an embedded engineer's client may look like: a sensor's firmware, built for this machine, that publishes a reading at QoS 1
//! every 200 ms over MQTT 3.1.1, keeps what was not acknowledged, and connects again when its connection breaks. It knows nothing of
//! squall, which puts it behind a lossy link and judges what it says:
//!
//! ```toml
//! client = { command = ["target/debug/examples/firmware", "{host}", "{port}", "{client_id}"] }
//! ```
//!
//! A last argument makes it break one rule: `no-dup`, `one-id` or `never-again`.

#![allow(clippy::disallowed_methods, reason = "an outsider: it has a clock of its own, and waits as it likes")]

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, id, rest @ ..] = &words[..] else { panic!("firmware HOST PORT CLIENT_ID [FAULT]") };
    let mut firmware = Firmware {
        fault: rest.first().cloned().unwrap_or_default(),
        unacknowledged: VecDeque::new(),
        next_id: 1,
        readings: 0,
        due: Instant::now(),
    };
    loop {
        // Whatever goes wrong with a connection, there is a next one.
        let _ = firmware.one_connection(&format!("{host}:{port}"), id);
        std::thread::sleep(Duration::from_millis(500));
    }
}

struct Firmware {
    fault: String,
    /// Packet identifiers and payloads, in order.
    unacknowledged: VecDeque<(u16, String)>,
    next_id: u16,
    readings: u32,
    due: Instant,
}

impl Firmware {
    fn one_connection(&mut self, addr: &str, id: &str) -> std::io::Result<()> {
        let mut socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        socket.write_all(&connect(id))?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut connack = [0; 4];
        socket.read_exact(&mut connack)?;
        let session_present = connack[2] & 1 == 1;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        match (session_present, self.fault.as_str()) {
            (true, "never-again") => {}
            (true, fault) => {
                for (id, text) in &self.unacknowledged {
                    socket.write_all(&publish(*id, text, fault != "no-dup"))?;
                }
            }
            // The broker knows nothing of what was under way: it is new again.
            (false, _) => {
                for (id, text) in &self.unacknowledged {
                    socket.write_all(&publish(*id, text, false))?;
                }
            }
        }
        let mut input = Vec::new();
        loop {
            if Instant::now() >= self.due {
                self.due = Instant::now() + Duration::from_millis(200);
                self.publish_reading(&mut socket)?;
            }
            let mut chunk = [0; 64];
            match socket.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(n) => input.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(e),
            }
            // All that ever comes is PUBACK, four bytes.
            while input.len() >= 4 {
                let acknowledged = u16::from_be_bytes([input[2], input[3]]);
                self.unacknowledged.retain(|(id, _)| *id != acknowledged);
                input.drain(..4);
            }
        }
    }

    fn publish_reading(&mut self, socket: &mut TcpStream) -> std::io::Result<()> {
        self.readings += 1;
        let text = format!("{{\"reading\": {}}}", self.readings);
        let id = if self.fault == "one-id" { 1 } else { self.next_id };
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.unacknowledged.push_back((id, text.clone()));
        socket.write_all(&publish(id, &text, false))
    }
}

fn connect(id: &str) -> Vec<u8> {
    // No clean session: what was not acknowledged outlives the connection. Keep alive 60 s.
    packet(0x10, &[b"\0\x04MQTT\x04\0\0\x3c", &text(id)[..]].concat())
}

fn publish(id: u16, reading: &str, dup: bool) -> Vec<u8> {
    let header = if dup { 0x3A } else { 0x32 };
    packet(header, &[&text("firmware/reading")[..], &id.to_be_bytes(), reading.as_bytes()].concat())
}

fn text(s: &str) -> Vec<u8> {
    [&u16::try_from(s.len()).expect("short").to_be_bytes()[..], s.as_bytes()].concat()
}

fn packet(header: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).ok().filter(|n| *n < 128).expect("short");
    [&[header, length][..], body].concat()
}
