//! Properties of 5.0 that are carried, and those that must be left out.

use super::super::bench::Bench;
use super::super::case::{Case, Done, ensure, not_applicable};
use super::{Q0, Q1, Q2, at};
use crate::mqtt::packet::{Ack, Packet};
use crate::mqtt::properties::{Properties, PropertiesBuf, Property};
use crate::mqtt::{PacketId, QoS};
use crate::peer::message::Message;
use crate::peer::{Got, Received};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("carries-payload-format", "The payload format indicator is handed on unaltered.", |b| {
            through(b, &[&[Property::PayloadFormatIndicator(1)], &[Property::PayloadFormatIndicator(0)]])
        })
        .v5("3.3.2-4"),
        Case::new("carries-response-topic", "Response topic and correlation data are handed on unaltered.", |b| {
            through(b, &[&[Property::ResponseTopic("a/b c/\u{e9}"), Property::CorrelationData(&[0, 255, 1])]])
        })
        .v5("3.3.2-15 3.3.2-16"),
        Case::new("carries-content-type", "The content type is handed on unaltered.", |b| {
            through(b, &[&[Property::ContentType("text/plain; charset=utf-8")]])
        })
        .v5("3.3.2-20"),
        Case::new(
            "carries-user-properties",
            "User properties are handed on unaltered, in their order, also same names.",
            |b| {
                let all = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("a", "1")];
                through(b, &[&all.map(|(name, value)| Property::UserProperty(name, value))])
            },
        )
        .v5("3.3.2-17 3.3.2-18"),
        Case::new("carries-to-queued", "Properties are kept with messages that wait, and with retained ones.", stored)
            .v5("3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-20"),
        Case::new(
            "no-problem-information",
            "Without Request Problem Information no reasons come but in CONNACK and DISCONNECT.",
            problems,
        )
        .v5("3.1.2-29"),
        Case::new(
            "small-connack",
            "CONNACK leaves out reasons that would make it larger than the client accepts.",
            small_connack,
        )
        .v5("3.2.2-19 3.2.2-20"),
        Case::new("small-puback", "PUBACK keeps to the client's Maximum Packet Size.", |b| small(b, Kind::PubAck))
            .v5("3.4.2-2 3.4.2-3 3.1.2-24"),
        Case::new("small-pubrec", "PUBREC keeps to the client's Maximum Packet Size.", |b| small(b, Kind::PubRec))
            .v5("3.5.2-2 3.5.2-3 3.1.2-24"),
        Case::new("small-pubrel", "PUBREL keeps to the client's Maximum Packet Size.", |b| small(b, Kind::PubRel))
            .v5("3.6.2-2 3.6.2-3 3.1.2-24"),
        Case::new("small-pubcomp", "PUBCOMP keeps to the client's Maximum Packet Size.", |b| small(b, Kind::PubComp))
            .v5("3.7.2-2 3.7.2-3 3.1.2-24"),
        Case::new("small-suback", "SUBACK keeps to the client's Maximum Packet Size.", |b| small(b, Kind::SubAck))
            .v5("3.9.2-1 3.9.2-2 3.1.2-24"),
        Case::new("small-unsuback", "UNSUBACK keeps to the client's Maximum Packet Size.", |b| {
            small(b, Kind::UnsubAck)
        })
        .v5("3.11.2-1 3.11.2-2 3.1.2-24"),
        Case::new("small-disconnect", "DISCONNECT keeps to the client's Maximum Packet Size.", |b| {
            small(b, Kind::Disconnect)
        })
        .v5("3.14.2-3 3.14.2-4 3.1.2-24"),
    ]
}

/// The message has all these properties, user properties in this order, and beside them only what a broker adds.
pub(super) fn carries(message: &Message, wanted: &[Property<'_>]) -> Done {
    let properties = message.properties.as_properties();
    let user = |p: &Property<'_>| matches!(p, Property::UserProperty(..));
    for property in wanted.iter().filter(|p| !user(p)) {
        ensure!(properties.iter().any(|p| p == *property), "{property:?} was published, and {properties:?} came");
    }
    let came: Vec<Property<'_>> = properties.iter().filter(user).collect();
    let sent: Vec<Property<'_>> = wanted.iter().copied().filter(user).collect();
    ensure!(came == sent, "user properties: {sent:?} were published, and {came:?} came");
    Ok(())
}

fn with_all(message: Message, properties: &[Property<'_>]) -> Message {
    properties.iter().fold(message, |m, p| m.with(*p))
}

fn through(b: &Bench, sets: &[&[Property<'_>]]) -> Done {
    let mut subs = [b.subscriber("one", &b.topic("t"), at(Q2))?, b.subscriber("two", &b.topic("t"), at(Q0))?];
    let mut pub_ = b.client("pub")?;
    for set in sets {
        for qos in super::ALL_QOS.into_iter().filter(|q| *q <= b.can.maximum_qos) {
            b.publish_by(&mut pub_, &with_all(Message::new(&b.topic("t"), qos, "x"), set))?;
            for sub in &mut subs {
                carries(&sub.message()?, set)?;
            }
        }
    }
    Ok(())
}

const ALL: &[Property<'static>] = &[
    Property::PayloadFormatIndicator(1),
    Property::ContentType("text/plain"),
    Property::ResponseTopic("answer"),
    Property::CorrelationData(b"\x00\x01"),
    Property::UserProperty("z", "1"),
    Property::UserProperty("a", "2"),
];

fn stored(b: &Bench) -> Done {
    b.needs_qos(Q1)?;
    let hello = b.hello("away").lasting(60);
    let (mut sub, _) = b.enter("away", &hello)?;
    sub.subscribe(&b.topic("t"), at(Q1))?;
    sub.disconnect();
    let message = with_all(Message::new(&b.topic("t"), Q1, "x"), ALL);
    b.publish(&if b.can.retain { message.retained() } else { message })?;
    let (mut sub, _) = b.enter("away", &hello)?;
    carries(&sub.message()?, ALL)?;
    if b.can.retain {
        carries(&b.subscriber("later", &b.topic("t"), at(Q1))?.message()?, ALL)?;
    }
    Ok(())
}

/// A packet that a broker sends, and may explain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    SubAck,
    UnsubAck,
    Disconnect,
}

impl Kind {
    /// The QoS that brings such packets about.
    fn qos(self) -> QoS {
        match self {
            Self::PubAck => Q1,
            Self::PubRec | Self::PubRel | Self::PubComp => Q2,
            _ => Q0,
        }
    }
}

/// Makes the broker send such a packet, in a way that gives it something to explain; what it sent.
fn provoke(b: &Bench, peer: &mut crate::peer::Peer, kind: Kind) -> Result<Vec<Received>, super::super::case::Stop> {
    let id = PacketId::new(321).expect("not zero");
    let mut all = Vec::new();
    let mut take = |peer: &mut crate::peer::Peer| match peer.next(b.site.patience) {
        Got::Packet(r) => {
            all.push(r);
            Ok(())
        }
        got => super::super::case::broken(format!("no {kind:?} came, but {got}")),
    };
    let message = |qos: QoS, topic: &str| Message::new(topic, qos, "x").id(id);
    match kind {
        Kind::PubAck => {
            for topic in [b.topic("nobody"), "$SYS/squall".to_owned()] {
                peer.send(&message(Q1, &topic).packet());
                take(peer)?;
            }
        }
        Kind::PubRec => {
            for (n, topic) in [b.topic("nobody"), "$SYS/squall".to_owned()].iter().enumerate() {
                let id = PacketId::new(400 + u16::try_from(n).expect("few")).expect("not zero");
                peer.send(&message(Q2, topic).id(id).packet());
                take(peer)?;
            }
        }
        Kind::PubRel => {
            peer.send(&Packet::PubRec(Ack::plain(id)));
            take(peer)?;
        }
        Kind::PubComp => {
            peer.send(&Packet::PubRel(Ack::plain(id)));
            take(peer)?;
        }
        Kind::SubAck => {
            let refused = super::malformed::subscribe(b, b"$share/only-a-group", 0);
            let granted = super::malformed::subscribe(b, b.topic("t").as_bytes(), 2);
            peer.send_raw(&granted, "SUBSCRIBE");
            take(peer)?;
            peer.send_raw(&refused, "SUBSCRIBE to a share without a filter");
            take(peer)?;
        }
        Kind::UnsubAck => {
            let mut bytes = Vec::new();
            crate::mqtt::codec::encode_unsubscribe(b.version, id, &["never/subscribed"], &mut bytes);
            peer.send_raw(&bytes, "UNSUBSCRIBE from what was never subscribed to");
            take(peer)?;
        }
        Kind::Disconnect => {
            peer.send_raw(&[0xF0, 2, 0x19, 0], "AUTH, which the client may not send");
            all.extend(peer.closed()?);
        }
    }
    Ok(all)
}

fn is_of(kind: Kind, packet: &Packet<'_>) -> bool {
    matches!(
        (kind, packet),
        (Kind::PubAck, Packet::PubAck(_))
            | (Kind::PubRec, Packet::PubRec(_))
            | (Kind::PubRel, Packet::PubRel(_))
            | (Kind::PubComp, Packet::PubComp(_))
            | (Kind::SubAck, Packet::SubAck(_))
            | (Kind::UnsubAck, Packet::UnsubAck(_))
            | (Kind::Disconnect, Packet::Disconnect(_))
    )
}

fn small(b: &Bench, kind: Kind) -> Done {
    b.needs_qos(kind.qos())?;
    // As little as lets its CONNACK through, and so less than most reasons that people can read.
    let (first, connack) = b.enter("small", &b.hello("small"))?;
    first.disconnect();
    let maximum = u32::try_from(connack.bytes.len()).expect("a short packet").max(8);
    let (mut peer, _) = b.enter("small", &b.hello("small").with(Property::MaximumPacketSize(maximum)))?;
    let came = provoke(b, &mut peer, kind)?;
    let large = came.iter().find(|r| r.bytes.len() > maximum as usize);
    ensure!(large.is_none(), "to a client that accepts {maximum} B came {large:?}");
    if !came.iter().any(|r| is_of(kind, &r.packet())) {
        return not_applicable(format!("it sent no {kind:?}"));
    }
    Ok(())
}

fn small_connack(b: &Bench) -> Done {
    let maximum: u32 = 20;
    let hello = b.hello("small").with(Property::MaximumPacketSize(maximum));
    let refused = hello.clone().with(Property::AuthenticationMethod("squall-has-no-such-method"));
    for hello in [hello, refused] {
        let mut peer = b.raw("small")?;
        peer.send(&hello.packet());
        let Got::Packet(answer) = peer.next(b.site.patience) else { continue };
        let Packet::ConnAck(ack) = answer.packet() else {
            return super::super::case::broken(format!("CONNECT was answered by {answer:?}"));
        };
        let explains = has_reasons(ack.properties);
        ensure!(
            !explains || answer.bytes.len() <= maximum as usize,
            "to a client that accepts {maximum} B came {} B, with reasons: {answer:?}",
            answer.bytes.len()
        );
    }
    Ok(())
}

fn has_reasons(properties: Properties<'_>) -> bool {
    properties.iter().any(|p| matches!(p, Property::ReasonString(_) | Property::UserProperty(..)))
}

fn problems(b: &Bench) -> Done {
    let kinds = [Kind::PubAck, Kind::PubRec, Kind::PubRel, Kind::PubComp, Kind::SubAck, Kind::UnsubAck];
    for kind in kinds.into_iter().filter(|k| k.qos() <= b.can.maximum_qos) {
        let hello = b.hello("quiet").with(Property::RequestProblemInformation(0));
        let (mut peer, _) = b.enter("quiet", &hello)?;
        for answer in provoke(b, &mut peer, kind)? {
            let properties = match answer.packet() {
                Packet::PubAck(a) | Packet::PubRec(a) | Packet::PubRel(a) | Packet::PubComp(a) => a.properties,
                Packet::SubAck(c) | Packet::UnsubAck(c) => c.properties,
                _ => PropertiesBuf::from_checked(&[]),
            };
            ensure!(!has_reasons(properties), "to a client that wants no reasons came {answer:?}");
        }
    }
    Ok(())
}
