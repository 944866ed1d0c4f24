//! Every broker that squall launches, really running: a message at each QoS, then kill -9 with 100 messages of its
//! highest QoS owed to an offline session, and what came back against what its manifest declares.
#![cfg(feature = "real-brokers")]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Scratch, run, squall};

/// Checks a broker; `came_back` of 100 messages of `qos`.
fn check(name: &str, version: &str, qos: u8, came_back: u8) {
    let output = squall().args(["targets", "check", name, "--kill"]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with(&format!("{name} {version}")), "{text}");
    for qos in 0..=qos {
        assert!(text.contains(&format!("QoS {qos}: delivered at {qos}")), "{text}");
    }
    let owed = format!("100 messages of QoS {qos} owed to an offline session: {came_back} came back");
    assert!(text.contains(&owed), "{text}");
    if came_back == 100 {
        assert!(
            text.contains("Session Present 1;"),
            "what was owed came back to a session, and it was told of: {text}"
        );
    }
    assert!(!text.contains("was killed"), "it stops on its signal and leaves nothing: {text}");
}

#[test]
fn reference() {
    check("reference", env!("CARGO_PKG_VERSION"), 2, 0);
}

#[test]
fn reference_durable() {
    check("reference-durable", env!("CARGO_PKG_VERSION"), 2, 100);
}

/// Its autosave is half an hour apart: nobody waits for it.
#[test]
fn mosquitto_as_debian_has_it() {
    check("mosquitto-debian", "2.", 2, 0);
}

#[test]
fn mosquitto() {
    check("mosquitto", "2.", 2, 100);
}

#[test]
fn hivemq() {
    check("hivemq", "2025.5", 2, 100);
}

#[test]
fn rabbitmq_3() {
    check("rabbitmq", "3.1", 1, 100);
}

#[test]
fn rabbitmq_4_in_a_container() {
    check("rabbitmq4", "4.0.5", 1, 100);
}

#[test]
fn vertx() {
    check("vertx", "5.2.3", 2, 0);
}

#[test]
fn artemis() {
    check("artemis", "2.56.0", 2, 100);
}

#[test]
fn moquette() {
    check("moquette", "0.17", 2, 0);
}

#[test]
fn mochi() {
    check("mochi", "2.7.9", 2, 0);
}

#[test]
fn aedes() {
    check("aedes", "1.2.0", 2, 100);
}

/// The container runtime's command, as squall is told it.
fn runtime() -> Command {
    let set = std::env::var("SQUALL_CONTAINER").unwrap_or_else(|_| "podman".into());
    let mut words = set.split_whitespace();
    let mut command = Command::new(words.next().expect("a command"));
    command.args(words);
    command
}

/// An image made on the spot from this machine's mosquitto and the libraries that it needs.
fn mosquitto_image(name: &str, config: &str) {
    let scratch = Scratch::new();
    let root = scratch.0.join("root");
    let libraries = Command::new("ldd").arg("/usr/sbin/mosquitto").output().expect("ldd runs");
    let libraries = String::from_utf8_lossy(&libraries.stdout).into_owned();
    let paths = libraries.split_whitespace().filter(|w| w.starts_with('/')).chain(["/usr/sbin/mosquitto"]);
    for path in paths {
        let to = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a folder")).expect("writable");
        fs::copy(path, &to).expect("it is there");
    }
    fs::create_dir_all(root.join("data")).expect("writable");
    fs::create_dir_all(root.join("etc")).expect("writable");
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").expect("writable");
    fs::write(root.join("mosquitto.conf"), config).expect("writable");
    // The one before it would stay for ever, without a name.
    let _ = runtime().args(["rmi", "--force", name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let tar = Command::new("tar").arg("-C").arg(&root).args(["-c", "."]).output().expect("tar runs");
    let mut import = runtime();
    import.args(["import", "--change", "CMD [\"/usr/sbin/mosquitto\",\"-c\",\"/mosquitto.conf\"]"]);
    import.args(["--change", "EXPOSE 1883/tcp", "-", name]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut import = import.stderr(Stdio::null()).spawn().expect("the runtime is there");
    import.stdin.take().expect("piped").write_all(&tar.stdout).expect("it reads");
    assert!(import.wait().expect("it ends").success());
}

fn containers() -> String {
    let output = runtime().args(["ps", "--all", "--format", "{{.Names}} {{.Image}}"]).output().expect("it is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Any image by its name: port and readiness found out, killed and started again with its data, seen, and removed.
#[test]
fn any_image_runs_is_killed_and_is_removed() {
    let image = "localhost/squall-test-mosquitto";
    mosquitto_image(
        image,
        "listener 1883\nallow_anonymous true\nuser root\npersistence true\npersistence_location /data/\n\
         autosave_on_changes true\nautosave_interval 1\n",
    );
    let scenario = format!("{}\n[[fault]]\nat = \"2 s\"\nbroker = \"kill\"\nback_after = \"500 ms\"\n", support::SMALL);
    let r = run(&scenario, &["--target", &format!("container:{image}")]);
    assert!(matches!(r.code, 0 | 1 | 5), "{}\n{}", r.stdout, r.stderr);
    // On a loaded machine this mosquitto, back from its file, sometimes hands on what it queued after what it did not: its own fault,
    // and told as such. What does not depend on the moment of the kill holds every time.
    let broken = r.broken();
    assert!(broken.iter().all(|g| g == "order"), "{broken:?}: {}", r.stdout);
    assert!(r.stdout.contains("the broker answered again"), "{}", r.stdout);
    assert!(r.report()["broker"]["rss_max"].as_u64().expect("it can be seen") > 1 << 20, "{}", r.stdout);
    assert!(!containers().contains(image), "{}", containers());
}

/// A broker that listens on its container's loopback alone, as mosquitto does without a configuration, is reached all the same.
#[test]
fn an_image_that_listens_on_its_loopback_alone_gets_the_machines_network() {
    let image = "localhost/squall-test-hidden";
    mosquitto_image(image, "listener 21890 127.0.0.1\nallow_anonymous true\nuser root\n");
    let brokers = Scratch::new();
    fs::create_dir_all(brokers.0.join("hidden")).expect("writable");
    let manifest = format!(
        "name = \"hidden\"\nabout = \"listens on its loopback\"\n[launch]\nimage = \"{image}\"\nimage_port = 21890\n\
         ready_within = \"30 s\"\nstop_within = \"10 s\"\n"
    );
    fs::write(brokers.0.join("hidden/broker.toml"), manifest).expect("writable");
    let mut command = squall();
    command.env("SQUALL_BROKERS", Path::new(&brokers.0)).args(["targets", "check", "hidden"]);
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("127.0.0.1:21890") && text.contains("was given this machine's network"), "{text}");
    assert!(!containers().contains(image), "{}", containers());
}

/// The container runtime goes away in the middle of a run: the broker cannot be started again, and the report has the runtime's words.
#[test]
fn a_container_runtime_lost_in_a_run_is_reported() {
    let image = "localhost/squall-test-lost";
    mosquitto_image(image, "listener 1883\nallow_anonymous true\nuser root\n");
    let scratch = Scratch::new();
    let gone = scratch.0.join("gone");
    let real = std::env::var("SQUALL_CONTAINER").unwrap_or_else(|_| "podman".into());
    let lost = format!(
        "#!/bin/sh\n[ -e {0} ] && {{ echo 'the runtime is gone' >&2; exit 125; }}\n\
         exec {real} \"$@\"\n",
        gone.display()
    );
    let wrapper = scratch.file("runtime", &lost);
    let scenario = support::SMALL.replace("duration = \"3 s\"", "duration = \"6 s\"")
        + "\n[[fault]]\nat = \"4 s\"\nbroker = \"kill\"\nback_after = \"500 ms\"\n";
    let file = scratch.file("s.toml", &scenario);
    let mut command = squall();
    command.env("SQUALL_CONTAINER", format!("sh {}", wrapper.display())).arg("run").arg(&file);
    command.args(["--target", &format!("container:{image}")]).arg("--out").arg(scratch.0.join("reports"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut progress = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().expect("piped")));
    assert!(progress.any(|l| l.expect("text").contains("connected")));
    fs::write(&gone, "").expect("writable");
    let said: Vec<String> = progress.map(|l| l.expect("text")).collect();
    let said = said.join("\n");
    let output = child.wait_with_output().expect("ours");
    let text = String::from_utf8_lossy(&output.stdout);
    // What the runtime could not remove while it was gone is not left behind by this test.
    let left: Vec<String> = containers().lines().filter(|l| l.contains(image)).map(str::to_owned).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let name = left[0].split(' ').next().expect("a name");
    assert!(runtime().args(["rm", "--force", name]).stdout(Stdio::null()).status().expect("it is there").success());
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("the broker died") && text.contains("the runtime is gone"), "{text}");
    // It is told that it is left, in the terminal and in the report, with what removes it.
    let note = format!("container {name} could not be removed: the runtime is gone; by hand: sh ");
    let report = fs::read_to_string(scratch.0.join("reports/s-1/report.json")).expect("written");
    assert!(said.contains(&format!("note: {note}")), "{said}");
    let unwrapped: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unwrapped.contains(&note), "{text}");
    assert!(report.contains(&note) && report.contains(&format!("rm --force --volumes {name}")), "{report}");
}
