//! `outcry account`: an account's balances and open orders.

use super::connect::{Connection, Link};
use super::output::{Align, Table};
use super::venue::{self, Venue};
use super::{Failure, Global, Outcome};
use crate::client::Reply;
use crate::timestamp::Rfc3339;
use crate::types::{AccountId, OrderId};
use crate::wire::query::{AccountView, BalanceRow, OrderRow};
use serde::Serialize;

/// Shows an account's balances and open orders
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry account 2\n  outcry account 3 --json",
    after_help = "Balances of zero are left out. The balances are those at the sequence shown; where \
                  there are many orders they come in pages, and those that arrive meanwhile count."
)]
pub(super) struct Args {
    /// The account
    #[arg(value_name = "ID")]
    account: u64,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct AssetRow {
    asset: String,
    available: String,
    frozen: String,
}

#[derive(Debug, Serialize)]
struct OpenOrder {
    order_id: u64,
    client_order_id: u64,
    symbol: String,
    side: &'static str,
    price: String,
    quantity: String,
    filled: String,
    leaves: String,
    /// Of a stop that waits.
    stop_price: Option<String>,
    /// Of an iceberg.
    display_quantity: Option<String>,
    /// Of an order that ends by itself.
    expires: Option<String>,
}

impl OpenOrder {
    /// What few orders have, in words.
    fn terms(&self) -> String {
        let stop = self.stop_price.as_ref().map(|price| format!("stop {price}"));
        let display = self.display_quantity.as_ref().map(|lots| format!("shows {lots}"));
        let expires = self.expires.as_ref().map(|time| format!("until {time}"));
        let words: Vec<String> = [stop, display, expires].into_iter().flatten().collect();
        words.join(", ")
    }
}

/// The account, as a script reads it.
#[derive(Debug, Serialize)]
struct Account {
    account: u64,
    sequence: u64,
    assets: Vec<AssetRow>,
    orders: Vec<OpenOrder>,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let mut link = Link::open(&args.connection, global, "account")?;
    let mut account =
        Account { account: args.account, sequence: 0, assets: Vec::new(), orders: Vec::new() };
    let mut after = OrderId(0);
    while let Some(next) = page(&mut link, &mut account, after)? {
        after = next;
    }
    show(&account, global);
    link.close();
    Ok(())
}

/// Adds a page; the order after which the next one begins.
fn page(
    link: &mut Link,
    account: &mut Account,
    after: OrderId,
) -> Result<Option<OrderId>, Failure> {
    let question = format!("asking for account {}", account.account);
    let id = AccountId(account.account);
    let request = link
        .client
        .account(id, after)
        .map_err(|error| Failure::node(format_args!("{question}: {error}")))?;
    let rows = link.wait(request, |reply| match reply {
        Reply::Account { request: found, view } if *found == request => Some(rows(view)),
        _ => None,
    });
    let (sequence, more, balances, orders) = rows.map_err(|lost| lost.of_query(&question))?;
    if after == OrderId(0) {
        account.sequence = sequence;
    }
    let venue = &link.venue;
    account.assets.extend(balances.iter().filter_map(|row| asset_row(venue, row)));
    account.orders.extend(orders.iter().filter_map(|row| open_order(venue, row)));
    Ok(orders.last().filter(|_| more).map(|order| order.order_id))
}

type Rows = (u64, bool, Vec<BalanceRow>, Vec<OrderRow>);

fn rows(view: &AccountView<'_>) -> Rows {
    let (head, balances, orders) = (&view.head, view.balances.iter(), view.orders.iter());
    (head.sequence.0, head.more, balances.collect(), orders.collect())
}

fn asset_row(venue: &Venue, row: &BalanceRow) -> Option<AssetRow> {
    let asset = venue.asset_of(row.asset)?;
    Some(AssetRow {
        asset: asset.symbol.clone(),
        available: venue::amount(asset, row.available),
        frozen: venue::amount(asset, row.frozen),
    })
}

fn open_order(venue: &Venue, row: &OrderRow) -> Option<OpenOrder> {
    let instrument = venue.instrument_of(row.instrument)?;
    Some(OpenOrder {
        order_id: row.order_id.0,
        client_order_id: row.client_order_id.0,
        symbol: instrument.symbol.clone(),
        side: row.side.as_str(),
        price: venue::price(instrument, row.price),
        quantity: venue::quantity(instrument, row.quantity),
        filled: venue::quantity(instrument, row.filled),
        leaves: venue::quantity(instrument, row.leaves),
        stop_price: (row.stop_price.0 != 0).then(|| venue::price(instrument, row.stop_price)),
        display_quantity: (row.display_quantity.0 != 0)
            .then(|| venue::quantity(instrument, row.display_quantity)),
        expires: (row.expires.0 != 0).then(|| Rfc3339(row.expires).to_string()),
    })
}

fn show(account: &Account, global: &Global) {
    let output = global.output();
    if output.is_json() {
        output.object(account);
        return;
    }
    output.line(format_args!("account {} at sequence {}", account.account, account.sequence));
    let mut table = Table::new(&[
        ("ASSET", Align::Left),
        ("AVAILABLE", Align::Right),
        ("FROZEN", Align::Right),
    ]);
    for AssetRow { asset, available, frozen } in &account.assets {
        table.row([asset.clone(), available.clone(), frozen.clone()]);
    }
    output.table(&table);
    if account.orders.is_empty() {
        output.line("no open orders");
        return;
    }
    let mut table = Table::new(&[
        ("ORDER", Align::Right),
        ("CLIENT", Align::Right),
        ("SYMBOL", Align::Left),
        ("SIDE", Align::Left),
        ("PRICE", Align::Right),
        ("QUANTITY", Align::Right),
        ("FILLED", Align::Right),
        ("LEAVES", Align::Right),
        ("TERMS", Align::Left),
    ]);
    for order in &account.orders {
        table.row([
            order.order_id.to_string(),
            order.client_order_id.to_string(),
            order.symbol.clone(),
            order.side.to_owned(),
            order.price.clone(),
            order.quantity.clone(),
            order.filled.clone(),
            order.leaves.clone(),
            order.terms(),
        ]);
    }
    output.table(&table);
}
