//! Questions about the state. They change nothing, and answers have bounded size.

use super::Exchange;
use super::accounts::LIABILITY;
use super::level::NONE;
use super::order::OrderRow;
use super::sessions::Session;
use super::{Permissions, book::Book};
use crate::event::{Balance, RejectReason};
use crate::genesis::{Asset, Instrument, Settings};
use crate::limits::QUERY_ROWS_MAX;
use crate::types::{
    AccountId, AssetId, ClientOrderId, InstrumentId, OrderId, Price, Quantity, Sequence, SessionId,
    Side, TimeNs,
};

/// A level of a book, or one of its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookRow {
    /// Buy or sell.
    pub side: Side,
    /// Price of the level.
    pub price: Price,
    /// Open quantity, of the level or of the order.
    pub quantity: Quantity,
    /// Orders of the level; 1 where the row is an order.
    pub orders: u32,
    /// The order; 0 where the row is a level.
    pub order_id: OrderId,
}

/// What a book's answer says beside its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookSummary {
    /// Price of the last trade; 0 before the first.
    pub last_price: Price,
    /// The book holds more than the rows show.
    pub more: bool,
}

impl Exchange {
    /// A book: bids best first, then asks best first, at most `depth` levels a side; 0 for as many
    /// as fit.
    ///
    /// With `orders` a row is an order, in the order of matching, else a level. A side gets at most
    /// [`QUERY_ROWS_MAX`] levels or half as many orders. `rows` is emptied first.
    ///
    /// # Errors
    /// [`RejectReason::UnknownInstrument`].
    pub fn book(
        &self,
        instrument: InstrumentId,
        depth: u16,
        orders: bool,
        rows: &mut Vec<BookRow>,
    ) -> Result<BookSummary, RejectReason> {
        rows.clear();
        let book = &self.books[self.instrument_index(instrument)? as usize];
        let depth = if depth == 0 { usize::MAX } else { usize::from(depth) };
        let mut more = false;
        for side in [Side::Buy, Side::Sell] {
            more |= if orders {
                self.order_rows(book, side, depth, rows)
            } else {
                self.level_rows(book, side, depth, rows)
            };
        }
        Ok(BookSummary { last_price: book.last_price, more })
    }

    /// Adds a side's levels; true where there are more.
    fn level_rows(&self, book: &Book, side: Side, depth: usize, rows: &mut Vec<BookRow>) -> bool {
        let mut levels = book.levels(&self.levels, side);
        for (price, level) in levels.by_ref().take(depth.min(QUERY_ROWS_MAX)) {
            rows.push(BookRow {
                side,
                price,
                quantity: Quantity(level.open),
                orders: level.count,
                order_id: OrderId(0),
            });
        }
        levels.next().is_some()
    }

    /// Adds the orders of a side's levels; true where there are more.
    fn order_rows(&self, book: &Book, side: Side, depth: usize, rows: &mut Vec<BookRow>) -> bool {
        let full = rows.len() + QUERY_ROWS_MAX / 2;
        let mut levels = book.levels(&self.levels, side);
        for (price, level) in levels.by_ref().take(depth) {
            let mut order = level.head;
            while order != NONE {
                if rows.len() == full {
                    return true;
                }
                let hot = self.orders.hot(order);
                let quantity = Quantity(hot.leaves);
                let order_id = OrderId(hot.id);
                rows.push(BookRow { side, price, quantity, orders: 1, order_id });
                order = hot.next;
            }
        }
        levels.next().is_some()
    }

    /// An account's balances and live orders, a page of each; true where more orders follow, to be
    /// asked for with the last order's id as `after`.
    ///
    /// Balances that are not zero come with the first page (`after` 0), in order of asset, at most
    /// [`QUERY_ROWS_MAX`] of them; orders in order of id. Both vectors are emptied first.
    ///
    /// # Errors
    /// [`RejectReason::UnknownAccount`]; [`RejectReason::UnknownOrder`] where `after` is no longer live
    /// and lies so deep in a long list that its place is not found: ask behind a live order.
    pub fn account(
        &self,
        account: AccountId,
        after: OrderId,
        balances: &mut Vec<Balance>,
        orders: &mut Vec<OrderRow>,
    ) -> Result<bool, RejectReason> {
        balances.clear();
        orders.clear();
        let account = self.accounts.find(account).ok_or(RejectReason::UnknownAccount)?;
        if after.0 == 0 {
            let all = (0..self.assets.len() as u32)
                .map(|asset| self.accounts.balance(self.accounts.cell(account, asset)));
            let known = all.filter(|balance| balance.available.0 != 0 || balance.frozen.0 != 0);
            balances.extend(known.take(QUERY_ROWS_MAX));
        }
        let live = self.orders.of_account(account, after);
        let mut live = live.ok_or(RejectReason::UnknownOrder)?;
        orders.extend(live.by_ref().take(QUERY_ROWS_MAX).map(|order| self.row(order)));
        Ok(live.next().is_some())
    }

    /// A live order.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<OrderRow> {
        self.orders.find(id).map(|order| self.row(order))
    }

    /// The live order of an account with this client's number.
    #[must_use]
    pub fn order_by_client(&self, account: AccountId, client: ClientOrderId) -> Option<OrderRow> {
        let account = self.accounts.find(account)?;
        self.orders.find_by_client(account, client).map(|order| self.row(order))
    }

    pub(super) fn row(&self, order: u32) -> OrderRow {
        let (hot, cold) = (self.orders.hot(order), self.orders.cold(order));
        let (leaves, terms) = (self.orders.leaves(order), self.orders.terms(order));
        OrderRow {
            order_id: OrderId(hot.id),
            client_order_id: ClientOrderId(cold.client),
            account: self.accounts.id(hot.account),
            session: SessionId(cold.session),
            instrument: InstrumentId(cold.instrument() + 1),
            side: cold.side(),
            price: self.price_of(order),
            quantity: Quantity(cold.quantity),
            filled: Quantity(cold.quantity - leaves),
            leaves: Quantity(leaves),
            stop_price: if terms.waits() { self.levels.at(hot.level).price } else { Price(0) },
            display_quantity: Quantity(terms.display),
            expires: TimeNs(terms.expires),
        }
    }

    /// A balance.
    #[must_use]
    pub fn balance(&self, account: AccountId, asset: AssetId) -> Option<Balance> {
        let account = self.accounts.find(account)?;
        let asset = self.asset_index(asset).ok()?;
        Some(self.accounts.balance(self.accounts.cell(account, asset)))
    }

    /// Best price of a side and the quantity open there.
    #[must_use]
    pub fn best(&self, instrument: InstrumentId, side: Side) -> Option<(Price, Quantity)> {
        let book = &self.books[self.instrument_index(instrument).ok()? as usize];
        let (price, level) = book.levels(&self.levels, side).next()?;
        Some((price, Quantity(level.open)))
    }

    /// Price of an instrument's last trade.
    #[must_use]
    pub fn last_price(&self, instrument: InstrumentId) -> Option<Price> {
        let price = self.books[self.instrument_index(instrument).ok()? as usize].last_price;
        (price.0 != 0).then_some(price)
    }

    /// A session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// All sessions, in order of number, from 1.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        self.sessions.all()
    }

    /// What keys may do.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The settings of genesis, once they are defined.
    #[must_use]
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// All assets, in order of number, from 1.
    #[must_use]
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// All instruments, in order of number, from 1.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// All accounts that genesis defined, in order of definition.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.accounts.ids().skip(LIABILITY as usize + 1)
    }

    /// Live orders in all books.
    #[must_use]
    pub fn order_count(&self) -> usize {
        self.orders.count()
    }

    /// The last command applied.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }
}
