//! Encoding. It writes what it is given: tests use it to write illegal packets too.

use super::packet::{Ack, Codes, Connect, Packet, Publish, Reason, Subscribe, SubscribeOptions, Unsubscribe};
use super::properties::Properties;
use super::wire::{put_binary, put_u16, put_varint, varint_len};
use super::{PacketId, QoS, Version};

/// Appends a packet to `out`. Text and binary fields over 65,535 bytes are cut to that.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    match packet {
        Packet::Connect(c) => connect(c, out),
        Packet::ConnAck(c) => framed(0x20, out, |out| {
            out.extend_from_slice(&[u8::from(c.session_present), c.reason]);
            properties(c.properties, version, out);
        }),
        Packet::Publish(p) => publish(p, version, out),
        Packet::PubAck(a) => ack(0x40, a, version, out),
        Packet::PubRec(a) => ack(0x50, a, version, out),
        Packet::PubRel(a) => ack(0x62, a, version, out),
        Packet::PubComp(a) => ack(0x70, a, version, out),
        Packet::Subscribe(Subscribe { packet_id, properties: p, filters }) => {
            with_filters(0x82, *packet_id, *p, version, out, |out| out.extend_from_slice(filters));
        }
        Packet::Unsubscribe(Unsubscribe { packet_id, properties: p, filters }) => {
            with_filters(0xA2, *packet_id, *p, version, out, |out| out.extend_from_slice(filters));
        }
        Packet::SubAck(c) => codes(0x90, c, version, out),
        Packet::UnsubAck(c) => codes(0xB0, c, version, out),
        Packet::PingReq => out.extend_from_slice(&[0xC0, 0]),
        Packet::PingResp => out.extend_from_slice(&[0xD0, 0]),
        Packet::Disconnect(r) => reason(0xE0, r, version, out),
        Packet::Auth(r) => reason(0xF0, r, version, out),
    }
}

/// The header of a PUBLISH without properties.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct PublishHeader<'a> {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    pub topic: &'a str,
    pub packet_id: Option<PacketId>,
}

/// Appends a PUBLISH without properties.
pub fn encode_publish(version: Version, header: PublishHeader<'_>, payload: &[u8], out: &mut Vec<u8>) {
    encode_publish_with(version, header, Properties::EMPTY, payload, out);
}

/// Appends a PUBLISH with properties (which only 5.0 has).
pub fn encode_publish_with(
    version: Version,
    header: PublishHeader<'_>,
    properties: Properties<'_>,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let PublishHeader { dup, qos, retain, topic, packet_id } = header;
    publish(&Publish { dup, qos, retain, topic, packet_id, properties, payload }, version, out);
}

/// Appends a SUBSCRIBE.
pub fn encode_subscribe(
    version: Version,
    packet_id: PacketId,
    properties: Properties<'_>,
    filters: &[(&str, SubscribeOptions)],
    out: &mut Vec<u8>,
) {
    with_filters(0x82, packet_id, properties, version, out, |out| {
        for (filter, options) in filters {
            put_binary(filter.as_bytes(), out);
            out.push(options.to_byte());
        }
    });
}

/// Appends an UNSUBSCRIBE.
pub fn encode_unsubscribe(version: Version, packet_id: PacketId, filters: &[&str], out: &mut Vec<u8>) {
    with_filters(0xA2, packet_id, Properties::EMPTY, version, out, |out| {
        for filter in filters {
            put_binary(filter.as_bytes(), out);
        }
    });
}

/// Writes the content after a fixed header whose length is found out afterwards.
fn framed(first: u8, out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[first, 0]);
    let start = out.len();
    content(out);
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = u8::try_from(length).expect("below 128");
        return;
    }
    // The content moves up by the bytes that its length takes beyond the first.
    let end = out.len();
    put_varint(u32::try_from(length).unwrap_or(u32::MAX), out);
    let more = out.len() - end - 1;
    let mut header = [0; 5];
    header[..=more].copy_from_slice(&out[end..]);
    out.truncate(end + more);
    out.copy_within(start..end, start + more);
    out[start - 1..start + more].copy_from_slice(&header[..=more]);
}

fn properties(p: Properties<'_>, version: Version, out: &mut Vec<u8>) {
    if version == Version::V5 {
        put_varint(u32::try_from(p.as_bytes().len()).unwrap_or(u32::MAX), out);
        out.extend_from_slice(p.as_bytes());
    }
}

fn publish(p: &Publish<'_>, version: Version, out: &mut Vec<u8>) {
    let properties_length = match version {
        Version::V5 => p.properties.as_bytes().len() + varint_len(p.properties.as_bytes().len()),
        _ => 0,
    };
    let id_length = if p.packet_id.is_some() { 2 } else { 0 };
    let length = 2 + p.topic.len().min(usize::from(u16::MAX)) + id_length + properties_length + p.payload.len();
    out.push(0x30 | (u8::from(p.dup) << 3) | ((p.qos as u8) << 1) | u8::from(p.retain));
    put_varint(u32::try_from(length).unwrap_or(u32::MAX), out);
    put_binary(p.topic.as_bytes(), out);
    if let Some(id) = p.packet_id {
        put_u16(id.get(), out);
    }
    properties(p.properties, version, out);
    out.extend_from_slice(p.payload);
}

fn ack(first: u8, a: &Ack<'_>, version: Version, out: &mut Vec<u8>) {
    let [high, low] = a.packet_id.get().to_be_bytes();
    if version != Version::V5 || (a.reason == 0 && a.properties.is_empty()) {
        out.extend_from_slice(&[first, 2, high, low]);
    } else if a.properties.is_empty() {
        out.extend_from_slice(&[first, 3, high, low, a.reason]);
    } else {
        framed(first, out, |out| {
            out.extend_from_slice(&[high, low, a.reason]);
            properties(a.properties, version, out);
        });
    }
}

fn reason(first: u8, r: &Reason<'_>, version: Version, out: &mut Vec<u8>) {
    if version != Version::V5 || (r.reason == 0 && r.properties.is_empty()) {
        out.extend_from_slice(&[first, 0]);
    } else if r.properties.is_empty() {
        out.extend_from_slice(&[first, 1, r.reason]);
    } else {
        framed(first, out, |out| {
            out.push(r.reason);
            properties(r.properties, version, out);
        });
    }
}

fn with_filters(
    first: u8,
    id: PacketId,
    p: Properties<'_>,
    version: Version,
    out: &mut Vec<u8>,
    filters: impl FnOnce(&mut Vec<u8>),
) {
    framed(first, out, |out| {
        put_u16(id.get(), out);
        properties(p, version, out);
        filters(out);
    });
}

fn codes(first: u8, c: &Codes<'_>, version: Version, out: &mut Vec<u8>) {
    framed(first, out, |out| {
        put_u16(c.packet_id.get(), out);
        properties(c.properties, version, out);
        out.extend_from_slice(c.codes);
    });
}

fn connect(c: &Connect<'_>, out: &mut Vec<u8>) {
    let will_flags = c.will.map_or(0, |w| 4 | ((w.qos as u8) << 3) | (u8::from(w.retain) << 5));
    let flags = (u8::from(c.clean_start) << 1)
        | will_flags
        | (u8::from(c.password.is_some()) << 6)
        | (u8::from(c.user_name.is_some()) << 7);
    framed(0x10, out, |out| {
        put_binary(c.version.protocol_name().as_bytes(), out);
        out.extend_from_slice(&[c.version.level(), flags]);
        put_u16(c.keep_alive, out);
        properties(c.properties, c.version, out);
        put_binary(c.client_id.as_bytes(), out);
        if let Some(will) = c.will {
            properties(will.properties, c.version, out);
            put_binary(will.topic.as_bytes(), out);
            put_binary(will.payload, out);
        }
        if let Some(name) = c.user_name {
            put_binary(name.as_bytes(), out);
        }
        if let Some(password) = c.password {
            put_binary(password, out);
        }
    });
}
