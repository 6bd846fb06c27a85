//! Every byte of the journal and the snapshots of a real node's life flipped, zeroed or cut off, with
//! and without the prepared space behind.
//!
//! `journal_damage` does the same with a journal made for it, and judges more of it; here the state
//! that comes of it is judged too.

use crate::journal_damage::{Expected, Files, batches, expected, places};
use crate::power_loss::{Life, Whole, logs, store};
use crate::sim::disk::SimDisk;
use openoutcry::journal::recovery::{RecoveryError, recover};
use openoutcry::node::boot::{BootError, boot};
use openoutcry::publish::gate::AckPolicy;
use openoutcry::types::Sequence;
use std::path::{Path, PathBuf};

/// Of so many places at one of them a whole node is started.
const START_EVERY: usize = 61;

type Damage = (&'static str, fn(&mut Vec<u8>, usize));

/// What can befall a byte and what stands behind it.
const DAMAGES: [Damage; 4] = [
    ("flipped", |bytes, at| bytes[at] ^= 1 << (at % 8)),
    ("cut off", |bytes, at| bytes.truncate(at)),
    ("zeros to the end", |bytes, at| bytes[at..].fill(0)),
    ("a sector of zeros", |bytes, at| {
        let end = (at + 512).min(bytes.len());
        bytes[at..end].fill(0);
    }),
];

/// The files of a node that traded and folded two snapshots, and what they hold.
struct Original {
    all: Files,
    whole: Whole,
    last: Sequence,
    snapshots: Vec<Sequence>,
}

impl Original {
    fn new() -> Original {
        let life = Life::until(AckPolicy::Disk, None);
        let last = life.bench.node.stages.cursors.written.get();
        let whole = Whole::read(&life.bench.disk, last);
        let snapshots = life.snapshots[life.snapshots.len() - 2..].to_vec();
        assert!(snapshots[0] < snapshots[1] && snapshots[1] < last);
        Original { all: life.bench.disk.files(), whole, last, snapshots }
    }

    fn below(&self, dir: &str) -> Files {
        let below = |(path, _): &&(PathBuf, Vec<u8>)| path.starts_with(Path::new("data").join(dir));
        self.all.iter().filter(below).cloned().collect()
    }
}

#[test]
fn every_byte_of_a_real_journal_damaged_gives_the_sound_prefix_or_a_refusal() {
    let original = Original::new();
    let journal = original.below("commands");
    let batches = batches(&journal);
    assert_eq!(batches.last().map(|batch| batch.last), Some(original.last.0));
    let (mut prefixes, mut refusals, mut starts) = (0, 0, 0);
    for (number, (file, at)) in places(&journal).into_iter().enumerate() {
        for (what, damage) in DAMAGES {
            let mut damaged = journal.clone();
            damage(&mut damaged[file].1, at);
            if damaged == journal {
                continue;
            }
            let place = format!("{what} at segment {file}, byte {at}");
            let expected = expected(&journal, &damaged, &batches);
            let disk = SimDisk::with_files(damaged.clone());
            let tip = match recover(&logs(&disk).commands, Sequence(1), &mut |_| ()) {
                Ok(recovered) => Expected::Prefix(recovered.tip.sequence.0),
                Err(RecoveryError::Damage { .. }) => Expected::Damage,
                Err(other) => panic!("{place}: {other}"),
            };
            assert_eq!(tip, expected, "{place}");
            prefixes += u64::from(expected != Expected::Damage);
            refusals += u64::from(expected == Expected::Damage);
            // A start on an emptied journal would be a first one.
            if number % START_EVERY != 0 || expected == Expected::Prefix(0) {
                continue;
            }
            starts += 1;
            let disk = SimDisk::with_files(damaged);
            match boot(&logs(&disk), || unreachable!("there is a journal"), &mut |_| ()) {
                Ok(booted) => {
                    let tip = booted.state.order.last;
                    assert_eq!(Expected::Prefix(tip.0), expected, "{place}");
                    let state = original.whole.states.get(&tip);
                    assert_eq!(state, Some(&booted.state.hash()), "{place}");
                }
                Err(BootError::Recovery(RecoveryError::Damage { .. })) => {
                    assert_eq!(expected, Expected::Damage, "{place}");
                }
                Err(other) => panic!("{place}: {other}"),
            }
        }
    }
    assert!(prefixes > 1000 && refusals > 1000 && starts > 100, "{prefixes} {refusals} {starts}");
}

#[test]
fn every_byte_of_a_real_snapshot_damaged_makes_the_one_before_serve() {
    let original = Original::new();
    let [previous, newest] = original.snapshots[..] else { panic!("two are kept") };
    let name = store(&SimDisk::new()).path(newest);
    let (journal, events) = (original.below("commands"), original.below("events"));
    let id = {
        let disk = SimDisk::with_files(journal.clone());
        recover(&logs(&disk).commands, Sequence(1), &mut |_| ()).expect("sound").id.expect("an id")
    };
    let whole = original.below("snapshots");
    let file = whole.iter().position(|(path, _)| *path == name).expect("the newest one");
    let size = whole[file].1.len();
    for at in 0..size {
        for (what, damage) in DAMAGES {
            let mut damaged = whole.clone();
            damage(&mut damaged[file].1, at);
            if damaged == whole {
                continue;
            }
            let place = format!("{what} at byte {at} of {size}");
            let others = [&journal, &events].into_iter().flatten().cloned();
            let disk = SimDisk::with_files(others.chain(damaged));
            let found = store(&disk).load(&logs(&disk).commands, id, Sequence(u64::MAX));
            let found = found.expect("it lists");
            let (snapshot, ..) = found.snapshot.unwrap_or_else(|| panic!("{place}: none is left"));
            assert_eq!(snapshot.sequence(), previous, "{place}");
            assert_eq!(found.skipped.len(), 1, "{place}: it is told which one does not serve");
            assert_eq!((&found.skipped[0].path, found.skipped[0].sequence), (&name, newest));
            if at % START_EVERY != 0 {
                continue;
            }
            let state = original.whole.states.get(&previous);
            assert_eq!(Some(&snapshot.state.hash()), state, "{place}");
            let booted = boot(&logs(&disk), || unreachable!("there is a journal"), &mut |_| ());
            let booted = booted.unwrap_or_else(|error| panic!("{place}: {error}"));
            assert_eq!(booted.snapshot, previous, "{place}");
            assert_eq!(booted.state.order.last, original.last, "{place}");
            let state = original.whole.states.get(&original.last);
            assert_eq!(Some(&booted.state.hash()), state, "{place}");
        }
    }
}
