//! The gate: nothing leaves before its command is as safe as the ack policy says.
//!
//! It is the only writer of the `released` cursor. Whoever shows something to the world (answers,
//! queries, fills) shows only what is at or below it.

use crate::agent::Agent;
use crate::ring::{Cursor, Reader, Take};
use crate::stats::{MARKS_MAX, Mark, Stats};
use crate::sys::clock::Clock;
use crate::types::Sequence;
use std::sync::Arc;

/// When an answer may leave (`DESIGN`: copies, not nodes). Policies that need a standby do not exist
/// in this release and are refused by name when the configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckPolicy {
    /// The command is received: `pwrite` has returned.
    Memory,
    /// The command is synced: `fdatasync` has returned.
    Disk,
}

/// The gate's agent.
pub struct Gate {
    policy: AckPolicy,
    written: Cursor,
    durable: Cursor,
    released: Cursor,
    waits: Waits,
}

/// Measures how long records wait for their release.
pub struct Waits {
    /// When records got their sequence.
    pub marks: Reader<Mark>,
    /// Tells the time of a release.
    pub clock: Box<dyn Clock>,
    /// What the gate tells.
    pub stats: Arc<Stats>,
    /// The last record whose wait is counted.
    pub counted: Sequence,
}

impl Waits {
    /// Records up to `released` are released now. Those of a mark are counted together, with the last
    /// of them.
    fn record(&mut self, released: Sequence) {
        let now_ns = self.clock.monotonic_ns();
        let wait = &self.stats.gate.wait;
        let counted = &mut self.counted;
        self.marks.drain(MARKS_MAX, |mark| {
            if mark.last > released {
                return Take::Stop;
            }
            wait.record(now_ns.saturating_sub(mark.at_ns), mark.last.0 - counted.0);
            *counted = mark.last;
            Take::Next
        });
    }
}

impl Gate {
    /// A gate over the journal's two cursors.
    #[must_use]
    pub fn new(
        policy: AckPolicy,
        written: Cursor,
        durable: Cursor,
        released: Cursor,
        waits: Waits,
    ) -> Gate {
        Gate { policy, written, durable, released, waits }
    }

    fn safe(&self) -> Sequence {
        match self.policy {
            AckPolicy::Memory => self.written.get(),
            AckPolicy::Disk => self.durable.get(),
        }
    }

    fn open(&mut self) -> usize {
        let safe = self.safe();
        let released = self.released.get();
        assert!(safe >= released, "what was safe stays safe");
        if safe == released {
            return 0;
        }
        self.released.set(safe);
        self.waits.record(safe);
        1
    }
}

impl Agent for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn do_work(&mut self) -> usize {
        self.open()
    }

    fn settle(&mut self) -> usize {
        self.open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::ring;
    use crate::sys::clock::MachineClock;

    #[test]
    fn each_policy_releases_what_is_as_safe_as_it_says_and_no_more() {
        for (policy, expected) in [(AckPolicy::Memory, 7), (AckPolicy::Disk, 4)] {
            let (written, durable) = (Cursor::new(Sequence(7)), Cursor::new(Sequence(4)));
            let released = Cursor::default();
            let (mut told, marks) = ring(4, Mark::default);
            told.try_publish(|mark| *mark = Mark { last: Sequence(4), at_ns: 0 }).expect("room");
            let stats = Arc::new(Stats::new(1, &[]));
            let clock = Box::new(MachineClock::new());
            let counted = Sequence(1);
            let waits = Waits { marks, clock, stats: stats.clone(), counted };
            let mut gate = Gate::new(policy, written, durable, released.clone(), waits);
            assert_eq!(gate.settle(), 1);
            assert_eq!(released.get(), Sequence(expected));
            assert_eq!(gate.settle(), 0);
            assert_eq!(stats.gate.wait.tally().count(), 3, "records 2 to 4 are marked");
        }
    }
}
