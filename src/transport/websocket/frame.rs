//! WebSocket frames (RFC 6455, section 5): a reader that hands data on as it comes, and a writer.
//!
//! A frame's length is never allocated: data flows through, and control frames hold 125 bytes at most.

use super::Violation;

/// What a control frame said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Control {
    /// To be answered by a pong with the same content.
    Ping(Vec<u8>),
    /// An answer, or a heartbeat; needs nothing.
    Pong,
    /// The other side closes, with this status code; 1005 if it gave none.
    Close(u16),
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Content of a control frame at most (section 5.5).
const MAX_CONTROL: u64 = 125;

/// Reads frames from bytes that come in any portions.
#[derive(Debug)]
pub struct Reader {
    /// A server's reader demands masks, a client's refuses them (section 5.1).
    masked: bool,
    header: [u8; 14],
    have: usize,
    payload: Option<Payload>,
    /// Within a message of several frames.
    fragmented: bool,
    control: Vec<u8>,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Payload {
    opcode: u8,
    left: u64,
    mask: [u8; 4],
    /// Place in the mask.
    turn: usize,
}

impl Reader {
    /// A reader for a server, whose client masks, or for a client.
    #[must_use]
    pub fn new(server: bool) -> Self {
        Self {
            masked: server,
            header: [0; 14],
            have: 0,
            payload: None,
            fragmented: false,
            control: Vec::new(),
            closed: false,
        }
    }

    /// Takes `bytes`; data goes to `app`, control frames to `controls`. Nothing is read after a close frame.
    ///
    /// # Errors
    /// What the other side did wrong; the connection is to be closed with that code.
    pub fn read(&mut self, mut bytes: &[u8], app: &mut Vec<u8>, controls: &mut Vec<Control>) -> Result<(), Violation> {
        while !self.closed {
            let Some(payload) = &mut self.payload else {
                if bytes.is_empty() {
                    return Ok(());
                }
                let need = header_length(&self.header[..self.have]);
                let take = bytes.len().min(need - self.have);
                self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
                self.have += take;
                bytes = &bytes[take..];
                if self.have >= 2 && self.have == header_length(&self.header[..self.have]) {
                    self.begin()?;
                }
                continue;
            };
            let take = usize::try_from(payload.left).unwrap_or(usize::MAX).min(bytes.len());
            let into = if payload.opcode >= CLOSE { &mut self.control } else { &mut *app };
            let from = into.len();
            into.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            payload.left -= take as u64;
            if self.masked {
                for byte in &mut into[from..] {
                    *byte ^= payload.mask[payload.turn & 3];
                    payload.turn += 1;
                }
            }
            if payload.left > 0 {
                return Ok(());
            }
            let opcode = payload.opcode;
            self.payload = None;
            self.have = 0;
            if opcode >= CLOSE {
                let control = self.control(opcode)?;
                controls.push(control);
            }
        }
        Ok(())
    }

    /// The header is whole: checks it.
    fn begin(&mut self) -> Result<(), Violation> {
        let [first, second, ..] = self.header;
        let (last, opcode) = (first & 0x80 != 0, first & 0x0F);
        if first & 0x70 != 0 {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        if (second & 0x80 != 0) != self.masked {
            let what = if self.masked { "a client's frame has no mask" } else { "a server's frame has a mask" };
            return Err(Violation::protocol(what));
        }
        let (length, mask_at) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes([self.header[2], self.header[3]])), 4),
            127 => {
                let eight = self.header[2..10].try_into().expect("eight bytes");
                (u64::from_be_bytes(eight), 10)
            }
            n => (u64::from(n), 2),
        };
        let short = match mask_at {
            4 => length < 126,
            10 => length <= u64::from(u16::MAX),
            _ => false,
        };
        if short || length >> 63 != 0 {
            return Err(Violation::protocol("a length is not written as it must be"));
        }
        match opcode {
            CLOSE | PING | PONG if !last || length > MAX_CONTROL => {
                return Err(Violation::protocol("a control frame is fragmented or longer than 125 bytes"));
            }
            CLOSE | PING | PONG => {}
            // [MQTT-6.0.0-1]: packets travel in binary frames; others end the connection.
            TEXT => return Err(Violation { code: 1003, what: "a text frame: MQTT travels in binary frames" }),
            BINARY if self.fragmented => return Err(Violation::protocol("a message begins within another")),
            CONTINUATION if !self.fragmented => return Err(Violation::protocol("a continuation of nothing")),
            BINARY | CONTINUATION => self.fragmented = !last,
            _ => return Err(Violation::protocol("an unknown opcode")),
        }
        let mut mask = [0; 4];
        if self.masked {
            mask.copy_from_slice(&self.header[mask_at..mask_at + 4]);
        }
        self.control.clear();
        self.payload = Some(Payload { opcode, left: length, mask, turn: 0 });
        Ok(())
    }

    fn control(&mut self, opcode: u8) -> Result<Control, Violation> {
        Ok(match opcode {
            PING => Control::Ping(std::mem::take(&mut self.control)),
            PONG => Control::Pong,
            _ => {
                self.closed = true;
                match self.control[..] {
                    [] => Control::Close(1005),
                    [_] => return Err(Violation::protocol("a close frame of one byte")),
                    [high, low, ..] => Control::Close(u16::from_be_bytes([high, low])),
                }
            }
        })
    }
}

/// How long a header is, as far as its beginning tells.
fn header_length(beginning: &[u8]) -> usize {
    let Some(second) = beginning.get(1) else { return 2 };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    mask + match second & 0x7F {
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

/// Writes one binary frame.
pub fn write_binary(payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    write(BINARY, payload, mask, out);
}

/// Writes a close frame with that status code.
pub fn write_close(code: u16, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    // 1005 says "no code", and is never sent (section 7.4.1).
    let code = code.to_be_bytes();
    write(CLOSE, if code == 1005u16.to_be_bytes() { &[] } else { &code }, mask, out);
}

/// Writes a pong.
pub fn write_pong(content: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    write(PONG, content, mask, out);
}

fn write(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    if let Ok(length) = u8::try_from(payload.len())
        && length < 126
    {
        out.push(masked | length);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        out.push(masked | 126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(masked | 127);
        out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    let Some(mask) = mask else { return out.extend_from_slice(payload) };
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}
