//! The broker's records in an embedded store (redb), so that they outlive the process.

use super::journal::{Changes, Records};
use crate::time::{Duration, Instant};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::io;
use std::path::Path;
use std::str::FromStr;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// Bytes of the store's own cache: it is written, and read at the start only.
const CACHE: usize = 16 << 20;

/// When changes are on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// Before anybody is told.
    Always,
    /// This long after the first of them at most; what was acknowledged within it can be lost.
    Every(Duration),
}

impl FromStr for Sync {
    type Err = String;

    /// Parses `always` or a number of milliseconds.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "always" {
            return Ok(Self::Always);
        }
        let millis = text.strip_suffix("ms").unwrap_or(text).trim_end().parse().ok().filter(|n| *n > 0);
        millis
            .map(|n| Self::Every(Duration::from_millis(n)))
            .ok_or_else(|| "write \"always\", or \"100 ms\"".to_owned())
    }
}

/// An open store.
pub(super) struct Disk {
    database: Database,
    sync: Sync,
    waiting: Changes,
    due: Option<Instant>,
}

impl Disk {
    /// Opens or makes the store in a folder, and reads its records.
    pub fn open(folder: &Path, sync: Sync) -> io::Result<(Self, Records)> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("broker.redb");
        let place = |e: redb::Error| io::Error::other(format!("{}: {e}", file.display()));
        let database = Database::builder().set_cache_size(CACHE).create(&file).map_err(|e| place(e.into()))?;
        let disk = Self { database, sync, waiting: Changes::new(), due: None };
        let records = disk.read().map_err(place)?;
        Ok((disk, records))
    }

    fn read(&self) -> Result<Records, redb::Error> {
        let write = self.database.begin_write()?;
        write.open_table(RECORDS)?;
        write.commit()?;
        let table = self.database.begin_read()?.open_table(RECORDS)?;
        let mut records = Records::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            records.insert(key.value().to_vec(), value.value().to_vec());
        }
        Ok(records)
    }

    /// Takes changes, and stores them as it has been promised.
    pub fn store(&mut self, changes: Changes, now: Instant) -> io::Result<()> {
        self.waiting.extend(changes);
        match self.sync {
            Sync::Always => self.flush(),
            Sync::Every(time) => {
                self.due.get_or_insert(now + time);
                Ok(())
            }
        }
    }

    /// When [`Self::flush`] must be called.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes what waits, and returns when it is on the disk.
    pub fn flush(&mut self) -> io::Result<()> {
        self.due = None;
        let changes = std::mem::take(&mut self.waiting);
        if changes.is_empty() {
            return Ok(());
        }
        self.write(&changes).map_err(|e| io::Error::other(format!("the store cannot be written: {e}")))
    }

    fn write(&self, changes: &Changes) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(RECORDS)?;
            for (key, value) in changes {
                match value {
                    Some(value) => table.insert(&**key, &**value)?,
                    None => table.remove(&**key)?,
                };
            }
        }
        write.commit()?;
        Ok(())
    }
}
