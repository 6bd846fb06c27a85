//! `outcry book`: the book of an instrument, now.

use super::connect::{Connection, Link};
use super::output::{Align, Style, Table};
use super::venue;
use super::{Failure, Global, Outcome};
use crate::client::Reply;
use crate::genesis::Instrument;
use crate::types::{Price, Quantity, Side};
use crate::wire::query::{BookHead, BookRows};
use serde::Serialize;

/// Shows a book
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry book BTC-USDT\n  outcry book BTC-USDT --depth 5 --json\n  \
                   outcry book BTC-USDT --orders"
)]
pub(super) struct Args {
    /// The instrument
    #[arg(value_name = "SYMBOL")]
    symbol: String,
    /// Levels a side; 0 for as many as an answer holds
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=256))]
    depth: u16,
    /// Single orders instead of levels
    #[arg(long)]
    orders: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A level as `[price, quantity, orders]`, or an order as `[price, quantity, order_id]`.
type Row = (String, String, u64);

/// The book, as a script reads it.
#[derive(Debug, Serialize)]
struct Book {
    symbol: String,
    sequence: u64,
    last: Option<String>,
    bids: Vec<Row>,
    asks: Vec<Row>,
    /// There is more than was asked for or fits.
    more: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let mut link = Link::open(&args.connection, global, "book")?;
    let instrument = link.venue.instrument(&args.symbol).map_err(Failure::usage)?.clone();
    let question = format!("asking for the book of {}", args.symbol);
    let request = link
        .client
        .book(instrument.id, args.depth, args.orders)
        .map_err(|error| Failure::node(format_args!("{question}: {error}")))?;
    let book = link.wait(request, |reply| match reply {
        Reply::Book { request: found, view } if *found == request => {
            Some(Book::of(&instrument, &view.head, &view.rows))
        }
        _ => None,
    });
    let book = book.map_err(|lost| lost.of_query(&question))?;
    show(&book, args.orders, global);
    link.close();
    Ok(())
}

impl Book {
    fn of(instrument: &Instrument, head: &BookHead, rows: &BookRows<'_>) -> Book {
        let mut book = Book {
            symbol: instrument.symbol.clone(),
            sequence: head.sequence.0,
            last: (head.last_price.0 != 0).then(|| venue::price(instrument, head.last_price)),
            bids: Vec::new(),
            asks: Vec::new(),
            more: head.more,
        };
        let mut add = |side: Side, price: Price, quantity: Quantity, number: u64| {
            let row =
                (venue::price(instrument, price), venue::quantity(instrument, quantity), number);
            match side {
                Side::Buy => book.bids.push(row),
                Side::Sell => book.asks.push(row),
            }
        };
        match rows {
            BookRows::Levels(rows) => {
                rows.iter().for_each(|row| {
                    add(row.side, row.price, row.quantity, u64::from(row.orders));
                });
            }
            BookRows::Orders(rows) => {
                rows.iter().for_each(|row| add(row.side, row.price, row.quantity, row.order_id.0));
            }
        }
        book
    }
}

fn show(book: &Book, orders: bool, global: &Global) {
    let output = global.output();
    if output.is_json() {
        output.object(book);
        return;
    }
    let last = book.last.as_deref().unwrap_or("none");
    output.line(format_args!("{}, last {last}, at sequence {}", book.symbol, book.sequence));
    let number = if orders { "ORDER" } else { "ORDERS" };
    let mut table = Table::new(&[
        (number, Align::Right),
        ("BID", Align::Right),
        ("PRICE", Align::Right),
        ("ASK", Align::Right),
        (number, Align::Right),
    ]);
    // As a trader sees it: the highest price on top, the best prices in the middle.
    for (price, quantity, number) in book.asks.iter().rev() {
        let empty = String::new;
        table.row([empty(), empty(), price.clone(), quantity.clone(), number.to_string()]);
    }
    for (price, quantity, number) in &book.bids {
        let empty = String::new;
        table.row([number.to_string(), quantity.clone(), price.clone(), empty(), empty()]);
    }
    output.table(&table);
    if book.more {
        output.line(output.styled(Style::Dim, "there is more, further from the middle"));
    }
}
