//! What tells a log whose oldest segments were retired from one that has lost them.
//!
//! The file lies beside the segments and is written, synced and renamed before the first of them is
//! removed. Segments below the one that it names are no longer a part of the log, whether their
//! files are gone yet or not; the oldest one left must chain from the hash that it names.

use crate::journal::format::{Hash, JournalId, LogKind};
use crate::journal::verify::hex;
use crate::sys::storage::{Append, Storage};
use crate::types::Sequence;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// Its name, in the directory of the log.
pub const NAME: &str = "retired.json";
const SCRATCH: &str = "retired.tmp";
/// Version of what stands in it.
const VERSION: u32 = 1;
/// It is no longer than this.
const MAX_BYTES: usize = 1024;

/// Where a log begins whose older segments were retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// The journal.
    pub id: JournalId,
    /// The oldest segment that is kept.
    pub segment: u64,
    /// The sequence that it begins with.
    pub sequence: Sequence,
    /// Hash of the batch before.
    pub hash: Hash,
}

/// The same as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    log: String,
    journal_id: String,
    segment: u64,
    sequence: u64,
    previous_hash: String,
}

/// Reads the marker of the log in `dir`; `None` where nothing of it was retired.
///
/// # Errors
/// As the storage tells, and [`io::ErrorKind::InvalidData`] where it is not as it was written: nobody
/// can say then where the log begins.
pub fn read(storage: &dyn Storage, dir: &Path, kind: LogKind) -> io::Result<Option<Retired>> {
    let path = dir.join(NAME);
    let file = match storage.open(&path, Append::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = [0; MAX_BYTES];
    let length = file.read_at(&mut bytes, 0)?;
    parse(&bytes[..length], kind).map(Some).ok_or_else(|| {
        let path = path.display();
        let text = format!("{path} does not say where the log begins; take it from a copy");
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

fn parse(bytes: &[u8], kind: LogKind) -> Option<Retired> {
    let text: Text = serde_json::from_slice(bytes).ok()?;
    let known = text.version == VERSION && text.log == kind.as_str();
    let possible = text.segment > 0 && text.sequence > 1;
    (known && possible).then_some(Retired {
        id: JournalId(unhex(&text.journal_id)?),
        segment: text.segment,
        sequence: Sequence(text.sequence),
        hash: unhex(&text.previous_hash)?,
    })
}

/// Writes the marker, whole or not at all; it is durable when this returns.
///
/// # Errors
/// As the storage tells.
pub(super) fn write(
    storage: &dyn Storage,
    dir: &Path,
    kind: LogKind,
    retired: &Retired,
) -> io::Result<()> {
    let text = Text {
        version: VERSION,
        log: kind.as_str().to_owned(),
        journal_id: retired.id.to_string(),
        segment: retired.segment,
        sequence: retired.sequence.0,
        previous_hash: hex(&retired.hash),
    };
    let mut bytes = serde_json::to_vec(&text)?;
    bytes.push(b'\n');
    replace(storage, dir, NAME, SCRATCH, &bytes)
}

/// Puts a small file in its place: written and synced under another name first, renamed, and the
/// directory synced.
pub(super) fn replace(
    storage: &dyn Storage,
    dir: &Path,
    name: &str,
    scratch: &str,
    bytes: &[u8],
) -> io::Result<()> {
    let scratch = dir.join(scratch);
    remove(storage, &scratch)?;
    let file = storage.create(&scratch, Append::Write)?;
    file.allocate(0, bytes.len() as u64)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    storage.rename(&scratch, &dir.join(name))?;
    storage.sync_dir(dir)
}

/// Removes a file; false where it was not there.
pub(super) fn remove(storage: &dyn Storage, path: &Path) -> io::Result<bool> {
    match storage.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Bytes from twice as many hex digits.
fn unhex<const SIZE: usize>(text: &str) -> Option<[u8; SIZE]> {
    let digits = text.as_bytes();
    let plain = digits.len() == 2 * SIZE && digits.iter().all(u8::is_ascii_hexdigit);
    let mut bytes = [0; SIZE];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2).filter(|_| plain)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_whole_is_a_marker() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let storage = crate::sys::disk::Disk;
        let read = |kind| read(&storage, dir.path(), kind);
        assert_eq!(read(LogKind::Commands).expect("there is none"), None);
        let retired = Retired {
            id: JournalId([7; 16]),
            segment: 3,
            sequence: Sequence(4711),
            hash: [0xAB; 32],
        };
        write(&storage, dir.path(), LogKind::Commands, &retired).expect("the disk works");
        assert_eq!(read(LogKind::Commands).expect("it is whole"), Some(retired));
        assert!(read(LogKind::Events).is_err(), "it is of another log");
        let path = dir.path().join(NAME);
        let whole = std::fs::read(&path).expect("it is there");
        for length in 0..whole.len() - 1 {
            std::fs::write(&path, &whole[..length]).expect("the disk works");
            assert!(read(LogKind::Commands).is_err(), "{length} bytes of it");
        }
    }
}
