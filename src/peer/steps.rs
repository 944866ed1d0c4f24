//! What a well-behaved client does, step by step: each step sends, waits for its answer, and says what was wrong with it.

use super::hello::Hello;
use super::message::Message;
use super::{Got, Peer, Received, Site, Surprise};
use crate::mqtt::codec;
use crate::mqtt::packet::{Ack, Packet, Reason, SubscribeOptions};
use crate::mqtt::properties::{Properties, PropertiesBuf};
use crate::mqtt::{PacketId, QoS, Version};
use crate::peer::tape::Tape;
use crate::time::Duration;

type Step<T> = Result<T, Surprise>;

/// The options of a plain subscription.
#[must_use]
pub fn at(qos: QoS) -> SubscribeOptions {
    SubscribeOptions { qos, ..SubscribeOptions::default() }
}

impl Peer {
    /// Opens a connection and connects; the CONNACK, whatever it says.
    ///
    /// # Errors
    /// If there is nobody (`Got::Broken`), or something else than a CONNACK comes.
    pub fn connect(site: &Site, name: &str, hello: &Hello, tape: &Tape) -> Step<(Self, Received)> {
        let mut peer = Self::open(site, name, hello.version, tape).map_err(|error| Surprise {
            peer: name.to_owned(),
            wanted: "a connection".into(),
            got: Got::Broken(error.to_string()),
        })?;
        peer.send(&hello.packet());
        let connack = peer.expect("CONNACK", |p| matches!(p, Packet::ConnAck(_)))?;
        Ok((peer, connack))
    }

    /// The next packet that fits; PUBLISH and PUBREL that do not are kept for later.
    ///
    /// # Errors
    /// If anything else comes, or nothing in time.
    pub fn expect(&mut self, wanted: &str, fits: impl Fn(&Packet<'_>) -> bool) -> Step<Received> {
        if let Some(at) = self.kept.iter().position(|r| fits(&r.packet())) {
            return Ok(self.kept.remove(at).expect("it was just found"));
        }
        loop {
            match self.fresh(self.patience) {
                Got::Packet(received) if fits(&received.packet()) => return Ok(received),
                Got::Packet(received) if matches!(received.packet(), Packet::Publish(_) | Packet::PubRel(_)) => {
                    self.kept.push_back(received);
                }
                got => return Err(self.surprise(wanted, got)),
            }
        }
    }

    /// Subscribes; the return codes.
    ///
    /// # Errors
    /// If no SUBACK for it comes.
    pub fn subscribe_all(&mut self, filters: &[(&str, SubscribeOptions)], properties: &PropertiesBuf) -> Step<Vec<u8>> {
        let id = self.new_id();
        let mut bytes = Vec::new();
        codec::encode_subscribe(self.version, id, properties.as_properties(), filters, &mut bytes);
        let about = match codec::decode(&bytes, self.version, codec::Sender::Client, codec::MAX_PACKET) {
            Ok(Some((packet, _))) => super::text::describe(&packet),
            _ => "an illegal SUBSCRIBE".into(),
        };
        self.send_raw(&bytes, &about);
        let received =
            self.expect(&format!("SUBACK id {id}"), |p| matches!(p, Packet::SubAck(a) if a.packet_id == id))?;
        let Packet::SubAck(ack) = received.packet() else { unreachable!("it was expected") };
        Ok(ack.codes.to_vec())
    }

    /// Subscribes to one filter, and wants it granted at that QoS or a lower one; what was granted.
    ///
    /// # Errors
    /// If it is refused, or not answered.
    pub fn subscribe(&mut self, filter: &str, options: SubscribeOptions) -> Step<QoS> {
        self.subscribe_with(filter, options, &PropertiesBuf::default())
    }

    /// The same with properties.
    ///
    /// # Errors
    /// If it is refused, or not answered.
    pub fn subscribe_with(&mut self, filter: &str, options: SubscribeOptions, p: &PropertiesBuf) -> Step<QoS> {
        let codes = self.subscribe_all(&[(filter, options)], p)?;
        match codes.first().and_then(|c| QoS::from_u8(*c)) {
            Some(qos) if codes.len() == 1 => Ok(qos),
            _ => {
                let why = format!("SUBACK with {}", super::text::hex(&codes));
                Err(self.surprise(&format!("{filter:?} granted"), Got::Broken(why)))
            }
        }
    }

    /// Unsubscribes; the reason codes (none before 5.0).
    ///
    /// # Errors
    /// If no UNSUBACK for it comes.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Step<Vec<u8>> {
        let id = self.new_id();
        let mut bytes = Vec::new();
        codec::encode_unsubscribe(self.version, id, filters, &mut bytes);
        self.send_raw(&bytes, &format!("UNSUBSCRIBE id {id} {filters:?}"));
        let wanted = format!("UNSUBACK id {id}");
        let received = self.expect(&wanted, |p| matches!(p, Packet::UnsubAck(a) if a.packet_id == id))?;
        let Packet::UnsubAck(ack) = received.packet() else { unreachable!("it was expected") };
        Ok(ack.codes.to_vec())
    }

    /// Publishes, with the whole hand-shake of its QoS; the first answer's reason code (0 for QoS 0). A refusal
    /// (0x80 and above) ends the hand-shake.
    ///
    /// # Errors
    /// If the hand-shake is not answered.
    pub fn publish(&mut self, message: &Message) -> Step<u8> {
        let id = message.packet_id.unwrap_or_else(|| self.new_id());
        self.send(&message.clone().id(id).packet());
        match message.qos {
            QoS::AtMostOnce => Ok(0),
            QoS::AtLeastOnce => self.puback(id),
            QoS::ExactlyOnce => {
                let code = self.pubrec(id)?;
                if code < 0x80 {
                    self.send(&Packet::PubRel(Ack::plain(id)));
                    self.pubcomp(id)?;
                }
                Ok(code)
            }
        }
    }

    /// Waits for the PUBACK of that identifier; its reason code.
    ///
    /// # Errors
    /// If something else comes.
    pub fn puback(&mut self, id: PacketId) -> Step<u8> {
        let received =
            self.expect(&format!("PUBACK id {id}"), |p| matches!(p, Packet::PubAck(a) if a.packet_id == id))?;
        Ok(reason_of(&received))
    }

    /// Waits for the PUBREC of that identifier; its reason code.
    ///
    /// # Errors
    /// If something else comes.
    pub fn pubrec(&mut self, id: PacketId) -> Step<u8> {
        let received =
            self.expect(&format!("PUBREC id {id}"), |p| matches!(p, Packet::PubRec(a) if a.packet_id == id))?;
        Ok(reason_of(&received))
    }

    /// Waits for the PUBREL of that identifier; its reason code.
    ///
    /// # Errors
    /// If something else comes.
    pub fn pubrel(&mut self, id: PacketId) -> Step<u8> {
        let received =
            self.expect(&format!("PUBREL id {id}"), |p| matches!(p, Packet::PubRel(a) if a.packet_id == id))?;
        Ok(reason_of(&received))
    }

    /// Waits for the PUBCOMP of that identifier; its reason code.
    ///
    /// # Errors
    /// If something else comes.
    pub fn pubcomp(&mut self, id: PacketId) -> Step<u8> {
        let wanted = format!("PUBCOMP id {id}");
        let received = self.expect(&wanted, |p| matches!(p, Packet::PubComp(a) if a.packet_id == id))?;
        Ok(reason_of(&received))
    }

    /// The next PUBLISH, not acknowledged.
    ///
    /// # Errors
    /// If something else comes, or nothing in time.
    pub fn incoming(&mut self) -> Step<Message> {
        let received = self.expect("PUBLISH", |p| matches!(p, Packet::Publish(_)))?;
        let Packet::Publish(publish) = received.packet() else { unreachable!("it was expected") };
        Ok(Message::of(&publish))
    }

    /// The next PUBLISH, with the whole hand-shake of its QoS.
    ///
    /// # Errors
    /// If something else comes, or nothing in time.
    pub fn message(&mut self) -> Step<Message> {
        let message = self.incoming()?;
        self.acknowledge(&message)?;
        Ok(message)
    }

    /// Acknowledges a PUBLISH, with the whole hand-shake of its QoS.
    ///
    /// # Errors
    /// If PUBREL does not come.
    pub fn acknowledge(&mut self, message: &Message) -> Step<()> {
        let Some(id) = message.packet_id else { return Ok(()) };
        if message.qos == QoS::AtLeastOnce {
            self.send(&Packet::PubAck(Ack::plain(id)));
            return Ok(());
        }
        self.send(&Packet::PubRec(Ack::plain(id)));
        self.pubrel(id)?;
        self.send(&Packet::PubComp(Ack::plain(id)));
        Ok(())
    }

    /// Sends PINGREQ and waits for PINGRESP: what the broker sent before is then here (and kept, if it is PUBLISH).
    ///
    /// # Errors
    /// If something else comes.
    pub fn ping(&mut self) -> Step<()> {
        self.send(&Packet::PingReq);
        self.expect("PINGRESP", |p| matches!(p, Packet::PingResp)).map(|_| ())
    }

    /// Nothing more comes for a while.
    ///
    /// # Errors
    /// If something comes.
    pub fn silence(&mut self) -> Step<()> {
        match self.next(self.quiet) {
            Got::Silence => Ok(()),
            got => Err(self.surprise("silence", got)),
        }
    }

    /// The broker closes the connection; what it sent before that.
    ///
    /// # Errors
    /// If it does not within the patience, or sends what is malformed.
    pub fn closed(&mut self) -> Step<Vec<Received>> {
        self.closed_within(self.patience)
    }

    /// The broker closes the connection within that time; what it sent before that.
    ///
    /// # Errors
    /// If it does not, or sends what is malformed.
    pub fn closed_within(&mut self, within: Duration) -> Step<Vec<Received>> {
        let deadline = self.clock.now() + within;
        let mut all = Vec::new();
        loop {
            match self.next(deadline.since(self.clock.now())) {
                Got::Packet(received) => all.push(received),
                Got::Closed => return Ok(all),
                got => return Err(self.surprise("the connection closed by the broker", got)),
            }
        }
    }

    /// Says DISCONNECT with that reason, and leaves once the broker has closed, or after a while.
    pub fn disconnect_with(mut self, reason: u8, properties: Properties<'_>) {
        self.send(&Packet::Disconnect(Reason { reason, properties }));
        while let Got::Packet(_) = self.next(self.quiet) {}
    }

    /// Says DISCONNECT, and leaves.
    pub fn disconnect(self) {
        self.disconnect_with(0, Properties::EMPTY);
    }

    /// True for 5.0.
    #[must_use]
    pub fn is_v5(&self) -> bool {
        self.version == Version::V5
    }
}

/// The reason code of an acknowledgement.
fn reason_of(received: &Received) -> u8 {
    match received.packet() {
        Packet::PubAck(a) | Packet::PubRec(a) | Packet::PubRel(a) | Packet::PubComp(a) => a.reason,
        _ => 0,
    }
}
