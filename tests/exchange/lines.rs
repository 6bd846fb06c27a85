//! How books go wrong: one test for each of 31 known ways.

use super::random::{self, restored};
use super::script::{World, check, genesis};
use openoutcry::command::{CancelOrder, NewOrder};
use openoutcry::event::{CommandResult, Event, EventBody};
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity, Side, Status,
    TimeInForce,
};

#[test]
fn line_01_a_trade_is_at_the_makers_price_on_both_sides_and_through_a_replace() {
    check(
        "fund 2 3 1000
         2: sell A 1 @ 10      -> pending
         3: buy  B 1 @ 15      -> filled 1, trade A 1 @ 10
         2: buy  C 1 @ 15      -> pending
         3: sell D 1 @ 10      -> filled 1, trade C 1 @ 15
         2: sell E 1 @ 20      -> pending
         3: buy  F 1 @ 5       -> pending
         3: replace F 1 @ 30   -> filled 1, trade E 1 @ 20
         3: buy  G 1 @ 6       -> pending
         2: sell H 1 @ 40      -> pending
         2: replace H 1 @ 1    -> filled 1, trade G 1 @ 6
         last                  -> 6",
    );
}

#[test]
fn line_02_a_filled_maker_leaves_the_index_and_its_client_number_is_free() {
    check(
        "fund 2 3 1000
         2: sell A 1 @ 10 as 5  -> pending
         3: buy  B 1 @ 10       -> filled 1, trade A 1 @ 10
         2: cancel A            -> TooLate
         2: cancel #5           -> UnknownOrder
         2: replace A 2 @ 10    -> TooLate
         3: cancel B            -> TooLate
         2: sell C 1 @ 10 as 5  -> pending
         2: cancel #5           -> canceled",
    );
}

#[test]
fn line_03_a_sweep_stops_when_the_taker_is_exhausted() {
    check(
        "fund 2 3 1000
         2: sell A 2 @ 10   -> pending
         2: sell B 2 @ 10   -> pending
         2: sell C 2 @ 11   -> pending
         3: buy  D 2 @ 12   -> filled 2, trade A 2 @ 10
         3: buy  E 2 @ 12   -> filled 2, trade B 2 @ 10
         book               -> | 11x2",
    );
}

#[test]
fn line_04_orders_at_a_price_trade_first_in_first_out() {
    check(
        "fund 2 3 1000
         2: sell A 1 @ 10   -> pending
         3: sell B 2 @ 10   -> pending
         2: sell C 3 @ 10   -> pending
         3: sell D 4 @ 10   -> pending
         2: cancel C        -> canceled
         2: sell E 5 @ 10   -> pending
         2: buy  F 11 @ 10  -> filled 11, trade A 1 @ 10, trade B 2 @ 10, trade D 4 @ 10, trade E 4 @ 10 leaves 1",
    );
}

#[test]
fn line_05_cancelling_in_the_middle_keeps_the_orders_around_it() {
    check(
        "fund 2 3 1000
         2: buy A 1 @ 10   -> pending
         2: buy B 1 @ 10   -> pending
         2: buy C 1 @ 10   -> pending
         2: buy D 1 @ 10   -> pending
         2: cancel B       -> canceled
         2: cancel D       -> canceled
         2: buy E 1 @ 10   -> pending
         2: cancel A       -> canceled
         3: sell F 3 @ 10  -> partial 2 + 1, trade C 1 @ 10, trade E 1 @ 10",
    );
}

#[test]
fn line_06_cancelling_the_last_order_of_the_best_level_moves_the_best_price() {
    check(
        "fund 2 3 1000
         2: buy A 1 @ 10    -> pending
         2: buy B 1 @ 12    -> pending
         2: sell C 1 @ 20   -> pending
         2: sell D 1 @ 15   -> pending
         2: cancel B        -> canceled
         2: cancel D        -> canceled
         book               -> 10x1 | 20x1
         3: sell E 1 @ 11   -> pending
         3: buy F 1 @ 10.5  -> pending
         2: cancel A        -> canceled
         3: cancel F        -> canceled
         book               -> | 11x1 20x1
         3: sell G 1 @ 0.01 -> pending",
    );
}

#[test]
fn line_07_a_partial_fill_takes_the_same_from_both() {
    check(
        "fund 2 3 1000
         2: sell A 10 @ 10  -> pending
         3: buy  B 4 @ 10   -> filled 4, trade A 4 @ 10 leaves 6
         balance 2 BTC      -> 990 / 6
         balance 3 BTC      -> 1004 / 0
         3: buy  C 10 @ 10  -> partial 6 + 4, trade A 6 @ 10
         balance 2 BTC      -> 990 / 0
         balance 3 BTC      -> 1010 / 0
         balance 3 USDT     -> 860 / 40",
    );
}

#[test]
fn line_08_a_levels_depth_follows_fills_cancels_and_replaces() {
    check(
        "fund 2 3 1000
         2: sell A 10 @ 10    -> pending
         2: sell B 5 @ 10     -> pending
         2: sell C 3 @ 10     -> pending
         book                 -> | 10x18
         3: buy D 4 @ 10      -> filled 4, trade A 4 @ 10 leaves 6
         book                 -> | 10x14
         2: cancel B          -> canceled
         book                 -> | 10x9
         2: replace A 7 @ 10  -> partial 4 + 3
         book                 -> | 10x6
         2: replace C 9 @ 10  -> pending
         book                 -> | 10x12
         2: cancel A          -> partly canceled 4
         book                 -> | 10x9",
    );
}

#[test]
fn line_09_a_partly_filled_maker_keeps_its_place() {
    check(
        "fund 2 3 1000
         2: sell A 3 @ 10  -> pending
         2: sell B 3 @ 10  -> pending
         3: buy C 1 @ 10   -> filled 1, trade A 1 @ 10 leaves 2
         3: buy D 1 @ 10   -> filled 1, trade A 1 @ 10 leaves 1
         3: buy E 2 @ 10   -> filled 2, trade A 1 @ 10, trade B 1 @ 10 leaves 2",
    );
}

#[test]
fn line_10_an_immediate_order_never_rests() {
    check(
        "fund 2 3 1000
         3: buy A 5 @ 10 ioc   -> canceled
         balance 3 USDT        -> 1000 / 0
         2: sell B 2 @ 10      -> pending
         2: sell C 2 @ 11      -> pending
         3: buy D 5 @ 9 ioc    -> canceled
         3: buy E 5 @ 10 ioc   -> partly canceled 2, trade B 2 @ 10
         3: buy F 2 @ 12 ioc   -> filled 2, trade C 2 @ 11
         3: sell G 2 @ 12 ioc  -> canceled
         book                  -> |
         3: cancel E           -> TooLate
         balance 3 USDT        -> 958 / 0
         balance 3 BTC         -> 1004 / 0",
    );
}

#[test]
fn line_11_a_marketable_limit_goes_through_levels_and_stops_at_its_limit() {
    check(
        "fund 2 3 1000
         2: sell A 1 @ 10    -> pending
         2: sell B 1 @ 11    -> pending
         2: sell C 1 @ 12    -> pending
         2: sell D 1 @ 12.01 -> pending
         3: buy E 9 @ 12     -> partial 3 + 6, trade A 1 @ 10, trade B 1 @ 11, trade C 1 @ 12
         book                -> 12x6 | 12.01x1
         balance 3 USDT      -> 895 / 72",
    );
}

#[test]
fn line_12_a_remainder_never_rests_over_a_crossing_level() {
    check(
        "fund 2 3 1000
         2: buy A 1 @ 10    -> pending
         3: sell B 2 @ 10   -> partial 1 + 1, trade A 1 @ 10
         2: buy C 2 @ 10.01 -> partial 1 + 1, trade B 1 @ 10
         book               -> 10.01x1 |
         3: sell D 3 @ 9    -> partial 1 + 2, trade C 1 @ 10.01
         book               -> | 9x2",
    );
}

#[test]
fn line_13_a_crossing_replace_is_matched_and_counts_what_was_filled() {
    check(
        "fund 2 3 1000
         2: sell A 6 @ 20     -> pending
         3: buy B 2 @ 20      -> filled 2, trade A 2 @ 20 leaves 4
         3: buy C 3 @ 15      -> pending
         2: replace A 5 @ 15  -> filled 5, trade C 3 @ 15
         book                 -> |
         2: sell D 4 @ 20     -> pending
         3: buy E 1 @ 15      -> pending
         2: replace D 9 @ 14  -> partial 1 + 8, trade E 1 @ 15
         2: replace D 2 @ 14  -> partial 1 + 1
         book                 -> | 14x1
         balance 2 BTC        -> 993 / 1",
    );
}

#[test]
fn line_14_replacing_one_of_two_orders_at_a_price_keeps_the_other() {
    check(
        "fund 2 3 1000
         2: buy A 1 @ 10      -> pending
         2: buy B 2 @ 10      -> pending
         2: replace A 1 @ 11  -> pending
         book                 -> 11x1 10x2 |
         2: replace B 5 @ 10  -> pending
         2: replace A 1 @ 10  -> pending
         book                 -> 10x6 |
         3: sell C 6 @ 10     -> filled 6, trade B 5 @ 10, trade A 1 @ 10",
    );
}

#[test]
fn line_15_what_is_not_live_cannot_be_cancelled_or_replaced() {
    check(
        "fund 2 3 1000
         2: cancel ?0                     -> UnknownOrder
         2: cancel ?12345                 -> UnknownOrder
         2: cancel ?18446744073709551615  -> UnknownOrder
         2: replace ?12345 1 @ 1          -> UnknownOrder
         2: buy A 1 @ 10                  -> pending
         2: cancel A                      -> canceled
         2: cancel A                      -> TooLate
         2: replace A 1 @ 10              -> TooLate
         2: buy B 1 @ 10 ioc              -> canceled
         2: cancel B                      -> TooLate
         2: buy C 0 @ 10                  -> InvalidQuantity
         2: cancel C                      -> TooLate",
    );
}

#[test]
fn line_16_the_best_price_trades_first_and_the_touch_itself_crosses() {
    check(
        "fund 2 3 1000
         2: buy A 1 @ 10   -> pending
         2: buy B 1 @ 12   -> pending
         2: buy C 1 @ 11   -> pending
         2: sell D 1 @ 15  -> pending
         2: sell E 1 @ 13  -> pending
         2: sell F 1 @ 14  -> pending
         3: sell G 1 @ 12  -> filled 1, trade B 1 @ 12
         3: buy H 1 @ 13   -> filled 1, trade E 1 @ 13
         3: sell I 2 @ 1   -> filled 2, trade C 1 @ 11, trade A 1 @ 10
         3: buy J 2 @ 99   -> filled 2, trade F 1 @ 14, trade D 1 @ 15",
    );
}

#[test]
fn line_17_every_price_has_a_level_of_its_own_from_one_tick_to_the_last() {
    check(
        "deposit 2 BTC 100                      -> done
         deposit 3 USDT 92233720368547758.07    -> done
         2: sell A 1 @ 92233720368547758.07     -> pending
         2: sell B 1 @ 92233720368547758.06     -> pending
         2: sell C 1 @ 46116860184273879.04     -> pending
         2: sell D 1 @ 40.96                    -> pending
         2: sell E 1 @ 40.95                    -> pending
         2: sell F 1 @ 0.02                     -> pending
         3: buy  G 1 @ 0.01                     -> pending
         book -> 0.01x1 | 0.02x1 40.95x1 40.96x1 46116860184273879.04x1 92233720368547758.06x1 92233720368547758.07x1
         2: cancel C                            -> canceled
         3: cancel G                            -> canceled
         3: buy  H 1 @ 92233720368547758.07     -> filled 1, trade F 1 @ 0.02
         3: buy  I 2 @ 1000000000               -> filled 2, trade E 1 @ 40.95, trade D 1 @ 40.96
         2: sell J 1 @ 0.01                     -> pending
         2: cancel J                            -> canceled
         2: replace A 1 @ 0.01                  -> pending
         book                                   -> | 0.01x1 92233720368547758.06x1
         3: buy  K 1 @ 92233720368547000        -> filled 1, trade A 1 @ 0.01",
    );
}

fn order(account: u64, side: Side, quantity: i64, price: i64, client: u64) -> NewOrder {
    NewOrder {
        account: AccountId(account),
        instrument: InstrumentId(1),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(price),
        quantity: Quantity(quantity),
        client_order_id: ClientOrderId(client),
    }
}

#[test]
fn line_18_a_full_table_refuses_and_takes_orders_again_when_there_is_room() {
    let mut world = World::new(3);
    world.run(
        "fund 2 3 1000
         2: buy A 1 @ 10       -> pending
         2: buy B 1 @ 11       -> pending
         2: sell C 1 @ 20      -> pending
         2: buy D 1 @ 10       -> CapacityReached
         3: sell E 1 @ 10 ioc  -> filled 1, trade B 1 @ 11
         2: buy F 1 @ 10       -> pending
         3: sell G 1 @ 10      -> CapacityReached
         2: replace A 2 @ 12   -> pending
         2: cancel C           -> canceled
         3: sell H 1 @ 12      -> filled 1, trade A 1 @ 12 leaves 1
         2: sell I 1 @ 30      -> pending
         2: sell J 1 @ 30      -> CapacityReached
         book                  -> 12x1 10x1 | 30x1",
    );
    // A table that is filled and emptied for ever leaks no slot and no level.
    for round in 1..200 {
        let mut ids = Vec::new();
        while world.exchange.order_count() < 3 {
            ids.push(world.apply(order(3, Side::Buy, 1, 10 + round, 0)).order_id);
        }
        for order_id in ids {
            let cancel = CancelOrder {
                account: AccountId(3),
                instrument: InstrumentId(1),
                order_id,
                orig_client_order_id: ClientOrderId(0),
            };
            assert_eq!(world.apply(cancel).status, Status::FullyCanceled);
        }
        if round == 1 {
            world.run("2: cancel A -> partly canceled 1\n 2: cancel F -> canceled\n 2: cancel I -> canceled");
        }
    }
}

#[test]
fn line_19_a_reused_slot_never_answers_for_the_order_before_and_a_live_number_is_taken() {
    let mut world = World::new(1);
    world.run(
        "fund 2 3 1000
         2: buy A 1 @ 10 as 5  -> pending
         2: cancel A           -> canceled
         3: buy B 1 @ 10 as 5  -> pending
         2: cancel A           -> TooLate
         2: cancel #5          -> UnknownOrder
         3: cancel A           -> TooLate
         3: replace A 2 @ 10   -> TooLate
         book                  -> 10x1 |
         3: cancel #5          -> canceled
         3: buy C 1 @ 10 as 5  -> pending
         3: cancel B           -> TooLate",
    );
    check(
        "fund 2 3 1000
         2: buy A 1 @ 10 as 5         -> pending
         2: sell B 1 @ 20 as 5        -> DuplicateClientOrderId
         2: sell B2 1 @ 10 as 5       -> DuplicateClientOrderId
         2: buy C 2 @ 100 as 5 on ETH -> DuplicateClientOrderId
         3: buy D 1 @ 10 as 5         -> pending
         2: replace #5 3 @ 11         -> pending
         2: buy E 1 @ 10 as 5         -> DuplicateClientOrderId
         2: cancel #5                 -> canceled
         2: buy F 1 @ 10 as 5         -> pending",
    );
}

#[test]
fn line_20_a_sweep_stands_what_it_takes_out_on_its_way() {
    check(
        "fund 2 3 4 1000
         2: sell A 4 @ 10 show 1             -> pending
         3: sell B 1 @ 10                    -> pending
         4: sell C 1 @ 10                    -> pending
         4: sell D 2 @ 11                    -> pending
         3: sell E 2 @ 12 until 2000         -> pending
         2: sell F 2 @ 12                    -> pending
         2: sell G 2 @ 12.01                 -> pending
         4: buy  H 9 @ 12 self cancel-oldest -> filled 9, trade A 1 @ 10 leaves 3, trade B 1 @ 10, trade A 1 @ 10 leaves 2, trade A 1 @ 10 leaves 1, trade A 1 @ 10, trade E 2 @ 12, trade F 2 @ 12, C self-trade, D self-trade
         book                                -> | 12.01x2
         balance 4 BTC                       -> 1009 / 0",
    );
}

#[test]
fn line_21_levels_and_index_lose_nothing_when_much_is_deleted() {
    const COUNT: i64 = 401;
    let mut world = World::new(COUNT as u32);
    world.run("fund 2 1000000000");
    for step in [1, 7, 150, 400] {
        // 401 is a prime: every step goes through all of them.
        let mut ids = vec![OrderId(0); COUNT as usize];
        for at in 0..COUNT {
            let price = 1 + at * 131 % 1009 * (1 + at % 3 * 4099);
            let result = world.apply(order(2, Side::Buy, 1, price, 1 + at.cast_unsigned()));
            ids[at as usize] = result.order_id;
        }
        for at in 0..COUNT {
            let order_id = ids[(at * step % COUNT) as usize];
            let cancel = CancelOrder {
                account: AccountId(2),
                instrument: InstrumentId(1),
                order_id,
                orig_client_order_id: ClientOrderId(0),
            };
            assert_eq!(world.apply(cancel).status, Status::FullyCanceled);
            assert_eq!(world.exchange.order(order_id), None);
            assert_eq!(world.exchange.order_count() as i64, COUNT - 1 - at);
        }
    }
}

#[test]
fn line_22_a_cancel_finds_its_order_on_either_side() {
    check(
        "fund 2 1000
         buy A 1 @ 10     -> pending
         sell B 1 @ 11    -> pending
         cancel B         -> canceled
         book             -> 10x1 |
         sell C 1 @ 11    -> pending
         cancel A         -> canceled
         book             -> | 11x1
         balance 2 BTC    -> 999 / 1
         balance 2 USDT   -> 1000 / 0",
    );
}

#[test]
fn line_23_neighbouring_prices_stay_apart_and_equal_ones_together() {
    check(
        "deposit 2 BTC 100               -> done
         sell A 1 @ 90071992547409.93    -> pending
         sell B 1 @ 90071992547409.92    -> pending
         sell C 1 @ 90071992547409.9     -> pending
         sell D 1 @ 90071992547409.90    -> pending
         book -> | 90071992547409.9x2 90071992547409.92x1 90071992547409.93x1",
    );
}

/// Applies without the checks that walk the whole state.
fn apply(world: &mut World, order: NewOrder) -> CommandResult {
    world.ctx.sequence = world.ctx.sequence.next();
    world.exchange.apply(&world.ctx, &order.into(), &mut world.out);
    *world.out.result().expect("a command has a result")
}

#[test]
fn line_24_five_thousand_fills_in_one_command_are_all_told() {
    let mut world = World::new(6000);
    world.run("fund 2 3 100000000");
    for at in 0..5000 {
        apply(&mut world, order(2, Side::Sell, 1 + at % 3, 1000 + at / 10, 0));
    }
    world.exchange.check();
    let whole: i64 = (0..5000).map(|at| 1 + at % 3).sum();
    let result = world.apply(order(3, Side::Buy, whole + 7, 10_000, 0));
    assert_eq!((result.status, result.fill_count), (Status::PartialFilled, 5000));
    assert_eq!((result.filled.0, result.leaves.0), (whole, 7));
    let (mut traded, mut makers) = (0, Vec::new());
    for event in world.out.events() {
        if let EventBody::Trade(trade) = event.body {
            traded += trade.quantity.0;
            makers.push(trade.maker_order);
            assert_eq!(trade.maker_leaves.0, 0);
        }
    }
    assert_eq!(traded, whole);
    let first = makers[0].0;
    assert_eq!(makers, (first..first + 5000).map(OrderId).collect::<Vec<_>>());
}

#[test]
fn line_25_a_cancel_costs_the_same_in_a_queue_of_a_hundred_thousand() {
    // A cancel that walked the queue would take 10^10 steps here and hours to pass.
    let count = 100_000;
    let mut world = World::new(count);
    world.run("fund 2 100000000");
    let first = world.ctx.sequence.0 + 1;
    for _ in 0..count {
        apply(&mut world, order(2, Side::Buy, 1, 10, 0));
    }
    let middle_out = (0..u64::from(count) / 2).flat_map(|at| {
        let middle = first + u64::from(count) / 2;
        [middle + at, middle - 1 - at]
    });
    for id in middle_out {
        let cancel = CancelOrder {
            account: AccountId(2),
            instrument: InstrumentId(1),
            order_id: OrderId(id),
            orig_client_order_id: ClientOrderId(0),
        };
        world.ctx.sequence = world.ctx.sequence.next();
        world.exchange.apply(&world.ctx, &cancel.into(), &mut world.out);
        assert_eq!(world.out.result().expect("a result").status, Status::FullyCanceled);
    }
    world.exchange.check();
    assert_eq!(world.exchange.order_count(), 0);
}

#[test]
fn line_26_fill_or_kill_counts_all_that_may_trade_and_nothing_overflows() {
    check(
        "fund 2 3 1000
         2: sell A 2 @ 10                        -> pending
         2: sell B 2 @ 11                        -> pending
         3: sell C 5 @ 11                        -> pending
         2: sell D 1 @ 11                        -> pending
         3: buy  E 5 @ 11 fok self cancel-newest -> canceled
         3: buy  F 6 @ 11 fok self cancel-oldest -> canceled
         book                                    -> | 10x2 11x8
         3: buy  G 4 @ 11 fok self cancel-newest -> filled 4, trade A 2 @ 10, trade B 2 @ 11
         3: buy  H 1 @ 11 fok self cancel-oldest -> filled 1, trade D 1 @ 11, C self-trade
         2: sell I 3 @ 12                        -> pending
         3: buy  J 4 @ 12 fok                    -> canceled
         3: buy  K 4 market                      -> partly canceled 3, trade I 3 @ 12
         book                                    -> |
         2: sell L 9223372036854775807 @ 92233720368547758.07 fok -> InsufficientFunds
         2: buy  M 9223372036854775807 @ 92233720368547758.07 fok -> Overflow
         2: buy  N 2 @ 46116860184273879.04      -> Overflow
         2: buy  O 1 @ 92233720368547758.07      -> InsufficientFunds",
    );
}

#[test]
fn line_27_a_cascade_of_stops_is_over_with_the_command_that_began_it() {
    check(
        "fund 2 3 4 1000
         2: buy  A 1 @ 10                  -> pending
         4: sell B 1 @ 10                  -> filled 1, trade A 1 @ 10
         3: buy  S 1 @ 15 market stop 11   -> pending
         3: buy  T 1 @ 15 market stop 12   -> pending
         3: buy  U 1 @ 20 stop 13          -> pending
         3: buy  V 1 stop 13.01            -> pending
         3: sell W 1 stop 9.99             -> pending
         2: sell C 1 @ 11                  -> pending
         2: sell D 1 @ 12                  -> pending
         2: sell E 1 @ 13                  -> pending
         book                              -> | 11x1 12x1 13x1
         4: buy  F 1 @ 11                  -> filled 1, trade C 1 @ 11, trade D 1 @ 12 by S, trade E 1 @ 13 by T, S triggered, T triggered, U triggered
         book                              -> 20x1 |
         last                              -> 13
         3: cancel S                       -> TooLate
         3: cancel V                       -> canceled
         4: sell G 1 stop 13.01            -> filled 1, trade U 1 @ 20
         3: cancel W                       -> canceled
         3: cancel W                       -> TooLate
         balance 3 USDT                    -> 955 / 0
         orders 3                          ->",
    );
}

#[test]
fn line_28_the_same_state_has_the_same_hash_whatever_slots_it_lies_in() {
    let ends =
        "2: buy A 5 @ 10 -> pending\n 3: buy B 5 @ 10 -> pending\n 2: sell C 3 @ 11 -> pending";
    let fund = "fund 2 3 1000";
    let mut straight = World::new(10);
    straight.run(fund);
    let mut crooked = World::new(10);
    crooked.run(fund);
    crooked.run(
        "3: buy X 1 @ 10     -> pending
         3: buy Y 1 @ 9      -> pending
         2: sell Z 1 @ 500   -> pending
         3: cancel X         -> canceled
         2: cancel Z         -> canceled
         3: cancel Y         -> canceled",
    );
    assert_ne!(straight.hash(), crooked.hash(), "they are at other sequences");
    straight.ctx.sequence = crooked.ctx.sequence;
    straight.run(ends);
    crooked.run(ends);
    assert_eq!(straight.hash(), crooked.hash());
    straight.run("2: cancel C -> canceled");
    crooked.run("2: replace C 2 @ 11 -> pending");
    assert_ne!(straight.hash(), crooked.hash());
}

#[test]
fn line_29_every_trade_is_told_to_whose_it_is() {
    let mut world = World::new(100);
    world.run(
        "fund 2 3 1000
         session 1
         2: sell A 5 @ 10 as 7  -> pending
         session 2
         2: sell B 5 @ 10 as 8  -> pending
         session 3",
    );
    // (session, its message, order, the client's number, quantity, filled, leaves)
    let fills = |world: &World| -> Vec<_> {
        let told = |event: &Event| match event.body {
            EventBody::MakerFill(f) => {
                let whose = (f.session.0, f.outbound, f.order_id.0, f.client_order_id.0);
                Some((whose, (f.quantity.0, f.filled.0, f.leaves.0)))
            }
            _ => None,
        };
        world.out.events().iter().filter_map(told).collect()
    };
    let a = world.exchange.order_by_client(AccountId(2), ClientOrderId(7)).expect("it rests");
    let b = world.exchange.order_by_client(AccountId(2), ClientOrderId(8)).expect("it rests");
    let (a, b) = (a.order_id.0, b.order_id.0);
    world.run("3: buy C 2 @ 10 -> filled 2, trade A 2 @ 10 leaves 3");
    assert_eq!(fills(&world), [((1, 2, a, 7), (2, 2, 3))]);
    world.run("3: buy D 5 @ 10 -> filled 5, trade A 3 @ 10, trade B 2 @ 10 leaves 3");
    assert_eq!(fills(&world), [((1, 3, a, 7), (3, 5, 0)), ((2, 2, b, 8), (2, 2, 3))]);
    world.run("3: buy E 5 @ 10 -> partial 3 + 2, trade B 3 @ 10");
    assert_eq!(fills(&world), [((2, 3, b, 8), (3, 5, 0))]);
    assert_eq!(world.out.result().expect("a result").outbound, 3);
}

#[test]
fn line_30_a_time_of_expiry_ends_its_own_order_and_no_other() {
    for is_restored in [false, true] {
        let mut world = World::new(1);
        world.run(
            "fund 2 3 1000
             2: buy  A 1 @ 10 until 5000 as 7 -> pending
             2: cancel #7                     -> canceled
             2: buy  B 1 @ 10 until 9000 as 7 -> pending
             2: replace #7 2 @ 9              -> pending",
        );
        if is_restored {
            world.exchange = restored(&world.exchange);
        }
        world.run(
            "at 5000
             3: buy  C 1 @ 9 ioc              -> canceled
             book                             -> 9x2 |
             at 8999
             3: sell D 1 @ 9 ioc              -> filled 1, trade B 1 @ 9 leaves 1
             at 9000
             3: sell E 1 @ 9                  -> pending, B expired
             2: cancel B                      -> TooLate
             2: buy  F 1 @ 20 until 9000 ioc  -> UnsupportedOrder
             2: buy  G 1 @ 8 until 9000       -> InvalidExpiry
             balance 2 USDT                   -> 991 / 0
             book                             -> | 9x1",
        );
    }
}

#[test]
fn line_31_thousands_of_live_orders_keep_their_links() {
    random::long_streams_do_what_the_naive_model_says();
}

#[test]
fn two_instruments_share_no_book_and_no_more_than_their_money() {
    assert_eq!(genesis(1).len(), 14);
    check(
        "fund 2 3 1000
         2: buy A 2 @ 100 on ETH   -> pending
         3: sell B 2 @ 100         -> pending
         book                      -> | 100x2
         book on ETH               -> 100x2 |
         3: sell C 2 @ 90 on ETH   -> filled 2, trade A 2 @ 100
         balance 2 ETH             -> 1002 / 0
         balance 2 BTC             -> 1000 / 0
         balance 2 USDT            -> 800 / 0
         last                      -> none",
    );
}
