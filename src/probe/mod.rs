//! What a broker can do, found out by asking it: each answer with the exchange that shows it.
//!
//! A [`Finding`] is one cell of the table that [`table`] draws: what was seen, never what was declared. What could not be seen is
//! [`Value::Unknown`], with why. [`questions`] are asked one after the other, each with client identifiers and topics of its own, so
//! that one that the broker does not survive takes no other with it.

mod ask;
mod limits;
pub mod questions;
pub mod table;

use crate::mqtt::Version;
use crate::peer::hello::Hello;
use crate::peer::tape::Tape;
use crate::peer::{Peer, Received, Site, Surprise};
use std::fmt;

/// What came of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// It can.
    Yes,
    /// It cannot, and what it did instead.
    No(String),
    /// A figure or another answer, in words.
    Is(String),
    /// Nobody could see it, and why.
    Unknown(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::No(why) if why.is_empty() => f.write_str("no"),
            Self::No(why) => write!(f, "no: {why}"),
            Self::Is(what) => f.write_str(what),
            Self::Unknown(why) => write!(f, "not seen: {why}"),
        }
    }
}

/// One question, answered.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its name in files.
    pub key: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The answer.
    pub value: Value,
    /// Why it took a second try; none: it did not.
    pub not_at_once: Option<String>,
    /// The exchange that shows it, a line a packet.
    pub exchange: String,
}

/// A probed broker.
#[derive(Clone, Debug)]
pub struct Probed {
    /// Its name and version.
    pub name: String,
    /// What its manifest wants said wherever it is shown.
    pub note: Option<String>,
    /// The answers, in the order of [`questions::ALL`].
    pub findings: Vec<Finding>,
    /// Where its manifest declares something else.
    pub warnings: Vec<String>,
}

impl Probed {
    /// The answer of that name.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.findings.iter().find(|f| f.key == key).map(|f| &f.value)
    }
}

/// Where one question is asked.
pub struct Ctx<'a> {
    /// The broker.
    pub site: &'a Site,
    /// The other ways to it that are known: TLS, WebSocket.
    pub others: &'a [(crate::transport::Kind, Site)],
    /// The highest version that it speaks.
    pub version: Version,
    /// Makes names this question's own.
    tag: String,
    /// What was exchanged.
    pub tape: Tape,
}

type Step<T> = Result<T, Surprise>;

impl Ctx<'_> {
    /// A name of this question's own, for a client or a topic.
    #[must_use]
    pub fn name(&self, what: &str) -> String {
        format!("{}{what}", self.tag)
    }

    /// A CONNECT of the client `who`.
    #[must_use]
    pub fn hello(&self, who: &str) -> Hello {
        Hello::new(self.site, self.version, &self.name(who))
    }

    /// Connects, and wants to be let in.
    ///
    /// # Errors
    /// If it is not.
    pub fn connect(&self, who: &str, hello: &Hello) -> Step<(Peer, Received)> {
        let (peer, connack) = Peer::connect(self.site, who, hello, &self.tape)?;
        match ask::refusal(&connack) {
            None => Ok((peer, connack)),
            Some(code) => Err(Surprise {
                peer: who.to_owned(),
                wanted: "to be let in".into(),
                got: crate::peer::Got::Broken(format!("CONNACK with 0x{code:02X}")),
            }),
        }
    }

    /// A plain client.
    ///
    /// # Errors
    /// If it is not let in.
    pub fn client(&self, who: &str) -> Step<Peer> {
        self.connect(who, &self.hello(who)).map(|(peer, _)| peer)
    }
}

/// Asks a broker everything. `watch` is told each question before it is asked.
pub fn probe(
    site: &Site,
    others: &[(crate::transport::Kind, Site)],
    tag: &str,
    mut watch: impl FnMut(&str),
) -> Vec<Finding> {
    let mut version = Version::V311;
    let mut findings = Vec::new();
    for (n, question) in questions::ALL.iter().enumerate() {
        watch(question.title);
        let ask = |tag| {
            let ctx = Ctx { site, others, version, tag, tape: Tape::default() };
            ((question.ask)(&ctx), ctx.tape.render())
        };
        let (mut value, mut exchange) = ask(format!("{tag}{n:02}"));
        let mut not_at_once = None;
        // What a broker fails in once, as in closing a connection, is no answer yet.
        if let Value::No(why) | Value::Unknown(why) = &value
            && let (second @ (Value::Yes | Value::Is(_)), its) = ask(format!("{tag}{n:02}b"))
        {
            not_at_once = Some(why.clone());
            (value, exchange) = (second, its);
        }
        match (question.key, &value) {
            ("mqtt_3.1.1", Value::No(_)) => version = Version::V31,
            ("mqtt_5.0", Value::Yes) => version = Version::V5,
            _ => {}
        }
        findings.push(Finding { key: question.key, title: question.title, value, not_at_once, exchange });
    }
    findings
}
