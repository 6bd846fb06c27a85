//! What clients think of where the rules know more than plain orders: every kind of order, with every
//! wish and time, mass cancels, and what becomes of orders whose session is away.

use super::random::Random;
use super::venue::{self, KEYS, Known, Rules};
use openoutcry::command::{
    CancelOnDisconnect, Command, EnterOrder, MassCancel, NewOrder, POST_ONLY, REPRICE,
};
use openoutcry::genesis::{Account, AccountLimits};
use openoutcry::types::{
    AccountId, Amount, ClientOrderId, InstrumentId, KeyId, OrderType, Price, Quantity, Role,
    SelfTrade, SessionId, Side, Sides, TimeInForce, TimeNs,
};

/// What a client knows when it thinks of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mind<'a> {
    pub(crate) rules: Rules,
    pub(crate) key: KeyId,
    pub(crate) session: SessionId,
    pub(crate) wall_ms: i64,
    pub(crate) known: &'a [Known],
}

/// An account as a seed likes it: of a group, with a wish about trades with itself, with limits.
pub(crate) fn account(random: &mut Random, id: AccountId, deep: bool) -> Account {
    let mut account = Account::new(id);
    account.group = [0, 0, 7, 8][random.below(4) as usize];
    account.self_trade = if random.percent(50) { any_mode(random) } else { SelfTrade::Allow };
    let mut some = |percent: u64, value: u32| if random.percent(percent) { value } else { 0 };
    let rate_per_s = some(25, 40);
    let limits = AccountLimits {
        quantity_max: some(25, 90).into(),
        notional_max: some(25, 9000).into(),
        open_orders_max: if deep { 0 } else { some(25, 6) },
        rate_burst: if rate_per_s > 0 { some(50, 7) } else { 0 },
        rate_per_s,
        restricted: if some(15, 1) > 0 { vec![InstrumentId(2)] } else { Vec::new() },
    };
    account.limits = if deep { AccountLimits::NONE } else { limits };
    account
}

fn any_mode(random: &mut Random) -> SelfTrade {
    SelfTrade::from_u8(1 + random.below(5) as u8).expect("there are five")
}

/// A command that a key may give under the seed's rules, plain ones among them.
pub(crate) fn command(random: &mut Random, mind: &Mind<'_>) -> Command {
    // Under older rules all that is new is refused: that too has to be tried.
    if mind.rules.version < 2 && !random.percent(3) {
        return venue::command(random, mind.key, mind.known);
    }
    let (role, accounts) = KEYS[mind.key.0 as usize - 1];
    let account = match role {
        Role::Operator => AccountId(2 + random.below(4)),
        _ => AccountId(accounts[random.below(accounts.len() as u64) as usize]),
    };
    // Where many orders are to be live at once they must be left alone for a while.
    let mass = if mind.rules.deep { 2 } else { 5 };
    match random.below(100) {
        at if at < mass => mass_cancel(random, mind, account),
        5..8 => {
            let enabled = u8::from(random.percent(80)) + u8::from(random.percent(2));
            let grace_ms = [0, 1, 50, 700, 2500][random.below(5) as usize];
            CancelOnDisconnect { enabled, grace_ms }.into()
        }
        8..60 if role != Role::CancelOnly => enter(random, mind, account).into(),
        60..75 if role != Role::CancelOnly && mind.rules.deep => far(random, account),
        _ => venue::command(random, mind.key, mind.known),
    }
}

fn mass_cancel(random: &mut Random, mind: &Mind<'_>, account: AccountId) -> Command {
    let all = random.percent(50);
    let other = SessionId(1 + random.below(7) as u32);
    let session = match random.below(4) {
        0 => other,
        1 | 2 if all => mind.session,
        _ => SessionId(0),
    };
    MassCancel {
        account: if all { AccountId(0) } else { account },
        instrument: InstrumentId([0, 0, 1, 2, 3][random.below(5) as usize]),
        sides: [Sides::Both, Sides::Both, Sides::Buy, Sides::Sell][random.below(4) as usize],
        session,
    }
    .into()
}

/// A plain order that nothing meets.
pub(crate) fn far(random: &mut Random, account: AccountId) -> Command {
    let side = if random.percent(50) { Side::Buy } else { Side::Sell };
    NewOrder {
        account,
        instrument: InstrumentId(1 + u32::from(random.percent(25))),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: far_price(random, side),
        quantity: Quantity(1 + random.below(3).cast_signed()),
        client_order_id: ClientOrderId(0),
    }
    .into()
}

fn far_price(random: &mut Random, side: Side) -> Price {
    Price(match side {
        Side::Buy => 1 + random.below(60).cast_signed(),
        Side::Sell => 140 + random.below(800).cast_signed(),
    })
}

/// An order of any kind, whose parts go together most of the time.
fn enter(random: &mut Random, mind: &Mind<'_>, account: AccountId) -> EnterOrder {
    let side = if random.percent(50) { Side::Buy } else { Side::Sell };
    let near = |random: &mut Random| Price(95 + random.below(11).cast_signed());
    let small = |random: &mut Random| Quantity(1 + random.below(6).cast_signed());
    let now_ns = mind.wall_ms.cast_unsigned() * 1_000_000;
    let stays = [TimeInForce::Gtc, TimeInForce::Day, TimeInForce::Gtd][random.below(3) as usize];
    let mut order = EnterOrder {
        account,
        instrument: InstrumentId(1 + u32::from(random.percent(25))),
        side,
        order_type: OrderType::Limit,
        time_in_force: stays,
        flags: if random.percent(50) { (any_mode(random) as u8) << 1 } else { 0 },
        price: if mind.rules.deep && random.percent(70) {
            far_price(random, side)
        } else {
            near(random)
        },
        quantity: small(random),
        stop_price: Price(0),
        display_quantity: Quantity(0),
        min_quantity: Quantity(0),
        budget: Amount(0),
        expires: TimeNs(0),
        client_order_id: ClientOrderId(random.below(100)),
    };
    match random.below(12) {
        0 => order.time_in_force = TimeInForce::Ioc,
        1 => order.time_in_force = TimeInForce::Fok,
        2 | 3 => {
            order.order_type = OrderType::Market;
            let ioc = random.percent(60);
            order.time_in_force = if ioc { TimeInForce::Ioc } else { TimeInForce::Fok };
            order.price = if random.percent(60) { Price(0) } else { near(random) };
            if random.percent(50) {
                (order.side, order.time_in_force) = (Side::Buy, TimeInForce::Ioc);
                order.budget = Amount(random.below(900).cast_signed());
                order.quantity = if random.percent(50) { Quantity(0) } else { small(random) };
            }
        }
        4 | 5 => {
            order.order_type = OrderType::Stop;
            order.stop_price = near(random);
            order.price = if random.percent(60) { Price(0) } else { near(random) };
        }
        6 | 7 => {
            order.order_type = OrderType::StopLimit;
            order.stop_price = near(random);
            order.display_quantity = Quantity(i64::from(random.percent(20)));
        }
        8 => {
            order.quantity = Quantity(5 + random.below(40).cast_signed());
            order.display_quantity = small(random);
        }
        9 => order.min_quantity = small(random),
        10 => order.flags |= if random.percent(50) { POST_ONLY } else { POST_ONLY | REPRICE },
        _ => {}
    }
    if order.time_in_force == TimeInForce::Gtd {
        order.expires = TimeNs(now_ns + random.below(2_500_000_000) - 100_000_000);
    }
    // Parts that do not go together, and values that cannot be.
    match random.below(60) {
        0 => order.flags = random.next() as u8,
        1 => order.min_quantity = Quantity(random.below(9).cast_signed() - 1),
        2 => order.display_quantity = Quantity(random.below(9).cast_signed() - 1),
        3 => order.budget = Amount(random.below(9).cast_signed() - 1),
        4 => order.stop_price = Price(random.below(2000).cast_signed() - 1),
        5 => order.quantity = Quantity(random.below(600).cast_signed() - 1),
        _ => {}
    }
    order
}
