//! Every deliberate defect against every oracle: each must trip its own, may trip what follows from it, and no other; the
//! healthy broker none.

use super::explore::explore;
use super::{Durable, Settings};
use crate::broker::defects::{Defect, Strike};
use crate::promise::Guarantee;
use crate::scenario::{self, model::FaultAction, model::Scenario};
use std::borrow::Cow;

/// Everything at once, in small; the scenario that most defects meet.
const BRUTAL: &str = include_str!("../../scenarios/brutal.toml");

/// What is promised beyond delivery.
const FEATURES: &str = include_str!("../../scenarios/features.toml");

/// A narrow window on a slow link, so that a broker that overruns it is seen to.
const NARROW: &str = r##"
ramp = "0 s"
duration = "20 s"
[fleet.burst]
sensors = 2
publish = { topic = "n/{sensor}", qos = 2, payload = "32 B", every = "2 s", burst = 5 }
[subscriber.narrow]
mqtt = "5.0"
session = "persistent"
receive_maximum = 2
link = "slow"
filters = [{ filter = "n/#", qos = 2 }]
[link.slow]
delay = "200 ms"
"##;

/// Somebody is away with messages waiting when the broker is killed, and the broker has a store.
const STORED: &str = r##"
ramp = "0 s"
duration = "30 s"
[fleet.meter]
sensors = 2
publish = { topic = "m/{sensor}", qos = 1, payload = "32 B", every = "2 s" }
[fleet.valve]
sensors = 2
publish = { topic = "v/{sensor}", qos = 2, payload = "32 B", every = "2 s" }
[subscriber.sleeper]
session = "persistent"
filters = [{ filter = "m/+", qos = 1 }, { filter = "v/+", qos = 2 }]
offline = [{ at = "8 s", for = "12 s" }]
[[fault]]
at = "15 s"
broker = "kill"
back_after = "1 s"
"##;

/// Where a defect is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum On {
    Brutal,
    Narrow,
    Features,
    Stored,
}

/// What a defect is to be caught by.
#[derive(Clone, Copy, Debug)]
struct Expected {
    defect: Defect,
    /// At every how many opportunities it strikes.
    every: u32,
    on: On,
    /// One of these must break; none: nothing may.
    own: &'static [Guarantee],
    /// These may break too, since they follow from it.
    related: &'static [Guarantee],
    /// Why nothing is to break, if nothing is.
    why: &'static str,
}

const fn expected(defect: Defect, every: u32, own: &'static [Guarantee], related: &'static [Guarantee]) -> Expected {
    Expected { defect, every, on: On::Brutal, own, related, why: "" }
}

fn table() -> Vec<Expected> {
    use Defect as D;
    use Guarantee::{
        Expiry, KeepAlive, Liveness, Order, Payload, Properties, Protocol, Qos0, Qos1, Qos2, Retained, Routing,
        Session, Subscriptions, TakeOver, Wills,
    };
    let feature = |defect, every, own, related| Expected { on: On::Features, ..expected(defect, every, own, related) };
    let nothing = |defect, why| Expected { why, ..expected(defect, 1, &[], &[]) };
    vec![
        // Order, here and below: what is handed on once more after a resume, and then lost or spoilt, leaves a gap in the repeat.
        expected(D::LoseAcked, 10, &[Qos1, Qos2], &[Order]),
        expected(D::DuplicateQos0, 10, &[Qos0], &[]),
        nothing(D::DuplicateQos1, "legal: at least once"),
        expected(D::DuplicateQos2, 10, &[Qos2], &[]),
        // What is held back for a successor that never comes is lost.
        expected(D::Reorder, 3, &[Order], &[Qos1, Qos2]),
        // A spoilt copy is not the message: that one is lost.
        expected(D::CorruptPayload, 10, &[Payload], &[Qos1, Qos2, Order]),
        expected(D::TruncatePayload, 10, &[Payload], &[Qos1, Qos2, Order]),
        expected(D::Misroute, 10, &[Routing], &[]),
        expected(D::WrongTopic, 10, &[Routing], &[Qos1, Qos2, Order]),
        // Filed under the QoS that the message was published with.
        expected(D::RaiseQos, 3, &[Qos0, Qos1, Qos2], &[Order]),
        expected(D::DupAtQos0, 10, &[Protocol], &[]),
        // A message that is handed on again may come after later ones.
        expected(D::ForgetQos2Ids, 1, &[Qos2], &[Order]),
        expected(D::ForgetInFlight, 1, &[Qos1, Qos2], &[Order]),
        expected(D::DropOffline, 3, &[Qos1, Qos2], &[Order]),
        expected(D::ForgetSession, 3, &[Session], &[Qos1, Qos2, Order, Liveness]),
        expected(D::InventSession, 3, &[Session], &[Qos1, Qos2, Order]),
        expected(D::ReverseResume, 1, &[Order], &[]),
        Expected { on: On::Narrow, ..expected(D::IgnoreReceiveMaximum, 1, &[Protocol], &[Liveness, Qos2]) },
        expected(D::StrayAck, 10, &[Protocol], &[Liveness]),
        expected(D::Malformed, 10, &[Protocol], &[Liveness]),
        expected(D::SwallowAck, 10, &[Liveness], &[]),
        expected(D::FreezeAll, 40, &[Liveness], &[Qos1, Qos2, Order]),
        // Not always seen: a client that hears nothing within its keep alive leaves, and all is well on the next connection.
        expected(D::Freeze, 5, &[Liveness], &[Qos1, Qos2]),
        feature(D::WillOnDisconnect, 1, &[Wills], &[]),
        feature(D::WillNever, 1, &[Wills], &[]),
        feature(D::WillTwice, 1, &[Wills], &[]),
        feature(D::IgnoreWillDelay, 1, &[Wills], &[]),
        feature(D::WillDespiteReturn, 1, &[Wills], &[]),
        feature(D::KeepRetained, 1, &[Retained], &[]),
        feature(D::RetainOlder, 1, &[Retained], &[]),
        feature(D::ForgetRetained, 1, &[Retained], &[]),
        // What looks like a replay is no live copy.
        feature(D::RetainOnLive, 1, &[Retained], &[Qos1, Qos2, Order]),
        feature(D::LoseRetainFlag, 1, &[Retained], &[]),
        feature(D::IgnoreRetainHandling, 1, &[Retained], &[]),
        feature(D::NeverCloseSilent, 1, &[KeepAlive], &[Wills]),
        // A connection that breaks has a will.
        feature(D::PingsDoNotCount, 1, &[KeepAlive], &[Wills]),
        feature(D::KeepOldConnection, 1, &[TakeOver], &[]),
        feature(D::EchoNoLocal, 3, &[Subscriptions], &[]),
        feature(D::KeepSubscription, 1, &[Subscriptions], &[]),
        feature(D::DropIdentifier, 3, &[Subscriptions], &[]),
        feature(D::DropProperties, 3, &[Properties], &[]),
        feature(D::ReverseUserProperties, 3, &[Properties], &[]),
        feature(D::IgnoreExpiry, 1, &[Expiry], &[]),
        feature(D::FreezeExpiry, 1, &[Expiry], &[]),
        feature(D::AliasOutOfRange, 1, &[Protocol], &[Qos1, Qos2, Liveness, Order]),
        feature(D::IgnorePacketSize, 1, &[Protocol], &[]),
        feature(D::DollarToWildcard, 10, &[Subscriptions], &[]),
        feature(D::ForgetOldest, 1, &[Qos1], &[Order]),
        expected(D::CarryDup, 1, &[Protocol], &[]),
        // What takes another's place is taken for a repeat of it, and the exchange of one of them never ends.
        expected(D::ReuseIds, 10, &[Protocol], &[Qos1, Qos2, Order, Liveness]),
        expected(D::UnknownPubrel, 5, &[Protocol], &[]),
        Expected { on: On::Stored, ..expected(D::AckUnstored, 1, &[Qos1, Qos2], &[Order]) },
        expected(D::ShareTwice, 5, &[Subscriptions], &[Qos2]),
        Expected { on: On::Narrow, ..expected(D::LeakQuota, 5, &[Qos2], &[]) },
        feature(D::StallOnLarge, 1, &[Qos1], &[]),
        feature(D::ForgetOptions, 1, &[Subscriptions], &[]),
        feature(D::TwiceAtTakeOver, 1, &[Qos2], &[]),
    ]
}

/// Every defect in the brutal scenario as it is, with its kill and a store that outlives it: how likely each is to be caught there.
pub fn brutal(seeds: u64, mut watch: impl FnMut(&Line)) -> Vec<Line> {
    let scenario = read(BRUTAL);
    let nobody = expected(Defect::LoseAcked, 1, &[], &[]);
    let healthy = line(&scenario, None, &nobody, Durable::Always, seeds);
    let defects = table();
    let lines = defects.iter().map(|e| line(&scenario, Some(e.defect), e, Durable::Always, seeds));
    std::iter::once(healthy).chain(lines).inspect(|l| watch(l)).collect()
}

/// One line of the matrix.
#[derive(Clone, Debug)]
pub struct Line {
    /// The defect; none for the healthy broker.
    pub defect: Option<Defect>,
    /// At every how many opportunities it struck.
    pub every: u32,
    /// Seeds simulated.
    pub seeds: u64,
    /// Seeds at which what must break broke.
    pub caught: u64,
    /// At how many seeds each guarantee broke, in [`Guarantee::ALL`]'s order.
    pub broken: Vec<u64>,
    /// What is wrong with this line; none: it is as it must be.
    pub wrong: Option<String>,
    /// Why nothing is to break, if nothing is.
    pub why: &'static str,
}

fn read(text: &str) -> Scenario {
    scenario::parse("selftest.toml", text).unwrap_or_else(|e| panic!("a scenario of our own: {}", e.render(false)))
}

/// Simulates the matrix, `seeds` of each line; `watch` gets each line when it is there.
pub fn selftest(seeds: u64, mut watch: impl FnMut(&Line)) -> Vec<Line> {
    let (mut brutal, narrow, features, stored) = (read(BRUTAL), read(NARROW), read(FEATURES), read(STORED));
    // A kill excuses what a broker in memory forgets by mistake at the same time.
    brutal.faults.retain(|f| !matches!(f.action, FaultAction::Kill { .. }));
    let nobody = expected(Defect::LoseAcked, 1, &[], &[]);
    let keeps = |on: On| if on == On::Stored { Durable::Always } else { Durable::No };
    let healthy = [(&brutal, On::Brutal), (&narrow, On::Narrow), (&features, On::Features), (&stored, On::Stored)]
        .map(|(scenario, on)| line(scenario, None, &Expected { on, ..nobody }, keeps(on), seeds));
    let defects = table();
    let lines = defects.iter().map(|e| {
        let scenario = match e.on {
            On::Brutal => &brutal,
            On::Narrow => &narrow,
            On::Features => &features,
            On::Stored => &stored,
        };
        line(scenario, Some(e.defect), e, keeps(e.on), seeds)
    });
    healthy.into_iter().chain(lines).inspect(|l| watch(l)).collect()
}

fn line(scenario: &Scenario, defect: Option<Defect>, e: &Expected, durable: Durable, seeds: u64) -> Line {
    let defects = defect.map(|defect| Strike { defect, every: e.every }).into_iter().collect();
    let settings = Settings { defects, durable, ..Settings::default() };
    let found = explore(|_| Cow::Borrowed(scenario), &settings, 0..seeds, true, |_, _| true);
    let count = |g: &Guarantee| found.failures.iter().filter(|f| f.broken.contains(g)).count() as u64;
    let broken: Vec<u64> = Guarantee::ALL.iter().map(count).collect();
    let caught = found.failures.iter().filter(|f| f.broken.iter().any(|g| e.own.contains(g))).count() as u64;
    let stray =
        Guarantee::ALL.iter().zip(&broken).find(|(g, n)| **n > 0 && !e.own.contains(g) && !e.related.contains(g));
    let wrong = match stray {
        Some((g, n)) => Some(format!("{} broke at {n} seeds, and has nothing to do with it", g.title())),
        None if caught == 0 && !e.own.is_empty() => Some("never caught".to_owned()),
        None => None,
    };
    Line { defect, every: e.every, seeds: found.seeds, caught, broken, wrong, why: e.why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_has_a_line() {
        let lines = table();
        for defect in Defect::ALL {
            assert_eq!(lines.iter().filter(|e| e.defect == *defect).count(), 1, "{defect}");
        }
    }
}
