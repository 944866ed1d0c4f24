//! Brokers that squall launches, and their bad days: no broker but the reference one is needed.

mod support;

use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use support::brokers::{BROKER, Brokers, said, script, wait};
use support::squall;

#[test]
fn every_mistake_of_a_manifest_is_shown_at_once_with_its_place() {
    let brokers = Brokers::with("");
    brokers.write(
        "name = \"other\"\n[install]\nbuilt = 3\n[launch]\nprogram = \"x\"\nimage = \"y\"\nargs = [\"{prot}\"]\n\
         stop_signal = \"SIGTERM\"\nready_within = \"soon\"\n[declares]\nmqtt = [\"4\"]\nmax_qos = 3\ndurability = \"much\"\n",
    );
    let (code, text) = brokers.check();
    assert_eq!(code, 3, "{text}");
    for (place, message) in [
        ("1 | name = \"other\"", "its folder has another name"),
        ("", "about is missing"),
        ("3 | built = 3", "did you mean build?"),
        ("4 | [launch]", "this says twice what is started"),
        ("7 | args = [\"{prot}\"]", "did you mean {port}?"),
        ("8 | stop_signal = \"SIGTERM\"", "known: TERM, INT, QUIT, HUP"),
        ("9 | ready_within = \"soon\"", "expected a time"),
        ("", "stop_within is missing"),
        ("11 | mqtt = [\"4\"]", "there is no MQTT 4"),
        ("12 | max_qos = 3", "expected a whole number from 0 to 2"),
        ("13 | durability = \"much\"", "durability cannot be this"),
    ] {
        assert!(text.contains(place) && text.contains(message), "{place}, {message}:\n{text}");
    }
    assert!(text.contains("12 errors") || text.contains("11 errors"), "{text}");
}

#[test]
fn mistakes_of_listeners_are_shown_with_their_place() {
    let brokers = Brokers::with("");
    brokers.write(
        "name = \"it\"\nabout = \"x\"\n[launch]\nimage = \"y\"\nargs = [\"{port:ws}\", \"{port:wss}\"]\nready_within = \"1 s\"\n\
         stop_within = \"1 s\"\n[listen]\nssl = {}\ntls = {}\nws = { image_port = 0 }\n",
    );
    let (code, text) = brokers.check();
    assert_eq!(code, 3, "{text}");
    for (place, message) in [
        ("5 | args = [\"{port:ws}\", \"{port:wss}\"]", "add \"wss\" to ports"),
        ("9 | ssl = {}", "known: tls, ws, wss"),
        ("10 | tls = {}", "image_port is missing"),
        ("11 | ws = { image_port = 0 }", "expected a whole number from 1 to 65535"),
    ] {
        assert!(text.contains(place) && text.contains(message), "{place}, {message}:\n{text}");
    }
    assert!(text.contains("4 errors"), "{text}");
}

/// A broker listens as its manifest says, and no way that the manifest does not name is promised.
#[test]
fn a_broker_is_reached_over_what_its_manifest_opens_and_nothing_else() {
    let args = "[\"broker\", \"--listen\", \"{host}:{port}\", \"--listen\", \"mqtts://{host}:{port:tls}\", \"--self-signed\", \"{config}/tls\"]";
    let brokers = Brokers::with(&format!(
        "program = \"{{squall}}\"\nargs = {args}\nready_within = \"10 s\"\nstop_within = \"5 s\"\n[listen]\ntls = {{}}"
    ));
    let check = |kind: &str| {
        let mut command = brokers.command();
        said(&command.args(["targets", "check", "it", "--transport", kind]).output().expect("it starts"))
    };
    let (code, text) = check("tls");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("QoS 2: delivered at 2"), "{text}");
    let (code, text) = check("ws");
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("does not start it with ws") && text.contains("add ws to [listen] of "), "{text}");
}

/// A client that is let in at its second try is let in; that it took two is told.
#[test]
fn what_did_not_come_about_at_once_is_told() {
    let broker = BROKER.replace("{squall} ", "").replace(' ', "\", \"");
    let brokers = Brokers::with(&format!(
        "program = \"{{squall}}\"\nargs = [\"{broker}\", \"--defect\", \"malformed:2\"]\nready_within = \"10 s\"\nstop_within = \"5 s\""
    ));
    let (code, text) = brokers.check();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("QoS 2: delivered at 2, not at once: reserved flags"), "{text}");
}

/// A QoS that is declared and not granted is no success, and one that is not declared is no failure.
#[test]
fn the_highest_qos_is_held_against_the_one_that_is_declared() {
    for (declared, expected) in [(2, 1), (1, 0)] {
        let text = script(&format!("exec {BROKER} --max-qos 1"));
        let brokers = Brokers::with(&format!("{text}\n[declares]\nmax_qos = {declared}"));
        let (code, text) = brokers.check();
        assert_eq!(code, expected, "{text}");
        assert!(text.contains("QoS 2: granted 1, delivered at 1"), "{text}");
    }
}

#[test]
fn a_broker_that_never_answers_is_given_up_with_the_end_of_its_log() {
    let brokers = Brokers::with(&script("echo I am thinking; sleep 600").replace("10 s", "300 ms"));
    let (code, text) = brokers.check();
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("does not answer") && text.contains("    I am thinking"), "{text}");
    assert_eq!(brokers.processes(), 0);
}

#[test]
fn a_broker_that_dies_at_once_says_how_and_why() {
    let brokers = Brokers::with(&script("echo no licence; exit 3"));
    let (code, text) = brokers.check();
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("it ended with code 3") && text.contains("    no licence"), "{text}");
}

#[test]
fn a_broker_that_ignores_its_signal_is_killed_and_that_is_said() {
    let brokers = Brokers::with(&script(&format!("trap '' TERM; {BROKER} & while true; do wait; done")));
    let (code, text) = brokers.check();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("did not stop within 400ms of SIGTERM, and was killed"), "{text}");
    assert_eq!(brokers.processes(), 0);
}

#[test]
fn a_broker_that_goes_to_the_background_is_minded_there() {
    let brokers = Brokers::with(&script(&format!("setsid {BROKER} & exit 0")));
    let (code, text) = brokers.check();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("QoS 2: delivered at 2") && text.contains("went to the background"), "{text}");
    assert_eq!(brokers.processes(), 0);
}

#[test]
fn what_a_broker_leaves_is_killed_and_named() {
    let brokers = Brokers::with(&script(&format!("setsid sleep 600 & exec {BROKER}")));
    let (code, text) = brokers.check();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("left sleep running, which was killed"), "{text}");
    assert_eq!(brokers.processes(), 0);
}

#[test]
fn a_fixed_port_that_is_taken_is_named_with_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("bound").port();
    let brokers = Brokers::with(&format!("{}\nport = {port}", script(BROKER)));
    let (code, text) = brokers.check();
    assert_eq!(code, 4, "{text}");
    let process = format!("(process {})", std::process::id());
    assert!(text.contains(&format!("port {port}")) && text.matches(&process).count() == 1, "{text}");
}

/// Somebody has the port and does not listen there yet: nobody could know before the broker's own attempt.
#[test]
fn a_fixed_port_that_is_taken_meanwhile_is_named_too() {
    let holder = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    holder.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let port = holder.local_addr().expect("bound").as_socket().expect("of IP").port();
    let brokers = Brokers::with(&format!("{}\nport = {port}", script("echo sorry; exit 1")));
    let (code, text) = brokers.check();
    assert_eq!(code, 4, "{text}");
    let words = format!("it must have port {port}, and port {port} is held by a process that does not listen there");
    assert!(text.contains(&words) && text.matches("    sorry").count() == 1, "{text}");
}

/// Where the machine shows nothing of it, the words of a container's runtime do.
#[test]
fn a_fixed_port_that_a_runtime_calls_taken_is_named_with_its_words() {
    let port = port_of_nobody();
    let words =
        format!("docker: Error response from daemon: Bind for 127.0.0.1:{port} failed: port is already allocated.");
    let brokers = Brokers::with(&format!("{}\nport = {port}", script(&format!("echo '{words}' >&2; exit 125"))));
    let (code, text) = brokers.check();
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(&format!("it must have port {port}, and its log says: {words}")), "{text}");
}

fn port_of_nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("there are some").port()
}

/// Java says it long before its last line. Once is bad luck, and another port is tried; what is wrong otherwise is not tried again.
#[test]
fn a_broker_whose_port_was_taken_gets_another() {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs/port-taken.log");
    let read = fs::read_to_string(&log).expect("there");
    assert!(read.starts_with("java.net.BindException: Address already in use") && read.lines().count() > 15);
    for (first, expected) in [(format!("cat {}", log.display()), 0), ("echo out of memory".to_owned(), 4)] {
        let brokers = Brokers::with(&script(&format!(
            "if [ -e \\\"$TMPDIR/tried\\\" ]; then exec {BROKER}; fi; touch \\\"$TMPDIR/tried\\\"; {first}; exit 1"
        )));
        let (code, text) = brokers.check();
        assert_eq!(code, expected, "{text}");
    }
}

/// Squall itself ends by `signal` in the middle of a run, with a broker that has a daemon beside it.
fn nothing_is_left_after(signal: i32) {
    let brokers = Brokers::with(&script(&format!("setsid sleep 600 & exec {BROKER}")));
    let scenario = "duration = \"60 s\"\n[fleet.s]\nsensors = 1\npublish = { topic = \"t\", every = \"1 s\" }\n";
    let file = brokers.scratch.file("long.toml", scenario);
    let out = brokers.scratch.0.join("reports");
    let mut command = brokers.command();
    command.arg("run").arg(file).args(["--target", "it", "--out"]).arg(&out);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let data = |out: &Path| {
        fs::read_dir(out).is_ok_and(|mut d| d.any(|e| e.expect("an entry").path().join("broker-data").exists()))
    };
    // Minder, sleep and broker.
    wait("the broker starts", &|| brokers.processes() >= 3 && data(&out));
    // SAFETY: our own child, which is not reaped yet.
    unsafe {
        libc::kill(i32::try_from(child.id()).expect("small"), signal);
    }
    wait("nothing is left", &|| brokers.processes() == 0 && !data(&out));
    let _ = child.wait();
}

#[test]
fn nothing_is_left_when_squall_is_killed() {
    nothing_is_left_after(libc::SIGKILL);
}

#[test]
fn nothing_is_left_when_squall_aborts() {
    nothing_is_left_after(libc::SIGABRT);
}

#[test]
fn a_container_runtime_that_is_gone_is_an_error_and_no_hang() {
    let mut command = squall();
    command.env("SQUALL_CONTAINER", "/nowhere/podman --quiet").args(["targets", "check", "container:any"]);
    let (code, text) = said(&command.output().expect("it starts"));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("no container runtime answers (/nowhere/podman --quiet: "), "{text}");
}

#[test]
fn the_rehearsal_for_ibm_mq_says_so_and_refuses_mqtt_5() {
    let (code, text) =
        said(&squall().args(["targets", "check", "ibm-mq-rehearsal", "--kill"]).output().expect("it starts"));
    assert_eq!(code, 0, "{text}");
    // Of ibm-mq's manifest: what was acknowledged survives.
    assert!(text.contains("100 came back") && text.contains("Session Present 1; declared: whatever"), "{text}");
    assert!(text.contains("a rehearsal: this is squall's reference broker"), "{text}");
    let scenario = "duration = \"1 s\"\ndrain = \"1 s\"\n[fleet.s]\nsensors = 1\nmqtt = \"5.0\"\n\
                    publish = { topic = \"t\", qos = 1, every = \"100 ms\" }\n";
    let r = support::run(scenario, &["--target", "ibm-mq-rehearsal"]);
    assert_eq!(r.report()["total"]["counts"]["acked"], 0, "{}", r.stdout);
    assert!(r.stdout.contains("a rehearsal"), "{}", r.stdout);
}

/// A container runtime that the installation itself brings is found, though it was missing when it was asked for first.
#[test]
fn a_container_runtime_may_come_with_the_installation() {
    let brokers = Brokers::with("");
    let runtime = brokers.scratch.0.join("runtime");
    let words = "printf 'exit 0' > \\\"$0\\\"";
    brokers.write(&format!(
        "name = \"it\"\nabout = \"an image made on the spot\"\n[install]\n\
         build = [[\"sh\", \"-c\", \"{words}\", \"{path}\"], [\"{{container}}\", \"import\"]]\n[launch]\nimage = \"localhost/it\"\n\
         ready_within = \"10 s\"\nstop_within = \"1 s\"\n",
        path = runtime.display()
    ));
    let mut command = brokers.command();
    command.env("SQUALL_CACHE", brokers.scratch.0.join("cache"));
    command.env("SQUALL_CONTAINER", format!("sh {}", runtime.display())).args(["targets", "install", "it"]);
    let (code, text) = said(&command.output().expect("it starts"));
    assert_eq!(code, 0, "{text}");
}

/// The version that a manifest states is the one that its build asks for.
#[test]
fn stated_versions_are_those_that_are_built() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker-under-test");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let mut stated = 0;
    for folder in fs::read_dir(&root).expect("readable").map(|e| e.expect("an entry").path()) {
        let manifest: toml::Table = read(&folder.join("broker.toml")).parse().expect("TOML");
        let version = manifest.get("version").and_then(|v| v.get("is")).and_then(toml::Value::as_str);
        let Some(version) = version.filter(|v| *v != "{squall}") else { continue };
        stated += 1;
        let asked = ["pom.xml", "package.json", "go.mod", "root.sh"].map(|file| read(&folder.join(file))).concat();
        assert!(asked.contains(version), "{}: {version}", folder.display());
    }
    assert!(stated >= 7, "{stated}");
}

#[test]
fn all_targets_are_listed_with_what_is_missing() {
    let (code, text) = said(&squall().arg("targets").output().expect("it starts"));
    assert_eq!(code, 0, "{text}");
    for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("broker-under-test")).expect("readable") {
        let name = folder.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(text.lines().any(|l| l.split_whitespace().next() == Some(&name)), "{name}: {text}");
    }
    let of = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
    assert!(text.contains("IBM MQ") && !of("ibm-mq ").is_empty(), "{text}");
    let declared = |name: &str| {
        let text = fs::read_to_string(Path::new("broker-under-test").join(name).join("broker.toml")).expect("there");
        text.parse::<toml::Table>().expect("TOML").get("declares").cloned().expect("it declares something")
    };
    assert_eq!(declared("ibm-mq"), declared("ibm-mq-rehearsal"), "the rehearsal is of the same capabilities");
}

/// As in `squall targets | head -1`.
#[test]
fn a_reader_that_goes_away_is_no_bug() {
    let mut child = squall().arg("targets").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ours");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""));
}

/// What a build makes may be there before its last command has done its work: until then nothing is installed.
#[test]
fn a_build_that_failed_halfway_is_missing_and_is_run_again() {
    let brokers = Brokers::with("");
    let ready = brokers.scratch.0.join("ready");
    brokers.write(&format!(
        "name = \"it\"\nabout = \"built in two steps\"\n[install]\n\
         build = [[\"touch\", \"made\"], [\"test\", \"-e\", \"{}\"]]\ncreates = [\"made\"]\n[launch]\nprogram = \"sh\"\n\
         ready_within = \"10 s\"\nstop_within = \"1 s\"\n",
        ready.display()
    ));
    let squall = |arguments: &[&str]| {
        let mut command = brokers.command();
        command.env("SQUALL_CACHE", brokers.scratch.0.join("cache")).args(arguments);
        said(&command.output().expect("it starts"))
    };
    let (code, text) = squall(&["targets", "install", "it"]);
    assert!(code == 4 && text.contains("test failed"), "{code} {text}");
    let state = || squall(&["targets"]).1.lines().find(|l| l.starts_with("it ")).unwrap_or_default().to_owned();
    assert!(state().contains("missing: the rest of its build, which came to no end"), "{}", state());
    let (code, text) = squall(&["targets", "check", "it"]);
    assert!(code == 4 && text.contains("it is not installed"), "{code} {text}");
    fs::write(&ready, "").expect("writable");
    let (code, text) = squall(&["targets", "install", "it"]);
    assert!(code == 0 && text.contains("it: touch made"), "{code} {text}");
    assert!(state().ends_with(" installed"), "{}", state());
}

/// Two manifests of one name, as two checkouts have them: what the one built is not taken away while somebody runs it, or will.
#[test]
fn a_build_that_is_in_use_is_left_until_it_is_not() {
    let made = |version: &str| {
        let brokers = Brokers::with("");
        brokers.write(&format!(
            "name = \"it\"\nabout = \"built\"\n[install]\nbuild = [[\"touch\", \"made-{version}\"]]\n\
             creates = [\"made-{version}\"]\n[launch]\n{}\n",
            script(&format!("exec {BROKER}"))
        ));
        brokers
    };
    let (old, new, newest) = (made("1"), made("2"), made("3"));
    let cache = old.scratch.0.join("cache");
    let builds = || {
        let entries = fs::read_dir(cache.join("brokers")).expect("there").map(|e| e.expect("an entry").path());
        let mut files: Vec<String> = entries
            .flat_map(|folder| fs::read_dir(folder).expect("readable"))
            .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("made"))
            .collect();
        files.sort();
        files
    };
    let install = |brokers: &Brokers| {
        let mut command = brokers.command();
        let (code, text) =
            said(&command.env("SQUALL_CACHE", &cache).args(["targets", "install", "it"]).output().expect("it starts"));
        assert_eq!(code, 0, "{text}");
        text
    };
    let scenario = "duration = \"60 s\"\n[fleet.s]\nsensors = 1\npublish = { topic = \"t\", every = \"1 s\" }\n";
    let file = old.scratch.file("long.toml", scenario);
    // It runs; its turn comes later.
    for (arguments, sign) in
        [("run --target it", "connected"), ("compare --targets reference,it", "on reference, repeat 1")]
    {
        install(&old);
        let mut command = old.command();
        command.env("SQUALL_CACHE", &cache).args(arguments.split(' ')).arg(&file).arg("--out").arg(&old.scratch.0);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        assert!(lines.any(|l| l.expect("text").contains(sign)), "{arguments}");
        let text = install(&new);
        assert!(text.contains("a squall that runs uses") && builds() == ["made-1", "made-2"], "{text}");
        child.kill().expect("ours");
        child.wait().expect("ours");
        assert!(!install(&newest).contains("uses") && builds() == ["made-3"], "{:?}", builds());
    }
}
