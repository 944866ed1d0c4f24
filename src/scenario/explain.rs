//! What a scenario will do, in words and numbers.

use super::deliveries::deliveries;
use super::load::{ACK, cost, mean_rate, payload_bytes, publish_bytes, sample};
pub use super::load::{Load, load};
use super::memory;
use super::model::{
    CPU_PERIOD, DeviceSpec, DropPolicy, FaultAction, Fleet, Keeps, NamedLink, Payload, PublishSpec, Rhythm, Scenario,
    SessionSpec,
};
use super::units::show;
use super::words::{at, bits, bytes, count, percent, seconds, three, wrap};
use crate::link::spec::{Direction, Jitter, LinkSpec, Loss, Sleep};
use crate::promise::Guarantee;
use std::fmt::Write as _;

/// Bytes of IPv4 and TCP headers of a segment without options.
const HEADERS: u32 = 40;

/// Expected one-way delay in seconds of an IP packet of `bytes`, when nothing is lost and nobody queues.
#[must_use]
pub fn one_way(d: &Direction, bytes: u32) -> f64 {
    serialisation(d, bytes, 1) + propagation(d)
}

fn serialisation(d: &Direction, bytes: u32, packets: u32) -> f64 {
    let on_air = u64::from(bytes) + u64::from(packets) * u64::from(d.overhead);
    d.rate.map_or(0.0, |rate| on_air as f64 * 8.0 / rate as f64)
}

fn propagation(d: &Direction) -> f64 {
    let jitter = match d.jitter {
        Jitter::None | Jitter::Normal(_) => 0.0, // a normal one is even about the delay
        Jitter::Uniform(max) => max.as_secs_f64() / 2.0,
        Jitter::Pareto(mean) => mean.as_secs_f64(),
    };
    d.delay.as_secs_f64() + jitter
}

/// The same for MQTT bytes, in as many segments as they need.
fn transfer(link: &LinkSpec, d: &Direction, bytes: u32) -> f64 {
    let segments = bytes.div_ceil(u32::from(link.mtu) - HEADERS).max(1);
    serialisation(d, bytes + segments * HEADERS, segments) + propagation(d)
}

/// The explanation, for a terminal.
#[must_use]
pub fn explain(scenario: &Scenario) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}   (seed {})", scenario.name, scenario.seed);
    wrap(&scenario.about, "", &mut out);
    out.push('\n');
    totals(scenario, &mut out);
    for fleet in &scenario.fleets {
        fleet_words(fleet, &mut out);
    }
    for group in &scenario.subscribers {
        let _ = writeln!(out, "\n{} x {}", count(f64::from(group.count)), group.name);
        device_words(&group.device, &mut out);
    }
    link_words(scenario, &mut out);
    fault_words(scenario, &mut out);
    expect_words(scenario, &mut out);
    out
}

/// What happens when, and how much of it.
fn totals(scenario: &Scenario, out: &mut String) {
    let load = load(scenario);
    let steady = scenario.ramp + scenario.duration;
    let clients = if load.clients == 1 {
        "1 client starts".into()
    } else {
        format!("{} clients start", count(load.clients as f64))
    };
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<12}{text}");
    };
    line(
        "0 s",
        format!("{clients}: subscribers at once, sensors each at a time of its own within {}", show(scenario.ramp)),
    );
    line(&show(scenario.ramp), format!("publishing begins, in an open loop on a tick of {}", show(scenario.tick)));
    let heal = if linked(scenario).is_empty() { "" } else { "; all links heal" };
    line(&show(steady), format!("publishing ends{heal}"));
    line(&show(steady + scenario.drain), "the end at the latest; earlier if nothing is owed".into());
    if scenario.engine.needs_namespaces() {
        line("engine", format!("{}, on all links: in network namespaces, which takes root", scenario.engine.name()));
    }
    line("offered", format!("about {} messages, {} a second", count(load.messages), three(load.rate)));
    match deliveries(scenario) {
        Some(d) => line(
            "delivered",
            format!("about {} to subscribers, {} a second, if each gets its copy", count(d.messages), three(d.rate)),
        ),
        None => line("delivered", "too many pairs of publisher and subscriber to be counted here".into()),
    }
    line(
        "MQTT",
        format!(
            "{} a second from publishers to the broker, {} a second of acknowledgements back (nothing sent twice)",
            bytes(load.bytes_in),
            bytes(load.bytes_back)
        ),
    );
    let needed = memory::payloads(scenario);
    if needed > 64 << 20 {
        line("memory", format!("about {} for payloads alone", bytes(needed as f64)));
    }
}

fn fleet_words(fleet: &Fleet, out: &mut String) {
    let _ = writeln!(out, "\n{} x {}", count(f64::from(fleet.sensors)), fleet.name);
    if let Some(p) = &fleet.publish {
        publish_words(fleet, p, out);
    }
    device_words(&fleet.device, out);
    if let Some(power) = fleet.power {
        let _ = writeln!(
            out,
            "    loses its power every {} on average, for {}; {}",
            show(power.cut_every),
            show(power.off),
            keeps(power.keeps)
        );
    }
    for reboot in &fleet.reboots {
        let who =
            if reboot.share < 1.0 { format!("{} of them reboot", percent(reboot.share)) } else { "all reboot".into() };
        let _ = writeln!(
            out,
            "    at {} {who}, and connect {} later; each {}",
            at(reboot.at),
            show(reboot.off),
            keeps(reboot.keeps)
        );
    }
}

fn keeps(keeps: Keeps) -> &'static str {
    match keeps {
        Keeps::Flash => "keeps session and outbox, in flash",
        Keeps::Nothing => "forgets everything",
    }
}

fn publish_words(fleet: &Fleet, p: &PublishSpec, out: &mut String) {
    let retained = if p.retain { ", retained" } else { "" };
    let _ = writeln!(out, "    publishes to {} at QoS {}{retained}, {}", p.topic.text, p.qos, rhythm(p));
    let range = |f: &dyn Fn(u32) -> u32| {
        let some = || sample(fleet).map(f);
        match (some().min().unwrap_or(0), some().max().unwrap_or(0)) {
            (a, b) if a == b => format!("{a} B"),
            (a, b) => format!("{a} to {b} B"),
        }
    };
    let payload = match &p.payload {
        Payload::Size(n) => format!("{n} B"),
        Payload::Template(_) => range(&|i| payload_bytes(fleet, p, i)),
    };
    let whole = |f: f64| f as u32;
    let forward = range(&|i| whole(cost(fleet, p, i).forward));
    let back = whole(cost(fleet, p, 0).back);
    let shake = match p.qos {
        0 => String::new(),
        1 => format!(", and a PUBACK of {back} B back"),
        _ => format!(" with PUBREL, and PUBREC and PUBCOMP, {back} B, back"),
    };
    let _ = writeln!(out, "    a message: payload {payload}; MQTT {forward}{shake}");
    super::features::publish_words(&p.features, out);
    let rate = mean_rate(&p.schedule);
    let each =
        if rate >= 0.1 { format!("{} a second", three(rate)) } else { format!("{} a minute", three(rate * 60.0)) };
    if fleet.sensors == 1 {
        let _ = writeln!(out, "    on average {each}");
        return;
    }
    let together = three(rate * f64::from(fleet.sensors));
    let _ = writeln!(out, "    on average {each} each, {together} a second together");
}

fn rhythm(p: &PublishSpec) -> String {
    let s = &p.schedule;
    let mut words = match s.rhythm {
        Rhythm::Every(period) => format!("every {} from a random phase", show(period)),
        Rhythm::Poisson(mean) => format!("at random, every {} on average", show(mean)),
    };
    if s.burst > 1 {
        let _ = write!(words, ", {} at a time", s.burst);
    }
    if let Some(duty) = s.duty {
        let away = if duty.disconnect { "disconnected" } else { "silent" };
        let _ = write!(words, "; {} on, {} {away}", show(duty.on), show(duty.off));
    }
    if s.drift > 0 {
        let _ = write!(words, "; each by a clock of its own, up to {} ppm fast or slow", f64::from(s.drift) / 1e3);
    }
    words
}

fn device_words(d: &DeviceSpec, out: &mut String) {
    for s in &d.subscriptions {
        let share = s.share.as_ref().map_or(String::new(), |s| format!(", shared as {s}"));
        let local = if s.no_local { ", not its own" } else { "" };
        let _ = writeln!(out, "    subscribes to {} at QoS {}{share}{local}", s.filter.text, s.qos);
    }
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
    let keep_alive =
        if d.keep_alive.is_zero() { "no keep alive".into() } else { format!("keep alive {}", show(d.keep_alive)) };
    let link = d.link.as_ref().map_or("a direct socket".to_owned(), |l| format!("link {}", l.name));
    let _ = writeln!(out, "    MQTT {version}, {session}, {keep_alive}, {link}");
    if d.outbox.limit != 1000 || d.outbox.drop != DropPolicy::Oldest {
        let drop = if d.outbox.drop == DropPolicy::Oldest { "oldest" } else { "newest" };
        let _ =
            writeln!(out, "    lets {} messages wait at most, then drops the {drop}", count(f64::from(d.outbox.limit)));
    }
    if let Some(will) = &d.will {
        let _ = writeln!(
            out,
            "    will: {} at QoS {}, {} after the connection",
            will.topic.text,
            will.qos,
            show(will.delay)
        );
    }
    if let Some(u) = &d.under_test {
        super::under_test::words(u, out);
    }
    super::features::words(&d.features, out);
    for offline in &d.offline {
        let how = if offline.clean { "with DISCONNECT" } else { "without a word" };
        let _ = writeln!(out, "    leaves {how} at {}, for {}", at(offline.at), show(offline.lasts));
    }
}

/// A group that has a link: name, link, and the message that it carries up, if any (bytes of PUBLISH, QoS).
type Linked<'a> = (&'a str, &'a NamedLink, Option<(u32, u8)>);

/// All groups that have a link.
fn linked(scenario: &Scenario) -> Vec<Linked<'_>> {
    let fleets = scenario.fleets.iter().filter_map(|f| {
        let message = f.publish.as_ref().map(|p| (publish_bytes(f, p, f.sensors - 1), p.qos));
        f.device.link.as_ref().map(|l| (f.name.as_str(), l, message))
    });
    let subscribers =
        scenario.subscribers.iter().filter_map(|s| Some((s.name.as_str(), s.device.link.as_ref()?, None)));
    fleets.chain(subscribers).collect()
}

fn link_words(scenario: &Scenario, out: &mut String) {
    let groups = linked(scenario);
    if groups.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nExpected times of a message, nothing lost and nobody queueing");
    let _ = writeln!(out, "{:<18} {:<18} {:>10} {:>14}", "", "link", "up", "acknowledged");
    for (name, link, message) in &groups {
        let spec = &link.spec;
        let (bytes, qos) = message.unwrap_or((0, 0));
        if bytes == 0 {
            continue;
        }
        let up = transfer(spec, &spec.up, bytes);
        let round = transfer(spec, &spec.down, ACK);
        let acked = match qos {
            0 => "-".to_owned(),
            1 => seconds(up + round),
            _ => seconds(up + round + transfer(spec, &spec.up, ACK) + transfer(spec, &spec.down, ACK)),
        };
        let _ = writeln!(out, "{name:<18} {:<18} {:>10} {acked:>14}", link.name, seconds(up));
    }
    let _ = writeln!(out, "\nLinks");
    let mut seen: Vec<&str> = Vec::new();
    for (_, link, _) in groups {
        if seen.contains(&link.name.as_str()) {
            continue;
        }
        seen.push(&link.name);
        let _ = writeln!(out, "{}", link.name);
        if link.spec.up == link.spec.down {
            direction_words("each way", &link.spec.up, out);
        } else {
            direction_words("up", &link.spec.up, out);
            direction_words("down", &link.spec.down, out);
        }
        let duplex = if link.spec.half_duplex { "one packet on the air at a time, " } else { "" };
        let _ = writeln!(out, "    {duplex}packets of {} B at most", link.spec.mtu);
        if let Some(sleep) = &link.spec.sleep {
            let _ = writeln!(out, "    {}", sleep_words(sleep));
        }
        for outage in &link.spec.outages {
            let until = outage.at + outage.lasts;
            let _ = writeln!(out, "    outage from {} to {}: nothing passes", at(outage.at), at(until));
        }
    }
}

fn direction_words(name: &str, d: &Direction, out: &mut String) {
    let rate = d.rate.map_or("no limit of rate".into(), bits);
    let jitter = match d.jitter {
        Jitter::None => String::new(),
        Jitter::Uniform(max) => format!(" plus 0 to {}", show(max)),
        Jitter::Normal(deviation) => format!(" give or take {} (normal)", show(deviation)),
        Jitter::Pareto(mean) => format!(" plus {} on average (Pareto)", show(mean)),
    };
    let mut queue = d.queue.map_or(String::new(), |q| format!(", queue {}", bytes(f64::from(q))));
    if let Some(packets) = d.queue_packets {
        let _ = write!(queue, ", queue of {packets} packets");
    }
    let _ = writeln!(out, "    {name:<8} {rate}, {}{jitter}{queue}", show(d.delay));
    let _ = writeln!(out, "    {:<8} {}", "", loss_words(&d.loss));
    let shares = [("arrive twice", d.duplicate), ("are corrupted, and dropped by a checksum", d.corrupt)];
    for (what, share) in shares.into_iter().filter(|(_, share)| *share > 0.0) {
        let _ = writeln!(out, "    {:<8} {} {what}", "", percent(share));
    }
    if d.duty_cycle < 1.0 {
        let _ = writeln!(out, "    {:<8} on the air for {} of the time at most", "", percent(d.duty_cycle));
    }
    if let Some(trace) = &d.trace {
        let file = trace.file.rsplit('/').next().unwrap_or_default();
        let _ = writeln!(out, "    {:<8} what {file} recorded goes before that", "");
    }
}

fn sleep_words(s: &Sleep) -> String {
    let awake = format!("the radio sleeps when {} pass without a packet", show(s.awake));
    match s.every {
        Some(every) => format!("{awake}, and listens every {} for {}", show(every), show(s.window)),
        None => format!("{awake}, and listens only after it spoke"),
    }
}

fn loss_words(loss: &Loss) -> String {
    match loss {
        Loss::None => "no loss".into(),
        Loss::Bernoulli(p) => format!("{} lost", percent(*p)),
        Loss::GilbertElliott { into_bad, out_of_bad, loss_in_good, loss_in_bad } => format!(
            "{} lost: {} in good times, {} in bad ones, which last {} packets in {}",
            percent(loss.stationary()),
            percent(*loss_in_good),
            percent(*loss_in_bad),
            three(1.0 / out_of_bad),
            three(1.0 / into_bad + 1.0 / out_of_bad),
        ),
        Loss::GilbertElliottTime { good, bad, loss_in_good, loss_in_bad } => format!(
            "{} lost: {} in good times of {}, {} in bad ones of {}, on average",
            percent(loss.stationary()),
            percent(*loss_in_good),
            show(*good),
            percent(*loss_in_bad),
            show(*bad)
        ),
        Loss::FourState { p13, p31, p32, p23, p14 } => format!(
            "{} lost: alone {} of the time in gaps of {} packets, and in bursts of {}, on average",
            percent(loss.stationary()),
            percent(*p14),
            three(1.0 / p13),
            three(1.0 / p31 + if *p32 > 0.0 { p32 / p31 / p23 } else { 0.0 }),
        ),
    }
}

fn fault_words(scenario: &Scenario, out: &mut String) {
    if !scenario.faults.is_empty() {
        let _ = writeln!(out, "\nDone to the broker, or to connections");
    }
    for fault in &scenario.faults {
        let what = match fault.action {
            FaultAction::Kill { back_after: Some(t) } => format!("killed, started again {} later", show(t)),
            FaultAction::Kill { back_after: None } => "killed, and not started again".into(),
            FaultAction::Restart { back_after } => {
                format!("stopped in order, started again {} later", show(back_after))
            }
            FaultAction::Pause { lasts } => format!("paused for {}", show(lasts)),
            FaultAction::SlowCpu { lasts, runs } => format!(
                "its CPU is limited for {}: its processes run {} of each {}, and are stopped for the rest",
                show(lasts),
                show(runs),
                show(CPU_PERIOD)
            ),
            FaultAction::SlowDisk { lasts, write } => format!(
                "its disk is slow for {}: {} more for each packet that changes what it keeps",
                show(lasts),
                show(write)
            ),
            FaultAction::DropConnections { share } => {
                let whose = if share < 1.0 { format!("each client's, with {},", percent(share)) } else { "all".into() };
                format!(
                    "connections are dropped: {whose} by a reset to both sides, at a link's gateway or at the socket"
                )
            }
        };
        let _ = writeln!(out, "    at {}: {what}", at(fault.at));
    }
}

fn expect_words(scenario: &Scenario, out: &mut String) {
    let expect = &scenario.expect;
    let _ = writeln!(out, "\nMust hold");
    let names: Vec<&str> = expect.guarantees.iter().map(|g| g.title()).collect();
    let words = match names.len() {
        0 => "no guarantee".to_owned(),
        n if n == Guarantee::ALL.len() => format!("all guarantees: {}", names.join(", ")),
        _ => names.join(", "),
    };
    wrap(&words, "    ", out);
    for threshold in &expect.thresholds {
        let _ = writeln!(out, "    {}", threshold.text);
    }
}
