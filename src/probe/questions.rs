//! The questions.

use super::ask::{count, or_no, or_unknown, pass, refusal, said};
use super::limits;
use super::{Ctx, Value};
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::Property;
use crate::mqtt::{QoS, Version};
use crate::peer::message::Message;
use crate::peer::{Peer, at};
use crate::time::Duration;
use crate::transport::Kind;

/// A question.
pub struct Question {
    /// Its name in files.
    pub key: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Asks it.
    pub ask: fn(&Ctx<'_>) -> Value,
}

const fn q(key: &'static str, title: &'static str, ask: fn(&Ctx<'_>) -> Value) -> Question {
    Question { key, title, ask }
}

/// All of them, versions first: the others are asked in the highest version that the broker speaks.
pub const ALL: &[Question] = &[
    q("mqtt_3.1", "MQTT 3.1", |c| speaks(c, Version::V31)),
    q("mqtt_3.1.1", "MQTT 3.1.1", |c| speaks(c, Version::V311)),
    q("mqtt_5.0", "MQTT 5.0", |c| speaks(c, Version::V5)),
    q("qos_0", "QoS 0", |c| qos(c, QoS::AtMostOnce)),
    q("qos_1", "QoS 1", |c| qos(c, QoS::AtLeastOnce)),
    q("qos_2", "QoS 2", |c| qos(c, QoS::ExactlyOnce)),
    q("retained", "retained messages", retained),
    q("will", "wills", will),
    q("session", "sessions", session),
    q("session_expiry", "session expiry", session_expiry),
    q("wildcards", "wildcards + and #", wildcards),
    q("dynamic_topics", "topics made by use", dynamic),
    q("assigned_id", "clients without identifier", assigned),
    q("sys", "$SYS", sys),
    q("receive_maximum", "Receive Maximum", |c| {
        limits::property(c, "65,535 (default)", |p| match p {
            Property::ReceiveMaximum(n) => Some(u32::from(n)),
            _ => None,
        })
    }),
    q("in_flight", "QoS 1 in flight to a client", limits::in_flight),
    q("topic_aliases", "topic aliases from clients", limits::topic_aliases),
    q("packet_size", "largest packet", limits::packet_size),
    q("topic_length", "longest topic", limits::topic_length),
    q("offline_queue", "offline queue", limits::offline_queue),
    q("anonymous", "without user name", anonymous),
    q("wrong_password", "unknown user", wrong_password),
    q("tls", "TLS", |c| over(c, Kind::Tls)),
    q("websocket", "WebSocket", |c| over(c, Kind::Ws)),
    // Some brokers are not the same after these: a topic of 30,000 levels keeps them busy for long.
    q("shared", "shared subscriptions", shared),
    q("topic_levels", "topic levels", limits::topic_levels),
];

fn speaks(ctx: &Ctx<'_>, version: Version) -> Value {
    let mut hello = ctx.hello("c");
    hello.version = version;
    match Peer::connect(ctx.site, "client", &hello, &ctx.tape) {
        Ok((peer, connack)) => match refusal(&connack) {
            None => {
                peer.disconnect();
                Value::Yes
            }
            Some(code) => Value::No(format!("CONNACK 0x{code:02X}")),
        },
        Err(surprise) => Value::No(surprise.got.to_string()),
    }
}

fn qos(ctx: &Ctx<'_>, qos: QoS) -> Value {
    let topic = ctx.name("/t");
    or_no(pass(ctx, &topic, &topic, qos).map(|(granted, message)| match (granted == qos, message.qos == qos) {
        (true, true) => Value::Yes,
        _ => Value::Is(format!("granted {}, delivered at {}", granted as u8, message.qos as u8)),
    }))
}

fn retained(ctx: &Ctx<'_>) -> Value {
    let topic = ctx.name("/r");
    let ask = || {
        let mut publisher = ctx.client("pub")?;
        let code = publisher.publish(&Message::new(&topic, QoS::AtLeastOnce, "kept").retained())?;
        let mut late = ctx.client("late")?;
        late.subscribe(&topic, at(QoS::AtLeastOnce))?;
        let came = count(&mut late, 1, true);
        let _ = publisher.publish(&Message::new(&topic, QoS::AtLeastOnce, "").retained());
        Ok(match (came, code) {
            (1, _) => Value::Yes,
            (_, code) if code >= 0x80 => Value::No(format!("refused with 0x{code:02X}")),
            _ => Value::No("a late subscriber got nothing".into()),
        })
    };
    or_no(ask())
}

fn will(ctx: &Ctx<'_>) -> Value {
    let topic = ctx.name("/w");
    let ask = || {
        let mut watcher = ctx.client("watcher")?;
        watcher.subscribe(&topic, at(QoS::AtLeastOnce))?;
        let hello = ctx.hello("mortal").will(&topic, "gone", QoS::AtLeastOnce, false);
        ctx.connect("mortal", &hello)?.0.cut();
        watcher.message().map(|_| Value::Yes)
    };
    or_no(ask())
}

fn session(ctx: &Ctx<'_>) -> Value {
    let topic = ctx.name("/s");
    let ask = || {
        let hello = ctx.hello("sleeper").lasting(600);
        let (mut sleeper, _) = ctx.connect("sleeper", &hello)?;
        sleeper.subscribe(&topic, at(QoS::AtLeastOnce))?;
        sleeper.disconnect();
        let mut publisher = ctx.client("pub")?;
        publisher.publish(&Message::new(&topic, QoS::AtLeastOnce, "meanwhile"))?;
        let (mut sleeper, connack) = ctx.connect("sleeper", &hello)?;
        let present = matches!(connack.packet(), Packet::ConnAck(c) if c.session_present);
        let came = count(&mut sleeper, 1, true);
        sleeper.disconnect();
        let _ = ctx.connect("sleeper", &ctx.hello("sleeper")); // it is taken away
        Ok(match (present, came) {
            (true, 1) => Value::Yes,
            (false, 0) => Value::No("Session Present 0, and nothing was kept".into()),
            (present, came) => Value::Is(format!("Session Present {}, {came} of 1 message kept", u8::from(present))),
        })
    };
    or_no(ask())
}

fn session_expiry(ctx: &Ctx<'_>) -> Value {
    if ctx.version != Version::V5 {
        return Value::No("it came with 5.0".into());
    }
    let ask = || {
        let hello = ctx.hello("sleeper").lasting(1);
        let (peer, connack) = ctx.connect("sleeper", &hello)?;
        let given = said(&connack, |p| match p {
            Property::SessionExpiryInterval(s) => Some(s),
            _ => None,
        });
        peer.disconnect();
        if let Some(given) = given.filter(|s| *s != 1) {
            return Ok(Value::Is(format!("the broker sets it to {given} s")));
        }
        let is_there_after = |time| {
            crate::target::ready::pause(time);
            let (peer, connack) = ctx.connect("sleeper", &hello)?;
            let present = matches!(connack.packet(), Packet::ConnAck(c) if c.session_present);
            peer.disconnect();
            Ok(present)
        };
        // Some brokers look for expired sessions every few seconds.
        if !is_there_after(Duration::from_millis(2_500))? {
            return Ok(Value::Yes);
        }
        Ok(match is_there_after(Duration::from_secs(8))? {
            false => Value::Is("late: there after 2.5 s, gone after 8 s".into()),
            true => Value::No("a session of 1 s was there after 8 s".into()),
        })
    };
    or_no(ask())
}

fn shared(ctx: &Ctx<'_>) -> Value {
    let topic = ctx.name("/g");
    let filter = format!("$share/{}/{topic}", ctx.name("group"));
    let ask = || {
        let mut members = [ctx.client("member-a")?, ctx.client("member-b")?];
        for member in &mut members {
            member.subscribe(&filter, at(QoS::AtLeastOnce))?;
        }
        let mut publisher = ctx.client("pub")?;
        for n in 0..8 {
            publisher.publish(&Message::new(&topic, QoS::AtLeastOnce, format!("{n}")))?;
        }
        let came: Vec<usize> = members.iter_mut().map(|m| count(m, 16, true)).collect();
        Ok(match came.iter().sum::<usize>() {
            8 => Value::Yes,
            0 => Value::No("granted, and nothing was handed on".into()),
            _ => Value::No(format!("of 8 messages one member got {}, the other {}", came[0], came[1])),
        })
    };
    or_no(ask())
}

fn wildcards(ctx: &Ctx<'_>) -> Value {
    let base = ctx.name("");
    let one = pass(ctx, &format!("{base}/+/x"), &format!("{base}/a/x"), QoS::AtMostOnce);
    let rest = pass(ctx, &format!("{base}/#"), &format!("{base}/a/b/c"), QoS::AtMostOnce);
    match (one, rest) {
        (Ok(_), Ok(_)) => Value::Yes,
        (Err(why), Ok(_)) => Value::No(format!("+: {why}")),
        (Ok(_), Err(why)) => Value::No(format!("#: {why}")),
        (Err(why), Err(_)) => Value::No(why.to_string()),
    }
}

fn dynamic(ctx: &Ctx<'_>) -> Value {
    let topic = ctx.name("/never/named/before");
    or_no(pass(ctx, &topic, &topic, QoS::AtLeastOnce).map(|_| Value::Yes))
}

fn assigned(ctx: &Ctx<'_>) -> Value {
    let mut hello = ctx.hello("");
    hello.client_id = String::new();
    or_no(Peer::connect(ctx.site, "nobody", &hello, &ctx.tape).map(|(peer, connack)| {
        let given = said(&connack, |p| match p {
            Property::AssignedClientIdentifier(_) => Some(()),
            _ => None,
        });
        peer.disconnect();
        match (refusal(&connack), given) {
            (Some(code), _) => Value::No(format!("CONNACK 0x{code:02X}")),
            (None, None) if ctx.version == Version::V5 => Value::Is("let in, and told no identifier".into()),
            _ => Value::Yes,
        }
    }))
}

fn sys(ctx: &Ctx<'_>) -> Value {
    let ask = || {
        let mut peer = ctx.client("reader")?;
        peer.subscribe("$SYS/#", at(QoS::AtMostOnce))?;
        Ok(match count(&mut peer, 5, true) {
            0 => Value::No("nothing came within a second".into()),
            _ => Value::Yes,
        })
    };
    or_no(ask())
}

fn anonymous(ctx: &Ctx<'_>) -> Value {
    let mut hello = ctx.hello("c");
    (hello.user, hello.password) = (None, None);
    or_unknown(Peer::connect(ctx.site, "anonymous", &hello, &ctx.tape).map(|(_, connack)| match refusal(&connack) {
        None => Value::Is("let in".into()),
        Some(code) => Value::Is(format!("refused, 0x{code:02X}")),
    }))
}

fn wrong_password(ctx: &Ctx<'_>) -> Value {
    let mut hello = ctx.hello("c");
    (hello.user, hello.password) = (Some("nobody-of-that-name".into()), Some(b"wrong".to_vec()));
    match Peer::connect(ctx.site, "stranger", &hello, &ctx.tape) {
        Ok((_, connack)) => match refusal(&connack) {
            None => Value::Is("let in".into()),
            Some(code) => Value::Is(format!("refused, 0x{code:02X}")),
        },
        Err(surprise) if surprise.got == crate::peer::Got::Closed => Value::Is("closed without a word".into()),
        Err(surprise) => Value::Unknown(surprise.to_string()),
    }
}

fn over(ctx: &Ctx<'_>, kind: Kind) -> Value {
    let Some((_, site)) = ctx.others.iter().find(|(k, _)| *k == kind) else {
        return Value::Unknown("no such listener is configured or known; give its URL".into());
    };
    let topic = ctx.name("/o");
    let ask = || {
        let (mut peer, connack) = Peer::connect(site, "client", &ctx.hello("c"), &ctx.tape)?;
        if let Some(code) = refusal(&connack) {
            return Ok(Value::No(format!("CONNACK 0x{code:02X}")));
        }
        peer.subscribe(&topic, at(QoS::AtLeastOnce))?;
        ctx.client("pub")?.publish(&Message::new(&topic, QoS::AtLeastOnce, "over another way"))?;
        let came = peer.message()?;
        peer.disconnect();
        Ok(if came.payload == b"over another way" { Value::Yes } else { Value::No("another payload came".into()) })
    };
    or_no(ask())
}
