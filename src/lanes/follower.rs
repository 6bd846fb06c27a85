//! The lanes behind `critical`: `normal` and `batch` follow the journal and `critical`'s event log.
//!
//! Both take sequence N only when `critical` has applied N and it is in the mapped files, so that a
//! lane that lags, or stands still, holds up nobody. In this release their work is to count: commands
//! of each session and instrument, with the instruments' trades (`normal`); records of each kind
//! (`batch`). Every number is a function of the journal.

use crate::agent::{Agent, FailStop};
use crate::command::Command;
use crate::event::EventBody;
use crate::fatal::StopReason;
use crate::journal::event_log::EventFollower;
use crate::journal::format::RecordKind;
use crate::journal::reader::{ReadError, Reader};
use crate::journal::view::Record;
use crate::lanes::batch_size::LaneBatch;
use crate::ring::Cursor;
use crate::stats::{self, Stats};
use crate::sys::clock::Clock;
use crate::types::{InstrumentId, Sequence, SessionId, TimeNs};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records or events taken in one round.
const ROUND_MAX: usize = 1024;

/// What the lane `normal` counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Commands of each session.
    pub sessions: BTreeMap<SessionId, u64>,
    /// Commands that name each instrument.
    pub instruments: BTreeMap<InstrumentId, u64>,
    /// Trades of each instrument.
    pub trades: BTreeMap<InstrumentId, u64>,
}

/// What the lane `batch` counts: records of each kind, by the kind's number.
pub type Kinds = BTreeMap<u8, u64>;

/// Up to where a following lane may go, and where it tells how far it is.
pub struct Bounds {
    /// In the journal's files.
    pub written: Cursor,
    /// Applied by `critical`.
    pub applied: Cursor,
    /// In the event log's files.
    pub events_written: Cursor,
    /// Done by this lane.
    pub done: Cursor,
    /// Events that the lane `normal` has done with.
    pub events_done: Cursor,
    /// Times turns.
    pub clock: Box<dyn Clock>,
    /// What the lanes tell.
    pub stats: Arc<Stats>,
}

impl Bounds {
    /// The last sequence that may be taken now.
    fn limit(&self) -> Sequence {
        self.written.get().min(self.applied.get())
    }

    /// Tells of the begin of a turn of this lane: what it may take at most. Returns the time.
    fn begin(&self, lane: usize, limit: Sequence, size: usize) -> u64 {
        self.stats.lanes[lane].batch_max.set(size as u64);
        let waiting = limit.0.saturating_sub(self.done.get().0);
        self.stats.lanes[lane].in_flight.set(waiting.min(ROUND_MAX as u64));
        self.clock.monotonic_ns()
    }

    /// Tells of the end of a turn that handled so many records since `started_ns`, up to one of time
    /// `last`.
    fn end(&self, lane: usize, handled: usize, started_ns: u64, last: TimeNs) {
        let stats = &self.stats.lanes[lane];
        stats.in_flight.set(0);
        let behind = if self.done.get() < self.limit() { last } else { TimeNs(0) };
        stats.behind_ns.set(behind.0);
        if handled > 0 {
            stats.handled.add(handled as u64);
            stats.turn.record(self.clock.monotonic_ns() - started_ns, 1);
        }
    }

    /// Records that wait for the lane.
    fn lag(&self) -> u64 {
        self.applied.get().0.saturating_sub(self.done.get().0)
    }
}

/// Records that a lane has taken.
struct Taken {
    count: usize,
    /// Sequence and time of the last one.
    last: Sequence,
    time: TimeNs,
}

/// Hands up to `max` records to `each`; none where there is none.
fn take(
    journal: &mut Reader,
    limit: Sequence,
    max: usize,
    mut each: impl FnMut(&Record<'_>),
) -> Result<Option<Taken>, ReadError> {
    let mut taken = None;
    for count in 1..=max {
        let Some(record) = journal.next_record(limit)? else { break };
        each(&record);
        taken = Some(Taken { count, last: record.sequence(), time: record.time() });
    }
    Ok(taken)
}

/// The lane `normal`.
pub struct Normal {
    journal: Reader,
    events: EventFollower,
    bounds: Bounds,
    batch: LaneBatch,
    activity: Activity,
    stop: Arc<dyn FailStop>,
    /// A log could not be read, or the node stops: what is not counted is counted at the next start.
    ended: bool,
}

impl Normal {
    /// A lane that has nothing behind it and reads from the journal's start.
    #[must_use]
    pub fn new(
        journal: Reader,
        events: EventFollower,
        bounds: Bounds,
        batch: LaneBatch,
        stop: Arc<dyn FailStop>,
    ) -> Normal {
        let activity = Activity::default();
        Normal { journal, events, bounds, batch, activity, stop, ended: false }
    }

    /// What it has counted.
    #[must_use]
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    fn follow(&mut self) -> Result<usize, ReadError> {
        let mut count = 0;
        let limit = self.bounds.limit();
        let size = self.batch.of_round(self.bounds.lag());
        let started_ns = self.bounds.begin(stats::NORMAL, limit, size);
        let mut time = TimeNs(0);
        while count < ROUND_MAX {
            let activity = &mut self.activity;
            let taken = take(&mut self.journal, limit, size, |record| activity.command(record))?;
            let Some(taken) = taken else { break };
            self.bounds.done.set(taken.last);
            time = taken.time;
            count += taken.count;
        }
        self.bounds.end(stats::NORMAL, count, started_ns, time);
        let limit = limit.min(self.bounds.events_written.get());
        while count < 2 * ROUND_MAX {
            let Some(event) = self.events.next_event(limit)? else {
                self.bounds.events_done.set(limit);
                break;
            };
            // Further events of its sequence may stand behind it.
            self.bounds.events_done.set(Sequence(event.sequence.0 - 1));
            if let EventBody::Trade(trade) = &event.body {
                *self.activity.trades.entry(trade.instrument).or_default() += 1;
            }
            count += 1;
        }
        Ok(count)
    }
}

impl Activity {
    fn command(&mut self, record: &Record<'_>) {
        if record.kind() != RecordKind::Command {
            return;
        }
        *self.sessions.entry(record.session()).or_default() += 1;
        let command = Command::decode(record.envelope().schema.get(), record.command());
        if let Some(instrument) = command.ok().and_then(|command| command.instrument()) {
            *self.instruments.entry(instrument).or_default() += 1;
        }
    }
}

impl Agent for Normal {
    fn name(&self) -> &'static str {
        "normal"
    }

    fn do_work(&mut self) -> usize {
        if self.ended {
            return 0;
        }
        self.follow().unwrap_or_else(|error| {
            self.ended = true;
            self.stop.fail(StopReason::LogRead, &format!("lane normal: {error}"));
            0
        })
    }

    fn stop(&mut self) {
        self.ended = true;
    }
}

/// The lane `batch`.
pub struct Batch {
    journal: Reader,
    bounds: Bounds,
    batch: LaneBatch,
    kinds: Kinds,
    stop: Arc<dyn FailStop>,
    /// A log could not be read, or the node stops: what is not counted is counted at the next start.
    ended: bool,
}

impl Batch {
    /// A lane that has nothing behind it and reads from the journal's start.
    #[must_use]
    pub fn new(
        journal: Reader,
        bounds: Bounds,
        batch: LaneBatch,
        stop: Arc<dyn FailStop>,
    ) -> Batch {
        Batch { journal, bounds, batch, kinds: Kinds::new(), stop, ended: false }
    }

    /// What it has counted.
    #[must_use]
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    fn follow(&mut self) -> Result<usize, ReadError> {
        let limit = self.bounds.limit();
        let size = self.batch.of_round(self.bounds.lag());
        let started_ns = self.bounds.begin(stats::BATCH, limit, size);
        let mut time = TimeNs(0);
        let mut count = 0;
        while count < ROUND_MAX {
            let kinds = &mut self.kinds;
            let taken = take(&mut self.journal, limit, size, |record| {
                *kinds.entry(record.kind() as u8).or_default() += 1;
            })?;
            let Some(taken) = taken else { break };
            self.bounds.done.set(taken.last);
            time = taken.time;
            count += taken.count;
        }
        self.bounds.end(stats::BATCH, count, started_ns, time);
        Ok(count)
    }
}

impl Agent for Batch {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn do_work(&mut self) -> usize {
        if self.ended {
            return 0;
        }
        self.follow().unwrap_or_else(|error| {
            self.ended = true;
            self.stop.fail(StopReason::LogRead, &format!("lane batch: {error}"));
            0
        })
    }

    fn stop(&mut self) {
        self.ended = true;
    }
}
