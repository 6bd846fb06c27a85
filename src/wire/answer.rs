//! Answers to commands, and what no answer carries: further fills, and changes of orders.

use crate::command::PayloadError;
use crate::event::{self, CommandResult, Event, EventBody, MakerFill, Trade};
use crate::limits::{ANSWER_FILLS_MAX, HEADER_SIZE};
use crate::types::{
    ClientOrderId, InstrumentId, OrderChange, OrderId, Price, Quantity, Sequence, Status, TimeNs,
};
use crate::wire::fields::{expect_size, messages};
use crate::wire::frame::FrameWriter;
use crate::wire::header::{EXTENSION_SIZE, Flags};
use crate::wire::message::{ReasonCode, Rows, head, send};
use crate::wire::segments::descriptor_size;
use std::ops::Range;

/// [`Fill::role`] of the incoming order.
pub const ROLE_TAKER: u8 = 1;
/// [`Fill::role`] of an order that rested, or of a stop that was triggered.
pub const ROLE_MAKER: u8 = 2;

messages! {
    /// Layouts of answers, fills and changes of orders.
    LAYOUTS:
    /// What became of a command; `min(fill_count, 16)` rows of [`AnswerFill`] follow.
    Answer = 130, "answer" {
        /// The command's place in the one order.
        sequence: Sequence,
        /// Number of the answer among the session's outbound messages.
        outbound: u64,
        /// The order it concerns, or 0.
        order_id: OrderId,
        /// Filled quantity of the order, in all.
        filled: Quantity,
        /// Open quantity of the order.
        leaves: Quantity,
        /// Time of the record.
        time: TimeNs,
        /// What became of it.
        status: Status,
        /// Why it was refused; 0 where it was not.
        reason: ReasonCode,
        /// Trades of this command; what is beyond 16 follows as [`Fill`] messages.
        fill_count: u32,
    }
    /// A trade, as one of the two orders is told of it.
    Fill = 131, "fill" {
        /// The command that traded.
        sequence: Sequence,
        /// The event's place among the command's events.
        index: u32,
        /// Number among the session's outbound messages.
        outbound: u64,
        /// The order.
        order_id: OrderId,
        /// The client's number for it.
        client_order_id: ClientOrderId,
        /// What is traded.
        instrument: InstrumentId,
        /// Price of this fill.
        price: Price,
        /// Quantity of this fill.
        quantity: Quantity,
        /// Filled quantity of the order, in all.
        filled: Quantity,
        /// Open quantity of the order.
        leaves: Quantity,
        /// 1 for the incoming order (a fill that its answer had no room for), 2 for one that
        /// rested and for a stop that was triggered.
        role: u8,
        /// The command gives this order no further fill; always so with role 2.
        last: bool,
    }
    /// A change of an order that is neither a fill nor the answer to a command for it, as the session
    /// that entered it is told; or, with the change mass-cancel-done, what the sender of a mass cancel
    /// is told at its end.
    OrderUpdate = 142, "order-update" {
        /// The record that changed it.
        sequence: Sequence,
        /// The event's place among the record's events.
        index: u32,
        /// Number among the session's outbound messages.
        outbound: u64,
        /// The order; of a mass cancel that is done its command.
        order_id: OrderId,
        /// The client's number for it.
        client_order_id: ClientOrderId,
        /// What is traded; 0 for none.
        instrument: InstrumentId,
        /// What happened.
        change: OrderChange,
        /// Its limit price now.
        price: Price,
        /// Its whole quantity now; of a mass cancel that is done how many orders it cancelled.
        quantity: Quantity,
        /// Filled quantity of the order, in all.
        filled: Quantity,
        /// Open quantity of the order; 0 where it has ended.
        leaves: Quantity,
    }
}

messages! {
    /// Layout of a row in an answer.
    FILL_ROWS:
    /// A trade of the incoming order.
    AnswerFill = 130, "answer: fill" {
        /// The maker's price.
        price: Price,
        /// Quantity traded.
        quantity: Quantity,
    }
}

// An answer without fills is hashed in two blocks of 64 bytes, the hash's own nine included.
const _: () =
    assert!(HEADER_SIZE + EXTENSION_SIZE + descriptor_size(2) + Answer::SIZE + 8 <= 2 * 64 - 9);

/// An answer with its fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerView<'a> {
    /// What became of the command.
    pub answer: Answer,
    /// Its first fills.
    pub fills: Rows<'a, AnswerFill>,
}

impl<'a> AnswerView<'a> {
    /// Reads an answer.
    #[inline]
    pub(crate) fn decode(payload: &'a [u8]) -> Result<AnswerView<'a>, PayloadError> {
        let (answer, tail) = Answer::decode_head(payload)?;
        let fills = (answer.fill_count as usize).min(ANSWER_FILLS_MAX);
        expect_size(Answer::SCHEMA, payload, Answer::SIZE + fills * AnswerFill::SIZE)?;
        Ok(AnswerView { answer, fills: Rows::parse(tail)? })
    }
}

impl Answer {
    /// The answer that tells a command's result.
    #[must_use]
    #[inline]
    pub fn of(sequence: Sequence, result: &CommandResult) -> Answer {
        Answer {
            sequence,
            outbound: result.outbound,
            order_id: result.order_id,
            filled: result.filled,
            leaves: result.leaves,
            time: result.time,
            status: result.status,
            reason: result.reason.into(),
            fill_count: result.fill_count,
        }
    }
}

/// Appends the frame that answers a command, and gives its place.
///
/// `trades` are the command's trades in order; the first 16 are taken. `again` marks an answer
/// that was given before: to a duplicate, or on a resumed session.
///
/// # Panics
/// If there are fewer trades than the result counts (up to 16).
#[inline]
pub fn send_answer<'t>(
    sequence: Sequence,
    result: &CommandResult,
    trades: impl IntoIterator<Item = &'t Trade>,
    again: bool,
    out: &mut Vec<u8>,
) -> Range<usize> {
    write_answer(sequence, result, trades, again, out).seal()
}

/// As [`send_answer`], a frame that is still to be sealed.
///
/// # Panics
/// As [`send_answer`].
#[inline]
pub fn write_answer<'t, 'o>(
    sequence: Sequence,
    result: &CommandResult,
    trades: impl IntoIterator<Item = &'t Trade>,
    again: bool,
    out: &'o mut Vec<u8>,
) -> FrameWriter<'o> {
    let mut head = head(Answer::SCHEMA, result.client_sequence);
    if again {
        head.flags = head.flags.with(Flags::POSSIBLE_DUPLICATE);
    }
    let mut writer = FrameWriter::begin(out, head);
    let payload = writer.payload();
    let start = payload.len();
    Answer::of(sequence, result).encode(payload);
    let count = (result.fill_count as usize).min(ANSWER_FILLS_MAX);
    if count > 0 {
        for trade in trades.into_iter().take(count) {
            AnswerFill { price: trade.price, quantity: trade.quantity }.encode(payload);
        }
    }
    let expected = Answer::SIZE + count * AnswerFill::SIZE;
    assert_eq!(payload.len() - start, expected, "an answer has the fills that it counts");
    writer
}

impl Fill {
    /// The `count`th fill of a command, from 1, for which its answer had no room. `filled` is the
    /// order's filled quantity after it.
    #[must_use]
    pub fn of_taker(
        event: &Event,
        trade: &Trade,
        result: &CommandResult,
        count: usize,
        filled: Quantity,
    ) -> Fill {
        Fill {
            sequence: event.sequence,
            index: event.index,
            outbound: result.outbound + (count - ANSWER_FILLS_MAX) as u64,
            order_id: trade.taker_order,
            client_order_id: ClientOrderId(0),
            instrument: trade.instrument,
            price: trade.price,
            quantity: trade.quantity,
            filled,
            // What later fills of the command take, and what is open at its end.
            leaves: Quantity(result.filled.0 - filled.0 + result.leaves.0),
            role: ROLE_TAKER,
            last: count == result.fill_count as usize,
        }
    }

    /// The fill that tells a session of an order of its own that rested, or of its stop that was
    /// triggered.
    #[must_use]
    #[inline]
    pub fn of_maker(sequence: Sequence, index: u32, fill: &MakerFill) -> Fill {
        Fill {
            sequence,
            index,
            outbound: fill.outbound,
            order_id: fill.order_id,
            client_order_id: fill.client_order_id,
            instrument: fill.instrument,
            price: fill.price,
            quantity: fill.quantity,
            filled: fill.filled,
            leaves: fill.leaves,
            role: ROLE_MAKER,
            last: true,
        }
    }
}

impl OrderUpdate {
    /// What tells a session of a change of an order of its own.
    #[must_use]
    #[inline]
    pub fn of(sequence: Sequence, index: u32, update: &event::OrderUpdate) -> OrderUpdate {
        OrderUpdate {
            sequence,
            index,
            outbound: update.outbound,
            order_id: update.order_id,
            client_order_id: update.client_order_id,
            instrument: update.instrument,
            change: update.change,
            price: update.price,
            quantity: update.quantity,
            filled: update.filled,
            leaves: update.leaves,
        }
    }
}

/// Frames of an answer that was given before, for a duplicate: from the events of its command.
#[must_use]
pub fn original_answer(events: &[Event], client_sequence: u64) -> Vec<u8> {
    let mut frames = Vec::new();
    let Some((sequence, result)) = events.iter().find_map(|event| match &event.body {
        EventBody::Result(result) => Some((event.sequence, *result)),
        _ => None,
    }) else {
        return frames;
    };
    let trades: Vec<(&Event, Trade)> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Trade(trade) => Some((event, *trade)),
            _ => None,
        })
        // Trades of stops that it triggered stand behind its own.
        .take(result.fill_count as usize)
        .collect();
    let echoed = CommandResult { client_sequence, ..result };
    send_answer(sequence, &echoed, trades.iter().map(|(_, trade)| trade), true, &mut frames);
    let traded: i64 = trades.iter().map(|(_, trade)| trade.quantity.0).sum();
    let mut filled = result.filled.0 - traded;
    for (count, (event, trade)) in (1..).zip(&trades) {
        filled += trade.quantity.0;
        if count > ANSWER_FILLS_MAX {
            let fill = Fill::of_taker(event, trade, &result, count, Quantity(filled));
            send(&fill, 0, &mut frames);
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RejectReason;
    use crate::types::{AccountId, SessionId, Side};
    use crate::wire::message::{ServerMessage, send};
    use crate::wire::{Frame, OpenLimits, frame_length};

    fn result(fill_count: u32) -> CommandResult {
        CommandResult {
            status: Status::PartialFilled,
            reason: None,
            session: SessionId(1),
            fill_count,
            outbound: 3,
            client_sequence: 4,
            order_id: OrderId(5),
            filled: Quantity(6),
            leaves: Quantity(7),
            time: TimeNs(8),
            account: AccountId(9),
        }
    }

    fn trade(price: i64) -> Trade {
        Trade {
            instrument: InstrumentId(1),
            taker_side: Side::Sell,
            maker_order: OrderId(2),
            taker_order: OrderId(3),
            maker_account: AccountId(4),
            taker_account: AccountId(5),
            price: Price(price),
            quantity: Quantity(price * 10),
            maker_leaves: Quantity(8),
        }
    }

    #[test]
    fn an_answer_tells_the_result_and_its_first_sixteen_fills() {
        for count in [0, 1, 16, 17, 40] {
            let trades: Vec<Trade> = (1..=i64::from(count)).map(trade).collect();
            let mut out = Vec::new();
            let at = send_answer(Sequence(11), &result(count), &trades, count == 1, &mut out);
            let frame = Frame::open(&out[at], &OpenLimits::default()).expect("just sealed");
            assert_eq!(frame.client_sequence(), 4);
            assert_eq!(frame.header().flags.has(Flags::POSSIBLE_DUPLICATE), count == 1);
            let ServerMessage::Answer(view) = ServerMessage::decode(&frame).expect("an answer")
            else {
                panic!("not an answer");
            };
            assert_eq!(view.answer, Answer::of(Sequence(11), &result(count)));
            assert_eq!(view.fills.len(), (count as usize).min(16));
            for (fill, trade) in view.fills.iter().zip(&trades) {
                assert_eq!((fill.price, fill.quantity), (trade.price, trade.quantity));
            }
        }
    }

    #[test]
    fn an_answer_without_fills_is_hashed_in_two_blocks() {
        let mut out = Vec::new();
        let at = send_answer(Sequence(1), &result(0), [], false, &mut out);
        assert!(at.len() - 32 <= 119, "{} bytes are hashed", at.len() - 32);
    }

    #[test]
    fn a_refusal_carries_its_reason_and_an_unknown_one_survives_as_a_number() {
        let reason = Some(RejectReason::InsufficientFunds);
        let refused = CommandResult { reason, status: Status::Rejected, ..result(0) };
        let answer = Answer::of(Sequence(1), &refused);
        assert_eq!(answer.reason.reason(), reason);
        let mut payload = Vec::new();
        Answer { reason: ReasonCode(999), ..answer }.encode(&mut payload);
        let back = AnswerView::decode(&payload).expect("an answer").answer;
        assert_eq!((back.reason, back.reason.reason()), (ReasonCode(999), None));
        assert_eq!(back.reason.to_string(), "reason 999");
    }

    #[test]
    fn an_answer_with_fewer_or_more_fills_than_it_counts_is_refused() {
        for (count, rows) in [(0, 1), (1, 0), (17, 17), (2, 1)] {
            let mut payload = Vec::new();
            Answer::of(Sequence(1), &result(count)).encode(&mut payload);
            payload.extend(std::iter::repeat_n(0, rows * AnswerFill::SIZE));
            assert!(AnswerView::decode(&payload).is_err(), "{count} counted, {rows} there");
        }
    }

    #[test]
    fn a_duplicate_is_told_the_trades_of_its_own_order_alone() {
        for own in [0, 1, 17] {
            let mut events = vec![Event {
                sequence: Sequence(11),
                index: 0,
                last: false,
                body: EventBody::Result(result(own)),
            }];
            // Two trades of a stop stand behind those of the command.
            for index in 1..=own + 2 {
                let body = EventBody::Trade(trade(i64::from(index)));
                events.push(Event { sequence: Sequence(11), index, last: index == own + 2, body });
            }
            let frames = original_answer(&events, 77);
            let (mut at, mut fills) = (0, Vec::new());
            while let Some(length) = frame_length(&frames[at..], 4096).expect("frames") {
                let frame = Frame::open(&frames[at..at + length], &OpenLimits::default());
                let frame = frame.expect("just sealed");
                match ServerMessage::decode(&frame).expect("a message") {
                    ServerMessage::Answer(view) => {
                        assert_eq!((view.answer.fill_count, at), (own, 0));
                        fills.extend(view.fills.iter().map(|fill| fill.price.0));
                    }
                    ServerMessage::Fill(fill) => fills.push(fill.price.0),
                    other => panic!("{other:?}"),
                }
                at += length;
            }
            assert_eq!(at, frames.len());
            assert_eq!(fills, (1..=i64::from(own)).collect::<Vec<_>>(), "{own} of its own");
        }
    }

    #[test]
    fn a_session_is_told_of_every_change_of_an_order() {
        for &change in OrderChange::ALL {
            let update = event::OrderUpdate {
                change,
                session: SessionId(1),
                instrument: InstrumentId(2),
                outbound: 3,
                order_id: OrderId(4),
                client_order_id: ClientOrderId(5),
                price: Price(6),
                quantity: Quantity(7),
                filled: Quantity(8),
                leaves: Quantity(9),
            };
            let message = OrderUpdate::of(Sequence(10), 2, &update);
            let mut out = Vec::new();
            let at = send(&message, 0, &mut out);
            let frame = Frame::open(&out[at], &OpenLimits::default()).expect("just sealed");
            assert_eq!(ServerMessage::decode(&frame), Ok(ServerMessage::OrderUpdate(message)));
        }
    }

    #[test]
    fn a_maker_is_told_of_its_fill() {
        let maker = MakerFill {
            session: SessionId(1),
            instrument: InstrumentId(2),
            outbound: 3,
            order_id: OrderId(4),
            client_order_id: ClientOrderId(5),
            price: Price(6),
            quantity: Quantity(7),
            filled: Quantity(8),
            leaves: Quantity(9),
        };
        let fill = Fill::of_maker(Sequence(10), 2, &maker);
        assert_eq!((fill.role, fill.last, fill.index), (ROLE_MAKER, true, 2));
        let mut out = Vec::new();
        let at = send(&fill, 0, &mut out);
        let frame = Frame::open(&out[at], &OpenLimits::default()).expect("just sealed");
        assert_eq!(ServerMessage::decode(&frame), Ok(ServerMessage::Fill(fill)));
    }
}
