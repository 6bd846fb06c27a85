//! How much space is left for the logs, in three levels; looked at by the thread that prepares
//! segments, never on the way of an order.
//!
//! Invariants: a level is entered below its mark and left an eighth above it, so that it does not
//! come and go; a change is told once. Where a segment finds no space the level is the last one,
//! whatever the marks say.

use crate::journal::segment::LogDir;
use crate::ring::Cursor;
use crate::stats::Stats;
use crate::sys::clock::Clock;
use crate::types::Sequence;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks while no segment is being prepared.
const LOOK_EVERY_NS: u64 = 250_000_000;

/// Free bytes of the data directory's file system below which something is done; 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// A warning.
    pub low_bytes: u64,
    /// New orders are refused.
    pub critical_bytes: u64,
}

/// How much space there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Enough.
    #[default]
    Enough,
    /// Below the first mark: whoever runs the node is warned.
    Low,
    /// Below the second mark, or a segment found no space: all but cancels and admin commands is
    /// refused.
    Critical,
}

impl Level {
    /// The level that a node's cursor tells.
    #[must_use]
    pub fn of(cursor: &Cursor) -> Level {
        match cursor.get().0 {
            0 => Level::Enough,
            1 => Level::Low,
            _ => Level::Critical,
        }
    }

    /// The level that follows from so many free bytes.
    fn at(self, free: u64, marks: Marks) -> Level {
        let is_below = |mark: u64, level: Level| {
            let bound = if self >= level { mark.saturating_add(mark / 8) } else { mark };
            free < bound
        };
        if is_below(marks.critical_bytes, Level::Critical) {
            Level::Critical
        } else if is_below(marks.low_bytes, Level::Low) {
            Level::Low
        } else {
            Level::Enough
        }
    }
}

/// Looks at the space and tells the level.
pub struct Watch {
    log: LogDir,
    marks: Marks,
    /// By the marks alone.
    marked: Level,
    told: Level,
    level: Cursor,
    clock: Box<dyn Clock>,
    /// When to look again; 0 before the first look.
    next_ns: u64,
    free: u64,
    stats: Arc<Stats>,
}

impl Watch {
    /// A watch over the file system that a log lies on.
    #[must_use]
    pub fn new(
        log: LogDir,
        marks: Marks,
        level: Cursor,
        clock: Box<dyn Clock>,
        stats: Arc<Stats>,
    ) -> Watch {
        let (marked, told) = (Level::Enough, Level::Enough);
        Watch { log, marks, marked, told, level, clock, next_ns: 0, free: 0, stats }
    }

    /// Looks where it is time or space was just taken. `exhausted` says that a segment found none.
    ///
    /// # Errors
    /// As the storage tells.
    pub fn look(&mut self, taken: bool, exhausted: bool) -> io::Result<()> {
        let now = self.clock.monotonic_ns();
        if taken || now >= self.next_ns {
            self.next_ns = now + LOOK_EVERY_NS;
            self.free = self.log.available_bytes()?;
            self.stats.space.available.set(self.free);
            self.marked = self.marked.at(self.free, self.marks);
        }
        let level = if exhausted { Level::Critical } else { self.marked };
        if level != self.told {
            self.tell(level);
        }
        Ok(())
    }

    /// In how long the next look is due.
    #[must_use]
    pub fn next_in(&self) -> Duration {
        Duration::from_nanos(self.next_ns.saturating_sub(self.clock.monotonic_ns()))
    }

    fn tell(&mut self, level: Level) {
        let before = std::mem::replace(&mut self.told, level);
        self.level.set(Sequence(level as u64));
        let (free, dir) = (self.free, self.log.dir().display());
        let Marks { low_bytes, critical_bytes } = self.marks;
        match level {
            Level::Critical => tracing::error!(
                free,
                low_bytes,
                critical_bytes,
                "the disk of {dir} is nearly full: orders are refused with NoSpace until there is \
                 space, cancels and admin commands are taken"
            ),
            Level::Low => tracing::warn!(
                free,
                low_bytes,
                critical_bytes,
                orders_resumed = before == Level::Critical,
                "little space is left on the disk of {dir}: below disk.critical_bytes orders are \
                 refused"
            ),
            Level::Enough => tracing::info!(
                free,
                orders_resumed = before == Level::Critical,
                "there is enough space again on the disk of {dir}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_entered_below_its_mark_and_left_an_eighth_above() {
        let marks = Marks { low_bytes: 1600, critical_bytes: 800 };
        let mut level = Level::Enough;
        let steps = [
            (1600, Level::Enough),
            (1599, Level::Low),
            (1700, Level::Low),
            (1800, Level::Enough),
            (1700, Level::Enough),
            (800, Level::Low),
            (799, Level::Critical),
            (899, Level::Critical),
            (900, Level::Low),
            (0, Level::Critical),
            (1799, Level::Low),
            (0, Level::Critical),
            (1800, Level::Enough),
        ];
        for (free, expected) in steps {
            level = level.at(free, marks);
            assert_eq!(level, expected, "{free} bytes free");
        }
    }

    #[test]
    fn marks_of_zero_do_nothing() {
        assert_eq!(Level::Enough.at(0, Marks::default()), Level::Enough);
        let marks = Marks { low_bytes: 0, critical_bytes: 10 };
        assert_eq!(Level::Enough.at(9, marks), Level::Critical);
        assert_eq!(Level::Critical.at(12, marks), Level::Enough);
    }
}
