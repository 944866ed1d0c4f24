//! The report as one value: what every exporter reads, and what `report.json` holds.
//!
//! Times are seconds (run time from its start, unless a field says otherwise), sizes are bytes. A figure that could
//! not be measured is `None` (JSON `null`), never 0.

pub use super::measured::*;
use serde::{Deserialize, Serialize};

/// The version of the `report.json` format: it changes when a field changes its meaning or goes.
pub const FORMAT_VERSION: u32 = 1;

/// Everything that is said about one run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// Version of squall.
    pub squall_version: String,
    /// The scenario.
    pub scenario: ScenarioInfo,
    /// The broker.
    pub target: TargetInfo,
    /// Who spoke TCP, in one sentence.
    pub engine: String,
    /// The command that runs it again under the same conditions.
    pub again: String,
    /// Start of the run, seconds since 1970 by the wall clock; none in virtual time.
    pub started: Option<u64>,
    /// The run's phases.
    pub phases: PhaseInfo,
    /// Why the run is not whole, if it is not.
    pub partial: Option<String>,
    /// How the target died, if it did so unasked.
    pub target_died: Option<String>,
    /// The exit code and why.
    pub exit: Exit,
    /// One for each guarantee.
    pub guarantees: Vec<GuaranteeInfo>,
    /// Losses that were excused, by reason.
    pub excuses: Vec<Excuse>,
    /// True if the scenario takes no excuse.
    pub strict: bool,
    /// The stories behind what is broken.
    pub evidence: Vec<EvidenceInfo>,
    /// What could not be seen, in whole sentences.
    pub unseen: Vec<String>,
    /// One for each threshold of the scenario.
    pub thresholds: Vec<ThresholdInfo>,
    /// Fleets and subscriber groups.
    pub groups: Vec<GroupInfo>,
    /// All groups together.
    pub total: Total,
    /// Cost of a message by QoS, on the publishing sensors' links.
    pub cost: Vec<QosCost>,
    /// What kernels on the links say of themselves; none if smoltcp speaks TCP on both ends.
    #[serde(default)]
    pub kernels: Option<KernelInfo>,
    /// Counts and latencies over time.
    pub timeline: Timeline,
    /// What was done to the run on purpose, or happened to it.
    pub faults: Vec<FaultInfo>,
    /// Harness health.
    pub harness: HarnessInfo,
    /// The broker's process tree.
    pub broker: BrokerInfo,
}

/// The scenario.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ScenarioInfo {
    /// Its name.
    pub name: String,
    /// Why it exists and what it must show; may be empty.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// The file it came from, as given.
    pub file: Option<String>,
}

/// The broker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TargetInfo {
    /// Its name: `mosquitto`, `reference`, or the address.
    pub name: String,
    /// Its version, where it tells.
    pub version: Option<String>,
    /// Where it came from.
    pub kind: TargetKind,
}

impl TargetInfo {
    /// Name and version: `mosquitto 2.0.11`.
    #[must_use]
    pub fn label(&self) -> String {
        self.version.as_ref().map_or_else(|| self.name.clone(), |version| format!("{} {version}", self.name))
    }
}

/// Where the broker came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// squall's own reference broker, as a child process.
    Reference,
    /// A broker process that squall started.
    Launched,
    /// An address; its process cannot be seen.
    Address,
    /// The reference broker's core, in virtual time.
    Simulated,
}

/// The run's phases, as they really were.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PhaseInfo {
    pub steady_from: f64,
    pub drain_from: f64,
    pub ended: f64,
}

/// The exit code and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exit {
    /// 0 all held; 1 a guarantee broken; 2 a threshold missed; 4 the target died; 5 inconclusive.
    pub code: u8,
    /// Why, in a few words.
    pub reason: String,
}

/// How a guarantee came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It held.
    Held,
    /// It held, but some hard paths were never walked.
    HeldUntested,
    /// It was broken.
    Broken,
    /// Too little to judge it by.
    NotEnoughEvidence,
    /// Nobody asked.
    NotAsked,
}

impl Standing {
    /// For people: `held`, `BROKEN`, ...
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held | Self::HeldUntested => "held",
            Self::Broken => "BROKEN",
            Self::NotEnoughEvidence => "unclear",
            Self::NotAsked => "not asked",
        }
    }
}

/// One guarantee.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GuaranteeInfo {
    /// `qos1`.
    pub key: String,
    /// `QoS 1`.
    pub title: String,
    /// Whether the scenario asks for it.
    pub asked: bool,
    /// How it came out.
    pub standing: Standing,
    /// One sentence with the numbers.
    pub sentence: String,
    /// Why there is not enough evidence, where there is not.
    pub reason: Option<String>,
    /// Hard paths that were never walked.
    pub untested: Vec<String>,
    /// Statements that the breach offends.
    pub statements: Vec<String>,
    /// Cases judged.
    pub cases: u64,
    /// Cases failed, unexcused.
    pub failures: u64,
    /// 95 % upper bound on the failure rate, 0 to 1.
    pub upper_bound: Option<f64>,
    /// 95 % lower bound.
    #[serde(default)]
    pub lower_bound: Option<f64>,
    /// How the bounds were worked out: `rule of three`, `Wilson`.
    #[serde(default)]
    pub bound_by: Option<String>,
    /// Named breaches with their counts.
    pub breaches: Vec<Named>,
    /// How often each hard path was walked.
    pub hard_paths: Vec<Named>,
}

/// A name and a count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Named {
    pub name: String,
    pub count: u64,
}

/// Losses excused for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Excuse {
    #[serde(default)]
    pub name: String,
    pub reason: String,
    pub count: u64,
}

/// The story of one breach.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EvidenceInfo {
    /// Its number in the report, from 1.
    pub number: u32,
    /// The guarantee's key.
    pub guarantee: String,
    /// The breach's name.
    pub breach: String,
    /// One line.
    pub title: String,
    /// What the guarantee promises, in plain words.
    #[serde(default)]
    pub promise: String,
    /// The rule in plain words.
    pub rule: String,
    /// The statements offended.
    pub statements: Vec<String>,
    /// The publisher's name.
    pub publisher: Option<String>,
    /// The message's number.
    pub message: Option<u32>,
    /// The subscriber's name.
    pub subscriber: Option<String>,
    /// What happened, by time.
    pub time_line: Vec<MomentInfo>,
    /// True if the time line is not whole.
    pub partial: bool,
}

/// One line of a time line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MomentInfo {
    /// When, in seconds of run time.
    pub at: f64,
    /// Whose moment.
    pub who: String,
    /// Which way a packet went, seen from that client.
    pub direction: Way,
    /// What.
    pub what: String,
    /// A remark; may be empty.
    pub note: String,
}

/// Which way a packet went, seen from the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Client to broker.
    Out,
    /// Broker to client.
    In,
    /// No packet.
    None,
}

/// One threshold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ThresholdInfo {
    /// As the scenario wrote it.
    pub text: String,
    /// What was measured, in `unit`; none: could not be measured.
    pub value: Option<f64>,
    /// The limit, in `unit`.
    pub limit: f64,
    /// `seconds`, `bytes` or `count`.
    pub unit: Unit,
    /// Whether it was met.
    pub standing: ThresholdStanding,
}

/// A metric's base unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Unit {
    Seconds,
    Bytes,
    Count,
}

/// Whether a threshold was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdStanding {
    /// Met.
    Met,
    /// Missed.
    Missed,
    /// Could not be measured.
    Unknown,
}
