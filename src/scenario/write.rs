//! From the model back to a file that reads like one that a person wrote: what is as by default is left out.

use super::features;
use super::model::{
    DeviceSpec, DropPolicy, FaultAction, Keeps, NamedLink, Payload, Reboot, Rhythm, Scenario, Schedule, SessionSpec,
    SubscriptionSpec,
};
use super::units::{self, show};
use crate::link::profile;
use crate::link::spec::{Direction, Jitter, LinkSpec, Loss};
use crate::link::trace::Form;
use crate::promise::Guarantee;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The text of a scenario file which [`super::parse`] reads as the same scenario; the `about` opens it.
///
/// Durations that no unit of a file can say exactly are rounded to the nanosecond.
#[must_use]
pub fn write(scenario: &Scenario) -> String {
    let mut out = String::new();
    for line in scenario.about.lines() {
        let _ = writeln!(out, "# {line}");
    }
    let _ = writeln!(out, "name = {}\nseed = {}", quoted(&scenario.name), scenario.seed);
    let times = [("ramp", scenario.ramp), ("duration", scenario.duration), ("drain", scenario.drain)];
    for (key, time) in times {
        let _ = writeln!(out, "{key} = {}", duration(time));
    }
    if scenario.tick != Duration::from_millis(1) {
        let _ = writeln!(out, "tick = {}", duration(scenario.tick));
    }
    if scenario.engine.needs_namespaces() {
        let _ = writeln!(out, "engine = \"{}\"", scenario.engine.name());
    }
    let mut links = BTreeMap::new();
    for fleet in &scenario.fleets {
        let _ = writeln!(out, "\n[fleet.{}]\nsensors = {}", key(&fleet.name), fleet.sensors);
        device(&fleet.device, "subscribe", &mut out);
        if let Some(p) = &fleet.publish {
            let mut parts = vec![format!("topic = {}", quoted(&p.topic.text)), format!("qos = {}", p.qos)];
            parts.extend(p.retain.then(|| "retain = true".to_owned()));
            parts.push(match &p.payload {
                Payload::Size(size) => format!("payload = \"{size} B\""),
                Payload::Template(t) => format!("payload = {{ template = {} }}", quoted(&t.text)),
            });
            parts.extend(schedule(&p.schedule));
            parts.extend(features::publish_parts(&p.features));
            let _ = writeln!(out, "publish = {{ {} }}", parts.join(", "));
        }
        if let Some(p) = fleet.power {
            let (every, off) = (duration(p.cut_every), duration(p.off));
            let _ = writeln!(out, "power = {{ cut_every = {every}, off = {off}, keeps = \"{}\" }}", keeps(p.keeps));
        }
        list(&mut out, "reboot", fleet.reboots.iter().map(reboot));
        links.extend(fleet.device.link.iter().map(|l| (l.name.as_str(), l)));
    }
    for group in &scenario.subscribers {
        let _ = writeln!(out, "\n[subscriber.{}]\ncount = {}", key(&group.name), group.count);
        device(&group.device, "filters", &mut out);
        links.extend(group.device.link.iter().map(|l| (l.name.as_str(), l)));
    }
    links.into_values().for_each(|l| link(l, &mut out));
    faults(scenario, &mut out);
    expect(scenario, &mut out);
    out
}

fn keeps(keeps: Keeps) -> &'static str {
    if keeps == Keeps::Flash { "flash" } else { "nothing" }
}

fn reboot(r: &Reboot) -> String {
    let share = if r.share < 1.0 { format!(", share = {}", percent(r.share)) } else { String::new() };
    let keeps = if r.keeps == Keeps::Flash { String::new() } else { format!(", keeps = \"{}\"", keeps(r.keeps)) };
    format!("{{ at = {}{share}, off = {}{keeps} }}", at(r.at), duration(r.off))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A name as a key: a dot would part it.
fn key(name: &str) -> String {
    if name.contains('.') { quoted(name) } else { name.to_owned() }
}

pub(super) fn duration(d: Duration) -> String {
    let text = show(d);
    if units::duration(&text) == Ok(d) { format!("\"{text}\"") } else { format!("\"{} ns\"", d.as_nanos()) }
}

fn at(t: Instant) -> String {
    duration(t.since(Instant::ZERO))
}

/// The shortest number with which `is_it` is true.
fn shortest(number: f64, is_it: impl Fn(&str) -> bool) -> String {
    (0..15).map(|digits| format!("{number:.digits$}")).find(|t| is_it(t)).unwrap_or_else(|| number.to_string())
}

fn percent(p: f64) -> String {
    let number = shortest(p * 100.0, |t| units::percent(&format!("{t} %")) == Ok(p));
    format!("\"{number} %\"")
}

fn frequency(mean: Duration) -> String {
    let seconds = mean.as_secs_f64();
    let one = |unit: &str, span: f64| {
        let number = shortest(span / seconds, |t| units::frequency(&format!("{t}/{unit}")) == Ok(mean));
        format!("{number}/{unit}")
    };
    let all = [one("s", 1.0), one("min", 60.0), one("h", 3600.0)];
    // The first unit in which it is exact and at least one.
    let exact = |t: &&String| units::frequency(t) == Ok(mean);
    let best = all.iter().filter(exact).find(|t| !t.starts_with('0')).or_else(|| all.iter().find(exact));
    format!("\"{}\"", best.unwrap_or(&all[2]))
}

fn rate(bits: u64) -> String {
    let (number, unit) = [(1_000_000, "Mbit/s"), (1_000, "kbit/s")]
        .into_iter()
        .find(|(size, _)| bits.is_multiple_of(*size))
        .map_or((bits, "bit/s"), |(size, unit)| (bits / size, unit));
    format!("\"{number} {unit}\"")
}

fn schedule(s: &Schedule) -> Vec<String> {
    let mut parts = vec![match s.rhythm {
        Rhythm::Every(period) => format!("every = {}", duration(period)),
        Rhythm::Poisson(mean) => format!("poisson = {}", frequency(mean)),
    }];
    if s.burst > 1 {
        parts.push(format!("burst = {}", s.burst));
    }
    if let Some(d) = s.duty {
        let disconnect = if d.disconnect { ", disconnect = true" } else { "" };
        parts.push(format!("duty = {{ on = {}, off = {}{disconnect} }}", duration(d.on), duration(d.off)));
    }
    if s.drift > 0 {
        parts.push(format!("drift = \"{} ppm\"", f64::from(s.drift) / 1e3));
    }
    parts
}

fn device(d: &DeviceSpec, subscriptions: &str, out: &mut String) {
    match d.mqtt_level {
        3 => out.push_str("mqtt = \"3.1\"\n"),
        5 => out.push_str("mqtt = \"5.0\"\n"),
        _ => {}
    }
    if let SessionSpec::Persistent(expiry) = d.session {
        out.push_str("session = \"persistent\"\n");
        if let Some(expiry) = expiry {
            let _ = writeln!(out, "session_expiry = {}", duration(expiry));
        }
    }
    let times = [("keep_alive", d.keep_alive, 60), ("connect_timeout", d.connect_timeout, 30)];
    for (key, time, _) in times.iter().filter(|(_, time, usual)| *time != Duration::from_secs(*usual)) {
        let _ = writeln!(out, "{key} = {}", duration(*time));
    }
    if let Some(c) = &d.credentials {
        let _ = writeln!(out, "user = {}", quoted(&c.user.text));
        if let Some(p) = &c.password {
            let _ = writeln!(out, "password = {}", quoted(&p.text));
        }
    }
    if let Some(link) = &d.link {
        let _ = writeln!(out, "link = {}", quoted(&link.name));
    }
    if let Some(transport) = d.transport {
        let _ = writeln!(out, "transport = \"{transport}\"");
    }
    let r = d.reconnect;
    if (r.first, r.longest) != (Duration::from_secs(1), Duration::from_secs(30)) || (r.jitter - 0.5).abs() > 1e-9 {
        let (first, longest, jitter) = (duration(r.first), duration(r.longest), percent(r.jitter));
        let _ = writeln!(out, "reconnect = {{ first = {first}, longest = {longest}, jitter = {jitter} }}");
    }
    if let Some(w) = &d.will {
        let mut parts = vec![format!("topic = {}", quoted(&w.topic.text)), format!("payload = {}", quoted(&w.payload))];
        parts.push(format!("qos = {}", w.qos));
        parts.extend(w.retain.then(|| "retain = true".to_owned()));
        parts.extend((!w.delay.is_zero()).then(|| format!("delay = {}", duration(w.delay))));
        let _ = writeln!(out, "will = {{ {} }}", parts.join(", "));
    }
    if d.window != 20 {
        let _ = writeln!(out, "window = {}", d.window);
    }
    if d.receive_maximum != u16::MAX {
        let _ = writeln!(out, "receive_maximum = {}", d.receive_maximum);
    }
    if d.outbox.limit != 1000 || d.outbox.drop != DropPolicy::Oldest {
        let drop = if d.outbox.drop == DropPolicy::Oldest { "oldest" } else { "newest" };
        let _ = writeln!(out, "outbox = {{ limit = {}, drop = \"{drop}\" }}", d.outbox.limit);
    }
    features::write(&d.features, out);
    if let Some(u) = &d.under_test {
        super::under_test::write(u, out);
    }
    list(out, subscriptions, d.subscriptions.iter().map(subscription));
    list(
        out,
        "offline",
        d.offline.iter().map(|o| {
            let clean = if o.clean { "" } else { ", clean = false" };
            format!("{{ at = {}, for = {}{clean} }}", at(o.at), duration(o.lasts))
        }),
    );
}

fn subscription(s: &SubscriptionSpec) -> String {
    let share = s.share.as_ref().map_or(String::new(), |g| format!(", share = {}", quoted(g)));
    let no_local = if s.no_local { ", no_local = true" } else { "" };
    let options = features::subscription_parts(s);
    format!("{{ filter = {}, qos = {}{share}{no_local}{options} }}", quoted(&s.filter.text), s.qos)
}

fn list(out: &mut String, key: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        let _ = writeln!(out, "{key} = [{}]", items.join(", "));
    }
}

fn link(l: &NamedLink, out: &mut String) {
    if profile::preset(&l.name).as_ref() == Some(&*l.spec) {
        return;
    }
    let LinkSpec { up, down, half_duplex, mtu, outages, sleep } = &*l.spec;
    let _ = writeln!(out, "\n[link.{}]", key(&l.name));
    if up == down && up.overhead == 0 && !up.reorder && up.duty_cycle >= 1.0 && up.trace.is_none() {
        for part in direction(up) {
            let _ = writeln!(out, "{part}");
        }
    } else {
        for (name, d) in [("up", up), ("down", down)] {
            let parts = direction(d);
            if !parts.is_empty() {
                let _ = writeln!(out, "{name} = {{ {} }}", parts.join(", "));
            }
        }
    }
    if *half_duplex {
        out.push_str("half_duplex = true\n");
    }
    if *mtu != 1500 {
        let _ = writeln!(out, "mtu = \"{mtu} B\"");
    }
    if let Some(s) = sleep {
        let every =
            s.every.map_or(String::new(), |e| format!(", every = {}, window = {}", duration(e), duration(s.window)));
        let _ = writeln!(out, "sleep = {{ awake = {}{every} }}", duration(s.awake));
    }
    list(out, "outage", outages.iter().map(|o| format!("{{ at = {}, for = {} }}", at(o.at), duration(o.lasts))));
}

fn direction(d: &Direction) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(d.rate.map(|r| format!("rate = {}", rate(r))));
    parts.extend((d.overhead > 0).then(|| format!("overhead = \"{} B\"", d.overhead)));
    parts.extend((!d.delay.is_zero()).then(|| format!("delay = {}", duration(d.delay))));
    parts.extend(match d.jitter {
        Jitter::None => None,
        Jitter::Uniform(x) => Some(format!("jitter = {{ uniform = {} }}", duration(x))),
        Jitter::Normal(x) => Some(format!("jitter = {{ normal = {} }}", duration(x))),
        Jitter::Pareto(x) => Some(format!("jitter = {{ pareto = {} }}", duration(x))),
    });
    parts.extend(d.reorder.then(|| "reorder = true".to_owned()));
    let states = |good: f64, bad: f64| format!("loss_in_good = {}, loss_in_bad = {}", percent(good), percent(bad));
    parts.extend(match d.loss {
        Loss::None => None,
        Loss::Bernoulli(p) => Some(format!("loss = {}", percent(p))),
        Loss::GilbertElliott { into_bad, out_of_bad, loss_in_good, loss_in_bad } => Some(format!(
            "loss = {{ gilbert_elliott = {{ into_bad = {}, out_of_bad = {}, {} }} }}",
            percent(into_bad),
            percent(out_of_bad),
            states(loss_in_good, loss_in_bad)
        )),
        Loss::GilbertElliottTime { good, bad, loss_in_good, loss_in_bad } => Some(format!(
            "loss = {{ gilbert_elliott_time = {{ good = {}, bad = {}, {} }} }}",
            duration(good),
            duration(bad),
            states(loss_in_good, loss_in_bad)
        )),
        Loss::FourState { p13, p31, p32, p23, p14 } => {
            let all = [("p13", p13), ("p31", p31), ("p32", p32), ("p23", p23), ("p14", p14)];
            let all: Vec<String> = all.iter().map(|(key, p)| format!("{key} = {}", percent(*p))).collect();
            Some(format!("loss = {{ four_state = {{ {} }} }}", all.join(", ")))
        }
    });
    parts.extend(d.queue.map(|q| format!("queue = \"{q} B\"")));
    parts.extend(d.queue_packets.map(|q| format!("queue_packets = {q}")));
    parts.extend((d.duplicate > 0.0).then(|| format!("duplicate = {}", percent(d.duplicate))));
    parts.extend((d.corrupt > 0.0).then(|| format!("corrupt = {}", percent(d.corrupt))));
    parts.extend((d.duty_cycle < 1.0).then(|| format!("duty_cycle = {}", percent(d.duty_cycle))));
    parts.extend(d.trace.as_ref().map(|t| {
        let form = if matches!(t.form, Form::Steps { .. }) { "csv" } else { "mahimahi" };
        format!("trace = {{ {form} = {} }}", quoted(&t.file))
    }));
    parts
}

fn faults(scenario: &Scenario, out: &mut String) {
    for fault in &scenario.faults {
        let (what, how) = match fault.action {
            FaultAction::Kill { back_after: None } => ("kill", String::new()),
            FaultAction::Kill { back_after: Some(t) } => ("kill", format!("back_after = {}\n", duration(t))),
            FaultAction::Restart { back_after } => ("restart", format!("back_after = {}\n", duration(back_after))),
            FaultAction::Pause { lasts } => ("pause", format!("for = {}\n", duration(lasts))),
            FaultAction::SlowCpu { lasts, runs } => {
                ("slow-cpu", format!("for = {}\nruns = {}\n", duration(lasts), duration(runs)))
            }
            FaultAction::SlowDisk { lasts, write } => {
                ("slow-disk", format!("for = {}\nwrite = {}\n", duration(lasts), duration(write)))
            }
            FaultAction::DropConnections { share } => ("drop-connections", format!("share = {}\n", percent(share))),
        };
        let _ = write!(out, "\n[[fault]]\nat = {}\nbroker = \"{what}\"\n{how}", at(fault.at));
    }
}

fn expect(scenario: &Scenario, out: &mut String) {
    let e = &scenario.expect;
    out.push_str("\n[expect]\n");
    let names: Vec<String> = e.guarantees.iter().map(|g| format!("\"{}\"", g.key())).collect();
    let _ = match (e.all, names.len()) {
        (true, _) => writeln!(out, "guarantees = \"all\""),
        (_, 0) => writeln!(out, "guarantees = \"none\""),
        _ => writeln!(out, "guarantees = [{}]", names.join(", ")),
    };
    debug_assert!(!e.all || e.guarantees.len() == Guarantee::ALL.len());
    list(out, "thresholds", e.thresholds.iter().map(|t| quoted(&t.text)));
}
