//! `outcry order`: one command and its answer, or a file of them.
//!
//! Invariants: a command whose answer did not come is never called refused: its outcome is unknown
//! and the message tells how to ask again with the same message id, which gives the same answer; what
//! this release does not have is refused by name before anything is sent.

mod answer;
mod build;
mod csv;
mod file;

use super::connect::{Connection, Link, Lost, random_hex};
use super::{Failure, Global, Outcome};
use crate::client::{Options, now_ms};
use crate::command::Command;
use crate::timestamp;
use crate::types::{OrderType, SelfTrade, Side, Sides, TimeInForce, TimeNs};
use answer::Answered;
use build::Request;
use clap::{ArgGroup, Subcommand};

/// Sends commands to the exchange
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry order deposit --account 2 --asset USDT --amount 1000\n  \
    outcry order new --account 2 --symbol BTC-USDT --side buy --price 100.5 --quantity 0.1\n  \
    outcry order file orders.csv")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    New(NewArgs),
    Cancel(CancelArgs),
    Replace(ReplaceArgs),
    MassCancel(MassCancelArgs),
    Deposit(DepositArgs),
    Withdraw(WithdrawArgs),
    Transfer(TransferArgs),
    File(file::Args),
}

/// How a command is sent.
#[derive(Debug, clap::Args)]
struct Sending {
    /// Names the message: the same id gives the same answer and is sequenced once [default: a new one]
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Time of the message, to repeat one that was sent before [default: now]
    #[arg(long, value_name = "MS")]
    timestamp_ms: Option<i64>,
    /// Milliseconds after which the command is no longer wanted; 0 for never
    #[arg(long, value_name = "MS", default_value_t = 0)]
    ttl_ms: u32,
    /// Signs the message with the key
    #[arg(long)]
    sign: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Enters an order
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry order new --account 2 --symbol BTC-USDT --side buy --price 100.5 --quantity 0.1\n  \
    outcry order new --account 3 --symbol BTC-USDT --side sell --price 99 --quantity 50 --display 5\n  \
    outcry order new --account 2 --symbol BTC-USDT --side sell --type stop --stop-price 90 --quantity 2")]
struct NewArgs {
    /// Whose order it is
    #[arg(long)]
    account: u64,
    /// The instrument, such as BTC-USDT
    #[arg(long)]
    symbol: String,
    /// buy or sell
    #[arg(long, value_parser = parse_side)]
    side: Side,
    /// limit; market (trades at once at what the book offers, and never rests); stop or stop-limit (waits
    /// until the last price reaches the stop price, and is a market or a limit order then)
    #[arg(long = "type", value_name = "TYPE", default_value = "limit", value_parser = parse_type)]
    order_type: OrderType,
    /// gtc (until filled or cancelled), day (until the trading day ends), gtd (until --expires), ioc (what
    /// does not trade at once is cancelled) or fok (trades whole and at once, or is cancelled) [default:
    /// gtc, of a market order ioc]
    #[arg(long, value_parser = parse_tif)]
    tif: Option<TimeInForce>,
    /// Only ever rests: refused where it would trade on entry
    #[arg(long)]
    post_only: bool,
    /// With --post-only: where it would trade, it gets the best price at which it does not
    #[arg(long, requires = "post_only")]
    reprice: bool,
    /// What happens instead of a trade with an order of the same owner: allow, cancel-newest,
    /// cancel-oldest, cancel-both or decrement [default: as the account has it]
    #[arg(long, value_name = "MODE", value_parser = parse_self_trade)]
    self_trade: Option<SelfTrade>,
    /// Limit price, decimal; of a market or stop order the worst price it takes [default: the
    /// instrument's band]
    #[arg(long, allow_hyphen_values = true)]
    price: Option<String>,
    /// Quantity, decimal
    #[arg(long, allow_hyphen_values = true, required_unless_present = "budget")]
    quantity: Option<String>,
    /// Of a stop or stop-limit: the last price at or beyond which it comes into the market, decimal
    #[arg(long, value_name = "PRICE", allow_hyphen_values = true)]
    stop_price: Option<String>,
    /// Iceberg: what of it the book shows at a time, decimal
    #[arg(long, value_name = "QUANTITY", allow_hyphen_values = true)]
    display: Option<String>,
    /// What must trade on entry, or nothing does, decimal
    #[arg(long, value_name = "QUANTITY", allow_hyphen_values = true)]
    min_quantity: Option<String>,
    /// Of a market order that buys: the most that it pays, decimal, in the quote asset; without
    /// --quantity it buys as much as that pays for
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    budget: Option<String>,
    /// Of a gtd order: the time after which it no longer trades, such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<TimeNs>,
    /// Your own number for it, unique among the account's live orders; 0 for none
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = client_number())]
    client_order_id: u64,
    #[command(flatten)]
    sending: Sending,
}

/// Cancels a live order
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  \
    outcry order cancel --account 2 --symbol BTC-USDT --order-id 41\n  \
    outcry order cancel --account 2 --symbol BTC-USDT --orig-client-order-id 7",
    group = ArgGroup::new("order").required(true)
)]
struct CancelArgs {
    /// Whose order it is
    #[arg(long)]
    account: u64,
    /// The instrument
    #[arg(long)]
    symbol: String,
    /// The order's own number
    #[arg(long, value_name = "NUMBER", group = "order", value_parser = order_number())]
    order_id: Option<u64>,
    /// Your own number of the order
    #[arg(long, value_name = "NUMBER", group = "order", value_parser = order_number())]
    orig_client_order_id: Option<u64>,
    #[command(flatten)]
    sending: Sending,
}

/// Cancels all live orders that every given filter lets through
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  \
    outcry order mass-cancel --account 2\n  \
    outcry order mass-cancel --account 2 --symbol BTC-USDT --side sell --json\n  \
    outcry order mass-cancel --mine --session desk-1",
    group = ArgGroup::new("which").required(true).multiple(true)
)]
struct MassCancelArgs {
    /// Whose orders; only an operator may leave it out, and whoever names the own session
    #[arg(long, group = "which")]
    account: Option<u64>,
    /// Orders in this instrument
    #[arg(long, group = "which")]
    symbol: Option<String>,
    /// buy, sell or both
    #[arg(long, group = "which", default_value = "both", value_parser = parse_sides)]
    side: Sides,
    /// Orders that the session with this number entered
    #[arg(long, value_name = "NUMBER", group = "which", conflicts_with = "mine",
          value_parser = clap::value_parser!(u32).range(1..))]
    of_session: Option<u32>,
    /// Orders that this command's own session entered, as named by --session
    #[arg(long, group = "which")]
    mine: bool,
    /// All orders of the venue, where no filter is given
    #[arg(long, group = "which",
          conflicts_with_all = ["account", "symbol", "side", "of_session", "mine"])]
    all: bool,
    #[command(flatten)]
    sending: Sending,
}

/// Changes price and quantity of a live order
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  \
    outcry order replace --account 2 --symbol BTC-USDT --order-id 41 --price 100 --quantity 0.2\n  \
    outcry order replace --account 2 --symbol BTC-USDT --order-id 41 --price 9 --quantity 2 --json",
    group = ArgGroup::new("order").required(true)
)]
struct ReplaceArgs {
    /// Whose order it is
    #[arg(long)]
    account: u64,
    /// The instrument
    #[arg(long)]
    symbol: String,
    /// The order's own number
    #[arg(long, value_name = "NUMBER", group = "order", value_parser = order_number())]
    order_id: Option<u64>,
    /// Your own number of the order
    #[arg(long, value_name = "NUMBER", group = "order", value_parser = order_number())]
    orig_client_order_id: Option<u64>,
    /// The new limit price, decimal
    #[arg(long, allow_hyphen_values = true)]
    price: String,
    /// The new whole quantity, decimal; what is filled already counts
    #[arg(long, allow_hyphen_values = true)]
    quantity: String,
    #[command(flatten)]
    sending: Sending,
}

/// Credits an account; takes an operator's key
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry order deposit --account 2 --asset USDT --amount 1000\n  \
    outcry order deposit --account 3 --asset BTC --amount 0.5 --message-id deposit-1 --json")]
struct DepositArgs {
    /// Who receives
    #[arg(long)]
    account: u64,
    /// The asset, such as USDT
    #[arg(long)]
    asset: String,
    /// How much, decimal
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    #[command(flatten)]
    sending: Sending,
}

/// Debits an account; takes an operator's key
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry order withdraw --account 2 --asset USDT --amount 1000\n  \
    outcry order withdraw --account 3 --asset BTC --amount 0.5 --message-id withdrawal-1 --json")]
struct WithdrawArgs {
    /// Who pays
    #[arg(long)]
    account: u64,
    /// The asset
    #[arg(long)]
    asset: String,
    /// How much, decimal
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    #[command(flatten)]
    sending: Sending,
}

/// Moves available balance from one account to another
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry order transfer --from 2 --to 3 --asset USDT --amount 25\n  \
    outcry order transfer --from 3 --to 2 --asset BTC --amount 0.5 --sign --json")]
struct TransferArgs {
    /// Who pays
    #[arg(long)]
    from: u64,
    /// Who receives
    #[arg(long)]
    to: u64,
    /// The asset
    #[arg(long)]
    asset: String,
    /// How much, decimal
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    #[command(flatten)]
    sending: Sending,
}

/// Numbers of orders and clients stand in 64 signed bits on the wire; 0 means none.
fn order_number() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=i64::MAX as u64)
}

fn client_number() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

fn parse_side(text: &str) -> Result<Side, String> {
    Side::from_word(text).ok_or_else(|| "write buy or sell".to_owned())
}

fn parse_type(text: &str) -> Result<OrderType, String> {
    OrderType::from_word(text).ok_or_else(|| match text {
        "iceberg" => "write limit, and give --display".to_owned(),
        "trailing-stop" | "pegged" => format!(
            "{text} orders do not exist in this release; limit, market, stop and stop-limit do"
        ),
        _ => "write limit, market, stop or stop-limit".to_owned(),
    })
}

fn parse_self_trade(text: &str) -> Result<SelfTrade, String> {
    SelfTrade::from_word(text).ok_or_else(|| {
        "write allow, cancel-newest, cancel-oldest, cancel-both or decrement".to_owned()
    })
}

fn parse_sides(text: &str) -> Result<Sides, String> {
    Sides::from_word(text).ok_or_else(|| "write buy, sell or both".to_owned())
}

fn parse_time(text: &str) -> Result<TimeNs, String> {
    timestamp::parse(text)
        .ok_or_else(|| "write a time in UTC such as 2026-03-01T12:00:00Z".to_owned())
}

fn parse_tif(text: &str) -> Result<TimeInForce, String> {
    TimeInForce::from_word(text).ok_or_else(|| match text {
        "post-only" => "write --post-only beside it".to_owned(),
        "gtx" | "opg" | "cls" => {
            format!("{text} does not exist in this release; gtc, day, gtd, ioc and fok do")
        }
        _ => "write gtc, day, gtd, ioc or fok".to_owned(),
    })
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let (request, sending) = match &args.verb {
        Verb::File(args) => return file::run(args, global),
        Verb::New(a) => (Request::new_order(a), &a.sending),
        Verb::Cancel(a) => (Request::cancel(a), &a.sending),
        Verb::Replace(a) => (Request::replace(a), &a.sending),
        Verb::MassCancel(a) => (Request::mass_cancel(a), &a.sending),
        Verb::Deposit(a) => (Request::deposit(a), &a.sending),
        Verb::Withdraw(a) => (Request::withdraw(a), &a.sending),
        Verb::Transfer(a) => (Request::transfer(a), &a.sending),
    };
    let mut link = Link::open(&sending.connection, global, "order")?;
    let own = link.number();
    let command =
        request.build(&link.venue, own).map_err(|error| Failure::usage(error.of_flag()))?;
    let message_id = match &sending.message_id {
        Some(given) => given.clone(),
        None => format!("{}-{}", link.session(), random_hex()?),
    };
    let timestamp_ms = sending.timestamp_ms.unwrap_or_else(now_ms);
    let options = Options {
        ttl_ms: sending.ttl_ms,
        message_id: Some(&message_id),
        timestamp_ms: Some(timestamp_ms),
        sign: sending.sign,
        possible_duplicate: sending.message_id.is_some() && sending.timestamp_ms.is_some(),
        ..Options::default()
    };
    let request = link.client.submit(&command, &options).map_err(Failure::usage)?;
    let instrument = command.instrument();
    let answered = answer::wait(&mut link, request, instrument, &message_id);
    let output = global.output();
    let mut answered = match answered {
        Ok(answered) => answered,
        Err(Lost::Refused { reason, text }) => {
            let refused = Answered::refused(&message_id, reason);
            answer::show(&refused, output);
            return Err(Failure::node(format_args!(
                "the node refused the message: {reason}: {text}"
            )));
        }
        Err(Lost::Unknown(why)) => {
            return Err(Failure::node(format_args!(
                "{why}: the outcome of message {message_id} is unknown; ask again by the same \
                 command with --message-id {message_id} --timestamp-ms {timestamp_ms}, which gives \
                 its answer or sends it, never twice"
            )));
        }
    };
    let is_mass_cancel = matches!(command, Command::MassCancel(_));
    let ended = !is_mass_cancel || answer::wait_for_end(&mut link, request, &mut answered);
    let (venue, timeout) = (std::mem::take(&mut link.venue), link.timeout);
    // What it did to other orders of the session stands behind its answer, before the session's end.
    link.close_with(|reply| answered.note(reply, &venue));
    answer::show(&answered, output);
    if !ended {
        return Err(Failure::node(format_args!(
            "the mass cancel is accepted and not done within {} s: the node goes on with it",
            timeout.as_secs()
        )));
    }
    match &answered.reject_reason {
        None => Ok(()),
        Some(reason) => {
            Err(Failure::bad(format_args!("refused: {reason}: {}", answered.reason_text)))
        }
    }
}
