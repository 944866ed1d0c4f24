//! Shared subscriptions of 5.0.

use super::super::bench::Bench;
use super::super::case::{Case, Done, broken, ensure};
use super::{Q0, Q1, Q2, at};
use crate::mqtt::QoS;
use crate::mqtt::packet::{Ack, Packet};
use crate::mqtt::properties::{Properties, PropertiesBuf};
use crate::peer::message::Message;
use crate::peer::{Got, Peer};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "shared-one-member",
            "A message comes to one member of a share, and to subscribers beside it.",
            one_member,
        )
        .v5("4.8.2-1"),
        Case::new("shared-granted-qos", "A member gets messages at no more than its granted QoS.", granted)
            .v5("4.8.2-3"),
        Case::new(
            "shared-names",
            "A share without a name or a filter, or with wildcards in its name, is refused.",
            names,
        )
        .v5("4.8.2-1 4.8.2-2"),
        Case::new("shared-completes", "A QoS 2 delivery to a member is completed with it when it returns.", completes)
            .v5("4.8.2-4"),
        Case::new(
            "shared-session-ends",
            "A QoS 2 message whose member's session ends goes to no other member.",
            session_ends,
        )
        .v5("4.8.2-5"),
        Case::new("shared-refused", "A message that a member refuses goes to no other member.", refused).v5("4.8.2-6"),
        Case::new("shared-unsubscribe", "A member that unsubscribes gets no more, and the others go on.", unsubscribe)
            .v5("3.10.4-1 3.10.4-2"),
        Case::new(
            "shared-no-retained",
            "A message to a share is sent like any other: RETAIN 0, its topic whole.",
            plain,
        )
        .v5("3.3.1-12 3.3.2-3"),
    ]
}

fn share(b: &Bench) -> String {
    format!("$share/{}/{}", b.id("group"), b.topic("t"))
}

fn member(b: &Bench, name: &str, qos: QoS) -> Result<Peer, super::super::case::Stop> {
    b.needs(b.can.shared, "shared subscriptions")?;
    b.subscriber(name, &share(b), at(qos))
}

fn one_member(b: &Bench) -> Done {
    let (mut one, mut two) = (member(b, "one", Q0)?, member(b, "two", Q0)?);
    let mut beside = b.subscriber("beside", &b.topic("t"), at(Q0))?;
    let mut pub_ = b.client("pub")?;
    let n = 10;
    for i in 0..n {
        b.publish_by(&mut pub_, &Message::new(&b.topic("t"), Q0, i.to_string()))?;
        beside.message()?;
    }
    let mut came = Vec::new();
    for peer in [&mut one, &mut two] {
        peer.ping()?;
        while let Got::Packet(r) = peer.next(b.site.quiet) {
            let Packet::Publish(p) = r.packet() else { return broken(format!("there came {r:?}")) };
            came.push(Message::of(&p).text());
        }
    }
    came.sort();
    let all: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    ensure!(came == all, "of ten messages the two members got {came:?}");
    Ok(())
}

fn granted(b: &Bench) -> Done {
    for (name, qos) in [("zero", Q0), ("one", Q1)] {
        let mut sub = member(b, name, qos)?;
        b.publish(&Message::new(&b.topic("t"), b.can.maximum_qos, "x"))?;
        let m = sub.message()?;
        ensure!(m.qos == qos.min(b.can.maximum_qos), "granted {}, and it came at {}", qos as u8, m.qos as u8);
        sub.disconnect();
    }
    Ok(())
}

fn names(b: &Bench) -> Done {
    b.needs(b.can.shared, "shared subscriptions")?;
    for wrong in ["$share/group", "$share//t", "$share/a+/t", "$share/a#/t", "$share/group/"] {
        super::topics::not_granted(b, wrong)?;
    }
    Ok(())
}

/// Two lasting members, and a QoS 2 message that has reached one of them; that one first, with its name.
fn one_reached(b: &Bench) -> Result<(Peer, &'static str, Peer, Message), super::super::case::Stop> {
    b.needs(b.can.shared, "shared subscriptions")?;
    b.needs_qos(Q2)?;
    let mut members = Vec::new();
    for name in ["one", "two"] {
        let (mut peer, _) = b.enter(name, &b.hello(name).lasting(60))?;
        peer.subscribe(&share(b), at(Q2))?;
        members.push((peer, name));
    }
    b.publish(&Message::new(&b.topic("t"), Q2, "x"))?;
    let (mut two, second) = members.pop().expect("there are two");
    let (mut one, first) = members.pop().expect("there are two");
    one.ping()?;
    match one.next(b.site.quiet) {
        Got::Packet(r) if matches!(r.packet(), Packet::Publish(_)) => {
            let Packet::Publish(p) = r.packet() else { unreachable!("it was matched") };
            Ok((one, first, two, Message::of(&p)))
        }
        _ => {
            let m = two.incoming()?;
            Ok((two, second, one, m))
        }
    }
}

fn completes(b: &Bench) -> Done {
    let (mut reached, name, mut other, m) = one_reached(b)?;
    let id = m.packet_id.expect("it has QoS 2");
    reached.send(&Packet::PubRec(Ack::plain(id)));
    reached.pubrel(id)?;
    reached.cut();
    let (mut reached, _) = b.enter(name, &b.hello(name).lasting(60))?;
    reached.pubrel(id)?;
    reached.send(&Packet::PubComp(Ack::plain(id)));
    b.calm(&mut reached)?;
    b.calm(&mut other)
}

fn session_ends(b: &Bench) -> Done {
    let (reached, name, mut other, _) = one_reached(b)?;
    reached.cut();
    b.enter(name, &b.hello(name))?.0.disconnect();
    b.calm(&mut other)
}

fn refused(b: &Bench) -> Done {
    let (mut reached, _, mut other, m) = one_reached(b)?;
    let packet_id = m.packet_id.expect("it has QoS 2");
    reached.send(&Packet::PubRec(Ack { packet_id, reason: 0x83, properties: Properties::EMPTY }));
    b.calm(&mut reached)?;
    b.calm(&mut other)
}

fn unsubscribe(b: &Bench) -> Done {
    let (mut one, mut two) = (member(b, "one", Q0)?, member(b, "two", Q0)?);
    one.unsubscribe(&[&share(b)])?;
    for _ in 0..4 {
        b.publish(&Message::new(&b.topic("t"), Q0, "x"))?;
        two.message()?;
    }
    b.calm(&mut one)
}

fn plain(b: &Bench) -> Done {
    let mut sub = member(b, "one", Q0)?;
    let codes = sub.subscribe_all(&[(&share(b), at(Q0))], &PropertiesBuf::default())?;
    ensure!(codes == [0], "the share made again is answered by {codes:?}");
    b.publish(&Message::new(&b.topic("t"), Q0, "x"))?;
    let m = sub.message()?;
    ensure!(m.topic == b.topic("t") && !m.retain, "it came as {m:?}");
    Ok(())
}
