//! What a session was sent while its client was away, read back from the event log in pieces.
//!
//! A client that logs on with the number it last received gets every numbered message after it. The
//! gateway asks for a piece whenever the client has taken the one before, so that nobody who is far
//! behind makes the node hold more than a piece for him, or wait.
//!
//! Invariants: numbers are handed out in order, each once, and none above what was asked for, which
//! is released; numbers whose part of the log was retired are told by a notice in their place, never
//! left out in silence; a turn looks at a bounded number of events.

use super::outbound::RestWanted;
use crate::event::{CommandResult, Event, EventBody};
use crate::journal::event_log::EventFollower;
use crate::journal::reader::ReadError;
use crate::journal::segment::LogDir;
use crate::journal::view::Verify;
use crate::limits::ANSWER_FILLS_MAX;
use crate::message::Origin;
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{Quantity, Sequence, SessionId};
use crate::wire::answer::{Fill, OrderUpdate, send_answer};
use crate::wire::message::{Notice, send};
use std::collections::VecDeque;

/// Bytes after which a piece ends.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Events looked at in one turn.
const SCAN_MAX: usize = 16 * 1024;
/// Clients that are read for at a time, in turn; further ones wait for one of them to get his piece.
pub(super) const READ_MAX: usize = 64;
/// Places in the log: of those, which nobody may take away, and of clients that are likely to ask on.
const PLACES_MAX: usize = 2 * READ_MAX;
/// Marks of all sessions; where they are more every other one is given up.
const MARKS_MAX: usize = 1 << 20;
/// Numbers between two marks of a session, before any were given up.
const STRIDE: u64 = 256;

/// A number of a session and the command whose events begin to hold it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    number: u64,
    sequence: Sequence,
}

/// Where the outbound numbers of each session stand in the event log, roughly: every 256th has a mark.
#[derive(Debug)]
pub struct Numbers {
    sessions: Vec<Vec<Mark>>,
    stride: u64,
    count: usize,
    count_max: usize,
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers { sessions: Vec::new(), stride: STRIDE, count: 0, count_max: MARKS_MAX }
    }
}

/// The session that is told of an event, and the number that it has there.
fn number_of(event: &Event) -> Option<(SessionId, u64)> {
    let (session, number) = match &event.body {
        EventBody::Result(result) => (result.session, result.outbound),
        EventBody::MakerFill(fill) => (fill.session, fill.outbound),
        EventBody::Update(update) => (update.session, update.outbound),
        EventBody::Sent(sent) => (sent.session, sent.outbound),
        EventBody::Trade(_) | EventBody::Balance(_) | EventBody::Session(_) => return None,
    };
    (number > 0).then_some((session, number))
}

impl Numbers {
    /// Takes notice of an event; events come in order.
    #[inline]
    pub fn note(&mut self, event: &Event) {
        let Some((session, number)) = number_of(event) else { return };
        let index = session.0 as usize;
        if self.sessions.len() <= index {
            self.sessions.resize_with(index + 1, Vec::new);
        }
        let marks = &mut self.sessions[index];
        if marks.last().is_some_and(|last| number < last.number + self.stride) {
            return;
        }
        marks.push(Mark { number, sequence: event.sequence });
        self.count += 1;
        if self.count > self.count_max {
            self.thin_out();
        }
    }

    /// Packs the marks of all sessions that have one.
    pub fn pack(&self, pack: &mut Pack) {
        // How many there are is counted again; their bound follows from the number of sessions.
        let Numbers { sessions, stride, count: _, count_max: _ } = self;
        pack.u64(*stride);
        let told = || (0u32..).zip(sessions).filter(|(_, marks)| !marks.is_empty());
        pack.count(told().count());
        for (session, marks) in told() {
            pack.u32(session);
            pack.count(marks.len());
            for Mark { number, sequence } in marks {
                pack.u64(*number);
                pack.u64(sequence.0);
            }
        }
    }

    /// Reads what was packed; no mark is of a command behind `last`, or of a session above
    /// `sessions_max`.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn unpack(
        unpack: &mut Unpack<'_>,
        last: Sequence,
        sessions_max: usize,
    ) -> Result<Numbers, Unfit> {
        let stride = unpack.u64()?;
        let possible = stride.is_power_of_two() && (STRIDE..1 << 32).contains(&stride);
        ensure(possible, "the distance of two marks cannot be")?;
        let mut numbers = Numbers { stride, ..Numbers::default() };
        for _ in 0..unpack.count(12)? {
            let session = unpack.u32()? as usize;
            let in_order = session >= numbers.sessions.len() && session <= sessions_max;
            ensure(in_order, "marks are not in the order of sessions")?;
            let count = unpack.count(16)?;
            ensure(count > 0, "a session without a mark is noted")?;
            let mut marks: Vec<Mark> = Vec::with_capacity(count);
            for _ in 0..count {
                let mark = Mark { number: unpack.u64()?, sequence: Sequence(unpack.u64()?) };
                let in_order = marks.last().is_none_or(|before| {
                    before.number < mark.number && before.sequence <= mark.sequence
                });
                ensure(in_order, "marks are not in order")?;
                let possible = (1..1 << 62).contains(&mark.number) && mark.sequence <= last;
                ensure(possible, "a mark cannot be")?;
                marks.push(mark);
            }
            numbers.count += count;
            numbers.sessions.resize_with(session, Vec::new);
            numbers.sessions.push(marks);
        }
        ensure(numbers.count <= MARKS_MAX, "there are too many marks")?;
        Ok(numbers)
    }

    fn thin_out(&mut self) {
        self.stride *= 2;
        let stride = self.stride;
        self.count = 0;
        for marks in &mut self.sessions {
            let mut next = 0;
            marks.retain(|mark| {
                let keep = mark.number >= next;
                next = if keep { mark.number + stride } else { next };
                keep
            });
            self.count += marks.len();
        }
        // Sessions with a mark each cannot be thinned out further: there are not that many.
        self.count_max = self.count_max.max(2 * self.sessions.len());
    }

    /// A sequence at or before the one whose events hold this number; `None` for a session that was
    /// sent nothing.
    #[must_use]
    pub fn before(&self, session: SessionId, number: u64) -> Option<Sequence> {
        let marks = self.sessions.get(session.0 as usize)?;
        let at = marks.partition_point(|mark| mark.number <= number);
        Some(marks.get(at.checked_sub(1)?)?.sequence)
    }
}

/// What a turn for one wish came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A piece ends here: the last number in it.
    Piece(u64),
    /// The log was looked at, and there is more to look at.
    Looked,
    /// The log is not written further.
    Waits,
}

/// A place in the event log, on behalf of one connection.
struct Place {
    to: Origin,
    /// Its client waits for a piece: were it given up, the search for it would begin anew.
    awaited: bool,
    follower: EventFollower,
    /// Events of the command in hand that concern the session, and how many are handed out.
    command: Vec<Event>,
    at: usize,
    /// The command in hand is the session's own, and more of its events may come.
    own: bool,
    /// Trades of the command's own order, which stand right behind its result; those of stops that it
    /// triggered stand behind them.
    fill_count: u32,
    /// Its trades handed out, and what is filled after them.
    trades: usize,
    filled: i64,
    /// The last number handed out.
    reached: u64,
    /// A part of the log was retired before it was read: the next numbers may be gone.
    is_cut: bool,
}

impl Place {
    fn new(wish: &RestWanted, from: Sequence, log: LogDir) -> Place {
        Place {
            to: wish.to,
            awaited: true,
            follower: EventFollower::new(log, from, Verify::Crc),
            command: Vec::new(),
            at: 0,
            own: false,
            fill_count: 0,
            trades: 0,
            filled: 0,
            reached: wish.after,
            is_cut: false,
        }
    }

    /// Goes on where the log begins now: it was retired up to there.
    fn begin_again(&mut self, first: Sequence, log: LogDir) {
        self.follower = EventFollower::new(log, first, Verify::Crc);
        self.command.clear();
        (self.at, self.trades, self.own) = (0, 0, false);
        self.is_cut = true;
    }

    /// The next number there is stands before the reader: those before it are gone, where the log was
    /// cut, and are told.
    fn meet(&mut self, next: u64, upto: u64, out: &mut Vec<u8>) {
        let last = upto.min(next - 1);
        if !std::mem::take(&mut self.is_cut) || last <= self.reached {
            return;
        }
        let first = self.reached + 1;
        let text = format!("outbound numbers {first} to {last} are not kept any more");
        Notice { kind: Notice::GONE, text: &text }.send(out);
        self.reached = last;
    }

    /// Goes on until a piece is full, the last number wanted is reached, or the turn is over.
    fn go_on(
        &mut self,
        wish: &RestWanted,
        written: Sequence,
        out: &mut Vec<u8>,
    ) -> Result<Turn, ReadError> {
        for _ in 0..SCAN_MAX {
            if self.hand_out(wish.upto, out) {
                return Ok(Turn::Piece(self.reached));
            }
            let Some(event) = self.follower.next_event(written)? else {
                if self.is_cut && written >= wish.by {
                    self.meet(u64::MAX, wish.upto, out);
                    return Ok(Turn::Piece(self.reached));
                }
                return Ok(if out.is_empty() { Turn::Waits } else { Turn::Piece(self.reached) });
            };
            if event.index == 0 {
                self.command.clear();
                (self.at, self.trades, self.own) = (0, 0, false);
            }
            match &event.body {
                EventBody::Result(result) => {
                    self.own = result.session == wish.session;
                    self.fill_count = result.fill_count;
                    if self.own {
                        self.command.push(event);
                    }
                }
                EventBody::Trade(_) if self.own && event.index <= self.fill_count => {
                    self.command.push(event);
                }
                EventBody::MakerFill(fill) if fill.session == wish.session => {
                    self.command.push(event);
                }
                EventBody::Update(update) if update.session == wish.session => {
                    self.command.push(event);
                }
                _ => {}
            }
            if !event.last {
                // Handed out when the command is whole: its answer tells of all its trades.
                continue;
            }
            if let Some(Event { body: EventBody::Result(result), .. }) = self.command.first() {
                let traded: i64 = self.command.iter().map(traded).sum();
                self.filled = result.filled.0 - traded;
            }
            self.at = 0;
            self.own = false;
        }
        Ok(if out.is_empty() { Turn::Looked } else { Turn::Piece(self.reached) })
    }

    /// Hands out what it may of the command in hand. True where the piece ends with that.
    fn hand_out(&mut self, upto: u64, out: &mut Vec<u8>) -> bool {
        // While events are still collected there is nothing to hand out.
        while !self.own && self.at < self.command.len() {
            if self.reached == upto || out.len() >= PIECE_BYTES {
                return true;
            }
            let event = self.command[self.at];
            if let Some((_, next)) = number_of(&event) {
                self.meet(next, upto, out);
            }
            match &event.body {
                EventBody::Result(result) => {
                    if result.outbound > upto {
                        return true;
                    }
                    if result.outbound > self.reached {
                        let trades = self.command.iter().filter_map(|event| match &event.body {
                            EventBody::Trade(trade) => Some(trade),
                            _ => None,
                        });
                        send_answer(event.sequence, result, trades, true, out);
                        self.reached = result.outbound;
                    }
                }
                EventBody::Trade(trade) => {
                    self.trades += 1;
                    self.filled += trade.quantity.0;
                    if self.trades > ANSWER_FILLS_MAX {
                        let result = self.result();
                        let filled = Quantity(self.filled);
                        let fill = Fill::of_taker(&event, trade, &result, self.trades, filled);
                        if fill.outbound > self.reached {
                            send(&fill, 0, out);
                            self.reached = fill.outbound;
                        }
                    }
                }
                EventBody::MakerFill(fill) => {
                    if fill.outbound > upto {
                        return true;
                    }
                    if fill.outbound > self.reached {
                        send(&Fill::of_maker(event.sequence, event.index, fill), 0, out);
                        self.reached = fill.outbound;
                    }
                }
                EventBody::Update(update) => {
                    if update.outbound > upto {
                        return true;
                    }
                    if update.outbound > self.reached {
                        let update = OrderUpdate::of(event.sequence, event.index, update);
                        send(&update, 0, out);
                        self.reached = update.outbound;
                    }
                }
                EventBody::Balance(_) | EventBody::Session(_) | EventBody::Sent(_) => {}
            }
            self.at += 1;
        }
        self.reached == upto
    }

    fn result(&self) -> CommandResult {
        match self.command.first() {
            Some(Event { body: EventBody::Result(result), .. }) => *result,
            _ => unreachable!("only a command's own trades are kept, and behind its result"),
        }
    }
}

fn traded(event: &Event) -> i64 {
    if let EventBody::Trade(trade) = &event.body { trade.quantity.0 } else { 0 }
}

/// Reads pieces for all connections that ask, at most [`READ_MAX`] at a time.
pub(super) struct Rests {
    log: LogDir,
    /// The connection that asked last has the last place.
    places: VecDeque<Place>,
}

impl Rests {
    pub(super) fn new(log: LogDir) -> Rests {
        Rests { log, places: VecDeque::new() }
    }

    /// A turn for one wish: appends frames to `out`, which is empty.
    pub(super) fn turn(
        &mut self,
        wish: &RestWanted,
        numbers: impl FnOnce() -> Option<Sequence>,
        written: Sequence,
        out: &mut Vec<u8>,
    ) -> Result<Turn, ReadError> {
        let same = |place: &Place| place.to == wish.to && place.reached == wish.after;
        let mut place = match self.places.iter().position(same) {
            Some(at) => self.places.remove(at).expect("it was found there"),
            None => {
                let from = numbers().unwrap_or(Sequence(1));
                Place::new(wish, from, self.log.clone())
            }
        };
        let turn = loop {
            match place.go_on(wish, written, out) {
                Err(ReadError::Retired { first, .. }) => place.begin_again(first, self.log.clone()),
                other => break other?,
            }
        };
        // Who has reached what he wanted may want more, but most do not.
        if place.reached < wish.upto {
            place.awaited = !matches!(turn, Turn::Piece(_));
            if self.places.len() == PLACES_MAX {
                let idle = self.places.iter().position(|place| !place.awaited);
                self.places.remove(idle.unwrap_or(0));
            }
            self.places.push_back(place);
        }
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MakerFill;
    use crate::types::{ClientOrderId, InstrumentId, OrderId, Price};

    fn told(session: u32, outbound: u64, sequence: u64) -> Event {
        let body = EventBody::MakerFill(MakerFill {
            session: SessionId(session),
            instrument: InstrumentId(1),
            outbound,
            order_id: OrderId(1),
            client_order_id: ClientOrderId(0),
            price: Price(1),
            quantity: Quantity(1),
            filled: Quantity(1),
            leaves: Quantity(0),
        });
        Event { sequence: Sequence(sequence), index: 1, last: true, body }
    }

    #[test]
    fn a_mark_is_never_behind_its_number_and_at_most_a_stride_before_it() {
        for count_max in [MARKS_MAX, 40] {
            let mut numbers = Numbers { count_max, ..Numbers::default() };
            // Number n of session 1 stands at 10 n, of session 2 at 10 n + 5.
            for number in 1..=50_000 {
                numbers.note(&told(1, number, 10 * number));
                numbers.note(&told(2, number, 10 * number + 5));
            }
            assert!(numbers.count <= count_max);
            for number in [1, 2, 255, 256, 257, 258, 10_000, 50_000] {
                let found = numbers.before(SessionId(2), number).expect("it was sent").0;
                assert!(found <= 10 * number + 5, "{number} is looked for behind {found}");
                assert!(found + 10 * numbers.stride > 10 * number + 5, "{number}: {found}");
            }
        }
        let numbers = Numbers::default();
        assert_eq!(numbers.before(SessionId(1), 1), None);
    }
}
