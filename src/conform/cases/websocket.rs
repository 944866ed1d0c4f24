//! MQTT over WebSocket, frame by frame.

use super::super::bench::Bench;
use super::super::case::{Case, Done, Stop, broken, ensure, not_applicable};
use crate::peer::tape::Direction;
use crate::transport::Kind;
use std::io::{Read, Write};
use std::net::TcpStream;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("websocket-subprotocol", "The WebSocket subprotocol that the broker selects is mqtt.", subprotocol)
            .both("6.0.0-4"),
        Case::new("websocket-text", "A WebSocket text frame ends the connection.", text).both("6.0.0-1"),
        Case::new("websocket-binary", "What the broker sends comes in binary frames.", binary).both("6.0.0-1"),
        Case::new("websocket-pieces", "Packets may lie across WebSocket frames, and several in one.", pieces)
            .both("6.0.0-2"),
    ]
}

const BINARY: u8 = 2;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// A WebSocket that hides no frame.
struct Socket<'a> {
    tcp: TcpStream,
    bench: &'a Bench<'a>,
    /// The head of the broker's answer.
    head: String,
}

impl<'a> Socket<'a> {
    fn open(bench: &'a Bench<'a>) -> Result<Self, Stop> {
        let endpoint = &bench.site.endpoint;
        let Some(client) = endpoint.transport.as_ref().filter(|t| t.kind() == Kind::Ws) else {
            return not_applicable("it was not reached over WebSocket: try --transport ws, or ws://");
        };
        let (host, path) = client.resource();
        let io = |e: std::io::Error| Stop::Unreachable(format!("WebSocket: {e}"));
        let mut tcp = TcpStream::connect_timeout(&endpoint.addr, bench.site.patience).map_err(io)?;
        tcp.set_read_timeout(Some(bench.site.patience)).map_err(io)?;
        let ask = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: c3F1YWxsLWNvbmZvcm0hIQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        tcp.write_all(ask.as_bytes()).map_err(io)?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > 8192 || tcp.read(&mut byte).map_err(io)? == 0 {
                return broken("no whole answer to the WebSocket request");
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        bench.tape.note("websocket", &format!("the broker answers {:?}", head.lines().next().unwrap_or_default()));
        ensure!(
            head.starts_with("HTTP/1.1 101"),
            "the answer to the WebSocket request begins {:?}",
            head.lines().next()
        );
        Ok(Self { tcp, bench, head })
    }

    /// Sends a frame, masked with zeros.
    fn send(&mut self, opcode: u8, bytes: &[u8]) {
        let length = u8::try_from(bytes.len()).ok().filter(|n| *n < 126).expect("short frames");
        let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(bytes);
        let name = if opcode == TEXT { "a text frame" } else { "a binary frame" };
        self.bench.tape.packet("websocket", Direction::Out, name, &frame);
        let _ = self.tcp.write_all(&frame);
    }

    /// The next frame's opcode and content; none if the connection ended.
    fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>, Stop> {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        let mut head = [0; 2];
        match self.tcp.read_exact(&mut head) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), TimedOut | WouldBlock) => return broken("neither a frame nor the end came"),
            Err(_) => return Ok(None),
        }
        let mut length = usize::from(head[1] & 0x7F);
        let mut read = |n: usize| {
            let mut bytes = vec![0; n];
            self.tcp.read_exact(&mut bytes).map(|()| bytes)
        };
        let result = match length {
            126 => read(2).and_then(|b| {
                length = usize::from(u16::from_be_bytes([b[0], b[1]]));
                read(length)
            }),
            127 => return broken("a frame of more than 65,535 bytes came"),
            _ => read(length),
        };
        let Ok(content) = result else { return broken("a frame ended in its middle") };
        self.bench.tape.packet("websocket", Direction::In, &format!("a frame of opcode {}", head[0] & 15), &content);
        Ok(Some((head[0] & 15, content)))
    }

    /// The broker closes: by a close frame, or TCP's end.
    fn closed(&mut self) -> Done {
        loop {
            match self.next()? {
                None | Some((CLOSE, _)) => return Ok(()),
                Some((opcode, content)) if opcode == BINARY && content.first() == Some(&0x20) => {
                    ensure!(content.get(3).is_some_and(|code| *code != 0), "a CONNECT in a text frame was accepted");
                }
                Some(_) => {}
            }
        }
    }

    /// Reads until so many bytes of MQTT have come, all of them in binary frames.
    fn bytes(&mut self, n: usize) -> Result<Vec<u8>, Stop> {
        let mut all = Vec::new();
        while all.len() < n {
            match self.next()? {
                Some((BINARY | 0, content)) => all.extend(content),
                other => return broken(format!("for MQTT bytes came {other:?}")),
            }
        }
        Ok(all)
    }
}

fn subprotocol(b: &Bench) -> Done {
    let socket = Socket::open(b)?;
    let selected = socket.head.lines().find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-protocol").then(|| value.trim().to_owned())
    });
    ensure!(selected.as_deref() == Some("mqtt"), "the broker selected {selected:?}");
    Ok(())
}

fn text(b: &Bench) -> Done {
    let mut socket = Socket::open(b)?;
    socket.send(TEXT, &b.hello("text").bytes());
    socket.closed()?;
    // And after an accepted CONNECT.
    let mut socket = Socket::open(b)?;
    socket.send(BINARY, &b.hello("text").bytes());
    socket.bytes(4)?;
    socket.send(TEXT, &[0xC0, 0]);
    socket.closed()
}

fn binary(b: &Bench) -> Done {
    let mut socket = Socket::open(b)?;
    socket.send(BINARY, &b.hello("binary").bytes());
    let connack = socket.bytes(4)?;
    ensure!(connack[0] == 0x20, "the first packet begins with {:#04x}", connack[0]);
    Ok(())
}

fn pieces(b: &Bench) -> Done {
    let mut socket = Socket::open(b)?;
    let mut bytes = b.hello("pieces").bytes();
    bytes.extend_from_slice(&[0xC0, 0, 0xC0, 0]);
    let end = bytes.len();
    // The CONNECT in two frames, the second of which has a PINGREQ and half of the next.
    socket.send(BINARY, &bytes[..5]);
    socket.send(BINARY, &bytes[5..end - 1]);
    let mut came = socket.bytes(6)?;
    socket.send(BINARY, &bytes[end - 1..]);
    while !came.ends_with(&[0xD0, 0, 0xD0, 0]) {
        came.extend(socket.bytes(2)?);
    }
    Ok(())
}
