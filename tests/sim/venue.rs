//! The venue that the simulation trades on, its keys, and the commands that clients think of.

use super::kinds;
use super::random::Random;
use ed25519_dalek::SigningKey;
use openoutcry::command::{
    CancelOrder, Command, Deposit, NewOrder, ReplaceOrder, Transfer, Withdraw,
};
use openoutcry::genesis::{Account, Asset, GenesisItem, Instrument, Key, Settings};
use openoutcry::node::boot::Genesis;
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, KeyId, OrderId, OrderType, Price,
    Priority, Quantity, Role, Side, TimeInForce, TimeNs,
};
use std::sync::LazyLock;

/// Role and accounts of every key, in order of their numbers from 1.
pub(crate) const KEYS: [(Role, &[u64]); 4] = [
    (Role::Operator, &[]),
    (Role::Trade, &[2, 3]),
    (Role::Trade, &[3, 4, 5]),
    (Role::CancelOnly, &[2, 4]),
];

static SIGNERS: LazyLock<Vec<SigningKey>> =
    LazyLock::new(|| (1..=KEYS.len() as u8).map(|n| SigningKey::from_bytes(&[n; 32])).collect());

/// The secret half of a key.
pub(crate) fn signer(key: KeyId) -> &'static SigningKey {
    &SIGNERS[key.0 as usize - 1]
}

/// The most urgent priority that a key may use.
pub(crate) fn entitlement(key: KeyId) -> Priority {
    [Priority::Critical, Priority::High, Priority::Normal, Priority::Low][key.0 as usize - 1]
}

/// What a seed chooses of the venue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) seed: u64,
    pub(crate) dedupe_count_max: u64,
    pub(crate) orders_max: u32,
    /// Version of the rules with which the journal begins.
    pub(crate) version: u32,
    /// Many orders are live at once.
    pub(crate) deep: bool,
    pub(crate) day_end_s: u32,
}

impl Rules {
    /// Small tables as often as large ones.
    pub(crate) fn choose(random: &mut Random) -> Rules {
        let plain = Rules::plain(
            random.next(),
            [3, 20, 100, 1000][random.below(4) as usize],
            [2, 10, 200, 200][random.below(4) as usize],
        );
        if random.percent(50) {
            return plain;
        }
        let deep = random.percent(30);
        let orders_max = if deep { 1000 } else { plain.orders_max };
        // The world begins at 80,000 s of a day.
        let day_end_s = 80_001 + random.below(12) as u32;
        Rules { version: 2, deep, orders_max, day_end_s, ..plain }
    }

    /// Of the first version.
    pub(crate) fn plain(seed: u64, dedupe_count_max: u64, orders_max: u32) -> Rules {
        Rules { seed, dedupe_count_max, orders_max, version: 1, deep: false, day_end_s: 0 }
    }

    /// What an empty journal begins with.
    pub(crate) fn genesis(&self, time: TimeNs) -> Genesis {
        let settings = Settings {
            seed: format!("{:032x}", self.seed),
            dedupe_count_max: self.dedupe_count_max,
            dedupe_window_s: 3600,
            timestamp_ahead_max_ms: 30_000,
            orders_max: self.orders_max,
            application_version: self.version,
            day_end_s: self.day_end_s,
        };
        let mut items = vec![GenesisItem::Settings(settings)];
        for (id, symbol) in (1..).map(AssetId).zip(["BTC", "USD"]) {
            items.push(GenesisItem::Asset(Asset { id, symbol: symbol.to_owned(), scale: 2 }));
        }
        // The same genesis however often a start is tried.
        let mut random = Random::new(self.seed);
        for (id, symbol) in (1..).map(InstrumentId).zip(["BTC-USD", "BTC-USD2"]) {
            let mut instrument = instrument(id, symbol);
            if self.version > 1 && random.percent(30) {
                instrument.collar_bps = 400;
            }
            items.push(GenesisItem::Instrument(instrument));
        }
        let accounts = (2..=5).map(AccountId);
        items.extend(accounts.clone().map(|id| {
            GenesisItem::Account(if self.version > 1 {
                kinds::account(&mut random, id, self.deep)
            } else {
                Account::new(id)
            })
        }));
        for (id, (role, accounts)) in (1..).map(KeyId).zip(KEYS) {
            let public = signer(id).verifying_key().to_bytes();
            let public_key = public.iter().map(|byte| format!("{byte:02x}")).collect();
            let accounts = accounts.iter().copied().map(AccountId).collect();
            let mut key = Key::new(id, public_key, role, accounts);
            key.priority = entitlement(id);
            items.push(GenesisItem::Key(key));
        }
        let amount = Amount(if self.deep { 2_000_000 } else { 20_000 });
        let deposit = |(account, asset)| Deposit { account, asset, amount }.into();
        let commands = accounts.flat_map(|id| [(id, AssetId(1)), (id, AssetId(2))]).map(deposit);
        let mut commands: Vec<Command> = commands.collect();
        if self.deep {
            // So many that one record does not cancel them all: most of one account.
            let account = |n: u64| AccountId([3, 3, 3, 2, 4][n as usize % 5]);
            commands.extend((0..320).map(|n| kinds::far(&mut random, account(n))));
        }
        Genesis { items, commands, time }
    }
}

fn instrument(id: InstrumentId, symbol: &str) -> Instrument {
    Instrument {
        id,
        symbol: symbol.to_owned(),
        base: AssetId(1),
        quote: AssetId(2),
        price_scale: 0,
        tick_units: 1,
        quantity_scale: 0,
        lot_units: 1,
        base_per_lot: 1,
        quote_per_tick_lot: 1,
        quantity_min: 1,
        quantity_max: 500,
        price_max: 1000,
        market_band_bps: Instrument::MARKET_BAND_BPS,
        collar_bps: 0,
    }
}

/// An order that a client has heard of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) account: AccountId,
    pub(crate) instrument: InstrumentId,
    pub(crate) order_id: OrderId,
}

/// A command that a key may give: mostly sound, sometimes one that the exchange refuses.
pub(crate) fn command(random: &mut Random, key: KeyId, known: &[Known]) -> Command {
    let (role, accounts) = KEYS[key.0 as usize - 1];
    let account = match role {
        Role::Operator => AccountId(1 + random.below(6)),
        _ => AccountId(accounts[random.below(accounts.len() as u64) as usize]),
    };
    let amount = Amount(random.below(300).cast_signed() - 5);
    let asset = AssetId(1 + u32::from(random.percent(50)) + u32::from(random.percent(3)));
    let to = AccountId(1 + random.below(6));
    match (role, random.below(20)) {
        (Role::CancelOnly, _) => cancel(random, account, known),
        (Role::Operator, 0..4) => Deposit { account, asset, amount }.into(),
        (Role::Operator, 4) => Withdraw { account, asset, amount }.into(),
        (_, 0..2) => Transfer { from: account, to, asset, amount }.into(),
        (_, 5..8) => cancel(random, account, known),
        (_, 8..10) => replace(random, account, known),
        _ => new_order(random, account),
    }
}

fn instrument_id(random: &mut Random) -> InstrumentId {
    InstrumentId(1 + u32::from(random.percent(25)) + u32::from(random.percent(2)))
}

fn new_order(random: &mut Random, account: AccountId) -> Command {
    let ioc = random.percent(25);
    let large = if random.percent(4) { 1000 } else { 0 };
    let most = if random.percent(10) { 150 } else { 6 };
    NewOrder {
        account,
        instrument: instrument_id(random),
        side: if random.percent(50) { Side::Buy } else { Side::Sell },
        order_type: OrderType::Limit,
        time_in_force: if ioc { TimeInForce::Ioc } else { TimeInForce::Gtc },
        flags: u8::from(random.percent(2)),
        price: Price(96 + random.below(9).cast_signed() + large),
        quantity: Quantity(random.below(most).cast_signed()),
        client_order_id: ClientOrderId(random.below(100)),
    }
    .into()
}

/// An order by its id, or by the client's number.
fn target(random: &mut Random, account: AccountId, known: &[Known]) -> (Known, ClientOrderId) {
    let unknown = Known { account, instrument: instrument_id(random), order_id: OrderId(0) };
    if known.is_empty() || random.percent(20) {
        return (unknown, ClientOrderId(random.below(100)));
    }
    (known[random.below(known.len() as u64) as usize], ClientOrderId(0))
}

fn cancel(random: &mut Random, account: AccountId, known: &[Known]) -> Command {
    let (known, orig_client_order_id) = target(random, account, known);
    let Known { account, instrument, order_id } = known;
    CancelOrder { account, instrument, order_id, orig_client_order_id }.into()
}

fn replace(random: &mut Random, account: AccountId, known: &[Known]) -> Command {
    let (known, orig_client_order_id) = target(random, account, known);
    let Known { account, instrument, order_id } = known;
    let price = Price(95 + random.below(11).cast_signed());
    let quantity = Quantity(random.below(8).cast_signed());
    ReplaceOrder { account, instrument, order_id, price, quantity, orig_client_order_id }.into()
}
