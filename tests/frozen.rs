//! A lane that stands still. The agent of the lane `batch` is not driven for 30 simulated seconds
//! while orders fill every ring all the time: of a real process no single thread can be stopped.

use crate::sim::bench::{Bench, Got, KEY};
use crate::sim::node::{AGENTS, BATCH};
use openoutcry::command::NewOrder;
use openoutcry::lanes::follower::Kinds;
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, OrderType, Price, Priority, Quantity, Sequence, Side,
    TimeInForce,
};
use openoutcry::wire::{BitMode, Flags, FrameHead, FrameWriter, Metadata};

/// Simulated milliseconds: one a turn.
const FROZEN_MS: i64 = 30_000;
/// Orders that wait for their answers: many times what all rings hold together.
const WINDOW: u64 = 64;
const NOW_MS: i64 = 1_700_000_000_000;

/// What a run came to.
struct Run {
    answers: u64,
    last: Sequence,
    hash: String,
    kinds: Kinds,
}

/// An order that meets nobody and is cancelled at once.
fn order(number: u64, now_ms: i64) -> Vec<u8> {
    let (id, mut out) = (format!("frozen{number}"), Vec::new());
    let metadata = Metadata::new(&id, now_ms, Priority::Normal);
    let flags = Flags::new(Priority::Normal);
    let (schema, bit_mode) = (NewOrder::SCHEMA, BitMode::Bits64);
    let head = FrameHead { schema, flags, bit_mode, client_sequence: number };
    let mut writer = FrameWriter::begin_with(&mut out, head, &metadata).expect("a short id");
    let order = NewOrder {
        account: AccountId(crate::sim::bench::account()),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Ioc,
        flags: 0,
        price: Price(100),
        quantity: Quantity(1),
        client_order_id: ClientOrderId(0),
    };
    order.encode(writer.payload());
    writer.seal();
    out
}

fn run(frozen: bool) -> Run {
    let mut bench = Bench::new(|setup| {
        let sizes = &mut setup.sizes;
        (sizes.input, sizes.sequenced, sizes.events, sizes.answers) = (4, 4, 4, 4);
        setup.limits.read_budget = 1000;
    });
    let (peer, _) = bench.live("trader");
    let (mut sent, mut answers) = (0, 0);
    let all = if frozen { BATCH } else { AGENTS };
    assert_eq!(BATCH + 1, AGENTS, "the frozen lane is the last agent");
    let before = bench.node.stages.cursors.batch.get();
    for ms in 0..FROZEN_MS {
        while sent < answers + WINDOW {
            sent += 1;
            bench.send(peer, &order(sent, NOW_MS + ms));
        }
        bench.turn(0..all);
        let heard = bench.heard(peer);
        assert!(heard.iter().all(|got| matches!(got, Got::Answer)), "{heard:?} of key {KEY:?}");
        answers += heard.len() as u64;
    }
    let cursors = bench.node.stages.cursors.clone();
    let behind = cursors.applied.get().0 - cursors.batch.get().0;
    if frozen {
        assert_eq!(cursors.batch.get(), before, "it stood still");
        assert!(behind > 10_000, "it has a lot to catch up with: {behind}");
    } else {
        assert!(behind < 1000, "it keeps up: {behind}");
    }
    let during = answers;
    // Nothing more is sent: what is on its way is answered, and the lane catches up.
    let mut turns = 0;
    while answers < sent || cursors.batch.get() < bench.node.stages.sequencer.order().last {
        bench.turn(0..AGENTS);
        answers += bench.heard(peer).len() as u64;
        turns += 1;
        assert!(turns < 10_000, "{answers} answers of {sent}, lane at {}", cursors.batch.get());
    }
    assert_eq!(answers, sent, "none is lost, none is answered twice");
    let last = bench.node.stages.sequencer.order().last;
    let kinds = bench.node.stages.batch.kinds().clone();
    Run { answers: during, last, hash: bench.node.hash(), kinds }
}

#[test]
fn orders_do_not_notice_that_the_batch_lane_stands_still() {
    let (free, frozen) = (run(false), run(true));
    assert!(free.answers > 10_000, "the load was full: {}", free.answers);
    assert_eq!(frozen.answers, free.answers, "as many in as much time");
    assert_eq!((frozen.last, frozen.hash), (free.last, free.hash));
    assert_eq!(frozen.kinds, free.kinds, "the lane has done the same in the end");
}
