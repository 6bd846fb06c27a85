//! Cuts a stream in which exchange and model differ down to few commands, and prints it as a script.

use super::random::{Pair, Step};
use super::script::{ACCOUNT_LAST, World};
use super::traffic::{self, FUNDS, INSTRUMENTS, SESSIONS, Traffic};
use super::words::{self, Record, SessionStep, entered, plain};
use openoutcry::admin::AdminCommand;
use openoutcry::command::{
    CancelOnDisconnect, Command, Deposit, EnterOrder, MassCancel, ReplaceOrder, Transfer, Withdraw,
};
use openoutcry::event::{EventBody, RejectReason};
use openoutcry::exchange::Context;
use openoutcry::genesis::AccountLimits;
use openoutcry::types::{
    AccountId, Amount, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity, SelfTrade,
    SessionId, Sides, TimeInForce, TimeNs,
};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How long a stream is made shorter at most.
const PATIENCE: Duration = Duration::from_secs(60);

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What it gives, a panic being an error like any other, and silent.
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                usual(info);
            }
        }));
    });
    let before = IS_QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    IS_QUIET.set(before);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("of some kind")))
    })
}

/// Where a stream first differs, and how.
fn difference(stream: &[Step], is_wrong: bool) -> Option<(usize, String)> {
    let mut pair = if is_wrong { wrong() } else { Pair::new() };
    // A short one is compared whole after each command, a long one only in the end.
    let every = if stream.len() < 200 { 1 } else { stream.len() };
    for (at, step) in stream.iter().enumerate() {
        let outcome = caught(|| {
            pair.step(step)?;
            if (at + 1).is_multiple_of(every) { pair.compare() } else { Ok(()) }
        });
        if let Err(why) = outcome {
            return Some((at, why));
        }
    }
    None
}

/// A shorter and simpler stream in which they differ too.
fn shrink(mut stream: Vec<Step>, is_wrong: bool) -> Vec<Step> {
    let deadline = Instant::now() + PATIENCE;
    let is_shorter = |stream: &mut Vec<Step>, candidate: Vec<Step>| {
        let found = if Instant::now() < deadline { difference(&candidate, is_wrong) } else { None };
        let Some((at, _)) = found else { return false };
        *stream = candidate;
        stream.truncate(at + 1);
        true
    };
    let whole = stream.clone();
    is_shorter(&mut stream, whole);
    loop {
        let mut has_changed = false;
        let mut chunk = stream.len().div_ceil(2);
        while chunk > 0 {
            let mut end = stream.len();
            while end > 0 {
                end = end.min(stream.len());
                let start = end.saturating_sub(chunk);
                let candidate = [&stream[..start], &stream[end..]].concat();
                has_changed |= is_shorter(&mut stream, candidate);
                end = start;
            }
            chunk /= 2;
        }
        // Each command is made as simple as it can be, which lets more of them go.
        let mut at = 0;
        while at < stream.len() {
            let earlier = if at == 0 { TimeNs(1000) } else { stream[at - 1].0.time };
            let simpler = simpler(&stream[at], earlier).into_iter().any(|step| {
                let mut candidate = stream.clone();
                candidate[at] = step;
                is_shorter(&mut stream, candidate)
            });
            has_changed |= simpler;
            at += usize::from(!simpler);
        }
        for new in 2..ACCOUNT_LAST {
            for old in new + 1..=ACCOUNT_LAST {
                let of = |id: AccountId| AccountId(if id.0 == old { new } else { id.0 });
                let candidate = renamed(&stream, of, |id| id);
                has_changed |= candidate != stream && is_shorter(&mut stream, candidate);
            }
        }
        for old in 2..=INSTRUMENTS {
            let of = |id: InstrumentId| InstrumentId(if id.0 == old { 1 } else { id.0 });
            let candidate = renamed(&stream, |id| id, of);
            has_changed |= candidate != stream && is_shorter(&mut stream, candidate);
        }
        if !has_changed {
            return stream;
        }
    }
}

/// Smaller numbers to try instead, the smallest first.
fn smaller(value: i64) -> Vec<i64> {
    let mut all = vec![1, 2, 3, value / 2, value - value / 10, value.saturating_sub(1)];
    all.retain(|other| *other < value && *other > 0);
    all.dedup();
    all
}

/// Steps that say less; `earlier` is a time that the record may have as well.
fn simpler((ctx, record): &Step, earlier: TimeNs) -> Vec<Step> {
    let ctx = *ctx;
    let mut all = Vec::new();
    let contexts = [
        Context { session: SessionId(0), ..ctx },
        Context { expires: TimeNs(0), ..ctx },
        Context { time: earlier.min(ctx.time), ..ctx },
    ];
    let others = contexts.into_iter().filter(|other| *other != ctx);
    all.extend(others.map(|ctx| (ctx, record.clone())));
    let records = match record {
        Record::Command(command) => {
            simpler_commands(*command).into_iter().map(Record::Command).collect()
        }
        Record::Admin(command) => simpler_admin(command).into_iter().map(Record::Admin).collect(),
        Record::Session(SessionStep::Logon { session, is_watched: true }) => {
            vec![Record::Session(SessionStep::Logon { session: *session, is_watched: false })]
        }
        Record::Session(SessionStep::Lose) => {
            let all = (1..=SESSIONS).map(|id| SessionStep::Logout(SessionId(id)));
            all.map(Record::Session).collect()
        }
        Record::Session(_) => Vec::new(),
    };
    all.extend(records.into_iter().filter(|other| other != record).map(|record| (ctx, record)));
    all
}

/// Limits and owners that say less.
fn simpler_admin(command: &AdminCommand) -> Vec<AdminCommand> {
    let none = AccountLimits::NONE;
    match command.clone() {
        AdminCommand::SetAccountGroup { account, group, self_trade } => {
            let self_trades = [(0, self_trade), (group, SelfTrade::Allow)].into_iter();
            self_trades
                .map(|(group, self_trade)| AdminCommand::SetAccountGroup {
                    account,
                    group,
                    self_trade,
                })
                .collect()
        }
        AdminCommand::SetAccountLimits { account, limits } => {
            let mut all = vec![
                none.clone(),
                AccountLimits { quantity_max: limits.quantity_max, ..none.clone() },
                AccountLimits { notional_max: limits.notional_max, ..none.clone() },
                AccountLimits { open_orders_max: limits.open_orders_max, ..none.clone() },
                AccountLimits { rate_per_s: limits.rate_per_s, ..none.clone() },
                AccountLimits {
                    rate_per_s: limits.rate_per_s,
                    rate_burst: limits.rate_burst,
                    ..none.clone()
                },
                AccountLimits { restricted: limits.restricted.clone(), ..none },
            ];
            for value in smaller(limits.quantity_max) {
                all.push(AccountLimits { quantity_max: value, ..limits.clone() });
            }
            for value in smaller(limits.notional_max) {
                all.push(AccountLimits { notional_max: value, ..limits.clone() });
            }
            let shorter = limits.restricted.iter().skip(1).copied().collect();
            all.push(AccountLimits { restricted: shorter, ..limits.clone() });
            all.retain(|other| *other != limits);
            // None of these is as simple as no limit at all.
            all.retain(|other| !other.is_none() || !limits.is_none());
            all.into_iter()
                .map(|limits| AdminCommand::SetAccountLimits { account, limits })
                .collect()
        }
        AdminCommand::SetPositionLimit { account, instrument, net_max, gross_max, position } => {
            let mut all =
                vec![(net_max, gross_max, None), (net_max, 0, position), (0, gross_max, position)];
            all.extend(smaller(net_max).into_iter().map(|net| (net, gross_max, position)));
            all.extend(smaller(gross_max).into_iter().map(|gross| (net_max, gross, position)));
            let all = all.into_iter().map(|(net_max, gross_max, position)| {
                AdminCommand::SetPositionLimit { account, instrument, net_max, gross_max, position }
            });
            all.collect()
        }
        AdminCommand::SetCollar { instrument, collar_bps } => {
            let values = smaller(collar_bps.into()).into_iter();
            let all = values
                .map(|value| AdminCommand::SetCollar { instrument, collar_bps: value as u32 });
            all.collect()
        }
        _ => Vec::new(),
    }
}

/// Commands that say less.
fn simpler_commands(command: Command) -> Vec<Command> {
    let mut all = Vec::new();
    let mut add = |other: Command| all.push(other);
    match command {
        Command::NewOrder(c) => {
            simpler_orders(&entered(&c)).iter().filter_map(plain).for_each(|c| add(c.into()));
        }
        Command::EnterOrder(c) => {
            plain(&c).into_iter().for_each(|c| add(c.into()));
            simpler_orders(&c).into_iter().for_each(|c| add(c.into()));
        }
        Command::CancelOrder(mut c) => {
            if c.order_id.0 != 0 {
                c.orig_client_order_id = ClientOrderId(0);
            }
            add(c.into());
        }
        Command::ReplaceOrder(c) => {
            let quantities = smaller(c.quantity.0).into_iter().map(Quantity);
            quantities.for_each(|quantity| add(ReplaceOrder { quantity, ..c }.into()));
            let prices = smaller(c.price.0).into_iter().map(Price);
            prices.for_each(|price| add(ReplaceOrder { price, ..c }.into()));
            if c.order_id.0 != 0 {
                add(ReplaceOrder { orig_client_order_id: ClientOrderId(0), ..c }.into());
            }
        }
        Command::Deposit(c) => {
            let amounts = smaller(c.amount.0).into_iter().map(Amount);
            amounts.for_each(|amount| add(Deposit { amount, ..c }.into()));
        }
        Command::Withdraw(c) => {
            let amounts = smaller(c.amount.0).into_iter().map(Amount);
            amounts.for_each(|amount| add(Withdraw { amount, ..c }.into()));
        }
        Command::Transfer(c) => {
            let amounts = smaller(c.amount.0).into_iter().map(Amount);
            amounts.for_each(|amount| add(Transfer { amount, ..c }.into()));
        }
        Command::MassCancel(c) => {
            add(MassCancel { instrument: InstrumentId(0), ..c }.into());
            add(MassCancel { session: SessionId(0), ..c }.into());
            add(MassCancel { sides: Sides::Both, ..c }.into());
            add(MassCancel { account: AccountId(0), ..c }.into());
        }
        Command::CancelOnDisconnect(c) => {
            let graces = [0, 1, 2].into_iter().filter(|grace_ms| *grace_ms < c.grace_ms);
            graces.for_each(|grace_ms| add(CancelOnDisconnect { grace_ms, ..c }.into()));
        }
    }
    all
}

fn simpler_orders(c: &EnterOrder) -> Vec<EnterOrder> {
    let c = *c;
    let mut all = vec![
        EnterOrder { flags: 0, ..c },
        EnterOrder { client_order_id: ClientOrderId(0), ..c },
        EnterOrder { expires: TimeNs(0), time_in_force: TimeInForce::Gtc, ..c },
        EnterOrder { time_in_force: TimeInForce::Gtc, ..c },
        EnterOrder { stop_price: Price(0), order_type: OrderType::Limit, ..c },
        EnterOrder { order_type: OrderType::Limit, ..c },
        EnterOrder { display_quantity: Quantity(0), ..c },
        EnterOrder { min_quantity: Quantity(0), ..c },
        EnterOrder { budget: Amount(0), ..c },
        EnterOrder { expires: TimeNs(0), ..c },
    ];
    all.extend((0..8).map(|bit| EnterOrder { flags: c.flags & !(1 << bit), ..c }));
    all.extend(
        smaller(c.quantity.0).into_iter().map(|n| EnterOrder { quantity: Quantity(n), ..c }),
    );
    all.extend(smaller(c.price.0).into_iter().map(|n| EnterOrder { price: Price(n), ..c }));
    all.extend(
        smaller(c.stop_price.0).into_iter().map(|n| EnterOrder { stop_price: Price(n), ..c }),
    );
    let shown = smaller(c.display_quantity.0).into_iter().map(Quantity);
    all.extend(shown.map(|display_quantity| EnterOrder { display_quantity, ..c }));
    let least = smaller(c.min_quantity.0).into_iter().map(Quantity);
    all.extend(least.map(|min_quantity| EnterOrder { min_quantity, ..c }));
    all.extend(smaller(c.budget.0).into_iter().map(|n| EnterOrder { budget: Amount(n), ..c }));
    all.retain(|other| *other != c);
    all
}

/// The stream with each account and instrument as these say.
fn renamed(
    stream: &[Step],
    account: impl Fn(AccountId) -> AccountId,
    instrument: impl Fn(InstrumentId) -> InstrumentId,
) -> Vec<Step> {
    let mut renamed = stream.to_vec();
    for (_, record) in &mut renamed {
        let command = match record {
            Record::Command(command) => command,
            Record::Admin(AdminCommand::SetAccountGroup { account: of, .. }) => {
                *of = account(*of);
                continue;
            }
            Record::Admin(AdminCommand::SetAccountLimits { account: of, limits }) => {
                *of = account(*of);
                limits.restricted.iter_mut().for_each(|id| *id = instrument(*id));
                continue;
            }
            Record::Admin(AdminCommand::SetPositionLimit {
                account: of, instrument: id, ..
            }) => {
                (*of, *id) = (account(*of), instrument(*id));
                continue;
            }
            Record::Admin(AdminCommand::SetCollar { instrument: id, .. }) => {
                *id = instrument(*id);
                continue;
            }
            Record::Admin(_) | Record::Session(_) => continue,
        };
        match command {
            Command::NewOrder(c) => {
                (c.account, c.instrument) = (account(c.account), instrument(c.instrument));
            }
            Command::EnterOrder(c) => {
                (c.account, c.instrument) = (account(c.account), instrument(c.instrument));
            }
            Command::CancelOrder(c) => {
                (c.account, c.instrument) = (account(c.account), instrument(c.instrument));
            }
            Command::ReplaceOrder(c) => {
                (c.account, c.instrument) = (account(c.account), instrument(c.instrument));
            }
            Command::Deposit(c) => c.account = account(c.account),
            Command::Withdraw(c) => c.account = account(c.account),
            Command::Transfer(c) => (c.from, c.to) = (account(c.from), account(c.to)),
            Command::MassCancel(c) => {
                (c.account, c.instrument) = (account(c.account), instrument(c.instrument));
            }
            Command::CancelOnDisconnect(_) => {}
        }
    }
    renamed
}

/// The stream as a script for [`World::of`] the genesis of `traffic`, with what the model says.
pub(crate) fn script(stream: &[Step]) -> String {
    let mut pair = Pair::new();
    let enters = |step: &&Step| {
        matches!(step.1, Record::Command(Command::NewOrder(_) | Command::EnterOrder(_)))
    };
    let letter = |at: usize| match (char::from(b'A' + (at % 26) as u8), at / 26) {
        (letter, 0) => letter.to_string(),
        (letter, round) => format!("{letter}{round}"),
    };
    let ids = stream.iter().filter(enters).map(|step| OrderId(step.0.sequence.0));
    let names: BTreeMap<OrderId, String> =
        ids.enumerate().map(|(at, id)| (id, letter(at))).collect();
    let accounts: Vec<String> = (2..=ACCOUNT_LAST).map(|account| account.to_string()).collect();
    let mut text = format!("fund {} {FUNDS}\n", accounts.join(" "));
    if stream.iter().any(|(_, record)| knows_sessions(record)) {
        // All of them are there from the beginning.
        writeln!(text, "session {SESSIONS}\nsession 0").expect("a string");
    }
    let mut now = Context { time: TimeNs(1000), ..Context::default() };
    for step @ (ctx, record) in stream {
        let own = OrderId(ctx.sequence.0);
        let name = |id: OrderId| match names.get(if id.0 == 0 { &own } else { &id }) {
            Some(name) => name.clone(),
            // The script's first record is no order either; an id that nobody gave must be none there too.
            None if id < own => "?1".to_owned(),
            None => format!("?{}", id.0 | 1 << 40),
        };
        let changes = [
            (now.time != ctx.time, format!("at {}", ctx.time)),
            (now.session != ctx.session, format!("session {}", ctx.session)),
            (now.expires != ctx.expires, format!("valid {}", ctx.expires)),
        ];
        for (_, line) in changes.iter().filter(|(is, _)| *is) {
            writeln!(text, "{line}").expect("a string");
        }
        now = *ctx;
        let events = pair.expected(step);
        // Some lines tell no more than what became of the command, what happened has one of its own.
        let brief = |line: String| {
            let EventBody::Result(result) = events[0] else { panic!("the result is first") };
            let told = words::told_of_changes(&events, &name);
            let told = if told.is_empty() { told } else { format!("\ntold -> {told}") };
            format!("{line} -> {}{told}", result.reason.map_or("done", RejectReason::name))
        };
        let lines = match record {
            Record::Session(step) => {
                let told = words::told_of_changes(&events, &name);
                format!("{} -> {told}", words::say_session(*step))
            }
            Record::Admin(command) => brief(words::say_admin(command)),
            Record::Command(
                command @ (Command::MassCancel(_) | Command::CancelOnDisconnect(_)),
            ) => brief(words::say(command, &name)),
            Record::Command(command) => {
                format!("{} -> {}", words::say(command, &name), words::told(&events, &name))
            }
        };
        writeln!(text, "{lines}").expect("a string");
    }
    text
}

/// Whether it matters for a record who is there.
fn knows_sessions(record: &Record) -> bool {
    match record {
        Record::Session(_) => true,
        Record::Command(command) => {
            matches!(command, Command::MassCancel(_) | Command::CancelOnDisconnect(_))
        }
        Record::Admin(_) => false,
    }
}

/// A model that is wrong in one thing, for tests of what finds such: it has no room for a fourth order.
fn wrong() -> Pair {
    let mut pair = Pair::new();
    pair.model.orders_max = 3;
    pair
}

/// What to do about a stream that differs.
pub(crate) fn report(stream: Vec<Step>, why: &str) -> String {
    let length = stream.len();
    let short = shrink(stream, false);
    let why = difference(&short, false).map_or_else(|| why.to_owned(), |(_, why)| why);
    format!("{why}\nof {length} commands this is left:\n\n{}", script(&short))
}

#[test]
fn a_stream_that_differs_is_cut_down_to_what_it_takes() {
    for seed in 1..=5 {
        let mut traffic = Traffic::new(seed, 20, 2);
        let mut pair = wrong();
        let mut stream = Vec::new();
        while stream.is_empty() || difference_at_end(&mut pair, &stream) {
            assert!(stream.len() < 5000, "it is found soon");
            let step = traffic.next(&pair.model);
            stream.push(step);
        }
        let length = stream.len();
        let short = shrink(stream, true);
        assert!(short.len() <= 4, "{length} commands became {}: {short:#?}", short.len());
        World::of(&traffic::genesis(100)).run(&script(&short));
    }
}

/// Applies the last step; true where exchange and model still agree.
fn difference_at_end(pair: &mut Pair, stream: &[Step]) -> bool {
    pair.step(stream.last().expect("there is one")).is_ok()
}

#[test]
fn a_printed_stream_is_a_script_that_does_the_same() {
    for seed in 1..=8 {
        let mut traffic = Traffic::new(seed, 20, 5);
        let mut pair = Pair::new();
        let mut stream = Vec::new();
        for _ in 0..300 {
            let step = traffic.next(&pair.model);
            pair.step(&step).expect("they agree");
            stream.push(step);
        }
        World::of(&traffic::genesis(4000)).run(&script(&stream));
    }
}
