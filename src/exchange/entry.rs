//! Orders: enter, cancel, replace. The order of the checks in each is part of the contract.
//!
//! Invariant: everything that can be refused is refused before the first change, so that a refused
//! command leaves nothing behind.

use super::matcher::{Market, Taker};
use super::order::NewResting;
use super::outbox::{Outbox, Outcome};
use super::risk::{Asked, Replaced};
use super::{Context, Exchange};
use crate::command::{CancelOrder, NewOrder, POST_ONLY, ReplaceOrder};
use crate::event::RejectReason;
use crate::genesis::VERSION_ORDER_KINDS;
use crate::types::{
    AccountId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity, Side, TimeInForce,
};

/// What becomes of an order beside its trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// What does not trade rests.
    Rests,
    /// It rests, or is refused.
    PostOnly,
    /// What does not trade at once is cancelled.
    Immediate,
    /// It trades whole, or is cancelled.
    Whole,
}

impl Exchange {
    /// Enters an order: freeze, match, clear, and rest or cancel what is left.
    ///
    /// Refused in this order: account, instrument, kind (flags, or a combination that is none), rate,
    /// restricted instrument, nothing to trade with (a market order without a price), price, quantity,
    /// risk limits (see [`Exchange::check_risk`]), client's number, room to rest, a trade on entry (post-only), size of the hold, funds.
    pub(super) fn new_order(
        &mut self,
        ctx: &Context,
        command: &NewOrder,
        out: &mut Outbox,
    ) -> Result<Outcome, RejectReason> {
        let NewOrder { side, quantity: Quantity(quantity), .. } = *command;
        let account = self.account_index(command.account)?;
        let instrument = self.instrument_index(command.instrument)?;
        let manner = self.manner(command)?;
        let limits = self.limits_of(ctx, account, instrument)?;
        let (rules, book) = (&self.rules[instrument as usize], &self.books[instrument as usize]);
        let price = match (command.order_type, command.price) {
            (OrderType::Market, Price(0)) => {
                let best = book
                    .best_price(&self.levels, side.opposite())
                    .ok_or(RejectReason::NoLiquidity)?;
                rules.protection(side, best)
            }
            (_, price) => price,
        };
        rules.check(price, command.quantity)?;
        let may_rest = matches!(manner, Manner::Rests | Manner::PostOnly);
        self.check_risk(
            limits,
            &Asked {
                account,
                instrument,
                side,
                price,
                quantity,
                budget: 0,
                may_rest,
                replaced: None,
            },
        )?;
        if self.orders.find_by_client(account, command.client_order_id).is_some() {
            return Err(RejectReason::DuplicateClientOrderId);
        }
        if may_rest && self.orders.is_full() {
            return Err(RejectReason::CapacityReached);
        }
        if manner == Manner::PostOnly && book.crossed_by(side, price).is_some() {
            return Err(RejectReason::WouldTrade);
        }
        let hold = rules.hold(side, price, quantity)?;
        let cell = self.accounts.cell(account, rules.held_asset(side));
        self.accounts.hold(cell, 0, hold)?;

        let id = ctx.sequence.0;
        let taker = Taker {
            order: OrderId(id),
            account,
            account_id: command.account,
            instrument: command.instrument,
            side,
            price,
            leaves: quantity,
        };
        let mut market = self.market(instrument);
        let is_short =
            manner == Manner::Whole && !market.book.offers(market.levels, side, price, quantity);
        let leaves = if is_short { quantity } else { market.sweep(&taker, out) };
        if leaves > 0 && !may_rest {
            let rest = market.rules.rest_of_hold(side, price, leaves);
            market.accounts.unfreeze(cell, rest);
            return Ok(Outcome::canceled(id, quantity - leaves));
        }
        if leaves > 0 {
            let order = market.orders.open(&NewResting {
                id,
                account,
                instrument,
                side,
                quantity,
                leaves,
                client: command.client_order_id.0,
                session: ctx.session.0,
            });
            market.book.rest(market.levels, market.orders, side, price, order);
        }
        Ok(Outcome::live(id, quantity - leaves, leaves))
    }

    /// What is to become of an order, by its type, time in force and flags.
    #[inline]
    fn manner(&self, command: &NewOrder) -> Result<Manner, RejectReason> {
        let kind = (command.order_type, command.time_in_force, command.flags);
        let later = match kind {
            (OrderType::Limit, TimeInForce::Gtc, 0) => return Ok(Manner::Rests),
            (OrderType::Limit, TimeInForce::Ioc, 0) => return Ok(Manner::Immediate),
            (OrderType::Limit, TimeInForce::Gtc, POST_ONLY) => Manner::PostOnly,
            (OrderType::Market, TimeInForce::Ioc, 0) => Manner::Immediate,
            (_, TimeInForce::Fok, 0) => Manner::Whole,
            _ => return Err(RejectReason::UnsupportedOrder),
        };
        // A journal of older rules has refused it.
        if self.version < VERSION_ORDER_KINDS {
            return Err(RejectReason::UnsupportedOrder);
        }
        Ok(later)
    }

    /// Cancels a live order and gives back what it holds.
    ///
    /// Refused in this order: account, instrument, order (unknown, done, another account's or
    /// another instrument's: all the same to who asks).
    pub(super) fn cancel_order(&mut self, command: &CancelOrder) -> Result<Outcome, RejectReason> {
        let names = (command.order_id, command.orig_client_order_id);
        let found = self.locate(command.account, command.instrument, names)?;
        let Found { order, id, filled, leaves, side, price, .. } = found;
        let market = self.market(found.instrument);
        market.book.leave(market.levels, market.orders, side, order);
        market.orders.close(order);
        let cell = market.accounts.cell(found.account, market.rules.held_asset(side));
        market.accounts.unfreeze(cell, market.rules.rest_of_hold(side, price, leaves));
        Ok(Outcome::canceled(id, filled))
    }

    /// Gives a live order a new price and a new whole quantity.
    ///
    /// It keeps its id, its client's number and what is filled. It keeps its place only where the
    /// price is the same and the quantity falls; otherwise it is matched like a new order and
    /// rests last at its price. Refused in this order, with the order as it stays: account,
    /// instrument, order, rate, restricted instrument, price, quantity, too late, risk limits, size of the
    /// hold, funds.
    pub(super) fn replace_order(
        &mut self,
        ctx: &Context,
        command: &ReplaceOrder,
        out: &mut Outbox,
    ) -> Result<Outcome, Outcome> {
        let names = (command.order_id, command.orig_client_order_id);
        let found =
            self.locate(command.account, command.instrument, names).map_err(Outcome::refused)?;
        let leaves = self.rehold(ctx, &found, command).map_err(|reason| Outcome {
            order_id: OrderId(found.id),
            filled: Quantity(found.filled),
            leaves: Quantity(found.leaves),
            ..Outcome::refused(reason)
        })?;

        let Found { order, id, filled, side, price: old_price, .. } = found;
        let (price, quantity) = (command.price, command.quantity.0);
        let mut market = self.market(found.instrument);
        if price == old_price && leaves < found.leaves {
            let level = market.orders.hot(order).level;
            market.levels.at_mut(level).open -= found.leaves - leaves;
            market.orders.resize(order, quantity, leaves);
            return Ok(Outcome::live(id, filled, leaves));
        }
        // Off the book while it is matched: an order never meets itself.
        market.book.leave(market.levels, market.orders, side, order);
        let taker = Taker {
            order: OrderId(id),
            account: found.account,
            account_id: command.account,
            instrument: command.instrument,
            side,
            price,
            leaves,
        };
        let leaves = market.sweep(&taker, out);
        if leaves > 0 {
            market.orders.resize(order, quantity, leaves);
            market.book.rest(market.levels, market.orders, side, price, order);
        } else {
            market.orders.close(order);
        }
        Ok(Outcome::live(id, quantity - leaves, leaves))
    }

    /// Checks what a replace asks of an order, changes what the order holds to exactly what it
    /// needs then, and gives its new leaves.
    fn rehold(
        &mut self,
        ctx: &Context,
        found: &Found,
        command: &ReplaceOrder,
    ) -> Result<i64, RejectReason> {
        let limits = self.limits_of(ctx, found.account, found.instrument)?;
        let rules = &self.rules[found.instrument as usize];
        rules.check(command.price, command.quantity)?;
        let leaves = command.quantity.0 - found.filled;
        if leaves <= 0 {
            return Err(RejectReason::TooLate);
        }
        self.check_risk(
            limits,
            &Asked {
                account: found.account,
                instrument: found.instrument,
                side: found.side,
                price: command.price,
                quantity: command.quantity.0,
                budget: 0,
                may_rest: false,
                replaced: Some(Replaced {
                    price: found.price,
                    quantity: found.filled + found.leaves,
                }),
            },
        )?;
        let holds = rules.hold(found.side, command.price, leaves)?;
        let held = rules.rest_of_hold(found.side, found.price, found.leaves);
        let cell = self.accounts.cell(found.account, rules.held_asset(found.side));
        self.accounts.hold(cell, held, holds)?;
        Ok(leaves)
    }

    /// Finds an account's live order by its id or, where that is 0, by the client's number.
    fn locate(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        names: (OrderId, ClientOrderId),
    ) -> Result<Found, RejectReason> {
        let account = self.account_index(account)?;
        let instrument = self.instrument_index(instrument)?;
        let order = match names {
            (OrderId(0), client) => self.orders.find_by_client(account, client),
            (id, _) => self.orders.find(id),
        };
        let order = order.ok_or(RejectReason::UnknownOrder)?;
        let (hot, cold) = (self.orders.hot(order), self.orders.cold(order));
        if hot.account != account || cold.instrument() != instrument {
            return Err(RejectReason::UnknownOrder);
        }
        let side = cold.side();
        Ok(Found {
            order,
            account,
            instrument,
            id: hot.id,
            side,
            price: self.price_of(order),
            filled: cold.quantity - hot.leaves,
            leaves: hot.leaves,
        })
    }

    /// Limit price of a live order: its level knows it.
    #[inline]
    pub(super) fn price_of(&self, order: u32) -> Price {
        self.levels.at(self.orders.hot(order).level).price
    }

    /// All that a match in this instrument reads and writes.
    #[inline]
    fn market(&mut self, instrument: u32) -> Market<'_> {
        Market {
            book: &mut self.books[instrument as usize],
            levels: &mut self.levels,
            orders: &mut self.orders,
            accounts: &mut self.accounts,
            rules: &self.rules[instrument as usize],
        }
    }
}

/// A live order that a command names.
#[derive(Clone, Copy, Debug)]
struct Found {
    order: u32,
    account: u32,
    instrument: u32,
    id: u64,
    side: Side,
    price: Price,
    filled: i64,
    leaves: i64,
}
