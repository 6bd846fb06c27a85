//! Replay: a journal's records become state and events again, offline or beside a running node.
//!
//! Three threads, and buffers that go round: the first reads and checks every CRC and hash of the
//! journal; the second, the caller's, applies the records to the exchange; the third follows the
//! sequencer's half of the state, makes the event log's bytes anew, and compares them with what
//! stands in the event log's files.
//!
//! Invariants: nothing is written; nothing is applied whose checksums and place in the hash chain
//! were not found right; what ends a journal is told apart from what damages it exactly as recovery
//! and `verify` do.

use super::state::{State, TooNew, enact, note};
use crate::event::Event;
use crate::exchange::Outbox;
use crate::journal::event_log::EventLogBuilder;
use crate::journal::format::{JournalId, LogKind, RecordKind, SEGMENT_HEADER_SIZE, Tip, is_zero};
use crate::journal::info::info;
use crate::journal::quarantine::SetAside;
use crate::journal::reader::{ReadError, Reader};
use crate::journal::segment::LogDir;
use crate::journal::verify::{Damage, verify};
use crate::journal::view::{Batch, Record, Verify};
use crate::lanes::apply::CannotApply;
use crate::sequencer::Order;
use crate::sys::storage::Mapping;
use crate::types::{Epoch, Sequence, TimeNs};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Bytes of batches that are handed over at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Buffers that go round.
const CHUNKS: usize = 8;

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
        "the event log is damaged between sequence {first} and {last}: {what}; a start of the node \
         makes it again from the journal"
    )]
    EventLog {
        /// First sequence of the batch.
        first: Sequence,
        /// Its last one.
        last: Sequence,
        /// What is wrong.
        what: String,
    },
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

/// What a replay gave.
pub struct Replayed {
    /// The state at the last sequence.
    pub state: State,
    /// Records applied.
    pub records: u64,
    /// Client commands among them.
    pub commands: u64,
    /// Events they gave.
    pub events: u64,
    /// Events that were found in the event log, byte by byte.
    pub events_compared: u64,
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

/// Replays a journal from its first record.
///
/// `each` is called with every record and its events, `progress` now and then.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(
    commands: &LogDir,
    events: &LogDir,
    until: Until,
    each: &mut dyn FnMut(&Record<'_>, &[Event]),
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
    let limit = if until == Until::Synced { known.synced_to } else { Sequence(u64::MAX) };
    let (filled, to_apply) = bounded(CHUNKS);
    let (applied, to_compare) = bounded(CHUNKS);
    let (emptied, buffers) = bounded(CHUNKS);
    for _ in 0..CHUNKS {
        emptied.send(Chunk::default()).expect("the channel has room for all buffers");
    }
    let mut applier = Applier::new(until);
    applier.state.set_aside = SetAside::find(commands, 0, limit)?;
    let (torn_tail_bytes, follower) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(commands, until, limit, &buffers, filled));
        let follower = scope.spawn(|| follow(events, &to_compare, emptied));
        let ran = applier.run(&to_apply, applied, each, progress);
        // A reader that still has something to hand over finds nobody, and ends.
        drop(to_apply);
        let read = reader.join().expect("a panic is not survived");
        let followed = follower.join().expect("a panic is not survived");
        ran?;
        followed.and_then(|follower| Ok((read?, follower)))
    })?;
    let Applier { mut state, records, commands, events, .. } = applier;
    state.order = follower.order;
    let events_compared = follower.comparison.map_or(0, |comparison| comparison.compared);
    let elapsed = started.elapsed();
    Ok(Replayed { state, records, commands, events, events_compared, torn_tail_bytes, elapsed })
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

    /// Adds a batch of `length` bytes that ends at `end`; its segment is mapped where it was not yet.
    fn add(
        &mut self,
        log: &LogDir,
        mapped: &mut Option<(u64, Arc<dyn Mapping>)>,
        (segment, end): (u64, u64),
        length: usize,
    ) -> io::Result<()> {
        let end = usize::try_from(end).expect("a segment is mapped whole");
        if let Some(place) = self.places.last_mut().filter(|place| place.segment == segment) {
            assert_eq!(place.bytes.end + length, end, "batches have no gaps");
            place.bytes.end = end;
            return Ok(());
        }
        let map = match mapped {
            Some((index, map)) if *index == segment => map.clone(),
            _ => {
                let file = log.open(&log.segment_path(segment))?;
                let map: Arc<dyn Mapping> = file.map(file.len()?)?.into();
                *mapped = Some((segment, map.clone()));
                map
            }
        };
        self.places.push(Place { segment, map, bytes: end - length..end });
        Ok(())
    }
}

/// Reads and checks batches and hands them over; the bytes of a torn tail.
fn read(
    log: &LogDir,
    until: Until,
    limit: Sequence,
    buffers: &Receiver<Chunk>,
    filled: Sender<Chunk>,
) -> Result<u64, ReplayError> {
    let mut reader = Reader::new(log.clone(), Sequence(1), Verify::Chain);
    let (mut last, mut mapped) = (false, None);
    while !last {
        // Nobody hands buffers back, or takes them, where one of the other threads has ended early.
        let Ok(mut chunk) = buffers.recv() else { return Ok(0) };
        chunk.places.clear();
        let mut end = None;
        while chunk.len() < CHUNK_BYTES && !last {
            match reader.next_batch(limit).map(|batch| batch.map(|batch| batch.length())) {
                Ok(Some(length)) => {
                    let at = reader.position().expect("a batch was read");
                    chunk.add(log, &mut mapped, at, length)?;
                }
                Ok(None) => last = true,
                Err(error) => {
                    end = Some(error);
                    last = true;
                }
            }
            last |= match until {
                Until::Sequence(to) => reader.tip().sequence >= to,
                Until::Time(to) => reader.tip().time > to,
                Until::End | Until::Synced => false,
            };
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
    let mut page = vec![0; SEGMENT_HEADER_SIZE];
    for (_, path) in log.segments()?.iter().filter(|(index, _)| *index > segment) {
        let read = log.open(path)?.read_at(&mut page, 0)?;
        if !is_zero(&page[..read]) {
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
    until: Until,
    state: State,
    outbox: Outbox,
    records: u64,
    commands: u64,
    events: u64,
    /// The record was applied that is the last one asked for.
    over: bool,
}

impl Applier {
    fn new(until: Until) -> Applier {
        Applier {
            until,
            state: State::new(),
            outbox: Outbox::default(),
            records: 0,
            commands: 0,
            events: 0,
            over: false,
        }
    }

    fn run(
        &mut self,
        chunks: &Receiver<Chunk>,
        applied: Sender<Chunk>,
        each: &mut dyn FnMut(&Record<'_>, &[Event]),
        progress: &mut dyn FnMut(At),
    ) -> Result<(), CannotApply> {
        for mut chunk in chunks {
            let (mut events, mut counts) =
                (std::mem::take(&mut chunk.events), std::mem::take(&mut chunk.counts));
            events.clear();
            counts.clear();
            let mut sequence = Sequence::NONE;
            for record in chunk.batches().flat_map(|batch| batch.records()) {
                if self.is_over(&record) {
                    break;
                }
                let State { exchange, genesis, set_aside, .. } = &mut self.state;
                let aside = set_aside.of(record.sequence());
                enact(exchange, genesis, aside, &record, &mut self.outbox)?;
                let given = self.outbox.events();
                self.records += 1;
                self.commands += u64::from(record.kind() == RecordKind::Command);
                self.events += given.len() as u64;
                each(&record, given);
                events.extend_from_slice(given);
                counts.push(given.len() as u32);
                sequence = record.sequence();
            }
            let segment = chunk.places.last().map_or(0, |place| place.segment);
            progress(At { sequence, segment });
            let chunk = Chunk { events, counts, ..chunk };
            if applied.send(chunk).is_err() {
                // The comparison has failed.
                break;
            }
        }
        Ok(())
    }

    fn is_over(&mut self, record: &Record<'_>) -> bool {
        self.over |= match self.until {
            Until::Sequence(to) => record.sequence() > to,
            Until::Time(to) => record.time() > to,
            Until::End | Until::Synced => false,
        };
        self.over
    }
}

/// What the following thread has made: the sequencer's half of the state, and what was compared.
struct Follower {
    order: Order,
    comparison: Option<Comparison>,
}

fn follow(
    log: &LogDir,
    chunks: &Receiver<Chunk>,
    emptied: Sender<Chunk>,
) -> Result<Follower, ReplayError> {
    let mut follower = Follower { order: State::new().order, comparison: None };
    for chunk in chunks {
        let (mut events, mut counts) = (chunk.events.as_slice(), chunk.counts.iter());
        for batch in chunk.batches() {
            if follower.comparison.is_none() {
                follower.comparison = Some(Comparison::new(log, batch.id())?);
            }
            follower.batch(&batch, &mut events, &mut counts)?;
        }
        // The reading thread may have ended.
        let _ = emptied.send(chunk);
    }
    Ok(follower)
}

impl Follower {
    fn batch(
        &mut self,
        batch: &Batch<'_>,
        events: &mut &[Event],
        counts: &mut std::slice::Iter<'_, u32>,
    ) -> Result<(), ReplayError> {
        let comparison = self.comparison.as_mut().expect("it is made for the first batch");
        comparison.begin(batch);
        for record in batch.records() {
            // What the rest of the batch would have given is not known: nothing to compare.
            let Some(count) = counts.next() else { return Ok(()) };
            note(&mut self.order, &record);
            let (given, rest) = events.split_at(*count as usize);
            comparison.push(record.time(), given);
            *events = rest;
        }
        comparison.end(batch.last())
    }
}

/// Makes the event log's bytes anew and compares them with the files.
struct Comparison {
    builder: EventLogBuilder,
    reader: Reader,
    /// Last sequence that the files cover.
    last: Sequence,
    /// Events of the batch being made.
    open: u64,
    compared: u64,
}

impl Comparison {
    fn new(log: &LogDir, id: JournalId) -> Result<Comparison, ReplayError> {
        let known = info(log)?;
        Ok(Comparison {
            builder: EventLogBuilder::new(id, Tip::START),
            reader: Reader::new(log.clone(), Sequence(1), Verify::Structure),
            last: known.last,
            open: 0,
            compared: 0,
        })
    }

    /// True where the files hold this batch of the journal.
    fn is_on(&self) -> bool {
        self.builder.complete() < self.last
    }

    fn begin(&mut self, batch: &Batch<'_>) {
        if self.is_on() {
            self.builder.begin_batch(batch.first(), Epoch(batch.header().epoch.get()));
            self.open = 0;
        }
    }

    fn push(&mut self, time: TimeNs, events: &[Event]) {
        if self.is_on() {
            self.builder.push(time, events);
            self.open += events.len() as u64;
        }
    }

    fn end(&mut self, last: Sequence) -> Result<(), ReplayError> {
        if !self.is_on() {
            return Ok(());
        }
        self.builder.end_batch(last);
        let mut rest = self.builder.sealed();
        while !rest.is_empty() {
            let made = Batch::parse(rest).expect("the builder has just sealed it");
            if !matches(&mut self.reader, &made, &mut self.last)? {
                self.open = 0;
                break;
            }
            rest = &rest[made.length()..];
        }
        self.builder.clear();
        self.compared += self.open;
        Ok(())
    }
}

/// Compares a batch with the next one of the event log's files. False where their unfinished end
/// begins, which is then taken for their end.
fn matches(reader: &mut Reader, made: &Batch<'_>, end: &mut Sequence) -> Result<bool, ReplayError> {
    let (first, last) = (made.first(), made.last());
    let flawed = match reader.next_batch(*end) {
        Ok(Some(found)) if found.bytes() == made.bytes() => return Ok(true),
        Ok(Some(found)) => match found.check(LogKind::Events, Verify::Chain, TimeNs(0)) {
            Ok(_) => return Err(ReplayError::Diverged { first, last }),
            Err(flawed) => flawed.to_string(),
        },
        Ok(None) => return Err(ReplayError::Diverged { first, last }),
        Err(error) => error.to_string(),
    };
    if last >= *end {
        // The last batch of all, torn by a crash or being written while it was read.
        *end = Sequence::NONE;
        return Ok(false);
    }
    Err(ReplayError::EventLog { first, last, what: flawed })
}
