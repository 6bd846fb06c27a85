//! One process per data directory: an exclusive `flock` on `DIR/lock`.
//!
//! Invariant: while a [`DirLock`] lives, no other process holds one for the same directory. The
//! kernel drops the lock with the process, however it ends, so there is nothing to clean up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

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
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message: a lock whose holder cannot be read is taken all the same.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim().to_owned();
                return Err(LockError::Taken { dir: dir.to_owned(), holder });
            }
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "process {}", std::process::id()).map_err(failed)?;
        Ok(DirLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = DirLock::acquire(dir.path()).expect("nobody has it");
        let error = DirLock::acquire(dir.path()).expect_err("it is taken");
        let text = error.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(first);
        DirLock::acquire(dir.path()).expect("it is free again");
    }
}
