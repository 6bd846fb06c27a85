//! Risk limits: what is refused before the book sees it, and what is counted for it.

use super::random::restored;
use super::script::{World, genesis};
use openoutcry::admin::AdminCommand;
use openoutcry::command::NewOrder;
use openoutcry::event::RejectReason;
use openoutcry::exchange::{Exchange, Part, PositionRow};
use openoutcry::genesis::{Account, AccountLimits, GenesisItem};
use openoutcry::packing::{Pack, Unfit, Unpack};
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, OrderType, Price, Quantity, SelfTrade, Side, Status,
    TimeInForce,
};

const PARTS: [Part; 7] = [
    Part::Definitions,
    Part::Accounts,
    Part::Keys,
    Part::Controls,
    Part::Sessions,
    Part::Schemas,
    Part::Books,
];

/// Words of a script that set limits and show positions, and `later`, which lets time pass.
impl World {
    pub(crate) fn limit(&mut self, words: &[&str]) -> Option<String> {
        let account = |who: &str| AccountId(who.parse().expect("an account"));
        let command = match *words {
            ["limits", who, ref pairs @ ..] => {
                let limits = limits(pairs);
                AdminCommand::SetAccountLimits { account: account(who), limits }
            }
            ["position", who, symbol] => {
                return Some(self.position(account(who), instrument(symbol)));
            }
            ["position", who, symbol, ref pairs @ ..] => {
                let value = |name| pair(pairs, name).map(|text| text.parse().expect("lots"));
                AdminCommand::SetPositionLimit {
                    account: account(who),
                    instrument: instrument(symbol),
                    net_max: value("net").unwrap_or(0),
                    gross_max: value("gross").unwrap_or(0),
                    position: value("is"),
                }
            }
            ["collar", symbol, bps] => AdminCommand::SetCollar {
                instrument: instrument(symbol),
                collar_bps: bps.parse().expect("hundredths of a percent"),
            },
            ["owner", who, group, mode] => AdminCommand::SetAccountGroup {
                account: account(who),
                group: group.parse().expect("a group"),
                self_trade: SelfTrade::from_word(mode).expect("what becomes of such a trade"),
            },
            ["later", ms] => {
                self.ctx.time.0 += ms.parse::<u64>().expect("milliseconds") * 1_000_000;
                return Some(String::new());
            }
            _ => return None,
        };
        let reason = self.administer(&command);
        Some(reason.map_or("done", RejectReason::name).into())
    }

    fn administer(&mut self, command: &AdminCommand) -> Option<RejectReason> {
        self.ctx.sequence = self.ctx.sequence.next();
        self.exchange.administer(&self.ctx, command, &mut self.out);
        self.exchange.check();
        self.out.result().expect("a command has a result").reason
    }

    fn position(&self, account: AccountId, instrument: InstrumentId) -> String {
        let mut rows = self.exchange.positions();
        let row = rows.find(|row| row.account == account && row.instrument == instrument);
        row.map_or("none".into(), |row| {
            format!("{} buy {} sell {}", row.position, row.open_buy, row.open_sell)
        })
    }
}

fn instrument(symbol: &str) -> InstrumentId {
    match symbol {
        "BTC" => InstrumentId(1),
        "ETH" => InstrumentId(2),
        other => InstrumentId(other.parse().expect("an instrument")),
    }
}

/// What stands behind a word.
fn pair<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    assert!(words.len().is_multiple_of(2), "words come in pairs");
    words.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1])
}

fn limits(words: &[&str]) -> AccountLimits {
    let number = |name| pair(words, name).map_or(0, |text| text.parse().expect("a number"));
    let small = |name| u32::try_from(number(name)).expect("a small number");
    let restricted = pair(words, "restricted").map_or("", |symbols| symbols);
    AccountLimits {
        quantity_max: number("quantity"),
        notional_max: number("notional"),
        open_orders_max: small("open"),
        rate_per_s: small("rate"),
        rate_burst: small("burst"),
        restricted: restricted.split(',').filter(|one| !one.is_empty()).map(instrument).collect(),
    }
}

/// A limit order without a price and quantity.
pub(super) fn plain(account: u64, instrument: u32, side: Side) -> NewOrder {
    NewOrder {
        account: AccountId(account),
        instrument: InstrumentId(instrument),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(0),
        quantity: Quantity(0),
        client_order_id: ClientOrderId(0),
    }
}

/// Runs a script, takes the state apart and puts it together after every line.
#[track_caller]
fn check(script: &str) -> World {
    let mut world = World::new(1000);
    for line in script.lines() {
        world.run(line);
        let before = world.hash();
        let rows: Vec<PositionRow> = world.exchange.positions().collect();
        world.exchange = restored(&world.exchange);
        world.exchange.check();
        assert_eq!(world.hash(), before, "after {line}");
        assert_eq!(world.exchange.positions().collect::<Vec<_>>(), rows, "after {line}");
    }
    world
}

#[test]
fn a_collar_is_around_the_last_trade_and_on_the_worse_side_only() {
    check(
        "fund 2 3 9000
         collar BTC 1000              -> done
         2: sell A 1 @ 500            -> pending
         3: buy  B 1 @ 499.99         -> pending
         3: cancel B                  -> canceled
         2: cancel A                  -> canceled
         2: sell C 5 @ 100            -> pending
         3: buy  D 1 @ 200            -> filled 1, trade C 1 @ 100 leaves 4
         3: buy  E 1 @ 110.01         -> OutsideCollar
         3: buy  F 1 @ 110            -> filled 1, trade C 1 @ 100 leaves 3
         3: buy  G 1 @ 1              -> pending
         2: sell H 1 @ 89.99          -> OutsideCollar
         2: sell I 1 @ 999            -> pending
         2: sell J 1 @ 90             -> pending
         3: replace G 1 @ 110.01      -> OutsideCollar
         3: replace G 1 @ 89          -> pending
         collar ETH 1                 -> done
         collar BTC 0                 -> done
         3: replace G 1 @ 200         -> filled 1, trade J 1 @ 90
         collar 3 1                   -> UnknownInstrument
         collar BTC 1000001           -> InvalidAdmin",
    );
}

#[test]
fn a_market_order_is_held_to_the_collar_by_its_worst_price() {
    // The band of a market order is 5 %, the collar 3 %.
    check(
        "fund 2 3 9000
         2: sell A 9 @ 100            -> pending
         3: buy  B 1 @ 100            -> filled 1, trade A 1 @ 100 leaves 8
         collar BTC 300               -> done
         3: buy  C 1 market           -> OutsideCollar
         3: buy  D 1 @ 103 market     -> filled 1, trade A 1 @ 100 leaves 7
         3: buy  E 1 @ 103.01 ioc     -> OutsideCollar
         3: buy  F 1 @ 103.01 fok     -> OutsideCollar",
    );
}

#[test]
fn an_order_is_as_large_as_its_account_may_enter() {
    check(
        "fund 2 3 9000
         limits 2 quantity 5 notional 50000 -> done
         2: sell A 6 @ 1              -> OrderTooLarge
         2: sell B 5 @ 100            -> pending
         2: sell C 5 @ 100.01         -> NotionalTooLarge
         2: sell D 4 @ 125            -> pending
         3: sell E 6 @ 101            -> pending
         3: buy  F 2 @ 100            -> filled 2, trade B 2 @ 100 leaves 3
         2: replace B 6 @ 99          -> OrderTooLarge
         2: replace B 5 @ 100.01      -> NotionalTooLarge
         limits 2 quantity 1          -> done
         2: replace B 4 @ 100         -> partial 2 + 2
         2: replace B 4 @ 99          -> OrderTooLarge
         2: sell G 1 @ 9999           -> pending
         limits 2                     -> done
         2: replace B 4 @ 99          -> partial 2 + 2
         2: sell H 7 @ 200            -> pending",
    );
}

#[test]
fn an_account_has_as_many_live_orders_as_it_may_have() {
    check(
        "fund 2 3 9000
         2: sell A 1 @ 100            -> pending
         limits 2 open 2              -> done
         2: sell B 1 @ 101 as 7       -> pending
         2: sell C 1 @ 102            -> TooManyOpenOrders
         2: sell D 1 @ 103 as 7       -> TooManyOpenOrders
         2: sell E 1 @ 99 ioc         -> canceled
         2: sell F 1 market           -> NoLiquidity
         2: replace B 1 @ 105         -> pending
         3: sell G 1 @ 103            -> pending
         3: buy  H 1 @ 100            -> filled 1, trade A 1 @ 100
         2: sell I 1 @ 102            -> pending
         2: sell J 1 @ 102 post       -> TooManyOpenOrders
         2: cancel I                  -> canceled
         2: sell K 1 @ 102 post       -> pending",
    );
}

#[test]
fn orders_and_replaces_take_tokens_that_come_back_with_the_time() {
    check(
        "fund 2 3 9000
         limits 2 rate 2 burst 3      -> done
         2: sell A 1 @ 100            -> pending
         2: sell B 0 @ 100            -> InvalidQuantity
         2: sell C 1 @ 0              -> InvalidPrice
         2: sell D 1 @ 100            -> OrderRateExceeded
         2: replace A 2 @ 100         -> OrderRateExceeded
         2: cancel A                  -> canceled
         3: sell E 1 @ 100            -> pending
         later 499
         2: sell F 1 @ 100            -> OrderRateExceeded
         later 1
         2: sell G 1 @ 100            -> pending
         2: sell H 1 @ 100            -> OrderRateExceeded
         later 500
         2: replace G 2 @ 100         -> pending
         2: sell I 1 @ 100 on 9       -> UnknownInstrument
         2: sell J 1 @ 100 flags 64   -> UnsupportedOrder
         2: replace ?1 2 @ 100        -> TooLate
         later 500
         2: sell K 1 @ 100            -> pending
         later 99999999
         2: sell L 1 @ 100            -> pending
         2: sell M 1 @ 100            -> pending
         2: sell N 1 @ 100            -> pending
         2: sell O 1 @ 100            -> OrderRateExceeded
         limits 2 rate 1              -> done
         2: sell P 1 @ 100            -> pending
         2: sell Q 1 @ 100            -> OrderRateExceeded
         limits 2                     -> done
         2: sell R 1 @ 100            -> pending",
    );
}

#[test]
fn a_restricted_instrument_is_left_but_not_entered() {
    check(
        "fund 2 3 9000
         2: sell A 2 @ 100            -> pending
         2: sell B 2 @ 100            -> pending
         limits 2 restricted BTC,BTC  -> done
         2: sell C 1 @ 100            -> InstrumentRestricted
         2: sell D 0 @ 0              -> InstrumentRestricted
         2: buy  E 2 @ 100 on ETH     -> pending
         2: replace A 1 @ 100         -> InstrumentRestricted
         3: buy  F 2 @ 100            -> filled 2, trade A 2 @ 100
         2: cancel B                  -> canceled
         limits 2 restricted ETH      -> done
         2: sell G 1 @ 101            -> pending
         2: cancel E on ETH           -> canceled
         2: buy  H 2 @ 100 on ETH     -> InstrumentRestricted
         limits 2 restricted 3        -> UnknownInstrument
         limits 2 restricted 0        -> UnknownInstrument
         limits 1 quantity 1          -> LiabilityAccount
         limits 99 quantity 1         -> UnknownAccount",
    );
}

#[test]
fn a_net_position_counts_what_live_orders_could_make_of_it() {
    check(
        "fund 2 3 9000
         2: buy  A 3 @ 90             -> pending
         2: sell B 1 @ 100            -> pending
         2: buy  C 2 @ 90 on ETH      -> pending
         position 2 BTC               -> none
         position 2 BTC net 10        -> done
         position 2 BTC               -> 0 buy 3 sell 1
         2: buy  D 8 @ 80             -> NetPositionLimit
         2: buy  E 7 @ 80             -> pending
         2: buy  F 1 @ 80             -> NetPositionLimit
         2: sell G 9 @ 100            -> pending
         2: sell H 1 @ 100            -> NetPositionLimit
         2: buy  I 50 @ 80 on ETH     -> pending
         3: sell J 4 @ 80             -> filled 4, trade A 3 @ 90, trade E 1 @ 80 leaves 6
         position 2 BTC               -> 4 buy 6 sell 10
         2: sell K 4 @ 100            -> pending
         2: sell L 1 @ 100            -> NetPositionLimit
         3: buy  M 2 @ 100            -> filled 2, trade B 1 @ 100, trade G 1 @ 100 leaves 8
         position 2 BTC               -> 2 buy 6 sell 12
         2: cancel E                  -> partly canceled 1
         position 2 BTC               -> 2 buy 0 sell 12
         2: buy  N 8 @ 100 ioc        -> filled 8, trade G 8 @ 100
         position 2 BTC               -> 2 buy 0 sell 4
         3: sell O 5 @ 95             -> pending
         2: buy  P 8 @ 99             -> partial 5 + 3, trade O 5 @ 95
         position 2 BTC               -> 7 buy 3 sell 4
         2: replace P 9 @ 99          -> NetPositionLimit
         2: replace P 7 @ 99          -> partial 5 + 2
         position 2 BTC               -> 7 buy 2 sell 4
         2: replace P 8 @ 98          -> partial 5 + 3
         position 2 BTC               -> 7 buy 3 sell 4",
    );
}

#[test]
fn a_gross_position_counts_both_sides() {
    check(
        "fund 2 3 9000
         position 2 BTC gross 10 is -4 -> done
         2: buy  A 3 @ 90             -> pending
         2: sell B 3 @ 100            -> pending
         2: buy  C 1 @ 90             -> GrossPositionLimit
         2: sell D 1 @ 100            -> GrossPositionLimit
         2: sell E 1 @ 100 ioc        -> GrossPositionLimit
         3: sell F 3 @ 90             -> filled 3, trade A 3 @ 90
         position 2 BTC               -> -1 buy 0 sell 3
         2: buy  G 6 @ 90             -> pending
         position 2 BTC net 6 gross 10 -> done
         position 2 BTC               -> -1 buy 6 sell 3
         2: buy  H 1 @ 90             -> GrossPositionLimit
         2: buy  I 2 @ 90             -> NetPositionLimit
         position 2 BTC net 1 is 100  -> done
         2: replace G 5 @ 90          -> pending
         2: replace G 5 @ 89          -> NetPositionLimit
         position 2 BTC               -> 100 buy 5 sell 3
         position 2 BTC net 0         -> done
         position 2 BTC               -> none
         2: buy  J 20 @ 90            -> pending
         position 2 BTC net 0         -> done
         position 2 BTC net 1000      -> done
         position 2 BTC               -> 0 buy 25 sell 3
         position 2 BTC net -1        -> InvalidAdmin
         position 2 9 net 1           -> UnknownInstrument
         position 1 BTC net 1         -> LiabilityAccount",
    );
}

#[test]
fn an_account_that_trades_with_itself_stays_where_it_is() {
    check(
        "fund 2 9000
         position 2 BTC net 10        -> done
         2: sell A 4 @ 100            -> pending
         2: buy  B 3 @ 100            -> filled 3, trade A 3 @ 100 leaves 1
         position 2 BTC               -> 0 buy 0 sell 1",
    );
}

#[test]
fn checks_come_in_their_order() {
    check(
        "fund 2 3 9000
         3: sell A 1 @ 100            -> pending
         2: buy  B 1 @ 100            -> filled 1, trade A 1 @ 100
         2: buy  C 1 @ 1 as 7         -> pending
         collar BTC 1                 -> done
         position 2 BTC net 1         -> done
         limits 2 quantity 1 notional 1 open 1 rate 1 restricted BTC -> done
         2: buy  D 2 @ 0 as 7         -> InstrumentRestricted
         2: buy  E 2 @ 0 as 7         -> OrderRateExceeded
         limits 2 quantity 1 notional 1 open 1 -> done
         2: buy  F 2 @ 0 as 7         -> InvalidPrice
         2: buy  G 2 @ 200 as 7       -> OutsideCollar
         2: buy  H 2 @ 100 as 7       -> OrderTooLarge
         limits 2 notional 1 open 1   -> done
         2: buy  I 2 @ 100 as 7       -> NotionalTooLarge
         limits 2 open 1              -> done
         2: buy  J 2 @ 100 as 7       -> TooManyOpenOrders
         limits 2                     -> done
         2: buy  K 2 @ 100 as 7       -> NetPositionLimit
         position 2 BTC net 99 gross 1 -> done
         2: buy  L 2 @ 100 as 7       -> GrossPositionLimit
         position 2 BTC               -> 0 buy 1 sell 0
         position 2 BTC gross 0       -> done
         2: buy  M 2 @ 100 as 7       -> DuplicateClientOrderId",
    );
}

#[test]
fn positions_of_an_account_with_very_many_live_orders_are_not_begun_or_ended() {
    let mut world = World::new(5000);
    world.run("fund 2 9000");
    let order = NewOrder { quantity: Quantity(1), price: Price(1), ..plain(2, 1, Side::Buy) };
    let enter = |world: &mut World, count| {
        for _ in 0..count {
            world.ctx.sequence = world.ctx.sequence.next();
            world.exchange.apply(&world.ctx, &order.into(), &mut world.out);
            assert_eq!(world.out.result().expect("a result").status, Status::Pending);
        }
    };
    enter(&mut world, 4096);
    world.run(
        "position 2 BTC net 9000      -> done
         position 2 BTC               -> 0 buy 4096 sell 0",
    );
    enter(&mut world, 1);
    world.run(
        "position 2 BTC               -> 0 buy 4097 sell 0
         position 2 ETH net 1         -> CapacityReached
         position 2 BTC net 0         -> CapacityReached
         position 2 BTC gross 9000    -> done
         position 3 BTC gross 9000    -> done",
    );
}

#[test]
fn rules_that_do_not_know_limits_refuse_them() {
    let mut items = genesis(100);
    for item in &mut items {
        if let GenesisItem::Settings(settings) = item {
            settings.application_version = 1;
        }
    }
    let mut world = World::of(&items);
    world.run(
        "limits 2 quantity 5          -> InvalidAdmin
         position 2 BTC net 5         -> InvalidAdmin
         collar BTC 5                 -> InvalidAdmin",
    );
    let (account, self_trade) = (AccountId(2), SelfTrade::Allow);
    let owner = AdminCommand::SetAccountGroup { account, group: 1, self_trade };
    assert_eq!(world.administer(&owner), Some(RejectReason::InvalidAdmin));
}

#[test]
fn genesis_gives_limits_and_the_definitions_tell_those_in_force() {
    let mut items = genesis(100);
    let usual = World::of(&items).hash();
    let limits = AccountLimits {
        quantity_max: 5,
        rate_per_s: 1,
        restricted: vec![InstrumentId(2)],
        ..AccountLimits::NONE
    };
    let limited = |group, self_trade, limits| Account {
        group,
        self_trade,
        limits,
        ..Account::new(AccountId(2))
    };
    for item in &mut items {
        match item {
            GenesisItem::Account(account) if account.id == AccountId(2) => {
                *account = limited(7, SelfTrade::CancelOldest, limits.clone());
            }
            GenesisItem::Instrument(instrument) if instrument.id == InstrumentId(1) => {
                instrument.collar_bps = 100;
            }
            _ => {}
        }
    }
    let mut world = World::of(&items);
    assert_ne!(world.hash(), usual);
    assert_eq!(world.exchange.definitions().collect::<Vec<_>>(), items);
    let read = restored(&world.exchange);
    assert_eq!(read.definitions().collect::<Vec<_>>(), items);
    world.run(
        "fund 2 1000
         2: buy A 6 @ 1               -> OrderTooLarge
         2: buy B 5 @ 1               -> OrderRateExceeded
         later 1000
         2: buy C 2 @ 1 on ETH        -> InstrumentRestricted
         limits 2                     -> done
         collar BTC 0                 -> done",
    );
    let (account, self_trade) = (AccountId(2), SelfTrade::Decrement);
    let owner = AdminCommand::SetAccountGroup { account, group: 0, self_trade };
    assert_eq!(world.administer(&owner), None);
    let account = GenesisItem::Account(limited(0, SelfTrade::Decrement, AccountLimits::NONE));
    assert!(world.exchange.definitions().any(|item| item == account));

    for wrong in [
        AccountLimits { quantity_max: -1, ..AccountLimits::NONE },
        AccountLimits { rate_burst: 1, ..AccountLimits::NONE },
        AccountLimits { rate_per_s: 1_000_001, ..AccountLimits::NONE },
        AccountLimits { restricted: vec![InstrumentId(3)], ..AccountLimits::NONE },
        AccountLimits { restricted: vec![InstrumentId(1); 65], ..AccountLimits::NONE },
    ] {
        let account = Account { limits: wrong, ..Account::new(AccountId(77)) };
        let before = world.hash();
        assert!(world.exchange.define(&GenesisItem::Account(account)).is_err());
        assert_eq!(world.hash(), before, "a refused item leaves no trace");
    }
}

#[test]
fn no_bytes_of_limits_make_reading_panic() {
    let world = check(
        "fund 2 3 9000
         limits 2 rate 5 quantity 9   -> done
         limits 3 restricted BTC      -> done
         position 2 BTC net 10        -> done
         position 2 ETH net 10 gross 9 -> done
         2: buy A 2 @ 10              -> pending",
    );
    let mut pack = Pack::default();
    world.exchange.pack(Part::Accounts, &mut pack);
    let sound = pack.into_bytes();
    let with = |bytes: &[u8]| {
        let mut read = Exchange::new();
        for part in PARTS {
            let mut pack = Pack::default();
            world.exchange.pack(part, &mut pack);
            let packed = if part == Part::Accounts { bytes.to_vec() } else { pack.into_bytes() };
            let mut unpack = Unpack::new(&packed);
            read.unpack(part, &mut unpack)?;
            unpack.end()?;
        }
        Ok::<Exchange, Unfit>(read)
    };
    let whole = (0..sound.len()).filter(|at| with(&sound[..*at]).is_ok());
    assert_eq!(whole.count(), 1, "without limits, as releases packed it that had none");
    let mut accepted = 0;
    for at in 0..sound.len() {
        for bit in [0, 3, 7] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            if let Ok(read) = with(&bytes) {
                read.check();
                accepted += 1;
            }
        }
    }
    assert!(accepted > 0, "a limit that is another number is a limit");
}
