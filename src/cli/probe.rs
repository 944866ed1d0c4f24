//! `squall probe`.

use super::{exit, signals, target_error};
use crate::peer::Site;
use crate::probe::{self, Probed, Value, table};
use crate::target::ending::Scratch;
use crate::target::manifest::Manifest;
use crate::target::stop::Stop;
use crate::target::stream::Endpoint;
use crate::target::{Target, TargetError, Wish};
use crate::transport::Kind;
use std::sync::Arc;

/// Arguments of `squall probe`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Brokers that squall knows (`squall targets`), or container:IMAGE, or addresses, mqtt://[user[:password]@]host:port
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// text, markdown (a table, a column a broker), json (with each exchange), or manifest (the capability part of one)
    #[arg(long, default_value = "text", value_name = "FORMAT", value_parser = ["text", "markdown", "json", "manifest"])]
    format: String,
    /// With text: the exchange that shows each answer
    #[arg(short, long)]
    verbose: bool,
    /// Allow addresses that are not on this machine
    #[arg(long)]
    remote: bool,
    /// A deliberate bug of the reference broker (`squall broker --defect list`)
    #[arg(long, value_name = "NAME[:EVERY]")]
    defect: Vec<String>,
    #[command(flatten)]
    way: super::way::WayArgs,
}

pub(super) fn run(args: &Args) -> u8 {
    signals::end_at_once();
    let mut all = Vec::new();
    let mut worst = exit::OK;
    for (n, target) in args.targets.iter().enumerate() {
        match one(args, target, n) {
            Ok((probed, died)) => {
                if let Some(how) = died {
                    eprintln!("squall: {} did not live to the end: {how}", probed.name);
                    worst = worst.max(exit::TARGET);
                }
                if args.format == "text" {
                    print!("{}", table::text(&probed));
                    if args.verbose {
                        probed.findings.iter().for_each(|f| print!("\n{}: {}\n{}", f.title, f.value, f.exchange));
                    }
                }
                all.push(probed);
            }
            Err(error) => worst = worst.max(target_error(&error)),
        }
    }
    match args.format.as_str() {
        "markdown" => print!("{}", table::markdown(&all)),
        "json" => print!("{}", table::json(&all)),
        "manifest" => all.iter().for_each(|p| print!("# {}, as measured\n{}", p.name, table::manifest(p))),
        _ => {}
    }
    worst
}

fn one(args: &Args, named: &str, n: usize) -> Result<(Probed, Option<String>), TargetError> {
    // Dropped after the target, which may still write into it.
    let (scratch, stop) = (Scratch::new(&format!("probe-{n}"))?, Stop::default());
    let manifest = manifest(named)?;
    let way = args.way.way(Vec::new());
    let load = "some thousand small messages and one of 16 MiB";
    let (folder, defects) = (scratch.path(), &*args.defect);
    let wish = Wish { target: named, remote: args.remote, load, defects, folder, way: &way, stop: &stop };
    let mut target = Target::prepare(&wish)?;
    let site = |(kind, endpoint): &(Kind, Endpoint)| (*kind, Site::new(Arc::new(endpoint.clone()), None));
    let mut others: Vec<(Kind, Site)> = target.further(&way)?.iter().map(site).collect();
    let usual = Site::new(target.endpoints.usual().clone(), target.credentials.clone());
    others.extend(target.endpoints.usual().transport.as_ref().map(|t| (t.kind(), usual.clone())));
    let tag = format!("p{:03x}", std::process::id() & 0xFFF);
    let findings = probe::probe(&usual, &others, &tag, |title| eprintln!("{}: {title}", target.name));
    let mut probed = Probed { name: target.name.clone(), note: target.note.clone(), findings, warnings: Vec::new() };
    probed.warnings = manifest.map_or_else(Vec::new, |m| warnings(&m, &probed));
    let died = target.died();
    for note in target.end() {
        eprintln!("note: {note}");
    }
    Ok((probed, died))
}

/// An address and an image have none.
fn manifest(named: &str) -> Result<Option<Manifest>, TargetError> {
    let has_none = named.contains("://") || named.starts_with("container:");
    if has_none { Ok(None) } else { Manifest::find(named).map(Some) }
}

/// Where the manifest declares something else than what was seen.
fn warnings(m: &Manifest, p: &Probed) -> Vec<String> {
    let mut all = Vec::new();
    for (key, version) in [("mqtt_3.1", "3.1"), ("mqtt_3.1.1", "3.1.1"), ("mqtt_5.0", "5.0")] {
        let declared = m.declares.mqtt.iter().any(|v| v == version);
        match p.value(key) {
            Some(Value::Yes) if !declared => {
                all.push(format!("it speaks MQTT {version}, and its manifest does not declare it"))
            }
            Some(Value::No(why)) if declared => all.push(format!("its manifest declares MQTT {version}: {why}")),
            _ => {}
        }
    }
    let highest = m.declares.max_qos.unwrap_or(2);
    for qos in 1..=2u8 {
        let seen = p.value(&format!("qos_{qos}"));
        if qos <= highest && seen.is_some_and(|v| *v != Value::Yes) {
            all.push(format!(
                "its manifest declares QoS {qos}: {}",
                seen.map_or_else(String::new, ToString::to_string)
            ));
        }
        if qos > highest && seen == Some(&Value::Yes) {
            all.push(format!("it grants and keeps QoS {qos}, and its manifest declares {highest} at most"));
        }
    }
    if let (Some((seen, is_all)), Some(declared)) = (table::queued(p), m.declares.offline_queue)
        && (seen > declared || (is_all && seen < declared))
    {
        let least = if is_all { "" } else { "at least " };
        all.push(format!("its manifest declares an offline queue of {declared}, and {least}{seen} messages came back"));
    }
    for (key, kind) in [("tls", Kind::Tls), ("websocket", Kind::Ws)] {
        if let Some(seen) = p.value(key).filter(|v| **v != Value::Yes && m.listen.contains_key(&kind)) {
            all.push(format!("its manifest opens a listener for {kind}: {seen}"));
        }
    }
    all
}
