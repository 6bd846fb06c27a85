//! The sequencer alone, between an input ring and a reader of the sequenced ring.

use super::*;
use crate::message::Span;
use crate::ring::{Latest, ring, ring_of_two};
use crate::sys::clock::Clock;
use crate::types::KeyId;
use dedupe::Window;
use overload::{PressureSignal, Thresholds};
use queues::Capacity;
use turn::Rules;

#[derive(Clone, Default)]
struct StillClock(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Clock for StillClock {
    fn monotonic_ns(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn wall_ns(&self) -> u64 {
        1_000_000_000_000 + self.monotonic_ns()
    }
}

const THRESHOLDS: Thresholds =
    Thresholds { total: 100, critical: 100, high: 100, lag: 5_000, lasts_ns: 0 };

struct Bench {
    clock: StillClock,
    input: Writer<Message>,
    sequencer: Sequencer,
    journal: Reader<Sequenced>,
    lane: Reader<Sequenced>,
    deadline: Cursor,
    applied: Cursor,
    space: Space,
}

fn bench(ring_slots: usize) -> Bench {
    let (input, input_reader) = ring(ring_slots, Message::default);
    let (writer, journal, lane) = ring_of_two(ring_slots, Sequenced::default);
    let clock = StillClock::default();
    let window = Window { count_max: 100, age_max_ns: u64::MAX, ahead_max_ms: 60_000 };
    let order = Order {
        last: Sequence(0),
        time: TimeNs(0),
        epoch: Epoch(1),
        dedupe: Dedupe::new([1; 16], window),
    };
    let deadline = Cursor::new(NO_DEADLINE);
    let (space, applied) = (Space::default(), Cursor::default());
    let source = SequencerClock::start(Box::new(clock.clone()), TimeNs(0), false).expect("starts");
    let wiring = Wiring {
        inputs: vec![input_reader],
        ring: writer,
        deadline: deadline.clone(),
        loses_sessions: false,
        space: space.clone(),
        overload: Overload::new(THRESHOLDS, PressureSignal::default()),
        applied: applied.clone(),
        taken: vec![Taken::default()],
        adjusted: crossbeam::channel::bounded(1).0,
        controls: Latest::new(Controls::default()).reader(),
        remains: crossbeam::channel::bounded(1).0,
        marks: ring(4, Mark::default).0,
        stats: Arc::new(Stats::new(1, &[])),
    };
    let queues = Queues::new(Capacity { messages: [8; 5], large: 2 }, Rules::default());
    let sequencer = Sequencer::new(order, source, queues, 256, wiring);
    Bench { clock, input, sequencer, journal, lane, deadline, applied, space }
}

fn command(input: &mut Writer<Message>, id: &str) -> Result<(), Full> {
    message(input, MessageKind::Command, 1, id)
}

fn message(
    input: &mut Writer<Message>,
    kind: MessageKind,
    schema: u32,
    id: &str,
) -> Result<(), Full> {
    input.try_publish(|slot| {
        slot.head = Head {
            kind,
            key: KeyId(1),
            client_timestamp_ms: 1_000_000,
            schema,
            message_id: Span { offset: 0, length: id.len() as u16 },
            ..Head::default()
        };
        slot.bytes.set(id.as_bytes(), &[]);
    })
}

/// A few turns.
fn work(bench: &mut Bench) {
    for _ in 0..3 {
        bench.sequencer.do_work();
    }
}

fn read(bench: &mut Bench) -> Vec<(Entry, u64, MessageKind)> {
    let mut seen = Vec::new();
    bench.lane.drain(usize::MAX >> 1, |slot| {
        seen.push((slot.entry, slot.sequence.0, slot.message.head.kind));
        Take::Next
    });
    bench.journal.drain(usize::MAX >> 1, |_| Take::Next);
    seen
}

#[test]
fn messages_get_the_next_sequence_and_a_batch_end() {
    let mut bench = bench(16);
    command(&mut bench.input, "a").expect("room");
    command(&mut bench.input, "b").expect("room");
    bench.sequencer.do_work();
    let entries: Vec<_> = read(&mut bench).iter().map(|(e, s, _)| (*e, *s)).collect();
    assert_eq!(entries, [(Entry::Record, 1), (Entry::Record, 2), (Entry::BatchEnd, 2)]);
}

#[test]
fn a_duplicate_passes_without_a_sequence() {
    let mut bench = bench(16);
    command(&mut bench.input, "a").expect("room");
    command(&mut bench.input, "a").expect("room");
    bench.sequencer.do_work();
    let seen = read(&mut bench);
    assert_eq!(seen[1], (Entry::Passing, 1, MessageKind::Duplicate(Sequence(1))));
    assert_eq!(bench.sequencer.order().last, Sequence(1));
}

#[test]
fn the_smallest_ring_loses_nothing_and_keeps_the_order() {
    let mut bench = bench(crate::ring::SLOTS_MIN);
    let mut sent = 0;
    let mut records = Vec::new();
    let mut ends = 0;
    for _ in 0..1000 {
        if sent < 50 && command(&mut bench.input, &format!("m{sent}")).is_ok() {
            sent += 1;
        }
        bench.sequencer.do_work();
        for (entry, sequence, _) in read(&mut bench) {
            match entry {
                Entry::Record => records.push(sequence),
                Entry::BatchEnd => ends += 1,
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    assert_eq!(records, (1..=50).collect::<Vec<_>>());
    assert!(ends > 0);
}

#[test]
fn no_space_refuses_commands_and_uses_up_no_id() {
    let mut bench = bench(16);
    bench.space.none[0].set(Sequence(1));
    command(&mut bench.input, "a").expect("room");
    bench.sequencer.do_work();
    let refused = MessageKind::Refuse(RejectReason::NoSpace);
    assert_eq!(read(&mut bench), [(Entry::Passing, 0, refused)]);
    bench.space.none[0].set(Sequence(0));
    command(&mut bench.input, "a").expect("room");
    bench.sequencer.do_work();
    assert_eq!(read(&mut bench)[0], (Entry::Record, 1, MessageKind::Command));
}

#[test]
fn a_nearly_full_disk_refuses_orders_and_takes_cancels_and_admin_commands() {
    let refused = MessageKind::Refuse(RejectReason::NoSpace);
    for (level, none, taken) in [(0, 0, 10), (1, 0, 10), (2, 0, 4), (2, 1, 0), (0, 1, 0)] {
        let mut bench = bench(64);
        bench.space.level.set(Sequence(level));
        bench.space.none[1].set(Sequence(none));
        for schema in 1..=9 {
            let id = format!("c{schema}");
            message(&mut bench.input, MessageKind::Command, schema, &id).expect("room");
            bench.sequencer.do_work();
        }
        message(&mut bench.input, MessageKind::Admin, 48, "a").expect("room");
        message(&mut bench.input, MessageKind::Query, 64, "").expect("room");
        while bench.sequencer.do_work() > 0 {}
        let seen = read(&mut bench);
        let records = seen.iter().filter(|(entry, ..)| *entry == Entry::Record).count();
        let refusals = seen.iter().filter(|(.., kind)| *kind == refused).count();
        assert_eq!((records, refusals), (taken, 10 - taken), "level {level}, none {none}");
        assert!(seen.iter().any(|(.., kind)| *kind == MessageKind::Query));
    }
}

#[test]
fn a_tick_is_emitted_once_when_a_deadline_is_due_and_none_before() {
    let mut bench = bench(16);
    let start = 1_000_000_000_000;
    bench.deadline.set(Sequence(start + 50));
    assert_eq!(bench.sequencer.do_work(), 0);
    assert_eq!(bench.sequencer.wake_in(), Some(Duration::from_nanos(50)));
    bench.clock.0.store(50, std::sync::atomic::Ordering::Relaxed);
    bench.sequencer.do_work();
    let seen: Vec<_> = read(&mut bench).iter().map(|(e, s, _)| (*e, *s)).collect();
    assert_eq!(seen, [(Entry::Tick, 1), (Entry::BatchEnd, 1)]);
    // Until the lane has applied it nobody knows what is due next.
    assert_eq!((bench.sequencer.do_work(), bench.sequencer.wake_in()), (0, None));
    bench.deadline.set(NO_DEADLINE);
    bench.applied.set(Sequence(1));
    assert_eq!((bench.sequencer.do_work(), bench.sequencer.wake_in()), (0, None));
}

#[test]
fn ticks_for_what_is_under_way_follow_each_other_as_the_lane_applies_them() {
    let mut bench = bench(16);
    bench.deadline.set(Sequence(0));
    for sequence in 1..20 {
        work(&mut bench);
        let seen: Vec<_> = read(&mut bench).iter().map(|(e, s, _)| (*e, *s)).collect();
        assert_eq!(seen, [(Entry::Tick, sequence), (Entry::BatchEnd, sequence)]);
        bench.applied.set(Sequence(sequence));
    }
}

#[test]
fn records_on_their_way_to_the_lane_spare_a_tick() {
    let mut bench = bench(16);
    bench.deadline.set(Sequence(0));
    command(&mut bench.input, "a").expect("room");
    work(&mut bench);
    let seen: Vec<_> = read(&mut bench).iter().map(|(e, s, _)| (*e, *s)).collect();
    assert_eq!(seen, [(Entry::Record, 1), (Entry::BatchEnd, 1)]);
}

#[test]
fn a_tick_without_space_or_room_waits_and_is_tried_again() {
    let mut bench = bench(2);
    bench.space.none[0].set(Sequence(1));
    bench.deadline.set(Sequence(0));
    assert_eq!(bench.sequencer.do_work(), 0);
    assert_eq!(bench.sequencer.wake_in(), Some(TICK_RETRY), "it does not spin meanwhile");
    bench.space.none[0].set(Sequence(0));
    assert!(bench.sequencer.do_work() > 0);
    bench.applied.set(Sequence(1));
    assert_eq!(bench.sequencer.do_work(), 0, "the ring is full");
    assert_eq!(bench.sequencer.wake_in(), Some(TICK_RETRY));
    assert_eq!(read(&mut bench).len(), 2);
    assert!(bench.sequencer.do_work() > 0);
}

#[test]
fn the_sessions_of_the_run_before_are_lost_before_anything_else() {
    let mut bench = bench(16);
    bench.sequencer.loses_sessions = true;
    command(&mut bench.input, "a").expect("room");
    work(&mut bench);
    let seen: Vec<_> = read(&mut bench).iter().map(|(e, s, _)| (*e, *s)).collect();
    let (start, record) = ((Entry::EpochStart, 1), (Entry::Record, 2));
    assert_eq!(seen, [start, (Entry::BatchEnd, 1), record, (Entry::BatchEnd, 2)]);
}
