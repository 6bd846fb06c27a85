//! Orders that come in or change: what is asked of them, in the order in which it is asked.

use super::{Cell, Judged, Model, Order, ensure, tell};
use openoutcry::command::{EnterOrder, POST_ONLY, REPRICE, ReplaceOrder, self_trade_asked};
use openoutcry::event::CommandResult;
use openoutcry::event::RejectReason::{self, *};
use openoutcry::exchange::Context;
use openoutcry::types::OrderType::{Limit, Market, Stop, StopLimit};
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, OrderChange, OrderId, SelfTrade, Side, Status,
    TimeInForce,
};

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// Whether the table of kinds has such an order.
fn exists(c: &EnterOrder) -> bool {
    let immediate = matches!(c.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
    let is_stop = matches!(c.order_type, Stop | StopLimit);
    let is_market = c.order_type == Market;
    let post_only = c.flags & POST_ONLY != 0;
    let asks_minimum =
        matches!(c.order_type, Limit | Market) && c.time_in_force != TimeInForce::Fok && !post_only;
    (!is_market || immediate)
        && !(is_stop && immediate)
        && c.flags >> 5 == 0
        && self_trade_asked(c.flags) <= 5
        && (!post_only || c.order_type == Limit && !immediate)
        && (post_only || c.flags & REPRICE == 0)
        && (is_stop || c.stop_price.0 == 0)
        && (matches!(c.order_type, Limit | StopLimit) && !immediate || c.display_quantity.0 == 0)
        && (asks_minimum || c.min_quantity.0 == 0)
        && (c.time_in_force == TimeInForce::Gtd || c.expires.0 == 0)
        && (is_market && c.side == Side::Buy && c.time_in_force == TimeInForce::Ioc
            || c.budget.0 == 0)
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
        let (least, most) = (self.instruments[i].quantity_min, self.instruments[i].quantity_max);
        let price_max = self.instruments[i].price_max;
        let best = self.best(c.instrument, c.side.opposite());
        let price = match (c.order_type, c.price.0) {
            (Market, 0) => self.band(c.instrument, c.side, best.ok_or(NoLiquidity)?),
            (Stop, 0) => self.band(c.instrument, c.side, c.stop_price.0),
            (_, price) => price,
        };
        ensure((1..=price_max).contains(&price), InvalidPrice)?;
        let by_budget = c.quantity.0 == 0 && c.budget.0 != 0;
        let quantity = if by_budget { most } else { c.quantity.0 };
        ensure((least..=most).contains(&quantity), InvalidQuantity)?;
        let is_stop = matches!(c.order_type, Stop | StopLimit);
        ensure(!is_stop || (1..=price_max).contains(&c.stop_price.0), InvalidStop)?;
        let display = c.display_quantity.0;
        let enough =
            (1..=quantity).contains(&display) && i128::from(display) * 100 >= quantity.into();
        ensure(display == 0 || enough, InvalidDisplay)?;
        ensure((0..=quantity).contains(&c.min_quantity.0), InvalidMinimum)?;
        let due = match c.time_in_force {
            TimeInForce::Gtd => c.expires.0,
            TimeInForce::Day => {
                let today = ctx.time.0 / DAY_NS * DAY_NS + self.day_end * 1_000_000_000;
                if today > ctx.time.0 { today } else { today + DAY_NS }
            }
            _ => 0,
        };
        ensure(due > ctx.time.0 || c.time_in_force != TimeInForce::Gtd, InvalidExpiry)?;
        ensure(c.budget.0 >= 0, InvalidBudget)?;
        let lot =
            i128::from(best.unwrap_or(0)) * i128::from(self.instruments[i].quote_per_tick_lot);
        ensure(!by_budget || i128::from(c.budget.0) >= lot, InvalidBudget)?;
        let client = c.client_order_id;
        let same = |o: &Order| o.client == client && o.account == c.account;
        ensure(client.0 == 0 || !self.live().any(same), DuplicateClientOrderId)?;
        let immediate = matches!(c.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        let rests = !immediate && c.order_type != Stop;
        let last = self.last[i];
        let is_there = match c.side {
            Side::Buy => last >= c.stop_price.0,
            Side::Sell => last <= c.stop_price.0,
        };
        let waits = is_stop && (last == 0 || !is_there);
        let has_room = self.live().count() < self.orders_max;
        ensure(has_room || !rests && !waits, CapacityReached)?;
        let asked = SelfTrade::from_u8(self_trade_asked(c.flags));
        let mut order = Order {
            id: OrderId(ctx.sequence.0),
            account: c.account,
            session: ctx.session,
            instrument: c.instrument,
            client,
            side: c.side,
            self_trade: asked.unwrap_or(self.accounts[&c.account].1),
            rests,
            price,
            quantity,
            filled: 0,
            stop_price: c.stop_price.0,
            display,
            visible: 0,
            budget: (c.budget.0 != 0).then_some(c.budget.0.into()),
            due,
        };
        if c.flags & POST_ONLY != 0 && self.best_maker(&order).is_some() {
            let behind = if c.side == Side::Buy { -1 } else { 1 };
            let wanted = i128::from(best.expect("something crosses")) + behind;
            let exists = (1..=i128::from(price_max)).contains(&wanted);
            ensure(exists && c.flags & REPRICE != 0, WouldTrade)?;
            order.price = wanted as i64;
        }
        self.change_hold(None, &order)?;
        if order.price != price {
            self.notes.push(order.update(OrderChange::Repriced, order.leaves()));
        }
        self.dues.extend((due != 0).then_some((due, order.id, c.instrument)));
        if waits {
            self.waiting[i].push(order);
            tell(result, &order, false, None);
            return Ok(());
        }
        let fok = c.time_in_force == TimeInForce::Fok;
        let minimum = i128::from(if fok { quantity } else { c.min_quantity.0 });
        if minimum > 0 && self.could_trade(&order) < minimum {
            self.release(&order);
            tell(result, &order, true, None);
            return Ok(());
        }
        self.bring(order, result)?;
        if by_budget && result.filled.0 > 0 && result.reason.is_none() {
            result.status = Status::FullyFilled;
        }
        Ok(())
    }

    pub(super) fn locate(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        (id, client): (OrderId, ClientOrderId),
    ) -> Result<(bool, usize), RejectReason> {
        self.account(account)?;
        self.instrument(instrument)?;
        let named = |order: &Order| match (id.0, client.0) {
            (0, 0) => false,
            (0, _) => order.client == client,
            _ => order.id == id,
        };
        self.find(instrument, |order| order.account == account && named(order)).ok_or(UnknownOrder)
    }

    pub(super) fn replace(&mut self, c: &ReplaceOrder, result: &mut CommandResult) -> Judged {
        let names = (c.order_id, c.orig_client_order_id);
        let (waits, at) = self.locate(c.account, c.instrument, names)?;
        let old = self.list(c.instrument, waits)[at];
        ensure(self.may_trade(&old), UnknownOrder)?;
        tell(result, &old, false, None);
        let it = &self.instruments[c.instrument.0 as usize - 1];
        let price = c.price.0;
        ensure((1..=it.price_max).contains(&price), InvalidPrice)?;
        ensure((it.quantity_min..=it.quantity_max).contains(&c.quantity.0), InvalidQuantity)?;
        ensure(c.quantity.0 > old.filled, TooLate)?;
        let mut new = Order { price, quantity: c.quantity.0, ..old };
        self.change_hold(Some(&old), &new)?;
        tell(result, &new, false, None);
        if waits || price == old.price && new.quantity < old.quantity {
            new.visible = old.visible.min(new.leaves());
            self.list(c.instrument, waits)[at] = new;
            return Ok(());
        }
        self.books[c.instrument.0 as usize - 1].remove(at);
        self.bring(new, result)
    }

    /// Where and how much an order holds.
    pub(super) fn hold(&self, order: &Order) -> (Cell, i128) {
        let it = &self.instruments[order.instrument.0 as usize - 1];
        let leaves = i128::from(order.leaves());
        match (order.side, order.budget) {
            (Side::Sell, _) => ((order.account, it.base), leaves * i128::from(it.base_per_lot)),
            (Side::Buy, Some(budget)) => ((order.account, it.quote), budget),
            (Side::Buy, None) => {
                let each = i128::from(order.price) * i128::from(it.quote_per_tick_lot);
                // Three 64-bit factors can pass even 128 bits; then the order is refused anyway.
                ((order.account, it.quote), leaves.saturating_mul(each))
            }
        }
    }

    /// Holds what an order needs, less what it held before.
    fn change_hold(&mut self, old: Option<&Order>, new: &Order) -> Judged {
        let held = old.map_or(0, |old| self.hold(old).1);
        let (cell, holds) = self.hold(new);
        ensure(holds <= i64::MAX.into(), Overflow)?;
        self.need(cell, holds - held)?;
        self.add(cell, held - holds, holds - held);
        Ok(())
    }

    /// The worst price of an order that names none: so far from this one, and one there can be.
    fn band(&self, instrument: InstrumentId, side: Side, from: i64) -> i64 {
        let it = &self.instruments[instrument.0 as usize - 1];
        let band = i128::from(from) * i128::from(it.market_band_bps) / 10_000;
        let worst = i128::from(from) + if side == Side::Buy { band } else { -band };
        worst.clamp(1, it.price_max.into()) as i64
    }
}
