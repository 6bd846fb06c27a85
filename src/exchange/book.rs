//! An instrument's book: two sides of price levels, each with its best price at hand.
//!
//! Invariants:
//! - The best level of a side is cached with its key, and looked up again only when it empties.
//! - A level's open quantity is the sum of its orders' leaves, always; an empty level is gone
//!   before the command ends.
//! - The book is never locked or crossed: what rests did not match.
//! - Entering, leaving and shrinking cost no walk over orders or levels.

use super::level::{Level, Levels, Link, NONE, key_of, price_of};
use super::order::Orders;
use crate::types::{Price, Side};

/// Key that no price has: worse than every limit.
const NO_KEY: u64 = u64::MAX;

/// One side of a book.
#[derive(Clone, Copy, Debug)]
pub(super) struct BookSide {
    root: Link,
    best: u32,
    best_key: u64,
}

impl BookSide {
    const EMPTY: BookSide = BookSide { root: Link::NONE, best: NONE, best_key: NO_KEY };

    /// The best level, if its key is at or better than `limit`.
    #[inline]
    pub(super) const fn crossed_by(&self, limit: u64) -> Option<u32> {
        if self.best_key <= limit { Some(self.best) } else { None }
    }

    /// The best level.
    #[inline]
    pub(super) const fn best(&self) -> Option<u32> {
        if self.best == NONE { None } else { Some(self.best) }
    }

    /// The level of this key, made if need be.
    #[inline]
    fn place(&mut self, levels: &mut Levels, key: u64) -> u32 {
        if key == self.best_key {
            return self.best;
        }
        let level = levels.place(&mut self.root, key);
        if key < self.best_key {
            self.best = level;
            self.best_key = key;
        }
        level
    }

    /// Removes a level whose queue is empty.
    #[inline]
    pub(super) fn drop_level(&mut self, levels: &mut Levels, level: u32) {
        levels.remove(&mut self.root, level);
        if level == self.best {
            let best = levels.first(self.root);
            self.best = best.unwrap_or(NONE);
            self.best_key = best.map_or(NO_KEY, |best| levels.at(best).key);
        }
    }
}

/// The book of one instrument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Book {
    sides: [BookSide; 2],
    /// Price of the last trade; 0 before the first.
    pub(super) last_price: Price,
}

impl Book {
    /// A book without orders.
    pub(super) const EMPTY: Book = Book { sides: [BookSide::EMPTY; 2], last_price: Price(0) };

    /// One side.
    #[inline]
    pub(super) const fn side(&self, side: Side) -> &BookSide {
        &self.sides[side as usize - 1]
    }

    /// One side, to change it.
    #[inline]
    pub(super) const fn side_mut(&mut self, side: Side) -> &mut BookSide {
        &mut self.sides[side as usize - 1]
    }

    /// Appends an order, which does not cross, to the queue of its price.
    #[inline]
    pub(super) fn rest(
        &mut self,
        levels: &mut Levels,
        orders: &mut Orders,
        side: Side,
        price: Price,
        order: u32,
    ) {
        let handle = self.side_mut(side).place(levels, key_of(side, price));
        let level = levels.at_mut(handle);
        let tail = level.tail;
        level.tail = order;
        level.count += 1;
        let hot = orders.hot_mut(order);
        level.open += hot.leaves;
        hot.level = handle;
        hot.prev = tail;
        hot.next = NONE;
        if tail == NONE {
            level.head = order;
        } else {
            orders.hot_mut(tail).next = order;
        }
    }

    /// Takes an order out of its level's queue, wherever it stands there.
    #[inline]
    pub(super) fn leave(
        &mut self,
        levels: &mut Levels,
        orders: &mut Orders,
        side: Side,
        order: u32,
    ) {
        let (leaves, prev, next, handle) = {
            let hot = orders.hot(order);
            (hot.leaves, hot.prev, hot.next, hot.level)
        };
        let level = levels.at_mut(handle);
        level.open -= leaves;
        level.count -= 1;
        if prev == NONE {
            level.head = next;
        } else {
            orders.hot_mut(prev).next = next;
        }
        if next == NONE {
            level.tail = prev;
        } else {
            orders.hot_mut(next).prev = prev;
        }
        if level.count == 0 {
            assert!(level.open == 0, "an empty level has no open quantity");
            self.side_mut(side).drop_level(levels, handle);
        }
    }

    /// Best price of one side.
    #[inline]
    pub(super) fn best_price(&self, side: Side) -> Option<Price> {
        let best = self.side(side);
        best.best().map(|_| price_of(side, best.best_key))
    }

    /// Whether one side has an order at `limit` or a better price.
    #[inline]
    pub(super) fn reaches(&self, side: Side, limit: Price) -> bool {
        self.side(side).crossed_by(key_of(side, limit)).is_some()
    }

    /// Whether one side has so much open at `limit` or better prices. Looks at no more levels than
    /// that takes.
    pub(super) fn offers(&self, levels: &Levels, side: Side, limit: Price, wanted: i64) -> bool {
        let limit = key_of(side, limit);
        let (mut left, mut at) = (wanted, self.side(side).crossed_by(limit));
        while left > 0 {
            let Some(handle) = at else { return false };
            left -= levels.at(handle).open;
            at = levels.next(handle).filter(|&next| levels.at(next).key <= limit);
        }
        true
    }

    /// Levels of one side, best first.
    pub(super) fn levels<'a>(
        &self,
        levels: &'a Levels,
        side: Side,
    ) -> impl Iterator<Item = (Price, &'a Level)> + use<'a> {
        let mut at = self.side(side).best();
        std::iter::from_fn(move || {
            let level = at?;
            at = levels.next(level);
            let level = levels.at(level);
            Some((price_of(side, level.key), level))
        })
    }

    /// Checks the book's levels and queues; gives the number of its orders.
    pub(super) fn check(&self, levels: &Levels, orders: &Orders, instrument: u32) -> BookCount {
        let mut counted = BookCount::default();
        for side in [Side::Buy, Side::Sell] {
            let found = levels.check(self.side(side).root);
            assert!(self.side(side).best() == found.first().copied());
            let key = found.first().map_or(NO_KEY, |&best| levels.at(best).key);
            assert!(self.side(side).best_key == key);
            counted.levels += found.len();
            counted.forks_max += found.len().saturating_sub(1);
            for handle in found {
                let level = levels.at(handle);
                let (mut open, mut count, mut prev, mut at) = (0, 0, NONE, level.head);
                while at != NONE {
                    let (hot, cold) = (orders.hot(at), orders.cold(at));
                    assert!(hot.id != 0, "a queue holds live orders");
                    assert!(hot.level == handle);
                    assert!(hot.prev == prev);
                    assert!(cold.instrument() == instrument);
                    assert!(cold.side() == side);
                    open += hot.leaves;
                    count += 1;
                    assert!(count <= level.count, "a queue is as long as its level says");
                    (prev, at) = (at, hot.next);
                }
                assert!(level.tail == prev);
                assert!(level.open == open);
                assert!(level.count == count);
                assert!(count > 0, "an empty level is gone");
                counted.orders += count as usize;
            }
        }
        let best = |side| self.side(side).best().map(|best| price_of(side, levels.at(best).key));
        if let (Some(bid), Some(ask)) = (best(Side::Buy), best(Side::Sell)) {
            assert!(bid < ask, "the book is neither locked nor crossed");
        }
        counted
    }
}

/// What [`Book::check`] met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BookCount {
    /// Orders in all queues.
    pub(super) orders: usize,
    /// Levels of both sides.
    pub(super) levels: usize,
    /// The most forks that so many levels may have.
    pub(super) forks_max: usize,
}
