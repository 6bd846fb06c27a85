//! What accounts of the naive exchange have, and what of it their orders hold: added up anew whenever
//! it is asked for.

use crate::model::Model;
use crate::model_order::{Judged, Order, ensure};
use openoutcry::event::RejectReason::*;
use openoutcry::types::{AccountId, Amount, AssetId, Side};
use std::collections::BTreeMap;

const LIABILITY: AccountId = AccountId(1);

/// (account, asset), and (available, frozen)
pub(crate) type Cell = (AccountId, AssetId);
pub(crate) type Balance = (i128, i128);

impl Model {
    pub(crate) fn pay(
        &mut self,
        from: AccountId,
        to: AccountId,
        asset: AssetId,
        amount: Amount,
    ) -> Judged {
        let amount = i128::from(amount.0);
        let rest = self.available((from, asset)) - amount;
        ensure(&[
            (from != to, SameAccount),
            ((1..=self.assets).contains(&asset.0), UnknownAsset),
            (amount > 0, InvalidAmount),
            (from != LIABILITY || rest >= -i128::from(i64::MAX), Overflow),
            (from == LIABILITY || rest >= 0, InsufficientFunds),
        ])?;
        self.hand(from, to, asset, amount);
        Ok(())
    }

    /// What so many lots cost. Three 64-bit factors can pass even 128 bits; that is too much anyway.
    pub(crate) fn cost(&self, order: &Order, price: i64, lots: i64) -> i128 {
        let it = self.instrument(order.instrument).expect("it is known");
        let each = i128::from(price) * i128::from(it.quote_per_tick_lot);
        each.saturating_mul(lots.into())
    }

    /// Where and how much an order holds.
    pub(crate) fn holds(&self, order: &Order) -> (Cell, i128) {
        let it = self.instrument(order.instrument).expect("it is known");
        let lots = i128::from(order.leaves()) * i128::from(it.base_per_lot);
        match order.side {
            Side::Sell => ((order.account, it.base), lots),
            Side::Buy if order.asked.budget.0 != 0 => ((order.account, it.quote), order.budget),
            Side::Buy => {
                ((order.account, it.quote), self.cost(order, order.price.0, order.leaves()))
            }
        }
    }

    /// Whether an account has what its order needs, of which it holds some already.
    pub(crate) fn afford(&self, order: &Order, held: i128) -> Judged {
        let (cell, holds) = self.holds(order);
        let is_enough = self.available(cell) >= holds - held;
        ensure(&[(holds <= i64::MAX.into(), Overflow), (is_enough, InsufficientFunds)])
    }

    fn available(&self, cell: Cell) -> i128 {
        let own = self.orders.iter().filter(|order| order.account == cell.0);
        let held = own.map(|order| self.holds(order)).filter(|(at, _)| *at == cell);
        self.owned.get(&cell).unwrap_or(&0) - held.map(|(_, held)| held).sum::<i128>()
    }

    pub(crate) fn balances(&self) -> BTreeMap<Cell, Balance> {
        let owned = self.owned.iter().map(|(cell, owned)| (*cell, (*owned, 0)));
        let mut balances: BTreeMap<Cell, Balance> = owned.collect();
        for (cell, held) in self.orders.iter().map(|order| self.holds(order)) {
            let balance = balances.get_mut(&cell).expect("it has what it holds");
            *balance = (balance.0 - held, balance.1 + held);
        }
        balances
    }

    pub(crate) fn hand(&mut self, from: AccountId, to: AccountId, asset: AssetId, amount: i128) {
        *self.owned.entry((from, asset)).or_default() -= amount;
        *self.owned.entry((to, asset)).or_default() += amount;
    }
}
