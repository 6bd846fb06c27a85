//! What a key may do, and for whom.

use super::frame::{
    BUY, Body, CANCEL_ON_DISCONNECT, CANCEL_ORDER, DEPOSIT, Draft, ENTER_ORDER, Fields, Further,
    MASS_CANCEL, NEW_ORDER, Order, REPLACE_ORDER, SELL, TRANSFER, WITHDRAW, amount, cancel,
    cancel_on_disconnect, mass_cancel,
};
use super::node::{BASE, QUOTE, Who, shared};
use super::peer::{Peer, book_query, reason};
use super::told::MASS_CANCEL_DONE;

const NOT_ENTITLED: u16 = 20;
const KEY_NOT_ENTITLED: u16 = 114;

/// A command that the key may not give: refused before the sequence or by the exchange.
fn assert_forbidden(peer: &mut Peer, schema: u32, payload: Vec<u8>) {
    let draft = peer.draft(schema, payload);
    let message = peer.ask(&draft);
    match &message.body {
        Body::Answer(answer) => {
            assert_eq!((answer.status, answer.reason), (6, KEY_NOT_ENTITLED), "schema {schema}");
        }
        _ => assert_eq!(reason(&message), NOT_ENTITLED, "schema {schema}"),
    }
}

fn transfer(from: u64, to: u64) -> Vec<u8> {
    Fields::default().u64(from).u64(to).u32(QUOTE).i64(1).0
}

fn replace(account: u64, instrument: u32, order_id: u64) -> Vec<u8> {
    Fields::default().u64(account).u32(instrument).u64(order_id).i64(9).i64(9).i64(0).0
}

#[test]
fn a_trade_key_acts_for_its_accounts_alone() {
    let node = shared();
    let instrument = node.ground().instrument;
    let mut three = node.log_on(Who::TraderOfThree, "own");
    let other = three.order(Order::new(3, instrument, BUY, 10, 5));
    assert_eq!(other.status, 3);
    let funds = three.account(3, 0).balances;

    let mut two = node.log_on(Who::TraderOfTwo, "own");
    let own = two.order(Order::new(2, instrument, BUY, 9, 1));
    assert_eq!(own.status, 3);
    assert_forbidden(&mut two, NEW_ORDER, Order::new(3, instrument, BUY, 9, 1).payload());
    assert_forbidden(&mut two, CANCEL_ORDER, cancel(3, instrument, other.order_id, 0));
    assert_forbidden(&mut two, REPLACE_ORDER, replace(3, instrument, other.order_id));
    assert_forbidden(&mut two, TRANSFER, transfer(3, 2));
    assert_forbidden(&mut two, NEW_ORDER, Order::new(1, instrument, BUY, 9, 1).payload());
    for account in [1, 2, 3] {
        assert_forbidden(&mut two, DEPOSIT, amount(account, BASE, 1));
        assert_forbidden(&mut two, WITHDRAW, amount(account, BASE, 1));
    }
    // Under its own account, the order of another is not to be found, nor whether there is one.
    let payload = cancel(2, instrument, other.order_id, 0);
    assert_eq!(two.command(CANCEL_ORDER, payload).reason, 111);
    assert_eq!(two.command(REPLACE_ORDER, replace(2, instrument, other.order_id)).reason, 111);
    assert_eq!(three.account(3, 0).balances, funds);
    // Its own money it may give away.
    assert_eq!(two.command(TRANSFER, transfer(2, 3)).status, 8);
    let answer = two.command(CANCEL_ORDER, cancel(2, instrument, own.order_id, 0));
    assert_eq!(answer.status, 4);
}

#[test]
fn a_cancel_only_key_cancels_and_a_read_only_key_reads() {
    let node = shared();
    let instrument = node.ground().instrument;
    let mut trader = node.log_on(Who::TraderOfTwo, "limited");
    let entered: Vec<u64> =
        (0..2).map(|_| trader.order(Order::new(2, instrument, SELL, 10, 5)).order_id).collect();
    for who in [Who::Canceller, Who::Reader] {
        let mut peer = node.log_on(who, "limited");
        assert_forbidden(&mut peer, NEW_ORDER, Order::new(2, instrument, BUY, 1, 1).payload());
        assert_forbidden(&mut peer, REPLACE_ORDER, replace(2, instrument, entered[0]));
        assert_forbidden(&mut peer, TRANSFER, transfer(2, 3));
        assert_forbidden(&mut peer, DEPOSIT, amount(2, BASE, 1));
        assert_forbidden(&mut peer, WITHDRAW, amount(2, BASE, 1));
        assert_eq!(peer.book(instrument, 0, true).rows.len(), 2);
        peer.ping(1);
    }
    let mut reader = node.log_on(Who::Reader, "limited");
    assert_forbidden(&mut reader, CANCEL_ORDER, cancel(2, instrument, entered[0], 0));
    let orders = reader.account(2, 0).orders;
    assert!(entered.iter().all(|id| orders.iter().any(|order| order.order_id == *id)));
    let mut canceller = node.log_on(Who::Canceller, "limited");
    let answer = canceller.command(CANCEL_ORDER, cancel(2, instrument, entered[0], 0));
    assert_eq!((answer.status, answer.order_id), (4, entered[0]));
    assert_forbidden(&mut canceller, CANCEL_ORDER, cancel(3, instrument, entered[1], 0));
}

#[test]
fn who_may_cancel_may_cancel_many_of_its_accounts_and_of_its_session() {
    let node = shared();
    let instrument = node.ground().instrument;
    let further = |account| Further::new(Order::new(account, instrument, BUY, 9, 1)).payload();
    for who in [Who::TraderOfTwo, Who::Canceller, Who::Reader] {
        let mut peer = node.connect();
        let session = peer.log_on(&who.key(), "many").session;
        // Without an account, all orders of the venue, or of the book.
        for instrument in [0, instrument] {
            assert_forbidden(&mut peer, MASS_CANCEL, mass_cancel(0, instrument, 0, 0));
        }
        assert_forbidden(&mut peer, MASS_CANCEL, mass_cancel(3, instrument, 0, session));
        assert_forbidden(&mut peer, ENTER_ORDER, further(3));
        if who != Who::TraderOfTwo {
            assert_forbidden(&mut peer, ENTER_ORDER, further(2));
        }
        let allowed = [
            (MASS_CANCEL, mass_cancel(2, instrument, 1, 0)),
            (MASS_CANCEL, mass_cancel(0, instrument, 0, session)),
            (CANCEL_ON_DISCONNECT, cancel_on_disconnect(0, 0)),
        ];
        for (schema, payload) in allowed {
            if who == Who::Reader {
                assert_forbidden(&mut peer, schema, payload);
                continue;
            }
            // The exchange judges it.
            assert_ne!(peer.command(schema, payload).reason, KEY_NOT_ENTITLED, "schema {schema}");
            if schema == MASS_CANCEL {
                assert_eq!(peer.update().change, MASS_CANCEL_DONE);
            }
        }
    }
}

#[test]
fn an_account_is_shown_to_its_own_keys_alone() {
    let node = shared();
    for (who, own, other) in
        [(Who::TraderOfTwo, 2, 3), (Who::TraderOfThree, 3, 2), (Who::Reader, 2, 3)]
    {
        let mut peer = node.log_on(who, "shown");
        assert_eq!(peer.account(own, 0).account, own);
        for account in [other, 1] {
            let payload = Fields::default().u64(account).u64(0).0;
            let draft = Draft::session(68, peer.sequence(), payload);
            assert_eq!(reason(&peer.ask(&draft)), NOT_ENTITLED, "{who:?} {account}");
        }
    }
    let mut operator = node.log_on(Who::Operator, "shown");
    for account in [1, 2, 3, 201] {
        assert_eq!(operator.account(account, 0).account, account);
    }
    // A book is for all who are logged on.
    for who in [Who::TraderOfTwo, Who::Canceller, Who::Reader] {
        let mut peer = node.log_on(who, "shown");
        let draft = book_query(peer.sequence(), 40, 0, false);
        assert!(matches!(peer.ask(&draft).body, Body::Book(_)), "{who:?}");
    }
}
