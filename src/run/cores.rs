//! Which cores a thread runs on: harness and broker on cores of their own do not slow each other down.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A set of cores, at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cores(Arc<[usize]>);

impl Cores {
    /// Keeps the calling thread, and the threads and processes that it starts from now on, on these cores.
    ///
    /// # Errors
    /// If the machine has none of them.
    pub fn keep_to(&self) -> std::io::Result<()> {
        let mut set = CpuSet::new();
        for core in self.0.iter() {
            set.set(*core);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

impl FromStr for Cores {
    type Err = String;

    /// Parses `0`, `0-3` or `0,2-3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("\"{text}\" names no cores; like 0, 0-3 or 0,2-3");
        let mut all = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |s: &str| s.trim().parse::<usize>().ok().filter(|n| *n < CpuSet::MAX_CPU);
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => all.extend(first..=last),
                _ => return Err(expected()),
            }
        }
        all.sort_unstable();
        all.dedup();
        Ok(Self(all.into()))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(","))
    }
}

/// A machine's cores in two: harness first, broker second.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Split {
    /// The load loops' and the judges'.
    pub harness: Cores,
    /// The broker's.
    pub broker: Cores,
}

impl Split {
    /// The first half for the harness (two at most: load loops seldom need more) and the rest for the broker; none with
    /// fewer than four cores, where halves would starve both.
    #[must_use]
    pub fn of_this_machine() -> Option<Self> {
        let set = sched_getaffinity(None).ok()?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
        (all.len() >= 4).then(|| {
            let (harness, broker) = all.split_at(2);
            Self { harness: Cores(harness.into()), broker: Cores(broker.into()) }
        })
    }
}

impl FromStr for Split {
    type Err = String;

    /// Parses `HARNESS:BROKER`, like `0-1:2-7`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (harness, broker) = text.split_once(':').ok_or("expected HARNESS:BROKER, like 0-1:2-7")?;
        Ok(Self { harness: harness.parse()?, broker: broker.parse()? })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "harness on cores {}, broker on cores {}", self.harness, self.broker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read_as_people_write_them() {
        for (text, shown) in [("0", "0"), ("0-3", "0,1,2,3"), ("5,2-3,2", "2,3,5")] {
            assert_eq!(text.parse::<Cores>().expect(text).to_string(), shown);
        }
        for text in ["", "a", "3-1", "1-", "99999"] {
            assert!(text.parse::<Cores>().is_err(), "{text}");
        }
        let split: Split = "0:1".parse().expect("two sets");
        assert_eq!(split.to_string(), "harness on cores 0, broker on cores 1");
        assert!("0".parse::<Split>().is_err());
    }
}
