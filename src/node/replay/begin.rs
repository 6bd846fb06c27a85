//! Where a replay begins: with the journal's first record, or behind a snapshot.

use super::{ReplayError, Since, Until, ended};
use crate::journal::format::{JournalId, Tip};
use crate::journal::info::{LogInfo, first_at};
use crate::journal::reader::{BatchPlace, ReadError, Reader};
use crate::journal::segment::LogDir;
use crate::journal::view::{Batch, Verify};
use crate::node::state::State;
use crate::snapshot::Snapshot;
use crate::snapshot::store::{Skipped, Store};
use crate::types::{Sequence, TimeNs};

/// What is there before the first record that is applied.
pub(super) struct Begin {
    /// The first record that is asked for.
    pub(super) asked: Sequence,
    /// What the journal has built.
    pub(super) state: State,
    /// What the journal has reached.
    pub(super) journal: Tip,
    /// Where its batch may stand.
    pub(super) place: BatchPlace,
    /// What the event log has reached.
    pub(super) events: Tip,
    /// Snapshots that were to be begun with and are of no use.
    pub(super) skipped: Vec<Skipped>,
}

impl Begin {
    /// Finds the place. Without a first record that is asked for, that is the journal's begin: its
    /// first record, or, where that is gone, the oldest snapshot from which the journal goes on. Else
    /// it is the newest sound snapshot before what is asked for.
    pub(super) fn find(
        journal: &LogDir,
        known: &LogInfo,
        (since, until): (Since, Until),
        limit: Sequence,
    ) -> Result<Begin, ReplayError> {
        if since == Since::First {
            return if known.first.0 > 1 {
                Begin::oldest(journal, known, until, limit)
            } else {
                Ok(Begin::first(Sequence(1), Vec::new()))
            };
        }
        let Some(asked) = Asked::find(journal, known, since, limit)? else {
            let last = known.last.min(limit);
            return Err(ReplayError::Beyond { asked: since.to_string(), last });
        };
        if until.is_before(asked.sequence, asked.time) {
            return Err(ReplayError::Backwards { from: since, to: until });
        }
        let before = Sequence(asked.sequence.0 - 1);
        let found = store(journal).load(journal, asked.id, before)?;
        match found.snapshot {
            Some((snapshot, ..)) => Ok(Begin::behind(snapshot, asked.sequence, found.skipped)),
            None if known.first.0 > 1 => {
                let (first, skipped) = (known.first, found.skipped);
                Err(ReplayError::NoSnapshot { first, asked: asked.sequence, skipped })
            }
            None => Ok(Begin::first(asked.sequence, found.skipped)),
        }
    }

    fn first(asked: Sequence, skipped: Vec<Skipped>) -> Begin {
        let (journal, events) = (Tip::START, Tip::START);
        let (state, place) = (State::new(), BatchPlace::default());
        Begin { asked, state, journal, place, events, skipped }
    }

    fn behind(snapshot: Snapshot, asked: Sequence, skipped: Vec<Skipped>) -> Begin {
        let Snapshot { id: _, state, numbers: _, journal, events, place } = snapshot;
        Begin { asked, state, journal, place, events, skipped }
    }

    /// The oldest snapshot from which a journal goes on whose first records are gone.
    fn oldest(
        journal: &LogDir,
        known: &LogInfo,
        until: Until,
        limit: Sequence,
    ) -> Result<Begin, ReplayError> {
        let first = known.first;
        let last = known.last.min(limit);
        let empty = || ReplayError::Beyond { asked: first.to_string(), last };
        let id = Asked::find(journal, known, Since::Sequence(first), limit)?.ok_or_else(empty)?.id;
        let store = store(journal);
        let mut skipped = Vec::new();
        for (sequence, _) in store.list()? {
            if sequence.next() < first || sequence > limit {
                continue;
            }
            let found = store.load(journal, id, sequence)?;
            // Older ones were looked at before.
            skipped.extend(found.skipped.into_iter().filter(|other| other.sequence == sequence));
            let Some((snapshot, ..)) = found.snapshot else { continue };
            if snapshot.sequence() != sequence {
                continue;
            }
            if until.is_before(sequence, snapshot.journal.time) {
                return Err(ReplayError::Gone { first, oldest: sequence, to: until });
            }
            return Ok(Begin::behind(snapshot, sequence.next(), skipped));
        }
        Err(ReplayError::NoSnapshot { first, asked: first, skipped })
    }
}

fn store(journal: &LogDir) -> Store {
    Store::new(journal.storage().clone(), journal.data_dir())
}

/// The first record that is asked for.
struct Asked {
    sequence: Sequence,
    time: TimeNs,
    id: JournalId,
}

impl Asked {
    /// Looks for it in the journal; none where the journal ends before it.
    fn find(
        journal: &LogDir,
        known: &LogInfo,
        since: Since,
        limit: Sequence,
    ) -> Result<Option<Asked>, ReplayError> {
        let (sequence, time) = match since {
            Since::First => (known.first, TimeNs(0)),
            Since::Sequence(sequence) => (Sequence(sequence.0.max(1)), TimeNs(0)),
            Since::Time(time) => (first_at(journal, time)?.max(known.first), time),
        };
        let mut reader = Reader::new(journal.clone(), sequence, Verify::Crc);
        let in_batch = |batch: Batch<'_>| {
            let mut records = batch.records();
            let record =
                records.find(|record| record.sequence() >= sequence && record.time() >= time)?;
            Some(Asked { sequence: record.sequence(), time: record.time(), id: batch.id() })
        };
        loop {
            let found: Result<_, ReadError> =
                reader.next_batch(limit).map(|batch| batch.map(in_batch));
            match found {
                Ok(Some(None)) => {}
                Ok(Some(found)) => return Ok(found),
                Ok(None) => return Ok(None),
                Err(error) => return ended(journal, &reader, error).map(|_| None),
            }
        }
    }
}
