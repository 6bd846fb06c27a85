//! A file that a command makes: it appears whole or not at all, and never in place of another.

use super::Failure;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A file in the making, under another name beside its own. What is dropped is removed.
pub(super) struct NewFile {
    path: PathBuf,
    dir: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl NewFile {
    /// Begins a file, which must not exist.
    pub(super) fn create(path: &Path) -> Result<NewFile, Failure> {
        let shown = path.display();
        if path.symlink_metadata().is_ok() {
            return Err(Failure::usage(format_args!(
                "{shown} exists already: name another file, or remove it first"
            )));
        }
        let failed =
            |error: io::Error| Failure::usage(format_args!("cannot create {shown}: {error}"));
        let Some(name) = path.file_name() else {
            return Err(Failure::usage(format_args!("{shown} is no name of a file")));
        };
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new(".")).to_owned();
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".tmp")
            // As any other file: the process's mask takes away what it should not have.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&dir)
            .map_err(failed)?;
        let writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(NewFile { path: path.to_owned(), dir, writer })
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name; it is durable then.
    pub(super) fn finish(self) -> io::Result<()> {
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_data()?;
        file.persist_noclobber(&self.path).map_err(|error| error.error)?;
        File::open(&self.dir)?.sync_all()
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("a directory");
        let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        entries.map(|entry| name(entry).into_string().expect("text")).collect()
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all_and_takes_nobodys_place() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("events");
        let mut file = NewFile::create(&path).expect("a writable directory");
        file.write_all(b"half").expect("a writable file");
        assert!(!path.exists());
        drop(file);
        assert!(names(dir.path()).is_empty(), "what is given up leaves nothing behind");

        let mut file = NewFile::create(&path).expect("a writable directory");
        let late = NewFile::create(&path).expect("it has no name yet");
        file.write_all(b"whole").expect("a writable file");
        file.finish().expect("the name is free");
        let error = late.finish().expect_err("the name is taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).expect("it is there"), b"whole");
        assert_eq!(names(dir.path()), ["events"]);
        let refused = NewFile::create(&path).err().expect("the name is taken");
        assert_eq!(refused.status, 2);
        assert!(NewFile::create(&path.join("below")).is_err());
        assert!(NewFile::create(Path::new("..")).is_err());
    }
}
