//! Running cases: many at once where they do not disturb each other.

use super::bench::{Abilities, Bench};
use super::case::{Case, Done, Stop};
use crate::clock::Clock;
use crate::mqtt::Version;
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::PropertiesBuf;
use crate::mqtt::{QoS, packet::ConnAck};
use crate::peer::hello::Hello;
use crate::peer::tape::Tape;
use crate::peer::{Peer, Site, at};
use crate::target::manifest::Deviation;
use crate::time::Duration;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases that run at once; most of their time they wait.
const WORKERS: usize = 24;

/// How a case came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The rule was kept.
    Held,
    /// The rule was broken, in words.
    Broken(String),
    /// It was broken, as the manifest admits: in words, and the manifest's reason.
    Deviates(String, String),
    /// The broker has not what the rule is about; the reason.
    NotApplicable(String),
    /// The broker could not be reached.
    Unreachable(String),
}

/// A case's result.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The case.
    pub case: &'a Case,
    /// In which version.
    pub version: Version,
    /// How it came out.
    pub outcome: Outcome,
    /// What was exchanged.
    pub tape: String,
    /// How long it took.
    pub took: Duration,
}

/// Asks a broker what it can do.
///
/// # Errors
/// In words, if it accepts no connection of that version.
pub fn abilities(site: &Site, version: Version, tag: &str) -> Result<Abilities, String> {
    let tape = Tape::default();
    let id = format!("{tag}ability{}", version.level());
    let hello = Hello::new(site, version, &id);
    let (mut peer, received) = Peer::connect(site, "abilities", &hello, &tape).map_err(|e| e.to_string())?;
    let Packet::ConnAck(ack) = received.packet() else { return Err("no CONNACK".into()) };
    let ConnAck { reason, .. } = ack;
    if reason != 0 {
        return Err(format!("it refuses connections of this version (code {reason:#04x})"));
    }
    let mut can = Abilities::read(&ack);
    let filter = format!("{tag}/ability");
    let codes = peer.subscribe_all(&[(&filter, at(QoS::ExactlyOnce))], &PropertiesBuf::default());
    if let Some(granted) = codes.ok().and_then(|c| QoS::from_u8(*c.first()?)) {
        can.maximum_qos = can.maximum_qos.min(granted);
    }
    peer.disconnect();
    Ok(can)
}

/// Runs the cases, each in its version; the results in their order. `able` says what the broker can do in each version,
/// and a version that is not there is left out. `tag` begins all names: few letters.
pub fn run<'a>(
    site: &Site,
    able: &[(Version, Abilities)],
    cases: &[(&'a Case, Version)],
    deviations: &[Deviation],
    tag: &str,
) -> Vec<Verdict<'a>> {
    let can = |version| able.iter().find(|(v, _)| *v == version).map(|(_, can)| can);
    let jobs = cases.iter().filter_map(|(case, version)| Some((*case, *version, can(*version)?)));
    let jobs: Vec<_> = jobs.enumerate().map(|(i, (case, version, can))| (i, case, version, can)).collect();
    let one = |(i, case, version, can): &(usize, &'a Case, Version, &Abilities)| {
        verdict(site, *version, can, case, format!("{tag}{}", short(*i)), deviations)
    };
    let (alone, together): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|j| j.1.alone);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(together.len()) {
            scope.spawn(|| {
                while let Some(job) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = one(job);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((job.0, verdict));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.extend(alone.iter().map(|job| (job.0, one(job))));
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, verdict)| verdict).collect()
}

fn verdict<'a>(
    site: &Site,
    version: Version,
    can: &Abilities,
    case: &'a Case,
    tag: String,
    deviations: &[Deviation],
) -> Verdict<'a> {
    let bench = Bench::new(site, version, can, tag);
    let clock = Clock::start();
    let done = case.run(&bench);
    let took = clock.now().since(crate::time::Instant::ZERO);
    bench.tidy();
    Verdict { case, version, outcome: judge(done, case, version, deviations), tape: bench.tape.render(), took }
}

fn judge(done: Done, case: &Case, version: Version, deviations: &[Deviation]) -> Outcome {
    match done {
        Ok(()) => Outcome::Held,
        Err(Stop::NotApplicable(why)) => Outcome::NotApplicable(why),
        Err(Stop::Unreachable(why)) => Outcome::Unreachable(why),
        Err(Stop::Broken(why)) => match deviations.iter().find(|d| covers(d, case, version)) {
            Some(deviation) => Outcome::Deviates(why, deviation.reason.clone()),
            None => Outcome::Broken(why),
        },
    }
}

/// Whether a deviation is about that case.
#[must_use]
pub fn covers(deviation: &Deviation, case: &Case, version: Version) -> bool {
    deviation.mqtt == name(version)
        && case.statements(version).contains(&deviation.statement.as_str())
        && deviation.case.as_ref().is_none_or(|name| *name == case.name)
}

/// The deviations of those versions that no case shows any more: all that they cover held.
#[must_use]
pub fn mended<'d>(deviations: &'d [Deviation], verdicts: &[Verdict<'_>]) -> Vec<&'d Deviation> {
    let is_mended = |d: &&Deviation| {
        let mut of_it = verdicts.iter().filter(|v| covers(d, v.case, v.version)).peekable();
        of_it.peek().is_some() && of_it.all(|v| v.outcome == Outcome::Held)
    };
    deviations.iter().filter(is_mended).collect()
}

/// The version's name.
#[must_use]
pub fn name(version: Version) -> &'static str {
    if version == Version::V5 { "5.0" } else { "3.1.1" }
}

/// A number below 1,296 in two letters or digits: of one length, so that no two names run together.
fn short(n: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    [n / 36 % 36, n % 36].iter().map(|d| char::from(DIGITS[*d])).collect()
}
