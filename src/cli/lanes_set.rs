//! `outcry lanes set` and `outcry lanes share`: the sequenced settings of lanes and order.

use super::administer::{self, Sending};
use super::{Global, Outcome};
use crate::admin::AdminCommand;
use crate::types::Lane;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    Set(SetArgs),
    Share(ShareArgs),
}

/// Bounds what a lane executes before it tells how far it is
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry lanes set critical --max-batch 32\n  \
    outcry lanes set batch --max-batch 1 --json")]
pub(super) struct SetArgs {
    /// critical, normal or batch
    #[arg(value_name = "LANE", value_parser = parse_lane)]
    lane: Lane,
    /// Records at most, 1 to 1024
    #[arg(long, value_name = "N")]
    max_batch: u32,
    #[command(flatten)]
    sending: Sending,
}

/// Gives LOW and BATCH one in so many records of a journal batch while more urgent ones wait
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry lanes share --one-in 8\n  \
    outcry lanes share --one-in 16 --json")]
pub(super) struct ShareArgs {
    /// One in so many, 1 to 256
    #[arg(long, value_name = "N")]
    one_in: u32,
    #[command(flatten)]
    sending: Sending,
}

fn parse_lane(text: &str) -> Result<Lane, String> {
    Lane::from_word(text).ok_or_else(|| "write critical, normal or batch".to_owned())
}

/// Does it.
pub(super) fn act(action: &Action, global: &Global) -> Outcome {
    match action {
        Action::Set(args) => administer::run(&args.sending, global, |_| {
            Ok(AdminCommand::SetLane { lane: args.lane, max_batch: args.max_batch })
        }),
        Action::Share(args) => administer::run(&args.sending, global, |_| {
            Ok(AdminCommand::SetBulkShare { one_in: args.one_in })
        }),
    }
}
