//! What a message costs in the book alone, ours beside others: `cargo bench --bench book`.
//!
//! Ten workloads: five price paths, each with an order's messages right after one another and with
//! thousands of others in between. Every entrant gets the same messages; its trades are compared
//! with the naive model's first, and one that differs does not count in that workload. Time is the
//! thread's own, from the first message to the last, the best of some passes in turn. Then: bytes of
//! memory an order, what building and cancelling costs with ten thousand and with ten million
//! orders, and what queries cost.
//!
//! `cargo bench --bench book -- ours 20 static` runs only ours, 20 passes, one price path; `-- scale` only the second part.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "book/naive.rs"]
mod naive;
#[path = "book/others.rs"]
mod others;
#[path = "book/reference.rs"]
mod reference;
#[path = "book/workload.rs"]
mod workload;

use openoutcry::exchange::{BareBook, BareCommand, BareEvent};
use openoutcry::sys::clock::thread_time;
use openoutcry::types::{OrderId, Price, Quantity, Side, TimeInForce};
use others::{Lobster, Matchcore};
use reference::Reference;
use std::hint::black_box;
use std::time::Duration;
use workload::{Fill, INSTRUMENT, PATHS, Random, Workload, fill_of};

/// Live orders that our book has room for, as the exchange has by default.
const ORDERS_MAX: usize = 1 << 20;
/// Messages that are handed over at a time.
const BATCH: usize = 256;

/// Processor time that an entrant may take for a workload: who needs more is two orders of magnitude
/// away, and the bench has to end.
const PASS_MAX: Duration = Duration::from_secs(5);

fn timed(work: impl FnOnce()) -> Duration {
    let started = thread_time();
    work();
    thread_time().saturating_sub(started)
}

/// A book whose memory is there.
fn ours(orders_max: usize) -> BareBook {
    let book = BareBook::new(1, orders_max);
    book.memory().iter().for_each(|region| region.make_resident());
    book
}

fn run_ours(book: &mut BareBook, messages: &[BareCommand], mut told: impl FnMut(&[BareEvent])) {
    for batch in messages.chunks(BATCH) {
        told(black_box(book.apply(batch)));
    }
}

fn run_reference(messages: &[BareCommand], mut told: impl FnMut(&[BareEvent])) {
    let mut book = Reference::default();
    let mut events = Vec::with_capacity(1 << 16);
    for batch in messages.chunks(BATCH) {
        events.clear();
        batch.iter().for_each(|message| book.apply(message, &mut events));
        told(black_box(&events));
    }
    black_box(&book.count());
}

const NAMES: [&str; 4] = ["ours", "reference", "matchcore", "lobster"];

/// An entrant's messages, made ready.
enum Entrant<'a> {
    Ours(&'a Workload),
    Reference(&'a Workload),
    Matchcore(Matchcore),
    Lobster(Lobster),
}

impl Entrant<'_> {
    fn new<'a>(name: &str, workload: &'a Workload) -> Entrant<'a> {
        match name {
            "ours" => Entrant::Ours(workload),
            "reference" => Entrant::Reference(workload),
            "matchcore" => Entrant::Matchcore(Matchcore::new(workload)),
            _ => Entrant::Lobster(Lobster::new(workload)),
        }
    }

    fn pass(&self) -> Duration {
        match self {
            Entrant::Ours(workload) => {
                let mut book = ours(ORDERS_MAX);
                timed(|| run_ours(&mut book, &workload.messages, |_| ()))
            }
            Entrant::Reference(workload) => timed(|| run_reference(&workload.messages, |_| ())),
            Entrant::Matchcore(entrant) => timed(|| entrant.run(|_| ())),
            Entrant::Lobster(entrant) => timed(|| {
                entrant.run(|_| ());
            }),
        }
    }

    /// The trades, if they are told within bearable time.
    fn fills(&self) -> Option<Vec<Fill>> {
        let mut fills = Vec::new();
        let told = |events: &[BareEvent]| fills.extend(events.iter().filter_map(fill_of));
        match self {
            Entrant::Ours(workload) => {
                let mut book = ours(ORDERS_MAX);
                run_ours(&mut book, &workload.messages, told);
                book.check();
            }
            Entrant::Reference(workload) => run_reference(&workload.messages, told),
            Entrant::Matchcore(entrant) => return Some(entrant.fills()),
            Entrant::Lobster(entrant) => return entrant.fills(),
        }
        Some(fills)
    }
}

/// What became of an entrant: nanoseconds a message, if it counts.
#[derive(Clone, Copy)]
enum Outcome {
    Cost(f64),
    /// Its trades are not those of the naive model.
    Differs,
    /// It needed more than [`PASS_MAX`].
    Slow,
}

impl Outcome {
    fn cost(self) -> Option<f64> {
        if let Outcome::Cost(cost) = self { Some(cost) } else { None }
    }

    fn text(self) -> String {
        match self {
            Outcome::Cost(cost) => format!("{cost:.1}"),
            Outcome::Differs => "differs".into(),
            Outcome::Slow => {
                format!("> {:.0}", PASS_MAX.as_nanos() as f64 / workload::COUNT as f64)
            }
        }
    }
}

/// Runs a workload and prints its line.
fn compare(workload: &Workload, names: &[&str], passes: usize) -> Vec<Outcome> {
    let entrants: Vec<_> = names.iter().map(|name| Entrant::new(name, workload)).collect();
    let mut outcomes: Vec<Outcome> = entrants
        .iter()
        .map(|entrant| match entrant.fills() {
            None => Outcome::Slow,
            Some(fills) if fills == workload.fills => Outcome::Cost(f64::MAX),
            Some(_) => Outcome::Differs,
        })
        .collect();
    for _ in 0..passes {
        for (entrant, outcome) in entrants.iter().zip(&mut outcomes) {
            if let Outcome::Cost(best) = outcome {
                let cost = entrant.pass().as_nanos() as f64 / workload.messages.len() as f64;
                *best = best.min(cost);
            }
        }
    }
    line(&workload.name, names, &outcomes);
    outcomes
}

fn line(name: &str, names: &[&str], outcomes: &[Outcome]) {
    print!("{name:<24}");
    for (name, outcome) in names.iter().zip(outcomes) {
        print!(" {:>width$}", outcome.text(), width = name.len().max(9));
    }
    let rival = outcomes[1..].iter().filter_map(|outcome| outcome.cost()).reduce(f64::min);
    if let (Some(ours), Some(rival)) = (outcomes[0].cost(), rival) {
        print!("   {:.2}", rival / ours);
    }
    println!();
}

fn workloads(names: &[&str], passes: usize, only: Option<&str>) {
    println!("nanoseconds a message, thread time; best of {passes} passes");
    print!("{:<24}", "workload");
    names.iter().for_each(|name| print!(" {name:>width$}", width = name.len().max(9)));
    println!("   best other / ours");
    let mut worst = vec![Outcome::Cost(0.0); names.len()];
    for path in PATHS {
        for interleaved in [false, true] {
            if only.is_some_and(|only| !path.0.starts_with(only)) {
                continue;
            }
            let workload = Workload::new(path, interleaved);
            for (worst, outcome) in worst.iter_mut().zip(compare(&workload, names, passes)) {
                *worst = match (*worst, outcome) {
                    (Outcome::Cost(one), Outcome::Cost(other)) => Outcome::Cost(one.max(other)),
                    (Outcome::Cost(_), other) => other,
                    (one, _) => one,
                };
            }
            println!("    {}", workload.mix());
        }
    }
    line("worst of the ten", names, &worst);
}

fn order_of(number: u64, random: &mut Random) -> BareCommand {
    let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
    let away = 1 + random.below(1000) as i64;
    BareCommand::New {
        order: OrderId(number),
        instrument: INSTRUMENT,
        side,
        time_in_force: TimeInForce::Gtc,
        price: Price(if side == Side::Buy { 100_000 - away } else { 100_000 + away }),
        quantity: Quantity(1 + random.below(100) as i64),
    }
}

/// Builds so many orders, and cancels them in the order of `shuffled` or of entering: nanoseconds a
/// message for each, and bytes an order.
fn build_and_cancel(count: usize, shuffled: bool) -> (f64, f64, f64) {
    let mut random = Random(7);
    let rounds = (1_000_000 / count).max(1);
    let mut book = ours(count);
    let (mut building, mut canceling) = (Duration::ZERO, Duration::ZERO);
    let mut bytes = 0;
    for round in 0..rounds {
        let first = (round * count) as u64 + 1;
        let numbers = first..first + count as u64;
        let mut cancels: Vec<BareCommand> =
            numbers.clone().map(|number| BareCommand::Cancel { order: OrderId(number) }).collect();
        if shuffled {
            for at in (1..cancels.len()).rev() {
                cancels.swap(at, random.below(at as u64 + 1) as usize);
            }
        }
        let news: Vec<BareCommand> = numbers.map(|number| order_of(number, &mut random)).collect();
        building += timed(|| run_ours(&mut book, &news, |_| ()));
        assert_eq!(book.order_count(), count);
        bytes = book.touched_bytes();
        canceling += timed(|| run_ours(&mut book, &cancels, |_| ()));
        assert_eq!(book.order_count(), 0);
    }
    let each = |time: Duration| time.as_nanos() as f64 / (rounds * count) as f64;
    (each(building), each(canceling), bytes as f64 / count as f64)
}

fn scale() {
    println!(
        "\nnanoseconds to enter and to cancel an order among others, 2,000 levels; bytes an order"
    );
    for shuffled in [false, true] {
        for count in [10_000, 100_000, 1_000_000, 10_000_000] {
            let (building, canceling, bytes) = build_and_cancel(count, shuffled);
            let how = if shuffled { "at random" } else { "in order" };
            println!(
                "{count:>10} orders: enter {building:.1}, cancel {how} {canceling:.1}, both {:.1} a \
                 message; {bytes:.1} bytes",
                (building + canceling) / 2.0
            );
        }
    }
}

fn queries() {
    const COUNT: u64 = 5_000_000;
    let mut book = ours(ORDERS_MAX);
    let mut random = Random(9);
    let news: Vec<BareCommand> =
        (1..=100_000).map(|number| order_of(number, &mut random)).collect();
    run_ours(&mut book, &news, |_| ());
    let prices: Vec<Price> = (0..4096).map(|_| Price(99_000 + random.below(2000) as i64)).collect();
    let best = timed(|| {
        for _ in 0..COUNT {
            black_box(black_box(&book).best(INSTRUMENT, Side::Buy));
        }
    });
    let depth = timed(|| {
        for at in 0..COUNT as usize {
            black_box(black_box(&book).depth(INSTRUMENT, prices[at % prices.len()]));
        }
    });
    let each = |time: Duration| time.as_nanos() as f64 / COUNT as f64;
    println!(
        "\nqueries beside 100,000 orders: best {:.1} ns, depth {:.1} ns",
        each(best),
        each(depth)
    );
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let passes = words.iter().find_map(|word| word.parse().ok()).unwrap_or(5);
    let mut names: Vec<&str> =
        NAMES.into_iter().filter(|name| words.iter().any(|word| word == name)).collect();
    let only = words
        .iter()
        .map(String::as_str)
        .find(|word| PATHS.iter().any(|path| path.0.starts_with(word)));
    let only_scale = words.iter().any(|word| word == "scale");
    if !only_scale {
        let all = names.is_empty();
        if all {
            names.extend(NAMES);
        }
        workloads(&names, passes, only);
        if !all {
            return;
        }
    }
    scale();
    queries();
}
