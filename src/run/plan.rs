//! From a scenario and a seed to devices and promises.

use super::features;
use crate::device::backoff::Backoff;
use crate::device::identity::{Directory, Layout};
use crate::device::plan::{Kind, Plan, Publishes, Will};
use crate::device::schedule::Schedule;
use crate::link::capture::Tap;
use crate::link::spec::LinkSpec;
use crate::link::{Channels, OpenPath, Path};
use crate::mqtt::{QoS, Version};
use crate::promise::{self, BrokerPromises, HardPath, Promises, SessionPromise};
use crate::scenario::model::{DeviceSpec, FaultAction, Fleet, Keeps, Payload, PublishSpec, Scenario, SessionSpec};
use crate::scenario::under_test::UnderTest;
use crate::scenario::words::percent;
use crate::seed::Stream;
use crate::time::{Duration, Instant};
use crate::trace::{ClientId, FaultKind, FaultMark};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// One client, ready to be made.
#[derive(Debug)]
pub struct Planned {
    /// The device. Boxed, like the link: plans are moved from list to list, and the largest moment counts.
    pub plan: Box<Plan>,
    /// Its link, if it has one.
    pub link: Option<Box<PlannedLink>>,
    /// When its connection is dropped on its way, latest first.
    pub drops: Vec<Instant>,
    /// Its group's index.
    pub group: u16,
    /// Its transport, if its group names one.
    pub transport: Option<crate::transport::Kind>,
    /// None: squall's own client.
    pub under_test: Option<Box<PlannedTest>>,
}

/// A client under test, before it has somebody to stand in for it.
#[derive(Debug)]
pub struct PlannedTest {
    /// What the scenario says.
    pub spec: UnderTest,
    /// Its fleet's name.
    pub fleet: String,
    /// Its index in the fleet.
    pub sensor: u32,
}

/// A client's link, before it is decided who speaks TCP on it.
#[derive(Debug)]
pub struct PlannedLink {
    /// What it is.
    pub spec: Arc<LinkSpec>,
    up: Stream,
    down: Stream,
    ports: Stream,
    /// Where its packets are written down.
    pub(super) tap: Option<Tap>,
}

impl PlannedLink {
    /// smoltcp on both ends.
    #[must_use]
    pub fn path(self) -> Path {
        let mut path = Path::new(self.spec, self.up, self.down, self.ports);
        self.tap.into_iter().for_each(|tap| path.capture(tap));
        path
    }

    /// smoltcp at the sensor's end alone.
    #[must_use]
    pub fn open_path(self, address: Ipv4Addr, peer: SocketAddrV4) -> OpenPath {
        let mut path = OpenPath::new(self.spec, (self.up, self.down, self.ports), address, peer);
        self.tap.into_iter().for_each(|tap| path.capture(tap));
        path
    }

    /// The link without anybody at its ends.
    #[must_use]
    pub fn channels(self) -> Channels {
        let mut channels = Channels::new(self.spec, self.up, self.down);
        self.tap.into_iter().for_each(|tap| channels.capture(tap));
        channels
    }
}

/// A whole run, ready to begin.
#[derive(Debug)]
pub struct RunPlan {
    /// What was promised.
    pub promises: Arc<Promises>,
    /// The clients, by id.
    pub clients: Vec<Planned>,
    /// When the steady phase begins.
    pub steady_from: Instant,
    /// When publishing stops and the drain begins.
    pub drain_from: Instant,
}

/// One fleet or subscriber group, seen alike.
struct GroupView<'a> {
    name: &'a str,
    count: u32,
    device: &'a DeviceSpec,
    fleet: Option<&'a Fleet>,
}

/// Plans a run. `nonce` marks its messages; `credentials` are the target's own, where a group has none.
#[must_use]
pub fn plan(
    scenario: &Scenario,
    seed: u64,
    nonce: u32,
    broker: BrokerPromises,
    credentials: Option<&(String, String)>,
) -> RunPlan {
    let steady_from = Instant::ZERO + scenario.ramp;
    let drain_from = steady_from + scenario.duration;
    let subscribers = scenario.subscribers.iter().map(|s| GroupView {
        name: &s.name,
        count: s.count,
        device: &s.device,
        fleet: None,
    });
    let fleets = scenario.fleets.iter().map(|f| GroupView {
        name: &f.name,
        count: f.sensors,
        device: &f.device,
        fleet: Some(f),
    });
    // Subscribers first: their ids and their start do not depend on how many sensors there are.
    let groups: Vec<GroupView<'_>> = subscribers.chain(fleets).collect();
    let directory = Arc::new(directory(&groups, nonce));
    let mut promises = promises(scenario, &groups, broker);
    let mut clients = Vec::new();
    for (g, group) in groups.iter().enumerate() {
        let kind = Arc::new(kind(group, &directory, nonce, steady_from, drain_from));
        for index in 0..group.count {
            let start = match group.fleet {
                // Its own draw, so that nobody's start depends on how many others there are.
                Some(_) => {
                    let mut stream = Stream::named(seed, &[group.name, &index.to_string(), "start"]);
                    Instant::ZERO + stream.duration_below(scenario.ramp.max(Duration::from_nanos(1)))
                }
                None => Instant::ZERO,
            };
            let start = group.device.features.start.unwrap_or(start);
            let id = ClientId(u32::try_from(clients.len()).expect("fewer than 2^32 clients"));
            let entity = Entity { scenario, seed, group, index, id, nonce, steady_from, drain_from };
            clients.push(Planned {
                plan: Box::new(entity.device(Arc::clone(&kind), start, credentials)),
                link: entity.link().map(Box::new),
                drops: entity.drops(),
                transport: group.device.transport,
                under_test: group
                    .device
                    .under_test
                    .clone()
                    .map(|spec| Box::new(PlannedTest { spec, fleet: group.name.to_owned(), sensor: index })),
                group: u16::try_from(g).unwrap_or(u16::MAX),
            });
            promises.clients.push(entity.promise(u16::try_from(g).unwrap_or(u16::MAX)));
        }
    }
    promises.faults.sort_by_key(|f| f.at);
    RunPlan { promises: Arc::new(promises), clients, steady_from, drain_from }
}

fn directory(groups: &[GroupView<'_>], nonce: u32) -> Directory {
    let mut directory = Directory::new(nonce);
    for group in groups {
        let publish = group.fleet.and_then(|f| f.publish.as_ref());
        let expected = publish.and_then(|p| features::expected(&p.features)).map(Arc::new);
        for index in 0..group.count {
            let publishes = group.fleet.and_then(|f| f.publish.as_ref()).map(|p| {
                let (payload, layout) = payload(p, group.name, index);
                drop(payload);
                (p.topic.fill(group.name, index), layout)
            });
            directory.push(publishes.as_ref().map(|(topic, layout)| (topic.as_str(), *layout)));
            if let Some(expected) = &expected {
                directory.push_expected(expected);
            }
            if let Some(will) = group.device.will.as_ref()
                && let (payload, Some(_)) = features::will_payload(will)
            {
                let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                directory.push_will(&will.topic.fill(group.name, index), length);
            }
        }
    }
    directory
}

fn payload(p: &PublishSpec, group: &str, index: u32) -> (Box<[u8]>, Layout) {
    let (bytes, offset, hex) = match &p.payload {
        Payload::Size(length) => (vec![b'.'; *length as usize], 0, false),
        Payload::Template(t) => {
            let offset = t.id_offset(group, index).expect("checked: {id} is there once");
            (t.fill(group, index).into_bytes(), offset, true)
        }
    };
    let length = u32::try_from(bytes.len()).expect("checked: payloads are below 4 GiB");
    (bytes.into(), Layout { offset: u32::try_from(offset).unwrap_or(0), hex, length })
}

fn promises(scenario: &Scenario, groups: &[GroupView<'_>], broker: BrokerPromises) -> Promises {
    let mut promises = Promises {
        broker,
        guarantees: scenario.expect.guarantees.clone(),
        thresholds: scenario.expect.thresholds.clone(),
        must_walk: if scenario.expect.all { hard_paths(scenario) } else { Vec::new() },
        ..Promises::default()
    };
    for group in groups {
        let device = group.device;
        promises.groups.push(promise::Group {
            name: group.name.to_owned(),
            link: device.link.as_ref().map_or_else(|| "none".into(), |l| l.name.clone()),
            clients: group.count,
            publishes: group.fleet.and_then(|f| f.publish.as_ref()).map(|p| p.qos),
            subscribes: !device.subscriptions.is_empty(),
        });
        if let Some(link) = &device.link {
            promises.faults.extend(link.spec.outages.iter().map(|o| FaultMark {
                at: o.at,
                lasted: Some(o.lasts),
                what: format!("link {}: outage", link.name),
                kind: FaultKind::LinkOutage,
            }));
        }
    }
    for fleet in &scenario.fleets {
        promises.faults.extend(fleet.reboots.iter().map(|r| {
            let who = if r.share < 1.0 { format!("{} of ", percent(r.share)) } else { String::new() };
            let what = format!("{who}{} rebooted", fleet.name);
            FaultMark { at: r.at, lasted: Some(r.off), what, kind: FaultKind::Reboot }
        }));
    }
    promises.faults.extend(scenario.faults.iter().filter_map(|f| {
        let FaultAction::DropConnections { share } = f.action else { return None };
        let whose = if share < 1.0 { format!("{} of the", percent(share)) } else { "all".to_owned() };
        let what = format!("{whose} connections dropped");
        Some(FaultMark { at: f.at, lasted: None, what, kind: FaultKind::ConnectionsDropped })
    }));
    promises.faults.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
    promises.faults.dedup();
    promises
}

/// What the scenario names that must then be walked, or what it asks for is not shown. Power cuts come at random: they are named
/// where at least three are to be expected (one run in twenty would have none).
fn hard_paths(scenario: &Scenario) -> Vec<HardPath> {
    let mut paths: Vec<HardPath> = scenario
        .faults
        .iter()
        .filter_map(|f| match f.action {
            FaultAction::Kill { .. } => Some(HardPath::Kill),
            FaultAction::Restart { .. } => Some(HardPath::Restart),
            FaultAction::Pause { .. } => Some(HardPath::Pause),
            FaultAction::SlowCpu { .. } | FaultAction::SlowDisk { .. } | FaultAction::DropConnections { .. } => None,
        })
        .collect();
    let cuts = |f: &Fleet| {
        f.power.map_or(0.0, |p| f64::from(f.sensors) * scenario.duration.as_secs_f64() / p.cut_every.as_secs_f64())
    };
    if scenario.fleets.iter().map(cuts).sum::<f64>() >= 3.0 {
        paths.push(HardPath::PowerCut);
    }
    if scenario.devices().any(|d| d.session != SessionSpec::Clean && !d.offline.is_empty()) {
        paths.push(HardPath::Return);
    }
    paths
}

fn kind(
    group: &GroupView<'_>,
    directory: &Arc<Directory>,
    nonce: u32,
    steady_from: Instant,
    drain_from: Instant,
) -> Kind {
    let d = group.device;
    let publish = group.fleet.and_then(|f| f.publish.as_ref());
    let (persistent, session_expiry) = match d.session {
        SessionSpec::Clean => (false, 0),
        SessionSpec::Persistent(None) => (true, u32::MAX),
        SessionSpec::Persistent(Some(t)) => (true, u32::try_from(t.as_secs().max(1)).unwrap_or(u32::MAX)),
    };
    Kind {
        version: Version::from_level(d.mqtt_level).expect("checked: a known level"),
        persistent,
        session_expiry,
        keep_alive: u16::try_from(d.keep_alive.as_secs()).unwrap_or(u16::MAX),
        connect_timeout: d.connect_timeout,
        window: d.window,
        receive_maximum: d.receive_maximum,
        outbox_limit: d.outbox.limit,
        drop: d.outbox.drop,
        offline: d.offline.clone(),
        qos: publish.map_or(QoS::AtMostOnce, |p| qos(p.qos)),
        retain: publish.is_some_and(|p| p.retain),
        subscriptions: d.subscriptions.iter().map(features::options).collect(),
        deeds: features::deeds(&d.features, publish.map(|p| &p.features), steady_from, drain_from),
        properties: publish.map_or_else(Default::default, |p| features::properties(&p.features)),
        topic_alias: publish.is_some_and(|p| p.features.topic_alias),
        topic_alias_maximum: d.features.topic_alias_maximum,
        maximum_packet_size: d.features.maximum_packet_size,
        subscription_identifier: d.features.subscription_identifier,
        duty_disconnects: publish.and_then(|p| p.schedule.duty).is_some_and(|d| d.disconnect),
        power: group.fleet.and_then(|f| f.power).map(|p| (p.cut_every, p.off, p.keeps)),
        directory: Arc::clone(directory),
        nonce,
        drain_from,
    }
}

fn qos(q: u8) -> QoS {
    QoS::from_u8(q).expect("checked: 0 to 2")
}

/// One client of one group.
struct Entity<'a> {
    scenario: &'a Scenario,
    seed: u64,
    group: &'a GroupView<'a>,
    index: u32,
    id: ClientId,
    nonce: u32,
    steady_from: Instant,
    drain_from: Instant,
}

impl Entity<'_> {
    /// The client's own stream of that name.
    fn stream(&self, what: &str) -> Stream {
        Stream::named(self.seed, &[self.group.name, &self.index.to_string(), what])
    }

    fn name(&self) -> String {
        format!("{}-{}", self.group.name, self.index)
    }

    fn device(&self, kind: Arc<Kind>, start: Instant, credentials: Option<&(String, String)>) -> Plan {
        let d = self.group.device;
        let fill = |t: &crate::scenario::model::Template| t.fill(self.group.name, self.index).into_boxed_str();
        let own = d.credentials.as_ref().map(|c| (fill(&c.user), c.password.as_ref().map(fill)));
        let publish = self.group.fleet.and_then(|f| f.publish.as_ref());
        Plan {
            id: self.id,
            kind,
            // At most 23 characters, which every broker must take [MQTT-3.1.3-5].
            // Of one length, so that packets do not grow with the number of clients.
            client_id: format!("sq{:08x}-{:07}", self.nonce, self.id.0).into(),
            credentials: own.or_else(|| credentials.map(|(u, p)| (u.as_str().into(), Some(p.as_str().into())))),
            will: d.will.as_ref().map(|w| {
                let (payload, layout) = features::will_payload(w);
                Box::new(Will {
                    topic: fill(&w.topic),
                    payload: payload.into(),
                    layout,
                    qos: qos(w.qos),
                    retain: w.retain,
                    delay: u32::try_from(w.delay.as_secs()).unwrap_or(u32::MAX),
                })
            }),
            filters: d
                .subscriptions
                .iter()
                .map(|s| match &s.share {
                    Some(share) => format!("$share/{share}/{}", fill(&s.filter)).into_boxed_str(),
                    None => fill(&s.filter),
                })
                .collect(),
            publishes: publish.map(|p| self.publishes(p)),
            start,
            backoff: Backoff::new(d.reconnect, self.stream("reconnect")),
            power: self.stream("power"),
            reboots: self.reboots(),
        }
    }

    fn publishes(&self, p: &PublishSpec) -> Publishes {
        let (payload, layout) = payload(p, self.group.name, self.index);
        let stream = self.stream("schedule");
        let tick = self.scenario.tick;
        Publishes {
            topic: p.topic.fill(self.group.name, self.index).into(),
            payload,
            layout,
            schedule: Schedule::new(&p.schedule, stream, self.steady_from, self.drain_from, tick)
                .with_clock(self.clock_gains(p.schedule.drift)),
        }
    }

    /// Parts per billion that the sensor's clock gains.
    fn clock_gains(&self, drift: u32) -> i64 {
        let drawn = self.stream("clock").below(2 * u64::from(drift) + 1);
        i64::try_from(drawn).expect("below 2^33") - i64::from(drift)
    }

    /// The reboot storms that hit this sensor: each is a draw of its own.
    fn reboots(&self) -> Box<[(Instant, Duration, Keeps)]> {
        let storms = self.group.fleet.iter().flat_map(|f| &f.reboots).enumerate();
        let hit = storms.filter(|(n, r)| self.stream(&format!("reboot {n}")).chance(r.share));
        hit.map(|(_, r)| (r.at, r.off, r.keeps)).collect()
    }

    /// When this client's connection is dropped, latest first: each fault is a draw of its own.
    fn drops(&self) -> Vec<Instant> {
        let faults = self.scenario.faults.iter().enumerate().rev();
        let hit = faults.filter_map(|(n, f)| match f.action {
            FaultAction::DropConnections { share } => self.stream(&format!("drop {n}")).chance(share).then_some(f.at),
            _ => None,
        });
        hit.collect()
    }

    fn link(&self) -> Option<PlannedLink> {
        let link = self.group.device.link.as_ref()?;
        let spec: Arc<LinkSpec> = Arc::clone(&link.spec);
        let stream = |what| self.stream(what);
        Some(PlannedLink { spec, up: stream("up"), down: stream("down"), ports: stream("ports"), tap: None })
    }

    fn promise(&self, group: u16) -> promise::Client {
        let d = self.group.device;
        let publish = self.group.fleet.and_then(|f| f.publish.as_ref());
        promise::Client {
            name: self.name(),
            group,
            mqtt_level: d.mqtt_level,
            publishes: publish.map(|p| promise::Publishes {
                topic: p.topic.fill(self.group.name, self.index),
                qos: p.qos,
                retain: p.retain,
                length: payload(p, self.group.name, self.index).1.length,
                clears: p.features.clear_every.is_some(),
                expiry: p.features.expiry,
                properties: features::forwarded_bytes(&p.features),
            }),
            subscriptions: d
                .subscriptions
                .iter()
                .map(|s| promise::Subscription {
                    filter: s.filter.fill(self.group.name, self.index),
                    share: s.share.clone(),
                    qos: s.qos,
                    no_local: s.no_local,
                    retain_as_published: s.retain_as_published,
                    retain_handling: s.retain_handling,
                })
                .collect(),
            // What a program asks for is seen on the wire; it may ask for a session that lasts.
            session: match d.session {
                _ if d.decides_for_itself() => SessionPromise::Persistent(None),
                SessionSpec::Clean => SessionPromise::Clean,
                SessionSpec::Persistent(expiry) => SessionPromise::Persistent(expiry),
            },
            maximum_packet_size: d.features.maximum_packet_size,
            window: d.window,
            keep_alive: d.keep_alive,
            will: d.will.as_ref().filter(|w| w.payload.contains("{id}")).map(|w| promise::Will {
                topic: w.topic.fill(self.group.name, self.index),
                qos: w.qos,
                retain: w.retain,
                delay: w.delay,
            }),
            subscription_identifier: d.features.subscription_identifier,
            under_test: d.under_test.is_some(),
            deeds: promise::Deeds {
                goes_silent: !d.features.silent.is_empty(),
                takes_over: !d.features.take_over.is_empty(),
                unsubscribes: !d.features.unsubscribed.is_empty(),
            },
        }
    }
}

/// The longest that a link of this scenario takes for a round trip, without loss.
#[must_use]
pub fn longest_round_trip(scenario: &Scenario) -> Duration {
    let round = |l: &crate::scenario::model::NamedLink| {
        use crate::scenario::explain::one_way;
        Duration::from_secs_f64(one_way(&l.spec.up, 200) + one_way(&l.spec.down, 200))
    };
    scenario.links().map(round).max().unwrap_or(Duration::ZERO)
}
