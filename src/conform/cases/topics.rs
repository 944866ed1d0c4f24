//! Topic names and filters: what is legal, and what matches.

use super::super::bench::Bench;
use super::super::case::{Case, Done, broken, ensure, not_applicable};
use super::{Q0, at};
use crate::mqtt::packet::Packet;
use crate::peer::message::Message;
use crate::peer::{Got, Received};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("filter-hash-place", "# anywhere but alone at the end is not granted.", |b| {
            all_refused(b, &["a#", "a/#/b", "#/a", "a/b#", "##"])
        })
        .v311("4.7.1-2")
        .v5("4.7.1-1"),
        Case::new("filter-plus-place", "+ that does not fill its level is not granted.", |b| {
            all_refused(b, &["a+", "+a", "a/+b", "a/b+/c", "++"])
        })
        .v311("4.7.1-3")
        .v5("4.7.1-2"),
        Case::new("filter-empty", "An empty filter is not granted.", |b| all_refused(b, &[""])).both("4.7.3-1"),
        Case::new("match-hash", "# matches its parent and all below.", hash).v311("4.7.1-2").v5("4.7.1-1"),
        Case::new("match-plus", "+ matches exactly one level, also an empty one.", plus).v311("4.7.1-3").v5("4.7.1-2"),
        Case::new("match-exactly", "Letters, case, accents, slashes and spaces of topics count as they are.", exactly)
            .both("4.7.3-4"),
        Case::new("match-dollar", "Filters that begin with a wildcard match no topic that begins with $.", dollar)
            .both("4.7.2-1")
            .alone(),
        Case::new("byte-order-mark", "U+FEFF in a topic is a character like others.", mark)
            .v311("1.5.3-3")
            .v5("1.5.4-3"),
        Case::new("topic-long", "A topic of many bytes and levels passes whole.", long).both("4.7.3-4"),
        Case::new("topic-one-character", "A topic of one character will do, even a slash.", one)
            .both("4.7.3-1")
            .alone(),
    ]
}

fn refusal(r: &Received) -> bool {
    match r.packet() {
        Packet::SubAck(a) => a.codes.iter().all(|c| *c >= 0x80),
        Packet::Disconnect(d) => d.reason >= 0x80,
        _ => false,
    }
}

/// The filter is refused: by SUBACK, or by the end of the connection.
pub(super) fn not_granted(b: &Bench, filter: &str) -> Done {
    let mut peer = b.client("wrong")?;
    let bytes = super::malformed::subscribe(b, filter.as_bytes(), 0);
    peer.send_raw(&bytes, &format!("SUBSCRIBE id 1 {filter:?}"));
    match peer.next(b.site.patience) {
        Got::Closed => Ok(()),
        Got::Packet(r) if refusal(&r) => Ok(()),
        got => broken(format!("a subscription to {filter:?} was answered by {got}")),
    }
}

fn all_refused(b: &Bench, filters: &[&str]) -> Done {
    filters.iter().try_for_each(|f| not_granted(b, f))
}

/// Subscribes to a filter, publishes to all topics, and wants exactly those that match.
fn matches(b: &Bench, filter: &str, yes: &[&str], no: &[&str]) -> Done {
    let mut sub = b.subscriber("sub", &b.topic(filter), at(Q0))?;
    let mut pub_ = b.client("pub")?;
    for leaf in no.iter().chain(yes) {
        b.publish_by(&mut pub_, &Message::new(&b.topic(leaf), Q0, leaf))?;
    }
    for leaf in yes {
        let m = sub.message()?;
        ensure!(m.topic == b.topic(leaf), "{filter:?} brought {:?}, and should bring {leaf:?}", m.topic);
    }
    b.calm(&mut sub)?;
    sub.disconnect();
    Ok(())
}

fn hash(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    matches(b, "a/#", &["a", "a/b", "a/b/c", "a/", "a//"], &["b", "ab", "aa/b", "A/b"])
}

fn plus(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    matches(b, "a/+", &["a/b", "a/", "a/$x"], &["a", "a/b/c", "b/a", "a//"])?;
    matches(b, "+/x", &["a/x", "/x"], &["x", "a/b/x", "a/y"])?;
    matches(b, "a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c"])?;
    matches(b, "+/+/#", &["a/b", "a/b/c", "//"], &["a"])
}

fn exactly(b: &Bench) -> Done {
    // Composed and decomposed, with and without case, slash and space.
    let all = [
        "caf\u{e9}",
        "cafe\u{301}",
        "Caf\u{e9}",
        "caf\u{e9}/",
        "/caf\u{e9}",
        " caf\u{e9}",
        "caf\u{e9} ",
        "\u{1F600}",
        "a.b",
        "a\u{ad}b",
    ];
    for topic in all {
        let others: Vec<&str> = all.iter().copied().filter(|t| *t != topic).collect();
        matches(b, topic, &[topic], &others)?;
    }
    Ok(())
}

fn dollar(b: &Bench) -> Done {
    b.needs(b.can.wildcards, "wildcards")?;
    let topic = format!("$squall{}/x", b.id("dollar"));
    let mut exact = b.subscriber("exact", &topic, at(Q0))?;
    let mut wild = Vec::new();
    for (name, filter) in [("hash", "#"), ("plus", "+/x"), ("both", "+/#")] {
        wild.push((b.subscriber(name, filter, at(Q0))?, filter));
    }
    let mut pub_ = b.client("pub")?;
    b.publish_by(&mut pub_, &Message::new(&topic, Q0, "hidden"))?;
    exact.ping()?;
    if exact.next(b.site.quiet) == Got::Silence {
        return not_applicable(format!("it delivers no messages to topics such as {topic:?}"));
    }
    // They match other topics, of which this is one, and other people's are others.
    let mark = format!("{}/x", b.id("mark"));
    b.publish_by(&mut pub_, &Message::new(&mark, Q0, "mark"))?;
    for (sub, filter) in &mut wild {
        loop {
            let m = sub.message()?;
            ensure!(!m.topic.starts_with('$'), "{filter:?} brought {:?}", m.topic);
            if m.topic == mark {
                break;
            }
        }
    }
    Ok(())
}

fn mark(b: &Bench) -> Done {
    matches(b, "\u{feff}t", &["\u{feff}t"], &["t"])?;
    matches(b, "t\u{feff}", &["t\u{feff}"], &["t"])
}

fn long(b: &Bench) -> Done {
    // As deep as brokers commonly allow (mosquitto: 200 levels), and of a few kilobytes.
    let deep = vec!["a"; 100].join("/");
    let wide = "x".repeat(4000);
    matches(b, &deep, &[&deep], &[&deep[2..]])?;
    matches(b, &wide, &[&wide], &[&wide[1..]])
}

fn one(b: &Bench) -> Done {
    let mut sub = b.client("sub")?;
    // Other people may use them, so that only our own payload counts.
    for topic in ["/", "\u{3a9}"] {
        sub.subscribe(topic, at(Q0))?;
        let text = b.id(topic);
        b.publish(&Message::new(topic, Q0, &text))?;
        while sub.message()?.text() != text {}
    }
    Ok(())
}
