//! What a client does beyond publishing, subscribing and leaving: read, written and put into words in one place.

use super::check::{Context, in_order, moment};
use super::model::{Features, PropertiesSpec, PublishFeatures, Span, SubscriptionSpec};
use super::reader::{At, Table};
use super::units::show;
use super::words::at;
use crate::mqtt::topic;
use crate::time::{Duration, Instant};
use std::fmt::Write as _;

const SECOND: Duration = Duration::from_secs(1);
/// The smallest Maximum Packet Size that leaves room for a CONNACK and what a broker says in it, in bytes (*assumed*).
const SMALLEST_PACKET: u32 = 64;

/// A setting of 5.0 on an older client is a mistake.
fn only_5(t: &Table<'_>, keys: &[&'static str], level: u8) {
    for key in keys.iter().filter(|k| level != 5 && t.has(k)) {
        t.problem(t.place_of(key), format!("{key} is of MQTT 5.0"), "add mqtt = \"5.0\", or leave it out");
    }
}

pub(super) fn features(t: &Table<'_>, context: &Context<'_>, level: u8, is_linked: bool) -> Features {
    only_5(t, &["topic_alias_maximum", "maximum_packet_size", "subscription_identifier"], level);
    let start = t.duration("start").and_then(|start| {
        if start.value >= context.load {
            let mend = format!("ramp and duration together are {}", show(context.load));
            t.problem(start.span, "this is after the load has ended", mend);
            return None;
        }
        Some(Instant::ZERO + start.value)
    });
    let take_over: Vec<Instant> =
        t.tables("take_over", "take_over").iter().filter_map(|m| moment(m, context.load)).collect();
    if is_linked && !take_over.is_empty() {
        let mend = "leave the link out: over a link nobody sees what becomes of the old connection";
        t.problem(t.place_of("take_over"), "take_over needs a direct socket", mend);
    }
    let size = t.size("maximum_packet_size");
    if let Some(size) = size.as_ref().filter(|s| s.value < SMALLEST_PACKET) {
        let mend = format!("make it \"{SMALLEST_PACKET} B\" or more");
        t.problem(size.span.clone(), "no broker could say anything in that", mend);
    }
    Features {
        start,
        silent: spans(t, "silent", context),
        unsubscribed: spans(t, "unsubscribed", context),
        take_over,
        resubscribe: t.has("resubscribe").then(|| t.duration_from("resubscribe", context.tick, SECOND)),
        topic_alias_maximum: t.count("topic_alias_maximum").and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
        maximum_packet_size: size.map(|s| s.value),
        subscription_identifier: t.count("subscription_identifier"),
    }
}

fn spans(t: &Table<'_>, key: &'static str, context: &Context<'_>) -> Vec<Span> {
    let tables = t.tables(key, "span");
    let all = tables.iter().filter_map(|o| {
        let (at, lasts) = (moment(o, context.load), o.duration_from("for", context.tick, SECOND));
        Some(At { value: Span { at: at?, lasts }, span: o.span.clone() })
    });
    in_order(all.collect(), |o| (o.at, o.at + o.lasts), t)
}

pub(super) fn publish(p: &Table<'_>, context: &Context<'_>, level: u8) -> PublishFeatures {
    only_5(p, &["expiry", "properties", "topic_alias"], level);
    if p.has("clear_every") && !p.flag("retain", false) {
        p.problem(p.place_of("clear_every"), "nothing is retained that could be cleared", "add retain = true");
    }
    PublishFeatures {
        expiry: p.whole_seconds("expiry", 1..=u32::MAX).map(|e| e.value),
        clear_every: p.has("clear_every").then(|| p.duration_from("clear_every", context.tick, SECOND)),
        properties: p.table("properties", "properties").map(|t| properties(&t)),
        topic_alias: p.flag("topic_alias", false),
    }
}

fn properties(t: &Table<'_>) -> PropertiesSpec {
    let text = |key| t.text(key).map(|text: At<&str>| text.value.to_owned());
    if let Some(response) = t.text("response_topic").filter(|r| !topic::is_name(r.value)) {
        t.problem(response.span, "no legal topic name", "it has no wildcards in it");
    }
    let user = t.texts("user").unwrap_or_default();
    let pairs = user.into_iter().filter_map(|pair| match pair.value.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => {
            t.problem(pair.span, "expected a name and a value", "write user = [\"unit=kWh\", \"site=north\"]");
            None
        }
    });
    PropertiesSpec {
        utf8: t.flag("utf8", false),
        content_type: text("content_type"),
        response_topic: text("response_topic"),
        correlation: text("correlation"),
        user: pairs.collect(),
    }
}

/// Options of a subscription: RETAIN as published, and retain handling.
pub(super) fn options(s: &Table<'_>, level: u8) -> (bool, u8) {
    only_5(s, &["retain_as_published", "retain_handling"], level);
    let handling = s.count("retain_handling").and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
    (s.flag("retain_as_published", false), handling)
}

// ---- back to a file ----

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn duration(d: Duration) -> String {
    super::write::duration(d)
}

fn moment_of(t: Instant) -> String {
    duration(t.since(Instant::ZERO))
}

fn write_list(out: &mut String, key: &str, items: Vec<String>) {
    if !items.is_empty() {
        let _ = writeln!(out, "{key} = [{}]", items.join(", "));
    }
}

pub(super) fn write(f: &Features, out: &mut String) {
    if let Some(start) = f.start {
        let _ = writeln!(out, "start = {}", moment_of(start));
    }
    let spans = |all: &[Span]| {
        all.iter().map(|s| format!("{{ at = {}, for = {} }}", moment_of(s.at), duration(s.lasts))).collect()
    };
    write_list(out, "silent", spans(&f.silent));
    write_list(out, "unsubscribed", spans(&f.unsubscribed));
    let moments = f.take_over.iter().map(|t| format!("{{ at = {} }}", moment_of(*t)));
    write_list(out, "take_over", moments.collect());
    if let Some(period) = f.resubscribe {
        let _ = writeln!(out, "resubscribe = {}", duration(period));
    }
    if f.topic_alias_maximum > 0 {
        let _ = writeln!(out, "topic_alias_maximum = {}", f.topic_alias_maximum);
    }
    if let Some(size) = f.maximum_packet_size {
        let _ = writeln!(out, "maximum_packet_size = \"{size} B\"");
    }
    if let Some(id) = f.subscription_identifier {
        let _ = writeln!(out, "subscription_identifier = {id}");
    }
}

pub(super) fn publish_parts(f: &PublishFeatures) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(f.expiry.map(|e| format!("expiry = {}", duration(e))));
    parts.extend(f.clear_every.map(|e| format!("clear_every = {}", duration(e))));
    parts.extend(f.topic_alias.then(|| "topic_alias = true".to_owned()));
    if let Some(p) = &f.properties {
        let mut inner = Vec::new();
        inner.extend(p.utf8.then(|| "utf8 = true".to_owned()));
        let texts =
            [("content_type", &p.content_type), ("response_topic", &p.response_topic), ("correlation", &p.correlation)];
        inner.extend(texts.iter().filter_map(|(key, t)| t.as_ref().map(|t| format!("{key} = {}", quoted(t)))));
        let user: Vec<String> = p.user.iter().map(|(n, v)| quoted(&format!("{n}={v}"))).collect();
        inner.extend((!user.is_empty()).then(|| format!("user = [{}]", user.join(", "))));
        parts.push(format!("properties = {{ {} }}", inner.join(", ")));
    }
    parts
}

pub(super) fn subscription_parts(s: &SubscriptionSpec) -> String {
    let published = if s.retain_as_published { ", retain_as_published = true" } else { "" };
    let handling =
        if s.retain_handling > 0 { format!(", retain_handling = {}", s.retain_handling) } else { String::new() };
    format!("{published}{handling}")
}

// ---- in words ----

pub(super) fn words(f: &Features, out: &mut String) {
    let mut line = |text: String| {
        let _ = writeln!(out, "    {text}");
    };
    if let Some(start) = f.start {
        line(format!("connects for the first time at {}", at(start)));
    }
    for s in &f.silent {
        line(format!("goes silent at {}, for {}, with its connection open", at(s.at), show(s.lasts)));
    }
    for s in &f.unsubscribed {
        line(format!("unsubscribes at {}, and subscribes again {} later", at(s.at), show(s.lasts)));
    }
    for t in &f.take_over {
        line(format!("connects a second time at {}, while it is connected", at(*t)));
    }
    if let Some(period) = f.resubscribe {
        line(format!("sends SUBSCRIBE again every {}", show(period)));
    }
    if f.topic_alias_maximum > 0 {
        line(format!("takes up to {} topic aliases", f.topic_alias_maximum));
    }
    if let Some(size) = f.maximum_packet_size {
        line(format!("takes packets of {size} B at most"));
    }
    if let Some(id) = f.subscription_identifier {
        line(format!("subscription identifier {id}"));
    }
}

pub(super) fn publish_words(f: &PublishFeatures, out: &mut String) {
    let mut parts = Vec::new();
    parts.extend(f.expiry.map(|e| format!("messages expire after {}", show(e))));
    parts.extend(f.clear_every.map(|e| format!("clears its retained message every {}", show(e))));
    parts.extend(f.properties.as_ref().map(|p| format!("with properties ({} user properties)", p.user.len())));
    parts.extend(f.topic_alias.then(|| "by a topic alias".to_owned()));
    if !parts.is_empty() {
        let _ = writeln!(out, "    {}", parts.join("; "));
    }
}
