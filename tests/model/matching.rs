//! What happens between orders.

use super::{Model, Order, tell};
use crate::exchange::forms::{fill, trade, update};
use openoutcry::event::CommandResult;
use openoutcry::event::RejectReason::SelfTradePrevented;
use openoutcry::types::OrderChange::{self, Expired, Reduced, Triggered, Unfilled};
use openoutcry::types::SelfTrade::{Allow, CancelBoth, CancelNewest, CancelOldest, Decrement};
use openoutcry::types::Side;

impl Model {
    /// The command's own order trades, then the stops that this makes due.
    pub(super) fn bring(&mut self, mut order: Order, result: &mut CommandResult) {
        let prevented = self.trade(&mut order, false);
        let ended = self.rest(&mut order, prevented);
        tell(result, &order, ended, prevented.then_some(SelfTradePrevented));
        while let Some(mut stop) = self.next_stop(order.i()) {
            if !self.is_in_time(&stop) {
                self.release(&stop);
                self.notes.push(update(&stop, Expired, 0));
                continue;
            }
            self.notes.push(update(&stop, Triggered, stop.leaves()));
            let asked = stop.quantity;
            let prevented = self.trade(&mut stop, true);
            let is_filled = stop.leaves() == 0 && !prevented;
            let change = if prevented { OrderChange::SelfTrade } else { Unfilled };
            if self.rest(&mut stop, prevented) {
                self.notes.extend((!is_filled).then_some(update(&stop, change, 0)));
            } else if stop.quantity < asked {
                self.notes.push(update(&stop, Reduced, stop.leaves()));
            }
        }
    }

    /// Takes the next due stop from where it waits.
    fn next_stop(&mut self, i: usize) -> Option<Order> {
        let (low, high) = self.traded?;
        let price = |o: &Order| o.asked.stop_price.0;
        let stops = |side| self.orders[i].iter().filter(move |o| o.waits && o.asked.side == side);
        let buys = stops(Side::Buy).filter(|o| price(o) <= high);
        let sells = stops(Side::Sell).filter(|o| price(o) >= low);
        let buy = buys.min_by_key(|o| (price(o), o.id));
        let sell = sells.min_by_key(|o| (-price(o), o.id));
        let next = buy.into_iter().chain(sell).map(|o| o.id).min()?;
        let at = self.orders[i].iter().position(|o| o.id == next).expect("it is one of them");
        Some(Order { waits: false, ..self.orders[i].remove(at) })
    }

    /// What is left of an order goes into the book, or is given back: true where the order has ended.
    fn rest(&mut self, order: &mut Order, prevented: bool) -> bool {
        if order.rests() && order.leaves() > 0 && !prevented {
            order.visible = order.asked.display_quantity.0.min(order.leaves());
            self.orders[order.i()].push(*order);
            return false;
        }
        self.release(order);
        true
    }

    pub(super) fn is_in_time(&self, order: &Order) -> bool {
        order.due == 0 || order.due > self.now
    }

    pub(super) fn best(&self, i: usize, side: Side) -> Option<i64> {
        let of_side = self.orders[i].iter().filter(|o| o.asked.side == side && !o.waits);
        of_side.min_by_key(|o| o.rank()).map(|o| o.price)
    }

    /// The order that the next trade is with: of those with the best price the first.
    pub(super) fn best_maker(&self, taker: &Order) -> Option<usize> {
        let orders = self.orders[taker.i()].iter().enumerate();
        let makers = orders.filter(|(_, maker)| taker.crosses(maker));
        let age = |at: usize| if self.lifo { usize::MAX - at } else { at };
        makers.min_by_key(|(at, maker)| (maker.rank(), age(*at))).map(|(at, _)| at)
    }

    fn one_owner(&self, a: &Order, b: &Order) -> bool {
        let (a, b) = (a.asked.account, b.asked.account);
        let (of_a, of_b) = (self.accounts[&a].0, self.accounts[&b].0);
        a == b || of_a != 0 && of_a == of_b
    }

    /// What so many lots cost.
    fn cost(&self, i: usize, price: i64, lots: i128) -> i128 {
        lots * i128::from(price) * i128::from(self.instruments[i].quote_per_tick_lot)
    }

    /// What an order could trade, before anything changes.
    pub(super) fn could_trade(&self, taker: &Order) -> i128 {
        let can = |maker: &&Order| taker.crosses(maker) && self.is_in_time(maker);
        let mut makers: Vec<&Order> = self.orders[taker.i()].iter().filter(can).collect();
        makers.sort_by_key(|maker| maker.rank());
        let (mut sum, mut budget) = (0, taker.budget);
        for level in makers.chunk_by(|a, b| a.price == b.price) {
            let is_own = |maker: &&&Order| self.one_owner(taker, maker);
            let all = |o: &&Order| i128::from(o.leaves());
            let owners_first = level.iter().position(|maker| is_own(&maker));
            let (open, is_last): (i128, bool) = match (taker.self_trade, owners_first) {
                (Allow, _) | (_, None) => (level.iter().map(all).sum(), false),
                (CancelOldest, _) => (level.iter().filter(|o| !is_own(o)).map(all).sum(), false),
                (_, Some(at)) => (level[..at].iter().map(|o| i128::from(o.shown())).sum(), true),
            };
            let (i, price) = (taker.i(), level[0].price);
            let lots = budget.map_or(open, |budget| open.min(budget / self.cost(i, price, 1)));
            budget = budget.map(|budget| budget - self.cost(i, price, lots));
            sum += lots;
            if is_last || lots < open {
                break;
            }
        }
        sum
    }

    /// Trades an order that is not in the book with the best other order until nothing crosses; true
    /// where its rest is to be cancelled instead of trading with an order of its owner.
    fn trade(&mut self, taker: &mut Order, is_stop: bool) -> bool {
        let i = taker.i();
        while taker.leaves() > 0 {
            let Some(at) = self.best_maker(taker) else { return false };
            let mut maker = self.orders[i][at];
            if !self.is_in_time(&maker) {
                self.end(i, at, Expired);
                continue;
            }
            let lots = taker.budget.map(|budget| budget / self.cost(i, maker.price, 1));
            let most = i128::from(maker.shown().min(taker.leaves()));
            let quantity = lots.map_or(most, |lots| lots.min(most)) as i64;
            if quantity == 0 {
                return false;
            }
            let mode = if self.one_owner(taker, &maker) { taker.self_trade } else { Allow };
            match mode {
                Allow => {
                    self.settle(taker, &maker, quantity);
                    maker.filled += quantity;
                    taker.filled += quantity;
                    self.trades.push(trade(taker, &maker, quantity));
                    for order in [Some(&maker), is_stop.then_some(&*taker)].into_iter().flatten() {
                        let told = fill(order, maker.price, quantity);
                        self.notes.extend((order.session.0 != 0).then_some(told));
                    }
                    self.put_back(at, maker, quantity);
                }
                CancelNewest => return true,
                CancelOldest => self.end(i, at, OrderChange::SelfTrade),
                CancelBoth => {
                    self.end(i, at, OrderChange::SelfTrade);
                    return true;
                }
                Decrement => {
                    self.lose(&mut maker, quantity);
                    let is_over = maker.leaves() == 0;
                    let change = if is_over { OrderChange::SelfTrade } else { Reduced };
                    self.notes.push(update(&maker, change, maker.leaves()));
                    self.put_back(at, maker, quantity);
                    self.lose(taker, quantity);
                    if taker.leaves() == 0 {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// An order loses quantity, and what it held for that.
    fn lose(&mut self, order: &mut Order, quantity: i64) {
        let (cell, held) = self.hold(order);
        order.quantity -= quantity;
        let (_, holds) = self.hold(order);
        self.add(cell, held - holds, holds - held);
    }

    /// An order in the book has so much less to show: it stays, ends, or shows its next part.
    fn put_back(&mut self, at: usize, mut maker: Order, less: i64) {
        let orders = &mut self.orders[maker.i()];
        maker.visible -= less;
        orders[at] = maker;
        if maker.shown() == 0 {
            orders.remove(at);
            maker.visible = maker.asked.display_quantity.0.min(maker.leaves());
            orders.extend((maker.leaves() > 0).then_some(maker));
        }
    }

    fn settle(&mut self, taker: &mut Order, maker: &Order, quantity: i64) {
        let (i, price) = (taker.i(), maker.price);
        let (base_asset, quote_asset) = (self.instruments[i].base, self.instruments[i].quote);
        let base = i128::from(quantity) * i128::from(self.instruments[i].base_per_lot);
        let paid = self.cost(i, price, quantity.into());
        let is_buy = taker.asked.side == Side::Buy;
        let (buyer, seller) = if is_buy { (&*taker, maker) } else { (maker, &*taker) };
        let held = self.cost(i, buyer.price, quantity.into());
        let held = if buyer.budget.is_some() { paid } else { held };
        let (buyer, seller) = (buyer.asked.account, seller.asked.account);
        taker.budget = taker.budget.map(|budget| budget - paid);
        self.add((buyer, quote_asset), held - paid, -held);
        self.add((seller, quote_asset), paid, 0);
        self.add((seller, base_asset), 0, -base);
        self.add((buyer, base_asset), base, 0);
        self.last[i] = price;
        let (low, high) = self.traded.unwrap_or((price, price));
        self.traded = Some((low.min(price), high.max(price)));
    }
}
