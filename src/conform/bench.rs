//! What a case is given: the broker, names of its own, and clients.

use super::case::{Done, Stop, not_applicable};
use crate::mqtt::packet::{ConnAck, Packet, SubscribeOptions};
use crate::mqtt::properties::{PropertiesBuf, Property};
use crate::mqtt::{QoS, Version};
use crate::peer::hello::Hello;
use crate::peer::message::Message;
use crate::peer::tape::Tape;
use crate::peer::{Got, Peer, Received, Site, Surprise, at};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What a broker says it can do: by its CONNACK in 5.0, by what it grants before.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub struct Abilities {
    pub maximum_qos: QoS,
    pub retain: bool,
    pub wildcards: bool,
    pub subscription_ids: bool,
    pub shared: bool,
    pub topic_alias_maximum: u16,
    pub receive_maximum: u16,
    /// None: no limit was named.
    pub maximum_packet: Option<u32>,
    /// None: it takes the client's.
    pub keep_alive: Option<u16>,
}

impl Abilities {
    /// What a CONNACK says; the standard's defaults where it says nothing.
    #[must_use]
    pub fn read(connack: &ConnAck<'_>) -> Self {
        let mut it = Self {
            maximum_qos: QoS::ExactlyOnce,
            retain: true,
            wildcards: true,
            subscription_ids: true,
            shared: true,
            topic_alias_maximum: 0,
            receive_maximum: u16::MAX,
            maximum_packet: None,
            keep_alive: None,
        };
        for property in connack.properties.iter() {
            match property {
                Property::MaximumQoS(qos) => it.maximum_qos = QoS::from_u8(qos).unwrap_or_default(),
                Property::RetainAvailable(v) => it.retain = v != 0,
                Property::WildcardSubscriptionAvailable(v) => it.wildcards = v != 0,
                Property::SubscriptionIdentifierAvailable(v) => it.subscription_ids = v != 0,
                Property::SharedSubscriptionAvailable(v) => it.shared = v != 0,
                Property::TopicAliasMaximum(n) => it.topic_alias_maximum = n,
                Property::ReceiveMaximum(n) => it.receive_maximum = n,
                Property::MaximumPacketSize(n) => it.maximum_packet = Some(n),
                Property::ServerKeepAlive(n) => it.keep_alive = Some(n),
                _ => {}
            }
        }
        it
    }
}

/// What a case works with.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The broker.
    pub site: &'a Site,
    /// The version in which it is tested now.
    pub version: Version,
    /// What the broker can do.
    pub can: &'a Abilities,
    /// What was exchanged.
    pub tape: Tape,
    tag: String,
    lasting: RefCell<BTreeSet<String>>,
}

impl<'a> Bench<'a> {
    /// A bench whose names all begin with `tag`: letters and digits, few, so that identifiers keep to 23 characters.
    #[must_use]
    pub fn new(site: &'a Site, version: Version, can: &'a Abilities, tag: String) -> Self {
        Self { site, version, can, tape: Tape::default(), tag, lasting: RefCell::default() }
    }

    /// True in 5.0.
    #[must_use]
    pub fn v5(&self) -> bool {
        self.version == Version::V5
    }

    /// The client identifier of a peer.
    #[must_use]
    pub fn id(&self, name: &str) -> String {
        format!("{}{name}", self.tag)
    }

    /// A topic that no other case uses.
    #[must_use]
    pub fn topic(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.tag)
    }

    /// A CONNECT for a peer: clean, 60 s of keep alive.
    #[must_use]
    pub fn hello(&self, name: &str) -> Hello {
        Hello::new(self.site, self.version, &self.id(name))
    }

    /// A connection without a word of MQTT.
    ///
    /// # Errors
    /// If the broker cannot be reached.
    pub fn raw(&self, name: &str) -> Result<Peer, Stop> {
        Peer::open(self.site, name, self.version, &self.tape)
            .map_err(|e| Stop::Unreachable(format!("{name} wanted a connection: {e}")))
    }

    /// Sends a CONNECT; the CONNACK, whatever it says.
    ///
    /// # Errors
    /// If none comes.
    pub fn ask(&self, name: &str, hello: &Hello) -> Result<(Peer, Received), Stop> {
        if !hello.clean || !hello.properties.as_properties().is_empty() {
            self.lasting.borrow_mut().insert(hello.client_id.clone());
        }
        Ok(Peer::connect(self.site, name, hello, &self.tape)?)
    }

    /// Connects, and wants to be accepted.
    ///
    /// # Errors
    /// If it is not.
    pub fn enter(&self, name: &str, hello: &Hello) -> Result<(Peer, Received), Stop> {
        let (peer, received) = self.ask(name, hello)?;
        let Packet::ConnAck(ack) = received.packet() else { unreachable!("it was expected") };
        if ack.reason == 0 {
            return Ok((peer, received));
        }
        let got = Got::Packet(received);
        Err(Surprise { peer: name.to_owned(), wanted: "to be accepted".into(), got }.into())
    }

    /// Connects with that CONNECT, and is told whether there was a session.
    ///
    /// # Errors
    /// If it is not accepted.
    pub fn enter_session(&self, name: &str, hello: &Hello) -> Result<(Peer, bool), Stop> {
        let (peer, received) = self.enter(name, hello)?;
        let Packet::ConnAck(ack) = received.packet() else { unreachable!("it was expected") };
        Ok((peer, ack.session_present))
    }

    /// A plain, clean client.
    ///
    /// # Errors
    /// If it is not accepted.
    pub fn client(&self, name: &str) -> Result<Peer, Stop> {
        Ok(self.enter(name, &self.hello(name))?.0)
    }

    /// A plain, clean client with a subscription.
    ///
    /// # Errors
    /// If it is not accepted, or the subscription is not granted.
    pub fn subscriber(&self, name: &str, filter: &str, options: SubscribeOptions) -> Result<Peer, Stop> {
        let mut peer = self.client(name)?;
        peer.subscribe(filter, options)?;
        Ok(peer)
    }

    /// Publishes with a client of its own, with the whole hand-shake.
    ///
    /// # Errors
    /// If it is not accepted.
    pub fn publish(&self, message: &Message) -> Done {
        let mut peer = self.client("publisher")?;
        self.publish_by(&mut peer, message)?;
        peer.disconnect();
        Ok(())
    }

    /// Publishes, and wants no refusal; what comes after it is sure to be handled after it.
    ///
    /// # Errors
    /// If it is refused, or above the broker's highest QoS.
    pub fn publish_by(&self, peer: &mut Peer, message: &Message) -> Done {
        self.needs_qos(message.qos)?;
        let code = peer.publish(message)?;
        if code >= 0x80 {
            return not_applicable(format!("the broker refuses to take {:?} ({code:#04x})", message.topic));
        }
        if message.qos == QoS::AtMostOnce {
            peer.ping()?;
        }
        Ok(())
    }

    /// Nothing waits for that peer, and nothing comes for a while.
    ///
    /// # Errors
    /// If something does.
    pub fn calm(&self, peer: &mut Peer) -> Done {
        peer.ping()?;
        Ok(peer.silence()?)
    }

    /// Wants that QoS of the broker.
    ///
    /// # Errors
    /// If it has a lower maximum.
    pub fn needs_qos(&self, qos: QoS) -> Done {
        if self.can.maximum_qos >= qos {
            return Ok(());
        }
        not_applicable(format!("its highest QoS is {}", self.can.maximum_qos as u8))
    }

    /// Wants something of the broker.
    ///
    /// # Errors
    /// If it has it not.
    pub fn needs(&self, has: bool, what: &str) -> Done {
        if has { Ok(()) } else { not_applicable(format!("it says that it has no {what}")) }
    }

    /// Takes away what the case may have left: sessions, and retained messages under its topics. What a broken broker
    /// does now is no finding.
    pub fn tidy(&self) {
        let tape = Tape::default();
        let mut ids: Vec<String> = self.lasting.borrow().iter().cloned().collect();
        ids.push(self.id("tidy"));
        for id in ids {
            let hello = Hello::new(self.site, self.version, &id);
            let Ok((mut peer, _)) = Peer::connect(self.site, "tidy", &hello, &tape) else { continue };
            if id == self.id("tidy") && self.can.retain && self.can.wildcards {
                let _ = self.clear_retained(&mut peer);
            }
            peer.disconnect();
        }
    }

    fn clear_retained(&self, peer: &mut Peer) -> Result<(), Surprise> {
        peer.subscribe_all(&[(&self.topic("#"), at(QoS::AtMostOnce))], &PropertiesBuf::default())?;
        peer.ping()?;
        while let Got::Packet(received) = peer.next(std::time::Duration::from_millis(1)) {
            if let Packet::Publish(publish) = received.packet()
                && publish.retain
            {
                peer.publish(&Message::new(publish.topic, QoS::AtMostOnce, "").retained())?;
            }
        }
        Ok(())
    }
}
