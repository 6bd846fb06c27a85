//! Icebergs, minimum quantities, budgets, post-only orders with another price.

use super::script::check;

#[test]
fn an_iceberg_shows_a_part_and_each_next_part_stands_last_at_its_price() {
    check(
        "fund 2 3 4 1000
         2: sell A 10 @ 10 show 3     -> pending
         3: sell B 2 @ 10             -> pending
         book                         -> | 10x5
         4: buy  C 4 @ 10             -> filled 4, trade A 3 @ 10 leaves 7, trade B 1 @ 10 leaves 1
         book                         -> | 10x4
         4: buy  D 5 @ 10             -> filled 5, trade B 1 @ 10, trade A 3 @ 10 leaves 4, trade A 1 @ 10 leaves 3
         book                         -> | 10x2
         4: buy  E 9 @ 10             -> partial 3 + 6, trade A 2 @ 10 leaves 1, trade A 1 @ 10
         book                         -> 10x6 |
         balance 2 BTC                -> 990 / 0",
    );
}

#[test]
fn an_iceberg_trades_whole_on_entry_and_gives_back_what_is_hidden_when_it_is_cancelled() {
    check(
        "fund 2 3 1000
         3: sell X 4 @ 9              -> pending
         2: buy  A 10 @ 10 show 2     -> partial 4 + 6, trade X 4 @ 9
         book                         -> 10x2 |
         balance 2 USDT               -> 904 / 60
         3: sell Y 3 @ 10             -> filled 3, trade A 2 @ 10 leaves 4, trade A 1 @ 10 leaves 3
         book                         -> 10x1 |
         2: cancel A                  -> partly canceled 7
         book                         -> |
         balance 2 USDT               -> 934 / 0",
    );
}

#[test]
fn a_replace_takes_from_what_is_hidden_first_and_keeps_the_place() {
    check(
        "fund 2 3 4 1000
         2: sell A 10 @ 10 show 4     -> pending
         3: sell B 1 @ 10             -> pending
         2: replace A 5 @ 10          -> pending
         book                         -> | 10x5
         2: replace A 3 @ 10          -> pending
         book                         -> | 10x4
         4: buy  C 1 @ 10             -> filled 1, trade A 1 @ 10 leaves 2
         2: replace A 9 @ 10          -> partial 1 + 8
         book                         -> | 10x5
         4: buy  D 2 @ 10             -> filled 2, trade B 1 @ 10, trade A 1 @ 10 leaves 7
         balance 2 BTC                -> 991 / 7",
    );
}

#[test]
fn a_display_quantity_that_cannot_be_is_refused() {
    check(
        "fund 2 10000
         sell A 10 @ 10 show 11       -> InvalidDisplay
         sell B 10 @ 10 show -1       -> InvalidDisplay
         sell C 1000 @ 10 show 9      -> InvalidDisplay
         sell D 1000 @ 10 show 10     -> pending
         sell E 10 @ 10 show 1 ioc    -> UnsupportedOrder
         sell F 10 market show 1      -> UnsupportedOrder
         sell G 10 @ 10 show 10       -> pending
         replace G 1000 @ 10          -> pending
         replace G 1001 @ 10          -> InvalidDisplay
         book                         -> | 10x20",
    );
}

#[test]
fn a_minimum_is_met_at_once_or_nothing_trades() {
    check(
        "fund 2 3 1000
         2: sell A 2 @ 10             -> pending
         2: sell B 2 @ 11 show 1      -> pending
         3: buy  C 9 @ 10 min 3       -> canceled
         balance 3 USDT               -> 1000 / 0
         3: buy  D 9 @ 11 min 5       -> canceled
         3: buy  E 9 @ 11 min 4 ioc   -> partly canceled 4, trade A 2 @ 10, trade B 1 @ 11 leaves 1, trade B 1 @ 11
         2: sell F 2 @ 10             -> pending
         3: buy  G 5 @ 10 min 2       -> partial 2 + 3, trade F 2 @ 10
         book                         -> 10x3 |
         3: buy  H 5 @ 10 min 6       -> InvalidMinimum
         3: buy  I 5 @ 10 min -1      -> InvalidMinimum
         3: buy  J 5 @ 10 min 5 fok   -> UnsupportedOrder",
    );
}

#[test]
fn fill_or_kill_counts_what_is_hidden() {
    check(
        "fund 2 3 1000
         2: sell A 6 @ 10 show 1      -> pending
         3: buy  B 7 @ 10 fok         -> canceled
         3: buy  C 5 @ 10 fok         -> filled 5, trade A 1 @ 10 leaves 5, trade A 1 @ 10 leaves 4, trade A 1 @ 10 leaves 3, trade A 1 @ 10 leaves 2, trade A 1 @ 10 leaves 1",
    );
}

#[test]
fn a_budget_buys_whole_lots_price_by_price() {
    check(
        "fund 2 3 1000
         2: sell A 3 @ 10             -> pending
         2: sell B 9 @ 10.4           -> pending
         3: buy  C 0 market budget 52 -> filled 5, trade A 3 @ 10, trade B 2 @ 10.4 leaves 7
         balance 3 USDT               -> 949.2 / 0
         3: buy  D 9 market budget 21 -> partly canceled 2, trade B 2 @ 10.4 leaves 5
         3: buy  E 1 market budget 500 -> filled 1, trade B 1 @ 10.4 leaves 4
         3: buy  F 0 market budget 10.39 -> InvalidBudget
         3: buy  G 1 market budget 10.39 -> canceled
         3: buy  H 0 market budget -1 -> InvalidQuantity
         3: buy  I 1 market budget -1 -> InvalidBudget
         3: buy  J 0 market budget 5000 -> InsufficientFunds
         3: buy  K 1 @ 10.4 budget 50 -> UnsupportedOrder
         2: sell L 1 market budget 50 -> UnsupportedOrder
         3: buy  M 0 market           -> InvalidQuantity
         3: buy  N 0 market min 5 budget 50 -> canceled
         3: buy  O 0 market min 4 budget 50 -> filled 4, trade B 4 @ 10.4",
    );
}

#[test]
fn a_post_only_order_can_take_the_next_price_instead() {
    check(
        "fund 2 3 1000
         2: sell A 1 @ 10             -> pending
         3: buy  B 1 @ 12 post reprice -> pending, B repriced @ 9.99
         3: buy  C 1 @ 9.5 post reprice -> pending
         2: sell D 1 @ 9 post reprice -> pending, D repriced @ 10
         book                         -> 9.99x1 9.5x1 | 10x2
         3: cancel B                  -> canceled
         3: buy  E 1 @ 10 post        -> WouldTrade
         3: buy  F 1 @ 10 reprice     -> UnsupportedOrder
         2: sell G 1 @ 0.01           -> filled 1, trade C 1 @ 9.5
         2: sell H 1 @ 0.01           -> pending
         3: buy  I 1 @ 1 post reprice -> WouldTrade",
    );
}
