//! Folding: the newest snapshot and the journal behind it become the next snapshot.
//!
//! Invariants: nothing is applied whose checksums and place in the hash chain were not found right;
//! nothing behind the journal's last known sync becomes part of a snapshot, unless no node writes the
//! journal and it is recovered here as a start recovers it, so that no snapshot is ahead of what a power
//! cut leaves. Beside a node the data directory's lock is not needed, nor the node asked. No snapshot
//! is removed before the event log is durable up to the oldest one that stays: from any of those a start
//! can go on.

use super::Snapshot;
use super::store::{Skipped, Store, StoreError, holds};
use crate::exchange::Outbox;
use crate::genesis::{GenesisItem, Settings};
use crate::journal::event_log::EventLogBuilder;
use crate::journal::format::{JournalId, LogKind};
use crate::journal::info::{LogInfo, info};
use crate::journal::quarantine::SetAside;
use crate::journal::reader::{BatchPlace, ReadError, Reader};
use crate::journal::recovery::{Begin, RecoveryError, recover_behind};
use crate::journal::segment::LogDir;
use crate::journal::view::{Batch, Verify};
use crate::lanes::apply::CannotApply;
use crate::node::state::TooNew;
use crate::sys::memory;
use crate::types::{Epoch, Sequence};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Memory that a fold takes whatever the state is.
const MEMORY_BASE_BYTES: u64 = 64 << 20;
/// Memory for each byte of a snapshot: the state made of it, and the bytes of the next one.
const MEMORY_PER_BYTE: u64 = 4;
/// The same for each live order and remembered id that the settings allow.
const ORDER_MEMORY_BYTES: u64 = 256;
/// See [`ORDER_MEMORY_BYTES`].
const ID_MEMORY_BYTES: u64 = 128;

/// Why there is no new snapshot.
#[derive(Debug, Error)]
pub enum FoldError {
    /// There is no record, or none that is known to be durable.
    #[error("the journal holds nothing that is known to be durable")]
    Empty,
    /// The first batch, genesis, is longer.
    #[error("no batch of the journal ends at or before sequence {end}: genesis is longer")]
    NoBatch {
        /// Where it was to end.
        end: Sequence,
    },
    /// The sequence lies behind what may be folded.
    #[error("sequence {asked} is not known to be durable: the journal is, up to {synced_to}")]
    Ahead {
        /// What was asked for.
        asked: Sequence,
        /// What is known to be durable.
        synced_to: Sequence,
    },
    /// The sequence lies behind the journal's end.
    #[error("the journal ends at sequence {last}, before {asked}")]
    Behind {
        /// What was asked for.
        asked: Sequence,
        /// The last sequence there is.
        last: Sequence,
    },
    /// The event log, which older snapshots are kept for, cannot be synced.
    #[error("segment {segment} of the event log cannot be synced: {source}")]
    Sync {
        /// The segment.
        segment: u64,
        /// What the operating system says.
        source: io::Error,
    },
    /// A journal that no node writes cannot be recovered.
    #[error("the journal cannot be recovered: {0}")]
    Recovery(#[from] RecoveryError),
    /// The journal cannot be read as it must be.
    #[error("the journal cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The journal's files cannot be looked at.
    #[error("the journal cannot be looked at: {0}")]
    Io(#[from] io::Error),
    /// A newer release wrote the journal.
    #[error(transparent)]
    TooNew(#[from] TooNew),
    /// A record cannot be applied by this release.
    #[error(transparent)]
    CannotApply(#[from] CannotApply),
    /// The directory of snapshots cannot be used as it must be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A second instance of the state does not fit.
    #[error(
        "a second instance of the state needs about {needed} bytes of memory, {available} are free"
    )]
    Memory {
        /// Bytes it may need.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// Who watches it has ended it.
    #[error("it was stopped at sequence {0}")]
    Stopped(Sequence),
}

/// How far a fold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Last sequence applied.
    pub sequence: Sequence,
    /// Where it ends, at most.
    pub end: Sequence,
    /// Segment that it is in.
    pub segment: u64,
}

/// What a fold came to.
#[derive(Debug)]
pub struct Folded {
    /// Sequence of the snapshot.
    pub sequence: Sequence,
    /// Its file.
    pub path: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// It was there already.
    pub known: bool,
    /// Sequence of the snapshot that it was folded from; 0 for none.
    pub from: Sequence,
    /// Records replayed.
    pub records: u64,
    /// Snapshots that could not be used.
    pub skipped: Vec<Skipped>,
    /// Older snapshots that were removed.
    pub removed: usize,
    /// Older ones than are asked for stay, because the event log does not hold what the oldest of
    /// those needs.
    pub waits: bool,
    /// From the first byte read to the last one durable.
    pub elapsed: Duration,
}

/// Folds the journal up to the last batch that it says itself is durable, or to the last one that ends
/// at or before `upto`, and keeps the newest `keep` snapshots. For a journal that a node may be writing.
///
/// `progress` is called after each batch, and may wait there, or end the fold.
///
/// # Errors
/// [`FoldError`]; the snapshots are as they were, but that a new one may be there where the removal of
/// an older one failed.
pub fn fold(
    journal: &LogDir,
    store: &Store,
    upto: Option<Sequence>,
    keep: usize,
    progress: &mut dyn FnMut(At) -> ControlFlow<()>,
) -> Result<Folded, FoldError> {
    let known = info(journal)?;
    let synced_to = known.synced_to;
    let end = match upto {
        Some(asked) if asked > synced_to => return Err(FoldError::Ahead { asked, synced_to }),
        Some(asked) => asked,
        None if synced_to == Sequence::NONE && !known.is_empty() => return Err(FoldError::Empty),
        None => synced_to,
    };
    fold_known(journal, &known, store, upto, keep, &mut |_| Ok(end), progress)
}

/// As [`fold`] up to the last durable batch; `None` where the newest snapshot is there already.
///
/// # Errors
/// As [`fold`].
pub fn fold_behind(
    journal: &LogDir,
    store: &Store,
    keep: usize,
    progress: &mut dyn FnMut(At) -> ControlFlow<()>,
) -> Result<Option<Folded>, FoldError> {
    let known = info(journal)?;
    let Some(id) = known.id else { return Ok(None) };
    let end = known.synced_to;
    if store.reached(id)? >= end {
        return Ok(None);
    }
    fold_known(journal, &known, store, None, keep, &mut |_| Ok(end), progress).map(Some)
}

/// Folds a journal that no node writes up to its last whole batch, or to the last one that ends at or
/// before `upto`; otherwise as [`fold`].
///
/// The journal is recovered first, as a start does it: what stands behind the last known sync is
/// written again and synced, because after a failed sync the page cache may show what the disk does not
/// hold, and an unfinished end is cut. So the caller holds the data directory's lock.
///
/// # Errors
/// As [`fold`]; a journal that a start refuses is refused.
pub fn fold_stopped(
    journal: &LogDir,
    store: &Store,
    upto: Option<Sequence>,
    keep: usize,
    progress: &mut dyn FnMut(At) -> ControlFlow<()>,
) -> Result<Folded, FoldError> {
    let known = info(journal)?;
    let id = known.id;
    let mut recover = |from: Sequence| {
        let durable = id.map_or(Ok(Sequence::NONE), |id| store.reached(id))?;
        let begin = Begin { segment: journal.segment_of(from)?, needed: from.next(), durable };
        let last = recover_behind(journal, begin, &mut |_| ())?.tip.sequence;
        match upto {
            // A first start that was stopped: its torn batch was cut.
            _ if last == Sequence::NONE => Err(FoldError::Empty),
            Some(asked) if asked > last => Err(FoldError::Behind { asked, last }),
            asked => Ok(asked.unwrap_or(last)),
        }
    };
    fold_known(journal, &known, store, upto, keep, &mut recover, progress)
}

/// Folds a journal of which this is known. `end` makes it ready behind the snapshot that the fold begins
/// with, and says where it ends.
fn fold_known(
    journal: &LogDir,
    known: &LogInfo,
    store: &Store,
    upto: Option<Sequence>,
    keep: usize,
    end: &mut dyn FnMut(Sequence) -> Result<Sequence, FoldError>,
    progress: &mut dyn FnMut(At) -> ControlFlow<()>,
) -> Result<Folded, FoldError> {
    let started = Instant::now();
    // A snapshot that is there was known to be durable, even where the journal does not say so yet.
    let newest = upto.unwrap_or(Sequence(u64::MAX));
    TooNew::check(known)?;
    let id = known.id.ok_or(FoldError::Empty)?;
    check_memory(journal, known, store, store.newest_size(newest)?)?;
    let found = store.load(journal, id, newest)?;
    let last = found.snapshot.as_ref().map(|(_, path, bytes)| (path.clone(), *bytes));
    let start = match found.snapshot {
        Some((snapshot, ..)) => snapshot,
        None => first(journal, id)?,
    };
    let from = start.sequence();
    let end = end(from)?;
    let mut folder = Folder::new(start, journal);
    folder.run(end, progress)?;
    let (records, snapshot) = (folder.records, folder.end());
    let sequence = snapshot.sequence();
    if sequence == Sequence::NONE {
        return Err(FoldError::NoBatch { end });
    }
    let (path, bytes, known) = match last {
        Some((path, bytes)) if sequence == from => (path, bytes, true),
        _ => {
            let bytes = snapshot.encode();
            drop(snapshot);
            (store.write(sequence, &bytes)?, bytes.len() as u64, false)
        }
    };
    // An unsound file of this very sequence was replaced.
    let skipped = found.skipped;
    let mut unsound: Vec<PathBuf> =
        skipped.iter().map(|skipped| skipped.path.clone()).filter(|other| *other != path).collect();
    let oldest = loop {
        match store.oldest_of(keep, &unsound)? {
            Some((sequence, path)) if store.check(sequence, &path).is_err() => unsound.push(path),
            other => break other,
        }
    };
    let (removed, waits) = match oldest {
        Some((oldest, path)) if may_begin_with(journal, store, oldest, &path)? => {
            (store.prune_before(oldest)?, false)
        }
        excess => (0, excess.is_some()),
    };
    let elapsed = started.elapsed();
    Ok(Folded { sequence, path, bytes, known, from, records, skipped, removed, waits, elapsed })
}

/// Whether a start may have to do with this snapshot and newer ones: the event log holds, durably, what
/// they go on from. A journal that has all its records, with no event log beside it, makes that again.
fn may_begin_with(
    journal: &LogDir,
    store: &Store,
    oldest: Sequence,
    path: &Path,
) -> Result<bool, FoldError> {
    let events = journal.beside(LogKind::Events);
    let begun = info(&events).map(|events| !events.is_empty());
    if matches!(begun, Ok(false)) && journal.retired()?.is_none() {
        return Ok(true);
    }
    // What cannot be read keeps older snapshots.
    let Ok(head) = store.head(oldest, path) else { return Ok(false) };
    if !holds(&events, head.events()) {
        return Ok(false);
    }
    // From the first one on, as nobody may have asked for any of it before; the batch's last part may
    // stand behind the segment that it begins in.
    let last = events.segment_of(oldest)? + 1;
    for (segment, path) in events.segments()?.into_iter().filter(|(index, _)| *index <= last) {
        let file = match events.open(&path) {
            // It was retired meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        file.sync_data().map_err(|source| FoldError::Sync { segment, source })?;
    }
    Ok(true)
}

/// The state before the first record, which knows what the journal sets aside.
///
/// # Errors
/// The journal cannot be read.
pub fn first(journal: &LogDir, id: JournalId) -> io::Result<Snapshot> {
    let mut start = Snapshot::start(id);
    start.state.set_aside = SetAside::find(journal, 0, Sequence(u64::MAX))?;
    Ok(start)
}

/// Refuses where a second instance of the state may not fit: it would be the node that is killed.
fn check_memory(
    journal: &LogDir,
    known: &LogInfo,
    store: &Store,
    snapshot: u64,
) -> Result<(), FoldError> {
    let Some(available) = memory::available_bytes() else { return Ok(()) };
    // Whatever there is came out of the journal, or out of the snapshot, and fits what genesis allows.
    let by_journal = known.bytes.saturating_add(snapshot).saturating_mul(MEMORY_PER_BYTE);
    let by_settings = settings(journal, store).map_or(u64::MAX, |settings| {
        let orders = u64::from(settings.orders_max).saturating_mul(ORDER_MEMORY_BYTES);
        orders.saturating_add(settings.dedupe_count_max.saturating_mul(ID_MEMORY_BYTES))
    });
    let state = by_journal.min(by_settings).max(snapshot.saturating_mul(MEMORY_PER_BYTE));
    let needed = state.saturating_add(MEMORY_BASE_BYTES);
    if needed > available { Err(FoldError::Memory { needed, available }) } else { Ok(()) }
}

/// The settings of genesis: from the journal's begin or, where that is retired, from a snapshot.
fn settings(journal: &LogDir, store: &Store) -> Option<Settings> {
    let mut reader = Reader::new(journal.clone(), Sequence(1), Verify::Structure);
    let items: Vec<GenesisItem> = match reader.next_batch(Sequence(u64::MAX)) {
        Ok(batch) => batch?
            .records()
            .filter_map(|record| GenesisItem::decode(record.command()).ok())
            .collect(),
        Err(_) => store.genesis().ok()??,
    };
    items.into_iter().find_map(|item| match item {
        GenesisItem::Settings(settings) => Some(settings),
        _ => None,
    })
}

/// A replay that goes on from a snapshot.
pub struct Folder {
    snapshot: Snapshot,
    events: EventLogBuilder,
    outbox: Outbox,
    reader: Reader,
    records: u64,
}

impl Folder {
    /// A replay of a journal behind a snapshot; that the two belong together is found out when it
    /// begins.
    #[must_use]
    pub fn new(snapshot: Snapshot, journal: &LogDir) -> Folder {
        let (tip, place) = (snapshot.journal, snapshot.place);
        let reader = Reader::behind(journal.clone(), tip, place, Verify::Chain);
        let events = snapshot.event_log();
        Folder { snapshot, events, outbox: Outbox::new(), reader, records: 0 }
    }

    /// Replays whole batches up to `end`.
    ///
    /// # Errors
    /// [`FoldError`].
    pub fn run(
        &mut self,
        end: Sequence,
        progress: &mut dyn FnMut(At) -> ControlFlow<()>,
    ) -> Result<(), FoldError> {
        let Folder { snapshot, events, outbox, reader, records } = self;
        reader.start()?;
        while let Some(batch) = reader.next_batch(end)? {
            *records += u64::from(batch.header().count.get());
            apply(snapshot, events, outbox, &batch)?;
            let length = batch.length() as u64;
            let (segment, next) = reader.position().expect("a batch was read");
            snapshot.journal = *reader.tip();
            snapshot.events = *events.tip();
            snapshot.place = BatchPlace { segment, offset: next - length };
            let sequence = snapshot.sequence();
            if progress(At { sequence, end, segment }).is_break() {
                return Err(FoldError::Stopped(sequence));
            }
        }
        Ok(())
    }

    /// Where the replay stands.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where the replay stands, to go on with.
    #[must_use]
    pub fn end(self) -> Snapshot {
        self.snapshot
    }
}

/// Applies a batch to state, numbers and event log.
fn apply(
    snapshot: &mut Snapshot,
    events: &mut EventLogBuilder,
    outbox: &mut Outbox,
    batch: &Batch<'_>,
) -> Result<(), CannotApply> {
    events.begin_batch(batch.first(), Epoch(batch.header().epoch.get()));
    for record in batch.records() {
        snapshot.state.apply(&record, outbox)?;
        outbox.events().iter().for_each(|event| snapshot.numbers.note(event));
        events.push(record.time(), outbox.events());
    }
    events.end_batch(batch.last());
    events.clear();
    Ok(())
}
