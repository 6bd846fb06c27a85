//! Power cuts, kills, failed writes and failed syncs at any point of a journal's life, recovery
//! included: what was durable stays, what is there is what was written, in order, without a gap.

use crate::sim::disk::SimDisk;
use crate::sim::random::{Random, seeds};
use openoutcry::event::{Event, EventBody, SessionChange};
use openoutcry::journal::batch::{BatchBuilder, RecordFields};
use openoutcry::journal::event_log::{EventFollower, EventLogWriter};
use openoutcry::journal::format::{Hash, JournalId, LogKind, RecordKind};
use openoutcry::journal::reader::Reader;
use openoutcry::journal::recovery::{Recovered, RecoveryError, recover, recover_derived};
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::view::Verify;
use openoutcry::journal::writer::{Appended, Syncer, Writer};
use openoutcry::sys::storage::Append;
use openoutcry::types::{Epoch, Sequence, SessionId, TimeNs};
use std::io;
use std::path::Path;

const ID: JournalId = JournalId([3; 16]);

fn log(disk: &SimDisk, kind: LogKind, segment_size: u64) -> LogDir {
    LogDir::new(disk.shared(), Path::new("data"), kind, Append::Write, segment_size)
}

/// What an outside ledger knows of the journal.
#[derive(Default)]
struct Ledger {
    /// Payload, time and epoch of every record written, by sequence - 1.
    records: Vec<(Vec<u8>, TimeNs, Epoch)>,
    /// Last sequence and hash of every batch written.
    batches: Vec<(Sequence, Hash)>,
    durable: Sequence,
}

impl Ledger {
    /// Compares with what recovery found, and forgets what is lost.
    fn settle(&mut self, log: &LogDir, recovered: &Recovered) {
        let tip = recovered.tip.sequence;
        assert!(tip >= self.durable, "durable up to {}, recovered up to {tip}", self.durable);
        self.batches.retain(|(last, _)| *last <= tip);
        assert_eq!(self.batches.last().map_or(0, |batch| batch.0.0), tip.0, "a batch is atomic");
        if let Some((_, hash)) = self.batches.last() {
            assert_eq!(recovered.tip.hash, *hash);
        }
        self.records.truncate(tip.0 as usize);
        self.durable = tip;
        let mut reader = Reader::new(log.clone(), Sequence(1), Verify::Chain);
        for (index, (payload, time, epoch)) in self.records.iter().enumerate() {
            let record = reader.next_record(tip).expect("it is sound").expect("it is there");
            assert_eq!(record.sequence().0, index as u64 + 1);
            assert_eq!(record.command(), payload);
            assert_eq!((record.time(), record.epoch()), (*time, *epoch));
        }
        assert!(reader.next_record(tip).expect("it is sound").is_none());
    }
}

/// Recovers, through crashes of recovery itself.
fn recovered(disk: &SimDisk, log: &LogDir, random: &mut Random) -> Recovered {
    loop {
        if random.percent(40) {
            disk.fail_in(random.below(8), io::ErrorKind::Other);
        }
        match recover(log, Sequence(1), &mut |_| ()) {
            Ok(recovered) => {
                disk.kill();
                let again =
                    recover(log, Sequence(1), &mut |_| ()).expect("what was recovered is sound");
                assert_eq!(again.tip, recovered.tip);
                assert_eq!(again.end, recovered.end);
                assert!(again.cut.is_empty(), "nothing is cut twice");
                return again;
            }
            Err(RecoveryError::Io { .. }) if random.percent(50) => disk.kill(),
            Err(RecoveryError::Io { .. }) => disk.lose_power(random),
            Err(damage) => panic!("no crash leaves damage behind: {damage}"),
        }
    }
}

/// One life of the process: writes and syncs until it is killed or something fails.
fn live(disk: &SimDisk, log: &LogDir, ledger: &mut Ledger, random: &mut Random) {
    let recovered = recovered(disk, log, random);
    ledger.settle(log, &recovered);
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 2);
    let mut writer = Writer::new(log.clone(), ID, 1, &recovered, prepared).expect("it opens");
    let mut syncer = Syncer::new(recovered.tip.sequence);
    let mut builder = BatchBuilder::new(LogKind::Commands, ID, recovered.tip);
    let (mut epoch, mut time) = (Epoch(recovered.tip.epoch.0 + 1), recovered.tip.time);
    if random.percent(50) {
        disk.fail_in(random.below(60), io::ErrorKind::Other);
    }
    for _ in 0..random.below(40) {
        if random.percent(30) && preparer.do_work().is_err() {
            return;
        }
        if random.percent(60) && builder.sealed().is_empty() {
            epoch.0 += u64::from(random.percent(5));
            for _ in 0..=random.below(3) {
                push_batch(&mut builder, epoch, &mut time, syncer.durable(), ledger, random);
            }
        }
        if !builder.sealed().is_empty() {
            match writer.append(builder.sealed()) {
                Ok(Appended::Written) => builder.clear(),
                Ok(Appended::NotReady) => {
                    if preparer.run().is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
        if random.percent(40) {
            while let Some(job) = writer.take_sync() {
                match syncer.sync(&job) {
                    Ok(durable) => ledger.durable = durable,
                    Err(_) => {
                        assert!(syncer.sync(&job).is_err(), "a failed sync is final");
                        return;
                    }
                }
            }
            assert!(ledger.durable <= writer.written());
        }
    }
}

fn push_batch(
    builder: &mut BatchBuilder,
    epoch: Epoch,
    time: &mut TimeNs,
    durable: Sequence,
    ledger: &mut Ledger,
    random: &mut Random,
) {
    builder.begin(epoch, durable);
    let mut sequence = builder.tip().sequence;
    for _ in 0..=random.below(4) {
        sequence = sequence.next();
        time.0 += random.below(10);
        let size = if random.percent(10) { random.below(2000) } else { random.below(100) };
        let payload: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
        let fields = RecordFields::new(RecordKind::Admin, sequence, *time);
        builder.push(&fields, &[], Some(&payload)).expect("the batch is small");
        ledger.records.push((payload, *time, epoch));
    }
    let sealed = builder.seal();
    ledger.batches.push((sealed.last, sealed.hash));
}

#[test]
fn no_crash_at_any_point_loses_what_was_durable() {
    seeds("journal crash", |seed| {
        let mut random = Random::new(seed);
        let disk = SimDisk::new();
        let log = log(&disk, LogKind::Commands, 4096 * (4 + random.below(4)));
        let mut ledger = Ledger::default();
        for _ in 0..2 + random.below(5) {
            live(&disk, &log, &mut ledger, &mut random);
            if random.percent(50) { disk.kill() } else { disk.lose_power(&mut random) }
        }
        let last = recovered(&disk, &log, &mut random);
        ledger.settle(&log, &last);
    });
}

/// A sync failed while recovery zeroed a cut, so the page cache showed zeros that the disk did not
/// hold; the next recovery saw nothing to cut, and after a power cut the old bytes stood behind newer
/// records as if they had been durable. A cut is pending now until its zeros are synced.
#[test]
fn zeros_that_a_failed_sync_left_in_the_page_cache_are_written_again() {
    for failing in 0..12 {
        let disk = SimDisk::new();
        let log_again = |disk: &SimDisk| log(disk, LogKind::Commands, 8192);
        let log = log_again(&disk);
        let write = |sizes: &[usize]| {
            let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("a tail at most");
            let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 2);
            preparer.run().expect("the disk works");
            let mut writer =
                Writer::new(log.clone(), ID, 1, &recovered, prepared).expect("it opens");
            let mut builder = BatchBuilder::new(LogKind::Commands, ID, recovered.tip);
            for size in sizes {
                builder.begin(Epoch(1), Sequence::NONE);
                let sequence = builder.tip().sequence.next();
                let fields = RecordFields::new(RecordKind::Admin, sequence, TimeNs(1));
                builder.push(&fields, &[], Some(&vec![1; *size])).expect("it is small");
                builder.seal();
                assert_eq!(writer.append(builder.sealed()).expect("works"), Appended::Written);
                builder.clear();
            }
            while let Some(job) = writer.take_sync() {
                Syncer::default().sync(&job).expect("the disk works");
            }
        };
        // The second batch rolls to the next segment, and only that segment's header survives.
        write(&[2000, 3000]);
        let mut files = disk.files();
        files[1].1[4096..].fill(0);
        let disk = SimDisk::with_files(files);
        let log = log_again(&disk);
        disk.fail_in(failing, io::ErrorKind::Other);
        let _ = recover(&log, Sequence(1), &mut |_| ());
        disk.kill();
        let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("a tail at most");
        assert_eq!(recovered.tip.sequence, Sequence(1));
        // A batch that still fits into the first segment.
        let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 2);
        preparer.run().expect("the disk works");
        let mut writer = Writer::new(log.clone(), ID, 1, &recovered, prepared).expect("it opens");
        let mut builder = BatchBuilder::new(LogKind::Commands, ID, recovered.tip);
        builder.begin(Epoch(1), Sequence(1));
        let fields = RecordFields::new(RecordKind::Admin, Sequence(2), TimeNs(1));
        builder.push(&fields, &[], Some(b"short")).expect("it is small");
        builder.seal();
        assert_eq!(writer.append(builder.sealed()).expect("it works"), Appended::Written);
        let job = writer.take_sync().expect("it is dirty");
        Syncer::default().sync(&job).expect("the disk works");
        disk.lose_power(&mut Random::new(failing));
        let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("no damage");
        assert_eq!(recovered.tip.sequence, Sequence(2), "failing step {failing}");
    }
}

/// What is replayed into an event log.
#[derive(Clone, Copy)]
struct Replay {
    segment_size: u64,
    /// Events of one command in the middle.
    largest: u32,
}

const SMALL: Replay = Replay { segment_size: 32 * 1024, largest: 150 };
/// One command has so many events that its batch goes on in further parts, and in other segments.
const LARGE: Replay = Replay { segment_size: 3 * 1024 * 1024, largest: 60_000 };

fn events_of(sequence: Sequence, replay: Replay) -> Vec<Event> {
    let count = match sequence.0 % 7 {
        _ if sequence.0 == 20 => replay.largest,
        0 => 0,
        6 => 1 + sequence.0 as u32,
        _ => 2,
    };
    let event = |index| Event {
        sequence,
        index,
        last: index + 1 == count,
        body: EventBody::Session(SessionChange {
            session: SessionId(index),
            active: true,
            outbound: sequence.0,
        }),
    };
    (0..count).map(event).collect()
}

/// The journal's batches of the event-log test: fixed, as a journal's are.
fn journal_batches() -> Vec<(Sequence, Sequence)> {
    let mut random = Random::new(1);
    let mut batches = vec![];
    let mut first = Sequence(1);
    for _ in 0..30 {
        let last = Sequence(first.0 + random.below(4));
        batches.push((first, last));
        first = last.next();
    }
    batches
}

/// Replays the journal up to `end` into an event log, with crashes; false where one happened.
fn replay_events(
    replay: Replay,
    disk: &SimDisk,
    end: usize,
    random: &mut Random,
) -> io::Result<Hash> {
    let log = log(disk, LogKind::Events, replay.segment_size);
    let batches = journal_batches();
    let journal_end = batches[..end].last().map_or(Sequence::NONE, |batch| batch.1);
    let failed = |error: RecoveryError| io::Error::other(error);
    let recovered = recover_derived(&log, ID, journal_end, &mut |_| ()).map_err(failed)?;
    assert!(recovered.tip.sequence <= journal_end);
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    let mut events =
        EventLogWriter::new(log.clone(), ID, 1, &recovered, prepared).map_err(io::Error::other)?;
    let mut syncer = Syncer::new(recovered.tip.sequence);
    for (first, last) in &batches[..end] {
        if *first > events.complete() {
            events.builder().begin_batch(*first, Epoch(1));
            for sequence in first.0..=last.0 {
                events.builder().push(TimeNs(sequence), &events_of(Sequence(sequence), replay));
            }
            events.builder().end_batch(*last);
        }
        while events.flush().map_err(io::Error::other)? == Appended::NotReady {
            preparer.run()?;
        }
        if random.percent(20) {
            while let Some(job) = events.take_sync() {
                syncer.sync(&job).map_err(io::Error::other)?;
            }
        }
    }
    assert_eq!(events.complete(), journal_end);
    let mut follower = EventFollower::new(log, Sequence(1), Verify::Chain);
    for sequence in 1..=journal_end.0 {
        for expected in events_of(Sequence(sequence), replay) {
            let event = follower.next_event(journal_end).map_err(io::Error::other)?;
            assert_eq!(event, Some(expected));
        }
    }
    assert_eq!(follower.next_event(journal_end).map_err(io::Error::other)?, None);
    Ok(*events.chain_hash())
}

fn crash_and_compare(name: &str, replay: Replay) {
    let calm = SimDisk::new();
    let end = journal_batches().len();
    let hash = replay_events(replay, &calm, end, &mut Random::new(0)).expect("nothing fails");
    let used = |disk: &SimDisk| -> Vec<_> {
        let files = disk.files().into_iter();
        // How many segments are prepared ahead is no part of the log.
        files.filter(|(path, bytes)| path.starts_with("data/events") && bytes[0] != 0).collect()
    };
    let files = used(&calm);
    assert!(files.len() > 1, "it rolls");
    seeds(name, |seed| {
        let mut random = Random::new(seed);
        let disk = SimDisk::new();
        for _ in 0..1 + random.below(4) {
            disk.fail_in(random.below(100), io::ErrorKind::Other);
            let until = random.below(end as u64 + 1) as usize;
            // Whether it ended well or not, the process is gone now.
            let _ = replay_events(replay, &disk, until, &mut random);
            if random.percent(50) { disk.kill() } else { disk.lose_power(&mut random) }
        }
        let last = replay_events(replay, &disk, end, &mut random).expect("nothing fails");
        assert_eq!(last, hash);
        assert!(used(&disk) == files, "the files differ");
    });
}

#[test]
fn an_event_log_comes_out_byte_for_byte_the_same_through_any_crashes() {
    crash_and_compare("event log crash", SMALL);
}

#[test]
fn a_batch_of_events_in_several_parts_is_there_whole_or_not_at_all() {
    crash_and_compare("event log crash in parts", LARGE);
}
