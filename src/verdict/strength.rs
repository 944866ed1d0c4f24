//! How much a verdict is worth: the counts behind it, its bound, and the hard paths that were walked.

use super::excuses::Excuse;
use super::rules::Breach;
use super::{Judge, outcome::Bound};
use crate::promise::{Guarantee, HardPath};
use std::collections::BTreeMap;

/// Counts behind the sentences.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub deliveries: u64,
    pub duplicates: [u64; 3],
    pub retained: u64,
    pub foreign: u64,
    /// PUBLISH sent again within a session, by QoS; PUBREL sent again.
    pub resends: [u64; 3],
    pub released_again: u64,
    /// PUBLISH received with DUP, by QoS.
    pub redelivered: [u64; 3],
    pub cut_in_flight: [u64; 3],
    pub suppressed: u64,
    pub sessions_checked: u64,
    pub sessions_resumed: u64,
    pub connections: u64,
    pub connections_lost: u64,
    pub power_cuts: u64,
    pub kills: u64,
    /// Kills of a broker that owed something.
    pub kills_owing: u64,
    pub restarts: u64,
    pub pauses: u64,
    pub order_checked: u64,
    pub breaches: BTreeMap<Breach, u64>,
    pub excuses: BTreeMap<Excuse, u64>,
    /// Tails still on their way when the drain ended, by effective QoS.
    pub late: [u64; 3],
    /// Deliveries that a client under test did not let the broker make.
    pub prevented: u64,
    /// Hand-shakes that went on to the last moments of the drain.
    pub under_way: u64,
    pub lost_by_group: Vec<u64>,
    pub duplicated_by_group: Vec<u64>,
}

impl Tally {
    /// How often something that a scenario can name was walked.
    pub const fn walked(&self, path: HardPath) -> u64 {
        match path {
            HardPath::PowerCut => self.power_cuts,
            HardPath::Return => self.sessions_checked,
            HardPath::Kill => self.kills,
            HardPath::Restart => self.restarts,
            HardPath::Pause => self.pauses,
        }
    }
}

/// The guarantees that a named hard path puts to the test.
pub(super) const fn tests(path: HardPath) -> &'static [Guarantee] {
    use Guarantee::{Liveness, Qos1, Qos2, Session};
    match path {
        HardPath::PowerCut => &[Qos1, Qos2],
        HardPath::Return => &[Session],
        HardPath::Kill | HardPath::Restart => &[Qos1, Qos2, Session],
        HardPath::Pause => &[Liveness],
    }
}

impl Judge {
    /// The hard paths of a guarantee, and how often each was walked.
    pub(super) fn hard_paths(&self, guarantee: Guarantee) -> Vec<(&'static str, u64)> {
        let t = &self.tally;
        let q = if guarantee == Guarantee::Qos2 { 2 } else { 1 };
        let delivery = || {
            let waited = self.receivers.iter().filter(|r| r.most_queued > 0).count() as u64;
            vec![
                ("reconnects with messages in flight", t.cut_in_flight[q]),
                ("PUBLISH sent again", t.resends[q]),
                ("messages that waited for an absent subscriber", waited),
                ("offline queues overflowed", self.overflows()),
                ("kills with messages owed", t.kills_owing),
            ]
        };
        match guarantee {
            Guarantee::Qos1 => [delivery(), vec![("repeats delivered with DUP", t.redelivered[1])]].concat(),
            Guarantee::Qos2 => [
                delivery(),
                vec![
                    ("PUBREL sent again", t.released_again),
                    ("duplicates suppressed by the subscriber", t.suppressed),
                ],
            ]
            .concat(),
            Guarantee::Order => vec![("sessions resumed", t.sessions_resumed)],
            Guarantee::Session => vec![("returns to a session", t.sessions_checked)],
            Guarantee::Liveness => vec![("connections lost", t.connections_lost)],
            _ => self.strength(guarantee).map_or_else(Vec::new, |s| s.hard_paths),
        }
    }

    /// A hard path that the scenario names and that nobody walked.
    pub(super) fn unwalked(&self, guarantee: Guarantee) -> Option<HardPath> {
        let named = self.promises.must_walk.iter().copied();
        named.filter(|path| tests(*path).contains(&guarantee)).find(|path| self.tally.walked(*path) == 0)
    }

    /// Subscribers for whom more waited than the broker's declared queue holds.
    pub(super) fn overflows(&self) -> u64 {
        self.receivers.iter().filter(|r| self.overflowed(r)).count() as u64
    }
}

/// The 95 % bounds on the rate of failure. 0 of n: at most 3/n ("rule of three", from (1 - p)^n = 5 %). k of n: Wilson's score
/// interval, z = 1.96, which holds for small counts too. None where nothing was judged.
pub(super) fn bound(failures: u64, cases: u64) -> Option<Bound> {
    if cases == 0 {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let (n, k) = (cases as f64, failures.min(cases) as f64);
    if failures == 0 {
        return Some(Bound { low: 0.0, high: (3.0 / n).min(1.0), method: "rule of three" });
    }
    let (z, p) = (1.96, k / n);
    let (centre, spread) = (p + z * z / (2.0 * n), z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt());
    let scale = 1.0 + z * z / n;
    let (low, high) = (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0));
    Some(Bound { low, high, method: "Wilson" })
}

#[cfg(test)]
mod unit {
    /// Newcombe 1998 (Statistics in Medicine 17, table I), method 3: 81 of 263 and 15 of 148; and the end where all fail.
    #[test]
    fn bounds_are_those_of_the_books() {
        for (k, n, low, high) in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (1, 29, 0.0061, 0.1718)] {
            let b = super::bound(k, n).expect("cases");
            assert!((b.low - low).abs() < 1e-4 && (b.high - high).abs() < 1e-4, "{k} of {n}: {b:?}");
        }
        let none = super::bound(0, 300).expect("cases");
        assert_eq!((none.low, none.high, none.method), (0.0, 0.01, "rule of three"));
        assert_eq!(super::bound(0, 2).map(|b| b.high), Some(1.0));
        assert_eq!(super::bound(7, 5).map(|b| b.high), Some(1.0), "more failures than cases: each failed");
        assert_eq!(super::bound(0, 0), None);
    }
}
