//! A naive exchange to compare the real one with: vectors and loops over everything.
//!
//! It knows what `docs/ORDERS.md` says and nothing of the engine: no index, no level, no slot. All
//! live orders of an instrument are one vector in order of time. Here is what all commands share;
//! `entry` checks orders, `matching` trades them.

mod entry;
mod matching;

use crate::exchange::{forms, words::entered};
use openoutcry::command::{Command, EnterOrder};
use openoutcry::event::RejectReason::{self, *};
use openoutcry::event::{CommandResult, EventBody};
use openoutcry::exchange::Context;
use openoutcry::genesis::Instrument;
use openoutcry::types::{
    AccountId, AssetId, InstrumentId, OrderChange, OrderId, OrderType, Quantity, SelfTrade,
    SessionId, Side, Status,
};
use std::collections::{BTreeMap, BTreeSet};

/// A live order, or one that comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// As it was entered; what can change since stands below.
    pub(crate) asked: EnterOrder,
    pub(crate) id: OrderId,
    pub(crate) session: SessionId,
    self_trade: SelfTrade,
    /// A stop that waits is live, but not in the book.
    pub(crate) waits: bool,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) filled: i64,
    /// Of an iceberg in the book: what it shows now.
    visible: i64,
    /// What is left of the budget, where it has one.
    budget: Option<i128>,
    /// When it ends; 0 for never.
    due: u64,
}

impl Order {
    /// Its instrument's index.
    pub(crate) fn i(&self) -> usize {
        self.asked.instrument.0 as usize - 1
    }

    pub(crate) fn leaves(&self) -> i64 {
        self.quantity - self.filled
    }

    /// What of it the book shows.
    pub(crate) fn shown(&self) -> i64 {
        if self.asked.display_quantity.0 == 0 { self.leaves() } else { self.visible }
    }

    /// Whether what is left of it is in the book when it has done its trades.
    fn rests(&self) -> bool {
        let has_limit = matches!(self.asked.order_type, OrderType::Limit | OrderType::StopLimit);
        has_limit && !entry::is_immediate(&self.asked)
    }

    /// Lower is better for who trades with it.
    fn rank(&self) -> i64 {
        if self.asked.side == Side::Sell { self.price } else { -self.price }
    }

    /// Whether it can trade with an order of the book.
    fn crosses(&self, maker: &Order) -> bool {
        maker.asked.side != self.asked.side && !maker.waits && maker.rank() <= -self.rank()
    }
}

type Judged = Result<(), RejectReason>;
/// (account, asset), and (available, frozen)
pub(crate) type Cell = (AccountId, AssetId);
pub(crate) type Balance = (i128, i128);

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) instruments: Vec<Instrument>,
    pub(crate) assets: u32,
    /// Group, and what happens instead of a trade with itself.
    pub(crate) accounts: BTreeMap<AccountId, (u32, SelfTrade)>,
    pub(crate) orders_max: usize,
    /// Seconds after midnight.
    pub(crate) day_end: u64,
    /// By instrument, each in order of time.
    pub(crate) orders: Vec<Vec<Order>>,
    /// By instrument: the price of the last trade, 0 before the first.
    pub(crate) last: Vec<i64>,
    pub(crate) balances: BTreeMap<Cell, Balance>,
    /// The balances that the command touched, as they were before it.
    pub(crate) before: BTreeMap<Cell, Balance>,
    /// A wrong model, for tests of what finds such: the last order at a price trades first.
    pub(crate) lifo: bool,
    outbound: BTreeMap<SessionId, u64>,
    /// (when, order, index of the instrument); the order may have ended otherwise.
    dues: BTreeSet<(u64, OrderId, usize)>,
    now: u64,
    /// Lowest and highest price of the command's trades.
    traded: Option<(i64, i64)>,
    trades: Vec<EventBody>,
    notes: Vec<EventBody>,
}

fn ensure(right: bool, reason: RejectReason) -> Judged {
    if right { Ok(()) } else { Err(reason) }
}

/// What a result says of its order, which is live or has ended.
fn tell(result: &mut CommandResult, order: &Order, ended: bool, reason: Option<RejectReason>) {
    result.status = match (order.filled, order.leaves(), ended) {
        (0, _, true) => Status::FullyCanceled,
        (_, 0, true) if reason.is_none() => Status::FullyFilled,
        (_, _, true) => Status::PartialCanceled,
        (0, _, false) => Status::Pending,
        (_, _, false) => Status::PartialFilled,
    };
    (result.reason, result.order_id) = (reason, order.id);
    result.filled = Quantity(order.filled);
    result.leaves = Quantity(if ended { 0 } else { order.leaves() });
}

impl Model {
    pub(crate) fn new(instruments: Vec<Instrument>, assets: u32, orders_max: usize) -> Model {
        let (orders, last) = (vec![Vec::new(); instruments.len()], vec![0; instruments.len()]);
        Model { instruments, assets, orders_max, orders, last, ..Model::default() }
    }

    /// The command's events, but for those that tell balances.
    pub(crate) fn apply(&mut self, ctx: &Context, command: &Command) -> Vec<EventBody> {
        self.before.clear();
        (self.now, self.traded) = (ctx.time.0, None);
        self.expire();
        let mut result = forms::result(ctx, command);
        if let Err(reason) = self.judge(ctx, command, &mut result) {
            (result.status, result.reason) = (Status::Rejected, Some(reason));
        }
        let id = result.order_id;
        let is_own = |e: &&EventBody| matches!(e, EventBody::Trade(t) if t.taker_order == id);
        let own = self.trades.iter().filter(is_own).count();
        result.fill_count = own as u32;
        result.outbound = self.number(ctx.session, 1 + own.saturating_sub(16) as u64);
        let mut events = vec![EventBody::Result(result)];
        events.append(&mut self.trades);
        for mut note in std::mem::take(&mut self.notes) {
            let (session, outbound) = forms::address(&mut note);
            *outbound = self.number(session, 1);
            events.push(note);
        }
        events
    }

    fn number(&mut self, session: SessionId, count: u64) -> u64 {
        let last = self.outbound.entry(session).or_default();
        *last += count;
        if session.0 == 0 { 0 } else { *last - count + 1 }
    }

    /// Cancels what is due, at most 64 orders with a record.
    fn expire(&mut self) {
        let mut count = 0;
        while count < 64 && self.dues.first().is_some_and(|due| due.0 <= self.now) {
            let (_, id, i) = self.dues.pop_first().expect("there is one");
            if let Some(at) = self.orders[i].iter().position(|order| order.id == id) {
                self.end(i, at, OrderChange::Expired);
                count += 1;
            }
        }
    }

    fn judge(&mut self, ctx: &Context, command: &Command, result: &mut CommandResult) -> Judged {
        ensure(ctx.expires.0 == 0 || ctx.time <= ctx.expires, Expired)?;
        let liability = AccountId(1);
        match command {
            Command::NewOrder(c) => self.enter(ctx, &entered(c), result),
            Command::EnterOrder(c) => self.enter(ctx, c, result),
            Command::ReplaceOrder(c) => self.replace(c, result),
            Command::CancelOrder(c) => {
                let names = (c.order_id, c.orig_client_order_id);
                let (i, at) = self.locate(c.account, c.instrument, names)?;
                let order = self.orders[i].remove(at);
                self.release(&order);
                tell(result, &order, true, None);
                Ok(())
            }
            Command::Deposit(c) => {
                self.pay(liability, c.account, &[c.account], c.asset, c.amount.0)
            }
            Command::Withdraw(c) => {
                self.pay(c.account, liability, &[c.account], c.asset, c.amount.0)
            }
            Command::Transfer(c) => self.pay(c.from, c.to, &[c.from, c.to], c.asset, c.amount.0),
            Command::MassCancel(_) | Command::CancelOnDisconnect(_) => {
                unreachable!("the streams have none of these")
            }
        }
    }

    fn pay(
        &mut self,
        from: AccountId,
        to: AccountId,
        who: &[AccountId],
        asset: AssetId,
        amount: i64,
    ) -> Judged {
        who.iter().try_for_each(|account| self.account(*account))?;
        ensure(from != to, SameAccount)?;
        ensure(asset.0 >= 1 && asset.0 <= self.assets, UnknownAsset)?;
        ensure(amount > 0, InvalidAmount)?;
        let rest = self.balance((from, asset)).0 - i128::from(amount);
        ensure(from.0 != 1 || rest >= -i128::from(i64::MAX), Overflow)?;
        ensure(from.0 == 1 || rest >= 0, InsufficientFunds)?;
        self.add((from, asset), -i128::from(amount), 0);
        self.add((to, asset), amount.into(), 0);
        Ok(())
    }

    fn account(&self, id: AccountId) -> Judged {
        ensure(id.0 != 1, LiabilityAccount)?;
        ensure(self.accounts.contains_key(&id), UnknownAccount)
    }

    fn instrument(&self, id: InstrumentId) -> Judged {
        ensure(id.0 >= 1 && id.0 as usize <= self.instruments.len(), UnknownInstrument)
    }

    pub(crate) fn balance(&self, cell: Cell) -> Balance {
        self.balances.get(&cell).copied().unwrap_or_default()
    }

    fn add(&mut self, cell: Cell, available: i128, frozen: i128) {
        let balance = self.balances.entry(cell).or_default();
        self.before.entry(cell).or_insert(*balance);
        *balance = (balance.0 + available, balance.1 + frozen);
    }

    /// Gives back what an order still holds.
    fn release(&mut self, order: &Order) {
        let (cell, amount) = self.hold(order);
        self.add(cell, amount, -amount);
    }

    /// Takes a live order away, and tells its session why.
    fn end(&mut self, i: usize, at: usize, change: OrderChange) {
        let order = self.orders[i].remove(at);
        self.release(&order);
        self.notes.push(forms::update(&order, change, 0));
    }
}
