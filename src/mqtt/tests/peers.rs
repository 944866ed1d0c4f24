//! Our encoder against another implementation's decoder and encoder, where both hold to the standard.

use super::round_trip::{Parts, parts};
use crate::mqtt::Version;
use bytes::BytesMut;
use proptest::prelude::*;

proptest! {
    /// 3.1.1: what rumqttc reads from our bytes, it writes as the same bytes.
    #[test]
    fn rumqttc_reads_ours_v4(parts in parts()) {
        let parts = Parts { version: Version::V311, ..parts };
        // rumqttc's client has no reading of its own CONNECT's rarer shapes and writes no DISCONNECT flags: all kinds but AUTH.
        prop_assume!(parts.kind != 15);
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
        let parts = Parts { version: Version::V5, ..parts };
        prop_assume!(parts.kind != 15 && parts.kind != 14);
        parts.with(|_, bytes| {
            let mut stream = BytesMut::from(bytes);
            let packet = rumqttc::v5::mqttbytes::v5::Packet::read(&mut stream, Some(1 << 20)).expect("rumqttc reads it");
            assert!(stream.is_empty(), "rumqttc takes the same length");
            drop(packet);
        });
    }
}
