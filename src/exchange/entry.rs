//! Orders come in. The order of the checks is part of the contract.
//!
//! Invariant: everything that can be refused is refused before the first change, so that a refused
//! command leaves nothing behind.

use super::clearing::Taker;
use super::expiry::end_of_day;
use super::instrument::Rules;
use super::order::{NewResting, Terms};
use super::outbox::{Outbox, Outcome};
use super::risk::{Asked, Limits};
use super::stops::Reach;
use super::{Context, Exchange};
use crate::command::{EnterOrder, NewOrder, POST_ONLY, REPRICE, SELF_TRADE_MASK, self_trade_asked};
use crate::event::{OrderUpdate, RejectReason};
use crate::genesis::VERSION_ORDER_KINDS;
use crate::limits::ICEBERG_PARTS_MAX;
use crate::types::{
    AccountId, Amount, ClientOrderId, InstrumentId, OrderChange, OrderId, OrderType, Price,
    Quantity, SelfTrade, SessionId, Side, TimeInForce, TimeNs,
};

/// An order that has passed its checks but for room, trade on entry and funds.
#[derive(Clone, Copy)]
struct Incoming {
    account: u32,
    account_id: AccountId,
    instrument: u32,
    side: Side,
    price: Price,
    quantity: i64,
    client: ClientOrderId,
    self_trade: SelfTrade,
    /// What does not trade at once rests.
    rests: bool,
    /// What must trade at once, or nothing does.
    minimum: i64,
    /// The most that it pays; 0 for what its price asks.
    budget: i64,
    /// It is as much as the budget buys.
    takes_all: bool,
    terms: Option<Terms>,
}

impl From<&NewOrder> for EnterOrder {
    fn from(order: &NewOrder) -> EnterOrder {
        EnterOrder {
            account: order.account,
            instrument: order.instrument,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            flags: order.flags,
            price: order.price,
            quantity: order.quantity,
            stop_price: Price(0),
            display_quantity: Quantity(0),
            min_quantity: Quantity(0),
            budget: Amount(0),
            expires: TimeNs(0),
            client_order_id: order.client_order_id,
        }
    }
}

impl Exchange {
    /// Enters an order: freeze, match, clear, and rest or cancel what is left.
    ///
    /// Refused in the order that [`Exchange::enter_order`] tells, of which a plain limit order needs
    /// account, instrument, rate, restricted instrument, price, quantity, risk limits, client's number,
    /// room to rest, size of the hold, funds.
    pub(super) fn new_order(
        &mut self,
        ctx: &Context,
        command: &NewOrder,
        out: &mut Outbox,
    ) -> Result<Outcome, RejectReason> {
        let rests = match (command.order_type, command.time_in_force, command.flags) {
            (OrderType::Limit, TimeInForce::Gtc, 0) => true,
            (OrderType::Limit, TimeInForce::Ioc, 0) => false,
            _ => return self.enter_order(ctx, &EnterOrder::from(command), out),
        };
        let account = self.account_index(command.account)?;
        let instrument = self.instrument_index(command.instrument)?;
        let limits = self.limits_of(ctx, account, instrument)?;
        let rules = &self.rules[instrument as usize];
        rules.check(command.price, command.quantity)?;
        let is_plain = limits.are_none() && rules.collar_bps == 0;
        let order = Incoming {
            account,
            account_id: command.account,
            instrument,
            side: command.side,
            price: command.price,
            quantity: command.quantity.0,
            client: command.client_order_id,
            self_trade: SelfTrade::Allow,
            rests,
            minimum: 0,
            budget: 0,
            takes_all: false,
            terms: None,
        };
        if is_plain {
            self.check_name_and_room(&order, rests)?;
            return self.work::<true>(ctx, &order, out);
        }
        let order = Incoming { self_trade: self.owners.self_trade(account), ..order };
        self.check_limits_name_and_room(limits, &order, rests)?;
        self.work_any(ctx, &order, out)
    }

    /// Enters an order of any kind (`docs/ORDERS.md` says what each does).
    ///
    /// Refused in this order: account, instrument, kind, rate, restricted instrument, nothing to trade with
    /// (a market order without a price), price, quantity, stop price, display quantity, minimum, time of
    /// expiry, budget, risk limits (see [`Exchange::check_risk`]), client's number, room to rest or wait, a
    /// trade on entry (post-only), size of the hold, funds.
    pub(super) fn enter_order(
        &mut self,
        ctx: &Context,
        command: &EnterOrder,
        out: &mut Outbox,
    ) -> Result<Outcome, RejectReason> {
        let EnterOrder { side, order_type, time_in_force, flags, stop_price, .. } = *command;
        let account = self.account_index(command.account)?;
        let instrument = self.instrument_index(command.instrument)?;
        // A journal of older rules has refused it.
        if self.version < VERSION_ORDER_KINDS || !is_kind(command) {
            return Err(RejectReason::UnsupportedOrder);
        }
        let limits = self.limits_of(ctx, account, instrument)?;
        let rules = self.rules[instrument as usize];
        let best = self.books[instrument as usize].best_price(&self.levels, side.opposite());
        let price = worst_price(&rules, command, best)?;
        let takes_all = command.budget.0 > 0 && command.quantity.0 == 0;
        let quantity = if takes_all { rules.quantity_max } else { command.quantity.0 };
        rules.check(price, Quantity(quantity))?;
        check_terms(&rules, command, quantity)?;
        let expires = self.expiry(ctx, command)?;
        let budget = command.budget.0;
        let buys_none = takes_all && best.is_some_and(|best| rules.affordable(best, budget) == 0);
        if budget < 0 || buys_none {
            return Err(RejectReason::InvalidBudget);
        }
        let rests = !matches!(time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        let self_trade = match SelfTrade::from_u8(self_trade_asked(flags)) {
            Some(mode) => mode,
            None => self.owners.self_trade(account),
        };
        let is_stop = matches!(order_type, OrderType::Stop | OrderType::StopLimit);
        let waits = is_stop && !self.is_reached(instrument, side, stop_price);
        let is_market = order_type == OrderType::Stop;
        let terms = Terms {
            display: command.display_quantity.0,
            hidden: 0,
            expires,
            limit: if waits { price.0 } else { 0 },
            is_market: waits && is_market,
        };
        let posts_through =
            best.filter(|&best| flags & POST_ONLY != 0 && reaches(side, price, best));
        let reprices = flags & REPRICE != 0;
        let price = posts_through.filter(|_| reprices).map_or(price, |best| behind(side, best));
        let order = Incoming {
            account,
            account_id: command.account,
            instrument,
            side,
            price,
            quantity,
            client: command.client_order_id,
            self_trade,
            rests: rests && !is_market,
            minimum: if time_in_force == TimeInForce::Fok {
                quantity
            } else {
                command.min_quantity.0
            },
            budget,
            takes_all,
            terms: (terms != Terms::default()).then_some(terms),
        };
        // As much as a budget buys is at most what it buys at the best price.
        let bought = best.filter(|_| takes_all).map(|best| rules.affordable(best, budget));
        let most =
            Incoming { quantity: bought.map_or(quantity, |lots| lots.min(quantity)), ..order };
        self.check_limits_name_and_room(limits, &most, order.rests || waits)?;
        if waits {
            return self.wait(ctx, &order, stop_price);
        }
        if posts_through.is_none() {
            return self.work_any(ctx, &order, out);
        }
        if !reprices || !rules.admits(price) {
            return Err(RejectReason::WouldTrade);
        }
        let outcome = self.work_any(ctx, &order, out)?;
        self.tell_repriced(ctx, &order, out);
        Ok(outcome)
    }

    /// Refuses what passes a risk limit, a client's number that a live order has, and what might rest where
    /// there is no room.
    fn check_limits_name_and_room(
        &self,
        limits: Limits,
        order: &Incoming,
        stays: bool,
    ) -> Result<(), RejectReason> {
        let Incoming { account, instrument, side, price, quantity, budget, .. } = *order;
        let may_rest = stays;
        let asked =
            Asked { account, instrument, side, price, quantity, budget, may_rest, replaced: None };
        self.check_risk(limits, &asked)?;
        self.check_name_and_room(order, stays)
    }

    /// Refuses a client's number that a live order has, and what might rest where there is no room.
    #[inline]
    fn check_name_and_room(&self, order: &Incoming, stays: bool) -> Result<(), RejectReason> {
        if self.orders.find_by_client(order.account, order.client).is_some() {
            return Err(RejectReason::DuplicateClientOrderId);
        }
        if stays && self.orders.is_full() {
            return Err(RejectReason::CapacityReached);
        }
        Ok(())
    }

    /// The time at which an order ends; 0 for never.
    fn expiry(&self, ctx: &Context, command: &EnterOrder) -> Result<u64, RejectReason> {
        match command.time_in_force {
            TimeInForce::Gtd if command.expires <= ctx.time => Err(RejectReason::InvalidExpiry),
            TimeInForce::Gtd => Ok(command.expires.0),
            TimeInForce::Day => Ok(end_of_day(ctx.time, self.day_end_s())),
            TimeInForce::Gtc | TimeInForce::Ioc | TimeInForce::Fok => Ok(0),
        }
    }

    fn day_end_s(&self) -> u32 {
        self.settings.as_ref().map_or(0, |settings| settings.day_end_s)
    }

    /// Freezes what an order of any kind needs, trades what it can, and lets it rest or end.
    #[inline(never)]
    fn work_any(
        &mut self,
        ctx: &Context,
        order: &Incoming,
        out: &mut Outbox,
    ) -> Result<Outcome, RejectReason> {
        self.work::<false>(ctx, order, out)
    }

    /// The same, where a `PLAIN` order has nothing beside price and quantity, and its account neither.
    /// Always inlined: such an order is then never put together in memory.
    #[inline(always)]
    fn work<const PLAIN: bool>(
        &mut self,
        ctx: &Context,
        order: &Incoming,
        out: &mut Outbox,
    ) -> Result<Outcome, RejectReason> {
        let Incoming { account, instrument, side, price, quantity, .. } = *order;
        let rules = &self.rules[instrument as usize];
        let hold = match order.budget {
            0 => rules.hold(side, price, quantity)?,
            budget => budget,
        };
        let cell = self.accounts.cell(account, rules.held_asset(side));
        self.accounts.hold(cell, 0, hold)?;

        let id = ctx.sequence.0;
        let taker = Taker {
            order: OrderId(id),
            account,
            account_id: order.account_id,
            instrument: InstrumentId(instrument + 1),
            side,
            price,
            leaves: quantity,
            budget: order.budget,
            self_trade: order.self_trade,
            told: None,
        };
        if !PLAIN && order.minimum > 0 && !self.could_trade(ctx.time, &taker, order.minimum) {
            self.accounts.unfreeze(cell, hold);
            return Ok(Outcome::canceled(id, 0));
        }
        let done = if PLAIN {
            self.sweep_plain(ctx.time, &taker, out)
        } else {
            self.sweep(ctx.time, &taker, out)
        };
        let leaves = done.swept.leaves;
        let goes_on = leaves > 0 && order.rests && !done.swept.ends;
        if leaves > 0 && !goes_on && order.budget == 0 {
            self.give_back(account, instrument, side, price, leaves);
        }
        if goes_on {
            self.open_and_rest(ctx, order, quantity - done.lost, leaves);
        }
        if let Some(first) = done.swept.first {
            let last = self.books[instrument as usize].last_price;
            self.trigger(ctx.time, instrument, Reach::of(first, last), out);
        }
        Ok(if done.swept.ends {
            Outcome::self_trade(id, done.traded)
        } else if goes_on || leaves == 0 || (order.takes_all && done.traded > 0) {
            Outcome::live(id, done.traded, if goes_on { leaves } else { 0 })
        } else {
            Outcome::canceled(id, done.traded)
        })
    }

    /// Gives an order a slot, and a place in its book.
    #[inline(always)]
    fn open_and_rest(&mut self, ctx: &Context, order: &Incoming, quantity: i64, leaves: i64) {
        let Incoming { account, instrument, side, price, self_trade, terms, .. } = *order;
        let (id, session, client) = (ctx.sequence.0, ctx.session.0, order.client.0);
        let slot = self.orders.open(&NewResting {
            id,
            account,
            instrument,
            side,
            quantity,
            leaves,
            client,
            session,
            self_trade,
            terms,
        });
        if terms.is_some() {
            self.show(slot, leaves);
        }
        self.books[instrument as usize].rest(&mut self.levels, &mut self.orders, side, price, slot);
    }

    /// Freezes what a stop will need, and lets it wait.
    fn wait(
        &mut self,
        ctx: &Context,
        order: &Incoming,
        stop: Price,
    ) -> Result<Outcome, RejectReason> {
        let Incoming { account, instrument, side, price, quantity, .. } = *order;
        let rules = &self.rules[instrument as usize];
        if self.stops[instrument as usize].is_full() {
            return Err(RejectReason::CapacityReached);
        }
        let hold = rules.hold(side, price, quantity)?;
        let cell = self.accounts.cell(account, rules.held_asset(side));
        self.accounts.hold(cell, 0, hold)?;
        let id = ctx.sequence.0;
        let slot = self.orders.open(&NewResting {
            id,
            account,
            instrument,
            side,
            quantity,
            leaves: quantity,
            client: order.client.0,
            session: ctx.session.0,
            self_trade: order.self_trade,
            terms: order.terms,
        });
        let stops = &mut self.stops[instrument as usize];
        stops.wait(&mut self.levels, &mut self.orders, side, stop, slot);
        Ok(Outcome::live(id, 0, quantity))
    }

    /// Tells the sender at which price its post-only order rests.
    fn tell_repriced(&self, ctx: &Context, order: &Incoming, out: &mut Outbox) {
        let quantity = Quantity(order.quantity);
        out.update(OrderUpdate {
            change: OrderChange::Repriced,
            session: SessionId(ctx.session.0),
            instrument: InstrumentId(order.instrument + 1),
            outbound: 0,
            order_id: OrderId(ctx.sequence.0),
            client_order_id: order.client,
            price: order.price,
            quantity,
            filled: Quantity(0),
            leaves: quantity,
        });
    }
}

/// Refuses a stop price, then a display quantity, then a minimum that cannot be.
fn check_terms(rules: &Rules, command: &EnterOrder, quantity: i64) -> Result<(), RejectReason> {
    let is_stop = matches!(command.order_type, OrderType::Stop | OrderType::StopLimit);
    if is_stop && !rules.admits(command.stop_price) {
        return Err(RejectReason::InvalidStop);
    }
    let display = command.display_quantity.0;
    if display != 0 && !is_display(display, quantity) {
        return Err(RejectReason::InvalidDisplay);
    }
    if command.min_quantity.0 < 0 || command.min_quantity.0 > quantity {
        return Err(RejectReason::InvalidMinimum);
    }
    Ok(())
}

/// True where a price is as good as the best one of the other side.
fn reaches(side: Side, price: Price, best: Price) -> bool {
    match side {
        Side::Buy => price >= best,
        Side::Sell => price <= best,
    }
}

/// The best price that does not trade with the best one of the other side.
const fn behind(side: Side, best: Price) -> Price {
    match side {
        Side::Buy => Price(best.0.saturating_sub(1)),
        Side::Sell => Price(best.0.saturating_add(1)),
    }
}

/// The worst price at which an order may trade, where `best` is the best one of the other side.
fn worst_price(
    rules: &Rules,
    command: &EnterOrder,
    best: Option<Price>,
) -> Result<Price, RejectReason> {
    let EnterOrder { side, stop_price, price, .. } = *command;
    Ok(match (command.order_type, price) {
        (OrderType::Market, Price(0)) => {
            rules.protection(side, best.ok_or(RejectReason::NoLiquidity)?)
        }
        // One that cannot be is refused later, as a stop price.
        (OrderType::Stop, Price(0)) if !rules.admits(stop_price) => Price(1),
        (OrderType::Stop, Price(0)) => rules.protection(side, stop_price),
        _ => price,
    })
}

/// True where the parts of an order go together.
fn is_kind(command: &EnterOrder) -> bool {
    use OrderType::{Limit, Market, Stop, StopLimit};
    use TimeInForce::{Fok, Gtd, Ioc};
    let (kind, tif, flags) = (command.order_type, command.time_in_force, command.flags);
    let stays = !matches!(tif, Ioc | Fok);
    let is_stop = matches!(kind, Stop | StopLimit);
    let posts = flags & POST_ONLY != 0;
    let flags_known = flags & !(POST_ONLY | REPRICE | SELF_TRADE_MASK) == 0;
    let mode_known = matches!(self_trade_asked(flags), 0..=SELF_TRADE_LAST);
    let flags_fit = flags_known && mode_known && (posts || flags & REPRICE == 0);
    let time_fits = match kind {
        Limit => true,
        Market => !stays,
        Stop | StopLimit => stays,
    };
    flags_fit
        && time_fits
        && (!posts || (kind == Limit && stays))
        && (command.stop_price.0 == 0 || is_stop)
        && (command.display_quantity.0 == 0 || (stays && matches!(kind, Limit | StopLimit)))
        && (command.min_quantity.0 == 0 || (!is_stop && tif != Fok && !posts))
        && (command.budget.0 == 0 || (kind == Market && tif == Ioc && command.side == Side::Buy))
        && (command.expires.0 == 0 || tif == Gtd)
}

/// The highest number of a [`SelfTrade`].
const SELF_TRADE_LAST: u8 = SelfTrade::Decrement as u8;

/// True where so much can be shown of a quantity at a time: its parts are not too many.
const fn is_display(display: i64, quantity: i64) -> bool {
    display >= 1 && display <= quantity && is_shown_in_time(display, quantity)
}

/// True where the parts of an iceberg are not too many.
pub(super) const fn is_shown_in_time(display: i64, quantity: i64) -> bool {
    display as i128 * ICEBERG_PARTS_MAX >= quantity as i128
}
