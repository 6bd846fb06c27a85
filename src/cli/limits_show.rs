//! `outcry limits show`: the limits in force, and how much of limited positions is used.

use super::connect::{Connection, Link};
use super::output::{Align, Output, Table};
use super::venue::{self, Venue};
use super::{Failure, Global, Outcome};
use crate::client::Reply;
use crate::exchange::LimitsPlace;
use crate::types::{AccountId, InstrumentId, Quantity};
use crate::wire::limits::LimitsView;
use crate::wire::query::{LimitsRow, PositionLimitRow};
use serde::Serialize;
use serde_json::json;

/// Shows limits of accounts, limited positions and collars; those of its own accounts to any key
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  \
    outcry limits show\n  \
    outcry limits show --account 2 --symbol BTC-USDT\n  \
    outcry limits show --json",
    after_help = "Only what is limited is shown: accounts that say more than their number, limited \
                  positions, and, where no account is named, collars. An operator sees all, another key \
                  its own accounts. Much comes in pages, each as it is at its own sequence."
)]
pub(super) struct ShowArgs {
    /// Limits and positions of this account alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    account: Option<u64>,
    /// Collar and positions of this instrument alone
    #[arg(long, value_name = "SYMBOL")]
    symbol: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// What is limited, as a script reads it; 0 is no limit.
#[derive(Debug, Serialize)]
#[serde(tag = "limits", rename_all = "lowercase")]
enum Row {
    Collar {
        symbol: String,
        collar_bps: u32,
        sequence: u64,
    },
    Account {
        account: u64,
        group: u32,
        self_trade: &'static str,
        /// In lots of whatever instrument an order is for.
        quantity_max_lots: i64,
        /// In smallest units of what pays.
        notional_max_units: i64,
        open_orders_max: u32,
        rate_per_s: u32,
        rate_burst: u32,
        /// Symbols.
        restricted: Vec<String>,
        sequence: u64,
    },
    Position {
        account: u64,
        symbol: String,
        position: String,
        open_buy: String,
        open_sell: String,
        net_max: String,
        gross_max: String,
        sequence: u64,
    },
}

/// What a page holds: the sequence it was read at, its rows, and where the next one begins.
struct Page {
    sequence: u64,
    rows: Vec<Row>,
    next: Option<LimitsPlace>,
}

pub(super) fn run(args: &ShowArgs, global: &Global) -> Outcome {
    let mut link = Link::open(&args.connection, global, "limits")?;
    let instrument = match &args.symbol {
        Some(symbol) => link.venue.instrument(symbol).map_err(Failure::usage)?.id,
        None => InstrumentId(0),
    };
    let account = AccountId(args.account.unwrap_or(0));
    let output = global.output();
    let (mut after, mut rows, mut count) = (LimitsPlace::default(), Vec::new(), 0);
    let (mut first, mut last) = (None, 0);
    loop {
        let page = ask(&mut link, account, instrument, after)?;
        first.get_or_insert(page.sequence);
        last = page.sequence.max(last);
        count += page.rows.len() as u64;
        if output.is_json() {
            page.rows.iter().for_each(|row| output.object(row));
        } else {
            rows.extend(page.rows);
        }
        match page.next {
            Some(next) if next != after => after = next,
            _ => break,
        }
    }
    link.close();
    if output.is_json() {
        output.object(&json!({ "count": count, "next": null, "sequence": last }));
    } else {
        show(&rows, (first.unwrap_or(last), last), output);
    }
    Ok(())
}

fn ask(
    link: &mut Link,
    account: AccountId,
    instrument: InstrumentId,
    after: LimitsPlace,
) -> Result<Page, Failure> {
    let question = match account.0 {
        0 => "asking for limits".to_owned(),
        _ => format!("asking for limits of account {account}"),
    };
    let request = link
        .client
        .limits(account, instrument, after)
        .map_err(|error| Failure::node(format_args!("{question}: {error}")))?;
    // The rows need symbols and scales, which the link keeps.
    let venue = std::mem::take(&mut link.venue);
    let page = link.wait(request, |reply| match reply {
        Reply::Limits { request: found, view } if *found == request => Some(page(&venue, view)),
        _ => None,
    });
    link.venue = venue;
    page.map_err(|lost| lost.of_query(&question))
}

fn page(venue: &Venue, view: &LimitsView<'_>) -> Page {
    let sequence = view.head.sequence.0;
    let collars = view.collars.iter().map(|row| Row::Collar {
        symbol: symbol(venue, row.instrument),
        collar_bps: row.collar_bps,
        sequence,
    });
    let accounts = view.accounts().map(|(row, restricted)| {
        let restricted = restricted.into_iter().map(|id| symbol(venue, id)).collect();
        account_row(&row, restricted, sequence)
    });
    let positions = view.positions.iter().map(|row| position_row(venue, &row, sequence));
    let rows = collars.chain(accounts).chain(positions).collect();
    Page { sequence, rows, next: view.next() }
}

/// An instrument's symbol; its number where this client does not know it.
fn symbol(venue: &Venue, id: InstrumentId) -> String {
    venue.instrument_of(id).map_or_else(|| id.to_string(), |found| found.symbol.clone())
}

fn account_row(row: &LimitsRow, restricted: Vec<String>, sequence: u64) -> Row {
    Row::Account {
        account: row.account.0,
        group: row.group,
        self_trade: row.self_trade.as_str(),
        quantity_max_lots: row.quantity_max.0,
        notional_max_units: row.notional_max.0,
        open_orders_max: row.open_orders_max,
        rate_per_s: row.rate_per_s,
        rate_burst: row.rate_burst,
        restricted,
        sequence,
    }
}

fn position_row(venue: &Venue, row: &PositionLimitRow, sequence: u64) -> Row {
    let instrument = venue.instrument_of(row.instrument);
    let text = |lots: Quantity| {
        instrument.map_or_else(|| lots.to_string(), |found| venue::quantity(found, lots))
    };
    Row::Position {
        account: row.account.0,
        symbol: symbol(venue, row.instrument),
        position: text(row.position),
        open_buy: text(row.open_buy),
        open_sell: text(row.open_sell),
        net_max: text(row.net_max),
        gross_max: text(row.gross_max),
        sequence,
    }
}

fn show(rows: &[Row], (first, last): (u64, u64), output: Output) {
    let of = if first == last { String::new() } else { format!("{first} to ") };
    output.line(format_args!("limits at sequence {of}{last}"));
    let [mut collars, mut accounts, mut positions] = tables();
    let mut counts = [0; 3];
    for row in rows {
        match row {
            Row::Collar { symbol, collar_bps, .. } => {
                counts[0] += 1;
                collars.row([symbol.clone(), collar_bps.to_string()]);
            }
            Row::Account {
                account,
                group,
                self_trade,
                quantity_max_lots,
                notional_max_units,
                open_orders_max,
                rate_per_s,
                rate_burst,
                restricted,
                ..
            } => {
                counts[1] += 1;
                accounts.row([
                    account.to_string(),
                    limit(*group),
                    (*self_trade).to_owned(),
                    limit(*quantity_max_lots),
                    limit(*notional_max_units),
                    limit(*open_orders_max),
                    limit(*rate_per_s),
                    limit(*rate_burst),
                    restricted.join(", "),
                ]);
            }
            Row::Position {
                account,
                symbol,
                position,
                open_buy,
                open_sell,
                net_max,
                gross_max,
                ..
            } => {
                counts[2] += 1;
                positions.row([
                    account.to_string(),
                    symbol.clone(),
                    position.clone(),
                    open_buy.clone(),
                    open_sell.clone(),
                    limit(net_max),
                    limit(gross_max),
                ]);
            }
        }
    }
    for (table, _) in [collars, accounts, positions].iter().zip(counts).filter(|(_, n)| *n > 0) {
        output.table(table);
    }
    if rows.is_empty() {
        output.line("nothing is limited");
    }
}

/// Tables of collars, accounts and positions, without rows.
fn tables() -> [Table; 3] {
    let collars = Table::new(&[("SYMBOL", Align::Left), ("COLLAR BPS", Align::Right)]);
    let accounts = Table::new(&[
        ("ACCOUNT", Align::Right),
        ("GROUP", Align::Right),
        ("SELF-TRADE", Align::Left),
        ("QUANTITY (LOTS)", Align::Right),
        ("NOTIONAL (UNITS)", Align::Right),
        ("ORDERS", Align::Right),
        ("RATE/S", Align::Right),
        ("BURST", Align::Right),
        ("RESTRICTED", Align::Left),
    ]);
    let positions = Table::new(&[
        ("ACCOUNT", Align::Right),
        ("SYMBOL", Align::Left),
        ("POSITION", Align::Right),
        ("OPEN BUY", Align::Right),
        ("OPEN SELL", Align::Right),
        ("NET MAX", Align::Right),
        ("GROSS MAX", Align::Right),
    ]);
    [collars, accounts, positions]
}

/// A limit for a person: 0 is none.
fn limit(value: impl std::fmt::Display) -> String {
    let text = value.to_string();
    if text == "0" { "-".to_owned() } else { text }
}
