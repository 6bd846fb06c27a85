//! The archive: retired segments under their own names, with a list of their checksums.
//!
//! `ARCHIVE/commands/0000000003.seg` and so on, so that the archive is itself a data directory that the
//! tools read; `ARCHIVE/SHA256SUMS` is what `sha256sum -c` takes. A copy has its name only when it is
//! synced and was read back; the list is replaced whole.

use super::RetireError;
use super::marker::{remove, replace};
use crate::journal::format::{Hash, LogKind};
use crate::journal::segment::LogDir;
use crate::journal::verify::hex;
use crate::sys::storage::{Append, Storage};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The list of checksums.
const SUMS: &str = "SHA256SUMS";
/// Bytes that are written before they are waited for, so that a journal's sync never queues behind more.
const CHUNK_BYTES: usize = 2 << 20;

/// An archive directory.
#[derive(Clone)]
pub struct Shelf {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
}

/// A copy in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its file, from the archive on.
    name: String,
    hash: Hash,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RetireError {
    let path = path.to_owned();
    move |source| RetireError::Archive { action, path, source }
}

impl Shelf {
    /// The archive in a directory, which is created when it is needed.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, dir: &Path) -> Shelf {
        Shelf { storage, dir: dir.to_owned() }
    }

    /// Refuses an archive whose segments would be those of the log itself, by whatever path.
    pub(super) fn is_elsewhere(&self, log: &LogDir) -> Result<(), RetireError> {
        let path = self.dir.join(log.kind().as_str());
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if real(&path) != real(log.dir()) {
            return Ok(());
        }
        let source = io::Error::other("it is the log's own directory");
        Err(failed("keep segments in", &path)(source))
    }

    /// Copies a segment, durably, and reads the copy back. Where an earlier try has made it already,
    /// nothing is written.
    pub(super) fn keep(
        &self,
        kind: LogKind,
        index: u64,
        bytes: &[u8],
    ) -> Result<Kept, RetireError> {
        let dir = self.dir.join(kind.as_str());
        self.storage.create_dir(&dir).map_err(failed("create", &dir))?;
        let file = format!("{index:010}.seg");
        let path = dir.join(&file);
        let hash: Hash = Sha256::digest(bytes).into();
        let kept = Kept { name: format!("{}/{file}", kind.as_str()), hash };
        match self.hash_of(&path) {
            Ok(found) if found == hash => {
                // Its name may not be durable yet, nor its bytes.
                let open = self.storage.open(&path, Append::Write);
                open.and_then(|open| open.sync_data()).map_err(failed("sync", &path))?;
                self.storage.sync_dir(&dir).map_err(failed("sync", &dir))?;
                return Ok(kept);
            }
            Ok(_) => return Err(RetireError::OtherBytes { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
        let scratch = dir.join(format!("{file}.tmp"));
        remove(&*self.storage, &scratch).map_err(failed("remove", &scratch))?;
        self.write(&scratch, bytes).map_err(failed("write", &scratch))?;
        if self.hash_of(&scratch).map_err(failed("read", &scratch))? != hash {
            return Err(RetireError::OtherBytes { path: scratch });
        }
        self.storage.rename(&scratch, &path).map_err(failed("rename", &scratch))?;
        self.storage.sync_dir(&dir).map_err(failed("sync", &dir))?;
        Ok(kept)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = self.storage.create(path, Append::Write)?;
        file.reserve(0, bytes.len() as u64)?;
        let mut at = 0;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            file.write_at(chunk, at)?;
            file.write_back(at, chunk.len() as u64)?;
            at += chunk.len() as u64;
        }
        file.sync_data()
    }

    fn hash_of(&self, path: &Path) -> io::Result<Hash> {
        let file = self.storage.open(path, Append::Write)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let (mut hash, mut at) = (Sha256::new(), 0);
        loop {
            let read = file.read_at(&mut buffer, at)?;
            if read == 0 {
                return Ok(hash.finalize().into());
            }
            hash.update(&buffer[..read]);
            at += read as u64;
        }
    }

    /// Adds copies to the list of checksums, durably. A file that is listed with another checksum was
    /// put there by somebody else.
    pub(super) fn list(&self, kept: &[Kept]) -> Result<(), RetireError> {
        let path = self.dir.join(SUMS);
        let mut text = self.listed(&path).map_err(failed("read", &path))?;
        let before = text.len();
        for Kept { name, hash } in kept {
            let known = text.lines().find_map(|line| {
                let (sum, file) = line.split_once("  ")?;
                (file == name).then_some(sum == hex(hash))
            });
            match known {
                Some(true) => {}
                Some(false) => return Err(RetireError::OtherBytes { path }),
                None => text.push_str(&format!("{}  {name}\n", hex(hash))),
            }
        }
        if text.len() > before {
            let scratch = format!("{SUMS}.tmp");
            replace(&*self.storage, &self.dir, SUMS, &scratch, text.as_bytes())
                .map_err(failed("write", &path))?;
        }
        self.storage.sync_dir(&self.dir).map_err(failed("sync", &self.dir))
    }

    fn listed(&self, path: &Path) -> io::Result<String> {
        let file = match self.storage.open(path, Append::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            other => other?,
        };
        let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        String::from_utf8(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))
    }
}
