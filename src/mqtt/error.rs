//! What can be wrong with bytes that should be an MQTT packet.

use std::fmt;

/// A malformed or out-of-place packet, by cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The packet type is 0, or (before 5.0) 15.
    UnknownType,
    /// The reserved flags of the fixed header are wrong.
    ReservedFlags,
    /// The remaining length takes more than four bytes.
    RemainingLength,
    /// The packet is larger than the receiver accepts.
    TooLarge,
    /// The packet's content ends too early, or goes on too long.
    Length,
    /// A length or a number that takes more bytes than it needs (5.0).
    NotMinimal,
    /// Text that is not UTF-8.
    Utf8,
    /// Text that has U+0000 in it.
    Nul,
    /// A packet identifier of zero.
    PacketIdZero,
    /// QoS 3.
    Qos3,
    /// DUP on a QoS 0 message.
    DupAtQos0,
    /// A topic name with wildcards in it.
    TopicName,
    /// A topic name that is empty, without an alias.
    TopicEmpty,
    /// Topic alias 0.
    TopicAlias,
    /// A topic filter that is empty or has misplaced wildcards.
    TopicFilter,
    /// A filter that begins with `$share/` and is no shared subscription (5.0).
    SharedFilter,
    /// SUBSCRIBE without a filter.
    NoFilters,
    /// UNSUBSCRIBE without a filter.
    NothingToUnsubscribe,
    /// Reserved bits of the subscription options.
    SubscribeOptions,
    /// No local on a shared subscription.
    NoLocalShared,
    /// The protocol name is not MQTT's.
    ProtocolName,
    /// The protocol level is not known.
    ProtocolLevel,
    /// The reserved connect flag is set.
    ConnectFlags,
    /// Will QoS 3.
    WillQos3,
    /// Will QoS without a will.
    WillQosAlone,
    /// Will retain without a will.
    WillRetainAlone,
    /// A password without a user name (before 5.0).
    PasswordAlone,
    /// An unknown property, or one that does not belong to this packet.
    PropertyUnknown,
    /// A property twice that may be there once.
    PropertyTwice,
    /// A property whose value is out of its range.
    PropertyValue,
    /// A subscription identifier in a PUBLISH from a client.
    SubscriptionIdFromClient,
    /// A session expiry interval in a DISCONNECT from a server.
    ExpiryFromServer,
    /// A return or reason code that does not belong to a packet of this type (its number).
    ReasonCode(u8),
    /// Reserved bits of CONNACK's flags.
    AckFlags,
    /// CONNACK that refuses and yet says Session Present.
    SessionPresent,
    /// AUTH that does not name its authentication method.
    AuthMethod,
    /// A packet that this side never sends.
    WrongSide,
}

impl DecodeError {
    /// The statement it offends; 5.0's number where both versions have one.
    #[must_use]
    pub const fn statement(self) -> &'static str {
        match self {
            Self::UnknownType | Self::RemainingLength | Self::Length | Self::WrongSide => "MQTT-4.13.1-1",
            Self::ReservedFlags => "MQTT-2.1.3-1",
            Self::TooLarge => "MQTT-3.1.2-24",
            Self::NotMinimal => "MQTT-1.5.5-1",
            Self::Utf8 => "MQTT-1.5.4-1",
            Self::Nul => "MQTT-1.5.4-2",
            Self::PacketIdZero => "MQTT-2.2.1-3",
            Self::Qos3 => "MQTT-3.3.1-4",
            Self::DupAtQos0 => "MQTT-3.3.1-2",
            Self::TopicName => "MQTT-3.3.2-2",
            Self::TopicEmpty => "MQTT-4.7.3-1",
            Self::TopicAlias => "MQTT-3.3.2-8",
            Self::TopicFilter => "MQTT-4.7.1-1",
            Self::SharedFilter => "MQTT-4.8.2-1",
            Self::NoFilters => "MQTT-3.8.3-2",
            Self::NothingToUnsubscribe => "MQTT-3.10.3-2",
            Self::SubscribeOptions => "MQTT-3.8.3-5",
            Self::NoLocalShared => "MQTT-3.8.3-4",
            Self::ProtocolName => "MQTT-3.1.2-1",
            Self::ProtocolLevel => "MQTT-3.1.2-2",
            Self::ConnectFlags => "MQTT-3.1.2-3",
            Self::WillQosAlone => "MQTT-3.1.2-11",
            Self::WillQos3 => "MQTT-3.1.2-12",
            Self::WillRetainAlone => "MQTT-3.1.2-13",
            Self::PasswordAlone => "MQTT-3.1.2-22",
            Self::PropertyUnknown | Self::PropertyTwice | Self::PropertyValue | Self::AuthMethod => "MQTT-4.13.1-1",
            Self::SubscriptionIdFromClient => "MQTT-3.3.4-6",
            Self::ExpiryFromServer => "MQTT-3.14.2-2",
            Self::ReasonCode(kind) => reason_code_statement(kind),
            Self::AckFlags => "MQTT-3.2.2-1",
            Self::SessionPresent => "MQTT-3.2.2-6",
        }
    }

    /// The 5.0 reason code for a DISCONNECT or CONNACK that answers it. Names and filters that are not well formed are
    /// malformed: 0x8F and 0x90 are for those that are "correctly formed" and not accepted (table 3-10).
    #[must_use]
    pub const fn reason_code(self) -> u8 {
        match self {
            Self::TooLarge => 0x95,
            Self::ProtocolLevel | Self::ProtocolName => 0x84,
            Self::TopicAlias => 0x94,
            Self::NoFilters
            | Self::NothingToUnsubscribe
            | Self::TopicEmpty
            | Self::SubscriptionIdFromClient
            | Self::ExpiryFromServer
            | Self::NoLocalShared
            | Self::PropertyTwice
            | Self::PropertyValue
            | Self::AuthMethod
            | Self::WrongSide
            | Self::SessionPresent => 0x82,
            _ => 0x81,
        }
    }
}

/// Where the standard lists the codes of a packet type.
const fn reason_code_statement(kind: u8) -> &'static str {
    match kind {
        2 => "MQTT-3.2.2-8",
        4 => "MQTT-3.4.2-1",
        5 => "MQTT-3.5.2-1",
        6 => "MQTT-3.6.2-1",
        7 => "MQTT-3.7.2-1",
        9 => "MQTT-3.9.3-2",
        11 => "MQTT-3.11.3-2",
        14 => "MQTT-3.14.2-1",
        _ => "MQTT-3.15.2-1",
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::UnknownType => "unknown packet type",
            Self::ReservedFlags => "reserved flags of the fixed header are wrong",
            Self::RemainingLength => "remaining length takes more than four bytes",
            Self::TooLarge => "packet larger than accepted",
            Self::Length => "content does not fit the remaining length",
            Self::NotMinimal => "number takes more bytes than it needs",
            Self::Utf8 => "text is not UTF-8",
            Self::Nul => "text contains U+0000",
            Self::PacketIdZero => "packet identifier 0",
            Self::Qos3 => "QoS 3",
            Self::DupAtQos0 => "DUP on a QoS 0 message",
            Self::TopicName => "topic name with wildcards",
            Self::TopicEmpty => "topic name empty without an alias",
            Self::TopicAlias => "topic alias 0",
            Self::TopicFilter => "topic filter empty or with misplaced wildcards",
            Self::SharedFilter => "not a legal shared subscription",
            Self::NoFilters => "SUBSCRIBE without a topic filter",
            Self::NothingToUnsubscribe => "UNSUBSCRIBE without a topic filter",
            Self::SubscribeOptions => "reserved bits of the subscription options",
            Self::NoLocalShared => "no local on a shared subscription",
            Self::ProtocolName => "unknown protocol name",
            Self::ProtocolLevel => "unknown protocol level",
            Self::ConnectFlags => "reserved connect flag is set",
            Self::WillQos3 => "will QoS 3",
            Self::WillQosAlone => "will QoS without a will",
            Self::WillRetainAlone => "will retain without a will",
            Self::PasswordAlone => "password without a user name",
            Self::PropertyUnknown => "property unknown or out of place",
            Self::PropertyTwice => "property given twice",
            Self::PropertyValue => "property value out of range",
            Self::SubscriptionIdFromClient => "subscription identifier from a client",
            Self::ExpiryFromServer => "session expiry interval from a server",
            Self::ReasonCode(_) => "reason code out of place",
            Self::AckFlags => "reserved bits of CONNACK's flags",
            Self::SessionPresent => "session present in a refusal",
            Self::AuthMethod => "AUTH without an authentication method",
            Self::WrongSide => "packet that this side never sends",
        };
        write!(f, "{text} [{}]", self.statement())
    }
}

impl std::error::Error for DecodeError {}
