//! Which links' packets are written down in a run, and where they go.

use super::plan::RunPlan;
use crate::link::capture::{Tap, write_pcapng};
use crate::scenario::model::{DeviceSpec, Scenario};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of packets that one run keeps at most (assumed), shared out evenly over its captured links.
const LIMIT: usize = 256 << 20;

/// Whose links are captured, and what was captured. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    wanted: Arc<[String]>,
    taps: Arc<Mutex<Vec<Tap>>>,
}

impl Captures {
    /// Captures of sensors and subscribers (`meter-17`) and of whole groups (`meter`).
    ///
    /// # Errors
    /// The first name that no group with a link has.
    pub fn of(wanted: &[String], scenario: &Scenario) -> Result<Self, String> {
        let fleets = scenario.fleets.iter().map(|f| (f.name.as_str(), f.sensors, &f.device));
        let subscribers = scenario.subscribers.iter().map(|s| (s.name.as_str(), s.count, &s.device));
        let groups: Vec<(&str, u32, &DeviceSpec)> = fleets.chain(subscribers).collect();
        for name in wanted {
            let found = groups.iter().find(|(group, count, _)| {
                let index = name.strip_prefix(group).map(|rest| rest.strip_prefix('-').map(str::parse::<u32>));
                matches!(index, Some(Some(Ok(i))) if i < *count) || name == group
            });
            match found {
                None => {
                    return Err(format!("nobody here is called \"{name}\": name a fleet, or a sensor like fleet-0"));
                }
                Some((group, _, device)) if device.link.is_none() => {
                    return Err(format!("{group} has no link: only packets of links can be captured"));
                }
                Some(_) => {}
            }
        }
        Ok(Self { wanted: wanted.into(), taps: Arc::default() })
    }

    /// Taps the links of those that are wanted.
    pub(crate) fn attach(&self, planned: &mut RunPlan) {
        if self.wanted.is_empty() {
            return;
        }
        let promises = &planned.promises;
        let is_wanted = |name: &str, group: u16| {
            let group = &promises.groups[usize::from(group)].name;
            self.wanted.iter().any(|w| w == name || w == group)
        };
        let named = planned.clients.iter_mut().zip(&promises.clients).zip(0_u32..);
        let mut chosen: Vec<_> = named
            .filter_map(|((client, promise), number)| {
                let link = client.link.as_mut().filter(|_| is_wanted(&promise.name, promise.group))?;
                Some((link, &promise.name, number))
            })
            .collect();
        let limit = LIMIT / chosen.len().max(1);
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        for (link, name, number) in &mut chosen {
            let tap = Tap::new(name, *number, limit);
            link.tap = Some(tap.clone());
            taps.push(tap);
        }
    }

    /// Writes what was captured, if anything was wanted; `epoch` is the run's start in nanoseconds since 1970, 0 in virtual time.
    /// What there is to say of it, in a sentence.
    pub(crate) fn write(&self, file: &Path, epoch: u64) -> Option<String> {
        let taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        if taps.is_empty() {
            return None;
        }
        let result =
            std::fs::File::create(file).and_then(|f| write_pcapng(&taps, epoch, &mut std::io::BufWriter::new(f)));
        let missed: u64 = taps.iter().map(Tap::missed).sum();
        match result {
            Err(error) => Some(format!("{} could not be written: {error}", file.display())),
            Ok(()) if missed > 0 => Some(format!(
                "the packet capture is full: it ends {missed} packets before the run's end ({LIMIT} bytes)"
            )),
            Ok(()) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn a_full_capture_is_told() {
        let captures = Captures::default();
        let note = || captures.write(Path::new("/dev/null"), 0);
        let add = |limit| {
            let tap = Tap::new("s-0", 0, limit);
            tap.record(&[0x45; 60], Instant::ZERO);
            captures.taps.lock().expect("nobody panicked").push(tap);
        };
        assert_eq!(note(), None, "nothing was wanted");
        add(1000);
        assert_eq!(note(), None, "all is there");
        add(0);
        let told = note().expect("one is missing");
        assert!(told.contains("is full: it ends 1 packets before the run's end"), "{told}");
    }
}
