//! Retention of journal and event log together, through power cuts at every step: whatever is left
//! leads from the oldest snapshot to the same end.

use super::{History, SEGMENT, go_on};
use crate::sim::disk::SimDisk;
use crate::sim::random::Random;
use openoutcry::journal::format::{LogKind, SEGMENT_HEADER_SIZE};
use openoutcry::journal::info::info;
use openoutcry::journal::recovery::{recover, recover_derived};
use openoutcry::journal::retention::readers::{Reader, set};
use openoutcry::journal::retention::{Keeper, Limits, used};
use openoutcry::journal::verify::verify;
use openoutcry::node::boot::{BootError, Booted, Logs, boot};
use openoutcry::node::retention::{Done, RetentionError, RetentionInputs, decide, retire};
use openoutcry::snapshot::fold::{Folder, fold};
use openoutcry::snapshot::store::Store;
use openoutcry::sys::storage::{Append, Storage};
use openoutcry::types::{Sequence, TimeNs};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A node's files: journal and snapshots durable, an event log that nobody has synced.
struct Files {
    disk: SimDisk,
    inputs: RetentionInputs,
}

impl Files {
    fn new(history: &History) -> Files {
        let disk = SimDisk::with_files(history.disk.files());
        let dir = Path::new("data");
        let logs = Logs::new(&disk.shared(), dir, Append::Write, SEGMENT, 1);
        boot(&logs, || unreachable!("the journal is not empty"), &mut |_| ()).expect("it is sound");
        let limits = Limits { bytes: 1, ..Limits::default() };
        let archive = Some(PathBuf::from("shelf"));
        let inputs = RetentionInputs { logs, limits, archive, now: TimeNs(0), live: None };
        Files { disk, inputs }
    }

    fn store(&self) -> Store {
        Store::new(self.disk.shared(), Path::new("data"))
    }

    fn first(&self, kind: LogKind) -> Sequence {
        let logs = &self.inputs.logs;
        let log = if kind == LogKind::Commands { &logs.commands } else { &logs.events };
        info(log).expect("the disk works").first
    }

    /// From the oldest snapshot the journal leads to the history's end, and the event log is there from
    /// where the journal begins to the snapshot at least, whatever the journal has lost.
    fn check(&self, history: &History, what: &str) {
        let logs = &self.inputs.logs;
        for log in [&logs.commands, &logs.events] {
            let report = verify(log, &mut |_| ()).expect("the files can be read");
            assert!(report.ok || log.kind() == LogKind::Events, "{what}: {report:?}");
        }
        let (last, hash, _) = history.batches.last().expect("it is not empty");
        let store = self.store();
        let oldest = store.oldest(&logs.commands, history.id).expect("the disk works");
        let head = oldest.unwrap_or_else(|| panic!("{what}: no snapshot is of use")).head;
        let (snapshot, _) = store.read(head.sequence, &store.path(head.sequence)).expect(what);
        recover(&logs.commands, head.sequence.next(), &mut |_| ()).expect(what);
        let mut folder = Folder::new(snapshot, &logs.commands);
        folder.run(*last, &mut go_on).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(folder.snapshot().state.hash(), *hash, "{what}");
        let events = recover_derived(&logs.events, history.id, *last, &mut |_| ()).expect(what);
        let begin = self.first(LogKind::Commands);
        if begin > Sequence(1) {
            assert!(events.first <= begin, "{what}: events from {} on", events.first);
            assert!(
                events.tip.sequence >= head.sequence,
                "{what}: events to {}",
                events.tip.sequence
            );
        }
    }
}

/// A history of several segments with snapshots at two thirds and near the end.
fn history() -> History {
    let history = History::new(11, 400);
    for part in [2, 3] {
        let at = history.batches[history.batches.len() * part / 3 - 2].0;
        fold(&history.log, &history.store, Some(at), 2, &mut go_on).expect("it is sound");
    }
    history
}

fn gone(done: &Done) -> (usize, usize) {
    (done.plans.commands.plan.count, done.plans.events.plan.count)
}

#[test]
fn no_power_cut_while_segments_are_retired_loses_what_a_replay_needs() {
    let history = history();
    let calm = Files::new(&history);
    let done = retire(&calm.inputs).expect("the disk works");
    assert!(gone(&done).0 > 2 && gone(&done).1 > 0, "{done:?}");
    calm.check(&history, "nothing failed");
    let begins = (calm.first(LogKind::Commands), calm.first(LogKind::Events));
    assert!(begins.1 <= begins.0);
    let mut steps = 0;
    for step in 0.. {
        let mut finished = false;
        for seed in 0..3 {
            let what = format!("step {step}, seed {seed}");
            let files = Files::new(&history);
            files.disk.fail_in(step, io::ErrorKind::Other);
            finished = retire(&files.inputs).is_ok();
            files.disk.lose_power(&mut Random::new(100 * step + seed));
            files.check(&history, &what);
        }
        if finished {
            break;
        }
        steps = step;
    }
    assert!(steps > 40, "steps were left out: {steps}");
}

#[test]
fn everybody_who_needs_a_record_keeps_it() {
    let history = history();
    let files = Files::new(&history);
    let oldest = files.store().list().expect("the disk works")[0].clone();
    let storage: Arc<dyn Storage> = files.disk.shared();
    let keeper = || {
        let plans = decide(&files.inputs).expect("the disk works");
        let held = plans.commands.plan.held.expect("the newest segment stays at least");
        // The next one that stays is the first with a record that is needed.
        let next = &plans.commands.segments[plans.commands.plan.count];
        assert!(next.last > held.1.upto, "{next:?} {held:?}");
        (held.1.keeper, next.first)
    };
    let (who, begin) = keeper();
    assert_eq!(who, Keeper::Snapshot(oldest.0));
    assert!(begin <= oldest.0, "the batch that the snapshot ends with is kept");
    // A reader that is behind the snapshot, and one that is not.
    let reader = |name: &str, sequence| {
        let reader = Reader { name: name.to_owned(), log: LogKind::Commands, sequence };
        set(&*storage, Path::new("data"), &reader).expect("the disk works");
    };
    reader("ahead", Sequence(oldest.0.0 + 1));
    assert_eq!(keeper(), (who, begin));
    reader("behind", Sequence(30));
    assert_eq!(keeper(), (Keeper::Reader("behind".to_owned(), Sequence(30)), Sequence(1)));
    reader("behind", oldest.0);
    // The oldest snapshot is damaged: the one behind it is the oldest sound one, and leads on.
    let file = files.disk.open(&oldest.1, Append::Write).expect("it is there");
    file.write_at(&[0; 64], 300).expect("the disk works");
    let newest = files.store().list().expect("the disk works")[1].0;
    reader("behind", newest);
    reader("ahead", newest);
    let (_, later) = keeper();
    assert!(begin < later && later <= newest, "{begin}, then {later}");
    // No sound one: everything is needed.
    let path = files.store().path(newest);
    files.disk.open(&path, Append::Write).expect("there").write_at(&[0; 64], 300).expect("works");
    assert_eq!(keeper(), (Keeper::NoSnapshot, Sequence(1)));
    let done = retire(&files.inputs).expect("the disk works");
    assert_eq!(gone(&done), (0, 0));
    // Nobody knows what a reader needs.
    let path = Path::new("data/readers/broken.json");
    let broken = files.disk.create(path, Append::Write).expect("the disk works");
    broken.allocate(0, 2).expect("the disk works");
    assert!(matches!(retire(&files.inputs), Err(RetentionError::Readers(_))));
}

/// The files below a directory.
fn below(disk: &SimDisk, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    disk.files().into_iter().filter(|(path, _)| path.starts_with(dir)).collect()
}

impl Files {
    /// The same files, changed.
    fn changed(&self, change: impl Fn(&mut Vec<(PathBuf, Vec<u8>)>)) -> Files {
        let mut all = self.disk.files();
        change(&mut all);
        let disk = SimDisk::with_files(all);
        let logs = Logs::new(&disk.shared(), Path::new("data"), Append::Write, SEGMENT, 1);
        Files { inputs: RetentionInputs { logs, ..self.inputs.clone() }, disk }
    }

    /// The event log's segments, oldest first, with the sequence that each begins with.
    fn event_segments(&self) -> Vec<(PathBuf, Sequence)> {
        let events = &self.inputs.logs.events;
        let segments = used(events).expect("it is sound");
        segments.iter().map(|at| (events.segment_path(at.index), at.first)).collect()
    }

    fn oldest(&self) -> Sequence {
        self.store().list().expect("the disk works")[0].0
    }

    fn start(&self) -> Result<Booted, BootError> {
        boot(&self.inputs.logs, || unreachable!("the journal is not empty"), &mut |_| ())
    }
}

/// A flipped bit in the first batch of a segment.
fn flip(all: &mut [(PathBuf, Vec<u8>)], segment: &Path) {
    let found = all.iter_mut().find(|(path, _)| path == segment).expect("it is there");
    found.1[SEGMENT_HEADER_SIZE + 150] ^= 1;
}

/// A start without the first record needs a snapshot that the event log leads on from, whatever a power
/// cut takes of it.
#[test]
fn no_snapshot_goes_before_the_event_log_is_durable_up_to_those_that_stay() {
    let history = history();
    for seed in 0..8 {
        let files = Files::new(&history);
        retire(&files.inputs).expect("the disk works");
        let logs = &files.inputs.logs;
        let folded = fold(&logs.commands, &files.store(), None, 1, &mut go_on).expect("it folds");
        assert_eq!((folded.removed, folded.waits), (1, false));
        files.disk.lose_power(&mut Random::new(seed));
        files.check(&history, &format!("seed {seed}"));
    }
    // An event log that ends before the one that is to stay.
    let whole = Files::new(&history);
    retire(&whole.inputs).expect("the disk works");
    let (oldest, segments) = (whole.oldest(), whole.event_segments());
    let short = whole.changed(|all| {
        let gone = segments.iter().filter(|(_, first)| *first > oldest);
        let gone: Vec<&PathBuf> = gone.map(|(path, _)| path).collect();
        all.retain(|(path, _)| !gone.contains(&path));
    });
    let fold = || {
        let logs = &short.inputs.logs;
        fold(&logs.commands, &short.store(), None, 1, &mut go_on).expect("it folds")
    };
    let folded = fold();
    assert_eq!((folded.removed, folded.waits, short.oldest()), (0, true, oldest));
    assert_eq!(short.start().expect("the older one serves").snapshot, oldest);
    let folded = fold();
    assert_eq!((folded.removed, folded.waits), (1, false), "the start has completed it");
}

#[test]
fn a_damaged_event_log_is_cut_only_where_a_snapshot_leads_on_from_what_is_left() {
    let history = history();
    let files = Files::new(&history);
    retire(&files.inputs).expect("the disk works");
    let (oldest, segments) = (files.oldest(), files.event_segments());
    let end = &history.batches.last().expect("it is not empty").1;
    // Behind the oldest snapshot: that one serves, and the event log is as it was in the end.
    let newest = files.store().list().expect("the disk works")[1].0;
    let later = segments.iter().rev().find(|(_, first)| *first <= newest);
    let (later, first) = later.expect("one holds it");
    assert!(*first > oldest, "the two snapshots are in segments of their own");
    let damaged = files.changed(|all| flip(all, later));
    let booted = damaged.start().expect("the oldest one serves");
    assert_eq!((booted.snapshot, &booted.state.hash()), (oldest, end));
    drop(booted);
    assert!(verify(&damaged.inputs.logs.events, &mut |_| ()).expect("it reads").ok);

    // Before the newest one and before the oldest, or all of it: nothing leads on, and nothing is
    // changed.
    let (holds, _) = segments.iter().rev().find(|(_, first)| *first <= oldest).expect("one does");
    let before = files.changed(|all| [holds, later].iter().for_each(|path| flip(all, path)));
    let lost = files.changed(|all| all.retain(|(path, _)| !path.starts_with("data/events")));
    for (damaged, segment) in [(before, holds), (lost, &PathBuf::from("0"))] {
        let kept = below(&damaged.disk, "data/events");
        let error = damaged.start().err().expect("nothing leads on from there");
        assert!(matches!(error, BootError::EventLogLost { .. }), "{error}");
        let text = error.to_string();
        let number = segment.file_stem().and_then(|name| name.to_str()).expect("a number");
        let number: u64 = number.parse().expect("a number");
        let words = ["data/events", &format!("segment {number}, offset"), "of a copy"];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(below(&damaged.disk, "data/events") == kept, "it is as it was");
        assert!(below(&damaged.disk, "data/archive").is_empty(), "nothing was cut");
        // What the text says: the event log of a copy.
        let copy = below(&files.disk, "data/events");
        let mended = damaged.changed(|all| {
            all.retain(|(path, _)| !path.starts_with("data/events"));
            all.extend(copy.iter().cloned());
        });
        assert_eq!(&mended.start().expect("the copy serves").state.hash(), end);
    }
}

/// An event log that has not come to the snapshot is made of the journal's oldest records.
#[test]
fn the_journal_waits_for_the_event_log() {
    let history = history();
    let mut files = Files::new(&history);
    let kept = files.disk.files().into_iter().filter(|(path, _)| !path.starts_with("data/events"));
    files.disk = SimDisk::with_files(kept);
    let disk = files.disk.shared();
    files.inputs.logs = Logs::new(&disk, Path::new("data"), Append::Write, SEGMENT, 1);
    let plans = decide(&files.inputs).expect("the disk works");
    let held = plans.commands.plan.held.expect("nothing may go");
    assert_eq!((plans.commands.plan.count, held.1.keeper), (0, Keeper::EventLog));
}
