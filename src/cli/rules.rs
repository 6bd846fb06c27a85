//! `outcry rules`: which rules of the exchange hold in a journal.

use super::administer::{self, Sending};
use super::{Global, Outcome};
use crate::admin::AdminCommand;
use crate::genesis::APPLICATION_VERSION;
use clap::Subcommand;

/// Lets the rules of this release hold in a journal that an older one has begun
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry rules activate\n  outcry rules activate --version 2 --json",
    after_help = "A journal begins with the rules of the release that made it, and a newer release goes on \
                  with those, so that a replay gives the same events. Kinds of orders that came later are \
                  refused until an operator activates the rules that know them; this cannot be taken \
                  back, and releases that do not know them cannot open the journal any more. Headers of \
                  segments name them from the node's next start on."
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Activate(ActivateArgs),
}

/// From here on the rules of a version hold; takes an operator's key
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry rules activate\n  outcry rules activate --version 2 --json"
)]
struct ActivateArgs {
    /// Above the one that holds, and known to the node [default: the newest that this program knows]
    #[arg(long, value_name = "N", default_value_t = APPLICATION_VERSION, hide_default_value = true)]
    version: u32,
    #[command(flatten)]
    sending: Sending,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let Verb::Activate(args) = &args.verb;
    administer::run(&args.sending, global, |_| {
        Ok(AdminCommand::ActivateRules { version: args.version })
    })
}
