//! One number with one writer, and a distribution made of such numbers.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and others read.
///
/// Relaxed throughout: nothing is published by it but itself.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it. Only its one writer calls this.
    #[inline]
    pub fn add(&self, more: u64) {
        // A load and a store, no read-modify-write: nobody else writes.
        self.set(self.get().wrapping_add(more));
    }

    /// Sets it. Only its one writer calls this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value, as far as it has come through.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets, nanoseconds: 1, 2, 5 of every decade from 1 µs to 10 s.
pub const BOUNDS_NS: [u64; 22] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Durations in fixed buckets. The last one holds what is above the last bound.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [Count; BOUNDS_NS.len() + 1],
    sum_ns: Count,
}

impl Histogram {
    /// Counts `times` durations of `ns`. Only its one writer calls this.
    #[inline]
    pub fn record(&self, ns: u64, times: u64) {
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < ns);
        self.counts[bucket].add(times);
        self.sum_ns.add(ns.saturating_mul(times));
    }

    /// What it holds, to work with.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        tally.add(self);
        tally
    }
}

/// What one or more histograms held when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Durations in each bucket.
    pub counts: [u64; BOUNDS_NS.len() + 1],
    /// Their sum.
    pub sum_ns: u64,
}

impl Tally {
    /// Adds what another histogram holds.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, count) in self.counts.iter_mut().zip(&histogram.counts) {
            *sum += count.get();
        }
        self.sum_ns += histogram.sum_ns.get();
    }

    /// Number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Tally) -> Tally {
        let less = |bucket: usize| self.counts[bucket].saturating_sub(earlier.counts[bucket]);
        Tally {
            counts: std::array::from_fn(less),
            sum_ns: self.sum_ns.saturating_sub(earlier.sum_ns),
        }
    }

    /// The bound that this part of the durations (0.5, 0.99) does not exceed; the last bound for what is
    /// above it, `None` where there is no duration.
    #[must_use]
    pub fn quantile_ns(&self, part: f64) -> Option<u64> {
        let count = self.count();
        // Counts are far below what a double holds exactly.
        let rank = ((count as f64 * part).ceil() as u64).clamp(1, count.max(1));
        let mut sum = 0;
        let bucket = self.counts.iter().position(|count| {
            sum += count;
            sum >= rank
        })?;
        Some(BOUNDS_NS[bucket.min(BOUNDS_NS.len() - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for (ns, bucket) in [(0, 0), (1_000, 0), (1_001, 1), (10_000_000_000, 21)] {
            let before = histogram.tally().counts[bucket];
            histogram.record(ns, 3);
            assert_eq!(histogram.tally().counts[bucket], before + 3, "{ns} ns");
        }
        histogram.record(u64::MAX, 1);
        assert_eq!(histogram.tally().counts[22], 1);
        assert_eq!(histogram.tally().count(), 13);
    }

    #[test]
    fn a_quantile_is_the_bound_of_the_bucket_that_holds_it() {
        let histogram = Histogram::default();
        assert_eq!(histogram.tally().quantile_ns(0.5), None);
        histogram.record(1_500, 98);
        let before = histogram.tally();
        histogram.record(40_000, 2);
        let all = histogram.tally();
        assert_eq!(all.quantile_ns(0.5), Some(2_000));
        assert_eq!(all.quantile_ns(0.98), Some(2_000));
        assert_eq!(all.quantile_ns(0.99), Some(50_000));
        assert_eq!(all.since(&before).quantile_ns(0.01), Some(50_000));
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS_NS.is_sorted());
    }
}
