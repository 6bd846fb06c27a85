//! The books alone: the matcher, levels, orders and index of the exchange without accounts.
//!
//! For who wants to know what matching costs, or whether it is right, by itself: the bench beside
//! other order books, and tests against a model. It is the code that the exchange runs, with another
//! meaning of a trade: a fact to be noted, and nothing to be settled.
//!
//! Commands come in batches. The events of a batch are written one behind the other into memory
//! reserved at the start and handed out once, when the batch is done. Invariants:
//! - Nothing allocates after [`BareBook::new`], whatever the commands.
//! - The events of a command stand together, in this order: what became of it, its trades in the
//!   order they happened, and the cancel of what is left of an immediate order.

use super::book::{Book, BookCount};
use super::index::Hasher;
use super::level::Levels;
use super::matcher::{Clearing, sweep};
use super::slab::{Hot, Slab, Slots};
use crate::event::RejectReason;
use crate::sys::memory::Region;
use crate::types::{InstrumentId, OrderId, Price, Quantity, Side, TimeInForce};

/// Commands of a batch.
pub const BATCH_COUNT_MAX: usize = 1024;
/// Commands between the one that is applied and the one whose place in the index is fetched.
const AHEAD_INDEX: usize = 12;
/// The same for an order's slot, which the index tells.
const AHEAD_ORDER: usize = 8;
/// The same for its neighbours and its level, which the slot tells.
const AHEAD_QUEUE: usize = 4;
/// Live orders from which on they are fetched ahead, not only their places in the index.
const AHEAD_COUNT_MIN: usize = 1 << 15;

/// What the books are asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareCommand {
    /// Enter an order. Refused in this order: instrument, quantity, number, room to rest.
    New {
        /// The order's number, which no live order has; not 0.
        order: OrderId,
        /// What is traded.
        instrument: InstrumentId,
        /// Buy or sell.
        side: Side,
        /// Whether what does not trade at once rests.
        time_in_force: TimeInForce,
        /// Limit price: any.
        price: Price,
        /// Quantity, from 1.
        quantity: Quantity,
    },
    /// Cancel an order. Refused where it is not live.
    Cancel {
        /// The order.
        order: OrderId,
    },
    /// Give an order a new price and open quantity. It keeps its place where the price is the same
    /// and the quantity not larger; otherwise it is matched like a new one and rests last at its
    /// price. Refused in this order: order not live, quantity.
    Replace {
        /// The order.
        order: OrderId,
        /// New limit price.
        price: Price,
        /// New open quantity, from 1.
        quantity: Quantity,
    },
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareEvent {
    /// An order was entered.
    Accepted {
        /// The order.
        order: OrderId,
        /// Its quantity.
        quantity: Quantity,
    },
    /// An order has a new price and open quantity.
    Replaced {
        /// The order.
        order: OrderId,
        /// Its limit price.
        price: Price,
        /// Its open quantity, before it is matched.
        quantity: Quantity,
    },
    /// Two orders traded.
    Trade {
        /// The order that rested.
        maker: OrderId,
        /// The order that came in.
        taker: OrderId,
        /// The maker's price.
        price: Price,
        /// Quantity traded.
        quantity: Quantity,
    },
    /// An order, or what was left of it, was cancelled.
    Canceled {
        /// The order.
        order: OrderId,
        /// What was left of it.
        quantity: Quantity,
    },
    /// A command was refused and changed nothing.
    Rejected {
        /// The order it named.
        order: OrderId,
        /// Why.
        reason: RejectReason,
    },
}

const _: () = assert!(size_of::<BareCommand>() == 32);
const _: () = assert!(size_of::<BareEvent>() == 40);

/// Books of several instruments, numbered from 1, on shared slabs.
#[derive(Clone, Debug)]
pub struct BareBook {
    books: Vec<Book>,
    levels: Levels,
    orders: Slab,
    events: Vec<BareEvent>,
    quantity_max: i64,
}

/// A trade noted.
struct Noting<'a> {
    orders: &'a mut Slab,
    events: &'a mut Vec<BareEvent>,
    taker: OrderId,
}

impl Clearing for Noting<'_> {
    type Orders = Slab;

    #[inline]
    fn orders(&mut self) -> &mut Slab {
        self.orders
    }

    #[inline]
    fn trade(&mut self, _: u32, maker: &Hot, price: Price, quantity: i64) {
        self.events.push(BareEvent::Trade {
            maker: OrderId(maker.id),
            taker: self.taker,
            price,
            quantity: Quantity(quantity),
        });
    }

    #[inline]
    fn spent(&mut self, order: u32) -> i64 {
        self.orders.close(order);
        0
    }
}

impl BareBook {
    /// Empty books of so many instruments, with room for so many live orders in all.
    #[must_use]
    pub fn new(instruments: usize, orders_max: usize) -> BareBook {
        // A command has at most two events beside its trades, and a trade fills a maker but for the
        // last one of a command. Makers are orders of before the batch, or of it.
        let events_max = orders_max + 4 * BATCH_COUNT_MAX;
        BareBook {
            books: vec![Book::EMPTY; instruments],
            levels: Levels::with_capacity(orders_max),
            orders: Slab::with_capacity(orders_max, Hasher::new(0)),
            events: Vec::with_capacity(events_max),
            // All orders together have an open quantity that is a number.
            quantity_max: i64::MAX / orders_max.max(1) as i64,
        }
    }

    /// Memory that commands touch, for who makes it resident before they come.
    #[must_use]
    pub fn memory(&self) -> Vec<Region> {
        let mut regions = vec![Region::of(&self.events)];
        regions.extend(self.orders.memory());
        regions.push(self.levels.memory());
        regions
    }

    /// Applies commands, at most [`BATCH_COUNT_MAX`], and gives their events.
    ///
    /// # Panics
    /// Where there are more commands than that.
    pub fn apply(&mut self, batch: &[BareCommand]) -> &[BareEvent] {
        assert!(batch.len() <= BATCH_COUNT_MAX, "a batch is bounded");
        self.events.clear();
        // Where there are few orders they lie near the processor; the next numbers' places do not.
        if self.orders.count() < AHEAD_COUNT_MIN {
            for (at, command) in batch.iter().enumerate() {
                self.fetch_entry(batch, at);
                self.apply_one(command);
            }
        } else {
            for (at, command) in batch.iter().enumerate() {
                self.fetch_entry(batch, at);
                self.fetch_order(batch, at);
                self.apply_one(command);
            }
        }
        &self.events
    }

    /// Asks for the place in the index that a later command needs.
    #[inline]
    fn fetch_entry(&self, batch: &[BareCommand], at: usize) {
        if let Some(command) = batch.get(at + AHEAD_INDEX) {
            self.orders.fetch_entry(order_of(command).0);
        }
    }

    /// Asks for the order that a later command names, and for what is beside the order of another.
    #[inline]
    fn fetch_order(&self, batch: &[BareCommand], at: usize) {
        if let Some(command) = batch.get(at + AHEAD_ORDER) {
            self.orders.fetch_slot(order_of(command).0);
        }
        if let Some(command) = batch.get(at + AHEAD_QUEUE)
            && let Some(level) = self.orders.fetch_neighbours(order_of(command).0)
        {
            self.levels.fetch(level);
        }
    }

    #[inline]
    fn apply_one(&mut self, command: &BareCommand) {
        let done = match *command {
            BareCommand::New { order, instrument, side, time_in_force, price, quantity } => {
                let rests = time_in_force == TimeInForce::Gtc;
                self.enter(order, instrument, side, rests, price, quantity.0)
            }
            BareCommand::Cancel { order } => self.cancel(order),
            BareCommand::Replace { order, price, quantity } => {
                self.replace(order, price, quantity.0)
            }
        };
        if let Err(reason) = done {
            self.events.push(BareEvent::Rejected { order: order_of(command), reason });
        }
    }

    #[inline]
    fn enter(
        &mut self,
        id: OrderId,
        instrument: InstrumentId,
        side: Side,
        rests: bool,
        price: Price,
        quantity: i64,
    ) -> Result<(), RejectReason> {
        let instrument = instrument.0.wrapping_sub(1);
        if instrument as usize >= self.books.len() {
            return Err(RejectReason::UnknownInstrument);
        }
        if quantity < 1 || quantity > self.quantity_max {
            return Err(RejectReason::InvalidQuantity);
        }
        if id.0 == 0 {
            return Err(RejectReason::UnknownOrder);
        }
        if self.orders.find(id.0).is_some() {
            return Err(RejectReason::DuplicateClientOrderId);
        }
        if rests && self.orders.is_full() {
            return Err(RejectReason::CapacityReached);
        }
        self.events.push(BareEvent::Accepted { order: id, quantity: Quantity(quantity) });
        let leaves = self.sweep(instrument, id, side, price, quantity);
        if leaves > 0 {
            if rests {
                let order = self.orders.open(id.0, leaves, instrument);
                let book = &mut self.books[instrument as usize];
                book.rest(&mut self.levels, &mut self.orders, side, price, order);
            } else {
                let quantity = Quantity(leaves);
                self.events.push(BareEvent::Canceled { order: id, quantity });
            }
        }
        Ok(())
    }

    #[inline]
    fn cancel(&mut self, id: OrderId) -> Result<(), RejectReason> {
        let order = self.orders.find(id.0).ok_or(RejectReason::UnknownOrder)?;
        let hot = self.orders.hot(order);
        let (leaves, instrument, level) = (hot.leaves, hot.account, hot.level);
        let book = &mut self.books[instrument as usize];
        let side = book.side_of(self.levels.at(level).price);
        book.leave(&mut self.levels, &mut self.orders, side, order);
        self.orders.close(order);
        self.events.push(BareEvent::Canceled { order: id, quantity: Quantity(leaves) });
        Ok(())
    }

    #[inline]
    fn replace(&mut self, id: OrderId, price: Price, quantity: i64) -> Result<(), RejectReason> {
        let order = self.orders.find(id.0).ok_or(RejectReason::UnknownOrder)?;
        if quantity < 1 || quantity > self.quantity_max {
            return Err(RejectReason::InvalidQuantity);
        }
        let quantity_new = Quantity(quantity);
        self.events.push(BareEvent::Replaced { order: id, price, quantity: quantity_new });
        let Hot { leaves, level, account: instrument, .. } = *self.orders.hot(order);
        let old = self.levels.at(level).price;
        if price == old && quantity <= leaves {
            self.levels.at_mut(level).open -= leaves - quantity;
            self.orders.hot_mut(order).leaves = quantity;
            return Ok(());
        }
        // Off the book while it is matched: an order never meets itself.
        let book = &mut self.books[instrument as usize];
        let side = book.side_of(old);
        book.leave(&mut self.levels, &mut self.orders, side, order);
        let leaves = self.sweep(instrument, id, side, price, quantity);
        if leaves > 0 {
            self.orders.hot_mut(order).leaves = leaves;
            let book = &mut self.books[instrument as usize];
            book.rest(&mut self.levels, &mut self.orders, side, price, order);
        } else {
            self.orders.close(order);
        }
        Ok(())
    }

    /// Trades what crosses, and gives what is left of `wanted`.
    #[inline]
    fn sweep(
        &mut self,
        instrument: u32,
        taker: OrderId,
        side: Side,
        price: Price,
        wanted: i64,
    ) -> i64 {
        let book = &mut self.books[instrument as usize];
        if book.crossed_by(side, price).is_none() {
            return wanted;
        }
        let (levels, orders, events) = (&mut self.levels, &mut self.orders, &mut self.events);
        let mut noting = Noting { orders, events, taker };
        let swept = match side {
            Side::Buy => sweep::<true>(book, levels, &mut noting, price, wanted),
            Side::Sell => sweep::<false>(book, levels, &mut noting, price, wanted),
        };
        swept.leaves
    }

    fn book(&self, instrument: InstrumentId) -> Option<&Book> {
        self.books.get(instrument.0.wrapping_sub(1) as usize)
    }

    /// Best price of a side and the quantity open there.
    #[must_use]
    #[inline]
    pub fn best(&self, instrument: InstrumentId, side: Side) -> Option<(Price, Quantity)> {
        let level = self.levels.at(self.book(instrument)?.side(side).best()?);
        Some((level.price, Quantity(level.open)))
    }

    /// Quantity open at a price, and on which side; `None` where no order rests there.
    #[must_use]
    #[inline]
    pub fn depth(&self, instrument: InstrumentId, price: Price) -> Option<(Side, Quantity)> {
        let book = self.book(instrument)?;
        let level = self.levels.at(book.level_at(&self.levels, price)?);
        Some((book.side_of(price), Quantity(level.open)))
    }

    /// Levels of a side, best first: price, open quantity, orders.
    pub fn levels(
        &self,
        instrument: InstrumentId,
        side: Side,
    ) -> impl Iterator<Item = (Price, Quantity, u32)> {
        let levels = self.book(instrument).map(|book| book.levels(&self.levels, side));
        levels
            .into_iter()
            .flatten()
            .map(|(price, level)| (price, Quantity(level.open), level.count))
    }

    /// Price of the last trade.
    #[must_use]
    pub fn last_price(&self, instrument: InstrumentId) -> Option<Price> {
        // A trade at 0 is possible here, and told as none: the exchange's prices begin at 1.
        self.book(instrument).map(|book| book.last_price).filter(|price| price.0 != 0)
    }

    /// Open quantity of a live order.
    #[must_use]
    pub fn leaves(&self, order: OrderId) -> Option<Quantity> {
        self.orders.find(order.0).map(|order| Quantity(self.orders.hot(order).leaves))
    }

    /// Live orders in all books.
    #[must_use]
    pub fn order_count(&self) -> usize {
        self.orders.count()
    }

    /// Bytes of what holds orders: their slots, levels and their tree as far as they were ever used, and
    /// the whole index of ids. The events are left out.
    #[must_use]
    pub fn touched_bytes(&self) -> usize {
        self.orders.touched_bytes() + self.levels.touched_bytes()
    }

    /// Checks every invariant of books, levels, orders and index. It walks all of them: for tests.
    ///
    /// # Panics
    /// Where an invariant is broken.
    pub fn check(&self) {
        self.orders.check();
        let mut all = BookCount::default();
        for (instrument, book) in (0..).zip(&self.books) {
            let counted = book.check(&self.levels, &self.orders, |orders, order, _| {
                orders.hot(order).account == instrument
            });
            all.orders += counted.orders;
            all.levels += counted.levels;
            all.nodes += counted.nodes;
        }
        assert!(all.orders == self.orders.count(), "every live order is in one queue");
        assert!(all.levels == self.levels.count(), "no level is lost");
        assert!(all.nodes == self.levels.node_count(), "no node is lost");
    }
}

#[inline]
const fn order_of(command: &BareCommand) -> OrderId {
    match *command {
        BareCommand::New { order, .. }
        | BareCommand::Cancel { order }
        | BareCommand::Replace { order, .. } => order,
    }
}
