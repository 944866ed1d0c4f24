//! What a PUBLISH that came in is, in the judges' words.

use super::facts;
use super::identity::Reading;
use super::io::Io;
use super::machine::Device;
use crate::mqtt::packet::Publish;
use crate::mqtt::properties::Property;
use crate::mqtt::{PacketId, Version};
use crate::time::Instant;
use crate::trace::{Altered, Breach, ClientId, Delivered, Strange, What, WillArrived};

impl Device {
    pub(super) fn message(&mut self, publish: &Publish<'_>, bytes: u32, now: Instant, at: Instant, io: &mut Io<'_>) {
        if self.plan.kind.maximum_packet_size.is_some_and(|most| bytes > most) {
            self.event(What::Protocol(Breach::PacketTooLarge), at, io);
        }
        if self.plan.kind.topic_alias_maximum == 0 {
            return self.read(publish, bytes, at, io);
        }
        let Some(topic) = self.resolve_alias(publish) else { return self.breach(Breach::TopicAlias, now, at, io) };
        self.read(&Publish { topic: &topic, ..*publish }, bytes, at, io);
    }

    /// The topic of a PUBLISH, by its alias if need be; none if that was never set. The session has checked its range.
    fn resolve_alias(&mut self, publish: &Publish<'_>) -> Option<Box<str>> {
        let alias = publish.properties.find(|p| if let Property::TopicAlias(a) = p { Some(a) } else { None });
        let Some(alias) = alias else { return Some(publish.topic.into()) };
        if publish.topic.is_empty() {
            return self.extra.aliases.get(&alias).cloned();
        }
        self.extra.aliases.insert(alias, publish.topic.into());
        Some(publish.topic.into())
    }

    fn read(&mut self, publish: &Publish<'_>, bytes: u32, at: Instant, io: &mut Io<'_>) {
        let packet_id = publish.packet_id.map_or(0, PacketId::get);
        let (qos, dup, retain) = (publish.qos as u8, publish.dup, publish.retain);
        let length = u32::try_from(publish.payload.len()).unwrap_or(u32::MAX);
        let what = match self.plan.kind.directory.read(publish.topic, publish.payload) {
            Reading::Message { publisher, number, topic_of } => {
                self.note_facts(publisher, publish, at, io);
                What::Delivered(Delivered { publisher, number, topic_of, qos, dup, retain, packet_id, bytes })
            }
            Reading::Will { of, connection } => What::Will(WillArrived { of, connection, qos, retain }),
            Reading::Strange(Strange::Foreign) if self.is_dollar(publish.topic) => {
                What::Strange { what: Strange::Dollar, qos, retain, length }
            }
            // An empty retained message on a topic of ours is how it is cleared.
            Reading::Strange(what) => What::Strange { what: drop_empty(what, length), qos, retain, length },
        };
        self.event(what, at, io);
    }

    /// A message under an identifier of ours that another one still holds: it was acknowledged as that one, and goes no further.
    pub(super) fn masked(&mut self, publish: &Publish<'_>, at: Instant, io: &mut Io<'_>) {
        let reading = self.plan.kind.directory.read(publish.topic, publish.payload);
        if let Reading::Message { publisher, number, .. } = reading {
            self.event(What::Masked { publisher, number }, at, io);
        }
    }

    /// [MQTT-4.7.2-1]: such a topic comes only for a filter that begins so itself.
    fn is_dollar(&self, topic: &str) -> bool {
        let begins = |filter: &str| {
            let proper = match crate::mqtt::topic::split_share(filter) {
                Ok(Some((_, proper))) => proper,
                _ => filter,
            };
            proper.starts_with('$')
        };
        topic.starts_with('$') && !self.plan.filters.iter().any(|f| begins(f))
    }

    /// Tells what 5.0 added to the message that is about to be reported.
    fn note_facts(&self, publisher: ClientId, publish: &Publish<'_>, at: Instant, io: &mut Io<'_>) {
        let kind = &self.plan.kind;
        if kind.version != Version::V5 {
            return;
        }
        if let Some(expected) = kind.directory.expected(publisher) {
            if expected.expiry {
                self.event(What::ExpiryLeft { left: facts::expiry_left(publish.properties) }, at, io);
            }
            if let Some(what) = facts::altered(expected.properties.as_properties(), publish.properties) {
                self.event(What::Altered { publisher, what }, at, io);
            }
        }
        if kind.subscription_identifier.is_some_and(|id| !facts::identifiers_are(id, publish.properties)) {
            self.event(What::Altered { publisher, what: Altered::SubscriptionIdentifier }, at, io);
        }
    }
}

/// An empty payload is no message of ours that was spoiled: it is how somebody clears a retained message.
fn drop_empty(what: Strange, length: u32) -> Strange {
    if length == 0 { Strange::Foreign } else { what }
}
