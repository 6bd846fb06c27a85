//! The writer of `critical`'s event log, on a helper thread: answers come from memory, so the log may
//! lag, and what a crash takes from its end is made again from the journal.

use super::outbound::Derived;
use super::rest::Numbers;
use crate::agent::{Agent, FailStop};
use crate::fatal::StopReason;
use crate::journal::event_log::EventLogWriter;
use crate::journal::writer::{Appended, Fault};
use crate::ring::{Cursor, Reader, Take};
use crate::types::{Epoch, Sequence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Slots taken in one round.
const ROUND_MAX: usize = 4096;
/// Bytes between two requests to write back.
const WRITE_BACK_BYTES: u64 = 1024 * 1024;
/// Bytes that may wait for a prepared segment before the ring is left to fill.
const PENDING_MAX: usize = 4 * 1024 * 1024;

/// The event log's agent.
pub struct EventLog {
    input: Reader<Derived>,
    log: EventLogWriter,
    epoch: Epoch,
    open: bool,
    write_back_at: u64,
    /// Where numbers stand, for those who resume; nobody else's thread takes it while orders flow.
    numbers: Arc<Mutex<Numbers>>,
    written: Cursor,
    /// Not zero while space is low: orders are refused then, before this log holds up the lane.
    no_space: Cursor,
    stop: Arc<dyn FailStop>,
    failed: bool,
}

impl EventLog {
    /// A writer that goes on where recovery completed the log.
    #[must_use]
    pub fn new(
        input: Reader<Derived>,
        log: EventLogWriter,
        epoch: Epoch,
        numbers: Arc<Mutex<Numbers>>,
        written: Cursor,
        no_space: Cursor,
        stop: Arc<dyn FailStop>,
    ) -> EventLog {
        EventLog {
            input,
            log,
            epoch,
            open: false,
            write_back_at: 0,
            numbers,
            written,
            no_space,
            stop,
            failed: false,
        }
    }

    fn watch_space(&mut self) {
        let low = Sequence(u64::from(self.log.space_is_low()));
        // Only a change is told: the sequencer reads this cursor for every batch.
        if low != self.no_space.get() {
            self.no_space.set(low);
        }
    }

    fn encode(&mut self) -> usize {
        let (log, open, epoch) = (&mut self.log, &mut self.open, &mut self.epoch);
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        self.input.drain(ROUND_MAX, |slot| {
            if !*open {
                let first = log.complete().next();
                log.builder().begin_batch(first, *epoch);
                *open = true;
            }
            match slot {
                Derived::Event { time, event } => {
                    numbers.note(event);
                    log.builder().push(*time, std::slice::from_ref(event));
                    Take::Next
                }
                Derived::BatchEnd { last, epoch: now } => {
                    *epoch = *now;
                    log.builder().end_batch(*last);
                    *open = false;
                    Take::Next
                }
            }
        })
    }

    fn write(&mut self) -> Result<usize, Fault> {
        if self.log.pending_bytes() == 0 {
            return Ok(0);
        }
        let appended = self.log.flush()?;
        self.write_back()?;
        self.written.set(self.log.written());
        Ok(usize::from(appended == Appended::Written))
    }
}

impl EventLog {
    /// Nobody waits for this log to be durable, but what piles up unwritten makes everybody wait in
    /// the end: the kernel is asked to write it back as it grows.
    fn write_back(&mut self) -> Result<(), Fault> {
        if self.log.written_bytes() < self.write_back_at {
            return Ok(());
        }
        self.write_back_at = self.log.written_bytes() + WRITE_BACK_BYTES;
        while let Some(job) = self.log.take_sync() {
            // The kernel tells an error of what it wrote back before only once, and here may be where.
            job.start_write_back()?;
        }
        Ok(())
    }
}

impl Agent for EventLog {
    fn name(&self) -> &'static str {
        "event log"
    }

    fn do_work(&mut self) -> usize {
        if self.failed {
            return 0;
        }
        self.watch_space();
        let encoded = if self.log.pending_bytes() < PENDING_MAX { self.encode() } else { 0 };
        match self.write() {
            Ok(written) => encoded + written,
            Err(fault) => {
                self.failed = true;
                self.stop.fail(StopReason::EventLogWrite, &fault.to_string());
                0
            }
        }
    }

    fn wake_in(&self) -> Option<Duration> {
        (self.log.pending_bytes() > 0).then_some(Duration::from_millis(1))
    }
}
