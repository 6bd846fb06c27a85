//! The exchange from outside: golden scenarios, accounts, orders.

#[path = "exchange/around.rs"]
mod around;
#[path = "exchange/expiry.rs"]
mod expiry;
#[path = "exchange/forms.rs"]
pub(crate) mod forms;
#[path = "exchange/icebergs.rs"]
mod icebergs;
mod kinds;
#[path = "exchange/lines.rs"]
mod lines;
#[path = "exchange/numbered.rs"]
mod numbered;
#[path = "exchange/passing.rs"]
pub(crate) mod passing;
#[path = "exchange/random.rs"]
mod random;
#[path = "exchange/recount.rs"]
mod recount;
#[path = "exchange/restored.rs"]
mod restored;
#[path = "exchange/risk.rs"]
mod risk;
#[path = "exchange/script.rs"]
pub(crate) mod script;
#[path = "exchange/selftrade.rs"]
mod selftrade;
#[path = "exchange/shown.rs"]
mod shown;
#[path = "exchange/shrink.rs"]
mod shrink;
#[path = "exchange/stops.rs"]
mod stops;
#[path = "exchange/traffic.rs"]
mod traffic;
#[path = "exchange/words.rs"]
pub(crate) mod words;

use openoutcry::genesis::{GenesisItem, Instrument};
use openoutcry::types::{InstrumentId, Price, Quantity, Side, TimeNs};
use script::{World, check, genesis, instrument};

// ---- golden scenarios ---------------------------------------------------------------------------

#[test]
fn g0_an_order_without_money_changes_nothing() {
    check(
        "buy A 1 @ 2082.34   -> InsufficientFunds
         sell B 1 @ 2082.34  -> InsufficientFunds
         balance 2 USDT      -> 0 / 0
         balance 2 BTC       -> 0 / 0
         book                -> |
         orders 2            ->
         last                -> none",
    );
}

#[test]
fn g1_twelve_orders_of_one_user() {
    let world = check(
        "deposit 2 BTC 1000000   -> done
         deposit 2 USDT 1000000  -> done
         buy  O1  1 @ 2082.34  -> pending
         sell O2  2 @ 2087.6   -> pending
         buy  O3  1 @ 2087.8   -> filled 1, trade O2 1 @ 2087.6 leaves 1
         buy  O4  5 @ 2085.01  -> pending
         sell O5  3 @ 2088.02  -> pending
         sell O6  6 @ 2087.60  -> pending
         buy  O7  7 @ 2081.11  -> pending
         buy  O8  3 @ 2086.0   -> pending
         buy  O9  1 @ 2088.33  -> filled 1, trade O2 1 @ 2087.6
         sell O10 2 @ 2086.54  -> pending
         sell O11 5 @ 2086.55  -> pending
         buy  O12 3 @ 2086.55  -> filled 3, trade O10 2 @ 2086.54, trade O11 1 @ 2086.55 leaves 4
         last                  -> 2086.55
         book -> 2086x3 2085.01x5 2082.34x1 2081.11x7 | 2086.55x4 2087.6x6 2088.02x3
         balance 2 BTC         -> 999987 / 13
         balance 2 USDT        -> 966666.84 / 33333.16
         balance 1 BTC         -> -1000000 / 0
         balance 1 USDT        -> -1000000 / 0
         orders 2              -> O1 O4 O5 O6 O7 O8 O11",
    );
    let mut rows = Vec::new();
    let summary = world.exchange.book(InstrumentId(1), 2, false, &mut rows).expect("defined");
    let prices: Vec<i64> = rows.iter().map(|row| row.price.0).collect();
    assert_eq!(prices, [208_600, 208_501, 208_655, 208_760], "two levels a side");
    assert!(summary.more);
}

#[test]
fn g1_twelve_orders_of_two_users() {
    check(
        "deposit 2 BTC 1000000   -> done
         deposit 2 USDT 1000000  -> done
         deposit 3 BTC 1000000   -> done
         deposit 3 USDT 1000000  -> done
         2: buy  O1  1 @ 2082.34  -> pending
         3: sell O2  2 @ 2087.6   -> pending
         2: buy  O3  1 @ 2087.8   -> filled 1, trade O2 1 @ 2087.6 leaves 1
         3: buy  O4  5 @ 2085.01  -> pending
         2: sell O5  3 @ 2088.02  -> pending
         3: sell O6  6 @ 2087.60  -> pending
         2: buy  O7  7 @ 2081.11  -> pending
         3: buy  O8  3 @ 2086.0   -> pending
         2: buy  O9  1 @ 2088.33  -> filled 1, trade O2 1 @ 2087.6
         3: sell O10 2 @ 2086.54  -> pending
         2: sell O11 5 @ 2086.55  -> pending
         3: buy  O12 3 @ 2086.55  -> filled 3, trade O10 2 @ 2086.54, trade O11 1 @ 2086.55 leaves 4
         balance 2 BTC            -> 999994 / 7
         balance 2 USDT           -> 981261.24 / 16650.11
         balance 3 BTC            -> 999993 / 6
         balance 3 USDT           -> 985405.6 / 16683.05
         balance 1 BTC            -> -2000000 / 0
         balance 1 USDT           -> -2000000 / 0",
    );
}

#[test]
fn g2_a_seller_takes_two_bids() {
    check(
        "deposit 2 BTC 1000000   -> done
         deposit 2 USDT 1000000  -> done
         deposit 3 BTC 1000000   -> done
         deposit 3 USDT 1000000  -> done
         2: buy A 1 @ 2082.34    -> pending
         balance 2 USDT          -> 997917.66 / 2082.34
         2: buy B 5 @ 2087.6     -> pending
         balance 2 USDT          -> 987479.66 / 12520.34
         3: sell C 10 @ 2080.9   -> partial 6 + 4, trade B 5 @ 2087.6, trade A 1 @ 2082.34
         balance 3 USDT          -> 1012520.34 / 0
         balance 3 BTC           -> 999990 / 4
         balance 2 USDT          -> 987479.66 / 0
         balance 2 BTC           -> 1000006 / 0
         balance 1 BTC           -> -2000000 / 0
         balance 1 USDT          -> -2000000 / 0
         last                    -> 2082.34
         book                    -> | 2080.9x4",
    );
}

#[test]
fn g3_a_buyer_takes_two_offers_and_rests() {
    check(
        "deposit 2 BTC 1000000   -> done
         deposit 2 USDT 1000000  -> done
         deposit 3 BTC 1000000   -> done
         deposit 3 USDT 1000000  -> done
         2: sell A 1 @ 2082.34   -> pending
         balance 2 BTC           -> 999999 / 1
         2: sell B 3 @ 2085.34   -> pending
         balance 2 BTC           -> 999996 / 4
         3: buy C 5 @ 2090.34    -> partial 4 + 1, trade A 1 @ 2082.34, trade B 3 @ 2085.34
         balance 3 USDT          -> 989571.3 / 2090.34
         balance 3 BTC           -> 1000004 / 0
         balance 2 USDT          -> 1008338.36 / 0
         balance 2 BTC           -> 999996 / 0
         book                    -> 2090.34x1 |",
    );
}

#[test]
#[should_panic(expected = "commands are applied once, in the total order")]
fn g4_a_sequence_that_was_applied_is_not_applied_again() {
    let mut world = check("fund 2 10");
    world.ctx.sequence.0 -= 1;
    world.run("buy A 1 @ 1 -> pending");
}

#[test]
fn g5_a_cancel_gives_everything_back() {
    check(
        "deposit 2 USDT 5000  -> done
         buy A 1 @ 2082.34    -> pending
         balance 2 USDT       -> 2917.66 / 2082.34
         cancel A             -> canceled
         balance 2 USDT       -> 5000 / 0
         orders 2             ->
         book                 -> |
         buy B 1 @ 100        -> pending
         buy C 2 @ 100        -> pending
         book                 -> 100x3 |
         cancel B             -> canceled
         book                 -> 100x2 |
         orders 2             -> C",
    );
}

#[test]
fn g6_a_partly_filled_order_is_cancelled_for_its_rest() {
    check(
        "deposit 2 USDT 1000  -> done
         deposit 3 BTC 4      -> done
         buy A 10 @ 100       -> pending
         3: sell B 4 @ 99     -> filled 4, trade A 4 @ 100 leaves 6
         balance 2 USDT       -> 0 / 600
         cancel A             -> partly canceled 4
         balance 2 USDT       -> 600 / 0
         balance 2 BTC        -> 4 / 0
         balance 3 USDT       -> 400 / 0",
    );
}

#[test]
fn g6_refused_commands_leave_the_engine_alive() {
    check(
        "fund 2 3 1000
         2: buy A 1 @ 100       -> pending
         3: cancel A            -> TooLate
         3: replace A 2 @ 100   -> TooLate
         2: cancel A            -> canceled
         2: cancel A            -> TooLate
         2: buy B 0 @ 100       -> InvalidQuantity
         2: buy C -1 @ 100      -> InvalidQuantity
         2: buy D 1 @ 0         -> InvalidPrice
         2: buy E 1 @ -0.01     -> InvalidPrice
         deposit 2 BTC 0        -> InvalidAmount
         deposit 2 BTC -5       -> InvalidAmount
         2: buy F 9223372036854775807 @ 0.02  -> Overflow
         2: buy G 1 @ 1         -> pending
         orders 2               -> G",
    );
}

#[test]
fn g6_an_order_may_use_the_last_cent() {
    check(
        "deposit 2 USDT 300   -> done
         buy A 3 @ 100        -> pending
         balance 2 USDT       -> 0 / 300
         buy B 1 @ 0.01       -> InsufficientFunds
         deposit 3 BTC 3      -> done
         3: sell C 3 @ 100    -> filled 3, trade A 3 @ 100
         3: sell D 1 @ 100    -> InsufficientFunds
         balance 2 USDT       -> 0 / 0
         balance 2 BTC        -> 3 / 0
         balance 3 USDT       -> 300 / 0",
    );
}

#[test]
fn g6_a_trade_with_oneself_nets_to_nothing() {
    check(
        "fund 2 1000
         sell A 5 @ 100  -> pending
         buy  B 3 @ 101  -> filled 3, trade A 3 @ 100 leaves 2
         buy  C 3 @ 102  -> partial 2 + 1, trade A 2 @ 100
         balance 2 BTC   -> 1000 / 0
         balance 2 USDT  -> 898 / 102
         cancel C        -> partly canceled 2
         balance 2 USDT  -> 1000 / 0",
    );
}

#[test]
fn g6_an_empty_side_has_no_best_price() {
    let world = check("fund 2 10\n buy A 1 @ 2 -> pending");
    let best = |side| world.exchange.best(InstrumentId(1), side);
    assert_eq!(best(Side::Buy), Some((Price(200), Quantity(1))));
    assert_eq!(best(Side::Sell), None);
    assert_eq!(world.exchange.last_price(InstrumentId(1)), None);
    assert_eq!(world.exchange.best(InstrumentId(7), Side::Buy), None);
}

// ---- accounts and assets ------------------------------------------------------------------------

#[test]
fn money_enters_and_leaves_against_the_liability_account() {
    check(
        "deposit 2 USDT 10.5     -> done
         balance 1 USDT          -> -10.5 / 0
         transfer 2 3 USDT 4     -> done
         balance 2 USDT          -> 6.5 / 0
         balance 3 USDT          -> 4 / 0
         withdraw 3 USDT 1.25    -> done
         balance 3 USDT          -> 2.75 / 0
         balance 1 USDT          -> -9.25 / 0",
    );
}

#[test]
fn every_wrong_transfer_has_its_reason_in_a_fixed_order() {
    check(
        "fund 2 100
         deposit 1 BTC 5         -> LiabilityAccount
         withdraw 1 BTC 5        -> LiabilityAccount
         transfer 1 2 BTC 5      -> LiabilityAccount
         transfer 2 1 BTC 5      -> LiabilityAccount
         transfer 2 2 BTC 5      -> SameAccount
         transfer 77 77 BTC 5    -> UnknownAccount
         transfer 2 77 BTC 5     -> UnknownAccount
         transfer 2 3 9 5        -> UnknownAsset
         transfer 2 3 BTC 0      -> InvalidAmount
         transfer 2 3 BTC -1     -> InvalidAmount
         transfer 2 3 BTC 101    -> InsufficientFunds
         withdraw 2 BTC 101      -> InsufficientFunds
         withdraw 2 0 -1         -> UnknownAsset
         withdraw 77 9 -1        -> UnknownAccount
         withdraw 2 BTC -1       -> InvalidAmount
         deposit 77 9 -1         -> UnknownAccount
         deposit 0 BTC 1         -> UnknownAccount
         deposit 2 9 -1          -> UnknownAsset
         1: buy A 1 @ 1          -> LiabilityAccount
         1: cancel ?1            -> LiabilityAccount",
    );
}

#[test]
fn what_orders_hold_cannot_be_moved() {
    check(
        "deposit 2 USDT 100    -> done
         buy A 1 @ 60          -> pending
         transfer 2 3 USDT 41  -> InsufficientFunds
         withdraw 2 USDT 41    -> InsufficientFunds
         transfer 2 3 USDT 40  -> done
         balance 2 USDT        -> 0 / 60",
    );
}

#[test]
fn all_accounts_together_own_at_most_what_fits() {
    check(
        "deposit 2 BTC 9223372036854775807  -> done
         deposit 2 BTC 1                    -> Overflow
         deposit 3 BTC 1                    -> Overflow
         balance 3 BTC                      -> 0 / 0
         balance 1 BTC                      -> -9223372036854775807 / 0
         withdraw 2 BTC 1                   -> done
         deposit 3 BTC 1                    -> done
         transfer 3 2 BTC 1                 -> done
         balance 2 BTC                      -> 9223372036854775807 / 0",
    );
}

// ---- validation ---------------------------------------------------------------------------------

#[test]
fn a_new_order_is_refused_for_the_first_reason_in_a_fixed_order() {
    check(
        "fund 2 1000
         buy Z 2 @ 100 on ETH as 5                        -> pending
         77: buy A 0 @ 0 on 9 as 5 flags 32               -> UnknownAccount
         2: buy B 0 @ 0 on 9 as 5 flags 32                -> UnknownInstrument
         2: buy C 0 @ 0 on 0 as 5 flags 32                -> UnknownInstrument
         2: buy D 0 @ 0 on ETH as 5 flags 32              -> UnsupportedOrder
         2: buy E 0 @ 0 on ETH as 5                       -> InvalidPrice
         2: buy F 2 @ 1000.01 on ETH as 5                 -> InvalidPrice
         2: buy G 1 @ 1000 on ETH as 5                    -> InvalidQuantity
         2: buy H 101 @ 1000 on ETH as 5                  -> InvalidQuantity
         2: buy I 9223372036854775807 @ 1000 as 5         -> DuplicateClientOrderId
         2: buy J 9223372036854775807 @ 1000 as 6         -> Overflow
         2: buy K 2 @ 1000 on ETH as 6                    -> InsufficientFunds
         2: buy L 2 @ 400 on ETH as 6                     -> pending",
    );
}

#[test]
fn a_product_that_does_not_fit_is_refused_and_one_that_just_fits_is_not() {
    let mut items = genesis(10);
    let big = Instrument { base_per_lot: 3, quote_per_tick_lot: 7, ..instrument(3, "BIG", 1, 2) };
    items.push(GenesisItem::Instrument(big));
    let mut world = World::of(&items);
    world.run(
        "deposit 2 USDT 92233720368547758.07  -> done
         deposit 2 BTC 9223372036854775807    -> done
         buy A 1317624576693539401 @ 0.01 on 3   -> pending
         cancel A on 3                           -> canceled
         buy B 1317624576693539402 @ 0.01 on 3   -> Overflow
         buy C 1317624576693539401 @ 0.02 on 3   -> Overflow
         buy X 9223372036854775807 @ 92233720368547758.07 on 3 -> Overflow
         sell D 3074457345618258602 @ 0.01 on 3  -> pending
         cancel D on 3                           -> canceled
         sell E 3074457345618258603 @ 0.01 on 3  -> Overflow",
    );
}

#[test]
fn a_command_past_its_time_to_live_is_refused_before_anything_else() {
    let mut world = check("fund 2 100\n buy A 1 @ 1 -> pending");
    world.ctx.expires = TimeNs(1000);
    world.run("buy B 1 @ 1 -> pending");
    world.ctx.time = TimeNs(1001);
    world.run(
        "buy C 1 @ 1      -> Expired
         buy D 1 @ 1 on 9 -> Expired
         cancel A         -> Expired
         replace A 2 @ 1  -> Expired
         deposit 2 BTC 1  -> Expired",
    );
    world.ctx.expires = TimeNs(0);
    world.run("cancel A -> canceled");
}

// ---- orders by their names ----------------------------------------------------------------------

#[test]
fn an_order_is_named_by_its_id_or_by_the_clients_number() {
    check(
        "fund 2 3 1000
         2: buy A 1 @ 100 as 7    -> pending
         3: buy B 1 @ 100 as 7    -> pending
         2: buy C 1 @ 100         -> pending
         2: cancel #7 on ETH      -> UnknownOrder
         2: cancel A on ETH       -> UnknownOrder
         2: replace #7 2 @ 100    -> pending
         3: cancel #7             -> canceled
         3: cancel #7             -> UnknownOrder
         2: cancel #0             -> UnknownOrder
         2: cancel #8             -> UnknownOrder
         book                     -> 100x3 |
         2: cancel #7             -> canceled
         2: cancel A              -> TooLate
         2: buy D 1 @ 100 as 7    -> pending
         2: buy E 1 @ 100 as 7    -> DuplicateClientOrderId
         2: buy F 1 @ 100 as 7 ioc -> DuplicateClientOrderId
         orders 2                 -> C D",
    );
}

#[test]
fn an_immediate_order_leaves_its_clients_number_free() {
    check(
        "fund 2 3 1000
         2: buy A 1 @ 100 as 7 ioc    -> canceled
         3: sell B 1 @ 100            -> pending
         2: buy C 1 @ 100 as 7        -> filled 1, trade B 1 @ 100
         2: cancel #7                 -> UnknownOrder
         2: buy D 1 @ 100 as 7        -> pending",
    );
}

// ---- replace ------------------------------------------------------------------------------------

#[test]
fn a_replace_keeps_its_place_only_where_nothing_but_the_quantity_falls() {
    check(
        "fund 2 3 1000
         2: buy A 5 @ 10    -> pending
         2: buy B 5 @ 10    -> pending
         2: replace A 3 @ 10  -> pending
         3: sell C 1 @ 10   -> filled 1, trade A 1 @ 10 leaves 2
         2: replace A 3 @ 10  -> partial 1 + 2
         3: sell D 1 @ 10   -> filled 1, trade B 1 @ 10 leaves 4
         2: replace B 6 @ 10  -> partial 1 + 5
         3: sell E 1 @ 10   -> filled 1, trade A 1 @ 10 leaves 1
         2: replace A 4 @ 9   -> partial 2 + 2
         book               -> 10x5 9x2 |
         2: replace A 3 @ 10  -> partial 2 + 1
         3: sell F 6 @ 10   -> filled 6, trade B 5 @ 10, trade A 1 @ 10
         book               -> |
         balance 2 USDT     -> 910 / 0
         balance 2 BTC      -> 1009 / 0",
    );
}

#[test]
fn a_replace_freezes_exactly_what_the_order_needs_then() {
    check(
        "deposit 2 USDT 100   -> done
         deposit 2 BTC 10     -> done
         buy A 5 @ 10         -> pending
         replace A 10 @ 10    -> pending
         balance 2 USDT       -> 0 / 100
         replace A 10 @ 10.01 -> InsufficientFunds
         replace A 11 @ 10    -> InsufficientFunds
         balance 2 USDT       -> 0 / 100
         book                 -> 10x10 |
         replace A 10 @ 4     -> pending
         balance 2 USDT       -> 60 / 40
         replace A 9223372036854775807 @ 4 -> Overflow
         sell B 4 @ 20        -> pending
         replace B 10 @ 30    -> pending
         balance 2 BTC        -> 0 / 10
         replace B 11 @ 30    -> InsufficientFunds
         replace B 2 @ 30     -> pending
         balance 2 BTC        -> 8 / 2
         balance 2 USDT       -> 60 / 40",
    );
}

#[test]
fn a_refused_replace_leaves_the_order_and_its_place() {
    let mut world = check(
        "fund 2 3 1000
         2: buy A 5 @ 10           -> pending
         2: buy B 5 @ 10           -> pending
         3: sell C 2 @ 10          -> filled 2, trade A 2 @ 10 leaves 3
         2: replace A 2 @ 10       -> TooLate
         2: replace A 1 @ 12       -> TooLate
         2: replace A 0 @ 10       -> InvalidQuantity
         2: replace A 5 @ 0        -> InvalidPrice
         2: replace A 500 @ 10     -> InsufficientFunds
         2: replace A 5 @ 10 on ETH -> UnknownOrder
         2: replace A 5 @ 10 on 9  -> UnknownInstrument
         77: replace A 5 @ 10      -> UnknownAccount
         book                      -> 10x8 |",
    );
    world.run("2: replace A 2 @ 10 -> TooLate");
    let result = *world.out.result().expect("a result");
    let told = (result.order_id.0, result.filled.0, result.leaves.0);
    assert_eq!(told, (7, 2, 3), "a refusal tells the order as it is");
    world.run("3: sell D 4 @ 10 -> filled 4, trade A 3 @ 10, trade B 1 @ 10 leaves 4");
}

#[test]
fn a_replace_that_crosses_is_matched_and_keeps_its_id() {
    check(
        "fund 2 3 1000
         3: sell S 3 @ 11          -> pending
         3: sell T 3 @ 12          -> pending
         2: buy A 5 @ 10 as 4      -> pending
         3: sell U 1 @ 10          -> filled 1, trade A 1 @ 10 leaves 4
         2: replace A 6 @ 11.5     -> partial 4 + 2, trade S 3 @ 11
         book                      -> 11.5x2 | 12x3
         balance 2 USDT            -> 934 / 23
         2: replace #4 6 @ 12      -> filled 6, trade T 2 @ 12 leaves 1
         2: cancel A               -> TooLate
         2: cancel #4              -> UnknownOrder
         balance 2 USDT            -> 933 / 0
         balance 2 BTC             -> 1006 / 0
         book                      -> | 12x1",
    );
}
