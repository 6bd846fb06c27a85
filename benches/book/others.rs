//! Order books of the registry, each driven through its own interface with its own commands, which
//! are made before the clock starts.
//!
//! They number orders themselves, so that a number in use cannot be asked for: those messages are
//! not sent to them, and count as if they had cost nothing. Only what the clock sees is theirs.

use super::PASS_MAX;
use super::workload::{Fill, Workload};
use openoutcry::exchange::BareCommand;
use openoutcry::sys::clock::thread_time;
use openoutcry::types::{OrderId, Side, TimeInForce};
use std::hint::black_box;

/// What is sent in place of an order's number, which the other book chooses: its number there, in
/// the order of entering, and back.
struct Numbers {
    theirs: Vec<u64>,
    ours: Vec<u64>,
}

impl Numbers {
    fn new() -> Numbers {
        Numbers { theirs: Vec::new(), ours: Vec::new() }
    }

    /// Notes that this order has that number there.
    fn note(&mut self, order: OrderId, theirs: u64) {
        let set = |table: &mut Vec<u64>, at: u64, value: u64| {
            let at = at as usize;
            table.resize(table.len().max(at + 1), u64::MAX);
            table[at] = value;
        };
        set(&mut self.theirs, order.0, theirs);
        set(&mut self.ours, theirs, order.0);
    }
}

/// Messages that are sent: all but those that ask for a number in use.
fn sent(workload: &Workload) -> impl Iterator<Item = (&BareCommand, bool)> {
    let messages = workload.messages.iter().zip(&workload.refused).zip(&workload.duplicate);
    messages
        .filter(|&(_, &duplicate)| !duplicate)
        .map(|((message, &refused), _)| (message, refused))
}

/// `matchcore`.
pub(crate) struct Matchcore {
    commands: Vec<matchcore::Command>,
    numbers: Numbers,
}

impl Matchcore {
    pub(crate) fn new(workload: &Workload) -> Matchcore {
        use matchcore::{AmendCmd, AmendPatch, CancelCmd, Command, CommandKind, CommandMeta};
        use matchcore::{LimitOrder, LimitOrderPatch, NewOrder, OrderFlags, SubmitCmd};
        let mut numbers = Numbers::new();
        let quantity_of = |quantity: i64| matchcore::QuantityPolicy::Standard {
            quantity: matchcore::Quantity(quantity.cast_unsigned()),
        };
        let price_of = |price: i64| matchcore::Price(price.cast_unsigned());
        let commands = (0..).zip(sent(workload)).map(|(sequence, (message, _))| {
            let kind = match *message {
                BareCommand::New { order, side, time_in_force, price, quantity, .. } => {
                    numbers.note(order, sequence);
                    let side = match side {
                        Side::Buy => matchcore::Side::Buy,
                        Side::Sell => matchcore::Side::Sell,
                    };
                    let time_in_force = match time_in_force {
                        TimeInForce::Ioc => matchcore::TimeInForce::Ioc,
                        _ => matchcore::TimeInForce::Gtc,
                    };
                    let flags = OrderFlags::new(side, false, time_in_force);
                    let order = LimitOrder::new(price_of(price.0), quantity_of(quantity.0), flags);
                    CommandKind::Submit(SubmitCmd { order: NewOrder::Limit(order) })
                }
                BareCommand::Cancel { order } => CommandKind::Cancel(CancelCmd {
                    order_id: matchcore::OrderId(numbers.theirs[order.0 as usize]),
                    order_kind: matchcore::OrderKind::Limit,
                }),
                BareCommand::Replace { order, price, quantity } => CommandKind::Amend(AmendCmd {
                    order_id: matchcore::OrderId(numbers.theirs[order.0 as usize]),
                    patch: AmendPatch::Limit(
                        LimitOrderPatch::new()
                            .with_price(price_of(price.0))
                            .with_quantity_policy(quantity_of(quantity.0)),
                    ),
                }),
            };
            let (sequence_number, timestamp) =
                (matchcore::SequenceNumber(sequence), matchcore::Timestamp(1));
            Command { meta: CommandMeta { sequence_number, timestamp }, kind }
        });
        let commands = commands.collect();
        Matchcore { commands, numbers }
    }

    pub(crate) fn run(&self, mut told: impl FnMut(Fill)) {
        let mut book = matchcore::OrderBook::new("X");
        for command in &self.commands {
            let outcome = black_box(book.execute(command));
            let matchcore::CommandOutcome::Applied(report) = &outcome else { continue };
            let (matchcore::CommandReport::Submit(effects)
            | matchcore::CommandReport::Amend(effects)) = report
            else {
                continue;
            };
            let taker = effects.target_order();
            let trades = taker.match_result().map_or(&[][..], |result| result.trades());
            for trade in trades {
                told([
                    trade.maker_order_id().0,
                    taker.order_id().0,
                    trade.price().0,
                    trade.quantity().0,
                ]);
            }
        }
        black_box(&book);
    }

    pub(crate) fn fills(&self) -> Vec<Fill> {
        let mut fills = Vec::new();
        self.run(|fill| fills.push(in_ours(&self.numbers, fill)));
        fills
    }
}

fn in_ours(numbers: &Numbers, [maker, taker, price, quantity]: Fill) -> Fill {
    let ours = |theirs: u64| numbers.ours.get(theirs as usize).copied().unwrap_or(u64::MAX);
    [ours(maker), ours(taker), price, quantity]
}

/// `lobster`. It has no immediate orders and no modify: they are made of an order and a cancel, a
/// cancel and an order. It takes numbers as they are, and does not mind one in use.
pub(crate) struct Lobster {
    commands: Vec<lobster::OrderType>,
}

impl Lobster {
    pub(crate) fn new(workload: &Workload) -> Lobster {
        use lobster::OrderType::{Cancel, Limit};
        let mut commands = Vec::with_capacity(workload.messages.len() * 5 / 4);
        let mut sides = Vec::new();
        for (message, refused) in sent(workload) {
            match *message {
                BareCommand::New { order, side, time_in_force, price, quantity, .. } => {
                    let side = match side {
                        Side::Buy => lobster::Side::Bid,
                        Side::Sell => lobster::Side::Ask,
                    };
                    sides.resize(sides.len().max(order.0 as usize + 1), side);
                    sides[order.0 as usize] = side;
                    let (id, qty) = (u128::from(order.0), quantity.0.cast_unsigned());
                    commands.push(Limit { id, side, qty, price: price.0.cast_unsigned() });
                    if time_in_force == TimeInForce::Ioc {
                        commands.push(Cancel { id });
                    }
                }
                BareCommand::Cancel { order } => {
                    commands.push(Cancel { id: u128::from(order.0) });
                }
                BareCommand::Replace { order, price, quantity } => {
                    let (id, qty) = (u128::from(order.0), quantity.0.cast_unsigned());
                    commands.push(Cancel { id });
                    if !refused {
                        let side = sides[order.0 as usize];
                        commands.push(Limit { id, side, qty, price: price.0.cast_unsigned() });
                    }
                }
            }
        }
        Lobster { commands }
    }

    /// False where it took too long.
    pub(crate) fn run(&self, mut told: impl FnMut(Fill)) -> bool {
        let mut book = lobster::OrderBook::new(1 << 20, 16, false);
        let started = thread_time();
        for (at, &command) in self.commands.iter().enumerate() {
            if at % 4096 == 0 && thread_time().saturating_sub(started) > PASS_MAX {
                return false;
            }
            let event = black_box(book.execute(command));
            if let lobster::OrderEvent::Filled { fills, .. }
            | lobster::OrderEvent::PartiallyFilled { fills, .. } = &event
            {
                for fill in fills {
                    told([fill.order_2 as u64, fill.order_1 as u64, fill.price, fill.qty]);
                }
            }
        }
        black_box(&book);
        true
    }

    pub(crate) fn fills(&self) -> Option<Vec<Fill>> {
        let mut fills = Vec::new();
        self.run(|fill| fills.push(fill)).then_some(fills)
    }
}
