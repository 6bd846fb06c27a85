//! A venue of 10,000 instruments, 1,000,000 accounts and 10,000,000 resting orders:
//! `cargo bench --bench scale [-- ORDERS]`.
//!
//! Orders are entered one after another, and then cancelled at random; each command is timed by itself. What
//! is to be seen is that no command ever pays for the growth of a table: the slowest, beside the others.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use hdrhistogram::Histogram;
use openoutcry::command::{CancelOrder, Command, Deposit, NewOrder};
use openoutcry::exchange::{Context, Exchange, Outbox};
use openoutcry::genesis::{Account, Asset, GenesisItem, Instrument, Settings};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity,
    Sequence, Side, Status, TimeInForce, TimeNs,
};
use std::time::Instant;

const INSTRUMENTS: u32 = 10_000;
const ACCOUNTS: u64 = 1_000_000;
const ORDERS: u64 = 10_000_000;
const MIDDLE: i64 = 100_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn genesis(orders: u64) -> impl Iterator<Item = GenesisItem> {
    let settings = GenesisItem::Settings(Settings {
        seed: "9f0d5c3b1a2e4f60718293a4b5c6d7e8".into(),
        dedupe_count_max: 1 << 20,
        dedupe_window_s: 60,
        timestamp_ahead_max_ms: 1000,
        orders_max: orders as u32,
        application_version: openoutcry::genesis::APPLICATION_VERSION,
        day_end_s: 0,
    });
    let assets = [(1, "BASE"), (2, "QUOTE")].map(|(id, symbol)| Asset {
        id: AssetId(id),
        symbol: symbol.into(),
        scale: 2,
    });
    let instruments = (1..=INSTRUMENTS).map(|id| Instrument {
        id: InstrumentId(id),
        symbol: format!("I{id}"),
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
    });
    let accounts = (2..ACCOUNTS + 2).map(|id| GenesisItem::Account(Account::new(AccountId(id))));
    std::iter::once(settings)
        .chain(assets.map(GenesisItem::Asset))
        .chain(instruments.map(GenesisItem::Instrument))
        .chain(accounts)
}

/// The exchange and the times of its commands.
struct Desk {
    exchange: Exchange,
    out: Outbox,
    ctx: Context,
    times: Histogram<u64>,
}

impl Desk {
    fn apply(&mut self, command: &Command, expected: Status) {
        self.ctx.sequence = Sequence(self.ctx.sequence.0 + 1);
        let started = Instant::now();
        self.exchange.apply(&self.ctx, command, &mut self.out);
        self.times.saturating_record(started.elapsed().as_nanos() as u64);
        let status = self.out.result().map(|result| result.status);
        assert_eq!(status, Some(expected), "{command:?}");
    }

    fn report(&mut self, what: &str, started: Instant) {
        let at = |share| self.times.value_at_quantile(share);
        println!(
            "{what}: {} commands in {:.1} s; ns p50 {}, p99 {}, p99.99 {}, p99.9999 {}, most {}",
            self.times.len(),
            started.elapsed().as_secs_f64(),
            at(0.5),
            at(0.99),
            at(0.9999),
            at(0.999_999),
            self.times.max()
        );
        self.times.reset();
    }
}

/// An order that crosses nothing: bids are below the middle, asks above.
fn resting(random: &mut Random) -> NewOrder {
    let spread = 1 << (1 + random.below(9));
    let away = 1 + random.below(spread) as i64;
    let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
    NewOrder {
        account: AccountId(2 + random.below(ACCOUNTS)),
        instrument: InstrumentId(1 + random.below(INSTRUMENTS.into()) as u32),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(if side == Side::Buy { MIDDLE - away } else { MIDDLE + away }),
        quantity: Quantity(10),
        client_order_id: ClientOrderId(0),
    }
}

fn main() {
    let orders = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(ORDERS);
    let started = Instant::now();
    let mut exchange = Exchange::new();
    for item in genesis(orders) {
        exchange.define(&item).expect("the genesis of the bench is right");
    }
    exchange.memory().iter().for_each(|region| region.make_resident());
    let ctx = Context { time: TimeNs(1), ..Context::default() };
    let times = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("three digits are kept");
    let mut desk = Desk { exchange, out: Outbox::new(), ctx, times };
    for account in (2..ACCOUNTS + 2).map(AccountId) {
        for asset in [1, 2].map(AssetId) {
            let amount = Amount(1 << 36);
            desk.apply(&Deposit { account, asset, amount }.into(), Status::Done);
        }
    }
    desk.report("genesis and deposits", started);

    let (mut random, mut live) = (Random(42), Vec::with_capacity(orders as usize));
    let started = Instant::now();
    for _ in 0..orders {
        let order = resting(&mut random);
        desk.apply(&order.into(), Status::Pending);
        live.push((order.account, order.instrument, OrderId(desk.ctx.sequence.0)));
    }
    desk.report("enter", started);

    let started = Instant::now();
    while !live.is_empty() {
        let at = random.below(live.len() as u64) as usize;
        let (account, instrument, order_id) = live.swap_remove(at);
        let orig_client_order_id = ClientOrderId(0);
        let cancel = CancelOrder { account, instrument, order_id, orig_client_order_id };
        desk.apply(&cancel.into(), Status::FullyCanceled);
    }
    desk.report("cancel at random", started);
}
