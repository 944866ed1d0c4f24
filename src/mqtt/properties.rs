//! Properties of MQTT 5.0: a checked slice that is read without copies, and a builder.

use super::error::DecodeError;
use super::wire::{Reader, put_binary, put_u16, put_varint};

/// One property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the standard's, section 2.2.2.2")]
pub enum Property<'a> {
    PayloadFormatIndicator(u8),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(u8),
    WillDelayInterval(u32),
    RequestResponseInformation(u8),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQoS(u8),
    RetainAvailable(u8),
    UserProperty(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(u8),
    SubscriptionIdentifierAvailable(u8),
    SharedSubscriptionAvailable(u8),
}

/// Where properties stand; decides which are allowed (table 2-4 of the standard).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Place {
    Connect,
    Will,
    ConnAck,
    Publish,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    Ack,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

impl<'a> Property<'a> {
    /// Its identifier.
    #[must_use]
    pub const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormatIndicator(_) => 1,
            Self::MessageExpiryInterval(_) => 2,
            Self::ContentType(_) => 3,
            Self::ResponseTopic(_) => 8,
            Self::CorrelationData(_) => 9,
            Self::SubscriptionIdentifier(_) => 11,
            Self::SessionExpiryInterval(_) => 17,
            Self::AssignedClientIdentifier(_) => 18,
            Self::ServerKeepAlive(_) => 19,
            Self::AuthenticationMethod(_) => 21,
            Self::AuthenticationData(_) => 22,
            Self::RequestProblemInformation(_) => 23,
            Self::WillDelayInterval(_) => 24,
            Self::RequestResponseInformation(_) => 25,
            Self::ResponseInformation(_) => 26,
            Self::ServerReference(_) => 28,
            Self::ReasonString(_) => 31,
            Self::ReceiveMaximum(_) => 33,
            Self::TopicAliasMaximum(_) => 34,
            Self::TopicAlias(_) => 35,
            Self::MaximumQoS(_) => 36,
            Self::RetainAvailable(_) => 37,
            Self::UserProperty(..) => 38,
            Self::MaximumPacketSize(_) => 39,
            Self::WildcardSubscriptionAvailable(_) => 40,
            Self::SubscriptionIdentifierAvailable(_) => 41,
            Self::SharedSubscriptionAvailable(_) => 42,
        }
    }

    fn allowed_in(&self, place: Place) -> bool {
        use Place::{Ack, Auth, ConnAck, Connect, Disconnect, Publish, SubAck, Subscribe, UnsubAck, Will};
        match self {
            Self::PayloadFormatIndicator(_)
            | Self::MessageExpiryInterval(_)
            | Self::ContentType(_)
            | Self::ResponseTopic(_)
            | Self::CorrelationData(_) => matches!(place, Publish | Will),
            Self::SubscriptionIdentifier(_) => matches!(place, Publish | Subscribe),
            Self::SessionExpiryInterval(_) => matches!(place, Connect | ConnAck | Disconnect),
            Self::AuthenticationMethod(_) | Self::AuthenticationData(_) => matches!(place, Connect | ConnAck | Auth),
            Self::RequestProblemInformation(_) | Self::RequestResponseInformation(_) => place == Connect,
            Self::WillDelayInterval(_) => place == Will,
            Self::ServerReference(_) => matches!(place, ConnAck | Disconnect),
            Self::ReasonString(_) => matches!(place, ConnAck | Ack | SubAck | UnsubAck | Disconnect | Auth),
            Self::ReceiveMaximum(_) | Self::TopicAliasMaximum(_) | Self::MaximumPacketSize(_) => {
                matches!(place, Connect | ConnAck)
            }
            Self::TopicAlias(_) => place == Publish,
            Self::UserProperty(..) => true,
            Self::AssignedClientIdentifier(_)
            | Self::ServerKeepAlive(_)
            | Self::ResponseInformation(_)
            | Self::MaximumQoS(_)
            | Self::RetainAvailable(_)
            | Self::WildcardSubscriptionAvailable(_)
            | Self::SubscriptionIdentifierAvailable(_)
            | Self::SharedSubscriptionAvailable(_) => place == ConnAck,
        }
    }

    fn value_is_legal(&self) -> bool {
        match *self {
            Self::PayloadFormatIndicator(v)
            | Self::RequestProblemInformation(v)
            | Self::RequestResponseInformation(v)
            | Self::MaximumQoS(v)
            | Self::RetainAvailable(v)
            | Self::WildcardSubscriptionAvailable(v)
            | Self::SubscriptionIdentifierAvailable(v)
            | Self::SharedSubscriptionAvailable(v) => v <= 1,
            Self::ReceiveMaximum(v) | Self::TopicAlias(v) => v != 0,
            Self::MaximumPacketSize(v) | Self::SubscriptionIdentifier(v) => v != 0,
            Self::ResponseTopic(topic) => super::topic::is_name(topic),
            _ => true,
        }
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match r.varint()? {
            1 => Self::PayloadFormatIndicator(r.u8()?),
            2 => Self::MessageExpiryInterval(r.u32()?),
            3 => Self::ContentType(r.text()?),
            8 => Self::ResponseTopic(r.text()?),
            9 => Self::CorrelationData(r.binary()?),
            11 => Self::SubscriptionIdentifier(r.varint()?),
            17 => Self::SessionExpiryInterval(r.u32()?),
            18 => Self::AssignedClientIdentifier(r.text()?),
            19 => Self::ServerKeepAlive(r.u16()?),
            21 => Self::AuthenticationMethod(r.text()?),
            22 => Self::AuthenticationData(r.binary()?),
            23 => Self::RequestProblemInformation(r.u8()?),
            24 => Self::WillDelayInterval(r.u32()?),
            25 => Self::RequestResponseInformation(r.u8()?),
            26 => Self::ResponseInformation(r.text()?),
            28 => Self::ServerReference(r.text()?),
            31 => Self::ReasonString(r.text()?),
            33 => Self::ReceiveMaximum(r.u16()?),
            34 => Self::TopicAliasMaximum(r.u16()?),
            35 => Self::TopicAlias(r.u16()?),
            36 => Self::MaximumQoS(r.u8()?),
            37 => Self::RetainAvailable(r.u8()?),
            38 => Self::UserProperty(r.text()?, r.text()?),
            39 => Self::MaximumPacketSize(r.u32()?),
            40 => Self::WildcardSubscriptionAvailable(r.u8()?),
            41 => Self::SubscriptionIdentifierAvailable(r.u8()?),
            42 => Self::SharedSubscriptionAvailable(r.u8()?),
            _ => return Err(DecodeError::PropertyUnknown),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.id());
        match *self {
            Self::PayloadFormatIndicator(v)
            | Self::RequestProblemInformation(v)
            | Self::RequestResponseInformation(v)
            | Self::MaximumQoS(v)
            | Self::RetainAvailable(v)
            | Self::WildcardSubscriptionAvailable(v)
            | Self::SubscriptionIdentifierAvailable(v)
            | Self::SharedSubscriptionAvailable(v) => out.push(v),
            Self::ServerKeepAlive(v) | Self::ReceiveMaximum(v) | Self::TopicAliasMaximum(v) | Self::TopicAlias(v) => {
                put_u16(v, out)
            }
            Self::MessageExpiryInterval(v)
            | Self::SessionExpiryInterval(v)
            | Self::WillDelayInterval(v)
            | Self::MaximumPacketSize(v) => out.extend_from_slice(&v.to_be_bytes()),
            Self::SubscriptionIdentifier(v) => put_varint(v, out),
            Self::ContentType(v)
            | Self::ResponseTopic(v)
            | Self::AssignedClientIdentifier(v)
            | Self::AuthenticationMethod(v)
            | Self::ResponseInformation(v)
            | Self::ServerReference(v)
            | Self::ReasonString(v) => put_binary(v.as_bytes(), out),
            Self::CorrelationData(v) | Self::AuthenticationData(v) => put_binary(v, out),
            Self::UserProperty(name, value) => {
                put_binary(name.as_bytes(), out);
                put_binary(value.as_bytes(), out);
            }
        }
    }
}

/// Properties of one packet: bytes that were checked, without their length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self(&[]);

    /// Reads the length and the properties after it, and checks them.
    pub(super) fn read(r: &mut Reader<'a>, place: Place) -> Result<Self, DecodeError> {
        let length = r.varint()?;
        let bytes = r.take(length as usize)?;
        let mut seen = 0u64;
        let mut inner = Reader(bytes);
        while !inner.is_empty() {
            let property = Property::read(&mut inner)?;
            if !property.allowed_in(place) {
                return Err(DecodeError::PropertyUnknown);
            }
            let bit = 1 << property.id();
            let repeats = matches!(property, Property::UserProperty(..))
                || (place == Place::Publish && matches!(property, Property::SubscriptionIdentifier(_)));
            if seen & bit != 0 && !repeats {
                return Err(DecodeError::PropertyTwice);
            }
            seen |= bit;
            if !property.value_is_legal() {
                let is_alias = matches!(property, Property::TopicAlias(_));
                return Err(if is_alias { DecodeError::TopicAlias } else { DecodeError::PropertyValue });
            }
        }
        // Authentication data without a method is an error in CONNECT (section 3.1.2.11.10); AUTH needs its method anyway.
        if place == Place::Connect && seen & (1 << 22) != 0 && seen & (1 << 21) == 0 {
            return Err(DecodeError::PropertyValue);
        }
        Ok(Self(bytes))
    }

    /// The properties, in order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let mut r = Reader(self.0);
        std::iter::from_fn(move || if r.is_empty() { None } else { Property::read(&mut r).ok() })
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, without their length.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The Server Reference, if there is one.
    #[must_use]
    pub fn server_reference(&self) -> Option<&'a str> {
        self.find(|p| if let Property::ServerReference(name) = p { Some(name) } else { None })
    }

    /// The Authentication Method, if there is one.
    #[must_use]
    pub fn authentication_method(&self) -> Option<&'a str> {
        self.find(|p| if let Property::AuthenticationMethod(name) = p { Some(name) } else { None })
    }

    /// The first value that `pick` finds.
    pub fn find<T>(&self, pick: impl FnMut(Property<'a>) -> Option<T>) -> Option<T> {
        if self.0.is_empty() { None } else { self.iter().find_map(pick) }
    }
}

/// Properties under construction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PropertiesBuf(Vec<u8>);

impl PropertiesBuf {
    /// Adds one.
    pub fn push(&mut self, property: Property<'_>) -> &mut Self {
        property.write(&mut self.0);
        self
    }

    /// What was built.
    #[must_use]
    pub fn as_properties(&self) -> Properties<'_> {
        Properties(&self.0)
    }

    /// Properties from bytes that were checked before ([`Properties::as_bytes`]).
    #[must_use]
    pub fn from_checked(bytes: &[u8]) -> Properties<'_> {
        Properties(bytes)
    }
}
