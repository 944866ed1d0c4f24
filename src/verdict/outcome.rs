//! What the judge says in the end, as plain data.

use crate::promise::Guarantee;
use crate::time::Instant;
use crate::trace::ClientId;

/// The judge's last word.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// One for each guarantee in [`Guarantee::ALL`], in that order.
    pub guarantees: Vec<Judgement>,
    /// Losses that were excused, by reason; a reason that could have been used and was not has count 0.
    pub excuses: Vec<Excused>,
    /// The stories behind what is broken, worst first; bounded.
    pub evidence: Vec<Evidence>,
    /// What could not be seen, in whole sentences.
    pub unseen: Vec<String>,
    /// Lost deliveries, by the *publisher's* group index (for the report's counts).
    pub lost_by_group: Vec<u64>,
    /// Copies beyond the first, by the publisher's group index.
    pub duplicated_by_group: Vec<u64>,
}

/// One guarantee's judgement.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Which guarantee.
    pub guarantee: Guarantee,
    /// Whether it held.
    pub outcome: Outcome,
    /// One sentence for people, with the numbers: `2,391 acknowledged, all delivered; 17 twice (allowed)`.
    pub sentence: String,
    /// The statements that a breach offends, `MQTT-4.3.3-2`; empty unless broken.
    pub statements: Vec<&'static str>,
    /// How many cases were judged.
    pub cases: u64,
    /// How many of them failed, unexcused.
    pub failures: u64,
    /// 95 % bounds on the failure rate; none where nothing was judged.
    pub bound: Option<Bound>,
    /// Named breaches with their counts: ("lost", 3), ("duplicated", 1).
    pub breaches: Vec<(&'static str, u64)>,
    /// How often each hard path was walked: ("reconnects with messages in flight", 12).
    pub hard_paths: Vec<(&'static str, u64)>,
}

/// 95 % bounds on a rate of failure, 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bound {
    /// At least this.
    pub low: f64,
    /// At most this.
    pub high: f64,
    /// How it was worked out: "rule of three" (0 of n), "Wilson" (k of n).
    pub method: &'static str,
}

/// Whether a guarantee held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It held, and its hard paths were walked.
    Held,
    /// It held, but these hard paths were never walked.
    HeldUntested(Vec<&'static str>),
    /// It was broken.
    Broken,
    /// There was nothing, or too little, to judge it by; why.
    NotEnoughEvidence(String),
    /// Nobody asked for it (no client uses it, or the scenario leaves it out).
    NotAsked,
}

/// Losses excused for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excused {
    /// The reason in one or two words: "session ended".
    pub name: &'static str,
    /// The named reason, for people: "the subscriber's session had ended".
    pub reason: &'static str,
    /// How many deliveries.
    pub count: u64,
}

/// The story of one breach.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The guarantee it breaks.
    pub guarantee: Guarantee,
    /// The breach's name: "lost", "duplicated", "out of order", "corrupt", "phantom", "wrong subscription", ...
    pub breach: &'static str,
    /// One line: `QoS 2, message leak-alarm-07 #3 delivered twice to head-end`.
    pub title: String,
    /// The rule in plain words, with its statement numbers at the end in brackets.
    pub rule: &'static str,
    /// The statements offended.
    pub statements: &'static [&'static str],
    /// The publisher concerned.
    pub publisher: Option<ClientId>,
    /// The message's number.
    pub number: Option<u32>,
    /// The subscriber concerned.
    pub subscriber: Option<ClientId>,
    /// What happened, by time.
    pub time_line: Vec<Moment>,
    /// True if the time line is not whole (the ring had turned over).
    pub partial: bool,
}

/// One line of a time line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    /// When.
    pub at: Instant,
    /// Whose moment: a client's name, or "run".
    pub who: String,
    /// Which way a packet went, seen from that client.
    pub direction: Direction,
    /// What: `PUBLISH id 4 DUP`.
    pub what: String,
    /// A remark: "second copy".
    pub note: String,
}

/// Which way a packet went, seen from the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Client to broker.
    Out,
    /// Broker to client.
    In,
    /// No packet: a state, a fault.
    None,
}
