//! The journal's agents: one encodes and writes, one makes durable.
//!
//! They are two so that a layout may put them on one thread (a small machine: the sync runs when the
//! thread has nothing else to do) or on two. The writer moves `written`, the syncer `durable`; a
//! cursor moves only when what it says is true.

use super::batch::{BatchBuilder, Part, RecordFields};
use super::format::RecordKind;
use super::payload::{EpochStart, Tick};
use super::writer::{Appended, Fault, SyncJob, Syncer, Writer};
use crate::agent::{Agent, FailStop};
use crate::fatal::StopReason;
use crate::limits::WRITE_MAX_BYTES;
use crate::message::{MessageKind, Span};
use crate::ring::{Cursor, Reader, Take};
use crate::sequencer::{Entry, Sequenced};
use crate::stats::Stats;
use crate::sys::clock::Clock;
use crate::types::{Sequence, TimeNs};
use crossbeam::channel::{Receiver, Sender};
use std::sync::Arc;
use std::time::Duration;
use zerocopy::IntoBytes;

/// Slots taken from the sequenced ring in one round.
const ROUND_MAX: usize = 1024;

/// Encodes sequenced records into batches and writes them.
pub struct JournalWriter {
    input: Reader<Sequenced>,
    batches: BatchBuilder,
    writer: Writer,
    jobs: Sender<SyncJob>,
    written: Cursor,
    durable: Cursor,
    /// Not zero while space is low: orders are refused then, so that the answers to those before and
    /// the refusals themselves still have room, and nobody hangs.
    no_space: Cursor,
    stats: Arc<Stats>,
    stop: Arc<dyn FailStop>,
    failed: bool,
}

/// What the journal's writer is connected to.
pub struct Wiring {
    /// From the sequencer.
    pub input: Reader<Sequenced>,
    /// To the syncer.
    pub jobs: Sender<SyncJob>,
    /// The last sequence received: `pwrite` has returned.
    pub written: Cursor,
    /// The last sequence synced.
    pub durable: Cursor,
    /// Not zero while there is no space.
    pub no_space: Cursor,
    /// What the journal tells.
    pub stats: Arc<Stats>,
}

impl JournalWriter {
    /// A writer that goes on where recovery ended.
    #[must_use]
    pub fn new(
        batches: BatchBuilder,
        writer: Writer,
        wiring: Wiring,
        stop: Arc<dyn FailStop>,
    ) -> JournalWriter {
        JournalWriter {
            input: wiring.input,
            batches,
            writer,
            jobs: wiring.jobs,
            written: wiring.written,
            durable: wiring.durable,
            no_space: wiring.no_space,
            stats: wiring.stats,
            stop,
            failed: false,
        }
    }

    fn watch_space(&mut self) {
        let low = Sequence(u64::from(self.writer.space_is_low()));
        // Only a change is told: the sequencer reads this cursor for every batch.
        if low != self.no_space.get() {
            self.no_space.set(low);
        }
    }

    /// Encodes what the sequencer has published, up to a bounded size.
    fn encode(&mut self) -> usize {
        let (batches, durable) = (&mut self.batches, &self.durable);
        let stats = &self.stats.journal;
        self.input.drain(ROUND_MAX, |slot| {
            if batches.sealed().len() > WRITE_MAX_BYTES / 2 {
                return Take::Stop;
            }
            match slot.entry {
                Entry::Record | Entry::Tick | Entry::EpochStart => {
                    if !batches.is_open() {
                        batches.begin(slot.epoch, durable.get());
                    }
                    push(batches, slot);
                }
                Entry::BatchEnd => {
                    stats.batches.add(1);
                    batches.seal();
                }
                Entry::Passing => {}
            }
            Take::Next
        })
    }

    /// Writes what is sealed. Where no segment is prepared it stays, and is written later.
    fn write(&mut self) -> usize {
        if self.batches.sealed().is_empty() {
            return 0;
        }
        match self.writer.append(self.batches.sealed()) {
            Ok(Appended::Written) => {
                let stats = &self.stats.journal;
                stats.bytes.add(self.batches.sealed().len() as u64);
                stats.records.add(self.writer.written().0 - self.written.get().0);
                stats.writes.add(1);
                stats.segment.set(self.writer.segment());
                self.batches.clear();
                self.written.set(self.writer.written());
                1 + self.hand_over()
            }
            Ok(Appended::NotReady) => 0,
            Err(fault) => self.fail(&fault),
        }
    }

    /// Hands files with bytes that are not synced to the syncer. Its channel holds as many as there
    /// are rounds in a cycle; where it is full the next write hands over what this one could not.
    fn hand_over(&mut self) -> usize {
        let mut count = 0;
        while !self.jobs.is_full() {
            let Some(job) = self.writer.take_sync() else { break };
            if self.jobs.try_send(job).is_err() {
                unreachable!("this is the only sender, the channel had room, and both ends live");
            }
            count += 1;
        }
        count
    }

    fn fail(&mut self, fault: &Fault) -> usize {
        self.failed = true;
        self.stop.fail(StopReason::JournalWrite, &fault.to_string());
        0
    }
}

/// Appends a sequenced slot to the open batch.
fn push(batches: &mut BatchBuilder, slot: &Sequenced) {
    if slot.entry == Entry::Tick {
        let tick = Tick { due_ns: slot.time.0.into() };
        let fields = RecordFields::new(RecordKind::Tick, slot.sequence, slot.time);
        batches.push(&fields, &[], Some(tick.as_bytes())).expect("a tick fits into any batch");
        return;
    }
    if slot.entry == Entry::EpochStart {
        let start = EpochStart::new(slot.epoch.0, slot.epoch.0, 0);
        let fields = RecordFields::new(RecordKind::EpochStart, slot.sequence, slot.time);
        batches.push(&fields, &[], Some(start.as_bytes())).expect("it fits into any batch");
        return;
    }
    let head = &slot.message.head;
    let kind = match head.kind {
        MessageKind::SessionLogon => RecordKind::SessionLogon,
        MessageKind::SessionLogout => RecordKind::SessionLogout,
        MessageKind::SessionLost => RecordKind::SessionLost,
        MessageKind::SessionSend => RecordKind::SessionSend,
        MessageKind::Admin => RecordKind::Admin,
        _ => RecordKind::Command,
    };
    let bytes = slot.message.bytes.as_slice();
    let (received, extra) = bytes.split_at(usize::from(head.received.length));
    let fields = RecordFields {
        kind,
        flags: head.flags,
        sequence: slot.sequence,
        time: slot.time,
        session: head.session,
        key: head.key,
        client_sequence: head.client_sequence,
        client_timestamp_ms: head.client_timestamp_ms,
        expires: TimeNs(head.expires_ns),
        schema: head.schema,
        attempt: head.attempt,
        priority: head.priority,
        priority_sent: head.priority_sent,
        command: part(head.command),
        message_id: part(head.message_id),
        source: part(head.source),
        frame_hash: (head.hash.length > 0).then_some(head.hash.offset),
    };
    let canonical = (!extra.is_empty()).then_some(extra);
    batches.push(&fields, received, canonical).expect("the sequencer closes batches in time");
}

fn part(span: Span) -> Part {
    Part { offset: span.offset, length: span.length }
}

impl Agent for JournalWriter {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn do_work(&mut self) -> usize {
        if self.failed {
            return 0;
        }
        self.watch_space();
        // What could not be written before goes first: nothing may be encoded behind it without bound.
        let waiting = self.batches.sealed().len() > WRITE_MAX_BYTES / 2;
        if waiting && self.write() == 0 {
            return 0;
        }
        self.encode() + self.write()
    }

    fn settle(&mut self) -> usize {
        if self.failed { 0 } else { self.hand_over() }
    }

    fn wake_in(&self) -> Option<Duration> {
        (!self.batches.sealed().is_empty()).then_some(Duration::from_millis(1))
    }
}

/// Makes durable what the writer has written.
pub struct JournalSync {
    jobs: Receiver<SyncJob>,
    syncer: Syncer,
    durable: Cursor,
    /// Policy `memory` syncs at intervals, and need not do so on the order path.
    interval: Option<Interval>,
    timing: Timing,
    stop: Arc<dyn FailStop>,
    failed: bool,
}

/// What times syncs, and where it is told.
pub struct Timing {
    /// The clock.
    pub clock: Box<dyn Clock>,
    /// What the syncer tells.
    pub stats: Arc<Stats>,
}

/// Time between two syncs where nobody waits for them.
pub struct Interval {
    /// The clock.
    pub clock: Box<dyn Clock>,
    /// How long to wait, in nanoseconds.
    pub every_ns: u64,
    /// When the next sync is due.
    pub next_ns: u64,
}

impl JournalSync {
    /// A syncer that goes on where recovery ended: all that it left is durable.
    #[must_use]
    pub fn new(
        jobs: Receiver<SyncJob>,
        durable: Cursor,
        interval: Option<Interval>,
        timing: Timing,
        stop: Arc<dyn FailStop>,
    ) -> JournalSync {
        let syncer = Syncer::new(durable.get());
        JournalSync { jobs, syncer, durable, interval, timing, stop, failed: false }
    }

    /// Syncs every file that is waiting, each once.
    fn sync(&mut self) -> usize {
        let mut count = 0;
        let mut next = self.jobs.try_recv().ok();
        while let Some(job) = next {
            next = self.jobs.try_recv().ok();
            // A later job for the same file covers this one.
            if next.as_ref().is_some_and(|next| next.covers(&job)) {
                continue;
            }
            let started_ns = self.timing.clock.monotonic_ns();
            match self.syncer.sync(&job) {
                // The gate releases answers the moment the cursor moves: only now may it.
                Ok(durable) => {
                    self.durable.set(durable);
                    let took_ns = self.timing.clock.monotonic_ns() - started_ns;
                    self.timing.stats.sync.latency.record(took_ns, 1);
                }
                Err(fault) => {
                    self.failed = true;
                    self.stop.fail(StopReason::JournalSync, &fault.to_string());
                    return 0;
                }
            }
            count += 1;
        }
        count
    }
}

impl Agent for JournalSync {
    fn name(&self) -> &'static str {
        "sync"
    }

    fn do_work(&mut self) -> usize {
        0
    }

    fn settle(&mut self) -> usize {
        if self.failed || self.jobs.is_empty() {
            return 0;
        }
        if let Some(interval) = &mut self.interval {
            let now = interval.clock.monotonic_ns();
            if now < interval.next_ns {
                return 0;
            }
            interval.next_ns = now + interval.every_ns;
        }
        self.sync()
    }

    fn wake_in(&self) -> Option<Duration> {
        let interval = self.interval.as_ref().filter(|_| !self.jobs.is_empty())?;
        let wait = interval.next_ns.saturating_sub(interval.clock.monotonic_ns());
        Some(Duration::from_nanos(wait))
    }

    fn stop(&mut self) {
        // The last records are synced at once: nobody waits for the interval to end.
        self.interval = None;
    }
}
