//! A network namespace without a name: it is gone when nobody holds it any more.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A network namespace. Dropping it ends every process that is still in it.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
    /// Device and inode: who is in it.
    identity: (u64, u64),
}

impl Namespace {
    /// Makes one: a short-lived thread leaves ours, and the descriptor alone keeps the new one alive.
    ///
    /// # Errors
    /// Without the right to (CAP_SYS_ADMIN).
    pub fn create() -> io::Result<Self> {
        let made = std::thread::spawn(|| {
            // SAFETY: unshare takes a number, and concerns this thread alone.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.join().map_err(|_| io::Error::other("the thread that makes a namespace panicked"))??;
        let of = file.metadata()?;
        Ok(Self { identity: (of.dev(), of.ino()), fd: file.into() })
    }

    /// Puts the calling thread into it: sockets that it opens from now on belong there.
    ///
    /// # Errors
    /// Without the right to.
    pub fn enter(&self) -> io::Result<()> {
        enter(self.fd.as_raw_fd())
    }

    /// Runs `f` on a thread inside.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| f()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Makes a program that is about to be started run inside.
    pub fn confine(&self, command: &mut Command) {
        let fd = self.fd.as_raw_fd();
        // SAFETY: setns is async-signal-safe; the descriptor is open in the child until it executes.
        unsafe {
            command.pre_exec(move || enter(fd));
        }
    }

    /// TCP segments that its kernel has sent again (`RetransSegs`); none if it does not tell.
    #[must_use]
    pub fn retransmitted(&self) -> Option<u64> {
        let text = self.run(|| fs::read_to_string("/proc/thread-self/net/snmp")).ok()?.ok()?;
        let mut lines = text.lines().filter_map(|l| l.strip_prefix("Tcp: ").map(str::split_whitespace));
        let (mut names, mut values) = (lines.next()?, lines.next()?);
        let place = names.position(|n| n == "RetransSegs")?;
        values.nth(place)?.parse().ok()
    }

    /// Packets that its TUN devices could not queue, and lost without a word; none if it does not tell.
    #[must_use]
    pub fn dropped(&self) -> Option<u64> {
        let text = self.run(|| fs::read_to_string("/proc/thread-self/net/dev")).ok()?.ok()?;
        let lines = text.lines().filter_map(|l| l.split_once(':')).filter(|(name, _)| name.trim() != "lo");
        // Sent by the kernel, read by us: bytes, packets, errors, drops stand after eight fields of the other direction.
        Some(lines.filter_map(|(_, fields)| fields.split_whitespace().nth(11)?.parse::<u64>().ok()).sum())
    }

    /// The processes that are in it.
    fn members(&self) -> Vec<i32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let all = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let inside =
            |pid: &i32| fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|m| (m.dev(), m.ino()) == self.identity);
        all.filter(inside).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for pid in self.members() {
            // SAFETY: kill takes numbers; the process was just seen in a namespace that only we have made.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
            }
        }
    }
}

fn enter(fd: i32) -> io::Result<()> {
    // SAFETY: setns takes numbers, and concerns this thread alone.
    check(unsafe { libc::setns(fd, libc::CLONE_NEWNET) }).map(|_| ())
}

/// A system call's result.
pub(super) fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
