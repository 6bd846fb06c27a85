//! The critical lane's event log: derived from the journal, in the journal's own format.
//!
//! Invariants: one batch for each batch of the journal, with or without events, so that "complete
//! up to N" is a sequence and the bytes are the same whenever and wherever the journal is replayed;
//! events of a batch that has too many go on in further parts, only the last of which takes a step.
//! `synced_to` is 0 throughout: whatever is lost or damaged here is cut and made again by replay.

use super::batch::{BatchBuilder, RecordFields};
use super::format::{
    BATCH_HEADER_SIZE, ENVELOPE_SIZE, Hash, JournalId, LogKind, RECORD_CRC_SIZE, RecordKind,
    SEGMENT_HEADER_SIZE, Tip, aligned,
};
use super::info::LogInfo;
use super::reader::{Marks, ReadError, Reader};
use super::recovery::Recovered;
use super::scan::headers;
use super::segment::{LogDir, PreparedSegments};
use super::view::{Batch, Record, Verify};
use super::writer::{Appended, Fault, SyncJob, Writer};
use crate::event::{EVENT_SIZE, Event};
use crate::limits::{BATCH_MAX_BYTES, EVENT_BLOCK_MAX_BYTES};
use crate::types::{Epoch, Sequence, TimeNs};
use std::io;

/// Bytes of events in a full block.
const BLOCK_BYTES: usize = EVENT_BLOCK_MAX_BYTES / EVENT_SIZE * EVENT_SIZE;
/// Bytes that a full block adds to its batch.
const BLOCK_RECORD_BYTES: usize = aligned(ENVELOPE_SIZE + BLOCK_BYTES) + RECORD_CRC_SIZE;

const _: () = assert!(BATCH_HEADER_SIZE + BLOCK_RECORD_BYTES <= BATCH_MAX_BYTES);

/// Builds the batches of an event log in memory: what a writer writes and what a replay compares.
pub struct EventLogBuilder {
    batches: BatchBuilder,
    /// Packed events of the block being filled.
    block: Vec<u8>,
    block_start: (Sequence, TimeNs),
    /// Sequences of the last event in the block, and in the block before.
    block_last: Sequence,
    closed_last: Sequence,
    epoch: Epoch,
}

impl EventLogBuilder {
    /// A builder that goes on from `tip`.
    #[must_use]
    pub fn new(id: JournalId, tip: Tip) -> EventLogBuilder {
        EventLogBuilder {
            batches: BatchBuilder::new(LogKind::Events, id, tip),
            block: Vec::with_capacity(BLOCK_BYTES),
            block_start: (Sequence::NONE, TimeNs(0)),
            block_last: Sequence::NONE,
            closed_last: Sequence::NONE,
            epoch: Epoch(0),
        }
    }

    /// The last sequence whose journal batch is complete here.
    #[must_use]
    pub fn complete(&self) -> Sequence {
        self.batches.tip().sequence
    }

    /// The chain hash at [`EventLogBuilder::complete`].
    #[must_use]
    pub fn chain_hash(&self) -> &Hash {
        &self.batches.tip().hash
    }

    /// What the last batch reached: with it a builder goes on from here.
    #[must_use]
    pub fn tip(&self) -> &Tip {
        self.batches.tip()
    }

    /// Begins the batch that belongs to the journal's batch which begins with `first`.
    ///
    /// # Panics
    /// If batches of the journal were left out, or come again.
    pub fn begin_batch(&mut self, first: Sequence, epoch: Epoch) {
        assert_eq!(first, self.complete().next(), "no batch of the journal is left out");
        self.epoch = epoch;
        self.batches.begin(epoch, Sequence::NONE);
    }

    /// Appends the events of one record, which has this time.
    pub fn push(&mut self, time: TimeNs, events: &[Event]) {
        for event in events {
            if self.block.len() == BLOCK_BYTES {
                self.close_block();
            }
            if self.block.is_empty() {
                self.block_start = (event.sequence, time);
            }
            let mut bytes = [0; EVENT_SIZE];
            event.encode(&mut bytes);
            self.block.extend_from_slice(&bytes);
            self.block_last = event.sequence;
        }
    }

    /// Ends the batch: the journal's batch ended with `last`.
    pub fn end_batch(&mut self, last: Sequence) {
        if !self.block.is_empty() {
            self.close_block();
        }
        self.batches.seal_through(last);
    }

    /// Sealed batches that were not cleared, in order.
    #[must_use]
    pub fn sealed(&self) -> &[u8] {
        self.batches.sealed()
    }

    /// Forgets the sealed batches.
    pub fn clear(&mut self) {
        self.batches.clear();
    }

    /// Pushes the filled block as a record, in a further part where the batch is full.
    fn close_block(&mut self) {
        let added = aligned(ENVELOPE_SIZE + self.block.len()) + RECORD_CRC_SIZE;
        if self.batches.open_bytes() + added > BATCH_MAX_BYTES {
            self.batches.seal_part(self.closed_last);
            self.batches.begin(self.epoch, Sequence::NONE);
        }
        let (sequence, time) = self.block_start;
        let fields = RecordFields::new(RecordKind::EventBlock, sequence, time);
        self.batches.push(&fields, &[], Some(&self.block)).expect("a part holds a block");
        self.closed_last = self.block_last;
        self.block.clear();
    }
}

/// Writes an event log to its files; a helper thread's, and recovery's.
pub struct EventLogWriter {
    builder: EventLogBuilder,
    writer: Writer,
    /// Sealed bytes that the writer has taken.
    written: usize,
    written_bytes: u64,
}

impl EventLogWriter {
    /// A writer that goes on where [`super::recovery::recover_derived`] ended.
    ///
    /// # Errors
    /// The last segment cannot be opened.
    pub fn new(
        log: LogDir,
        id: JournalId,
        application_version: u32,
        recovered: &Recovered,
        prepared: PreparedSegments,
    ) -> Result<EventLogWriter, Fault> {
        assert!(log.kind() == LogKind::Events);
        let builder = EventLogBuilder::new(id, recovered.tip);
        let writer = Writer::new(log, id, application_version, recovered, prepared)?;
        Ok(EventLogWriter { builder, writer, written: 0, written_bytes: 0 })
    }

    /// The batches in the making. What is sealed there is written by [`EventLogWriter::flush`].
    pub fn builder(&mut self) -> &mut EventLogBuilder {
        &mut self.builder
    }

    /// Writes sealed batches that a replay has built, from its byte `written` on, which moves.
    ///
    /// # Errors
    /// [`Fault`], final.
    pub fn append(&mut self, sealed: &[u8], written: &mut usize) -> Result<Appended, Fault> {
        append_all(&mut self.writer, sealed, written)
    }

    /// Goes on with the builder of a replay whose batches are all written.
    ///
    /// # Panics
    /// If batches are left out.
    pub fn go_on_from(&mut self, builder: EventLogBuilder) {
        assert_eq!(builder.complete(), self.written(), "no batch is left out");
        self.builder = builder;
    }

    /// The last sequence whose journal batch is complete in this log, written or about to be.
    #[must_use]
    pub fn complete(&self) -> Sequence {
        self.builder.complete()
    }

    /// The last sequence up to which this log is written: what a reader may be shown.
    #[must_use]
    pub fn written(&self) -> Sequence {
        self.writer.written()
    }

    /// The chain hash at [`EventLogWriter::complete`].
    #[must_use]
    pub fn chain_hash(&self) -> &Hash {
        self.builder.chain_hash()
    }

    /// Appends what is sealed to the log's file.
    ///
    /// # Errors
    /// [`Fault`], final.
    pub fn flush(&mut self) -> Result<Appended, Fault> {
        let appended = append_all(&mut self.writer, self.builder.sealed(), &mut self.written)?;
        if appended == Appended::Written {
            self.written_bytes += self.written as u64;
            self.builder.clear();
            self.written = 0;
        }
        Ok(appended)
    }

    /// Bytes written since this writer began.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// See [`Writer::space_is_low`].
    #[must_use]
    pub fn space_is_low(&self) -> bool {
        self.writer.space_is_low()
    }

    /// Bytes that are sealed and not written yet.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.builder.sealed().len() - self.written
    }

    /// The oldest file with bytes that are not synced, for a [`super::writer::Syncer`].
    pub fn take_sync(&mut self) -> Option<SyncJob> {
        self.writer.take_sync()
    }
}

/// Appends sealed batches from `written` on, as many at once as surely fit behind one roll.
fn append_all(writer: &mut Writer, sealed: &[u8], written: &mut usize) -> Result<Appended, Fault> {
    while *written < sealed.len() {
        let (start, mut end) = (*written, *written);
        while end < sealed.len() {
            let batch = Batch::parse(&sealed[end..]).expect("the builder sealed it");
            if end > start && end - start + batch.length() > BATCH_MAX_BYTES {
                break;
            }
            end += batch.length();
        }
        if writer.append(&sealed[start..end])? == Appended::NotReady {
            return Ok(Appended::NotReady);
        }
        *written = end;
    }
    Ok(Appended::Written)
}

/// The last sequence that a sound header of an event log covers, wherever it stands: behind
/// [`LogInfo::last`] where a header before it is damaged.
///
/// # Errors
/// As the storage tells.
pub fn last_anywhere(log: &LogDir, known: &LogInfo) -> io::Result<Sequence> {
    let mut last = known.last;
    for (_, path) in log.segments()?.into_iter().skip(known.segments.saturating_sub(1)) {
        let file = log.open(&path)?;
        let map = file.map(file.len()?)?;
        for header in headers(map.bytes().get(SEGMENT_HEADER_SIZE..).unwrap_or_default()) {
            let covered = Sequence(header.last_sequence.get());
            let is_own = || Some(JournalId(header.journal_id)) == known.id;
            if covered > last && !header.is_partial() && is_own() {
                last = covered;
            }
        }
    }
    Ok(last)
}

/// The events packed in a block.
pub fn block_events<'a>(record: &Record<'a>) -> impl Iterator<Item = Option<Event>> + use<'a> {
    let (events, _) = record.command().as_chunks::<EVENT_SIZE>();
    events.iter().map(Event::decode)
}

/// Follows an event log in order, behind a cursor.
pub struct EventFollower {
    reader: Reader,
    from: Sequence,
    block: Vec<u8>,
    at: usize,
}

impl EventFollower {
    /// A follower whose first event is the first of sequence `from`.
    #[must_use]
    pub fn new(log: LogDir, from: Sequence, verify: Verify) -> EventFollower {
        assert!(log.kind() == LogKind::Events);
        EventFollower { reader: Reader::new(log, from, verify), from, block: Vec::new(), at: 0 }
    }

    /// The next event, if its sequence is at or below `limit`, a sequence up to which the log is
    /// written. Events of kinds that this version does not know are stepped over.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_event(&mut self, limit: Sequence) -> Result<Option<Event>, ReadError> {
        loop {
            while let Some(bytes) = self.block[self.at..].first_chunk::<EVENT_SIZE>() {
                let event = Event::decode(bytes);
                if event.is_some_and(|event| event.sequence > limit) {
                    return Ok(None);
                }
                self.at += EVENT_SIZE;
                if let Some(event) = event.filter(|event| event.sequence >= self.from) {
                    return Ok(Some(event));
                }
            }
            let Some(record) = self.reader.next_record(limit)? else { return Ok(None) };
            self.block.clear();
            self.block.extend_from_slice(record.command());
            self.at = 0;
        }
    }
}

/// Looks events up by sequence: original answers for duplicates, resends, hashes to compare.
pub struct EventLogReader {
    log: LogDir,
    /// Where the last look-up ended: the next one is likely to be near.
    near: Option<Reader>,
    /// Places passed on the way, so that a segment is walked from its start only once.
    marks: Marks,
}

impl EventLogReader {
    /// A reader of an event log.
    #[must_use]
    pub fn new(log: LogDir) -> EventLogReader {
        assert!(log.kind() == LogKind::Events);
        EventLogReader { log, near: None, marks: Marks::default() }
    }

    /// Appends the events of one sequence to `out`; false where the log is not written up to it.
    ///
    /// # Errors
    /// [`ReadError`]; the CRC of what is read is checked.
    pub fn events_of(
        &mut self,
        sequence: Sequence,
        written: Sequence,
        out: &mut Vec<Event>,
    ) -> Result<bool, ReadError> {
        if sequence > written || sequence == Sequence::NONE {
            return Ok(false);
        }
        let mut reader = self.reader_at(sequence)?;
        let (mut complete, mut is_between) = (false, true);
        while !complete {
            let Some(batch) = reader.next_batch(written)? else { break };
            is_between = !batch.header().is_partial();
            let events = batch.records().flat_map(|record| block_events(&record)).flatten();
            for event in events.filter(|event| event.sequence == sequence) {
                complete |= event.last;
                out.push(event);
            }
            complete |= batch.last() >= sequence && !batch.header().is_partial();
        }
        // Between two parts a reader would step over what the earlier ones hold.
        self.near = is_between.then_some(reader);
        Ok(true)
    }

    /// A reader whose next batch is the first that may hold the sequence.
    fn reader_at(&mut self, sequence: Sequence) -> Result<Reader, ReadError> {
        let near = self.near.take().filter(|reader| reader.next_sequence() <= sequence);
        if let Some(mut reader) = near {
            reader.skip_to(sequence, &mut self.marks)?;
            if reader.has_batch() {
                return Ok(reader);
            }
        }
        let mut reader = Reader::new(self.log.clone(), sequence, Verify::Crc);
        reader.skip_to(sequence, &mut self.marks)?;
        Ok(reader)
    }

    /// The chain hash of the last batch that ends at or before `sequence`, and where it ends.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn chain_hash_at(
        &mut self,
        sequence: Sequence,
        written: Sequence,
    ) -> Result<Option<(Sequence, Hash)>, ReadError> {
        let limit = sequence.min(written);
        if limit == Sequence::NONE {
            return Ok(None);
        }
        let mut reader = Reader::new(self.log.clone(), limit, Verify::Structure);
        reader.skip_to(limit, &mut self.marks)?;
        let before = *reader.tip();
        let reached = match reader.next_batch(limit)? {
            None => before,
            Some(_) => {
                while reader.next_batch(limit)?.is_some() {}
                *reader.tip()
            }
        };
        Ok((reached.sequence != Sequence::NONE).then_some((reached.sequence, reached.hash)))
    }
}
