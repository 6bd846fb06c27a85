//! Price levels of all books, and the order of their prices.
//!
//! A level is the queue of all orders at one price. A book finds its levels, those of both sides,
//! through one tree. Its leaves are *pages* of 64 neighbouring prices, with a map of those that have a
//! level; above them *forks* split prices by one digit of six bits, with a map of the digits in use.
//! Digits on which all prices below a fork agree have no fork of their own, so the depth follows the
//! number of digits in which live prices differ (a page and one fork for a book 4,096 ticks wide, one
//! fork more for 262,144), an order far away costs a page and a fork, and no price is out of range:
//! there is no window to re-base, nothing to rebalance, and a step to the next price up or down is
//! a bit scan. A link says which digit its node decides, so that a walk down waits for one load a
//! node; only the page at its end is asked whether it is the right one.
//!
//! A book is never locked or crossed, so that the levels up to its best bid are the bids and those
//! from its best ask are the asks: the tree need not know of sides.
//!
//! Invariants:
//! - A page has at least one level, a fork at least two children: a tree of n levels has at most n
//!   pages and fewer forks, so that a slab of twice as many nodes as levels is never full.
//! - A level in a tree holds at least one order once the command is done.
//! - Slabs are reserved whole and touched as they are used; free slots are reused last in, first
//!   out. Nothing here allocates after [`Levels::with_capacity`].

use crate::sys::memory::Region;
use crate::sys::prefetch::prefetch;
use crate::types::{Price, Side};
use std::hint::select_unpredictable;

/// No handle.
pub(super) const NONE: u32 = u32::MAX;

/// Bits of a price that one node decides.
const DIGIT_BITS: u32 = 6;
/// Children a node can have.
const DIGITS: usize = 1 << DIGIT_BITS;

/// A price as a number whose order is that of prices, negative ones included.
#[inline]
const fn number_of(price: Price) -> u64 {
    price.0.cast_unsigned() ^ 1 << (u64::BITS - 1)
}

/// Key of a price on a side: the smaller is the better.
#[inline]
pub(super) const fn key_of(side: Side, price: Price) -> u64 {
    // All bits turned for a buy, none for a sell: sides come at random, and a branch would not guess.
    number_of(price) ^ (side as u64).wrapping_sub(Side::Sell as u64)
}

const _: () = assert!(Side::Buy as u64 + 1 == Side::Sell as u64);

/// A node of a tree, or nothing: a handle, and below it the digit that the node decides, counted from
/// the lowest; a page is a node that decides the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(u32);

/// Bits of a link that tell the digit.
const PLACE_BITS: u32 = 4;
/// Handles that a link can hold; the last one would be [`Link::NONE`].
const LINKS_MAX: usize = (1 << (u32::BITS - PLACE_BITS)) - 1;

const _: () = assert!((u64::BITS - 1) / DIGIT_BITS < (1 << PLACE_BITS) - 1);

impl Link {
    /// Nothing.
    pub(super) const NONE: Link = Link(u32::MAX);

    const fn new(handle: u32, place: u32) -> Link {
        Link(handle << PLACE_BITS | place)
    }

    /// Bits below the digit that the node decides.
    #[inline]
    const fn shift(self) -> u32 {
        (self.0 & ((1 << PLACE_BITS) - 1)) * DIGIT_BITS
    }

    #[inline]
    const fn is_page(self) -> bool {
        self.shift() == 0
    }

    #[inline]
    const fn handle(self) -> usize {
        (self.0 >> PLACE_BITS) as usize
    }
}

/// All orders at one price, oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// The price.
    pub(super) price: Price,
    /// Quantity still open at this price: kept, not summed on demand, because market data asks for
    /// it on every change and a level can hold thousands of orders.
    pub(super) open: i64,
    /// The oldest order.
    pub(super) head: u32,
    /// The youngest order.
    pub(super) tail: u32,
    /// Orders in the queue.
    pub(super) count: u32,
    /// The page. In a free slot: the next free slot.
    page: u32,
}

/// A page, or a fork: a place where prices part.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The digits above this node's own, on which all prices below it agree; zeros elsewhere.
    prefix: u64,
    /// Which digits have a child.
    occupied: u64,
    /// The fork above, or `NONE` at the root. In a free slot: the next free slot.
    parent: u32,
    /// Bits below this node's own digit.
    shift: u32,
}

impl Node {
    /// True where the number of a price lies within this node's reach.
    #[inline]
    const fn covers(&self, number: u64) -> bool {
        (number ^ self.prefix) >> self.shift >> DIGIT_BITS == 0
    }
}

#[inline]
const fn digit(number: u64, shift: u32) -> usize {
    (number >> shift) as usize & (DIGITS - 1)
}

/// Children of a node: links of a fork, handles of levels of a page. Only those that the node's map
/// names mean anything.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Children([u32; DIGITS]);

const _: () = assert!(size_of::<Level>() == 32);
const _: () = assert!(size_of::<Node>() == 24);
const _: () = assert!(size_of::<Children>() == 256);

/// The slabs of levels and nodes that all books share.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    levels: Vec<Level>,
    levels_free: u32,
    levels_used: usize,
    nodes: Vec<Node>,
    children: Vec<Children>,
    nodes_free: u32,
    nodes_used: usize,
    count_max: usize,
}

impl Levels {
    /// Room for so many levels.
    pub(super) fn with_capacity(count_max: usize) -> Levels {
        assert!(count_max * 2 < LINKS_MAX, "a link spends some bits on its digit");
        Levels {
            levels: Vec::with_capacity(count_max),
            levels_free: NONE,
            levels_used: 0,
            nodes: Vec::with_capacity(count_max * 2),
            children: Vec::with_capacity(count_max * 2),
            nodes_free: NONE,
            nodes_used: 0,
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

    /// The memory of levels.
    pub(super) fn memory(&self) -> Region {
        Region::of(&self.levels)
    }

    /// Asks for a level's memory.
    #[inline]
    pub(super) fn fetch(&self, level: u32) {
        prefetch(&self.levels, level as usize);
    }

    /// Bytes of levels and nodes that were ever used.
    pub(super) const fn touched_bytes(&self) -> usize {
        self.levels.len() * size_of::<Level>()
            + self.nodes.len() * (size_of::<Node>() + size_of::<Children>())
    }

    /// Levels in all trees together.
    pub(super) const fn count(&self) -> usize {
        self.levels_used
    }

    /// Nodes of all trees together.
    pub(super) const fn node_count(&self) -> usize {
        self.nodes_used
    }

    /// The page where a level of this number is, if there is one.
    #[inline]
    fn page_of(&self, root: Link, number: u64) -> Option<usize> {
        if root == Link::NONE {
            return None;
        }
        let mut link = root;
        while !link.is_page() {
            let digit = digit(number, link.shift());
            if self.nodes[link.handle()].occupied >> digit & 1 == 0 {
                return None;
            }
            link = Link(self.children[link.handle()].0[digit]);
        }
        // A fork on the way may have another prefix, and then the page has: it alone is asked.
        let page = link.handle();
        if self.nodes[page].covers(number) { Some(page) } else { None }
    }

    /// The level of this price in the tree under `root`, if there is one.
    #[inline]
    pub(super) fn find(&self, root: Link, price: Price) -> Option<u32> {
        let number = number_of(price);
        let page = self.page_of(root, number)?;
        let digit = digit(number, 0);
        let is_there = self.nodes[page].occupied >> digit & 1 == 1;
        is_there.then(|| self.children[page].0[digit])
    }

    /// The level of this price in the tree under `root`; a new, empty one where there is none.
    #[inline]
    pub(super) fn place(&mut self, root: &mut Link, price: Price) -> u32 {
        let number = number_of(price);
        let page = match self.page_of(*root, number) {
            Some(page) => page,
            None => self.new_page(root, number),
        };
        let digit = digit(number, 0);
        if self.nodes[page].occupied >> digit & 1 == 1 {
            return self.children[page].0[digit];
        }
        let level = self.new_level(price, page as u32);
        self.nodes[page].occupied |= 1 << digit;
        self.children[page].0[digit] = level;
        level
    }

    /// Puts an empty page for this number, which no page covers, into the tree under `root`.
    #[cold]
    fn new_page(&mut self, root: &mut Link, number: u64) -> usize {
        let prefix = number >> DIGIT_BITS << DIGIT_BITS;
        let page = self.new_node(Node { prefix, occupied: 0, parent: NONE, shift: 0 });
        let link = Link::new(page, 0);
        let (mut at, mut parent) = (*root, NONE);
        while at != Link::NONE {
            let handle = at.handle();
            let node = self.nodes[handle];
            if !node.covers(number) {
                // A fork comes between this node and what is above it, where the two part.
                let place = (u64::BITS - 1 - (number ^ node.prefix).leading_zeros()) / DIGIT_BITS;
                let shift = place * DIGIT_BITS;
                let (old, new) = (digit(node.prefix, shift), digit(number, shift));
                let prefix = number >> shift >> DIGIT_BITS << DIGIT_BITS << shift;
                let occupied = 1 << old | 1 << new;
                let fork = self.new_node(Node { prefix, occupied, parent, shift });
                self.children[fork as usize].0[old] = at.0;
                self.children[fork as usize].0[new] = link.0;
                self.nodes[handle].parent = fork;
                self.nodes[page as usize].parent = fork;
                self.set_child(root, parent, number, Link::new(fork, place));
                return page as usize;
            }
            let digit = digit(number, node.shift);
            if node.occupied >> digit & 1 == 0 {
                self.nodes[handle].occupied |= 1 << digit;
                self.children[handle].0[digit] = link.0;
                self.nodes[page as usize].parent = handle as u32;
                return page as usize;
            }
            parent = handle as u32;
            at = Link(self.children[handle].0[digit]);
        }
        *root = link;
        page as usize
    }

    /// Takes an empty level out of the tree under `root`.
    #[inline]
    pub(super) fn remove(&mut self, root: &mut Link, level: u32) {
        let Level { price, page, head, .. } = *self.at(level);
        assert!(head == NONE, "only an empty level is removed");
        self.at_mut(level).page = self.levels_free;
        self.levels_free = level;
        self.levels_used -= 1;
        let number = number_of(price);
        let node = &mut self.nodes[page as usize];
        node.occupied &= !(1 << digit(number, 0));
        if node.occupied == 0 {
            self.drop_page(root, page, number);
        }
    }

    /// Takes an empty page out of the tree under `root`. A fork that has one child left then gives its
    /// place to it, so that every fork still parts something.
    #[cold]
    fn drop_page(&mut self, root: &mut Link, page: u32, number: u64) {
        let fork = self.nodes[page as usize].parent;
        self.free_node(page);
        if fork == NONE {
            *root = Link::NONE;
            return;
        }
        let node = &mut self.nodes[fork as usize];
        node.occupied &= !(1 << digit(number, node.shift));
        let Node { occupied, parent, .. } = *node;
        if occupied.is_power_of_two() {
            let only = Link(self.children[fork as usize].0[occupied.trailing_zeros() as usize]);
            self.free_node(fork);
            self.nodes[only.handle()].parent = parent;
            self.set_child(root, parent, number, only);
        }
    }

    /// The level of the next price up, or down, of whichever side.
    #[inline]
    pub(super) fn beside(&self, level: u32, up: bool) -> Option<u32> {
        // Up or down is a matter of chance: both are computed and one is chosen.
        let nearest =
            |map: u64| select_unpredictable(up, map.trailing_zeros(), map.ilog2()) as usize;
        let Level { price, page, .. } = *self.at(level);
        let number = number_of(price);
        let mut at = page;
        while at != NONE {
            let node = &self.nodes[at as usize];
            let above = u64::MAX << digit(number, node.shift);
            let others = node.occupied & select_unpredictable(up, above << 1, !above);
            if others != 0 {
                let mut child = self.children[at as usize].0[nearest(others)];
                let mut shift = node.shift;
                while shift != 0 {
                    let link = Link(child);
                    let nearest = nearest(self.nodes[link.handle()].occupied);
                    child = self.children[link.handle()].0[nearest];
                    shift = link.shift();
                }
                return Some(child);
            }
            at = node.parent;
        }
        None
    }

    #[inline]
    fn new_level(&mut self, price: Price, page: u32) -> u32 {
        let level = Level { price, open: 0, head: NONE, tail: NONE, count: 0, page };
        self.levels_used += 1;
        if self.levels_free == NONE {
            assert!(self.levels.len() < self.count_max, "there are never more levels than orders");
            self.levels.push(level);
            return self.levels.len() as u32 - 1;
        }
        let handle = self.levels_free;
        let slot = self.at_mut(handle);
        let free = slot.page;
        *slot = level;
        self.levels_free = free;
        handle
    }

    fn new_node(&mut self, node: Node) -> u32 {
        self.nodes_used += 1;
        if self.nodes_free == NONE {
            assert!(self.nodes.len() < self.count_max * 2, "nodes are fewer than twice the levels");
            self.nodes.push(node);
            self.children.push(Children([NONE; DIGITS]));
            return self.nodes.len() as u32 - 1;
        }
        let handle = self.nodes_free;
        self.nodes_free = self.nodes[handle as usize].parent;
        self.nodes[handle as usize] = node;
        handle
    }

    fn free_node(&mut self, node: u32) {
        self.nodes[node as usize].parent = self.nodes_free;
        self.nodes_free = node;
        self.nodes_used -= 1;
    }

    /// Makes `link` the child of `parent` on the way to this number, or the root.
    fn set_child(&mut self, root: &mut Link, parent: u32, number: u64, link: Link) {
        if parent == NONE {
            *root = link;
        } else {
            let shift = self.nodes[parent as usize].shift;
            self.children[parent as usize].0[digit(number, shift)] = link.0;
        }
    }

    /// Walks the tree under `root` and checks every invariant of it; gives its levels in order of
    /// price, and the number of its nodes.
    pub(super) fn check(&self, root: Link) -> (Vec<u32>, usize) {
        let (mut found, mut nodes) = (Vec::new(), 0);
        let mut pending = if root == Link::NONE { vec![] } else { vec![(root, NONE, 0, u64::MAX)] };
        while let Some((link, parent, low, high)) = pending.pop() {
            nodes += 1;
            let node = &self.nodes[link.handle()];
            assert!(node.parent == parent);
            assert!(node.shift == link.shift(), "a link says which digit its node decides");
            let children_min = if link.is_page() { 1 } else { 2 };
            assert!(node.occupied.count_ones() >= children_min, "no node is in vain");
            let digits = (0..DIGITS).filter(|&digit| node.occupied >> digit & 1 == 1);
            let children = digits.map(|digit| (digit, self.children[link.handle()].0[digit]));
            if link.is_page() {
                for (digit, handle) in children {
                    let level = self.at(handle);
                    let number = number_of(level.price);
                    assert!(level.page as usize == link.handle());
                    assert!(number == node.prefix | digit as u64, "a level is in its place");
                    assert!(low <= number && number <= high, "a level lies within its digit");
                    assert!(self.find(root, level.price) == Some(handle));
                    found.push(handle);
                }
            } else {
                for (digit, child) in children.rev() {
                    let from = node.prefix | (digit as u64) << node.shift;
                    let to = from | ((1 << node.shift) - 1);
                    assert!(low <= from && to <= high, "a fork lies within its digit");
                    pending.push((Link(child), link.handle() as u32, from, to));
                }
            }
        }
        for pair in found.windows(2) {
            assert!(self.at(pair[0]).price < self.at(pair[1]).price);
            assert!(self.beside(pair[0], true) == Some(pair[1]));
            assert!(self.beside(pair[1], false) == Some(pair[0]));
        }
        assert!(found.first().is_none_or(|&first| self.beside(first, false).is_none()));
        assert!(found.last().is_none_or(|&last| self.beside(last, true).is_none()));
        (found, nodes)
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

    /// Adds and removes prices that `draw` makes and compares with a sorted map after every step.
    fn against_a_map(seed: u64, draw: impl Fn(u64) -> i64) {
        let mut levels = Levels::with_capacity(300);
        let mut root = Link::NONE;
        let mut map: BTreeMap<Price, u32> = BTreeMap::new();
        let mut state = seed;
        for step in 0..8000 {
            let grows =
                map.len() < 300 && (step / 1500 % 2 == 0 || next(&mut state).is_multiple_of(4));
            let price = Price(draw(next(&mut state)));
            assert_eq!(levels.find(root, price), map.get(&price).copied());
            if grows {
                let level = levels.place(&mut root, price);
                assert_eq!(levels.at(level).price, price);
                assert_eq!(*map.entry(price).or_insert(level), level);
            } else if let Some((&price, &level)) = map.range(price..).next() {
                map.remove(&price);
                levels.remove(&mut root, level);
            }
            if step % 16 == 0 {
                let expected: Vec<u32> = map.values().copied().collect();
                let (found, nodes) = levels.check(root);
                assert_eq!(found, expected);
                assert_eq!(levels.count(), map.len());
                assert_eq!(levels.node_count(), nodes);
                assert!(nodes < 2 * map.len().max(1));
            }
        }
    }

    #[test]
    fn dense_prices_stay_in_order() {
        against_a_map(1, |random| 100_000 + (random % 500) as i64);
        against_a_map(5, |random| (random % 500) as i64 - 250);
    }

    #[test]
    fn prices_over_the_whole_range_stay_in_order() {
        against_a_map(2, |random| random.cast_signed());
        against_a_map(3, |random| (random >> (random % 60)).cast_signed());
        against_a_map(4, |random| (1 << (random % 63)) | (random % 3).cast_signed());
        against_a_map(6, |random| i64::MIN.wrapping_add((random % 80) as i64 - 40));
    }

    #[test]
    fn keys_of_both_sides_order_prices_best_first() {
        let prices = [i64::MIN, -2, -1, 0, 1, 2, 1 << 40, i64::MAX].map(Price);
        for pair in prices.windows(2) {
            assert!(key_of(Side::Buy, pair[1]) < key_of(Side::Buy, pair[0]));
            assert!(key_of(Side::Sell, pair[0]) < key_of(Side::Sell, pair[1]));
        }
    }

    #[test]
    fn a_freed_slot_is_used_again_and_none_beyond_the_capacity() {
        let mut levels = Levels::with_capacity(3);
        let mut root = Link::NONE;
        for round in 0..100i64 {
            let handles: Vec<u32> = (0..3)
                .map(|n| levels.place(&mut root, Price(round << 16 | n << (n * 5))))
                .collect();
            assert!(levels.levels.len() <= 3);
            assert!(levels.nodes.len() <= 5);
            for handle in handles {
                levels.remove(&mut root, handle);
            }
            assert_eq!(root, Link::NONE);
            assert_eq!(levels.count() + levels.node_count(), 0);
        }
    }
}
