//! What a session is told of its orders that it did not ask for.

use super::frame::{
    BUY, Body, CANCEL_ON_DISCONNECT, Draft, ENTER_ORDER, FLAG_AGAIN, Fill, Further, GTD, IOC,
    MASS_CANCEL, Message, Order, SELL, STOP, Update, cancel_on_disconnect, mass_cancel, now_ms,
};
use super::node::{Home, Node, Who, eventually};
use super::peer::{Peer, answer};

const PENDING: u8 = 3;
const DONE: u8 = 8;
const INVALID_SESSION: u16 = 141;

const TRIGGERED: u8 = 1;
const EXPIRED: u8 = 5;
const MASS_CANCELED: u8 = 6;
const DISCONNECTED: u8 = 7;
const UNFILLED: u8 = 8;
pub(super) const MASS_CANCEL_DONE: u8 = 9;

/// What stands in a book: side, price, quantity shown.
fn levels(peer: &mut Peer, instrument: u32) -> Vec<(u8, i64, i64)> {
    let rows = peer.book(instrument, 0, false).rows;
    rows.iter().map(|row| (row.side, row.price, row.quantity)).collect()
}

/// The next messages of a session that logs on with the last number it has.
fn again(node: &Node, name: &str, after: u64, count: usize) -> Vec<Message> {
    let mut peer = node.connect();
    peer.log_on_after(&Who::Operator.key(), name, after);
    let messages = (0..count).map(|_| peer.next()).collect();
    // Nothing more comes.
    peer.ping(1);
    messages
}

fn changed(update: Update) -> Message {
    Message { client_sequence: 0, again: false, body: Body::Update(update) }
}

fn filled(fill: Fill) -> Message {
    Message { client_sequence: 0, again: false, body: Body::Fill(fill) }
}

#[test]
fn a_stop_that_is_triggered_tells_its_session_and_nobody_else() {
    let home = Home::new();
    let node = home.start(&[]);
    let ground = node.ground();
    let of = |account, side, price, quantity| {
        Order::new(account, ground.instrument, side, price, quantity)
    };
    let mut maker = node.log_on(Who::Operator, "maker");
    maker.order(of(ground.seller, SELL, 1_000, 1));
    maker.order(of(ground.seller, SELL, 1_010, 5));
    let mut stopper = node.log_on(Who::Operator, "stopper");
    // It takes up to 5 % above its stop price.
    let order = Order { order_type: STOP, client_order_id: 77, ..of(4, BUY, 0, 9) };
    let stop = Further { stop_price: 1_000, ..Further::new(order) };
    let waiting = stopper.command(ENTER_ORDER, stop.payload());
    assert_eq!((waiting.status, waiting.leaves), (PENDING, 9), "{waiting:?}");
    assert_eq!(levels(&mut stopper, ground.instrument), [(SELL, 1_000, 1), (SELL, 1_010, 5)]);

    let mut taker = node.log_on(Who::Operator, "taker");
    let order = Order { time_in_force: IOC, ..of(ground.buyer, BUY, 1_000, 1) };
    let draft = taker.draft(ENTER_ORDER, Further::new(order).payload());
    let taken = answer(taker.ask(&draft));
    assert_eq!((taken.fill_count, &taken.fills[..]), (1, &[(1_000, 1)][..]));
    // The trades of the stop are none of the taker's.
    taker.ping(2);

    let told = stopper.update();
    assert_eq!((told.change, told.sequence, told.outbound), (TRIGGERED, taken.sequence, 2));
    assert_eq!((told.order_id, told.client_order_id), (waiting.order_id, 77));
    assert_eq!((told.instrument, told.filled, told.leaves), (ground.instrument, 0, 9));
    let fill = stopper.fill();
    assert_eq!((fill.order_id, fill.role, fill.last, fill.outbound), (told.order_id, 2, true, 3));
    assert_eq!((fill.price, fill.quantity, fill.filled, fill.leaves), (1_010, 5, 5, 4));
    let ended = stopper.update();
    assert_eq!((ended.change, ended.order_id, ended.outbound), (UNFILLED, told.order_id, 4));
    assert_eq!((ended.filled, ended.leaves), (5, 0));
    stopper.ping(3);
    let made = [maker.fill(), maker.fill()];
    assert_eq!(made.map(|fill| (fill.price, fill.quantity)), [(1_000, 1), (1_010, 5)]);
    assert!(levels(&mut maker, ground.instrument).is_empty());

    // A duplicate of the taker's order gets what the taker got.
    let message = taker.ask(&draft.clone().flags(FLAG_AGAIN));
    assert!(message.again);
    assert_eq!(answer(message), taken);
    taker.ping(4);
    // Who resumes gets all of it, also from a node that was started anew.
    let expected = [changed(told), filled(fill), changed(ended)];
    assert_eq!(again(&node, "stopper", 1, 3), expected);
    assert_eq!(again(&node, "stopper", 3, 1), expected[2..]);
    node.kill();
    let node = home.start(&[]);
    assert_eq!(again(&node, "stopper", 1, 3), expected);
    let mut taker = node.log_on(Who::Operator, "taker");
    taker.number_after(100);
    let message = taker.ask(&draft.flags(FLAG_AGAIN));
    assert_eq!((message.again, answer(message)), (true, taken));
    taker.ping(5);
}

#[test]
fn an_iceberg_trades_whole_and_shows_a_part() {
    let home = Home::new();
    let node = home.start(&[]);
    let ground = node.ground();
    let mut maker = node.log_on(Who::Operator, "maker");
    let order = Order::new(ground.seller, ground.instrument, SELL, 1_000, 10);
    let iceberg = Further { display_quantity: 2, ..Further::new(order) };
    let entered = maker.command(ENTER_ORDER, iceberg.payload());
    assert_eq!((entered.status, entered.leaves), (PENDING, 10), "{entered:?}");
    assert_eq!(levels(&mut maker, ground.instrument), [(SELL, 1_000, 2)]);
    let mut taker = node.log_on(Who::Operator, "taker");
    let taken = taker.order(Order::new(ground.buyer, ground.instrument, BUY, 1_000, 5));
    assert_eq!((taken.status, taken.filled, taken.leaves), (1, 5, 0));
    assert_eq!(taken.fills.iter().map(|(_, quantity)| quantity).sum::<i64>(), 5);
    let mut left = 10;
    while left > 5 {
        let fill = maker.fill();
        left -= fill.quantity;
        assert_eq!((fill.order_id, fill.leaves), (entered.order_id, left), "its whole leaves");
    }
    assert_eq!(left, 5);
    assert_eq!(levels(&mut maker, ground.instrument), [(SELL, 1_000, 1)]);
}

#[test]
fn a_mass_cancel_tells_the_sessions_of_the_orders_and_its_sender() {
    let home = Home::new();
    let node = home.start(&[]);
    let ground = node.ground();
    let of = |account, side, price| Order::new(account, ground.instrument, side, price, 1);
    let mut owner = node.log_on(Who::Operator, "owner");
    let orders = [of(4, BUY, 10), of(4, SELL, 20), of(4, BUY, 9), of(5, BUY, 8)];
    let ids = orders.map(|order| owner.order(order).order_id);
    let mut sender = node.log_on(Who::Operator, "sender");
    let accepted = sender.command(MASS_CANCEL, mass_cancel(4, ground.instrument, BUY, 0));
    assert_eq!((accepted.status, accepted.reason), (DONE, 0), "{accepted:?}");
    let done = sender.update();
    assert_eq!((done.change, done.order_id), (MASS_CANCEL_DONE, accepted.sequence));
    assert_eq!((done.quantity, done.instrument), (2, ground.instrument));
    let told = [owner.update(), owner.update()];
    assert_eq!(told.map(|update| update.order_id), [ids[0], ids[2]], "the oldest is first");
    for update in told {
        assert_eq!((update.change, update.leaves), (MASS_CANCELED, 0));
    }
    assert_eq!(told.map(|update| update.outbound), [5, 6]);
    assert_eq!(levels(&mut owner, ground.instrument), [(BUY, 8, 1), (SELL, 20, 1)]);
    drop(owner);
    assert_eq!(again(&node, "owner", 4, 2), told.map(changed));

    // Of one's own session alone, without an account.
    let mut trader = node.connect();
    let own = trader.log_on(&Who::TraderOfTwo.key(), "own").session;
    let entered = trader.order(of(2, BUY, 7));
    let foreign = trader.command(MASS_CANCEL, mass_cancel(0, 0, 0, own + 1));
    assert_eq!(foreign.reason, INVALID_SESSION, "{foreign:?}");
    let accepted = trader.command(MASS_CANCEL, mass_cancel(0, 0, 0, own));
    assert_eq!(accepted.status, DONE, "{accepted:?}");
    let update = trader.update();
    assert_eq!((update.change, update.order_id), (MASS_CANCELED, entered.order_id));
    let done = trader.update();
    assert_eq!((done.change, done.order_id), (MASS_CANCEL_DONE, accepted.sequence));
    assert_eq!(levels(&mut trader, ground.instrument), [(BUY, 8, 1), (SELL, 20, 1)]);
}

#[test]
fn orders_go_when_their_session_is_away_for_too_long() {
    let home = Home::new();
    let node = home.start(&[]);
    let ground = node.ground();
    let mut away = node.log_on(Who::Operator, "away");
    let asked = away.command(CANCEL_ON_DISCONNECT, cancel_on_disconnect(1, 50));
    assert_eq!(asked.status, DONE, "{asked:?}");
    let order = away.order(Order::new(4, ground.instrument, BUY, 10, 1));
    drop(away);
    let mut other = node.log_on(Who::Operator, "other");
    eventually("the order is cancelled", || levels(&mut other, ground.instrument).is_empty());
    let told = again(&node, "away", 2, 1);
    let Body::Update(update) = told[0].body else { panic!("{told:?}") };
    assert_eq!((update.change, update.order_id), (DISCONNECTED, order.order_id));
    assert_eq!((update.outbound, update.leaves), (3, 0));
}

#[test]
fn an_order_whose_time_is_over_is_told_to_its_session_when_nothing_else_happens() {
    let home = Home::new();
    let node = home.start(&[]);
    let ground = node.ground();
    let mut owner = node.log_on(Who::Operator, "owner");
    let order = Order { time_in_force: GTD, ..Order::new(4, ground.instrument, BUY, 10, 1) };
    let expires = now_ms().cast_unsigned() * 1_000_000 + 700_000_000;
    let entered = owner.command(ENTER_ORDER, Further { expires, ..Further::new(order) }.payload());
    assert_eq!(entered.status, PENDING, "{entered:?}");
    let update = owner.update();
    assert_eq!((update.change, update.order_id), (EXPIRED, entered.order_id));
    assert_eq!((update.outbound, update.leaves), (2, 0));
    assert!(update.sequence > entered.sequence);
    assert!(levels(&mut owner, ground.instrument).is_empty());
    drop(owner);
    assert_eq!(again(&node, "owner", 1, 1), [changed(update)]);
}

#[test]
fn a_duplicate_of_an_order_with_further_fields_gets_its_answer_in_every_bit_mode() {
    let home = Home::new();
    let node = home.start(&[]);
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "modes");
    let order = Order { client_order_id: 5, ..Order::new(4, ground.instrument, BUY, 10, 7) };
    let further = Further { display_quantity: 3, ..Further::new(order) };
    let draft = peer.draft(ENTER_ORDER, further.payload());
    let first = answer(peer.ask(&draft));
    let narrow = further.head().u8(5).0;
    let again = Draft { bit_mode: 1, payload: Some(narrow), ..draft }.flags(FLAG_AGAIN);
    let message = peer.ask(&again);
    assert!(message.again);
    assert_eq!(answer(message), first);
    peer.ping(1);
}
