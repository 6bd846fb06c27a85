//! Admin commands take effect at their place in the order: keys and their rights, settings of the
//! order and its lanes, schemas of messages.
//!
//! Invariant: a command is checked whole before anything changes.

use super::outbox::{Outbox, Outcome};
use super::owners::Owner;
use super::{Context, DefineError, Exchange};
use crate::admin::{AdminCommand, Controls};
use crate::event::RejectReason;
use crate::genesis::Key;
use crate::types::{AccountId, KeyId, Role};

impl Exchange {
    /// Applies an admin command; its events replace what is in the outbox.
    pub fn administer(&mut self, ctx: &Context, command: &AdminCommand, out: &mut Outbox) {
        self.advance(ctx.sequence);
        self.accounts.begin();
        out.begin(ctx.sequence, ctx.result(AccountId(0)));
        self.pass_time(ctx, out);
        let judged = self.judge_admin(ctx, command).map(|()| Outcome::DONE);
        out.finish(&judged, &mut self.sessions, &self.accounts);
    }

    /// The sequenced settings.
    #[must_use]
    #[inline]
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// All keys, in order of their numbers.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Refused in this order: time to live, entitlement, values, then what the command names.
    fn judge_admin(&mut self, ctx: &Context, command: &AdminCommand) -> Result<(), RejectReason> {
        if ctx.expires.0 != 0 && ctx.time > ctx.expires {
            return Err(RejectReason::Expired);
        }
        if !self.permissions.may_administer(ctx.key) {
            return Err(RejectReason::KeyNotEntitled);
        }
        command.check().map_err(|_| RejectReason::InvalidAdmin)?;
        if command.since() > self.version {
            return Err(RejectReason::InvalidAdmin);
        }
        match command {
            AdminCommand::SetLane { lane, max_batch } => {
                self.controls.max_batch[*lane as usize] = Some(*max_batch);
                Ok(())
            }
            AdminCommand::SetBulkShare { one_in } => {
                self.controls.bulk_share = *one_in;
                Ok(())
            }
            AdminCommand::ActivateRules { version } => self.activate(*version),
            AdminCommand::SetEntitlement { key, priority, critical_per_s } => {
                self.change_key(*key, |key| {
                    key.priority = *priority;
                    key.critical_per_s = *critical_per_s;
                })
            }
            AdminCommand::DefineKey { public_key, role, accounts, priority, critical_per_s } => {
                let accounts = self.bindable(accounts)?;
                let id = KeyId(self.keys.len() as u32 + 1);
                let public_key = public_key.to_ascii_lowercase();
                let (priority, critical_per_s) = (*priority, *critical_per_s);
                let new = Key::new(id, public_key, *role, accounts);
                self.define_key(Key { priority, critical_per_s, ..new })
            }
            AdminCommand::SetKeyAccounts { key, accounts } => {
                self.find_key(*key)?;
                let accounts = self.bindable(accounts)?;
                self.change_key(*key, |key| key.accounts = accounts)
            }
            AdminCommand::DisableKey { key } => {
                let others = |other: &&Key| other.role == Role::Operator && !other.disabled;
                let found = self.find_key(*key)?;
                let last = self.keys.iter().filter(others).all(|other| other.id == *key);
                if found.role == Role::Operator && last {
                    return Err(RejectReason::LastOperator);
                }
                self.change_key(*key, |key| key.disabled = true)
            }
            AdminCommand::EnableKey { key } => self.change_key(*key, |key| key.disabled = false),
            AdminCommand::SetAccountGroup { account, group, self_trade } => {
                let (group, self_trade) = (*group, *self_trade);
                let account = self.account_index(*account)?;
                self.set_owner(account, Owner { group, self_trade });
                Ok(())
            }
            AdminCommand::SetAccountLimits { account, limits } => {
                self.set_account_limits(ctx, *account, limits)
            }
            AdminCommand::SetPositionLimit {
                account,
                instrument,
                net_max,
                gross_max,
                position,
            } => {
                let limits = (*net_max, *gross_max);
                self.set_position_limit(*account, *instrument, limits, *position)
            }
            AdminCommand::SetCollar { instrument, collar_bps } => {
                self.set_collar(*instrument, *collar_bps)
            }
            AdminCommand::RegisterSchema { schema } => {
                let registered = self.register_schema(schema.clone());
                registered.map(|_| ()).map_err(|error| error.reason())
            }
        }
    }

    /// Rules are never taken back: what they allowed may rest in the books.
    fn activate(&mut self, version: u32) -> Result<(), RejectReason> {
        let settings = self.settings.as_mut().ok_or(RejectReason::InvalidAdmin)?;
        if version <= settings.application_version {
            return Err(RejectReason::InvalidAdmin);
        }
        settings.application_version = version;
        self.version = version;
        Ok(())
    }

    fn find_key(&self, id: KeyId) -> Result<&Key, RejectReason> {
        let index = (id.0 as usize).checked_sub(1).ok_or(RejectReason::UnknownKey)?;
        self.keys.get(index).ok_or(RejectReason::UnknownKey)
    }

    fn change_key(&mut self, id: KeyId, change: impl FnOnce(&mut Key)) -> Result<(), RejectReason> {
        self.find_key(id)?;
        let key = &mut self.keys[id.0 as usize - 1];
        change(key);
        self.permissions.change(key);
        Ok(())
    }

    fn define_key(&mut self, key: Key) -> Result<(), RejectReason> {
        self.permissions.define(&key).map_err(|error| match error {
            DefineError::TooMany { .. } => RejectReason::CapacityReached,
            DefineError::Repeated { .. } => RejectReason::DuplicateKey,
            _ => RejectReason::InvalidAdmin,
        })?;
        self.keys.push(key);
        Ok(())
    }

    /// Accounts that a key can be bound to, each once, in order.
    fn bindable(&self, accounts: &[AccountId]) -> Result<Vec<AccountId>, RejectReason> {
        for &account in accounts {
            self.account_index(account)?;
        }
        let mut accounts = accounts.to_vec();
        accounts.sort_unstable();
        accounts.dedup();
        Ok(accounts)
    }
}
