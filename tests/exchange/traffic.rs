//! Random commands of all kinds, drawn so that most make sense and prices cross often.

use super::script::{self, ACCOUNT_LAST, instrument};
use super::words::{Record, SessionStep, entered, plain};
use crate::model::Model;
use crate::model_order::Order;
use openoutcry::admin::AdminCommand;
use openoutcry::command::{
    CancelOnDisconnect, CancelOrder, Command, Deposit, EnterOrder, MassCancel, NewOrder, POST_ONLY,
    REPRICE, ReplaceOrder, Transfer, Withdraw,
};
use openoutcry::exchange::Context;
use openoutcry::genesis::{AccountLimits, GenesisItem, Instrument};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, KeyId, OrderId, OrderType, Price,
    Quantity, SelfTrade, Sequence, SessionId, Side, Sides, TimeInForce, TimeNs,
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
    let mut model = Model {
        instruments: instruments(),
        assets: script::ASSETS.len() as u32,
        orders_max: orders_max as usize,
        day_end_ns: u64::from(DAY_END_S) * 1_000_000_000,
        accounts: owners(),
        ..Model::default()
    };
    model.time.sessions = (1..=SESSIONS).map(|id| (SessionId(id), None)).collect();
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
    /// So many mass cancels that come one after another, from this session.
    storm: (u64, SessionId),
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
            storm: (0, SessionId(0)),
        }
    }

    /// The next command.
    pub(crate) fn next(&mut self, model: &Model) -> (Context, Record) {
        self.sequence += 1;
        // Mostly less than limits' tokens take, sometimes more than sessions may be away.
        let most = if self.random.one_in(80) { 3_000_000 } else { 2000 };
        self.time += self.random.below(most);
        if self.random.one_in(700) {
            self.time += self.random.below(DAY_NS / 2);
        }
        let ctx = Context {
            sequence: Sequence(self.sequence),
            time: TimeNs(self.time),
            session: match self.storm {
                (0, _) => SessionId(self.random.below(u64::from(SESSIONS) + 1) as u32),
                (_, session) => session,
            },
            key: KeyId(0),
            client_sequence: self.sequence ^ 0xff,
            expires: TimeNs(match self.random.below(400) {
                0 => self.time - 1,
                1 => self.time,
                _ => 0,
            }),
        };
        (ctx, self.record(model))
    }

    fn record(&mut self, model: &Model) -> Record {
        let is_dear = self.price > 1 << 20;
        if self.random.one_in(if is_dear { 200 } else { 3000 }) {
            self.price = self.random.pick(&[1, 3, 50, 58, 5_000, 9_000, 1 << 30, 1 << 60]);
        } else if self.random.one_in(10) {
            self.price = (self.price + self.random.below(5) as i64 - 2).max(1);
        }
        let live = model.orders.len();
        let bound = if self.growing { self.live_max } else { self.live_max / 2 };
        self.growing = live < bound;
        // Where there are to be many orders, few things may take them away.
        let rare = 1 + self.live_max as u64 / 200;
        if self.storm.0 > 0 || self.random.one_in(60 * rare) {
            let is_first = live > 200 && self.storm.0 == 0 && self.random.one_in(3);
            let first = (80, SessionId(self.random.pick(&[0, 0, 1, 2, 3])));
            self.storm =
                if is_first { first } else { (self.storm.0.saturating_sub(1), self.storm.1) };
            return self.mass_cancel().into();
        }
        if self.random.one_in(30 * rare) {
            return self.session();
        }
        if self.live_max > 100 && self.growing && self.random.one_in(2) {
            return self.far_order().into();
        }
        match self.random.below(200) {
            0..=1 => self.money().into(),
            2..=6 => Record::Admin(self.operator()),
            7..=20 if live > 0 => self.replace(model).into(),
            21..=36 if live > 0 => self.cancel(model).into(),
            37..=120 if live > 0 && !self.growing => self.cancel(model).into(),
            _ => self.order(model).into(),
        }
    }

    fn is_crowded(&self) -> bool {
        self.live_max > 1000
    }

    /// 0 now and then, which names all or nothing.
    fn or_none(&mut self, one_in: u64, value: u64) -> u64 {
        if self.random.one_in(one_in) { 0 } else { value }
    }

    fn a_session(&mut self) -> SessionId {
        let wrong = self.random.one_in(60);
        SessionId(1 + self.random.below(SESSIONS.into()) as u32 + if wrong { SESSIONS } else { 0 })
    }

    fn mass_cancel(&mut self) -> Command {
        let (account, instrument, session) = (self.account(), self.instrument(), self.a_session());
        MassCancel {
            account: AccountId(self.or_none(2, account.0)),
            instrument: InstrumentId(self.or_none(2, instrument.0.into()) as u32),
            sides: self.random.pick(&[Sides::Both, Sides::Buy, Sides::Sell]),
            session: SessionId(self.or_none(2, session.0.into()) as u32),
        }
        .into()
    }

    /// Sessions come and go, and say what becomes of their orders then.
    fn session(&mut self) -> Record {
        let session = SessionId(1 + self.random.below(SESSIONS.into()) as u32);
        let is_watched = self.random.one_in(4);
        Record::Session(match self.random.below(20) {
            0..=3 => SessionStep::Logout(session),
            4..=7 => SessionStep::Logon { session, is_watched },
            8..=9 => SessionStep::Lose,
            10..=12 => SessionStep::Tick,
            _ => {
                let day_ms = 86_400_000;
                let enabled = self.random.pick(&[1, 1, 1, 1, 1, 1, 0, 0, 2, 255]);
                let grace_ms = self.random.pick(&[0, 0, 1, 1, 2, 3, 1000, day_ms, day_ms + 1]);
                return CancelOnDisconnect { enabled, grace_ms }.into();
            }
        })
    }

    /// A limit below this, mostly none, rarely nonsense.
    fn limit(&mut self, below: u64) -> i64 {
        match self.random.below(if self.is_crowded() { 800 } else { 200 }) {
            0 => self.random.pick(&[-1, i64::MIN, i64::MAX]),
            1..=60 => 1 + self.random.below(below) as i64,
            _ => 0,
        }
    }

    /// An operator changes owners and limits.
    fn operator(&mut self) -> AdminCommand {
        use SelfTrade::{Allow, CancelBoth, CancelNewest, CancelOldest, Decrement};
        let (account, instrument) = (self.account(), self.instrument());
        let many = if self.is_crowded() { 20 } else { 1 };
        match self.random.below(20) {
            0..=1 => AdminCommand::SetAccountGroup {
                account,
                group: self.random.pick(&[0, 0, 7, 8]),
                self_trade: self.random.pick(&[
                    Allow,
                    Allow,
                    CancelNewest,
                    CancelOldest,
                    CancelBoth,
                    Decrement,
                ]),
            },
            2..=5 => AdminCommand::SetAccountLimits { account, limits: AccountLimits::NONE },
            6..=10 => {
                let rates = [0, 0, 0, 0, 0, 0, 0, 0, 5, 100_000, 300_000, 1_000_000, 1_000_001];
                let rate_per_s = self.random.pick(&rates);
                let has_burst = self.random.one_in(if rate_per_s == 0 { 30 } else { 2 });
                let restricted = self.random.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 3, 65]);
                let limits = AccountLimits {
                    quantity_max: self.limit(60),
                    notional_max: self.limit(self.price.unsigned_abs().saturating_mul(100).max(1)),
                    open_orders_max: self.limit(20 * many) as u32,
                    rate_per_s,
                    rate_burst: if has_burst { 1 + self.random.below(20) as u32 } else { 0 },
                    restricted: (0..restricted).map(|_| self.instrument()).collect(),
                };
                AdminCommand::SetAccountLimits { account, limits }
            }
            11..=16 => {
                let (net_max, gross_max) = (self.limit(200 * many), self.limit(300 * many));
                let position = self.random.below(400) as i64 - 200;
                let position = Some(position).filter(|_| self.random.one_in(4));
                AdminCommand::SetPositionLimit { account, instrument, net_max, gross_max, position }
            }
            _ => {
                let near = self.random.below(4000) as u32;
                let collars = [0, 0, 0, 0, near, 100, 1000, 2500, 10_000, 1_000_000, 1_000_001];
                let collar_bps = self.random.pick(&collars);
                AdminCommand::SetCollar { instrument, collar_bps }
            }
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
        let is_crowded = self.is_crowded();
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

    /// One that rests, so that there are many soon.
    fn far_order(&mut self) -> Command {
        let (account, instrument) = (self.account(), self.instrument());
        let side = self.random.pick(&[Side::Buy, Side::Sell]);
        let away = self.random.below(20) as i64;
        let price_max = if instrument.0 / 2 % 2 == 1 { 60 } else { 10_000 };
        NewOrder {
            account,
            instrument,
            side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Gtc,
            flags: 0,
            price: Price(if side == Side::Buy { 1 + away } else { price_max - away }),
            quantity: Quantity(2 + self.random.below(3) as i64),
            client_order_id: ClientOrderId(0),
        }
        .into()
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
                7 => self.some_order(model).map_or(0, |order| order.client_order_id.0),
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

    /// A live order, if there is one.
    fn some_order(&mut self, model: &Model) -> Option<Order> {
        let count = model.orders.len() as u64;
        (count > 0).then(|| model.orders[self.random.below(count) as usize])
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
        let (mut id, mut account, mut instrument) = (order.id, order.account, order.instrument);
        match self.random.below(60) {
            0 => id = OrderId(self.random.below(self.sequence)),
            1 => account = self.account(),
            2 => instrument = InstrumentId(self.random.below(5) as u32),
            3..=20 if order.client_order_id.0 != 0 => id = OrderId(0),
            _ => {}
        }
        (id, order.client_order_id, account, instrument)
    }

    fn cancel(&mut self, model: &Model) -> Command {
        let (order_id, orig_client_order_id, account, instrument) = self.named(model);
        CancelOrder { account, instrument, order_id, orig_client_order_id }.into()
    }

    fn replace(&mut self, model: &Model) -> Command {
        let (order_id, orig_client_order_id, account, instrument) = self.named(model);
        let old = model.orders.iter().find(|order| order.id == order_id);
        let price = match old {
            Some(old) if self.random.one_in(2) => old.price,
            _ => self.near(old.map_or(Side::Buy, |old| old.side)),
        };
        let quantity = match old {
            Some(old) if self.random.one_in(2) => {
                Quantity((old.quantity.0.saturating_add(self.random.below(5) as i64 - 3)).max(1))
            }
            _ => Quantity(self.size()),
        };
        let price = if self.random.one_in(30) { Price(0) } else { price };
        ReplaceOrder { account, instrument, order_id, price, quantity, orig_client_order_id }.into()
    }
}
