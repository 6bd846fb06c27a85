//! Segment files: where they lie, and preparing them ahead of need.
//!
//! Invariants: a prepared segment is allocated, zeroed and synced, its directory entry too, before
//! the writer gets it, so that an append never extends a file and rolling needs no rename. Preparing
//! happens in small synced steps, so that a journal's own syncs never wait behind a whole segment
//! of zeros. No space is a state, not a failure: preparing goes on where it stopped.

use super::format::{LogKind, SEGMENT_HEADER_SIZE, SegmentHeader, is_zero};
use super::recovery::Recovered;
use super::retention::marker::{self, Retired};
use crate::sys::storage::{Append, File, Storage};
use crate::types::Sequence;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that one step of preparing allocates and zeroes.
pub const PREPARE_STEP_BYTES: u64 = 2 * 1024 * 1024;

/// Where a log lies and how it is written.
#[derive(Clone)]
pub struct LogDir {
    storage: Arc<dyn Storage>,
    data_dir: PathBuf,
    dir: PathBuf,
    kind: LogKind,
    append: Append,
    segment_size: u64,
}

impl LogDir {
    /// The log of a kind below a data directory.
    ///
    /// # Panics
    /// If `segment_size` is no multiple of the header page, or holds nothing behind it.
    #[must_use]
    pub fn new(
        storage: Arc<dyn Storage>,
        data_dir: &Path,
        kind: LogKind,
        append: Append,
        segment_size: u64,
    ) -> LogDir {
        assert!(segment_size.is_multiple_of(SEGMENT_HEADER_SIZE as u64));
        assert!(segment_size > SEGMENT_HEADER_SIZE as u64);
        let dir = data_dir.join(kind.as_str());
        LogDir { storage, data_dir: data_dir.to_owned(), dir, kind, append, segment_size }
    }

    /// The log of another kind in the same data directory, with segments of the same size.
    #[must_use]
    pub fn beside(&self, kind: LogKind) -> LogDir {
        LogDir { kind, dir: self.data_dir.join(kind.as_str()), ..self.clone() }
    }

    /// Creates the directory, durably.
    ///
    /// # Errors
    /// As the storage tells.
    pub fn create(&self) -> io::Result<()> {
        self.storage.create_dir(&self.dir)
    }

    /// The segments' directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The data directory that it is a part of.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where bytes go that recovery cuts.
    #[must_use]
    pub fn archive_dir(&self) -> PathBuf {
        self.data_dir.join("archive")
    }

    /// What the log holds.
    #[must_use]
    pub fn kind(&self) -> LogKind {
        self.kind
    }

    /// Bytes of a new segment.
    #[must_use]
    pub fn segment_size(&self) -> u64 {
        self.segment_size
    }

    /// The storage below.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Bytes free for new segments.
    ///
    /// # Errors
    /// As the storage tells.
    pub fn available_bytes(&self) -> io::Result<u64> {
        self.storage.available_bytes(&self.dir)
    }

    /// The file of a segment.
    #[must_use]
    pub fn segment_path(&self, index: u64) -> PathBuf {
        self.dir.join(format!("{index:010}.seg"))
    }

    /// Where the log begins, if older segments of it were retired.
    ///
    /// # Errors
    /// As the storage tells, and where the marker is not as it was written.
    pub fn retired(&self) -> io::Result<Option<Retired>> {
        // Of the reject log the oldest files are dropped without a trace.
        if self.kind == LogKind::Rejects {
            return Ok(None);
        }
        marker::read(&*self.storage, &self.dir, self.kind)
    }

    /// Every segment's index and file, by index. Files with other names are not ours; nor are segments
    /// that were retired, where their files are still there.
    ///
    /// # Errors
    /// As the storage tells, and [`LogDir::retired`].
    pub fn segments(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut segments = self.files()?;
        if let Some(retired) = self.retired()? {
            segments.retain(|(index, _)| *index >= retired.segment);
        }
        Ok(segments)
    }

    /// The files of all segments, by index, retired ones included.
    pub(super) fn files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut segments: Vec<_> = self
            .storage
            .list(&self.dir)?
            .into_iter()
            .filter_map(|path| Some((segment_index(&path)?, path)))
            .collect();
        segments.sort_unstable();
        Ok(segments)
    }

    /// The last segment that begins at or before a sequence, by its header alone; 0 where none does.
    ///
    /// # Errors
    /// As the storage tells.
    pub fn segment_of(&self, sequence: Sequence) -> io::Result<u64> {
        let mut found = 0;
        for (index, path) in self.segments()? {
            let Some(header) = self.header(&path)? else { break };
            if header.first_sequence.get() > sequence.0 {
                break;
            }
            found = index;
        }
        Ok(found)
    }

    /// The header of a segment; `None` where none is sound, as in one that is prepared.
    ///
    /// # Errors
    /// As the storage tells.
    pub fn header(&self, path: &Path) -> io::Result<Option<SegmentHeader>> {
        Ok(FirstPage::read(&*self.open(path)?)?.header())
    }

    pub(crate) fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.storage.open(path, self.append)
    }

    fn create_segment(&self, index: u64) -> io::Result<Arc<dyn File>> {
        self.storage.create(&self.segment_path(index), self.append)
    }
}

/// The page that a segment begins with.
pub(crate) struct FirstPage(Vec<u8>);

impl FirstPage {
    pub(crate) fn read(file: &dyn File) -> io::Result<FirstPage> {
        let mut page = vec![0; SEGMENT_HEADER_SIZE];
        let read = file.read_at(&mut page, 0)?;
        page.truncate(read);
        Ok(FirstPage(page))
    }

    /// The header, where it is sound.
    pub(crate) fn header(&self) -> Option<SegmentHeader> {
        SegmentHeader::parse(&self.0)
    }

    /// True where the segment is prepared and not begun.
    pub(crate) fn is_unused(&self) -> bool {
        is_zero(&self.0)
    }
}

/// The number in a segment's name.
fn segment_index(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    (digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// A segment that is allocated, zeroed and synced.
pub struct Prepared {
    pub(crate) index: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) size: u64,
}

/// The writer's end of the prepared segments.
pub struct PreparedSegments {
    receiver: Receiver<Prepared>,
    space: Arc<Space>,
}

impl PreparedSegments {
    /// Segments that are ready.
    #[must_use]
    pub fn count(&self) -> usize {
        self.receiver.len()
    }

    /// What is known of the space left.
    #[must_use]
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    pub(crate) fn take(&self) -> Option<Prepared> {
        self.receiver.try_recv().ok()
    }
}

/// Whether there is space for further segments; told by the preparer, read by who admits orders.
#[derive(Debug, Default)]
pub struct Space {
    exhausted: AtomicBool,
}

impl Space {
    /// True since a segment could not be prepared for want of space, until one was.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        // Relaxed: a flag that nothing else hangs on.
        self.exhausted.load(Ordering::Relaxed)
    }

    fn set(&self, exhausted: bool) {
        self.exhausted.store(exhausted, Ordering::Relaxed);
    }
}

/// A segment being prepared.
struct InWork {
    index: u64,
    file: Arc<dyn File>,
    done: u64,
    /// A file that was found may be longer than what is configured now.
    size: u64,
}

/// Keeps segments prepared ahead of the writer. A helper thread's agent.
pub struct Preparer {
    log: LogDir,
    sender: Sender<Prepared>,
    space: Arc<Space>,
    /// Segments that recovery found unused, by index.
    found: VecDeque<u64>,
    next_index: u64,
    in_work: Option<InWork>,
    /// The writer is gone.
    abandoned: bool,
}

impl Preparer {
    /// A preparer that keeps `ahead` segments ready, and the writer's end of it.
    ///
    /// # Panics
    /// If `ahead` is 0.
    #[must_use]
    pub fn new(log: LogDir, recovered: &Recovered, ahead: usize) -> (Preparer, PreparedSegments) {
        assert!(ahead > 0, "the writer needs a segment to roll to");
        let (sender, receiver) = bounded(ahead);
        let space = Arc::new(Space::default());
        let preparer = Preparer {
            log,
            sender,
            space: space.clone(),
            found: recovered.unused.iter().copied().collect(),
            next_index: recovered.next_index,
            in_work: None,
            abandoned: false,
        };
        (preparer, PreparedSegments { receiver, space })
    }

    /// Does one step; 0 where enough is prepared, or there is no space now.
    ///
    /// # Errors
    /// Any failure but want of space. It is final: a failed sync may not be tried again.
    pub fn do_work(&mut self) -> io::Result<usize> {
        if self.abandoned || self.sender.is_full() {
            return Ok(0);
        }
        let (from, size) = match self.extend() {
            Ok(step) => step,
            Err(error) if is_no_space(&error) => {
                self.space.set(true);
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        // Want of space is a state only while blocks are asked for. A write-back or sync that fails,
        // for whatever reason, may have lost what it was to keep: the next one would say "done" all
        // the same.
        self.settle(from, size)?;
        Ok(1)
    }

    /// True where nothing is to be prepared: enough is ready, or the writer is gone.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.abandoned || self.sender.is_full()
    }

    /// Where the segments lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.log.dir()
    }

    /// True where a segment is wanted and there is no space for it.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.space.is_exhausted()
    }

    /// Segments that are ready.
    #[must_use]
    pub fn ready_count(&self) -> usize {
        self.sender.len()
    }

    /// Works until enough is prepared or there is no space.
    ///
    /// # Errors
    /// As [`Preparer::do_work`].
    pub fn run(&mut self) -> io::Result<()> {
        while self.do_work()? > 0 {}
        Ok(())
    }

    /// Asks for blocks and fills them with zeros, one step; where it begins and its bytes.
    fn extend(&mut self) -> io::Result<(u64, u64)> {
        if self.in_work.is_none() {
            self.in_work = Some(self.begin()?);
        }
        let work = self.in_work.as_mut().expect("it was begun above");
        let (from, left) = (work.done, work.size - work.done);
        if self.log.kind != LogKind::Commands {
            // Nobody waits for a sync of these, so zeros that spare it work are not worth their write.
            work.file.reserve(from, left)?;
            work.done = work.size;
            return Ok((from, 0));
        }
        let step = PREPARE_STEP_BYTES.min(left);
        work.file.allocate(from, step)?;
        work.done += step;
        Ok((from, step))
    }

    /// Writes a step back, so that the journal's own syncs never queue behind a whole segment; syncs
    /// the segment where it is whole, and hands it over. A sync for every step would make as many
    /// commits of the file system and flushes of the disk, for which the journal's own wait.
    fn settle(&mut self, from: u64, size: u64) -> io::Result<()> {
        let work = self.in_work.as_ref().expect("a step of it was made");
        work.file.write_back(from, size)?;
        if work.done < work.size {
            return Ok(());
        }
        work.file.sync_data()?;
        self.log.storage.sync_dir(&self.log.dir)?;
        let work = self.in_work.take().expect("it was in work above");
        let prepared = Prepared { index: work.index, file: work.file, size: work.size };
        // The only sender saw room, so a refusal means that the writer is gone: nobody takes another.
        self.abandoned = self.sender.try_send(prepared).is_err();
        // Only now: while a little space comes and goes, the state would too.
        self.space.set(false);
        Ok(())
    }

    /// Takes the next unused segment, or creates one.
    fn begin(&mut self) -> io::Result<InWork> {
        if let Some(index) = self.found.front().copied() {
            let file = self.log.open(&self.log.segment_path(index))?;
            self.found.pop_front();
            // What is there reads as zeros (recovery looked), but a power cut may have left blocks that
            // were never written, and the first write to such a block makes its sync slow.
            let size = file.len()?.max(self.log.segment_size);
            return Ok(InWork { index, file, done: 0, size });
        }
        let index = self.next_index;
        let file = self.log.create_segment(index)?;
        self.next_index += 1;
        Ok(InWork { index, file, done: 0, size: self.log.segment_size })
    }
}

/// True for want of space or quota.
#[must_use]
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_segments() {
        let index = |name: &str| segment_index(Path::new(name));
        assert_eq!(index("a/0000000012.seg"), Some(12));
        assert_eq!(index("a/12.seg"), None);
        assert_eq!(index("a/+000000012.seg"), None);
        assert_eq!(index("a/0000000012.tmp"), None);
        assert_eq!(index("a/99999999999999999999999.seg"), None);
    }
}
