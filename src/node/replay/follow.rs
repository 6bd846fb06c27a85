//! The following thread of a replay: the sequencer's half of the state, and the event log's bytes,
//! which are compared with those of its files and written where they are asked for.

use super::{Chunk, ReplayError};
use crate::event::Event;
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
    /// Both are made for the first batch.
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
        if self.builder.is_none() {
            self.builder = Some(EventLogBuilder::new(batch.id(), self.begin));
            self.comparison = Comparison::new(&self.log, self.begin)?;
        }
        let builder = self.builder.as_mut().expect("it was just made");
        // What the rest of a batch would have given is not known: nothing to compare or to write.
        let is_whole = counts.len() >= batch.header().count.get() as usize;
        let is_wanted = self.out.is_some() || self.comparison.is_some();
        let makes = is_whole && is_wanted;
        if makes {
            builder.begin_batch(batch.first(), Epoch(batch.header().epoch.get()));
        }
        let mut open = 0;
        for record in batch.records() {
            let Some(count) = counts.next() else { return Ok(()) };
            let (given, rest) = events.split_at(*count as usize);
            *events = rest;
            if let Some(left) = applied.checked_sub(1) {
                *applied = left;
                note(&mut self.order, &record);
                if record.sequence() >= self.asked {
                    open += given.len() as u64;
                }
            }
            if makes {
                builder.push(record.time(), given);
            }
        }
        if makes {
            builder.end_batch(batch.last());
            self.end(batch, open)?;
        }
        Ok(())
    }

    /// Compares and writes a batch that was made; `open` of its events were asked for.
    fn end(&mut self, batch: &Batch<'_>, open: u64) -> Result<(), ReplayError> {
        let builder = self.builder.as_mut().expect("a batch was made");
        let sealed = builder.sealed();
        if let Some(comparison) = &mut self.comparison {
            let found = comparison.find(batch.first(), sealed)?;
            self.compared += if found { open } else { 0 };
            if batch.last() >= comparison.last {
                self.comparison = None;
            }
        }
        if let Some(out) = &mut self.out
            && batch.last() >= self.asked
        {
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

/// Compares batches that are made anew with those of the event log's files.
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
            let mut reader = Reader::behind(log, begin, place, Verify::Structure);
            reader.start().map_err(|error| failed(&error))?;
            return Ok(Some(Comparison { reader, first: next, last }));
        }
        let mut reader = Reader::new(log.clone(), known.first, Verify::Structure);
        // The parts of a batch whose first ones are gone are not compared.
        let mut is_open = begins_inside(log)?;
        while is_open {
            let part = reader.next_batch(last).map_err(|error| failed(&error))?;
            is_open = part.is_some_and(|batch| batch.header().is_partial());
        }
        let first = reader.next_sequence();
        Ok((first <= last).then_some(Comparison { reader, first, last }))
    }

    /// Compares what was made for the batch that begins with `first`; true where the files hold it.
    fn find(&mut self, first: Sequence, sealed: &[u8]) -> Result<bool, ReplayError> {
        if first < self.first {
            return Ok(false);
        }
        for made in parts(sealed) {
            if !matches(&mut self.reader, &made, &mut self.last)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// True where the oldest segment begins with a later part of a batch.
fn begins_inside(log: &LogDir) -> io::Result<bool> {
    let Some((_, path)) = log.segments()?.into_iter().next() else { return Ok(false) };
    let header = log.header(&path)?;
    Ok(header.is_some_and(|header| header.flags.get() & SEGMENT_CONTINUES != 0))
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
