//! Matching: an incoming order against the other side of its book, best price first, oldest order
//! first, at the maker's price.
//!
//! One loop over levels, one over a level's orders; no recursion. The level is written back once,
//! filled makers leave every index at once, and an emptied level is gone before the next one is
//! looked at, so nothing is iterated that changes. The loops exist twice, one for each side.

use super::accounts::Accounts;
use super::book::Book;
use super::clearing::{settle_maker, settle_taker};
use super::instrument::Rules;
use super::level::{Levels, NONE, key_of, price_of};
use super::order::Orders;
use super::outbox::Outbox;
use crate::event::{MakerFill, Trade};
use crate::types::{
    AccountId, ClientOrderId, InstrumentId, OrderId, Price, Quantity, SessionId, Side,
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
}

/// All that a match reads and writes.
pub(super) struct Market<'a> {
    pub(super) book: &'a mut Book,
    pub(super) levels: &'a mut Levels,
    pub(super) orders: &'a mut Orders,
    pub(super) accounts: &'a mut Accounts,
    pub(super) rules: &'a Rules,
}

impl Market<'_> {
    /// Trades what crosses, settles it, and gives what is left of the order.
    #[inline]
    pub(super) fn sweep(&mut self, taker: &Taker, out: &mut Outbox) -> i64 {
        match taker.side {
            Side::Buy => self.sweep_side::<true>(taker, out),
            Side::Sell => self.sweep_side::<false>(taker, out),
        }
    }

    #[inline]
    fn sweep_side<const BUY: bool>(&mut self, taker: &Taker, out: &mut Outbox) -> i64 {
        let makers = if BUY { Side::Sell } else { Side::Buy };
        let limit = key_of(makers, taker.price);
        let mut leaves = taker.leaves;
        let mut paid = 0;
        while leaves > 0 {
            let Some(level) = self.book.side(makers).crossed_by(limit) else { break };
            let price = price_of(makers, self.levels.at(level).key);
            let traded = self.take_level::<BUY>(taker, level, price, leaves, out);
            // Bounded by what the buyers among the two parties hold, which fits.
            paid += self.rules.quote_of(price, traded);
            leaves -= traded;
            self.book.last_price = price;
            if self.levels.at(level).head == NONE {
                self.book.side_mut(makers).drop_level(self.levels, level);
            }
        }
        let traded = taker.leaves - leaves;
        if traded > 0 {
            let (accounts, rules) = (&mut *self.accounts, self.rules);
            settle_taker::<BUY>(accounts, rules, taker.account, taker.price, traded, paid);
        }
        leaves
    }

    /// Trades up to `wanted` with the orders of one level, oldest first, and gives the quantity
    /// traded.
    #[inline]
    fn take_level<const BUY: bool>(
        &mut self,
        taker: &Taker,
        level: u32,
        price: Price,
        wanted: i64,
        out: &mut Outbox,
    ) -> i64 {
        let mut left = wanted;
        let mut head = self.levels.at(level).head;
        let mut filled_count = 0;
        while left > 0 && head != NONE {
            let maker = *self.orders.hot(head);
            let quantity = left.min(maker.leaves);
            let maker_leaves = maker.leaves - quantity;
            left -= quantity;
            let quote = self.rules.quote_of(price, quantity);
            let base = self.rules.base_of(quantity);
            settle_maker::<BUY>(self.accounts, self.rules, maker.account, base, quote);
            out.trade(Trade {
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
            let cold = self.orders.cold(head);
            if cold.session != 0 {
                out.maker_fill(MakerFill {
                    session: SessionId(cold.session),
                    instrument: taker.instrument,
                    outbound: 0,
                    order_id: OrderId(maker.id),
                    client_order_id: ClientOrderId(cold.client),
                    price,
                    quantity: Quantity(quantity),
                    filled: Quantity(cold.quantity - maker_leaves),
                    leaves: Quantity(maker_leaves),
                });
            }
            if maker_leaves > 0 {
                self.orders.hot_mut(head).leaves = maker_leaves;
            } else {
                self.orders.close(head);
                filled_count += 1;
                head = maker.next;
            }
        }
        if head != NONE {
            self.orders.hot_mut(head).prev = NONE;
        }
        let level = self.levels.at_mut(level);
        level.head = head;
        level.count -= filled_count;
        level.open -= wanted - left;
        wanted - left
    }
}
