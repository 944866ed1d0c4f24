//! From a scenario's features to what devices are told.

use crate::device::Deed;
use crate::device::facts::Expected;
use crate::device::identity::Layout;
use crate::mqtt::QoS;
use crate::mqtt::packet::SubscribeOptions;
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::scenario::model::{Features, HEX_LEN, PublishFeatures, SubscriptionSpec, WillSpec};
use crate::time::{Duration, Instant};

/// What a client does at set times, in order.
pub(super) fn deeds(f: &Features, p: Option<&PublishFeatures>, from: Instant, until: Instant) -> Vec<(Instant, Deed)> {
    let mut all: Vec<(Instant, Deed)> = Vec::new();
    all.extend(f.silent.iter().map(|s| (s.at, Deed::Silence(s.at + s.lasts))));
    all.extend(f.take_over.iter().map(|at| (*at, Deed::TakeOver)));
    for span in &f.unsubscribed {
        all.extend([(span.at, Deed::Unsubscribe), (span.at + span.lasts, Deed::Subscribe)]);
    }
    let mut periodic = |period: Option<Duration>, deed| {
        let Some(period) = period else { return };
        let mut at = from + period;
        while at < until {
            all.push((at, deed));
            at += period;
        }
    };
    periodic(f.resubscribe, Deed::SubscribeAgain);
    periodic(p.and_then(|p| p.clear_every), Deed::Clear);
    all.sort_by_key(|(at, _)| *at);
    all
}

/// The options byte of a subscription.
pub(super) fn options(s: &SubscriptionSpec) -> SubscribeOptions {
    SubscribeOptions {
        qos: QoS::from_u8(s.qos).expect("checked: 0 to 2"),
        no_local: s.no_local,
        retain_as_published: s.retain_as_published,
        retain_handling: s.retain_handling,
    }
}

/// The properties that a broker passes on as they are.
fn forwarded(p: &PublishFeatures) -> PropertiesBuf {
    let mut buf = PropertiesBuf::default();
    let Some(spec) = &p.properties else { return buf };
    if spec.utf8 {
        buf.push(Property::PayloadFormatIndicator(1));
    }
    if let Some(text) = &spec.content_type {
        buf.push(Property::ContentType(text));
    }
    if let Some(topic) = &spec.response_topic {
        buf.push(Property::ResponseTopic(topic));
    }
    if let Some(data) = &spec.correlation {
        buf.push(Property::CorrelationData(data.as_bytes()));
    }
    for (name, value) in &spec.user {
        buf.push(Property::UserProperty(name, value));
    }
    buf
}

/// The properties of a message, expiry included.
pub(super) fn properties(p: &PublishFeatures) -> PropertiesBuf {
    let mut buf = forwarded(p);
    if let Some(expiry) = p.expiry {
        buf.push(Property::MessageExpiryInterval(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)));
    }
    buf
}

/// How many bytes of properties are passed on with a message.
pub(super) fn forwarded_bytes(p: &PublishFeatures) -> u32 {
    u32::try_from(forwarded(p).as_properties().as_bytes().len()).unwrap_or(u32::MAX)
}

/// What receivers are to see; none if messages have nothing of that kind.
pub(super) fn expected(p: &PublishFeatures) -> Option<Expected> {
    let expected = Expected { properties: forwarded(p), expiry: p.expiry.is_some() };
    (expected != Expected::default()).then_some(expected)
}

/// A will's payload with room for its identity, and where that goes.
pub(super) fn will_payload(will: &WillSpec) -> (Vec<u8>, Option<Layout>) {
    let Some(offset) = will.payload.find("{id}") else { return (will.payload.clone().into_bytes(), None) };
    let bytes = will.payload.replacen("{id}", &"0".repeat(HEX_LEN), 1).into_bytes();
    let length = u32::try_from(bytes.len()).expect("checked: at most 65,535 bytes");
    let offset = u32::try_from(offset).expect("within the payload");
    (bytes, Some(Layout { offset, hex: true, length }))
}
