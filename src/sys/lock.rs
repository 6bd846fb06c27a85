//! One process per data directory: an exclusive `flock` on `DIR/lock`.
//!
//! Invariant: while a [`DirLock`] lives, no other process holds one for the same directory. The
//! kernel drops the lock with the process, however it ends, so there is nothing to clean up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the lock is tried, and how long between: whoever only asks whether it is held
/// ([`is_held`]) holds it for a moment.
const TRIES: usize = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// Why a data directory was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is in use by another process ({holder}); one process per data directory", dir.display())]
    Taken {
        /// The data directory.
        dir: PathBuf,
        /// The process, as it wrote itself into the file.
        holder: String,
    },
    /// The file cannot be opened or locked.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// The right to write a data directory.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes a data directory, which must exist.
    ///
    /// # Errors
    /// [`LockError::Taken`] where another process has it.
    pub fn acquire(dir: &Path) -> Result<DirLock, LockError> {
        let path = dir.join("lock");
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if !try_often(&file).map_err(failed)? {
            let mut holder = String::new();
            // Only for the message: a lock whose holder cannot be read is taken all the same.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim().to_owned();
            return Err(LockError::Taken { dir: dir.to_owned(), holder });
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "process {}", std::process::id()).map_err(failed)?;
        Ok(DirLock { _file: file })
    }
}

/// Takes the lock; false where another process has it.
fn try_often(file: &File) -> io::Result<bool> {
    for attempt in 1..=TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if attempt < TRIES => std::thread::sleep(BETWEEN_TRIES),
            Err(TryLockError::WouldBlock) => {}
        }
    }
    Ok(false)
}

/// Whether a process holds the lock of a data directory: a node runs there.
///
/// # Errors
/// As the operating system tells.
pub fn is_held(dir: &Path) -> io::Result<bool> {
    let file = match File::open(dir.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(!is_held(dir.path()).expect("there is no lock file yet"));
        let first = DirLock::acquire(dir.path()).expect("nobody has it");
        assert!(is_held(dir.path()).expect("a lock file"));
        let error = DirLock::acquire(dir.path()).expect_err("it is taken");
        let text = error.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(first);
        assert!(!is_held(dir.path()).expect("a lock file"));
        DirLock::acquire(dir.path()).expect("it is free again");
    }
}
