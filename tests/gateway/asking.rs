//! Queries: books, accounts and reference data.

use super::frame::{BUY, Body, Draft, Fields, Order, REFERENCE_QUERY, Row, SELL};
use super::node::{BASE, FUNDS, QUOTE, Who, shared};
use super::peer::{Peer, book_query, reason};
use serde_json::Value;

fn query_of_account(peer: &mut Peer, account: u64) -> Draft {
    Draft::session(68, peer.sequence(), Fields::default().u64(account).u64(0).0)
}

#[test]
fn a_book_shows_levels_and_orders_best_first() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "book");
    let empty = peer.book(ground.instrument, 0, false);
    assert_eq!((empty.last_price, empty.more, empty.rows.len()), (0, false, 0));
    let mut ids = Vec::new();
    for (side, account, price, quantity) in [
        (BUY, ground.buyer, 10, 1),
        (BUY, ground.buyer, 11, 2),
        (BUY, ground.buyer, 10, 3),
        (SELL, ground.seller, 20, 4),
        (SELL, ground.seller, 19, 5),
    ] {
        let answer = peer.order(Order::new(account, ground.instrument, side, price, quantity));
        ids.push(answer.order_id);
    }
    let row = |side, price, quantity, last| Row { side, price, quantity, last };
    let levels = peer.book(ground.instrument, 0, false);
    assert_eq!(
        levels.rows,
        [row(BUY, 11, 2, 1), row(BUY, 10, 4, 2), row(SELL, 19, 5, 1), row(SELL, 20, 4, 1)]
    );
    assert!(levels.sequence >= ids[4]);
    let orders = peer.book(ground.instrument, 0, true);
    assert_eq!(
        orders.rows,
        [
            row(BUY, 11, 2, ids[1]),
            row(BUY, 10, 1, ids[0]),
            row(BUY, 10, 3, ids[2]),
            row(SELL, 19, 5, ids[4]),
            row(SELL, 20, 4, ids[3]),
        ]
    );
    let one = peer.book(ground.instrument, 1, false);
    assert_eq!(one.rows, [row(BUY, 11, 2, 1), row(SELL, 19, 5, 1)]);
    assert!(one.more);
    let one = peer.book(ground.instrument, 1, true);
    assert_eq!(one.rows, [row(BUY, 11, 2, ids[1]), row(SELL, 19, 5, ids[4])]);
    assert!(one.more);
    peer.order(Order::new(ground.seller, ground.instrument, SELL, 11, 1));
    // Our own order was met, and we are told so.
    let rest = peer.fill();
    assert_eq!((rest.order_id, rest.leaves), (ids[1], 1));
    assert_eq!(peer.book(ground.instrument, 0, false).last_price, 11);
}

#[test]
fn a_deep_book_is_cut_and_says_so() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "deep");
    let frames: Vec<u8> = (0..300)
        .flat_map(|step| {
            let order = Order::new(ground.buyer, ground.instrument, BUY, 1 + step, 1);
            peer.draft_order(order).seal()
        })
        .collect();
    peer.send(&frames);
    for _ in 0..300 {
        peer.next();
    }
    for orders in [false, true] {
        let most = if orders { 128 } else { 256 };
        for depth in [0, 2, 127, 128, 129, 255, 256, 257, u16::MAX] {
            let asked = if depth == 0 { 256 } else { usize::from(depth) };
            let rows = asked.min(most);
            let book = peer.book(ground.instrument, depth, orders);
            assert_eq!((book.rows.len(), book.more), (rows, true), "depth {depth}");
            assert_eq!(book.rows[0].price, 300);
            assert!(book.rows.is_sorted_by(|a, b| a.price > b.price));
        }
    }
    // An account's orders come in pages.
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let page = peer.account(ground.buyer, after);
        assert_eq!(page.balances.is_empty(), after != 0, "balances come with the first page");
        after = page.orders.last().map_or(0, |order| order.order_id);
        all.extend(page.orders);
        if !page.more {
            break;
        }
    }
    assert_eq!(all.len(), 300);
    assert!(all.is_sorted_by(|a, b| a.order_id < b.order_id));
    assert_eq!(
        all.iter().map(|order| order.price).collect::<Vec<_>>(),
        (1..=300).collect::<Vec<_>>()
    );
}

#[test]
fn an_account_shows_what_is_free_and_what_is_frozen() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "account");
    let fresh = peer.account(ground.buyer, 0);
    assert_eq!(fresh.balances, [(BASE, FUNDS, 0), (QUOTE, FUNDS, 0)]);
    assert!(fresh.orders.is_empty() && !fresh.more);
    let order = Order::new(ground.buyer, ground.instrument, BUY, 10, 5);
    let entered = peer.order(Order { client_order_id: 77, ..order });
    let sold = peer.order(Order::new(ground.seller, ground.instrument, SELL, 10, 2));
    peer.fill();
    let account = peer.account(ground.buyer, 0);
    assert!(account.sequence >= sold.sequence);
    assert_eq!(account.balances, [(BASE, FUNDS + 2, 0), (QUOTE, FUNDS - 50, 30)]);
    let row = account.orders[0];
    assert_eq!((row.order_id, row.client_order_id), (entered.order_id, 77));
    assert_eq!((row.instrument, row.side, row.price), (ground.instrument, BUY, 10));
    assert_eq!((row.quantity, row.filled, row.leaves), (5, 2, 3));
    assert!(peer.account(ground.buyer, entered.order_id).orders.is_empty());
    let seller = peer.account(ground.seller, 0);
    assert_eq!(seller.balances, [(BASE, FUNDS - 2, 0), (QUOTE, FUNDS + 20, 0)]);
}

#[test]
fn a_query_for_what_is_not_there_is_refused() {
    let node = shared();
    let mut peer = node.log_on(Who::Operator, "not there");
    for instrument in [0, 41, u32::MAX] {
        let draft = book_query(peer.sequence(), instrument, 0, false);
        assert_eq!(reason(&peer.ask(&draft)), 100, "instrument {instrument}");
    }
    for account in [0, 202, u64::MAX] {
        let draft = query_of_account(&mut peer, account);
        assert_eq!(reason(&peer.ask(&draft)), 102, "account {account}");
    }
    // A trader is not told which accounts exist.
    let mut trader = node.log_on(Who::TraderOfTwo, "not there");
    let draft = query_of_account(&mut trader, 202);
    assert_eq!(reason(&trader.ask(&draft)), 20);
}

#[test]
fn reference_data_comes_in_pages() {
    let node = shared();
    let mut peer = node.log_on(Who::Reader, "reference");
    let (mut asset, mut instrument) = (0, 0);
    let (mut assets, mut instruments): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let payload = Fields::default().u32(asset).u32(instrument).0;
        let draft = Draft::session(REFERENCE_QUERY, peer.sequence(), payload);
        let Body::Reference { more, text } = peer.ask(&draft).body else {
            panic!("a reference answer")
        };
        let page: Value = serde_json::from_str(&text).expect("JSON");
        assets.extend(page["assets"].as_array().expect("a list").iter().cloned());
        instruments.extend(page["instruments"].as_array().expect("a list").iter().cloned());
        let last = |rows: &[Value]| {
            let id = rows.last().map_or(0, |row| row["id"].as_u64().expect("a number"));
            u32::try_from(id).expect("32 bits")
        };
        (asset, instrument) = (last(&assets), last(&instruments));
        if !more {
            break;
        }
    }
    let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].as_u64()).collect::<Vec<_>>();
    assert_eq!(ids(&assets), [Some(1), Some(2)]);
    assert_eq!(ids(&instruments), (1..=40).map(Some).collect::<Vec<_>>());
    assert_eq!(assets[0]["symbol"], "LOT");
    assert_eq!(assets[0]["scale"], 0);
    let first = &instruments[0];
    for (field, expected) in [
        ("base", 1_i64),
        ("quote", 2),
        ("price_scale", 0),
        ("tick_units", 1),
        ("quantity_scale", 0),
        ("lot_units", 1),
        ("base_per_lot", 1),
        ("quote_per_tick_lot", 1),
        ("quantity_min", 1),
        ("quantity_max", super::node::QUANTITY_MAX),
        ("price_max", super::node::PRICE_MAX),
    ] {
        assert_eq!(first[field], expected, "{field}");
    }
    assert_eq!(first["symbol"], "LOT1-USD");
}
