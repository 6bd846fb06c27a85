//! Commands and what the exchange makes of them, as told on the wire.

use super::frame::{
    Answer, BUY, CANCEL_ORDER, DEPOSIT, Draft, Fields, IOC, NEW_ORDER, Order, REPLACE_ORDER, SELL,
    TRANSFER, WITHDRAW, amount, cancel, now_ms,
};
use super::node::{BASE, FUNDS, Ground, PRICE_MAX, QUANTITY_MAX, QUOTE, Who, shared};
use super::peer::{Peer, answer};

const FULLY_FILLED: u8 = 1;
const PARTIAL_FILLED: u8 = 2;
const PENDING: u8 = 3;
const FULLY_CANCELED: u8 = 4;
const PARTIAL_CANCELED: u8 = 5;
const REJECTED: u8 = 6;
const DONE: u8 = 8;

fn buy(ground: &Ground, price: i64, quantity: i64) -> Order {
    Order::new(ground.buyer, ground.instrument, BUY, price, quantity)
}

fn sell(ground: &Ground, price: i64, quantity: i64) -> Order {
    Order::new(ground.seller, ground.instrument, SELL, price, quantity)
}

fn replace(ground: &Ground, order_id: u64, price: i64, quantity: i64, own: i64) -> Vec<u8> {
    Fields::default()
        .u64(ground.buyer)
        .u32(ground.instrument)
        .u64(order_id)
        .i64(price)
        .i64(quantity)
        .i64(own)
        .0
}

fn transfer(from: u64, to: u64, asset: u32, amount: i64) -> Vec<u8> {
    Fields::default().u64(from).u64(to).u32(asset).i64(amount).0
}

/// Status, filled, leaves.
fn state(answer: &Answer) -> (u8, i64, i64) {
    assert_eq!(answer.reason, 0, "{answer:?}");
    (answer.status, answer.filled, answer.leaves)
}

/// The reason of an answer that changed nothing.
fn refused(answer: &Answer) -> u16 {
    assert_eq!((answer.status, answer.fill_count), (REJECTED, 0), "{answer:?}");
    answer.reason
}

#[test]
fn an_order_lives_from_entry_to_its_end() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "life");
    let entered = peer.order(Order { client_order_id: 7, ..buy(&ground, 100, 10) });
    assert_eq!(state(&entered), (PENDING, 0, 10));
    assert_eq!(entered.order_id, entered.sequence);
    let off = entered.time.abs_diff(u64::try_from(now_ms()).expect("a time") * 1_000_000);
    assert!(off < 60_000_000_000, "{off} ns off");

    let replaced = peer.command(REPLACE_ORDER, replace(&ground, entered.order_id, 101, 8, 0));
    assert_eq!(state(&replaced), (PENDING, 0, 8));
    assert_eq!(replaced.order_id, entered.order_id);
    let mut seller = node.log_on(Who::Operator, "life of the other");
    let sold = seller.order(sell(&ground, 50, 3));
    assert_eq!(state(&sold), (FULLY_FILLED, 3, 0));
    assert_eq!((sold.fill_count, &sold.fills[..]), (1, &[(101, 3)][..]));
    let fill = peer.fill();
    assert_eq!((fill.order_id, fill.client_order_id), (entered.order_id, 7));
    assert_eq!((fill.sequence, fill.instrument), (sold.sequence, ground.instrument));
    assert_eq!((fill.price, fill.quantity, fill.filled, fill.leaves), (101, 3, 3, 5));
    assert_eq!((fill.role, fill.last), (2, true));

    // By its own number, which is the key where the id is 0.
    let payload = replace(&ground, 0, 101, 3, 7);
    let shrunk = peer.command(REPLACE_ORDER, payload);
    assert!(matches!(refused(&shrunk), 111), "filled that much already");
    let payload = replace(&ground, 0, 101, 5, 7);
    assert_eq!(state(&peer.command(REPLACE_ORDER, payload)), (PARTIAL_FILLED, 3, 2));
    let payload = cancel(ground.buyer, ground.instrument, 0, 7);
    let cancelled = peer.command(CANCEL_ORDER, payload.clone());
    assert_eq!(state(&cancelled), (PARTIAL_CANCELED, 3, 0));
    assert_eq!(cancelled.order_id, entered.order_id);
    assert_eq!(refused(&peer.command(CANCEL_ORDER, payload)), 103);
    // One number a message, without a gap.
    let numbers = [entered.outbound, replaced.outbound, fill.outbound, shrunk.outbound];
    assert_eq!(numbers, [1, 2, 3, 4].map(|step| entered.outbound - 1 + step));
    // The number is free again.
    let again = peer.order(Order { client_order_id: 7, ..buy(&ground, 100, 1) });
    assert_eq!(state(&again), (PENDING, 0, 1));
    let payload = cancel(ground.buyer, ground.instrument, again.order_id, 0);
    assert_eq!(state(&peer.command(CANCEL_ORDER, payload)), (FULLY_CANCELED, 0, 0));
}

#[test]
fn an_ioc_order_never_rests() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "ioc");
    let ioc = |order: Order| Order { time_in_force: IOC, ..order };
    assert_eq!(state(&peer.order(ioc(buy(&ground, 10, 5)))), (FULLY_CANCELED, 0, 0));
    let mut maker = node.log_on(Who::Operator, "ioc maker");
    maker.order(sell(&ground, 10, 2));
    assert_eq!(state(&peer.order(ioc(buy(&ground, 10, 5)))), (PARTIAL_CANCELED, 2, 0));
    maker.fill();
    maker.order(sell(&ground, 10, 2));
    assert_eq!(state(&peer.order(ioc(buy(&ground, 10, 2)))), (FULLY_FILLED, 2, 0));
    assert!(peer.book(ground.instrument, 0, true).rows.is_empty());
}

#[test]
fn prices_and_quantities_are_positive_and_in_bounds() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "bounds");
    for price in [0, -1, i64::MIN, PRICE_MAX + 1, i64::MAX] {
        assert_eq!(refused(&peer.order(buy(&ground, price, 1))), 104, "price {price}");
    }
    for quantity in [0, -1, i64::MIN, QUANTITY_MAX + 1, i64::MAX] {
        assert_eq!(refused(&peer.order(buy(&ground, 1, quantity))), 105, "quantity {quantity}");
    }
    // Price times quantity does not fit 64 bits.
    let reason = refused(&peer.order(buy(&ground, PRICE_MAX, QUANTITY_MAX)));
    assert!(matches!(reason, 107 | 108), "{reason}");
    assert_eq!(refused(&peer.order(buy(&ground, FUNDS + 1, 1))), 107);
    assert_eq!(refused(&peer.order(sell(&ground, 1, FUNDS + 1))), 107);
    // The bounds themselves are in.
    assert_eq!(state(&peer.order(buy(&ground, 1, FUNDS))).0, PENDING);
    assert_eq!(refused(&peer.order(buy(&ground, 1, 1))), 107, "all is frozen");
    let rest = peer.account(ground.buyer, 0);
    let order = rest.orders[0].order_id;
    for (price, quantity, expected) in [
        (0, 1, 104),
        (-5, 1, 104),
        (PRICE_MAX + 1, 1, 104),
        (1, 0, 105),
        (1, -1, 105),
        (1, QUANTITY_MAX + 1, 105),
        (2, FUNDS, 107),
    ] {
        let payload = replace(&ground, order, price, quantity, 0);
        let reason = refused(&peer.command(REPLACE_ORDER, payload));
        assert_eq!(reason, expected, "{price} {quantity}");
    }
    let payload = replace(&ground, order, PRICE_MAX, QUANTITY_MAX, 0);
    assert!(matches!(refused(&peer.command(REPLACE_ORDER, payload)), 107 | 108));
    assert_eq!(peer.account(ground.buyer, 0).balances, rest.balances);
}

#[test]
fn unknown_numbers_are_told_by_name() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "unknown");
    let good = buy(&ground, 1, 1);
    for instrument in [0, 41, u32::MAX] {
        let answer = peer.order(Order { instrument, ..good });
        assert_eq!(refused(&answer), 100, "instrument {instrument}");
        let payload = cancel(ground.buyer, instrument, 5, 0);
        assert_eq!(refused(&peer.command(CANCEL_ORDER, payload)), 100);
    }
    for account in [0, 202, u64::MAX] {
        assert_eq!(refused(&peer.order(Order { account, ..good })), 102, "account {account}");
        let payload = amount(account, QUOTE, 1);
        assert_eq!(refused(&peer.command(DEPOSIT, payload.clone())), 102);
        assert_eq!(refused(&peer.command(WITHDRAW, payload)), 102);
        let payload = transfer(ground.buyer, account, QUOTE, 1);
        assert_eq!(refused(&peer.command(TRANSFER, payload)), 102);
        let payload = transfer(account, ground.buyer, QUOTE, 1);
        assert_eq!(refused(&peer.command(TRANSFER, payload)), 102);
    }
    for asset in [0, 3, u32::MAX] {
        let payload = amount(ground.buyer, asset, 1);
        assert_eq!(refused(&peer.command(DEPOSIT, payload.clone())), 101, "asset {asset}");
        assert_eq!(refused(&peer.command(WITHDRAW, payload)), 101);
        let payload = transfer(ground.buyer, ground.seller, asset, 1);
        assert_eq!(refused(&peer.command(TRANSFER, payload)), 101);
    }
    let other = peer.order(sell(&ground, 5, 1));
    let numbers = [(1, 111), (other.order_id, 111), (other.order_id + 1000, 103), (u64::MAX, 103)];
    for (order_id, reason) in numbers {
        let payload = cancel(ground.buyer, ground.instrument, order_id, 0);
        assert_eq!(refused(&peer.command(CANCEL_ORDER, payload)), reason, "order {order_id}");
        let payload = replace(&ground, order_id, 1, 1, 0);
        assert_eq!(refused(&peer.command(REPLACE_ORDER, payload)), reason, "order {order_id}");
    }
    let payload = cancel(ground.buyer, ground.instrument, 0, 0);
    assert_eq!(refused(&peer.command(CANCEL_ORDER, payload)), 103, "named by nothing");
    let payload = cancel(ground.buyer, ground.instrument, 0, 12345);
    assert_eq!(refused(&peer.command(CANCEL_ORDER, payload)), 103, "a number never used");
    let first = peer.order(Order { client_order_id: 9, ..good });
    assert_eq!(state(&first).0, PENDING);
    assert_eq!(refused(&peer.order(Order { client_order_id: 9, ..good })), 109);
}

#[test]
fn money_moves_only_as_far_as_it_goes() {
    let node = shared();
    let ground = node.ground();
    let (from, to) = (ground.buyer, ground.seller);
    let mut peer = node.log_on(Who::Operator, "money");
    let mut done = |schema: u32, payload: Vec<u8>| {
        let answer = peer.command(schema, payload);
        if answer.reason == 0 {
            assert_eq!((answer.status, answer.order_id), (DONE, 0), "{answer:?}");
        }
        answer.reason
    };
    assert_eq!(done(DEPOSIT, amount(from, BASE, 5)), 0);
    assert_eq!(done(WITHDRAW, amount(from, BASE, FUNDS + 5)), 0);
    assert_eq!(done(WITHDRAW, amount(from, BASE, 1)), 107);
    assert_eq!(done(TRANSFER, transfer(from, to, QUOTE, FUNDS)), 0);
    assert_eq!(done(TRANSFER, transfer(from, to, QUOTE, 1)), 107);
    for wrong in [0, -1, i64::MIN] {
        assert_eq!(done(DEPOSIT, amount(from, BASE, wrong)), 106, "{wrong}");
        assert_eq!(done(WITHDRAW, amount(to, BASE, wrong)), 106, "{wrong}");
        assert_eq!(done(TRANSFER, transfer(to, from, BASE, wrong)), 106, "{wrong}");
    }
    assert_eq!(done(DEPOSIT, amount(from, BASE, i64::MAX)), 108, "the venue owes that much");
    assert_eq!(done(WITHDRAW, amount(to, BASE, i64::MAX)), 107);
    assert_eq!(done(TRANSFER, transfer(to, to, QUOTE, 1)), 115);
    assert_eq!(done(DEPOSIT, amount(1, QUOTE, 1)), 116);
    assert_eq!(done(TRANSFER, transfer(to, 1, QUOTE, 1)), 116);
    assert_eq!(peer.account(from, 0).balances, []);
    let rich = [(BASE, FUNDS, 0), (QUOTE, 2 * FUNDS, 0)];
    assert_eq!(peer.account(to, 0).balances, rich);
}

#[test]
fn what_lived_too_long_is_expired() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "ttl");
    let mut sent = |timestamp: i64, ttl: u32| {
        let mut metadata = peer.metadata();
        (metadata.timestamp, metadata.ttl) = (timestamp, ttl);
        let payload = buy(&ground, 1, 1).payload();
        let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, payload);
        answer(peer.ask(&draft))
    };
    let now = now_ms();
    for (timestamp, ttl) in [(now - 10_000, 1), (now - 10_000, 9000), (1, 1), (-5, 5)] {
        let answer = sent(timestamp, ttl);
        assert_eq!(refused(&answer), 110, "{timestamp} + {ttl}");
    }
    for (timestamp, ttl) in [(now, 60_000), (now - 10_000, 0), (now - 10_000, u32::MAX)] {
        assert_eq!(state(&sent(timestamp, ttl)).0, PENDING, "{timestamp} + {ttl}");
    }
    assert_eq!(peer.book(ground.instrument, 0, true).rows.len(), 3);
}

#[test]
fn a_sweep_of_forty_orders_tells_every_fill_once() {
    let node = shared();
    let ground = node.ground();
    let mut makers: Vec<Peer> =
        (0..2).map(|number| node.log_on(Who::Operator, &format!("maker {number}"))).collect();
    let rested: Vec<Answer> = (0..40)
        .map(|number| {
            let order = sell(&ground, 100 + number, 1 + number % 3);
            let order = Order { client_order_id: 1000 + number, ..order };
            makers[usize::try_from(number % 2).expect("0 or 1")].order(order)
        })
        .collect();
    let mut taker = node.log_on(Who::Operator, "taker");
    let all: i64 = rested.iter().map(|answer| answer.leaves).sum();
    let order = Order { time_in_force: IOC, ..buy(&ground, 200, all + 5) };
    let answer = taker.order(Order { client_order_id: 5, ..order });
    assert_eq!(state(&answer), (PARTIAL_CANCELED, all, 0));
    assert_eq!((answer.fill_count, answer.fills.len()), (40, 16));
    let mut fills = answer.fills.clone();
    let mut filled: i64 = fills.iter().map(|fill| fill.1).sum();
    for number in 0..24_u64 {
        let fill = taker.fill();
        filled += fill.quantity;
        assert_eq!(fill.outbound, answer.outbound + 1 + number);
        assert_eq!((fill.sequence, fill.role), (answer.sequence, 1));
        assert_eq!((fill.order_id, fill.client_order_id), (answer.order_id, 0));
        assert_eq!((fill.filled, fill.last), (filled, number == 23));
        fills.push((fill.price, fill.quantity));
    }
    let expected: Vec<(i64, i64)> =
        rested.iter().zip(100..).map(|(order, price)| (price, order.leaves)).collect();
    assert_eq!(fills, expected);
    taker.ping(1);

    let mut indexes = Vec::new();
    for (side, maker) in makers.iter_mut().enumerate() {
        let own = rested.iter().enumerate().filter(|(number, _)| number % 2 == side);
        for (place, (number, entered)) in own.enumerate() {
            let fill = maker.fill();
            assert_eq!(
                (fill.order_id, fill.client_order_id),
                (entered.order_id, 1000 + number as u64)
            );
            assert_eq!((fill.price, fill.quantity), expected[number]);
            assert_eq!((fill.filled, fill.leaves), (entered.leaves, 0));
            assert_eq!((fill.role, fill.last), (2, true));
            assert_eq!(fill.outbound, 20 + 1 + place as u64 + first_outbound(&rested[side]));
            indexes.push(fill.index);
        }
        maker.ping(1);
    }
    indexes.sort_unstable();
    indexes.dedup();
    assert_eq!(indexes.len(), 40, "each has its place among the command's events");
    // The numbers of the sweep are taken: the next answer has the one after.
    let next = taker.order(buy(&ground, 1, 1));
    assert_eq!(next.outbound, answer.outbound + 25);
    assert!(next.order_id > answer.order_id);
}

/// Outbound messages of the session before an answer, which was its first here.
fn first_outbound(answer: &Answer) -> u64 {
    answer.outbound - 1
}

#[test]
fn unsupported_kinds_of_orders_are_refused() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "kinds");
    let good = buy(&ground, 1, 1);
    let orders = [
        Order { order_type: 0, ..good },
        Order { order_type: 9, ..good },
        Order { time_in_force: 2, ..good },
        Order { time_in_force: 200, ..good },
    ];
    for order in orders {
        let draft = peer.draft_order(order);
        let message = peer.ask(&draft);
        assert_eq!(super::peer::reason(&message), 17, "{order:?}");
    }
    // Reprice without post-only, a mode of self-trade that does not exist, bits without a meaning.
    for flags in [0x10, 0x0c, 0x20, 0x80, 0xff] {
        assert_eq!(refused(&peer.order(Order { flags, ..good })), 113, "flags {flags}");
    }
    // Kinds for which a new order lacks a field.
    for order in [Order { order_type: 3, ..good }, Order { time_in_force: 6, ..good }] {
        let reason = refused(&peer.order(order));
        assert!([113, 127, 130].contains(&reason), "{order:?}: {reason}");
    }
    assert!(peer.book(ground.instrument, 0, true).rows.is_empty());
}
