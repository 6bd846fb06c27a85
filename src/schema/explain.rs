//! A frame explained byte by byte, for people who write clients: every field's place, bytes, value and
//! meaning, and where and why a bad frame is bad.
//!
//! Reads as far as the bytes allow, also beyond what a receiver would believe; the verdict is that of
//! the receiver's own decoder.

use super::frame::{self, LIMITS, contents};
use super::json::{hex, to_json};
use super::{Field, Kind, REGISTERED_ID_MIN, Registry, Value, fixed};
use crate::command::{POST_ONLY, PayloadError, REPRICE, SELF_TRADE_MASK, self_trade_asked};
use crate::event::RejectReason;
use crate::limits::HEADER_SIZE;
use crate::timestamp::Rfc3339;
use crate::types::{Priority, SelfTrade, TimeNs};
use crate::wire::header::{EXTENSION_SIZE, MAGIC, VERSION};
use crate::wire::integrity::{self, CRC_SIZE, HASH_SIZE};
use crate::wire::segments::{SegmentError, SegmentKind, Segments};
use crate::wire::{BitMode, Flags, Frame, WireError, frame_length, segments};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::ops::Range;

/// One field of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Header, extension, descriptor, metadata, payload or integrity.
    pub part: &'static str,
    /// Bytes from the frame's start.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    /// The bytes, as hex.
    pub bytes: String,
    /// The field.
    pub name: String,
    /// What they are.
    pub value: String,
    /// What that means.
    pub meaning: String,
}

/// Where a frame is bad, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Bytes from the frame's start.
    pub offset: usize,
    /// The reason that a client is told.
    pub reason: &'static str,
    /// In words.
    pub text: String,
}

/// A frame explained.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Bytes that the frame takes; all that are there where its end cannot be found.
    pub length: usize,
    /// Its fields.
    pub rows: Vec<Row>,
    /// What is wrong with it.
    pub fault: Option<Fault>,
    /// The frame as JSON, where it could be opened.
    pub json: Option<Map<String, Json>>,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    part: &'static str,
    rows: Vec<Row>,
}

impl<'a> Walk<'a> {
    /// Takes a field, or what is left of it.
    fn take(&mut self, size: usize, name: impl Into<String>) -> Option<&'a [u8]> {
        let start = self.at.min(self.bytes.len());
        let bytes = &self.bytes[start..start.saturating_add(size).min(self.bytes.len())];
        let whole = bytes.len() == size;
        self.rows.push(Row {
            part: self.part,
            offset: start,
            size: bytes.len(),
            bytes: hex(bytes),
            name: name.into(),
            value: String::new(),
            meaning: if whole { String::new() } else { format!("cut: it has {size} bytes") },
        });
        self.at = start + bytes.len();
        whole.then_some(bytes)
    }

    fn tell(&mut self, value: impl std::fmt::Display, meaning: impl std::fmt::Display) {
        if let Some(row) = self.rows.last_mut() {
            row.value = value.to_string();
            row.meaning = meaning.to_string();
        }
    }

    fn number(&mut self, size: usize, name: impl Into<String>) -> Option<u64> {
        let bytes = self.take(size, name)?;
        let number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        self.tell(number, "");
        Some(number)
    }
}

/// Explains the frame at the start of `bytes`. `key` is that of a signature to be checked.
#[must_use]
pub fn explain(registry: &Registry, bytes: &[u8], key: Option<&VerifyingKey>) -> Explanation {
    // What loses the framing leaves nothing behind it that could be a frame.
    let all = bytes.len();
    let lost = frame_length(bytes, LIMITS.frame_max).is_err();
    let length = bytes.get(8..12).map_or(bytes.len(), |length| {
        u32::from_be_bytes(length.try_into().expect("a slice of four bytes")) as usize
    });
    let bytes = &bytes[..length.clamp(HEADER_SIZE.min(bytes.len()), bytes.len())];
    let mut walk = Walk { bytes, at: 0, part: "header", rows: Vec::new() };
    let segments = parts(registry, &mut walk, key);
    let mut rows = walk.rows;
    rows.retain(|row| row.size > 0 || !row.meaning.is_empty());
    let (json, fault) = verdict(registry, bytes, &rows, &segments.unwrap_or_default());
    Explanation { length: if lost { all } else { bytes.len() }, rows, fault, json }
}

/// Walks all parts; `None` where they could not be found.
fn parts(registry: &Registry, walk: &mut Walk<'_>, key: Option<&VerifyingKey>) -> Option<Segments> {
    let header = header(walk)?;
    walk.part = "extension";
    extension(walk, header.extension);
    walk.part = "descriptor";
    descriptor(walk);
    let found = segments::parse(walk.bytes, header.extension);
    let signed = header.flags & Flags::SIGNED != 0;
    if let Ok(found) = &found {
        if let Some(segment) = found.metadata {
            metadata(&mut inside(walk, "metadata", segment));
        }
        if let Some(segment) = found.payload {
            payload(&mut inside(walk, "payload", segment), registry, &header);
        }
    }
    let size = integrity::size(signed);
    if let Some(offset) = walk.bytes.len().checked_sub(size).filter(|offset| *offset >= walk.at) {
        if offset > walk.at {
            walk.part = "?";
            walk.take(offset - walk.at, "unread");
            walk.tell("", "what these bytes are cannot be told");
        }
        walk.part = "integrity";
        block(walk, signed, registry, &header, key);
    }
    found.ok()
}

/// The walk, at a segment and bounded by it.
fn inside<'w, 'a>(
    walk: &'w mut Walk<'a>,
    part: &'static str,
    segment: segments::Segment,
) -> Bounded<'w, 'a> {
    walk.part = part;
    walk.at = segment.offset as usize;
    let end = (segment.offset + segment.length) as usize;
    let all = walk.bytes;
    walk.bytes = &all[..end.min(all.len())];
    Bounded { walk, all }
}

struct Bounded<'w, 'a> {
    walk: &'w mut Walk<'a>,
    all: &'a [u8],
}

impl Drop for Bounded<'_, '_> {
    fn drop(&mut self) {
        let end = self.walk.bytes.len();
        if self.walk.at < end {
            self.walk.take(end - self.walk.at, "unread");
            self.walk.tell("", "what these bytes are cannot be told");
        }
        self.walk.bytes = self.all;
    }
}

struct Head {
    flags: u16,
    schema: u32,
    extension: usize,
    mode: BitMode,
}

fn header(walk: &mut Walk<'_>) -> Option<Head> {
    let magic = walk.number(1, "magic")?;
    let meaning = if magic == u64::from(MAGIC) { "a native frame" } else { "not 0xAB" };
    walk.tell(format_args!("{magic:#04x}"), meaning);
    let version = walk.number(1, "version")?;
    let meaning = if version == u64::from(VERSION) { "" } else { "only 1 is spoken" };
    walk.tell(version, meaning);
    let flags = walk.number(2, "flags")? as u16;
    walk.tell(format_args!("{flags:#06x}"), flag_words(flags));
    let schema = walk.number(4, "schema")? as u32;
    walk.tell(schema, "");
    let schema_row = walk.rows.len() - 1;
    walk.number(4, "length")?;
    walk.tell(
        walk.rows.last().map_or(String::new(), |row| row.value.clone()),
        "bytes of the frame",
    );
    let extension = walk.number(1, "header_ex")? as usize;
    walk.tell(extension, "bytes of extension behind the header");
    let number = walk.number(1, "bit_mode")?;
    let mode = BitMode::from_u8(number as u8);
    match mode {
        Some(mode) => walk.tell(number, format_args!("int fields have {} bits", mode.bits())),
        None => walk.tell(number, "it is 1, 2, 3 or 4"),
    }
    let reserved = walk.number(2, "reserved")?;
    walk.tell(reserved, if reserved == 0 { "" } else { "write 0" });
    walk.rows[schema_row].meaning.clear();
    Some(Head { flags, schema, extension, mode: mode.unwrap_or_default() })
}

fn flag_words(flags: u16) -> String {
    let names = [
        (Flags::COMPRESSED, "compressed (not supported)"),
        (Flags::ENCRYPTED, "encrypted (not supported)"),
        (Flags::SIGNED, "signed"),
        (Flags::POSSIBLE_DUPLICATE, "possible duplicate"),
        (Flags::RESPONSE_REQUIRED, "response required"),
        (Flags::BATCH, "batch"),
        (0xFE00, "unknown bits"),
    ];
    let mut words: Vec<String> =
        names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name).into()).collect();
    let priority = ((flags & Flags::PRIORITY_MASK) >> Flags::PRIORITY_SHIFT) as u8;
    match Priority::from_u8(priority) {
        Some(known) => words.push(format!("priority {priority} {known}")),
        None => words.push(format!("priority {priority} does not exist")),
    }
    words.join(", ")
}

fn extension(walk: &mut Walk<'_>, size: usize) {
    if size < EXTENSION_SIZE {
        if size > 0 && walk.take(size, "extension").is_some() {
            walk.tell("", "too short for a client sequence: it is 0");
        }
        return;
    }
    if let Some(number) = walk.number(EXTENSION_SIZE, "client_sequence") {
        walk.tell(number, "your number for the message; answers echo it");
    }
    if size > EXTENSION_SIZE && walk.take(size - EXTENSION_SIZE, "extension").is_some() {
        walk.tell("", "ignored");
    }
}

fn descriptor(walk: &mut Walk<'_>) {
    let Some(count) = walk.number(1, "segments") else { return };
    if !(1..=3).contains(&count) {
        walk.tell(count, "there are 1 to 3");
        return;
    }
    let mut names = Vec::new();
    for index in 1..=count {
        let Some(kind) = walk.number(1, format!("type {index}")) else { return };
        let name = match kind {
            1 => "metadata",
            2 => "payload",
            3 => "integrity",
            _ => "no such type",
        };
        walk.tell(kind, name);
        names.push(name);
    }
    for (word, meaning) in [("offset", "it begins here"), ("length", "bytes")] {
        for (index, name) in (1..).zip(&names) {
            let Some(number) = walk.number(4, format!("{word} {index}")) else { return };
            walk.tell(number, format_args!("{name}: {meaning}"));
        }
    }
}

fn string(walk: &mut Walk<'_>, name: &str) -> Option<()> {
    let size = walk.number(2, format!("{name} size"))? as usize;
    if size > 0 {
        let bytes = walk.take(size, name)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => walk.tell(format_args!("{text:?}"), ""),
            Err(_) => walk.tell("", "not UTF-8"),
        }
    }
    Some(())
}

fn metadata(bounded: &mut Bounded<'_, '_>) {
    let walk = &mut *bounded.walk;
    let mut all = || {
        string(walk, "message_id")?;
        let time = walk.number(8, "timestamp")? as i64;
        let ns = u64::try_from(time).ok().and_then(|ms| ms.checked_mul(1_000_000));
        match ns {
            Some(ns) => walk.tell(time, Rfc3339(TimeNs(ns))),
            None => walk.tell(time, "milliseconds since the Unix epoch"),
        }
        string(walk, "source")?;
        string(walk, "correlation_id")?;
        walk.number(2, "retry_count")?;
        let priority = walk.number(1, "priority")?;
        let known = Priority::from_u8(priority as u8);
        walk.tell(priority, known.map_or("no such priority", Priority::as_str));
        let ttl = walk.number(4, "ttl")?;
        walk.tell(ttl, if ttl == 0 { "good for ever" } else { "milliseconds it is good for" });
        let pairs = walk.number(2, "custom pairs")?;
        for _ in 0..pairs {
            string(walk, "custom key")?;
            string(walk, "custom value")?;
        }
        Some(())
    };
    // Where it ends early, the last row says so.
    let _: Option<()> = all();
}

fn payload(bounded: &mut Bounded<'_, '_>, registry: &Registry, head: &Head) {
    let walk = &mut *bounded.walk;
    let start = walk.at;
    let bytes = &walk.bytes[start.min(walk.bytes.len())..];
    let schema_row = walk.rows.iter_mut().find(|row| row.part == "header" && row.name == "schema");
    let Some(contents) = contents(registry, head.schema, bytes, head.mode) else {
        if let Some(row) = schema_row {
            row.meaning = "no such schema".into();
        }
        return;
    };
    if let Some(row) = schema_row {
        row.meaning.clone_from(&contents.definition.name);
    }
    if head.schema >= REGISTERED_ID_MIN
        && let Some(version) = walk.number(2, "version")
    {
        let known = contents.definition.version;
        let newer = version > u64::from(known);
        let meaning = if newer { format!("read with version {known}") } else { String::new() };
        walk.tell(version, meaning);
    }
    for placed in &contents.fields {
        if head.schema >= REGISTERED_ID_MIN {
            walk.number(2, "field id");
            walk.number(2, "field size");
        }
        walk.at = start + placed.offset;
        match (contents.definition.field(placed.id), &placed.value) {
            (None, _) => {
                walk.take(placed.size, format!("field {}", placed.id));
                walk.tell("", "unknown to this version: passed over");
            }
            (Some(field), Value::Rows(rows)) => {
                for (index, row) in (1..).zip(rows) {
                    for (inner, (_, value)) in field.fields.iter().zip(row) {
                        let size = fixed::size(inner.kind, head.mode).unwrap_or(0);
                        let name = format!("{} {index} {}", field.name, inner.name);
                        one(walk, inner, name, size, value);
                    }
                }
            }
            (Some(field), value) => one(walk, field, field.name.clone(), placed.size, value),
        }
    }
}

fn one(walk: &mut Walk<'_>, field: &Field, name: String, size: usize, value: &Value) {
    walk.take(size, name);
    let shown = match value {
        Value::Bytes(_) => String::new(),
        Value::Int(number) => number.to_string(),
        value => to_json(field, value).to_string(),
    };
    let mut about = field.about.clone();
    if let Some(word) = note(field, value) {
        about = format!("{word}: {about}");
    }
    walk.tell(shown, about);
}

/// What a value is called: a word, a reason, a time, a name.
fn note(field: &Field, value: &Value) -> Option<String> {
    match (field.kind, value, field.name.as_str()) {
        (Kind::Enum8, Value::Int(number), _) => {
            let word = u8::try_from(*number).ok().and_then(|number| field.word(number));
            Some(word.unwrap_or("no such value").to_owned())
        }
        (Kind::Uint16, Value::Int(number), "reason") if *number > 0 => {
            let reason = RejectReason::from_u16(u16::try_from(*number).ok()?)?;
            Some(format!("{reason}, {}", reason.text()))
        }
        (Kind::Uint64, Value::Int(ns), "time" | "time_ns") => {
            Some(Rfc3339(TimeNs(u64::try_from(*ns).ok()?)).to_string())
        }
        (Kind::Uint64, Value::Int(ns), "expires") if *ns > 0 => {
            Some(Rfc3339(TimeNs(u64::try_from(*ns).ok()?)).to_string())
        }
        (Kind::Uint8, Value::Int(flags), "flags") => order_flags(u8::try_from(*flags).ok()?),
        (Kind::Bytes32, Value::Bytes(bytes), "session_name") => {
            let size = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            Some(format!("{:?}", std::str::from_utf8(&bytes[..size]).ok()?))
        }
        _ => None,
    }
}

/// What the flags of an order ask for.
fn order_flags(flags: u8) -> Option<String> {
    let mut words = Vec::new();
    if flags & POST_ONLY != 0 {
        words.push("post-only".to_owned());
    }
    match self_trade_asked(flags) {
        0 => {}
        asked => {
            let mode = SelfTrade::from_u8(asked).map_or("no such mode", SelfTrade::as_str);
            words.push(format!("self-trade {mode}"));
        }
    }
    if flags & REPRICE != 0 {
        words.push("reprice".to_owned());
    }
    if flags & !(POST_ONLY | SELF_TRADE_MASK | REPRICE) != 0 {
        words.push("bits that must be 0".to_owned());
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn block(
    walk: &mut Walk<'_>,
    signed: bool,
    registry: &Registry,
    head: &Head,
    key: Option<&VerifyingKey>,
) {
    let offset = walk.at;
    let computed = integrity::crc64(&walk.bytes[..offset]);
    let Some(crc) = walk.number(CRC_SIZE, "crc") else { return };
    let meaning = if crc == computed {
        format!("right: the CRC-64/XZ of the {offset} bytes before")
    } else {
        format!("wrong: the {offset} bytes before give {computed:016x}")
    };
    walk.tell("", meaning);
    let covered = walk.at;
    let computed = integrity::sha256(&walk.bytes[..covered]);
    let Some(hash) = walk.take(HASH_SIZE, "hash") else { return };
    let meaning = if hash == computed {
        format!("right: the SHA-256 of the {covered} bytes before")
    } else {
        format!("wrong: the {covered} bytes before give {}", hex(&computed))
    };
    walk.tell("", meaning);
    if !signed {
        return;
    }
    let Some(algorithm) = walk.number(1, "algorithm") else { return };
    walk.tell(algorithm, if algorithm == 1 { "Ed25519" } else { "only 1, Ed25519" });
    let Some(size) = walk.number(2, "signature_length") else { return };
    walk.tell(size, if size == 64 { "" } else { "it is 64" });
    let Some(signature) = walk.take(integrity::SIGNATURE_SIZE, "signature") else { return };
    let own = logon_key(walk, registry, head);
    let verdict = match (own.as_ref().or(key), <&[u8; 64]>::try_from(signature)) {
        (Some(key), Ok(signature)) => {
            let of = if own.is_some() { "the public_key of the logon" } else { "the given key" };
            match key.verify_strict(hash, &Signature::from_bytes(signature)) {
                Ok(()) => format!("right: of the hash, by {of}"),
                Err(_) => format!("wrong: not of the hash by {of}"),
            }
        }
        _ => "of the hash; not checked, for that takes the public key".to_owned(),
    };
    walk.tell("", verdict);
}

/// The key that a logon names: it is the one that signs it.
fn logon_key(walk: &Walk<'_>, registry: &Registry, head: &Head) -> Option<VerifyingKey> {
    registry.get(head.schema).ok()?.field_named("public_key")?;
    let row = walk.rows.iter().find(|row| row.part == "payload" && row.name == "public_key")?;
    let bytes = walk.bytes.get(row.offset..row.offset + 32)?;
    VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()
}

fn verdict(
    registry: &Registry,
    bytes: &[u8],
    rows: &[Row],
    segments: &Segments,
) -> (Option<Map<String, Json>>, Option<Fault>) {
    let fault = |error: &WireError| {
        let reason = error.reason().name();
        Some(Fault { offset: place(error, bytes, rows, segments), reason, text: error.to_string() })
    };
    let frame = match Frame::open(bytes, &LIMITS) {
        Ok(frame) => frame,
        Err(error) => return (None, fault(&error)),
    };
    let json = match frame::to_json(registry, &frame) {
        Ok(json) => json,
        Err(error) => return (None, fault(&error)),
    };
    let at = frame.payload_range().start;
    let wrong = match frame.schema() {
        REGISTERED_ID_MIN.. => frame::check(registry, &frame).err().map(|text| {
            let read = contents(registry, frame.schema(), frame.payload(), frame.header().bit_mode);
            let unknown = read.is_none();
            let inside = read.and_then(|read| read.fault).map_or(0, |fault| fault.offset);
            let reason =
                if unknown { RejectReason::UnknownSchema } else { RejectReason::BadPayload };
            let offset = if unknown { SCHEMA_AT } else { at + inside };
            Fault { offset, reason: reason.name(), text }
        }),
        _ => native_error(&frame).and_then(|error| fault(&error)),
    };
    (Some(json), wrong)
}

fn native_error(frame: &Frame<'_>) -> Option<WireError> {
    use crate::wire::message::{ClientMessage, ServerMessage};
    match frame.schema() {
        64..=127 => ClientMessage::decode(frame).err(),
        128..=255 => ServerMessage::decode(frame).err(),
        _ => frame.command(&mut [0; crate::wire::payload::COMMAND_SIZE_MAX]).err(),
    }
}

const SCHEMA_AT: usize = 4;

/// Where in the frame the error is.
fn place(error: &WireError, bytes: &[u8], rows: &[Row], segments: &Segments) -> usize {
    let start = |part: &str, name: &str| {
        let named = |row: &&Row| row.part == part && row.name == name;
        rows.iter().find(named).map(|row| row.offset)
    };
    let first = |part: &str| rows.iter().find(|row| row.part == part).map(|row| row.offset);
    let descriptor = first("descriptor").unwrap_or(HEADER_SIZE);
    let found = match error {
        WireError::BadMagic(_) => Some(0),
        WireError::UnsupportedVersion(_) => Some(1),
        WireError::BadFlags(_) => Some(2),
        WireError::BadPriority(_) => match start("metadata", "priority") {
            // The flags are looked at first.
            Some(at) if !bytes_priority_is_bad(bytes) => Some(at),
            _ => Some(2),
        },
        WireError::UnknownSchema(_) => Some(SCHEMA_AT),
        WireError::BadLength { .. } | WireError::FrameTooLong { .. } => Some(8),
        WireError::Truncated { have, .. } => Some(*have),
        WireError::BadBitMode(_) => Some(13),
        WireError::BadReserved(_) => Some(14),
        WireError::BadChecksum => start("integrity", "crc"),
        WireError::BadHash => start("integrity", "hash"),
        WireError::BadSignature => start("integrity", "algorithm"),
        WireError::MissingSegment(_) => Some(descriptor),
        WireError::BadSegments(error) => Some(in_descriptor(error, descriptor, rows)),
        WireError::PriorityMismatch { .. } => start("metadata", "priority"),
        WireError::BadMetadata(_) => segments.metadata.map(|segment| {
            let end = (segment.offset + segment.length) as usize;
            metadata_fault(&bytes[segment.offset as usize..end.min(bytes.len())])
                .map_or(segment.offset as usize, |inside| segment.offset as usize + inside)
        }),
        WireError::BadPayload(PayloadError::Field { field, .. }) => start("payload", field)
            .or_else(|| {
                let inside = |row: &&Row| row.part == "payload" && row.name.ends_with(field);
                rows.iter().find(inside).map(|row| row.offset)
            })
            .or(segments.payload.map(|segment| segment.offset as usize)),
        WireError::BadPayload(PayloadError::Length { expected, found, .. }) => {
            segments.payload.map(|segment| segment.offset as usize + expected.min(found))
        }
        WireError::BadPayload(PayloadError::UnknownSchema(_)) => Some(SCHEMA_AT),
    };
    found.unwrap_or(bytes.len())
}

fn bytes_priority_is_bad(bytes: &[u8]) -> bool {
    let flags = bytes.get(2..4).map_or(0, |flags| u16::from_be_bytes([flags[0], flags[1]]));
    Flags::parse(flags).is_err()
}

fn in_descriptor(error: &SegmentError, descriptor: usize, rows: &[Row]) -> usize {
    let row = |name: String| {
        let named = |row: &&Row| row.part == "descriptor" && row.name == name;
        rows.iter().find(named).map(|row| row.offset)
    };
    let types: Vec<&Row> = rows
        .iter()
        .filter(|row| row.part == "descriptor" && row.name.starts_with("type "))
        .collect();
    let number = |kind: SegmentKind| {
        types.iter().rposition(|row| row.value == (kind as u8).to_string()).map(|index| index + 1)
    };
    let found = match error {
        SegmentError::Count(_) => Some(descriptor),
        SegmentError::Descriptor => rows.last().map(|row| row.offset + row.size),
        SegmentError::Type(bad) => {
            types.iter().find(|row| row.value == bad.to_string()).map(|row| row.offset)
        }
        SegmentError::Order(kind) => number(*kind).and_then(|n| row(format!("type {n}"))),
        SegmentError::Offset { kind, .. } => number(*kind).and_then(|n| row(format!("offset {n}"))),
        SegmentError::End { .. } => row(format!("length {}", types.len())),
        SegmentError::IntegrityLength { .. } => {
            number(SegmentKind::Integrity).and_then(|n| row(format!("length {n}")))
        }
    };
    found.unwrap_or(descriptor)
}

/// Where metadata stops to be good: the shortest start of it whose error is another one than that of
/// an early end lies there.
fn metadata_fault(segment: &[u8]) -> Option<usize> {
    use crate::wire::Metadata;
    use crate::wire::metadata::MetadataError;
    let error = Metadata::parse(segment).err()?;
    if let WireError::BadMetadata(MetadataError::Short(_)) = error {
        return Some(segment.len());
    }
    if let WireError::BadMetadata(MetadataError::Trailing(more)) = error {
        return Some(segment.len() - more);
    }
    (0..=segment.len())
        .find(|end| Metadata::parse(&segment[..*end]).err() == Some(error))
        .map(|end| end.saturating_sub(1))
}

/// Where a row's bytes stand.
impl Row {
    /// Bytes of the frame.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.size
    }
}
