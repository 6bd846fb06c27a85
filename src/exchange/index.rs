//! A hash index from a key that lives elsewhere to a `u32` handle: open addressing, probing at even
//! steps, backward-shift deletion.
//!
//! Invariants:
//! - A slot is 8 bytes: the handle plus one below, 32 bits of the key's hash above; 0 is empty.
//! - At most half of the slots are used, so that a probe is short and always ends.
//! - A slot's highest bit of the handle says that an entry went past it to a later slot. Nearly all
//!   entries lie at home, in a slot that none went past: they are found, found missing and removed
//!   with a look at one slot.
//! - No tombstones: after a removal the table is as if the entry had never been there, but for marks
//!   of having been passed.
//! - The hash is keyed from genesis, so that a client who chooses ids cannot choose collisions.
//!   Where an entry lies never shows: nothing walks this table except to grow it.
//! - Numbers are given one after another, so *blocks* of neighbouring numbers are hashed and lie
//!   side by side: live entries stay close together in a table made for many more, instead of
//!   each on a cache line (and a page) of its own. A step of a probe is a block and one slot, so that
//!   of two full blocks with one place the second lies in the next block, slot by slot, instead of
//!   every entry of it behind the whole first one.

use crate::sys::memory::Region;
use crate::sys::prefetch::prefetch;

/// Slots of the smallest table: no block is larger.
const SLOTS_MIN: usize = 64;
/// Bits of a number that tell its place in its block, where one series of numbers is shared by
/// all: long blocks, few of them.
const SHARED_BLOCK_BITS: u32 = 6;
/// The same where each account has a series of its own: a block is a cache line.
const OWN_BLOCK_BITS: u32 = 3;

/// Slots from one place of a probe to the next: odd, so that a probe meets every slot.
const STEP: usize = (1 << SHARED_BLOCK_BITS) + 1;
/// Set in a slot that an entry went past.
const PASSED: u64 = 1 << 31;
/// Handles are below this.
const HANDLES_MAX: u32 = (PASSED - 1) as u32;

const _: () = assert!(1 << SHARED_BLOCK_BITS <= SLOTS_MIN);

/// Hashes keys of the exchange's indexes, the same way on every node of one journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher {
    mask: u64,
    factor: u64,
}

impl Hasher {
    /// A hasher keyed by the seed of genesis.
    pub(super) const fn new(seed: u128) -> Hasher {
        // The constants (digits of pi) keep a weak seed, such as zero, from being a weak key; an
        // odd factor makes neighbouring ids, which are the usual ones, collide least.
        let mask = (seed >> 64) as u64 ^ 0x2437_54d1_aa30_8d31;
        let factor = (seed as u64 ^ 0x9cc8_a4e5_f1b6_7c2b) | 1;
        Hasher { mask, factor }
    }

    #[inline]
    const fn fold(self, value: u64) -> u64 {
        let product = (value ^ self.mask) as u128 * self.factor as u128;
        product as u64 ^ (product >> 64) as u64
    }

    /// The hash of `block` with its lowest bits those of `number`, turned by an amount that the hash
    /// tells: where every number is a multiple of the block's length, each block has another place
    /// for them.
    #[inline]
    const fn place(self, block: u64, number: u64, bits: u32) -> u32 {
        let low = (1 << bits) - 1;
        let hash = self.fold(block);
        (hash as u32 & !low) | (number as u32).wrapping_add((hash >> 32) as u32) & low
    }

    /// Hash of a number of the series that all share.
    #[inline]
    pub(super) const fn shared(self, number: u64) -> u32 {
        self.place(number >> SHARED_BLOCK_BITS, number, SHARED_BLOCK_BITS)
    }

    /// Hash of a number of the owner's own series.
    #[inline]
    pub(super) const fn own(self, owner: u64, number: u64) -> u32 {
        let series = self.fold(owner).rotate_left(32);
        self.place(series ^ number >> OWN_BLOCK_BITS, number, OWN_BLOCK_BITS)
    }
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Index {
    slots: Vec<u64>,
    mask: usize,
    count: usize,
}

impl Index {
    /// The table's memory.
    pub(super) fn memory(&self) -> Region {
        Region::of(&self.slots)
    }

    /// A table for so many entries. Zeroed pages come from the system untouched, so a large table
    /// costs memory only where it is used: in large pages, as keys land anywhere.
    pub(super) fn with_capacity(entries: usize) -> Index {
        let slots = (entries * 2).next_power_of_two().max(SLOTS_MIN);
        let slots = vec![0; slots];
        Region::of(&slots).prefer_large_pages();
        Index { mask: slots.len() - 1, slots, count: 0 }
    }

    /// Entries in the table.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The slot that a probe looks at after this one.
    #[inline]
    const fn after(&self, at: usize) -> usize {
        (at + STEP) & self.mask
    }

    /// The handle with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash as usize & self.mask;
        loop {
            let slot = self.slots[at];
            if (slot >> 32) as u32 == hash && slot != 0 {
                let handle = handle_in(slot);
                if is_it(handle) {
                    return Some(handle);
                }
            }
            if slot & PASSED == 0 {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Asks for the memory of this hash's home.
    #[inline]
    pub(super) fn fetch(&self, hash: u32) {
        prefetch(&self.slots, hash as usize & self.mask);
    }

    /// The handle that most likely has this hash: a hint of what [`Index::find`] will give.
    #[inline]
    pub(super) fn guess(&self, hash: u32) -> Option<u32> {
        let slot = self.slots[hash as usize & self.mask];
        ((slot >> 32) as u32 == hash && slot != 0).then(|| handle_in(slot))
    }

    /// Adds an entry. The caller has made sure that its key is not in the table.
    #[inline]
    pub(super) fn insert(&mut self, hash: u32, handle: u32) {
        assert!(self.count * 2 < self.slots.len(), "the index was sized for fewer entries");
        assert!(handle < HANDLES_MAX, "a slot has a bit for its mark");
        let mut at = hash as usize & self.mask;
        while self.slots[at] != 0 {
            self.slots[at] |= PASSED;
            at = self.after(at);
        }
        self.slots[at] = entry(hash, handle);
        self.count += 1;
    }

    /// Adds an entry and doubles the table first where it is half full: for tables that only
    /// genesis fills.
    pub(super) fn insert_growing(&mut self, hash: u32, handle: u32) {
        if (self.count + 1) * 2 > self.slots.len() {
            let mut larger = Index::with_capacity(self.slots.len());
            for &slot in self.slots.iter().filter(|&&slot| slot != 0) {
                larger.insert((slot >> 32) as u32, handle_in(slot));
            }
            *self = larger;
        }
        self.insert(hash, handle);
    }

    /// Removes an entry that is there.
    #[inline]
    pub(super) fn remove(&mut self, hash: u32, handle: u32) {
        let entry = entry(hash, handle);
        let mut at = hash as usize & self.mask;
        while self.slots[at] & !PASSED != entry {
            assert!(self.slots[at] != 0, "a live entry must be in its index");
            at = self.after(at);
        }
        self.count -= 1;
        if self.slots[at] & PASSED == 0 {
            self.slots[at] = 0;
        } else {
            self.close_hole(at);
        }
    }

    /// Empties a slot that entries went past, and moves those up that would not be found beyond it.
    #[cold]
    fn close_hole(&mut self, mut hole: usize) {
        let mut at = hole;
        loop {
            at = self.after(at);
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            // An entry may fill the hole only if its home is not between the hole and itself:
            // otherwise a probe that starts at its home would no longer meet it.
            let home = (slot >> 32) as usize & self.mask;
            if self.steps(home, at) >= self.steps(hole, at) {
                self.slots[hole] = slot & !PASSED | self.slots[hole] & PASSED;
                hole = at;
                if slot & PASSED == 0 {
                    break;
                }
            } else if slot & PASSED == 0 {
                break;
            }
        }
        self.slots[hole] = 0;
    }

    /// Steps of a probe from one slot to another.
    #[inline]
    const fn steps(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from).wrapping_mul(STEP_INVERSE) & self.mask
    }

    /// Checks that every entry is found: what is before it on the way from its home was passed.
    pub(super) fn check(&self) {
        let mut count = 0;
        for (at, &slot) in self.slots.iter().enumerate().filter(|&(_, &slot)| slot != 0) {
            let mut way = (slot >> 32) as usize & self.mask;
            while way != at {
                assert!(self.slots[way] & !PASSED != 0, "an entry is found from its home");
                assert!(self.slots[way] & PASSED != 0, "what an entry passed is marked");
                way = self.after(way);
            }
            count += 1;
        }
        assert!(self.count == count);
    }
}

#[inline]
const fn entry(hash: u32, handle: u32) -> u64 {
    (hash as u64) << 32 | (handle as u64 + 1)
}

#[inline]
const fn handle_in(slot: u64) -> u32 {
    (slot & !PASSED) as u32 - 1
}

/// What [`STEP`] has to be multiplied with for 1, modulo any power of two.
const STEP_INVERSE: usize = {
    let mut inverse = STEP;
    let mut bits = 3;
    while bits < usize::BITS {
        inverse = inverse.wrapping_mul(2usize.wrapping_sub(STEP.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
};

const _: () = assert!(STEP.wrapping_mul(STEP_INVERSE) == 1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A small generator: tests need no quality, only repeatability.
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    fn against_a_map(hash: impl Fn(u64) -> u32, keys: u64) {
        let mut index = Index::with_capacity(64);
        let mut map = BTreeMap::new();
        let mut key_of = vec![u64::MAX; 64];
        let mut free: Vec<u32> = (0..64).collect();
        let mut state = 0x1234_5678_9abc_def1;
        for _ in 0..20_000 {
            let key = next(&mut state) % keys;
            let found = index.find(hash(key), |handle| key_of[handle as usize] == key);
            assert_eq!(found, map.get(&key).copied());
            if let Some(handle) = found {
                index.remove(hash(key), handle);
                map.remove(&key);
                key_of[handle as usize] = u64::MAX;
                free.push(handle);
            } else if let Some(handle) = free.pop() {
                index.insert(hash(key), handle);
                map.insert(key, handle);
                key_of[handle as usize] = key;
            }
            assert_eq!(index.count(), map.len());
            index.check();
        }
    }

    #[test]
    fn it_finds_what_a_map_finds() {
        let hasher = Hasher::new(7);
        against_a_map(|key| hasher.shared(key), 100);
    }

    #[test]
    fn colliding_hashes_and_a_wrap_at_the_end_lose_nothing() {
        against_a_map(|key| (key % 3) as u32 + 126, 100);
        against_a_map(|_| u32::MAX, 70);
    }

    #[test]
    fn a_growing_table_keeps_its_entries() {
        let hasher = Hasher::new(0);
        let mut index = Index::with_capacity(0);
        for key in 0..5000 {
            index.insert_growing(hasher.shared(key), key as u32);
        }
        for key in 0..5000 {
            let found = index.find(hasher.shared(key), |handle| u64::from(handle) == key);
            assert_eq!(found, Some(key as u32));
        }
    }

    #[test]
    fn neighbours_lie_side_by_side_and_blocks_spread_over_the_table() {
        let hasher = Hasher::new(0);
        for start in [1u64 << 6, 1 << 20, 1 << 40] {
            let homes =
                |step: usize| (start..start + (1 << 18)).step_by(step).map(|n| hasher.shared(n));
            let mut blocks: Vec<u32> = homes(64).map(|home| home >> 6 & 8191).collect();
            blocks.sort_unstable();
            blocks.dedup();
            assert!(blocks.len() > 2800, "only {} places for 4096 blocks", blocks.len());
            let pairs = homes(1).zip(homes(1).skip(1));
            let apart = pairs.filter(|&(a, b)| b != a.wrapping_add(1)).count();
            assert!(apart <= 2 * 4096, "a block lies in two runs at most, not in {apart}");
        }
        let line = |number| hasher.own(5, number) >> OWN_BLOCK_BITS;
        assert!((8..16).all(|number| line(number) == line(8)));
        assert_ne!(hasher.own(5, 8), hasher.own(6, 8));
    }

    #[test]
    fn full_blocks_with_one_place_do_not_lie_behind_each_other() {
        // Every other block of a dense series is live, half of the table is used.
        let hasher = Hasher::new(9);
        let mut index = Index::with_capacity(1 << 16);
        let numbers = || (0..1u64 << 17).filter(|number| number >> 6 & 1 == 0);
        for (handle, number) in (0..).zip(numbers()) {
            index.insert(hasher.shared(number), handle);
        }
        index.check();
        let steps = |number| {
            let (mut at, mut length) = (hasher.shared(number) as usize & index.mask, 1);
            while index.slots[at] & PASSED != 0 {
                (at, length) = (index.after(at), length + 1);
            }
            length
        };
        let total: usize = numbers().map(steps).sum();
        assert!(total < 4 * index.count(), "{total} steps for {}", index.count());
    }

    #[test]
    fn multiples_of_a_blocks_length_spread_over_the_places_in_it() {
        let hasher = Hasher::new(9);
        let mut places = [0; 64];
        (0..64_000u64).for_each(|block| places[hasher.shared(block << 6) as usize & 63] += 1);
        assert!(places.iter().all(|&count| (800..1200).contains(&count)), "{places:?}");
    }
}
