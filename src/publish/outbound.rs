//! What the critical lane hands to a gateway: answers and fills, each with the sequence that must be
//! released before it may be shown.

use crate::event::{Event, RejectReason};
use crate::message::{Detail, Origin};
use crate::types::{
    AccountId, Epoch, InstrumentId, KeyId, Price, Quantity, Sequence, SessionId, TimeNs,
};
use crate::wire::query::{
    BalanceRow, BookLevel, BookOrder, CollarRow, LimitsRow, OrderRow, PositionLimitRow,
    RestrictedRow,
};

/// One slot of an answers ring.
#[derive(Clone, Copy, Debug)]
pub struct Outbound {
    /// The connection it is for.
    pub to: Origin,
    /// It may leave when this sequence is released.
    pub gate: Sequence,
    /// The client's own sequence number of the message it answers; 0 for none.
    pub client_sequence: u64,
    /// When the message it answers was received, by the gateway's monotonic clock.
    pub received_ns: u64,
    /// What it says.
    pub body: Body,
}

/// What an outbound slot says.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// A result, or what a session is told beside its answers: a maker's fill, a change of an order.
    Event(Event),
    /// The result of a command that an earlier connection of the session sent.
    Inherited(Event),
    /// A trade of the result before.
    Trade {
        /// The event.
        event: Event,
        /// Filled quantity of the incoming order after it, in all.
        filled: Quantity,
    },
    /// The message was refused and got no sequence.
    Refused {
        /// Why.
        reason: RejectReason,
        /// What is told beside the reason.
        detail: Detail,
    },
    /// The message repeats the one with this sequence: its original answer is to be sent again.
    Duplicate(Sequence),
    /// The logon is in the journal: the session begins.
    LoggedOn {
        /// The session.
        session: SessionId,
        /// The key it belongs to.
        key: KeyId,
        /// The last outbound number given so far.
        outbound: u64,
        /// The last one that the client says it has; 0 for from now on.
        last_received: u64,
    },
    /// The logon is in the journal and began no session.
    LogonFailed(RejectReason),
    /// The logout is in the journal: the session is over.
    LoggedOut,
    /// The end of a session whose connection was lost is in the journal, or was none because another
    /// connection had taken the session over; there is nobody to tell.
    Lost,
    /// Another connection has logged on to the session: this one has lost it.
    TakenOver,
    /// The answer went to the connection that has taken the session over.
    Elsewhere,
    /// A row of a query's answer.
    Row(Row),
    /// The end of a query's answer; `more` where it was cut at its bound.
    RowsEnd {
        /// True where more rows exist.
        more: bool,
    },
}

/// A row of a query's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Begins the answer to a book query.
    Book {
        /// The instrument.
        instrument: InstrumentId,
        /// Price of the last trade.
        last_price: Option<Price>,
        /// Rows are orders, not levels.
        orders: bool,
    },
    /// A price level.
    Level(BookLevel),
    /// A resting order, in the order of priority.
    Order(BookOrder),
    /// Begins the answer to an account query.
    Account(AccountId),
    /// A balance of the account.
    Balance(BalanceRow),
    /// An open order of the account.
    OpenOrder(OrderRow),
    /// Begins the answer to a limits query, and says where the next page begins.
    Limits {
        /// After this account.
        after_account: AccountId,
        /// And there after this instrument.
        after_instrument: InstrumentId,
    },
    /// A collar.
    Collar(CollarRow),
    /// What an account's orders may be.
    AccountLimits(LimitsRow),
    /// An instrument that the account before may not trade.
    Restricted(RestrictedRow),
    /// A limited position.
    Position(PositionLimitRow),
}

impl Row {
    /// The level, where the row is one.
    #[must_use]
    pub fn level(&self) -> Option<BookLevel> {
        if let Row::Level(row) = self { Some(*row) } else { None }
    }

    /// The resting order, where the row is one.
    #[must_use]
    pub fn order(&self) -> Option<BookOrder> {
        if let Row::Order(row) = self { Some(*row) } else { None }
    }

    /// The balance, where the row is one.
    #[must_use]
    pub fn balance(&self) -> Option<BalanceRow> {
        if let Row::Balance(row) = self { Some(*row) } else { None }
    }

    /// The collar, where the row is one.
    #[must_use]
    pub fn collar(&self) -> Option<CollarRow> {
        if let Row::Collar(row) = self { Some(*row) } else { None }
    }

    /// The account's limits, where the row is that.
    #[must_use]
    pub fn limits(&self) -> Option<LimitsRow> {
        if let Row::AccountLimits(row) = self { Some(*row) } else { None }
    }

    /// The restricted instrument, where the row is one.
    #[must_use]
    pub fn restricted(&self) -> Option<RestrictedRow> {
        if let Row::Restricted(row) = self { Some(*row) } else { None }
    }

    /// The limited position, where the row is one.
    #[must_use]
    pub fn position(&self) -> Option<PositionLimitRow> {
        if let Row::Position(row) = self { Some(*row) } else { None }
    }

    /// The open order, where the row is one.
    #[must_use]
    pub fn open_order(&self) -> Option<OrderRow> {
        if let Row::OpenOrder(row) = self { Some(*row) } else { None }
    }
}

impl Default for Outbound {
    fn default() -> Outbound {
        Outbound {
            to: Origin::default(),
            gate: Sequence::NONE,
            client_sequence: 0,
            received_ns: 0,
            body: Body::LoggedOut,
        }
    }
}

/// A slot of the event ring, from the critical lane to the writer of its event log.
#[derive(Clone, Copy, Debug)]
pub enum Derived {
    /// An event.
    Event {
        /// Time of its record.
        time: TimeNs,
        /// The event.
        event: Event,
    },
    /// The journal batch ends here; the events since the last end are one batch of the event log.
    BatchEnd {
        /// Last sequence of the journal batch.
        last: Sequence,
        /// The primary's reign.
        epoch: Epoch,
    },
}

impl Default for Derived {
    fn default() -> Derived {
        Derived::BatchEnd { last: Sequence::NONE, epoch: Epoch(0) }
    }
}

/// A wish for the original answer of a duplicate, for the reader of the event log.
#[derive(Clone, Copy, Debug)]
pub struct AnswerWanted {
    /// Who asked again.
    pub to: Origin,
    /// The client's own number in the repeated message.
    pub client_sequence: u64,
    /// The sequence of the original.
    pub original: Sequence,
}

/// A wish for what a session was sent while its client was away, for the reader of the event log.
#[derive(Clone, Copy, Debug)]
pub struct RestWanted {
    /// The connection that resumes.
    pub to: Origin,
    /// Its session.
    pub session: SessionId,
    /// The last outbound number that it has.
    pub after: u64,
    /// The last one that it is to get: released.
    pub upto: u64,
    /// The sequence at or before which that stands.
    pub by: Sequence,
}

/// What the reader of the event log is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// An original answer.
    Answer(AnswerWanted),
    /// The next piece of a session's messages.
    Rest(RestWanted),
}

/// What was read back from the event log, as frames.
#[derive(Clone, Debug)]
pub struct AnswerFound {
    /// Who asked.
    pub to: Origin,
    /// The frames.
    pub frames: Vec<u8>,
    /// The last outbound number of a piece; `None` for an original answer.
    pub reached: Option<u64>,
}
