//! The fixed 16 bytes that every native frame begins with, and the flags in them.
//!
//! Invariants: [`RawHeader`] is the layout, byte for byte (rows S1.20–S1.28); nothing in it is
//! trusted before the frame's CRC-64 is right, except magic, version, length and the `signed` flag,
//! which are needed to find that CRC.

use crate::limits::HEADER_SIZE;
use crate::types::Priority;
use crate::wire::WireError;
use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First byte of every native frame.
pub const MAGIC: u8 = 0xAB;
/// The version of the format that this release speaks.
pub const VERSION: u8 = 1;
/// Bytes of header extension that our own frames carry: the client sequence, u64.
pub const EXTENSION_SIZE: usize = 8;

const _: () = assert!(size_of::<RawHeader>() == HEADER_SIZE);

/// The header as it stands on the wire, big-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`MAGIC`].
    pub magic: u8,
    /// [`VERSION`].
    pub version: u8,
    /// [`Flags`].
    pub flags: U16,
    /// Which schema the payload has.
    pub schema: U32,
    /// Bytes of the whole frame, header included.
    pub length: U32,
    /// Bytes of header extension, right after the header.
    pub header_ex: u8,
    /// [`BitMode`].
    pub bit_mode: u8,
    /// Zero on write.
    pub reserved: U16,
}

impl RawHeader {
    /// The header at the start of `bytes`.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Option<&RawHeader> {
        RawHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }
}

/// The client sequence in the extension of a frame whose integrity is right; 0 where there is none.
#[must_use]
pub fn client_sequence(bytes: &[u8]) -> u64 {
    let extended =
        RawHeader::of(bytes).is_some_and(|raw| usize::from(raw.header_ex) >= EXTENSION_SIZE);
    let extension = bytes.get(HEADER_SIZE..).and_then(<[u8]>::first_chunk);
    extension.filter(|_| extended).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// How wide the payload's fields of kind `int` are (row S1.27).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum BitMode {
    /// One byte, two's complement.
    Bits8 = 1,
    /// Two bytes.
    Bits16 = 2,
    /// Four bytes.
    Bits32 = 3,
    /// Eight bytes: the canonical payload.
    #[default]
    Bits64 = 4,
}

impl BitMode {
    /// Every mode, in numeric order.
    pub const ALL: [BitMode; 4] =
        [BitMode::Bits8, BitMode::Bits16, BitMode::Bits32, BitMode::Bits64];

    /// The mode with this number, if there is one.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<BitMode> {
        match value {
            1 => Some(BitMode::Bits8),
            2 => Some(BitMode::Bits16),
            3 => Some(BitMode::Bits32),
            4 => Some(BitMode::Bits64),
            _ => None,
        }
    }

    /// Bytes of a field of kind `int`.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            BitMode::Bits8 => 1,
            BitMode::Bits16 => 2,
            BitMode::Bits32 => 4,
            BitMode::Bits64 => 8,
        }
    }

    /// Bits of a field of kind `int`.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            BitMode::Bits8 => 8,
            BitMode::Bits16 => 16,
            BitMode::Bits32 => 32,
            BitMode::Bits64 => 64,
        }
    }
}

/// The header's flags (row S1.23). Bit 0 is the least significant one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// The payload is compressed: not supported, always refused.
    pub const COMPRESSED: u16 = 1 << 0;
    /// The payload is encrypted: not supported, always refused.
    pub const ENCRYPTED: u16 = 1 << 1;
    /// The integrity block carries a signature.
    pub const SIGNED: u16 = 1 << 2;
    /// This may have been sent before: a retry, or an answer given once more.
    pub const POSSIBLE_DUPLICATE: u16 = 1 << 3;
    /// The sender waits for an answer.
    pub const RESPONSE_REQUIRED: u16 = 1 << 4;
    /// Where the three bits of the priority begin.
    pub const PRIORITY_SHIFT: u16 = 5;
    /// The three bits of the priority.
    pub const PRIORITY_MASK: u16 = 0b111 << Flags::PRIORITY_SHIFT;
    /// Part of a batch the client sends as one; carried, without effect in this release.
    pub const BATCH: u16 = 1 << 8;
    /// Bits that have a meaning and are supported.
    const KNOWN: u16 = Flags::SIGNED
        | Flags::POSSIBLE_DUPLICATE
        | Flags::RESPONSE_REQUIRED
        | Flags::PRIORITY_MASK
        | Flags::BATCH;

    /// No flag but the priority.
    #[must_use]
    pub const fn new(priority: Priority) -> Flags {
        Flags((priority as u16) << Flags::PRIORITY_SHIFT)
    }

    /// These flags and the given bits.
    #[must_use]
    pub const fn with(self, bits: u16) -> Flags {
        Flags(self.0 | bits)
    }

    /// True where one of the given bits is set.
    #[must_use]
    pub const fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// The number on the wire.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Reads the number on the wire.
    ///
    /// # Errors
    /// [`WireError::BadFlags`] for bits that are unknown or not supported,
    /// [`WireError::BadPriority`] for the priorities 5 to 7.
    pub const fn parse(bits: u16) -> Result<Flags, WireError> {
        if bits & !Flags::KNOWN != 0 {
            return Err(WireError::BadFlags(bits & !Flags::KNOWN));
        }
        let priority = Flags::priority_bits(bits);
        if Priority::from_u8(priority).is_none() {
            return Err(WireError::BadPriority(priority));
        }
        Ok(Flags(bits))
    }

    /// The priority.
    #[must_use]
    pub fn priority(self) -> Priority {
        Priority::from_u8(Flags::priority_bits(self.0)).expect("no constructor admits another")
    }

    const fn priority_bits(bits: u16) -> u8 {
        ((bits & Flags::PRIORITY_MASK) >> Flags::PRIORITY_SHIFT) as u8
    }
}

/// A header that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The flags.
    pub flags: Flags,
    /// Which schema the payload has.
    pub schema: u32,
    /// Bytes of the whole frame.
    pub length: usize,
    /// Bytes of header extension.
    pub extension_size: usize,
    /// How wide the payload's fields of kind `int` are.
    pub bit_mode: BitMode,
    /// The reserved field, as it came.
    pub reserved: u16,
}

impl Header {
    /// Checks what stands in a header whose frame passed its CRC.
    pub(crate) fn parse(raw: &RawHeader) -> Result<Header, WireError> {
        Ok(Header {
            flags: Flags::parse(raw.flags.get())?,
            schema: raw.schema.get(),
            length: raw.length.get() as usize,
            extension_size: usize::from(raw.header_ex),
            bit_mode: BitMode::from_u8(raw.bit_mode).ok_or(WireError::BadBitMode(raw.bit_mode))?,
            reserved: raw.reserved.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_sixteen_bytes_in_the_documented_order() {
        let header = RawHeader {
            magic: MAGIC,
            version: VERSION,
            flags: U16::new(0),
            schema: U32::new(800),
            length: U32::new(16),
            header_ex: 0,
            bit_mode: BitMode::Bits64 as u8,
            reserved: U16::new(0),
        };
        let golden =
            [0xAB, 0x01, 0, 0, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00, 0x00, 0x10, 0x00, 0x04, 0, 0];
        assert_eq!(header.as_bytes(), golden);
        let back = Header::parse(RawHeader::of(&golden).expect("16 bytes")).expect("a good header");
        assert_eq!(back.schema, 800);
        assert_eq!(back.length, 16);
        assert_eq!(back.bit_mode, BitMode::Bits64);
    }

    #[test]
    fn every_flag_bit_is_either_known_or_refused() {
        for bit in 0..16 {
            let parsed = Flags::parse(1 << bit);
            match bit {
                2..=4 | 8 => assert!(parsed.is_ok(), "bit {bit}"),
                // One priority bit alone is 1, 2 or 4.
                5..=7 => {
                    let priority = parsed.expect("a priority that exists").priority();
                    assert_eq!(priority as u16, 1 << (bit - 5));
                }
                _ => assert_eq!(parsed, Err(WireError::BadFlags(1 << bit))),
            }
        }
    }

    #[test]
    fn the_priorities_five_to_seven_are_refused() {
        for value in 0..8 {
            let parsed = Flags::parse(value << Flags::PRIORITY_SHIFT);
            if value <= 4 {
                assert_eq!(parsed.expect("exists").priority() as u16, value);
            } else {
                assert_eq!(parsed, Err(WireError::BadPriority(value as u8)));
            }
        }
    }

    #[test]
    fn only_four_bit_modes_exist() {
        for value in 0..=255 {
            let mode = BitMode::from_u8(value);
            assert_eq!(mode.is_some(), (1..=4).contains(&value));
            if let Some(mode) = mode {
                assert_eq!(mode as u8, value);
                assert_eq!(usize::from(mode.bits()), mode.size() * 8);
            }
        }
    }
}
