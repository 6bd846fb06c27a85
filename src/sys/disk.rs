//! The real disk behind the [`Storage`] trait.
//!
//! Invariants: an interrupted or short write is continued, never reported as done; a mapping is never
//! longer than its file, so a full disk cannot become SIGBUS; a file's space is allocated and zeroed
//! before anything is appended to it. `sync_data` is `fdatasync`, for mapped stores too: the kernel
//! writes back pages of the file however they became dirty.

use super::fault::Registered;
use super::storage::{Append, File, Mapping, Storage};
use memmap2::{Mmap, MmapRaw};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of zeros written at a time.
const ZERO_CHUNK_BYTES: usize = 256 * 1024;
static ZEROS: [u8; ZERO_CHUNK_BYTES] = [0; ZERO_CHUNK_BYTES];

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Disk {
    /// The disk as a shared trait object, as the journal takes it.
    #[must_use]
    pub fn shared() -> Arc<dyn Storage> {
        Arc::new(Disk)
    }
}

impl Storage for Disk {
    fn open(&self, path: &Path, append: Append) -> io::Result<Arc<dyn File>> {
        // Tools look at journals they may not write; a write through such a file then fails.
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if is_read_only(&error) => OpenOptions::new().read(true).open(path)?,
            other => other?,
        };
        Ok(Arc::new(DiskFile::new(file, path, append)))
    }

    fn create(&self, path: &Path, append: Append) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(DiskFile::new(file, path, append)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        // Each level's name is an entry of the level above.
        let whole = fs::canonicalize(dir)?;
        whole.ancestors().skip(1).try_for_each(|parent| match self.sync_dir(parent) {
            Err(error) if is_read_only(&error) => Ok(()),
            other => other,
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    #[allow(unsafe_code, reason = "statvfs is not in std")]
    fn available_bytes(&self, dir: &Path) -> io::Result<u64> {
        let path = std::ffi::CString::new(dir.as_os_str().as_bytes())?;
        // SAFETY: `statvfs` is plain integers, for which all zeros is a value.
        let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
        loop {
            // SAFETY: `path` ends with a zero byte and `stat` may be written for the whole call.
            if unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) } == 0 {
                return Ok(stat.f_bavail.saturating_mul(stat.f_frsize));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// True where something exists and may only be read.
fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// An open file of the real disk.
struct DiskFile {
    file: fs::File,
    /// For messages.
    path: PathBuf,
    /// For [`Append::Map`]: the mapping that is stored through, as long as what is allocated. Only
    /// the one writer takes the lock, so it is never waited for.
    stores: Option<Mutex<Option<Mapped<MmapRaw>>>>,
}

/// A mapping that a media error under it names. Fields are dropped in this order: what is unmapped is
/// not in the table any more.
struct Mapped<M> {
    _range: Registered,
    map: M,
}

impl DiskFile {
    fn new(file: fs::File, path: &Path, append: Append) -> DiskFile {
        let stores = match append {
            Append::Write => None,
            Append::Map => Some(Mutex::new(None)),
        };
        DiskFile { file, path: path.to_owned(), stores }
    }

    /// Copies `bytes` into the mapping, which is made or made longer where it is too short.
    #[allow(unsafe_code, reason = "a store into a shared mapping")]
    fn store(
        &self,
        stores: &Mutex<Option<Mapped<MmapRaw>>>,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| beyond_end())?;
        let end = start.checked_add(bytes.len()).ok_or_else(beyond_end)?;
        let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
        if stores.as_ref().is_none_or(|mapped| mapped.map.len() < end) {
            let length = File::len(self)?;
            if length < end as u64 {
                return Err(beyond_end());
            }
            let map = MmapRaw::map_raw(&self.file)?;
            let _range = Registered::new(map.as_mut_ptr().addr(), map.len(), &self.path);
            *stores = Some(Mapped { _range, map });
        }
        let map = stores.as_ref().map(|mapped| &mapped.map);
        let map = map.filter(|map| map.len() >= end).ok_or_else(beyond_end)?;
        // SAFETY: [start, end) lies within the mapping (checked above), which stays alive behind the
        // guard; `bytes` cannot overlap it, as nobody is handed a reference into this mapping. The
        // pages are allocated in the file: `truncate` drops the mapping before it shortens.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), map.as_mut_ptr().add(start), bytes.len());
        }
        Ok(())
    }
}

fn beyond_end() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "beyond the end of the file")
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, offset: u64, size: u64) -> io::Result<()> {
        allocate_blocks(&self.file, offset, size)?;
        let end = offset + size;
        let mut at = offset;
        while at < end {
            let chunk = ZEROS.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            write_fully(|bytes, at| self.file.write_at(bytes, at), &ZEROS[..chunk], at)?;
            at += chunk as u64;
        }
        Ok(())
    }

    fn reserve(&self, offset: u64, size: u64) -> io::Result<()> {
        allocate_blocks(&self.file, offset, size)
    }

    fn start_write_back(&self, offset: u64) -> io::Result<()> {
        // A size of 0 means up to the end.
        or_unknown(start_write_back(&self.file, offset, 0))
    }

    fn write_back(&self, offset: u64, size: u64) -> io::Result<()> {
        if size == 0 { Ok(()) } else { write_back(&self.file, offset, size) }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &self.stores {
            None => write_fully(|bytes, at| self.file.write_at(bytes, at), bytes, offset),
            Some(stores) => self.store(stores, bytes, offset),
        }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        if let Some(stores) = &self.stores {
            *stores.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.file.set_len(size)
    }

    #[allow(unsafe_code, reason = "a mapping of a file")]
    fn map(&self, len: u64) -> io::Result<Box<dyn Mapping>> {
        if len > File::len(self)? {
            return Err(beyond_end());
        }
        if len == 0 {
            return Ok(Box::new(Vec::new()));
        }
        let len = usize::try_from(len).map_err(|_| beyond_end())?;
        // SAFETY: the mapping is not longer than the file, and a data directory's one process (it
        // holds the lock) shortens a segment only in recovery, before readers exist. Its bytes may
        // change while mapped, but only behind what the writer has published: what is published is
        // never written again.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(&self.file)? };
        let _range = Registered::new(map.as_ptr().addr(), map.len(), &self.path);
        Ok(Box::new(Mapped { _range, map }))
    }
}

impl Mapping for Mapped<Mmap> {
    fn bytes(&self) -> &[u8] {
        &self.map
    }
}

/// A view of nothing: an empty file cannot be mapped.
impl Mapping for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Reserves blocks; the file becomes at least `offset + size` long.
#[allow(unsafe_code, reason = "posix_fallocate is not in std")]
fn allocate_blocks(file: &fs::File, offset: u64, size: u64) -> io::Result<()> {
    let offset = libc::off_t::try_from(offset).map_err(|_| beyond_end())?;
    let size = libc::off_t::try_from(size).map_err(|_| beyond_end())?;
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, size) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Asks the kernel to begin writing a range back, without waiting and without any promise. Used for
/// event logs; whether a file system rewards it before a journal's sync, `benches/journal.rs` shows.
///
/// # Errors
/// As the operating system tells.
pub fn start_write_back(file: &fs::File, offset: u64, size: u64) -> io::Result<()> {
    sync_range(file, offset, size, libc::SYNC_FILE_RANGE_WRITE)
}

/// Writes a range back and waits for it; nothing where the system has no such call or refuses it.
fn write_back(file: &fs::File, offset: u64, size: u64) -> io::Result<()> {
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    or_unknown(sync_range(file, offset, size, all))
}

/// Done as well where the system has no such call or refuses it for this file.
fn or_unknown(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOSYS | libc::EPERM | libc::EINVAL | libc::ESPIPE)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[allow(unsafe_code, reason = "sync_file_range is not in std")]
fn sync_range(file: &fs::File, offset: u64, size: u64, what: libc::c_uint) -> io::Result<()> {
    let offset = libc::off64_t::try_from(offset).map_err(|_| beyond_end())?;
    let size = libc::off64_t::try_from(size).map_err(|_| beyond_end())?;
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, size, what) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Continues interrupted and short writes until all is written.
fn write_fully(
    mut write: impl FnMut(&[u8], u64) -> io::Result<usize>,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::WriteZero, "nothing was written")),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_pair(append: Append) -> (tempfile::TempDir, Arc<dyn File>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = Disk.create(&dir.path().join("a"), append).expect("it is new");
        (dir, file)
    }

    #[test]
    fn a_mapping_shows_what_is_written_later_by_either_way() {
        for append in [Append::Write, Append::Map] {
            let (_dir, file) = open_pair(append);
            file.allocate(0, 8192).expect("there is space");
            let map = file.map(8192).expect("it is as long");
            file.write_at(b"later", 5000).expect("it is allocated");
            assert_eq!(&map.bytes()[5000..5005], b"later");
            file.sync_data().expect("the disk works");
            let mut read = [0; 8];
            assert_eq!(file.read_at(&mut read, 5000).expect("it is there"), 8);
            assert_eq!(&read[..5], b"later");
        }
    }

    #[test]
    fn a_mapping_is_never_longer_than_the_file() {
        let (_dir, file) = open_pair(Append::Write);
        file.allocate(0, 4096).expect("there is space");
        assert!(file.map(4097).is_err());
        assert!(file.map(0).expect("nothing is there").bytes().is_empty());
    }

    #[test]
    fn a_mapped_store_beyond_what_is_allocated_is_an_error_and_no_signal() {
        let (_dir, file) = open_pair(Append::Map);
        file.allocate(0, 4096).expect("there is space");
        file.write_at(&[1; 4096], 0).expect("it is allocated");
        assert!(file.write_at(&[1], 4096).is_err());
        file.allocate(4096, 4096).expect("there is space");
        file.write_at(&[1], 4096).expect("now it is");
        file.truncate(4096).expect("the disk works");
        assert!(file.write_at(&[1], 4096).is_err());
    }

    #[test]
    fn interrupted_and_short_writes_are_continued() {
        let (mut calls, mut disk) = (0, vec![0; 10]);
        let write = |bytes: &[u8], at: u64| {
            calls += 1;
            match calls {
                1 | 3 => Err(io::ErrorKind::Interrupted.into()),
                _ => {
                    let count = bytes.len().min(4);
                    disk[at as usize..][..count].copy_from_slice(&bytes[..count]);
                    Ok(count)
                }
            }
        };
        write_fully(write, b"123456789", 1).expect("it goes on");
        assert_eq!(disk, b"\x00123456789");
        assert_eq!(calls, 5);
        assert!(write_fully(|_, _| Ok(0), b"1", 0).is_err());
        assert!(write_fully(|_, _| Err(io::ErrorKind::StorageFull.into()), b"1", 0).is_err());
    }

    #[test]
    fn files_are_listed_in_order_and_directories_are_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["b", "a"] {
            Disk.create(&dir.path().join(name), Append::Write).expect("it is new");
        }
        Disk.create_dir(&dir.path().join("c/d")).expect("the disk works");
        let names = Disk.list(dir.path()).expect("it is there");
        assert_eq!(names, [dir.path().join("a"), dir.path().join("b")]);
        assert!(Disk.list(&dir.path().join("none")).expect("it is empty").is_empty());
        assert!(Disk.create(&names[0], Append::Write).is_err());
        assert!(Disk.available_bytes(dir.path()).expect("the disk works") > 0);
    }
}
