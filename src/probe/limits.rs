//! Questions for a number: what the broker says of itself in CONNACK, and what it takes.

use super::ask::{count, or_no, or_unknown, pass, said};
use super::{Ctx, Step, Value};
use crate::mqtt::properties::Property;
use crate::mqtt::{QoS, Version};
use crate::peer::message::Message;
use crate::peer::{Got, Peer, Surprise, at};

/// Messages sent to a session that is away, at most.
const QUEUE: u16 = 3_000;
/// Messages left unacknowledged, at most.
const UNANSWERED: usize = 300;

/// A number in CONNACK.
pub(super) fn property(ctx: &Ctx<'_>, default: &str, pick: impl FnMut(Property<'_>) -> Option<u32>) -> Value {
    if ctx.version != Version::V5 {
        return Value::No("it came with 5.0".into());
    }
    or_unknown(ctx.connect("client", &ctx.hello("c")).map(|(_, connack)| {
        said(&connack, pick).map_or_else(|| Value::Is(default.to_owned()), |n| Value::Is(thousands(u64::from(n))))
    }))
}

/// How many QoS 1 messages come to a client that acknowledges none.
pub(super) fn in_flight(ctx: &Ctx<'_>) -> Value {
    let topic = ctx.name("/f");
    let ask = || {
        let mut mute = ctx.client("mute")?;
        mute.subscribe(&topic, at(QoS::AtLeastOnce))?;
        let mut publisher = ctx.client("pub")?;
        for n in 0..UNANSWERED {
            publisher.publish(&Message::new(&topic, QoS::AtLeastOnce, format!("{n}")))?;
        }
        Ok(at_least(count(&mut mute, UNANSWERED, false), UNANSWERED))
    };
    or_unknown(ask())
}

/// What CONNACK says, and that one is really taken.
pub(super) fn topic_aliases(ctx: &Ctx<'_>) -> Value {
    if ctx.version != Version::V5 {
        return Value::No("they came with 5.0".into());
    }
    let topic = ctx.name("/a");
    let ask = || {
        let mut subscriber = ctx.client("sub")?;
        subscriber.subscribe(&topic, at(QoS::AtMostOnce))?;
        let (mut publisher, connack) = ctx.connect("pub", &ctx.hello("pub"))?;
        let most = said(&connack, |p| match p {
            Property::TopicAliasMaximum(n) => Some(n),
            _ => None,
        });
        let Some(most) = most.filter(|n| *n > 0) else { return Ok(Value::No("CONNACK names none".into())) };
        publisher.publish(&Message::new(&topic, QoS::AtMostOnce, "1").with(Property::TopicAlias(1)))?;
        publisher.publish(&Message::new("", QoS::AtMostOnce, "2").with(Property::TopicAlias(1)))?;
        Ok(match count(&mut subscriber, 2, true) {
            2 => Value::Is(thousands(u64::from(most))),
            came => Value::No(format!("CONNACK names {most}, and {came} of 2 messages came")),
        })
    };
    or_no(ask())
}

/// The largest payload that comes through, of some; and what CONNACK says.
pub(super) fn packet_size(ctx: &Ctx<'_>) -> Value {
    let said_so = match property(ctx, "", |p| match p {
        Property::MaximumPacketSize(n) => Some(n),
        _ => None,
    }) {
        Value::Is(n) if !n.is_empty() => format!("; CONNACK says {n} B"),
        _ => String::new(),
    };
    let sizes = [16 << 10, 60 << 10, 250 << 10, 1020 << 10, 4 << 20, 16 << 20];
    let largest = largest(&sizes, |size| {
        let topic = ctx.name(&format!("/p{size}"));
        let ask = || {
            let mut subscriber = ctx.client("sub")?;
            subscriber.subscribe(&topic, at(QoS::AtLeastOnce))?;
            let mut publisher = ctx.client("pub")?;
            publisher.publish(&Message::new(&topic, QoS::AtLeastOnce, vec![b'.'; size]))?;
            match subscriber.message()?.payload.len() {
                all if all == size => Ok(()),
                part => Err(Surprise {
                    peer: "sub".into(),
                    wanted: "the whole payload".into(),
                    got: Got::Broken(format!("{part} B of it came")),
                }),
            }
        };
        ask()
    });
    match largest {
        Largest { passes: None, .. } => Value::Unknown(format!("not even {} comes through{said_so}", bytes(sizes[0]))),
        Largest { passes: Some(size), fails: None } => Value::Is(format!("at least {}{said_so}", bytes(size))),
        Largest { passes: Some(size), fails: Some((next, why)) } => {
            Value::Is(format!("{} to {}{}{said_so}", bytes(size), bytes(next), silence(&why)))
        }
    }
}

pub(super) fn topic_length(ctx: &Ctx<'_>) -> Value {
    let lengths = [64, 250, 1_000, 4_000, 16_000, 65_535];
    let largest = largest(&lengths, |length| {
        let topic = ctx.name(&"l".repeat(length));
        let topic = &topic[..length];
        pass(ctx, topic, topic, QoS::AtMostOnce).map(drop)
    });
    between(largest, lengths[0], lengths[5], "B")
}

pub(super) fn topic_levels(ctx: &Ctx<'_>) -> Value {
    let levels = [8, 32, 128, 200, 1_000, 30_000];
    let largest = largest(&levels, |levels| {
        let topic = ctx.name(&"/l".repeat(levels - 1));
        pass(ctx, &topic, &topic, QoS::AtMostOnce).map(drop)
    });
    between(largest, levels[0], levels[5], "")
}

/// How many QoS 1 messages are there when a session returns.
pub(super) fn offline_queue(ctx: &Ctx<'_>) -> Value {
    let topic = ctx.name("/q");
    let ask = || {
        let hello = ctx.hello("sleeper").lasting(600);
        let (mut sleeper, _) = ctx.connect("sleeper", &hello)?;
        sleeper.subscribe(&topic, at(QoS::AtLeastOnce))?;
        sleeper.disconnect();
        let mut publisher = ctx.client("pub")?;
        let mut taken = 0;
        for n in 0..QUEUE {
            if publisher.publish(&Message::new(&topic, QoS::AtLeastOnce, n.to_be_bytes()))? < 0x80 {
                taken += 1;
            }
        }
        let (mut sleeper, _) = ctx.connect("sleeper", &hello)?;
        let came = count(&mut sleeper, usize::from(QUEUE) + 1, true);
        sleeper.disconnect();
        let _: Result<(Peer, _), _> = ctx.connect("sleeper", &ctx.hello("sleeper")); // it is taken away
        let refused = if taken == QUEUE { String::new() } else { format!(", {} refused", QUEUE - taken) };
        Ok(match at_least(came, QUEUE.into()) {
            Value::Is(n) => Value::Is(n + &refused),
            other => other,
        })
    };
    or_unknown(ask())
}

/// How far something goes.
struct Largest {
    /// The largest size that was tried and passes.
    passes: Option<usize>,
    /// The next, which does not, and what came instead.
    fails: Option<(usize, Got)>,
}

/// The largest of some, in ascending order, that passes.
fn largest(all: &[usize], ask: impl Fn(usize) -> Step<()>) -> Largest {
    let mut passes = None;
    for n in all {
        match ask(*n) {
            Ok(()) => passes = Some(*n),
            Err(surprise) => return Largest { passes, fails: Some((*n, surprise.got)) },
        }
    }
    Largest { passes, fails: None }
}

/// A limit that is none of the broker's: it may have needed longer.
fn silence(why: &Got) -> &'static str {
    if *why == Got::Silence { " (not within 5 s)" } else { "" }
}

fn between(largest: Largest, smallest: usize, most: usize, unit: &str) -> Value {
    let show = |n: usize| format!("{} {unit}", thousands(n as u64)).trim_end().to_owned();
    let Largest { passes: Some(n), fails } = largest else {
        return Value::Unknown(format!("not even {} comes through", show(smallest)));
    };
    Value::Is(match fails {
        None if n == most && unit == "B" => format!("{} (all)", show(n)),
        None => format!("at least {}", show(n)),
        Some((next, why)) => format!("{} to {}{}", show(n), show(next), silence(&why)),
    })
}

fn at_least(came: usize, most: usize) -> Value {
    let n = thousands(came as u64);
    Value::Is(if came >= most { format!("at least {n}") } else { n })
}

fn bytes(n: usize) -> String {
    match n {
        n if n >= 1 << 20 => format!("{} MiB", n >> 20),
        n => format!("{} KiB", n >> 10),
    }
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
