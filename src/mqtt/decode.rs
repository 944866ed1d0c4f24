//! Strict decoding: every malformed packet is an error with a name.

use super::codec::Sender;
use super::error::DecodeError;
use super::packet::{
    Ack, Codes, ConnAck, Connect, Packet, Publish, Reason, Subscribe, SubscribeOptions, Unsubscribe, Will,
};
use super::properties::{Place, Properties, Property};
use super::topic;
use super::wire::Reader;
use super::{QoS, Version};

type Result<T> = std::result::Result<T, DecodeError>;

/// Decodes the packet at the front of `bytes`: the packet and how many bytes it takes; none if it has not come whole.
///
/// `version` is the connection's; a CONNECT tells its own. `max_packet` is the largest packet accepted, checked as soon
/// as the fixed header is there. Decoding byte by byte as they come gives the same as all at once.
///
/// # Errors
/// If the bytes cannot be the beginning of a legal packet from that sender; the connection must be closed then.
pub fn decode(bytes: &[u8], version: Version, sender: Sender, max_packet: u32) -> Result<Option<(Packet<'_>, usize)>> {
    let Some((&first, _)) = bytes.split_first() else { return Ok(None) };
    check_header(first, version, sender)?;
    let Some((remaining, header)) = remaining_length(bytes)? else { return Ok(None) };
    let total = header + remaining;
    if total > max_packet as usize {
        return Err(DecodeError::TooLarge);
    }
    let Some(content) = bytes.get(header..total) else { return Ok(None) };
    let r = &mut Reader(content);
    // 3.1.1 does not ask for the shortest length, 5.0 does [MQTT-1.5.5-1]; CONNECT tells which it is.
    let minimal = header == 2 || bytes[header - 1] != 0;
    if !minimal && version == Version::V5 && first >> 4 != 1 {
        return Err(DecodeError::NotMinimal);
    }
    // Each arm makes the whole result: a packet that is moved about costs more than it takes to read it.
    match first >> 4 {
        1 => {
            let connect = connect(r)?;
            if !minimal && connect.version == Version::V5 {
                return Err(DecodeError::NotMinimal);
            }
            whole(Packet::Connect(connect), r, total)
        }
        2 => whole(Packet::ConnAck(connack(r, version)?), r, total),
        3 => whole(Packet::Publish(publish(first, r, version, sender)?), r, total),
        4 => whole(Packet::PubAck(ack(r, version, 4)?), r, total),
        5 => whole(Packet::PubRec(ack(r, version, 5)?), r, total),
        6 => whole(Packet::PubRel(ack(r, version, 6)?), r, total),
        7 => whole(Packet::PubComp(ack(r, version, 7)?), r, total),
        8 => whole(Packet::Subscribe(subscribe(r, version)?), r, total),
        9 => whole(Packet::SubAck(suback(r, version)?), r, total),
        10 => whole(Packet::Unsubscribe(unsubscribe(r, version)?), r, total),
        11 => whole(Packet::UnsubAck(unsuback(r, version)?), r, total),
        12 => whole(Packet::PingReq, r, total),
        13 => whole(Packet::PingResp, r, total),
        14 => whole(Packet::Disconnect(reason(r, version, Place::Disconnect, sender)?), r, total),
        _ => whole(Packet::Auth(reason(r, version, Place::Auth, sender)?), r, total),
    }
}

/// The packet, if its content ends where it should.
#[inline(always)]
fn whole<'a>(packet: Packet<'a>, r: &Reader<'a>, total: usize) -> Result<Option<(Packet<'a>, usize)>> {
    if r.is_empty() { Ok(Some((packet, total))) } else { Err(DecodeError::Length) }
}

fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut value = 0usize;
    for i in 0..4 {
        let Some(&byte) = bytes.get(1 + i) else { return Ok(None) };
        value |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, 2 + i)));
        }
    }
    Err(DecodeError::RemainingLength)
}

/// [MQTT-2.1.3-1] (3.1.1: [MQTT-2.2.2-1]) reserved flags; packets that one side never sends.
fn check_header(first: u8, version: Version, sender: Sender) -> Result<()> {
    let (kind, flags) = (first >> 4, first & 15);
    let from_client = sender == Sender::Client;
    let side_is_right = match kind {
        1 | 8 | 10 | 12 => from_client,
        2 | 9 | 11 | 13 => !from_client,
        3..=7 => true,
        14 => from_client || version == Version::V5,
        15 if version == Version::V5 => true,
        _ => return Err(DecodeError::UnknownType),
    };
    if !side_is_right {
        return Err(DecodeError::WrongSide);
    }
    let expected = match kind {
        3 => return check_publish_flags(flags),
        // 3.1 has DUP and QoS bits on these.
        6 | 8 | 10 if version == Version::V31 => flags & 0b1000 | 2,
        6 | 8 | 10 => 2,
        _ => 0,
    };
    if flags == expected { Ok(()) } else { Err(DecodeError::ReservedFlags) }
}

fn check_publish_flags(flags: u8) -> Result<()> {
    match (flags >> 1) & 3 {
        3 => Err(DecodeError::Qos3),                        // [MQTT-3.3.1-4]
        0 if flags & 8 != 0 => Err(DecodeError::DupAtQos0), // [MQTT-3.3.1-2]
        _ => Ok(()),
    }
}

fn properties<'a>(r: &mut Reader<'a>, version: Version, place: Place) -> Result<Properties<'a>> {
    if version == Version::V5 { Properties::read(r, place) } else { Ok(Properties::EMPTY) }
}

fn has(properties: Properties<'_>, is: impl Fn(&Property<'_>) -> bool) -> bool {
    properties.iter().any(|p| is(&p))
}

fn connect<'a>(r: &mut Reader<'a>) -> Result<Connect<'a>> {
    let name = r.binary()?;
    let level = r.u8()?;
    let version = match (name, level) {
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT" | b"MQIsdp", _) => return Err(DecodeError::ProtocolLevel), // [MQTT-3.1.2-2]
        _ => return Err(DecodeError::ProtocolName),                         // [MQTT-3.1.2-1]
    };
    let flags = r.u8()?;
    if flags & 1 != 0 && version != Version::V31 {
        return Err(DecodeError::ConnectFlags); // [MQTT-3.1.2-3]
    }
    let keep_alive = r.u16()?;
    let properties_ = properties(r, version, Place::Connect)?;
    let client_id = r.text()?;
    let will = will(flags, r, version)?;
    let user_name = if flags & 0x80 != 0 { Some(r.text()?) } else { None };
    if flags & 0xC0 == 0x40 && version != Version::V5 {
        return Err(DecodeError::PasswordAlone); // 3.1.1: [MQTT-3.1.2-22]
    }
    let password = if flags & 0x40 != 0 { Some(r.binary()?) } else { None };
    let clean_start = flags & 2 != 0;
    Ok(Connect { version, clean_start, keep_alive, client_id, will, user_name, password, properties: properties_ })
}

/// [MQTT-3.1.2-11] to [MQTT-3.1.2-13] (3.1.1: -13 to -15): no will, no will QoS, no will retain; never will QoS 3. Of 3.1's,
/// without a will, its text says that their values are disregarded.
fn will<'a>(flags: u8, r: &mut Reader<'a>, version: Version) -> Result<Option<Will<'a>>> {
    if flags & 4 == 0 {
        return match flags {
            _ if version == Version::V31 => Ok(None),
            _ if flags & 0x18 != 0 => Err(DecodeError::WillQosAlone),
            _ if flags & 0x20 != 0 => Err(DecodeError::WillRetainAlone),
            _ => Ok(None),
        };
    }
    let qos = QoS::from_u8((flags >> 3) & 3).ok_or(DecodeError::WillQos3)?;
    let properties = properties(r, version, Place::Will)?;
    let topic = r.text()?;
    check_name(topic)?;
    Ok(Some(Will { topic, payload: r.binary()?, qos, retain: flags & 0x20 != 0, properties }))
}

fn connack<'a>(r: &mut Reader<'a>, version: Version) -> Result<ConnAck<'a>> {
    let flags = r.u8()?;
    if flags & 0xFE != 0 {
        return Err(DecodeError::AckFlags); // [MQTT-3.2.2-1]
    }
    let reason = r.u8()?;
    let known = match version {
        Version::V5 => matches!(reason, 0 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F),
        _ => reason <= 5,
    };
    if !known {
        return Err(DecodeError::ReasonCode(2));
    }
    let session_present = flags & 1 != 0;
    if session_present && reason != 0 {
        return Err(DecodeError::SessionPresent); // [MQTT-3.2.2-6], 3.1.1: [MQTT-3.2.2-4]
    }
    Ok(ConnAck { session_present, reason, properties: properties(r, version, Place::ConnAck)? })
}

#[inline]
fn publish<'a>(first: u8, r: &mut Reader<'a>, version: Version, sender: Sender) -> Result<Publish<'a>> {
    let qos = QoS::from_u8((first >> 1) & 3).ok_or(DecodeError::Qos3)?;
    let topic = r.text()?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(r.packet_id()?) };
    let properties = properties(r, version, Place::Publish)?;
    let aliased = topic.is_empty() && has(properties, |p| matches!(p, Property::TopicAlias(_)));
    if !aliased {
        check_name(topic)?;
    }
    if sender == Sender::Client && has(properties, |p| matches!(p, Property::SubscriptionIdentifier(_))) {
        return Err(DecodeError::SubscriptionIdFromClient);
    }
    let (dup, retain) = (first & 8 != 0, first & 1 != 0);
    Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload: r.rest() })
}

/// [MQTT-3.3.2-2] [MQTT-4.7.3-1].
fn check_name(topic: &str) -> Result<()> {
    match topic {
        "" => Err(DecodeError::TopicEmpty),
        _ if topic::is_name(topic) => Ok(()),
        _ => Err(DecodeError::TopicName),
    }
}

/// Before 5.0 there is only the identifier; in 5.0 reason and properties may be left out from the end.
fn ack<'a>(r: &mut Reader<'a>, version: Version, kind: u8) -> Result<Ack<'a>> {
    let packet_id = r.packet_id()?;
    if version != Version::V5 || r.is_empty() {
        return Ok(Ack::plain(packet_id));
    }
    let reason = r.u8()?;
    let known = match kind {
        4 | 5 => matches!(reason, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99),
        _ => matches!(reason, 0x00 | 0x92),
    };
    if !known {
        return Err(DecodeError::ReasonCode(kind));
    }
    let properties = if r.is_empty() { Properties::EMPTY } else { Properties::read(r, Place::Ack)? };
    Ok(Ack { packet_id, reason, properties })
}

fn subscribe<'a>(r: &mut Reader<'a>, version: Version) -> Result<Subscribe<'a>> {
    let packet_id = r.packet_id()?;
    let properties = properties(r, version, Place::Subscribe)?;
    let filters = r.0;
    if filters.is_empty() {
        return Err(DecodeError::NoFilters); // [MQTT-3.8.3-2], 3.1.1: [MQTT-3.8.3-3]
    }
    while !r.is_empty() {
        let filter = r.text()?;
        let byte = r.u8()?;
        if version != Version::V5 && byte & 0xFC != 0 {
            return Err(DecodeError::SubscribeOptions); // 3.1.1: [MQTT-3-8.3-4]
        }
        let options = SubscribeOptions::from_byte(byte).ok_or(DecodeError::SubscribeOptions)?;
        check_filter(filter, version)?;
        if options.no_local && filter.starts_with("$share/") {
            return Err(DecodeError::NoLocalShared); // [MQTT-3.8.3-4]
        }
    }
    Ok(Subscribe { packet_id, properties, filters })
}

fn check_filter(filter: &str, version: Version) -> Result<()> {
    if !topic::is_filter(filter) {
        return Err(DecodeError::TopicFilter);
    }
    match topic::split_share(filter) {
        Err(_) if version == Version::V5 => Err(DecodeError::SharedFilter),
        _ => Ok(()),
    }
}

fn unsubscribe<'a>(r: &mut Reader<'a>, version: Version) -> Result<Unsubscribe<'a>> {
    let packet_id = r.packet_id()?;
    let properties = properties(r, version, Place::Unsubscribe)?;
    let filters = r.0;
    if filters.is_empty() {
        return Err(DecodeError::NothingToUnsubscribe); // [MQTT-3.10.3-2]
    }
    while !r.is_empty() {
        check_filter(r.text()?, version)?;
    }
    Ok(Unsubscribe { packet_id, properties, filters })
}

fn suback<'a>(r: &mut Reader<'a>, version: Version) -> Result<Codes<'a>> {
    let packet_id = r.packet_id()?;
    let properties = properties(r, version, Place::SubAck)?;
    let codes = r.rest();
    let legal = |code: &u8| match version {
        Version::V5 => matches!(code, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2),
        _ => matches!(code, 0..=2 | 0x80), // 3.1.1: [MQTT-3.9.3-2]
    };
    if codes.is_empty() || !codes.iter().all(legal) {
        return Err(DecodeError::ReasonCode(9));
    }
    Ok(Codes { packet_id, properties, codes })
}

fn unsuback<'a>(r: &mut Reader<'a>, version: Version) -> Result<Codes<'a>> {
    let packet_id = r.packet_id()?;
    if version != Version::V5 {
        return Ok(Codes { packet_id, properties: Properties::EMPTY, codes: &[] });
    }
    let properties = Properties::read(r, Place::UnsubAck)?;
    let codes = r.rest();
    if codes.is_empty() || !codes.iter().all(|c| matches!(c, 0 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91)) {
        return Err(DecodeError::ReasonCode(11));
    }
    Ok(Codes { packet_id, properties, codes })
}

fn reason<'a>(r: &mut Reader<'a>, version: Version, place: Place, sender: Sender) -> Result<Reason<'a>> {
    if version != Version::V5 || r.is_empty() {
        return Ok(Reason::default());
    }
    let reason = r.u8()?;
    let known = match place {
        Place::Auth => matches!(reason, 0 | 0x18 | 0x19),
        _ => matches!(reason, 0 | 4 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B | 0x8D..=0x90 | 0x93..=0xA2),
    };
    if !known {
        // [MQTT-3.14.2-1] [MQTT-3.15.2-1]
        return Err(DecodeError::ReasonCode(if place == Place::Auth { 15 } else { 14 }));
    }
    let properties = if r.is_empty() { Properties::EMPTY } else { Properties::read(r, place)? };
    let of_a_server = place == Place::Disconnect && sender == Sender::Server;
    if of_a_server && has(properties, |p| matches!(p, Property::SessionExpiryInterval(_))) {
        return Err(DecodeError::ExpiryFromServer);
    }
    // A plain success may go without anything (section 3.15.2.1); all else names its method (3.15.2.2.2).
    let plain = reason == 0 && properties.is_empty();
    if place == Place::Auth && !plain && !has(properties, |p| matches!(p, Property::AuthenticationMethod(_))) {
        return Err(DecodeError::AuthMethod);
    }
    Ok(Reason { reason, properties })
}
