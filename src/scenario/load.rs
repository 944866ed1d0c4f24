//! The load that a scenario offers, in numbers.

use super::model::{Fleet, Payload, PublishSpec, Rhythm, Scenario, Schedule};
use crate::mqtt::{QoS, Version, codec};

/// The load that a scenario offers.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Load {
    /// MQTT clients.
    pub clients: u64,
    /// Messages that will be published, on average.
    pub messages: f64,
    /// Messages a second, on average over the load.
    pub rate: f64,
    /// MQTT bytes a second towards the broker, of these messages and their hand-shakes, nothing lost.
    pub bytes_in: f64,
    /// MQTT bytes a second of the hand-shakes back.
    pub bytes_back: f64,
}

/// The load that a scenario offers.
#[must_use]
pub fn load(scenario: &Scenario) -> Load {
    let mut load = Load::default();
    load.clients += scenario.subscribers.iter().map(|s| u64::from(s.count)).sum::<u64>();
    for fleet in &scenario.fleets {
        load.clients += u64::from(fleet.sensors);
        if let Some(publish) = &fleet.publish {
            let rate = f64::from(fleet.sensors) * mean_rate(&publish.schedule);
            let cost = mean_cost(fleet, publish);
            load.rate += rate;
            load.messages += rate * scenario.duration.as_secs_f64();
            load.bytes_in += rate * cost.forward;
            load.bytes_back += rate * cost.back;
        }
    }
    load
}

/// Messages a second of one sensor, duty cycle included.
#[must_use]
pub fn mean_rate(s: &Schedule) -> f64 {
    let (Rhythm::Every(gap) | Rhythm::Poisson(gap)) = s.rhythm;
    let share = s.duty.map_or(1.0, |d| d.on.as_secs_f64() / (d.on + d.off).as_secs_f64());
    f64::from(s.burst) * share / gap.as_secs_f64()
}

/// MQTT bytes of a message and its hand-shake, nothing lost.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Cost {
    /// PUBLISH, and PUBREL at QoS 2.
    pub forward: f64,
    /// PUBACK, or PUBREC and PUBCOMP, in their short form.
    pub back: f64,
}

/// An acknowledgement in its short form, in bytes: in 5.0 too, if there is nothing to say.
pub const ACK: u32 = 4;

/// What a message of this client costs.
#[must_use]
pub fn cost(fleet: &Fleet, publish: &PublishSpec, index: u32) -> Cost {
    let bytes = f64::from(publish_bytes(fleet, publish, index));
    let ack = f64::from(ACK);
    match publish.qos {
        0 => Cost { forward: bytes, back: 0.0 },
        1 => Cost { forward: bytes, back: ack },
        _ => Cost { forward: bytes + ack, back: 2.0 * ack },
    }
}

/// Sensors that stand for their fleet: all of them, or some 10,000 that stand evenly in it.
pub fn sample(fleet: &Fleet) -> impl Iterator<Item = u32> + use<> {
    let step = fleet.sensors.div_ceil(10_000).max(1);
    (0..fleet.sensors).step_by(step as usize)
}

/// What a message of this fleet costs on average: topics and payloads differ in length between its sensors.
#[must_use]
pub fn mean_cost(fleet: &Fleet, publish: &PublishSpec) -> Cost {
    let n = sample(fleet).count().max(1) as f64;
    let add = |a: Cost, c: Cost| Cost { forward: a.forward + c.forward, back: a.back + c.back };
    let sum = sample(fleet).map(|i| cost(fleet, publish, i)).fold(Cost::default(), add);
    Cost { forward: sum.forward / n, back: sum.back / n }
}

/// The length of a client's payload, in bytes.
#[must_use]
pub fn payload_bytes(fleet: &Fleet, publish: &PublishSpec, index: u32) -> u32 {
    match &publish.payload {
        Payload::Size(n) => *n,
        Payload::Template(t) => u32::try_from(t.fill(&fleet.name, index).len()).unwrap_or(u32::MAX),
    }
}

/// The length of a client's PUBLISH, in bytes: what the codec writes.
#[must_use]
pub fn publish_bytes(fleet: &Fleet, publish: &PublishSpec, index: u32) -> u32 {
    let payload = payload_bytes(fleet, publish, index);
    let header = codec::PublishHeader {
        dup: false,
        qos: QoS::from_u8(publish.qos).unwrap_or_default(),
        retain: publish.retain,
        topic: &publish.topic.fill(&fleet.name, index),
        packet_id: (publish.qos > 0).then_some(crate::mqtt::PacketId::MIN),
    };
    let mut packet = Vec::new();
    codec::encode_publish(
        Version::from_level(fleet.device.mqtt_level).unwrap_or(Version::V5),
        header,
        &[],
        &mut packet,
    );
    // Without its payload: one byte of type, one or more of length, the rest. The length grows with the payload.
    let fixed = 1 + length_bytes(remaining(&packet));
    let rest = u32::try_from(packet.len()).unwrap_or(u32::MAX) - fixed;
    let whole = rest.saturating_add(payload);
    1 + length_bytes(whole) + whole
}

/// The remaining length that a packet tells.
fn remaining(packet: &[u8]) -> u32 {
    let mut value = 0;
    for (i, byte) in packet.iter().skip(1).take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// How many bytes a variable byte integer takes (MQTT 5.0, 1.5.5).
fn length_bytes(value: u32) -> u32 {
    match value {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}
