//! CRC-64/XZ at the speed of the carry-less multiply, short messages included.

use crc64fast::Digest;

/// Bytes that the library's fast path takes at once, from where it can load them.
const BLOCK: usize = 128;
/// The lead-in of the short way, see [`crc64`].
const LEAD_IN: usize = 8;

#[repr(align(16))]
struct Aligned<const SIZE: usize>([u8; SIZE]);

/// CRC-64/XZ.
///
/// The library's fast path takes whole, aligned blocks of 128 bytes and a table does the rest, so
/// that a frame of 190 bytes would go through the table altogether. Zeros in front of a message do
/// not change a CRC whose register is zero. The register begins as all ones, so eight bytes of
/// ones make it zero, and all ones are owed to the first eight bytes of the message: a short
/// message is set behind such a lead-in so that the whole ends on a block.
#[must_use]
#[inline]
pub fn crc64(bytes: &[u8]) -> u64 {
    match bytes.len() {
        LEAD_IN..=120 => short::<128>(bytes),
        121..=248 => short::<256>(bytes),
        249..=504 => short::<512>(bytes),
        _ => {
            let mut crc = Digest::new();
            crc.write(bytes);
            crc.sum64()
        }
    }
}

#[inline]
fn short<const SIZE: usize>(bytes: &[u8]) -> u64 {
    let mut buffer = Aligned([0; SIZE]);
    let size = (bytes.len() + LEAD_IN).next_multiple_of(BLOCK);
    let blocks = &mut buffer.0[..size];
    blocks[..LEAD_IN].fill(0xFF);
    let message = &mut blocks[size - bytes.len()..];
    message.copy_from_slice(bytes);
    for byte in &mut message[..LEAD_IN] {
        *byte ^= 0xFF;
    }
    let mut crc = Digest::new();
    crc.write(blocks);
    crc.sum64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_crc_64_xz() {
        assert_eq!(crc64(b"123456789"), 0x995D_C9BB_DF19_39FA);
        assert_eq!(crc64(b"hello world!"), 0x8483_C0FA_3260_7D61);
        assert_eq!(crc64(b""), 0);
        assert_eq!(crc64(&[0; 32]), 0xC95A_F861_7CD5_330C);
    }

    #[test]
    fn the_short_way_gives_the_same_crc_at_every_length() {
        let bytes: Vec<u8> = (0..1200u32).map(|i| (i * 131 + (i >> 3)) as u8).collect();
        for length in 0..bytes.len() {
            for start in [0, 1, 7] {
                let message = &bytes[start.min(length)..length];
                let mut plain = Digest::new();
                plain.write(message);
                assert_eq!(crc64(message), plain.sum64(), "{length} bytes from {start}");
            }
        }
    }
}
