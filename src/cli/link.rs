//! `squall link`.

use super::behind::{self, Behind};
use super::{colour, exit, signals};
use crate::link::capture::{Tap, write_pcapng};
use crate::link::profile;
use crate::link::spec::LinkSpec;
use crate::measure::summary::Wire;
use crate::run::relay::{Relay, Settings, Stats};
use crate::scenario::model::NamedLink;
use crate::scenario::{self, units};
use crate::time::{Duration, Instant};
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that a capture keeps at most, all connections together (assumed).
pub(super) const CAPTURE: usize = 64 << 20;

/// Arguments of `squall link`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1884", conflicts_with = "command")]
    listen: SocketAddr,
    /// Where the broker listens, host:port
    #[arg(long, value_name = "ADDR", required_unless_present = "command", conflicts_with = "command")]
    to: Option<String>,
    /// The link that each connection gets: a preset (`squall links`), or one that the scenario uses
    #[arg(long, value_name = "NAME")]
    profile: String,
    /// A scenario file with the link
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Same seed: same losses, packet by packet of each connection
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after this time; otherwise with Ctrl-C or SIGTERM
    #[arg(long = "for", value_name = "TIME", value_parser = time, conflicts_with = "command")]
    lasts: Option<Duration>,
    /// Write the packets at the clients' end to this pcapng file
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Allow a broker that is not on this machine
    #[arg(long, conflicts_with = "command")]
    remote: bool,
    /// With COMMAND: the broker that is started at the other end of the link (`squall targets`); left out: reference
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// A client to run behind the link, in a network namespace (root), instead of listening: `{host}` and `{port}` in its
    /// arguments, and `MQTT_HOST` and `MQTT_PORT` in its environment, are the broker's
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn time(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|expected| format!("expected {expected}"))
}

pub(super) fn run(args: &Args) -> u8 {
    let ran = link(args).and_then(|spec| match &args.to {
        Some(to) => Ok(listen(args, spec, broker(args, to)?)),
        None => {
            let target = args.target.as_deref().unwrap_or("reference");
            let (command, pcap) = (&*args.command, args.pcap.as_deref());
            Ok(behind::run(&Behind { target, spec, seed: args.seed, command, pcap }))
        }
    });
    ran.unwrap_or_else(|message| {
        eprint!("{message}");
        exit::USAGE
    })
}

fn listen(args: &Args, spec: Arc<LinkSpec>, to: SocketAddr) -> u8 {
    let capture = if args.pcap.is_some() { CAPTURE } else { 0 };
    let settings = Settings { listen: args.listen, to, spec, seed: args.seed, capture };
    let relayed = Relay::bind(settings).and_then(|mut relay| {
        println!("listening on {}, {} to {to}", relay.local_addr()?, args.profile);
        std::io::stdout().flush()?;
        let stop = signals::count("stopping");
        let end = args.lasts.map_or(Instant::FAR, |d| Instant::ZERO + d);
        relay.run(|now| now >= end || stop.asked() > 0)?;
        Ok(relay)
    });
    let relay = match relayed {
        Ok(relay) => relay,
        Err(error) => {
            eprintln!("squall link: {}: {error}", args.listen);
            return exit::TARGET;
        }
    };
    tell(&relay.stats());
    args.pcap.as_ref().map_or(exit::OK, |file| save(file, relay.taps(), relay.epoch()))
}

/// The link that was named.
fn link(args: &Args) -> Result<Arc<LinkSpec>, String> {
    let own: Vec<NamedLink> = match &args.scenario {
        None => Vec::new(),
        Some(file) => {
            let scenario = scenario::load(file).map_err(|e| e.render(colour(&std::io::stderr())))?;
            let fleets = scenario.fleets.iter().map(|f| &f.device);
            let devices = fleets.chain(scenario.subscribers.iter().map(|s| &s.device));
            devices.filter_map(|d| d.link.clone()).collect()
        }
    };
    let found = own.iter().find(|l| l.name == args.profile).map(|l| Arc::clone(&l.spec));
    found.or_else(|| profile::preset(&args.profile).map(Arc::new)).ok_or_else(|| {
        let names = own.iter().map(|l| l.name.as_str()).chain(profile::all().iter().map(|p| p.name));
        let near = scenario::diagnostics::nearest(&args.profile, names.clone());
        let near = near.map_or(String::new(), |near| format!("  did you mean \"{near}\"?\n"));
        let names: Vec<&str> = names.collect();
        format!("squall link: no link is called \"{}\"\n{near}  there are: {}\n", args.profile, names.join(", "))
    })
}

fn broker(args: &Args, to: &str) -> Result<SocketAddr, String> {
    let wrong = |why: &str| format!("squall link: --to {to}: {why}\n  write host:port\n");
    if let Some(target) = &args.target {
        return Err(format!(
            "squall link: --target {target} is started for a client that squall runs too, and there is no COMMAND\n  \
             take --to out and add -- COMMAND, or take --target out\n"
        ));
    }
    let mut known = to.to_socket_addrs().map_err(|e| wrong(&e.to_string()))?;
    let to = known.next().ok_or_else(|| wrong("it has no address"))?;
    if !to.ip().is_loopback() && !args.remote {
        return Err(format!("squall link: {to} is not on this machine\n  --remote allows it\n"));
    }
    Ok(to)
}

/// The wire cost and the link's statistics.
fn tell(stats: &Stats) {
    let Stats { connections, refused, reset, up, down, wire } = stats;
    println!("connections: {connections}, refused by the broker: {refused}, reset: {reset}");
    println!("{:<28}{:>14}{:>14}", "", "to the broker", "to clients");
    println!("{:<28}{up:>14}{down:>14}", "bytes of the application");
    let line = |name: &str, figure: fn(&Wire) -> u64| {
        println!("{name:<28}{:>14}{:>14}", figure(&wire.up), figure(&wire.down));
    };
    line("IP bytes", |w| w.bytes);
    line("packets", |w| w.packets);
    line("sent again", |w| w.retransmissions);
    line("lost", |w| w.lost);
    line("dropped by the queue", |w| w.queue_drops);
    line("lost in outages", |w| w.outage_drops);
    line("duplicated", |w| w.duplicated);
    line("corrupted", |w| w.corrupted);
    let seconds = |w: &Wire| w.airtime as f64 / 1e9;
    println!("{:<28}{:>14.3}{:>14.3}", "seconds on the air", seconds(&wire.up), seconds(&wire.down));
}

/// Writes what was captured; the exit code.
pub(super) fn save(file: &Path, taps: &[Tap], epoch: u64) -> u8 {
    let written = std::fs::File::create(file).and_then(|f| write_pcapng(taps, epoch, &mut std::io::BufWriter::new(f)));
    if let Err(error) = written {
        eprintln!("squall link: {}: {error}", file.display());
        return exit::INCONCLUSIVE;
    }
    let missed: u64 = taps.iter().map(Tap::missed).sum();
    if missed > 0 {
        eprintln!("note: the capture is full, {missed} packets are not in it");
    }
    exit::OK
}
