//! Scenario files from the outside: each mistake has its words, its place and its mend; every shipped file fits the schema.

use serde_json::Value;
use squall::scenario::{explain, parse, schema::schema, settings};

const GOOD: &str = r##"duration = "10 s"
[fleet.meter]
sensors = 10
link = "basement"
publish = { topic = "t/{sensor}", qos = 1, payload = "24 B", every = "1 s" }
[subscriber.all]
filters = [{ filter = "t/#", qos = 1 }]
[link.basement]
like = "nb-iot"
"##;

fn errors(text: &str) -> String {
    parse("x.toml", text).map_or_else(|e| e.render(false), |_| "fine".to_owned())
}

/// What is replaced in the good file, by what, and words that the errors must hold.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("duration = \"10 s\"", "", &["duration is missing", "add duration = "]),
    ("sensors = 10\n", "", &["sensors is missing"]),
    ("sensors = 10\n", "sensors = 0\n", &["a whole number from 1"]),
    ("sensors = 10\n", "sensor = 10\n", &["did you mean \"sensors\"?", "sensors is missing"]),
    ("every = \"1 s\"", "every = \"1 parsec\"", &["a time like"]),
    ("every = \"1 s\"", "every = \"10 us\"", &["shorter than the clock's tick"]),
    ("every = \"1 s\"", "poisson = \"5000/s\"", &["more often than the clock ticks", "1000/s"]),
    ("every = \"1 s\"", "poisson = \"99999999999/s\"", &["more often than the clock ticks"]),
    ("payload = \"24 B\"", "payload = \"8 B\"", &["needs 16 B"]),
    ("[fleet.meter]", "[fleet.\"me/ter\"]", &["no name for this"]),
    ("[fleet.meter]", "[fleet.\"#\"]", &["no name for this"]),
    ("[subscriber.all]", "[subscriber.meter]", &["this name is taken"]),
    ("filters = [{ filter = \"t/#\", qos = 1 }]", "filters = []", &["a subscriber needs a filter"]),
    ("filters = [{ filter = \"t/#\", qos = 1 }]", "filters = [{ filter = \"t/#/x\" }]", &["no legal topic filter"]),
    ("link = \"basement\"", "link = \"nb-iott\"", &["did you mean \"nb-iot\"?", "there are:"]),
    ("like = \"nb-iot\"", "like = \"nbiot\"", &["did you mean \"nb-iot\"?"]),
    ("like = \"nb-iot\"", "outage = [{ for = \"1 s\" }]", &["at is missing"]),
    (
        "like = \"nb-iot\"",
        "outage = [{ at = \"1 s\", for = \"5 s\" }, { at = \"3 s\", for = \"5 s\" }]",
        &["these times overlap"],
    ),
    (
        "like = \"nb-iot\"",
        "loss = { gilbert_elliott = { into_bad = \"1 %\", out_of_bad = \"1 %\" }, gilbert_elliott_time = { good = \"1 s\", bad = \"1 s\" } }",
        &["exclude each other"],
    ),
    ("like = \"nb-iot\"", "jitter = { uniform = \"1 s\", normal = \"1 s\" }", &["expected one of uniform"]),
    ("like = \"nb-iot\"", "[[fault]]\nbroker = \"kill\"", &["at is missing"]),
    (
        "like = \"nb-iot\"",
        "[[fault]]\nat = \"1 s\"\nbroker = \"kill\"\nfor = \"1 s\"",
        &["a kill has no for", "back_after"],
    ),
    (
        "like = \"nb-iot\"",
        "[[fault]]\nat = \"1 s\"\nbroker = \"pause\"\nfor = \"1 s\"\nback_after = \"1 s\"",
        &["a pause has no back_after"],
    ),
    ("like = \"nb-iot\"", "[expect]\nguarantees = [\"all\", \"qos1\"]", &["all stands alone"]),
    ("like = \"nb-iot\"", "[expect]\nguarantees = [\"qos3\"]", &["did you mean \"qos"]),
    ("like = \"nb-iot\"", "[expect]\nthresholds = [\"count(lost) = 0\"]", &["no equality", "<= or >="]),
    (
        "like = \"nb-iot\"",
        "[expect]\nthresholds = [\"p99(end_to_end, fleet = metre) < 1 s\"]",
        &["there are: meter, all"],
    ),
    ("sensors = 10\n", "sensors = 1000000\nmqtt = \"5.0\"\nsession_expiry = \"5 s\"\n", &["a clean session ends"]),
    (
        "sensors = 10\n",
        "sensors = 10\nmqtt = \"5.0\"\nsession = \"persistent\"\nsession_expiry = \"1500 ms\"\n",
        &["expected whole seconds"],
    ),
    ("payload = \"24 B\"", "payload = \"900 MiB\"", &["16 MiB at most"]),
    ("topic = \"t/{sensor}\"", "topic = \"t/{nobody}\"", &["no place is called {nobody}"]),
    ("topic = \"t/{sensor}\"", "topic = \"t/#\"", &["no legal topic name"]),
];

#[test]
fn each_mistake_has_its_words() {
    assert_eq!(errors(GOOD), "fine");
    for (old, new, words) in MISTAKES {
        assert!(GOOD.contains(old), "{old}");
        let shown = errors(&GOOD.replace(old, new));
        assert!(shown.contains("nothing was started"), "{new}: {shown}");
        for word in *words {
            assert!(shown.contains(word), "{new}: no \"{word}\" in\n{shown}");
        }
        assert!(!shown.contains("[fleet.meter]\n        ^"), "{new}: marked nowhere in particular\n{shown}");
    }
}

#[test]
fn all_mistakes_come_at_once_in_order_and_once() {
    let text = GOOD
        .replace("sensors = 10", "sensors = 0")
        .replace("every = \"1 s\"", "every = \"soon\"")
        .replace("qos = 1 }]", "qos = 7 }]");
    let shown = errors(&text);
    assert!(shown.starts_with("x.toml: 3 errors"), "{shown}");
    let places: Vec<usize> = ["sensors = 0", "every = \"soon\"", "qos = 7"].map(|p| shown.find(p).expect(p)).into();
    assert!(places.is_sorted(), "{shown}");
}

#[test]
fn the_mark_stands_under_what_it_marks_behind_tabs_too() {
    let shown = errors(&GOOD.replace("sensors = 10", "\tsensors = 0"));
    let mut lines = shown.lines().skip_while(|l| !l.contains("sensors = 0"));
    let (line, mark) = (lines.next().expect("there"), lines.next().expect("there"));
    assert_eq!(line.find('0'), mark.find('^'), "{shown}");
    assert_eq!(line.matches('\t').count(), mark.matches('\t').count(), "{shown}");
}

#[test]
fn syntax_errors_are_told_alone_and_once() {
    let shown = errors("duration = \"10 s\"\n[fleet.a\nsensors = = 3\n");
    assert!(shown.contains("error"), "{shown}");
    assert!(!shown.contains("is missing"), "what follows a syntax error is guesswork: {shown}");
    assert_eq!(errors("a = 1\na = 2\n").matches(" | a = ").count(), 1);
}

#[test]
fn a_file_that_is_no_text_says_so() {
    let file = std::env::temp_dir().join(format!("squall-test-{}-bytes.toml", std::process::id()));
    std::fs::write(&file, [0xFF, 0xFE, 0]).expect("writable");
    let shown = squall::scenario::load(&file).expect_err("no text").render(false);
    std::fs::remove_file(&file).expect("it was there");
    assert!(shown.contains("this is no text") && !shown.contains("did you mean"), "{shown}");
}

/// As much of JSON Schema as ours uses.
fn fits(value: &Value, schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let kind = reference.strip_prefix("#/$defs/").expect("local");
        return fits(value, &root["$defs"][kind], root, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let all: Vec<_> = any.iter().map(|s| fits(value, s, root, at)).collect();
        return if all.iter().any(Result::is_ok) { Ok(()) } else { Err(format!("{at}: {all:?}")) };
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{at}: {value} is none of {words:?}"));
    }
    let kind = match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    };
    if schema["type"] != kind {
        return Err(format!("{at}: {kind} for {}", schema["type"]));
    }
    if let (Some(n), Some(least)) = (value.as_i64(), schema["minimum"].as_i64())
        && n < least
    {
        return Err(format!("{at}: {n} < {least}"));
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], root, at)?;
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let more = &schema["additionalProperties"];
        let schema = match schema["properties"].get(key) {
            Some(schema) => schema,
            None if more.is_object() => more,
            None => return Err(format!("{at}.{key}: unknown")),
        };
        fits(inner, schema, root, &format!("{at}.{key}"))?;
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        value.get(key).ok_or_else(|| format!("{at}: {key} is missing"))?;
    }
    Ok(())
}

#[test]
fn the_schema_takes_what_the_parser_takes() {
    let schema = schema();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    for entry in std::fs::read_dir(folder).expect("there") {
        let path = entry.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let value: Value = toml::from_str(&text).expect("TOML");
        fits(&value, &schema, &schema, "").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let bad: Value = toml::from_str("duration = \"1 s\"\n[fleet.a]\nsensor = 1").expect("TOML");
    assert!(fits(&bad, &schema, &schema, "").is_err());
    for (kind, _) in settings::TABLES {
        for key in settings::required(kind) {
            assert!(settings::of(kind).any(|s| s.key == *key), "{kind}.{key}");
        }
    }
}

#[test]
fn explain_counts_what_will_be_sent() {
    let scenario = parse("x.toml", GOOD).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let load = explain::load(&scenario);
    // 10 sensors, one a second, for 10 s; PUBLISH: 2 + 2 + "t/0" + identifier + 24.
    assert_eq!((load.clients, load.messages, load.rate, load.bytes), (11, 100.0, 10.0, 330.0));
    let v5 = parse("x.toml", &GOOD.replace("sensors = 10", "sensors = 10\nmqtt = \"5.0\"")).expect("legal");
    assert_eq!(explain::load(&v5).bytes, 340.0, "one byte says that there are no properties");
    let long = parse("x.toml", &GOOD.replace("24 B", "200 B")).expect("legal");
    assert_eq!(explain::load(&long).bytes, 2100.0, "two bytes of remaining length");
    let text = explain::explain(&scenario);
    assert!(text.contains("33 + 4 MQTT bytes a message"), "{text}");
    for debug in ["Flash", "Kill {", "Instant", "Some("] {
        assert!(!text.contains(debug), "{text}");
    }
}
