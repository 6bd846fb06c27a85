//! What an instrument allows, in the integers that the hot path needs.
//!
//! Prices are whole ticks, quantities whole lots, money whole smallest units: every product here
//! is exact or refused. Invariant: all factors are positive, so a checked `i64` product refuses
//! exactly where the true result does not fit, and the clearing of what an order holds can never
//! overflow (any part of a hold is smaller than the hold).

use crate::event::RejectReason;
use crate::genesis::Instrument;
use crate::types::{Price, Quantity, Side};

/// An instrument's rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    quantity_min: i64,
    pub(super) quantity_max: i64,
    price_max: i64,
    base_per_lot: i64,
    quote_per_tick_lot: i64,
    market_band_bps: u32,
    /// How far beyond the last price an order's own may be, in hundredths of a percent; 0 for any.
    pub(super) collar_bps: u32,
    /// Index of the asset that is bought and sold.
    pub(super) base: u32,
    /// Index of the asset that pays.
    pub(super) quote: u32,
}

impl Rules {
    /// The rules of a definition that genesis has accepted.
    pub(super) const fn new(instrument: &Instrument) -> Rules {
        Rules {
            quantity_min: instrument.quantity_min,
            quantity_max: instrument.quantity_max,
            price_max: instrument.price_max,
            base_per_lot: instrument.base_per_lot,
            quote_per_tick_lot: instrument.quote_per_tick_lot,
            market_band_bps: instrument.market_band_bps,
            collar_bps: instrument.collar_bps,
            base: instrument.base.0 - 1,
            quote: instrument.quote.0 - 1,
        }
    }

    /// True for a price within the bounds.
    pub(super) const fn admits(&self, price: Price) -> bool {
        price.0 >= 1 && price.0 <= self.price_max
    }

    /// Refuses a price and then a quantity that is not positive or is out of bounds.
    #[inline]
    pub(super) const fn check(&self, price: Price, quantity: Quantity) -> Result<(), RejectReason> {
        if !self.admits(price) {
            return Err(RejectReason::InvalidPrice);
        }
        if quantity.0 < self.quantity_min || quantity.0 > self.quantity_max {
            return Err(RejectReason::InvalidQuantity);
        }
        Ok(())
    }

    /// True where a live order can have come to this price and quantity: one that lost a part of it may
    /// be below the smallest that is entered.
    pub(super) const fn allows(&self, price: Price, quantity: i64) -> bool {
        self.admits(price) && quantity >= 1 && quantity <= self.quantity_max
    }

    /// The worst price that a market order without a price of its own takes, where `best` is the best
    /// one on the other side.
    pub(super) fn protection(&self, side: Side, best: Price) -> Price {
        let band = i128::from(best.0) * i128::from(self.market_band_bps) / 10_000;
        let band = i64::try_from(band).unwrap_or(i64::MAX);
        match side {
            Side::Buy => Price(best.0.saturating_add(band).min(self.price_max)),
            Side::Sell => Price((best.0 - band).max(1)),
        }
    }

    /// Lots at this price that so much of the quote asset pays for.
    pub(super) const fn affordable(&self, price: Price, money: i64) -> i64 {
        match price.0.checked_mul(self.quote_per_tick_lot) {
            Some(each) => money / each,
            None => 0,
        }
    }

    /// True for a price that is further beyond the last one, a buy's above or a sell's below, than the
    /// collar allows. Before the first trade, with a last price of 0, none is.
    pub(super) fn is_outside_collar(&self, side: Side, price: Price, last: Price) -> bool {
        let beyond = match side {
            Side::Buy => i128::from(price.0) - i128::from(last.0),
            Side::Sell => i128::from(last.0) - i128::from(price.0),
        };
        let collar = i128::from(last.0) * i128::from(self.collar_bps);
        self.collar_bps != 0 && last.0 != 0 && beyond * 10_000 > collar
    }

    /// Price times quantity in quote units; `None` where that fits no account's limit.
    pub(super) fn notional(&self, price: Price, quantity: i64) -> Option<i128> {
        let ticks = i128::from(price.0).checked_mul(quantity.into());
        ticks.and_then(|ticks| ticks.checked_mul(self.quote_per_tick_lot.into()))
    }

    /// Index of the asset that an order of this side holds.
    #[inline]
    pub(super) const fn held_asset(&self, side: Side) -> u32 {
        match side {
            Side::Buy => self.quote,
            Side::Sell => self.base,
        }
    }

    /// What an order with these leaves holds: a buy its price in quote units, a sell its quantity
    /// in base units.
    #[inline]
    pub(super) fn hold(&self, side: Side, price: Price, leaves: i64) -> Result<i64, RejectReason> {
        match side {
            Side::Buy => {
                let ticks = price.0.checked_mul(leaves);
                ticks.and_then(|ticks| ticks.checked_mul(self.quote_per_tick_lot))
            }
            Side::Sell => leaves.checked_mul(self.base_per_lot),
        }
        .ok_or(RejectReason::Overflow)
    }

    /// What is left of a hold when these leaves are left of its order.
    #[inline]
    pub(super) const fn rest_of_hold(&self, side: Side, price: Price, leaves: i64) -> i64 {
        match side {
            Side::Buy => self.quote_of(price, leaves),
            Side::Sell => self.base_of(leaves),
        }
    }

    /// Base units of a quantity that an order holds or has held.
    #[inline]
    pub(super) const fn base_of(&self, quantity: i64) -> i64 {
        quantity * self.base_per_lot
    }

    /// Quote units of a quantity at a price that an order holds or has held.
    #[inline]
    pub(super) const fn quote_of(&self, price: Price, quantity: i64) -> i64 {
        price.0 * quantity * self.quote_per_tick_lot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RejectReason::{InvalidPrice, InvalidQuantity, Overflow};

    const RULES: Rules = Rules {
        quantity_min: 2,
        quantity_max: 10,
        price_max: 100,
        base_per_lot: 5,
        quote_per_tick_lot: 7,
        market_band_bps: 1_000,
        collar_bps: 250,
        base: 0,
        quote: 1,
    };

    #[test]
    fn bounds_are_inclusive_and_the_price_is_looked_at_first() {
        assert_eq!(RULES.check(Price(1), Quantity(2)), Ok(()));
        assert_eq!(RULES.check(Price(100), Quantity(10)), Ok(()));
        for price in [0, -1, 101, i64::MIN, i64::MAX] {
            assert_eq!(RULES.check(Price(price), Quantity(0)), Err(InvalidPrice));
        }
        for quantity in [0, 1, -1, 11, i64::MIN, i64::MAX] {
            assert_eq!(RULES.check(Price(1), Quantity(quantity)), Err(InvalidQuantity));
        }
    }

    #[test]
    fn a_market_orders_protection_stays_within_the_prices_there_are() {
        // A tenth of the best price, in whole ticks towards it.
        assert_eq!(RULES.protection(Side::Buy, Price(55)), Price(60));
        assert_eq!(RULES.protection(Side::Sell, Price(55)), Price(50));
        assert_eq!(RULES.protection(Side::Buy, Price(9)), Price(9));
        assert_eq!(RULES.protection(Side::Buy, Price(95)), Price(100));
        let all = Rules { market_band_bps: 10_000, price_max: i64::MAX, ..RULES };
        assert_eq!(all.protection(Side::Sell, Price(55)), Price(1));
        assert_eq!(all.protection(Side::Buy, Price(i64::MAX)), Price(i64::MAX));
        assert_eq!(all.protection(Side::Sell, Price(i64::MAX)), Price(1));
    }

    #[test]
    fn a_collar_is_around_the_last_price_and_only_on_the_worse_side() {
        // 2.5 % of 90 is 2.25.
        let outside = |side, price, last| RULES.is_outside_collar(side, Price(price), Price(last));
        assert!(!outside(Side::Buy, 92, 90));
        assert!(outside(Side::Buy, 93, 90));
        assert!(!outside(Side::Buy, 1, 90));
        assert!(!outside(Side::Sell, 88, 90));
        assert!(outside(Side::Sell, 87, 90));
        assert!(!outside(Side::Sell, 100, 90));
        assert!(!outside(Side::Buy, 100, 0));
        assert!(!outside(Side::Sell, i64::MAX, i64::MAX));
        assert!(outside(Side::Sell, 1, i64::MAX));
        let open = Rules { collar_bps: 0, ..RULES };
        assert!(!open.is_outside_collar(Side::Buy, Price(i64::MAX), Price(1)));
    }

    #[test]
    fn a_hold_is_exact_or_refused() {
        assert_eq!(RULES.hold(Side::Buy, Price(3), 4), Ok(84));
        assert_eq!(RULES.hold(Side::Sell, Price(3), 4), Ok(20));
        assert_eq!(RULES.hold(Side::Buy, Price(1), i64::MAX / 7), Ok(i64::MAX / 7 * 7));
        assert_eq!(RULES.hold(Side::Buy, Price(1), i64::MAX / 7 + 1), Err(Overflow));
        assert_eq!(RULES.hold(Side::Buy, Price(1 << 32), 1 << 32), Err(Overflow));
        assert_eq!(RULES.hold(Side::Sell, Price(1), i64::MAX / 5 + 1), Err(Overflow));
    }
}
