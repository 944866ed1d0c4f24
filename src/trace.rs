//! Everything that happens in a run, as plain data: what `device` and `run` write, and what
//! `verdict` and `measure` read. It knows nothing but [`crate::time`].

use crate::time::{Duration, Instant};

/// One MQTT client of the run (a sensor or a subscriber), by its index in [`crate::promise::Promises::clients`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u32);

impl ClientId {
    /// The client's index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One thing that happened.
///
/// `seen` orders events: a cause is always seen before its effect, whichever load loop saw them.
/// `at` is when it truly happened as far as anybody can know (an arrival: the kernel's receive time
/// stamp), and may be a little earlier than `seen`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Event {
    /// When the harness noticed; never decreases from one event to the next that a judge is shown.
    pub seen: Instant,
    /// When it happened.
    pub at: Instant,
    /// Whom it happened to.
    pub client: ClientId,
    /// What happened.
    pub what: What,
}

/// The closed list of what can happen to a client.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum What {
    /// The first byte of a PUBLISH was handed to the link.
    Sent(Sent),
    /// A message was never sent at all, and never will be: not one byte of it left. (A *fail*, in Jepsen's words.)
    Discarded {
        /// Its number within its publisher.
        number: u32,
        /// When it should have been sent.
        intended: Instant,
        /// Why it was not.
        why: Discard,
    },
    /// An acknowledgement for one of the client's own messages arrived.
    Acked {
        /// The message's number.
        number: u32,
        /// Which acknowledgement.
        ack: Ack,
        /// Its reason code; 0 where the protocol version has none.
        reason: u8,
    },
    /// A message of this run arrived whole, with a valid identity.
    Delivered(Delivered),
    /// A message of this run arrived, and the client declined it, with a negative PUBACK or PUBREC (5.0).
    Declined {
        /// Who published it.
        publisher: ClientId,
        /// Its number.
        number: u32,
    },
    /// A PUBLISH arrived that is not a message of this run as it was sent.
    Strange {
        /// What is wrong with it.
        what: Strange,
        /// The QoS it came with.
        qos: u8,
        /// Set for a retained message.
        retain: bool,
        /// Payload length in bytes.
        length: u32,
    },
    /// The client began to connect (TCP), for the `attempt`-th time since it last was connected (1 is the first).
    /// `intended` is when its life or its reconnect policy wanted it.
    Connecting {
        /// 1 for the first attempt.
        attempt: u32,
        /// When it should have begun.
        intended: Instant,
    },
    /// TCP stands, and the handshakes of TLS or WebSocket begin over it; told only if the transport has them.
    TcpOpen,
    /// The transport (TCP, and TLS or WebSocket if any) is open; CONNECT goes out.
    TransportOpen,
    /// 5.0: the broker sends the client to another server (section 4.11), with the CONNACK or DISCONNECT that is told next.
    Redirected {
        /// 0x9C: use another server; 0x9D: the server moved.
        reason: u8,
        /// Which server, if it says.
        to: Option<ServerName>,
    },
    /// CONNACK arrived.
    Connected {
        /// The reason code (5.0) or return code (3.1.1); 0 is success.
        reason: u8,
        /// The broker says it resumed a session.
        session_present: bool,
        /// What the client knows: it asked for its old session, and had had one that should still exist.
        expected_session: bool,
    },
    /// SUBSCRIBE was handed to the link. `filter` is the index in the client's subscriptions.
    SubscribeSent {
        /// Index in [`crate::promise::Client::subscriptions`].
        filter: u16,
    },
    /// SUBACK arrived for the filter of that index; `granted` is 0 to 2, or a failure from 0x80.
    Subscribed {
        /// Index in [`crate::promise::Client::subscriptions`].
        filter: u16,
        /// Granted QoS or failure code.
        granted: u8,
    },
    /// UNSUBSCRIBE was handed to the link (nothing sent from now on is due to this filter).
    UnsubscribeSent {
        /// Index in [`crate::promise::Client::subscriptions`].
        filter: u16,
    },
    /// The connection ended, or an attempt to connect did.
    Disconnected {
        /// Who ended it, as seen from the client.
        by: EndedBy,
        /// True if it had got as far as a successful CONNACK.
        was_connected: bool,
        /// Messages of the client's own that were sent and not yet wholly acknowledged.
        in_flight: u32,
    },
    /// The client's session ended because the client ended it or said it should end (clean session,
    /// expiry 0, a clean start): what the broker still owed it is owed no longer.
    SessionEnded,
    /// The client lost its memory (a power cut without flash): its own half of the session is gone.
    MemoryLost,
    /// A QoS 2 PUBLISH arrived again with an id for which the client had sent PUBREC and not yet
    /// PUBCOMP; the client suppressed it, as the protocol asks.
    RepeatSuppressed {
        /// The packet identifier.
        packet_id: u16,
    },
    /// What came as a repeat was another message, under an identifier that the client still holds for the one before it: it
    /// is suppressed like a repeat, and acknowledged as that one.
    Masked {
        /// Who published the message that went no further.
        publisher: ClientId,
        /// Its number.
        number: u32,
    },
    /// The client sent PUBREL once more, for an exchange of an earlier connection [MQTT-4.4.0-1].
    ReleasedAgain {
        /// The packet identifier.
        packet_id: u16,
    },
    /// The client's link lost a packet that carried more than an acknowledgement of TCP's own.
    LinkLost {
        /// From the client to the broker.
        up: bool,
        /// How it was lost.
        why: LinkLoss,
        /// Bytes of MQTT in it; 0: a TCP hand-shake or its end.
        bytes: u32,
    },
    /// The broker broke the protocol on this connection in a way the client had to act upon.
    Protocol(Breach),
    /// UNSUBACK arrived for the filter of that index.
    Unsubscribed {
        /// Index in [`crate::promise::Client::subscriptions`].
        filter: u16,
    },
    /// PINGREQ was handed to the link.
    Pinged,
    /// The client goes silent, with its connection open: it sends nothing, not even a PINGREQ.
    Silent {
        /// When it last sent something.
        since: Instant,
        /// The keep alive that holds on this connection, in seconds.
        keep_alive: u16,
    },
    /// The client leaves its connection open and unattended, and connects anew.
    TakesOver,
    /// The broker closed the connection that was left unattended; with the reason code of its DISCONNECT, if it gave one.
    OldConnectionClosed {
        /// Reason code.
        reason: Option<u8>,
    },
    /// A will arrived.
    Will(WillArrived),
    /// An empty retained message, which clears the topic, was handed to the link.
    ClearSent,
    /// Such a message was acknowledged for good.
    ClearAcked,
    /// The message that arrives next came with this much of its expiry left.
    ExpiryLeft {
        /// Seconds; none: the property was gone.
        left: Option<u32>,
    },
    /// The message that arrives next came with properties that its publisher had not given it, or without some, or in another order.
    Altered {
        /// Who published it.
        publisher: ClientId,
        /// What about it.
        what: Altered,
    },
    /// A PUBLISH of a client under test that carries no identity of this run went out.
    Unmarked {
        /// Its QoS.
        qos: u8,
        /// 0 at QoS 0.
        packet_id: u16,
        /// It is sent again within its session.
        resend: bool,
    },
    /// The client, which is not squall's own, broke its half of the protocol.
    Faulty {
        /// How.
        fault: ClientFault,
        /// Who published the message that it is about; none: the client itself.
        of: Option<ClientId>,
        /// The message's number; none if it is about no message, or about one without identity.
        number: Option<u32>,
        /// The packet identifier; 0 if it is about none.
        packet_id: u16,
    },
}

/// A Server Reference: as much of it as fits, so that an event stays plain and small.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServerName {
    length: u8,
    bytes: [u8; Self::MOST],
}

impl ServerName {
    /// Bytes that it keeps.
    const MOST: usize = 24;

    /// Of a longer text, the beginning, with `~` for the rest.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; Self::MOST];
        let whole = text.len() <= Self::MOST;
        let end = (0..Self::MOST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let kept = if whole { text } else { &text[..end] };
        bytes[..kept.len()].copy_from_slice(kept.as_bytes());
        let mut length = kept.len();
        if !whole {
            bytes[length] = b'~';
            length += 1;
        }
        Self { length: u8::try_from(length).expect("24 at most"), bytes }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("it was text")
    }
}

impl std::fmt::Debug for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

/// A will that came in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WillArrived {
    /// Whose will it is.
    pub of: ClientId,
    /// Of which of its connections: the first CONNECT that it sent is 1.
    pub connection: u32,
    /// The QoS it came with.
    pub qos: u8,
    /// The RETAIN flag it came with.
    pub retain: bool,
}

/// What about a message was altered on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Altered {
    /// A property is missing.
    Missing,
    /// A property has another value, or was added.
    Changed,
    /// User properties are in another order.
    Order,
    /// The subscription identifiers are not those of the receiver's matching subscriptions.
    SubscriptionIdentifier,
}

/// A PUBLISH going out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sent {
    /// Its number within its publisher, from 0 without gaps.
    pub number: u32,
    /// When it should have been sent.
    pub intended: Instant,
    /// 1 for the first sending; 2 and so on each time it is published anew under a *new* packet identifier
    /// because the memory of the first was lost. A re-send within the session keeps its attempt.
    pub attempt: u16,
    /// 0 at QoS 0.
    pub packet_id: u16,
    /// True for a re-send within the session (DUP).
    pub resend: bool,
    /// MQTT bytes of the PUBLISH.
    pub bytes: u32,
}

/// A PUBLISH that came in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Delivered {
    /// Who published it, as its payload says.
    pub publisher: ClientId,
    /// Its number within its publisher, as its payload says.
    pub number: u32,
    /// The publisher whose topic the PUBLISH came on; none if no publisher of this run has it.
    pub topic_of: Option<ClientId>,
    /// The QoS it came with.
    pub qos: u8,
    /// The DUP flag it came with.
    pub dup: bool,
    /// The RETAIN flag it came with.
    pub retain: bool,
    /// 0 at QoS 0.
    pub packet_id: u16,
    /// MQTT bytes of the PUBLISH.
    pub bytes: u32,
}

/// Why a message was never sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Discard {
    /// The outbox was full.
    OutboxFull,
    /// The run ended before its turn came.
    RunEnded,
    /// The sensor lost its memory before its turn came.
    PowerCut,
    /// QoS 0, and there was no connection to send it on.
    NotConnected,
}

/// The acknowledgements of a published message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ack {
    /// QoS 1: the end of the hand-shake.
    PubAck,
    /// QoS 2: the first half.
    PubRec,
    /// QoS 2: the end of the hand-shake.
    PubComp,
}

/// What is wrong with an incoming PUBLISH that cannot be a message of this run as it was sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Strange {
    /// It carries this run's mark, but its check does not fit its bytes, or its length is not the publisher's.
    Corrupt {
        /// The publisher whose topic it came on, if any.
        topic_of: Option<ClientId>,
    },
    /// It carries this run's mark and a publisher or a number that does not exist.
    Phantom,
    /// It comes from an earlier run, or from somebody else.
    Foreign,
    /// Its topic begins with `$`, and no filter of the receiver does.
    Dollar,
}

/// How a link loses a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkLoss {
    /// At random, as its loss model says.
    Random,
    /// Its queue was full.
    Queue,
    /// There was an outage.
    Outage,
}

/// Who ended a connection, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EndedBy {
    /// The client, with DISCONNECT.
    Client,
    /// The client, without a word: power cut, or its own time-out (no PINGRESP, no CONNACK, no transport).
    ClientTimeout(Timeout),
    /// The client, without a word, on purpose: it went away, or left a broker that had broken the protocol.
    Vanished,
    /// A power cut.
    PowerCut,
    /// The broker closed the transport in order (FIN), or with DISCONNECT; the reason code if it gave one.
    Broker(Option<u8>),
    /// The transport was reset or refused.
    Reset,
    /// The harness could not open a connection of its own (descriptors, ports).
    Harness,
}

/// What the client had waited for in vain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timeout {
    /// The transport did not open.
    Transport,
    /// CONNACK did not come.
    ConnAck,
    /// PINGRESP did not come.
    PingResp,
    /// The links were healed and this connection had stalled, so it was reset to walk the resume path.
    Heal,
}

/// How a broker can break the protocol on one connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Breach {
    /// Bytes that are no MQTT packet.
    Malformed,
    /// A packet that has no business there (an acknowledgement never asked for, a second CONNACK).
    Unexpected,
    /// More unacknowledged messages than the client's Receive Maximum.
    ReceiveMaximum,
    /// A DUP flag on a QoS 0 message, or packet identifier 0.
    Flags,
    /// A topic alias beyond the client's maximum, or one that was never set.
    TopicAlias,
    /// AUTH, or an authentication method, for a client that named none.
    Authentication,
    /// A packet larger than the client's Maximum Packet Size.
    PacketTooLarge,
    /// A packet identifier for another message while the exchange that it belongs to is not over.
    IdInUse,
}

/// How a client under test can break its half of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ClientFault {
    /// Bytes that are no MQTT packet.
    Malformed,
    /// Another packet before CONNECT.
    ConnectNotFirst,
    /// CONNECT twice on a connection.
    SecondConnect,
    /// A packet after DISCONNECT.
    AfterDisconnect,
    /// Silent for longer than its keep alive.
    KeepAlive,
    /// A packet identifier given to another message while it is in use.
    IdReused,
    /// Sent again without DUP.
    ResentWithoutDup,
    /// DUP on a message that was never sent before.
    DupOnFirst,
    /// DUP at QoS 0.
    DupAtQos0,
    /// Not sent again after a return to the session.
    NotResent,
    /// Sent again in another order than at first.
    ResendOrder,
    /// Its identifier was given to another message before it was acknowledged.
    Abandoned,
    /// 5.0: sent again on the same connection.
    ResentUnasked,
    /// PUBLISH again after PUBREL.
    PublishAfterRelease,
    /// PUBREL without PUBREC.
    ReleasedUnasked,
    /// PUBRELs in another order than their PUBRECs.
    ReleaseOrder,
    /// No PUBREL after PUBREC.
    NotReleased,
    /// No PUBACK, PUBREC or PUBCOMP where one is due.
    NotAcknowledged,
    /// PUBACK, PUBREC or PUBCOMP that nothing asked for.
    AckUnasked,
    /// PUBACKs or PUBRECs in another order than their PUBLISHes.
    AckOrder,
    /// A QoS 2 message handed to the application twice, though it came once.
    HandedOverTwice,
    /// 5.0: more in flight than the server's Receive Maximum.
    ReceiveMaximum,
    /// 5.0: larger than the server's Maximum Packet Size.
    PacketTooLarge,
    /// 5.0: a topic alias above the server's maximum.
    TopicAlias,
    /// 5.0: a QoS above the server's maximum.
    QosTooHigh,
    /// 5.0: RETAIN where the server retains nothing.
    RetainUnavailable,
    /// Connected and gone again, over and over.
    Wedged,
}

/// Takes events as they happen.
pub trait Sink {
    /// Takes one event.
    fn event(&mut self, event: Event);
}

impl Sink for Vec<Event> {
    fn event(&mut self, event: Event) {
        self.push(event);
    }
}

/// Something done to the run as a whole, at a time.
#[derive(Clone, PartialEq, Debug)]
pub struct FaultMark {
    /// When it began.
    pub at: Instant,
    /// How long it lasted; none for an instant one.
    pub lasted: Option<Duration>,
    /// What it was, in a few words ("broker killed", "link nb-iot: outage").
    pub what: String,
    /// What kind it was.
    pub kind: FaultKind,
}

/// What a fault says where a broker was started again; it lasts until the broker answers a CONNECT.
pub const STARTED_AGAIN: &str = "broker started again";

/// The kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum FaultKind {
    BrokerKill,
    /// An orderly stop, after which it is to start again.
    BrokerRestart,
    /// It was started again, after a stop or a kill.
    BrokerStarted,
    BrokerPause,
    LinkOutage,
    SlowCpu,
    SlowDisk,
    Reboot,
    ConnectionsDropped,
    /// The broker's process ended, and nobody had ordered it.
    BrokerDied,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_keeps_what_fits_and_says_that_it_is_cut() {
        for (text, kept) in [
            ("", ""),
            ("node-b.example:1883", "node-b.example:1883"),
            ("exactly-24-bytes-of-name", "exactly-24-bytes-of-name"),
            ("node-b.eu-west.example:1883", "node-b.eu-west.example:~"),
            ("ééééééééééééé", "ééééééééééé~"),
        ] {
            assert_eq!(ServerName::new(text).text(), kept);
        }
    }

    /// Events pass by the million: the rare ones make none of them larger.
    #[test]
    fn an_event_is_small() {
        assert!(size_of::<What>() <= size_of::<Sent>().max(size_of::<Delivered>()) + 8, "{}", size_of::<What>());
    }
}
