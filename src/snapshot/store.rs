//! The directory of snapshots: written whole or not at all, the newest sound one found again.
//!
//! Invariants: a file with a snapshot's name was written and synced before it got that name, so
//! whatever stops a write leaves the snapshots of before, or those and the new one; a name is synced
//! before a write is done, and before an older snapshot is removed; a snapshot that is not sound is
//! never used, and never counted as one that is kept.

use super::{Head, Snapshot, Unsound};
use crate::genesis::GenesisItem;
use crate::journal::format::{JournalId, Tip};
use crate::journal::quarantine::SetAside;
use crate::journal::reader::{BatchPlace, ReadError, Reader};
use crate::journal::segment::LogDir;
use crate::journal::view::Verify;
use crate::sys::random::{Random, SystemRandom};
use crate::sys::storage::{Append, Storage};
use crate::types::Sequence;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Bytes written before they are waited for, so that a journal's sync never queues behind more.
const CHUNK_BYTES: usize = 4 << 20;
/// Digits of a sequence in a name.
const DIGITS: usize = 20;

/// A file or directory cannot be used as it must be.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct StoreError {
    /// What was tried.
    pub action: &'static str,
    /// With what.
    pub path: PathBuf,
    /// What the operating system says.
    pub source: io::Error,
}

/// Why a snapshot was passed over.
#[derive(Debug, Error)]
pub enum Fault {
    /// It is not as it was written, or not of this release.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// Its name tells another sequence.
    #[error("it is of sequence {0}, as its name is not")]
    Name(Sequence),
    /// It is of another journal.
    #[error("it is of journal {0}")]
    Foreign(JournalId),
    /// The journal sets a command aside that it holds as applied.
    #[error("it holds command {0} as applied, which was set aside later")]
    SetAside(Sequence),
    /// The journal does not go on from it, or cannot be read there.
    #[error("the journal does not go on from it: {0}")]
    Journal(ReadError),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A snapshot that was passed over.
#[derive(Debug, Error)]
#[error("snapshot {} cannot be used: {fault}", path.display())]
pub struct Skipped {
    /// Its file.
    pub path: PathBuf,
    /// The sequence in its name.
    pub sequence: Sequence,
    /// Why.
    pub fault: Fault,
}

/// What [`Store::load`] found.
pub struct Found {
    /// The newest sound snapshot, with its file and that file's bytes.
    pub snapshot: Option<(Snapshot, PathBuf, u64)>,
    /// Newer ones that are not.
    pub skipped: Vec<Skipped>,
}

/// What [`Store::oldest`] found.
#[derive(Clone, Copy, Debug)]
pub struct Oldest {
    /// Its header.
    pub head: Head,
    /// The oldest message that its duplicate window knows.
    pub oldest_known: Option<Sequence>,
}

/// The snapshots of a data directory.
#[derive(Clone)]
pub struct Store {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
}

impl Store {
    /// The snapshots below a data directory.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, data_dir: &Path) -> Store {
        Store { storage, dir: data_dir.join("snapshots") }
    }

    /// Their directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of the snapshot at a sequence.
    #[must_use]
    pub fn path(&self, sequence: Sequence) -> PathBuf {
        self.dir.join(format!("{:0width$}.snap", sequence.0, width = DIGITS))
    }

    /// Every snapshot's sequence and file, oldest first; sound or not. Files with other names are
    /// not ours.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list(&self) -> Result<Vec<(Sequence, PathBuf)>, StoreError> {
        let paths = self.storage.list(&self.dir).map_err(|e| failed("list", &self.dir, e))?;
        let mut found: Vec<_> =
            paths.into_iter().filter_map(|path| Some((sequence_of(&path)?, path))).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Reads a snapshot's header and checks all checksums of its file.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn check(&self, sequence: Sequence, path: &Path) -> Result<Head, Fault> {
        let map = self.map(path)?;
        named(sequence, Head::check(map.bytes())?)
    }

    /// Reads a snapshot's header alone.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn head(&self, sequence: Sequence, path: &Path) -> Result<Head, Fault> {
        let map = self.map(path)?;
        named(sequence, Head::read(map.bytes())?)
    }

    /// Loads a snapshot.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read(&self, sequence: Sequence, path: &Path) -> Result<(Snapshot, u64), Fault> {
        let map = self.map(path)?;
        named(sequence, Head::read(map.bytes())?)?;
        Ok((Snapshot::decode(map.bytes())?, map.bytes().len() as u64))
    }

    fn map(&self, path: &Path) -> io::Result<Box<dyn crate::sys::storage::Mapping>> {
        let file = self.storage.open(path, Append::Write)?;
        file.map(file.len()?)
    }

    /// Bytes of the newest snapshot at or before `limit`, sound or not; 0 where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_size(&self, limit: Sequence) -> Result<u64, StoreError> {
        let all = self.list()?;
        let newest = all.iter().rev().find(|(sequence, _)| *sequence <= limit);
        Ok(newest.map_or(0, |(_, path)| {
            let file = self.storage.open(path, Append::Write);
            file.and_then(|file| file.len()).unwrap_or(0)
        }))
    }

    /// The last record that a snapshot of this journal ends with, by their headers; 0 where there is
    /// none. It was durable when that was written.
    ///
    /// # Errors
    /// [`StoreError`] where the directory cannot be listed.
    pub fn reached(&self, id: JournalId) -> Result<Sequence, StoreError> {
        let heads = self.list()?.into_iter().rev();
        let mut heads = heads.filter_map(|(sequence, path)| self.head(sequence, &path).ok());
        Ok(heads.find(|head| head.id == id).map_or(Sequence::NONE, |head| head.sequence))
    }

    /// The oldest snapshot of a journal that is sound, and from which the journal goes on: what its
    /// header says, and the oldest message that its duplicate window knows. All checksums of its file
    /// are checked, its values are not.
    ///
    /// # Errors
    /// [`StoreError`] where the directory cannot be listed.
    pub fn oldest(&self, journal: &LogDir, id: JournalId) -> Result<Option<Oldest>, StoreError> {
        for (sequence, path) in self.list()? {
            let found = self.map(&path).map_err(Fault::from).and_then(|map| {
                let head = named(sequence, Head::check(map.bytes())?)?;
                if head.id != id {
                    return Err(Fault::Foreign(head.id));
                }
                goes_on(journal, &head)?;
                Ok(Oldest { oldest_known: super::oldest_known(map.bytes())?, head })
            });
            if let Ok(found) = found {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The items of genesis, from the newest sound snapshot; none where there is none.
    ///
    /// # Errors
    /// [`StoreError`] where the directory cannot be listed.
    pub fn genesis(&self) -> Result<Option<Vec<GenesisItem>>, StoreError> {
        let all = self.list()?;
        let newest = all.iter().rev();
        Ok(newest.filter_map(|(_, path)| super::genesis(self.map(path).ok()?.bytes()).ok()).next())
    }

    /// Loads the newest sound snapshot at or before `limit` from which a journal goes on, with what the
    /// journal sets aside behind it, and tells of newer ones that are of no use.
    ///
    /// # Errors
    /// [`StoreError`] where the directory cannot be listed: what is wrong with a file is told in
    /// [`Found::skipped`].
    pub fn load(
        &self,
        journal: &LogDir,
        id: JournalId,
        limit: Sequence,
    ) -> Result<Found, StoreError> {
        let mut skipped = Vec::new();
        for (sequence, path) in self.list()?.into_iter().rev() {
            if sequence > limit {
                continue;
            }
            let read = self.read(sequence, &path).and_then(|(mut snapshot, bytes)| {
                belongs(&snapshot, journal, id)?;
                set_aside(&mut snapshot, journal)?;
                Ok((snapshot, bytes))
            });
            match read {
                Ok((snapshot, bytes)) => {
                    return Ok(Found { snapshot: Some((snapshot, path, bytes)), skipped });
                }
                // It was too old to be kept, and was removed meanwhile.
                Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(fault) => skipped.push(Skipped { path, sequence, fault }),
            }
        }
        Ok(Found { snapshot: None, skipped })
    }

    /// Writes a snapshot's bytes under the name of its sequence; it is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; the snapshots of before are as they were. A failed sync is not tried again.
    pub fn write(&self, sequence: Sequence, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        self.storage.create_dir(&self.dir).map_err(|e| failed("create", &self.dir, e))?;
        let path = self.path(sequence);
        // Another process may be folding too, and come to the same sequence.
        let mut own = [0; 8];
        SystemRandom.fill(&mut own);
        let own = u64::from_le_bytes(own);
        let temporary = self.dir.join(format!("{:0w$}.{own:016x}.tmp", sequence.0, w = DIGITS));
        let written = self.write_new(&temporary, bytes).and_then(|()| {
            self.storage.rename(&temporary, &path).map_err(|e| failed("rename", &temporary, e))
        });
        if let Err(error) = written {
            // What cannot be removed is left over for `clean`; the first error is the one that counts.
            let _ = self.storage.remove(&temporary);
            return Err(error);
        }
        self.sync_dir()?;
        Ok(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let file =
            self.storage.create(path, Append::Write).map_err(|e| failed("create", path, e))?;
        file.reserve(0, bytes.len() as u64).map_err(|e| failed("reserve space for", path, e))?;
        let mut at = 0;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            file.write_at(chunk, at).map_err(|e| failed("write", path, e))?;
            file.write_back(at, chunk.len() as u64).map_err(|e| failed("write", path, e))?;
            at += chunk.len() as u64;
        }
        file.sync_data().map_err(|e| failed("sync", path, e))
    }

    /// The oldest one of the newest `keep`, where there are older ones than that; those in `unsound`
    /// are not counted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn oldest_of(
        &self,
        keep: usize,
        unsound: &[PathBuf],
    ) -> Result<Option<(Sequence, PathBuf)>, StoreError> {
        let all = self.list()?;
        let sound = all.iter().rev().filter(|(_, path)| unsound.iter().all(|other| other != path));
        let oldest = sound.take(keep.max(1)).last();
        Ok(oldest.filter(|(oldest, _)| all.iter().any(|(at, _)| at < oldest)).cloned())
    }

    /// Removes snapshots older than this one, sound or not. How many were removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prune_before(&self, oldest: Sequence) -> Result<usize, StoreError> {
        let mut removed = 0;
        for (_, path) in self.list()?.iter().filter(|(sequence, _)| *sequence < oldest) {
            removed += usize::from(self.remove(path)?);
        }
        if removed > 0 {
            self.sync_dir()?;
        }
        Ok(removed)
    }

    /// Removes what writes that were stopped have left over. Only for the process that holds the data
    /// directory's lock: beside it a write of another process would fail.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clean(&self) -> Result<usize, StoreError> {
        let paths = self.storage.list(&self.dir).map_err(|e| failed("list", &self.dir, e))?;
        let mut removed = 0;
        for path in paths.iter().filter(|path| is_temporary(path)) {
            removed += usize::from(self.remove(path)?);
        }
        if removed > 0 {
            self.sync_dir()?;
        }
        Ok(removed)
    }

    /// Removes a file; false where it is gone already.
    fn remove(&self, path: &Path) -> Result<bool, StoreError> {
        match self.storage.remove(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", path, error)),
        }
    }

    fn sync_dir(&self) -> Result<(), StoreError> {
        self.storage.sync_dir(&self.dir).map_err(|e| failed("sync", &self.dir, e))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError { action, path: path.to_owned(), source }
}

fn named(sequence: Sequence, head: Head) -> Result<Head, Fault> {
    if head.sequence == sequence { Ok(head) } else { Err(Fault::Name(head.sequence)) }
}

/// Whether a journal holds the batch that a snapshot ends with, or goes on from it.
fn belongs(snapshot: &Snapshot, journal: &LogDir, id: JournalId) -> Result<(), Fault> {
    if snapshot.id != id {
        return Err(Fault::Foreign(snapshot.id));
    }
    let (tip, place) = (snapshot.journal, snapshot.place);
    behind(journal, tip, place)
}

/// The same for what a snapshot's header says.
fn goes_on(journal: &LogDir, head: &Head) -> Result<(), Fault> {
    let Head { sequence, time, epoch, chain_hash: hash, place, .. } = *head;
    behind(journal, Tip { sequence, time, epoch, hash }, place)
}

/// Whether a log holds the batch that has reached `tip`, or goes on from it; by headers alone.
#[must_use]
pub fn holds(log: &LogDir, tip: Tip) -> bool {
    behind(log, tip, BatchPlace::default()).is_ok()
}

fn behind(journal: &LogDir, tip: Tip, place: BatchPlace) -> Result<(), Fault> {
    Reader::behind(journal.clone(), tip, place, Verify::Structure).start().map_err(Fault::Journal)
}

/// Lets a snapshot know what its journal sets aside behind it.
fn set_aside(snapshot: &mut Snapshot, journal: &LogDir) -> Result<(), Fault> {
    // Its own place is a hint that nobody has checked.
    let segment = journal.segment_of(snapshot.sequence())?;
    let aside = SetAside::find(journal, segment, Sequence(u64::MAX))?;
    if let Some(target) = aside.behind(snapshot.sequence()) {
        return Err(Fault::SetAside(target));
    }
    snapshot.state.set_aside = aside;
    Ok(())
}

/// The sequence in a snapshot's name.
fn sequence_of(path: &Path) -> Option<Sequence> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".snap")?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(Sequence))?
}

/// True for the name of a file that is being written.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.split('.');
    let (sequence, own, end) = (parts.next(), parts.next(), parts.next());
    sequence.is_some_and(|digits| digits.len() == DIGITS)
        && own.is_some_and(|digits| digits.len() == 16)
        && end == Some("tmp")
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_snapshots_or_left_over() {
        let sequence = |name: &str| sequence_of(Path::new(name)).map(|sequence| sequence.0);
        assert_eq!(sequence("a/00000000000000000012.snap"), Some(12));
        for name in ["a/12.snap", "a/99999999999999999999.snap", "a/00000000000000000012.tmp"] {
            assert_eq!(sequence(name), None, "{name}");
        }
        assert!(is_temporary(Path::new("a/00000000000000000012.0123456789abcdef.tmp")));
        for name in ["a/x.tmp", "a/00000000000000000012.snap", "a/my.notes.tmp"] {
            assert!(!is_temporary(Path::new(name)), "{name}");
        }
    }
}
