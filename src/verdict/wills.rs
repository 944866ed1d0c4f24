//! Wills: once when a connection ends without DISCONNECT, at the earlier of its delay and the session's end; not after a clean
//! DISCONNECT, and not if the client came back to its session in time.
//!
//! What one cannot know is not judged: when the broker noticed an end is only bounded by its keep alive; a DISCONNECT on a link
//! may not have come; a broker that was ended may send its wills when it is back, or never.

use super::evidence::Case;
use super::oracle::{Findings, Oracle, Scene, Strength};
use super::rules::Breach;
use crate::promise::{Client, Guarantee, Phases, Promises, SessionPromise, Subscription};
use crate::time::{Duration, Instant};
use crate::trace::{ClientId, EndedBy, Event, What, WillArrived};
use std::collections::{BTreeMap, BTreeSet};

/// Delays travel in whole seconds, and brokers look at them now and then. *Assumed.*
const COARSE: Duration = Duration::from_secs(1);
/// How long after it is due a will may need to be sent and to arrive. *Assumed.*
const GRACE: Duration = Duration::from_secs(5);

/// How a connection with a will ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// With a DISCONNECT that has come for sure.
    Clean,
    /// Without one.
    Broken,
    /// With a DISCONNECT that may not have come.
    Unsure,
}

/// One connection of a client that has a will.
#[derive(Clone, Debug)]
struct Connection {
    /// CONNACK: from then on the broker has the will.
    from: Instant,
    ended: Option<(Instant, End)>,
    /// When the client was back in the same session (CONNECT and CONNACK), or began a new one.
    back: Option<(Instant, Instant, bool)>,
    /// Receivers whose subscription to the will's topic holds, with the QoS granted.
    receivers: BTreeMap<ClientId, (u8, u32)>,
    /// When its first copy came.
    came: Option<Instant>,
    /// A copy that came before the delay had passed. The session may have ended then, which only the client's return tells.
    early: Option<(Instant, Case)>,
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Wills {
    /// Clients with a filter that matches a will's topic.
    listeners: Vec<ClientId>,
    /// By client and the number of its CONNECT.
    connections: BTreeMap<(ClientId, u32), Connection>,
    judged: u64,
    came: u64,
    kept_back: u64,
    returned: u64,
}

impl Wills {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        let topics: BTreeSet<&str> = promises.clients.iter().filter_map(|c| Some(&*c.will.as_ref()?.topic)).collect();
        // A filter without wildcards is looked up; one with is tried on each topic.
        let hears = |s: &Subscription| match s.filter.contains(['+', '#']) {
            true => topics.iter().any(|topic| s.matches(topic)),
            false => topics.contains(&*s.filter),
        };
        let listeners = promises.clients.iter().zip(0..).filter(|(c, _)| c.subscriptions.iter().any(hears));
        let listeners = listeners.map(|(_, id)| ClientId(id)).collect();
        (!topics.is_empty()).then(|| Box::new(Self { listeners, ..Self::default() }) as Box<dyn Oracle>)
    }

    fn connected(&mut self, event: &Event, present: bool, scene: &Scene<'_>) {
        let (client, entry) = (event.client, scene.roster.of(event.client));
        let number = entry.connects;
        if let Some((_, last)) = self.connections.range_mut((client, 0)..(client, number)).next_back()
            && last.ended.is_some()
        {
            last.back.get_or_insert((entry.opened, event.at, present));
        }
        let connection =
            Connection { from: event.at, ended: None, back: None, receivers: BTreeMap::new(), came: None, early: None };
        self.connections.insert((client, number), connection);
    }

    fn disconnected(&mut self, event: &Event, by: EndedBy, scene: &Scene<'_>) {
        let (client, entry) = (event.client, scene.roster.of(event.client));
        let Some(connection) = self.connections.get_mut(&(client, entry.connects)) else { return };
        let end = match by {
            EndedBy::Client if entry.linked => End::Unsure,
            EndedBy::Client => End::Clean,
            _ => End::Broken,
        };
        connection.ended = Some((event.at, end));
        if let Some(will) = scene.promises.clients[client.index()].will.as_ref() {
            let all = self.listeners.iter().filter_map(|c| {
                let (since, granted) = scene.roster.subscribed(*c, &will.topic, scene.promises)?;
                // Who subscribed while the broker may already have published the will may have missed it.
                (since < connection.from).then_some((*c, (granted.min(will.qos), 0)))
            });
            connection.receivers = all.collect();
        }
    }

    /// Nothing is due to a client whose session is gone, or was left for a while.
    fn forget_receiver(&mut self, client: ClientId) {
        for connection in self.connections.values_mut() {
            connection.receivers.remove(&client);
        }
    }

    fn arrived(&mut self, event: &Event, w: WillArrived, scene: &Scene<'_>, findings: &mut Findings) {
        let case = Case { publisher: Some(w.of), subscriber: Some(event.client), number: None };
        let promise = &scene.promises.clients[w.of.index()];
        let Some(will) = &promise.will else { return };
        let subscriptions = &scene.promises.clients[event.client.index()].subscriptions;
        if !subscriptions.iter().any(|s| s.matches(&will.topic)) {
            return findings.add(Breach::WrongSubscription, case);
        }
        if w.qos > will.qos {
            findings.add(Breach::WillContent, case);
        }
        let Some(connection) = self.connections.get_mut(&(w.of, w.connection)) else {
            return; // its CONNACK was never seen
        };
        connection.came.get_or_insert(event.at);
        if let Some((qos, copies)) = connection.receivers.get_mut(&event.client) {
            // A retained one is replayed at each SUBSCRIBE.
            *copies = if w.retain { (*copies).max(1) } else { *copies + 1 };
            let alone = subscriptions.iter().filter(|s| s.matches(&will.topic)).count() == 1;
            if alone && w.qos < *qos {
                findings.add(Breach::WillContent, case);
            }
            // At QoS 1 a further copy may be the same one sent again.
            if alone && *copies > 1 && w.qos != 1 && !w.retain {
                findings.add(Breach::WillTwice, case);
            }
        }
        if let Some((at, End::Broken)) = connection.ended
            && event.at + COARSE < at + delay(promise)
            && !scene.roster.of(w.of).linked
        {
            connection.early.get_or_insert((event.at, case));
        }
    }

    /// What the end of the run knows of one connection.
    fn judge(
        &mut self,
        key: (ClientId, u32),
        c: &Connection,
        scene: &Scene<'_>,
        phases: Phases,
        findings: &mut Findings,
    ) {
        let Some((ended, end)) = c.ended else { return };
        let began_anew = |by: Instant| c.back.is_some_and(|(connect, _, present)| !present && connect <= by);
        if let Some((_, case)) = c.early.filter(|(at, _)| !began_anew(*at)) {
            findings.add(Breach::WillTooEarly, case);
        }
        let promise = &scene.promises.clients[key.0.index()];
        let case = |subscriber| Case { publisher: Some(key.0), subscriber, number: None };
        let delay = delay(promise);
        let earliest = ended + delay;
        // [MQTT-3.1.3-9]: back in the session before the will could be due.
        let in_time = c.back.is_some_and(|(_, connack, present)| present && !delay.is_zero() && connack < earliest);
        let kept_back = end == End::Clean || (in_time && !scene.roster.of(key.0).linked);
        if kept_back {
            self.judged += 1;
            self.kept_back += u64::from(end == End::Clean);
            self.returned += u64::from(in_time && end != End::Clean);
            // A broker that ended while the client was connected may have kept the will for later.
            if c.came.is_some() && !scene.broker_ended(c.from, ended) {
                let breach = if end == End::Clean { Breach::WillAfterDisconnect } else { Breach::WillDespiteReturn };
                findings.add(breach, case(None));
            }
            return;
        }
        if end == End::Unsure {
            return;
        }
        let Some(latest) = latest(c, ended, promise, delay) else { return };
        if latest + GRACE > phases.ended || scene.broker_disturbed(c.from, latest + GRACE) {
            return;
        }
        self.judged += 1;
        self.came += u64::from(c.came.is_some());
        for (receiver, (qos, copies)) in &c.receivers {
            let reachable = scene.roster.of(*receiver).up.is_some_and(|up| up + GRACE < phases.ended);
            if *qos > 0 && *copies == 0 && reachable {
                findings.add(Breach::WillMissing, case(Some(*receiver)));
            }
        }
    }
}

/// The will's delay, or the session's expiry if that is shorter [MQTT-3.1.2-8].
fn delay(promise: &Client) -> Duration {
    let delay = promise.will.as_ref().map_or(Duration::ZERO, |w| w.delay);
    match promise.session {
        SessionPromise::Clean => Duration::ZERO,
        SessionPromise::Persistent(expiry) => expiry.map_or(delay, |e| delay.min(e)),
    }
}

/// When the will must have been published at the latest; none if it need not be, or nobody can say when.
fn latest(c: &Connection, ended: Instant, promise: &Client, delay: Duration) -> Option<Instant> {
    // The broker notices by its keep alive at the latest, or when the client is back.
    let noticed = (!promise.keep_alive.is_zero()).then(|| ended + promise.keep_alive * 3 / 2 + COARSE);
    match (c.back, noticed) {
        // A return takes the old connection over: an undelayed will is due then.
        (Some((_, connack, _)), noticed) if delay.is_zero() => Some(noticed.map_or(connack, |n| n.min(connack))),
        // It came back while the will may not have been due yet: either is right.
        (Some((connect, ..)), Some(noticed)) if connect < noticed + delay + COARSE => None,
        (_, Some(noticed)) => Some(noticed + delay + COARSE),
        (_, None) => None,
    }
}

impl Oracle for Wills {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Wills
    }

    fn observe(&mut self, event: &Event, scene: &Scene<'_>, findings: &mut Findings) {
        let client = event.client;
        let has_will = scene.promises.clients[client.index()].will.is_some();
        match event.what {
            What::Connected { reason: 0, session_present, .. } => {
                if !session_present {
                    self.forget_receiver(client);
                }
                if has_will {
                    self.connected(event, session_present, scene);
                }
            }
            What::Disconnected { by, was_connected: true, .. } if has_will => self.disconnected(event, by, scene),
            What::SessionEnded | What::UnsubscribeSent { .. } => self.forget_receiver(client),
            What::Will(w) => self.arrived(event, w, scene, findings),
            _ => {}
        }
    }

    fn finish(&mut self, scene: &Scene<'_>, phases: Phases, findings: &mut Findings) {
        for (key, connection) in std::mem::take(&mut self.connections) {
            self.judge(key, &connection, scene, phases, findings);
        }
    }

    fn strength(&self) -> Strength {
        let Self { judged, came, kept_back, returned, .. } = self;
        Strength {
            cases: *judged,
            sentence: format!(
                "{judged} connections with a will ended and can be judged: {came} wills came, {kept_back} were given up by \
                 DISCONNECT, {returned} by a return in time"
            ),
            hard_paths: vec![("connections with a will broken", *came), ("wills given up by DISCONNECT", *kept_back)],
        }
    }
}
