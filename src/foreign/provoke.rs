//! Cuts at the worst moment, so that a client must walk its hard paths. A cut is what any link can do: the broker stays honest.

use super::observer::Gate;
use crate::mqtt::QoS;
use crate::mqtt::packet::Packet;
use crate::scenario::under_test::Cut;

fn fits(cut: Cut, packet: &Packet<'_>, up: bool) -> bool {
    match (cut, packet, up) {
        (Cut::AfterPublish, Packet::Publish(p), true) | (Cut::AfterDelivery, Packet::Publish(p), false) => {
            p.qos != QoS::AtMostOnce
        }
        (Cut::BeforePubAck, Packet::PubAck(_), false)
        | (Cut::BeforePubRec | Cut::AfterPubRec, Packet::PubRec(_), false)
        | (Cut::BeforePubComp, Packet::PubComp(_), false)
        | (Cut::AfterOwnPubRec, Packet::PubRec(_), true)
        | (Cut::AfterPubRel, Packet::PubRel(_), false) => true,
        _ => false,
    }
}

/// Whether the packet itself is lost.
const fn loses_the_packet(cut: Cut) -> bool {
    matches!(cut, Cut::BeforePubAck | Cut::BeforePubRec | Cut::BeforePubComp)
}

/// Decides when to cut one client's connection.
#[derive(Clone, Debug)]
pub struct Provoker {
    cuts: Vec<Cut>,
    every: u32,
    seen: u32,
    next: usize,
}

impl Provoker {
    /// Cuts in turn, each at the `every`-th packet that it fits since the last cut.
    #[must_use]
    pub fn new(cuts: Vec<Cut>, every: u32) -> Self {
        Self { cuts, every: every.max(1), seen: 0, next: 0 }
    }

    /// What to do at this packet: nothing, for nearly all.
    pub fn at(&mut self, packet: &Packet<'_>, up: bool) -> Gate {
        let Some(cut) = self.cuts.get(self.next).copied().filter(|cut| fits(*cut, packet, up)) else {
            return Gate::Pass;
        };
        self.seen += 1;
        if self.seen < self.every {
            return Gate::Pass;
        }
        self.seen = 0;
        self.next = (self.next + 1) % self.cuts.len();
        if loses_the_packet(cut) { Gate::CutBefore } else { Gate::CutAfter }
    }
}
