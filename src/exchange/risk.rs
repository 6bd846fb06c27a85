//! Risk limits: what is refused before the book sees it.
//!
//! Limits are part of the sequenced state: genesis gives them, admin commands change them, and every node
//! refuses the same orders. An account without limits costs an order one look at its row.
//!
//! An account without a row is a plain one in every way: neither limits nor a limited position, and its
//! orders trade with those of its owner where they do not say otherwise. (To belong to a group makes no
//! difference: only what the incoming order wishes counts.)
//!
//! Invariants:
//! - A check changes nothing but the tokens of its account's rate, which an order takes that is refused
//!   later, too.
//! - A replace that only lowers the quantity lowers every risk: it takes a token, and is not refused for
//!   more than that and a restriction.
//! - The rate is counted on the time of records, in whole numbers: a replay counts the same.

use super::exposure::{Place, Position};
use super::owners::Owner;
use super::parts::{pack_items, unpack_items};
use super::{Context, Exchange};
use crate::event::RejectReason;
use crate::genesis::{Account, AccountLimits, GenesisItem};
use crate::limits::{POSITION_LIMITS_MAX, POSITION_ORDERS_MAX};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{AccountId, InstrumentId, Price, SelfTrade, Side, TimeNs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// No row: the account is a plain one.
const NONE: u32 = u32::MAX;
/// A token, in the unit in which they are counted: what one a second brings in a nanosecond.
const TOKEN: u64 = 1_000_000_000;

/// The tokens of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    /// What is in it, in parts of a [`TOKEN`].
    level: u64,
    /// When that was so.
    time: TimeNs,
}

impl Bucket {
    /// Full, at a time.
    fn full(limits: &AccountLimits, time: TimeNs) -> Bucket {
        Bucket { level: Bucket::size(limits), time }
    }

    fn size(limits: &AccountLimits) -> u64 {
        let burst = if limits.rate_burst == 0 { limits.rate_per_s } else { limits.rate_burst };
        u64::from(burst) * TOKEN
    }

    /// Takes a token; false where there is none.
    fn take(&mut self, limits: &AccountLimits, now: TimeNs) -> bool {
        let elapsed = now.0.saturating_sub(self.time.0);
        let more = elapsed.saturating_mul(limits.rate_per_s.into());
        self.level = self.level.saturating_add(more).min(Bucket::size(limits));
        self.time = self.time.max(now);
        if self.level < TOKEN {
            return false;
        }
        self.level -= TOKEN;
        true
    }
}

/// An account that is not a plain one, or was not.
#[derive(Clone, Debug, Default)]
struct Limited {
    limits: AccountLimits,
    bucket: Bucket,
}

/// Limits of accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Risk {
    /// By index of the account: its row, or [`NONE`].
    row_of: Vec<u32>,
    rows: Vec<Limited>,
}

/// What limits may apply to an order: found once, and handed from check to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits(u32);

impl Limits {
    /// True for a plain account.
    #[inline]
    pub(super) const fn are_none(self) -> bool {
        self.0 == NONE
    }
}

/// What a check needs to know of an order, or of what a replace makes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Index of the account.
    pub(super) account: u32,
    /// Index of the instrument.
    pub(super) instrument: u32,
    /// Side of the order.
    pub(super) side: Side,
    /// The worst price at which it could trade.
    pub(super) price: Price,
    /// Its whole quantity.
    pub(super) quantity: i64,
    /// What it pays at most, where that is said instead of by price and quantity; 0 for none.
    pub(super) budget: i64,
    /// It could become a live order that is not one yet.
    pub(super) may_rest: bool,
    /// What the order was that it replaces.
    pub(super) replaced: Option<Replaced>,
}

/// A live order that is replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    /// Its worst price.
    pub(super) price: Price,
    /// Its whole quantity.
    pub(super) quantity: i64,
}

/// A limited position, as queries show it; all in lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionRow {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub instrument: InstrumentId,
    /// How far from 0 it could be with all live orders of a side filled; 0 for no limit.
    pub net_max: i64,
    /// How much it and all live orders may be together; 0 for no limit.
    pub gross_max: i64,
    /// Bought less sold.
    pub position: i64,
    /// What live orders could buy.
    pub open_buy: i64,
    /// What live orders could sell.
    pub open_sell: i64,
}

impl Risk {
    /// Adds the next account, with its limits.
    pub(super) fn add_account(&mut self, limits: AccountLimits) {
        self.row_of.push(NONE);
        if !limits.is_none() {
            let account = self.row_of.len() as u32 - 1;
            self.set(account, limits, TimeNs(0));
        }
    }

    /// The account's limits; none where it has none.
    pub(super) fn limits(&self, account: u32) -> AccountLimits {
        let row = self.row_of[account as usize];
        self.rows.get(row as usize).map_or_else(AccountLimits::default, |row| row.limits.clone())
    }

    /// True where the account has limits, limited positions or a mode for trades with itself, or had.
    pub(super) fn has_row(&self, account: u32) -> bool {
        self.row_of[account as usize] != NONE
    }

    /// Gives an account these limits; of a rate all tokens are there.
    fn set(&mut self, account: u32, limits: AccountLimits, time: TimeNs) {
        let bucket =
            if limits.rate_per_s == 0 { Bucket::default() } else { Bucket::full(&limits, time) };
        *self.row_mut(account) = Limited { limits, bucket };
    }

    /// The account's row, which it has from now on.
    fn row_mut(&mut self, account: u32) -> &mut Limited {
        let row = &mut self.row_of[account as usize];
        if *row == NONE {
            *row = self.rows.len() as u32;
            self.rows.push(Limited::default());
        }
        &mut self.rows[*row as usize]
    }

    /// The tokens of accounts that have a rate, in order.
    fn buckets(&self) -> impl Iterator<Item = (u32, Bucket)> {
        let rows = (0..).zip(&self.row_of).filter(|(_, row)| **row != NONE);
        let limited = rows.map(|(account, row)| (account, &self.rows[*row as usize]));
        let rated = limited.filter(|(_, row)| row.limits.rate_per_s != 0);
        rated.map(|(account, row)| (account, row.bucket))
    }
}

impl Exchange {
    /// What limits may apply to an order of this account in this instrument: the first check of an order,
    /// once these are known. An order takes a token of its account's rate here, whatever becomes of it.
    ///
    /// Refused in this order: rate, restricted instrument.
    #[inline(always)]
    pub(super) fn limits_of(
        &mut self,
        ctx: &Context,
        account: u32,
        instrument: u32,
    ) -> Result<Limits, RejectReason> {
        let row = self.risk.row_of[account as usize];
        if row != NONE {
            self.risk.rows[row as usize].admit(ctx.time, instrument)?;
        }
        Ok(Limits(row))
    }

    /// Checks an order whose price and quantity the instrument admits, before anything changes.
    ///
    /// Refused in this order: collar, quantity, price times quantity, live orders, net position, gross
    /// position.
    #[inline(always)]
    pub(super) fn check_risk(&self, limits: Limits, asked: &Asked) -> Result<(), RejectReason> {
        let collar_bps = self.rules[asked.instrument as usize].collar_bps;
        if (limits.0 != NONE) | (collar_bps != 0) {
            self.check_limits(limits, asked)
        } else {
            Ok(())
        }
    }

    #[cold]
    #[inline(never)]
    fn check_limits(&self, limits: Limits, asked: &Asked) -> Result<(), RejectReason> {
        let Asked { account, instrument, side, price, quantity, .. } = *asked;
        let lowers = |was: Replaced| price == was.price && quantity < was.quantity;
        if asked.replaced.is_some_and(lowers) {
            return Ok(());
        }
        let rules = &self.rules[instrument as usize];
        let last = self.books[instrument as usize].last_price;
        if rules.is_outside_collar(side, price, last) {
            return Err(RejectReason::OutsideCollar);
        }
        let Some(Limited { limits, bucket: _ }) = self.risk.rows.get(limits.0 as usize) else {
            return Ok(());
        };
        if limits.quantity_max != 0 && quantity > limits.quantity_max {
            return Err(RejectReason::OrderTooLarge);
        }
        let notional = if asked.budget == 0 {
            rules.notional(price, quantity)
        } else {
            Some(asked.budget.into())
        };
        let fits = notional.is_some_and(|notional| notional <= limits.notional_max.into());
        if limits.notional_max != 0 && !fits {
            return Err(RejectReason::NotionalTooLarge);
        }
        let live = self.orders.live_count(account);
        if limits.open_orders_max != 0 && asked.may_rest && live >= limits.open_orders_max {
            return Err(RejectReason::TooManyOpenOrders);
        }
        // What is filled of a replaced order is the same before and after.
        let more = quantity - asked.replaced.map_or(0, |was| was.quantity);
        match self.orders.exposure().get((account, instrument)) {
            Some(position) => position.check(side, more),
            None => Ok(()),
        }
    }

    /// Gives an account limits instead of those that it has.
    ///
    /// Refused in this order: account, instruments that are restricted.
    pub(super) fn set_account_limits(
        &mut self,
        ctx: &Context,
        account: AccountId,
        limits: &AccountLimits,
    ) -> Result<(), RejectReason> {
        let account = self.account_index(account)?;
        for &instrument in &limits.restricted {
            self.instrument_index(instrument)?;
        }
        self.risk.set(account, limits.clone().in_order(), ctx.time);
        Ok(())
    }

    /// Says whose an account is.
    pub(super) fn set_owner(&mut self, account: u32, owner: Owner) {
        self.owners.set(account, owner);
        if owner.self_trade != SelfTrade::Allow {
            // Its orders are looked at from now on.
            self.risk.row_mut(account);
        }
    }

    /// Limits the position of an account in an instrument; without a limit it is no longer counted.
    ///
    /// Refused in this order: account, instrument, too many limits, or too many live orders to count.
    pub(super) fn set_position_limit(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        (net_max, gross_max): (i64, i64),
        position: Option<i64>,
    ) -> Result<(), RejectReason> {
        let place = (self.account_index(account)?, self.instrument_index(instrument)?);
        let known = self.orders.exposure().get(place).copied();
        let is_limit = net_max != 0 || gross_max != 0;
        if known.is_some() != is_limit {
            let full = is_limit && self.orders.exposure().is_full();
            if full || self.orders.live_count(place.0) > POSITION_ORDERS_MAX {
                return Err(RejectReason::CapacityReached);
            }
        }
        if is_limit {
            let was = known.unwrap_or_default();
            let position = position.unwrap_or(was.position);
            self.track(place, Position { net_max, gross_max, position, ..was });
        } else {
            self.orders.untrack(place);
        }
        Ok(())
    }

    fn track(&mut self, place: (u32, u32), position: Position) {
        // Its orders are looked at from now on.
        self.risk.row_mut(place.0);
        self.orders.track(place, position);
    }

    /// Moves the collar of an instrument.
    pub(super) fn set_collar(
        &mut self,
        instrument: InstrumentId,
        collar_bps: u32,
    ) -> Result<(), RejectReason> {
        let index = self.instrument_index(instrument)? as usize;
        self.instruments[index].collar_bps = collar_bps;
        self.rules[index].collar_bps = collar_bps;
        Ok(())
    }

    /// All limited positions, in order of account, as defined, and instrument.
    pub fn positions(&self) -> impl ExactSizeIterator<Item = PositionRow> {
        self.orders.exposure().rows().map(|(place, row)| self.position_row(place, row))
    }

    /// A limited position, as queries show it.
    pub(super) fn position_row(&self, place: Place, row: &Position) -> PositionRow {
        let Position { net_max, gross_max, position, open_buy, open_sell } = *row;
        let (account, instrument) = (self.accounts.id(place.0), InstrumentId(place.1 + 1));
        PositionRow { account, instrument, net_max, gross_max, position, open_buy, open_sell }
    }

    /// All accounts as they are now, in order of definition.
    pub fn account_definitions(&self) -> impl Iterator<Item = Account> {
        (1..).zip(self.accounts()).map(|(account, _)| self.account_definition(account))
    }

    /// An account as it is now.
    pub(super) fn account_definition(&self, account: u32) -> Account {
        let Owner { group, self_trade } = self.owners.get(account);
        let (id, limits) = (self.accounts.id(account), self.risk.limits(account));
        Account { id, group, self_trade, limits }
    }

    /// Adds what accounts have used up of their limits to a hash; nothing where none has any.
    pub(super) fn hash_limits(&self, sha: &mut Sha256) {
        let buckets: Vec<(u32, Bucket)> = self.risk.buckets().collect();
        let positions = self.orders.exposure().rows();
        if buckets.is_empty() && positions.len() == 0 {
            return;
        }
        sha.update(b"limits");
        sha.update((buckets.len() as u64).to_be_bytes());
        for (account, Bucket { level, time }) in buckets {
            sha.update(self.accounts.id(account).0.to_be_bytes());
            sha.update(level.to_be_bytes());
            sha.update(time.0.to_be_bytes());
        }
        for ((account, instrument), row) in positions {
            // What is open is told by the orders.
            let Position { net_max, gross_max, position, open_buy: _, open_sell: _ } = row;
            sha.update(self.accounts.id(account).0.to_be_bytes());
            sha.update((instrument + 1).to_be_bytes());
            for value in [net_max, gross_max, position] {
                sha.update(value.to_be_bytes());
            }
        }
    }

    /// Packs the accounts that say more than their number, and what they have used up of their limits.
    /// Where none does nothing is packed, as by releases that knew no more of an account.
    pub(super) fn pack_unusual(&self, pack: &mut Pack) {
        let unusual: Vec<Account> =
            self.account_definitions().filter(|account| !account.is_usual()).collect();
        let positions = self.orders.exposure().rows();
        if unusual.is_empty() && positions.len() == 0 {
            return;
        }
        pack_items(unusual.into_iter().map(GenesisItem::Account), pack);
        let buckets: Vec<(u32, Bucket)> = self.risk.buckets().collect();
        pack.count(buckets.len());
        for (account, Bucket { level, time }) in buckets {
            pack.u32(account);
            pack.u64(level);
            pack.u64(time.0);
        }
        pack.count(positions.len());
        for ((account, instrument), row) in positions {
            let Position { net_max, gross_max, position, open_buy: _, open_sell: _ } = row;
            pack.u32(account);
            pack.u32(instrument);
            [net_max, gross_max, position].iter().for_each(|value| pack.i64(**value));
        }
    }

    /// Reads what [`Exchange::pack_unusual`] has packed. The orders are not there yet: they count when
    /// they are entered.
    pub(super) fn unpack_unusual(&mut self, unpack: &mut Unpack<'_>) -> Result<(), Unfit> {
        if unpack.is_empty() {
            return Ok(());
        }
        let mut next = 0;
        unpack_items(unpack, |item| {
            let GenesisItem::Account(account) = item else {
                return Err(Unfit::Wrong("an item belongs to another part"));
            };
            ensure(!account.is_usual(), "an account that says nothing is noted")?;
            let index = self.accounts.find(account.id).unwrap_or_default();
            ensure(index > next, "accounts are unknown or not in order")?;
            next = index;
            self.check_account(account).map_err(|error| Unfit::Refused(error.to_string()))?;
            let Account { id: _, group, self_trade, limits } = account.clone();
            ensure(limits == limits.clone().in_order(), "restrictions are not in order")?;
            self.set_owner(index, Owner { group, self_trade });
            if !limits.is_none() {
                self.risk.set(index, limits, TimeNs(0));
            }
            Ok(())
        })?;
        let rated: Vec<u32> = self.risk.buckets().map(|(account, _)| account).collect();
        let buckets = unpack.count(20)?;
        ensure(buckets == rated.len(), "there are not as many rates as accounts that have one")?;
        for account in rated {
            let found = unpack.u32()?;
            ensure(found == account, "a rate belongs to another account")?;
            let bucket = Bucket { level: unpack.u64()?, time: TimeNs(unpack.u64()?) };
            let row = self.risk.row_mut(account);
            let fits = bucket.level <= Bucket::size(&row.limits);
            ensure(fits, "a rate has more tokens than it can")?;
            row.bucket = bucket;
        }
        let positions = unpack.count(32)?;
        ensure(positions <= POSITION_LIMITS_MAX, "there are too many limits of positions")?;
        let mut last = None;
        for _ in 0..positions {
            let place = (unpack.u32()?, unpack.u32()?);
            let (net_max, gross_max) = (unpack.i64()?, unpack.i64()?);
            let position = unpack.i64()?;
            let known = place.0 > 0 && (place.0 as usize) < self.accounts.ids().len();
            ensure(known, "a position's account is unknown")?;
            ensure((place.1 as usize) < self.rules.len(), "a position's instrument is unknown")?;
            ensure(Some(place) > last, "positions are not in order")?;
            let good = net_max >= 0 && gross_max >= 0 && (net_max != 0 || gross_max != 0);
            ensure(good, "a position's limits cannot be")?;
            last = Some(place);
            let new = Position { net_max, gross_max, position, ..Position::default() };
            self.track(place, new);
        }
        ensure(next > 0 || positions > 0, "no account says more than its number")
    }

    /// Checks that rows belong to accounts, and every limit against its bounds.
    pub(super) fn check_limited(&self) {
        assert!(self.risk.row_of.len() == self.accounts.ids().len());
        let mut rows = 0;
        for (account, row) in (0u32..).zip(&self.risk.row_of).filter(|(_, row)| **row != NONE) {
            let Limited { limits, bucket } = &self.risk.rows[*row as usize];
            assert!(account > 0, "the liability account enters no orders");
            assert!(limits.check().is_ok());
            assert!(*limits == limits.clone().in_order());
            assert!(bucket.level <= Bucket::size(limits));
            rows += 1;
        }
        assert!(rows == self.risk.rows.len(), "each row is one account's");
        for account in 0..self.risk.row_of.len() as u32 {
            let is_allowed = self.owners.self_trade(account) == SelfTrade::Allow;
            assert!(is_allowed || self.risk.has_row(account), "its orders are looked at");
        }
        for ((account, _), row) in self.orders.exposure().rows() {
            assert!(self.risk.row_of[account as usize] != NONE, "its orders are looked at");
            assert!(row.net_max >= 0 && row.gross_max >= 0);
            assert!(row.net_max != 0 || row.gross_max != 0);
        }
    }
}

impl Limited {
    /// Takes a token, and refuses an instrument that is restricted.
    #[cold]
    #[inline(never)]
    fn admit(&mut self, now: TimeNs, instrument: u32) -> Result<(), RejectReason> {
        let Limited { limits, bucket } = self;
        if limits.rate_per_s != 0 && !bucket.take(limits, now) {
            return Err(RejectReason::OrderRateExceeded);
        }
        if limits.restricted.binary_search(&InstrumentId(instrument + 1)).is_ok() {
            return Err(RejectReason::InstrumentRestricted);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn tokens_come_back_with_the_time_and_no_more_than_the_burst() {
        let limits = AccountLimits { rate_per_s: 2, rate_burst: 3, ..AccountLimits::default() };
        let mut bucket = Bucket::full(&limits, TimeNs(5 * S));
        let mut take = |now| bucket.take(&limits, TimeNs(now));
        assert_eq!([take(5 * S), take(5 * S), take(5 * S), take(5 * S)], [true, true, true, false]);
        assert!(!take(5 * S + S / 2 - 1));
        assert!(take(5 * S + S / 2));
        assert!(!take(5 * S + S / 2));
        // A clock that stands still or goes back brings nothing.
        assert!(!take(S));
        assert!(!take(S));
        assert_eq!(
            [take(99 * S), take(99 * S), take(99 * S), take(99 * S)],
            [true, true, true, false]
        );
        assert!(take(u64::MAX));
    }

    #[test]
    fn without_a_burst_a_second_brings_what_a_second_may_take() {
        let limits = AccountLimits { rate_per_s: 2, ..AccountLimits::default() };
        let mut bucket = Bucket::full(&limits, TimeNs(0));
        let mut take = |now| bucket.take(&limits, TimeNs(now));
        assert_eq!([take(0), take(0), take(0)], [true, true, false]);
        assert_eq!([take(9 * S), take(9 * S), take(9 * S)], [true, true, false]);
    }
}
