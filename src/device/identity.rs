//! Who sent a message, its number, and a check, carried in the payload.
//!
//! Full identity, 16 bytes: run nonce (4), publisher (4), number (4), check (4), big endian. In a template it is
//! written as 32 hexadecimal digits. The check is CRC-32 (IEEE 802.3) over the nonce, publisher and number and over
//! the rest of the payload, so that a changed or missing byte anywhere in the payload is seen; what slips through
//! is one change in 2^32, and truncation is also seen by the length.

use super::facts::Expected;
use crate::scenario::model::{BINARY_LEN, HEX_LEN};
use crate::trace::{ClientId, Strange};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where in a publisher's payload the identity stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Offset of its first byte.
    pub offset: u32,
    /// Whether it is written in hexadecimal digits.
    pub hex: bool,
    /// Length of the whole payload in bytes.
    pub length: u32,
}

/// Numbers with this bit are of wills: the rest says of which CONNECT of their client.
pub const WILL: u32 = 1 << 31;

/// Everything a receiver needs to tell whose message it has: the same for all clients of a run.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    nonce: u32,
    /// By client index; none for those that do not publish.
    layouts: Vec<Option<Layout>>,
    /// By client index; empty for those that do not publish.
    own_topics: Vec<Arc<str>>,
    topics: BTreeMap<Arc<str>, ClientId>,
    /// Topics that several publishers share: any of them is right.
    shared: BTreeMap<Box<str>, Vec<ClientId>>,
    /// Wills with an identity: topic and length of the payload.
    wills: BTreeMap<ClientId, (Box<str>, u32)>,
    /// What 5.0 publishers give their messages.
    expected: BTreeMap<ClientId, Arc<Expected>>,
}

/// What a payload says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// A message of this run.
    Message {
        /// Who published it.
        publisher: ClientId,
        /// Its number.
        number: u32,
        /// The publisher whose topic it came on.
        topic_of: Option<ClientId>,
    },
    /// A will of this run.
    Will {
        /// Whose.
        of: ClientId,
        /// Of which of its connections, from 1.
        connection: u32,
    },
    /// None.
    Strange(Strange),
}

impl Directory {
    /// An empty directory for a run with this nonce.
    #[must_use]
    pub fn new(nonce: u32) -> Self {
        Self { nonce, ..Self::default() }
    }

    /// Adds the next client, in the order of their ids.
    pub fn push(&mut self, publishes: Option<(&str, Layout)>) {
        let id = ClientId(u32::try_from(self.layouts.len()).expect("fewer than 2^32 clients"));
        self.layouts.push(publishes.map(|(_, layout)| layout));
        let own: Arc<str> = publishes.map_or("", |(topic, _)| topic).into();
        self.own_topics.push(Arc::clone(&own));
        if let Some((topic, _)) = publishes
            && let Some(first) = self.topics.insert(own, id)
        {
            self.shared.entry(topic.into()).or_insert_with(|| vec![first]).push(id);
        }
    }

    /// Adds the will of the client that was added last.
    pub fn push_will(&mut self, topic: &str, length: u32) {
        if let Some(last) = self.layouts.len().checked_sub(1).and_then(|i| u32::try_from(i).ok()) {
            self.wills.insert(ClientId(last), (topic.into(), length));
        }
    }

    /// Adds what the messages of the client that was added last are to come with.
    pub fn push_expected(&mut self, expected: &Arc<Expected>) {
        if let Some(last) = self.layouts.len().checked_sub(1).and_then(|i| u32::try_from(i).ok()) {
            self.expected.insert(ClientId(last), Arc::clone(expected));
        }
    }

    /// What the messages of a publisher are to come with; none if nothing was said.
    #[must_use]
    pub fn expected(&self, publisher: ClientId) -> Option<&Expected> {
        self.expected.get(&publisher).map(|e| &**e)
    }

    /// Reads a payload that came on `topic`.
    #[must_use]
    pub fn read(&self, topic: &str, payload: &[u8]) -> Reading {
        self.read_usual(topic, payload).unwrap_or_else(|| self.read_any(topic, payload))
    }

    /// A sound message, binary from its first byte on, on its publisher's own topic: nothing has to be searched for.
    fn read_usual(&self, topic: &str, payload: &[u8]) -> Option<Reading> {
        let fields = self.fields(payload, 0, false).filter(|f| f.number & WILL == 0)?;
        let publisher = ClientId(fields.publisher);
        self.layout(publisher).filter(|l| l.offset == 0 && !l.hex && l.length as usize == payload.len())?;
        let own = self.own_topics.get(publisher.index()).is_some_and(|own| **own == *topic);
        let usual = own && fields.checks(self.nonce, payload);
        usual.then_some(Reading::Message { publisher, number: fields.number, topic_of: Some(publisher) })
    }

    fn read_any(&self, topic: &str, payload: &[u8]) -> Reading {
        let by_topic = self.topics.get(topic).copied();
        let layout = by_topic.and_then(|p| self.layout(p));
        // The topic may be a lie: a payload can also say by itself where its identity is.
        let found = layout
            .and_then(|l| self.fields(payload, l.offset as usize, l.hex))
            .or_else(|| self.fields(payload, 0, false))
            .or_else(|| self.search_hex(payload));
        let Some(fields) = found else {
            // Nothing of ours is in it. On a topic of ours, in a run of ours, that is a message spoiled.
            let strange = match by_topic {
                Some(_) if !self.marked_by_another(payload, layout) => Strange::Corrupt { topic_of: by_topic },
                _ => Strange::Foreign,
            };
            return Reading::Strange(strange);
        };
        let publisher = ClientId(fields.publisher);
        if fields.number & WILL != 0
            && let Some((own, length)) = self.wills.get(&publisher)
        {
            let good = payload.len() == *length as usize && **own == *topic && fields.checks(self.nonce, payload);
            let connection = fields.number & !WILL;
            let corrupt = Reading::Strange(Strange::Corrupt { topic_of: by_topic });
            return if good { Reading::Will { of: publisher, connection } } else { corrupt };
        }
        let Some(own) = self.layout(publisher) else {
            return Reading::Strange(if fields.checks(self.nonce, payload) {
                Strange::Phantom
            } else {
                Strange::Corrupt { topic_of: by_topic }
            });
        };
        if payload.len() != own.length as usize || !fields.checks(self.nonce, payload) {
            return Reading::Strange(Strange::Corrupt { topic_of: by_topic });
        }
        let topic_of = match self.shared.get(topic) {
            Some(all) if all.contains(&publisher) => Some(publisher),
            _ => by_topic,
        };
        Reading::Message { publisher, number: fields.number, topic_of }
    }

    fn layout(&self, publisher: ClientId) -> Option<Layout> {
        self.layouts.get(publisher.index()).copied().flatten()
    }

    /// The fields at `offset`, if they carry this run's nonce.
    fn fields(&self, payload: &[u8], offset: usize, hex: bool) -> Option<Fields> {
        let fields = Fields::parse(payload, offset, hex)?;
        (fields.nonce == self.nonce).then_some(fields)
    }

    fn search_hex(&self, payload: &[u8]) -> Option<Fields> {
        let mark = hex_digits(&self.nonce.to_be_bytes());
        let at = payload.windows(mark.len()).position(|w| w == mark)?;
        self.fields(payload, at, true)
    }

    /// True if the payload has a sound identity of another run.
    fn marked_by_another(&self, payload: &[u8], layout: Option<Layout>) -> bool {
        let (offset, hex) = layout.map_or((0, false), |l| (l.offset as usize, l.hex));
        Fields::parse(payload, offset, hex).is_some_and(|f| f.nonce != self.nonce && f.checks(f.nonce, payload))
    }
}

/// The identity's fields as they stand in a payload.
struct Fields {
    nonce: u32,
    publisher: u32,
    number: u32,
    check: u32,
    from: usize,
    to: usize,
}

impl Fields {
    fn parse(payload: &[u8], offset: usize, hex: bool) -> Option<Self> {
        let to = offset + if hex { HEX_LEN } else { BINARY_LEN };
        let bytes = payload.get(offset..to)?;
        let mut raw = [0; BINARY_LEN];
        if hex {
            for (byte, pair) in raw.iter_mut().zip(bytes.chunks_exact(2)) {
                *byte = (hex_value(pair[0])? << 4) | hex_value(pair[1])?;
            }
        } else {
            raw.copy_from_slice(bytes);
        }
        let word = |i: usize| u32::from_be_bytes([raw[i], raw[i + 1], raw[i + 2], raw[i + 3]]);
        Some(Self { nonce: word(0), publisher: word(4), number: word(8), check: word(12), from: offset, to })
    }

    fn checks(&self, nonce: u32, payload: &[u8]) -> bool {
        check(nonce, self.publisher, self.number, &payload[..self.from], &payload[self.to..]) == self.check
    }
}

/// Writes the identity of message `number` of `publisher` into `payload`, which holds everything else already.
///
/// # Panics
/// If the payload is shorter than its layout says.
pub fn stamp(payload: &mut [u8], layout: Layout, nonce: u32, publisher: ClientId, number: u32) {
    let from = layout.offset as usize;
    let to = from + if layout.hex { HEX_LEN } else { BINARY_LEN };
    let check = check(nonce, publisher.0, number, &payload[..from], &payload[to..]);
    let mut raw = [0; BINARY_LEN];
    for (place, word) in raw.chunks_exact_mut(4).zip([nonce, publisher.0, number, check]) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    if layout.hex {
        payload[from..to].copy_from_slice(&hex_digits(&raw));
    } else {
        payload[from..to].copy_from_slice(&raw);
    }
}

fn check(nonce: u32, publisher: u32, number: u32, before: &[u8], after: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for word in [nonce, publisher, number] {
        crc.update(&word.to_be_bytes());
    }
    crc.update(before);
    crc.update(after);
    crc.finalize()
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex_digits(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|b| [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]).collect()
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINARY: Layout = Layout { offset: 0, hex: false, length: 24 };
    const TEXT: Layout = Layout { offset: 7, hex: true, length: 41 };

    fn directory() -> Directory {
        let mut d = Directory::new(0xABCD_0123);
        d.push(Some(("water/0", BINARY)));
        d.push(None);
        d.push(Some(("json/2", TEXT)));
        d
    }

    fn message(layout: Layout, publisher: u32, number: u32) -> Vec<u8> {
        let mut p = vec![b'x'; layout.length as usize];
        stamp(&mut p, layout, 0xABCD_0123, ClientId(publisher), number);
        p
    }

    #[test]
    fn a_message_is_read_back() {
        for (layout, publisher, topic) in [(BINARY, 0, "water/0"), (TEXT, 2, "json/2")] {
            let read = directory().read(topic, &message(layout, publisher, 77));
            let publisher = ClientId(publisher);
            assert_eq!(read, Reading::Message { publisher, number: 77, topic_of: Some(publisher) });
        }
    }

    #[test]
    fn any_changed_byte_is_corrupt_and_never_another_message() {
        for (layout, publisher, topic) in [(BINARY, 0, "water/0"), (TEXT, 2, "json/2")] {
            let good = message(layout, publisher, 5);
            for i in 0..good.len() {
                let mut bad = good.clone();
                bad[i] ^= 0x11;
                let read = directory().read(topic, &bad);
                assert!(matches!(read, Reading::Strange(Strange::Corrupt { .. })), "byte {i}: {read:?}");
            }
            for cut in 0..good.len() {
                let read = directory().read(topic, &good[..cut]);
                assert!(matches!(read, Reading::Strange(Strange::Corrupt { .. })), "cut at {cut}: {read:?}");
            }
        }
    }

    #[test]
    fn a_message_on_a_foreign_topic_names_its_publisher() {
        let read = directory().read("elsewhere", &message(TEXT, 2, 1));
        assert_eq!(read, Reading::Message { publisher: ClientId(2), number: 1, topic_of: None });
        let read = directory().read("water/0", &message(TEXT, 2, 1));
        assert_eq!(read, Reading::Message { publisher: ClientId(2), number: 1, topic_of: Some(ClientId(0)) });
    }

    #[test]
    fn other_runs_are_foreign_and_unknown_publishers_phantoms() {
        let mut other = vec![0; 24];
        stamp(&mut other, BINARY, 0x1111_1111, ClientId(0), 1);
        assert_eq!(directory().read("water/0", &other), Reading::Strange(Strange::Foreign));
        assert_eq!(directory().read("elsewhere", b"hello"), Reading::Strange(Strange::Foreign));
        assert_eq!(directory().read("water/0", &message(BINARY, 9, 1)), Reading::Strange(Strange::Phantom));
    }

    #[test]
    fn publishers_may_share_a_topic() {
        let mut d = Directory::new(0xABCD_0123);
        d.push(Some(("t", BINARY)));
        d.push(Some(("t", BINARY)));
        for p in [0, 1] {
            let expected = Reading::Message { publisher: ClientId(p), number: 3, topic_of: Some(ClientId(p)) };
            assert_eq!(d.read("t", &message(BINARY, p, 3)), expected);
        }
    }
}
