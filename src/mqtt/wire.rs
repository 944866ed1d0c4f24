//! Reading and writing of MQTT's basic types.

use super::PacketId;
use super::error::DecodeError;

type Result<T> = std::result::Result<T, DecodeError>;

/// A cursor over the content of one packet.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError::Length)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    pub fn u32(&mut self) -> Result<u32> {
        let b = self.take(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A variable byte integer of 5.0: four bytes at most, and no more than needed [MQTT-1.5.5-1].
    pub fn varint(&mut self) -> Result<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(DecodeError::NotMinimal) } else { Ok(value) };
            }
        }
        Err(DecodeError::NotMinimal)
    }

    #[inline]
    pub fn binary(&mut self) -> Result<&'a [u8]> {
        let n = self.u16()?;
        self.take(usize::from(n))
    }

    /// [MQTT-1.5.4-1] no surrogates (Rust's UTF-8 has none), [MQTT-1.5.4-2] no U+0000.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str> {
        let bytes = self.binary()?;
        // Nearly all text is ASCII, which a loop without a way out tells for many bytes at a time.
        if bytes.iter().fold(true, |ascii, b| ascii & (b.wrapping_sub(1) < 0x7F)) {
            // SAFETY: bytes from 1 to 0x7F are UTF-8, each by itself.
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8)?;
        if bytes.contains(&0) { Err(DecodeError::Nul) } else { Ok(text) }
    }

    #[inline]
    pub fn packet_id(&mut self) -> Result<PacketId> {
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketIdZero)
    }
}

/// Writes a variable byte integer (up to 268,435,455).
pub(super) fn put_varint(mut value: u32, out: &mut Vec<u8>) {
    loop {
        let byte = u8::try_from(value & 0x7F).expect("seven bits");
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// How many bytes a variable byte integer takes.
pub(super) const fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

pub(super) fn put_u16(value: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes length and bytes; what exceeds 65,535 bytes is cut (callers check before).
pub(super) fn put_binary(bytes: &[u8], out: &mut Vec<u8>) {
    let n = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    put_u16(n, out);
    out.extend_from_slice(&bytes[..usize::from(n)]);
}
