//! What the model says, as events with all their fields and numbers.

use super::words::{Record, SessionStep};
use crate::model::Model;
use crate::model_order::{Order, State};
use crate::model_time::Sweep;
use openoutcry::event::RejectReason;
use openoutcry::event::{CommandResult, EventBody, MakerFill, OrderUpdate, SessionChange, Trade};
use openoutcry::exchange::Context;
use openoutcry::types::{
    AccountId, ClientOrderId, OrderChange, OrderId, Price, Quantity, SessionId, Status,
};
use std::collections::BTreeMap;

/// What happens with a record; orders are as they are right after that.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// Taker, maker and quantity.
    Trade(Order, Order, i64),
    Change(OrderChange, Order),
    /// A mass cancel is done.
    Done(Sweep),
}

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

    /// The events of a record that the model has applied, but for those that tell balances.
    pub(crate) fn events(
        &mut self,
        ctx: &Context,
        record: &Record,
        refused: Option<RejectReason>,
        model: &Model,
    ) -> Vec<EventBody> {
        let trades = model.notes.iter().filter_map(|note| match note {
            Note::Trade(taker, maker, quantity) => Some(trade(taker, maker, *quantity)),
            Note::Change(..) | Note::Done(_) => None,
        });
        let mut events = Vec::new();
        // The result tells of the command's own order.
        let mut told = OrderId(0);
        if let Record::Session(step) = record {
            events.extend(self.session(*step));
        } else {
            let mut result = result(ctx, record, refused, model.about.as_ref());
            told = result.order_id;
            let own = trades.clone().filter(|trade| trade.taker_order == told).count();
            result.fill_count = own as u32;
            result.outbound = self.next(ctx.session, 1 + own.saturating_sub(16) as u64);
            events.push(EventBody::Result(result));
        }
        events.extend(trades.map(EventBody::Trade));
        for note in &model.notes {
            match note {
                Note::Trade(taker, maker, quantity) => {
                    let stop = (taker.id != told).then_some(taker);
                    let told = [Some(maker), stop].into_iter().flatten();
                    for order in told.filter(|order| order.session.0 != 0) {
                        let outbound = self.next(order.session, 1);
                        events.push(fill(order, maker.price, *quantity, outbound));
                    }
                }
                Note::Change(change, order) => {
                    events.push(update(order, *change, self.next(order.session, 1)));
                }
                Note::Done(sweep) => {
                    let done = sweep.teller.map(|teller| done(sweep, teller, self.next(teller, 1)));
                    events.extend(done);
                }
            }
        }
        events
    }

    fn session(&self, step: SessionStep) -> Option<EventBody> {
        let (session, active) = match step {
            SessionStep::Logon { session, .. } => (session, true),
            SessionStep::Logout(session) => (session, false),
            SessionStep::Lose | SessionStep::Tick => return None,
        };
        let outbound = self.0.get(&session).copied().unwrap_or(0);
        Some(EventBody::Session(SessionChange { session, active, outbound }))
    }
}

fn result(
    ctx: &Context,
    record: &Record,
    refused: Option<RejectReason>,
    order: Option<&Order>,
) -> CommandResult {
    let filled = order.map_or(0, |order| order.filled);
    let is_live = |order: &&Order| matches!(order.state, State::Waits | State::Open);
    let leaves = order.filter(is_live).map_or(0, Order::leaves);
    let status = match order {
        _ if refused.is_some() => Status::Rejected,
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
        reason: refused.or(prevented.map(|_| RejectReason::SelfTradePrevented)),
        session: ctx.session,
        fill_count: 0,
        outbound: 0,
        client_sequence: ctx.client_sequence,
        order_id: order.map_or(OrderId(0), |order| order.id),
        filled: Quantity(filled),
        leaves: Quantity(leaves),
        time: ctx.time,
        account: match record {
            Record::Command(command) => command.account(),
            _ => AccountId(0),
        },
    }
}

/// The sender is told that its mass cancel is done.
fn done(sweep: &Sweep, session: SessionId, outbound: u64) -> EventBody {
    EventBody::Update(OrderUpdate {
        change: OrderChange::MassCancelDone,
        session,
        instrument: sweep.asked.instrument,
        outbound,
        order_id: sweep.id,
        client_order_id: ClientOrderId(0),
        price: Price(0),
        quantity: Quantity(sweep.canceled),
        filled: Quantity(0),
        leaves: Quantity(0),
    })
}

/// A trade of so much, which both orders have already.
fn trade(taker: &Order, maker: &Order, quantity: i64) -> Trade {
    Trade {
        instrument: taker.instrument,
        taker_side: taker.side,
        maker_order: maker.id,
        taker_order: taker.id,
        maker_account: maker.account,
        taker_account: taker.account,
        price: maker.price,
        quantity: Quantity(quantity),
        maker_leaves: Quantity(maker.leaves()),
    }
}

/// The same as the session of an order is told.
fn fill(order: &Order, price: Price, quantity: i64, outbound: u64) -> EventBody {
    EventBody::MakerFill(MakerFill {
        session: order.session,
        instrument: order.instrument,
        outbound,
        order_id: order.id,
        client_order_id: order.client_order_id,
        price,
        quantity: Quantity(quantity),
        filled: Quantity(order.filled),
        leaves: Quantity(order.leaves()),
    })
}

/// A change of an order: what has ended with it has nothing left.
fn update(order: &Order, change: OrderChange, outbound: u64) -> EventBody {
    use OrderChange::{Disconnected, Expired, MassCanceled, SelfTrade, Unfilled};
    let has_ended = matches!(change, Disconnected | Expired | MassCanceled | SelfTrade | Unfilled);
    EventBody::Update(OrderUpdate {
        change,
        session: order.session,
        instrument: order.instrument,
        outbound,
        order_id: order.id,
        client_order_id: order.client_order_id,
        price: order.price,
        quantity: order.quantity,
        filled: Quantity(order.filled),
        leaves: Quantity(if has_ended { 0 } else { order.leaves() }),
    })
}
