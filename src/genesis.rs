//! Genesis: what the exchange consists of before the first command.
//!
//! Genesis is sequenced once, as one batch on an empty journal, one record an item. An item's
//! payload is its JSON with the fields in the order they stand here: it is read by every later
//! release, so fields are only ever added, with a default.

use crate::limits::{ORDER_RATE_MAX, RESTRICTED_MAX};
use crate::types::{AccountId, AssetId, InstrumentId, KeyId, Priority, Role, SelfTrade};
use serde::{Deserialize, Serialize};

/// Version of the exchange's rules, with which a new journal begins. What the rules make of a journal
/// changes only with it: a later release activates its own by a record.
pub const APPLICATION_VERSION: u32 = 2;

/// The first version of the rules that knows market, fill-or-kill and post-only orders.
pub const VERSION_ORDER_KINDS: u32 = 2;

/// One item of genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "define", rename_all = "kebab-case")]
pub enum GenesisItem {
    /// Always the first item.
    Settings(Settings),
    /// An asset.
    Asset(Asset),
    /// An instrument.
    Instrument(Instrument),
    /// An account.
    Account(Account),
    /// A key.
    Key(Key),
}

/// What influences results and is no thing of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Drawn at random when the journal began; keys the hash of message ids, 32 hex digits.
    pub seed: String,
    /// Message ids in the duplicate window.
    pub dedupe_count_max: u64,
    /// Age in seconds of journaled time after which an id leaves the window.
    pub dedupe_window_s: u64,
    /// How far a client's timestamp may be ahead of the sequencer's time, in milliseconds.
    pub timestamp_ahead_max_ms: u64,
    /// Live orders in all books together.
    pub orders_max: u32,
    /// Application version whose rules apply (a later release activates its own by a record).
    pub application_version: u32,
    /// When trading days end, in seconds after midnight UTC.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub day_end_s: u32,
}

/// Something that can be owned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Number, from 1 in order of definition.
    pub id: AssetId,
    /// Short name, at most 16 bytes.
    pub symbol: String,
    /// Decimal places of the smallest unit.
    pub scale: u8,
}

/// A pair that is traded.
///
/// One lot at one tick costs `quote_per_tick_lot` smallest units of the quote asset, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    /// Number, from 1 in order of definition.
    pub id: InstrumentId,
    /// Short name, at most 16 bytes.
    pub symbol: String,
    /// The asset bought and sold.
    pub base: AssetId,
    /// The asset paid with.
    pub quote: AssetId,
    /// Decimal places of a price; a tick is `tick_units` of its last place.
    pub price_scale: u8,
    /// See `price_scale`.
    pub tick_units: i64,
    /// Decimal places of a quantity; a lot is `lot_units` of its last place.
    pub quantity_scale: u8,
    /// See `quantity_scale`.
    pub lot_units: i64,
    /// Smallest units of the base asset in one lot.
    pub base_per_lot: i64,
    /// Smallest units of the quote asset for one lot at one tick.
    pub quote_per_tick_lot: i64,
    /// Smallest order in lots.
    pub quantity_min: i64,
    /// Largest order in lots.
    pub quantity_max: i64,
    /// Highest price in ticks.
    pub price_max: i64,
    /// How far a market order without a price of its own trades from the best price that it finds, in
    /// hundredths of a percent of that.
    #[serde(default = "Instrument::default_market_band", skip_serializing_if = "is_default_band")]
    pub market_band_bps: u32,
    /// How far beyond the last price an order's own may be, in hundredths of a percent of that; 0 for any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub collar_bps: u32,
}

impl Instrument {
    /// [`Instrument::market_band_bps`] where nothing else is said: 5 %.
    pub const MARKET_BAND_BPS: u32 = 500;

    const fn default_market_band() -> u32 {
        Instrument::MARKET_BAND_BPS
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Number; 1 is reserved.
    pub id: AccountId,
    /// Accounts of one group have one owner; 0 is no group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub group: u32,
    /// What happens instead of a trade between orders of one owner, where the incoming one leaves it to
    /// its account.
    #[serde(
        default = "Account::default_self_trade",
        skip_serializing_if = "is_default_self_trade"
    )]
    pub self_trade: SelfTrade,
    /// What its orders may be.
    #[serde(default, skip_serializing_if = "AccountLimits::is_none")]
    pub limits: AccountLimits,
}

impl Account {
    /// An account of its own.
    #[must_use]
    pub const fn new(id: AccountId) -> Account {
        Account {
            id,
            group: 0,
            self_trade: Account::default_self_trade(),
            limits: AccountLimits::NONE,
        }
    }

    /// True for an account that says nothing but its number.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Account::new(self.id)
    }

    const fn default_self_trade() -> SelfTrade {
        SelfTrade::Allow
    }
}

/// Limits of an account's orders; 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountLimits {
    /// Largest order, in lots.
    #[serde(skip_serializing_if = "is_no_limit")]
    pub quantity_max: i64,
    /// The most that price times quantity of an order may be, in the smallest unit of what pays.
    #[serde(skip_serializing_if = "is_no_limit")]
    pub notional_max: i64,
    /// Live orders.
    #[serde(skip_serializing_if = "is_zero")]
    pub open_orders_max: u32,
    /// New orders and replaces in a second.
    #[serde(skip_serializing_if = "is_zero")]
    pub rate_per_s: u32,
    /// New orders and replaces at once; 0 for as many as in a second.
    #[serde(skip_serializing_if = "is_zero")]
    pub rate_burst: u32,
    /// Instruments in which it may enter and replace nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restricted: Vec<InstrumentId>,
}

/// A limit that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} cannot be {value}: {rule}")]
pub struct LimitError {
    /// The field.
    pub field: &'static str,
    /// The value found.
    pub value: i64,
    /// What it can be.
    pub rule: String,
}

impl AccountLimits {
    /// No limit.
    pub const NONE: AccountLimits = AccountLimits {
        quantity_max: 0,
        notional_max: 0,
        open_orders_max: 0,
        rate_per_s: 0,
        rate_burst: 0,
        restricted: Vec::new(),
    };

    /// True where nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == AccountLimits::NONE
    }

    /// The same limits, each restricted instrument once, in order.
    #[must_use]
    pub fn in_order(mut self) -> AccountLimits {
        self.restricted.sort_unstable();
        self.restricted.dedup();
        self
    }

    /// Checks numbers and lists against their bounds.
    ///
    /// # Errors
    /// [`LimitError`], the first that is found.
    pub fn check(&self) -> Result<(), LimitError> {
        let rate_max = ORDER_RATE_MAX.into();
        for (field, value, max) in [
            ("quantity_max", self.quantity_max, i64::MAX),
            ("notional_max", self.notional_max, i64::MAX),
            ("rate_per_s", self.rate_per_s.into(), rate_max),
            ("rate_burst", self.rate_burst.into(), rate_max),
        ] {
            if value < 0 || value > max {
                return Err(LimitError { field, value, rule: format!("it is 0 to {max}") });
            }
        }
        if self.rate_burst != 0 && self.rate_per_s == 0 {
            let (field, value) = ("rate_burst", self.rate_burst.into());
            return Err(LimitError { field, value, rule: "it takes a rate_per_s".to_owned() });
        }
        if self.restricted.len() > RESTRICTED_MAX {
            let (field, value) = ("restricted", self.restricted.len() as i64);
            return Err(LimitError {
                field,
                value,
                rule: format!("at most {RESTRICTED_MAX} instruments"),
            });
        }
        Ok(())
    }
}

/// A key that may log on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Number, from 1 in order of definition.
    pub id: KeyId,
    /// Ed25519 public key, 64 hex digits.
    pub public_key: String,
    /// What it may do.
    pub role: Role,
    /// For which accounts; an operator needs none.
    pub accounts: Vec<AccountId>,
    /// The most urgent priority that it may use.
    #[serde(default = "Key::default_priority", skip_serializing_if = "is_default_priority")]
    pub priority: Priority,
    /// Critical messages it may send in a second.
    #[serde(default = "Key::default_critical_per_s", skip_serializing_if = "is_default_rate")]
    pub critical_per_s: u32,
    /// It may do nothing, not even log on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

impl Key {
    /// Critical messages that a key may send in a second where nothing else is said.
    pub const CRITICAL_PER_S: u32 = 100;

    /// A key of usual entitlement.
    #[must_use]
    pub fn new(id: KeyId, public_key: String, role: Role, accounts: Vec<AccountId>) -> Key {
        let (priority, critical_per_s) = (Key::default_priority(), Key::CRITICAL_PER_S);
        Key { id, public_key, role, accounts, priority, critical_per_s, disabled: false }
    }

    pub(crate) const fn default_priority() -> Priority {
        Priority::Normal
    }

    pub(crate) const fn default_critical_per_s() -> u32 {
        Key::CRITICAL_PER_S
    }
}

// Serde hands over references.
fn is_default_band(bps: &u32) -> bool {
    *bps == Instrument::MARKET_BAND_BPS
}

fn is_no_limit(number: &i64) -> bool {
    *number == 0
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_default_self_trade(mode: &SelfTrade) -> bool {
    *mode == Account::default_self_trade()
}

fn is_default_priority(priority: &Priority) -> bool {
    *priority == Key::default_priority()
}

fn is_default_rate(per_s: &u32) -> bool {
    *per_s == Key::CRITICAL_PER_S
}

impl GenesisItem {
    /// The payload of the item's record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("genesis items are plain data and always serialise")
    }

    /// Reads a payload back.
    ///
    /// # Errors
    /// The reason in serde's words, where the payload is no genesis item.
    pub fn decode(payload: &[u8]) -> Result<GenesisItem, serde_json::Error> {
        serde_json::from_slice(payload)
    }
}
