//! Packet identifiers that the broker cannot know to be free: what came in one read was all sent before any of it was answered.

use crate::mqtt::packet::{Packet, Publish};
use crate::mqtt::{PacketId, QoS};

/// The last QoS 1 messages in what one read brought, by identifier and payload: our PUBACK is not on its way yet.
///
/// A message that came with DUP may have been answered before, and its identifier be free.
#[derive(Debug, Default)]
pub(super) struct Unanswered<'a> {
    last: [Option<(PacketId, &'a [u8])>; 8],
    next: usize,
}

impl<'a> Unanswered<'a> {
    /// True if the packet begins another message under an identifier that is in use [MQTT-2.2.1-4] (3.1.1: [MQTT-2.3.1-4]).
    /// For QoS 2 messages the session tells a repeat from another message, over reads and connections.
    pub fn is_in_use(&mut self, packet: &Packet<'a>) -> bool {
        let Packet::Publish(Publish { packet_id: Some(id), qos, dup, payload, .. }) = *packet else { return false };
        let taken = self.last.iter().flatten().any(|(used, of)| *used == id && *of != payload);
        if qos == QoS::AtLeastOnce && !dup {
            self.last[self.next] = Some((id, payload));
            self.next = (self.next + 1) % self.last.len();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::properties::Properties;

    fn publish(id: u16, qos: QoS, payload: &[u8]) -> Packet<'_> {
        let packet_id = PacketId::new(id);
        let properties = Properties::EMPTY;
        Packet::Publish(Publish { dup: false, qos, retain: false, topic: "t", packet_id, properties, payload })
    }

    fn again(packet: Packet<'_>) -> Packet<'_> {
        if let Packet::Publish(p) = packet { Packet::Publish(Publish { dup: true, ..p }) } else { packet }
    }

    #[test]
    fn an_identifier_is_in_use_until_it_can_have_been_answered() {
        let (one, two) = (QoS::AtLeastOnce, QoS::ExactlyOnce);
        for (packets, taken) in [
            (vec![publish(1, one, b"a"), publish(2, one, b"b")], false),
            (vec![publish(1, one, b"a"), publish(1, one, b"a")], false),
            (vec![publish(1, one, b"a"), publish(1, one, b"b")], true),
            (vec![publish(1, one, b"a"), publish(1, two, b"b")], true),
            (vec![again(publish(1, one, b"a")), publish(1, one, b"b")], false),
            (vec![publish(0, QoS::AtMostOnce, b"a"), publish(0, QoS::AtMostOnce, b"b")], false),
        ] {
            let mut unanswered = Unanswered::default();
            assert_eq!(packets.iter().any(|p| unanswered.is_in_use(p)), taken, "{packets:?}");
        }
    }
}
