//! Keep alive: who is silent for one and a half times as long is closed [MQTT-3.1.2-24] (5.0: [MQTT-3.1.2-22]), and who
//! pinged in time is not.

use super::evidence::Case;
use super::oracle::{Findings, Oracle, Scene, Strength};
use super::rules::Breach;
use crate::promise::{Guarantee, Phases, Promises};
use crate::time::{Duration, Instant};
use crate::trace::{ClientId, EndedBy, Event, What};
use std::collections::BTreeMap;

/// How much later than one and a half times the keep alive a close may come: brokers look at their clients now and then, and
/// the close has a way to go. mosquitto 2.0 looks every 6 s and counts whole seconds (its `keepalive.c`): up to 8 s together.
const GRACE: Duration = Duration::from_secs(8);
/// Server-side reason code: keep alive timeout.
const TIMED_OUT: u8 = 0x8D;

/// A client that is silent on an open connection.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    keep_alive: u16,
}

impl Silence {
    fn limit(self) -> Instant {
        self.since + Duration::from_millis(u64::from(self.keep_alive) * 1500)
    }
}

/// A finding that stands unless the broker was disturbed between two instants.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    breach: Breach,
    client: ClientId,
    from: Instant,
    to: Instant,
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct KeepAlive {
    silent: BTreeMap<ClientId, Silence>,
    /// The last PINGREQ of each connection on which nothing else was sent since.
    pinged: BTreeMap<ClientId, Instant>,
    suspicions: Vec<Suspicion>,
    closed: u64,
    pings: u64,
}

impl KeepAlive {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        promises.clients.iter().any(|c| c.deeds.goes_silent).then(|| Box::new(Self::default()) as Box<dyn Oracle>)
    }

    fn disconnected(&mut self, event: &Event, by: EndedBy, scene: &Scene<'_>) {
        let client = event.client;
        let by_broker = matches!(by, EndedBy::Broker(_) | EndedBy::Reset);
        let pinged = self.pinged.remove(&client);
        if let Some(silence) = self.silent.remove(&client) {
            self.silence_over(client, silence, event.at, by_broker);
            return;
        }
        let promise = &scene.promises.clients[client.index()];
        let says_so = by == EndedBy::Broker(Some(TIMED_OUT)) || (promise.mqtt_level < 5 && by == EndedBy::Broker(None));
        // A link may have held the PINGREQ back.
        let Some(pinged) = pinged.filter(|_| says_so && !scene.roster.of(client).linked) else { return };
        let within = if promise.mqtt_level < 5 { promise.keep_alive } else { promise.keep_alive * 3 / 2 };
        if event.at.since(pinged) < within {
            self.suspicions.push(Suspicion { breach: Breach::ClosedEarly, client, from: pinged, to: event.at });
        }
    }

    /// It sent something: if it was silent, nobody had closed its connection.
    fn spoke(&mut self, client: ClientId, at: Instant) {
        if let Some(silence) = self.silent.remove(&client) {
            self.silence_over(client, silence, at, false);
        }
    }

    fn silence_over(&mut self, client: ClientId, silence: Silence, at: Instant, by_broker: bool) {
        if silence.keep_alive == 0 {
            return;
        }
        if at > silence.limit() + GRACE {
            let from = silence.since;
            self.suspicions.push(Suspicion { breach: Breach::NeverClosed, client, from, to: at });
        }
        self.closed += u64::from(by_broker);
    }
}

impl Oracle for KeepAlive {
    fn guarantee(&self) -> Guarantee {
        Guarantee::KeepAlive
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn observe(&mut self, event: &Event, scene: &Scene<'_>, _: &mut Findings) {
        let client = event.client;
        match event.what {
            What::Silent { since, keep_alive } => {
                self.silent.insert(client, Silence { since, keep_alive });
            }
            What::Pinged => {
                self.spoke(client, event.at);
                self.pings += 1;
                self.pinged.insert(client, event.at);
            }
            What::Sent(_) | What::TransportOpen => {
                self.spoke(client, event.at);
                self.pinged.remove(&client);
            }
            What::Disconnected { by, .. } => self.disconnected(event, by, scene),
            _ => {}
        }
    }

    fn finish(&mut self, scene: &Scene<'_>, phases: Phases, findings: &mut Findings) {
        for (client, silence) in std::mem::take(&mut self.silent) {
            self.silence_over(client, silence, phases.ended, false);
        }
        for s in self.suspicions.drain(..).filter(|s| !scene.broker_disturbed(s.from, s.to)) {
            findings.add(s.breach, Case { subscriber: Some(s.client), ..Case::default() });
        }
    }

    fn strength(&self) -> Strength {
        Strength {
            cases: self.closed + self.pings,
            sentence: format!("{} silent clients closed, {} PINGREQs", self.closed, self.pings),
            hard_paths: vec![("silent clients closed", self.closed)],
        }
    }
}
