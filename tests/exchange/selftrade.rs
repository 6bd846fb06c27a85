//! What happens instead of a trade between orders of one owner.

use super::script::{ACCOUNT_LAST, World, check, genesis};
use openoutcry::genesis::{Account, GenesisItem};
use openoutcry::types::{AccountId, SelfTrade};

#[test]
fn each_wish_does_what_it_says() {
    check(
        "fund 2 3 1000
         2: sell A 2 @ 10             -> pending
         3: sell B 2 @ 10             -> pending
         2: buy  C 3 @ 10 self cancel-newest -> canceled SelfTradePrevented
         2: buy  D 3 @ 10 self allow ioc -> filled 3, trade A 2 @ 10, trade B 1 @ 10 leaves 1
         2: sell E 2 @ 10             -> pending
         2: buy  F 3 @ 10 self cancel-newest -> partly canceled 1 SelfTradePrevented, trade B 1 @ 10
         book                         -> | 10x2
         3: sell G 2 @ 10             -> pending
         2: buy  H 3 @ 10 self cancel-oldest -> partial 2 + 1, trade G 2 @ 10, E self-trade
         2: cancel H                  -> partly canceled 2
         2: sell I 2 @ 10             -> pending
         2: buy  J 3 @ 10 self cancel-both -> canceled SelfTradePrevented, I self-trade
         book                         -> |
         2: sell K 5 @ 10             -> pending
         2: buy  L 3 @ 10 self decrement -> canceled SelfTradePrevented, K reduced to 2
         2: buy  M 3 @ 10 self decrement -> pending, K self-trade
         book                         -> 10x1 |
         2: cancel M                  -> canceled
         balance 2 USDT               -> 960 / 0
         balance 2 BTC                -> 1004 / 0",
    );
}

#[test]
fn decrement_leaves_what_is_filled_and_goes_on_with_the_rest() {
    check(
        "fund 2 3 1000
         2: sell A 5 @ 10             -> pending
         3: buy  X 1 @ 10             -> filled 1, trade A 1 @ 10 leaves 4
         3: sell B 2 @ 10             -> pending
         2: buy  C 7 @ 10 self decrement -> partial 2 + 1, trade B 2 @ 10, A self-trade
         2: replace C 4 @ 9           -> partial 2 + 2
         balance 2 USDT               -> 972 / 18",
    );
}

#[test]
fn fill_or_kill_counts_nothing_that_its_owner_keeps_it_from() {
    check(
        "fund 2 3 1000
         3: sell A 2 @ 10             -> pending
         2: sell B 2 @ 10             -> pending
         3: sell C 2 @ 10             -> pending
         2: buy  D 3 @ 10 fok self cancel-newest -> canceled
         2: buy  E 3 @ 10 fok self cancel-both -> canceled
         2: buy  F 3 @ 10 fok self decrement -> canceled
         2: buy  G 5 @ 10 fok self cancel-oldest -> canceled
         book                         -> | 10x6
         2: buy  H 2 @ 10 fok self cancel-newest -> filled 2, trade A 2 @ 10
         3: sell I 2 @ 10             -> pending
         2: buy  J 4 @ 10 fok self cancel-oldest -> filled 4, trade C 2 @ 10, trade I 2 @ 10, B self-trade",
    );
}

#[test]
fn an_iceberg_loses_what_it_shows_and_shows_the_next_part_last() {
    check(
        "fund 2 3 1000
         2: sell A 6 @ 10 show 2      -> pending
         3: sell B 1 @ 10             -> pending
         2: buy  C 3 @ 10 self decrement -> filled 1, trade B 1 @ 10, A reduced to 4
         book                         -> | 10x2",
    );
}

/// Accounts 2 and 3 are one owner's who wants the older order cancelled; 4 is another's.
fn with_group() -> World {
    let mut items = genesis(100);
    items.retain(|item| !matches!(item, GenesisItem::Account(_)));
    items.extend((2..=ACCOUNT_LAST).map(|id| {
        let (group, self_trade) = match id {
            2 | 3 => (7, SelfTrade::CancelOldest),
            _ => (0, SelfTrade::Allow),
        };
        GenesisItem::Account(Account { group, self_trade, ..Account::new(AccountId(id)) })
    }));
    World::of(&items)
}

#[test]
fn accounts_of_a_group_have_one_owner_and_its_wish() {
    with_group().run(
        "fund 2 3 4 1000
         2: sell A 2 @ 10             -> pending
         4: sell B 2 @ 10             -> pending
         3: buy  C 2 @ 10             -> filled 2, trade B 2 @ 10, A self-trade
         2: sell D 2 @ 10             -> pending
         3: buy  E 1 @ 10 self allow  -> filled 1, trade D 1 @ 10 leaves 1
         3: buy  F 1 @ 10 self cancel-newest -> canceled SelfTradePrevented
         4: buy  G 1 @ 10             -> filled 1, trade D 1 @ 10",
    );
}

#[test]
fn a_stop_and_a_replace_keep_the_wish_of_the_entry() {
    with_group().run(
        "fund 2 3 4 1000
         2: sell A 1 @ 11             -> pending
         4: sell X 1 @ 10             -> pending
         3: buy  S 2 stop 10          -> pending
         4: buy  T 1 @ 10             -> filled 1, trade X 1 @ 10, S triggered, S unfilled
         3: buy  R 2 @ 9              -> pending
         3: replace R 2 @ 11          -> pending, A self-trade
         book                         -> 11x2 |",
    );
}
