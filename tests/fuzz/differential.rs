//! Codecs that others wrote, beside ours: what one takes and the other does not, and what both take, which both must read alike. Every class
//! of difference is decided by the standard, and listed here and in docs/fuzzing.md; a class that is not listed fails the test.
//!
//! `SQUALL_FUZZ_SHOW=1` prints each class with its count and an example.

use crate::draw::Draw;
use crate::{inputs, stream};
use bytes::BytesMut;
use mqtt_protocol_core::mqtt::{common::Cursor, connection, packet};
use squall::mqtt::Version;
use squall::mqtt::codec::{Sender, decode};
use squall::mqtt::error::DecodeError as E;
use squall::mqtt::packet::Packet;
use squall::mqtt::properties::{Properties, Property};
use std::collections::BTreeMap;
use std::mem::take;
use std::panic::catch_unwind;

/// The largest packet that either codec is to take.
const MOST: u32 = 1 << 20;

/// What another codec makes of the first packet.
enum Read {
    /// The packet, as it encodes it again.
    Taken(Vec<u8>),
    NotWhole,
    Refused(String),
}

/// Whether a packet, and the bytes it came in, are of a class.
type Holds = fn(&Packet<'_>, &[u8]) -> bool;

/// Another codec, and where it and the standard part ways.
struct Other {
    name: &'static str,
    read: fn(Version, &[u8]) -> Read,
    /// What it takes against the standard: our error, for which packet types.
    lenient: &'static [(E, &'static [u8])],
    /// What it refuses that the standard allows.
    strict: &'static [(&'static str, Holds)],
    /// What it loses when it encodes it again.
    loses: &'static [(&'static str, Holds)],
}

const RUMQTTC: Other = Other {
    name: "rumqttc",
    read: rumqttc_reads,
    lenient: &[
        (E::AckFlags, &[2]),
        (E::ConnectFlags, &[1]),
        (E::DupAtQos0, &[3]),
        (E::Length, ANY),
        (E::NoLocalShared, &[8]),
        (E::NotMinimal, ANY),
        (E::NothingToUnsubscribe, &[10]),
        (E::Nul, WITH_TEXT),
        (E::PacketIdZero, &[4, 5, 6, 7, 8, 9, 10, 11]),
        (E::PasswordAlone, &[1]),
        (E::PropertyTwice, &[1, 2, 3]),
        (E::PropertyUnknown, &[3, 8]),
        (E::PropertyValue, &[1, 2, 3, 8]),
        (E::ReservedFlags, ANY),
        (E::SessionPresent, &[2]),
        (E::SharedFilter, &[8, 10]),
        (E::SubscribeOptions, &[8]),
        (E::SubscriptionIdFromClient, &[3]),
        (E::TopicAlias, &[3]),
        (E::TopicEmpty, &[1, 3]),
        (E::TopicFilter, &[8, 10]),
        (E::TopicName, &[1, 3]),
        (E::Utf8, &[1, 3]),
        (E::WrongSide, ANY),
    ],
    strict: &[
        (
            "a password that is no UTF-8",
            |p, _| matches!(p, Packet::Connect(c) if c.password.is_some_and(|p| std::str::from_utf8(p).is_err())),
        ),
        ("DISCONNECT of 5.0 without properties", |p, bytes| matches!(p, Packet::Disconnect(_)) && bytes[1] < 2),
        ("AUTH", |p, _| matches!(p, Packet::Auth(_))),
    ],
    loses: &[("an empty user name", |p, _| matches!(p, Packet::Connect(c) if c.user_name == Some("")))],
};

const PROTOCOL_CORE: Other = Other {
    name: "mqtt-protocol-core",
    read: protocol_core_reads,
    lenient: &[
        (E::AckFlags, &[2]),
        (E::AuthMethod, &[15]),
        (E::ConnectFlags, &[1]),
        (E::DupAtQos0, &[3]),
        (E::Length, &[3, 4, 5, 6, 7]),
        (E::NoLocalShared, &[8]),
        (E::NotMinimal, ANY),
        (E::Nul, WITH_TEXT),
        (E::PacketIdZero, &[3, 8, 9, 10, 11]),
        (E::PropertyValue, &[1, 3]),
        (E::ReservedFlags, ANY),
        (E::SessionPresent, &[2]),
        (E::SharedFilter, &[10]),
        (E::SubscribeOptions, &[8]),
        (E::SubscriptionIdFromClient, &[3]),
        (E::ExpiryFromServer, &[14]),
        (E::TopicEmpty, &[1, 3]),
        (E::TopicFilter, &[8, 10]),
        (E::TopicName, &[1, 3]),
        (E::WillQos3, &[1]),
        (E::WillQosAlone, &[1]),
        (E::WillRetainAlone, &[1]),
        (E::WrongSide, ANY),
    ],
    strict: &[(
        "a password of 5.0 without a user name",
        |p, _| matches!(p, Packet::Connect(c) if c.version == Version::V5 && c.password.is_some() && c.user_name.is_none()),
    )],
    loses: &[],
};

const ANY: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const WITH_TEXT: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15];

fn rumqttc_reads(version: Version, bytes: &[u8]) -> Read {
    let mut stream = BytesMut::from(bytes);
    let mut again = BytesMut::new();
    let result = if version == Version::V5 {
        use rumqttc::v5::mqttbytes::{Error, v5::Packet};
        match Packet::read(&mut stream, Some(MOST)) {
            Err(Error::InsufficientBytes(_)) => return Read::NotWhole,
            result => result.and_then(|p| p.write(&mut again, None)).map_err(|e| format!("{e:?}")),
        }
    } else {
        use rumqttc::mqttbytes::{Error, v4::Packet};
        match Packet::read(&mut stream, MOST as usize) {
            Err(Error::InsufficientBytes(_)) => return Read::NotWhole,
            result => result.and_then(|p| p.write(&mut again, MOST as usize)).map_err(|e| format!("{e:?}")),
        }
    };
    match result {
        Ok(_) => Read::Taken(again.to_vec()),
        Err(why) => Read::Refused(why),
    }
}

fn protocol_core_reads(version: Version, bytes: &[u8]) -> Read {
    use connection::PacketBuildResult::{Complete, Error, Incomplete};
    let raw = match connection::PacketBuilder::with_maximum_packet_size(MOST).feed(&mut Cursor::new(bytes)) {
        Complete(raw) => raw,
        Incomplete => return Read::NotWhole,
        Error(why) => return Read::Refused(format!("{why:?}")),
    };
    macro_rules! read {
        ($($kind:literal => $type:path),* $(,)?) => {
            match raw.packet_type() {
                $($kind => raw.parse_exact(<$type>::parse).map(|p| p.to_continuous_buffer()),)*
                _ => return Read::Refused("packet type".into()),
            }
        };
    }
    let result = match (version, &raw.data) {
        (Version::V5, connection::PacketData::Publish(data)) => {
            packet::v5_0::Publish::parse(raw.flags(), data.clone()).map(|(p, _)| p.to_continuous_buffer())
        }
        (_, connection::PacketData::Publish(data)) => {
            packet::v3_1_1::Publish::parse(raw.flags(), data.clone()).map(|(p, _)| p.to_continuous_buffer())
        }
        (Version::V5, _) => read!(
            1 => packet::v5_0::Connect, 2 => packet::v5_0::Connack, 4 => packet::v5_0::Puback, 5 => packet::v5_0::Pubrec,
            6 => packet::v5_0::Pubrel, 7 => packet::v5_0::Pubcomp, 8 => packet::v5_0::Subscribe, 9 => packet::v5_0::Suback,
            10 => packet::v5_0::Unsubscribe, 11 => packet::v5_0::Unsuback, 12 => packet::v5_0::Pingreq,
            13 => packet::v5_0::Pingresp, 14 => packet::v5_0::Disconnect, 15 => packet::v5_0::Auth,
        ),
        _ => read!(
            1 => packet::v3_1_1::Connect, 2 => packet::v3_1_1::Connack, 4 => packet::v3_1_1::Puback,
            5 => packet::v3_1_1::Pubrec, 6 => packet::v3_1_1::Pubrel, 7 => packet::v3_1_1::Pubcomp,
            8 => packet::v3_1_1::Subscribe, 9 => packet::v3_1_1::Suback, 10 => packet::v3_1_1::Unsubscribe,
            11 => packet::v3_1_1::Unsuback, 12 => packet::v3_1_1::Pingreq, 13 => packet::v3_1_1::Pingresp,
            14 => packet::v3_1_1::Disconnect,
        ),
    };
    match result {
        Ok(again) => Read::Taken(again),
        Err(why) => Read::Refused(format!("{why:?}")),
    }
}

/// A packet, and apart from it its properties and its will's, whose order says nothing, but among those of the same identifier.
fn sorted(mut packet: Packet<'_>) -> (Packet<'_>, Vec<Property<'_>>, Vec<Property<'_>>) {
    let mut will = Properties::EMPTY;
    let properties = match &mut packet {
        Packet::Connect(c) => {
            if let Some(w) = &mut c.will {
                will = take(&mut w.properties);
            }
            take(&mut c.properties)
        }
        Packet::ConnAck(p) => take(&mut p.properties),
        Packet::Publish(p) => take(&mut p.properties),
        Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => take(&mut p.properties),
        Packet::Subscribe(p) => take(&mut p.properties),
        Packet::Unsubscribe(p) => take(&mut p.properties),
        Packet::SubAck(p) | Packet::UnsubAck(p) => take(&mut p.properties),
        Packet::Disconnect(p) | Packet::Auth(p) => take(&mut p.properties),
        Packet::PingReq | Packet::PingResp => Properties::EMPTY,
    };
    let (mut properties, mut will): (Vec<_>, Vec<_>) = (properties.iter().collect(), will.iter().collect());
    properties.sort_by_key(Property::id);
    will.sort_by_key(Property::id);
    (packet, properties, will)
}

/// The version that a CONNECT says: behind the fixed header and the protocol name, which has six bytes.
fn level(bytes: &[u8]) -> Option<Version> {
    let last_of_length = bytes[1..].iter().position(|b| b & 0x80 == 0)?;
    bytes.get(last_of_length + 2 + 6).copied().and_then(Version::from_level)
}

/// The class of the difference over one input, and whether it is a listed one; none if both codecs agree.
fn difference(other: &Other, version: Version, sender: Sender, bytes: &[u8]) -> Option<(String, bool)> {
    let kind = bytes[0] >> 4;
    let class = |list: &[(&'static str, Holds)], packet: &Packet<'_>| {
        list.iter().find(|(_, holds)| holds(packet, bytes)).map(|(what, _)| *what)
    };
    let theirs = catch_unwind(|| (other.read)(version, bytes)).unwrap_or_else(|_| Read::Refused("panic".into()));
    match (decode(bytes, version, sender, MOST), theirs) {
        // Their codecs are one for each version.
        (Ok(Some((Packet::Connect(c), _))), _) if c.version != version => None,
        (Err(_), Read::Taken(_)) if kind == 1 && level(bytes).is_some_and(|v| v != version) => None,
        (Ok(Some((packet, _))), Read::Taken(again)) => match decode(&again, version, sender, MOST) {
            Ok(Some((same, _))) if sorted(same) == sorted(packet) => None,
            _ => {
                let known = class(other.loses, &packet);
                Some((format!("{version:?} type {kind:2}: reads otherwise: {}", known.unwrap_or("?")), known.is_some()))
            }
        },
        (Ok(Some((packet, _))), Read::Refused(why)) => {
            let known = class(other.strict, &packet);
            let seen = known.unwrap_or(&why);
            Some((format!("{version:?} type {kind:2}: refuses {seen}"), known.is_some()))
        }
        (Err(why), Read::Taken(_)) => {
            let known = other.lenient.iter().any(|(error, kinds)| *error == why && kinds.contains(&kind));
            Some((format!("{version:?} type {kind:2}: takes {why:?}"), known))
        }
        (Ok(Some((packet, _))), Read::NotWhole) => {
            let known = class(other.strict, &packet);
            Some((format!("{version:?} type {kind:2}: waits for more, {}", known.unwrap_or("?")), known.is_some()))
        }
        (Ok(None), Read::Taken(_)) => Some((format!("{version:?} type {kind:2}: takes a part"), false)),
        // Neither takes it; one may have waited for more.
        (Err(_) | Ok(None), Read::Refused(_) | Read::NotWhole) => None,
    }
}

fn compare(other: &Other) {
    let mut d = Draw(stream(other.name));
    let mut classes: BTreeMap<String, (u64, bool, Vec<u8>)> = BTreeMap::new();
    for _ in 0..inputs(20_000) {
        let version = d.one(&[Version::V311, Version::V5]);
        let sender = d.one(&[Sender::Client, Sender::Server]);
        let bytes = d.input(version, sender);
        if bytes.is_empty() {
            continue;
        }
        if let Some((class, known)) = difference(other, version, sender, &bytes) {
            classes.entry(class).or_insert((0, known, bytes)).0 += 1;
        }
    }
    if std::env::var("SQUALL_FUZZ_SHOW").is_ok() {
        for (class, (count, known, example)) in &classes {
            eprintln!("{} {class}: {count}{}, say {example:02x?}", other.name, if *known { "" } else { " NOT LISTED" });
        }
    }
    let unknown: Vec<_> = classes.iter().filter(|(_, (_, known, _))| !known).collect();
    assert!(unknown.is_empty(), "{}: {} differences that are not listed: {unknown:02x?}", other.name, unknown.len());
}

#[test]
fn differences_from_rumqttc_are_those_that_the_standard_decides() {
    compare(&RUMQTTC);
}

#[test]
fn differences_from_mqtt_protocol_core_are_those_that_the_standard_decides() {
    compare(&PROTOCOL_CORE);
}
