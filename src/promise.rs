//! What was promised, as plain data: by the scenario (subscriptions, sessions, thresholds), by the broker's
//! manifest (capabilities, limits, durability), and by the faults that were ordered.
//!
//! The judges (`verdict`, `measure`) read this and [`crate::trace`], and nothing else.

use crate::time::{Duration, Instant};
use crate::trace::{ClientId, FaultMark};

/// Everything that was promised for one run.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// Fleets and subscriber groups, in the scenario's order.
    pub groups: Vec<Group>,
    /// Every client; [`ClientId`] is the index.
    pub clients: Vec<Client>,
    /// What the broker says of itself.
    pub broker: BrokerPromises,
    /// Faults that were ordered on purpose (links' outages, broker kills), by time.
    pub faults: Vec<FaultMark>,
    /// The guarantees that must hold.
    pub guarantees: Vec<Guarantee>,
    /// Limits on metrics.
    pub thresholds: Vec<Threshold>,
    /// Take none of the broker's declared limits as an excuse.
    pub strict: bool,
    /// Hard paths that the scenario names, and that must have been walked: without that, what it asks for is not shown.
    pub must_walk: Vec<HardPath>,
}

/// What a scenario can name, so that somebody must walk it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HardPath {
    /// A sensor loses power.
    PowerCut,
    /// A client returns to a session that it left.
    Return,
    /// The broker is killed.
    Kill,
    /// The broker is stopped in order, and started again.
    Restart,
    /// The broker stands still for a while.
    Pause,
}

impl HardPath {
    /// For people, as something that is counted.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PowerCut => "power cuts",
            Self::Return => "returns to a session",
            Self::Kill => "broker kills",
            Self::Restart => "broker restarts",
            Self::Pause => "broker pauses",
        }
    }
}

impl Promises {
    /// The client's name, as people see it (`meter-17`).
    #[must_use]
    pub fn name(&self, client: ClientId) -> &str {
        self.clients.get(client.index()).map_or("?", |c| &c.name)
    }
}

/// A fleet of sensors or a group of subscribers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name in the scenario.
    pub name: String,
    /// Its link's name; "none" for a direct socket.
    pub link: String,
    /// How many clients it has.
    pub clients: u32,
    /// QoS its clients publish with; none if they do not publish.
    pub publishes: Option<u8>,
    /// Whether its clients subscribe.
    pub subscribes: bool,
}

/// One MQTT client.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Client {
    /// Its name, as people see it.
    pub name: String,
    /// Its group's index in [`Promises::groups`].
    pub group: u16,
    /// 3, 4 or 5: the protocol level in its CONNECT.
    pub mqtt_level: u8,
    /// What it publishes, if it does.
    pub publishes: Option<Publishes>,
    /// What it subscribes to.
    pub subscriptions: Vec<Subscription>,
    /// Whether its session outlives a connection, and for how long.
    pub session: SessionPromise,
    /// The largest packet it accepts; none if any.
    pub maximum_packet_size: Option<u32>,
    /// How many unacknowledged QoS 1 and 2 messages it keeps in flight at most. 1 makes order strict at QoS 1.
    pub window: u16,
    /// Its keep alive, whole seconds; zero: none.
    pub keep_alive: Duration,
    /// The will in each of its CONNECTs, if it can be told whose and which it is.
    pub will: Option<Will>,
    /// 5.0: the subscription identifier of its SUBSCRIBEs.
    pub subscription_identifier: Option<u32>,
    /// What it does, beyond publishing and subscribing, that a guarantee speaks of.
    pub deeds: Deeds,
    /// It is not squall's own client, but one under test.
    pub under_test: bool,
}

/// What a client does in a run that some guarantees can be judged by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deeds {
    /// It goes silent for a while, with its connection open.
    pub goes_silent: bool,
    /// It connects a second time while it is connected.
    pub takes_over: bool,
    /// It unsubscribes for a while.
    pub unsubscribes: bool,
}

/// A will whose payload says whose it is, and of which connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Will {
    /// Topic name.
    pub topic: String,
    /// QoS.
    pub qos: u8,
    /// RETAIN flag.
    pub retain: bool,
    /// 5.0: how long after the connection's end.
    pub delay: Duration,
}

/// What a client publishes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Publishes {
    /// Topic name; one a client.
    pub topic: String,
    /// QoS of every message.
    pub qos: u8,
    /// RETAIN flag of every message.
    pub retain: bool,
    /// Payload length in bytes.
    pub length: u32,
    /// It clears the retained message now and then, with an empty one.
    pub clears: bool,
    /// 5.0: Message Expiry Interval, whole seconds.
    pub expiry: Option<Duration>,
    /// 5.0: its messages carry properties that are to be passed on as they are; their bytes.
    pub properties: u32,
}

/// One subscription of one client.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subscription {
    /// Topic filter, without any `$share/group/`.
    pub filter: String,
    /// The share group, for a shared subscription.
    pub share: Option<String>,
    /// Requested QoS.
    pub qos: u8,
    /// 5.0: own messages are not wanted back.
    pub no_local: bool,
    /// 5.0: RETAIN comes as it was published.
    pub retain_as_published: bool,
    /// 5.0: retained messages come at each SUBSCRIBE (0), at a new subscription only (1), or never (2).
    pub retain_handling: u8,
}

impl Subscription {
    /// True if `topic` matches this subscription's filter.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        filter_matches(&self.filter, topic)
    }
}

/// How long a client's session lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SessionPromise {
    /// It ends with each connection.
    #[default]
    Clean,
    /// It outlives connections, for this long after each (none: for ever, or 3.1.1's clean session 0).
    Persistent(Option<Duration>),
}

/// What a broker's manifest declares.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BrokerPromises {
    /// Name and version, as people see it.
    pub name: String,
    /// Highest QoS it grants; none: 2.
    pub max_qos: Option<u8>,
    /// How many messages it queues for an offline session before it drops some; none: not declared.
    pub offline_queue: Option<u64>,
    /// What survives `kill -9`; none: not declared.
    pub durability: Durability,
    /// Filters of the topics on which it lets nobody publish. A 3.1.1 broker may acknowledge such a message all the same
    /// [MQTT-3.3.5-2].
    pub denies: Vec<String>,
}

/// What a broker promises to have kept after it was killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Not declared.
    #[default]
    Unknown,
    /// Nothing survives.
    None,
    /// What was acknowledged up to this long before the kill may be lost.
    Within(Duration),
    /// Whatever was acknowledged survives.
    Always,
}

/// The guarantees a run can be held to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Guarantee {
    /// QoS 0: at most one copy a delivery path.
    Qos0,
    /// QoS 1: acknowledged means delivered at least once.
    Qos1,
    /// QoS 2: completed means delivered exactly once.
    Qos2,
    /// Messages of one publisher, topic and QoS arrive in order.
    Order,
    /// Payloads arrive as they were sent.
    Payload,
    /// Nothing arrives that nobody sent, and nothing that no filter of the receiver matches.
    Routing,
    /// Session Present is told truly.
    Session,
    /// Subscriptions mean what they say: no local, shared, unsubscribed, identifiers, topics that begin with `$`.
    Subscriptions,
    /// The last retained message is there for who subscribes, until it is cleared.
    Retained,
    /// A will comes once when its client is gone without DISCONNECT, and not otherwise.
    Wills,
    /// Messages do not outlive their expiry, and it is counted down.
    Expiry,
    /// Properties arrive as they were sent.
    Properties,
    /// A client that is silent for one and a half times its keep alive is closed, and no other.
    KeepAlive,
    /// A second connection with the same client identifier ends the first.
    TakeOver,
    /// The broker keeps to the protocol: packets well-formed, flags and identifiers legal, Receive Maximum honoured.
    Protocol,
    /// After the links heal, the broker answers and what is owed arrives.
    Liveness,
    /// Clients under test keep their half of the protocol.
    Client,
}

impl Guarantee {
    /// All of them, in the order they are reported.
    pub const ALL: [Self; 17] = [
        Self::Qos0,
        Self::Qos1,
        Self::Qos2,
        Self::Order,
        Self::Payload,
        Self::Routing,
        Self::Session,
        Self::Subscriptions,
        Self::Retained,
        Self::Wills,
        Self::Expiry,
        Self::Properties,
        Self::KeepAlive,
        Self::TakeOver,
        Self::Protocol,
        Self::Liveness,
        Self::Client,
    ];

    /// Its name in a scenario file and in JUnit (`qos1`).
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Qos0 => "qos0",
            Self::Qos1 => "qos1",
            Self::Qos2 => "qos2",
            Self::Order => "order",
            Self::Payload => "payload",
            Self::Routing => "routing",
            Self::Session => "session",
            Self::Subscriptions => "subscriptions",
            Self::Retained => "retained",
            Self::Wills => "wills",
            Self::Expiry => "expiry",
            Self::Properties => "properties",
            Self::KeepAlive => "keep_alive",
            Self::TakeOver => "take_over",
            Self::Protocol => "protocol",
            Self::Liveness => "liveness",
            Self::Client => "client",
        }
    }

    /// What it promises, in plain words.
    #[must_use]
    pub const fn promise(self) -> &'static str {
        match self {
            Self::Qos0 => "a message sent at QoS 0 arrives once or not at all",
            Self::Qos1 => "an acknowledged message at QoS 1 arrives at least once",
            Self::Qos2 => "a completed message at QoS 2 arrives exactly once",
            Self::Order => "one sensor's messages arrive in the order in which it sent them",
            Self::Payload => "what arrives is what was sent, byte by byte",
            Self::Routing => "a message reaches those who asked for it, and nobody else",
            Self::Session => "the broker remembers a session for as long as it was asked to, and says so truly",
            Self::Subscriptions => {
                "what arrives is what the subscriptions that are there ask for, and as they ask for it"
            }
            Self::Retained => "who subscribes gets the last retained message, until it is cleared",
            Self::Wills => "a will is published once when its client is gone without DISCONNECT, and not otherwise",
            Self::Expiry => "no message sets out after its expiry, and what is left of it is told truly",
            Self::Properties => "a message's properties arrive as they were sent",
            Self::KeepAlive => "a client that has fallen silent is let go in time, and no other",
            Self::TakeOver => "a client that connects again ends its old connection",
            Self::Protocol => "the broker speaks MQTT as it is written",
            Self::Liveness => "a broker that can be reached answers, and hands on what it owes",
            Self::Client => "a client under test keeps its half of the protocol",
        }
    }

    /// Its name for people (`QoS 1`).
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Qos0 => "QoS 0",
            Self::Qos1 => "QoS 1",
            Self::Qos2 => "QoS 2",
            Self::Order => "Order",
            Self::Payload => "Payload",
            Self::Routing => "Routing",
            Self::Session => "Session",
            Self::Subscriptions => "Subscriptions",
            Self::Retained => "Retained",
            Self::Wills => "Wills",
            Self::Expiry => "Expiry",
            Self::Properties => "Properties",
            Self::KeepAlive => "Keep alive",
            Self::TakeOver => "Take-over",
            Self::Protocol => "Protocol",
            Self::Liveness => "Liveness",
            Self::Client => "Client",
        }
    }
}

/// A limit on a metric, as the scenario wrote it.
#[derive(Clone, PartialEq, Debug)]
pub struct Threshold {
    /// As written: `p99(end_to_end, fleet = meter) < 20 s`.
    pub text: String,
    /// What is compared.
    pub metric: Metric,
    /// How.
    pub comparison: Comparison,
    /// With what, in the metric's base unit (seconds, bytes, a ratio, a count).
    pub limit: f64,
}

/// `<`, `<=`, `>`, `>=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// True if `value` meets `limit`.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
        }
    }
}

/// Everything a threshold can be set on.
#[derive(Clone, PartialEq, Debug)]
pub enum Metric {
    /// A figure of a latency histogram, in seconds. `group` none: all groups together.
    Latency {
        /// Which figure.
        figure: Figure,
        /// Which latency.
        latency: Latency,
        /// Of which fleet or subscriber group; none: all together.
        group: Option<String>,
    },
    /// A count of the run, `delivered`, `lost`, ... (a plain number).
    Count {
        /// Which count.
        count: Count,
        /// Of which fleet; none: all together.
        group: Option<String>,
    },
    /// `broker.cpu` (seconds), `broker.rss.max` (bytes) and so on.
    Broker(BrokerFigure),
    /// `harness.slip.p99` in seconds.
    HarnessSlipP99,
}

/// A figure of a histogram.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Figure {
    /// A percentile, 0 to 100.
    Percentile(f64),
    /// The arithmetic mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// The latencies that squall measures. Each counts from the *intended* time, and, beside it, from the actual send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Latency {
    /// Begin of TCP connect to established.
    TcpConnect,
    /// TCP established to the end of the handshakes of TLS and WebSocket, of transports that have them.
    Handshake,
    /// CONNECT to CONNACK.
    ConnAck,
    /// SUBSCRIBE to SUBACK.
    SubAck,
    /// PUBLISH to PUBACK (QoS 1) or PUBCOMP (QoS 2).
    PublishAck,
    /// PUBLISH to the subscriber's receipt.
    EndToEnd,
}

impl Latency {
    /// All of them, in the order they are reported.
    pub const ALL: [Self; 6] =
        [Self::TcpConnect, Self::Handshake, Self::ConnAck, Self::SubAck, Self::PublishAck, Self::EndToEnd];

    /// Its name in thresholds and files.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::TcpConnect => "tcp_connect",
            Self::Handshake => "handshake",
            Self::ConnAck => "connack",
            Self::SubAck => "suback",
            Self::PublishAck => "publish_ack",
            Self::EndToEnd => "end_to_end",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::TcpConnect => "TCP connect",
            Self::Handshake => "TLS or WebSocket handshake",
            Self::ConnAck => "CONNECT to CONNACK",
            Self::SubAck => "SUBSCRIBE to SUBACK",
            Self::PublishAck => "publish to acknowledgement",
            Self::EndToEnd => "end to end",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Count {
    /// Messages that should have been sent.
    Offered,
    /// Messages sent at least once.
    Sent,
    /// Messages never sent.
    Discarded,
    /// Messages wholly acknowledged.
    Acked,
    /// First copies received.
    Delivered,
    /// Further copies received.
    Duplicated,
    /// Deliveries that were due and did not come.
    Lost,
    /// Connections that ended against the client's will.
    Disconnects,
}

impl Count {
    /// All of them, in the order they are reported.
    pub const ALL: [Self; 8] = [
        Self::Offered,
        Self::Sent,
        Self::Discarded,
        Self::Acked,
        Self::Delivered,
        Self::Duplicated,
        Self::Lost,
        Self::Disconnects,
    ];

    /// Its name in thresholds and files.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Sent => "sent",
            Self::Discarded => "discarded",
            Self::Acked => "acked",
            Self::Delivered => "delivered",
            Self::Duplicated => "duplicated",
            Self::Lost => "lost",
            Self::Disconnects => "disconnects",
        }
    }
}

/// Figures of the broker's process tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BrokerFigure {
    /// CPU seconds used during the run.
    CpuSeconds,
    /// CPU seconds a message delivered.
    CpuPerMessage,
    /// Largest resident memory, bytes.
    RssMax,
    /// Most open descriptors.
    DescriptorsMax,
    /// Most threads.
    ThreadsMax,
    /// Bytes written to storage a message delivered.
    WrittenPerMessage,
}

/// True if `topic` matches `filter`: `+` stands for one level, `#` for the rest and its parent
/// [MQTT-4.7.1-1..3]; a first-level wildcard matches no topic that begins with `$` [MQTT-4.7.2-1].
///
/// Written apart from the broker's own matching, so that a shared misreading cannot hide.
#[must_use]
pub fn filter_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (filter.starts_with('#') || filter.starts_with('+')) {
        return false;
    }
    let mut topic_levels = topic.split('/');
    for level in filter.split('/') {
        match (level, topic_levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (name, Some(actual)) if name == actual => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

/// Marks the end of the load in a run, for the judges: from here on nothing new is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Phases {
    /// When the ramp ends and the steady phase begins.
    pub steady_from: Instant,
    /// When publishing stops, all links heal and the drain begins.
    pub drain_from: Instant,
    /// When the run ended (the drain ends as soon as nothing is owed).
    pub ended: Instant,
}

#[cfg(test)]
mod tests {
    use super::filter_matches;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+", "a/b", false),
            ("a/+/c", "a/b/c", true),
            ("a/b", "a/b/c", false),
            ("/+", "/a", true),
            ("+/+", "/a", true),
        ] {
            assert_eq!(filter_matches(filter, topic), expected, "{filter} against {topic}");
        }
    }
}
