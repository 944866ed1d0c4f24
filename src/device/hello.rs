//! What a device says when it connects, and how the session's words map to the judges'.

use super::identity;
use super::plan::Plan;
use crate::mqtt::codec;
use crate::mqtt::packet::{Connect, Packet, Will, sends_away};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::mqtt::session::{ProtocolError, Session};
use crate::trace::{Breach, ServerName, What};

/// Writes the CONNECT of a client.
pub(super) fn write_connect(plan: &Plan, session: &Session, clean: bool, connection: u32, tx: &mut Vec<u8>) {
    let properties = session.connect_properties();
    let mut will_properties = PropertiesBuf::default();
    let will = plan.will.as_deref();
    if let Some(delay) = will.map(|w| w.delay).filter(|d| *d > 0) {
        will_properties.push(Property::WillDelayInterval(delay));
    }
    let mut payload = will.map_or_else(Default::default, |w| w.payload.clone());
    if let Some(layout) = will.and_then(|w| w.layout) {
        identity::stamp(&mut payload, layout, plan.kind.nonce, plan.id, identity::WILL | connection);
    }
    let connect = Connect {
        version: plan.kind.version,
        clean_start: clean,
        keep_alive: plan.kind.keep_alive,
        client_id: &plan.client_id,
        will: will.map(|w| Will {
            topic: &w.topic,
            payload: &payload,
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

/// A session's complaint, in the judges' words.
pub(super) fn breach_of(error: ProtocolError) -> Breach {
    match error {
        ProtocolError::Unexpected => Breach::Unexpected,
        ProtocolError::TopicAlias => Breach::TopicAlias,
        ProtocolError::Authentication => Breach::Authentication,
        ProtocolError::ReceiveMaximum => Breach::ReceiveMaximum,
    }
}

/// Another server is no place to measure this one: a client that is sent there tells so, and comes back here.
pub(super) fn redirected(reason: u8, reference: Option<&str>) -> Option<What> {
    sends_away(reason).then(|| What::Redirected { reason, to: reference.map(ServerName::new) })
}
