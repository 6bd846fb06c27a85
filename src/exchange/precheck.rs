//! Whether an order could trade a minimum at once: asked before anything changes.

use super::Exchange;
use super::clearing::Taker;
use super::level::NONE;
use crate::limits::PRECHECK_STEPS_MAX;
use crate::types::{SelfTrade, Side, TimeNs};

impl Exchange {
    /// True where the order could trade at least `minimum`, which is at most what it wants.
    ///
    /// Where no order has terms and none of its owner is kept from trading, that is a look at no more
    /// levels than the minimum takes; otherwise at their orders too. It gives up after
    /// [`PRECHECK_STEPS_MAX`], so that asking costs no more than that, whatever the book holds.
    pub(super) fn could_trade(&self, now: TimeNs, taker: &Taker, minimum: i64) -> bool {
        let is_late = self.orders.expiries().is_due(now);
        let is_plain = taker.self_trade == SelfTrade::Allow && !is_late && taker.budget == 0;
        if is_plain {
            let book = &self.books[taker.instrument.0 as usize - 1];
            let shown = book.offers(&self.levels, taker.side, taker.price, minimum);
            if shown || self.orders.terms_count() == 0 {
                return shown;
            }
        }
        self.could_trade_with_orders(now, taker, minimum)
    }

    fn could_trade_with_orders(&self, now: TimeNs, taker: &Taker, minimum: i64) -> bool {
        let instrument = taker.instrument.0 as usize - 1;
        let (book, rules) = (&self.books[instrument], &self.rules[instrument]);
        let makers = taker.side.opposite();
        let within = |price| match taker.side {
            Side::Buy => price <= taker.price,
            Side::Sell => price >= taker.price,
        };
        let (mut traded, mut money, mut steps) = (0i64, taker.budget, PRECHECK_STEPS_MAX);
        for (price, level) in book.levels(&self.levels, makers) {
            if !within(price) {
                break;
            }
            let wanted = taker.leaves - traded;
            let (offered, is_own) = self.offered(now, taker, level.head, wanted, &mut steps);
            let mut quantity = offered.min(wanted);
            if taker.budget != 0 {
                let affordable = rules.affordable(price, money);
                quantity = quantity.min(affordable);
                money -= rules.quote_of(price, quantity);
            }
            traded += quantity;
            if traded >= minimum {
                return true;
            }
            // Its owner's order ends it there; a level that is not taken whole has ended its money.
            if is_own || quantity < offered {
                return false;
            }
        }
        false
    }

    /// What the orders of one queue could trade with the incoming order, as far as that is `wanted`, and
    /// whether it meets one of its owner before that, or as many as are looked at, which ends it.
    fn offered(
        &self,
        now: TimeNs,
        taker: &Taker,
        head: u32,
        wanted: i64,
        steps: &mut usize,
    ) -> (i64, bool) {
        let (mut shown, mut whole, mut at) = (0i64, 0i64, head);
        while at != NONE && shown < wanted && *steps > 0 {
            *steps -= 1;
            let hot = self.orders.hot(at);
            let expires = self.orders.terms(at).expires;
            let has_ended = expires != 0 && expires <= now.0;
            let is_own = taker.self_trade != SelfTrade::Allow
                && self.owners.same_owner(taker.account, hot.account);
            if !has_ended && is_own && taker.self_trade != SelfTrade::CancelOldest {
                // Hidden parts come behind it.
                return (shown, true);
            }
            if !has_ended && !is_own {
                shown += hot.leaves;
                whole += self.orders.leaves(at);
            }
            at = hot.next;
        }
        if at != NONE && shown < wanted {
            return (shown, true);
        }
        (whole, false)
    }
}
