//! The state again: the newest snapshot that is of use, and the journal behind it; the event log is
//! compared with what the records give, and completed.
//!
//! Invariants: a snapshot is of use where journal and event log go on from the very batches that it
//! ends with. Where it is not, the one before is taken, and said so; without one the journal's first
//! record is where the state begins. The event log is cut only where what is left leads from there on:
//! one that leads on from nowhere is refused as it is.

use super::boot::{BootError, Logs, Progress, look, prepare};
use super::poison::{self, Trial};
use super::state::State;
use crate::exchange::Outbox;
use crate::journal::event_log::{EventLogBuilder, EventLogWriter};
use crate::journal::format::{JournalId, Tip};
use crate::journal::quarantine::SetAside;
use crate::journal::reader::{ReadError, Reader};
use crate::journal::recovery::{Derived, Recovered, RecoveryError};
use crate::journal::segment::{LogDir, Preparer};
use crate::journal::view::{Flaw, Verify};
use crate::journal::writer::Appended;
use crate::publish::rest::Numbers;
use crate::snapshot::Snapshot;
use crate::snapshot::store::holds;
use crate::types::{Epoch, Sequence};

/// What the journal has built.
pub(super) struct Rebuilt {
    pub(super) event_log: EventLogWriter,
    pub(super) event_preparer: Preparer,
    pub(super) state: State,
    pub(super) numbers: Numbers,
    /// Sequence of the snapshot that it began with; 0 for none.
    pub(super) snapshot: Sequence,
    /// Records applied.
    pub(super) replayed: u64,
}

/// The snapshot that a start begins with, where the event log ends at `events_end` by its headers: one
/// that it does not reach would leave a gap in it.
pub(super) fn base(
    logs: &Logs,
    id: Option<JournalId>,
    events_end: Sequence,
) -> Result<Option<Snapshot>, BootError> {
    let base = newest(logs, id, events_end)?;
    let Some(id) = id.filter(|_| base.is_none()) else { return Ok(base) };
    if is_retired(&logs.commands)? && newest(logs, Some(id), Sequence(u64::MAX))?.is_some() {
        // Before the journal is recovered: it would tell of missing snapshots.
        let end = Sequence(u64::MAX);
        let events = Derived::look(&logs.events, id, Sequence::NONE, end, &mut |_| ())?;
        return Err(lost(logs, &events, None));
    }
    Ok(base)
}

/// Whether the journal's first record is retired.
fn is_retired(journal: &LogDir) -> Result<bool, BootError> {
    let failed = |source| {
        let path = journal.dir().to_owned();
        RecoveryError::Io { action: "look at", path, source }
    };
    Ok(journal.retired().map_err(failed)?.is_some())
}

/// The event log leads on neither from a snapshot nor from the first record.
fn lost(logs: &Logs, events: &Derived<'_>, other_than: Option<Sequence>) -> BootError {
    let (segment, offset, sequence, flaw) = events.ends();
    let what = match (flaw, other_than) {
        (Flaw::Zeros, Some(snapshot)) if events.last() >= snapshot => {
            format!("another history than that of the snapshot of sequence {snapshot} ends")
        }
        (Flaw::Zeros, _) => "it ends".to_owned(),
        (flaw, _) => flaw.to_string(),
    };
    BootError::EventLogLost { dir: logs.events.dir().to_owned(), segment, offset, sequence, what }
}

/// The newest snapshot at or before `limit` from which the journal goes on; newer ones that are of no
/// use are told.
fn newest(
    logs: &Logs,
    id: Option<JournalId>,
    limit: Sequence,
) -> Result<Option<Snapshot>, BootError> {
    let Some(id) = id else { return Ok(None) };
    let found = logs.snapshots.load(&logs.commands, id, limit)?;
    let taken = match &found.snapshot {
        Some((snapshot, ..)) => format!("the one of sequence {} is taken", snapshot.sequence()),
        None => "all of the journal is replayed".to_owned(),
    };
    for skipped in &found.skipped {
        tracing::warn!("{skipped}; {taken}");
    }
    Ok(found.snapshot.map(|(snapshot, ..)| snapshot))
}

/// Replays the journal up to `end`, where it was recovered, behind `base` or an older snapshot.
pub(super) fn rebuild(
    logs: &Logs,
    id: JournalId,
    end: Sequence,
    base: Option<Snapshot>,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Rebuilt, BootError> {
    let Ground { base, recovered } = ground(logs, id, end, base)?;
    let log = logs.events.clone();
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, logs.segments_ahead);
    if recovered.is_empty() {
        prepare(&log, &mut preparer)?;
    }
    // That of the journal's headers, which the event log's have one start later.
    let version = look(&logs.commands)?.application_version;
    let mut events = EventLogWriter::new(log, id, version, &recovered, prepared)?;
    let Start { mut state, mut numbers, mut rebuilt, mut reader } = start(logs, id, base);
    let from = state.order.last;
    state.set_aside = set_aside(&logs.commands, from, end)?;
    poison::check(&logs.commands, from, end, &state.set_aside)?;
    let trial = Trial::begin(&logs.commands);
    let mut outbox = Outbox::default();
    while let Some(batch) = reader.next_batch(end)? {
        rebuilt.begin_batch(batch.first(), Epoch(batch.header().epoch.get()));
        for record in batch.records() {
            trial.of(record.sequence(), &state.set_aside);
            state.apply(&record, &mut outbox)?;
            outbox.events().iter().for_each(|event| numbers.note(event));
            rebuilt.push(record.time(), outbox.events());
        }
        trial.rest();
        rebuilt.end_batch(batch.last());
        let written = recovered.tip.sequence;
        let is_other = batch.last() == written && *rebuilt.chain_hash() != recovered.tip.hash;
        // Batches of the two logs end at the same sequences.
        let ends_inside = batch.first() <= written && written < batch.last();
        if is_other || ends_inside {
            return Err(BootError::Diverged { sequence: written });
        }
        if batch.last() > written {
            write(&mut events, rebuilt.sealed(), &mut preparer, &logs.events)?;
        }
        rebuilt.clear();
        progress(&Progress::Replaying { done: batch.last().0 - from.0, of: end.0 - from.0 });
    }
    trial.passed()?;
    events.go_on_from(rebuilt);
    assert_eq!(events.written(), end, "the event log is as long as the journal");
    let (event_log, event_preparer, replayed) = (events, preparer, end.0 - from.0);
    Ok(Rebuilt { event_log, event_preparer, state, numbers, snapshot: from, replayed })
}

/// What a rebuild goes on from.
struct Ground {
    base: Option<Snapshot>,
    /// The event log.
    recovered: Recovered,
}

/// Takes an older snapshot where the event log does not go on from this one, and recovers the event log
/// when that is known.
fn ground(
    logs: &Logs,
    id: JournalId,
    end: Sequence,
    mut base: Option<Snapshot>,
) -> Result<Ground, BootError> {
    // Recovery of the journal has checked all of it from that snapshot on.
    let checked = base.as_ref().map_or(Sequence::NONE, Snapshot::sequence);
    loop {
        let from = base.as_ref().map_or(Sequence::NONE, Snapshot::sequence);
        let events = Derived::look(&logs.events, id, from, end, &mut |_| ())?;
        match &base {
            None if events.first() > Sequence(1) => {
                let (dir, first) = (logs.events.dir().to_owned(), events.first());
                return Err(BootError::EventLogIncomplete { dir, first });
            }
            Some(snapshot) if !goes_on(&logs.events, &events, snapshot) => {}
            _ => {
                if from < checked {
                    prove(logs, base.as_ref(), checked)?;
                }
                return Ok(Ground { base, recovered: events.recover()? });
            }
        }
        let older = newest(logs, Some(id), Sequence(from.0 - 1))?;
        if older.is_none() && is_retired(&logs.commands)? {
            return Err(lost(logs, &events, Some(from)));
        }
        tracing::warn!(
            "the event log does not go on from the snapshot of sequence {from}: an older one is taken"
        );
        base = older;
    }
}

/// Checks the journal behind a snapshot up to `end`, before anything is cut.
fn prove(logs: &Logs, base: Option<&Snapshot>, end: Sequence) -> Result<(), BootError> {
    let journal = logs.commands.clone();
    let mut reader = match base {
        Some(base) => Reader::behind(journal, base.journal, base.place, Verify::Chain),
        None => Reader::new(journal, Sequence(1), Verify::Chain),
    };
    loop {
        match reader.next_batch(end) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(ReadError::Damaged { segment, offset, sequence, flaw }) => {
                return Err(RecoveryError::Damage { segment, offset, sequence, flaw }.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether what is sound of the event log holds the batch that a snapshot ends with.
fn goes_on(log: &LogDir, events: &Derived<'_>, snapshot: &Snapshot) -> bool {
    events.last() >= snapshot.events.sequence && holds(log, snapshot.events)
}

/// Where a replay begins.
struct Start {
    state: State,
    numbers: Numbers,
    /// Makes the event log's bytes.
    rebuilt: EventLogBuilder,
    reader: Reader,
}

fn start(logs: &Logs, id: JournalId, base: Option<Snapshot>) -> Start {
    // All of it was checked.
    let (journal, verify) = (logs.commands.clone(), Verify::Structure);
    let Some(base) = base else {
        return Start {
            state: State::new(),
            numbers: Numbers::default(),
            rebuilt: EventLogBuilder::new(id, Tip::START),
            reader: Reader::new(journal, Sequence(1), verify),
        };
    };
    let rebuilt = base.event_log();
    let Snapshot { state, numbers, journal: tip, place, .. } = base;
    Start { state, numbers, rebuilt, reader: Reader::behind(journal, tip, place, verify) }
}

/// What the journal sets aside behind `from`.
fn set_aside(journal: &LogDir, from: Sequence, end: Sequence) -> Result<SetAside, BootError> {
    let failed = |source| {
        let path = journal.dir().to_owned();
        RecoveryError::Io { action: "look for quarantines", path, source }
    };
    let segment = journal.segment_of(from).map_err(failed)?;
    Ok(SetAside::find(journal, segment, end).map_err(failed)?)
}

/// Writes a rebuilt batch, preparing segments as they are needed.
fn write(
    events: &mut EventLogWriter,
    sealed: &[u8],
    preparer: &mut Preparer,
    log: &LogDir,
) -> Result<(), BootError> {
    let mut written = 0;
    while events.append(sealed, &mut written)? == Appended::NotReady {
        prepare(log, preparer)?;
    }
    while events.take_sync().is_some() {}
    Ok(())
}
