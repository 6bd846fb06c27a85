//! A whole native frame: opened in place, sealed in place.
//!
//! Receive order (rows S1.14, S1.51): magic, version, length, then nothing until the whole frame
//! is there; CRC, hash, form of the signature; only then the other header fields and the segments.
//! Verifying the signature takes a key and is left to the caller. Neither way allocates, except
//! that the caller's buffer may grow.

use crate::limits::{FRAME_DEFAULT_BYTES, HEADER_SIZE};
use crate::wire::WireError;
use crate::wire::header::{BitMode, EXTENSION_SIZE, Flags, Header, MAGIC, RawHeader, VERSION};
use crate::wire::integrity::{self, Integrity};
use crate::wire::metadata::{Metadata, MetadataError};
use crate::wire::payload::{self, COMMAND_SIZE_MAX, Canonical};
use crate::wire::segments::{self, Segment, SegmentError, SegmentKind, descriptor_size};
use ed25519_dalek::{Signer as _, SigningKey};
use std::ops::Range;
use zerocopy::IntoBytes as _;
use zerocopy::byteorder::big_endian::{U16, U32};

/// The shortest frame there can be: a header, two segments' descriptor, an empty payload, an
/// integrity block.
pub const FRAME_MIN_BYTES: usize = HEADER_SIZE + descriptor_size(2) + integrity::UNSIGNED_SIZE;
/// The highest schema id of a command; session messages stand above.
pub const COMMAND_SCHEMA_MAX: u32 = 63;

/// What a receiver lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLimits {
    /// Bytes of the longest frame.
    pub frame_max: usize,
    /// Refuse a reserved field that is not zero instead of ignoring it (row S1.28).
    pub strict_reserved: bool,
}

impl Default for OpenLimits {
    fn default() -> Self {
        OpenLimits { frame_max: FRAME_DEFAULT_BYTES, strict_reserved: false }
    }
}

/// How long the frame at the start of `bytes` is; `None` while too few bytes are there to tell.
///
/// # Errors
/// [`WireError::BadMagic`], [`WireError::UnsupportedVersion`], [`WireError::BadLength`] and
/// [`WireError::FrameTooLong`]; after each of them the stream's framing is lost.
#[inline]
pub fn frame_length(bytes: &[u8], max: usize) -> Result<Option<usize>, WireError> {
    match bytes {
        [] => return Ok(None),
        [magic, ..] if *magic != MAGIC => return Err(WireError::BadMagic(*magic)),
        [_, version, ..] if *version != VERSION => {
            return Err(WireError::UnsupportedVersion(*version));
        }
        _ => {}
    }
    let Some(length) = bytes.get(8..12) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(length.try_into().expect("a slice of four bytes"));
    let size = length as usize;
    if size < FRAME_MIN_BYTES {
        return Err(WireError::BadLength { length, min: FRAME_MIN_BYTES });
    }
    if size > max {
        return Err(WireError::FrameTooLong { length, max });
    }
    Ok(Some(size))
}

/// A frame whose CRC and hash are right, over the bytes it was received in.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    header: Header,
    client_sequence: u64,
    metadata: Option<Segment>,
    payload: Segment,
    integrity: Integrity<'a>,
}

/// Where the journal finds what it needs in a frame, as offsets from the frame's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locations {
    /// The message id.
    pub message_id: Range<usize>,
    /// The source.
    pub source: Range<usize>,
    /// The payload.
    pub payload: Range<usize>,
    /// The 32 bytes of hash.
    pub hash: Range<usize>,
}

impl<'a> Frame<'a> {
    /// Opens the frame at the start of `bytes`; what follows it is left alone.
    ///
    /// # Errors
    /// The first [`WireError`] in the receive order.
    #[inline]
    pub fn open(bytes: &'a [u8], limits: &OpenLimits) -> Result<Frame<'a>, WireError> {
        Frame::open_hashed(bytes, limits, integrity::sha256)
    }

    /// As [`Frame::open`], where `hash` gives the SHA-256 of what it is given: a caller with many
    /// frames has it from [`crate::wire::HashesAhead`].
    ///
    /// # Errors
    /// The first [`WireError`] in the receive order.
    #[inline]
    pub fn open_hashed(
        bytes: &'a [u8],
        limits: &OpenLimits,
        hash: impl FnOnce(&[u8]) -> [u8; integrity::HASH_SIZE],
    ) -> Result<Frame<'a>, WireError> {
        let (bytes, raw) = Frame::bounds(bytes, limits)?;
        let signed = raw.flags.get() & Flags::SIGNED != 0;
        let integrity = match integrity::verify(bytes, signed, hash) {
            Ok(integrity) => integrity,
            Err(WireError::BadChecksum) => return Err(diagnose(bytes, raw, signed)),
            Err(error) => return Err(error),
        };
        Frame::decode(bytes, raw, integrity, limits)
    }

    /// Opens a frame that was verified before, such as one out of the journal: all as in
    /// [`Frame::open`], except that CRC and hash are not computed again.
    ///
    /// # Errors
    /// The first [`WireError`] in the receive order.
    pub fn reopen(bytes: &'a [u8], limits: &OpenLimits) -> Result<Frame<'a>, WireError> {
        let (bytes, raw) = Frame::bounds(bytes, limits)?;
        let signed = raw.flags.get() & Flags::SIGNED != 0;
        let integrity = integrity::read(bytes, signed, |_, _| true)?;
        Frame::decode(bytes, raw, integrity, limits)
    }

    #[inline]
    fn bounds(
        bytes: &'a [u8],
        limits: &OpenLimits,
    ) -> Result<(&'a [u8], &'a RawHeader), WireError> {
        let have = bytes.len();
        let need = frame_length(bytes, limits.frame_max)?.unwrap_or(FRAME_MIN_BYTES);
        let bytes = bytes.get(..need).ok_or(WireError::Truncated { have, need })?;
        let raw = RawHeader::of(bytes).ok_or(WireError::Truncated { have, need })?;
        Ok((bytes, raw))
    }

    #[inline]
    fn decode(
        bytes: &'a [u8],
        raw: &RawHeader,
        integrity: Integrity<'a>,
        limits: &OpenLimits,
    ) -> Result<Frame<'a>, WireError> {
        let header = Header::parse(raw)?;
        if limits.strict_reserved && header.reserved != 0 {
            return Err(WireError::BadReserved(header.reserved));
        }
        let segments = segments::parse(bytes, header.extension_size)?;
        let payload = segments.payload.ok_or(WireError::MissingSegment(SegmentKind::Payload))?;
        let block = segments.integrity.ok_or(WireError::MissingSegment(SegmentKind::Integrity))?;
        if block.offset as usize != integrity.offset {
            let expected = integrity::size(header.flags.has(Flags::SIGNED)) as u32;
            return Err(SegmentError::IntegrityLength { expected, found: block.length }.into());
        }
        if header.schema <= COMMAND_SCHEMA_MAX && segments.metadata.is_none() {
            return Err(WireError::MissingSegment(SegmentKind::Metadata));
        }
        // A shorter extension carries no sequence, a longer one more than we know: both are kept.
        let extension = &bytes[HEADER_SIZE..HEADER_SIZE + header.extension_size];
        let client_sequence = extension.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Ok(Frame {
            bytes,
            header,
            client_sequence,
            metadata: segments.metadata,
            payload,
            integrity,
        })
    }

    /// All bytes of the frame.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload's schema.
    #[must_use]
    #[inline]
    pub fn schema(&self) -> u32 {
        self.header.schema
    }

    /// The number that the client gave it, which answers echo; 0 where it gave none.
    #[must_use]
    #[inline]
    pub fn client_sequence(&self) -> u64 {
        self.client_sequence
    }

    /// The payload.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload.of(self.bytes)
    }

    /// CRC, hash and signature.
    #[must_use]
    #[inline]
    pub fn integrity(&self) -> &Integrity<'a> {
        &self.integrity
    }

    /// Reads the metadata, if there is any.
    ///
    /// # Errors
    /// [`WireError::BadMetadata`]; [`WireError::BadPriority`] for a priority that is none and
    /// [`WireError::PriorityMismatch`] for one that the header's flags contradict.
    #[inline]
    pub fn metadata(&self) -> Result<Option<Metadata<'a>>, WireError> {
        let Some(segment) = self.metadata else {
            return Ok(None);
        };
        let metadata = Metadata::parse(segment.of(self.bytes))?;
        let flags = self.header.flags.priority();
        if metadata.priority != flags {
            return Err(WireError::PriorityMismatch { flags, metadata: metadata.priority });
        }
        Ok(Some(metadata))
    }

    /// Where the journal finds things in the frame; `metadata` must be this frame's.
    #[must_use]
    #[inline]
    pub fn locations(&self, metadata: &Metadata<'_>) -> Locations {
        let start = self.metadata.map_or(0, |segment| segment.offset as usize);
        let shift = |range: Range<usize>| start + range.start..start + range.end;
        let hash = self.integrity.offset + 8;
        Locations {
            message_id: shift(metadata.message_id_range()),
            source: shift(metadata.source_range()),
            payload: self.payload_range(),
            hash: hash..hash + integrity::HASH_SIZE,
        }
    }

    /// Where the payload stands in the frame.
    #[must_use]
    #[inline]
    pub fn payload_range(&self) -> Range<usize> {
        self.payload.offset as usize..(self.payload.offset + self.payload.length) as usize
    }

    /// Reads the command, with its canonical payload.
    ///
    /// # Errors
    /// [`WireError::UnknownSchema`] and [`WireError::BadPayload`].
    #[inline(always)]
    pub fn command<'s>(
        &self,
        scratch: &'s mut [u8; COMMAND_SIZE_MAX],
    ) -> Result<Canonical<'s>, WireError>
    where
        'a: 's,
    {
        payload::canonical(self.header.schema, self.payload(), self.header.bit_mode, scratch)
    }
}

/// Why a frame's CRC is not right at its end. A damaged frame is just that; one that was built
/// without an integrity block, or with a block of the other size, is told so.
#[cold]
fn diagnose(bytes: &[u8], raw: &RawHeader, signed: bool) -> WireError {
    match segments::parse(bytes, usize::from(raw.header_ex)).map(|segments| segments.integrity) {
        Ok(None) => WireError::MissingSegment(SegmentKind::Integrity),
        Ok(Some(block)) if integrity::crc_matches(bytes, block.offset as usize) => {
            let expected = integrity::size(signed) as u32;
            SegmentError::IntegrityLength { expected, found: block.length }.into()
        }
        _ => WireError::BadChecksum,
    }
}

/// What a sender puts into the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The payload's schema.
    pub schema: u32,
    /// The flags; `signed` is set by sealing.
    pub flags: Flags,
    /// How wide the payload's fields of kind `int` are.
    pub bit_mode: BitMode,
    /// The client's number for the message, or the one that a server echoes.
    pub client_sequence: u64,
}

/// Builds one frame at the end of a buffer.
///
/// Begin, append the payload, seal. A writer that is dropped unsealed takes its bytes back.
#[derive(Debug)]
pub struct FrameWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    payload: usize,
    head: FrameHead,
    with_metadata: bool,
    sealed: bool,
}

const KINDS: [SegmentKind; 3] =
    [SegmentKind::Metadata, SegmentKind::Payload, SegmentKind::Integrity];

impl<'o> FrameWriter<'o> {
    /// Starts a frame without metadata.
    #[inline]
    pub fn begin(out: &'o mut Vec<u8>, head: FrameHead) -> FrameWriter<'o> {
        FrameWriter::reserve(out, head, false)
    }

    /// Starts a frame with metadata.
    ///
    /// # Errors
    /// [`MetadataError`] where the metadata is beyond a limit; `out` is as it was then.
    #[inline(always)]
    pub fn begin_with(
        out: &'o mut Vec<u8>,
        head: FrameHead,
        metadata: &Metadata<'_>,
    ) -> Result<FrameWriter<'o>, MetadataError> {
        let mut writer = FrameWriter::reserve(out, head, true);
        metadata.encode(writer.out)?;
        writer.payload = writer.out.len();
        Ok(writer)
    }

    #[inline]
    fn reserve(out: &'o mut Vec<u8>, head: FrameHead, with_metadata: bool) -> FrameWriter<'o> {
        let start = out.len();
        let size = if with_metadata { descriptor_size(3) } else { descriptor_size(2) };
        out.resize(start + HEADER_SIZE + EXTENSION_SIZE + size, 0);
        let payload = out.len();
        FrameWriter { out, start, payload, head, with_metadata, sealed: false }
    }

    /// Where the payload's bytes are appended.
    #[inline]
    pub fn payload(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Closes the frame with CRC and hash, and gives its place in the buffer.
    #[inline]
    pub fn seal(mut self) -> Range<usize> {
        self.close(false);
        self.append_crc_and_hash();
        self.finish()
    }

    /// Closes the frame and leaves room for CRC and hash, which [`crate::wire::seal_each`] fills
    /// before anybody sees the frame.
    #[inline]
    pub fn leave_unsealed(mut self) -> Range<usize> {
        self.close(false);
        self.out.extend_from_slice(&[0; integrity::UNSIGNED_SIZE]);
        self.finish()
    }

    /// Closes the frame with CRC, hash and a signature of the hash.
    #[inline]
    pub fn seal_signed(mut self, key: &SigningKey) -> Range<usize> {
        self.close(true);
        let hash = self.append_crc_and_hash();
        let signature = key.sign(&hash).to_bytes();
        self.out.push(integrity::ALGORITHM_ED25519);
        self.out.extend_from_slice(&(integrity::SIGNATURE_SIZE as u16).to_be_bytes());
        self.out.extend_from_slice(&signature);
        self.finish()
    }

    /// Fills header and descriptor.
    #[inline]
    fn close(&mut self, signed: bool) {
        let frame = &mut self.out[self.start..];
        let payload_end = frame.len();
        let length = payload_end + integrity::size(signed);
        let length = u32::try_from(length).expect("a frame is far below 4 GiB");
        let flags = self.head.flags.with(if signed { Flags::SIGNED } else { 0 });
        let raw = RawHeader {
            magic: MAGIC,
            version: VERSION,
            flags: U16::new(flags.bits()),
            schema: U32::new(self.head.schema),
            length: U32::new(length),
            header_ex: EXTENSION_SIZE as u8,
            bit_mode: self.head.bit_mode as u8,
            reserved: U16::new(0),
        };
        let (header, rest) = frame.split_at_mut(HEADER_SIZE);
        header.copy_from_slice(raw.as_bytes());
        let (extension, rest) = rest.split_at_mut(EXTENSION_SIZE);
        extension.copy_from_slice(&self.head.client_sequence.to_be_bytes());
        let kinds = if self.with_metadata { &KINDS[..] } else { &KINDS[1..] };
        let size = descriptor_size(kinds.len());
        let first = (HEADER_SIZE + EXTENSION_SIZE + size) as u32;
        let ends = [(self.payload - self.start) as u32, payload_end as u32, length];
        segments::fill(&mut rest[..size], kinds, first, &ends[3 - kinds.len()..]);
    }

    #[inline]
    fn append_crc_and_hash(&mut self) -> [u8; integrity::HASH_SIZE] {
        let crc = integrity::crc64(&self.out[self.start..]);
        self.out.extend_from_slice(&crc.to_be_bytes());
        let hash = integrity::sha256(&self.out[self.start..]);
        self.out.extend_from_slice(&hash);
        hash
    }

    #[inline]
    fn finish(mut self) -> Range<usize> {
        self.sealed = true;
        self.start..self.out.len()
    }
}

impl Drop for FrameWriter<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.sealed {
            self.out.truncate(self.start);
        }
    }
}

/// Marks a frame that this program sealed as a possible duplicate and seals it anew, in place; all
/// else in it stays as it is. A signed frame is signed again with `key`.
///
/// # Panics
/// If the bytes are not one whole frame.
pub fn mark_duplicate(frame: &mut [u8], key: &SigningKey) {
    let length = frame_length(frame, frame.len()).expect("a frame of our own").unwrap_or(0);
    assert_eq!(length, frame.len(), "one whole frame");
    let flags = u16::from_be_bytes([frame[2], frame[3]]) | Flags::POSSIBLE_DUPLICATE;
    frame[2..4].copy_from_slice(&flags.to_be_bytes());
    let signed = flags & Flags::SIGNED != 0;
    let (covered, block) = frame.split_at_mut(length - integrity::size(signed));
    block[..8].copy_from_slice(&integrity::crc64(covered).to_be_bytes());
    let hash_at = covered.len() + 8;
    let hash = integrity::sha256(&frame[..hash_at]);
    frame[hash_at..hash_at + integrity::HASH_SIZE].copy_from_slice(&hash);
    if signed {
        let signature = key.sign(&hash).to_bytes();
        frame[length - integrity::SIGNATURE_SIZE..].copy_from_slice(&signature);
    }
}

#[cfg(test)]
mod tests;
