//! The sequencer: gives every message its place in the one total order.
//!
//! Its intake is the only reader of the input rings and empties them every cycle into bounded queues.
//! From there it takes the most urgent message, asks whether it was seen before, gives it the next
//! sequence and the time, and publishes it to the sequenced ring, which the journal and the critical
//! lane read. What gets no sequence (a refusal, a query, a duplicate) goes the same way without one, so
//! that a session's answers keep the order of its messages.
//!
//! Invariants: sequences rise by exactly one; time never goes back; a batch is closed by a
//! [`Entry::BatchEnd`] behind its last record.

pub mod clock;
pub mod dedupe;
mod holders;
pub mod queues;

use crate::agent::Agent;
use crate::event::RejectReason;
use crate::limits::{BATCH_COUNT_MAX, BATCH_MAX_BYTES};
use crate::message::{Head, Message, MessageKind};
use crate::ring::{Cursor, Full, Reader, Take, Writer};
use crate::types::{Epoch, Sequence, TimeNs};
use clock::SequencerClock;
use crossbeam::channel::Sender;
use dedupe::{Dedupe, Fingerprint, Identity, Verdict, Window};
use holders::Holders;
use queues::{QueueFull, Queues};
use std::time::Duration;

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
    /// The next deadline of any lane, nanoseconds of sequencer time.
    deadline: Cursor,
    /// One of them is not zero while its log has no space: commands are refused.
    no_space: [Cursor; 2],
    batch_max: usize,
    remains: Sender<Order>,
}

/// What the sequencer is connected to.
pub struct Wiring {
    /// One input ring a gateway.
    pub inputs: Vec<Reader<Message>>,
    /// To journal and critical lane.
    pub ring: Writer<Sequenced>,
    /// The next deadline of any lane.
    pub deadline: Cursor,
    /// Not zero while the journal, or the event log, has no space.
    pub no_space: [Cursor; 2],
    /// Takes the order when the sequencer ends.
    pub remains: Sender<Order>,
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
            no_space: wiring.no_space,
            batch_max: batch_max.min(BATCH_COUNT_MAX),
            remains: wiring.remains,
        }
    }

    /// Where the order stands.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Takes what the gateways have published into the queues.
    fn intake(&mut self) -> usize {
        let mut taken = 0;
        let count = self.inputs.len();
        self.first_input = (self.first_input + 1) % count;
        for turn in 0..count {
            let input = &mut self.inputs[(self.first_input + turn) % count];
            let (queues, dedupe) = (&mut self.queues, &self.order.dedupe);
            taken += input.drain(INTAKE_MAX, |message| {
                let fingerprint = match message.head.kind {
                    MessageKind::Command => dedupe.fingerprint(&identity(message)),
                    _ => Fingerprint::default(),
                };
                let pushed = queues.push(message, fingerprint).or_else(|full| match full {
                    QueueFull::Blocked => Err(full),
                    // Begin and end of a session are no requests that could be made again: they wait.
                    QueueFull::Busy if message.head.kind.is_session() => Err(full),
                    QueueFull::Busy => {
                        let kind = MessageKind::Refuse(RejectReason::Busy);
                        queues.push_refusal(Head { kind, ..message.head })
                    }
                });
                if pushed.is_ok() { Take::Next } else { Take::Stop }
            });
        }
        taken
    }

    /// Gives sequences to what waits, at most one batch.
    fn sequence(&mut self) -> usize {
        // An end that found the ring full goes first: were it always last, whoever keeps the ring
        // full with messages that get no sequence would keep a batch open, and its answers, for ever.
        let ended = if self.ending { self.close_batch() } else { 0 };
        if self.ending {
            return 0;
        }
        let mut handled = ended;
        let mut time = None;
        // What gets no sequence counts too: its answer waits for the end of the batch.
        while handled < self.batch_max
            && self.open < self.batch_max
            && self.open_bytes < BATCH_MAX_BYTES / 2
        {
            let (order, holders) = (&mut self.order, &mut self.holders);
            let (clock, ring) = (&mut self.clock, &mut self.ring);
            let refuse_commands = self.no_space.iter().any(|it| it.get() != Sequence::NONE);
            let (mut records, mut bytes) = (0, 0);
            let taken = self.queues.take_next(|head, message| {
                // One reading of the clock serves the whole batch.
                let now = *time.get_or_insert_with(|| clock.now());
                let outcome = match message {
                    Some((message, print)) => {
                        order.place(message, print, now, refuse_commands, holders)
                    }
                    None => Placed::Passing(head.kind),
                };
                let message = message.map(|(message, _)| message);
                let published = order.publish(ring, outcome, head, message, now);
                if published.is_ok() && matches!(outcome, Placed::Record(_)) {
                    note_session(holders, head, message);
                    records = 1;
                    bytes = RECORD_OVERHEAD + message.map_or(0, |m| m.bytes.as_slice().len());
                }
                published.is_ok()
            });
            match taken {
                Some(true) => handled += 1,
                Some(false) | None => break,
            }
            self.open += records;
            self.open_bytes += bytes;
        }
        handled + self.tick() + self.close_batch()
    }

    /// Lets time pass where a lane waits for it and no record does so anyway.
    fn tick(&mut self) -> usize {
        let deadline = self.deadline.get();
        if self.open > 0 || deadline == NO_DEADLINE || self.clock.until(TimeNs(deadline.0)) > 0 {
            return 0;
        }
        let now = self.clock.now();
        let next = self.order.last.next();
        let epoch = self.order.epoch;
        let published = self.ring.try_publish(|slot| {
            (slot.entry, slot.sequence, slot.epoch, slot.time) = (Entry::Tick, next, epoch, now);
        });
        if published.is_err() {
            return 0;
        }
        self.order.last = next;
        self.order.time = now;
        self.open += 1;
        1
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
        self.open = 0;
        self.open_bytes = 0;
        self.ending = false;
        1
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
        refuse_commands: bool,
        holders: &Holders,
    ) -> Placed {
        let head = &message.head;
        match head.kind {
            MessageKind::SessionLogon => Placed::Record(None),
            MessageKind::SessionLogout | MessageKind::SessionLost if holders.holds(head.origin) => {
                Placed::Record(None)
            }
            MessageKind::Command => {
                let timestamp = head.client_timestamp_ms;
                let verdict = self.dedupe.check(fingerprint, head.key, timestamp, now);
                match verdict {
                    Verdict::Duplicate(original) => {
                        Placed::Passing(MessageKind::Duplicate(original))
                    }
                    Verdict::Refused(reason) => Placed::Passing(MessageKind::Refuse(reason)),
                    Verdict::New if refuse_commands => {
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
        head: &Head,
        message: Option<&Message>,
        now: TimeNs,
    ) -> Result<(), Full> {
        let (entry, sequence, kind) = match placed {
            Placed::Record(_) => (Entry::Record, self.last.next(), head.kind),
            Placed::Passing(kind) => (Entry::Passing, self.last, kind),
        };
        let epoch = self.epoch;
        ring.try_publish(|slot| {
            (slot.entry, slot.sequence, slot.epoch, slot.time) = (entry, sequence, epoch, now);
            match message {
                Some(message) => slot.message.copy_from(message),
                None => {
                    slot.message.head = *head;
                    slot.message.bytes.set(&[], &[]);
                }
            }
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
fn note_session(holders: &mut Holders, head: &Head, message: Option<&Message>) {
    match (head.kind, message) {
        (MessageKind::SessionLogon, Some(message)) => {
            holders.logged_on(head.origin, head.key, message.command());
        }
        (MessageKind::SessionLogout | MessageKind::SessionLost, _) => holders.ended(head.origin),
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
        handled
    }

    fn end(&mut self) {
        // A node that nobody asks for its remains has dropped the other end.
        let _ = self.remains.try_send(std::mem::replace(&mut self.order, Order::none()));
    }

    fn wake_in(&self) -> Option<Duration> {
        let deadline = self.deadline.get();
        (deadline != NO_DEADLINE)
            .then(|| Duration::from_nanos(self.clock.until(TimeNs(deadline.0))))
    }
}

#[cfg(test)]
mod tests;
