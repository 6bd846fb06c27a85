//! The five bounded queues before the sequencer, one a priority, over one slab of messages.
//!
//! A queue's bound is its own: no priority ever holds another's slots. A message keeps its place in
//! its queue; a refusal travels in the queue too, so that it never overtakes the answers before it.
//!
//! This release sequences every message as NORMAL, so one queue is in use; the gateway refuses other
//! priorities by name.

use crate::message::{Head, Message, MessageKind, Span};
use crate::sequencer::dedupe::Fingerprint;
use crate::types::Priority;
use std::collections::VecDeque;

/// Number of priorities.
const PRIORITIES: usize = Priority::ALL.len();

/// What waits at one place of a queue.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// A message in the slab.
    Message(u32),
    /// A message that was refused: its bytes are gone, its place is not.
    Refused(Head),
}

struct Queue {
    entries: VecDeque<Entry>,
    messages: usize,
    messages_max: usize,
}

/// Messages that wait to be sequenced.
pub struct Queues {
    queues: [Queue; PRIORITIES],
    slab: Vec<Message>,
    /// Fingerprints of the slab's messages.
    fingerprints: Vec<Fingerprint>,
    free: Vec<u32>,
    large: usize,
    large_max: usize,
}

/// The queue of this priority has no place for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// No slot for another message: answer busy.
    Busy,
    /// No place even for a refusal: leave it where it is.
    Blocked,
}

impl Queues {
    /// Queues of at most `messages_max` messages each, `large_max` of all of them larger than a slot.
    #[must_use]
    pub fn new(messages_max: usize, large_max: usize) -> Queues {
        let queue = || Queue { entries: VecDeque::new(), messages: 0, messages_max };
        Queues {
            queues: std::array::from_fn(|_| queue()),
            slab: Vec::new(),
            fingerprints: Vec::new(),
            free: Vec::new(),
            large: 0,
            large_max,
        }
    }

    /// Puts a copy of `message` at the end of its queue.
    ///
    /// # Errors
    /// [`QueueFull`], and nothing changed.
    pub fn push(&mut self, message: &Message, fingerprint: Fingerprint) -> Result<(), QueueFull> {
        let queue = &mut self.queues[message.head.priority as usize];
        let is_large = message.bytes.is_large();
        if queue.messages == queue.messages_max || (is_large && self.large == self.large_max) {
            return match message.head.kind {
                MessageKind::Refuse(_) => self.push_refusal(message.head),
                _ => Err(QueueFull::Busy),
            };
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slab.push(Message::default());
            self.fingerprints.push(Fingerprint::default());
            (self.slab.len() - 1) as u32
        });
        self.slab[slot as usize].copy_from(message);
        self.fingerprints[slot as usize] = fingerprint;
        self.large += usize::from(is_large);
        queue.messages += 1;
        queue.entries.push_back(Entry::Message(slot));
        Ok(())
    }

    /// Puts a refusal without its bytes at the end of its queue; refusals have as many places again
    /// as messages.
    ///
    /// # Errors
    /// [`QueueFull::Blocked`], and nothing changed.
    pub fn push_refusal(&mut self, head: Head) -> Result<(), QueueFull> {
        let queue = &mut self.queues[head.priority as usize];
        if queue.entries.len() >= 2 * queue.messages_max {
            return Err(QueueFull::Blocked);
        }
        // Nobody may look for bytes that did not come along.
        queue.entries.push_back(Entry::Refused(Head { received: Span::default(), ..head }));
        Ok(())
    }

    /// Hands the most urgent message to `handle`, which says whether it took it. `None` where nothing
    /// waits.
    pub fn take_next(
        &mut self,
        handle: impl FnOnce(&Head, Option<(&Message, Fingerprint)>) -> bool,
    ) -> Option<bool> {
        let queue = self.queues.iter_mut().find(|queue| !queue.entries.is_empty())?;
        let entry = *queue.entries.front()?;
        let taken = match &entry {
            Entry::Message(slot) => {
                let message = &self.slab[*slot as usize];
                handle(&message.head, Some((message, self.fingerprints[*slot as usize])))
            }
            Entry::Refused(head) => handle(head, None),
        };
        if taken {
            queue.entries.pop_front();
            if let Entry::Message(slot) = entry {
                queue.messages -= 1;
                self.large -= usize::from(self.slab[slot as usize].bytes.is_large());
                self.free.push(slot);
            }
        }
        Some(taken)
    }

    /// How much waits at each priority.
    #[must_use]
    pub fn depths(&self) -> [usize; PRIORITIES] {
        std::array::from_fn(|priority| self.queues[priority].entries.len())
    }

    /// True where nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.entries.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RejectReason;

    fn message(number: u64, size: usize) -> Message {
        let mut message = Message::default();
        message.head.client_sequence = number;
        message.bytes.set(&vec![1; size], &[]);
        message
    }

    fn push(queues: &mut Queues, message: &Message) -> Result<(), QueueFull> {
        queues.push(message, Fingerprint::default())
    }

    fn drain(queues: &mut Queues) -> Vec<u64> {
        let mut seen = Vec::new();
        while queues.take_next(|head, _| {
            seen.push(head.client_sequence);
            true
        }) == Some(true)
        {}
        seen
    }

    #[test]
    fn messages_leave_in_the_order_they_came() {
        let mut queues = Queues::new(4, 1);
        for number in 1..=3 {
            push(&mut queues, &message(number, 10)).expect("there is room");
        }
        assert_eq!(drain(&mut queues), [1, 2, 3]);
        assert!(queues.is_empty());
    }

    #[test]
    fn a_full_queue_says_busy_and_still_has_a_place_for_the_refusal() {
        let mut queues = Queues::new(2, 1);
        push(&mut queues, &message(1, 10)).expect("there is room");
        push(&mut queues, &message(2, 10)).expect("there is room");
        assert_eq!(push(&mut queues, &message(3, 10)), Err(QueueFull::Busy));
        let refused = Head {
            kind: MessageKind::Refuse(RejectReason::Busy),
            client_sequence: 3,
            ..Head::default()
        };
        assert_eq!(queues.push_refusal(refused), Ok(()));
        assert_eq!(queues.push_refusal(refused), Ok(()));
        assert_eq!(queues.push_refusal(refused), Err(QueueFull::Blocked));
        assert_eq!(drain(&mut queues), [1, 2, 3, 3]);
    }

    #[test]
    fn large_messages_have_a_bound_of_their_own() {
        let mut queues = Queues::new(8, 1);
        push(&mut queues, &message(1, 1000)).expect("one large message fits");
        assert_eq!(push(&mut queues, &message(2, 1000)), Err(QueueFull::Busy));
        assert_eq!(push(&mut queues, &message(3, 10)), Ok(()));
        assert_eq!(drain(&mut queues), [1, 3]);
        assert_eq!(push(&mut queues, &message(4, 1000)), Ok(()));
    }

    #[test]
    fn a_message_that_was_not_taken_stays_first() {
        let mut queues = Queues::new(2, 1);
        push(&mut queues, &message(1, 10)).expect("there is room");
        assert_eq!(queues.take_next(|_, _| false), Some(false));
        assert_eq!(drain(&mut queues), [1]);
    }
}
