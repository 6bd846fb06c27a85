//! Where `[genesis]` of the file and the venue of the journal have grown apart.
//!
//! Genesis was sequenced once; the journal is right, whatever the file says now. A start tells the
//! operator each difference, so that nobody believes an edit to be in force.

use crate::decimal::Decimal;
use crate::genesis::{Account, AccountLimits, Asset, GenesisItem, Instrument, Key, Settings};
use crate::types::{AccountId, AssetId, InstrumentId, KeyId};
use std::collections::{BTreeMap, BTreeSet};

/// What a key's name in the file begins with.
const KEY_NAME: &str = "genesis.keys ";

/// What an instrument's name in the file begins with.
const INSTRUMENT_NAME: &str = "genesis.instruments ";

/// A key of the file and its value, as the file writes it.
type Field = (&'static str, String);

/// Each difference between the journaled venue and the configured one, as a sentence in the words and
/// units of the file. The seed is drawn when a journal begins and is no difference.
#[must_use]
pub fn genesis_differences(journaled: &[GenesisItem], configured: &[GenesisItem]) -> Vec<String> {
    let mut accounts = account_differences(&accounts(journaled), &accounts(configured));
    accounts.extend(limit_differences(journaled, configured));
    let numbers = key_numbers(journaled);
    let (journaled, configured) = (by_name(journaled), by_name(configured));
    let mut found = Vec::new();
    for (name, ours) in &journaled {
        let number = numbers.get(name);
        let Some(theirs) = configured.get(name) else {
            // A key without rights is as good as none.
            if ours.contains(&("disabled", true.to_string())) {
                continue;
            }
            let end = number.map_or(String::new(), |key| {
                format!(", until `outcry keys disable {key}` ends its rights")
            });
            found.push(format!("{name} is in the journal and not in the file: it stays{end}"));
            continue;
        };
        for ((field, value), (_, other)) in ours.iter().zip(theirs) {
            if other != value {
                let how = match number {
                    Some(key) => command(*key, field, other),
                    None => instrument_command(name, field, other),
                };
                let how = how.map_or(String::new(), |how| format!("; `{how}` changes it"));
                found.push(format!(
                    "{name}: {field} is {value} in the journal, {other} in the file{how}"
                ));
            }
        }
    }
    for name in configured.keys().filter(|name| !journaled.contains_key(*name)) {
        let how = name.strip_prefix(KEY_NAME).map_or(String::new(), |public_key| {
            format!(", until `outcry keys add {public_key}` lets it log on")
        });
        found.push(format!("{name} is in the file and not in the journal: ignored{how}"));
    }
    found.extend(accounts);
    found
}

/// The command that gives a key's field the value that the file has, if there is one.
fn command(key: KeyId, field: &str, value: &str) -> Option<String> {
    Some(match field {
        "accounts" => {
            let accounts = value.trim_matches(['[', ']']).replace(',', "");
            format!("outcry keys accounts {key} {accounts}").trim_end().to_owned()
        }
        "priority" => format!("outcry keys entitle {key} --priority {value}"),
        "critical_per_s" => format!("outcry keys entitle {key} --critical-per-s {value}"),
        "disabled" => format!("outcry keys enable {key}"),
        _ => return None,
    })
}

/// The command that gives an instrument's field the value that the file has, if there is one.
fn instrument_command(name: &str, field: &str, value: &str) -> Option<String> {
    let symbol = name.strip_prefix(INSTRUMENT_NAME).filter(|_| field == "collar_bps")?;
    Some(format!("outcry limits collar {symbol} {value}"))
}

/// Differences of what accounts say beside their numbers, that of many accounts in one sentence.
fn limit_differences(ours: &[GenesisItem], theirs: &[GenesisItem]) -> Vec<String> {
    let symbols = |items: &[GenesisItem]| -> BTreeMap<InstrumentId, String> {
        let of = |item: &GenesisItem| match item {
            GenesisItem::Instrument(one) => Some((one.id, one.symbol.clone())),
            _ => None,
        };
        items.iter().filter_map(of).collect()
    };
    let (our_symbols, their_symbols) = (symbols(ours), symbols(theirs));
    let theirs = account_items(theirs);
    // By field and both values: the first account, how many there are, and the command.
    let mut found: BTreeMap<(usize, String, String), (AccountId, usize, String)> = BTreeMap::new();
    let mut names = Vec::new();
    for (id, our) in account_items(ours) {
        let Some(their) = theirs.get(&id) else { continue };
        let fields = account_fields(our, &our_symbols);
        names = fields.iter().map(|(name, _)| *name).collect();
        let pairs = fields.into_iter().zip(account_fields(their, &their_symbols));
        for (at, ((name, our_value), (_, their_value))) in pairs.enumerate() {
            if our_value != their_value {
                let how = || account_command(their, name, &their_symbols);
                let key = (at, our_value, their_value);
                found.entry(key).or_insert_with(|| (id, 0, how())).1 += 1;
            }
        }
    }
    let sentence = |((at, ours, theirs), (id, count, how)): ((usize, String, String), _)| {
        let name: &str = names[at];
        match count {
            1 => format!(
                "genesis.accounts {id}: {name} is {ours} in the journal, {theirs} in the file; \
                 `{how}` changes it"
            ),
            _ => format!(
                "genesis.accounts: {name} of {count} accounts, the first of them {id}, is {ours} in \
                 the journal, {theirs} in the file; `{how}` changes it for that one"
            ),
        }
    };
    found.into_iter().map(sentence).collect()
}

fn account_items(items: &[GenesisItem]) -> BTreeMap<AccountId, &Account> {
    let mut accounts = BTreeMap::new();
    for item in items {
        if let GenesisItem::Account(account) = item {
            accounts.insert(account.id, account);
        }
    }
    accounts
}

/// The command that gives an account what the file has.
fn account_command(
    account: &Account,
    field: &str,
    symbols: &BTreeMap<InstrumentId, String>,
) -> String {
    let Account { id, group, self_trade, limits } = account;
    if matches!(field, "group" | "self_trade") {
        return format!("outcry limits owner {id} --group {group} --self-trade {self_trade}");
    }
    let mut command = format!("outcry limits set {id}");
    for (name, value) in limit_fields(limits) {
        if value != 0 {
            command.push_str(&format!(" --{} {value}", name.replace('_', "-")));
        }
    }
    for instrument in &limits.restricted {
        let symbol = symbols.get(instrument).map_or("", String::as_str);
        command.push_str(&format!(" --restrict {symbol}"));
    }
    command
}

/// The limits that are numbers.
fn limit_fields(limits: &AccountLimits) -> [(&'static str, i64); 5] {
    let AccountLimits {
        quantity_max,
        notional_max,
        open_orders_max,
        rate_per_s,
        rate_burst,
        restricted: _,
    } = limits;
    [
        ("quantity_max", *quantity_max),
        ("notional_max", *notional_max),
        ("open_orders_max", (*open_orders_max).into()),
        ("rate_per_s", (*rate_per_s).into()),
        ("rate_burst", (*rate_burst).into()),
    ]
}

fn account_fields(account: &Account, symbols: &BTreeMap<InstrumentId, String>) -> Vec<Field> {
    let Account { id: _, group, self_trade, limits } = account;
    let symbol = |id: &InstrumentId| symbols.get(id).cloned().unwrap_or_else(|| id.to_string());
    let restricted: Vec<String> = limits.restricted.iter().map(symbol).collect();
    let mut fields =
        vec![("group", group.to_string()), ("self_trade", self_trade.as_str().to_owned())];
    fields.extend(limit_fields(limits).map(|(name, value)| (name, value.to_string())));
    fields.push(("restricted", format!("[{}]", restricted.join(", "))));
    fields
}

/// The number of each key, by what names it in the file.
fn key_numbers(items: &[GenesisItem]) -> BTreeMap<String, KeyId> {
    let of = |item: &GenesisItem| match item {
        GenesisItem::Key(key) => Some((format!("{KEY_NAME}{}", key.public_key), key.id)),
        _ => None,
    };
    items.iter().filter_map(of).collect()
}

fn accounts(items: &[GenesisItem]) -> BTreeSet<AccountId> {
    let of = |item: &GenesisItem| match item {
        GenesisItem::Account(account) => Some(account.id),
        _ => None,
    };
    items.iter().filter_map(of).collect()
}

/// One sentence for each side: an edited `count` can mean thousands of accounts.
fn account_differences(ours: &BTreeSet<AccountId>, theirs: &BTreeSet<AccountId>) -> Vec<String> {
    let sentence = |only: Vec<&AccountId>, one: &str, many: &str| match only.as_slice() {
        [] => None,
        [id] => Some(format!("genesis.accounts {id} {one}")),
        [first, .., last] => Some(format!(
            "genesis.accounts: {} accounts, the first of them {first}, the last {last}, {many}",
            only.len()
        )),
    };
    let gone = sentence(
        ours.difference(theirs).collect(),
        "is in the journal and not in the file: it stays",
        "are in the journal and not in the file: they stay",
    );
    let new = sentence(
        theirs.difference(ours).collect(),
        "is in the file and not in the journal: ignored",
        "are in the file and not in the journal: ignored",
    );
    gone.into_iter().chain(new).collect()
}

/// All items but accounts, by what names them in the file.
fn by_name(items: &[GenesisItem]) -> BTreeMap<String, Vec<Field>> {
    let mut symbols = BTreeMap::new();
    let mut named = BTreeMap::new();
    for item in items {
        match item {
            GenesisItem::Settings(settings) => {
                named.insert("genesis".to_owned(), settings_fields(settings));
            }
            GenesisItem::Asset(asset) => {
                symbols.insert(asset.id, asset.symbol.as_str());
                named.insert(format!("genesis.assets {}", asset.symbol), asset_fields(asset));
            }
            GenesisItem::Instrument(one) => {
                let name = format!("{INSTRUMENT_NAME}{}", one.symbol);
                named.insert(name, instrument_fields(one, &symbols));
            }
            GenesisItem::Key(key) => {
                named.insert(format!("{KEY_NAME}{}", key.public_key), key_fields(key));
            }
            GenesisItem::Account(_) => {}
        }
    }
    named
}

fn settings_fields(settings: &Settings) -> Vec<Field> {
    vec![
        ("dedupe_count_max", settings.dedupe_count_max.to_string()),
        ("dedupe_window_s", settings.dedupe_window_s.to_string()),
        ("timestamp_ahead_max_ms", settings.timestamp_ahead_max_ms.to_string()),
        ("orders_max", settings.orders_max.to_string()),
        ("day_end_s", settings.day_end_s.to_string()),
    ]
}

fn asset_fields(asset: &Asset) -> Vec<Field> {
    vec![("scale", asset.scale.to_string())]
}

fn instrument_fields(one: &Instrument, symbols: &BTreeMap<AssetId, &str>) -> Vec<Field> {
    // Assets are defined before the instruments that name them, in a journal as in a configuration.
    let symbol = |id: AssetId| symbols.get(&id).map_or_else(|| id.to_string(), |s| (*s).to_owned());
    let price = |ticks| Decimal::of_steps(ticks, one.tick_units, one.price_scale).to_string();
    let quantity = |lots| Decimal::of_steps(lots, one.lot_units, one.quantity_scale).to_string();
    vec![
        ("base", symbol(one.base)),
        ("quote", symbol(one.quote)),
        ("tick", price(1)),
        ("lot", quantity(1)),
        ("quantity_min", quantity(one.quantity_min)),
        ("quantity_max", quantity(one.quantity_max)),
        ("price_max", price(one.price_max)),
        ("market_band_bps", one.market_band_bps.to_string()),
        ("collar_bps", one.collar_bps.to_string()),
    ]
}

fn key_fields(key: &Key) -> Vec<Field> {
    let accounts: Vec<String> = key.accounts.iter().map(ToString::to_string).collect();
    vec![
        ("role", key.role.as_str().to_owned()),
        ("accounts", format!("[{}]", accounts.join(", "))),
        ("priority", key.priority.as_str().to_owned()),
        ("critical_per_s", key.critical_per_s.to_string()),
        ("disabled", key.disabled.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{AccountEntry, Config, KeyEntry, genesis_items};
    use super::*;
    use crate::types::{Priority, Role};

    fn items(change: impl FnOnce(&mut Config), seed: u8) -> Vec<GenesisItem> {
        let mut config = Config::default();
        change(&mut config);
        genesis_items(&config, [seed; 16]).expect("consistent").0
    }

    #[test]
    fn an_unchanged_venue_has_no_difference() {
        assert_eq!(genesis_differences(&items(|_| {}, 1), &items(|_| {}, 2)), [] as [&str; 0]);
    }

    #[test]
    fn each_change_is_told_once_in_the_words_of_the_file() {
        let ours = items(|_| {}, 1);
        let theirs = items(
            |config| {
                config.genesis.orders_max = 7;
                config.genesis.instruments[0].price_max = "1".into();
                config.genesis.instruments[0].quantity_max = "250.5".into();
                config.genesis.accounts[0].count = Some(15);
                config.genesis.assets[1].symbol = "EUR".into();
                config.genesis.instruments[0].quote = "EUR".into();
                config.genesis.accounts[0].deposits.truncate(1);
            },
            1,
        );
        assert_eq!(
            genesis_differences(&ours, &theirs),
            [
                "genesis: orders_max is 1048576 in the journal, 7 in the file",
                "genesis.assets USDT is in the journal and not in the file: it stays",
                "genesis.instruments BTC-USDT: quote is USDT in the journal, EUR in the file",
                "genesis.instruments BTC-USDT: quantity_max is 100000000 in the journal, 250.5 in the file",
                "genesis.instruments BTC-USDT: price_max is 10000000 in the journal, 1 in the file",
                "genesis.assets EUR is in the file and not in the journal: ignored",
                "genesis.accounts 17 is in the journal and not in the file: it stays",
            ]
        );
    }

    #[test]
    fn a_difference_of_a_key_names_the_command_that_changes_it() {
        let key = |letter: &str, accounts: &[u64]| KeyEntry {
            public_key: letter.repeat(64),
            role: Role::Trade,
            accounts: accounts.to_vec(),
            priority: None,
            critical_per_s: None,
        };
        let mut ours = items(
            |config| config.genesis.keys = vec![key("a", &[2]), key("b", &[2]), key("c", &[2])],
            1,
        );
        for item in &mut ours {
            if let GenesisItem::Key(key) = item {
                key.disabled = key.id == KeyId(2);
            }
        }
        let theirs = items(
            |config| {
                let mut urgent = key("a", &[3, 4]);
                urgent.priority = Some(Priority::High);
                urgent.critical_per_s = Some(5);
                config.genesis.keys = vec![key("d", &[2]), urgent, key("b", &[2])];
            },
            1,
        );
        let name = |letter: &str| format!("genesis.keys {}", letter.repeat(64));
        let (a, b, c, d) = (name("a"), name("b"), name("c"), name("d"));
        let add = format!("outcry keys add {}", "d".repeat(64));
        assert_eq!(
            genesis_differences(&ours, &theirs),
            [
                format!(
                    "{a}: accounts is [2] in the journal, [3, 4] in the file; \
                     `outcry keys accounts 1 3 4` changes it"
                ),
                format!(
                    "{a}: priority is normal in the journal, high in the file; \
                     `outcry keys entitle 1 --priority high` changes it"
                ),
                format!(
                    "{a}: critical_per_s is 100 in the journal, 5 in the file; \
                     `outcry keys entitle 1 --critical-per-s 5` changes it"
                ),
                format!(
                    "{b}: disabled is true in the journal, false in the file; \
                     `outcry keys enable 2` changes it"
                ),
                format!(
                    "{c} is in the journal and not in the file: it stays, until \
                     `outcry keys disable 3` ends its rights"
                ),
                format!(
                    "{d} is in the file and not in the journal: ignored, until `{add}` lets it log on"
                ),
            ]
        );
    }

    #[test]
    fn a_difference_of_limits_names_the_command_that_changes_it() {
        let ours = items(|config| config.genesis.accounts[0].group = Some(7), 1);
        let theirs = items(
            |config| {
                config.genesis.instruments[0].collar_bps = Some(50);
                let rest = &mut config.genesis.accounts[0];
                (rest.first, rest.count, rest.group) = (Some(3), Some(15), Some(7));
                config.genesis.accounts.push(AccountEntry {
                    id: Some(2),
                    rate_per_s: Some(9),
                    restricted: vec!["BTC-USDT".into()],
                    ..AccountEntry::default()
                });
                config.genesis.accounts[0].quantity_max = Some(5);
            },
            1,
        );
        let set = "`outcry limits set 2 --rate-per-s 9 --restrict BTC-USDT` changes it";
        assert_eq!(
            genesis_differences(&ours, &theirs),
            [
                "genesis.instruments BTC-USDT: collar_bps is 0 in the journal, 50 in the file; \
                 `outcry limits collar BTC-USDT 50` changes it"
                    .to_owned(),
                "genesis.accounts 2: group is 7 in the journal, 0 in the file; \
                 `outcry limits owner 2 --group 0 --self-trade allow` changes it"
                    .to_owned(),
                "genesis.accounts: quantity_max of 15 accounts, the first of them 3, is 0 in the \
                 journal, 5 in the file; `outcry limits set 3 --quantity-max 5` changes it for that one"
                    .to_owned(),
                format!("genesis.accounts 2: rate_per_s is 0 in the journal, 9 in the file; {set}"),
                format!(
                    "genesis.accounts 2: restricted is [] in the journal, [BTC-USDT] in the file; {set}"
                ),
            ]
        );
    }

    #[test]
    fn another_tick_is_a_difference_of_the_tick_alone() {
        let theirs = items(|config| config.genesis.instruments[0].tick = "0.1".into(), 1);
        assert_eq!(
            genesis_differences(&items(|_| {}, 1), &theirs),
            ["genesis.instruments BTC-USDT: tick is 0.01 in the journal, 0.1 in the file"]
        );
        // The same tick, written with one more place, is the same venue.
        let same = items(|config| config.genesis.instruments[0].tick = "0.010".into(), 1);
        assert_eq!(genesis_differences(&items(|_| {}, 1), &same), [] as [&str; 0]);
    }

    #[test]
    fn many_accounts_are_one_sentence() {
        let few = items(|config| config.genesis.accounts[0].count = Some(1), 1);
        let many = items(|_| {}, 1);
        let which = "genesis.accounts: 15 accounts, the first of them 3, the last 17,";
        assert_eq!(
            genesis_differences(&many, &few),
            [format!("{which} are in the journal and not in the file: they stay")]
        );
        assert_eq!(
            genesis_differences(&few, &many),
            [format!("{which} are in the file and not in the journal: ignored")]
        );
    }
}
