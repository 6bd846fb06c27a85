//! One seeded world: a node on a disk that crashes, behind a network that stutters, with clients that
//! remember everything.

use super::clients::{Around, Client, Manners, OPEN};
use super::course::Happened;
use super::disk::SimDisk;
use super::ledger::{Floor, Ledger, Truth};
use super::node::{BATCH, NAMES, NORMAL, Node, Setup, SimClock};
use super::random::Random;
use super::venue::Rules;
use super::views::Views;
use openoutcry::gateway::DOOR;
use openoutcry::journal::format::LogKind;
use openoutcry::journal::recovery::RecoveryError;
use openoutcry::journal::segment::LogDir;
use openoutcry::node::boot::{BootError, Logs, boot};
use openoutcry::publish::gate::AckPolicy;
use openoutcry::snapshot::fold::{At, FoldError, Folded, fold, fold_stopped};
use openoutcry::snapshot::store::Store;
use openoutcry::sys::clock::Clock;
use openoutcry::sys::storage::Append;
use openoutcry::types::{KeyId, Sequence, TimeNs};
use openoutcry::wire::frame::{Frame, frame_length};
use openoutcry::wire::message::ServerMessage;
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// Events that a failing seed shows.
const HISTORY: usize = 200;
/// Where the wall clock starts.
const START_NS: u64 = 1_700_000_000_000_000_000;

/// Makes a snapshot, beside a node or without one.
type Run = fn(
    &LogDir,
    &Store,
    Option<Sequence>,
    usize,
    &mut dyn FnMut(At) -> ControlFlow<()>,
) -> Result<Folded, FoldError>;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The process is gone, the machine goes on.
    Kill,
    /// The machine is gone.
    PowerLoss,
}

/// What the seeds together have done, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answers: u64,
    pub(crate) records: u64,
    pub(crate) lives: u64,
    pub(crate) faults: u64,
    pub(crate) segments: u64,
    /// Snapshots written, and starts that began with one.
    pub(crate) snapshots: u64,
    pub(crate) from_snapshots: u64,
    /// Starts in the middle of a mass cancel.
    pub(crate) within_mass_cancels: u64,
    pub(crate) happened: Happened,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.answers += other.answers;
        self.records += other.records;
        self.lives += other.lives;
        self.faults += other.faults;
        self.segments += other.segments;
        self.snapshots += other.snapshots;
        self.from_snapshots += other.from_snapshots;
        self.within_mass_cancels += other.within_mass_cancels;
        self.happened.add(&other.happened);
    }
}

pub(crate) struct World {
    random: Random,
    clock: SimClock,
    disk: SimDisk,
    logs: Logs,
    rules: Rules,
    node: Option<Node>,
    clients: Vec<Client>,
    ledger: Ledger,
    views: Views,
    /// What the next crash may take.
    floor: Floor,
    /// State hash that the next start must find.
    expected: Option<String>,
    /// A disk failure was ordered and has not happened yet.
    armed: bool,
    full: bool,
    /// What is sequenced and not written fits into what is kept for it on a full disk.
    few_on_their_way: bool,
    /// Connections since orders are refused for want of space: their sessions use up what is kept.
    came_to_refusal: u32,
    /// A life ends in the middle of a mass cancel.
    is_cut_short: bool,
    /// Clients write priorities into their messages.
    priorities: bool,
    /// Answers come in the order of messages.
    in_order: bool,
    history: Option<VecDeque<String>>,
    tally: Tally,
}

impl Drop for World {
    #[allow(clippy::print_stderr, reason = "whoever sees a test fail needs its history")]
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(history) = &self.history
        {
            for line in history {
                eprintln!("{line}");
            }
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, with_history: bool) -> World {
        let mut random = Random::new(seed);
        let disk = SimDisk::new();
        let clock = SimClock::default();
        clock.set_wall(START_NS);
        let append = if random.percent(50) { Append::Write } else { Append::Map };
        let mut log = |kind, sizes: [u64; 3]| {
            let size = sizes[random.below(3) as usize] * 1024;
            LogDir::new(disk.shared(), Path::new("data"), kind, append, size)
        };
        let logs = Logs {
            commands: log(LogKind::Commands, [28, 40, 96]),
            events: log(LogKind::Events, [128, 256, 256]),
            rejects: log(LogKind::Rejects, [200, 200, 300]),
            snapshots: Store::new(disk.shared(), Path::new("data")),
            segments_ahead: 1,
        };
        let logs = Logs { segments_ahead: 1 + random.below(2) as usize, ..logs };
        let rules = Rules::choose(&mut random);
        let logs = if rules.deep {
            // Their genesis is large.
            let large =
                |kind| LogDir::new(disk.shared(), Path::new("data"), kind, append, 256 * 1024);
            Logs { commands: large(LogKind::Commands), events: large(LogKind::Events), ..logs }
        } else {
            logs
        };
        let priorities = random.percent(60);
        let clients = (0..1 + random.below(6) as usize).map(|number| {
            let manners = match random.below(12) {
                0 => Manners::NeverReads,
                1 => Manners::NeverSpeaks,
                _ => Manners::Good,
            };
            let key = KeyId([2, 1, 3, 2, 4, 3][number]);
            Client::new(number, manners, key, 1 + random.below(8) as usize)
        });
        let clients = clients.collect();
        let mut ledger = Ledger::default();
        ledger.refuses_new = rules.version < 2;
        World {
            clock,
            disk,
            logs,
            rules,
            node: None,
            clients,
            ledger,
            views: Views::default(),
            floor: Floor::default(),
            expected: None,
            armed: false,
            full: false,
            few_on_their_way: false,
            is_cut_short: false,
            priorities,
            in_order: true,
            came_to_refusal: 0,
            history: with_history.then(VecDeque::new),
            tally: Tally::default(),
            random,
        }
    }

    /// Lives, crashes and lives again; then everything is held against the journal.
    pub(crate) fn run(mut self) -> Tally {
        let lives = 1 + self.random.below(5);
        for life in 1..=lives {
            self.boot();
            let mut steps = [200, 1500, 4000, 12_000][self.random.below(4) as usize];
            if self.random.percent(15) {
                // A long life without space for a single segment more.
                steps = 12_000;
                self.fill_up();
            }
            self.is_cut_short = false;
            let failed = !self.live(steps);
            let settle =
                !failed && !self.is_cut_short && (life == lives || self.random.percent(30));
            if settle {
                self.settle_down();
            }
            let power = self.random.percent(50) && !(settle && self.expected.is_some());
            self.crash(if power { End::PowerLoss } else { End::Kill });
        }
        self.boot();
        self.settle_down();
        self.finish();
        self.tally
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(history) = &mut self.history {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(format!(
                "{:>12.3} ms  {}",
                self.clock.monotonic_ns() as f64 / 1e6,
                line()
            ));
        }
    }

    fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("a node is running")
    }

    // ---- start and end ----------------------------------------------------------------------

    fn boot(&mut self) {
        self.tally.lives += 1;
        loop {
            if self.random.percent(15) {
                self.fold(fold_stopped);
            }
            if self.random.percent(15) {
                self.arm(60);
            }
            let (rules, time) = (self.rules, TimeNs(self.clock.wall_ns()));
            match boot(&self.logs, || rules.genesis(time), &mut |_| ()) {
                Ok(booted) => {
                    let tip = booted.state.order.last;
                    self.tally.from_snapshots += u64::from(booted.snapshot > Sequence::NONE);
                    let hash = booted.state.hash();
                    self.note(|| format!("booted at {tip}, {} bytes cut", booted.cut_bytes));
                    let exchange = &booted.state.exchange;
                    exchange.check();
                    self.tally.within_mass_cancels +=
                        u64::from(exchange.deadline() == Some(TimeNs(0)));
                    let loses = exchange.watches_sessions();
                    booted.state.order.dedupe.check_invariants();
                    self.ledger.starts(tip, loses);
                    let truth = self.settle_accounts(tip, hash);
                    truth.course().compare(&booted.state.exchange);
                    let setup = Setup::choose(&mut self.random);
                    self.note(|| format!("{setup:?}"));
                    self.in_order = !self.priorities && setup.is_calm();
                    let node =
                        Node::start(booted, &self.logs, &self.clock, setup, &mut self.random);
                    self.node = Some(node);
                    self.floor.disk = setup.policy == AckPolicy::Disk;
                    self.few_on_their_way =
                        setup.sizes.sequenced <= 16 && self.logs.commands.segment_size() > 30_000;
                    return;
                }
                Err(error) => self.boot_failed(&error),
            }
        }
    }

    /// A start that failed is tried again, after a kill or a power cut.
    fn boot_failed(&mut self, error: &BootError) {
        self.note(|| format!("boot failed: {error}"));
        let damaged = matches!(error, BootError::Recovery(RecoveryError::Damage { .. }));
        let wrong =
            damaged || matches!(error, BootError::Diverged { .. } | BootError::Genesis { .. });
        assert!(!wrong, "a crash is no damage: {error}");
        assert!(self.armed || self.full, "nothing hindered the start: {error}");
        self.tally.faults += 1;
        let end = if self.random.percent(50) { End::Kill } else { End::PowerLoss };
        self.wreck(end);
    }

    /// Holds the ledger against what a start has found.
    fn settle_accounts(&mut self, tip: Sequence, hash: String) -> Truth {
        if let Some(expected) = self.expected.take() {
            assert_eq!(hash, expected, "replay gives the state of the live run");
        }
        if tip < self.floor.written {
            self.views.cut(tip);
            self.views.forget_sessions();
            self.clients.iter_mut().for_each(Client::history_was_cut);
        }
        let truth = self.ledger.settle(&self.logs, tip, self.floor);
        self.floor = Floor { durable: tip, written: tip, power_lost: false, disk: true };
        truth
    }

    fn crash(&mut self, end: End) {
        let cursors = self.node().stages.cursors.clone();
        self.floor.durable = cursors.durable.get();
        self.floor.written = cursors.written.get();
        self.ledger.mirror(&self.logs, self.floor.written);
        self.node = None;
        self.clients.iter_mut().for_each(Client::forget_connection);
        self.wreck(end);
        if self.random.percent(20) {
            // The clock was set while the machine was down.
            let wall = self.clock.wall_ns() - 9_000_000_000 + self.random.below(18_000_000_000);
            self.clock.set_wall(wall);
        }
    }

    fn wreck(&mut self, end: End) {
        self.note(|| format!("{end:?}"));
        match end {
            End::Kill => self.disk.kill(),
            End::PowerLoss => {
                self.disk.lose_power(&mut self.random);
                self.floor.power_lost = true;
            }
        }
        self.disk.set_capacity(None);
        (self.armed, self.full) = (false, false);
    }

    /// Orders a failure of the disk.
    fn arm(&mut self, most: u64) {
        let count = self.random.below(most);
        self.disk.fail_in(count, io::ErrorKind::Other);
        self.armed = true;
    }

    // ---- running ------------------------------------------------------------------------------

    /// Lets things happen. False where the node stopped itself.
    fn live(&mut self, steps: u64) -> bool {
        for _ in 0..steps {
            self.clock.advance(self.random.below(100_000));
            match self.random.below(1000) {
                0..550 => {
                    let mut random = self.random.clone();
                    let (agents, done) = self.node().step(&mut random);
                    self.random = random;
                    if done > 0 {
                        self.note(|| format!("{} did {done}", names(&agents)));
                    }
                    self.inspect();
                }
                550..994 => self.outside(),
                994 if self.random.percent(15) && !self.fold(fold) => return false,
                995 => {
                    let pause_ms = 1 + self.random.below(900);
                    self.clock.advance(pause_ms * 1_000_000);
                    self.note(|| format!("{pause_ms} ms pass"));
                }
                996 => {
                    let wall = self.clock.wall_ns() - 100_000_000 + self.random.below(200_000_000);
                    self.clock.set_wall(wall);
                }
                997 if self.random.percent(25) => self.arm(40),
                998 if !self.full => self.fill_up(),
                998 if self.full && self.few_on_their_way && self.came_to_refusal < 8 => {
                    self.disk.heal();
                    self.armed = false;
                    // Orders may be refused for want of space; nobody may be left without an answer.
                    self.note(|| "everybody waits while the disk is full".to_owned());
                    self.rest(&[NORMAL, BATCH]);
                    self.all_content();
                }
                999 if self.random.percent(20) => {
                    self.disk.set_capacity(None);
                    self.full = false;
                }
                _ => {}
            }
            if self.has_failed() {
                return false;
            }
            if self.rules.deep
                && self.node().stages.critical.exchange().deadline() == Some(TimeNs(0))
            {
                match self.random.below(200) {
                    0..4 => {
                        self.note(|| "a mass cancel is under way".to_owned());
                        self.is_cut_short = true;
                        return true;
                    }
                    4..8 if !self.fold(fold) => return false,
                    _ => {}
                }
            }
        }
        true
    }

    /// Folds the journal into a snapshot, which may be spoilt later. False where that would have stopped
    /// the node.
    fn fold(&mut self, run: Run) -> bool {
        let keep = 1 + self.random.below(3) as usize;
        let Logs { commands, snapshots, .. } = &self.logs;
        match run(commands, snapshots, None, keep, &mut |_| ControlFlow::Continue(())) {
            Ok(folded) => {
                self.note(|| format!("{folded:?}"));
                self.tally.snapshots += u64::from(!folded.known);
                if self.random.percent(25) {
                    self.spoil(&folded.path, folded.bytes);
                }
            }
            Err(FoldError::Empty | FoldError::NoBatch { .. }) => {}
            Err(error) => {
                self.note(|| format!("no snapshot: {error}"));
                assert!(self.armed || self.full, "nothing hindered the fold: {error}");
                self.tally.faults += u64::from(self.armed);
                return !self.armed;
            }
        }
        true
    }

    /// Changes a byte of a snapshot.
    fn spoil(&mut self, path: &Path, bytes: u64) {
        let offset = self.random.below(bytes);
        let file = self.disk.shared().open(path, Append::Write).expect("it was written");
        let mut byte = [0];
        file.read_at(&mut byte, offset).expect("it is there");
        byte[0] ^= 1 << self.random.below(8);
        if file.write_at(&byte, offset).is_ok() {
            self.note(|| format!("byte {offset} of {} is spoilt", path.display()));
        }
    }

    fn fill_up(&mut self) {
        self.disk.fill_up();
        self.full = true;
        self.note(|| "the disk is full".to_owned());
    }

    /// True where a stage has stopped the node, which only a failure of the disk may cause.
    fn has_failed(&mut self) -> bool {
        let Some((reason, message)) = self.node().recorder.take() else { return false };
        self.note(|| format!("stopped: {reason:?}, {message}"));
        assert!(self.armed, "nothing was wrong: {reason:?}, {message}");
        self.tally.faults += 1;
        true
    }

    /// Something happens outside the node: a client speaks, listens, comes or goes; bytes travel.
    fn outside(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        let wall_ms = (self.clock.wall_ns() / 1_000_000).cast_signed();
        let mut random = self.random.clone();
        let mut around = Around {
            random: &mut random,
            ledger: &mut self.ledger,
            views: &mut self.views,
            wall_ms,
            rules: self.rules,
            priorities: self.priorities,
            in_order: self.in_order,
        };
        let client = &mut self.clients[index];
        let node = self.node.as_mut().expect("a node is running");
        let mut said = None;
        match (&client.talk, around.random.below(100)) {
            (None, 0..40) => {
                let room = [100, 1000, 60_000][around.random.below(3) as usize];
                let gateway = around.random.below(node.doors.len() as u64) as usize;
                client.connected(node.doors[gateway].knock(around.random, room));
                node.stages.gateways[gateway].ready(DOOR, true, false);
                let refused = node.stages.cursors.no_space.get() != Sequence::NONE;
                self.came_to_refusal = if refused { self.came_to_refusal + 1 } else { 0 };
                said = Some(format!("{} connects", client.name));
            }
            (None, _) => {}
            (Some(_), 0..35) => said = client.speak(&mut around),
            (Some(talk), 35..60) => {
                talk.wire.carry(around.random, 400);
            }
            (Some(talk), 60..75) => tell(node, talk),
            (Some(_), 75..99) => {
                let most = 1 + around.random.below(600) as usize;
                client.listen(most, &mut around);
            }
            (Some(_), _) if around.random.percent(5) => {
                client.say_no_more();
                said = Some(format!("{} says no more", client.name));
            }
            (Some(talk), _) => {
                if talk.wire.is_closed() || around.random.percent(10) {
                    talk.wire.hang_up(around.random);
                    talk.wire.carry(around.random, 100_000);
                    tell(node, talk);
                    client.forget_connection();
                    said = Some(format!("{} hangs up", client.name));
                }
            }
        }
        self.random = random;
        if let Some(said) = said {
            self.note(|| said);
        }
    }

    /// Whatever the server shows is as safe as the policy says, at the moment it is shown.
    fn inspect(&mut self) {
        let node = self.node.as_ref().expect("a node is running");
        let cursors = &node.stages.cursors;
        let safe = match node.policy {
            AckPolicy::Disk => cursors.durable.get(),
            AckPolicy::Memory => cursors.written.get(),
        };
        for client in &mut self.clients {
            let Some(talk) = client.talk.as_mut() else { continue };
            talk.shown.extend(talk.wire.fresh());
            let mut used = 0;
            while let Some(size) = frame_length(&talk.shown[used..], OPEN.frame_max).expect("sound")
                && size <= talk.shown.len() - used
            {
                let frame = Frame::reopen(&talk.shown[used..used + size], &OPEN).expect("sound");
                let message = ServerMessage::decode(&frame).expect("the protocol is spoken");
                let shown = sequence_of(&message);
                assert!(shown <= safe, "nothing unreleased is shown: {shown}, {safe} is safe");
                used += size;
            }
            talk.shown.drain(..used);
        }
    }

    // ---- coming to rest ----------------------------------------------------------------------

    /// Nobody asks for more, everybody reads, every agent runs: all that is owed must come, with the
    /// followers frozen too.
    fn settle_down(&mut self) {
        self.disk.heal();
        self.disk.set_capacity(None);
        (self.armed, self.full) = (false, false);
        let (before, since_ns) =
            (self.node().stages.sequencer.order().time, self.clock.monotonic_ns());
        if self.random.percent(50) {
            // Long enough for most of what waits for time.
            self.clock.advance(3_000_000_000);
            self.note(|| "3 s pass".to_owned());
        }
        self.rest(&[NORMAL, BATCH]);
        self.all_content();
        // The node's clock is slower than the machine's by 500 ppm at most; what came in the last moment
        // may not have been seen.
        let elapsed_ns = self.clock.monotonic_ns() - since_ns;
        let now = TimeNs(before.0 + elapsed_ns - elapsed_ns / 1000 - 10_000_000);
        let node = self.node.as_mut().expect("a node is running");
        assert!(node.is_settled(), "everything sequenced is applied, written and released");
        let exchange = node.stages.critical.exchange();
        exchange.check();
        for session in self.clients.iter().filter_map(Client::session) {
            let active = exchange.session(session).is_some_and(|session| session.active);
            assert!(active, "who is logged on has an active session: {session}");
        }
        let graceful = self.random.percent(40);
        let (frozen, last) = (self.node().hash(), self.node().stages.sequencer.order().last);
        self.rest(&[]);
        let mut hash = self.node().hash();
        let tip = self.node().stages.sequencer.order().last;
        // A connection that was silent for too long may have been closed meanwhile.
        assert!(tip > last || hash == frozen, "followers change nothing");
        let truth = Truth::read(&self.logs, tip);
        self.ledger.check(&truth);
        let course = truth.course();
        course.compare(self.node().stages.critical.exchange());
        course.is_done_at(now);
        let deadline = self.node().stages.critical.exchange().deadline();
        assert!(deadline.is_none_or(|due| due > now), "what is due is done: {deadline:?}, {now:?}");
        let (activity, kinds) = truth.counts();
        assert_eq!(*self.node().stages.normal.activity(), activity, "followers count the journal");
        assert_eq!(*self.node().stages.batch.kinds(), kinds, "followers count the journal");
        if graceful {
            self.note(|| "asked to stop".to_owned());
            self.node().stop();
            // A client that takes no bytes is given up after a while.
            let cursors = self.node().stages.cursors.clone();
            for _ in 0..20 {
                if !cursors.are_drained() {
                    self.rest(&[]);
                }
            }
            assert!(cursors.are_drained(), "a stop ends");
            hash = self.node().end();
        }
        self.expected = Some(hash);
    }

    fn all_content(&self) {
        for client in &self.clients {
            assert!(client.is_content(), "one answer a message: {}", client.complaint());
        }
    }

    /// Runs until nothing happens any more.
    fn rest(&mut self, frozen: &[usize]) {
        let mut quiet = 0;
        for _ in 0..20_000 {
            self.clock.advance(1_000_000);
            let mut done = 0;
            let agents = self.node().agents();
            let start = self.random.below(agents as u64) as usize;
            for turn in 0..agents {
                let agent = (start + turn) % agents;
                if !frozen.contains(&agent) {
                    let first = self.random.percent(50);
                    let did = self.node().run(agent, first) + self.node().run(agent, !first);
                    if did > 0 {
                        self.note(|| format!("{} did {did}", NAMES[agent]));
                    }
                    done += did;
                }
            }
            assert!(!self.has_failed(), "the disk is healthy");
            self.inspect();
            done += self.everybody_listens();
            quiet = if done == 0 { quiet + 1 } else { 0 };
            if quiet > 80 && self.clients.iter().all(Client::is_content) {
                return;
            }
            // Sweeps of the gateway close what has been silent for long.
            if quiet > 8000 {
                return;
            }
        }
        panic!("work ends: agents are still busy after 20,000 rounds");
    }

    fn everybody_listens(&mut self) -> usize {
        let wall_ms = (self.clock.wall_ns() / 1_000_000).cast_signed();
        let node = self.node.as_mut().expect("a node is running");
        let mut done = 0;
        for client in &mut self.clients {
            let mut around = Around {
                random: &mut self.random,
                ledger: &mut self.ledger,
                views: &mut self.views,
                wall_ms,
                rules: self.rules,
                priorities: self.priorities,
                in_order: self.in_order,
            };
            if let Some(talk) = &client.talk {
                done += talk.wire.carry(around.random, 1000);
                tell(node, talk);
            }
            done += client.listen(10_000, &mut around);
        }
        done
    }

    // ---- the end -----------------------------------------------------------------------------

    /// Replays everything, and rebuilds the event log from the journal alone.
    fn finish(&mut self) {
        let tip = self.node().stages.cursors.written.get();
        let state = self.views.check(&self.logs, tip);
        assert_eq!(Some(state.hash()), self.expected, "replay gives the state of the live run");
        self.tally.records = tip.0;
        self.tally.answers = self.ledger.answers;
        let course = Truth::read(&self.logs, tip).course();
        course.compare(&state.exchange);
        self.tally.happened = course.happened;
        self.node = None;
        let files = self.disk.files();
        let commands = self.logs.commands.dir().to_owned();
        let journal = files.iter().filter(|(path, _)| path.starts_with(&commands)).cloned();
        let other = SimDisk::with_files(journal);
        let log = |from: &LogDir, kind| {
            let size = from.segment_size();
            LogDir::new(other.shared(), Path::new("data"), kind, Append::Write, size)
        };
        let logs = Logs {
            commands: log(&self.logs.commands, LogKind::Commands),
            events: log(&self.logs.events, LogKind::Events),
            rejects: log(&self.logs.rejects, LogKind::Rejects),
            snapshots: Store::new(other.shared(), Path::new("data")),
            segments_ahead: 1,
        };
        let rebuilt = boot(&logs, || unreachable!("there is a journal"), &mut |_| ())
            .expect("a journal alone is enough to start from");
        assert_eq!(Some(rebuilt.state.hash()), self.expected, "replay gives the same state");
        let rebuilt = other.files();
        for (path, bytes) in &files {
            if path.starts_with(commands.clone()) {
                self.tally.segments += u64::from(bytes.iter().any(|byte| *byte != 0));
            }
            if path.starts_with(self.logs.events.dir()) {
                let same = rebuilt.iter().find(|(other, _)| other == path);
                let zero = bytes.iter().all(|byte| *byte == 0);
                let equal = same.map_or(zero, |(_, other)| other == bytes || zero);
                assert!(equal, "replay rebuilds the event log byte by byte: {}", path.display());
            }
        }
    }
}

/// Tells the gateway what its poll would.
fn tell(node: &mut Node, talk: &super::clients::Conversation) {
    if let Some(ready) = talk.wire.readiness() {
        node.tell(ready);
    }
}

fn names(agents: &[usize]) -> String {
    let names: Vec<&str> = agents.iter().map(|agent| NAMES[*agent]).collect();
    names.join("+")
}

/// The sequence whose effects a message shows; 0 for none.
fn sequence_of(message: &ServerMessage<'_>) -> Sequence {
    match message {
        ServerMessage::Answer(view) => view.answer.sequence,
        ServerMessage::Fill(fill) => fill.sequence,
        ServerMessage::OrderUpdate(update) => update.sequence,
        ServerMessage::Book(view) => view.head.sequence,
        ServerMessage::Account(view) => view.head.sequence,
        ServerMessage::LogonAccepted(accepted) => accepted.sequence,
        _ => Sequence::NONE,
    }
}
