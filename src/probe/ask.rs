//! How questions are asked: the smallest exchange that shows the answer.

use super::{Ctx, Step, Value};
use crate::mqtt::QoS;
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::Property;
use crate::peer::message::Message;
use crate::peer::{Got, Peer, Received, at};

/// The code of a CONNACK that refuses.
pub(super) fn refusal(connack: &Received) -> Option<u8> {
    match connack.packet() {
        Packet::ConnAck(c) if c.reason != 0 => Some(c.reason),
        _ => None,
    }
}

/// A property of a CONNACK.
pub(super) fn said<T>(connack: &Received, pick: impl FnMut(Property<'_>) -> Option<T>) -> Option<T> {
    match connack.packet() {
        Packet::ConnAck(c) => c.properties.find(pick),
        _ => None,
    }
}

/// An exchange that had to come to its end; where it did not, that is the answer.
pub(super) fn or_no(result: Step<Value>) -> Value {
    result.unwrap_or_else(|surprise| Value::No(surprise.to_string()))
}

/// An exchange that must come to its end before anything can be said.
pub(super) fn or_unknown(result: Step<Value>) -> Value {
    result.unwrap_or_else(|surprise| Value::Unknown(surprise.to_string()))
}

/// Publishes from one client what another has subscribed to by `filter`; what arrives.
pub(super) fn pass(ctx: &Ctx<'_>, filter: &str, topic: &str, qos: QoS) -> Step<(QoS, Message)> {
    let mut subscriber = ctx.client("sub")?;
    let granted = subscriber.subscribe(filter, at(qos))?;
    let mut publisher = ctx.client("pub")?;
    let code = publisher.publish(&Message::new(topic, qos, "probe"))?;
    if code >= 0x80 {
        return Err(crate::peer::Surprise {
            peer: "pub".into(),
            wanted: "to publish".into(),
            got: Got::Broken(format!("it was refused with 0x{code:02X}")),
        });
    }
    let message = subscriber.message()?;
    publisher.disconnect();
    subscriber.disconnect();
    Ok((granted, message))
}

/// How many PUBLISHes come until there is silence; each is acknowledged if `answer` says so.
pub(super) fn count(peer: &mut Peer, most: usize, answer: bool) -> usize {
    let mut came = 0;
    while came < most {
        let Got::Packet(received) = peer.next(peer.quiet * 6) else { break };
        if let Packet::Publish(p) = received.packet() {
            came += 1;
            if answer && peer.acknowledge(&Message::of(&p)).is_err() {
                break;
            }
        }
    }
    came
}
