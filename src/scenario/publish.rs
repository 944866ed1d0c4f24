//! What a sensor publishes, and when.

use super::check::{Context, Group};
use super::device::{template, topic_of};
use super::model::{BINARY_LEN, Duty, HEX_LEN, Payload, PublishSpec, Rhythm, Schedule};
use super::reader::{At, Table};
use super::{features, load, units};
use crate::time::Duration;
use std::ops::Range;

/// The smallest payload: it carries a message's identity.
const SMALLEST: u32 = BINARY_LEN as u32;
/// The largest payload, in bytes. MQTT has room for almost 256 MiB; a sensor holds two packets in memory (assumed).
const LARGEST: u32 = 16 << 20;

pub(super) fn publish(p: &Table<'_>, context: &Context<'_>, group: Group<'_>, level: u8) -> PublishSpec {
    PublishSpec {
        topic: topic_of(p, group),
        qos: p.qos(),
        retain: p.flag("retain", false),
        payload: payload(p, group),
        schedule: schedule(p, context),
        features: features::publish(p, context, level),
    }
}

fn payload(p: &Table<'_>, group: Group<'_>) -> Payload {
    let otherwise = Payload::Size(64);
    if p.is_table("payload") {
        let Some(t) = p.table("payload", "payload") else { return otherwise };
        let Some((template, span)) = template(&t, "template", true) else { return otherwise };
        let (places, length) = (template.ids(), template.fill(group.name, group.count - 1).len());
        if places == 0 {
            let mend = format!("put {{id}} into it: it becomes {HEX_LEN} hexadecimal digits");
            t.problem(span, "a message needs {id}, to carry who sent it, its number and a check", mend);
        } else if places > 1 {
            t.problem(span, format!("{{id}} is in it {places} times"), "leave one of them");
        } else if length > LARGEST as usize {
            t.problem(span, "this payload is too large", "make it 16 MiB or less");
        }
        return if places == 1 { Payload::Template(template) } else { otherwise };
    }
    let Some(size) = p.size("payload") else { return otherwise };
    if size.value < SMALLEST {
        let message = format!("a message needs {SMALLEST} B to carry who sent it, its number and a check");
        p.problem(size.span, message, format!("make it \"{SMALLEST} B\" or more"));
    } else if size.value > LARGEST {
        p.problem(size.span, "this payload is too large", "make it \"16 MiB\" or less");
    } else {
        return Payload::Size(size.value);
    }
    otherwise
}

fn schedule(p: &Table<'_>, context: &Context<'_>) -> Schedule {
    let (every, poisson) = (p.duration("every"), p.frequency("poisson"));
    let too_fast = |at: At<Duration>, least: String| {
        if at.value < context.tick {
            let tick = units::show(context.tick);
            let mend = format!("make it {least}, or set a shorter tick; burst sends several at a beat");
            p.problem(at.span, format!("a message more often than the clock's tick of {tick}"), mend);
        }
        at.value.max(context.tick)
    };
    let period = format!("\"{}\" or longer", units::show(context.tick));
    let often = format!("\"{:.0}/s\" or less", (1.0 / context.tick.as_secs_f64()).floor());
    let rhythm = match (every, poisson) {
        (Some(every), None) => Rhythm::Every(too_fast(every, period)),
        (None, Some(poisson)) => Rhythm::Poisson(too_fast(poisson, often)),
        (Some(_), Some(poisson)) => {
            p.problem(poisson.span, "every and poisson exclude each other", "leave one of them out");
            Rhythm::Every(Duration::from_secs(1))
        }
        (None, None) => {
            if !p.has("every") && !p.has("poisson") {
                let mend = "add every = \"10 s\" or poisson = \"6/min\"";
                p.problem(p.span.clone(), "nothing says when messages are due", mend);
            }
            Rhythm::Every(Duration::from_secs(1))
        }
    };
    let duty = p.table("duty", "duty").map(|d| Duty {
        on: d.duration_from("on", context.tick, Duration::from_secs(1)),
        off: d.duration_from("off", context.tick, Duration::from_secs(1)),
        disconnect: d.flag("disconnect", false),
    });
    let drift = p.drift("drift").unwrap_or(0);
    let schedule = Schedule { rhythm, burst: p.count("burst").unwrap_or(1), duty, drift };
    numbers(p, &schedule, context.duration, p.span.clone());
    schedule
}

/// A message's number has 32 bits.
fn numbers(p: &Table<'_>, schedule: &Schedule, duration: Duration, span: Range<usize>) {
    let count = load::mean_rate(schedule) * duration.as_secs_f64();
    if count > f64::from(u32::MAX / 2) {
        let message = format!("{count:.0} messages of one sensor are too many to be numbered");
        p.problem(span, message, "make it send less often, or for a shorter time");
    }
}
