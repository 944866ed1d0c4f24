//! Drives rumqttc, as its documentation has applications use it: poll the event loop for ever, wait after an error, subscribe when
//! a CONNACK tells of a new session.

use super::super::load_loop::{GONE, HEALED};
use crate::clock::Clock;
use crate::device::identity::{self, Reading};
use crate::device::plan::{Plan, Publishes};
use crate::foreign::ledger::Ledger;
use crate::mqtt::{QoS, Version};
use crate::time::{Duration, Instant};
use crate::trace::Discard;
use rumqttc::v5;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

/// One client to drive.
pub(super) struct Driven {
    pub plan: Box<Plan>,
    /// Where its link listens.
    pub addr: SocketAddr,
    pub ledger: Arc<Mutex<Ledger>>,
}

/// Drives all of them, until `phase` says that the load loops have ended: until then, what they do is judged.
pub(super) fn drive(clients: Vec<Driven>, clock: Clock, phase: &Arc<AtomicU8>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let lives: Vec<_> = clients
            .into_iter()
            .map(|driven| {
                let phase = Arc::clone(phase);
                tokio::task::spawn_local(async move {
                    until(driven.plan.start, clock).await;
                    match driven.plan.kind.version {
                        Version::V5 => {
                            let (requests, events) = client_of_5_0(&driven);
                            live(requests, events, driven, clock, phase).await;
                        }
                        _ => {
                            let (requests, events) = client_of_3_1_1(&driven);
                            live(requests, events, driven, clock, phase).await;
                        }
                    }
                })
            })
            .collect();
        for life in lives {
            let _ = life.await;
        }
    });
    Ok(())
}

/// What happened in rumqttc's event loop.
enum Came {
    /// CONNACK, and whether the session goes on.
    Connected(bool),
    /// A message was handed to the application: its topic, QoS, and payload.
    Message(String, u8, Vec<u8>),
    Other,
}

/// Both versions' requests, seen alike.
trait Requests: Clone + 'static {
    /// Hands a message over, unless the library's queue is full.
    fn publish(&self, topic: &str, qos: QoS, retain: bool, payload: Vec<u8>) -> bool;
    /// Asks for the subscriptions, as soon as there is room.
    fn subscribe(&self, filters: Vec<(String, QoS)>);
}

/// Both versions' event loops, seen alike. A poll must not be given up half-way: it may be connecting.
#[allow(async_fn_in_trait, reason = "private, and on one thread")]
trait Events: 'static {
    async fn poll(&mut self) -> Result<Came, ()>;
}

async fn live(requests: impl Requests, events: impl Events, driven: Driven, clock: Clock, phase: Arc<AtomicU8>) {
    let Driven { mut plan, ledger, .. } = driven;
    let polls = tokio::task::spawn_local(poll_for_ever(
        requests.clone(),
        events,
        plan.clone(),
        Arc::clone(&ledger),
        clock,
        Arc::clone(&phase),
    ));
    let mut number = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while phase.load(Ordering::Relaxed) < GONE {
        tick.tick().await;
        if phase.load(Ordering::Relaxed) < HEALED {
            publish_what_is_due(&requests, &mut plan, &mut number, clock.now(), &ledger);
        }
    }
    polls.abort();
}

async fn poll_for_ever(
    requests: impl Requests,
    mut events: impl Events,
    mut plan: Box<Plan>,
    ledger: Arc<Mutex<Ledger>>,
    clock: Clock,
    phase: Arc<AtomicU8>,
) {
    loop {
        match events.poll().await {
            Ok(came) => happened(came, &requests, &mut plan, &ledger),
            Err(()) => {
                let until = clock.now() + plan.backoff.next_wait();
                // Once the links are healed, whoever waits connects at once, as squall's own clients do.
                let waits = phase.load(Ordering::Relaxed);
                while clock.now() < until && phase.load(Ordering::Relaxed) == waits {
                    pause(Duration::from_millis(5)).await;
                }
            }
        }
        if phase.load(Ordering::Relaxed) >= GONE {
            return;
        }
    }
}

fn publish_what_is_due(
    requests: &impl Requests,
    plan: &mut Plan,
    number: &mut u32,
    now: Instant,
    ledger: &Mutex<Ledger>,
) {
    let (id, kind) = (plan.id, Arc::clone(&plan.kind));
    let Some(Publishes { topic, payload, layout, schedule }) = &mut plan.publishes else { return };
    while let Some(intended) = schedule.peek().filter(|t| *t <= now) {
        schedule.advance();
        identity::stamp(payload, *layout, kind.nonce, id, *number);
        // The ledger first: the message may be on the wire before this thread goes on.
        ledger.lock().expect("nobody panics while holding it").intended.push(intended);
        if !requests.publish(topic, kind.qos, kind.retain, payload.to_vec()) {
            ledger.lock().expect("nobody panics while holding it").refused.push((*number, Discard::OutboxFull));
        }
        *number += 1;
    }
}

fn happened(came: Came, requests: &impl Requests, plan: &mut Plan, ledger: &Mutex<Ledger>) {
    match came {
        Came::Connected(session_present) => {
            plan.backoff.reset();
            if !session_present && !plan.filters.is_empty() {
                let filters = plan.filters.iter().zip(&plan.kind.subscriptions);
                requests.subscribe(filters.map(|(f, options)| (f.to_string(), options.qos)).collect());
            }
        }
        Came::Message(topic, 2, payload) => {
            if let Reading::Message { publisher, number, .. } = plan.kind.directory.read(&topic, &payload) {
                let mut ledger = ledger.lock().expect("nobody panics while holding it");
                *ledger.handed.entry((publisher, number)).or_default() += 1;
            }
        }
        Came::Message(..) | Came::Other => {}
    }
}

async fn until(at: Instant, clock: Clock) {
    pause(at.since(clock.now())).await;
}

#[allow(clippy::disallowed_methods, reason = "the driver's one place to wait")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

fn capacity(driven: &Driven) -> usize {
    driven.plan.kind.outbox_limit.clamp(1, 1 << 20) as usize
}

fn client_of_3_1_1(driven: &Driven) -> (rumqttc::AsyncClient, rumqttc::EventLoop) {
    let (plan, kind) = (&driven.plan, &driven.plan.kind);
    let mut options = rumqttc::MqttOptions::new(&*plan.client_id, driven.addr.ip().to_string(), driven.addr.port());
    options
        .set_clean_session(!kind.persistent)
        .set_keep_alive(Duration::from_secs(kind.keep_alive.into()))
        .set_inflight(kind.window)
        .set_max_packet_size(1 << 28, 1 << 28);
    if let Some((user, password)) = &plan.credentials {
        options.set_credentials(&**user, password.as_deref().unwrap_or(""));
    }
    let (client, mut events) = rumqttc::AsyncClient::new(options, capacity(driven));
    events.network_options.set_connection_timeout(kind.connect_timeout.as_secs().max(1));
    events.network_options.set_tcp_nodelay(true);
    (client, events)
}

impl Requests for rumqttc::AsyncClient {
    fn publish(&self, topic: &str, qos: QoS, retain: bool, payload: Vec<u8>) -> bool {
        self.try_publish(topic, four(qos), retain, payload).is_ok()
    }

    fn subscribe(&self, filters: Vec<(String, QoS)>) {
        let client = self.clone();
        let filters: Vec<_> = filters.into_iter().map(|(f, q)| rumqttc::SubscribeFilter::new(f, four(q))).collect();
        tokio::task::spawn_local(async move {
            let _ = client.subscribe_many(filters).await;
        });
    }
}

impl Events for rumqttc::EventLoop {
    async fn poll(&mut self) -> Result<Came, ()> {
        use rumqttc::{Event, Packet};
        match self.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(c))) => Ok(Came::Connected(c.session_present)),
            Ok(Event::Incoming(Packet::Publish(p))) => Ok(Came::Message(p.topic, p.qos as u8, p.payload.to_vec())),
            Ok(_) => Ok(Came::Other),
            Err(_) => Err(()),
        }
    }
}

fn four(qos: QoS) -> rumqttc::QoS {
    match qos {
        QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
        QoS::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        QoS::ExactlyOnce => rumqttc::QoS::ExactlyOnce,
    }
}

fn client_of_5_0(driven: &Driven) -> (v5::AsyncClient, v5::EventLoop) {
    let (plan, kind) = (&driven.plan, &driven.plan.kind);
    let mut options = v5::MqttOptions::new(&*plan.client_id, driven.addr.ip().to_string(), driven.addr.port());
    options
        .set_clean_start(!kind.persistent)
        .set_keep_alive(Duration::from_secs(kind.keep_alive.into()))
        .set_outgoing_inflight_upper_limit(kind.window)
        .set_receive_maximum(Some(kind.receive_maximum))
        .set_session_expiry_interval(kind.persistent.then_some(kind.session_expiry))
        .set_connection_timeout(kind.connect_timeout.as_secs().max(1));
    if let Some((user, password)) = &plan.credentials {
        options.set_credentials(&**user, password.as_deref().unwrap_or(""));
    }
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    v5::AsyncClient::new(options, capacity(driven))
}

impl Requests for v5::AsyncClient {
    fn publish(&self, topic: &str, qos: QoS, retain: bool, payload: Vec<u8>) -> bool {
        self.try_publish(topic, five(qos), retain, payload).is_ok()
    }

    fn subscribe(&self, filters: Vec<(String, QoS)>) {
        let client = self.clone();
        let filters: Vec<_> = filters.into_iter().map(|(f, q)| v5::mqttbytes::v5::Filter::new(f, five(q))).collect();
        tokio::task::spawn_local(async move {
            let _ = client.subscribe_many(filters).await;
        });
    }
}

impl Events for v5::EventLoop {
    async fn poll(&mut self) -> Result<Came, ()> {
        use v5::Event;
        use v5::mqttbytes::v5::Packet;
        match self.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(c))) => Ok(Came::Connected(c.session_present)),
            Ok(Event::Incoming(Packet::Publish(p))) => {
                let topic = String::from_utf8_lossy(&p.topic).into_owned();
                Ok(Came::Message(topic, p.qos as u8, p.payload.to_vec()))
            }
            Ok(_) => Ok(Came::Other),
            Err(_) => Err(()),
        }
    }
}

fn five(qos: QoS) -> v5::mqttbytes::QoS {
    match qos {
        QoS::AtMostOnce => v5::mqttbytes::QoS::AtMostOnce,
        QoS::AtLeastOnce => v5::mqttbytes::QoS::AtLeastOnce,
        QoS::ExactlyOnce => v5::mqttbytes::QoS::ExactlyOnce,
    }
}
