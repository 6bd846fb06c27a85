//! The state taken apart into packed parts, and put together again: what a snapshot holds.
//!
//! Invariants:
//! - The same state gives the same bytes, whatever slots, tables and history of deletions it has:
//!   only what the state hash tells is packed, everything else is made again from it.
//! - Whatever the bytes are, a part is an exchange's or an error, and never a panic: all that
//!   [`Exchange::check`] asserts is checked before it is relied on.
//! - No field is forgotten: structures are taken apart without a rest.

use super::book::Book;
use super::instrument::Rules;
use super::level::NONE;
use super::order::NewResting;
use super::special::{ensure_in_order, make_special};
use super::{DefineError, Exchange};
use crate::admin::{AdminCommand, Controls};
use crate::event::RejectReason;
use crate::genesis::{Account, GenesisItem};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{AccountId, ClientOrderId, Lane, Price, SelfTrade, Sequence, Side};
use std::sync::Arc;

/// Bytes of a live order in [`Part::Books`].
pub const ORDER_BYTES: usize = 48;
/// Bytes of an instrument's head in [`Part::Books`].
const BOOK_BYTES: usize = 24;

/// A part of the state. They are read in this order: each names only what stands in those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Settings, assets, instruments.
    Definitions,
    /// Accounts and their balances.
    Accounts,
    /// Keys and what they may do now.
    Keys,
    /// The last command applied, and the sequenced settings.
    Controls,
    /// Sessions and their outbound numbers.
    Sessions,
    /// Registered schemas.
    Schemas,
    /// Last prices and live orders, in the order of matching.
    Books,
    /// What time brings: ends of sessions' graces, and mass cancels under way. No bytes where there is
    /// none of it.
    Passing,
}

impl Exchange {
    /// Packs a part.
    pub fn pack(&self, part: Part, pack: &mut Pack) {
        let Exchange {
            settings,
            // Made from the settings.
            version: _,
            assets,
            instruments,
            keys,
            // Made from the keys.
            permissions: _,
            controls,
            // Made from the instruments.
            rules: _,
            books,
            // Stand behind the books.
            stops: _,
            // Made from the orders.
            levels: _,
            orders: _,
            accounts,
            // Packed with the accounts.
            owners: _,
            risk: _,
            sessions,
            // Packed with the mark of the orders.
            passing: _,
            schemas,
            sequence,
        } = self;
        match part {
            Part::Definitions => {
                let settings = settings.iter().cloned().map(GenesisItem::Settings);
                let assets = assets.iter().cloned().map(GenesisItem::Asset);
                let instruments = instruments.iter().cloned().map(GenesisItem::Instrument);
                pack_items(settings.chain(assets).chain(instruments), pack);
            }
            Part::Accounts => {
                accounts.pack(pack);
                self.pack_unusual(pack);
            }
            Part::Keys => pack_items(keys.iter().cloned().map(GenesisItem::Key), pack),
            Part::Controls => {
                pack.u64(sequence.0);
                let Controls { bulk_share, max_batch } = controls;
                pack.u32(*bulk_share);
                for max_batch in max_batch {
                    pack.u8(u8::from(max_batch.is_some()));
                    pack.u32(max_batch.unwrap_or(0));
                }
            }
            Part::Sessions => sessions.pack(pack),
            Part::Schemas => schemas.pack(pack),
            Part::Books => {
                pack.count(books.len());
                let mut specials = Vec::new();
                books.iter().for_each(|book| self.pack_book(book, pack, &mut specials));
                self.pack_specials(&specials, pack);
            }
            Part::Passing => self.pack_passing(pack),
        }
    }

    /// Packs a book; its special orders are noted.
    fn pack_book(&self, book: &Book, pack: &mut Pack, specials: &mut Vec<u32>) {
        pack.i64(book.last_price.0);
        for side in [Side::Buy, Side::Sell] {
            let count = book.levels(&self.levels, side).map(|(_, level)| level.count as usize);
            pack.count(count.sum());
        }
        for side in [Side::Buy, Side::Sell] {
            for (price, level) in book.levels(&self.levels, side) {
                let mut order = level.head;
                while order != NONE {
                    self.orders.pack(order, price, pack);
                    if self.has_more_to_tell(order) {
                        specials.push(order);
                    }
                    order = self.orders.hot(order).next;
                }
            }
        }
    }

    /// Takes in a part; those before it are there.
    ///
    /// # Errors
    /// [`Unfit`]; the exchange is of no use then.
    pub fn unpack(&mut self, part: Part, unpack: &mut Unpack<'_>) -> Result<(), Unfit> {
        match part {
            Part::Definitions => {
                let kinds = |item: &GenesisItem| {
                    use GenesisItem::{Asset, Instrument, Settings};
                    matches!(item, Settings(_) | Asset(_) | Instrument(_))
                };
                unpack_items(unpack, |item| self.take_in(item, kinds))
            }
            Part::Accounts => {
                let accounts = unpack.count(8)?;
                ensure(accounts > 0, "the liability account is missing")?;
                let first = AccountId(unpack.u64()?);
                ensure(first == AccountId::LIABILITY, "the first account is not the liability's")?;
                for _ in 1..accounts {
                    let account = Account::new(AccountId(unpack.u64()?));
                    self.define(&GenesisItem::Account(account)).map_err(refused)?;
                }
                self.accounts.unpack_balances(unpack)?;
                self.unpack_unusual(unpack)
            }
            Part::Keys => {
                let kinds = |item: &GenesisItem| matches!(item, GenesisItem::Key(_));
                unpack_items(unpack, |item| self.take_in(item, kinds))
            }
            Part::Controls => {
                self.sequence = Sequence(unpack.u64()?);
                self.controls = unpack_controls(unpack)?;
                Ok(())
            }
            Part::Sessions => {
                self.sessions.unpack(unpack)?;
                self.orders.set_sessions(self.sessions.all().len());
                Ok(())
            }
            Part::Schemas => {
                let sequence = self.sequence;
                Arc::make_mut(&mut self.schemas).unpack(unpack, sequence)
            }
            Part::Books => self.unpack_books(unpack),
            Part::Passing => self.unpack_passing(unpack),
        }
    }

    fn take_in(
        &mut self,
        item: &GenesisItem,
        belongs: impl FnOnce(&GenesisItem) -> bool,
    ) -> Result<(), Unfit> {
        ensure(belongs(item), "an item belongs to another part")?;
        self.define(item).map_err(refused)
    }

    fn unpack_books(&mut self, unpack: &mut Unpack<'_>) -> Result<(), Unfit> {
        let books = unpack.count(BOOK_BYTES)?;
        ensure(books == self.books.len(), "there are not as many books as instruments")?;
        let mut rows = Vec::new();
        for instrument in 0..books {
            self.unpack_book(instrument, unpack, &mut rows)?;
        }
        let (mut specials, stops) = self.unpack_specials(unpack)?;
        for row in &mut rows {
            if let Some(special) = specials.remove(&row.order.id) {
                make_special(row, special)?;
            }
        }
        ensure(specials.is_empty(), "what makes an order special is of none")?;
        ensure_in_order(&stops)?;
        let resting = rows.len();
        let (stop_prices, stop_rows): (Vec<Price>, Vec<Row>) =
            stops.into_iter().map(|stop| (stop.stop, stop.row)).unzip();
        rows.extend(stop_rows);
        ensure(self.holds_are_frozen(&rows)?, "what is frozen is not what live orders hold")?;
        // Each account's list is in the order of ids, which is that in which orders were entered.
        let mut by_id: Vec<usize> = (0..rows.len()).collect();
        by_id.sort_unstable_by_key(|&at| rows[at].order.id);
        let mut handles = vec![NONE; rows.len()];
        let mut last = 0;
        for at in by_id {
            let order = &rows[at].order;
            ensure(order.id > last && order.id <= self.sequence.0, "an order's id cannot be")?;
            ensure(!self.orders.is_full(), "there are more orders than orders_max")?;
            let client = ClientOrderId(order.client);
            let other = self.orders.find_by_client(order.account, client);
            ensure(other.is_none(), "a client's number names two live orders")?;
            last = order.id;
            handles[at] = self.orders.open(order);
        }
        for (row, &order) in rows.iter().zip(&handles[..resting]) {
            let NewResting { instrument, side, leaves, terms, .. } = row.order;
            self.orders.hot_mut(order).leaves = leaves - terms.map_or(0, |terms| terms.hidden);
            let book = &mut self.books[instrument as usize];
            book.rest(&mut self.levels, &mut self.orders, side, row.price, order);
        }
        let stops = rows[resting..].iter().zip(&handles[resting..]).zip(stop_prices);
        for ((row, &order), stop) in stops {
            let NewResting { instrument, side, .. } = row.order;
            let stops = &mut self.stops[instrument as usize];
            ensure(!stops.is_full(), "too many stops wait")?;
            stops.wait(&mut self.levels, &mut self.orders, side, stop, order);
        }
        Ok(())
    }

    /// Reads an instrument's orders; nothing rests yet.
    fn unpack_book(
        &mut self,
        instrument: usize,
        unpack: &mut Unpack<'_>,
        rows: &mut Vec<Row>,
    ) -> Result<(), Unfit> {
        let rules = self.rules[instrument];
        let last_price = Price(unpack.i64()?);
        ensure(last_price.0 == 0 || rules.admits(last_price), "the last price cannot be")?;
        self.books[instrument].last_price = last_price;
        let counts = [unpack.count(ORDER_BYTES)?, unpack.count(ORDER_BYTES)?];
        let mut best = [None; 2];
        for (at, side) in [Side::Buy, Side::Sell].into_iter().enumerate() {
            let mut before: Option<Price> = None;
            for _ in 0..counts[at] {
                let row = Row::unpack(instrument as u32, side, unpack)?;
                self.judge_row(&row, &rules)?;
                let in_order = before.is_none_or(|before| match side {
                    Side::Buy => row.price <= before,
                    Side::Sell => row.price >= before,
                });
                ensure(in_order, "orders are not in the order of matching")?;
                before = Some(row.price);
                best[at].get_or_insert(row.price);
                rows.push(row);
            }
        }
        let crossed = matches!(best, [Some(bid), Some(ask)] if bid >= ask);
        ensure(!crossed, "the book is locked or crossed")
    }

    pub(super) fn judge_row(&self, row: &Row, rules: &Rules) -> Result<(), Unfit> {
        let Row { order, price } = row;
        let account = order.account as usize;
        ensure(
            account > 0 && account < self.accounts.ids().len(),
            "an order's account is unknown",
        )?;
        let session = order.session as usize;
        ensure(session <= self.sessions.all().len(), "an order's session is unknown")?;
        ensure(rules.allows(*price, order.quantity), "an order's price or quantity cannot be")?;
        rules.hold(order.side, *price, order.leaves).map_err(broken)?;
        ensure(order.leaves > 0, "an order has nothing left")?;
        ensure(order.leaves <= order.quantity, "an order has more left than it had")
    }

    /// True where exactly what these orders hold is frozen. Balances sum to zero, so what all orders
    /// of an instrument's side have left fits a level then.
    fn holds_are_frozen(&self, rows: &[Row]) -> Result<bool, Unfit> {
        let mut held = vec![0i64; self.accounts.cell_count()];
        for Row { order, price } in rows {
            let rules = &self.rules[order.instrument as usize];
            let cell = self.accounts.cell(order.account, rules.held_asset(order.side)) as usize;
            let hold = rules.rest_of_hold(order.side, *price, order.leaves);
            held[cell] =
                held[cell].checked_add(hold).ok_or(Unfit::Wrong("orders hold too much"))?;
        }
        Ok(self.accounts.freezes(&held))
    }
}

/// An order and its price.
pub(super) struct Row {
    pub(super) order: NewResting,
    pub(super) price: Price,
}

impl Row {
    /// Reads what [`Orders::pack`](super::order::Orders::pack) has written.
    pub(super) fn unpack(
        instrument: u32,
        side: Side,
        unpack: &mut Unpack<'_>,
    ) -> Result<Row, Unfit> {
        let (id, client) = (unpack.u64()?, unpack.u64()?);
        let (price, quantity, leaves) = (Price(unpack.i64()?), unpack.i64()?, unpack.i64()?);
        let (account, session) = (unpack.u32()?, unpack.u32()?);
        let (self_trade, terms) = (SelfTrade::Allow, None);
        let order = NewResting {
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
        };
        Ok(Row { order, price })
    }
}

/// Packs items of genesis, each as its JSON.
pub fn pack_items(items: impl IntoIterator<Item = GenesisItem>, pack: &mut Pack) {
    let items: Vec<GenesisItem> = items.into_iter().collect();
    pack.count(items.len());
    items.iter().for_each(|item| pack.text(&item.encode()));
}

/// Reads items that were packed.
///
/// # Errors
/// [`Unfit`], that of `each` too.
pub fn unpack_items(
    unpack: &mut Unpack<'_>,
    mut each: impl FnMut(&GenesisItem) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    for _ in 0..unpack.count(8)? {
        let item = GenesisItem::decode(unpack.text()?);
        each(&item.map_err(|error| Unfit::Refused(error.to_string()))?)?;
    }
    Ok(())
}

fn unpack_controls(unpack: &mut Unpack<'_>) -> Result<Controls, Unfit> {
    let mut controls = Controls { bulk_share: unpack.u32()?, ..Controls::default() };
    check(&AdminCommand::SetBulkShare { one_in: controls.bulk_share })?;
    for lane in Lane::ALL {
        let (is_set, max_batch) = (unpack.bool()?, unpack.u32()?);
        if is_set {
            check(&AdminCommand::SetLane { lane: *lane, max_batch })?;
            controls.max_batch[*lane as usize] = Some(max_batch);
        } else {
            ensure(max_batch == 0, "a bound that is not set has a value")?;
        }
    }
    Ok(controls)
}

fn check(command: &AdminCommand) -> Result<(), Unfit> {
    command.check().map_err(|error| Unfit::Refused(error.to_string()))
}

fn refused(error: DefineError) -> Unfit {
    Unfit::Refused(error.to_string())
}

fn broken(reason: RejectReason) -> Unfit {
    Unfit::Refused(format!("an order would be refused: {}", reason.text()))
}
