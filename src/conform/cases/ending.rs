//! How connections end.

use super::super::bench::Bench;
use super::super::case::{Case, Done, ensure};
use super::{Q0, Q1, at};
use crate::mqtt::packet::Packet;
use crate::peer::message::Message;
use crate::peer::{Peer, Received};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("disconnect-is-last", "After a DISCONNECT from the broker comes nothing but the end.", last)
            .v5("3.14.4-1 3.14.4-2 4.13.2-1 3.14.2-1 3.14.2-2"),
        Case::new("error-ends-one", "An error ends the connection that made it, and no other.", one_only)
            .v311("4.8.0-1")
            .v5("4.13.1-1"),
        Case::new(
            "after-disconnect",
            "A client that goes on after its DISCONNECT is cut off, without an answer.",
            after,
        )
        .v311("3.14.4-2")
        .v5("3.14.4-1"),
        Case::new("disconnect-closes", "The broker ends a connection after the client's DISCONNECT.", closes)
            .v5("3.14.4-2"),
        Case::new(
            "error-keeps-session",
            "A connection that ends by an error leaves its lasting session there.",
            session,
        )
        .v311("3.1.2-4 3.1.2-5")
        .v5("3.1.2-23"),
    ]
}

fn last(b: &Bench) -> Done {
    // Three ways to make it say DISCONNECT: an error, a second CONNECT, another connection in its place.
    let mut all: Vec<Received> = Vec::new();
    let mut finish = |mut peer: Peer| -> Done {
        let answers = peer.closed()?;
        let at = answers.iter().position(|a| matches!(a.packet(), Packet::Disconnect(_)));
        ensure!(at.is_none_or(|at| at + 1 == answers.len()), "after DISCONNECT came {:?}", answers.last());
        all.extend(answers);
        Ok(())
    };
    let mut peer = b.client("wrong")?;
    peer.send_raw(&[0x36, 5, 0, 1, b't', 0, 1], "PUBLISH with QoS 3");
    finish(peer)?;
    let hello = b.hello("twice");
    let (mut peer, _) = b.enter("twice", &hello)?;
    peer.send(&hello.packet());
    finish(peer)?;
    let (old, _) = b.enter("old", &hello)?;
    let (_new, _) = b.enter("new", &hello)?;
    finish(old)?;
    // The codec has checked that each had a code of the list, and no session expiry.
    if all.is_empty() {
        return super::super::case::not_applicable("it sent no DISCONNECT for any of three errors");
    }
    Ok(())
}

fn one_only(b: &Bench) -> Done {
    let mut bystander = b.subscriber("bystander", &b.topic("t"), at(Q1))?;
    for bytes in [&[0x00, 0x00][..], &[0x36, 5, 0, 1, b't', 0, 1], &[0x82, 2, 0, 1], &[0x30, 2, 0, 9]] {
        let mut peer = b.client("wrong")?;
        peer.send_raw(bytes, "bytes that are no legal packet");
        peer.closed()?;
    }
    b.publish(&Message::new(&b.topic("t"), Q1.min(b.can.maximum_qos), "x"))?;
    bystander.message()?;
    b.calm(&mut bystander)
}

fn after(b: &Bench) -> Done {
    let mut peer = b.client("leaving")?;
    peer.send_raw(&[0xE0, 0, 0xC0, 0], "DISCONNECT, and behind it PINGREQ");
    let answers = peer.closed()?;
    ensure!(answers.is_empty(), "after the client's DISCONNECT came {answers:?}");
    Ok(())
}

fn closes(b: &Bench) -> Done {
    let mut peer = b.client("leaving")?;
    peer.send_raw(&[0xE0, 0], "DISCONNECT");
    let answers = peer.closed()?;
    ensure!(answers.is_empty(), "after the client's DISCONNECT came {answers:?}");
    Ok(())
}

fn session(b: &Bench) -> Done {
    let hello = b.hello("wrong").lasting(60);
    let (mut peer, _) = b.enter("wrong", &hello)?;
    peer.subscribe(&b.topic("t"), at(Q1))?;
    peer.send_raw(&[0, 0], "bytes that are no packet");
    peer.closed()?;
    let (mut peer, present) = b.enter_session("wrong", &hello)?;
    ensure!(present, "no Session Present, and there is a lasting session");
    b.publish(&Message::new(&b.topic("t"), Q0, "x"))?;
    peer.message()?;
    Ok(())
}
