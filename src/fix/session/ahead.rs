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
    pub(super) fn keep(&mut self, number: u64, raw: &[u8]) {
        if self.bytes.len() + raw.len() <= self.bytes_max {
            let start = self.bytes.len();
            if self.push(Entry { number, start, end: start + raw.len(), is_done: false }) {
                self.bytes.extend_from_slice(raw);
            }
        }
    }

    /// Remembers that a message was acted upon.
    pub(super) fn keep_done(&mut self, number: u64) {
        self.push(Entry { number, start: 0, end: 0, is_done: true });
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
    pub(super) fn take(&mut self, number: u64, into: &mut Vec<u8>) -> bool {
        let next = self.entries.get(self.head);
        let Some(entry) = next.filter(|entry| entry.number == number) else { return false };
        debug_assert!(!entry.is_done, "what is done is passed with what is before it");
        into.clear();
        into.extend_from_slice(&self.bytes[entry.start..entry.end]);
        self.head += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ahead_comes_in_its_turn_and_what_is_done_is_passed() {
        let mut ahead = Ahead::new(10);
        ahead.keep(7, b"seven");
        ahead.keep_done(8);
        ahead.keep(8, b"no");
        ahead.keep(9, b"too long");
        ahead.keep(10, b"ten");
        assert_eq!(ahead.bytes, b"seventen");
        assert_eq!(ahead.pass(5), 5);
        let mut taken = Vec::new();
        assert!(!ahead.take(5, &mut taken));
        assert_eq!(ahead.pass(7), 7);
        assert!(ahead.has(7));
        assert!(ahead.take(7, &mut taken));
        assert_eq!(taken, b"seven");
        assert_eq!(ahead.pass(8), 9);
        assert!(!ahead.take(9, &mut taken));
        assert_eq!(ahead.pass(10), 10);
        assert!(ahead.take(10, &mut taken));
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
}
