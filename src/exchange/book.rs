//! An instrument's book: price levels, the best one of each side at hand.
//!
//! Invariants:
//! - The best level of a side is cached with its key, and looked up again only when it empties.
//! - A level's open quantity is the sum of its orders' leaves, always; an empty level is gone
//!   before the command ends.
//! - The book is never locked or crossed: what rests did not match.
//! - Entering, leaving and shrinking cost no walk over orders or levels.

use super::level::{Level, Levels, Link, NONE, key_of};
use super::slab::Slots;
use crate::limits::PRECHECK_STEPS_MAX;
use crate::types::{Price, Side};
use std::hint::select_unpredictable;

/// Key that is no better than any price's.
const NO_KEY: u64 = u64::MAX;

/// One side of a book.
#[derive(Clone, Copy, Debug)]
pub(super) struct BookSide {
    best: u32,
    best_key: u64,
}

impl BookSide {
    const EMPTY: BookSide = BookSide { best: NONE, best_key: NO_KEY };

    /// The best level, if its key is at or better than `limit`.
    #[inline]
    pub(super) const fn crossed_by(&self, limit: u64) -> Option<u32> {
        if self.best_key <= limit { self.best() } else { None }
    }

    /// The best level.
    #[inline]
    pub(super) const fn best(&self) -> Option<u32> {
        if self.best == NONE { None } else { Some(self.best) }
    }
}

/// The book of one instrument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Book {
    /// The tree of the levels of both sides.
    root: Link,
    sides: [BookSide; 2],
    /// Price of the last trade; 0 before the first.
    pub(super) last_price: Price,
}

impl Book {
    /// A book without orders.
    pub(super) const EMPTY: Book =
        Book { root: Link::NONE, sides: [BookSide::EMPTY; 2], last_price: Price(0) };

    /// One side.
    #[inline]
    pub(super) const fn side(&self, side: Side) -> &BookSide {
        &self.sides[side as usize - 1]
    }

    /// The best level of the other side, if an order of `side` with this limit trades with it.
    #[inline]
    pub(super) fn crossed_by(&self, side: Side, price: Price) -> Option<u32> {
        let makers = side.opposite();
        self.side(makers).crossed_by(key_of(makers, price))
    }

    /// The side on which the level of this price is, if there is such a level.
    #[inline]
    pub(super) const fn side_of(&self, price: Price) -> Side {
        let bids = self.side(Side::Buy);
        let is_bid = bids.best != NONE && bids.best_key <= key_of(Side::Buy, price);
        if is_bid { Side::Buy } else { Side::Sell }
    }

    /// The level of this price.
    #[inline]
    pub(super) fn level_at(&self, levels: &Levels, price: Price) -> Option<u32> {
        levels.find(self.root, price)
    }

    /// Appends an order, which does not cross, to the queue of its price.
    #[inline]
    pub(super) fn rest(
        &mut self,
        levels: &mut Levels,
        orders: &mut impl Slots,
        side: Side,
        price: Price,
        order: u32,
    ) {
        let handle = levels.place(&mut self.root, price);
        let key = key_of(side, price);
        // What depends on chance is chosen, not branched upon: a wrong guess costs more than both
        // ways together.
        let ends = &mut self.sides[side as usize - 1];
        let is_best = (key < ends.best_key) | (ends.best == NONE);
        ends.best = select_unpredictable(is_best, handle, ends.best);
        ends.best_key = select_unpredictable(is_best, key, ends.best_key);
        let level = levels.at_mut(handle);
        let tail = level.tail;
        level.tail = order;
        level.count += 1;
        level.head = select_unpredictable(tail == NONE, order, level.head);
        // Where there is no order before, the link goes to this one, and is overwritten.
        orders.hot_mut(select_unpredictable(tail == NONE, order, tail)).next = order;
        let hot = orders.hot_mut(order);
        level.open += hot.leaves;
        hot.level = handle;
        hot.prev = tail;
        hot.next = NONE;
    }

    /// Takes an order out of its level's queue, wherever it stands there.
    #[inline]
    pub(super) fn leave(
        &mut self,
        levels: &mut Levels,
        orders: &mut impl Slots,
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
        level.head = select_unpredictable(prev == NONE, next, level.head);
        level.tail = select_unpredictable(next == NONE, prev, level.tail);
        // Where there is no neighbour, the link goes to this order, which has none any more.
        orders.hot_mut(select_unpredictable(prev == NONE, order, prev)).next = next;
        orders.hot_mut(select_unpredictable(next == NONE, order, next)).prev = prev;
        if level.count == 0 {
            assert!(level.open == 0, "an empty level has no open quantity");
            self.drop_level(levels, side, handle);
        }
    }

    /// Removes a level whose queue is empty.
    #[inline]
    pub(super) fn drop_level(&mut self, levels: &mut Levels, side: Side, level: u32) {
        let ends = &mut self.sides[side as usize - 1];
        if level == ends.best {
            // Bids are all that is below the best bid, asks all that is above the best ask.
            let next = next_best(levels, side, level);
            ends.best = next.unwrap_or(NONE);
            ends.best_key = next.map_or(NO_KEY, |next| key_of(side, levels.at(next).price));
        }
        levels.remove(&mut self.root, level);
    }

    /// Best price of one side.
    #[inline]
    pub(super) fn best_price(&self, levels: &Levels, side: Side) -> Option<Price> {
        self.side(side).best().map(|best| levels.at(best).price)
    }

    /// Whether the other side has so much open for an order of `side` with this limit. Looks at no
    /// more levels than that takes, and at no more than [`PRECHECK_STEPS_MAX`].
    pub(super) fn offers(&self, levels: &Levels, side: Side, limit: Price, wanted: i64) -> bool {
        let makers = side.opposite();
        let limit = key_of(makers, limit);
        let (mut left, mut at) = (wanted, self.side(makers).crossed_by(limit));
        for _ in 0..PRECHECK_STEPS_MAX {
            let Some(handle) = at else { return false };
            left -= levels.at(handle).open;
            if left <= 0 {
                return true;
            }
            at = next_best(levels, makers, handle)
                .filter(|&next| key_of(makers, levels.at(next).price) <= limit);
        }
        false
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
            at = next_best(levels, side, level);
            let level = levels.at(level);
            Some((level.price, level))
        })
    }

    /// Checks the book's levels and queues; gives the number of its orders. `belongs` says whether an
    /// order is one of this book and side.
    pub(super) fn check<O: Slots>(
        &self,
        levels: &Levels,
        orders: &O,
        belongs: impl Fn(&O, u32, Side) -> bool,
    ) -> BookCount {
        let (found, nodes) = levels.check(self.root);
        let mut counted = BookCount { orders: 0, levels: found.len(), nodes };
        let place = |side: Side| found.iter().position(|&level| level == self.side(side).best);
        let (bid, ask) = (place(Side::Buy), place(Side::Sell));
        assert!(bid.is_some() == self.side(Side::Buy).best().is_some());
        assert!(ask.is_some() == self.side(Side::Sell).best().is_some());
        let bids = bid.map_or(0, |bid| bid + 1);
        assert!(ask.unwrap_or(found.len()) == bids, "no level is between the best ones or beside");
        for (at, handle) in found.into_iter().enumerate() {
            let side = if at < bids { Side::Buy } else { Side::Sell };
            let level = levels.at(handle);
            if handle == self.side(side).best {
                assert!(self.side(side).best_key == key_of(side, level.price));
            }
            let (mut open, mut count, mut prev, mut at) = (0, 0, NONE, level.head);
            while at != NONE {
                let hot = orders.hot(at);
                assert!(hot.id != 0, "a queue holds live orders");
                assert!(hot.level == handle);
                assert!(hot.prev == prev);
                assert!(belongs(orders, at, side));
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
        for side in [Side::Buy, Side::Sell] {
            let side = self.side(side);
            assert!(side.best != NONE || side.best_key == NO_KEY);
        }
        counted
    }
}

/// The level of the next price of a side after this one.
#[inline]
fn next_best(levels: &Levels, side: Side, level: u32) -> Option<u32> {
    levels.beside(level, side == Side::Sell)
}

/// What [`Book::check`] met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BookCount {
    /// Orders in all queues.
    pub(super) orders: usize,
    /// Levels of both sides.
    pub(super) levels: usize,
    /// Nodes of the tree of levels.
    pub(super) nodes: usize,
}
