//! Retention of journal and event log together, through power cuts at every step: whatever is left
//! leads from the oldest snapshot to the same end.

use super::{History, SEGMENT, go_on};
use crate::sim::disk::SimDisk;
use crate::sim::random::Random;
use openoutcry::journal::format::LogKind;
use openoutcry::journal::info::info;
use openoutcry::journal::recovery::{recover, recover_derived};
use openoutcry::journal::retention::readers::{Reader, set};
use openoutcry::journal::retention::{Keeper, Limits};
use openoutcry::journal::verify::verify;
use openoutcry::node::boot::{Logs, boot};
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
