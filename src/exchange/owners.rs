//! Whose an account is: the group that it belongs to, and what happens instead of a trade within one
//! owner's orders.
//!
//! Invariant: one row an account, in order of definition; the liability account's is never asked for.

use crate::types::SelfTrade;

/// What one account says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Accounts of one group, other than 0, have one owner.
    pub(super) group: u32,
    /// What happens where an order leaves it to its account.
    pub(super) self_trade: SelfTrade,
}

impl Owner {
    /// An account of its own whose orders trade with each other.
    pub(super) const ALONE: Owner = Owner { group: 0, self_trade: SelfTrade::Allow };
}

/// All accounts, by index.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    rows: Vec<Owner>,
}

impl Owners {
    /// Adds the next account.
    pub(super) fn add_account(&mut self, owner: Owner) {
        self.rows.push(owner);
    }

    /// What an account says.
    #[inline]
    pub(super) fn get(&self, account: u32) -> Owner {
        self.rows[account as usize]
    }

    /// Changes what an account says.
    pub(super) fn set(&mut self, account: u32, owner: Owner) {
        self.rows[account as usize] = owner;
    }

    /// What happens instead of a trade within the account's owner, where the order does not say.
    #[inline]
    pub(super) fn self_trade(&self, account: u32) -> SelfTrade {
        self.get(account).self_trade
    }

    /// True for two orders of one owner: of one account, or of one group.
    #[inline]
    pub(super) fn same_owner(&self, a: u32, b: u32) -> bool {
        let group = self.get(a).group;
        a == b || (group != 0 && group == self.get(b).group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_is_one_account_or_one_group_and_group_0_is_none() {
        let mut owners = Owners::default();
        for group in [0, 0, 7, 7, 8] {
            owners.add_account(Owner { group, ..Owner::ALONE });
        }
        let same = |a, b| owners.same_owner(a, b) && owners.same_owner(b, a);
        assert!(same(0, 0));
        assert!(same(2, 3));
        assert!(!same(0, 1));
        assert!(!same(1, 2));
        assert!(!same(3, 4));
        assert_eq!(owners.self_trade(2), SelfTrade::Allow);
        owners.set(2, Owner { group: 8, self_trade: SelfTrade::CancelOldest });
        assert!(owners.same_owner(2, 4));
        assert_eq!(owners.self_trade(2), SelfTrade::CancelOldest);
    }
}
