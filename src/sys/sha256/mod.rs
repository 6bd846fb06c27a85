//! SHA-256 of many short messages at once.
//!
//! A frame's hash is a chain of dependent steps, so one message leaves most of a wide processor
//! unused, even with its SHA instructions. Hashing sixteen messages side by side, one a lane of
//! AVX-512, takes half the time of hashing them one after another (`cargo bench --bench wire`);
//! hashing was a third of what an order costs. Elsewhere, and for few messages, the `sha2` crate
//! does it.

#[cfg(target_arch = "x86_64")]
mod avx512;

use sha2::{Digest as _, Sha256};

/// Messages that are hashed side by side.
pub const LANES: usize = 16;
/// All lanes together take as long as so many messages one by one.
#[cfg(target_arch = "x86_64")]
const WIDE_COST: usize = 8;

/// A SHA-256.
pub type Hash = [u8; 32];

/// Hashes every message.
///
/// # Panics
/// If there are not as many places for hashes as messages.
pub fn hash_each(messages: &[&[u8]], hashes: &mut [Hash]) {
    assert_eq!(messages.len(), hashes.len(), "a place for every hash");
    for (messages, hashes) in messages.chunks(LANES).zip(hashes.chunks_mut(LANES)) {
        #[cfg(target_arch = "x86_64")]
        if pays_off(messages) && avx512::hash_lanes(messages, hashes) {
            continue;
        }
        for (message, hash) in messages.iter().zip(hashes) {
            *hash = Sha256::digest(message).into();
        }
    }
}

/// True where hashing side by side is quicker: every lane takes as long as the longest message.
#[cfg(target_arch = "x86_64")]
fn pays_off(messages: &[&[u8]]) -> bool {
    let longest = messages.iter().map(|message| message.len()).max().unwrap_or(0);
    let all: usize = messages.iter().map(|message| message.len()).sum();
    messages.len() >= WIDE_COST && all >= WIDE_COST * longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_hashes_are_those_of_each_message_alone() {
        let bytes: Vec<u8> = (0..4096u32).map(|i| (i * 131 + (i >> 3)) as u8).collect();
        for count in 0..=2 * LANES + 1 {
            for step in [0, 1, 3, 63, 64, 65] {
                // Lengths around every boundary of a block, all different in one call.
                let messages: Vec<&[u8]> =
                    (0..count).map(|i| &bytes[i..i + (i * step + 55) % 1024]).collect();
                let mut hashes = vec![[0; 32]; count];
                hash_each(&messages, &mut hashes);
                for (message, hash) in messages.iter().zip(&hashes) {
                    let alone: Hash = Sha256::digest(message).into();
                    assert_eq!(*hash, alone, "{count} messages, {} bytes", message.len());
                }
            }
        }
    }

    #[test]
    fn every_length_is_padded_as_the_standard_says() {
        let bytes = [0xA5; 300];
        for length in 0..=300 {
            let messages = [&bytes[..length]; LANES];
            let mut hashes = [[0; 32]; LANES];
            hash_each(&messages, &mut hashes);
            let alone: Hash = Sha256::digest(&bytes[..length]).into();
            assert_eq!(hashes, [alone; LANES], "{length} bytes");
        }
    }
}
