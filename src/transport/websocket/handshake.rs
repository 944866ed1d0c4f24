//! The opening handshake (RFC 6455, section 4): one HTTP request, one answer.

use super::Violation;

/// Bytes of a request or an answer at most (assumed: eight times what common clients send).
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// [MQTT-6.0.0-3] and [MQTT-6.0.0-4]: the subprotocol that a client offers and a server selects.
const SUBPROTOCOL: &str = "mqtt";

/// What section 1.3 has appended to the key.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Writes a client's request. `key` should differ from connection to connection.
pub(super) fn write_request(host: &str, path: &str, key: [u8; 16], out: &mut Vec<u8>) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n",
        base64(&key)
    );
    out.extend_from_slice(request.as_bytes());
}

/// A client's look at the answer.
pub(super) fn check_answer(head: &str, key: [u8; 16]) -> Result<(), Violation> {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101") {
        let what = if status.starts_with("HTTP/1.") {
            "the broker answers the WebSocket request with another status than 101: is the path right?"
        } else {
            "the broker does not speak HTTP there: is that its WebSocket port?"
        };
        return Err(Violation::protocol(what));
    }
    let fields = Fields(head);
    if !fields.has_word("upgrade", "websocket") || !fields.has_word("connection", "upgrade") {
        return Err(Violation::protocol("the answer upgrades to something else than WebSocket"));
    }
    if fields.get("sec-websocket-accept") != Some(accept_of(&base64(&key)).as_str()) {
        return Err(Violation::protocol("the answer's Sec-WebSocket-Accept is wrong"));
    }
    if fields.get("sec-websocket-protocol") != Some(SUBPROTOCOL) {
        return Err(Violation::protocol("the broker did not select the subprotocol \"mqtt\""));
    }
    if fields.get("sec-websocket-extensions").is_some() {
        return Err(Violation::protocol("the broker selected an extension that was not offered"));
    }
    Ok(())
}

/// A server's look at a request: its answer, whether that accepts or, as an error, refuses.
pub(super) fn answer(head: &str) -> Result<String, (&'static str, Violation)> {
    let refuse = |status, what| Err((status, Violation::protocol(what)));
    let line = head.split("\r\n").next().unwrap_or_default();
    let mut words = line.split(' ');
    let (method, _path, version) = (words.next(), words.next(), words.next());
    if version != Some("HTTP/1.1") {
        return refuse("400 Bad Request", "no HTTP/1.1 request");
    }
    if method != Some("GET") {
        return refuse("405 Method Not Allowed\r\nAllow: GET", "another method than GET");
    }
    let fields = Fields(head);
    if !fields.has_word("upgrade", "websocket") || !fields.has_word("connection", "upgrade") {
        return refuse("426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade", "no request for WebSocket");
    }
    if fields.get("host").is_none() {
        return refuse("400 Bad Request", "no Host");
    }
    if fields.get("sec-websocket-version") != Some("13") {
        return refuse("426 Upgrade Required\r\nSec-WebSocket-Version: 13", "another version than 13");
    }
    let key = match fields.get("sec-websocket-key") {
        Some(key) if key.len() == 24 && key.ends_with("==") => key,
        _ => return refuse("400 Bad Request", "Sec-WebSocket-Key is not 16 bytes"),
    };
    if !fields.has_word("sec-websocket-protocol", SUBPROTOCOL) {
        return refuse("400 Bad Request", "the subprotocol \"mqtt\" is not offered");
    }
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n",
        accept_of(key)
    ))
}

/// The header fields of a request or an answer.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn get(&self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Whether a comma-separated list holds a word, in any case.
    fn has_word(&self, name: &'a str, word: &str) -> bool {
        self.all(name).flat_map(|v| v.split(',')).any(|w| w.trim().eq_ignore_ascii_case(word))
    }
}

fn accept_of(key: &str) -> String {
    let mut text = key.as_bytes().to_vec();
    text.extend_from_slice(MAGIC);
    base64(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let place = (number >> (18 - 6 * digit)) & 63;
            text.push(if digit <= three.len() { char::from(DIGITS[place as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_and_accept_are_those_of_the_rfcs() {
        // RFC 4648, section 10.
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        // RFC 6455, section 1.3.
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
