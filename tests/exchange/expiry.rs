//! Orders that end by time.

use super::script::{World, check};
use super::words::entry;
use openoutcry::types::{AccountId, Side};

#[test]
fn an_order_ends_at_its_time_with_whatever_record_comes() {
    check(
        "fund 2 3 1000
         at 1000
         2: sell A 2 @ 10 until 2000  -> pending
         2: sell B 2 @ 10 until 1000  -> InvalidExpiry
         2: sell C 2 @ 10 gtd         -> InvalidExpiry
         2: sell D 2 @ 10             -> pending
         2: sell E 2 @ 10 ioc expires 5000 -> UnsupportedOrder
         at 1999
         3: buy  F 1 @ 10             -> filled 1, trade A 1 @ 10 leaves 1
         at 2000
         3: buy  G 1 @ 10             -> filled 1, trade D 1 @ 10 leaves 1, A expired
         cancel A                     -> TooLate
         balance 2 BTC                -> 997 / 1",
    );
}

#[test]
fn what_ended_otherwise_never_expires_and_a_client_number_that_was_given_again_is_safe() {
    check(
        "fund 2 3 1000
         at 1000
         2: sell A 2 @ 10 until 2000 as 5 -> pending
         2: cancel #5                 -> canceled
         2: sell B 2 @ 10 as 5        -> pending
         at 3000
         3: buy  C 1 @ 10             -> filled 1, trade B 1 @ 10 leaves 1
         3: buy  D 1 @ 9 until 4000   -> pending
         2: sell E 1 @ 9              -> filled 1, trade D 1 @ 9
         at 5000
         2: replace #5 9 @ 10         -> partial 1 + 8
         book                         -> | 10x8",
    );
}

#[test]
fn a_day_order_ends_with_the_day_and_a_replace_does_not_lengthen_it() {
    check(
        "fund 2 3 1000
         at 86399999999999
         2: sell A 2 @ 10 day         -> pending
         2: replace A 3 @ 10          -> pending
         2: buy  S 1 @ 9 stop 20 day  -> pending
         orders 2                     -> A S
         at 86400000000000
         3: buy  B 1 @ 10             -> pending, A expired, S expired
         2: sell C 1 @ 11 day         -> pending
         at 172799999999999
         orders 2                     -> C
         at 172800000000000
         3: buy  D 1 @ 10             -> pending, C expired",
    );
}

#[test]
fn at_most_sixty_four_go_with_a_record_and_none_of_the_rest_trades() {
    let mut world = World::new(200);
    world.run("fund 2 3 10000");
    for number in 0..70 {
        world.run(&format!("2: sell A{number} 1 @ 10 until 5000 -> pending"));
    }
    world.run("2: sell Z 1 @ 10 -> pending");
    world.ctx.time.0 = 5000;
    // Six are left; the incoming order meets and removes them.
    let result = world.apply(entry(AccountId(3), Side::Buy, "2", &["@", "10"]));
    assert_eq!((result.filled.0, result.leaves.0), (1, 1), "only what lives trades");
    assert_eq!(world.exchange.order_count(), 1);
    world.run("book -> 10x1 |");
}
