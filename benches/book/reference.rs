//! A plain book as one would write it first: a `BTreeMap` of `VecDeque` queues for each side, and a
//! `HashMap` that knows where each order is.

use openoutcry::event::RejectReason;
use openoutcry::exchange::{BareCommand, BareEvent};
use openoutcry::types::{OrderId, Price, Quantity, Side, TimeInForce};
use std::collections::{BTreeMap, HashMap, VecDeque};

struct Resting {
    order: OrderId,
    left: i64,
}

#[derive(Default)]
pub(crate) struct Reference {
    bids: BTreeMap<i64, VecDeque<Resting>>,
    asks: BTreeMap<i64, VecDeque<Resting>>,
    places: HashMap<u64, (Side, i64)>,
}

impl Reference {
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn apply(&mut self, message: &BareCommand, events: &mut Vec<BareEvent>) {
        match *message {
            BareCommand::New { order, side, time_in_force, price, quantity, .. } => {
                if self.places.contains_key(&order.0) {
                    let reason = RejectReason::DuplicateClientOrderId;
                    events.push(BareEvent::Rejected { order, reason });
                    return;
                }
                events.push(BareEvent::Accepted { order, quantity });
                self.enter(order, side, price.0, quantity.0, time_in_force, events);
            }
            BareCommand::Cancel { order } => {
                let event = match self.places.remove(&order.0) {
                    None => BareEvent::Rejected { order, reason: RejectReason::UnknownOrder },
                    Some((side, price)) => {
                        let quantity = Quantity(self.take_out(side, price, order));
                        BareEvent::Canceled { order, quantity }
                    }
                };
                events.push(event);
            }
            BareCommand::Replace { order, price, quantity } => {
                let Some(&(side, old)) = self.places.get(&order.0) else {
                    events.push(BareEvent::Rejected { order, reason: RejectReason::UnknownOrder });
                    return;
                };
                events.push(BareEvent::Replaced { order, price, quantity });
                if old == price.0 {
                    let queue = self.side(side).get_mut(&old).expect("the level is there");
                    let resting = queue.iter_mut().find(|resting| resting.order == order);
                    let resting = resting.expect("the order is there");
                    if quantity.0 <= resting.left {
                        resting.left = quantity.0;
                        return;
                    }
                }
                self.take_out(side, old, order);
                self.places.remove(&order.0);
                self.enter(order, side, price.0, quantity.0, TimeInForce::Gtc, events);
            }
        }
    }

    fn side(&mut self, side: Side) -> &mut BTreeMap<i64, VecDeque<Resting>> {
        if side == Side::Buy { &mut self.bids } else { &mut self.asks }
    }

    fn take_out(&mut self, side: Side, price: i64, order: OrderId) -> i64 {
        let levels = self.side(side);
        let queue = levels.get_mut(&price).expect("the level is there");
        let at = queue.iter().position(|resting| resting.order == order);
        let resting = queue.remove(at.expect("the order is there")).expect("it was just found");
        if queue.is_empty() {
            levels.remove(&price);
        }
        resting.left
    }

    fn enter(
        &mut self,
        taker: OrderId,
        side: Side,
        limit: i64,
        quantity: i64,
        time_in_force: TimeInForce,
        events: &mut Vec<BareEvent>,
    ) {
        let mut left = quantity;
        while left > 0 {
            let best = match side {
                Side::Buy => self.asks.first_entry().filter(|level| *level.key() <= limit),
                Side::Sell => self.bids.last_entry().filter(|level| *level.key() >= limit),
            };
            let Some(mut level) = best else { break };
            let price = Price(*level.key());
            let queue = level.get_mut();
            while left > 0
                && let Some(maker) = queue.front_mut()
            {
                let traded = left.min(maker.left);
                (left, maker.left) = (left - traded, maker.left - traded);
                let (order, quantity) = (maker.order, Quantity(traded));
                events.push(BareEvent::Trade { maker: order, taker, price, quantity });
                if maker.left == 0 {
                    self.places.remove(&order.0);
                    queue.pop_front();
                }
            }
            if queue.is_empty() {
                level.remove();
            }
        }
        if left > 0 && time_in_force == TimeInForce::Ioc {
            events.push(BareEvent::Canceled { order: taker, quantity: Quantity(left) });
        } else if left > 0 {
            self.places.insert(taker.0, (side, limit));
            self.side(side).entry(limit).or_default().push_back(Resting { order: taker, left });
        }
    }
}
