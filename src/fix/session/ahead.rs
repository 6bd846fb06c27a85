//! Messages ahead of a gap: kept until their turn comes, or only remembered as done.
//!
//! Invariants: numbers ascend; bytes and count are bounded; memory is used again once all are gone.

use crate::limits::FIX_AHEAD_COUNT_MAX;

/// Messages ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    entries: Vec<Entry>,
    /// The first entry that is left.
    head: usize,
    bytes: Vec<u8>,
    bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    start: usize,
    end: usize,
    /// It was acted upon when it came; only its number is still to be passed.
    is_done: bool,
    kept: Kept,
}

/// What is known of a message that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// It was in time when it came.
    pub(super) is_timely: bool,
}

impl Entry {
    fn done(number: u64) -> Entry {
        Entry { number, start: 0, end: 0, is_done: true, kept: Kept { is_timely: true } }
    }
}

impl Ahead {
    /// None, and room for so many bytes.
    pub(super) fn new(bytes_max: usize) -> Ahead {
        Ahead { entries: Vec::new(), head: 0, bytes: Vec::new(), bytes_max }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.head = 0;
    }

    /// Keeps a message, where it is ahead of those kept and has room.
    pub(super) fn keep(&mut self, number: u64, raw: &[u8], kept: Kept) {
        if self.bytes.len() + raw.len() <= self.bytes_max {
            let start = self.bytes.len();
            if self.push(Entry { number, start, end: start + raw.len(), is_done: false, kept }) {
                self.bytes.extend_from_slice(raw);
            }
        }
    }

    /// Remembers that a message was acted upon.
    pub(super) fn keep_done(&mut self, number: u64) {
        self.push(Entry::done(number));
    }

    /// Remembers that a message was acted upon which came before those that are kept. Where there is no
    /// room the last of them is let go.
    pub(super) fn insert_done(&mut self, number: u64) {
        let place = self.entries.partition_point(|entry| entry.number < number);
        match self.entries.get_mut(place) {
            Some(entry) if entry.number == number => entry.is_done = true,
            _ => {
                if self.entries.len() == FIX_AHEAD_COUNT_MAX {
                    self.entries.pop();
                }
                self.entries.insert(place.min(self.entries.len()), Entry::done(number));
            }
        }
    }

    fn push(&mut self, entry: Entry) -> bool {
        let fits = self.entries.len() < FIX_AHEAD_COUNT_MAX
            && self.entries.last().is_none_or(|last| last.number < entry.number);
        if fits {
            self.entries.push(entry);
        }
        fits
    }

    /// True where the message of this number is the next one kept.
    pub(super) fn has(&self, number: u64) -> bool {
        self.entries.get(self.head).is_some_and(|entry| entry.number == number)
    }

    /// Lets go of what is below `expected`; gives the number expected after those that are done.
    pub(super) fn pass(&mut self, mut expected: u64) -> u64 {
        while let Some(entry) = self.entries.get(self.head) {
            if entry.number > expected || (entry.number == expected && !entry.is_done) {
                break;
            }
            if entry.number == expected {
                expected += 1;
            }
            self.head += 1;
        }
        if self.head == self.entries.len() {
            self.clear();
        }
        expected
    }

    /// Gives the message of this number and lets go of it, where it is the next one kept.
    pub(super) fn take(&mut self, number: u64, into: &mut Vec<u8>) -> Option<Kept> {
        let entry = self.entries.get(self.head).filter(|entry| entry.number == number)?;
        debug_assert!(!entry.is_done, "what is done is passed with what is before it");
        into.clear();
        into.extend_from_slice(&self.bytes[entry.start..entry.end]);
        let kept = entry.kept;
        self.head += 1;
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_TIME: Kept = Kept { is_timely: true };
    const LATE: Kept = Kept { is_timely: false };

    #[test]
    fn what_is_ahead_comes_in_its_turn_and_what_is_done_is_passed() {
        let mut ahead = Ahead::new(10);
        ahead.keep(7, b"seven", IN_TIME);
        ahead.keep_done(8);
        ahead.keep(8, b"no", IN_TIME);
        ahead.keep(9, b"too long", IN_TIME);
        ahead.keep(10, b"ten", LATE);
        assert_eq!(ahead.bytes, b"seventen");
        assert_eq!(ahead.pass(5), 5);
        let mut taken = Vec::new();
        assert_eq!(ahead.take(5, &mut taken), None);
        assert_eq!(ahead.pass(7), 7);
        assert!(ahead.has(7));
        assert_eq!(ahead.take(7, &mut taken), Some(IN_TIME));
        assert_eq!(taken, b"seven");
        assert_eq!(ahead.pass(8), 9);
        assert_eq!(ahead.take(9, &mut taken), None);
        assert_eq!(ahead.pass(10), 10);
        assert_eq!(ahead.take(10, &mut taken), Some(LATE));
        assert_eq!(taken, b"ten");
        assert_eq!(ahead.pass(11), 11);
        assert_eq!(ahead.bytes.len(), 0);
        assert_eq!(ahead.entries.len(), 0);
    }

    #[test]
    fn their_count_is_bounded() {
        let mut ahead = Ahead::new(0);
        for number in 1..10_000 {
            ahead.keep_done(number);
        }
        assert_eq!(ahead.pass(1), FIX_AHEAD_COUNT_MAX as u64 + 1);
    }

    #[test]
    fn what_was_done_before_those_that_are_kept_is_passed_before_them() {
        let mut ahead = Ahead::new(10);
        ahead.insert_done(5);
        ahead.keep(7, b"seven", IN_TIME);
        ahead.insert_done(6);
        ahead.insert_done(7);
        ahead.insert_done(8);
        assert_eq!(ahead.pass(4), 4);
        assert_eq!(ahead.pass(5), 9);
        for number in 10..10_000 {
            ahead.keep_done(number);
        }
        ahead.insert_done(9);
        assert_eq!(ahead.entries.len(), FIX_AHEAD_COUNT_MAX);
        assert_eq!(ahead.pass(9), FIX_AHEAD_COUNT_MAX as u64 + 9);
        for number in 10..10_000 {
            ahead.keep_done(number);
        }
        ahead.insert_done(10_000);
        assert_eq!(ahead.entries.len(), FIX_AHEAD_COUNT_MAX);
    }
}
