//! Requests that wait for their answer, with their bytes, so that they can be sent again.
//!
//! Invariant: requests are numbered one up each, so that a request's place is its number modulo
//! the capacity; no two that wait share a place. Places keep their buffers: nothing is allocated
//! once each was used.

use std::fmt;

/// A request's number, which is also its client sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Debug, Default)]
struct Place {
    waits: bool,
    frame: Vec<u8>,
}

/// The requests that wait.
#[derive(Debug)]
pub(crate) struct Pending {
    places: Vec<Place>,
    window: usize,
    waiting: usize,
    first: u64,
    oldest: u64,
    next: u64,
}

impl Pending {
    /// Room for `window` requests; numbers begin at `first`.
    pub(crate) fn new(window: usize, first: u64) -> Pending {
        // Twice as many places: one slow answer must not stop the requests after it.
        let places = vec![Place::default(); (window.max(1) * 2).next_power_of_two()];
        Pending { places, window: window.max(1), waiting: 0, first, oldest: first, next: first }
    }

    /// True where one more may wait.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.waiting < self.window && self.next - self.oldest < self.places.len() as u64
    }

    /// The number that the next request gets.
    #[inline]
    pub(crate) fn next(&self) -> RequestId {
        RequestId(self.next)
    }

    /// How many wait.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// True for numbers that were given here, answered or not.
    #[inline]
    pub(crate) fn was_given(&self, id: u64) -> bool {
        (self.first..self.next).contains(&id)
    }

    #[inline]
    fn place(&mut self, id: u64) -> &mut Place {
        let mask = self.places.len() as u64 - 1;
        &mut self.places[(id & mask) as usize]
    }

    /// Gives the next number to a request with this frame. There must be room.
    #[inline]
    pub(crate) fn push(&mut self, frame: &[u8]) -> RequestId {
        assert!(self.has_room(), "the caller asked first");
        let id = self.next;
        let place = self.place(id);
        place.waits = true;
        place.frame.clear();
        place.frame.extend_from_slice(frame);
        self.next += 1;
        self.waiting += 1;
        RequestId(id)
    }

    /// Takes a request that was answered; false where it does not wait.
    #[inline]
    pub(crate) fn answered(&mut self, id: u64) -> bool {
        if !(self.oldest..self.next).contains(&id) || !self.place(id).waits {
            return false;
        }
        self.place(id).waits = false;
        self.waiting -= 1;
        while self.oldest < self.next && !self.place(self.oldest).waits {
            self.oldest += 1;
        }
        true
    }

    /// The frames that wait, in the order of their numbers.
    pub(crate) fn frames(&mut self, mut each: impl FnMut(&mut [u8])) {
        for id in self.oldest..self.next {
            let place = self.place(id);
            if place.waits {
                each(&mut place.frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_requests_wait_than_the_window_allows() {
        let mut pending = Pending::new(3, 10);
        for id in 10..13 {
            assert!(pending.has_room());
            assert_eq!(pending.push(&[id as u8]), RequestId(id));
        }
        assert!(!pending.has_room());
        assert!(pending.answered(11));
        assert!(!pending.answered(11), "answered once");
        assert!(!pending.answered(9) && !pending.answered(13), "never given");
        assert!(pending.has_room());
        assert_eq!(pending.waiting(), 2);
    }

    #[test]
    fn one_slow_answer_does_not_stop_the_requests_after_it_at_once() {
        let mut pending = Pending::new(4, 1);
        pending.push(&[1]);
        let mut sent = 1;
        while pending.has_room() {
            let id = pending.push(&[2]);
            assert!(pending.answered(id.0));
            sent += 1;
        }
        assert_eq!(sent, 8);
        assert!(pending.answered(1));
        assert!(pending.has_room());
    }

    #[test]
    fn frames_that_wait_are_given_in_order() {
        let mut pending = Pending::new(4, 1);
        for byte in 1..=4 {
            pending.push(&[byte]);
        }
        pending.answered(2);
        let mut frames = Vec::new();
        pending.frames(|frame| frames.push(frame[0]));
        assert_eq!(frames, [1, 3, 4]);
        assert!(pending.was_given(2) && !pending.was_given(5));
    }
}
