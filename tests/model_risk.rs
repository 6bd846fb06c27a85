//! Limits of the naive exchange: what an operator says of accounts, positions and prices, and what is
//! refused for it. What live orders could still trade is added up whenever it is asked for.
//!
//! Streams have less than the 65,536 positions and 4,096 orders beyond which none begins to be limited.

use crate::model::Model;
use crate::model_order::{Judged, Order, ensure, sign};
use openoutcry::admin::AdminCommand;
use openoutcry::event::RejectReason::*;
use openoutcry::exchange::PositionRow;
use openoutcry::genesis::AccountLimits;
use openoutcry::types::{AccountId, InstrumentId, Side};
use std::collections::BTreeMap;

/// A token, in what a nanosecond brings at a rate of one a second.
const TOKEN: i128 = 1_000_000_000;

#[derive(Clone, Default)]
pub(crate) struct Risk {
    limits: BTreeMap<AccountId, AccountLimits>,
    /// What of a rate was there, and when.
    tokens: BTreeMap<AccountId, (i128, u64)>,
    /// Net and gross limit, and the position.
    positions: BTreeMap<(AccountId, InstrumentId), (i64, i64, i64)>,
    /// In hundredths of a percent.
    collars: BTreeMap<InstrumentId, i128>,
}

/// Tokens of a rate that nothing was taken from.
fn all_tokens(limits: &AccountLimits) -> i128 {
    TOKEN * i128::from(if limits.rate_burst == 0 { limits.rate_per_s } else { limits.rate_burst })
}

impl Model {
    /// An operator changes owners and limits.
    pub(crate) fn administer(&mut self, command: &AdminCommand) -> Judged {
        match command {
            AdminCommand::SetAccountGroup { account, group, self_trade } => {
                self.account(*account)?;
                self.accounts.insert(*account, (*group, *self_trade));
            }
            AdminCommand::SetAccountLimits { account, limits } => {
                let numbers = limits.quantity_max >= 0 && limits.notional_max >= 0;
                let rates = limits.rate_per_s.max(limits.rate_burst) <= 1_000_000;
                let burst = limits.rate_burst == 0 || limits.rate_per_s > 0;
                let is_short = limits.restricted.len() <= 64;
                ensure(&[(numbers && rates && burst && is_short, InvalidAdmin)])?;
                self.account(*account)?;
                for instrument in &limits.restricted {
                    self.instrument(*instrument)?;
                }
                self.risk.limits.insert(*account, limits.clone());
                self.risk.tokens.insert(*account, (all_tokens(limits), self.now));
            }
            AdminCommand::SetPositionLimit {
                account,
                instrument,
                net_max,
                gross_max,
                position,
            } => {
                ensure(&[(*net_max >= 0 && *gross_max >= 0, InvalidAdmin)])?;
                self.account(*account)?;
                self.instrument(*instrument)?;
                let place = (*account, *instrument);
                let was = self.risk.positions.remove(&place).map_or(0, |(_, _, position)| position);
                if *net_max > 0 || *gross_max > 0 {
                    let row = (*net_max, *gross_max, position.unwrap_or(was));
                    self.risk.positions.insert(place, row);
                }
            }
            AdminCommand::SetCollar { instrument, collar_bps } => {
                ensure(&[(*collar_bps <= 1_000_000, InvalidAdmin)])?;
                self.instrument(*instrument)?;
                self.risk.collars.insert(*instrument, (*collar_bps).into());
            }
            other => unreachable!("the streams have no {other:?}"),
        }
        Ok(())
    }

    /// The first two limits of a new order or a replace, which takes a token whatever becomes of it.
    pub(crate) fn admit(&mut self, account: AccountId, instrument: InstrumentId) -> Judged {
        let Some(limits) = self.risk.limits.get(&account) else { return Ok(()) };
        let (left, since) = self.risk.tokens[&account];
        let back = i128::from(self.now - since) * i128::from(limits.rate_per_s);
        let tokens = (left + back).min(all_tokens(limits));
        let price = if limits.rate_per_s == 0 { 0 } else { TOKEN };
        let has_token = tokens >= price;
        let left = tokens - if has_token { price } else { 0 };
        self.risk.tokens.insert(account, (left, self.now));
        let is_open = !limits.restricted.contains(&instrument);
        ensure(&[(has_token, OrderRateExceeded), (is_open, InstrumentRestricted)])
    }

    /// The other limits, of an order of so many lots or of what a replace makes of an old one.
    pub(crate) fn check_limits(&self, order: &Order, lots: i64, old: Option<&Order>) -> Judged {
        let (account, instrument, price) = (order.account, order.instrument, order.price.0);
        let is_within = |value: i128, most: i64| most == 0 || value <= most.into();
        let last = self.last.get(&instrument).copied().unwrap_or(0);
        let beyond = i128::from(sign(order.side)) * (i128::from(price) - i128::from(last));
        let collar = self.risk.collars.get(&instrument).copied().unwrap_or(0);
        let is_near = collar == 0 || last == 0 || beyond * 10_000 <= i128::from(last) * collar;
        let limits = self.risk.limits.get(&account).cloned().unwrap_or_default();
        let budget = i128::from(order.asked.budget.0);
        let notional = if budget == 0 { self.cost(order, price, lots) } else { budget };
        let live = self.orders.iter().filter(|other| other.account == account).count() as i128;
        let comes = old.is_none() && order.stays();
        ensure(&[
            (is_near, OutsideCollar),
            (is_within(lots.into(), limits.quantity_max), OrderTooLarge),
            (is_within(notional, limits.notional_max), NotionalTooLarge),
            (!comes || is_within(live + 1, limits.open_orders_max.into()), TooManyOpenOrders),
        ])?;
        let Some(row) = self.risk.positions.get(&(account, instrument)) else { return Ok(()) };
        let (net, gross, position) = (row.0, row.1, i128::from(row.2));
        let more = i128::from(lots) - old.map_or(0, |old| old.quantity.0.into());
        let [buy, sell] = [Side::Buy, Side::Sell].map(|side| self.open(account, instrument, side));
        let net_then =
            if order.side == Side::Buy { position + buy } else { sell - position } + more;
        let gross_then = position.abs() + buy + sell + more;
        ensure(&[
            (is_within(net_then, net), NetPositionLimit),
            (is_within(gross_then, gross), GrossPositionLimit),
        ])
    }

    /// What live orders of a side could still trade.
    fn open(&self, account: AccountId, instrument: InstrumentId, side: Side) -> i128 {
        let is_there =
            |o: &&Order| (o.account, o.instrument, o.side) == (account, instrument, side);
        self.orders.iter().filter(is_there).map(|order| i128::from(order.leaves())).sum()
    }

    pub(crate) fn count_trade(&mut self, order: &Order, quantity: i64) {
        let row = self.risk.positions.get_mut(&(order.account, order.instrument));
        row.into_iter().for_each(|row| row.2 += sign(order.side) * quantity);
    }

    /// All limited positions.
    pub(crate) fn positions(&self) -> Vec<PositionRow> {
        let rows = self.risk.positions.iter().map(|(&(account, instrument), row)| {
            let (net_max, gross_max, position) = *row;
            let open = |side| self.open(account, instrument, side) as i64;
            let (open_buy, open_sell) = (open(Side::Buy), open(Side::Sell));
            PositionRow { account, instrument, net_max, gross_max, position, open_buy, open_sell }
        });
        rows.collect()
    }
}
