//! Malformed packets and protocol errors, by table: each must end the connection.

use super::super::bench::Bench;
use super::super::case::{Case, Done, broken, ensure};
use super::raw::{RawConnect, field, framed};
use crate::mqtt::packet::Packet;
use crate::peer::{Got, Received};

type Build = fn(&Bench) -> Vec<u8>;

/// One wrong packet: name, sentence, statements of 3.1.1 and of 5.0, and its bytes.
type Row = (&'static str, &'static str, &'static str, &'static str, Build);

pub(super) fn cases() -> Vec<Case> {
    let connects = CONNECT.iter().map(|row| case(row, refused));
    connects.chain(LATER.iter().map(|row| case(row, ended))).collect()
}

fn case(row: &Row, judge: fn(&Bench, Vec<u8>, &str) -> Done) -> Case {
    let (name, says, v311, v5, build) = *row;
    Case::new(name, format!("{says} ends the connection."), move |b| judge(b, build(b), says)).v311(v311).v5(v5)
}

/// A wrong CONNECT is not accepted: 3.1.1 closes without a word, 5.0 may say why.
fn refused(b: &Bench, bytes: Vec<u8>, says: &str) -> Done {
    let mut peer = b.raw("wrong")?;
    peer.send_raw(&bytes, says);
    let answers = peer.closed()?;
    let refusal = |r: &Received| matches!(r.packet(), Packet::ConnAck(a) if a.reason != 0);
    ensure!(answers.iter().all(refusal) && answers.len() <= 1, "it was answered by {answers:?}");
    ensure!(
        b.v5() || answers.is_empty(),
        "3.1.1 closes without a CONNACK [MQTT-3.1.4-1]; it was answered by {answers:?}"
    );
    Ok(())
}

/// A wrong packet on an open connection: 5.0 may say why, by one DISCONNECT.
fn ended(b: &Bench, bytes: Vec<u8>, says: &str) -> Done {
    let mut peer = b.client("wrong")?;
    peer.send_raw(&bytes, says);
    match peer.closed() {
        Ok(answers) => super::connect::only_a_disconnect(&answers),
        Err(surprise) if surprise.got == Got::Silence => {
            broken("the connection is still open after what should have ended it")
        }
        Err(surprise) => Err(surprise.into()),
    }
}

/// A will's flag, and its QoS and retain bits.
const WILL: u8 = 0x04;

const CONNECT: &[Row] = &[
    (
        "connect-reserved-flag",
        "CONNECT with the reserved connect flag set",
        "3.1.2-3 3.1.4-1",
        "3.1.2-3 3.1.4-1",
        |b| RawConnect::new(b, "w").flags(0x03).bytes(),
    ),
    (
        "connect-header-flags",
        "CONNECT with reserved flags of the fixed header set",
        "2.2.2-1 2.2.2-2 3.1.4-1",
        "2.1.3-1 3.1.4-1",
        |b| {
            let mut bytes = RawConnect::new(b, "w").bytes();
            bytes[0] = 0x11;
            bytes
        },
    ),
    ("connect-will-qos-3", "CONNECT with Will QoS 3", "3.1.2-14 3.1.4-1", "3.1.2-12 3.1.4-1", |b| {
        RawConnect::new(b, "w").flags(2 | WILL | 0x18).and_will(b"w").bytes()
    }),
    (
        "connect-will-qos-alone",
        "CONNECT with a Will QoS and no will",
        "3.1.2-11 3.1.2-13 3.1.4-1",
        "3.1.2-11 3.1.4-1",
        |b| RawConnect::new(b, "w").flags(2 | 0x08).bytes(),
    ),
    (
        "connect-will-retain-alone",
        "CONNECT with Will Retain and no will",
        "3.1.2-11 3.1.2-15 3.1.4-1",
        "3.1.2-13 3.1.4-1",
        |b| RawConnect::new(b, "w").flags(2 | 0x20).bytes(),
    ),
    ("connect-will-missing", "CONNECT that announces a will and has none", "3.1.2-9 3.1.4-1", "3.1.2-9 3.1.4-1", |b| {
        RawConnect::new(b, "w").flags(2 | WILL).bytes()
    }),
    (
        "connect-will-unannounced",
        "CONNECT with a will that its flags do not announce",
        "3.1.2-11 3.1.4-1",
        "3.1.4-1",
        |b| RawConnect::new(b, "w").and_will(b"w").bytes(),
    ),
    (
        "connect-user-missing",
        "CONNECT that announces a user name and has none",
        "3.1.2-19 3.1.4-1",
        "3.1.2-17 3.1.4-1",
        |b| RawConnect::new(b, "w").flags(2 | 0x80).bytes(),
    ),
    (
        "connect-user-unannounced",
        "CONNECT with a user name that its flags do not announce",
        "3.1.2-18 3.1.4-1",
        "3.1.2-16 3.1.4-1",
        |b| RawConnect::new(b, "w").and(b"user").bytes(),
    ),
    (
        "connect-password-missing",
        "CONNECT that announces a password and has none",
        "3.1.2-21 3.1.4-1",
        "3.1.2-19 3.1.4-1",
        |b| RawConnect::new(b, "w").flags(2 | 0xC0).and(b"user").bytes(),
    ),
    (
        "connect-password-unannounced",
        "CONNECT with a password that its flags do not announce",
        "3.1.2-20 3.1.4-1",
        "3.1.2-18 3.1.4-1",
        |b| RawConnect::new(b, "w").flags(2 | 0x80).and(b"user").and(b"password").bytes(),
    ),
    ("connect-password-alone", "CONNECT with a password and no user name", "3.1.2-22", "", |b| {
        RawConnect::new(b, "w").flags(2 | 0x40).and(b"password").bytes()
    }),
    (
        "connect-no-identifier",
        "CONNECT without even an empty client identifier",
        "3.1.3-3 3.1.4-1",
        "3.1.3-3 3.1.4-1",
        |b| RawConnect { payload: Vec::new(), ..RawConnect::new(b, "w") }.bytes(),
    ),
    (
        "connect-identifier-utf8",
        "CONNECT with a client identifier that is not UTF-8",
        "3.1.3-4 1.5.3-1",
        "3.1.3-4 1.5.4-1",
        |b| RawConnect { payload: field(&[b'a', 0xC3, 0x28]), ..RawConnect::new(b, "w") }.bytes(),
    ),
    (
        "connect-identifier-surrogate",
        "CONNECT with a surrogate in its client identifier",
        "3.1.3-4 1.5.3-1",
        "3.1.3-4 1.5.4-1",
        |b| RawConnect { payload: field(&[b'a', 0xED, 0xA0, 0x80]), ..RawConnect::new(b, "w") }.bytes(),
    ),
    ("connect-identifier-nul", "CONNECT with U+0000 in its client identifier", "1.5.3-2", "1.5.4-2", |b| {
        RawConnect { payload: field(b"a\0b"), ..RawConnect::new(b, "w") }.bytes()
    }),
    (
        "connect-will-topic-utf8",
        "CONNECT with a will topic that is not UTF-8",
        "3.1.3-10 1.5.3-1",
        "3.1.3-11 1.5.4-1",
        |b| RawConnect::new(b, "w").flags(2 | WILL).and_will(&[0xC3, 0x28]).bytes(),
    ),
    ("connect-user-utf8", "CONNECT with a user name that is not UTF-8", "3.1.3-11 1.5.3-1", "3.1.3-12 1.5.4-1", |b| {
        RawConnect::new(b, "w").flags(2 | 0x80).and(&[0xC3, 0x28]).bytes()
    }),
    ("connect-no-property-length", "CONNECT of 5.0 without a property length", "", "2.2.2-1 3.1.4-1", |b| {
        RawConnect { properties: None, ..RawConnect::new(b, "w") }.bytes()
    }),
    ("connect-unknown-property", "CONNECT with a property that does not exist", "", "3.1.4-1 4.13.1-1", |b| {
        RawConnect { properties: Some(vec![0x7E, 0]), ..RawConnect::new(b, "w") }.bytes()
    }),
    ("connect-property-twice", "CONNECT with Session Expiry Interval twice", "", "3.1.4-1 4.13.1-1", |b| {
        RawConnect { properties: Some(vec![0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1]), ..RawConnect::new(b, "w") }.bytes()
    }),
    ("connect-receive-maximum-0", "CONNECT with Receive Maximum 0", "", "3.1.4-1 4.13.1-1", |b| {
        RawConnect { properties: Some(vec![0x21, 0, 0]), ..RawConnect::new(b, "w") }.bytes()
    }),
    ("connect-maximum-packet-0", "CONNECT with Maximum Packet Size 0", "", "3.1.4-1 4.13.1-1", |b| {
        RawConnect { properties: Some(vec![0x27, 0, 0, 0, 0]), ..RawConnect::new(b, "w") }.bytes()
    }),
    (
        "connect-authentication-data-alone",
        "CONNECT with authentication data and no method",
        "",
        "3.1.4-1 4.13.1-1",
        |b| RawConnect { properties: Some(vec![0x16, 0, 1, 7]), ..RawConnect::new(b, "w") }.bytes(),
    ),
    ("connect-user-property-utf8", "CONNECT with a user property that is not UTF-8", "", "1.5.7-1", |b| {
        RawConnect { properties: Some(vec![0x26, 0, 1, b'a', 0, 2, 0xC3, 0x28]), ..RawConnect::new(b, "w") }.bytes()
    }),
];

/// Content of a packet with an identifier and (5.0) no properties, then `rest`.
fn with_id(b: &Bench, first: u8, id: u16, rest: &[u8]) -> Vec<u8> {
    let mut content = id.to_be_bytes().to_vec();
    if b.v5() {
        content.push(0);
    }
    content.extend_from_slice(rest);
    framed(first, &content)
}

/// A SUBSCRIBE of id 1 to a filter with options.
pub(super) fn subscribe(b: &Bench, filter: &[u8], options: u8) -> Vec<u8> {
    with_id(b, 0x82, 1, &[field(filter), vec![options]].concat())
}

/// A PUBLISH with (5.0) these properties, and one byte of payload.
fn publish(b: &Bench, first: u8, topic: &[u8], id: Option<u16>, properties: &[u8]) -> Vec<u8> {
    let mut content = field(topic);
    content.extend(id.into_iter().flat_map(u16::to_be_bytes));
    if b.v5() {
        content.push(u8::try_from(properties.len()).expect("few properties"));
        content.extend_from_slice(properties);
    }
    content.push(b'x');
    framed(first, &content)
}

fn to(b: &Bench, properties: &[u8]) -> Vec<u8> {
    publish(b, 0x30, b.topic("t").as_bytes(), None, properties)
}

const LATER: &[Row] = &[
    ("packet-type-0", "A packet of type 0", "4.8.0-1", "4.13.1-1", |_| vec![0, 0]),
    ("packet-type-15", "A packet of type 15, which 3.1.1 does not have", "4.8.0-1", "", |_| vec![0xF0, 0]),
    ("packet-connack", "CONNACK from a client", "4.8.0-1", "4.13.1-1", |_| vec![0x20, 2, 0, 0]),
    ("packet-suback", "SUBACK from a client", "4.8.0-1", "4.13.1-1", |b| with_id(b, 0x90, 1, &[0])),
    ("packet-pingresp", "PINGRESP from a client", "4.8.0-1", "4.13.1-1", |_| vec![0xD0, 0]),
    ("remaining-length", "A remaining length of five bytes", "4.8.0-1", "4.13.1-1", |_| {
        vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]
    }),
    ("pingreq-flags", "PINGREQ with reserved flags set", "2.2.2-1 2.2.2-2", "2.1.3-1", |_| vec![0xC1, 0]),
    ("subscribe-flags", "SUBSCRIBE with wrong flags", "3.8.1-1 2.2.2-2", "3.8.1-1 2.1.3-1", |b| {
        let mut bytes = subscribe(b, b.topic("t").as_bytes(), 0);
        bytes[0] = 0x80;
        bytes
    }),
    ("unsubscribe-flags", "UNSUBSCRIBE with wrong flags", "3.10.1-1 2.2.2-2", "3.10.1-1 2.1.3-1", |b| {
        with_id(b, 0xA0, 1, &field(b"t"))
    }),
    ("pubrel-flags", "PUBREL with wrong flags", "3.6.1-1 2.2.2-2", "3.6.1-1 2.1.3-1", |_| vec![0x60, 2, 0, 1]),
    ("puback-flags", "PUBACK with reserved flags set", "2.2.2-1 2.2.2-2", "2.1.3-1", |_| vec![0x42, 2, 0, 1]),
    ("disconnect-flags", "DISCONNECT with reserved flags set", "3.14.1-1 2.2.2-2", "3.14.1-1 2.1.3-1", |_| {
        vec![0xE1, 0]
    }),
    ("auth-flags", "AUTH with reserved flags set", "", "3.15.1-1 2.1.3-1", |_| vec![0xF1, 0]),
    ("publish-qos-3", "PUBLISH with QoS 3", "3.3.1-4", "3.3.1-4", |b| {
        publish(b, 0x36, b.topic("t").as_bytes(), Some(1), &[])
    }),
    ("publish-topic-hash", "PUBLISH to a topic with # in it", "3.3.2-2 4.7.1-1", "3.3.2-2 4.7.0-1", |b| {
        publish(b, 0x30, b.topic("#").as_bytes(), None, &[])
    }),
    ("publish-topic-plus", "PUBLISH to a topic with + in it", "3.3.2-2 4.7.1-1", "3.3.2-2 4.7.0-1", |b| {
        publish(b, 0x30, b.topic("+/t").as_bytes(), None, &[])
    }),
    ("publish-topic-empty", "PUBLISH to an empty topic", "4.7.3-1", "4.7.3-1", |b| publish(b, 0x30, b"", None, &[])),
    ("publish-topic-nul", "PUBLISH to a topic with U+0000 in it", "4.7.3-2 1.5.3-2", "4.7.3-2 1.5.4-2", |b| {
        publish(b, 0x30, b"a\0b", None, &[])
    }),
    ("publish-topic-utf8", "PUBLISH to a topic that is not UTF-8", "3.3.2-1 1.5.3-1", "3.3.2-1 1.5.4-1", |b| {
        publish(b, 0x30, &[0xC3, 0x28], None, &[])
    }),
    (
        "publish-topic-surrogate",
        "PUBLISH to a topic with a surrogate in it",
        "3.3.2-1 1.5.3-1",
        "3.3.2-1 1.5.4-1",
        |b| publish(b, 0x30, &[0xED, 0xBF, 0xBF], None, &[]),
    ),
    ("publish-no-topic", "PUBLISH that ends within its topic", "3.3.2-1 4.8.0-1", "3.3.2-1 4.13.1-1", |_| {
        framed(0x30, &[0, 9, b'a'])
    }),
    ("publish-id-0", "PUBLISH of QoS 1 with packet identifier 0", "2.3.1-1", "2.2.1-3", |b| {
        publish(b, 0x32, b.topic("t").as_bytes(), Some(0), &[])
    }),
    ("publish-qos-2-id-0", "PUBLISH of QoS 2 with packet identifier 0", "2.3.1-1", "2.2.1-3", |b| {
        publish(b, 0x34, b.topic("t").as_bytes(), Some(0), &[])
    }),
    ("subscribe-id-0", "SUBSCRIBE with packet identifier 0", "2.3.1-1", "2.2.1-3", |b| {
        with_id(b, 0x82, 0, &[field(b"t"), vec![0]].concat())
    }),
    ("unsubscribe-id-0", "UNSUBSCRIBE with packet identifier 0", "2.3.1-1", "2.2.1-3", |b| {
        with_id(b, 0xA2, 0, &field(b"t"))
    }),
    ("subscribe-nothing", "SUBSCRIBE without a filter", "3.8.3-3", "3.8.3-2", |b| with_id(b, 0x82, 1, &[])),
    ("unsubscribe-nothing", "UNSUBSCRIBE without a filter", "3.10.3-2", "3.10.3-2", |b| with_id(b, 0xA2, 1, &[])),
    ("subscribe-utf8", "SUBSCRIBE to a filter that is not UTF-8", "3.8.3-1 1.5.3-1", "3.8.3-1 1.5.4-1", |b| {
        subscribe(b, &[0xC3, 0x28], 0)
    }),
    ("unsubscribe-utf8", "UNSUBSCRIBE from a filter that is not UTF-8", "3.10.3-1 1.5.3-1", "3.10.3-1 1.5.4-1", |b| {
        with_id(b, 0xA2, 1, &field(&[0xC3, 0x28]))
    }),
    ("subscribe-nul", "SUBSCRIBE to a filter with U+0000 in it", "4.7.3-2 1.5.3-2", "4.7.3-2 1.5.4-2", |b| {
        subscribe(b, b"a\0b", 0)
    }),
    ("subscribe-qos-3", "SUBSCRIBE with QoS 3", "3-8.3-4", "4.13.1-1", |b| subscribe(b, b.topic("t").as_bytes(), 3)),
    ("subscribe-reserved-bits", "SUBSCRIBE with reserved bits of its options set", "3-8.3-4", "3.8.3-5", |b| {
        subscribe(b, b.topic("t").as_bytes(), 0x80)
    }),
    ("subscribe-retain-handling-3", "SUBSCRIBE with Retain Handling 3", "", "4.13.1-1", |b| {
        subscribe(b, b.topic("t").as_bytes(), 0x30)
    }),
    ("subscribe-no-options", "SUBSCRIBE whose filter has no options", "3.8.3-3", "3.8.3-2", |b| {
        with_id(b, 0x82, 1, &field(b.topic("t").as_bytes()))
    }),
    ("subscribe-shared-no-local", "SUBSCRIBE with No Local on a shared subscription", "", "3.8.3-4 4.13.1-1", |b| {
        subscribe(b, format!("$share/g/{}", b.topic("t")).as_bytes(), 0x04)
    }),
    ("subscribe-identifier-0", "SUBSCRIBE with subscription identifier 0", "", "4.13.1-1", |b| {
        framed(0x82, &[vec![0, 1, 2, 0x0B, 0], field(b.topic("t").as_bytes()), vec![0]].concat())
    }),
    (
        "publish-subscription-identifier",
        "PUBLISH with a subscription identifier from a client",
        "",
        "3.3.4-6 4.13.1-1",
        |b| to(b, &[0x0B, 1]),
    ),
    ("publish-alias-0", "PUBLISH with topic alias 0", "", "3.3.2-8 4.13.1-1", |b| to(b, &[0x23, 0, 0])),
    ("publish-alias-unknown", "PUBLISH without a topic, and with an alias that is not set", "", "4.13.1-1", |b| {
        publish(b, 0x30, b"", None, &[0x23, 0, 1])
    }),
    ("publish-response-topic-wildcard", "PUBLISH with a wildcard in its response topic", "", "3.3.2-14", |b| {
        to(b, &[&[8], &field(b"a/#")[..]].concat())
    }),
    ("publish-response-topic-utf8", "PUBLISH with a response topic that is not UTF-8", "", "3.3.2-13 1.5.4-1", |b| {
        to(b, &[&[8], &field(&[0xC3, 0x28])[..]].concat())
    }),
    ("publish-content-type-utf8", "PUBLISH with a content type that is not UTF-8", "", "3.3.2-19 1.5.4-1", |b| {
        to(b, &[&[3], &field(&[0xC3, 0x28])[..]].concat())
    }),
    ("publish-user-property-utf8", "PUBLISH with a user property that is not UTF-8", "", "1.5.7-1", |b| {
        to(b, &[&[0x26], &field(&[0xC3, 0x28])[..], &field(b"v")].concat())
    }),
    ("publish-user-property-nul", "PUBLISH with U+0000 in a user property", "", "1.5.7-1 1.5.4-2", |b| {
        to(b, &[&[0x26], &field(b"n")[..], &field(b"a\0")].concat())
    }),
    ("publish-property-twice", "PUBLISH with a content type twice", "", "4.13.1-1", |b| {
        to(b, &[&[3], &field(b"a")[..], &[3], &field(b"b")].concat())
    }),
    ("publish-property-out-of-place", "PUBLISH with Receive Maximum", "", "4.13.1-1", |b| to(b, &[0x21, 0, 1])),
    ("long-number", "A property length of more bytes than it needs", "", "1.5.5-1", |b| {
        framed(0x30, &[field(b.topic("t").as_bytes()), vec![0x80, 0x00, b'x']].concat())
    }),
    ("disconnect-unknown-property", "DISCONNECT with a property that does not exist", "", "4.13.1-1", |_| {
        framed(0xE0, &[0, 2, 0x7E, 0])
    }),
];
