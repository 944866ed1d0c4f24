//! Take-over: a second connection with the same client identifier ends the first [MQTT-3.1.4-2] (5.0: [MQTT-3.1.4-3]).
//!
//! The reason code 0x8E is no more than asked for: a broker that only closes is accepted.

use super::evidence::Case;
use super::oracle::{Findings, Oracle, Scene, Strength};
use super::rules::Breach;
use crate::promise::{Guarantee, Phases, Promises};
use crate::time::{Duration, Instant};
use crate::trace::{ClientId, Event, What};
use std::collections::BTreeMap;

/// How long after CONNACK of the new connection the old one may still be open. *Assumed.*
const GRACE: Duration = Duration::from_secs(3);

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct TakeOver {
    /// When a client left its connection open, and when it had the next one.
    open: BTreeMap<ClientId, (Instant, Option<Instant>)>,
    /// Connections that were open for too long: from the take-over on, to when.
    kept: Vec<(ClientId, Instant, Instant)>,
    closed: u64,
}

impl TakeOver {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        promises.clients.iter().any(|c| c.deeds.takes_over).then(|| Box::new(Self::default()) as Box<dyn Oracle>)
    }

    fn over(&mut self, client: ClientId, until: Instant) {
        if let Some((since, Some(connack))) = self.open.remove(&client)
            && until > connack + GRACE
        {
            self.kept.push((client, since, until));
        }
    }
}

impl Oracle for TakeOver {
    fn guarantee(&self) -> Guarantee {
        Guarantee::TakeOver
    }

    fn observe(&mut self, event: &Event, _: &Scene<'_>, _: &mut Findings) {
        match event.what {
            What::TakesOver => {
                self.open.insert(event.client, (event.at, None));
            }
            What::Connected { reason: 0, .. } => {
                if let Some((_, connack)) = self.open.get_mut(&event.client) {
                    connack.get_or_insert(event.at);
                }
            }
            What::OldConnectionClosed { .. } => {
                self.closed += 1;
                self.over(event.client, event.at);
            }
            _ => {}
        }
    }

    fn finish(&mut self, scene: &Scene<'_>, phases: Phases, findings: &mut Findings) {
        for client in self.open.keys().copied().collect::<Vec<_>>() {
            self.over(client, phases.ended);
        }
        for (client, ..) in self.kept.drain(..).filter(|(_, from, to)| !scene.broker_disturbed(*from, *to)) {
            findings.add(Breach::OldConnectionKept, Case { subscriber: Some(client), ..Case::default() });
        }
    }

    fn strength(&self) -> Strength {
        Strength {
            cases: self.closed,
            sentence: format!("{} connections taken over, and the old ones closed", self.closed),
            hard_paths: vec![("connections taken over", self.closed)],
        }
    }
}
