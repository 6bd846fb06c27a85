//! Graded overload: when the node has more waiting than it should, and when that is over (rows S1.85
//! to S1.90).
//!
//! The sequencer judges, gateways restrain: they slow sessions' new orders and refuse LOW and BATCH.
//! Everyone is refused only where a queue ends. A state once entered lasts until every measure is at
//! or below half its threshold and some time has passed, so that it does not flap.

use crate::ring::Cursor;
use crate::types::{Priority, Sequence, TimeNs};

/// What trips it: strictly more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Messages in all queues together.
    pub total: usize,
    /// Messages in the CRITICAL queue.
    pub critical: usize,
    /// Messages in the HIGH queue.
    pub high: usize,
    /// Sequenced messages that the critical lane has not applied yet.
    pub lag: u64,
    /// Nanoseconds that the state lasts at least.
    pub lasts_ns: u64,
}

/// How overloaded the node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pressure {
    /// Not.
    #[default]
    None,
    /// Too much waits in the queues.
    Queues,
    /// The critical lane is so many messages behind.
    Lag(u64),
}

impl std::fmt::Display for Pressure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pressure::None => f.write_str("not overloaded"),
            Pressure::Queues => f.write_str("System overloaded"),
            Pressure::Lag(lag) => write!(f, "Consumer lag too high: {lag}"),
        }
    }
}

/// Tells gateways the pressure.
#[derive(Clone, Debug, Default)]
pub struct PressureSignal(Cursor);

impl PressureSignal {
    /// The pressure now.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Pressure {
        match self.0.get().0 {
            0 => Pressure::None,
            1 => Pressure::Queues,
            lag => Pressure::Lag(lag - 2),
        }
    }

    /// Says what it is now; only the sequencer does.
    pub fn set(&self, pressure: Pressure) {
        let number = match pressure {
            Pressure::None => 0,
            Pressure::Queues => 1,
            Pressure::Lag(lag) => lag.saturating_add(2),
        };
        self.0.set(Sequence(number));
    }
}

/// Judges.
pub struct Overload {
    thresholds: Thresholds,
    now: Pressure,
    since: TimeNs,
    signal: PressureSignal,
}

impl Overload {
    /// Not overloaded yet.
    #[must_use]
    pub fn new(thresholds: Thresholds, signal: PressureSignal) -> Overload {
        Overload { thresholds, now: Pressure::None, since: TimeNs(0), signal }
    }

    /// Looks at what waits in each priority's queue and how far the critical lane is behind.
    #[inline]
    pub fn look(&mut self, depths: &[usize], lag: u64, now: TimeNs) {
        let found = self.thresholds.exceeded(depths, lag, 1);
        if found == Pressure::None && self.now == Pressure::None {
            return;
        }
        self.decide(found, depths, lag, now);
    }

    /// True while the node is overloaded.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.now != Pressure::None
    }

    fn decide(&mut self, found: Pressure, depths: &[usize], lag: u64, now: TimeNs) {
        if found == Pressure::None {
            let lasted = now.0.saturating_sub(self.since.0) >= self.thresholds.lasts_ns;
            let calm = self.thresholds.exceeded(depths, lag, 2) == Pressure::None;
            if lasted && calm {
                self.now = Pressure::None;
                self.signal.set(self.now);
                tracing::info!("the node is no longer overloaded");
            }
            return;
        }
        if self.now == Pressure::None {
            self.since = now;
            tracing::warn!(
                depth = depths.iter().sum::<usize>(),
                lag,
                "{found}: new orders are slowed, low and batch are refused, critical and high still \
                 accepted"
            );
        }
        if self.now != found {
            self.now = found;
            self.signal.set(found);
        }
    }
}

impl Thresholds {
    /// What is above its threshold divided by `divisor`.
    #[inline]
    fn exceeded(&self, depths: &[usize], lag: u64, divisor: usize) -> Pressure {
        let total: usize = depths.iter().sum();
        let queues = total > self.total / divisor
            || depths[Priority::Critical as usize] > self.critical / divisor
            || depths[Priority::High as usize] > self.high / divisor;
        if queues {
            Pressure::Queues
        } else if lag > self.lag / divisor as u64 {
            Pressure::Lag(lag)
        } else {
            Pressure::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Thresholds =
        Thresholds { total: 10_000, critical: 100, high: 1_000, lag: 5_000, lasts_ns: 500 };

    fn judge() -> (Overload, PressureSignal) {
        let signal = PressureSignal::default();
        (Overload::new(DEFAULT, signal.clone()), signal)
    }

    #[test]
    fn thresholds_are_exceeded_and_not_reached() {
        let cases = [
            ([0, 0, 10_000, 0, 0], 0, Pressure::None),
            ([0, 0, 10_001, 0, 0], 0, Pressure::Queues),
            ([0, 0, 9_000, 500, 501], 0, Pressure::Queues),
            ([100, 0, 0, 0, 0], 0, Pressure::None),
            ([101, 0, 0, 0, 0], 0, Pressure::Queues),
            ([0, 1_000, 0, 0, 0], 0, Pressure::None),
            ([0, 1_001, 0, 0, 0], 0, Pressure::Queues),
            ([0; 5], 5_000, Pressure::None),
            ([0; 5], 5_001, Pressure::Lag(5_001)),
            ([0, 0, 10_001, 0, 0], 5_001, Pressure::Queues),
        ];
        for (depths, lag, expected) in cases {
            let (mut overload, signal) = judge();
            overload.look(&depths, lag, TimeNs(0));
            assert_eq!(signal.get(), expected, "{depths:?} {lag}");
        }
        assert_eq!(Pressure::Queues.to_string(), "System overloaded");
        assert_eq!(Pressure::Lag(5_001).to_string(), "Consumer lag too high: 5001");
    }

    #[test]
    fn it_is_over_at_half_and_not_at_once() {
        let (mut overload, signal) = judge();
        let mut at = |total, lag, time| {
            overload.look(&[0, 0, total, 0, 0], lag, TimeNs(time));
            signal.get()
        };
        assert_eq!(at(10_001, 0, 1_000), Pressure::Queues);
        assert_eq!(at(0, 0, 1_499), Pressure::Queues, "it lasts a while");
        assert_eq!(at(5_001, 0, 2_000), Pressure::Queues, "more than half");
        assert_eq!(at(5_000, 2_501, 2_000), Pressure::Queues, "of every measure");
        assert_eq!(at(5_000, 2_500, 2_000), Pressure::None);
        assert_eq!(at(0, 6_000, 2_001), Pressure::Lag(6_000));
        assert_eq!(at(10_001, 6_000, 2_002), Pressure::Queues, "it tells why now");
    }
}
