//! A hash index from a key that lives elsewhere to a `u32` handle: open addressing, linear
//! probing, backward-shift deletion.
//!
//! Invariants:
//! - A slot is 8 bytes: the handle plus one below, 32 bits of the key's hash above; 0 is empty.
//! - At most half of the slots are used, so that a probe is short and always ends.
//! - No tombstones: after a removal the table is as if the entry had never been there.
//! - The hash is keyed from genesis, so that a client who chooses ids cannot choose collisions.
//!   Where an entry lies never shows: nothing walks this table except to grow it.
//! - Numbers are given one after another, so *blocks* of neighbouring numbers are hashed and lie
//!   side by side: live entries stay close together in a table made for many more, instead of
//!   each on a cache line (and a page) of its own.

use crate::sys::memory::Region;

/// Slots of the smallest table: no block is larger.
const SLOTS_MIN: usize = 64;
/// Bits of a number that tell its place in its block, where one series of numbers is shared by
/// all: long blocks, few of them.
const SHARED_BLOCK_BITS: u32 = 6;
/// The same where each account has a series of its own: a block is a cache line.
const OWN_BLOCK_BITS: u32 = 3;

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

    /// The hash of `block` with its lowest bits those of `number`.
    #[inline]
    const fn place(self, block: u64, number: u64, bits: u32) -> u32 {
        let low = (1 << bits) - 1;
        (self.fold(block) as u32 & !low) | (number as u32 & low)
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

    /// The handle with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash as usize & self.mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if (slot >> 32) as u32 == hash {
                let handle = slot as u32 - 1;
                if is_it(handle) {
                    return Some(handle);
                }
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds an entry. The caller has made sure that its key is not in the table.
    #[inline]
    pub(super) fn insert(&mut self, hash: u32, handle: u32) {
        assert!(self.count * 2 < self.slots.len(), "the index was sized for fewer entries");
        let mut at = hash as usize & self.mask;
        while self.slots[at] != 0 {
            at = (at + 1) & self.mask;
        }
        self.slots[at] = u64::from(hash) << 32 | (u64::from(handle) + 1);
        self.count += 1;
    }

    /// Adds an entry and doubles the table first where it is half full: for tables that only
    /// genesis fills.
    pub(super) fn insert_growing(&mut self, hash: u32, handle: u32) {
        if (self.count + 1) * 2 > self.slots.len() {
            let mut larger = Index::with_capacity(self.slots.len());
            for &slot in self.slots.iter().filter(|&&slot| slot != 0) {
                larger.insert((slot >> 32) as u32, slot as u32 - 1);
            }
            *self = larger;
        }
        self.insert(hash, handle);
    }

    /// Removes an entry that is there.
    #[inline]
    pub(super) fn remove(&mut self, hash: u32, handle: u32) {
        let slot = u64::from(hash) << 32 | (u64::from(handle) + 1);
        let mut hole = hash as usize & self.mask;
        while self.slots[hole] != slot {
            assert!(self.slots[hole] != 0, "a live entry must be in its index");
            hole = (hole + 1) & self.mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            // An entry may fill the hole only if its home is not between the hole and itself:
            // otherwise a probe that starts at its home would no longer meet it.
            let home = (slot >> 32) as usize & self.mask;
            let from_home = at.wrapping_sub(home) & self.mask;
            let from_hole = at.wrapping_sub(hole) & self.mask;
            if from_home >= from_hole {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = 0;
        self.count -= 1;
    }
}

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
            assert_eq!(pairs.filter(|&(a, b)| b != a.wrapping_add(1)).count(), 4095);
        }
        assert_eq!(hasher.own(5, 8) + 7, hasher.own(5, 15));
        assert_ne!(hasher.own(5, 8), hasher.own(6, 8));
    }
}
