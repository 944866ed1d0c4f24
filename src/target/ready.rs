//! A broker is ready when it answers a CONNECT.

use super::stream::{Endpoint, Stream};
use crate::clock::Clock;
use crate::time::{Duration, Instant};
use crate::transport::Failure;
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Waits until the broker answers a CONNECT with a CONNACK, whatever it says. `died` is asked in between.
///
/// # Errors
/// What happened at the last attempt, if it does not answer within `limit`; or how it died.
pub fn wait(
    addr: SocketAddr,
    limit: Duration,
    credentials: Option<&(String, String)>,
    died: impl FnMut() -> Option<String>,
) -> Result<(), String> {
    wait_at(&Endpoint::plain(addr), limit, credentials, died)
}

/// The same over any transport.
///
/// # Errors
/// As [`wait`].
pub fn wait_at(
    endpoint: &Endpoint,
    limit: Duration,
    credentials: Option<&(String, String)>,
    mut died: impl FnMut() -> Option<String>,
) -> Result<(), String> {
    let clock = Clock::start();
    loop {
        if let Some(how) = died() {
            return Err(how);
        }
        let (last, hopeless) = match greet(endpoint, credentials) {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if hopeless || clock.now() >= Instant::ZERO + limit {
            return Err(last);
        }
        pause(Duration::from_millis(20));
    }
}

/// Whether somebody answers a CONNECT there, now.
///
/// # Errors
/// Why not.
pub fn answers(addr: SocketAddr) -> Result<(), String> {
    greet(&Endpoint::plain(addr), None).map_err(|(why, _)| why)
}

/// Waits a moment between two looks at something that has no event to wait for.
#[allow(clippy::disallowed_methods, reason = "polling a process that is starting or stopping; bounded by a deadline")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// What went wrong, and whether it would again: a certificate does not become a better one.
fn greet(endpoint: &Endpoint, credentials: Option<&(String, String)>) -> Result<(), (String, bool)> {
    let limit = Duration::from_secs(2);
    let say = |e: std::io::Error| {
        let hopeless = e.get_ref().is_some_and(|inner| inner.is::<Failure>());
        (e.to_string(), hopeless)
    };
    let mut stream = Stream::connect(endpoint, limit).map_err(say)?;
    stream.write_all(&connect_packet(credentials)).map_err(say)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(|e| match say(e) {
        (why, true) => (why, true),
        _ => ("it accepts connections and does not answer CONNECT".to_owned(), false),
    })?;
    if answer[0] != 0x20 {
        return Err(("it answers CONNECT with something that is not CONNACK".into(), false));
    }
    if answer[3] == 4 || answer[3] == 5 {
        return Err((format!("it refuses the connection (return code {}): user or password", answer[3]), false));
    }
    let _ = stream.write_all(&[0xE0, 0]);
    Ok(())
}

/// A CONNECT of 3.1.1 by hand: this must not depend on the codec that the run itself uses.
fn connect_packet(credentials: Option<&(String, String)>) -> Vec<u8> {
    let mut content = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 10];
    let text = |bytes: &[u8], content: &mut Vec<u8>| {
        content.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
        content.extend_from_slice(bytes);
    };
    let id = format!("squall-ready-{}", std::process::id() % 100_000);
    text(id.as_bytes(), &mut content);
    if let Some((user, password)) = credentials {
        content[7] |= 0xC0;
        text(user.as_bytes(), &mut content);
        text(password.as_bytes(), &mut content);
    }
    let mut packet = vec![0x10, u8::try_from(content.len().min(127)).unwrap_or(127)];
    packet.append(&mut content);
    packet
}
