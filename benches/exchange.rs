//! What a command costs in the exchange alone: `cargo bench --bench exchange`.
//!
//! `add`, `cancel` and `match` time one kind of command each beside 100,000 resting orders of 1,000
//! accounts. `workload` replays a seeded mix (50 % new orders, 15 % of them immediate, 39 % cancels,
//! 9 % replaces, 2 % refused duplicates) along five price paths, an order's commands close together
//! or with thousands of others between them: the worst of the ten is the one to quote. Balances,
//! events and the checks of every command are included, journal and network are not.
//!
//! `cargo bench --bench exchange -- plain 100` gives 100 chunks of each of the three instead: the best, the
//! tenth of a hundred, and the middle one. The best is what a machine shared with others shows again.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use openoutcry::command::{CancelOrder, Command, Deposit, NewOrder, ReplaceOrder};
use openoutcry::exchange::{Context, Exchange, Outbox};
use openoutcry::genesis::{Account, Asset, GenesisItem, Instrument, Settings};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity,
    Sequence, Side, TimeInForce, TimeNs,
};
use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ACCOUNTS: u64 = 1000;
const MIDDLE: i64 = 100_000;
/// Commands timed in one go.
const CHUNK: u64 = 10_000;
const RESTING: u64 = 100_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn genesis() -> Vec<GenesisItem> {
    let mut items = vec![GenesisItem::Settings(Settings {
        seed: "9f0d5c3b1a2e4f60718293a4b5c6d7e8".into(),
        dedupe_count_max: 1 << 20,
        dedupe_window_s: 60,
        timestamp_ahead_max_ms: 1000,
        orders_max: 1 << 20,
        application_version: 1,
        day_end_s: 0,
    })];
    for (id, symbol) in [(1, "BTC"), (2, "USDT")] {
        items.push(GenesisItem::Asset(Asset { id: AssetId(id), symbol: symbol.into(), scale: 2 }));
    }
    items.push(GenesisItem::Instrument(Instrument {
        id: InstrumentId(1),
        symbol: "BTC-USDT".into(),
        base: AssetId(1),
        quote: AssetId(2),
        price_scale: 2,
        tick_units: 1,
        quantity_scale: 2,
        lot_units: 1,
        base_per_lot: 1,
        quote_per_tick_lot: 1,
        quantity_min: 1,
        quantity_max: 1 << 40,
        price_max: 1 << 40,
        market_band_bps: Instrument::MARKET_BAND_BPS,
        collar_bps: 0,
    }));
    items.extend((2..ACCOUNTS + 2).map(|id| GenesisItem::Account(Account::new(AccountId(id)))));
    items
}

/// An exchange whose accounts never run out of money.
struct Desk {
    exchange: Exchange,
    out: Outbox,
    ctx: Context,
}

impl Desk {
    fn new() -> Desk {
        let mut exchange = Exchange::new();
        for item in genesis() {
            exchange.define(&item).expect("the genesis of the bench is right");
        }
        let ctx = Context { time: TimeNs(1), ..Context::default() };
        let mut desk = Desk { exchange, out: Outbox::new(), ctx };
        for account in (2..ACCOUNTS + 2).map(AccountId) {
            for asset in [1, 2].map(AssetId) {
                desk.apply(&Deposit { account, asset, amount: Amount(1 << 52) }.into());
            }
        }
        desk
    }

    fn apply(&mut self, command: &Command) -> OrderId {
        self.ctx.sequence = Sequence(self.ctx.sequence.0 + 1);
        self.exchange.apply(&self.ctx, command, &mut self.out);
        black_box(self.out.events());
        OrderId(self.ctx.sequence.0)
    }
}

impl Desk {
    /// Applies commands; gives the time that it took.
    fn time(&mut self, commands: &[Command]) -> Duration {
        let started = Instant::now();
        for command in commands {
            self.apply(command);
        }
        started.elapsed()
    }
}

/// Accounts that take turns at random; each numbers its orders from 1.
struct Traders {
    random: Random,
    numbers: Vec<u64>,
}

impl Traders {
    fn new(seed: u64) -> Traders {
        Traders { random: Random(seed), numbers: vec![0; ACCOUNTS as usize] }
    }

    fn order(&mut self, side: Side, price: i64, quantity: i64) -> NewOrder {
        let account = self.random.below(ACCOUNTS);
        self.numbers[account as usize] += 1;
        NewOrder {
            account: AccountId(2 + account),
            instrument: InstrumentId(1),
            side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Gtc,
            flags: 0,
            price: Price(price),
            quantity: Quantity(quantity),
            client_order_id: ClientOrderId(self.numbers[account as usize]),
        }
    }

    /// An order that rests, most likely near the middle.
    fn resting(&mut self) -> NewOrder {
        let spread = 1 << self.random.below(10);
        let away = 1 + self.random.below(spread) as i64;
        if self.random.below(2) == 0 {
            self.order(Side::Buy, MIDDLE - away, 10)
        } else {
            self.order(Side::Sell, MIDDLE + away, 10)
        }
    }
}

fn cancel(account: AccountId, order_id: OrderId) -> Command {
    let instrument = InstrumentId(1);
    CancelOrder { account, instrument, order_id, orig_client_order_id: ClientOrderId(0) }.into()
}

/// A desk with many resting orders, and the traders who entered them.
fn crowded() -> (Desk, Traders) {
    let (mut desk, mut traders) = (Desk::new(), Traders::new(7));
    for _ in 0..RESTING {
        desk.apply(&traders.resting().into());
    }
    (desk, traders)
}

/// Times `timed` over chunks of commands until criterion has its iterations.
fn chunks(iterations: u64, mut timed: impl FnMut() -> Duration) -> Duration {
    let mut total = Duration::ZERO;
    let count = iterations.div_ceil(CHUNK);
    for _ in 0..count {
        total += timed();
    }
    total.mul_f64(iterations as f64 / (count * CHUNK) as f64)
}

/// Times a chunk of orders that rest, and their cancels in random order.
fn add_and_cancel_chunk(desk: &mut Desk, traders: &mut Traders) -> (Duration, Duration) {
    let adds: Vec<NewOrder> = (0..CHUNK).map(|_| traders.resting()).collect();
    let commands: Vec<Command> = adds.iter().map(|&add| add.into()).collect();
    let first = desk.ctx.sequence.0 + 1;
    let adding = desk.time(&commands);
    let mut cancels: Vec<Command> =
        (first..).zip(&adds).map(|(id, add)| cancel(add.account, OrderId(id))).collect();
    for at in (1..cancels.len()).rev() {
        cancels.swap(at, traders.random.below(at as u64 + 1) as usize);
    }
    (adding, desk.time(&cancels))
}

/// Times a chunk of orders that trade at once, each with so many others.
fn match_chunk(desk: &mut Desk, traders: &mut Traders, fills: u64) -> Duration {
    for _ in 0..CHUNK * fills {
        desk.apply(&traders.order(Side::Sell, MIDDLE, 10).into());
    }
    let quantity = 10 * fills as i64;
    let takers: Vec<Command> =
        (0..CHUNK).map(|_| traders.order(Side::Buy, MIDDLE, quantity).into()).collect();
    desk.time(&takers)
}

fn add_and_cancel(criterion: &mut Criterion) {
    let (mut desk, mut traders) = crowded();
    let mut group = criterion.benchmark_group("exchange");
    let mut both = |timed_add: bool, iterations: u64| {
        chunks(iterations, || {
            let (adding, canceling) = add_and_cancel_chunk(&mut desk, &mut traders);
            if timed_add { adding } else { canceling }
        })
    };
    group.bench_function("add", |b| b.iter_custom(|iterations| both(true, iterations)));
    group.bench_function("cancel", |b| b.iter_custom(|iterations| both(false, iterations)));
    group.finish();
}

fn matching(criterion: &mut Criterion) {
    let (mut desk, mut traders) = crowded();
    let mut group = criterion.benchmark_group("exchange");
    for (name, fills) in [("match", 1), ("sweep of 10", 10)] {
        group.throughput(Throughput::Elements(fills));
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                chunks(iterations, || match_chunk(&mut desk, &mut traders, fills))
            });
        });
    }
    group.finish();
}

/// Builds a mix of commands; order ids in it count from the mix's first command, as 1, so that it
/// can be replayed later in the total order. It ends with an empty book.
fn workload(swing_percent: i64, crash: bool, interleaved: bool) -> Vec<Command> {
    const COUNT: usize = 200_000;
    let (mut desk, mut traders) = (Desk::new(), Traders::new(11));
    let base = desk.ctx.sequence.0;
    let mut live: VecDeque<(AccountId, OrderId)> = VecDeque::new();
    let mut commands: Vec<Command> = Vec::with_capacity(COUNT * 2);
    let mut give = |desk: &mut Desk, command: Command| -> OrderId {
        commands.push(shifted(&command, 0u64.wrapping_sub(base)));
        desk.apply(&command)
    };
    let kept = if interleaved { 20_000 } else { 20 };
    for at in 0..COUNT {
        let turn = at as f64 / COUNT as f64 * std::f64::consts::TAU;
        let along = if crash { turn.sin().powi(9).min(0.0) } else { (turn * 3.0).sin() };
        let middle = MIDDLE + (along * (MIDDLE * swing_percent / 100) as f64) as i64;
        let spread = 1 << traders.random.below(9);
        let away = traders.random.below(spread) as i64 - 2;
        let shape = traders.random.below(100);
        let oldest = live.front().copied();
        match (shape, oldest) {
            (0..39, Some((account, id))) if live.len() > kept => {
                live.pop_front();
                give(&mut desk, cancel(account, id));
            }
            (39..48, Some((account, order_id))) => {
                let row = desk.exchange.order(order_id);
                let replace = ReplaceOrder {
                    account,
                    instrument: InstrumentId(1),
                    order_id,
                    price: row.map_or(Price(middle), |row| row.price),
                    quantity: Quantity(1 + traders.random.below(100) as i64),
                    orig_client_order_id: ClientOrderId(0),
                };
                give(&mut desk, replace.into());
                live.rotate_left(1);
            }
            (48..50, Some((account, id))) => {
                let known = desk.exchange.order(id).map_or(ClientOrderId(0), |o| o.client_order_id);
                let again = traders.order(Side::Buy, middle, 5);
                give(&mut desk, NewOrder { account, client_order_id: known, ..again }.into());
            }
            _ => {
                let side = if traders.random.below(2) == 0 { Side::Buy } else { Side::Sell };
                let price = if side == Side::Buy { middle - away } else { middle + away };
                let quantity = 1 + traders.random.below(100) as i64;
                let mut new = traders.order(side, price, quantity);
                if traders.random.below(100) < 15 {
                    new.time_in_force = TimeInForce::Ioc;
                }
                let id = give(&mut desk, new.into());
                if desk.exchange.order(id).is_some() {
                    live.push_back((new.account, id));
                }
            }
        }
    }
    for (account, id) in resting_orders(&desk.exchange) {
        give(&mut desk, cancel(account, id));
    }
    assert_eq!(desk.exchange.order_count(), 0);
    commands
}

/// All live orders, account by account.
fn resting_orders(exchange: &Exchange) -> Vec<(AccountId, OrderId)> {
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    for account in (2..ACCOUNTS + 2).map(AccountId) {
        let mut after = OrderId(0);
        loop {
            let more = exchange.account(account, after, &mut Vec::new(), &mut rows);
            all.extend(rows.iter().map(|row| (account, row.order_id)));
            if !more.expect("the account is defined") {
                break;
            }
            after = rows.last().expect("no page is empty").order_id;
        }
    }
    all
}

/// The command, its order ids moved by `base`.
fn shifted(command: &Command, base: u64) -> Command {
    let moved = |id: OrderId| OrderId(id.0.wrapping_add(base));
    match *command {
        Command::CancelOrder(c) => CancelOrder { order_id: moved(c.order_id), ..c }.into(),
        Command::ReplaceOrder(c) => ReplaceOrder { order_id: moved(c.order_id), ..c }.into(),
        other => other,
    }
}

fn workloads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exchange/workload");
    group.sample_size(20);
    let paths = [
        ("static", 0, false),
        ("normal 2 %", 2, false),
        ("swing 25 %", 25, false),
        ("swing 40 %", 40, false),
        ("crash 60 %", 60, true),
    ];
    for (name, swing, crash) in paths {
        for (form, interleaved) in [("close", false), ("interleaved", true)] {
            let mix = workload(swing, crash, interleaved);
            let mut desk = Desk::new();
            group.throughput(Throughput::Elements(mix.len() as u64));
            group.bench_function(BenchmarkId::new(name, form), |b| {
                b.iter_custom(|iterations| {
                    let mut total = Duration::ZERO;
                    for _ in 0..iterations {
                        let base = desk.ctx.sequence.0;
                        let commands: Vec<Command> =
                            mix.iter().map(|command| shifted(command, base)).collect();
                        let started = Instant::now();
                        for command in &commands {
                            desk.apply(command);
                        }
                        total += started.elapsed();
                    }
                    total
                });
            });
            assert_eq!(desk.exchange.order_count(), 0);
        }
    }
    group.finish();
}

/// Prints nanoseconds a command of chunks of adds, cancels and matches: the best, p10, the middle one.
fn plain(rounds: usize) {
    let (mut desk, mut traders) = crowded();
    let mut chunks: [Vec<Duration>; 3] = Default::default();
    for _ in 0..rounds {
        let (adding, canceling) = add_and_cancel_chunk(&mut desk, &mut traders);
        for (times, time) in
            chunks.iter_mut().zip([adding, canceling, match_chunk(&mut desk, &mut traders, 1)])
        {
            times.push(time);
        }
    }
    for (name, times) in ["add", "cancel", "match"].iter().zip(&mut chunks) {
        times.sort_unstable();
        let ns = |at: usize| times[at].as_nanos() as f64 / CHUNK as f64;
        println!("{name:8} {:6.1} {:6.1} {:6.1}", ns(0), ns(rounds / 10), ns(rounds / 2));
    }
}

criterion_group!(benches, add_and_cancel, matching, workloads);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "plain") {
        Some(at) => {
            let rounds = arguments.get(at + 1).and_then(|rounds| rounds.parse().ok());
            plain(rounds.unwrap_or(100).max(1));
        }
        None => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
