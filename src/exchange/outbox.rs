//! Where the exchange puts the events of one command.
//!
//! Invariants: the first event is the result, or the session's change, and stands alone of its
//! kind (a tick has neither); then come the trades in the order they happened, those of the command's own
//! order first, what other sessions are told of trades and changes of their orders in the order they
//! happened, and each balance touched, once, with its final value. Exactly the final event is marked
//! `last`.
//! The vectors are reserved once and reused; only a command with more events than any before it
//! makes them grow.

use super::accounts::Accounts;
use super::sessions::Sessions;
use crate::event::{
    CommandResult, Event, EventBody, MakerFill, OrderUpdate, RejectReason, SessionChange,
    SessionSent, Trade,
};
use crate::limits::ANSWER_FILLS_MAX;
use crate::types::{ClientOrderId, OrderId, Quantity, Sequence, SessionId, Status};

/// Events and notes that fit before the vectors grow.
const EVENTS_RESERVED: usize = 16 * 1024;
/// After a command with more events than this the memory is given back.
const EVENTS_KEPT_MAX: usize = 256 * 1024;

const _: () = assert!(EVENTS_RESERVED <= EVENTS_KEPT_MAX);

/// What a session is told of a trade, beside the trade itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) session: SessionId,
    pub(super) order_id: OrderId,
    pub(super) client_order_id: ClientOrderId,
    pub(super) filled: Quantity,
    pub(super) leaves: Quantity,
}

/// What a session is told beside its own answers.
#[derive(Clone, Copy, Debug)]
enum Note {
    Fill {
        /// Index of the event.
        trade: u32,
        fill: Fill,
    },
    Update(OrderUpdate),
}

/// The events of one command.
#[derive(Debug)]
pub struct Outbox {
    sequence: Sequence,
    events: Vec<Event>,
    /// What sessions are told beside their own answers, still without its number.
    notes: Vec<Note>,
    /// Trades of the command's own order, once others may follow.
    own_fills: Option<u32>,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox::new()
    }
}

impl Outbox {
    /// An empty outbox, to be used for all commands.
    #[must_use]
    pub fn new() -> Outbox {
        Outbox {
            sequence: Sequence::NONE,
            events: Vec::with_capacity(EVENTS_RESERVED),
            notes: Vec::with_capacity(EVENTS_RESERVED),
            own_fills: None,
        }
    }

    /// The events of the last command.
    #[must_use]
    #[inline]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The result of the last command; `None` where it was a session's logon or logout.
    #[must_use]
    #[inline]
    pub fn result(&self) -> Option<&CommandResult> {
        match &self.events.first()?.body {
            EventBody::Result(result) => Some(result),
            _ => None,
        }
    }

    /// Forgets the events: the next command has none, or its own.
    pub fn clear(&mut self) {
        self.events.clear();
        self.notes.clear();
        self.own_fills = None;
    }

    fn start(&mut self, sequence: Sequence) {
        self.sequence = sequence;
        self.clear();
        if self.events.capacity() > EVENTS_KEPT_MAX {
            self.events.shrink_to(EVENTS_RESERVED);
            self.notes.shrink_to(EVENTS_RESERVED);
        }
    }

    /// Begins a command. Its result is known last and stands first: this keeps its place.
    #[inline]
    pub(super) fn begin(&mut self, sequence: Sequence, result: CommandResult) {
        self.start(sequence);
        self.push(EventBody::Result(result));
    }

    #[inline]
    fn push(&mut self, body: EventBody) {
        let index = self.events.len() as u32;
        self.events.push(Event { sequence: self.sequence, index, last: false, body });
    }

    /// Notes a trade.
    #[inline]
    pub(super) fn trade(&mut self, trade: Trade) {
        self.push(EventBody::Trade(trade));
    }

    /// Notes what a session is told of the trade just noted.
    #[inline]
    pub(super) fn fill(&mut self, fill: Fill) {
        self.notes.push(Note::Fill { trade: self.events.len() as u32 - 1, fill });
    }

    /// Notes a change of an order.
    pub(super) fn update(&mut self, update: OrderUpdate) {
        self.notes.push(Note::Update(update));
    }

    /// The command's own order has done its trades: those that follow are of stops it triggered.
    pub(super) fn end_own_fills(&mut self) {
        self.own_fills.get_or_insert(self.events.len() as u32 - 1);
    }

    /// Begins a record that has no result.
    pub(super) fn begin_quiet(&mut self, sequence: Sequence) {
        self.start(sequence);
    }

    /// Ends a record that has no result: numbers what sessions will be sent, and adds the balances
    /// touched.
    pub(super) fn finish_quiet(&mut self, sessions: &mut Sessions, accounts: &Accounts) {
        self.add_notes(sessions);
        self.add_balances(accounts);
        if let Some(last) = self.events.last_mut() {
            last.last = true;
        }
    }

    /// Ends a command: numbers what its session and the makers' sessions will be sent, and adds
    /// the balances touched.
    #[inline]
    pub(super) fn finish(
        &mut self,
        judged: &Result<Outcome, RejectReason>,
        sessions: &mut Sessions,
        accounts: &Accounts,
    ) {
        let fill_count = self.own_fills.unwrap_or(self.events.len() as u32 - 1);
        let EventBody::Result(result) = &mut self.events[0].body else {
            panic!("a command's first event is its result");
        };
        match judged {
            Ok(outcome) => outcome.tell(result),
            Err(reason) => Outcome::refused(*reason).tell(result),
        }
        result.fill_count = fill_count;
        sessions.hear(result.session, result.client_sequence);
        let further_fills = fill_count.saturating_sub(ANSWER_FILLS_MAX as u32);
        result.outbound = sessions.give(result.session, 1 + u64::from(further_fills));
        self.add_notes(sessions);
        self.add_balances(accounts);
        self.mark_last();
    }

    #[inline]
    fn add_notes(&mut self, sessions: &mut Sessions) {
        for at in 0..self.notes.len() {
            match &self.notes[at] {
                Note::Fill { trade, fill } => {
                    let outbound = sessions.give(fill.session, 1);
                    self.push(EventBody::MakerFill(self.maker_fill(*trade, fill, outbound)));
                }
                Note::Update(update) => {
                    let outbound = sessions.give(update.session, 1);
                    self.push(EventBody::Update(OrderUpdate { outbound, ..*update }));
                }
            }
        }
    }

    /// What a session is told of a trade.
    #[inline]
    fn maker_fill(&self, trade: u32, fill: &Fill, outbound: u64) -> MakerFill {
        let Fill { session, order_id, client_order_id, filled, leaves } = *fill;
        let EventBody::Trade(trade) = &self.events[trade as usize].body else {
            panic!("a fill is noted of a trade");
        };
        let Trade { instrument, price, quantity, .. } = *trade;
        MakerFill {
            session,
            instrument,
            outbound,
            order_id,
            client_order_id,
            price,
            quantity,
            filled,
            leaves,
        }
    }

    #[inline]
    fn add_balances(&mut self, accounts: &Accounts) {
        for &cell in accounts.touched() {
            self.push(EventBody::Balance(accounts.balance(cell)));
        }
    }

    /// Tells a session's begin or end, the first event of its record.
    pub(super) fn session(&mut self, change: SessionChange) {
        debug_assert!(self.events.is_empty());
        self.push(EventBody::Session(change));
    }

    /// Says which number the message of the session's end has, once that is known.
    pub(super) fn set_session_outbound(&mut self, outbound: u64) {
        let Some(Event { body: EventBody::Session(change), .. }) = self.events.first_mut() else {
            panic!("the record of a session's end begins with that");
        };
        change.outbound = outbound;
    }

    /// Tells a message of a session's protocol, the first event of its record.
    pub(super) fn sent(&mut self, sent: SessionSent) {
        debug_assert!(self.events.is_empty());
        self.push(EventBody::Sent(sent));
    }

    #[inline]
    fn mark_last(&mut self) {
        self.events.last_mut().expect("every command has a first event").last = true;
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) reason: Option<RejectReason>,
    pub(super) order_id: OrderId,
    pub(super) filled: Quantity,
    pub(super) leaves: Quantity,
}

impl Outcome {
    #[inline(always)]
    fn tell(&self, result: &mut CommandResult) {
        result.status = self.status;
        result.order_id = self.order_id;
        result.filled = self.filled;
        result.leaves = self.leaves;
        result.reason = self.reason;
    }

    /// A command without an order is done.
    pub(super) const DONE: Outcome = Outcome {
        status: Status::Done,
        reason: None,
        order_id: OrderId(0),
        filled: Quantity(0),
        leaves: Quantity(0),
    };

    /// A command is refused before it is known to concern a live order.
    #[inline]
    pub(super) const fn refused(reason: RejectReason) -> Outcome {
        Outcome { status: Status::Rejected, reason: Some(reason), ..Outcome::DONE }
    }

    /// A change of a live order is refused: it stays as it is.
    pub(super) const fn stays(
        reason: RejectReason,
        order: u64,
        filled: i64,
        leaves: i64,
    ) -> Outcome {
        let (filled, leaves) = (Quantity(filled), Quantity(leaves));
        Outcome { order_id: OrderId(order), filled, leaves, ..Outcome::refused(reason) }
    }

    /// An order is filled, or rests.
    #[inline]
    pub(super) const fn live(order: u64, filled: i64, leaves: i64) -> Outcome {
        let status = match (filled, leaves) {
            (_, 0) => Status::FullyFilled,
            (0, _) => Status::Pending,
            _ => Status::PartialFilled,
        };
        let (filled, leaves) = (Quantity(filled), Quantity(leaves));
        Outcome { status, reason: None, order_id: OrderId(order), filled, leaves }
    }

    /// What was left of an order is cancelled instead of trading with its owner.
    #[inline]
    pub(super) const fn self_trade(order: u64, filled: i64) -> Outcome {
        let reason = Some(RejectReason::SelfTradePrevented);
        Outcome { reason, ..Outcome::canceled(order, filled) }
    }

    /// What was left of an order is cancelled.
    #[inline]
    pub(super) const fn canceled(order: u64, filled: i64) -> Outcome {
        let status = if filled == 0 { Status::FullyCanceled } else { Status::PartialCanceled };
        let (filled, leaves) = (Quantity(filled), Quantity(0));
        Outcome { status, reason: None, order_id: OrderId(order), filled, leaves }
    }
}
