//! Thousands of live orders, random commands, and the naive model to compare every event with.

use super::script::{check_events, genesis, instrument};
use crate::model::{Expected, Model};
use openoutcry::command::{
    CancelOrder, Command, Deposit, NewOrder, ReplaceOrder, Transfer, Withdraw,
};
use openoutcry::event::{Event, EventBody};
use openoutcry::exchange::{Context, Exchange, Outbox};
use openoutcry::genesis::{GenesisItem, Instrument};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, KeyId, OrderId, OrderType, Price,
    Quantity, SessionId, Side, TimeInForce, TimeNs,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ORDERS_MAX: u32 = 4000;
const ACCOUNTS: u64 = 8;

/// xorshift64*: repeatable, and good enough to reach every corner.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

fn environment(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number in the environment"))
}

fn instruments() -> Vec<Instrument> {
    let odd = |id, symbol, base, quote| Instrument {
        base_per_lot: 3,
        quote_per_tick_lot: 7,
        ..instrument(id, symbol, base, quote)
    };
    vec![
        instrument(1, "BTC-USDT", 1, 2),
        Instrument {
            price_max: 100_000,
            quantity_min: 2,
            quantity_max: 100,
            ..instrument(2, "ETH-USDT", 3, 2)
        },
        odd(3, "ETH-BTC", 3, 1),
    ]
}

fn exchange() -> Exchange {
    let mut exchange = Exchange::new();
    let mut items = genesis(ORDERS_MAX);
    items.push(GenesisItem::Instrument(instruments().swap_remove(2)));
    for item in items {
        exchange.define(&item).expect("the genesis of tests is right");
    }
    exchange
}

/// Draws commands that mostly make sense, from what the model knows to be live.
struct Trader {
    random: Random,
    /// Where prices are now; it wanders, and jumps from time to time.
    price: i64,
    /// Whether the book is to grow or to shrink at the moment.
    growing: bool,
}

impl Trader {
    /// The next command, and what the model makes of it. Accounts are made rich first, so that
    /// not everything is refused.
    fn next(&mut self, model: &mut Model, sequence: u64) -> ((Context, Command), Expected) {
        let ctx = context(&mut self.random, sequence);
        let command = match sequence - 4 {
            first @ 0..24 => Deposit {
                account: AccountId(2 + first % ACCOUNTS),
                asset: AssetId(1 + (first / ACCOUNTS) as u32),
                amount: Amount(1 << 36),
            }
            .into(),
            _ => self.command(model),
        };
        let expected = model.apply(&ctx, &command);
        ((ctx, command), expected)
    }

    fn command(&mut self, model: &Model) -> Command {
        if self.random.one_in(2000) {
            self.price = self.random.pick(&[1, 50, 4_000, 5_000, 6_000, 9_000, 1 << 30, 1 << 60]);
        } else if self.random.one_in(10) {
            self.price = (self.price + self.random.below(11) as i64 - 5).max(1);
        }
        let live = model.orders.len();
        self.growing = if self.growing { live < 4_000 } else { live < 2_000 };
        match self.random.below(100) {
            0 => self.money(),
            1..=8 if live > 0 => self.replace(model),
            9..=19 if live > 0 => self.cancel(model),
            20..=65 if live > 0 && !self.growing => self.cancel(model),
            _ => self.order(model),
        }
    }

    fn account(&mut self) -> AccountId {
        AccountId(if self.random.one_in(300) {
            self.random.pick(&[0, 1, 99, u64::MAX])
        } else {
            2 + self.random.below(ACCOUNTS)
        })
    }

    /// Mostly a price that rests, sometimes one that crosses, rarely nonsense.
    fn near(&mut self, side: Side) -> Price {
        if self.random.one_in(200) {
            return Price(self.random.pick(&[0, -1, 1, 2, 100_001, i64::MAX, i64::MIN, 1 << 50]));
        }
        let spread = self.random.pick(&[2, 8, 300, 5_000]);
        let away = 1 + self.random.below(spread) as i64;
        let away = if self.random.one_in(5) { -away } else { away };
        Price(if side == Side::Buy { self.price - away } else { self.price + away })
    }

    fn size(&mut self) -> Quantity {
        if self.random.one_in(200) {
            return Quantity(self.random.pick(&[0, -1, 101, 1 << 20, i64::MAX, i64::MIN, 3_000]));
        }
        let most = self.random.pick(&[3, 10, 100]);
        Quantity(1 + self.random.below(most) as i64)
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
        let one_in = |random: &mut Random| random.one_in(400);
        let time_in_force = match self.random.below(100) {
            0..15 => TimeInForce::Ioc,
            15..25 => TimeInForce::Fok,
            _ => TimeInForce::Gtc,
        };
        // Of those that rest some only ever rest, of the others some take any price; rarely nonsense.
        let rests = time_in_force == TimeInForce::Gtc;
        let is_market = self.random.one_in(if rests { 400 } else { 3 });
        let is_post_only = self.random.one_in(if rests { 6 } else { 400 });
        let side = self.random.pick(&[Side::Buy, Side::Sell]);
        NewOrder {
            account: self.account(),
            instrument: InstrumentId(if one_in(&mut self.random) {
                self.random.pick(&[0, 4, u32::MAX])
            } else {
                1 + self.random.below(3) as u32
            }),
            side,
            order_type: if is_market { OrderType::Market } else { OrderType::Limit },
            time_in_force,
            flags: u8::from(is_post_only) | u8::from(one_in(&mut self.random)) << 1,
            price: if is_market && self.random.one_in(2) { Price(0) } else { self.near(side) },
            quantity: self.size(),
            client_order_id: ClientOrderId(match self.random.below(10) {
                0..=3 => 0,
                4 if !model.orders.is_empty() => self.some_order(model).1.0,
                _ => 1 + self.random.below(5_000),
            }),
        }
        .into()
    }

    /// A live order's names, and who owns it where.
    fn some_order(&mut self, model: &Model) -> (OrderId, ClientOrderId, AccountId, InstrumentId) {
        let order = &model.orders[self.random.below(model.orders.len() as u64) as usize];
        let (account, instrument) = (AccountId(order.account), InstrumentId(order.instrument));
        (OrderId(order.id), ClientOrderId(order.client), account, instrument)
    }

    /// A live order's names, sometimes not quite right.
    fn named(&mut self, model: &Model) -> (OrderId, ClientOrderId, AccountId, InstrumentId) {
        let (mut id, client, mut account, mut instrument) = self.some_order(model);
        match self.random.below(40) {
            0 => id = OrderId(self.random.below(100_000)),
            1 => account = self.account(),
            2 => instrument = InstrumentId(self.random.below(5) as u32),
            3..=20 if client.0 != 0 => id = OrderId(0),
            _ => {}
        }
        (id, client, account, instrument)
    }

    fn cancel(&mut self, model: &Model) -> Command {
        let (order_id, orig_client_order_id, account, instrument) = self.named(model);
        CancelOrder { account, instrument, order_id, orig_client_order_id }.into()
    }

    fn replace(&mut self, model: &Model) -> Command {
        let (order_id, orig_client_order_id, account, instrument) = self.named(model);
        let old = model.orders.iter().find(|order| order.id == order_id.0);
        let price = match old {
            Some(old) if self.random.one_in(2) => Price(old.price),
            _ => self.near(old.map_or(Side::Buy, |old| old.side)),
        };
        let quantity = match old {
            Some(old) if self.random.one_in(2) => {
                Quantity((old.quantity + self.random.below(5) as i64 - 3).max(1))
            }
            _ => self.size(),
        };
        ReplaceOrder { account, instrument, order_id, price, quantity, orig_client_order_id }.into()
    }
}

/// The events in the model's terms.
fn seen(events: &[Event]) -> Expected {
    let EventBody::Result(result) = &events[0].body else { panic!("the result comes first") };
    let mut seen = Expected {
        status: result.status,
        reason: result.reason,
        order: result.order_id.0,
        filled: result.filled.0,
        leaves: result.leaves.0,
        outbound: result.outbound,
        trades: Vec::new(),
        maker_fills: Vec::new(),
        balances: BTreeMap::new(),
    };
    for event in &events[1..] {
        match &event.body {
            EventBody::Trade(t) => {
                let trade = (t.maker_order.0, t.price.0, t.quantity.0, t.maker_leaves.0);
                seen.trades.push(trade);
            }
            EventBody::MakerFill(f) => {
                let (order, client) = (f.order_id.0, f.client_order_id.0);
                let told = (f.session.0, f.outbound, order, client, f.quantity.0, f.filled.0);
                seen.maker_fills.push(told);
            }
            EventBody::Balance(b) => {
                let balance = (b.available.0.into(), b.frozen.0.into());
                seen.balances.insert((b.account.0, b.asset.0), balance);
            }
            EventBody::Update(update) => panic!("no order here changes so: {update:?}"),
            EventBody::Result(_) | EventBody::Session(_) => panic!("one result alone"),
        }
    }
    seen
}

/// Compares the books, order by order, and all balances.
fn compare(exchange: &Exchange, model: &Model) {
    assert_eq!(exchange.order_count(), model.orders.len());
    for order in &model.orders {
        let row = exchange.order(OrderId(order.id)).expect("the model says that it rests");
        let found = (row.account.0, row.instrument.0, row.client_order_id.0, row.session.0);
        assert_eq!(found, (order.account, order.instrument, order.client, order.session));
        let found = (row.side, row.price.0, row.quantity.0, row.filled.0, row.leaves.0);
        let expected = (order.side, order.price, order.quantity, order.filled, order.leaves());
        assert_eq!(found, expected);
    }
    for instrument in 1..=3 {
        for side in [Side::Buy, Side::Sell] {
            let mut levels: BTreeMap<i64, i64> = BTreeMap::new();
            let of_side = |o: &&crate::model::Live| o.instrument == instrument && o.side == side;
            for order in model.orders.iter().filter(of_side) {
                *levels.entry(order.price).or_default() += order.leaves();
            }
            let best = match side {
                Side::Buy => levels.last_key_value(),
                Side::Sell => levels.first_key_value(),
            };
            let best = best.map(|(&price, &open)| (Price(price), Quantity(open)));
            assert_eq!(exchange.best(InstrumentId(instrument), side), best);
        }
    }
    for account in 1..=ACCOUNTS + 1 {
        for asset in 1..=3 {
            let balance = exchange.balance(AccountId(account), AssetId(asset)).expect("defined");
            let found = (i128::from(balance.available.0), i128::from(balance.frozen.0));
            assert_eq!(found, model.balance((account, asset)));
        }
    }
}

fn context(random: &mut Random, sequence: u64) -> Context {
    Context {
        sequence: openoutcry::types::Sequence(sequence),
        time: TimeNs(sequence * 1000),
        session: SessionId(random.below(4) as u32),
        key: KeyId(0),
        client_sequence: sequence ^ 0xff,
        expires: TimeNs(match random.below(200) {
            0 => sequence * 1000 - 1,
            1 => sequence * 1000,
            _ => 0,
        }),
    }
}

fn logons(exchange: &mut Exchange, out: &mut Outbox) {
    for sequence in 1..=3 {
        let ctx = Context { sequence: openoutcry::types::Sequence(sequence), ..Context::default() };
        let session = exchange.logon(&ctx, KeyId(0), &[sequence as u8; 32], out);
        assert_eq!(session, SessionId(sequence as u32));
    }
}

fn hash(exchange: &Exchange) -> [u8; 32] {
    let mut sha = Sha256::new();
    exchange.hash(&mut sha);
    sha.finalize().into()
}

#[test]
fn random_commands_do_what_the_naive_model_says_and_do_it_again_when_replayed() {
    let default_seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |now| now.as_nanos() as u64);
    let seed = environment("SEED", default_seed);
    let budget = Duration::from_millis(environment("BOOK_MS", 1500));
    println!("SEED={seed}");
    let mut exchange = exchange();
    let accounts = (1..=ACCOUNTS + 1).collect();
    let mut model = Model::new(instruments(), 3, accounts, ORDERS_MAX as usize);
    let mut out = Outbox::new();
    logons(&mut exchange, &mut out);
    let random = Random(seed | 1);
    let mut trader = Trader { random, price: 5_000, growing: true };
    let mut stream: Vec<(Context, Command)> = Vec::new();
    let mut events_sha = Sha256::new();
    let mut bytes = [0; openoutcry::event::EVENT_SIZE];
    let started = Instant::now();
    let (mut rejects, mut trades, mut live_most) = (0, 0, 0);
    while started.elapsed() < budget {
        let ((ctx, command), expected) = trader.next(&mut model, 4 + stream.len() as u64);
        stream.push((ctx, command));
        exchange.apply(&ctx, &command, &mut out);
        assert_eq!(seen(out.events()), expected, "SEED={seed}, {ctx:?}, {command:?}");
        check_events(out.events(), ctx.sequence);
        for event in out.events() {
            event.encode(&mut bytes);
            events_sha.update(bytes);
        }
        rejects += u64::from(expected.reason.is_some());
        trades += expected.trades.len();
        live_most = live_most.max(model.orders.len());
        if stream.len().is_multiple_of(512) {
            exchange.check();
            compare(&exchange, &model);
        }
    }
    exchange.check();
    compare(&exchange, &model);
    let count = stream.len();
    println!("{count} commands, {rejects} refused, {trades} trades, up to {live_most} live orders");
    let first = (hash(&exchange), <[u8; 32]>::from(events_sha.finalize()));
    assert_eq!(replay(&stream), first, "SEED={seed}: a replay differs");
}

#[test]
fn no_command_allocates() {
    let mut model = Model::new(instruments(), 3, (1..=ACCOUNTS + 1).collect(), ORDERS_MAX as usize);
    let mut trader = Trader { random: Random(42), price: 5_000, growing: true };
    let stream: Vec<_> = (4..20_000).map(|sequence| trader.next(&mut model, sequence).0).collect();
    let mut exchange = exchange();
    let mut out = Outbox::new();
    logons(&mut exchange, &mut out);
    let before = crate::allocation::so_far();
    for (ctx, command) in &stream {
        exchange.apply(ctx, command, &mut out);
    }
    assert_eq!(crate::allocation::so_far() - before, 0);
    assert!(exchange.order_count() > 500, "{} orders", exchange.order_count());
    drop(Vec::<u8>::with_capacity(1));
    assert!(crate::allocation::so_far() > before, "an allocation is counted");
}

/// Applies a stream to a fresh exchange; gives the hash of its state and of its events.
fn replay(stream: &[(Context, Command)]) -> ([u8; 32], [u8; 32]) {
    let mut exchange = exchange();
    let mut out = Outbox::new();
    logons(&mut exchange, &mut out);
    let mut sha = Sha256::new();
    let mut bytes = [0; openoutcry::event::EVENT_SIZE];
    for (ctx, command) in stream {
        exchange.apply(ctx, command, &mut out);
        for event in out.events() {
            event.encode(&mut bytes);
            sha.update(bytes);
        }
    }
    (hash(&exchange), sha.finalize().into())
}
