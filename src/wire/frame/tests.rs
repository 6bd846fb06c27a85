//! What opening and sealing promise: nothing that was damaged gets through, nothing panics.

use super::*;
use crate::command::{Command, NewOrder};
use crate::types::{
    AccountId, ClientOrderId, InstrumentId, OrderType, Price, Priority, Quantity, Side, TimeInForce,
};
use crate::wire::metadata::Custom;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::time::{Duration, Instant};

const LIMITS: OpenLimits = OpenLimits { frame_max: 4096, strict_reserved: true };

fn command() -> Command {
    NewOrder {
        account: AccountId(2),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(10_000),
        quantity: Quantity(5),
        client_order_id: ClientOrderId(77),
    }
    .into()
}

fn head(schema: u32) -> FrameHead {
    let flags = Flags::new(Priority::Normal).with(Flags::RESPONSE_REQUIRED);
    FrameHead { schema, flags, bit_mode: BitMode::Bits64, client_sequence: 42 }
}

fn metadata() -> Metadata<'static> {
    Metadata { source: "desk", ..Metadata::new("id-1", 1_700_000_000_000, Priority::Normal) }
}

fn writer(out: &mut Vec<u8>) -> FrameWriter<'_> {
    let mut writer =
        FrameWriter::begin_with(out, head(1), &metadata()).expect("metadata within its limits");
    command().encode(writer.payload());
    writer
}

fn unsigned() -> Vec<u8> {
    let mut out = Vec::new();
    writer(&mut out).seal();
    out
}

fn signed() -> Vec<u8> {
    let mut out = Vec::new();
    writer(&mut out).seal_signed(&SigningKey::from_bytes(&[1; 32]));
    out
}

/// Makes CRC and hash right again after a change in front of the integrity block.
fn repair(frame: &mut [u8]) {
    let is_signed = frame[3] & Flags::SIGNED as u8 != 0;
    let Some(offset) = frame.len().checked_sub(integrity::size(is_signed)) else {
        return;
    };
    let crc = integrity::crc64(&frame[..offset]);
    frame[offset..offset + 8].copy_from_slice(&crc.to_be_bytes());
    let hash = integrity::sha256(&frame[..offset + 8]);
    frame[offset + 8..offset + 40].copy_from_slice(&hash);
}

fn error(frame: &[u8]) -> WireError {
    Frame::open(frame, &LIMITS).expect_err("a bad frame")
}

fn repaired(change: impl FnOnce(&mut Vec<u8>)) -> WireError {
    let mut frame = unsigned();
    change(&mut frame);
    repair(&mut frame);
    error(&frame)
}

#[test]
fn a_frame_opens_as_it_was_sealed_and_borrows_everything() {
    let bytes = unsigned();
    let frame = Frame::open(&bytes, &LIMITS).expect("just sealed");
    assert_eq!(frame.schema(), 1);
    assert_eq!(frame.client_sequence(), 42);
    assert_eq!(frame.header().length, bytes.len());
    assert!(frame.header().flags.has(Flags::RESPONSE_REQUIRED));
    let read = frame.metadata().expect("good metadata").expect("there is some");
    assert_eq!(read, metadata());
    let mut scratch = [0; COMMAND_SIZE_MAX];
    let canonical = frame.command(&mut scratch).expect("a command");
    assert_eq!(canonical.command, command());
    assert!(canonical.in_frame);
    let range = bytes.as_ptr_range();
    for pointer in [canonical.payload.as_ptr(), read.message_id.as_ptr(), read.source.as_ptr()] {
        assert!(range.contains(&pointer), "zero-copy");
    }
    let at = frame.locations(&read);
    assert_eq!(&bytes[at.message_id], b"id-1");
    assert_eq!(&bytes[at.source], b"desk");
    assert_eq!(&bytes[at.payload], canonical.payload);
    assert_eq!(&bytes[at.hash], frame.integrity().hash);
    assert_eq!(frame.integrity().signature, None);
}

#[test]
fn what_follows_a_frame_is_left_alone() {
    let mut bytes = unsigned();
    let size = bytes.len();
    bytes.extend_from_slice(&[1, 2, 3]);
    assert_eq!(frame_length(&bytes, 4096), Ok(Some(size)));
    assert_eq!(Frame::open(&bytes, &LIMITS).expect("a frame").bytes().len(), size);
}

#[test]
fn changing_the_sequence_changes_crc_hash_and_signature() {
    let seal = |client_sequence| {
        let mut out = Vec::new();
        let head = FrameHead { client_sequence, ..head(65) };
        FrameWriter::begin(&mut out, head).seal_signed(&SigningKey::from_bytes(&[1; 32]));
        let integrity = *Frame::open(&out, &LIMITS).expect("just sealed").integrity();
        let signature = *integrity.signature.expect("signed");
        (integrity.crc, *integrity.hash, signature)
    };
    let (one, two) = (seal(1), seal(2));
    assert_eq!(one, seal(1));
    assert_ne!(one.0, two.0);
    assert_ne!(one.1, two.1);
    assert_ne!(one.2, two.2);
}

#[test]
fn the_signature_is_made_over_the_hash() {
    let bytes = signed();
    let frame = Frame::open(&bytes, &LIMITS).expect("just sealed");
    let signature = frame.integrity().signature.expect("signed");
    let key = SigningKey::from_bytes(&[1; 32]).verifying_key();
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    assert!(key.verify_strict(frame.integrity().hash, &signature).is_ok());
}

#[test]
fn every_flipped_byte_is_a_typed_error_and_nearly_all_are_bad_checksums() {
    for (frame, block) in [(unsigned(), 40), (signed(), 107)] {
        let integrity = frame.len() - block;
        for at in 0..frame.len() {
            for flip in [0x01, 0x04, 0x80, 0xFF] {
                let mut bad = frame.clone();
                bad[at] ^= flip;
                let result = Frame::open(&bad, &LIMITS);
                // The last 64 bytes of a signed frame are for whoever has the key.
                if at >= integrity + 43 {
                    assert!(result.is_ok());
                    continue;
                }
                let error = result.expect_err("a damaged frame");
                match at {
                    0 => assert_eq!(error, WireError::BadMagic(0xAB ^ flip)),
                    1 => assert_eq!(error, WireError::UnsupportedVersion(1 ^ flip)),
                    8..12 => assert!(
                        matches!(
                            error,
                            WireError::BadLength { .. }
                                | WireError::FrameTooLong { .. }
                                | WireError::Truncated { .. }
                                | WireError::BadChecksum
                        ),
                        "{error}"
                    ),
                    _ if at < integrity + 8 => assert_eq!(error, WireError::BadChecksum, "{at}"),
                    _ if at < integrity + 40 => assert_eq!(error, WireError::BadHash, "{at}"),
                    _ => assert_eq!(error, WireError::BadSignature, "{at}"),
                }
            }
        }
    }
}

#[test]
fn every_cut_frame_waits_for_more_or_is_truncated() {
    for frame in [unsigned(), signed()] {
        for cut in 0..frame.len() {
            let expected = (cut >= 12).then_some(frame.len());
            assert_eq!(frame_length(&frame[..cut], 4096), Ok(expected));
            assert!(matches!(error(&frame[..cut]), WireError::Truncated { .. }), "{cut}");
        }
    }
}

#[test]
fn lengths_that_lie_have_distinct_errors() {
    let with = |length: u32| {
        let mut frame = unsigned();
        frame[8..12].copy_from_slice(&length.to_be_bytes());
        repair(&mut frame);
        error(&frame)
    };
    let real = unsigned().len() as u32;
    for length in [0, 15, 16, FRAME_MIN_BYTES as u32 - 1] {
        assert_eq!(with(length), WireError::BadLength { length, min: FRAME_MIN_BYTES });
    }
    for length in [4097, u32::MAX] {
        assert_eq!(with(length), WireError::FrameTooLong { length, max: 4096 });
    }
    let (have, need) = (real as usize, real as usize + 1);
    assert_eq!(with(real + 1), WireError::Truncated { have, need });
    assert_eq!(with(real - 1), WireError::BadChecksum);
}

#[test]
fn a_bad_crc_is_told_before_a_bad_hash() {
    let mut frame = unsigned();
    let size = frame.len();
    frame[size - 1] ^= 1;
    assert_eq!(error(&frame), WireError::BadHash);
    frame[size - 40] ^= 1;
    assert_eq!(error(&frame), WireError::BadChecksum);
}

#[test]
fn nothing_is_decoded_before_the_crc_is_right() {
    let mut frame = unsigned();
    frame[2] = 0xFF; // flags
    frame[13] = 9; // bit mode
    frame[15] = 1; // reserved
    frame[24] = 200; // segments
    assert_eq!(error(&frame), WireError::BadChecksum);
}

#[test]
fn each_header_field_has_its_own_error_once_the_crc_is_right() {
    assert_eq!(repaired(|frame| frame[3] |= 1), WireError::BadFlags(1));
    assert_eq!(repaired(|frame| frame[3] |= 2), WireError::BadFlags(2));
    assert_eq!(repaired(|frame| frame[2] |= 2), WireError::BadFlags(0x200));
    assert_eq!(repaired(|frame| frame[3] |= 0b111 << 5), WireError::BadPriority(7));
    assert_eq!(repaired(|frame| frame[13] = 0), WireError::BadBitMode(0));
    assert_eq!(repaired(|frame| frame[13] = 5), WireError::BadBitMode(5));
    assert_eq!(repaired(|frame| frame[15] = 1), WireError::BadReserved(1));
    let mut frame = unsigned();
    frame[15] = 1;
    repair(&mut frame);
    assert!(Frame::open(&frame, &OpenLimits::default()).is_ok(), "ignored unless strict");
    let wrong = repaired(|frame| frame[24] = 200);
    assert_eq!(wrong, SegmentError::Count(200).into());
    let wrong = repaired(|frame| frame[25] = 9);
    assert_eq!(wrong, SegmentError::Type(9).into());
}

/// A frame with the segments of these types, each of eight bytes except an integrity block.
fn with_segments(schema: u32, kinds: &[SegmentKind], block: usize) -> Vec<u8> {
    let n = kinds.len();
    let mut frame = vec![0; 16 + descriptor_size(n)];
    frame[..2].copy_from_slice(&[MAGIC, VERSION]);
    frame[3] = 2 << 5;
    frame[4..8].copy_from_slice(&schema.to_be_bytes());
    frame[13] = 4;
    let mut ends = Vec::new();
    let first = frame.len() as u32;
    for kind in kinds {
        let size = if *kind == SegmentKind::Integrity { block } else { 32 };
        ends.push(ends.last().unwrap_or(&first) + size as u32);
    }
    segments::fill(&mut frame[16..], kinds, first, &ends);
    frame.resize(*ends.last().expect("at least one segment") as usize, 0);
    let length = frame.len() as u32;
    frame[8..12].copy_from_slice(&length.to_be_bytes());
    frame
}

#[test]
fn a_missing_segment_is_named() {
    use SegmentKind::{Integrity, Metadata, Payload};
    let mut frame = with_segments(65, &[Metadata, Integrity], 40);
    repair(&mut frame);
    assert_eq!(error(&frame), WireError::MissingSegment(Payload));
    let mut frame = with_segments(1, &[Payload, Integrity], 40);
    repair(&mut frame);
    assert_eq!(error(&frame), WireError::MissingSegment(Metadata));
    frame[4..8].copy_from_slice(&65u32.to_be_bytes());
    repair(&mut frame);
    assert!(Frame::open(&frame, &LIMITS).is_ok(), "a session message takes no metadata");
    let frame = with_segments(1, &[Metadata, Payload], 0);
    assert_eq!(error(&frame), WireError::MissingSegment(Integrity));
}

#[test]
fn an_integrity_block_of_another_size_than_the_flag_says_is_refused() {
    use SegmentKind::{Integrity, Payload};
    for (flag, block, expected) in [(0, 107, 40), (Flags::SIGNED as u8, 40, 107), (0, 48, 40)] {
        let mut frame = with_segments(65, &[Payload, Integrity], block);
        frame[3] |= flag;
        let offset = frame.len() - block;
        let crc = integrity::crc64(&frame[..offset]);
        frame[offset..offset + 8].copy_from_slice(&crc.to_be_bytes());
        let found = block as u32;
        assert_eq!(error(&frame), SegmentError::IntegrityLength { expected, found }.into());
    }
}

#[test]
fn a_signature_of_an_unknown_algorithm_or_size_is_refused() {
    for (at, value) in [(0, 2), (1, 1), (2, 63)] {
        let mut frame = signed();
        let form = frame.len() - 67;
        frame[form + at] = value;
        assert_eq!(error(&frame), WireError::BadSignature);
    }
}

#[test]
fn flags_and_metadata_must_name_one_priority() {
    let mut out = Vec::new();
    let other = Metadata { priority: Priority::High, ..metadata() };
    FrameWriter::begin_with(&mut out, head(1), &other).expect("within limits").seal();
    let (flags, metadata) = (Priority::Normal, Priority::High);
    let found = Frame::open(&out, &LIMITS).expect("a frame").metadata();
    assert_eq!(found, Err(WireError::PriorityMismatch { flags, metadata }));
    assert_eq!(found.expect_err("two priorities").reason().name(), "BadPriority");
}

#[test]
fn a_short_extension_has_no_sequence_and_a_long_one_is_kept() {
    for (size, expected) in
        [(0, 0), (7, 0), (8, 0x0101_0101_0101_0101), (12, 0x0101_0101_0101_0101)]
    {
        let plain = with_segments(65, &[SegmentKind::Payload, SegmentKind::Integrity], 40);
        let mut frame = plain[..16].to_vec();
        frame.extend(std::iter::repeat_n(1, size));
        let first = (16 + size + descriptor_size(2)) as u32;
        let mut descriptor = vec![0; descriptor_size(2)];
        segments::fill(&mut descriptor, &KINDS[1..], first, &[first + 8, first + 48]);
        frame.extend_from_slice(&descriptor);
        frame.resize(first as usize + 48, 0);
        frame[8..12].copy_from_slice(&(first + 48).to_be_bytes());
        frame[12] = size as u8;
        repair(&mut frame);
        let frame = Frame::open(&frame, &LIMITS).expect("any extension is good");
        assert_eq!(frame.client_sequence(), expected);
        assert_eq!(frame.header().extension_size, size);
    }
}

#[test]
fn a_writer_that_is_not_sealed_takes_its_bytes_back() {
    let mut out = vec![1, 2, 3];
    drop(writer(&mut out));
    assert_eq!(out, [1, 2, 3]);
    let unnamed = Metadata { message_id: "", ..metadata() };
    assert!(FrameWriter::begin_with(&mut out, head(1), &unnamed).is_err());
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn a_frame_marked_as_duplicate_differs_in_the_flag_alone() {
    let key = SigningKey::from_bytes(&[1; 32]);
    for (original, block) in [(unsigned(), 40), (signed(), 107)] {
        let mut again = original.clone();
        mark_duplicate(&mut again, &key);
        let frame = Frame::open(&again, &LIMITS).expect("sealed anew");
        assert!(frame.header().flags.has(Flags::POSSIBLE_DUPLICATE));
        if let Some(signature) = frame.integrity().signature {
            let signature = ed25519_dalek::Signature::from_bytes(signature);
            let public = key.verifying_key();
            assert!(public.verify_strict(frame.integrity().hash, &signature).is_ok());
        }
        let end = original.len() - block;
        let changed: Vec<usize> = (0..end).filter(|at| original[*at] != again[*at]).collect();
        assert_eq!(changed, [3]);
    }
}

#[test]
fn a_frame_out_of_the_journal_is_read_without_hashing_it_again() {
    let bytes = unsigned();
    let frame = Frame::reopen(&bytes, &LIMITS).expect("was verified before");
    assert_eq!(frame.integrity(), Frame::open(&bytes, &LIMITS).expect("good").integrity());
}

#[test]
fn errors_that_lose_the_framing_are_the_ones_before_the_whole_frame_is_there() {
    let min = FRAME_MIN_BYTES;
    assert!(WireError::BadMagic(0).loses_framing());
    assert!(WireError::UnsupportedVersion(0).loses_framing());
    assert!(WireError::BadLength { length: 0, min }.loses_framing());
    assert!(WireError::FrameTooLong { length: 9999, max: 4096 }.loses_framing());
    assert!(!WireError::BadChecksum.loses_framing());
    assert!(!WireError::BadHash.loses_framing());
    assert!(!WireError::UnknownSchema(777).loses_framing());
}

fn seed() -> u64 {
    let chosen = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = chosen.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64)
    });
    println!("SEED={seed}");
    seed
}

/// Opens the bytes and reads all there is to read.
fn read_everything(bytes: &[u8]) {
    use crate::wire::message::{ClientMessage, ServerMessage};
    let Ok(frame) = Frame::open(bytes, &LIMITS) else {
        return;
    };
    assert!(frame.bytes().len() <= bytes.len());
    if let Ok(Some(metadata)) = frame.metadata() {
        assert!(metadata.custom.iter().count() == metadata.custom.count());
        assert_eq!(&bytes[frame.locations(&metadata).message_id], metadata.message_id.as_bytes());
        let mut again = Vec::new();
        metadata.encode(&mut again).expect("what was read is within the limits");
        assert_eq!(Metadata::parse(&again), Ok(metadata));
    }
    let mut scratch = [0; COMMAND_SIZE_MAX];
    if let Ok(canonical) = frame.command(&mut scratch) {
        let mut again = Vec::new();
        canonical.command.encode(&mut again);
        assert_eq!(again, canonical.payload, "one command has one canonical payload");
    }
    let _ = ClientMessage::decode(&frame);
    let _ = ServerMessage::decode(&frame);
}

#[test]
fn no_bytes_whatsoever_make_it_panic() {
    let budget = std::env::var("FUZZ_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(300);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut buffer = Vec::new();
    let custom = Custom::build(&[("a", "1"), ("b", "2")], &mut buffer).expect("a good map");
    let mut rich = Vec::new();
    let metadata = Metadata { custom, correlation_id: "ü", ..metadata() };
    let mut writer =
        FrameWriter::begin_with(&mut rich, head(1), &metadata).expect("within the limits");
    command().encode(writer.payload());
    writer.seal();
    let samples = [unsigned(), signed(), rich];
    let schemas = [1u32, 2, 3, 4, 5, 6, 64, 65, 67, 128, 130, 131, 132, 134, 135, 136, 138];
    let end = Instant::now() + Duration::from_millis(budget);
    let mut rounds = 0u64;
    while Instant::now() < end {
        for _ in 0..64 {
            rounds += 1;
            let mut frame = samples[rng.next_u32() as usize % samples.len()].clone();
            if rng.next_u32().is_multiple_of(4) {
                let schema = schemas[rng.next_u32() as usize % schemas.len()];
                frame[4..8].copy_from_slice(&schema.to_be_bytes());
            }
            for _ in 0..rng.next_u32() % 4 {
                let at = rng.next_u32() as usize % frame.len();
                frame[at] = match rng.next_u32() % 3 {
                    0 => rng.next_u32() as u8,
                    1 => frame[at] ^ (1 << (rng.next_u32() % 8)),
                    _ => frame[at].wrapping_add(1),
                };
            }
            if rng.next_u32().is_multiple_of(8) {
                frame.truncate(rng.next_u32() as usize % (frame.len() + 1));
            }
            if frame.len() >= 16 && !rng.next_u32().is_multiple_of(4) {
                let length = frame.len() as u32;
                frame[8..12].copy_from_slice(&length.to_be_bytes());
                repair(&mut frame);
            }
            read_everything(&frame);
        }
    }
    println!("{rounds} frames");
}
