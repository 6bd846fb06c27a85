//! The stages of one node, connected: rings, cursors, channels. Threads come later, or never: the
//! simulation drives the same stages itself.

use super::boot::{Booted, Logs};
use super::layout::Stage;
use crate::agent::{Agent, FailStop};
use crate::exchange::{Directory, Exchange};
use crate::fatal::StopReason;
use crate::gateway::connection::Door;
use crate::gateway::verify::Verifier;
use crate::gateway::{self, Gateway, Shared, Surroundings};
use crate::journal::agent::{self as journal, Interval, JournalSync, JournalWriter, Timing};
use crate::journal::event_log::EventFollower;
use crate::journal::reader::Reader as LogReader;
use crate::journal::segment::Preparer;
use crate::journal::view::Verify;
use crate::lanes::batch_size::LaneBatch;
use crate::lanes::critical::{Critical, Outputs};
use crate::lanes::follower::{Batch, Bounds, Normal};
use crate::message::Message;
use crate::publish::event_log::EventLog;
use crate::publish::gate::{AckPolicy, Gate, Waits};
use crate::publish::outbound::{Derived, Outbound};
use crate::publish::priority_log::PriorityLog;
use crate::publish::reject_log::RejectLog;
use crate::publish::replay::Replay;
use crate::ring::{Cursor, Latest, ring, ring_of_two};
use crate::sequencer::clock::SequencerClock;
use crate::sequencer::overload::{Overload, PressureSignal, Thresholds};
use crate::sequencer::pending::Taken;
use crate::sequencer::queues::{Capacity, Queues};
use crate::sequencer::turn::Rules;
use crate::sequencer::{self, NO_DEADLINE, Order, Sequenced, Sequencer};
use crate::stats::{MARKS_MAX, Mark, Stats};
use crate::sys::clock::Clock;
use crate::sys::random::Random;
use crate::types::{Lane, Sequence};
use crossbeam::channel::{Receiver, bounded};
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
    /// Done by the lane `batch`.
    pub batch: Cursor,
    /// For each gateway: not zero when it was asked to stop and owes nobody an answer.
    pub drained: Vec<Cursor>,
    /// Not zero while the journal has no space.
    pub no_space: Cursor,
    /// Not zero while the event log has no space.
    pub no_event_space: Cursor,
}

impl Cursors {
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

impl<D: Door + 'static> Stages<D> {
    /// Connects the stages of a booted node.
    #[must_use]
    pub fn connect(booted: Booted, logs: &Logs, parts: Parts<D>) -> Stages<D> {
        let Booted { state, batches, writer, event_log, numbers, reject_log, .. } = booted;
        let (sizes, stop, stats) = (parts.sizes, parts.stop, parts.stats);
        let last = state.order.last;
        let epoch = state.order.epoch;
        let cursors = Cursors {
            written: Cursor::new(last),
            durable: Cursor::new(last),
            applied: Cursor::new(last),
            released: Cursor::new(last),
            events_written: Cursor::new(last),
            drained: parts.outsides.iter().map(|_| Cursor::default()).collect(),
            ..Cursors::default()
        };
        let directory = Latest::new(Directory::of(&state.exchange));
        let controls = Latest::new(*state.exchange.controls());

        let lane_batch =
            |lane: Lane| LaneBatch::new(lane, sizes.lanes[lane as usize], controls.reader());
        let [critical_batch, normal_batch, batch_batch] =
            [Lane::Critical, Lane::Normal, Lane::Batch].map(lane_batch);

        let (sequenced, to_journal, to_critical) = ring_of_two(sizes.sequenced, Sequenced::default);
        let (events, to_event_log) = ring(sizes.events, Derived::default);
        let (rejects, to_reject_log) = ring(sizes.rejects, Message::default);
        let (marks, to_gate) = ring(MARKS_MAX, Mark::default);
        let (wanted, to_replay) = bounded(REPLAYS_MAX);
        let (jobs, to_sync) = bounded(SYNC_JOBS_MAX);
        let (adjusted, to_priority_log) = bounded(ADJUSTED_MAX);
        let pressure = PressureSignal::default();
        let (last_exchange, exchange) = bounded(1);
        let (last_order, order) = bounded(1);

        let (mut inputs, mut answers, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let shared = Arc::new(Shared::default());
        let (mut gateways, mut taken) = (Vec::new(), Vec::new());
        for (number, outside) in (0..).zip(parts.outsides) {
            let (input, intake) = ring(sizes.input, Message::default);
            let (answer, to_gateway) = ring(sizes.answers, Outbound::default);
            let (again, to_asker) = bounded(REPLAYS_MAX);
            inputs.push(intake);
            answers.push(answer);
            found.push(again);
            taken.push(Taken::default());
            let Outside { door, verifier, random } = outside;
            let clock = (parts.clock)();
            gateways.push(Gateway::new(
                number,
                Surroundings { door, verifier, clock, random },
                directory.reader(),
                parts.limits,
                to_gateway,
                gateway::Wiring {
                    input,
                    released: cursors.released.clone(),
                    wanted: wanted.clone(),
                    found: to_asker,
                    drained: cursors.drained[usize::from(number)].clone(),
                    taken: taken[usize::from(number)].clone(),
                    pressure: pressure.clone(),
                    stats: stats.clone(),
                    shared: shared.clone(),
                },
            ));
        }
        let sequencer = Sequencer::new(
            state.order,
            parts.time,
            Queues::new(sizes.queues, parts.rules),
            sizes.batch,
            sequencer::Wiring {
                inputs,
                ring: sequenced,
                deadline: Cursor::new(NO_DEADLINE),
                no_space: [cursors.no_space.clone(), cursors.no_event_space.clone()],
                overload: Overload::new(parts.thresholds, pressure),
                applied: cursors.applied.clone(),
                taken,
                adjusted,
                controls: controls.reader(),
                remains: last_order,
                marks,
                stats: stats.clone(),
            },
        );
        let journal = JournalWriter::new(
            batches,
            writer,
            journal::Wiring {
                input: to_journal,
                jobs,
                written: cursors.written.clone(),
                durable: cursors.durable.clone(),
                no_space: cursors.no_space.clone(),
                stats: stats.clone(),
            },
            stop.clone(),
        );
        let interval = (parts.policy == AckPolicy::Memory).then(|| Interval {
            clock: (parts.clock)(),
            every_ns: parts.sync_interval_ns,
            next_ns: 0,
        });
        let timing = Timing { clock: (parts.clock)(), stats: stats.clone() };
        let durable = cursors.durable.clone();
        let sync = JournalSync::new(to_sync, durable, interval, timing, stop.clone());
        let (clock, counted) = ((parts.clock)(), last);
        let waits = Waits { marks: to_gate, clock, stats: stats.clone(), counted };
        let gate = Gate::new(
            parts.policy,
            cursors.written.clone(),
            cursors.durable.clone(),
            cursors.released.clone(),
            waits,
        );
        let outputs = Outputs {
            events,
            answers,
            rejects,
            applied: cursors.applied.clone(),
            directory,
            controls,
            remains: last_exchange,
            clock: (parts.clock)(),
            stats: stats.clone(),
        };
        let critical = Critical::new(state.exchange, to_critical, critical_batch, outputs);
        let events_written = cursors.events_written.clone();
        let numbers = Arc::new(Mutex::new(numbers));
        let event_log = EventLog::new(
            to_event_log,
            event_log,
            epoch,
            numbers.clone(),
            events_written.clone(),
            cursors.no_event_space.clone(),
            stop.clone(),
        );
        let priority_log = PriorityLog::new(to_priority_log, (parts.clock)());
        let clock = (parts.clock)();
        let reject_log =
            RejectLog::new(to_reject_log, reject_log, clock, stop.clone(), stats.clone());
        let events = logs.events.clone();
        let replay = Replay::new(to_replay, found, events, numbers, events_written, stop.clone());
        let prepare = Prepare {
            preparers: [booted.preparer, booted.event_preparer],
            stop: stop.clone(),
            failed: false,
        };
        let bounds = |done: &Cursor| Bounds {
            written: cursors.written.clone(),
            applied: cursors.applied.clone(),
            events_written: cursors.events_written.clone(),
            done: done.clone(),
            clock: (parts.clock)(),
            stats: stats.clone(),
        };
        let commands = || LogReader::new(logs.commands.clone(), Sequence(1), Verify::Structure);
        let follower = EventFollower::new(logs.events.clone(), Sequence(1), Verify::Structure);
        let normal_bounds = bounds(&cursors.normal);
        let normal = Normal::new(commands(), follower, normal_bounds, normal_batch, stop.clone());
        let batch = Batch::new(commands(), bounds(&cursors.batch), batch_batch, stop);
        Stages {
            gateways,
            sequencer,
            journal,
            sync,
            gate,
            critical,
            event_log,
            reject_log,
            priority_log,
            replay,
            prepare,
            normal,
            batch,
            cursors,
            remains: Remains { exchange, order },
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

/// Keeps segments of the journal and the event log prepared ahead of need, on a helper thread.
pub struct Prepare {
    preparers: [Preparer; 2],
    stop: Arc<dyn FailStop>,
    failed: bool,
}

impl Agent for Prepare {
    fn name(&self) -> &'static str {
        "segments"
    }

    fn do_work(&mut self) -> usize {
        let mut done = 0;
        for preparer in &mut self.preparers {
            if self.failed {
                break;
            }
            match preparer.do_work() {
                Ok(steps) => done += steps,
                Err(error) => {
                    self.failed = true;
                    self.stop.fail(StopReason::SegmentPreparation, &error.to_string());
                }
            }
        }
        done
    }

    fn wake_in(&self) -> Option<std::time::Duration> {
        // Space may come back without anybody telling.
        let waiting = self.preparers.iter().any(|preparer| !preparer.is_ahead());
        waiting.then_some(std::time::Duration::from_millis(100))
    }
}
