//! A naive exchange to compare the real one with: vectors and loops over everything.
//!
//! It knows what `docs/ORDERS.md` says and nothing of the engine: no index, no level, no slot. All
//! live orders are one vector in order of time, and what they hold is added up whenever it is asked
//! for. What time brings stands in `model_time`, limits in `model_risk`.

use crate::exchange::forms::Note;
use crate::exchange::words::{Record, entered};
use crate::model_funds::Cell;
use crate::model_order::{Judged, Order, State, ensure, exists, sign};
use crate::model_risk::Risk;
use crate::model_time::Time;
use openoutcry::command::*;
use openoutcry::event::RejectReason::*;
use openoutcry::exchange::Context;
use openoutcry::genesis::Instrument;
use openoutcry::types::OrderType::{Market, Stop, StopLimit};
use openoutcry::types::SelfTrade::{Allow, CancelBoth, CancelNewest, CancelOldest, Decrement};
use openoutcry::types::TimeInForce::{Day, Fok, Gtd};
use openoutcry::types::*;
use std::collections::BTreeMap;

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;
const LIABILITY: AccountId = AccountId(1);

#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) instruments: Vec<Instrument>,
    pub(crate) assets: u32,
    pub(crate) orders_max: usize,
    /// From midnight.
    pub(crate) day_end_ns: u64,
    /// Group, and what happens instead of a trade with itself.
    pub(crate) accounts: BTreeMap<AccountId, (u32, SelfTrade)>,
    /// What accounts have, with what their orders hold of it.
    pub(crate) owned: BTreeMap<Cell, i128>,
    /// All live orders, in order of time.
    pub(crate) orders: Vec<Order>,
    /// The prices of last trades.
    pub(crate) last: BTreeMap<InstrumentId, i64>,
    pub(crate) risk: Risk,
    pub(crate) time: Time,
    /// Of the record: when it is, the order that it is about, and what happened so far.
    pub(crate) now: u64,
    pub(crate) sequence: u64,
    pub(crate) about: Option<Order>,
    pub(crate) notes: Vec<Note>,
}

impl Model {
    pub(crate) fn apply(&mut self, ctx: &Context, record: &Record) -> Judged {
        (self.now, self.sequence, self.about) = (ctx.time.0, ctx.sequence.0, None);
        self.notes.clear();
        self.pass_time(ctx);
        match record {
            Record::Session(change) => self.change_session(*change),
            _ if ctx.expires.0 != 0 && ctx.time > ctx.expires => return Err(Expired),
            Record::Admin(command) => self.administer(command)?,
            Record::Command(command) => self.judge(ctx, command)?,
        }
        Ok(())
    }

    fn judge(&mut self, ctx: &Context, command: &Command) -> Judged {
        if !matches!(command, Command::MassCancel(_) | Command::CancelOnDisconnect(_)) {
            self.account(command.account())?;
        }
        match command {
            Command::NewOrder(c) => self.enter(ctx, &entered(c)),
            Command::EnterOrder(c) => self.enter(ctx, c),
            Command::ReplaceOrder(c) => self.replace(c),
            Command::CancelOrder(c) => {
                let order = self.locate(c)?;
                self.take(&order);
                self.about = Some(Order { state: State::Ended, ..order });
                Ok(())
            }
            Command::MassCancel(c) => self.mass_cancel(ctx, c),
            Command::CancelOnDisconnect(c) => self.cancel_on_disconnect(ctx, c),
            Command::Deposit(c) => self.pay(LIABILITY, c.account, c.asset, c.amount),
            Command::Withdraw(c) => self.pay(c.account, LIABILITY, c.asset, c.amount),
            Command::Transfer(c) => {
                self.account(c.to)?;
                self.pay(c.from, c.to, c.asset, c.amount)
            }
        }
    }

    pub(crate) fn account(&self, id: AccountId) -> Judged {
        let is_known = self.accounts.contains_key(&id);
        ensure(&[(id != LIABILITY, LiabilityAccount), (is_known, UnknownAccount)])
    }

    pub(crate) fn instrument(&self, id: InstrumentId) -> Judged<&Instrument> {
        let index = (id.0 as usize).checked_sub(1).ok_or(UnknownInstrument)?;
        self.instruments.get(index).ok_or(UnknownInstrument)
    }

    fn enter(&mut self, ctx: &Context, c: &EnterOrder) -> Judged {
        self.instrument(c.instrument)?;
        ensure(&[(exists(c), UnsupportedOrder)])?;
        self.admit(c.account, c.instrument)?;
        let (it, sign) = (self.instrument(c.instrument)?, sign(c.side));
        let best = self.best(c.instrument, c.side.opposite()).map(|at| self.orders[at].price.0);
        let mut asked = *c;
        if c.price.0 == 0 && matches!(c.order_type, Market | Stop) {
            // The worst price is so far from another one, and one that there can be.
            let from = if c.order_type == Stop { c.stop_price.0 } else { best.ok_or(NoLiquidity)? };
            let band = i128::from(from) * i128::from(it.market_band_bps) / 10_000;
            let price = i128::from(from) + i128::from(sign) * band;
            asked.price.0 = price.clamp(1, it.price_max.into()) as i64;
        }
        let takes_all = c.quantity.0 == 0 && c.budget.0 > 0;
        if takes_all {
            asked.quantity.0 = it.quantity_max;
        }
        if c.time_in_force == Day {
            let end = self.now / DAY_NS * DAY_NS + self.day_end_ns;
            asked.expires.0 = if end > self.now { end } else { end + DAY_NS };
        }
        let self_trade = SelfTrade::from_u8(self_trade_asked(c.flags));
        let mut order = Order {
            asked,
            id: OrderId(ctx.sequence.0),
            session: ctx.session,
            self_trade: self_trade.unwrap_or(self.accounts[&c.account].1),
            state: State::Open,
            filled: 0,
            shown: 0,
            budget: c.budget.0.into(),
        };
        let (price, quantity) = (asked.price.0, asked.quantity.0);
        let bought = best.map_or(i128::MAX, |best| order.budget / self.cost(&order, best, 1));
        order.check(it)?;
        ensure(&[
            (c.display_quantity.0 <= quantity, InvalidDisplay),
            ((0..=quantity).contains(&c.min_quantity.0), InvalidMinimum),
            (c.time_in_force != Gtd || c.expires > ctx.time, InvalidExpiry),
            (c.budget.0 >= 0 && (!takes_all || bought > 0), InvalidBudget),
        ])?;
        let last = self.last.get(&c.instrument).map_or(i64::MIN, |last| sign * last);
        let is_stop = matches!(c.order_type, Stop | StopLimit);
        let waits = is_stop && last < sign * c.stop_price.0;
        if waits {
            order.state = State::Waits;
        }
        let crossed = best.filter(|best| c.flags & POST_ONLY != 0 && sign * best <= sign * price);
        let reprices = c.flags & REPRICE != 0;
        order.asked.price.0 = crossed.filter(|_| reprices).map_or(price, |best| best - sign);
        let posts = crossed.is_none() || reprices && (1..=it.price_max).contains(&order.price.0);
        let lots = if takes_all { bought.min(quantity.into()) as i64 } else { quantity };
        self.check_limits(&order, lots, None)?;
        let has_number =
            |o: &Order| (o.account, o.client_order_id) == (c.account, c.client_order_id);
        let is_taken = c.client_order_id.0 != 0 && self.orders.iter().any(has_number);
        ensure(&[
            (!is_taken, DuplicateClientOrderId),
            (!order.stays() || self.orders.len() < self.orders_max, CapacityReached),
            (posts, WouldTrade),
        ])?;
        self.afford(&order, 0)?;
        if order.price.0 != price {
            self.notes.push(Note::Change(OrderChange::Repriced, order));
        }
        let minimum = if c.time_in_force == Fok { quantity } else { c.min_quantity.0 };
        if waits {
            self.orders.push(order);
        } else if minimum > self.could_trade(&order) {
            order.state = State::Ended;
        } else {
            order = self.bring(order);
        }
        if takes_all && order.filled > 0 {
            order.asked.quantity.0 = order.filled;
        }
        self.about = Some(order);
        Ok(())
    }

    /// The live order that a cancel names, by its id or else by its client's number.
    fn locate(&self, c: &CancelOrder) -> Judged<Order> {
        self.instrument(c.instrument)?;
        let is_named = |order: &&Order| match c.order_id.0 {
            0 => c.orig_client_order_id.0 != 0 && order.client_order_id == c.orig_client_order_id,
            _ => order.id == c.order_id,
        };
        let mut own = self.orders.iter().filter(|order| order.account == c.account);
        let named = own.find(is_named).copied();
        let was_given = c.order_id.0 != 0 && c.order_id.0 < self.sequence;
        let order = named.ok_or(if was_given { TooLate } else { UnknownOrder })?;
        if order.instrument == c.instrument { Ok(order) } else { Err(UnknownOrder) }
    }

    fn replace(&mut self, c: &ReplaceOrder) -> Judged {
        let ReplaceOrder { account, instrument, order_id, orig_client_order_id, .. } = *c;
        let old =
            self.locate(&CancelOrder { account, instrument, order_id, orig_client_order_id })?;
        let gone = if order_id.0 == 0 { UnknownOrder } else { TooLate };
        ensure(&[(!self.is_over(&old), gone)])?;
        self.about = Some(old);
        self.admit(account, instrument)?;
        let mut new = old;
        (new.asked.price, new.asked.quantity) = (c.price, c.quantity);
        new.check(self.instrument(instrument)?)?;
        let keeps_place = c.price == old.price && c.quantity < old.quantity;
        if !keeps_place {
            self.check_limits(&new, c.quantity.0, Some(&old))?;
        }
        self.afford(&new, self.holds(&old).1)?;
        if old.state == State::Waits || keeps_place {
            new.shown = old.shown.min(new.leaves());
            self.orders.iter_mut().filter(|order| order.id == old.id).for_each(|it| *it = new);
        } else {
            self.take(&old);
            new = self.bring(new);
        }
        self.about = Some(new);
        Ok(())
    }

    /// An order comes into the market, then one after another the stops that this makes due; gives
    /// the order as it is before those.
    fn bring(&mut self, order: Order) -> Order {
        let own = self.trade(order);
        while let Some(stop) = self.next_stop(order.instrument) {
            self.take(&stop);
            if self.is_over(&stop) {
                self.notes.push(Note::Change(OrderChange::Expired, stop));
                continue;
            }
            self.notes.push(Note::Change(OrderChange::Triggered, stop));
            let done = self.trade(Order { state: State::Open, ..stop });
            let change = match done.state {
                State::Prevented => OrderChange::SelfTrade,
                State::Ended if done.leaves() > 0 => OrderChange::Unfilled,
                State::Open if done.quantity < stop.quantity => OrderChange::Reduced,
                _ => continue,
            };
            self.notes.push(Note::Change(change, done));
        }
        own
    }

    /// The waiting stop that comes next of those that the record's trades made due.
    fn next_stop(&self, instrument: InstrumentId) -> Option<Order> {
        let prices = self.notes.iter().filter_map(|note| match note {
            Note::Trade(_, maker, _) => Some(maker.price.0),
            _ => None,
        });
        let rank = |stop: &Order| sign(stop.side) * stop.stop_price.0;
        let is_due = |o: &&Order| {
            let waits = o.instrument == instrument && o.state == State::Waits;
            waits && prices.clone().any(|price| sign(o.side) * price >= rank(o))
        };
        let due: Vec<&Order> = self.orders.iter().filter(is_due).collect();
        let first = |side| {
            let of_side = due.iter().filter(|stop| stop.side == side);
            of_side.min_by_key(|stop| (rank(stop), stop.id))
        };
        let both = [first(Side::Buy), first(Side::Sell)];
        both.into_iter().flatten().min_by_key(|stop| stop.id).map(|stop| **stop)
    }

    /// An order trades; what is left then goes into the book, or ends.
    fn trade(&mut self, mut order: Order) -> Order {
        self.meet(&mut order);
        if order.state == State::Open && order.stays() && order.leaves() > 0 {
            self.queue(order);
        } else if order.state == State::Open {
            order.state = State::Ended;
        }
        order
    }

    /// Trades an order that is not in the book with the next other one until nothing crosses.
    fn meet(&mut self, taker: &mut Order) {
        while taker.state == State::Open && taker.leaves() > 0 {
            let Some(at) = self.best(taker.instrument, taker.side.opposite()) else { return };
            let mut maker = self.orders[at];
            if sign(taker.side) * maker.price.0 > sign(taker.side) * taker.price.0 {
                return;
            }
            if self.is_over(&maker) {
                self.end(OrderChange::Expired, &maker);
                continue;
            }
            let mut quantity = maker.shown.min(taker.leaves());
            if taker.asked.budget.0 != 0 {
                let lots = taker.budget / self.cost(taker, maker.price.0, 1);
                quantity = lots.min(quantity.into()) as i64;
            }
            if quantity == 0 {
                return;
            }
            let mode = if self.one_owner(taker, &maker) { taker.self_trade } else { Allow };
            if matches!(mode, CancelNewest | CancelBoth) {
                taker.state = State::Prevented;
            }
            match mode {
                CancelNewest => {}
                CancelOldest | CancelBoth => self.end(OrderChange::SelfTrade, &maker),
                Decrement => {
                    maker.asked.quantity.0 -= quantity;
                    taker.asked.quantity.0 -= quantity;
                    let is_left = maker.leaves() > 0;
                    let change =
                        if is_left { OrderChange::Reduced } else { OrderChange::SelfTrade };
                    self.notes.push(Note::Change(change, maker));
                    self.show_less(maker, quantity);
                    if taker.leaves() == 0 {
                        taker.state = State::Prevented;
                    }
                }
                Allow => {
                    self.settle(taker, &mut maker, quantity);
                    self.show_less(maker, quantity);
                }
            }
        }
    }

    /// Both orders of a trade get and give.
    fn settle(&mut self, taker: &mut Order, maker: &mut Order, quantity: i64) {
        let it = self.instrument(taker.instrument).expect("it is traded").clone();
        let cost = self.cost(taker, maker.price.0, quantity);
        let lots = i128::from(quantity) * i128::from(it.base_per_lot);
        taker.budget -= cost;
        for order in [&mut *taker, &mut *maker] {
            order.filled += quantity;
            self.count_trade(order, quantity);
        }
        let is_buy = taker.side == Side::Buy;
        let (buyer, seller) = if is_buy { (&*taker, &*maker) } else { (&*maker, &*taker) };
        self.hand(buyer.account, seller.account, it.quote, cost);
        self.hand(seller.account, buyer.account, it.base, lots);
        self.last.insert(it.id, maker.price.0);
        self.notes.push(Note::Trade(*taker, *maker, quantity));
    }

    /// What an order could trade, tried on a copy. Where it would not trade with an order of its
    /// owner, nothing behind that counts; unless that is cancelled and it goes on.
    fn could_trade(&self, order: &Order) -> i64 {
        let mut tried = *order;
        if tried.self_trade == Decrement {
            tried.self_trade = CancelNewest;
        }
        self.clone().meet(&mut tried);
        tried.filled
    }

    fn one_owner(&self, a: &Order, b: &Order) -> bool {
        let (of_a, of_b) = (self.accounts[&a.account].0, self.accounts[&b.account].0);
        a.account == b.account || of_a != 0 && of_a == of_b
    }

    /// Where the first order of a side's best price is.
    fn best(&self, instrument: InstrumentId, side: Side) -> Option<usize> {
        let is_there =
            |o: &Order| (o.instrument, o.side, o.state) == (instrument, side, State::Open);
        let book = self.orders.iter().enumerate().filter(|(_, order)| is_there(order));
        book.min_by_key(|(_, order)| -sign(side) * order.price.0).map(|(at, _)| at)
    }

    /// Whether its time is over.
    pub(crate) fn is_over(&self, order: &Order) -> bool {
        order.expires.0 != 0 && order.expires.0 <= self.now
    }

    fn take(&mut self, order: &Order) {
        self.orders.retain(|other| other.id != order.id);
    }

    /// Takes a live order away, and tells its session why.
    pub(crate) fn end(&mut self, change: OrderChange, order: &Order) {
        self.take(order);
        self.notes.push(Note::Change(change, *order));
    }

    /// An order goes to the end of the queue of its price: of an iceberg the next part.
    fn queue(&mut self, mut order: Order) {
        let (leaves, part) = (order.leaves(), order.display_quantity.0);
        order.shown = if part == 0 { leaves } else { part.min(leaves) };
        self.orders.push(order);
    }

    /// An order in the book has so much less to show: it stays, ends, or shows its next part.
    fn show_less(&mut self, mut order: Order, less: i64) {
        order.shown -= less;
        if order.shown > 0 {
            self.orders.iter_mut().filter(|it| it.id == order.id).for_each(|it| *it = order);
            return;
        }
        self.take(&order);
        if order.leaves() > 0 {
            self.queue(order);
        }
    }
}
