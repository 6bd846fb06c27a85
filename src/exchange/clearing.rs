//! Clearing: what a trade moves between the two accounts.
//!
//! Each trade is settled at the maker's price. The maker's part is settled trade by trade, the
//! taker's once for the whole command. A buyer holds its limit price: what the trade was cheaper
//! goes back to the taker's available balance (a maker always trades at its own limit).
//! Invariant: what one party spends the other is credited, so that the conservation law holds
//! when the command is done.

use super::accounts::Accounts;
use super::instrument::Rules;
use crate::types::Price;

/// Settles one trade for the maker. `BUY` is the taker's side.
#[inline]
pub(super) fn settle_maker<const BUY: bool>(
    accounts: &mut Accounts,
    rules: &Rules,
    maker: u32,
    base: i64,
    quote: i64,
) {
    let base_cell = accounts.cell(maker, rules.base);
    let quote_cell = accounts.cell(maker, rules.quote);
    if BUY {
        accounts.spend(base_cell, base);
        accounts.credit(quote_cell, quote);
    } else {
        accounts.spend(quote_cell, quote);
        accounts.credit(base_cell, base);
    }
}

/// Settles all trades of a command for the taker, who traded `quantity` for `quote` in all under
/// the limit `price`.
#[inline]
pub(super) fn settle_taker<const BUY: bool>(
    accounts: &mut Accounts,
    rules: &Rules,
    taker: u32,
    price: Price,
    quantity: i64,
    quote: i64,
) {
    let base_cell = accounts.cell(taker, rules.base);
    let quote_cell = accounts.cell(taker, rules.quote);
    if BUY {
        let held = rules.quote_of(price, quantity);
        assert!(quote <= held, "no trade is worse than the taker's limit");
        accounts.unfreeze(quote_cell, held - quote);
        accounts.spend(quote_cell, quote);
        accounts.credit(base_cell, rules.base_of(quantity));
    } else {
        accounts.spend(base_cell, rules.base_of(quantity));
        accounts.credit(quote_cell, quote);
    }
}
