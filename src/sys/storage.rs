//! Files as the journal sees them: a trait, so that a test owns the disk.
//!
//! The real disk is in `sys::disk`; the simulated one, which forgets what was not synced, lives with
//! the simulation in `tests/sim`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bytes are appended to a segment; both write the same format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Append {
    /// `pwrite`.
    Write,
    /// Stores through a shared mapping.
    Map,
}

/// A directory tree on stable storage.
pub trait Storage: Send + Sync {
    /// Opens a file that exists.
    ///
    /// # Errors
    /// As the operating system tells, `NotFound` included.
    fn open(&self, path: &Path, append: Append) -> io::Result<Arc<dyn File>>;

    /// Creates a new file; it must not exist. Its name is durable after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// As the operating system tells, `AlreadyExists` included.
    fn create(&self, path: &Path, append: Append) -> io::Result<Arc<dyn File>>;

    /// Names of the files (not directories) in a directory, sorted; empty where it does not exist.
    ///
    /// # Errors
    /// As the operating system tells.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Creates a directory and its parents, durable when it returns.
    ///
    /// # Errors
    /// As the operating system tells.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file; durable after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// As the operating system tells.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; durable after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// As the operating system tells.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// As the operating system tells; an error is final, like that of a failed sync.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that are still free for new files below `dir`.
    ///
    /// # Errors
    /// As the operating system tells.
    fn available_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. All methods take `&self`: one writer, any number of readers.
pub trait File: Send + Sync {
    /// Length in bytes.
    ///
    /// # Errors
    /// As the operating system tells.
    fn len(&self) -> io::Result<u64>;

    /// True where the file holds no byte.
    ///
    /// # Errors
    /// As the operating system tells.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reserves blocks from `offset` on for `size` bytes and fills them with zeros, so that a later
    /// write or mapped store there cannot run out of space. Extends the file.
    ///
    /// # Errors
    /// `StorageFull` where there is no space; the file may then be longer than before.
    fn allocate(&self, offset: u64, size: u64) -> io::Result<()>;

    /// Reserves blocks like [`File::allocate`] and leaves them as the file system gives them; they read
    /// as zeros. For a file that nobody syncs on the order path.
    ///
    /// # Errors
    /// As [`File::allocate`].
    fn reserve(&self, offset: u64, size: u64) -> io::Result<()> {
        self.allocate(offset, size)
    }

    /// Asks for everything from `offset` on to be written back soon, without waiting and without any
    /// promise, so that it does not pile up until somebody has to wait for it.
    ///
    /// # Errors
    /// As the operating system tells.
    fn start_write_back(&self, offset: u64) -> io::Result<()> {
        let _ = offset;
        Ok(())
    }

    /// Writes a range of `size` bytes, 0 for none, back and waits for that, without a flush of the disk or a commit of the file
    /// system: it paces whoever writes much, and nothing is durable by it. Done as well where the
    /// system cannot.
    ///
    /// # Errors
    /// As the operating system tells; like a failed sync's, the error is final: it is told only once.
    fn write_back(&self, offset: u64, size: u64) -> io::Result<()> {
        let _ = (offset, size);
        Ok(())
    }

    /// Writes all of `bytes` at `offset`, which must lie within what was allocated. Interrupted and
    /// short writes are continued.
    ///
    /// # Errors
    /// As the operating system tells; final.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads up to `bytes.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// As the operating system tells.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Data written before is on stable storage when this returns.
    ///
    /// # Errors
    /// As the operating system tells. The first error is final: the next call may lie.
    fn sync_data(&self) -> io::Result<()>;

    /// Shortens the file to `size` bytes.
    ///
    /// # Errors
    /// As the operating system tells.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// A read-only view of the file's first `len` bytes.
    ///
    /// # Errors
    /// As the operating system tells; `len` beyond the file's end is an error.
    fn map(&self, len: u64) -> io::Result<Box<dyn Mapping>>;
}

/// A read-only view of a file that shows what is written to it later.
pub trait Mapping: Send + Sync {
    /// The bytes as of now. On a real disk the kernel keeps them coherent with writes; a caller looks
    /// only at what the writer has published.
    fn bytes(&self) -> &[u8];

    /// Shows what was written since; nothing to do on a real disk.
    ///
    /// # Errors
    /// As the simulated disk tells.
    fn refresh(&mut self) -> io::Result<()> {
        Ok(())
    }
}
