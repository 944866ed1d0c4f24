//! What the broker's process tree used: over time, at most, and what a message and a client cost of it.

use super::metric::{self, float};
use super::model::{BrokerInfo, BrokerSample, PerClient, RedirectInfo};
use super::redact;
use crate::measure::summary::{ResourceSample, Summary};
use crate::verdict::outcome::Verdicts;

/// Fewer clients than this tell nothing of the memory that each takes (*assumed*): buffers and tables that grow once are as large.
const FEWEST: u64 = 50;

pub(super) fn broker(verdicts: &Verdicts, summary: &Summary) -> BrokerInfo {
    let samples = &summary.resources;
    let redirects = summary.redirects.iter().map(|((reason, to), count)| RedirectInfo {
        reason: *reason,
        to: to.as_deref().map(redact::passwords),
        count: *count,
    });
    BrokerInfo {
        cpu: summary.broker_cpu.map(|d| d.as_secs_f64()),
        cpu_per_message: metric::cpu_per_message(verdicts, summary),
        rss_max: samples.iter().map(|s| s.rss).max(),
        descriptors_max: descriptors_max(samples),
        threads_max: threads_max(samples),
        written: written(samples),
        written_per_message: metric::written_per_message(verdicts, summary),
        per_client: per_client(summary),
        owed_at_restart: summary.owed_at_restart,
        samples: series(samples),
        redirects: redirects.collect(),
    }
}

/// The most descriptors that were open.
pub(super) fn descriptors_max(samples: &[ResourceSample]) -> Option<u32> {
    samples.iter().filter_map(|s| s.descriptors).max()
}

/// The most threads that there were.
pub(super) fn threads_max(samples: &[ResourceSample]) -> Option<u32> {
    samples.iter().map(|s| s.threads).max()
}

/// Bytes written to storage: all growth from one look to the next, since what a process had written goes from the sum with it. None
/// without two looks that could see it.
pub(super) fn written(samples: &[ResourceSample]) -> Option<u64> {
    let seen: Vec<u64> = samples.iter().filter_map(|s| s.written).collect();
    seen.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).reduce(u64::saturating_add)
}

fn series(samples: &[ResourceSample]) -> Vec<BrokerSample> {
    let before = std::iter::once(None).chain(samples.iter().map(Some));
    let look = |(sample, before): (&ResourceSample, Option<&ResourceSample>)| {
        let grown = before.filter(|b| sample.at > b.at).map(|b| (*b, sample.at.since(b.at).as_secs_f64()));
        let used = grown.filter(|(b, _)| sample.cpu >= b.cpu);
        let wrote = grown.and_then(|(b, passed)| Some((sample.written?.checked_sub(b.written?)?, passed)));
        BrokerSample {
            at: sample.at.as_secs_f64(),
            cores: used.map(|(b, passed)| metric::to_nanos(sample.cpu.saturating_sub(b.cpu).as_secs_f64() / passed)),
            rss: sample.rss,
            descriptors: sample.descriptors,
            threads: Some(sample.threads),
            written_per_second: wrote.map(|(bytes, passed)| libm::round(float(bytes) / passed)),
        }
    };
    samples.iter().zip(before).map(look).collect()
}

/// None where nobody connected, or the broker was not seen before.
fn per_client(summary: &Summary) -> Option<PerClient> {
    let (rest, samples) = (summary.at_rest?, &summary.resources);
    let clients = summary.series.intervals.iter().map(|i| i.connected).max().filter(|n| *n > 0)?;
    // Less than before anybody came: something of the broker's own has gone, and clients are not what it shows.
    let each = |most: u64, before: u64| Some(float(most.checked_sub(before)?) / float(clients));
    let most = samples.iter().map(|s| s.rss).max();
    let descriptors = descriptors_max(samples).zip(rest.descriptors);
    Some(PerClient {
        clients,
        rss: most.filter(|_| clients >= FEWEST).and_then(|most| each(most, rest.rss)).map(libm::round),
        descriptors: descriptors.and_then(|(most, before)| each(most.into(), before.into())).map(thousandths),
        threads: threads_max(samples).and_then(|most| each(most.into(), rest.threads.into())).map(thousandths),
    })
}

pub(super) fn thousandths(x: f64) -> f64 {
    libm::round(x * 1e3) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::summary::{Interval, Series};
    use crate::time::{Duration, Instant};

    /// At a second: milliseconds of CPU, bytes written.
    fn look(second: u64, cpu: u64, written: Option<u64>) -> ResourceSample {
        let (at, cpu) = (Instant::ZERO + Duration::from_secs(second), Duration::from_millis(cpu));
        ResourceSample { at, cpu, rss: 1_000_000, descriptors: Some(10), threads: 2, written }
    }

    #[test]
    fn what_was_not_seen_is_no_rate_and_what_was_read_as_nothing_is() {
        let samples = [
            look(0, 0, Some(100)),
            look(1, 250, Some(100)),
            look(3, 250, Some(6_100)),
            look(4, 300, None),
            look(5, 300, Some(7_100)),
            look(6, 10, Some(50)),
            look(7, 20, Some(60)),
        ];
        let series = series(&samples);
        let rates: Vec<_> = series.iter().map(|s| s.written_per_second).collect();
        assert_eq!(rates, [None, Some(0.0), Some(3_000.0), None, None, None, Some(10.0)]);
        let cores: Vec<_> = series.iter().map(|s| s.cores).collect();
        assert_eq!(cores, [None, Some(0.25), Some(0.0), Some(0.05), Some(0.0), None, Some(0.01)]);
        assert_eq!((series[0].descriptors, series[0].threads), (Some(10), Some(2)));
        // Over the look that could not see it, and without the process that went away.
        assert_eq!(written(&samples), Some(7_010));
        assert_eq!(written(&samples[..1]), None);
        assert_eq!(written(&[look(0, 0, Some(5)), look(1, 0, Some(5))]), Some(0), "that was read");
    }

    fn with_clients(connected: u64) -> Summary {
        let most = ResourceSample { rss: 3_000_000, descriptors: Some(10 + 2 * 60), threads: 5, ..look(1, 0, None) };
        let interval = |connected| Interval { connected, ..Interval::default() };
        Summary {
            at_rest: Some(look(0, 0, None)),
            resources: vec![look(0, 0, None), most, look(2, 0, None)],
            series: Series {
                width: Duration::from_secs(1),
                intervals: [0, connected, connected / 2].map(interval).into(),
            },
            ..Summary::default()
        }
    }

    #[test]
    fn a_client_costs_what_there_is_more_with_all_of_them_than_with_none() {
        let summary = with_clients(60);
        let expected = PerClient { clients: 60, rss: Some(33_333.0), descriptors: Some(2.0), threads: Some(0.05) };
        assert_eq!(per_client(&summary), Some(expected));
        let few = per_client(&with_clients(49)).expect("some were connected");
        assert_eq!((few.clients, few.rss), (49, None), "too few for their memory to be told from the broker's");
        assert!(few.descriptors.is_some());
    }

    #[test]
    fn nothing_is_told_a_client_where_nobody_came_or_nobody_looked_before() {
        assert_eq!(per_client(&with_clients(0)), None);
        assert_eq!(per_client(&Summary { at_rest: None, ..with_clients(60) }), None);
        // Warmed up: it has shrunk since.
        let rest = ResourceSample { rss: 9_000_000, threads: 9, ..look(0, 0, None) };
        let shrunk = per_client(&Summary { at_rest: Some(rest), ..with_clients(60) }).expect("clients and a look");
        assert_eq!((shrunk.rss, shrunk.threads, shrunk.descriptors), (None, None, Some(2.0)));
    }
}
