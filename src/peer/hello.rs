//! CONNECT with any fields.

use super::Site;
use crate::mqtt::codec;
use crate::mqtt::packet::{Connect, Packet, Will};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::mqtt::{QoS, Version};

/// A will under construction.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub struct Testament {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub retain: bool,
    pub properties: PropertiesBuf,
}

/// A CONNECT under construction.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub struct Hello {
    pub version: Version,
    pub client_id: String,
    pub clean: bool,
    pub keep_alive: u16,
    pub will: Option<Testament>,
    pub user: Option<String>,
    pub password: Option<Vec<u8>>,
    pub properties: PropertiesBuf,
}

impl Hello {
    /// A clean connection of that client, with the site's user and password, and a keep alive of a minute.
    #[must_use]
    pub fn new(site: &Site, version: Version, client_id: &str) -> Self {
        let credentials = site.credentials.clone();
        Self {
            version,
            client_id: client_id.to_owned(),
            clean: true,
            keep_alive: 60,
            will: None,
            user: credentials.as_ref().map(|c| c.0.clone()),
            password: credentials.map(|c| c.1.into_bytes()),
            properties: PropertiesBuf::default(),
        }
    }

    /// A session that outlasts the connection: for ever before 5.0, for `seconds` in 5.0; an old one is taken up.
    #[must_use]
    pub fn lasting(mut self, seconds: u32) -> Self {
        self.clean = false;
        if self.version == Version::V5 { self.with(Property::SessionExpiryInterval(seconds)) } else { self }
    }

    /// With a clean start (5.0) or clean session.
    #[must_use]
    pub fn clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }

    /// With that keep alive, in seconds.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// With a property more.
    #[must_use]
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    /// With a will.
    #[must_use]
    pub fn will(mut self, topic: &str, payload: &str, qos: QoS, retain: bool) -> Self {
        let (topic, payload) = (topic.to_owned(), payload.as_bytes().to_owned());
        self.will = Some(Testament { topic, payload, qos, retain, properties: PropertiesBuf::default() });
        self
    }

    /// With a property more of its will; without a will nothing happens.
    #[must_use]
    pub fn will_with(mut self, property: Property<'_>) -> Self {
        if let Some(will) = &mut self.will {
            will.properties.push(property);
        }
        self
    }

    /// The packet, for reading and for the wire.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        Packet::Connect(Connect {
            version: self.version,
            clean_start: self.clean,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            will: self.will.as_ref().map(|w| Will {
                topic: &w.topic,
                payload: &w.payload,
                qos: w.qos,
                retain: w.retain,
                properties: w.properties.as_properties(),
            }),
            user_name: self.user.as_deref(),
            password: self.password.as_deref(),
            properties: self.properties.as_properties(),
        })
    }

    /// The packet's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::encode(&self.packet(), self.version, &mut out);
        out
    }
}
