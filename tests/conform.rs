//! The conformance suite: its table and its cases agree, the reference broker keeps every rule, and a broker that does
//! not is found, with the packets shown.

mod support;

use squall::conform::statements::{Share, rewritten, table};
use squall::conform::suite::name;
use squall::mqtt::Version;
use std::collections::BTreeSet;
use std::process::Output;
use support::{Broker, Scratch, squall};

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

#[test]
fn the_table_has_every_statement_and_agrees_with_the_cases() {
    let cases = squall::conform::all();
    let names: BTreeSet<&str> = cases.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "names are unique");
    for (version, all) in [(Version::V311, 141), (Version::V5, 251)] {
        let table = table(version);
        let known: BTreeSet<&str> = table.iter().map(|s| s.number.as_str()).collect();
        assert_eq!((table.len(), known.len()), (all, all), "each statement of {} once", name(version));
        for case in &cases {
            let unknown: Vec<_> = case.statements(version).iter().filter(|s| !known.contains(*s)).collect();
            assert!(unknown.is_empty(), "{} cites {unknown:?} of {}", case.name, name(version));
        }
        for s in &table {
            assert!(["server", "client", "both"].contains(&s.binds.as_str()) && !s.says.is_empty(), "{s:?}");
        }
        let path = format!("{}/docs/statements/mqtt-{}.csv", env!("CARGO_MANIFEST_DIR"), name(version));
        let text = rewritten(version, &cases);
        if std::env::var_os("SQUALL_REWRITE_TABLES").is_some() {
            std::fs::write(&path, &text).expect("writable");
        }
        let file = std::fs::read_to_string(&path).expect("readable");
        assert!(file == text, "{path} is behind the cases: SQUALL_REWRITE_TABLES=1 cargo test --test conform");
    }
}

#[test]
fn what_is_not_tested_has_a_reason_and_what_is_tested_needs_none() {
    for version in VERSIONS {
        for s in table(version) {
            assert_eq!(s.cases.is_empty(), s.why_not.len() > 20, "{} of {}: {s:?}", s.number, name(version));
        }
    }
    let (old, new) = (Share::of(Version::V311), Share::of(Version::V5));
    assert!(old.tested >= 120 && new.tested >= 195, "{old:?} {new:?}");
    let output = squall().args(["conform", "--coverage"]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for share in [old, new] {
        assert!(text.contains(&format!("{} statements, {} tested", share.all, share.tested)), "{text}");
    }
}

fn conform(arguments: &[&str]) -> (i32, String, Output) {
    let output = squall().arg("conform").args(arguments).output().expect("it starts");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned(), output)
}

/// The names of the cases that came out so, from the JSON file.
fn cases(json: &serde_json::Value, outcome: &str) -> Vec<String> {
    let all = json["cases"].as_array().expect("a list").iter();
    let mine = all.filter(|c| c["outcome"] == outcome);
    mine.map(|c| format!("{} {}", c["mqtt"].as_str().expect("text"), c["name"].as_str().expect("text"))).collect()
}

#[test]
fn the_reference_broker_keeps_every_rule() {
    let scratch = Scratch::new();
    let (json, junit) = (scratch.0.join("c.json"), scratch.0.join("c.xml"));
    let (code, text, _) = conform(&["--json", json.to_str().expect("text"), "--junit", junit.to_str().expect("text")]);
    assert_eq!(code, 0, "{text}");
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).expect("there")).expect("JSON");
    assert!(cases(&json, "held").len() > 350, "{text}");
    // What it has not, and nothing else, is without a subject; the tests below give it some of that.
    let expected = include_str!("conform/no-subject.txt");
    assert_eq!(cases(&json, "not-applicable").join("\n"), expected.trim(), "{text}");
    let xml = std::fs::read_to_string(junit).expect("there");
    assert!(xml.contains("failures=\"0\" errors=\"0\"") && xml.contains("name=\"qos2-repeated\""), "{xml}");
}

#[test]
fn other_transports_and_a_lower_qos_are_judged_too() {
    let (code, text, _) = conform(&["--transport", "ws", "--only", "websocket"]);
    assert!(code == 0 && text.contains("MQTT 5.0: 4 held\n") && text.contains("MQTT 3.1.1: 4 held\n"), "{text}");
    let (code, text, _) = conform(&["--transport", "tls", "--only", "connack-comes-first"]);
    assert!(code == 0 && text.contains("1 held"), "{text}");
    // All that a broker of lower QoS does is right, too, and what it says of that is judged.
    for qos in ["0", "1"] {
        let broker = Broker::start(&["--max-qos", qos]);
        let (code, text, _) = conform(&[&format!("mqtt://{}", broker.addr)]);
        assert!(code == 0 && text.contains("MQTT 5.0: "), "{text}");
        for judged in ["maximum-qos-said", "maximum-qos-exceeded", "will-qos-too-high"] {
            assert!(!text.contains(judged), "{judged} has no subject on a broker of QoS {qos}\n{text}");
        }
    }
}

/// What the reference broker, as it is, gives no subject to is judged on one that is started otherwise: each case that counts
/// is judged here by some broker, in each of its versions.
#[test]
fn every_case_is_judged_on_some_broker() {
    let scratch = Scratch::new();
    // `echo right | squall broker --hash-password alice`
    let users = scratch.file("users", "alice:$7$10000$PMfFTy/6vVjOwDbF$I4ByryC0M2cBrqhAj4C+rnTU9jqHkqPkcgU+yvF6Dd3zpxW2gn88aPlfEM5SZfc4YmLrO6YXhku1QJZvlH0klg==");
    let (users, json) = (users.to_str().expect("text"), scratch.0.join("c.json"));
    let brokers: [(&[&str], &str); 5] = [
        (&["--max-qos", "0"], ""),
        (&["--no-retain"], ""),
        (&["--no-assigned-ids"], ""),
        (&["--topic-aliases", "0"], ""),
        (&["--users", users], "alice:right@"),
    ];
    let open: BTreeSet<String> = include_str!("conform/no-subject.txt").lines().map(str::to_owned).collect();
    let mut judged = BTreeSet::new();
    let mut ask = |target: &[&str]| {
        let only = open.iter().flat_map(|case| ["--only", case.split_once(' ').expect("version and name").1]);
        let arguments: Vec<&str> = target.iter().copied().chain(only).collect();
        let (code, text, _) = conform(&[&arguments[..], &["--json", json.to_str().expect("text")]].concat());
        assert_eq!(code, 0, "{target:?}\n{text}");
        let json = std::fs::read_to_string(&json).expect("there");
        judged.extend(cases(&serde_json::from_str(&json).expect("JSON"), "held"));
    };
    ask(&["--transport", "ws"]);
    for (arguments, user) in brokers {
        let broker = Broker::start(arguments);
        ask(&[&format!("mqtt://{user}{}", broker.addr)]);
    }
    let never: Vec<_> = open.difference(&judged).collect();
    assert!(never.is_empty(), "{never:?}");
}

/// All other cases on a broker that retains nothing, and says so.
#[test]
fn a_broker_that_retains_nothing_keeps_every_rule() {
    let broker = Broker::start(&["--no-retain"]);
    let (code, text, _) = conform(&[&format!("mqtt://{}", broker.addr), "--mqtt", "5.0"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_broken_rule_is_found_and_its_packets_are_shown() {
    let patterns = ["--only", "retained-cleared", "--mqtt", "3.1.1"];
    let (code, text, _) = conform(&[&patterns[..], &["--defect", "keep-retained:1"]].concat());
    assert_eq!(code, 1, "{text}");
    for wanted in ["BROKEN", "[MQTT-3.3.1-10]", "<- PUBLISH QoS 1 id 1 RETAIN", "-> SUBSCRIBE"] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    // Each of these bugs breaks the case of its rule.
    for (defect, case) in [
        ("duplicate-qos2", "qos2-answered"),
        ("forget-qos2-ids", "qos2-repeated-after-reconnect"),
        ("will-on-disconnect", "will-not-after-disconnect"),
        ("invent-session", "session-new"),
        ("forget-in-flight", "resend-qos1"),
        ("ignore-receive-maximum", "receive-maximum"),
        ("malformed", "qos1-answered"),
        ("raise-qos", "qos-lower-of-both"),
        ("reorder", "order"),
    ] {
        let (code, text, _) = conform(&["--only", case, "--defect", &format!("{defect}:1")]);
        assert!(code == 1 && text.contains(case), "{defect}: exit {code}\n{text}");
    }
}

#[test]
fn known_deviations_are_told_apart_from_breaches_and_from_what_is_mended() {
    let scratch = Scratch::new();
    let folder = scratch.0.join("odd");
    std::fs::create_dir_all(&folder).expect("a folder");
    let manifest = "name = \"odd\"\nabout = \"a broker with a bug\"\n[launch]\nprogram = \"{squall}\"\n\
                    args = [\"broker\", \"--listen\", \"127.0.0.1:{port}\", \"--defect\", \"keep-retained:1\"]\n\
                    stop_signal = \"TERM\"\nready_within = \"10 s\"\nstop_within = \"5 s\"\n";
    let known = "[[deviates]]\nmqtt = \"3.1.1\"\nstatement = \"3.3.1-10\"\nreason = \"it forgets nothing\"\n\
                 [[deviates]]\nmqtt = \"3.1.1\"\nstatement = \"3.12.4-1\"\ncase = \"ping\"\nreason = \"it was mute\"\n";
    std::fs::write(folder.join("broker.toml"), format!("{manifest}\n{known}")).expect("writable");
    let run = |version: &str| {
        let mut command = squall();
        command.env("SQUALL_BROKERS", &scratch.0).args(["conform", "odd", "--mqtt", version]);
        let output = command.args(["--only", "retained-cleared", "--only", "ping"]).output().expect("it starts");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run("3.1.1");
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("known: it forgets nothing") && text.contains("mended     MQTT 3.1.1 [MQTT-3.12.4-1]"),
        "{text}"
    );
    let (code, text) = run("5.0");
    assert!(code == 1 && text.contains("BROKEN     retained-cleared"), "it is admitted for 3.1.1 alone\n{text}");
}

#[test]
fn exit_codes_say_what_could_not_be_judged() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("mqtt://{}", listener.local_addr().expect("an address"))
    };
    assert_eq!(conform(&[&nobody]).0, 4);
    assert_eq!(conform(&["no-such-broker"]).0, 3);
    assert_eq!(conform(&["--only", "no-such-case"]).0, 3);
    assert_eq!(conform(&["--mqtt", "3"]).0, 3);
    assert_eq!(conform(&["--only", "will-retain-refused"]).0, 5);
    let (code, text, _) = conform(&["--list", "--only", "4.7.2-1"]);
    assert!(code == 0 && text.contains("match-dollar") && !text.contains("connect-twice"), "{text}");
}

/// What is known of mosquitto is all that is found, and none of it is mended.
#[cfg(feature = "real-brokers")]
#[test]
fn mosquitto_deviates_where_its_manifest_says_and_nowhere_else() {
    let (code, text, _) = conform(&["mosquitto"]);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("mended"), "{text}");
    let listed = squall::target::manifest::Manifest::find("mosquitto").expect("built in").deviates.len();
    assert_eq!(text.matches("\ndeviates ").count() + usize::from(text.starts_with("deviates ")), listed, "{text}");
}
