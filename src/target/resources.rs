//! What a process tree uses, read from /proc. What cannot be read is unknown, never 0.

use crate::measure::summary::ResourceSample;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fs;
use std::io;

/// Fields of /proc/PID/stat after the name, from field 3 on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.rsplit_once(')')?.1;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn field(stat: &[String], number: usize) -> Option<u64> {
    stat.get(number - 3)?.parse().ok()
}

/// All processes by their parents.
fn families() -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    for pid in entries.filter_map(|e| e.file_name().to_string_lossy().parse::<u32>().ok()) {
        if let Some(parent) = stat(pid).and_then(|s| field(&s, 4)).and_then(|p| u32::try_from(p).ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// The children of a process.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    families().remove(&parent).unwrap_or_default()
}

/// A process and its descendants.
#[must_use]
pub fn tree(root: u32) -> Vec<u32> {
    let mut children = families();
    let mut all = vec![root];
    let mut next = 0;
    while next < all.len() {
        all.extend(children.remove(&all[next]).unwrap_or_default());
        next += 1;
    }
    all
}

/// The descendants of a process that run; those that have ended and wait for their parent do not count.
#[must_use]
pub fn below(root: u32) -> Vec<u32> {
    let mut all = tree(root);
    all.remove(0);
    all.retain(|pid| runs(*pid));
    all
}

/// Whether a process is there, and not just waiting for its parent to take note of its end.
#[must_use]
pub fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|s| s[0] != "Z")
}

/// A process's name.
#[must_use]
pub fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// Sends a signal to a process; one that is gone needs none.
///
/// # Errors
/// If it was not sent, as where this user may not.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let Ok(pid) = i32::try_from(pid) else { return Ok(()) };
    // SAFETY: kill takes numbers only.
    if unsafe { libc::kill(pid, signal) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}

/// A signal's name without SIG, of those that are sent to brokers; else its number.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGKILL => "KILL",
        libc::SIGSTOP => "STOP",
        libc::SIGCONT => "CONT",
        libc::SIGTERM => "TERM",
        libc::SIGINT => "INT",
        libc::SIGQUIT => "QUIT",
        libc::SIGHUP => "HUP",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// What these processes use now, with what their ended children used; none if there are none.
#[must_use]
pub fn sample(pids: &[u32], at: Instant) -> Option<ResourceSample> {
    let mut sample =
        ResourceSample { at, cpu: Duration::ZERO, rss: 0, descriptors: Some(0), threads: 0, written: Some(0) };
    let mut seen = false;
    for &pid in pids {
        let Some(stat) = stat(pid) else { continue };
        seen = true;
        let ticks: u64 = (14..=17).filter_map(|n| field(&stat, n)).sum();
        sample.cpu += Duration::from_millis(ticks * 1000 / ticks_per_second());
        sample.rss += field(&stat, 24)? * page_size();
        sample.threads += u32::try_from(field(&stat, 20)?).ok()?;
        sample.descriptors = sample.descriptors.zip(descriptors(pid)).map(|(a, b)| a + b);
        sample.written = sample.written.zip(written(pid)).map(|(a, b)| a + b);
    }
    seen.then_some(sample)
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

/// Who listens on a port here (where the calling thread is): the processes whose descriptors may be seen; none if nobody listens.
#[must_use]
pub fn listeners(port: u16) -> Option<Vec<u32>> {
    let inodes = listening(port);
    if inodes.is_empty() {
        return None;
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|e| e.file_name().to_string_lossy().parse::<u32>().ok());
    Some(pids.filter(|pid| holds(*pid, &inodes) == Some(true)).collect())
}

/// Who holds a port, in words.
#[must_use]
pub fn holder(port: u16) -> String {
    match listeners(port) {
        None => "nobody listens there now".into(),
        Some(pids) if pids.is_empty() => "held by a process of another user".into(),
        Some(pids) => {
            let names: Vec<String> = pids.iter().map(|p| format!("{} (process {p})", name(*p))).collect();
            format!("held by {}", names.join(", "))
        }
    }
}

/// Whether the socket that listens on a port belongs to one of these processes; none if that cannot be seen.
#[must_use]
pub fn listener_is_of(pids: &[u32], port: u16) -> Option<bool> {
    let inodes = listening(port);
    if inodes.is_empty() {
        return None;
    }
    let seen: Vec<bool> = pids.iter().filter_map(|pid| holds(*pid, &inodes)).collect();
    (!seen.is_empty()).then(|| seen.contains(&true))
}

/// The sockets that listen on a port, as /proc/PID/fd names them.
fn listening(port: u16) -> Vec<String> {
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
    inodes
}

/// Whether a process has one of these sockets; none if that cannot be seen.
fn holds(pid: u32, inodes: &[String]) -> Option<bool> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut links = entries.filter_map(Result::ok).filter_map(|e| fs::read_link(e.path()).ok());
    Some(links.any(|l| inodes.iter().any(|i| l.as_os_str() == i.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_is_gone_needs_no_signal() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("it starts");
        assert!(signal(child.id(), libc::SIGKILL).is_ok());
        child.wait().expect("it ends");
        assert!(signal(child.id(), libc::SIGKILL).is_ok());
    }
}
