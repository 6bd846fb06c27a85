//! Batches and records as they lie in a segment, read in place.
//!
//! Invariant: a [`Batch`] has a sound header and all its bytes; after [`Batch::check`] every record
//! lies within it and every part within its record. Bytes may be anything at all: nothing here
//! panics on them.

use super::batch::hash_record;
use super::format::{
    ALIGN, BATCH_HEADER_SIZE, BatchHeader, ENVELOPE_SIZE, Envelope, HASH_HEAD, HASH_SIZE,
    HASH_TAIL, JournalId, LogKind, RECORD_CRC_SIZE, RecordKind, Tip, crc64,
};
use crate::sys::sha256::{LANES, hash_each};
use crate::types::{Epoch, KeyId, Sequence, SessionId, TimeNs};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zerocopy::FromBytes;

/// What is wrong with bytes that should be a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// No batch header, or one with a wrong CRC.
    #[error("no sound batch header")]
    Header,
    /// The batch ends behind its segment.
    #[error("the batch is longer than what is left of the segment")]
    Length,
    /// Zeros, and other bytes behind them.
    #[error("zeros where a batch belongs")]
    Zeros,
    /// Bytes behind a segment's last batch.
    #[error("bytes where zeros belong")]
    NotZero,
    /// A segment header that is not sound.
    #[error("no sound segment header")]
    SegmentHeader,
    /// A segment of another kind, place or journal.
    #[error("the segment belongs elsewhere")]
    ForeignSegment,
    /// A segment file that is not there.
    #[error("the segment file is missing")]
    MissingSegment,
    /// The batch is of another journal.
    #[error("the batch is of another journal")]
    ForeignBatch,
    /// The sequence does not go on by one.
    #[error("sequence {found} where {expected} belongs")]
    Gap {
        /// What should come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The previous hash is not that of the batch before.
    #[error("the hash chain is broken")]
    Chain,
    /// The epoch steps back.
    #[error("the epoch steps back")]
    Epoch,
    /// The time steps back.
    #[error("the time steps back")]
    Time,
    /// The record's lengths, offsets or kind cannot be.
    #[error("the record's envelope cannot be")]
    Envelope,
    /// A kind of record that this version does not know.
    #[error("the record is of a kind that this version does not know")]
    Kind,
    /// A version of the format that this version does not know.
    #[error("the segment's format is of a version that is not known here")]
    Version,
    /// The record's CRC-64 is wrong.
    #[error("the record's CRC-64 does not match")]
    Crc,
    /// The frame's own SHA-256 is wrong.
    #[error("the frame's SHA-256 does not match")]
    FrameHash,
    /// The batch's SHA-256 is wrong.
    #[error("the batch's SHA-256 does not match")]
    Hash,
}

impl Flaw {
    /// True for what a torn or lost write cannot leave behind: checksums hold and yet the content is
    /// out of order.
    #[must_use]
    pub const fn is_disorder(self) -> bool {
        match self {
            Flaw::Header
            | Flaw::Length
            | Flaw::Zeros
            | Flaw::NotZero
            | Flaw::SegmentHeader
            | Flaw::MissingSegment
            | Flaw::Envelope
            | Flaw::Crc => false,
            Flaw::ForeignSegment
            | Flaw::Kind
            | Flaw::Version
            | Flaw::ForeignBatch
            | Flaw::Gap { .. }
            | Flaw::Chain
            | Flaw::Epoch
            | Flaw::Time
            | Flaw::FrameHash
            | Flaw::Hash => true,
        }
    }
}

/// A flaw and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{flaw}")]
pub struct Flawed {
    /// Bytes from the batch's start.
    pub at: usize,
    /// The record, where one is known.
    pub sequence: Option<Sequence>,
    /// What is wrong.
    pub flaw: Flaw,
}

impl Flawed {
    fn batch(flaw: Flaw) -> Flawed {
        Flawed { at: 0, sequence: None, flaw }
    }
}

/// How much of a batch is checked when it is read. Lengths, offsets and order always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verify {
    /// Nothing more: the bytes were checked before.
    Structure,
    /// CRC-64 of every record.
    Crc,
    /// CRC-64, frame hashes, and the hash chain.
    Chain,
}

/// A batch in place.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    header: &'a BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the start of `bytes`.
    ///
    /// # Errors
    /// [`Flaw::Header`] and [`Flaw::Length`].
    pub fn parse(bytes: &'a [u8]) -> Result<Batch<'a>, Flawed> {
        let header = BatchHeader::parse(bytes).ok_or(Flawed::batch(Flaw::Header))?;
        let length = header.length.get() as usize;
        let bytes = bytes.get(..length).ok_or(Flawed::batch(Flaw::Length))?;
        Ok(Batch { header, bytes })
    }

    /// A batch that was parsed before, at exactly these bytes.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Batch<'a> {
        let (header, _) = BatchHeader::ref_from_prefix(bytes).expect("it was parsed before");
        Batch { header, bytes }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &'a BatchHeader {
        self.header
    }

    /// The whole batch, header included: what is shipped to a standby.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the batch.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// First sequence.
    #[must_use]
    pub fn first(&self) -> Sequence {
        Sequence(self.header.first_sequence.get())
    }

    /// Last sequence.
    #[must_use]
    pub fn last(&self) -> Sequence {
        Sequence(self.header.last_sequence.get())
    }

    /// The journal it is of.
    #[must_use]
    pub fn id(&self) -> JournalId {
        JournalId(self.header.journal_id)
    }

    /// Whether the header continues `tip`: sequence, hash and epoch.
    ///
    /// # Errors
    /// The flaw. A sound header that does not continue what stands before it is no torn write.
    pub fn follows(&self, tip: &Tip, id: JournalId) -> Result<(), Flawed> {
        let expected = tip.sequence.next();
        if self.id() != id {
            return Err(Flawed::batch(Flaw::ForeignBatch));
        }
        if self.first() != expected {
            let found = self.first().0;
            return Err(Flawed::batch(Flaw::Gap { expected: expected.0, found }));
        }
        if self.header.previous_hash != tip.hash {
            return Err(Flawed::batch(Flaw::Chain));
        }
        if self.header.epoch.get() < tip.epoch.0 {
            return Err(Flawed::batch(Flaw::Epoch));
        }
        Ok(())
    }

    /// Checks the records, none of which may be before `after`, and gives the tip that the batch
    /// reaches.
    ///
    /// # Errors
    /// The first flaw. A record's CRC is checked before what the record says, so that a record that
    /// says what cannot be with a sound CRC is no torn write.
    pub fn check(&self, kind: LogKind, verify: Verify, after: TimeNs) -> Result<Tip, Flawed> {
        let header = self.header;
        if header.is_partial() && kind != LogKind::Events {
            return Err(Flawed::batch(Flaw::Envelope));
        }
        let mut hash = Sha256::new();
        if verify == Verify::Chain {
            hash.update(&self.bytes[HASH_HEAD]);
        }
        let mut sound =
            Sound { end: BATCH_HEADER_SIZE, last: header.first_sequence.get() - 1, time: after };
        let checked = self.check_records(kind, verify, &mut hash, &mut sound);
        if verify == Verify::Chain {
            // Before the flaw of a later record.
            self.check_frames(sound.end)?;
        }
        checked?;
        self.check_end(kind, &sound)?;
        if verify == Verify::Chain {
            hash.update(&self.bytes[HASH_TAIL]);
            if hash.finalize()[..] != header.hash {
                return Err(Flawed::batch(Flaw::Hash));
            }
        }
        Ok(header.reached(sound.time))
    }

    /// Checks the records one by one, but for their frames' hashes, as far as they are sound.
    fn check_records(
        &self,
        kind: LogKind,
        verify: Verify,
        hash: &mut Sha256,
        sound: &mut Sound,
    ) -> Result<(), Flawed> {
        let header = self.header;
        for _ in 0..header.count.get() {
            let Sound { end: at, last: previous, time } = *sound;
            let flawed = |flaw| Flawed { at, sequence: Some(Sequence(previous + 1)), flaw };
            let record = Record::parse_any(&self.bytes[at..]).ok_or(flawed(Flaw::Envelope))?;
            if verify >= Verify::Crc && !record.crc_matches() {
                return Err(flawed(Flaw::Crc));
            }
            if RecordKind::from_u8(record.envelope.kind).is_none() {
                return Err(flawed(Flaw::Kind));
            }
            let sequence = record.sequence().0;
            let in_order = match kind {
                LogKind::Events => {
                    sequence >= header.first_sequence.get().max(previous)
                        && sequence <= header.last_sequence.get()
                }
                LogKind::Commands | LogKind::Rejects => sequence == previous + 1,
            };
            if !in_order {
                return Err(flawed(Flaw::Gap { expected: previous + 1, found: sequence }));
            }
            if record.epoch().0 != header.epoch.get() {
                return Err(flawed(Flaw::Epoch));
            }
            if record.time() < time {
                return Err(flawed(Flaw::Time));
            }
            if verify == Verify::Chain {
                hash_record(hash, record.bytes, record.envelope);
            }
            *sound = Sound { end: at + record.bytes.len(), last: sequence, time: record.time() };
        }
        Ok(())
    }

    /// Checks the frames' own hashes in the records before `end`, many side by side.
    fn check_frames(&self, end: usize) -> Result<(), Flawed> {
        let mut at = BATCH_HEADER_SIZE;
        let mut frames = Records { rest: &self.bytes[at..end] }.filter_map(|record| {
            let begin = at;
            at += record.bytes.len();
            Some((begin, record, record.frame_hash()?))
        });
        let mut found = [[0; HASH_SIZE]; LANES];
        loop {
            let mut messages: [&[u8]; LANES] = [&[]; LANES];
            let mut told: [(usize, Sequence, &[u8]); LANES] = [(0, Sequence::NONE, &[]); LANES];
            let mut count = 0;
            for (begin, record, hash) in frames.by_ref().take(LANES) {
                messages[count] = record.hashed();
                told[count] = (begin, record.sequence(), hash);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            hash_each(&messages[..count], &mut found[..count]);
            for (found, (at, sequence, told)) in found.iter().zip(told).take(count) {
                if found[..] != *told {
                    return Err(Flawed { at, sequence: Some(sequence), flaw: Flaw::FrameHash });
                }
            }
        }
    }

    fn check_end(&self, kind: LogKind, sound: &Sound) -> Result<(), Flawed> {
        let whole = sound.end == self.bytes.len()
            && (kind == LogKind::Events || sound.last == self.header.last_sequence.get());
        if whole { Ok(()) } else { Err(Flawed::batch(Flaw::Length)) }
    }

    /// The records, after [`Batch::check`].
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        Records { rest: &self.bytes[BATCH_HEADER_SIZE..] }
    }
}

/// The records of a batch that were found sound.
#[derive(Clone, Copy)]
struct Sound {
    /// Where they end in the batch.
    end: usize,
    /// Sequence of the last one, or the one before the batch.
    last: u64,
    /// Its time.
    time: TimeNs,
}

/// The records of a batch.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let record = Record::parse(self.rest)?;
        self.rest = &self.rest[record.bytes.len()..];
        Some(record)
    }
}

/// A record in place; its parts lie within it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    envelope: &'a Envelope,
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the start of `bytes`; `None` where lengths, offsets or kind cannot be.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        let record = Record::parse_any(bytes)?;
        RecordKind::from_u8(record.envelope.kind).map(|_| record)
    }

    /// The same, whatever the kind: only for whoever checks it.
    fn parse_any(bytes: &'a [u8]) -> Option<Record<'a>> {
        let (envelope, _) = Envelope::ref_from_prefix(bytes).ok()?;
        let length = envelope.length.get() as usize;
        let bytes = bytes.get(..length)?;
        let body_end = length.checked_sub(RECORD_CRC_SIZE)?;
        let within = |offset: u16, size: u16| {
            let (offset, size) = (usize::from(offset), usize::from(size));
            match size {
                0 => true,
                _ => offset >= ENVELOPE_SIZE && offset + size <= body_end,
            }
        };
        let received_end = ENVELOPE_SIZE + usize::from(envelope.received_length.get());
        let frame_hash = usize::from(envelope.frame_hash_offset.get());
        let good = length.is_multiple_of(ALIGN)
            && usize::from(envelope.envelope_size.get()) == ENVELOPE_SIZE
            && received_end <= body_end
            && within(envelope.command_offset.get(), envelope.command_length.get())
            && within(envelope.message_id_offset.get(), envelope.message_id_length.get())
            && within(envelope.source_offset.get(), envelope.source_length.get())
            && (frame_hash == 0
                || (frame_hash >= ENVELOPE_SIZE && frame_hash + HASH_SIZE <= received_end));
        good.then_some(Record { envelope, bytes })
    }

    /// The envelope.
    #[must_use]
    #[inline]
    pub fn envelope(&self) -> &'a Envelope {
        self.envelope
    }

    /// The whole record.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the record is.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> RecordKind {
        RecordKind::from_u8(self.envelope.kind).expect("parse lets only known kinds pass")
    }

    /// Its place in the total order.
    #[must_use]
    #[inline]
    pub fn sequence(&self) -> Sequence {
        Sequence(self.envelope.sequence.get())
    }

    /// The primary's epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.envelope.epoch.get())
    }

    /// The sequencer's time.
    #[must_use]
    #[inline]
    pub fn time(&self) -> TimeNs {
        TimeNs(self.envelope.time_ns.get())
    }

    /// Session, 0 for none.
    #[must_use]
    pub fn session(&self) -> SessionId {
        SessionId(self.envelope.session.get())
    }

    /// Key, 0 for the node itself.
    #[must_use]
    pub fn key(&self) -> KeyId {
        KeyId(self.envelope.key.get())
    }

    /// Time after which the command is refused; 0 for never.
    #[must_use]
    pub fn expires(&self) -> TimeNs {
        TimeNs(self.envelope.expires_ns.get())
    }

    /// The bytes received, verbatim; none for a record of the node itself.
    #[must_use]
    pub fn received(&self) -> &'a [u8] {
        self.part(ENVELOPE_SIZE as u16, self.envelope.received_length.get())
    }

    /// The canonical command, or the payload of a record that is no command.
    #[must_use]
    #[inline]
    pub fn command(&self) -> &'a [u8] {
        self.part(self.envelope.command_offset.get(), self.envelope.command_length.get())
    }

    /// The message id.
    #[must_use]
    pub fn message_id(&self) -> &'a [u8] {
        self.part(self.envelope.message_id_offset.get(), self.envelope.message_id_length.get())
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &'a [u8] {
        self.part(self.envelope.source_offset.get(), self.envelope.source_length.get())
    }

    /// The frame's own SHA-256, where it carries one.
    #[must_use]
    pub fn frame_hash(&self) -> Option<&'a [u8]> {
        match self.envelope.frame_hash_offset.get() {
            0 => None,
            offset => Some(self.part(offset, HASH_SIZE as u16)),
        }
    }

    fn part(&self, offset: u16, length: u16) -> &'a [u8] {
        match length {
            0 => &[],
            _ => &self.bytes[usize::from(offset)..][..usize::from(length)],
        }
    }

    /// The CRC-64 that closes the record.
    #[must_use]
    pub fn crc(&self) -> u64 {
        let (_, crc) = self.bytes.split_at(self.bytes.len() - RECORD_CRC_SIZE);
        u64::from_le_bytes(crc.try_into().expect("a record ends with its CRC"))
    }

    fn crc_matches(&self) -> bool {
        let (body, crc) = self.bytes.split_at(self.bytes.len() - RECORD_CRC_SIZE);
        crc64(body).to_le_bytes() == crc
    }

    /// The bytes that the frame's own hash is of.
    fn hashed(&self) -> &'a [u8] {
        &self.bytes[ENVELOPE_SIZE..usize::from(self.envelope.frame_hash_offset.get())]
    }
}
