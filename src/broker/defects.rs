//! Deliberate bugs: each changes bytes on the wire, or their timing, and nothing else.

use std::fmt;
use std::str::FromStr;

macro_rules! defects {
    ($($variant:ident $name:literal $about:literal)*) => {
        /// A deliberate bug.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Defect { $(#[doc = $about] $variant,)* }

        impl Defect {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }
        }
    };
}

defects! {
    LoseAcked "lose-acked" "acknowledges a QoS 1 or 2 message and does not hand it on to one subscriber"
    DuplicateQos0 "duplicate-qos0" "hands a QoS 0 message on twice"
    DuplicateQos1 "duplicate-qos1" "hands a QoS 1 message on twice (which is legal)"
    DuplicateQos2 "duplicate-qos2" "hands a QoS 2 message on twice"
    Reorder "reorder" "hands a message on after the next one"
    CorruptPayload "corrupt-payload" "changes a byte of a payload"
    TruncatePayload "truncate-payload" "drops the last byte of a payload"
    Misroute "misroute" "hands a message on to a client none of whose filters match"
    WrongTopic "wrong-topic" "hands a message on under the topic of the message before"
    RaiseQos "raise-qos" "hands a message on at a higher QoS than was granted or published"
    DupAtQos0 "dup-at-qos0" "sets DUP on QoS 0 messages"
    ForgetQos2Ids "forget-qos2-ids" "forgets, when a connection ends, which QoS 2 identifiers it had received"
    ForgetInFlight "forget-in-flight" "forgets, when a connection ends, what was in flight to a lasting session"
    DropOffline "drop-offline" "keeps nothing for sessions that are away"
    ForgetSession "forget-session" "forgets a lasting session when its client returns"
    InventSession "invent-session" "says Session Present to a client that never had a session"
    ReverseResume "reverse-resume" "hands out, after a resume, what was queued in reverse order"
    IgnoreReceiveMaximum "ignore-receive-maximum" "sends more than the client's Receive Maximum"
    StrayAck "stray-ack" "sends a PUBACK that nobody waits for"
    Malformed "malformed" "sends a packet with illegal flags"
    SwallowAck "swallow-ack" "hands a message on and never acknowledges it"
    FreezeAll "freeze-all" "stops answering everybody, without closing anything"
    Freeze "freeze" "stops answering a connection without closing it"
    WillOnDisconnect "will-on-disconnect" "sends the will although the client said DISCONNECT"
    KeepRetained "keep-retained" "does not clear a retained message when it is told to"
    RetainOlder "retain-older" "keeps an older retained message when a newer one comes"
    ForgetRetained "forget-retained" "sends no retained message to who subscribes"
    RetainOnLive "retain-on-live" "leaves RETAIN set on live copies"
    LoseRetainFlag "lose-retain-flag" "clears RETAIN although Retain As Published was asked for"
    IgnoreRetainHandling "ignore-retain-handling" "sends retained messages at each SUBSCRIBE, whatever was asked for"
    WillNever "will-never" "sends no will"
    WillTwice "will-twice" "sends a will twice"
    IgnoreWillDelay "ignore-will-delay" "sends a will at once, whatever its delay"
    WillDespiteReturn "will-despite-return" "sends a delayed will although its client is back in its session"
    NeverCloseSilent "never-close-silent" "does not close a client that is silent for longer than its keep alive allows"
    PingsDoNotCount "pings-do-not-count" "closes a client for its silence although it pings"
    KeepOldConnection "keep-old-connection" "leaves the old connection of a client open when it connects again"
    EchoNoLocal "echo-no-local" "hands a message back to its publisher, who had asked for No Local"
    KeepSubscription "keep-subscription" "answers UNSUBSCRIBE and goes on delivering"
    DropIdentifier "drop-identifier" "leaves out the subscription identifier"
    DropProperties "drop-properties" "leaves out the content type"
    ReverseUserProperties "reverse-user-properties" "passes user properties on in reverse order"
    IgnoreExpiry "ignore-expiry" "sends messages that have expired"
    FreezeExpiry "freeze-expiry" "passes the expiry on as it came, however long the message waited"
    AliasOutOfRange "alias-out-of-range" "uses a topic alias beyond the client's maximum"
    IgnorePacketSize "ignore-packet-size" "sends packets larger than the client's maximum"
    DollarToWildcard "dollar-to-wildcard" "sends a topic that begins with $ to a client that subscribed to #"
    CarryDup "carry-dup" "hands DUP on as the publisher set it"
    ReuseIds "reuse-ids" "gives a new message the packet identifier of one that is in flight"
    UnknownPubrel "unknown-pubrel" "answers a PUBREL that it knows with 0x92"
    AckUnstored "ack-unstored" "acknowledges a message that waits for somebody, and does not store it"
    ShareTwice "share-twice" "hands a shared subscription's message to two members"
    LeakQuota "leak-quota" "does not renew the client's quota when it acknowledges"
    StallOnLarge "stall-on-large" "keeps what is too large for a client at the head of its queue"
    ForgetOptions "forget-options" "forgets the options of subscriptions when their session is resumed"
    TwiceAtTakeOver "twice-at-take-over" "hands the last QoS 2 message on once more when a client takes its session over"
    ForgetOldest "forget-oldest" "keeps three messages for a session that is away, and drops the oldest"
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A defect with how often it strikes: at every `every`-th opportunity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strike {
    /// Which defect.
    pub defect: Defect,
    /// At every how many opportunities, at least 1.
    pub every: u32,
}

impl FromStr for Strike {
    type Err = String;

    /// Parses `NAME` or `NAME:EVERY`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, every) = text.split_once(':').unwrap_or((text, "20"));
        let defect = Defect::ALL.iter().copied().find(|d| d.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Defect::ALL.iter().map(|d| d.name()).collect();
            format!("no defect is called \"{name}\"; there are: {}", names.join(", "))
        })?;
        let every = every.parse().ok().filter(|n| *n > 0).ok_or("after the colon, a whole number above 0")?;
        Ok(Self { defect, every })
    }
}

/// The defects a broker has, with their opportunities counted.
#[derive(Clone, Debug, Default)]
pub struct Defects(Vec<(Strike, u32)>);

impl Defects {
    /// These defects.
    #[must_use]
    pub fn new(strikes: &[Strike]) -> Self {
        Self(strikes.iter().map(|s| (*s, 0)).collect())
    }

    /// An opportunity for a defect: true if it strikes.
    pub fn strikes(&mut self, defect: Defect) -> bool {
        let Some((strike, count)) = self.0.iter_mut().find(|(s, _)| s.defect == defect) else { return false };
        *count += 1;
        *count % strike.every == 0
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
