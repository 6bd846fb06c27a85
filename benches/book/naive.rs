//! The naive model: two sorted maps, in which everything is looked up again for every step. It
//! shares no code with the book, and says what is right.

use openoutcry::event::RejectReason;
use openoutcry::exchange::{BareCommand, BareEvent};
use openoutcry::types::{OrderId, Price, Quantity, Side, TimeInForce};
use std::collections::{BTreeMap, HashMap};

/// Where an order stands: its side, how bad its price is, and when it came.
type Place = (Side, i64, u64);

#[derive(Default)]
pub(crate) struct Naive {
    /// In the order of matching.
    resting: BTreeMap<Place, (OrderId, i64)>,
    places: HashMap<u64, Place>,
    arrivals: u64,
    events: Vec<BareEvent>,
}

fn badness(side: Side, price: Price) -> i64 {
    if side == Side::Buy { -price.0 } else { price.0 }
}

impl Naive {
    pub(crate) fn is_live(&self, order: OrderId) -> bool {
        self.places.contains_key(&order.0)
    }

    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn apply(&mut self, message: &BareCommand) -> &[BareEvent] {
        self.events.clear();
        match *message {
            BareCommand::New { order, side, time_in_force, price, quantity, .. } => {
                if self.is_live(order) {
                    self.refuse(order, RejectReason::DuplicateClientOrderId);
                } else {
                    self.events.push(BareEvent::Accepted { order, quantity });
                    self.enter(order, side, price, quantity.0, time_in_force);
                }
            }
            BareCommand::Cancel { order } => match self.places.remove(&order.0) {
                None => self.refuse(order, RejectReason::UnknownOrder),
                Some(place) => {
                    let (_, left) = self.resting.remove(&place).expect("every place is taken");
                    self.events.push(BareEvent::Canceled { order, quantity: Quantity(left) });
                }
            },
            BareCommand::Replace { order, price, quantity } => {
                let Some(&place) = self.places.get(&order.0) else {
                    self.refuse(order, RejectReason::UnknownOrder);
                    return &self.events;
                };
                self.events.push(BareEvent::Replaced { order, price, quantity });
                let (_, left) = self.resting[&place];
                if place.1 == badness(place.0, price) && quantity.0 <= left {
                    self.resting.insert(place, (order, quantity.0));
                } else {
                    self.resting.remove(&place);
                    self.places.remove(&order.0);
                    self.enter(order, place.0, price, quantity.0, TimeInForce::Gtc);
                }
            }
        }
        &self.events
    }

    fn refuse(&mut self, order: OrderId, reason: RejectReason) {
        self.events.push(BareEvent::Rejected { order, reason });
    }

    fn enter(
        &mut self,
        taker: OrderId,
        side: Side,
        price: Price,
        quantity: i64,
        time_in_force: TimeInForce,
    ) {
        let makers = side.opposite();
        let mut left = quantity;
        while left > 0 {
            let first = self.resting.range((makers, i64::MIN, 0)..).next();
            let Some((&place, &(maker, open))) = first.filter(|(place, _)| place.0 == makers)
            else {
                break;
            };
            if place.1 > badness(makers, price) {
                break;
            }
            let at = Price(if makers == Side::Buy { -place.1 } else { place.1 });
            let traded = left.min(open);
            left -= traded;
            let quantity = Quantity(traded);
            self.events.push(BareEvent::Trade { maker, taker, price: at, quantity });
            if traded == open {
                self.resting.remove(&place);
                self.places.remove(&maker.0);
            } else {
                self.resting.insert(place, (maker, open - traded));
            }
        }
        if left > 0 && time_in_force == TimeInForce::Ioc {
            self.events.push(BareEvent::Canceled { order: taker, quantity: Quantity(left) });
        } else if left > 0 {
            self.arrivals += 1;
            let place = (side, badness(side, price), self.arrivals);
            self.resting.insert(place, (taker, left));
            self.places.insert(taker.0, place);
        }
    }
}
