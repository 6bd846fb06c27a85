//! A naive exchange to compare the real one with: vectors and loops over everything.
//!
//! It knows what `docs/ORDERS.md` says and nothing of the engine: no index, no level, no slot. All
//! live orders of an instrument are one vector in order of time.

use crate::exchange::words::entered;
use openoutcry::command::{
    Command, EnterOrder, POST_ONLY, REPRICE, ReplaceOrder, self_trade_asked,
};
use openoutcry::event::RejectReason::{self, *};
use openoutcry::exchange::Context;
use openoutcry::genesis::Instrument;
use openoutcry::types::OrderChange::{self, Reduced, Repriced, Triggered, Unfilled};
use openoutcry::types::OrderType::{Limit, Market, Stop, StopLimit};
use openoutcry::types::SelfTrade::{
    self, Allow, CancelBoth, CancelNewest, CancelOldest, Decrement,
};
use openoutcry::types::TimeInForce::{Day, Fok, Gtd, Ioc};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderId, SessionId, Side,
};
use std::collections::BTreeMap;

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;
const LIABILITY: AccountId = AccountId(1);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// A stop that waits is live, but not in the book.
    Waits,
    /// In the book, or on its way there.
    Open,
    Ended,
    /// Ended instead of trading with an order of its owner.
    Prevented,
}

/// A live order, or one that comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// As it was entered; what can change since stands below.
    pub(crate) asked: EnterOrder,
    pub(crate) id: OrderId,
    pub(crate) session: SessionId,
    self_trade: SelfTrade,
    pub(crate) state: State,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) filled: i64,
    /// What of it the book shows.
    pub(crate) shown: i64,
    /// What is left of the budget, where it has one.
    budget: Option<i128>,
    /// When it ends; 0 for never.
    due: u64,
}

impl Order {
    /// Its instrument's index.
    fn i(&self) -> usize {
        self.asked.instrument.0 as usize - 1
    }

    pub(crate) fn leaves(&self) -> i64 {
        self.quantity - self.filled
    }

    /// Whether what is left of it goes into the book when it has done its trades.
    fn rests(&self) -> bool {
        matches!(self.asked.order_type, Limit | StopLimit) && !is_immediate(&self.asked)
    }
}

fn is_immediate(c: &EnterOrder) -> bool {
    matches!(c.time_in_force, Ioc | Fok)
}

/// 1 of a buy, -1 of a sell: prices times this are higher where the other side likes them more.
fn sign(side: Side) -> i64 {
    if side == Side::Buy { 1 } else { -1 }
}

/// Whether the table of kinds has such an order, by what a kind can use beside price and quantity.
fn exists(c: &EnterOrder) -> bool {
    let is_post_only = c.flags & POST_ONLY != 0;
    let usable = match (c.order_type, c.time_in_force) {
        (Limit | Market, Fok) => "",
        (Limit, Ioc) => "minimum",
        (Limit, _) if is_post_only => "post-only reprice display",
        (Limit, _) => "minimum display",
        (Market, Ioc) if c.side == Side::Buy => "minimum budget",
        (Market, Ioc) => "minimum",
        (Stop, _) if !is_immediate(c) => "stop",
        (StopLimit, _) if !is_immediate(c) => "stop display",
        _ => return false,
    };
    let uses = |name: &str, is_used: bool| !is_used || usable.contains(name);
    uses("post-only", is_post_only)
        && uses("reprice", c.flags & REPRICE != 0)
        && uses("minimum", c.min_quantity.0 != 0)
        && uses("display", c.display_quantity.0 != 0)
        && uses("stop", c.stop_price.0 != 0)
        && uses("budget", c.budget.0 != 0)
        && (c.expires.0 == 0 || c.time_in_force == Gtd)
        && (c.flags >> 5 == 0 && self_trade_asked(c.flags) <= 5)
}

type Judged = Result<(), RejectReason>;
/// (account, asset), and (available, frozen)
pub(crate) type Cell = (AccountId, AssetId);
pub(crate) type Balance = (i128, i128);

/// All of these, or the reason of the first that is not.
fn ensure(checks: &[(bool, RejectReason)]) -> Judged {
    checks.iter().find(|(right, _)| !right).map_or(Ok(()), |(_, reason)| Err(*reason))
}

/// What happens to orders, each as it is right after that.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// Taker, maker and quantity.
    Trade(Order, Order, i64),
    Change(OrderChange, Order),
}

/// What becomes of a command.
pub(crate) struct Outcome {
    pub(crate) refused: Option<RejectReason>,
    /// The order that it is about.
    pub(crate) order: Option<Order>,
    pub(crate) notes: Vec<Note>,
}

#[derive(Clone, Default)]
pub(crate) struct Model {
    instruments: Vec<Instrument>,
    assets: u32,
    /// Group, and what happens instead of a trade with itself.
    pub(crate) accounts: BTreeMap<AccountId, (u32, SelfTrade)>,
    orders_max: usize,
    /// From midnight.
    pub(crate) day_end_ns: u64,
    /// By instrument, each in order of time.
    pub(crate) orders: Vec<Vec<Order>>,
    /// By instrument: the price of the last trade, 0 before the first.
    pub(crate) last: Vec<i64>,
    pub(crate) balances: BTreeMap<Cell, Balance>,
    /// The balances that the command touched, as they were before it.
    pub(crate) before: BTreeMap<Cell, Balance>,
    /// A wrong model, for tests of what finds such: the last order at a price trades first.
    pub(crate) lifo: bool,
    now: u64,
    /// Of the command: the order it is about, and what happened so far.
    about: Option<Order>,
    notes: Vec<Note>,
}

impl Model {
    pub(crate) fn new(instruments: Vec<Instrument>, assets: u32, orders_max: usize) -> Model {
        let (orders, last) = (vec![Vec::new(); instruments.len()], vec![0; instruments.len()]);
        Model { instruments, assets, orders_max, orders, last, ..Model::default() }
    }

    pub(crate) fn apply(&mut self, ctx: &Context, command: &Command) -> Outcome {
        self.before.clear();
        self.now = ctx.time.0;
        self.expire();
        let refused = self.judge(ctx, command).err();
        Outcome { refused, order: self.about.take(), notes: std::mem::take(&mut self.notes) }
    }

    /// Cancels what is due, at most 64 orders with a record.
    fn expire(&mut self) {
        for _ in 0..64 {
            let due = self.orders.iter().flatten().filter(|order| self.is_over(order));
            let Some(first) = due.min_by_key(|order| (order.due, order.id)).copied() else {
                return;
            };
            self.end(&first, OrderChange::Expired);
        }
    }

    fn judge(&mut self, ctx: &Context, command: &Command) -> Judged {
        ensure(&[(ctx.expires.0 == 0 || ctx.time <= ctx.expires, RejectReason::Expired)])?;
        self.account(command.account())?;
        match command {
            Command::NewOrder(c) => self.enter(ctx, &entered(c)),
            Command::EnterOrder(c) => self.enter(ctx, c),
            Command::ReplaceOrder(c) => self.replace(c),
            Command::CancelOrder(c) => {
                let names = (c.order_id, c.orig_client_order_id);
                let order = self.locate(c.account, c.instrument, names)?;
                self.take(&order);
                self.release(&order);
                self.about = Some(Order { state: State::Ended, ..order });
                Ok(())
            }
            Command::Deposit(c) => self.pay(LIABILITY, c.account, c.asset, c.amount),
            Command::Withdraw(c) => self.pay(c.account, LIABILITY, c.asset, c.amount),
            Command::Transfer(c) => {
                self.account(c.to)?;
                self.pay(c.from, c.to, c.asset, c.amount)
            }
            Command::MassCancel(_) | Command::CancelOnDisconnect(_) => {
                unreachable!("the streams have none of these")
            }
        }
    }

    fn pay(&mut self, from: AccountId, to: AccountId, asset: AssetId, amount: Amount) -> Judged {
        let amount = i128::from(amount.0);
        let rest = self.balance((from, asset)).0 - amount;
        ensure(&[
            (from != to, SameAccount),
            (asset.0 >= 1 && asset.0 <= self.assets, UnknownAsset),
            (amount > 0, InvalidAmount),
            (from != LIABILITY || rest >= -i128::from(i64::MAX), Overflow),
            (from == LIABILITY || rest >= 0, InsufficientFunds),
        ])?;
        self.add((from, asset), -amount, 0);
        self.add((to, asset), amount, 0);
        Ok(())
    }

    fn account(&self, id: AccountId) -> Judged {
        let is_known = self.accounts.contains_key(&id);
        ensure(&[(id != LIABILITY, LiabilityAccount), (is_known, UnknownAccount)])
    }

    /// An instrument's index.
    fn instrument(&self, id: InstrumentId) -> Result<usize, RejectReason> {
        let index = (id.0 as usize).checked_sub(1).filter(|i| *i < self.instruments.len());
        index.ok_or(UnknownInstrument)
    }

    fn enter(&mut self, ctx: &Context, c: &EnterOrder) -> Judged {
        let i = self.instrument(c.instrument)?;
        ensure(&[(exists(c), UnsupportedOrder)])?;
        let (it, sign, last) = (&self.instruments[i], sign(c.side), self.last[i]);
        let best = self.best(i, c.side.opposite()).map(|maker| maker.price);
        // The worst price where none is named: so far from another one, and one there can be.
        let band = |from: i64| {
            let away = i128::from(from) * i128::from(it.market_band_bps) / 10_000;
            (i128::from(from) + i128::from(sign) * away).clamp(1, it.price_max.into()) as i64
        };
        let price = match (c.order_type, c.price.0) {
            (Market, 0) => band(best.ok_or(NoLiquidity)?),
            (Stop, 0) => band(c.stop_price.0),
            (_, price) => price,
        };
        let (stop, display, budget) = (c.stop_price.0, c.display_quantity.0, c.budget.0);
        let by_budget = c.quantity.0 == 0 && budget > 0;
        let quantity = if by_budget { it.quantity_max } else { c.quantity.0 };
        let first_lot = self.cost(i, best.unwrap_or(0), 1);
        let is_stop = matches!(c.order_type, Stop | StopLimit);
        let prices = 1..=it.price_max;
        let shows_enough = i128::from(display) * 100 >= quantity.into();
        let client = (c.account, c.client_order_id);
        let live = self.orders.iter().flatten();
        let is_taken = live.clone().any(|o| (o.asked.account, o.asked.client_order_id) == client);
        ensure(&[
            (prices.contains(&price), InvalidPrice),
            ((it.quantity_min..=it.quantity_max).contains(&quantity), InvalidQuantity),
            (!is_stop || prices.contains(&stop), InvalidStop),
            (display == 0 || (1..=quantity).contains(&display) && shows_enough, InvalidDisplay),
            ((0..=quantity).contains(&c.min_quantity.0), InvalidMinimum),
            (c.time_in_force != Gtd || c.expires > ctx.time, InvalidExpiry),
            (budget >= 0 && (!by_budget || i128::from(budget) >= first_lot), InvalidBudget),
            (client.1.0 == 0 || !is_taken, DuplicateClientOrderId),
        ])?;
        let day_end = self.now / DAY_NS * DAY_NS + self.day_end_ns;
        let waits = is_stop && (last == 0 || sign * last < sign * stop);
        let asked = SelfTrade::from_u8(self_trade_asked(c.flags));
        let mut order = Order {
            asked: *c,
            id: OrderId(ctx.sequence.0),
            session: ctx.session,
            self_trade: asked.unwrap_or(self.accounts[&c.account].1),
            state: if waits { State::Waits } else { State::Open },
            price,
            quantity,
            filled: 0,
            shown: 0,
            budget: (budget != 0).then_some(budget.into()),
            due: match c.time_in_force {
                Gtd => c.expires.0,
                Day if day_end > self.now => day_end,
                Day => day_end + DAY_NS,
                _ => 0,
            },
        };
        let is_full = live.count() >= self.orders_max;
        ensure(&[(!is_full || !order.rests() && !waits, CapacityReached)])?;
        if c.flags & POST_ONLY != 0 && self.next_maker(&order).is_some() {
            let behind = best.and_then(|best| best.checked_sub(sign));
            let right = behind.filter(|price| prices.contains(price) && c.flags & REPRICE != 0);
            order.price = right.ok_or(WouldTrade)?;
        }
        self.hold(0, &order)?;
        if order.price != price {
            self.notes.push(Note::Change(Repriced, order));
        }
        let minimum = if c.time_in_force == Fok { quantity } else { c.min_quantity.0 };
        if waits {
            self.orders[i].push(order);
        } else if minimum > self.could_trade(&order) {
            self.release(&order);
            order.state = State::Ended;
        } else {
            self.bring(order);
            return Ok(());
        }
        self.about = Some(order);
        Ok(())
    }

    fn locate(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        (id, client): (OrderId, ClientOrderId),
    ) -> Result<Order, RejectReason> {
        let i = self.instrument(instrument)?;
        let is_named = |order: &Order| match (id.0, client.0) {
            (0, 0) => false,
            (0, _) => order.asked.client_order_id == client,
            _ => order.id == id,
        };
        let mut own = self.orders[i].iter().filter(|order| order.asked.account == account);
        own.find(|order| is_named(order)).copied().ok_or(UnknownOrder)
    }

    fn replace(&mut self, c: &ReplaceOrder) -> Judged {
        let names = (c.order_id, c.orig_client_order_id);
        let old = self.locate(c.account, c.instrument, names)?;
        ensure(&[(!self.is_over(&old), UnknownOrder)])?;
        self.about = Some(old);
        let (price, quantity, it) = (c.price.0, c.quantity.0, &self.instruments[old.i()]);
        let display = i128::from(old.asked.display_quantity.0);
        ensure(&[
            ((1..=it.price_max).contains(&price), InvalidPrice),
            ((it.quantity_min..=it.quantity_max).contains(&quantity), InvalidQuantity),
            (quantity > old.filled, TooLate),
            (display == 0 || display * 100 >= quantity.into(), InvalidDisplay),
        ])?;
        let mut new = Order { price, quantity, ..old };
        self.hold(self.holds(&old).1, &new)?;
        if old.state == State::Waits || price == old.price && quantity < old.quantity {
            new.shown = old.shown.min(new.leaves());
            *self.live(&old) = new;
            self.about = Some(new);
        } else {
            self.take(&old);
            self.bring(new);
        }
        Ok(())
    }

    /// The command's own order trades, then the stops that this makes due.
    fn bring(&mut self, mut order: Order) {
        self.trade(&mut order);
        self.about = Some(order);
        while let Some(mut stop) = self.next_stop(order.i()) {
            if self.is_over(&stop) {
                self.end(&stop, OrderChange::Expired);
                continue;
            }
            self.take(&stop);
            self.notes.push(Note::Change(Triggered, stop));
            let quantity = stop.quantity;
            stop.state = State::Open;
            self.trade(&mut stop);
            let change = match stop.state {
                State::Prevented => OrderChange::SelfTrade,
                State::Ended if stop.leaves() > 0 => Unfilled,
                State::Open if stop.quantity < quantity => Reduced,
                _ => continue,
            };
            self.notes.push(Note::Change(change, stop));
        }
    }

    /// The waiting stop that comes next of those that the command's trades made due.
    fn next_stop(&self, i: usize) -> Option<Order> {
        let prices = self.notes.iter().filter_map(|note| match note {
            Note::Trade(_, maker, _) => Some(maker.price),
            Note::Change(..) => None,
        });
        let first = |side: Side| {
            let rank = |stop: &Order| sign(side) * stop.asked.stop_price.0;
            let is_due =
                |stop: &Order| prices.clone().any(|price| sign(side) * price >= rank(stop));
            let stops = self.orders[i].iter().filter(|o| o.state == State::Waits);
            let due = stops.filter(|stop| stop.asked.side == side && is_due(stop));
            due.min_by_key(|stop| (rank(stop), stop.id)).copied()
        };
        [first(Side::Buy), first(Side::Sell)].into_iter().flatten().min_by_key(|order| order.id)
    }

    /// An order trades; what is left then goes into the book, or ends.
    fn trade(&mut self, order: &mut Order) {
        self.meet(order);
        if order.state == State::Open && order.rests() && order.leaves() > 0 {
            return self.queue(*order);
        }
        self.release(order);
        if order.state == State::Open {
            order.state = State::Ended;
            // Without a quantity of its own it is filled where it bought anything.
            if order.asked.quantity.0 == 0 && order.filled > 0 {
                order.quantity = order.filled;
            }
        }
    }

    /// Trades an order that is not in the book with the next other one until nothing crosses.
    fn meet(&mut self, taker: &mut Order) {
        while taker.state == State::Open && taker.leaves() > 0 {
            let Some(mut maker) = self.next_maker(taker) else { return };
            if self.is_over(&maker) {
                self.end(&maker, OrderChange::Expired);
                continue;
            }
            let lot = self.cost(taker.i(), maker.price, 1);
            let payable = taker.budget.map_or(i64::MAX, |budget| (budget / lot) as i64);
            let quantity = maker.shown.min(taker.leaves()).min(payable);
            if quantity == 0 {
                return;
            }
            let mode = if self.one_owner(taker, &maker) { taker.self_trade } else { Allow };
            match mode {
                Allow => {
                    let price = maker.price;
                    self.settle(taker, price, quantity);
                    self.settle(&mut maker, price, quantity);
                    self.last[taker.i()] = price;
                    self.notes.push(Note::Trade(*taker, maker, quantity));
                    self.show_less(maker, quantity);
                }
                CancelNewest => taker.state = State::Prevented,
                CancelOldest => self.end(&maker, OrderChange::SelfTrade),
                CancelBoth => {
                    self.end(&maker, OrderChange::SelfTrade);
                    taker.state = State::Prevented;
                }
                Decrement => {
                    self.lose(&mut maker, quantity);
                    let change = if maker.leaves() == 0 { OrderChange::SelfTrade } else { Reduced };
                    self.notes.push(Note::Change(change, maker));
                    self.show_less(maker, quantity);
                    self.lose(taker, quantity);
                    if taker.leaves() == 0 {
                        taker.state = State::Prevented;
                    }
                }
            }
        }
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
        let (a, b) = (a.asked.account, b.asked.account);
        let (of_a, of_b) = (self.accounts[&a].0, self.accounts[&b].0);
        a == b || of_a != 0 && of_a == of_b
    }

    /// The first order of a side's best price.
    fn best(&self, i: usize, side: Side) -> Option<Order> {
        let is_there = |order: &Order| order.asked.side == side && order.state == State::Open;
        let book = self.orders[i].iter().enumerate().filter(|(_, order)| is_there(order));
        let age = |at: usize| if self.lifo { usize::MAX - at } else { at };
        let first = book.min_by_key(|(at, order)| (-sign(side) * order.price, age(*at)));
        first.map(|(_, order)| *order)
    }

    /// The order that the next trade is with.
    fn next_maker(&self, taker: &Order) -> Option<Order> {
        let sign = sign(taker.asked.side);
        let best = self.best(taker.i(), taker.asked.side.opposite());
        best.filter(|maker| sign * maker.price <= sign * taker.price)
    }

    /// Whether its time is over.
    fn is_over(&self, order: &Order) -> bool {
        order.due != 0 && order.due <= self.now
    }

    /// What so many lots cost. Three 64-bit factors can pass even 128 bits; that is too much anyway.
    fn cost(&self, i: usize, price: i64, lots: i64) -> i128 {
        let each = i128::from(price) * i128::from(self.instruments[i].quote_per_tick_lot);
        each.saturating_mul(lots.into())
    }

    /// Where and how much an order holds.
    fn holds(&self, order: &Order) -> (Cell, i128) {
        let (account, leaves) = (order.asked.account, order.leaves());
        let it = &self.instruments[order.i()];
        let cost = self.cost(order.i(), order.price, leaves);
        match order.asked.side {
            Side::Buy => ((account, it.quote), order.budget.unwrap_or(cost)),
            Side::Sell => ((account, it.base), i128::from(leaves) * i128::from(it.base_per_lot)),
        }
    }

    /// Holds what an order needs, less what it held before.
    fn hold(&mut self, held: i128, order: &Order) -> Judged {
        let (cell, holds) = self.holds(order);
        let is_enough = self.balance(cell).0 >= holds - held;
        ensure(&[(holds <= i64::MAX.into(), Overflow), (is_enough, InsufficientFunds)])?;
        self.add(cell, held - holds, holds - held);
        Ok(())
    }

    /// Gives back what an order still holds.
    fn release(&mut self, order: &Order) {
        let (cell, amount) = self.holds(order);
        self.add(cell, amount, -amount);
    }

    /// An order loses quantity, and what it held for that.
    fn lose(&mut self, order: &mut Order, quantity: i64) {
        let (cell, held) = self.holds(order);
        order.quantity -= quantity;
        let freed = held - self.holds(order).1;
        self.add(cell, freed, -freed);
    }

    /// One side of a trade: what the order held for it comes free, it pays, and is paid.
    fn settle(&mut self, order: &mut Order, price: i64, quantity: i64) {
        let (i, account) = (order.i(), order.asked.account);
        let (cell, held) = self.holds(order);
        let paid = self.cost(i, price, quantity);
        order.filled += quantity;
        order.budget = order.budget.map(|budget| budget - paid);
        let freed = held - self.holds(order).1;
        self.add(cell, freed, -freed);
        let it = &self.instruments[i];
        let (base, quote) = ((account, it.base), (account, it.quote));
        let lots = i128::from(quantity) * i128::from(it.base_per_lot);
        let sign = i128::from(sign(order.asked.side));
        self.add(quote, -sign * paid, 0);
        self.add(base, sign * lots, 0);
    }

    pub(crate) fn balance(&self, cell: Cell) -> Balance {
        self.balances.get(&cell).copied().unwrap_or_default()
    }

    fn add(&mut self, cell: Cell, available: i128, frozen: i128) {
        let balance = self.balances.entry(cell).or_default();
        self.before.entry(cell).or_insert(*balance);
        *balance = (balance.0 + available, balance.1 + frozen);
    }

    /// A live order in its place.
    fn live(&mut self, order: &Order) -> &mut Order {
        self.orders[order.i()].iter_mut().find(|o| o.id == order.id).expect("it is live")
    }

    fn take(&mut self, order: &Order) {
        self.orders[order.i()].retain(|o| o.id != order.id);
    }

    /// Takes a live order away, and tells its session why.
    fn end(&mut self, order: &Order, change: OrderChange) {
        self.take(order);
        self.release(order);
        self.notes.push(Note::Change(change, *order));
    }

    /// An order goes to the end of the queue of its price: of an iceberg the next part.
    fn queue(&mut self, mut order: Order) {
        let (leaves, part) = (order.leaves(), order.asked.display_quantity.0);
        order.shown = if part == 0 { leaves } else { part.min(leaves) };
        self.orders[order.i()].push(order);
    }

    /// An order in the book has so much less to show: it stays, ends, or shows its next part.
    fn show_less(&mut self, mut maker: Order, less: i64) {
        maker.shown -= less;
        if maker.shown > 0 {
            *self.live(&maker) = maker;
            return;
        }
        self.take(&maker);
        if maker.leaves() > 0 {
            self.queue(maker);
        }
    }
}
