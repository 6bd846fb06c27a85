//! What few orders have, packed behind all books: wishes about self-trade, terms, stops that wait. Where
//! there is nothing of it, nothing is packed.

use super::Exchange;
use super::level::NONE;
use super::order::Terms;
use super::parts::{ORDER_BYTES, Row};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{Price, SelfTrade, Side};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Bytes of a special order's row.
const SPECIAL_BYTES: usize = 33;
/// Bytes of a waiting stop's row, its order and its special row included.
const STOP_BYTES: usize = ORDER_BYTES + SPECIAL_BYTES + 14;

/// What special orders have, by id.
pub(super) type Specials = BTreeMap<u64, (SelfTrade, Option<Terms>)>;

/// A waiting stop's order, and its stop price.
pub(super) struct StopRow {
    pub(super) row: Row,
    pub(super) stop: Price,
}

impl Exchange {
    /// True for an order of which more than a row is to be told.
    pub(super) fn has_more_to_tell(&self, order: u32) -> bool {
        // A stop that came may have terms that say nothing any more.
        let cold = self.orders.cold(order);
        cold.self_trade() != SelfTrade::Allow || self.orders.terms(order) != Terms::default()
    }

    /// Waiting stops: by instrument, buys first, in the order in which they would come.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Price, u32)> {
        self.stops.iter().flat_map(move |stops| {
            [Side::Buy, Side::Sell].into_iter().flat_map(move |side| {
                let levels = stops.of(side).levels(&self.levels, side.opposite());
                levels.flat_map(move |(price, level)| {
                    let mut at = level.head;
                    std::iter::from_fn(move || {
                        let order = at;
                        at = if order == NONE { NONE } else { self.orders.hot(order).next };
                        (order != NONE).then_some((price, order))
                    })
                })
            })
        })
    }

    /// Packs what `specials`, which rest in books, have, and the stops that wait.
    pub(super) fn pack_specials(&self, specials: &[u32], pack: &mut Pack) {
        let stops: Vec<(Price, u32)> = self.waiting().collect();
        if specials.is_empty() && stops.is_empty() {
            return;
        }
        pack.count(specials.len());
        specials.iter().for_each(|&order| self.pack_special(order, pack));
        pack.count(stops.len());
        for (stop, order) in stops {
            let cold = self.orders.cold(order);
            pack.u32(cold.instrument());
            pack.u8(cold.side() as u8);
            pack.i64(stop.0);
            pack.u8(u8::from(self.orders.terms(order).is_market));
            self.orders.pack(order, self.price_of(order), pack);
            self.pack_special(order, pack);
        }
    }

    fn pack_special(&self, order: u32, pack: &mut Pack) {
        let terms = self.orders.terms(order);
        pack.u64(self.orders.hot(order).id);
        pack.u8(self.orders.cold(order).self_trade() as u8);
        pack.i64(terms.display);
        pack.i64(terms.hidden);
        pack.u64(terms.expires);
    }

    /// Reads what was packed.
    pub(super) fn unpack_specials(
        &self,
        unpack: &mut Unpack<'_>,
    ) -> Result<(Specials, Vec<StopRow>), Unfit> {
        let (mut specials, mut stops) = (Specials::new(), Vec::new());
        if unpack.is_empty() {
            return Ok((specials, stops));
        }
        for _ in 0..unpack.count(SPECIAL_BYTES)? {
            let (id, mode, terms) = unpack_special(unpack)?;
            let terms = (terms != Terms::default()).then_some(terms);
            ensure(specials.insert(id, (mode, terms)).is_none(), "an order is special twice")?;
        }
        for _ in 0..unpack.count(STOP_BYTES)? {
            stops.push(self.unpack_stop(unpack)?);
        }
        Ok((specials, stops))
    }

    fn unpack_stop(&self, unpack: &mut Unpack<'_>) -> Result<StopRow, Unfit> {
        let instrument = unpack.u32()?;
        let rules = self.rules.get(instrument as usize);
        let rules = rules.ok_or(Unfit::Wrong("a stop's instrument is unknown"))?;
        let side = Side::from_u8(unpack.u8()?).ok_or(Unfit::Wrong("a stop has no side"))?;
        let (stop, is_market) = (Price(unpack.i64()?), unpack.bool()?);
        let mut row = Row::unpack(instrument, side, unpack)?;
        self.judge_row(&row, rules)?;
        let (id, mode, terms) = unpack_special(unpack)?;
        ensure(id == row.order.id, "a stop is another order")?;
        ensure(terms.hidden == 0, "a waiting stop hides nothing")?;
        let is_waiting = rules.admits(stop) && !self.is_reached(instrument, side, stop);
        ensure(is_waiting, "a stop should have come")?;
        row.order.self_trade = mode;
        row.order.terms = Some(Terms { limit: row.price.0, is_market, ..terms });
        Ok(StopRow { row, stop })
    }

    /// Adds to a hash what makes orders special.
    pub(super) fn hash_specials(&self, specials: &[u32], sha: &mut Sha256) {
        let mut pack = Pack::new(Vec::new());
        self.pack_specials(specials, &mut pack);
        sha.update(pack.bytes());
    }
}

/// Reads an order's id, wish and terms.
fn unpack_special(unpack: &mut Unpack<'_>) -> Result<(u64, SelfTrade, Terms), Unfit> {
    let id = unpack.u64()?;
    let mode = SelfTrade::from_u8(unpack.u8()?);
    let mode = mode.ok_or(Unfit::Wrong("an order's self-trade wish cannot be"))?;
    let (display, hidden, expires) = (unpack.i64()?, unpack.i64()?, unpack.u64()?);
    ensure(display >= 0 && hidden >= 0, "an order shows or hides less than nothing")?;
    Ok((id, mode, Terms { display, hidden, expires, limit: 0, is_market: false }))
}

/// Gives an order that rests what makes it special.
pub(super) fn make_special(
    row: &mut Row,
    special: (SelfTrade, Option<Terms>),
) -> Result<(), Unfit> {
    (row.order.self_trade, row.order.terms) = special;
    let Terms { display, hidden, .. } = row.order.terms.unwrap_or_default();
    let shown = row.order.leaves.saturating_sub(hidden);
    let fits = shown > 0 && (hidden == 0 || shown <= display);
    ensure(fits, "an iceberg shows nothing, or too much")
}

/// Checks that a stop's price and its neighbours are in the order in which they would come.
pub(super) fn ensure_in_order(stops: &[StopRow]) -> Result<(), Unfit> {
    let place = |stop: &StopRow| {
        let order = &stop.row.order;
        let price = if order.side == Side::Buy { stop.stop.0 } else { -stop.stop.0 };
        (order.instrument, order.side, price)
    };
    let sorted = stops.is_sorted_by_key(place);
    ensure(sorted, "stops are not in the order in which they would come")
}
