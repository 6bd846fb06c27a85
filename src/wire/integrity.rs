//! The integrity block: CRC-64/XZ, SHA-256 and an optional Ed25519 signature.
//!
//! Invariants (rows S1.38, S1.50–S1.54): the block is the last thing in a frame, 40 bytes without a
//! signature and 43 + 64 with one, and the `signed` flag says which. So it is found from the
//! frame's length alone, before anything else of the frame is believed. The CRC covers all bytes
//! before the block, the hash those and the CRC, the signature is made over the 32 bytes of hash.

pub use crate::checksum::crc64;
use crate::wire::WireError;

use sha2::{Digest as _, Sha256};

/// Bytes of the CRC.
pub const CRC_SIZE: usize = 8;
/// Bytes of a block without a signature.
pub const UNSIGNED_SIZE: usize = CRC_SIZE + HASH_SIZE;
/// The only signature algorithm: Ed25519.
pub const ALGORITHM_ED25519: u8 = 1;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_SIZE: usize = 64;
/// Bytes of a block with a signature: algorithm u8 and length u16 stand before it.
pub const SIGNED_SIZE: usize = UNSIGNED_SIZE + 3 + SIGNATURE_SIZE;
/// Bytes of the hash.
pub const HASH_SIZE: usize = 32;

/// SHA-256.
#[must_use]
#[inline]
pub fn sha256(bytes: &[u8]) -> [u8; HASH_SIZE] {
    Sha256::digest(bytes).into()
}

/// The integrity block of a frame whose CRC and hash are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integrity<'a> {
    /// Where the block begins.
    pub offset: usize,
    /// CRC-64/XZ of everything before the block.
    pub crc: u64,
    /// SHA-256 of everything before it and of the CRC.
    pub hash: &'a [u8; HASH_SIZE],
    /// Ed25519 signature of the hash, not verified here: that is slow and takes a key.
    pub signature: Option<&'a [u8; SIGNATURE_SIZE]>,
}

/// Bytes of the block, by the `signed` flag.
#[must_use]
#[inline]
pub const fn size(signed: bool) -> usize {
    if signed { SIGNED_SIZE } else { UNSIGNED_SIZE }
}

/// True where the eight bytes at `offset` are the CRC of all before them.
#[inline]
pub(crate) fn crc_matches(frame: &[u8], offset: usize) -> bool {
    match frame.get(offset..offset + 8) {
        Some(found) => found == crc64(&frame[..offset]).to_be_bytes(),
        None => false,
    }
}

/// Checks CRC, then hash, then the signature's form. `hash` gives the SHA-256 of what it is given.
#[inline]
pub(crate) fn verify(
    frame: &[u8],
    signed: bool,
    hash: impl FnOnce(&[u8]) -> [u8; HASH_SIZE],
) -> Result<Integrity<'_>, WireError> {
    let block_size = size(signed);
    let offset = frame.len().checked_sub(block_size).ok_or(WireError::BadChecksum)?;
    if !crc_matches(frame, offset) {
        return Err(WireError::BadChecksum);
    }
    read(frame, signed, |covered, found| hash(covered) == *found)
}

/// Reads the block of a frame whose CRC was checked; `hash_matches` is asked about its hash.
#[inline]
pub(crate) fn read(
    frame: &[u8],
    signed: bool,
    hash_matches: impl FnOnce(&[u8], &[u8; HASH_SIZE]) -> bool,
) -> Result<Integrity<'_>, WireError> {
    let offset = frame.len().checked_sub(size(signed)).ok_or(WireError::BadChecksum)?;
    let (covered, rest) = frame.split_at(offset + CRC_SIZE);
    let (hash, rest) = rest.split_first_chunk::<HASH_SIZE>().ok_or(WireError::BadHash)?;
    if !hash_matches(covered, hash) {
        return Err(WireError::BadHash);
    }
    let signature = match rest {
        [] => None,
        [ALGORITHM_ED25519, 0, 64, signature @ ..] => {
            Some(signature.try_into().map_err(|_| WireError::BadSignature)?)
        }
        _ => return Err(WireError::BadSignature),
    };
    let crc = covered[offset..].try_into().expect("the last eight bytes of what is covered");
    Ok(Integrity { offset, crc: u64::from_be_bytes(crc), hash, signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        let hash = sha256(b"abc");
        assert_eq!(hash[..4], [0xBA, 0x78, 0x16, 0xBF]);
    }

    #[test]
    fn the_block_has_40_bytes_or_43_and_the_signature() {
        assert_eq!(UNSIGNED_SIZE, 40);
        assert_eq!(SIGNED_SIZE, 43 + 64);
    }
}
