//! PUBLISH, to be sent and as it came.

use crate::mqtt::packet::{Packet, Publish};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::mqtt::{PacketId, QoS};

/// An application message, as a PUBLISH carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub retain: bool,
    pub dup: bool,
    pub packet_id: Option<PacketId>,
    pub properties: PropertiesBuf,
}

impl Message {
    /// A message without properties, not retained.
    #[must_use]
    pub fn new(topic: &str, qos: QoS, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.as_ref().to_owned(),
            qos,
            retain: false,
            dup: false,
            packet_id: None,
            properties: PropertiesBuf::default(),
        }
    }

    /// With RETAIN.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With DUP.
    #[must_use]
    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// With that packet identifier.
    #[must_use]
    pub fn id(mut self, id: PacketId) -> Self {
        self.packet_id = Some(id);
        self
    }

    /// With a property more.
    #[must_use]
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    /// The packet; QoS 0 has no identifier, whatever was given.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        Packet::Publish(Publish {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: self.packet_id.filter(|_| self.qos != QoS::AtMostOnce),
            properties: self.properties.as_properties(),
            payload: &self.payload,
        })
    }

    /// A PUBLISH that came.
    #[must_use]
    pub fn of(p: &Publish<'_>) -> Self {
        let mut properties = PropertiesBuf::default();
        for property in p.properties.iter() {
            properties.push(property);
        }
        Self {
            topic: p.topic.to_owned(),
            payload: p.payload.to_owned(),
            qos: p.qos,
            retain: p.retain,
            dup: p.dup,
            packet_id: p.packet_id,
            properties,
        }
    }

    /// The payload, if it is text; else as hexadecimal digits.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.payload.clone()).unwrap_or_else(|_| super::text::hex(&self.payload))
    }

    /// Its subscription identifiers, in ascending order.
    #[must_use]
    pub fn subscription_ids(&self) -> Vec<u32> {
        let of = |p| if let Property::SubscriptionIdentifier(id) = p { Some(id) } else { None };
        let mut ids: Vec<u32> = self.properties.as_properties().iter().filter_map(of).collect();
        ids.sort_unstable();
        ids
    }
}
