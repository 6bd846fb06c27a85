//! Hashes of many frames at once: checked ahead of the frames' turn, sealed behind it.
//!
//! A frame's hash costs more than everything else done to it, and many hashes together cost half of
//! one after another (`sys::sha256`). Where a buffer holds several frames, whoever opens
//! or sends them one by one has their hashes made here together. What a frame says, and the order
//! in which it is checked, is the same.

use crate::limits::FRAME_MAX_BYTES;
use crate::sys::sha256::{Hash, LANES, hash_each};
use crate::wire::frame::frame_length;
use crate::wire::header::Flags;
use crate::wire::integrity;

/// True where a whole frame says that it is signed.
fn is_signed(frame: &[u8]) -> bool {
    frame
        .get(2..4)
        .is_some_and(|flags| u16::from_be_bytes([flags[0], flags[1]]) & Flags::SIGNED != 0)
}

/// Where a whole frame's CRC stands; `None` where the frame is too short for its block.
fn block_offset(frame: &[u8]) -> Option<usize> {
    frame.len().checked_sub(integrity::size(is_signed(frame)))
}

/// The bytes that a frame's hash is made of; none where the frame is too short for its block, which
/// [`crate::wire::Frame::open_hashed`] then says.
fn covered(frame: &[u8]) -> &[u8] {
    block_offset(frame).map_or(&[], |offset| &frame[..offset + integrity::CRC_SIZE])
}

/// The hashes of the frames of one buffer, made several at a time.
pub struct HashesAhead {
    hashes: [Hash; LANES],
    made: usize,
    taken: usize,
}

impl HashesAhead {
    /// None made yet.
    #[must_use]
    pub fn new() -> HashesAhead {
        HashesAhead { hashes: [[0; 32]; LANES], made: 0, taken: 0 }
    }

    /// The hash of the frame at the start of `bytes`, which is whole and was not asked for before;
    /// those of whole frames behind it are made at the same time.
    #[inline]
    pub fn take(&mut self, bytes: &[u8], frame_max: usize) -> Hash {
        if self.taken == self.made {
            self.make(bytes, frame_max);
        }
        let hash = self.hashes[self.taken];
        self.taken += 1;
        hash
    }

    fn make(&mut self, mut bytes: &[u8], frame_max: usize) {
        let mut messages: [&[u8]; LANES] = [&[]; LANES];
        let mut count = 0;
        while count < LANES
            && let Ok(Some(length)) = frame_length(bytes, frame_max)
            && let Some((frame, rest)) = bytes.split_at_checked(length)
        {
            messages[count] = covered(frame);
            count += 1;
            bytes = rest;
            // Whoever opens a signed frame first waits for the verdict on it, and comes again.
            if is_signed(frame) {
                break;
            }
        }
        assert!(count > 0, "the first frame is whole");
        hash_each(&messages[..count], &mut self.hashes[..count]);
        (self.made, self.taken) = (count, 0);
    }
}

impl Default for HashesAhead {
    fn default() -> HashesAhead {
        HashesAhead::new()
    }
}

/// Fills CRC and hash of the frames that `bytes` consists of; a signature stays as it is.
///
/// # Panics
/// If the bytes are not whole frames that this program wrote.
pub fn seal_each(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        let mut frames: [&mut [u8]; LANES] = std::array::from_fn(|_| Default::default());
        let mut count = 0;
        while count < LANES && !bytes.is_empty() {
            let length = frame_length(bytes, FRAME_MAX_BYTES)
                .expect("a frame of our own")
                .expect("a frame has a header");
            let (frame, rest) = bytes.split_at_mut(length);
            let offset = block_offset(frame).expect("room was left for the block");
            let crc = integrity::crc64(&frame[..offset]).to_be_bytes();
            frame[offset..offset + integrity::CRC_SIZE].copy_from_slice(&crc);
            frames[count] = frame;
            count += 1;
            bytes = rest;
        }
        let messages: [&[u8]; LANES] = std::array::from_fn(|i| covered(frames[i]));
        let mut hashes = [[0; 32]; LANES];
        hash_each(&messages[..count], &mut hashes[..count]);
        for (frame, hash) in frames[..count].iter_mut().zip(hashes) {
            let at = covered(frame).len();
            frame[at..at + integrity::HASH_SIZE].copy_from_slice(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{Ping, Pong, send};
    use crate::wire::{Frame, OpenLimits, WireError};

    fn pings(count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for nonce in 0..count {
            send(&Ping { nonce }, nonce, &mut bytes);
        }
        bytes
    }

    /// Opens frame after frame, with hashes made ahead.
    fn open_all(bytes: &[u8]) -> Vec<Result<u64, WireError>> {
        let limits = OpenLimits::default();
        let (mut ahead, mut at, mut seen) = (HashesAhead::new(), 0, Vec::new());
        while let Ok(Some(length)) = frame_length(&bytes[at..], limits.frame_max)
            && at + length <= bytes.len()
        {
            let hash = ahead.take(&bytes[at..], limits.frame_max);
            let opened = Frame::open_hashed(&bytes[at..at + length], &limits, |_| hash);
            seen.push(opened.map(|frame| frame.client_sequence()));
            at += length;
        }
        seen
    }

    #[test]
    fn every_frame_of_a_buffer_meets_its_own_hash() {
        for count in [1, 2, 7, 8, 16, 17, 50] {
            let mut bytes = pings(count);
            let expected: Vec<_> = (0..count).map(Ok).collect();
            assert_eq!(open_all(&bytes), expected);
            // The begin of a further frame changes nothing.
            let further = pings(1);
            bytes.extend_from_slice(&further[..further.len() - 1]);
            assert_eq!(open_all(&bytes), expected);
        }
    }

    #[test]
    fn a_damaged_frame_is_refused_alone() {
        let length = pings(1).len();
        for damaged in 0..20 {
            for at in [length / 2, length - integrity::UNSIGNED_SIZE, length - 1] {
                let mut bytes = pings(20);
                bytes[damaged * length + at] ^= 1;
                for (number, opened) in open_all(&bytes).into_iter().enumerate() {
                    let expected = match (number == damaged, at == length - 1) {
                        (false, _) => Ok(number as u64),
                        (true, false) => Err(WireError::BadChecksum),
                        (true, true) => Err(WireError::BadHash),
                    };
                    assert_eq!(opened, expected, "frame {number}, byte {at} of {damaged}");
                }
            }
        }
    }

    #[test]
    fn a_frame_that_says_it_is_signed_and_is_too_short_for_that_is_refused() {
        let mut bytes = pings(2);
        let length = bytes.len() / 2;
        bytes[2..4].copy_from_slice(&Flags::SIGNED.to_be_bytes());
        let opened = open_all(&bytes);
        assert!(opened[0].is_err(), "{length} bytes: {opened:?}");
        assert_eq!(opened[1], Ok(1));
    }

    #[test]
    fn frames_sealed_together_are_those_sealed_one_by_one() {
        let mut expected = Vec::new();
        for nonce in 0..40 {
            send(&Pong { nonce }, nonce, &mut expected);
        }
        let mut bytes = expected.clone();
        let length = bytes.len() / 40;
        for frame in bytes.chunks_exact_mut(length) {
            frame[length - integrity::UNSIGNED_SIZE..].fill(0);
        }
        seal_each(&mut bytes);
        assert_eq!(bytes, expected);
        // What is sealed stays as it is.
        seal_each(&mut bytes);
        assert_eq!(bytes, expected);
    }
}
