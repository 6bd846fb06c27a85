//! Who owns accounts together, and what they want instead of a trade with themselves.

use crate::types::SelfTrade;

/// Owner and wish of every account, by its index.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    rows: Vec<(u32, SelfTrade)>,
}

impl Owners {
    /// What an account wants instead of a trade with itself where its order does not say.
    #[inline]
    pub(super) fn self_trade(&self, account: u32) -> SelfTrade {
        self.rows.get(account as usize).map_or(SelfTrade::Allow, |row| row.1)
    }

    /// True where two accounts have one owner.
    #[inline]
    pub(super) fn same_owner(&self, a: u32, b: u32) -> bool {
        let group = |account: u32| self.rows.get(account as usize).map_or(0, |row| row.0);
        a == b || (group(a) != 0 && group(a) == group(b))
    }
}
