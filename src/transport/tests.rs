//! Both sides against each other, in memory.

use super::certificates::{SelfSigned, self_signed};
use super::websocket::frame::{Control, Reader, write_binary};
use super::{Client, Failure, Kind, Layer, Server, TlsFiles, TlsWish};
use crate::seed::Stream;
use proptest::prelude::*;

fn server_files(made: &SelfSigned, client_ca: bool) -> TlsFiles {
    TlsFiles {
        chain: made.server.0.clone().into_bytes(),
        key: made.server.1.clone().into_bytes(),
        client_ca: client_ca.then(|| made.ca.clone().into_bytes()),
    }
}

fn wish(made: &SelfSigned) -> TlsWish {
    TlsWish { ca: made.ca.clone().into_bytes(), ..TlsWish::default() }
}

fn random() -> Stream {
    Stream::named(7, &["masks"])
}

/// Two ends, and the flights between them.
struct Pair {
    client: Layer,
    server: Layer,
    /// What each end has received.
    at_server: Vec<u8>,
    at_client: Vec<u8>,
    flights: u32,
    bytes: usize,
    /// Bytes handed over at a time.
    portion: usize,
}

impl Pair {
    fn new(kind: Kind, server: Option<&TlsFiles>, wish: &TlsWish, portion: usize) -> Self {
        let client = Client::new(kind, "localhost", 8883, "/mqtt", wish).expect("legal");
        let server = Server::new(kind, server).expect("legal");
        Self {
            client: client.begin(random).expect("a layer"),
            server: server.begin().expect("a layer"),
            at_server: Vec::new(),
            at_client: Vec::new(),
            flights: 0,
            bytes: 0,
            portion,
        }
    }

    /// Carries `up` to the server and all that follows, until nobody says anything more.
    fn carry(&mut self, mut up: Vec<u8>) -> Result<(), (&'static str, Failure)> {
        while !up.is_empty() {
            self.flights += 1;
            self.bytes += up.len();
            let mut down = Vec::new();
            for part in up.chunks(self.portion) {
                self.server.wire_in(part, &mut self.at_server, &mut down).map_err(|f| ("server", f))?;
            }
            up = Vec::new();
            if !down.is_empty() {
                self.flights += 1;
                self.bytes += down.len();
            }
            for part in down.chunks(self.portion) {
                self.client.wire_in(part, &mut self.at_client, &mut up).map_err(|f| ("client", f))?;
            }
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), (&'static str, Failure)> {
        let mut hello = Vec::new();
        self.client.start(&mut hello);
        self.carry(hello)
    }
}

#[test]
fn every_kind_carries_bytes_both_ways_in_any_portions() {
    let made = self_signed(&["localhost"], 2099).expect("legal names");
    for kind in [Kind::Tls, Kind::Ws, Kind::Wss] {
        for portion in [1, 7, usize::MAX] {
            let mut pair = Pair::new(kind, Some(&server_files(&made, false)), &wish(&made), portion);
            pair.open().expect("it opens");
            assert!(pair.client.is_established() && pair.server.is_established(), "{kind}");
            let message: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
            let mut wire = Vec::new();
            pair.client.app_out(&message, &mut wire);
            pair.carry(wire).expect("it is carried");
            assert!(pair.at_server == message, "{kind} in {portion}");
            let (mut down, mut up) = (Vec::new(), Vec::new());
            pair.server.app_out(&message, &mut down);
            pair.server.close(&mut down);
            pair.client.wire_in(&down, &mut pair.at_client, &mut up).expect("legal");
            assert!(pair.at_client == message && pair.client.is_peer_closed(), "{kind} in {portion}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let made = self_signed(&["localhost"], 2099).expect("legal names");
    let other = self_signed(&["elsewhere.example"], 2099).expect("legal names");
    let expired = self_signed(&["localhost"], 2021).expect("legal names");
    let files = |made| server_files(made, false);
    let cases = [
        (files(&made), wish(&other), "client", "signed by no CA"),
        (files(&other), wish(&other), "client", "another host name"),
        (files(&expired), wish(&expired), "client", "has expired"),
        (server_files(&made, true), wish(&made), "server", "presented no certificate"),
    ];
    for (server, client, side, words) in cases {
        let (who, why) = Pair::new(Kind::Tls, Some(&server), &client, 100).open().expect_err(words);
        assert!(who == side && why.to_string().contains(words), "{who}: {why}");
    }
    let identity = Some((made.client.0.clone().into_bytes(), made.client.1.clone().into_bytes()));
    let known = TlsWish { identity, ..wish(&made) };
    Pair::new(Kind::Tls, Some(&server_files(&made, true)), &known, 100).open().expect("a known client");
    let anybody = TlsWish { insecure: true, ..TlsWish::default() };
    Pair::new(Kind::Tls, Some(&files(&expired)), &anybody, 100).open().expect("insecure takes anybody");
    let named = TlsWish { server_name: Some("elsewhere.example".into()), ..wish(&other) };
    Pair::new(Kind::Tls, Some(&files(&other)), &named, 100).open().expect("the name that was asked for");
    // Plain MQTT where TLS is expected, and the other way round.
    let mut layer = Server::new(Kind::Tls, Some(&files(&made))).expect("legal").begin().expect("a layer");
    let why = layer.wire_in(b"\x10\x0c\x00\x04MQTT", &mut Vec::new(), &mut Vec::new()).expect_err("no TLS");
    assert!(why.to_string().contains("no TLS"), "{why}");
    assert!(Client::new(Kind::Tls, "localhost", 1, "/", &TlsWish::default()).is_err(), "nobody is trusted");
    assert!(Client::new(Kind::Tls, "no name", 1, "/", &wish(&made)).is_err());
    assert!(Server::new(Kind::Wss, None).is_err());
}

/// A full TLS 1.3 handshake is one round trip, whatever certificates are in it; WebSocket adds one.
#[test]
fn handshakes_cost_the_round_trips_they_must() {
    let made = self_signed(&["localhost"], 2099).expect("legal names");
    for (kind, flights) in [(Kind::Ws, 2), (Kind::Tls, 4), (Kind::Wss, 4)] {
        let mut pair = Pair::new(kind, Some(&server_files(&made, false)), &wish(&made), usize::MAX);
        pair.open().expect("it opens");
        // The last flight of TLS are the server's session tickets: nobody waits for them.
        assert_eq!(pair.flights, flights, "{kind}: {} bytes", pair.bytes);
        assert!(pair.bytes < 3_000, "{kind}: {} bytes", pair.bytes);
    }
}

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: x, mqtt\r\n\r\n";

fn ask(request: &str) -> (Result<(), Failure>, String) {
    let mut layer = Server::new(Kind::Ws, None).expect("legal").begin().expect("a layer");
    let mut wire = Vec::new();
    let result = layer.wire_in(request.as_bytes(), &mut Vec::new(), &mut wire);
    (result, String::from_utf8_lossy(&wire).into_owned())
}

/// [MQTT-6.0.0-3], [MQTT-6.0.0-4] and RFC 6455, section 4.2.
#[test]
fn requests_are_answered_as_the_rfc_says() {
    let (result, answer) = ask(REQUEST);
    result.expect("legal");
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"));
    for (old, new, status) in [
        ("GET", "POST", "405"),
        ("x, mqtt", "x, mqttv9", "400"),
        ("Version: 13", "Version: 8", "426"),
        ("WebSocket\r\n", "h2c\r\n", "426"),
        ("Host: h\r\n", "", "400"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", "400"),
    ] {
        let (result, answer) = ask(&REQUEST.replace(old, new));
        assert!(result.is_err() && answer.starts_with(&format!("HTTP/1.1 {status} ")), "{new}: {answer}");
    }
    assert!(ask(&"x".repeat(20_000)).0.is_err(), "a head without end");
    assert!(ask("\x10\x0c\0\x04MQTT").0.is_err(), "plain MQTT");
}

/// Section 5 of RFC 6455, and [MQTT-6.0.0-1]: binary frames only; [MQTT-6.0.0-2]: packets need not keep to frames.
#[test]
fn frames_are_read_strictly() {
    let read = |bytes: &[u8]| {
        let (mut app, mut controls) = (Vec::new(), Vec::new());
        let result = Reader::new(false).read(bytes, &mut app, &mut controls);
        (result.map_err(|v| v.code), app, controls)
    };
    // One message in two frames with a ping between them.
    assert_eq!(read(b"\x02\x02ab\x89\x01!\x80\x01c"), (Ok(()), b"abc".to_vec(), vec![Control::Ping(b"!".to_vec())]));
    assert_eq!(read(b"\x88\x02\x03\xe8\x82\x01z"), (Ok(()), vec![], vec![Control::Close(1000)]), "nothing after it");
    for (bytes, code) in [
        (&b"\x81\x01a"[..], 1003),             // text
        (b"\x82\x81aaaaa", 1002),              // a server masks
        (b"\xc2\x01a", 1002),                  // a reserved bit
        (b"\x83\x01a", 1002),                  // a reserved opcode
        (b"\x80\x01a", 1002),                  // a continuation of nothing
        (b"\x02\x01a\x82\x01b", 1002),         // a message within a message
        (b"\x09\x00", 1002),                   // a fragmented ping
        (b"\x89\x7e\x00\x7e", 1002),           // a long ping
        (b"\x82\x7e\x00\x01a", 1002),          // a length that is too long
        (b"\x82\x7f\xff\0\0\0\0\0\0\0", 1002), // 2^63 and more
        (b"\x88\x01a", 1002),                  // half a status code
    ] {
        assert_eq!(read(bytes).0, Err(code), "{bytes:02x?}");
    }
    // 2^62 bytes are announced: nothing is allocated for them.
    let (result, app, _) = read(b"\x82\x7f\x40\0\0\0\0\0\0\0ab");
    assert!(result.is_ok() && app == b"ab" && app.capacity() < 1024);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 512 } else { 20_000 }))]

    /// In portions of any size, frames give what they give all at once; what was written is what is read.
    #[test]
    fn portions_do_not_matter(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5),
        mask: [u8; 4],
        portion in 1usize..50,
    ) {
        let mut wire = Vec::new();
        for m in &messages {
            write_binary(m, Some(mask), &mut wire);
        }
        let (mut app, mut controls) = (Vec::new(), Vec::new());
        let mut reader = Reader::new(true);
        for part in wire.chunks(portion) {
            reader.read(part, &mut app, &mut controls).expect("legal");
        }
        prop_assert_eq!(app, messages.concat());
    }

    /// Random bytes are judged alike at once and a byte at a time, and never panic; what is kept stays small.
    #[test]
    fn any_bytes_are_judged_alike(server: bool, bytes in proptest::collection::vec(any::<u8>(), 0..200), small: bool) {
        // Half of them begin with what could be a header.
        let bytes: Vec<u8> = if small { [&[0x82, if server { 0x85 } else { 5 }], &bytes[..]].concat() } else { bytes };
        let read = |portion: usize| {
            let (mut app, mut controls) = (Vec::new(), Vec::new());
            let mut reader = Reader::new(server);
            let result = bytes.chunks(portion).try_for_each(|part| reader.read(part, &mut app, &mut controls));
            (result, app, controls)
        };
        let whole = read(usize::MAX);
        prop_assert_eq!(&read(1), &whole);
        prop_assert!(whole.1.len() <= bytes.len());
    }

    /// A layer given anything, before or after its handshake, says so and never panics.
    #[test]
    fn layers_survive_anything(
        kind in 0usize..3, opened: bool, bytes in proptest::collection::vec(any::<u8>(), 1..400), portion in 1usize..60,
    ) {
        thread_local!(static MADE: SelfSigned = self_signed(&["localhost"], 2099).expect("legal names"));
        let kind = [Kind::Tls, Kind::Ws, Kind::Wss][kind];
        let mut pair = MADE.with(|made| Pair::new(kind, Some(&server_files(made, false)), &wish(made), usize::MAX));
        if opened {
            pair.open().expect("it opens");
        }
        for layer in [&mut pair.server, &mut pair.client] {
            let (mut app, mut wire) = (Vec::new(), Vec::new());
            layer.start(&mut wire);
            for part in bytes.chunks(portion) {
                if layer.wire_in(part, &mut app, &mut wire).is_err() {
                    break;
                }
            }
            layer.app_out(b"more", &mut wire);
            layer.close(&mut wire);
            prop_assert!(app.len() <= bytes.len());
            let _ = layer.ended_early();
        }
    }
}
