//! Market, fill-or-kill and post-only orders.

use super::script::{World, check, genesis};
use openoutcry::admin::AdminCommand;
use openoutcry::event::RejectReason;
use openoutcry::genesis::{APPLICATION_VERSION, GenesisItem};
use openoutcry::types::Status;

#[test]
fn a_market_order_trades_at_what_is_there_and_never_rests() {
    check(
        "fund 2 3 1000
         2: sell A 2 @ 10             -> pending
         2: sell B 2 @ 10.2           -> pending
         3: buy  C 3 market           -> filled 3, trade A 2 @ 10, trade B 1 @ 10.2 leaves 1
         3: buy  D 5 market           -> partly canceled 1, trade B 1 @ 10.2
         book                         -> |
         3: buy  E 1 market           -> NoLiquidity
         balance 3 USDT               -> 959.6 / 0
         3: buy  F 4 @ 9              -> pending
         2: sell G 5 market           -> partly canceled 4, trade F 4 @ 9
         2: sell H 1 market           -> NoLiquidity",
    );
}

#[test]
fn a_market_order_stops_at_its_band_or_at_its_own_price() {
    // The band is 5 % of the best price: a buy goes to 105.
    check(
        "fund 2 3 9000
         2: sell A 1 @ 100            -> pending
         2: sell B 1 @ 105            -> pending
         2: sell C 1 @ 105.01         -> pending
         3: buy  D 3 market           -> partly canceled 2, trade A 1 @ 100, trade B 1 @ 105
         3: buy  E 3 @ 105 market     -> canceled
         3: buy  F 3 @ 105.01 market  -> partly canceled 1, trade C 1 @ 105.01
         3: buy  G 1 @ 100            -> pending
         3: buy  H 1 @ 95             -> pending
         3: buy  I 1 @ 94.99          -> pending
         2: sell J 9 market           -> partly canceled 2, trade G 1 @ 100, trade H 1 @ 95
         book                         -> 94.99x1 |",
    );
}

#[test]
fn a_market_order_holds_no_more_than_its_protection_and_needs_it() {
    // 2 at 105 is held for a buy whose best price is 100: 200 would do, 209.99 is too little.
    check(
        "fund 3 1000
         deposit 2 USDT 209.99        -> done
         3: sell A 2 @ 100            -> pending
         2: buy  B 2 market           -> InsufficientFunds
         2: buy  C 2 @ 104 market     -> filled 2, trade A 2 @ 100
         balance 2 USDT               -> 9.99 / 0",
    );
}

#[test]
fn fill_or_kill_trades_whole_through_levels_or_not_at_all() {
    check(
        "fund 2 3 1000
         2: sell A 2 @ 10             -> pending
         2: sell B 2 @ 11             -> pending
         2: sell C 2 @ 12             -> pending
         3: buy  D 5 @ 11 fok         -> canceled
         3: buy  E 7 @ 12 fok         -> canceled
         balance 3 USDT               -> 1000 / 0
         book                         -> | 10x2 11x2 12x2
         3: buy  F 4 @ 11 fok         -> filled 4, trade A 2 @ 10, trade B 2 @ 11
         3: buy  G 1 @ 11.99 fok      -> canceled
         3: buy  H 1 @ 12 fok         -> filled 1, trade C 1 @ 12 leaves 1
         3: buy  I 2 market fok       -> canceled
         3: buy  J 1 market fok       -> filled 1, trade C 1 @ 12
         3: sell K 1 @ 1 fok          -> canceled",
    );
}

#[test]
fn a_post_only_order_rests_or_is_refused() {
    check(
        "fund 2 3 1000
         2: sell A 2 @ 10             -> pending
         3: buy  B 1 @ 10 post as 7   -> WouldTrade
         3: buy  C 1 @ 11 post        -> WouldTrade
         3: buy  D 1 @ 9.99 post as 7 -> pending
         2: sell E 1 @ 9.99 post      -> WouldTrade
         2: sell F 1 @ 10 post        -> pending
         3: replace #7 1 @ 10         -> filled 1, trade A 1 @ 10 leaves 1
         book                         -> | 10x2
         balance 3 USDT               -> 990 / 0",
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    check(
        "fund 2 1000
         buy A 1 @ 10 ioc post        -> UnsupportedOrder
         buy B 1 @ 10 fok post        -> UnsupportedOrder
         buy C 1 market post          -> UnsupportedOrder
         buy D 1 market gtc           -> UnsupportedOrder
         buy E 1 @ 10 flags 32        -> UnsupportedOrder
         buy F 1 @ 10 flags 12        -> UnsupportedOrder
         buy G 1 @ 0                  -> InvalidPrice
         buy H 1 @ -1 market          -> InvalidPrice
         buy I 0 market               -> NoLiquidity",
    );
}

/// An exchange whose journal began with the first rules.
fn of_first_rules() -> World {
    let mut items = genesis(100);
    for item in &mut items {
        if let GenesisItem::Settings(settings) = item {
            settings.application_version = 1;
        }
    }
    World::of(&items)
}

#[test]
fn a_journal_of_the_first_rules_refuses_what_is_later_until_they_are_activated() {
    let mut world = of_first_rules();
    world.run(
        "fund 2 3 1000
         2: sell A 2 @ 10             -> pending
         3: buy  B 1 @ 9 post         -> UnsupportedOrder
         3: buy  C 1 @ 10 fok         -> UnsupportedOrder
         3: buy  D 1 market           -> UnsupportedOrder",
    );
    let mut activate = |version| {
        world.ctx.sequence = world.ctx.sequence.next();
        let command = AdminCommand::ActivateRules { version };
        world.exchange.administer(&world.ctx, &command, &mut world.out);
        let result = world.out.result().expect("a command has a result");
        (result.status, result.reason)
    };
    let refused = |reason| (Status::Rejected, Some(reason));
    assert_eq!(activate(1), refused(RejectReason::InvalidAdmin));
    assert_eq!(activate(APPLICATION_VERSION), (Status::Done, None));
    assert_eq!(activate(APPLICATION_VERSION), refused(RejectReason::InvalidAdmin), "once");
    world.run(
        "3: buy  E 1 @ 9 post         -> pending
         3: buy  F 1 @ 10 fok         -> filled 1, trade A 1 @ 10 leaves 1
         3: buy  G 1 market           -> filled 1, trade A 1 @ 10",
    );
}
