//! From `[genesis]` to the items and first deposits that are sequenced on an empty journal.
//!
//! Invariants: decimal text is converted exactly or refused with its key; equal configurations give
//! equal items; whatever is returned is consistent (names resolve, numbers are unique, one tick of
//! one lot is a whole number of the quote asset, and the liability account can owe all deposits).

use super::{AccountEntry, Config, ConfigError, InstrumentEntry};
use crate::command::{Command, Deposit};
use crate::decimal::{Decimal, DecimalError, parse, parse_steps};
use crate::genesis::{
    APPLICATION_VERSION, Account, AccountLimits, Asset, GenesisItem, Instrument, Key, Settings,
};
use crate::limits::{ACCOUNTS_MAX, ASSETS_MAX, INSTRUMENTS_MAX, KEYS_MAX};
use crate::types::{AccountId, Amount, AssetId, InstrumentId, KeyId, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The venue as items in the order they are sequenced, settings first, and the deposits that the
/// node itself (key 0) submits after them.
///
/// # Errors
/// [`ConfigError::Relation`] naming the key that does not fit.
pub fn genesis_items(
    config: &Config,
    seed: [u8; 16],
) -> Result<(Vec<GenesisItem>, Vec<Command>), ConfigError> {
    let genesis = &config.genesis;
    let mut items = vec![GenesisItem::Settings(Settings {
        seed: seed.iter().map(|byte| format!("{byte:02x}")).collect(),
        dedupe_count_max: genesis.dedupe_count_max,
        dedupe_window_s: genesis.dedupe_window_s,
        timestamp_ahead_max_ms: genesis.timestamp_ahead_max_ms,
        orders_max: genesis.orders_max,
        application_version: APPLICATION_VERSION,
        day_end_s: genesis.day_end_s,
    })];
    let assets = assets(config)?;
    items.extend(assets.iter().cloned().map(GenesisItem::Asset));
    let instruments = instruments(config, &assets)?;
    items.extend(instruments.iter().cloned().map(GenesisItem::Instrument));
    let (accounts, deposits) = accounts(config, &assets, &instruments)?;
    let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
    items.extend(accounts.into_iter().map(GenesisItem::Account));
    items.extend(keys(config, &ids)?.into_iter().map(GenesisItem::Key));
    Ok((items, deposits))
}

/// Refuses a list that is longer than the engine can hold.
fn check_count(list: &str, count: usize, max: usize) -> Result<(), ConfigError> {
    if count <= max {
        return Ok(());
    }
    let problem = format!("{count} entries are more than the {max} that a venue can have");
    Err(ConfigError::relation(format!("genesis.{list}"), problem, "remove some"))
}

/// The number of an entry of a list, from 1.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).expect("lists are bounded far below 2^32")
}

fn assets(config: &Config) -> Result<Vec<Asset>, ConfigError> {
    let entries = &config.genesis.assets;
    check_count("assets", entries.len(), ASSETS_MAX)?;
    let mut seen = BTreeSet::new();
    let mut assets = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        if !seen.insert(&entry.symbol) {
            return Err(twice(format!("genesis.assets.{index}.symbol"), &entry.symbol));
        }
        let id = AssetId(number(index));
        assets.push(Asset { id, symbol: entry.symbol.clone(), scale: entry.scale });
    }
    Ok(assets)
}

fn twice(key: String, value: impl std::fmt::Display) -> ConfigError {
    ConfigError::relation(key, format!("{value} is there twice"), "remove one of them")
}

/// The asset with this symbol.
fn find<'a>(assets: &'a [Asset], symbol: &str, key: String) -> Result<&'a Asset, ConfigError> {
    assets.iter().find(|asset| asset.symbol == symbol).ok_or_else(|| {
        let known: Vec<&str> = assets.iter().map(|asset| asset.symbol.as_str()).collect();
        let problem = format!("{symbol} is no asset of genesis.assets");
        ConfigError::relation(key, problem, format!("use one of: {}", known.join(", ")))
    })
}

fn instruments(config: &Config, assets: &[Asset]) -> Result<Vec<Instrument>, ConfigError> {
    let entries = &config.genesis.instruments;
    check_count("instruments", entries.len(), INSTRUMENTS_MAX)?;
    let mut seen = BTreeSet::new();
    let mut instruments = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        if !seen.insert(&entry.symbol) {
            return Err(twice(format!("genesis.instruments.{index}.symbol"), &entry.symbol));
        }
        instruments.push(instrument(index, entry, assets)?);
    }
    Ok(instruments)
}

fn instrument(
    index: usize,
    entry: &InstrumentEntry,
    assets: &[Asset],
) -> Result<Instrument, ConfigError> {
    let key = |name: &str| format!("genesis.instruments.{index}.{name}");
    let base = find(assets, &entry.base, key("base"))?;
    let quote = find(assets, &entry.quote, key("quote"))?;
    if base.id == quote.id {
        let problem = format!("{} is the base asset too", entry.quote);
        return Err(ConfigError::relation(key("quote"), problem, "name another asset"));
    }
    let tick = decimal(&entry.tick, key("tick"))?;
    let lot = decimal(&entry.lot, key("lot"))?;
    let base_per_lot = parse(&entry.lot, base.scale).map_err(|error| {
        let fix = format!("{} has {} decimal places: use a larger lot", base.symbol, base.scale);
        ConfigError::relation(key("lot"), format!("{} {error}", entry.lot), fix)
    })?;
    let quote_per_tick_lot = rescale(tick.units * lot.units, tick.scale + lot.scale, quote.scale)
        .ok_or_else(|| {
        let problem = format!(
            "one lot of {} at one tick of {} is no whole number of the smallest unit of {}, \
                 which has {} decimal places",
            entry.lot, entry.tick, quote.symbol, quote.scale
        );
        ConfigError::relation(key("tick"), problem, "use a larger tick or lot")
    })?;
    let (tick_units, lot_units) = (units(tick), units(lot));
    let steps = |name: &str, text: &str, step: Decimal, step_units: i64| {
        parse_steps(text, step.scale, step_units).map_err(|error| {
            let fix = format!("use a multiple of {step} that fits in 64 bits");
            ConfigError::relation(key(name), format!("{text} {error}"), fix)
        })
    };
    let quantity_min = steps("quantity_min", &entry.quantity_min, lot, lot_units)?;
    let quantity_max = steps("quantity_max", &entry.quantity_max, lot, lot_units)?;
    let price_max = steps("price_max", &entry.price_max, tick, tick_units)?;
    if quantity_min > quantity_max {
        let problem =
            format!("{} is above quantity_max = {}", entry.quantity_min, entry.quantity_max);
        return Err(ConfigError::relation(key("quantity_min"), problem, "exchange them"));
    }
    Ok(Instrument {
        id: InstrumentId(number(index)),
        symbol: entry.symbol.clone(),
        base: base.id,
        quote: quote.id,
        price_scale: tick.scale,
        tick_units,
        quantity_scale: lot.scale,
        lot_units,
        base_per_lot,
        quote_per_tick_lot,
        quantity_min,
        quantity_max,
        price_max,
        market_band_bps: entry.market_band_bps.unwrap_or(Instrument::MARKET_BAND_BPS),
        collar_bps: entry.collar_bps.unwrap_or(0),
    })
}

fn decimal(text: &str, key: String) -> Result<Decimal, ConfigError> {
    Decimal::parse(text).map_err(|error: DecimalError| {
        ConfigError::relation(
            key,
            format!("{text} {error}"),
            "write decimal text, such as \"0.01\"",
        )
    })
}

fn units(decimal: Decimal) -> i64 {
    i64::try_from(decimal.units).expect("Decimal::parse gives 64 bits")
}

/// The same number at another scale, exactly.
fn rescale(units: i128, from: u8, to: u8) -> Option<i64> {
    let power = 10i128.pow(u32::from(from.abs_diff(to)));
    let scaled = if to >= from {
        units.checked_mul(power)?
    } else if units % power == 0 {
        units / power
    } else {
        return None;
    };
    i64::try_from(scaled).ok()
}

/// The account numbers that an entry means.
fn account_range(index: usize, entry: &AccountEntry) -> Result<Range<u64>, ConfigError> {
    let key = format!("genesis.accounts.{index}");
    match (entry.id, entry.first, entry.count) {
        (Some(id), None, None) => Ok(id..id + 1),
        (None, Some(first), Some(count)) => Ok(first..first + count),
        _ => Err(ConfigError::relation(
            key,
            "an entry has either id, or first and count",
            "write { id = 2 } or { first = 2, count = 16 }",
        )),
    }
}

/// The limits that an entry gives each of its accounts.
fn account_limits(
    index: usize,
    entry: &AccountEntry,
    instruments: &[Instrument],
) -> Result<AccountLimits, ConfigError> {
    let key = |name: &str| format!("genesis.accounts.{index}.{name}");
    let mut restricted = Vec::with_capacity(entry.restricted.len());
    for symbol in &entry.restricted {
        let found = instruments.iter().find(|instrument| instrument.symbol == *symbol);
        let found = found.ok_or_else(|| {
            let problem = format!("{symbol} is no instrument of genesis.instruments");
            ConfigError::relation(key("restricted"), problem, "add it there")
        })?;
        restricted.push(found.id);
    }
    let limits = AccountLimits {
        quantity_max: entry.quantity_max.unwrap_or(0),
        notional_max: entry.notional_max.unwrap_or(0),
        open_orders_max: entry.open_orders_max.unwrap_or(0),
        rate_per_s: entry.rate_per_s.unwrap_or(0),
        rate_burst: entry.rate_burst.unwrap_or(0),
        restricted,
    };
    limits.check().map_err(|error| {
        let problem = format!("{} cannot be: {}", error.value, error.rule);
        ConfigError::relation(key(error.field), problem, "set rate_per_s too, or leave it out")
    })?;
    Ok(limits.in_order())
}

/// The accounts, and the deposits they start with.
fn accounts(
    config: &Config,
    assets: &[Asset],
    instruments: &[Instrument],
) -> Result<(Vec<Account>, Vec<Command>), ConfigError> {
    let mut accounts = Vec::new();
    let mut seen = BTreeSet::new();
    let mut deposits = Vec::new();
    let mut owed: BTreeMap<AssetId, i64> = BTreeMap::new();
    for (index, entry) in config.genesis.accounts.iter().enumerate() {
        let range = account_range(index, entry)?;
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        check_count("accounts", accounts.len().saturating_add(count), ACCOUNTS_MAX)?;
        let limits = account_limits(index, entry, instruments)?;
        let usual = Account::new(AccountId::LIABILITY);
        let group = entry.group.unwrap_or(usual.group);
        let self_trade = entry.self_trade.unwrap_or(usual.self_trade);
        for id in range.clone().map(AccountId) {
            if !seen.insert(id) {
                return Err(twice(format!("genesis.accounts.{index}"), format!("account {id}")));
            }
            accounts.push(Account { id, group, self_trade, limits: limits.clone() });
        }
        for (at, deposit) in entry.deposits.iter().enumerate() {
            let key = |name: &str| format!("genesis.accounts.{index}.deposits.{at}.{name}");
            let asset = find(assets, &deposit.asset, key("asset"))?;
            let amount = parse(&deposit.amount, asset.scale).map_err(|error| {
                let fix = format!("{} has {} decimal places", asset.symbol, asset.scale);
                ConfigError::relation(key("amount"), format!("{} {error}", deposit.amount), fix)
            })?;
            let sum = owed.entry(asset.id).or_default();
            *sum = i64::try_from(count)
                .ok()
                .and_then(|count| amount.checked_mul(count))
                .and_then(|all| sum.checked_add(all))
                .ok_or_else(|| {
                    let problem = format!(
                        "all deposits of {} together do not fit in 64 bits of its smallest unit",
                        asset.symbol
                    );
                    ConfigError::relation(
                        key("amount"),
                        problem,
                        "deposit less, or lower its scale",
                    )
                })?;
            deposits.extend(range.clone().map(|account| {
                let (account, amount) = (AccountId(account), Amount(amount));
                Command::Deposit(Deposit { account, asset: asset.id, amount })
            }));
        }
    }
    Ok((accounts, deposits))
}

fn keys(config: &Config, accounts: &[AccountId]) -> Result<Vec<Key>, ConfigError> {
    let entries = &config.genesis.keys;
    check_count("keys", entries.len(), KEYS_MAX)?;
    let known: BTreeSet<AccountId> = accounts.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut keys = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let key = |name: &str| format!("genesis.keys.{index}.{name}");
        let public_key = entry.public_key.to_ascii_lowercase();
        if !seen.insert(public_key.clone()) {
            return Err(twice(key("public_key"), public_key));
        }
        if entry.accounts.is_empty() && matches!(entry.role, Role::Trade | Role::CancelOnly) {
            let problem = format!("a key of role {} without accounts can do nothing", entry.role);
            return Err(ConfigError::relation(key("accounts"), problem, "list its accounts"));
        }
        let mut bound: Vec<AccountId> = entry.accounts.iter().copied().map(AccountId).collect();
        bound.sort_unstable();
        bound.dedup();
        if let Some(missing) = bound.iter().find(|id| !known.contains(id)) {
            let problem = format!("account {missing} is not in genesis.accounts");
            return Err(ConfigError::relation(key("accounts"), problem, "add it there"));
        }
        let usual = Key::new(KeyId(number(index)), public_key, entry.role, bound);
        keys.push(Key {
            priority: entry.priority.unwrap_or(usual.priority),
            critical_per_s: entry.critical_per_s.unwrap_or(usual.critical_per_s),
            ..usual
        });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Priority, SelfTrade};

    fn refusal(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        genesis_items(&config, [7; 16]).expect_err("inconsistent").to_string()
    }

    #[test]
    fn the_demo_venue_is_what_it_says() {
        let (items, deposits) = genesis_items(&Config::default(), [0xab; 16]).expect("consistent");
        assert_eq!(items.len(), 1 + 2 + 1 + 16);
        let GenesisItem::Settings(settings) = &items[0] else { panic!("settings first") };
        assert_eq!(settings.seed, "ab".repeat(16));
        let GenesisItem::Instrument(instrument) = &items[3] else { panic!("then assets") };
        assert_eq!((instrument.price_scale, instrument.tick_units), (2, 1));
        assert_eq!((instrument.quantity_scale, instrument.lot_units), (6, 1));
        assert_eq!(instrument.base_per_lot, 100);
        assert_eq!(instrument.quote_per_tick_lot, 1);
        assert_eq!(instrument.quantity_min, 1);
        assert_eq!(instrument.quantity_max, 100_000_000_000_000);
        assert_eq!(instrument.price_max, 1_000_000_000);
        assert_eq!(items[4], GenesisItem::Account(Account::new(AccountId(2))));
        assert_eq!(items[19], GenesisItem::Account(Account::new(AccountId(17))));
        assert_eq!(deposits.len(), 32);
        let first = Deposit {
            account: AccountId(2),
            asset: AssetId(1),
            amount: Amount(100_000_000_000_000),
        };
        assert_eq!(deposits[0], Command::Deposit(first));
    }

    #[test]
    fn a_tick_of_several_last_places_keeps_money_whole() {
        let mut config = Config::default();
        config.genesis.instruments[0].tick = "0.25".into();
        config.genesis.instruments[0].lot = "10".into();
        config.genesis.instruments[0].quantity_min = "20".into();
        let (items, _) = genesis_items(&config, [0; 16]).expect("consistent");
        let GenesisItem::Instrument(instrument) = &items[3] else { panic!("then assets") };
        assert_eq!((instrument.price_scale, instrument.tick_units), (2, 25));
        assert_eq!((instrument.quantity_scale, instrument.lot_units), (0, 10));
        assert_eq!(instrument.base_per_lot, 1_000_000_000);
        assert_eq!(instrument.quote_per_tick_lot, 250_000_000);
        assert_eq!(instrument.quantity_min, 2);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_by_their_key() {
        for (message, key) in [
            (
                refusal(|c| c.genesis.instruments[0].tick = "0.001".into()),
                "genesis.instruments.0.tick",
            ),
            (
                refusal(|c| c.genesis.instruments[0].lot = "0.000000001".into()),
                "genesis.instruments.0.lot",
            ),
            (
                refusal(|c| c.genesis.instruments[0].quantity_min = "0.0000015".into()),
                "genesis.instruments.0.quantity_min",
            ),
            (
                refusal(|c| c.genesis.instruments[0].quantity_max = "0.0000000".into()),
                "genesis.instruments.0.quantity_min",
            ),
            (
                refusal(|c| c.genesis.instruments[0].price_max = "99999999999999999999".into()),
                "genesis.instruments.0.price_max",
            ),
            (
                refusal(|c| c.genesis.instruments[0].quote = "BTC".into()),
                "genesis.instruments.0.quote",
            ),
            (
                refusal(|c| c.genesis.instruments[0].base = "ETH".into()),
                "genesis.instruments.0.base",
            ),
            (refusal(|c| c.genesis.assets[1].symbol = "BTC".into()), "genesis.assets.1.symbol"),
            (
                refusal(|c| {
                    let again = c.genesis.instruments[0].clone();
                    c.genesis.instruments.push(again);
                }),
                "genesis.instruments.1.symbol",
            ),
            (
                refusal(|c| c.genesis.accounts[0].deposits[1].amount = "9000000000".into()),
                "genesis.accounts.0.deposits.1.amount",
            ),
            (
                refusal(|c| c.genesis.accounts[0].deposits[0].amount = "0.123456789".into()),
                "genesis.accounts.0.deposits.0.amount",
            ),
            (refusal(|c| c.genesis.accounts[0].id = Some(2)), "genesis.accounts.0"),
            (
                refusal(|c| c.genesis.accounts[0].count = Some(ACCOUNTS_MAX as u64 + 1)),
                "genesis.accounts",
            ),
        ] {
            assert!(message.starts_with(&format!("{key}: ")), "{key} is not named by: {message}");
        }
    }

    #[test]
    fn accounts_and_keys_must_fit_one_another() {
        use super::super::KeyEntry;
        let key = |role, accounts: &[u64]| KeyEntry {
            public_key: "AB".repeat(32),
            role,
            accounts: accounts.to_vec(),
            priority: None,
            critical_per_s: None,
        };
        let mut config = Config::default();
        config.genesis.keys = vec![key(Role::Trade, &[5, 2, 5])];
        let (items, _) = genesis_items(&config, [0; 16]).expect("consistent");
        let accounts = vec![AccountId(2), AccountId(5)];
        let mut expected = Key::new(KeyId(1), "ab".repeat(32), Role::Trade, accounts);
        assert_eq!(items.last(), Some(&GenesisItem::Key(expected.clone())));
        config.genesis.keys[0].priority = Some(Priority::Critical);
        config.genesis.keys[0].critical_per_s = Some(7);
        (expected.priority, expected.critical_per_s) = (Priority::Critical, 7);
        let (items, _) = genesis_items(&config, [0; 16]).expect("consistent");
        assert_eq!(items.last(), Some(&GenesisItem::Key(expected)));

        let missing = refusal(|c| c.genesis.keys = vec![key(Role::Trade, &[99])]);
        assert_eq!(
            missing,
            "genesis.keys.0.accounts: account 99 is not in genesis.accounts; add it there"
        );
        let idle = refusal(|c| c.genesis.keys = vec![key(Role::CancelOnly, &[])]);
        assert!(idle.starts_with("genesis.keys.0.accounts: "), "{idle}");
        let double =
            refusal(|c| c.genesis.keys = vec![key(Role::Operator, &[]), key(Role::ReadOnly, &[])]);
        assert!(double.starts_with("genesis.keys.1.public_key: "), "{double}");
        let again = refusal(|c| {
            let entry = AccountEntry { id: Some(17), ..AccountEntry::default() };
            c.genesis.accounts.push(entry);
        });
        assert_eq!(again, "genesis.accounts.1: account 17 is there twice; remove one of them");
    }

    #[test]
    fn limits_of_an_entry_are_those_of_each_of_its_accounts() {
        let mut config = Config::default();
        let entry = &mut config.genesis.accounts[0];
        (entry.group, entry.self_trade) = (Some(7), Some(SelfTrade::CancelBoth));
        (entry.quantity_max, entry.rate_per_s) = (Some(5), Some(100));
        entry.restricted = vec!["BTC-USDT".into(), "BTC-USDT".into()];
        config.genesis.instruments[0].collar_bps = Some(250);
        let (items, _) = genesis_items(&config, [0; 16]).expect("consistent");
        let limits = AccountLimits {
            quantity_max: 5,
            rate_per_s: 100,
            restricted: vec![InstrumentId(1)],
            ..AccountLimits::NONE
        };
        let account = |id| Account {
            id: AccountId(id),
            group: 7,
            self_trade: SelfTrade::CancelBoth,
            limits: limits.clone(),
        };
        assert_eq!(items[4], GenesisItem::Account(account(2)));
        assert_eq!(items[19], GenesisItem::Account(account(17)));
        let GenesisItem::Instrument(instrument) = &items[3] else { panic!("then assets") };
        assert_eq!(instrument.collar_bps, 250);
    }

    #[test]
    fn limits_that_cannot_be_are_refused_by_their_key() {
        let unknown = refusal(|c| c.genesis.accounts[0].restricted = vec!["BTC-EUR".into()]);
        assert_eq!(
            unknown,
            "genesis.accounts.0.restricted: BTC-EUR is no instrument of genesis.instruments; \
             add it there"
        );
        let burst = refusal(|c| c.genesis.accounts[0].rate_burst = Some(3));
        assert_eq!(
            burst,
            "genesis.accounts.0.rate_burst: 3 cannot be: it takes a rate_per_s; \
             set rate_per_s too, or leave it out"
        );
    }
}
