//! The venue of the demonstration: what is traded, who trades, and the file that tells a node so.

use crate::keys::{KeyError, KeyPair};
use crate::types::AccountId;
use std::fmt::Write as _;

/// Accounts of each desk.
const DESK_ACCOUNTS: u64 = 4;
/// Smallest units of an asset have so many decimal places.
pub(super) const ASSET_SCALE: u8 = 8;
/// What is owned, and what every account begins with.
pub(super) const ASSETS: [(&str, &str); 4] =
    [("BTC", "2000"), ("ETH", "40000"), ("SOL", "800000"), ("USDT", "100000000")];

/// Whole units that one order may have, of every instrument: more than an account begins with.
pub(super) const QUANTITY_MAX: i64 = 1_000_000;

/// An instrument as the flow trades it. Its number is its place in [`MARKETS`], from 1.
pub(super) struct Market {
    pub(super) symbol: &'static str,
    base: &'static str,
    quote: &'static str,
    tick: &'static str,
    lot: &'static str,
    /// Decimal places of a price, of which a tick is the last.
    pub(super) price_scale: u8,
    /// Decimal places of a quantity, of which a lot is the last.
    pub(super) quantity_scale: u8,
    /// Where the price begins, in ticks.
    pub(super) start: i64,
    /// Ticks by which it moves at most, from one command of a session to its next.
    pub(super) step: u64,
    /// Ticks from the middle price within which most orders rest.
    pub(super) depth: u64,
    /// Lots that orders are multiples of.
    pub(super) clip: i64,
}

pub(super) const MARKETS: [Market; 4] = [
    Market {
        symbol: "BTC-USDT",
        base: "BTC",
        quote: "USDT",
        tick: "0.01",
        lot: "0.000001",
        price_scale: 2,
        quantity_scale: 6,
        start: 6_213_750,
        step: 12,
        depth: 120,
        clip: 5_000,
    },
    Market {
        symbol: "ETH-USDT",
        base: "ETH",
        quote: "USDT",
        tick: "0.01",
        lot: "0.00001",
        price_scale: 2,
        quantity_scale: 5,
        start: 304_220,
        step: 3,
        depth: 50,
        clip: 10_000,
    },
    Market {
        symbol: "SOL-USDT",
        base: "SOL",
        quote: "USDT",
        tick: "0.01",
        lot: "0.001",
        price_scale: 2,
        quantity_scale: 3,
        start: 14_318,
        step: 1,
        depth: 24,
        clip: 1_000,
    },
    Market {
        symbol: "ETH-BTC",
        base: "ETH",
        quote: "BTC",
        tick: "0.00001",
        lot: "0.001",
        price_scale: 5,
        quantity_scale: 3,
        start: 4_896,
        step: 1,
        depth: 16,
        clip: 50,
    },
];

/// One session: who it is and for whom it acts.
pub(super) struct Seat {
    pub(super) name: String,
    pub(super) key: KeyPair,
    pub(super) accounts: Vec<AccountId>,
    /// May deposit and withdraw, for every account.
    pub(super) operator: bool,
}

/// All sessions of the demonstration.
pub(super) struct Venue {
    /// The desks that trade. The first one is the operator's.
    pub(super) seats: Vec<Seat>,
    /// The key of who only looks.
    pub(super) viewer: KeyPair,
    /// All accounts.
    pub(super) accounts: Vec<AccountId>,
}

impl Venue {
    /// A venue with so many desks. Its keys are new: they decide nothing about the commands.
    pub(super) fn new(sessions: u64) -> Result<Venue, KeyError> {
        let seat = |number: u64| {
            let operator = number == 0;
            let first = AccountId::LIABILITY.0 + 1 + number * DESK_ACCOUNTS;
            Ok(Seat {
                name: if operator { "treasury".to_owned() } else { format!("desk-{number}") },
                key: KeyPair::generate()?,
                accounts: (first..first + DESK_ACCOUNTS).map(AccountId).collect(),
                operator,
            })
        };
        let seats = (0..sessions).map(seat).collect::<Result<Vec<Seat>, KeyError>>()?;
        let accounts = seats.iter().flat_map(|seat| seat.accounts.iter().copied()).collect();
        Ok(Venue { seats, viewer: KeyPair::generate()?, accounts })
    }

    /// The node's configuration file.
    pub(super) fn config(&self) -> String {
        let mut text = String::from(
            "# Written by `outcry demo`.\n\n\
             [node]\nname = \"demo\"\n\n\
             # Small segments, so that a short demonstration rolls through several of them.\n\
             [journal]\nsegment_size_bytes = 33554432\n\n\
             [genesis]\norders_max = 262144\n",
        );
        for (symbol, _) in ASSETS {
            add(&mut text, format_args!("\n[[genesis.assets]]\nsymbol = \"{symbol}\"\n"));
            add(&mut text, format_args!("scale = {ASSET_SCALE}\n"));
        }
        for Market { symbol, base, quote, tick, lot, .. } in &MARKETS {
            add(&mut text, format_args!("\n[[genesis.instruments]]\nsymbol = \"{symbol}\"\n"));
            add(&mut text, format_args!("base = \"{base}\"\nquote = \"{quote}\"\n"));
            add(&mut text, format_args!("tick = \"{tick}\"\nlot = \"{lot}\"\n"));
            add(&mut text, format_args!("quantity_min = \"{lot}\"\n"));
            add(&mut text, format_args!("quantity_max = \"{QUANTITY_MAX}\"\n"));
            add(&mut text, format_args!("price_max = \"10000000\"\n"));
        }
        let (first, count) = (AccountId::LIABILITY.0 + 1, self.accounts.len());
        add(&mut text, format_args!("\n[[genesis.accounts]]\nfirst = {first}\ncount = {count}\n"));
        text.push_str("deposits = [\n");
        for (symbol, amount) in ASSETS {
            add(
                &mut text,
                format_args!("    {{ asset = \"{symbol}\", amount = \"{amount}\" }},\n"),
            );
        }
        text.push_str("]\n");
        for seat in &self.seats {
            let (role, accounts) = match seat.operator {
                true => ("operator", String::from("[]")),
                false => (
                    "trade",
                    format!("{:?}", seat.accounts.iter().map(|id| id.0).collect::<Vec<_>>()),
                ),
            };
            add_key(&mut text, &seat.key, role, &accounts);
        }
        add_key(&mut text, &self.viewer, "read-only", "[]");
        text
    }
}

fn add_key(text: &mut String, key: &KeyPair, role: &str, accounts: &str) {
    add(text, format_args!("\n[[genesis.keys]]\npublic_key = \"{}\"\n", key.public_hex()));
    add(text, format_args!("role = \"{role}\"\naccounts = {accounts}\n"));
}

fn add(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, genesis_items, load};

    #[test]
    fn the_file_is_a_venue() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("config.toml");
        let venue = Venue::new(16).expect("random bytes");
        std::fs::write(&file, venue.config()).expect("written");
        let sources = Sources { file: Some(file), ..Sources::default() };
        let loaded = load(&sources).expect("a configuration");
        let (items, deposits) = genesis_items(&loaded.config, [1; 16]).expect("a venue");
        // Settings, assets, instruments, accounts, and the keys of the desks and the viewer.
        assert_eq!(items.len(), 1 + ASSETS.len() + MARKETS.len() + 64 + 17);
        assert_eq!(deposits.len(), 64 * ASSETS.len());
    }
}
