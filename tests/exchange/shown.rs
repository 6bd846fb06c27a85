//! Limits as questions show them: page after page gives what there is, to whoever may see it.

use super::script::{World, asset, instrument, settings};
use crate::sim::random::{Random, seeds};
use openoutcry::admin::AdminCommand;
use openoutcry::event::RejectReason;
use openoutcry::exchange::{Exchange, LimitsAsked, PositionRow, Shown};
use openoutcry::genesis::{Account, AccountLimits, GenesisItem, Instrument, Key};
use openoutcry::limits::{LIMITS_LOOKED_MAX, QUERY_ROWS_MAX};
use openoutcry::types::{AccountId, InstrumentId, KeyId, Role, SelfTrade};

const OPERATOR: KeyId = KeyId(1);
const TRADER: KeyId = KeyId(2);
const NOBODY: KeyId = KeyId(3);
const INSTRUMENTS: u32 = 300;
/// Accounts without limits between those that have some: more than a page looks at.
const QUIET: u64 = 2 * LIMITS_LOOKED_MAX as u64 + 7;

/// Accounts 2 to 41 and, far behind them, 39 down to 1 behind `QUIET`: not in the order of their numbers.
fn busy() -> Vec<u64> {
    (2..=41).chain((1..=39).rev().map(|id| 100 + QUIET + id)).collect()
}

fn owned() -> Vec<AccountId> {
    let mut all: Vec<u64> = busy().into_iter().step_by(7).collect();
    // Bound twice, and in no order; one without limits.
    all.extend([all[3], 60]);
    all.reverse();
    all.into_iter().map(AccountId).collect()
}

fn limits(random: &mut Random) -> AccountLimits {
    let restricted = random.below(65) as u32;
    let number = |random: &mut Random| random.below(3) as i64;
    AccountLimits {
        quantity_max: number(random),
        notional_max: number(random),
        open_orders_max: number(random) as u32,
        rate_per_s: 5,
        rate_burst: number(random) as u32,
        restricted: (1..=restricted).map(InstrumentId).collect(),
    }
}

fn world(random: &mut Random) -> World {
    let mut items = vec![settings(100), asset(1, "BTC", 0), asset(2, "USDT", 2)];
    items.extend((1..=INSTRUMENTS).map(|id| {
        let collar_bps = if random.below(4) == 0 { 0 } else { id };
        let plain = instrument(id, &format!("I{id}"), 1, 2);
        GenesisItem::Instrument(Instrument { collar_bps, ..plain })
    }));
    let busy = busy();
    let (near, far) = busy.split_at(40);
    let quiet = 50..50 + QUIET;
    for id in near.iter().copied().chain(quiet.clone()).chain(far.iter().copied()) {
        let mut account = Account::new(AccountId(id));
        if !quiet.contains(&id) {
            match random.below(4) {
                0 => account.group = 7,
                1 => account.self_trade = SelfTrade::Decrement,
                2 => account.limits = limits(random),
                _ => {}
            }
        }
        items.push(GenesisItem::Account(account));
    }
    for (id, role, accounts) in [
        (OPERATOR, Role::Operator, vec![]),
        (TRADER, Role::Trade, owned()),
        (NOBODY, Role::Trade, vec![]),
    ] {
        items.push(GenesisItem::Key(Key::new(id, format!("{:064x}", id.0), role, accounts)));
    }
    let mut world = World::of(&items);
    for id in busy {
        for _ in 0..random.below(40) {
            let instrument = InstrumentId(1 + random.below(u64::from(INSTRUMENTS)) as u32);
            let command = AdminCommand::SetPositionLimit {
                account: AccountId(id),
                instrument,
                net_max: random.below(5) as i64,
                gross_max: 0,
                position: Some(id as i64),
            };
            world.ctx.sequence = world.ctx.sequence.next();
            world.exchange.administer(&world.ctx, &command, &mut world.out);
        }
    }
    world.exchange.check();
    world
}

/// All pages, each within its bounds, and how many there were.
fn pages(exchange: &Exchange, key: KeyId, mut asked: LimitsAsked) -> (Vec<Shown>, usize) {
    let (mut all, mut page, mut count) = (Vec::new(), Vec::new(), 0);
    loop {
        let next = exchange.limits(key, &asked, &mut page).expect("it is answered");
        let rows = page.iter().map(|row| match row {
            Shown::Account(account) => 1 + account.limits.restricted.len(),
            _ => 1,
        });
        assert!(rows.sum::<usize>() <= QUERY_ROWS_MAX);
        all.append(&mut page);
        count += 1;
        match next {
            Some(next) => assert_ne!(next, std::mem::replace(&mut asked.after, next), "it goes on"),
            None => return (all, count),
        }
        assert!(count < 1000, "there is an end");
    }
}

/// What is to be shown: of these accounts, in this order, and collars where all are asked for.
fn expected(
    exchange: &Exchange,
    ids: &[AccountId],
    only: Option<u32>,
    collars: bool,
) -> Vec<Shown> {
    let here = |id: InstrumentId| only.is_none_or(|only| only == id.0);
    let mut all = Vec::new();
    if collars {
        let known = exchange.instruments().iter().filter(|one| one.collar_bps != 0 && here(one.id));
        all.extend(known.map(|one| Shown::Collar(one.id, one.collar_bps)));
    }
    let accounts: Vec<Account> =
        exchange.account_definitions().filter(|account| !account.is_usual()).collect();
    let positions: Vec<PositionRow> = exchange.positions().collect();
    for id in ids {
        all.extend(accounts.iter().filter(|one| one.id == *id).cloned().map(Shown::Account));
        let own = positions.iter().filter(|row| row.account == *id && here(row.instrument));
        all.extend(own.copied().map(Shown::Position));
    }
    all
}

#[test]
fn pages_show_what_is_limited_once_and_to_whoever_may_see_it() {
    seeds("limits shown", |seed| {
        let mut random = Random::new(seed);
        let world = world(&mut random);
        let exchange = &world.exchange;
        let defined: Vec<AccountId> = busy().into_iter().map(AccountId).collect();
        let mut own = owned();
        own.sort_unstable();
        own.dedup();
        for only in [None, Some(1 + random.below(u64::from(INSTRUMENTS)) as u32)] {
            let asked = LimitsAsked {
                instrument: InstrumentId(only.unwrap_or(0)),
                ..LimitsAsked::default()
            };
            let (shown, count) = pages(exchange, OPERATOR, asked);
            assert_eq!(shown, expected(exchange, &defined, only, true));
            assert!(count > 2, "what is quiet takes pages too: {count}");
            let (shown, _) = pages(exchange, TRADER, asked);
            assert_eq!(shown, expected(exchange, &own, only, true));
            let (shown, _) = pages(exchange, NOBODY, asked);
            assert_eq!(shown, expected(exchange, &[], only, true));
            for account in [own[2], own[5]] {
                let asked = LimitsAsked { account, ..asked };
                for key in [OPERATOR, TRADER, KeyId(0)] {
                    let (shown, _) = pages(exchange, key, asked);
                    assert_eq!(shown, expected(exchange, &[account], only, false));
                }
            }
        }
    });
}

#[test]
fn what_cannot_be_asked_is_refused_by_name() {
    let world = world(&mut Random::new(1));
    let refused = |key, account, instrument, after: (u64, u32)| {
        let asked = LimitsAsked {
            account: AccountId(account),
            instrument: InstrumentId(instrument),
            after: (AccountId(after.0), InstrumentId(after.1)),
        };
        let mut shown = vec![Shown::Collar(InstrumentId(1), 1)];
        let answer = world.exchange.limits(key, &asked, &mut shown);
        assert!(answer.is_ok() || shown.is_empty());
        answer.err()
    };
    use RejectReason::{
        BadPayload, LiabilityAccount, NotEntitled, UnknownAccount, UnknownInstrument,
    };
    assert_eq!(refused(TRADER, 3, 0, (0, 0)), Some(NotEntitled));
    assert_eq!(refused(TRADER, 999_999, 0, (0, 0)), Some(NotEntitled), "not whether it is there");
    assert_eq!(refused(NOBODY, 2, 0, (0, 0)), Some(NotEntitled));
    assert_eq!(refused(KeyId(9), 2, 0, (0, 0)), Some(NotEntitled));
    assert_eq!(refused(OPERATOR, 999_999, 0, (0, 0)), Some(UnknownAccount));
    assert_eq!(refused(OPERATOR, 1, 0, (0, 0)), Some(LiabilityAccount));
    assert_eq!(refused(OPERATOR, 2, INSTRUMENTS + 1, (0, 0)), Some(UnknownInstrument));
    assert_eq!(refused(OPERATOR, 2, 0, (3, 0)), Some(BadPayload));
    assert_eq!(refused(OPERATOR, 0, 0, (999_999, 0)), Some(UnknownAccount));
    // Places that no page tells give what stands behind them, and no panic.
    for after in [(0, u32::MAX), (2, u32::MAX), (60, 5)] {
        for instrument in [0, 1, INSTRUMENTS] {
            assert_eq!(refused(OPERATOR, 0, instrument, after), None);
            assert_eq!(refused(TRADER, 0, instrument, after), None);
        }
    }
    assert_eq!(refused(TRADER, 0, 0, (u64::MAX, u32::MAX)), None);
    // A venue without instruments.
    let bare = World::of(&[settings(10)]);
    assert_eq!(bare.exchange.limits(KeyId(0), &LimitsAsked::default(), &mut Vec::new()), Ok(None));
}
