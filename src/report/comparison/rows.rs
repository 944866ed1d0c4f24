//! The figures that brokers are compared by, each read from a trial's report.

use super::{Conditions, Ratio, Row, Trial};
use crate::promise::{Count, Latency};
use crate::report::metric::float;
use crate::report::model::{Figures, Report, Unit};

/// A figure: key, title, unit, and where it stands in a report.
type Figure = (String, String, Unit, Box<dyn Fn(&Report) -> Option<f64>>);

/// All rows that at least one trial has a value for.
pub(super) fn rows(conditions: &Conditions, trials: &[Trial]) -> Vec<Row> {
    figures().into_iter().filter_map(|figure| row(figure, conditions, trials)).collect()
}

fn row((key, title, unit, read): Figure, conditions: &Conditions, trials: &[Trial]) -> Option<Row> {
    let mut values = vec![vec![None; conditions.repeats]; conditions.targets.len()];
    for trial in trials {
        // What a tainted run says of time says nothing of the broker.
        if let Ok((report, _)) = &trial.result
            && report.harness.trusted
        {
            values[trial.target][trial.repeat] = read(report);
        }
    }
    values.iter().flatten().any(Option::is_some).then(|| {
        let pairs = |t: usize| values[0].iter().copied().zip(values[t].iter().copied());
        // Nothing is no part of a ratio, and the ratio of the other repeats would say that it had not been seen.
        let some_is_zero = |t: usize| pairs(t).filter_map(|(base, new)| base.zip(new)).any(|(a, b)| a.min(b) <= 0.0);
        let has_ratio = |t: usize| t > 0 && !some_is_zero(t);
        let of = |t: usize| Ratio::of(pairs(t)).filter(|_| has_ratio(t));
        let ratios = (0..values.len()).map(of).collect();
        Row { key, title, unit, values, ratios }
    })
}

/// Reads one figure of a latency.
type Quantile = fn(&Figures) -> f64;

fn figures() -> Vec<Figure> {
    let mut all: Vec<Figure> = Vec::new();
    let shown: [(Latency, &[(&str, Quantile)]); 3] = [
        (Latency::EndToEnd, &[("p50", |f| f.p50), ("p90", |f| f.p90), ("p99", |f| f.p99), ("max", |f| f.max)]),
        (Latency::PublishAck, &[("p50", |f| f.p50), ("p99", |f| f.p99), ("max", |f| f.max)]),
        (Latency::ConnAck, &[("p50", |f| f.p50), ("p99", |f| f.p99)]),
    ];
    for (latency, chosen) in shown {
        for (name, read) in chosen {
            let read = *read;
            let find = move |r: &Report| {
                let found = r.total.latencies.iter().find(|l| l.is(latency));
                found.map(|l| read(&l.intended))
            };
            let (key, title) = (format!("{name} {}", latency.key()), format!("{name} {}", latency.title()));
            all.push((key, title, Unit::Seconds, Box::new(find)));
        }
    }
    let counts = [(Count::Lost, "lost"), (Count::Duplicated, "further copies"), (Count::Disconnects, "disconnects")];
    for (count, title) in counts {
        let find = move |r: &Report| r.total.counts.get(count).map(float);
        all.push((count.key().to_owned(), title.to_owned(), Unit::Count, Box::new(find)));
    }
    let mut add = |key: &str, title: &str, unit, read: fn(&Report) -> Option<f64>| {
        all.push((key.to_owned(), title.to_owned(), unit, Box::new(read)));
    };
    add("broker.cpu_per_message", "broker CPU a delivered message", Unit::Seconds, |r| r.broker.cpu_per_message);
    add("broker.rss.max", "broker memory at most", Unit::Bytes, |r| r.broker.rss_max.map(float));
    add("broker.rss_per_client", "broker memory growth a client", Unit::Bytes, |r| r.broker.per_client?.rss);
    add("broker.descriptors.max", "broker descriptors at most", Unit::Count, |r| {
        r.broker.descriptors_max.map(f64::from)
    });
    add("broker.threads.max", "broker threads at most", Unit::Count, |r| r.broker.threads_max.map(f64::from));
    add("broker.written_per_message", "broker bytes written a delivered message", Unit::Bytes, |r| {
        r.broker.written_per_message
    });
    add("broker.ready_again", "ready again after a restart", Unit::Seconds, |r| {
        let back = r.faults.iter().filter(|f| f.what == crate::trace::STARTED_AGAIN).filter_map(|f| f.lasted);
        back.max_by(f64::total_cmp)
    });
    add("broker.owed_at_restart", "deliveries owed at that restart", Unit::Count, |r| {
        r.broker.owed_at_restart.map(float)
    });
    all
}
