//! What a server allows its client.

use super::properties::{Properties, Property};
use super::{QoS, codec};

/// What the server said of itself in CONNACK (5.0); before 5.0, and where it said nothing, the standard's defaults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerLimits {
    /// QoS 1 and 2 messages that it takes at a time; the session keeps to it [MQTT-3.3.4-7].
    pub receive_maximum: u16,
    /// The owner must not publish above it [MQTT-3.2.2-11].
    pub maximum_qos: QoS,
    /// The owner must not publish with RETAIN without it [MQTT-3.2.2-14].
    pub retain_available: bool,
    /// In bytes, the whole packet; the owner must not write a larger one [MQTT-3.2.2-15].
    pub maximum_packet_size: u32,
    /// Topic aliases that it takes [MQTT-3.2.2-17].
    pub topic_alias_maximum: u16,
    /// The keep alive that it wants, in seconds; the session keeps to it [MQTT-3.2.2-21].
    pub keep_alive: Option<u16>,
    /// When it forgets the session, in seconds after the connection's end, if other than was asked for.
    pub session_expiry: Option<u32>,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            receive_maximum: u16::MAX,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: codec::MAX_PACKET,
            topic_alias_maximum: 0,
            keep_alive: None,
            session_expiry: None,
        }
    }
}

impl ServerLimits {
    /// The limits in the properties of a CONNACK.
    #[must_use]
    pub fn read(properties: Properties<'_>) -> Self {
        let mut limits = Self::default();
        for property in properties.iter() {
            match property {
                Property::ReceiveMaximum(maximum) => limits.receive_maximum = maximum,
                Property::MaximumQoS(qos) => limits.maximum_qos = QoS::from_u8(qos).unwrap_or_default(),
                Property::RetainAvailable(available) => limits.retain_available = available != 0,
                Property::MaximumPacketSize(size) => limits.maximum_packet_size = size,
                Property::TopicAliasMaximum(maximum) => limits.topic_alias_maximum = maximum,
                Property::ServerKeepAlive(seconds) => limits.keep_alive = Some(seconds),
                Property::SessionExpiryInterval(seconds) => limits.session_expiry = Some(seconds),
                _ => {}
            }
        }
        limits
    }
}
