//! Stops and stop-limits: waiting, coming, chains.

use super::script::{World, check};
use super::words::entry;
use openoutcry::types::{AccountId, Side};

#[test]
fn a_buy_stop_comes_at_or_above_its_price_and_a_sell_stop_at_or_below() {
    check(
        "fund 2 3 4 1000
         3: buy  X 1 @ 10             -> pending
         2: sell Y 1 @ 10             -> filled 1, trade X 1 @ 10
         4: buy  A 1 stop 11          -> pending
         4: sell B 1 stop 9           -> pending
         4: buy  C 1 stop 11.01       -> pending
         book                         -> |
         2: sell P 5 @ 11             -> pending
         3: buy  Q 1 @ 11             -> filled 1, trade P 1 @ 11 leaves 4, trade P 1 @ 11 by A leaves 3, A triggered
         orders 4                     -> B C
         3: buy  R 5 @ 8.9            -> pending
         2: sell S 1 @ 8.9            -> filled 1, trade R 1 @ 8.9 leaves 4, trade R 1 @ 8.9 by B leaves 3, B triggered
         book                         -> 8.9x3 | 11x3
         orders 4                     -> C",
    );
}

#[test]
fn a_stop_waits_before_the_first_trade_and_is_active_at_once_where_the_price_is_reached() {
    check(
        "fund 2 3 1000
         2: buy  A 1 stop 9.9         -> pending
         2: sell B 1 stop 50          -> pending
         3: sell X 5 @ 10             -> pending
         3: buy  Y 1 @ 10             -> filled 1, trade X 1 @ 10 leaves 4, trade X 1 @ 10 by A leaves 3, A triggered, B triggered, B unfilled
         2: buy  C 1 stop 10          -> filled 1, trade X 1 @ 10 leaves 2
         2: buy  D 1 @ 9 stop 10      -> pending
         2: sell E 1 @ 9 stop 11      -> filled 1, trade D 1 @ 9
         2: sell F 1 stop 8           -> pending
         orders 2                     -> F",
    );
}

#[test]
fn a_chain_of_stops_completes_within_the_command_that_began_it() {
    // Each stop's trade reaches the next one's price.
    check(
        "fund 2 3 4 1000
         3: sell X 1 @ 10             -> pending
         3: sell Y 1 @ 11             -> pending
         3: sell Z 1 @ 12             -> pending
         3: sell W 1 @ 13             -> pending
         4: buy  C 1 @ 13 stop 12     -> pending
         4: buy  B 1 @ 13 stop 11     -> pending
         4: buy  A 1 @ 13 stop 10     -> pending
         2: buy  T 1 @ 10             -> filled 1, trade X 1 @ 10, trade Y 1 @ 11 by A, trade Z 1 @ 12 by B, trade W 1 @ 13 by C, A triggered, B triggered, C triggered
         last                         -> 13
         book                         -> |
         orders 4                     -> ",
    );
}

#[test]
fn due_stops_come_by_price_then_by_age_and_of_both_sides_the_older_first() {
    check(
        "fund 2 3 4 1000
         3: buy  L 1 @ 10             -> pending
         2: sell M 1 @ 10             -> filled 1, trade L 1 @ 10
         4: sell S 1 @ 2 stop 9       -> pending
         4: buy  B2 1 @ 20 stop 12    -> pending
         4: buy  B1 1 @ 20 stop 11    -> pending
         4: buy  B3 1 @ 20 stop 12    -> pending
         3: sell P 1 @ 12             -> pending
         3: sell Q 9 @ 14             -> pending
         2: buy  T 1 @ 12             -> filled 1, trade P 1 @ 12, trade Q 1 @ 14 by B1 leaves 8, trade Q 1 @ 14 by B2 leaves 7, trade Q 1 @ 14 by B3 leaves 6, B1 triggered, B2 triggered, B3 triggered
         3: buy  R 9 @ 8              -> pending
         2: sell U 1 @ 8              -> filled 1, trade R 1 @ 8 leaves 8, trade R 1 @ 8 by S leaves 7, S triggered",
    );
    // One sweep reaches a sell stop with its first trade and a buy stop with its last.
    check(
        "fund 2 3 4 1000
         3: buy  L 1 @ 10             -> pending
         2: sell M 1 @ 10             -> filled 1, trade L 1 @ 10
         4: sell S 1 @ 1 stop 9       -> pending
         4: buy  B 1 @ 30 stop 12     -> pending
         3: sell P 1 @ 8              -> pending
         3: sell Q 1 @ 12             -> pending
         2: buy  T 2 @ 12             -> filled 2, trade P 1 @ 8, trade Q 1 @ 12, trade S 1 @ 1 by B, S triggered, B triggered
         book                         -> | ",
    );
}

#[test]
fn a_stop_that_came_rests_last_at_its_price_or_ends() {
    check(
        "fund 2 3 4 1000
         3: sell X 1 @ 10             -> pending
         4: buy  A 3 @ 9 stop 10      -> pending
         4: buy  B 3 @ 10.5 market stop 10 -> pending
         2: buy  C 1 @ 9              -> pending
         3: sell Y 1 @ 10.5           -> pending
         2: buy  T 1 @ 10             -> filled 1, trade X 1 @ 10, trade Y 1 @ 10.5 by B, A triggered, B triggered, B unfilled
         3: sell Z 2 @ 9              -> filled 2, trade C 1 @ 9, trade A 1 @ 9 leaves 2
         balance 4 USDT               -> 962.5 / 18",
    );
}

#[test]
fn a_waiting_stop_is_no_part_of_the_book_and_can_be_cancelled_and_replaced() {
    check(
        "fund 2 3 4 1000
         4: buy  A 2 @ 12 stop 11 as 5 -> pending
         4: buy  A2 1 @ 12 as 5       -> DuplicateClientOrderId
         book                         -> |
         balance 4 USDT               -> 976 / 24
         3: sell X 1 @ 12 fok         -> canceled
         4: replace A 3 @ 11          -> pending
         balance 4 USDT               -> 967 / 33
         4: replace A 200 @ 11        -> InsufficientFunds
         4: replace A 3 @ 0           -> InvalidPrice
         3: sell Y 1 @ 11             -> pending
         2: buy  Z 1 @ 11             -> filled 1, trade Y 1 @ 11, A triggered
         book                         -> 11x3 |
         4: buy  B 2 stop 20          -> pending
         4: cancel B                  -> canceled
         4: cancel B                  -> TooLate
         4: buy  C 2 stop 20 as 9     -> pending
         4: cancel #9                 -> canceled
         4: cancel A                  -> canceled
         balance 4 USDT               -> 1000 / 0",
    );
}

#[test]
fn a_stop_without_a_price_of_its_own_holds_its_band() {
    // 5 % above 100 is held for a buy; it pays no more.
    check(
        "fund 3 4 1000
         deposit 2 USDT 105           -> done
         2: buy  A 1 stop 100         -> pending
         balance 2 USDT               -> 0 / 105
         3: sell X 1 @ 100            -> pending
         3: sell Y 1 @ 105.01         -> pending
         4: buy  T 1 @ 100            -> filled 1, trade X 1 @ 100, A triggered, A unfilled
         balance 2 USDT               -> 105 / 0",
    );
}

#[test]
fn the_trades_of_a_chain_are_told_to_the_sessions_of_the_stops() {
    use openoutcry::event::EventBody;
    let mut world = World::new(100);
    world.run(
        "fund 2 3 4 1000
         3: sell X 5 @ 10             -> pending
         session 2
         4: buy  A 2 @ 10 stop 10 as 77 -> pending
         session 1
         2: buy  T 1 @ 10             -> filled 1, trade X 1 @ 10 leaves 4, trade X 2 @ 10 by A leaves 2, A triggered",
    );
    let result = *world.out.result().expect("a result");
    assert_eq!((result.fill_count, result.filled.0), (1, 1), "its own trades alone");
    let told: Vec<_> = world
        .out
        .events()
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Update(u) => Some((u.session.0, u.outbound, u.client_order_id.0, 0)),
            EventBody::MakerFill(f) => {
                Some((f.session.0, f.outbound, f.client_order_id.0, f.quantity.0))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [(2, 2, 77, 0), (2, 3, 77, 2)]);
}

#[test]
fn a_stop_that_cannot_be_is_refused() {
    check(
        "fund 2 1000
         buy A 1 @ 10 type stop-limit -> InvalidStop
         buy B 1 type stop            -> InvalidStop
         buy C 1 stop -1              -> InvalidStop
         buy D 1 @ 0 type stop-limit stop 10 -> InvalidPrice
         buy E 1 @ 2000 stop 1000.01 on ETH -> InvalidPrice
         buy F 2 @ 1000 stop 1000.01 on ETH -> InvalidStop
         buy G 1 @ 10 stop 9 ioc      -> UnsupportedOrder
         buy H 1 @ 10 stop 9 min 1    -> UnsupportedOrder
         buy I 1 @ 10 stop 9 post     -> UnsupportedOrder
         buy J 1 stop 9 show 1        -> UnsupportedOrder
         buy K 1 @ 10 type limit stop 9 -> UnsupportedOrder",
    );
}

#[test]
fn a_chain_of_five_thousand_stops_is_a_loop() {
    let mut world = World::new(20_000);
    world.run("fund 2 3 4 100000000");
    for number in 0..5_000 {
        let price = 100 + number;
        world.run(&format!(
            "3: sell X{number} 1 @ {price} -> pending
             4: buy A{number} 1 @ 9000 stop {price} -> pending"
        ));
    }
    world.run("3: sell Z 1 @ 5100 -> pending");
    let result = world.apply(entry(AccountId(2), Side::Buy, "1", &["@", "100"]));
    assert_eq!(world.exchange.order_count(), 0, "each stop brought the next one");
    assert_eq!(result.fill_count, 1);
}
