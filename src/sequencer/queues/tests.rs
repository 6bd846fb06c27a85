//! The queues alone, then against a model that remembers everything.

use super::*;
use crate::event::RejectReason;
use crate::message::Origin;
use crate::types::{AccountId, InstrumentId};

const EVEN: Capacity = Capacity { messages: [4; PRIORITIES], large: 1 };
const BUSY: u64 = 1000;

fn queues(capacity: Capacity) -> Queues {
    Queues::new(capacity, Rules::default())
}

fn of(connection: u32, number: u64, priority: Priority, subject: Subject) -> Message {
    let mut message = Message::default();
    message.head.origin = Origin { gateway: 0, connection, generation: 1 };
    message.head.client_sequence = number;
    (message.head.priority, message.head.priority_sent) = (priority, priority);
    message.head.subject = subject;
    let id = number.to_string();
    message.bytes.set(id.as_bytes(), &[]);
    message.head.message_id = Span { offset: 0, length: id.len() as u16 };
    message
}

fn message(number: u64, size: usize) -> Message {
    let mut message = of(1, number, Priority::Normal, Subject::Session);
    message.bytes.set(&vec![1; size], &[]);
    message
}

fn book(account: u64, instrument: u32) -> Subject {
    Subject::Book { account: AccountId(account), instrument: InstrumentId(instrument) }
}

fn account(account: u64) -> Subject {
    Subject::Account { account: AccountId(account), other: AccountId(0) }
}

fn push(queues: &mut Queues, message: &Message) -> Result<(), QueueFull> {
    queues.push(message, Fingerprint::default(), TimeNs(0), BUSY)
}

/// Everything that waits, in the order in which it leaves, with its priority.
fn drain(queues: &mut Queues) -> Vec<(u64, Priority)> {
    let mut seen = Vec::new();
    while let Some((taken, _)) = queues.take_next(true, |message, _, _| {
        let head = &message.head;
        seen.push((head.client_sequence, head.priority));
        true
    }) {
        assert!(taken);
    }
    seen
}

fn numbers(queues: &mut Queues) -> Vec<u64> {
    drain(queues).into_iter().map(|(number, _)| number).collect()
}

#[test]
fn messages_of_one_priority_leave_in_the_order_they_came() {
    let mut queues = queues(EVEN);
    for number in 1..=3 {
        push(&mut queues, &message(number, 10)).expect("there is room");
    }
    assert_eq!(numbers(&mut queues), [1, 2, 3]);
    assert!(queues.is_empty());
}

#[test]
fn the_most_urgent_leaves_first_and_each_priority_has_slots_of_its_own() {
    let mut queues = queues(EVEN);
    let mut number = 0;
    for priority in Priority::ALL.iter().rev() {
        for place in 0..5 {
            number += 1;
            let pushed = push(&mut queues, &of(number as u32, number, *priority, account(2)));
            assert_eq!(pushed, if place < 4 { Ok(()) } else { Err(QueueFull::Busy) });
        }
    }
    assert_eq!(queues.depths(), [4; 5]);
    let left = drain(&mut queues);
    let expected = [21, 22, 23, 24, 16, 17, 18, 19, 11, 12, 13, 14, 6, 7, 8, 9, 1, 2, 3, 4];
    assert_eq!(left.iter().map(|it| it.0).collect::<Vec<_>>(), expected);
    assert_eq!(queues.depths(), [0; 5]);
}

#[test]
fn a_full_queue_says_busy_and_still_has_a_place_for_the_refusal() {
    let mut queues = queues(Capacity { messages: [2; PRIORITIES], large: 1 });
    push(&mut queues, &message(1, 10)).expect("there is room");
    push(&mut queues, &message(2, 10)).expect("there is room");
    assert_eq!(push(&mut queues, &message(3, 10)), Err(QueueFull::Busy));
    let refused = Head {
        kind: MessageKind::Refuse(RejectReason::Busy),
        client_sequence: 3,
        ..Head::default()
    };
    assert_eq!(queues.push_refusal(refused, TimeNs(0)), Ok(()));
    assert_eq!(queues.push_refusal(refused, TimeNs(0)), Ok(()));
    assert_eq!(queues.push_refusal(refused, TimeNs(0)), Err(QueueFull::Blocked));
    assert_eq!(numbers(&mut queues), [1, 2, 3, 3]);
    assert_eq!(queues.push_refusal(refused, TimeNs(0)), Ok(()));
}

#[test]
fn large_messages_have_a_bound_of_their_own() {
    let mut queues = queues(EVEN);
    push(&mut queues, &message(1, 1000)).expect("one large message fits");
    assert_eq!(push(&mut queues, &message(2, 1000)), Err(QueueFull::Busy));
    assert_eq!(push(&mut queues, &message(3, 10)), Ok(()));
    assert_eq!(numbers(&mut queues), [1, 3]);
    assert_eq!(push(&mut queues, &message(4, 1000)), Ok(()));
}

#[test]
fn a_message_that_was_not_taken_stays_first() {
    let mut queues = queues(EVEN);
    push(&mut queues, &message(1, 10)).expect("there is room");
    assert_eq!(queues.take_next(true, |_, _, _| false), Some((false, Turn::Normal)));
    assert_eq!(numbers(&mut queues), [1]);
}

#[test]
fn an_urgent_message_lifts_its_subject_and_nothing_else() {
    let mut queues = queues(EVEN);
    for (number, subject) in [(1, book(2, 1)), (2, book(2, 2)), (3, account(3)), (4, book(2, 1))] {
        push(&mut queues, &of(1, number, Priority::Batch, subject)).expect("there is room");
    }
    push(&mut queues, &of(2, 5, Priority::Normal, book(2, 1))).expect("another session");
    push(&mut queues, &of(1, 6, Priority::High, book(2, 1))).expect("there is room");
    assert_eq!(queues.depths(), [0, 3, 1, 0, 2], "what is lifted is charged to the lifter's queue");
    assert_eq!(queues.arrived(), [0, 1, 1, 0, 2], "and is no sign of overload there");
    let lifted: Vec<_> = std::iter::from_fn(|| queues.adjusted()).collect();
    assert_eq!(lifted.len(), 2);
    assert_eq!(&lifted[0].id[..2], b"1\0");
    assert!(lifted.iter().all(|it| it.rule == Rule::Subject && it.to == Priority::High));
    let high = Priority::High;
    let expected = [(1, high), (4, high), (6, high), (5, Priority::Normal), (2, Priority::Batch)];
    assert_eq!(drain(&mut queues)[..5], expected);
}

#[test]
fn what_stands_before_a_lifted_message_is_lifted_too() {
    let mut queues = queues(Capacity { messages: [8; PRIORITIES], large: 1 });
    for (number, subject) in [(1, book(3, 1)), (2, Subject::Session), (3, book(2, 1))] {
        push(&mut queues, &of(1, number, Priority::Low, subject)).expect("there is room");
    }
    push(&mut queues, &of(1, 4, Priority::Normal, book(2, 1))).expect("there is room");
    push(&mut queues, &of(2, 5, Priority::Normal, book(2, 1))).expect("there is room");
    assert_eq!(numbers(&mut queues), [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_lifted_leaves_half_of_the_queue_to_what_came_with_its_priority() {
    let mut queues = queues(Capacity { messages: [8, 8, 64, 8, 8], large: 1 });
    // Each of these has many orders waiting and is in a hurry with all of them.
    for connection in 1..=5 {
        for number in 1..=10 {
            push(&mut queues, &of(connection, number, Priority::Normal, account(2)))
                .expect("there is room");
        }
        let hurry = of(connection, 11, Priority::Critical, account(2));
        if connection == 5 {
            assert_eq!(push(&mut queues, &hurry), Err(QueueFull::Busy), "four and four");
        } else {
            assert_eq!(push(&mut queues, &hurry), Ok(()), "lifting needs no room");
        }
    }
    assert_eq!(queues.depths(), [8, 0, 46, 0, 0]);
    assert_eq!(queues.arrived(), [4, 0, 46, 0, 0]);
    let zero = Some(TimeNs(0));
    assert_eq!(queues.oldest(), [zero, None, zero, None, None]);
    let left = numbers(&mut queues);
    let in_order: Vec<u64> = (0..4).flat_map(|_| 1..=11).chain(1..=10).collect();
    assert_eq!(left, in_order, "all of it stands before what lifted it");
    assert_eq!((queues.depths(), queues.arrived()), ([0; 5], [0; 5]));
}

#[test]
fn what_is_lifted_and_not_charged_tells_how_old_its_turn_is() {
    let mut queues = queues(Capacity { messages: [2, 8, 8, 8, 8], large: 1 });
    let at = |queues: &mut Queues, message: &Message, time| {
        queues.push(message, Fingerprint::default(), TimeNs(time), BUSY).expect("there is room");
    };
    // One slot may be lifted to: the first of them has it.
    at(&mut queues, &of(1, 1, Priority::Normal, account(2)), 5);
    at(&mut queues, &of(1, 2, Priority::Normal, account(2)), 6);
    at(&mut queues, &of(1, 3, Priority::Critical, account(2)), 90);
    queues.take_next(true, |message, _, _| message.head.client_sequence == 1);
    // What stands first in the CRITICAL turn now has a NORMAL slot.
    assert_eq!(queues.depths(), [1, 0, 1, 0, 0]);
    let six = Some(TimeNs(6));
    assert_eq!(queues.oldest(), [six, None, six, None, None]);
}

#[test]
fn a_lifted_large_message_takes_nobody_elses_place() {
    let mut queues = queues(EVEN);
    let mut large = of(1, 1, Priority::Normal, account(2));
    large.bytes.set(&[1; 1000], &[]);
    push(&mut queues, &large).expect("there is room");
    push(&mut queues, &of(1, 2, Priority::Critical, account(2))).expect("there is room");
    (large.head.origin.connection, large.head.client_sequence) = (2, 3);
    large.head.priority = Priority::Critical;
    assert_eq!(push(&mut queues, &large), Ok(()));
    assert_eq!(numbers(&mut queues), [1, 2, 3]);
}

#[test]
fn tasks_and_exchange_do_not_lift_each_other() {
    let mut queues = queues(EVEN);
    push(&mut queues, &of(1, 1, Priority::Batch, Subject::Task(7))).expect("there is room");
    push(&mut queues, &of(1, 2, Priority::Batch, account(2))).expect("there is room");
    push(&mut queues, &of(1, 3, Priority::High, Subject::Task(7))).expect("there is room");
    assert_eq!(numbers(&mut queues), [1, 3, 2]);
}

#[test]
fn an_answer_waits_for_all_before_it_and_holds_up_nothing() {
    let mut queues = queues(EVEN);
    push(&mut queues, &of(1, 1, Priority::Batch, account(2))).expect("there is room");
    let mut query = of(1, 2, Priority::Normal, Subject::Session);
    query.head.kind = MessageKind::Query;
    push(&mut queues, &query).expect("there is room");
    push(&mut queues, &of(1, 3, Priority::Normal, account(3))).expect("there is room");
    assert_eq!(numbers(&mut queues), [3, 1, 2], "a question lifts nobody's bulk");
}

#[test]
fn what_has_waited_a_minute_is_served_as_high() {
    let mut queues = queues(EVEN);
    let minute = Rules::default().aging_ns;
    push(&mut queues, &of(1, 1, Priority::Normal, account(2))).expect("there is room");
    push(&mut queues, &of(2, 2, Priority::Batch, account(2))).expect("there is room");
    let at = |number, priority, time| (of(3, number, priority, account(2)), TimeNs(time));
    for (message, time) in [at(3, Priority::High, minute), at(4, Priority::Normal, minute)] {
        queues.push(&message, Fingerprint::default(), time, BUSY).expect("there is room");
    }
    queues.age(TimeNs(minute));
    assert_eq!(queues.adjusted(), None, "not older than a minute");
    queues.age(TimeNs(minute + 1));
    let adjusted: Vec<_> = std::iter::from_fn(|| queues.adjusted()).collect();
    assert_eq!(adjusted.len(), 2);
    assert!(adjusted.iter().all(|it| it.rule == Rule::Age && it.to == Priority::High));
    assert_eq!(
        queues.depths(),
        [0, 1, 2, 0, 1],
        "a promotion changes the turn, not whose slot it is"
    );
    let mut left = Vec::new();
    // The share of aged bulk is used up: NORMAL goes first, and then nothing else is left.
    while let Some((_, turn)) = queues.take_next(false, |message, _, _| {
        let head = &message.head;
        left.push(head.client_sequence);
        true
    }) {
        assert_ne!(turn, Turn::Batch);
    }
    assert_eq!(left, [3, 1, 4, 2]);
}

#[test]
fn batch_is_low_while_the_node_has_little_to_do() {
    let mut queues = queues(EVEN);
    let batch = |number| of(number as u32, number, Priority::Batch, account(2));
    queues.push(&batch(1), Fingerprint::default(), TimeNs(0), 500).expect("there is room");
    queues.push(&batch(2), Fingerprint::default(), TimeNs(0), 499).expect("there is room");
    let adjusted = queues.adjusted().expect("one was raised");
    assert_eq!((adjusted.rule, adjusted.to), (Rule::Idle, Priority::Low));
    assert_eq!(drain(&mut queues), [(2, Priority::Low), (1, Priority::Batch)]);
}

/// A message as the model remembers it.
#[derive(Clone, Copy, Debug)]
struct Known {
    connection: u32,
    subject: Subject,
    answers: bool,
}

struct Model {
    random: u64,
    waiting: Vec<(u64, Known)>,
}

impl Model {
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % bound
    }

    fn subject(&mut self) -> Subject {
        let (one, two) = (AccountId(2 + self.below(2)), AccountId(2 + self.below(2)));
        match self.below(8) {
            0 => Subject::Session,
            1 => Subject::Account { account: one, other: AccountId(0) },
            2 => Subject::Account { account: one, other: two },
            3 => Subject::Task(self.below(2)),
            _ => Subject::Book { account: one, instrument: InstrumentId(1 + self.below(2) as u32) },
        }
    }

    /// What leaves must not leave anything behind that it had to wait for.
    fn left(&mut self, number: u64) {
        let at = self.waiting.iter().position(|it| it.0 == number).expect("it was waiting");
        let (_, left) = self.waiting.remove(at);
        for (earlier, known) in &self.waiting[..at] {
            let same = known.connection == left.connection && (!known.answers || left.answers);
            let overtaken = same && (left.answers || known.subject.meets(left.subject));
            assert!(!overtaken, "{number} {left:?} overtook {earlier} {known:?}");
        }
    }
}

#[test]
fn no_message_overtakes_an_earlier_one_of_its_subject() {
    for seed in 0..300 {
        let mut model = Model { random: seed, waiting: Vec::new() };
        let bound = 1 + model.below(20) as usize;
        let capacity = Capacity { messages: [bound; PRIORITIES], large: 1 };
        let mut queues = queues(capacity);
        let mut now = 0;
        for number in 0..2000 {
            now += model.below(3) * model.below(20_000_000_000);
            if model.below(100) < 55 {
                let subject = model.subject();
                let connection = model.below(3) as u32;
                let priority = Priority::ALL[model.below(5) as usize];
                let mut message = of(connection, number, priority, subject);
                let answers = model.below(10) == 0;
                if answers {
                    message.head.kind = MessageKind::Query;
                }
                message.head.attempt = (model.below(40) / 36) as u16 * 4;
                let load = model.below(1000);
                let pushed = queues.push(&message, Fingerprint::default(), TimeNs(now), load);
                match pushed {
                    Ok(()) => {
                        let known = Known { connection, subject, answers };
                        model.waiting.push((number, known));
                    }
                    Err(QueueFull::Busy) => {}
                    Err(QueueFull::Blocked) => panic!("only a refusal is blocked"),
                }
            } else {
                queues.age(TimeNs(now));
                let share = model.below(2) == 0;
                let mut left = None;
                queues.take_next(share, |message, _, _| {
                    let head = &message.head;
                    left = Some(head.client_sequence);
                    true
                });
                if let Some(number) = left {
                    model.left(number);
                }
                while queues.adjusted().is_some() {}
            }
            let depths = queues.depths();
            assert_eq!(depths.iter().sum::<usize>(), model.waiting.len(), "seed {seed}");
            assert!(depths.iter().all(|depth| *depth <= bound), "seed {seed}: {depths:?}");
        }
        for number in numbers(&mut queues) {
            model.left(number);
        }
        assert!(model.waiting.is_empty(), "seed {seed}");
        assert!(queues.sessions.iter().flatten().all(|it| it.first == NONE && it.last == NONE));
    }
}
