//! `outcry limits`: what is refused before the book sees it, and whose an account is.

use super::administer::{self, Sending};
use super::limits_show::{self, ShowArgs};
use super::venue::{self, Venue};
use super::{Failure, Global, Outcome};
use crate::admin::AdminCommand;
use crate::genesis::{AccountLimits, Instrument};
use crate::types::{AccountId, SelfTrade};
use clap::Subcommand;

/// Shows and sets risk limits of accounts and instruments; setting takes an operator's key
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  \
    outcry limits show --account 2\n  \
    outcry limits set 2 --quantity-max 1000000 --rate-per-s 100\n  \
    outcry limits position 2 BTC-USDT --net-max 50",
    after_help = "Limits are part of the sequenced state: they hold from the command's place in the order on, \
                  on every node, and survive a restart. Orders that are live stay as they are."
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Show(ShowArgs),
    Set(SetArgs),
    Position(PositionArgs),
    Collar(CollarArgs),
    Owner(OwnerArgs),
}

/// Gives an account these limits and no others; 0, or an option left out, is no limit
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry limits set 2 --quantity-max 1000000 --open-orders-max 200\n  \
    outcry limits set 2 --rate-per-s 100 --rate-burst 20 --restrict BTC-USDT\n  \
    outcry limits set 2 --json")]
struct SetArgs {
    /// The account
    #[arg(value_name = "ACCOUNT")]
    account: u64,
    /// Largest order, in lots of its instrument
    #[arg(long, value_name = "LOTS", default_value_t = 0, hide_default_value = true)]
    quantity_max: i64,
    /// The most that price times quantity may be, in smallest units of what pays
    #[arg(long, value_name = "UNITS", default_value_t = 0, hide_default_value = true)]
    notional_max: i64,
    /// Live orders
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    open_orders_max: u32,
    /// New orders and replaces in a second
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    rate_per_s: u32,
    /// New orders and replaces at once [default: as many as in a second]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    rate_burst: u32,
    /// An instrument in which it may enter and replace nothing; repeatable
    #[arg(long = "restrict", value_name = "SYMBOL")]
    restricted: Vec<String>,
    #[command(flatten)]
    sending: Sending,
}

/// Limits what an account may have bought less sold of an instrument, live orders included
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  \
    outcry limits position 2 BTC-USDT --net-max 50 --gross-max 80\n  \
    outcry limits position 2 BTC-USDT --net-max 50 --position -3.5\n  \
    outcry limits position 2 BTC-USDT",
    after_help = "The position is counted from the first limit on. Without a limit it is no longer counted. \
                  An account with more than 4096 live orders is refused: they are counted at that moment."
)]
struct PositionArgs {
    /// The account
    #[arg(value_name = "ACCOUNT")]
    account: u64,
    /// What is traded
    #[arg(value_name = "SYMBOL")]
    symbol: String,
    /// How far from 0 it could be with all live orders of a side filled
    #[arg(long, value_name = "QUANTITY", default_value = "0", hide_default_value = true)]
    net_max: String,
    /// How much it and all live orders may be together
    #[arg(long, value_name = "QUANTITY", default_value = "0", hide_default_value = true)]
    gross_max: String,
    /// What it is now [default: what was counted, at first 0]
    #[arg(long, value_name = "QUANTITY", allow_negative_numbers = true)]
    position: Option<String>,
    #[command(flatten)]
    sending: Sending,
}

/// Says how far beyond the last price the price of an order may be
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry limits collar BTC-USDT 500\n  \
    outcry limits collar BTC-USDT 0 --json")]
struct CollarArgs {
    /// What is traded
    #[arg(value_name = "SYMBOL")]
    symbol: String,
    /// In hundredths of a percent of the last price; 0 for any
    #[arg(value_name = "BPS")]
    bps: u32,
    #[command(flatten)]
    sending: Sending,
}

/// Says whose an account is, and what happens instead of a trade between orders of one owner
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry limits owner 2 --group 7 --self-trade cancel-oldest\n  \
    outcry limits owner 2")]
struct OwnerArgs {
    /// The account
    #[arg(value_name = "ACCOUNT")]
    account: u64,
    /// Accounts of one group have one owner; 0 is no group
    #[arg(long, value_name = "N", default_value_t = 0)]
    group: u32,
    /// Where the incoming order does not say: allow, cancel-newest, cancel-oldest, cancel-both or decrement
    #[arg(long, value_name = "WHAT", default_value = "allow", value_parser = parse_self_trade)]
    self_trade: SelfTrade,
    #[command(flatten)]
    sending: Sending,
}

fn parse_self_trade(text: &str) -> Result<SelfTrade, String> {
    SelfTrade::from_word(text).ok_or_else(|| {
        "write allow, cancel-newest, cancel-oldest, cancel-both or decrement".to_owned()
    })
}

fn find<'a>(venue: &'a Venue, symbol: &str) -> Result<&'a Instrument, Failure> {
    venue.instrument(symbol).map_err(Failure::usage)
}

fn lots(instrument: &Instrument, text: &str) -> Result<i64, Failure> {
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text),
    };
    let lots = venue::parse_quantity(instrument, size).map_err(Failure::usage)?.0;
    Ok(if negative { -lots } else { lots })
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    match &args.verb {
        Verb::Show(args) => limits_show::run(args, global),
        Verb::Set(args) => administer::run(&args.sending, global, |link| {
            let symbols = args.restricted.iter();
            let found = symbols.map(|symbol| find(&link.venue, symbol).map(|found| found.id));
            let limits = AccountLimits {
                quantity_max: args.quantity_max,
                notional_max: args.notional_max,
                open_orders_max: args.open_orders_max,
                rate_per_s: args.rate_per_s,
                rate_burst: args.rate_burst,
                restricted: found.collect::<Result<_, _>>()?,
            };
            Ok(AdminCommand::SetAccountLimits { account: AccountId(args.account), limits })
        }),
        Verb::Position(args) => administer::run(&args.sending, global, |link| {
            let instrument = find(&link.venue, &args.symbol)?;
            let position = args.position.as_deref().map(|text| lots(instrument, text));
            Ok(AdminCommand::SetPositionLimit {
                account: AccountId(args.account),
                instrument: instrument.id,
                net_max: lots(instrument, &args.net_max)?,
                gross_max: lots(instrument, &args.gross_max)?,
                position: position.transpose()?,
            })
        }),
        Verb::Collar(args) => administer::run(&args.sending, global, |link| {
            let instrument = find(&link.venue, &args.symbol)?.id;
            Ok(AdminCommand::SetCollar { instrument, collar_bps: args.bps })
        }),
        Verb::Owner(args) => administer::run(&args.sending, global, |_| {
            Ok(AdminCommand::SetAccountGroup {
                account: AccountId(args.account),
                group: args.group,
                self_trade: args.self_trade,
            })
        }),
    }
}
