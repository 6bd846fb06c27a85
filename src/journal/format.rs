//! The bytes of the journal: every layout, once.
//!
//! `journal/FORMAT.md` draws what stands here and a test compares the two. Invariants: numbers are
//! little-endian, everything starts at a multiple of [`ALIGN`], nothing in a segment belongs to one
//! node except a batch's `synced_to`, which therefore stays out of the hash chain.

pub use crate::checksum::crc64;

use crate::types::{Epoch, Sequence, TimeNs};
use sha2::{Digest, Sha256};
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Version of the format.
pub const VERSION: u16 = 1;
/// Batches and records start at multiples of this many bytes.
pub const ALIGN: usize = 8;
/// First bytes of a segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"OUTCRYSG";
/// First bytes of a batch.
pub const BATCH_MAGIC: [u8; 8] = *b"OUTCRYBA";
/// Bytes before a segment's first batch: one page, so that a sync of the header is a page of its own.
pub const SEGMENT_HEADER_SIZE: usize = 4096;
/// Bytes of a batch's header.
pub const BATCH_HEADER_SIZE: usize = size_of::<BatchHeader>();
/// Bytes of a record's envelope.
pub const ENVELOPE_SIZE: usize = size_of::<Envelope>();
/// Bytes of the CRC-64 that closes a record.
pub const RECORD_CRC_SIZE: usize = 8;
/// Bytes of a SHA-256.
pub const HASH_SIZE: usize = 32;
/// Bytes of a piece of an event block that is hashed by itself.
pub const HASH_PIECE_BYTES: usize = 4096;

/// A SHA-256.
pub type Hash = [u8; HASH_SIZE];

/// Which journal a segment or batch is of. Clients never see it, so that no bytes of theirs can
/// pass for a batch when recovery searches behind a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JournalId(pub [u8; 16]);

impl JournalId {
    /// The id of the journal whose genesis has this seed.
    #[must_use]
    pub fn from_seed(seed: &str) -> JournalId {
        let hash = Sha256::new_with_prefix(b"openoutcry journal ").chain_update(seed).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        JournalId(id)
    }
}

impl std::fmt::Display for JournalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum LogKind {
    /// Inputs: the journal itself.
    Commands = 1,
    /// Events of the critical lane.
    Events = 2,
    /// What never got a sequence.
    Rejects = 3,
}

impl LogKind {
    /// Every kind, in numeric order.
    pub const ALL: &'static [LogKind] = &[LogKind::Commands, LogKind::Events, LogKind::Rejects];

    /// The word that stands in names of files and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LogKind::Commands => "commands",
            LogKind::Events => "events",
            LogKind::Rejects => "rejects",
        }
    }
}

macro_rules! record_kinds {
    ($($(#[$doc:meta])* $name:ident = $value:literal => $text:literal,)+) => {
        /// What a record is. Numbers are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum RecordKind { $($(#[$doc])* $name = $value,)+ }

        impl RecordKind {
            /// Every kind, in numeric order.
            pub const ALL: &'static [RecordKind] = &[$(RecordKind::$name,)+];

            /// The kind with this number, if there is one.
            #[must_use]
            #[inline]
            pub const fn from_u8(value: u8) -> Option<RecordKind> {
                match value { $($value => Some(RecordKind::$name),)+ _ => None }
            }

            /// The word used on the command line and in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(RecordKind::$name => $text,)+ }
            }
        }

        impl std::fmt::Display for RecordKind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

record_kinds! {
    /// A client's command.
    Command = 1 => "command",
    /// Time went on: a deadline is due.
    Tick = 2 => "tick",
    /// A client logged on; authentication was done before.
    SessionLogon = 3 => "session-logon",
    /// A client logged out.
    SessionLogout = 4 => "session-logout",
    /// A client's connection was lost.
    SessionLost = 5 => "session-lost",
    /// An outbound administrative message takes a number of its session.
    SessionSend = 6 => "session-send",
    /// An operator's command.
    Admin = 7 => "admin",
    /// One item of genesis, or of a later change to it.
    Genesis = 8 => "genesis",
    /// A primary's reign begins.
    EpochStart = 9 => "epoch-start",
    /// Ack policy or members changed.
    Configuration = 10 => "configuration",
    /// The next step of an operation over many orders.
    Continue = 11 => "continue",
    /// A worker finished a task's step.
    TaskOutcome = 12 => "task-outcome",
    /// Another application version applies from here on.
    Activation = 13 => "activation",
    /// A subject or task is set aside.
    Quarantine = 14 => "quarantine",
    /// More timers than one record may fire are due.
    Timers = 15 => "timers",
    /// Packed events of an event log.
    EventBlock = 16 => "event-block",
    /// What a client was refused before a sequence, in a reject log.
    Reject = 17 => "reject",
}

/// Flag of a record: secrets in the received bytes are blanked, so no frame hash can match them.
pub const FLAG_SECRETS_BLANKED: u8 = 1;
/// Flag of a record: the message was signed and the signature matched.
pub const FLAG_SIGNED: u8 = 2;
/// Flag of a record: the client marked the message as a possible duplicate.
pub const FLAG_POSSIBLE_DUPLICATE: u8 = 4;
/// All flags that this version knows, with their names in documents and tools.
pub const FLAGS: &[(u8, &str)] = &[
    (FLAG_SECRETS_BLANKED, "secrets-blanked"),
    (FLAG_SIGNED, "signed"),
    (FLAG_POSSIBLE_DUPLICATE, "possible-duplicate"),
];

/// Flag of a batch of an event log: more events of the same journal batch follow in the next batch,
/// which begins with the same sequence. It takes no step in the order; only the last part does.
pub const BATCH_PARTIAL: u32 = 1;
/// Flag of a segment of an event log: its first batch goes on with a partial one.
pub const SEGMENT_CONTINUES: u16 = 1;

/// One field of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLayout {
    /// Field name.
    pub name: &'static str,
    /// Bytes from the layout's start.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
}

/// A layout as `FORMAT.md` shows it.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Heading in the document.
    pub title: &'static str,
    /// Bytes.
    pub size: usize,
    /// Fields in order, without gaps.
    pub fields: &'static [FieldLayout],
}

/// Declares layouts as structs and lists them for the document's test.
macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident = $title:literal, $size:literal {
        $($(#[$fdoc:meta])* $field:ident: $ty:ty,)+
    })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[derive(
                zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout,
                zerocopy::Immutable, zerocopy::Unaligned
            )]
            #[repr(C)]
            pub struct $name { $($(#[$fdoc])* pub $field: $ty,)+ }
            const _: () = assert!(size_of::<$name>() == $size);
        )+

        /// Every layout of this file, for the test that compares them with `FORMAT.md`.
        pub const LAYOUTS: &[$crate::journal::format::Layout] = &[$(
            $crate::journal::format::Layout {
                title: $title,
                size: $size,
                fields: &[$($crate::journal::format::FieldLayout {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    size: size_of::<$ty>(),
                },)+],
            },
        )+];
    };
}
pub(crate) use layout;

layout! {
    /// The start of a segment's first page; the rest of the page is zero. A page of zeros is a segment
    /// that is prepared and not used yet.
    SegmentHeader = "Segment header", 128 {
        /// [`SEGMENT_MAGIC`].
        magic: [u8; 8],
        /// [`VERSION`].
        version: U16,
        /// [`SEGMENT_HEADER_SIZE`].
        header_size: U16,
        /// [`LogKind`].
        kind: U16,
        /// [`SEGMENT_CONTINUES`].
        flags: U16,
        /// The number in the file's name.
        index: U64,
        /// [`JournalId`].
        journal_id: [u8; 16],
        /// First sequence of the first batch.
        first_sequence: U64,
        /// Time of the first record of the first batch, 0 where that batch has none.
        first_time_ns: U64,
        /// Epoch of the first batch.
        epoch: U64,
        /// Hash of the batch before the first.
        previous_hash: Hash,
        /// Bytes of the segment, this page included.
        segment_size: U64,
        /// Application version that was in force.
        application_version: U32,
        /// Zero.
        reserved: U32,
        /// Zero.
        reserved_2: U64,
        /// CRC-64/XZ of all bytes before it.
        crc: U64,
    }

    /// The start of a batch, the atomic unit. The order of the fields keeps what is known at its
    /// beginning together: with 64 bytes the hash of the records starts at a block of SHA-256.
    BatchHeader = "Batch header", 144 {
        /// [`BATCH_MAGIC`].
        magic: [u8; 8],
        /// Hash of the batch before; zero for the first of a log.
        previous_hash: Hash,
        /// [`JournalId`].
        journal_id: [u8; 16],
        /// Sequence of the first record (in an event log: first sequence that the batch covers).
        first_sequence: U64,
        /// Epoch of all its records.
        epoch: U64,
        /// Sequence of the last record (in an event log: last sequence that the batch covers).
        last_sequence: U64,
        /// Records.
        count: U32,
        /// Bytes, this header included; a multiple of 8.
        length: U32,
        /// [`VERSION`].
        version: U16,
        /// [`BATCH_HEADER_SIZE`].
        header_size: U16,
        /// [`BATCH_PARTIAL`].
        flags: U32,
        /// Highest sequence known to be durable when this was written. Not part of the hash: it is
        /// the one thing that a standby writes differently.
        synced_to: U64,
        /// SHA-256, see `FORMAT.md`.
        hash: Hash,
        /// CRC-64/XZ of all bytes before it.
        crc: U64,
    }

    /// The start of a record. Offsets count from the record's start, 0 with length 0 for none.
    Envelope = "Record envelope", 88 {
        /// Bytes of the record, this envelope and the closing CRC included; a multiple of 8.
        length: U32,
        /// [`RecordKind`].
        kind: u8,
        /// [`FLAGS`].
        flags: u8,
        /// [`ENVELOPE_SIZE`]; the received bytes start there.
        envelope_size: U16,
        /// Place in the total order.
        sequence: U64,
        /// The primary's epoch.
        epoch: U64,
        /// The sequencer's time.
        time_ns: U64,
        /// The client's own sequence number.
        client_sequence: U64,
        /// The client's timestamp.
        client_timestamp_ms: I64,
        /// Time after which the command is refused; 0 for never.
        expires_ns: U64,
        /// Session; 0 for none.
        session: U32,
        /// Key; 0 for the node itself.
        key: U32,
        /// Schema of the canonical command.
        schema: U32,
        /// Earlier deliveries by the node itself.
        attempt: U16,
        /// Priority it was sequenced with.
        priority: u8,
        /// Priority that the client sent.
        priority_sent: u8,
        /// Bytes received, verbatim, from `envelope_size` on.
        received_length: U16,
        /// The canonical command, or the payload of a record that is no command.
        command_offset: U16,
        /// See `command_offset`.
        command_length: U16,
        /// The message id.
        message_id_offset: U16,
        /// See `message_id_offset`.
        message_id_length: U16,
        /// The source.
        source_offset: U16,
        /// See `source_offset`.
        source_length: U16,
        /// The frame's own SHA-256, that of all received bytes before it; 0 where there is none.
        frame_hash_offset: U16,
    }
}

/// Bytes of a batch header that the hash starts with: from the previous hash to the epoch.
pub(crate) const HASH_HEAD: std::ops::Range<usize> = 8..72;
/// Bytes of a batch header that the hash ends with: what is known when the batch is sealed.
pub(crate) const HASH_TAIL: std::ops::Range<usize> = 72..96;

const _: () = assert!(std::mem::offset_of!(BatchHeader, previous_hash) == HASH_HEAD.start);
const _: () = assert!(std::mem::offset_of!(BatchHeader, last_sequence) == HASH_HEAD.end);
const _: () = assert!(std::mem::offset_of!(BatchHeader, synced_to) == HASH_TAIL.end);
const _: () = assert!(HASH_HEAD.end - HASH_HEAD.start == 64);
// Envelope, CRC and frame hash are exactly two blocks of SHA-256.
const _: () = assert!(ENVELOPE_SIZE + RECORD_CRC_SIZE + HASH_SIZE == 128);
const _: () = assert!(BATCH_HEADER_SIZE.is_multiple_of(ALIGN));
const _: () = assert!(ENVELOPE_SIZE.is_multiple_of(ALIGN));
const _: () = assert!(SEGMENT_HEADER_SIZE.is_multiple_of(ALIGN));
// The longest event block starts and ends within reach of a u16 offset and length.
const _: () = assert!(
    crate::limits::EVENT_BLOCK_MAX_BYTES / crate::event::EVENT_SIZE * crate::event::EVENT_SIZE
        <= u16::MAX as usize
);

/// `size` rounded up to [`ALIGN`].
#[must_use]
#[inline]
pub const fn aligned(size: usize) -> usize {
    size.next_multiple_of(ALIGN)
}

/// True where every byte is zero; page by page, so that it runs at memory speed.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// Bytes up to and with the last one that is not zero.
#[must_use]
pub fn used_length(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    while end > 0 {
        let start = end.saturating_sub(4096);
        if let Some(last) = bytes[start..end].iter().rposition(|byte| *byte != 0) {
            return start + last + 1;
        }
        end = start;
    }
    0
}

/// How far a log has come: what the next batch must continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Last sequence.
    pub sequence: Sequence,
    /// Time of the last record.
    pub time: TimeNs,
    /// Epoch of the last batch.
    pub epoch: Epoch,
    /// Hash of the last batch.
    pub hash: Hash,
}

impl Tip {
    /// Before the first batch.
    pub const START: Tip =
        Tip { sequence: Sequence::NONE, time: TimeNs(0), epoch: Epoch(0), hash: [0; HASH_SIZE] };
}

impl SegmentHeader {
    /// The header of a log's segment that goes on from `tip`; fields of the first batch are given.
    #[must_use]
    pub fn new(kind: LogKind, id: JournalId, index: u64, segment_size: u64) -> SegmentHeader {
        let mut header = SegmentHeader::new_zeroed();
        header.magic = SEGMENT_MAGIC;
        header.version = VERSION.into();
        header.header_size = (SEGMENT_HEADER_SIZE as u16).into();
        header.kind = (kind as u16).into();
        header.index = index.into();
        header.journal_id = id.0;
        header.segment_size = segment_size.into();
        header
    }

    /// Computes the CRC; every other field is final.
    pub fn seal(&mut self) {
        self.crc = self.expected_crc().into();
    }

    /// The page as it stands in the file.
    #[must_use]
    pub fn page(&self) -> Box<[u8]> {
        let mut page = vec![0; SEGMENT_HEADER_SIZE].into_boxed_slice();
        page[..size_of::<Self>()].copy_from_slice(self.as_bytes());
        page
    }

    /// The header at the start of a segment; `None` where the page is not one.
    #[must_use]
    pub fn parse(page: &[u8]) -> Option<SegmentHeader> {
        let page = page.get(..SEGMENT_HEADER_SIZE)?;
        let (header, rest) = SegmentHeader::read_from_prefix(page).ok()?;
        let good = header.magic == SEGMENT_MAGIC
            && header.version.get() == VERSION
            && usize::from(header.header_size.get()) == SEGMENT_HEADER_SIZE
            && header.crc.get() == header.expected_crc()
            && is_zero(rest);
        good.then_some(header)
    }

    /// True where the page is a segment's header in a version that is not known here. Version 0 is
    /// none: a torn write may leave the magic and zeros.
    #[must_use]
    pub fn is_other_version(page: &[u8]) -> bool {
        SegmentHeader::read_from_prefix(page).is_ok_and(|(header, _)| {
            header.magic == SEGMENT_MAGIC && ![0, VERSION].contains(&header.version.get())
        })
    }

    /// The journal it is of.
    #[must_use]
    pub fn id(&self) -> JournalId {
        JournalId(self.journal_id)
    }

    fn expected_crc(&self) -> u64 {
        crc64(&self.as_bytes()[..std::mem::offset_of!(SegmentHeader, crc)])
    }
}

impl BatchHeader {
    /// The header at the start of `bytes`, where magic, version and CRC are right.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<&BatchHeader> {
        if !bytes.starts_with(&BATCH_MAGIC) {
            return None;
        }
        let (header, _) = BatchHeader::ref_from_prefix(bytes).ok()?;
        let good = header.version.get() == VERSION
            && usize::from(header.header_size.get()) == BATCH_HEADER_SIZE
            && header.crc.get() == header.expected_crc()
            && header.length.get() as usize >= BATCH_HEADER_SIZE
            && (header.length.get() as usize).is_multiple_of(ALIGN)
            && header.first_sequence.get() > 0
            && header.last_sequence.get() >= header.first_sequence.get()
            && header.last_sequence.get() < u64::MAX;
        good.then_some(header)
    }

    /// Computes the CRC; every other field is final.
    pub fn seal(&mut self) {
        self.crc = self.expected_crc().into();
    }

    /// True for a part of an event log's batch that is not the last.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.flags.get() & BATCH_PARTIAL != 0
    }

    /// What the log has reached with this batch, whose last record has this time.
    #[must_use]
    pub fn reached(&self, time: TimeNs) -> Tip {
        let sequence = match self.is_partial() {
            true => self.first_sequence.get() - 1,
            false => self.last_sequence.get(),
        };
        let epoch = Epoch(self.epoch.get());
        Tip { sequence: Sequence(sequence), time, epoch, hash: self.hash }
    }

    fn expected_crc(&self) -> u64 {
        crc64(&self.as_bytes()[..std::mem::offset_of!(BatchHeader, crc)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_reads_back_and_any_flipped_bit_is_seen() {
        let mut header = SegmentHeader::new(LogKind::Events, JournalId([7; 16]), 3, 1 << 23);
        header.first_sequence = 9.into();
        header.seal();
        let mut page = header.page();
        assert_eq!(SegmentHeader::parse(&page), Some(header));
        for bit in 0..page.len() * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::parse(&page), None, "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn layouts_have_no_gaps() {
        for layout in LAYOUTS.iter().chain(crate::journal::payload::LAYOUTS) {
            let end = layout.fields.iter().fold(0, |at, field| {
                assert_eq!(field.offset, at, "{} {}", layout.title, field.name);
                at + field.size
            });
            assert_eq!(end, layout.size, "{}", layout.title);
        }
    }

    #[test]
    fn the_last_byte_that_is_not_zero_is_found() {
        for at in [0, 1, 4095, 4096, 9999] {
            let mut bytes = vec![0; 10_000];
            assert_eq!(used_length(&bytes), 0);
            bytes[at] = 1;
            assert_eq!(used_length(&bytes), at + 1);
            assert!(!is_zero(&bytes));
        }
        assert!(is_zero(&[0; 10_000]));
    }
}
