//! All cases, a file a theme.

mod connect;
mod delivery;
mod ending;
mod flow;
mod malformed;
mod options;
mod properties;
mod publish;
mod raw;
mod refused;
mod retained;
mod session;
mod shared;
mod subscribe;
mod topics;
mod websocket;
mod will;

use super::case::Case;
use crate::mqtt::QoS;
use crate::mqtt::packet::SubscribeOptions;

const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;
const ALL_QOS: [QoS; 3] = [Q0, Q1, Q2];

/// Plain subscription options.
const fn at(qos: QoS) -> SubscribeOptions {
    SubscribeOptions { qos, no_local: false, retain_as_published: false, retain_handling: 0 }
}

/// Every case, in the order in which they are told.
#[must_use]
pub fn all() -> Vec<Case> {
    let themes = [
        connect::cases(),
        refused::cases(),
        session::cases(),
        will::cases(),
        malformed::cases(),
        publish::cases(),
        delivery::cases(),
        retained::cases(),
        flow::cases(),
        properties::cases(),
        subscribe::cases(),
        options::cases(),
        shared::cases(),
        topics::cases(),
        ending::cases(),
        websocket::cases(),
    ];
    themes.into_iter().flatten().collect()
}
