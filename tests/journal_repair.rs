//! A damaged journal and a copy of it: whatever byte is damaged, a repair brings back what was durable,
//! byte by byte, whenever it is interrupted; and a copy that cannot help changes nothing.

use crate::cli_replay::used;
use crate::journal_damage::{Files, ID, Written, batches, journal, journal_of, log_in, places};
use crate::sim::disk::SimDisk;
use crate::sim::random::Random;
use openoutcry::journal::format::{JournalId, SEGMENT_HEADER_SIZE};
use openoutcry::journal::repair::{RepairError, Report, repair, repair_reaching};
use openoutcry::journal::verify::{verify, verify_reaching};
use openoutcry::types::Sequence;
use std::io;
use std::path::{Path, PathBuf};

/// The files of a journal, in another data directory.
fn moved(files: &Files, dir: &str) -> Files {
    let path =
        |path: &PathBuf| Path::new(dir).join(path.strip_prefix("data").expect("they lie in data"));
    files.iter().map(|(from, bytes)| (path(from), bytes.clone())).collect()
}

fn disk(damaged: &Files, copy: &Files) -> SimDisk {
    SimDisk::with_files(damaged.iter().cloned().chain(moved(copy, "copy")))
}

fn run(disk: &SimDisk, threads: usize) -> Result<Report, RepairError> {
    repair(&log_in(disk, "data"), &log_in(disk, "copy"), threads, &mut |_| ())
}

fn bytes_of(files: &Files, path: &Path) -> Vec<u8> {
    files
        .iter()
        .find(|(found, _)| found == path)
        .map(|(_, bytes)| bytes.clone())
        .unwrap_or_default()
}

/// What was durable stands where it stood, and what the repair took out is in the archive.
fn check(disk: &SimDisk, original: &Files, damaged: &Files, batches: &[Written], what: &str) {
    let report = verify(&log_in(disk, "data"), &mut |_| ()).expect("the disk works");
    assert!(report.ok, "{what}: {:?}", report.damage);
    let durable = batches.iter().map(|batch| batch.synced_to).max().expect("nine");
    assert!(report.last_sequence.0 >= durable, "{what}: {report:?}");
    let files = disk.files();
    for batch in batches.iter().filter(|batch| batch.last <= durable) {
        let (path, bytes) = &original[batch.file];
        let now = bytes_of(&files, path);
        assert!(now[batch.start..batch.end] == bytes[batch.start..batch.end], "{what}");
        assert!(now[..SEGMENT_HEADER_SIZE] == bytes[..SEGMENT_HEADER_SIZE], "{what}");
    }
    for (path, bytes) in damaged {
        let now = bytes_of(&files, path);
        let Some(at) = now.iter().zip(bytes).position(|(now, before)| now != before) else {
            continue;
        };
        let kept =
            files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "damaged"));
        let segment = path.file_stem().and_then(|stem| stem.to_str()).expect("a number");
        let is_kept = kept.into_iter().any(|(path, kept)| {
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("text");
            let offset: usize =
                name.split('-').nth(2).and_then(|text| text.parse().ok()).expect("an offset");
            name.contains(segment)
                && (offset..offset + kept.len()).contains(&at)
                && bytes[offset..].starts_with(kept)
        });
        assert!(is_kept, "{what}: byte {at} of {} is in no archive", path.display());
    }
}

fn for_every_byte(what: &str, damage: impl Fn(&mut Vec<u8>, usize)) {
    let original = journal();
    let batches = batches(&original);
    let mut repaired = 0;
    for (file, at) in places(&original) {
        let mut damaged = original.clone();
        damage(&mut damaged[file].1, at);
        let what = format!("{what} at segment {file}, byte {at}");
        let disk = disk(&damaged, &original);
        let before = disk.files();
        let found = verify(&log_in(&disk, "data"), &mut |_| ()).expect("the disk works");
        match run(&disk, 1) {
            Ok(report) if found.ok => {
                assert!(report.repaired.is_empty(), "{what}: {report:?}");
                assert!(disk.files() == before, "{what}: there was nothing to repair");
            }
            Ok(report) => {
                assert!(!report.repaired.is_empty(), "{what}");
                check(&disk, &original, &damaged, &batches, &what);
                repaired += 1;
            }
            // A flipped version is another version.
            Err(RepairError::TooNew { .. }) if (8..10).contains(&at) => {}
            Err(error) => panic!("{what}: {error}; {:?}", found.damage),
        }
    }
    assert!(repaired > 1000, "{what}: {repaired}");
}

#[test]
fn one_flipped_bit_anywhere_is_repaired_from_a_copy() {
    for_every_byte("flipped bit", |bytes, at| bytes[at] ^= 1 << (at % 8));
}

#[test]
fn a_zeroed_sector_anywhere_is_repaired_from_a_copy() {
    for_every_byte("zeroed sector", |bytes, at| {
        let end = (at + 512).min(bytes.len());
        bytes[at..end].fill(0);
    });
}

#[test]
fn a_file_cut_off_anywhere_is_repaired_from_a_copy() {
    for_every_byte("cut off", |bytes, at| bytes.truncate(at));
}

/// Damage in two segments, and the second one's header too.
fn twice(original: &Files) -> Files {
    let batches = batches(original);
    let mut damaged = original.clone();
    damaged[0].1[batches[1].start + 100] ^= 1;
    damaged[1].1[..200].fill(0xEE);
    let inside = batches.iter().rfind(|batch| batch.file == 1).expect("it has batches");
    damaged[1].1[inside.start..inside.start + 20].fill(0);
    damaged
}

#[test]
fn damage_in_several_segments_and_a_missing_one_are_repaired_at_once() {
    let original = journal();
    let batches = batches(&original);
    let damaged = twice(&original);
    for threads in [1, 3] {
        let disk = disk(&damaged, &original);
        let report = run(&disk, threads).expect("the copy has it all");
        let segments: Vec<u64> = report.repaired.iter().map(|range| range.segment).collect();
        assert!(segments.contains(&0) && segments.contains(&1), "{report:?}");
        assert_eq!(report.id, Some(ID));
        check(&disk, &original, &damaged, &batches, "two segments");
    }
    let missing = vec![original[0].clone(), original[2].clone()];
    let disk = disk(&missing, &original);
    let report = run(&disk, 1).expect("the copy has it");
    assert_eq!(report.repaired[0].segment, 1);
    assert_eq!(report.repaired.last().and_then(|range| range.archived.clone()), None);
    check(&disk, &original, &missing, &batches, "a missing segment");
}

#[test]
fn what_a_journal_has_lost_at_its_end_is_told_and_taken_from_a_copy() {
    let original = journal();
    let found = batches(&original);
    let end = Sequence(found.last().expect("nine").last);
    let reaching = |disk: &SimDisk, snapshot| {
        let (log, copy) = (log_in(disk, "data"), log_in(disk, "copy"));
        repair_reaching(&log, &copy, snapshot, 1, &mut |_| ())
    };
    let mut segments = 0;
    for kept in 1..found.len() {
        let (last, first_lost) = (&found[kept - 1], &found[kept]);
        for removed in [false, true] {
            let mut damaged = original.clone();
            damaged[last.file].1[last.end..].fill(0);
            damaged[last.file + 1..].iter_mut().for_each(|(_, bytes)| bytes.fill(0));
            damaged.truncate(if removed { last.file + 1 } else { damaged.len() });
            for snapshot in [Sequence(first_lost.last), end] {
                let what = format!("{kept} batches are left, the snapshot is of {snapshot}");
                let disk = disk(&damaged, &original);
                let check = |snapshot| {
                    verify_reaching(&log_in(&disk, "data"), snapshot, 2, &mut |_| ())
                        .expect("the disk works")
                };
                assert!(check(Sequence(last.last)).ok, "{what}");
                let damage = check(snapshot).damage.expect("it ends before the snapshot");
                assert_eq!(damage.sequence.0, last.last + 1, "{what}");
                assert_eq!((damage.segment, damage.offset), (last.file as u64, last.end as u64));
                let said = format!("ends at sequence {}, and a snapshot of sequence", last.last);
                assert!(damage.what.contains(&said), "{}", damage.what);
                assert!(run(&disk, 1).expect("no damage inside").repaired.is_empty());

                let report = reaching(&disk, snapshot).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(report.last, end, "{what}: all that the copy proves");
                assert!(!report.repaired.is_empty() && report.copy_ends.is_none(), "{what}");
                assert!(report.repaired.iter().all(|range| range.what.contains("a snapshot of")));
                assert!(check(snapshot).ok, "{what}");
                segments = segments.max(report.repaired.len());
                for batch in &found {
                    let (path, bytes) = &original[batch.file];
                    let now = bytes_of(&disk.files(), path);
                    assert!(now[batch.start..batch.end] == bytes[batch.start..batch.end], "{what}");
                }
            }
            // A copy that has lost the same, or has another history there.
            let refused = |copy: &Files| {
                let disk = disk(&damaged, copy);
                let before = disk.files();
                let error = reaching(&disk, end).expect_err("it does not help");
                assert!(disk.files() == before, "{error}: something was changed");
                error
            };
            let error = refused(&damaged);
            let RepairError::ShortCopy { last: short, needed, .. } = error else {
                panic!("{error}")
            };
            assert_eq!((short.0, needed), (last.last, end));
            let error = refused(&journal_of(ID, kept as u64 - 1));
            assert!(matches!(error, RepairError::BrokenChain { .. }), "{error}");
        }
    }
    assert!(segments > 1, "more than a segment was lost once");
}

/// A journal of which only the first batch is left, and the sequence of a snapshot in the middle.
fn without_its_end(original: &Files) -> (Files, Sequence) {
    let found = batches(original);
    let mut lost = original.clone();
    lost[0].1[found[0].end..].fill(0);
    lost.truncate(1);
    (lost, Sequence(found[1].last))
}

#[test]
fn a_lost_end_is_taken_as_far_as_the_copy_is_sound_and_the_rest_is_told() {
    let original = journal();
    let found = batches(&original);
    let (lost, snapshot) = without_its_end(&original);
    let reaching = |copy: &Files| {
        let disk = disk(&lost, copy);
        let (log, copy) = (log_in(&disk, "data"), log_in(&disk, "copy"));
        let report = repair_reaching(&log, &copy, snapshot, 1, &mut |_| ());
        (report, verify_reaching(&log, snapshot, 1, &mut |_| ()).expect("the disk works"))
    };
    for (index, batch) in found.iter().enumerate().skip(1) {
        let mut copy = original.clone();
        copy[batch.file].1[batch.end - 40] ^= 1;
        let (report, now) = reaching(&copy);
        if batch.last <= snapshot.0 {
            let error = report.expect_err("what was durable is not there");
            assert!(matches!(error, RepairError::DamagedCopy { .. }), "{error}");
            continue;
        }
        let report = report.unwrap_or_else(|error| panic!("batch {index}: {error}"));
        assert_eq!(report.last.0, found[index - 1].last, "batch {index}");
        assert_eq!((now.ok, now.last_sequence), (true, report.last), "batch {index}");
        let ends = report.copy_ends.expect("the copy goes on");
        assert_eq!(ends.segment, batch.file as u64);
        assert!((batch.start..batch.end).contains(&(ends.offset as usize)), "{ends:?}");
        assert!((report.last.0 + 1..=batch.last).contains(&ends.sequence.0), "{ends:?}");
    }
    // The copy's last segment is another journal's.
    let mut copy = original.clone();
    copy[2] = journal_of(JournalId([6; 16]), u64::MAX).swap_remove(2);
    let report = reaching(&copy).0.expect("what was durable is there");
    let ends = report.copy_ends.expect("something stands there");
    assert_eq!((ends.segment, ends.offset, ends.sequence), (2, 0, report.last.next()));
}

#[test]
fn a_lost_end_whose_repair_is_interrupted_is_refused_until_all_of_it_is_there() {
    let original = journal();
    let end = Sequence(batches(&original).last().expect("nine").last);
    let (lost, snapshot) = without_its_end(&original);
    let mut random = Random::new(12);
    let mut partly = 0;
    for count in 0.. {
        let disk = disk(&lost, &original);
        let reaching = || {
            let (log, copy) = (log_in(&disk, "data"), log_in(&disk, "copy"));
            repair_reaching(&log, &copy, snapshot, 1, &mut |_| ())
        };
        disk.fail_in(count, io::ErrorKind::Other);
        let first = reaching();
        let what = format!("interrupted after {count} steps");
        if count % 2 == 0 {
            disk.kill();
        } else {
            disk.lose_power(&mut random);
        }
        let now = verify_reaching(&log_in(&disk, "data"), snapshot, 1, &mut |_| ());
        let now = now.expect("the disk works");
        assert!(!now.ok || now.last_sequence == end, "{what}: {now:?}");
        let files = disk.files();
        let begun =
            files.iter().filter(|(path, bytes)| path.starts_with("data") && used(bytes) > 0);
        let segments = begun.filter(|(path, _)| path.extension().is_some_and(|e| e == "seg"));
        partly += usize::from(!now.ok && segments.count() > 1);
        let report = reaching().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(report.last, end, "{what}");
        for (path, bytes) in &original {
            let now = bytes_of(&disk.files(), path);
            assert!(now[..used(bytes)] == bytes[..used(bytes)], "{what}: {}", path.display());
        }
        if first.is_ok() {
            assert!(partly > 0, "it was never interrupted between two segments");
            return;
        }
    }
}

#[test]
fn a_repair_that_is_interrupted_anywhere_can_be_done_again() {
    let original = journal();
    let batches = batches(&original);
    let damaged = twice(&original);
    let mut random = Random::new(11);
    for count in 0.. {
        let disk = disk(&damaged, &original);
        disk.fail_in(count, io::ErrorKind::Other);
        let first = run(&disk, 1);
        let what = format!("interrupted after {count} steps");
        if count % 2 == 0 {
            disk.kill();
        } else {
            disk.lose_power(&mut random);
        }
        let is_done = first.is_ok();
        if let Err(error) = &first {
            assert!(matches!(error, RepairError::Disk(_)), "{what}: {error}");
        }
        run(&disk, 1).unwrap_or_else(|error| panic!("{what}: {error}"));
        check(&disk, &original, &damaged, &batches, &what);
        if is_done {
            assert!(count > 10, "it takes more steps than {count}");
            return;
        }
    }
}

#[test]
fn a_copy_that_cannot_help_is_refused_and_nothing_is_changed() {
    let original = journal();
    let found = batches(&original);
    let mut damaged = original.clone();
    // In the records of the third batch, so that its header still says which one it is.
    damaged[0].1[found[2].start + 200] ^= 1;
    let refused = |damaged: &Files, copy: &Files| {
        let disk = disk(damaged, copy);
        let before = disk.files();
        let error = run(&disk, 1).expect_err("it cannot help");
        assert!(disk.files() == before, "{error}: something was changed");
        error
    };
    let error = refused(&damaged, &journal_of(JournalId([6; 16]), u64::MAX));
    assert!(matches!(error, RepairError::OtherJournal { .. }), "{error}");
    assert!(error.to_string().contains("another journal"), "{error}");

    let error = refused(&damaged, &damaged);
    assert!(matches!(error, RepairError::DamagedCopy { segment: 0, .. }), "{error}");

    // Another history from the start: the chain does not lead to the damage.
    let error = refused(&damaged, &journal_of(ID, 0));
    assert!(matches!(error, RepairError::BrokenChain { place: "before", .. }), "{error}");
    // Another history behind the damage: the chain does not lead on from it.
    let mut headerless = original.clone();
    headerless[0].1[found[2].start..found[2].start + 8].fill(0);
    for damaged in [&damaged, &headerless] {
        let error = refused(damaged, &journal_of(ID, 2));
        assert!(matches!(error, RepairError::BrokenChain { place: "behind", .. }), "{error}");
    }

    let mut short = original.clone();
    short[0].1[found[2].start..].fill(0);
    short.truncate(1);
    let error = refused(&damaged, &short);
    assert!(matches!(error, RepairError::ShortCopy { .. }), "{error}");
    assert!(error.to_string().contains(&format!("ends at sequence {}", found[1].last)), "{error}");

    let error = refused(&damaged, &original[1..].to_vec());
    assert!(matches!(error, RepairError::NoSegment { segment: 0, .. }), "{error}");
}
