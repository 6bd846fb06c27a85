//! Orders that come in or change: what is asked of them, in the order in which it is asked.

use super::{Cell, Judged, Model, Order, ensure, tell};
use crate::exchange::forms;
use openoutcry::command::{EnterOrder, POST_ONLY, REPRICE, ReplaceOrder, self_trade_asked};
use openoutcry::event::CommandResult;
use openoutcry::event::RejectReason::{self, *};
use openoutcry::exchange::Context;
use openoutcry::types::OrderType::{Limit, Market, Stop, StopLimit};
use openoutcry::types::TimeInForce::{Day, Fok, Gtd, Ioc};
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, OrderChange, OrderId, SelfTrade, Side, Status,
};

const DAY_S: u64 = 24 * 60 * 60;

pub(super) fn is_immediate(c: &EnterOrder) -> bool {
    matches!(c.time_in_force, Ioc | Fok)
}

/// Whether the table of kinds has such an order.
fn exists(c: &EnterOrder) -> bool {
    let is_post_only = c.flags & POST_ONLY != 0;
    let stays = !is_immediate(c);
    let is_stop = matches!(c.order_type, Stop | StopLimit);
    let is_market_buy = c.order_type == Market && c.side == Side::Buy;
    let may_show = matches!(c.order_type, Limit | StopLimit) && stays;
    let may_ask_minimum = !is_stop && c.time_in_force != Fok && !is_post_only;
    (c.order_type == Limit || is_stop == stays)
        && (c.flags >> 5 == 0 && self_trade_asked(c.flags) <= 5)
        && (!is_post_only || c.order_type == Limit && stays)
        && (c.flags & REPRICE == 0 || is_post_only)
        && (c.stop_price.0 == 0 || is_stop)
        && (c.display_quantity.0 == 0 || may_show)
        && (c.min_quantity.0 == 0 || may_ask_minimum)
        && (c.budget.0 == 0 || is_market_buy && c.time_in_force == Ioc)
        && (c.expires.0 == 0 || c.time_in_force == Gtd)
}

impl Model {
    pub(super) fn enter(
        &mut self,
        ctx: &Context,
        c: &EnterOrder,
        result: &mut CommandResult,
    ) -> Judged {
        self.account(c.account)?;
        self.instrument(c.instrument)?;
        ensure(exists(c), UnsupportedOrder)?;
        let i = c.instrument.0 as usize - 1;
        let best = self.best(i, c.side.opposite());
        let price = match (c.order_type, c.price.0) {
            (Market, 0) => self.band(i, c.side, best.ok_or(NoLiquidity)?),
            (Stop, 0) => self.band(i, c.side, c.stop_price.0),
            (_, price) => price,
        };
        let it = &self.instruments[i];
        let prices = 1..=it.price_max;
        ensure(prices.contains(&price), InvalidPrice)?;
        let by_budget = c.quantity.0 == 0 && c.budget.0 > 0;
        let quantity = if by_budget { it.quantity_max } else { c.quantity.0 };
        ensure((it.quantity_min..=it.quantity_max).contains(&quantity), InvalidQuantity)?;
        let is_stop = matches!(c.order_type, Stop | StopLimit);
        ensure(!is_stop || prices.contains(&c.stop_price.0), InvalidStop)?;
        let display = c.display_quantity.0;
        let is_enough = i128::from(display) * 100 >= quantity.into();
        ensure(display == 0 || (1..=quantity).contains(&display) && is_enough, InvalidDisplay)?;
        ensure((0..=quantity).contains(&c.min_quantity.0), InvalidMinimum)?;
        ensure(c.time_in_force != Gtd || c.expires > ctx.time, InvalidExpiry)?;
        let lot = i128::from(best.unwrap_or(0)) * i128::from(it.quote_per_tick_lot);
        let buys_something = !by_budget || i128::from(c.budget.0) >= lot;
        ensure(c.budget.0 >= 0 && buys_something, InvalidBudget)?;
        let client = c.client_order_id;
        let same = |o: &Order| o.asked.client_order_id == client && o.asked.account == c.account;
        let is_taken = client.0 != 0 && self.orders.iter().flatten().any(same);
        ensure(!is_taken, DuplicateClientOrderId)?;
        let last = self.last[i];
        let is_reached = match c.side {
            Side::Buy => last >= c.stop_price.0,
            Side::Sell => last <= c.stop_price.0,
        };
        let today = ctx.time.0 / 1_000_000_000 / DAY_S * DAY_S + self.day_end;
        let mut order = Order {
            asked: *c,
            id: OrderId(ctx.sequence.0),
            session: ctx.session,
            self_trade: SelfTrade::from_u8(self_trade_asked(c.flags))
                .unwrap_or(self.accounts[&c.account].1),
            waits: is_stop && (last == 0 || !is_reached),
            price,
            quantity,
            filled: 0,
            visible: 0,
            budget: (c.budget.0 != 0).then_some(c.budget.0.into()),
            due: match c.time_in_force {
                Gtd => c.expires.0,
                Day if today * 1_000_000_000 > ctx.time.0 => today * 1_000_000_000,
                Day => (today + DAY_S) * 1_000_000_000,
                _ => 0,
            },
        };
        let has_room = self.orders.iter().flatten().count() < self.orders_max;
        ensure(has_room || !order.rests() && !order.waits, CapacityReached)?;
        if c.flags & POST_ONLY != 0 && self.best_maker(&order).is_some() {
            let behind = if c.side == Side::Buy { -1 } else { 1 };
            let wanted = i128::from(best.expect("something crosses")) + behind;
            let exists = (1..=i128::from(*prices.end())).contains(&wanted);
            ensure(exists && c.flags & REPRICE != 0, WouldTrade)?;
            order.price = wanted as i64;
        }
        self.change_hold(None, &order)?;
        if order.price != price {
            self.notes.push(forms::update(&order, OrderChange::Repriced, order.leaves()));
        }
        self.dues.extend((order.due != 0).then_some((order.due, order.id, i)));
        if order.waits {
            self.orders[i].push(order);
            tell(result, &order, false, None);
            return Ok(());
        }
        let minimum = if c.time_in_force == Fok { quantity } else { c.min_quantity.0 };
        if minimum > 0 && self.could_trade(&order) < minimum.into() {
            self.release(&order);
            tell(result, &order, true, None);
            return Ok(());
        }
        self.bring(order, result);
        if by_budget && result.filled.0 > 0 && result.reason.is_none() {
            result.status = Status::FullyFilled;
        }
        Ok(())
    }

    /// Where a live order is.
    pub(super) fn locate(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        (id, client): (OrderId, ClientOrderId),
    ) -> Result<(usize, usize), RejectReason> {
        self.account(account)?;
        self.instrument(instrument)?;
        let is_it = |order: &Order| match (id.0, client.0) {
            (0, 0) => false,
            (0, _) => order.asked.client_order_id == client,
            _ => order.id == id,
        };
        let i = instrument.0 as usize - 1;
        let is_own = |order: &Order| order.asked.account == account && is_it(order);
        Ok((i, self.orders[i].iter().position(is_own).ok_or(UnknownOrder)?))
    }

    pub(super) fn replace(&mut self, c: &ReplaceOrder, result: &mut CommandResult) -> Judged {
        let names = (c.order_id, c.orig_client_order_id);
        let (i, at) = self.locate(c.account, c.instrument, names)?;
        let old = self.orders[i][at];
        ensure(self.is_in_time(&old), UnknownOrder)?;
        tell(result, &old, false, None);
        let it = &self.instruments[i];
        ensure((1..=it.price_max).contains(&c.price.0), InvalidPrice)?;
        ensure((it.quantity_min..=it.quantity_max).contains(&c.quantity.0), InvalidQuantity)?;
        ensure(c.quantity.0 > old.filled, TooLate)?;
        let display = i128::from(old.asked.display_quantity.0);
        ensure(display == 0 || display * 100 >= c.quantity.0.into(), InvalidDisplay)?;
        let mut new = Order { price: c.price.0, quantity: c.quantity.0, ..old };
        self.change_hold(Some(&old), &new)?;
        tell(result, &new, false, None);
        if old.waits || new.price == old.price && new.quantity < old.quantity {
            new.visible = old.visible.min(new.leaves());
            self.orders[i][at] = new;
        } else {
            self.orders[i].remove(at);
            self.bring(new, result);
        }
        Ok(())
    }

    /// Where and how much an order holds.
    pub(super) fn hold(&self, order: &Order) -> (Cell, i128) {
        let it = &self.instruments[order.i()];
        let (account, leaves) = (order.asked.account, i128::from(order.leaves()));
        match (order.asked.side, order.budget) {
            (Side::Sell, _) => ((account, it.base), leaves * i128::from(it.base_per_lot)),
            (Side::Buy, Some(budget)) => ((account, it.quote), budget),
            (Side::Buy, None) => {
                let each = i128::from(order.price) * i128::from(it.quote_per_tick_lot);
                // Three 64-bit factors can pass even 128 bits; then the order is refused anyway.
                ((account, it.quote), leaves.saturating_mul(each))
            }
        }
    }

    /// Holds what an order needs, less what it held before.
    fn change_hold(&mut self, old: Option<&Order>, new: &Order) -> Judged {
        let held = old.map_or(0, |old| self.hold(old).1);
        let (cell, holds) = self.hold(new);
        ensure(holds <= i64::MAX.into(), Overflow)?;
        ensure(self.balance(cell).0 >= holds - held, InsufficientFunds)?;
        self.add(cell, held - holds, holds - held);
        Ok(())
    }

    /// The worst price of an order that names none: so far from this one, and one there can be.
    fn band(&self, i: usize, side: Side, from: i64) -> i64 {
        let it = &self.instruments[i];
        let band = i128::from(from) * i128::from(it.market_band_bps) / 10_000;
        let worst = i128::from(from) + if side == Side::Buy { band } else { -band };
        worst.clamp(1, it.price_max.into()) as i64
    }
}
