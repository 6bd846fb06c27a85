//! From what a person wrote to a command, exactly: symbols become ids, decimal text becomes ticks, lots
//! and units.

use super::{
    CancelArgs, DepositArgs, MassCancelArgs, NewArgs, ReplaceArgs, TransferArgs, WithdrawArgs,
};
use crate::cli::venue::{self, Venue};
use crate::command::{
    CancelOrder, Command, Deposit, EnterOrder, MassCancel, NewOrder, POST_ONLY, REPRICE,
    ReplaceOrder, Transfer, Withdraw, self_trade_flags,
};
use crate::genesis::Instrument;
use crate::types::{
    AccountId, Amount, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity, SelfTrade,
    SessionId, Side, Sides, TimeInForce, TimeNs,
};

/// A value that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    /// The column of a file that holds the value.
    pub(super) column: &'static str,
    /// The field and the rule it broke.
    pub(super) text: String,
}

impl FieldError {
    /// The error of a command line: its flag is named where the text does not begin with its words.
    pub(super) fn of_flag(self) -> String {
        let FieldError { column, text } = self;
        if text.starts_with(&column.replace('_', " ")) {
            return text;
        }
        format!("--{}: {text}", column.replace('_', "-"))
    }
}

/// An order as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) account: u64,
    pub(super) symbol: &'a str,
    pub(super) side: Side,
    pub(super) order_type: OrderType,
    /// None for what is usual: gtc, of a market order ioc.
    pub(super) tif: Option<TimeInForce>,
    pub(super) post_only: bool,
    pub(super) reprice: bool,
    /// None for what the account's own setting says.
    pub(super) self_trade: Option<SelfTrade>,
    /// A market or stop order needs none.
    pub(super) price: Option<&'a str>,
    /// An order with a budget needs none.
    pub(super) quantity: Option<&'a str>,
    pub(super) stop_price: Option<&'a str>,
    pub(super) display: Option<&'a str>,
    pub(super) min_quantity: Option<&'a str>,
    pub(super) budget: Option<&'a str>,
    pub(super) expires: Option<TimeNs>,
    pub(super) client_order_id: u64,
}

/// Which orders a mass cancel takes: all that every filter given lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filters<'a> {
    pub(super) account: Option<u64>,
    pub(super) symbol: Option<&'a str>,
    pub(super) sides: Sides,
    /// Of this session; `mine` is the one that sends.
    pub(super) session: Option<u32>,
    pub(super) mine: bool,
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
    New(Entry<'a>),
    MassCancel(Filters<'a>),
    Cancel { account: u64, symbol: &'a str, which: Which },
    Replace { account: u64, symbol: &'a str, which: Which, price: &'a str, quantity: &'a str },
    Deposit { account: u64, asset: &'a str, amount: &'a str },
    Withdraw { account: u64, asset: &'a str, amount: &'a str },
    Transfer { from: u64, to: u64, asset: &'a str, amount: &'a str },
}

impl<'a> Request<'a> {
    pub(super) fn new_order(args: &'a NewArgs) -> Request<'a> {
        Request::New(Entry {
            account: args.account,
            symbol: &args.symbol,
            side: args.side,
            order_type: args.order_type,
            tif: args.tif,
            post_only: args.post_only,
            reprice: args.reprice,
            self_trade: args.self_trade,
            price: args.price.as_deref(),
            quantity: args.quantity.as_deref(),
            stop_price: args.stop_price.as_deref(),
            display: args.display.as_deref(),
            min_quantity: args.min_quantity.as_deref(),
            budget: args.budget.as_deref(),
            expires: args.expires,
            client_order_id: args.client_order_id,
        })
    }

    pub(super) fn mass_cancel(args: &'a MassCancelArgs) -> Request<'a> {
        Request::MassCancel(Filters {
            account: args.account,
            symbol: args.symbol.as_deref(),
            sides: args.side,
            session: args.of_session,
            mine: args.mine,
        })
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

    /// The command, in the venue's numbers; `own` is the session that sends it.
    pub(super) fn build(&self, venue: &Venue, own: SessionId) -> Result<Command, FieldError> {
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
            Request::New(ref entry) => entry.build(instrument(entry.symbol)?, venue)?,
            Request::MassCancel(filters) => MassCancel {
                account: AccountId(filters.account.unwrap_or(0)),
                instrument: match filters.symbol {
                    Some(symbol) => instrument(symbol)?.id,
                    None => InstrumentId(0),
                },
                sides: filters.sides,
                session: if filters.mine { own } else { SessionId(filters.session.unwrap_or(0)) },
            }
            .into(),
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

impl Entry<'_> {
    /// A new order where that says it all, else one with further fields.
    fn build(&self, instrument: &Instrument, venue: &Venue) -> Result<Command, FieldError> {
        let order_type = self.order_type;
        let time_in_force = self.tif.unwrap_or(usual_tif(order_type));
        let flags = self.flags()?;
        let price = self.price(instrument)?;
        let stop_price = self.stop_price(instrument)?;
        let lots = |column, words, text: Option<&str>| match text {
            None => Ok(Quantity(0)),
            Some(text) => venue::parse_lots(words, instrument, text)
                .map_err(|text| FieldError { column, text }),
        };
        let display_quantity = lots("display", "display", self.display)?;
        let min_quantity = lots("min_quantity", "min quantity", self.min_quantity)?;
        let budget = self.budget(instrument, venue)?;
        let quantity = match self.quantity {
            None if self.budget.is_none() => return Err(rule("quantity", "is missing")),
            text => lots("quantity", "quantity", text)?,
        };
        let expires = match (time_in_force, self.expires) {
            (TimeInForce::Gtd, None) => {
                return Err(rule("expires", "a gtd order needs the time at which it ends"));
            }
            (TimeInForce::Gtd, Some(time)) => time,
            (_, Some(_)) => return Err(rule("expires", "goes with the tif gtd alone")),
            (_, None) => TimeNs(0),
        };
        let (account, side) = (AccountId(self.account), self.side);
        let client_order_id = ClientOrderId(self.client_order_id);
        let is_plain = matches!(order_type, OrderType::Limit | OrderType::Market)
            && time_in_force != TimeInForce::Gtd
            && self.display.or(self.min_quantity).or(self.budget).is_none();
        if is_plain {
            return Ok(NewOrder {
                account,
                instrument: instrument.id,
                side,
                order_type,
                time_in_force,
                flags,
                price,
                quantity,
                client_order_id,
            }
            .into());
        }
        Ok(EnterOrder {
            account,
            instrument: instrument.id,
            side,
            order_type,
            time_in_force,
            flags,
            price,
            quantity,
            stop_price,
            display_quantity,
            min_quantity,
            budget,
            expires,
            client_order_id,
        }
        .into())
    }

    fn flags(&self) -> Result<u8, FieldError> {
        if self.reprice && !self.post_only {
            return Err(rule("reprice", "goes with a post-only order alone"));
        }
        let post_only = if self.post_only { POST_ONLY } else { 0 };
        let reprice = if self.reprice { REPRICE } else { 0 };
        Ok(post_only | reprice | self.self_trade.map_or(0, self_trade_flags))
    }

    /// The price; 0 for a market or stop order without one.
    fn price(&self, instrument: &Instrument) -> Result<Price, FieldError> {
        let failed = |text| FieldError { column: "price", text };
        match (self.price, self.order_type) {
            (Some(text), _) => venue::parse_price(instrument, text).map_err(failed),
            (None, OrderType::Market | OrderType::Stop) => Ok(Price(0)),
            (None, kind) => Err(failed(format!("a {kind} order needs one"))),
        }
    }

    /// The stop price; 0 for an order that is none of a stop's kinds.
    fn stop_price(&self, instrument: &Instrument) -> Result<Price, FieldError> {
        let failed = |text| FieldError { column: "stop_price", text };
        let is_stop = matches!(self.order_type, OrderType::Stop | OrderType::StopLimit);
        match self.stop_price {
            Some(text) if is_stop => {
                venue::parse_ticks("stop price", instrument, text).map_err(failed)
            }
            Some(_) => Err(failed("goes with the types stop and stop-limit alone".to_owned())),
            None if is_stop => Err(failed(format!("a {} order needs one", self.order_type))),
            None => Ok(Price(0)),
        }
    }

    /// What a market buy may pay, in units of the quote asset; 0 for one that has no budget.
    fn budget(&self, instrument: &Instrument, venue: &Venue) -> Result<Amount, FieldError> {
        let failed = |text| FieldError { column: "budget", text };
        let Some(text) = self.budget else { return Ok(Amount(0)) };
        if (self.order_type, self.side) != (OrderType::Market, Side::Buy) {
            return Err(rule("budget", "goes with a market order that buys alone"));
        }
        let quote = venue.asset_of(instrument.quote).expect("an instrument's assets are defined");
        venue::parse_units("budget", quote, text).map_err(failed)
    }
}

/// A rule that a field broke.
fn rule(column: &'static str, text: &str) -> FieldError {
    FieldError { column, text: text.to_owned() }
}

/// Time in force of an order of which nothing is said.
const fn usual_tif(order_type: OrderType) -> TimeInForce {
    match order_type {
        OrderType::Limit | OrderType::Stop | OrderType::StopLimit => TimeInForce::Gtc,
        OrderType::Market => TimeInForce::Ioc,
    }
}
