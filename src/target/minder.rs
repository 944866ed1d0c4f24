//! A process between squall and what it starts, so that nothing is left however squall ends.
//!
//! `squall mind` starts a program and adopts whatever that program leaves behind (it is a child subreaper), daemons
//! included. It tells squall on its standard output what became of the program, and its standard input is a pipe from squall: when
//! that closes (an orderly end, a panic, kill -9), it kills all there is below it and tidies up.

use super::resources;
use crate::netns::Namespace;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// The minder's own side: what it is told on its command line.
#[derive(Clone, Debug)]
pub struct Charge {
    /// A folder to remove if squall ends without saying goodbye.
    pub remove: Option<PathBuf>,
    /// A command to run then.
    pub finally: Vec<String>,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// Minds a program to its end, or until squall goes. The exit code says nothing.
pub fn mind(charge: &Charge) -> u8 {
    // SAFETY: prctl with these arguments touches nothing of ours.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    }
    let mut child = match start(charge) {
        Ok(child) => child,
        Err(error) => {
            say(&format!("failed {error}"));
            return 1;
        }
    };
    let main = child.id();
    say(&format!("started {main}"));
    let remove = charge.remove.clone();
    let finally = charge.finally.clone();
    std::thread::spawn(move || {
        let mut word = Vec::new();
        let _ = io::stdin().read_to_end(&mut word);
        kill_all();
        // A word means that squall itself sees to the rest.
        if word.is_empty() {
            finish(&finally);
            if let Some(folder) = remove {
                let _ = fs::remove_dir_all(folder);
            }
        }
        std::process::exit(0);
    });
    if let Ok(status) = child.wait() {
        say(&format!("ended {}", status.into_raw()));
    }
    // Adopted children are waited for too; when there are none, the thread above still waits for squall's goodbye.
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                say("alone");
                std::thread::park();
            }
        }
    }
}

/// Whether a process is a minder, by its command line.
#[must_use]
pub fn is_one(pid: u32) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // An emulator stands before it.
    words.split(|b| *b == 0).take(3).any(|word| word == b"mind")
}

fn start(charge: &Charge) -> io::Result<Child> {
    let (program, arguments) = charge.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let log = io::stderr().as_fd().try_clone_to_owned()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
    command.process_group(0);
    // SAFETY: prctl is async-signal-safe and touches nothing of ours.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command.spawn()
}

/// A line for squall; nobody may be listening any more.
fn say(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Kills everything below this process, until there is nothing: what is forked meanwhile is found at the next look.
fn kill_all() {
    for _ in 0..500 {
        let below = resources::below(std::process::id());
        if below.is_empty() {
            return;
        }
        for pid in below {
            // One that may not be killed is met again at the next look, until the looks are over.
            let _ = resources::signal(pid, libc::SIGKILL);
        }
        super::ready::pause(crate::time::Duration::from_millis(10));
    }
}

fn finish(finally: &[String]) {
    if let Some((program, arguments)) = finally.split_first() {
        let mut command = Command::new(program);
        let _ = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// What became of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// It runs.
    Running,
    /// It ended, and other processes that it started run on.
    Ended(ExitStatus),
    /// It ended, and nothing is left of it.
    Gone(Option<ExitStatus>),
}

/// Squall's side of a minder.
#[derive(Debug)]
pub struct Minder {
    process: Child,
    told: OwnedFd,
    unread: String,
    /// The program's process.
    pub main: u32,
    life: Life,
}

impl Minder {
    /// Starts a program under a minder; its output goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started; in words.
    pub fn start(
        charge: &Charge,
        environment: &[(String, String)],
        log: fs::File,
        namespace: Option<&Namespace>,
    ) -> Result<Self, String> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0("squall").arg("mind");
        if let Some(folder) = &charge.remove {
            command.arg("--remove").arg(folder);
        }
        for word in &charge.finally {
            command.arg(format!("--finally={word}"));
        }
        command.arg("--").args(&charge.command).envs(environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        if let Some(namespace) = namespace {
            namespace.confine(&mut command);
        }
        let mut process = command.spawn().map_err(|e| e.to_string())?;
        let mut told = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        let _ = told.read_line(&mut line);
        let unread = String::from_utf8_lossy(told.buffer()).into_owned();
        let main = line.trim().strip_prefix("started ").and_then(|pid| pid.parse().ok());
        let Some(main) = main else {
            let _ = process.wait();
            return Err(line.trim().strip_prefix("failed ").unwrap_or("its minder died").to_owned());
        };
        let told: ChildStdout = told.into_inner();
        let told = OwnedFd::from(told);
        let _ = rustix::io::ioctl_fionbio(&told, true);
        Ok(Self { process, told, unread, main, life: Life::Running })
    }

    /// The minder's own process, below which everything is.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What became of the program, as far as the minder has told.
    pub fn life(&mut self) -> Life {
        let mut buffer = [0; 256];
        while let Ok(n) = rustix::io::read(&self.told, &mut buffer) {
            if n == 0 {
                // The minder itself is gone, which nothing of ours did.
                self.life = Life::Gone(self.status());
                break;
            }
            self.unread.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
        while let Some((line, rest)) = self.unread.split_once('\n') {
            if let Some(status) = line.strip_prefix("ended ").and_then(|raw| raw.parse().ok()) {
                self.life = Life::Ended(ExitStatus::from_raw(status));
            } else if line == "alone" {
                self.life = Life::Gone(self.status());
            }
            self.unread = rest.to_owned();
        }
        self.life
    }

    fn status(&self) -> Option<ExitStatus> {
        match self.life {
            Life::Running => None,
            Life::Ended(status) => Some(status),
            Life::Gone(status) => status,
        }
    }

    /// Everything below the minder.
    #[must_use]
    pub fn below(&self) -> Vec<u32> {
        resources::below(self.pid())
    }

    /// Kills everything below, and waits until it is gone.
    pub fn end(mut self) {
        if let Some(mut pipe) = self.process.stdin.take() {
            let _ = pipe.write_all(b"goodbye");
        }
        let _ = self.process.wait();
    }
}
