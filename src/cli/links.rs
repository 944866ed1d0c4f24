//! `squall links`.

use super::exit;
use crate::link::profile::{self, Preset};
use crate::scenario::diagnostics::nearest;
use crate::scenario::explain::one_way;

/// Arguments of `squall links`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Explain this preset, with the source of each number; or "traces": the formats of recorded links
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> u8 {
    let Some(name) = &args.name else {
        list();
        return exit::OK;
    };
    if name == "traces" {
        print!("{TRACES}");
        return exit::OK;
    }
    if let Some(preset) = profile::all().iter().find(|p| p.name == name) {
        explain(preset);
        return exit::OK;
    }
    let names: Vec<&str> = profile::all().iter().map(|p| p.name).collect();
    eprintln!("squall links: no preset is called \"{name}\"");
    if let Some(near) = nearest(name, names.iter().copied()) {
        eprintln!("  did you mean \"{near}\"?");
    }
    eprintln!("  presets: {}", names.join(", "));
    exit::USAGE
}

const TRACES: &str = r#"Recorded links, in a scenario: [link.mine] up = { trace = { csv = "site.csv" } }

  csv        a header line, then a line for each change; an empty cell leaves the link's own setting
                 time,rate,delay,loss
                 0,62000,400,0.01
                 12.5,9000,,0.2
             time in s from 0 on, ascending; rate in bit/s (0: nothing moves); delay in ms; loss from 0 to 1
             the last line holds as long as the one before it, then the trace begins again
  mahimahi   a time in whole ms a line, each an opportunity for 1,504 bytes; the last is when it begins again

Files are looked for beside the scenario's. What a trace does not tell (jitter, queue, ...) is the link's own.
"#;

fn list() {
    println!(
        "{:<18} {:>10} {:>10} {:>9} {:>9} {:>6}  what it is",
        "preset", "kbit/s up", "down", "delay up", "loss", "MTU"
    );
    for preset in profile::all() {
        let spec = preset.spec();
        let rate = |r: Option<u64>| r.map_or("-".into(), |r| format!("{:.1}", r as f64 / 1e3));
        println!(
            "{:<18} {:>10} {:>10} {:>6.0} ms {:>7.1} % {:>6}  {}",
            preset.name,
            rate(spec.up.rate),
            rate(spec.down.rate),
            one_way(&spec.up, 104) * 1e3,
            spec.up.loss.stationary() * 100.0,
            spec.mtu,
            preset.summary
        );
    }
    println!("\ndelay: expected, of a message of 64 B in a segment of its own; `squall links NAME` tells the sources");
}

fn explain(preset: &Preset) {
    println!("{}: {}\n", preset.name, preset.summary);
    for (what, value, source) in preset.sources {
        println!("  {what:<14} {value}\n  {:<14} source: {source}", "");
    }
}
