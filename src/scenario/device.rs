//! From the settings that fleets and subscribers share to a device.

use super::check::{Context, Group, in_order, moment};
use super::model::{
    Credentials, DeviceSpec, DropPolicy, Offline, Outbox, Reconnect, SessionSpec, SubscriptionSpec, Template, WillSpec,
};
use super::reader::{At, Table};
use super::{features, under_test};
use crate::mqtt::topic;
use crate::time::Duration;
use std::ops::Range;

const SECOND: Duration = Duration::from_secs(1);
/// The longest text or binary field of MQTT, in bytes.
const FIELD: usize = 65_535;
/// The longest session expiry that is not "for ever" [MQTT-3.1.2-23], in seconds.
const LONGEST_EXPIRY: u32 = u32::MAX - 1;

pub(super) fn device(
    t: &Table<'_>,
    context: &Context<'_>,
    group: Group<'_>,
    subscriptions: &'static str,
) -> DeviceSpec {
    let mqtt_level = match t.word("mqtt", "3.1.1") {
        "3.1" => 3,
        "5.0" => 5,
        _ => 4,
    };
    let link = t.text("link").and_then(|name| context.links.find(&name, t));
    DeviceSpec {
        features: features::features(t, context, mqtt_level, link.is_some()),
        mqtt_level,
        session: session(t, mqtt_level),
        keep_alive: t.whole_seconds("keep_alive", 0..=65_535).map_or(SECOND * 60, |k| k.value),
        connect_timeout: t.duration_from("connect_timeout", context.tick, SECOND * 30),
        credentials: credentials(t, group),
        link,
        transport: t.word("transport", "").parse().ok(),
        reconnect: reconnect(t, context.tick),
        will: will(t, group, mqtt_level),
        subscriptions: t
            .tables(subscriptions, "subscription")
            .iter()
            .map(|s| subscription(s, group, mqtt_level))
            .collect(),
        window: u16_of(t, "window").unwrap_or(20),
        receive_maximum: u16_of(t, "receive_maximum").unwrap_or(u16::MAX),
        outbox: outbox(t),
        offline: offline(t, context),
        under_test: under_test::under_test(t),
    }
}

fn u16_of(t: &Table<'_>, key: &'static str) -> Option<u16> {
    t.count(key).and_then(|n| u16::try_from(n).ok())
}

fn session(t: &Table<'_>, level: u8) -> SessionSpec {
    let expiry = t.whole_seconds("session_expiry", 1..=LONGEST_EXPIRY);
    if t.word("session", "clean") == "clean" {
        if let Some(expiry) = expiry {
            t.problem(expiry.span, "a clean session ends with its connection", "add session = \"persistent\"");
        }
        return SessionSpec::Clean;
    }
    if let Some(expiry) = expiry.as_ref().filter(|_| level != 5) {
        t.problem(expiry.span.clone(), "session expiry is of MQTT 5.0", "add mqtt = \"5.0\", or leave it out");
    }
    SessionSpec::Persistent(expiry.map(|e| e.value))
}

/// A template that is legal as it is written.
pub(super) fn template(t: &Table<'_>, key: &'static str, with_id: bool) -> Option<(Template, Range<usize>)> {
    let text = t.text(key)?;
    match Template::parse(text.value, with_id) {
        Ok(template) => Some((template, text.span)),
        Err((message, mend)) => {
            t.problem(text.span, message, mend);
            None
        }
    }
}

/// What a template becomes for the first and the last client of its group.
fn filled(template: &Template, group: Group<'_>) -> [String; 2] {
    [0, group.count - 1].map(|index| template.fill(group.name, index))
}

fn credentials(t: &Table<'_>, group: Group<'_>) -> Option<Credentials> {
    let field = |key| {
        let (template, span) = template(t, key, false)?;
        too_long(t, span, filled(&template, group).iter().map(String::len).max().unwrap_or(0));
        Some(template)
    };
    let (user, password) = (field("user"), field("password"));
    if t.has("password") && !t.has("user") {
        t.problem(t.place_of("password"), "a password needs a user name", "add user = \"...\"");
    }
    user.map(|user| Credentials { user, password })
}

fn too_long(t: &Table<'_>, span: Range<usize>, length: usize) {
    if length > FIELD {
        t.problem(span, format!("this is {length} B long"), format!("MQTT has room for {FIELD} B"));
    }
}

fn reconnect(t: &Table<'_>, tick: Duration) -> Reconnect {
    let (first, longest, jitter) = (SECOND, SECOND * 30, 0.5);
    let Some(r) = t.table("reconnect", "reconnect") else { return Reconnect { first, longest, jitter } };
    let first = r.duration_from("first", tick, first);
    let longest = r.duration_from("longest", tick, longest.max(first));
    if longest < first {
        let mend = "waits double from the first up to the longest";
        r.problem(r.place_of("longest"), "the longest wait is shorter than the first", mend);
    }
    Reconnect { first, longest, jitter: r.percent("jitter").unwrap_or(jitter) }
}

fn no_topic() -> Template {
    Template { text: String::new(), parts: Vec::new() }
}

/// A topic name that is legal for every client of the group.
pub(super) fn topic_of(t: &Table<'_>, group: Group<'_>) -> Template {
    let Some((template, span)) = template(t, "topic", false) else { return no_topic() };
    let samples = filled(&template, group);
    if samples[0].starts_with('$') {
        t.problem(span, "topics that begin with $ belong to the broker", "begin with another character");
    } else if samples[0].contains(['+', '#']) {
        let mend = "+ and # are wildcards: they stand in filters, never in a topic name";
        t.problem(span, "no legal topic name", mend);
    } else if !samples.iter().all(|s| topic::is_name(s)) {
        t.problem(span, "no legal topic name", "a topic name has 1 to 65,535 bytes, and no U+0000 in it");
    }
    template
}

fn will(t: &Table<'_>, group: Group<'_>, level: u8) -> Option<WillSpec> {
    let w = t.table("will", "will")?;
    let delay = w.whole_seconds("delay", 0..=u32::MAX);
    if let Some(delay) = delay.as_ref().filter(|_| level != 5) {
        w.problem(delay.span.clone(), "a will's delay is of MQTT 5.0", "add mqtt = \"5.0\", or leave it out");
    }
    let payload = w.text("payload");
    if let Some(payload) = &payload {
        too_long(&w, payload.span.clone(), payload.value.len());
        if payload.value.matches("{id}").count() > 1 {
            w.problem(payload.span.clone(), "{id} is in it more than once", "leave one of them");
        }
    }
    Some(WillSpec {
        topic: topic_of(&w, group),
        payload: payload.map_or(String::new(), |p| p.value.to_owned()),
        qos: w.qos(),
        retain: w.flag("retain", false),
        delay: delay.map_or(Duration::ZERO, |d| d.value),
    })
}

fn subscription(s: &Table<'_>, group: Group<'_>, level: u8) -> SubscriptionSpec {
    let share = s.text("share");
    if let Some(share) = share.as_ref().filter(|s| s.value.is_empty() || s.value.contains(['/', '+', '#', '\0'])) {
        s.problem(share.span.clone(), "no legal share name", "it is not empty and has no /, + or # in it");
    }
    // "$share/" and "/" around the group's name count too.
    let around = share.as_ref().map_or(0, |s| s.value.len() + 8);
    let filter = template(s, "filter", false).map_or_else(no_topic, |(template, span)| {
        let samples = filled(&template, group);
        if samples[0].starts_with("$share/") {
            s.problem(span, "a shared subscription is written with share", "share = \"group\", filter = \"site/#\"");
        } else if !samples.iter().all(|f| topic::is_filter(f) && f.len() + around <= FIELD) {
            let mend = "# stands alone in the last level, + alone in its level, and it has 1 to 65,535 bytes";
            s.problem(span, "no legal topic filter", mend);
        }
        template
    });
    let no_local = s.flag("no_local", false);
    if no_local && level != 5 {
        s.problem(s.place_of("no_local"), "no_local is of MQTT 5.0", "add mqtt = \"5.0\", or leave it out");
    } else if no_local && share.is_some() {
        let mend = "leave one of them out [MQTT-3.8.3-4]";
        s.problem(s.place_of("no_local"), "no_local and share exclude each other", mend);
    }
    let (retain_as_published, retain_handling) = features::options(s, level);
    let share = share.map(|s| s.value.to_owned());
    SubscriptionSpec { filter, share, qos: s.qos(), no_local, retain_as_published, retain_handling }
}

fn outbox(t: &Table<'_>) -> Outbox {
    let Some(o) = t.table("outbox", "outbox") else { return Outbox { limit: 1000, drop: DropPolicy::Oldest } };
    let limit = o.count("limit").unwrap_or(1000);
    let drop = if o.word("drop", "oldest") == "oldest" { DropPolicy::Oldest } else { DropPolicy::Newest };
    Outbox { limit, drop }
}

fn offline(t: &Table<'_>, context: &Context<'_>) -> Vec<Offline> {
    let tables = t.tables("offline", "offline");
    let all = tables.iter().filter_map(|o| {
        let (at, lasts) = (moment(o, context.load), o.duration_from("for", context.tick, SECOND));
        let clean = o.flag("clean", true);
        Some(At { value: Offline { at: at?, lasts, clean }, span: o.span.clone() })
    });
    in_order(all.collect(), |o| (o.at, o.at + o.lasts), t)
}
