//! Stops: orders that wait until the last price reaches their own.
//!
//! They wait in queues of their own, one for each stop price, found the way a book finds its levels; the
//! next one to come is at hand. What a trade makes due comes into the market when the order that traded
//! is done, one after another: a loop, however long the chain.
//!
//! Invariants:
//! - A waiting buy stop is above the last price and a waiting sell stop below it, once a command is done;
//!   before the first trade they are anywhere.
//! - What waits holds what it will need, so that nothing can fail when it comes.

use super::Exchange;
use super::book::Book;
use super::clearing::{Taker, Told, update_of};
use super::level::Levels;
use super::order::Orders;
use super::outbox::Outbox;
use crate::limits::STOPS_MAX;
use crate::types::{InstrumentId, OrderChange, OrderId, Price, Side, TimeNs};

/// The waiting stops of one instrument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stops {
    /// Each stands in a book as what it is not, so that the next one to come is the best: a buy stop on
    /// the side of sells, lowest first; a sell stop on the side of buys, highest first.
    by_side: [Book; 2],
    /// How many there are: a chain of them comes with one record.
    count: usize,
}

/// Prices at which something traded: the lowest and the highest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    low: Price,
    high: Price,
}

impl Reach {
    /// The prices from the first to the last trade of one order: they only rise, or only fall.
    pub(super) fn of(first: Price, last: Price) -> Reach {
        Reach { low: first.min(last), high: first.max(last) }
    }

    fn and(self, other: Reach) -> Reach {
        Reach { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

impl Stops {
    /// None.
    pub(super) const EMPTY: Stops = Stops { by_side: [Book::EMPTY; 2], count: 0 };

    /// Where stops of this side wait: on the other side of this book.
    #[inline]
    pub(super) const fn of(&self, side: Side) -> &Book {
        &self.by_side[side as usize - 1]
    }

    /// True where no further one may wait.
    pub(super) const fn is_full(&self) -> bool {
        self.count == STOPS_MAX
    }

    /// Stops that wait.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Lets an order wait for this price.
    pub(super) fn wait(
        &mut self,
        levels: &mut Levels,
        orders: &mut Orders,
        side: Side,
        stop: Price,
        order: u32,
    ) {
        self.count += 1;
        let book = &mut self.by_side[side as usize - 1];
        book.rest(levels, orders, side.opposite(), stop, order);
    }

    /// Takes an order out that waits.
    pub(super) fn leave(
        &mut self,
        levels: &mut Levels,
        orders: &mut Orders,
        side: Side,
        order: u32,
    ) {
        self.count -= 1;
        self.by_side[side as usize - 1].leave(levels, orders, side.opposite(), order);
    }

    /// The due stop of this side that comes first.
    fn due(&self, levels: &Levels, side: Side, reach: Reach) -> Option<u32> {
        let level = levels.at(self.of(side).side(side.opposite()).best()?);
        let is_due = match side {
            Side::Buy => level.price <= reach.high,
            Side::Sell => level.price >= reach.low,
        };
        is_due.then_some(level.head)
    }

    /// The due stop that comes first: of one side by price, then by age; of both the older one.
    fn next(&self, levels: &Levels, orders: &Orders, reach: Reach) -> Option<u32> {
        let [buy, sell] = [Side::Buy, Side::Sell].map(|side| self.due(levels, side, reach));
        match (buy, sell) {
            (Some(buy), Some(sell)) if orders.hot(sell).id < orders.hot(buy).id => Some(sell),
            (buy, sell) => buy.or(sell),
        }
    }
}

impl Exchange {
    /// True where a stop is due on entry.
    pub(super) fn is_reached(&self, instrument: u32, side: Side, stop: Price) -> bool {
        let last = self.books[instrument as usize].last_price;
        last.0 != 0
            && match side {
                Side::Buy => last >= stop,
                Side::Sell => last <= stop,
            }
    }

    /// Lets stops come that trades have made due, and those that their trades make due.
    #[inline]
    pub(super) fn trigger(&mut self, now: TimeNs, instrument: u32, reach: Reach, out: &mut Outbox) {
        if self.orders.terms_count() > 0 {
            self.cascade(now, instrument, reach, out);
        }
    }

    #[cold]
    fn cascade(&mut self, now: TimeNs, instrument: u32, mut reach: Reach, out: &mut Outbox) {
        out.end_own_fills();
        loop {
            let stops = &self.stops[instrument as usize];
            let Some(order) = stops.next(&self.levels, &self.orders, reach) else { break };
            if let Some(further) = self.come(now, order, out) {
                reach = reach.and(further);
            }
        }
    }

    /// Brings a stop into the market; gives the prices at which it traded.
    fn come(&mut self, now: TimeNs, order: u32, out: &mut Outbox) -> Option<Reach> {
        let terms = self.orders.terms(order);
        if terms.expires != 0 && terms.expires <= now.0 {
            self.end_order(order, OrderChange::Expired, out);
            return None;
        }
        let (hot, cold) = (*self.orders.hot(order), *self.orders.cold(order));
        let (side, price, instrument) = (cold.side(), Price(terms.limit), cold.instrument());
        self.leave_stops(order, instrument, side);
        let leaves = self.orders.leaves(order);
        let triggered =
            update_of(&self.orders, order, price, leaves, leaves, OrderChange::Triggered);
        out.update(triggered);
        let mut terms = terms;
        terms.limit = 0;
        self.orders.set_terms(order, &terms);
        let told = Told { session: cold.session, client: cold.client, quantity: cold.quantity };
        let taker = Taker {
            order: OrderId(hot.id),
            account: hot.account,
            account_id: self.accounts.id(hot.account),
            instrument: InstrumentId(instrument + 1),
            side,
            price,
            leaves,
            budget: 0,
            self_trade: cold.self_trade(),
            told: Some(told),
        };
        let done = self.sweep(now, &taker, out);
        let leaves = done.swept.leaves;
        let quantity = cold.quantity - done.lost;
        self.orders.resize(order, quantity, leaves);
        let ended = match (done.swept.ends, leaves) {
            (true, _) => Some(OrderChange::SelfTrade),
            (false, 0) => None,
            (false, _) if terms.is_market => Some(OrderChange::Unfilled),
            (false, _) if done.lost > 0 => Some(OrderChange::Reduced),
            _ => None,
        };
        if let Some(change) = ended {
            let left = if change == OrderChange::Reduced { leaves } else { 0 };
            out.update(update_of(&self.orders, order, price, leaves, left, change));
        }
        if leaves > 0 && !done.swept.ends && !terms.is_market {
            self.rest(order, side, price, leaves);
        } else {
            if leaves > 0 {
                self.give_back(hot.account, instrument, side, price, leaves);
            }
            self.orders.close(order);
        }
        let last = self.books[instrument as usize].last_price;
        done.swept.first.map(|first| Reach::of(first, last))
    }
}
