//! Random commands of all kinds, drawn so that most make sense and prices cross often.

use super::script::{self, ACCOUNT_LAST, instrument};
use super::words::{entered, plain};
use crate::model::{Model, Order};
use openoutcry::command::{
    CancelOrder, Command, Deposit, EnterOrder, NewOrder, POST_ONLY, REPRICE, ReplaceOrder,
    Transfer, Withdraw,
};
use openoutcry::exchange::Context;
use openoutcry::genesis::{GenesisItem, Instrument};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, KeyId, OrderId, OrderType, Price,
    Quantity, SelfTrade, Sequence, SessionId, Side, TimeInForce, TimeNs,
};
use std::collections::BTreeMap;

pub(crate) const INSTRUMENTS: u32 = 32;
/// Sessions that log on before the first command.
pub(crate) const SESSIONS: u32 = 3;
/// Sequence of the first command, behind logons and deposits.
pub(crate) const FIRST: u64 = 100;
/// What each account has of each asset then, as scripts say it.
pub(crate) const FUNDS: &str = "1000000000";
const DAY_END_S: u32 = 17 * 60 * 60;
const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// xorshift64*: repeatable, and good enough to reach every corner.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Groups of accounts, and what happens instead of trades with themselves.
pub(crate) fn owners() -> BTreeMap<AccountId, (u32, SelfTrade)> {
    use SelfTrade::{Allow, CancelBoth, CancelNewest, CancelOldest, Decrement};
    let after_two = [
        (0, Allow),
        (0, Allow),
        (7, Allow),
        (7, CancelOldest),
        (8, CancelNewest),
        (8, Decrement),
        (0, Decrement),
        (0, CancelBoth),
    ];
    (2..=ACCOUNT_LAST).map(AccountId).zip(after_two).collect()
}

pub(crate) fn instruments() -> Vec<Instrument> {
    let of_script = script::genesis(1).into_iter().filter_map(|item| match item {
        GenesisItem::Instrument(instrument) => Some(instrument),
        _ => None,
    });
    let mut all: Vec<Instrument> = of_script.collect();
    for id in all.len() as u32 + 1..=INSTRUMENTS {
        let (base, quote) = [(1, 2), (3, 2), (3, 1)][id as usize % 3];
        all.push(Instrument {
            base_per_lot: [1, 3][id as usize % 2],
            quote_per_tick_lot: [1, 7][id as usize % 2],
            price_max: [i64::MAX, 60][id as usize / 2 % 2],
            market_band_bps: [500, 0, 3000][id as usize / 3 % 3],
            ..instrument(id, &format!("NR-{id}"), base, quote)
        });
    }
    all
}

/// What scripts have, more instruments, and accounts of all sorts.
pub(crate) fn genesis(orders_max: u32) -> Vec<GenesisItem> {
    let mut items = script::genesis(orders_max);
    for item in &mut items {
        match item {
            GenesisItem::Settings(settings) => settings.day_end_s = DAY_END_S,
            GenesisItem::Account(account) => {
                (account.group, account.self_trade) = owners()[&account.id];
            }
            _ => {}
        }
    }
    let more = instruments().split_off(2);
    let first_account = items.iter().position(|item| matches!(item, GenesisItem::Account(_)));
    let at = first_account.expect("scripts have accounts");
    items.splice(at..at, more.into_iter().map(GenesisItem::Instrument));
    items
}

pub(crate) fn model(orders_max: u32) -> Model {
    let mut model = Model::new(instruments(), script::ASSETS.len() as u32, orders_max as usize);
    model.accounts = owners();
    model.day_end_ns = u64::from(DAY_END_S) * 1_000_000_000;
    model
}

/// Draws commands that mostly make sense, from what the model knows to be live.
pub(crate) struct Traffic {
    pub(crate) random: Random,
    /// Orders are entered until so many are live, then cancelled until half are left.
    pub(crate) live_max: usize,
    /// How many of the instruments are used.
    pub(crate) instruments: u32,
    /// Where prices are now; they wander, and jump from time to time.
    price: i64,
    growing: bool,
    sequence: u64,
    time: u64,
    live: usize,
}

impl Traffic {
    pub(crate) fn new(seed: u64, live_max: usize, instruments: u32) -> Traffic {
        let mut random = Random(seed | 1);
        random.next();
        Traffic {
            price: random.pick(&[4, 12, 50, 5_000]),
            random,
            live_max,
            instruments,
            growing: true,
            sequence: FIRST - 1,
            time: DAY_NS,
            live: 0,
        }
    }

    /// The next command.
    pub(crate) fn next(&mut self, model: &Model) -> (Context, Command) {
        self.sequence += 1;
        self.time += self.random.below(2000);
        if self.random.one_in(700) {
            self.time += self.random.below(DAY_NS / 2);
        }
        let ctx = Context {
            sequence: Sequence(self.sequence),
            time: TimeNs(self.time),
            session: SessionId(self.random.below(u64::from(SESSIONS) + 1) as u32),
            key: KeyId(0),
            client_sequence: self.sequence ^ 0xff,
            expires: TimeNs(match self.random.below(400) {
                0 => self.time - 1,
                1 => self.time,
                _ => 0,
            }),
        };
        (ctx, self.command(model))
    }

    fn command(&mut self, model: &Model) -> Command {
        let is_dear = self.price > 1 << 20;
        if self.random.one_in(if is_dear { 200 } else { 3000 }) {
            self.price = self.random.pick(&[1, 3, 50, 58, 5_000, 9_000, 1 << 30, 1 << 60]);
        } else if self.random.one_in(10) {
            self.price = (self.price + self.random.below(5) as i64 - 2).max(1);
        }
        if self.sequence.is_multiple_of(16) || self.live_max < 100 {
            self.live = model.orders.iter().flatten().count();
        }
        let bound = if self.growing { self.live_max } else { self.live_max / 2 };
        self.growing = self.live < bound;
        match self.random.below(100) {
            0 => self.money(),
            1..=9 if self.live > 0 => self.replace(model),
            10..=17 if self.live > 0 => self.cancel(model),
            18..=60 if self.live > 0 && !self.growing => self.cancel(model),
            _ => self.order(model),
        }
    }

    fn account(&mut self) -> AccountId {
        AccountId(if self.random.one_in(500) {
            self.random.pick(&[0, 1, 99, u64::MAX])
        } else {
            2 + self.random.below(ACCOUNT_LAST - 1)
        })
    }

    fn instrument(&mut self) -> InstrumentId {
        InstrumentId(if self.random.one_in(700) {
            self.random.pick(&[0, INSTRUMENTS + 1, u32::MAX])
        } else {
            1 + self.random.below(self.instruments.into()) as u32
        })
    }

    /// A price on either side of where prices are, rarely nonsense.
    fn near(&mut self, side: Side) -> Price {
        if self.random.one_in(400) {
            let ends = [0, -1, 1, 2, 60, 61, 100_001, i64::MAX, i64::MIN, 1 << 50];
            return Price(self.random.pick(&ends));
        }
        let is_crowded = self.live_max > 1000;
        let far = self.price.unsigned_abs() / 4 + 1;
        let spread = self.random.pick(&[2, 4, 8, far]) * if is_crowded { 4 } else { 1 };
        let away = self.random.below(spread) as i64;
        let away = if self.random.one_in(if is_crowded { 12 } else { 3 }) { -away } else { away };
        let price = if side == Side::Buy { self.price - away } else { self.price + away };
        Price(price.max(1))
    }

    fn size(&mut self) -> i64 {
        if self.random.one_in(400) {
            return self.random.pick(&[0, -1, 101, 1 << 20, i64::MAX, i64::MIN, 3_000]);
        }
        let most = self.random.pick(&[3, 10, 10, 100]);
        1 + self.random.below(most) as i64
    }

    fn money(&mut self) -> Command {
        let (account, to) = (self.account(), self.account());
        let asset = AssetId(self.random.pick(&[1, 1, 2, 2, 3, 3, 0, 4]));
        let amount = Amount(match self.random.below(10) {
            0 => self.random.pick(&[0, -1, i64::MAX, i64::MIN]),
            1..=4 => self.random.below(1 << 24) as i64,
            _ => (self.random.next() >> 12) as i64,
        });
        match self.random.below(8) {
            0 => Withdraw { account, asset, amount }.into(),
            1..=3 => Transfer { from: account, to, asset, amount }.into(),
            _ => Deposit { account, asset, amount }.into(),
        }
    }

    fn order(&mut self, model: &Model) -> Command {
        use {OrderType::*, TimeInForce::*};
        let (order_type, time_in_force) = match self.random.below(100) {
            0..36 => (Limit, Gtc),
            36..48 => (Limit, self.random.pick(&[Day, Gtd])),
            48..57 => (Limit, Ioc),
            57..65 => (self.random.pick(&[Limit, Limit, Market]), Fok),
            65..74 => (Market, Ioc),
            74..86 => (Stop, self.random.pick(&[Gtc, Gtc, Day, Gtd])),
            86..99 => (StopLimit, self.random.pick(&[Gtc, Gtc, Day, Gtd])),
            _ => (
                self.random.pick(&[Limit, Market, Stop, StopLimit]),
                self.random.pick(&[Gtc, Ioc, Fok, Day, Gtd]),
            ),
        };
        let side = self.random.pick(&[Side::Buy, Side::Sell]);
        let is_stop = matches!(order_type, Stop | StopLimit);
        let stays = !matches!(time_in_force, Ioc | Fok);
        let unlimited = matches!(order_type, Market | Stop) && self.random.one_in(2);
        let mut order = entered(&NewOrder {
            account: self.account(),
            instrument: self.instrument(),
            side,
            order_type,
            time_in_force,
            flags: if self.random.one_in(2) { 0 } else { (self.random.below(6) as u8) << 1 },
            price: if unlimited { Price(0) } else { self.near(side) },
            quantity: Quantity(self.size()),
            client_order_id: ClientOrderId(match self.random.below(10) {
                0..=6 => 0,
                7 => self.some_order(model).map_or(0, |order| order.asked.client_order_id.0),
                _ => 1 + self.random.below(5_000),
            }),
        });
        let size = order.quantity.0.clamp(1, 1 << 20).cast_unsigned();
        if order_type == Limit && stays && self.random.one_in(8) {
            order.flags |= self.random.pick(&[POST_ONLY, POST_ONLY | REPRICE]);
        }
        if is_stop {
            // A sell stop waits below the market and a buy stop above it.
            order.stop_price = self.near(side.opposite());
        }
        if matches!(order_type, Limit | StopLimit) && stays && self.random.one_in(4) {
            order.display_quantity = Quantity(1 + self.random.below(size.min(9)) as i64);
        }
        if matches!(order_type, Limit | Market) && time_in_force != Fok && self.random.one_in(6) {
            let never_trades = order.flags & POST_ONLY != 0;
            let least = Quantity(1 + self.random.below(size) as i64);
            order.min_quantity = if never_trades { Quantity(0) } else { least };
        }
        if order_type == Market
            && side == Side::Buy
            && time_in_force == Ioc
            && self.random.one_in(2)
        {
            let lots = self.random.below(30) as i64;
            let most = self.price.saturating_mul(lots * self.random.pick(&[1, 7]));
            order.budget = Amount(most.saturating_add(self.random.below(20) as i64).max(1));
            if self.random.one_in(2) {
                (order.quantity, order.min_quantity) = (Quantity(0), Quantity(0));
            }
        }
        if time_in_force == Gtd {
            order.expires = TimeNs(self.time + self.random.below(300_000));
        }
        if self.random.one_in(40) {
            self.confuse(&mut order);
        }
        match plain(&order).filter(|_| self.random.one_in(2)) {
            Some(plain) => plain.into(),
            None => order.into(),
        }
    }

    /// Gives one field a value that mostly contradicts the others.
    fn confuse(&mut self, order: &mut EnterOrder) {
        let number = self.random.pick(&[-1, 0, 1, 2, 5, 1000, i64::MAX, i64::MIN]);
        match self.random.below(9) {
            0 => order.flags ^= 1 << self.random.below(8),
            1 => order.stop_price = Price(number),
            2 => order.display_quantity = Quantity(number),
            3 => order.min_quantity = Quantity(number),
            4 => order.budget = Amount(number),
            5 => order.expires = TimeNs(number.unsigned_abs()),
            6 => order.quantity = Quantity(number),
            7 => order.price = Price(number),
            _ => order.flags = self.random.below(256) as u8,
        }
    }

    /// A live order, if one is found quickly.
    fn some_order(&mut self, model: &Model) -> Option<Order> {
        for _ in 0..self.instruments * 2 {
            let of = self.random.below(self.instruments.into()) as usize;
            let list = &model.orders[of];
            if !list.is_empty() {
                return Some(list[self.random.below(list.len() as u64) as usize]);
            }
        }
        None
    }

    /// A live order's names, sometimes not quite right.
    fn named(&mut self, model: &Model) -> (OrderId, ClientOrderId, AccountId, InstrumentId) {
        let Some(order) = self.some_order(model) else {
            return (
                OrderId(self.random.below(99)),
                ClientOrderId(0),
                AccountId(2),
                InstrumentId(1),
            );
        };
        let (mut id, mut account, mut instrument) =
            (order.id, order.asked.account, order.asked.instrument);
        match self.random.below(60) {
            0 => id = OrderId(self.random.below(self.sequence)),
            1 => account = self.account(),
            2 => instrument = InstrumentId(self.random.below(5) as u32),
            3..=20 if order.asked.client_order_id.0 != 0 => id = OrderId(0),
            _ => {}
        }
        (id, order.asked.client_order_id, account, instrument)
    }

    fn cancel(&mut self, model: &Model) -> Command {
        let (order_id, orig_client_order_id, account, instrument) = self.named(model);
        CancelOrder { account, instrument, order_id, orig_client_order_id }.into()
    }

    fn replace(&mut self, model: &Model) -> Command {
        let (order_id, orig_client_order_id, account, instrument) = self.named(model);
        let of = instrument.0.checked_sub(1).and_then(|i| model.orders.get(i as usize));
        let old = of.into_iter().flatten().find(|order| order.id == order_id);
        let price = match old {
            Some(old) if self.random.one_in(2) => Price(old.price),
            _ => self.near(old.map_or(Side::Buy, |old| old.asked.side)),
        };
        let quantity = match old {
            Some(old) if self.random.one_in(2) => {
                Quantity((old.quantity.saturating_add(self.random.below(5) as i64 - 3)).max(1))
            }
            _ => Quantity(self.size()),
        };
        let price = if self.random.one_in(30) { Price(0) } else { price };
        ReplaceOrder { account, instrument, order_id, price, quantity, orig_client_order_id }.into()
    }
}
