//! Around the orders: entitlement, sessions and their numbers, queries, genesis.

use super::script::{self, World, check, genesis, instrument, settings};
use openoutcry::command::{CancelOrder, Command, Deposit, NewOrder};
use openoutcry::event::{EventBody, RejectReason};
use openoutcry::exchange::{BookRow, DefineError, Exchange, SessionName};
use openoutcry::genesis::{Account, GenesisItem, Instrument, Key};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, KeyId, OrderId, OrderType, Price,
    Quantity, Role, SessionId, Side, Status, TimeInForce,
};

// ---- entitlement --------------------------------------------------------------------------------

fn key(id: u32, role: Role, accounts: &[u64]) -> GenesisItem {
    let accounts = accounts.iter().map(|&id| AccountId(id)).collect();
    GenesisItem::Key(Key::new(KeyId(id), format!("{id:064x}"), role, accounts))
}

#[test]
fn the_exchange_itself_refuses_what_the_key_may_not_do() {
    let mut items = genesis(10);
    items.extend([key(1, Role::Trade, &[2]), key(2, Role::CancelOnly, &[2])]);
    items.extend([key(3, Role::ReadOnly, &[2]), key(4, Role::Operator, &[])]);
    let mut world = World::of(&items);
    world.run("fund 2 3 100");
    world.ctx.key = KeyId(1);
    world.run(
        "2: buy A 1 @ 1       -> pending
         3: buy B 1 @ 1       -> KeyNotEntitled
         77: buy C 1 @ 1      -> KeyNotEntitled
         deposit 2 BTC 1      -> KeyNotEntitled
         withdraw 2 BTC 1     -> KeyNotEntitled
         transfer 3 2 BTC 1   -> KeyNotEntitled
         transfer 2 3 BTC 1   -> done",
    );
    world.ctx.key = KeyId(2);
    world.run("2: replace A 2 @ 1 -> KeyNotEntitled\n 2: cancel A -> canceled");
    world.ctx.key = KeyId(3);
    world.run("2: cancel A -> KeyNotEntitled");
    world.ctx.key = KeyId(4);
    world.run("deposit 3 BTC 1 -> done\n 3: buy D 1 @ 1 -> pending");
    world.ctx.key = KeyId(5);
    world.run("3: cancel D -> KeyNotEntitled");
}

// ---- sessions and their numbers -----------------------------------------------------------------

fn name(text: &str) -> SessionName {
    let mut name = [0; 32];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

/// Logs on in a world and gives the session's number.
fn logon(world: &mut World, text: &str) -> SessionId {
    world.ctx.sequence = world.ctx.sequence.next();
    let ctx = world.ctx;
    let session = world.exchange.logon(&ctx, KeyId(0), &name(text), &mut world.out);
    let [event] = world.out.events() else { panic!("a logon has one event") };
    let EventBody::Session(change) = event.body else { panic!("it is the session's") };
    assert_eq!((event.index, event.last, change.session, change.active), (0, true, session, true));
    world.exchange.check();
    session
}

#[test]
fn a_session_goes_on_with_its_numbers_where_it_stopped() {
    let mut world = check("fund 2 100");
    let (desk, algo) = (logon(&mut world, "desk"), logon(&mut world, "algo"));
    assert_eq!((desk, algo), (SessionId(1), SessionId(2)));
    world.ctx.session = desk;
    world.ctx.client_sequence = 77;
    world.run("buy A 1 @ 1 -> pending\n buy B 0 @ 1 -> InvalidQuantity");
    let result = *world.out.result().expect("a result");
    assert_eq!((result.session, result.outbound, result.client_sequence), (desk, 2, 77));
    world.ctx.sequence = world.ctx.sequence.next();
    let ctx = world.ctx;
    world.exchange.logout(&ctx, desk, &mut world.out);
    let EventBody::Session(change) = world.out.events()[0].body else { panic!("the session's") };
    assert_eq!((change.session, change.active, change.outbound), (desk, false, 2));
    assert_eq!(logon(&mut world, "desk"), desk);
    world.run("cancel A -> canceled");
    assert_eq!(world.out.result().expect("a result").outbound, 3);
}

#[test]
fn a_makers_session_is_told_and_each_message_has_its_number() {
    let mut world = check("fund 2 3 100000");
    let (maker, taker) = (logon(&mut world, "maker"), logon(&mut world, "taker"));
    world.ctx.session = maker;
    for order in 0..20 {
        world.run(&format!("2: sell M{order} 2 @ 1 as {} -> pending", order + 100));
    }
    world.ctx.session = SessionId(0);
    world.run("2: sell N 1 @ 2 -> pending");
    world.ctx.session = taker;
    world.apply(NewOrder {
        account: AccountId(3),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(200),
        quantity: Quantity(41),
        client_order_id: ClientOrderId(0),
    });
    let result = *world.out.result().expect("a result");
    assert_eq!((result.fill_count, result.outbound), (21, 1));
    let fills: Vec<_> = (world.out.events().iter())
        .filter_map(|event| match event.body {
            EventBody::MakerFill(fill) => Some(fill),
            _ => None,
        })
        .collect();
    // The order without a session is told to nobody.
    assert_eq!(fills.len(), 20);
    for (fill, turn) in fills.iter().zip(0..) {
        assert_eq!((fill.session, fill.outbound), (maker, 21 + turn));
        assert_eq!(fill.client_order_id, ClientOrderId(100 + turn));
        assert_eq!((fill.quantity.0, fill.filled.0, fill.leaves.0), (2, 2, 0));
    }
    // 21 fills: 16 in the answer, 5 messages of their own.
    world.run("3: cancel ?1 -> TooLate");
    assert_eq!(world.out.result().expect("a result").outbound, 7);
}

// ---- queries ------------------------------------------------------------------------------------

#[test]
fn a_book_is_shown_by_level_or_by_order_to_the_depth_asked_for() {
    let world = check(
        "fund 2 3 10000
         2: buy  A 10 @ 90   -> pending
         2: buy  B 4 @ 99    -> pending
         2: buy  C 6 @ 99    -> pending
         3: sell D 30 @ 101  -> pending",
    );
    let rows = |depth, orders| {
        let mut rows = vec![];
        let more = world.exchange.book(InstrumentId(1), depth, orders, &mut rows);
        let show = |row: &BookRow| (row.price.0, row.quantity.0, row.orders, row.order_id.0);
        (rows.iter().map(show).collect::<Vec<_>>(), more.expect("defined").more)
    };
    let (best, second, ask) = ((9900, 10, 2, 0), (9000, 10, 1, 0), (10100, 30, 1, 0));
    assert_eq!(rows(1, false), (vec![best, ask], true));
    assert_eq!(rows(u16::MAX, false), (vec![best, second, ask], false));
    assert_eq!(rows(0, false), (vec![best, second, ask], false));
    let (b, c, d) = ((9900, 4, 1, 8), (9900, 6, 1, 9), (10100, 30, 1, 10));
    assert_eq!(rows(1, true), (vec![b, c, d], true));
    assert_eq!(rows(2, true), (vec![b, c, (9000, 10, 1, 7), d], false));
    let unknown = world.exchange.book(InstrumentId(9), 1, false, &mut vec![]);
    assert_eq!(unknown, Err(RejectReason::UnknownInstrument));
}

#[test]
fn long_answers_come_in_pages() {
    let mut world = check("fund 2 1000000");
    for order in 0..700 {
        world.run(&format!("buy A{order} 1 @ {} -> pending", 1 + order));
    }
    let (mut balances, mut orders, mut rows) = (vec![], vec![], vec![]);
    let (mut seen, mut after, mut pages) = (vec![], OrderId(0), 0);
    loop {
        let more = world.exchange.account(AccountId(2), after, &mut balances, &mut orders);
        assert_eq!(balances.len(), if pages == 0 { 3 } else { 0 });
        seen.extend(orders.iter().map(|row| row.order_id.0));
        after = orders.last().expect("no page is empty").order_id;
        pages += 1;
        if !more.expect("defined") {
            break;
        }
        // The order that the next page starts after may be gone by then.
        let cancel = CancelOrder {
            account: AccountId(2),
            instrument: InstrumentId(1),
            order_id: after,
            orig_client_order_id: ClientOrderId(0),
        };
        world.apply(cancel);
    }
    assert_eq!((pages, seen), (3, (4..704).collect()));
    let summary = world.exchange.book(InstrumentId(1), u16::MAX, false, &mut rows);
    assert_eq!((rows.len(), summary.expect("defined").more), (256, true));
    let summary = world.exchange.book(InstrumentId(1), u16::MAX, true, &mut rows);
    assert_eq!((rows.len(), summary.expect("defined").more), (128, true));
    let unknown = world.exchange.account(AccountId(0), after, &mut balances, &mut orders);
    assert_eq!(unknown, Err(RejectReason::UnknownAccount));
}

#[test]
fn a_live_order_is_shown_whole() {
    let world = check(
        "fund 2 3 1000
         2: sell A 5 @ 10 as 7  -> pending
         3: buy B 2 @ 10        -> filled 2, trade A 2 @ 10 leaves 3",
    );
    let row = world.exchange.order(OrderId(7)).expect("it rests");
    assert_eq!(world.exchange.order_by_client(AccountId(2), ClientOrderId(7)), Some(row));
    assert_eq!((row.price.0, row.quantity.0, row.filled.0, row.leaves.0), (1000, 5, 2, 3));
    assert_eq!((row.side, row.account, row.instrument.0), (Side::Sell, AccountId(2), 1));
    assert_eq!(world.exchange.order(OrderId(8)), None);
}

// ---- genesis ------------------------------------------------------------------------------------

#[test]
fn genesis_refuses_what_cannot_be_and_nothing_has_changed_then() {
    let mut world = World::new(10);
    let before = world.hash();
    let broken = |change: fn(&mut Instrument)| {
        let mut instrument = instrument(3, "NEW", 1, 2);
        change(&mut instrument);
        GenesisItem::Instrument(instrument)
    };
    let wrong = [
        settings(10),
        script::asset(3, "XRP", 0),
        script::asset(4, "BTC", 0),
        script::asset(4, "", 0),
        script::asset(4, "a symbol", 0),
        script::asset(4, "SEVENTEEN-LETTERS", 0),
        script::asset(4, "XRP", 13),
        broken(|it| it.id = InstrumentId(2)),
        broken(|it| it.symbol = "BTC-USDT".into()),
        broken(|it| it.base = AssetId(0)),
        broken(|it| it.quote = AssetId(4)),
        broken(|it| it.base = AssetId(2)),
        broken(|it| it.price_scale = 13),
        broken(|it| it.quantity_scale = 13),
        broken(|it| it.tick_units = 0),
        broken(|it| it.lot_units = -1),
        broken(|it| it.base_per_lot = 0),
        broken(|it| it.quote_per_tick_lot = 0),
        broken(|it| it.quantity_min = 0),
        broken(|it| (it.quantity_min, it.quantity_max) = (9, 8)),
        broken(|it| it.price_max = 0),
        GenesisItem::Account(Account::new(AccountId(0))),
        GenesisItem::Account(Account::new(AccountId(1))),
        GenesisItem::Account(Account::new(AccountId(2))),
        key(2, Role::Trade, &[2]),
        key(1, Role::Trade, &[2, 77]),
    ];
    for item in wrong {
        let error = world.exchange.define(&item).expect_err("this cannot be");
        assert!(!error.to_string().is_empty());
        assert_eq!(world.hash(), before, "after {item:?}");
    }
    world.exchange.define(&broken(|_| ())).expect("this can be");
    world.exchange.check();
}

#[test]
fn genesis_begins_with_its_settings() {
    let mut exchange = Exchange::new();
    assert_eq!(exchange.define(&script::asset(1, "BTC", 0)), Err(DefineError::Settings));
    assert_eq!(exchange.define(&settings(0)), Err(DefineError::OrdersMax(0)));
    let GenesisItem::Settings(mut bad) = settings(1) else { unreachable!("they are settings") };
    bad.seed = "+00102030405060708090a0b0c0d0e0f".into();
    assert_eq!(exchange.define(&GenesisItem::Settings(bad)), Err(DefineError::Seed));
    exchange.define(&settings(1)).expect("the first item");
    assert_eq!(exchange.define(&settings(1)), Err(DefineError::Settings));
}

#[test]
fn an_exchange_without_genesis_refuses_and_lives() {
    let mut world = World::of(&[]);
    world.ctx.sequence = world.ctx.sequence.next();
    let deposit = Deposit { account: AccountId(2), asset: AssetId(1), amount: Amount(1) };
    world.exchange.apply(&world.ctx, &Command::from(deposit), &mut world.out);
    let result = world.out.result().expect("a result");
    assert_eq!(result.status, Status::Rejected);
    assert_eq!(result.reason, Some(RejectReason::UnknownAccount));
    world.exchange.check();
}
