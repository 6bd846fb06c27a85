//! Clearing: what a trade moves between the two accounts, and what sessions are told of it.
//!
//! Each trade is settled at the maker's price. The maker's part is settled trade by trade, the
//! taker's once for the whole command. A buyer holds its limit price, or its budget: what the trade was
//! cheaper goes back to the taker's available balance (a maker always trades at its own limit).
//!
//! Invariants:
//! - What one party spends the other is credited, so that the conservation law holds when the command
//!   is done.
//! - Orders of one owner do not trade where the incoming order wishes so, and an order whose time is
//!   over never does.

use super::Exchange;
use super::accounts::Accounts;
use super::instrument::Rules;
use super::matcher::{Clearing, Meeting, Swept, sweep};
use super::order::Orders;
use super::outbox::{Fill, Outbox};
use super::owners::Owners;
use super::slab::Hot;
use crate::event::{OrderUpdate, Trade};
use crate::types::{
    AccountId, ClientOrderId, InstrumentId, OrderChange, OrderId, Price, Quantity, SelfTrade,
    SessionId, Side, TimeNs,
};

/// An incoming order. Its account holds what it may spend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taker {
    /// The order.
    pub(super) order: OrderId,
    /// Index of its account.
    pub(super) account: u32,
    /// Number of its account.
    pub(super) account_id: AccountId,
    /// What is traded.
    pub(super) instrument: InstrumentId,
    /// Side of the order.
    pub(super) side: Side,
    /// Limit price.
    pub(super) price: Price,
    /// Open quantity.
    pub(super) leaves: i64,
    /// The most that it pays, which its account holds; 0 for none: then that holds its price.
    pub(super) budget: i64,
    /// What happens instead of a trade with its owner.
    pub(super) self_trade: SelfTrade,
    /// Who is told of its trades, where that is not the command's own answer.
    pub(super) told: Option<Told>,
}

/// The session of a triggered stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) session: u32,
    pub(super) client: u64,
    /// The order's whole quantity.
    pub(super) quantity: i64,
}

/// What has become of an incoming order, and what it lost without a trade.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) swept: Swept,
    pub(super) traded: i64,
    pub(super) lost: i64,
}

impl Done {
    /// An order that has met nothing.
    pub(super) const fn nothing(leaves: i64) -> Done {
        let swept = Swept { leaves, first: None, ends: false };
        Done { swept, traded: 0, lost: 0 }
    }
}

impl Exchange {
    /// Trades what crosses and settles it. Of the hold what is left of the order still needs stays; of
    /// a budget nothing.
    pub(super) fn sweep(&mut self, now: TimeNs, taker: &Taker, out: &mut Outbox) -> Done {
        match taker.side {
            Side::Buy => self.sweep_side::<true, false>(now, taker, out),
            Side::Sell => self.sweep_side::<false, false>(now, taker, out),
        }
    }

    /// The same for an order that has nothing beside price and quantity, and whose account is plain.
    #[inline(always)]
    pub(super) fn sweep_plain(&mut self, now: TimeNs, taker: &Taker, out: &mut Outbox) -> Done {
        let book = &self.books[taker.instrument.0 as usize - 1];
        if book.crossed_by(taker.side, taker.price).is_none() {
            return Done::nothing(taker.leaves);
        }
        // Orders beyond those that a record lets expire may still stand in the book.
        if self.orders.expiries().is_due(now) {
            return self.sweep(now, taker, out);
        }
        match taker.side {
            Side::Buy => self.sweep_side::<true, true>(now, taker, out),
            Side::Sell => self.sweep_side::<false, true>(now, taker, out),
        }
    }

    #[inline(never)]
    fn sweep_side<const BUY: bool, const PLAIN: bool>(
        &mut self,
        now: TimeNs,
        taker: &Taker,
        out: &mut Outbox,
    ) -> Done {
        let instrument = taker.instrument.0 as usize - 1;
        let is_late = !PLAIN && self.orders.expiries().is_due(now);
        let mut settling = Settling::<BUY, PLAIN> {
            orders: &mut self.orders,
            accounts: &mut self.accounts,
            owners: &self.owners,
            rules: &self.rules[instrument],
            taker,
            out,
            now,
            is_guarded: is_late || (!PLAIN && taker.self_trade != SelfTrade::Allow),
            paid: 0,
            traded: 0,
            lost: 0,
        };
        let (book, levels) = (&mut self.books[instrument], &mut self.levels);
        let swept = sweep::<BUY>(book, levels, &mut settling, taker.price, taker.leaves);
        settling.settle_taker();
        Done { swept, traded: settling.traded, lost: settling.lost }
    }

    /// Gives back what an order holds for so much of its leaves.
    #[inline]
    pub(super) fn give_back(
        &mut self,
        account: u32,
        instrument: u32,
        side: Side,
        price: Price,
        leaves: i64,
    ) {
        let rules = &self.rules[instrument as usize];
        let cell = self.accounts.cell(account, rules.held_asset(side));
        self.accounts.unfreeze(cell, rules.rest_of_hold(side, price, leaves));
    }
}

/// The exchange's clearing: balances are settled, parties are told. `BUY` is the taker's side; a `PLAIN`
/// one has nothing beside price and quantity, its account neither, and no order is overdue.
struct Settling<'a, const BUY: bool, const PLAIN: bool> {
    orders: &'a mut Orders,
    accounts: &'a mut Accounts,
    owners: &'a Owners,
    rules: &'a Rules,
    taker: &'a Taker,
    out: &'a mut Outbox,
    now: TimeNs,
    is_guarded: bool,
    /// Quote units of all trades so far.
    paid: i64,
    /// Lots of all trades so far.
    traded: i64,
    /// Lots lost without a trade so far.
    lost: i64,
}

impl<const BUY: bool, const PLAIN: bool> Settling<'_, BUY, PLAIN> {
    /// Settles all trades of the incoming order, and gives back what it held for them beyond what it paid,
    /// and for what it lost.
    #[inline(always)]
    fn settle_taker(&mut self) {
        let Settling { paid, traded, lost, taker, rules, .. } = *self;
        let budget = if PLAIN { 0 } else { taker.budget };
        if traded + lost == 0 && budget == 0 {
            return;
        }
        let accounts = &mut *self.accounts;
        let base_cell = accounts.cell(taker.account, rules.base);
        let quote_cell = accounts.cell(taker.account, rules.quote);
        if BUY {
            let held = match budget {
                0 => rules.quote_of(taker.price, traded + lost),
                budget => budget,
            };
            assert!(paid <= held, "no trade is worse than the taker's limit");
            accounts.spend_of(quote_cell, held, paid);
            if traded > 0 {
                accounts.credit(base_cell, rules.base_of(traded));
            }
        } else {
            accounts.spend_of(base_cell, rules.base_of(traded + lost), rules.base_of(traded));
            if traded > 0 {
                accounts.credit(quote_cell, paid);
            }
        }
        if !PLAIN && traded > 0 {
            let place = (taker.account, taker.instrument.0 - 1);
            self.orders.taker_traded(place, taker.side, traded);
        }
    }

    /// Gives back what a resting order holds for so much of its leaves.
    fn release(&mut self, account: u32, price: Price, quantity: i64) {
        let side = self.taker.side.opposite();
        let cell = self.accounts.cell(account, self.rules.held_asset(side));
        self.accounts.unfreeze(cell, self.rules.rest_of_hold(side, price, quantity));
    }

    /// Takes an order, whose queue the caller closes, out of everything else, and tells its session.
    fn remove(&mut self, order: u32, maker: &Hot, price: Price, change: OrderChange) {
        let leaves = maker.leaves + self.orders.hidden(order);
        self.release(maker.account, price, leaves);
        self.out.update(update_of(self.orders, order, price, leaves, 0, change));
        self.orders.close(order);
    }

    /// Takes quantity from an order; the queue is the caller's care.
    fn reduce(&mut self, order: u32, maker: &Hot, price: Price, quantity: i64) {
        let leaves = maker.leaves + self.orders.hidden(order);
        self.lost += quantity;
        self.release(maker.account, price, quantity);
        let ends = quantity == leaves;
        let change = if ends { OrderChange::SelfTrade } else { OrderChange::Reduced };
        let mut update = update_of(self.orders, order, price, leaves, leaves - quantity, change);
        update.quantity = Quantity(update.quantity.0 - quantity);
        self.orders.resize(order, update.quantity.0, maker.leaves);
        self.out.update(update);
        if self.orders.cold(order).is_tracked() {
            self.orders.recount(order, leaves - quantity);
        }
    }
}

/// How a session is told of a change of its order, of which `open` was left before and `leaves` after.
pub(super) fn update_of(
    orders: &Orders,
    order: u32,
    price: Price,
    open: i64,
    leaves: i64,
    change: OrderChange,
) -> OrderUpdate {
    let cold = orders.cold(order);
    OrderUpdate {
        change,
        session: SessionId(cold.session),
        instrument: InstrumentId(cold.instrument() + 1),
        outbound: 0,
        order_id: OrderId(orders.hot(order).id),
        client_order_id: ClientOrderId(cold.client),
        price,
        quantity: Quantity(cold.quantity),
        filled: Quantity(cold.quantity - open),
        leaves: Quantity(leaves),
    }
}

impl<const BUY: bool, const PLAIN: bool> Clearing for Settling<'_, BUY, PLAIN> {
    type Orders = Orders;

    #[inline]
    fn orders(&mut self) -> &mut Orders {
        self.orders
    }

    #[inline]
    fn affordable(&self, price: Price) -> i64 {
        match self.taker.budget {
            _ if PLAIN => i64::MAX,
            0 => i64::MAX,
            budget => self.rules.affordable(price, budget - self.paid),
        }
    }

    #[inline]
    fn is_guarded(&self) -> bool {
        !PLAIN && self.is_guarded
    }

    #[cold]
    fn meet(&mut self, order: u32, maker: &Hot, price: Price, quantity: i64) -> Meeting {
        let expires = self.orders.terms(order).expires;
        if expires != 0 && expires <= self.now.0 {
            self.remove(order, maker, price, OrderChange::Expired);
            return Meeting::Removed;
        }
        if self.taker.self_trade == SelfTrade::Allow
            || !self.owners.same_owner(self.taker.account, maker.account)
        {
            return Meeting::Trade;
        }
        match self.taker.self_trade {
            SelfTrade::Allow => Meeting::Trade,
            SelfTrade::CancelNewest => Meeting::Ends,
            SelfTrade::CancelOldest => {
                self.remove(order, maker, price, OrderChange::SelfTrade);
                Meeting::Removed
            }
            SelfTrade::CancelBoth => {
                self.remove(order, maker, price, OrderChange::SelfTrade);
                Meeting::RemovedAndEnds
            }
            SelfTrade::Decrement => {
                self.reduce(order, maker, price, quantity);
                Meeting::Reduce
            }
        }
    }

    #[inline]
    fn trade(&mut self, order: u32, maker: &Hot, price: Price, quantity: i64) {
        let (rules, taker) = (self.rules, self.taker);
        let quote = rules.quote_of(price, quantity);
        self.settle_maker(maker.account, rules.base_of(quantity), quote);
        // Bounded by what the buyers among the two parties hold, which fits.
        self.paid += quote;
        self.traded += quantity;
        let cold = self.orders.cold(order);
        let is_special = cold.is_special();
        let mut maker_leaves = maker.leaves - quantity;
        if is_special {
            maker_leaves += self.orders.hidden(order);
        }
        self.out.trade(Trade {
            instrument: taker.instrument,
            taker_side: taker.side,
            maker_order: OrderId(maker.id),
            taker_order: taker.order,
            maker_account: self.accounts.id(maker.account),
            taker_account: taker.account_id,
            price,
            quantity: Quantity(quantity),
            maker_leaves: Quantity(maker_leaves),
        });
        if cold.session != 0 {
            self.out.fill(Fill {
                session: SessionId(cold.session),
                order_id: OrderId(maker.id),
                client_order_id: ClientOrderId(cold.client),
                filled: Quantity(cold.quantity - maker_leaves),
                leaves: Quantity(maker_leaves),
            });
        }
        if is_special {
            self.orders.maker_traded(order, quantity, maker_leaves);
        }
        if let Some(told) = taker.told.as_ref().filter(|_| !PLAIN) {
            self.tell_taker(told);
        }
    }

    #[inline]
    fn spent(&mut self, order: u32) -> i64 {
        if self.orders.cold(order).is_special() {
            let shown = self.show_next(order);
            if shown > 0 {
                return shown;
            }
        }
        self.orders.close(order);
        0
    }
}

impl<const BUY: bool, const PLAIN: bool> Settling<'_, BUY, PLAIN> {
    /// Settles one trade for the maker.
    #[inline]
    fn settle_maker(&mut self, maker: u32, base: i64, quote: i64) {
        let base_cell = self.accounts.cell(maker, self.rules.base);
        let quote_cell = self.accounts.cell(maker, self.rules.quote);
        if BUY {
            self.accounts.spend(base_cell, base);
            self.accounts.credit(quote_cell, quote);
        } else {
            self.accounts.spend(quote_cell, quote);
            self.accounts.credit(base_cell, base);
        }
    }

    /// The next part of an iceberg comes out of what is hidden.
    #[cold]
    fn show_next(&mut self, order: u32) -> i64 {
        let mut terms = self.orders.terms(order);
        let shown = terms.hidden.min(terms.display);
        if shown > 0 {
            terms.hidden -= shown;
            self.orders.set_terms(order, &terms);
        }
        shown
    }

    /// Tells the session of a triggered stop of a trade.
    #[cold]
    fn tell_taker(&mut self, told: &Told) {
        if told.session == 0 {
            return;
        }
        let filled = told.quantity - self.taker.leaves + self.traded;
        let leaves = self.taker.leaves - self.traded - self.lost;
        self.out.fill(Fill {
            session: SessionId(told.session),
            order_id: self.taker.order,
            client_order_id: ClientOrderId(told.client),
            filled: Quantity(filled),
            leaves: Quantity(leaves),
        });
    }
}
