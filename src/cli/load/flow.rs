//! The flow of one connection: limit orders around a price that walks, takers, cancels.

use crate::command::{CancelOrder, Command, NewOrder};
use crate::genesis::Instrument;
use crate::types::{
    AccountId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity, Side, Status,
    TimeInForce,
};
use crate::wire::answer::{Answer, Fill};
use std::collections::VecDeque;

/// Accounts that the load spreads over, from 2 on.
const ACCOUNTS: u64 = 16;
/// Orders of a connection that rest at most.
const LIVE_MAX: usize = 64;
/// Share of new orders that take, in percent.
const TAKERS: u64 = 15;

/// What one connection sends.
pub(super) struct Flow {
    random: u64,
    account: AccountId,
    instrument: InstrumentId,
    mid: i64,
    live: VecDeque<OrderId>,
}

impl Flow {
    /// The flow of connection `number`; `None` where nothing is traded.
    pub(super) fn new(seed: u64, number: u32, instruments: &[Instrument]) -> Option<Flow> {
        let instrument = instruments.first()?;
        Some(Flow {
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            account: AccountId(2 + u64::from(number) % ACCOUNTS),
            instrument: instrument.id,
            mid: (instrument.price_max / 2).min(5_000_000),
            live: VecDeque::with_capacity(2 * LIVE_MAX),
        })
    }

    fn draw(&mut self, below: u64) -> u64 {
        // xorshift64*: quick, seeded, and good enough to shape a load.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    /// The next command.
    pub(super) fn next_command(&mut self) -> Command {
        let cancels = self.live.len() >= LIVE_MAX || self.draw(100) < 40;
        if cancels && let Some(order_id) = self.live.pop_front() {
            return CancelOrder {
                account: self.account,
                instrument: self.instrument,
                order_id,
                orig_client_order_id: ClientOrderId(0),
            }
            .into();
        }
        let takes = self.draw(100) < TAKERS;
        let side = if self.draw(2) == 0 { Side::Buy } else { Side::Sell };
        let distance = 1 + self.draw(50) as i64;
        // A taker's limit lies beyond the touch, a maker's on its own side of it.
        let away = if takes { -distance } else { distance };
        let price = match side {
            Side::Buy => self.mid - away,
            Side::Sell => self.mid + away,
        };
        let time_in_force = if takes { TimeInForce::Ioc } else { TimeInForce::Gtc };
        NewOrder {
            account: self.account,
            instrument: self.instrument,
            side,
            order_type: OrderType::Limit,
            time_in_force,
            flags: 0,
            price: Price(price),
            quantity: Quantity(1 + self.draw(100) as i64),
            client_order_id: ClientOrderId(0),
        }
        .into()
    }

    /// Takes note of an answer.
    pub(super) fn answered(&mut self, answer: &Answer) {
        if matches!(answer.status, Status::Pending | Status::PartialFilled) {
            self.live.push_back(answer.order_id);
        }
    }

    /// Takes note of a fill of an order that rested.
    pub(super) fn filled(&mut self, fill: &Fill) {
        if fill.leaves.0 == 0
            && let Some(at) = self.live.iter().position(|order| *order == fill.order_id)
        {
            self.live.remove(at);
        }
    }
}
