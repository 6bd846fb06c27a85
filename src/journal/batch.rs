//! Encodes batches into one buffer that is reused: begin, push records, seal.
//!
//! Invariants: a batch is in the buffer whole or not at all; sealed batches follow one another without
//! gaps, each continuing the hash of the one before; nothing is allocated once the buffer has
//! grown to its usual size. Sequence, epoch and time never step back: that is asserted here, before
//! a byte reaches a disk, and checked again whenever one is read.

use super::format::{
    ALIGN, BATCH_HEADER_SIZE, BATCH_MAGIC, BATCH_PARTIAL, BatchHeader, ENVELOPE_SIZE, Envelope,
    HASH_HEAD, HASH_PIECE_BYTES, HASH_SIZE, HASH_TAIL, Hash, JournalId, LogKind, RECORD_CRC_SIZE,
    RecordKind, SEGMENT_HEADER_SIZE, Tip, VERSION, aligned, crc64,
};
use crate::limits::{BATCH_COUNT_MAX, BATCH_MAX_BYTES};
use crate::sys::sha256::{LANES, hash_each};
use crate::types::{Epoch, KeyId, Priority, Sequence, SessionId, TimeNs};
use sha2::{Digest, Sha256};
use zerocopy::{FromZeros, IntoBytes};

/// A part of the received bytes, counted from their start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub offset: u16,
    /// Bytes; 0 for none.
    pub length: u16,
}

impl Part {
    /// No part.
    pub const NONE: Part = Part { offset: 0, length: 0 };

    /// The part that a range names; `None` where it lies beyond what a record can hold.
    #[must_use]
    pub fn of(range: &std::ops::Range<usize>) -> Option<Part> {
        let offset = u16::try_from(range.start).ok()?;
        let length = u16::try_from(range.len()).ok()?;
        Some(Part { offset, length })
    }

    fn end(self) -> usize {
        usize::from(self.offset) + usize::from(self.length)
    }
}

/// What the envelope of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFields {
    /// What the record is.
    pub kind: RecordKind,
    /// See [`super::format::FLAGS`].
    pub flags: u8,
    /// Its place in the total order.
    pub sequence: Sequence,
    /// The sequencer's time.
    pub time: TimeNs,
    /// Session, 0 for none.
    pub session: SessionId,
    /// Key, 0 for the node itself.
    pub key: KeyId,
    /// The client's own sequence number.
    pub client_sequence: u64,
    /// The client's timestamp.
    pub client_timestamp_ms: i64,
    /// Time after which the command is refused; 0 for never.
    pub expires: TimeNs,
    /// Schema of the canonical command.
    pub schema: u32,
    /// Deliveries so far.
    pub attempt: u16,
    /// Effective priority.
    pub priority: Priority,
    /// Priority that the client sent.
    pub priority_sent: Priority,
    /// The canonical command, where it is a part of the received bytes.
    pub command: Part,
    /// The message id.
    pub message_id: Part,
    /// The source.
    pub source: Part,
    /// Where in the received bytes the SHA-256 of all of them before it stands.
    pub frame_hash: Option<u16>,
}

impl RecordFields {
    /// A record of the node itself: no session, no key, normal priority.
    #[must_use]
    pub const fn new(kind: RecordKind, sequence: Sequence, time: TimeNs) -> RecordFields {
        RecordFields {
            kind,
            flags: 0,
            sequence,
            time,
            session: SessionId(0),
            key: KeyId(0),
            client_sequence: 0,
            client_timestamp_ms: 0,
            expires: TimeNs(0),
            schema: 0,
            attempt: 0,
            priority: Priority::Normal,
            priority_sent: Priority::Normal,
            command: Part::NONE,
            message_id: Part::NONE,
            source: Part::NONE,
            frame_hash: None,
        }
    }
}

/// The batch takes no further record: seal it, begin the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch is full")]
pub struct BatchFull;

/// How large a batch may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Bytes, the header included.
    pub bytes: usize,
    /// Records.
    pub count: u32,
}

impl BatchLimits {
    /// Batches of the steady state.
    pub const NORMAL: BatchLimits =
        BatchLimits { bytes: BATCH_MAX_BYTES, count: BATCH_COUNT_MAX as u32 };

    /// Genesis is one batch however many items it has: whatever fits into a segment.
    #[must_use]
    pub fn genesis(segment_size: u64) -> BatchLimits {
        let bytes = usize::try_from(segment_size).unwrap_or(usize::MAX) - SEGMENT_HEADER_SIZE;
        BatchLimits { bytes: bytes.min(u32::MAX as usize & !(ALIGN - 1)), count: u32::MAX }
    }
}

/// A batch that was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// First sequence.
    pub first: Sequence,
    /// Last sequence.
    pub last: Sequence,
    /// Bytes.
    pub length: usize,
    /// Hash, which the next batch continues.
    pub hash: Hash,
}

/// The batch being filled.
struct Open {
    start: usize,
    first: Sequence,
    last: Sequence,
    count: u32,
    time: TimeNs,
    hash: Sha256,
}

/// Encodes batches of one log.
pub struct BatchBuilder {
    kind: LogKind,
    id: JournalId,
    limits: BatchLimits,
    tip: Tip,
    bytes: Vec<u8>,
    open: Option<Open>,
}

impl BatchBuilder {
    /// A builder that goes on from `tip`.
    #[must_use]
    pub fn new(kind: LogKind, id: JournalId, tip: Tip) -> BatchBuilder {
        BatchBuilder { kind, id, limits: BatchLimits::NORMAL, tip, bytes: Vec::new(), open: None }
    }

    /// The same with a buffer that holds `bytes` before it grows.
    #[must_use]
    pub fn with_capacity(mut self, bytes: usize) -> BatchBuilder {
        self.bytes.reserve(bytes);
        self
    }

    /// Sets how large batches may become from the next one on.
    pub fn set_limits(&mut self, limits: BatchLimits) {
        assert!(limits.bytes <= u32::MAX as usize);
        self.limits = limits;
    }

    /// Begins a batch whose first record takes the sequence after the last one.
    ///
    /// `synced_to` is the highest sequence known to be durable now; recovery relies on it.
    ///
    /// # Panics
    /// If a batch is open, the epoch steps back, or `synced_to` is ahead of the log.
    pub fn begin(&mut self, epoch: Epoch, synced_to: Sequence) {
        assert!(self.open.is_none(), "the batch before is sealed");
        assert!(epoch >= self.tip.epoch, "epochs never step back");
        assert!(synced_to <= self.tip.sequence, "nothing is durable before it is written");
        let first = self.tip.sequence.next();
        let start = self.bytes.len();
        let mut header = BatchHeader::new_zeroed();
        header.magic = BATCH_MAGIC;
        header.previous_hash = self.tip.hash;
        header.journal_id = self.id.0;
        header.first_sequence = first.0.into();
        header.epoch = epoch.0.into();
        header.version = VERSION.into();
        header.header_size = (BATCH_HEADER_SIZE as u16).into();
        header.synced_to = synced_to.0.into();
        self.bytes.extend_from_slice(header.as_bytes());
        let hash = Sha256::new_with_prefix(&header.as_bytes()[HASH_HEAD]);
        self.tip.epoch = epoch;
        let last = self.tip.sequence;
        self.open = Some(Open { start, first, last, count: 0, time: self.tip.time, hash });
    }

    /// Appends a record: the envelope, the received bytes verbatim, and the canonical command where
    /// it is not a part of them (or the payload of a record that is no command).
    ///
    /// # Errors
    /// [`BatchFull`]; the batch is as before.
    ///
    /// # Panics
    /// If no batch is open, a part lies outside the received bytes, or sequence or time step back:
    /// a broken invariant of the sequencer that must never reach the disk.
    #[inline]
    pub fn push(
        &mut self,
        fields: &RecordFields,
        received: &[u8],
        canonical: Option<&[u8]>,
    ) -> Result<(), BatchFull> {
        let open = self.open.as_mut().expect("a record is pushed between begin and seal");
        let extra = canonical.unwrap_or_default();
        let body = ENVELOPE_SIZE + received.len() + extra.len();
        let length = aligned(body) + RECORD_CRC_SIZE;
        let start = self.bytes.len();
        if open.count >= self.limits.count || start - open.start + length > self.limits.bytes {
            return Err(BatchFull);
        }
        match self.kind {
            // An event log's batch may cover commands without events, and several blocks of one.
            LogKind::Events => assert!(fields.sequence >= open.first),
            LogKind::Commands | LogKind::Rejects => assert_eq!(fields.sequence, open.last.next()),
        }
        assert!(fields.time >= open.time, "time never steps back");
        let envelope = envelope(fields, self.tip.epoch, length, received.len(), canonical);
        self.bytes.extend_from_slice(envelope.as_bytes());
        self.bytes.extend_from_slice(received);
        self.bytes.extend_from_slice(extra);
        self.bytes.resize(start + length - RECORD_CRC_SIZE, 0);
        let crc = crc64(&self.bytes[start..]).to_le_bytes();
        self.bytes.extend_from_slice(&crc);
        hash_record(&mut open.hash, &self.bytes[start..], &envelope);
        open.count += 1;
        open.last = fields.sequence;
        open.time = fields.time;
        Ok(())
    }

    /// Seals the batch at its last record.
    ///
    /// # Panics
    /// If no batch is open or it holds no record.
    pub fn seal(&mut self) -> Sealed {
        let open = self.open.as_ref().expect("only an open batch is sealed");
        assert!(open.count > 0, "a batch holds a record");
        let last = open.last;
        self.seal_through(last)
    }

    /// Seals an event log's batch, which covers commands up to `last`, with or without events.
    ///
    /// # Panics
    /// If no batch is open or `last` lies before what it holds.
    pub fn seal_through(&mut self, last: Sequence) -> Sealed {
        self.close(last, 0)
    }

    /// Seals a part of an event log's batch, whose last event is of sequence `last`; the next part
    /// begins with the same sequence as this one.
    ///
    /// # Panics
    /// If no batch is open or it holds no record.
    pub fn seal_part(&mut self, last: Sequence) -> Sealed {
        assert!(self.kind == LogKind::Events, "only an event log's batches have parts");
        assert!(self.open_count() > 0, "a part holds a record");
        self.close(last, BATCH_PARTIAL)
    }

    fn close(&mut self, last: Sequence, flags: u32) -> Sealed {
        let mut open = self.open.take().expect("only an open batch is sealed");
        assert!(last >= open.first, "a batch covers a sequence");
        assert!(last >= open.last, "a batch covers what it holds");
        let length = self.bytes.len() - open.start;
        let head = &mut self.bytes[open.start..];
        let (header, _) = zerocopy::Ref::<_, BatchHeader>::from_prefix(head)
            .expect("begin put a header at the start");
        let header = zerocopy::Ref::into_mut(header);
        header.last_sequence = last.0.into();
        header.flags = flags.into();
        header.count = open.count.into();
        header.length = u32::try_from(length).expect("limits keep a batch below 4 GiB").into();
        open.hash.update(&header.as_bytes()[HASH_TAIL]);
        header.hash = open.hash.finalize().into();
        header.seal();
        self.tip = header.reached(open.time);
        Sealed { first: open.first, last, length, hash: header.hash }
    }

    /// Forgets the open batch, if there is one; its sequences are free again.
    pub fn abandon(&mut self) {
        if let Some(open) = self.open.take() {
            self.bytes.truncate(open.start);
        }
    }

    /// Sealed batches that were not cleared, in order.
    #[must_use]
    pub fn sealed(&self) -> &[u8] {
        let end = self.open.as_ref().map_or(self.bytes.len(), |open| open.start);
        &self.bytes[..end]
    }

    /// Forgets the sealed batches: they are written.
    pub fn clear(&mut self) {
        let end = self.sealed().len();
        if let Some(open) = self.open.as_mut() {
            self.bytes.copy_within(end.., 0);
            open.start = 0;
        }
        self.bytes.truncate(self.bytes.len() - end);
    }

    /// Records of the open batch.
    #[must_use]
    pub fn open_count(&self) -> u32 {
        self.open.as_ref().map_or(0, |open| open.count)
    }

    /// Bytes of the open batch, its header included; 0 where none is open.
    #[must_use]
    pub fn open_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| self.bytes.len() - open.start)
    }

    /// True between `begin` and `seal`.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Time of the last record, sealed or not.
    #[must_use]
    pub fn last_time(&self) -> TimeNs {
        self.open.as_ref().map_or(self.tip.time, |open| open.time)
    }

    /// Goes back to `tip`: what was sealed behind it was never written.
    ///
    /// # Panics
    /// If a batch is open or sealed ones were not cleared.
    pub fn restart(&mut self, tip: Tip) {
        assert!(self.bytes.is_empty(), "what is forgotten was cleared");
        self.tip = tip;
    }

    /// What the last sealed batch reached.
    #[must_use]
    pub fn tip(&self) -> &Tip {
        &self.tip
    }
}

/// Absolute offset and length of a part of the received bytes; zeros for none.
fn place(part: Part, received: usize) -> (u16, u16) {
    if part.length == 0 {
        return (0, 0);
    }
    assert!(part.end() <= received, "a part lies within the received bytes");
    (part.offset + ENVELOPE_SIZE as u16, part.length)
}

#[inline]
fn envelope(
    fields: &RecordFields,
    epoch: Epoch,
    length: usize,
    received: usize,
    canonical: Option<&[u8]>,
) -> Envelope {
    let narrow = |size: usize| u16::try_from(size).expect("limits keep a record's offsets in u16");
    let (command_offset, command_length) = match canonical {
        Some(bytes) => (narrow(ENVELOPE_SIZE + received), narrow(bytes.len())),
        None => place(fields.command, received),
    };
    let (message_id_offset, message_id_length) = place(fields.message_id, received);
    let (source_offset, source_length) = place(fields.source, received);
    let frame_hash_offset = fields
        .frame_hash
        .map_or(0, |offset| place(Part { offset, length: HASH_SIZE as u16 }, received).0);
    Envelope {
        length: (length as u32).into(),
        kind: fields.kind as u8,
        flags: fields.flags,
        envelope_size: (ENVELOPE_SIZE as u16).into(),
        sequence: fields.sequence.0.into(),
        epoch: epoch.0.into(),
        time_ns: fields.time.0.into(),
        client_sequence: fields.client_sequence.into(),
        client_timestamp_ms: fields.client_timestamp_ms.into(),
        expires_ns: fields.expires.0.into(),
        session: fields.session.0.into(),
        key: fields.key.0.into(),
        schema: fields.schema.into(),
        attempt: fields.attempt.into(),
        priority: fields.priority as u8,
        priority_sent: fields.priority_sent as u8,
        received_length: narrow(received).into(),
        command_offset: command_offset.into(),
        command_length: command_length.into(),
        message_id_offset: message_id_offset.into(),
        message_id_length: message_id_length.into(),
        source_offset: source_offset.into(),
        source_length: source_length.into(),
        frame_hash_offset: frame_hash_offset.into(),
    }
}

/// Takes a record into its batch's hash.
///
/// Where the frame carries its own SHA-256 (checked at the gateway, and again by `verify`), that
/// stands for the received bytes, so that the payload is not hashed twice: 128 bytes, two blocks.
/// A canonical command behind the received bytes is hashed itself. An event block is long: the
/// hashes of its pieces stand for it.
#[inline]
pub(crate) fn hash_record(hash: &mut Sha256, record: &[u8], envelope: &Envelope) {
    let crc_at = record.len() - RECORD_CRC_SIZE;
    let frame_hash_at = usize::from(envelope.frame_hash_offset.get());
    if frame_hash_at == 0 {
        hash.update(&record[..ENVELOPE_SIZE]);
        hash.update(&record[crc_at..]);
        let body = &record[ENVELOPE_SIZE..crc_at];
        if envelope.kind == RecordKind::EventBlock as u8 {
            hash_pieces(hash, body);
        } else {
            hash.update(body);
        }
        return;
    }
    let mut block = [0; ENVELOPE_SIZE + RECORD_CRC_SIZE + HASH_SIZE];
    block[..ENVELOPE_SIZE].copy_from_slice(&record[..ENVELOPE_SIZE]);
    block[ENVELOPE_SIZE..][..RECORD_CRC_SIZE].copy_from_slice(&record[crc_at..]);
    block[ENVELOPE_SIZE + RECORD_CRC_SIZE..]
        .copy_from_slice(&record[frame_hash_at..frame_hash_at + HASH_SIZE]);
    hash.update(block);
    let received_end = ENVELOPE_SIZE + usize::from(envelope.received_length.get());
    let command_at = usize::from(envelope.command_offset.get());
    if command_at >= received_end {
        hash.update(&record[command_at..][..usize::from(envelope.command_length.get())]);
    }
}

/// Takes the hashes of a long body's pieces into its batch's hash: pieces are hashed side by side.
fn hash_pieces(hash: &mut Sha256, body: &[u8]) {
    let mut pieces = body.chunks(HASH_PIECE_BYTES);
    loop {
        let mut messages: [&[u8]; LANES] = [&[]; LANES];
        let mut count = 0;
        for (message, piece) in messages.iter_mut().zip(pieces.by_ref()) {
            *message = piece;
            count += 1;
        }
        if count == 0 {
            return;
        }
        let mut hashes = [[0; HASH_SIZE]; LANES];
        hash_each(&messages[..count], &mut hashes[..count]);
        hash.update(hashes[..count].as_flattened());
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::{Batch, Verify};
    use super::*;
    use crate::types::SessionId;

    const ID: JournalId = JournalId([9; 16]);

    /// A frame whose hash stands behind 100 bytes.
    fn frame() -> Vec<u8> {
        let mut frame: Vec<u8> = (0..100).collect();
        let hash = Sha256::digest(&frame);
        frame.extend_from_slice(&hash);
        frame
    }

    fn fields(sequence: u64) -> RecordFields {
        RecordFields {
            session: SessionId(4),
            client_timestamp_ms: -5,
            schema: 1,
            command: Part { offset: 20, length: 44 },
            message_id: Part { offset: 70, length: 9 },
            source: Part { offset: 80, length: 3 },
            frame_hash: Some(100),
            ..RecordFields::new(RecordKind::Command, Sequence(sequence), TimeNs(sequence * 10))
        }
    }

    #[test]
    fn a_sealed_batch_reads_back_what_was_pushed() {
        let mut builder = BatchBuilder::new(LogKind::Commands, ID, Tip::START);
        builder.begin(Epoch(1), Sequence::NONE);
        let frame = frame();
        builder.push(&fields(1), &frame, None).expect("there is room");
        builder.push(&fields(2), &frame, Some(b"canonical")).expect("there is room");
        let tick = RecordFields::new(RecordKind::Tick, Sequence(3), TimeNs(30));
        builder.push(&tick, &[], Some(&[1; 8])).expect("there is room");
        let sealed = builder.seal();
        assert_eq!((sealed.first, sealed.last), (Sequence(1), Sequence(3)));
        assert_eq!(sealed.length, builder.sealed().len());

        let batch = Batch::parse(builder.sealed()).expect("it is whole");
        let tip = batch.check(LogKind::Commands, Verify::Chain, TimeNs(0)).expect("it is sound");
        assert_eq!(&tip, builder.tip());
        let records: Vec<_> = batch.records().collect();
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].received(), frame);
        assert_eq!(records[0].command(), &frame[20..64]);
        assert_eq!(records[0].message_id(), &frame[70..79]);
        assert_eq!(records[0].source(), &frame[80..83]);
        assert_eq!(records[0].frame_hash(), Some(&frame[100..132]));
        assert_eq!(records[0].envelope().client_timestamp_ms.get(), -5);
        assert_eq!(records[1].command(), b"canonical");
        assert_eq!(records[2].kind(), RecordKind::Tick);
        assert_eq!(records[2].received(), b"");
    }

    #[test]
    fn any_flipped_bit_of_a_batch_is_seen_except_none() {
        let mut builder = BatchBuilder::new(LogKind::Commands, ID, Tip::START);
        builder.begin(Epoch(1), Sequence::NONE);
        builder.push(&fields(1), &frame(), Some(b"canonical")).expect("there is room");
        builder.seal();
        let mut bytes = builder.sealed().to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let seen = Batch::parse(&bytes).and_then(|batch| {
                batch.check(LogKind::Commands, Verify::Crc, TimeNs(0)).map(|_| ())
            });
            assert!(seen.is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_full_batch_refuses_and_stays_as_it_was() {
        let mut builder = BatchBuilder::new(LogKind::Commands, ID, Tip::START);
        builder.set_limits(BatchLimits { bytes: 1000, count: 2 });
        builder.begin(Epoch(1), Sequence::NONE);
        assert_eq!(builder.push(&fields(1), &[0; 900], None), Err(BatchFull));
        let frame = frame();
        builder.push(&fields(1), &frame, None).expect("there is room");
        builder.push(&fields(2), &frame, None).expect("there is room");
        assert_eq!(builder.push(&fields(3), &frame, None), Err(BatchFull));
        assert_eq!(builder.seal().last, Sequence(2));
    }

    #[test]
    fn batches_follow_one_another_and_an_abandoned_one_leaves_nothing() {
        let mut builder = BatchBuilder::new(LogKind::Commands, ID, Tip::START);
        builder.begin(Epoch(1), Sequence::NONE);
        builder.push(&fields(1), &frame(), None).expect("there is room");
        let first = builder.seal();
        builder.begin(Epoch(1), Sequence(1));
        builder.push(&fields(2), &frame(), None).expect("there is room");
        builder.abandon();
        assert_eq!(builder.sealed().len(), first.length);
        builder.begin(Epoch(2), Sequence(1));
        builder.push(&fields(2), &frame(), None).expect("there is room");
        builder.clear();
        assert!(builder.sealed().is_empty());
        let second = builder.seal();
        let batch = Batch::parse(builder.sealed()).expect("it is whole");
        assert_eq!(batch.header().previous_hash, first.hash);
        assert_eq!(batch.length(), second.length);
        batch.check(LogKind::Commands, Verify::Chain, TimeNs(0)).expect("it is sound");
    }
}
