//! What the faults of a scenario come to: deeds at times, the same in real and in virtual time.

use crate::scenario::model::{CPU_PERIOD, Fault, FaultAction};
use crate::scenario::units::show;
use crate::time::{Duration, Instant};

/// One thing done to the broker's process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Deed {
    Kill,
    Stop,
    Start,
    Pause(Duration),
    Resume,
    /// A CPU limit begins; [`Deed::Hold`] and [`Deed::Resume`] carry it out.
    SlowCpu {
        lasts: Duration,
        runs: Duration,
    },
    /// Stopped for the rest of a period of a CPU limit.
    Hold,
    SlowDisk {
        lasts: Duration,
        write: Duration,
    },
    DiskIsWell,
}

/// What is to be done to the broker, by time.
pub(crate) fn deeds(faults: &[Fault]) -> Vec<(Instant, Deed)> {
    let mut all = Vec::new();
    for Fault { at, action } in faults {
        match *action {
            FaultAction::Kill { back_after } => {
                all.push((*at, Deed::Kill));
                all.extend(back_after.map(|t| (*at + t, Deed::Start)));
            }
            FaultAction::Restart { back_after } => all.extend([(*at, Deed::Stop), (*at + back_after, Deed::Start)]),
            FaultAction::Pause { lasts } => all.extend([(*at, Deed::Pause(lasts)), (*at + lasts, Deed::Resume)]),
            FaultAction::SlowCpu { lasts, runs } => {
                all.push((*at, Deed::SlowCpu { lasts, runs }));
                all.extend(held(*at, lasts, runs));
            }
            // Each client's own affair.
            FaultAction::DropConnections { .. } => {}
            FaultAction::SlowDisk { lasts, write } => {
                all.extend([(*at, Deed::SlowDisk { lasts, write }), (*at + lasts, Deed::DiskIsWell)]);
            }
        }
    }
    all.sort();
    all
}

/// A CPU limit, carried out: stopped after `runs` of each period, and going on at the next.
fn held(at: Instant, lasts: Duration, runs: Duration) -> impl Iterator<Item = (Instant, Deed)> {
    let end = at + lasts;
    std::iter::successors(Some(at), |from| Some(*from + CPU_PERIOD))
        .take_while(move |from| *from + runs < end)
        .flat_map(move |from| [(from + runs, Deed::Hold), ((from + CPU_PERIOD).min(end), Deed::Resume)])
}

/// What a fault's mark says of a CPU limit on processes.
pub(crate) fn stopped_in_turns(runs: Duration) -> String {
    let (rest, period) = (show(CPU_PERIOD.saturating_sub(runs)), show(CPU_PERIOD));
    format!("CPU limit: the broker's processes are stopped for {rest} of each {period} (SIGSTOP, SIGCONT)")
}

/// The same in virtual time, where there is no process.
pub(crate) fn idle_in_turns(runs: Duration) -> String {
    let (rest, period) = (show(CPU_PERIOD.saturating_sub(runs)), show(CPU_PERIOD));
    format!("CPU limit: the broker handles nothing for {rest} of each {period}")
}
