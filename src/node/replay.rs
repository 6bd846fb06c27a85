//! Replay: a journal's records become state and events again, offline or beside a running node.
//!
//! Three threads, and buffers that go round: the first reads and checks every CRC and hash of the
//! journal; the second, the caller's, applies the records to the exchange; the third follows the
//! sequencer's half of the state and compares the events with what stands in the event log's files.
//!
//! Invariants: nothing is written in the data directory; nothing is applied whose checksums, and, unless
//! they were not to be looked at, whose hashes, were not found right; what ends a journal is told apart from what damages it
//! exactly as recovery and `verify` do; wherever a replay begins, its state and its events are those of
//! a replay from the first record.

mod begin;
mod follow;

pub use follow::{Out, Written};

use super::state::{State, TooNew, enact};
use crate::event::Event;
use crate::exchange::Outbox;
use crate::journal::format::{RecordKind, Tip};
use crate::journal::info::info;
use crate::journal::quarantine::SetAside;
use crate::journal::reader::{ReadError, Reader};
use crate::journal::segment::{FirstPage, LogDir};
use crate::journal::verify::{Damage, EVENTS_HELP, verify};
use crate::journal::view::{Batch, Verify};
use crate::lanes::apply::CannotApply;
use crate::sequencer::Order;
use crate::snapshot::store::{Skipped, StoreError};
use crate::sys::storage::Mapping;
use crate::timestamp::Rfc3339;
use crate::types::{Sequence, TimeNs};
use begin::Begin;
use crossbeam::channel::{Receiver, Sender, bounded};
use follow::Follower;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Bytes of batches that are handed over at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Buffers that go round.
const CHUNKS: usize = 8;

/// The first record that a replay is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The first one there is; the replay is one of the whole journal.
    First,
    /// That of this sequence.
    Sequence(Sequence),
    /// The first one of this time or a later one.
    Time(TimeNs),
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Since::First => f.write_str("the first record"),
            Since::Sequence(sequence) => sequence.fmt(f),
            Since::Time(time) => Rfc3339(*time).fmt(f),
        }
    }
}

/// Where a replay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// With the last whole batch.
    End,
    /// With the last batch that is known to be durable: beside the node that writes the journal.
    Synced,
    /// With this sequence, inside a batch or not.
    Sequence(Sequence),
    /// Before the first record that is later.
    Time(TimeNs),
}

impl Until {
    /// True where it lies before a record.
    fn is_before(self, sequence: Sequence, time: TimeNs) -> bool {
        match self {
            Until::Sequence(to) => sequence > to,
            Until::Time(to) => time > to,
            Until::End | Until::Synced => false,
        }
    }

    /// True where nothing that is asked for stands behind a record of the journal that was read.
    fn is_reached(self, tip: &Tip) -> bool {
        match self {
            Until::Sequence(to) => tip.sequence >= to,
            Until::Time(to) => tip.time > to,
            Until::End | Until::Synced => false,
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Until::End => f.write_str("the end"),
            Until::Synced => f.write_str("the end of what is durable"),
            Until::Sequence(sequence) => sequence.fmt(f),
            Until::Time(time) => Rfc3339(*time).fmt(f),
        }
    }
}

/// Why a replay did not reach its end.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// There is no record.
    #[error("the journal is empty")]
    Empty,
    /// Durable records are not as they were written.
    #[error(
        "the journal is damaged: segment {}, offset {}, sequence {}: {}",
        .0.segment, .0.offset, .0.sequence, .0.what
    )]
    Damaged(Damage),
    /// A log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file cannot be read.
    #[error("the journal cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The event log's own checksums are wrong.
    #[error(
        "the event log is damaged between sequence {first} and {last}: {what}; {}",
        EVENTS_HELP
    )]
    EventLog {
        /// First sequence of the batch.
        first: Sequence,
        /// Its last one.
        last: Sequence,
        /// What is wrong.
        what: String,
    },
    /// The event log has another history than the snapshot that the replay began with.
    #[error(
        "the event log is damaged, or is not the one of the snapshot at sequence {sequence}: {what}; {}",
        EVENTS_HELP
    )]
    OtherEvents {
        /// Sequence of the snapshot.
        sequence: Sequence,
        /// What is wrong.
        what: String,
    },
    /// What is asked for is not there yet.
    #[error("the journal ends at sequence {last}, before {asked}")]
    Beyond {
        /// The place that was asked for.
        asked: String,
        /// The last sequence there is.
        last: Sequence,
    },
    /// The range ends before it begins.
    #[error("--from {from} is behind --to {to}")]
    Backwards {
        /// Where it was to begin.
        from: Since,
        /// Where it was to end.
        to: Until,
    },
    /// The journal's first records are gone, and so are the snapshots that a replay could begin with.
    #[error(
        "the journal begins at sequence {first}, and there is no sound snapshot before {asked} from which \
         it goes on{}",
        list(.skipped)
    )]
    NoSnapshot {
        /// The journal's first sequence.
        first: Sequence,
        /// The first record that is asked for.
        asked: Sequence,
        /// Snapshots that are there and of no use.
        skipped: Vec<Skipped>,
    },
    /// The journal's first records are gone, and the end that was asked for with them.
    #[error(
        "the journal begins at sequence {first}, and the oldest snapshot from which it goes on is of \
         sequence {oldest}, behind {to}"
    )]
    Gone {
        /// The journal's first sequence.
        first: Sequence,
        /// Sequence of the snapshot.
        oldest: Sequence,
        /// Where the replay was to end.
        to: Until,
    },
    /// The directory of snapshots cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The events that were asked for cannot be written.
    #[error("the events cannot be written: {0}")]
    Write(io::Error),
    /// A newer release wrote the journal.
    #[error(transparent)]
    TooNew(#[from] TooNew),
    /// A record cannot be applied by this release.
    #[error(transparent)]
    CannotApply(#[from] CannotApply),
    /// The event log is sound and says something else.
    #[error("the journal's records {first} to {last} gave other events than the event log holds")]
    Diverged {
        /// First sequence of the batch.
        first: Sequence,
        /// Its last one.
        last: Sequence,
    },
}

/// Snapshots that were passed over, at the end of a sentence.
fn list(skipped: &[Skipped]) -> String {
    skipped.iter().map(|skipped| format!("; {skipped}")).collect()
}

/// What is asked of a replay.
pub struct Asked<'a> {
    /// The first record that counts. A replay of any but the first begins with the newest snapshot
    /// before it.
    pub since: Since,
    /// Where it ends.
    pub until: Until,
    /// What is checked of the journal's bytes before they are applied.
    pub verify: Verify,
    /// Takes the batches of the event log that belong to the journal's batches with a record that counts.
    pub events: Option<Out<'a>>,
}

impl Asked<'_> {
    /// A replay from the first record there is, with all checks.
    #[must_use]
    pub const fn until(until: Until) -> Asked<'static> {
        Asked { since: Since::First, until, verify: Verify::Chain, events: None }
    }
}

/// What a replay gave.
pub struct Replayed {
    /// The state at the last sequence.
    pub state: State,
    /// The first record that counts.
    pub first: Sequence,
    /// Sequence of the snapshot that it began with; 0 for none.
    pub snapshot: Sequence,
    /// Snapshots that it was to begin with and that cannot be used.
    pub skipped: Vec<Skipped>,
    /// Records applied.
    pub records: u64,
    /// Client commands among them.
    pub applied: u64,
    /// Client commands that count.
    pub commands: u64,
    /// Events they gave.
    pub events: u64,
    /// Events of those that were found in the event log, byte by byte.
    pub events_compared: u64,
    /// What was written of the event log.
    pub written: Written,
    /// Bytes of an unfinished end, which a recovery would cut.
    pub torn_tail_bytes: u64,
    /// From the first byte read to the last record applied.
    pub elapsed: Duration,
}

/// How far a replay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Last sequence applied.
    pub sequence: Sequence,
    /// Segment that the records come from.
    pub segment: u64,
}

/// Replays a journal, from its first record or from a snapshot.
///
/// `progress` is called now and then.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(
    commands: &LogDir,
    events: &LogDir,
    asked: Asked<'_>,
    progress: &mut dyn FnMut(At),
) -> Result<Replayed, ReplayError> {
    let started = Instant::now();
    let known = info(commands)?;
    if known.segments == 0 {
        // Bytes may be there that no segment header leads to: then this is damage, and said so.
        judge(commands)?;
        return Err(ReplayError::Empty);
    }
    TooNew::check(&known)?;
    let Asked { since, until, verify, events: out } = asked;
    let limit = if until == Until::Synced { known.synced_to } else { Sequence(u64::MAX) };
    let begin = Begin::find(commands, &known, (since, until), limit)?;
    let Begin { asked: first, mut state, journal, place, events: made, skipped } = begin;
    state.set_aside = SetAside::find(commands, place.segment, limit)?;
    let (filled, to_apply) = bounded(CHUNKS);
    let (applied, to_compare) = bounded(CHUNKS);
    let (emptied, buffers) = bounded(CHUNKS);
    for _ in 0..CHUNKS {
        emptied.send(Chunk::default()).expect("the channel has room for all buffers");
    }
    let order = std::mem::replace(&mut state.order, Order::none());
    let writes = out.is_some();
    let follower = Follower::new(events.clone(), order, made, first, out);
    let mut applier = Applier::new(state, first, until, writes);
    let (torn_tail_bytes, follower) = std::thread::scope(|scope| {
        let reader = Reader::behind(commands.clone(), journal, place, verify);
        let reader = scope.spawn(move || read(commands, reader, until, limit, &buffers, filled));
        let follower = scope.spawn(move || follower.run(&to_compare, emptied));
        let ran = applier.run(&to_apply, applied, progress);
        // A reader that still has something to hand over finds nobody, and ends.
        drop(to_apply);
        let read = reader.join().expect("a panic is not survived");
        let followed = follower.join().expect("a panic is not survived");
        ran?;
        followed.and_then(|follower| Ok((read?, follower)))
    })?;
    let Applier { mut state, records, applied, commands, events, .. } = applier;
    let Follower { order, compared: events_compared, written, .. } = follower;
    let last = order.last;
    if since != Since::First && last < first {
        return Err(ReplayError::Beyond { asked: since.to_string(), last });
    }
    if let Until::Sequence(to) = until
        && last < to
    {
        return Err(ReplayError::Beyond { asked: to.to_string(), last });
    }
    state.order = order;
    let elapsed = started.elapsed();
    Ok(Replayed {
        state,
        first,
        snapshot: journal.sequence,
        skipped,
        records,
        applied,
        commands,
        events,
        events_compared,
        written,
        torn_tail_bytes,
        elapsed,
    })
}

/// A buffer on its way.
#[derive(Default)]
struct Chunk {
    /// Whole batches that the reading thread has checked, in place.
    places: Vec<Place>,
    /// Events of the records that were applied.
    events: Vec<Event>,
    /// How many events each of them gave.
    counts: Vec<u32>,
    /// How many of them, the last ones, are behind the place where the replay ends: of them only the
    /// events are wanted.
    ahead: usize,
}

/// Batches that follow one another in a segment.
struct Place {
    segment: u64,
    map: Arc<dyn Mapping>,
    bytes: Range<usize>,
}

impl Chunk {
    fn len(&self) -> usize {
        self.places.iter().map(|place| place.bytes.len()).sum()
    }

    fn batches(&self) -> impl Iterator<Item = Batch<'_>> {
        self.places.iter().flat_map(|place| {
            let mut rest = &place.map.bytes()[place.bytes.clone()];
            std::iter::from_fn(move || {
                if rest.is_empty() {
                    return None;
                }
                let batch = Batch::parse(rest).expect("the reading thread has checked it");
                rest = &rest[batch.length()..];
                Some(batch)
            })
        })
    }

    /// Adds the batch of `length` bytes that was read last.
    fn add(&mut self, reader: &Reader, length: usize) {
        let (segment, end) = reader.position().expect("a batch was read");
        let end = usize::try_from(end).expect("a segment is mapped whole");
        if let Some(place) = self.places.last_mut().filter(|place| place.segment == segment) {
            assert_eq!(place.bytes.end + length, end, "batches have no gaps");
            place.bytes.end = end;
            return;
        }
        let map = reader.segment().expect("a batch was read");
        self.places.push(Place { segment, map, bytes: end - length..end });
    }
}

/// Reads and checks batches and hands them over; the bytes of a torn tail.
fn read(
    log: &LogDir,
    mut reader: Reader,
    until: Until,
    limit: Sequence,
    buffers: &Receiver<Chunk>,
    filled: Sender<Chunk>,
) -> Result<u64, ReplayError> {
    let mut last = false;
    while !last {
        // Nobody hands buffers back, or takes them, where one of the other threads has ended early.
        let Ok(mut chunk) = buffers.recv() else { return Ok(0) };
        chunk.places.clear();
        let mut end = None;
        while chunk.len() < CHUNK_BYTES && !last {
            match reader.next_batch(limit).map(|batch| batch.map(|batch| batch.length())) {
                Ok(Some(length)) => chunk.add(&reader, length),
                Ok(None) => last = true,
                Err(error) => {
                    end = Some(error);
                    last = true;
                }
            }
            last |= until.is_reached(reader.tip());
        }
        if filled.send(chunk).is_err() {
            return Ok(0);
        }
        if let Some(error) = end {
            return ended(log, &reader, error);
        }
    }
    Ok(0)
}

/// Whether the place where reading stopped is the journal's end; the bytes of its torn tail.
fn ended(log: &LogDir, reader: &Reader, error: ReadError) -> Result<u64, ReplayError> {
    if !matches!(error, ReadError::Damaged { .. }) {
        return Err(error.into());
    }
    let here = reader.position().map_or(0, |(segment, _)| segment);
    if reader.is_at_end() && is_unused_after(log, here)? {
        return Ok(0);
    }
    judge(log)
}

/// True where every later segment is prepared and not begun.
fn is_unused_after(log: &LogDir, segment: u64) -> io::Result<bool> {
    for (_, path) in log.segments()?.iter().filter(|(index, _)| *index > segment) {
        if !FirstPage::read(&*log.open(path)?)?.is_unused() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lets `verify` tell a torn tail, whose bytes are given, from damage.
fn judge(log: &LogDir) -> Result<u64, ReplayError> {
    let report = verify(log, &mut |_| ())?;
    match report.damage {
        Some(damage) => Err(ReplayError::Damaged(damage)),
        None => Ok(report.torn_tail_bytes),
    }
}

/// The applying thread: the exchange's half of the state.
struct Applier {
    asked: Sequence,
    until: Until,
    /// Whole batches of the event log are wanted, the last one too.
    writes: bool,
    state: State,
    outbox: Outbox,
    records: u64,
    applied: u64,
    commands: u64,
    events: u64,
}

impl Applier {
    fn new(state: State, asked: Sequence, until: Until, writes: bool) -> Applier {
        Applier {
            asked,
            until,
            writes,
            state,
            outbox: Outbox::default(),
            records: 0,
            applied: 0,
            commands: 0,
            events: 0,
        }
    }

    fn run(
        &mut self,
        chunks: &Receiver<Chunk>,
        applied: Sender<Chunk>,
        progress: &mut dyn FnMut(At),
    ) -> Result<(), CannotApply> {
        for mut chunk in chunks {
            let mut made = Made {
                events: std::mem::take(&mut chunk.events),
                counts: std::mem::take(&mut chunk.counts),
            };
            made.events.clear();
            made.counts.clear();
            let (sequence, ahead) = self.chunk(&chunk, &mut made)?;
            let segment = chunk.places.last().map_or(0, |place| place.segment);
            progress(At { sequence, segment });
            let Made { events, counts } = made;
            let chunk = Chunk { events, counts, ahead, ..chunk };
            if applied.send(chunk).is_err() {
                // The comparison has failed.
                break;
            }
        }
        Ok(())
    }

    /// Applies the records of a chunk; the last one, and for how many behind it events were made.
    fn chunk(&mut self, chunk: &Chunk, made: &mut Made) -> Result<(Sequence, usize), CannotApply> {
        let mut sequence = Sequence::NONE;
        for batch in chunk.batches() {
            for record in batch.records() {
                if self.until.is_before(record.sequence(), record.time()) {
                    // No batch follows that has a record before the end.
                    let cut = self.writes && record.sequence() > batch.first();
                    let ahead = if cut { self.ahead(&batch, record.sequence(), made)? } else { 0 };
                    return Ok((sequence, ahead));
                }
                let State { exchange, genesis, set_aside, .. } = &mut self.state;
                let aside = set_aside.of(record.sequence());
                enact(exchange, genesis, aside, &record, &mut self.outbox)?;
                let given = self.outbox.events();
                let command = u64::from(record.kind() == RecordKind::Command);
                self.records += 1;
                self.applied += command;
                if record.sequence() >= self.asked {
                    self.commands += command;
                    self.events += given.len() as u64;
                }
                made.push(given);
                sequence = record.sequence();
            }
        }
        Ok((sequence, 0))
    }

    /// Makes the events of a batch's records from `from` on, behind the place where the replay ends: its
    /// batch of the event log holds them too. How many records there are.
    fn ahead(
        &mut self,
        batch: &Batch<'_>,
        from: Sequence,
        made: &mut Made,
    ) -> Result<usize, CannotApply> {
        // The state is to be that of the end.
        let (mut exchange, mut genesis) = (self.state.exchange.clone(), Vec::new());
        let mut count = 0;
        for record in batch.records().filter(|record| record.sequence() >= from) {
            let aside = self.state.set_aside.of(record.sequence());
            enact(&mut exchange, &mut genesis, aside, &record, &mut self.outbox)?;
            made.push(self.outbox.events());
            count += 1;
        }
        Ok(count)
    }
}

/// What the records of a chunk gave.
struct Made {
    events: Vec<Event>,
    counts: Vec<u32>,
}

impl Made {
    fn push(&mut self, given: &[Event]) {
        self.events.extend_from_slice(given);
        self.counts.push(given.len() as u32);
    }
}
