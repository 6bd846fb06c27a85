//! Events in their full form, for the model, which has better things to do than to fill in fields.

use crate::model::Order;
use openoutcry::command::Command;
use openoutcry::event::{CommandResult, EventBody, MakerFill, OrderUpdate, Trade};
use openoutcry::exchange::Context;
use openoutcry::types::{OrderChange, OrderId, Price, Quantity, SessionId, Status};

/// The result of a command of which nothing has become yet.
pub(crate) fn result(ctx: &Context, command: &Command) -> CommandResult {
    CommandResult {
        status: Status::Done,
        reason: None,
        session: ctx.session,
        fill_count: 0,
        outbound: 0,
        client_sequence: ctx.client_sequence,
        order_id: OrderId(0),
        filled: Quantity(0),
        leaves: Quantity(0),
        time: ctx.time,
        account: command.account(),
    }
}

/// A trade of so much, which both orders have already.
pub(crate) fn trade(taker: &Order, maker: &Order, quantity: i64) -> EventBody {
    EventBody::Trade(Trade {
        instrument: taker.asked.instrument,
        taker_side: taker.asked.side,
        maker_order: maker.id,
        taker_order: taker.id,
        maker_account: maker.asked.account,
        taker_account: taker.asked.account,
        price: Price(maker.price),
        quantity: Quantity(quantity),
        maker_leaves: Quantity(maker.leaves()),
    })
}

/// The same as the session of an order is told.
pub(crate) fn fill(order: &Order, price: i64, quantity: i64) -> EventBody {
    EventBody::MakerFill(MakerFill {
        session: order.session,
        instrument: order.asked.instrument,
        outbound: 0,
        order_id: order.id,
        client_order_id: order.asked.client_order_id,
        price: Price(price),
        quantity: Quantity(quantity),
        filled: Quantity(order.filled),
        leaves: Quantity(order.leaves()),
    })
}

/// A change of an order that has so much left then.
pub(crate) fn update(order: &Order, change: OrderChange, leaves: i64) -> EventBody {
    EventBody::Update(OrderUpdate {
        change,
        session: order.session,
        instrument: order.asked.instrument,
        outbound: 0,
        order_id: order.id,
        client_order_id: order.asked.client_order_id,
        price: Price(order.price),
        quantity: Quantity(order.quantity),
        filled: Quantity(order.filled),
        leaves: Quantity(leaves),
    })
}

/// Whom an event is sent to beside the result, and the place of its number there.
pub(crate) fn address(event: &mut EventBody) -> (SessionId, &mut u64) {
    match event {
        EventBody::MakerFill(fill) => (fill.session, &mut fill.outbound),
        EventBody::Update(update) => (update.session, &mut update.outbound),
        _ => unreachable!("nothing else is sent so"),
    }
}
