//! Sectors of an event log that a power cut did not keep, wherever they are: its unfinished end, unless
//! they are where no start looks.

use crate::sim::disk::SimDisk;
use openoutcry::event::{Event, EventBody, SessionChange};
use openoutcry::journal::batch::{BatchBuilder, RecordFields};
use openoutcry::journal::event_log::EventLogWriter;
use openoutcry::journal::format::{
    BATCH_HEADER_SIZE, BatchHeader, JournalId, LogKind, RecordKind, SEGMENT_HEADER_SIZE,
};
use openoutcry::journal::recovery::{recover, recover_derived};
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::verify::{Report, verify_events};
use openoutcry::journal::writer::{Appended, Writer};
use openoutcry::sys::storage::Append;
use openoutcry::types::{Epoch, Sequence, SessionId, TimeNs};
use std::path::{Path, PathBuf};

const ID: JournalId = JournalId([7; 16]);
const RECORDS: u64 = 12;
/// The record whose events go on in further parts, and in another segment.
const LARGE: u64 = 9;
const SECTOR: usize = 512;

fn log(disk: &SimDisk, kind: LogKind) -> LogDir {
    LogDir::new(disk.shared(), Path::new("data"), kind, Append::Write, 3 * 1024 * 1024)
}

/// A journal of a record in each batch, and its event log.
fn logs() -> SimDisk {
    let disk = SimDisk::new();
    let commands = log(&disk, LogKind::Commands);
    let recovered = recover(&commands, Sequence(1), &mut |_| ()).expect("it is empty");
    let (mut preparer, prepared) = Preparer::new(commands.clone(), &recovered, 1);
    let mut writer = Writer::new(commands, ID, 1, &recovered, prepared).expect("it is empty");
    let mut builder = BatchBuilder::new(LogKind::Commands, ID, recovered.tip);

    let events = log(&disk, LogKind::Events);
    let end = Sequence(RECORDS);
    let recovered = recover_derived(&events, ID, end, &mut |_| ()).expect("it is empty");
    let (mut ahead, prepared) = Preparer::new(events.clone(), &recovered, 1);
    let mut events = EventLogWriter::new(events, ID, 1, &recovered, prepared).expect("empty");
    for number in 1..=RECORDS {
        let (sequence, time) = (Sequence(number), TimeNs(number));
        builder.begin(Epoch(1), Sequence::NONE);
        let fields = RecordFields::new(RecordKind::Admin, sequence, time);
        builder.push(&fields, &[], Some(&[1; 40])).expect("it is small");
        builder.seal();
        while writer.append(builder.sealed()).expect("the disk works") == Appended::NotReady {
            preparer.run().expect("the disk works");
        }
        builder.clear();
        let count = if number == LARGE { 80_000 } else { 1 + number as u32 % 5 };
        let event = |index| Event {
            sequence,
            index,
            last: index + 1 == count,
            body: EventBody::Session(SessionChange {
                session: SessionId(index),
                active: true,
                outbound: number,
            }),
        };
        let given: Vec<Event> = (0..count).map(event).collect();
        events.builder().begin_batch(sequence, Epoch(1));
        events.builder().push(time, &given);
        events.builder().end_batch(sequence);
        while events.flush().expect("the disk works") == Appended::NotReady {
            ahead.run().expect("the disk works");
        }
    }
    disk
}

/// A part of a batch, or all of it.
struct Part {
    path: PathBuf,
    start: usize,
    end: usize,
    is_partial: bool,
}

fn parts(files: &[(PathBuf, Vec<u8>)]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("data/events")) {
        let mut start = SEGMENT_HEADER_SIZE;
        while let Some(header) = bytes.get(start..).and_then(BatchHeader::parse) {
            let (end, is_partial) = (start + header.length.get() as usize, header.is_partial());
            parts.push(Part { path: path.clone(), start, end, is_partial });
            start = end;
        }
    }
    parts
}

/// The check of the event log in these files without the bytes of a sector.
fn without(files: &[(PathBuf, Vec<u8>)], path: &Path, sector: usize, base: u64) -> Report {
    let mut files = files.to_vec();
    let (_, bytes) = files.iter_mut().find(|(found, _)| found == path).expect("a segment");
    bytes[sector..sector + SECTOR].fill(0);
    let disk = SimDisk::with_files(files);
    let base = &mut || Ok(Sequence(base));
    verify_events(&log(&disk, LogKind::Events), base, 1, &mut |_| ()).expect("the disk works")
}

#[test]
fn a_sector_that_was_not_written_is_the_end_in_whatever_part_of_a_batch_it_is() {
    let files = logs().files();
    let parts = parts(&files);
    let (mut cut_headers, mut later_parts, mut later_segments) = (0, 0, 0);
    for (index, part) in parts.iter().enumerate() {
        let inside = part.start.next_multiple_of(SECTOR);
        let is_cut = inside > part.start && inside < part.start + BATCH_HEADER_SIZE;
        // The second piece of its header; or a sector in the middle of it.
        let middle = (part.start + part.end) / 2 / SECTOR * SECTOR;
        let mut sectors = vec![];
        if is_cut {
            sectors.push(inside);
        }
        if middle >= part.start {
            sectors.push(middle);
        }
        let is_later = index > 0 && parts[index - 1].is_partial;
        for sector in sectors {
            let what = format!("sector {sector} of {}", part.path.display());
            let report = without(&files, &part.path, sector, 0);
            assert!(report.ok && report.torn_tail_bytes > 0, "{what}: {report:?}");
            cut_headers += usize::from(sector == inside);
            later_parts += usize::from(is_later);
            later_segments += usize::from(is_later && part.path != parts[index - 1].path);
        }
    }
    assert!(cut_headers > 0 && later_parts > 0 && later_segments > 0, "it has such places");
}

#[test]
fn a_sector_in_a_segment_before_that_of_a_starts_snapshot_is_damage() {
    let files = logs().files();
    let parts = parts(&files);
    let (first, last) = (&parts[0], parts.last().expect("a part"));
    assert!(first.path != last.path);
    let sector = SEGMENT_HEADER_SIZE;
    for base in [0, 1, LARGE - 1] {
        assert!(without(&files, &first.path, sector, base).ok, "{base}");
    }
    let report = without(&files, &first.path, sector, RECORDS);
    let damage = report.damage.expect("no start makes it again");
    assert_eq!((damage.segment, damage.sequence), (0, Sequence(1)));
    assert!(damage.help.contains("move the directory `events` away"), "{}", damage.help);
    let sector = last.start / SECTOR * SECTOR;
    assert!(without(&files, &last.path, sector, RECORDS).ok);
}
