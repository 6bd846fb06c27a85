//! The decision: examples, and a model that tries every prefix.

use super::*;

/// Segments of so many records each, ten bytes a record; times are sequences.
fn segments(counts: &[u64]) -> Vec<Used> {
    let mut first = 1;
    let mut segments: Vec<Used> = (0..)
        .zip(counts)
        .map(|(index, count)| {
            let last = first + count - 1;
            let segment = Used {
                index,
                bytes: 10 * count,
                first: Sequence(first),
                last: Sequence(last),
                newest: Some(TimeNs(last)),
                previous_hash: [0; 32],
                begins_whole: true,
            };
            first = last + 1;
            segment
        })
        .collect();
    if let Some(newest) = segments.last_mut() {
        (newest.last, newest.newest) = (Sequence(u64::MAX), None);
    }
    segments
}

fn limits(bytes: u64, age_ns: u64) -> Limits {
    Limits { bytes, age_ns, at_once: 0 }
}

fn reader(name: &str, upto: u64) -> Bound {
    Bound { keeper: Keeper::Reader(name.to_owned(), Sequence(upto)), upto: Sequence(upto) }
}

#[test]
fn without_a_limit_nothing_goes() {
    let found = plan(&segments(&[5; 9]), Limits::default(), &[], TimeNs(u64::MAX));
    assert_eq!(found, Plan { count: 0, bytes: 0, kept_bytes: 450, held: None });
    assert!(!Limits::default().any());
}

#[test]
fn the_oldest_go_until_the_bytes_are_few_enough() {
    let all = segments(&[5; 9]);
    for (bytes, count) in [(450, 0), (449, 1), (400, 1), (399, 2), (100, 7), (51, 8)] {
        let found = plan(&all, limits(bytes, 0), &[], TimeNs(0));
        assert_eq!((found.count, found.held), (count, None), "{bytes} bytes");
    }
    // The newest one stays, and says so.
    let found = plan(&all, limits(1, 0), &[], TimeNs(0));
    let newest = Bound { keeper: Keeper::Newest, upto: Sequence::NONE };
    assert_eq!((found.count, found.held), (8, Some((Limit::Bytes, newest))));
}

#[test]
fn a_segment_goes_when_its_newest_record_is_too_old() {
    let all = segments(&[5; 4]);
    // Their newest records are of 5, 10, 15, and the last one of nobody knows when.
    for (now, count) in [(104, 0), (105, 0), (106, 1), (111, 2), (1_000_000, 3)] {
        assert_eq!(plan(&all, limits(0, 100), &[], TimeNs(now)).count, count, "at {now}");
    }
    assert_eq!(plan(&all, limits(0, 100), &[], TimeNs(1)).count, 0, "a clock that is behind");
}

#[test]
fn who_needs_the_least_recent_record_is_named() {
    let all = segments(&[5; 9]);
    let bounds = [reader("b", 17), reader("a", 12), reader("c", 40)];
    let found = plan(&all, limits(1, 0), &bounds, TimeNs(0));
    assert_eq!((found.count, found.held), (2, Some((Limit::Bytes, bounds[1].clone()))));
    // Exactly up to a segment's end: it may go.
    let found = plan(&all, limits(1, 0), &[reader("a", 15)], TimeNs(0));
    assert_eq!(found.count, 3);
}

#[test]
fn a_log_does_not_begin_within_a_batch() {
    let mut all = segments(&[5; 9]);
    for at in [3, 4, 5] {
        all[at].begins_whole = false;
    }
    for (bytes, count) in [(399, 2), (349, 2), (299, 2), (249, 2), (199, 6)] {
        let found = plan(&all, limits(bytes, 0), &[], TimeNs(0));
        assert_eq!((found.count, found.kept_bytes), (count, 450 - 50 * count as u64));
    }
    let at_once = Limits { at_once: 4, ..limits(1, 0) };
    assert_eq!(plan(&all, at_once, &[], TimeNs(0)).count, 6, "the next place where it may begin");
    let at_once = Limits { at_once: 2, ..limits(1, 0) };
    assert_eq!(plan(&all, at_once, &[], TimeNs(0)).count, 2);
}

/// A small generator, so that a failing seed can be tried again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn exactly_the_longest_prefix_goes_that_nobody_needs() {
    for seed in 1..=20_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let counts: Vec<u64> = (0..random.below(7)).map(|_| 1 + random.below(9)).collect();
        let mut all = segments(&counts);
        for segment in all.iter_mut().skip(1) {
            segment.begins_whole = random.below(4) > 0;
        }
        let records: u64 = counts.iter().sum();
        let limits =
            limits(random.below(2) * random.below(500), random.below(2) * random.below(50));
        let now = TimeNs(random.below(records + 60));
        let bounds: Vec<Bound> =
            (0..random.below(3)).map(|_| reader("r", random.below(records + 9))).collect();
        let may_go = |count: usize| {
            let whole = count == 0 || all[count].begins_whole;
            whole
                && (0..count).all(|at| {
                    let left: u64 = all[at..].iter().map(|segment| segment.bytes).sum();
                    let old = all[at].newest.is_some_and(|newest| now.0 > newest.0 + limits.age_ns);
                    let wished =
                        (limits.bytes > 0 && left > limits.bytes) || (limits.age_ns > 0 && old);
                    wished && bounds.iter().all(|bound| bound.upto >= all[at].last)
                })
        };
        let longest = (0..all.len().max(1)).rev().find(|count| may_go(*count)).expect("0 may go");
        let found = plan(&all, limits, &bounds, now);
        assert_eq!(found.count, longest, "seed {seed}: {all:?} {limits:?} {bounds:?} {now:?}");
        let gone: u64 = all[..longest].iter().map(|segment| segment.bytes).sum();
        assert_eq!(found.bytes, gone, "seed {seed}");
    }
}
