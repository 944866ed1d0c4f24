//! Packets built by hand, so that they may be wrong.

use super::super::bench::Bench;

/// A packet of that first byte and content, with the right remaining length.
pub(super) fn framed(first: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut length = content.len();
    loop {
        let byte = u8::try_from(length & 0x7F).expect("seven bits");
        length >>= 7;
        out.push(if length == 0 { byte } else { byte | 0x80 });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(content);
    out
}

/// Bytes with their length before them, as text and binary fields have it.
pub(super) fn field(bytes: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(bytes.len()).expect("a short field").to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

/// A CONNECT in parts.
pub(super) struct RawConnect<'a> {
    pub name: &'a str,
    pub level: u8,
    pub flags: u8,
    /// The properties without their length; none: not even a length.
    pub properties: Option<Vec<u8>>,
    /// The fields of the payload, each with its length.
    pub payload: Vec<u8>,
    pub v5: bool,
}

impl<'a> RawConnect<'a> {
    /// A legal, clean CONNECT.
    pub fn new(b: &Bench, name: &str) -> Self {
        let properties = b.v5().then(Vec::new);
        let payload = field(b.id(name).as_bytes());
        Self { name: "MQTT", level: b.version.level(), flags: 2, properties, payload, v5: b.v5() }
    }

    /// More fields in the payload.
    pub fn and(mut self, bytes: &[u8]) -> Self {
        self.payload.extend_from_slice(&field(bytes));
        self
    }

    /// A will of topic and payload; its properties are empty.
    pub fn and_will(mut self, topic: &[u8]) -> Self {
        if self.v5 {
            self.payload.push(0);
        }
        self.and(topic).and(b"will")
    }

    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut content = field(self.name.as_bytes());
        content.extend_from_slice(&[self.level, self.flags, 0, 60]);
        if let Some(properties) = &self.properties {
            content.push(u8::try_from(properties.len()).expect("few properties"));
            content.extend_from_slice(properties);
        }
        content.extend_from_slice(&self.payload);
        framed(0x10, &content)
    }
}
