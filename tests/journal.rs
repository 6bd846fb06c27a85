//! The journal on a real disk and on one that fails, fact by fact.

use crate::sim::disk::SimDisk;
use crate::sim::random::{Random, seeds};
use openoutcry::command::{Command, Deposit};
use openoutcry::event::{Event, EventBody, RejectReason, SessionChange};
use openoutcry::journal::batch::{BatchBuilder, BatchLimits, Part, RecordFields};
use openoutcry::journal::dump::{describe, dump};
use openoutcry::journal::event_log::{EventLogReader, EventLogWriter};
use openoutcry::journal::format::{JournalId, LogKind, RecordKind, Tip};
use openoutcry::journal::reader::Reader;
use openoutcry::journal::recovery::{Recovered, RecoveryError, recover, recover_derived};
use openoutcry::journal::reject_log::{Refused, RejectLog};
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::verify::verify;
use openoutcry::journal::view::{Flaw, Verify};
use openoutcry::journal::writer::{Appended, Syncer, Writer};
use openoutcry::sys::disk::Disk;
use openoutcry::sys::storage::{Append, Storage};
use openoutcry::types::{AccountId, Amount, AssetId, Epoch, KeyId, Sequence, SessionId, TimeNs};
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;
use std::sync::Arc;

const ID: JournalId = JournalId([1; 16]);
const SEGMENT: u64 = 64 * 1024;
/// Holds two batches of events of the largest size, and not three.
const EVENT_SEGMENT: u64 = 5 * 1024 * 1024;

/// A journal's parts as a node puts them together.
pub(crate) struct Journal {
    pub(crate) log: LogDir,
    pub(crate) recovered: Recovered,
    pub(crate) preparer: Preparer,
    pub(crate) writer: Writer,
    pub(crate) syncer: Syncer,
    pub(crate) builder: BatchBuilder,
}

impl Journal {
    pub(crate) fn open(storage: Arc<dyn Storage>, dir: &Path, append: Append) -> Journal {
        let log = LogDir::new(storage, dir, LogKind::Commands, append, SEGMENT);
        log.create().expect("the disk works");
        let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("it is sound");
        let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 2);
        preparer.run().expect("the disk works");
        let writer = Writer::new(log.clone(), ID, 1, &recovered, prepared).expect("it opens");
        let syncer = Syncer::new(recovered.tip.sequence);
        let builder = BatchBuilder::new(LogKind::Commands, ID, recovered.tip);
        Journal { log, recovered, preparer, writer, syncer, builder }
    }

    /// Seals one batch of records with these payloads.
    pub(crate) fn batch(&mut self, payloads: &[&[u8]]) {
        self.builder.begin(Epoch(1), self.syncer.durable());
        for payload in payloads {
            let sequence = self.builder.tip().sequence.0 + u64::from(self.builder.open_count()) + 1;
            let time = TimeNs(1_000_000 * sequence);
            let fields = RecordFields::new(RecordKind::Admin, Sequence(sequence), time);
            self.builder.push(&fields, &[], Some(payload)).expect("it is small");
        }
        self.builder.seal();
    }

    pub(crate) fn append(&mut self) {
        while self.writer.append(self.builder.sealed()).expect("the disk works")
            == Appended::NotReady
        {
            self.preparer.run().expect("the disk works");
        }
        self.builder.clear();
    }

    pub(crate) fn sync(&mut self) {
        while let Some(job) = self.writer.take_sync() {
            self.syncer.sync(&job).expect("the disk works");
        }
    }
}

fn on_sim(disk: &SimDisk) -> Journal {
    Journal::open(disk.shared(), Path::new("data"), Append::Write)
}

/// Every record's payload, in order.
fn payloads(log: &LogDir, last: Sequence) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(log.clone(), Sequence(1), Verify::Chain);
    let mut payloads = vec![];
    while let Some(record) = reader.next_record(last).expect("it is sound") {
        payloads.push(record.command().to_vec());
    }
    payloads
}

#[test]
fn a_real_directory_reads_back_the_same_by_either_way_of_appending() {
    let mut images = vec![];
    for append in [Append::Write, Append::Map] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut expected = vec![];
        for life in 0..3_u8 {
            let mut journal = Journal::open(Disk::shared(), dir.path(), append);
            assert_eq!(journal.recovered.tip.sequence.0, expected.len() as u64);
            let mut live = Reader::new(
                journal.log.clone(),
                journal.recovered.tip.sequence.next(),
                Verify::Chain,
            );
            for batch in 0..40_u8 {
                let payload = vec![life * 40 + batch; 1500];
                journal.batch(&[&payload, b"short"]);
                journal.append();
                journal.sync();
                expected.push(payload);
                expected.push(b"short".to_vec());
                // Another mapping shows it at once, across rolls.
                let batch = live.next_batch(journal.syncer.durable()).expect("it is sound");
                assert_eq!(batch.expect("it is there").last(), journal.syncer.durable());
            }
            assert_eq!(payloads(&journal.log, journal.writer.written()), expected);
        }
        let journal = Journal::open(Disk::shared(), dir.path(), append);
        assert!(journal.recovered.segments > 2, "it rolled");
        let report = verify(&journal.log, &mut |_| ()).expect("the disk works");
        assert!(report.ok);
        assert_eq!((report.records, report.torn_tail_bytes), (240, 0));
        let segment = std::fs::read(journal.log.segment_path(1)).expect("it is there");
        images.push((report.chain_hash, segment));
    }
    assert!(images[0] == images[1], "both ways write the same bytes");
}

#[test]
fn recovering_twice_changes_nothing() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    journal.batch(&[b"one"]);
    journal.append();
    disk.kill();
    let first = recover(&journal.log, Sequence(1), &mut |_| ()).expect("it is sound");
    let files = disk.files();
    let second = recover(&journal.log, Sequence(1), &mut |_| ()).expect("it is sound");
    assert_eq!(first, second);
    assert!(files == disk.files());
}

#[test]
fn a_fresh_journal_is_empty_and_its_first_sequence_is_one() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    assert!(journal.recovered.is_empty());
    assert_eq!(journal.recovered.id, None);
    for payload in [b"1", b"2", b"3"] {
        journal.batch(&[payload]);
    }
    journal.append();
    disk.kill();
    let journal = on_sim(&disk);
    assert_eq!(journal.recovered.tip.sequence.next(), Sequence(4));
    assert_eq!(journal.recovered.id, Some(ID));
}

#[test]
fn genesis_is_there_whole_or_not_at_all_wherever_the_first_boot_fails() {
    seeds("first boot", |seed| {
        let mut random = Random::new(seed);
        let disk = SimDisk::new();
        let items = 1 + random.below(300) as usize;
        let boot = |disk: &SimDisk| -> io::Result<()> {
            let log = LogDir::new(
                disk.shared(),
                Path::new("data"),
                LogKind::Commands,
                Append::Write,
                SEGMENT,
            );
            let recovered = recover(&log, Sequence(1), &mut |_| ()).map_err(io::Error::other)?;
            let records = [0, items as u64 + 1];
            assert!(records.contains(&recovered.tip.sequence.0), "half a genesis");
            if !recovered.is_empty() {
                return Ok(());
            }
            let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
            preparer.run()?;
            let mut writer =
                Writer::new(log, ID, 1, &recovered, prepared).map_err(io::Error::other)?;
            let mut builder = BatchBuilder::new(LogKind::Commands, ID, recovered.tip);
            builder.set_limits(BatchLimits::genesis(SEGMENT));
            builder.begin(Epoch(1), Sequence(0));
            let start = RecordFields::new(RecordKind::EpochStart, Sequence(1), TimeNs(1));
            builder.push(&start, &[], Some(&[0; 24])).expect("it fits");
            for item in 0..items as u64 {
                let fields = RecordFields::new(RecordKind::Genesis, Sequence(item + 2), TimeNs(1));
                builder.push(&fields, &[], Some(b"{\"define\":1}")).expect("it fits");
            }
            builder.seal();
            assert_eq!(
                writer.append(builder.sealed()).map_err(io::Error::other)?,
                Appended::Written
            );
            let mut syncer = Syncer::default();
            while let Some(job) = writer.take_sync() {
                syncer.sync(&job).map_err(io::Error::other)?;
            }
            Ok(())
        };
        loop {
            disk.fail_in(random.below(30), io::ErrorKind::Other);
            let booted = boot(&disk);
            if random.percent(50) {
                disk.kill()
            } else {
                disk.lose_power(&mut random)
            }
            if booted.is_ok() {
                break;
            }
        }
        boot(&disk).expect("nothing fails");
        assert!(verify(&on_sim(&disk).log, &mut |_| ()).expect("it reads").records > 1);
    });
}

#[test]
fn a_prepared_segment_keeps_its_name_and_its_space_through_a_power_cut() {
    for seed in 0..50 {
        let disk = SimDisk::new();
        let journal = on_sim(&disk);
        assert_eq!(journal.writer.prepared().count(), 2);
        disk.lose_power(&mut Random::new(seed));
        let files = disk.files();
        assert_eq!(files.len(), 2);
        assert!(files.iter().all(|(_, bytes)| bytes.len() as u64 == SEGMENT));
    }
}

#[test]
fn after_a_failed_sync_nothing_goes_on_and_recovery_makes_true_what_it_reads() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    journal.batch(&[b"one"]);
    journal.append();
    let job = journal.writer.take_sync().expect("something is written");
    disk.fail_in(0, io::ErrorKind::Other);
    let fault = journal.syncer.sync(&job).expect_err("it fails");
    assert_eq!((fault.action, fault.segment, fault.offset), ("sync", 0, 0));
    assert_eq!(journal.syncer.durable(), Sequence::NONE, "the cursor did not move");
    // The disk would now say "done": nobody asks it.
    assert!(journal.syncer.sync(&job).is_err());
    disk.kill();
    // The page cache still shows the record, and the disk does not have it.
    let journal = on_sim(&disk);
    assert_eq!(journal.recovered.tip.sequence, Sequence(1));
    assert!(journal.recovered.rewritten_bytes > 0);
    disk.lose_power(&mut Random::new(1));
    assert_eq!(on_sim(&disk).recovered.tip.sequence, Sequence(1));
}

#[test]
fn a_failed_write_is_final_and_moves_no_cursor() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    journal.batch(&[b"one"]);
    journal.append();
    journal.sync();
    journal.batch(&[b"two"]);
    disk.fail_in(0, io::ErrorKind::Other);
    let fault = journal.writer.append(journal.builder.sealed()).expect_err("it fails");
    assert_eq!((fault.action, fault.segment), ("write to", 0));
    assert_eq!(journal.writer.written(), Sequence(1));
    assert!(journal.writer.append(journal.builder.sealed()).is_err(), "it stays failed");
    disk.kill();
    assert_eq!(on_sim(&disk).recovered.tip.sequence, Sequence(1));
}

#[test]
fn a_full_disk_stops_preparing_and_resumes_when_space_returns() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(3 * SEGMENT));
    let mut journal = on_sim(&disk);
    let space = journal.writer.prepared().space().clone();
    assert!(!space.is_exhausted());
    let payload = [7; 20_000];
    let full = loop {
        journal.batch(&[&payload]);
        let written = journal.writer.written();
        if journal.writer.append(journal.builder.sealed()).expect("no fault") == Appended::NotReady
        {
            assert_eq!(journal.writer.written(), written, "what is not ready writes nothing");
            journal.preparer.run().expect("no space is no fault");
            if journal.writer.prepared().count() == 0 {
                break written;
            }
            journal.append();
        }
        journal.builder.clear();
    };
    assert!(space.is_exhausted());
    assert_eq!(journal.log.available_bytes().expect("it tells"), 0);
    assert_eq!(journal.preparer.do_work().expect("no fault"), 0);
    disk.set_capacity(None);
    journal.append();
    assert!(!space.is_exhausted());
    assert!(journal.writer.written() > full);
    journal.sync();
    disk.lose_power(&mut Random::new(2));
    assert_eq!(on_sim(&disk).recovered.tip.sequence, journal.syncer.durable());
}

#[test]
fn an_append_that_is_not_ready_leaves_no_trace() {
    let disk = SimDisk::new();
    let log =
        LogDir::new(disk.shared(), Path::new("data"), LogKind::Commands, Append::Write, SEGMENT);
    let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("it is empty");
    let (_preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    let mut writer = Writer::new(log.clone(), ID, 1, &recovered, prepared).expect("it opens");
    let mut builder = BatchBuilder::new(LogKind::Commands, ID, Tip::START);
    builder.begin(Epoch(1), Sequence::NONE);
    let fields = RecordFields::new(RecordKind::Admin, Sequence(1), TimeNs(1));
    builder.push(&fields, &[], Some(b"refused")).expect("it is small");
    builder.seal();
    assert_eq!(writer.append(builder.sealed()).expect("no fault"), Appended::NotReady);
    assert!(writer.take_sync().is_none());
    assert!(disk.files().is_empty());
}

#[test]
fn each_dirty_file_is_synced_once_and_only_when_it_is_dirty() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    for _ in 0..5 {
        journal.batch(&[&[1; 20_000]]);
        journal.append();
    }
    let before = disk.syncs();
    let first = journal.writer.take_sync().expect("the first segment is dirty");
    let second = journal.writer.take_sync().expect("the second is too");
    assert!(journal.writer.take_sync().is_none());
    assert_eq!(journal.syncer.sync(&first).expect("it works"), Sequence(3));
    assert_eq!(journal.syncer.sync(&second).expect("it works"), Sequence(5));
    assert_eq!(disk.syncs() - before, 2);
}

/// Builds a batch that does not continue what stands before, sound in itself.
fn disorder(tip: Tip, epoch: Epoch, time: TimeNs) -> Flaw {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    journal.builder.begin(Epoch(5), Sequence::NONE);
    let fields = RecordFields::new(RecordKind::Admin, Sequence(1), TimeNs(1000));
    journal.builder.push(&fields, &[], Some(b"one")).expect("it is small");
    let sealed = journal.builder.seal();
    journal.append();
    let end = 4096 + sealed.length as u64;
    let hash = if tip.hash == [0; 32] { sealed.hash } else { tip.hash };
    let mut builder = BatchBuilder::new(LogKind::Commands, ID, Tip { hash, ..tip });
    builder.begin(epoch, Sequence::NONE);
    let fields = RecordFields::new(RecordKind::Admin, tip.sequence.next(), time);
    builder.push(&fields, &[], Some(b"two")).expect("it is small");
    builder.seal();
    let file = disk.open(&journal.log.segment_path(0), Append::Write).expect("it is there");
    file.write_at(builder.sealed(), end).expect("it is allocated");
    match recover(&journal.log, Sequence(1), &mut |_| ()) {
        Err(RecoveryError::Damage { segment: 0, offset, flaw, .. }) => {
            assert!(offset >= end);
            flaw
        }
        other => panic!("expected damage, not {other:?}"),
    }
}

#[test]
fn a_gap_a_step_back_or_a_broken_chain_is_damage_even_behind_the_last_sync() {
    let tip = Tip { sequence: Sequence(1), ..Tip::START };
    let gap = Tip { sequence: Sequence(2), ..Tip::START };
    let (epoch, time) = (Epoch(5), TimeNs(1000));
    assert_eq!(disorder(gap, epoch, time), Flaw::Gap { expected: 2, found: 3 });
    assert_eq!(disorder(Tip::START, epoch, time), Flaw::Gap { expected: 2, found: 1 });
    assert_eq!(disorder(tip, Epoch(4), time), Flaw::Epoch);
    assert_eq!(disorder(tip, epoch, TimeNs(999)), Flaw::Time);
    assert_eq!(disorder(Tip { hash: [9; 32], ..tip }, epoch, time), Flaw::Chain);
}

#[test]
fn what_one_node_knows_is_not_in_the_chain() {
    let seal = |synced_to| {
        let tip = Tip { sequence: Sequence(10), ..Tip::START };
        let mut builder = BatchBuilder::new(LogKind::Commands, ID, tip);
        builder.begin(Epoch(1), Sequence(synced_to));
        let fields = RecordFields::new(RecordKind::Admin, Sequence(11), TimeNs(1));
        builder.push(&fields, &[], Some(b"x")).expect("it is small");
        builder.seal().hash
    };
    assert_eq!(seal(0), seal(10));
}

#[test]
fn a_warm_builder_keeps_its_buffer() {
    let mut builder = BatchBuilder::new(LogKind::Commands, ID, Tip::START).with_capacity(64 * 1024);
    let mut place = None;
    for sequence in 1..1000 {
        builder.begin(Epoch(1), Sequence::NONE);
        let fields = RecordFields::new(RecordKind::Command, Sequence(sequence), TimeNs(1));
        builder.push(&fields, &[3; 190], None).expect("it is small");
        builder.seal();
        assert_eq!(*place.get_or_insert(builder.sealed().as_ptr()), builder.sealed().as_ptr());
        builder.clear();
    }
}

#[test]
fn a_flipped_bit_is_reported_with_its_sequence_and_offset() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    for number in 0..10_u8 {
        journal.batch(&[&[number; 100], &[number; 100]]);
        journal.append();
        journal.sync();
    }
    let file = disk.open(&journal.log.segment_path(0), Append::Write).expect("it is there");
    // The second record of the fourth batch: a batch is 144 + 2 * 200 bytes.
    let at = 4096 + 3 * 544 + 144 + 200 + 150;
    let mut byte = [0];
    file.read_at(&mut byte, at).expect("it is there");
    file.write_at(&[byte[0] ^ 4], at).expect("it is allocated");
    let report = verify(&journal.log, &mut |_| ()).expect("it reads");
    assert!(!report.ok);
    assert_eq!(report.last_sequence, Sequence(6));
    let damage = report.damage.expect("it is found");
    assert_eq!((damage.segment, damage.sequence), (0, Sequence(8)));
    assert_eq!(damage.offset, 4096 + 3 * 544 + 144 + 200, "where the record begins");
    assert_eq!(damage.what, "the record's CRC-64 does not match");
    assert!(matches!(
        recover(&journal.log, Sequence(1), &mut |_| ()),
        Err(RecoveryError::Damage { sequence: Sequence(8), .. })
    ));
    // A reader that follows a cursor says the same instead of ending early.
    let mut reader = Reader::new(journal.log, Sequence(1), Verify::Crc);
    let error = loop {
        match reader.next_record(Sequence(20)) {
            Ok(record) => assert!(record.is_some(), "no silent end"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("sequence 8"), "{error}");
}

#[test]
fn a_frame_changed_together_with_its_crc_breaks_the_frame_hash() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    let mut frame = vec![1; 100];
    let hash = Sha256::digest(&frame);
    frame.extend_from_slice(&hash);
    frame[50] = 2;
    let mut fields = RecordFields::new(RecordKind::Command, Sequence(1), TimeNs(1));
    fields.frame_hash = Some(100);
    journal.builder.begin(Epoch(1), Sequence::NONE);
    journal.builder.push(&fields, &frame, None).expect("it is small");
    journal.builder.seal();
    journal.append();
    let report = verify(&journal.log, &mut |_| ()).expect("it reads");
    assert_eq!(report.damage.expect("it is found").what, Flaw::FrameHash.to_string());
}

#[test]
fn a_check_beside_a_running_node_sees_no_damage_in_what_is_being_written() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    for _ in 0..5 {
        journal.batch(&[b"durable"]);
        journal.append();
        journal.sync();
    }
    journal.batch(&[&[5; 3000]]);
    disk.fail_in(0, io::ErrorKind::Other);
    assert!(journal.writer.append(journal.builder.sealed()).is_err(), "half of it is there");
    let report = verify(&journal.log, &mut |_| ()).expect("it reads");
    assert!(report.ok);
    assert_eq!((report.last_sequence, report.synced_to), (Sequence(5), Sequence(4)));
    assert!(report.torn_tail_bytes > 1000);
}

#[test]
fn a_reader_starts_at_any_sequence_and_stops_at_any_limit() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    for number in 0..60_u8 {
        journal.batch(&[&[number; 3000], &[number; 10], b"x"]);
        journal.append();
    }
    for from in 1..=180_u64 {
        let mut reader = Reader::new(journal.log.clone(), Sequence(from), Verify::Crc);
        let limit = Sequence(from + from % 5);
        for expected in from..=limit.0.min(180) {
            let record = reader.next_record(limit.min(Sequence(180))).expect("it is sound");
            assert_eq!(record.expect("it is there").sequence(), Sequence(expected));
        }
        assert!(reader.next_record(limit.min(Sequence(180))).expect("no error").is_none());
    }
    assert!(dump(&journal.log, Sequence(170), Sequence(u64::MAX), &mut |_| true).error.is_none());
}

fn events(sequence: u64, count: u32) -> Vec<Event> {
    let body = |index| {
        EventBody::Session(SessionChange { session: SessionId(index), active: true, outbound: 0 })
    };
    (0..count)
        .map(|index| Event {
            sequence: Sequence(sequence),
            index,
            last: index + 1 == count,
            body: body(index),
        })
        .collect()
}

#[test]
fn any_commands_events_are_found_again() {
    let disk = SimDisk::new();
    let log = LogDir::new(
        disk.shared(),
        Path::new("data"),
        LogKind::Events,
        Append::Write,
        EVENT_SEGMENT,
    );
    let recovered = recover_derived(&log, ID, Sequence::NONE, &mut |_| ()).expect("the disk works");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    let mut writer = EventLogWriter::new(log.clone(), ID, 1, &recovered, prepared).expect("opens");
    let count = |sequence: u64| match sequence % 50 {
        7 if sequence > 100 => 70_000, // more than a segment holds
        sequence => sequence as u32 % 4,
    };
    let mut hashes = vec![];
    for first in (1..=300).step_by(3) {
        writer.builder().begin_batch(Sequence(first), Epoch(1));
        for sequence in first..first + 3 {
            writer.builder().push(TimeNs(sequence), &events(sequence, count(sequence)));
        }
        writer.builder().end_batch(Sequence(first + 2));
        hashes.push((first + 2, *writer.chain_hash()));
        while writer.flush().expect("the disk works") == Appended::NotReady {
            preparer.run().expect("the disk works");
        }
    }
    let written = writer.written();
    assert_eq!(written, Sequence(300));
    let mut reader = EventLogReader::new(log.clone());
    let mut random = Random::new(3);
    for step in 0..600 {
        let sequence = if step < 300 { step + 1 } else { 1 + random.below(300) };
        // The second look-up must not go on behind the first.
        for _ in 0..2 {
            let mut found = vec![];
            let all = reader.events_of(Sequence(sequence), written, &mut found);
            assert!(all.expect("it is sound"));
            assert!(found == events(sequence, count(sequence)), "sequence {sequence}");
        }
    }
    let mut none = vec![];
    assert!(!reader.events_of(Sequence(301), written, &mut none).expect("it is sound"));
    for (last, hash) in &hashes {
        let at =
            |sequence| EventLogReader::new(log.clone()).chain_hash_at(Sequence(sequence), written);
        assert_eq!(at(*last).expect("it is sound"), Some((Sequence(*last), *hash)));
        assert_eq!(
            at(last + 1).expect("it is sound").map(|found| found.0),
            Some(Sequence(*last)).filter(|_| *last < 300).or(Some(Sequence(300)))
        );
    }
    let report = verify(&log, &mut |_| ()).expect("it reads");
    assert!(report.ok);
    assert_eq!(report.last_sequence, Sequence(300));
}

#[test]
fn an_event_log_is_cut_to_the_journals_end() {
    let disk = SimDisk::new();
    let log = LogDir::new(
        disk.shared(),
        Path::new("data"),
        LogKind::Events,
        Append::Write,
        EVENT_SEGMENT,
    );
    let recovered = recover_derived(&log, ID, Sequence::NONE, &mut |_| ()).expect("the disk works");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    preparer.run().expect("the disk works");
    let mut writer = EventLogWriter::new(log.clone(), ID, 1, &recovered, prepared).expect("opens");
    let mut hashes = vec![];
    for first in [1, 3, 5] {
        writer.builder().begin_batch(Sequence(first), Epoch(1));
        writer.builder().push(TimeNs(first), &events(first, 2));
        writer.builder().end_batch(Sequence(first + 1));
        hashes.push(*writer.chain_hash());
    }
    writer.flush().expect("the disk works");
    disk.kill();
    let recovered = recover_derived(&log, ID, Sequence(4), &mut |_| ()).expect("it works");
    assert_eq!(recovered.tip.sequence, Sequence(4));
    assert_eq!(recovered.tip.hash, hashes[1]);
    assert_eq!(recovered.cut.len(), 1);
}

#[test]
fn the_reject_log_keeps_what_was_refused_and_never_more_than_its_bound() {
    let disk = SimDisk::new();
    let log =
        LogDir::new(disk.shared(), Path::new("data"), LogKind::Rejects, Append::Write, SEGMENT);
    let mut total = 0;
    for life in 0..3_u64 {
        let mut rejects = RejectLog::open(log.clone(), ID, 1, 3).expect("it opens");
        assert_eq!(rejects.written(), Sequence(total));
        for number in 0..400_u64 {
            rejects.push(&Refused {
                // Out of order now and then.
                time: TimeNs(1000 * life + number - number % 7 % (number + 1)),
                reason: RejectReason::Busy,
                protocol: 1,
                connection: 9,
                session: SessionId(2),
                key: KeyId(3),
                client_sequence: number,
                repeats: Sequence::NONE,
                received: &[number as u8; 300],
            });
            total += 1;
            if number % 10 == 9 {
                rejects.flush().expect("the disk works");
            }
        }
        assert_eq!(rejects.dropped(), 0);
        disk.kill();
    }
    let segments = log.segments().expect("it lists");
    assert!(segments.len() <= 3);
    assert!(segments[0].0 > 0, "the oldest were dropped");
    let report = verify(&log, &mut |_| ()).expect("it reads");
    assert!(report.ok);
    assert_eq!(report.last_sequence, Sequence(1200));
    let mut last = None;
    dump(&log, report.first_sequence, report.last_sequence, &mut |record| {
        last = Some(describe(record));
        true
    });
    let last = last.expect("there is one");
    assert_eq!(last.body["reason"], RejectReason::Busy as u16);
    assert_eq!(last.received_bytes, 300);
}

#[test]
fn a_reject_without_space_is_counted_and_nothing_fails() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(SEGMENT / 2));
    let log =
        LogDir::new(disk.shared(), Path::new("data"), LogKind::Rejects, Append::Write, SEGMENT);
    let mut rejects = RejectLog::open(log, ID, 1, 2).expect("it opens");
    let refused = Refused {
        time: TimeNs(5),
        reason: RejectReason::BadHash,
        protocol: 1,
        connection: 0,
        session: SessionId(0),
        key: KeyId(0),
        client_sequence: 0,
        repeats: Sequence::NONE,
        received: b"noise",
    };
    rejects.push(&refused);
    rejects.flush().expect("no fault");
    assert_eq!((rejects.dropped(), rejects.written()), (1, Sequence::NONE));
    disk.set_capacity(None);
    rejects.push(&refused);
    rejects.flush().expect("no fault");
    assert_eq!((rejects.dropped(), rejects.written()), (1, Sequence(1)));
}

#[test]
fn a_dump_decodes_commands_and_payloads() {
    let disk = SimDisk::new();
    let mut journal = on_sim(&disk);
    let deposit =
        Command::from(Deposit { account: AccountId(7), asset: AssetId(1), amount: Amount(-12) });
    let mut payload = vec![];
    deposit.encode(&mut payload);
    let received = [b"id-1".as_slice(), b"desk", &payload].concat();
    let mut fields = RecordFields::new(RecordKind::Command, Sequence(1), TimeNs(1_500_000_000));
    fields.schema = deposit.schema();
    fields.message_id = Part { offset: 0, length: 4 };
    fields.source = Part { offset: 4, length: 4 };
    fields.command = Part { offset: 8, length: payload.len() as u16 };
    journal.builder.begin(Epoch(1), Sequence::NONE);
    journal.builder.push(&fields, &received, None).expect("it is small");
    let tick = RecordFields::new(RecordKind::Tick, Sequence(2), TimeNs(1_500_000_001));
    journal.builder.push(&tick, &[], Some(&77_u64.to_le_bytes())).expect("it is small");
    journal.builder.seal();
    journal.append();
    let mut lines = vec![];
    let end = dump(&journal.log, Sequence(1), Sequence(u64::MAX), &mut |record| {
        lines.push(describe(record));
        true
    });
    assert!(end.error.is_none());
    let json = serde_json::to_value(&lines[0]).expect("it serialises");
    assert_eq!(json["time"], "1970-01-01T00:00:01.500000000Z");
    assert_eq!(json["message_id"], "id-1");
    assert_eq!(json["source"], "desk");
    assert_eq!(json["body"]["command"], "deposit");
    assert_eq!(json["body"]["account"], 7);
    assert_eq!(json["body"]["amount"], "-12");
    assert_eq!(lines[1].body["due_ns"], 77);
    assert!(lines[0].to_string().contains("deposit"));
}
