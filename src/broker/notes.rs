//! What the broker tells people: a line a connection, or a line a packet. Nobody else reads it.

use super::core::{Broker, ConnId};
use crate::mqtt::packet::Packet;
use std::fmt::Write;

/// Lines that wait to be printed.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// 0: none; 1: connections; 2: packets too.
    detail: u8,
    lines: Vec<(ConnId, String)>,
}

impl Broker {
    /// How much to tell: 0 nothing, 1 each connection's beginning and end, 2 each packet too.
    pub fn tell(&mut self, detail: u8) {
        self.notes.detail = detail;
    }

    /// What there is to tell, in order.
    pub fn take_notes(&mut self) -> Vec<(ConnId, String)> {
        std::mem::take(&mut self.notes.lines)
    }

    pub(super) fn note(&mut self, conn: ConnId, detail: u8, text: impl FnOnce() -> String) {
        if detail <= self.notes.detail {
            self.notes.lines.push((conn, text()));
        }
    }
}

/// A packet in one line; `way` is `<` for one that came, `>` for one that goes.
pub(super) fn describe(way: &str, packet: &Packet<'_>) -> String {
    let mut line = format!("{way} ");
    let written = match packet {
        Packet::Publish(p) => {
            let id = p.packet_id.map_or(0, u16::from);
            let (dup, retain) = (if p.dup { " DUP" } else { "" }, if p.retain { " RETAIN" } else { "" });
            let (qos, topic, bytes) = (p.qos as u8, p.topic, p.payload.len());
            write!(line, "PUBLISH{dup} QoS {qos}{retain} id {id} {topic:?}, {bytes} bytes")
        }
        Packet::Connect(c) => {
            let (level, id, clean, alive) = (c.version.level(), c.client_id, c.clean_start, c.keep_alive);
            let user = c.user_name.map_or(String::new(), |u| format!(" user {u:?}"));
            write!(line, "CONNECT level {level} {id:?} clean {clean} keep alive {alive} s{user}")
        }
        Packet::ConnAck(c) => write!(line, "CONNACK {:#04x} session present {}", c.reason, c.session_present),
        Packet::PubAck(a) => write!(line, "PUBACK id {} {:#04x}", a.packet_id, a.reason),
        Packet::PubRec(a) => write!(line, "PUBREC id {} {:#04x}", a.packet_id, a.reason),
        Packet::PubRel(a) => write!(line, "PUBREL id {} {:#04x}", a.packet_id, a.reason),
        Packet::PubComp(a) => write!(line, "PUBCOMP id {} {:#04x}", a.packet_id, a.reason),
        Packet::Subscribe(s) => {
            let filters: Vec<String> = s.filters().map(|(f, o)| format!("{f:?} QoS {}", o.qos as u8)).collect();
            write!(line, "SUBSCRIBE id {} {}", s.packet_id, filters.join(", "))
        }
        Packet::Unsubscribe(u) => {
            let filters: Vec<String> = u.filters().map(|f| format!("{f:?}")).collect();
            write!(line, "UNSUBSCRIBE id {} {}", u.packet_id, filters.join(", "))
        }
        Packet::SubAck(c) => write!(line, "SUBACK id {} {:02x?}", c.packet_id, c.codes),
        Packet::UnsubAck(c) => write!(line, "UNSUBACK id {} {:02x?}", c.packet_id, c.codes),
        Packet::PingReq => write!(line, "PINGREQ"),
        Packet::PingResp => write!(line, "PINGRESP"),
        Packet::Disconnect(r) => write!(line, "DISCONNECT {:#04x}", r.reason),
        Packet::Auth(r) => write!(line, "AUTH {:#04x}", r.reason),
    };
    written.expect("a String takes everything");
    line
}
