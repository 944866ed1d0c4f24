//! What a process tree uses, read from /proc. What cannot be read is unknown, never 0.

use crate::measure::summary::ResourceSample;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fs;

/// Fields of /proc/PID/stat after the name, from field 3 on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.rsplit_once(')')?.1;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn field(stat: &[String], number: usize) -> Option<u64> {
    stat.get(number - 3)?.parse().ok()
}

/// A process and its descendants.
#[must_use]
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    for pid in entries.filter_map(|e| e.file_name().to_string_lossy().parse::<u32>().ok()) {
        if let Some(parent) = stat(pid).and_then(|s| field(&s, 4)).and_then(|p| u32::try_from(p).ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![root];
    let mut next = 0;
    while next < all.len() {
        all.extend(children.remove(&all[next]).unwrap_or_default());
        next += 1;
    }
    all
}

/// The process group of a process.
#[must_use]
pub fn group_of(pid: u32) -> Option<u32> {
    u32::try_from(field(&stat(pid)?, 5)?).ok()
}

/// What a process tree uses now; none if the root is not there.
#[must_use]
pub fn sample(root: u32, at: Instant) -> Option<ResourceSample> {
    stat(root)?;
    let mut sample =
        ResourceSample { at, cpu: Duration::ZERO, rss: 0, descriptors: Some(0), threads: 0, written: Some(0) };
    for pid in tree(root) {
        let Some(stat) = stat(pid) else { continue };
        let ticks = field(&stat, 14)? + field(&stat, 15)?;
        sample.cpu += Duration::from_millis(ticks * 1000 / ticks_per_second());
        sample.rss += field(&stat, 24)? * page_size();
        sample.threads += u32::try_from(field(&stat, 20)?).ok()?;
        sample.descriptors = sample.descriptors.zip(descriptors(pid)).map(|(a, b)| a + b);
        sample.written = sample.written.zip(written(pid)).map(|(a, b)| a + b);
    }
    Some(sample)
}

fn descriptors(pid: u32) -> Option<u32> {
    u32::try_from(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()).ok()
}

fn written(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|l| l.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// CPU time of this process, all threads.
#[must_use]
pub fn own_cpu() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Whether the socket that listens on a port here (where the calling thread is) belongs to a process tree; none if that cannot be
/// seen.
#[must_use]
pub fn listener_is_of(root: u32, port: u16) -> Option<bool> {
    let wanted = format!(":{port:04X}");
    let mut inodes = Vec::new();
    for table in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.len() > 9 && fields[1].ends_with(&wanted) && fields[3] == "0A" {
                inodes.push(format!("socket:[{}]", fields[9]));
            }
        }
    }
    if inodes.is_empty() {
        return None;
    }
    let mut seen_any = false;
    for pid in tree(root) {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        seen_any = true;
        let links = entries.filter_map(Result::ok).filter_map(|e| fs::read_link(e.path()).ok());
        if links.into_iter().any(|l| inodes.iter().any(|i| l.as_os_str() == i.as_str())) {
            return Some(true);
        }
    }
    seen_any.then_some(false)
}
