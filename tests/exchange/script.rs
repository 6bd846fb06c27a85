//! Puts the exchange behind scripts that a trader can read.
//!
//! ```text
//! fund 2 3 1000                     accounts 2 and 3 get 1000 of every asset
//! buy  A 10 @ 100                   -> pending
//! 3: sell B 4 @ 99.5 ioc as 7       -> filled 4, trade A 4 @ 100 leaves 6
//! buy  C 5 market                   -> filled 5, trade B 5 @ 101
//! buy  D 5 @ 99 post                -> pending
//! cancel A                          -> partly canceled 4
//! book                              -> | 101x3 (bids | asks, best first)
//! balance 2 USDT                    -> 999600 / 0 (available / frozen)
//! ```
//!
//! An account in front of the colon acts, 2 where there is none. `on ETH` names the other
//! instrument, `as N` gives a client's number, `#N` names an order by it. `at TIME` sets the time of the
//! records that follow, `session N` who sends them, `valid T` until when. All words of orders stand in
//! `words`. After each command every invariant is checked, and that its events are whole.

use super::words;
use openoutcry::command::{CancelOrder, Command, Deposit, ReplaceOrder, Transfer, Withdraw};
use openoutcry::event::{Balance, CommandResult, Event, EventBody, RejectReason};
use openoutcry::exchange::{Context, Exchange, Outbox};
use openoutcry::genesis::{APPLICATION_VERSION, Account, Asset, GenesisItem, Instrument, Settings};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, KeyId, OrderId, Price, Quantity,
    Sequence, SessionId, Side, Status, TimeNs,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Accounts of the test's genesis: 2 up to this one.
pub(crate) const ACCOUNT_LAST: u64 = 9;
pub(crate) const ASSETS: [(&str, u8); 3] = [("BTC", 0), ("USDT", 2), ("ETH", 0)];

pub(crate) fn settings(orders_max: u32) -> GenesisItem {
    GenesisItem::Settings(Settings {
        seed: "000102030405060708090a0b0c0d0e0f".into(),
        dedupe_count_max: 1000,
        dedupe_window_s: 60,
        timestamp_ahead_max_ms: 1000,
        orders_max,
        application_version: APPLICATION_VERSION,
        day_end_s: 0,
    })
}

pub(crate) fn asset(id: u32, symbol: &str, scale: u8) -> GenesisItem {
    GenesisItem::Asset(Asset { id: AssetId(id), symbol: symbol.into(), scale })
}

/// A tick is a cent, a lot is one.
pub(crate) fn instrument(id: u32, symbol: &str, base: u32, quote: u32) -> Instrument {
    Instrument {
        id: InstrumentId(id),
        symbol: symbol.into(),
        base: AssetId(base),
        quote: AssetId(quote),
        price_scale: 2,
        tick_units: 1,
        quantity_scale: 0,
        lot_units: 1,
        base_per_lot: 1,
        quote_per_tick_lot: 1,
        quantity_min: 1,
        quantity_max: i64::MAX,
        price_max: i64::MAX,
        market_band_bps: Instrument::MARKET_BAND_BPS,
        collar_bps: 0,
    }
}

/// BTC-USDT without bounds, ETH-USDT with prices to 1000 and quantities from 2 to 100.
pub(crate) fn genesis(orders_max: u32) -> Vec<GenesisItem> {
    let mut items = vec![settings(orders_max)];
    items.extend((1..).zip(ASSETS).map(|(id, (symbol, scale))| asset(id, symbol, scale)));
    items.push(GenesisItem::Instrument(instrument(1, "BTC-USDT", 1, 2)));
    let bounded = Instrument {
        price_max: 100_000,
        quantity_min: 2,
        quantity_max: 100,
        ..instrument(2, "ETH-USDT", 3, 2)
    };
    items.push(GenesisItem::Instrument(bounded));
    items.extend((2..=ACCOUNT_LAST).map(|id| GenesisItem::Account(Account::new(AccountId(id)))));
    items
}

/// Runs a script on a fresh exchange.
#[track_caller]
pub(crate) fn check(script: &str) -> World {
    let mut world = World::new(1000);
    world.run(script);
    world
}

/// An exchange, the names that the script gave its orders, and the way of a command into it.
pub(crate) struct World {
    pub(crate) exchange: Exchange,
    pub(crate) out: Outbox,
    /// Goes along with every command; its sequence rises by itself.
    pub(crate) ctx: Context,
    names: BTreeMap<String, OrderId>,
}

impl World {
    pub(crate) fn new(orders_max: u32) -> World {
        World::of(&genesis(orders_max))
    }

    pub(crate) fn of(items: &[GenesisItem]) -> World {
        let mut exchange = Exchange::new();
        for item in items {
            exchange.define(item).expect("the genesis of tests is right");
        }
        let ctx = Context { time: TimeNs(1000), ..Context::default() };
        World { exchange, out: Outbox::new(), ctx, names: BTreeMap::new() }
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut sha = Sha256::new();
        self.exchange.hash(&mut sha);
        sha.finalize().into()
    }

    /// Applies a command and checks everything that is true after any command.
    #[track_caller]
    pub(crate) fn apply(&mut self, command: impl Into<Command>) -> CommandResult {
        let before = self.balances();
        let was_due = self.exchange.deadline().is_some_and(|due| due <= self.ctx.time);
        self.ctx.sequence = self.ctx.sequence.next();
        self.exchange.apply(&self.ctx, &command.into(), &mut self.out);
        self.exchange.check();
        let result = *self.out.result().expect("a command has a result");
        check_events(self.out.events(), self.ctx.sequence);
        let told: BTreeMap<_, _> = balances_told(self.out.events());
        for (place, balance) in self.balances() {
            match told.get(&place) {
                Some(told) => assert_eq!(*told, balance, "a balance is told as it is in the end"),
                None => assert_eq!(before[&place], balance, "a balance that changed is told"),
            }
        }
        if result.status == Status::Rejected {
            assert!(result.reason.is_some());
            assert!(was_due || self.out.events().len() == 1, "a refusal touches nothing");
        } else {
            let prevented = result.reason == Some(RejectReason::SelfTradePrevented);
            assert!(prevented || result.reason.is_none());
        }
        result
    }

    fn balances(&self) -> BTreeMap<(AccountId, AssetId), Balance> {
        let accounts = (1..=ACCOUNT_LAST).map(AccountId);
        let all = accounts.flat_map(|account| (1..=3).map(move |asset| (account, AssetId(asset))));
        all.map(|at| (at, self.exchange.balance(at.0, at.1).expect("it is defined"))).collect()
    }

    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (words, expected) = line.split_once("->").unwrap_or((line, ""));
            let found = self.line(words);
            let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(found, expected, "in line: {line}");
        }
    }

    #[track_caller]
    fn line(&mut self, line: &str) -> String {
        let (account, words) = match line.split_once(':') {
            Some((account, words)) => (number(account.trim()), words),
            None => (2, line),
        };
        let words: Vec<&str> = words.split_whitespace().collect();
        let account = AccountId(account);
        match words[..] {
            ["fund", ref rest @ ..] => self.fund(rest),
            ["book", ref rest @ ..] => self.show_book(rest),
            ["last"] => self
                .exchange
                .last_price(InstrumentId(1))
                .map_or("none".into(), |price| cents(price.0)),
            ["balance", who, asset] => {
                let (asset, scale) = find_asset(asset);
                let balance = self.exchange.balance(AccountId(number(who)), asset);
                let Balance { available, frozen, .. } = balance.expect("it is defined");
                format!("{} / {}", decimal(available.0, scale), decimal(frozen.0, scale))
            }
            ["at", time] => {
                self.ctx.time = TimeNs(number(time));
                String::new()
            }
            ["valid", time] => {
                self.ctx.expires = TimeNs(number(time));
                String::new()
            }
            ["session", session] => self.use_session(number(session) as u32),
            ["orders", who] => self.show_orders(AccountId(number(who))),
            ["deposit", who, asset, amount] => {
                let (asset, amount) = money(asset, amount);
                self.tell(Deposit { account: AccountId(number(who)), asset, amount })
            }
            ["withdraw", who, asset, amount] => {
                let (asset, amount) = money(asset, amount);
                self.tell(Withdraw { account: AccountId(number(who)), asset, amount })
            }
            ["transfer", from, to, asset, amount] => {
                let (asset, amount) = money(asset, amount);
                let (from, to) = (AccountId(number(from)), AccountId(number(to)));
                self.tell(Transfer { from, to, asset, amount })
            }
            [side @ ("buy" | "sell"), name, quantity, ref rest @ ..] => {
                let side = if side == "buy" { Side::Buy } else { Side::Sell };
                let command = words::entry(account, side, quantity, rest);
                let id = OrderId(self.ctx.sequence.0 + 1);
                assert!(self.names.insert(name.into(), id).is_none(), "{name} is named twice");
                self.tell(command)
            }
            ["cancel", name, ref rest @ ..] => {
                let (order_id, orig_client_order_id) = self.order(name);
                let instrument = words::order(rest).instrument;
                self.tell(CancelOrder { account, instrument, order_id, orig_client_order_id })
            }
            ["replace", name, quantity, "@", price, ref rest @ ..] => {
                let (order_id, orig_client_order_id) = self.order(name);
                self.tell(ReplaceOrder {
                    account,
                    instrument: words::order(rest).instrument,
                    order_id,
                    price: Price(parse(price, 2)),
                    quantity: Quantity(parse(quantity, 0)),
                    orig_client_order_id,
                })
            }
            _ => self
                .limit(&words)
                .or_else(|| self.line_of_time(&words))
                .unwrap_or_else(|| panic!("what does this mean: {line}")),
        }
    }

    /// `A` by its id, `#7` by the client's number, `?9` by an id that nobody gave.
    #[track_caller]
    fn order(&self, name: &str) -> (OrderId, ClientOrderId) {
        match (name.strip_prefix('#'), name.strip_prefix('?')) {
            (Some(client), _) => (OrderId(0), ClientOrderId(number(client))),
            (_, Some(id)) => (OrderId(number(id)), ClientOrderId(0)),
            _ => (*self.names.get(name).expect("the order is named above"), ClientOrderId(0)),
        }
    }

    #[track_caller]
    fn fund(&mut self, words: &[&str]) -> String {
        let (amount, accounts) = words.split_last().expect("an amount");
        for account in accounts {
            for (asset, scale) in ASSETS.map(|(symbol, _)| find_asset(symbol)) {
                let (account, amount) = (AccountId(number(account)), Amount(parse(amount, scale)));
                let result = self.apply(Deposit { account, asset, amount });
                assert_eq!(result.status, Status::Done);
            }
        }
        String::new()
    }

    #[track_caller]
    pub(crate) fn tell(&mut self, command: impl Into<Command>) -> String {
        self.apply(command);
        let name = |id| self.name(id).to_owned();
        words::told(self.out.events().iter().map(|event| &event.body), &name)
    }

    /// Whose session sends the commands from here on; it and those before it log on first.
    fn use_session(&mut self, session: u32) -> String {
        while self.exchange.sessions().len() < session as usize {
            self.ctx.sequence = self.ctx.sequence.next();
            let name = [1 + self.exchange.sessions().len() as u8; 32];
            self.exchange.logon(&self.ctx, KeyId(0), &name, &mut self.out);
        }
        self.ctx.session = SessionId(session);
        String::new()
    }

    pub(crate) fn name(&self, id: OrderId) -> &str {
        self.names.iter().find(|(_, known)| **known == id).map_or("?", |(name, _)| name)
    }

    /// Bids, best first, a bar, asks, best first.
    fn show_book(&self, words: &[&str]) -> String {
        let mut rows = Vec::new();
        let instrument = words::order(words).instrument;
        let summary = self.exchange.book(instrument, u16::MAX, false, &mut rows);
        assert!(!summary.expect("it is defined").more);
        let side = |side| {
            let rows = rows.iter().filter(move |row| row.side == side);
            rows.map(|row| format!("{}x{}", cents(row.price.0), row.quantity))
        };
        let bar = std::iter::once("|".to_owned());
        side(Side::Buy).chain(bar).chain(side(Side::Sell)).collect::<Vec<_>>().join(" ")
    }

    fn show_orders(&self, account: AccountId) -> String {
        let (mut balances, mut orders) = (Vec::new(), Vec::new());
        let more = self.exchange.account(account, OrderId(0), &mut balances, &mut orders);
        assert_eq!(more, Ok(false));
        orders.iter().map(|row| self.name(row.order_id)).collect::<Vec<_>>().join(" ")
    }
}

/// Checks what is true of the events of every command.
#[track_caller]
pub(crate) fn check_events(events: &[Event], sequence: Sequence) {
    let EventBody::Result(result) = &events[0].body else { panic!("the result comes first") };
    let mut rank_before = 0;
    let mut trades = 0;
    for (event, index) in events.iter().zip(0..) {
        assert_eq!(event.sequence, sequence);
        assert_eq!(event.index, index);
        assert_eq!(event.last, index as usize == events.len() - 1);
        let rank = match event.body {
            EventBody::Result(_) => 0,
            EventBody::Trade(trade) => {
                assert!(trade.quantity.0 > 0, "no trade is of nothing");
                trades += u32::from(trade.taker_order == result.order_id);
                1
            }
            EventBody::MakerFill(_) | EventBody::Update(_) => 2,
            EventBody::Balance(_) => 3,
            EventBody::Session(_) | EventBody::Sent(_) => {
                panic!("a command is no session's record")
            }
        };
        assert!(rank >= rank_before, "results, trades, makers' fills, balances");
        assert!(rank > 0 || index == 0, "one result");
        rank_before = rank;
    }
    assert_eq!(result.fill_count, trades);
    let balances = events.iter().filter(|event| matches!(event.body, EventBody::Balance(_)));
    let places: BTreeSet<_> = balances_told(events).into_keys().collect();
    assert_eq!(balances.count(), places.len(), "each balance once");
}

fn balances_told(events: &[Event]) -> BTreeMap<(AccountId, AssetId), Balance> {
    let balances = events.iter().filter_map(|event| match event.body {
        EventBody::Balance(balance) => Some(((balance.account, balance.asset), balance)),
        _ => None,
    });
    balances.collect()
}

#[track_caller]
pub(crate) fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

#[track_caller]
fn find_asset(symbol: &str) -> (AssetId, u8) {
    let index = ASSETS.iter().position(|(known, _)| *known == symbol);
    let Some(index) = index else { return (AssetId(number(symbol) as u32), 0) };
    (AssetId(index as u32 + 1), ASSETS[index].1)
}

#[track_caller]
fn money(asset: &str, amount: &str) -> (AssetId, Amount) {
    let (asset, scale) = find_asset(asset);
    (asset, Amount(parse(amount, scale)))
}

/// An exact decimal with at most `scale` places.
#[track_caller]
pub(crate) fn parse(text: &str, scale: u8) -> i64 {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    assert!(places.len() <= scale.into(), "{text} has too many places");
    format!("{whole}{places:0<width$}", width = scale.into()).parse().expect("a decimal")
}

pub(crate) fn cents(value: i64) -> String {
    decimal(value, 2)
}

/// As short as it can be said.
pub(crate) fn decimal(value: i64, scale: u8) -> String {
    let unit = 10u64.pow(scale.into());
    let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    if size % unit == 0 {
        return format!("{sign}{}", size / unit);
    }
    let places = format!("{:0width$}", size % unit, width = scale.into());
    format!("{sign}{}.{}", size / unit, places.trim_end_matches('0'))
}
