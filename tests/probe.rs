//! `squall probe`: what is said of a broker is what it does; each answer can come out otherwise.

mod support;

use support::{Broker, Scratch, squall};

/// What a probe found, by key: the answer and the words.
fn probe(arguments: &[&str]) -> (serde_json::Value, String) {
    let output = squall().arg("probe").args(arguments).args(["--format", "json"]).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    (serde_json::from_slice(&output.stdout).expect("JSON"), errors)
}

/// Nothing was exchanged where there was nobody to ask, or nothing to ask for in the version that is spoken.
fn why_none(found: &serde_json::Value) -> bool {
    found["answer"] == "unknown" || found["words"].as_str().is_some_and(|w| w.ends_with("came with 5.0"))
}

fn answer<'a>(all: &'a serde_json::Value, key: &str) -> (&'a str, &'a str) {
    let findings = all[0]["findings"].as_array().expect("a list");
    let found = findings.iter().find(|f| f["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    assert!(!found["exchange"].as_array().expect("lines").is_empty() || why_none(found), "{key}");
    (found["answer"].as_str().expect("a word"), found["words"].as_str().unwrap_or(""))
}

#[test]
fn the_reference_broker_can_everything_and_each_cell_has_its_exchange() {
    let (all, _) = probe(&["reference"]);
    let yes = [
        "mqtt_3.1",
        "mqtt_3.1.1",
        "mqtt_5.0",
        "qos_0",
        "qos_1",
        "qos_2",
        "retained",
        "will",
        "session",
        "session_expiry",
        "shared",
        "wildcards",
        "dynamic_topics",
        "assigned_id",
        "sys",
        "tls",
        "websocket",
    ];
    for key in yes {
        assert_eq!(answer(&all, key).0, "yes", "{key}: {}", answer(&all, key).1);
    }
    assert_eq!(answer(&all, "topic_length").1, "65,535 B (all)");
    assert_eq!(answer(&all, "offline_queue").1, "at least 3,000");
    assert_eq!(all[0]["warnings"].as_array().map(Vec::len), Some(0), "{}", all[0]["warnings"]);
}

#[test]
fn what_a_broker_does_not_do_is_said_with_what_it_does_instead() {
    let broker = Broker::start(&[
        "--mqtt",
        "3.1.1",
        "--offline-queue",
        "25",
        "--max-packet",
        "102400",
        "--defect",
        "will-never:1",
    ]);
    let (all, _) = probe(&[&format!("mqtt://{}", broker.addr)]);
    for (key, expected) in [
        ("mqtt_3.1", "no"),
        ("mqtt_3.1.1", "yes"),
        ("mqtt_5.0", "no"),
        ("session_expiry", "no"),
        ("topic_aliases", "no"),
        ("will", "no"),
        ("offline_queue", "is"),
        ("tls", "unknown"),
        ("websocket", "unknown"),
    ] {
        assert_eq!(answer(&all, key).0, expected, "{key}: {}", answer(&all, key).1);
    }
    assert_eq!(answer(&all, "offline_queue").1, "25");
    assert_eq!(answer(&all, "packet_size").1, "60 KiB to 250 KiB");
    assert!(answer(&all, "mqtt_5.0").1.contains("CONNACK 0x"), "{}", answer(&all, "mqtt_5.0").1);
}

#[test]
fn a_defect_is_seen_as_what_it_does() {
    for (defect, key, words) in [
        ("forget-session:1", "session", "Session Present 0"),
        ("drop-offline:1", "session", "0 of 1 message kept"),
        ("raise-qos:1", "qos_0", "delivered at"),
    ] {
        let (all, _) = probe(&["reference", "--defect", defect]);
        let (answer, said) = answer(&all, key);
        assert!(answer != "yes" && said.contains(words), "{defect}: {answer} {said}");
    }
}

/// A broker that fails once, as in closing a connection, has not answered yet; one that fails again has.
#[test]
fn what_fails_once_is_asked_again_and_that_is_said() {
    let (all, _) = probe(&["reference", "--defect", "malformed:2"]);
    assert_eq!(answer(&all, "qos_2").0, "yes");
    let findings = all[0]["findings"].as_array().expect("a list");
    let why = |key: &str| &findings.iter().find(|f| f["key"] == key).expect("asked")["not_at_once"];
    assert!(why("qos_2").as_str().is_some_and(|w| w.contains("malformed")), "{}", why("qos_2"));
    assert_eq!(answer(&all, "shared").0, "no");
    assert!(why("shared").is_null() && why("qos_1").is_null());
}

#[test]
fn a_manifest_that_declares_otherwise_is_warned_of_and_the_right_one_is_written() {
    let output = squall().args(["probe", "ibm-mq-rehearsal", "--format", "manifest"]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("mqtt = [\"3.1\", \"3.1.1\"]") && text.contains("max_qos = 2"), "{text}");
    // Said to be a rehearsal in the table too.
    let output = squall().args(["probe", "ibm-mq-rehearsal", "--format", "markdown"]).output().expect("it starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains("a rehearsal: "), "{output:?}");
    let output = squall().args(["probe", "reference", "--defect", "forget-session:1"]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("warning: its manifest declares an offline queue of 100000, and 0 messages came back"),
        "{text}"
    );
}

#[test]
fn a_longer_queue_and_a_listener_that_does_not_open_are_warned_of() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.0.join("it")).expect("a folder");
    let args = "[\"broker\", \"--listen\", \"{host}:{port}\", \"--offline-queue\", \"25\"]";
    let manifest = format!(
        "name = \"it\"\nabout = \"more and less than declared\"\n[launch]\nprogram = \"{{squall}}\"\nargs = {args}\n\
         ready_within = \"10 s\"\nstop_within = \"5 s\"\n[listen]\nws = {{}}\n[declares]\noffline_queue = 10\n"
    );
    scratch.file("it/broker.toml", &manifest);
    let output = squall().env("SQUALL_BROKERS", &scratch.0).args(["probe", "it"]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("declares an offline queue of 10, and 25 messages came back"), "{text}");
    assert!(text.contains("warning: its manifest opens a listener for ws: no: "), "{text}");
}

#[test]
fn who_is_not_there_is_told() {
    let output = squall().args(["probe", "mqtt://127.0.0.1:1", "no-such-broker"]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("does not answer") && text.contains("no-such-broker"), "{text}");
    assert_eq!(output.status.code(), Some(4), "the worst: {text}");
}

/// Each of them opens a TLS and a WebSocket listener, as its manifest says, and a message comes through.
#[cfg(feature = "real-brokers")]
#[test]
fn every_broker_answers_over_tls_and_websocket() {
    for name in ["mosquitto", "hivemq", "rabbitmq", "rabbitmq4", "vertx", "artemis", "moquette", "mochi", "aedes"] {
        for transport in ["tls", "ws"] {
            let output =
                squall().args(["targets", "check", name, "--transport", transport]).output().expect("it starts");
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{name} {transport}: {text}");
            assert!(text.contains("QoS 1: delivered at 1"), "{name} {transport}: {text}");
        }
    }
}

/// What is known of a real broker.
#[cfg(feature = "real-brokers")]
#[test]
fn mosquitto_and_rabbitmq_are_as_they_are_known() {
    let (all, _) = probe(&["mosquitto"]);
    assert_eq!(answer(&all, "topic_levels").1, "200 to 1,000", "its limit is 200");
    assert_eq!(answer(&all, "qos_2").0, "yes");
    let (all, _) = probe(&["rabbitmq"]);
    assert_eq!(answer(&all, "mqtt_5.0").0, "no", "3.10");
    assert_ne!(answer(&all, "qos_2").0, "yes", "it grants QoS 1 at most");
    assert_eq!(all[0]["warnings"].as_array().map(Vec::len), Some(0), "{}", all[0]["warnings"]);
}
