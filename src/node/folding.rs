//! Snapshots while the node runs: every so often the journal is folded into one, on a thread of its own
//! that gives way to all others.
//!
//! Invariants: nothing that runs is asked for anything: the thread reads the journal's files as any
//! other reader does. A snapshot that cannot be made for want of memory or space is tried again when
//! the next one is due; a disk that fails stops the node.

use super::boot::{Logs, of_action};
use crate::agent::{ExitProcess, FailStop};
use crate::config::Config;
use crate::fatal::StopReason;
use crate::journal::info::info;
use crate::journal::segment::is_no_space;
use crate::snapshot::fold::{FoldError, Folded, fold};
use crate::snapshot::store::StoreError;
use crate::stats::Stats;
use crate::sys::thread;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The thread works so long at a time, and rests as long, so that it never has a core for itself.
const WORK: Duration = Duration::from_millis(2);

/// What the thread needs.
pub(super) struct Plan {
    logs: Logs,
    /// Time between two snapshots; zero for none.
    interval: Duration,
    /// How many are kept.
    keep: usize,
    /// Where the thread runs.
    core: Option<usize>,
    stats: Arc<Stats>,
}

impl Plan {
    pub(super) fn new(config: &Config, logs: Logs, core: Option<usize>, stats: Arc<Stats>) -> Plan {
        let interval = Duration::from_secs(config.snapshots.interval_s);
        Plan { logs, interval, keep: config.snapshots.keep as usize, core, stats }
    }
}

/// The thread; it ends with this.
pub(super) struct Folding {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Folding {
    /// Starts it; `None` where no snapshots are asked for.
    pub(super) fn start(plan: Plan) -> io::Result<Option<Folding>> {
        if plan.interval.is_zero() {
            return Ok(None);
        }
        let (end, ended) = bounded(0);
        let run = move || {
            if let Some(core) = plan.core {
                thread::pin("snapshots", core);
            }
            thread::give_way();
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(plan.interval) {
                plan.fold(&ended);
            }
        };
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(run)?;
        Ok(Some(Folding { end: Some(end), thread: Some(thread) }))
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // Where a panic does not end the process, it was told on stderr.
            let _ = thread.join();
        }
    }
}

impl Plan {
    fn fold(&self, ended: &Receiver<()>) {
        let Logs { commands, snapshots, .. } = &self.logs;
        match self.is_behind() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.failed(&error),
        }
        let mut working_since = Instant::now();
        let folded = fold(commands, snapshots, None, self.keep, &mut |_| {
            if working_since.elapsed() < WORK {
                return ControlFlow::Continue(());
            }
            let over = ended.recv_timeout(WORK) != Err(RecvTimeoutError::Timeout);
            working_since = Instant::now();
            if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match folded {
            Ok(folded) => self.done(&folded),
            Err(error) => self.failed(&error),
        }
    }

    /// Whether the newest snapshot is older than what the journal says is durable.
    fn is_behind(&self) -> Result<bool, FoldError> {
        let known = info(&self.logs.commands)?;
        let Some(id) = known.id else { return Ok(false) };
        Ok(self.logs.snapshots.reached(id)? < known.synced_to)
    }

    fn done(&self, folded: &Folded) {
        for skipped in &folded.skipped {
            tracing::warn!("{skipped}");
        }
        if folded.waits {
            tracing::warn!(
                "older snapshots stay: the event log does not hold what the oldest one to keep needs"
            );
        }
        let Folded { sequence, bytes, records, elapsed, .. } = folded;
        self.stats.snapshots.sequence.set(sequence.0);
        self.stats.snapshots.bytes.set(*bytes);
        self.stats.snapshots.duration_ns.set(elapsed.as_nanos() as u64);
        let seconds = elapsed.as_secs_f64();
        tracing::info!(sequence = sequence.0, bytes, records, seconds, "a snapshot was written");
    }

    fn failed(&self, error: &FoldError) {
        match error {
            FoldError::Stopped(_) | FoldError::Empty | FoldError::NoBatch { .. } => return,
            FoldError::Store(StoreError { action, source, .. })
                if !is_no_space(source) && is_change(action) =>
            {
                ExitProcess.fail(of_action(action), &error.to_string());
            }
            FoldError::Sync { .. } => {
                ExitProcess.fail(StopReason::JournalSync, &error.to_string());
            }
            _ => {}
        }
        self.stats.snapshots.failures.add(1);
        tracing::error!("no snapshot: {error}; the next one is tried when it is due");
    }
}

/// Whether an action changes what is on the disk.
fn is_change(action: &str) -> bool {
    matches!(action, "write" | "sync" | "rename")
}
