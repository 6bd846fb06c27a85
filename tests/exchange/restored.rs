//! States that a snapshot has to give back.

use super::random::restored;
use super::script::{World, check};

/// The same state, by its hash, and one that goes on the same way.
#[track_caller]
fn comes_back(world: &mut World, further: &str) {
    let before = world.hash();
    world.exchange = restored(&world.exchange);
    world.exchange.check();
    assert_eq!(world.hash(), before);
    world.run(further);
}

#[test]
fn an_order_that_was_replaced_to_a_price_at_which_its_whole_quantity_would_be_too_much() {
    let mut world = check(
        "fund 2 3 50000000000
         2: buy  A 3000000000 @ 0.01  -> pending
         3: sell B 2999999999 @ 0.01  -> filled 2999999999, trade A 2999999999 @ 0.01 leaves 1
         2: replace A 3000000000 @ 40000000 -> partial 2999999999 + 1",
    );
    comes_back(&mut world, "book -> 40000000x1 |");
}

#[test]
fn icebergs_stops_wishes_and_times() {
    let mut world = check(
        "fund 2 3 4 1000
         at 1000
         3: sell X 1 @ 10             -> pending
         4: buy  Y 1 @ 10             -> filled 1, trade X 1 @ 10
         2: sell A 9 @ 12 show 2 until 5000 -> pending
         2: sell B 1 @ 12 self decrement -> pending
         3: buy  S 2 @ 13 stop 12 self cancel-oldest -> pending
         3: sell T 1 stop 9 until 4000 as 8 -> pending
         4: buy  C 3 @ 12             -> filled 3, trade A 2 @ 12 leaves 7, trade B 1 @ 12, trade A 2 @ 12 by S leaves 5, S triggered",
    );
    comes_back(
        &mut world,
        "3: sell U 1 stop 8           -> pending
         4: buy  D 1 @ 12             -> filled 1, trade A 1 @ 12 leaves 4
         orders 3                     -> T U
         at 4000
         3: cancel U                  -> canceled, T expired
         at 5000
         book                         -> | 12x1
         4: buy  E 1 @ 12             -> pending, A expired",
    );
}
