//! The native binary protocol: frames, their integrity, and what stands in them. `docs/NATIVE.md`
//! is the description for those who write a client; tests compare the two.
//!
//! Pure: bytes in, values out, and back. Big-endian throughout.

pub mod admin;
pub mod answer;
pub(crate) mod fields;
pub mod frame;
pub mod header;
pub mod integrity;
pub mod limits;
pub mod message;
pub mod metadata;
pub mod partition;
pub mod payload;
pub mod query;
pub mod schemas;
pub mod segments;
mod together;

pub use frame::{Frame, FrameHead, FrameWriter, OpenLimits, frame_length};
pub use header::{BitMode, Flags};
pub use metadata::Metadata;
pub use together::{HashesAhead, seal_each};

use crate::command::PayloadError;
use crate::event::RejectReason;
use crate::types::Priority;
use metadata::MetadataError;
use segments::{SegmentError, SegmentKind};
use thiserror::Error;

/// Why bytes are no frame, or a frame is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The first byte is another one.
    #[error("the first byte is {0:#04x}, not 0xAB")]
    BadMagic(u8),
    /// Another version of the format.
    #[error("version {0} of the format is not spoken here")]
    UnsupportedVersion(u8),
    /// The length is below the shortest frame.
    #[error("a length of {length} is below the shortest frame of {min} bytes")]
    BadLength {
        /// The length field.
        length: u32,
        /// Bytes of the shortest frame.
        min: usize,
    },
    /// The frame is longer than allowed.
    #[error("a frame of {length} bytes is longer than the {max} allowed")]
    FrameTooLong {
        /// The length field.
        length: u32,
        /// Bytes allowed.
        max: usize,
    },
    /// The bytes end before the frame does.
    #[error("the frame takes {need} bytes, {have} are there")]
    Truncated {
        /// Bytes there.
        have: usize,
        /// Bytes the frame takes.
        need: usize,
    },
    /// The CRC-64 is wrong.
    #[error("the CRC-64 does not match")]
    BadChecksum,
    /// The SHA-256 is wrong.
    #[error("the SHA-256 does not match")]
    BadHash,
    /// The signature is not an Ed25519 signature, or does not match.
    #[error("the signature is of an unknown form or does not match")]
    BadSignature,
    /// Flags that are unknown or not supported.
    #[error("flags {0:#06x} are unknown or not supported")]
    BadFlags(u16),
    /// The reserved field is not zero.
    #[error("the reserved field is {0:#06x}, not 0")]
    BadReserved(u16),
    /// A bit mode that does not exist.
    #[error("bit mode {0} does not exist")]
    BadBitMode(u8),
    /// The descriptor is wrong.
    #[error(transparent)]
    BadSegments(#[from] SegmentError),
    /// A segment that must be there is missing.
    #[error("the {0} segment is missing")]
    MissingSegment(SegmentKind),
    /// The metadata is wrong.
    #[error(transparent)]
    BadMetadata(#[from] MetadataError),
    /// A priority that does not exist.
    #[error("priority {0} does not exist")]
    BadPriority(u8),
    /// Header and metadata name different priorities.
    #[error("the flags say priority {flags}, the metadata {metadata}")]
    PriorityMismatch {
        /// The header's.
        flags: Priority,
        /// The metadata's.
        metadata: Priority,
    },
    /// No schema has this number, or not in this direction.
    #[error("Schema not found: {0}")]
    UnknownSchema(u32),
    /// The payload does not fit its schema.
    #[error(transparent)]
    BadPayload(PayloadError),
}

impl From<PayloadError> for WireError {
    fn from(error: PayloadError) -> WireError {
        match error {
            PayloadError::UnknownSchema(schema) => WireError::UnknownSchema(schema),
            other => WireError::BadPayload(other),
        }
    }
}

impl WireError {
    /// True where the next frame's start cannot be known, so that the connection must be closed.
    /// After every other error the stream goes on behind the frame.
    #[must_use]
    pub const fn loses_framing(&self) -> bool {
        matches!(
            self,
            WireError::BadMagic(_)
                | WireError::UnsupportedVersion(_)
                | WireError::BadLength { .. }
                | WireError::FrameTooLong { .. }
                | WireError::Truncated { .. }
        )
    }

    /// The reason a client is told.
    #[must_use]
    pub const fn reason(&self) -> RejectReason {
        match self {
            WireError::BadMagic(_) => RejectReason::BadMagic,
            WireError::UnsupportedVersion(_) => RejectReason::UnsupportedVersion,
            WireError::BadLength { .. } | WireError::Truncated { .. } => RejectReason::BadLength,
            WireError::FrameTooLong { .. } => RejectReason::FrameTooLong,
            WireError::BadChecksum => RejectReason::BadChecksum,
            WireError::BadHash => RejectReason::BadHash,
            WireError::BadSignature => RejectReason::BadSignature,
            WireError::BadFlags(_) => RejectReason::BadFlags,
            WireError::BadReserved(_) => RejectReason::BadReserved,
            WireError::BadBitMode(_) => RejectReason::BadBitMode,
            WireError::BadSegments(_) => RejectReason::BadSegments,
            WireError::MissingSegment(_) => RejectReason::MissingSegment,
            WireError::BadMetadata(_) => RejectReason::BadMetadata,
            WireError::BadPriority(_) | WireError::PriorityMismatch { .. } => {
                RejectReason::BadPriority
            }
            WireError::UnknownSchema(_) => RejectReason::UnknownSchema,
            WireError::BadPayload(_) => RejectReason::BadPayload,
        }
    }
}
