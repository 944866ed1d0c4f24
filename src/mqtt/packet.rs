//! MQTT packets as borrowed views of the bytes they came in.

use super::properties::Properties;
use super::wire::Reader;
use super::{PacketId, QoS, Version};

/// One packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(Codes<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(Codes<'a>),
    PingReq,
    PingResp,
    Disconnect(Reason<'a>),
    Auth(Reason<'a>),
}

/// CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Connect<'a> {
    pub version: Version,
    /// Clean Start (5.0) or Clean Session (before).
    pub clean_start: bool,
    /// Seconds; 0 switches it off.
    pub keep_alive: u16,
    pub client_id: &'a str,
    pub will: Option<Will<'a>>,
    pub user_name: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    pub properties: Properties<'a>,
}

/// The will in a CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Will<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: QoS,
    pub retain: bool,
    pub properties: Properties<'a>,
}

/// CONNACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct ConnAck<'a> {
    pub session_present: bool,
    /// Return code (before 5.0) or reason code.
    pub reason: u8,
    pub properties: Properties<'a>,
}

/// PUBLISH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Publish<'a> {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    /// Empty only with a topic alias (5.0).
    pub topic: &'a str,
    /// There exactly if QoS is above 0.
    pub packet_id: Option<PacketId>,
    pub properties: Properties<'a>,
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Ack<'a> {
    pub packet_id: PacketId,
    /// 0 where the packet has none.
    pub reason: u8,
    pub properties: Properties<'a>,
}

impl Ack<'_> {
    /// A plain acknowledgement.
    #[must_use]
    pub const fn plain(packet_id: PacketId) -> Self {
        Self { packet_id, reason: 0, properties: Properties::EMPTY }
    }
}

/// SUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Subscribe<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    /// The filters and options, checked.
    pub(super) filters: &'a [u8],
}

impl<'a> Subscribe<'a> {
    /// The filters (with any `$share/group/`) and their options, in order.
    pub fn filters(&self) -> impl Iterator<Item = (&'a str, SubscribeOptions)> + use<'a> {
        let mut r = Reader(self.filters);
        std::iter::from_fn(move || {
            let filter = r.text().ok()?;
            SubscribeOptions::from_byte(r.u8().ok()?).map(|options| (filter, options))
        })
    }
}

/// Options of one subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubscribeOptions {
    /// Maximum QoS.
    pub qos: QoS,
    /// 5.0: own messages do not come back.
    pub no_local: bool,
    /// 5.0: RETAIN is passed on as it was published.
    pub retain_as_published: bool,
    /// 5.0: 0 send retained at each subscribe, 1 only at a new one, 2 never.
    pub retain_handling: u8,
}

impl SubscribeOptions {
    /// Reads the options byte; none if it is malformed.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        let retain_handling = (byte >> 4) & 3;
        if byte & 0xC0 != 0 || retain_handling == 3 {
            return None;
        }
        Some(Self {
            qos: QoS::from_u8(byte & 3)?,
            no_local: byte & 4 != 0,
            retain_as_published: byte & 8 != 0,
            retain_handling,
        })
    }

    /// The options byte.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.qos as u8
            | ((self.no_local as u8) << 2)
            | ((self.retain_as_published as u8) << 3)
            | (self.retain_handling << 4)
    }
}

/// UNSUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Unsubscribe<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    pub(super) filters: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    /// The filters, in order.
    pub fn filters(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut r = Reader(self.filters);
        std::iter::from_fn(move || r.text().ok())
    }
}

/// SUBACK or UNSUBACK. 3.1.1's UNSUBACK has no codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Codes<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    pub codes: &'a [u8],
}

/// Whether a reason of CONNACK or DISCONNECT sends the client to another server (5.0, section 4.11): 0x9C for a while, 0x9D for good.
#[must_use]
pub const fn sends_away(reason: u8) -> bool {
    matches!(reason, 0x9C | 0x9D)
}

/// DISCONNECT or AUTH.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Reason<'a> {
    pub reason: u8,
    pub properties: Properties<'a>,
}
