//! Packet captures: what passes at the sensor's end of a link, as a pcapng file that Wireshark opens.

use super::stack::SENSOR;
use crate::time::Instant;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a packet's blocks around it, counted against the limit.
const AROUND: usize = 32;

/// Where one link's packets are written down. Clones write into the same place.
#[derive(Clone, Debug)]
pub struct Tap(Arc<Mutex<Capture>>);

#[derive(Debug)]
struct Capture {
    name: String,
    /// Tells sensors apart, whose links all have the same addresses inside: its own is 10.1.0.0 plus this in the file.
    number: u32,
    packets: Vec<(Instant, Vec<u8>)>,
    /// Bytes that may still be kept, by all taps that share it.
    room: Arc<AtomicUsize>,
    missed: u64,
}

impl Tap {
    /// A tap for the link of that name, which keeps `limit` bytes at most. `number` is the sensor's, below 2^24.
    #[must_use]
    pub fn new(name: &str, number: u32, limit: usize) -> Self {
        Self::within(name, number, Arc::new(AtomicUsize::new(limit)))
    }

    /// A tap for another link, whose packets count against the same limit.
    #[must_use]
    pub fn beside(&self, name: &str, number: u32) -> Self {
        let room = Arc::clone(&self.lock().room);
        Self::within(name, number, room)
    }

    fn within(name: &str, number: u32, room: Arc<AtomicUsize>) -> Self {
        Self(Arc::new(Mutex::new(Capture { name: name.into(), number, packets: Vec::new(), room, missed: 0 })))
    }

    /// Writes down a packet that the sensor sends, or that reaches it, at `now`.
    pub(crate) fn record(&self, packet: &[u8], now: Instant) {
        let mut capture = self.lock();
        if !capture.takes(packet.len() + AROUND) {
            capture.missed += 1;
            return;
        }
        let mut packet = packet.to_vec();
        readdress(&mut packet, capture.number);
        capture.packets.push((now, packet));
    }

    /// Packets that came when the limit was reached; the file has those before.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.lock().missed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Capture> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capture {
    /// True if there is room for so many bytes. Once there is not, there is none for anything: a capture has no holes.
    fn takes(&self, bytes: usize) -> bool {
        let taken = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes));
        if taken.is_err() {
            self.room.store(0, Ordering::Relaxed);
        }
        taken.is_ok()
    }
}

/// Gives the sensor an address of its own. Checksums are adjusted by the difference (RFC 1624), so that a wrong one stays wrong.
fn readdress(packet: &mut [u8], number: u32) {
    if packet.len() < 40 {
        return;
    }
    let old = SENSOR.octets();
    let new = (u32::from_be_bytes([10, 1, 0, 0]) + number).to_be_bytes();
    for place in [12, 16] {
        if packet[place..place + 4] != old {
            continue;
        }
        for half in [0, 2] {
            let word = |bytes: [u8; 4]| u16::from_be_bytes([bytes[half], bytes[half + 1]]);
            for checksum in [10, 36] {
                adjust(packet, checksum, word(old), word(new));
            }
        }
        packet[place..place + 4].copy_from_slice(&new);
    }
}

fn adjust(packet: &mut [u8], place: usize, old: u16, new: u16) {
    let sum = !u16::from_be_bytes([packet[place], packet[place + 1]]);
    let mut sum = u32::from(sum) + u32::from(!old) + u32::from(new);
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    let [high, low] = (!u16::try_from(sum).expect("folded")).to_be_bytes();
    (packet[place], packet[place + 1]) = (high, low);
}

/// Writes all taps as one pcapng file: an interface for each, packets by time. `epoch` is when the run began, in nanoseconds
/// since 1970 (0 in virtual time).
///
/// # Errors
/// Those of the writer.
pub fn write_pcapng(taps: &[Tap], epoch: u64, out: &mut dyn Write) -> io::Result<()> {
    // Section header: byte order, version 1.0, length unknown.
    let mut section = 0x1A2B_3C4D_u32.to_le_bytes().to_vec();
    section.extend([1, 0, 0, 0]);
    section.extend([0xFF; 8]);
    block(0x0A0D_0D0A, &section, out)?;
    let locked: Vec<_> = taps.iter().map(Tap::lock).collect();
    for capture in &locked {
        // Link type 101 (raw IP), no limit of length; options: the name, and nanoseconds as the clock's unit.
        let mut interface = vec![101, 0, 0, 0, 0, 0, 0, 0];
        option(2, capture.name.as_bytes(), &mut interface);
        option(9, &[9], &mut interface);
        option(0, &[], &mut interface);
        block(1, &interface, out)?;
    }
    let all = locked.iter().zip(0_u32..);
    let mut order: Vec<_> = all.flat_map(|(c, i)| c.packets.iter().map(move |(at, packet)| (*at, i, packet))).collect();
    order.sort_by_key(|(at, interface, _)| (*at, *interface)); // stable: a sensor's own packets keep their order
    for (at, interface, packet) in order {
        let stamp = epoch.saturating_add(at.as_nanos());
        let length = u32::try_from(packet.len()).expect("an IP packet");
        let mut body = interface.to_le_bytes().to_vec();
        let halves = [(stamp >> 32) as u32, (stamp & 0xFFFF_FFFF) as u32, length, length];
        halves.iter().for_each(|word| body.extend(word.to_le_bytes()));
        body.extend(packet);
        block(6, &body, out)?;
    }
    out.flush()
}

fn option(code: u16, value: &[u8], into: &mut Vec<u8>) {
    into.extend(code.to_le_bytes());
    into.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    into.extend(value);
    into.resize(into.len().next_multiple_of(4), 0);
}

fn block(kind: u32, body: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let padded = body.len().next_multiple_of(4);
    let length = u32::try_from(padded + 12).expect("blocks are small").to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&[0; 3][..padded - body.len()])?;
    out.write_all(&length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(limit: usize, packets: &[usize]) -> Tap {
        let tap = Tap::new("s-0", 0, limit);
        for (length, millis) in packets.iter().zip(1..) {
            tap.record(&vec![0x45; *length], Instant::from_millis(millis));
        }
        tap
    }

    fn written(tap: &Tap) -> Vec<u8> {
        let mut file = Vec::new();
        write_pcapng(std::slice::from_ref(tap), 0, &mut file).expect("memory takes it");
        file
    }

    /// Its file is whole up to one instant: what would still fit behind a packet that did not is missed too.
    #[test]
    fn a_full_capture_has_what_came_before_and_counts_the_rest() {
        let limit = 2 * (60 + AROUND);
        let just_full = tap(limit, &[60, 60]);
        assert_eq!(just_full.missed(), 0);
        assert!(written(&just_full) == written(&tap(usize::MAX, &[60, 60])));
        let too_small = tap(limit, &[60, 61, 10, 10]);
        assert_eq!(too_small.missed(), 3);
        assert!(written(&too_small) == written(&tap(usize::MAX, &[60])));
        assert_eq!(tap(0, &[60]).missed(), 1);
    }

    fn kept(tap: &Tap) -> (usize, u64) {
        let capture = tap.lock();
        (capture.packets.len(), capture.missed)
    }

    #[test]
    fn taps_beside_each_other_share_one_limit_and_end_together() {
        let first = Tap::new("a", 0, 2 * (100 + AROUND));
        let second = first.beside("b", 1);
        let alone = Tap::new("c", 2, 100 + AROUND);
        for tap in [&first, &second, &first, &alone] {
            tap.record(&[0; 100], Instant::ZERO);
        }
        second.record(&[0; 1], Instant::ZERO);
        assert_eq!([kept(&first), kept(&second), kept(&alone)], [(1, 1), (1, 1), (1, 0)]);
    }
}
