//! Where `[genesis]` of the file and the venue of the journal have grown apart.
//!
//! Genesis was sequenced once; the journal is right, whatever the file says now. A start tells the
//! operator each difference, so that nobody believes an edit to be in force.

use crate::genesis::GenesisItem;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Each difference between the journaled venue and the configured one, as a sentence. The seed is
/// drawn when a journal begins and is no difference.
#[must_use]
pub fn genesis_differences(journaled: &[GenesisItem], configured: &[GenesisItem]) -> Vec<String> {
    let (journaled, configured) = (by_name(journaled), by_name(configured));
    let mut found = Vec::new();
    for (name, ours) in &journaled {
        let Some(theirs) = configured.get(name) else {
            found.push(format!("{name} is in the journal and not in the file: it stays"));
            continue;
        };
        for (field, value) in ours {
            let other = theirs.get(field).unwrap_or(&Value::Null);
            if other != value && field != "seed" {
                found.push(format!(
                    "{name}: {field} is {value} in the journal, {other} in the file"
                ));
            }
        }
    }
    let new = configured.keys().filter(|name| !journaled.contains_key(*name));
    found.extend(new.map(|name| format!("{name} is in the file and not in the journal: ignored")));
    found
}

/// The items by what names them in the file.
fn by_name(items: &[GenesisItem]) -> BTreeMap<String, Map<String, Value>> {
    let named = |item: &GenesisItem| {
        let name = match item {
            GenesisItem::Settings(_) => "genesis".to_owned(),
            GenesisItem::Asset(asset) => format!("genesis.assets {}", asset.symbol),
            GenesisItem::Instrument(one) => format!("genesis.instruments {}", one.symbol),
            GenesisItem::Account(account) => format!("genesis.accounts {}", account.id),
            GenesisItem::Key(key) => format!("genesis.keys {}", key.public_key),
        };
        let Ok(Value::Object(fields)) = serde_json::to_value(item) else {
            unreachable!("an item of genesis is a structure");
        };
        (name, fields)
    };
    items.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, genesis_items};
    use super::*;

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
    fn each_change_is_told_once() {
        let ours = items(|_| {}, 1);
        let theirs = items(
            |config| {
                config.genesis.orders_max = 7;
                config.genesis.instruments[0].price_max = "1".into();
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
                "genesis.accounts 17 is in the journal and not in the file: it stays",
                "genesis.assets USDT is in the journal and not in the file: it stays",
                "genesis.instruments BTC-USDT: price_max is 1000000000 in the journal, 100 in the file",
                "genesis.assets EUR is in the file and not in the journal: ignored",
            ]
        );
    }
}
