//! Bytes that are no legal packet, each with the statement that it offends and the reason code that answers it.

use crate::mqtt::Version::{self, V5, V31, V311};
use crate::mqtt::codec::Sender::{self, Client, Server};
use crate::mqtt::codec::{MAX_PACKET, decode};
use crate::mqtt::error::DecodeError;

struct Case(Version, Sender, &'static [u8], &'static str, u8);

/// A CONNECT of the given name, level, flags and rest.
const CASES: &[Case] = &[
    // The fixed header.
    Case(V311, Client, &[0x00, 0], "MQTT-4.13.1-1", 0x81),
    Case(V311, Client, &[0xF0, 0], "MQTT-4.13.1-1", 0x81),
    Case(V5, Client, &[0xC1, 0], "MQTT-2.1.3-1", 0x81),
    Case(V5, Client, &[0x80, 0], "MQTT-2.1.3-1", 0x81),
    Case(V311, Server, &[0x60, 2, 0, 1], "MQTT-2.1.3-1", 0x81),
    Case(V311, Client, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF], "MQTT-4.13.1-1", 0x81),
    Case(V5, Client, &[0xC0, 0x80, 0], "MQTT-1.5.5-1", 0x81),
    Case(V5, Client, &[0xC0, 1, 0], "MQTT-4.13.1-1", 0x81),
    // Packets of the other side.
    Case(V311, Server, &[0xC0, 0], "MQTT-4.13.1-1", 0x82),
    Case(V311, Client, &[0xD0, 0], "MQTT-4.13.1-1", 0x82),
    Case(V311, Server, &[0xE0, 0], "MQTT-4.13.1-1", 0x82),
    // CONNECT.
    Case(V5, Client, b"\x10\x0C\0\x04MQTX\x05\x02\0\0\0\0\0", "MQTT-3.1.2-1", 0x84),
    Case(V5, Client, b"\x10\x0C\0\x04MQTT\x06\x02\0\0\0\0\0", "MQTT-3.1.2-2", 0x84),
    Case(V5, Client, b"\x10\x0D\0\x04MQTT\x05\x03\0\0\0\0\0", "MQTT-3.1.2-3", 0x81),
    Case(V5, Client, b"\x10\x0D\0\x04MQTT\x05\x0A\0\0\0\0\0", "MQTT-3.1.2-11", 0x81),
    Case(V5, Client, b"\x10\x13\0\x04MQTT\x05\x1E\0\0\0\0\0\0\0\x01w\0\0", "MQTT-3.1.2-12", 0x81),
    Case(V5, Client, b"\x10\x0D\0\x04MQTT\x05\x22\0\0\0\0\0", "MQTT-3.1.2-13", 0x81),
    Case(V311, Client, b"\x10\x0E\0\x04MQTT\x04\x42\0\0\0\0\0\0", "MQTT-3.1.2-22", 0x81),
    Case(V311, Client, b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01\xFF", "MQTT-1.5.4-1", 0x81),
    Case(V311, Client, b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01\0", "MQTT-1.5.4-2", 0x81),
    Case(V311, Client, b"\x10\x0F\0\x04MQTT\x04\x02\0\0\0\x03\xED\xA0\x80", "MQTT-1.5.4-1", 0x81),
    Case(V5, Client, b"\x10\x14\0\x04MQTT\x05\x06\0\0\0\0\0\0\0\x02w#\0\0", "MQTT-3.3.2-2", 0x81),
    // CONNACK.
    Case(V311, Server, &[0x20, 2, 2, 0], "MQTT-3.2.2-1", 0x81),
    Case(V311, Server, &[0x20, 2, 1, 5], "MQTT-3.2.2-6", 0x82),
    Case(V311, Server, &[0x20, 2, 0, 6], "MQTT-3.2.2-8", 0x81),
    Case(V5, Server, &[0x20, 3, 0, 1, 0], "MQTT-3.2.2-8", 0x81),
    // PUBLISH.
    Case(V311, Client, b"\x36\x05\0\x01t\0\x01", "MQTT-3.3.1-4", 0x81),
    Case(V311, Client, b"\x38\x03\0\x01t", "MQTT-3.3.1-2", 0x81),
    Case(V311, Server, b"\x32\x05\0\x01t\0\0", "MQTT-2.2.1-3", 0x81),
    Case(V5, Server, b"\x34\x06\0\x01t\0\0\0", "MQTT-2.2.1-3", 0x81),
    Case(V311, Client, b"\x30\x03\0\x01+", "MQTT-3.3.2-2", 0x81),
    Case(V311, Client, b"\x30\x02\0\0", "MQTT-4.7.3-1", 0x82),
    Case(V5, Client, b"\x30\x03\0\0\0", "MQTT-4.7.3-1", 0x82),
    Case(V5, Client, b"\x30\x07\0\x01t\x03\x23\0\0", "MQTT-3.3.2-8", 0x94),
    Case(V5, Client, b"\x30\x06\0\x01t\x02\x0B\x01", "MQTT-3.3.4-6", 0x82),
    Case(V5, Client, b"\x30\x06\0\x01t\x02\x01\x02", "MQTT-4.13.1-1", 0x82),
    Case(V311, Client, b"\x30\x03\0\x05t", "MQTT-4.13.1-1", 0x81),
    // Acknowledgements.
    Case(V311, Client, &[0x40, 2, 0, 0], "MQTT-2.2.1-3", 0x81),
    Case(V311, Client, &[0x40, 3, 0, 1, 0], "MQTT-4.13.1-1", 0x81),
    Case(V5, Client, &[0x40, 3, 0, 1, 0x92], "MQTT-3.4.2-1", 0x81),
    Case(V5, Client, &[0x50, 3, 0, 1, 0x92], "MQTT-3.5.2-1", 0x81),
    Case(V5, Client, &[0x62, 3, 0, 1, 0x10], "MQTT-3.6.2-1", 0x81),
    Case(V5, Client, &[0x70, 3, 0, 1, 0x10], "MQTT-3.7.2-1", 0x81),
    // SUBSCRIBE and SUBACK.
    Case(V311, Client, &[0x82, 2, 0, 1], "MQTT-3.8.3-2", 0x82),
    Case(V311, Client, b"\x82\x06\0\x01\0\x01t\x03", "MQTT-3.8.3-5", 0x81),
    Case(V311, Client, b"\x82\x06\0\x01\0\x01t\x05", "MQTT-3.8.3-5", 0x81),
    Case(V5, Client, b"\x82\x07\0\x01\0\0\x01t\x30", "MQTT-3.8.3-5", 0x81),
    Case(V5, Client, b"\x82\x10\0\x01\0\0\x0A$share/g/t\x04", "MQTT-3.8.3-4", 0x82),
    Case(V5, Client, b"\x82\x0E\0\x01\0\0\x08$share/g\0", "MQTT-4.8.2-1", 0x81),
    Case(V311, Client, b"\x82\x07\0\x01\0\x02a#\0", "MQTT-4.7.1-1", 0x81),
    Case(V5, Client, b"\x82\x09\0\x01\x02\x0B\0\0\x01t\0", "MQTT-4.13.1-1", 0x82),
    Case(V311, Server, &[0x90, 3, 0, 1, 3], "MQTT-3.9.3-2", 0x81),
    Case(V5, Server, &[0x90, 4, 0, 1, 0, 3], "MQTT-3.9.3-2", 0x81),
    // UNSUBSCRIBE and UNSUBACK.
    Case(V311, Client, &[0xA2, 2, 0, 1], "MQTT-3.10.3-2", 0x82),
    Case(V5, Server, &[0xB0, 4, 0, 1, 0, 1], "MQTT-3.11.3-2", 0x81),
    // DISCONNECT and AUTH.
    Case(V5, Client, &[0xE0, 1, 1], "MQTT-3.14.2-1", 0x81),
    Case(V5, Server, &[0xE0, 7, 0x8B, 5, 17, 0, 0, 0, 1], "MQTT-3.14.2-2", 0x82),
    Case(V5, Client, &[0xF0, 1, 1], "MQTT-3.15.2-1", 0x81),
    Case(V5, Client, &[0xF0, 1, 0x18], "MQTT-4.13.1-1", 0x82),
    Case(V5, Server, &[0xF0, 6, 0, 4, 0x1F, 0, 1, b'r'], "MQTT-4.13.1-1", 0x82),
    // Properties.
    Case(V5, Client, b"\x10\x11\0\x04MQTT\x05\x02\0\0\x04\x16\0\x01d\0\0", "MQTT-4.13.1-1", 0x82),
    Case(V5, Client, b"\x30\x06\0\x01t\x02\x7F\0", "MQTT-4.13.1-1", 0x81),
    Case(V5, Client, b"\x30\x08\0\x01t\x04\x01\0\x01\0", "MQTT-4.13.1-1", 0x82),
    Case(V5, Client, b"\x30\x05\0\x01t\x80\0", "MQTT-1.5.5-1", 0x81),
    Case(V5, Client, b"\x30\x08\0\x01t\x04\x81\0\x01\0", "MQTT-1.5.5-1", 0x81),
    Case(V5, Client, b"\x30\x04\0\x01t\x09", "MQTT-4.13.1-1", 0x81),
    Case(V5, Server, b"\x20\x06\0\0\x03\x21\0\0", "MQTT-4.13.1-1", 0x82),
];

#[test]
fn each_malformed_packet_names_its_statement_and_reason() {
    for Case(version, sender, bytes, statement, reason) in CASES {
        let error = decode(bytes, *version, *sender, MAX_PACKET).expect_err(&format!("{bytes:02X?} is malformed"));
        assert_eq!((error.statement(), error.reason_code()), (*statement, *reason), "{bytes:02X?}: {error:?}");
        assert!(error.to_string().contains(statement));
    }
}

/// Legal, and refused by decoders that are stricter than the standard.
#[test]
fn unusual_packets_are_legal() {
    let cases: &[(Version, Sender, &[u8])] = &[
        (V5, Server, &[0xE0, 0]),
        (V5, Server, &[0xE0, 1, 0x8B]),
        (V5, Client, &[0xF0, 0]),
        (V5, Client, &[0xF0, 2, 0, 0]),
        (V5, Server, &[0x20, 7, 0, 0x8C, 4, 22, 0, 1, 0]), // a CONNACK may have authentication data alone
        (V5, Server, &[0x40, 3, 0, 1, 0x10]),
        (V5, Server, &[0x40, 4, 0, 1, 0, 0]),
        (V5, Server, b"\x30\x06\0\0\x03\x23\0\x01"),
        (V5, Server, b"\x30\x08\0\x01t\x04\x0B\x01\x0B\x02"), // several subscription identifiers from a server
        (V31, Client, &[0x6A, 2, 0, 1]),                      // 3.1 knows DUP on PUBREL
        (V311, Client, b"\x82\x0D\0\x01\0\x08$share/g\0"),    // `$share` means nothing before 5.0
        (V311, Client, &[0xC0, 0x80, 0]),                     // nor does the shortest length
        (V5, Client, b"\x10\x0F\0\x04MQTT\x05\x42\0\0\0\0\0\0\0"), // a password alone is 5.0's
        // 3.1 disregards the QoS and RETAIN of a will that there is not.
        (V31, Client, b"\x10\x0F\0\x06MQIsdp\x03\x3A\0\0\0\x01c"),
    ];
    for (version, sender, bytes) in cases {
        let (_, used) = decode(bytes, *version, *sender, MAX_PACKET).expect("legal").expect("whole");
        assert_eq!(used, bytes.len(), "{bytes:02X?}");
    }
}

/// The size is checked before the content has come, and before memory could be spent on it [MQTT-3.1.2-24].
#[test]
fn too_large_is_known_from_the_header_alone() {
    let header = [0x30, 0xFF, 0xFF, 0xFF, 0x7F];
    assert_eq!(decode(&header, V5, Server, 1000), Err(DecodeError::TooLarge));
    assert_eq!(decode(&header, V5, Server, MAX_PACKET), Ok(None));
    let exact = b"\x30\x06\0\x01t\0ab";
    assert!(matches!(decode(exact, V5, Server, 8), Ok(Some((_, 8)))), "8 bytes fit into 8");
    assert_eq!(decode(exact, V5, Server, 7), Err(DecodeError::TooLarge));
}
