//! The bytes of a snapshot: a header, and sections one after another.
//!
//! `journal/FORMAT.md` draws what stands here and a test compares the two.

use crate::checksum::crc64;
use crate::exchange::Part;
use crate::journal::format::{Hash, layout};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

/// Version of the format.
pub const VERSION: u16 = 1;
/// First bytes of a snapshot.
pub const MAGIC: [u8; 8] = *b"OUTCRYSN";
/// Bytes of the header.
pub const HEADER_SIZE: usize = size_of::<SnapshotHeader>();
/// Bytes of a section's header.
pub const SECTION_HEADER_SIZE: usize = size_of::<SectionHeader>();

layout! {
    /// The start of a snapshot.
    SnapshotHeader = "Snapshot header", 256 {
        /// [`MAGIC`].
        magic: [u8; 8],
        /// [`VERSION`].
        version: U16,
        /// [`HEADER_SIZE`].
        header_size: U16,
        /// Sections in the body: all of [`Section::ALL`] but optional ones that are empty.
        section_count: U32,
        /// Version of the rules that made the state.
        application_version: U32,
        /// Zero.
        reserved: U32,
        /// The journal it is of.
        journal_id: [u8; 16],
        /// The last record applied, always the last one of a batch.
        sequence: U64,
        /// Its epoch.
        epoch: U64,
        /// Its time.
        time_ns: U64,
        /// Hash of its batch.
        chain_hash: Hash,
        /// Hash of the batch of the event log that belongs to it.
        event_hash: Hash,
        /// Time of the last block of events.
        event_time_ns: U64,
        /// Segment that its batch begins in.
        segment: U64,
        /// Byte there; a hint, 0 for none. Segments may be of other sizes on another node.
        offset: U64,
        /// State hash.
        state_hash: Hash,
        /// Bytes behind this header.
        body_length: U64,
        /// SHA-256 of them.
        body_hash: Hash,
        /// Zero.
        reserved_2: [u8; 24],
        /// CRC-64/XZ of all bytes before it.
        crc: U64,
    }

    /// The start of a section.
    SectionHeader = "Snapshot section header", 24 {
        /// [`Section`].
        kind: U32,
        /// Zero.
        reserved: U32,
        /// Bytes behind this header.
        length: U64,
        /// CRC-64/XZ of them.
        crc: U64,
    }
}

/// What a section holds. A snapshot has each once, in this order; an optional one is left out where it
/// would be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Section {
    /// Items of genesis as they were sequenced.
    Genesis = 1,
    /// [`Part::Definitions`].
    Definitions = 2,
    /// [`Part::Accounts`].
    Accounts = 3,
    /// [`Part::Keys`].
    Keys = 4,
    /// [`Part::Controls`].
    Controls = 5,
    /// [`Part::Sessions`].
    Sessions = 6,
    /// [`Part::Schemas`].
    Schemas = 7,
    /// [`Part::Books`].
    Books = 8,
    /// The duplicate window.
    Duplicates = 9,
    /// Where sessions' outbound numbers stand in the event log.
    Numbers = 10,
    /// [`Part::Passing`]; optional.
    Passing = 11,
}

impl Section {
    /// Every section, in order.
    pub const ALL: [Section; 11] = [
        Section::Genesis,
        Section::Definitions,
        Section::Accounts,
        Section::Keys,
        Section::Controls,
        Section::Sessions,
        Section::Schemas,
        Section::Books,
        Section::Duplicates,
        Section::Numbers,
        Section::Passing,
    ];

    /// The word that stands in documents and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Section::Genesis => "genesis",
            Section::Definitions => "definitions",
            Section::Accounts => "accounts",
            Section::Keys => "keys",
            Section::Controls => "controls",
            Section::Sessions => "sessions",
            Section::Schemas => "schemas",
            Section::Books => "books",
            Section::Duplicates => "duplicates",
            Section::Numbers => "numbers",
            Section::Passing => "passing",
        }
    }

    /// True where it is left out when it would be empty.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Section::Passing)
    }

    /// The part of the exchange that it holds.
    #[must_use]
    pub const fn part(self) -> Option<Part> {
        match self {
            Section::Definitions => Some(Part::Definitions),
            Section::Accounts => Some(Part::Accounts),
            Section::Keys => Some(Part::Keys),
            Section::Controls => Some(Part::Controls),
            Section::Sessions => Some(Part::Sessions),
            Section::Schemas => Some(Part::Schemas),
            Section::Books => Some(Part::Books),
            Section::Passing => Some(Part::Passing),
            Section::Genesis | Section::Duplicates | Section::Numbers => None,
        }
    }
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl SnapshotHeader {
    /// Computes the CRC; every other field is final.
    pub fn seal(&mut self) {
        self.crc = self.expected_crc().into();
    }

    /// Splits a file into its header, not checked yet, and its body.
    pub(super) fn split(bytes: &[u8]) -> Option<(SnapshotHeader, &[u8])> {
        SnapshotHeader::read_from_prefix(bytes).ok()
    }

    /// The CRC that belongs to the other fields.
    pub(super) fn expected_crc(&self) -> u64 {
        crc64(&self.as_bytes()[..std::mem::offset_of!(SnapshotHeader, crc)])
    }
}
