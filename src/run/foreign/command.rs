//! Any program as a client: started with the address of its link, stopped at the end.

use crate::foreign::ledger::Ledger;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// What a program is told: as arguments, in which `{host}`, `{port}`, `{client_id}`, `{sensor}` and `{fleet}` are filled in, and in
/// its environment (`SQUALL_HOST`, `SQUALL_PORT`, `SQUALL_CLIENT_ID`, `SQUALL_SENSOR`, `SQUALL_FLEET`).
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub words: Vec<String>,
    pub fleet: String,
    pub sensor: u32,
    pub client_id: String,
    pub addr: SocketAddr,
}

impl Wish {
    /// Whom it is for.
    pub fn name(&self) -> String {
        format!("{}-{}", self.fleet, self.sensor)
    }
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    child: Option<Child>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Program {
    /// Starts it; what it prints goes to `NAME.log` in `folder`, if there is one.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(wish: &Wish, folder: Option<&Path>, ledger: Arc<Mutex<Ledger>>) -> std::io::Result<Self> {
        let (host, port) = (wish.addr.ip().to_string(), wish.addr.port().to_string());
        let sensor = wish.sensor.to_string();
        let values = [
            ("host", host.as_str()),
            ("port", &port),
            ("client_id", &wish.client_id),
            ("sensor", &sensor),
            ("fleet", &wish.fleet),
        ];
        let fill = |word: &String| {
            values.iter().fold(word.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
        };
        let words: Vec<String> = wish.words.iter().map(fill).collect();
        let (program, arguments) = words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        for (name, value) in values {
            command.env(format!("SQUALL_{}", name.to_uppercase()), value);
        }
        let log = folder.map(|f| File::create(f.join(format!("{}.log", wish.name())))).transpose()?;
        match log {
            Some(log) => command.stderr(log.try_clone()?).stdout(log),
            None => command.stdout(Stdio::null()).stderr(Stdio::null()),
        };
        let child = command.spawn()?;
        Ok(Self { name: wish.name(), child: Some(child), ledger })
    }

    /// Notices that it ended by itself.
    pub fn look(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Ok(Some(status)) = child.try_wait() {
            let note = format!("{}: its program ended before the run did, with {status}", self.name);
            self.ledger.lock().expect("nobody panics while holding it").notes.push(note);
            self.child = None;
        }
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        if let Some(child) = &self.child
            && let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap_or(0))
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    /// True if it is gone.
    pub fn is_gone(&mut self) -> bool {
        self.child.as_mut().is_none_or(|c| !matches!(c.try_wait(), Ok(None)))
    }
}

impl Drop for Program {
    /// Whoever does not go is killed.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
