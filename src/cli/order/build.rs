//! From what a person wrote to a command, exactly: symbols become ids, decimal text becomes ticks, lots
//! and units.

use super::{CancelArgs, DepositArgs, NewArgs, ReplaceArgs, TransferArgs, WithdrawArgs};
use crate::cli::venue::{self, Venue};
use crate::command::{
    CancelOrder, Command, Deposit, NewOrder, POST_ONLY, ReplaceOrder, Transfer, Withdraw,
};
use crate::genesis::Instrument;
use crate::types::{AccountId, ClientOrderId, OrderId, OrderType, Price, Side, TimeInForce};

/// A value that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    /// The column of a file that holds the value.
    pub(super) column: &'static str,
    /// The field and the rule it broke.
    pub(super) text: String,
}

/// Which order a cancel or replace means: its own number or, where that is 0, the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Which {
    pub(super) order_id: u64,
    pub(super) orig_client_order_id: u64,
}

/// A command as it was written, before the venue is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request<'a> {
    New {
        account: u64,
        symbol: &'a str,
        side: Side,
        order_type: OrderType,
        /// None for what is usual: gtc, of a market order ioc.
        tif: Option<TimeInForce>,
        post_only: bool,
        /// A market order needs none.
        price: Option<&'a str>,
        quantity: &'a str,
        client_order_id: u64,
    },
    Cancel {
        account: u64,
        symbol: &'a str,
        which: Which,
    },
    Replace {
        account: u64,
        symbol: &'a str,
        which: Which,
        price: &'a str,
        quantity: &'a str,
    },
    Deposit {
        account: u64,
        asset: &'a str,
        amount: &'a str,
    },
    Withdraw {
        account: u64,
        asset: &'a str,
        amount: &'a str,
    },
    Transfer {
        from: u64,
        to: u64,
        asset: &'a str,
        amount: &'a str,
    },
}

impl<'a> Request<'a> {
    pub(super) fn new_order(args: &'a NewArgs) -> Request<'a> {
        Request::New {
            account: args.account,
            symbol: &args.symbol,
            side: args.side,
            order_type: args.order_type,
            tif: args.tif,
            post_only: args.post_only,
            price: args.price.as_deref(),
            quantity: &args.quantity,
            client_order_id: args.client_order_id,
        }
    }

    pub(super) fn cancel(args: &'a CancelArgs) -> Request<'a> {
        let which = Which {
            order_id: args.order_id.unwrap_or(0),
            orig_client_order_id: args.orig_client_order_id.unwrap_or(0),
        };
        Request::Cancel { account: args.account, symbol: &args.symbol, which }
    }

    pub(super) fn replace(args: &'a ReplaceArgs) -> Request<'a> {
        let which = Which {
            order_id: args.order_id.unwrap_or(0),
            orig_client_order_id: args.orig_client_order_id.unwrap_or(0),
        };
        let (price, quantity) = (&args.price, &args.quantity);
        Request::Replace { account: args.account, symbol: &args.symbol, which, price, quantity }
    }

    pub(super) fn deposit(args: &'a DepositArgs) -> Request<'a> {
        Request::Deposit { account: args.account, asset: &args.asset, amount: &args.amount }
    }

    pub(super) fn withdraw(args: &'a WithdrawArgs) -> Request<'a> {
        Request::Withdraw { account: args.account, asset: &args.asset, amount: &args.amount }
    }

    pub(super) fn transfer(args: &'a TransferArgs) -> Request<'a> {
        Request::Transfer { from: args.from, to: args.to, asset: &args.asset, amount: &args.amount }
    }

    /// The command, in the venue's numbers.
    pub(super) fn build(&self, venue: &Venue) -> Result<Command, FieldError> {
        let of = |column| move |text| FieldError { column, text };
        let instrument = |symbol| venue.instrument(symbol).map_err(of("symbol"));
        let price_of = |i, text| venue::parse_price(i, text).map_err(of("price"));
        let quantity_of = |i, text| venue::parse_quantity(i, text).map_err(of("quantity"));
        let money = |symbol, text| {
            let asset = venue.asset(symbol).map_err(of("asset"))?;
            let amount = venue::parse_amount(asset, text).map_err(of("amount"))?;
            Ok((asset.id, amount))
        };
        Ok(match *self {
            Request::New {
                account,
                symbol,
                side,
                order_type,
                tif,
                post_only,
                price,
                quantity,
                client_order_id,
            } => {
                let instrument = instrument(symbol)?;
                NewOrder {
                    account: AccountId(account),
                    instrument: instrument.id,
                    side,
                    order_type,
                    time_in_force: tif.unwrap_or(usual_tif(order_type)),
                    flags: if post_only { POST_ONLY } else { 0 },
                    price: limit(order_type, instrument, price)?,
                    quantity: quantity_of(instrument, quantity)?,
                    client_order_id: ClientOrderId(client_order_id),
                }
                .into()
            }
            Request::Cancel { account, symbol, which } => CancelOrder {
                account: AccountId(account),
                instrument: instrument(symbol)?.id,
                order_id: OrderId(which.order_id),
                orig_client_order_id: ClientOrderId(which.orig_client_order_id),
            }
            .into(),
            Request::Replace { account, symbol, which, price, quantity } => {
                let instrument = instrument(symbol)?;
                ReplaceOrder {
                    account: AccountId(account),
                    instrument: instrument.id,
                    order_id: OrderId(which.order_id),
                    price: price_of(instrument, price)?,
                    quantity: quantity_of(instrument, quantity)?,
                    orig_client_order_id: ClientOrderId(which.orig_client_order_id),
                }
                .into()
            }
            Request::Deposit { account, asset, amount } => {
                let (asset, amount) = money(asset, amount)?;
                Deposit { account: AccountId(account), asset, amount }.into()
            }
            Request::Withdraw { account, asset, amount } => {
                let (asset, amount) = money(asset, amount)?;
                Withdraw { account: AccountId(account), asset, amount }.into()
            }
            Request::Transfer { from, to, asset, amount } => {
                let (asset, amount) = money(asset, amount)?;
                Transfer { from: AccountId(from), to: AccountId(to), asset, amount }.into()
            }
        })
    }
}

/// Time in force of an order of which nothing is said.
const fn usual_tif(order_type: OrderType) -> TimeInForce {
    match order_type {
        OrderType::Limit | OrderType::Stop | OrderType::StopLimit => TimeInForce::Gtc,
        OrderType::Market => TimeInForce::Ioc,
    }
}

/// The price of an order; 0 for a market order without one.
fn limit(
    order_type: OrderType,
    instrument: &Instrument,
    price: Option<&str>,
) -> Result<Price, FieldError> {
    let failed = |text| FieldError { column: "price", text };
    match price {
        Some(text) => venue::parse_price(instrument, text).map_err(failed),
        None if order_type == OrderType::Market => Ok(Price(0)),
        None => Err(failed("price: a limit order needs one".to_owned())),
    }
}
