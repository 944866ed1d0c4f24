//! Clients that are not squall's own: a library and a program, each with and without what it gets wrong; the broker is honest.

mod support;

use std::path::PathBuf;
use support::{Run, Scratch, run, squall};

#[test]
fn a_library_on_a_good_link_keeps_the_rules_in_both_versions() {
    let scenario = r##"
        ramp = "500 ms"
        duration = "3 s"
        drain = "10 s"
        [fleet.four]
        sensors = 3
        client = "rumqttc"
        publish = { topic = "four/{sensor}", qos = 1, every = "200 ms" }
        [fleet.five]
        sensors = 3
        mqtt = "5.0"
        client = "rumqttc"
        publish = { topic = "five/{sensor}", qos = 2, every = "200 ms" }
        [subscriber.own]
        filters = [{ filter = "#", qos = 2 }]
        [subscriber.library]
        client = "rumqttc"
        filters = [{ filter = "five/#", qos = 2 }]
    "##;
    let r = run(scenario, &[]);
    assert_eq!(r.code, 0, "{}\n{}", r.stdout, r.stderr);
    assert_eq!(r.breaches("client"), Vec::<String>::new(), "{}", r.stdout);
    let sent = r.report()["total"]["counts"]["sent"].as_u64().expect("counted");
    assert!((60..=90).contains(&sent), "each message has an identity: {sent}");
}

/// rumqttc 0.25: re-sends have no DUP; incoming QoS 2 identifiers are forgotten with the connection, so that PUBREL finds nobody, the
/// connection is closed, and the next one too. Whoever mends it there may change this test.
#[test]
fn a_library_that_wedges_after_a_resumed_session_is_named_and_the_broker_is_not() {
    let scenario = r##"
        ramp = "500 ms"
        duration = "5 s"
        drain = "12 s"
        [fleet.library]
        sensors = 2
        client = "rumqttc"
        session = "persistent"
        publish = { topic = "library/{sensor}", qos = 2, every = "250 ms" }
        provoke = { cut = ["before PUBREC"], every = 4 }
        [fleet.own]
        sensors = 2
        publish = { topic = "own/{sensor}", qos = 2, every = "250 ms" }
        [subscriber.archive]
        session = "persistent"
        filters = [{ filter = "library/#", qos = 2 }]
        [subscriber.library-too]
        client = "rumqttc"
        session = "persistent"
        filters = [{ filter = "own/#", qos = 2 }]
        provoke = { cut = ["after own PUBREC"], every = 8 }
        [subscriber.other]
        filters = [{ filter = "own/#", qos = 2 }]
    "##;
    let r = run(scenario, &[]);
    assert_eq!(r.code, 1, "{}\n{}", r.stdout, r.stderr);
    assert_eq!(r.broken(), ["client"], "{}", r.stdout);
    let faults = r.breaches("client");
    for expected in ["sent again without DUP", "wedged"] {
        assert!(faults.iter().any(|f| f == expected), "{expected} is not in {faults:?}");
    }
}

/// The example program, built beside this test.
fn firmware() -> PathBuf {
    let this = std::env::current_exe().expect("a test has a path");
    let profile = this.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps");
    let path = profile.join("examples/firmware");
    assert!(path.is_file(), "cargo test builds examples: {}", path.display());
    path
}

fn program(fault: &str) -> Run {
    let scenario = format!(
        r##"
        ramp = "200 ms"
        duration = "4 s"
        drain = "9 s"
        [fleet.device]
        sensors = 2
        link = "nb-iot"
        client = {{ command = ["{}", "{{host}}", "{{port}}", "{{client_id}}", "{fault}"] }}
        provoke = {{ cut = ["before PUBACK"], every = 3 }}
        "##,
        firmware().display()
    );
    run(&scenario, &[])
}

#[test]
fn a_program_that_keeps_the_rules_is_not_blamed() {
    let r = program("");
    assert_eq!(r.code, 0, "{}\n{}", r.stdout, r.stderr);
    assert!(r.stdout.contains("all by the rules"), "{}", r.stdout);
}

/// The program breaks the rules of these names, and no other.
fn breaks(fault: &str, names: &[&str]) {
    let r = program(fault);
    assert_eq!(r.broken(), ["client"], "{fault}: {}\n{}", r.stdout, r.stderr);
    let mut found = r.breaches("client");
    found.sort();
    assert_eq!(found, names, "{fault}: {}", r.stdout);
}

#[test]
fn a_program_that_sends_again_without_dup() {
    breaks("no-dup", &["sent again without DUP"]);
}

#[test]
fn a_program_with_one_identifier_for_all() {
    breaks("one-id", &["abandoned", "identifier in use"]);
}

#[test]
fn a_program_that_forgets_what_was_under_way() {
    breaks("never-again", &["not sent again"]);
}

#[test]
fn a_program_that_cannot_run_proves_nothing() {
    for (command, why) in [("/no/such/program", "cannot be started"), ("/bin/false", "ended before the run did")] {
        let scenario = format!(
            "ramp = \"200 ms\"\nduration = \"1 s\"\ndrain = \"1 s\"\n[fleet.device]\nsensors = 1\nclient = {{ command = [\"{command}\"] }}\n"
        );
        let r = run(&scenario, &[]);
        assert_eq!(r.code, 5, "{}\n{}", r.stdout, r.stderr);
        assert!(r.stdout.contains(why), "{}\n{}", r.stdout, r.stderr);
    }
}

#[test]
fn mistakes_are_told_with_their_places_all_at_once() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "s.toml",
        r##"
duration = "1 s"
[fleet.a]
sensors = 1
client = "paho"
publish = { topic = "a", every = "1 s" }
[fleet.b]
sensors = 1
client = "rumqttc"
mqtt = "3.1"
power = { cut_every = "1 s", off = "1 s" }
provoke = { cut = ["before CONNACK"] }
publish = { topic = "b", every = "1 s" }
[fleet.c]
sensors = 1
client = { command = [] }
[fleet.d]
sensors = 1
provoke = { cut = ["after PUBLISH"] }
publish = { topic = "d", every = "1 s" }
[fleet.e]
sensors = 1
client = { command = ["./x"] }
publish = { topic = "e", every = "1 s" }
"##,
    );
    let output = squall().args(["scenario", "check"]).arg(&file).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    for expected in [
        "client cannot be this",
        "rumqttc speaks 3.1.1 and 5.0",
        "power is for squall's own clients",
        "no cut of this name",
        "a command begins with a program",
        "only a client under test is provoked",
        "publish is for the program to decide",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn virtual_time_says_that_it_has_no_room_for_them() {
    let output = squall().args(["simulate", "scenarios/client-under-test.toml"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("real time only"), "{text}");
}
