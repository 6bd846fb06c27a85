//! The sequencer: gives every message its place in the one total order.
//!
//! Its intake is the only reader of the input rings and empties them every cycle into five bounded
//! queues, one a priority. From there it takes the most urgent message, asks whether it was seen before, gives it the next
//! sequence and the time, and publishes it to the sequenced ring, which the journal and the critical
//! lane read. What gets no sequence (a refusal, a query, a duplicate) goes the same way without one, so
//! that a session's answers keep the order of its messages.
//!
//! Invariants: sequences rise by exactly one; time never goes back; a batch is closed by a
//! [`Entry::BatchEnd`] behind its last record.

pub mod clock;
pub mod dedupe;
mod holders;
pub mod overload;
pub mod pending;
pub mod queues;
pub mod turn;

use crate::admin::Controls;
use crate::agent::Agent;
use crate::command::Command;
use crate::event::RejectReason;
use crate::limits::{BATCH_COUNT_MAX, BATCH_MAX_BYTES};
use crate::message::{Head, Message, MessageKind};
use crate::ring::{Cursor, Full, LatestReader, Reader, Take, Writer};
use crate::stats::{Mark, PRIORITIES, Stats};
use crate::types::{Epoch, Priority, Sequence, TimeNs};
use clock::SequencerClock;
use crossbeam::channel::Sender;
use dedupe::{Dedupe, Fingerprint, Identity, Verdict, Window};
use holders::Holders;
use overload::Overload;
use pending::Taken;
use queues::{Adjusted, QueueFull, Queues};
use std::sync::Arc;
use std::time::Duration;
use turn::Turn;

/// What stands in a slot of the sequenced ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// A record: journal it, apply it.
    Record,
    /// A message without a sequence on its way to its answer.
    #[default]
    Passing,
    /// Time has come for something a lane waits for; a record without a message.
    Tick,
    /// The node has started again: every session is lost; a record without a message.
    EpochStart,
    /// The batch ends here.
    BatchEnd,
}

/// A slot of the sequenced ring.
#[derive(Clone, Debug, Default)]
pub struct Sequenced {
    /// What the slot holds.
    pub entry: Entry,
    /// Place in the total order; of the last record for what has no place of its own.
    pub sequence: Sequence,
    /// The primary's reign.
    pub epoch: Epoch,
    /// Sequencer time.
    pub time: TimeNs,
    /// The message.
    pub message: Message,
}

/// Bytes of a record beside the message's own, rounded up: envelope and CRC.
const RECORD_OVERHEAD: usize = 160;
/// Batches sequenced in one round.
const BATCHES_MAX: usize = 4;
/// Messages taken from one input ring a cycle.
const INTAKE_MAX: usize = 1024;
/// How often an overloaded node that has nothing else to do looks whether it still is.
const PRESSURE_WATCH: Duration = Duration::from_millis(50);
/// When a due tick is tried again that found the ring full, or no space for records.
const TICK_RETRY: Duration = Duration::from_millis(10);
/// A deadline cursor with this value has no deadline.
pub const NO_DEADLINE: Sequence = Sequence(u64::MAX);

/// Where the order stands: what a restart, a standby and a replay rebuild from the journal.
pub struct Order {
    /// The last sequence given.
    pub last: Sequence,
    /// The last record's time.
    pub time: TimeNs,
    /// The primary's reign.
    pub epoch: Epoch,
    /// The duplicate window.
    pub dedupe: Dedupe,
}

/// The sequencer's agent.
pub struct Sequencer {
    inputs: Vec<Reader<Message>>,
    /// The input that has the first turn: the next one has it next time.
    first_input: usize,
    queues: Queues,
    order: Order,
    holders: Holders,
    clock: SequencerClock,
    ring: Writer<Sequenced>,
    /// Records published since the last batch end.
    open: usize,
    open_bytes: usize,
    /// The open batch is to end before anything else is published.
    ending: bool,
    /// The next deadline of any lane, nanoseconds of sequencer time; told before `applied` is.
    deadline: Cursor,
    /// The sessions of the run before are to be lost, before anything else is sequenced.
    loses_sessions: bool,
    /// A tick that is due found the ring full, or no space for records.
    hindered: bool,
    space: Space,
    batch_max: usize,
    overload: Overload,
    /// Up to where the critical lane has applied.
    applied: Cursor,
    /// Counts what left the queues, for each gateway.
    taken: Vec<Taken>,
    /// Changes of priority on their way to the log.
    adjusted: Sender<Adjusted>,
    /// Changes that the log did not take.
    unlogged: u64,
    /// LOW and BATCH in the open batch that have waited long.
    bulk: usize,
    /// Sequenced settings, the newest version.
    controls: LatestReader<Controls>,
    remains: Sender<Order>,
    /// Tells the gate when records got their sequence.
    marks: Writer<Mark>,
    /// Messages that have left each priority's queue in this turn, and batches that have ended.
    left: [u64; PRIORITIES],
    batches: u64,
    stats: Arc<Stats>,
}

/// What tells the sequencer how much space the logs have.
#[derive(Clone, Default)]
pub struct Space {
    /// 2 or more while the disk is nearly full: all but cancels and admin commands is refused.
    pub level: Cursor,
    /// One of them is not zero while its log, the journal or the event log, has no space at all:
    /// every command is refused.
    pub none: [Cursor; 2],
}

impl Space {
    fn has_none(&self) -> bool {
        self.none.iter().any(|it| it.get() != Sequence::NONE)
    }

    fn refused(&self) -> Refused {
        if self.has_none() {
            Refused::Commands
        } else if self.level.get() > Sequence(1) {
            Refused::Orders
        } else {
            Refused::Nothing
        }
    }
}

/// What is refused for want of space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Nothing,
    /// What adds to the exchange. Cancels make it smaller, and an operator must be able to act.
    Orders,
    Commands,
}

impl Refused {
    const fn covers(self, head: &Head) -> bool {
        match self {
            Refused::Nothing => false,
            Refused::Orders => {
                matches!(head.kind, MessageKind::Command) && !Command::cancels(head.schema)
            }
            Refused::Commands => true,
        }
    }
}

/// What the sequencer is connected to.
pub struct Wiring {
    /// One input ring a gateway.
    pub inputs: Vec<Reader<Message>>,
    /// To journal and critical lane.
    pub ring: Writer<Sequenced>,
    /// The next deadline of any lane; told before `applied` is.
    pub deadline: Cursor,
    /// The sessions of the run before are to be lost, before anything else is sequenced.
    pub loses_sessions: bool,
    /// What is left for the logs.
    pub space: Space,
    /// Judges how overloaded the node is.
    pub overload: Overload,
    /// Up to where the critical lane has applied.
    pub applied: Cursor,
    /// Tells each gateway what left the queues.
    pub taken: Vec<Taken>,
    /// Takes changes of priority; what it does not take is counted.
    pub adjusted: Sender<Adjusted>,
    /// The newest version of the sequenced settings.
    pub controls: LatestReader<Controls>,
    /// Takes the order when the sequencer ends.
    pub remains: Sender<Order>,
    /// Tells the gate when records got their sequence.
    pub marks: Writer<Mark>,
    /// What the sequencer tells.
    pub stats: Arc<Stats>,
}

impl Sequencer {
    /// A sequencer that goes on where `order` stands.
    #[must_use]
    pub fn new(
        mut order: Order,
        clock: SequencerClock,
        queues: Queues,
        batch_max: usize,
        wiring: Wiring,
    ) -> Sequencer {
        order.dedupe.end_replay();
        wiring.stats.sequencing.sequence.set(order.last.0);
        Sequencer {
            inputs: wiring.inputs,
            first_input: 0,
            queues,
            order,
            holders: Holders::default(),
            clock,
            ring: wiring.ring,
            open: 0,
            open_bytes: 0,
            ending: false,
            deadline: wiring.deadline,
            loses_sessions: wiring.loses_sessions,
            hindered: false,
            space: wiring.space,
            batch_max: batch_max.min(BATCH_COUNT_MAX),
            overload: wiring.overload,
            applied: wiring.applied,
            taken: wiring.taken,
            adjusted: wiring.adjusted,
            unlogged: 0,
            bulk: 0,
            controls: wiring.controls,
            remains: wiring.remains,
            marks: wiring.marks,
            left: [0; PRIORITIES],
            batches: 0,
            stats: wiring.stats,
        }
    }

    /// Where the order stands.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The sequenced settings, in their newest version.
    #[inline]
    pub fn controls(&mut self) -> Controls {
        **self.controls.get()
    }

    /// Takes what the gateways have published into the queues.
    fn intake(&mut self) -> usize {
        let mut taken = 0;
        let mut time = None;
        let (stats, mut load) = (&self.stats, None);
        let count = self.inputs.len();
        self.first_input = (self.first_input + 1) % count;
        for turn in 0..count {
            let input = &mut self.inputs[(self.first_input + turn) % count];
            let (queues, dedupe) = (&mut self.queues, &self.order.dedupe);
            let clock = &mut self.clock;
            taken += input.drain(INTAKE_MAX, |message| {
                // One reading of the clock serves all.
                let now = *time.get_or_insert_with(|| clock.now());
                let fingerprint = match message.head.kind {
                    kind if kind.is_command() => dedupe.fingerprint(&identity(message)),
                    _ => Fingerprint::default(),
                };
                let bulk = message.head.priority == Priority::Batch;
                let load = if bulk { *load.get_or_insert_with(|| stats.load()) } else { 0 };
                let pushed =
                    queues.push(message, fingerprint, now, load).or_else(|full| match full {
                        QueueFull::Blocked => Err(full),
                        // Begin and end of a session are no requests that could be made again: they wait.
                        QueueFull::Busy if message.head.kind.is_session() => Err(full),
                        QueueFull::Busy => {
                            stats.sequencing.refused[message.head.priority as usize].add(1);
                            let kind = MessageKind::Refuse(RejectReason::Busy);
                            queues.push_refusal(Head { kind, ..message.head }, now)
                        }
                    });
                if pushed.is_ok() { Take::Next } else { Take::Stop }
            });
        }
        taken + self.watch(time)
    }

    /// Raises what has waited long, and judges how much waits. Returns 1 where that has changed.
    fn watch(&mut self, time: Option<TimeNs>) -> usize {
        let before = self.overload.is_pressed();
        if before || !self.queues.is_empty() {
            let now = time.unwrap_or_else(|| self.clock.now());
            self.queues.age(now);
            let lag = self.order.last.0.saturating_sub(self.applied.get().0);
            self.overload.look(&self.queues.arrived(), lag, now);
        }
        self.tell_adjusted();
        let pressed = self.overload.is_pressed();
        if pressed != before {
            self.stats.sequencing.pressure.set(u64::from(pressed));
        }
        usize::from(pressed != before)
    }

    /// Counts changes of priority and hands them to the log, as many as it takes.
    fn tell_adjusted(&mut self) {
        while let Some(mut adjusted) = self.queues.adjusted() {
            let Adjusted { from, to, rule, .. } = adjusted;
            self.stats.sequencing.adjusted[from as usize][to as usize][rule as usize].add(1);
            adjusted.left_out = self.unlogged + self.queues.take_lost();
            let sent = self.adjusted.try_send(adjusted).is_ok();
            self.unlogged = if sent { 0 } else { adjusted.left_out + 1 };
        }
    }

    /// Gives sequences to what waits, at most one batch.
    fn sequence(&mut self) -> usize {
        // An end that found the ring full goes first: were it always last, whoever keeps the ring
        // full with messages that get no sequence would keep a batch open, and its answers, for ever.
        let ended = if self.ending { self.close_batch() } else { 0 };
        if self.ending {
            return 0;
        }
        if self.loses_sessions {
            let now = self.clock.now();
            self.loses_sessions = !self.publish_own(Entry::EpochStart, now);
            return ended + usize::from(!self.loses_sessions) + self.close_batch();
        }
        let mut handled = ended;
        let mut time = None;
        let one_in = self.controls.get().bulk_share as usize;
        // What gets no sequence counts too: its answer waits for the end of the batch.
        while handled < self.batch_max
            && self.open < self.batch_max
            && self.open_bytes < BATCH_MAX_BYTES / 2
        {
            let (order, holders) = (&mut self.order, &mut self.holders);
            let (clock, ring) = (&mut self.clock, &mut self.ring);
            let left = &mut self.left;
            let refused = self.space.refused();
            let taken_of = &self.taken;
            let (mut records, mut bytes) = (0, 0);
            let bulk = self.bulk * one_in < self.batch_max;
            let taken = self.queues.take_next(bulk, |message, print, next| {
                if let Some(next) = next {
                    order.dedupe.load_ahead(*next);
                }
                let head = &message.head;
                // One reading of the clock serves the whole batch.
                let now = *time.get_or_insert_with(|| clock.now());
                let outcome = order.place(message, print, now, refused, holders);
                let published = order.publish(ring, outcome, message, now);
                if published.is_ok() {
                    taken_of[usize::from(head.origin.gateway)].count(head.origin.connection);
                    if matches!(outcome, Placed::Record(_)) {
                        note_session(holders, head, message);
                        records = 1;
                        bytes = RECORD_OVERHEAD + message.bytes.as_slice().len();
                    }
                }
                left[head.priority as usize] += u64::from(published.is_ok());
                published.is_ok()
            });
            match taken {
                Some((true, turn)) => {
                    handled += 1;
                    self.bulk += usize::from(turn == Turn::AgedBulk);
                }
                Some((false, _)) | None => break,
            }
            self.open += records;
            self.open_bytes += bytes;
        }
        handled + self.tick() + self.close_batch()
    }

    /// Lets time pass where a lane waits for it and no record does so anyway.
    fn tick(&mut self) -> usize {
        if self.open > 0 || self.due_in() != Some(0) {
            return 0;
        }
        let now = self.clock.now();
        // Slewing may have taken back what the clock had reached.
        let is_due = now.0 >= self.deadline.get().0;
        let published = is_due && !self.space.has_none() && self.publish_own(Entry::Tick, now);
        self.hindered = is_due && !published;
        usize::from(published)
    }

    /// Nanoseconds until something is due; `None` where nothing is, or where records are on their way to
    /// the lane: time passes with them, and what is due then is known when they are applied. So there is
    /// never more than one tick that the lane has not seen.
    fn due_in(&self) -> Option<u64> {
        // In this order: what is told with the last record applied is seen then.
        if self.applied.get() < self.order.last {
            return None;
        }
        let deadline = self.deadline.get();
        (deadline != NO_DEADLINE).then(|| self.clock.until(TimeNs(deadline.0)))
    }

    /// Sequences a record of the node's own; false where the ring is full.
    fn publish_own(&mut self, entry: Entry, now: TimeNs) -> bool {
        let next = self.order.last.next();
        let epoch = self.order.epoch;
        let published = self.ring.try_publish(|slot| {
            (slot.entry, slot.sequence, slot.epoch, slot.time) = (entry, next, epoch, now);
        });
        if published.is_ok() {
            self.order.last = next;
            self.order.time = now;
            self.open += 1;
        }
        published.is_ok()
    }

    /// Marks the end of the batch behind its last record.
    fn close_batch(&mut self) -> usize {
        if self.open == 0 {
            return 0;
        }
        self.ending = true;
        let (last, time, epoch) = (self.order.last, self.order.time, self.order.epoch);
        let published = self.ring.try_publish(|slot| {
            (slot.entry, slot.sequence, slot.epoch, slot.time) =
                (Entry::BatchEnd, last, epoch, time);
        });
        if published.is_err() {
            return 0;
        }
        self.batches += 1;
        self.open = 0;
        self.open_bytes = 0;
        self.bulk = 0;
        self.ending = false;
        1
    }

    /// Tells what a turn came to.
    fn tell(&mut self) {
        let stats = &self.stats.sequencing;
        let depths = self.queues.depths();
        for (priority, taken) in self.left.iter_mut().enumerate() {
            stats.depth[priority].set(depths[priority] as u64);
            stats.taken[priority].add(std::mem::take(taken));
        }
        stats.batches.add(std::mem::take(&mut self.batches));
        for (priority, since) in self.queues.oldest().into_iter().enumerate() {
            let age_ns = since.map_or(0, |since| self.order.time.0.saturating_sub(since.0));
            stats.oldest_ns[priority].set(age_ns);
        }
        if stats.sequence.get() != self.order.last.0 {
            stats.sequence.set(self.order.last.0);
            let mark = Mark { last: self.order.last, at_ns: self.clock.read_ns() };
            // A gate that is that far behind counts these records with the next mark.
            let _ = self.marks.try_publish(|slot| *slot = mark);
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug)]
enum Placed {
    /// It gets the next sequence; a command's fingerprint enters the duplicate window.
    Record(Option<Fingerprint>),
    /// It gets none, and goes on as this.
    Passing(MessageKind),
}

impl Order {
    /// Before the first record, with a window that remembers nothing: genesis brings the real one.
    #[must_use]
    pub fn none() -> Order {
        let window = Window { count_max: 1, age_max_ns: 0, ahead_max_ms: 0 };
        let dedupe = Dedupe::new([0; 16], window);
        Order { last: Sequence::NONE, time: TimeNs(0), epoch: Epoch(0), dedupe }
    }

    fn place(
        &self,
        message: &Message,
        fingerprint: Fingerprint,
        now: TimeNs,
        refused: Refused,
        holders: &Holders,
    ) -> Placed {
        let head = &message.head;
        match head.kind {
            MessageKind::SessionLogon => Placed::Record(None),
            MessageKind::SessionLogout | MessageKind::SessionLost | MessageKind::SessionSend
                if holders.holds(head.origin) =>
            {
                Placed::Record(None)
            }
            MessageKind::Command | MessageKind::Admin => {
                let timestamp = head.client_timestamp_ms;
                let verdict = self.dedupe.check(fingerprint, head.key, timestamp, now);
                match verdict {
                    Verdict::Duplicate(original) => {
                        Placed::Passing(MessageKind::Duplicate(original))
                    }
                    Verdict::Refused(reason) => Placed::Passing(MessageKind::Refuse(reason)),
                    Verdict::New if refused.covers(head) => {
                        Placed::Passing(MessageKind::Refuse(RejectReason::NoSpace))
                    }
                    Verdict::New => Placed::Record(Some(fingerprint)),
                }
            }
            other => Placed::Passing(other),
        }
    }

    /// Publishes a message, and moves the order on where it got a sequence.
    fn publish(
        &mut self,
        ring: &mut Writer<Sequenced>,
        placed: Placed,
        message: &Message,
        now: TimeNs,
    ) -> Result<(), Full> {
        let head = &message.head;
        let (entry, sequence, kind) = match placed {
            Placed::Record(_) => (Entry::Record, self.last.next(), head.kind),
            Placed::Passing(kind) => (Entry::Passing, self.last, kind),
        };
        let epoch = self.epoch;
        ring.try_publish(|slot| {
            (slot.entry, slot.sequence, slot.epoch, slot.time) = (entry, sequence, epoch, now);
            slot.message.copy_from(message);
            slot.message.head.kind = kind;
        })?;
        if let Placed::Record(fingerprint) = placed {
            self.last = sequence;
            self.time = now;
            if let Some(fingerprint) = fingerprint {
                let timestamp = head.client_timestamp_ms;
                self.dedupe.insert(fingerprint, head.key, timestamp, sequence, now);
            }
        }
        Ok(())
    }
}

/// Notes who holds a session from this record on.
fn note_session(holders: &mut Holders, head: &Head, message: &Message) {
    match head.kind {
        MessageKind::SessionLogon => holders.logged_on(head.origin, head.key, message.command()),
        MessageKind::SessionLogout | MessageKind::SessionLost => holders.ended(head.origin),
        _ => {}
    }
}

/// What the duplicate window knows a message by.
fn identity(message: &Message) -> Identity<'_> {
    Identity {
        key: message.head.key,
        source: message.source(),
        message_id: message.message_id(),
        timestamp_ms: message.head.client_timestamp_ms,
        schema: message.head.schema,
        payload: message.command(),
    }
}

impl Agent for Sequencer {
    fn name(&self) -> &'static str {
        "sequencer"
    }

    fn do_work(&mut self) -> usize {
        let mut handled = self.intake();
        for _ in 0..BATCHES_MAX {
            let sequenced = self.sequence();
            handled += sequenced;
            if sequenced == 0 || self.queues.is_empty() {
                break;
            }
        }
        if handled > 0 {
            self.tell();
        }
        handled
    }

    fn end(&mut self) {
        // A node that nobody asks for its remains has dropped the other end.
        let _ = self.remains.try_send(std::mem::replace(&mut self.order, Order::none()));
    }

    fn wake_in(&self) -> Option<Duration> {
        let due = self.due_in().map(|ns| match ns {
            0 if self.hindered => TICK_RETRY,
            ns => Duration::from_nanos(ns),
        });
        // That the pressure is over is told even where nothing else happens.
        let watch = self.overload.is_pressed().then_some(PRESSURE_WATCH);
        due.into_iter().chain(watch).min()
    }
}

#[cfg(test)]
mod tests;
