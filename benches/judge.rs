//! What judging costs: 10,000 sensors, one subscriber, up to 14.4 million messages (a day at one a minute each).
//! `cargo bench --bench judge`; ARCHITECTURE.md has the figures.
//!
//! Bytes are those that the judge has allocated and not freed; the ratio is to those after 100,000 messages, when the ring of events that it
//! keeps for each client is full. Nanoseconds are those of making the events and judging them, on one thread.

use squall::clock::Clock;
use squall::promise::Guarantee;

#[path = "../tests/support/allocations.rs"]
mod allocations;
#[path = "../tests/support/history.rs"]
mod history;
use history::History;

const SENSORS: u32 = 10_000;
/// Messages of each sensor at which it is looked.
const MARKS: [u32; 4] = [10, 100, 1_000, 1_440];

fn main() {
    // `cargo test` runs benches too.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    println!("| history | messages | MiB held | ratio | ns a message |");
    println!("|---|---|---|---|---|");
    for (name, qos, losing) in [
        ("QoS 0, unbroken", 0, None),
        ("QoS 1, unbroken", 1, None),
        ("QoS 2, unbroken", 2, None),
        ("QoS 1, one of 100 lost", 1, Some(100)),
    ] {
        table(name, qos, losing);
    }
}

fn table(name: &str, qos: u8, losing: Option<u32>) {
    let before = allocations::live();
    let mut history = History::new(SENSORS, qos, losing);
    let (mut done, mut first) = (0, None);
    for mark in MARKS {
        let clock = Clock::start();
        history.go_on(mark - done);
        let messages = u64::from(mark - done) * u64::from(SENSORS);
        let nanos = clock.now().as_secs_f64() * 1e9 / messages as f64;
        done = mark;
        let held = (allocations::live() - before) as f64;
        let ratio = held / *first.get_or_insert(held);
        let total = u64::from(mark) * u64::from(SENSORS);
        println!("| {name} | {total} | {:.1} | {ratio:.3} | {nanos:.0} |", held / f64::from(1 << 20));
    }
    let verdicts = history.finish();
    let failed = |g: Guarantee| verdicts.guarantees.iter().find(|j| j.guarantee == g).map_or(0, |j| j.failures);
    let lost = losing.map_or(0, |every| u64::from(done / every) * u64::from(SENSORS));
    assert_eq!(failed(Guarantee::Qos1), lost, "each loss is told, and no other");
}
