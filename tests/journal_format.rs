//! The format as the document shows it, and journals of released formats, which must always open.

use openoutcry::event::{Event, EventBody, RejectReason, SessionChange};
use openoutcry::journal::batch::{BatchBuilder, Part, RecordFields};
use openoutcry::journal::dump::{describe, dump};
use openoutcry::journal::event_log::EventLogWriter;
use openoutcry::journal::format::{
    self, FLAGS, FieldLayout, JournalId, LogKind, RecordKind, SegmentHeader,
};
use openoutcry::journal::payload;
use openoutcry::journal::recovery::{recover, recover_derived};
use openoutcry::journal::reject_log::{Refused, RejectLog};
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::verify::verify;
use openoutcry::journal::writer::{Appended, Syncer, Writer};
use openoutcry::snapshot::format::{self as snapshot, Section};
use openoutcry::sys::disk::Disk;
use openoutcry::sys::storage::Append;
use openoutcry::types::{Epoch, KeyId, Sequence, SessionId, TimeNs};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The cells of each row of each table in the document, under the heading before it.
fn tables() -> Vec<(String, Vec<Vec<String>>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("journal/FORMAT.md");
    let text = fs::read_to_string(path).expect("the document is there");
    let mut tables: Vec<(String, Vec<Vec<String>>)> = vec![];
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
            tables.push((heading.to_owned(), vec![]));
        } else if let (Some(row), Some(table)) = (line.strip_prefix("| "), tables.last_mut()) {
            let cells = row.trim_end_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            table.1.push(cells.collect());
        }
    }
    tables
}

#[test]
fn the_document_shows_every_layout_as_the_code_has_it() {
    let tables = tables();
    let all = || format::LAYOUTS.iter().chain(payload::LAYOUTS).chain(snapshot::LAYOUTS);
    for layout in all() {
        let heading = format!("{} ({} bytes)", layout.title, layout.size);
        let (_, rows) = tables
            .iter()
            .find(|(title, _)| *title == heading)
            .unwrap_or_else(|| panic!("the document has no table \"{heading}\""));
        assert_eq!(rows[0][..3], ["offset", "size", "field"]);
        let shown: Vec<_> =
            rows[1..].iter().map(|row| (row[0].clone(), row[1].clone(), row[2].clone())).collect();
        let field = |field: &FieldLayout| {
            (field.offset.to_string(), field.size.to_string(), field.name.to_owned())
        };
        assert_eq!(shown, layout.fields.iter().map(field).collect::<Vec<_>>(), "{heading}");
    }
    let layouts = tables.iter().filter(|(title, _)| title.ends_with(" bytes)")).count();
    assert_eq!(layouts, all().count());
}

#[test]
fn the_document_shows_every_kind_flag_and_constant_as_the_code_has_them() {
    let tables = tables();
    let table = |title: &str| {
        let (_, rows) = tables.iter().find(|(found, _)| found == title).expect("it is there");
        rows[1..].iter().map(|row| (row[0].clone(), row[1].clone())).collect::<Vec<_>>()
    };
    let kinds = RecordKind::ALL.iter().map(|kind| ((*kind as u8).to_string(), kind.to_string()));
    assert_eq!(table("Record kinds"), kinds.collect::<Vec<_>>());
    let flags = FLAGS.iter().map(|(bit, name)| (bit.to_string(), (*name).to_owned()));
    assert_eq!(table("Record flags"), flags.collect::<Vec<_>>());
    let sections = Section::ALL.map(|section| ((section as u32).to_string(), section.to_string()));
    assert_eq!(table("Snapshot sections"), sections);
    let value = |heading: &str, field: &str| {
        let (_, rows) = tables.iter().find(|(title, _)| title == heading).expect("it is there");
        let row = rows.iter().find(|row| row[2] == field).expect("it has the field");
        row[4].trim_matches('`').to_owned()
    };
    let text = |magic: [u8; 8]| String::from_utf8(magic.to_vec()).expect("magics are text");
    let segment = "Segment header (128 bytes)";
    let batch = "Batch header (144 bytes)";
    assert_eq!(value(segment, "magic"), text(format::SEGMENT_MAGIC));
    assert_eq!(value(segment, "version"), format::VERSION.to_string());
    assert_eq!(value(segment, "header_size"), format::SEGMENT_HEADER_SIZE.to_string());
    assert_eq!(value(batch, "magic"), text(format::BATCH_MAGIC));
    assert_eq!(value(batch, "version"), format::VERSION.to_string());
    assert_eq!(value(batch, "header_size"), format::BATCH_HEADER_SIZE.to_string());
    let head = "Snapshot header (256 bytes)";
    assert_eq!(value(head, "magic"), text(snapshot::MAGIC));
    assert_eq!(value(head, "version"), snapshot::VERSION.to_string());
    assert_eq!(value(head, "header_size"), snapshot::HEADER_SIZE.to_string());
    let least = Section::ALL.iter().filter(|section| !section.is_optional()).count();
    assert_eq!(value(head, "section_count"), format!("{least} to {}", Section::ALL.len()));
    for (number, kind) in (1..).zip(LogKind::ALL) {
        assert_eq!(*kind as u16, number);
        assert!(value(segment, "kind").contains(&format!("{number} {}", kind.as_str())));
    }
}

const SEGMENT: u64 = 16 * 1024;
const EVENT_SEGMENT: u64 = 128 * 1024;

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journal-v1")
}

fn golden_id() -> JournalId {
    JournalId::from_seed("000102030405060708090a0b0c0d0e0f")
}

fn log(dir: &Path, kind: LogKind) -> LogDir {
    let size = if kind == LogKind::Events { EVENT_SEGMENT } else { SEGMENT };
    LogDir::new(Disk::shared(), dir, kind, Append::Write, size)
}

/// A payload of the kind's fixed size, counting up.
fn golden_payload(kind: RecordKind) -> Vec<u8> {
    match payload::layout_of(kind) {
        Some(layout) => (1..=layout.size as u8).collect(),
        None if matches!(kind, RecordKind::Genesis | RecordKind::Admin) => b"{\"a\":1}".to_vec(),
        None => (1..=61).collect(),
    }
}

/// Writes the golden journal: every kind of record, several segments, all three logs.
fn write_golden(dir: &Path) {
    let journal = log(dir, LogKind::Commands);
    journal.create().expect("the disk works");
    let recovered = recover(&journal, Sequence(1), &mut |_| ()).expect("it is empty");
    let (mut preparer, prepared) = Preparer::new(journal.clone(), &recovered, 1);
    let mut writer = Writer::new(journal, golden_id(), 1, &recovered, prepared).expect("it opens");
    let mut syncer = Syncer::default();
    let mut builder = BatchBuilder::new(LogKind::Commands, golden_id(), recovered.tip);
    let mut frame: Vec<u8> = (0..130).collect();
    frame.extend_from_slice(&Sha256::digest(&frame));
    let mut sequence = Sequence::NONE;
    for round in 0..12_u64 {
        builder.begin(Epoch(1 + round / 6), syncer.durable());
        for kind in &RecordKind::ALL[..15] {
            sequence = sequence.next();
            let time = TimeNs(1_700_000_000_000_000_000 + sequence.0);
            let mut fields = RecordFields::new(*kind, sequence, time);
            fields.session = SessionId(round as u32);
            let payload = golden_payload(*kind);
            if *kind == RecordKind::Command {
                fields.schema = 1;
                fields.key = KeyId(2);
                fields.client_sequence = round;
                fields.client_timestamp_ms = 1_700_000_000_000;
                fields.message_id = Part { offset: 16, length: 8 };
                fields.source = Part { offset: 24, length: 4 };
                fields.command = Part { offset: 40, length: 45 };
                fields.frame_hash = Some(130);
                let canonical = (round % 2 == 1).then_some(&payload[..]);
                builder.push(&fields, &frame, canonical).expect("it is small");
            } else {
                builder.push(&fields, &[], Some(&payload)).expect("it is small");
            }
        }
        builder.seal();
        while writer.append(builder.sealed()).expect("the disk works") == Appended::NotReady {
            preparer.run().expect("the disk works");
        }
        builder.clear();
        while let Some(job) = writer.take_sync() {
            syncer.sync(&job).expect("the disk works");
        }
    }
    write_golden_events(dir, sequence);
    let mut rejects =
        RejectLog::open(log(dir, LogKind::Rejects), golden_id(), 1, 4).expect("opens");
    for number in 0..3_u64 {
        rejects.push(&Refused {
            time: TimeNs(1_700_000_000_000_000_000 + number),
            reason: RejectReason::BadChecksum,
            protocol: payload::PROTOCOL_NATIVE,
            connection: 5,
            session: SessionId(0),
            key: KeyId(0),
            client_sequence: number,
            repeats: Sequence::NONE,
            received: b"not a frame",
        });
    }
    rejects.flush().expect("the disk works");
}

fn write_golden_events(dir: &Path, journal_end: Sequence) {
    let log = log(dir, LogKind::Events);
    log.create().expect("the disk works");
    let recovered = recover_derived(&log, golden_id(), journal_end, &mut |_| ()).expect("is empty");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    preparer.run().expect("the disk works");
    let mut writer =
        EventLogWriter::new(log, golden_id(), 1, &recovered, prepared).expect("it opens");
    for first in (1..=journal_end.0).step_by(15) {
        writer.builder().begin_batch(Sequence(first), Epoch(1 + first / 15 / 6));
        let session = SessionId(first as u32);
        let body = EventBody::Session(SessionChange { session, active: true, outbound: 1 });
        let event = Event { sequence: Sequence(first), index: 0, last: true, body };
        writer.builder().push(TimeNs(1_700_000_000_000_000_000 + first), &[event]);
        writer.builder().end_batch(Sequence(first + 14));
    }
    assert_eq!(writer.flush().expect("the disk works"), Appended::Written);
}

/// The used bytes of every segment, as the golden files keep them: 64 hex digits a line.
fn used_as_hex(path: &Path) -> Option<String> {
    let bytes = fs::read(path).expect("it is there");
    let used = &bytes[..format::used_length(&bytes)];
    let lines = used.chunks(32).map(|line| {
        line.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes it");
            text
        })
    });
    (!used.is_empty()).then(|| lines.map(|line| line + "\n").collect())
}

fn segments(dir: &Path) -> Vec<(String, String)> {
    let mut segments = vec![];
    for kind in LogKind::ALL {
        for (index, path) in log(dir, *kind).segments().expect("it lists") {
            if let Some(hex) = used_as_hex(&path) {
                segments.push((format!("{}-{index:010}.hex", kind.as_str()), hex));
            }
        }
    }
    segments
}

/// Lays the golden files out as a data directory.
fn unpack_golden(dir: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(golden_dir()).expect("the golden journal is there") {
        let path = entry.expect("it lists").path();
        let name = path.file_stem().expect("it has a name").to_str().expect("a plain name");
        let (kind, index) = name.split_once('-').expect("log and index");
        let digits: String =
            fs::read_to_string(&path).expect("it is there").split_whitespace().collect();
        let mut bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hex"))
            .collect();
        let padded = [bytes.clone(), vec![0; format::SEGMENT_HEADER_SIZE]].concat();
        let header = SegmentHeader::parse(&padded).expect("its header is sound");
        bytes.resize(header.segment_size.get() as usize, 0);
        fs::create_dir_all(dir.join(kind)).expect("the disk works");
        fs::write(dir.join(kind).join(format!("{index}.seg")), bytes).expect("the disk works");
        files += 1;
    }
    files
}

/// To write the golden journal of a new format: `GOLDEN_WRITE=1 cargo test golden`.
#[test]
fn this_version_writes_the_golden_journal_byte_for_byte() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write_golden(dir.path());
    let written = segments(dir.path());
    if std::env::var_os("GOLDEN_WRITE").is_some() {
        fs::create_dir_all(golden_dir()).expect("the disk works");
        for (name, hex) in &written {
            fs::write(golden_dir().join(name), hex).expect("the disk works");
        }
    }
    let golden = tempfile::tempdir().expect("a temporary directory");
    assert_eq!(unpack_golden(golden.path()), written.len());
    assert!(segments(golden.path()) == written, "the format has changed without a new version");
}

#[test]
fn the_golden_journal_of_version_1_opens() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    unpack_golden(dir.path());
    let journal = log(dir.path(), LogKind::Commands);
    let report = verify(&journal, &mut |_| ()).expect("it reads");
    assert_eq!(report.damage, None);
    assert!(report.segments > 1);
    assert_eq!((report.records, report.torn_tail_bytes), (180, 0));
    let mut kinds = vec![];
    let end = dump(&journal, Sequence(1), Sequence(15), &mut |record| {
        kinds.push(describe(record).kind);
        true
    });
    assert!(end.error.is_none());
    let expected: Vec<_> = RecordKind::ALL[..15].iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, expected);

    let recovered = recover(&journal, Sequence(1), &mut |_| ()).expect("it is sound");
    assert_eq!(recovered.tip.sequence, Sequence(180));
    assert_eq!(recovered.id, Some(golden_id()));
    let events = log(dir.path(), LogKind::Events);
    let derived =
        recover_derived(&events, golden_id(), Sequence(180), &mut |_| ()).expect("it is sound");
    assert_eq!(derived.tip.sequence, Sequence(180));
    assert!(derived.cut.is_empty());
    let rejects = RejectLog::open(log(dir.path(), LogKind::Rejects), golden_id(), 1, 4);
    assert_eq!(rejects.expect("it opens").written(), Sequence(3));
}
