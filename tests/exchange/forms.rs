//! What the model says, as events with all their fields and numbers.

use crate::model::{Note, Order, Outcome, State};
use openoutcry::command::Command;
use openoutcry::event::RejectReason;
use openoutcry::event::{CommandResult, EventBody, MakerFill, OrderUpdate, Trade};
use openoutcry::exchange::Context;
use openoutcry::types::{OrderChange, OrderId, Price, Quantity, SessionId, Status};
use std::collections::BTreeMap;

/// Of each session the number of the last event that it was sent.
#[derive(Default)]
pub(crate) struct Numbers(BTreeMap<SessionId, u64>);

impl Numbers {
    /// The first of so many numbers more.
    fn next(&mut self, session: SessionId, count: u64) -> u64 {
        let last = self.0.entry(session).or_default();
        *last += count;
        if session.0 == 0 { 0 } else { *last - count + 1 }
    }

    /// A command's events, but for those that tell balances.
    pub(crate) fn events(
        &mut self,
        ctx: &Context,
        command: &Command,
        outcome: &Outcome,
    ) -> Vec<EventBody> {
        let mut result = result(ctx, command, outcome);
        let trades = outcome.notes.iter().filter_map(|note| match note {
            Note::Trade(taker, maker, quantity) => Some(trade(taker, maker, *quantity)),
            Note::Change(..) => None,
        });
        let is_own = |trade: &Trade| trade.taker_order == result.order_id;
        let own = trades.clone().filter(is_own).count();
        result.fill_count = own as u32;
        result.outbound = self.next(ctx.session, 1 + own.saturating_sub(16) as u64);
        let mut events = vec![EventBody::Result(result)];
        events.extend(trades.map(EventBody::Trade));
        for note in &outcome.notes {
            match note {
                Note::Trade(taker, maker, quantity) => {
                    // The result tells of the command's own order.
                    let stop = (taker.id != result.order_id).then_some(taker);
                    let told = [Some(maker), stop].into_iter().flatten();
                    for order in told.filter(|order| order.session.0 != 0) {
                        let outbound = self.next(order.session, 1);
                        events.push(fill(order, maker.price, *quantity, outbound));
                    }
                }
                Note::Change(change, order) => {
                    events.push(update(order, *change, self.next(order.session, 1)));
                }
            }
        }
        events
    }
}

fn result(ctx: &Context, command: &Command, outcome: &Outcome) -> CommandResult {
    let order = outcome.order.as_ref();
    let filled = order.map_or(0, |order| order.filled);
    let is_live = |order: &&Order| matches!(order.state, State::Waits | State::Open);
    let leaves = order.filter(is_live).map_or(0, Order::leaves);
    let status = match order {
        _ if outcome.refused.is_some() => Status::Rejected,
        None => Status::Done,
        Some(order) if is_live(&order) && filled == 0 => Status::Pending,
        Some(order) if is_live(&order) => Status::PartialFilled,
        Some(_) if filled == 0 => Status::FullyCanceled,
        Some(order) if order.state == State::Ended && order.leaves() == 0 => Status::FullyFilled,
        Some(_) => Status::PartialCanceled,
    };
    let prevented = order.filter(|order| order.state == State::Prevented);
    CommandResult {
        status,
        reason: outcome.refused.or(prevented.map(|_| RejectReason::SelfTradePrevented)),
        session: ctx.session,
        fill_count: 0,
        outbound: 0,
        client_sequence: ctx.client_sequence,
        order_id: order.map_or(OrderId(0), |order| order.id),
        filled: Quantity(filled),
        leaves: Quantity(leaves),
        time: ctx.time,
        account: command.account(),
    }
}

/// A trade of so much, which both orders have already.
fn trade(taker: &Order, maker: &Order, quantity: i64) -> Trade {
    Trade {
        instrument: taker.asked.instrument,
        taker_side: taker.asked.side,
        maker_order: maker.id,
        taker_order: taker.id,
        maker_account: maker.asked.account,
        taker_account: taker.asked.account,
        price: Price(maker.price),
        quantity: Quantity(quantity),
        maker_leaves: Quantity(maker.leaves()),
    }
}

/// The same as the session of an order is told.
fn fill(order: &Order, price: i64, quantity: i64, outbound: u64) -> EventBody {
    EventBody::MakerFill(MakerFill {
        session: order.session,
        instrument: order.asked.instrument,
        outbound,
        order_id: order.id,
        client_order_id: order.asked.client_order_id,
        price: Price(price),
        quantity: Quantity(quantity),
        filled: Quantity(order.filled),
        leaves: Quantity(order.leaves()),
    })
}

/// A change of an order: what has ended with it has nothing left.
fn update(order: &Order, change: OrderChange, outbound: u64) -> EventBody {
    use OrderChange::{Expired, SelfTrade, Unfilled};
    let has_ended = matches!(change, Expired | SelfTrade | Unfilled);
    EventBody::Update(OrderUpdate {
        change,
        session: order.session,
        instrument: order.asked.instrument,
        outbound,
        order_id: order.id,
        client_order_id: order.asked.client_order_id,
        price: Price(order.price),
        quantity: Quantity(order.quantity),
        filled: Quantity(order.filled),
        leaves: Quantity(if has_ended { 0 } else { order.leaves() }),
    })
}
