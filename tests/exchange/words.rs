//! Orders and what became of them in the words of scripts, to be read and to be written.
//!
//! ```text
//! buy A 10 @ 100 ioc min 3          at least 3 of it trade, or nothing does
//! buy A 10 @ 100 show 2 day         an iceberg, until the trading day ends
//! buy A 10 stop 101                 becomes a market order at 101
//! buy A 10 @ 103 stop 101           becomes a limit order at 101
//! buy A 10 @ 103 market stop 101    becomes a market order that pays at most 103
//! buy A 0 market budget 500         as much as 500 buys (in hundredths of a unit, as prices)
//! buy A 10 @ 100 until 5000         good till that time; `gtd` alone names none
//! buy A 10 @ 100 self cancel-both   what happens instead of a trade with itself
//! buy A 10 @ 100 post reprice       rests, at a worse price if need be
//! buy A 10 @ 100 entered            by EnterOrder, though NewOrder has fields for all it says
//! ```
//!
//! Behind the result stand the trades (`by S` where a stop S made them), then changes of orders: `S
//! triggered`, `A repriced @ 99`, `A reduced to 3`, `A self-trade`, `A expired`, `S unfilled`.

use super::script::{ASSETS, cents, decimal, number, parse};
use openoutcry::admin::AdminCommand;
use openoutcry::command::{
    CancelOnDisconnect, Command, EnterOrder, MassCancel, NewOrder, POST_ONLY, REPRICE,
    self_trade_flags,
};
use openoutcry::event::EventBody;
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderChange, OrderId, OrderType,
    Price, Quantity, SelfTrade, SessionId, Side, Sides, Status, TimeInForce, TimeNs,
};
use std::fmt::Write;

/// What a record of a stream asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Command(Command),
    Admin(AdminCommand),
    Session(SessionStep),
}

/// What a record without a result says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SessionStep {
    /// A session comes, and may ask for its orders to end when it is away.
    Logon {
        session: SessionId,
        is_watched: bool,
    },
    Logout(SessionId),
    /// All sessions are lost.
    Lose,
    /// Nothing but that time passes.
    Tick,
}

impl<T: Into<Command>> From<T> for Record {
    fn from(command: T) -> Record {
        Record::Command(command.into())
    }
}

/// The same order with all fields that there are.
pub(crate) fn entered(c: &NewOrder) -> EnterOrder {
    EnterOrder {
        account: c.account,
        instrument: c.instrument,
        side: c.side,
        order_type: c.order_type,
        time_in_force: c.time_in_force,
        flags: c.flags,
        price: c.price,
        quantity: c.quantity,
        stop_price: Price(0),
        display_quantity: Quantity(0),
        min_quantity: Quantity(0),
        budget: Amount(0),
        expires: TimeNs(0),
        client_order_id: c.client_order_id,
    }
}

/// The same order with fewer fields, if they can say it.
pub(crate) fn plain(c: &EnterOrder) -> Option<NewOrder> {
    let plain = NewOrder {
        account: c.account,
        instrument: c.instrument,
        side: c.side,
        order_type: c.order_type,
        time_in_force: c.time_in_force,
        flags: c.flags,
        price: c.price,
        quantity: c.quantity,
        client_order_id: c.client_order_id,
    };
    (entered(&plain) == *c).then_some(plain)
}

/// An order with the words that stand after its quantity, or of a cancel after its name.
#[track_caller]
pub(crate) fn order(words: &[&str]) -> EnterOrder {
    let (order, _) = read(words);
    order
}

/// The command that enters an order: the shortest that can say it, or the one that is asked for.
#[track_caller]
pub(crate) fn entry(account: AccountId, side: Side, quantity: &str, words: &[&str]) -> Command {
    let (order, entered) = read(words);
    let order = EnterOrder { account, side, quantity: Quantity(parse(quantity, 0)), ..order };
    plain(&order).filter(|_| !entered).map_or(order.into(), Command::from)
}

#[track_caller]
fn read(words: &[&str]) -> (EnterOrder, bool) {
    let mut order = entered(&NewOrder {
        account: AccountId(2),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(0),
        quantity: Quantity(0),
        client_order_id: ClientOrderId(0),
    });
    let (mut is_market, mut is_stop, mut is_entered) = (false, false, false);
    let (mut order_type, mut time_in_force) = (None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || *words.next().expect("a word follows");
        match *word {
            "@" => order.price = Price(parse(next(), 2)),
            "market" => is_market = true,
            "stop" => (is_stop, order.stop_price) = (true, Price(parse(next(), 2))),
            "type" => order_type = Some(OrderType::from_word(next()).expect("a type")),
            "gtd" => {
                time_in_force = Some(TimeInForce::Gtd);
                order.expires =
                    TimeNs(words.clone().next().and_then(|t| t.parse().ok()).unwrap_or(0));
                if order.expires.0 != 0 {
                    words.next();
                }
            }
            "until" => {
                time_in_force = Some(TimeInForce::Gtd);
                order.expires = TimeNs(number(next()));
            }
            "expires" => order.expires = TimeNs(number(next())),
            "post" => order.flags |= POST_ONLY,
            "reprice" => order.flags |= REPRICE,
            "self" => {
                let mode =
                    SelfTrade::from_word(next()).expect("what becomes of a trade with itself");
                order.flags |= self_trade_flags(mode);
            }
            "flags" => order.flags = number(next()) as u8,
            "show" => order.display_quantity = Quantity(parse(next(), 0)),
            "min" => order.min_quantity = Quantity(parse(next(), 0)),
            "budget" => order.budget = Amount(parse(next(), 2)),
            "as" => order.client_order_id = ClientOrderId(number(next())),
            "on" => order.instrument = instrument(next()),
            "entered" => is_entered = true,
            other => match TimeInForce::from_word(other) {
                Some(known) => time_in_force = Some(known),
                None => panic!("what does {other} mean?"),
            },
        }
    }
    order.order_type = order_type.unwrap_or(match (is_stop, is_market, order.price.0) {
        (false, true, _) => OrderType::Market,
        (false, false, _) => OrderType::Limit,
        (true, true, _) | (true, false, 0) => OrderType::Stop,
        (true, false, _) => OrderType::StopLimit,
    });
    let at_once = order.order_type == OrderType::Market;
    let usual = if at_once { TimeInForce::Ioc } else { TimeInForce::Gtc };
    order.time_in_force = time_in_force.unwrap_or(usual);
    (order, is_entered)
}

#[track_caller]
fn instrument(word: &str) -> InstrumentId {
    match word {
        "BTC" => InstrumentId(1),
        "ETH" => InstrumentId(2),
        other => InstrumentId(number(other) as u32),
    }
}

/// A command as a script's line says it, without what comes of it.
pub(crate) fn say(command: &Command, name: &dyn Fn(OrderId) -> String) -> String {
    let named = |id: OrderId, client: ClientOrderId| match (id.0, client.0) {
        (0, 0) => "?0".into(),
        (0, client) => format!("#{client}"),
        _ => name(id),
    };
    let on = |instrument: InstrumentId| match instrument.0 {
        1 => String::new(),
        2 => " on ETH".into(),
        other => format!(" on {other}"),
    };
    let money = |asset: AssetId, amount: Amount| match ASSETS.get(asset.0.wrapping_sub(1) as usize)
    {
        Some((symbol, scale)) => format!("{symbol} {}", decimal(amount.0, *scale)),
        None => format!("{asset} {amount}"),
    };
    match command {
        Command::NewOrder(c) => format!("{}: {}", c.account, say_order(&entered(c), false, name)),
        Command::EnterOrder(c) => {
            format!("{}: {}", c.account, say_order(c, plain(c).is_some(), name))
        }
        Command::CancelOrder(c) => {
            let order = named(c.order_id, c.orig_client_order_id);
            format!("{}: cancel {order}{}", c.account, on(c.instrument))
        }
        Command::ReplaceOrder(c) => {
            let order = named(c.order_id, c.orig_client_order_id);
            let (price, quantity) = (cents(c.price.0), c.quantity);
            format!("{}: replace {order} {quantity} @ {price}{}", c.account, on(c.instrument))
        }
        Command::Deposit(c) => format!("deposit {} {}", c.account, money(c.asset, c.amount)),
        Command::Withdraw(c) => format!("withdraw {} {}", c.account, money(c.asset, c.amount)),
        Command::Transfer(c) => {
            format!("transfer {} {} {}", c.from, c.to, money(c.asset, c.amount))
        }
        Command::MassCancel(c) => say_mass_cancel(c),
        Command::CancelOnDisconnect(CancelOnDisconnect { enabled, grace_ms }) => match enabled {
            0 if *grace_ms == 0 => "away off".into(),
            1 => format!("away {grace_ms}"),
            other => format!("away {grace_ms} switch {other}"),
        },
    }
}

fn say_mass_cancel(c: &MassCancel) -> String {
    let mut line = "masscancel".to_owned();
    let mut add = |is: bool, word: std::fmt::Arguments<'_>| {
        if is {
            write!(line, " {word}").expect("a string");
        }
    };
    add(c.account.0 == 0, format_args!("all"));
    add(c.account.0 != 0, format_args!("{}", c.account));
    add(c.sides != Sides::Both, format_args!("{}", c.sides));
    add(c.instrument.0 != 0, format_args!("on {}", c.instrument));
    add(c.session.0 != 0, format_args!("of {}", c.session));
    line
}

/// A record that is no command as a script's line says it.
pub(crate) fn say_session(step: SessionStep) -> String {
    match step {
        SessionStep::Logon { session, is_watched } => {
            format!("return {session}{}", if is_watched { " watched" } else { "" })
        }
        SessionStep::Logout(session) => format!("logout {session}"),
        SessionStep::Lose => "lose".into(),
        SessionStep::Tick => "tick".into(),
    }
}

/// What an operator says as a script's line says it.
pub(crate) fn say_admin(command: &AdminCommand) -> String {
    match command {
        AdminCommand::SetAccountGroup { account, group, self_trade } => {
            format!("owner {account} {group} {self_trade}")
        }
        AdminCommand::SetAccountLimits { account, limits } => {
            let numbers = [
                ("quantity", limits.quantity_max),
                ("notional", limits.notional_max),
                ("open", limits.open_orders_max.into()),
                ("rate", limits.rate_per_s.into()),
                ("burst", limits.rate_burst.into()),
            ];
            let set = numbers.iter().filter(|(_, value)| *value != 0);
            let words: Vec<String> = set.map(|(name, value)| format!(" {name} {value}")).collect();
            let restricted: Vec<String> =
                limits.restricted.iter().map(|instrument| instrument.to_string()).collect();
            let before = if restricted.is_empty() { "" } else { " restricted " };
            format!("limits {account}{}{before}{}", words.concat(), restricted.join(","))
        }
        AdminCommand::SetPositionLimit { account, instrument, net_max, gross_max, position } => {
            let is = position.map_or(String::new(), |position| format!(" is {position}"));
            format!("position {account} {instrument} net {net_max} gross {gross_max}{is}")
        }
        AdminCommand::SetCollar { instrument, collar_bps } => {
            format!("collar {instrument} {collar_bps}")
        }
        other => format!("{other:?}"),
    }
}

/// What sessions are told of changes of orders, by the events of a record that has no trades.
pub(crate) fn told_of_changes<'a>(
    events: impl IntoIterator<Item = &'a EventBody>,
    name: &dyn Fn(OrderId) -> String,
) -> String {
    let updates = events.into_iter().filter_map(|event| match event {
        EventBody::Update(update) => Some(update),
        _ => None,
    });
    let words = updates.map(|update| match update.change {
        OrderChange::MassCancelDone => format!("done {}", update.quantity),
        change => format!("{} {change}", name(update.order_id)),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// An order's words from its side on. Its name is that of the id 0.
fn say_order(c: &EnterOrder, is_entered: bool, name: &dyn Fn(OrderId) -> String) -> String {
    let mut line = format!("{} {} {}", c.side, name(OrderId(0)), c.quantity);
    let mut add = |is: bool, word: &dyn std::fmt::Display| {
        if is {
            write!(line, " {word}").expect("a string");
        }
    };
    add(c.price.0 != 0, &format!("@ {}", cents(c.price.0)));
    add(c.order_type == OrderType::Market, &"market");
    add(c.stop_price.0 != 0, &format!("stop {}", cents(c.stop_price.0)));
    add(c.display_quantity.0 != 0, &format!("show {}", c.display_quantity));
    add(c.min_quantity.0 != 0, &format!("min {}", c.min_quantity));
    add(c.budget.0 != 0, &format!("budget {}", cents(c.budget.0)));
    let mode = SelfTrade::from_u8(openoutcry::command::self_trade_asked(c.flags));
    let is_known = c.flags >> 5 == 0 && (mode.is_some() || c.flags & 14 == 0);
    add(is_known && c.flags & POST_ONLY != 0, &"post");
    add(is_known && c.flags & REPRICE != 0, &"reprice");
    add(is_known && mode.is_some(), &format!("self {}", mode.unwrap_or(SelfTrade::Allow)));
    add(!is_known, &format!("flags {}", c.flags));
    add(c.client_order_id.0 != 0, &format!("as {}", c.client_order_id));
    add(is_entered, &"entered");
    add(c.instrument.0 == 2, &"on ETH");
    add(c.instrument.0 != 1 && c.instrument.0 != 2, &format!("on {}", c.instrument));
    let (tif, is_gtd) = (c.time_in_force, c.time_in_force == TimeInForce::Gtd);
    add(is_gtd && c.expires.0 != 0, &format!("until {}", c.expires));
    add(!is_gtd && c.expires.0 != 0, &format!("expires {}", c.expires));
    let so_far: Vec<String> = line.split_whitespace().skip(3).map(str::to_owned).collect();
    let so_far: Vec<&str> = so_far.iter().map(String::as_str).collect();
    let heard = order(&so_far);
    if heard.order_type != c.order_type {
        write!(line, " type {}", c.order_type).expect("a string");
    }
    let mut heard_again = so_far.clone();
    let kind = c.order_type.as_str();
    heard_again.extend(["type", kind]);
    if order(&heard_again).time_in_force != tif {
        write!(line, " {tif}").expect("a string");
    }
    line
}

/// What became of a command, by its events.
pub(crate) fn told<'a>(
    events: impl IntoIterator<Item = &'a EventBody>,
    name: &dyn Fn(OrderId) -> String,
) -> String {
    let (mut text, mut own) = (String::new(), OrderId(0));
    for event in events {
        let mut add = |word: std::fmt::Arguments<'_>| text.write_fmt(word).expect("a string");
        match event {
            EventBody::Result(result) => {
                own = result.order_id;
                match result.status {
                    Status::FullyFilled => add(format_args!("filled {}", result.filled)),
                    Status::PartialFilled => {
                        add(format_args!("partial {} + {}", result.filled, result.leaves));
                    }
                    Status::Pending => add(format_args!("pending")),
                    Status::FullyCanceled => add(format_args!("canceled")),
                    Status::PartialCanceled => {
                        add(format_args!("partly canceled {}", result.filled));
                    }
                    Status::Rejected => {}
                    Status::Expired => add(format_args!("expired")),
                    Status::Done => add(format_args!("done")),
                }
                if let Some(reason) = result.reason {
                    let space = if result.status == Status::Rejected { "" } else { " " };
                    add(format_args!("{space}{}", reason.name()));
                }
            }
            EventBody::Trade(trade) => {
                let (maker, price) = (name(trade.maker_order), cents(trade.price.0));
                add(format_args!(", trade {maker} {} @ {price}", trade.quantity));
                if trade.taker_order != own {
                    add(format_args!(" by {}", name(trade.taker_order)));
                }
                if trade.maker_leaves.0 > 0 {
                    add(format_args!(" leaves {}", trade.maker_leaves));
                }
            }
            EventBody::Update(update) if update.change == OrderChange::MassCancelDone => {
                add(format_args!(", done {}", update.quantity));
            }
            EventBody::Update(update) => {
                add(format_args!(", {} {}", name(update.order_id), update.change));
                match update.change {
                    OrderChange::Repriced => add(format_args!(" @ {}", cents(update.price.0))),
                    OrderChange::Reduced => add(format_args!(" to {}", update.leaves)),
                    _ => {}
                }
            }
            EventBody::MakerFill(_)
            | EventBody::Balance(_)
            | EventBody::Session(_)
            | EventBody::Sent(_) => {}
        }
    }
    text
}
