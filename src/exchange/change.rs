//! Live orders are cancelled and replaced, rest and leave.
//!
//! Invariant: everything that can be refused is refused before the first change.

use super::clearing::{Taker, update_of};
use super::entry::is_shown_in_time;
use super::outbox::{Outbox, Outcome};
use super::risk::{Asked, Replaced};
use super::stops::Reach;
use super::{Context, Exchange};
use crate::command::{CancelOrder, ReplaceOrder};
use crate::event::RejectReason;
use crate::genesis::VERSION_ORDER_KINDS;
use crate::types::{AccountId, ClientOrderId, InstrumentId, OrderChange, OrderId, Price, Side};

impl Exchange {
    /// Cancels a live order and gives back what it holds.
    ///
    /// Refused in this order: account, instrument, order (too late where its number was given out before
    /// and is none of the account's live orders; else, or where it is of another instrument, unknown).
    pub(super) fn cancel_order(&mut self, command: &CancelOrder) -> Result<Outcome, RejectReason> {
        let names = (command.order_id, command.orig_client_order_id);
        let found = self.locate(command.account, command.instrument, names)?;
        self.drop_order(&found);
        Ok(Outcome::canceled(found.id, found.filled))
    }

    /// Ends a live order, wherever it is, and tells its session why.
    pub(super) fn end_order(&mut self, order: u32, change: OrderChange, out: &mut Outbox) {
        let found = self.found(order);
        let Found { price, leaves, .. } = found;
        out.update(update_of(&self.orders, order, price, leaves, 0, change));
        self.drop_order(&found);
    }

    /// Takes a live order out of everything and gives back what it holds.
    #[inline(always)]
    fn drop_order(&mut self, found: &Found) {
        let Found { order, account, instrument, side, price, leaves, waits, .. } = *found;
        if waits {
            self.leave_stops(order, instrument, side);
        } else {
            let book = &mut self.books[instrument as usize];
            book.leave(&mut self.levels, &mut self.orders, side, order);
        }
        self.give_back(account, instrument, side, price, leaves);
        self.orders.close(order);
    }

    /// Takes a stop that waits out of its queue.
    pub(super) fn leave_stops(&mut self, order: u32, instrument: u32, side: Side) {
        let stops = &mut self.stops[instrument as usize];
        stops.leave(&mut self.levels, &mut self.orders, side, order);
    }

    /// Puts an order, which is in no queue and crosses nothing, last at its price. Of an iceberg it shows
    /// the first part.
    #[inline]
    pub(super) fn rest(&mut self, order: u32, side: Side, price: Price, leaves: i64) {
        let cold = self.orders.cold(order);
        let instrument = cold.instrument() as usize;
        if cold.has_terms() {
            self.show(order, leaves);
        } else {
            self.orders.hot_mut(order).leaves = leaves;
        }
        self.books[instrument].rest(&mut self.levels, &mut self.orders, side, price, order);
    }

    /// Divides an order's leaves into what is shown and what is hidden.
    pub(super) fn show(&mut self, order: u32, leaves: i64) {
        let mut terms = self.orders.terms(order);
        let shown = if terms.display == 0 { leaves } else { leaves.min(terms.display) };
        terms.hidden = leaves - shown;
        self.orders.set_terms(order, &terms);
        self.orders.hot_mut(order).leaves = shown;
        self.orders.recount_limited(order);
    }

    /// Gives a live order a new price and a new whole quantity.
    ///
    /// It keeps its id, its client's number and what is filled. It keeps its place only where the
    /// price is the same and the quantity falls, or where it is a stop that waits; otherwise it is
    /// matched like a new order and rests last at its price. Refused in this order, from the rate on with
    /// the order as it stays: account, instrument, order, rate, restricted instrument, price, quantity, too late, display
    /// quantity, risk limits, size of the hold, funds.
    pub(super) fn replace_order(
        &mut self,
        ctx: &Context,
        command: &ReplaceOrder,
        out: &mut Outbox,
    ) -> Result<Outcome, RejectReason> {
        let names = (command.order_id, command.orig_client_order_id);
        let found = self
            .locate(command.account, command.instrument, names)
            .and_then(|found| self.unless_over(ctx, command.order_id, found))?;
        let Found { order, id, filled, .. } = found;
        let leaves = match self.rehold(ctx, &found, command) {
            Ok(leaves) => leaves,
            Err(reason) => return Ok(Outcome::stays(reason, id, filled, found.leaves)),
        };
        let (price, quantity) = (command.price, command.quantity.0);
        if found.waits {
            self.change_stop(&found, price, quantity, leaves);
            return Ok(Outcome::live(id, filled, leaves));
        }
        if price == found.price && leaves < found.leaves {
            self.shrink(order, quantity, found.leaves - leaves);
            return Ok(Outcome::live(id, filled, leaves));
        }
        Ok(self.rematch(ctx, &found, command, leaves, out))
    }

    /// Takes an order off its book, matches it again and lets it rest last at its price.
    fn rematch(
        &mut self,
        ctx: &Context,
        found: &Found,
        command: &ReplaceOrder,
        leaves: i64,
        out: &mut Outbox,
    ) -> Outcome {
        let Found { order, account, instrument, id, side, .. } = *found;
        let price = command.price;
        // Off the book while it is matched: an order never meets itself.
        self.books[instrument as usize].leave(&mut self.levels, &mut self.orders, side, order);
        let taker = Taker {
            order: OrderId(id),
            account,
            account_id: command.account,
            instrument: command.instrument,
            side,
            price,
            leaves,
            budget: 0,
            self_trade: self.orders.cold(order).self_trade(),
            told: None,
        };
        let done = self.sweep(ctx.time, &taker, out);
        let filled = found.filled + done.traded;
        let leaves = done.swept.leaves;
        let rests = leaves > 0 && !done.swept.ends;
        if rests {
            self.orders.resize(order, command.quantity.0 - done.lost, leaves);
            self.rest(order, side, price, leaves);
        } else {
            if leaves > 0 {
                self.give_back(account, instrument, side, price, leaves);
            }
            self.orders.close(order);
        }
        if let Some(first) = done.swept.first {
            let last = self.books[instrument as usize].last_price;
            self.trigger(ctx.time, instrument, Reach::of(first, last), out);
        }
        if done.swept.ends {
            Outcome::self_trade(id, filled)
        } else {
            Outcome::live(id, filled, leaves)
        }
    }

    /// Takes so much from an order that stays where it is, from what is hidden of it first.
    fn shrink(&mut self, order: u32, quantity: i64, less: i64) {
        let mut less_shown = less;
        if self.orders.cold(order).has_terms() {
            let mut terms = self.orders.terms(order);
            less_shown -= terms.hidden.min(less);
            terms.hidden -= less - less_shown;
            self.orders.set_terms(order, &terms);
        }
        let hot = *self.orders.hot(order);
        self.levels.at_mut(hot.level).open -= less_shown;
        self.orders.resize(order, quantity, hot.leaves - less_shown);
    }

    /// Gives a stop that waits another limit price and quantity.
    fn change_stop(&mut self, found: &Found, price: Price, quantity: i64, leaves: i64) {
        let order = found.order;
        let mut terms = self.orders.terms(order);
        terms.limit = price.0;
        self.orders.set_terms(order, &terms);
        let level = self.orders.hot(order).level;
        self.levels.at_mut(level).open += leaves - found.leaves;
        self.orders.resize(order, quantity, leaves);
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
        let display = self.orders.terms(found.order).display;
        if display != 0 && !is_shown_in_time(display, command.quantity.0) {
            return Err(RejectReason::InvalidDisplay);
        }
        let replaced = Replaced { price: found.price, quantity: found.filled + found.leaves };
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
                replaced: Some(replaced),
            },
        )?;
        let holds = rules.hold(found.side, command.price, leaves)?;
        let held = rules.rest_of_hold(found.side, found.price, found.leaves);
        let cell = self.accounts.cell(found.account, rules.held_asset(found.side));
        self.accounts.hold(cell, held, holds)?;
        Ok(leaves)
    }

    /// Finds an account's live order by its id or, where that is 0, by the client's number.
    #[inline(always)]
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
        let own = order.filter(|&order| self.orders.hot(order).account == account);
        let order = own.ok_or_else(|| self.why_missing(names.0))?;
        if self.orders.cold(order).instrument() != instrument {
            return Err(RejectReason::UnknownOrder);
        }
        Ok(self.found(order))
    }

    /// Why an account has no live order of this id: it may have had one where that number was given out.
    /// Whose it was, and whether that one is live, is told to nobody else.
    #[cold]
    fn why_missing(&self, id: OrderId) -> RejectReason {
        let was_given = id.0 != 0 && id.0 < self.sequence.0;
        if was_given && self.version >= VERSION_ORDER_KINDS {
            RejectReason::TooLate
        } else {
            RejectReason::UnknownOrder
        }
    }

    /// What a live order is.
    #[inline(always)]
    fn found(&self, order: u32) -> Found {
        let (hot, cold) = (self.orders.hot(order), self.orders.cold(order));
        let (mut leaves, mut price, mut waits) =
            (hot.leaves, self.levels.at(hot.level).price, false);
        if cold.is_special() {
            let terms = self.orders.terms(order);
            (leaves, waits) = (leaves + terms.hidden, terms.waits());
            price = if waits { Price(terms.limit) } else { price };
        }
        Found {
            order,
            account: hot.account,
            instrument: cold.instrument(),
            id: hot.id,
            side: cold.side(),
            price,
            filled: cold.quantity - leaves,
            leaves,
            waits,
        }
    }

    /// An order whose time is over, and which still stands in the book, is replaced no more: it is answered
    /// like one that is gone.
    fn unless_over(&self, ctx: &Context, id: OrderId, found: Found) -> Result<Found, RejectReason> {
        let expires = self.orders.terms(found.order).expires;
        if expires != 0 && expires <= ctx.time.0 {
            return Err(self.why_missing(id));
        }
        Ok(found)
    }

    /// Limit price of a live order: its level knows it, or its terms where it is a stop that waits.
    pub(super) fn price_of(&self, order: u32) -> Price {
        self.found(order).price
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
    waits: bool,
}
