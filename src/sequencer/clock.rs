//! The sequencer's time: it never goes back, across restarts and corrections of the machine's clock.
//!
//! It goes on from the last record's time at the monotonic clock's rate, and is slewed towards wall
//! time by at most 500 ppm. A difference above 250 ms alarms; above 10 s a start is refused unless
//! the operator accepts the clock.

use crate::sys::clock::Clock;
use crate::types::TimeNs;
use thiserror::Error;

/// Slewing moves time by at most this many parts per million.
const SLEW_PPM: u64 = 500;
/// Difference to wall time that alarms.
const ALARM_NS: u64 = 250_000_000;
/// Difference to wall time at which a start is refused.
const REFUSE_NS: u64 = 10_000_000_000;

/// The machine's clock and the journal disagree too much to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the machine's clock differs from the journal's last record by {difference_ms} ms (the clock is {direction}); \
     set the clock, or start with --accept-clock to go on from the journal's time"
)]
pub struct ClockRefused {
    /// How much they differ, in milliseconds.
    pub difference_ms: u64,
    /// `behind` or `ahead`.
    pub direction: &'static str,
}

/// The sequencer's time.
pub struct SequencerClock {
    source: Box<dyn Clock>,
    /// Time told last; never told less again.
    last: TimeNs,
    /// Monotonic time when `last` was computed.
    last_monotonic_ns: u64,
    /// What integer division left over of the slew allowed so far, in parts per million of a ns.
    slew_rest: u64,
    alarmed: bool,
}

impl SequencerClock {
    /// Time that goes on from `last`, the time of the journal's last record (0 for an empty journal).
    ///
    /// A node that was down for a while starts at wall time: time only ever jumps forward, and only
    /// between two runs. A wall clock that is behind the journal is waited for by slewing.
    ///
    /// # Errors
    /// [`ClockRefused`] where the wall clock is more than 10 s behind the journal and `accept` is not
    /// set.
    pub fn start(source: Box<dyn Clock>, last: TimeNs, accept: bool) -> Result<Self, ClockRefused> {
        let wall = source.wall_ns();
        let behind = last.0.saturating_sub(wall);
        if behind > REFUSE_NS && !accept {
            return Err(ClockRefused { difference_ms: behind / 1_000_000, direction: "behind" });
        }
        let last_monotonic_ns = source.monotonic_ns();
        let mut clock = SequencerClock {
            source,
            last: TimeNs(last.0.max(wall)),
            last_monotonic_ns,
            slew_rest: 0,
            alarmed: false,
        };
        clock.alarm(behind);
        Ok(clock)
    }

    /// The time now: at least the time told before.
    pub fn now(&mut self) -> TimeNs {
        let monotonic = self.source.monotonic_ns();
        let elapsed = monotonic.saturating_sub(self.last_monotonic_ns);
        let free = self.last.0 + elapsed;
        let wall = self.source.wall_ns();
        let allowed = elapsed * SLEW_PPM + self.slew_rest;
        let slew = allowed / 1_000_000;
        self.slew_rest = allowed % 1_000_000;
        let time =
            if wall >= free { free + slew.min(wall - free) } else { free - slew.min(free - wall) };
        self.alarm(wall.abs_diff(time));
        self.last_monotonic_ns = monotonic;
        self.last = TimeNs(time);
        self.last
    }

    /// Monotonic time of the last reading, nanoseconds.
    #[must_use]
    pub fn read_ns(&self) -> u64 {
        self.last_monotonic_ns
    }

    /// Nanoseconds until the sequencer's time reaches `deadline`; 0 where it is due.
    #[must_use]
    pub fn until(&self, deadline: TimeNs) -> u64 {
        let elapsed = self.source.monotonic_ns().saturating_sub(self.last_monotonic_ns);
        deadline.0.saturating_sub(self.last.0 + elapsed)
    }

    fn alarm(&mut self, difference: u64) {
        let above = difference > ALARM_NS;
        if above && !self.alarmed {
            tracing::warn!(
                difference_ms = difference / 1_000_000,
                "the machine's clock differs from the sequencer's time; it is followed by 500 ppm"
            );
        }
        self.alarmed = above;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Clone, Default)]
    struct TestClock(Arc<(AtomicU64, AtomicU64)>);

    impl TestClock {
        fn advance(&self, ns: u64) {
            self.0.0.fetch_add(ns, Ordering::Relaxed);
            self.0.1.fetch_add(ns, Ordering::Relaxed);
        }
        fn set_wall(&self, ns: u64) {
            self.0.1.store(ns, Ordering::Relaxed);
        }
    }

    impl Clock for TestClock {
        fn monotonic_ns(&self) -> u64 {
            self.0.0.load(Ordering::Relaxed)
        }
        fn wall_ns(&self) -> u64 {
            self.0.1.load(Ordering::Relaxed)
        }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn time_never_goes_back_when_the_wall_clock_does() {
        let source = TestClock::default();
        source.set_wall(100 * SECOND);
        let mut clock =
            SequencerClock::start(Box::new(source.clone()), TimeNs(0), false).expect("starts");
        let mut last = clock.now();
        for step in 0..1000 {
            source.advance(1_000_000);
            source.set_wall((step * 37 % 200) * SECOND);
            let now = clock.now();
            assert!(now > last, "{now} after {last}");
            last = now;
        }
    }

    #[test]
    fn time_is_slewed_by_500_ppm() {
        let source = TestClock::default();
        source.set_wall(100 * SECOND);
        let mut clock =
            SequencerClock::start(Box::new(source.clone()), TimeNs(0), false).expect("starts");
        source.advance(SECOND);
        source.set_wall(200 * SECOND);
        assert_eq!(clock.now(), TimeNs(101 * SECOND + 500_000));
        source.advance(SECOND);
        source.set_wall(50 * SECOND);
        assert_eq!(clock.now(), TimeNs(102 * SECOND));
    }

    #[test]
    fn a_restart_goes_on_from_the_last_record_when_the_clock_is_behind() {
        let source = TestClock::default();
        source.set_wall(95 * SECOND);
        let last = TimeNs(100 * SECOND);
        let mut clock = SequencerClock::start(Box::new(source), last, false).expect("starts");
        assert!(clock.now() >= last);
    }

    #[test]
    fn a_clock_far_behind_the_journal_refuses_to_start_unless_accepted() {
        let source = TestClock::default();
        source.set_wall(80 * SECOND);
        let last = TimeNs(100 * SECOND);
        let refused = SequencerClock::start(Box::new(source.clone()), last, false).err();
        assert_eq!(refused, Some(ClockRefused { difference_ms: 20_000, direction: "behind" }));
        assert!(SequencerClock::start(Box::new(source), last, true).is_ok());
    }
}
