//! The JSON Schema of scenario files, so that editors complete and check them.

use super::settings::{Setting, Shape, TABLES, of, required};
use serde_json::{Map, Value, json};

/// The schema (JSON Schema, draft 2020-12), made from the same table that the parser reads by.
#[must_use]
pub fn schema() -> Value {
    let defs: Map<String, Value> = TABLES
        .iter()
        .filter(|(kind, _)| *kind != "device")
        .map(|(kind, _)| ((*kind).to_owned(), table(kind)))
        .collect();
    let mut root = table("scenario");
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("squall scenario");
    root["$defs"] = Value::Object(defs);
    root
}

fn table(kind: &str) -> Value {
    let properties: Map<String, Value> = of(kind).map(|s| (s.key.to_owned(), setting(s))).collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required(kind).is_empty() {
        table["required"] = json!(required(kind));
    }
    table
}

fn setting(s: &Setting) -> Value {
    let mut value = shape(s.shape);
    if s.key == "link" && s.shape == Shape::Text || s.key == "like" {
        // Any name will do for `link`: a file may define its own.
        value["examples"] = json!(crate::link::profile::all().iter().map(|p| p.name).collect::<Vec<_>>());
    }
    if s.shape == Shape::Count && s.key != "seed" {
        value["minimum"] = json!(1);
    }
    value["description"] = json!(s.about);
    value
}

fn shape(shape: Shape) -> Value {
    let unit = |pattern: &str, example: &str| json!({ "type": "string", "pattern": pattern, "examples": [example] });
    let reference = |kind: &str| json!({ "$ref": format!("#/$defs/{kind}") });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Count => json!({ "type": "integer", "minimum": 0 }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Qos => json!({ "type": "integer", "enum": [0, 1, 2] }),
        Shape::Duration => unit(r"^\s*[0-9.]+\s*(ns|us|µs|ms|s|min|h|d|days?)\s*$", "10 s"),
        Shape::Size => unit(r"^\s*[0-9.]+\s*(B|kB|MB|KiB|MiB)\s*$", "64 B"),
        Shape::Rate => unit(r"^\s*[0-9.]+\s*(bit|kbit|Mbit|Gbit)/s\s*$", "62 kbit/s"),
        Shape::Percent => unit(r"^\s*[0-9.]+\s*%\s*$", "5 %"),
        Shape::Frequency => unit(r"^\s*[0-9.]+\s*/\s*(s|min|h|day)\s*$", "6/min"),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Table(kind) => reference(kind),
        Shape::Tables(kind) => json!({ "anyOf": [{ "type": "array", "items": reference(kind) }, reference(kind)] }),
        Shape::Named(kind) => json!({ "type": "object", "additionalProperties": reference(kind) }),
        Shape::Texts => json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] }),
        Shape::TextOr(kind) => json!({ "anyOf": [{ "type": "string" }, reference(kind)] }),
    }
}
