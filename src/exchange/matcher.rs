//! Matching: an incoming order against the other side of its book, best price first, oldest order
//! first, at the maker's price.
//!
//! One loop over levels, one over a level's orders; no recursion. The level is written back once,
//! filled makers leave every index at once, and an emptied level is gone before the next one is
//! looked at, so nothing is iterated that changes. The loops exist twice, one for each side, and
//! once more for each [`Clearing`]: what a trade means is not theirs, nor whether there is one.

use super::book::Book;
use super::level::{Level, Levels, NONE};
use super::slab::{Hot, Slots};
use crate::types::{Price, Side};

/// What happens where an incoming order meets a resting one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// They trade.
    Trade,
    /// Both lose the quantity that they would have traded.
    Reduce,
    /// The resting order is gone.
    Removed,
    /// The incoming order ends.
    Ends,
    /// The resting order is gone, and the incoming one ends.
    RemovedAndEnds,
}

/// What a trade means beside the book: settled balances, events; and which orders do not trade.
pub(super) trait Clearing {
    /// Where orders are.
    type Orders: Slots;

    /// The orders.
    fn orders(&mut self) -> &mut Self::Orders;

    /// The most that the incoming order can pay for at this price; `i64::MAX` where it has no budget.
    fn affordable(&self, _price: Price) -> i64 {
        i64::MAX
    }

    /// Whether orders may have to be kept from trading.
    fn is_guarded(&self) -> bool {
        false
    }

    /// Judges the incoming order and the one in this slot, which could trade `quantity` at `price`. Where
    /// the latter is removed it is closed, and its queue is the caller's care.
    fn meet(&mut self, _order: u32, _maker: &Hot, _price: Price, _quantity: i64) -> Meeting {
        Meeting::Trade
    }

    /// The incoming order has traded with the one in this slot, which is as it was before.
    fn trade(&mut self, order: u32, maker: &Hot, price: Price, quantity: i64);

    /// Nothing is left of what the order in this slot shows: gives what it shows next; where that is 0 it
    /// has nothing more and is closed.
    fn spent(&mut self, order: u32) -> i64;
}

/// What has become of an incoming order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swept {
    /// Open quantity.
    pub(super) leaves: i64,
    /// Price of its first trade; the last one is its book's last price.
    pub(super) first: Option<Price>,
    /// It must not go on: what is left of it is cancelled.
    pub(super) ends: bool,
}

/// Trades what crosses of an incoming order, a buy or a sell, of which `wanted` is open.
#[inline]
pub(super) fn sweep<const BUY: bool>(
    book: &mut Book,
    levels: &mut Levels,
    clearing: &mut impl Clearing,
    limit: Price,
    wanted: i64,
) -> Swept {
    let (taker, makers) = if BUY { (Side::Buy, Side::Sell) } else { (Side::Sell, Side::Buy) };
    let mut swept = Swept { leaves: wanted, first: None, ends: false };
    while swept.leaves > 0 && !swept.ends {
        let Some(handle) = book.crossed_by(taker, limit) else { break };
        let level = levels.at_mut(handle);
        let price = level.price;
        let wanted = swept.leaves.min(clearing.affordable(price));
        if wanted == 0 {
            break;
        }
        let taken = take_level(level, clearing, wanted);
        let is_empty = level.head == NONE;
        swept.leaves -= taken.traded + taken.lost;
        swept.ends = taken.ends || (taken.lost_last && swept.leaves == 0);
        if taken.traded > 0 {
            swept.first.get_or_insert(price);
            book.last_price = price;
        }
        if is_empty {
            book.drop_level(levels, makers, handle);
        }
    }
    swept
}

/// What an incoming order has met at a level.
struct Taken {
    traded: i64,
    /// Lost without a trade.
    lost: i64,
    /// It lost the last of it.
    lost_last: bool,
    /// It lost something that would have cost of its budget: what it can pay for is to be looked at again.
    pauses: bool,
    ends: bool,
}

/// Trades up to `wanted` with the orders of one level, oldest first.
#[inline]
fn take_level(level: &mut Level, clearing: &mut impl Clearing, wanted: i64) -> Taken {
    let mut taken = Taken { traded: 0, lost: 0, lost_last: false, pauses: false, ends: false };
    let (mut left, mut head) = (wanted, level.head);
    // What the level is to lose: orders, and quantity that they showed.
    let (mut gone_count, mut gone) = (0, 0);
    while left > 0 && head != NONE && !taken.pauses {
        let maker = *clearing.orders().hot(head);
        let quantity = left.min(maker.leaves);
        let meeting = if clearing.is_guarded() {
            clearing.meet(head, &maker, level.price, quantity)
        } else {
            Meeting::Trade
        };
        match meeting {
            Meeting::Trade => clearing.trade(head, &maker, level.price, quantity),
            Meeting::Reduce => {
                taken.lost += quantity;
                taken.lost_last = quantity == left;
                taken.pauses = clearing.affordable(level.price) != i64::MAX;
            }
            Meeting::Ends => {
                taken.ends = true;
                break;
            }
            Meeting::Removed | Meeting::RemovedAndEnds => {
                (gone_count, gone, head) = (gone_count + 1, gone + maker.leaves, maker.next);
                if meeting == Meeting::Removed {
                    continue;
                }
                taken.ends = true;
                break;
            }
        }
        left -= quantity;
        gone += quantity;
        if quantity < maker.leaves {
            clearing.orders().hot_mut(head).leaves = maker.leaves - quantity;
            continue;
        }
        let shown = clearing.spent(head);
        if shown == 0 {
            (gone_count, head) = (gone_count + 1, maker.next);
        } else {
            gone -= shown;
            head = go_last(level, clearing.orders(), head, shown);
        }
    }
    if head != NONE {
        clearing.orders().hot_mut(head).prev = NONE;
    }
    taken.traded = wanted - left - taken.lost;
    level.head = head;
    level.count -= gone_count;
    level.open -= gone;
    taken
}

/// Puts the first order of a queue, which shows so much now, to its end; gives the one that is first then.
#[cold]
fn go_last(level: &mut Level, orders: &mut impl Slots, order: u32, shown: i64) -> u32 {
    let hot = orders.hot_mut(order);
    let (next, tail) = (hot.next, level.tail);
    hot.leaves = shown;
    if next == NONE {
        return order;
    }
    (hot.prev, hot.next) = (tail, NONE);
    orders.hot_mut(tail).next = order;
    level.tail = order;
    next
}
