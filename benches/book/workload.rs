//! The ten workloads: five price paths, each serial and interleaved, from one seeded generator.

use super::naive::Naive;
use openoutcry::exchange::{BareCommand, BareEvent};
use openoutcry::types::{InstrumentId, OrderId, Price, Quantity, Side, TimeInForce};

/// The only instrument.
pub(crate) const INSTRUMENT: InstrumentId = InstrumentId(1);
/// Messages of a workload.
pub(crate) const COUNT: usize = 1_000_000;
/// Price in the middle at the start.
const MIDDLE: f64 = 10_000.0;
/// Orders that wait for their cancel where an order's messages come right after one another.
const ALIVE_SERIAL: usize = 8;
/// The same where thousands of other messages come in between.
const ALIVE_INTERLEAVED: usize = 10_000;

/// How the price moves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path {
    /// A wave of so many percent up and down.
    Waves(u32),
    /// Down by so many percent within a twentieth of the time, and half way back.
    Crash(u32),
}

/// The five paths.
pub(crate) const PATHS: [(&str, Path); 5] = [
    ("static", Path::Waves(0)),
    ("normal 2 %", Path::Waves(2)),
    ("swing 25 %", Path::Waves(25)),
    ("swing 40 %", Path::Waves(40)),
    ("crash 60 %", Path::Crash(60)),
];

impl Path {
    fn middle(self, at: usize) -> i64 {
        let along = at as f64 / COUNT as f64;
        let moved = match self {
            Path::Waves(percent) => (along * std::f64::consts::TAU).sin() * f64::from(percent),
            Path::Crash(percent) => {
                let down = ((along - 0.5) / 0.05).clamp(0.0, 1.0);
                let back = ((along - 0.6) / 0.1).clamp(0.0, 1.0);
                f64::from(percent) * (back / 2.0 - down)
            }
        };
        (MIDDLE * (1.0 + moved / 100.0)) as i64
    }
}

/// A trade: maker, taker, price, quantity.
pub(crate) type Fill = [u64; 4];

/// Messages, and what the naive model makes of them.
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) messages: Vec<BareCommand>,
    /// Whether each message was refused.
    pub(crate) refused: Vec<bool>,
    /// Whether each message enters an order with a number that is in use.
    pub(crate) duplicate: Vec<bool>,
    /// All trades, in order.
    pub(crate) fills: Vec<Fill>,
    /// The most orders alive at once.
    pub(crate) alive_max: usize,
}

/// A small generator of good numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

impl Workload {
    /// Builds a workload: 50 % new orders, 15 % of them immediate, 41 % cancels, 9 % modifies, which
    /// change price and quantity, and of the new orders 2 % with a number that is in use. Most
    /// prices are near the touch.
    pub(crate) fn new(path: (&str, Path), interleaved: bool) -> Workload {
        let mut random = Random(0x0bad_5eed_0bad_5eed);
        let mut naive = Naive::default();
        let mut waiting: Vec<(OrderId, Side, Price)> = Vec::new();
        let alive = if interleaved { ALIVE_INTERLEAVED } else { ALIVE_SERIAL };
        let (mut next, mut is_full) = (0, false);
        let mut made = Workload {
            name: format!("{}, {}", path.0, if interleaved { "interleaved" } else { "serial" }),
            messages: Vec::with_capacity(COUNT),
            refused: Vec::with_capacity(COUNT),
            duplicate: Vec::with_capacity(COUNT),
            fills: Vec::new(),
            alive_max: 0,
        };
        while made.messages.len() < COUNT {
            let middle = path.1.middle(made.messages.len());
            // What rests is near the touch and most often does not cross, what is immediate does.
            let price = |side: Side, into: i64, random: &mut Random| {
                let spread = 1 << random.below(9);
                let away = random.below(spread) as i64 + 1 - into;
                Price(if side == Side::Buy { middle - away } else { middle + away })
            };
            let quantity = Quantity(1 + random.below(100) as i64);
            let shape = random.below(100);
            // One of those that were entered last: the few that are left over stay for ever.
            let drawn = waiting.len().saturating_sub(1)
                - random.below(waiting.len().clamp(1, alive) as u64) as usize;
            is_full |= waiting.len() >= alive;
            let mut is_duplicate = false;
            let message = if shape < 41 && is_full && !waiting.is_empty() {
                let (order, ..) = waiting.swap_remove(drawn);
                BareCommand::Cancel { order }
            } else if (41..50).contains(&shape) && !waiting.is_empty() {
                let (order, side, old) = waiting[drawn];
                // Another price, so that books agree that the order's place is lost.
                let mut price = price(side, 0, &mut random);
                if price == old {
                    price.0 += if side == Side::Buy { -1 } else { 1 };
                }
                waiting[drawn].2 = price;
                BareCommand::Replace { order, price, quantity }
            } else {
                let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
                let live = waiting.get(drawn).filter(|(order, ..)| naive.is_live(*order));
                let again = live.filter(|_| random.below(100) < 2);
                is_duplicate = again.is_some();
                let order = again.map_or_else(
                    || {
                        next += 1;
                        OrderId(next)
                    },
                    |&(order, ..)| order,
                );
                let immediate = random.below(100) < 15;
                let time_in_force = if immediate { TimeInForce::Ioc } else { TimeInForce::Gtc };
                let price = price(side, if immediate { 4 } else { 0 }, &mut random);
                if !is_duplicate && !immediate {
                    waiting.push((order, side, price));
                }
                let instrument = INSTRUMENT;
                BareCommand::New { order, instrument, side, time_in_force, price, quantity }
            };
            let events = naive.apply(&message);
            made.refused.push(matches!(events[0], BareEvent::Rejected { .. }));
            made.fills.extend(events.iter().filter_map(fill_of));
            made.messages.push(message);
            made.duplicate.push(is_duplicate);
            made.alive_max = made.alive_max.max(naive.count());
        }
        made
    }

    /// The mix, in percent: new, cancel, modify, refused, and trades to a message.
    pub(crate) fn mix(&self) -> String {
        let percent = |count: usize| count as f64 * 100.0 / self.messages.len() as f64;
        let of = |is: fn(&BareCommand) -> bool| {
            percent(self.messages.iter().filter(|message| is(message)).count())
        };
        format!(
            "{:.0} % new, {:.0} % cancel, {:.0} % modify, {:.0} % refused, {:.2} trades a message, \
             at most {} orders alive",
            of(|message| matches!(message, BareCommand::New { .. })),
            of(|message| matches!(message, BareCommand::Cancel { .. })),
            of(|message| matches!(message, BareCommand::Replace { .. })),
            percent(self.refused.iter().filter(|&&refused| refused).count()),
            percent(self.fills.len()) / 100.0,
            self.alive_max,
        )
    }
}

/// The trade that an event tells.
pub(crate) fn fill_of(event: &BareEvent) -> Option<Fill> {
    match *event {
        BareEvent::Trade { maker, taker, price, quantity } => {
            Some([maker.0, taker.0, price.0.cast_unsigned(), quantity.0.cast_unsigned()])
        }
        _ => None,
    }
}
