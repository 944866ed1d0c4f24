//! Thresholds: `p99(end_to_end, fleet = meter) < 20 s`, `count(lost) <= 0`, `broker.rss.max < 100 MiB`.

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
    let none = || ("no comparison in it".to_owned(), "write it like \"p99(end_to_end) < 2 s\"".to_owned());
    // `=`, `==` and `=>` are what people write by mistake; in a selector, `fleet = x`, it stands inside brackets.
    let outside = text.rfind(')').map_or(text, |end| &text[end..]);
    if outside.contains('=') && !outside.contains("<=") && !outside.contains(">=") {
        return Err(("a threshold is no equality".to_owned(), "write <= or >=".to_owned()));
    }
    let at = text.find(['<', '>']).ok_or_else(none)?;
    if text.matches(['<', '>']).count() > 1 {
        return Err(("one comparison too many".to_owned(), "<, <=, > or >=, once".to_owned()));
    }
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

fn limit(text: &str, unit: Unit) -> Result<f64, Wrong> {
    let wrong = |expected: &str| (format!("after the comparison, expected {expected}"), String::new());
    match unit {
        Unit::Time => units::duration(text).map(|d| d.as_secs_f64()).map_err(wrong),
        Unit::Bytes => units::size(text).map(f64::from).map_err(wrong),
        Unit::Plain => text.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(|| wrong("a plain number")),
    }
}

fn metric(text: &str, groups: &[&str]) -> Result<(Metric, Unit), Wrong> {
    match text {
        "broker.rss.max" => return Ok((Metric::Broker(BrokerFigure::RssMax), Unit::Bytes)),
        "broker.cpu" => return Ok((Metric::Broker(BrokerFigure::CpuSeconds), Unit::Time)),
        "broker.cpu_per_message" => return Ok((Metric::Broker(BrokerFigure::CpuPerMessage), Unit::Time)),
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
            let keys: Vec<&str> = Count::ALL.iter().map(|c| c.key()).collect();
            (format!("nothing called \"{name}\" is counted"), format!("counts: {}", keys.join(", ")))
        })?;
        return Ok((Metric::Count { count, group }, Unit::Plain));
    }
    let figure = figure(function).ok_or_else(|| (format!("no figure is called \"{function}\""), known()))?;
    let latency = Latency::ALL.into_iter().find(|l| l.key() == name).ok_or_else(|| {
        let keys: Vec<&str> = Latency::ALL.iter().map(|l| l.key()).collect();
        (format!("no latency is called \"{name}\""), format!("latencies: {}", keys.join(", ")))
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
    Err((format!("no fleet or subscriber is called \"{name}\""), format!("there are: {}", groups.join(", "))))
}

fn known() -> String {
    let latencies: Vec<&str> = Latency::ALL.iter().map(|l| l.key()).collect();
    format!(
        "known: p50(..), p99.9(..), mean(..), max(..) of {}; count(lost), ...; broker.cpu, broker.cpu_per_message, broker.rss.max; harness.slip.p99",
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
            ("count(lost) = 0", "<= or >="),
            ("count(lost) == 0", "<= or >="),
            ("count(lost) => 0", "<= or >="),
            ("0 < count(lost) < 2", "once"),
        ] {
            let (message, mend) = parse(bad, &["meter"]).expect_err(bad);
            assert!(mend.contains(hint), "{bad}: {message} / {mend}");
        }
        assert!(parse("p99(end_to_end) < 20", &[]).is_err());
    }
}
