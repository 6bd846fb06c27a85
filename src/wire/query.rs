//! Answers to queries: books, accounts, reference data, limits.
//!
//! Invariant: no answer is longer than [`FRAME_MAX_BYTES`]; what does not fit is left out and
//! `more` says so.

use crate::command::PayloadError;
use crate::genesis::{Asset, Instrument};
use crate::limits::{FRAME_MAX_BYTES, HEADER_SIZE, QUERY_ROWS_MAX};
use crate::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderId, Price, Quantity, SelfTrade,
    Sequence, Side, TimeNs,
};
use crate::wire::fields::{expect_size, messages, split};
use crate::wire::frame::FrameWriter;
use crate::wire::header::EXTENSION_SIZE;
use crate::wire::integrity;
use crate::wire::message::{Rows, head, text};
use crate::wire::segments::descriptor_size;
use serde::{Deserialize, Serialize};
use std::ops::Range;

messages! {
    /// Layouts of the answers to queries.
    LAYOUTS:
    /// A book; `rows` rows of [`BookLevel`] or [`BookOrder`] follow, bids and then asks, the best
    /// first.
    BookHead = 134, "book-answer" {
        /// The book is as this command left it.
        sequence: Sequence,
        /// Which.
        instrument: InstrumentId,
        /// Price of the last trade; 0 for none.
        last_price: Price,
        /// There are more levels or orders than were asked for or fit.
        more: bool,
        /// The rows are single orders.
        orders: bool,
        /// How many rows follow.
        rows: u16,
    }
    /// An account; rows of [`BalanceRow`] and then of [`OrderRow`] follow.
    AccountHead = 135, "account-answer" {
        /// The account is as this command left it.
        sequence: Sequence,
        /// Which.
        account: AccountId,
        /// There are more orders: ask again after the last one.
        more: bool,
        /// How many balances follow.
        balances: u16,
        /// How many orders follow.
        orders: u16,
    }
    /// Assets and instruments as JSON text, which follows.
    ReferenceHead = 136, "reference-answer" {
        /// There are more: ask again after the last ones.
        more: bool,
        /// Bytes of text.
        text_size: u16,
    }
    /// Limits; rows of [`CollarRow`], [`LimitsRow`], [`RestrictedRow`] and [`PositionLimitRow`] follow.
    LimitsHead = 143, "limits-answer" {
        /// The limits are as this command left them.
        sequence: Sequence,
        /// There may be more: ask again after the two that follow.
        more: bool,
        /// Where the next page begins: after this account.
        after_account: AccountId,
        /// And there after this instrument.
        after_instrument: InstrumentId,
        /// How many collars follow.
        collars: u16,
        /// How many accounts follow.
        accounts: u16,
        /// How many restricted instruments follow.
        restricted: u16,
        /// How many positions follow.
        positions: u16,
    }
}

messages! {
    /// Layouts of the rows in answers to queries.
    ROWS:
    /// A level of a book.
    BookLevel = 134, "book-answer: level" {
        /// Which side.
        side: Side,
        /// Its price.
        price: Price,
        /// Open quantity of all its orders.
        quantity: Quantity,
        /// How many orders there are.
        orders: u32,
    }
    /// An order of a book.
    BookOrder = 134, "book-answer: order" {
        /// Which side.
        side: Side,
        /// Its price.
        price: Price,
        /// Its open quantity.
        quantity: Quantity,
        /// The order.
        order_id: OrderId,
    }
    /// A balance of an account.
    BalanceRow = 135, "account-answer: balance" {
        /// Which asset.
        asset: AssetId,
        /// What the account can use.
        available: Amount,
        /// What its orders hold.
        frozen: Amount,
    }
    /// A live order of an account.
    OrderRow = 135, "account-answer: order" {
        /// The order.
        order_id: OrderId,
        /// The client's number for it.
        client_order_id: ClientOrderId,
        /// What is traded.
        instrument: InstrumentId,
        /// Buy or sell.
        side: Side,
        /// Limit price.
        price: Price,
        /// Whole quantity.
        quantity: Quantity,
        /// Filled quantity.
        filled: Quantity,
        /// Open quantity, what is hidden included.
        leaves: Quantity,
        /// Stop price of a stop that waits; else 0.
        stop_price: Price,
        /// What an iceberg shows at a time; 0 for all.
        display_quantity: Quantity,
        /// The time at which it ends, nanoseconds since 1970; 0 for never.
        expires: TimeNs,
    }
    /// A collar around an instrument's last price.
    CollarRow = 143, "limits-answer: collar" {
        /// Of what.
        instrument: InstrumentId,
        /// In hundredths of a percent of the last price.
        collar_bps: u32,
    }
    /// What an account's orders may be, and whose it is; 0 is no limit.
    LimitsRow = 143, "limits-answer: account" {
        /// Which.
        account: AccountId,
        /// Accounts of one group have one owner; 0 is no group.
        group: u32,
        /// What happens instead of a trade between orders of one owner, where the incoming one does not
        /// say.
        self_trade: SelfTrade,
        /// Largest order.
        quantity_max: Quantity,
        /// The most that price times quantity of an order may be, in the smallest unit of what pays.
        notional_max: Amount,
        /// Live orders.
        open_orders_max: u32,
        /// New orders and replaces in a second.
        rate_per_s: u32,
        /// New orders and replaces at once; 0 for as many as in a second.
        rate_burst: u32,
        /// How many of the restricted instruments are its own, after those of the accounts before.
        restricted: u8,
    }
    /// An instrument in which an account may enter and replace nothing.
    RestrictedRow = 143, "limits-answer: restricted" {
        /// Which.
        instrument: InstrumentId,
    }
    /// A limited position; 0 is no limit.
    PositionLimitRow = 143, "limits-answer: position" {
        /// Whose.
        account: AccountId,
        /// Of what.
        instrument: InstrumentId,
        /// How far from 0 it could be with all live orders of a side filled.
        net_max: Quantity,
        /// How much it and all live orders may be together.
        gross_max: Quantity,
        /// Bought less sold.
        position: Quantity,
        /// What live orders could buy.
        open_buy: Quantity,
        /// What live orders could sell.
        open_sell: Quantity,
    }
}

/// Bytes of the longest payload in a frame without metadata.
pub(crate) const PAYLOAD_MAX: usize =
    FRAME_MAX_BYTES - HEADER_SIZE - EXTENSION_SIZE - descriptor_size(2) - integrity::UNSIGNED_SIZE;

const _: () = assert!(BookHead::SIZE + QUERY_ROWS_MAX * BookOrder::SIZE <= PAYLOAD_MAX);
const _: () = assert!(AccountHead::SIZE + QUERY_ROWS_MAX * BalanceRow::SIZE <= PAYLOAD_MAX / 2);

/// The rows of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookRows<'a> {
    /// Levels.
    Levels(Rows<'a, BookLevel>),
    /// Single orders.
    Orders(Rows<'a, BookOrder>),
}

/// A book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookView<'a> {
    /// Which and when.
    pub head: BookHead,
    /// Bids and then asks, the best first.
    pub rows: BookRows<'a>,
}

impl<'a> BookView<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<BookView<'a>, PayloadError> {
        let (head, tail) = BookHead::decode_head(payload)?;
        let size = if head.orders { BookOrder::SIZE } else { BookLevel::SIZE };
        expect_size(BookHead::SCHEMA, payload, BookHead::SIZE + usize::from(head.rows) * size)?;
        let rows = if head.orders {
            BookRows::Orders(Rows::parse(tail)?)
        } else {
            BookRows::Levels(Rows::parse(tail)?)
        };
        Ok(BookView { head, rows })
    }
}

/// What stands in the head of a book's answer, without what the rows tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookState {
    /// The book is as this command left it.
    pub sequence: Sequence,
    /// Which.
    pub instrument: InstrumentId,
    /// Price of the last trade, if there was one.
    pub last_price: Option<Price>,
    /// There are more levels or orders than these.
    pub more: bool,
}

impl BookState {
    fn head(&self, orders: bool, count: usize) -> (BookHead, usize) {
        let rows = count.min(2 * QUERY_ROWS_MAX);
        let head = BookHead {
            sequence: self.sequence,
            instrument: self.instrument,
            last_price: self.last_price.unwrap_or_default(),
            more: self.more || rows < count,
            orders,
            rows: rows as u16,
        };
        (head, rows)
    }

    /// Appends the frame that shows levels and gives its place.
    pub fn send_levels(
        &self,
        rows: &[BookLevel],
        client_sequence: u64,
        out: &mut Vec<u8>,
    ) -> Range<usize> {
        let (book, count) = self.head(false, rows.len());
        let mut writer = FrameWriter::begin(out, head(BookHead::SCHEMA, client_sequence));
        book.encode(writer.payload());
        rows[..count].iter().for_each(|row| row.encode(writer.payload()));
        writer.seal()
    }

    /// Appends the frame that shows single orders and gives its place.
    pub fn send_orders(
        &self,
        rows: &[BookOrder],
        client_sequence: u64,
        out: &mut Vec<u8>,
    ) -> Range<usize> {
        let (book, count) = self.head(true, rows.len());
        let mut writer = FrameWriter::begin(out, head(BookHead::SCHEMA, client_sequence));
        book.encode(writer.payload());
        rows[..count].iter().for_each(|row| row.encode(writer.payload()));
        writer.seal()
    }
}

const _: () = assert!(BookHead::SIZE + 2 * QUERY_ROWS_MAX * BookOrder::SIZE <= PAYLOAD_MAX);

/// An account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView<'a> {
    /// Which and when.
    pub head: AccountHead,
    /// Its balances.
    pub balances: Rows<'a, BalanceRow>,
    /// Its live orders.
    pub orders: Rows<'a, OrderRow>,
}

impl<'a> AccountView<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<AccountView<'a>, PayloadError> {
        let (head, tail) = AccountHead::decode_head(payload)?;
        let balances = usize::from(head.balances) * BalanceRow::SIZE;
        let orders = usize::from(head.orders) * OrderRow::SIZE;
        expect_size(AccountHead::SCHEMA, payload, AccountHead::SIZE + balances + orders)?;
        let (balances, orders) = split(AccountHead::SCHEMA, tail, balances)?;
        Ok(AccountView { head, balances: Rows::parse(balances)?, orders: Rows::parse(orders)? })
    }
}

/// Appends the frame that shows an account and gives its place; orders that do not fit are left
/// out, and it then says that there are more.
pub fn send_account(
    sequence: Sequence,
    account: AccountId,
    balances: &[BalanceRow],
    orders: &[OrderRow],
    more: bool,
    client_sequence: u64,
    out: &mut Vec<u8>,
) -> Range<usize> {
    let balances = &balances[..balances.len().min(QUERY_ROWS_MAX)];
    let room = PAYLOAD_MAX - AccountHead::SIZE - balances.len() * BalanceRow::SIZE;
    let count = orders.len().min(room / OrderRow::SIZE);
    let account = AccountHead {
        sequence,
        account,
        more: more || count < orders.len(),
        balances: balances.len() as u16,
        orders: count as u16,
    };
    let mut writer = FrameWriter::begin(out, head(AccountHead::SCHEMA, client_sequence));
    account.encode(writer.payload());
    balances.iter().for_each(|row| row.encode(writer.payload()));
    orders[..count].iter().for_each(|row| row.encode(writer.payload()));
    writer.seal()
}

/// Assets and instruments as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceView<'a> {
    /// There are more: ask again after the last ones.
    pub more: bool,
    /// JSON of a [`Reference`].
    pub text: &'a str,
}

/// What stands in the text of a reference answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Assets, in order of their numbers.
    pub assets: Vec<Asset>,
    /// Instruments, in order of their numbers.
    pub instruments: Vec<Instrument>,
}

impl<'a> ReferenceView<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<ReferenceView<'a>, PayloadError> {
        let (head, tail) = ReferenceHead::decode_head(payload)?;
        let text = text(ReferenceHead::SCHEMA, ReferenceHead::SIZE, head.text_size, tail)?;
        Ok(ReferenceView { more: head.more, text })
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The reason in serde's words, where the text is no [`Reference`].
    pub fn parse(&self) -> Result<Reference, serde_json::Error> {
        serde_json::from_str(self.text)
    }
}

/// Appends the frame with as many of the assets, and then of the instruments, as fit, and gives
/// its place.
pub fn send_reference(
    assets: &[Asset],
    instruments: &[Instrument],
    client_sequence: u64,
    out: &mut Vec<u8>,
) -> Range<usize> {
    const END: &str = "]}";
    let mut text = String::from("{\"assets\":[");
    let mut fits = true;
    let room = PAYLOAD_MAX - ReferenceHead::SIZE - ",\"instruments\":[".len() - 2 * END.len();
    fits &= append(&mut text, assets, room);
    text.push_str("],\"instruments\":[");
    fits &= append(&mut text, if fits { instruments } else { &[] }, room);
    text.push_str(END);
    let mut writer = FrameWriter::begin(out, head(ReferenceHead::SCHEMA, client_sequence));
    ReferenceHead { more: !fits, text_size: text.len() as u16 }.encode(writer.payload());
    writer.payload().extend_from_slice(text.as_bytes());
    writer.seal()
}

/// Appends items to a JSON list while the text stays within `room`; false if some did not fit.
fn append<T: Serialize>(text: &mut String, items: &[T], room: usize) -> bool {
    for (index, item) in items.iter().enumerate() {
        let json = serde_json::to_string(item).expect("plain data always serialises");
        if text.len() + json.len() + 1 > room {
            return false;
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(&json);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::ServerMessage;
    use crate::wire::{Frame, OpenLimits};

    const LIMITS: OpenLimits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: true };

    fn decode(bytes: &[u8]) -> ServerMessage<'_> {
        let frame = Frame::open(bytes, &LIMITS).expect("just sealed, and within the longest frame");
        ServerMessage::decode(&frame).expect("a message")
    }

    fn order(id: u64) -> OrderRow {
        OrderRow {
            order_id: OrderId(id),
            client_order_id: ClientOrderId(id + 1),
            instrument: InstrumentId(1),
            side: Side::Sell,
            price: Price(2),
            quantity: Quantity(3),
            filled: Quantity(1),
            leaves: Quantity(2),
            stop_price: Price(0),
            display_quantity: Quantity(1),
            expires: TimeNs(7),
        }
    }

    #[test]
    fn a_book_shows_levels_or_orders_and_says_when_there_are_more() {
        let state = BookState {
            sequence: Sequence(9),
            instrument: InstrumentId(2),
            last_price: Some(Price(3)),
            more: false,
        };
        let level =
            BookLevel { side: Side::Buy, price: Price(4), quantity: Quantity(5), orders: 6 };
        let mut out = Vec::new();
        for count in [0, 3, 512, 513] {
            let at = state.send_levels(&vec![level; count], 1, &mut out);
            let ServerMessage::Book(view) = decode(&out[at]) else { panic!("not a book") };
            assert_eq!(view.head.more, count > 512);
            assert_eq!(view.head.last_price, Price(3));
            let BookRows::Levels(rows) = view.rows else { panic!("not levels") };
            assert_eq!(rows.iter().collect::<Vec<_>>(), vec![level; count.min(512)]);
        }
        let order = BookOrder {
            side: Side::Sell,
            price: Price(4),
            quantity: Quantity(5),
            order_id: OrderId(7),
        };
        let at = state.send_orders(&[order; 2], 1, &mut out);
        let ServerMessage::Book(view) = decode(&out[at]) else { panic!("not a book") };
        let BookRows::Orders(rows) = view.rows else { panic!("not orders") };
        assert_eq!(rows.iter().collect::<Vec<_>>(), [order; 2]);
    }

    #[test]
    fn an_account_shows_what_fits_and_says_when_there_are_more_orders() {
        let balance = BalanceRow { asset: AssetId(1), available: Amount(2), frozen: Amount(3) };
        let orders: Vec<OrderRow> = (1..=400).map(order).collect();
        let mut out = Vec::new();
        for (balances, count) in [(0, 0), (1, 2), (256, 400), (300, 0)] {
            let balances = vec![balance; balances];
            let orders = &orders[..count];
            let (sequence, account) = (Sequence(1), AccountId(2));
            let at = send_account(sequence, account, &balances, orders, false, 1, &mut out);
            let ServerMessage::Account(view) = decode(&out[at]) else { panic!("not an account") };
            assert_eq!(view.balances.len(), balances.len().min(256));
            assert!(view.balances.iter().all(|row| row == balance));
            let shown: Vec<OrderRow> = view.orders.iter().collect();
            assert_eq!(shown, orders[..shown.len()]);
            assert_eq!(view.head.more, shown.len() < count);
        }
    }

    #[test]
    fn reference_data_comes_in_pages_that_fit() {
        let assets: Vec<Asset> = (1..=300)
            .map(|id| Asset { id: AssetId(id), symbol: format!("ASSET{id}"), scale: 2 })
            .collect();
        let instrument = |id| Instrument {
            id: InstrumentId(id),
            symbol: format!("PAIR{id}"),
            base: AssetId(1),
            quote: AssetId(2),
            price_scale: 2,
            tick_units: 1,
            quantity_scale: 2,
            lot_units: 1,
            base_per_lot: 1,
            quote_per_tick_lot: 1,
            quantity_min: 1,
            quantity_max: i64::MAX,
            price_max: i64::MAX,
            market_band_bps: Instrument::MARKET_BAND_BPS,
            collar_bps: 0,
        };
        let instruments: Vec<Instrument> = (1..=200).map(instrument).collect();
        let mut whole = Reference::default();
        let mut pages = 0;
        loop {
            let mut out = Vec::new();
            let assets = &assets[whole.assets.len()..];
            let at = send_reference(assets, &instruments[whole.instruments.len()..], 1, &mut out);
            let ServerMessage::Reference(view) = decode(&out[at]) else { panic!("not that") };
            let page = view.parse().expect("good JSON");
            assert!(page.assets.len() + page.instruments.len() > 0);
            whole.assets.extend(page.assets);
            whole.instruments.extend(page.instruments);
            pages += 1;
            if !view.more {
                break;
            }
        }
        assert!(pages > 1);
        assert_eq!(whole, Reference { assets, instruments });
    }

    #[test]
    fn a_book_or_account_that_lies_about_its_rows_is_refused() {
        let head = BookHead {
            sequence: Sequence(1),
            instrument: InstrumentId(1),
            last_price: Price(0),
            more: false,
            orders: false,
            rows: 2,
        };
        let mut payload = Vec::new();
        head.encode(&mut payload);
        payload.extend([1; BookLevel::SIZE]);
        assert!(BookView::decode(&payload).is_err());
        payload.extend([1; BookLevel::SIZE]);
        assert!(BookView::decode(&payload).is_ok());
        let (sequence, account, more) = (Sequence(1), AccountId(2), false);
        let head = AccountHead { sequence, account, more, balances: 1, orders: 1 };
        let mut payload = Vec::new();
        head.encode(&mut payload);
        payload.extend([1; BalanceRow::SIZE]);
        assert!(AccountView::decode(&payload).is_err());
        payload.extend([1; OrderRow::SIZE]);
        assert!(AccountView::decode(&payload).is_ok());
    }
}
