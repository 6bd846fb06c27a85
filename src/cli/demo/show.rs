//! What a person sees: a picture that is redrawn in place on a terminal, a line a second elsewhere,
//! and the proof at the end.

use super::proof::Clause;
use super::venue::{MARKETS, Market};
use crate::cli::output::{Output, Style};
use crate::decimal::Decimal;
use crate::logging::wants_color;
use crate::types::{InstrumentId, Side};
use crate::wire::answer::AnswerFill;
use crate::wire::query::{BookLevel, BookRows, BookView};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// Trades that are shown.
const TRADES_SHOWN: usize = 5;
/// Time between two pictures, and between two lines.
const PICTURE: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(1);
/// How long the picture shows one book before it shows the next.
const BOOK_TURN: Duration = Duration::from_millis(1500);

/// The best levels of a book.
#[derive(Clone, Debug)]
pub(super) struct BookTop {
    market: usize,
    last: i64,
    bids: Vec<BookLevel>,
    asks: Vec<BookLevel>,
}

impl BookTop {
    /// Levels a side.
    pub(super) const DEPTH: u16 = TRADES_SHOWN as u16;

    pub(super) fn of(view: &BookView<'_>) -> BookTop {
        let market = view.head.instrument.0 as usize - 1;
        let mut top =
            BookTop { market, last: view.head.last_price.0, bids: Vec::new(), asks: Vec::new() };
        if let BookRows::Levels(levels) = &view.rows {
            for level in levels.iter() {
                match level.side {
                    Side::Buy => top.bids.push(level),
                    Side::Sell => top.asks.push(level),
                }
            }
        }
        top
    }

    /// Takes the place of an older picture of the same book.
    pub(super) fn put_into(self, books: &mut Vec<BookTop>) {
        match books.iter_mut().find(|book| book.market == self.market) {
            Some(book) => *book = self,
            None => books.push(self),
        }
    }

    fn touch(&self) -> String {
        let market = &MARKETS[self.market];
        let best = |levels: &[BookLevel]| {
            levels.first().map_or("-".into(), |level| price(market, level.price.0))
        };
        format!("{} {} / {}", market.symbol, best(&self.bids), best(&self.asks))
    }
}

/// The last trades.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape(VecDeque<(InstrumentId, AnswerFill)>);

impl Tape {
    pub(super) fn add(&mut self, instrument: InstrumentId, fill: AnswerFill) {
        self.0.truncate(TRADES_SHOWN - 1);
        self.0.push_front((instrument, fill));
    }
}

/// What is shown at one moment.
pub(super) struct View<'a> {
    pub(super) phase: &'a str,
    pub(super) commands: u64,
    pub(super) acknowledged: u64,
    pub(super) rejected: u64,
    pub(super) trades: u64,
    /// Microseconds: the median and the 99th percentile.
    pub(super) latency_us: Option<(f64, f64)>,
    pub(super) books: &'a [BookTop],
    pub(super) tape: &'a Tape,
}

/// The live picture, on stderr.
pub(super) struct Screen {
    in_place: bool,
    color: bool,
    started: Instant,
    next: Instant,
    /// Lines of the picture that stands there.
    drawn: usize,
    before: (Instant, u64),
    per_second: f64,
}

impl Screen {
    pub(super) fn new() -> Screen {
        let stderr = std::io::stderr();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let now = Instant::now();
        Screen {
            in_place: stderr.is_terminal() && !dumb,
            color: wants_color(&stderr),
            started: now,
            next: now,
            drawn: 0,
            before: (now, 0),
            per_second: 0.0,
        }
    }

    /// True where it is time for a new picture.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Says in one line that something has happened, above the picture.
    pub(super) fn say(&mut self, text: &str) {
        self.erase();
        write_err(&format!("{:6.2} s  {text}\n", self.started.elapsed().as_secs_f64()));
    }

    /// Shows the moment.
    pub(super) fn show(&mut self, view: &View<'_>) {
        let now = Instant::now();
        self.next = now + if self.in_place { PICTURE } else { LINE };
        let (then, acknowledged) = self.before;
        let seconds = (now - then).as_secs_f64();
        if seconds > 0.05 {
            self.per_second = (view.acknowledged - acknowledged) as f64 / seconds;
            self.before = (now, view.acknowledged);
        }
        if self.in_place {
            let picture = self.picture(view);
            self.erase();
            self.drawn = picture.lines().count();
            // A line that is too long for the terminal is cut there: wrapped, it would take two.
            write_err(&format!("\x1b[?7l{picture}\x1b[?7h"));
        } else {
            self.say(&self.line(view));
        }
    }

    /// Takes the picture away.
    pub(super) fn erase(&mut self) {
        if self.drawn > 0 {
            write_err(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    fn line(&self, view: &View<'_>) -> String {
        let latency = view
            .latency_us
            .map_or(String::new(), |(p50, p99)| format!(", p50 {p50:.0} µs p99 {p99:.0} µs"));
        let touch = view.books.first().map_or(String::new(), |book| format!(", {}", book.touch()));
        format!(
            "{}: {} of {} acknowledged, {} trades{latency}{touch}",
            view.phase,
            thousands(view.acknowledged),
            thousands(view.commands),
            thousands(view.trades),
        )
    }

    fn picture(&self, view: &View<'_>) -> String {
        let mut text = String::new();
        let seconds = self.started.elapsed().as_secs_f64();
        let mut add = |line: String| {
            writeln!(text, "{line}").expect("writing to a string cannot fail");
        };
        add(String::new());
        add(format!("  {}  {seconds:5.1} s  {}", self.bold("OpenOutcry demo"), view.phase));
        add(format!(
            "  {} {:>9} of {}   {} {}/s   rejected {}   trades {}",
            self.dim("acknowledged"),
            thousands(view.acknowledged),
            thousands(view.commands),
            self.dim("now"),
            thousands(self.per_second as u64),
            thousands(view.rejected),
            thousands(view.trades),
        ));
        add(match view.latency_us {
            Some((p50, p99)) => {
                format!("  {} p50 {p50:.0} µs   p99 {p99:.0} µs", self.dim("latency"))
            }
            None => format!("  {} -", self.dim("latency")),
        });
        add(String::new());
        let turn = self.started.elapsed().as_millis() / BOOK_TURN.as_millis();
        match view.books.get(turn as usize % view.books.len().max(1)) {
            Some(book) => self.book_and_tape(book, view.tape, &mut add),
            None => (0..=TRADES_SHOWN).for_each(|_| add(String::new())),
        }
        text
    }

    fn book_and_tape(&self, book: &BookTop, tape: &Tape, add: &mut impl FnMut(String)) {
        let market = &MARKETS[book.market];
        let last = if book.last == 0 { "-".into() } else { price(market, book.last) };
        let heading = format!("{:^47}", format!("{}  last {last}", market.symbol));
        add(format!("  {}   {}", self.bold(&heading), self.bold("last trades")));
        for row in 0..TRADES_SHOWN {
            let cell = |level: Option<&BookLevel>| match level {
                Some(level) => (quantity(market, level.quantity.0), price(market, level.price.0)),
                None => (String::new(), String::new()),
            };
            let (bid_quantity, bid) = cell(book.bids.get(row));
            let (ask_quantity, ask) = cell(book.asks.get(row));
            let trade = tape.0.get(row).map_or(String::new(), |(instrument, fill)| {
                let market = &MARKETS[instrument.0 as usize - 1];
                let (price, quantity) =
                    (price(market, fill.price.0), quantity(market, fill.quantity.0));
                format!("{:<9} {price:>10} {quantity:>10}", market.symbol)
            });
            add(format!(
                "  {bid_quantity:>12}{}{}{ask_quantity:<12}  {trade}",
                self.paint(Style::Green, &format!("{bid:>11} ")),
                self.paint(Style::Red, &format!(" {ask:<11}")),
            ));
        }
    }

    fn bold(&self, text: &str) -> String {
        self.paint(Style::Bold, text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint(Style::Dim, text)
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.color { style.paint(text) } else { text.to_owned() }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.erase();
    }
}

fn write_err(text: &str) {
    // Whoever closed stderr wants no picture.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn price(market: &Market, ticks: i64) -> String {
    fixed(ticks, market.price_scale)
}

fn quantity(market: &Market, lots: i64) -> String {
    Decimal::of_steps(lots, 1, market.quantity_scale).to_string()
}

/// A price with all its decimal places, so that columns line up.
fn fixed(units: i64, scale: u8) -> String {
    let one = 10i64.pow(u32::from(scale));
    let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    let one = one.unsigned_abs();
    format!("{sign}{}.{:0width$}", units / one, units % one, width = usize::from(scale))
}

/// A count with its thousands apart.
pub(super) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The proof, for a person.
pub(super) fn proof(output: Output, clauses: &[Clause]) {
    for clause in clauses {
        let mark = match clause.holds {
            true => output.styled(Style::Green, "✓"),
            false => output.styled(Style::Red, "✗"),
        };
        output.line(format_args!("  {mark} {}", clause.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(count), text);
        }
    }

    #[test]
    fn prices_keep_all_their_places() {
        for (units, scale, text) in [(5, 2, "0.05"), (-1250, 2, "-12.50"), (4896, 5, "0.04896")] {
            assert_eq!(fixed(units, scale), text);
        }
    }
}
