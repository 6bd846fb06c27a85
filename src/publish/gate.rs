//! The gate: nothing leaves before its command is as safe as the ack policy says.
//!
//! It is the only writer of the `released` cursor. Whoever shows something to the world (answers,
//! queries, fills) shows only what is at or below it.

use crate::agent::Agent;
use crate::ring::Cursor;
use crate::types::Sequence;

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
}

impl Gate {
    /// A gate over the journal's two cursors.
    #[must_use]
    pub fn new(policy: AckPolicy, written: Cursor, durable: Cursor, released: Cursor) -> Gate {
        Gate { policy, written, durable, released }
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

    #[test]
    fn each_policy_releases_what_is_as_safe_as_it_says_and_no_more() {
        for (policy, expected) in [(AckPolicy::Memory, 7), (AckPolicy::Disk, 4)] {
            let (written, durable) = (Cursor::new(Sequence(7)), Cursor::new(Sequence(4)));
            let released = Cursor::default();
            let mut gate = Gate::new(policy, written, durable, released.clone());
            assert_eq!(gate.settle(), 1);
            assert_eq!(released.get(), Sequence(expected));
            assert_eq!(gate.settle(), 0);
        }
    }
}
