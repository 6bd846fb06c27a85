//! What happens between orders.

use super::{Judged, Model, Order, tell};
use openoutcry::event::RejectReason::SelfTradePrevented;
use openoutcry::event::{CommandResult, EventBody, MakerFill, Trade};
use openoutcry::types::{InstrumentId, OrderChange, Price, Quantity, SelfTrade, Side};
use std::cmp::Reverse;

/// Lower is better for who trades with it.
fn rank(order: &Order) -> i64 {
    if order.side == Side::Sell { order.price } else { -order.price }
}

fn crosses(taker: &Order, maker: &Order) -> bool {
    let limit = if taker.side == Side::Buy { taker.price } else { -taker.price };
    maker.side != taker.side && rank(maker) <= limit
}

impl Model {
    /// The command's own order trades, then the stops that this makes due.
    pub(super) fn bring(&mut self, mut order: Order, result: &mut CommandResult) -> Judged {
        let prevented = self.trade(&mut order, false);
        let ended = self.rest(&mut order, prevented);
        tell(result, &order, ended, prevented.then_some(SelfTradePrevented));
        while let Some(mut stop) = self.next_stop(order.instrument) {
            if !self.may_trade(&stop) {
                self.release(&stop);
                self.notes.push(stop.update(OrderChange::Expired, 0));
                continue;
            }
            self.notes.push(stop.update(OrderChange::Triggered, stop.leaves()));
            let prevented = self.trade(&mut stop, true);
            let has_rest = stop.leaves() > 0;
            if self.rest(&mut stop, prevented) && (has_rest || prevented) {
                let change = if prevented { OrderChange::SelfTrade } else { OrderChange::Unfilled };
                self.notes.push(stop.update(change, 0));
            }
        }
        Ok(())
    }

    /// Takes the next due stop from where it waits.
    fn next_stop(&mut self, instrument: InstrumentId) -> Option<Order> {
        let (low, high) = self.traded?;
        let list = &mut self.waiting[instrument.0 as usize - 1];
        let due = |side, is_due: &dyn Fn(i64) -> bool| {
            let stops = list.iter().filter(|o| o.side == side && is_due(o.stop_price));
            stops.copied().collect::<Vec<_>>()
        };
        let buys = due(Side::Buy, &|price| price <= high);
        let sells = due(Side::Sell, &|price| price >= low);
        let buy = buys.iter().min_by_key(|o| (o.stop_price, o.id)).map(|o| o.id);
        let sell = sells.iter().min_by_key(|o| (Reverse(o.stop_price), o.id)).map(|o| o.id);
        let next = buy.into_iter().chain(sell).min()?;
        let at = list.iter().position(|o| o.id == next).expect("it is one of them");
        Some(list.remove(at))
    }

    /// What is left of an order goes into the book, or is given back: true where the order has ended.
    fn rest(&mut self, order: &mut Order, prevented: bool) -> bool {
        if order.rests && order.leaves() > 0 && !prevented {
            order.visible = order.display.min(order.leaves());
            self.list(order.instrument, false).push(*order);
            return false;
        }
        self.release(order);
        true
    }

    pub(super) fn may_trade(&self, order: &Order) -> bool {
        order.due == 0 || order.due > self.now
    }

    pub(super) fn best(&self, instrument: InstrumentId, side: Side) -> Option<i64> {
        let book = self.books[instrument.0 as usize - 1].iter();
        let own = book.filter(|o| o.side == side);
        own.min_by_key(|o| rank(o)).map(|o| o.price)
    }

    /// The order that the next trade is with: of those with the best price the first.
    pub(super) fn best_maker(&self, taker: &Order) -> Option<usize> {
        let book = self.books[taker.instrument.0 as usize - 1].iter().enumerate();
        let makers = book.filter(|(_, maker)| crosses(taker, maker));
        let late = |at: usize| if self.lifo { usize::MAX - at } else { at };
        makers.min_by_key(|(at, maker)| (rank(maker), late(*at))).map(|(at, _)| at)
    }

    fn one_owner(&self, a: &Order, b: &Order) -> bool {
        let group = |order: &Order| self.accounts[&order.account].0;
        a.account == b.account || group(a) != 0 && group(a) == group(b)
    }

    /// How many lots the rest of a budget pays for at a price.
    fn affords(&self, taker: &Order, budget: i128, price: i64) -> i128 {
        let it = &self.instruments[taker.instrument.0 as usize - 1];
        budget / (i128::from(price) * i128::from(it.quote_per_tick_lot))
    }

    /// What an order could trade, before anything changes.
    pub(super) fn could_trade(&self, taker: &Order) -> i128 {
        let book = self.books[taker.instrument.0 as usize - 1].iter();
        let can = |maker: &&Order| crosses(taker, maker) && self.may_trade(maker);
        let mut makers: Vec<&Order> = book.filter(can).collect();
        makers.sort_by_key(|maker| rank(maker));
        let (mut sum, mut budget) = (0, taker.budget);
        for level in makers.chunk_by(|a, b| a.price == b.price) {
            let of_owner = level.iter().position(|maker| self.one_owner(taker, maker));
            let (open, is_end): (i128, bool) = match (taker.self_trade, of_owner) {
                (SelfTrade::CancelOldest, _) => {
                    let others = level.iter().filter(|maker| !self.one_owner(taker, maker));
                    (others.map(|maker| i128::from(maker.leaves())).sum(), false)
                }
                (
                    SelfTrade::CancelNewest | SelfTrade::CancelBoth | SelfTrade::Decrement,
                    Some(at),
                ) => (level[..at].iter().map(|maker| i128::from(maker.shown())).sum(), true),
                _ => (level.iter().map(|maker| i128::from(maker.leaves())).sum(), false),
            };
            let most = budget.map_or(open, |budget| self.affords(taker, budget, level[0].price));
            sum += open.min(most);
            if is_end || most < open {
                break;
            }
            let it = &self.instruments[taker.instrument.0 as usize - 1];
            let paid = open * i128::from(level[0].price) * i128::from(it.quote_per_tick_lot);
            budget = budget.map(|budget| budget - paid);
        }
        sum
    }

    /// Trades an order that is not in the book with the best other order until nothing crosses; true
    /// where its rest is to be cancelled instead of trading with an order of its owner.
    fn trade(&mut self, taker: &mut Order, is_stop: bool) -> bool {
        while taker.leaves() > 0 {
            let Some(at) = self.best_maker(taker) else { return false };
            let mut maker = self.list(taker.instrument, false)[at];
            if !self.may_trade(&maker) {
                self.end(taker.instrument, false, at, OrderChange::Expired);
                continue;
            }
            let lots = taker.budget.map(|budget| self.affords(taker, budget, maker.price));
            if lots == Some(0) {
                return false;
            }
            let least = maker.shown().min(taker.leaves());
            let quantity = lots.map_or(least, |lots| lots.min(least.into()) as i64);
            if self.one_owner(taker, &maker) && taker.self_trade != SelfTrade::Allow {
                if matches!(taker.self_trade, SelfTrade::CancelOldest | SelfTrade::CancelBoth) {
                    self.end(taker.instrument, false, at, OrderChange::SelfTrade);
                }
                if matches!(taker.self_trade, SelfTrade::CancelNewest | SelfTrade::CancelBoth) {
                    return true;
                }
                if taker.self_trade == SelfTrade::Decrement {
                    self.lose(&mut maker, quantity);
                    let is_over = maker.leaves() == 0;
                    let change =
                        if is_over { OrderChange::SelfTrade } else { OrderChange::Reduced };
                    self.notes.push(maker.update(change, maker.leaves()));
                    self.put_back(at, maker, quantity);
                    self.lose(taker, quantity);
                    if taker.leaves() == 0 {
                        return true;
                    }
                    if is_stop {
                        self.notes.push(taker.update(OrderChange::Reduced, taker.leaves()));
                    }
                }
                continue;
            }
            self.settle(taker, &maker, quantity);
            maker.filled += quantity;
            taker.filled += quantity;
            self.trades.push(EventBody::Trade(Trade {
                instrument: taker.instrument,
                taker_side: taker.side,
                maker_order: maker.id,
                taker_order: taker.id,
                maker_account: maker.account,
                taker_account: taker.account,
                price: Price(maker.price),
                quantity: Quantity(quantity),
                maker_leaves: Quantity(maker.leaves()),
            }));
            self.tell_fill(&maker, maker.price, quantity);
            if is_stop {
                self.tell_fill(taker, maker.price, quantity);
            }
            self.put_back(at, maker, quantity);
        }
        false
    }

    fn tell_fill(&mut self, order: &Order, price: i64, quantity: i64) {
        let fill = MakerFill {
            session: order.session,
            instrument: order.instrument,
            outbound: 0,
            order_id: order.id,
            client_order_id: order.client,
            price: Price(price),
            quantity: Quantity(quantity),
            filled: Quantity(order.filled),
            leaves: Quantity(order.leaves()),
        };
        self.notes.extend((fill.session.0 != 0).then_some(EventBody::MakerFill(fill)));
    }

    /// An order loses quantity, and what it held for that.
    fn lose(&mut self, order: &mut Order, quantity: i64) {
        let (cell, held) = self.hold(order);
        order.quantity -= quantity;
        let (_, holds) = self.hold(order);
        self.add(cell, held - holds, holds - held);
    }

    /// An order in the book has this much less to show: it stays, ends, or shows its next part.
    fn put_back(&mut self, at: usize, mut maker: Order, less: i64) {
        let book = self.list(maker.instrument, false);
        book[at] = maker;
        if maker.leaves() == 0 {
            book.remove(at);
        } else if maker.display != 0 {
            book[at].visible -= less;
            if book[at].visible == 0 {
                maker.visible = maker.display.min(maker.leaves());
                book.remove(at);
                book.push(maker);
            }
        }
    }

    fn settle(&mut self, taker: &mut Order, maker: &Order, quantity: i64) {
        let it = &self.instruments[taker.instrument.0 as usize - 1];
        let (base_asset, quote_asset) = (it.base, it.quote);
        let base = i128::from(quantity) * i128::from(it.base_per_lot);
        let each = i128::from(quantity) * i128::from(it.quote_per_tick_lot);
        let paid = each * i128::from(maker.price);
        let (buyer, seller) =
            if taker.side == Side::Buy { (&*taker, maker) } else { (maker, &*taker) };
        let held = if buyer.budget.is_some() { paid } else { each * i128::from(buyer.price) };
        let (buyer, seller) = (buyer.account, seller.account);
        taker.budget = taker.budget.map(|budget| budget - paid);
        self.add((buyer, quote_asset), held - paid, -held);
        self.add((seller, quote_asset), paid, 0);
        self.add((seller, base_asset), 0, -base);
        self.add((buyer, base_asset), base, 0);
        self.last[taker.instrument.0 as usize - 1] = maker.price;
        let (low, high) = self.traded.unwrap_or((maker.price, maker.price));
        self.traded = Some((low.min(maker.price), high.max(maker.price)));
    }
}
