//! Orders of the naive exchange: what each is, which kinds there are, and what their numbers can be.

use openoutcry::command::{EnterOrder, POST_ONLY, REPRICE, self_trade_asked};
use openoutcry::event::RejectReason::{self, *};
use openoutcry::genesis::Instrument;
use openoutcry::types::OrderType::{Limit, Market, Stop, StopLimit};
use openoutcry::types::TimeInForce::{Fok, Gtd, Ioc};
use openoutcry::types::{OrderId, SelfTrade, SessionId, Side};

pub(crate) type Judged<T = ()> = Result<T, RejectReason>;
/// All of these, or the reason of the first that is not.
pub(crate) fn ensure(checks: &[(bool, RejectReason)]) -> Judged {
    checks.iter().find(|(right, _)| !right).map_or(Ok(()), |(_, reason)| Err(*reason))
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// A stop that waits is live, but not in the book.
    Waits,
    /// In the book, or on its way there.
    Open,
    Ended,
    /// Ended instead of trading with an order of its owner.
    Prevented,
}

/// A live order, or one that comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// As it was entered, with what its price, quantity and time have become.
    pub(crate) asked: EnterOrder,
    pub(crate) id: OrderId,
    pub(crate) session: SessionId,
    pub(crate) self_trade: SelfTrade,
    pub(crate) state: State,
    pub(crate) filled: i64,
    /// What of it the book shows.
    pub(crate) shown: i64,
    /// What is left of its budget.
    pub(crate) budget: i128,
}

impl std::ops::Deref for Order {
    type Target = EnterOrder;
    fn deref(&self) -> &EnterOrder {
        &self.asked
    }
}

impl Order {
    pub(crate) fn leaves(&self) -> i64 {
        self.quantity.0 - self.filled
    }

    /// Whether it can stay when it has done its trades.
    pub(crate) fn stays(&self) -> bool {
        let is_brief = matches!(self.time_in_force, Ioc | Fok) || self.order_type == Stop;
        self.state == State::Waits || !is_brief
    }

    /// Whether its price and quantities are within bounds.
    pub(crate) fn check(&self, it: &Instrument) -> Judged {
        let (prices, quantities) = (1..=it.price_max, it.quantity_min..=it.quantity_max);
        let (quantity, display) = (self.quantity.0, i128::from(self.display_quantity.0));
        let is_stop = matches!(self.order_type, Stop | StopLimit);
        ensure(&[
            (prices.contains(&self.price.0), InvalidPrice),
            (quantities.contains(&quantity), InvalidQuantity),
            (quantity > self.filled, TooLate),
            (!is_stop || prices.contains(&self.stop_price.0), InvalidStop),
            (display == 0 || display > 0 && display * 100 >= quantity.into(), InvalidDisplay),
        ])
    }
}

/// 1 of a buy, -1 of a sell: prices times this are higher where the other side likes them more.
pub(crate) fn sign(side: Side) -> i64 {
    if side == Side::Buy { 1 } else { -1 }
}

/// Whether the table of kinds has such an order, by what a kind can use beside price and quantity.
pub(crate) fn exists(c: &EnterOrder) -> bool {
    let usable = match (c.order_type, c.time_in_force) {
        (Limit | Market, Fok) => "",
        (Limit, Ioc) => "minimum",
        (Limit, _) if c.flags & POST_ONLY != 0 => "post-only reprice display",
        (Limit, _) => "minimum display",
        (Market, Ioc) if c.side == Side::Buy => "minimum budget",
        (Market, Ioc) => "minimum",
        (Market, _) | (_, Ioc | Fok) => return false,
        (Stop, _) => "stop",
        (StopLimit, _) => "stop display",
    };
    let uses = |name: &str, is_used: bool| !is_used || usable.contains(name);
    uses("post-only", c.flags & POST_ONLY != 0)
        && uses("reprice", c.flags & REPRICE != 0)
        && uses("minimum", c.min_quantity.0 != 0)
        && uses("display", c.display_quantity.0 != 0)
        && uses("stop", c.stop_price.0 != 0)
        && uses("budget", c.budget.0 != 0)
        && (c.expires.0 == 0 || c.time_in_force == Gtd)
        && (c.flags >> 5 == 0 && self_trade_asked(c.flags) <= 5)
}
