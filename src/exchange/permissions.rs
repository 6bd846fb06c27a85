//! What a key may do: one rule for the gateway, which asks early, and the exchange, which decides.
//!
//! Invariant: a gateway reads a published copy of the sequenced state, never state of its own, so
//! that the two can differ only by age.

use super::define::DefineError;
use crate::command::Command;
use crate::event::RejectReason;
use crate::genesis::Key;
use crate::limits::{KEY_ACCOUNTS_MAX, KEYS_MAX};
use crate::types::{AccountId, KeyId, Priority, Role};
use std::collections::BTreeMap;

/// A key's role, the accounts it is bound to, and how urgent its messages may be.
#[derive(Clone, Debug)]
struct Grant {
    role: Role,
    /// Sorted, for a binary search.
    accounts: Vec<AccountId>,
    priority: Priority,
    critical_per_s: u32,
    active: bool,
}

impl Grant {
    fn of(key: &Key) -> Grant {
        let mut accounts = key.accounts.clone();
        accounts.sort_unstable();
        accounts.dedup();
        Grant {
            role: key.role,
            accounts,
            priority: key.priority,
            critical_per_s: key.critical_per_s,
            active: !key.disabled,
        }
    }
}

/// The rights of all keys.
///
/// | Role | May |
/// |---|---|
/// | operator | everything, for every account; alone may deposit, withdraw and administer |
/// | trade | enter, replace and cancel orders of its accounts, transfer from them, ask about them |
/// | cancel-only | cancel orders of its accounts, ask about them |
/// | read-only | ask about its accounts |
///
/// Trade and cancel-only also cancel the orders of one session whosever accounts they are in (the
/// exchange takes none but the sender's own), and say what becomes of theirs when the connection is
/// lost.
///
/// Key 0 is the node itself and may do everything; a key that is not defined, or is
/// disabled, nothing.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    grants: Vec<Grant>,
    by_public_key: BTreeMap<[u8; 32], KeyId>,
}

impl Permissions {
    /// Adds a key.
    ///
    /// # Errors
    /// A number out of turn, a public key that cannot be read or is there already, too many keys
    /// or accounts.
    pub fn define(&mut self, key: &Key) -> Result<(), DefineError> {
        if self.grants.len() == KEYS_MAX {
            return Err(DefineError::TooMany { what: "keys", max: KEYS_MAX });
        }
        let expected = self.grants.len() as u32 + 1;
        if key.id.0 != expected {
            return Err(DefineError::OutOfTurn { what: "key", found: key.id.0, expected });
        }
        if key.accounts.len() > KEY_ACCOUNTS_MAX {
            return Err(DefineError::TooMany { what: "accounts of a key", max: KEY_ACCOUNTS_MAX });
        }
        let public_key =
            public_key_bytes(&key.public_key).ok_or(DefineError::PublicKey { key: key.id })?;
        if self.by_public_key.contains_key(&public_key) {
            return Err(DefineError::Repeated { what: "public key", name: key.public_key.clone() });
        }
        self.grants.push(Grant::of(key));
        self.by_public_key.insert(public_key, key.id);
        Ok(())
    }

    /// Gives a key that was added before other rights; its public half stays.
    pub(super) fn change(&mut self, key: &Key) {
        let index = (key.id.0 as usize).checked_sub(1).expect("keys are numbered from 1");
        self.grants[index] = Grant::of(key);
    }

    /// The rights of a key that is not disabled.
    #[inline]
    fn grant(&self, key: KeyId) -> Option<&Grant> {
        self.defined(key).filter(|grant| grant.active)
    }

    #[inline]
    fn defined(&self, key: KeyId) -> Option<&Grant> {
        self.grants.get((key.0 as usize).checked_sub(1)?)
    }

    /// Says whether a key may give a command.
    ///
    /// # Errors
    /// [`RejectReason::NotEntitled`]; the exchange, which asks again at its place in the order,
    /// answers [`RejectReason::KeyNotEntitled`] instead.
    #[inline]
    pub fn check(&self, key: KeyId, command: &Command) -> Result<(), RejectReason> {
        if key.0 == 0 {
            return Ok(());
        }
        let grant = self.grant(key).ok_or(RejectReason::NotEntitled)?;
        let role_allows = match (grant.role, command) {
            (Role::Operator, _) => return Ok(()),
            (Role::ReadOnly, _) => false,
            (_, Command::CancelOnDisconnect(_)) => return Ok(()),
            (_, Command::CancelOrder(_) | Command::MassCancel(_)) => true,
            (Role::Trade, Command::Deposit(_) | Command::Withdraw(_)) => false,
            (Role::Trade, _) => true,
            (Role::CancelOnly, _) => false,
        };
        let is_bound = match command {
            Command::MassCancel(cancel) if cancel.account.0 == 0 => cancel.session.0 != 0,
            _ => grant.accounts.binary_search(&command.account()).is_ok(),
        };
        if role_allows && is_bound { Ok(()) } else { Err(RejectReason::NotEntitled) }
    }

    /// Says whether a key may ask about an account.
    #[must_use]
    pub fn may_read(&self, key: KeyId, account: AccountId) -> bool {
        key.0 == 0
            || self.grant(key).is_some_and(|grant| {
                grant.role == Role::Operator || grant.accounts.binary_search(&account).is_ok()
            })
    }

    /// The accounts that a key may ask about, in order of their numbers; none where it may about all.
    #[must_use]
    pub fn readable(&self, key: KeyId) -> Option<&[AccountId]> {
        match self.grant(key) {
            _ if key.0 == 0 => None,
            Some(grant) if grant.role == Role::Operator => None,
            grant => Some(grant.map_or(&[], |grant| &grant.accounts)),
        }
    }

    /// Says whether a key may give admin commands.
    #[must_use]
    pub fn may_administer(&self, key: KeyId) -> bool {
        key.0 == 0 || self.grant(key).is_some_and(|grant| grant.role == Role::Operator)
    }

    /// The most urgent priority that a key may use.
    #[must_use]
    #[inline]
    pub fn priority_max(&self, key: KeyId) -> Priority {
        match key.0 {
            0 => Priority::Critical,
            _ => self.defined(key).map_or(Priority::Batch, |grant| grant.priority),
        }
    }

    /// Critical messages that a key may send in a second.
    #[must_use]
    #[inline]
    pub fn critical_per_s(&self, key: KeyId) -> u32 {
        match key.0 {
            0 => u32::MAX,
            _ => self.defined(key).map_or(0, |grant| grant.critical_per_s),
        }
    }

    /// True where a key is defined and not disabled.
    #[must_use]
    #[inline]
    pub fn is_active(&self, key: KeyId) -> bool {
        key.0 == 0 || self.grant(key).is_some()
    }

    /// A key's role, disabled or not.
    #[must_use]
    pub fn role(&self, key: KeyId) -> Option<Role> {
        self.defined(key).map(|grant| grant.role)
    }

    /// The number of the key with this Ed25519 public key.
    #[must_use]
    pub fn find(&self, public_key: &[u8; 32]) -> Option<KeyId> {
        self.by_public_key.get(public_key).copied()
    }
}

/// Bytes of 64 hex digits.
fn public_key_bytes(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{
        CancelOnDisconnect, CancelOrder, Deposit, EnterOrder, MassCancel, NewOrder, ReplaceOrder,
        Transfer, Withdraw,
    };
    use crate::types::{
        Amount, AssetId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity,
        SessionId, Side, Sides, TimeInForce, TimeNs,
    };

    fn key(id: u32, role: Role, accounts: &[u64]) -> Key {
        let accounts = accounts.iter().map(|&id| AccountId(id)).collect();
        Key::new(KeyId(id), format!("{id:064x}"), role, accounts)
    }

    fn mass_cancel(account: AccountId, session: SessionId) -> Command {
        MassCancel { account, instrument: InstrumentId(1), sides: Sides::Both, session }.into()
    }

    /// Every command for account 2; mass cancels also for the sender's session, and for all.
    fn commands() -> [Command; 11] {
        let (account, instrument, order_id) = (AccountId(2), InstrumentId(1), OrderId(9));
        let (asset, amount) = (AssetId(1), Amount(5));
        let client = ClientOrderId(0);
        let (price, quantity) = (Price(1), Quantity(1));
        [
            NewOrder {
                account,
                instrument,
                side: Side::Buy,
                order_type: OrderType::Limit,
                time_in_force: TimeInForce::Gtc,
                flags: 0,
                price,
                quantity,
                client_order_id: client,
            }
            .into(),
            ReplaceOrder {
                account,
                instrument,
                order_id,
                price,
                quantity,
                orig_client_order_id: client,
            }
            .into(),
            Transfer { from: account, to: AccountId(3), asset, amount }.into(),
            CancelOrder { account, instrument, order_id, orig_client_order_id: client }.into(),
            Deposit { account, asset, amount }.into(),
            Withdraw { account, asset, amount }.into(),
            EnterOrder {
                account,
                instrument,
                side: Side::Buy,
                order_type: OrderType::Stop,
                time_in_force: TimeInForce::Gtc,
                flags: 0,
                price: Price(0),
                quantity,
                stop_price: price,
                display_quantity: Quantity(0),
                min_quantity: Quantity(0),
                budget: Amount(0),
                expires: TimeNs(0),
                client_order_id: client,
            }
            .into(),
            mass_cancel(account, SessionId(0)),
            mass_cancel(AccountId(0), SessionId(7)),
            mass_cancel(AccountId(0), SessionId(0)),
            CancelOnDisconnect { enabled: 1, grace_ms: 0 }.into(),
        ]
    }

    #[test]
    fn each_role_may_do_what_the_table_says() {
        let mut permissions = Permissions::default();
        let roles = [Role::Operator, Role::Trade, Role::CancelOnly, Role::ReadOnly];
        for (id, role) in (1..).zip(roles) {
            permissions.define(&key(id, role, &[7, 2])).expect("in turn");
        }
        permissions.define(&key(5, Role::Trade, &[3])).expect("in turn");
        let allowed = [
            (0, "NRTCDWEasxd"),
            (1, "NRTCDWEasxd"),
            (2, "NRTCEasd"),
            (3, "Casd"),
            (4, ""),
            // Those of its own session are not asked for an account, nor is what has none.
            (5, "sd"),
            (6, ""),
        ];
        for (id, allowed) in allowed {
            for (command, letter) in commands().iter().zip("NRTCDWEasxd".chars()) {
                let allowed = allowed.contains(letter);
                let found = permissions.check(KeyId(id), command);
                let expected = if allowed { Ok(()) } else { Err(RejectReason::NotEntitled) };
                assert_eq!(found, expected, "key {id}, {}", command.name());
            }
        }
        for (id, may_read) in [(0, true), (1, true), (4, true), (5, false), (6, false)] {
            assert_eq!(permissions.may_read(KeyId(id), AccountId(2)), may_read);
            let readable = permissions.readable(KeyId(id));
            let listed = readable.is_none_or(|accounts| accounts.contains(&AccountId(2)));
            assert_eq!(listed, may_read, "key {id}");
        }
        assert_eq!(permissions.readable(KeyId(2)), Some(&[AccountId(2), AccountId(7)][..]));
        assert_eq!(permissions.role(KeyId(3)), Some(Role::CancelOnly));
        assert_eq!(permissions.role(KeyId(0)), None);
    }

    #[test]
    fn a_disabled_key_may_do_nothing_until_it_is_enabled() {
        let mut permissions = Permissions::default();
        let mut one = key(1, Role::Operator, &[]);
        one.priority = Priority::High;
        one.critical_per_s = 7;
        permissions.define(&one).expect("in turn");
        let may = |permissions: &Permissions| {
            let commands = commands().iter().any(|c| permissions.check(KeyId(1), c).is_ok());
            let reads = permissions.may_read(KeyId(1), AccountId(2));
            [commands, reads, permissions.may_administer(KeyId(1)), permissions.is_active(KeyId(1))]
        };
        assert_eq!(may(&permissions), [true; 4]);
        one.disabled = true;
        permissions.change(&one);
        assert_eq!(may(&permissions), [false; 4]);
        // What it is entitled to is kept for when it is enabled.
        assert_eq!(permissions.priority_max(KeyId(1)), Priority::High);
        assert_eq!(permissions.critical_per_s(KeyId(1)), 7);
        one.disabled = false;
        permissions.change(&one);
        assert_eq!(may(&permissions), [true; 4]);
        assert!(permissions.is_active(KeyId(0)) && !permissions.is_active(KeyId(2)));
        assert_eq!(permissions.priority_max(KeyId(2)), Priority::Batch);
        assert_eq!(permissions.critical_per_s(KeyId(2)), 0);
    }

    #[test]
    fn a_public_key_names_one_key() {
        let mut permissions = Permissions::default();
        permissions.define(&key(1, Role::Trade, &[])).expect("in turn");
        let mut bytes = [0; 32];
        bytes[31] = 1;
        assert_eq!(permissions.find(&bytes), Some(KeyId(1)));
        bytes[0] = 1;
        assert_eq!(permissions.find(&bytes), None);
        let mut again = key(2, Role::Trade, &[]);
        again.public_key = format!("{:064x}", 1);
        assert!(permissions.define(&again).is_err());
        again.public_key = "0g".repeat(32);
        assert!(permissions.define(&again).is_err());
        assert!(permissions.define(&key(3, Role::Trade, &[])).is_err());
    }
}
