//! Every setting of a scenario file: one table for the parser's suggestions and for the JSON Schema.

/// The shape of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Shape {
    Text,
    /// The scenario's own name.
    Name,
    /// A topic name template.
    Topic,
    /// A preset's name.
    Preset,
    /// A preset's name, the name of a link of the file, or `none`.
    Link,
    /// A whole number from the first to the second.
    Count(u64, u64),
    Flag,
    Qos,
    Duration,
    Size,
    Rate,
    Percent,
    Frequency,
    /// Parts per million.
    Drift,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A table of that kind.
    Table(&'static str),
    /// A list of tables of that kind.
    Tables(&'static str),
    /// Named tables of that kind.
    Named(&'static str),
    /// Guarantees: `all`, `none`, or a list.
    Guarantees,
    /// A text or a list of texts.
    Texts,
    /// A size, or a table of that kind.
    SizeOr(&'static str),
    /// A percentage, or a table of that kind.
    PercentOr(&'static str),
    /// One of these words, or a table of that kind.
    WordOr(&'static [&'static str], &'static str),
}

/// Clients that squall knows by name: its own, and those under test.
pub const CLIENTS: &[&str] = &["squall", "rumqttc"];

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key.
    pub key: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// What it does, and its default.
    pub about: &'static str,
    /// An example, for a setting that must be there.
    pub needed: Option<&'static str>,
}

const fn s(key: &'static str, shape: Shape, about: &'static str) -> Setting {
    Setting { key, shape, about, needed: None }
}

/// A setting that must be there.
const fn n(key: &'static str, shape: Shape, about: &'static str, example: &'static str) -> Setting {
    Setting { key, shape, about, needed: Some(example) }
}

/// Kinds of tables with their settings.
pub const TABLES: &[(&str, &[Setting])] = {
    use Shape::{
        Count, Drift, Duration, Flag, Frequency, Guarantees, Link, Name, Named, Percent, PercentOr, Preset, Qos, Rate,
        Size, SizeOr, Table, Tables, Text, Texts, Topic, Word, WordOr,
    };
    &[
        (
            "scenario",
            &[
                s("name", Name, "the scenario's name; by default the file's"),
                s(
                    "seed",
                    Count(0, i64::MAX as u64),
                    "same seed: same losses, same phases, same power cuts (default 1)",
                ),
                s("ramp", Duration, "over how long the clients are started, each at a time of its own (default 2 s)"),
                n("duration", Duration, "how long messages are published, after the ramp", r##"duration = "30 s""##),
                s(
                    "drain",
                    Duration,
                    "then all links heal, and what is still owed has this long to arrive (default 60 s)",
                ),
                s("tick", Duration, "the load loops' tick, 100 us to 1 s (default 1 ms)"),
                s(
                    "engine",
                    Word(crate::link::Engine::NAMES),
                    "who speaks TCP on links: smoltcp at both ends, the broker's kernel, or kernels at both (default smoltcp)",
                ),
                s("fleet", Named("fleet"), "fleets of sensors"),
                s("subscriber", Named("subscriber"), "groups of subscribers"),
                s("link", Named("link"), "links of one's own"),
                s("fault", Tables("fault"), "what is done to the broker"),
                s("expect", Table("expect"), "what must hold"),
            ],
        ),
        (
            "fleet",
            &[
                n("sensors", Count(1, 1_000_000), "how many sensors", r##"sensors = 100"##),
                s("publish", Table("publish"), "what each of them publishes"),
                s("power", Table("power"), "power cuts"),
                s("reboot", Tables("reboot"), "reboot storms: all of the fleet, or a share of it, at one instant"),
                s("subscribe", Tables("subscription"), "what each of them subscribes to"),
            ],
        ),
        (
            "subscriber",
            &[
                s("count", Count(1, 1_000_000), "how many subscribers (default 1)"),
                n(
                    "filters",
                    Tables("subscription"),
                    "what each of them subscribes to",
                    r##"filters = [{ filter = "site/#", qos = 1 }]"##,
                ),
            ],
        ),
        (
            "device",
            &[
                s("mqtt", Word(&["3.1", "3.1.1", "5.0"]), "protocol version (default 3.1.1)"),
                s(
                    "client",
                    WordOr(CLIENTS, "client"),
                    "whose MQTT client it is: squall's own, or one under test, \"rumqttc\" or { command = [...] } (default squall)",
                ),
                s("provoke", Table("provoke"), "where the connection of a client under test is cut on purpose"),
                s(
                    "session",
                    Word(&["clean", "persistent"]),
                    "whether the session outlives a connection (default clean)",
                ),
                s("session_expiry", Duration, "5.0: for how long, whole seconds (default for ever)"),
                s("keep_alive", Duration, "whole seconds, 0 s switches it off (default 60 s)"),
                s(
                    "connect_timeout",
                    Duration,
                    "how long to wait for the transport, and again for CONNACK (default 30 s)",
                ),
                s("user", Text, "user name template"),
                s("password", Text, "password template"),
                s("link", Link, "a preset, a link of one's own, or \"none\" for a direct socket (default none)"),
                s(
                    "transport",
                    Word(&["tcp", "tls", "ws", "wss"]),
                    "what lies between MQTT and TCP (default: what --transport or the target's URL says)",
                ),
                s("reconnect", Table("reconnect"), "when to connect again"),
                s("will", Table("will"), "the will"),
                s("window", Count(1, 65_535), "unacknowledged QoS 1 and 2 messages in flight at most (default 20)"),
                s("receive_maximum", Count(1, 65_535), "5.0: Receive Maximum told to the broker (default 65,535)"),
                s("outbox", Table("outbox"), "messages that wait while there is no connection or no window"),
                s("offline", Tables("offline"), "times at which the client stays away"),
                s(
                    "start",
                    Duration,
                    "when it connects for the first time (default: sensors within the ramp, subscribers at 0 s)",
                ),
                s(
                    "silent",
                    Tables("span"),
                    "times at which it sends nothing, not even a ping, with its connection open",
                ),
                s("unsubscribed", Tables("span"), "times for which it unsubscribes"),
                s("take_over", Tables("take_over"), "times at which it connects once more while it is connected"),
                s("resubscribe", Duration, "how often it sends SUBSCRIBE again (default never)"),
                s(
                    "topic_alias_maximum",
                    Count(1, 65_535),
                    "5.0: topic aliases it takes from the broker (default none)",
                ),
                s("maximum_packet_size", Size, "5.0: the largest packet it takes (default any)"),
                s(
                    "subscription_identifier",
                    Count(1, 268_435_455),
                    "5.0: the identifier of its subscriptions (default none)",
                ),
            ],
        ),
        (
            "client",
            &[n(
                "command",
                Texts,
                "a program and its arguments; {host}, {port}, {client_id}, {sensor} and {fleet} are filled in",
                r##"command = ["./firmware", "{host}", "{port}"]"##,
            )],
        ),
        (
            "provoke",
            &[
                n(
                    "cut",
                    Texts,
                    "where, in turn: after PUBLISH, before PUBACK, before PUBREC, after PUBREC, before PUBCOMP, after delivery, after own PUBREC, after PUBREL",
                    r##"cut = ["before PUBACK"]"##,
                ),
                s("every", Count(1, 1_000_000), "at how many packets that it fits a cut is made (default 1)"),
            ],
        ),
        (
            "publish",
            &[
                n(
                    "topic",
                    Topic,
                    "topic template: {sensor}, {fleet}, {name:N}",
                    r##"topic = "site/{sensor}/reading""##,
                ),
                s("qos", Qos, "0, 1 or 2 (default 0)"),
                s("retain", Flag, "RETAIN (default false)"),
                s(
                    "payload",
                    SizeOr("payload"),
                    "a size from 16 B to 16 MiB, or { template = \"... {id} ...\" } (default 64 B)",
                ),
                s("every", Duration, "a fixed period, from a random phase"),
                s("poisson", Frequency, "at random, this often on average"),
                s("burst", Count(1, 100_000), "messages at each beat (default 1)"),
                s("expiry", Duration, "5.0: message expiry, whole seconds (default none)"),
                s(
                    "clear_every",
                    Duration,
                    "how often the retained message is cleared with an empty one (default never)",
                ),
                s("properties", Table("properties"), "5.0: properties that are to be passed on"),
                s(
                    "topic_alias",
                    Flag,
                    "5.0: send the topic as an alias after a connection's first message (default false)",
                ),
                s("duty", Table("duty"), "on and off times"),
                s(
                    "drift",
                    Drift,
                    "how wrong the clock goes that messages are due by: each sensor's at a rate of its own, up to this fast or slow (default 0 ppm)",
                ),
            ],
        ),
        (
            "properties",
            &[
                s("utf8", Flag, "Payload Format Indicator 1 (default false)"),
                s("content_type", Text, "Content Type"),
                s("response_topic", Text, "Response Topic"),
                s("correlation", Text, "Correlation Data"),
                s("user", Texts, "user properties, [\"name=value\", ...], in order"),
            ],
        ),
        (
            "span",
            &[
                n("at", Duration, "when, from the run's start", r##"at = "10 s""##),
                n("for", Duration, "how long", r##"for = "5 s""##),
            ],
        ),
        ("take_over", &[n("at", Duration, "when, from the run's start", r##"at = "10 s""##)]),
        (
            "payload",
            &[n(
                "template",
                Text,
                "a text with {id} in it, which becomes 32 hexadecimal digits",
                r##"template = '{"id": "{id}"}'"##,
            )],
        ),
        (
            "duty",
            &[
                n("on", Duration, "time on", r##"on = "10 s""##),
                n("off", Duration, "time off", r##"off = "50 s""##),
                s("disconnect", Flag, "whether the sensor disconnects in off times (default false)"),
            ],
        ),
        (
            "power",
            &[
                n("cut_every", Duration, "mean time between cuts", r##"cut_every = "60 s""##),
                n("off", Duration, "how long the power is off", r##"off = "5 s""##),
                s("keeps", Word(&["flash", "nothing"]), "what survives (default flash)"),
            ],
        ),
        (
            "reboot",
            &[
                n("at", Duration, "when, from the run's start", r##"at = "60 s""##),
                s("share", Percent, "the share of the fleet that is hit, each sensor by its own draw (default 100 %)"),
                s("off", Duration, "how long until a sensor connects again (default 1 s)"),
                s("keeps", Word(&["flash", "nothing"]), "what survives (default flash)"),
            ],
        ),
        (
            "subscription",
            &[
                n("filter", Text, "topic filter template", r##"filter = "site/#""##),
                s("qos", Qos, "0, 1 or 2 (default 0)"),
                s("share", Text, "share group, for a shared subscription"),
                s("no_local", Flag, "5.0: own messages do not come back (default false)"),
                s("retain_as_published", Flag, "5.0: RETAIN comes as it was published (default false)"),
                s(
                    "retain_handling",
                    Count(0, 2),
                    "5.0: retained messages come at each SUBSCRIBE (0), at a new one (1), never (2) (default 0)",
                ),
            ],
        ),
        (
            "reconnect",
            &[
                s("first", Duration, "first wait (default 1 s)"),
                s("longest", Duration, "waits double up to this (default 30 s)"),
                s("jitter", Percent, "each wait varies by this much either way (default 50 %)"),
            ],
        ),
        (
            "will",
            &[
                n("topic", Topic, "topic template", r##"topic = "site/{sensor}/gone""##),
                s("payload", Text, "text (default empty); with {id} in it the will is judged"),
                s("qos", Qos, "0, 1 or 2 (default 0)"),
                s("retain", Flag, "RETAIN (default false)"),
                s("delay", Duration, "5.0: how long after the connection's end, whole seconds (default 0 s)"),
            ],
        ),
        (
            "outbox",
            &[
                s("limit", Count(1, 10_000_000), "how many messages (default 1,000)"),
                s("drop", Word(&["oldest", "newest"]), "which goes when it is full (default oldest)"),
            ],
        ),
        (
            "offline",
            &[
                n("at", Duration, "when, from the run's start", r##"at = "10 s""##),
                n("for", Duration, "how long", r##"for = "5 s""##),
                s("clean", Flag, "with DISCONNECT, or without a word (default true)"),
            ],
        ),
        (
            "link",
            &[
                s("like", Preset, "the preset it begins from (default: perfect)"),
                s("up", Table("direction"), "sensor to gateway"),
                s("down", Table("direction"), "gateway to sensor"),
                s("loss", PercentOr("loss"), "both directions' loss"),
                s("delay", Duration, "both directions' delay"),
                s("rate", Rate, "both directions' rate"),
                s("jitter", Table("jitter"), "both directions' random addition to the delay"),
                s("queue", Size, "bytes that may wait for the transmitter, in each direction"),
                s("queue_packets", Count(1, 1_000_000), "packets that may wait for the transmitter, in each direction"),
                s("duplicate", Percent, "both directions' packets that arrive twice"),
                s("corrupt", Percent, "both directions' packets with a flipped bit, which a checksum drops"),
                s("half_duplex", Flag, "one packet on the air at a time"),
                s("sleep", Table("sleep"), "when the sensor's radio sleeps"),
                s("mtu", Size, "largest IP packet, 128 B to 1600 B"),
                s("outage", Tables("outage"), "times at which nothing passes"),
            ],
        ),
        (
            "direction",
            &[
                s("rate", Rate, "data rate"),
                s("overhead", Size, "bytes added to each packet below IP"),
                s("delay", Duration, "propagation delay"),
                s("jitter", Table("jitter"), "random addition to the delay"),
                s("reorder", Flag, "whether jitter may let a packet overtake"),
                s(
                    "loss",
                    PercentOr("loss"),
                    "a share, or { gilbert_elliott | gilbert_elliott_time | four_state = {...} }",
                ),
                s("queue", Size, "bytes that may wait for the transmitter"),
                s("queue_packets", Count(1, 1_000_000), "packets that may wait for the transmitter"),
                s("duplicate", Percent, "packets that arrive twice"),
                s("corrupt", Percent, "packets with a flipped bit, which a checksum drops"),
                s("duty_cycle", Percent, "the share of time for which the transmitter may be on the air"),
                s("trace", Table("trace"), "a recording, whose rate, delay and loss go before those here"),
            ],
        ),
        (
            "trace",
            &[
                s("csv", Text, "a file with columns time (s), rate (bit/s), delay (ms), loss (0 to 1)"),
                s("mahimahi", Text, "a file in mahimahi's format: a time in ms a line, for 1,504 bytes each"),
            ],
        ),
        (
            "sleep",
            &[
                n("awake", Duration, "how long the radio listens after each packet", r##"awake = "10 s""##),
                s("every", Duration, "how often it listens by itself (eDRX); without it only after it spoke (PSM)"),
                s("window", Duration, "for how long, then (default 2.56 s, an eighth of every at most)"),
            ],
        ),
        (
            "jitter",
            &[
                s("uniform", Duration, "even, up to this"),
                s("normal", Duration, "normal, of this deviation"),
                s("pareto", Duration, "Pareto, of this mean"),
            ],
        ),
        (
            "loss",
            &[
                s("gilbert_elliott", Table("gilbert_elliott"), "bursts, a step at each packet"),
                s("gilbert_elliott_time", Table("gilbert_elliott_time"), "bursts in time"),
                s("four_state", Table("four_state"), "netem's loss state, a step at each packet"),
            ],
        ),
        (
            "gilbert_elliott",
            &[
                n("into_bad", Percent, "good to bad, a packet", r##"into_bad = "2 %""##),
                n("out_of_bad", Percent, "bad to good, a packet", r##"out_of_bad = "20 %""##),
                s("loss_in_good", Percent, "loss in the good state (default 0 %)"),
                s("loss_in_bad", Percent, "loss in the bad state (default 100 %)"),
            ],
        ),
        (
            "gilbert_elliott_time",
            &[
                n("good", Duration, "mean time in the good state", r##"good = "8 s""##),
                n("bad", Duration, "mean time in the bad state", r##"bad = "2 s""##),
                s("loss_in_good", Percent, "loss in the good state (default 0 %)"),
                s("loss_in_bad", Percent, "loss in the bad state (default 100 %)"),
            ],
        ),
        (
            "four_state",
            &[
                n("p13", Percent, "gap to burst, a packet", r##"p13 = "1 %""##),
                s("p31", Percent, "burst to gap (default 100 % - p13)"),
                s("p32", Percent, "from lost to delivered within a burst (default 0 %)"),
                s("p23", Percent, "from delivered to lost within a burst (default 100 %)"),
                s("p14", Percent, "a loss alone, in a gap (default 0 %)"),
            ],
        ),
        (
            "outage",
            &[
                n("at", Duration, "when, from the run's start", r##"at = "10 s""##),
                n("for", Duration, "how long", r##"for = "5 s""##),
            ],
        ),
        (
            "fault",
            &[
                n("at", Duration, "when, from the run's start", r##"at = "10 s""##),
                n(
                    "broker",
                    Word(&["kill", "restart", "pause", "slow-cpu", "slow-disk", "drop-connections"]),
                    "what is done to it, or to the connections to it",
                    r##"broker = "pause""##,
                ),
                s("back_after", Duration, "kill, restart: when it is started again"),
                s("for", Duration, "pause, slow-cpu, slow-disk: how long"),
                s(
                    "runs",
                    Duration,
                    "slow-cpu: how much of each 100 ms its processes run; for the rest they are stopped (SIGSTOP), and in virtual time the broker handles nothing",
                ),
                s(
                    "write",
                    Duration,
                    "slow-disk (virtual time only): what each packet costs that changes what the broker keeps",
                ),
                s(
                    "share",
                    Percent,
                    "drop-connections: the probability with which each client's is hit; all are, unless it is given",
                ),
            ],
        ),
        (
            "expect",
            &[
                s("guarantees", Guarantees, "\"all\", \"none\", or a list of guarantees (default all)"),
                s("thresholds", Texts, "limits like \"p99(end_to_end, fleet = meter) < 20 s\""),
            ],
        ),
    ]
};

/// The settings of a kind of table; fleets and subscribers have those of a device too.
pub fn of(kind: &str) -> impl Iterator<Item = &'static Setting> {
    let device = matches!(kind, "fleet" | "subscriber");
    let kind = kind.to_owned();
    TABLES
        .iter()
        .filter(move |(k, _)| *k == kind || (device && *k == "device"))
        .flat_map(|(_, settings)| settings.iter())
}
