//! Random orders among limits that change, and a naive recount of all that limits look at.

use super::random::restored;
use super::risk::plain;
use super::script::World;
use openoutcry::admin::AdminCommand;
use openoutcry::command::{CancelOrder, Command, Deposit, NewOrder, ReplaceOrder};
use openoutcry::event::{EventBody, RejectReason};
use openoutcry::exchange::{Context, Exchange, Outbox, PositionRow};
use openoutcry::genesis::AccountLimits;
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderId, Price, Quantity, Side,
    Status, TimeInForce,
};
use std::collections::BTreeMap;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// An order that the recount believes to be live.
#[derive(Clone, Copy, Debug)]
struct Live {
    account: AccountId,
    instrument: InstrumentId,
    side: Side,
    price: i64,
    quantity: i64,
    leaves: i64,
}

/// All that is counted, from events and in the simplest way.
#[derive(Default)]
struct Recount {
    live: BTreeMap<OrderId, Live>,
    limits: BTreeMap<AccountId, AccountLimits>,
    /// Tokens in billionths, and since when.
    tokens: BTreeMap<AccountId, (i128, u64)>,
    /// Net and gross limit, position.
    positions: BTreeMap<(AccountId, InstrumentId), (i64, i64, i64)>,
    collars: BTreeMap<InstrumentId, i128>,
    last: BTreeMap<InstrumentId, i128>,
}

impl Recount {
    fn open(&self, account: AccountId, instrument: InstrumentId, side: Side) -> i64 {
        let of = |live: &&Live| {
            live.account == account && live.instrument == instrument && live.side == side
        };
        self.live.values().filter(of).map(|live| live.leaves).sum()
    }

    /// Why an order would be refused by a limit; a token is taken.
    fn judge(
        &mut self,
        now: u64,
        asked: &Live,
        rests: bool,
        was: Option<Live>,
    ) -> Option<RejectReason> {
        let limits = self.limits.get(&asked.account).cloned().unwrap_or_default();
        if limits.rate_per_s > 0 {
            let burst = if limits.rate_burst == 0 { limits.rate_per_s } else { limits.rate_burst };
            let (tokens, since) = self.tokens[&asked.account];
            let back = i128::from(now - since) * i128::from(limits.rate_per_s);
            let tokens = (tokens + back).min(i128::from(burst) * 1_000_000_000);
            let enough = tokens >= 1_000_000_000;
            let left = if enough { tokens - 1_000_000_000 } else { tokens };
            self.tokens.insert(asked.account, (left, now));
            if !enough {
                return Some(RejectReason::OrderRateExceeded);
            }
        }
        if limits.restricted.contains(&asked.instrument) {
            return Some(RejectReason::InstrumentRestricted);
        }
        if was.is_some_and(|was| was.price == asked.price && asked.quantity < was.quantity) {
            return None;
        }
        let last = self.last.get(&asked.instrument).copied().unwrap_or(0);
        let collar = self.collars.get(&asked.instrument).copied().unwrap_or(0);
        let price = i128::from(asked.price);
        let beyond = if asked.side == Side::Buy { price - last } else { last - price };
        if last > 0 && collar > 0 && beyond * 10_000 > last * collar {
            return Some(RejectReason::OutsideCollar);
        }
        if limits.quantity_max > 0 && asked.quantity > limits.quantity_max {
            return Some(RejectReason::OrderTooLarge);
        }
        if limits.notional_max > 0 && asked.price * asked.quantity > limits.notional_max {
            return Some(RejectReason::NotionalTooLarge);
        }
        let live = self.live.values().filter(|live| live.account == asked.account).count();
        if rests && limits.open_orders_max > 0 && live >= limits.open_orders_max as usize {
            return Some(RejectReason::TooManyOpenOrders);
        }
        let (account, instrument) = (asked.account, asked.instrument);
        let (net, gross, position) = *self.positions.get(&(account, instrument))?;
        let buy = self.open(account, instrument, Side::Buy);
        let sell = self.open(account, instrument, Side::Sell);
        let more = asked.quantity - was.map_or(0, |was| was.quantity);
        let reached = match asked.side {
            Side::Buy => position + buy + more,
            Side::Sell => sell + more - position,
        };
        if net > 0 && reached > net {
            return Some(RejectReason::NetPositionLimit);
        }
        let all = position.abs() + buy + sell + more;
        (gross > 0 && all > gross).then_some(RejectReason::GrossPositionLimit)
    }

    fn trade(&mut self, account: AccountId, instrument: InstrumentId, quantity: i64) {
        if let Some(row) = self.positions.get_mut(&(account, instrument)) {
            row.2 += quantity;
        }
    }

    /// Takes in the events of a command whose own order, if it rests, is `own`.
    fn apply(&mut self, out: &Outbox, own: Option<Live>) {
        for event in out.events() {
            let EventBody::Trade(trade) = &event.body else { continue };
            let signed = if trade.taker_side == Side::Buy { 1 } else { -1 } * trade.quantity.0;
            self.trade(trade.taker_account, trade.instrument, signed);
            self.trade(trade.maker_account, trade.instrument, -signed);
            self.last.insert(trade.instrument, trade.price.0.into());
            if trade.maker_leaves.0 == 0 {
                self.live.remove(&trade.maker_order);
            } else if let Some(live) = self.live.get_mut(&trade.maker_order) {
                live.leaves = trade.maker_leaves.0;
            }
        }
        let result = out.result().expect("a result");
        if result.status == Status::Rejected {
            return;
        }
        match own {
            Some(own) if result.leaves.0 > 0 => {
                self.live.insert(result.order_id, Live { leaves: result.leaves.0, ..own });
            }
            _ => drop(self.live.remove(&result.order_id)),
        }
    }
}

struct Desk {
    exchange: Exchange,
    out: Outbox,
    ctx: Context,
    random: Random,
    recount: Recount,
    refused: BTreeMap<RejectReason, u32>,
}

impl Desk {
    fn new(seed: u64) -> Desk {
        let World { exchange, out, ctx, .. } = World::new(300);
        let recount = Recount::default();
        let random = Random(seed * 2 + 1);
        let mut desk = Desk { exchange, out, ctx, random, recount, refused: BTreeMap::new() };
        for account in 2..=4 {
            for asset in 1..=3 {
                let (account, asset) = (AccountId(account), AssetId(asset));
                desk.apply(Deposit { account, asset, amount: Amount(1 << 50) });
            }
        }
        desk
    }

    fn apply(&mut self, command: impl Into<Command>) -> Option<RejectReason> {
        self.ctx.sequence = self.ctx.sequence.next();
        self.exchange.apply(&self.ctx, &command.into(), &mut self.out);
        self.out.result().expect("a result").reason
    }

    fn administer(&mut self, command: &AdminCommand) {
        self.ctx.sequence = self.ctx.sequence.next();
        self.exchange.administer(&self.ctx, command, &mut self.out);
        assert_eq!(self.out.result().expect("a result").reason, None, "{command:?}");
    }

    fn step(&mut self) {
        self.ctx.time.0 += self.random.below(300_000_000);
        match self.random.below(100) {
            0..3 => self.change_limits(),
            3..6 => self.change_position(),
            6 => self.change_collar(),
            7..25 => self.cancel(),
            25..40 => self.replace(),
            _ => self.enter(),
        }
    }

    fn some(&mut self, one_in: u64, below: u64) -> u64 {
        if self.random.below(one_in) == 0 { 1 + self.random.below(below) } else { 0 }
    }

    fn change_limits(&mut self) {
        let account = AccountId(2 + self.random.below(3));
        let rate_per_s = self.some(2, 5) as u32;
        let limits = AccountLimits {
            quantity_max: self.some(3, 90) as i64,
            notional_max: self.some(3, 900_000) as i64,
            open_orders_max: self.some(3, 30) as u32,
            rate_burst: if rate_per_s > 0 { self.some(2, 5) as u32 } else { 0 },
            rate_per_s,
            restricted: (0..self.some(6, 1)).map(|_| InstrumentId(1)).collect(),
        };
        let burst = if limits.rate_burst == 0 { rate_per_s } else { limits.rate_burst };
        let full = i128::from(burst) * 1_000_000_000;
        self.recount.tokens.insert(account, (full, self.ctx.time.0));
        self.recount.limits.insert(account, limits.clone());
        self.administer(&AdminCommand::SetAccountLimits { account, limits });
    }

    fn change_position(&mut self) {
        let account = AccountId(2 + self.random.below(3));
        let instrument = InstrumentId(1 + self.random.below(2) as u32);
        let (net_max, gross_max) = (self.some(2, 400) as i64, self.some(2, 600) as i64);
        let position = (self.random.below(4) == 0).then(|| self.random.below(200) as i64 - 100);
        let rows = &mut self.recount.positions;
        let now = rows.get(&(account, instrument)).map_or(0, |row| row.2);
        if net_max == 0 && gross_max == 0 {
            rows.remove(&(account, instrument));
        } else {
            rows.insert((account, instrument), (net_max, gross_max, position.unwrap_or(now)));
        }
        self.administer(&AdminCommand::SetPositionLimit {
            account,
            instrument,
            net_max,
            gross_max,
            position,
        });
    }

    fn change_collar(&mut self) {
        let instrument = InstrumentId(1 + self.random.below(2) as u32);
        let collar_bps = self.some(2, 300) as u32;
        self.recount.collars.insert(instrument, collar_bps.into());
        self.administer(&AdminCommand::SetCollar { instrument, collar_bps });
    }

    fn draw(&mut self) -> Live {
        let side = if self.random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let quantity = 2 + self.random.below(98) as i64;
        Live {
            account: AccountId(2 + self.random.below(3)),
            instrument: InstrumentId(1 + self.random.below(2) as u32),
            side,
            price: 10_000 + self.random.below(400) as i64 - 200,
            quantity,
            leaves: quantity,
        }
    }

    fn enter(&mut self) {
        let asked = self.draw();
        let rests = self.random.below(5) > 0;
        let time_in_force = if rests { TimeInForce::Gtc } else { TimeInForce::Ioc };
        let expected = self.recount.judge(self.ctx.time.0, &asked, rests, None);
        let found = self.apply(NewOrder {
            price: Price(asked.price),
            quantity: Quantity(asked.quantity),
            time_in_force,
            ..plain(asked.account.0, asked.instrument.0, asked.side)
        });
        self.compare(expected, found, &asked);
        self.recount.apply(&self.out, Some(asked).filter(|_| rests));
    }

    fn pick(&mut self) -> Option<(OrderId, Live)> {
        let live = &self.recount.live;
        if live.is_empty() {
            return None;
        }
        let at = self.random.below(live.len() as u64) as usize;
        live.iter().nth(at).map(|(id, live)| (*id, *live))
    }

    fn cancel(&mut self) {
        let Some((order_id, live)) = self.pick() else { return };
        let Live { account, instrument, .. } = live;
        let orig_client_order_id = ClientOrderId(0);
        let found = self.apply(CancelOrder { account, instrument, order_id, orig_client_order_id });
        assert_eq!(found, None, "a cancel is never refused by a limit");
        self.recount.apply(&self.out, None);
    }

    fn replace(&mut self) {
        let Some((order_id, was)) = self.pick() else { return };
        let Live { price, quantity, .. } = self.draw();
        let price = if self.random.below(2) == 0 { was.price } else { price };
        let filled = was.quantity - was.leaves;
        let quantity = quantity.max(filled + 1).min(100);
        if quantity <= filled {
            return;
        }
        let asked = Live { price, quantity, leaves: quantity - filled, ..was };
        let expected = self.recount.judge(self.ctx.time.0, &asked, false, Some(was));
        let found = self.apply(ReplaceOrder {
            account: was.account,
            instrument: was.instrument,
            order_id,
            price: Price(price),
            quantity: Quantity(quantity),
            orig_client_order_id: ClientOrderId(0),
        });
        self.compare(expected, found, &asked);
        self.recount.apply(&self.out, Some(asked));
    }

    fn compare(
        &mut self,
        expected: Option<RejectReason>,
        found: Option<RejectReason>,
        asked: &Live,
    ) {
        if expected.is_none() && found == Some(RejectReason::CapacityReached) {
            return;
        }
        assert_eq!(found, expected, "{asked:?} at {}", self.ctx.sequence);
        if let Some(reason) = found {
            *self.refused.entry(reason).or_default() += 1;
        }
    }

    fn check(&self) {
        self.exchange.check();
        let rows = self.recount.positions.iter().map(|(place, row)| {
            let ((account, instrument), (net_max, gross_max, position)) = (*place, *row);
            let open = |side| self.recount.open(account, instrument, side);
            let (open_buy, open_sell) = (open(Side::Buy), open(Side::Sell));
            PositionRow { account, instrument, net_max, gross_max, position, open_buy, open_sell }
        });
        assert!(self.exchange.positions().eq(rows), "at {}", self.ctx.sequence);
    }
}

#[test]
fn limits_that_change_among_random_orders_agree_with_a_naive_recount() {
    let mut refused = BTreeMap::new();
    for seed in 1..=8 {
        eprintln!("seed {seed}");
        let mut desk = Desk::new(seed);
        for step in 0..6_000 {
            desk.step();
            if step % 50 == 0 {
                desk.check();
            }
            if step % 1_000 == 0 {
                let read = restored(&desk.exchange);
                assert!(read.positions().eq(desk.exchange.positions()));
                desk.exchange = read;
            }
        }
        desk.check();
        refused.append(&mut desk.refused);
    }
    for reason in 132..=139 {
        let reason = RejectReason::from_u16(reason).expect("a limit's reason");
        assert!(refused.contains_key(&reason), "{reason} was never given");
    }
}
