//! A client under test: the rules of its half of the protocol, and what its faults mean for what the broker still owes.

use super::Judge;
use super::evidence::Case;
use super::oracle::{Findings, Oracle, Scene, Strength};
use super::rules::{Breach, Rule};
use crate::promise::{Guarantee, Promises};
use crate::trace::{ClientFault, ClientId, Event, What};
use std::collections::BTreeSet;

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Client {
    tested: BTreeSet<ClientId>,
    /// Messages that clients under test sent and were handed.
    messages: u64,
    connections: u64,
    faults: u64,
    resent: u64,
    released_again: u64,
    repeats: u64,
    cut_in_flight: u64,
    resumed: u64,
}

impl Client {
    pub fn called_for(promises: &Promises) -> Option<Box<dyn Oracle>> {
        let all = promises.clients.iter().zip(0..);
        let tested: BTreeSet<ClientId> = all.filter(|(c, _)| c.under_test).map(|(_, id)| ClientId(id)).collect();
        (!tested.is_empty()).then(|| Box::new(Self { tested, ..Self::default() }) as Box<dyn Oracle>)
    }
}

impl Oracle for Client {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Client
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn observe(&mut self, event: &Event, _: &Scene<'_>, findings: &mut Findings) {
        if !self.tested.contains(&event.client) {
            return;
        }
        match event.what {
            What::Sent(sent) => {
                self.messages += 1;
                self.resent += u64::from(sent.resend);
            }
            What::Unmarked { resend, .. } => {
                self.messages += 1;
                self.resent += u64::from(resend);
            }
            What::Delivered(_) => self.messages += 1,
            What::Connected { reason: 0, session_present, .. } => {
                self.connections += 1;
                self.resumed += u64::from(session_present);
            }
            What::Disconnected { in_flight, .. } => self.cut_in_flight += u64::from(in_flight > 0),
            What::ReleasedAgain { .. } => self.released_again += 1,
            What::RepeatSuppressed { .. } => self.repeats += 1,
            What::Faulty { fault, of, number, .. } => {
                self.faults += 1;
                let case = match of {
                    Some(publisher) => Case { publisher: Some(publisher), number, subscriber: Some(event.client) },
                    None => Case { publisher: Some(event.client), number, subscriber: None },
                };
                findings.add(Breach::Client(fault), case);
            }
            _ => {}
        }
    }

    fn strength(&self) -> Strength {
        let (clients, faults) = (self.tested.len(), self.faults);
        let of =
            format!("{} messages on {} connections of {clients} clients under test", self.messages, self.connections);
        Strength {
            cases: self.messages + self.connections,
            sentence: if faults == 0 { format!("{of}, all by the rules") } else { format!("{faults} faults in {of}") },
            hard_paths: vec![
                ("connections cut with messages in flight", self.cut_in_flight),
                ("sessions resumed", self.resumed),
                ("PUBLISH sent again", self.resent),
            ],
        }
    }
}

impl Judge {
    /// What a client should have sent, and did not, is no debt of the broker's.
    pub(super) fn faulty(&mut self, client: ClientId, fault: ClientFault, number: Option<u32>) {
        let publisher = &mut self.publishers[client.index()];
        match fault {
            ClientFault::NotResent | ClientFault::NotReleased | ClientFault::Abandoned => {
                if let Some(number) = number {
                    publisher.blamed.insert(number);
                    self.open -= u64::from(publisher.open.remove(number));
                }
            }
            ClientFault::IdReused | ClientFault::PublishAfterRelease | ClientFault::ReleasedUnasked => {
                if let Some(number) = number {
                    publisher.blamed.insert(number);
                }
            }
            // It is gone before anything can be handed to it, or holds up what comes next by not answering.
            ClientFault::Wedged | ClientFault::NotAcknowledged => {
                self.receivers[client.index()].to_blame = true;
                self.open -= std::mem::take(&mut self.publishers[client.index()].open).len();
            }
            _ => {}
        }
    }
}

/// The rule that a fault offends. Statements are of 3.1.1, and of 5.0 where its number is another.
pub(super) const fn rule(fault: ClientFault) -> Rule {
    use ClientFault as F;
    let (name, sentence, statements): (_, _, &'static [&'static str]) = match fault {
        F::Malformed => (
            "malformed packet of the client",
            "what the client sends is well-formed MQTT",
            &["MQTT-4.8.0-1", "MQTT-4.13.1-1"],
        ),
        F::ConnectNotFirst => ("CONNECT not first", "the first packet on a connection is CONNECT", &["MQTT-3.1.0-1"]),
        F::SecondConnect => ("second CONNECT", "CONNECT is sent once on a connection", &["MQTT-3.1.0-2"]),
        F::AfterDisconnect => (
            "packet after DISCONNECT",
            "after DISCONNECT the client sends nothing more",
            &["MQTT-3.14.4-2", "MQTT-3.14.4-1"],
        ),
        F::KeepAlive => (
            "keep alive missed",
            "a client that has nothing to say sends PINGREQ within its keep alive",
            &["MQTT-3.1.2-23", "MQTT-3.1.2-20"],
        ),
        F::IdReused => (
            "identifier in use",
            "a new message gets a packet identifier that is not in use",
            &["MQTT-2.3.1-2", "MQTT-2.2.1-3"],
        ),
        F::ResentWithoutDup => ("sent again without DUP", "DUP is 1 when a PUBLISH is sent again", &["MQTT-3.3.1-1"]),
        F::DupOnFirst => (
            "DUP on a first sending",
            "a message that was never sent before is sent with DUP 0",
            &["MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2"],
        ),
        F::DupAtQos0 => ("DUP at QoS 0", "DUP is 0 at QoS 0", &["MQTT-3.3.1-2"]),
        F::NotResent => (
            "not sent again",
            "back in its session, a client sends again each PUBLISH and PUBREL that was not acknowledged",
            &["MQTT-4.4.0-1"],
        ),
        F::ResendOrder => {
            ("sent again out of order", "what is sent again is sent in its first order", &["MQTT-4.6.0-1"])
        }
        F::Abandoned => (
            "abandoned",
            "a message is in flight until it is acknowledged for good",
            &["MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-4.3.2-3", "MQTT-4.3.3-3"],
        ),
        F::ResentUnasked => (
            "sent again unasked",
            "a message is sent again after a return to the session, and at no other time (5.0)",
            &["MQTT-4.4.0-1"],
        ),
        F::PublishAfterRelease => (
            "PUBLISH after PUBREL",
            "once PUBREL was sent, the PUBLISH is not sent again",
            &["MQTT-4.3.3-1", "MQTT-4.3.3-6"],
        ),
        F::ReleasedUnasked => ("PUBREL unasked", "PUBREL is sent after PUBREC", &["MQTT-4.3.3-1", "MQTT-4.3.3-4"]),
        F::ReleaseOrder => ("PUBREL out of order", "PUBRELs are sent in the order of their PUBRECs", &["MQTT-4.6.0-4"]),
        F::NotReleased => ("no PUBREL", "PUBREC is answered by PUBREL", &["MQTT-4.3.3-1", "MQTT-4.3.3-4"]),
        F::NotAcknowledged => (
            "not acknowledged",
            "a PUBLISH is answered by PUBACK or PUBREC, and a PUBREL by PUBCOMP",
            &["MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-4.3.3-11"],
        ),
        F::AckUnasked => (
            "acknowledgement unasked",
            "an acknowledgement has the identifier of a message that came",
            &["MQTT-2.3.1-6", "MQTT-2.2.1-5"],
        ),
        F::AckOrder => (
            "acknowledgement out of order",
            "PUBACKs and PUBRECs are sent in the order of their PUBLISHes",
            &["MQTT-4.6.0-2", "MQTT-4.6.0-3"],
        ),
        F::HandedOverTwice => (
            "handed over twice",
            "until PUBREL came, a QoS 2 PUBLISH with the same identifier is not handed to the application again",
            &["MQTT-4.3.3-2", "MQTT-4.3.3-10"],
        ),
        F::ReceiveMaximum => (
            "server's receive maximum exceeded",
            "no more unacknowledged messages than the server's Receive Maximum (5.0)",
            &["MQTT-3.3.4-7"],
        ),
        F::PacketTooLarge => (
            "server's packet size exceeded",
            "no packet larger than the server's Maximum Packet Size (5.0)",
            &["MQTT-3.2.2-15"],
        ),
        F::TopicAlias => (
            "server's aliases exceeded",
            "no topic alias above the server's Topic Alias Maximum (5.0)",
            &["MQTT-3.2.2-17", "MQTT-3.3.2-9"],
        ),
        F::QosTooHigh => ("server's QoS exceeded", "no QoS above the server's Maximum QoS (5.0)", &["MQTT-3.2.2-11"]),
        F::RetainUnavailable => {
            ("RETAIN unavailable", "no RETAIN where the server says that it retains nothing (5.0)", &["MQTT-3.2.2-14"])
        }
        F::Wedged => ("wedged", "a client that the broker accepts stays, and goes on where it was", &[]),
    };
    Rule { guarantee: Guarantee::Client, name, sentence, statements }
}
