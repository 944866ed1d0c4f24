//! The end of a command that is stopped in the middle of whatever it does.
//!
//! Squall becomes `squall end` (execve): one step, in which the kernel ends all its threads and closes all its pipes. Nothing goes on that
//! could print a verdict on a broker which is just being killed, and each minder sees its pipe close and ends its broker. What is left to
//! do needs nothing of the old program: its children are still children of this process.

use super::container::Runtime;
use super::{minder, ready, resources};
use crate::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What no minder takes away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Left {
    /// Folders, with all that is in them.
    pub folders: BTreeSet<PathBuf>,
    /// Containers by name: between a kill and the next start none is minded.
    pub containers: BTreeSet<String>,
}

static LEFT: Mutex<Left> = Mutex::new(Left { folders: BTreeSet::new(), containers: BTreeSet::new() });

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of this process's own, under the system's temporary folder, which goes with it: however it ends, short of a SIGKILL.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it; its name begins with `squall-` and what it is for.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(what: &str) -> Result<Self, super::TargetError> {
        let path = std::env::temp_dir().join(format!("squall-{what}-{}", std::process::id()));
        left().folders.insert(path.clone());
        let scratch = Self(path);
        match fs::create_dir_all(&scratch.0) {
            Ok(()) => Ok(scratch),
            Err(error) => {
                let message = format!("{} cannot be made: {error}", scratch.0.display());
                Err(super::TargetError::unavailable(message, "set TMPDIR to a folder that can be written"))
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        left().folders.remove(&self.0);
    }
}

pub(super) fn container_made(name: &str) {
    left().containers.insert(name.to_owned());
}

pub(super) fn container_gone(name: &str) {
    left().containers.remove(name);
}

/// Becomes `squall end`. Comes back only if that is not possible: why.
#[must_use]
pub fn become_end() -> std::io::Error {
    let left = left().clone();
    let mut command = Command::new("/proc/self/exe");
    command.arg0("squall").arg("end");
    for folder in &left.folders {
        command.arg("--folder").arg(folder);
    }
    for container in &left.containers {
        command.arg("--container").arg(container);
    }
    command.exec()
}

/// What `squall end` does: waits until the minders are done, ends other children and what they started, and takes away what is left.
pub fn end(left: &Left) {
    // Whoever loses its parent becomes a child of ours.
    // SAFETY: prctl with these arguments touches nothing of ours.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    }
    end_children();
    if !left.containers.is_empty()
        && let Ok(runtime) = Runtime::find()
    {
        left.containers.iter().filter_map(|c| runtime.remove(c).err()).for_each(|why| eprintln!("note: {why}"));
    }
    for folder in &left.folders {
        if let Err(error) = fs::remove_dir_all(folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!("note: {} could not be removed: {error}", folder.display());
        }
    }
}

/// Until this process has no children. A build or an installer may have work to undo: each is asked once, and not killed.
fn end_children() {
    let mut asked = BTreeSet::new();
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
            Err(rustix::io::Errno::CHILD) => return,
            Ok(Some(_)) => continue,
            _ => {}
        }
        let children = resources::children(std::process::id()).into_iter().filter(|pid| !minder::is_one(*pid));
        for pid in children.flat_map(resources::tree).filter(|pid| asked.insert(*pid)) {
            if let Err(error) = resources::signal(pid, libc::SIGTERM) {
                let name = resources::name(pid);
                eprintln!("note: {name} (process {pid}) cannot be stopped ({error}), and is waited for");
            }
        }
        ready::pause(Duration::from_millis(10));
    }
}
