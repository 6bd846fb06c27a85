//! The flow of commands: a random walk of prices, orders around it, and what else desks do.
//!
//! Invariant: commands are a function of the seed, the number of sessions and the number of
//! commands alone. No answer and no clock has a say, so orders are named by the client's numbers.

use super::venue::{ASSETS, MARKETS, Market, QUANTITY_MAX, Seat};
use crate::command::{CancelOrder, Command, Deposit, NewOrder, ReplaceOrder, Transfer, Withdraw};
use crate::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity,
    Side, TimeInForce,
};
use sha2::{Digest, Sha256};

/// Orders that a session believes alive before it cancels one rather than enter another.
const LIVE_MAX: usize = 60;
/// Numbers that no order has.
const NO_ORDER: u64 = 1 << 40;

/// Random numbers from a seed (SplitMix64): small, and the same for ever.
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64) -> Random {
        let mut random = Random(seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is small: the bias is beyond notice.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    fn side(&mut self) -> Side {
        if self.below(2) == 0 { Side::Buy } else { Side::Sell }
    }
}

/// The middle prices, one step a command of a session. Every session walks the same way, so that
/// they agree about the price without talking.
struct Walk {
    random: Random,
    mids: [i64; MARKETS.len()],
}

impl Walk {
    fn new(seed: u64) -> Walk {
        Walk { random: Random::new(seed, 0), mids: MARKETS.map(|market| market.start) }
    }

    fn step(&mut self) {
        for (mid, market) in self.mids.iter_mut().zip(&MARKETS) {
            let step = self.random.below(2 * market.step + 1).cast_signed();
            let pull = (market.start - *mid) / 1024;
            *mid += step - market.step.cast_signed() + pull;
        }
    }
}

/// An order that a session believes to rest.
#[derive(Clone, Copy)]
struct Live {
    account: AccountId,
    market: usize,
    side: Side,
    price: i64,
    quantity: i64,
    client: u64,
}

/// The commands of one session with their numbers among all commands.
pub(super) struct Flow {
    random: Random,
    walk: Walk,
    accounts: Vec<AccountId>,
    everyone: Vec<AccountId>,
    operator: bool,
    live: Vec<Live>,
    next: u64,
    stride: u64,
    end: u64,
    digest: Sha256,
}

impl Flow {
    /// Session `session` of `sessions`; together they give the numbers 0 to `commands`.
    pub(super) fn new(
        seed: u64,
        session: u64,
        sessions: u64,
        commands: u64,
        seat: &Seat,
        everyone: &[AccountId],
    ) -> Flow {
        Flow {
            random: Random::new(seed, session + 1),
            walk: Walk::new(seed),
            accounts: seat.accounts.clone(),
            everyone: everyone.to_vec(),
            operator: seat.operator,
            live: Vec::with_capacity(LIVE_MAX),
            next: session,
            stride: sessions,
            end: commands,
            digest: Sha256::new(),
        }
    }

    /// The number of the next command, if there is one.
    pub(super) fn peek(&self) -> Option<u64> {
        (self.next < self.end).then_some(self.next)
    }

    /// Fingerprint of the commands so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    fn command(&mut self, number: u64) -> Command {
        if self.live.len() >= LIVE_MAX {
            return self.cancel().unwrap_or_else(|| self.limit(number));
        }
        match self.random.below(1000) {
            0..450 => self.limit(number),
            450..640 => self.take(number),
            640..830 => self.cancel().unwrap_or_else(|| self.limit(number)),
            830..930 => self.replace().unwrap_or_else(|| self.limit(number)),
            930..950 => self.transfer(),
            950..970 if self.operator => self.money(),
            950..970 => self.limit(number),
            _ => self.nonsense(number),
        }
    }

    fn order(&mut self, number: u64, time_in_force: TimeInForce) -> (NewOrder, usize) {
        let market = self.random.below(MARKETS.len() as u64) as usize;
        let order = NewOrder {
            account: *self.random.pick(&self.accounts),
            instrument: instrument(market),
            side: self.random.side(),
            order_type: OrderType::Limit,
            time_in_force,
            flags: 0,
            price: Price(self.walk.mids[market]),
            quantity: Quantity(self.quantity(market)),
            client_order_id: ClientOrderId(number + 1),
        };
        (order, market)
    }

    /// An order that rests: mostly near the touch, sometimes through it.
    fn limit(&mut self, number: u64) -> Command {
        let (mut order, market) = self.order(number, TimeInForce::Gtc);
        let distance = match self.random.below(100) {
            0..6 => -1 - self.random.below(MARKETS[market].depth / 8).cast_signed(),
            _ => self.distance(market),
        };
        order.price = Price(away(self.walk.mids[market], order.side, distance));
        self.live.push(Live {
            account: order.account,
            market,
            side: order.side,
            price: order.price.0,
            quantity: order.quantity.0,
            client: order.client_order_id.0,
        });
        order.into()
    }

    /// An order that takes what it gets.
    fn take(&mut self, number: u64) -> Command {
        let (mut order, market) = self.order(number, TimeInForce::Ioc);
        let through = 2 + self.random.below(MARKETS[market].depth / 4).cast_signed();
        order.price = Price(away(self.walk.mids[market], order.side, -through));
        order.into()
    }

    fn cancel(&mut self) -> Option<Command> {
        let index = self.resting()?;
        let Live { account, market, client, .. } = self.live.swap_remove(index);
        Some(
            CancelOrder {
                account,
                instrument: instrument(market),
                order_id: OrderId(0),
                orig_client_order_id: ClientOrderId(client),
            }
            .into(),
        )
    }

    /// Moves an order with the price, or makes it smaller where it stands.
    fn replace(&mut self) -> Option<Command> {
        let index = self.resting()?;
        let Live { market, side, .. } = self.live[index];
        let distance = self.distance(market);
        let moved = away(self.walk.mids[market], side, distance);
        let resized = self.quantity(market);
        let smaller = self.random.below(3) == 0;
        let live = &mut self.live[index];
        if smaller {
            live.quantity -= live.quantity / 4;
        } else {
            (live.price, live.quantity) = (moved, resized);
        }
        Some(
            ReplaceOrder {
                account: live.account,
                instrument: instrument(market),
                order_id: OrderId(0),
                price: Price(live.price),
                quantity: Quantity(live.quantity),
                orig_client_order_id: ClientOrderId(live.client),
            }
            .into(),
        )
    }

    /// An order that most likely still rests: one that the price has passed is forgotten.
    fn resting(&mut self) -> Option<usize> {
        while !self.live.is_empty() {
            let index = self.random.below(self.live.len() as u64) as usize;
            let Live { market, side, price, .. } = self.live[index];
            let margin = MARKETS[market].depth.cast_signed() / 4;
            let beyond = away(self.walk.mids[market], side, margin);
            let rests = match side {
                Side::Buy => price < beyond,
                Side::Sell => price > beyond,
            };
            if rests {
                return Some(index);
            }
            self.live.swap_remove(index);
        }
        None
    }

    fn transfer(&mut self) -> Command {
        let from = *self.random.pick(&self.accounts);
        let others: Vec<AccountId> =
            self.everyone.iter().copied().filter(|account| *account != from).collect();
        Transfer {
            from,
            to: *self.random.pick(&others),
            asset: self.asset(),
            amount: self.amount(),
        }
        .into()
    }

    fn money(&mut self) -> Command {
        let account = *self.random.pick(&self.everyone);
        let (asset, amount) = (self.asset(), self.amount());
        match self.random.below(5) {
            0..3 => Deposit { account, asset, amount }.into(),
            _ => Withdraw { account, asset, amount }.into(),
        }
    }

    /// What the exchange refuses, each for another reason.
    fn nonsense(&mut self, number: u64) -> Command {
        let account = *self.random.pick(&self.accounts);
        let to_itself = |asset, amount| Transfer { from: account, to: account, asset, amount };
        let (mut order, market) = self.order(number, TimeInForce::Ioc);
        order.account = account;
        match self.random.below(7) {
            0 => order.price = Price(0),
            1 => order.quantity = Quantity(0),
            2 => order.instrument = InstrumentId(MARKETS.len() as u32 + 1),
            // As much as an order may have, and more than any account owns.
            3 => {
                order.side = Side::Sell;
                let whole = 10i64.pow(u32::from(MARKETS[market].quantity_scale));
                order.quantity = Quantity(QUANTITY_MAX * whole);
            }
            4 => {
                return CancelOrder {
                    account,
                    instrument: order.instrument,
                    order_id: OrderId(0),
                    orig_client_order_id: ClientOrderId(NO_ORDER + number),
                }
                .into();
            }
            5 => return to_itself(self.asset(), self.amount()).into(),
            _ => {
                let to = *self.everyone.last().expect("there are accounts");
                let nothing = Amount(0);
                return Transfer { to, ..to_itself(AssetId(1), nothing) }.into();
            }
        }
        order.into()
    }

    fn asset(&mut self) -> AssetId {
        AssetId(self.random.below(ASSETS.len() as u64) as u32 + 1)
    }

    /// Up to two whole units.
    fn amount(&mut self) -> Amount {
        Amount(1 + self.random.below(200_000_000).cast_signed())
    }

    fn quantity(&mut self, market: usize) -> i64 {
        // Small ones are frequent, large ones rare.
        let (one, other) = (self.random.below(20), self.random.below(20));
        MARKETS[market].clip * (1 + (one * other / 19).cast_signed())
    }

    /// Ticks from the middle: most are near.
    fn distance(&mut self, market: usize) -> i64 {
        let Market { depth, .. } = MARKETS[market];
        let (one, other) = (self.random.below(depth), self.random.below(depth));
        1 + (one * other / depth).cast_signed()
    }
}

impl Iterator for Flow {
    type Item = (u64, Command);

    fn next(&mut self) -> Option<(u64, Command)> {
        let number = self.peek()?;
        self.next += self.stride;
        self.walk.step();
        let command = self.command(number);
        let mut bytes = Vec::with_capacity(64);
        command.encode(&mut bytes);
        self.digest.update(command.schema().to_be_bytes());
        self.digest.update(bytes);
        Some((number, command))
    }
}

fn instrument(market: usize) -> InstrumentId {
    InstrumentId(market as u32 + 1)
}

/// A price `distance` ticks from `mid` on the side where an order rests.
fn away(mid: i64, side: Side, distance: i64) -> i64 {
    match side {
        Side::Buy => mid - distance,
        Side::Sell => mid + distance,
    }
    .max(1)
}

#[cfg(test)]
mod tests {
    use super::super::venue::Venue;
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn all(seed: u64, sessions: u64, commands: u64) -> Vec<(u64, Command)> {
        let venue = Venue::new(sessions).expect("random bytes");
        let flow = |session: u64| {
            let seat = &venue.seats[session as usize];
            Flow::new(seed, session, sessions, commands, seat, &venue.accounts)
        };
        (0..sessions).flat_map(flow).collect()
    }

    #[test]
    fn a_seed_gives_the_same_commands_and_another_one_others() {
        assert_eq!(all(7, 4, 1000), all(7, 4, 1000));
        assert_ne!(all(7, 4, 1000), all(8, 4, 1000));
    }

    #[test]
    fn every_number_comes_once_whatever_the_division() {
        for (sessions, commands) in [(1, 10), (3, 1000), (16, 17), (16, 5)] {
            let numbers: Vec<u64> = all(1, sessions, commands).iter().map(|(n, _)| *n).collect();
            let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
            assert_eq!(numbers.len() as u64, commands);
            assert!(distinct.into_iter().eq(0..commands));
        }
    }

    #[test]
    fn the_flow_has_all_kinds_of_commands_in_sensible_shares() {
        let commands = all(3, 8, 40_000);
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, command) in &commands {
            *kinds.entry(command.name()).or_default() += 1;
        }
        let share = |name: &str| 1000 * kinds[name] / commands.len();
        assert!((400..800).contains(&share("new-order")), "{kinds:?}");
        assert!((100..300).contains(&share("cancel-order")), "{kinds:?}");
        assert!((40..150).contains(&share("replace-order")), "{kinds:?}");
        assert!((10..60).contains(&share("transfer")), "{kinds:?}");
        assert!(kinds["deposit"] > 10 && kinds["withdraw"] > 10, "{kinds:?}");
    }

    #[test]
    fn prices_stay_near_where_they_began() {
        let mut walk = Walk::new(11);
        for _ in 0..1_000_000 {
            walk.step();
            for (mid, market) in walk.mids.iter().zip(&MARKETS) {
                assert!(*mid > market.start / 2 && *mid < market.start * 2);
            }
        }
    }
}
