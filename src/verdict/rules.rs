//! Every way a broker can break its word, with the rule in plain words and its statement numbers.

use crate::promise::Guarantee;
use crate::trace::ClientFault;

/// A breach, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "each is explained by its rule")]
pub enum Breach {
    Qos0Duplicated,
    Qos1Lost,
    Qos2Lost,
    Qos2Duplicated,
    Qos1NotStored,
    Qos2NotStored,
    WrongQos,
    Downgraded,
    Lowered,
    OutOfOrder,
    Corrupt,
    Phantom,
    WrongTopic,
    WrongSubscription,
    NoLocal,
    SessionForgotten,
    SessionInvented,
    Malformed,
    Unexpected,
    ReceiveMaximum,
    Flags,
    Stuck,
    Silent,
    Frozen,
    Client(ClientFault),
    TopicAlias,
    Authentication,
    PacketTooLarge,
    IdInUse,
    DupCarried,
    ReleaseUnknown,
    DollarTopic,
    NeverClosed,
    ClosedEarly,
    RetainedMissing,
    RetainedOlder,
    RetainedNotCleared,
    RetainFlagSet,
    RetainFlagLost,
    WillMissing,
    WillTwice,
    WillTooEarly,
    WillAfterDisconnect,
    WillDespiteReturn,
    WillContent,
    OldConnectionKept,
    AfterUnsubscribe,
    SharedTwice,
    SubscriptionIdentifier,
    PropertiesAltered,
    PropertiesReordered,
    ExpiryGone,
    ExpiryNotCounted,
    Expired,
}

/// What a breach offends.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The guarantee it belongs to.
    pub guarantee: Guarantee,
    /// Its name for people.
    pub name: &'static str,
    /// The rule in plain words.
    pub sentence: &'static str,
    /// The statements.
    pub statements: &'static [&'static str],
}

const fn rule(
    guarantee: Guarantee,
    name: &'static str,
    sentence: &'static str,
    statements: &'static [&'static str],
) -> Rule {
    Rule { guarantee, name, sentence, statements }
}

impl Breach {
    /// Its rule.
    #[must_use]
    pub const fn rule(self) -> Rule {
        use Guarantee as G;
        match self {
            Self::Qos0Duplicated => {
                rule(G::Qos0, "duplicated", "a QoS 0 message is delivered at most once on each path", &["MQTT-4.3.1-1"])
            }
            Self::Qos1Lost => rule(
                G::Qos1,
                "lost",
                "a message whose PUBACK was sent must reach every subscriber it is due to, at least once",
                &["MQTT-4.3.2-2", "MQTT-4.5.0-1"],
            ),
            Self::Qos2Lost => rule(
                G::Qos2,
                "lost",
                "a message whose PUBCOMP was sent must reach every subscriber it is due to, exactly once",
                &["MQTT-4.3.3-1", "MQTT-4.5.0-1"],
            ),
            Self::Qos2Duplicated => rule(
                G::Qos2,
                "duplicated",
                "until PUBREL, a PUBLISH with the same identifier must not be handed on again; a QoS 2 message arrives once",
                &["MQTT-4.3.3-2"],
            ),
            Self::Qos1NotStored => rule(
                G::Qos1,
                "gone after a kill",
                "what was acknowledged before the broker was killed is there after it, unless the broker declares otherwise",
                &["MQTT-4.3.2-2", "MQTT-4.5.0-1"],
            ),
            Self::Qos2NotStored => rule(
                G::Qos2,
                "gone after a kill",
                "what was completed before the broker was killed is there after it, unless the broker declares otherwise",
                &["MQTT-4.3.3-1", "MQTT-4.5.0-1"],
            ),
            Self::WrongQos => rule(
                G::Qos1,
                "wrong QoS",
                "a message is delivered at the lower of its own QoS and the QoS granted",
                &["MQTT-3.8.4-6"],
            ),
            Self::Lowered => rule(
                G::Qos1,
                "lowered by an overlap",
                "where several filters match, a copy comes at the highest QoS granted among them, or a copy for each",
                &["MQTT-3.3.5-1", "MQTT-3.3.4-2"],
            ),
            // Legal, and yet not what was asked for: a breach only for those who take no excuse.
            Self::Downgraded => {
                rule(G::Qos2, "QoS downgraded", "a subscription is granted the QoS that it asks for", &["MQTT-3.8.4-6"])
            }
            Self::OutOfOrder => rule(
                G::Order,
                "out of order",
                "messages of one publisher, topic and QoS reach a subscriber in the order they were published",
                &["MQTT-4.6.0-6"],
            ),
            Self::Corrupt => rule(
                G::Payload,
                "corrupt",
                "the broker passes on the payload as it came",
                &["MQTT-3.3.1-2", "MQTT-4.5.0-1"],
            ),
            Self::Phantom => rule(G::Routing, "phantom", "nothing arrives that nobody has sent", &["MQTT-4.5.0-1"]),
            Self::WrongTopic => {
                rule(G::Routing, "wrong topic", "a message arrives on the topic it was published to", &["MQTT-3.3.2-3"])
            }
            Self::WrongSubscription => rule(
                G::Routing,
                "wrong subscription",
                "a message is delivered only to clients one of whose filters matches its topic",
                &["MQTT-3.3.2-3", "MQTT-4.7.3-4"],
            ),
            Self::NoLocal => rule(
                G::Subscriptions,
                "echoed",
                "with No Local, a client's own messages do not come back to it",
                &["MQTT-3.8.3-3"],
            ),
            Self::SessionForgotten => rule(
                G::Session,
                "session forgotten",
                "a session that was to be kept is there when its client returns",
                &["MQTT-3.1.2-5", "MQTT-4.1.0-1"],
            ),
            Self::SessionInvented => rule(
                G::Session,
                "session invented",
                "Session Present is 1 only if the broker has the client's session",
                &["MQTT-3.2.2-2", "MQTT-3.2.2-3"],
            ),
            Self::Malformed => {
                rule(G::Protocol, "malformed packet", "what the broker sends is well-formed MQTT", &["MQTT-4.13.1-1"])
            }
            Self::Unexpected => rule(
                G::Protocol,
                "unexpected packet",
                "the broker sends no packet that has no business there",
                &["MQTT-4.3.2-4", "MQTT-4.3.3-4"],
            ),
            Self::ReceiveMaximum => rule(
                G::Protocol,
                "receive maximum exceeded",
                "no more unacknowledged messages than the client's Receive Maximum",
                &["MQTT-3.3.4-9"],
            ),
            Self::TopicAlias => rule(
                G::Protocol,
                "illegal topic alias",
                "a topic alias is within the client's maximum, and was set on this connection",
                &["MQTT-3.1.2-26", "MQTT-3.1.2-27"],
            ),
            Self::Authentication => rule(
                G::Protocol,
                "authentication unasked",
                "a client that names no authentication method is sent no AUTH, and no method in CONNACK",
                &["MQTT-4.12.0-6"],
            ),
            Self::PacketTooLarge => rule(
                G::Protocol,
                "packet too large",
                "no packet is larger than the client's Maximum Packet Size",
                &["MQTT-3.1.2-24"],
            ),
            Self::IdInUse => rule(
                G::Protocol,
                "packet identifier in use",
                "a new message has a packet identifier that no unfinished exchange uses",
                &["MQTT-2.2.1-4", "MQTT-2.3.1-4"],
            ),
            Self::DupCarried => rule(
                G::Protocol,
                "DUP carried over",
                "DUP says that this broker has sent the packet to this client before, whatever its publisher set",
                &["MQTT-3.3.1-3"],
            ),
            Self::ReleaseUnknown => rule(
                G::Protocol,
                "PUBREL taken for unknown",
                "PUBREL is answered as known where PUBREC came on the same connection",
                &["MQTT-4.3.3-11"],
            ),
            Self::DollarTopic => rule(
                G::Subscriptions,
                "$ topic for a wildcard",
                "a filter that begins with a wildcard matches no topic that begins with $",
                &["MQTT-4.7.2-1"],
            ),
            Self::RetainedMissing => rule(
                G::Retained,
                "missing",
                "who subscribes gets the retained message of each topic that matches",
                &["MQTT-3.3.1-6", "MQTT-3.3.1-9"],
            ),
            Self::RetainedOlder => rule(
                G::Retained,
                "older value",
                "the retained message is the last one that was published with RETAIN",
                &["MQTT-3.3.1-5"],
            ),
            Self::RetainedNotCleared => rule(
                G::Retained,
                "not cleared",
                "an empty message with RETAIN takes the retained message away",
                &["MQTT-3.3.1-6", "MQTT-3.3.1-10"],
            ),
            Self::RetainFlagSet => rule(
                G::Retained,
                "RETAIN set or not asked for",
                "RETAIN is set on what a SUBSCRIBE that asks for retained messages brings, and on no live copy",
                &["MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11", "MQTT-3.3.1-12"],
            ),
            Self::RetainFlagLost => rule(
                G::Retained,
                "RETAIN lost",
                "with Retain As Published, RETAIN comes as it was published",
                &["MQTT-3.3.1-13"],
            ),
            Self::WillMissing => rule(
                G::Wills,
                "missing",
                "a will is published when its client's connection ends without DISCONNECT",
                &["MQTT-3.1.2-8"],
            ),
            Self::WillTwice => rule(G::Wills, "twice", "a will is published once", &["MQTT-3.1.2-10"]),
            Self::WillTooEarly => rule(
                G::Wills,
                "too early",
                "a will is not published before its delay has passed or its session has ended",
                &["MQTT-3.1.3-9", "MQTT-3.1.2-8"],
            ),
            Self::WillAfterDisconnect => rule(
                G::Wills,
                "after DISCONNECT",
                "DISCONNECT takes the will away",
                &["MQTT-3.1.2-10", "MQTT-3.14.4-3"],
            ),
            Self::WillDespiteReturn => rule(
                G::Wills,
                "despite return",
                "a client that is back in its session before its will's delay has passed takes the will away",
                &["MQTT-3.1.3-9"],
            ),
            Self::WillContent => rule(
                G::Wills,
                "wrong QoS",
                "a will is published at its own QoS, and delivered at the lower of that and the QoS granted",
                &["MQTT-3.1.2-14", "MQTT-3.8.4-6"],
            ),
            Self::OldConnectionKept => rule(
                G::TakeOver,
                "old connection kept",
                "when a client connects again, its old connection is closed",
                &["MQTT-3.1.4-2", "MQTT-3.1.4-3"],
            ),
            Self::AfterUnsubscribe => rule(
                G::Subscriptions,
                "after UNSUBSCRIBE",
                "no message that is published after UNSUBACK is delivered for that filter",
                &["MQTT-3.10.4-2"],
            ),
            Self::SharedTwice => rule(
                G::Subscriptions,
                "to two members",
                "a message for a shared subscription goes to one member, as long as no member's connection breaks",
                &["MQTT-4.8.2-5"],
            ),
            Self::SubscriptionIdentifier => rule(
                G::Subscriptions,
                "wrong subscription identifier",
                "a copy carries the identifiers of the subscriptions that it is for",
                &["MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5"],
            ),
            Self::PropertiesAltered => rule(
                G::Properties,
                "altered",
                "the properties of a message are passed on as they are",
                &["MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-20"],
            ),
            Self::PropertiesReordered => {
                rule(G::Properties, "reordered", "user properties keep their order", &["MQTT-3.3.2-18"])
            }
            Self::ExpiryGone => rule(
                G::Expiry,
                "expiry gone",
                "a message with an expiry is passed on with what is left of it",
                &["MQTT-3.3.2-6"],
            ),
            Self::ExpiryNotCounted => rule(
                G::Expiry,
                "not counted down",
                "the expiry that is passed on is what came, less the time that the message waited in the broker",
                &["MQTT-3.3.2-6"],
            ),
            Self::Expired => rule(
                G::Expiry,
                "sent after its expiry",
                "a message that has expired before it was first sent to a subscriber is not sent to it",
                &["MQTT-3.3.2-5"],
            ),
            Self::NeverClosed => rule(
                G::KeepAlive,
                "never closed",
                "a client that sends nothing for one and a half times its keep alive is disconnected",
                &["MQTT-3.1.2-24", "MQTT-3.1.2-22"],
            ),
            Self::ClosedEarly => rule(
                G::KeepAlive,
                "closed early",
                "a client that sent PINGREQ within its keep alive is not disconnected for its silence",
                &["MQTT-3.1.2-24", "MQTT-3.1.2-22"],
            ),
            Self::Flags => rule(G::Protocol, "illegal flags", "DUP is 0 at QoS 0", &["MQTT-3.3.1-2"]),
            Self::Client(fault) => super::client::rule(fault),
            Self::Silent => rule(
                G::Liveness,
                "silent connection",
                "a connection that the broker keeps open is answered like the others",
                &[],
            ),
            Self::Frozen => {
                rule(G::Liveness, "frozen", "after the links have healed, the broker answers somebody", &[])
            }
            Self::Stuck => rule(
                G::Liveness,
                "stuck",
                "after the links have healed, the broker answers, and what it owes arrives",
                &[],
            ),
        }
    }
}
