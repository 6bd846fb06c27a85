//! Positions: what an account bought less what it sold of an instrument, and what its live orders there
//! could still buy and sell; only where an operator has limited it.
//!
//! Invariants:
//! - Without a row nothing is counted, and an order costs a look at its account's list, which is read
//!   anyway. An order whose account has a row for its instrument is marked, and every change of what it
//!   has left is told here.
//! - What is counted of an order is kept by its slot: telling the same twice changes nothing, and an order
//!   that ends takes with it exactly what was counted.
//! - Nothing grows while orders are entered: the table of counts is made with the first row.

use crate::event::RejectReason;
use crate::limits::POSITION_LIMITS_MAX;
use crate::types::Side;
use std::collections::BTreeMap;

/// A limited position, in lots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The furthest that it may be from 0 with all orders of one side filled; 0 for no limit.
    pub(super) net_max: i64,
    /// The most that it and all live orders may be together; 0 for no limit.
    pub(super) gross_max: i64,
    /// Bought less sold.
    pub(super) position: i64,
    /// What live orders could buy.
    pub(super) open_buy: i64,
    /// What live orders could sell.
    pub(super) open_sell: i64,
}

impl Position {
    /// Refuses an order of which `more` is open, beside what is counted, where with it the position could
    /// pass a limit: net, and then gross. A replace has more, or less, open than the order before.
    pub(super) fn check(&self, side: Side, more: i64) -> Result<(), RejectReason> {
        let [position, buy, sell, more] =
            [self.position, self.open_buy, self.open_sell, more].map(i128::from);
        let (net_max, gross_max) = (i128::from(self.net_max), i128::from(self.gross_max));
        let beyond = match side {
            Side::Buy => position + buy + more > net_max,
            Side::Sell => position - sell - more < -net_max,
        };
        if net_max != 0 && beyond {
            return Err(RejectReason::NetPositionLimit);
        }
        if gross_max != 0 && position.abs() + buy + sell + more > gross_max {
            return Err(RejectReason::GrossPositionLimit);
        }
        Ok(())
    }

    fn open_mut(&mut self, side: Side) -> &mut i64 {
        match side {
            Side::Buy => &mut self.open_buy,
            Side::Sell => &mut self.open_sell,
        }
    }

    fn traded(&mut self, side: Side, quantity: i64) {
        // Only after more lots than any instrument has could it stay where it is.
        self.position = match side {
            Side::Buy => self.position.saturating_add(quantity),
            Side::Sell => self.position.saturating_sub(quantity),
        };
    }
}

/// Whose position of what: index of the account, index of the instrument.
pub(super) type Place = (u32, u32);

/// All limited positions.
#[derive(Clone, Debug, Default)]
pub(super) struct Exposure {
    rows: BTreeMap<Place, Position>,
    /// What is counted of the order in each slot.
    counted: Vec<i64>,
}

impl Exposure {
    /// The position there, if it is limited.
    pub(super) fn get(&self, place: Place) -> Option<&Position> {
        self.rows.get(&place)
    }

    /// All of them, in order of account and instrument.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = (Place, &Position)> {
        self.rows.iter().map(|(place, position)| (*place, position))
    }

    /// Those of an account in the instruments from one to another, both included.
    pub(super) fn of(
        &self,
        account: u32,
        (first, last): (u32, u32),
    ) -> impl Iterator<Item = (Place, &Position)> {
        // An empty range begins behind its end, which a map does not take.
        let range = (first <= last).then(|| self.rows.range((account, first)..=(account, last)));
        range.into_iter().flatten().map(|(place, position)| (*place, position))
    }

    /// True where no further position can be limited.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() == POSITION_LIMITS_MAX
    }

    /// Limits a position, or says anew how it is limited. `orders_max` slots may be counted.
    pub(super) fn set(&mut self, place: Place, position: Position, orders_max: usize) {
        if self.counted.is_empty() {
            self.counted = vec![0; orders_max];
        }
        self.rows.insert(place, position);
    }

    /// Ends a limit; nothing is counted there any more.
    pub(super) fn remove(&mut self, place: Place) {
        self.rows.remove(&place);
    }

    /// Counts so much as what the order in a slot has left.
    pub(super) fn count(&mut self, order: u32, place: Place, side: Side, leaves: i64) {
        let before = std::mem::replace(&mut self.counted[order as usize], leaves);
        let position = self.rows.get_mut(&place).expect("only orders of a limited position count");
        *position.open_mut(side) += leaves - before;
    }

    /// Adds a trade to the position, if it is limited.
    pub(super) fn traded(&mut self, place: Place, side: Side, quantity: i64) {
        if let Some(position) = self.rows.get_mut(&place) {
            position.traded(side, quantity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RejectReason::{GrossPositionLimit, NetPositionLimit};

    #[test]
    fn limits_are_inclusive_on_both_sides_and_net_is_looked_at_first() {
        let long = Position { net_max: 10, gross_max: 0, position: 4, open_buy: 3, open_sell: 5 };
        assert_eq!(long.check(Side::Buy, 3), Ok(()));
        assert_eq!(long.check(Side::Buy, 4), Err(NetPositionLimit));
        // 4 - 5 - 9 is -10.
        assert_eq!(long.check(Side::Sell, 9), Ok(()));
        assert_eq!(long.check(Side::Sell, 10), Err(NetPositionLimit));
        let gross = Position { net_max: 0, gross_max: 20, position: -4, ..long };
        // 4 + 3 + 5 are there.
        assert_eq!(gross.check(Side::Buy, 8), Ok(()));
        assert_eq!(gross.check(Side::Buy, 9), Err(GrossPositionLimit));
        assert_eq!(gross.check(Side::Sell, 9), Err(GrossPositionLimit));
        let both = Position { gross_max: 12, ..long };
        assert_eq!(both.check(Side::Buy, 4), Err(NetPositionLimit));
        assert_eq!(both.check(Side::Buy, 1), Err(GrossPositionLimit));
    }

    #[test]
    fn numbers_at_the_end_of_what_fits_do_not_wrap() {
        let all = Position {
            net_max: i64::MAX,
            gross_max: i64::MAX,
            position: i64::MAX,
            open_buy: i64::MAX,
            open_sell: i64::MAX,
        };
        assert_eq!(all.check(Side::Buy, i64::MAX), Err(NetPositionLimit));
        assert_eq!(all.check(Side::Sell, 1), Err(GrossPositionLimit));
        let short = Position { position: i64::MIN, ..all };
        assert_eq!(short.check(Side::Sell, 1), Err(NetPositionLimit));
    }

    #[test]
    fn what_is_told_twice_is_counted_once_and_ends_whole() {
        let mut exposure = Exposure::default();
        let place = (2, 1);
        exposure.set(place, Position { net_max: 9, ..Position::default() }, 4);
        exposure.count(3, place, Side::Buy, 5);
        exposure.count(3, place, Side::Buy, 5);
        exposure.count(0, place, Side::Sell, 1);
        exposure.count(3, place, Side::Buy, 2);
        let open =
            |exposure: &Exposure| exposure.get(place).map(|row| (row.open_buy, row.open_sell));
        assert_eq!(open(&exposure), Some((2, 1)));
        exposure.count(3, place, Side::Buy, 0);
        exposure.count(0, place, Side::Sell, 0);
        assert_eq!(open(&exposure), Some((0, 0)));
        exposure.traded(place, Side::Sell, 7);
        exposure.traded((2, 0), Side::Sell, 7);
        assert_eq!(exposure.get(place).map(|row| row.position), Some(-7));
    }
}
