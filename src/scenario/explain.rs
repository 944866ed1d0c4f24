//! What a scenario will do, in words and numbers.

use super::model::{DeviceSpec, FaultAction, Keeps, Payload, Rhythm, Scenario, SessionSpec};
use super::units::show;
use crate::link::spec::{Direction, Jitter, LinkSpec};
use std::fmt::Write as _;

/// Bytes of IPv4 and TCP headers of a segment without options.
const HEADERS: u32 = 40;

/// The load that a scenario offers.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Load {
    /// MQTT clients.
    pub clients: u64,
    /// Messages that will be published, on average.
    pub messages: f64,
    /// Messages a second while all are on.
    pub rate: f64,
    /// MQTT bytes a second of their PUBLISH packets.
    pub bytes: f64,
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
            load.rate += rate;
            load.messages += rate * scenario.duration.as_secs_f64();
            let (_, publish_bytes, _) = packet_bytes(fleet, publish);
            load.bytes += rate * f64::from(publish_bytes);
        }
    }
    load
}

/// Messages a second of one sensor, duty cycle included.
fn mean_rate(s: &super::model::Schedule) -> f64 {
    let (Rhythm::Every(gap) | Rhythm::Poisson(gap)) = s.rhythm;
    let share = s.duty.map_or(1.0, |d| d.on.as_secs_f64() / (d.on + d.off).as_secs_f64());
    f64::from(s.burst) * share / gap.as_secs_f64()
}

/// Expected one-way delay in seconds of an IP packet of `bytes`, when nothing is lost and nobody queues.
#[must_use]
pub fn one_way(d: &Direction, bytes: u32) -> f64 {
    let serialisation = d.rate.map_or(0.0, |rate| f64::from(bytes + u32::from(d.overhead)) * 8.0 / rate as f64);
    let jitter = match d.jitter {
        Jitter::None | Jitter::Normal(_) => 0.0, // a normal one is even about the delay
        Jitter::Uniform(max) => max.as_secs_f64() / 2.0,
        Jitter::Pareto(mean) => mean.as_secs_f64(),
    };
    serialisation + d.delay.as_secs_f64() + jitter
}

/// The explanation, for a terminal.
#[must_use]
pub fn explain(scenario: &Scenario) -> String {
    let mut out = String::new();
    let load = load(scenario);
    let _ = writeln!(out, "{}   (seed {})", scenario.name, scenario.seed);
    if !scenario.about.is_empty() {
        let _ = writeln!(out, "{}", scenario.about);
    }
    let _ = writeln!(
        out,
        "\n{} clients start within {}, publish for {}; then all links heal and what is owed has {} to arrive.",
        load.clients,
        show(scenario.ramp),
        show(scenario.duration),
        show(scenario.drain)
    );
    let _ = writeln!(
        out,
        "About {:.0} messages, {:.1} a second, {:.0} MQTT bytes a second from the sensors, in an open loop on a tick of {}.\n",
        load.messages,
        load.rate,
        load.bytes,
        show(scenario.tick)
    );
    for fleet in &scenario.fleets {
        fleet_words(fleet, &mut out);
    }
    for group in &scenario.subscribers {
        let _ = writeln!(out, "{} x {}: subscribes to {}", group.count, group.name, filters(&group.device));
        device_words(&group.device, &mut out);
    }
    link_words(scenario, &mut out);
    expect_words(scenario, &mut out);
    out
}

fn filters(d: &DeviceSpec) -> String {
    let words = d.subscriptions.iter().map(|s| format!("{} (QoS {})", s.filter.text, s.qos));
    words.collect::<Vec<_>>().join(", ")
}

fn fleet_words(fleet: &super::model::Fleet, out: &mut String) {
    let _ = write!(out, "{} x {}: ", fleet.sensors, fleet.name);
    if let Some(p) = &fleet.publish {
        let (length, forward, back) = packet_bytes(fleet, p);
        // PUBREL goes forward too; acknowledgements are short ones (no reason, no properties).
        let forward = forward + if p.qos == 2 { 4 } else { 0 };
        let _ = writeln!(
            out,
            "publishes {} at QoS {}, {length} B, {:.3} a second each: {} + {back} MQTT bytes a message",
            p.topic.text,
            p.qos,
            mean_rate(&p.schedule),
            forward
        );
    } else {
        let _ = writeln!(out, "publishes nothing");
    }
    if !fleet.device.subscriptions.is_empty() {
        let _ = writeln!(out, "    also subscribes to {}", filters(&fleet.device));
    }
    device_words(&fleet.device, out);
    if let Some(power) = fleet.power {
        let _ = writeln!(
            out,
            "    loses power every {} on average, for {}; keeps {}",
            show(power.cut_every),
            show(power.off),
            if power.keeps == Keeps::Flash { "its flash" } else { "nothing" }
        );
    }
}

/// Bytes of one message of a fleet's first sensor: its payload, its PUBLISH, and the acknowledgements that come back.
fn packet_bytes(fleet: &super::model::Fleet, p: &super::model::PublishSpec) -> (u32, u32, u32) {
    let length = |text: String| u32::try_from(text.len()).unwrap_or(u32::MAX);
    let payload = match &p.payload {
        Payload::Size(n) => *n,
        Payload::Template(t) => length(t.fill(&fleet.name, 0)),
    };
    // [MQTT-2.2.3], [MQTT-3.3]: type byte, remaining length in 7 bits a byte; topic with its length, packet identifier
    // from QoS 1 on, in 5.0 the length of no properties, payload.
    let identifier = if p.qos > 0 { 2 } else { 0 };
    let properties = u32::from(fleet.device.mqtt_level == 5);
    let remaining = 2 + length(p.topic.fill(&fleet.name, 0)) + identifier + properties + payload;
    let header = 1 + (1..4).find(|n| remaining >> (7 * n) == 0).unwrap_or(4);
    (payload, header + remaining, [0, 4, 8][usize::from(p.qos.min(2))])
}

fn device_words(d: &DeviceSpec, out: &mut String) {
    let version = match d.mqtt_level {
        3 => "3.1",
        4 => "3.1.1",
        _ => "5.0",
    };
    let session = match d.session {
        SessionSpec::Clean => "clean session".to_owned(),
        SessionSpec::Persistent(None) => "persistent session".to_owned(),
        SessionSpec::Persistent(Some(t)) => format!("session kept for {}", show(t)),
    };
    let link = d.link.as_ref().map_or("a direct socket".to_owned(), |l| format!("link {}", l.name));
    let _ = writeln!(out, "    MQTT {version}, {session}, keep alive {}, {link}", show(d.keep_alive));
    for offline in &d.offline {
        let _ = writeln!(
            out,
            "    away from {} for {}",
            show(offline.at.since(crate::time::Instant::ZERO)),
            show(offline.lasts)
        );
    }
}

fn link_words(scenario: &Scenario, out: &mut String) {
    let devices = scenario.fleets.iter().map(|f| &f.device).chain(scenario.subscribers.iter().map(|s| &s.device));
    let mut links: Vec<(&str, &LinkSpec)> =
        devices.filter_map(|d| d.link.as_ref()).map(|l| (l.name.as_str(), &*l.spec)).collect();
    links.sort_by_key(|(name, _)| *name);
    links.dedup_by_key(|(name, _)| *name);
    if links.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{:<18} {:>12} {:>12} {:>12} {:>10} {:>10}",
        "link", "up", "down", "round trip", "loss up", "loss down"
    );
    for (name, spec) in links {
        let (up, down) = (one_way(&spec.up, 64 + HEADERS), one_way(&spec.down, HEADERS));
        let _ = writeln!(
            out,
            "{name:<18} {:>9.0} ms {:>9.0} ms {:>9.0} ms {:>8.1} % {:>8.1} %",
            up * 1e3,
            down * 1e3,
            (up + down) * 1e3,
            spec.up.loss.stationary() * 100.0,
            spec.down.loss.stationary() * 100.0
        );
        for outage in &spec.outages {
            let at = show(outage.at.since(crate::time::Instant::ZERO));
            let _ = writeln!(out, "    nothing passes from {at} for {}", show(outage.lasts));
        }
    }
    let _ =
        writeln!(out, "(expected delay of a 64 B message up and an empty segment down, nothing lost, nobody queueing)");
}

fn expect_words(scenario: &Scenario, out: &mut String) {
    let names: Vec<&str> = scenario.expect.guarantees.iter().map(|g| g.title()).collect();
    let _ = writeln!(out, "\nMust hold: {}", if names.is_empty() { "nothing".into() } else { names.join(", ") });
    for threshold in &scenario.expect.thresholds {
        let _ = writeln!(out, "           {}", threshold.text);
    }
    for fault in &scenario.faults {
        let at = show(fault.at.since(crate::time::Instant::ZERO));
        let what = match fault.action {
            FaultAction::Kill { back_after: None } => "killed, and not started again".to_owned(),
            FaultAction::Kill { back_after: Some(t) } => format!("killed, and started again after {}", show(t)),
            FaultAction::Restart { back_after } => {
                format!("stopped in order, and started again after {}", show(back_after))
            }
            FaultAction::Pause { lasts } => format!("paused for {}", show(lasts)),
        };
        let _ = writeln!(out, "At {at} the broker is {what}");
    }
}
