//! From TOML to the checked model.

use super::diagnostics::{Problem, nearest};
use super::links::Links;
use super::model::{BINARY_LEN, HEX_LEN};
use super::model::{
    Credentials, DeviceSpec, DropPolicy, Duty, Expect, Fault, FaultAction, Fleet, Keeps, Offline, Outbox, Payload,
    Power, PublishSpec, Reconnect, Rhythm, Scenario, Schedule, SessionSpec, SubscriberGroup, SubscriptionSpec,
    Template, WillSpec,
};
use super::reader::{At, Problems, Table};
use super::threshold;
use crate::mqtt::topic;
use crate::promise::Guarantee;
use crate::time::{Duration, Instant};
use std::ops::Range;
use toml::de::DeTable;

const SECOND: Duration = Duration::from_secs(1);

/// What the tables of a file share while they are read.
struct Context<'a> {
    links: &'a Links,
    tick: Duration,
    /// Ramp and duration.
    load: Duration,
}

pub(super) fn check(table: &DeTable<'_>, span: Range<usize>, stem: &str) -> (Scenario, Vec<Problem>) {
    let problems = Problems::default();
    let root = Table::new("scenario", table, span, &problems);
    let scenario = scenario(&root, stem);
    (scenario, problems.into_sorted())
}

fn scenario(root: &Table<'_>, stem: &str) -> Scenario {
    let links = Links::read(root);
    let tick = tick(root);
    let ramp = root.duration("ramp").map_or(SECOND * 2, |d| d.value);
    let duration = root.needed_duration("duration");
    let drain = root.duration("drain").map_or(SECOND * 60, |d| d.value);
    let context = Context { links: &links, tick, load: ramp + duration };
    let mut names: Vec<At<String>> = Vec::new();
    let mut note = |name: &At<&str>| {
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
    if fleets.is_empty() && subscribers.is_empty() {
        root.problem(root.span.clone(), "nothing is in this scenario", "add a [fleet.NAME] with sensors and publish");
    }
    let group_names: Vec<&str> = names.iter().map(|n| n.value.as_str()).collect();
    let expect = expect(root, &group_names);
    let name = root.text("name");
    if let Some(name) = name.as_ref().filter(|n| n.value.is_empty() || n.value.contains(['/', '\0'])) {
        root.problem(name.span.clone(), "a name without / that is not empty", "it becomes a folder's name");
    }
    Scenario {
        name: name.map_or_else(|| stem.to_owned(), |n| n.value.to_owned()),
        about: String::new(),
        seed: root.count("seed", 0..u64::MAX).unwrap_or(1),
        ramp,
        duration,
        drain,
        tick,
        fleets,
        subscribers,
        faults: faults(root, &context),
        expect,
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
    if !t.has("sensors") {
        t.problem(t.span.clone(), "sensors is missing", "add sensors = 100, say");
    }
    let device = device(t, context, "subscribe");
    let publish = t.table("publish", "publish").map(|p| publish(&p, context, name));
    if publish.is_none() && device.subscriptions.is_empty() && !t.has("publish") {
        t.problem(t.span.clone(), "this fleet neither publishes nor subscribes", "add publish = { topic, every, ... }");
    }
    let power = t.table("power", "power").map(|p| Power {
        cut_every: p.needed_duration("cut_every"),
        off: p.needed_duration("off"),
        keeps: if p.word("keeps", "flash") == "flash" { Keeps::Flash } else { Keeps::Nothing },
    });
    let sensors = clients(t, "sensors");
    if let Some(Payload::Size(size)) = publish.as_ref().map(|p| &p.payload)
        && u64::from(sensors) * u64::from(*size) > MOST_PAYLOADS
    {
        let needed = (u64::from(sensors) * u64::from(*size)) >> 20;
        let message = format!("{sensors} sensors keep {needed} MiB of payloads ready; 2048 MiB are the most");
        t.problem(t.place_of("sensors"), message, "fewer sensors, or smaller payloads");
    }
    Fleet { name: name.into(), sensors, device, publish, power }
}

fn clients(t: &Table<'_>, key: &'static str) -> u32 {
    t.count(key, 1..1_000_001).and_then(|n| u32::try_from(n).ok()).unwrap_or(1)
}

fn subscriber(name: &str, t: &Table<'_>, context: &Context<'_>) -> SubscriberGroup {
    let device = device(t, context, "filters");
    if !t.has("filters") {
        t.problem(t.span.clone(), "filters is missing", "add filters = [{ filter = \"#\", qos = 1 }], say");
    } else if t.is_empty_list("filters") {
        t.problem(t.place_of("filters"), "a subscriber needs a filter", "filters = [{ filter = \"#\", qos = 1 }], say");
    }
    SubscriberGroup { name: name.into(), count: clients(t, "count"), device }
}

fn device(t: &Table<'_>, context: &Context<'_>, subscriptions: &'static str) -> DeviceSpec {
    let mqtt_level = match t.word("mqtt", "3.1.1") {
        "3.1" => 3,
        "5.0" => 5,
        _ => 4,
    };
    DeviceSpec {
        mqtt_level,
        session: session(t, mqtt_level),
        keep_alive: keep_alive(t),
        connect_timeout: t.duration_above_zero("connect_timeout", SECOND * 30),
        credentials: credentials(t),
        link: t.text("link").and_then(|name| context.links.find(&name, t)),
        transport: t.word("transport", "").parse().ok(),
        reconnect: reconnect(t),
        will: will(t, mqtt_level),
        subscriptions: t.tables(subscriptions, "subscription").iter().map(|s| subscription(s, mqtt_level)).collect(),
        window: u16_of(t, "window").unwrap_or(20),
        receive_maximum: u16_of(t, "receive_maximum").unwrap_or(u16::MAX),
        outbox: outbox(t),
        offline: offline(t, context),
    }
}

fn u16_of(t: &Table<'_>, key: &'static str) -> Option<u16> {
    t.count(key, 1..65_536).and_then(|n| u16::try_from(n).ok())
}

fn session(t: &Table<'_>, level: u8) -> SessionSpec {
    let expiry = t.duration("session_expiry");
    if t.word("session", "clean") == "clean" {
        if let Some(expiry) = expiry {
            t.problem(expiry.span, "a clean session ends with its connection", "add session = \"persistent\"");
        }
        return SessionSpec::Clean;
    }
    if let Some(expiry) = expiry.as_ref().filter(|_| level != 5) {
        t.problem(expiry.span.clone(), "session expiry is of MQTT 5.0", "add mqtt = \"5.0\", or leave it out");
    }
    SessionSpec::Persistent(expiry.map(|e| whole_seconds(t, e)))
}

/// 5.0's intervals are whole seconds in 32 bits, the largest of which means for ever: 100 years, the longest time there is, fit.
fn whole_seconds(t: &Table<'_>, at: At<Duration>) -> Duration {
    if at.value.subsec_nanos() != 0 {
        t.problem(at.span, "expected whole seconds", "it is a number of seconds in the packet");
    }
    at.value
}

fn keep_alive(t: &Table<'_>) -> Duration {
    let Some(at) = t.duration("keep_alive") else { return SECOND * 60 };
    if at.value.subsec_nanos() != 0 || at.value > SECOND * 65_535 {
        t.problem(at.span, "expected whole seconds up to 65,535 s", "keep alive is a 16-bit number of seconds");
        return SECOND * 60;
    }
    at.value
}

fn template(t: &Table<'_>, key: &'static str, with_id: bool) -> Option<(Template, Range<usize>)> {
    let text = t.text(key)?;
    // Strings in packets have lengths of 16 bits; what is filled in is far shorter than what is left here.
    if !with_id && text.value.len() > 65_000 {
        t.problem(text.span.clone(), "this text is longer than a packet's string may be", "65,000 B at most");
    }
    match Template::parse(text.value, with_id) {
        Ok(template) => Some((template, text.span)),
        Err(message) => {
            t.problem(text.span, message, "");
            None
        }
    }
}

fn credentials(t: &Table<'_>) -> Option<Credentials> {
    let password = template(t, "password", false).map(|(p, _)| p);
    match template(t, "user", false) {
        Some((user, _)) => Some(Credentials { user, password }),
        None => {
            if password.is_some() && !t.has("user") {
                t.problem(t.place_of("password"), "a password needs a user name", "add user = \"...\"");
            }
            None
        }
    }
}

fn reconnect(t: &Table<'_>) -> Reconnect {
    let (first, longest, jitter) = (SECOND, SECOND * 30, 0.5);
    let Some(r) = t.table("reconnect", "reconnect") else { return Reconnect { first, longest, jitter } };
    let first = r.duration_above_zero("first", first);
    let longest = r.duration_above_zero("longest", longest.max(first));
    if longest < first {
        r.problem(r.place_of("longest"), "the longest wait is shorter than the first", "");
    }
    Reconnect { first, longest, jitter: r.percent("jitter").unwrap_or(jitter) }
}

fn no_topic() -> Template {
    Template { text: String::new(), parts: Vec::new() }
}

fn topic_of(t: &Table<'_>) -> Template {
    if !t.has("topic") {
        t.problem(t.span.clone(), "topic is missing", "add topic = \"site/{sensor}/reading\", say");
    }
    let Some((template, span)) = template(t, "topic", false) else { return no_topic() };
    let sample = template.fill("x", 0);
    if !topic::is_name(&sample) {
        t.problem(span, "no legal topic name", "a topic name is not empty and has no + or # in it");
    } else if sample.starts_with('$') {
        t.problem(span, "topics that begin with $ belong to the broker", "begin with another character");
    }
    template
}

fn will(t: &Table<'_>, level: u8) -> Option<WillSpec> {
    let w = t.table("will", "will")?;
    let delay = w.duration("delay");
    if let Some(delay) = delay.as_ref().filter(|_| level != 5) {
        w.problem(delay.span.clone(), "a will's delay is of MQTT 5.0", "add mqtt = \"5.0\", or leave it out");
    }
    Some(WillSpec {
        topic: topic_of(&w),
        payload: will_payload(&w),
        qos: w.qos(),
        retain: w.flag("retain", false),
        delay: delay.map_or(Duration::ZERO, |d| whole_seconds(&w, d)),
    })
}

fn will_payload(w: &Table<'_>) -> String {
    let Some(payload) = w.text("payload") else { return String::new() };
    if payload.value.len() > usize::from(u16::MAX) {
        w.problem(payload.span, "a will's payload is at most 65,535 B", "its length has 16 bits in the packet");
    }
    payload.value.to_owned()
}

fn subscription(s: &Table<'_>, level: u8) -> SubscriptionSpec {
    if !s.has("filter") {
        s.problem(s.span.clone(), "filter is missing", "add filter = \"site/#\", say");
    }
    let filter = template(s, "filter", false).map_or_else(no_topic, |(template, span)| {
        let sample = template.fill("x", 0);
        if sample.starts_with("$share/") {
            s.problem(span, "a shared subscription is written with share", "share = \"group\", filter = \"site/#\"");
        } else if !topic::is_filter(&sample) {
            s.problem(span, "no legal topic filter", "# stands alone at the end, + alone in its level");
        }
        template
    });
    let share = s.text("share");
    if let Some(share) = share.as_ref().filter(|s| s.value.is_empty() || s.value.contains(['/', '+', '#'])) {
        s.problem(share.span.clone(), "no legal share name", "it is not empty and has no /, + or # in it");
    }
    let no_local = s.flag("no_local", false);
    if no_local && (level != 5 || share.is_some()) {
        s.problem(s.place_of("no_local"), "no local is of MQTT 5.0, and not for shared subscriptions", "");
    }
    SubscriptionSpec { filter, share: share.map(|s| s.value.to_owned()), qos: s.qos(), no_local }
}

fn outbox(t: &Table<'_>) -> Outbox {
    let Some(o) = t.table("outbox", "outbox") else { return Outbox { limit: 1000, drop: DropPolicy::Oldest } };
    let limit = o.count("limit", 1..10_000_001).and_then(|n| u32::try_from(n).ok()).unwrap_or(1000);
    let drop = if o.word("drop", "oldest") == "oldest" { DropPolicy::Oldest } else { DropPolicy::Newest };
    Outbox { limit, drop }
}

fn offline(t: &Table<'_>, context: &Context<'_>) -> Vec<Offline> {
    let mut all: Vec<Offline> = Vec::new();
    for o in t.tables("offline", "offline") {
        let at = o.needed_time("at");
        let lasts = o.needed_duration("for");
        if at >= context.load {
            o.problem(o.place_of("at"), "this is after the load has ended", "the run's load is ramp and duration long");
        }
        all.push(Offline { at: Instant::ZERO + at, lasts, clean: o.flag("clean", true) });
    }
    all.sort_by_key(|o| o.at);
    if all.windows(2).any(|w| w[0].at + w[0].lasts > w[1].at) {
        t.problem(t.place_of("offline"), "these times overlap", "");
    }
    all
}

/// Bytes of payloads that a fleet may keep ready, one a sensor (*assumed*).
const MOST_PAYLOADS: u64 = 2 << 30;

fn publish(p: &Table<'_>, context: &Context<'_>, group: &str) -> PublishSpec {
    PublishSpec {
        topic: topic_of(p),
        qos: p.qos(),
        retain: p.flag("retain", false),
        payload: payload(p, group),
        schedule: schedule(p, context),
    }
}

fn payload(p: &Table<'_>, group: &str) -> Payload {
    let smallest = u32::try_from(BINARY_LEN).unwrap_or(u32::MAX);
    if p.is_table("payload") {
        let Some(t) = p.table("payload", "payload") else { return Payload::Size(64) };
        if !t.has("template") {
            t.problem(t.span.clone(), "template is missing", "payload = { template = \"{\\\"id\\\": \\\"{id}\\\"}\" }");
        }
        let Some((template, span)) = template(&t, "template", true) else { return Payload::Size(64) };
        if template.id_offset(group, 0).is_none() {
            let mend = format!("put {{id}} into it once: it becomes {HEX_LEN} hexadecimal digits");
            t.problem(span, "a message needs {id}, to carry who sent it, its number and a check", mend);
        }
        return Payload::Template(template);
    }
    match p.size("payload") {
        Some(size) if size.value < smallest => {
            let message = format!("a message needs {smallest} B to carry who sent it, its number and a check");
            p.problem(size.span, message, format!("make it \"{smallest} B\" or more"));
            Payload::Size(smallest)
        }
        Some(size) if size.value > 16 << 20 => {
            p.problem(size.span, "expected 16 MiB at most", "");
            Payload::Size(smallest)
        }
        Some(size) => Payload::Size(size.value),
        None => Payload::Size(64),
    }
}

fn schedule(p: &Table<'_>, context: &Context<'_>) -> Schedule {
    let rhythm = match (p.duration("every"), p.frequency("poisson")) {
        (Some(every), None) => {
            if every.value < context.tick {
                let mend = format!("make it {:?} or more, or set a shorter tick", context.tick);
                p.problem(every.span, "this period is shorter than the clock's tick", mend);
            }
            Rhythm::Every(every.value.max(Duration::from_micros(1)))
        }
        (None, Some(mean)) => {
            if mean.value < context.tick {
                let most = 1.0 / context.tick.as_secs_f64();
                let mend = format!("make it \"{most:.0}/s\" or less, use burst, or set a shorter tick");
                p.problem(mean.span, "this is more often than the clock ticks", mend);
            }
            Rhythm::Poisson(mean.value.max(Duration::from_micros(1)))
        }
        (Some(_), Some(poisson)) => {
            p.problem(poisson.span, "every and poisson exclude each other", "leave one of them out");
            Rhythm::Poisson(SECOND)
        }
        (None, None) => {
            if !p.has("every") && !p.has("poisson") {
                p.problem(
                    p.span.clone(),
                    "nothing says when messages are due",
                    "add every = \"10 s\" or poisson = \"6/min\"",
                );
            }
            Rhythm::Every(SECOND)
        }
    };
    let duty = p.table("duty", "duty").map(|d| Duty {
        on: d.needed_duration("on"),
        off: d.needed_duration("off"),
        disconnect: d.flag("disconnect", false),
    });
    let burst = p.count("burst", 1..100_001).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    Schedule { rhythm, burst, duty }
}

fn faults(root: &Table<'_>, context: &Context<'_>) -> Vec<Fault> {
    let mut all = Vec::new();
    for f in root.tables("fault", "fault") {
        let at = f.needed_time("at");
        if at >= context.load {
            f.problem(f.place_of("at"), "this is after the load has ended", "the run's load is ramp and duration long");
        }
        if !f.has("broker") {
            f.problem(f.span.clone(), "broker is missing", "broker = \"kill\", \"restart\" or \"pause\"");
        }
        let broker = f.word("broker", "pause");
        for (key, of) in [("for", ["pause", "pause"]), ("back_after", ["kill", "restart"])] {
            if f.has(key) && f.has("broker") && !of.contains(&broker) {
                let other = if key == "for" { "back_after" } else { "for" };
                f.problem(f.place_of(key), format!("a {broker} has no {key}"), format!("write {other}"));
            }
        }
        let action = match broker {
            "kill" => FaultAction::Kill { back_after: f.duration("back_after").map(|d| d.value) },
            "restart" => FaultAction::Restart { back_after: f.duration("back_after").map_or(SECOND, |d| d.value) },
            _ => FaultAction::Pause { lasts: f.needed_duration("for") },
        };
        all.push(Fault { at: Instant::ZERO + at, action });
    }
    all.sort_by_key(|f| f.at);
    all
}

fn expect(root: &Table<'_>, groups: &[&str]) -> Expect {
    let every = || Expect { guarantees: Guarantee::ALL.to_vec(), all: true, thresholds: Vec::new() };
    let Some(e) = root.table("expect", "expect") else { return every() };
    let mut expect = every();
    if let Some(names) = e.texts("guarantees") {
        let one = |word: &str| names.len() == 1 && names[0].value == word;
        if !one("all") {
            expect.all = false;
            expect.guarantees.clear();
        }
        for name in names.iter().filter(|_| !one("all") && !one("none")) {
            if matches!(name.value, "all" | "none") {
                let message = format!("{} stands alone", name.value);
                e.problem(name.span.clone(), message, format!("guarantees = \"{}\", or a list without it", name.value));
                continue;
            }
            match Guarantee::ALL.iter().find(|g| g.key() == name.value) {
                Some(guarantee) => expect.guarantees.push(*guarantee),
                None => {
                    let known: Vec<&str> = Guarantee::ALL.iter().map(|g| g.key()).collect();
                    let near = nearest(name.value, known.iter().copied());
                    let near = near.map_or(String::new(), |n| format!("did you mean \"{n}\"? "));
                    let mend = format!("{near}known: all, none, {}", known.join(", "));
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
