//! What a device says when it connects, and how the session's words map to the judges'.

use super::plan::Plan;
use crate::mqtt::packet::{Connect, Packet, SubscribeOptions, Will};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::mqtt::session::{ProtocolError, Session};
use crate::mqtt::{QoS, codec};
use crate::trace::Breach;

/// Writes the CONNECT of a client.
pub(super) fn write_connect(plan: &Plan, session: &Session, clean: bool, tx: &mut Vec<u8>) {
    let properties = session.connect_properties();
    let mut will_properties = PropertiesBuf::default();
    let will = plan.will.as_deref();
    if let Some(delay) = will.map(|w| w.delay).filter(|d| *d > 0) {
        will_properties.push(Property::WillDelayInterval(delay));
    }
    let connect = Connect {
        version: plan.kind.version,
        clean_start: clean,
        keep_alive: plan.kind.keep_alive,
        client_id: &plan.client_id,
        will: will.map(|w| Will {
            topic: &w.topic,
            payload: w.payload.as_bytes(),
            qos: w.qos,
            retain: w.retain,
            properties: will_properties.as_properties(),
        }),
        user_name: plan.credentials.as_ref().map(|(user, _)| &**user),
        password: plan.credentials.as_ref().and_then(|(_, p)| p.as_deref()).map(str::as_bytes),
        properties: properties.as_properties(),
    };
    codec::encode(&Packet::Connect(connect), plan.kind.version, tx);
}

/// A filter with its options, as SUBSCRIBE wants it.
pub(super) fn filter(filter: &str, qos: QoS, no_local: bool) -> (&str, SubscribeOptions) {
    (filter, SubscribeOptions { qos, no_local, ..SubscribeOptions::default() })
}

/// A session's complaint, in the judges' words.
pub(super) fn breach_of(error: ProtocolError) -> Breach {
    match error {
        ProtocolError::Unexpected | ProtocolError::TopicAlias => Breach::Unexpected,
        ProtocolError::ReceiveMaximum => Breach::ReceiveMaximum,
    }
}
