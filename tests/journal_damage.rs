//! Every byte of a small journal cut off, flipped, zeroed or followed by stale bytes: recovery keeps
//! exactly the sound prefix, or refuses where durable records are gone. Never a panic, never a wrong
//! record, never a silent loss.

use crate::sim::disk::SimDisk;
use openoutcry::journal::batch::{BatchBuilder, RecordFields};
use openoutcry::journal::format::{
    BATCH_HEADER_SIZE, BatchHeader, JournalId, LogKind, RecordKind, SEGMENT_HEADER_SIZE,
};
use openoutcry::journal::reader::Reader;
use openoutcry::journal::recovery::{RecoveryError, recover};
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::verify::{verify, verify_with};
use openoutcry::journal::view::{Batch, Verify};
use openoutcry::journal::writer::{Appended, Writer};
use openoutcry::sys::storage::Append;
use openoutcry::types::{Epoch, Sequence, TimeNs};
use std::path::{Path, PathBuf};

pub(crate) const ID: JournalId = JournalId([5; 16]);
const SEGMENT: u64 = 6144 + 2048;

pub(crate) type Files = Vec<(PathBuf, Vec<u8>)>;

fn log(disk: &SimDisk) -> LogDir {
    log_in(disk, "data")
}

pub(crate) fn log_in(disk: &SimDisk, dir: &str) -> LogDir {
    LogDir::new(disk.shared(), Path::new(dir), LogKind::Commands, Append::Write, SEGMENT)
}

/// A journal of nine batches in three segments; the last three batches were written at once, so that
/// only the first six are known to be durable.
pub(crate) fn journal() -> Files {
    journal_of(ID, u64::MAX)
}

/// The same with this id, and other records from one of the batches on.
pub(crate) fn journal_of(id: JournalId, other_from: u64) -> Files {
    let disk = SimDisk::new();
    let log = log(&disk);
    let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("it is empty");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    let mut writer = Writer::new(log, id, 1, &recovered, prepared).expect("it is empty");
    let mut builder = BatchBuilder::new(LogKind::Commands, id, recovered.tip);
    let mut durable = Sequence::NONE;
    for number in 0..9_u64 {
        builder.begin(Epoch(1 + number / 4), durable);
        for _ in 0..=number % 3 {
            let sequence = Sequence(builder.tip().sequence.0 + u64::from(builder.open_count()) + 1);
            let first = if number >= other_from { 100 } else { 1 };
            let payload = vec![number as u8 + first; 20 + 220 * (number as usize % 4)];
            let fields = RecordFields::new(RecordKind::Admin, sequence, TimeNs(sequence.0));
            builder.push(&fields, &[], Some(&payload)).expect("it is small");
        }
        let sealed = builder.seal();
        while writer.append(builder.sealed()).expect("the disk works") == Appended::NotReady {
            preparer.run().expect("the disk works");
        }
        builder.clear();
        if number < 6 {
            durable = sealed.last;
        }
    }
    preparer.run().expect("the disk works");
    disk.files()
}

/// A batch as it was written.
pub(crate) struct Written {
    pub(crate) file: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) last: u64,
    pub(crate) synced_to: u64,
}

pub(crate) fn batches(files: &Files) -> Vec<Written> {
    let mut batches = vec![];
    for (file, (_, bytes)) in files.iter().enumerate() {
        let mut start = SEGMENT_HEADER_SIZE;
        while let Ok(batch) = Batch::parse(&bytes[start..]) {
            let end = start + batch.length();
            let synced_to = batch.header().synced_to.get();
            batches.push(Written { file, start, end, last: batch.last().0, synced_to });
            start = end;
        }
    }
    batches
}

/// What must come of damaged files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Damage,
    Prefix(u64),
}

pub(crate) fn expected(original: &Files, damaged: &Files, batches: &[Written]) -> Expected {
    let same = |file: usize, from: usize, to: usize| {
        damaged[file].1.get(from..to) == original[file].1.get(from..to)
    };
    let (mut last, mut intact) = (0, 0);
    for (index, batch) in batches.iter().enumerate() {
        let first_of_file = index == 0 || batches[index - 1].file != batch.file;
        if first_of_file && index > 0 {
            // Bytes where a segment's zeros belong, and the next segment goes on.
            let (file, end) = (batches[index - 1].file, batches[index - 1].end);
            let rest = damaged[file].1.get(end..).unwrap_or_default();
            if rest.iter().any(|byte| *byte != 0) && same(batch.file, 0, SEGMENT_HEADER_SIZE) {
                return Expected::Damage;
            }
        }
        let header = !first_of_file || same(batch.file, 0, SEGMENT_HEADER_SIZE);
        // The magic with another version behind it: a newer journal, never a tail.
        let start = damaged[batch.file].1.get(..10).unwrap_or_default();
        if first_of_file
            && start.starts_with(b"OUTCRYSG")
            && ![[0, 0], [1, 0]].contains(&[start[8], start[9]])
        {
            return Expected::Damage;
        }
        if !header || !same(batch.file, batch.start, batch.end) {
            break;
        }
        last = batch.last;
        intact = index + 1;
    }
    let covered = batches[intact..].iter().any(|batch| {
        batch.synced_to > last && same(batch.file, batch.start, batch.start + BATCH_HEADER_SIZE)
    });
    if covered { Expected::Damage } else { Expected::Prefix(last) }
}

fn check(original: &Files, batches: &[Written], damaged: Files, what: &str) {
    let expected = expected(original, &damaged, batches);
    let disk = SimDisk::with_files(damaged.clone());
    let log = log(&disk);
    let alone = verify(&log, &mut |_| ()).expect("the disk works");
    let side_by_side = verify_with(&log, 3, &mut |_| ()).expect("the disk works");
    assert_eq!(alone, side_by_side, "{what}: the verdict does not depend on the threads");
    assert_eq!(alone.ok, expected != Expected::Damage, "{what}: {alone:?}");
    match (recover(&log, Sequence(1), &mut |_| ()), expected) {
        (Err(RecoveryError::Damage { .. }), Expected::Damage) => {
            assert!(disk.files() == damaged, "{what}: a refusal changes nothing");
        }
        (Ok(recovered), Expected::Prefix(last)) => {
            assert_eq!(recovered.tip.sequence.0, last, "{what}");
            let mut reader = Reader::new(log.clone(), Sequence(1), Verify::Chain);
            let mut at = 0;
            while let Some(batch) = reader.next_batch(Sequence(last)).expect("it is sound") {
                let written = &batches[at];
                let bytes = &original[written.file].1[written.start..written.end];
                assert_eq!(batch.bytes(), bytes, "{what}");
                at += 1;
            }
            assert_eq!(last, if at == 0 { 0 } else { batches[at - 1].last }, "{what}");
            // What was cut is in the archive, and gone from the segments.
            for cut in &recovered.cut {
                let files = disk.files();
                let (_, kept) = files
                    .iter()
                    .find(|(path, _)| *path == cut.archived)
                    .unwrap_or_else(|| panic!("{what}: nothing archived"));
                let source = format!("data/commands/{:010}.seg", cut.segment);
                let (_, before) = damaged
                    .iter()
                    .find(|(path, _)| *path == Path::new(&source))
                    .expect("it was cut from a segment");
                assert!(before[cut.offset as usize..].starts_with(kept), "{what}");
            }
            let again =
                recover(&log, Sequence(1), &mut |_| ()).expect("what was recovered is sound");
            assert_eq!(again.tip, recovered.tip, "{what}");
            assert!(again.cut.is_empty(), "{what}");
        }
        (Ok(recovered), expected) => {
            panic!("{what}: recovered up to {}, expected {expected:?}", recovered.tip.sequence)
        }
        (Err(error), expected) => panic!("{what}: {error}, expected {expected:?}"),
    }
}

/// Every place worth damaging: all bytes in use, and some of the zeros.
pub(crate) fn places(files: &Files) -> Vec<(usize, usize)> {
    let mut places = vec![];
    for (file, (_, bytes)) in files.iter().enumerate() {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let all = 0..bytes.len();
        places.extend(
            all.filter(|at| *at < 136 || (4090..used + 20).contains(at) || at % 499 == 0)
                .map(|at| (file, at)),
        );
    }
    places
}

fn for_every_byte(what: &str, damage: impl Fn(&mut Vec<u8>, usize)) {
    let original = journal();
    let batches = batches(&original);
    assert_eq!(batches.len(), 9);
    assert_eq!(batches.last().map(|batch| batch.file), Some(2));
    for (file, at) in places(&original) {
        let mut damaged = original.clone();
        damage(&mut damaged[file].1, at);
        check(&original, &batches, damaged, &format!("{what} at segment {file}, byte {at}"));
    }
}

#[test]
fn one_flipped_bit_anywhere_is_cut_or_refused() {
    for_every_byte("flipped bit", |bytes, at| bytes[at] ^= 1 << (at % 8));
}

#[test]
fn a_file_cut_off_anywhere_keeps_what_stands_before() {
    for_every_byte("cut off", |bytes, at| bytes.truncate(at));
}

#[test]
fn a_torn_tail_with_zeros_behind_it_is_cut() {
    for_every_byte("zeros to the end", |bytes, at| bytes[at..].fill(0));
}

#[test]
fn a_torn_tail_with_stale_bytes_behind_it_is_cut() {
    for_every_byte("stale bytes", |bytes, at| {
        let end = (at + 300).min(bytes.len());
        bytes[at..end].fill(0xEE);
    });
}

#[test]
fn a_zeroed_range_in_the_middle_is_not_the_end() {
    for_every_byte("zeroed sector", |bytes, at| {
        let end = (at + 512).min(bytes.len());
        bytes[at..end].fill(0);
    });
}

#[test]
fn a_missing_segment_is_damage_where_later_records_were_durable() {
    let original = journal();
    for missing in 0..2 {
        let mut files = original.clone();
        files.remove(missing);
        let disk = SimDisk::with_files(files);
        let result = recover(&log(&disk), Sequence(1), &mut |_| ());
        assert!(matches!(result, Err(RecoveryError::Damage { .. })), "segment {missing}");
    }
    // Nothing says that it was retired, whoever does not need it.
    let without_oldest = SimDisk::with_files(original[1..].to_vec());
    let needed = Batch::parse(&original[1].1[SEGMENT_HEADER_SIZE..]).expect("it is used").first();
    let result = recover(&log(&without_oldest), needed, &mut |_| ());
    assert!(matches!(result, Err(RecoveryError::Damage { segment: 0, .. })));
}

#[test]
fn bytes_that_a_client_made_up_do_not_pass_for_a_later_batch() {
    // A frame that holds a batch header, checksum and all, which claims that everything is durable.
    let forge = |id: [u8; 16]| {
        let original = journal();
        let (file, start) = batches(&original).last().map(|b| (b.file, b.start)).expect("nine");
        let mut bytes = original[file].1[start..start + BATCH_HEADER_SIZE].to_vec();
        let (header, _) =
            zerocopy::Ref::<_, BatchHeader>::from_prefix(&mut bytes[..]).expect("it is a header");
        let header = zerocopy::Ref::into_mut(header);
        header.journal_id = id;
        header.synced_to = 1_000_000.into();
        header.first_sequence = 1_000_001.into();
        header.last_sequence = 1_000_001.into();
        header.seal();
        let mut files = original;
        files[file].1[start..].fill(0);
        files[file].1[start + 800..start + 800 + bytes.len()].copy_from_slice(&bytes);
        recover(&log(&SimDisk::with_files(files)), Sequence(1), &mut |_| ())
    };
    assert!(forge([0; 16]).is_ok(), "a client does not know the journal's id");
    assert!(matches!(forge(ID.0), Err(RecoveryError::Damage { .. })), "the journal does");
}
