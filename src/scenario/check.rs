//! From TOML to the checked model.

use super::device::device;
use super::diagnostics::Problem;
use super::links::Links;
use super::model::{CPU_PERIOD, Expect, Fault, FaultAction, Fleet, Keeps, Power, Reboot, Scenario, SubscriberGroup};
use super::publish::publish;
use super::reader::{At, Problems, Table, list};
use super::{load, memory, threshold, under_test, units};
use crate::link::Engine;
use crate::promise::Guarantee;
use crate::time::{Duration, Instant};
use std::ops::Range;
use std::path::Path;
use toml::de::DeTable;

const SECOND: Duration = Duration::from_secs(1);
/// The most messages a second that a scenario may offer: more than any machine sends (assumed).
const FASTEST: f64 = 1e7;
/// The most memory that a scenario's payloads may need, in bytes (assumed: no machine for tests has more to spare).
const LARGEST: u64 = 8 << 30;
/// The most clients of a scenario (assumed: a client has a port and some KiB).
const MOST_CLIENTS: u64 = 1_000_000;

/// What the tables of a file share while they are read.
pub(super) struct Context<'a> {
    pub links: &'a Links,
    pub tick: Duration,
    /// How long messages are published.
    pub duration: Duration,
    /// Ramp and duration.
    pub load: Duration,
}

/// A group of clients while it is read.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub name: &'a str,
    /// How many clients it has, at least 1.
    pub count: u32,
}

/// Files that it names are looked for in `folder`.
pub(super) fn check(table: &DeTable<'_>, span: Range<usize>, stem: &str, folder: &Path) -> (Scenario, Vec<Problem>) {
    let problems = Problems::default();
    let root = Table::new("scenario", table, span.start..span.start, &problems);
    let scenario = scenario(&root, stem, folder);
    (scenario, problems.into_sorted())
}

fn scenario(root: &Table<'_>, stem: &str, folder: &Path) -> Scenario {
    let tick = tick(root);
    let ramp = root.duration("ramp").map_or(SECOND * 2, |d| d.value);
    let duration = root.duration_above_zero("duration", SECOND);
    let drain = root.duration("drain").map_or(SECOND * 60, |d| d.value);
    // Without a duration nothing can be after the load.
    let load = if root.duration_is_good("duration") { ramp + duration } else { Duration::MAX };
    let links = Links::read(root, load, folder);
    let context = Context { links: &links, tick, duration, load };
    let mut names: Vec<At<String>> = Vec::new();
    let mut note = |name: &At<&str>| {
        legal_name(root, name);
        if names.iter().any(|n| n.value == name.value) {
            root.problem(name.span.clone(), "this name is taken", "fleets and subscribers need different names");
        }
        names.push(At { value: name.value.to_owned(), span: name.span.clone() });
    };
    let mut fleets = Vec::new();
    for (name, t) in root.named("fleet", "fleet") {
        note(&name);
        fleets.push(fleet(name.value, &t, &context));
    }
    let mut subscribers = Vec::new();
    for (name, t) in root.named("subscriber", "subscriber") {
        note(&name);
        subscribers.push(subscriber(name.value, &t, &context));
    }
    if !root.has("fleet") && !root.has("subscriber") {
        root.problem(0..0, "nothing is in this scenario", "add a [fleet.NAME] with sensors and publish");
    }
    let group_names: Vec<&str> = names.iter().map(|n| n.value.as_str()).collect();
    let expect = expect(root, &group_names);
    let name = root.text("name");
    let is_bad = |n: &str| {
        n.is_empty() || n.starts_with('.') || n.len() > 100 || n.contains(|c: char| c == '/' || c.is_control())
    };
    if let Some(name) = name.as_ref().filter(|n| is_bad(n.value)) {
        let mend = "it becomes a folder's name: up to 100 bytes, no / in it, no . at its beginning";
        root.problem(name.span.clone(), "this is no name for a scenario", mend);
    }
    let scenario = Scenario {
        name: name.map_or_else(|| stem.to_owned(), |n| n.value.to_owned()),
        about: String::new(),
        seed: root.long_count("seed").unwrap_or(1),
        ramp,
        duration,
        drain,
        tick,
        engine: Engine::named(root.word("engine", "smoltcp")).unwrap_or_default(),
        fleets,
        subscribers,
        faults: faults(root, &context),
        expect,
    };
    bounds(root, &scenario);
    if let Some(engine) = root.text("engine").filter(|_| scenario.engine.needs_namespaces())
        && scenario.links().next().is_none()
    {
        let mend = "give a fleet or a subscriber a link, or leave engine out";
        root.problem(engine.span, "there is no link for this engine to speak TCP on", mend);
    }
    scenario
}

/// What the whole must not exceed.
fn bounds(root: &Table<'_>, scenario: &Scenario) {
    let load = load::load(scenario);
    if load.clients > MOST_CLIENTS {
        let message = format!("{} clients are more than squall takes on", load.clients);
        root.problem(0..0, message, format!("{MOST_CLIENTS} at most, all fleets and subscribers together"));
    }
    if load.rate > FASTEST {
        let message = format!("{:.3e} messages a second are more than any machine sends", load.rate);
        root.problem(0..0, message, format!("{FASTEST:.0e} at most: fewer sensors, longer periods, smaller bursts"));
    }
    let needed = memory::payloads(scenario);
    if needed > LARGEST {
        let message = format!("the payloads of all sensors need about {} GiB of memory", needed >> 30);
        root.problem(0..0, message, format!("{} GiB at most: fewer sensors, or smaller payloads", LARGEST >> 30));
    }
}

/// Names go into topics, paths, thresholds and reports: letters, digits, `-`, `_` and `.` only.
pub(super) fn legal_name(t: &Table<'_>, name: &At<&str>) {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(legal) {
        let mend = "letters, digits, -, _ and . only, 1 to 64 of them: names go into topics, thresholds and reports";
        t.problem(name.span.clone(), "this name will not do", mend);
    }
}

fn tick(root: &Table<'_>) -> Duration {
    let Some(tick) = root.duration("tick") else { return Duration::from_millis(1) };
    if (Duration::from_micros(100)..=SECOND).contains(&tick.value) {
        return tick.value;
    }
    root.problem(tick.span, "expected a time from 100 us to 1 s", "1 ms fits most");
    Duration::from_millis(1)
}

fn fleet(name: &str, t: &Table<'_>, context: &Context<'_>) -> Fleet {
    let group = Group { name, count: t.count("sensors").unwrap_or(1) };
    let device = device(t, context, group, "subscribe");
    let publish = t.table("publish", "publish").map(|p| publish(&p, context, group, device.mqtt_level));
    under_test::check(t, &device, publish.as_ref());
    let idle = publish.is_none() && device.subscriptions.is_empty() && !device.decides_for_itself();
    if idle && !t.has("publish") {
        let mend = "add publish = { topic = \"site/{sensor}/reading\", every = \"10 s\" }, say";
        t.problem(t.span.clone(), "this fleet neither publishes nor subscribes", mend);
    }
    let power = t.table("power", "power").map(|p| Power {
        cut_every: p.duration_from("cut_every", context.tick, SECOND),
        off: p.duration_from("off", context.tick, SECOND),
        keeps: keeps(&p),
    });
    Fleet { name: name.into(), sensors: group.count, device, publish, power, reboots: reboots(t, context) }
}

fn keeps(t: &Table<'_>) -> Keeps {
    if t.word("keeps", "flash") == "flash" { Keeps::Flash } else { Keeps::Nothing }
}

fn reboots(t: &Table<'_>, context: &Context<'_>) -> Vec<Reboot> {
    let tables = t.tables("reboot", "reboot");
    let all = tables.iter().filter_map(|r| {
        let (at, off) = (moment(r, context.load), r.duration_from("off", context.tick, SECOND));
        let share = r.percent("share").unwrap_or(1.0);
        Some(At { value: Reboot { at: at?, share, off, keeps: keeps(r) }, span: r.span.clone() })
    });
    in_order(all.collect(), |r| (r.at, r.at + r.off), t)
}

fn subscriber(name: &str, t: &Table<'_>, context: &Context<'_>) -> SubscriberGroup {
    let group = Group { name, count: t.count("count").unwrap_or(1) };
    let device = device(t, context, group, "filters");
    under_test::check(t, &device, None);
    if device.decides_for_itself() {
        let mend = "make it a fleet: [fleet.NAME] with sensors";
        t.problem(t.place_of("client"), "a program subscribes by itself, and is no subscriber of squall's", mend);
    }
    if t.is_empty_list("filters") {
        t.problem(
            t.place_of("filters"),
            "a subscriber without a filter gets nothing",
            "filters = [{ filter = \"#\" }], say",
        );
    }
    SubscriberGroup { name: name.into(), count: group.count, device }
}

/// Reports what overlaps among times that were read in the file's order, and sorts them.
pub(super) fn in_order<T: Copy>(
    mut all: Vec<At<T>>,
    window: impl Fn(&T) -> (Instant, Instant),
    t: &Table<'_>,
) -> Vec<T> {
    all.sort_by_key(|x| window(&x.value).0);
    for pair in all.windows(2) {
        let (earlier, later) = (window(&pair[0].value), window(&pair[1].value));
        if later.0 < earlier.1 {
            let until = units::show(earlier.1.since(Instant::ZERO));
            let mend = match earlier.1 {
                Instant::FAR => "after that kill the broker is not started again: give it a back_after".to_owned(),
                _ => format!("the one before it ends at {until}: begin later, or make one of the two"),
            };
            t.problem(pair[1].span.clone(), "this begins before the one before it has ended", mend);
        }
    }
    all.into_iter().map(|x| x.value).collect()
}

/// When something happens: it must be before the load ends. None if that is not known.
pub(super) fn moment(t: &Table<'_>, load: Duration) -> Option<Instant> {
    let at = t.duration("at")?;
    if at.value >= load {
        let mend = format!("ramp and duration together are {}", units::show(load));
        t.problem(at.span, "this is after the load has ended", mend);
        return None;
    }
    Some(Instant::ZERO + at.value)
}

fn faults(root: &Table<'_>, context: &Context<'_>) -> Vec<Fault> {
    let mut all: Vec<At<(Instant, FaultAction)>> = Vec::new();
    for f in root.tables("fault", "fault") {
        let at = moment(&f, context.load);
        let word = f.word("broker", "");
        let (own, foreign): (&[&str], &[_]) = match word {
            "pause" => (&["for"], &["back_after", "write", "runs", "share"]),
            "slow-cpu" => (&["for", "runs"], &["back_after", "write", "share"]),
            "slow-disk" => (&["for", "write"], &["back_after", "runs", "share"]),
            "drop-connections" => (&["share"], &["back_after", "for", "write", "runs"]),
            "" => (&[], &[]),
            _ => (&["back_after"], &["for", "write", "runs", "share"]),
        };
        for key in foreign.iter().filter(|key| f.has(key)) {
            f.problem(f.place_of(key), format!("{key} means nothing to a {word}"), format!("use {}", own[0]));
        }
        let back_after = f.has("back_after").then(|| f.duration_above_zero("back_after", SECOND));
        let action = match word {
            "kill" => FaultAction::Kill { back_after },
            "restart" => FaultAction::Restart { back_after: back_after.unwrap_or(SECOND) },
            "slow-cpu" => slow_cpu(&f),
            "slow-disk" => FaultAction::SlowDisk {
                lasts: f.duration_above_zero("for", SECOND),
                write: f.duration_above_zero("write", SECOND),
            },
            "drop-connections" => FaultAction::DropConnections { share: f.percent("share").unwrap_or(1.0) },
            _ => FaultAction::Pause { lasts: f.duration_above_zero("for", SECOND) },
        };
        for key in own.iter().filter(|key| !matches!(**key, "back_after" | "share") && !f.has(key)) {
            let (value, what) = match *key {
                "for" => ("3 s", "how long"),
                "runs" => ("20 ms", "how much of each 100 ms it runs"),
                _ => ("3 s", "what a packet costs that is written down"),
            };
            f.problem(f.span.clone(), format!("{key} is missing"), format!("add {key} = \"{value}\", say: {what}"));
        }
        if let Some(at) = at {
            all.push(At { value: (at, action), span: f.span.clone() });
        }
    }
    let window = |(at, action): &(Instant, FaultAction)| match *action {
        FaultAction::Kill { back_after: Some(t) }
        | FaultAction::Restart { back_after: t }
        | FaultAction::Pause { lasts: t }
        | FaultAction::SlowCpu { lasts: t, .. }
        | FaultAction::SlowDisk { lasts: t, .. } => (*at, *at + t),
        FaultAction::Kill { back_after: None } => (*at, Instant::FAR),
        FaultAction::DropConnections { .. } => (*at, *at),
    };
    in_order(all, window, root).into_iter().map(|(at, action)| Fault { at, action }).collect()
}

/// Each of its periods is an event of its own, so it does not last for ever.
fn slow_cpu(f: &Table<'_>) -> FaultAction {
    const LONGEST: Duration = Duration::from_secs(3600);
    let lasts = f.duration_above_zero("for", SECOND);
    if lasts > LONGEST {
        f.problem(f.place_of("for"), "a CPU limit lasts an hour at most", "make it \"1 h\" or less");
    }
    let runs = f.duration_above_zero("runs", CPU_PERIOD / 2);
    if runs >= CPU_PERIOD {
        f.problem(f.place_of("runs"), "this is no limit: it is the whole of each 100 ms", "make it \"20 ms\", say");
    }
    FaultAction::SlowCpu { lasts: lasts.min(LONGEST), runs }
}

fn expect(root: &Table<'_>, groups: &[&str]) -> Expect {
    let every = || Expect { guarantees: Guarantee::ALL.to_vec(), all: true, thresholds: Vec::new() };
    let Some(e) = root.table("expect", "expect") else { return every() };
    let mut expect = every();
    if let Some(names) = e.texts("guarantees") {
        let one = |word: &str| names.len() == 1 && names[0].value == word;
        let alone = names.iter().find(|n| names.len() > 1 && matches!(n.value, "all" | "none"));
        if let Some(alone) = alone {
            let mend = format!("write guarantees = \"{}\", or leave it out of the list", alone.value);
            e.problem(alone.span.clone(), format!("\"{}\" stands alone", alone.value), mend);
        }
        if !one("all") {
            expect.all = false;
            expect.guarantees.clear();
        }
        for name in names.iter().filter(|n| !matches!(n.value, "all" | "none")) {
            match Guarantee::ALL.iter().find(|g| g.key() == name.value) {
                Some(guarantee) => expect.guarantees.push(*guarantee),
                None => {
                    let known = ["all", "none"].into_iter().chain(Guarantee::ALL.iter().map(|g| g.key()));
                    let mend = list(name.value, known);
                    e.problem(name.span.clone(), "no guarantee of this name", mend);
                }
            }
        }
    }
    for text in e.texts("thresholds").unwrap_or_default() {
        match threshold::parse(text.value, groups) {
            Ok(threshold) => expect.thresholds.push(threshold),
            Err((message, mend)) => e.problem(text.span, message, mend),
        }
    }
    expect
}
