//! The half of folding that runs in a process of its own, so that neither a panic there nor its memory
//! is the node's: it folds what the journal has got, and tells what came of it in one line.
//!
//! Invariants: on Linux the process ends with the node, however that ends; where memory is short it is the one
//! that goes; it never has a core for itself.

use super::boot::of_action;
use super::logs;
use crate::config::Config;
use crate::fatal::StopReason;
use crate::journal::segment::is_no_space;
use crate::snapshot::fold::{FoldError, Folded, fold_behind};
use crate::snapshot::store::StoreError;
use crate::sys::disk::Disk;
use crate::sys::{memory, process};
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// It works so long at a time, and rests as long.
const WORK: Duration = Duration::from_millis(2);
/// Snapshots passed over that are told, at most.
const SKIPPED_MAX: usize = 16;

/// What came of a fold.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// There is a new snapshot.
    Done {
        /// Its sequence.
        sequence: u64,
        /// Its bytes.
        bytes: u64,
        /// Records replayed.
        records: u64,
        /// How long it took.
        elapsed_ns: u64,
        /// Snapshots that could not be used.
        skipped: Vec<String>,
        /// Older ones stay, because the event log does not hold what the oldest to keep needs.
        waits: bool,
    },
    /// Nothing stands behind the newest one, or nothing is durable.
    Nothing,
    /// There is none.
    Failed {
        /// Why.
        message: String,
        /// Status with which the node is to stop; `None` where it goes on.
        stops: Option<u8>,
    },
}

/// Folds for the node that is our parent and has this number.
///
/// # Errors
/// Where that node is gone, or the system cannot end us with it.
pub(crate) fn fold_for(parent: u32, data_dir: &Path, keep: usize) -> io::Result<Told> {
    process::end_with(parent)?;
    memory::go_first();
    let logs = logs(&Config::default(), &Disk::shared(), data_dir);
    let mut working_since = Instant::now();
    let folded = fold_behind(&logs.commands, &logs.snapshots, keep, &mut |_| {
        if working_since.elapsed() >= WORK {
            thread::sleep(WORK);
            working_since = Instant::now();
        }
        ControlFlow::Continue(())
    });
    Ok(match folded {
        Ok(Some(folded)) => Told::done(&folded),
        Ok(None) => Told::Nothing,
        Err(error) => Told::failed(&error),
    })
}

impl Told {
    fn done(folded: &Folded) -> Told {
        Told::Done {
            sequence: folded.sequence.0,
            bytes: folded.bytes,
            records: folded.records,
            elapsed_ns: u64::try_from(folded.elapsed.as_nanos()).unwrap_or(u64::MAX),
            skipped: folded.skipped.iter().take(SKIPPED_MAX).map(ToString::to_string).collect(),
            waits: folded.waits,
        }
    }

    fn failed(error: &FoldError) -> Told {
        let stops = match error {
            FoldError::Stopped(_) | FoldError::Empty | FoldError::NoBatch { .. } => {
                return Told::Nothing;
            }
            FoldError::Store(StoreError { action, source, .. })
                if !is_no_space(source) && is_change(action) =>
            {
                Some(of_action(action))
            }
            FoldError::Sync { .. } => Some(StopReason::JournalSync),
            _ => None,
        };
        Told::Failed { message: error.to_string(), stops: stops.map(StopReason::status) }
    }
}

/// Whether an action changes what is on the disk.
fn is_change(action: &str) -> bool {
    matches!(action, "write" | "sync" | "rename")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(action: &'static str, kind: io::ErrorKind) -> FoldError {
        FoldError::Store(StoreError { action, path: "a".into(), source: kind.into() })
    }

    #[test]
    fn only_a_disk_that_fails_stops_the_node() {
        let stops = |error| match Told::failed(&error) {
            Told::Failed { stops, .. } => stops.and_then(StopReason::from_status),
            other => panic!("{other:?}"),
        };
        let other = io::ErrorKind::Other;
        assert_eq!(stops(store("sync", other)), Some(StopReason::JournalSync));
        assert_eq!(stops(store("rename", other)), Some(StopReason::JournalWrite));
        assert_eq!(stops(store("write", io::ErrorKind::StorageFull)), None);
        assert_eq!(stops(store("list", other)), None);
        assert_eq!(stops(FoldError::Memory { needed: 2, available: 1 }), None);
        assert_eq!(Told::failed(&FoldError::Empty), Told::Nothing);
    }
}
