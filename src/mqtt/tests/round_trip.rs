//! Every packet of every version, there and back; cut, and spoiled.

use crate::mqtt::codec::{MAX_PACKET, Sender, decode, encode, encode_subscribe, encode_unsubscribe};
use crate::mqtt::packet::{Ack, Codes, ConnAck, Connect, Packet, Publish, Reason, SubscribeOptions, Will};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::mqtt::{PacketId, QoS, Version};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a packet is made of, owned.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub kind: u8,
    pub version: Version,
    pub id: PacketId,
    pub qos: QoS,
    pub flags: [bool; 4],
    pub number: u16,
    pub pick: usize,
    pub text: String,
    pub topic: String,
    pub binary: Vec<u8>,
    pub filters: Vec<(String, SubscribeOptions)>,
}

fn qos() -> impl Strategy<Value = QoS> {
    prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => "[a-zé$ ]{0,4}", 1 => Just("+".to_owned())];
    (vec(level, 1..4), any::<bool>()).prop_map(|(levels, hash)| {
        let filter = levels.join("/");
        if hash || filter.is_empty() { format!("{filter}/#") } else { filter }
    })
}

fn options() -> impl Strategy<Value = SubscribeOptions> {
    (qos(), any::<bool>(), any::<bool>(), 0u8..3).prop_map(|(qos, no_local, retain_as_published, retain_handling)| {
        SubscribeOptions { qos, no_local, retain_as_published, retain_handling }
    })
}

pub(super) fn parts() -> impl Strategy<Value = Parts> {
    let version = prop::sample::select(vec![Version::V31, Version::V311, Version::V5]);
    let head = (1u8..16, version, 1u16.., qos(), any::<[bool; 4]>(), any::<u16>(), any::<usize>());
    // Payloads around the lengths where the header grows.
    let size = prop_oneof![0usize..40, 100usize..140, 16_370usize..16_400];
    let body = (
        "[a-z✓]{0,20}",
        "[a-z/$é]{1,20}",
        size.prop_flat_map(|n| vec(any::<u8>(), n)),
        vec((filter(), options()), 1..5),
    );
    (head, body).prop_map(|((kind, version, id, qos, flags, number, pick), (text, topic, binary, filters))| {
        let id = PacketId::new(id).expect("from 1");
        Parts { kind, version, id, qos, flags, number, pick, text, topic, binary, filters }
    })
}

impl Parts {
    /// The properties that belong to this packet, or none before 5.0.
    fn properties(&self) -> PropertiesBuf {
        let mut p = PropertiesBuf::default();
        // AUTH always names its method.
        if self.version != Version::V5 || (self.flags[3] && self.kind != 15) {
            return p;
        }
        let (text, binary) = (&*self.text, &self.binary[..self.binary.len().min(300)]);
        let (short, long) = (self.number.max(1), u32::from(self.number) * 4000 + 1);
        match self.kind {
            1 => {
                p.push(Property::SessionExpiryInterval(long)).push(Property::ReceiveMaximum(short));
                p.push(Property::MaximumPacketSize(long)).push(Property::TopicAliasMaximum(short));
                p.push(Property::RequestResponseInformation(1)).push(Property::RequestProblemInformation(0));
                p.push(Property::AuthenticationMethod(text)).push(Property::AuthenticationData(binary));
            }
            2 => {
                p.push(Property::AssignedClientIdentifier(text)).push(Property::ServerKeepAlive(short));
                p.push(Property::MaximumQoS(1)).push(Property::RetainAvailable(0));
                p.push(Property::ResponseInformation(text)).push(Property::ServerReference(text));
                p.push(Property::WildcardSubscriptionAvailable(0)).push(Property::SubscriptionIdentifierAvailable(1));
                p.push(Property::SharedSubscriptionAvailable(1)).push(Property::ReasonString(text));
            }
            3 => {
                p.push(Property::PayloadFormatIndicator(1)).push(Property::MessageExpiryInterval(long));
                p.push(Property::TopicAlias(short)).push(Property::ResponseTopic(&self.topic));
                p.push(Property::CorrelationData(binary)).push(Property::ContentType(text));
            }
            8 => {
                p.push(Property::SubscriptionIdentifier(long));
            }
            10 => {}
            15 => {
                p.push(Property::AuthenticationMethod(text)).push(Property::AuthenticationData(binary));
            }
            _ => {
                p.push(Property::ReasonString(text));
            }
        }
        p.push(Property::UserProperty(text, &self.topic)).push(Property::UserProperty(text, text));
        p
    }

    fn will_properties(&self) -> PropertiesBuf {
        let mut p = PropertiesBuf::default();
        if self.version == Version::V5 {
            p.push(Property::WillDelayInterval(self.number.into())).push(Property::ContentType(&self.text));
        }
        p
    }

    /// A legal code of this packet.
    fn code(&self) -> u8 {
        let codes: &[u8] = match (self.kind, self.version) {
            (2, Version::V5) => &[0, 0x80, 0x8A, 0x8C, 0x9F],
            (2, _) => &[0, 1, 5],
            (_, Version::V31 | Version::V311) => &[0],
            (4 | 5, _) => &[0, 0x10, 0x97],
            (6 | 7, _) => &[0, 0x92],
            (14, _) => &[0, 4, 0x8E, 0xA2],
            (15, _) => &[0, 0x18, 0x19],
            _ => &[0],
        };
        codes[self.pick % codes.len()]
    }

    fn codes(&self) -> &'static [u8] {
        match (self.kind, self.version) {
            (9, Version::V5) => &[0, 1, 2, 0x80, 0xA2],
            (9, _) => &[2, 0x80, 0],
            (_, Version::V5) => &[0, 0x11, 0x8F],
            _ => &[],
        }
    }

    fn sender(&self) -> Sender {
        let either = if self.flags[0] { Sender::Client } else { Sender::Server };
        match self.kind {
            1 | 8 | 10 | 12 => Sender::Client,
            2 | 9 | 11 | 13 => Sender::Server,
            14 if self.version != Version::V5 => Sender::Client,
            _ => either,
        }
    }

    /// Encodes the packet, and gives it and its bytes to `check`.
    pub fn with(&self, check: impl FnOnce(Option<Packet<'_>>, &[u8])) {
        let (properties, will_properties) = (self.properties(), self.will_properties());
        let properties = properties.as_properties();
        let [a, b, c, _] = self.flags;
        let ack = Ack { packet_id: self.id, reason: self.code(), properties };
        let codes = Codes { packet_id: self.id, properties, codes: self.codes() };
        let reason = Reason { reason: self.code(), properties };
        let mut out = vec![0xAA]; // what is in the buffer stays
        let packet = match self.kind {
            1 => Packet::Connect(Connect {
                version: self.version,
                clean_start: a,
                keep_alive: self.number,
                client_id: &self.text,
                will: b.then_some(Will {
                    topic: &self.topic,
                    payload: &self.binary,
                    qos: self.qos,
                    retain: c,
                    properties: will_properties.as_properties(),
                }),
                user_name: c.then_some(&self.text),
                password: (c && a).then_some(&self.binary),
                properties,
            }),
            2 => Packet::ConnAck(ConnAck { session_present: a && self.code() == 0, reason: self.code(), properties }),
            3 => Packet::Publish(Publish {
                dup: a && self.qos != QoS::AtMostOnce,
                qos: self.qos,
                retain: b,
                topic: &self.topic,
                packet_id: (self.qos != QoS::AtMostOnce).then_some(self.id),
                properties,
                payload: &self.binary,
            }),
            4 => Packet::PubAck(ack),
            5 => Packet::PubRec(ack),
            6 => Packet::PubRel(ack),
            7 => Packet::PubComp(ack),
            8 => {
                let v5 = self.version == Version::V5;
                let plain = |o: &SubscribeOptions| SubscribeOptions { qos: o.qos, ..SubscribeOptions::default() };
                let filters: Vec<_> =
                    self.filters.iter().map(|(f, o)| (f.as_str(), if v5 { *o } else { plain(o) })).collect();
                encode_subscribe(self.version, self.id, properties, &filters, &mut out);
                let (packet, _) =
                    decode(&out[1..], self.version, Sender::Client, MAX_PACKET).expect("legal").expect("whole");
                let Packet::Subscribe(s) = packet else { panic!("SUBSCRIBE, not {packet:?}") };
                assert_eq!((s.packet_id, s.properties), (self.id, properties));
                assert_eq!(s.filters().collect::<Vec<_>>(), filters);
                return check(None, &out[1..]);
            }
            9 => Packet::SubAck(codes),
            10 => {
                let filters: Vec<_> = self.filters.iter().map(|(f, _)| f.as_str()).collect();
                encode_unsubscribe(self.version, self.id, &filters, &mut out);
                let (packet, _) =
                    decode(&out[1..], self.version, Sender::Client, MAX_PACKET).expect("legal").expect("whole");
                let Packet::Unsubscribe(s) = packet else { panic!("UNSUBSCRIBE, not {packet:?}") };
                assert_eq!(s.packet_id, self.id);
                assert_eq!(s.filters().collect::<Vec<_>>(), filters);
                return check(None, &out[1..]);
            }
            11 => Packet::UnsubAck(codes),
            12 => Packet::PingReq,
            13 => Packet::PingResp,
            14 => Packet::Disconnect(reason),
            _ if self.version == Version::V5 => Packet::Auth(reason),
            _ => Packet::PingReq,
        };
        encode(&packet, self.version, &mut out);
        assert_eq!(out[0], 0xAA);
        check(Some(packet), &out[1..]);
    }

    fn sent_by(&self, packet: &Option<Packet<'_>>) -> Sender {
        if matches!(packet, Some(Packet::PingReq)) { Sender::Client } else { self.sender() }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(parts in parts()) {
        parts.with(|packet, bytes| {
            let sender = parts.sent_by(&packet);
            let (decoded, used) = decode(bytes, parts.version, sender, MAX_PACKET).expect("legal").expect("whole");
            assert_eq!(used, bytes.len());
            if let Some(packet) = packet {
                assert_eq!(decoded, packet);
            }
            let mut again = Vec::new();
            encode(&decoded, parts.version, &mut again);
            assert_eq!(again, bytes, "one packet has one encoding");
        });
    }

    #[test]
    fn byte_at_a_time_is_as_all_at_once(parts in parts()) {
        parts.with(|packet, bytes| {
            let sender = parts.sent_by(&packet);
            // The interesting places are at the front; long payloads are cut in few places.
            for cut in (0..bytes.len()).filter(|c| *c < 400 || c % 997 == 0) {
                assert_eq!(decode(&bytes[..cut], parts.version, sender, MAX_PACKET), Ok(None), "cut at {cut}");
            }
            let mut more = bytes.to_vec();
            more.extend_from_slice(&[0xC0, 0x00]);
            let whole = decode(bytes, parts.version, sender, MAX_PACKET);
            assert_eq!(decode(&more, parts.version, sender, MAX_PACKET), whole, "what follows changes nothing");
        });
    }

    /// Whatever is done to a packet: no panic; and if it is an error early, it is the same error when all has come.
    #[test]
    fn spoiled_bytes_never_panic(parts in parts(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        parts.with(|_, bytes| {
            let mut spoiled = bytes.to_vec();
            for (at, value) in changes {
                let at = at.index(spoiled.len().min(200));
                spoiled[at] = value;
            }
            for version in [Version::V31, Version::V311, Version::V5] {
                for sender in [Sender::Client, Sender::Server] {
                    let whole = decode(&spoiled, version, sender, 20_000);
                    let early = (1..spoiled.len().min(50)).find_map(|n| decode(&spoiled[..n], version, sender, 20_000).transpose());
                    if let Some(early) = early {
                        assert_eq!(Some(early), whole.transpose());
                    }
                }
            }
        });
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..64)) {
        for version in [Version::V31, Version::V311, Version::V5] {
            for sender in [Sender::Client, Sender::Server] {
                if let Ok(Some((packet, used))) = decode(&bytes, version, sender, MAX_PACKET) {
                    assert!(used <= bytes.len());
                    let mut again = Vec::new();
                    encode(&packet, version, &mut again);
                }
            }
        }
    }
}
