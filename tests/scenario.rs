//! Scenario files from the outside: what is refused, where and why; and what the explanation says.

use squall::link::spec::{Jitter, Outage};
use squall::scenario::diagnostics::Problem;
use squall::scenario::load::{load, publish_bytes};
use squall::scenario::{deliveries, explain, model, parse};
use squall::time::{Duration, Instant};

/// A scenario that is fine, with more settings of its fleet, and more of the file.
fn file(fleet: &str, rest: &str) -> String {
    let publish =
        if fleet.contains("publish =") { "" } else { "publish = { topic = \"t/{sensor}\", every = \"1 s\" }\n" };
    format!("duration = \"30 s\"\n[fleet.a]\nsensors = 3\n{publish}{fleet}\n{rest}\n")
}

fn problems(text: &str) -> Vec<Problem> {
    parse("test.toml", text).err().map_or_else(Vec::new, |e| e.problems)
}

fn publish(settings: &str) -> String {
    file(&format!("publish = {{ topic = \"t\", {settings} }}"), "")
}

fn link(settings: &str) -> String {
    file("link = \"mine\"", &format!("[link.mine]\n{settings}"))
}

fn expect(settings: &str) -> String {
    file("", &format!("[expect]\n{settings}"))
}

/// Each file has one mistake alone: the text that is marked, and a word of the message or the mend.
#[test]
fn one_mistake_is_one_problem_with_its_place() {
    let fault = |settings: &str| file("", &format!("[[fault]]\n{settings}"));
    let subscriber = |settings: &str| file("", &format!("[subscriber.s]\n{settings}"));
    let long = "x".repeat(65_536);
    let cases: Vec<(String, &str, &str)> = vec![
        // What would hang.
        (publish("poisson = \"10000000000/s\""), "\"10000000000/s\"", "1000/s"),
        (publish("poisson = \"2000/s\""), "\"2000/s\"", "tick of 1 ms"),
        (publish("every = \"10 us\""), "\"10 us\"", "tick of 1 ms"),
        (publish("poisson = \"0.00001/day\""), "\"0.00001/day\"", "150 years"),
        (publish("every = \"1 s\", duty = { on = \"1 ns\", off = \"1 s\" }"), "\"1 ns\"", "too short"),
        (publish("every = \"1 s\", duty = { on = \"1 s\", off = \"0 s\" }"), "\"0 s\"", "too short"),
        (file("power = { cut_every = \"1 ns\", off = \"1 s\" }", ""), "\"1 ns\"", "too short"),
        (file("reconnect = { first = \"1 us\" }", ""), "\"1 us\"", "too short"),
        (link("loss = { gilbert_elliott_time = { good = \"1 ns\", bad = \"1 s\" } }"), "\"1 ns\"", "too short"),
        (publish("every = \"1 s\", burst = 0"), "0", "from 1"),
        (publish("every = \"1 s\", burst = 100001"), "100001", "to 100000"),
        // Names, and what they become.
        (file("", "[subscriber.\"a b\"]\nfilters = { filter = \"#\" }"), "\"a b\"", "letters"),
        (file("", "[subscriber.\"a/+\"]\nfilters = { filter = \"#\" }"), "\"a/+\"", "letters"),
        (file("", "[subscriber.\"\"]\nfilters = { filter = \"#\" }"), "\"\"", "letters"),
        (file("", "[subscriber.a]\nfilters = { filter = \"#\" }"), "a", "taken"),
        (file("", "[link.\"l l\"]\ndelay = \"1 ms\""), "\"l l\"", "letters"),
        (file("", "[link.gprs]\ndelay = \"1 ms\""), "gprs", "preset"),
        (format!("name = \"..\"\n{}", file("", "")), "\"..\"", "folder"),
        (format!("name = \"a/b\"\n{}", file("", "")), "\"a/b\"", "folder"),
        // Times.
        (link("outage = [{ for = \"1 s\" }]"), "{ for = \"1 s\" }", "at is missing"),
        (file("offline = [{ for = \"1 s\" }]", ""), "{ for = \"1 s\" }", "at is missing"),
        (fault("broker = \"kill\""), "[[fault]]", "at is missing"),
        (fault("at = \"1 s\"\nbroker = \"pause\""), "[[fault]]", "for is missing"),
        (
            link("outage = [{ at = \"1 s\", for = \"5 s\" }, { at = \"3 s\", for = \"1 s\" }]"),
            "{ at = \"3 s\", for = \"1 s\" }",
            "6 s",
        ),
        (
            file("offline = [{ at = \"4 s\", for = \"1 s\" }, { at = \"1 s\", for = \"5 s\" }]", ""),
            "{ at = \"4 s\", for = \"1 s\" }",
            "6 s",
        ),
        (link("outage = { at = \"32 s\", for = \"5 s\" }"), "\"32 s\"", "32 s"),
        (
            fault("at = \"1 s\"\nbroker = \"kill\"\n[[fault]]\nat = \"2 s\"\nbroker = \"pause\"\nfor = \"1 s\""),
            "[[fault]]",
            "back_after",
        ),
        (fault("at = \"1 s\"\nbroker = \"slow-disk\"\nfor = \"2 s\""), "[[fault]]", "write is missing"),
        (fault("at = \"1 s\"\nbroker = \"kill\"\nshare = \"5 %\""), "\"5 %\"", "back_after"),
        (fault("at = \"1 s\"\nbroker = \"drop-connections\"\nfor = \"2 s\""), "\"2 s\"", "share"),
        (fault("at = \"1 s\"\nbroker = \"slow-cpu\"\nfor = \"2 s\""), "[[fault]]", "runs is missing"),
        (fault("at = \"1 s\"\nbroker = \"slow-cpu\"\nfor = \"2 s\"\nruns = \"100 ms\""), "\"100 ms\"", "no limit"),
        (fault("at = \"1 s\"\nbroker = \"slow-cpu\"\nfor = \"2 h\"\nruns = \"9 ms\""), "\"2 h\"", "an hour"),
        (file("reboot = { at = \"40 s\" }", ""), "\"40 s\"", "32 s"),
        (file("reboot = { at = \"4 s\", share = \"101 %\" }", ""), "\"101 %\"", "100"),
        (publish("every = \"1 s\", drift = \"5 %\""), "\"5 %\"", "ppm"),
        // What would be ignored.
        (fault("at = \"1 s\"\nbroker = \"pause\"\nfor = \"1 s\"\nwrite = \"2 s\""), "\"2 s\"", "for"),
        (fault("at = \"1 s\"\nbroker = \"kill\"\nfor = \"2 s\""), "\"2 s\"", "back_after"),
        (fault("at = \"1 s\"\nbroker = \"restart\"\nfor = \"2 s\""), "\"2 s\"", "back_after"),
        (fault("at = \"1 s\"\nbroker = \"pause\"\nfor = \"1 s\"\nback_after = \"2 s\""), "\"2 s\"", "for"),
        (
            link(
                "loss = { gilbert_elliott = { into_bad = \"1 %\", out_of_bad = \"9 %\" }, gilbert_elliott_time = { good = \"1 s\", bad = \"1 s\" } }",
            ),
            "",
            "exclude",
        ),
        (link("loss = { gilbert_elliott = { into_bad = \"0 %\", out_of_bad = \"9 %\" } }"), "\"0 %\"", "above 0"),
        (link("up = { trace = { csv = \"nowhere.csv\" } }"), "\"nowhere.csv\"", "cannot be read"),
        (link("up = { duty_cycle = \"0 %\" }"), "\"0 %\"", "0.01 %"),
        (link("sleep = { awake = \"1 s\", every = \"2 s\", window = \"2 s\" }"), "\"2 s\"", "shorter"),
        (link("jitter = { uniform = \"1 s\", normal = \"1 s\" }"), "{ uniform = \"1 s\", normal = \"1 s\" }", "one of"),
        (publish("every = \"1 s\", poisson = \"2/s\""), "\"2/s\"", "exclude"),
        (subscriber("filters = []"), "[]", "filter"),
        (subscriber("count = 1"), "s", "filters is missing"),
        (file("password = \"p\"", ""), "\"p\"", "user"),
        // What does not fit.
        (
            file("mqtt = \"5.0\"\nsession = \"persistent\"\nsession_expiry = \"4294967295 s\"", ""),
            "\"4294967295 s\"",
            "4294967294",
        ),
        (file("mqtt = \"5.0\"\nsession = \"persistent\"\nsession_expiry = \"500 ms\"", ""), "\"500 ms\"", "whole"),
        (file("session = \"persistent\"\nsession_expiry = \"5 s\"", ""), "\"5 s\"", "5.0"),
        (file("keep_alive = \"65536 s\"", ""), "\"65536 s\"", "65535"),
        (file("mqtt = \"5.0\"\nwill = { topic = \"w\", delay = \"1.5 s\" }", ""), "\"1.5 s\"", "whole"),
        (file(&format!("will = {{ topic = \"w\", payload = \"{long}\" }}"), ""), "", "65535"),
        (file(&format!("user = \"{long}\""), ""), "", "65535"),
        (file(&format!("publish = {{ topic = \"{long}\", every = \"1 s\" }}"), ""), "", "65,535"),
        (publish("every = \"1 s\", payload = \"15 B\""), "\"15 B\"", "16 B"),
        (publish("every = \"1 s\", payload = \"17 MiB\""), "\"17 MiB\"", "16 MiB"),
        (publish("every = \"1 s\", payload = { template = \"{id} {id}\" }"), "\"{id} {id}\"", "2 times"),
        (link("mtu = \"1000 B\"\nqueue = \"999 B\""), "\"999 B\"", "no full packet"),
        // Words.
        (expect("guarantees = [\"all\", \"qos1\"]"), "\"all\"", "stands alone"),
        (expect("guarantees = [\"qos1\", \"none\"]"), "\"none\"", "stands alone"),
        (expect("guarantees = [\"qos9\"]"), "\"qos9\"", "qos1"),
        (expect("thresholds = [\"count(lost) = 0\"]"), "\"count(lost) = 0\"", "count(lost) <= 0"),
        (expect("thresholds = [\"p99(end_to_end, fleet = a) == 3 s\"]"), "", "p99(end_to_end, fleet = a) <= 3 s"),
        (expect("thresholds = [\"p99(end_to_end, fleet = a)\"]"), "", "no comparison in it"),
        (expect("thresholds = [\"p99(end_too_end) < 3 s\"]"), "", "did you mean \"end_to_end\""),
        (link("like = \"nb-iot-ce7\""), "\"nb-iot-ce7\"", "did you mean \"nb-iot-ce0\"?"),
        (file("link = \"nb-iott\"", ""), "\"nb-iott\"", "did you mean \"nb-iot\"?"),
        (file("mqtt = \"5\"", ""), "\"5\"", "5.0"),
        // Keys.
        (file("qos = 1", ""), "qos", "publish = "),
        (file("keepalive = \"5 s\"", ""), "keepalive", "did you mean \"keep_alive\"?"),
        (file("count = 1", ""), "count", "\"sensors\""),
        (file("every = \"1 s\"", ""), "every", "publish = "),
        (file("drain = \"1 s\"", ""), "drain", "the top of the file"),
    ];
    for (text, marked, word) in cases {
        let shown = text.get(..600).unwrap_or(&text);
        let found = problems(&text);
        let [problem] = &found[..] else { panic!("one mistake, but {found:#?} in\n{shown}") };
        assert!(marked.is_empty() || &text[problem.span.clone()] == marked, "{problem:?} in\n{shown}");
        let said = format!("{} / {}", problem.message, problem.mend);
        assert!(said.contains(word), "{word:?} is not in {said:?} for\n{shown}");
    }
}

/// What is at the edge of what is refused, is not.
#[test]
fn what_is_just_legal_is_taken() {
    for text in [
        publish("poisson = \"1000/s\""),
        publish("every = \"1 ms\""),
        publish("every = \"1 s\", payload = \"16 MiB\""),
        publish("every = \"1 s\", payload = \"16 B\", burst = 100000"),
        link("outage = [{ at = \"0 s\", for = \"5 s\" }, { at = \"5 s\", for = \"1 s\" }]"),
        file("mqtt = \"5.0\"\nsession = \"persistent\"\nsession_expiry = \"4294967294 s\"", ""),
        file(
            "",
            "[[fault]]\nat = \"0 s\"\nbroker = \"kill\"\nback_after = \"1 s\"\n[[fault]]\nat = \"1 s\"\nbroker = \"kill\"",
        ),
        file("", "[subscriber.\"A-1_b.c\"]\nfilters = { filter = \"x/{fleet}/{sensor}/#\" }"),
        expect("guarantees = [\"none\"]"),
        expect("guarantees = \"all\""),
        file("", "").replace("duration", "tick = \"100 us\"\nduration"),
    ] {
        assert_eq!(problems(&text), vec![], "{text}");
    }
}

/// What no setting alone does wrong: too many clients, messages, bytes.
#[test]
fn the_whole_has_bounds() {
    let fleet = |n: u32, payload: &str, burst: u32| {
        format!(
            "[fleet.a{n}]\nsensors = {n}\npublish = {{ topic = \"t\", every = \"1 s\", payload = \"{payload}\", burst = {burst} }}\n"
        )
    };
    let cases = [
        (fleet(1_000_000, "16 B", 1) + &fleet(1, "16 B", 1), "1000001 clients"),
        (fleet(1000, "16 B", 20_000), "messages a second"),
        (fleet(1000, "16 MiB", 1), "31 GiB"),
    ];
    for (text, word) in cases {
        let found = problems(&format!("duration = \"10 s\"\n{text}"));
        let [problem] = &found[..] else { panic!("{found:?}") };
        assert!(problem.is_of_file() && problem.message.contains(word), "{problem:?}");
    }
    let text = format!("duration = \"100 days\"\n{}", fleet(1, "16 B", 1000));
    assert!(problems(&text)[0].message.contains("numbered"), "a message's number has 32 bits");
}

#[test]
fn what_is_missing_from_the_file_marks_no_line() {
    let found = problems("[fleet.a]\nsensors = 1\nsubscribe = { filter = \"#\" }\n");
    assert!(found.len() == 1 && found[0].is_of_file() && found[0].message.contains("duration"), "{found:?}");
    let errors = parse("t.toml", "[fleet.a]\nsensors = 1\nsubscribe = { filter = \"#\" }\n").expect_err("no duration");
    assert!(!errors.render(false).contains(" | "), "{}", errors.render(false));
    // Without a duration nothing is said to be too late.
    let found = problems(
        "[link.l]\noutage = { at = \"1 h\", for = \"1 s\" }\n[fleet.a]\nsensors = 1\nlink = \"l\"\nsubscribe = { filter = \"#\" }\n",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(problems("").len(), 2, "no duration, and nothing in it");
}

#[test]
fn syntax_errors_are_sorted_and_each_is_said_once() {
    for text in ["name = \"x\nduration = 3 s\n[fleet.a\nsensors = = 3\n", "a = 1\na = 2\na = 3\n[b\n[c\n", "x = [1,\n"]
    {
        let found = problems(text);
        assert!(!found.is_empty());
        let mut places: Vec<_> = found.iter().map(|p| (p.span.start, p.span.end, p.message.clone())).collect();
        assert!(places.is_sorted(), "{places:?}");
        let before = places.len();
        places.dedup();
        assert_eq!(places.len(), before, "{places:?}");
    }
}

/// The mark stands under the text that it means, whatever is before it.
#[test]
fn marks_stand_under_their_text() {
    let long = "x".repeat(300);
    let files = [
        ("\tmqtt\t=\t\"9\"".to_owned(), "\"9\""),
        ("user = \"ü\u{1b}[31m\"".into(), "\u{b7}"),
        ("publish = { topic = \"ü€\", every = \"1 s\", qos = 7 }".into(), "7"),
        (format!("publish = {{ topic = \"{long}\", every = \"1 s\", qos = 7 }}"), "7"),
    ];
    for (fleet, marked) in files {
        let text = file(&fleet, "").replace('\n', "\r\n");
        let shown = parse("t.toml", &text).expect_err("a mistake").render(false);
        let lines: Vec<Vec<char>> = shown.lines().map(|l| l.chars().collect()).collect();
        let mark = lines.iter().position(|l| l.contains(&'^')).expect("a mark");
        let from = lines[mark].iter().position(|c| *c == '^').expect("a mark");
        let width = lines[mark].iter().filter(|c| **c == '^').count();
        let above: String = lines[mark - 1][from..from + width].iter().collect();
        assert_eq!(above, marked, "{shown}");
        assert!(!shown.contains(['\t', '\u{1b}', '\r']), "{shown:?}");
        assert!(lines[mark - 1].len() < 160, "{shown}");
    }
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let folder = std::env::temp_dir().join(format!("squall-test-scenario-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("writable");
    std::fs::write(folder.join("latin.toml"), b"# one\nname = \"caf\xe9\"\n").expect("writable");
    let said = |name: &str| squall::scenario::load(&folder.join(name)).expect_err("unreadable").render(false);
    let latin = said("latin.toml");
    assert!(latin.contains("UTF-8") && latin.contains("line 2") && !latin.contains("did you mean"), "{latin}");
    let near = said("latine.toml");
    assert_eq!(near.matches("latin.toml").count(), 1, "{near}");
    assert!(!said("").contains("did you mean"), "a folder is not near to its files");
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn nearest_names_are_listed_once() {
    // A link of one's own and a preset, both near.
    let text = file("link = \"nb-iot-cee\"", "[link.nb-iot-cex]\nlike = \"nb-iot\"");
    let mend = &problems(&text)[0].mend;
    for name in ["nb-iot-ce0,", "nb-iot-cex,", "none;"] {
        assert_eq!(mend.matches(name).count(), 1, "{mend}");
    }
}

fn scenario(text: &str) -> model::Scenario {
    parse("t.toml", text).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

#[test]
fn settings_of_both_directions_stand_for_each() {
    let s = scenario(&link(
        "like = \"gprs\"\nqueue = \"4 KiB\"\njitter = { pareto = \"7 ms\" }\ndown = { queue = \"9 KiB\" }\noutage = [{ at = \"9 s\", for = \"1 s\" }, { at = \"2 s\", for = \"1 s\" }]",
    ));
    let spec = &s.fleets[0].device.link.as_ref().expect("a link").spec;
    assert_eq!((spec.up.queue, spec.down.queue), (Some(4096), Some(9216)));
    let jitter = Jitter::Pareto(Duration::from_millis(7));
    assert_eq!((spec.up.jitter, spec.down.jitter), (jitter, jitter));
    let outage = |at| Outage { at: Instant::from_millis(at), lasts: Duration::from_secs(1) };
    assert_eq!(spec.outages, [outage(2000), outage(9000)]);
}

/// Everything that a link can be told: read, explained, and written as it was read.
#[test]
fn every_setting_of_a_link_is_read_explained_and_written() {
    let folder = std::env::temp_dir().join(format!("squall-links-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("site.csv"), "time,rate\n0,9000\n5,0\n").expect("writable");
    std::fs::write(folder.join("cell"), "3\n9\n").expect("writable");
    let text = link(
        "queue_packets = 9\nduplicate = \"1 %\"\ncorrupt = \"0.5 %\"\nhalf_duplex = true\nsleep = { awake = \"10 s\", every = \"20.48 s\" }\nup = { duty_cycle = \"10 %\", trace = { csv = \"site.csv\" }, loss = { four_state = { p13 = \"1 %\", p31 = \"20 %\", p32 = \"10 %\", p23 = \"30 %\", p14 = \"0.5 %\" } } }\ndown = { trace = { mahimahi = \"cell\" }, queue = \"4 KiB\", overhead = \"8 B\", reorder = true, jitter = { pareto = \"5 ms\" } }",
    );
    let name = folder.join("t.toml").display().to_string();
    let s = parse(&name, &text).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let spec = &s.fleets[0].device.link.as_ref().expect("a link").spec;
    assert_eq!((spec.up.queue_packets, spec.down.queue_packets, spec.up.duplicate), (Some(9), Some(9), 0.01));
    assert_eq!(spec.sleep.expect("it sleeps").window, Duration::from_millis(2_560));
    let told = explain::explain(&s);
    for words in ["1 % arrive twice", "10 % of the time at most", "site.csv", "listens every 20.48 s", "9 packets"] {
        assert!(told.contains(words), "{words:?} is not in\n{told}");
    }
    let written = squall::scenario::write::write(&s);
    let again = parse("elsewhere.toml", &written).unwrap_or_else(|e| panic!("{}", e.render(false)));
    assert_eq!(again.fleets[0].device.link.as_ref().expect("a link").spec, *spec, "{written}");
    // Mistakes in a recording are told with its line.
    std::fs::write(folder.join("site.csv"), "time,rate\n0,9000\n5,fast\n").expect("writable");
    let errors = parse(&name, &text).expect_err("a mistake").render(false);
    assert!(errors.contains("line 3 of site.csv"), "{errors}");
    std::fs::remove_dir_all(&folder).expect("there");
}

/// The explanation's bytes are those that the codec writes, in both versions and at every QoS.
#[test]
fn a_publish_is_as_long_as_the_codec_writes_it() {
    use squall::mqtt::{PacketId, QoS, Version, codec};
    for (version, word) in [(Version::V311, "3.1.1"), (Version::V5, "5.0")] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for payload in [16, 100, 112, 120, 121, 122, 123, 200, 16_370, 16_380, 2_100_000] {
                let settings = format!(
                    "topic = \"a/{{sensor}}/{{fleet}}\", qos = {}, payload = \"{payload} B\", every = \"1 s\"",
                    qos as u8
                );
                let s = scenario(&file(&format!("mqtt = \"{word}\"\npublish = {{ {settings} }}"), ""));
                let mut packet = Vec::new();
                let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
                let header = codec::PublishHeader { dup: false, qos, retain: false, topic: "a/2/a", packet_id };
                codec::encode_publish(version, header, &vec![0; payload], &mut packet);
                let fleet = &s.fleets[0];
                let told = publish_bytes(fleet, fleet.publish.as_ref().expect("it publishes"), 2);
                assert_eq!(told as usize, packet.len(), "{word} {qos:?} {payload}");
            }
        }
    }
}

#[test]
fn loads_and_copies_are_counted() {
    let text = r##"
duration = "20 s"
[fleet.a]
sensors = 10
publish = { topic = "a/{sensor}", qos = 1, payload = "20 B", every = "2 s", burst = 3 }
subscribe = { filter = "b/{sensor}" }
[fleet.b]
sensors = 4
mqtt = "5.0"
publish = { topic = "b/{sensor}", qos = 2, payload = "20 B", poisson = "30/min", duty = { on = "1 s", off = "3 s" } }
subscribe = [{ filter = "b/+", no_local = true }, { filter = "b/0" }]
[subscriber.all]
count = 2
filters = [{ filter = "#" }, { filter = "a/#" }]
[subscriber.workers]
count = 5
filters = [{ filter = "a/#", share = "w" }]
"##;
    let s = scenario(text);
    let l = load(&s);
    // a: 10 x 3 / 2 s; b: 4 x 0.5/s x a quarter.
    assert_eq!((l.clients, l.rate, l.messages), (21, 15.5, 310.0));
    // a: 2 + 2 + 3 + 2 + 20 = 29 B and 4 back; b: 2 + 2 + 3 + 2 + 1 + 20 = 30 B and PUBREL 4, 8 back.
    assert!((l.bytes_in - (15.0 * 29.0 + 0.5 * 34.0)).abs() < 1e-6, "{l:?}");
    assert!((l.bytes_back - (15.0 * 4.0 + 0.5 * 8.0)).abs() < 1e-6, "{l:?}");
    // a: two at "#" and one worker. b, each 0.125/s: one of fleet a, two at "#", three others of b; and b-0 itself once
    // more, by its filter without no_local.
    let d = deliveries::deliveries(&s).expect("few pairs");
    assert!((d.rate - (15.0 * 3.0 + 0.125 * (6.0 * 4.0 + 1.0))).abs() < 1e-9, "{d:?}");
}

#[test]
fn the_explanation_has_no_words_of_the_program() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    for entry in std::fs::read_dir(folder).expect("there").map(|e| e.expect("readable").path()) {
        let s = squall::scenario::load(&entry).unwrap_or_else(|e| panic!("{}", e.render(false)));
        let text = explain::explain(&s);
        for word in ["Some(", "None", "Kill", "Pause", "Flash", "Nothing", "Duration", "Instant", "000s", "NaN", "inf"]
        {
            assert!(!text.contains(word), "{word} in\n{text}");
        }
        assert!(text.lines().all(|l| l.chars().count() <= 130), "{text}");
    }
}

#[test]
fn the_explanation_tells_outages_faults_and_bytes() {
    let more = "[link.mine]\noutage = { at = \"12 s\", for = \"3 s\" }\n[[fault]]\nat = \"20 s\"\nbroker = \"slow-disk\"\nfor = \"2 s\"\nwrite = \"30 ms\"\n[[fault]]\nat = \"5 s\"\nbroker = \"kill\"\nback_after = \"1500 ms\"\n[expect]\nguarantees = \"none\"\n";
    let text = explain::explain(&scenario(&file(
        "link = \"mine\"\npower = { cut_every = \"90 s\", off = \"4 s\", keeps = \"nothing\" }\nreboot = [{ at = \"8 s\", share = \"50 %\", off = \"2 s\" }]",
        more,
    )));
    for words in [
        "outage from 12 s to 15 s",
        "at 5 s: killed, started again 1.5 s later",
        "forgets everything",
        "at 8 s 50 % of them reboot, and connect 2 s later; each keeps session and outbox, in flash",
        "at 20 s: its disk is slow for 2 s: 30 ms more for each packet that changes what it keeps",
        "no guarantee",
        "about 90 messages, 3 a second",
        "213 B a second", // 3 x (2 + 2 + 3 + 64)
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

/// Quick start is what its comment says.
#[test]
fn quick_start_has_three_fleets_on_three_links() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quickstart.toml");
    let s = squall::scenario::load(&path).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let behind: Vec<_> = s.fleets.iter().filter(|f| f.device.link.is_some()).collect();
    assert_eq!(behind.iter().map(|f| f.sensors).sum::<u32>(), 300);
    let qos: Vec<u8> = behind.iter().filter_map(|f| f.publish.as_ref()).map(|p| p.qos).collect();
    assert_eq!(qos, [0, 1, 2]);
    let links: std::collections::BTreeSet<&str> =
        behind.iter().filter_map(|f| f.device.link.as_ref()).map(|l| l.name.as_str()).collect();
    assert_eq!(links.len(), 3);
    assert!(behind.iter().filter(|f| !f.device.subscriptions.is_empty()).count() >= 1, "some take commands");
    assert_eq!(s.duration, Duration::from_secs(30));
    let away = |g: &&model::SubscriberGroup| !g.device.offline.is_empty();
    let away = s.subscribers.iter().find(away).expect("one goes offline");
    assert!(matches!(away.device.session, model::SessionSpec::Persistent(_)));
}

#[test]
fn an_engine_needs_a_link_and_is_written_again() {
    let text = |engine: &str, link: &str| {
        format!(
            "duration = \"1 s\"\nengine = \"{engine}\"\n[fleet.a]\nsensors = 1\n{link}\npublish = {{ topic = \"t\", every = \"1 s\" }}\n"
        )
    };
    let parse = |text: &str| squall::scenario::parse("test.toml", text);
    let link = "link = \"lte-m\"";
    let s = parse(&text("smoltcp-kernel", link)).expect("legal");
    assert_eq!(s.engine, squall::link::Engine::SmoltcpKernel);
    let again = squall::scenario::write::write(&s);
    assert_eq!(parse(&again).expect("legal").engine, s.engine, "{again}");
    assert!(explain::explain(&s).contains("takes root"));
    for (wrong, says) in [(text("kernel", ""), "no link for this engine"), (text("tcp", link), "smoltcp-kernel")] {
        let errors = parse(&wrong).expect_err("wrong").render(false);
        assert!(errors.contains("1 error") && errors.contains(says), "{errors}");
    }
}
