//! Genesis: the exchange learns what it consists of.
//!
//! Invariant: an item is checked whole before anything changes, so that a refused item leaves no
//! trace; assets, instruments and keys are numbered from 1 in the order of definition.

use super::Exchange;
use super::book::Book;
use super::instrument::Rules;
use super::owners::Owner;
use super::stops::Stops;
use crate::genesis::{Account, Asset, GenesisItem, Instrument, Settings};
use crate::limits::{
    ASSETS_MAX, COLLAR_BPS_MAX, DAY_END_S_MAX, INSTRUMENTS_MAX, MARKET_BAND_BPS_MAX, ORDERS_MAX,
    SCALE_MAX, SYMBOL_MAX_BYTES,
};
use crate::types::{AccountId, AssetId, KeyId};
use thiserror::Error;

/// Why an item of genesis cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DefineError {
    /// The settings come first, once.
    #[error("the settings must be the first item of genesis, and stand there once")]
    Settings,
    /// The seed is not 32 hex digits.
    #[error("the seed must be 32 hex digits")]
    Seed,
    /// The number of live orders is out of bounds.
    #[error("orders_max must be 1 to {ORDERS_MAX}, not {0}")]
    OrdersMax(u32),
    /// The trading day ends beyond a day.
    #[error("day_end_s must be 0 to {DAY_END_S_MAX}, not {0}")]
    DayEnd(u32),
    /// A number is not the next one.
    #[error("{what} {found} is out of turn: the next one is {expected}")]
    OutOfTurn {
        /// What is numbered.
        what: &'static str,
        /// The number found.
        found: u32,
        /// The number expected.
        expected: u32,
    },
    /// A name or number is there already.
    #[error("{what} {name} is defined already")]
    Repeated {
        /// What is named.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A symbol is empty, too long, or has spaces or control characters.
    #[error("a symbol is 1 to {SYMBOL_MAX_BYTES} printable ASCII characters without spaces: {0:?}")]
    Symbol(String),
    /// A number is outside its bounds.
    #[error("{field} of {name} cannot be {value}")]
    Field {
        /// What is defined.
        name: String,
        /// The field.
        field: &'static str,
        /// The value found.
        value: i64,
    },
    /// An instrument names an asset that is not defined before it.
    #[error("{name} names asset {asset}, which is not defined before it")]
    UnknownAsset {
        /// What is defined.
        name: String,
        /// The asset.
        asset: AssetId,
    },
    /// A key names an account that is not defined before it.
    #[error("key {key} names account {account}, which is not defined before it")]
    UnknownAccount {
        /// The key.
        key: KeyId,
        /// The account.
        account: AccountId,
    },
    /// Account 0 is none and account 1 the liability account.
    #[error("account {0} is reserved: accounts are numbered from 2")]
    ReservedAccount(AccountId),
    /// A public key is not 64 hex digits.
    #[error("the public key of key {key} must be 64 hex digits")]
    PublicKey {
        /// The key.
        key: KeyId,
    },
    /// A bound of the engine.
    #[error("too many {what}: at most {max}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

impl Exchange {
    /// Takes in one item of genesis: the settings first, and what is named before what names it.
    ///
    /// # Errors
    /// [`DefineError`] says what is wrong with the item; nothing has changed then.
    pub fn define(&mut self, item: &GenesisItem) -> Result<(), DefineError> {
        if self.settings.is_none() != matches!(item, GenesisItem::Settings(_)) {
            return Err(DefineError::Settings);
        }
        match item {
            GenesisItem::Settings(settings) => self.define_settings(settings),
            GenesisItem::Asset(asset) => self.define_asset(asset),
            GenesisItem::Instrument(instrument) => self.define_instrument(instrument),
            GenesisItem::Account(account) => self.define_account(account),
            GenesisItem::Key(key) => {
                for &account in &key.accounts {
                    if self.accounts.find(account).is_none() {
                        return Err(DefineError::UnknownAccount { key: key.id, account });
                    }
                }
                self.permissions.define(key)?;
                self.keys.push(key.clone());
                Ok(())
            }
        }
    }

    fn define_settings(&mut self, settings: &Settings) -> Result<(), DefineError> {
        if settings.orders_max == 0 || settings.orders_max > ORDERS_MAX {
            return Err(DefineError::OrdersMax(settings.orders_max));
        }
        let digits = settings.seed.bytes().all(|byte| byte.is_ascii_hexdigit());
        if settings.seed.len() != 32 || !digits {
            return Err(DefineError::Seed);
        }
        if settings.day_end_s > DAY_END_S_MAX {
            return Err(DefineError::DayEnd(settings.day_end_s));
        }
        let seed = u128::from_str_radix(&settings.seed, 16).map_err(|_| DefineError::Seed)?;
        *self = Exchange::with_capacity(settings.orders_max as usize, seed);
        self.version = settings.application_version;
        self.settings = Some(settings.clone());
        Ok(())
    }

    fn define_asset(&mut self, asset: &Asset) -> Result<(), DefineError> {
        let number = next_number("asset", asset.id.0, self.assets.len(), ASSETS_MAX)?;
        check_symbol(&asset.symbol)?;
        check_field(&asset.symbol, "scale", asset.scale.into(), 0, SCALE_MAX.into())?;
        if self.assets.iter().any(|known| known.symbol == asset.symbol) {
            return Err(DefineError::Repeated { what: "asset", name: asset.symbol.clone() });
        }
        if !self.accounts.add_asset() {
            return Err(DefineError::TooMany { what: "assets", max: number - 1 });
        }
        self.assets.push(asset.clone());
        Ok(())
    }

    fn define_instrument(&mut self, instrument: &Instrument) -> Result<(), DefineError> {
        next_number("instrument", instrument.id.0, self.instruments.len(), INSTRUMENTS_MAX)?;
        let name = &instrument.symbol;
        check_symbol(name)?;
        if self.instruments.iter().any(|known| known.symbol == *name) {
            return Err(DefineError::Repeated { what: "instrument", name: name.clone() });
        }
        for asset in [instrument.base, instrument.quote] {
            if asset.0 == 0 || asset.0 as usize > self.assets.len() {
                return Err(DefineError::UnknownAsset { name: name.clone(), asset });
            }
        }
        if instrument.base == instrument.quote {
            let value = instrument.quote.0.into();
            return Err(DefineError::Field { name: name.clone(), field: "quote", value });
        }
        let scale_max = SCALE_MAX.into();
        check_field(name, "price_scale", instrument.price_scale.into(), 0, scale_max)?;
        check_field(name, "quantity_scale", instrument.quantity_scale.into(), 0, scale_max)?;
        let positive = [
            ("tick_units", instrument.tick_units),
            ("lot_units", instrument.lot_units),
            ("base_per_lot", instrument.base_per_lot),
            ("quote_per_tick_lot", instrument.quote_per_tick_lot),
            ("quantity_min", instrument.quantity_min),
            ("price_max", instrument.price_max),
        ];
        for (field, value) in positive {
            check_field(name, field, value, 1, i64::MAX)?;
        }
        let (min, max) = (instrument.quantity_min, instrument.quantity_max);
        check_field(name, "quantity_max", max, min, i64::MAX)?;
        let band = instrument.market_band_bps.into();
        check_field(name, "market_band_bps", band, 0, MARKET_BAND_BPS_MAX.into())?;
        let collar = instrument.collar_bps.into();
        check_field(name, "collar_bps", collar, 0, COLLAR_BPS_MAX.into())?;
        self.rules.push(Rules::new(instrument));
        self.books.push(Book::EMPTY);
        self.stops.push(Stops::EMPTY);
        self.instruments.push(instrument.clone());
        Ok(())
    }

    fn define_account(&mut self, account: &Account) -> Result<(), DefineError> {
        if account.id <= AccountId::LIABILITY {
            return Err(DefineError::ReservedAccount(account.id));
        }
        if self.accounts.find(account.id).is_some() {
            return Err(DefineError::Repeated { what: "account", name: account.id.to_string() });
        }
        self.check_account(account)?;
        if !self.accounts.add_account(account.id) {
            let max = self.accounts.ids().count();
            return Err(DefineError::TooMany { what: "accounts for so many assets", max });
        }
        self.orders.add_account();
        let Account { id: _, group, self_trade, limits } = account.clone();
        self.owners.add_account(Owner::ALONE);
        self.risk.add_account(limits.in_order());
        let index = self.accounts.find(account.id).expect("it has just been added");
        self.set_owner(index, Owner { group, self_trade });
        Ok(())
    }
}

impl Exchange {
    /// Checks what an account says beside its number.
    pub(super) fn check_account(&self, account: &Account) -> Result<(), DefineError> {
        let name = || format!("account {}", account.id);
        account.limits.check().map_err(|error| DefineError::Field {
            name: name(),
            field: error.field,
            value: error.value,
        })?;
        for instrument in &account.limits.restricted {
            if instrument.0 == 0 || instrument.0 as usize > self.instruments.len() {
                let (field, value) = ("restricted", instrument.0.into());
                return Err(DefineError::Field { name: name(), field, value });
            }
        }
        Ok(())
    }
}

/// Checks that a number is the next of its kind, and gives it.
fn next_number(
    what: &'static str,
    found: u32,
    count: usize,
    max: usize,
) -> Result<usize, DefineError> {
    if count == max {
        return Err(DefineError::TooMany { what, max });
    }
    let expected = count as u32 + 1;
    if found != expected {
        return Err(DefineError::OutOfTurn { what, found, expected });
    }
    Ok(count + 1)
}

fn check_symbol(symbol: &str) -> Result<(), DefineError> {
    let printable = symbol.bytes().all(|byte| byte.is_ascii_graphic());
    if symbol.is_empty() || symbol.len() > SYMBOL_MAX_BYTES || !printable {
        return Err(DefineError::Symbol(symbol.to_owned()));
    }
    Ok(())
}

fn check_field(
    name: &str,
    field: &'static str,
    value: i64,
    min: i64,
    max: i64,
) -> Result<(), DefineError> {
    if value < min || value > max {
        return Err(DefineError::Field { name: name.to_owned(), field, value });
    }
    Ok(())
}
