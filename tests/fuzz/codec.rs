//! The codec alone.

use crate::draw::Draw;
use crate::{inputs, stream};
use squall::mqtt::codec::{MAX_PACKET, Sender, decode, encode};
use squall::mqtt::packet::Packet;

/// All at once and a byte at a time give the same; what is decoded is encoded to what decodes to the same; nothing is read beyond the
/// input or kept beyond the limit.
#[test]
fn the_codec_takes_any_bytes() {
    let mut d = Draw(stream("codec"));
    for n in 0..inputs(20_000) {
        let (version, sender) = (d.version(), d.one(&[Sender::Client, Sender::Server]));
        let bytes = d.input(version, sender);
        let mut rest = &bytes[..];
        loop {
            let whole = decode(rest, version, sender, 4_096);
            if n % 16 == 0 {
                let first = (0..=rest.len())
                    .map(|k| decode(&rest[..k], version, sender, 4_096))
                    .find(|r| !matches!(r, Ok(None)));
                match (&whole, first) {
                    (Ok(None), None) => {}
                    (Ok(Some(a)), Some(Ok(Some(b)))) => assert_eq!(*a, b, "{rest:02x?}"),
                    (Err(a), Some(Err(b))) => assert_eq!(*a, b, "{rest:02x?}"),
                    (a, b) => panic!("at once {a:?}, byte by byte {b:?}: {rest:02x?}"),
                }
            }
            let Ok(Some((packet, used))) = whole else { break };
            assert!(used <= rest.len() && used > 1);
            let spoken = if let Packet::Connect(c) = packet { c.version } else { version };
            let mut again = Vec::new();
            encode(&packet, spoken, &mut again);
            let (second, length) = decode(&again, version, sender, MAX_PACKET).expect("ours").expect("whole");
            assert_eq!((second, length), (packet, again.len()), "{rest:02x?}");
            rest = &rest[used..];
        }
    }
}
