//! Virtual time: repeatable to the byte, and the same judgement as in real time.

mod support;

use squall::broker::defects::Strike;
use squall::promise::Guarantee;
use squall::scenario::{self, model::Features, model::Scenario};
use squall::simulate::shrink::shrink;
use squall::simulate::{Durable, Settings, simulate, simulate_tapped};
use squall::time::Duration;
use squall::trace::What;
use squall::verdict::outcome::Outcome as Standing;
use std::path::Path;
use support::{SMALL, Scratch, squall};

fn parse(text: &str) -> Scenario {
    scenario::parse("test.toml", text).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

fn with_seed(seed: u64) -> Settings {
    Settings { seed, ..Settings::default() }
}

/// The keys of the guarantees that were broken, and the names of the breaches.
fn broken(scenario: &Scenario, settings: &Settings) -> (Vec<&'static str>, Vec<&'static str>) {
    let outcome = simulate(scenario, settings, |_| true);
    let broken = outcome.verdicts.guarantees.iter().filter(|j| j.outcome == Standing::Broken);
    let (mut keys, mut names) = (Vec::new(), Vec::new());
    for judgement in broken {
        keys.push(judgement.guarantee.key());
        names.extend(judgement.breaches.iter().map(|(name, _)| *name));
    }
    (keys, names)
}

/// Two runs of the command write the same files, but for nothing.
#[test]
fn the_same_seed_writes_the_same_files() {
    let scratch = Scratch::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quickstart.toml");
    let run = |out: &str| {
        let out = scratch.0.join(out);
        let output = squall().arg("simulate").arg(&file).arg("--out").arg(&out).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        out.join("quickstart-1")
    };
    let (a, b) = (run("a"), run("b"));
    let mut names: Vec<_> = std::fs::read_dir(&a).expect("written").map(|e| e.expect("readable").file_name()).collect();
    names.sort();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let read = |folder: &Path| std::fs::read(folder.join(&name)).expect("written");
        assert!(read(&a) == read(&b), "{name:?} differs");
    }
}

/// Everything that happened, in order.
fn history(scenario: &Scenario, settings: &Settings) -> Vec<String> {
    let mut all = Vec::new();
    let _ = simulate_tapped(scenario, settings, &mut |_| true, &mut |e| all.push(format!("{e:?}")));
    all
}

const HARD_LINKS: &str = r##"
ramp = "5 s"
duration = "4 min"
[fleet.meter]
sensors = 40
link = "nb-iot-ce1"
keep_alive = "20 s"
session = "persistent"
publish = { topic = "m/{sensor}", qos = 2, poisson = "10/min" }
power = { cut_every = "60 s", off = "10 s", keeps = "nothing" }
[fleet.valve]
sensors = 10
link = "far"
mqtt = "5.0"
publish = { topic = "v/{sensor}", qos = 1, every = "3 s", burst = 3 }
subscribe = [{ filter = "c/{sensor}", qos = 1 }]
[fleet.near]
sensors = 5
link = "wire"
publish = { topic = "n/{sensor}", qos = 1, every = "1 s" }
[subscriber.all]
session = "persistent"
filters = [{ filter = "#", qos = 2 }]
offline = [{ at = "60 s", for = "20 s" }]
[link.far]
delay = "300 ms"
loss = "20 %"
outage = [{ at = "100 s", for = "40 s" }]
[link.wire]
delay = "0 s"
[[fault]]
at = "90 s"
broker = "pause"
for = "5 s"
[[fault]]
at = "150 s"
broker = "kill"
back_after = "5 s"
"##;

/// How many threads there are decides nothing; nor does it matter that sensors run ahead of the broker, but for the order of
/// what happens at one instant. (A defect that never strikes keeps them from running ahead.)
#[test]
fn threads_and_running_ahead_change_nothing() {
    let scenario = parse(HARD_LINKS);
    let one = history(&scenario, &with_seed(4));
    assert!(one.len() > 3000, "{}", one.len());
    for threads in [2, 5] {
        assert!(history(&scenario, &Settings { threads, ..with_seed(4) }) == one, "{threads} threads");
    }
    let never = vec!["lose-acked:4000000000".parse().expect("known")];
    let mut in_step = history(&scenario, &Settings { defects: never, ..with_seed(4) });
    let mut ahead = one;
    in_step.sort();
    ahead.sort();
    assert!(in_step == ahead);
}

/// The same of random scenarios, whose sensors mostly may run ahead; now and then one has a slow disk or the like, and none may.
#[test]
fn threads_and_running_ahead_change_nothing_at_random() {
    let count = std::env::var("SQUALL_SCENARIOS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let never: Vec<_> = vec!["lose-acked:4000000000".parse().expect("known")];
    for seed in 1..=count {
        let scenario = parse(&squall::simulate::grammar::generate(seed));
        let mut one = history(&scenario, &with_seed(seed));
        assert!(history(&scenario, &Settings { threads: 3, ..with_seed(seed) }) == one, "seed {seed}: three threads");
        let mut in_step = history(&scenario, &Settings { defects: never.clone(), ..with_seed(seed) });
        in_step.sort();
        one.sort();
        assert!(in_step == one, "seed {seed}: in step");
    }
}

#[test]
fn another_seed_is_another_run() {
    let scenario = parse(SMALL);
    assert_ne!(history(&scenario, &with_seed(1)), history(&scenario, &with_seed(2)));
}

/// Power cuts that erase memory make clean starts: no session was invented by them.
#[test]
fn a_bad_day_breaks_nothing() {
    let scenario = parse(include_str!("../scenarios/bad-day.toml"));
    for seed in 1..=5 {
        assert_eq!(broken(&scenario, &with_seed(seed)).1, Vec::<&str>::new(), "seed {seed}");
    }
}

/// Every sensor draws from its own streams: the others' lives do not change when one is taken away.
#[test]
fn removing_a_sensor_changes_no_other() {
    let text = |sensors: u32| {
        format!(
            r##"
ramp = "2 s"
duration = "60 s"
[fleet.s]
sensors = {sensors}
session = "persistent"
link = "bad"
publish = {{ topic = "t/{{sensor}}", qos = 2, poisson = "20/min" }}
power = {{ cut_every = "20 s", off = "2 s", keeps = "flash" }}
[fleet.other]
sensors = 5
link = "nb-iot"
publish = {{ topic = "o/{{sensor}}", qos = 1, every = "7 s" }}
[subscriber.all]
filters = [{{ filter = "#", qos = 2 }}]
[link.bad]
loss = "10 %"
delay = "50 ms"
rate = "20 kbit/s"
"##
        )
    };
    let lives = |sensors: u32| {
        let scenario = parse(&text(sensors));
        let drain_from = 62_000_000_000;
        let mut lives = std::collections::BTreeMap::<String, Vec<String>>::new();
        let mut events = Vec::new();
        let outcome = simulate_tapped(&scenario, &with_seed(3), &mut |_| true, &mut |e| events.push(*e));
        for event in events {
            let name = outcome.promises.name(event.client).to_owned();
            let tells = !matches!(event.what, What::Delivered(_)) && event.at.as_nanos() < drain_from;
            if tells {
                lives.entry(name).or_default().push(format!("{:?} {:?}", event.at, event.what));
            }
        }
        lives
    };
    let (all, fewer) = (lives(11), lives(10));
    for (name, life) in fewer {
        assert!(life.len() > 3, "{name} lives");
        assert_eq!(all[&name], life, "{name}");
    }
}

/// Each deliberate defect is caught by the oracle that it offends, by name.
#[test]
fn defects_are_caught_by_name() {
    let scenario = parse(SMALL);
    for (defect, guarantee, breach) in [
        ("lose-acked:50", "qos1", "lost"),
        ("duplicate-qos2:50", "qos2", "duplicated"),
        ("duplicate-qos0:50", "qos0", "duplicated"),
        ("reorder:50", "order", "out of order"),
        ("corrupt-payload:50", "payload", "corrupt"),
        ("misroute:50", "routing", "wrong subscription"),
        ("drop-offline:2", "qos2", "lost"),
        ("forget-session:1", "session", "session forgotten"),
        ("invent-session:1", "session", "session invented"),
        ("stray-ack:20", "protocol", "unexpected packet"),
        ("swallow-ack:50", "liveness", "stuck"),
    ] {
        let strike: Strike = defect.parse().expect("known");
        let (keys, names) = broken(&scenario, &Settings { defects: vec![strike], ..with_seed(1) });
        assert!(keys.contains(&guarantee) && names.contains(&breach), "{defect}: {keys:?} {names:?}");
    }
    assert_eq!(broken(&scenario, &with_seed(1)).1, Vec::<&str>::new());
}

/// Lossless latencies are exact: connections without delay, and the broker's stated work.
#[test]
fn latency_is_the_service() {
    let scenario = parse(
        r##"
ramp = "1 s"
duration = "10 s"
[fleet.s]
sensors = 1
publish = { topic = "t", qos = 1, every = "1 s" }
[subscriber.all]
filters = [{ filter = "#", qos = 1 }]
"##,
    );
    let settings = Settings { service: Duration::from_micros(70), ..Settings::default() };
    let (mut sent, mut delays) = (Vec::new(), Vec::new());
    let _ = simulate_tapped(&scenario, &settings, &mut |_| true, &mut |e| match e.what {
        What::Sent(_) => sent.push(e.at),
        What::Acked { number, .. } => delays.push(e.at.since(sent[number as usize])),
        _ => {}
    });
    assert_eq!(delays, vec![Duration::from_micros(70); 10]);
}

const FAULTS: &str = r##"
ramp = "1 s"
duration = "30 s"
drain = "60 s"
[fleet.s]
sensors = 10
session = "persistent"
reconnect = { first = "200 ms", longest = "1 s" }
publish = { topic = "t/{sensor}", qos = 1, every = "500 ms" }
[subscriber.all]
session = "persistent"
filters = [{ filter = "#", qos = 1 }]
offline = [{ at = "9 s", for = "3 s" }]
[[fault]]
at = "10 s"
broker = "kill"
back_after = "1 s"
[[fault]]
at = "20 s"
broker = "pause"
for = "3 s"
"##;

/// A broker that keeps what it had owes it after a kill; one that keeps nothing is excused, by name.
#[test]
fn kills_and_durability() {
    let scenario = parse(FAULTS);
    let durable = simulate(&scenario, &Settings { durable: Durable::Always, ..with_seed(2) }, |_| true);
    assert!(durable.verdicts.guarantees.iter().all(|j| j.outcome != Standing::Broken), "{:?}", durable.verdicts);
    assert_eq!(durable.verdicts.excuses.iter().map(|e| e.count).sum::<u64>(), 0, "{:?}", durable.verdicts.excuses);
    let forgetful = simulate(&scenario, &with_seed(2), |_| true);
    assert!(forgetful.verdicts.guarantees.iter().all(|j| j.outcome != Standing::Broken), "{:?}", forgetful.verdicts);
    let killed = forgetful.verdicts.excuses.iter().filter(|e| e.reason.contains("killed"));
    assert!(killed.map(|e| e.count).sum::<u64>() > 0, "{:?}", forgetful.verdicts.excuses);
    let strict = simulate(&scenario, &Settings { strict: true, ..with_seed(2) }, |_| true);
    assert!(strict.verdicts.guarantees.iter().any(|j| j.outcome == Standing::Broken));
}

/// What an orderly restart may take is another matter than what a kill may.
#[test]
fn a_broker_may_keep_over_a_restart_what_a_kill_takes() {
    let excused = |fault: &str, durable: Durable| {
        let scenario = parse(&FAULTS.replace("broker = \"kill\"", &format!("broker = \"{fault}\"")));
        let verdicts = simulate(&scenario, &Settings { durable, ..with_seed(2) }, |_| true).verdicts;
        assert!(verdicts.guarantees.iter().all(|j| j.outcome != Standing::Broken), "{fault} {durable:?}: {verdicts:?}");
        verdicts.excuses.iter().map(|e| e.count).sum::<u64>() > 0
    };
    let both = |fault| [Durable::No, Durable::Restart, Durable::Always].map(|durable| excused(fault, durable));
    assert_eq!((both("kill"), both("restart")), ([true, true, false], [true, false, false]));
}

const DISK: &str = r##"
ramp = "0 s"
duration = "20 s"
[fleet.s]
sensors = 1
publish = { topic = "t", qos = 1, every = "1 s" }
[[fault]]
at = "5 s"
broker = "slow-disk"
for = "10 s"
write = "30 ms"
"##;

/// A slow disk costs each packet that is written down, while it is slow; the service time costs each packet, and adds up.
#[test]
fn a_slow_disk_shows() {
    let delays = |text: &str| {
        let settings = Settings { service: Duration::from_millis(2), ..Settings::default() };
        let (mut sent, mut delays) = (Vec::new(), Vec::new());
        let _ = simulate_tapped(&parse(text), &settings, &mut |_| true, &mut |e| match e.what {
            What::Sent(_) => sent.push(e.at),
            What::Acked { number, .. } => delays.push(e.at.since(sent[number as usize]).as_millis()),
            _ => {}
        });
        assert_eq!(delays.len(), 20);
        assert_eq!(delays.iter().filter(|d| ![2, 4, 32, 34].contains(*d)).count(), 0, "{delays:?}");
        delays.iter().filter(|d| **d >= 32).count()
    };
    assert_eq!(delays(DISK), 10);
    assert_eq!(delays(&DISK.replace("qos = 1", "qos = 1, retain = false").replace("30 ms", "1 ns")), 0);
}

/// Nobody's disk can be slowed from outside: whatever runs in real time says so at once, with place and mend, and starts nothing.
#[test]
fn a_slow_disk_is_refused_in_real_time_before_anything_starts() {
    let scratch = Scratch::new();
    let file = scratch.file("disk.toml", DISK);
    let out = scratch.0.join("reports");
    for (command, more) in
        [("run", &["--target", "mosquitto"][..]), ("compare", &["--targets", "reference,mosquitto"]), ("capacity", &[])]
    {
        let output = squall().arg(command).arg(&file).args(more).arg("--out").arg(&out).output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{command}: {told}");
        for part in [
            "disk.toml: 1 error, nothing was started",
            "9 | broker = \"slow-disk\"",
            "a slow disk exists in virtual time only",
            "use squall simulate",
            "io.max",
        ] {
            assert!(told.contains(part), "{command}, {part}: {told}");
        }
        assert!(!out.exists(), "{command}");
    }
    let output = squall().args(["scenario", "check"]).arg(&file).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "virtual time can: {told}");
    assert!(told.contains("fine for squall simulate and explore alone: line 9"), "{told}");
}

/// A broker that runs 20 ms of each 100 ms answers what comes in the other 80 ms late, by less than those, and breaks nothing.
#[test]
fn a_cpu_limit_shows() {
    let text = DISK
        .replace("\"1 s\" }", "\"10 ms\" }")
        .replace("slow-disk", "slow-cpu")
        .replace("write = \"30 ms\"", "runs = \"20 ms\"");
    let (mut sent, mut late, mut longest) = (Vec::new(), 0, Duration::ZERO);
    let outcome = simulate_tapped(&parse(&text), &Settings::default(), &mut |_| true, &mut |e| match e.what {
        What::Sent(_) => sent.push(e.at),
        What::Acked { number, .. } => {
            let took = e.at.since(sent[number as usize]);
            late += u32::from(took > Duration::from_millis(5));
            longest = longest.max(took);
        }
        _ => {}
    });
    // 1,000 messages in the ten seconds, 80 % of them while it is stopped, of which some wait less than 5 ms.
    assert!((700..=800).contains(&late), "{late} late");
    assert!(longest <= Duration::from_millis(80) && longest > Duration::from_millis(60), "{longest:?}");
    assert!(outcome.faults.iter().any(|f| f.what == "CPU limit: the broker handles nothing for 80 ms of each 100 ms"));
    assert!(outcome.verdicts.guarantees.iter().all(|j| j.outcome != Standing::Broken), "{:?}", outcome.verdicts);
}

/// A storm hits the share that it says, all at one instant; each draws for itself. What they keep decides about their sessions.
#[test]
fn reboot_storms_hit_their_share() {
    let text = |keeps: &str, sensors: u32| {
        format!(
            r##"
ramp = "1 s"
duration = "30 s"
[fleet.s]
sensors = {sensors}
session = "persistent"
link = "lte-m"
publish = {{ topic = "t/{{sensor}}", qos = 1, every = "2 s" }}
reboot = [{{ at = "10 s", share = "30 %", off = "3 s", keeps = "{keeps}" }}, {{ at = "20 s" }}]
[subscriber.all]
filters = [{{ filter = "#", qos = 1 }}]
"##
        )
    };
    let hits = |keeps: &str, sensors: u32| {
        let scenario = parse(&text(keeps, sensors));
        let mut cut = std::collections::BTreeMap::<u64, Vec<String>>::new();
        let (mut events, mut forgot) = (Vec::new(), 0);
        let outcome = simulate_tapped(&scenario, &with_seed(5), &mut |_| true, &mut |e| events.push(*e));
        for e in events {
            if let What::Disconnected { by: squall::trace::EndedBy::PowerCut, .. } = e.what {
                cut.entry(e.at.as_nanos() / 1_000_000).or_default().push(outcome.promises.name(e.client).to_owned());
            }
            forgot += u32::from(e.what == What::MemoryLost);
        }
        assert!(outcome.verdicts.guarantees.iter().all(|j| j.outcome != Standing::Broken), "{:?}", outcome.verdicts);
        assert_eq!(outcome.faults.iter().filter(|f| f.what.ends_with("s rebooted")).count(), 2);
        assert_eq!(cut.keys().copied().collect::<Vec<_>>(), [10_000, 20_000]);
        (cut[&10_000].clone(), cut[&20_000].len(), forgot)
    };
    let (some, all, forgot) = hits("nothing", 100);
    assert!((15..=45).contains(&some.len()), "three standard deviations: {}", some.len());
    assert_eq!((all, forgot as usize), (100, some.len()));
    assert_eq!(hits("flash", 100), (some.clone(), 100, 0));
    // Whether one is hit is its own affair.
    let fewer = hits("flash", 60).0;
    assert!(some.starts_with(&fewer), "{some:?} {fewer:?}");
}

/// Each sensor has a clock of its own, within what is said.
#[test]
fn clocks_drift_each_at_its_own_rate() {
    let text = "ramp = \"0 s\"\nduration = \"1000 s\"\n[fleet.s]\nsensors = 50\npublish = { topic = \"t\", every = \"10 s\", drift = \"1000 ppm\" }";
    let mut sent: Vec<Vec<f64>> = vec![Vec::new(); 50];
    let _ = simulate_tapped(&parse(text), &with_seed(1), &mut |_| true, &mut |e| {
        if let What::Sent(s) = e.what {
            sent[e.client.index()].push(s.intended.as_secs_f64());
        }
    });
    let rates: Vec<f64> = sent.iter().map(|s| 980.0 / (s[98] - s[0]) * 1e6 - 1e6).collect();
    assert!(rates.iter().all(|r| r.abs() < 1002.0), "{rates:?}");
    let (fast, slow) = (rates.iter().filter(|r| **r > 300.0).count(), rates.iter().filter(|r| **r < -300.0).count());
    assert!(fast >= 8 && slow >= 8, "evenly drawn: {rates:?}");
}

/// A broker that stands still for 3 s shows in the latencies from the intended time.
#[test]
fn a_freeze_shows() {
    let scenario = parse(FAULTS);
    let outcome = simulate(&scenario, &Settings { durable: Durable::Always, ..with_seed(2) }, |_| true);
    let latencies = outcome.summary.groups.iter().flat_map(|g| &g.latencies);
    let acks = latencies.filter(|l| l.latency == squall::promise::Latency::PublishAck);
    let longest = acks.map(|l| l.intended.max()).max().expect("measured");
    assert!((2_900_000_000..3_100_000_000).contains(&longest), "{longest}");
    assert!(outcome.faults.iter().any(|f| f.what == "broker paused"));
}

/// A defect is found, made small, and written as a file that shows it again.
#[test]
fn explore_finds_and_shrinks() {
    let scratch = Scratch::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quickstart.toml");
    let small = scratch.0.join("small.toml");
    let output = squall()
        .args(["explore", "--seeds", "20", "--defect", "duplicate-qos2:3", "--out"])
        .arg(&small)
        .arg(&file)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let text = std::fs::read_to_string(&small).expect("written");
    let scenario = parse(&text);
    let sensors: u32 = scenario.fleets.iter().map(|f| f.sensors).sum();
    assert!(sensors <= 3 && scenario.faults.len() <= 1, "{text}");
    assert!(text.starts_with("# Shrunk from") && text.contains("must show that QoS 2 breaks"), "{text}");
    let output = squall()
        .args(["simulate", "--defect", "duplicate-qos2:3", "--out"])
        .args([&scratch.0, &small])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let healthy = squall().args(["simulate", "--out"]).args([&scratch.0, &small]).output().expect("it starts");
    assert_ne!(healthy.status.code(), Some(1), "{}", String::from_utf8_lossy(&healthy.stdout));
}

/// In a hard scenario, a QoS 2 message comes once more when a client takes its own session over: found, made small, and the
/// file that is written shows it again, and nothing else.
#[test]
fn a_take_over_bug_is_made_small() {
    const DEFECT: [&str; 2] = ["--defect", "twice-at-take-over:1"];
    let scratch = Scratch::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/brutal.toml");
    let small = scratch.0.join("small.toml");
    let output = squall()
        .args(["explore", "--seeds", "20"])
        .args(DEFECT)
        .arg("--out")
        .args([&small, &file])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let text = std::fs::read_to_string(&small).expect("written");
    let s = parse(&text);
    let sensors: u32 = s.fleets.iter().map(|f| f.sensors).sum();
    let take_overs: usize = s.devices().map(|d| d.features.take_over.len()).sum();
    assert!(sensors <= 3 && s.faults.len() <= 1 && take_overs == 1, "{text}");
    assert_eq!(s.expect.guarantees, [Guarantee::Qos2], "{text}");
    let simulate = |more: &[&str]| {
        let output = squall().args(["simulate", "--out"]).args([&scratch.0, &small]).args(more).output();
        output.expect("it starts").status.code()
    };
    assert_eq!(simulate(&DEFECT), Some(1), "{text}");
    assert_ne!(simulate(&[]), Some(1), "{text}");
    let defects = vec!["twice-at-take-over:1".parse().expect("known")];
    assert_eq!(broken(&s, &Settings { defects, ..with_seed(s.seed) }).0, ["qos2"], "{text}");
}

/// One failure ends the search; `--all` goes on, and tells each seed that failed.
#[test]
fn explore_collects_all_failures_if_it_is_told_to() {
    let scratch = Scratch::new();
    let file = scratch.file("small.toml", SMALL);
    let explore = |more: &[&str]| {
        let mut command = squall();
        command.args(["explore", "--no-shrink", "--first", "5", "--defect", "duplicate-qos2:20"]).args(more);
        let output = command.arg(&file).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    };
    let all = explore(&["--all", "--seeds", "6"]);
    assert!(all.contains("small: 6 seeds in ") && all.contains("; 6 failed"), "{all}");
    let told: Vec<&str> = all.lines().filter_map(|l| l.strip_prefix("  seed ")?.split(' ').next()).collect();
    assert_eq!(told, ["5", "6", "7", "8", "9", "10"], "{all}");
    assert!(all.contains("again: squall simulate") && all.contains(" --seed 5 "), "the first is shown again: {all}");
    // Whoever else is at work then ends its seed.
    let first = explore(&["--seeds", "1000"]);
    assert!(first.contains("small: ") && !first.contains("small: 1000 seeds"), "{first}");
}

/// Virtual time knows the broker's speed from whoever asks alone: it is told, also where it is none.
#[test]
fn the_service_time_is_told() {
    let scratch = Scratch::new();
    let file = scratch.file("disk.toml", DISK);
    for (more, told) in [(&["--service", "70 us"][..], "70 us"), (&[], "0 s")] {
        let output = squall().args(["simulate", "--out"]).args([&scratch.0, &file]).args(more).output();
        let said = String::from_utf8_lossy(&output.expect("it starts").stdout).into_owned();
        // Long lines are wrapped.
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&format!("the broker takes {told} for each packet it reads")), "{said}");
        assert_eq!(words.contains("--service \"70 us\""), told == "70 us", "so that it is the same again: {said}");
    }
}

/// QoS 2 messages handed on twice, since the broker forgets at a connection's end which identifiers it had received: found,
/// and made small.
#[test]
fn forgotten_identifiers_are_made_small() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "take-over.toml",
        r##"
ramp = "1 s"
duration = "60 s"
[fleet.s]
sensors = 12
session = "persistent"
link = "lossy"
publish = { topic = "t/{sensor}", qos = 2, every = "2 s", drift = "50 ppm" }
power = { cut_every = "30 s", off = "2 s", keeps = "flash" }
reboot = [{ at = "20 s", share = "50 %" }]
[fleet.other]
sensors = 6
publish = { topic = "o/{sensor}", qos = 1, poisson = "30/min" }
[subscriber.all]
count = 2
filters = [{ filter = "#", qos = 2 }]
[link.lossy]
loss = "10 %"
delay = "50 ms"
[[fault]]
at = "30 s"
broker = "pause"
for = "2 s"
"##,
    );
    let small = scratch.0.join("small.toml");
    let output = squall()
        .args(["explore", "--seeds", "20", "--defect", "forget-qos2-ids:1", "--out"])
        .args([&small, &file])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let text = std::fs::read_to_string(&small).expect("written");
    let s = parse(&text);
    let sensors: u32 = s.fleets.iter().map(|f| f.sensors).sum();
    let links = s.fleets.iter().filter_map(|f| f.device.link.as_ref());
    let causes = s.faults.len()
        + s.fleets.iter().map(|f| f.reboots.len() + usize::from(f.power.is_some())).sum::<usize>()
        + links.map(|l| l.spec.outages.len()).sum::<usize>();
    assert!(sensors <= 3 && causes <= 1, "{text}");
    assert!(text.lines().count() <= 30, "it reads like one that a person wrote: {text}");
}

/// What clients do beyond publishing goes too, if the failure does not need it, and no longer keeps the load from being
/// short.
#[test]
fn what_a_failure_does_not_need_is_taken_away() {
    let scenario = parse(
        r##"
ramp = "1 s"
duration = "30 s"
[fleet.s]
sensors = 2
start = "3 s"
publish = { topic = "t/{sensor}", qos = 2, every = "1 s" }
[subscriber.all]
filters = [{ filter = "#", qos = 2 }]
silent = [{ at = "8 s", for = "2 s" }]
unsubscribed = [{ at = "12 s", for = "2 s" }]
take_over = [{ at = "20 s" }, { at = "25 s" }]
"##,
    );
    let settings = Settings { defects: vec!["duplicate-qos2:1".parse().expect("known")], ..with_seed(1) };
    let small = shrink(&scenario, &settings, Guarantee::Qos2, |_| true).scenario;
    let text = scenario::write::write(&small);
    assert!(small.devices().all(|d| d.features == Features::default()), "{text}");
    assert!(small.duration <= Duration::from_secs(5), "{text}");
}

/// What is kept in a shrunk scenario can be read again, whatever the file was called that it began from.
#[test]
fn a_shrunk_scenario_is_a_legal_one() {
    let mut scenario = parse(
        r##"
ramp = "0 s"
duration = "10 s"
[fleet.s]
sensors = 2
publish = { topic = "t", qos = 2, every = "1 s" }
[subscriber.all]
filters = [{ filter = "#", qos = 2 }]
"##,
    );
    let settings = Settings { defects: vec!["duplicate-qos2:1".parse().expect("known")], ..with_seed(1) };
    for (name, expected) in [("site", "site-shrunk".to_owned()), (".hidden", "shrunk".to_owned())] {
        name.clone_into(&mut scenario.name);
        let small = shrink(&scenario, &settings, Guarantee::Qos2, |_| true).scenario;
        let again = parse(&scenario::write::write(&small));
        assert_eq!((again.name, again.fleets[0].sensors), (expected, 1));
    }
}

/// What is written is read as the same scenario, and reads itself the same again.
#[test]
fn written_scenarios_are_the_same_scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    for entry in std::fs::read_dir(folder).expect("there") {
        let path = entry.expect("readable").path();
        let mut scenario = scenario::load(&path).unwrap_or_else(|e| panic!("{}", e.render(false)));
        add_all_faults(&mut scenario);
        let text = scenario::write::write(&scenario);
        let again = scenario::parse("again.toml", &text).unwrap_or_else(|e| panic!("{}\n{text}", e.render(false)));
        assert_eq!(format!("{again:?}"), format!("{scenario:?}"), "{}\n{text}", path.display());
    }
}

/// The troubles that no shipped scenario has.
fn add_all_faults(scenario: &mut Scenario) {
    let more = parse(&format!(
        "{DISK}[fleet.r]\nsensors = 3\npublish = {{ topic = \"r\", every = \"1 s\", drift = \"2.5 ppm\" }}\n\
         reboot = [{{ at = \"3 s\", share = \"12.5 %\", keeps = \"nothing\" }}, {{ at = \"9 s\", off = \"2 s\" }}]"
    ));
    assert_eq!((more.fleets[1].reboots.len(), more.faults.len()), (2, 1));
    scenario.fleets.push(more.fleets[1].clone());
    if scenario.faults.is_empty() {
        scenario.faults = more.faults;
    }
}

/// A healthy broker is never blamed, whatever happens at once. (Thousands of seeds: `squall explore scenarios/brutal.toml`.)
#[test]
fn brutal_days_blame_nobody() {
    let scenario = parse(include_str!("../scenarios/brutal.toml"));
    for durable in [Durable::No, Durable::Restart, Durable::Always] {
        let settings = Settings { durable, ..Settings::default() };
        let found = squall::simulate::explore::explore(
            |_| std::borrow::Cow::Borrowed(&scenario),
            &settings,
            0..100,
            true,
            |_, _| true,
        );
        assert_eq!((found.seeds, found.failures), (100, Vec::new()), "{durable:?}");
        let walked = |name: &str| found.hard_paths.iter().any(|(n, count)| n.contains(name) && *count > 100);
        assert!(walked("reconnects") && walked("sent again") && walked("resumed"), "{:?}", found.hard_paths);
    }
}

/// Each deliberate defect trips its own oracle and no unrelated one, and the healthy broker none.
#[test]
fn the_matrix_of_defects_is_as_it_must_be() {
    let output = squall().args(["selftest", "--seeds", "20"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A sensor with more to say than the drain lasts is answered to the end: its broker is alive, and what was in flight then
/// proves nothing. A broker that answers no more is stuck all the same.
#[test]
fn a_backlog_is_not_stuck() {
    let scenario = parse(
        r##"
ramp = "0 s"
duration = "20 s"
drain = "10 s"
[fleet.s]
sensors = 1
window = 1
link = "slow"
publish = { topic = "t", qos = 2, every = "500 ms", burst = 4 }
[link.slow]
delay = "200 ms"
"##,
    );
    let liveness = |settings: &Settings| {
        let verdicts = simulate(&scenario, settings, |_| true).verdicts;
        verdicts.guarantees.into_iter().find(|j| j.guarantee.key() == "liveness").expect("judged").outcome
    };
    assert!(matches!(liveness(&with_seed(1)), Standing::NotEnoughEvidence(why) if why.contains("hand-shakes")));
    let strike = "swallow-ack:1".parse().expect("known");
    assert_eq!(liveness(&Settings { defects: vec![strike], ..with_seed(1) }), Standing::Broken);
}

/// Random scenarios blame nobody. (Thousands: `squall explore --generate`.)
#[test]
fn random_scenarios_blame_nobody() {
    let output = squall().args(["explore", "--generate", "--seeds", "200", "--no-shrink"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Three ways to fail a client have three names, each in a scenario of its own; a healthy broker fails in none of them.
#[test]
fn frozen_silent_and_forgetful_are_told_apart() {
    for (text, defect, expected) in [
        (include_str!("../scenarios/frozen-broker.toml"), "freeze-all:50", "frozen"),
        (include_str!("../scenarios/silent-connection.toml"), "freeze:60", "silent connection"),
        (include_str!("../scenarios/forgetful-broker.toml"), "lose-acked:50", "lost"),
    ] {
        let scenario = parse(text);
        let defects = vec![defect.parse().expect("known")];
        assert_eq!(broken(&scenario, &Settings { defects, ..with_seed(1) }).1, [expected], "{defect}");
        assert_eq!(broken(&scenario, &with_seed(1)).1, Vec::<&str>::new(), "healthy: {expected}");
    }
}

/// The subscriber as a witness: many of them, each behind a link of its own that dies, keep what they have received at QoS 2 over
/// their reconnects, so that what comes again is suppressed and not counted twice; and each that is owed a message says so.
#[test]
fn many_subscribers_behind_their_own_bad_links_are_honest_witnesses() {
    let scenario = parse(
        r##"
ramp = "1 s"
duration = "60 s"
drain = "120 s"
[fleet.s]
sensors = 6
session = "persistent"
publish = { topic = "t/{sensor}", qos = 2, payload = "32 B", every = "1 s" }
[subscriber.witness]
count = 5
session = "persistent"
keep_alive = "5 s"
link = "bad"
filters = [{ filter = "t/+", qos = 2 }]
[link.bad]
delay = "100 ms"
loss = "25 %"
outage = [{ at = "15 s", for = "12 s" }, { at = "40 s", for = "12 s" }]
"##,
    );
    let (mut suppressed, mut returns) = (0, std::collections::BTreeSet::new());
    let settings = Settings { durable: Durable::Always, ..with_seed(3) };
    let outcome = simulate_tapped(&scenario, &settings, &mut |_| true, &mut |e| match e.what {
        What::RepeatSuppressed { .. } => suppressed += 1,
        What::Connected { session_present: true, .. } => {
            returns.insert(e.client);
        }
        _ => {}
    });
    assert!(outcome.verdicts.guarantees.iter().all(|j| j.outcome != Standing::Broken), "{:?}", outcome.verdicts);
    assert!(suppressed > 0 && returns.len() == 5, "{suppressed} repeats suppressed, {} came back", returns.len());
    let qos2 = outcome.verdicts.guarantees.iter().find(|j| j.guarantee.key() == "qos2").expect("judged");
    assert!(qos2.cases > 5 * 6 * 40, "each witness is owed each message: {}", qos2.cases);
    // Each of them sees a broker's lie for itself.
    let lying = Settings { defects: vec!["duplicate-qos2:101".parse().expect("known")], ..settings };
    let verdicts = simulate(&scenario, &lying, |_| true).verdicts;
    let seen_by: std::collections::BTreeSet<_> = verdicts.evidence.iter().filter_map(|e| e.subscriber).collect();
    assert!(seen_by.len() > 1, "{seen_by:?}");
}
