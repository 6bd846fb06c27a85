//! When orders end by themselves: a heap of times, and the cancelling of what is due.
//!
//! Invariants:
//! - Exactly the live orders with a time of expiry are in the heap, each once; each knows its place,
//!   so that an order that ends otherwise takes its entry along: no stale entry ever meets an id or a
//!   slot that was given again.
//! - What is due goes in the order of (time, order id), wherever slots are.
//! - The heap is reserved whole and touched as it is used; nothing grows on the way of an order.

use super::Exchange;
use super::outbox::Outbox;
use crate::limits::TIMERS_PER_RECORD_MAX;
use crate::types::{OrderChange, TimeNs};

/// Nanoseconds of a day.
const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// An order's time of expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    time: u64,
    id: u64,
    order: u32,
}

/// The times of expiry of all live orders that have one: a binary heap, the earliest first.
#[derive(Clone, Debug)]
pub(super) struct Expiries {
    heap: Vec<Due>,
    /// By slot of the order: its place in the heap, from 1.
    places: Vec<u32>,
}

impl Expiries {
    /// Room for so many orders.
    pub(super) fn with_capacity(count_max: usize) -> Expiries {
        // Zeroed pages come from the system untouched: they cost memory where they are used.
        Expiries { heap: Vec::with_capacity(count_max), places: vec![0; count_max] }
    }

    /// The order that ends first, and when.
    #[inline]
    pub(super) fn first(&self) -> Option<(TimeNs, u32)> {
        self.heap.first().map(|due| (TimeNs(due.time), due.order))
    }

    /// True where an order should have ended by `now`.
    #[inline]
    pub(super) fn is_due(&self, now: TimeNs) -> bool {
        self.heap.first().is_some_and(|due| due.time <= now.0)
    }

    /// Notes when an order ends.
    pub(super) fn insert(&mut self, time: u64, id: u64, order: u32) {
        self.heap.push(Due { time, id, order });
        self.rise(self.heap.len() - 1);
    }

    /// Forgets an order that is there.
    pub(super) fn remove(&mut self, order: u32) {
        let at = self.places[order as usize] as usize - 1;
        self.places[order as usize] = 0;
        let last = self.heap.pop().expect("the order is there");
        if at < self.heap.len() {
            self.heap[at] = last;
            self.sink(at);
            self.rise(at);
        }
    }

    /// Moves an entry up while it is earlier than the one above.
    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.heap.swap(at, (at - 1) / 2);
            self.note_place(at);
            at = (at - 1) / 2;
        }
        self.note_place(at);
    }

    /// Moves an entry down while one below is earlier.
    fn sink(&mut self, mut at: usize) {
        loop {
            let below = 2 * at + 1..self.heap.len().min(2 * at + 3);
            match below.min_by_key(|&child| self.heap[child]) {
                Some(child) if self.heap[child] < self.heap[at] => {
                    self.heap.swap(at, child);
                    self.note_place(at);
                    at = child;
                }
                _ => break,
            }
        }
        self.note_place(at);
    }

    fn note_place(&mut self, at: usize) {
        self.places[self.heap[at].order as usize] = at as u32 + 1;
    }

    /// Orders in the heap.
    pub(super) const fn count(&self) -> usize {
        self.heap.len()
    }

    /// Checks the heap; `time_of` gives id and time of a live order.
    pub(super) fn check(&self, time_of: impl Fn(u32) -> (u64, u64)) {
        for (at, due) in self.heap.iter().enumerate() {
            assert!(at == 0 || self.heap[(at - 1) / 2] < *due, "what is above ends earlier");
            assert!(self.places[due.order as usize] as usize == at + 1);
            assert!(time_of(due.order) == (due.id, due.time));
        }
    }
}

/// The end of the trading day in which `now` is, where days end `day_end_s` seconds after midnight UTC.
pub(super) const fn end_of_day(now: TimeNs, day_end_s: u32) -> u64 {
    let shift = day_end_s as u64 * 1_000_000_000;
    // The days that have ended by now, counted from the first end after 1970 began.
    let ended = (now.0 + DAY_NS - shift) / DAY_NS;
    ended * DAY_NS + shift
}

impl Exchange {
    /// Cancels orders whose time is over, at most [`TIMERS_PER_RECORD_MAX`].
    #[inline]
    pub(super) fn expire_due(&mut self, now: TimeNs, out: &mut Outbox) {
        if self.orders.expiries().is_due(now) {
            self.expire(now, out);
        }
    }

    #[cold]
    fn expire(&mut self, now: TimeNs, out: &mut Outbox) {
        for _ in 0..TIMERS_PER_RECORD_MAX {
            match self.orders.expiries().first() {
                Some((time, order)) if time <= now => {
                    self.end_order(order, OrderChange::Expired, out);
                }
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_out_by_time_and_then_by_id_whatever_leaves_between() {
        let mut expiries = Expiries::with_capacity(64);
        let mut state = 99u64;
        let mut live = std::collections::BTreeMap::new();
        for id in 1..5_000u64 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let order = (state % 64) as u32;
            match live.remove(&order) {
                Some(_) => expiries.remove(order),
                None => {
                    let time = state >> 8 & 15;
                    expiries.insert(time, id, order);
                    live.insert(order, (id, time));
                }
            }
            expiries.check(|order| live[&order]);
            let first = live.iter().map(|(&order, &(id, time))| (time, id, order)).min();
            assert_eq!(expiries.first(), first.map(|(time, _, order)| (TimeNs(time), order)));
            assert_eq!(expiries.count(), live.len());
        }
    }

    #[test]
    fn a_day_ends_after_now_and_at_most_a_day_later() {
        let hour = 3_600_000_000_000;
        assert_eq!(end_of_day(TimeNs(0), 0), DAY_NS);
        assert_eq!(end_of_day(TimeNs(DAY_NS - 1), 0), DAY_NS);
        assert_eq!(end_of_day(TimeNs(DAY_NS), 0), 2 * DAY_NS);
        assert_eq!(end_of_day(TimeNs(0), 7200), 2 * hour);
        assert_eq!(end_of_day(TimeNs(2 * hour - 1), 7200), 2 * hour);
        assert_eq!(end_of_day(TimeNs(2 * hour), 7200), DAY_NS + 2 * hour);
        assert_eq!(end_of_day(TimeNs(DAY_NS + hour), 86_399), 2 * DAY_NS - 1_000_000_000);
    }
}
