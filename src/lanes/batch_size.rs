//! How many records a lane executes between two publications of how far it is.
//!
//! Invariant: between 1 and what is set, node or sequenced; halved while more than
//! [`LANE_LAG_MAX`] records wait for the lane, and doubled again when fewer than half of that do, so
//! that those who wait for a lane that lags are told of its steps earlier.

use crate::admin::Controls;
use crate::limits::LANE_LAG_MAX;
use crate::ring::LatestReader;
use crate::types::Lane;

/// The size in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize(u32);

impl BatchSize {
    /// As large as is set.
    #[must_use]
    pub fn new(max: u32) -> BatchSize {
        BatchSize(max.max(1))
    }

    /// The size for a lane for which `lag` records wait, where `max` is set.
    #[inline]
    pub fn adjust(&mut self, max: u32, lag: u64) -> u32 {
        if lag > LANE_LAG_MAX {
            self.0 /= 2;
        } else if lag < LANE_LAG_MAX / 2 {
            self.0 = self.0.saturating_mul(2);
        }
        self.0 = self.0.clamp(1, max.max(1));
        self.0
    }
}

/// The size of one lane: what is set for it, and what is in force.
pub struct LaneBatch {
    lane: Lane,
    /// The node's own setting.
    configured: u32,
    size: BatchSize,
    controls: LatestReader<Controls>,
}

impl LaneBatch {
    /// The size of a lane that has nothing to catch up with.
    #[must_use]
    pub fn new(lane: Lane, configured: u32, controls: LatestReader<Controls>) -> LaneBatch {
        let size = BatchSize::new(configured);
        LaneBatch { lane, configured, size, controls }
    }

    /// The size of this round, for which `lag` records wait.
    #[inline]
    pub fn of_round(&mut self, lag: u64) -> usize {
        let max = self.controls.get().max_batch(self.lane, self.configured);
        self.size.adjust(max, lag) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Latest;

    #[test]
    fn it_halves_while_the_lane_lags_and_doubles_when_it_has_caught_up() {
        let mut size = BatchSize::new(16);
        let mut steps = |lag: u64, count: usize| -> Vec<u32> {
            (0..count).map(|_| size.adjust(16, lag)).collect()
        };
        assert_eq!(steps(5_000, 2), [16, 16]);
        assert_eq!(steps(5_001, 6), [8, 4, 2, 1, 1, 1]);
        assert_eq!(steps(5_000, 1), [1]);
        assert_eq!(steps(2_500, 2), [1, 1]);
        assert_eq!(steps(2_499, 6), [2, 4, 8, 16, 16, 16]);
    }

    #[test]
    fn a_smaller_setting_is_in_force_at_once_and_a_larger_one_by_doubling() {
        let mut size = BatchSize::new(32);
        assert_eq!(size.adjust(5, 3_000), 5);
        assert_eq!(size.adjust(32, 3_000), 5);
        assert_eq!([size.adjust(32, 0), size.adjust(32, 0), size.adjust(32, 0)], [10, 20, 32]);
        assert_eq!(size.adjust(0, 0), 1);
    }

    #[test]
    fn a_sequenced_setting_wins_over_the_nodes_own() {
        let latest = Latest::new(Controls::default());
        let mut lane = LaneBatch::new(Lane::Normal, 32, latest.reader());
        assert_eq!(lane.of_round(0), 32);
        let mut controls = Controls::default();
        controls.max_batch[Lane::Normal as usize] = Some(7);
        controls.max_batch[Lane::Batch as usize] = Some(3);
        latest.publish(controls);
        assert_eq!(lane.of_round(0), 7);
    }
}
