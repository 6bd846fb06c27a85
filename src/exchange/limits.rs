//! Questions about limits: collars, what accounts are limited to, limited positions.
//!
//! Invariants:
//! - An answer has at most [`QUERY_ROWS_MAX`] rows, and no more than [`LIMITS_LOOKED_MAX`] things are
//!   looked at for it, however many accounts there are.
//! - Whoever asks for page after page sees each row once that was there all the time: what is shown has
//!   one order, and a page tells its last place in it.
//! - Who may not ask about every account sees its own, and learns nothing of others.

use super::Exchange;
use super::accounts::LIABILITY;
use super::owners::Owner;
use super::risk::PositionRow;
use crate::event::RejectReason;
use crate::genesis::Account;
use crate::limits::{LIMITS_LOOKED_MAX, QUERY_ROWS_MAX, RESTRICTED_MAX};
use crate::types::{AccountId, InstrumentId, KeyId};

/// What an account costs that is not a plain one, or was not: its limits are searched for.
const ROW_LOOKS: usize = 8;

const _: () = assert!(RESTRICTED_MAX < QUERY_ROWS_MAX);
const _: () = assert!(ROW_LOOKS < LIMITS_LOOKED_MAX);

/// A place in the order in which limits are shown: an account, and an instrument there. Account 0 has the
/// collars, instrument 0 is the account itself.
pub type LimitsPlace = (AccountId, InstrumentId);

/// A question for limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsAsked {
    /// Of which account; 0 for all, and only then collars are shown.
    pub account: AccountId,
    /// Collars and positions in which instrument; 0 for all.
    pub instrument: InstrumentId,
    /// What stands behind this place.
    pub after: LimitsPlace,
}

/// What is shown of limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// An instrument's collar, in hundredths of a percent of the last price.
    Collar(InstrumentId, u32),
    /// An account that says more than its number.
    Account(Account),
    /// A limited position.
    Position(PositionRow),
}

/// A page in the making. What goes on says true; false is the end of the page.
struct Page<'a> {
    exchange: &'a Exchange,
    asked: LimitsAsked,
    shown: &'a mut Vec<Shown>,
    /// Rows that there is room for.
    room: usize,
    /// Things that may still be looked at.
    looks: usize,
    /// The last place that was looked at.
    last: LimitsPlace,
}

impl Exchange {
    /// A page of collars, limits of accounts and limited positions, as far as `key` may ask about their
    /// accounts; the place after which the next page begins, where there may be one. `shown` is emptied
    /// first.
    ///
    /// Collars come first, in order of instruments. Then come accounts, in order of definition, or by their
    /// numbers for a key that is bound to some: what an account says, and then its positions in order of
    /// instruments.
    ///
    /// # Errors
    /// [`RejectReason::NotEntitled`], [`RejectReason::UnknownAccount`],
    /// [`RejectReason::LiabilityAccount`], [`RejectReason::UnknownInstrument`];
    /// [`RejectReason::BadPayload`] for a place that belongs to another account.
    pub fn limits(
        &self,
        key: KeyId,
        asked: &LimitsAsked,
        shown: &mut Vec<Shown>,
    ) -> Result<Option<LimitsPlace>, RejectReason> {
        shown.clear();
        let LimitsAsked { account, instrument, after } = *asked;
        if account.0 != 0 && !self.permissions.may_read(key, account) {
            return Err(RejectReason::NotEntitled);
        }
        let named = if account.0 == 0 { None } else { Some(self.account_index(account)?) };
        if instrument.0 != 0 {
            self.instrument_index(instrument)?;
        }
        if named.is_some() && after.0.0 != 0 && after.0 != account {
            return Err(RejectReason::BadPayload);
        }
        let (room, looks) = (QUERY_ROWS_MAX, LIMITS_LOOKED_MAX);
        let mut page = Page { exchange: self, asked: *asked, shown, room, looks, last: after };
        let whole = match (named, self.permissions.readable(key)) {
            (Some(account), _) => page.account(account),
            (None, Some(own)) => {
                let from = own.partition_point(|id| *id < after.0);
                let known = own[from..].iter().filter_map(|id| self.accounts.find(*id));
                let mut known = known.filter(|account| *account != LIABILITY);
                page.collars() && known.all(|account| page.account(account))
            }
            (None, None) => {
                let from = if after.0.0 == 0 { 1 } else { self.account_index(after.0)? };
                let mut all = from..self.accounts.ids().len() as u32;
                page.collars() && all.all(|account| page.account(account))
            }
        };
        let last = page.last;
        Ok((!whole).then_some(last))
    }
}

impl Page<'_> {
    /// The indexes of instruments behind a number that are asked for, first and last.
    fn instruments(&self, after: InstrumentId) -> (u32, u32) {
        match self.asked.instrument.0.checked_sub(1) {
            None => (after.0, u32::MAX),
            Some(only) => (after.0.max(only), only),
        }
    }

    fn collars(&mut self) -> bool {
        let (account, after) = self.asked.after;
        if account.0 != 0 {
            return true;
        }
        let (first, last) = self.instruments(after);
        let rules = &self.exchange.rules;
        for index in first..last.saturating_add(1).min(rules.len() as u32) {
            if self.room == 0 || self.looks == 0 {
                return false;
            }
            self.looks -= 1;
            let (instrument, collar_bps) =
                (InstrumentId(index + 1), rules[index as usize].collar_bps);
            if collar_bps != 0 {
                self.show(Shown::Collar(instrument, collar_bps), 1);
            }
            self.last = (AccountId(0), instrument);
        }
        true
    }

    fn account(&mut self, account: u32) -> bool {
        let exchange = self.exchange;
        let (id, has_row) = (exchange.accounts.id(account), exchange.risk.has_row(account));
        let begun = id == self.asked.after.0;
        if !begun {
            let looks = if has_row { ROW_LOOKS } else { 1 };
            if self.looks < looks {
                return false;
            }
            self.looks -= looks;
            if has_row || exchange.owners.get(account) != Owner::ALONE {
                let definition = exchange.account_definition(account);
                let rows = 1 + definition.limits.restricted.len();
                if !definition.is_usual() {
                    if self.room < rows {
                        return false;
                    }
                    self.show(Shown::Account(definition), rows);
                }
            }
            self.last = (id, InstrumentId(0));
        }
        if !has_row {
            return true;
        }
        let after = if begun { self.asked.after.1 } else { InstrumentId(0) };
        let range = self.instruments(after);
        for (place, position) in exchange.orders.exposure().of(account, range) {
            if self.room == 0 || self.looks == 0 {
                return false;
            }
            self.looks -= 1;
            self.show(Shown::Position(exchange.position_row(place, position)), 1);
            self.last = (id, InstrumentId(place.1 + 1));
        }
        true
    }

    fn show(&mut self, row: Shown, rows: usize) {
        self.shown.push(row);
        self.room -= rows;
    }
}
