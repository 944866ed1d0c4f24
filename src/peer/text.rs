//! Packets in words, for people who read an exchange.

use crate::mqtt::packet::{Ack, Connect, Packet, Publish, Reason};
use crate::mqtt::properties::Properties;
use std::fmt::Write as _;

/// Bytes of a payload that are shown.
const SHOWN: usize = 32;

/// Bytes in hexadecimal, with spaces.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 3);
    for (i, byte) in bytes.iter().enumerate() {
        let _ = write!(out, "{}{byte:02X}", if i == 0 { "" } else { " " });
    }
    out
}

/// A packet in a line.
#[must_use]
pub fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(c) => connect(c),
        Packet::ConnAck(c) => {
            let present = if c.session_present { ", session present" } else { "" };
            format!("CONNACK {}{present}{}", code(c.reason), properties(c.properties))
        }
        Packet::Publish(p) => publish(p),
        Packet::PubAck(a) => ack("PUBACK", a),
        Packet::PubRec(a) => ack("PUBREC", a),
        Packet::PubRel(a) => ack("PUBREL", a),
        Packet::PubComp(a) => ack("PUBCOMP", a),
        Packet::Subscribe(s) => {
            let filters: Vec<String> =
                s.filters().map(|(f, o)| format!("{f:?} options {:#04x}", o.to_byte())).collect();
            format!("SUBSCRIBE id {} {}{}", s.packet_id, filters.join(", "), properties(s.properties))
        }
        Packet::SubAck(c) => format!("SUBACK id {} {}{}", c.packet_id, hex(c.codes), properties(c.properties)),
        Packet::Unsubscribe(u) => {
            let filters: Vec<String> = u.filters().map(|f| format!("{f:?}")).collect();
            format!("UNSUBSCRIBE id {} {}{}", u.packet_id, filters.join(", "), properties(u.properties))
        }
        Packet::UnsubAck(c) => format!("UNSUBACK id {} {}{}", c.packet_id, hex(c.codes), properties(c.properties)),
        Packet::PingReq => "PINGREQ".into(),
        Packet::PingResp => "PINGRESP".into(),
        Packet::Disconnect(r) => reason("DISCONNECT", r),
        Packet::Auth(r) => reason("AUTH", r),
    }
}

fn code(code: u8) -> String {
    if code == 0 { "0".into() } else { format!("{code:#04x}") }
}

fn connect(c: &Connect<'_>) -> String {
    let mut out = format!("CONNECT {:?} client {:?}", c.version, c.client_id);
    out.push_str(if c.clean_start { " clean" } else { " lasting" });
    let _ = write!(out, ", keep alive {}", c.keep_alive);
    if let Some(will) = c.will {
        let retained = if will.retain { " retained" } else { "" };
        let _ =
            write!(out, ", will QoS {} to {:?}{retained}{}", will.qos as u8, will.topic, properties(will.properties));
    }
    if c.user_name.is_some() {
        out.push_str(", user and password not shown");
    }
    out + &properties(c.properties)
}

fn publish(p: &Publish<'_>) -> String {
    let mut out = format!("PUBLISH QoS {}", p.qos as u8);
    if let Some(id) = p.packet_id {
        let _ = write!(out, " id {id}");
    }
    if p.dup {
        out.push_str(" DUP");
    }
    if p.retain {
        out.push_str(" RETAIN");
    }
    let _ = write!(out, " {:?} {}", p.topic, payload(p.payload));
    out + &properties(p.properties)
}

fn payload(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= SHOWN => format!("{text:?}"),
        _ => format!("{} B", bytes.len()),
    }
}

fn ack(name: &str, a: &Ack<'_>) -> String {
    let reason = if a.reason == 0 { String::new() } else { format!(" {}", code(a.reason)) };
    format!("{name} id {}{reason}{}", a.packet_id, properties(a.properties))
}

fn reason(name: &str, r: &Reason<'_>) -> String {
    format!("{name} {}{}", code(r.reason), properties(r.properties))
}

fn properties(properties: Properties<'_>) -> String {
    let all: Vec<String> = properties.iter().map(|p| format!("{p:?}")).collect();
    if all.is_empty() { String::new() } else { format!(" {{{}}}", all.join(", ")) }
}
