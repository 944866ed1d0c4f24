//! Our encoder against another implementation's decoder and encoder, where both hold to the standard.

use super::round_trip::{Parts, parts};
use crate::mqtt::Version;
use bytes::BytesMut;
use proptest::prelude::*;

/// rumqttc takes a password for text (it is binary data) and drops an empty user name or password: neither is asked of it.
fn within_its_limits(parts: Parts, version: Version) -> Parts {
    let mut parts = Parts { version, ..parts };
    if parts.kind == 1 {
        parts.text.push('x');
        parts.binary = parts.text.clone().into_bytes();
    }
    parts
}

proptest! {
    /// 3.1.1: what rumqttc reads from our bytes, it writes as the same bytes.
    #[test]
    fn rumqttc_reads_ours_v4(parts in parts()) {
        let parts = within_its_limits(parts, Version::V311);
        parts.with(|_, bytes| {
            let mut stream = BytesMut::from(bytes);
            let packet = rumqttc::mqttbytes::v4::Packet::read(&mut stream, 1 << 20).expect("rumqttc reads it");
            assert!(stream.is_empty(), "rumqttc takes the same length");
            let mut again = BytesMut::new();
            packet.write(&mut again, 1 << 20).expect("rumqttc writes it");
            assert_eq!(&again[..], bytes, "{packet:?}");
        });
    }

    /// 5.0, without the packets that it is known to refuse (AUTH, DISCONNECT without a reason).
    #[test]
    fn rumqttc_reads_ours_v5(parts in parts()) {
        let parts = within_its_limits(parts, Version::V5);
        prop_assume!(parts.kind != 15 && parts.kind != 14);
        parts.with(|_, bytes| {
            let mut stream = BytesMut::from(bytes);
            let packet = rumqttc::v5::mqttbytes::v5::Packet::read(&mut stream, Some(1 << 20)).expect("rumqttc reads it");
            assert!(stream.is_empty(), "rumqttc takes the same length");
            drop(packet);
        });
    }
}
