//! A disk that fills: who orders is told, who cancels or asks is served, nothing acknowledged is lost,
//! and everything goes on by itself when there is space.

use crate::sim::bench::{Bench, Got, framed, order};
use openoutcry::command::{CancelOrder, Command};
use openoutcry::event::RejectReason;
use openoutcry::node::space::{Level, Marks};
use openoutcry::types::{AccountId, ClientOrderId, InstrumentId, OrderId, Priority};
use openoutcry::wire::message::{BookQuery, send};

/// Long enough for the next look at the space.
fn look(bench: &mut Bench) {
    (0..6).for_each(|_| bench.rest());
}

/// A cancel of an order that is not there: sequenced, and answered so.
fn cancel(number: u64) -> Vec<u8> {
    let command = Command::from(CancelOrder {
        account: AccountId(crate::sim::bench::account()),
        instrument: InstrumentId(1),
        order_id: OrderId(u64::MAX),
        orig_client_order_id: ClientOrderId(0),
    });
    framed(number, Priority::Normal, &command, None)
}

/// What stands in the book.
fn query_book(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let query = BookQuery { instrument: InstrumentId(1), depth: 1, orders: false };
    send(&query, number, &mut out);
    out
}

#[test]
fn below_the_critical_mark_orders_are_refused_and_cancels_and_queries_go_on() {
    let marks = Marks { low_bytes: 2 << 20, critical_bytes: 1 << 20 };
    let mut bench = Bench::new(|setup| setup.space = marks);
    let (peer, _) = bench.live("desk");
    let level = |bench: &Bench| Level::of(&bench.node.stages.cursors.space);
    let free = |bench: &Bench, bytes: u64| {
        let used: u64 = bench.disk.files().iter().map(|(_, file)| file.len() as u64).sum();
        bench.disk.set_capacity(Some(used + bytes));
    };
    let mut number = 0;
    let mut ask = |bench: &mut Bench, takes_orders: bool| {
        for message in [order(number + 1), cancel(number + 2), query_book(number + 3)] {
            bench.send(peer, &message);
            bench.rest();
        }
        number += 3;
        match (&bench.heard(peer)[..], takes_orders) {
            ([Got::Answer, Got::Answer, Got::Book], true)
            | ([Got::Reject(_, RejectReason::NoSpace), Got::Answer, Got::Book], false) => {}
            (heard, _) => panic!("takes orders: {takes_orders}, heard {heard:?}"),
        }
    };
    for (bytes, expected) in [
        (3 << 20, Level::Enough),
        ((2 << 20) - 1, Level::Low),
        ((1 << 20) - 1, Level::Critical),
        ((1 << 20) + 1, Level::Critical),
        ((1 << 20) + (1 << 18), Level::Low),
        (0, Level::Critical),
        (3 << 20, Level::Enough),
    ] {
        free(&bench, bytes);
        look(&mut bench);
        assert_eq!(level(&bench), expected, "{bytes} bytes free");
        ask(&mut bench, expected < Level::Critical);
    }
}
