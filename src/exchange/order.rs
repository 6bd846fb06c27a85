//! Live orders: the slab of what books need, and beside it what accounts need: an index of clients'
//! numbers, and each account's list.
//!
//! An order's slot has a hot half in the slab and a cold half in a parallel array, 32 bytes each. What
//! few orders have (a hidden part, a time of expiry, a stop price) stands in a third array, the
//! *terms*, which nobody touches for the others.
//!
//! Invariants:
//! - Only live orders have a slot: resting ones, and stops that wait.
//! - Every order in a slot is in the client's index if it has a number there, and in its account's list,
//!   which is in order of id because ids only rise.
//! - Everything is reserved whole at genesis and touched as it is used; nothing grows after that.

use super::expiry::Expiries;
use super::exposure::{Exposure, Place, Position};
use super::index::{Hasher, Index};
use super::level::NONE;
use super::slab::{Hot, Slab, Slots};
use crate::limits::INSTRUMENTS_MAX;
use crate::packing::Pack;
use crate::sys::memory::Region;
use crate::types::{
    AccountId, ClientOrderId, InstrumentId, OrderId, Price, Quantity, SelfTrade, SessionId, Side,
    TimeNs,
};
use std::collections::BTreeMap;

/// Orders that are looked at from either end of an account's list to find where a page begins.
const PAGE_STEPS_MAX: usize = 1 << 14;

/// The rest of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cold {
    /// Whole quantity, what is filled included.
    pub(super) quantity: i64,
    /// The client's number; 0 for none.
    pub(super) client: u64,
    /// The session that entered it.
    pub(super) session: u32,
    /// The account's next newer order.
    pub(super) newer: u32,
    /// The account's next older order.
    pub(super) older: u32,
    /// From the lowest bit: 1 for a sell; 16 bits, the instrument's index; 3 bits, the [`SelfTrade`]; 1
    /// where the order has terms; the two highest, [`MARKED`] and [`TRACKED`].
    place: u32,
}

const SELF_TRADE_SHIFT: u32 = 17;
const HAS_TERMS: u32 = 1 << 20;

const _: () = assert!(INSTRUMENTS_MAX <= 1 << 16);

/// Marks the order that a walk looks at next.
const MARKED: u32 = 1 << 30;

/// Marks an order that counts for a limited position.
const TRACKED: u32 = 1 << 31;

/// What few orders have: all of it is asked for at once.
const SPECIAL: u32 = HAS_TERMS | MARKED | TRACKED;

const _: () = assert!(size_of::<Cold>() == 32);

impl Cold {
    /// Index of the instrument.
    #[inline]
    pub(super) const fn instrument(&self) -> u32 {
        self.place >> 1 & 0xFFFF
    }

    /// What it wants instead of a trade with an order of its owner.
    #[inline]
    pub(super) fn self_trade(&self) -> SelfTrade {
        SelfTrade::from_u8((self.place >> SELF_TRADE_SHIFT) as u8 & 7)
            .expect("an order has a mode from its entry")
    }

    /// True where the order has [`Terms`].
    #[inline]
    pub(super) const fn has_terms(&self) -> bool {
        self.place & HAS_TERMS != 0
    }

    /// True where its account's position in its instrument is limited.
    #[inline]
    pub(super) const fn is_tracked(&self) -> bool {
        self.place & TRACKED != 0
    }

    /// True where more is to be done for the order than for most.
    #[inline]
    pub(super) const fn is_special(&self) -> bool {
        self.place & SPECIAL != 0
    }

    /// Side of the order.
    #[inline]
    pub(super) const fn side(&self) -> Side {
        if self.place & 1 == 0 { Side::Buy } else { Side::Sell }
    }
}

/// What few orders have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// What of it is shown at a time; 0 for all.
    pub(super) display: i64,
    /// Open quantity that is not shown.
    pub(super) hidden: i64,
    /// The time at which it ends; 0 for never.
    pub(super) expires: u64,
    /// Limit price of a stop that waits, whose level is that of its stop price; else 0.
    pub(super) limit: i64,
    /// A stop that becomes a market order.
    pub(super) is_market: bool,
}

impl Terms {
    /// True for a stop that waits.
    pub(super) const fn waits(&self) -> bool {
        self.limit != 0
    }

    fn to_words(self) -> TermWords {
        let Terms { display, hidden, expires, limit, is_market } = self;
        let [display, hidden, limit] = [display, hidden, limit].map(i64::cast_unsigned);
        [display, hidden, expires, limit, u64::from(is_market)]
    }

    fn of_words(words: TermWords) -> Terms {
        let [display, hidden, expires, limit, is_market] = words;
        let [display, hidden, limit] = [display, hidden, limit].map(u64::cast_signed);
        Terms { display, hidden, expires, limit, is_market: is_market != 0 }
    }
}

/// Terms as numbers, of which zeroed memory is made of.
type TermWords = [u64; 5];

/// An order about to rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewResting {
    pub(super) id: u64,
    pub(super) account: u32,
    pub(super) instrument: u32,
    pub(super) side: Side,
    pub(super) quantity: i64,
    pub(super) leaves: i64,
    pub(super) client: u64,
    pub(super) session: u32,
    pub(super) self_trade: SelfTrade,
    pub(super) terms: Option<Terms>,
}

/// A live order, as queries show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// The order.
    pub order_id: OrderId,
    /// The client's number for it; 0 for none.
    pub client_order_id: ClientOrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The session that entered it; 0 for none.
    pub session: SessionId,
    /// What is traded.
    pub instrument: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Limit price.
    pub price: Price,
    /// Whole quantity, what is filled included.
    pub quantity: Quantity,
    /// Filled quantity.
    pub filled: Quantity,
    /// Open quantity, what is hidden included.
    pub leaves: Quantity,
    /// Stop price of a stop that waits; else 0.
    pub stop_price: Price,
    /// What an iceberg shows at a time; 0 for all.
    pub display_quantity: Quantity,
    /// The time at which it ends; 0 for never.
    pub expires: TimeNs,
}

/// Ends of an account's list of live orders.
#[derive(Clone, Copy, Debug)]
struct OpenList {
    oldest: u32,
    newest: u32,
    /// Orders in it.
    count: u32,
    /// Instruments in which the account's position is limited.
    tracked: u32,
}

impl OpenList {
    const EMPTY: OpenList = OpenList { oldest: NONE, newest: NONE, count: 0, tracked: 0 };
}

/// The live orders of the exchange.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    slab: Slab,
    cold: Vec<Cold>,
    /// By slot, zeros for who has none.
    terms: Vec<TermWords>,
    /// Live orders that have terms.
    terms_count: usize,
    expiries: Expiries,
    by_client: Index,
    lists: Vec<OpenList>,
    /// Live orders of each session, by its number.
    of_session: Vec<u32>,
    /// The order that a walk through the accounts' lists looks at next, or [`NONE`].
    mark: u32,
    exposure: Exposure,
}

impl Slots for Orders {
    #[inline]
    fn hot(&self, order: u32) -> &Hot {
        self.slab.hot(order)
    }

    #[inline]
    fn hot_mut(&mut self, order: u32) -> &mut Hot {
        self.slab.hot_mut(order)
    }
}

impl Orders {
    /// Room for so many live orders.
    pub(super) fn with_capacity(count_max: usize, hasher: Hasher) -> Orders {
        Orders {
            slab: Slab::with_capacity(count_max, hasher),
            cold: Vec::with_capacity(count_max),
            terms: vec![[0; 5]; count_max],
            terms_count: 0,
            expiries: Expiries::with_capacity(count_max),
            by_client: Index::with_capacity(count_max),
            lists: Vec::new(),
            of_session: vec![0],
            mark: NONE,
            exposure: Exposure::default(),
        }
    }

    /// The memory of the indexes, where a live order's place is a matter of chance.
    pub(super) fn memory(&self) -> [Region; 2] {
        let [_, by_id] = self.slab.memory();
        [by_id, self.by_client.memory()]
    }

    /// Makes an empty list for the next account.
    pub(super) fn add_account(&mut self) {
        self.lists.push(OpenList::EMPTY);
    }

    /// True when no further order can rest.
    #[inline]
    pub(super) const fn is_full(&self) -> bool {
        self.slab.is_full()
    }

    /// Live orders.
    pub(super) const fn count(&self) -> usize {
        self.slab.count()
    }

    /// The hot half of a slot.
    #[inline]
    pub(super) fn hot(&self, order: u32) -> &Hot {
        self.slab.hot(order)
    }

    /// The hot half of a slot, to change it.
    #[inline]
    pub(super) fn hot_mut(&mut self, order: u32) -> &mut Hot {
        self.slab.hot_mut(order)
    }

    /// The cold half of a slot.
    #[inline]
    pub(super) fn cold(&self, order: u32) -> &Cold {
        &self.cold[order as usize]
    }

    /// Changes an order's whole quantity, and its open quantity as far as that is shown.
    #[inline]
    pub(super) fn resize(&mut self, order: u32, quantity: i64, leaves: i64) {
        self.cold[order as usize].quantity = quantity;
        self.hot_mut(order).leaves = leaves;
        self.recount_limited(order);
    }

    /// Notes what an order has left, hidden or not, where it counts for a limited position.
    #[inline]
    pub(super) fn recount_limited(&mut self, order: u32) {
        if self.cold(order).is_tracked() {
            self.recount(order, self.leaves(order));
        }
    }

    /// Live orders of an account.
    #[inline]
    pub(super) fn live_count(&self, account: u32) -> u32 {
        self.lists[account as usize].count
    }

    /// There are so many sessions, numbered from 1.
    pub(super) fn set_sessions(&mut self, count: usize) {
        self.of_session.resize(count + 1, 0);
    }

    /// Live orders of a session.
    #[inline]
    pub(super) fn session_count(&self, session: u32) -> u32 {
        self.of_session[session as usize]
    }

    /// Limited positions.
    #[inline]
    pub(super) fn exposure(&self) -> &Exposure {
        &self.exposure
    }

    /// Notes what an order that counts for a limited position has left, what is hidden of it included.
    #[cold]
    #[inline(never)]
    pub(super) fn recount(&mut self, order: u32, leaves: i64) {
        let (account, cold) = (self.hot(order).account, &self.cold[order as usize]);
        self.exposure.count(order, (account, cold.instrument()), cold.side(), leaves);
    }

    /// Notes that a special order has traded, and has so much left, where it counts for a limited position.
    #[cold]
    #[inline(never)]
    pub(super) fn maker_traded(&mut self, order: u32, quantity: i64, leaves: i64) {
        let (account, cold) = (self.hot(order).account, self.cold[order as usize]);
        if !cold.is_tracked() {
            return;
        }
        self.exposure.traded((account, cold.instrument()), cold.side(), quantity);
        self.recount(order, leaves);
    }

    /// Notes what an incoming order has traded.
    #[inline]
    pub(super) fn taker_traded(&mut self, place: Place, side: Side, quantity: i64) {
        if self.lists[place.0 as usize].tracked != 0 {
            self.exposure.traded(place, side, quantity);
        }
    }

    /// Limits a position, or says anew how; the account's live orders there count from now on.
    pub(super) fn track(&mut self, place: Place, position: Position) {
        let new = self.exposure.get(place).is_none();
        self.exposure.set(place, position, self.slab.capacity());
        if new {
            self.lists[place.0 as usize].tracked += 1;
            self.count_orders(place, true);
        }
    }

    /// Ends the limit of a position, if there is one.
    pub(super) fn untrack(&mut self, place: Place) {
        if self.exposure.get(place).is_some() {
            self.count_orders(place, false);
            self.lists[place.0 as usize].tracked -= 1;
            self.exposure.remove(place);
        }
    }

    /// Lets the live orders of an account in an instrument count, or no longer.
    fn count_orders(&mut self, (account, instrument): Place, counts: bool) {
        let mut order = self.lists[account as usize].oldest;
        while order != NONE {
            let leaves = if counts { self.leaves(order) } else { 0 };
            let cold = &mut self.cold[order as usize];
            let newer = cold.newer;
            if cold.instrument() == instrument {
                cold.place = if counts { cold.place | TRACKED } else { cold.place & !TRACKED };
                self.recount(order, leaves);
            }
            order = newer;
        }
    }

    /// What few orders have; for the others, nothing of it.
    #[inline]
    pub(super) fn terms(&self, order: u32) -> Terms {
        if !self.cold(order).has_terms() {
            return Terms::default();
        }
        Terms::of_words(self.terms[order as usize])
    }

    /// Changes the terms of an order that has them. Its time of expiry stays.
    pub(super) fn set_terms(&mut self, order: u32, terms: &Terms) {
        assert!(self.cold(order).has_terms(), "an order has terms from its entry or never");
        self.terms[order as usize] = terms.to_words();
    }

    /// Open quantity of an order that is not shown.
    #[inline]
    pub(super) fn hidden(&self, order: u32) -> i64 {
        if self.cold(order).has_terms() { self.terms[order as usize][1].cast_signed() } else { 0 }
    }

    /// Open quantity of an order, hidden or not.
    #[inline]
    pub(super) fn leaves(&self, order: u32) -> i64 {
        self.hot(order).leaves + self.hidden(order)
    }

    /// Live orders that have terms.
    #[inline]
    pub(super) const fn terms_count(&self) -> usize {
        self.terms_count
    }

    /// When orders end by themselves.
    #[inline]
    pub(super) const fn expiries(&self) -> &Expiries {
        &self.expiries
    }

    /// The live order with this id.
    #[inline]
    pub(super) fn find(&self, id: OrderId) -> Option<u32> {
        self.slab.find(id.0)
    }

    /// The live order of this account with this client's number.
    #[inline]
    pub(super) fn find_by_client(&self, account: u32, client: ClientOrderId) -> Option<u32> {
        if client.0 == 0 {
            return None;
        }
        self.by_client.find(self.client_hash(account, client.0), |order| {
            self.cold[order as usize].client == client.0 && self.hot(order).account == account
        })
    }

    #[inline]
    fn client_hash(&self, account: u32, client: u64) -> u32 {
        self.slab.hasher().own(u64::from(account), client)
    }

    /// Gives an order a slot and enters it everywhere but in its level's queue.
    #[inline]
    pub(super) fn open(&mut self, new: &NewResting) -> u32 {
        let list = &self.lists[new.account as usize];
        let older = list.newest;
        let tracked = list.tracked != 0 && self.is_limited((new.account, new.instrument));
        let cold = Cold {
            quantity: new.quantity,
            client: new.client,
            session: new.session,
            newer: NONE,
            older,
            place: u32::from(matches!(new.side, Side::Sell))
                | new.instrument << 1
                | (new.self_trade as u32) << SELF_TRADE_SHIFT
                | if new.terms.is_some() { HAS_TERMS } else { 0 }
                | if tracked { TRACKED } else { 0 },
        };
        let order = self.slab.open(new.id, new.leaves, new.account);
        if let Some(terms) = &new.terms {
            self.open_terms(order, new.id, terms);
        }
        if order as usize == self.cold.len() {
            self.cold.push(cold);
        } else {
            self.cold[order as usize] = cold;
        }
        let list = &mut self.lists[new.account as usize];
        list.newest = order;
        list.count += 1;
        if older == NONE {
            list.oldest = order;
        } else {
            self.cold[older as usize].newer = order;
        }
        self.of_session[new.session as usize] += 1;
        if new.client != 0 {
            self.by_client.insert(self.client_hash(new.account, new.client), order);
        }
        if tracked {
            self.recount(order, new.leaves);
        }
        order
    }

    #[cold]
    #[inline(never)]
    fn is_limited(&self, place: Place) -> bool {
        self.exposure.get(place).is_some()
    }

    #[cold]
    fn open_terms(&mut self, order: u32, id: u64, terms: &Terms) {
        self.terms[order as usize] = terms.to_words();
        self.terms_count += 1;
        if terms.expires != 0 {
            self.expiries.insert(terms.expires, id, order);
        }
    }

    #[cold]
    #[inline(never)]
    fn close_special(&mut self, order: u32) {
        let cold = self.cold[order as usize];
        if order == self.mark {
            self.set_mark(cold.newer);
        }
        if cold.is_tracked() {
            self.recount(order, 0);
        }
        if cold.has_terms() {
            self.terms_count -= 1;
            if self.terms(order).expires != 0 {
                self.expiries.remove(order);
            }
        }
    }

    /// Takes an order, which is in no queue any more, out of everything and frees its slot.
    #[inline]
    pub(super) fn close(&mut self, order: u32) {
        let Hot { account, .. } = *self.hot(order);
        let cold = &self.cold[order as usize];
        let Cold { client, session, newer, older, .. } = *cold;
        if cold.is_special() {
            self.close_special(order);
        }
        self.of_session[session as usize] -= 1;
        self.slab.close(order);
        if client != 0 {
            self.by_client.remove(self.client_hash(account, client), order);
        }
        let list = &mut self.lists[account as usize];
        list.count -= 1;
        if newer == NONE {
            list.newest = older;
        } else {
            self.cold[newer as usize].older = older;
        }
        if older == NONE {
            list.oldest = newer;
        } else {
            self.cold[older as usize].newer = newer;
        }
    }

    /// The order that a walk looks at next, or [`NONE`]: where it ends, the account's next newer one.
    #[inline]
    pub(super) const fn mark(&self) -> u32 {
        self.mark
    }

    /// Moves the walk.
    #[inline]
    pub(super) fn set_mark(&mut self, order: u32) {
        if self.mark != NONE {
            self.cold[self.mark as usize].place &= !MARKED;
        }
        if order != NONE {
            self.cold[order as usize].place |= MARKED;
        }
        self.mark = order;
    }

    /// An account's oldest live order, or [`NONE`].
    #[inline]
    pub(super) fn oldest(&self, account: u32) -> u32 {
        self.lists[account as usize].oldest
    }

    /// Packs an order of this price. Its instrument and side are told by where it stands.
    pub(super) fn pack(&self, order: u32, price: Price, pack: &mut Pack) {
        let Hot { id, leaves, next: _, prev: _, level: _, account } = self.hot(order);
        let Cold { quantity, client, session, newer: _, older: _, place: _ } = self.cold(order);
        pack.u64(*id);
        pack.u64(*client);
        pack.i64(price.0);
        pack.i64(*quantity);
        pack.i64(*leaves + self.hidden(order));
        pack.u32(*account);
        pack.u32(*session);
    }

    /// Live orders of an account with ids above `after`, oldest first.
    ///
    /// Where `after` is no longer live the list is walked from both of its ends at once, at most
    /// [`PAGE_STEPS_MAX`] orders from each; `None` where that did not find the place.
    pub(super) fn of_account(
        &self,
        account: u32,
        after: OrderId,
    ) -> Option<impl Iterator<Item = u32>> {
        let mut at = match self.find(after) {
            Some(order) if self.hot(order).account == account => self.cold(order).newer,
            _ => self.first_behind(account, after)?,
        };
        Some(std::iter::from_fn(move || {
            let order = at;
            if order == NONE {
                return None;
            }
            at = self.cold(order).newer;
            Some(order)
        }))
    }

    /// The account's oldest order with an id above `after`, or [`NONE`].
    fn first_behind(&self, account: u32, after: OrderId) -> Option<u32> {
        let list = &self.lists[account as usize];
        let (mut older, mut newer, mut behind) = (list.oldest, list.newest, NONE);
        for _ in 0..PAGE_STEPS_MAX {
            if older == NONE || self.hot(older).id > after.0 {
                return Some(older);
            }
            if self.hot(newer).id <= after.0 {
                return Some(behind);
            }
            behind = newer;
            (older, newer) = (self.cold(older).newer, self.cold(newer).older);
        }
        None
    }

    /// Checks slab, indexes and lists against each other.
    pub(super) fn check(&self) {
        self.slab.check();
        assert!(self.slab.slot_count() == self.cold.len());
        let (mut listed, mut named, mut termed, mut timed) = (0, 0, 0, 0);
        let mut of_session = vec![0; self.of_session.len()];
        let mut open: BTreeMap<Place, (i64, i64)> =
            self.exposure.rows().map(|(place, _)| (place, (0, 0))).collect();
        for account in 0..self.lists.len() as u32 {
            let (mut older, mut last_id, mut count) = (NONE, 0, 0);
            let all = self.of_account(account, OrderId(0)).expect("it begins with the oldest");
            for order in all {
                let (hot, cold) = (self.hot(order), self.cold(order));
                assert!(hot.account == account);
                assert!(hot.id > last_id, "an account's list is in order of id");
                assert!(cold.older == older);
                assert!(self.leaves(order) <= cold.quantity);
                of_session[cold.session as usize] += 1;
                let terms = self.terms(order);
                assert!(terms.hidden == 0 || (terms.hidden > 0 && hot.leaves <= terms.display));
                assert!((cold.place & MARKED != 0) == (self.mark == order));
                termed += usize::from(cold.has_terms());
                timed += usize::from(terms.expires != 0);
                if cold.client != 0 {
                    named += 1;
                    let found = self.find_by_client(account, ClientOrderId(cold.client));
                    assert!(found == Some(order), "a client's number names one live order");
                }
                let counted = open.get_mut(&(account, cold.instrument()));
                assert!(cold.is_tracked() == counted.is_some());
                match (counted, cold.side()) {
                    (Some((buy, _)), Side::Buy) => *buy += self.leaves(order),
                    (Some((_, sell)), Side::Sell) => *sell += self.leaves(order),
                    (None, _) => {}
                }
                (older, last_id) = (order, hot.id);
                listed += 1;
                count += 1;
            }
            let list = &self.lists[account as usize];
            assert!(list.newest == older);
            assert!(list.count == count);
            let tracked = self.exposure.rows().filter(|(place, _)| place.0 == account);
            assert!(list.tracked as usize == tracked.count());
        }
        assert!(of_session == self.of_session, "a session's live orders are counted");
        for (place, row) in self.exposure.rows() {
            let counted = (row.open_buy, row.open_sell);
            assert!(counted == open[&place], "what is open is what live orders have left");
        }
        assert!(listed == self.count(), "every live order is in its account's list");
        assert!(self.by_client.count() == named);
        self.by_client.check();
        assert!(self.terms_count == termed);
        assert!(self.expiries.count() == timed);
        self.expiries.check(|order| (self.hot(order).id, self.terms(order).expires));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resting(id: u64, account: u32, client: u64) -> NewResting {
        let (instrument, side, session) = (0, Side::Sell, 0);
        let (self_trade, terms) = (SelfTrade::Allow, None);
        let (quantity, leaves) = (5, 5);
        NewResting {
            id,
            account,
            instrument,
            side,
            quantity,
            leaves,
            client,
            session,
            self_trade,
            terms,
        }
    }

    fn orders() -> Orders {
        let mut orders = Orders::with_capacity(4, Hasher::new(3));
        orders.add_account();
        orders.add_account();
        orders
    }

    #[test]
    fn a_closed_order_is_found_by_neither_of_its_names() {
        let mut orders = orders();
        let first = orders.open(&resting(10, 0, 7));
        let second = orders.open(&resting(11, 1, 7));
        assert_eq!(orders.find_by_client(0, ClientOrderId(7)), Some(first));
        assert_eq!(orders.find_by_client(1, ClientOrderId(7)), Some(second));
        orders.close(first);
        assert_eq!(orders.find(OrderId(10)), None);
        assert_eq!(orders.find_by_client(0, ClientOrderId(7)), None);
        assert_eq!(orders.find_by_client(1, ClientOrderId(7)), Some(second));
        orders.check();
    }

    #[test]
    fn a_reused_slot_answers_only_to_its_new_order() {
        let mut orders = orders();
        let first = orders.open(&resting(10, 0, 7));
        orders.close(first);
        let second = orders.open(&resting(12, 0, 8));
        assert_eq!(first, second);
        assert_eq!(orders.find(OrderId(10)), None);
        assert_eq!(orders.find(OrderId(12)), Some(second));
        assert_eq!(orders.find_by_client(0, ClientOrderId(7)), None);
        orders.check();
    }

    #[test]
    fn the_id_zero_names_no_order_even_beside_free_slots() {
        let mut orders = orders();
        let first = orders.open(&resting(10, 0, 0));
        orders.close(first);
        assert_eq!(orders.find(OrderId(0)), None);
        assert_eq!(orders.find_by_client(0, ClientOrderId(0)), None);
    }

    #[test]
    fn an_accounts_list_continues_after_an_id_that_is_gone() {
        let mut orders = orders();
        let handles: Vec<u32> =
            (10..14).map(|id| orders.open(&resting(id, u32::from(id == 12), 0))).collect();
        orders.close(handles[0]);
        let ids = |after| {
            let page = orders.of_account(0, OrderId(after)).expect("the list is short");
            page.map(|order| orders.hot(order).id).collect()
        };
        let (all, rest): (Vec<u64>, Vec<u64>) = (ids(0), ids(11));
        assert_eq!((all, rest), (vec![11, 13], vec![13]));
        // 10 is gone, 12 is another account's: both are only a place in the order of ids.
        let (after_gone, after_other): (Vec<u64>, Vec<u64>) = (ids(10), ids(12));
        assert_eq!((after_gone, after_other), (vec![11, 13], vec![13]));
        orders.check();
    }
}
