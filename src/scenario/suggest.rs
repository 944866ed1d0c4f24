//! How to mend a key that is not known where it stands.

use super::diagnostics::nearest;
use super::settings::{TABLES, of};

/// Where a kind of table stands in a file, as a person would say it.
#[must_use]
pub(super) fn place(kind: &str) -> &str {
    match kind {
        "scenario" => "the top of the file, above the first [table]",
        "fleet" => "[fleet.NAME]",
        "subscriber" => "[subscriber.NAME]",
        "device" => "[fleet.NAME] and [subscriber.NAME]",
        "link" => "[link.NAME]",
        "direction" => "up = { ... } or down = { ... } of a [link.NAME]",
        "fault" => "[[fault]]",
        "expect" => "[expect]",
        "payload" => "payload = { ... }",
        "subscription" => "a filter's own { filter = ... }",
        "gilbert_elliott" => "loss = { gilbert_elliott = { ... } }",
        "gilbert_elliott_time" => "loss = { gilbert_elliott_time = { ... } }",
        "four_state" => "loss = { four_state = { ... } }",
        "trace" => "trace = { ... }",
        "sleep" => "sleep = { ... }",
        "loss" => "loss = { ... }",
        "jitter" => "jitter = { ... }",
        "duty" => "duty = { ... }",
        "power" => "power = { ... }",
        "publish" => "publish = { ... }",
        "reconnect" => "reconnect = { ... }",
        "will" => "will = { ... }",
        "outbox" => "outbox = { ... }",
        "offline" => "offline = [{ ... }]",
        "outage" => "outage = [{ ... }]",
        "reboot" => "reboot = [{ ... }]",
        other => other,
    }
}

/// Words of other tools, and the settings that they mean here.
const OTHER_WORDS: &[(&str, &str, &str)] = &[
    ("scenario", "publish_for", "duration"),
    ("fleet", "count", "sensors"),
    ("fleet", "clients", "sensors"),
    ("fleet", "devices", "sensors"),
    ("fleet", "filters", "subscribe"),
    ("fleet", "subscriptions", "subscribe"),
    ("fleet", "username", "user"),
    ("subscriber", "sensors", "count"),
    ("subscriber", "clients", "count"),
    ("subscriber", "subscribe", "filters"),
    ("subscriber", "topics", "filters"),
    ("subscriber", "username", "user"),
    ("publish", "size", "payload"),
    ("publish", "interval", "every"),
    ("publish", "period", "every"),
    ("publish", "rate", "poisson"),
    ("subscription", "topic", "filter"),
    ("outage", "duration", "for"),
    ("outage", "lasts", "for"),
    ("offline", "duration", "for"),
    ("offline", "lasts", "for"),
    ("fault", "duration", "for"),
    ("fault", "lasts", "for"),
    ("fault", "kind", "broker"),
    ("fault", "action", "broker"),
    ("link", "preset", "like"),
    ("link", "bandwidth", "rate"),
    ("direction", "bandwidth", "rate"),
    ("link", "latency", "delay"),
    ("direction", "latency", "delay"),
];

/// How to mend a key that a kind of table does not have.
#[must_use]
pub(super) fn suggest(kind: &str, key: &str) -> String {
    if let Some((.., meant)) = OTHER_WORDS.iter().find(|(k, word, _)| *k == kind && *word == key) {
        return format!("here it is called \"{meant}\"");
    }
    let known: Vec<&str> = of(kind).map(|s| s.key).collect();
    let near = nearest(key, known.iter().copied());
    if let Some(near) = near.filter(|near| strsim::damerau_levenshtein(key, near) <= 1) {
        return format!("did you mean \"{near}\"?");
    }
    let homes: Vec<&str> = TABLES
        .iter()
        .filter(|(k, settings)| *k != kind && settings.iter().any(|s| s.key == key))
        .map(|(k, _)| place(k))
        .collect();
    match (&homes[..], near) {
        ([], Some(near)) => format!("did you mean \"{near}\"?"),
        ([], None) => format!("known: {}", known.join(", ")),
        (homes, _) => format!("it belongs in {}", homes.join(", or in ")),
    }
}
