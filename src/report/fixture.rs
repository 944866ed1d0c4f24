//! A run for the tests: three fleets, a subscriber, two faults, one breach with its story. The numbers are drawn, the
//! same at each run, and hang together as those of a real run would.

use super::{Inputs, Report, ScenarioInfo, TargetInfo, TargetKind};
use crate::measure::summary::*;
use crate::promise::*;
use crate::time::{Duration, Instant, nanos};
use crate::trace::{ClientId, FaultKind, FaultMark};
use crate::verdict::outcome::*;
use hdrhistogram::Histogram;

/// What a report is made from, owned.
pub struct Fixture {
    pub promises: Promises,
    pub verdicts: Verdicts,
    pub summary: Summary,
    pub faults: Vec<FaultMark>,
    pub partial: Option<String>,
    pub target_died: Option<String>,
}

impl Fixture {
    /// The report.
    pub fn report(&self) -> Report {
        Report::build(Inputs {
            scenario: ScenarioInfo {
                name: "smart-meters".to_owned(),
                about: "Smart water meters on NB-IoT. Must show: nothing acknowledged is lost, and what exactly-once would cost in battery.".to_owned(),
                seed: 7,
                file: Some("scenarios/smart-meters.toml".to_owned()),
            },
            target: TargetInfo {
                name: "mosquitto".to_owned(),
                version: Some("2.0.11".to_owned()),
                kind: TargetKind::Launched,
            },
            engine: "TCP by smoltcp on both ends of 300 links; the gateway ends TCP, so the broker sees clean connections".to_owned(),
            again: "squall run scenarios/smart-meters.toml --target mosquitto --seed 7".to_owned(),
            promises: &self.promises,
            verdicts: &self.verdicts,
            summary: &self.summary,
            faults: &self.faults,
            started: Some(1_795_511_856),
            partial: self.partial.clone(),
            target_died: self.target_died.clone(),
        })
    }

    /// A run in which nothing at all could be measured, and everything was asked for.
    pub fn blind() -> Self {
        let full = broken();
        let groups = full
            .promises
            .groups
            .iter()
            .map(|_| GroupSummary { counts: Count::ALL.map(|count| (count, None)).into(), ..GroupSummary::default() });
        let phases = Phases { ended: at(1.0), ..Phases::default() };
        let summary = Summary { groups: groups.collect(), phases, ..Summary::default() };
        let guarantees =
            Guarantee::ALL.map(|g| judged(g, Outcome::NotEnoughEvidence("nothing was sent".to_owned()), "", 0));
        let verdicts = Verdicts { guarantees: guarantees.into(), ..Verdicts::default() };
        Self { promises: full.promises, verdicts, summary, faults: Vec::new(), partial: None, target_died: None }
    }
}

/// The run with a breach.
pub fn broken() -> Fixture {
    let faults = vec![
        FaultMark {
            at: at(50.0),
            lasted: Some(Duration::from_secs(20)),
            what: "link basement: outage".to_owned(),
            kind: FaultKind::LinkOutage,
        },
        FaultMark {
            at: at(90.0),
            lasted: Some(Duration::from_secs(5)),
            what: "broker killed".to_owned(),
            kind: FaultKind::BrokerKill,
        },
        FaultMark { at: at(130.0), lasted: None, what: "links healed".to_owned(), kind: FaultKind::LinkOutage },
    ];
    Fixture {
        promises: promises(&faults),
        verdicts: verdicts(),
        summary: summary(),
        faults,
        partial: None,
        target_died: None,
    }
}

/// The same run without the breach, and with no threshold missed.
pub fn held() -> Fixture {
    let mut fixture = broken();
    fixture.verdicts.evidence.clear();
    fixture.verdicts.guarantees[2] =
        judged(Guarantee::Qos2, Outcome::Held, "78 completed, each delivered exactly once", 78);
    fixture.promises.thresholds.truncate(1);
    fixture
}

fn at(seconds: f64) -> Instant {
    Instant::ZERO + Duration::from_secs_f64(seconds)
}

fn promises(faults: &[FaultMark]) -> Promises {
    let group = |name: &str, link: &str, clients, publishes: Option<u8>| Group {
        name: name.to_owned(),
        link: link.to_owned(),
        clients,
        publishes,
        subscribes: publishes != Some(0),
    };
    let groups = vec![
        group("thermometer", "gprs", 80, Some(0)),
        group("meter", "nb-iot-ce1", 200, Some(1)),
        group("leak-alarm", "basement", 20, Some(2)),
        group("head-end", "none", 1, None),
    ];
    let mut clients = Vec::new();
    for (index, group) in (0..).zip(&groups) {
        clients.extend((0..group.clients).map(|n| Client {
            name: format!("{}-{n:02}", group.name),
            group: index,
            mqtt_level: 4,
            session: SessionPromise::Persistent(None),
            window: 1,
            ..Client::default()
        }));
    }
    let p99 = |group: &str, limit| Threshold {
        text: format!("p99(end_to_end, fleet = {group}) < {limit} s"),
        metric: Metric::Latency {
            figure: Figure::Percentile(99.0),
            latency: Latency::EndToEnd,
            group: Some(group.to_owned()),
        },
        comparison: Comparison::Less,
        limit,
    };
    let rss = Threshold {
        text: "broker.rss.max < 100 MiB".to_owned(),
        metric: Metric::Broker(BrokerFigure::RssMax),
        comparison: Comparison::Less,
        limit: 104_857_600.0,
    };
    Promises {
        groups,
        clients,
        broker: BrokerPromises { name: "mosquitto 2.0.11".to_owned(), ..BrokerPromises::default() },
        faults: faults.to_vec(),
        guarantees: Guarantee::ALL.into(),
        thresholds: vec![rss, p99("meter", 40.0), p99("leak-alarm", 20.0)],
        strict: false,
        must_walk: Vec::new(),
    }
}

fn judged(guarantee: Guarantee, outcome: Outcome, sentence: &str, cases: u64) -> Judgement {
    #[allow(clippy::cast_precision_loss)]
    Judgement {
        guarantee,
        outcome,
        sentence: sentence.to_owned(),
        statements: Vec::new(),
        cases,
        failures: 0,
        bound: (cases > 0).then(|| Bound { low: 0.0, high: (3.0 / cases as f64).min(1.0), method: "rule of three" }),
        breaches: Vec::new(),
        hard_paths: Vec::new(),
    }
}

fn verdicts() -> Verdicts {
    let mut qos1 =
        judged(Guarantee::Qos1, Outcome::Held, "2,391 acknowledged, all delivered; 17 twice (allowed)", 2_391);
    qos1.hard_paths = vec![("reconnects with messages in flight", 41), ("broker restarts with messages in flight", 1)];
    let mut qos2 = judged(Guarantee::Qos2, Outcome::Broken, "1 of 78 completed messages delivered twice", 78);
    qos2.statements = vec!["MQTT-4.3.3-2"];
    qos2.failures = 1;
    qos2.breaches = vec![("duplicated", 1)];
    qos2.hard_paths = vec![("cuts between PUBLISH and PUBREC", 6), ("cuts between PUBREL and PUBCOMP", 3)];
    let untested = Outcome::HeldUntested(vec!["a retained message at a restart", "a session that expires"]);
    Verdicts {
        guarantees: vec![
            judged(Guarantee::Qos0, Outcome::Held, "1,880 sent, 1,702 delivered, none twice", 1_702),
            qos1,
            qos2,
            judged(Guarantee::Order, Outcome::Held, "300 streams, all in order", 4_171),
            judged(Guarantee::Payload, Outcome::Held, "4,189 payloads, all as sent", 4_189),
            judged(Guarantee::Routing, Outcome::Held, "no message came that nobody sent or asked for", 4_189),
            judged(Guarantee::Session, untested, "63 resumed as expected", 63),
            judged(Guarantee::Protocol, Outcome::NotAsked, "", 0),
            judged(
                Guarantee::Liveness,
                Outcome::NotEnoughEvidence("the drain ended before 2 messages came".to_owned()),
                "",
                2,
            ),
        ],
        excuses: vec![
            Excused { name: "session ended", reason: "the subscriber's session had ended", count: 0 },
            Excused {
                name: "declared durability",
                reason: "the broker was killed and declares no durability",
                count: 4,
            },
        ],
        evidence: vec![twice()],
        unseen: vec![
            "What mosquitto wrote to storage before the kill: the process belongs to another user.".to_owned(),
            "Messages under 16 bytes are counted only.".to_owned(),
        ],
        lost_by_group: vec![0, 0, 0, 0],
        duplicated_by_group: vec![0, 17, 1, 0],
    }
}

fn twice() -> Evidence {
    let moment = |seconds, who: &str, direction, what: &str, note: &str| Moment {
        at: at(seconds),
        who: who.to_owned(),
        direction,
        what: what.to_owned(),
        note: note.to_owned(),
    };
    let (sensor, head) = ("leak-alarm-07", "head-end-00");
    use crate::verdict::outcome::Direction as D;
    Evidence {
        guarantee: Guarantee::Qos2,
        breach: "duplicated",
        title: "QoS 2, message leak-alarm-07 #3 delivered twice to head-end-00".to_owned(),
        rule: "until PUBREL, a PUBLISH with the same id must not be handed on again [MQTT-4.3.3-2]",
        statements: &["MQTT-4.3.3-2"],
        publisher: Some(ClientId(287)),
        number: Some(3),
        subscriber: Some(ClientId(300)),
        time_line: vec![
            moment(40.870, sensor, D::Out, "PUBLISH id 4", "link: lost, sent again at 41.9"),
            moment(41.951, head, D::In, "PUBLISH id 9", "first copy"),
            moment(41.952, head, D::Out, "PUBREC id 9", ""),
            moment(41.953, sensor, D::In, "PUBREC id 4", "link: lost"),
            moment(42.000, sensor, D::None, "power cut", "the sensor is off for 4 s"),
            moment(46.204, sensor, D::Out, "CONNECT, clean start off", ""),
            moment(46.231, sensor, D::In, "CONNACK", "Session Present"),
            moment(46.260, sensor, D::Out, "PUBLISH id 4 DUP", ""),
            moment(46.345, head, D::In, "PUBLISH id 10", "second copy: the broker had forgotten id 4"),
        ],
        partial: false,
    }
}

/// A generator for the fixture alone.
struct Draw(u64);

impl Draw {
    /// In `0..1`.
    #[allow(clippy::cast_precision_loss)]
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Log-normal with this median, by a sum of twelve uniforms.
    fn latency(&mut self, median: f64, sigma: f64) -> f64 {
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        median * libm::exp(sigma * normal)
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new(3).expect("3 digits are in range")
}

fn record(histogram: &mut Histogram<u64>, seconds: f64) {
    histogram.record(nanos(Duration::from_secs_f64(seconds))).expect("the histogram resizes");
}

/// One latency over 180 s with the two faults in it, and how many there were by interval.
fn latency(which: Latency, median: f64, sigma: f64, each: u32, outage: bool, draw: &mut Draw) -> LatencySummary {
    let mut summary = LatencySummary { latency: which, intended: empty(), sent: empty(), over_time: Vec::new() };
    for interval in 5_u32..65 {
        let begins = f64::from(interval) * 2.0;
        let mut histogram = empty();
        for _ in 0..each {
            let sent = draw.latency(median, sigma);
            let now = begins + draw.unit() * 2.0;
            let mut wait = 0.0;
            for (from, until, hit) in [(50.0, 70.0, outage), (90.0, 95.0, true)] {
                if hit && (from..until).contains(&now) {
                    wait = until - now + draw.latency(median, sigma);
                }
            }
            record(&mut histogram, wait + sent);
            record(&mut summary.intended, wait + sent);
            record(&mut summary.sent, sent);
        }
        summary.over_time.push((interval, histogram));
    }
    summary
}

fn wire(packets: u64, each: u64) -> WireCost {
    let up = Wire {
        packets,
        bytes: packets * each,
        retransmissions: packets / 9,
        lost: packets / 12,
        queue_drops: 3,
        outage_drops: 120,
        corrupted: packets / 640,
        airtime: packets * 18_000_000,
        ..Wire::default()
    };
    WireCost { up, down: Wire { packets: packets * 9 / 10, bytes: packets * 52, outage_drops: 44, ..up } }
}

fn group(
    counts: [Option<u64>; 8],
    latencies: Vec<LatencySummary>,
    wire: Option<WireCost>,
    mqtt_bytes: u64,
) -> GroupSummary {
    GroupSummary { latencies, counts: Count::ALL.into_iter().zip(counts).collect(), wire, mqtt_bytes }
}

fn summary() -> Summary {
    let mut draw = Draw(7);
    let mut connects = |median| latency(Latency::TcpConnect, median, 0.4, 1, false, &mut draw);
    let (gprs, nb_iot) = (connects(0.9), connects(2.2));
    let groups = vec![
        group(
            [Some(1_880), Some(1_880), Some(0), None, Some(1_702), None, None, Some(14)],
            vec![gprs, latency(Latency::EndToEnd, 0.42, 0.35, 28, false, &mut draw)],
            Some(wire(4_100, 96)),
            1_880 * 42,
        ),
        group(
            [Some(2_400), Some(2_395), Some(5), Some(2_391), Some(2_391), None, None, Some(41)],
            vec![
                nb_iot,
                latency(Latency::PublishAck, 1.9, 0.45, 40, false, &mut draw),
                latency(Latency::EndToEnd, 2.1, 0.45, 140, false, &mut draw),
            ],
            Some(wire(9_900, 59)),
            2_395 * 71,
        ),
        group(
            [Some(80), Some(79), Some(1), Some(78), Some(78), None, None, Some(22)],
            vec![
                latency(Latency::PublishAck, 7.9, 0.5, 2, true, &mut draw),
                latency(Latency::EndToEnd, 5.3, 0.5, 2, true, &mut draw),
            ],
            Some(wire(640, 64)),
            79 * 84,
        ),
        group([None, None, None, None, None, None, None, Some(1)], vec![], None, 0),
    ];
    let mut slip = empty();
    (0..4_000).for_each(|_| record(&mut slip, draw.latency(0.000_08, 0.5)));
    Summary {
        retransmitted: None,
        redirects: Default::default(),
        groups,
        phases: Phases { steady_from: at(10.0), drain_from: at(130.0), ended: at(184.3) },
        series: series(&mut draw),
        harness: Harness {
            slip: Some(slip),
            loop_lag: None,
            cpu: Some(Duration::from_secs_f64(20.3)),
            wall: Duration::from_secs_f64(184.3),
            loops: 2,
            kernel_stamps: true,
            stamped: Some(0.998),
            tainted: Vec::new(),
        },
        resources: (0..184_u32).map(|s| sample(s, &mut draw)).collect(),
        broker_cpu: Some(Duration::from_millis(900)),
        owed_at_restart: None,
        at_rest: Some(ResourceSample { descriptors: Some(9), ..sample(0, &mut Draw(1)) }),
    }
}

fn sample(second: u32, draw: &mut Draw) -> ResourceSample {
    let since = if second < 95 { second } else { second - 95 };
    let grown = u64::from(since.min(60)) * 30_000;
    ResourceSample {
        at: at(f64::from(second)),
        cpu: Duration::from_millis(u64::from(since) * 5) + Duration::from_secs_f64(draw.unit() * 0.004),
        rss: 4_500_000 + grown,
        descriptors: Some(310),
        threads: 1,
        written: None,
    }
}

fn series(draw: &mut Draw) -> Series {
    let intervals = (0..92_u32).map(|i| {
        let loaded = (5..65).contains(&i);
        let down = (45..48).contains(&i);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let mut about = |n: f64| (n * (0.85 + 0.3 * draw.unit())) as u64;
        let rest = if i == 48 { 190.0 } else { 72.0 };
        let (offered, acked) = (if loaded { about(72.0) } else { 0 }, if down { 0 } else { about(rest * 0.55) });
        let delivered = if down { 0 } else { about(rest) };
        let served = loaded || (65..68).contains(&i);
        Interval {
            offered,
            sent: if down { 0 } else { offered },
            acked: if served { acked } else { 0 },
            delivered: if served { delivered } else { 0 },
            duplicated: u64::from(i == 48) * 17,
            disconnects: if i == 45 { 301 } else { 0 },
            connected: if i < 5 {
                u64::from(i) * 60
            } else if down {
                0
            } else {
                301
            },
        }
    });
    Series { width: Duration::from_secs(2), intervals: intervals.collect() }
}
