//! Duplicates: has this message been sequenced before?
//!
//! The window holds the last ids in the order they were sequenced, bounded by count and by journaled
//! time. What leaves it raises its key's *horizon*, the highest client timestamp among evicted ids,
//! which is kept for ever: a timestamp at or below it can no longer be told from a duplicate and is
//! refused. So a message is sequenced at most once, whatever the window's size.
//!
//! All of it is a function of the journal: a restart, a standby and a replay have the same window.
//!
//! Invariants: entries are in sequence order; every entry has exactly one index slot, and the index
//! is at most half full. While a journal is replayed there is no index: nobody looks anything up, and
//! most ids leave the window again; [`Dedupe::end_replay`] makes it once.

use crate::checksum::crc64;
use crate::event::RejectReason;
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::sys::memory::Region;
use crate::sys::prefetch::prefetch;
use crate::types::{KeyId, Sequence, TimeNs};
use crate::wire::payload::COMMAND_SIZE_MAX;
use sha2::{Digest, Sha256};
use siphasher::sip128::SipHasher13;
use std::collections::BTreeMap;

/// Longest identity that is hashed in one piece: key, lengths, source, message id.
const IDENTITY_MAX: usize =
    8 + crate::limits::SOURCE_MAX_BYTES + crate::limits::MESSAGE_ID_MAX_BYTES;

/// Bytes of a packed entry.
const ENTRY_BYTES: usize = 52;

/// How many evictions ahead the index is loaded.
const EVICT_AHEAD: u64 = 32;

/// What identifies a message, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The key that authenticated it.
    pub key: KeyId,
    /// The source it names.
    pub source: &'a [u8],
    /// Its id, unique for the key and the source.
    pub message_id: &'a [u8],
    /// The client's timestamp, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Schema of its payload.
    pub schema: u32,
    /// Its canonical payload.
    pub payload: &'a [u8],
}

/// What the window says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Never seen.
    New,
    /// Sequenced before, with the same content, under this sequence.
    Duplicate(Sequence),
    /// Cannot be sequenced.
    Refused(RejectReason),
}

/// A message's identity and content as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    identity: [u64; 2],
    content: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    fingerprint: Fingerprint,
    sequence: Sequence,
    timestamp_ms: i64,
    time: TimeNs,
    key: KeyId,
}

/// The bounds of the window, from genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Ids at most.
    pub count_max: usize,
    /// Age at most, in nanoseconds of journaled time.
    pub age_max_ns: u64,
    /// How far a timestamp may be ahead of the sequencer's time, in milliseconds.
    pub ahead_max_ms: u64,
}

/// The duplicate window. Takes about 72 bytes an id it holds.
pub struct Dedupe {
    seed: [u8; 16],
    window: Window,
    /// Entry number n stands at n modulo a power of two, which is at least the bound of the window.
    entries: Vec<Entry>,
    /// Entries evicted so far: the number of the oldest one.
    evicted: u64,
    /// The number of the next one.
    next: u64,
    /// Open addressing: a number whose high half is a tag of the identity (never 0) and whose low half
    /// is the entry's number modulo 2^32; 0 is free. Empty while a journal is replayed.
    index: Vec<u64>,
    horizons: BTreeMap<KeyId, i64>,
}

impl Dedupe {
    /// An empty window. Its memory is reserved at once and resident only as ids touch it: it never
    /// grows by copying while orders wait.
    #[must_use]
    pub fn new(seed: [u8; 16], window: Window) -> Dedupe {
        let window = Window { count_max: window.count_max.max(1), ..window };
        let entries = Vec::with_capacity(window.count_max.next_power_of_two());
        Region::of(&entries).prefer_large_pages();
        Dedupe {
            seed,
            window,
            entries,
            evicted: 0,
            next: 0,
            index: empty_index(&window),
            horizons: BTreeMap::new(),
        }
    }

    /// What the window says of a message, known by its fingerprint, at the sequencer's time `now`.
    ///
    /// # Panics
    /// During a replay.
    #[must_use]
    pub fn check(
        &self,
        fingerprint: Fingerprint,
        key: KeyId,
        timestamp_ms: i64,
        now: TimeNs,
    ) -> Verdict {
        assert!(!self.index.is_empty(), "a replay is ended before its window is used");
        if let Some(entry) = self.find(fingerprint.identity) {
            return if entry.fingerprint.content == fingerprint.content {
                Verdict::Duplicate(entry.sequence)
            } else {
                Verdict::Refused(RejectReason::IdReused)
            };
        }
        let horizon = self.horizons.get(&key);
        if horizon.is_some_and(|horizon| timestamp_ms <= *horizon) {
            return Verdict::Refused(RejectReason::TooOldToCheck);
        }
        let now_ms = i64::try_from(now.0 / 1_000_000).unwrap_or(i64::MAX);
        let ahead_max = i64::try_from(self.window.ahead_max_ms).unwrap_or(i64::MAX);
        if timestamp_ms.saturating_sub(now_ms) > ahead_max {
            return Verdict::Refused(RejectReason::TimestampAhead);
        }
        Verdict::New
    }

    /// Remembers a message that was sequenced, and lets go of what no longer fits the window.
    ///
    /// # Panics
    /// During a replay.
    pub fn insert(
        &mut self,
        fingerprint: Fingerprint,
        key: KeyId,
        timestamp_ms: i64,
        sequence: Sequence,
        time: TimeNs,
    ) {
        assert!(!self.index.is_empty(), "a replay is ended before its window is used");
        let number = self.push(fingerprint, key, timestamp_ms, sequence, time);
        self.enter(fingerprint.identity, number);
    }

    /// Appends an entry; its number.
    fn push(
        &mut self,
        fingerprint: Fingerprint,
        key: KeyId,
        timestamp_ms: i64,
        sequence: Sequence,
        time: TimeNs,
    ) -> u64 {
        self.evict_aged(time);
        if self.len() == self.window.count_max {
            self.evict_oldest();
        }
        let number = self.next;
        self.next += 1;
        let entry = Entry { fingerprint, sequence, timestamp_ms, time, key };
        let place = self.place(number);
        if place == self.entries.len() {
            self.entries.push(entry);
        } else {
            self.entries[place] = entry;
        }
        number
    }

    /// Gives an entry its index slot.
    fn enter(&mut self, identity: [u64; 2], number: u64) {
        let mask = self.index.len() - 1;
        let mut slot = home(identity, mask);
        while self.index[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.index[slot] = packed(identity, number);
    }

    /// Repeats at replay what [`Dedupe::check`] and [`Dedupe::insert`] did live.
    pub fn replay(&mut self, message: &Identity<'_>, sequence: Sequence, time: TimeNs) {
        self.index = Vec::new();
        let fingerprint = self.fingerprint(message);
        self.push(fingerprint, message.key, message.timestamp_ms, sequence, time);
    }

    /// Ends a replay: messages can be checked and inserted again.
    pub fn end_replay(&mut self) {
        if !self.index.is_empty() {
            return;
        }
        self.index = empty_index(&self.window);
        for number in self.evicted..self.next {
            self.enter(self.entry(number).fingerprint.identity, number);
        }
    }

    /// Number of ids in the window.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.next - self.evicted) as usize
    }

    /// True where the window holds no id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The window's memory, whole, for who makes it resident before orders come.
    #[must_use]
    pub fn memory(&self) -> [Region; 2] {
        [Region::of(&self.entries), Region::of(&self.index)]
    }

    fn place(&self, number: u64) -> usize {
        number as usize & (self.window.count_max.next_power_of_two() - 1)
    }

    fn entry(&self, number: u64) -> &Entry {
        &self.entries[self.place(number)]
    }

    fn live(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        (self.evicted..self.next).map(|number| self.entry(number))
    }

    /// Feeds the window's content, in order, to a state hash.
    #[allow(clippy::should_implement_trait, reason = "it feeds SHA-256, not a hash map")]
    pub fn hash(&self, hasher: &mut Sha256) {
        hasher.update((self.len() as u64).to_le_bytes());
        for entry in self.live() {
            for number in [
                entry.fingerprint.identity[0],
                entry.fingerprint.identity[1],
                entry.fingerprint.content,
                entry.sequence.0,
                entry.timestamp_ms.cast_unsigned(),
                entry.time.0,
                u64::from(entry.key.0),
            ] {
                hasher.update(number.to_le_bytes());
            }
        }
        for (key, horizon) in &self.horizons {
            hasher.update(key.0.to_le_bytes());
            hasher.update(horizon.to_le_bytes());
        }
    }

    /// Packs the window's content, in order, and what is known of ids that have left it. Its bounds
    /// are those of genesis.
    pub fn pack(&self, pack: &mut Pack) {
        let Dedupe { seed: _, window: _, entries: _, evicted: _, next: _, index: _, horizons } =
            self;
        pack.count(self.len());
        for Entry { fingerprint, sequence, timestamp_ms, time, key } in self.live() {
            let Fingerprint { identity: [high, low], content } = fingerprint;
            pack.u64(*high);
            pack.u64(*low);
            pack.u64(*content);
            pack.u64(sequence.0);
            pack.i64(*timestamp_ms);
            pack.u64(time.0);
            pack.u32(key.0);
        }
        pack.count(horizons.len());
        for (key, horizon) in horizons {
            pack.u32(key.0);
            pack.i64(*horizon);
        }
    }

    /// The sequence of the oldest id in what [`Dedupe::pack`] has packed; none where there is no id.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn oldest_packed(mut packed: Unpack<'_>) -> Result<Option<Sequence>, Unfit> {
        if packed.count(ENTRY_BYTES)? == 0 {
            return Ok(None);
        }
        for _identity_and_content in 0..3 {
            packed.u64()?;
        }
        packed.u64().map(|sequence| Some(Sequence(sequence)))
    }

    /// Takes in what was packed, into a window that is empty; no record behind `last`, which has this
    /// time, is in it. As during a replay nothing can be looked up until [`Dedupe::end_replay`].
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn unpack(
        &mut self,
        unpack: &mut Unpack<'_>,
        last: Sequence,
        time: TimeNs,
    ) -> Result<(), Unfit> {
        assert!(self.next == 0, "the window is empty");
        self.index = Vec::new();
        let count = unpack.count(ENTRY_BYTES)?;
        ensure(count <= self.window.count_max, "there are more ids than the window holds")?;
        let (mut sequence_before, mut time_before) = (Sequence::NONE, TimeNs(0));
        for _ in 0..count {
            let fingerprint =
                Fingerprint { identity: [unpack.u64()?, unpack.u64()?], content: unpack.u64()? };
            let entry = Entry {
                fingerprint,
                sequence: Sequence(unpack.u64()?),
                timestamp_ms: unpack.i64()?,
                time: TimeNs(unpack.u64()?),
                key: KeyId(unpack.u32()?),
            };
            let in_order = entry.sequence > sequence_before && entry.time >= time_before;
            ensure(in_order, "ids are not in the order of their sequences")?;
            (sequence_before, time_before) = (entry.sequence, entry.time);
            self.entries.push(entry);
            self.next += 1;
        }
        let within = sequence_before <= last && time_before <= time;
        ensure(within, "an id is of a later record")?;
        let mut key_before = None;
        for _ in 0..unpack.count(12)? {
            let key = KeyId(unpack.u32()?);
            ensure(key_before < Some(key), "horizons are not in the order of keys")?;
            key_before = Some(key);
            self.horizons.insert(key, unpack.i64()?);
        }
        Ok(())
    }

    /// Asserts the invariants; walks everything.
    pub fn check_invariants(&self) {
        assert!(self.len() <= self.window.count_max);
        for (before, after) in self.live().zip(self.live().skip(1)) {
            assert!(before.sequence < after.sequence, "entries are in sequence order");
        }
        if self.index.is_empty() {
            return;
        }
        let used = self.index.iter().filter(|slot| **slot != 0).count();
        assert_eq!(used, self.len(), "one index slot an entry");
        for entry in self.live() {
            let found = self.find(entry.fingerprint.identity).map(|found| found.sequence);
            assert!(found.is_some(), "every entry can be found");
        }
    }

    /// Fingerprint of a message, and the begin of loading what [`Dedupe::check`] will look at: the
    /// index is larger than the caches, and a miss costs as much as matching an order.
    #[must_use]
    pub fn fingerprint(&self, message: &Identity<'_>) -> Fingerprint {
        let mut bytes = [0; IDENTITY_MAX];
        let length = 8 + message.source.len() + message.message_id.len();
        assert!(length <= IDENTITY_MAX, "the gateway bounds source and message id");
        bytes[0..4].copy_from_slice(&message.key.0.to_le_bytes());
        // The length of the source keeps ("ab", "c") and ("a", "bc") apart.
        bytes[4..8].copy_from_slice(&(message.source.len() as u32).to_le_bytes());
        bytes[8..8 + message.source.len()].copy_from_slice(message.source);
        bytes[8 + message.source.len()..length].copy_from_slice(message.message_id);
        let hash = SipHasher13::new_with_key(&self.seed).hash(&bytes[..length]);
        let identity = [hash.h1, hash.h2];
        self.prefetch(identity);
        Fingerprint { identity, content: content(message) }
    }

    /// Begins to load again what [`Dedupe::check`] will look at: much may have come between.
    #[inline]
    pub fn load_ahead(&self, fingerprint: Fingerprint) {
        self.prefetch(fingerprint.identity);
    }

    fn prefetch(&self, identity: [u64; 2]) {
        if let Some(mask) = self.index.len().checked_sub(1) {
            prefetch(&self.index, home(identity, mask));
        }
    }

    fn find(&self, identity: [u64; 2]) -> Option<&Entry> {
        let mask = self.index.len() - 1;
        let mut slot = home(identity, mask);
        loop {
            let value = self.index[slot];
            if value == 0 {
                return None;
            }
            if value >> 32 == tag(identity) {
                let entry = self.entry(value & 0xFFFF_FFFF);
                if entry.fingerprint.identity == identity {
                    return Some(entry);
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    fn evict_aged(&mut self, now: TimeNs) {
        while !self.is_empty() {
            if now.0.saturating_sub(self.entry(self.evicted).time.0) <= self.window.age_max_ns {
                return;
            }
            self.evict_oldest();
        }
    }

    fn evict_oldest(&mut self) {
        let entry = *self.entry(self.evicted);
        if !self.index.is_empty() {
            self.unindex(packed(entry.fingerprint.identity, self.evicted));
        }
        self.evicted += 1;
        // The window is full for good: one goes for each that comes, and the next ones are known.
        let soon = self.evicted + EVICT_AHEAD;
        if soon < self.next {
            self.prefetch(self.entry(soon).fingerprint.identity);
        }
        let horizon = self.horizons.entry(entry.key).or_insert(i64::MIN);
        *horizon = (*horizon).max(entry.timestamp_ms);
    }

    /// Removes an index slot and closes the gap, so that no probe ever meets a tombstone.
    fn unindex(&mut self, value: u64) {
        let mask = self.index.len() - 1;
        let mut hole = (value >> 32) as usize & mask;
        while self.index[hole] != value {
            assert!(self.index[hole] != 0, "every entry has an index slot");
            hole = (hole + 1) & mask;
        }
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let moved = self.index[next];
            if moved == 0 {
                break;
            }
            let home = (moved >> 32) as usize & mask;
            // `moved` may fill the hole only where the hole lies between its home and where it is.
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.index[hole] = moved;
                hole = next;
            }
        }
        self.index[hole] = 0;
    }
}

fn empty_index(window: &Window) -> Vec<u64> {
    let index = vec![0; (window.count_max * 2).next_power_of_two()];
    Region::of(&index).prefer_large_pages();
    index
}

/// Fingerprint of what a message says: schema and canonical payload.
fn content(message: &Identity<'_>) -> u64 {
    if message.payload.len() > COMMAND_SIZE_MAX {
        return long_content(message);
    }
    let mut bytes = [0; 4 + COMMAND_SIZE_MAX];
    let length = 4 + message.payload.len();
    bytes[..4].copy_from_slice(&message.schema.to_le_bytes());
    bytes[4..length].copy_from_slice(message.payload);
    crc64(&bytes[..length])
}

/// The same of a message whose payload has no fixed size.
#[cold]
fn long_content(message: &Identity<'_>) -> u64 {
    let mut digest = crc64fast::Digest::new();
    digest.write(&message.schema.to_le_bytes());
    digest.write(message.payload);
    digest.sum64()
}

/// High half of an index slot: also where the probe starts, so that a slot alone tells its home. The
/// top bit keeps a used slot different from a free one; no index is so large that it matters there.
fn tag(identity: [u64; 2]) -> u64 {
    (identity[0] >> 32) | 0x8000_0000
}

fn home(identity: [u64; 2], mask: usize) -> usize {
    tag(identity) as usize & mask
}

fn packed(identity: [u64; 2], number: u64) -> u64 {
    (tag(identity) << 32) | (number & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const DAY: u64 = 86_400_000_000_000;

    fn window(count_max: usize) -> Dedupe {
        Dedupe::new([7; 16], Window { count_max, age_max_ns: DAY, ahead_max_ms: 60_000 })
    }

    fn identity<'a>(key: u32, id: &'a [u8], timestamp_ms: i64, payload: &'a [u8]) -> Identity<'a> {
        Identity { key: KeyId(key), source: b"s", message_id: id, timestamp_ms, schema: 1, payload }
    }

    fn check(dedupe: &Dedupe, message: &Identity<'_>, time: TimeNs) -> Verdict {
        dedupe.check(dedupe.fingerprint(message), message.key, message.timestamp_ms, time)
    }

    fn sequence(dedupe: &mut Dedupe, message: &Identity<'_>, number: u64, time: TimeNs) {
        assert_eq!(check(dedupe, message, time), Verdict::New, "{number}");
        let fingerprint = dedupe.fingerprint(message);
        dedupe.insert(fingerprint, message.key, message.timestamp_ms, Sequence(number), time);
    }

    #[test]
    fn the_same_message_is_a_duplicate_of_its_sequence() {
        let mut dedupe = window(10);
        let message = identity(1, b"a", 5, b"buy");
        sequence(&mut dedupe, &message, 1, TimeNs(0));
        assert_eq!(check(&dedupe, &message, TimeNs(0)), Verdict::Duplicate(Sequence(1)));
    }

    #[test]
    fn the_same_id_with_other_content_is_refused() {
        let mut dedupe = window(10);
        sequence(&mut dedupe, &identity(1, b"a", 5, b"buy"), 1, TimeNs(0));
        let other = identity(1, b"a", 5, b"sell");
        assert_eq!(check(&dedupe, &other, TimeNs(0)), Verdict::Refused(RejectReason::IdReused));
    }

    #[test]
    fn ids_of_different_keys_and_sources_are_different() {
        let mut dedupe = window(10);
        sequence(&mut dedupe, &identity(1, b"bc", 5, b"buy"), 1, TimeNs(0));
        sequence(&mut dedupe, &identity(2, b"bc", 5, b"buy"), 2, TimeNs(0));
        let shifted = Identity { source: b"sb", message_id: b"c", ..identity(1, b"", 5, b"buy") };
        assert!(matches!(check(&dedupe, &shifted, TimeNs(0)), Verdict::New));
    }

    #[test]
    fn what_left_the_window_is_refused_by_its_timestamp_and_never_sequenced_twice() {
        let mut dedupe = window(2);
        for (number, id) in (1..).zip([b"a", b"b", b"c"]) {
            sequence(&mut dedupe, &identity(1, id, number * 10, b"x"), number as u64, TimeNs(0));
        }
        let again = identity(1, b"a", 10, b"x");
        let too_old = Verdict::Refused(RejectReason::TooOldToCheck);
        assert_eq!(check(&dedupe, &again, TimeNs(0)), too_old);
        // Another key has a horizon of its own.
        assert!(matches!(check(&dedupe, &identity(2, b"a", 10, b"x"), TimeNs(0)), Verdict::New));
        assert!(matches!(check(&dedupe, &identity(1, b"d", 11, b"x"), TimeNs(0)), Verdict::New));
    }

    #[test]
    fn ids_age_out_by_journaled_time() {
        let mut dedupe = window(10);
        sequence(&mut dedupe, &identity(1, b"a", 5, b"x"), 1, TimeNs(0));
        sequence(&mut dedupe, &identity(1, b"b", 6, b"x"), 2, TimeNs(DAY + 1));
        assert_eq!(dedupe.len(), 1);
        let again = identity(1, b"a", 5, b"x");
        let too_old = Verdict::Refused(RejectReason::TooOldToCheck);
        assert_eq!(check(&dedupe, &again, TimeNs(DAY + 1)), too_old);
    }

    #[test]
    fn a_timestamp_too_far_ahead_is_refused() {
        let dedupe = window(10);
        let ahead = Verdict::Refused(RejectReason::TimestampAhead);
        assert!(matches!(
            check(&dedupe, &identity(1, b"a", 60_000, b"x"), TimeNs(0)),
            Verdict::New
        ));
        assert_eq!(check(&dedupe, &identity(1, b"a", 60_001, b"x"), TimeNs(0)), ahead);
    }

    #[test]
    fn a_replayed_window_is_the_one_that_lived() {
        let (mut lived, mut replayed) = (window(8), window(8));
        for number in 1..=20 {
            let text = number.to_string();
            let message = identity(1, text.as_bytes(), number, b"x");
            sequence(&mut lived, &message, number as u64, TimeNs(0));
            replayed.replay(&message, Sequence(number as u64), TimeNs(0));
        }
        replayed.end_replay();
        replayed.check_invariants();
        let hash = |dedupe: &Dedupe| {
            let mut hasher = Sha256::new();
            dedupe.hash(&mut hasher);
            hasher.finalize()
        };
        assert_eq!(hash(&lived), hash(&replayed));
        for number in 1..=21 {
            let text = number.to_string();
            let message = identity(1, text.as_bytes(), number, b"x");
            let found = [&lived, &replayed].map(|dedupe| check(dedupe, &message, TimeNs(0)));
            assert_eq!(found[0], found[1]);
        }
        sequence(&mut replayed, &identity(1, b"21", 21, b"x"), 21, TimeNs(0));
        replayed.check_invariants();
    }

    #[test]
    fn the_window_agrees_with_a_plain_model_over_many_evictions() {
        let mut dedupe = window(64);
        let mut model: VecDeque<(u64, u64)> = VecDeque::new();
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        let mut number = 0;
        for step in 0..20_000i64 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let id = random % 200;
            let text = id.to_le_bytes();
            let message = identity(1, &text, step + 1, b"x");
            let known = model.iter().find(|(known, _)| *known == id).map(|(_, at)| *at);
            match (check(&dedupe, &message, TimeNs(1_000_000_000_000)), known) {
                (Verdict::Duplicate(found), Some(at)) => assert_eq!(found.0, at),
                (Verdict::New, None) => {
                    number += 1;
                    let now = TimeNs(1_000_000_000_000);
                    let fingerprint = dedupe.fingerprint(&message);
                    dedupe.insert(fingerprint, KeyId(1), step + 1, Sequence(number), now);
                    model.push_back((id, number));
                    if model.len() > 64 {
                        model.pop_front();
                    }
                }
                other => panic!("step {step}, id {id}: {other:?}"),
            }
            if step % 512 == 0 {
                dedupe.check_invariants();
            }
        }
        dedupe.check_invariants();
    }
}
