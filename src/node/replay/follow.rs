//! The following thread of a replay: the sequencer's half of the state; the events, which are compared
//! with those of the event log's files; and the event log's bytes, which are made anew and written where
//! they are asked for.

use super::{Chunk, ReplayError};
use crate::event::{EVENT_SIZE, Event};
use crate::journal::event_log::{EventLogBuilder, last_anywhere};
use crate::journal::format::{LogKind, SEGMENT_CONTINUES, Tip};
use crate::journal::info::info;
use crate::journal::reader::{BatchPlace, Reader};
use crate::journal::segment::LogDir;
use crate::journal::view::{Batch, Verify};
use crate::node::state::note;
use crate::sequencer::Order;
use crate::types::{Epoch, Sequence, TimeNs};
use crossbeam::channel::{Receiver, Sender};
use std::io::{self, Write};

/// Takes bytes of the event log; on the following thread.
pub type Out<'a> = &'a mut (dyn Write + Send);

/// What was written of the event log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// First sequence that it covers; 0 for none.
    pub first: Sequence,
    /// Last one.
    pub last: Sequence,
    /// Batches, partial ones too.
    pub batches: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What the thread has made.
pub(super) struct Follower<'a> {
    log: LogDir,
    /// The first record that is asked for.
    asked: Sequence,
    /// What the event log has reached where the replay begins.
    begin: Tip,
    out: Option<Out<'a>>,
    /// The first batch was seen: what follows is made for it.
    has_begun: bool,
    builder: Option<EventLogBuilder>,
    comparison: Option<Comparison>,
    pub(super) order: Order,
    pub(super) compared: u64,
    pub(super) written: Written,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        log: LogDir,
        order: Order,
        begin: Tip,
        asked: Sequence,
        out: Option<Out<'a>>,
    ) -> Follower<'a> {
        Follower {
            log,
            asked,
            begin,
            out,
            has_begun: false,
            builder: None,
            comparison: None,
            order,
            compared: 0,
            written: Written::default(),
        }
    }

    pub(super) fn run(
        mut self,
        chunks: &Receiver<Chunk>,
        emptied: Sender<Chunk>,
    ) -> Result<Follower<'a>, ReplayError> {
        for chunk in chunks {
            let (mut events, mut counts) = (chunk.events.as_slice(), chunk.counts.iter());
            let mut applied = chunk.counts.len() - chunk.ahead;
            for batch in chunk.batches() {
                self.batch(&batch, &mut events, &mut counts, &mut applied)?;
            }
            // The reading thread may have ended.
            let _ = emptied.send(chunk);
        }
        Ok(self)
    }

    /// Follows a batch of which the first `counts` records gave events, and `applied` changed the state.
    fn batch(
        &mut self,
        batch: &Batch<'_>,
        events: &mut &[Event],
        counts: &mut std::slice::Iter<'_, u32>,
        applied: &mut usize,
    ) -> Result<(), ReplayError> {
        if !self.has_begun {
            self.has_begun = true;
            self.builder = self.out.is_some().then(|| EventLogBuilder::new(batch.id(), self.begin));
            self.comparison = Comparison::new(&self.log, self.begin)?;
        }
        // What the rest of a batch would have given is not known: nothing to compare or to write.
        let is_whole = counts.len() >= batch.header().count.get() as usize;
        let mut builder = self.builder.as_mut().filter(|_| is_whole);
        if let Some(builder) = &mut builder {
            builder.begin_batch(batch.first(), Epoch(batch.header().epoch.get()));
        }
        let all = *events;
        let mut asked = 0;
        for record in batch.records() {
            let Some(count) = counts.next() else { return Ok(()) };
            let (given, rest) = events.split_at(*count as usize);
            *events = rest;
            if let Some(left) = applied.checked_sub(1) {
                *applied = left;
                note(&mut self.order, &record);
                if record.sequence() >= self.asked {
                    asked += given.len() as u64;
                }
            }
            if let Some(builder) = &mut builder {
                builder.push(record.time(), given);
            }
        }
        if is_whole {
            let given = &all[..all.len() - events.len()];
            self.compare(batch, given, asked)?;
            self.write(batch)?;
        }
        Ok(())
    }

    /// Compares what a batch gave; so many of the events were asked for.
    fn compare(
        &mut self,
        batch: &Batch<'_>,
        given: &[Event],
        asked: u64,
    ) -> Result<(), ReplayError> {
        let Some(comparison) = &mut self.comparison else { return Ok(()) };
        let found = comparison.find(batch.first(), batch.last(), given)?;
        self.compared += if found { asked } else { 0 };
        if batch.last() >= comparison.last {
            self.comparison = None;
        }
        Ok(())
    }

    /// Makes and writes the event log's batch, where it is wanted.
    fn write(&mut self, batch: &Batch<'_>) -> Result<(), ReplayError> {
        let (Some(out), Some(builder)) = (&mut self.out, &mut self.builder) else { return Ok(()) };
        builder.end_batch(batch.last());
        if batch.last() >= self.asked {
            let sealed = builder.sealed();
            out.write_all(sealed).map_err(ReplayError::Write)?;
            let written = &mut self.written;
            if written.batches == 0 {
                written.first = batch.first();
            }
            written.last = batch.last();
            written.batches += parts(sealed).count() as u64;
            written.bytes += sealed.len() as u64;
        }
        builder.clear();
        Ok(())
    }
}

/// The batches in bytes that were just sealed.
fn parts(mut rest: &[u8]) -> impl Iterator<Item = Batch<'_>> {
    std::iter::from_fn(move || {
        let made = (!rest.is_empty())
            .then(|| Batch::parse(rest).expect("the builder has just sealed it"))?;
        rest = &rest[made.length()..];
        Some(made)
    })
}

/// Compares events with those of the event log's files, whose CRCs are checked.
struct Comparison {
    reader: Reader,
    /// First sequence that the files cover, from the begin of the replay on.
    first: Sequence,
    /// Last one.
    last: Sequence,
}

impl Comparison {
    /// Finds the batch that follows `begin`, or the first one there is; none where the files end before.
    fn new(log: &LogDir, begin: Tip) -> Result<Option<Comparison>, ReplayError> {
        let known = info(log)?;
        // What stands behind a damaged header is there, and what is damaged is no end.
        let last = last_anywhere(log, &known)?;
        let next = begin.sequence.next();
        if last < next {
            return Ok(None);
        }
        let failed = |error: &dyn std::fmt::Display| ReplayError::OtherEvents {
            sequence: begin.sequence,
            what: error.to_string(),
        };
        if known.first <= next {
            let (log, place) = (log.clone(), BatchPlace::default());
            let mut reader = Reader::behind(log, begin, place, Verify::Crc);
            reader.start().map_err(|error| failed(&error))?;
            return Ok(Some(Comparison { reader, first: next, last }));
        }
        let mut reader = Reader::new(log.clone(), known.first, Verify::Crc);
        // The parts of a batch whose first ones are gone are not compared.
        let mut is_open = begins_inside(log)?;
        while is_open {
            let part = reader.next_batch(last).map_err(|error| failed(&error))?;
            is_open = part.is_some_and(|batch| batch.header().is_partial());
        }
        let first = reader.next_sequence();
        Ok((first <= last).then_some(Comparison { reader, first, last }))
    }

    /// Compares what the journal's batch of these sequences gave; true where the files hold it, false
    /// where they do not reach so far, or begin later.
    fn find(
        &mut self,
        first: Sequence,
        last: Sequence,
        given: &[Event],
    ) -> Result<bool, ReplayError> {
        if first < self.first {
            return Ok(false);
        }
        let flawed = match self.matches(last, given) {
            Ok(true) => return Ok(true),
            Ok(false) => return Err(ReplayError::Diverged { first, last }),
            Err(flawed) => flawed,
        };
        if last >= self.last {
            // The last batch of all, torn by a crash or being written while it was read.
            self.last = Sequence::NONE;
            return Ok(false);
        }
        Err(ReplayError::EventLog { first, last, what: flawed })
    }

    /// Whether the next batch, in one part or several, ends with `last` and holds these events; else
    /// what is wrong with its bytes.
    fn matches(&mut self, last: Sequence, mut given: &[Event]) -> Result<bool, String> {
        loop {
            let next = self.reader.next_batch(self.last).map_err(|error| error.to_string())?;
            let Some(part) = next else { return Ok(false) };
            let is_partial = part.header().is_partial();
            if !holds(&part, &mut given) || (!is_partial && part.last() != last) {
                let sound = part.check(LogKind::Events, Verify::Chain, TimeNs(0));
                return sound.map(|_| false).map_err(|flawed| flawed.to_string());
            }
            if !is_partial {
                return Ok(given.is_empty());
            }
        }
    }
}

/// Whether a batch holds nothing but the first of these events, which are left out of them then.
fn holds(part: &Batch<'_>, given: &mut &[Event]) -> bool {
    let mut bytes = [0; EVENT_SIZE];
    part.records().all(|record| {
        let (found, rest) = record.command().as_chunks::<EVENT_SIZE>();
        let Some((made, left)) = given.split_at_checked(found.len()) else { return false };
        *given = left;
        rest.is_empty()
            && found.iter().zip(made).all(|(found, made)| {
                made.encode(&mut bytes);
                are_equal(&bytes, found)
            })
    })
}

/// Compares two events; inline, without a call for so few bytes.
#[inline]
fn are_equal(one: &[u8; EVENT_SIZE], other: &[u8; EVENT_SIZE]) -> bool {
    let (one, _) = one.as_chunks::<16>();
    let (other, _) = other.as_chunks::<16>();
    let differ = |(a, b): (&[u8; 16], &[u8; 16])| u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b);
    one.iter().zip(other).map(differ).fold(0, |all, one| all | one) == 0
}

const _: () = assert!(EVENT_SIZE.is_multiple_of(16), "events are compared in words of 16 bytes");

/// True where the oldest segment begins with a later part of a batch.
fn begins_inside(log: &LogDir) -> io::Result<bool> {
    let Some((_, path)) = log.segments()?.into_iter().next() else { return Ok(false) };
    let header = log.header(&path)?;
    Ok(header.is_some_and(|header| header.flags.get() & SEGMENT_CONTINUES != 0))
}
