//! The power goes at every call of the disk in a small history of a whole node, its snapshots
//! included, and of what was not synced then any part may be left.
//!
//! Long histories, with seeds and crashes of the start as well, are the simulation's.
//!
//! Invariants: whatever is left, the node starts; what it finds is what was written, in order, up to
//! some record; under `disk` nothing acknowledged is behind that record, under `memory` nothing that
//! was known to be durable; a snapshot with a name is sound, is of that same history, and those that
//! were written before are still there.

use crate::sim::bench::{Bench, KEY, account, framed, order_of};
use crate::sim::disk::{Left, SimDisk, Unsynced};
use openoutcry::command::{CancelOrder, Command};
use openoutcry::journal::format::{LogKind, crc64};
use openoutcry::journal::reader::Reader;
use openoutcry::journal::segment::LogDir;
use openoutcry::journal::view::Verify;
use openoutcry::node::boot::{Logs, boot};
use openoutcry::node::state::State;
use openoutcry::publish::gate::AckPolicy;
use openoutcry::snapshot::fold::{fold, fold_stopped};
use openoutcry::snapshot::store::Store;
use openoutcry::sys::storage::Append;
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, OrderId, Priority, Sequence, Side,
};
use openoutcry::wire::answer::Answer;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

/// Sectors of which every subset is tried; of more, those that lack or have one alone.
const SUBSETS_MAX: usize = 5;
/// The agent that syncs, and the turns after which it has its own.
const SYNC: usize = 5;
const SYNC_EVERY: usize = 3;
/// Snapshots that are kept.
const KEEP: usize = 2;

pub(crate) fn logs(disk: &SimDisk) -> Logs {
    let log = |kind, size: u64| {
        LogDir::new(disk.shared(), Path::new("data"), kind, Append::Write, size * 1024)
    };
    Logs {
        commands: log(LogKind::Commands, 64),
        events: log(LogKind::Events, 128),
        rejects: log(LogKind::Rejects, 128),
        snapshots: store(disk),
        segments_ahead: 1,
    }
}

pub(crate) fn store(disk: &SimDisk) -> Store {
    Store::new(disk.shared(), Path::new("data"))
}

/// What somebody outside knows of a life when the power goes.
pub(crate) struct Life {
    pub(crate) bench: Bench,
    /// Every answer that a client has.
    acknowledged: Vec<Answer>,
    /// The snapshots whose writing had returned.
    pub(crate) snapshots: Vec<Sequence>,
    /// Calls of the disk in it.
    calls: u64,
}

impl Life {
    /// Lives until the power goes at this call, or to its end.
    pub(crate) fn until(policy: AckPolicy, cut: Option<u64>) -> Life {
        let bench = Bench::new(|setup| {
            setup.policy = policy;
            setup.sync_interval_ns = 4_000_000;
        });
        let mut life = Life { bench, acknowledged: vec![], snapshots: vec![], calls: 0 };
        let (peer, _) = life.bench.live("a");
        let before = life.bench.disk.steps();
        if let Some(cut) = cut {
            life.bench.disk.cut_in(cut);
        }
        // False ends it: the node has stopped itself.
        let _ = life.trade(peer);
        life.calls = life.bench.disk.steps() - before;
        life
    }

    fn trade(&mut self, peer: usize) -> bool {
        let orders = |numbers: std::ops::Range<u64>, side| {
            numbers.flat_map(|number| order_of(number, side, 2)).collect::<Vec<u8>>()
        };
        self.send(peer, &orders(1..4, Side::Buy), 7)
            && self.send(peer, &order_of(4, Side::Sell, 3), 14)
            && self.fold()
            && self.send(peer, &cancel(5), 4)
            && self.send(peer, &orders(6..8, Side::Buy), 14)
            && self.fold()
            && self.send(peer, &orders(8..10, Side::Sell), 14)
            && self.fold()
            && self.send(peer, &orders(10..14, Side::Buy), 5)
    }

    fn send(&mut self, peer: usize, frames: &[u8], turns: usize) -> bool {
        self.bench.send(peer, frames);
        (0..turns).all(|turn| {
            // A sync takes a while, in which everybody else goes on.
            let syncs = turn % SYNC_EVERY == SYNC_EVERY - 1;
            let agents = (0..self.bench.node.agents()).filter(|agent| syncs || *agent != SYNC);
            let goes_on = self.bench.try_turn(agents.collect::<Vec<_>>());
            self.acknowledged.extend(self.bench.answers(peer));
            goes_on
        })
    }

    fn fold(&mut self) -> bool {
        let Bench { disk, logs, .. } = &self.bench;
        let store = store(disk);
        let folded = fold(&logs.commands, &store, None, KEEP, &mut |_| ControlFlow::Continue(()));
        let Ok(folded) = folded else {
            assert!(disk.is_cut(), "nothing else hinders it");
            return false;
        };
        assert!(folded.skipped.is_empty());
        self.snapshots.push(folded.sequence);
        true
    }
}

fn cancel(number: u64) -> Vec<u8> {
    let command = CancelOrder {
        account: AccountId(account()),
        instrument: InstrumentId(1),
        order_id: OrderId(0),
        orig_client_order_id: ClientOrderId(0),
    };
    framed(number, Priority::Normal, &Command::from(command), Some(KEY))
}

/// The whole history: fingerprints of its records, and the state after each batch.
pub(crate) struct Whole {
    records: Vec<u64>,
    pub(crate) states: BTreeMap<Sequence, String>,
}

impl Whole {
    pub(crate) fn read(disk: &SimDisk, last: Sequence) -> Whole {
        let (mut state, mut outbox) = (State::new(), openoutcry::exchange::Outbox::new());
        let mut whole = Whole { records: vec![], states: BTreeMap::new() };
        let mut reader = Reader::new(logs(disk).commands, Sequence(1), Verify::Chain);
        while let Some(batch) = reader.next_batch(last).expect("it is sound") {
            for record in batch.records() {
                whole.records.push(crc64(record.bytes()));
                state.apply(&record, &mut outbox).expect("this release's own");
            }
            whole.states.insert(batch.last(), state.hash());
        }
        whole
    }

    /// Starts a node on what is left, and holds it against the history.
    fn check(&self, disk: &SimDisk, policy: AckPolicy, life: &Life, durable: Sequence) {
        let found = boot(&logs(disk), || unreachable!("genesis is durable"), &mut |_| ());
        let found = found.expect("a power cut is no damage");
        let tip = found.state.order.last;
        assert_eq!(self.states.get(&tip), Some(&found.state.hash()), "the state at {tip}");
        assert_eq!(Whole::read(disk, tip).records, self.records[..tip.0 as usize], "a prefix");
        assert!(tip >= durable, "durable up to {durable}, {tip} is left");
        if policy == AckPolicy::Disk {
            let lost = life.acknowledged.iter().find(|answer| answer.sequence > tip);
            assert!(lost.is_none(), "acknowledged and lost: {lost:?}, {tip} is left");
        }
        drop(found);
        let (journal, store) = (logs(disk).commands, store(disk));
        let listed = store.list().expect("it lists");
        for (sequence, path) in &listed {
            let (read, _) = store.read(*sequence, path).expect("what has a name is sound");
            assert!(*sequence <= tip, "a snapshot is never ahead of the journal");
            assert_eq!(Some(&read.state.hash()), self.states.get(sequence));
        }
        let kept = &life.snapshots[life.snapshots.len().saturating_sub(KEEP)..];
        // The oldest one may just be on its way out.
        let newest = kept.last().copied().unwrap_or_default();
        let newer = listed.iter().any(|(sequence, _)| *sequence >= newest);
        assert!(kept.is_empty() || newer, "the snapshots of before are there: {kept:?}");
        let go_on = &mut |_| ControlFlow::Continue(());
        let folded = fold_stopped(&journal, &store, None, KEEP, go_on).expect("it folds");
        assert_eq!(folded.sequence, tip);
        assert!(folded.from >= newest && folded.skipped.is_empty());
        let (read, _) = store.read(tip, &folded.path).expect("it was just written");
        assert_eq!(Some(&read.state.hash()), self.states.get(&tip), "a snapshot and what follows");
    }
}

/// What a power cut may leave: every subset of few sectors, and of many each alone and all but each;
/// each of them whole, one of them torn; every number of names; files longer and not.
fn outcomes(unsynced: &Unsynced) -> Vec<Left> {
    let count = unsynced.sectors.len();
    let all = || (0..count).collect::<Vec<_>>();
    let mut sets: Vec<Vec<usize>> = vec![vec![], all()];
    if count <= SUBSETS_MAX {
        let subset = |bits: usize| (0..count).filter(|place| bits & (1 << place) != 0).collect();
        sets = (0..1 << count).map(subset).collect();
    } else {
        for place in 0..count {
            sets.push(vec![place]);
            sets.push(all().into_iter().filter(|other| *other != place).collect());
        }
    }
    let whole = |sectors, names, lengths| Left { sectors, torn: None, names, lengths };
    let mut outcomes: Vec<Left> = Vec::new();
    for sectors in sets {
        outcomes.push(whole(sectors, unsynced.names, true));
    }
    for names in 0..unsynced.names {
        outcomes.extend([true, false].map(|lengths| whole(all(), names, lengths)));
        outcomes.push(whole(vec![], names, true));
    }
    outcomes.push(whole(all(), unsynced.names, false));
    for torn in 0..count {
        outcomes.push(Left { torn: Some(torn), ..whole(all(), unsynced.names, true) });
    }
    outcomes
}

fn everywhere(policy: AckPolicy) {
    let calm = Life::until(policy, None);
    let last = calm.bench.node.stages.cursors.written.get();
    let whole = Whole::read(&calm.bench.disk, last);
    assert_eq!(calm.snapshots.len(), 3, "snapshots are part of it");
    assert!(calm.acknowledged.len() >= 9, "{} answers", calm.acknowledged.len());
    let (mut tried, mut acknowledged_lost, mut shorter) = (0, 0, 0);
    for cut in 1..=calm.calls {
        let life = Life::until(policy, Some(cut));
        let cursors = &life.bench.node.stages.cursors;
        let (durable, written) = (cursors.durable.get(), cursors.written.get());
        let unsynced = life.bench.disk.unsynced();
        for left in outcomes(&unsynced) {
            let disk = life.bench.disk.fork();
            disk.lose_power_to(&unsynced, &left);
            let context = Context { policy, cut, left: &left };
            whole.check(&disk, policy, &life, durable);
            let tip =
                openoutcry::journal::info::info(&logs(&disk).commands).expect("it reads").last;
            shorter += u64::from(tip < written);
            let lost = life.acknowledged.iter().any(|answer| answer.sequence > tip);
            acknowledged_lost += u64::from(lost);
            std::mem::forget(context);
            tried += 1;
        }
    }
    eprintln!("{policy:?}: {} calls, {tried} outcomes, {shorter} shorter", calm.calls);
    assert!(calm.calls > 30, "{} calls of the disk", calm.calls);
    assert!(tried > 5 * calm.calls, "{tried} outcomes");
    assert!(shorter > 0, "something is lost somewhere");
    let expected = policy == AckPolicy::Memory;
    assert_eq!(acknowledged_lost > 0, expected, "{policy:?} loses what was acknowledged, or not");
}

/// Tells where it was when a check fails.
struct Context<'a> {
    policy: AckPolicy,
    cut: u64,
    left: &'a Left,
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        let Context { policy, cut, left } = self;
        eprintln!("policy {policy:?}, the power goes at call {cut}, {left:?}");
    }
}

#[test]
fn under_disk_no_power_cut_anywhere_takes_anything_acknowledged() {
    everywhere(AckPolicy::Disk);
}

#[test]
fn under_memory_a_power_cut_anywhere_leaves_a_prefix() {
    everywhere(AckPolicy::Memory);
}
