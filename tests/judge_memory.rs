//! A judge's memory does not grow with an unbroken history, at any QoS; what is broken costs memory, so that the measure can fail.

use squall::promise::Guarantee;

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/history.rs"]
mod history;
use history::History;

/// Bytes that the judge holds after 64 messages of each of 50 sensors (its rings of events are full then), and after thirty times as many;
/// and the breaches.
fn held(qos: u8, losing: Option<u32>) -> (i64, i64, u64) {
    let before = allocations::live();
    let mut history = History::new(50, qos, losing);
    history.go_on(64);
    let early = allocations::live() - before;
    history.go_on(64 * 29);
    let late = allocations::live() - before;
    let verdicts = history.finish();
    let judged = verdicts.guarantees.iter().find(|j| j.guarantee == Guarantee::Order).expect("judged");
    assert!(judged.cases > 50 * 64 * 20, "it was shown all of it: {}", judged.cases);
    (early, late, verdicts.guarantees.iter().map(|j| j.failures).sum())
}

#[test]
fn an_unbroken_history_costs_no_memory_however_long() {
    for qos in 0..=2 {
        let (early, late, broken) = held(qos, None);
        assert!(early > 0 && broken == 0, "QoS {qos}: {early} bytes, {broken} breaches");
        assert_eq!(late, early, "QoS {qos}");
    }
}

#[test]
fn each_loss_costs_some() {
    let (early, late, broken) = held(1, Some(32));
    assert_eq!(broken, 50 * 60);
    assert!(late > early + 50 * 50 * 8, "{early}, then {late}: two ends of a run of numbers for each loss");
}
