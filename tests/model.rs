//! A naive exchange to compare the real one with: vectors, maps and loops over everything.
//!
//! It knows the rules and nothing of the engine: no index, no level, no slot.

use openoutcry::command::{Command, NewOrder, ReplaceOrder};
use openoutcry::event::RejectReason::{self, *};
use openoutcry::exchange::Context;
use openoutcry::genesis::Instrument;
use openoutcry::types::{ClientOrderId, OrderId, OrderType, Side, Status, TimeInForce};
use std::collections::{BTreeMap, BTreeSet};

/// A live order; the place in the vector of all orders is its time priority.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) id: u64,
    pub(crate) account: u64,
    pub(crate) session: u32,
    pub(crate) instrument: u32,
    pub(crate) client: u64,
    pub(crate) side: Side,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) filled: i64,
}

impl Live {
    pub(crate) fn leaves(&self) -> i64 {
        self.quantity - self.filled
    }
}

/// What the model says happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: Status,
    pub(crate) reason: Option<RejectReason>,
    pub(crate) order: u64,
    pub(crate) filled: i64,
    pub(crate) leaves: i64,
    pub(crate) outbound: u64,
    /// (maker, price, quantity, leaves of the maker)
    pub(crate) trades: Vec<(u64, i64, i64, i64)>,
    /// (session, outbound, order, client, quantity, filled)
    pub(crate) maker_fills: Vec<(u32, u64, u64, u64, i64, i64)>,
    /// (account, asset) -> (available, frozen)
    pub(crate) balances: BTreeMap<(u64, u32), (i128, i128)>,
}

pub(crate) struct Model {
    pub(crate) instruments: Vec<Instrument>,
    pub(crate) assets: u32,
    pub(crate) accounts: BTreeSet<u64>,
    pub(crate) orders: Vec<Live>,
    pub(crate) orders_max: usize,
    pub(crate) available: BTreeMap<(u64, u32), i128>,
    pub(crate) frozen: BTreeMap<(u64, u32), i128>,
    pub(crate) outbound: BTreeMap<u32, u64>,
    touched: BTreeSet<(u64, u32)>,
    trades: Vec<(u64, i64, i64, i64)>,
    told: Vec<(u32, u64, u64, i64, i64)>,
}

/// Status, order, filled, leaves.
type Done = (Status, u64, i64, i64);
type Refused = (RejectReason, u64, i64, i64);

/// Whether an order that comes in can trade with one in the book.
fn crosses(taker: &Live, maker: &Live) -> bool {
    let price_is_good = match taker.side {
        Side::Buy => maker.price <= taker.price,
        Side::Sell => maker.price >= taker.price,
    };
    maker.instrument == taker.instrument && maker.side != taker.side && price_is_good
}

fn no(reason: RejectReason) -> Refused {
    (reason, 0, 0, 0)
}

impl Model {
    pub(crate) fn new(
        instruments: Vec<Instrument>,
        assets: u32,
        accounts: BTreeSet<u64>,
        orders_max: usize,
    ) -> Model {
        Model {
            instruments,
            assets,
            accounts,
            orders: Vec::new(),
            orders_max,
            available: BTreeMap::new(),
            frozen: BTreeMap::new(),
            outbound: BTreeMap::new(),
            touched: BTreeSet::new(),
            trades: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, ctx: &Context, command: &Command) -> Expected {
        self.touched.clear();
        self.trades.clear();
        self.told.clear();
        let done = self.judge(ctx, command);
        let (status, reason, order, filled, leaves) = match done {
            Ok((status, order, filled, leaves)) => (status, None, order, filled, leaves),
            Err((reason, order, filled, leaves)) => {
                (Status::Rejected, Some(reason), order, filled, leaves)
            }
        };
        let further = self.trades.len().saturating_sub(16) as u64;
        let outbound = self.number(ctx.session.0, 1 + further);
        let told = std::mem::take(&mut self.told);
        let tell = |(session, order, client, quantity, filled)| {
            (session, self.number(session, 1), order, client, quantity, filled)
        };
        let maker_fills = told.into_iter().map(tell).collect();
        let balances = self.touched.iter().map(|&at| (at, self.balance(at))).collect();
        let trades = std::mem::take(&mut self.trades);
        Expected { status, reason, order, filled, leaves, outbound, trades, maker_fills, balances }
    }

    fn number(&mut self, session: u32, count: u64) -> u64 {
        if session == 0 {
            return 0;
        }
        let last = self.outbound.entry(session).or_default();
        *last += count;
        *last - count + 1
    }

    pub(crate) fn balance(&self, at: (u64, u32)) -> (i128, i128) {
        let of = |map: &BTreeMap<_, _>| map.get(&at).copied().unwrap_or(0);
        (of(&self.available), of(&self.frozen))
    }

    fn judge(&mut self, ctx: &Context, command: &Command) -> Result<Done, Refused> {
        if ctx.expires.0 != 0 && ctx.time > ctx.expires {
            return Err(no(Expired));
        }
        match command {
            Command::NewOrder(c) => self.new_order(ctx, c),
            Command::CancelOrder(c) => {
                let names = (c.order_id, c.orig_client_order_id);
                let at = self.locate(c.account.0, c.instrument.0, names).map_err(no)?;
                let order = self.orders.remove(at);
                let (cell, amount) = self.hold(&order);
                self.add(cell, amount, -amount);
                let status =
                    if order.filled == 0 { Status::FullyCanceled } else { Status::PartialCanceled };
                Ok((status, order.id, order.filled, 0))
            }
            Command::ReplaceOrder(c) => self.replace(c),
            Command::Deposit(c) => {
                let asset = self.money(&[c.account.0], c.asset.0, c.amount.0).map_err(no)?;
                let amount = i128::from(c.amount.0);
                if self.balance((1, asset)).0 - amount < -i128::from(i64::MAX) {
                    return Err(no(Overflow));
                }
                self.move_available(1, c.account.0, asset, amount)
            }
            Command::Withdraw(c) => {
                let asset = self.money(&[c.account.0], c.asset.0, c.amount.0).map_err(no)?;
                self.need(c.account.0, asset, c.amount.0.into()).map_err(no)?;
                self.move_available(c.account.0, 1, asset, c.amount.0.into())
            }
            Command::EnterOrder(_) | Command::MassCancel(_) | Command::CancelOnDisconnect(_) => {
                panic!("the streams have none of these")
            }
            Command::Transfer(c) => {
                let both = [c.from.0, c.to.0];
                let asset = self.money(&both, c.asset.0, c.amount.0).map_err(no)?;
                self.need(c.from.0, asset, c.amount.0.into()).map_err(no)?;
                self.move_available(c.from.0, c.to.0, asset, c.amount.0.into())
            }
        }
    }

    fn account(&self, id: u64) -> Result<(), RejectReason> {
        match id {
            1 => Err(LiabilityAccount),
            id if self.accounts.contains(&id) => Ok(()),
            _ => Err(UnknownAccount),
        }
    }

    fn money(&self, accounts: &[u64], asset: u32, amount: i64) -> Result<u32, RejectReason> {
        for &account in accounts {
            self.account(account)?;
        }
        if accounts.len() == 2 && accounts[0] == accounts[1] {
            return Err(SameAccount);
        }
        if asset == 0 || asset > self.assets {
            return Err(UnknownAsset);
        }
        if amount <= 0 { Err(InvalidAmount) } else { Ok(asset) }
    }

    fn need(&self, account: u64, asset: u32, amount: i128) -> Result<(), RejectReason> {
        let enough = self.balance((account, asset)).0 >= amount;
        if enough { Ok(()) } else { Err(InsufficientFunds) }
    }

    fn add(&mut self, at: (u64, u32), available: i128, frozen: i128) {
        *self.available.entry(at).or_default() += available;
        *self.frozen.entry(at).or_default() += frozen;
        self.touched.insert(at);
    }

    fn move_available(
        &mut self,
        from: u64,
        to: u64,
        asset: u32,
        amount: i128,
    ) -> Result<Done, Refused> {
        self.add((from, asset), -amount, 0);
        self.add((to, asset), amount, 0);
        Ok((Status::Done, 0, 0, 0))
    }

    /// Where and how much an order holds.
    fn hold(&self, order: &Live) -> ((u64, u32), i128) {
        let it = &self.instruments[order.instrument as usize - 1];
        let leaves = i128::from(order.leaves());
        match order.side {
            Side::Sell => ((order.account, it.base.0), leaves * i128::from(it.base_per_lot)),
            Side::Buy => {
                let each = i128::from(order.price) * i128::from(it.quote_per_tick_lot);
                // Three 64-bit factors can pass even 128 bits; then the order is refused anyway.
                ((order.account, it.quote.0), leaves.saturating_mul(each))
            }
        }
    }

    fn bounds(&self, instrument: u32, price: i64, quantity: i64) -> Result<(), RejectReason> {
        let it = &self.instruments[instrument as usize - 1];
        if !(1..=it.price_max).contains(&price) {
            return Err(InvalidPrice);
        }
        if !(it.quantity_min..=it.quantity_max).contains(&quantity) {
            return Err(InvalidQuantity);
        }
        Ok(())
    }

    fn instrument(&self, id: u32) -> Result<(), RejectReason> {
        let known = id >= 1 && id as usize <= self.instruments.len();
        if known { Ok(()) } else { Err(UnknownInstrument) }
    }

    fn new_order(&mut self, ctx: &Context, c: &NewOrder) -> Result<Done, Refused> {
        self.account(c.account.0).map_err(no)?;
        self.instrument(c.instrument.0).map_err(no)?;
        let market = c.order_type == OrderType::Market;
        let post_only = c.flags == 1;
        let rests = c.time_in_force == TimeInForce::Gtc;
        if c.flags > 1 || post_only && !rests || market && rests {
            return Err(no(UnsupportedOrder));
        }
        let price = match self.best(c.instrument.0, c.side.opposite()) {
            _ if !market || c.price.0 != 0 => c.price.0,
            None => return Err(no(NoLiquidity)),
            Some(best) => self.protection(c.instrument.0, c.side, best),
        };
        self.bounds(c.instrument.0, price, c.quantity.0).map_err(no)?;
        let client = c.client_order_id.0;
        let same = |o: &Live| client != 0 && o.client == client && o.account == c.account.0;
        if self.orders.iter().any(same) {
            return Err(no(DuplicateClientOrderId));
        }
        if rests && self.orders.len() == self.orders_max {
            return Err(no(CapacityReached));
        }
        let mut order = Live {
            id: ctx.sequence.0,
            account: c.account.0,
            session: ctx.session.0,
            instrument: c.instrument.0,
            client,
            side: c.side,
            price,
            quantity: c.quantity.0,
            filled: 0,
        };
        let crossing: Vec<i64> =
            self.orders.iter().filter(|o| crosses(&order, o)).map(Live::leaves).collect();
        if post_only && !crossing.is_empty() {
            return Err(no(WouldTrade));
        }
        let (cell, amount) = self.hold(&order);
        if amount > i128::from(i64::MAX) {
            return Err(no(Overflow));
        }
        self.need(cell.0, cell.1, amount).map_err(no)?;
        self.add(cell, -amount, amount);
        let all = crossing.iter().map(|leaves| i128::from(*leaves)).sum::<i128>();
        if c.time_in_force != TimeInForce::Fok || all >= i128::from(order.quantity) {
            self.trade(&mut order);
        }
        let (id, filled, leaves) = (order.id, order.filled, order.leaves());
        if leaves > 0 && !rests {
            let (cell, amount) = self.hold(&order);
            self.add(cell, amount, -amount);
            let status = if filled == 0 { Status::FullyCanceled } else { Status::PartialCanceled };
            return Ok((status, id, filled, 0));
        }
        Ok(self.rest(order))
    }

    fn best(&self, instrument: u32, side: Side) -> Option<i64> {
        let own = self.orders.iter().filter(|o| o.instrument == instrument && o.side == side);
        let prices = own.map(|o| o.price);
        if side == Side::Buy { prices.max() } else { prices.min() }
    }

    /// The worst price that a market order takes: so far from the best one, and one there can be.
    fn protection(&self, instrument: u32, side: Side, best: i64) -> i64 {
        let it = &self.instruments[instrument as usize - 1];
        let band = (i128::from(best) * i128::from(it.market_band_bps) / 10_000) as i64;
        if side == Side::Buy {
            best.saturating_add(band).min(it.price_max)
        } else {
            (best - band).max(1)
        }
    }

    fn rest(&mut self, order: Live) -> Done {
        let (id, filled, leaves) = (order.id, order.filled, order.leaves());
        if leaves == 0 {
            return (Status::FullyFilled, id, filled, 0);
        }
        self.orders.push(order);
        let status = if filled == 0 { Status::Pending } else { Status::PartialFilled };
        (status, id, filled, leaves)
    }

    fn locate(
        &self,
        account: u64,
        instrument: u32,
        (id, client): (OrderId, ClientOrderId),
    ) -> Result<usize, RejectReason> {
        self.account(account)?;
        self.instrument(instrument)?;
        let named = |order: &Live| match (id.0, client.0) {
            (0, 0) => false,
            (0, client) => order.client == client,
            (id, _) => order.id == id,
        };
        let own = |order: &Live| order.account == account && order.instrument == instrument;
        self.orders.iter().position(|order| own(order) && named(order)).ok_or(UnknownOrder)
    }

    fn replace(&mut self, c: &ReplaceOrder) -> Result<Done, Refused> {
        let names = (c.order_id, c.orig_client_order_id);
        let at = self.locate(c.account.0, c.instrument.0, names).map_err(no)?;
        let old = self.orders[at].clone();
        let refused = |reason| (reason, old.id, old.filled, old.leaves());
        self.bounds(old.instrument, c.price.0, c.quantity.0).map_err(refused)?;
        if c.quantity.0 <= old.filled {
            return Err(refused(TooLate));
        }
        let mut new = Live { price: c.price.0, quantity: c.quantity.0, ..old.clone() };
        let ((cell, held), (_, holds)) = (self.hold(&old), self.hold(&new));
        if holds > i128::from(i64::MAX) {
            return Err(refused(Overflow));
        }
        self.need(cell.0, cell.1, holds - held).map_err(refused)?;
        self.add(cell, held - holds, holds - held);
        if new.price == old.price && new.quantity < old.quantity {
            let status = if new.filled == 0 { Status::Pending } else { Status::PartialFilled };
            let done = (status, new.id, new.filled, new.leaves());
            self.orders[at] = new;
            return Ok(done);
        }
        self.orders.remove(at);
        self.trade(&mut new);
        Ok(self.rest(new))
    }

    /// Trades an order that is not in the book with the best other order until nothing crosses.
    fn trade(&mut self, taker: &mut Live) {
        while taker.leaves() > 0 {
            let candidates = self.orders.iter().enumerate();
            let makers = candidates.filter(|(_, o)| crosses(taker, o));
            // The first of equals: the vector is in order of time.
            let best = makers.min_by_key(|(_, o)| match taker.side {
                Side::Buy => o.price,
                Side::Sell => -o.price,
            });
            let Some((at, maker)) = best else { return };
            let mut maker = maker.clone();
            let quantity = maker.leaves().min(taker.leaves());
            self.settle(taker, &maker, quantity);
            maker.filled += quantity;
            taker.filled += quantity;
            self.trades.push((maker.id, maker.price, quantity, maker.leaves()));
            if maker.session != 0 {
                let told = (maker.session, maker.id, maker.client, quantity, maker.filled);
                self.told.push(told);
            }
            if maker.leaves() == 0 {
                self.orders.remove(at);
            } else {
                self.orders[at] = maker;
            }
        }
    }

    fn settle(&mut self, taker: &Live, maker: &Live, quantity: i64) {
        let it = self.instruments[taker.instrument as usize - 1].clone();
        let base = i128::from(quantity) * i128::from(it.base_per_lot);
        let quote_at = |price: i64| {
            i128::from(quantity) * i128::from(price) * i128::from(it.quote_per_tick_lot)
        };
        let paid = quote_at(maker.price);
        let (buyer, seller) = if taker.side == Side::Buy { (taker, maker) } else { (maker, taker) };
        let held = quote_at(buyer.price);
        self.add((buyer.account, it.quote.0), held - paid, -held);
        self.add((seller.account, it.quote.0), paid, 0);
        self.add((seller.account, it.base.0), 0, -base);
        self.add((buyer.account, it.base.0), base, 0);
    }
}
