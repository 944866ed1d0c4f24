//! `squall run`.
use super::{colour, exit, target_error};
use crate::scenario;
use crate::target::{Target, Wish};
use std::path::PathBuf;

/// Arguments of `squall run`.
#[derive(clap::Args)]
pub(super) struct Args {
    file: PathBuf,
    #[arg(long, default_value = "reference")]
    target: String,
    #[arg(long)]
    defect: Vec<String>,
}

pub(super) fn run(args: &Args) -> u8 {
    let scenario = match scenario::load(&args.file) {
        Ok(s) => s,
        Err(e) => { eprint!("{}", e.render(colour(&std::io::stderr()))); return exit::USAGE; }
    };
    let folder = std::path::PathBuf::from("/tmp/squall-x"); let _ = std::fs::create_dir_all(&folder);
    let wish = Wish { target: &args.target, remote: false, load: "x", defects: &args.defect, folder: &folder };
    let mut target = match Target::prepare(&wish) { Ok(t) => t, Err(e) => return target_error(&e) };
    let mut last = 0;
    let o = crate::run::run(&scenario, &mut target, crate::run::Settings { seed: scenario.seed, loops: 0, strict: false }, |p| {
        let s = p.now.as_nanos() / 2_000_000_000; if s != last { last = s; eprintln!("{p:?}"); }
    }, || 0);
    let o = match o { Ok(o) => o, Err(e) => return target_error(&e) };
    for g in &o.verdicts.guarantees { println!("{:?} {:?} {} {:?} {:?}", g.guarantee, g.outcome, g.sentence, g.breaches, g.hard_paths); }
    for e in &o.verdicts.evidence { println!("{}", e.title); for m in &e.time_line { println!("   {:?} {} {:?} {} {}", m.at, m.who, m.direction, m.what, m.note); } }
    for (g, n) in o.summary.groups.iter().zip(&o.promises.groups) { println!("{} {:?} {:?}", n.name, g.counts, g.wire); for l in &g.latencies { println!("  {:?} n={} p50={} p99={} max={}", l.latency, l.intended.len(), l.intended.value_at_quantile(0.5)/1000, l.intended.value_at_quantile(0.99)/1000, l.intended.max()/1000); } }
    println!("{:?} {:?} {:?}", o.partial, o.notes, o.summary.harness.tainted);
    println!("excuses {:?} cpu {:?} broker {:?}", o.verdicts.excuses, o.summary.harness.cpu, o.summary.broker_cpu);
    exit::OK
}
