//! Random records of all kinds, and the naive model to compare every event with.
//!
//! `BOOK_MS` says how long, `SEED` repeats a run. A stream that differs is cut down and printed as a
//! script. Streams are short ones with few orders, of which the whole state is compared after each
//! record, longer ones with hundreds, and long ones with thousands of live orders.

use super::forms::Numbers;
use super::passing::check_quiet;
use super::script::{self, ACCOUNT_LAST, check_events};
use super::shrink;
use super::traffic::{self, FIRST, FUNDS, SESSIONS, Traffic};
use super::words::{Record, SessionStep};
use crate::model::Model;
use crate::model_funds::{Balance, Cell};
use crate::model_order::State;
use openoutcry::command::{Command, Deposit};
use openoutcry::event::{EVENT_SIZE, EventBody, RejectReason};
use openoutcry::exchange::{Context, Exchange, Outbox};
use openoutcry::packing::{Pack, Unpack};
use openoutcry::snapshot::format::Section;
use openoutcry::types::{
    AccountId, Amount, AssetId, InstrumentId, KeyId, Quantity, Sequence, SessionId, Side,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const ORDERS_MAX: u32 = 4000;
const ASSETS: u32 = script::ASSETS.len() as u32;

pub(crate) type Step = (Context, Record);

fn environment(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number in the environment"))
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = environment("SEED", now.map_or(1, |now| now.as_nanos() as u64));
    eprintln!("SEED={seed}");
    seed
}

/// The exchange with a digest of all its events.
struct Ours {
    exchange: Exchange,
    out: Outbox,
    events: Sha256,
}

impl Ours {
    fn new() -> Ours {
        let mut exchange = Exchange::new();
        for item in traffic::genesis(ORDERS_MAX) {
            exchange.define(&item).expect("the genesis of tests is right");
        }
        let mut out = Outbox::new();
        for sequence in 1..=SESSIONS {
            let ctx = Context { sequence: Sequence(sequence.into()), ..Context::default() };
            let session = exchange.logon(&ctx, KeyId(0), &[sequence as u8; 32], &mut out);
            assert_eq!(session, SessionId(sequence));
        }
        let mut ours = Ours { exchange, out, events: Sha256::new() };
        deposits().iter().for_each(|step| ours.apply(step));
        ours
    }

    fn apply(&mut self, (ctx, record): &Step) {
        let Ours { exchange, out, events: _ } = self;
        match record {
            Record::Command(command) => exchange.apply(ctx, command, out),
            Record::Admin(command) => exchange.administer(ctx, command, out),
            Record::Session(SessionStep::Logon { session, is_watched }) => {
                let name = [session.0 as u8; 32];
                assert_eq!(exchange.logon(ctx, KeyId(0), &name, out), *session);
                if *is_watched {
                    exchange.cancel_when_away(*session);
                }
            }
            Record::Session(SessionStep::Logout(session)) => exchange.logout(ctx, *session, out),
            Record::Session(SessionStep::Lose) => exchange.lose_sessions(ctx, out),
            Record::Session(SessionStep::Tick) => exchange.tick(ctx, out),
        }
        let mut bytes = [0; EVENT_SIZE];
        for event in self.out.events() {
            event.encode(&mut bytes);
            self.events.update(bytes);
        }
    }

    fn digests(&self) -> ([u8; 32], [u8; 32]) {
        (hash(&self.exchange), self.events.clone().finalize().into())
    }
}

fn hash(exchange: &Exchange) -> [u8; 32] {
    let mut sha = Sha256::new();
    exchange.hash(&mut sha);
    sha.finalize().into()
}

/// The exchange as another node would have it from a snapshot.
pub(crate) fn restored(exchange: &Exchange) -> Exchange {
    let mut read = Exchange::new();
    for part in Section::ALL.iter().filter_map(|section| section.part()) {
        let mut pack = Pack::default();
        exchange.pack(part, &mut pack);
        let bytes = pack.into_bytes();
        let mut unpack = Unpack::new(&bytes);
        read.unpack(part, &mut unpack).expect("it was packed a moment before");
        unpack.end().expect("nothing is left");
        let mut again = Pack::default();
        read.pack(part, &mut again);
        assert!(again.bytes() == bytes, "{part:?} is packed the same way again");
    }
    read
}

/// All accounts get the same of everything.
fn deposits() -> Vec<Step> {
    let all =
        (2..=ACCOUNT_LAST).flat_map(|account| (1..=ASSETS).map(move |asset| (account, asset)));
    let steps = all.zip(u64::from(SESSIONS) + 1..).map(|((account, asset), sequence)| {
        assert!(sequence < FIRST);
        let amount = script::parse(FUNDS, script::ASSETS[asset as usize - 1].1);
        let ctx = Context { sequence: Sequence(sequence), ..Context::default() };
        let (account, asset, amount) = (AccountId(account), AssetId(asset), Amount(amount));
        (ctx, Deposit { account, asset, amount }.into())
    });
    steps.collect()
}

/// The exchange and the model, side by side.
pub(crate) struct Pair {
    ours: Ours,
    pub(crate) model: Model,
    numbers: Numbers,
    /// As the exchange has told them.
    balances: BTreeMap<Cell, Balance>,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        let (model, numbers) = (traffic::model(ORDERS_MAX), Numbers::default());
        let mut pair = Pair { ours: Ours::new(), model, numbers, balances: BTreeMap::new() };
        deposits().iter().for_each(|step| drop(pair.expected(step)));
        pair.balances = pair.model.balances();
        pair
    }

    /// Applies a record to the model; its events as the model has them, but for balances.
    pub(crate) fn expected(&mut self, (ctx, record): &Step) -> Vec<EventBody> {
        let refused = self.model.apply(ctx, record).err();
        self.numbers.events(ctx, record, refused, &self.model)
    }

    /// Applies a command to both; what the model says of it, or how they differ.
    pub(crate) fn step(&mut self, step: &Step) -> Result<Vec<EventBody>, String> {
        let expected = self.expected(step);
        self.ours.apply(step);
        let events = self.ours.out.events();
        match step.1 {
            Record::Session(_) => check_quiet(events, step.0.sequence),
            Record::Command(_) | Record::Admin(_) => check_events(events, step.0.sequence),
        }
        let told = |event: &EventBody| !matches!(event, EventBody::Balance(_));
        let found = events.iter().map(|event| &event.body).filter(|body| told(body));
        if !found.clone().eq(expected.iter()) {
            let found: Vec<_> = found.collect();
            return Err(format!("expected {expected:#?}\nfound {found:#?}"));
        }
        for event in events {
            if let EventBody::Balance(b) = event.body {
                let balance = (b.available.0.into(), b.frozen.0.into());
                self.balances.insert((b.account, b.asset), balance);
            }
        }
        // To add up what thousands of orders hold takes a while.
        if self.model.orders.len() < 500 || step.0.sequence.0.is_multiple_of(16) {
            same("balances told", &self.balances, &self.model.balances())?;
        }
        Ok(expected)
    }

    /// Compares books and orders, one by one, and all balances; and what a snapshot makes of them.
    pub(crate) fn compare(&self) -> Result<(), String> {
        let (exchange, model) = (&self.ours.exchange, &self.model);
        exchange.check();
        same("hash after a snapshot", hash(&restored(exchange)), hash(exchange))?;
        same("number of live orders", exchange.order_count(), model.orders.len())?;
        for order in &model.orders {
            let Some(row) = exchange.order(order.id) else {
                return Err(format!("{order:?} is not live"));
            };
            let found = (row.account, row.instrument, row.client_order_id, row.session, row.side);
            let (account, instrument, client) =
                (order.account, order.instrument, order.client_order_id);
            same("order", found, (account, instrument, client, order.session, order.side))?;
            let found = (row.price, row.quantity, row.filled.0, row.leaves.0);
            same("order", found, (order.price, order.quantity, order.filled, order.leaves()))?;
        }
        let mut rows = Vec::new();
        for instrument in (1..=traffic::INSTRUMENTS).map(InstrumentId) {
            let open = model.orders.iter().filter(|order| order.state == State::Open);
            let mut book: Vec<_> = open.filter(|order| order.instrument == instrument).collect();
            book.sort_by_key(|order| match order.side {
                Side::Buy => (0, -order.price.0),
                Side::Sell => (1, order.price.0),
            });
            for side in [Side::Buy, Side::Sell] {
                let mut levels = book.chunk_by(|a, b| a.price == b.price && a.side == b.side);
                let best = levels.find(|level| level[0].side == side).map(|level| {
                    let open = level.iter().map(|order| order.shown).sum();
                    (level[0].price, Quantity(open))
                });
                same("best price", exchange.best(instrument, side), best)?;
            }
            if !book.is_empty() {
                let summary = exchange.book(instrument, 0, true, &mut rows).expect("it is defined");
                let expected: Vec<_> = book.iter().map(|o| (o.id, o.price, o.shown)).collect();
                let found: Vec<_> =
                    rows.iter().map(|row| (row.order_id, row.price, row.quantity.0)).collect();
                if !summary.more {
                    same("book", found, expected)?;
                }
            }
            let found = exchange.last_price(instrument).map(|price| price.0);
            same("last price", found, model.last.get(&instrument).copied())?;
        }
        same("positions", exchange.positions().collect(), model.positions())?;
        let balances = model.balances();
        for account in (1..=ACCOUNT_LAST).map(AccountId) {
            for asset in (1..=ASSETS).map(AssetId) {
                let balance = exchange.balance(account, asset).expect("it is defined");
                let found = (balance.available.0.into(), balance.frozen.0.into());
                same("balance", found, balances[&(account, asset)])?;
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, found {found:?}"))
}

#[derive(Default)]
struct Summary {
    commands: usize,
    refused: BTreeMap<&'static str, usize>,
    trades: usize,
    updates: BTreeMap<&'static str, usize>,
    others: usize,
    live_most: usize,
}

/// Lets a stream run until `count` commands or the deadline; with `every` command so many the whole
/// state is compared. Then it is replayed, whole and from a snapshot somewhere within it.
fn run(mut traffic: Traffic, count: usize, every: usize, deadline: Instant, sum: &mut Summary) {
    let mut pair = Pair::new();
    let mut stream: Vec<Step> = Vec::new();
    let mut on_the_way = Vec::new();
    while stream.len() < count && Instant::now() < deadline {
        let step = traffic.next(&pair.model);
        stream.push(step.clone());
        let compared = stream.len().is_multiple_of(every);
        let outcome = shrink::caught(|| {
            let events = pair.step(&step)?;
            if compared {
                pair.compare()?
            };
            Ok(events)
        });
        match outcome {
            Ok(events) => {
                for event in &events {
                    match event {
                        EventBody::Result(result) => {
                            result.reason.iter().for_each(|why| sum.refuse(*why));
                        }
                        EventBody::Trade(_) => sum.trades += 1,
                        EventBody::Update(update) => {
                            *sum.updates.entry(update.change.as_str()).or_default() += 1;
                        }
                        _ => sum.others += 1,
                    }
                }
            }
            Err(why) => panic!("{}", shrink::report(stream, &why)),
        }
        if traffic.random.one_in(count as u64 / 2) {
            on_the_way.push((stream.len(), pair.ours.digests()));
        }
        if stream.len().is_multiple_of(64) {
            sum.live_most = sum.live_most.max(pair.model.orders.len());
        }
    }
    pair.compare().expect("the whole state is the same in the end");
    on_the_way.push((stream.len(), pair.ours.digests()));
    sum.commands += stream.len();
    let mut again = Ours::new();
    let mut at = 0;
    for (prefix, digests) in on_the_way {
        for step in &stream[at..prefix] {
            again.apply(step);
        }
        at = prefix;
        assert!(again.digests() == digests, "a replay of the first {prefix} commands differs");
        again.exchange = restored(&again.exchange);
        assert!(again.digests() == digests, "a snapshot after {prefix} commands differs");
    }
}

impl Summary {
    fn refuse(&mut self, why: RejectReason) {
        *self.refused.entry(why.name()).or_default() += 1;
    }

    fn print(&self) {
        let Summary { commands, refused, trades, updates, others, live_most } = self;
        eprintln!(
            "{commands} records, {trades} trades, {others} other events, up to {live_most} live \
             orders, updates {updates:?}, refused {refused:?}"
        );
    }
}

/// Time for one kind of streams.
fn budget() -> Duration {
    Duration::from_millis(environment("BOOK_MS", 3000) / 2)
}

#[test]
fn random_commands_do_what_the_naive_model_says_and_do_it_again_when_replayed() {
    let seed = seed();
    let deadline = Instant::now() + budget();
    let mut sum = Summary::default();
    let mut round = 0;
    while Instant::now() < deadline {
        // Mass cancels of many orders take many records.
        let (live_max, count) =
            [(3, 400), (10, 400), (30, 400), (90, 400), (600, 2000)][round as usize % 5];
        let instruments = [1, 1, 3][round as usize / 5 % 3];
        let traffic = Traffic::new(seed.wrapping_add(round << 32), live_max, instruments);
        let is_close = round.is_multiple_of(4) && live_max < 100;
        run(traffic, count, if is_close { 1 } else { 64 }, deadline, &mut sum);
        round += 1;
    }
    sum.print();
}

/// Thousands of live orders in many instruments.
pub(crate) fn long_streams_do_what_the_naive_model_says() {
    let seed = seed();
    let deadline = Instant::now() + budget();
    let mut sum = Summary::default();
    let mut round = 0;
    while Instant::now() < deadline {
        let seed = seed.wrapping_add(round << 32);
        let traffic = Traffic::new(seed, ORDERS_MAX as usize, traffic::INSTRUMENTS);
        run(traffic, 100_000, 1024, deadline, &mut sum);
        round += 1;
    }
    sum.print();
}

/// What must happen in streams, as the model has it, so that it is compared.
const REACHED: [&str; 23] = [
    "DuplicateClientOrderId",
    "GrossPositionLimit",
    "InstrumentRestricted",
    "InsufficientFunds",
    "InvalidAdmin",
    "InvalidGrace",
    "InvalidSession",
    "NetPositionLimit",
    "NotionalTooLarge",
    "OrderRateExceeded",
    "OrderTooLarge",
    "OutsideCollar",
    "TooManyMassCancels",
    "TooManyOpenOrders",
    "WouldTrade",
    "disconnected",
    "expired",
    "mass-cancel-done",
    "mass-canceled",
    "reduced",
    "repriced",
    "self-trade",
    "triggered",
];

#[test]
fn streams_reach_what_limits_and_time_do() {
    let mut seen = BTreeSet::new();
    for (seed, live_max, count) in
        [(1, 30, 6000), (3, 600, 6000), (5, 600, 6000), (7, 4000, 12_000)]
    {
        let mut pair = Pair::new();
        let mut traffic = Traffic::new(seed, live_max, 3);
        for _ in 0..count {
            let step = traffic.next(&pair.model);
            for event in pair.expected(&step) {
                match event {
                    EventBody::Result(result) => seen.extend(result.reason.map(RejectReason::name)),
                    EventBody::Update(update) => drop(seen.insert(update.change.as_str())),
                    _ => {}
                }
            }
        }
    }
    let missing: Vec<_> = REACHED.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} never happened");
}

#[test]
fn no_command_allocates() {
    let mut pair = Pair::new();
    let mut traffic = Traffic::new(42, ORDERS_MAX as usize, traffic::INSTRUMENTS);
    let mut stream = Vec::new();
    for _ in 0..20_000 {
        let step = traffic.next(&pair.model);
        pair.expected(&step);
        stream.push(step);
    }
    let Ours { mut exchange, mut out, .. } = Ours::new();
    // What operators and sessions say of themselves is kept in tables that grow.
    let (others, commands): (Vec<Step>, Vec<Step>) =
        stream.into_iter().partition(|(_, record)| match record {
            Record::Command(command) => matches!(command, Command::CancelOnDisconnect(_)),
            Record::Admin(_) | Record::Session(_) => true,
        });
    assert!(!others.is_empty());
    let before = crate::allocation::so_far();
    for (ctx, record) in &commands {
        let Record::Command(command) = record else { continue };
        exchange.apply(ctx, command, &mut out);
        assert_eq!(crate::allocation::so_far() - before, 0, "{ctx:?} {command:?}");
    }
    assert!(exchange.order_count() > 500, "{} orders", exchange.order_count());
    drop(Vec::<u8>::with_capacity(1));
    assert!(crate::allocation::so_far() > before, "an allocation is counted");
}
