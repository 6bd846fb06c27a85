//! Counters and gauges of a running node: what stages tell, and readers far from them look at.
//!
//! Invariants: every number has one writer, a plain store with no lock, no fence and no read-modify-
//! write; numbers of one writer lie together, padded from those of others; nothing is allocated after
//! the start. A reader sees each number somewhat late, and never a torn one.

mod count;
mod load;

pub use count::{BOUNDS_NS, Count, Histogram, Tally};
pub use load::{Load, Meter};

use crate::event::RejectReason;
use crate::types::{Priority, Sequence};
use crossbeam::utils::CachePadded;
use std::sync::Arc;

/// Number of priorities.
pub const PRIORITIES: usize = Priority::ALL.len();
/// Rules by which a priority may be adjusted, as counters name them: rows S1.67 to S1.69, and subjects.
pub const RULES: [&str; RULES_MAX] = ["age", "attempts", "idle", "subject", "entitlement"];
/// Rules by which a priority may be adjusted, at most.
pub const RULES_MAX: usize = 5;
/// The lanes, in the order of [`Stats::lanes`].
pub const LANES: [&str; 3] = ["critical", "normal", "batch"];
/// Place of the lane `critical`.
pub const CRITICAL: usize = 0;
/// Place of the lane `normal`.
pub const NORMAL: usize = 1;
/// Place of the lane `batch`.
pub const BATCH: usize = 2;

/// One count for each priority.
pub type ByPriority = [Count; PRIORITIES];

/// Everything that the stages of a node tell.
pub struct Stats {
    /// Written by the sequencer.
    pub sequencing: CachePadded<Sequencing>,
    /// Written by the lanes, each its own.
    pub lanes: [CachePadded<Lane>; LANES.len()],
    /// Written by the journal's writer.
    pub journal: CachePadded<Journal>,
    /// Written by the journal's syncer.
    pub sync: CachePadded<Sync>,
    /// Written by the gate.
    pub gate: CachePadded<Gate>,
    /// Written by the gateways, each its own.
    pub gateways: Vec<CachePadded<Gateway>>,
    /// Written by the writer of the reject log.
    pub reject_log: CachePadded<RejectLog>,
    /// Written by who watches the disk.
    pub space: CachePadded<Space>,
    /// Written by who folds the journal.
    pub snapshots: CachePadded<Snapshots>,
    /// Written by who retires segments.
    pub retention: CachePadded<Retention>,
    /// Written by the threads, each its own.
    pub threads: Vec<(String, Arc<CachePadded<Load>>)>,
}

/// What the sequencer tells.
#[derive(Default)]
pub struct Sequencing {
    /// Messages that wait in each priority's queue.
    pub depth: ByPriority,
    /// Messages that have left each queue, with a sequence or without.
    pub taken: ByPriority,
    /// Messages that found their queue full, or were refused because of load.
    pub refused: ByPriority,
    /// Age of the message that has waited longest in each queue, nanoseconds; 0 where none waits.
    pub oldest_ns: ByPriority,
    /// Priorities adjusted: from, to, by which rule.
    pub adjusted: [[[Count; RULES_MAX]; PRIORITIES]; PRIORITIES],
    /// The last sequence given.
    pub sequence: Count,
    /// Batches ended.
    pub batches: Count,
    /// Not zero while the node is overloaded.
    pub pressure: Count,
}

/// What a lane tells.
#[derive(Default)]
pub struct Lane {
    /// Records taken in the turn in hand; told by the lanes that follow.
    pub in_flight: Count,
    /// Records, or slots, handled in all.
    pub handled: Count,
    /// Records a turn takes at most, as the lane was told last.
    pub batch_max: Count,
    /// Time of the last record handled while more were waiting, nanoseconds since the Unix epoch; 0
    /// while none waits.
    pub behind_ns: Count,
    /// How long a turn took that had something to do.
    pub turn: Histogram,
    /// Entries that the reject log has lost because its ring was full.
    pub rejects_lost: Count,
}

/// What the journal's writer tells.
#[derive(Default)]
pub struct Journal {
    /// Records written.
    pub records: Count,
    /// Bytes written, heads of segments left out.
    pub bytes: Count,
    /// Batches written.
    pub batches: Count,
    /// Appends, each of one batch or more.
    pub writes: Count,
    /// Index of the segment that is written to, from 0.
    pub segment: Count,
}

/// What the journal's syncer tells.
#[derive(Default)]
pub struct Sync {
    /// How long each sync took.
    pub latency: Histogram,
}

/// What the gate tells.
#[derive(Default)]
pub struct Gate {
    /// From a record's sequence to its release.
    pub wait: Histogram,
}

/// What a gateway tells.
pub struct Gateway {
    /// Open connections.
    pub connections: Count,
    /// Sessions that are logged on.
    pub sessions: Count,
    /// Connections accepted in all.
    pub connections_accepted: Count,
    /// Bytes received.
    pub bytes_in: Count,
    /// Bytes sent.
    pub bytes_out: Count,
    /// Whole frames received.
    pub frames: Count,
    /// Commands of LOW and BATCH among them.
    pub bulk_frames: Count,
    /// Messages answered, refusals included and answers that are sent again left out.
    pub answered: Count,
    /// Commands answered that were sequenced and not refused.
    pub accepted_commands: Count,
    /// Commands that repeat one that was sequenced.
    pub duplicates: Count,
    /// Refusals, by the reason's number.
    pub rejects: Box<[Count]>,
    /// Connections closed because they took their bytes too slowly.
    pub slow_closes: Count,
    /// Bytes that wait for clients to take them, as of the last sweep.
    pub pending_output: Count,
    /// Bytes received that wait to be handed on, held ones included, as of the last sweep.
    pub pending_input: Count,
    /// From the receipt of a message to the sending of its answer.
    pub latency: Histogram,
}

impl Default for Gateway {
    fn default() -> Gateway {
        let largest = RejectReason::ALL.last().map_or(0, |reason| *reason as usize);
        Gateway {
            connections: Count::default(),
            sessions: Count::default(),
            connections_accepted: Count::default(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            frames: Count::default(),
            bulk_frames: Count::default(),
            answered: Count::default(),
            accepted_commands: Count::default(),
            duplicates: Count::default(),
            rejects: (0..=largest).map(|_| Count::default()).collect(),
            slow_closes: Count::default(),
            pending_output: Count::default(),
            pending_input: Count::default(),
            latency: Histogram::default(),
        }
    }
}

impl Gateway {
    /// Counts a refusal.
    pub fn refuse(&self, reason: RejectReason) {
        self.rejects[reason as usize].add(1);
    }
}

/// What the writer of the reject log tells.
#[derive(Default)]
pub struct RejectLog {
    /// Entries written.
    pub written: Count,
}

/// What the thread tells that makes snapshots.
#[derive(Default)]
pub struct Snapshots {
    /// Sequence of the newest; 0 before the first one of this process.
    pub sequence: Count,
    /// Bytes of it.
    pub bytes: Count,
    /// How long it took.
    pub duration_ns: Count,
    /// Snapshots that could not be made.
    pub failures: Count,
}

/// What the thread tells that retires segments.
#[derive(Default)]
pub struct Retention {
    /// Of the journal.
    pub commands: Retired,
    /// Of the event log.
    pub events: Retired,
    /// Looks at which not all could be retired that may go.
    pub failures: Count,
}

/// What was retired of a log.
#[derive(Default)]
pub struct Retired {
    /// Segments.
    pub segments: Count,
    /// Their bytes.
    pub bytes: Count,
    /// The first sequence that is kept; 0 before the first look.
    pub first: Count,
}

/// What the watch over the disk tells.
#[derive(Default)]
pub struct Space {
    /// Bytes free for the logs, as of the last look.
    pub available: Count,
}

impl Stats {
    /// Counters of a node with so many gateways and these threads, all zero.
    #[must_use]
    pub fn new(gateways: usize, threads: &[&str]) -> Stats {
        let load = |name: &&str| ((*name).to_owned(), Arc::new(CachePadded::new(Load::default())));
        Stats {
            sequencing: CachePadded::default(),
            lanes: Default::default(),
            journal: CachePadded::default(),
            sync: CachePadded::default(),
            gate: CachePadded::default(),
            gateways: (0..gateways).map(|_| CachePadded::default()).collect(),
            reject_log: CachePadded::default(),
            space: CachePadded::default(),
            snapshots: CachePadded::default(),
            retention: CachePadded::default(),
            threads: threads.iter().map(load).collect(),
        }
    }

    /// How busy the busiest lane's thread was over the last second, in thousandths.
    ///
    /// This reads the clock: ask once a round, not once a message.
    #[must_use]
    pub fn load(&self) -> u64 {
        LANES.iter().map(|lane| self.thread_load(lane)).max().unwrap_or(0)
    }

    /// How busy a thread was over the last second, in thousandths; 0 for a thread that is not there.
    #[must_use]
    pub fn thread_load(&self, name: &str) -> u64 {
        let thread = self.threads.iter().find(|(thread, _)| thread == name);
        thread.map_or(0, |(_, load)| load.per_mille())
    }

    /// What measures a thread, by its name.
    #[must_use]
    pub fn meter(&self, name: &str) -> Meter {
        let thread = self.threads.iter().find(|(thread, _)| thread == name);
        Meter::new(thread.map(|(_, load)| load.clone()).unwrap_or_default())
    }
}

/// Tells the gate when records got their sequence: up to `last`, at `at_ns` of the monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// The last sequence given.
    pub last: Sequence,
    /// When.
    pub at_ns: u64,
}

/// Marks on their way to the gate. Where more are, some records' wait is not measured.
pub const MARKS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_count() {
        let gateway = Gateway::default();
        for (times, reason) in RejectReason::ALL.iter().enumerate() {
            (0..=times).for_each(|_| gateway.refuse(*reason));
        }
        for (times, reason) in RejectReason::ALL.iter().enumerate() {
            assert_eq!(gateway.rejects[*reason as usize].get(), times as u64 + 1, "{reason}");
        }
    }
}
