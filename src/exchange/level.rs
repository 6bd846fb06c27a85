//! Price levels of all books, and the order of their prices.
//!
//! A level is the queue of all orders at one price of one side. Each side finds its levels through
//! a tree of *forks*: a fork splits prices by one hexadecimal digit and keeps a 16-bit occupancy
//! map of the digits in use, and digits on which all prices below a fork agree have no fork of
//! their own. So the depth follows the number of digits in which live prices differ (3 for a book
//! 4,096 ticks wide), an order far away costs one fork, and no price is out of range: there is no
//! window to re-base, nothing to rebalance, and a step to the next price is a bit scan.
//!
//! Prices are *keys* here: for asks the price, for bids its distance from the highest possible
//! price. The smaller key is the better price on both sides, so that one tree serves both.
//!
//! Invariants:
//! - A fork has at least two children: a tree of n levels has fewer than n forks, so that a slab
//!   of forks as large as the slab of levels is never full.
//! - A level in a tree holds at least one order once the command is done.
//! - Slabs are reserved whole and touched as they are used; free slots are reused last in, first
//!   out. Nothing here allocates after [`Levels::with_capacity`].

use crate::types::{Price, Side};

/// No handle.
pub(super) const NONE: u32 = u32::MAX;

/// Bits of a key that one fork decides.
const DIGIT_BITS: u32 = 4;
/// Children a fork can have.
const DIGITS: usize = 1 << DIGIT_BITS;

/// Ladder key of a price: smaller is better.
#[inline]
pub(super) const fn key_of(side: Side, price: Price) -> u64 {
    match side {
        Side::Buy => (i64::MAX - price.0).cast_unsigned(),
        Side::Sell => price.0.cast_unsigned(),
    }
}

/// Price of a ladder key.
#[inline]
pub(super) const fn price_of(side: Side, key: u64) -> Price {
    match side {
        Side::Buy => Price(i64::MAX - key.cast_signed()),
        Side::Sell => Price(key.cast_signed()),
    }
}

/// A child of a fork, or a side's root: a level, a fork or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(u32);

impl Link {
    /// Nothing.
    pub(super) const NONE: Link = Link(NONE);

    const fn level(handle: u32) -> Link {
        Link(handle << 1)
    }

    const fn fork(handle: u32) -> Link {
        Link(handle << 1 | 1)
    }

    const fn is_fork(self) -> bool {
        self.0 & 1 == 1
    }

    const fn handle(self) -> usize {
        (self.0 >> 1) as usize
    }
}

/// All orders at one price of one side, oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// Ladder key of the price.
    pub(super) key: u64,
    /// Quantity still open at this price: kept, not summed on demand, because market data asks for
    /// it on every change and a level can hold thousands of orders.
    pub(super) open: i64,
    /// The oldest order.
    pub(super) head: u32,
    /// The youngest order.
    pub(super) tail: u32,
    /// Orders in the queue.
    pub(super) count: u32,
    /// The fork above, or `NONE` where the level is its side's only one. In a free slot: the next
    /// free slot.
    parent: u32,
}

/// A place where prices part.
#[derive(Clone, Copy, Debug)]
struct Fork {
    /// The digits above this fork's own, on which all keys below it agree; zeros elsewhere.
    prefix: u64,
    /// The fork above, or `NONE` at the root. In a free slot: the next free slot.
    parent: u32,
    /// Which digits have a child.
    occupied: u16,
    /// Bits below this fork's own digit.
    shift: u8,
}

impl Fork {
    #[inline]
    const fn covers(&self, key: u64) -> bool {
        (key ^ self.prefix) >> self.shift >> DIGIT_BITS == 0
    }
}

#[inline]
const fn digit(key: u64, shift: u8) -> usize {
    (key >> shift) as usize & (DIGITS - 1)
}

/// Children of a fork, one cache line; only those that the fork's map names mean anything.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Children([Link; DIGITS]);

const _: () = assert!(size_of::<Level>() == 32);
const _: () = assert!(size_of::<Fork>() == 16);
const _: () = assert!(size_of::<Children>() == 64);

/// The slabs of levels and forks that all books share.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    levels: Vec<Level>,
    levels_free: u32,
    levels_used: usize,
    forks: Vec<Fork>,
    children: Vec<Children>,
    forks_free: u32,
    forks_used: usize,
    count_max: usize,
}

impl Levels {
    /// Room for so many levels.
    pub(super) fn with_capacity(count_max: usize) -> Levels {
        assert!(count_max < (NONE >> 1) as usize, "a link spends one bit on its kind");
        Levels {
            levels: Vec::with_capacity(count_max),
            levels_free: NONE,
            levels_used: 0,
            forks: Vec::with_capacity(count_max),
            children: Vec::with_capacity(count_max),
            forks_free: NONE,
            forks_used: 0,
            count_max,
        }
    }

    /// A level.
    #[inline]
    pub(super) fn at(&self, level: u32) -> &Level {
        &self.levels[level as usize]
    }

    /// A level, to change its queue.
    #[inline]
    pub(super) fn at_mut(&mut self, level: u32) -> &mut Level {
        &mut self.levels[level as usize]
    }

    /// Levels in all trees together.
    pub(super) const fn count(&self) -> usize {
        self.levels_used
    }

    /// Forks in all trees together.
    pub(super) const fn fork_count(&self) -> usize {
        self.forks_used
    }

    /// The level of this key in the tree under `root`; a new, empty one where there is none.
    #[inline]
    pub(super) fn place(&mut self, root: &mut Link, key: u64) -> u32 {
        let mut link = *root;
        let mut parent = NONE;
        if link == Link::NONE {
            let level = self.new_level(key, NONE);
            *root = Link::level(level);
            return level;
        }
        loop {
            let neighbour = if link.is_fork() {
                let handle = link.handle();
                let fork = &mut self.forks[handle];
                if fork.covers(key) {
                    let digit = digit(key, fork.shift);
                    if fork.occupied >> digit & 1 == 0 {
                        fork.occupied |= 1 << digit;
                        let level = self.new_level(key, handle as u32);
                        self.children[handle].0[digit] = Link::level(level);
                        return level;
                    }
                    parent = handle as u32;
                    link = self.children[handle].0[digit];
                    continue;
                }
                fork.prefix
            } else {
                let level = &self.levels[link.handle()];
                if level.key == key {
                    return link.handle() as u32;
                }
                level.key
            };
            return self.split(root, parent, link, neighbour, key);
        }
    }

    /// Puts a fork between `parent` and `link`, where `key` and `neighbour` (a key below `link`)
    /// part, and a new level for `key` under it.
    fn split(&mut self, root: &mut Link, parent: u32, link: Link, neighbour: u64, key: u64) -> u32 {
        let differing = u64::BITS - 1 - (key ^ neighbour).leading_zeros();
        let shift = (differing / DIGIT_BITS * DIGIT_BITS) as u8;
        let (old, new) = (digit(neighbour, shift), digit(key, shift));
        let prefix = key >> shift >> DIGIT_BITS << DIGIT_BITS << shift;
        let fork = self.new_fork(Fork { prefix, parent, occupied: 1 << old | 1 << new, shift });
        let level = self.new_level(key, fork);
        let children = &mut self.children[fork as usize].0;
        children[old] = link;
        children[new] = Link::level(level);
        self.set_parent(link, fork);
        self.set_child(root, parent, key, Link::fork(fork));
        level
    }

    /// Takes an empty level out of the tree under `root`.
    pub(super) fn remove(&mut self, root: &mut Link, level: u32) {
        let Level { key, parent, head, .. } = *self.at(level);
        assert!(head == NONE, "only an empty level is removed");
        self.at_mut(level).parent = self.levels_free;
        self.levels_free = level;
        self.levels_used -= 1;
        if parent == NONE {
            assert!(root.handle() == level as usize, "a level without a fork is its side's root");
            *root = Link::NONE;
            return;
        }
        let fork = &mut self.forks[parent as usize];
        fork.occupied &= !(1 << digit(key, fork.shift));
        if !fork.occupied.is_power_of_two() {
            return;
        }
        // One child is left: it takes its fork's place, so that every fork still parts something.
        let Fork { occupied, parent: above, .. } = *fork;
        let only = self.children[parent as usize].0[occupied.trailing_zeros() as usize];
        self.forks[parent as usize].parent = self.forks_free;
        self.forks_free = parent;
        self.forks_used -= 1;
        self.set_parent(only, above);
        self.set_child(root, above, key, only);
    }

    /// The level with the smallest key under `root`.
    #[inline]
    pub(super) fn first(&self, root: Link) -> Option<u32> {
        if root == Link::NONE { None } else { Some(self.first_below(root)) }
    }

    #[inline]
    fn first_below(&self, mut link: Link) -> u32 {
        while link.is_fork() {
            let lowest = self.forks[link.handle()].occupied.trailing_zeros();
            link = self.children[link.handle()].0[lowest as usize];
        }
        link.handle() as u32
    }

    /// The level with the next larger key of the same side.
    pub(super) fn next(&self, level: u32) -> Option<u32> {
        let Level { key, mut parent, .. } = *self.at(level);
        while parent != NONE {
            let fork = &self.forks[parent as usize];
            let later = fork.occupied & (u16::MAX << digit(key, fork.shift) << 1);
            if later != 0 {
                let next = self.children[parent as usize].0[later.trailing_zeros() as usize];
                return Some(self.first_below(next));
            }
            parent = fork.parent;
        }
        None
    }

    #[inline]
    fn new_level(&mut self, key: u64, parent: u32) -> u32 {
        let level = Level { key, open: 0, head: NONE, tail: NONE, count: 0, parent };
        self.levels_used += 1;
        if self.levels_free == NONE {
            assert!(self.levels.len() < self.count_max, "there are never more levels than orders");
            self.levels.push(level);
            return self.levels.len() as u32 - 1;
        }
        let handle = self.levels_free;
        self.levels_free = self.at(handle).parent;
        *self.at_mut(handle) = level;
        handle
    }

    fn new_fork(&mut self, fork: Fork) -> u32 {
        self.forks_used += 1;
        if self.forks_free == NONE {
            assert!(self.forks.len() < self.count_max, "there are never more forks than levels");
            self.forks.push(fork);
            self.children.push(Children([Link::NONE; DIGITS]));
            return self.forks.len() as u32 - 1;
        }
        let handle = self.forks_free;
        self.forks_free = self.forks[handle as usize].parent;
        self.forks[handle as usize] = fork;
        handle
    }

    fn set_parent(&mut self, link: Link, parent: u32) {
        if link.is_fork() {
            self.forks[link.handle()].parent = parent;
        } else {
            self.levels[link.handle()].parent = parent;
        }
    }

    /// Makes `link` the child of `parent` on the way to `key`, or the root.
    fn set_child(&mut self, root: &mut Link, parent: u32, key: u64, link: Link) {
        if parent == NONE {
            *root = link;
        } else {
            let shift = self.forks[parent as usize].shift;
            self.children[parent as usize].0[digit(key, shift)] = link;
        }
    }

    /// Walks the tree under `root` and checks every invariant of it; gives its levels best first.
    pub(super) fn check(&self, root: Link) -> Vec<u32> {
        let mut found = Vec::new();
        let mut pending = vec![(root, NONE, 0u64, u64::MAX)];
        while let Some((link, parent, low, high)) = pending.pop() {
            if link == Link::NONE {
                assert!(parent == NONE, "only a root is empty");
            } else if link.is_fork() {
                let fork = &self.forks[link.handle()];
                assert!(fork.parent == parent);
                assert!(fork.occupied.count_ones() >= 2, "a fork parts at least two prices");
                for digit in (0..DIGITS).rev().filter(|&digit| fork.occupied >> digit & 1 == 1) {
                    let from = fork.prefix | (digit as u64) << fork.shift;
                    let to = from | ((1 << fork.shift) - 1);
                    assert!(low <= from && to <= high, "a fork lies within its digit");
                    let child = self.children[link.handle()].0[digit];
                    pending.push((child, link.handle() as u32, from, to));
                }
            } else {
                let level = &self.levels[link.handle()];
                assert!(level.parent == parent);
                assert!(low <= level.key && level.key <= high, "a level lies within its digit");
                found.push(link.handle() as u32);
            }
        }
        assert!(found.first().copied() == self.first(root));
        for pair in found.windows(2) {
            assert!(self.at(pair[0]).key < self.at(pair[1]).key);
            assert!(self.next(pair[0]) == Some(pair[1]));
        }
        assert!(found.last().is_none_or(|&last| self.next(last).is_none()));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// Adds and removes keys that `key` draws and compares with a sorted map after every step.
    fn against_a_map(seed: u64, key: impl Fn(u64) -> u64) {
        let mut levels = Levels::with_capacity(300);
        let mut root = Link::NONE;
        let mut map: BTreeMap<u64, u32> = BTreeMap::new();
        let mut state = seed;
        for step in 0..8000 {
            let grows =
                map.len() < 300 && (step / 1500 % 2 == 0 || next(&mut state).is_multiple_of(4));
            if grows {
                let key = key(next(&mut state));
                let level = levels.place(&mut root, key);
                assert_eq!(levels.at(level).key, key);
                assert_eq!(*map.entry(key).or_insert(level), level);
            } else if let Some((&key, &level)) = map.range(key(next(&mut state))..).next() {
                map.remove(&key);
                levels.remove(&mut root, level);
            }
            if step % 16 == 0 {
                let expected: Vec<u32> = map.values().copied().collect();
                assert_eq!(levels.check(root), expected);
                assert_eq!(levels.count(), map.len());
                assert!(levels.fork_count() <= map.len().saturating_sub(1));
            }
        }
    }

    #[test]
    fn dense_prices_stay_in_order() {
        against_a_map(1, |random| 100_000 + random % 500);
    }

    #[test]
    fn prices_over_the_whole_range_stay_in_order() {
        against_a_map(2, |random| random >> 1);
        against_a_map(3, |random| random >> (random % 60));
        against_a_map(4, |random| (1 << (random % 63)) | (random % 3));
    }

    #[test]
    fn keys_of_both_sides_turn_back_into_prices_and_order_best_first() {
        for price in [1, 2, 1 << 40, i64::MAX].map(Price) {
            for side in [Side::Buy, Side::Sell] {
                assert_eq!(price_of(side, key_of(side, price)), price);
            }
        }
        assert!(key_of(Side::Buy, Price(2)) < key_of(Side::Buy, Price(1)));
        assert!(key_of(Side::Sell, Price(1)) < key_of(Side::Sell, Price(2)));
    }

    #[test]
    fn a_freed_slot_is_used_again_and_none_beyond_the_capacity() {
        let mut levels = Levels::with_capacity(3);
        let mut root = Link::NONE;
        for round in 0..100u64 {
            let handles: Vec<u32> =
                (0..3).map(|n| levels.place(&mut root, round << 8 | n << (n * 3))).collect();
            assert!(levels.levels.len() <= 3);
            assert!(levels.forks.len() <= 3);
            for handle in handles {
                levels.remove(&mut root, handle);
            }
            assert_eq!(root, Link::NONE);
            assert_eq!(levels.count() + levels.fork_count(), 0);
        }
    }
}
