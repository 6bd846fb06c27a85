//! Decides at start what a log holds, and makes it true on the disk before anything builds on it.
//!
//! What is damage and what is a tail is decided in `scan`. Here a tail is cut: its bytes go
//! to the archive, then zeros take their place; what was written after the last `synced_to` is
//! written again and synced, because after a failed sync the page cache may show what the disk does
//! not hold. Every step may be interrupted and done again. That includes zeros that a failed sync left
//! in the page cache only: the cut counts as pending (`archive`) until they are synced.

use super::archive;
use super::format::{JournalId, LogKind, SEGMENT_HEADER_SIZE, Tip};
use super::retention::marker::Retired;
use super::scan::{Found, Place, Progress, Scan, ScanOptions, scan};
use super::segment::LogDir;
use super::view::{Flaw, Verify};
use crate::sys::storage::File;
use crate::types::Sequence;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes that are read, archived or written again at a time.
const COPY_BYTES: usize = 1024 * 1024;

/// Why a log is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Records that were durable are not there as they were written.
    #[error(
        "damage in segment {segment}, offset {offset}, sequence {sequence}: {flaw}; nothing was changed; {}",
        help(*flaw)
    )]
    Damage {
        /// The segment.
        segment: u64,
        /// Byte in its file.
        offset: u64,
        /// The first sequence that is not there.
        sequence: Sequence,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The log begins later, because older segments were retired, than it is needed from.
    #[error(
        "the journal begins at sequence {first}, because older segments were retired, and is needed from \
         {needed} on: no sound snapshot leads to its first record; nothing was changed; put snapshots \
         of a copy into DIR/snapshots, or the older segments back into {} and remove {} there",
        dir.display(), super::retention::marker::NAME
    )]
    Retired {
        /// The first sequence that is needed.
        needed: Sequence,
        /// The first one that is there.
        first: Sequence,
        /// Directory of the log.
        dir: PathBuf,
    },
    /// The disk failed.
    #[error("recovery cannot {action} {}: {source}", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// What helps where the journal has this flaw before its durable end.
#[must_use]
pub const fn help(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Version | Flaw::Kind => "start a release at least as new as the one that wrote it",
        _ => {
            "`outcry journal repair --from DIR` takes what is lost from a copy of this journal in DIR"
        }
    }
}

/// Where the last segment that is used ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The segment.
    pub segment: u64,
    /// Where the next batch goes.
    pub offset: u64,
    /// Bytes of the segment.
    pub size: u64,
}

/// Bytes that were cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub segment: u64,
    /// Byte in its file.
    pub offset: u64,
    /// How many, up to the last that was not zero.
    pub bytes: u64,
    /// Where they are now.
    pub archived: PathBuf,
}

/// What a log holds; all of it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The journal; `None` where the log is empty.
    pub id: Option<JournalId>,
    /// First sequence, 0 where the log is empty.
    pub first: Sequence,
    /// What the last batch reached.
    pub tip: Tip,
    /// Where the next batch goes; `None` where no segment is used.
    pub end: Option<End>,
    /// Segments behind it that are there and zero.
    pub unused: Vec<u64>,
    /// Index of the next segment that is not there.
    pub next_index: u64,
    /// Segments used.
    pub segments: u64,
    /// Batches.
    pub batches: u64,
    /// Records.
    pub records: u64,
    /// What was cut.
    pub cut: Vec<Cut>,
    /// What was found at the cut, with its segment and offset.
    pub cut_reason: Option<(u64, u64, Flaw)>,
    /// Bytes that were written again because nothing said they were durable.
    pub rewritten_bytes: u64,
}

impl Recovered {
    /// True where the log holds no batch: genesis is still to be sequenced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tip.sequence == Sequence::NONE
    }
}

/// Where recovery of the journal begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The first segment that is looked at.
    pub segment: u64,
    /// The first sequence that must be there.
    pub needed: Sequence,
    /// What is known to have been durable: a journal that ends before it is damaged.
    pub durable: Sequence,
}

impl Begin {
    /// With the first segment there is, which must hold `needed` or what is before it.
    #[must_use]
    pub const fn with(needed: Sequence) -> Begin {
        Begin { segment: 0, needed, durable: Sequence::NONE }
    }
}

/// Recovers the journal from its first segment on; it must hold everything from `needed` on.
///
/// # Errors
/// As [`recover_behind`].
pub fn recover(
    log: &LogDir,
    needed: Sequence,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Recovered, RecoveryError> {
    recover_behind(log, Begin::with(needed), progress)
}

/// Recovers the journal, which must hold everything that `begin` names.
///
/// # Errors
/// [`RecoveryError::Damage`] where durable records are not whole; nothing is changed then.
pub fn recover_behind(
    log: &LogDir,
    begin: Begin,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Recovered, RecoveryError> {
    let Begin { segment: from_segment, needed, durable } = begin;
    let limit = Sequence(u64::MAX);
    let options = ScanOptions { id: None, from_segment, limit, verify: Verify::Chain, threads: 1 };
    let scan = scan(log, options, progress).map_err(failed("read", log.dir()))?;
    if let Some(Found { segment, offset, sequence, flaw, damage: true }) = scan.found {
        return Err(RecoveryError::Damage { segment, offset, sequence, flaw });
    }
    if scan.first > needed {
        // A journal that has lost its oldest segments is damaged, as the scan has said.
        let dir = log.dir().to_owned();
        return Err(RecoveryError::Retired { needed, first: scan.first, dir });
    }
    if let Some(Found { segment, offset, sequence, flaw, .. }) = scan.lost_end(durable) {
        return Err(RecoveryError::Damage { segment, offset, sequence, flaw });
    }
    repair(log, scan, true)
}

/// Recovers a log that is derived from the journal (an event log) or bounded by nature (rejects):
/// whatever is not sound, or lies beyond the journal's end, is cut, and archived all the same.
///
/// # Errors
/// [`RecoveryError::Io`].
pub fn recover_derived(
    log: &LogDir,
    id: JournalId,
    journal_end: Sequence,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Recovered, RecoveryError> {
    Derived::look(log, id, Sequence::NONE, journal_end, progress)?.recover()
}

/// What a derived log holds, before anything of it is changed.
pub struct Derived<'a> {
    log: &'a LogDir,
    scan: Scan,
    /// Where it begins, if older segments were retired.
    retired: Option<Retired>,
}

impl<'a> Derived<'a> {
    /// Looks at a log up to the journal's end, where all up to `known` is known otherwise: segments that
    /// end before it are not looked at if the log reaches so far. Nothing is changed.
    ///
    /// # Errors
    /// [`RecoveryError::Io`].
    pub fn look(
        log: &'a LogDir,
        id: JournalId,
        known: Sequence,
        journal_end: Sequence,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Derived<'a>, RecoveryError> {
        assert!(log.kind() != LogKind::Commands, "the journal is derived from nothing");
        let mut look = |from_segment| {
            let (id, limit, verify) = (Some(id), journal_end, Verify::Chain);
            let options = ScanOptions { id, from_segment, limit, verify, threads: 1 };
            scan(log, options, &mut *progress).map_err(failed("read", log.dir()))
        };
        let from = log.segment_of(known).map_err(failed("read", log.dir()))?;
        let mut scan = look(from)?;
        if from > 0 && (scan.end.is_none() || scan.tip.sequence < known) {
            scan = look(0)?;
        }
        let retired = log.retired().map_err(failed("read", log.dir()))?;
        Ok(Derived { log, scan, retired })
    }

    /// The last sequence that is sound; 0 where there is none.
    #[must_use]
    pub fn last(&self) -> Sequence {
        if self.scan.end.is_some() { self.scan.tip.sequence } else { Sequence::NONE }
    }

    /// Where it begins; 0 where it is empty and may begin with the journal.
    #[must_use]
    pub fn first(&self) -> Sequence {
        match self.retired {
            Some(retired) if self.scan.end.is_none() => retired.sequence,
            _ => self.scan.first,
        }
    }

    /// Where what is sound ends, and what stands there: segment, offset, sequence and flaw.
    #[must_use]
    pub fn ends(&self) -> (u64, u64, Sequence, Flaw) {
        let next = self.last().next();
        if let Some(found) = self.scan.found {
            return (found.segment, found.offset, found.sequence.max(next), found.flaw);
        }
        let (segment, offset) =
            self.scan.end.map_or((0, 0), |end| (self.scan.files[end.file].index, end.offset));
        (segment, offset, next, Flaw::Zeros)
    }

    /// Cuts what is not sound, or lies beyond the journal's end, and archives it.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn recover(self) -> Result<Recovered, RecoveryError> {
        if let (Some(retired), None) = (self.retired, self.scan.end) {
            // It cannot begin again at its first record, which is retired.
            let (segment, sequence) = (retired.segment, retired.sequence);
            let flaw = Flaw::MissingSegment;
            return Err(RecoveryError::Damage { segment, offset: 0, sequence, flaw });
        }
        repair(self.log, self.scan, false)
    }
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> RecoveryError {
    let path = path.to_owned();
    move |source| RecoveryError::Io { action, path: path.clone(), source }
}

/// Cuts, writes again, syncs, and tidies away what cannot be used.
fn repair(log: &LogDir, scan: Scan, rewrite: bool) -> Result<Recovered, RecoveryError> {
    let cuts = archive::keep(log, &scan)?;
    let rewritten_bytes = if rewrite { rewrite_unsynced(log, &scan)? } else { 0 };
    for cut in &cuts {
        let path = log.segment_path(cut.segment);
        let file = log.open(&path).map_err(failed("open", &path))?;
        file.allocate(cut.offset, cut.bytes).map_err(failed("zero", &path))?;
        file.sync_data().map_err(failed("sync", &path))?;
    }
    let cut = archive::finish(log, cuts)?;
    let end = scan.end.map(|place| End {
        segment: scan.files[place.file].index,
        offset: place.offset,
        size: scan.end_size.max(scan.files[place.file].length),
    });
    if let (Some(place), Some(end)) = (scan.end, end) {
        extend(log, &scan, place, end.size)?;
    }
    let (unused, next_index) = tidy(log, &scan)?;
    log.storage().sync_dir(log.dir()).map_err(failed("sync", log.dir()))?;
    Ok(Recovered {
        id: scan.end.and(scan.id),
        first: scan.first,
        tip: if scan.end.is_some() { scan.tip } else { Tip::START },
        end,
        unused,
        next_index,
        segments: scan.segments,
        batches: scan.batches,
        records: scan.records,
        cut,
        cut_reason: scan.found.map(|found| (found.segment, found.offset, found.flaw)),
        rewritten_bytes,
    })
}

/// Copies a range from one file to another, or to itself.
pub(super) fn copy(
    source: &dyn File,
    source_offset: u64,
    target: &dyn File,
    target_offset: u64,
    length: u64,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < length {
        let size = COPY_BYTES.min(usize::try_from(length - at).unwrap_or(COPY_BYTES));
        if source.read_at(&mut buffer[..size], source_offset + at)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        target.write_at(&buffer[..size], target_offset + at)?;
        at += size as u64;
    }
    Ok(())
}

/// Writes the same bytes again from the first batch on that nothing says is durable, and syncs.
fn rewrite_unsynced(log: &LogDir, scan: &Scan) -> Result<u64, RecoveryError> {
    let (Some(from), Some(end)) = (scan.unsynced, scan.end) else { return Ok(0) };
    let mut bytes = 0;
    for file in from.file..=end.file {
        let segment = &scan.files[file];
        let start = match file == from.file {
            // With a segment's first batch, its header too.
            true if from.offset > SEGMENT_HEADER_SIZE as u64 => from.offset,
            _ => 0,
        };
        let stop = if file == end.file { end.offset } else { segment.length };
        let open = log.open(&segment.path).map_err(failed("open", &segment.path))?;
        copy(&*open, start, &*open, start, stop - start)
            .map_err(failed("write again", &segment.path))?;
        open.sync_data().map_err(failed("sync", &segment.path))?;
        bytes += stop - start;
    }
    Ok(bytes)
}

/// A segment that someone cut short gets its allocated zeros back.
fn extend(log: &LogDir, scan: &Scan, place: Place, size: u64) -> Result<(), RecoveryError> {
    let segment = &scan.files[place.file];
    if segment.length >= size {
        return Ok(());
    }
    let file = log.open(&segment.path).map_err(failed("open", &segment.path))?;
    file.allocate(segment.length, size - segment.length)
        .map_err(failed("allocate", &segment.path))?;
    file.sync_data().map_err(failed("sync", &segment.path))
}

/// Unused segments that follow without a gap, and the index after them; others are removed.
fn tidy(log: &LogDir, scan: &Scan) -> Result<(Vec<u64>, u64), RecoveryError> {
    let (start, mut next) = match scan.end {
        Some(place) => (place.file + 1, scan.files[place.file].index + 1),
        None => (0, 0),
    };
    let mut unused = Vec::new();
    for segment in &scan.files[start..] {
        if segment.index == next {
            unused.push(next);
            next += 1;
        } else {
            log.storage().remove(&segment.path).map_err(failed("remove", &segment.path))?;
        }
    }
    Ok((unused, next))
}
