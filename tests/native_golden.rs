//! Frames and partition numbers that an implementation of its own made: both must agree, for ever.

use openoutcry::event::RejectReason;
use openoutcry::types::Priority;
use openoutcry::wire::integrity::crc64;
use openoutcry::wire::message::{ClientMessage, ServerMessage};
use openoutcry::wire::partition::partition;
use openoutcry::wire::payload::COMMAND_SIZE_MAX;
use openoutcry::wire::{Frame, FrameHead, FrameWriter, OpenLimits, WireError};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: String,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("hex digits");
        u8::from_str_radix(text, 16).expect("two hex digits")
    };
    digits.chunks(2).map(pair).collect()
}

pub(crate) fn vectors(file: &str) -> Vec<Vector> {
    let text = fs::read_to_string(data("native").join(file)).expect("the vectors are there");
    let mut vectors: Vec<Vector> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').expect("a word and the rest");
        if word == "name" {
            vectors.push(Vector { name: rest.into(), bytes: vec![], expected: String::new() });
            continue;
        }
        let vector = vectors.last_mut().expect("a name comes first");
        match word {
            "hex" => vector.bytes.extend(unhex(rest)),
            "expect" => writeln!(vector.expected, "{rest}").expect("a string takes all"),
            other => panic!("{file}: {other}"),
        }
    }
    vectors
}

const LIMITS: OpenLimits = OpenLimits { frame_max: 4096, strict_reserved: true };

pub(crate) fn key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[7; 32])
}

/// What a frame says, in the words of the vectors.
fn describe(bytes: &[u8]) -> Result<String, WireError> {
    let frame = Frame::open(bytes, &LIMITS)?;
    let mut text = String::new();
    let integrity = frame.integrity();
    let signature = match integrity.signature {
        None => "none",
        Some(signature) => {
            let signature = ed25519_dalek::Signature::from_bytes(signature);
            let good = key().verifying_key().verify_strict(integrity.hash, &signature).is_ok();
            if good { "good" } else { "bad" }
        }
    };
    let header = frame.header();
    writeln!(
        text,
        "frame schema={} flags={:#06x} bits={} client_sequence={} signature={signature}",
        header.schema,
        header.flags.bits(),
        header.bit_mode.bits(),
        frame.client_sequence(),
    )
    .expect("a string takes all");
    if let Some(m) = frame.metadata()? {
        let custom: Vec<String> = m.custom.iter().map(|(k, v)| format!("{k}={v}")).collect();
        writeln!(
            text,
            "metadata id={} timestamp_ms={} source={} correlation={} retry={} priority={} \
             ttl_ms={} custom={}",
            m.message_id,
            m.timestamp_ms,
            m.source,
            m.correlation_id,
            m.retry_count,
            m.priority,
            m.ttl_ms,
            custom.join(",")
        )
        .expect("a string takes all");
    }
    let message = match header.schema {
        64..=127 => format!("{:?}", ClientMessage::decode(&frame)?),
        128..=255 => format!("{:?}", ServerMessage::decode(&frame)?),
        _ => format!("{:?}", frame.command(&mut [0; COMMAND_SIZE_MAX])?.command),
    };
    writeln!(text, "{message}").expect("a string takes all");
    Ok(text)
}

fn check(file: &str) -> usize {
    let vectors = vectors(file);
    for vector in &vectors {
        let found = match describe(&vector.bytes) {
            Ok(text) => text,
            Err(error) => format!("error {}: {error}\n", error.reason()),
        };
        assert_eq!(found, vector.expected, "{file}: {}", vector.name);
    }
    vectors.len()
}

#[test]
fn golden_frames_say_what_they_are_expected_to_say() {
    assert_eq!(check("commands.hex"), 14);
    assert_eq!(check("to_server.hex"), 7);
    assert_eq!(check("from_server.hex"), 20);
}

#[test]
fn golden_frames_that_are_bad_are_refused_with_their_reason() {
    assert!(check("refused.hex") > 20);
}

#[test]
fn sealing_what_was_read_gives_the_golden_bytes_again() {
    for file in ["commands.hex", "to_server.hex", "from_server.hex"] {
        for vector in vectors(file) {
            let frame = Frame::open(&vector.bytes, &LIMITS).expect("a golden frame");
            let head = FrameHead {
                schema: frame.schema(),
                flags: frame.header().flags,
                bit_mode: frame.header().bit_mode,
                client_sequence: frame.client_sequence(),
            };
            let mut out = Vec::new();
            let mut writer = match frame.metadata().expect("good metadata") {
                Some(metadata) => FrameWriter::begin_with(&mut out, head, &metadata)
                    .expect("what was read is within the limits"),
                None => FrameWriter::begin(&mut out, head),
            };
            writer.payload().extend_from_slice(frame.payload());
            match frame.integrity().signature {
                Some(_) => writer.seal_signed(&key()),
                None => writer.seal(),
            };
            assert_eq!(out, vector.bytes, "{file}: {}", vector.name);
        }
    }
}

#[test]
fn golden_keys_stay_in_their_partitions() {
    let text = fs::read_to_string(data("partition.txt")).expect("the table is there");
    let mut count = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [key, crc, normal, batch] = words[..] else { panic!("four words: {line}") };
        assert_eq!(format!("{:016x}", crc64(key.as_bytes())), crc, "{key}");
        let at = |priority| partition(priority, key.as_bytes()).to_string();
        assert_eq!(at(Priority::Normal), normal, "{key}");
        assert_eq!(at(Priority::Low), batch, "{key}");
        assert_eq!(at(Priority::Batch), batch, "{key}");
        assert_eq!((at(Priority::Critical), at(Priority::High)), ("0".into(), "1".into()));
        count += 1;
    }
    assert_eq!(count, 1000);
}

#[test]
fn every_error_of_the_wire_has_a_reason_below_one_hundred() {
    let text = fs::read_to_string(data("native/refused.hex")).expect("the vectors are there");
    for reason in RejectReason::ALL.iter().filter(|reason| (**reason as u16) <= 17) {
        // A signature that is missing is for the gateway to miss, and our own tests are strict
        // about the reserved field elsewhere.
        if ["SignatureRequired", "BadReserved"].contains(&reason.name()) {
            continue;
        }
        assert!(text.contains(&format!("expect error {reason}: ")), "{reason}");
    }
}
