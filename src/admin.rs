//! Admin commands: what an operator changes while the exchange runs, and the settings they change.
//!
//! An admin command is sequenced like any other, as a record of its own kind whose payload is its
//! JSON, as it was received. It is read by every later release: variants and fields are only ever
//! added, a field with a default. What is not known is refused, never skipped.
//!
//! To add one: a variant here with its bounds in [`AdminCommand::check`], and what it does in
//! `exchange/admin.rs`.

use crate::genesis::{APPLICATION_VERSION, AccountLimits, Key, LimitError, VERSION_ORDER_KINDS};
use crate::limits::{COLLAR_BPS_MAX, KEY_ACCOUNTS_MAX, KEY_CRITICAL_PER_S_MAX, LANE_BATCH_MAX};
use crate::schema::{DefinitionError, SchemaDefinition};
use crate::types::{AccountId, InstrumentId, KeyId, Lane, Priority, Role, SelfTrade};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use thiserror::Error;

/// Part of a journal batch that LOW and BATCH get while anything more urgent waits: one in so many.
pub const BULK_SHARE_DEFAULT: u32 = 8;
/// The smallest part: with it one record of the largest batch.
pub const BULK_SHARE_MAX: u32 = 256;
/// Accounts of a key that the answer to a directory query shows.
pub const ACCOUNTS_SHOWN_MAX: usize = 256;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdminCommand {
    /// Bounds what a lane executes between two publications of how far it is.
    SetLane {
        /// Which.
        lane: Lane,
        /// Records at most.
        max_batch: u32,
    },
    /// LOW and BATCH get at most one in so many records of a journal batch while anything more
    /// urgent waits.
    SetBulkShare {
        /// One in so many.
        one_in: u32,
    },
    /// From here on the rules of this version hold: a journal begins with those of the release that
    /// made it, and keeps them until an operator asks for later ones.
    ActivateRules {
        /// A version that this release knows, above the one that holds.
        version: u32,
    },
    /// How urgent a key's messages may be.
    SetEntitlement {
        /// Which.
        key: KeyId,
        /// The most urgent priority that it may use.
        priority: Priority,
        /// Critical messages it may send in a second.
        critical_per_s: u32,
    },
    /// Lets a further key log on. It gets the next number.
    DefineKey {
        /// Ed25519 public key, 64 hex digits.
        public_key: String,
        /// What it may do.
        role: Role,
        /// For which accounts; an operator needs none.
        #[serde(default)]
        accounts: Vec<AccountId>,
        /// The most urgent priority that it may use.
        #[serde(default = "Key::default_priority")]
        priority: Priority,
        /// Critical messages it may send in a second.
        #[serde(default = "Key::default_critical_per_s")]
        critical_per_s: u32,
    },
    /// Binds a key to these accounts and no others.
    SetKeyAccounts {
        /// Which.
        key: KeyId,
        /// All of its accounts.
        accounts: Vec<AccountId>,
    },
    /// A key may do nothing more, until it is enabled.
    DisableKey {
        /// Which.
        key: KeyId,
    },
    /// A key may do again what it was entitled to.
    EnableKey {
        /// Which.
        key: KeyId,
    },
    /// Says whose an account is, and what happens instead of a trade between orders of one owner.
    SetAccountGroup {
        /// Which.
        account: AccountId,
        /// Accounts of one group have one owner; 0 is no group.
        group: u32,
        /// What happens where the incoming order leaves it to its account.
        self_trade: SelfTrade,
    },
    /// Gives an account these limits and no others.
    SetAccountLimits {
        /// Which.
        account: AccountId,
        /// All of its limits.
        #[serde(default)]
        limits: AccountLimits,
    },
    /// Limits the position of an account in an instrument: what it bought less what it sold since it is
    /// limited.
    SetPositionLimit {
        /// Whose.
        account: AccountId,
        /// Of what.
        instrument: InstrumentId,
        /// How far from 0 it could be with all live orders of a side filled, in lots; 0 for no limit.
        #[serde(default)]
        net_max: i64,
        /// How much it and all live orders may be together, in lots; 0 for no limit, and without either
        /// limit it is not counted any more.
        #[serde(default)]
        gross_max: i64,
        /// What it is now, in lots; nothing for what was counted, at first 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<i64>,
    },
    /// Says how far beyond the last price an order's own may be.
    SetCollar {
        /// Of which instrument.
        instrument: InstrumentId,
        /// In hundredths of a percent of the last price; 0 for any.
        collar_bps: u32,
    },
    /// Registers a schema of messages, or a new version of one. The very same one again changes
    /// nothing.
    RegisterSchema {
        /// Its definition.
        schema: SchemaDefinition,
    },
}

/// Why something is no admin command.
#[derive(Debug, Error)]
pub enum AdminError {
    /// Not the JSON of a command that this release knows.
    #[error("no admin command: {0}")]
    Form(#[from] serde_json::Error),
    /// A number is outside its bounds.
    #[error("{field} must be {min} to {max}, not {value}")]
    Range {
        /// The field.
        field: &'static str,
        /// The value found.
        value: u32,
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// A public key is not 64 hex digits.
    #[error("a public key has 64 hex digits")]
    PublicKey,
    /// More accounts than a key can be bound to.
    #[error("a key is bound to at most {KEY_ACCOUNTS_MAX} accounts, not {0}")]
    Accounts(usize),
    /// A limit that cannot be.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A schema that is none, or none that can be registered.
    #[error(transparent)]
    Schema(#[from] DefinitionError),
}

impl AdminCommand {
    /// Schema id of the message that carries one.
    pub const SCHEMA: u32 = 48;

    /// The payload of its record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("admin commands are plain data and always serialise")
    }

    /// The first version of the rules whose release can read it: a journal of older rules never has it.
    #[must_use]
    pub const fn since(&self) -> u32 {
        match self {
            AdminCommand::SetAccountGroup { .. }
            | AdminCommand::SetAccountLimits { .. }
            | AdminCommand::SetPositionLimit { .. }
            | AdminCommand::SetCollar { .. } => VERSION_ORDER_KINDS,
            _ => 1,
        }
    }

    /// Reads a payload back.
    ///
    /// # Errors
    /// [`AdminError::Form`]; numbers are not looked at: see [`AdminCommand::check`].
    pub fn decode(payload: &[u8]) -> Result<AdminCommand, AdminError> {
        Ok(serde_json::from_slice(payload)?)
    }

    /// Checks what the command itself tells: that its numbers and lists are within their bounds.
    ///
    /// # Errors
    /// [`AdminError`], the first that is found.
    pub fn check(&self) -> Result<(), AdminError> {
        match self {
            AdminCommand::SetLane { max_batch, .. } => {
                range("max_batch", *max_batch, 1..=LANE_BATCH_MAX)
            }
            AdminCommand::SetBulkShare { one_in } => range("one_in", *one_in, 1..=BULK_SHARE_MAX),
            AdminCommand::ActivateRules { version } => {
                // Which versions there are depends on the release.
                range("version", *version, 2..=u32::MAX)
            }
            AdminCommand::SetEntitlement { critical_per_s, .. } => rate(*critical_per_s),
            AdminCommand::DefineKey { public_key, accounts, critical_per_s, .. } => {
                let digits = public_key.bytes().all(|byte| byte.is_ascii_hexdigit());
                if public_key.len() != 64 || !digits {
                    return Err(AdminError::PublicKey);
                }
                count(accounts)?;
                rate(*critical_per_s)
            }
            AdminCommand::SetKeyAccounts { accounts, .. } => count(accounts),
            AdminCommand::DisableKey { .. }
            | AdminCommand::EnableKey { .. }
            | AdminCommand::SetAccountGroup { .. } => Ok(()),
            AdminCommand::SetAccountLimits { limits, .. } => Ok(limits.check()?),
            AdminCommand::SetPositionLimit { net_max, gross_max, .. } => {
                for (field, value) in [("net_max", *net_max), ("gross_max", *gross_max)] {
                    if value < 0 {
                        let rule = format!("it is 0 to {}", i64::MAX);
                        return Err(LimitError { field, value, rule }.into());
                    }
                }
                Ok(())
            }
            AdminCommand::SetCollar { collar_bps, .. } => {
                range("collar_bps", *collar_bps, 0..=COLLAR_BPS_MAX)
            }
            AdminCommand::RegisterSchema { schema } => Ok(schema.check_sequenced()?),
        }
    }

    /// Checks beside it what depends on the release, for a command that is not sequenced yet. What is
    /// sequenced is never judged by it: a replay by another release would find otherwise.
    ///
    /// # Errors
    /// [`AdminError`], the first that is found.
    pub fn check_new(&self) -> Result<(), AdminError> {
        self.check()?;
        match self {
            AdminCommand::RegisterSchema { schema } => Ok(schema.check_registrable()?),
            AdminCommand::ActivateRules { version } => {
                range("version", *version, 2..=APPLICATION_VERSION)
            }
            _ => Ok(()),
        }
    }
}

fn range(field: &'static str, value: u32, bounds: RangeInclusive<u32>) -> Result<(), AdminError> {
    let (min, max) = (*bounds.start(), *bounds.end());
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(AdminError::Range { field, value, min, max })
}

fn rate(per_s: u32) -> Result<(), AdminError> {
    range("critical_per_s", per_s, 0..=KEY_CRITICAL_PER_S_MAX)
}

fn count(accounts: &[AccountId]) -> Result<(), AdminError> {
    if accounts.len() > KEY_ACCOUNTS_MAX {
        Err(AdminError::Accounts(accounts.len()))
    } else {
        Ok(())
    }
}

/// Settings of the order and its lanes that are sequenced, so that every node has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controls {
    /// LOW and BATCH get at most one in so many records of a journal batch while anything more
    /// urgent waits.
    pub bulk_share: u32,
    /// What each lane executes between two publications, by the lane's number; `None` where that is
    /// the node's own setting.
    pub max_batch: [Option<u32>; Lane::ALL.len()],
}

impl Default for Controls {
    fn default() -> Self {
        Controls { bulk_share: BULK_SHARE_DEFAULT, max_batch: [None; Lane::ALL.len()] }
    }
}

impl Controls {
    /// What a lane executes between two publications, where the node's own setting is `configured`.
    #[must_use]
    #[inline]
    pub fn max_batch(&self, lane: Lane, configured: u32) -> u32 {
        self.max_batch[lane as usize].unwrap_or(configured)
    }
}

/// A key as the answer to a directory query shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Its number.
    pub key: KeyId,
    /// Ed25519 public key, 64 hex digits.
    pub public_key: String,
    /// What it may do.
    pub role: Role,
    /// The first of its accounts, at most [`ACCOUNTS_SHOWN_MAX`].
    pub accounts: Vec<AccountId>,
    /// How many accounts it is bound to.
    pub account_count: usize,
    /// The most urgent priority that it may use.
    pub priority: Priority,
    /// Critical messages it may send in a second.
    pub critical_per_s: u32,
    /// False where it is disabled.
    pub active: bool,
}

impl From<&Key> for KeyRow {
    fn from(key: &Key) -> KeyRow {
        KeyRow {
            key: key.id,
            public_key: key.public_key.clone(),
            role: key.role,
            accounts: key.accounts.iter().take(ACCOUNTS_SHOWN_MAX).copied().collect(),
            account_count: key.accounts.len(),
            priority: key.priority,
            critical_per_s: key.critical_per_s,
            active: !key.disabled,
        }
    }
}

/// What stands in the text of a directory answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryPage {
    /// Version of the rules that hold; 0 from an older node, which does not tell.
    #[serde(default)]
    pub rules: u32,
    /// The newest version that the node knows; 0 from an older node.
    #[serde(default)]
    pub rules_known: u32,
    /// The sequenced settings.
    pub controls: Controls,
    /// Keys, in order of their numbers.
    pub keys: Vec<KeyRow>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SCHEMA_REGISTERED_MAX_BYTES;
    use crate::schema::{Field, Kind};

    fn samples() -> Vec<AdminCommand> {
        vec![
            AdminCommand::SetLane { lane: Lane::Batch, max_batch: 1024 },
            AdminCommand::SetBulkShare { one_in: 1 },
            AdminCommand::SetEntitlement {
                key: KeyId(3),
                priority: Priority::Critical,
                critical_per_s: 0,
            },
            AdminCommand::DefineKey {
                public_key: "aF".repeat(32),
                role: Role::CancelOnly,
                accounts: vec![AccountId(2), AccountId(3)],
                priority: Priority::High,
                critical_per_s: KEY_CRITICAL_PER_S_MAX,
            },
            AdminCommand::SetKeyAccounts { key: KeyId(1), accounts: Vec::new() },
            AdminCommand::DisableKey { key: KeyId(2) },
            AdminCommand::EnableKey { key: KeyId(2) },
            AdminCommand::RegisterSchema { schema: schema(1000) },
            AdminCommand::SetAccountGroup {
                account: AccountId(2),
                group: 7,
                self_trade: SelfTrade::CancelOldest,
            },
            AdminCommand::SetAccountLimits {
                account: AccountId(2),
                limits: AccountLimits {
                    quantity_max: 5,
                    rate_per_s: 100,
                    restricted: vec![InstrumentId(1)],
                    ..AccountLimits::NONE
                },
            },
            AdminCommand::SetPositionLimit {
                account: AccountId(2),
                instrument: InstrumentId(1),
                net_max: 5,
                gross_max: 0,
                position: Some(-1),
            },
            AdminCommand::SetCollar { instrument: InstrumentId(1), collar_bps: COLLAR_BPS_MAX },
        ]
    }

    fn schema(id: u32) -> SchemaDefinition {
        let mut field = Field::new(1, "side", Kind::Enum8);
        field.values.insert("buy".into(), 1);
        let (name, about) = ("report".into(), String::new());
        SchemaDefinition { id, name, version: 1, about, fields: vec![field] }
    }

    fn read(text: &str) -> Result<AdminCommand, String> {
        AdminCommand::decode(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_command_reads_back_what_it_wrote() {
        for command in samples() {
            command.check_new().expect("within its bounds");
            let read = AdminCommand::decode(&command.encode()).expect("just written");
            assert_eq!(read, command);
        }
    }

    #[test]
    fn the_text_is_that_of_the_document() {
        let text = |at: usize| String::from_utf8(samples()[at].encode()).expect("JSON is text");
        assert_eq!(text(0), r#"{"do":"set-lane","lane":"batch","max_batch":1024}"#);
        assert_eq!(
            text(2),
            r#"{"do":"set-entitlement","key":3,"priority":"critical","critical_per_s":0}"#
        );
        assert_eq!(text(4), r#"{"do":"set-key-accounts","key":1,"accounts":[]}"#);
        assert_eq!(
            text(7),
            r#"{"do":"register-schema","schema":{"id":1000,"name":"report","version":1,"fields":[{"id":1,"name":"side","type":"enum8","required":false,"values":{"buy":1}}]}}"#
        );
        assert_eq!(
            text(8),
            r#"{"do":"set-account-group","account":2,"group":7,"self_trade":"cancel-oldest"}"#
        );
        assert_eq!(
            text(9),
            r#"{"do":"set-account-limits","account":2,"limits":{"quantity_max":5,"rate_per_s":100,"restricted":[1]}}"#
        );
        assert_eq!(
            text(10),
            r#"{"do":"set-position-limit","account":2,"instrument":1,"net_max":5,"gross_max":0,"position":-1}"#
        );
        let none =
            AdminCommand::SetAccountLimits { account: AccountId(2), limits: AccountLimits::NONE };
        assert_eq!(read(r#"{"do":"set-account-limits","account":2}"#), Ok(none));
        let key = "0".repeat(64);
        let short = format!(r#"{{"do":"define-key","public_key":"{key}","role":"trade"}}"#);
        let expected = AdminCommand::DefineKey {
            public_key: key,
            role: Role::Trade,
            accounts: Vec::new(),
            priority: Priority::Normal,
            critical_per_s: 100,
        };
        assert_eq!(read(&short), Ok(expected));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in [
            "",
            "7",
            "{}",
            r#"{"do":"nothing"}"#,
            r#"{"do":"set-lane","lane":"slow","max_batch":1}"#,
            r#"{"do":"set-lane","lane":"batch","max_batch":-1}"#,
            r#"{"do":"set-lane","lane":"batch","max_batch":1,"more":1}"#,
            r#"{"do":"set-lane","lane":"batch"}"#,
            r#"{"do":"disable-key","key":2} "x""#,
            r#"{"do":"register-schema"}"#,
            r#"{"do":"set-account-limits","account":2,"limits":{"more":1}}"#,
            r#"{"do":"register-schema","schema":{"id":1000,"name":"a","version":1,"more":1}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_outside_their_bounds_are_told_with_them() {
        let lane = |max_batch| AdminCommand::SetLane { lane: Lane::Normal, max_batch };
        let share = |one_in| AdminCommand::SetBulkShare { one_in };
        let key = |public_key: String, accounts: usize| AdminCommand::DefineKey {
            public_key,
            role: Role::Trade,
            accounts: vec![AccountId(2); accounts],
            priority: Priority::Normal,
            critical_per_s: 1,
        };
        let fast = AdminCommand::SetEntitlement {
            key: KeyId(1),
            priority: Priority::Normal,
            critical_per_s: KEY_CRITICAL_PER_S_MAX + 1,
        };
        for (command, words) in [
            (
                AdminCommand::SetAccountLimits {
                    account: AccountId(2),
                    limits: AccountLimits { quantity_max: -1, ..AccountLimits::NONE },
                },
                "quantity_max cannot be -1: it is 0 to 9223372036854775807",
            ),
            (lane(0), "max_batch must be 1 to 1024, not 0"),
            (lane(1025), "max_batch must be 1 to 1024, not 1025"),
            (share(0), "one_in must be 1 to 256, not 0"),
            (share(257), "one_in must be 1 to 256, not 257"),
            (fast, "critical_per_s must be 0 to 1000000, not 1000001"),
            (key("0g".repeat(32), 1), "a public key has 64 hex digits"),
            (key("00".repeat(31), 1), "a public key has 64 hex digits"),
            (key("00".repeat(32), 1025), "a key is bound to at most 1024 accounts, not 1025"),
            (
                AdminCommand::RegisterSchema { schema: schema(999) },
                "schema 999 cannot be registered: ids below 1000 are those of built-in schemas",
            ),
            (
                AdminCommand::RegisterSchema {
                    schema: SchemaDefinition { version: 0, ..schema(1000) },
                },
                "schema 1000 has version 0: versions begin with 1",
            ),
            (
                AdminCommand::RegisterSchema {
                    schema: SchemaDefinition {
                        about: "-".repeat(SCHEMA_REGISTERED_MAX_BYTES),
                        ..schema(1000)
                    },
                },
                "schema 1000 report has 15495 bytes as JSON, at most 15360 are registered",
            ),
            (
                AdminCommand::RegisterSchema {
                    schema: SchemaDefinition { name: "new-order".into(), ..schema(1000) },
                },
                "schema 1 is called new-order already",
            ),
        ] {
            assert_eq!(command.check_new().expect_err("out of bounds").to_string(), words);
        }
    }
}
