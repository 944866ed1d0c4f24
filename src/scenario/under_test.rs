//! Clients under test, as a scenario file names them.

use super::model::{DeviceSpec, PublishSpec};
use super::reader::{Table, list};
use super::settings;
use crate::time::Duration;
use std::fmt::Write as _;

/// A client that is not squall's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnderTest {
    /// Which.
    pub client: ForeignClient,
    /// Where its connections are cut on purpose, in turn; empty: nowhere.
    pub cuts: Vec<Cut>,
    /// At how many packets that a cut fits it is made, at least 1.
    pub every: u32,
}

/// Whose client it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ForeignClient {
    /// The rumqttc library, driven by squall.
    Rumqttc,
    /// Any program: itself and its arguments, in which `{host}`, `{port}`, `{client_id}`, `{sensor}` and `{fleet}` are filled in.
    Command(Vec<String>),
}

/// Where to cut a connection, so that a client must walk its hard paths. A cut is what any link can do: the broker stays honest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cut {
    /// The client's PUBLISH (QoS 1 or 2) went into the link, and its acknowledgement will not come back.
    AfterPublish,
    /// PUBACK is on its way to the client, and is lost.
    BeforePubAck,
    /// PUBREC is on its way to the client, and is lost.
    BeforePubRec,
    /// PUBREC came, and PUBREL will not get out.
    AfterPubRec,
    /// PUBCOMP is on its way to the client, and is lost.
    BeforePubComp,
    /// A PUBLISH (QoS 1 or 2) came, and its acknowledgement will not get out.
    AfterDelivery,
    /// The client's PUBREC went into the link; PUBREL finds another connection.
    AfterOwnPubRec,
    /// PUBREL came, and PUBCOMP will not get out.
    AfterPubRel,
}

impl Cut {
    /// All of them, with the names that a scenario uses.
    pub const ALL: [(&'static str, Self); 8] = [
        ("after PUBLISH", Self::AfterPublish),
        ("before PUBACK", Self::BeforePubAck),
        ("before PUBREC", Self::BeforePubRec),
        ("after PUBREC", Self::AfterPubRec),
        ("before PUBCOMP", Self::BeforePubComp),
        ("after delivery", Self::AfterDelivery),
        ("after own PUBREC", Self::AfterOwnPubRec),
        ("after PUBREL", Self::AfterPubRel),
    ];

    /// Its name in a scenario.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, cut)| *cut == self).map_or("", |(name, _)| name)
    }
}

/// What only squall's own clients do.
const OWN: [&str; 10] = [
    "offline",
    "silent",
    "unsubscribed",
    "take_over",
    "resubscribe",
    "topic_alias_maximum",
    "maximum_packet_size",
    "subscription_identifier",
    "will",
    "transport",
];
/// What a program decides for itself.
const DECIDES: [&str; 12] = [
    "session",
    "session_expiry",
    "keep_alive",
    "connect_timeout",
    "user",
    "password",
    "reconnect",
    "window",
    "receive_maximum",
    "outbox",
    "publish",
    "subscribe",
];
/// The shortest keep alive that rumqttc's 5.0 client takes.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Reads `client` and `provoke`.
pub(super) fn under_test(t: &Table<'_>) -> Option<UnderTest> {
    let client = client(t);
    let provoke = t.table("provoke", "provoke");
    let Some(client) = client else {
        if provoke.is_some() && !t.has("client") {
            let mend = "add client = \"rumqttc\", or client = { command = [...] }";
            t.problem(t.place_of("provoke"), "only a client under test is provoked", mend);
        }
        return None;
    };
    let mut cuts = Vec::new();
    let mut every = 1;
    if let Some(p) = provoke {
        for name in p.texts("cut").unwrap_or_default() {
            match Cut::ALL.iter().find(|(known, _)| *known == name.value) {
                Some((_, cut)) => cuts.push(*cut),
                None => p.problem(name.span, "no cut of this name", list(name.value, Cut::ALL.iter().map(|(n, _)| *n))),
            }
        }
        every = p.count("every").unwrap_or(1);
    }
    Some(UnderTest { client, cuts, every })
}

fn client(t: &Table<'_>) -> Option<ForeignClient> {
    if !t.is_table("client") {
        return match t.word_of("client", settings::CLIENTS, "squall") {
            "rumqttc" => Some(ForeignClient::Rumqttc),
            _ => None,
        };
    }
    let c = t.table("client", "client")?;
    let words = c.texts("command")?;
    if words.is_empty() || words[0].value.is_empty() {
        c.problem(
            c.place_of("command"),
            "a command begins with a program",
            "command = [\"./firmware\", \"{host}\", \"{port}\"], say",
        );
        return None;
    }
    Some(ForeignClient::Command(words.into_iter().map(|w| w.value.to_owned()).collect()))
}

/// What does not go together.
pub(super) fn check(t: &Table<'_>, d: &DeviceSpec, publish: Option<&PublishSpec>) {
    let Some(under_test) = &d.under_test else { return };
    let refuse = |key: &'static str, message: String, mend: &str| t.problem(t.place_of(key), message, mend);
    for key in OWN.into_iter().filter(|key| t.has_setting(key)) {
        refuse(key, format!("{key} is what squall's own clients do"), "leave it out, or leave client out");
    }
    for key in ["power", "reboot"].into_iter().filter(|key| t.has_setting(key)) {
        refuse(
            key,
            format!("{key} is for squall's own clients"),
            "leave it out: use an outage of the link, or provoke",
        );
    }
    match &under_test.client {
        ForeignClient::Command(_) => {
            for key in DECIDES.into_iter().filter(|key| t.has_setting(key)) {
                refuse(
                    key,
                    format!("{key} is for the program to decide"),
                    "leave it out, and tell the program by its arguments",
                );
            }
        }
        ForeignClient::Rumqttc => {
            if d.mqtt_level == 3 {
                refuse("mqtt", "rumqttc speaks 3.1.1 and 5.0".into(), "mqtt = \"5.0\", or leave it out");
            }
            if d.mqtt_level == 5 && d.keep_alive < SHORTEST_KEEP_ALIVE {
                refuse("keep_alive", "rumqttc takes no such keep alive at 5.0".into(), "make it \"5 s\" or more");
            }
        }
    }
    if publish.is_some_and(|p| p.features != Default::default() || p.schedule.duty.is_some_and(|duty| duty.disconnect))
    {
        let message =
            "expiry, clear_every, properties, topic_alias and duty.disconnect are what squall's own clients do";
        refuse("publish", message.into(), "leave them out, or leave client out");
    }
    let plain = |s: &super::model::SubscriptionSpec| !s.no_local && !s.retain_as_published && s.retain_handling == 0;
    if !d.subscriptions.iter().all(plain) {
        let key = if t.has_setting("filters") { "filters" } else { "subscribe" };
        let message = "no_local, retain_as_published and retain_handling are what squall's own clients ask for";
        refuse(key, message.into(), "leave them out, or leave client out");
    }
}

pub(super) fn words(u: &UnderTest, out: &mut String) {
    let who = match &u.client {
        ForeignClient::Rumqttc => "rumqttc".to_owned(),
        ForeignClient::Command(words) => format!("the program {}", words.join(" ")),
    };
    let _ = writeln!(out, "    is {who}, under test: its half of the protocol is judged by what it says on the wire");
    if !u.cuts.is_empty() {
        let names: Vec<&str> = u.cuts.iter().map(|c| c.name()).collect();
        let _ = writeln!(
            out,
            "    its connection is cut, in turn, {}, each at every {}th of them",
            names.join(", "),
            u.every
        );
    }
}

pub(super) fn write(u: &UnderTest, out: &mut String) {
    let quoted = |words: Vec<&str>| words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", ");
    let _ = match &u.client {
        ForeignClient::Rumqttc => writeln!(out, "client = \"rumqttc\""),
        ForeignClient::Command(words) => {
            writeln!(out, "client = {{ command = [{}] }}", quoted(words.iter().map(String::as_str).collect()))
        }
    };
    if !u.cuts.is_empty() {
        let cuts = quoted(u.cuts.iter().map(|c| c.name()).collect());
        let _ = writeln!(out, "provoke = {{ cut = [{cuts}], every = {} }}", u.every);
    }
}
