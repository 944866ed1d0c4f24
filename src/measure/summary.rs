//! What was measured, as plain data that outlives the run.

use crate::promise::{Count, Latency, Phases};
use crate::time::{Duration, Instant};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// How many servers that a broker names are told apart (*assumed*: a broker can name as many as it likes).
pub const MOST_REDIRECTS: usize = 16;

/// Everything that was measured in one run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// One for each group of [`crate::promise::Promises::groups`], same order.
    pub groups: Vec<GroupSummary>,
    /// The run's phases as they really were.
    pub phases: Phases,
    /// Counts over time, all groups together; at most 2,000 intervals, their width doubling.
    pub series: Series,
    /// Harness health.
    pub harness: Harness,
    /// The broker's process tree; empty where it cannot be seen.
    pub resources: Vec<ResourceSample>,
    /// The same before any client came, and before a warm-up; none where it cannot be seen.
    pub at_rest: Option<ResourceSample>,
    /// What the kernels on the links say of themselves; none where smoltcp speaks TCP on both ends.
    pub retransmitted: Option<Retransmitted>,
    /// Where the broker sent its clients (5.0, section 4.11), by reason and server; those beyond the first [`MOST_REDIRECTS`] together,
    /// without a name.
    pub redirects: BTreeMap<(u8, Option<String>), u64>,
    /// Broker CPU seconds during the run (all samples' difference, restarts added up); none if unknown.
    pub broker_cpu: Option<Duration>,
    /// Deliveries that the broker owed when it was killed or stopped, to be started again (and answers that it owed: a few); the most,
    /// if that was more than once; none if it never was, or in virtual time.
    pub owed_at_restart: Option<u64>,
}

/// What was measured of one group.
#[derive(Clone, Debug, Default)]
pub struct GroupSummary {
    /// Latency histograms; only those with values.
    pub latencies: Vec<LatencySummary>,
    /// Counts, in the order of [`Count::ALL`]; none where it cannot be known.
    pub counts: Vec<(Count, Option<u64>)>,
    /// What its links carried; none for direct sockets, whose packets cannot be seen.
    pub wire: Option<WireCost>,
    /// MQTT bytes of all its PUBLISH, and acknowledgements, both ways.
    pub mqtt_bytes: u64,
}

/// One latency of one group. End to end counts for the *publisher's* group.
#[derive(Clone, Debug)]
pub struct LatencySummary {
    /// Which latency.
    pub latency: Latency,
    /// From the intended time, in nanoseconds.
    pub intended: Histogram<u64>,
    /// From the actual send, in nanoseconds.
    pub sent: Histogram<u64>,
    /// From the intended time, per interval of the series (bounded, same width as [`Series`]); (interval index, histogram).
    pub over_time: Vec<(u32, Histogram<u64>)>,
}

/// Counts over time.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Width of an interval.
    pub width: Duration,
    /// Interval `i` covers `[i * width, (i + 1) * width)` of run time.
    pub intervals: Vec<Interval>,
}

/// One interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Interval {
    /// Messages whose intended time lies here.
    pub offered: u64,
    pub sent: u64,
    pub acked: u64,
    pub delivered: u64,
    pub duplicated: u64,
    pub disconnects: u64,
    /// Clients connected at the interval's end.
    pub connected: u64,
}

/// What a group's links carried, both directions, all its clients added up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct WireCost {
    pub up: Wire,
    pub down: Wire,
}

/// TCP segments that a kernel counted as sent again; none where it is not a kernel, or does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retransmitted {
    /// By the sensors' kernel.
    pub up: Option<u64>,
    /// By the broker's.
    pub down: Option<u64>,
}

/// One direction of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wire {
    /// IP packets offered by the sender.
    pub packets: u64,
    /// IP bytes offered by the sender (headers included).
    pub bytes: u64,
    /// TCP segments with data or SYN or FIN that had been sent before.
    pub retransmissions: u64,
    /// Packets the channel lost at random.
    pub lost: u64,
    /// Packets a full queue dropped.
    pub queue_drops: u64,
    /// Packets lost in an outage.
    pub outage_drops: u64,
    /// Packets that arrived twice.
    pub duplicated: u64,
    /// Packets with a flipped bit, which the receiver's checksum drops.
    pub corrupted: u64,
    /// Time on the air, nanoseconds (serialisation of every packet offered to the radio).
    pub airtime: u64,
}

impl Wire {
    /// Adds another link's figures.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.retransmissions += other.retransmissions;
        self.lost += other.lost;
        self.queue_drops += other.queue_drops;
        self.outage_drops += other.outage_drops;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
        self.airtime += other.airtime;
    }
}

/// Whether the harness itself can be trusted.
#[derive(Clone, Debug, Default)]
pub struct Harness {
    /// How late messages were sent that could have been sent (nanoseconds): intended time to the loop noticing.
    pub slip: Option<Histogram<u64>>,
    /// How late the load loops' ticks were (nanoseconds).
    pub loop_lag: Option<Histogram<u64>>,
    /// Own CPU time; none if unknown.
    pub cpu: Option<Duration>,
    /// Wall time of the run.
    pub wall: Duration,
    /// Load loops used.
    pub loops: u32,
    /// True if arrival times are the kernel's receive stamps; false if they are the loop's wakes.
    pub kernel_stamps: bool,
    /// The share of arrivals that had a kernel stamp.
    pub stamped: Option<f64>,
    /// Reasons why the run is tainted; empty: trusted.
    pub tainted: Vec<String>,
}

/// One look at the broker's process tree. CPU time and bytes written go on where a broker that was started again goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResourceSample {
    /// When.
    pub at: Instant,
    /// CPU time since the process started, all processes of the tree.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub rss: u64,
    /// Open descriptors; none if it may not be seen.
    pub descriptors: Option<u32>,
    /// Threads.
    pub threads: u32,
    /// Bytes sent to storage since the process started (`write_bytes` of /proc/PID/io: not to pipes, sockets or a file system in memory);
    /// none if it may not be seen.
    pub written: Option<u64>,
}
