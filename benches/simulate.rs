//! How fast virtual time is, and how its cost grows: `cargo bench --bench simulate -- rate seeds growth time day`.
//!
//! - `rate`: messages a CPU second, 1,000 sensors at 5 a second, QoS 1, direct and behind NB-IoT links.
//! - `seeds`: seeds a second of a small scenario (20 sensors, 60 s, 400 messages), on all cores.
//! - `growth`, `time`: CPU time a message by number of sensors (ten messages each, so that a connect weighs the same in all) and by length;
//!   both are drawn into docs/growth.svg.
//! - `day`: 10,000 sensors, 24 h, a message a minute, QoS 1, NB-IoT links, judged; and the memory that it needs, after an hour
//!   and at the end. Not run unless it is named.
//!
//! Medians of three where a run is short. The machine's other work shows in all of them.

use plotters::prelude::*;
use squall::clock::Clock;
use squall::promise::Count;
use squall::scenario::{self, model::Scenario};
use squall::simulate::{Settings, explore::explore, simulate};
use squall::target::resources;
use squall::time::Instant;
use std::borrow::Cow;

fn main() {
    // `cargo test` runs benches too: one short look that it still works is not worth its time there.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    if wanted("rate") {
        for link in ["none", "nb-iot"] {
            let rate = median(|| 1e6 / run(&fleet(1000, link, "200 ms", "30 s"), 1).micros);
            println!("1,000 sensors at 5/s, link {link}: {rate:.0} messages a CPU second");
        }
    }
    if wanted("seeds") {
        println!("20 sensors, 60 s, 400 messages: {:.0} seeds a second", median(seeds));
    }
    let sensors = if wanted("growth") { growth() } else { Vec::new() };
    let hours = if wanted("time") { time() } else { Vec::new() };
    if !sensors.is_empty() && !hours.is_empty() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/growth.svg");
        std::fs::write(path, chart(&sensors, &hours)).expect("writable");
        println!("{path}");
    }
    if parts.iter().any(|p| p == "day") {
        day();
    }
}

fn median(mut f: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<f64> = (0..3).map(|_| f()).collect();
    all.sort_by(f64::total_cmp);
    all[1]
}

fn fleet(sensors: u32, link: &str, every: &str, duration: &str) -> Scenario {
    let text = format!(
        "ramp = \"60 s\"\nduration = \"{duration}\"\ndrain = \"60 s\"\n\
         [fleet.s]\nsensors = {sensors}\nlink = \"{link}\"\nkeep_alive = \"120 s\"\n\
         publish = {{ topic = \"b/{{sensor}}\", qos = 1, payload = \"24 B\", every = \"{every}\" }}\n\
         [subscriber.all]\nfilters = [{{ filter = \"#\", qos = 1 }}]\n"
    );
    scenario::parse("bench.toml", &text).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

struct Cost {
    messages: u64,
    /// Microseconds of CPU a message.
    micros: f64,
    seconds: f64,
    /// Resident memory in MiB, after each virtual hour.
    memory: Vec<f64>,
}

fn run(scenario: &Scenario, threads: usize) -> Cost {
    let (clock, before) = (Clock::start(), resources::own_cpu());
    let mut memory = Vec::new();
    let outcome = simulate(scenario, &Settings { threads, ..Settings::default() }, |p| {
        if p.now >= Instant::from_millis(3_600_000 * (memory.len() as u64 + 1)) {
            memory.push(resident());
        }
        true
    });
    let cpu = (resources::own_cpu() - before).as_secs_f64();
    let counts = outcome.summary.groups.iter().flat_map(|g| &g.counts);
    let messages: u64 = counts.filter(|(c, _)| *c == Count::Sent).filter_map(|(_, n)| *n).sum();
    Cost { messages, micros: cpu * 1e6 / messages as f64, seconds: clock.now().as_secs_f64(), memory }
}

fn resident() -> f64 {
    let sample = resources::sample(&[std::process::id()], Instant::ZERO).expect("this process is there");
    sample.rss as f64 / f64::from(1 << 20)
}

fn seeds() -> f64 {
    let scenario = scenario::parse(
        "small.toml",
        "ramp = \"1 s\"\nduration = \"60 s\"\n[fleet.s]\nsensors = 20\nlink = \"lte-m\"\n\
         publish = { topic = \"b/{sensor}\", qos = 1, every = \"3 s\" }\n\
         [subscriber.all]\nfilters = [{ filter = \"#\", qos = 1 }]\n",
    );
    let scenario = scenario.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let clock = Clock::start();
    let found = explore(|_| Cow::Borrowed(&scenario), &Settings::default(), 0..1000, true, |_, _| true);
    found.seeds as f64 / clock.now().as_secs_f64()
}

/// Ten messages a sensor, and at least 100,000 in all, by as many runs as that takes: (sensors, microseconds a message).
fn growth() -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for sensors in [10, 100, 1_000, 10_000, 100_000] {
        let scenario = fleet(sensors, "nb-iot", "60 s", "9 min");
        let runs: Vec<Cost> = (0..(10_000 / sensors).max(1)).map(|_| run(&scenario, 1)).collect();
        let messages: u64 = runs.iter().map(|r| r.messages).sum();
        let micros = runs.iter().map(|r| r.micros * r.messages as f64).sum::<f64>() / messages as f64;
        println!("{sensors:>7} sensors: {micros:.1} us of CPU a message");
        points.push((f64::from(sensors), micros));
    }
    tell_steps(&points);
    points
}

/// 100 sensors, a message a minute: (hours, microseconds a message).
fn time() -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for hours in [1, 4, 16, 64] {
        let cost = run(&fleet(100, "nb-iot", "60 s", &format!("{hours} h")), 1);
        println!("{hours:>3} h: {:.1} us of CPU a message", cost.micros);
        points.push((f64::from(hours), cost.micros));
    }
    tell_steps(&points);
    points
}

/// n log n would let the cost a message grow with log n: which steps kept to that, and how much more was it at worst?
fn tell_steps(points: &[(f64, f64)]) {
    let mut steepest: f64 = 0.0;
    for step in points.windows(2) {
        let (from, to) = (step[0], step[1]);
        let (grew, allowed) = (to.1 / from.1, libm::log(10.0 * to.0) / libm::log(10.0 * from.0));
        let word = if grew <= allowed { "within" } else { "above" };
        println!("  {} to {}: {grew:.2} times the cost a message, {word} n log n ({allowed:.2})", from.0, to.0);
        steepest = steepest.max(grew / allowed);
    }
    println!("the steepest step is {steepest:.2} times that of n log n");
}

fn day() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cost = run(&fleet(10_000, "nb-iot", "60 s", "24 h"), threads);
    println!(
        "10,000 sensors, 24 h: {} messages in {:.0} s ({:.0} s of CPU, {threads} threads); {:.0} MiB after 1 h, {:.0} MiB at the end",
        cost.messages,
        cost.seconds,
        cost.micros * cost.messages as f64 / 1e6,
        cost.memory[0],
        cost.memory.last().expect("24 of them"),
    );
}

/// Two panels, both axes logarithmic by our own mapping, so that the file is the same wherever the figures are.
fn chart(sensors: &[(f64, f64)], hours: &[(f64, f64)]) -> String {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 320)).into_drawing_area();
        root.fill(&WHITE).expect("a string takes everything");
        let (left, right) = root.split_horizontally(450);
        panel(&left, "sensors (ten messages each)", sensors);
        panel(&right, "virtual hours (100 sensors)", hours);
        root.present().expect("a string takes everything");
    }
    svg
}

fn panel(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, x: &str, points: &[(f64, f64)]) {
    let log = |v: f64| libm::log10(v);
    let top = points.iter().map(|p| p.1).fold(1.0, f64::max) * 1.3;
    let (first, last) = (log(points[0].0), log(points[points.len() - 1].0));
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(first..last, 0.0..top)
        .expect("room for a chart");
    let show = |v: &f64| format!("{:.0}", libm::pow(10.0, *v));
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc("us of CPU a message")
        .x_labels(points.len())
        .x_label_formatter(&show)
        .draw()
        .expect("a string takes everything");
    let at = |p: &(f64, f64)| (log(p.0), p.1);
    chart.draw_series(LineSeries::new(points.iter().map(at), &BLUE)).expect("a string takes everything");
    let dots = points.iter().map(|p| Circle::new(at(p), 3, BLUE.filled()));
    chart.draw_series(dots).expect("a string takes everything");
}
