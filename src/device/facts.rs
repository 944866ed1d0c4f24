//! Whether what 5.0 adds to a message came as it was sent: properties, expiry, subscription identifiers.

use crate::mqtt::properties::{Properties, PropertiesBuf, Property};
use crate::trace::Altered;

/// What a publisher's messages carry, as their receivers are to see it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expected {
    /// Properties that are passed on as they are [MQTT-3.3.2-4] [MQTT-3.3.2-15..20].
    pub properties: PropertiesBuf,
    /// A Message Expiry Interval is among what is sent.
    pub expiry: bool,
}

/// The seconds that are left of a message's expiry.
#[must_use]
pub fn expiry_left(properties: Properties<'_>) -> Option<u32> {
    properties.find(|p| if let Property::MessageExpiryInterval(left) = p { Some(left) } else { None })
}

/// What became of the properties on the way. User properties may have others between them, but not another order
/// [MQTT-3.3.2-17] [MQTT-3.3.2-18]; the order of the rest means nothing.
#[must_use]
pub fn altered(sent: Properties<'_>, came: Properties<'_>) -> Option<Altered> {
    let is_user = |p: &Property<'_>| matches!(p, Property::UserProperty(..));
    let of_the_connection = |p: &Property<'_>| {
        matches!(p, Property::MessageExpiryInterval(_) | Property::TopicAlias(_) | Property::SubscriptionIdentifier(_))
    };
    for p in sent.iter().filter(|p| !is_user(p)) {
        match came.iter().find(|c| c.id() == p.id()) {
            None => return Some(Altered::Missing),
            Some(c) if c != p => return Some(Altered::Changed),
            Some(_) => {}
        }
    }
    let was_sent = |p: &Property<'_>| sent.iter().any(|s| s.id() == p.id());
    if came.iter().any(|p| !is_user(&p) && !of_the_connection(&p) && !was_sent(&p)) {
        return Some(Altered::Changed);
    }
    let mut rest = came.iter().filter(is_user);
    let in_order = sent.iter().filter(is_user).all(|s| rest.any(|c| c == s));
    if in_order {
        return None;
    }
    let all_there = sent.iter().filter(is_user).all(|s| came.iter().any(|c| c == s));
    Some(if all_there { Altered::Order } else { Altered::Missing })
}

/// A copy names the identifier of each subscription that it is for [MQTT-3.3.4-3..5]; all of a client's have the same one here.
#[must_use]
pub fn identifiers_are(expected: u32, came: Properties<'_>) -> bool {
    let ids = || came.iter().filter_map(|p| if let Property::SubscriptionIdentifier(id) = p { Some(id) } else { None });
    ids().next().is_some() && ids().all(|id| id == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(all: &[Property<'_>]) -> PropertiesBuf {
        let mut buf = PropertiesBuf::default();
        for p in all {
            buf.push(*p);
        }
        buf
    }

    #[test]
    fn what_is_altered_is_named() {
        use Property::{ContentType, MessageExpiryInterval, PayloadFormatIndicator, UserProperty};
        let sent = [ContentType("a"), UserProperty("x", "1"), UserProperty("x", "2")];
        for (came, expected) in [
            (&sent[..], None),
            // The order of other kinds means nothing, and what belongs to the connection or counts down is no change.
            (&[UserProperty("x", "1"), MessageExpiryInterval(3), UserProperty("x", "2"), ContentType("a")], None),
            (&[UserProperty("x", "1"), UserProperty("via", "b"), UserProperty("x", "2"), ContentType("a")], None),
            (&sent[1..], Some(Altered::Missing)),
            (&sent[..2], Some(Altered::Missing)),
            (&[ContentType("b"), sent[1], sent[2]], Some(Altered::Changed)),
            (&[sent[0], sent[1], sent[2], PayloadFormatIndicator(1)], Some(Altered::Changed)),
            (&[sent[0], sent[2], sent[1]], Some(Altered::Order)),
        ] {
            assert_eq!(altered(list(&sent).as_properties(), list(came).as_properties()), expected, "{came:?}");
        }
    }

    #[test]
    fn identifiers_are_those_asked_for() {
        use Property::SubscriptionIdentifier as Id;
        for (came, good) in [(&[Id(7)][..], true), (&[Id(7), Id(7)], true), (&[], false), (&[Id(7), Id(8)], false)] {
            assert_eq!(identifiers_are(7, list(came).as_properties()), good, "{came:?}");
        }
    }
}
