//! Matching: an incoming order against the other side of its book, best price first, oldest order
//! first, at the maker's price.
//!
//! One loop over levels, one over a level's orders; no recursion. The level is written back once,
//! filled makers leave every index at once, and an emptied level is gone before the next one is
//! looked at, so nothing is iterated that changes. The loops exist twice, one for each side, and
//! once more for each [`Clearing`]: what a trade means is not theirs.

use super::accounts::Accounts;
use super::book::Book;
use super::clearing::{settle_maker, settle_taker};
use super::instrument::Rules;
use super::level::{Levels, NONE};
use super::order::{Hot, Orders, Slots};
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

/// What a trade means beside the book: settled balances, events.
pub(super) trait Clearing {
    /// Where orders are.
    type Orders: Slots;

    /// The orders.
    fn orders(&mut self) -> &mut Self::Orders;

    /// The incoming order has traded with the one in this slot, which is as it was before.
    fn trade(&mut self, order: u32, maker: &Hot, price: Price, quantity: i64);

    /// The order in this slot, which is in no queue any more, is filled.
    fn filled(&mut self, order: u32);
}

/// Trades what crosses of an incoming order, a buy or a sell, and gives what is left of `wanted`.
#[inline]
pub(super) fn sweep<const BUY: bool>(
    book: &mut Book,
    levels: &mut Levels,
    clearing: &mut impl Clearing,
    limit: Price,
    wanted: i64,
) -> i64 {
    let (taker, makers) = if BUY { (Side::Buy, Side::Sell) } else { (Side::Sell, Side::Buy) };
    let mut leaves = wanted;
    while leaves > 0 {
        let Some(level) = book.crossed_by(taker, limit) else { break };
        book.last_price = levels.at(level).price;
        leaves -= take_level(levels, clearing, level, leaves);
        if levels.at(level).head == NONE {
            book.drop_level(levels, makers, level);
        }
    }
    leaves
}

/// Trades up to `wanted` with the orders of one level, oldest first, and gives the quantity traded.
#[inline]
fn take_level(levels: &mut Levels, clearing: &mut impl Clearing, level: u32, wanted: i64) -> i64 {
    let mut left = wanted;
    let level = levels.at_mut(level);
    let mut head = level.head;
    let mut filled_count = 0;
    while left > 0 && head != NONE {
        let maker = *clearing.orders().hot(head);
        let quantity = left.min(maker.leaves);
        left -= quantity;
        clearing.trade(head, &maker, level.price, quantity);
        if quantity < maker.leaves {
            clearing.orders().hot_mut(head).leaves = maker.leaves - quantity;
        } else {
            clearing.filled(head);
            filled_count += 1;
            head = maker.next;
        }
    }
    if head != NONE {
        clearing.orders().hot_mut(head).prev = NONE;
    }
    level.head = head;
    level.count -= filled_count;
    level.open -= wanted - left;
    wanted - left
}

/// All that a match in the exchange reads and writes.
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
        let (accounts, rules) = (&mut *self.accounts, self.rules);
        let mut settling =
            Settling::<BUY> { orders: self.orders, accounts, rules, taker, out, paid: 0 };
        let (price, wanted) = (taker.price, taker.leaves);
        let leaves = sweep::<BUY>(self.book, self.levels, &mut settling, price, wanted);
        let paid = settling.paid;
        if leaves < wanted {
            let traded = wanted - leaves;
            settle_taker::<BUY>(self.accounts, rules, taker.account, price, traded, paid);
            let place = (taker.account, taker.instrument.0 - 1);
            self.orders.taker_traded(place, taker.side, traded);
        }
        leaves
    }
}

/// The exchange's clearing: balances are settled, parties are told. `BUY` is the taker's side.
struct Settling<'a, const BUY: bool> {
    orders: &'a mut Orders,
    accounts: &'a mut Accounts,
    rules: &'a Rules,
    taker: &'a Taker,
    out: &'a mut Outbox,
    /// Quote units of all trades so far.
    paid: i64,
}

impl<const BUY: bool> Clearing for Settling<'_, BUY> {
    type Orders = Orders;

    #[inline]
    fn orders(&mut self) -> &mut Orders {
        self.orders
    }

    #[inline]
    fn trade(&mut self, order: u32, maker: &Hot, price: Price, quantity: i64) {
        let (rules, taker) = (self.rules, self.taker);
        let quote = rules.quote_of(price, quantity);
        settle_maker::<BUY>(self.accounts, rules, maker.account, rules.base_of(quantity), quote);
        // Bounded by what the buyers among the two parties hold, which fits.
        self.paid += quote;
        let maker_leaves = maker.leaves - quantity;
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
        let cold = self.orders.cold(order);
        let is_tracked = cold.is_tracked();
        if cold.session != 0 {
            self.out.maker_fill(MakerFill {
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
        if is_tracked {
            self.orders.maker_traded(order, quantity, maker_leaves);
        }
    }

    #[inline]
    fn filled(&mut self, order: u32) {
        self.orders.close(order);
    }
}
