//! A naive exchange to compare the real one with: vectors and loops over everything.
//!
//! It knows what `docs/ORDERS.md` says and nothing of the engine: no index, no level, no slot. A book is
//! a vector in order of time. Here is what all commands share; `entry`
//! checks orders, `matching` trades them.

mod entry;
mod matching;

use crate::exchange::words::entered;
use openoutcry::command::Command;
use openoutcry::event::RejectReason::{self, *};
use openoutcry::event::{CommandResult, EventBody, OrderUpdate};
use openoutcry::exchange::Context;
use openoutcry::genesis::Instrument;
use openoutcry::types::{
    AccountId, AssetId, ClientOrderId, InstrumentId, OrderChange, OrderId, Price, Quantity,
    SelfTrade, SessionId, Side, Status,
};
use std::collections::{BTreeMap, BTreeSet};

/// A live order, or one that comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) account: AccountId,
    pub(crate) session: SessionId,
    pub(crate) instrument: InstrumentId,
    pub(crate) client: ClientOrderId,
    pub(crate) side: Side,
    self_trade: SelfTrade,
    /// What is left of it is in the book when it has done its trades.
    rests: bool,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) filled: i64,
    pub(crate) stop_price: i64,
    /// What an iceberg shows at a time, and what it shows now; 0 for other orders.
    display: i64,
    visible: i64,
    /// What is left of the budget, where it has one.
    budget: Option<i128>,
    /// When it ends; 0 for never.
    due: u64,
}

/// (account, asset), and (available, frozen)
pub(crate) type Cell = (AccountId, AssetId);
pub(crate) type Balance = (i128, i128);

pub(crate) struct Model {
    pub(crate) instruments: Vec<Instrument>,
    pub(crate) assets: u32,
    /// Group, and what happens instead of a trade with itself.
    pub(crate) accounts: BTreeMap<AccountId, (u32, SelfTrade)>,
    pub(crate) orders_max: usize,
    /// Seconds after midnight.
    pub(crate) day_end: u64,
    /// By instrument: what is in the book, and the stops that wait, each in order of time.
    pub(crate) books: Vec<Vec<Order>>,
    pub(crate) waiting: Vec<Vec<Order>>,
    /// By instrument: the price of the last trade, 0 before the first.
    pub(crate) last: Vec<i64>,
    pub(crate) balances: BTreeMap<Cell, Balance>,
    /// The balances that the command touched, as they were before it.
    pub(crate) before: BTreeMap<Cell, Balance>,
    /// A wrong model, for tests of what finds such: the last order at a price trades first.
    pub(crate) lifo: bool,
    outbound: BTreeMap<SessionId, u64>,
    /// (when, order, instrument); the order may have ended otherwise.
    dues: BTreeSet<(u64, OrderId, InstrumentId)>,
    now: u64,
    /// Lowest and highest price of the command's trades.
    traded: Option<(i64, i64)>,
    trades: Vec<EventBody>,
    notes: Vec<EventBody>,
}

type Judged = Result<(), RejectReason>;

impl Order {
    pub(crate) fn leaves(&self) -> i64 {
        self.quantity - self.filled
    }

    /// What of it the book shows.
    pub(crate) fn shown(&self) -> i64 {
        if self.display == 0 { self.leaves() } else { self.visible }
    }

    fn update(&self, change: OrderChange, leaves: i64) -> EventBody {
        EventBody::Update(OrderUpdate {
            change,
            session: self.session,
            instrument: self.instrument,
            outbound: 0,
            order_id: self.id,
            client_order_id: self.client,
            price: Price(self.price),
            quantity: Quantity(self.quantity),
            filled: Quantity(self.filled),
            leaves: Quantity(leaves),
        })
    }
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
        let count = instruments.len();
        Model {
            instruments,
            assets,
            accounts: BTreeMap::new(),
            orders_max,
            day_end: 0,
            books: vec![Vec::new(); count],
            waiting: vec![Vec::new(); count],
            last: vec![0; count],
            balances: BTreeMap::new(),
            before: BTreeMap::new(),
            lifo: false,
            outbound: BTreeMap::new(),
            dues: BTreeSet::new(),
            now: 0,
            traded: None,
            trades: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The command's events, but for those that tell balances.
    pub(crate) fn apply(&mut self, ctx: &Context, command: &Command) -> Vec<EventBody> {
        self.before.clear();
        (self.now, self.traded) = (ctx.time.0, None);
        self.expire();
        let mut result = CommandResult {
            status: Status::Done,
            reason: None,
            session: ctx.session,
            fill_count: 0,
            outbound: 0,
            client_sequence: ctx.client_sequence,
            order_id: OrderId(0),
            filled: Quantity(0),
            leaves: Quantity(0),
            time: ctx.time,
            account: command.account(),
        };
        let judged = self.judge(ctx, command, &mut result);
        if let Err(reason) = judged {
            (result.status, result.reason) = (Status::Rejected, Some(reason));
        }
        let own = |event: &&EventBody| matches!(event, EventBody::Trade(t) if t.taker_order == result.order_id);
        result.fill_count = self.trades.iter().filter(own).count() as u32;
        let further = u64::from(result.fill_count.saturating_sub(16));
        result.outbound = self.number(ctx.session, 1 + further);
        let mut events = vec![EventBody::Result(result)];
        events.append(&mut self.trades);
        for mut note in std::mem::take(&mut self.notes) {
            match &mut note {
                EventBody::MakerFill(fill) => fill.outbound = self.number(fill.session, 1),
                EventBody::Update(update) => update.outbound = self.number(update.session, 1),
                _ => unreachable!("only these are noted"),
            }
            events.push(note);
        }
        events
    }

    fn number(&mut self, session: SessionId, count: u64) -> u64 {
        if session.0 == 0 {
            return 0;
        }
        let last = self.outbound.entry(session).or_default();
        *last += count;
        *last - count + 1
    }

    pub(crate) fn balance(&self, at: Cell) -> Balance {
        self.balances.get(&at).copied().unwrap_or_default()
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Order> {
        self.books.iter().chain(&self.waiting).flatten()
    }

    /// Cancels what is due, at most 64 orders with a record.
    fn expire(&mut self) {
        let mut count = 0;
        while count < 64 && self.dues.first().is_some_and(|due| due.0 <= self.now) {
            let (_, id, instrument) = self.dues.pop_first().expect("there is one");
            if let Some((waits, at)) = self.find(instrument, |order| order.id == id) {
                self.end(instrument, waits, at, OrderChange::Expired);
                count += 1;
            }
        }
    }

    /// Where a live order is: whether among those that wait, and its place there.
    fn find(&self, instrument: InstrumentId, is: impl Fn(&Order) -> bool) -> Option<(bool, usize)> {
        let i = instrument.0 as usize - 1;
        let place = |list: &Vec<Order>| list.iter().position(&is);
        let rests = place(&self.books[i]).map(|at| (false, at));
        rests.or_else(|| place(&self.waiting[i]).map(|at| (true, at)))
    }

    fn list(&mut self, instrument: InstrumentId, waits: bool) -> &mut Vec<Order> {
        let lists = if waits { &mut self.waiting } else { &mut self.books };
        &mut lists[instrument.0 as usize - 1]
    }

    /// Takes a live order away, and tells its session why.
    fn end(&mut self, instrument: InstrumentId, waits: bool, at: usize, change: OrderChange) {
        let order = self.list(instrument, waits).remove(at);
        self.release(&order);
        self.notes.push(order.update(change, 0));
    }

    fn release(&mut self, order: &Order) {
        let (cell, amount) = self.hold(order);
        self.add(cell, amount, -amount);
    }

    fn judge(&mut self, ctx: &Context, command: &Command, result: &mut CommandResult) -> Judged {
        ensure(ctx.expires.0 == 0 || ctx.time <= ctx.expires, Expired)?;
        match command {
            Command::NewOrder(c) => self.enter(ctx, &entered(c), result),
            Command::EnterOrder(c) => self.enter(ctx, c, result),
            Command::CancelOrder(c) => {
                let names = (c.order_id, c.orig_client_order_id);
                let (waits, at) = self.locate(c.account, c.instrument, names)?;
                let order = self.list(c.instrument, waits).remove(at);
                self.release(&order);
                tell(result, &order, true, None);
                Ok(())
            }
            Command::ReplaceOrder(c) => self.replace(c, result),
            Command::Deposit(c) => {
                self.money(&[c.account], c.asset, c.amount.0)?;
                let liability = self.balance((AccountId(1), c.asset)).0;
                let fits = liability - i128::from(c.amount.0) >= -i128::from(i64::MAX);
                ensure(fits, Overflow)?;
                self.pay(AccountId(1), c.account, c.asset, c.amount.0)
            }
            Command::Withdraw(c) => {
                self.money(&[c.account], c.asset, c.amount.0)?;
                self.need((c.account, c.asset), c.amount.0.into())?;
                self.pay(c.account, AccountId(1), c.asset, c.amount.0)
            }
            Command::Transfer(c) => {
                self.money(&[c.from, c.to], c.asset, c.amount.0)?;
                self.need((c.from, c.asset), c.amount.0.into())?;
                self.pay(c.from, c.to, c.asset, c.amount.0)
            }
            Command::MassCancel(_) | Command::CancelOnDisconnect(_) => Err(UnsupportedOrder),
        }
    }

    fn account(&self, id: AccountId) -> Judged {
        ensure(id.0 != 1, LiabilityAccount)?;
        ensure(self.accounts.contains_key(&id), UnknownAccount)
    }

    fn instrument(&self, id: InstrumentId) -> Judged {
        ensure(id.0 >= 1 && id.0 as usize <= self.instruments.len(), UnknownInstrument)
    }

    fn money(&self, who: &[AccountId], asset: AssetId, amount: i64) -> Judged {
        who.iter().try_for_each(|account| self.account(*account))?;
        ensure(who.len() == 1 || who[0] != who[1], SameAccount)?;
        ensure(asset.0 >= 1 && asset.0 <= self.assets, UnknownAsset)?;
        ensure(amount > 0, InvalidAmount)
    }

    fn need(&self, cell: Cell, amount: i128) -> Judged {
        ensure(self.balance(cell).0 >= amount, InsufficientFunds)
    }

    fn add(&mut self, cell: Cell, available: i128, frozen: i128) {
        let balance = self.balances.entry(cell).or_default();
        self.before.entry(cell).or_insert(*balance);
        balance.0 += available;
        balance.1 += frozen;
    }

    fn pay(&mut self, from: AccountId, to: AccountId, asset: AssetId, amount: i64) -> Judged {
        self.add((from, asset), -i128::from(amount), 0);
        self.add((to, asset), amount.into(), 0);
        Ok(())
    }
}
