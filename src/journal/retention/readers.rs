//! Registered readers: who reads a log from outside, and how far he has come.
//!
//! A reader is a small file that whoever reads keeps up to date, with `outcry journal readers set` or by
//! writing it himself under another name and renaming it. As long as it is there, nothing behind what it
//! names is retired; a file that cannot be understood holds everything back.

use super::marker::{remove, replace};
use crate::journal::format::LogKind;
use crate::sys::storage::{Append, Storage};
use crate::types::Sequence;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Readers of a data directory at most: each is looked at whenever something is to be retired.
pub const READERS_MAX: usize = 1024;
/// Bytes of a name.
const NAME_MAX_BYTES: usize = 64;
/// Bytes of a file.
const FILE_MAX_BYTES: usize = 1024;

/// A registered reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub log: LogKind,
    /// The last sequence that it does not need any more.
    pub sequence: Sequence,
}

/// Why readers cannot be told or changed.
#[derive(Debug, Error)]
pub enum ReaderError {
    /// A name that no reader can have.
    #[error("{0:?} is no name of a reader: write 1 to 64 letters, digits, '_' or '-'")]
    Name(String),
    /// A log that has no readers.
    #[error("only commands and events have readers")]
    Log,
    /// A file that does not say what a reader needs.
    #[error(
        "{} does not say what a reader needs: write {{\"log\":\"commands\",\"sequence\":N}}, or remove it",
        .0.display()
    )]
    Malformed(PathBuf),
    /// There are too many.
    #[error("there are more than {READERS_MAX} readers")]
    TooMany,
    /// The disk failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// What stands in a reader's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    log: String,
    sequence: u64,
}

fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("readers")
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ReaderError {
    let path = path.to_owned();
    move |source| ReaderError::Io { action, path, source }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=NAME_MAX_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

/// Every reader, by name.
///
/// # Errors
/// [`ReaderError`]: nobody can say then what is still needed.
pub fn list(storage: &dyn Storage, data_dir: &Path) -> Result<Vec<Reader>, ReaderError> {
    let dir = dir(data_dir);
    let mut readers = Vec::new();
    for path in storage.list(&dir).map_err(failed("list", &dir))? {
        // What is being written ends in another way.
        if path.extension().is_some_and(|extension| extension == "json") {
            readers.push(read(storage, &path)?);
        }
        if readers.len() > READERS_MAX {
            return Err(ReaderError::TooMany);
        }
    }
    Ok(readers)
}

fn read(storage: &dyn Storage, path: &Path) -> Result<Reader, ReaderError> {
    let malformed = || ReaderError::Malformed(path.to_owned());
    let file = storage.open(path, Append::Write).map_err(failed("open", path))?;
    let mut bytes = [0; FILE_MAX_BYTES];
    let length = file.read_at(&mut bytes, 0).map_err(failed("read", path))?;
    let text: Text = serde_json::from_slice(&bytes[..length]).map_err(|_| malformed())?;
    let name = path.file_stem().and_then(|name| name.to_str()).filter(|name| is_name(name));
    let log = log_of(&text.log).ok_or_else(malformed)?;
    let name = name.ok_or_else(malformed)?.to_owned();
    Ok(Reader { name, log, sequence: Sequence(text.sequence) })
}

fn log_of(text: &str) -> Option<LogKind> {
    [LogKind::Commands, LogKind::Events].into_iter().find(|kind| kind.as_str() == text)
}

/// Registers a reader, or moves it; durable when this returns.
///
/// # Errors
/// [`ReaderError`].
pub fn set(storage: &dyn Storage, data_dir: &Path, reader: &Reader) -> Result<(), ReaderError> {
    let Reader { name, log, sequence } = reader;
    if !is_name(name) {
        return Err(ReaderError::Name(name.clone()));
    }
    log_of(log.as_str()).ok_or(ReaderError::Log)?;
    let dir = dir(data_dir);
    storage.create_dir(&dir).map_err(failed("create", &dir))?;
    let text = Text { log: log.as_str().to_owned(), sequence: sequence.0 };
    let mut bytes = serde_json::to_vec(&text).expect("a word and a number");
    bytes.push(b'\n');
    let file = format!("{name}.json");
    replace(storage, &dir, &file, &format!("{name}.tmp"), &bytes)
        .map_err(failed("write", &dir.join(&file)))
}

/// Removes a reader; false where there was none of that name.
///
/// # Errors
/// [`ReaderError`].
pub fn forget(storage: &dyn Storage, data_dir: &Path, name: &str) -> Result<bool, ReaderError> {
    if !is_name(name) {
        return Err(ReaderError::Name(name.to_owned()));
    }
    let dir = dir(data_dir);
    let path = dir.join(format!("{name}.json"));
    let removed = remove(storage, &path).map_err(failed("remove", &path))?;
    if removed {
        storage.sync_dir(&dir).map_err(failed("sync", &dir))?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::disk::Disk;

    #[test]
    fn readers_come_back_as_they_were_set() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data_dir = dir.path();
        assert_eq!(list(&Disk, data_dir).expect("there are none"), []);
        let reader = |name: &str, log, sequence| {
            let (name, sequence) = (name.to_owned(), Sequence(sequence));
            Reader { name, log, sequence }
        };
        let all =
            [reader("archive", LogKind::Commands, 7), reader("drop-copy_2", LogKind::Events, 0)];
        all.iter().for_each(|reader| set(&Disk, data_dir, reader).expect("a writable directory"));
        assert_eq!(list(&Disk, data_dir).expect("they are sound"), all);
        let moved = reader("archive", LogKind::Commands, 9);
        set(&Disk, data_dir, &moved).expect("a writable directory");
        assert_eq!(list(&Disk, data_dir).expect("they are sound")[0], moved);
        assert!(forget(&Disk, data_dir, "archive").expect("a writable directory"));
        assert!(!forget(&Disk, data_dir, "archive").expect("it is gone"));
        for name in ["", "../x", "a.b", "a/b", &"x".repeat(65)] {
            let error = set(&Disk, data_dir, &reader(name, LogKind::Events, 1));
            assert!(matches!(error, Err(ReaderError::Name(_))), "{name}");
            assert!(matches!(forget(&Disk, data_dir, name), Err(ReaderError::Name(_))), "{name}");
        }
        let rejects = set(&Disk, data_dir, &reader("x", LogKind::Rejects, 1));
        assert!(matches!(rejects, Err(ReaderError::Log)));
    }

    #[test]
    fn a_file_that_is_not_understood_is_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("readers")).expect("a writable directory");
        let path = dir.path().join("readers/mine.json");
        let wrong = [
            "",
            "{}",
            "{\"log\":\"commands\"}",
            "{\"log\":\"commands\",\"sequence\":-1}",
            "{\"log\":\"rejects\",\"sequence\":1}",
            "{\"log\":\"commands\",\"sequence\":1,\"more\":1}",
            "{\"log\":\"commands\",\"sequence\":1} x",
        ];
        for text in wrong {
            std::fs::write(&path, text).expect("a writable directory");
            let error = list(&Disk, dir.path());
            assert!(matches!(error, Err(ReaderError::Malformed(_))), "{text}");
        }
    }
}
