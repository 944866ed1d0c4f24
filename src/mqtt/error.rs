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
    /// Text that is not UTF-8, or that has U+0000 in it.
    Utf8,
    /// A packet identifier of zero.
    PacketIdZero,
    /// QoS 3.
    Qos3,
    /// DUP on a QoS 0 message.
    DupAtQos0,
    /// A topic name that is empty without an alias, or has wildcards in it.
    TopicName,
    /// A topic filter that is empty or has misplaced wildcards.
    TopicFilter,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter.
    NoFilters,
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
    /// Will flags that contradict each other.
    WillFlags,
    /// A password without a user name (before 5.0).
    PasswordAlone,
    /// An unknown property, or one that does not belong to this packet.
    PropertyUnknown,
    /// A property twice that may be there once.
    PropertyTwice,
    /// A property whose value is out of its range.
    PropertyValue,
    /// A return or reason code that does not belong to this packet.
    ReasonCode,
    /// CONNACK that refuses and yet says Session Present.
    SessionPresent,
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
            Self::Utf8 => "MQTT-1.5.4-1",
            Self::PacketIdZero => "MQTT-2.2.1-3",
            Self::Qos3 => "MQTT-3.3.1-4",
            Self::DupAtQos0 => "MQTT-3.3.1-2",
            Self::TopicName => "MQTT-3.3.2-2",
            Self::TopicFilter => "MQTT-4.7.1-1",
            Self::NoFilters => "MQTT-3.8.3-2",
            Self::SubscribeOptions => "MQTT-3.8.3-5",
            Self::NoLocalShared => "MQTT-3.8.3-4",
            Self::ProtocolName => "MQTT-3.1.2-1",
            Self::ProtocolLevel => "MQTT-3.1.2-2",
            Self::ConnectFlags => "MQTT-3.1.2-3",
            Self::WillFlags => "MQTT-3.1.2-11",
            Self::PasswordAlone => "MQTT-3.1.2-22",
            Self::PropertyUnknown | Self::PropertyTwice | Self::PropertyValue => "MQTT-4.13.1-1",
            Self::ReasonCode => "MQTT-3.4.2-1",
            Self::SessionPresent => "MQTT-3.2.2-6",
        }
    }

    /// The 5.0 reason code for a DISCONNECT or CONNACK that answers it.
    #[must_use]
    pub const fn reason_code(self) -> u8 {
        match self {
            Self::TooLarge => 0x95,
            Self::ProtocolLevel | Self::ProtocolName => 0x84,
            Self::TopicName => 0x90,
            Self::TopicFilter => 0x8F,
            Self::NoFilters
            | Self::NoLocalShared
            | Self::PropertyTwice
            | Self::PropertyValue
            | Self::WrongSide
            | Self::SessionPresent => 0x82,
            _ => 0x81,
        }
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
            Self::Utf8 => "text is not UTF-8, or contains U+0000",
            Self::PacketIdZero => "packet identifier 0",
            Self::Qos3 => "QoS 3",
            Self::DupAtQos0 => "DUP on a QoS 0 message",
            Self::TopicName => "topic name empty or with wildcards",
            Self::TopicFilter => "topic filter empty or with misplaced wildcards",
            Self::NoFilters => "no topic filter",
            Self::SubscribeOptions => "reserved bits of the subscription options",
            Self::NoLocalShared => "no local on a shared subscription",
            Self::ProtocolName => "unknown protocol name",
            Self::ProtocolLevel => "unknown protocol level",
            Self::ConnectFlags => "reserved connect flag is set",
            Self::WillFlags => "will flags contradict each other",
            Self::PasswordAlone => "password without a user name",
            Self::PropertyUnknown => "property unknown or out of place",
            Self::PropertyTwice => "property given twice",
            Self::PropertyValue => "property value out of range",
            Self::ReasonCode => "reason code out of place",
            Self::SessionPresent => "session present in a refusal",
            Self::WrongSide => "packet that this side never sends",
        };
        write!(f, "{text} [{}]", self.statement())
    }
}

impl std::error::Error for DecodeError {}
