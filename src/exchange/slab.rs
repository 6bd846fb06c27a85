//! The hot halves of live orders, which matching reads and writes, and the index of their ids: all that a
//! book needs.
//!
//! Invariants:
//! - A slot is 32 bytes, two to a cache line; others hold `u32` handles.
//! - A slot is free exactly when its id is 0; free slots are linked through `next` and reused last in,
//!   first out.
//! - Every order in a slot is in the index of ids.
//! - The slab is reserved whole at genesis and touched as it is used; nothing grows after that.

use super::index::{Hasher, Index};
use super::level::NONE;
use crate::sys::memory::Region;
use crate::sys::prefetch::prefetch;

/// What matching needs of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hot {
    /// The order's id; 0 in a free slot.
    pub(super) id: u64,
    /// Open quantity; of an iceberg what of it is shown.
    pub(super) leaves: i64,
    /// The next younger order of the level.
    pub(super) next: u32,
    /// The next older order of the level.
    pub(super) prev: u32,
    /// The level it rests at.
    pub(super) level: u32,
    /// Index of its account; of its instrument where there are books alone.
    pub(super) account: u32,
}

const _: () = assert!(size_of::<Hot>() == 32);

/// Where the hot halves of orders are: all that a book's queues need.
pub(super) trait Slots {
    /// The hot half of a slot.
    fn hot(&self, order: u32) -> &Hot;

    /// The hot half of a slot, to change it.
    fn hot_mut(&mut self, order: u32) -> &mut Hot;
}

/// The hot halves of live orders, and the index of their ids.
#[derive(Clone, Debug)]
pub(super) struct Slab {
    hot: Vec<Hot>,
    free: u32,
    count: usize,
    count_max: usize,
    by_id: Index,
    hasher: Hasher,
}

impl Slots for Slab {
    #[inline]
    fn hot(&self, order: u32) -> &Hot {
        &self.hot[order as usize]
    }

    #[inline]
    fn hot_mut(&mut self, order: u32) -> &mut Hot {
        &mut self.hot[order as usize]
    }
}

impl Slab {
    /// Room for so many live orders.
    pub(super) fn with_capacity(count_max: usize, hasher: Hasher) -> Slab {
        Slab {
            hot: Vec::with_capacity(count_max),
            free: NONE,
            count: 0,
            count_max,
            by_id: Index::with_capacity(count_max),
            hasher,
        }
    }

    /// The memory of slots and index.
    pub(super) fn memory(&self) -> [Region; 2] {
        [Region::of(&self.hot), self.by_id.memory()]
    }

    /// Live orders that there is room for.
    pub(super) const fn capacity(&self) -> usize {
        self.count_max
    }

    /// Slots that were ever used.
    pub(super) const fn slot_count(&self) -> usize {
        self.hot.len()
    }

    /// What hashes ids.
    #[inline]
    pub(super) const fn hasher(&self) -> Hasher {
        self.hasher
    }

    /// True when no further order can rest.
    #[inline]
    pub(super) const fn is_full(&self) -> bool {
        self.count == self.count_max
    }

    /// Live orders.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The live order with this id.
    #[inline]
    pub(super) fn find(&self, id: u64) -> Option<u32> {
        // 0 names no order, and marks free slots.
        if id == 0 {
            return None;
        }
        self.by_id.find(self.hasher.shared(id), |order| self.hot[order as usize].id == id)
    }

    /// Gives an order a slot and an entry in the index of ids.
    #[inline]
    pub(super) fn open(&mut self, id: u64, leaves: i64, account: u32) -> u32 {
        assert!(self.count < self.count_max, "capacity is checked before an order is accepted");
        let hot = Hot { id, leaves, next: NONE, prev: NONE, level: NONE, account };
        let order = if self.free == NONE {
            self.hot.push(hot);
            self.hot.len() as u32 - 1
        } else {
            let order = self.free;
            let slot = &mut self.hot[order as usize];
            self.free = slot.next;
            *slot = hot;
            order
        };
        self.count += 1;
        self.by_id.insert(self.hasher.shared(id), order);
        order
    }

    /// Takes an order, which is in no queue any more, out of the index and frees its slot.
    #[inline]
    pub(super) fn close(&mut self, order: u32) {
        let slot = &mut self.hot[order as usize];
        let id = slot.id;
        assert!(id != 0, "only a live order ends");
        slot.id = 0;
        slot.next = self.free;
        self.free = order;
        self.count -= 1;
        self.by_id.remove(self.hasher.shared(id), order);
    }

    /// Asks for the memory where the index would have this order.
    #[inline]
    pub(super) fn fetch_entry(&self, id: u64) {
        self.by_id.fetch(self.hasher.shared(id));
    }

    /// Asks for the memory of this order, if it is likely to be live.
    #[inline]
    pub(super) fn fetch_slot(&self, id: u64) {
        if let Some(order) = self.by_id.guess(self.hasher.shared(id)) {
            prefetch(&self.hot, order as usize);
        }
    }

    /// Asks for the memory of the neighbours in this order's queue, if it is live, and gives its
    /// level.
    #[inline]
    pub(super) fn fetch_neighbours(&self, id: u64) -> Option<u32> {
        let order = self.by_id.guess(self.hasher.shared(id))?;
        let hot = self.hot(order);
        prefetch(&self.hot, hot.prev as usize);
        prefetch(&self.hot, hot.next as usize);
        Some(hot.level)
    }

    /// Bytes of slots that were ever used, and of the whole index.
    pub(super) fn touched_bytes(&self) -> usize {
        self.hot.len() * size_of::<Hot>() + self.by_id.memory().size_bytes()
    }

    /// Checks slots, free list and index against each other.
    pub(super) fn check(&self) {
        let mut free_count = 0;
        let mut at = self.free;
        while at != NONE {
            assert!(self.hot(at).id == 0, "a free slot has no id");
            free_count += 1;
            assert!(free_count <= self.hot.len(), "the free list ends");
            at = self.hot(at).next;
        }
        assert!(free_count + self.count == self.hot.len());
        assert!(self.hot.len() <= self.count_max);
        assert!(self.by_id.count() == self.count);
        self.by_id.check();
        for (order, hot) in (0..).zip(&self.hot).filter(|(_, hot)| hot.id != 0) {
            assert!(hot.leaves > 0);
            assert!(self.find(hot.id) == Some(order));
        }
    }
}
