//! The JSON Schema of scenario files, so that editors complete and check them.

use super::settings::{Setting, Shape, TABLES, of};
use crate::link::profile;
use crate::promise::Guarantee;
use serde_json::{Map, Value, json};

/// The schema (JSON Schema, draft 2020-12), made from the same table that the parser reads by.
#[must_use]
pub fn schema() -> Value {
    let defs: Map<String, Value> = TABLES
        .iter()
        .filter(|(kind, _)| !matches!(*kind, "device" | "scenario"))
        .map(|(kind, _)| ((*kind).to_owned(), table(kind)))
        .collect();
    let mut root = table("scenario");
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("squall scenario");
    root["description"] = json!("Fleets of sensors behind lossy links, against an MQTT broker");
    root["$defs"] = Value::Object(defs);
    root
}

fn table(kind: &str) -> Value {
    let properties: Map<String, Value> = of(kind).map(|s| (s.key.to_owned(), setting(s))).collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let needed: Vec<&str> = of(kind).filter(|s| s.needed.is_some()).map(|s| s.key).collect();
    if !needed.is_empty() {
        table["required"] = json!(needed);
    }
    if let Value::Object(more) = between_settings(kind) {
        for (keyword, value) in more {
            table[keyword] = value;
        }
    }
    table
}

/// What settings of one table ask of each other.
fn between_settings(kind: &str) -> Value {
    let only = |level: &str, key: &str| {
        json!({
            "if": { "required": [key] },
            "then": { "properties": { "mqtt": { "const": level } }, "required": ["mqtt"] },
        })
    };
    let fault =
        |word: &str, then: Value| json!({ "if": { "properties": { "broker": { "const": word } } }, "then": then });
    let any = |keys: &[&str]| json!({ "anyOf": keys.iter().map(|k| json!({ "required": [k] })).collect::<Vec<_>>() });
    match kind {
        "scenario" => json!({ "anyOf": [{ "required": ["fleet"] }, { "required": ["subscriber"] }] }),
        "fleet" => json!({
            "anyOf": [{ "required": ["publish"] }, { "required": ["subscribe"] }, { "required": ["client"] }],
            "allOf": [only("5.0", "session_expiry"), { "if": { "required": ["password"] }, "then": { "required": ["user"] } }],
        }),
        "subscriber" => json!({
            "allOf": [only("5.0", "session_expiry"), { "if": { "required": ["password"] }, "then": { "required": ["user"] } }],
        }),
        "publish" => json!({ "oneOf": [{ "required": ["every"] }, { "required": ["poisson"] }] }),
        "jitter" | "loss" | "trace" => json!({ "minProperties": 1, "maxProperties": 1 }),
        "fault" => json!({
            "allOf": [
                fault("pause", json!({ "required": ["for"], "not": any(&["back_after", "write", "runs", "share"]) })),
                fault("slow-cpu", json!({ "required": ["for", "runs"], "not": any(&["back_after", "write", "share"]) })),
                fault("slow-disk", json!({ "required": ["for", "write"], "not": any(&["back_after", "runs", "share"]) })),
                fault("drop-connections", json!({ "not": any(&["back_after", "for", "write", "runs"]) })),
                fault("kill", json!({ "not": any(&["for", "write", "runs", "share"]) })),
                fault("restart", json!({ "not": any(&["for", "write", "runs", "share"]) })),
            ],
        }),
        _ => Value::Null,
    }
}

fn setting(s: &Setting) -> Value {
    let mut value = shape(s.shape);
    // A subscriber without a filter gets nothing.
    if s.key == "filters" {
        value["anyOf"][0]["minItems"] = json!(1);
    }
    value["description"] = json!(s.about);
    value
}

/// A number before a unit.
const NUMBER: &str = r"([0-9]+\.?[0-9]*|\.[0-9]+)";

/// A text of a number and a unit.
fn unit(units: &str, examples: &[&str]) -> Value {
    json!({ "type": "string", "pattern": format!(r"^\s*{NUMBER}\s*{units}\s*$"), "examples": examples })
}

fn shape(form: Shape) -> Value {
    let reference = |kind: &str| json!({ "$ref": format!("#/$defs/{kind}") });
    let presets: Vec<&str> = profile::all().iter().map(|p| p.name).collect();
    match form {
        Shape::Text => json!({ "type": "string" }),
        Shape::Name => json!({ "type": "string", "pattern": "^[^/.][^/]*$", "maxLength": 100 }),
        Shape::Topic => {
            json!({ "type": "string", "pattern": "^[^$+#][^+#]*$", "examples": ["site/{area:8}/{sensor}"] })
        }
        Shape::Preset => json!({ "type": "string", "enum": presets }),
        Shape::Link => json!({
            "anyOf": [
                { "type": "string", "enum": presets.iter().copied().chain(["none"]).collect::<Vec<_>>() },
                { "type": "string", "pattern": NAME },
            ],
        }),
        Shape::Count(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Qos => json!({ "type": "integer", "enum": [0, 1, 2] }),
        Shape::Duration => unit("(ns|us|µs|ms|s|min|h|d|days?)", &["250 ms", "10 s", "2 min"]),
        Shape::Size => unit("(B|kB|MB|KiB|MiB)", &["64 B", "2 KiB"]),
        Shape::Rate => unit("(bit|kbit|Mbit|Gbit)/s", &["62 kbit/s"]),
        Shape::Percent => json!({
            "type": "string",
            "pattern": r"^\s*(0*100(\.0*)?|0*[0-9]{1,2}(\.[0-9]*)?|\.[0-9]+)\s*%\s*$",
            "examples": ["5 %"],
        }),
        Shape::Frequency => unit(r"/\s*(s|min|h|day)", &["6/min"]),
        Shape::Drift => unit("ppm", &["40 ppm"]),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Table(kind) => reference(kind),
        Shape::Tables(kind) => json!({ "anyOf": [{ "type": "array", "items": reference(kind) }, reference(kind)] }),
        Shape::Named(kind) => json!({
            "type": "object",
            "propertyNames": { "pattern": NAME, "maxLength": 64 },
            "additionalProperties": reference(kind),
        }),
        Shape::Guarantees => {
            let keys: Vec<&str> = Guarantee::ALL.iter().map(|g| g.key()).collect();
            let alone: Vec<&str> = ["all", "none"].into_iter().chain(keys.iter().copied()).collect();
            let one_alone = json!({ "type": "array", "items": { "enum": alone }, "maxItems": 1 });
            json!({
                "anyOf": [
                    { "type": "string", "enum": alone },
                    { "type": "array", "items": { "type": "string", "enum": keys } },
                    one_alone,
                ],
            })
        }
        Shape::Texts => json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] }),
        Shape::SizeOr(kind) => json!({ "anyOf": [shape(Shape::Size), reference(kind)] }),
        Shape::WordOr(words, kind) => json!({ "anyOf": [{ "type": "string", "enum": words }, reference(kind)] }),
        Shape::PercentOr(kind) => json!({ "anyOf": [shape(Shape::Percent), reference(kind)] }),
    }
}

/// Names of fleets, subscribers and links.
const NAME: &str = "^[A-Za-z0-9_.-]+$";
