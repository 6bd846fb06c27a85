//! Time passes: mass cancels in steps, and orders that end with their session.
//!
//! ```text
//! logon desk                    -> 1 (its number; the commands that follow are this session's)
//! tick                          -> A disconnected (what sessions are told of the record)
//! masscancel all sell on ETH of 1  -> done
//! told                          -> A mass-canceled, done 1 (of the last record)
//! away 500                      -> done (cancel on disconnect, grace in ms), `away off`
//! logout 1                      a session ends
//! lose                          all sessions are lost
//! return 1 watched              session 1 logs on again, its orders end when it is away
//! ```

use super::random::restored;
use super::script::{World, check};
use super::words::told_of_changes;
use crate::sim::random::{Random, seeds};
use openoutcry::command::{
    CancelOnDisconnect, CancelOrder, Command, EnterOrder, MassCancel, NewOrder, ReplaceOrder,
};
use openoutcry::event::{Event, EventBody, RejectReason};
use openoutcry::exchange::{Context, Exchange, Outbox, SessionName};
use openoutcry::genesis::{GenesisItem, Key};
use openoutcry::types::{
    AccountId, Amount, ClientOrderId, InstrumentId, KeyId, OrderChange, OrderId, OrderType, Price,
    Quantity, Role, Sequence, SessionId, Side, Sides, Status, TimeInForce, TimeNs,
};
use std::collections::BTreeSet;

pub(crate) fn name(text: &str) -> SessionName {
    let mut name = [0; 32];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

impl World {
    /// The words of this file; `None` for others.
    pub(crate) fn line_of_time(&mut self, words: &[&str]) -> Option<String> {
        let number = |text: &str| text.parse::<u64>().expect("a number");
        Some(match *words {
            ["logon", text] => {
                let key = self.ctx.key;
                let session =
                    self.quiet(|exchange, ctx, out| exchange.logon(ctx, key, &name(text), out));
                self.ctx.session = session;
                session.to_string()
            }
            ["logout", id] => {
                let id = SessionId(number(id) as u32);
                self.quiet(|exchange, ctx, out| exchange.logout(ctx, id, out));
                self.told()
            }
            ["lose"] => {
                self.quiet(|exchange, ctx, out| exchange.lose_sessions(ctx, out));
                self.told()
            }
            ["return", id, ref rest @ ..] => {
                let id = SessionId(number(id) as u32);
                let session = self.exchange.sessions()[id.0 as usize - 1];
                self.quiet(|exchange, ctx, out| {
                    exchange.logon(ctx, session.key, &session.name, out);
                    if rest == ["watched"] {
                        exchange.cancel_when_away(id);
                    }
                });
                self.told()
            }
            ["tick"] => {
                self.quiet(|exchange, ctx, out| exchange.tick(ctx, out));
                self.told()
            }
            ["told"] => self.told(),
            ["away", grace] => {
                let enabled = u8::from(grace != "off");
                let grace_ms = grace.parse().unwrap_or(0);
                self.brief(CancelOnDisconnect { enabled, grace_ms })
            }
            ["away", grace, "switch", enabled] => {
                let (enabled, grace_ms) = (number(enabled) as u8, number(grace) as u32);
                self.brief(CancelOnDisconnect { enabled, grace_ms })
            }
            ["masscancel", who, ref rest @ ..] => {
                let account = AccountId(if who == "all" { 0 } else { number(who) });
                let (instrument, session) = (InstrumentId(0), SessionId(0));
                let mut command = MassCancel { account, instrument, sides: Sides::Both, session };
                let mut rest = rest.iter();
                while let Some(word) = rest.next() {
                    match *word {
                        "buy" => command.sides = Sides::Buy,
                        "sell" => command.sides = Sides::Sell,
                        "on" => {
                            let symbol = *rest.next().expect("an instrument");
                            command.instrument = InstrumentId(match symbol {
                                "BTC" => 1,
                                "ETH" => 2,
                                other => number(other) as u32,
                            });
                        }
                        "of" => {
                            let id = number(rest.next().expect("a session"));
                            command.session = SessionId(id as u32);
                        }
                        other => panic!("what does {other} mean?"),
                    }
                }
                self.brief(command)
            }
            _ => return None,
        })
    }

    /// What became of a command, without what sessions are told of it.
    #[track_caller]
    fn brief(&mut self, command: impl Into<Command>) -> String {
        let result = self.apply(command);
        result.reason.map_or("done".to_owned(), |reason| reason.name().to_owned())
    }

    /// A record without a result.
    #[track_caller]
    fn quiet<R>(&mut self, act: impl FnOnce(&mut Exchange, &Context, &mut Outbox) -> R) -> R {
        self.ctx.sequence = self.ctx.sequence.next();
        let ctx = self.ctx;
        let done = act(&mut self.exchange, &ctx, &mut self.out);
        self.exchange.check();
        check_quiet(self.out.events(), ctx.sequence);
        done
    }

    /// What sessions are told of orders that changed with the last record.
    fn told(&self) -> String {
        let name = |id| self.name(id).to_owned();
        told_of_changes(self.out.events().iter().map(|event| &event.body), &name)
    }
}

/// Checks what is true of the events of every record without a result.
#[track_caller]
pub(crate) fn check_quiet(events: &[Event], sequence: Sequence) {
    let mut rank_before = 0;
    for (event, index) in events.iter().zip(0..) {
        assert_eq!((event.sequence, event.index), (sequence, index));
        assert_eq!(event.last, index as usize == events.len() - 1);
        let rank = match event.body {
            EventBody::Session(_) | EventBody::Sent(_) => 0,
            EventBody::Trade(_) => 1,
            EventBody::MakerFill(_) | EventBody::Update(_) => 2,
            EventBody::Balance(_) => 3,
            EventBody::Result(_) => panic!("it has no result"),
        };
        assert!(rank >= rank_before, "the session, trades, notes, balances");
        rank_before = rank;
    }
}

// ---- mass cancels -------------------------------------------------------------------------------

#[test]
fn a_mass_cancel_takes_what_matches_and_tells_whose_it_was() {
    let orders = "fund 2 3 1000000
         logon desk            -> 1
         2: buy  A 1 @ 10      -> pending
         3: buy  B 1 @ 11      -> pending
         2: sell C 2 @ 20 on ETH -> pending
         logon algo            -> 2
         2: sell D 1 @ 30      -> pending
         3: sell E 2 @ 40 on ETH -> pending
         2: buy  F 1 @ 12      -> pending";
    for (command, told) in [
        (
            "masscancel all",
            "A mass-canceled, C mass-canceled, D mass-canceled, F mass-canceled, \
             B mass-canceled, E mass-canceled, done 6",
        ),
        ("masscancel 3", "B mass-canceled, E mass-canceled, done 2"),
        ("masscancel 2 buy", "A mass-canceled, F mass-canceled, done 2"),
        ("masscancel all sell on ETH", "C mass-canceled, E mass-canceled, done 2"),
        ("masscancel 2 of 1", "A mass-canceled, C mass-canceled, done 2"),
        ("masscancel 3 buy on BTC of 2", "done 0"),
        ("masscancel 4", "done 0"),
    ] {
        let mut world = check(orders);
        world.run(&format!("{command} -> done\n told -> {told}"));
        let updates = world.out.events().iter().filter_map(|event| match event.body {
            EventBody::Update(update) => Some(update),
            _ => None,
        });
        for update in updates {
            let is_done = update.change == OrderChange::MassCancelDone;
            // Session 2 entered D, which has id 12, E and F, and the mass cancel.
            let of_second = is_done || update.order_id.0 >= 12;
            assert_eq!(update.session.0, if of_second { 2 } else { 1 }, "{update:?}");
            assert!(update.outbound > 0 && update.leaves.0 == 0, "{update:?}");
        }
        if command == "masscancel all" {
            world.run("book -> |\n book on ETH -> |\n balance 2 USDT -> 1000000 / 0");
        }
        world.run("tick ->");
    }
}

#[test]
fn what_is_wrong_with_a_mass_cancel_is_told_in_a_fixed_order() {
    let mut items = super::script::genesis(10);
    for (id, role, accounts) in [(1, Role::Trade, vec![AccountId(2)]), (2, Role::Operator, vec![])]
    {
        items.push(GenesisItem::Key(Key::new(KeyId(id), format!("{id:064x}"), role, accounts)));
    }
    let mut world = World::of(&items);
    world.run(
        "masscancel 77 on 9 of 9  -> UnknownAccount
         masscancel 1             -> LiabilityAccount
         masscancel 2 on 9 of 9   -> UnknownInstrument
         masscancel all of 9      -> InvalidSession
         masscancel all           -> done
         away 1                   -> InvalidSession",
    );
    world.ctx.key = KeyId(2);
    world.run(
        "logon boss           -> 1
         masscancel all       -> done
         masscancel all of 1  -> done
         away 86400001        -> InvalidGrace
         away 86400000        -> done",
    );
    for enabled in [2, 255] {
        let result = world.apply(CancelOnDisconnect { enabled, grace_ms: 0 });
        assert_eq!(result.reason.expect("it is refused").name(), "InvalidGrace");
    }
    world.ctx.key = KeyId(1);
    world.run("logon desk -> 2\n masscancel 2 of 1 -> done");
    // Without an account it is the key's right that is asked first, then the session.
    let refused = world.apply(MassCancel {
        account: AccountId(0),
        instrument: InstrumentId(0),
        sides: Sides::Both,
        session: SessionId(1),
    });
    let reason = refused.reason.expect("it is another's session").name();
    assert!(["InvalidSession", "KeyNotEntitled"].contains(&reason), "{reason}");
}

/// Enters so many orders of account 2, one with each record.
fn fill(world: &mut World, count: usize) {
    for number in 0..count {
        world.run(&format!("buy O{number} 1 @ {} -> pending", 1 + number % 50));
    }
}

#[test]
fn a_record_takes_128_orders_and_its_own_is_the_first() {
    let mut world = World::new(1000);
    world.run("fund 2 3 100000\n logon desk -> 1");
    fill(&mut world, 300);
    world.run("3: sell S 1 @ 90 -> pending\n masscancel 2 -> done");
    assert_eq!(world.exchange.deadline(), Some(TimeNs(0)), "it goes on at once");
    assert_eq!((world.exchange.order_count(), world.told().split(", ").count()), (173, 128));
    // What comes after it is left alone, whoever lets it go on.
    assert_eq!(world.apply(order(Side::Buy, 1, 1)).status, Status::Pending);
    assert_eq!((world.exchange.order_count(), world.told().split(", ").count()), (46, 128));
    assert_eq!(world.apply(cancel(7)).reason, Some(RejectReason::TooLate));
    assert!(world.told().ends_with("O299 mass-canceled, done 300"), "{}", world.told());
    assert_eq!(world.exchange.deadline(), None);
    world.run("tick ->\n book -> 0.01x1 | 90x1");
}

#[test]
fn a_walk_stands_at_a_live_order_whatever_ends_meanwhile() {
    // A record's own step stops before O256, which the record then ends.
    let mut world = World::new(1000);
    world.run("fund 2 3 100000");
    fill(&mut world, 300);
    world.run("masscancel 2 -> done");
    // The ids of the funds' commands come first.
    assert_eq!(world.apply(cancel(7 + 256)).status, Status::FullyCanceled);
    assert_eq!(world.exchange.order_count(), 43);
    world.quiet(|exchange, ctx, out| exchange.tick(ctx, out));
    let told = world.told();
    assert!(told.starts_with("O257 ") && told.ends_with("O299 mass-canceled, done 299"), "{told}");

    // The same where it ends that one and all behind it.
    let mut world = World::new(1000);
    world.run("fund 2 3 100000");
    fill(&mut world, 300);
    world.run("masscancel 2 -> done");
    let sweep = NewOrder { account: AccountId(3), ..order(Side::Sell, 1, 44) };
    assert_eq!(world.apply(sweep).filled, Quantity(44));
    world.run("tick -> done 256");
    assert_eq!(world.exchange.order_count(), 0);
}

fn cancel(id: u64) -> CancelOrder {
    CancelOrder {
        account: AccountId(2),
        instrument: InstrumentId(1),
        order_id: OrderId(id),
        orig_client_order_id: ClientOrderId(0),
    }
}

/// An order of account 2.
fn order(side: Side, price: u64, quantity: i64) -> NewOrder {
    NewOrder {
        account: AccountId(2),
        instrument: InstrumentId(1),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(price.cast_signed()),
        quantity: Quantity(quantity),
        client_order_id: ClientOrderId(0),
    }
}

#[test]
fn a_session_may_have_four_mass_cancels_under_way() {
    let mut world = World::new(1_000);
    world.run("fund 2 10000\n logon desk -> 1");
    for number in 0..900 {
        world.ctx.sequence = world.ctx.sequence.next();
        let order = Command::from(order(Side::Buy, 1 + number % 10, 1));
        world.exchange.apply(&world.ctx, &order, &mut world.out);
    }
    (0..4).for_each(|_| world.run("masscancel 2 -> done"));
    world.run("masscancel 2 -> TooManyMassCancels\n logon other -> 2\n masscancel 2 -> done");
}

#[test]
fn mass_cancels_wait_for_their_turn_and_64_may_be_under_way() {
    let mut world = World::new(30_000);
    world.run("fund 2 3 10000000\n 3: buy X 1 @ 1 -> pending");
    for number in 0..20_000 {
        world.ctx.sequence = world.ctx.sequence.next();
        let order = Command::from(order(Side::Buy, 1 + number % 10, 1));
        world.exchange.apply(&world.ctx, &order, &mut world.out);
    }
    // X is gone at once, and the next one is long.
    world.run("masscancel 3 -> done\n told -> X mass-canceled, done 1\n masscancel 2 -> done");
    (1..64).for_each(|_| world.run("masscancel 3 -> done"));
    world.run("masscancel 3 -> TooManyMassCancels\n masscancel 2 -> TooManyMassCancels");
    let mut done = 0;
    while world.exchange.deadline().is_some() {
        world.quiet(|exchange, ctx, out| exchange.tick(ctx, out));
        done += world.out.events().iter().filter(|event| is_done(event)).count();
    }
    assert_eq!(done, 64);
    assert_eq!(world.exchange.order_count(), 0);
}

fn is_done(event: &Event) -> bool {
    matches!(event.body, EventBody::Update(update) if update.change == OrderChange::MassCancelDone)
}

#[test]
fn waiting_stops_are_taken_and_so_is_what_is_hidden() {
    check(
        "fund 2 3 100000
         buy A 5 @ 60 stop 50        -> pending
         sell B 100 @ 70 show 10     -> pending
         buy C 5 @ 20 until 99999    -> pending
         masscancel 2                -> done
         told                        -> A mass-canceled, B mass-canceled, C mass-canceled, done 3
         balance 2 USDT              -> 100000 / 0
         balance 2 BTC               -> 100000 / 0
         at 99999                    ->
         tick                        ->
         book                        -> |",
    );
}

#[test]
fn orders_past_their_time_go_64_a_record_beside_a_mass_cancel_under_way() {
    let mut world = World::new(1000);
    world.run("fund 2 3 100000");
    (0..100).for_each(|n| world.run(&format!("3: buy E{n} 1 @ 1 until 5000 -> pending")));
    fill(&mut world, 300);
    world.run("masscancel 2 -> done\n at 5000");
    for (expired, canceled, left) in [(64, 128, 36), (36, 44, 0)] {
        world.quiet(|exchange, ctx, out| exchange.tick(ctx, out));
        let of = |wanted| {
            let is = |event: &&Event| matches!(event.body, EventBody::Update(update) if update.change == wanted);
            world.out.events().iter().filter(is).count()
        };
        let counts = (of(OrderChange::Expired), of(OrderChange::MassCanceled));
        assert_eq!(counts, (expired, canceled));
        assert_eq!(world.exchange.deadline().is_some(), left > 0);
    }
    assert_eq!(world.exchange.order_count(), 0);
}

// ---- orders that end with their session ------------------------------------------------------------

#[test]
fn a_session_that_is_away_for_its_grace_loses_its_orders_and_no_others() {
    check(
        "fund 2 3 1000
         logon desk       -> 1
         buy A 1 @ 10     -> pending
         3: sell B 1 @ 20 -> pending
         away 500         -> done
         logon algo       -> 2
         buy C 1 @ 10     -> pending
         at 2000          ->
         logout 1         ->
         at 500001999     ->
         tick             ->
         buy D 1 @ 10     -> pending
         told             ->
         at 500002000     ->
         tick             -> A disconnected, B disconnected
         orders 2         -> C D
         tick             ->
         balance 3 BTC    -> 1000 / 0",
    );
}

#[test]
fn the_record_at_whose_time_a_grace_is_over_finds_the_orders_gone() {
    check(
        "fund 2 3 1000
         logon desk       -> 1
         away 0           -> done
         sell A 1 @ 10    -> pending
         lose             ->
         session 0        ->
         3: buy B 1 @ 10  -> pending, A disconnected",
    );
}

#[test]
fn a_logon_in_time_keeps_the_orders_and_one_that_is_late_does_not() {
    check(
        "fund 2 3 1000
         logon desk       -> 1
         away 1           -> done
         buy A 1 @ 10     -> pending
         logout 1         ->
         at 1000999       ->
         logon desk       -> 1
         at 9000000       ->
         tick             ->
         lose             ->
         at 10000000      ->
         logon desk       -> 1
         told             -> A disconnected
         away off         -> done
         buy B 1 @ 10     -> pending
         logout 1         ->
         at 99999999999   ->
         tick             ->
         orders 2         -> B",
    );
}

#[test]
fn what_a_session_says_while_it_is_away_counts_from_then_on() {
    check(
        "fund 2 1000
         logon desk       -> 1
         buy A 1 @ 10     -> pending
         logout 1         ->
         at 5000          ->
         away 1           -> done
         at 1004999       ->
         tick             ->
         at 1005000       ->
         tick             -> A disconnected",
    );
}

#[test]
fn sessions_that_were_away_for_too_long_wait_for_room_and_are_not_forgotten() {
    let mut world = World::new(1000);
    world.run("fund 2 100000");
    for session in 1..=70 {
        world.run(&format!(
            "logon s{session} -> {session}\n away 0 -> done\n buy A{session} 1 @ 1 -> pending\n buy B{session} 1 @ 1 -> pending"
        ));
    }
    world.run("lose ->\n session 0");
    let mut records = 0;
    while world.exchange.deadline().is_some() {
        world.ctx.sequence = world.ctx.sequence.next();
        let ctx = world.ctx;
        world.exchange.tick(&ctx, &mut world.out);
        world.exchange.check();
        records += 1;
    }
    // A walk ends with its session's last order; 6 of the 70 had to wait for a place.
    assert!((2..=70).contains(&records), "{records}");
    assert_eq!(world.exchange.order_count(), 0);
}

#[test]
fn a_tick_before_its_time_leaves_no_trace() {
    let mut world = check("fund 2 1000\n logon desk -> 1\n away 5 -> done\n logout 1 ->");
    let hash = world.hash();
    world.run("tick ->");
    assert_eq!(world.hash(), hash);
    assert_eq!(world.exchange.deadline(), Some(TimeNs(5_001_000)));
    let other = check("fund 2 1000\n logon desk -> 1\n away off -> done\n logout 1 ->");
    assert_ne!(other.hash(), hash, "what will come is a part of the state");
}

// ---- snapshots between steps --------------------------------------------------------------------

/// One record of any kind.
fn record(random: &mut Random, exchange: &Exchange, ctx: &mut Context) -> Step {
    ctx.sequence = ctx.sequence.next();
    ctx.time.0 += random.below(3_000_000);
    let sessions = exchange.sessions().len() as u64;
    ctx.session = SessionId(random.below(sessions + 1) as u32);
    let account = AccountId(2 + random.below(8));
    let instrument = InstrumentId(1);
    let order_id = OrderId(1 + random.below(ctx.sequence.0));
    let orig_client_order_id = ClientOrderId(0);
    match random.below(100) {
        0..4 => Step::Logon(random.below(8) as u8),
        4..7 if sessions > 0 => Step::Logout(SessionId(1 + random.below(sessions) as u32)),
        7 => Step::Lose,
        8..20 => Step::Tick,
        20..25 => Step::Command(
            MassCancel {
                account: if random.percent(50) { AccountId(0) } else { account },
                instrument: InstrumentId(random.below(3) as u32),
                sides: Sides::from_u8(random.below(3) as u8).expect("three of them"),
                session: SessionId(random.below(sessions + 1) as u32),
            }
            .into(),
        ),
        25..30 => Step::Command(
            CancelOnDisconnect {
                enabled: u8::from(random.percent(80)),
                grace_ms: random.below(8) as u32,
            }
            .into(),
        ),
        30..45 => Step::Command(
            CancelOrder { account, instrument, order_id, orig_client_order_id }.into(),
        ),
        45..55 => Step::Command(
            ReplaceOrder {
                account,
                instrument,
                order_id,
                price: Price(95 + random.below(10).cast_signed()),
                quantity: Quantity(1 + random.below(5).cast_signed()),
                orig_client_order_id,
            }
            .into(),
        ),
        _ => {
            let side = if random.percent(50) { Side::Buy } else { Side::Sell };
            let most = if random.percent(20) { 200 } else { 100 };
            let quantity = 1 + random.below(4).cast_signed();
            let price = 1 + random.below(most);
            if random.percent(70) {
                return Step::Command(NewOrder { account, ..order(side, price, quantity) }.into());
            }
            // Stops wait beside the book; some orders end by themselves.
            let (is_stop, ends) = (random.percent(50), random.percent(60));
            Step::Command(
                EnterOrder {
                    account,
                    instrument,
                    side,
                    order_type: if is_stop { OrderType::StopLimit } else { OrderType::Limit },
                    time_in_force: if ends { TimeInForce::Gtd } else { TimeInForce::Gtc },
                    flags: 0,
                    price: Price(price.cast_signed()),
                    quantity: Quantity(quantity),
                    stop_price: Price(if is_stop { price.cast_signed() } else { 0 }),
                    display_quantity: Quantity(0),
                    min_quantity: Quantity(0),
                    budget: Amount(0),
                    expires: TimeNs(if ends {
                        ctx.time.0 + 1 + random.below(90_000_000)
                    } else {
                        0
                    }),
                    client_order_id: ClientOrderId(0),
                }
                .into(),
            )
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Command(Command),
    Logon(u8),
    Logout(SessionId),
    Lose,
    Tick,
}

fn act(exchange: &mut Exchange, ctx: &Context, step: Step, out: &mut Outbox) {
    match step {
        Step::Command(command) => exchange.apply(ctx, &command, out),
        Step::Logon(number) => {
            exchange.logon(ctx, KeyId(0), &[number; 32], out);
        }
        Step::Logout(session) => exchange.logout(ctx, session, out),
        Step::Lose => exchange.lose_sessions(ctx, out),
        Step::Tick => exchange.tick(ctx, out),
    }
}

#[test]
fn an_exchange_from_a_snapshot_between_two_steps_goes_on_as_the_one_that_was_never_packed() {
    seeds("time and snapshots", |seed| {
        let mut random = Random::new(seed);
        let mut world = World::new(2000);
        world.run("fund 2 3 4 5 6 7 8 9 1000000");
        let (mut out, mut other) = (Outbox::new(), Outbox::new());
        let mut ctx = world.ctx;
        let mut exchange = world.exchange;
        let orders = 200 + random.below(1200);
        for number in 0..orders {
            ctx.sequence = ctx.sequence.next();
            let side = Side::from_u8(1 + (number % 2) as u8).expect("two of them");
            let price = if side == Side::Buy { 1 + number % 50 } else { 120 + number % 50 };
            let new = NewOrder { account: AccountId(2 + number % 8), ..order(side, price, 1) };
            exchange.apply(&ctx, &new.into(), &mut out);
        }
        let mut twin = restored(&exchange);
        let mut packed_under_way = 0;
        for _ in 0..300 {
            let step = record(&mut random, &exchange, &mut ctx);
            let live: BTreeSet<OrderId> = live(&exchange);
            act(&mut exchange, &ctx, step, &mut out);
            act(&mut twin, &ctx, step, &mut other);
            assert_eq!(out.events(), other.events(), "{step:?} at {}", ctx.sequence);
            check_taken(&out, &live, ctx.sequence);
            if random.percent(30) {
                exchange.check();
                packed_under_way += usize::from(exchange.deadline() == Some(TimeNs(0)));
                twin = restored(&twin);
                assert_eq!(hash(&exchange), hash(&twin), "{step:?} at {}", ctx.sequence);
            }
        }
        // In the end all that is under way is done.
        for _ in 0..10_000 {
            if exchange.deadline() != Some(TimeNs(0)) {
                break;
            }
            ctx.sequence = ctx.sequence.next();
            act(&mut exchange, &ctx, Step::Tick, &mut out);
            act(&mut twin, &ctx, Step::Tick, &mut other);
            assert_eq!(out.events(), other.events());
        }
        assert_ne!(exchange.deadline(), Some(TimeNs(0)), "mass cancels end");
        exchange.check();
        assert_eq!(hash(&exchange), hash(&twin));
        if seed == 0 {
            assert!(packed_under_way > 0, "some snapshot is taken between two steps");
        }
    });
}

fn hash(exchange: &Exchange) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut sha = Sha256::new();
    exchange.hash(&mut sha);
    sha.finalize().into()
}

fn live(exchange: &Exchange) -> BTreeSet<OrderId> {
    let mut rows = Vec::new();
    let (mut balances, mut live) = (Vec::new(), BTreeSet::new());
    for account in exchange.accounts().collect::<Vec<_>>() {
        let mut after = OrderId(0);
        loop {
            let more = exchange.account(account, after, &mut balances, &mut rows);
            live.extend(rows.iter().map(|row| row.order_id));
            after = rows.last().map_or(after, |row| row.order_id);
            if more != Ok(true) {
                break;
            }
        }
    }
    live
}

/// What a record took was live before it and is told once.
fn check_taken(out: &Outbox, live: &BTreeSet<OrderId>, sequence: Sequence) {
    let (mut taken, mut by_time) = (BTreeSet::new(), 0);
    for event in out.events() {
        let EventBody::Update(update) = &event.body else { continue };
        by_time += usize::from(update.change == OrderChange::Expired);
        let is_taken = matches!(
            update.change,
            OrderChange::MassCanceled | OrderChange::Disconnected | OrderChange::Expired
        );
        if !is_taken {
            continue;
        }
        assert!(live.contains(&update.order_id) && update.order_id.0 < sequence.0, "{update:?}");
        assert!(taken.insert(update.order_id), "an order ends once: {update:?}");
    }
    assert!(by_time <= 64 && taken.len() - by_time <= 128, "{by_time} of {}", taken.len());
}
