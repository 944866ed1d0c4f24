//! What real brokers are known to get wrong, found by scenarios that are told nothing of it: by its name, as often as it happened, and with
//! the excuse that the broker's manifest gives it, or without. (What rumqttc gets wrong is in `clients_under_test.rs`.)
#![cfg(feature = "real-brokers")]

mod support;

use support::{Run, run};

/// How often an excuse was taken.
fn excused(r: &Run, name: &str) -> u64 {
    let all = r.report()["excuses"].as_array().expect("a list");
    let found = all.iter().find(|e| e["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    found["count"].as_u64().expect("a number")
}

/// How many breaches of a guarantee were counted.
fn failures(r: &Run, key: &str) -> u64 {
    let all = r.report()["guarantees"].as_array().expect("a list");
    all.iter().find(|g| g["key"] == key).expect("judged")["failures"].as_u64().expect("a number")
}

fn count(r: &Run, name: &str) -> u64 {
    r.report()["total"]["counts"][name].as_u64().expect("counted")
}

/// mosquitto keeps the first thousand that wait, and acknowledges the others all the same (`max_queued_messages`).
#[test]
fn mosquitto_drops_what_waits_beyond_its_queue() {
    let absence = |arguments: &[&str]| run(include_str!("../scenarios/long-absence.toml"), arguments);
    // Of 1,500 or so: it depends on the moments at which the archive leaves and returns.
    let dropped = 400..=600;

    let r = absence(&["--target", "mosquitto-debian"]);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
    let excuse = excused(&r, "offline queue");
    assert!(dropped.contains(&excuse), "{}", r.stdout);
    assert_eq!(
        count(&r, "delivered") + excuse,
        count(&r, "acked"),
        "each that did not come is excused, and no other: {}",
        r.stdout
    );

    let r = absence(&["--target", "mosquitto-debian", "--strict"]);
    assert_eq!((r.code, r.broken()), (1, vec!["qos1".to_owned()]), "{}\n{}", r.stdout, r.stderr);
    assert_eq!(r.breaches("qos1"), ["lost"]);
    assert!(dropped.contains(&failures(&r, "qos1")), "{}", r.stdout);
    assert_eq!(count(&r, "delivered") + failures(&r, "qos1"), count(&r, "acked"), "{}", r.stdout);

    // With a longer queue nothing is lost, and no excuse is needed.
    let r = absence(&["--target", "mosquitto", "--strict"]);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
    assert_eq!(count(&r, "delivered"), count(&r, "acked"), "{}", r.stdout);
}

/// With persistence as Debian sets it up, mosquitto writes its memory down every half hour: a kill takes sessions and all that they are owed.
#[test]
fn mosquitto_without_autosave_loses_all_at_a_kill() {
    let crash = |arguments: &[&str]| run(include_str!("../scenarios/broker-crash.toml"), arguments);

    let r = crash(&["--target", "mosquitto-debian"]);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
    // Five seconds of 50 a second waited for the archive when the broker was killed, or went while it had no session.
    assert!(excused(&r, "declared durability") >= 200, "{}", r.stdout);

    let r = crash(&["--target", "mosquitto-debian", "--strict"]);
    assert_eq!(
        (r.code, r.broken()),
        (1, ["qos1", "qos2", "session"].map(String::from).into()),
        "{}\n{}",
        r.stdout,
        r.stderr
    );
    for (key, name) in [("qos1", "gone after a kill"), ("qos2", "gone after a kill"), ("session", "session forgotten")]
    {
        assert!(r.breaches(key).iter().any(|b| b == name), "{name}: {}", r.stdout);
    }

    let r = crash(&["--target", "reference-durable", "--strict"]);
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
}

/// Of overlapping filters, mosquitto takes the one that it finds first, whatever its QoS [MQTT-3.3.5-1]. RabbitMQ 3 has no QoS 2, and
/// answers a PUBLISH of QoS 2 with PUBACK, in a version that has no word for it: the hand-shake never ends.
#[test]
fn qos_2_is_lowered_by_an_overlap_or_altogether() {
    let overlap = |target: &str| run(include_str!("../scenarios/overlapping-filters.toml"), &["--target", target]);

    let r = overlap("mosquitto");
    assert_eq!((r.code, r.broken()), (1, vec!["qos1".to_owned()]), "{}\n{}", r.stdout, r.stderr);
    assert_eq!(r.breaches("qos1"), ["lowered by an overlap"]);
    // At both subscribers with two filters, in whatever order they asked.
    assert_eq!(failures(&r, "qos1"), 2 * count(&r, "acked"), "{}", r.stdout);

    let r = overlap("rabbitmq");
    assert_eq!(
        (r.code, r.broken()),
        (1, ["protocol", "liveness"].map(String::from).into()),
        "{}\n{}",
        r.stdout,
        r.stderr
    );
    assert_eq!(
        (r.breaches("protocol"), r.breaches("liveness")),
        (vec!["unexpected packet".into()], vec!["stuck".into()])
    );
    assert_eq!(count(&r, "acked"), 0, "{}", r.stdout);

    let r = overlap("reference");
    assert_eq!(r.broken(), Vec::<String>::new(), "{}\n{}", r.stdout, r.stderr);
}

/// A client that is gone without a word and back before mosquitto noticed takes its own connection over, and no will is published; nor does
/// mosquitto say what is left of an expiry in its last second (a zero is left out). All else that `features.toml` asks for, it does.
#[test]
fn mosquitto_publishes_no_will_at_a_take_over() {
    // It looks every five seconds for whose keep alive of 4 s is over by half: after 5 s it cannot have noticed, after 9 s it may have.
    let (noticed, unnoticed) = (r#"at = "20 s", for = "9 s""#, r#"at = "20 s", for = "5 s""#);
    let scenario = include_str!("../scenarios/features.toml").replace(noticed, unnoticed);
    assert!(scenario.contains(unnoticed));
    let r = run(&scenario, &["--target", "mosquitto"]);
    assert_eq!(r.breaches("wills"), ["missing"], "{}\n{}", r.stdout, r.stderr);
    assert!(r.broken().iter().all(|key| key == "wills" || key == "expiry"), "{}", r.stdout);
    assert!(r.breaches("expiry").iter().all(|name| name == "expiry gone"), "{}", r.stdout);
    assert_eq!(r.code, 1);
}
