//! The books alone, against the naive model of the bench, and what their hot path allocates.

#[path = "../benches/book/naive.rs"]
mod naive;

use crate::allocation::allocations;
use naive::Naive;
use openoutcry::event::RejectReason;
use openoutcry::exchange::{BATCH_COUNT_MAX, BareBook, BareCommand, BareEvent};
use openoutcry::types::{InstrumentId, OrderId, Price, Quantity, Side, TimeInForce};

const ONE: InstrumentId = InstrumentId(1);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn new(order: u64, side: Side, price: i64, quantity: i64) -> BareCommand {
    BareCommand::New {
        order: OrderId(order),
        instrument: ONE,
        side,
        time_in_force: TimeInForce::Gtc,
        price: Price(price),
        quantity: Quantity(quantity),
    }
}

/// A price: near a middle that drifts, seldom anywhere, seldom at an end of all prices.
fn price(random: &mut Random, at: u64) -> Price {
    let near = (at / 50) as i64 + random.below(40) as i64 - 20;
    let spread = random.below(62) + 1;
    let anywhere = random.below(1 << spread.min(30)) as i64 * if spread > 30 { 1 << 31 } else { 1 };
    Price(match random.below(60) {
        0 => anywhere,
        1 => -anywhere,
        2 => i64::MAX - random.below(3) as i64,
        // The naive model turns prices of bids around, which the lowest of all does not stand.
        3 => i64::MIN + 1 + random.below(3) as i64,
        _ => near,
    })
}

fn command(random: &mut Random, at: u64) -> BareCommand {
    // Numbers come again, so that some are in use and some were before.
    let order = OrderId(1 + random.below(at + 8).max(at.saturating_sub(3000)));
    let quantity = Quantity(1 + random.below(30) as i64);
    match random.below(10) {
        0..=4 => BareCommand::New {
            order,
            instrument: ONE,
            side: if random.below(2) == 0 { Side::Buy } else { Side::Sell },
            time_in_force: if random.below(7) == 0 { TimeInForce::Ioc } else { TimeInForce::Gtc },
            price: price(random, at),
            quantity,
        },
        5..=7 => BareCommand::Cancel { order },
        _ => BareCommand::Replace { order, price: price(random, at), quantity },
    }
}

#[test]
fn books_alone_do_what_the_naive_model_does() {
    for seed in 1..=6u64 {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut book, mut naive) = (BareBook::new(1, 4096), Naive::default());
        let mut alive_max = 0;
        for round in 0..200 {
            let length = 1 + random.below(300);
            let batch: Vec<BareCommand> =
                (0..length).map(|at| command(&mut random, round * 150 + at)).collect();
            let expected: Vec<BareEvent> =
                batch.iter().flat_map(|command| naive.apply(command).to_vec()).collect();
            assert_eq!(book.apply(&batch), expected, "seed {seed}, round {round}");
            book.check();
            assert_eq!(book.order_count(), naive.count());
            for side in [Side::Buy, Side::Sell] {
                let levels: Vec<_> = book.levels(ONE, side).collect();
                assert_eq!(levels.first().map(|level| (level.0, level.1)), book.best(ONE, side));
                for (price, open, _) in levels {
                    assert_eq!(book.depth(ONE, price), Some((side, open)));
                }
            }
            alive_max = alive_max.max(naive.count());
        }
        assert!(alive_max > 300, "only {alive_max} orders were alive");
    }
}

#[test]
fn a_replace_keeps_its_place_only_where_just_the_quantity_falls() {
    let mut book = BareBook::new(1, 16);
    let replace = |order, price, quantity| BareCommand::Replace {
        order: OrderId(order),
        price: Price(price),
        quantity: Quantity(quantity),
    };
    let mut first_maker = |change: BareCommand| {
        book.apply(&[new(1, Side::Sell, 10, 5), new(2, Side::Sell, 10, 5), change]);
        let mut makers = Vec::new();
        for event in book.apply(&[new(3, Side::Buy, 10, 20)]) {
            if let BareEvent::Trade { maker, .. } = event {
                makers.push(maker.0);
            }
        }
        let left = [1, 2, 3].map(|order| BareCommand::Cancel { order: OrderId(order) });
        book.apply(&left);
        assert_eq!(book.order_count(), 0);
        makers[0]
    };
    assert_eq!(first_maker(replace(1, 10, 4)), 1);
    assert_eq!(first_maker(replace(1, 10, 5)), 1);
    assert_eq!(first_maker(replace(1, 10, 6)), 2);
    assert_eq!(first_maker(replace(1, 9, 5)), 1);
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut book = BareBook::new(2, 2);
    book.apply(&[new(1, Side::Sell, 10, 5), new(2, Side::Sell, 11, 5)]);
    let other = |order, instrument, quantity| BareCommand::New {
        order: OrderId(order),
        instrument: InstrumentId(instrument),
        side: Side::Buy,
        time_in_force: TimeInForce::Gtc,
        price: Price(10),
        quantity: Quantity(quantity),
    };
    let refused = [
        (other(3, 0, 5), RejectReason::UnknownInstrument),
        (other(3, 3, 5), RejectReason::UnknownInstrument),
        (other(3, 1, 0), RejectReason::InvalidQuantity),
        (other(3, 1, i64::MAX), RejectReason::InvalidQuantity),
        (other(0, 1, 5), RejectReason::UnknownOrder),
        (other(2, 1, 5), RejectReason::DuplicateClientOrderId),
        (other(3, 1, 5), RejectReason::CapacityReached),
        (BareCommand::Cancel { order: OrderId(3) }, RejectReason::UnknownOrder),
        (BareCommand::Cancel { order: OrderId(0) }, RejectReason::UnknownOrder),
        (
            BareCommand::Replace { order: OrderId(1), price: Price(1), quantity: Quantity(0) },
            RejectReason::InvalidQuantity,
        ),
    ];
    for (command, expected) in refused {
        let events = book.apply(&[command]);
        let [BareEvent::Rejected { reason, .. }] = events else { panic!("{events:?}") };
        assert_eq!(*reason, expected, "{command:?}");
        book.check();
        assert_eq!(book.best(ONE, Side::Sell), Some((Price(10), Quantity(5))));
        assert_eq!(book.order_count(), 2);
    }
}

#[test]
fn ten_thousand_instruments_share_the_slabs_and_nothing_else() {
    const INSTRUMENTS: u32 = 10_000;
    let mut book = BareBook::new(INSTRUMENTS as usize, 40_000);
    let enter = |order: u64, instrument: u32, side, price: i64| BareCommand::New {
        order: OrderId(order),
        instrument: InstrumentId(instrument),
        side,
        time_in_force: TimeInForce::Gtc,
        price: Price(price),
        quantity: Quantity(i64::from(instrument)),
    };
    let mut order = 0;
    for instrument in 1..=INSTRUMENTS {
        let price = i64::from(instrument % 100) * 1000;
        for (side, away) in [(Side::Buy, -1), (Side::Buy, -70), (Side::Sell, 1)] {
            order += 1;
            book.apply(&[enter(order, instrument, side, price + away)]);
        }
    }
    book.check();
    for instrument in (1..=INSTRUMENTS).rev() {
        let price = i64::from(instrument % 100) * 1000;
        let quantity = Quantity(i64::from(instrument));
        let id = InstrumentId(instrument);
        assert_eq!(book.best(id, Side::Buy), Some((Price(price - 1), quantity)));
        assert_eq!(book.best(id, Side::Sell), Some((Price(price + 1), quantity)));
        let first = u64::from(instrument - 1) * 3 + 1;
        book.apply(&[BareCommand::Cancel { order: OrderId(first) }]);
        assert_eq!(book.best(id, Side::Buy), Some((Price(price - 70), quantity)));
    }
    book.check();
}

#[test]
fn the_hot_path_allocates_nothing() {
    let mut book = BareBook::new(3, 1 << 12);
    let mut random = Random(77);
    let mut batches = |count: u64| -> Vec<Vec<BareCommand>> {
        let batch = |random: &mut Random, round: u64| {
            (0..BATCH_COUNT_MAX as u64).map(|at| command(random, round * 400 + at)).collect()
        };
        (0..count).map(|round| batch(&mut random, round)).collect()
    };
    let (warm, timed) = (batches(10), batches(60));
    let mut fills = 0;
    for batch in &warm {
        assert!(!book.apply(batch).is_empty());
    }
    let count = allocations(|| {
        for batch in &timed {
            let events = book.apply(batch);
            fills += events.iter().filter(|e| matches!(e, BareEvent::Trade { .. })).count();
        }
        // An order that takes every other one.
        fills += book.apply(&[new(u64::MAX, Side::Buy, i64::MAX, i64::MAX >> 13)]).len();
    });
    assert_eq!(count, 0);
    assert!(fills > 5000, "only {fills} trades");
    book.check();
}
