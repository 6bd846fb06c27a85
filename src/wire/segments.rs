//! The segment descriptor: where metadata, payload and integrity block stand in a frame.
//!
//! Invariants of every descriptor that [`parse`] lets through: the types are 1, 2 and 3 at most,
//! in this order and each once; the segments follow the descriptor and each other without gap or
//! overlap, and the last one ends where the frame ends. So a frame has exactly one reading.

use crate::limits::HEADER_SIZE;
use std::fmt;
use thiserror::Error;

/// Bytes of a descriptor with `count` segments: the count, then types, offsets, lengths.
#[must_use]
pub const fn descriptor_size(count: usize) -> usize {
    1 + count + 4 * count + 4 * count
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SegmentKind {
    /// Message id, timestamp, source and so on.
    Metadata = 1,
    /// What is asked or told, by schema.
    Payload = 2,
    /// CRC-64, SHA-256, signature.
    Integrity = 3,
}

impl SegmentKind {
    const fn from_u8(value: u8) -> Option<SegmentKind> {
        match value {
            1 => Some(SegmentKind::Metadata),
            2 => Some(SegmentKind::Payload),
            3 => Some(SegmentKind::Integrity),
            _ => None,
        }
    }
}

impl fmt::Display for SegmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SegmentKind::Metadata => "metadata",
            SegmentKind::Payload => "payload",
            SegmentKind::Integrity => "integrity",
        })
    }
}

/// What is wrong with a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// No segment at all, or more than there are types.
    #[error("a frame cannot have {0} segments")]
    Count(u8),
    /// The descriptor reaches beyond the frame.
    #[error("the descriptor does not fit into the frame")]
    Descriptor,
    /// A type that does not exist.
    #[error("segment type {0} does not exist")]
    Type(u8),
    /// A type twice, or in another order than metadata, payload, integrity.
    #[error("the {0} segment is repeated or out of order")]
    Order(SegmentKind),
    /// A segment that does not begin where the one before ends.
    #[error("the {kind} segment begins at {found}, not at {expected}")]
    Offset {
        /// Which segment.
        kind: SegmentKind,
        /// Where the one before, or the descriptor, ends.
        expected: u32,
        /// What the descriptor says.
        found: u32,
    },
    /// The last segment does not end where the frame ends.
    #[error("the segments end at {found}, the frame at {expected}")]
    End {
        /// The frame's length.
        expected: u64,
        /// Where the last segment ends.
        found: u64,
    },
    /// The integrity block's length does not agree with the `signed` flag.
    #[error("the integrity block has {found} bytes, the signed flag asks for {expected}")]
    IntegrityLength {
        /// Bytes that the flag asks for.
        expected: u32,
        /// What the descriptor says.
        found: u32,
    },
}

/// One segment's place in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Segment {
    /// Bytes from the frame's start.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

impl Segment {
    /// The segment's bytes; it must be one that [`parse`] gave for this frame.
    #[inline]
    #[must_use]
    pub(crate) fn of(self, frame: &[u8]) -> &[u8] {
        &frame[self.offset as usize..(self.offset + self.length) as usize]
    }
}

/// The segments of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Segments {
    /// Who, when, how urgent.
    pub metadata: Option<Segment>,
    /// What.
    pub payload: Option<Segment>,
    /// Checksums and signature.
    pub integrity: Option<Segment>,
}

#[inline]
fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

/// Reads the descriptor of a whole frame.
///
/// # Errors
/// [`SegmentError`], the first thing that is wrong. Which segments must be there is for the caller.
#[inline]
pub fn parse(frame: &[u8], extension_size: usize) -> Result<Segments, SegmentError> {
    let start = HEADER_SIZE + extension_size;
    let &count = frame.get(start).ok_or(SegmentError::Descriptor)?;
    if !(1..=3).contains(&count) {
        return Err(SegmentError::Count(count));
    }
    let n = usize::from(count);
    let size = descriptor_size(n);
    let descriptor = frame.get(start..start + size).ok_or(SegmentError::Descriptor)?;
    let mut segments = Segments::default();
    let mut before = None;
    let mut end = (start + size) as u64;
    for index in 0..n {
        let number = descriptor[1 + index];
        let kind = SegmentKind::from_u8(number).ok_or(SegmentError::Type(number))?;
        if before >= Some(kind) {
            return Err(SegmentError::Order(kind));
        }
        before = Some(kind);
        let segment = Segment {
            offset: be_u32(descriptor, 1 + n + 4 * index),
            length: be_u32(descriptor, 1 + 5 * n + 4 * index),
        };
        if u64::from(segment.offset) != end {
            let expected = end.min(u64::from(u32::MAX)) as u32;
            return Err(SegmentError::Offset { kind, expected, found: segment.offset });
        }
        end += u64::from(segment.length);
        match kind {
            SegmentKind::Metadata => segments.metadata = Some(segment),
            SegmentKind::Payload => segments.payload = Some(segment),
            SegmentKind::Integrity => segments.integrity = Some(segment),
        }
    }
    if end != frame.len() as u64 {
        return Err(SegmentError::End { expected: frame.len() as u64, found: end });
    }
    Ok(segments)
}

/// Writes a descriptor into its reserved place: `kinds` and `ends` are parallel, `first` is where
/// the first segment begins.
#[inline]
pub(crate) fn fill(descriptor: &mut [u8], kinds: &[SegmentKind], first: u32, ends: &[u32]) {
    let n = kinds.len();
    assert_eq!(descriptor.len(), descriptor_size(n), "the place was reserved for these segments");
    descriptor[0] = n as u8;
    let mut offset = first;
    for (index, (kind, end)) in kinds.iter().zip(ends).enumerate() {
        descriptor[1 + index] = *kind as u8;
        let (at, length_at) = (1 + n + 4 * index, 1 + 5 * n + 4 * index);
        descriptor[at..at + 4].copy_from_slice(&offset.to_be_bytes());
        descriptor[length_at..length_at + 4].copy_from_slice(&(end - offset).to_be_bytes());
        offset = *end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [SegmentKind; 3] =
        [SegmentKind::Metadata, SegmentKind::Payload, SegmentKind::Integrity];

    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 16 + 28 + 10 + 20 + 40];
        fill(&mut frame[16..44], &KINDS, 44, &[54, 74, 114]);
        frame
    }

    #[test]
    fn a_descriptor_of_three_segments_has_28_bytes_and_reads_back() {
        assert_eq!(descriptor_size(3), 28);
        let segments = parse(&frame(), 0).expect("a good descriptor");
        assert_eq!(segments.metadata, Some(Segment { offset: 44, length: 10 }));
        assert_eq!(segments.payload, Some(Segment { offset: 54, length: 20 }));
        assert_eq!(segments.integrity, Some(Segment { offset: 74, length: 40 }));
    }

    #[test]
    fn overlaps_gaps_repeats_and_ranges_are_refused_by_name() {
        let with = |at: usize, value: u8| {
            let mut frame = frame();
            frame[at] = value;
            parse(&frame, 0).expect_err("a bad descriptor")
        };
        assert_eq!(with(16, 0), SegmentError::Count(0));
        assert_eq!(with(16, 4), SegmentError::Count(4));
        assert_eq!(with(17, 9), SegmentError::Type(9));
        assert_eq!(with(18, 1), SegmentError::Order(SegmentKind::Metadata));
        let payload = SegmentKind::Payload;
        let overlap = SegmentError::Offset { kind: payload, expected: 54, found: 53 };
        assert_eq!(with(16 + 4 + 7, 53), overlap);
        let gap = SegmentError::Offset { kind: payload, expected: 54, found: 55 };
        assert_eq!(with(16 + 4 + 7, 55), gap);
        let far = with(16 + 4 + 4, 0xFF);
        assert!(matches!(far, SegmentError::Offset { kind: SegmentKind::Payload, .. }), "{far}");
        assert_eq!(with(16 + 16 + 11, 41), SegmentError::End { expected: 114, found: 115 });
        assert_eq!(with(16 + 16 + 11, 39), SegmentError::End { expected: 114, found: 113 });
    }

    #[test]
    fn a_descriptor_beyond_the_frame_is_refused() {
        assert_eq!(parse(&[0; 16], 0), Err(SegmentError::Descriptor));
        let whole = frame();
        assert_eq!(parse(&whole[..30], 0), Err(SegmentError::Descriptor));
        assert_eq!(parse(&whole, 255), Err(SegmentError::Descriptor));
    }
}
