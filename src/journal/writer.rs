//! Fills segments and makes them durable: two objects, so that one thread may write while another
//! syncs.
//!
//! Invariants: a batch never straddles two segments; what follows a segment's last batch stays zero;
//! batches continue one another without a gap. The first failed write or sync is final: the page
//! cache may then show what the disk does not hold, so both objects refuse to go on, and recovery
//! reads what is really there.

use super::format::{Hash, JournalId, SEGMENT_CONTINUES, SegmentHeader, Tip};
use super::recovery::Recovered;
use super::segment::{LogDir, Prepared, PreparedSegments};
use super::view::Batch;
use crate::limits::WRITE_MAX_BYTES;
use crate::sys::storage::File;
use crate::types::Sequence;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The disk failed; nothing more is written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {} (segment {segment}, offset {offset}) failed: {source}", path.display())]
pub struct Fault {
    /// What was done: `write`, `sync`, ...
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The segment.
    pub segment: u64,
    /// First byte concerned.
    pub offset: u64,
    /// What the operating system says.
    pub source: io::Error,
}

/// What an append came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// All batches are written (received, in words of the ack policies).
    Written,
    /// Nothing is written: no segment is prepared to roll to. Append the same again later.
    NotReady,
}

/// A file with bytes that were written and not synced.
pub struct SyncJob {
    file: Arc<dyn File>,
    path: PathBuf,
    segment: u64,
    offset: u64,
    /// The last sequence in it: durable when the job is done, and all before it.
    pub last: Sequence,
}

impl SyncJob {
    /// Asks for its bytes to be written back soon, for a log that nobody syncs.
    ///
    /// # Errors
    /// [`Fault`], final as that of a sync.
    pub fn start_write_back(&self) -> Result<(), Fault> {
        self.file.start_write_back(self.offset).map_err(|source| Fault {
            action: "write back",
            path: self.path.clone(),
            segment: self.segment,
            offset: self.offset,
            source,
        })
    }

    /// True where syncing this makes `earlier` needless: it is of the same file, and later.
    #[must_use]
    pub fn covers(&self, earlier: &SyncJob) -> bool {
        self.segment == earlier.segment && self.last >= earlier.last
    }
}

/// The segment that is written to.
struct Current {
    file: Arc<dyn File>,
    path: PathBuf,
    index: u64,
    offset: u64,
    size: u64,
    /// First byte that was not handed out for a sync.
    dirty_from: Option<u64>,
}

impl Current {
    fn take_dirty(&mut self, last: Sequence) -> Option<SyncJob> {
        let offset = self.dirty_from.take()?;
        let (file, path) = (self.file.clone(), self.path.clone());
        Some(SyncJob { file, path, segment: self.index, offset, last })
    }
}

/// Appends whole batches to a log.
pub struct Writer {
    log: LogDir,
    id: JournalId,
    application_version: u32,
    tip: Tip,
    /// The last batch was a part, the rest of which is still to come.
    tip_is_partial: bool,
    current: Option<Current>,
    prepared: PreparedSegments,
    /// Segments left behind by a roll and not yet handed out for a sync.
    rolled: VecDeque<SyncJob>,
    failed: bool,
}

impl Writer {
    /// A writer that goes on where recovery ended.
    ///
    /// # Errors
    /// The last segment cannot be opened.
    ///
    /// # Panics
    /// If the log that was recovered is of another journal.
    pub fn new(
        log: LogDir,
        id: JournalId,
        application_version: u32,
        recovered: &Recovered,
        prepared: PreparedSegments,
    ) -> Result<Writer, Fault> {
        assert!(recovered.id.is_none_or(|found| found == id), "the log is of this journal");
        let current = match &recovered.end {
            None => None,
            Some(end) => {
                let path = log.segment_path(end.segment);
                let file = log.open(&path).map_err(|source| Fault {
                    action: "open",
                    path: path.clone(),
                    segment: end.segment,
                    offset: 0,
                    source,
                })?;
                let (index, offset, size) = (end.segment, end.offset, end.size);
                Some(Current { file, path, index, offset, size, dirty_from: None })
            }
        };
        Ok(Writer {
            log,
            id,
            application_version,
            tip: recovered.tip,
            tip_is_partial: false,
            current,
            prepared,
            rolled: VecDeque::with_capacity(8),
            failed: false,
        })
    }

    /// Last sequence that was written (received, in words of the ack policies).
    #[must_use]
    pub fn written(&self) -> Sequence {
        self.tip.sequence
    }

    /// Index of the segment that is written to; 0 before the first, which has it too.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.index)
    }

    /// Hash of the last batch that was written.
    #[must_use]
    pub fn chain_hash(&self) -> &Hash {
        &self.tip.hash
    }

    /// The prepared segments.
    #[must_use]
    pub fn prepared(&self) -> &PreparedSegments {
        &self.prepared
    }

    /// True where there is no space for a next segment and so little room in this one that nothing
    /// more should be asked for: what is on its way needs the rest.
    #[must_use]
    pub fn space_is_low(&self) -> bool {
        if !self.prepared.space().is_exhausted() || self.prepared.count() > 0 {
            return false;
        }
        let (room, size) =
            self.current.as_ref().map_or((0, 0), |it| (it.size - it.offset, it.size));
        room < (WRITE_MAX_BYTES as u64).min(size / 2)
    }

    /// Appends whole sealed batches, one write for each segment they go to.
    ///
    /// # Errors
    /// [`Fault`], final: no cursor moves, no answer leaves, the process ends.
    ///
    /// # Panics
    /// If the bytes are not sound batches that continue the log, or do not fit behind one roll:
    /// broken invariants of the caller that must not reach the disk.
    pub fn append(&mut self, batches: &[u8]) -> Result<Appended, Fault> {
        if self.failed {
            return Err(self.fault("append to", io::Error::other("the log failed before")));
        }
        let room = self.current.as_ref().map_or(0, |current| current.size - current.offset);
        let (stays, between) = self.split(batches, room);
        let (here, beyond) = batches.split_at(stays);
        if !beyond.is_empty() && self.prepared.count() == 0 {
            return Ok(Appended::NotReady);
        }
        self.write(here)?;
        (self.tip, self.tip_is_partial) = between;
        if !beyond.is_empty() {
            let prepared = self.prepared.take().expect("the only taker saw one");
            self.roll(prepared, beyond)?;
            let room = self.current.as_ref().map_or(0, |current| current.size - current.offset);
            let (fits, reached) = self.split(beyond, room);
            assert_eq!(fits, beyond.len(), "what is appended at once fits into one segment");
            self.write(beyond)?;
            (self.tip, self.tip_is_partial) = reached;
        }
        Ok(Appended::Written)
    }

    /// The oldest file with bytes that are not synced; `None` where there is none. Jobs are done in
    /// the order in which they are handed out.
    pub fn take_sync(&mut self) -> Option<SyncJob> {
        let last = self.tip.sequence;
        self.rolled.pop_front().or_else(|| self.current.as_mut()?.take_dirty(last))
    }

    /// Bytes of the leading batches that fit into `room`, the tip they reach, and whether the last of
    /// them is a part.
    fn split(&self, batches: &[u8], room: u64) -> (usize, (Tip, bool)) {
        let (mut at, mut tip, mut partial) = (0, self.tip, self.tip_is_partial);
        while at < batches.len() {
            let batch = Batch::parse(&batches[at..]).expect("only sealed batches are appended");
            batch.follows(&tip, self.id).expect("batches continue the log");
            if (at + batch.length()) as u64 > room {
                break;
            }
            at += batch.length();
            tip = batch.header().reached(tip.time);
            partial = batch.header().is_partial();
        }
        (at, (tip, partial))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        let current = self.current.as_mut().expect("room was found in it");
        if let Err(source) = current.file.write_at(bytes, current.offset) {
            self.failed = true;
            return Err(self.fault("write to", source));
        }
        current.dirty_from = current.dirty_from.or(Some(current.offset));
        current.offset += bytes.len() as u64;
        Ok(())
    }

    /// Leaves the current segment and begins the prepared one, whose first batch is given.
    fn roll(&mut self, prepared: Prepared, batches: &[u8]) -> Result<(), Fault> {
        let first = Batch::parse(batches).expect("only sealed batches are appended");
        if let Some(current) = self.current.as_mut() {
            assert_eq!(prepared.index, current.index + 1, "segments are numbered without gaps");
            self.rolled.extend(current.take_dirty(self.tip.sequence));
        }
        let mut header =
            SegmentHeader::new(self.log.kind(), self.id, prepared.index, prepared.size);
        header.first_sequence = first.header().first_sequence;
        header.flags = if self.tip_is_partial { SEGMENT_CONTINUES } else { 0 }.into();
        header.first_time_ns = first.records().next().map_or(0, |record| record.time().0).into();
        header.epoch = first.header().epoch;
        header.previous_hash = first.header().previous_hash;
        header.application_version = self.application_version.into();
        header.seal();
        let Prepared { index, file, size } = prepared;
        let path = self.log.segment_path(index);
        let current = Current { file, path, index, offset: 0, size, dirty_from: None };
        self.current = Some(current);
        self.write(&header.page())
    }

    fn fault(&self, action: &'static str, source: io::Error) -> Fault {
        let (path, segment, offset) = match &self.current {
            Some(current) => (current.path.clone(), current.index, current.offset),
            None => (self.log.dir().to_owned(), 0, 0),
        };
        Fault { action, path, segment, offset, source }
    }
}

/// Makes durable what was written.
#[derive(Debug, Default)]
pub struct Syncer {
    durable: Sequence,
    failed: bool,
}

impl Syncer {
    /// A syncer of a log of which everything up to `durable` is durable.
    #[must_use]
    pub fn new(durable: Sequence) -> Syncer {
        Syncer { durable, failed: false }
    }

    /// Syncs the job's file; everything up to the sequence that is returned is then durable.
    ///
    /// # Errors
    /// [`Fault`], final: after a failed sync the next one may say "done" without being so, so this
    /// never tries again.
    pub fn sync(&mut self, job: &SyncJob) -> Result<Sequence, Fault> {
        let done = match self.failed {
            true => Err(io::Error::other("a sync failed before")),
            false => job.file.sync_data(),
        };
        if let Err(source) = done {
            self.failed = true;
            let (segment, offset) = (job.segment, job.offset);
            return Err(Fault { action: "sync", path: job.path.clone(), segment, offset, source });
        }
        assert!(job.last >= self.durable, "jobs are done in the order they were handed out");
        self.durable = job.last;
        Ok(self.durable)
    }

    /// Everything up to here is durable.
    #[must_use]
    pub fn durable(&self) -> Sequence {
        self.durable
    }
}
