//! What several exporters say in the same words: evidence as plain text, the harness in a sentence, strength.

use super::model::{
    BrokerInfo, EvidenceInfo, GuaranteeInfo, PerClient, QosCost, Standing, TargetKind, ThresholdInfo, Way,
};
use super::{Report, format};
use std::fmt::Write;

/// Evidence as a story with times, from both ends, in plain text; lines end with a line feed.
#[must_use]
pub fn text(evidence: &EvidenceInfo) -> String {
    let mut out = format!("evidence {}   {}\n", evidence.number, evidence.title);
    let whos = evidence.time_line.iter().map(|m| m.who.chars().count()).max().unwrap_or(0);
    let whats = evidence.time_line.iter().map(|m| m.what.chars().count() + 3).max().unwrap_or(0);
    if evidence.partial {
        out.push_str("  (the beginning of the time line was no longer kept)\n");
    }
    for moment in &evidence.time_line {
        let what = match moment.direction {
            Way::Out => format!("{} ->", moment.what),
            Way::In => format!("<- {}", moment.what),
            Way::None => moment.what.clone(),
        };
        let at = format::moment(moment.at);
        let line = format!("  {at:>9}  {:whos$}  {what:whats$}   {}", moment.who, moment.note);
        writeln!(out, "{}", line.trim_end()).expect("a string takes every write");
    }
    let statements = if evidence.statements.is_empty() || evidence.rule.ends_with(']') {
        String::new()
    } else {
        format!(" [{}]", evidence.statements.join(", "))
    };
    if !evidence.promise.is_empty() {
        writeln!(out, "  promised: {}", evidence.promise).expect("a string takes every write");
    }
    writeln!(out, "  rule: {}{statements}", evidence.rule).expect("a string takes every write");
    out
}

/// A threshold's value: `18.4 s`, or that it could not be measured.
#[must_use]
pub fn measured(threshold: &ThresholdInfo) -> String {
    threshold.value.map_or_else(|| "could not be measured".to_owned(), |v| format::in_unit(v, threshold.unit))
}

/// Whether the harness can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// It was watched, and kept up.
    Trusted,
    /// Nothing speaks against it, but its slip was not measured.
    Unwatched,
    /// It did not keep up.
    Tainted,
    /// There is nothing to keep up with: time is virtual.
    Virtual,
}

/// Whether the harness can be trusted.
#[must_use]
pub const fn trust(report: &Report) -> Trust {
    if report.target.kind as u8 == TargetKind::Simulated as u8 {
        return Trust::Virtual;
    }
    match (report.harness.trusted, report.harness.slip) {
        (false, _) => Trust::Tainted,
        (true, None) => Trust::Unwatched,
        (true, Some(_)) => Trust::Trusted,
    }
}

/// The harness in a sentence: `trusted: p99 slip 0.30 ms, 11 % of one core`.
#[must_use]
pub fn harness(report: &Report) -> String {
    if trust(report) == Trust::Virtual {
        return "virtual time: there is no clock to be late by".to_owned();
    }
    let harness = &report.harness;
    let slip =
        harness.slip.map_or_else(|| "slip not measured".to_owned(), |f| format!("p99 slip {}", format::seconds(f.p99)));
    let cpu = harness
        .cores
        .map_or_else(|| "own CPU not measured".to_owned(), |c| format!("{} of one core", format::per_cent(c)));
    let verdict = match trust(report) {
        Trust::Trusted => "trusted".to_owned(),
        Trust::Unwatched => "not known to be late".to_owned(),
        Trust::Tainted => format!("TAINTED: {}", harness.tainted.join("; ")),
        Trust::Virtual => "virtual".to_owned(),
    };
    format!("{verdict}: {slip}, {cpu}")
}

/// How arrival times were taken.
#[must_use]
pub fn stamps(report: &Report) -> String {
    if trust(report) == Trust::Virtual {
        return "all times are exact".to_owned();
    }
    if !report.harness.kernel_stamps {
        return "arrival times are those of the load loops' wakes".to_owned();
    }
    let share = report.harness.stamped.map_or_else(String::new, |s| format!(" ({} of arrivals)", format::per_cent(s)));
    format!("arrival times are the kernel's receive stamps{share}")
}

/// The broker's resources in a sentence.
#[must_use]
pub fn broker(report: &Report) -> String {
    if trust(report) == Trust::Virtual {
        return "simulated: it takes no CPU and no memory of its own".to_owned();
    }
    let known: Vec<String> = figures_of_the_broker(&report.broker).into_iter().filter_map(|(_, said)| said).collect();
    let unseen = unseen_of_the_broker(&report.broker).map(|what| format!("{what} not measured"));
    Some(known.join(", ")).filter(|text| !text.is_empty()).into_iter().chain(unseen).collect::<Vec<_>>().join("; ")
}

/// What of the broker's resources could not be measured: `threads and bytes written`; none if all could.
#[must_use]
pub fn unseen_of_the_broker(broker: &BrokerInfo) -> Option<String> {
    let unseen = figures_of_the_broker(broker).into_iter().filter(|(_, said)| said.is_none()).map(|(what, _)| what);
    let unseen: Vec<&str> = unseen.collect();
    let (last, others) = unseen.split_last()?;
    Some(if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) })
}

/// Each resource with what is said of it, and of its share of a message or a client; none where it could not be measured.
fn figures_of_the_broker(broker: &BrokerInfo) -> [(&'static str, Option<String>); 5] {
    let each = |share: Option<String>, of: &str| share.map_or_else(String::new, |s| format!(" ({s} a {of})"));
    let client = |part: fn(&PerClient) -> Option<f64>| broker.per_client.as_ref().and_then(part);
    let whole = |n: Option<u32>, one: &str, many: &str, share: Option<f64>| {
        let each = each(share.map(few), "client");
        n.map(|n| format!("{} {} at most{each}", format::count(u64::from(n)), if n == 1 { one } else { many }))
    };
    let bytes = |b: u64| format::bytes(super::metric::float(b));
    let cpu = each(broker.cpu_per_message.map(format::seconds), "message");
    let memory = each(client(|c| c.rss).map(format::bytes), "client");
    let written = each(broker.written_per_message.map(format::bytes), "message");
    [
        ("CPU", broker.cpu.map(|s| format!("CPU {}{cpu}", format::seconds(s)))),
        ("memory", broker.rss_max.map(|b| format!("memory {} at most{memory}", bytes(b)))),
        ("descriptors", whole(broker.descriptors_max, "descriptor", "descriptors", client(|c| c.descriptors))),
        ("threads", whole(broker.threads_max, "thread", "threads", client(|c| c.threads))),
        ("bytes written", broker.written.map(|b| format!("{} written{written}", bytes(b)))),
    ]
}

/// A number of things a client: `1.00`, and `0` where there was no more with them than without.
#[must_use]
pub fn few(x: f64) -> String {
    if x == 0.0 { "0".to_owned() } else { format::three_digits(x) }
}

/// Where the broker sent its clients, if it did.
#[must_use]
pub fn redirects(report: &Report) -> Option<String> {
    let each = report.broker.redirects.iter().map(|r| {
        let why = if r.reason == 0x9D { "the server moved" } else { "use another server" };
        let to = r.to.as_ref().map_or_else(|| "an unnamed server".to_owned(), |name| format!("\"{name}\""));
        format!("{} to {to} (0x{:02X}, {why})", format::count(r.count), r.reason)
    });
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| format!("the broker sent clients away, and none followed: {}", all.join("; ")))
}

/// A guarantee's sentence with what is not said by it.
#[must_use]
pub fn sentence(guarantee: &GuaranteeInfo) -> String {
    match guarantee.standing {
        Standing::NotEnoughEvidence => {
            let why = guarantee.reason.as_deref().unwrap_or(&guarantee.sentence);
            format!("not enough evidence: {why}")
        }
        Standing::HeldUntested => format!("{}; untested under: {}", guarantee.sentence, guarantee.untested.join(", ")),
        Standing::NotAsked if guarantee.sentence.is_empty() => "nobody asked for it".to_owned(),
        _ => guarantee.sentence.clone(),
    }
}

/// How strong the verdict is: `0 of 2,391 failed: under 0.13 % with 95 % confidence`.
#[must_use]
pub fn strength(guarantee: &GuaranteeInfo) -> Option<String> {
    let cases = format::count(guarantee.cases);
    match (guarantee.standing, guarantee.upper_bound) {
        (Standing::NotAsked | Standing::NotEnoughEvidence, _) => None,
        (Standing::Broken, high) => {
            let rate = match (guarantee.lower_bound, high, &guarantee.bound_by) {
                (Some(low), Some(high), Some(by)) => format!(
                    ": the true rate is between {} and {} (95 %, {by})",
                    format::per_cent(low),
                    format::per_cent(high)
                ),
                _ => String::new(),
            };
            Some(format!("{} of {cases} failed{rate}", format::count(guarantee.failures)))
        }
        (_, Some(bound)) if bound < 1.0 && guarantee.failures == 0 => {
            Some(format!("0 of {cases} failed: the true rate is at most {} (95 %)", format::per_cent(bound)))
        }
        _ => None,
    }
}

/// The evidence that belongs to a guarantee.
pub fn evidence_of<'a>(report: &'a Report, guarantee: &'a GuaranteeInfo) -> impl Iterator<Item = &'a EvidenceInfo> {
    report.evidence.iter().filter(move |e| e.guarantee == guarantee.key)
}

/// A cost row's figures, as text: MQTT bytes, IP bytes, packets, retransmissions, time on the air.
#[must_use]
pub fn cost(cost: &QosCost) -> [String; 5] {
    let number = |x: Option<f64>| x.map_or_else(|| format::MISSING.to_owned(), format::three_digits);
    [
        number(cost.mqtt_bytes),
        number(cost.ip_bytes),
        number(cost.packets),
        number(cost.retransmissions),
        format::seconds_or(cost.airtime),
    ]
}

/// What the kernels on the links say of themselves, beside the links' own count.
#[must_use]
pub fn kernels(report: &Report) -> Option<String> {
    let kernels = report.kernels?;
    let told = [("sensors'", kernels.retransmitted_up), ("broker's", kernels.retransmitted_down)];
    let told: Vec<String> =
        told.iter().filter_map(|(whose, n)| Some(format!("{} by the {whose}", format::count((*n)?)))).collect();
    (!told.is_empty())
        .then(|| format!("Segments that the kernels themselves counted as sent again: {}.", told.join(", ")))
}

/// What the cost table leaves out or divides by.
pub const COST_NOTE: &str = "What the publishing fleets' links carried, both ways, by messages sent; connecting, keep alive and retransmissions are in it.";

/// What the broker's shares are of.
pub const SHARES_NOTE: &str = "A client: what there was at most, less what there was before the first client came (and before a warm-up), by the most \
    clients connected at once; for memory that is an upper bound, since sessions, queues and what load alone made grow are in it, and it \
    is not told below 50 clients. A message: by messages delivered. Written: bytes sent to storage, as the kernel counts them.";
