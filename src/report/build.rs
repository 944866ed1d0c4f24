//! Makes the [`Report`] from what was promised, judged and measured. No exporter computes a figure of its own.

use super::figures::{curve, figures};
use super::metric::{self, float, seconds};
use super::model::*;
use super::{exit, redact, resources};
use crate::measure::summary::{Summary, Wire, WireCost};
use crate::promise::{Latency, Promises};
use crate::trace::{ClientId, FaultMark};
use crate::verdict::outcome::{Direction, Evidence, Excused, Judgement, Outcome, Verdicts};

/// What a report is made from. Passwords in URLs are taken out of every text here.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The scenario.
    pub scenario: ScenarioInfo,
    /// The broker.
    pub target: TargetInfo,
    /// Who spoke TCP, in one sentence: `direct sockets`.
    pub engine: String,
    /// The command that runs it again under the same conditions.
    pub again: String,
    /// What was promised.
    pub promises: &'a Promises,
    /// What was judged.
    pub verdicts: &'a Verdicts,
    /// What was measured.
    pub summary: &'a Summary,
    /// Faults as they happened.
    pub faults: &'a [FaultMark],
    /// Start of the run, seconds since 1970 by the wall clock; none in virtual time.
    pub started: Option<u64>,
    /// Why the run is not whole, if it is not.
    pub partial: Option<String>,
    /// How the target died, if it did so unasked.
    pub target_died: Option<String>,
}

impl Report {
    /// Makes the report, evaluates the thresholds and decides the exit code.
    #[must_use]
    pub fn build(inputs: Inputs<'_>) -> Self {
        let Inputs { promises, verdicts, summary, .. } = inputs;
        let mut report = Self {
            format_version: FORMAT_VERSION,
            squall_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: ScenarioInfo { file: inputs.scenario.file.as_deref().map(redact::passwords), ..inputs.scenario },
            target: TargetInfo { name: redact::passwords(&inputs.target.name), ..inputs.target },
            engine: redact::passwords(&inputs.engine),
            again: redact::passwords(&inputs.again),
            started: inputs.started,
            phases: PhaseInfo {
                steady_from: summary.phases.steady_from.as_secs_f64(),
                drain_from: summary.phases.drain_from.as_secs_f64(),
                ended: summary.phases.ended.as_secs_f64(),
            },
            partial: inputs.partial.as_deref().map(redact::passwords),
            target_died: inputs.target_died.as_deref().map(redact::passwords),
            exit: Exit { code: 0, reason: String::new() },
            guarantees: verdicts.guarantees.iter().map(|j| guarantee(j, promises)).collect(),
            excuses: verdicts.excuses.iter().map(excuse).collect(),
            strict: promises.strict,
            evidence: (1..).zip(&verdicts.evidence).map(|(n, e)| evidence(n, e, promises)).collect(),
            unseen: verdicts.unseen.clone(),
            thresholds: thresholds(promises, verdicts, summary),
            groups: groups(promises, verdicts, summary),
            total: total(verdicts, summary),
            cost: Vec::new(),
            kernels: summary.retransmitted.map(|r| KernelInfo { retransmitted_up: r.up, retransmitted_down: r.down }),
            timeline: timeline(promises, summary),
            faults: inputs.faults.iter().map(fault).collect(),
            harness: harness(summary),
            broker: resources::broker(verdicts, summary),
        };
        report.cost = cost(&report.groups);
        report.exit = exit::decide(&report);
        report
    }
}

fn guarantee(judgement: &Judgement, promises: &Promises) -> GuaranteeInfo {
    let owned = |pairs: &[(&'static str, u64)]| {
        pairs.iter().map(|(name, count)| Named { name: (*name).to_owned(), count: *count }).collect()
    };
    let (standing, untested, reason) = match &judgement.outcome {
        Outcome::Held => (Standing::Held, Vec::new(), None),
        Outcome::HeldUntested(paths) => (Standing::HeldUntested, paths.iter().map(ToString::to_string).collect(), None),
        Outcome::Broken => (Standing::Broken, Vec::new(), None),
        Outcome::NotEnoughEvidence(why) => (Standing::NotEnoughEvidence, Vec::new(), Some(why.clone())),
        Outcome::NotAsked => (Standing::NotAsked, Vec::new(), None),
    };
    GuaranteeInfo {
        key: judgement.guarantee.key().to_owned(),
        title: judgement.guarantee.title().to_owned(),
        asked: promises.guarantees.contains(&judgement.guarantee),
        standing,
        sentence: judgement.sentence.clone(),
        reason,
        untested,
        statements: judgement.statements.iter().map(ToString::to_string).collect(),
        cases: judgement.cases,
        failures: judgement.failures,
        upper_bound: judgement.bound.map(|b| b.high),
        lower_bound: judgement.bound.map(|b| b.low),
        bound_by: judgement.bound.map(|b| b.method.to_owned()),
        breaches: owned(&judgement.breaches),
        hard_paths: owned(&judgement.hard_paths),
    }
}

fn excuse(e: &Excused) -> Excuse {
    Excuse { name: e.name.to_owned(), reason: e.reason.to_owned(), count: e.count }
}

fn evidence(number: u32, evidence: &Evidence, promises: &Promises) -> EvidenceInfo {
    let name = |client: Option<ClientId>| client.map(|c| promises.name(c).to_owned());
    EvidenceInfo {
        number,
        guarantee: evidence.guarantee.key().to_owned(),
        breach: evidence.breach.to_owned(),
        title: evidence.title.clone(),
        promise: evidence.guarantee.promise().to_owned(),
        rule: evidence.rule.to_owned(),
        statements: evidence.statements.iter().map(ToString::to_string).collect(),
        publisher: name(evidence.publisher),
        message: evidence.number,
        subscriber: name(evidence.subscriber),
        time_line: evidence
            .time_line
            .iter()
            .map(|moment| MomentInfo {
                at: moment.at.as_secs_f64(),
                who: moment.who.clone(),
                direction: match moment.direction {
                    Direction::Out => Way::Out,
                    Direction::In => Way::In,
                    Direction::None => Way::None,
                },
                what: moment.what.clone(),
                note: moment.note.clone(),
            })
            .collect(),
        partial: evidence.partial,
    }
}

fn thresholds(promises: &Promises, verdicts: &Verdicts, summary: &Summary) -> Vec<ThresholdInfo> {
    let evaluate = |threshold: &crate::promise::Threshold| {
        let value = metric::evaluate(&threshold.metric, promises, verdicts, summary);
        let standing = match value {
            None => ThresholdStanding::Unknown,
            Some(value) if threshold.comparison.holds(value, threshold.limit) => ThresholdStanding::Met,
            Some(_) => ThresholdStanding::Missed,
        };
        let unit = metric::unit(&threshold.metric);
        ThresholdInfo { text: threshold.text.clone(), value, limit: threshold.limit, unit, standing }
    };
    promises.thresholds.iter().map(evaluate).collect()
}

fn groups(promises: &Promises, verdicts: &Verdicts, summary: &Summary) -> Vec<GroupInfo> {
    let pairs = promises.groups.iter().zip(&summary.groups).enumerate();
    pairs
        .map(|(index, (group, measured))| GroupInfo {
            name: group.name.clone(),
            link: group.link.clone(),
            clients: group.clients,
            publishes: group.publishes,
            subscribes: group.subscribes,
            counts: metric::counts(index, measured, verdicts),
            latencies: measured
                .latencies
                .iter()
                .filter_map(|l| latency(l.latency, &l.intended, figures(&l.sent)))
                .collect(),
            wire: measured.wire.as_ref().map(wire),
            mqtt_bytes: measured.mqtt_bytes,
        })
        .collect()
}

fn latency(latency: Latency, intended: &hdrhistogram::Histogram<u64>, sent: Option<Figures>) -> Option<LatencyInfo> {
    Some(LatencyInfo {
        key: latency.key().to_owned(),
        title: latency.title().to_owned(),
        intended: figures(intended)?,
        sent,
        curve: curve(intended),
    })
}

fn total(verdicts: &Verdicts, summary: &Summary) -> Total {
    let merged = |which: Latency| {
        let intended = metric::merge(summary.groups.iter(), which)?;
        let all = summary.groups.iter().flat_map(|g| &g.latencies).filter(|l| l.latency == which);
        let sent = metric::merge_histograms(all.map(|l| &l.sent)).and_then(|h| figures(&h));
        latency(which, &intended, sent)
    };
    Total {
        counts: metric::total_counts(summary, verdicts),
        latencies: Latency::ALL.into_iter().filter_map(merged).collect(),
    }
}

fn wire(cost: &WireCost) -> WireInfo {
    let direction = |wire: &Wire| WireDirection {
        packets: wire.packets,
        bytes: wire.bytes,
        retransmissions: wire.retransmissions,
        lost: wire.lost,
        queue_drops: wire.queue_drops,
        outage_drops: wire.outage_drops,
        duplicated: Some(wire.duplicated),
        corrupted: Some(wire.corrupted),
        airtime: seconds(wire.airtime),
    };
    WireInfo { up: direction(&cost.up), down: direction(&cost.down) }
}

/// Cost by QoS. A QoS at which some fleets have links and others have none is told for those with links alone.
fn cost(groups: &[GroupInfo]) -> Vec<QosCost> {
    let of = |qos: u8| {
        let all: Vec<_> = groups.iter().filter(|g| g.publishes == Some(qos)).collect();
        if all.is_empty() {
            return None;
        }
        let linked: Vec<_> = all.iter().copied().filter(|g| g.wire.is_some()).collect();
        let chosen = if linked.is_empty() { &all } else { &linked };
        let messages = chosen.iter().map(|g| g.counts.sent).sum::<Option<u64>>();
        let each = |sum: f64| messages.filter(|n| *n > 0).map(|n| sum / float(n));
        let wire = |f: fn(&WireDirection) -> f64| -> Option<f64> {
            let links: Vec<_> = linked.iter().filter_map(|g| g.wire).collect();
            if links.is_empty() { None } else { each(links.iter().map(|w| f(&w.up) + f(&w.down)).sum()) }
        };
        let mqtt_bytes: u64 = chosen.iter().map(|g| g.mqtt_bytes).sum();
        Some(QosCost {
            qos,
            messages,
            mqtt_bytes: if mqtt_bytes == 0 { None } else { each(float(mqtt_bytes)) },
            ip_bytes: wire(|w| float(w.bytes)),
            packets: wire(|w| float(w.packets)),
            retransmissions: wire(|w| float(w.retransmissions)),
            airtime: wire(|w| w.airtime),
        })
    };
    (0..=2).filter_map(of).collect()
}

fn timeline(promises: &Promises, summary: &Summary) -> Timeline {
    let intervals = summary.series.intervals.iter().map(|i| IntervalInfo {
        offered: i.offered,
        sent: i.sent,
        acked: i.acked,
        delivered: i.delivered,
        duplicated: i.duplicated,
        disconnects: i.disconnects,
        connected: i.connected,
    });
    let mut latencies = Vec::new();
    for (group, measured) in promises.groups.iter().zip(&summary.groups) {
        for latency in measured.latencies.iter().filter(|l| !l.over_time.is_empty()) {
            let points = latency.over_time.iter().filter(|(_, h)| !h.is_empty()).map(|(interval, h)| LatencyPoint {
                interval: *interval,
                count: h.len(),
                p50: seconds(h.value_at_percentile(50.0)),
                p99: seconds(h.value_at_percentile(99.0)),
                max: seconds(h.max()),
            });
            latencies.push(LatencySeries {
                group: group.name.clone(),
                latency: latency.latency.key().to_owned(),
                points: points.collect(),
            });
        }
    }
    Timeline { width: summary.series.width.as_secs_f64(), intervals: intervals.collect(), latencies }
}

fn fault(mark: &FaultMark) -> FaultInfo {
    FaultInfo {
        at: mark.at.as_secs_f64(),
        lasted: mark.lasted.map(|d| d.as_secs_f64()),
        what: redact::passwords(&mark.what),
    }
}

fn harness(summary: &Summary) -> HarnessInfo {
    let harness = &summary.harness;
    let wall = harness.wall.as_secs_f64();
    HarnessInfo {
        trusted: harness.tainted.is_empty(),
        tainted: harness.tainted.clone(),
        slip: harness.slip.as_ref().and_then(figures),
        loop_lag: harness.loop_lag.as_ref().and_then(figures),
        cpu: harness.cpu.map(|d| d.as_secs_f64()),
        wall,
        cores: harness.cpu.filter(|_| wall > 0.0).map(|d| d.as_secs_f64() / wall),
        loops: harness.loops,
        kernel_stamps: harness.kernel_stamps,
        stamped: harness.stamped,
    }
}
