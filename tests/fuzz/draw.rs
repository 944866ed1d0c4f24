//! The grammar: legal packets of every type with any of their properties, and what goes wrong with bytes.

use squall::mqtt::codec::{self, Sender, encode};
use squall::mqtt::packet::{Ack, Codes, ConnAck, Connect, Packet, Publish, Reason, SubscribeOptions, Will};
use squall::mqtt::properties::{Place, PropertiesBuf, Property};
use squall::mqtt::{PacketId, QoS, Version};
use squall::seed::Stream;

/// Draws packets and bytes.
pub struct Draw(pub Stream);

const TOPICS: &[&str] = &["a", "a/b", "a/b/c", "$x/y", "$SYS/x", "/", "é/✓", "long/topic/of/many/levels/that/goes/on"];
const FILTERS: &[&str] = &["a", "#", "a/+", "+/b", "$share/g/a/#", "$x/#", "+", "a/b/#", "$share/h/+", "$SYS/#"];

/// Long enough for a remaining length of one, two and three bytes.
static PAYLOAD: [u8; 20_000] = [b'x'; 20_000];

const MESSAGE: &[Property<'_>] = &[
    Property::PayloadFormatIndicator(1),
    Property::MessageExpiryInterval(3),
    Property::ContentType("t"),
    Property::ResponseTopic("r"),
    Property::CorrelationData(b"c"),
    Property::UserProperty("k", "v"),
    Property::UserProperty("k", ""),
];

/// What may stand there, beside an authentication method and its data.
fn legal(place: Place, sender: Sender) -> Vec<Property<'static>> {
    let mut all = match place {
        Place::Publish | Place::Will => MESSAGE.to_vec(),
        _ => vec![Property::UserProperty("k", "v")],
    };
    all.extend_from_slice(match (place, sender) {
        (Place::Will, _) => &[Property::WillDelayInterval(1)],
        (Place::Publish, Sender::Client) => &[Property::TopicAlias(1)],
        (Place::Publish, Sender::Server) => {
            &[Property::TopicAlias(2), Property::SubscriptionIdentifier(7), Property::SubscriptionIdentifier(300)]
        }
        (Place::Connect, _) => &[
            Property::SessionExpiryInterval(5),
            Property::ReceiveMaximum(2),
            Property::MaximumPacketSize(60),
            Property::TopicAliasMaximum(3),
            Property::RequestProblemInformation(0),
            Property::RequestResponseInformation(1),
        ],
        (Place::ConnAck, _) => &[
            Property::SessionExpiryInterval(9),
            Property::ReceiveMaximum(3),
            Property::MaximumQoS(1),
            Property::RetainAvailable(0),
            Property::MaximumPacketSize(90),
            Property::AssignedClientIdentifier("id"),
            Property::TopicAliasMaximum(2),
            Property::ReasonString("why"),
            Property::WildcardSubscriptionAvailable(1),
            Property::SubscriptionIdentifierAvailable(0),
            Property::SharedSubscriptionAvailable(1),
            Property::ServerKeepAlive(9),
            Property::ResponseInformation("i"),
            Property::ServerReference("other:1883"),
        ],
        (Place::Subscribe, _) => &[Property::SubscriptionIdentifier(9)],
        (Place::Disconnect, Sender::Client) => &[Property::SessionExpiryInterval(2), Property::ReasonString("why")],
        (Place::Disconnect, Sender::Server) => &[Property::ServerReference("x"), Property::ReasonString("why")],
        (Place::Ack | Place::SubAck | Place::UnsubAck | Place::Auth, _) => &[Property::ReasonString("why")],
        (Place::Unsubscribe, _) => &[],
    });
    all
}

impl Draw {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("small")]
    }

    pub fn version(&mut self) -> Version {
        self.one(&[Version::V31, Version::V311, Version::V5, Version::V5])
    }

    pub fn id(&mut self) -> PacketId {
        let most = if self.0.chance(0.9) { 6 } else { 65_535 };
        let id = self.below(most) + 1;
        PacketId::new(u16::try_from(id).expect("16 bits")).expect("from 1")
    }

    fn qos(&mut self) -> QoS {
        self.one(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    /// Each that is legal there, with a chance of one in five; half of all packets have none.
    fn properties(&mut self, version: Version, place: Place, sender: Sender) -> PropertiesBuf {
        let mut p = PropertiesBuf::default();
        if version != Version::V5 {
            return p;
        }
        let speaks = match place {
            Place::Auth => true,
            Place::Connect | Place::ConnAck => self.0.chance(0.05),
            _ => false,
        };
        if speaks {
            p.push(Property::AuthenticationMethod("m"));
            if self.0.chance(0.5) {
                p.push(Property::AuthenticationData(b"\0\xFF"));
            }
        }
        if self.0.chance(0.5) {
            for property in legal(place, sender) {
                if self.0.chance(0.2) {
                    p.push(property);
                }
            }
        }
        p
    }

    /// One of three names, or none where the standard allows that [MQTT-3.1.3-6].
    fn client_id(&mut self, version: Version, clean_start: bool) -> &'static str {
        let may_be_empty = version == Version::V5 || (version == Version::V311 && clean_start);
        if may_be_empty && self.0.chance(0.2) { "" } else { self.one(&["x", "y", "z"]) }
    }

    fn connect(&mut self, version: Version, out: &mut Vec<u8>) {
        let p = self.properties(version, Place::Connect, Sender::Client);
        let w = self.properties(version, Place::Will, Sender::Client);
        let (qos, retain) = (self.qos(), self.0.chance(0.5));
        let will = Will { topic: "will", payload: b"gone", qos, retain, properties: w.as_properties() };
        let user_name = self.0.chance(0.2).then_some("user");
        let password = user_name.is_some() || version == Version::V5;
        let clean_start = self.0.chance(0.5);
        let connect = Connect {
            version,
            clean_start,
            keep_alive: self.one(&[0, 1, 60]),
            client_id: self.client_id(version, clean_start),
            will: self.0.chance(0.3).then_some(will),
            user_name,
            password: (password && self.0.chance(0.2)).then_some(b"\xFFsecret"),
            properties: p.as_properties(),
        };
        encode(&Packet::Connect(connect), version, out);
    }

    /// Of a payload: short, now and then long, and seldom very long.
    fn length(&mut self) -> usize {
        let most = if self.0.chance(0.9) { 40 } else { self.one(&[1_000, 1_000, 1_000, 20_000]) };
        usize::try_from(self.below(most + 1)).expect("small")
    }

    fn publish(&mut self, version: Version, sender: Sender, out: &mut Vec<u8>) {
        let (id, qos) = (self.id(), self.qos());
        let p = self.properties(version, Place::Publish, sender);
        let aliased = p.as_properties().iter().any(|p| matches!(p, Property::TopicAlias(_)));
        let publish = Publish {
            dup: qos != QoS::AtMostOnce && self.0.chance(0.2),
            qos,
            retain: self.0.chance(0.3),
            topic: if aliased && self.0.chance(0.5) { "" } else { self.one(TOPICS) },
            packet_id: (qos != QoS::AtMostOnce).then_some(id),
            properties: p.as_properties(),
            payload: &PAYLOAD[..self.length()],
        };
        encode(&Packet::Publish(publish), version, out);
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    fn ack(&mut self, version: Version, sender: Sender, kind: u64, out: &mut Vec<u8>) {
        let p = self.properties(version, Place::Ack, sender);
        let reason = match (version, kind) {
            (Version::V5, 0 | 1) => self.one(&[0, 0, 0, 0x10, 0x80, 0x97]),
            (Version::V5, _) => self.one(&[0, 0, 0x92]),
            _ => 0,
        };
        let ack = Ack { packet_id: self.id(), reason, properties: p.as_properties() };
        let packet = match kind {
            0 => Packet::PubAck(ack),
            1 => Packet::PubRec(ack),
            2 => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        };
        encode(&packet, version, out);
    }

    fn subscribe(&mut self, version: Version, out: &mut Vec<u8>) {
        let p = self.properties(version, Place::Subscribe, Sender::Client);
        let mut filters = Vec::new();
        for _ in 0..=self.below(2) {
            let filter = self.one(FILTERS);
            let mut options = SubscribeOptions { qos: self.qos(), ..SubscribeOptions::default() };
            if version == Version::V5 {
                options.no_local = !filter.starts_with("$share") && self.0.chance(0.2); // [MQTT-3.8.3-4]
                options.retain_as_published = self.0.chance(0.2);
                options.retain_handling = u8::try_from(self.below(3)).expect("2");
            }
            filters.push((filter, options));
        }
        codec::encode_subscribe(version, self.id(), p.as_properties(), &filters, out);
    }

    fn codes(&mut self, version: Version, place: Place, out: &mut Vec<u8>) {
        let p = self.properties(version, place, Sender::Server);
        let (packet_id, properties) = (self.id(), p.as_properties());
        let code = self.one(&[0, 1, 2, 0x80]);
        if place == Place::SubAck {
            encode(&Packet::SubAck(Codes { packet_id, properties, codes: &[0, code] }), version, out);
        } else {
            let codes: &[u8] = if version == Version::V5 { &[0x11, 0] } else { &[] };
            encode(&Packet::UnsubAck(Codes { packet_id, properties, codes }), version, out);
        }
    }

    fn connack(&mut self, version: Version, out: &mut Vec<u8>) {
        let p = self.properties(version, Place::ConnAck, Sender::Server);
        let reason = match version {
            _ if self.0.chance(0.7) => 0,
            Version::V5 => self.one(&[0x80, 0x87, 0x95, 0x9C, 0x9D]),
            _ => self.one(&[1, 4, 5]),
        };
        let session_present = reason == 0 && self.0.chance(0.5);
        encode(&Packet::ConnAck(ConnAck { session_present, reason, properties: p.as_properties() }), version, out);
    }

    fn disconnect(&mut self, version: Version, sender: Sender, out: &mut Vec<u8>) {
        let p = self.properties(version, Place::Disconnect, sender);
        let reason = match (version, sender) {
            (Version::V5, Sender::Client) => self.one(&[0, 4, 0x81]),
            (Version::V5, Sender::Server) => self.one(&[0x8B, 0x9C, 0x9D]),
            _ => 0,
        };
        encode(&Packet::Disconnect(Reason { reason, properties: p.as_properties() }), version, out);
    }

    fn auth(&mut self, version: Version, sender: Sender, out: &mut Vec<u8>) {
        let p = self.properties(version, Place::Auth, sender);
        let reason = self.one(&[0, 0x18, 0x19]);
        encode(&Packet::Auth(Reason { reason, properties: p.as_properties() }), version, out);
    }

    /// A legal packet from a client.
    fn clients_packet(&mut self, version: Version, out: &mut Vec<u8>) {
        match self.below(16) {
            0 => self.connect(version, out),
            1..=4 => self.publish(version, Sender::Client, out),
            kind @ 5..=8 => self.ack(version, Sender::Client, kind - 5, out),
            9 => self.ack(version, Sender::Client, 2, out),
            10..=11 => self.subscribe(version, out),
            12 => {
                let (first, second) = (self.one(FILTERS), self.one(FILTERS));
                codec::encode_unsubscribe(version, self.id(), &[first, second], out);
            }
            13 => self.disconnect(version, Sender::Client, out),
            14 if version == Version::V5 => self.auth(version, Sender::Client, out),
            _ => encode(&Packet::PingReq, version, out),
        }
    }

    /// A legal packet from a server.
    fn servers_packet(&mut self, version: Version, out: &mut Vec<u8>) {
        match self.below(14) {
            0 => self.connack(version, out),
            1..=4 => self.publish(version, Sender::Server, out),
            kind @ 5..=8 => self.ack(version, Sender::Server, kind - 5, out),
            9 => self.codes(version, Place::SubAck, out),
            10 => self.codes(version, Place::UnsubAck, out),
            11 if version == Version::V5 => self.disconnect(version, Sender::Server, out),
            12 if version == Version::V5 => self.auth(version, Sender::Server, out),
            _ => encode(&Packet::PingResp, version, out),
        }
    }

    /// What goes wrong with bytes: nothing, a bit, a byte, a cut, a length, a repeat, or all of it.
    pub fn spoil(&mut self, bytes: &mut Vec<u8>, from: usize) {
        let place = |d: &mut Self, n: usize| from + usize::try_from(d.below((n - from).max(1) as u64)).expect("small");
        for _ in 0..self.below(4) {
            if bytes.len() <= from {
                return;
            }
            let at = place(self, bytes.len());
            match self.below(7) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.one(&[0, 1, 0x7F, 0x80, 0xFF, b'+', b'#']),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.one(&[0, 0x80, 0xFF])),
                4 => {
                    let copy = bytes[at..].to_vec();
                    bytes.extend(copy);
                }
                5 => drop(bytes.remove(at)),
                _ => bytes[at] = u8::try_from(self.below(256)).expect("a byte"),
            }
        }
    }

    /// Some packets, of which half the time the first two are legal and whole.
    pub fn input(&mut self, version: Version, sender: Sender) -> Vec<u8> {
        let mut bytes = Vec::new();
        let whole = self.0.chance(0.5);
        let packets = if whole { 2 + self.below(4) } else { 1 + self.below(3) };
        let mut from = 0;
        for n in 0..packets {
            match sender {
                Sender::Client => self.clients_packet(version, &mut bytes),
                Sender::Server => self.servers_packet(version, &mut bytes),
            }
            if whole && n == 1 {
                from = bytes.len();
            }
        }
        self.spoil(&mut bytes, from);
        bytes
    }
}
