//! The stages of one node, connected: rings, cursors, channels. Threads come later, or never: the
//! simulation drives the same stages itself.

use super::boot::{Booted, Logs};
use super::layout::Stage;
use super::space::{Marks, Watch};
use super::state::State;
use crate::admin::Controls;
use crate::agent::{Agent, FailStop};
use crate::exchange::{Directory, Exchange};
use crate::fatal::StopReason;
use crate::gateway::connection::Door;
use crate::gateway::verify::Verifier;
use crate::gateway::{self, Gateway, Shared, Surroundings};
use crate::journal::agent::{self as journal, Interval, JournalSync, JournalWriter, Timing};
use crate::journal::batch::BatchBuilder;
use crate::journal::event_log::{EventFollower, EventLogWriter};
use crate::journal::reader::Reader as LogReader;
use crate::journal::reject_log::RejectLog as RejectFiles;
use crate::journal::segment::{LogDir, Preparer};
use crate::journal::view::Verify;
use crate::journal::writer::Writer as JournalFiles;
use crate::lanes::batch_size::LaneBatch;
use crate::lanes::critical::{self, Critical, Outputs};
use crate::lanes::follower::{Batch, Bounds, Normal};
use crate::message::Message;
use crate::publish::event_log::EventLog;
use crate::publish::gate::{AckPolicy, Gate, Waits};
use crate::publish::outbound::{AnswerFound, Derived, Outbound, Wanted};
use crate::publish::priority_log::PriorityLog;
use crate::publish::reject_log::RejectLog;
use crate::publish::replay::Replay;
use crate::publish::rest::Numbers;
use crate::ring::{Cursor, Latest, Reader, Writer, ring, ring_of_two};
use crate::sequencer::clock::SequencerClock;
use crate::sequencer::overload::{Overload, PressureSignal, Thresholds};
use crate::sequencer::pending::Taken;
use crate::sequencer::queues::{Capacity, Queues};
use crate::sequencer::turn::Rules;
use crate::sequencer::{self, Order, Sequenced, Sequencer};
use crate::stats::{MARKS_MAX, Mark, Stats};
use crate::sys::clock::Clock;
use crate::sys::random::Random;
use crate::types::{Epoch, Lane, Sequence};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::sync::{Arc, Mutex};

/// Wishes for original answers on their way, and answers on theirs.
const REPLAYS_MAX: usize = 256;
/// Changes of priority on their way to the log.
const ADJUSTED_MAX: usize = 1024;
/// Files with bytes to sync on their way: more than rounds in a cycle.
const SYNC_JOBS_MAX: usize = 128;

/// Slots of the rings, and places of the queues.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Each gateway's input ring.
    pub input: usize,
    /// The sequenced ring.
    pub sequenced: usize,
    /// Events to the event log's writer.
    pub events: usize,
    /// Answers to each gateway.
    pub answers: usize,
    /// Refused messages to the reject log's writer.
    pub rejects: usize,
    /// Messages in the queues.
    pub queues: Capacity,
    /// Records in a journal batch.
    pub batch: usize,
    /// Records that each lane executes between two publications, by the lane's number.
    pub lanes: [u32; Lane::ALL.len()],
}

/// What one gateway has of the world.
pub struct Outside<D> {
    /// Where connections come from.
    pub door: D,
    /// Checks signatures.
    pub verifier: Box<dyn Verifier>,
    /// Randomness for nonces.
    pub random: Box<dyn Random>,
}

/// What a node is made of beside its stages.
pub struct Parts<D: Door> {
    /// The outside of each gateway, in order of their numbers: at least one.
    pub outsides: Vec<Outside<D>>,
    /// Makes a reader of the machine's clock.
    pub clock: Box<dyn Fn() -> Box<dyn Clock>>,
    /// The sequencer's time.
    pub time: SequencerClock,
    /// Ring sizes.
    pub sizes: Sizes,
    /// When a waiting message has its turn.
    pub rules: Rules,
    /// When the node is overloaded.
    pub thresholds: Thresholds,
    /// When the disk is nearly full.
    pub space: Marks,
    /// The gateway's bounds.
    pub limits: gateway::Limits,
    /// When answers may leave.
    pub policy: AckPolicy,
    /// Time between syncs under policy `memory`, nanoseconds.
    pub sync_interval_ns: u64,
    /// Who ends the node when a stage cannot go on.
    pub stop: Arc<dyn FailStop>,
    /// Where the stages tell what they do.
    pub stats: Arc<Stats>,
}

/// Cursors that tell how far a node is.
#[derive(Clone, Default)]
pub struct Cursors {
    /// Received by the journal's file.
    pub written: Cursor,
    /// Synced.
    pub durable: Cursor,
    /// Applied by `critical`.
    pub applied: Cursor,
    /// Shown to the world.
    pub released: Cursor,
    /// In the event log's file.
    pub events_written: Cursor,
    /// Done by the lane `normal`.
    pub normal: Cursor,
    /// Events of the event log that the lane `normal` has done with.
    pub normal_events: Cursor,
    /// Done by the lane `batch`.
    pub batch: Cursor,
    /// For each gateway: not zero when it was asked to stop and owes nobody an answer.
    pub drained: Vec<Cursor>,
    /// Not zero while the journal has no space.
    pub no_space: Cursor,
    /// Not zero while the event log has no space.
    pub no_event_space: Cursor,
    /// How much space there is, a [`super::space::Level`].
    pub space: Cursor,
}

impl Cursors {
    /// Of a node with so many gateways, all of whose records up to `last` are done; the lanes that
    /// follow the journal begin at its first.
    fn at(last: Sequence, gateways: usize) -> Cursors {
        Cursors {
            written: Cursor::new(last),
            durable: Cursor::new(last),
            applied: Cursor::new(last),
            released: Cursor::new(last),
            events_written: Cursor::new(last),
            drained: (0..gateways).map(|_| Cursor::default()).collect(),
            ..Cursors::default()
        }
    }

    /// True where all gateways were asked to stop and owe nobody an answer.
    #[must_use]
    pub fn are_drained(&self) -> bool {
        self.drained.iter().all(|drained| drained.get() != Sequence::NONE)
    }
}

/// What is left of a node that ended: the two halves of its state.
pub struct Remains {
    /// The critical lane's.
    pub exchange: Receiver<Exchange>,
    /// The sequencer's.
    pub order: Receiver<Order>,
}

/// Stages as agents, for threads.
pub type Agents = Vec<(Stage, Box<dyn Agent>)>;

/// The stages of one node.
pub struct Stages<D: Door> {
    /// Sockets, in order of the gateways' numbers.
    pub gateways: Vec<Gateway<D>>,
    /// The one total order.
    pub sequencer: Sequencer,
    /// Encoding and writing.
    pub journal: JournalWriter,
    /// Making durable.
    pub sync: JournalSync,
    /// The release.
    pub gate: Gate,
    /// The exchange.
    pub critical: Critical,
    /// `critical`'s event log.
    pub event_log: EventLog,
    /// What got no sequence.
    pub reject_log: RejectLog,
    /// Changes of priority.
    pub priority_log: PriorityLog,
    /// Original answers.
    pub replay: Replay,
    /// Segments ahead.
    pub prepare: Prepare,
    /// The lane `normal`.
    pub normal: Normal,
    /// The lane `batch`.
    pub batch: Batch,
    /// How far they are.
    pub cursors: Cursors,
    /// What they leave behind.
    pub remains: Remains,
}

/// What all stages of a node share.
struct Common {
    cursors: Cursors,
    /// Makes a reader of the machine's clock.
    clock: Box<dyn Fn() -> Box<dyn Clock>>,
    stop: Arc<dyn FailStop>,
    stats: Arc<Stats>,
}

/// What every gateway is connected to beside rings of its own.
struct GatewayWiring {
    directory: Latest<Directory>,
    pressure: PressureSignal,
    /// To the reader of what was sent before.
    wanted: Sender<Wanted>,
}

/// The other ends of the gateways' rings and channels, in order of their numbers.
#[derive(Default)]
struct GatewayEnds {
    /// Messages, for the sequencer.
    inputs: Vec<Reader<Message>>,
    /// What left the sequencer's queues, for it to tell.
    taken: Vec<Taken>,
    /// Answers, from the critical lane.
    answers: Vec<Writer<Outbound>>,
    /// What was sent before, from its reader.
    found: Vec<Sender<AnswerFound>>,
}

impl Common {
    fn gateways<D: Door>(
        &self,
        outsides: Vec<Outside<D>>,
        sizes: &Sizes,
        limits: gateway::Limits,
        wiring: &GatewayWiring,
    ) -> (Vec<Gateway<D>>, GatewayEnds) {
        let mut ends = GatewayEnds::default();
        let shared = Arc::new(Shared::default());
        let mut gateways = Vec::new();
        for (number, outside) in (0..).zip(outsides) {
            let (input, intake) = ring(sizes.input, Message::default);
            let (answer, to_gateway) = ring(sizes.answers, Outbound::default);
            let (again, found) = bounded(REPLAYS_MAX);
            let taken = Taken::default();
            ends.inputs.push(intake);
            ends.taken.push(taken.clone());
            ends.answers.push(answer);
            ends.found.push(again);
            let Outside { door, verifier, random } = outside;
            gateways.push(Gateway::new(
                number,
                Surroundings { door, verifier, clock: (self.clock)(), random },
                wiring.directory.reader(),
                limits,
                to_gateway,
                gateway::Wiring {
                    input,
                    released: self.cursors.released.clone(),
                    wanted: wiring.wanted.clone(),
                    found,
                    drained: self.cursors.drained[usize::from(number)].clone(),
                    taken,
                    pressure: wiring.pressure.clone(),
                    stats: self.stats.clone(),
                    shared: shared.clone(),
                },
            ));
        }
        (gateways, ends)
    }

    /// `every_ns` is the time between syncs where answers do not wait for them.
    fn journal(
        &self,
        input: Reader<Sequenced>,
        batches: BatchBuilder,
        writer: JournalFiles,
        every_ns: Option<u64>,
    ) -> (JournalWriter, JournalSync) {
        let (jobs, to_sync) = bounded(SYNC_JOBS_MAX);
        let (cursors, stats) = (&self.cursors, &self.stats);
        let wiring = journal::Wiring {
            input,
            jobs,
            written: cursors.written.clone(),
            durable: cursors.durable.clone(),
            no_space: cursors.no_space.clone(),
            stats: stats.clone(),
        };
        let interval =
            every_ns.map(|every_ns| Interval { clock: (self.clock)(), every_ns, next_ns: 0 });
        let timing = Timing { clock: (self.clock)(), stats: stats.clone() };
        let durable = cursors.durable.clone();
        let sync = JournalSync::new(to_sync, durable, interval, timing, self.stop.clone());
        (JournalWriter::new(batches, writer, wiring, self.stop.clone()), sync)
    }

    fn gate(&self, policy: AckPolicy, marks: Reader<Mark>, counted: Sequence) -> Gate {
        let waits = Waits { marks, clock: (self.clock)(), stats: self.stats.clone(), counted };
        let Cursors { written, durable, released, .. } = self.cursors.clone();
        Gate::new(policy, written, durable, released, waits)
    }

    fn event_log(
        &self,
        input: Reader<Derived>,
        log: EventLogWriter,
        epoch: Epoch,
        numbers: Arc<Mutex<Numbers>>,
    ) -> EventLog {
        let Cursors { events_written, no_event_space, .. } = self.cursors.clone();
        EventLog::new(input, log, epoch, numbers, events_written, no_event_space, self.stop.clone())
    }

    fn reject_log(&self, input: Reader<Message>, log: RejectFiles) -> RejectLog {
        RejectLog::new(input, log, (self.clock)(), self.stop.clone(), self.stats.clone())
    }

    fn watch(&self, logs: &Logs, marks: Marks) -> Watch {
        let (log, level) = (logs.commands.clone(), self.cursors.space.clone());
        Watch::new(log, marks, level, (self.clock)(), self.stats.clone())
    }

    /// The lanes that follow the journal.
    fn followers(&self, logs: &Logs, normal: LaneBatch, batch: LaneBatch) -> (Normal, Batch) {
        let bounds = |done: &Cursor| Bounds {
            written: self.cursors.written.clone(),
            applied: self.cursors.applied.clone(),
            events_written: self.cursors.events_written.clone(),
            done: done.clone(),
            events_done: self.cursors.normal_events.clone(),
            clock: (self.clock)(),
            stats: self.stats.clone(),
        };
        let first = |log: &LogDir| {
            // A reader that begins too early says what is wrong.
            let retired = log.retired().ok().flatten();
            retired.map_or(Sequence(1), |retired| retired.sequence)
        };
        let from = first(&logs.commands);
        let commands = || LogReader::new(logs.commands.clone(), from, Verify::Structure);
        let from = first(&logs.events);
        let events = EventFollower::new(logs.events.clone(), from, Verify::Structure);
        let (for_normal, for_batch) = (bounds(&self.cursors.normal), bounds(&self.cursors.batch));
        let stop = &self.stop;
        (
            Normal::new(commands(), events, for_normal, normal, stop.clone()),
            Batch::new(commands(), for_batch, batch, stop.clone()),
        )
    }
}

/// How much each lane executes at once.
fn lane_batches(sizes: &Sizes, controls: &Latest<Controls>) -> [LaneBatch; Lane::ALL.len()] {
    [Lane::Critical, Lane::Normal, Lane::Batch]
        .map(|lane| LaneBatch::new(lane, sizes.lanes[lane as usize], controls.reader()))
}

impl<D: Door + 'static> Stages<D> {
    /// Connects the stages of a booted node.
    #[must_use]
    pub fn connect(booted: Booted, logs: &Logs, parts: Parts<D>) -> Stages<D> {
        let Booted { state: State { exchange, order, .. }, batches, writer, .. } = booted;
        let (sizes, policy, last) = (parts.sizes, parts.policy, order.last);
        let cursors = Cursors::at(last, parts.outsides.len());
        let common = Common { cursors, clock: parts.clock, stop: parts.stop, stats: parts.stats };
        let Common { cursors, clock, stop, stats } = &common;
        let directory = Latest::new(Directory::of(&exchange));
        let controls = Latest::new(*exchange.controls());
        let [critical_batch, normal_batch, batch_batch] = lane_batches(&sizes, &controls);

        let (sequenced, to_journal, to_critical) = ring_of_two(sizes.sequenced, Sequenced::default);
        let (events, to_event_log) = ring(sizes.events, Derived::default);
        let (rejects, to_reject_log) = ring(sizes.rejects, Message::default);
        let (marks, to_gate) = ring(MARKS_MAX, Mark::default);
        let (wanted, to_replay) = bounded(REPLAYS_MAX);
        let (adjusted, to_priority_log) = bounded(ADJUSTED_MAX);
        let (last_exchange, exchange_left) = bounded(1);
        let (last_order, order_left) = bounded(1);

        let pressure = PressureSignal::default();
        let wiring = GatewayWiring { directory, pressure, wanted };
        let (gateways, ends) = common.gateways(parts.outsides, &sizes, parts.limits, &wiring);
        let GatewayEnds { inputs, taken, answers, found } = ends;
        let GatewayWiring { directory, pressure, .. } = wiring;
        let (epoch, queues) = (order.epoch, Queues::new(sizes.queues, parts.rules));
        let deadline = Cursor::new(critical::deadline_of(&exchange));
        let wiring = sequencer::Wiring {
            inputs,
            ring: sequenced,
            deadline: deadline.clone(),
            loses_sessions: exchange.watches_sessions(),
            space: sequencer::Space {
                level: cursors.space.clone(),
                none: [cursors.no_space.clone(), cursors.no_event_space.clone()],
            },
            overload: Overload::new(parts.thresholds, pressure),
            applied: cursors.applied.clone(),
            taken,
            adjusted,
            controls: controls.reader(),
            remains: last_order,
            marks,
            stats: stats.clone(),
        };
        let sequencer = Sequencer::new(order, parts.time, queues, sizes.batch, wiring);
        let every_ns = (policy == AckPolicy::Memory).then_some(parts.sync_interval_ns);
        let (journal, sync) = common.journal(to_journal, batches, writer, every_ns);
        let outputs = Outputs {
            events,
            answers,
            rejects,
            applied: cursors.applied.clone(),
            deadline,
            directory,
            controls,
            remains: last_exchange,
            clock: clock(),
            stats: stats.clone(),
        };
        let critical = Critical::new(exchange, to_critical, critical_batch, outputs);
        let numbers = Arc::new(Mutex::new(booted.numbers));
        let event_log = common.event_log(to_event_log, booted.event_log, epoch, numbers.clone());
        let (events, written) = (logs.events.clone(), cursors.events_written.clone());
        let replay = Replay::new(to_replay, found, events, numbers, written, stop.clone());
        let (normal, batch) = common.followers(logs, normal_batch, batch_batch);
        let watch = common.watch(logs, parts.space);
        Stages {
            gateways,
            sequencer,
            journal,
            sync,
            gate: common.gate(policy, to_gate, last),
            critical,
            event_log,
            reject_log: common.reject_log(to_reject_log, booted.reject_log),
            priority_log: PriorityLog::new(to_priority_log, clock()),
            replay,
            prepare: Prepare::new([booted.preparer, booted.event_preparer], watch, stop.clone()),
            normal,
            batch,
            remains: Remains { exchange: exchange_left, order: order_left },
            cursors: common.cursors,
        }
    }

    /// The stages as agents, for threads.
    #[must_use]
    pub fn into_agents(self) -> (Agents, Cursors, Remains) {
        let mut agents: Agents = Vec::new();
        for (number, gateway) in (0..).zip(self.gateways) {
            agents.push((Stage::Gateway(number), Box::new(gateway)));
        }
        let others: Agents = vec![
            (Stage::Sequencer, Box::new(self.sequencer)),
            (Stage::Journal, Box::new(self.journal)),
            (Stage::Critical, Box::new(self.critical)),
            (Stage::Gate, Box::new(self.gate)),
            (Stage::Sync, Box::new(self.sync)),
            (Stage::EventLog, Box::new(self.event_log)),
            (Stage::RejectLog, Box::new(self.reject_log)),
            (Stage::PriorityLog, Box::new(self.priority_log)),
            (Stage::Prepare, Box::new(self.prepare)),
            (Stage::Replay, Box::new(self.replay)),
            (Stage::Normal, Box::new(self.normal)),
            (Stage::Batch, Box::new(self.batch)),
        ];
        agents.extend(others);
        (agents, self.cursors, self.remains)
    }
}

/// Keeps segments of the journal and the event log prepared ahead of need, and watches the space for
/// them, on a helper thread.
pub struct Prepare {
    preparers: [Preparer; 2],
    watch: Watch,
    stop: Arc<dyn FailStop>,
    failed: bool,
}

impl Prepare {
    fn new(preparers: [Preparer; 2], watch: Watch, stop: Arc<dyn FailStop>) -> Prepare {
        Prepare { preparers, watch, stop, failed: false }
    }

    fn fail(&mut self, message: &str) {
        self.failed = true;
        self.stop.fail(StopReason::SegmentPreparation, message);
    }
}

impl Agent for Prepare {
    fn name(&self) -> &'static str {
        "segments"
    }

    fn do_work(&mut self) -> usize {
        if self.failed {
            return 0;
        }
        let mut done = 0;
        for index in 0..self.preparers.len() {
            match self.preparers[index].do_work() {
                Ok(steps) => done += steps,
                Err(error) => {
                    self.fail(&format!("{}: {error}", self.preparers[index].dir().display()));
                    return 0;
                }
            }
        }
        let exhausted = self.preparers.iter().any(Preparer::is_exhausted);
        if let Err(error) = self.watch.look(done > 0, exhausted) {
            self.fail(&format!("cannot ask how much space is left: {error}"));
        }
        done
    }

    fn wake_in(&self) -> Option<std::time::Duration> {
        // Space may come back without anybody telling.
        let waiting = self.preparers.iter().any(|preparer| !preparer.is_ahead());
        let retry = waiting.then_some(std::time::Duration::from_millis(100));
        retry.into_iter().chain([self.watch.next_in()]).min()
    }
}
