//! `squall selftest`.

use super::exit;
use crate::promise::Guarantee;
use crate::simulate::selftest::{Line, brutal, selftest};

/// Arguments of `squall selftest`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Seeds of each defect
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// All in scenarios/brutal.toml as it is, with its kill and a store, instead of where each is met
    #[arg(long)]
    brutal: bool,
    /// As a Markdown table
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &Args) -> u8 {
    let titles: Vec<&str> = Guarantee::ALL.iter().map(|g| g.title()).collect();
    if args.markdown {
        println!("| defect | caught | {} | |\n|---|---|{}---|", titles.join(" | "), "---|".repeat(titles.len()));
    } else {
        println!("{:<26} {:>7}  {}", "defect", "caught", titles.iter().map(|t| format!("{t:>14}")).collect::<String>());
    }
    let watch = |line: &Line| show(line, args.markdown);
    let lines = if args.brutal { brutal(args.seeds, watch) } else { selftest(args.seeds, watch) };
    let wrong = lines.iter().filter(|l| l.wrong.is_some()).count();
    let defects = lines.iter().filter(|l| l.defect.is_some()).count();
    println!("\n{defects} defects, {} seeds each: {wrong} not as they must be", args.seeds);
    if wrong == 0 { exit::OK } else { exit::BROKEN }
}

fn show(line: &Line, markdown: bool) {
    let name = line.defect.map_or("none (healthy)".to_owned(), |d| format!("{d}:{}", line.every));
    let share = |n: u64| format!("{:.0} %", 100.0 * n as f64 / line.seeds as f64);
    let caught = if line.defect.is_none() || !line.why.is_empty() { "-".to_owned() } else { share(line.caught) };
    let cells = line.broken.iter().map(|n| if *n == 0 { "-".to_owned() } else { share(*n) });
    let said = line.wrong.as_deref().map_or(line.why.to_owned(), |w| format!("WRONG: {w}"));
    if markdown {
        println!("| {name} | {caught} | {} | {said} |", cells.collect::<Vec<_>>().join(" | "));
    } else {
        println!("{name:<26} {caught:>7}  {}  {said}", cells.map(|c| format!("{c:>14}")).collect::<String>());
    }
}
