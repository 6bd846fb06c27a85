//! Time passes on a whole node: mass cancels that go on by ticks, through kills, and the sessions of a
//! node that was killed. The simulation's node and disk; the test says what happens when.

use crate::sim::bench::{Bench, account, admin, framed};
use crate::sim::node::Setup;
use openoutcry::admin::AdminCommand;
use openoutcry::command::{CancelOnDisconnect, MassCancel, NewOrder};
use openoutcry::event::EventBody;
use openoutcry::journal::event_log::EventFollower;
use openoutcry::journal::format::RecordKind;
use openoutcry::journal::reader::Reader;
use openoutcry::journal::view::Verify;
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, KeyId, OrderChange, OrderType, Price, Priority,
    Quantity, Sequence, SessionId, Side, Sides, Status, TimeInForce,
};

const OPERATOR: KeyId = KeyId(1);
const ORDERS: u64 = 700;

/// A node on whose journal the rules have mass cancels, and an operator's connection.
fn venue() -> (Bench, usize) {
    let mut bench = Bench::new(|setup: &mut Setup| setup.limits.pending_max = 1000);
    let peer = bench.log_on_as(0, OPERATOR, "operator");
    bench.rest();
    bench.heard(peer);
    let rules = AdminCommand::ActivateRules { version: 2 };
    bench.send(peer, &admin(1, &rules, OPERATOR));
    bench.rest();
    assert_eq!(bench.answers(peer).len(), 1);
    (bench, peer)
}

fn order(number: u64) -> Vec<u8> {
    let order = NewOrder {
        account: AccountId(account()),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(1 + number.cast_signed() % 20),
        quantity: Quantity(1),
        client_order_id: ClientOrderId(0),
    };
    framed(number, Priority::Normal, &order.into(), None)
}

fn mass_cancel(number: u64) -> Vec<u8> {
    let command = MassCancel {
        account: AccountId(0),
        instrument: InstrumentId(0),
        sides: Sides::Both,
        session: SessionId(0),
    };
    framed(number, Priority::Normal, &command.into(), None)
}

/// Enters so many orders.
fn fill(bench: &mut Bench, peer: usize, count: u64) {
    let mut answered = 0;
    for number in 0..count {
        bench.send(peer, &order(100 + number));
        if number % 50 == 49 {
            bench.rest();
            answered += bench.answers(peer).len();
        }
    }
    bench.rest();
    answered += bench.answers(peer).len();
    assert_eq!(answered as u64, count);
}

fn live(bench: &Bench) -> usize {
    bench.node.stages.critical.exchange().order_count()
}

/// Records of a kind in the journal.
fn records(bench: &Bench, kind: RecordKind) -> usize {
    let end = bench.node.stages.cursors.written.get();
    let mut reader = Reader::new(bench.logs.commands.clone(), Sequence(1), Verify::Chain);
    let mut count = 0;
    while let Some(record) = reader.next_record(end).expect("it is sound") {
        count += usize::from(record.kind() == kind);
    }
    count
}

/// Updates of a kind in the event log.
fn updates(bench: &Bench, wanted: OrderChange) -> u64 {
    let end = bench.node.stages.cursors.events_written.get();
    let mut follower = EventFollower::new(bench.logs.events.clone(), Sequence(1), Verify::Chain);
    let mut count = 0;
    while let Some(event) = follower.next_event(end).expect("it is sound") {
        let EventBody::Update(update) = event.body else { continue };
        count += u64::from(update.change == wanted);
    }
    count
}

#[test]
fn a_mass_cancel_goes_on_by_ticks_until_it_is_done_and_no_longer() {
    let (mut bench, peer) = venue();
    fill(&mut bench, peer, ORDERS);
    assert_eq!(records(&bench, RecordKind::Tick), 0, "nobody waited for time");
    bench.send(peer, &mass_cancel(9000));
    bench.rest();
    assert_eq!(bench.answers(peer)[0].status, Status::Done);
    assert_eq!(live(&bench), 0);
    // Its own record takes the first 128 of 700.
    assert_eq!(records(&bench, RecordKind::Tick), 5);
    assert_eq!(updates(&bench, OrderChange::MassCanceled), ORDERS);
    assert_eq!(updates(&bench, OrderChange::MassCancelDone), 1);
    let last = bench.node.stages.sequencer.order().last;
    bench.rest();
    assert_eq!(bench.node.stages.sequencer.order().last, last, "an idle node journals nothing");
    let hash = bench.node.hash();
    bench.restart();
    assert_eq!(bench.node.hash(), hash, "replay gives the state of the live run");
}

#[test]
fn a_node_that_is_killed_between_two_steps_goes_on_where_it_was() {
    let mut under_way = 0;
    for turns in 0..12 {
        let (mut bench, peer) = venue();
        fill(&mut bench, peer, ORDERS);
        bench.send(peer, &mass_cancel(9000));
        // The gateway and the sequencer take it; then some agents run, some not.
        bench.turn([0, 1]);
        for turn in 0..turns {
            bench.turn([1, 2, 3, 6].into_iter().filter(|agent| (turn + agent) % 3 != 0));
        }
        let journaled = records(&bench, RecordKind::Command);
        bench.restart();
        let is_there = journaled as u64 > ORDERS + 8;
        let left = live(&bench);
        under_way += u64::from(is_there && left > 0 && left < ORDERS as usize);
        if is_there && left > 0 {
            assert!(left < ORDERS as usize, "its own record took the first");
        }
        bench.rest();
        let expected = if is_there { 0 } else { ORDERS as usize };
        assert_eq!(live(&bench), expected, "after {turns} turns");
        bench.node.stages.critical.exchange().check();
        let canceled = updates(&bench, OrderChange::MassCanceled);
        assert_eq!(canceled, ORDERS - expected as u64, "each is told once");
        let hash = bench.node.hash();
        bench.restart();
        assert_eq!(bench.node.hash(), hash, "replay gives the state of the live run");
    }
    assert!(under_way > 2, "{under_way} kills between two steps");
}

#[test]
fn sessions_of_a_node_that_was_killed_are_lost_when_it_starts_again() {
    let (mut bench, peer) = venue();
    fill(&mut bench, peer, 3);
    let hash = bench.node.hash();
    bench.restart();
    bench.rest();
    assert_eq!(bench.node.hash(), hash, "nobody asked for anything: a start writes nothing");

    let peer = bench.log_on_as(0, OPERATOR, "operator");
    bench.rest();
    bench.heard(peer);
    let command = CancelOnDisconnect { enabled: 1, grace_ms: 30 };
    bench.send(peer, &framed(9000, Priority::Normal, &command.into(), None));
    bench.rest();
    assert_eq!(bench.answers(peer)[0].status, Status::Done);
    bench.restart();
    let before = records(&bench, RecordKind::EpochStart);
    // A turn is a millisecond.
    bench.turn(0..bench.node.agents());
    assert_eq!(records(&bench, RecordKind::EpochStart), before + 1);
    assert_eq!(live(&bench), 3, "the grace time is not over");
    bench.restart();
    bench.rest();
    assert_eq!(records(&bench, RecordKind::EpochStart), before + 1, "they are lost once");
    assert_eq!(live(&bench), 0);
    assert_eq!(updates(&bench, OrderChange::Disconnected), 3);
    assert_eq!(records(&bench, RecordKind::Tick), 1);
}
