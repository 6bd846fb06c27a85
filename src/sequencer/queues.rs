//! The five bounded queues before the sequencer, one a priority, over one slab of messages.
//!
//! A queue's bound is its own: no priority ever holds another's slots. The most urgent message goes
//! first; among equals the one that came first.
//!
//! Invariant: of two messages of one session whose subjects meet, the earlier one leaves first. A
//! later, more urgent message lifts the earlier ones to its own turn, behind what waits there. They are
//! charged to its queue as far as half of that may be lifted; what is beyond keeps the slot that it has.
//! So lifting needs no room, and what comes with a priority always has half of that priority's slots,
//! though as many as the slots of less urgent priorities may stand before it in its turn. What only
//! answers (a refusal, a question) waits for everything that its session sent before it, and nothing
//! waits for it.

use crate::message::{Head, Message, MessageKind, Span, Subject};
use crate::sequencer::dedupe::Fingerprint;
use crate::sequencer::turn::{Rule, Rules, TURNS, Turn};
use crate::types::{Priority, TimeNs};
use std::collections::VecDeque;

/// Number of priorities.
pub const PRIORITIES: usize = Priority::ALL.len();
/// No slot of the slab.
const NONE: u32 = u32::MAX;
/// Changes of priority that are kept until somebody asks; further ones are counted only.
const ADJUSTED_MAX: usize = 1024;
/// Messages that are raised for their age in one round.
const AGED_MAX: usize = 256;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Messages of each priority.
    pub messages: [usize; PRIORITIES],
    /// Those of each priority that are larger than a slot.
    pub large: usize,
}

/// The queue of this priority has no place for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// No slot for another message: answer busy.
    Busy,
    /// No place even for a refusal: leave it where it is.
    Blocked,
}

/// A message's priority was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjusted {
    /// The message id; the rest is zeros.
    pub id: [u8; 64],
    /// The priority it would have had.
    pub from: Priority,
    /// The priority it has.
    pub to: Priority,
    /// Why.
    pub rule: Rule,
    /// Changes before it that nobody was told of.
    pub left_out: u64,
}

/// Where a message of the slab waits.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Neighbours in the list of its turn.
    next: u32,
    previous: u32,
    /// Neighbours among its session's messages, in the order they came.
    session_next: u32,
    session_previous: u32,
    turn: Turn,
    /// Whose slots it occupies.
    charged: Priority,
    /// When it came in, sequencer time.
    since: TimeNs,
    fingerprint: Fingerprint,
    /// It is a refusal without bytes.
    is_refusal: bool,
    /// It was lifted to the queue whose slot it occupies.
    is_lifted: bool,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    length: usize,
}

const EMPTY: List = List { first: NONE, last: NONE, length: 0 };

/// The waiting messages of one connection.
#[derive(Clone, Copy, Debug)]
struct Session {
    first: u32,
    last: u32,
    /// How many they are, and how many of them wait in each turn.
    count: u32,
    turns: [u32; TURNS],
}

const IDLE: Session = Session { first: NONE, last: NONE, count: 0, turns: [0; TURNS] };

/// Messages that wait to be sequenced.
pub struct Queues {
    capacity: Capacity,
    rules: Rules,
    turns: [List; TURNS],
    /// Messages that occupy each priority's slots, and refusals beside them.
    messages: [usize; PRIORITIES],
    refusals: [usize; PRIORITIES],
    large: [usize; PRIORITIES],
    /// Messages that were lifted to each priority's queue.
    lifted_to: [usize; PRIORITIES],
    slab: Vec<Message>,
    places: Vec<Place>,
    free: Vec<u32>,
    /// By gateway and connection.
    sessions: Vec<Vec<Session>>,
    adjusted: VecDeque<Adjusted>,
    adjusted_lost: u64,
    /// Messages to be lifted, and the subjects that lift them; kept for their memory.
    lifted: Vec<u32>,
    subjects: Vec<Subject>,
}

/// What waits for everything before it, with nothing waiting for it.
const fn only_answers(kind: MessageKind) -> bool {
    matches!(kind, MessageKind::Refuse(_) | MessageKind::Duplicate(_) | MessageKind::Query)
}

impl Queues {
    /// Empty queues.
    #[must_use]
    pub fn new(capacity: Capacity, rules: Rules) -> Queues {
        let most = 2 * capacity.messages.iter().sum::<usize>();
        Queues {
            capacity,
            rules,
            turns: [EMPTY; TURNS],
            messages: [0; PRIORITIES],
            refusals: [0; PRIORITIES],
            large: [0; PRIORITIES],
            lifted_to: [0; PRIORITIES],
            // Growing would move all that waits, in the middle of a burst.
            slab: Vec::with_capacity(most),
            places: Vec::with_capacity(most),
            free: Vec::new(),
            sessions: Vec::new(),
            adjusted: VecDeque::new(),
            adjusted_lost: 0,
            lifted: Vec::new(),
            subjects: Vec::new(),
        }
    }

    /// Puts a copy of `message`, which came in at `now`, where it waits for its turn. `load` is how
    /// busy the lanes are, in thousandths.
    ///
    /// # Errors
    /// [`QueueFull`], and nothing changed.
    #[inline]
    pub fn push(
        &mut self,
        message: &Message,
        fingerprint: Fingerprint,
        now: TimeNs,
        load: u64,
    ) -> Result<(), QueueFull> {
        let head = &message.head;
        let priority = head.priority;
        let is_large = message.bytes.is_large();
        let queue = priority as usize;
        // A connection has one begin and one end: they are taken beyond what else may wait, so that
        // nobody behind them has to.
        let is_full =
            self.messages[queue] >= self.capacity.messages[queue] && !head.kind.is_session();
        if is_full || (is_large && self.large[queue] >= self.capacity.large) {
            return match head.kind {
                MessageKind::Refuse(_) => self.push_refusal(*head, now),
                _ => Err(QueueFull::Busy),
            };
        }
        let (turn, rule) = if only_answers(head.kind) || head.kind.is_session() {
            (self.behind_all(head), None)
        } else {
            let (turn, rule) = self.rules.at_arrival(priority, head.attempt, load);
            if self.is_overtaking(head, turn) {
                self.lift(head.subject, head, turn, None);
            }
            (turn, rule)
        };
        let slot = self.slot();
        self.slab[slot as usize].copy_from(message);
        self.large[queue] += usize::from(is_large);
        self.messages[queue] += 1;
        self.enter(slot, turn, fingerprint, now);
        let sent = head.priority_sent;
        if sent != priority && head.kind.is_command() {
            self.note(slot, sent, priority, Rule::Entitlement);
        }
        if let Some(rule) = rule {
            self.note(slot, priority, turn.priority(), rule);
        }
        Ok(())
    }

    /// Puts a refusal without its bytes behind all that its session sent before; refusals have as many
    /// places again as messages.
    ///
    /// # Errors
    /// [`QueueFull::Blocked`], and nothing changed.
    pub fn push_refusal(&mut self, head: Head, now: TimeNs) -> Result<(), QueueFull> {
        let priority = head.priority as usize;
        if self.refusals[priority] >= self.capacity.messages[priority] {
            return Err(QueueFull::Blocked);
        }
        let turn = self.behind_all(&head);
        let slot = self.slot();
        let message = &mut self.slab[slot as usize];
        // Nobody may look for bytes that did not come along.
        message.head = Head {
            command: Span::default(),
            received: Span::default(),
            message_id: Span::default(),
            source: Span::default(),
            hash: Span::default(),
            ..head
        };
        message.bytes.set(&[], &[]);
        self.refusals[priority] += 1;
        self.enter(slot, turn, Fingerprint::default(), now);
        self.places[slot as usize].is_refusal = true;
        Ok(())
    }

    /// Raises what has waited too long by `now`; a bounded number of messages in one round.
    pub fn age(&mut self, now: TimeNs) {
        for turn in [Turn::Normal, Turn::Low, Turn::Batch] {
            for _ in 0..AGED_MAX {
                let slot = self.turns[turn as usize].first;
                if slot == NONE || !self.is_old(slot, now) {
                    break;
                }
                let head = self.slab[slot as usize].head;
                let subject = if only_answers(head.kind) { Subject::Session } else { head.subject };
                let stands_behind_all = only_answers(head.kind) || head.kind.is_session();
                // What stands behind its session's bulk is raised with it, and no further.
                let to = if stands_behind_all && turn != Turn::Normal {
                    Turn::AgedBulk
                } else {
                    // What was lifted ages with what lifted it, whosever slot it has.
                    Turn::aged(self.places[slot as usize].charged.min(turn.priority()))
                };
                self.lift(subject, &head, to, Some(slot));
                let from = self.places[slot as usize].turn.priority();
                self.shift(slot, to);
                self.note(slot, from, to.priority(), Rule::Age);
            }
        }
    }

    fn is_old(&self, slot: u32, now: TimeNs) -> bool {
        self.rules.is_old(now.0.saturating_sub(self.places[slot as usize].since.0))
    }

    /// Hands the most urgent message to `handle`, which says whether it took it. With `bulk` false,
    /// aged LOW and BATCH wait while NORMAL does. The second fingerprint is of the message that will
    /// most likely be next. `None` where nothing waits; else whether it was taken, and from which turn.
    #[inline]
    pub fn take_next(
        &mut self,
        bulk: bool,
        handle: impl FnOnce(&Message, Fingerprint, Option<&Fingerprint>) -> bool,
    ) -> Option<(bool, Turn)> {
        let turn = self.next_turn(bulk)?;
        let slot = self.turns[turn as usize].first;
        let message = &mut self.slab[slot as usize];
        // What the record says of its turn is decided here.
        if !matches!(message.head.kind, MessageKind::Refuse(_)) {
            message.head.priority = turn.priority();
        }
        let place = &self.places[slot as usize];
        let next = self.places.get(place.next as usize).map(|next| &next.fingerprint);
        let taken = handle(message, place.fingerprint, next);
        if taken {
            self.leave(slot);
        }
        Some((taken, turn))
    }

    #[inline]
    fn next_turn(&self, bulk: bool) -> Option<Turn> {
        let waits = |turn: Turn| self.turns[turn as usize].length > 0;
        let next = Turn::ALL.into_iter().find(|turn| waits(*turn))?;
        let passes = next == Turn::AgedBulk && !bulk && waits(Turn::Normal);
        Some(if passes { Turn::Normal } else { next })
    }

    /// True where nothing waits.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.turns.iter().all(|turn| turn.length == 0)
    }

    /// Messages that occupy each priority's slots.
    #[must_use]
    pub fn depths(&self) -> [usize; PRIORITIES] {
        self.messages
    }

    /// The same without what was lifted there: one urgent message with many before it is no overload.
    #[must_use]
    pub fn arrived(&self) -> [usize; PRIORITIES] {
        std::array::from_fn(|queue| self.messages[queue] - self.lifted_to[queue])
    }

    /// When the message came in that waits longest at the front of a turn, by the priority of the turn
    /// and by that whose slot it has: one that was lifted and not charged counts for both.
    #[must_use]
    pub fn oldest(&self) -> [Option<TimeNs>; PRIORITIES] {
        let mut oldest = [None; PRIORITIES];
        for list in &self.turns {
            let Some(place) = self.places.get(list.first as usize) else { continue };
            for priority in [place.charged, place.turn.priority()] {
                let since = &mut oldest[priority as usize];
                *since = Some(since.map_or(place.since, |since: TimeNs| since.min(place.since)));
            }
        }
        oldest
    }

    /// A change of priority that nobody has taken note of yet.
    pub fn adjusted(&mut self) -> Option<Adjusted> {
        self.adjusted.pop_front()
    }

    /// Changes of priority since the last call that were too many to keep.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.adjusted_lost)
    }

    fn note(&mut self, slot: u32, from: Priority, to: Priority, rule: Rule) {
        if from == to || only_answers(self.slab[slot as usize].head.kind) {
            return;
        }
        if self.adjusted.len() == ADJUSTED_MAX {
            self.adjusted_lost += 1;
            return;
        }
        let message = &self.slab[slot as usize];
        let mut id = [0; 64];
        let bytes = message.message_id();
        let length = bytes.len().min(id.len());
        id[..length].copy_from_slice(&bytes[..length]);
        self.adjusted.push_back(Adjusted { id, from, to, rule, left_out: 0 });
    }

    /// The turn in which everything that the session has waiting is gone before.
    fn behind_all(&self, head: &Head) -> Turn {
        let own = Turn::of(head.priority);
        let Some(session) = self.session_of(head) else { return own };
        let waits = |turn: Turn| session.turns[turn as usize] > 0;
        let last =
            Turn::ALL.into_iter().filter(|turn| waits(*turn)).max_by_key(|it| it.certainty());
        match last {
            // Aged bulk and NORMAL may overtake each other; what comes after both is LOW.
            Some(Turn::AgedBulk) => Turn::Low,
            Some(last) if !last.is_before(own) => last,
            _ => own,
        }
    }

    fn session_of(&self, head: &Head) -> Option<&Session> {
        let origin = head.origin;
        self.sessions.get(usize::from(origin.gateway))?.get(origin.connection as usize)
    }

    /// True where the session has messages waiting that a message with this turn would overtake.
    #[inline]
    fn is_overtaking(&self, head: &Head, turn: Turn) -> bool {
        let Some(session) = self.session_of(head) else { return false };
        // Most sessions use one priority.
        if session.turns[turn as usize] == session.count {
            return false;
        }
        Turn::ALL.into_iter().any(|it| session.turns[it as usize] > 0 && !it.is_before(turn))
    }

    /// Lifts what waits of the session before `upto` (or at all), and has to leave before a message of
    /// `subject`, so that it leaves before one with turn `to`. What is lifted for a message that comes
    /// in now is charged to that one's queue while less than half of it is lifted and there is room; the
    /// rest is lifted all the same, and keeps its slot.
    fn lift(&mut self, subject: Subject, head: &Head, to: Turn, upto: Option<u32>) {
        let (mut lifted, mut subjects) =
            (std::mem::take(&mut self.lifted), std::mem::take(&mut self.subjects));
        lifted.clear();
        subjects.clear();
        subjects.push(subject);
        let mut slot = match upto {
            Some(upto) => self.places[upto as usize].session_previous,
            None => self.session_of(head).map_or(NONE, |session| session.last),
        };
        while slot != NONE {
            let place = &self.places[slot as usize];
            let waiting = &self.slab[slot as usize].head;
            let meets = || subjects.iter().any(|it| it.meets(waiting.subject));
            let counts = !only_answers(waiting.kind) || only_answers(head.kind);
            if counts && !place.turn.is_before(to) && meets() {
                subjects.push(waiting.subject);
                lifted.push(slot);
            }
            slot = place.session_previous;
        }
        let rule = if upto.is_some() { Rule::Age } else { Rule::Subject };
        for slot in lifted.iter().rev().copied() {
            self.lift_one(slot, to, head.priority, rule);
        }
        (self.lifted, self.subjects) = (lifted, subjects);
    }

    /// True where the queue of this priority has a slot for a message that is lifted to it, beside the
    /// one for the message that lifts. A large message keeps its place among the large ones.
    fn takes_lifted(&self, to: Priority, slot: u32) -> bool {
        let (queue, capacity) = (to as usize, self.capacity.messages[to as usize]);
        self.lifted_to[queue] < capacity / 2
            && self.messages[queue] + 1 < capacity
            && !self.slab[slot as usize].bytes.is_large()
    }

    fn lift_one(&mut self, slot: u32, to: Turn, charge: Priority, rule: Rule) {
        let place = self.places[slot as usize];
        let from = place.turn.priority();
        let is_charged = rule == Rule::Subject && (charge as u8) < place.charged as u8;
        if is_charged && self.takes_lifted(charge, slot) {
            let (from, to) = (place.charged as usize, charge as usize);
            self.messages[from] -= 1;
            self.messages[to] += 1;
            self.lifted_to[from] -= usize::from(place.is_lifted);
            self.lifted_to[to] += 1;
            let place = &mut self.places[slot as usize];
            (place.charged, place.is_lifted) = (charge, true);
        }
        // Between NORMAL and aged bulk nothing is certain, and what is lifted has waited at least as
        // long as what is aged.
        let unsure = matches!(
            (place.turn, to),
            (Turn::Normal, Turn::AgedBulk) | (Turn::AgedBulk, Turn::Normal)
        );
        let to = if unsure { Turn::High } else { to };
        self.shift(slot, to);
        self.note(slot, from, to.priority(), rule);
    }

    fn slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slab.push(Message::default());
            self.places.push(Place {
                next: NONE,
                previous: NONE,
                session_next: NONE,
                session_previous: NONE,
                turn: Turn::Normal,
                charged: Priority::Normal,
                since: TimeNs(0),
                fingerprint: Fingerprint::default(),
                is_refusal: false,
                is_lifted: false,
            });
            (self.slab.len() - 1) as u32
        })
    }

    /// Puts a filled slot at the end of its turn and of its session's messages.
    #[inline]
    fn enter(&mut self, slot: u32, turn: Turn, fingerprint: Fingerprint, now: TimeNs) {
        let head = &self.slab[slot as usize].head;
        let (gateway, connection) =
            (usize::from(head.origin.gateway), head.origin.connection as usize);
        if self.sessions.len() <= gateway {
            self.sessions.resize(gateway + 1, Vec::new());
        }
        let sessions = &mut self.sessions[gateway];
        if sessions.len() <= connection {
            sessions.resize(connection + 1, IDLE);
        }
        let session = &mut sessions[connection];
        let previous = std::mem::replace(&mut session.last, slot);
        if previous == NONE {
            session.first = slot;
        } else {
            self.places[previous as usize].session_next = slot;
        }
        session.turns[turn as usize] += 1;
        session.count += 1;
        self.places[slot as usize] = Place {
            next: NONE,
            previous: NONE,
            session_next: NONE,
            session_previous: previous,
            turn,
            charged: head.priority,
            since: now,
            fingerprint,
            is_refusal: false,
            is_lifted: false,
        };
        self.append(slot, turn);
    }

    fn append(&mut self, slot: u32, turn: Turn) {
        let list = &mut self.turns[turn as usize];
        let previous = std::mem::replace(&mut list.last, slot);
        list.length += 1;
        if previous == NONE {
            list.first = slot;
        } else {
            self.places[previous as usize].next = slot;
        }
        let place = &mut self.places[slot as usize];
        (place.previous, place.next, place.turn) = (previous, NONE, turn);
    }

    fn unlink(&mut self, slot: u32) {
        let Place { next, previous, turn, .. } = self.places[slot as usize];
        let list = &mut self.turns[turn as usize];
        list.length -= 1;
        if previous == NONE {
            list.first = next;
        } else {
            self.places[previous as usize].next = next;
        }
        let list = &mut self.turns[turn as usize];
        if next == NONE {
            list.last = previous;
        } else {
            self.places[next as usize].previous = previous;
        }
    }

    /// Moves a message to the end of another turn.
    fn shift(&mut self, slot: u32, to: Turn) {
        let from = self.places[slot as usize].turn;
        self.unlink(slot);
        self.append(slot, to);
        let origin = self.slab[slot as usize].head.origin;
        let session = &mut self.sessions[usize::from(origin.gateway)][origin.connection as usize];
        session.turns[from as usize] -= 1;
        session.turns[to as usize] += 1;
    }

    /// Takes a message out: its slot is free.
    #[inline]
    fn leave(&mut self, slot: u32) {
        self.unlink(slot);
        let place = self.places[slot as usize];
        let message = &self.slab[slot as usize];
        let origin = message.head.origin;
        let session = &mut self.sessions[usize::from(origin.gateway)][origin.connection as usize];
        session.turns[place.turn as usize] -= 1;
        session.count -= 1;
        let Place { session_next: next, session_previous: previous, .. } = place;
        if previous == NONE {
            session.first = next;
        } else {
            self.places[previous as usize].session_next = next;
        }
        let session = &mut self.sessions[usize::from(origin.gateway)][origin.connection as usize];
        if next == NONE {
            session.last = previous;
        } else {
            self.places[next as usize].session_previous = previous;
        }
        if place.is_refusal {
            self.refusals[place.charged as usize] -= 1;
        } else {
            let queue = place.charged as usize;
            self.messages[queue] -= 1;
            self.large[queue] -= usize::from(message.bytes.is_large());
            self.lifted_to[queue] -= usize::from(place.is_lifted);
        }
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests;
