//! From TOML to a checked manifest.

use super::fill::{NAMES, names};
use super::read::{Problems, Table};
use super::{Declares, Deviation, Folder, Install, Launch, Listen, Manifest, Signal, Version, What};
use crate::promise::Durability;
use crate::scenario::diagnostics::{Diagnostics, Problem, nearest};
use crate::scenario::units;
use crate::transport::Kind;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::DeTable;

/// The keys of [launch].
const LAUNCH: &[&str] = &[
    "program",
    "image",
    "image_port",
    "address_only",
    "args",
    "env",
    "config",
    "prepare",
    "port",
    "ports",
    "stop_signal",
    "ready_within",
    "stop_within",
];

/// Parses a manifest.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn parse(folder: Folder, text: &str) -> Result<Manifest, Diagnostics> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let of_syntax = syntax.iter().map(|e| Problem {
        span: e.span().unwrap_or(0..0),
        message: e.message().to_owned(),
        mend: String::new(),
    });
    let mut problems: Vec<Problem> = of_syntax.collect();
    let found = Problems::default();
    let file = folder.path_of("broker.toml");
    let manifest = manifest(table.get_ref(), folder, text, &found);
    // After a syntax error the rest is guesswork: its mistakes would be noise.
    if problems.is_empty() {
        problems = found.into_inner();
    }
    if problems.is_empty() {
        return Ok(manifest);
    }
    problems.sort_by_key(|p| (p.span.start, p.span.end));
    problems.dedup();
    Err(Diagnostics { file, text: text.to_owned(), problems })
}

fn manifest(table: &DeTable<'_>, folder: Folder, text: &str, problems: &Problems) -> Manifest {
    let root = Table::new(
        Some(table),
        0..0,
        &["name", "about", "note", "install", "version", "launch", "listen", "declares", "deviates"],
        problems,
    );
    let name = root.text("name").unwrap_or_default();
    if !root.has("name") {
        root.missing(&format!("name = \"{}\"", folder.name()));
    } else if !name.is_empty() && name != folder.name() {
        root.wrong(root.place("name"), "its folder has another name", format!("name = \"{}\"", folder.name()));
    }
    if !root.has("about") {
        root.missing("about = \"what it is, in a line\"");
    }
    if !root.has("launch") {
        root.missing("[launch] with program, image or address_only");
    }
    let manifest = Manifest {
        name,
        about: root.text("about").unwrap_or_default(),
        note: root.text("note"),
        install: install(&root),
        version: version(&root),
        launch: launch(&root, &folder),
        listen: listen(&root),
        declares: declares(&root),
        deviates: deviates(&root),
        folder,
    };
    let further = manifest.listen.keys().map(|k| k.name().to_owned());
    let ports: Vec<String> = manifest.launch.ports.iter().cloned().chain(further).collect();
    braces(&root, text, &ports);
    manifest
}

fn install(root: &Table<'_>) -> Install {
    let t = root.table("install", &["debian", "build", "creates", "by_hand"]);
    let install = Install {
        debian: t.map("debian"),
        build: t.commands("build"),
        creates: t.texts("creates"),
        by_hand: t.text("by_hand"),
    };
    let makes_image = root.table("launch", LAUNCH).has("image");
    if install.creates.is_empty() && t.has("build") && !makes_image {
        t.wrong(
            t.place("build"),
            "nothing tells whether this has been done",
            "add creates = [\"a file that it makes\"]",
        );
    }
    install
}

fn version(root: &Table<'_>) -> Version {
    let t = root.table("version", &["is", "command", "after"]);
    let version = Version { is: t.text("is"), command: t.texts("command"), after: t.text("after").unwrap_or_default() };
    if version.is.is_some() && t.has("command") {
        t.wrong(t.place("command"), "is says the version already", "leave one of them out");
    }
    version
}

fn launch(root: &Table<'_>, folder: &Folder) -> Launch {
    let t = root.table("launch", LAUNCH);
    let what = what(root, &t);
    let config = t.texts("config");
    for file in &config {
        if let Err(why) = folder.read(file) {
            t.wrong(t.place("config"), why, "templates stand beside the manifest");
        }
    }
    let timed = what != What::AddressOnly && root.has("launch");
    let duration = |key, example| if timed { t.duration(key, example) } else { std::time::Duration::ZERO };
    Launch {
        what,
        args: t.texts("args"),
        env: t.map("env"),
        config,
        prepare: t.commands("prepare"),
        port: t.number("port", 1, 65_535).and_then(|p| u16::try_from(p).ok()),
        ports: t.texts("ports"),
        stop_signal: signal(&t),
        ready_within: duration("ready_within", "ready_within = \"10 s\""),
        stop_within: duration("stop_within", "stop_within = \"10 s\""),
    }
}

fn what(root: &Table<'_>, t: &Table<'_>) -> What {
    let ways: Vec<&str> = ["program", "image", "address_only"].into_iter().filter(|k| t.has(k)).collect();
    if ways.len() != 1 && root.has("launch") {
        let message = if ways.is_empty() { "nothing says what is started" } else { "this says twice what is started" };
        t.wrong(t.span.clone(), message, "one of program = \"...\", image = \"...\", address_only = true");
    }
    match ways.first() {
        Some(&"program") => What::Program(t.text("program").unwrap_or_default()),
        Some(&"image") => {
            let port = t.number("image_port", 1, 65_535).and_then(|p| u16::try_from(p).ok());
            What::Image { name: t.text("image").unwrap_or_default(), port }
        }
        _ => What::AddressOnly,
    }
}

fn listen(root: &Table<'_>) -> BTreeMap<Kind, Listen> {
    let kinds = [Kind::Tls, Kind::Ws, Kind::Wss];
    let all = root.table("listen", &kinds.map(Kind::name));
    let in_container = root.table("launch", LAUNCH).has("image");
    let one = |kind: Kind| {
        let t = all.table(kind.name(), &["path", "image_port"]);
        if in_container && !t.has("image_port") {
            t.missing("image_port = 8883");
        }
        let path = t.text("path").unwrap_or_else(|| "/mqtt".into());
        let image_port = t.number("image_port", 1, 65_535).and_then(|p| u16::try_from(p).ok());
        (kind, Listen { path, image_port })
    };
    kinds.into_iter().filter(|k| all.has(k.name())).map(one).collect()
}

fn signal(t: &Table<'_>) -> Signal {
    let Some(name) = t.text("stop_signal") else { return Signal::ALL[0] };
    Signal::ALL.into_iter().find(|s| s.name() == name).unwrap_or_else(|| {
        let known: Vec<&str> = Signal::ALL.iter().map(|s| s.name()).collect();
        t.wrong(t.place("stop_signal"), "no signal of this name", format!("known: {}", known.join(", ")));
        Signal::ALL[0]
    })
}

fn declares(root: &Table<'_>) -> Declares {
    let t = root.table("declares", &["mqtt", "max_qos", "offline_queue", "durability", "denies"]);
    let mqtt = t.texts("mqtt");
    for version in mqtt.iter().filter(|v| !["3.1", "3.1.1", "5.0"].contains(&v.as_str())) {
        t.wrong(t.place("mqtt"), format!("there is no MQTT {version}"), "known: \"3.1\", \"3.1.1\", \"5.0\"");
    }
    let durability = t.text("durability").map_or(Durability::Unknown, |text| match text.as_str() {
        "none" => Durability::None,
        "always" => Durability::Always,
        time => units::duration(time).map_or_else(
            |_| {
                let mend = "\"none\", \"always\", or how much of the last time may be lost, like \"1 s\"";
                t.wrong(t.place("durability"), "durability cannot be this", mend);
                Durability::Unknown
            },
            Durability::Within,
        ),
    });
    Declares {
        mqtt,
        max_qos: t.number("max_qos", 0, 2).and_then(|q| u8::try_from(q).ok()),
        offline_queue: t.number("offline_queue", 0, u64::MAX),
        durability,
        denies: t.texts("denies"),
    }
}

fn deviates(root: &Table<'_>) -> Vec<Deviation> {
    let tables = root.tables("deviates", &["mqtt", "statement", "case", "reason"]);
    let needed = |t: &Table<'_>, key: &str, example: &str| {
        if !t.has(key) {
            t.missing(example);
        }
        t.text(key).unwrap_or_default()
    };
    let one = |t: &Table<'_>| Deviation {
        mqtt: needed(t, "mqtt", "mqtt = \"5.0\""),
        statement: needed(t, "statement", "statement = \"3.1.2-8\""),
        case: t.text("case"),
        reason: needed(t, "reason", "reason = \"what it does instead\""),
    };
    tables.iter().map(one).collect()
}

/// Names in braces that stand for nothing.
fn braces(root: &Table<'_>, text: &str, ports: &[String]) {
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split('#').next().unwrap_or(line);
        for name in names(code) {
            let port = name.strip_prefix("port:");
            if NAMES.contains(&name) || port.is_some_and(|p| ports.iter().any(|known| known == p)) {
                continue;
            }
            let at = line_start + code.find(&format!("{{{name}}}")).unwrap_or(0);
            let span: Range<usize> = at..at + name.len() + 2;
            let mend = match port {
                Some(p) => format!("add \"{p}\" to ports"),
                None => {
                    let near = nearest(name, NAMES).map_or(String::new(), |n| format!("did you mean {{{n}}}? "));
                    format!("{near}known: {{{}}}", NAMES.join("}, {"))
                }
            };
            root.wrong(span, "this stands for nothing", mend);
        }
        line_start += line.len();
    }
}
