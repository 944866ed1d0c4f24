//! The part of the [`Report`](super::Report) that holds figures: by group, over time, of harness and broker.
//!
//! Units are those of [`super::model`].

use crate::promise::{Count, Latency};
use serde::{Deserialize, Serialize};

/// A fleet or a group of subscribers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupInfo {
    /// Its name.
    pub name: String,
    /// Its link; "none" for a direct socket.
    pub link: String,
    /// How many clients.
    pub clients: u32,
    /// QoS it publishes with.
    pub publishes: Option<u8>,
    /// Whether it subscribes.
    pub subscribes: bool,
    /// Its counts.
    pub counts: Counts,
    /// Its latencies; only those with values.
    pub latencies: Vec<LatencyInfo>,
    /// What its links carried; none for direct sockets.
    pub wire: Option<WireInfo>,
    /// MQTT bytes of its PUBLISH packets and their acknowledgements, both ways.
    pub mqtt_bytes: u64,
}

/// TCP segments that the kernels on the links counted as sent again, by themselves; none where it is not a kernel, or does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KernelInfo {
    /// By the sensors' kernel.
    pub retransmitted_up: Option<u64>,
    /// By the broker's.
    pub retransmitted_down: Option<u64>,
}

/// All groups together.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Total {
    /// Sums; none where no group's figure is known.
    pub counts: Counts,
    /// Merged histograms.
    pub latencies: Vec<LatencyInfo>,
}

/// Counts; none where it cannot be known. The meanings are those of [`Count`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub offered: Option<u64>,
    pub sent: Option<u64>,
    pub discarded: Option<u64>,
    pub acked: Option<u64>,
    pub delivered: Option<u64>,
    pub duplicated: Option<u64>,
    pub lost: Option<u64>,
    pub disconnects: Option<u64>,
}

impl Counts {
    /// One of them.
    #[must_use]
    pub const fn get(&self, count: Count) -> Option<u64> {
        match count {
            Count::Offered => self.offered,
            Count::Sent => self.sent,
            Count::Discarded => self.discarded,
            Count::Acked => self.acked,
            Count::Delivered => self.delivered,
            Count::Duplicated => self.duplicated,
            Count::Lost => self.lost,
            Count::Disconnects => self.disconnects,
        }
    }

    /// The same, to be written.
    pub const fn get_mut(&mut self, count: Count) -> &mut Option<u64> {
        match count {
            Count::Offered => &mut self.offered,
            Count::Sent => &mut self.sent,
            Count::Discarded => &mut self.discarded,
            Count::Acked => &mut self.acked,
            Count::Delivered => &mut self.delivered,
            Count::Duplicated => &mut self.duplicated,
            Count::Lost => &mut self.lost,
            Count::Disconnects => &mut self.disconnects,
        }
    }
}

/// One latency, whole run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LatencyInfo {
    /// `end_to_end`.
    pub key: String,
    /// `end to end`.
    pub title: String,
    /// From the intended time.
    pub intended: Figures,
    /// From the actual send; none where nothing was recorded.
    pub sent: Option<Figures>,
    /// Latency by percentile, from the intended time, evenly spaced in `log(1 / (1 - p))`, ending at the largest value.
    pub curve: Vec<CurvePoint>,
}

impl LatencyInfo {
    /// True if this is that latency.
    #[must_use]
    pub fn is(&self, latency: Latency) -> bool {
        self.key == latency.key()
    }
}

/// The figures of a histogram, in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Figures {
    /// How many values.
    pub count: u64,
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p75: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    /// None below 1,000 values: it would only be the largest one.
    pub p999: Option<f64>,
    /// None below 10,000 values.
    pub p9999: Option<f64>,
    pub max: f64,
}

/// A point of a percentile curve.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct CurvePoint {
    /// 0 to 100.
    pub percentile: f64,
    /// The latency.
    pub seconds: f64,
}

/// What links carried.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct WireInfo {
    /// Sensor to gateway.
    pub up: WireDirection,
    /// Gateway to sensor.
    pub down: WireDirection,
}

/// One direction; the meanings are those of [`crate::measure::summary::Wire`], air time in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WireDirection {
    pub packets: u64,
    pub bytes: u64,
    pub retransmissions: u64,
    pub lost: u64,
    pub queue_drops: u64,
    pub outage_drops: u64,
    /// None in reports of before it was told.
    #[serde(default)]
    pub duplicated: Option<u64>,
    #[serde(default)]
    pub corrupted: Option<u64>,
    pub airtime: f64,
}

/// What a message costs at one QoS: everything that the links of the fleets which publish with it carried, both ways,
/// divided by the messages that these fleets sent. Connections, keep alive and retransmissions are in it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct QosCost {
    /// 0 to 2.
    pub qos: u8,
    /// Messages sent by fleets of this QoS.
    pub messages: Option<u64>,
    /// MQTT bytes of PUBLISH and acknowledgements, a message.
    pub mqtt_bytes: Option<f64>,
    /// IP bytes a message; none without links.
    pub ip_bytes: Option<f64>,
    /// IP packets a message.
    pub packets: Option<f64>,
    /// TCP retransmissions a message.
    pub retransmissions: Option<f64>,
    /// Seconds on the air a message.
    pub airtime: Option<f64>,
}

/// Counts and latencies over time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// Width of an interval, seconds.
    pub width: f64,
    /// Interval `i` covers `[i * width, (i + 1) * width)`.
    pub intervals: Vec<IntervalInfo>,
    /// Latency from the intended time, by group, per interval; only intervals with values.
    pub latencies: Vec<LatencySeries>,
}

/// One interval, all groups together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct IntervalInfo {
    pub offered: u64,
    pub sent: u64,
    pub acked: u64,
    pub delivered: u64,
    pub duplicated: u64,
    pub disconnects: u64,
    pub connected: u64,
}

/// One latency of one group over time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LatencySeries {
    /// The group's name.
    pub group: String,
    /// The latency's key.
    pub latency: String,
    /// By interval.
    pub points: Vec<LatencyPoint>,
}

/// The latencies whose messages fell into one interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LatencyPoint {
    /// Index into [`Timeline::intervals`].
    pub interval: u32,
    pub count: u64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// A fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FaultInfo {
    /// When it began.
    pub at: f64,
    /// How long it lasted; none for an instant one.
    pub lasted: Option<f64>,
    /// What it was.
    pub what: String,
}

/// Harness health.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct HarnessInfo {
    /// True if nothing taints the run.
    pub trusted: bool,
    /// Why it is tainted.
    pub tainted: Vec<String>,
    /// How late messages were noticed.
    pub slip: Option<Figures>,
    /// How late the load loops' ticks were.
    pub loop_lag: Option<Figures>,
    /// Own CPU seconds.
    pub cpu: Option<f64>,
    /// Wall time of the run in seconds.
    pub wall: f64,
    /// Own CPU by wall time: 1 is one core; none if either is unknown.
    pub cores: Option<f64>,
    /// Load loops.
    pub loops: u32,
    /// Whether arrival times are the kernel's receive stamps.
    pub kernel_stamps: bool,
    /// The share of arrivals that had one, 0 to 1.
    pub stamped: Option<f64>,
}

/// The broker's process tree.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct BrokerInfo {
    /// CPU seconds during the run.
    pub cpu: Option<f64>,
    /// CPU seconds a message delivered.
    pub cpu_per_message: Option<f64>,
    /// Largest resident memory.
    pub rss_max: Option<u64>,
    /// Most open descriptors.
    pub descriptors_max: Option<u32>,
    /// Most threads.
    pub threads_max: Option<u32>,
    /// Bytes written to storage during the run, as far as the samples tell.
    pub written: Option<u64>,
    /// Bytes written to storage a message delivered.
    #[serde(default)]
    pub written_per_message: Option<f64>,
    /// What it has more with its clients than without them, a client.
    #[serde(default)]
    pub per_client: Option<PerClient>,
    /// Deliveries owed when it was killed or stopped, to be started again, the most; none if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed_at_restart: Option<u64>,
    /// Over time.
    pub samples: Vec<BrokerSample>,
    /// Where it sent clients (5.0, section 4.11).
    #[serde(default)]
    pub redirects: Vec<RedirectInfo>,
}

/// What the broker has more at most than before the first client came (and before a warm-up), divided by the most clients that were
/// connected at once. For memory this is more than a connection costs: sessions, queues and what load alone made grow are in it.
/// A message has no such figures, for what it takes is given back.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct PerClient {
    /// The most clients that were connected at once.
    pub clients: u64,
    /// Resident memory; none below 50 clients, where what the broker needs anyway would pass for theirs.
    pub rss: Option<f64>,
    /// Open descriptors.
    pub descriptors: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
}

/// The broker sent clients to another server; squall's own do not follow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RedirectInfo {
    /// 0x9C (156): use another server; 0x9D (157): the server moved.
    pub reason: u8,
    /// The beginning of its Server Reference, 24 bytes at most; none if it gave none.
    pub to: Option<String>,
    /// How often.
    pub count: u64,
}

/// One look at the broker's process tree.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct BrokerSample {
    /// When.
    pub at: f64,
    /// Cores used since the sample before; none for the first, and where one of its processes has gone since.
    pub cores: Option<f64>,
    /// Resident memory.
    pub rss: u64,
    /// Open descriptors; none where they may not be seen.
    #[serde(default)]
    pub descriptors: Option<u32>,
    /// Threads.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Bytes a second written to storage since the sample before; none for the first, where they may not be seen, and where one of its
    /// processes has gone since.
    #[serde(default)]
    pub written_per_second: Option<f64>,
}
