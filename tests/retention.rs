//! Retention: what may go goes, through crashes at every step, and what is left says where it begins.

use crate::sim::disk::SimDisk;
use crate::sim::random::Random;
use openoutcry::journal::batch::{BatchBuilder, RecordFields};
use openoutcry::journal::format::{Hash, JournalId, LogKind, RecordKind, SEGMENT_HEADER_SIZE};
use openoutcry::journal::reader::{ReadError, Reader};
use openoutcry::journal::recovery::{RecoveryError, recover, recover_derived};
use openoutcry::journal::retention::marker::{self, Retired};
use openoutcry::journal::retention::{
    Bound, Keeper, Limits, Plan, RetireError, Shelf, plan, retire, used,
};
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::verify::{Report, verify, verify_with};
use openoutcry::journal::view::{Flaw, Verify};
use openoutcry::journal::writer::{Appended, Syncer, Writer};
use openoutcry::sys::storage::Append;
use openoutcry::types::{Epoch, Sequence, TimeNs};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const ID: JournalId = JournalId([5; 16]);
const SEGMENT: u64 = SEGMENT_HEADER_SIZE as u64 + 4096;
/// Fills half a segment.
const RECORD: usize = 1500;

fn log(disk: &SimDisk) -> LogDir {
    LogDir::new(disk.shared(), Path::new("data"), LogKind::Commands, Append::Write, SEGMENT)
}

fn shelf(disk: &SimDisk) -> Shelf {
    Shelf::new(disk.shared(), Path::new("shelf"))
}

/// Writes so many batches of one record behind what is there, all durable; the hash of the last.
fn write(disk: &SimDisk, from: Sequence, batches: u64) -> Hash {
    let log = log(disk);
    let recovered = recover(&log, from, &mut |_| ()).expect("a sound journal");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    let mut writer = Writer::new(log, ID, 1, &recovered, prepared).expect("it opens");
    let mut syncer = Syncer::new(recovered.tip.sequence);
    let mut builder = BatchBuilder::new(LogKind::Commands, ID, recovered.tip);
    for _ in 0..batches {
        let sequence = builder.tip().sequence.next();
        builder.begin(Epoch(1), syncer.durable());
        let fields = RecordFields::new(RecordKind::Admin, sequence, TimeNs(sequence.0));
        builder.push(&fields, &[], Some(&vec![sequence.0 as u8; RECORD])).expect("it fits");
        builder.seal();
        while writer.append(builder.sealed()).expect("the disk works") == Appended::NotReady {
            preparer.run().expect("the disk works");
        }
        builder.clear();
        while let Some(job) = writer.take_sync() {
            syncer.sync(&job).expect("the disk works");
        }
    }
    builder.tip().hash
}

/// A durable journal of seven segments and 14 records.
fn journal() -> SimDisk {
    let disk = SimDisk::new();
    write(&disk, Sequence(1), 14);
    let disk = SimDisk::with_files(disk.files());
    assert_eq!(used(&log(&disk)).expect("a sound journal").len(), 7);
    disk
}

/// A plan that keeps all records behind `upto`.
fn keeping(disk: &SimDisk, upto: u64) -> Plan {
    let segments = used(&log(disk)).expect("a sound journal");
    let bound = Bound { keeper: Keeper::Snapshot(Sequence(upto + 1)), upto: Sequence(upto) };
    let limits = Limits { bytes: 1, ..Limits::default() };
    plan(&segments, limits, &[bound], TimeNs(0))
}

fn retire_upto(disk: &SimDisk, upto: u64) -> Result<Option<Retired>, RetireError> {
    let segments = used(&log(disk))?;
    retire(&log(disk), &segments, &keeping(disk, upto), Some(&shelf(disk)))
}

fn report(disk: &SimDisk) -> Report {
    verify(&log(disk), &mut |_| ()).expect("the files can be read")
}

fn files(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files().into_iter().collect()
}

fn segment(dir: &str, index: u64) -> PathBuf {
    PathBuf::from(format!("{dir}/commands/{index:010}.seg"))
}

/// The archive holds these segments as they were, and its list says so.
fn check_shelf(disk: &SimDisk, original: &BTreeMap<PathBuf, Vec<u8>>, count: u64) {
    let files = files(disk);
    let list = files.get(Path::new("shelf/SHA256SUMS")).cloned().unwrap_or_default();
    let list = String::from_utf8(list).expect("text");
    for index in 0..count {
        let bytes = &original[&segment("data", index)];
        assert!(files[&segment("shelf", index)] == *bytes, "segment {index}");
        let hash =
            Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{hash}  commands/{index:010}.seg");
        assert_eq!(list.lines().filter(|other| **other == line).count(), 1, "{line} in {list}");
    }
    assert_eq!(list.lines().count() as u64, count.max(list.lines().count() as u64));
}

#[test]
fn what_is_left_says_where_it_begins_and_goes_on() {
    let disk = journal();
    let original = files(&disk);
    let whole = report(&disk);
    // Records 1 to 6 stand in the first three segments, and the reader of 7 needs the fourth.
    let retired = retire_upto(&disk, 7).expect("the disk works").expect("some went");
    assert_eq!((retired.segment, retired.sequence, retired.id), (3, Sequence(7), ID));
    let left = files(&disk);
    for index in 0..7 {
        assert_eq!(left.contains_key(&segment("data", index)), index >= 3, "segment {index}");
    }
    check_shelf(&disk, &original, 3);
    let now = report(&disk);
    assert!(now.ok, "{now:?}");
    assert_eq!((now.first_sequence, now.last_sequence), (Sequence(7), Sequence(14)));
    assert_eq!((now.segments, &now.chain_hash), (4, &whole.chain_hash));
    let threads = verify_with(&log(&disk), 4, &mut |_| ()).expect("the files can be read");
    assert_eq!(threads, now);
    // A reader begins where it may, and is told where it may not.
    let mut reader = Reader::new(log(&disk), Sequence(7), Verify::Chain);
    let first = reader.next_record(Sequence(14)).expect("it is sound").expect("it is there");
    assert_eq!(first.sequence(), Sequence(7));
    let gone = Reader::new(log(&disk), Sequence(6), Verify::Chain).next_record(Sequence(14)).err();
    let Some(ReadError::Retired { asked, first }) = gone else { panic!("{gone:?}") };
    assert_eq!((asked, first), (Sequence(6), Sequence(7)));
    // Recovery takes it where a snapshot leads to it, and says why it does not otherwise.
    let refused = recover(&log(&disk), Sequence(6), &mut |_| ()).expect_err("6 is gone");
    assert!(matches!(refused, RecoveryError::Retired { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("begins at sequence 7") && text.contains("retired.json"), "{text}");
    assert_eq!(recover(&log(&disk), Sequence(7), &mut |_| ()).expect("sound").first, Sequence(7));
    write(&disk, Sequence(7), 3);
    assert_eq!(report(&disk).last_sequence, Sequence(17));
    // Further ones go; the archive grows.
    let original: BTreeMap<_, _> = original.into_iter().chain(files(&disk)).collect();
    assert_eq!(retire_upto(&disk, 10).expect("the disk works").map(|it| it.segment), Some(5));
    check_shelf(&disk, &original, 5);
    assert!(report(&disk).ok);
    // Nothing more may go: nothing changes.
    let before = files(&disk);
    assert_eq!(retire_upto(&disk, 10).expect("the disk works").map(|it| it.segment), Some(5));
    assert!(files(&disk) == before);
}

#[test]
fn the_archive_is_a_journal_of_its_own() {
    let disk = journal();
    retire_upto(&disk, 9).expect("the disk works");
    let shelf =
        LogDir::new(disk.shared(), Path::new("shelf"), LogKind::Commands, Append::Write, SEGMENT);
    let report = verify(&shelf, &mut |_| ()).expect("the files can be read");
    assert!(report.ok);
    assert_eq!((report.first_sequence, report.last_sequence), (Sequence(1), Sequence(8)));
}

#[test]
fn what_is_missing_without_having_been_retired_is_damage() {
    let damage = |files: BTreeMap<PathBuf, Vec<u8>>| {
        let disk = SimDisk::with_files(files);
        let report = report(&disk);
        let damage = report.damage.expect("it is damaged");
        let refused = recover(&log(&disk), Sequence(100), &mut |_| ());
        assert!(matches!(refused, Err(RecoveryError::Damage { .. })), "{refused:?}");
        (damage.segment, damage.sequence.0, damage.what)
    };
    let missing = Flaw::MissingSegment.to_string();
    // Never retired: the oldest is segment 0.
    let mut never = files(&journal());
    never.remove(&segment("data", 0));
    assert_eq!(damage(never), (0, 1, missing.clone()));
    let disk = journal();
    retire_upto(&disk, 7).expect("the disk works");
    let sound = files(&disk);
    let marker = Path::new("data/commands/retired.json");
    let text = String::from_utf8(sound[marker].clone()).expect("text");
    // Without its marker, the journal has lost segments.
    let mut without = sound.clone();
    without.remove(marker);
    assert_eq!(damage(without), (0, 1, missing.clone()));
    // More than what was retired is missing; or everything.
    let mut less = sound.clone();
    less.remove(&segment("data", 3));
    assert_eq!(damage(less), (3, 7, missing.clone()));
    let mut nothing = sound.clone();
    nothing.retain(|path, _| path == marker);
    assert_eq!(damage(nothing), (3, 7, missing));
    // The oldest one left is another one than the marker says.
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        let mut files = sound.clone();
        files.insert(marker.to_owned(), text.replace(from, to).into_bytes());
        files
    };
    let hash = text.split('"').rev().nth(1).expect("the hash stands last").to_owned();
    let other = hash.chars().rev().collect::<String>();
    assert_eq!(damage(changed(&hash, &other)), (3, 7, Flaw::Chain.to_string()));
    let gap = Flaw::Gap { expected: 8, found: 7 }.to_string();
    assert_eq!(damage(changed("\"sequence\":7", "\"sequence\":8")), (3, 8, gap));
    // A marker that says nothing: nobody can tell.
    let disk = SimDisk::with_files(changed("\"segment\":3", "\"segment\":"));
    let unknown = verify(&log(&disk), &mut |_| ()).expect_err("the marker is damaged");
    assert!(unknown.to_string().contains("retired.json does not say where the log begins"));
    assert!(recover(&log(&disk), Sequence(7), &mut |_| ()).is_err());
    // The first batch left is damaged: it is not taken for an empty journal's end.
    let mut torn = sound;
    torn.get_mut(&segment("data", 3)).expect("it is there")[..6000].fill(0);
    for index in 4..7 {
        torn.remove(&segment("data", index));
    }
    let disk = SimDisk::with_files(torn);
    assert!(matches!(
        recover(&log(&disk), Sequence(7), &mut |_| ()),
        Err(RecoveryError::Damage { segment: 3, .. })
    ));
}

/// Every record from `from` on is there, sound, and the journal says that it is.
fn check(disk: &SimDisk, from: u64, what: &str) {
    let report = report(disk);
    assert!(report.ok, "{what}: {report:?}");
    assert_eq!(report.last_sequence, Sequence(14), "{what}");
    assert!(report.first_sequence.0 <= from, "{what}: record {from} is gone: {report:?}");
    let recovered = recover(&log(disk), Sequence(from), &mut |_| ());
    assert_eq!(recovered.expect(what).tip.sequence, Sequence(14), "{what}");
    let mut reader = Reader::new(log(disk), Sequence(from), Verify::Chain);
    for sequence in from..=14 {
        let record = reader.next_record(Sequence(14)).expect(what).expect(what);
        assert_eq!(record.sequence().0, sequence, "{what}");
        assert_eq!(record.command(), vec![sequence as u8; RECORD], "{what}");
    }
}

/// What is not in the journal any more is in the archive, whole, and listed.
fn check_copies(disk: &SimDisk, original: &BTreeMap<PathBuf, Vec<u8>>) {
    let files = files(disk);
    let left = (0..7).find(|index| files.contains_key(&segment("data", *index)));
    check_shelf(disk, original, left.expect("the newest stays"));
}

#[test]
fn a_crash_at_any_step_loses_nothing() {
    let original = files(&journal());
    let mut finished = false;
    for step in 0.. {
        for seed in 0..12 {
            let what = format!("step {step}, seed {seed}");
            let disk = journal();
            disk.fail_in(step, io::ErrorKind::Other);
            finished = retire_upto(&disk, 7).is_ok();
            // The machine stops there, or only the process does.
            if seed == 0 {
                disk.kill()
            } else {
                disk.lose_power(&mut Random::new(1000 * step + seed))
            }
            check(&disk, 7, &what);
            check_copies(&disk, &original);
            // It goes on where it stopped, and comes to the same.
            let retired = retire_upto(&disk, 7).expect(&what).expect(&what);
            assert_eq!((retired.segment, retired.sequence), (3, Sequence(7)), "{what}");
            check(&disk, 7, &what);
            check_shelf(&disk, &original, 3);
            let left = files(&disk);
            for index in 0..7 {
                let is_there = left.contains_key(&segment("data", index));
                assert_eq!(is_there, index >= 3, "{what}: segment {index}");
            }
        }
        if finished {
            assert!(step > 20, "steps were left out: {step}");
            return;
        }
    }
}

#[test]
fn an_archive_that_cannot_be_used_keeps_everything() {
    // Another file has the name, or the list names other bytes.
    for (path, bytes) in [
        ("shelf/commands/0000000001.seg", vec![1; 100]),
        ("shelf/SHA256SUMS", format!("{}  commands/0000000001.seg\n", "0".repeat(64)).into_bytes()),
    ] {
        let mut with = files(&journal());
        with.insert(path.into(), bytes);
        let disk = SimDisk::with_files(with);
        let error = retire_upto(&disk, 7).expect_err("it is not ours");
        assert!(matches!(error, RetireError::OtherBytes { .. }), "{error}");
        assert!(!error.is_final());
        check(&disk, 1, path);
    }
    // No space for a copy: it is tried again, and nothing is gone meanwhile.
    let disk = journal();
    disk.fill_up();
    let error = retire_upto(&disk, 7).expect_err("there is no space");
    assert!(matches!(error, RetireError::Archive { .. }) && !error.is_final(), "{error}");
    check(&disk, 1, "full");
    // Without an archive, only the marker needs space.
    let segments = used(&log(&disk)).expect("sound");
    let error = retire(&log(&disk), &segments, &keeping(&disk, 7), None).expect_err("no space");
    assert!(matches!(error, RetireError::NoSpace { .. }) && !error.is_final(), "{error}");
    check(&disk, 1, "full");
    disk.set_capacity(None);
    retire_upto(&disk, 7).expect("there is space again");
    check(&disk, 7, "space again");
}

#[test]
fn a_damaged_segment_is_not_retired() {
    let mut with = files(&journal());
    let at = SEGMENT_HEADER_SIZE + 500;
    with.get_mut(&segment("data", 1)).expect("it is there")[at] ^= 1;
    let disk = SimDisk::with_files(with.clone());
    let error = retire_upto(&disk, 7).expect_err("segment 1 is damaged");
    assert!(matches!(error, RetireError::Doubt(_)) && !error.is_final(), "{error}");
    assert!(error.to_string().contains("segment 1"), "{error}");
    let left = files(&disk);
    for index in 0..7 {
        assert!(left[&segment("data", index)] == with[&segment("data", index)]);
    }
    assert!(!left.contains_key(Path::new("data/commands/retired.json")));
}

#[test]
fn a_write_to_the_journals_own_directory_that_fails_is_final() {
    let segments = used(&log(&journal())).expect("sound");
    let mut finals = 0;
    for step in 0..100 {
        let disk = journal();
        disk.fail_in(step, io::ErrorKind::Other);
        match retire(&log(&disk), &segments, &keeping(&disk, 7), None) {
            Ok(_) => break,
            Err(error) => {
                assert!(error.is_final(), "{error}");
                finals += 1;
            }
        }
    }
    // Making way for the marker, allocating, writing, syncing and renaming it, three removals, and two
    // syncs of the directory.
    assert_eq!(finals, 10);
}

/// A reader in a segment that is retired goes on to its end and then says what is gone.
#[test]
fn a_reader_whose_segments_are_retired_is_told() {
    let disk = journal();
    let mut reader = Reader::new(log(&disk), Sequence(1), Verify::Chain);
    for sequence in 1..=2 {
        let record = reader.next_record(Sequence(14)).expect("it is sound").expect("it is there");
        assert_eq!(record.sequence().0, sequence);
    }
    retire_upto(&disk, 7).expect("the disk works");
    let gone = reader.next_record(Sequence(14)).err();
    let Some(ReadError::Retired { asked, first }) = gone else { panic!("{gone:?}") };
    assert_eq!((asked, first), (Sequence(3), Sequence(7)));
}

#[test]
fn an_event_log_that_has_lost_what_was_kept_does_not_begin_again() {
    let disk = SimDisk::new();
    let log =
        LogDir::new(disk.shared(), Path::new("data"), LogKind::Events, Append::Write, SEGMENT);
    let text = format!(
        "{{\"version\":1,\"log\":\"events\",\"journal_id\":\"{ID}\",\"segment\":2,\"sequence\":9,\
         \"previous_hash\":\"{}\"}}",
        "0".repeat(64)
    );
    let marker = log.dir().join(marker::NAME);
    let disk = SimDisk::with_files([(marker, text.into_bytes())]);
    let log =
        LogDir::new(disk.shared(), Path::new("data"), LogKind::Events, Append::Write, SEGMENT);
    let refused = recover_derived(&log, ID, Sequence(20), &mut |_| ());
    assert!(matches!(refused, Err(RecoveryError::Damage { segment: 2, .. })), "{refused:?}");
}

#[test]
fn the_data_directory_is_no_archive_of_itself() {
    let disk = journal();
    let before = files(&disk);
    let itself = Shelf::new(disk.shared(), Path::new("data"));
    let (segments, plan) = (used(&log(&disk)).expect("readable"), keeping(&disk, 7));
    let error = retire(&log(&disk), &segments, &plan, Some(&itself)).expect_err("it is the log");
    assert!(error.to_string().contains("it is the log's own directory"), "{error}");
    assert!(files(&disk) == before, "nothing was removed");
}
