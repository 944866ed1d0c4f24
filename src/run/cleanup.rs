//! What a run leaves at a broker that is not its own is taken away: sessions, and retained messages.

use crate::clock::Clock;
use crate::mqtt::codec;
use crate::mqtt::packet::{Connect, Packet};
use crate::mqtt::properties::Properties;
use crate::mqtt::{QoS, Version};
use crate::target::stream::{Endpoint, Stream};
use crate::time::{Duration, Instant};
use std::io::{Read, Write};

/// Something that was left.
pub(super) struct Leftover {
    pub version: Version,
    pub client_id: Box<str>,
    pub credentials: Option<(Box<str>, Option<Box<str>>)>,
    /// A retained message's topic; none: the session alone.
    pub retained: Option<String>,
}

/// Cleans up; returns how many of the leftovers could not be taken away within `limit`.
pub(super) fn clean(endpoint: &Endpoint, leftovers: &[Leftover], limit: Duration) -> usize {
    let clock = Clock::start();
    let mut left = 0;
    for leftover in leftovers {
        if clock.now() > Instant::ZERO + limit || take_away(endpoint, leftover).is_err() {
            left += 1;
        }
    }
    left
}

/// A clean start ends the session; an empty retained message clears the old one [MQTT-3.3.1-6].
fn take_away(endpoint: &Endpoint, leftover: &Leftover) -> std::io::Result<()> {
    let wait = Duration::from_secs(2);
    let mut stream = Stream::connect(endpoint, wait)?;
    let mut out = Vec::new();
    let connect = Connect {
        version: leftover.version,
        clean_start: true,
        keep_alive: 10,
        client_id: &leftover.client_id,
        will: None,
        user_name: leftover.credentials.as_ref().map(|(user, _)| &**user),
        password: leftover.credentials.as_ref().and_then(|(_, p)| p.as_deref()).map(str::as_bytes),
        properties: Properties::EMPTY,
    };
    codec::encode(&Packet::Connect(connect), leftover.version, &mut out);
    stream.write_all(&out)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if answer[3] != 0 {
        return Err(std::io::Error::other("refused"));
    }
    out.clear();
    if let Some(topic) = &leftover.retained {
        let header = codec::PublishHeader { dup: false, qos: QoS::AtMostOnce, retain: true, topic, packet_id: None };
        codec::encode_publish(leftover.version, header, &[], &mut out);
    }
    out.extend_from_slice(&[0xE0, 0]);
    stream.write_all(&out)?;
    stream.finish()?;
    // The broker closes when it has read all of it.
    let _ = stream.read(&mut [0; 64]);
    Ok(())
}
