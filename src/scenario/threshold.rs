//! Thresholds: `p99(end_to_end, fleet = meter) < 20 s`, `count(lost) <= 0`, `broker.rss.max < 100 MiB`.

use super::reader::list;
use super::units;
use crate::promise::{BrokerFigure, Comparison, Count, Figure, Latency, Metric, Threshold};

/// What is wrong, and how to mend it.
type Wrong = (String, String);

/// The unit of a metric's limit.
#[derive(Clone, Copy)]
enum Unit {
    Time,
    Bytes,
    Plain,
}

/// Parses a threshold; `groups` are the fleets and subscribers there are.
pub(super) fn parse(text: &str, groups: &[&str]) -> Result<Threshold, Wrong> {
    let at = text.find(['<', '>']).ok_or_else(|| no_comparison(text))?;
    let (left, rest) = text.split_at(at);
    let (comparison, right) = match rest.as_bytes() {
        [b'<', b'=', ..] => (Comparison::LessOrEqual, &rest[2..]),
        [b'>', b'=', ..] => (Comparison::GreaterOrEqual, &rest[2..]),
        [b'<', ..] => (Comparison::Less, &rest[1..]),
        _ => (Comparison::Greater, &rest[1..]),
    };
    let (metric, unit) = metric(left.trim(), groups)?;
    let limit = limit(right.trim(), unit)?;
    Ok(Threshold { text: text.to_owned(), metric, comparison, limit })
}

/// A threshold without < or >.
fn no_comparison(text: &str) -> Wrong {
    // An = inside of parentheses belongs to a selector.
    let outside = text.rfind(')').map_or(text, |p| &text[p + 1..]);
    match outside.split_once('=') {
        Some((_, limit)) => {
            let metric = &text[..text.len() - outside.len() + outside.find('=').unwrap_or(0)];
            let metric = metric.trim_end_matches(['=', '!', ' ']);
            let limit = limit.trim_start_matches(['=', ' ']).trim();
            ("= is no comparison here: <, <=, > and >= are".into(), format!("like \"{metric} <= {limit}\""))
        }
        None => ("no comparison in it".into(), "write it like \"p99(end_to_end) < 2 s\"".into()),
    }
}

fn limit(text: &str, unit: Unit) -> Result<f64, Wrong> {
    let wrong = |expected: &str| (format!("after the comparison, expected {expected}"), format!("not \"{text}\""));
    match unit {
        Unit::Time => units::duration(text).map(|d| d.as_secs_f64()).map_err(wrong),
        Unit::Bytes => units::size(text).map(f64::from).map_err(wrong),
        Unit::Plain => text.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(|| wrong("a plain number")),
    }
}

fn metric(text: &str, groups: &[&str]) -> Result<(Metric, Unit), Wrong> {
    let broker = |figure, unit| Ok((Metric::Broker(figure), unit));
    match text {
        "broker.rss.max" => return broker(BrokerFigure::RssMax, Unit::Bytes),
        "broker.descriptors.max" => return broker(BrokerFigure::DescriptorsMax, Unit::Plain),
        "broker.threads.max" => return broker(BrokerFigure::ThreadsMax, Unit::Plain),
        "broker.cpu" => return broker(BrokerFigure::CpuSeconds, Unit::Time),
        "broker.cpu_per_message" => return broker(BrokerFigure::CpuPerMessage, Unit::Time),
        "broker.written_per_message" => return broker(BrokerFigure::WrittenPerMessage, Unit::Bytes),
        "harness.slip.p99" => return Ok((Metric::HarnessSlipP99, Unit::Time)),
        _ => {}
    }
    let (function, arguments) = text
        .strip_suffix(')')
        .and_then(|t| t.split_once('('))
        .ok_or_else(|| (format!("no metric is called \"{text}\""), known()))?;
    let (name, group) = match arguments.split_once(',') {
        Some((name, selector)) => (name.trim(), Some(group(selector, groups)?)),
        None => (arguments.trim(), None),
    };
    if function == "count" {
        let count = Count::ALL.into_iter().find(|c| c.key() == name).ok_or_else(|| {
            let keys = Count::ALL.iter().map(|c| c.key());
            (format!("nothing called \"{name}\" is counted"), list(name, keys))
        })?;
        return Ok((Metric::Count { count, group }, Unit::Plain));
    }
    let figure = figure(function).ok_or_else(|| (format!("no figure is called \"{function}\""), known()))?;
    let latency = Latency::ALL.into_iter().find(|l| l.key() == name).ok_or_else(|| {
        (format!("no latency is called \"{name}\""), list(name, Latency::ALL.iter().map(|l| l.key())))
    })?;
    Ok((Metric::Latency { figure, latency, group }, Unit::Time))
}

fn figure(function: &str) -> Option<Figure> {
    match function {
        "mean" => Some(Figure::Mean),
        "max" => Some(Figure::Max),
        "min" => Some(Figure::Min),
        "median" => Some(Figure::Percentile(50.0)),
        _ => {
            let percentile: f64 = function.strip_prefix('p')?.parse().ok()?;
            (percentile > 0.0 && percentile <= 100.0).then_some(Figure::Percentile(percentile))
        }
    }
}

fn group(selector: &str, groups: &[&str]) -> Result<String, Wrong> {
    let name = selector
        .split_once('=')
        .filter(|(key, _)| matches!(key.trim(), "fleet" | "subscriber" | "group"))
        .map(|(_, name)| name.trim())
        .ok_or_else(|| (format!("\"{}\" is no selector", selector.trim()), "write fleet = NAME".to_owned()))?;
    if groups.contains(&name) {
        return Ok(name.to_owned());
    }
    Err((format!("no fleet or subscriber is called \"{name}\""), list(name, groups.iter().copied())))
}

fn known() -> String {
    let latencies: Vec<&str> = Latency::ALL.iter().map(|l| l.key()).collect();
    format!(
        "known: p50(..), p99.9(..), mean(..), max(..) of {}; count(lost), ...; broker.cpu, broker.cpu_per_message, \
         broker.written_per_message, broker.rss.max, broker.descriptors.max, broker.threads.max; harness.slip.p99",
        latencies.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones() {
        let t = parse("p99.9(end_to_end, fleet = meter) < 20 s", &["meter"]).expect("legal");
        let latency = Latency::EndToEnd;
        let expected = Metric::Latency { figure: Figure::Percentile(99.9), latency, group: Some("meter".into()) };
        assert_eq!((t.metric, t.comparison, t.limit), (expected, Comparison::Less, 20.0));
        let t = parse("broker.rss.max <= 1 MiB", &[]).expect("legal");
        assert_eq!((t.comparison, t.limit), (Comparison::LessOrEqual, 1_048_576.0));
        assert!(parse("count(lost) <= 0", &[]).is_ok());
        assert!(parse("broker.written_per_message < 2 KiB", &[]).is_ok());
        assert!(parse("broker.descriptors.max < 300", &[]).is_ok());
        assert!(parse("broker.threads.max < 300 B", &[]).is_err(), "a plain number");
        assert!(parse("max(publish_ack) > 5 ms", &[]).is_ok());
    }

    #[test]
    fn mistakes_name_what_there_is() {
        for (bad, hint) in [
            ("p99(end_to_end)", "write it like"),
            ("p99(end2end) < 1 s", "end_to_end"),
            ("p0(end_to_end) < 1 s", "known"),
            ("p99(end_to_end, fleet = x) < 1 s", "meter"),
            ("count(apples) < 1", "offered"),
            ("broker.disk < 1 s", "broker.rss.max"),
        ] {
            let (message, mend) = parse(bad, &["meter"]).expect_err(bad);
            assert!(mend.contains(hint), "{bad}: {message} / {mend}");
        }
        assert!(parse("p99(end_to_end) < 20", &[]).is_err());
    }
}
