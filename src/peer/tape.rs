//! The record of an exchange: every packet both ways, as text, in the order in which it was sent or read.

use super::text;
use crate::clock::Clock;
use crate::time::Instant;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Which way a packet went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// To the broker.
    Out,
    /// From the broker.
    In,
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Since the tape began.
    pub at: Instant,
    /// The peer's name.
    pub peer: String,
    /// None: a note, no packet.
    pub direction: Option<Direction>,
    /// The packet, or the note, in words.
    pub text: String,
    /// The packet's bytes; empty for notes.
    pub bytes: Vec<u8>,
}

/// A tape; its clones share it.
#[derive(Clone, Debug)]
pub struct Tape {
    clock: Clock,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Default for Tape {
    fn default() -> Self {
        Self { clock: Clock::start(), entries: Arc::default() }
    }
}

/// Bytes of a packet that the text shows; longer ones are cut.
const SHOWN: usize = 48;

impl Tape {
    /// Writes down a packet.
    pub fn packet(&self, peer: &str, direction: Direction, text: &str, bytes: &[u8]) {
        self.push(peer, Some(direction), text, bytes);
    }

    /// Writes down something that is no packet.
    pub fn note(&self, peer: &str, text: &str) {
        self.push(peer, None, text, &[]);
    }

    fn push(&self, peer: &str, direction: Option<Direction>, text: &str, bytes: &[u8]) {
        let (peer, text, bytes) = (peer.to_owned(), text.to_owned(), bytes.to_owned());
        let entry = Entry { at: self.clock.now(), peer, direction, text, bytes };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// All entries so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The tape for people: a line an entry, seconds, who, which way, what, and the first bytes.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        let entries = self.entries();
        let width = entries.iter().map(|e| e.peer.chars().count()).max().unwrap_or(0);
        for e in &entries {
            let arrow = match e.direction {
                Some(Direction::Out) => "->",
                Some(Direction::In) => "<-",
                None => "--",
            };
            let _ = write!(out, "{:>8.3}  {:<width$}  {arrow} {}", e.at.as_secs_f64(), e.peer, e.text);
            if !e.bytes.is_empty() {
                let more = if e.bytes.len() > SHOWN { " ..." } else { "" };
                let _ = write!(out, "   [{}{more}]", text::hex(&e.bytes[..e.bytes.len().min(SHOWN)]));
            }
            out.push('\n');
        }
        out
    }
}
