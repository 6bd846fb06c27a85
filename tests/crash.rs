//! The real binary under load over loopback, killed at any moment, again and again, with an outside
//! ledger of every command sent and every answer heard.
//!
//! `CRASH_SECONDS` (8) is the time for all of it; `SEED=n` repeats the choices of a seed, though not
//! the machine's own.
//!
//! Invariants: whatever was answered is in the journal once, in the order of its session, and gives
//! the same events at every replay; whatever was not answered is there once at most; what is there of
//! a session is a prefix of what it sent; what was once there stays as it was; the journal is sound
//! whenever the node died, every snapshot too; and a replay gives the state that the next node has.

#![allow(clippy::print_stdout, reason = "whoever sees a test fail needs its seed")]

pub(crate) mod desk;

use crate::sim::ledger::{Floor, Ledger};
use crate::sim::random::Random;
use crate::support::{Served, command, dir, good, json, objects, stderr, venue};
use desk::Desk;
use openoutcry::journal::verify::verify;
use openoutcry::limits::SEGMENT_MIN_BYTES;
use openoutcry::node::boot::Logs;
use openoutcry::sys::disk::Disk;
use openoutcry::sys::storage::Append;
use openoutcry::types::Sequence;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Desks that trade at once.
const DESKS: usize = 3;
/// Records after which another journal is begun: each cycle reads all of it.
const RECORDS_MAX: u64 = 60_000;
/// Small tables, so that a start is quick, and no refusal for want of space: it could go unheard.
const SETTINGS: &[&str] = &[
    "genesis.dedupe_count_max=100000",
    "genesis.orders_max=100000",
    "snapshots.keep=3",
    "disk.low_bytes=0",
    "disk.critical_bytes=0",
];

/// What came of it, for the report.
#[derive(Debug, Default)]
struct Tally {
    journals: u64,
    kills: u64,
    killed_at_start: u64,
    stops: u64,
    snapshots: u64,
    started_from_one: u64,
    records: u64,
    answers: u64,
}

/// A data directory, its desks, and what the ledger knows.
pub(crate) struct Venue {
    dir: PathBuf,
    data: PathBuf,
    settings: Vec<String>,
    logs: Logs,
    ledger: Mutex<Ledger>,
    desks: Vec<Desk>,
    /// The journal's end when the node was last gone.
    tip: Sequence,
    opened: u64,
}

impl Venue {
    /// A venue in `dir` whose data is in `data`.
    pub(crate) fn new(dir: &Path, data: &Path, policy: &str) -> Venue {
        venue(dir, &[2, 3, 4, 5]);
        let settings = SETTINGS.iter().copied().map(str::to_owned);
        let settings = settings.chain([format!("ack.policy={policy}")]);
        Venue {
            dir: dir.to_owned(),
            data: data.to_owned(),
            settings: settings.flat_map(|setting| ["--set".to_owned(), setting]).collect(),
            logs: Logs::new(&Disk::shared(), data, Append::Write, SEGMENT_MIN_BYTES, 1),
            ledger: Mutex::default(),
            desks: Vec::new(),
            tip: Sequence::NONE,
            opened: 0,
        }
    }

    fn args<'a>(&'a self, verb: &[&'a str]) -> Vec<&'a str> {
        let data = self.data.to_str().expect("a path of ours");
        let settings = self.settings.iter().map(String::as_str);
        verb.iter().copied().chain(["--data-dir", data]).chain(settings).collect()
    }

    /// Starts a node, which must find what is there.
    pub(crate) fn start(&self) -> Served {
        let node = Served::start(&self.dir, &self.args(&[]));
        let found = node.ready["sequence"].as_u64().expect("a number");
        assert!(found >= self.tip.0, "{} was there and {found} is left", self.tip);
        node
    }

    /// Starts a node and ends it after so long, ready or not.
    fn start_and_kill(&self, after: Duration) {
        let mut node = command(&self.dir, &self.args(&["serve", "--set", LISTEN]));
        let node = node.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut node = node.expect("the binary runs");
        thread::park_timeout(after);
        node.kill().expect("a child of ours");
        node.wait().expect("a child of ours");
    }

    /// Holds everything that was sent and heard against what the node has found, and the event log
    /// that it has completed.
    pub(crate) fn settle(&self) {
        if self.tip == Sequence::NONE {
            return;
        }
        let mut ledger = self.ledger.lock().expect("no desk failed");
        let floor = Floor { durable: self.tip, written: self.tip, power_lost: false, disk: true };
        let truth = ledger.settle(&self.logs, self.tip, floor);
        let places = truth.places();
        self.desks.iter().for_each(|desk| desk.check(&places));
    }

    /// Every desk has a session: the one it had, or another.
    pub(crate) fn open_desks(&mut self, node: &Served, random: &mut Random) {
        while self.desks.len() > DESKS || (!self.desks.is_empty() && random.percent(15)) {
            let gone = random.below(self.desks.len() as u64) as usize;
            self.desks.swap_remove(gone);
        }
        self.desks.iter_mut().for_each(|desk| desk.resume(node, &self.ledger));
        while self.desks.len() < DESKS {
            self.opened += 1;
            let name = format!("desk {}", self.opened);
            self.desks.push(Desk::open(node, &name, random.next(), &self.ledger));
        }
    }

    /// Lets all desks trade until the node is gone, which `end` sees to.
    pub(crate) fn trade<T>(&mut self, end: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            for desk in &mut self.desks {
                scope.spawn(|| desk.trade(&self.ledger));
            }
            end()
        })
    }

    /// Looks at what a node has left behind with the offline tools. The state's hash.
    pub(crate) fn look(&mut self) -> String {
        let verified = good(&self.dir, &self.args(&["journal", "verify"]));
        assert_eq!((&verified["ok"], &verified["damage"]), (&Value::Bool(true), &Value::Null));
        let replayed = good(&self.dir, &self.args(&["replay"]));
        assert_eq!(replayed["sequence"], verified["last_sequence"], "{verified}");
        let tip = Sequence(replayed["sequence"].as_u64().expect("a number"));
        assert!(tip >= self.tip, "{} was there and {tip} is left", self.tip);
        self.tip = tip;
        self.ledger.lock().expect("no desk failed").mirror(&self.logs, tip);
        replayed["state_hash"].as_str().expect("a hash").to_owned()
    }

    /// The same after a power cut, behind which a node is started and ended: nothing acknowledged is
    /// gone where the policy promised it; what is left is a prefix. How many acknowledged commands
    /// are gone.
    pub(crate) fn look_after_power_cut(&mut self, disk: bool) -> usize {
        let before = self.tip;
        let report = verify(&self.logs.commands, &mut |_| ()).expect("the disk works");
        assert!(report.ok, "a power cut is no damage: {report:?}");
        self.tip = report.last_sequence;
        let answered = |ledger: &Ledger| {
            ledger.commands.iter().filter_map(|sent| sent.answer.as_ref()).count()
        };
        let acknowledged = answered(&self.ledger.lock().expect("no desk failed"));
        let node = self.start();
        let floor = Floor {
            // Synced when the node was last stopped.
            durable: before,
            written: Sequence(u64::MAX),
            power_lost: true,
            disk,
        };
        let left = {
            let mut ledger = self.ledger.lock().expect("no desk failed");
            let places = ledger.settle(&self.logs, self.tip, floor).places();
            self.desks.iter().for_each(|desk| desk.check(&places));
            answered(&ledger)
        };
        let stopped = node.stop();
        assert_eq!(stopped["state_hash"], self.look().as_str());
        acknowledged - left
    }

    /// Nobody goes on with the sessions of before.
    pub(crate) fn close_desks(&mut self) {
        self.desks.clear();
    }

    /// Answers that the desks have heard.
    pub(crate) fn answers(&self) -> u64 {
        self.ledger.lock().expect("no desk failed").answers
    }

    /// Checks all snapshots; with `replay`, that each is what a replay gives too.
    fn look_at_snapshots(&self, replay: bool) {
        let all = json(&self.dir, &self.args(&["snapshot", "list"]), 0);
        if all.len() == 1 {
            return;
        }
        let verb: &[&str] =
            if replay { &["snapshot", "verify", "--replay"] } else { &["snapshot", "verify"] };
        let rows = json(&self.dir, &self.args(verb), 0);
        for row in &rows[..rows.len() - 1] {
            let sequence = row["sequence"].as_u64().expect("a number");
            assert!(sequence <= self.tip.0, "nothing is in a snapshot that is in no journal");
        }
    }
}

const LISTEN: &str = "gateway.native.listen=127.0.0.1:0";

/// Waits for `outcry snapshot take`, which may have been killed; true where it made one.
fn taken(take: Option<Child>) -> bool {
    let Some(take) = take else { return false };
    let output = take.wait_with_output().expect("a child of ours");
    match output.status.code() {
        Some(0) => objects(&output).last().is_some_and(|last| last["known"] == false),
        // Nothing but genesis, of which the journal does not say yet that it is durable.
        Some(1) if stderr(&output).contains("known to be durable") => false,
        None => false,
        other => panic!("{other:?}: {}", stderr(&output)),
    }
}

/// Cycles of one journal until it is large or the time is over.
fn voyage(policy: &str, random: &mut Random, end: Instant, tally: &mut Tally) {
    let dir: TempDir = dir();
    let mut venue = Venue::new(dir.path(), &dir.path().join("journal"), policy);
    tally.journals += 1;
    let mut cycles = 0;
    while cycles < 2 || (Instant::now() < end && venue.tip.0 < RECORDS_MAX) {
        cycles += 1;
        while random.percent(15) {
            venue.start_and_kill(Duration::from_millis(random.below(150)));
            tally.killed_at_start += 1;
        }
        let mut node = venue.start();
        let from = node.ready["recovery"]["snapshot_sequence"].as_u64();
        tally.started_from_one += u64::from(from.is_some());
        venue.settle();
        if venue.tip != Sequence::NONE && random.percent(40) {
            // The state that the next node has is the one that a replay gives.
            let stopped = node.stop();
            let replayed = good(&venue.dir, &venue.args(&["replay"]));
            assert_eq!(stopped["state_hash"], replayed["state_hash"]);
            assert_eq!(stopped["sequence"], replayed["sequence"]);
            node = venue.start();
        }
        venue.open_desks(&node, random);
        let graceful = random.percent(20);
        let lives = Duration::from_millis(2 + random.below(90));
        let folds = random.percent(60).then(|| Duration::from_millis(random.below(80)));
        let take = folds.map(|_| {
            let mut take = command(&venue.dir, &venue.args(&["snapshot", "take", "--json"]));
            take.stdout(Stdio::piped()).stderr(Stdio::piped());
            take
        });
        let fold_dies = random.percent(40);
        let (take, stopped) = venue.trade(|| {
            thread::park_timeout(folds.unwrap_or_default());
            let mut take = take.map(|mut take| take.spawn().expect("the binary runs"));
            thread::park_timeout(lives);
            if let Some(take) = take.as_mut().filter(|_| fold_dies) {
                // It may have ended already.
                let _ = take.kill();
            }
            if graceful {
                return (take, Some(node.stop()));
            }
            node.kill();
            (take, None)
        });
        tally.snapshots += u64::from(taken(take));
        let hash = venue.look();
        match stopped {
            Some(stopped) => {
                assert_eq!(stopped["state_hash"], hash.as_str());
                assert_eq!(stopped["sequence"], venue.tip.0);
                tally.stops += 1;
            }
            None => tally.kills += 1,
        }
        venue.look_at_snapshots(random.percent(25));
    }
    // Nothing hinders anybody any more: whoever waits is answered.
    let node = venue.start();
    venue.settle();
    venue.desks.iter_mut().for_each(|desk| desk.resume(&node, &venue.ledger));
    venue.desks.iter_mut().for_each(|desk| desk.settle(&venue.ledger));
    let stopped = node.stop();
    assert_eq!(stopped["state_hash"], venue.look().as_str());
    let node = venue.start();
    venue.settle();
    node.kill();
    let ledger = venue.ledger.into_inner().expect("no desk failed");
    tally.records += venue.tip.0;
    tally.answers += ledger.answers;
}

/// The number that all choices of this run follow from.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("SEED").map(|seed| seed.parse().expect("SEED is a number"));
    given.unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        u64::from(now.subsec_nanos())
    })
}

fn crash(policy: &str) {
    let seconds = std::env::var("CRASH_SECONDS").map_or(8, |s| s.parse().expect("a number of s"));
    let seed = seed();
    println!("policy {policy}; repeat with SEED={seed}");
    let (mut random, mut tally) = (Random::new(seed), Tally::default());
    // Both policies run, side by side or not.
    let (started, budget) = (Instant::now(), Duration::from_secs(seconds) / 2);
    while tally.journals == 0 || started.elapsed() < budget {
        voyage(policy, &mut random, started + budget, &mut tally);
    }
    assert!(tally.kills + tally.stops > 0);
    println!("policy {policy}, {:.1} s: {tally:?}", started.elapsed().as_secs_f64());
}

#[test]
fn whenever_it_is_killed_everything_acknowledged_is_there_once_and_in_order() {
    crash("disk");
}

#[test]
fn whenever_it_is_killed_under_memory_what_is_left_is_a_prefix_and_all_that_was_written() {
    crash("memory");
}
